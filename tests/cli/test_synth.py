"""`facegraft synth`: plans without torch or assets, and faults in one line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.cli.main import main


def test_dry_run_says_what_would_be_written_and_loads_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from facegraft.cli.main import main; "
        f"code = main(['synth', '-o', {str(tmp_path / 'set')!r}, '--people', '200', '--images', '1000', "
        "'--pairs', 'exact', '--dry-run']); print('torch' in sys.modules, code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("would write 1000 pictures (256 x 256 png) of 200 people in 17 shards to ")
    facts = json.loads(lines[1])
    assert (facts["pictures"], facts["people"], facts["options"]["plan"]) == (1000, 200, "swaps")
    assert lines[2] == "False 0"
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--people", "0"], "--people: expected 1 to 1000000, found 0"),
        (["--people", "2", "--seed", "2000000"], "--seed: expected 0 to 1099510 "),
        (["--people", "2", "--stratum", "dark"], "--stratum: expected one of mixed, "),
        (["--people", "1", "--pairs", "exact"], "--pairs exact: expected 2 people"),
        (["--people", "2", "--size", "7"], "--size: expected 32 to 2048 pixels, found 7"),
        (["--people", "2", "--size", "100000"], "--size: expected 32 to 2048 pixels, found 100000"),
        (["--people", "2", "--dial", "nan"], "--dial: expected 0 to 1, found nan"),
        (["--people", "2", "--planes", "edges"], "--planes: expected names of regions, occluder, "),
    ],
)
def test_faults_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["synth", "-o", str(tmp_path / "set"), *words, "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"facegraft synth: {message}")
    assert not (tmp_path / "set").exists()


def test_folders_of_backgrounds_add_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [tmp_path / "rooms", tmp_path / "my woods"]
    for folder in folders:
        folder.mkdir()
        (folder / "wall.png").touch()
    words = ["synth", "-o", str(tmp_path / "set"), "--people", "2", "--dry-run"]
    assert main([*words, *(word for folder in folders for word in ("--backgrounds", str(folder)))]) == 0
    options = json.loads(capsys.readouterr().out.splitlines()[-1])["options"]
    assert options["backgrounds"] == os.pathsep.join(str(folder.resolve()) for folder in folders)
    odd = tmp_path / f"a{os.pathsep}b"
    odd.mkdir()
    assert main([*words, "--backgrounds", str(odd)]) == 2
    assert "rename it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "file", "--people", "1"], "file: expected a folder for the dataset, found a file; name another by -o"),
        (["-o", "set", "--people", "1", "--backgrounds", "empty"], "--backgrounds: "),
        (["-o", "set", "--people", "1", "--sheet", "no/sheet.png"], "--sheet: its folder "),
        (["-o", "set", "--people", "1", "--sheet", "sheet.txt"], "sheet.txt: cannot write pictures as '.txt'"),
        (["-o", "set", "--people", "1", "--device", "tpu"], "--device: expected cpu or cuda, found 'tpu'"),
    ],
)
def test_what_cannot_be_written_is_one_line_and_makes_nothing(
    tmp_path: Path,
    makehuman: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    message: str,
) -> None:
    pytest.importorskip("torch", reason="rendering needs the extra `train`")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert main(["synth", *words, "--assets", str(makehuman.resolve())]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"facegraft synth: {message}")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "file"]


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on the size of files")
def test_a_disk_that_takes_no_shard(tmp_path: Path, makehuman: Path) -> None:
    """4 kB hold the plan, but no shard; without the limit the same command ends well."""
    pytest.importorskip("torch", reason="rendering needs the extra `train`")
    words = ["synth", "-o", str(tmp_path / "set"), "--people", "1", "--images", "2", "--size", "32", "--jobs", "1"]
    words += ["--assets", str(makehuman)]
    program = (
        "import resource, sys; sys.dont_write_bytecode = True; "  # or modules compiled here would be cut off too
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)); "
        "from facegraft.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "000000.safetensors: cannot be written (file too large)" in line
    assert sorted(path.name for path in (tmp_path / "set").rglob("*")) == ["shards", "synth.json"]
    assert main(words) == 0


def test_a_set_and_its_sheet(tmp_path: Path, makehuman: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch", reason="rendering needs the extra `train`")
    words = ["-o", str(tmp_path / "set"), "--people", "2", "--images", "4", "--size", "32", "--jobs", "1"]
    words += ["--assets", str(makehuman), "--sheet", str(tmp_path / "sheet.png")]
    assert main(["synth", *words]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"4 pictures of 2 people, 0 exact pairs: {tmp_path / 'set'}"
    assert out[1] == f"4 samples: {tmp_path / 'sheet.png'}"
    assert json.loads(out[2])["pictures"] == 4
    assert (tmp_path / "sheet.png").stat().st_size > 1000
    assert main(["synth", *words[:-2]]) == 0  # says the same, renders nothing
    assert main(["synth", *words[:3], "3", *words[4:-2]]) == 2
    assert "begun with other options (people 2 is now 3)" in capsys.readouterr().err
