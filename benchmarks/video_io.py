"""What the video engine costs over a bare decode and encode loop, and what putting a face patch into a frame costs.

    python benchmarks/video_io.py --repeats 3

Clips are made here: drifting texture, so decoder and encoder have work as with a filmed scene. The bare loop uses the
engine's own encoder settings. Rounds of all contenders alternate, so the ratios hold on a loaded machine too.
Writes benchmarks/history/<version>/video_io--<machine>--cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

import facegraft
from facegraft.core.types import Frame, Patch
from facegraft.runtime.video import VideoOptions, process_video
from facegraft.runtime.video.encode import open_encoder, plan_encoding
from facegraft.runtime.video.probe import probe
from facegraft.runtime.video.yuv import BT709, Converter, paste_planes

HERE = Path(__file__).parent
SIZES = {"720p": (720, 1280, 250), "1080p": (1080, 1920, 120), "4K": (2160, 3840, 60)}
"""Height, width, frames."""


class Edit:
    """A fixed patch on every frame, or none: what remains is the engine's own cost."""

    def __init__(self, patches: list[Patch]) -> None:
        self.patches = patches

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        return self.patches

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


def face_patch(side: int) -> Patch:
    delta = np.random.default_rng(0).normal(0, 12, (side, side, 3)).astype(np.float32)
    return Patch(left=201, top=101, delta=cv2.GaussianBlur(delta, (0, 0), 3))


def make_clip(path: Path, height: int, width: int, frames: int) -> None:
    rng = np.random.default_rng(7)
    rough = cv2.resize(rng.uniform(40, 200, (height // 8 + 40, width // 8 + 40, 3)), None, fx=8, fy=8)
    grain = rng.normal(0, 3, (height, width, 3))
    with av.open(str(path), "w") as out:
        stream: Any = out.add_stream("libx264", rate=25, options={"preset": "veryfast", "crf": "17"})
        stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
        for number in range(frames):
            left, top = 2 * number % 256, number % 200
            picture = rough[top : top + height, left : left + width] + np.roll(grain, 37 * number, axis=1)
            frame = av.VideoFrame.from_ndarray(np.clip(picture, 0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def bare(clip: Path, out: Path) -> None:
    """Decode and encode in one loop, to a file, with the engine's encoder."""
    encoder = open_encoder(plan_encoding(probe(clip), VideoOptions(), ".mp4"))
    with av.open(str(clip)) as reader, out.open("wb") as file:
        stream = reader.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in reader.decode(stream):
            frame.pict_type = 0
            for packet in encoder.encode(frame):
                file.write(bytes(packet))
        for packet in encoder.encode(None):
            file.write(bytes(packet))


def loops(folder: Path, repeats: int) -> dict[str, Any]:
    results = {}
    for name, (height, width, frames) in SIZES.items():
        clip, out = folder / f"{name}.mp4", folder / f"{name}-out.mp4"
        make_clip(clip, height, width, frames)
        contenders: dict[str, Edit | None] = {"bare": None, "empty": Edit([]), "patch_300": Edit([face_patch(300)])}
        fps: dict[str, list[float]] = {contender: [] for contender in contenders}
        stages: dict[str, float] = {}
        for repeat in range(repeats + 1):
            for contender, edit in contenders.items():
                began = time.perf_counter()
                if edit is None:
                    bare(clip, out)
                else:
                    stages = process_video(clip, out, edit, VideoOptions(), job_key="benchmark").ms_per_frame
                if repeat:  # the first round warms up
                    fps[contender].append(frames / (time.perf_counter() - began))
        medians = {contender: statistics.median(values) for contender, values in fps.items()}
        results[name] = {
            "fps_median": {contender: round(value, 2) for contender, value in medians.items()},
            "fps_all": {contender: [round(value, 2) for value in values] for contender, values in fps.items()},
            "ratio_empty_to_bare": round(medians["empty"] / medians["bare"], 3),
            "ratio_patch_to_bare": round(medians["patch_300"] / medians["bare"], 3),
            "stage_ms_with_patch": {stage: round(value, 3) for stage, value in stages.items()},
        }
    return results


def paste_ms(repeats: int = 60) -> dict[str, Any]:
    """A 400 px patch into the planes, and the copy that a frame needs while the decoder still reads it."""
    patch, result = face_patch(400), {}
    for bits, pixel_format in ((8, "yuv420p"), (10, "yuv420p10le")):
        for name, (height, width, _) in SIZES.items():
            frame = av.VideoFrame(width, height, pixel_format)
            times = [_timed(lambda frame=frame: paste_planes(frame, [patch], BT709)) for _ in range(repeats)]
            result[f"{name}_{bits}_bit"] = _summary(times)
    return result


def convert_ms(repeats: int = 30) -> dict[str, Any]:
    converter, result = Converter(), {}
    for name, (height, width, _) in SIZES.items():
        frame = av.VideoFrame(width, height, "yuv420p")
        result[name] = _summary([_timed(lambda frame=frame: converter.rgb(frame, BT709)) for _ in range(repeats)])
    return result


def _timed(call: Any) -> float:
    began = time.perf_counter()
    call()
    return 1000 * (time.perf_counter() - began)


def _summary(times: list[float]) -> dict[str, float]:
    low, _, high = statistics.quantiles(times, n=4)
    return {"median": round(statistics.median(times), 3), "quartile_1": round(low, 3), "quartile_3": round(high, 3)}


def facts() -> dict[str, Any]:
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, cwd=HERE, check=False)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "facegraft": facegraft.__version__,
        "python": platform.python_version(),
        "av": av.__version__,
        "ffmpeg": av.ffmpeg_version_info,
        "opencv": cv2.__version__,
        "numpy": np.__version__,
        "cores": os.cpu_count(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--machine", default=f"{platform.machine()}-{os.cpu_count()}cores")
    args = parser.parse_args()
    result: dict[str, Any] = {**facts(), "paste_400_ms": paste_ms(), "convert_ms": convert_ms()}
    with tempfile.TemporaryDirectory() as folder:
        result["loops"] = loops(Path(folder), args.repeats)
    path = HERE / "history" / facegraft.__version__ / f"video_io--{args.machine}--cpu.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
