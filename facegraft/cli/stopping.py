"""Ctrl-C and `kill`: both end a command in order, and its last line promises only what is kept."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

GOES_ON = "the same command continues where it stopped"


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM raises KeyboardInterrupt, so that half-written files go; other handlers, and other threads, stay."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


@contextmanager
def goes_on(is_kept: Callable[[], bool], words: str = GOES_ON) -> Iterator[None]:
    """Adds words to an interruption where something is kept that the next run goes on from."""
    try:
        yield
    except KeyboardInterrupt as stop:
        if stop.args or not is_kept():
            raise
        raise KeyboardInterrupt(words) from stop


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
