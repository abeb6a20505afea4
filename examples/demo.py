"""The main job on the synthetic people of this folder: pictures, a clip, a sheet, a report; all written to out/.

Run by `make demo`; also `python examples/demo.py --out FOLDER`.
"""

from __future__ import annotations

import argparse
import json
import shlex
import time
from pathlib import Path

import av
import numpy as np

from facegraft.cli.main import main
from facegraft.core.image import picture_from_frame, read_picture
from facegraft.core.types import Frame
from facegraft.provenance.manifest import origin_now
from facegraft.runtime.pictures import write_marked
from facegraft.runtime.sheet import clip_frames, labelled_rows

HERE = Path(__file__).parent
PAIRS = (
    ("identity_1", "attribute_1"),
    ("identity_3", "attribute_1"),
    ("identity_2", "attribute_2"),
    ("identity_2", "attribute_3"),
)
CLIP_IDENTITY = ("identity_1", "identity_1_side")


def command(*words: str | Path) -> None:
    """Runs a facegraft command as a user would type it."""
    print("$ facegraft", shlex.join(str(word) for word in words), flush=True)
    if code := main([str(word) for word in words]):
        raise SystemExit(code)


def swap_pictures(out: Path) -> list[tuple[list[Frame], str]]:
    """Swaps each pair; returns a row of frames and its title for the sheet."""
    rows = []
    for identity, attribute in PAIRS:
        swapped = out / f"{attribute}_{identity}.png"
        report = swapped.with_suffix(".json")
        command(
            "swap", HERE / f"{identity}.jpg", HERE / f"{attribute}.jpg", "-o", swapped, "--report", report,
            "--consent", "synthetic people: nobody was photographed",
        )  # fmt: skip
        files = (HERE / f"{identity}.jpg", HERE / f"{attribute}.jpg", swapped)
        rows.append(([read_picture(file).frame for file in files], f"{identity} + {attribute}"))
    return rows


def swap_clip(out: Path) -> list[tuple[list[Frame], str]]:
    """Swaps the clip; returns rows of its frames, before and after."""
    swapped = out / "clip_identity_1.mp4"
    photos = [HERE / f"{name}.jpg" for name in CLIP_IDENTITY]
    command("swap", *photos, HERE / "clip.mp4", "-o", swapped, "--report", swapped.with_suffix(".json"))
    rows = []
    for file, title in ((HERE / "clip.mp4", "clip"), (swapped, "clip, swapped")):
        with av.open(str(file)) as container:
            duration = float(container.duration or 0) / av.time_base
        rows.append((clip_frames(file, list(np.linspace(0.05, 0.95, 5) * duration)), title))
    return rows


def run(out: Path) -> None:
    began = time.perf_counter()
    out.mkdir(parents=True, exist_ok=True)
    pairs, clip = swap_pictures(out), swap_clip(out)
    couples = zip(pairs[::2], pairs[1::2], strict=True)
    pictures = [([*first, *second], f"{title}; {other}") for (first, title), (second, other) in couples]
    sheet = out / "sheet.jpg"
    frame = labelled_rows([*pictures, *clip], height=300)
    write_marked(sheet, picture_from_frame(frame), origin_now("warp", title=sheet.name))
    parts = sorted(path for path in out.glob("*.json") if path.name != "report.json")
    report = {
        "seconds": round(time.perf_counter() - began, 2),
        "swaps": [json.loads(path.read_text(encoding="utf-8")) for path in parts],
    }
    for path in parts:
        path.unlink()
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    command("verify", out / "clip_identity_1.mp4", sheet)
    print(f"look at {sheet}; figures are in {out / 'report.json'}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("out"))
    run(parser.parse_args().out)
