"""Face swapping that can be trained, measured and trusted.

The public calls are loaded on first use: `import facegraft` alone loads neither numpy, onnxruntime nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from facegraft.core.config import load_config as load_config
    from facegraft.core.errors import FacegraftError as FacegraftError
    from facegraft.data.dataset import open_dataset as open_dataset
    from facegraft.data.ingest import ingest as ingest
    from facegraft.data.synthesise import synthesise as synthesise
    from facegraft.evaluate.run import evaluate as evaluate
    from facegraft.export.run import export as export
    from facegraft.faces.align import align as align
    from facegraft.faces.analyse import analyse as analyse
    from facegraft.methods._method import build_method as build_method
    from facegraft.methods._method import list_methods as list_methods
    from facegraft.provenance.report import read_provenance as read_provenance
    from facegraft.runtime.swapper import load_swapper as load_swapper
    from facegraft.train.loop import train as train

__version__ = "0.1.0"

_HOMES = {
    "FacegraftError": "facegraft.core.errors",
    "align": "facegraft.faces.align",
    "analyse": "facegraft.faces.analyse",
    "build_method": "facegraft.methods._method",
    "evaluate": "facegraft.evaluate.run",
    "export": "facegraft.export.run",
    "ingest": "facegraft.data.ingest",
    "list_methods": "facegraft.methods._method",
    "load_config": "facegraft.core.config",
    "load_swapper": "facegraft.runtime.swapper",
    "open_dataset": "facegraft.data.dataset",
    "read_provenance": "facegraft.provenance.report",
    "synthesise": "facegraft.data.synthesise",
    "train": "facegraft.train.loop",
}

__all__ = [
    "FacegraftError",
    "__version__",
    "align",
    "analyse",
    "build_method",
    "evaluate",
    "export",
    "ingest",
    "list_methods",
    "load_config",
    "load_swapper",
    "open_dataset",
    "read_provenance",
    "synthesise",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'facegraft' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    return globals().setdefault(name, value)  # found directly from now on; a package `evaluate` may be there, callable


def __dir__() -> list[str]:
    return sorted(__all__)
