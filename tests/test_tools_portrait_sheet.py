"""tools/portrait_sheet.py on two of the examples: tiles in their order, and a file that says that it was made."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.provenance.report import read_provenance


@pytest.fixture
def folder(root: Path, tmp_path: Path) -> Path:
    for name, example in (("a_one", "identity_1"), ("a_two", "attribute_1")):
        shutil.copy(root / "examples" / f"{example}.jpg", tmp_path / f"{name}.jpg")
    return tmp_path


def run(root: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tools" / "portrait_sheet.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_sheet_shows_identity_attribute_and_swapped_and_says_so(root: Path, folder: Path) -> None:
    out = folder / "sheet.jpg"
    pairs = ("--pair", "one", "two", "--pair", "two", "one", "--pair", "one", "one")
    done = run(root, folder, out, *pairs, "--side", 96)
    assert done.returncode == 0, done.stderr
    sheet = read_picture(out).frame.astype(float)
    assert sheet.shape == (2 * 96, 6 * 96, 3)
    one, two, put, two_again, one_again, _ = np.split(sheet[:96], 6, axis=1)
    assert np.abs(one - one_again).mean() < 3
    assert np.abs(two - two_again).mean() < 3
    assert 3 < np.abs(put - two).mean() < np.abs(one - two).mean()
    assert sheet[96:, 3 * 96 + 8 :].min() > 245  # no fourth pair
    assert read_provenance(out).xmp["method"] == "warp"


def test_a_name_that_no_picture_has_is_an_error(root: Path, folder: Path) -> None:
    done = run(root, folder, folder / "sheet.jpg", "--pair", "one", "three")
    assert done.returncode != 0
    assert "expected one picture *_three.jpg, found 0" in done.stderr
    assert not (folder / "sheet.jpg").exists()
