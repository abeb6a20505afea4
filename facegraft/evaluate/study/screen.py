"""Who is left out, by the rules that the study fixed before it began; and how well raters agree."""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float

from facegraft.evaluate.study.design import Study
from facegraft.evaluate.study.statistics import kendall, kendall_w, spearman
from facegraft.evaluate.study.votes import Vote

FEWEST_CONDITIONS, FEWEST_VOTES, FEWEST_SIDES = 4, 20, 20
"""Below these, rank correlations and shares of sides are a matter of luck and no rule looks at them."""

Scores = Float[np.ndarray, "raters conditions"]
"""Share of votes won, mean grade, or share taken for real; not a number where a rater did not see a condition."""


@dataclass(frozen=True)
class RaterFacts:
    """What the rules look at; not-a-number where there is nothing to look at.

    Attributes:
        checks: Attention checks answered: artefacts and instructions.
        one_sided: Share of the side, or grade, that was chosen most.
        consistency: Share of repeats that were answered alike (grades: at most 1 apart).
        agreement: Mean over questions of Spearman's correlation with the scores of all others together.
        reasons: Why this rater is left out; empty: is kept.
    """

    rater: int
    votes: int
    checks: int
    failed: int
    median_ms: float
    one_sided: float
    consistency: float
    agreement: float
    reasons: tuple[str, ...] = ()


def screen(study: Study, votes: Sequence[Vote]) -> list[RaterFacts]:
    """Facts of every rater who voted, by number. Agreement is with those whom the other rules keep."""
    by_rater: dict[int, list[Vote]] = defaultdict(list)
    for vote in votes:
        by_rater[vote.rater].append(vote)
    facts = [_facts(study, rater, own) for rater, own in sorted(by_rater.items())]
    trusted = np.array([not found.reasons for found in facts])
    agreements = _agreements(study, votes, [found.rater for found in facts], trusted)
    rule = study.rules.agreement
    out = []
    for found, value in zip(facts, agreements, strict=True):
        reasons = found.reasons
        if rule and value < rule:  # false for not-a-number
            reasons = (*reasons, f"agrees with the others by {value:.2f}, below {rule:g}")
        out.append(replace(found, agreement=value, reasons=reasons))
    return out


def agreement(study: Study, votes: Sequence[Vote], question: str) -> dict[str, float]:
    """Among these raters: Kendall's W, and the mean Spearman and Kendall correlation of each with all others.

    Not a number where pairs were chosen actively: won shares compare only where all raters saw all pairs alike.
    """
    if study.active:
        return dict.fromkeys(("kendall_w", "spearman", "kendall"), math.nan)
    own = [vote for vote in votes if vote.block == question]
    sums = _sums(study, own, sorted({vote.rater for vote in own}))
    table = _shares(*sums)
    everybody = np.ones(len(table), dtype=bool)
    pairs = [_beside_others(*sums, everybody, at) for at in range(len(table))]
    return {
        "kendall_w": kendall_w(table[~np.isnan(table).any(1)]),
        "spearman": _mean(spearman(*pair) for pair in pairs),
        "kendall": _mean(kendall(*pair) for pair in pairs),
    }


def consistency(study: Study, votes: Sequence[Vote]) -> tuple[int, int]:
    """Repeats that were answered alike, and all repeats."""
    first = {(vote.rater, vote.trial): vote for vote in votes}
    found = [(vote, first.get((vote.rater, vote.repeat))) for vote in votes if vote.repeat >= 0]
    known = [(again, before) for again, before in found if before is not None]
    return sum(_alike(study, again, before) for again, before in known), len(known)


def scores(study: Study, votes: Iterable[Vote], raters: Sequence[int]) -> Scores:
    """What each rater gave each condition, over counted votes."""
    return _shares(*_sums(study, votes, raters))


