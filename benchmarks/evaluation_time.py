"""How long does an evaluation take, where does the time go, and what does the warp cost?

    python benchmarks/evaluation_time.py data/exact-1k --pairs 200

Judges the warp, the right answer and the floors, as `facegraft eval` does, on a part of the set or on all of it. Time
is the processor's: an evaluation runs on one core, so on a machine with nothing else to do it is the clock's too. What
is looking is split by network; the rest of it is alignment, warping and the metrics themselves. Then memory: of the
evaluation, and of a Python that swaps one case by the warp, as `facegraft eval --cost` says it.
Writes benchmarks/history/<version>/evaluation_time--<machine>--<device>.json.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import onnxruntime
from synth_pictures import facts, history, rounded, this_machine

from facegraft.cli.eval_cost import costs
from facegraft.evaluate import run as running
from facegraft.evaluate import score as scoring
from facegraft.evaluate.contestants import Method
from facegraft.evaluate.questions import questions_of
from facegraft.runtime.swapper import load_swapper

METHODS: dict[str, Method] = {name: name for name in ("true-swap", "paste", "copy", "mean-face")}
Seconds = Counter[str]
"""Of the processor, by what it did."""


@contextmanager
def split() -> Iterator[tuple[Seconds, Seconds]]:
    """Counts the time of every method's answers, and of every network while nobody is answering."""
    answers: Seconds = Counter()
    networks: Seconds = Counter()
    answering = [False]
    run, answer = onnxruntime.InferenceSession.run, scoring._answer

    def timed(session: Any, *args: Any, **options: Any) -> Any:
        began = time.process_time()
        found = run(session, *args, **options)
        if not answering[0]:
            networks[Path(getattr(session, "_model_path", None) or "?").stem] += time.process_time() - began
        return found

    def answered(name: str, *args: Any) -> Any:
        answering[0], began = True, time.process_time()
        try:
            return answer(name, *args)
        finally:
            answering[0] = False
            answers[name] += time.process_time() - began

    with patch.object(onnxruntime.InferenceSession, "run", timed), patch.object(scoring, "_answer", answered):
        yield answers, networks


def measure(data: Path, pairs: int | None) -> dict[str, Any]:
    """Everything that is written."""
    before = facts()
    questions = questions_of(data, pairs)
    warp: Method = load_swapper("warp").swap_pair
    ended = [0.0]

    def scored(*args: Any, **options: Any) -> Any:
        found = scoring.score(*args, **options)
        ended[0] = time.process_time()
        return found

    began, clock = time.process_time(), time.perf_counter()
    with split() as (answers, networks), patch.object(running, "score", scored):
        report = running.evaluate({"warp": warp, **METHODS}, questions)
    whole, clock = time.process_time() - began, time.perf_counter() - clock
    figures = time.process_time() - ended[0]
    rest = whole - figures - answers.total() - networks.total()
    memory = costs({"warp": warp}, questions, timed=True)["warp"].memory
    return {
        **before,
        "set": report.name,
        "cases": report.of,
        "methods": list(report.methods),
        "seconds": rounded(whole),
        "seconds_by_the_clock": rounded(clock),
        "answers": {name: rounded(value) for name, value in answers.items()},
        "looking": {name: rounded(value) for name, value in networks.most_common()},
        "all_else_of_looking_and_judging": rounded(rest),
        "figures": rounded(figures),
        "memory_mb": rounded(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6),
        "memory_of_one_swap_mb": None if memory is None else {"ready": memory.ready, "peak": memory.peak},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset with true swaps")
    parser.add_argument("--pairs", type=int, help="cases; default: all")
    parser.add_argument("--machine", default=this_machine())
    parser.add_argument("--out", type=Path, help="file for the result, instead of the history")
    args = parser.parse_args()
    text = json.dumps(measure(args.data, args.pairs), indent=1)
    out = args.out or history("evaluation_time", args.machine, "cpu")
    out.write_text(text + "\n", encoding="utf-8")
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    main()
