"""Freed memory that stays with the process, for work that asks for the same large blocks again and again."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3
"""Of glibc's mallopt(3)."""
LARGEST_KEPT = (2**30, 2**22 * ctypes.sizeof(ctypes.c_long))
"""Bytes of a block, the first that glibc takes: versions before 2.35 refuse more than 32 MiB."""
STEP = 2**26


def keep_freed() -> bool:
    """Tells glibc to keep what the main thread frees, in blocks of up to 1 GiB, for the rest of the process's life.

    By default it gives each large block back to the system, which then clears every page of the next one. What was
    needed at most is held until the end.

    Returns:
        Whether it could: False without glibc, where nothing changes.
    """
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl
        return False
    if not any(mallopt(M_MMAP_THRESHOLD, size) == 1 for size in LARGEST_KEPT):
        return False
    return all([mallopt(name, value) == 1 for name, value in ((M_TRIM_THRESHOLD, -1), (M_TOP_PAD, STEP))])
