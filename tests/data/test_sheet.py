"""Sheets of samples."""

from __future__ import annotations

from pathlib import Path

import pytest

from facegraft.core.errors import BadInputError
from facegraft.core.image import read_picture
from facegraft.data.sheet import write_sheet
from tests.data.small_sets import small_set


def test_the_seed_chooses_and_a_negative_one_is_one_line(tmp_path: Path) -> None:
    dataset = small_set(tmp_path / "set", people=3, photos=3)
    sheets = [tmp_path / f"{n}.png" for n in range(3)]
    for path, seed in zip(sheets, (0, 0, 1), strict=True):
        assert write_sheet(dataset, path, count=2, seed=seed) == 2
    pictures = [read_picture(path).frame.tobytes() for path in sheets]
    assert pictures[0] == pictures[1] != pictures[2]
    with pytest.raises(BadInputError, match="--seed: expected 0 or more, found -1"):
        write_sheet(dataset, tmp_path / "no.png", seed=-1)
