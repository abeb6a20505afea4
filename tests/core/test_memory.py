"""Freed memory that stays with the process."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from facegraft.core import memory

FAULTS = """
import resource, sys
import torch
from facegraft.core.memory import keep_freed
if sys.argv[1] == "keep":
    assert keep_freed()
torch.set_num_threads(1)
def work(times):
    for _ in range(times):
        torch.ones(12 * 2**20)  # 48 MiB: more than glibc keeps by itself
work(12)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work(3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True, timeout=120)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's own setting")
def test_freed_blocks_are_used_again_without_new_pages() -> None:
    assert faults("keep") < 0.1 * faults("give back")


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed()


def test_a_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not memory.keep_freed()
