"""The command's frame: help that loads nothing heavy, one line per error, exit codes."""

from __future__ import annotations

import argparse
import ast
import json
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facegraft.cli import main as frame
from facegraft.core.errors import BadInputError

HEAVY = {"numpy", "cv2", "av", "onnxruntime", "PIL", "rich", "pydantic", "jaxtyping", "torch", "importlib.metadata"}


def run_command(*arguments: str | bytes, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "facegraft", *arguments]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, check=False)


def with_verb(monkeypatch: pytest.MonkeyPatch, run: Callable[[object], int]) -> None:
    """Puts a verb of this test in the place of `doctor`."""
    module = types.ModuleType("facegraft.cli.doctor")
    module.add_arguments = lambda parser: parser.add_argument("path", nargs="?")  # type: ignore[attr-defined]
    module.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "facegraft.cli.doctor", module)


def raising(error: BaseException) -> Callable[[object], int]:
    def run(_args: object) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (BadInputError("a.jpg: no picture"), 2, "facegraft doctor: a.jpg: no picture"),
        (BadInputError("two\nlines\x1b[31m"), 2, r"facegraft doctor: two\nlines\x1b[31m"),
        (
            FileNotFoundError(2, "No such file or directory", "a.jpg"),
            2,
            "facegraft doctor: a.jpg: No such file or dire",
        ),
        (OSError(28, "No space left on device"), 2, "facegraft doctor: No space left on device"),
        (
            PermissionError(13, "Permission denied", b"b\xff.jpg"),
            2,
            r"facegraft doctor: b\udcff.jpg: Permission denied",
        ),
        (MemoryError(), 2, "facegraft doctor: not enough memory"),
        (ZeroDivisionError("oh"), 1, "facegraft doctor: ZeroDivisionError: oh (a fault in facegraft: run with --debug"),
        (KeyboardInterrupt(), 130, "facegraft doctor: interrupted\n"),
        (KeyboardInterrupt("it goes on"), 130, "facegraft doctor: interrupted; it goes on\n"),
    ],
)
def test_an_error_is_one_line_and_a_code(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], error: BaseException, code: int, line: str
) -> None:
    with_verb(monkeypatch, raising(error))
    assert frame.main(["doctor"]) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(line)
    assert err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--debug", "doctor"], ["doctor", "--debug"]])
def test_debug_shows_the_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with_verb(monkeypatch, raising(BadInputError("a.jpg: no picture")))
    assert frame.main(arguments) == 2
    err = capfd.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.endswith("facegraft doctor: a.jpg: no picture\n")


def test_the_verb_decides_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    with_verb(monkeypatch, lambda args: len(args.path))  # type: ignore[attr-defined]
    assert frame.main(["doctor", "123"]) == 3


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["doctr"], "facegraft: argument VERB: invalid choice: 'doctr'"),
        ([], "facegraft: the following arguments are required: VERB"),
        (["doctor", "--nonsense"], "facegraft: unrecognized arguments: --nonsense"),
        (["doctor", "--timeout", "soon"], "facegraft doctor: argument --timeout: invalid float value: 'soon'"),
        (["doctor", "--time", "1"], "facegraft: unrecognized arguments: --time 1"),  # no guessing at options
    ],
)
def test_a_wrong_option_is_one_line_with_a_hint(
    capfd: pytest.CaptureFixture[str], arguments: list[str], line: str
) -> None:
    with pytest.raises(SystemExit) as stop:
        frame.main(arguments)
    assert stop.value.code == 2
    err = capfd.readouterr().err
    assert err.startswith(line)
    assert err.count("\n") == 1
    assert "--help`" in err


