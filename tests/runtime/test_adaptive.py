"""GHOST's adaptive mask: the wider the result, the farther it reaches, with published numbers at 224 pixels."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.faces.topology import LANDMARKS_68, LEFT_BROW, LEFT_EYE, MOUTH_LEFT, RIGHT_EYE
from facegraft.runtime.adaptive import EDGES, LEFT_SIDE, LOWER_LIDS, RIGHT_SIDE, adaptive_mask, edge_number, narrowing
from tests.faces.drawn import posed

SIDE = 224


def mesh(widened: float = 1.0, **pose: object) -> np.ndarray:
    dense = posed(**({"size": 90, "at": (112, 112)} | pose))  # type: ignore[arg-type]  # a test's own words
    dense[:, 0] = 112 + (dense[:, 0] - 112) * widened
    return dense


def test_the_sides_are_left_and_right_of_the_frame_and_twins() -> None:
    dense = mesh()
    left, right = dense[list(LEFT_SIDE), 0], dense[list(RIGHT_SIDE), 0]
    assert left.max() < 112 < right.min()
    assert np.allclose(np.sort(112 - left), np.sort(right - 112), atol=2)
    mouth = dense[MOUTH_LEFT, 1]
    assert (dense[list(LEFT_SIDE), 1] < mouth + 25).all()
    assert set(LEFT_SIDE) | set(RIGHT_SIDE) <= set(LANDMARKS_68[:17])


def test_lower_lids_are_the_lower_ones_of_their_eyes() -> None:
    dense = mesh()
    for lid, eye in zip(LOWER_LIDS, (LEFT_EYE, RIGHT_EYE), strict=True):
        upper = dense[[n for n in eye[1:] if n not in lid and n != eye[8]], 1]
        assert dense[list(lid), 1].min() > upper.max() - 1
        assert dense[list(lid), 1].mean() > upper.mean() + 3


def test_edges_are_as_soft_across_and_along_as_published() -> None:
    """15 to 10 where it is narrowed most, 5 to 10 where it is widened: slopes are as the inverse."""
    for number, expected in ((0, 15 / 10), (3, 5 / 10)):
        mask = adaptive_mask(mesh(), SIDE, number)
        across, along = np.abs(np.diff(mask[112])).max(), np.abs(np.diff(mask[112:, 112])).max()
        assert along / across == pytest.approx(expected, rel=0.25)


def test_narrowing_counts_three_points_of_the_side_that_lost_more() -> None:
    dense, moved = mesh(), mesh()
    moved[list(LEFT_SIDE), 0] += 4  # inwards
    moved[list(RIGHT_SIDE), 0] += 1  # outwards
    assert narrowing(dense, moved, SIDE) == pytest.approx(12 / SIDE, abs=1e-5)
    moved[list(RIGHT_SIDE), 0] -= 7
    assert narrowing(dense, moved, SIDE) == pytest.approx(18 / SIDE, abs=1e-5)
    assert narrowing(dense, mesh(1.2), SIDE) < 0 < narrowing(dense, mesh(0.9), SIDE)


@pytest.mark.parametrize(("pixels", "number"), [(99, 0), (6.1, 0), (5.9, 1), (3.1, 1), (2.9, 2), (-2.9, 2), (-3.1, 3)])
def test_published_thresholds(pixels: float, number: int) -> None:
    assert edge_number(pixels / 224) == number


def test_no_place_is_too_narrow_or_too_wide() -> None:
    assert edge_number(-1e9) == 3
    assert edge_number(float("-inf")) == 3


def reach(mask: np.ndarray, row: int) -> float:
    """Half width of a mask at a row: its sum right of the middle."""
    return float(mask[row, 112:].sum())


def test_the_mask_keeps_away_from_the_edge_or_reaches_beyond() -> None:
    dense = mesh()
    row = int(dense[list(RIGHT_SIDE), 1].mean())
    widths = [reach(adaptive_mask(dense, SIDE, number), row) for number in range(4)]
    assert widths == sorted(widths)
    outline = float(dense[list(RIGHT_SIDE), 0].mean()) - 112
    for width, grow in zip(widths, (-15, -10, -5, 5), strict=True):
        assert width - outline == pytest.approx(grow / 2, abs=4)


def test_brows_are_pushed_up_farther_where_the_mask_is_narrowed() -> None:
    """What erosion takes, brows win back: the forehead above them belongs to the face."""
    dense = mesh()
    brow = dense[list(LEFT_BROW)].mean(axis=0)
    x, y = int(brow[0]), int(brow[1])
    for number in range(4):
        mask = adaptive_mask(dense, SIDE, number)
        assert mask[y, x] > 0.5
        assert mask[y + 20, x] > 0.9
    edges = [np.flatnonzero(adaptive_mask(dense, SIDE, number)[:, x] > 0.5)[0] for number in range(4)]
    assert edges[1] < edges[3], "pushed up by 2.0, against 0.5"


def test_the_border_of_the_crop_stays_free() -> None:
    for number, edge in enumerate(EDGES):
        mask = adaptive_mask(mesh(size=200), SIDE, number)
        assert mask[112, 112] > 0.99
        for line in (mask[0], mask[-1], mask[:, 0], mask[:, -1]):
            assert line.max() < (0.06 if edge.blur[0] == edge.blur[1] else 0.2)


@pytest.mark.parametrize("side", [64, 128])
def test_crops_of_other_sizes_get_the_same_mask(side: int) -> None:
    whole = adaptive_mask(mesh(), SIDE, 1)
    small = adaptive_mask((mesh() * (side / SIDE)).astype(np.float32), side, 1)
    assert small.shape == (side, side)
    assert small.dtype == np.float32
    step = SIDE / side
    there = ((np.arange(side) + 0.5) * step).astype(int)
    assert np.abs(small - whole[np.ix_(there, there)]).max() < 0.08
