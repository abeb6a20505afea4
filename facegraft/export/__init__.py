"""Trained networks as files that run without torch.

The package is itself the public call `facegraft.export`: it stands under that name once anything of it was
imported; see `run.export` for what the arguments mean.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that can be called."""

    def __call__(self, run: Any, out: Any, *, half: bool = False, notes: str = "", score: bool = False) -> Any:
        """As `run.export`."""
        from facegraft.export.run import export

        return export(run, out, half=half, notes=notes, score=score)


sys.modules[__name__].__class__ = _Package
