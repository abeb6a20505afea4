"""How good a swap is: measures of single pictures and clips, and studies with people.

The package is itself the public call `fg.evaluate`: it stands under that name of `facegraft` once anything of it was
imported, so it can be called; see `run.evaluate` for what the arguments mean.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that can be called."""

    def __call__(
        self,
        methods: Any,
        data: Any,
        *,
        suites: Any = None,
        clips: Any = None,
        most: int | None = None,
        seed: int = 0,
        eyes: Any = None,
        progress: Any = None,
    ) -> Any:
        """As `run.evaluate`."""
        from facegraft.evaluate.run import evaluate

        return evaluate(methods, data, suites=suites, clips=clips, most=most, seed=seed, eyes=eyes, progress=progress)


sys.modules[__name__].__class__ = _Package
