"""The public calls: listed, loaded on first use, stable, and cheap to have around."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

import facegraft

HEAVY = {"numpy", "onnxruntime", "cv2", "torch", "av", "PIL", "pydantic", "rich", "jaxtyping", "importlib.metadata"}


def described(value: object) -> object:
    """Parameter names of a function; public names of a class; the type of anything else."""
    if inspect.isclass(value):
        return {"class": sorted(name for name in vars(value) if not name.startswith("_"))}
    if callable(value):
        return list(inspect.signature(value).parameters)
    return type(value).__name__


def test_public_names_and_parameters_are_those_on_record(root: Path) -> None:
    record = json.loads((root / "tests/public_api.json").read_text(encoding="utf-8"))
    now = {name: described(getattr(facegraft, name)) for name in facegraft.__all__}
    assert now == record, "a removed or renamed name needs a release that deprecates it; a new one a line in the record"


def test_type_checkers_see_what_first_use_loads(root: Path) -> None:
    tree = ast.parse((root / "facegraft/__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            assert alias.asname == alias.name  # `as` makes it public for type checkers
            seen[alias.name] = node.module
    assert seen == facegraft._HOMES
    assert facegraft.__all__ == sorted([*seen, "__version__"])
    assert dir(facegraft) == sorted(facegraft.__all__)


def test_an_unknown_name_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(AttributeError, match=r"no attribute 'swop'.*analyse"):
        _ = facegraft.swop  # type: ignore[attr-defined]


def test_version_is_the_same_everywhere(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    versions = re.findall(r"(?m)^## \[(\d[^\]]*)\]", (root / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert facegraft.__version__ == project["version"] == versions[0]
    assert versions == sorted(versions, key=lambda text: [int(part) for part in text.split(".")], reverse=True)


def test_changelog_has_a_place_for_the_next_change(root: Path) -> None:
    headings = re.findall(r"(?m)^## (.*)$", (root / "CHANGELOG.md").read_text(encoding="utf-8"))
    assert headings[0] == "[Unreleased]"


def seconds(program: str) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True)
    return time.perf_counter() - start


def test_import_loads_nothing_heavy() -> None:
    program = "import sys, facegraft; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert "facegraft" in loaded
    assert set(loaded) & HEAVY == set()
    assert [name for name in loaded if name.startswith("facegraft.")] == []


def test_import_costs_little_more_than_python_itself() -> None:
    bare = min(seconds("pass") for _ in range(5))
    ours = min(seconds("import facegraft") for _ in range(5))
    assert ours < 4 * bare