@pytest.mark.parametrize("verb", [None, *frame.VERBS])
def test_help_has_examples_and_loads_nothing_heavy(verb: str | None) -> None:
    arguments = [verb, "--help"] if verb else ["--help"]
    program = (
        "import sys, json\nfrom facegraft.cli.main import main\n"
        f"try: main({arguments!r})\nexcept SystemExit as stop: code = stop.code\n"
        "sys.stderr.write(json.dumps([code, sorted(sys.modules)]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    code, loaded = json.loads(done.stderr)
    assert code == 0
    assert set(loaded) & HEAVY == set()
    assert re.search(r"(?mi)^examples:?$", done.stdout), done.stdout
    assert done.stdout.count("\n  facegraft ") >= 2
    others = {f"facegraft.cli.{name}" for name in frame.VERBS} - {f"facegraft.cli.{verb}"}
    assert set(loaded) & others == set()


def test_help_lists_every_verb_with_one_line(root: Path) -> None:
    out = run_command("--help", COLUMNS="200").stdout.decode()
    assert len(frame.VERBS) >= 5
    for verb, line in frame.VERBS.items():
        assert re.search(rf"(?m)^ +{verb} +{re.escape(line)}$", out)
        tree = ast.parse((root / f"facegraft/cli/{verb}.py").read_text(encoding="utf-8"))
        defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
        assert {"add_arguments", "run"} <= defined


def test_a_broken_verb_breaks_no_other(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "facegraft.cli.swap", None)  # importing it raises ModuleNotFoundError
    with pytest.raises(SystemExit) as stop:
        frame.main(["--help"])
    assert stop.value.code == 0
    with_verb(monkeypatch, lambda _args: 0)
    assert frame.main(["doctor"]) == 0
    assert frame.main(["swap"]) == 1
    assert "facegraft swap: ModuleNotFoundError" in capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="file names are text there")
def test_undecodable_names_on_a_terminal_that_knows_only_ascii() -> None:
    done = run_command("doctor", b"photo-\xe9 \xff.jpg", PYTHONIOENCODING="ascii", LC_ALL="C", PYTHONUTF8="0")
    assert done.returncode == 2
    assert done.stderr.startswith(b"facegraft: unrecognized arguments: photo-")
    assert done.stderr.count(b"\n") == 1
    assert b"Traceback" not in done.stderr


def test_output_that_the_terminal_cannot_show_is_escaped() -> None:
    program = (
        "import sys, types\nverb = types.ModuleType('facegraft.cli.doctor')\nverb.add_arguments = lambda parser: None\n"
        "verb.run = lambda args: print('\\u4e2d \\udcff') or 0\nsys.modules['facegraft.cli.doctor'] = verb\n"
        "from facegraft.cli.main import main\nsys.exit(main(['doctor']))"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"\\u4e2d \\udcff\n", b"")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGPIPE there")
def test_a_reader_that_leaves_is_no_error() -> None:
    program = (
        "import sys, types\nverb = types.ModuleType('facegraft.cli.doctor')\nverb.add_arguments = lambda parser: None\n"
        "verb.run = lambda args: [print('line') for _ in range(100000)] and 0\n"
        "sys.modules['facegraft.cli.doctor'] = verb\nfrom facegraft.cli.main import main\nsys.exit(main(['doctor']))"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_without_standard_error_nothing_goes_to_standard_output() -> None:
    program = "import sys\nsys.stderr = None\nfrom facegraft.cli.main import complain\ncomplain('swap', 'x')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes the streams (>&-)")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_lead_nowhere_and_are_no_error(closed: str, root: Path, tmp_path: Path) -> None:
    file = root / "examples" / "identity_1.jpg"
    line = f'"{sys.executable}" -m facegraft verify "{file}" {closed}; echo $? > "{tmp_path}/code"'
    done = subprocess.run(["sh", "-c", line], capture_output=True, check=False)
    assert (tmp_path / "code").read_text() == "1\n", "the picture says nothing of how it was made"
    assert done.stderr == b""
    assert bool(done.stdout) is (closed == "2>&-")


def test_version() -> None:
    import facegraft

    done = run_command("--version")
    assert (done.returncode, done.stdout.decode()) == (0, f"facegraft {facegraft.__version__}\n")


@given(st.text(st.characters(codec=None)))
def test_one_line_is_printable_and_keeps_what_was_printable(text: str) -> None:
    line = frame.one_line(text)
    assert "\n" not in line
    assert len(line.splitlines()) <= 1
    line.encode("utf-8")  # no lone surrogate is left
    if text.isprintable():
        assert line == text


def test_readme_lists_the_verbs(root: Path) -> None:
    listed = re.findall(r"(?m)^\| `(\w+)` \| ", (root / "README.md").read_text(encoding="utf-8"))
    assert listed == list(frame.VERBS)


def options_of(parser: argparse.ArgumentParser) -> set[tuple[str, ...]]:
    """Spellings of every option of a parser and of the actions below it."""
    found: set[tuple[str, ...]] = set()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= set().union(*map(options_of, action.choices.values()))
        found.add(tuple(action.option_strings))
    return found


def test_what_is_written_has_one_name_in_every_verb() -> None:
    spellings = {spelling for verb in frame.VERBS for spelling in options_of(frame.make_parser(verb))}
    assert {spelling for spelling in spellings if {"-o", "--out", "--output"} & set(spelling)} == {("-o", "--output")}
