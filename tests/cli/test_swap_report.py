"""Where the report of a swap goes, and what it never goes over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from facegraft.cli.swap_report import forget_overwritten, write_report


def facts(*files: dict[str, Any]) -> dict[str, Any]:
    return {"facegraft": "0", "method": "warp", "files": list(files), "failed": 0}


def one(written: Path | None, **more: Any) -> dict[str, Any]:
    return {"attribute": "a.jpg", "written": None if written is None else str(written), **more}


def test_a_file_has_its_report_beside_it_and_a_folder_one_within(tmp_path: Path) -> None:
    swapped = one(tmp_path / "out.png", quality={"lost": 0})
    assert write_report(facts(swapped), Path("a.jpg"), None) == (tmp_path / "out.png.report.json", "")
    assert write_report(facts(swapped), tmp_path, None) == (tmp_path / "report.json", "")
    for name in ("out.png.report.json", "report.json"):
        assert json.loads((tmp_path / name).read_text()) == facts(swapped)


def test_where_nobody_was_swapped_there_is_none_unless_it_is_asked_for(tmp_path: Path) -> None:
    kept = facts(one(tmp_path / "out.png"), one(None))
    assert write_report(kept, Path("a.jpg"), None) == (None, "")
    assert list(tmp_path.iterdir()) == []
    assert write_report(kept, Path("a.jpg"), tmp_path / "r.json") == (tmp_path / "r.json", "")


LIKE_ONE = b'{"facegraft": 1, "method": 2, "files": 3}'


@pytest.mark.parametrize("content", [b'{"mine": 1}', b"[1]", b"no JSON", b"\xff\xd8\xff\xe0", b"[" * 100_000, LIKE_ONE])
def test_what_is_no_report_stays(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(content)
    found, why = write_report(facts(), Path("a.jpg"), path)
    assert found is None
    assert why.startswith("no report: ")
    assert path.read_bytes() == content


def test_an_earlier_report_and_an_empty_file_are_written_over(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.touch()
    for number in range(2):
        assert write_report(facts(one(None, number=number)), Path("a.jpg"), path) == (path, "")
        assert json.loads(path.read_text())["files"][0]["number"] == number
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "missing" / "r.json", tmp_path / ("x" * 300)):
        found, why = write_report(facts(), Path("a.jpg"), place)
        assert found is None
        assert why.startswith("no report: ")
        assert "\n" not in why
    assert list(tmp_path.iterdir()) == []


def test_files_that_were_there_keep_what_was_said_of_them(tmp_path: Path) -> None:
    first = one(tmp_path / "a.png", quality={"lost": 1})
    second = one(tmp_path / "b.png", quality={"lost": 2})
    write_report(facts(first), tmp_path, None)
    again = one(tmp_path / "a.png", already_there=True)
    write_report(facts(again, second, one(tmp_path / "c.png", already_there=True)), tmp_path, None)
    files = json.loads((tmp_path / "report.json").read_text())["files"]
    assert files == [first, second, one(tmp_path / "c.png", already_there=True)]


def test_what_was_said_of_files_of_other_runs_stays_while_they_are_there(tmp_path: Path) -> None:
    first, gone, second = (one(tmp_path / name, quality={"lost": 1}) for name in ("a.png", "gone.png", "b.png"))
    (tmp_path / "a.png").touch()
    write_report(facts(first, gone), tmp_path, None)
    broken = {"attribute": "broken.jpg", "failed": "damaged"}
    write_report(facts(second, broken), tmp_path, None)
    assert json.loads((tmp_path / "report.json").read_text())["files"] == [first, second, broken]


@pytest.mark.parametrize(("before", "now"), [("out", "rc/out"), ("../rc/out", "out"), (".", "../rc/out")])
def test_entries_are_known_however_their_paths_are_spelt(
    before: str, now: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path / "rc" / "out", tmp_path / "out"):
        folder.mkdir(parents=True)
        for name in ("a.png", "b.png"):
            (folder / name).touch()
    places = {"out": tmp_path / "rc", "../rc/out": tmp_path / "rc", ".": tmp_path / "rc" / "out", "rc/out": tmp_path}
    monkeypatch.chdir(places[before])
    files = [one(Path(before) / name, quality={"lost": 1}) for name in ("a.png", "b.png")]
    write_report(facts(*files), Path(), None)
    monkeypatch.chdir(places[now])
    again = [one(Path(now) / name, already_there=True) for name in ("a.png", "b.png")]
    new = one(Path(now) / "c.png", quality={"lost": 2})
    path, _ = write_report(facts(*again, new), Path(), None)
    assert path == Path(now) / "report.json"
    told = json.loads(path.read_text())["files"]
    assert told == [{**entry, "quality": {"lost": 1}} for entry in (one(Path(now) / n) for n in ("a.png", "b.png"))] + [
        new
    ]


def test_reports_of_other_folders_are_not_mixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").touch()
        written = one(Path(folder) / "a.png", folder=folder, quality={})
        assert write_report(facts(written), Path("a.jpg"), Path("r.json")) == (Path("r.json"), "")
    (tmp_path / "a.png").touch()
    assert [entry["folder"] for entry in json.loads(Path("r.json").read_text())["files"]] == ["x", "y"]


def test_what_was_said_of_a_file_goes_when_it_is_written_over(tmp_path: Path) -> None:
    first, second = (one(tmp_path / name, quality={"lost": 1}) for name in ("a.png", "b.png"))
    write_report(facts(first, second), tmp_path, None)
    alone, _ = write_report(facts(first), Path("a.jpg"), None)
    other = tmp_path / "b.png.report.json"
    other.write_text('{"mine": 1}')
    anew, there = one(tmp_path / "a.png"), one(tmp_path / "b.png", already_there=True)
    assert forget_overwritten([there, {"attribute": "c.jpg", "error": "broken"}], None) == []
    assert forget_overwritten([anew, there], alone) == [str(tmp_path / "report.json")]
    assert json.loads((tmp_path / "report.json").read_text())["files"] == [second]
    assert forget_overwritten([anew], None) == [str(alone)]
    assert alone is not None
    assert not alone.exists()
    assert forget_overwritten([one(tmp_path / "b.png")], None) == [str(tmp_path / "report.json")]
    assert [path.name for path in tmp_path.iterdir()] == [other.name]
