"""How long does an evaluation take, where does the time go, and what does the warp cost?

    python benchmarks/evaluation_time.py data/exact-1k --pairs 200

Judges the warp, the right answer and the floors, as `facegraft eval` does, on a part of the set or on all of it. What
is looking is split by network; the rest of it is alignment, warping and the metrics themselves. Then the warp alone:
time with one and with two threads, and the memory that a Python of its own takes, as `facegraft eval --cost` says them.
Nothing else should run meanwhile. Writes benchmarks/history/<version>/evaluation_time--<machine>--<device>.json.
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
from facegraft.evaluate import score as scoring
from facegraft.evaluate.method_cost import as_plain
from facegraft.evaluate.run import Method, evaluate, questions_of
from facegraft.runtime.swapper import load_swapper

METHODS: dict[str, Method] = {name: name for name in ("true-swap", "paste", "copy", "mean-face")}
Spent = Counter[str]
"""Network -> seconds."""


@contextmanager
def split_by_network() -> Iterator[Spent]:
    """Counts the time of every network while nobody is answering."""
    spent: Spent = Counter()
    answering = [False]
    run, answer = onnxruntime.InferenceSession.run, scoring._answer

    def timed(session: Any, *args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        found = run(session, *args, **options)
        if not answering[0]:
            spent[Path(getattr(session, "_model_path", None) or "?").stem] += time.perf_counter() - began
        return found

    def answered(*args: Any) -> Any:
        answering[0] = True
        try:
            return answer(*args)
        finally:
            answering[0] = False

    with patch.object(onnxruntime.InferenceSession, "run", timed), patch.object(scoring, "_answer", answered):
        yield spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="dataset with true swaps")
    parser.add_argument("--pairs", type=int, help="cases; default: all")
    parser.add_argument("--machine", default=this_machine())
    parser.add_argument("--out", type=Path, help="file for the result, instead of the history")
    args = parser.parse_args()
    before = facts()
    questions = questions_of(args.data, args.pairs)
    warp: Method = load_swapper("warp").swap_pair
    began = time.perf_counter()
    with split_by_network() as spent:
        report = evaluate({"warp": warp, **METHODS}, questions)
    whole = time.perf_counter() - began
    looking = report.seconds["looking and judging"]
    result = {
        **before,
        "set": report.name,
        "cases": report.of,
        "methods": list(report.methods),
        "seconds": rounded(whole),
        "parts": {name: rounded(value) for name, value in report.seconds.items()},
        "looking": {
            **{name: rounded(value) for name, value in spent.most_common()},
            "all but networks": rounded(looking - spent.total()),
        },
        "memory_mb": rounded(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "cost": as_plain(costs({"warp": warp}, questions, timed=True)["warp"]),
    }
    out = args.out or history("evaluation_time", args.machine, "cpu")
    out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    json.dump(result, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
