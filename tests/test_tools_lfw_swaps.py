"""tools/lfw_swaps.py: which pairs become swaps, and the folders that `facegraft eval` reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ["fold,same,first,second", "1,1,A_1.jpg,A_2.jpg"]
    rows += [f"1,0,A_{number}.jpg,B_{number}.jpg" for number in range(6)]
    (tmp_path / "lfw_pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "lfw").mkdir()
    for person in "AB":
        for number in range(6):
            (tmp_path / "lfw" / f"{person}_{number}.jpg").write_bytes(f"{person}{number}".encode())
    return tmp_path


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(root / "tools" / "lfw_swaps.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_strangers_are_taken_evenly_and_the_first_says_who(root: Path, folder: Path) -> None:
    done = run(root, str(folder), str(folder / "out"), "--pairs", "3")
    assert json.loads(done.stdout) == {"pairs": 3, "output": str(folder / "out")}
    found = {
        side: [path.read_bytes().decode() for path in sorted((folder / "out" / side).iterdir())]
        for side in ("identity", "attribute")
    }
    assert found == {"identity": ["A0", "A2", "A4"], "attribute": ["B0", "B2", "B4"]}
    assert sorted(path.name for path in (folder / "out" / "identity").iterdir())[0] == "p0000.jpg"


def test_what_cannot_be_made_is_told_and_nothing_is_written(root: Path, folder: Path) -> None:
    for pairs, words in (("7", "1 to 6"), ("0", "1 to 6")):
        done = run(root, str(folder), str(folder / "out"), "--pairs", pairs)
        assert (done.returncode, words in done.stderr) == (2, True)
    (folder / "lfw" / "B_3.jpg").unlink()
    done = run(root, str(folder), str(folder / "out"), "--pairs", "6")
    assert done.returncode == 2
    assert "B_3.jpg: is missing (1 in all)" in done.stderr
    assert not (folder / "out").exists()
    (folder / "out").mkdir()
    done = run(root, str(folder), str(folder / "out"), "--pairs", "1")
    assert "is there already" in done.stderr
