"""`facegraft synth`: plans without torch or assets, and faults in one line."""

from __future__ import annotations

import json
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
    ],
)
def test_faults_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["synth", "-o", str(tmp_path / "set"), *words, "--dry-run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"facegraft synth: {message}")
    assert not (tmp_path / "set").exists()


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
