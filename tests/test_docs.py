"""Runs the fenced `python` and `bash` blocks of README.md, CONTRIBUTING.md and docs/, in order, on the examples."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FEWEST_FILES = 20
BLOCKS_RUN = 13
BLOCKS_NOT_RUN = 38
"""Change these together with the documents, so that no block stops being tested unseen."""
NEEDS_ASSETS = "without MakeHuman's assets"
"""A reason that holds only where they are missing."""
NEEDS_TORCH = "facegraft.data.loader"
"""What a block imports that only the extra `train` can run; it is passed over where torch cannot be had."""
NOT_PROGRAMS = {"text", "json", "toml", "csv"}
TIMEOUT_S = 120


@dataclass(frozen=True)
class Block:
    """One fenced block; `reason` says why it is not run, or is empty."""

    path: Path
    line: int
    language: str
    code: str
    reason: str


def read_blocks(path: Path, text: str) -> list[Block]:
    """The `python` and `bash` blocks of one document.

    Raises:
        AssertionError: A fence without a language, in one that nobody runs or shows as data, or without an end.
    """
    blocks: list[Block] = []
    reason, lines = "", text.splitlines()
    number = 0
    while number < len(lines):
        line = lines[number].strip()
        comment = re.fullmatch(r"<!-- not run: (\S.*) -->", line)
        fence = re.fullmatch(r"(```+|~~~+)\s*(.*)", line)
        if fence:
            mark, language = fence.groups()
            end = next((n for n in range(number + 1, len(lines)) if lines[n].strip() == mark), None)
            assert end is not None, f"{path.name}:{number + 1}: this block has no end"
            assert language in {"python", "bash", *NOT_PROGRAMS}, f"{path.name}:{number + 1}: block in {language!r}"
            if language in {"python", "bash"}:
                code = "\n".join(lines[number + 1 : end]) + "\n"
                blocks.append(Block(path, number + 1, language, code, reason))
            number = end
        if line and not comment:
            reason = ""
        elif comment:
            reason = comment.group(1)
        number += 1
    return blocks


BLOCKS = {path: read_blocks(path, path.read_text(encoding="utf-8")) for path in FILES}


def test_every_document_and_block_is_counted() -> None:
    assert len(FILES) >= FEWEST_FILES
    blocks = [block for listed in BLOCKS.values() for block in listed]
    assert sum(not block.reason for block in blocks) == BLOCKS_RUN
    assert sum(bool(block.reason) for block in blocks) == BLOCKS_NOT_RUN


def run_block(block: Block, folder: Path) -> None:
    """Runs one block in the folder, with the package and the command of this interpreter.

    Python blocks are programs of their own, as a reader would paste them into a file.
    """
    programs = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-c", block.code] if block.language == "python" else ["bash", "-euc", block.code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    where = f"{block.path.name}:{block.line}"
    assert done.returncode == 0, f"{where} ends with {done.returncode}:\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize(
    "path", [path for path in FILES if any(not block.reason for block in BLOCKS[path])], ids=lambda path: path.stem
)
def test_document_runs(path: Path, tmp_path: Path) -> None:
    if (ROOT / "examples").is_dir():
        shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    trains = importlib.util.find_spec("torch") is not None
    for block in BLOCKS[path]:
        if not block.reason and (trains or NEEDS_TORCH not in block.code):
            run_block(block, tmp_path)


@pytest.mark.usefixtures("makehuman")
def test_blocks_that_need_makehumans_assets_run(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="rendering needs the extra `train`")
    blocks = [block for listed in BLOCKS.values() for block in listed if block.reason == NEEDS_ASSETS]
    assert blocks
    for block in blocks:
        run_block(block, tmp_path)


SAMPLE = """
Text.

```bash
echo one
```

<!-- not run: needs a camera -->
```python
raise SystemExit(1)
```
<!-- not run: nothing follows -->
Text.

~~~python
two = 2
~~~
```text
no program
```
"""


def test_reader_finds_what_runs_and_what_does_not() -> None:
    blocks = read_blocks(Path("sample.md"), SAMPLE)
    assert [(block.language, block.code, block.reason) for block in blocks] == [
        ("bash", "echo one\n", ""),
        ("python", "raise SystemExit(1)\n", "needs a camera"),
        ("python", "two = 2\n", ""),
    ]


@pytest.mark.parametrize("text", ["```\nls\n```", "```sh\nls\n```", "```bash\nls\n"])
def test_reader_refuses_a_block_that_would_escape(text: str) -> None:
    with pytest.raises(AssertionError):
        read_blocks(Path("sample.md"), text)


@pytest.mark.parametrize(("language", "code"), [("bash", "false\ntrue"), ("python", "1 / 0"), ("bash", "echo $unset_")])
def test_a_block_that_fails_is_seen(tmp_path: Path, language: str, code: str) -> None:
    with pytest.raises(AssertionError, match=r"sample\.md:7 ends with"):
        run_block(Block(Path("sample.md"), 7, language, code, ""), tmp_path)


def test_blocks_use_the_command_of_this_environment(tmp_path: Path) -> None:
    run_block(Block(Path("sample.md"), 1, "bash", "facegraft --version", ""), tmp_path)


def test_links_between_documents_lead_somewhere() -> None:
    links = [
        (path, link)
        for path in FILES
        for link in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        if not link.startswith(("http://", "https://", "mailto:"))
    ]
    assert links
    assert [(path.name, link) for path, link in links if not (path.parent / link).exists()] == []
