"""Intervals, tests and correlations against scipy and against the table of sample sizes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from facegraft.core.errors import BadInputError
from facegraft.evaluate.study.plan import plan_votes
from facegraft.evaluate.study.statistics import (
    design_effect,
    holm,
    kendall,
    kendall_w,
    raters_for_mean,
    sign_flip_chance,
    spearman,
    votes_needed,
    wilson,
)


@pytest.mark.parametrize(
    ("preference", "at_80", "at_90"),
    [(0.55, 783, 1047), (0.60, 194, 259), (0.65, 85, 113), (0.70, 47, 62), (0.75, 29, 38)],
)
def test_votes_needed_as_in_the_published_table(preference: float, at_80: int, at_90: int) -> None:
    assert (votes_needed(preference), votes_needed(preference, 0.9)) == (at_80, at_90)
    assert votes_needed(1 - preference) == at_80


def test_that_many_votes_reach_the_power() -> None:
    votes = votes_needed(0.55)
    found = np.arange(votes + 1)
    chances = 2 * np.minimum(stats.binom.cdf(found, votes, 0.5), stats.binom.sf(found - 1, votes, 0.5))
    power = stats.binom.pmf(found, votes, 0.55)[chances < 0.05].sum()
    assert power == pytest.approx(0.8, abs=0.02)


def test_clusters_cost_votes() -> None:
    assert design_effect(10, 0.1) == pytest.approx(1.9)
    size = plan_votes(6, 0.65)
    assert (size.pairs, size.votes_per_pair, size.votes, size.raters) == (15, 162, 2430, 81)
    assert plan_votes(6, 0.65, corrected=True).alpha == pytest.approx(0.05 / 15)
    assert raters_for_mean(0.25) == 50


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"effect": 0.5}, "other than 0.5"),
        ({"effect": 1.2}, "between 0 and 1"),
        ({"effect": 0.6, "power": 1.0}, "power"),
        ({"effect": 0.6, "conditions": 1}, "--conditions: expected 2"),
        ({"effect": 0.6, "correlation": 2}, "--rho"),
        ({"effect": 0.6, "trials": 0}, "--trials"),
    ],
)
def test_plans_that_cannot_be(options: dict[str, float], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        plan_votes(**({"conditions": 2} | options))  # type: ignore[arg-type]  # a table of one type


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (3, 10), (10, 10), (55, 100)])
def test_wilson_as_scipy(hits: int, trials: int) -> None:
    known = stats.binomtest(hits, trials).proportion_ci(method="wilson")
    assert wilson(hits, trials) == pytest.approx((known.low, known.high))
    assert wilson(0, 0) == (0.0, 1.0)


def test_holm_by_hand_and_in_the_order_given() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_correlations_as_scipy() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(0, 5, 12).astype(float)
    second = first + rng.integers(0, 4, 12)
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)
    assert kendall(first, second) == pytest.approx(stats.kendalltau(first, second).statistic)
    assert math.isnan(spearman(np.ones(3), np.arange(3.0)))
    assert math.isnan(kendall(np.ones(3), np.arange(3.0)))


def test_concordance_between_none_and_all() -> None:
    same = np.tile(np.arange(5.0), (4, 1))
    assert kendall_w(same) == pytest.approx(1)
    assert kendall_w(np.stack([np.arange(5.0), np.arange(5.0)[::-1]])) == pytest.approx(0)
    table = np.random.default_rng(1).integers(0, 4, (6, 5)).astype(float)
    friedman = stats.friedmanchisquare(*table.T).statistic
    assert kendall_w(table) == pytest.approx(friedman / (6 * 4))  # W = chi^2 / (raters * (conditions - 1))


def test_sign_flips_are_exact_for_few_and_near_for_many() -> None:
    rng = np.random.default_rng(0)
    assert sign_flip_chance(np.ones(6), rng) == pytest.approx(2 / 64)
    assert sign_flip_chance(np.zeros(6), rng) == 1.0
    many = np.array([1.0] * 25 + [-1.0] * 10)
    assert sign_flip_chance(many, rng) == pytest.approx(stats.binomtest(25, 35).pvalue, abs=0.006)
    assert sign_flip_chance(-many, rng) == pytest.approx(sign_flip_chance(many, rng), abs=0.006)


def test_sign_flips_keep_a_raters_votes_together() -> None:
    """Ten votes each of four raters who disagree: forty votes, but only four opinions."""
    rng = np.random.default_rng(0)
    assert sign_flip_chance(np.array([10.0, 10.0, 10.0, -4.0]), rng) > 0.05
    assert stats.binomtest(33, 40).pvalue < 0.001
