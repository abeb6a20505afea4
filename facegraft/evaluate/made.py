"""With what, where and when something was measured: versions, commit, machine."""

from __future__ import annotations

import platform
from importlib import metadata

from facegraft import __version__
from facegraft.core.machine import commit, physical_cores, processor


def made_now(date: str) -> dict[str, str]:
    """Versions, commit and machine of this moment."""
    packages = {name: metadata.version(name) for name in ("numpy", "opencv-python-headless", "onnxruntime")}
    return {
        "date": date,
        "facegraft": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        **packages,
        "machine": f"{processor()}, {physical_cores()} core{'s' if physical_cores() > 1 else ''}",
    }
