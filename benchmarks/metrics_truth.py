"""Do the metrics tell the truth? The true swap, spoilt in one way after another, a little and plainly.

    python benchmarks/metrics_truth.py data/exact-1k --most 120 --clips 6      measures, and writes the tables
    python benchmarks/metrics_truth.py --tables                                writes the tables of the last run anew

The first argument is a dataset with true swaps (`facegraft synth --pairs exact`). Every case's true swap is scored as
it is and with each damage of facegraft/evaluate/damage.py at each amount; then short clips of it whose face jitters;
and the floors and the warp beside it. Reported per metric and damage: the mean at each amount; the rank correlation of
amount and metric, of the means and mean over cases, above 0 = it gets worse; the share of cases that the largest amount
makes worse; and that change of the mean relative to the change by the damage that the metric is there to see. A metric
should fall in step with its own damage and hardly with others. Damaged answers in which no face is found are counted
and left out; floors' count as the protocol says.
Writes benchmarks/history/<version>/metrics_truth--<machine>--<device>.json and the tables in docs/evaluation.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from metrics_truth_tables import ANSWERS, write_tables
from synth_pictures import facts, history, rounded, this_machine

from facegraft.core.types import Face, Frame
from facegraft.data.dataset import open_dataset
from facegraft.evaluate.cases import CaseSet, case_set
from facegraft.evaluate.clips import ClipCase
from facegraft.evaluate.damage import DAMAGES, Damage, jitter
from facegraft.evaluate.eyes import Opened, open_eyes
from facegraft.evaluate.floors import floors
from facegraft.evaluate.identity import spearman
from facegraft.evaluate.look import Eyes
from facegraft.evaluate.protocol import CLIP_PROTOCOL, PROTOCOL, Case, Metric, Scores
from facegraft.evaluate.questions import identity_frames
from facegraft.evaluate.results import hashes
from facegraft.evaluate.run import SUITES, all_of, load_suites
from facegraft.evaluate.score import Answer, answer_of, score
from facegraft.evaluate.stats import Figure, mean
from facegraft.evaluate.temporal import CLIP_METRICS, score_clips
from facegraft.runtime.swapper import load_swapper

AS_IT_IS = "true swap"
JITTER = Damage(
    "jitter",
    "pixels",
    (0.5, 1.0, 2.0, 4.0),
    lambda _case, frame, _face, _amount: frame,  # never called: it takes a clip
    ("flicker", "warping_error", "landmark_jitter", "static_photo", "boundary_crawl", "identity_jitter", "t"),
)
FRAMES = 8
DOCUMENT = Path(__file__).parents[1] / "docs" / "evaluation.md"
Columns = Mapping[str, Mapping[str, np.ndarray]]
"""Answer -> metric -> one value per case, or one for the whole set."""


class Asked:
    """Cases whose true swap shows a face, and the face of the one that is asked now."""

    def __init__(self, cases: Iterable[Case], eyes: Eyes) -> None:
        self.cases, self.eyes, self.skipped = cases, eyes, 0
        self.face: Face | None = None

    def __iter__(self) -> Iterator[Case]:
        for case in self.cases:
            self.face = None if case.truth is None else self.eyes.look(case.truth).face
            if self.face is None:
                self.skipped += 1
            else:
                yield case

    def damaged(self, damage: Damage, amount: float) -> Callable[[Case], Frame | None]:
        def answer(case: Case) -> Frame | None:
            if case.truth is None or self.face is None:
                return None
            return damage.call(case, case.truth, self.face, amount)

        return answer

    def jittered(self, amount: float) -> Callable[[ClipCase], Sequence[Frame | None]]:
        def answer(clip: ClipCase) -> Sequence[Frame | None]:
            frames = clip.frames if clip.truths is None else clip.truths
            return frames if self.face is None else jitter(frames, [self.face] * len(frames), amount)

        return answer

    def clips(self) -> Iterator[ClipCase]:
        """Clips in which nothing moves, so that all that moves is the damage."""
        for case in self:
            if case.truth is not None:
                who = (case.identity_person, case.attribute_person)
                yield ClipCase(case.key, case.identity, (case.attribute,) * FRAMES, *who, truths=(case.truth,) * FRAMES)


Stills = tuple[Columns, dict[str, dict[str, Figure]], list[Metric], dict[str, int]]
"""Damaged answers' columns; figures of the floors, by metric and answer; metrics; how many answers showed a face."""


