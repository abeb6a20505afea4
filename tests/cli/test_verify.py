from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegraft.cli.main import make_parser
from facegraft.provenance.finish import finish_file
from facegraft.provenance.manifest import origin_now


@pytest.fixture(autouse=True)
def user_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRAFT_HOME", str(tmp_path / "user"))


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def signed(plain: Path, tmp_path: Path) -> Path:
    path = tmp_path / "signed.png"
    path.write_bytes(plain.read_bytes())
    assert finish_file(path, origin_now("warp"), "full") == []
    return path


def verify(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, list[str], list[str]]:
    args = make_parser("verify").parse_args(["verify", *map(str, arguments)])
    code = args.run(args)
    captured = capsys.readouterr()
    return code, captured.out.splitlines(), captured.err.splitlines()


def test_an_intact_file_ends_in_0(capsys: pytest.CaptureFixture[str], signed: Path) -> None:
    code, out, err = verify(capsys, signed)
    assert (code, err) == (0, [])
    assert out[0].startswith(f"{signed}: INTACT: made or changed by an algorithm with facegraft")
    assert json.loads(out[-1])["files"][0]["manifest"]["state"] == "valid"


def test_a_file_that_says_nothing_ends_in_1(capsys: pytest.CaptureFixture[str], plain: Path) -> None:
    code, out, _ = verify(capsys, plain, "--watermark")
    assert code == 1
    assert json.loads(out[-1])["files"][0]["watermark"]["found"] is False


def test_a_changed_file_ends_in_1(capsys: pytest.CaptureFixture[str], signed: Path) -> None:
    content = bytearray(signed.read_bytes())
    content[len(content) // 2] ^= 1
    signed.write_bytes(content)
    code, out, _ = verify(capsys, signed)
    assert code == 1
    assert json.loads(out[-1])["files"][0]["status"] == "broken"


def test_bad_input_ends_in_2_and_the_other_files_are_still_read(
    capsys: pytest.CaptureFixture[str], signed: Path, tmp_path: Path
) -> None:
    code, out, err = verify(capsys, tmp_path / "missing.jpg", signed, tmp_path)
    assert code == 2
    assert len(err) == 2
    assert [entry["status"] for entry in json.loads(out[-1])["files"]] == ["error", "intact", "error"]


def test_hostile_names_and_texts_stay_on_their_line(capsys: pytest.CaptureFixture[str], plain: Path) -> None:
    path = plain.rename(plain.with_name("a\nINTACT \x1b[31m.png"))
    finish_file(path, origin_now("warp", consent="x\n  signed manifest  valid"), "full")
    _, out, _ = verify(capsys, path)
    assert len(out) == 6
    assert not any("\x1b" in line for line in out)


def test_help_has_exit_codes_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        make_parser("verify").parse_args(["verify", "--help"])
    text = capsys.readouterr().out
    assert "exit codes:\n  0  " in text
    assert "facegraft verify swapped.jpg\n" in text
