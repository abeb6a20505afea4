"""Balance of orders, sides, scenes and checks; all a function of the seed and the rater."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from facegraft.evaluate.study.design import Design, Question
from facegraft.evaluate.study.schedule import Trial, media_of, training, trials_for, williams
from tests.evaluate.study.studies import abstract


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 15])
def test_williams_squares_balance_places_and_neighbours(count: int) -> None:
    rows = [williams(count, row) for row in range(count * (1 + count % 2))]
    assert all(sorted(row) == list(range(count)) for row in rows)
    places = Counter((place, value) for row in rows for place, value in enumerate(row))
    assert set(places.values()) == {len(rows) // count}
    neighbours = Counter(pair for row in rows for pair in itertools.pairwise(row))
    assert len(set(neighbours.values())) <= 1
    assert len(neighbours) == count * (count - 1)


def plain(trials: list[Trial]) -> list[Trial]:
    return [trial for trial in trials if not trial.gold and trial.repeat_of < 0]


def test_every_pair_equally_often_and_on_both_sides() -> None:
    study = abstract(4, trials=12)
    seen = Counter((trial.left, trial.right) for rater in range(12) for trial in plain(trials_for(study, rater)))
    assert set(seen) == set(itertools.permutations(study.conditions, 2))
    assert set(seen.values()) == {12}


@pytest.mark.parametrize("rater", range(7))
def test_sides_are_even_for_each_rater(rater: int) -> None:
    study = abstract(6, trials=30)
    trials = plain(trials_for(study, rater))
    assert len(trials) == 30
    pairs = Counter(tuple(sorted((trial.left, trial.right))) for trial in trials)
    assert set(pairs.values()) == {2}
    for pair in pairs:  # twice each: once this way round, once that
        assert {(trial.left, trial.right) for trial in trials if {trial.left, trial.right} == set(pair)} == {
            pair,
            pair[::-1],
        }


def test_pairs_meet_all_scenes() -> None:
    study = abstract(3, trials=9)
    seen = Counter(
        (frozenset((trial.left, trial.right)), trial.stimulus)
        for rater in range(36)
        for trial in plain(trials_for(study, rater))
    )
    assert len(seen) == 3 * 6
    assert max(seen.values()) <= 1.5 * min(seen.values())


@pytest.mark.parametrize("design", ["pairwise", "mos", "real-or-fake"])
def test_one_in_eight_is_a_check(design: Design) -> None:
    study = abstract(4, design, trials=42, real="d" if design == "real-or-fake" else "")
    kinds: Counter[str] = Counter()
    for rater in range(8):
        trials = trials_for(study, rater)
        checks = [trial for trial in trials if trial.gold or trial.repeat_of >= 0]
        assert len(checks) / len(trials) == pytest.approx(1 / 8)
        assert trials[0] not in checks
        kinds.update(trial.gold or "repeat" for trial in checks)
    assert 24 <= kinds["artefact"] <= 26  # one of two, and where nothing is there yet to be repeated
    assert 10 <= kinds["repeat"] <= 12
    assert kinds["instruction"] == sum(kinds.values()) / 4


def test_repeats_show_an_earlier_trial_with_its_sides_changed() -> None:
    study = abstract(4, trials=40, questions=(Question("natural", "?"), Question("steady", "?")))
    found = 0
    for rater in range(6):
        trials = trials_for(study, rater)
        for at, trial in enumerate(trials):
            if trial.repeat_of >= 0:
                first = trials[trial.repeat_of]
                assert trial.repeat_of < at - 1
                assert not first.gold
                assert (first.question, first.stimulus) == (trial.question, trial.stimulus)
                assert (first.left, first.right) == (trial.right, trial.left)
                found += 1
    assert found > 6


def test_expected_answers_point_to_the_clean_side() -> None:
    study = abstract(4)
    artefacts = [t for rater in range(20) for t in trials_for(study, rater) if t.gold == "artefact"]
    assert {trial.expected for trial in artefacts} == {"left", "right"}
    for trial in artefacts:
        assert getattr(trial, trial.expected) == "clean"
        left, right = media_of(study, trial)
        assert {left, right} == {study.checks[0].clean, study.checks[0].spoilt}
        assert (left if trial.expected == "left" else right) == study.checks[0].clean


def test_questions_come_in_blocks_whose_order_is_balanced() -> None:
    study = abstract(3, trials=6, questions=(Question("natural", "?"), Question("steady", "?")))
    orders = Counter()
    for rater in range(4):
        names = [name for name, _ in itertools.groupby(trials_for(study, rater), lambda trial: trial.question)]
        assert sorted(names) == ["natural", "steady"]
        orders[names[0]] += 1
    assert set(orders.values()) == {2}


def test_half_of_what_is_judged_real_or_fake_is_real() -> None:
    study = abstract(4, "real-or-fake", real="d", trials=30)
    shown = Counter(trial.left for trial in plain(trials_for(study, 3)))
    assert shown["d"] == 15
    assert {shown[name] for name in "abc"} == {5}


@pytest.mark.parametrize("design", ["pairwise", "mos", "real-or-fake", "video"])
def test_training_has_three_known_answers(design: Design) -> None:
    study = abstract(3, design, real="c" if design == "real-or-fake" else "")
    trials = training(study)
    assert len(trials) == 3
    assert len({trial.expected for trial in trials}) == 2
    assert all(set(trial.expected.split(",")) <= set(study.choices) for trial in trials)


def test_the_seed_and_the_rater_decide() -> None:
    study = abstract(5)
    assert trials_for(study, 3) == trials_for(study, 3)
    assert trials_for(study, 3) != trials_for(study, 4)
    assert trials_for(study, 3) != trials_for(abstract(5, seed=1), 3)
