"""What a method of a report costs: the networks that a swap runs; where it is asked for, time by threads, and memory.

Milliseconds per case are in every report. What is here cannot be seen from outside a method, so whoever knows it hands
it in: `with_cost(report, {"mine": cost_of({Path("mine.onnx"): {}})})`.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegraft.core.errors import FacegraftError
from facegraft.core.image import save_frame
from facegraft.evaluate.cost import GraphCost, Memory, Timing, graph_cost, memory, timings, total
from facegraft.evaluate.protocol import Case, SwapPair

Sizes = Mapping[str, Sequence[int]]
"""Input of a network -> its shape, where the file leaves it open."""
THREADS = (1, 2)
MOST_TRIED = 20
"""Cases that are tried until one can be swapped."""
NO_ONNX = "parameters and MACs: the package onnx is not here; pip install 'facegraft[recogniser]'"
NO_MACS = "MACs: a network multiplies in a way that is not counted"


@dataclass(frozen=True)
class Cost:
    """Of one method.

    Attributes:
        networks: Names of the files that a swap runs.
        graphs: What these hold together; MACs with each run once.
        timings: Number of threads -> time of one case; empty = not asked for.
        memory: Of a process that swaps one case; None = not asked for, or not known.
        lacks: What is not known, and why; one line each.
    """

    networks: tuple[str, ...]
    graphs: GraphCost
    timings: dict[int, Timing] = field(default_factory=dict)
    memory: Memory | None = None
    lacks: tuple[str, ...] = ()


def cost_of(networks: Mapping[Path, Sizes]) -> Cost:
    """What the files of a method hold.

    Args:
        networks: ONNX files that a swap runs, with the shapes of their inputs.

    Raises:
        BadInputError: One is none, or does not run at this size.
    """
    graphs = total(graph_cost(path, dict(sizes)) for path, sizes in networks.items())
    lacks = [NO_ONNX] if graphs.parameters is None else [NO_MACS] if graphs.macs is None else []
    return Cost(tuple(path.stem for path in networks), graphs, lacks=tuple(lacks))


def with_time(cost: Cost, make: Callable[[int], SwapPair], program: str, cases: Iterable[Case]) -> Cost:
    """The same with time by threads, and with memory. Takes some seconds.

    Args:
        cost: Of `cost_of`.
        make: Number of threads -> the method.
        program: Python that leaves the method under the name `swap_pair`; runs in a process of its own.
        cases: The first that can be swapped is swapped again and again.
    """
    case = _usable(make(1), cases)
    if case is None:
        return dataclasses.replace(cost, lacks=(*cost.lacks, "time by threads, memory: no case could be swapped"))

    def bound(threads: int) -> Callable[[], object]:
        swap_pair = make(threads)
        return lambda: swap_pair(case.identity, case.attribute)

    timed = dataclasses.replace(cost, timings=timings(bound, threads=THREADS))
    try:
        return dataclasses.replace(timed, memory=_memory(program, case))
    except FacegraftError as error:  # not every system tells
        return dataclasses.replace(timed, lacks=(*timed.lacks, str(error)))


def as_plain(cost: Cost | None) -> dict[str, Any] | None:
    """For JSON."""
    return None if cost is None else dataclasses.asdict(cost)


def from_plain(found: Mapping[str, Any] | None) -> Cost | None:
    """What `as_plain` made.

    Raises:
        LookupError, TypeError, ValueError: Something is missing or of another kind.
    """
    if found is None:
        return None
    return Cost(
        networks=tuple(found["networks"]),
        graphs=GraphCost(**found["graphs"]),
        timings={int(threads): Timing(**one) for threads, one in found["timings"].items()},
        memory=None if found["memory"] is None else Memory(**found["memory"]),
        lacks=tuple(found["lacks"]),
    )


def _usable(swap_pair: SwapPair, cases: Iterable[Case]) -> Case | None:
    for _, case in zip(range(MOST_TRIED), cases, strict=False):
        try:
            swap_pair(case.identity, case.attribute)
        except FacegraftError:
            continue
        return case
    return None


def _memory(program: str, case: Case) -> Memory:
    with tempfile.TemporaryDirectory() as scratch:
        paths = [Path(scratch) / f"{name}.png" for name in ("identity", "attribute")]
        for path, frame in zip(paths, (case.identity, case.attribute), strict=True):
            save_frame(path, frame)
        read = ", ".join(f"read_picture(Path({str(path)!r})).frame" for path in paths)
        set_up = f"from pathlib import Path\nfrom facegraft.core.image import read_picture\n{program}\nframes = {read}"
        return memory(set_up, "swap_pair(*frames)")