def still_columns(asked: Asked, cases: CaseSet, eyes: Eyes) -> Stills:
    """What all suites say; of damaged answers NaN where no face was found.

    A lost face costs the worst of everything, which would drown what a damage does to each metric.
    """
    modules = load_suites([name for name in SUITES if eyes.judges or name != "identity"])
    others = floor_answers(cases, eyes)
    answers = {
        f"{damage.name} {amount:g}": asked.damaged(damage, amount) for damage in DAMAGES for amount in damage.amounts
    }
    scored = score({AS_IT_IS: lambda case: case.truth, **answers, **others}, asked, eyes, modules)
    columns = {
        name: {
            **{key: np.where(scores.failed, np.nan, column) for key, column in scores.values.items()},
            **{key: np.array([figure.value]) for key, figure in set_figures(modules, scores).items()},
        }
        for name, scores in scored.items()
        if name not in others
    }
    placed = {name: figures(modules, scored[name]) for name in ANSWERS}
    metrics = [metric for module in modules for metric in all_of(module)]
    by_metric = {metric.name: {name: found[metric.name] for name, found in placed.items()} for metric in metrics}
    return columns, by_metric, metrics, {name: int((~scores.failed).sum()) for name, scores in scored.items()}


def floor_answers(cases: CaseSet, eyes: Eyes) -> dict[str, Answer]:
    """The floors and the warp, as `facegraft eval` asks them."""
    known = floors(eyes.analyser, lambda: identity_frames(cases))
    plain = {name: known[name].answer for name in ANSWERS if name in known}
    return {"warp": answer_of(load_swapper("warp").swap_pair), **plain}


def figures(modules: Sequence[Any], scores: Scores) -> dict[str, Figure]:
    """Of everything, failures at their worst."""
    found = {name: mean(column, scores.people) for name, column in scores.values.items()}
    return {**found, **set_figures(modules, scores)}


def set_figures(modules: Sequence[Any], scores: Scores) -> dict[str, Figure]:
    found = [module.set_figures(scores) for module in modules if hasattr(module, "set_figures")]
    return {name: figure for each in found for name, figure in each.items()}


def table(columns: Columns, metrics: Sequence[Metric], damages: Sequence[Damage]) -> dict[str, Any]:
    """Metric -> what every damage does to it; metrics that nothing was known of are left out."""
    found = {}
    for metric in metrics:
        usual = columns[AS_IT_IS].get(metric.name, np.zeros(0))
        if np.isfinite(usual).any():
            effects = {damage.name: effect(columns, metric, damage) for damage in damages}
            own = [damage.name for damage in damages if metric.name.startswith(damage.own)]
            among = own or list(effects)
            largest = max((abs(effects[name]["change"]) for name in among), default=0.0)
            for each in effects.values():
                each["relative"] = rounded(each["change"] / largest) if largest else None
            found[metric.name] = {
                "unit": metric.unit,
                "better": metric.better,
                "true_swap": rounded(float(np.nanmean(usual))),
                "own": own,
                "damages": effects,
            }
    return found


