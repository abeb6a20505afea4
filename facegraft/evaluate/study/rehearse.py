"""A whole study with simulated raters: its own server, its own file of votes, never mixed with those of people."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from facegraft.evaluate.study.server import StudyServer
from facegraft.evaluate.study.simulate import Simulated, rater_rng, vote_as

VOTES = "simulated.sqlite"


def rehearse(
    folder: Path, scale: Mapping[str, float], raters: int, careless: int, seed: int, progress: Callable[[int], None]
) -> int:
    """Lets raters vote one after the other, the careless ones last, and counts their votes.

    What an earlier rehearsal left is deleted. `progress` is called with how many are done.
    """
    for name in (VOTES, f"{VOTES}-wal", f"{VOTES}-shm"):
        (folder / name).unlink(missing_ok=True)
    votes = 0
    with running(StudyServer(folder, votes=VOTES)) as server:
        for rater in range(raters + careless):
            simulated = Simulated(scale, careless=rater >= raters)
            rng = rater_rng(server.session.study, seed, rater)
            votes += vote_as(server.session.study, server.address, simulated, rng)
            progress(rater + 1)
    return votes


@contextmanager
def running(server: StudyServer) -> Iterator[StudyServer]:
    """Serves in a thread until the block ends."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
