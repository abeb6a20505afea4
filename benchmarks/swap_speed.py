"""How fast a 720p clip with one face is swapped, against decoding and encoding it alone with the same settings.

    python benchmarks/swap_speed.py examples/identity_1.jpg examples/clip.mp4 --repeats 5

Both are timed in turn on the same machine, so the ratio holds whatever the machine. Writes
benchmarks/history/<version>/swap_speed--<machine>--cpu.json.
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
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import av
import cv2
import numpy as np

import facegraft
from facegraft.core.image import read_picture
from facegraft.core.types import Frame, Patch, paste
from facegraft.faces.track import Tracker
from facegraft.runtime.clip import ClipSwap
from facegraft.runtime.select import Largest, Selector
from facegraft.runtime.swapper import DEFAULT, FaceState, Swapper
from facegraft.runtime.video import VideoOptions, process_video

HERE = Path(__file__).parent
T = TypeVar("T")


class NoEdit:
    """Leaves every frame as it is: the engine's own cost."""

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        return []

    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        pass


def bare(clip: Path, out: Path) -> int:
    """Decode and encode in one loop, as a script of twenty lines would."""
    with av.open(str(clip)) as reader, av.open(str(out), "w") as writer:
        stream_in = reader.streams.video[0]
        stream_in.thread_type = "AUTO"
        stream = writer.add_stream("libx264", rate=stream_in.average_rate, options={"preset": "veryfast", "crf": "19"})
        stream.width, stream.height, stream.pix_fmt = stream_in.width, stream_in.height, "yuv420p"
        frames = 0
        for frame in reader.decode(stream_in):
            frame.pict_type = 0
            writer.mux(stream.encode(frame))
            frames += 1
        writer.mux(stream.encode(None))
    return frames


def run_engine(clip: Path, out: Path, edit: Any) -> tuple[int, dict[str, float]]:
    report = process_video(clip, out, edit, VideoOptions(), job_key="benchmark")
    return report.frames, report.ms_per_frame


def swap_edit(identity: Path) -> ClipSwap:
    swapper = Swapper()
    swapper.set_identity([read_picture(identity).frame])
    return ClipSwap(swapper, Tracker(swapper.analyser), Selector(Largest(DEFAULT)))


def stage_ms(identity: Path, clip: Path, frames: int = 60) -> dict[str, float]:
    """Median ms of looking for faces, following one, changing it, of that seeing what covers and lights it; alone."""
    swapper = Swapper()
    swapper.set_identity([read_picture(identity).frame])
    analyser = swapper.analyser
    times: dict[str, list[float]] = {
        "look, every 10th frame": [],
        "follow": [],
        "of swap: what covers it": [],
        "of swap: its light": [],
        "swap": [],
    }
    look, follow, covered, lit, swap = times.values()
    with av.open(str(clip)) as reader:
        for _, decoded in zip(range(frames), reader.decode(video=0), strict=False):
            frame = decoded.to_ndarray(format="rgb24")
            faces = _timed(look, partial(analyser.analyse, frame, thorough=False))
            for face in faces:
                _timed(follow, partial(analyser.refine, frame, face.dense[None]))
                _timed(covered, partial(analyser.uncovered, frame, face))
                _timed(lit, partial(analyser.shading, frame, face))
                _timed(swap, partial(swapper.patch, frame, face, DEFAULT, FaceState()))
    return {name: round(statistics.median(values), 2) for name, values in times.items() if values}


def _timed(into: list[float], work: Callable[[], T]) -> T:
    began = time.perf_counter()
    result = work()
    into.append((time.perf_counter() - began) * 1e3)
    return result


def grainy(clip: Path, out: Path, grain: float = 6.0) -> Path:
    """The clip with the noise of a camera, which renders lack: it is what an encoder spends its time on."""
    rng = np.random.default_rng(0)
    with av.open(str(clip)) as reader, av.open(str(out), "w") as writer:
        stream_in = reader.streams.video[0]
        stream = writer.add_stream("libx264", rate=stream_in.average_rate, options={"preset": "veryfast", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = stream_in.width, stream_in.height, "yuv420p"
        for frame in reader.decode(stream_in):
            pixels = frame.to_ndarray(format="rgb24").astype(np.float32)
            noise = cv2.GaussianBlur(rng.normal(0, grain, pixels.shape[:2]).astype(np.float32), (0, 0), 0.7)
            noisy = np.clip(pixels + noise[..., None], 0, 255).astype(np.uint8)
            writer.mux(stream.encode(av.VideoFrame.from_ndarray(noisy, format="rgb24")))
        writer.mux(stream.encode(None))
    return out


def paste_ms(repeats: int = 50) -> dict[str, float]:
    """Median ms of adding a 400 px face to an RGB frame: it must not grow with the frame."""
    delta = np.random.default_rng(0).normal(0, 20, (400, 400, 3)).astype(np.float32)
    result = {}
    for name, (height, width) in {"1080p": (1080, 1920), "4K": (2160, 3840)}.items():
        frame = np.full((height, width, 3), 128, np.uint8)
        times: list[float] = []
        for _ in range(repeats):
            _timed(times, partial(paste, frame, [Patch(700, 300, delta)]))
        result[name] = round(statistics.median(times), 3)
    return result


def measure(identity: Path, clip: Path, repeats: int) -> dict[str, Any]:
    fps: dict[str, list[float]] = {"bare": [], "engine": [], "swap": []}
    stages: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for repeat in range(repeats + 1):
            for name in fps:
                out = Path(scratch) / f"{name}.mp4"
                edit = swap_edit(identity) if name == "swap" else NoEdit()
                began = time.perf_counter()
                frames = bare(clip, out) if name == "bare" else 0
                if name != "bare":
                    frames, per_frame = run_engine(clip, out, edit)
                    stages = per_frame if name == "swap" else stages
                if repeat:  # the first round warms up
                    fps[name].append(frames / (time.perf_counter() - began))
    medians = {name: round(statistics.median(values), 2) for name, values in fps.items()}
    return {
        "fps_median": medians,
        "fps_all": {name: [round(value, 2) for value in values] for name, values in fps.items()},
        "ratio_swap_to_bare": round(medians["swap"] / medians["bare"], 3),
        "ratio_engine_to_bare": round(medians["engine"] / medians["bare"], 3),
        "pipeline_ms_per_frame": {name: round(value, 3) for name, value in stages.items()},
    }


def facts() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "facegraft": facegraft.__version__,
        "python": platform.python_version(),
        "av": av.__version__,
        "numpy": np.__version__,
        "cores": os.cpu_count(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("identity", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--machine", default=f"{platform.machine()}-{os.cpu_count()}cores")
    args = parser.parse_args()
    result = {**facts(), "clip": args.clip.name, "as_it_is": measure(args.identity, args.clip, args.repeats)}
    with tempfile.TemporaryDirectory() as scratch:
        grain = grainy(args.clip, Path(scratch) / "grain.mp4")
        result["with_camera_grain"] = measure(args.identity, grain, args.repeats)
    result |= {"stage_ms_median": stage_ms(args.identity, args.clip), "paste_ms_median": paste_ms()}
    folder = HERE / "history" / facegraft.__version__
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"swap_speed--{args.machine}--cpu.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