def effect(columns: Columns, metric: Metric, damage: Damage) -> dict[str, Any]:
    """The metric at each amount, and how it follows; a change above 0 is one for the worse."""
    amounts = (0.0, *damage.amounts)
    names = (AS_IT_IS, *(f"{damage.name} {amount:g}" for amount in damage.amounts))
    worse = np.stack([columns[name][metric.name] for name in names], 1) * (1 if metric.better == "low" else -1)
    worse = worse[np.isfinite(worse).all(1)]
    if not len(worse):
        return {"means": [], "spearman": None, "spearman_of_means": None, "worse_share": None, "change": 0.0}
    means = worse.mean(0)
    correlations = [spearman(np.array(amounts), row) if np.ptp(row) > 0 else 0.0 for row in worse]
    return {
        "means": [rounded(float(value) * (1 if metric.better == "low" else -1)) for value in means],
        "spearman": rounded(float(np.mean(correlations))),
        "spearman_of_means": rounded(spearman(np.array(amounts), means) if np.ptp(means) > 0 else 0.0),
        "worse_share": rounded(float((worse[:, -1] > worse[:, 0]).mean())),
        "change": rounded(float(means[-1] - means[0])),
    }


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """A table for people: how a metric follows its own damage, and the damage of others that moves it most."""
    yield f"{'metric':<26}{'true swap':>10}{'own damage':>22}{'spearman':>10}{'worst other':>22}"
    for name, row in result.items():
        own = max(row["own"], key=lambda each: row["damages"][each]["spearman"] or 0, default="")
        follows = row["damages"][own]["spearman"] if own else math.nan
        others = {key: value["relative"] or 0.0 for key, value in row["damages"].items() if key not in row["own"]}
        other = max(others, key=lambda key: others[key], default="")
        shown = f"{other} {others[other]:.2f}" if other else ""
        yield f"{name:<26}{row['true_swap']:>10.3g}{own:>22}{follows or 0.0:>10.2f}{shown:>22}"


def measure(opened: Opened, data: Path, most: int, clips: int) -> dict[str, Any]:
    """Everything that is written."""
    eyes, dataset = opened.eyes, open_dataset(data)
    cases = case_set(dataset, most=most)
    asked = Asked(cases, eyes)
    columns, placed, metrics, found = still_columns(asked, cases, eyes)
    moving: dict[str, Any] = {}
    if clips:
        few = Asked(case_set(dataset, most=clips), eyes)
        answers = {AS_IT_IS: few.jittered(0.0)}
        answers |= {f"{JITTER.name} {amount:g}": few.jittered(amount) for amount in JITTER.amounts}
        scored = score_clips(answers, few.clips(), eyes)
        moving = table({name: scores.values for name, scores in scored.items()}, CLIP_METRICS, [JITTER])
    return {
        **facts(),
        "protocols": [PROTOCOL, CLIP_PROTOCOL],
        "networks": hashes(opened.networks),
        "set": cases.name,
        "cases": found[AS_IT_IS],
        "without_a_face": asked.skipped,
        "clips": clips,
        "frames_of_a_clip": FRAMES,
        "judges": sorted(eyes.judges),
        "feature": eyes.feature is not None,
        "damages": {each.name: {"unit": each.unit, "amounts": [0.0, *each.amounts]} for each in (*DAMAGES, JITTER)},
        "faces_found": found,
        "stills": table(columns, metrics, DAMAGES),
        "moving": moving,
        "floors": {
            name: {answer: [plain(number) for number in (one.value, one.low, one.high)] for answer, one in of.items()}
            for name, of in placed.items()
        },
    }


def plain(number: float) -> float | None:
    """For JSON, which knows no NaN."""
    return rounded(number) if math.isfinite(number) else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="?", help="dataset with true swaps")
    parser.add_argument("--most", type=int, default=120, help="cases")
    parser.add_argument("--clips", type=int, default=6, help="clips made of them; 0 = none")
    parser.add_argument("--machine", default=this_machine())
    parser.add_argument("--out", type=Path, help="file for the result, instead of the history; no tables are written")
    parser.add_argument("--tables", action="store_true", help="only write the tables of what was measured last")
    args = parser.parse_args()
    out = args.out or history("metrics_truth", args.machine, "cpu")
    if not args.tables:
        if args.data is None:
            parser.error("expected a dataset with true swaps, or --tables")
        result = measure(open_eyes(), args.data, args.most, args.clips)
        out.write_text(json.dumps(result, separators=(",", ":")) + "\n", encoding="utf-8")
        print("\n".join([*lines(result["stills"]), *lines(result["moving"])]))
    if args.out is None:
        write_tables(json.loads(out.read_text(encoding="utf-8")), DOCUMENT)


if __name__ == "__main__":
    main()
