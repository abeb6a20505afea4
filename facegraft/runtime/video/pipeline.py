"""Stages in threads with bounded queues between them, made so that no failure can leave a thread waiting."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

_Item = TypeVar("_Item")
_TICK_S = 0.1


class Stopped(Exception):  # noqa: N818 - a signal between threads, not an error
    """Another stage has failed or the caller has given up; unwinds a stage quietly."""


class Stop:
    """Ends all stages; keeps the first failure."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self.failure: BaseException | None = None

    def set(self, failure: BaseException | None = None) -> None:
        with self._lock:
            if self.failure is None and not self._event.is_set():
                self.failure = failure
        self._event.set()

    def check(self) -> None:
        """Raises `Stopped` once `set` was called."""
        if self._event.is_set():
            raise Stopped


class Channel(Generic[_Item]):
    """A bounded queue that gives up when the stages are stopped."""

    def __init__(self, size: int, stop: Stop) -> None:
        self._queue: queue.Queue[_Item] = queue.Queue(size)
        self._stop = stop

    def put(self, item: _Item) -> None:
        while True:
            self._stop.check()
            try:
                self._queue.put(item, timeout=_TICK_S)
            except queue.Full:
                continue
            return

    def get(self) -> _Item:
        while True:
            self._stop.check()
            try:
                return self._queue.get(timeout=_TICK_S)
            except queue.Empty:
                continue


@contextmanager
def stage(name: str, work: Callable[[], None], stop: Stop) -> Iterator[threading.Thread]:
    """Runs `work` in a thread for the length of the block; a failure of either stops both.

    On leaving the block normally, waits until the work is done. On an exception in the block, Ctrl-C included,
    stops the thread first. Check `stop.failure` afterwards.
    """

    def run() -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread, which raises it
            stop.set(error)

    # A daemon: a second Ctrl-C during the wait below must end the process.
    thread = threading.Thread(target=run, name=f"facegraft-{name}", daemon=True)
    thread.start()
    try:
        yield thread
    except BaseException:
        stop.set()
        raise
    finally:
        try:
            _wait(thread)
        except BaseException:  # Ctrl-C while waiting: nothing may run on behind the caller's back
            stop.set()
            _wait(thread)
            raise


def _wait(thread: threading.Thread) -> None:
    while thread.is_alive():
        thread.join(_TICK_S)


class Stopwatch:
    """Seconds spent in named stages; each name belongs to one thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
