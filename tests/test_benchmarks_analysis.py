"""benchmarks/analysis_speed.py: its frames hold the faces they say, all eyes are asked, and runs are kept."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from facegraft.core.errors import BadInputError
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.faces.own import OwnNetworks
from tests.benchmark_scripts import imported


@pytest.fixture(scope="module")
def speed(root: Path) -> Iterator[ModuleType]:
    with imported(root, "analysis_speed") as (module,):
        yield module


@pytest.fixture(scope="module")
def portraits(root: Path) -> list[Frame]:
    return [read_picture(root / "examples" / f"identity_{number}.jpg").frame for number in (1, 2, 3)]


def test_portraits_stand_side_by_side_and_no_longer_than_the_frame(speed: ModuleType) -> None:
    white = np.full((40, 20, 3), 255, np.uint8)
    frame = speed.made_frame([white], (64, 48), 4)
    assert frame.shape == (48, 64, 3)
    assert (frame == 255).all(axis=2).sum() == 4 * 16 * 16  # four squares as wide as their cells
    assert frame[24, 5, 0] == 255
    assert frame[5, 24, 0] == speed.GREY
    alone = speed.made_frame([white], (64, 48), 1)
    assert (alone == 255).all(axis=2).sum() == 48 * 48


def test_every_question_is_asked_of_the_faces_that_are_there(speed: ModuleType, portraits: list[Frame]) -> None:
    eyes = speed.Eyes(OwnNetworks(), 1, more=True)
    frame = speed.made_frame(portraits, (640, 480), 4)
    asked = eyes.asked(frame, 4)
    answers = {what: ask() for what, ask in asked.items()}
    assert len(answers["the frame: look once"]) == len(answers["the frame: follow"]) == 4
    assert answers["a face: who it is"].shape == (1, 512)
    assert answers["a face: its attributes"].pose_degrees.shape == (3,)
    few = speed.Eyes(OwnNetworks(), 1, more=False)
    assert set(few.asked(frame, 4)) == {what for what in asked if "ours tell" not in what} - {
        "a face: its light",
        "a face: its attributes",
        "a face: who it is",
    }
    with pytest.raises(BadInputError, match="expected 1 faces in a frame, found 4"):
        eyes.asked(frame, 1)


def test_runs_are_kept_and_told(speed: ModuleType, tmp_path: Path) -> None:
    figure = importlib.import_module("eye_networks.measures").Figure
    at = {"frame": "64 x 48", "faces": 1}
    rows = [
        {"what": "look", "threads": threads, **at, "ms": {"ours": figure(ms, ms - 1, ms + 1, 9)}}
        for threads, ms in ((1, 4.0), (2, 3.0))
    ]
    rows += [{"what": "parser", "threads": 1, "ms": {"ours": figure(2.0, 1.5, 2.5, 9)}}]
    rows = [row | {"processor_ms": {"ours": figure(1.25, 1, 2, 9)}} for row in rows]
    path = tmp_path / "speed.json"
    assert speed.appended(path, {"commit": "a"}, rows) == 1
    assert speed.appended(path, {"commit": "b"}, rows) == 2
    runs = json.loads(path.read_text())["runs"]
    assert [run["commit"] for run in runs] == ["a", "b"]
    assert runs[1]["rows"][0]["ms"] == {"ours": [4.0, 3.0, 5.0]}
    assert runs[0]["rows"][2]["processor_ms"] == {"ours": [1.25, 1, 2]}
    text = speed.tables(rows)
    assert "| look | 4.00 [3.00, 5.00]; 1.25 | 3.00 [2.00, 4.00]; 1.25 |" in text
    assert "| parser | 2.00 [1.50, 2.50]; 1.25 | not measured |" in text
    path.write_text("[]")
    with pytest.raises(BadInputError, match="another file"):
        speed.appended(path, {}, rows)