def _sums(study: Study, votes: Iterable[Vote], raters: Sequence[int]) -> tuple[Scores, Scores]:
    """Of what raters gave conditions, and how often they did."""
    place = {name: at for at, name in enumerate(study.conditions)}
    row = {rater: at for at, rater in enumerate(raters)}
    total, count = np.zeros((2, len(raters), len(place)))
    for vote in votes:
        if vote.counts and vote.rater in row:
            for condition, value in _values(study, vote):
                total[row[vote.rater], place[condition]] += value
                count[row[vote.rater], place[condition]] += 1
    return total, count


def _shares(total: Scores, count: Scores) -> Scores:
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _values(study: Study, vote: Vote) -> list[tuple[str, float]]:
    if study.paired:
        left = {"left": 1.0, "same": 0.5, "right": 0.0}[vote.choice]
        return [(vote.left, left), (vote.right, 1 - left)]
    return [(vote.left, float(vote.choice) if study.design == "mos" else float(vote.choice == "real"))]


def _facts(study: Study, rater: int, votes: list[Vote]) -> RaterFacts:
    checks = [vote for vote in votes if vote.gold]
    failed = sum(vote.choice not in vote.expected.split(",") for vote in checks)
    chosen = Counter(vote.choice for vote in votes if not vote.gold and vote.choice != "same")
    alike, repeats = consistency(study, votes)
    facts = RaterFacts(
        rater,
        votes=len(votes),
        checks=len(checks),
        failed=failed,
        median_ms=float(statistics.median(vote.ms for vote in votes)),
        one_sided=max(chosen.values()) / chosen.total() if chosen else math.nan,
        consistency=alike / repeats if repeats else math.nan,
        agreement=math.nan,
    )
    return replace(facts, reasons=_reasons(study, facts, chosen.total()))


def _reasons(study: Study, facts: RaterFacts, sides: int) -> tuple[str, ...]:
    rules, out = study.rules, []
    if rules.failed_checks and facts.failed > max(1.0, rules.failed_checks * facts.checks):
        out.append(f"failed {facts.failed} of {facts.checks} attention checks")
    if facts.median_ms < rules.fastest_median_ms:
        out.append(f"median answer after {facts.median_ms:.0f} ms, below {rules.fastest_median_ms} ms")
    sided = study.design != "real-or-fake" and sides >= FEWEST_SIDES  # where all look real, "real" is an honest answer
    if rules.one_sided and sided and facts.one_sided > rules.one_sided:
        what = "one side" if study.paired else "one grade"
        out.append(f"chose {what} in {facts.one_sided:.0%} of the trials, above {rules.one_sided:.0%}")
    return tuple(out)


def _agreements(
    study: Study, votes: Sequence[Vote], raters: Sequence[int], trusted: Bool[np.ndarray, "raters"]
) -> list[float]:
    """Of each rater with all others who are trusted, as the mean over questions."""
    found: list[list[float]] = [[] for _ in raters]
    if study.active or len(study.conditions) < FEWEST_CONDITIONS:
        return [math.nan] * len(raters)
    for question in study.questions:
        own = [vote for vote in votes if vote.block == question.name and vote.counts]
        given = Counter(vote.rater for vote in own)
        sums = _sums(study, own, raters)
        for at, rater in enumerate(raters):
            if given[rater] >= FEWEST_VOTES:
                found[at].append(spearman(*_beside_others(*sums, trusted, at)))
    return [_mean(values) for values in found]


def _beside_others(
    total: Scores, count: Scores, trusted: Bool[np.ndarray, "raters"], at: int
) -> tuple[Float[np.ndarray, "_seen"], Float[np.ndarray, "_seen"]]:
    """One rater's scores and those of all trusted others as if they were one, of the conditions that both saw."""
    others = trusted & (np.arange(len(trusted)) != at)
    first = _shares(total[at : at + 1], count[at : at + 1])[0]
    second = _shares(total[others].sum(0, keepdims=True), count[others].sum(0, keepdims=True))[0]
    seen = ~np.isnan(first) & ~np.isnan(second)
    return first[seen], second[seen]


def _alike(study: Study, again: Vote, before: Vote) -> bool:
    if study.design == "mos":
        return abs(int(again.choice) - int(before.choice)) <= 1
    return sorted(_values(study, again)) == sorted(_values(study, before))


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan
