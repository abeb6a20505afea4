"""`facegraft ingest`: one line for what is wrong, a summary and one line of JSON for what is right, 130 for Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegraft.cli.main import main
from facegraft.core.image import save_frame
from facegraft.data.dataset import open_dataset
from facegraft.data.fanout import run_units
from facegraft.faces.fetch import own_networks
from tests.data.ingest_inputs import contents, fill


def complaint(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    assert main(["ingest", *map(str, arguments)]) == 2
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def run(capfd: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[str, dict[str, Any]]:
    assert main(["ingest", *map(str, arguments)]) == 0
    out = capfd.readouterr().out
    return out, json.loads(out.splitlines()[-1])


@pytest.fixture
def wall(tmp_path: Path) -> Path:
    path = tmp_path / "wall.png"
    save_frame(path, np.full((200, 200, 3), 90, np.uint8))
    return path


def test_wrong_options_are_one_line(tmp_path: Path, wall: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "set"
    assert "cannot be opened" in complaint(capfd, tmp_path / "none", "-o", out)
    assert "there are arcface_112_v1" in complaint(capfd, wall, "-o", out, "--template", "mine")
    assert "--points: expected own, mediapipe, found 'mine'" in complaint(capfd, wall, "-o", out, "--points", "mine")
    assert "--people: expected folder" in complaint(capfd, wall, "-o", out, "--people", "all")
    assert "--min-score: expected 0 to 1" in complaint(capfd, wall, "-o", out, "--min-score", "7")
    assert "--size: expected 32" in complaint(capfd, wall, "-o", out, "--size", "8")
    assert "--jobs: expected 1" in complaint(capfd, wall, "-o", out, "--jobs", "0")
    assert "--quality: expected 1 to 100" in complaint(capfd, wall, "-o", out, "--quality", "0")
    assert "--max-megapixels must be above 0" in complaint(capfd, wall, "-o", out, "--max-megapixels", "0")
    assert "found a file; name another by -o" in complaint(capfd, wall, "-o", wall)
    assert "cannot be opened" in complaint(capfd, wall, "-o", out, "--manifest", tmp_path / "none.csv")
    assert not out.exists()


def test_dry_run_counts_and_writes_nothing(tmp_path: Path, wall: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    out, facts = run(capfd, tmp_path, "-o", tmp_path.with_name("set"), "--dry-run")
    assert "would read 1 photographs and 0 clips" in out
    assert facts == {"output": None, "photos": 1, "clips": 0, "parts": 1, "not_readable": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "wall.png"]


def test_a_picture_beyond_the_limit_is_left_out(root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    picture = root / "examples" / "identity_1.jpg"
    assert "unreadable" in complaint(capfd, picture, "-o", tmp_path / "small", "--max-megapixels", "0.01")
    assert run(capfd, picture, "-o", tmp_path / "set", "--max-megapixels", "2")[1]["items"] == 1


def test_no_face_is_exit_2_and_one_line(tmp_path: Path, wall: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = complaint(capfd, wall, "-o", tmp_path / "set")
    assert "no face in 1 files can be used (1 x no face)" in line


def test_summary_says_what_was_left_out_and_cries_over_licences(
    root: Path, tmp_path: Path, wall: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    picture = root / "examples" / "identity_1.jpg"
    arguments = (picture, wall, "-o", tmp_path / "set", "--size", "64", "--report")
    out, facts = run(capfd, *arguments)
    assert "1 faces" in out
    assert "left out: 1 x no face" in out
    assert "WARNING: 1 of 1 faces have NO KNOWN LICENCE" in out
    assert facts["items"] == facts["unknown_licence"] == 1
    assert facts["rejected"] == {"no face": 1}
    assert "<svg" in Path(facts["report"]).read_text(encoding="utf-8")
    again, facts = run(capfd, *arguments)
    assert "done already" in again
    assert facts["already_done"]
    command = "facegraft ingest identity_1.jpg wall.png -o set --size 64 --report"
    card = open_dataset(tmp_path / "set").card
    assert card.command == command
    assert card.options["points"] == "own"
    assert f"landmarks {own_networks()[1].sha256[:12]}" in card.about
    assert "attributes" not in card.about  # it has no part in the labels
    assert "was begun with size 64" in complaint(capfd, picture, wall, "-o", tmp_path / "set")


def test_a_teacher_that_was_not_fetched_is_one_line_and_nothing_is_written(
    tmp_path: Path, wall: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path / "none"))
    line = complaint(capfd, wall, "-o", tmp_path / "set", "--points", "mediapipe")
    assert "facegraft models fetch --teacher" in line
    assert not (tmp_path / "set").exists()


def test_without_dask_one_line_names_the_extra(
    tmp_path: Path, wall: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert callable(run_units)
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = complaint(capfd, wall, "-o", tmp_path / "set", "--scheduler", "tcp://127.0.0.1:1")
    assert "facegraft[scale]" in line


COMMAND = "import sys; from facegraft.data import ingest_plan; ingest_plan.FEWEST_PHOTOS = 1; from facegraft.cli.main \
import main; sys.exit(main(sys.argv[1:]))"


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("stop", "jobs", "code"), [("SIGINT", 2, 130), pytest.param("SIGKILL", 1, -9, marks=pytest.mark.slow)]
)
def test_stopped_from_outside_it_goes_on(root: Path, tmp_path: Path, stop: str, jobs: int, code: int) -> None:
    photos, out = tmp_path / "photos", tmp_path / "set"
    fill(photos, root)
    arguments = ["ingest", str(photos), "--size", "64", "--jobs", str(jobs), "-o"]
    command = [sys.executable, "-c", COMMAND, *arguments, str(out)]
    first = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(out.glob(".ingest/units/*.json")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(first.pid, getattr(signal, stop))  # as a terminal does: the workers get it too
    _, complaints = first.communicate(timeout=30)
    assert first.returncode == code, complaints
    if stop == "SIGINT":
        assert complaints.splitlines()[-1].endswith("interrupted; the same command continues where it stopped")
        assert "Traceback" not in complaints
    assert not (out / "card.json").exists()
    records = {path: path.stat().st_mtime_ns for path in out.glob(".ingest/units/*.json")}
    assert records

    whole = tmp_path / "whole"
    for folder, number in ((out, jobs), (whole, 3 - jobs)):
        again = [word if word != str(jobs) else str(number) for word in command[:-1]]
        ended = subprocess.run([*again, str(folder)], capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stderr
    assert contents(open_dataset(out)) == contents(open_dataset(whole))
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in whole.iterdir())
