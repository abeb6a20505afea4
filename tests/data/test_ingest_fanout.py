"""Units on processes and on a real scheduler: all done, none lost with a killed worker, none done twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError
from facegraft.data import fanout, ingest_plan
from facegraft.data.dataset import open_dataset
from facegraft.data.fanout import MOST_ATTEMPTS, run_units
from facegraft.data.ingest import IngestProgress, ingest
from tests.data.ingest_inputs import Chore, contents, do_chore, fill


def attempts(folder: Path, number: int) -> int:
    return len(list(folder.glob(f"{number}-*")))


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_unit_once(tmp_path: Path, jobs: int) -> None:
    found = list(run_units(do_chore, [Chore(number, tmp_path) for number in range(5)], jobs=jobs))
    assert sorted(found) == list(range(5))
    assert [attempts(tmp_path, number) for number in range(5)] == [1] * 5


def test_a_killed_worker_costs_no_unit(tmp_path: Path) -> None:
    units = [Chore(number, tmp_path, deaths=2 if number == 1 else 0) for number in range(4)]
    assert sorted(run_units(do_chore, units, jobs=2)) == list(range(4))
    assert attempts(tmp_path, 1) == 3


def test_a_unit_that_always_kills_its_worker_is_named_and_its_neighbours_are_done(tmp_path: Path) -> None:
    units = [Chore(number, tmp_path, deaths=99 if number == 2 else 0) for number in range(4)]
    found: list[int] = []
    with pytest.raises(FacegraftError, match=f"unit 2: its worker was killed {MOST_ATTEMPTS} times"):
        found.extend(run_units(do_chore, units, jobs=2))
    assert attempts(tmp_path, 2) == MOST_ATTEMPTS


def test_who_ran_beside_the_culprit_is_not_blamed(tmp_path: Path) -> None:
    units = [Chore(0, tmp_path, deaths=99, seconds=0.3), Chore(1, tmp_path, seconds=20.0)]
    with pytest.raises(FacegraftError, match="unit 0: its worker was killed"):
        list(run_units(do_chore, units, jobs=2))
    assert attempts(tmp_path, 1) <= 1, "from the first death on, both run alone"


def test_leaving_early_leaves_no_process(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    results = run_units(do_chore, [Chore(number, tmp_path) for number in range(6)], jobs=2)
    next(results)
    results.close()
    deadline = time.monotonic() + 10
    while set(multiprocessing.active_children()) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(multiprocessing.active_children()) <= before  # one of before may have ended meanwhile


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_parent_leaves_no_worker_behind(tmp_path: Path, how: signal.Signals) -> None:
    code = (
        "import sys; from pathlib import Path; from facegraft.data.fanout import run_units\n"
        "from tests.data.ingest_inputs import Chore, do_chore\n"
        "if __name__ == '__main__':\n"
        "    list(run_units(do_chore, [Chore(n, Path(sys.argv[1]), seconds=60.0) for n in range(2)], jobs=2))\n"
    )
    script, marks = tmp_path / "parent.py", tmp_path / "marks"
    script.write_text(code)
    marks.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, str(script), str(marks)], env=environment, start_new_session=True)
    waited_for(lambda: attempts(marks, 0) == attempts(marks, 1) == 1, seconds=60)
    parent.send_signal(how)
    parent.wait(timeout=10)
    try:
        waited_for(lambda: not group_lives(parent.pid), seconds=10)
    finally:
        if group_lives(parent.pid):
            os.killpg(parent.pid, signal.SIGKILL)


def group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def waited_for(happened: Callable[[], bool], *, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"still waiting after {seconds} s"
        time.sleep(0.05)


def test_without_the_extra_one_line_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingPartError, match=r"facegraft\[scale\]"):
        next(run_units(do_chore, [Chore(0, tmp_path)], scheduler="tcp://127.0.0.1:1"))


def dask(*arguments: str) -> subprocess.Popen[Any]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONWARNINGS": "ignore"}
    silence = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen([sys.executable, "-m", "dask", *arguments], env=environment, **silence)


@contextmanager
def cluster(folder: Path) -> Iterator[tuple[str, list[subprocess.Popen[Any]]]]:
    """A scheduler with two workers, each a process of its own."""
    note = folder / "scheduler.json"
    started = [dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(note))]
    try:
        deadline = time.monotonic() + 60
        while not note.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        address = str(json.loads(note.read_text())["address"])
        for _ in range(2):
            single = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard")
            started.append(dask("worker", address, *single, "--local-directory", str(folder)))
        yield address, started[1:]
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_half_the_cluster_killed_half_way_gives_the_very_same_dataset(
    tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("distributed", reason="the extra `scale` is not installed")
    monkeypatch.setattr(ingest_plan, "FEWEST_PHOTOS", 1)
    photos, alone, together = tmp_path / "photos", tmp_path / "alone", tmp_path / "together"
    fill(photos, root, mirrored=3)
    ingest([photos], alone)
    killed: list[str] = []

    with cluster(tmp_path) as (address, workers):
        import distributed

        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)

            def kill_one(now: IngestProgress) -> None:
                if now.done == 3 and not killed:
                    busy = next(name for name, tasks in client.processing().items() if tasks)
                    victim = client.run(os.getpid, workers=[busy])[busy]
                    os.kill(victim, signal.SIGKILL)
                    next(worker for worker in workers if worker.pid == victim).wait(timeout=20)
                    killed.append(busy)

            ingest([photos], together, scheduler=address, progress=kill_one)
        assert sorted(worker.poll() is None for worker in workers) == [False, True]

    assert len(killed) == 1
    one, other = open_dataset(alone), open_dataset(together)
    assert contents(one) == contents(other)
    assert {row.facts["file"] for row in one.rows} == {
        f"photos/{path.relative_to(photos)}" for path in photos.rglob("*.jpg")
    }
    assert (alone / "rejected.csv").read_bytes() == (together / "rejected.csv").read_bytes()


def test_no_scheduler_at_an_address_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "SCHEDULER_TIMEOUT_S", 1)
    pytest.importorskip("distributed", reason="the extra `scale` is not installed")
    with pytest.raises(BadInputError, match=r"no scheduler answers there"):
        next(run_units(do_chore, [Chore(0, tmp_path)], scheduler="tcp://127.0.0.1:9"))
