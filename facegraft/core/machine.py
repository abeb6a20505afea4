"""What this machine has, and which commit runs. Loads nothing, so that the doctor can ask before it trusts numpy."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path


def physical_cores() -> int:
    """Cores that this process may use, counting two hardware threads of one core once; at least 1."""
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))
    if sys.platform == "darwin":
        with contextlib.suppress(OSError, ValueError):
            found = subprocess.run(["/usr/sbin/sysctl", "-n", "hw.physicalcpu"], capture_output=True, check=False)
            return max(1, int(found.stdout))
    siblings = {_siblings(cpu) for cpu in allowed}
    return max(1, min(len(siblings), _container_cores()))


def memory_bytes() -> tuple[int | None, int | None]:
    """Memory of the machine, and how much of it is free for new programs; None where the system does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        sizes = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        return sizes["MemTotal"], sizes.get("MemAvailable")
    except (OSError, KeyError):  # not Linux
        pass
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"), None
    return None, None


def _siblings(cpu: int) -> str:
    try:
        return Path(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list").read_text().strip()
    except OSError:  # no Linux, or no sysfs: every processor counts
        return str(cpu)


def _container_cores() -> int:
    """Whole cores that a Linux container may use, by its quota of time."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, round(int(quota) / int(period)))
    except (OSError, ValueError):  # no cgroup, or "max": no limit
        return os.cpu_count() or 1


def processor() -> str:
    """The processor's name, as the system tells it."""
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].partition(":")[2].strip() if names else platform.processor() or platform.machine()


def commit() -> str:
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
