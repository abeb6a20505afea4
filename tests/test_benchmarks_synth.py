"""The statistics and measures that the benchmarks of rendered people share."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def shared(root: Path) -> Iterator[ModuleType]:
    """benchmarks/synth_pictures.py, which is no package."""
    spec = importlib.util.spec_from_file_location("synth_pictures", root / "benchmarks" / "synth_pictures.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["synth_pictures"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["synth_pictures"]


def test_wilson_is_the_published_interval(shared: ModuleType) -> None:
    # Newcombe, Two-sided confidence intervals for the single proportion (1998), table I, method 3.
    for hits, count, low, high in ((81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)):
        found = shared.wilson(hits, count)
        assert found["low"] == pytest.approx(low, abs=1e-4)
        assert found["high"] == pytest.approx(high, abs=1e-4)


def test_bootstrap_of_a_mean_is_as_wide_as_theory_says(shared: ModuleType) -> None:
    values = np.random.default_rng(3).normal(5, 2, 400)
    found = shared.bootstrap(400, lambda rows: float(values[rows].mean()), rounds=2000)
    half = 1.96 * values.std() / 20
    assert found["value"] == pytest.approx(values.mean(), abs=1e-2)
    assert (found["high"] - found["low"]) / 2 == pytest.approx(half, rel=0.1)


def test_a_head_half_covered_is_half_hidden_and_its_far_side_does_not_count(shared: ModuleType) -> None:
    from facegraft.faces.topology import load_topology

    face = load_topology().xyz[:, :2].astype(np.float64) * 80 + 128
    everything = np.ones(468, bool)
    assert shared.hidden_share(face, everything) == pytest.approx(0, abs=1e-9)
    assert shared.hidden_share(face, ~everything) == pytest.approx(1)
    assert shared.hidden_share(face, face[:, 0] > 128) == pytest.approx(0.5, abs=0.05)
    turned = load_topology().xyz.astype(np.float64)
    yaw = np.radians(60)
    flat = np.stack([turned[:, 0] * np.cos(yaw) + turned[:, 2] * np.sin(yaw), turned[:, 1]], 1) * 80 + 128
    depth = -turned[:, 0] * np.sin(yaw) + turned[:, 2] * np.cos(yaw)
    near = depth < np.quantile(depth, 0.8)
    assert shared.hidden_share(flat, near) < 0.25


@pytest.mark.parametrize("yaw", [0.0, 40.0, 75.0])
def test_the_eye_distance_does_not_shrink_with_yaw(shared: ModuleType, yaw: float) -> None:
    turn = np.radians(yaw)
    corners = np.array([[-0.45, 0, 0], [0.45, 0, 0]]) @ np.array(
        [[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]]
    )
    focal, distance, size = 2.0, 9.0, 256
    # A camera on the z axis that looks back to the origin, its centre shifted as `View` may shift it.
    camera = np.array([[focal, 0, -0.53, 0.53 * distance], [0, -focal, -0.48, 0.48 * distance], [0, 0, -1, distance]])
    placed = np.c_[corners, np.ones(2)] @ camera.T
    dense = np.zeros((468, 3))
    dense[list(shared.OUTER_EYES)] = np.c_[placed[:, :2] / placed[:, 2:] * size, placed[:, 2]]
    assert shared.eye_distance(dense, camera, size) == pytest.approx(0.9 * focal / distance * size, rel=1e-6)
