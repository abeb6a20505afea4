"""Stopping between two steps instead of in the middle of one."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yields what says whether Ctrl-C or SIGTERM has come; a second one has its usual effect at once.

    In other threads than the main one signals cannot be taken, and nothing ever says so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def take(_number: int, _frame: FrameType | None) -> None:
        asked.set()
        _give_back(before)

    for number in before:
        signal.signal(number, take)
    try:
        yield asked.is_set
    finally:
        _give_back(before)


def _give_back(before: Mapping[signal.Signals, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, signal.SIG_DFL if handler is None else handler)
