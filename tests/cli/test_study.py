"""`facegraft study`: from folders to scores, and what each action says to faults."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from facegraft.cli.main import main
from facegraft.cli.study import DESIGNS, QUESTIONS
from facegraft.evaluate.study import design
from tests.evaluate.study.studies import build, make_folders


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_names_are_those_of_the_package() -> None:
    assert DESIGNS == design.DESIGNS
    assert QUESTIONS == design.QUESTIONS


def test_build_simulate_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = make_folders(tmp_path / "pictures", ("one", "two", "identity"))
    study = str(tmp_path / "study")
    words = ["study", "build", study, "--conditions", *(f"{name}={folders[name]}" for name in ("one", "two"))]
    words += ["--question", "identity", "natural", "--identity", str(folders["identity"]), "--trials", "7"]
    assert main([*words, "--dry-run"]) == 0
    assert last_line(capsys)["trials"] == 16
    assert not Path(study).exists()
    assert main(words) == 0
    assert last_line(capsys)["stimuli"] == 4
    assert main(words) == 0
    assert "is there already" in capsys.readouterr().out
    assert main(["study", "simulate", study, "--raters", "3", "--scale", "one=1,two=-1"]) == 0
    assert last_line(capsys)["votes"] == 48
    outputs = {name: str(tmp_path / name) for name in ("scores.json", "scores.html", "votes.csv")}
    score = ["study", "score", study, "--simulated", "-o", outputs["scores.json"], "--html", outputs["scores.html"]]
    assert main([*score, "--csv", outputs["votes.csv"]]) == 0
    out = capsys.readouterr().out
    report = json.loads(out.splitlines()[-1])
    assert out.startswith("simulated raters: a rehearsal, no result")
    assert report["simulated"] is True
    assert [question["name"] for question in report["questions"]] == ["identity", "natural"]
    assert json.loads(Path(outputs["scores.json"]).read_text(encoding="utf-8")) == report
    assert len(Path(outputs["votes.csv"]).read_text(encoding="utf-8").splitlines()) == 49
    assert main(["study", "score", study]) == 2  # of people there are no votes
    assert "no votes yet" in capsys.readouterr().err


def test_answers_are_deleted_by_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = build(tmp_path, trials=5)
    assert main(["study", "simulate", str(study), "--raters", "2", "--scale", "one=1,two=0"]) == 0
    (study / "simulated.sqlite").rename(study / "votes.sqlite")  # as if they were people
    assert main(["study", "withdraw", str(study), "2", "3"]) == 2
    assert "rater 3: expected a number from 1 to 2; nothing is deleted" in capsys.readouterr().err
    assert main(["study", "withdraw", str(study), "2"]) == 0
    assert last_line(capsys) == {"deleted": 6, "raters": [2]}
    assert main(["study", "score", str(study)]) == 0
    assert last_line(capsys)["raters"] == 1


def test_plan_prints_the_published_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "plan", "--conditions", "2", "--effect", "0.55", "--power", "0.9", "--rho", "0"]) == 0
    assert last_line(capsys)["votes"] == 1047


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["build", "{new}", "--conditions", "one={one}"], "--conditions: the design pairwise needs 2 or more"),
        (["build", "{new}", "--conditions", "one", "two={two}"], "--conditions: expected NAME=FOLDER, found 'one'"),
        (["build", "{new}", "--conditions", "one={one}", "one={two}"], "'one' is there twice"),
        (["build", "{new}", "--conditions", "one={one}", "two=nowhere"], "nowhere: expected a folder of pictures"),
        (["build", "{study}", "--conditions", "one={one}", "two={two}"], "{study}: holds something else"),
        (["build", "{new}", "--conditions", "one={one}", "two={two}", "--design", "poll"], "invalid choice"),
        (["serve", "{one}"], "{one}: holds no study"),
        (["serve", "{study}", "--token", "a b"], "--token: expected"),
        (["score", "{study}"], "no votes yet"),
        (["simulate", "{study}", "--scale", "one=1"], "--scale: lacks two"),
        (["simulate", "{study}", "--scale", "one=1,two=x"], "--scale: expected NAME=NUMBER, found two=x"),
        (["simulate", "{study}", "--scale", "one=1,two=0,three=0"], "names three, which is no condition"),
        (["simulate", "{study}", "--raters", "0", "--scale", "one=1,two=0"], "--raters: expected 1 or more"),
        (["plan", "--conditions", "1"], "--conditions: expected 2 or more"),
        (["plan", "--conditions", "3", "--effect", "0.5"], "effect: expected a share"),
    ],
)
def test_faults_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    study = build(tmp_path, trials=5)
    names = {
        "study": study,
        "new": tmp_path / "new",
        "one": tmp_path / "pictures/one",
        "two": tmp_path / "pictures/two",
    }
    try:
        code = main(["study", *(word.format(**names) for word in words)])
    except SystemExit as ended:  # argparse's own faults
        code = int(ended.code or 0)
    assert code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("facegraft")
    assert message.format(**names) in line
    assert not (tmp_path / "new").exists()
    assert [path for path in tmp_path.rglob(".facegraft-*")] == []


@pytest.mark.skipif(os.name != "posix", reason="sends an interrupt")
def test_serve_prints_its_address_and_ends_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facegraft", "study", "serve", str(build(tmp_path)), "--token", "token-of-tests"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        assert serving.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/", serving.stdout.readline())
        assert found is not None
        with urllib.request.urlopen(f"{found.group()}token-of-tests/", timeout=20) as page:  # noqa: S310 - this machine
            assert b"<title>" in page.read()
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(found.group(), timeout=20)  # noqa: S310 - this machine
        serving.send_signal(signal.SIGINT)
        assert serving.wait(20) == 0
        assert json.loads(serving.stdout.read().splitlines()[-1])["votes"] == 0
        assert serving.stderr.read() == ""
