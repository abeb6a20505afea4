"""The same work on many units: in this process, in several, or on a cluster. One function per unit, in no order.

Units must be idempotent: a worker may be killed at any moment, and its unit is then done by another one.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError

U = TypeVar("U")
R = TypeVar("R")

MOST_ATTEMPTS = 3
"""How often a unit may take its worker down before it is given up: it is then most likely the unit's fault."""
SCHEDULER_TIMEOUT_S = 20


def run_units(
    work: Callable[[U], R], units: Sequence[U], *, jobs: int = 1, scheduler: str | None = None
) -> Generator[R]:
    """Results as they come.

    Args:
        work: A function of a module (workers import it); idempotent.
        units: What it is called with, once each.
        jobs: Processes on this machine; 1: this one.
        scheduler: Address of a dask scheduler, such as tcp://host:8786; `jobs` is then not looked at. All workers must
            see the same files under the same names.

    Raises:
        FacegraftError: From the work, unchanged; or a unit killed its worker `MOST_ATTEMPTS` times.
        MissingPartError: `scheduler` without the extra `scale`.
    """
    if scheduler is not None:
        yield from _by_dask(work, units, scheduler)
    elif jobs <= 1 or len(units) <= 1:
        yield from map(work, units)
    else:
        yield from _by_processes(work, units, jobs)


# --- processes of this machine ------------------------------------------------------------------------


def _by_processes(work: Callable[[U], R], units: Sequence[U], jobs: int) -> Generator[R]:
    left = dict(enumerate(units))
    attempts = dict.fromkeys(left, 0)
    while left:
        # A death is blamed on every unit that ran then; these run alone from then on, so only the culprit dies again.
        fresh = [number for number in left if attempts[number] == 0]
        turn = fresh or [next(iter(left))]
        before = set(multiprocessing.active_children())
        pool = _pool(min(jobs, len(turn)))
        try:
            yield from _drain(pool, work, turn, left, attempts, min(jobs, len(turn)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            for child in set(multiprocessing.active_children()) - before:
                child.terminate()  # what a worker has begun is done anew next time
            raise
        pool.shutdown()


def _pool(jobs: int) -> ProcessPoolExecutor:
    # Spawned: a fork would copy locks that threads of the networks hold.
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    """Ctrl-C reaches every process of the terminal; a worker then ends without a word, the parent says one line."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, name="facegraft-parent-watch", daemon=True).start()


def _end_with_parent() -> None:
    """Ends this worker when its parent was killed, which told it nothing: it would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _drain(
    pool: ProcessPoolExecutor,
    work: Callable[[U], R],
    turn: Sequence[int],
    left: dict[int, U],
    attempts: dict[int, int],
    width: int,
) -> Generator[R]:
    """Results until all of the turn are there or a worker dies; takes what is done out of `left`.

    Only as many units are handed out as there are workers, so that few are blamed for a death.
    """
    waiting = iter(turn)
    running: dict[Future[R], int] = {}
    while True:
        for number in itertools.islice(waiting, width - len(running)):
            running[pool.submit(work, left[number])] = number
        if not running:
            return
        done, _ = wait(running, return_when=FIRST_COMPLETED)
        broken = False
        for future in done:
            number = running.pop(future)
            error = future.exception()
            if isinstance(error, BrokenProcessPool):
                broken = True
                attempts[number] += 1
                if attempts[number] >= MOST_ATTEMPTS:
                    raise FacegraftError(_given_up(left[number])) from error
            else:
                yield future.result()
                del left[number]
        if broken:
            for number in running.values():
                attempts[number] += 1
            return


def _given_up(unit: object) -> str:
    number = getattr(unit, "number", None)
    name = f"unit {number}" if number is not None else "a unit"
    return (
        f"{name}: its worker was killed {MOST_ATTEMPTS} times, most likely for want of memory; "
        "give fewer --jobs, or look for a damaged or huge file"
    )


# --- a cluster ----------------------------------------------------------------------------------------


def _by_dask(work: Callable[[U], R], units: Sequence[U], scheduler: str) -> Generator[R]:
    distributed = _import_distributed()
    try:
        client = distributed.Client(scheduler, timeout=SCHEDULER_TIMEOUT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise BadInputError(
            f"--scheduler {scheduler}: no scheduler answers there; start one with `dask scheduler`, "
            "and workers with `dask worker ADDRESS`"
        ) from error
    with contextlib.closing(client):
        # impure: the results are files, so an equal call must not be taken for done
        futures = client.map(work, list(units), pure=False, retries=0, key="facegraft-ingest")
        try:
            by_key = {future.key: unit for future, unit in zip(futures, units, strict=True)}
            for future in distributed.as_completed(futures, loop=client.loop):
                yield _result(future, by_key[future.key], distributed)
                future.release()
        except BaseException:
            client.cancel(futures)
            raise


def _result(future: Any, unit: object, distributed: Any) -> Any:
    try:
        return future.result()
    except distributed.KilledWorker as error:
        raise FacegraftError(_given_up(unit)) from error


def _import_distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingPartError(
            "--scheduler needs the extra `scale` (dask.distributed): pip install 'facegraft[scale]'"
        ) from error
    return distributed
