"""Scripts of benchmarks/, which is no package, for their tests."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def imported(root: Path, *names: str) -> Iterator[list[ModuleType]]:
    """Modules by name as the scripts see them: their folder comes first on the path, until the end."""
    before = list(sys.path)
    sys.path.insert(0, str(root / "benchmarks"))
    try:
        yield [importlib.import_module(name) for name in names]
    finally:
        sys.path[:] = before
