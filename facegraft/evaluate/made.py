"""With what, where and when something was measured: versions, commit, machine."""

from __future__ import annotations

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from facegraft import __version__
from facegraft.core.machine import physical_cores


def made_now(date: str) -> dict[str, str]:
    """Versions, commit and machine of this moment."""
    packages = {name: metadata.version(name) for name in ("numpy", "opencv-python-headless", "onnxruntime")}
    return {
        "date": date,
        "facegraft": __version__,
        "commit": _commit(),
        "python": platform.python_version(),
        **packages,
        "machine": f"{_processor()}, {physical_cores()} core{'s' if physical_cores() > 1 else ''}",
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def _commit() -> str:
    """Of the checkout that this package lies in, with "+" where files differ from it; "" where there is none."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return ""
    found = []
    for command in (["rev-parse", "--short=10", "HEAD"], ["status", "--porcelain", "--untracked-files=no"]):
        try:
            done = subprocess.run(["git", "-C", str(root), *command], capture_output=True, text=True, check=True)  # noqa: S607 - the user's git
        except (OSError, subprocess.CalledProcessError):
            return ""
        found.append(done.stdout.strip())
    return found[0] + ("+" if found[1] else "")
