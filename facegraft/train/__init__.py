"""Training: a config and a recipe become a run.

The package is itself the public call `facegraft.train`, for it stands under that name once anything of it was imported;
see `loop.train` for what the arguments mean.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
    """A package that can be called."""

    def __call__(
        self, config: Any, run_dir: Any, *, device: str = "auto", progress: Any = None, frozen: Any = None
    ) -> Any:
        """As `loop.train`."""
        from facegraft.train.loop import train

        return train(config, run_dir, device=device, progress=progress, frozen=frozen)


sys.modules[__name__].__class__ = _Package
