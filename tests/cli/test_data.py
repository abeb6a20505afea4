"""`facegraft data`: assets from a folder, what a dataset holds, sheets, plans of the benchmark sets."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facegraft.cli.data import progress_bar
from facegraft.cli.main import main
from facegraft.core.errors import BadInputError
from facegraft.core.image import read_picture
from facegraft.core.image_bytes import encode_frame
from facegraft.data.dataset import DatasetCard, Item, Pair, write_card, write_shard


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Ten flat pictures of two people, and one swap with two truths."""
    folder = tmp_path / "set"

    def item(key: str, grey: int, person: str, role: str = "picture") -> Item:
        picture = encode_frame(np.full((24, 16 + 8 * (grey % 2), 3), grey, np.uint8))
        return Item(key, person, picture, "CC0-1.0", "", "made for a test", synthetic=True, role=role)

    items = [item(f"p{n}", 10 * n, f"person {n % 2}") for n in range(10)]
    truths = [item(f"t{n}", 101 + n, "person 0", role="truth") for n in range(2)]
    write_shard(folder, 0, items)
    write_shard(folder, 1, truths, [Pair("p0", "p1", {"inner": "t0", "head": "t1"}, "ordinary")])
    write_card(folder, DatasetCard("test", seed=3))
    return folder


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_info_counts(dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "info", str(dataset)]) == 0
    facts = last_line(capsys)
    assert (facts["items"], facts["people"], facts["pairs"], facts["seed"]) == (12, 2, 1, 3)
    assert facts["counts"]["licence"] == {"CC0-1.0": 12}  # type: ignore[index]


def test_sheet_draws_swaps_as_rows(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "sheet.png"
    assert main(["data", "sheet", str(dataset), "-o", str(path), "--count", "8"]) == 0
    assert last_line(capsys) == {"pictures": 4, "output": str(path)}
    pixels = read_picture(path).pixels
    assert pixels.shape == (4 + 28, 4 + 4 * 28, 3)
    middles = [int(pixels[4 + 12, 4 + 28 * column + 12, 0]) for column in range(4)]
    assert middles == [0, 10, 101, 102]


def test_report_counts_pictures_and_no_truths(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.html"
    assert main(["data", "report", str(dataset), "-o", str(path)]) == 0
    assert last_line(capsys) == {"pictures": 10, "people": 2, "output": str(path)}
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["info", "nowhere"], "nowhere: no dataset"),
        (["sheet", "{set}", "-o", "{set}/x.png", "--count", "0"], "--count: expected 1 or more"),
        (["assets", "--jobs", "0"], "--jobs: expected 1 or more"),
        (["assets", "--link"], "--link: needs --from"),
        (["assets", "--from", "{set}", "--to", "{set}/new"], "{set}/data/3dobjs/base.obj: missing"),
        (["benchmark", "exact-1k", "-o", "{set}/new", "--size", "8", "--dry-run"], "--size: expected 32 to 2048"),
        (["benchmark", "exact-2k", "-o", "x"], "argument set: invalid choice"),
    ],
)
def test_faults_are_one_line(dataset: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    filled = [word.format(set=dataset) for word in words]
    try:
        code = main(["data", *filled])
    except SystemExit as ended:  # argparse's own faults
        code = int(ended.code or 0)
    assert code == 2
    *_, line = capsys.readouterr().err.splitlines()  # a progress bar may stand before
    assert line.startswith(f"facegraft data: {message.format(set=dataset)}") or message in line
    assert not (dataset / "new").exists()


def test_plans_of_assets_and_benchmarks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "assets", "--to", str(tmp_path / "assets"), "--dry-run"]) == 0
    assert last_line(capsys)["files"] == 715
    assert main(["data", "benchmark", "clips-50", "-o", str(tmp_path / "clips"), "--dry-run"]) == 0
    assert last_line(capsys)["pictures"] == 4850
    assert list(tmp_path.iterdir()) == []


def test_assets_from_a_folder(makehuman: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "assets"
    assert main(["data", "assets", "--from", str(makehuman), "--to", str(folder), "--link"]) == 0
    assert last_line(capsys)["copied"] == 715
    assert folder.is_symlink()


def test_the_bar_keeps_quiet_until_something_is_done(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    with pytest.raises(BadInputError), progress_bar("shards", 3):
        raise BadInputError("early")
    assert capsys.readouterr().err == ""
    with progress_bar("shards", 3) as update:
        update(2)
    assert "2/3" in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")
    with progress_bar("shards", 3) as update:
        update(2)
    assert capsys.readouterr().err == ""
