"""Intervals and tests against closed forms, and that people, not cases, are resampled."""

from __future__ import annotations

import math

import numpy as np
import pytest

from facegraft.evaluate.stats import compare, figure, mean, share


def people_of(count: int, each: int) -> list[str]:
    return [f"p{person}" for person in range(count) for _ in range(each)]


def test_the_mean_and_its_interval_are_the_normal_ones_for_many_people() -> None:
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = mean(values, people_of(400, 1))
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    assert (found.low + found.high) / 2 == pytest.approx(values.mean(), abs=0.03)
    assert (found.of, found.people) == (400, 400)


def test_cases_of_one_person_do_not_narrow_the_interval() -> None:
    rng = np.random.default_rng(0)
    of_people = rng.normal(0, 1, 30)
    once, often = mean(of_people, people_of(30, 1)), mean(np.repeat(of_people, 20), people_of(30, 20))
    assert often.high - often.low == pytest.approx(once.high - once.low, rel=0.1)
    assert often.of == 600


def test_fast_and_general_way_agree() -> None:
    rng = np.random.default_rng(1)
    values, people = rng.normal(0, 1, 120), [f"p{n}" for n in rng.integers(0, 40, 120)]
    fast, slow = mean(values, people), figure(lambda rows: float(values[rows].mean()), people)
    assert fast.value == pytest.approx(slow.value)
    assert (fast.low, fast.high) == pytest.approx((slow.low, slow.high))


def test_unknown_values_do_not_count_and_few_people_get_no_interval() -> None:
    values = np.array([1.0, np.nan, 3.0, np.nan])
    found = mean(values, ["a", "b", "c", "d"])
    assert (found.value, found.of, found.people) == (2.0, 2, 2)
    assert math.isnan(found.low)
    nothing = mean(np.full(4, np.nan), ["a", "b", "c", "d"])
    assert math.isnan(nothing.value)
    assert nothing.of == 0
    assert figure(lambda rows: 1.0, [], None).of == 0


def test_coverage_of_the_interval() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        found = mean(rng.normal(0, 1, 40) + np.repeat(rng.normal(0, 1, 20), 2), people_of(20, 2))
        hits += found.low <= 0 <= found.high
    assert 0.87 <= hits / 200 <= 0.98


def test_shares_are_wilsons() -> None:
    found = share(np.array([True] * 5 + [False] * 5))  # 5 of 10: 23.7 % to 76.3 %
    assert (found.low, found.high) == pytest.approx((0.2366, 0.7634), abs=1e-4)
    assert share(np.ones(10, bool)).high == pytest.approx(1.0)
    assert share(np.ones(10, bool)).low == pytest.approx(0.7225, abs=1e-4)
    assert math.isnan(share(np.zeros(0, bool)).value)


def test_a_real_difference_is_found_and_its_sign_is_right() -> None:
    rng = np.random.default_rng(3)
    hardness = rng.normal(0, 5, 60)  # the same cases are hard for both
    first, second = hardness + 1 + rng.normal(0, 0.5, 60), hardness + rng.normal(0, 0.5, 60)
    found = compare(first, second, people_of(60, 1))
    assert found.difference.low > 0.6
    assert found.p < 0.001
    assert compare(second, first, people_of(60, 1)).difference.high < -0.6


def test_no_difference_is_found_as_often_as_chance_has_it() -> None:
    rng = np.random.default_rng(4)
    low = sum(compare(*rng.normal(0, 1, (2, 30)), people_of(15, 2)).p < 0.05 for _ in range(200))
    assert low / 200 < 0.1


def test_pairs_with_a_gap_are_left_out_and_equal_ones_differ_by_nothing() -> None:
    first = np.array([1.0, np.nan, 2.0, 3.0, 4.0, 5.0, 6.0])
    found = compare(first, first, people_of(7, 1))
    assert (found.of, found.difference.value, found.p) == (6, 0.0, 1.0)
    assert math.isnan(compare(first[:3], first[:3], people_of(3, 1)).p)
