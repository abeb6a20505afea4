"""The table of bad and odd inputs: each ends in a right result, or in one clear line, exit code 2 and no file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.cli.main import main
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from tests.odd_pictures import make_odd_pictures
from tests.odd_videos import make_odd_videos


def tried(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    """Exit code and what was said on standard error, of one command."""
    capsys.readouterr()
    code = main([str(word) for word in words])
    return code, capsys.readouterr().err


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def person(root: Path, side: int) -> Frame:
    frame = read_picture(root / "examples" / "attribute_1.jpg").frame
    small = cv2.resize(frame, (side, side), interpolation=cv2.INTER_AREA)
    return np.ascontiguousarray(small[:, side // 16 : -side // 16])


@pytest.mark.parametrize("part", [0, 1])
def test_odd_pictures(part: int, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    out.mkdir()
    items = make_odd_pictures(corpus, person(root, 256))
    assert len(items) >= 100
    wrong = []
    for number, item in enumerate(items[part::2]):
        result = out / f"{number}.png"
        words = (root / "examples" / "identity_1.jpg", item.path, "-o", result, "--no-report")
        code, errors = tried(capsys, "swap", *words)
        done = code == 0 and result.is_file()
        refused = code == 2 and errors.count("\n") == 1 and not result.exists()
        right = done if item.expected == "right" else refused
        if not right or leftovers(out) != ([result.name] if result.exists() else []):
            wrong.append((item.why, item.expected, code, errors, leftovers(out)))
        result.unlink(missing_ok=True)
    assert not wrong, "\n".join(map(str, wrong))


def test_odd_clips(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    corpus.mkdir()
    out.mkdir()
    face = person(root, 192)
    frames = [np.ascontiguousarray(np.roll(face, 2 * step, axis=1)) for step in range(8)]
    items = make_odd_videos(corpus, frames)
    assert len(items) >= 25
    wrong = []
    for number, item in enumerate(items):
        result = out / f"{number}{item.output}"
        words = (root / "examples" / "identity_1.jpg", item.path, "-o", result, "--on-no-face", "keep", "--no-report")
        code, errors = tried(capsys, "swap", *words)
        lines = [line for line in errors.splitlines() if line.startswith("facegraft")]
        done = code == 0 and result.is_file()
        right = done if item.expected == "right" else code == 2 and len(lines) == 1 and not result.exists()
        if not right or leftovers(out) != ([result.name] if result.exists() else []):
            wrong.append((item.path.name, item.why, item.expected, code, errors[-300:], leftovers(out)))
        result.unlink(missing_ok=True)
    assert not wrong, "\n".join(map(str, wrong))


@pytest.mark.parametrize("kind", ["folder", "missing folder", "read only", "long name", "unknown suffix"])
def test_odd_outputs(kind: str, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    places = {
        "folder": tmp_path,
        "missing folder": tmp_path / "no" / "such" / "out.png",
        "read only": Path("/proc/out.png"),
        "long name": tmp_path / ("x" * 300 + ".png"),
        "unknown suffix": tmp_path / "out.xyz",
    }
    examples = root / "examples"
    code, errors = tried(capsys, "swap", examples / "identity_1.jpg", examples / "attribute_1.jpg", "-o", places[kind])
    assert code == 2
    assert errors.count("\n") == 1
    assert leftovers(tmp_path) == []
