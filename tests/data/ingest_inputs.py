"""Photographs, a clip and workers for tests of `ingest`; the faces are our own renders."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from facegraft.core.image import read_picture, save_frame
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset

PORTRAITS = ("identity_1", "identity_2", "identity_3", "attribute_1", "attribute_2", "attribute_3")


def portrait(root: Path, name: str, height: int = 240) -> Frame:
    frame = read_picture(root / "examples" / f"{name}.jpg").frame
    width = round(frame.shape[1] * height / frame.shape[0])
    return np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA))


def fill(folder: Path, root: Path, *, mirrored: int = 0) -> None:
    """Every portrait in a folder of its own, named after it; beside the first few a mirrored one."""
    for number, name in enumerate(PORTRAITS):
        (folder / name).mkdir(parents=True)
        frame = portrait(root, name)
        save_frame(folder / name / "one.jpg", frame, quality=92)
        if number < mirrored:
            save_frame(folder / name / "two.jpg", np.ascontiguousarray(frame[:, ::-1]), quality=92)


def contents(dataset: Dataset) -> dict[str, object]:
    """All that a dataset holds, bit by bit, by key."""
    found: dict[str, object] = {}
    for item in dataset:
        arrays = {name: value.tobytes() for name, value in item.arrays.items()}
        rest = {name: value for name, value in vars(item).items() if name not in ("arrays",)}
        found[item.key] = (rest, arrays)
    return found


@dataclass(frozen=True)
class Chore:
    """A unit that takes its time, and whose worker dies the first `deaths` times."""

    number: int
    folder: Path
    deaths: int = 0
    seconds: float = 0.0


def do_chore(chore: Chore) -> int:
    """Leaves one mark per attempt, then either dies or answers."""
    attempts = sorted(chore.folder.glob(f"{chore.number}-*"))
    (chore.folder / f"{chore.number}-{len(attempts)}").touch()
    time.sleep(chore.seconds)
    if len(attempts) < chore.deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    return chore.number
