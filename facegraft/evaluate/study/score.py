"""Votes to figures: scales, grades and error rates with intervals, corrected tests, who was left out and why."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.seeds import seed_for
from facegraft.evaluate.study.design import Study
from facegraft.evaluate.study.scale import Link, Scaled, bootstrap_tail, fit_scale, scale_raters
from facegraft.evaluate.study.screen import RaterFacts, agreement, consistency, scores, screen
from facegraft.evaluate.study.session import wins_of
from facegraft.evaluate.study.statistics import holm, sign_flip_chance, wilson
from facegraft.evaluate.study.votes import Vote

DRAWS = 2000
_LINKS: tuple[Link, Link] = ("jod", "bt")


def score_study(study: Study, votes: Sequence[Vote], draws: int = DRAWS) -> dict[str, Any]:
    """Everything that a report of the study needs, as JSON would hold it; None where a figure cannot be had.

    Raises:
        BadInputError: No votes, or none of a rater whom the rules keep.
    """
    if not votes:
        raise BadInputError("no votes yet: let people vote by `facegraft study serve`")
    facts = screen(study, votes)
    kept = {found.rater for found in facts if not found.reasons}
    good = [vote for vote in votes if vote.rater in kept]
    if not any(vote.counts for vote in good):
        raise BadInputError(f"all {len(facts)} raters are left out by the study's rules; there is nothing to score")
    alike, repeats = consistency(study, good)
    report = {
        "title": study.title,
        "design": study.design,
        "raters": len(facts),
        "kept": len(kept),
        "votes": sum(vote.counts for vote in good),
        "excluded": [_excluded(found) for found in facts if found.reasons],
        "consistency": {"alike": alike, "repeats": repeats, "share": alike / repeats if repeats else math.nan},
        "rules": dataclasses.asdict(study.rules),
        "questions": [_question(study, question.name, good, votes, draws) for question in study.questions],
    }
    return {name: _plain(value) for name, value in report.items()}


def _question(study: Study, name: str, good: Sequence[Vote], every: Sequence[Vote], draws: int) -> dict[str, Any]:
    own = [vote for vote in good if vote.block == name and vote.counts]
    out: dict[str, Any] = {"name": name, "text": study.question(name).text, "votes": len(own)}
    if not own:
        return out | {"conditions": [], "pairs": []}
    rng = np.random.default_rng(seed_for(study.seed, 0, 2))
    out["agreement"] = agreement(study, own, name)
    if study.paired:
        return out | _scaled(study, name, own, every, rng, draws)
    return out | _rated(study, own, rng, draws)


def _scaled(
    study: Study, name: str, own: Sequence[Vote], every: Sequence[Vote], rng: np.random.Generator, draws: int
) -> dict[str, Any]:
    """Places on both scales, and every pair tested by the votes in which it met."""
    raters = sorted({vote.rater for vote in own})
    by_rater: dict[int, list[Vote]] = {rater: [] for rater in raters}
    for vote in own:
        by_rater[vote.rater].append(vote)
    wins = np.stack([wins_of(study, votes, name) for votes in by_rater.values()])
    places = {link: scale_raters(wins, link, rng, draws) for link in _LINKS}
    total = wins.sum(0)
    everybody = fit_scale(wins_of(study, list(every), name), "jod")
    rows = []
    for at, condition in enumerate(study.conditions):
        row: dict[str, Any] = {"name": condition, "won": total[at].sum(), "votes": (total[at] + total[:, at]).sum()}
        for link, scaled in places.items():
            row[link] = scaled.place[at]
            row[f"{link}_interval"] = _interval(scaled, at, len(raters))
        row["jod_of_all_raters"] = everybody[at]
        rows.append(row)
    pairs = [_pair(study, wins, places["jod"], i, j, rng) for i, j in _pairs(study)]
    return {"conditions": rows, "pairs": _corrected(pairs), "regularised": places["jod"].regularised}


def _interval(scaled: Scaled, at: int, raters: int) -> list[float]:
    return [float(scaled.low[at]), float(scaled.high[at])] if raters > 1 else [math.nan, math.nan]


def _pair(study: Study, wins: np.ndarray, scaled: Scaled, i: int, j: int, rng: np.random.Generator) -> dict[str, Any]:
    """One pair: votes in which both met, the distance on the scale, and a test that keeps raters together.

    Pairs that are chosen actively hardly meet once they are clear, so there the test is of their distance on the scale.
    """
    met, won = float((wins[:, i, j] + wins[:, j, i]).sum()), float(wins[:, i, j].sum())
    tail = bootstrap_tail(len(wins))
    apart = scaled.draws[:, i] - scaled.draws[:, j]
    low, high = np.quantile(apart, [tail, 1 - tail])
    if study.active:
        chance = distance_chance(float(scaled.place[i] - scaled.place[j]), apart, len(wins))
    else:
        chance = sign_flip_chance(wins[:, i, j] - wins[:, j, i], rng)
    return {
        "first": study.conditions[i],
        "second": study.conditions[j],
        "votes": met,
        "share": won / met if met else math.nan,
        "share_interval": list(wilson(won, met)),
        "jod": scaled.place[i] - scaled.place[j],
        "jod_interval": [low, high] if len(wins) > 1 else [math.nan, math.nan],
        "p": chance,
    }


def distance_chance(distance: float, draws: np.ndarray, raters: int) -> float:
    """Two-sided p value of a distance of 0, by the normal distribution with the deviation of its bootstrap draws."""
    if raters < 2:
        return 1.0
    deviation = float(draws.std()) * math.sqrt(raters / (raters - 1))
    return math.erfc(abs(distance) / max(deviation, 1e-12) / math.sqrt(2))


def _rated(study: Study, own: Sequence[Vote], rng: np.random.Generator, draws: int) -> dict[str, Any]:
    """Mean grades, or how often each condition was taken for real."""
    raters = sorted({vote.rater for vote in own})
    table = scores(study, own, raters)
    given = {name: [vote for vote in own if vote.left == name] for name in study.conditions}
    rows = []
    for name, votes in given.items():
        row: dict[str, Any] = {"name": name, "votes": len(votes)}
        if study.design == "mos":
            grades = np.array([float(vote.choice) for vote in votes])
            row["mos"] = grades.mean() if len(grades) else math.nan
            row["mos_interval"] = _mean_interval(study, own, name, raters, rng, draws)
            row["deviation"] = grades.std(ddof=1) if len(grades) > 1 else math.nan
        else:
            real = sum(vote.choice == "real" for vote in votes)
            wrong = len(votes) - real if name == study.real else real
            row["taken_for_real"] = real / len(votes) if votes else math.nan
            row["taken_for_real_interval"] = list(wilson(real, len(votes)))
            row["error_rate"] = wrong / len(votes) if votes else math.nan
            row["error_rate_interval"] = list(wilson(wrong, len(votes)))
        rows.append(row)
    pairs = [
        {
            "first": study.conditions[i],
            "second": study.conditions[j],
            "difference": float(np.nanmean(both)) if (both := _seen_both(table, i, j)).size else math.nan,
            "p": sign_flip_chance(both, rng),
        }
        for i, j in _pairs(study)
    ]
    return {"conditions": rows, "pairs": _corrected(pairs)}


def _mean_interval(
    study: Study, own: Sequence[Vote], name: str, raters: Sequence[int], rng: np.random.Generator, draws: int
) -> list[float]:
    """Of a mean grade, by bootstrap over raters."""
    row = {rater: at for at, rater in enumerate(raters)}
    total, count = np.zeros((2, len(raters)))
    for vote in own:
        if vote.left == name:
            total[row[vote.rater]] += float(vote.choice)
            count[row[vote.rater]] += 1
    if len(raters) < 2 or not count.any():
        return [math.nan, math.nan]
    times = rng.multinomial(len(raters), np.full(len(raters), 1 / len(raters)), size=draws)
    seen = times @ count
    means = (times @ total)[seen > 0] / seen[seen > 0]
    tail = bootstrap_tail(len(raters))
    return [float(value) for value in np.quantile(means, [tail, 1 - tail])]


def _seen_both(table: np.ndarray, i: int, j: int) -> np.ndarray:
    difference = table[:, i] - table[:, j]
    return difference[~np.isnan(difference)]


def _pairs(study: Study) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(len(study.conditions)), 2))


def _corrected(pairs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [pair | {"p_holm": p} for pair, p in zip(pairs, holm([pair["p"] for pair in pairs]), strict=True)]


def _excluded(found: RaterFacts) -> dict[str, Any]:
    return dataclasses.asdict(found)


def _plain(value: Any) -> Any:
    """Numbers that JSON knows, to 4 places; what is not a number becomes None."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, float | np.floating):
        return round(float(value), 4) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
