"""Small studies of flat and striped pictures, made in milliseconds, and votes by hand."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from facegraft.core.image_bytes import encode_frame
from facegraft.evaluate.study.build import BuildOptions, plan_study, write_study
from facegraft.evaluate.study.design import Check, Design, Question, Stimulus, Study
from facegraft.evaluate.study.votes import Vote


def picture(seed: int, width: int = 24, height: int = 24) -> np.ndarray:
    """Stripes of random greys."""
    greys = np.random.default_rng(seed).integers(0, 256, width // 4, dtype=np.uint8)
    return np.broadcast_to(np.repeat(greys, 4)[None, :, None], (height, width, 3)).copy()


def make_folders(root: Path, names: Sequence[str], stems: Sequence[str] = ("a", "b", "c", "d")) -> dict[str, Path]:
    """A folder of pictures for each name."""
    for at, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number, stem in enumerate(stems):
            (root / name / f"{stem}.png").write_bytes(encode_frame(picture(100 * at + number)))
    return {name: root / name for name in names}


def build(root: Path, names: Sequence[str] = ("one", "two"), design: Design = "pairwise", **changes: Any) -> Path:
    """A study folder."""
    folders = make_folders(root / "pictures", [*names, *(["real"] if design == "real-or-fake" else [])])
    real = folders.pop("real", None)
    options = BuildOptions(design, folders, real=real, **changes)
    assert write_study(plan_study(options), root / "study")
    return root / "study"


def write_clip(path: Path, frames: int = 6, codec: str = "libx264") -> None:
    """Stripes that change; ten frames a second."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number, 32, 24), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def abstract(conditions: int = 4, design: Design = "pairwise", **changes: Any) -> Study:
    """A study without files, for what never looks at them."""
    names = tuple("abcdefghijkl"[:conditions])
    stimuli = tuple(
        Stimulus(f"s{n}", {name: f"{n:08x}{at:08x}.png" for at, name in enumerate(names)}) for n in range(6)
    )
    study = Study(
        "test",
        design,
        names,
        stimuli,
        (Question("natural", "?"),),
        (Check(0, "0" * 16 + ".png", "f" * 16 + ".png"),),
        30,
    )
    return dataclasses.replace(study, **changes)


def vote(rater: int, trial: int, left: str, right: str, choice: str, **changes: Any) -> Vote:
    """A counted vote after two seconds."""
    plain = Vote(rater, trial, "natural", 0, left, right, choice, 2000, "", "", -1, 0.0)
    return dataclasses.replace(plain, **changes)
