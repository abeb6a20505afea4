"""Freed memory that stays with the process."""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys

import pytest

from facegraft.core import memory

FAULTS = """
import ctypes, resource, sys
from facegraft.core.memory import keep_freed
if sys.argv[1] == "keep":
    assert keep_freed()
library, size = ctypes.CDLL(None), 48 * 2**20  # more than glibc keeps by itself
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
def work(times):
    for _ in range(times):
        block = library.malloc(size)
        ctypes.memset(block, 1, size)
        library.free(block)
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
    given_back = faults("give back")
    if given_back < 10_000:
        pytest.skip(f"huge pages: {given_back} faults for 144 MiB")
    assert faults("keep") < 0.1 * given_back


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert not memory.keep_freed()


def test_a_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: object())
    assert not memory.keep_freed()


@pytest.mark.parametrize(
    ("most", "kept", "asked"),
    [(2**40, True, [(-3, 2**30), (-1, -1), (-2, 2**26)]),
     (2**25, True, [(-3, 2**30), (-3, 2**25), (-1, -1), (-2, 2**26)]),
     (0, False, [(-3, 2**30), (-3, 2**25)])],
)  # fmt: skip
def test_where_large_blocks_are_refused_nothing_else_is_set(
    most: int, kept: bool, asked: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Any setting freezes the size from which blocks are given back; glibc before 2.35 takes 32 MiB at most."""
    calls: list[tuple[int, int]] = []

    class Library:
        @staticmethod
        def mallopt(name: int, value: int) -> int:
            calls.append((name, value))
            return int(name != -3 or value <= most)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes, "CDLL", lambda _name: Library)
    assert memory.keep_freed() == kept
    assert calls == asked
