"""The points placed by eye are sound, and their benchmark's errors are the closed form's."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.topology import load_topology


@pytest.fixture(scope="module")
def benchmark(root: Path) -> ModuleType:
    """benchmarks/hand_points.py, which is no package."""
    spec = importlib.util.spec_from_file_location("hand_points", root / "benchmarks" / "hand_points.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_points_are_sound(benchmark: ModuleType) -> None:
    held = json.loads(benchmark.POINTS.read_text(encoding="utf-8"))
    assert held["unit"] == "pixels of the file, x=0 and y=0 at the left and top edge"
    assert len(held["names"]) == len(set(held["names"])) == 14
    assert 0 < held["repeatability_percent"] < 3
    files, points = benchmark.read_points(benchmark.POINTS)
    assert len(set(files)) == 24
    assert all(file.startswith("val/") for file in files)
    assert points.shape == (24, 14, 2)
    hidden = np.isnan(points).any(axis=2)
    assert hidden.sum() == 10
    assert not hidden[:, [0, 3]].any(), "the outer corners of the eyes are the unit of every error"
    x, y = points[..., 0], points[..., 1]
    for left, right in ((0, 1), (1, 2), (2, 3), (4, 5), (10, 11), (12, 13), (0, 12), (13, 3)):
        assert np.nanmin(x[:, right] - x[:, left]) > 0
    for above, below in ((0, 8), (3, 8), (8, 9), (9, 6), (6, 7)):
        assert np.nanmin(y[:, below] - y[:, above]) > 0


def test_points_lie_inside_their_pictures(benchmark: ModuleType, face_data: Path) -> None:
    files, points = benchmark.read_points(benchmark.POINTS)
    for file, placed in zip(files, points, strict=True):
        height, width = read_picture(face_data / file).frame.shape[:2]
        assert np.nanmin(placed) > 0
        assert (np.nanmax(placed, axis=0) < [width, height]).all()


def test_the_mesh_points_are_what_their_names_say(benchmark: ModuleType) -> None:
    xyz, mesh = load_topology().xyz, list(benchmark.MESH)
    assert len(mesh) == 12
    assert mesh[8] == xyz[:, 2].argmin()  # the tip is the point nearest to the viewer
    assert [load_topology().mirror[mesh[left]] for left in (0, 1, 4, 10)] == [mesh[right] for right in (3, 2, 5, 11)]
    assert (xyz[mesh, 0][[0, 1, 4, 10]] < 0).all()


def test_error_is_the_distance_over_the_eyes(benchmark: ModuleType) -> None:
    hand = np.random.default_rng(1).uniform(50, 200, (14, 2))
    hand[0], hand[3] = (100, 100), (160, 180)  # 100 pixels apart
    hand[9] = np.nan
    found = hand + np.array([3, 4])
    found[12:] = np.nan
    errors = benchmark.errors_percent(hand, found)
    assert np.isnan(errors).tolist() == [column in (9, 12, 13) for column in range(14)]
    assert errors[np.isfinite(errors)] == pytest.approx(5)


def test_groups_means_and_ratios(benchmark: ModuleType) -> None:
    teacher = np.tile(np.arange(1.0, 15.0), (4, 1)) * np.array([[1], [2], [3], [4]])
    teacher[3, 8:12] = np.nan
    own = teacher * 1.5
    own[0, 4] = np.nan
    report = benchmark.compare({"mediapipe": teacher, "own": own}, seed=0)
    assert report["mediapipe"]["eyes"]["value"] == pytest.approx(2.5 * 2.5)
    assert report["mediapipe"]["nose"]["value"] == pytest.approx(10.5 * 2)
    assert report["mediapipe"]["nose"]["faces"] == 3
    assert report["own"]["mouth"]["value"] == pytest.approx(1.5 * (7 + 6.5 * 9) / 4, abs=1e-3)
    assert report["own / mediapipe"]["eyes"] == {"value": 1.5, "low": 1.5, "high": 1.5, "faces": 4}
    teacher[:, 12:] = np.nan
    assert benchmark.compare({"mediapipe": teacher, "own": own}, seed=0)["own / mediapipe"]["irises"] is None


def test_interval_is_as_wide_as_theory_says(benchmark: ModuleType) -> None:
    errors = np.repeat(np.random.default_rng(3).normal(5, 2, (400, 1)), 14, axis=1)
    found = benchmark.compare({"own": errors}, seed=0)["own"]["mesh"]
    assert found["high"] - found["low"] == pytest.approx(2 * 1.96 * errors[:, 0].std() / 20, rel=0.06)


@pytest.mark.usefixtures("face_models")
def test_the_teacher_lies_near_the_hand_placed_points(benchmark: ModuleType, face_data: Path) -> None:
    files, hand = benchmark.read_points(benchmark.POINTS)
    found = benchmark.placed_by(MediaPipeNetworks(), read_picture(face_data / files[4]).frame, hand[4])
    errors = benchmark.errors_percent(hand[4], found)
    assert np.isnan(errors[12:]).all()
    assert errors[:12].mean() < 6  # left and right mixed up would give 20 and more
