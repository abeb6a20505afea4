"""The eight orientations: pictures upright, patches back, both against each other and against FFmpeg's angle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.core.types import Patch, paste
from facegraft.runtime.video.orient import Orientation, orientation_of, to_coded, to_upright

ONE = 1 << 16
ALL = [Orientation(transpose, x, y) for transpose in (False, True) for x in (False, True) for y in (False, True)]


@pytest.mark.parametrize(
    ("matrix", "quarters"),
    [
        ((ONE, 0, 0, 0, ONE, 0, 0, 0, 1 << 30), 0),
        ((0, -ONE, 0, ONE, 0, 0, 0, 0, 1 << 30), 1),  # what FFmpeg writes for 90 degrees counter-clockwise
        ((-ONE, 0, 0, 0, -ONE, 0, 0, 0, 1 << 30), 2),
        ((0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30), 3),
    ],
)
def test_matrices_turn_counter_clockwise(matrix: tuple[int, ...], quarters: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    orientation = orientation_of(matrix)
    assert orientation is not None
    assert (to_upright(picture, orientation) == np.rot90(picture, quarters)).all()


def test_a_slanted_matrix_is_none() -> None:
    assert orientation_of((60000, 20000, 0, -20000, 60000, 0, 0, 0, 1 << 30)) is None
    assert orientation_of(None) == Orientation()


@given(
    orientation=st.sampled_from(ALL),
    size=st.tuples(st.integers(4, 20), st.integers(4, 20)),
    seed=st.integers(0, 1000),
)
def test_a_patch_lands_where_it_was_made(orientation: Orientation, size: tuple[int, int], seed: int) -> None:
    """Pasting upright, then turning, equals turning the patch and pasting in the coded picture."""
    rng = np.random.default_rng(seed)
    coded = rng.integers(60, 190, (*size, 3)).astype(np.uint8)
    upright = np.ascontiguousarray(to_upright(coded, orientation)).copy()
    height, width = upright.shape[:2]
    rows, columns = int(rng.integers(1, height + 1)), int(rng.integers(1, width + 1))
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    patch = Patch(left=left, top=top, delta=rng.integers(-50, 50, (rows, columns, 3)).astype(np.float32))
    paste(upright, [patch])
    paste(coded, [to_coded(patch, orientation, size)])
    assert (to_upright(coded, orientation) == upright).all()
