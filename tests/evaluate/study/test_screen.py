"""Planted bad raters are caught by the rule that is meant for them, and honest ones are kept."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from facegraft.evaluate.study.design import Rules, Study
from facegraft.evaluate.study.scale import preference
from facegraft.evaluate.study.schedule import Trial, trials_for
from facegraft.evaluate.study.screen import agreement, consistency, screen
from facegraft.evaluate.study.votes import Vote
from tests.evaluate.study.studies import abstract, vote

PLACE = {name: 1.6 - 0.8 * at for at, name in enumerate("abcde")} | {"clean": 8.0, "spoilt": -8.0}


def honest(trial: Trial, rng: np.random.Generator) -> tuple[str, int]:
    if trial.gold == "instruction":
        return trial.expected, 2000
    left = rng.random() < preference("bt", PLACE[trial.left] - PLACE[trial.right])
    return ("left" if left else "right"), 2000


def contrary(trial: Trial, rng: np.random.Generator) -> tuple[str, int]:
    """Understood the question the wrong way round, and passes every check."""
    choice, ms = honest(trial, rng)
    return (choice if trial.gold else {"left": "right", "right": "left"}[choice]), ms


def random(trial: Trial, rng: np.random.Generator) -> tuple[str, int]:
    return str(rng.choice(["left", "right"])), 2000


def hasty(trial: Trial, rng: np.random.Generator) -> tuple[str, int]:
    return honest(trial, rng)[0], 400


def leaning(trial: Trial, rng: np.random.Generator) -> tuple[str, int]:
    return (trial.expected if trial.gold else "left"), 2000


def votes_of(study: Study, raters: list[Any]) -> list[Vote]:
    out = []
    for rater, behaves in enumerate(raters):
        rng = np.random.default_rng(rater)
        for at, trial in enumerate(trials_for(study, rater)):
            choice, ms = behaves(trial, rng)
            out.append(
                vote(
                    rater,
                    at,
                    trial.left,
                    trial.right,
                    choice,
                    ms=ms,
                    gold=trial.gold,
                    expected=trial.expected,
                    repeat=trial.repeat_of,
                    stimulus=trial.stimulus,
                )
            )
    return out


def test_each_kind_of_bad_rater_is_caught_by_its_rule() -> None:
    study = abstract(5, trials=60)
    facts = screen(study, votes_of(study, [honest] * 12 + [random, hasty, leaning, contrary]))
    assert [found.reasons for found in facts[:12]] == [()] * 12
    careless, fast, sided, wrong = (found.reasons for found in facts[12:])
    assert any("attention checks" in reason for reason in careless)
    assert fast == ("median answer after 400 ms, below 1000 ms",)
    assert any("chose one side in 100% of the trials" in reason for reason in sided)
    assert len(wrong) == 1
    assert wrong[0].startswith("agrees with the others by -")


def test_a_rule_set_to_zero_is_off() -> None:
    study = abstract(5, trials=60, rules=Rules(0, 0, 0, 0))
    facts = screen(study, votes_of(study, [honest] * 4 + [random, hasty, leaning, contrary]))
    assert all(not found.reasons for found in facts)
    assert facts[-1].agreement < 0  # it is still told


def test_one_failed_check_is_forgiven_and_the_share_counts() -> None:
    study = abstract(2)
    rows = [vote(0, at, "clean", "spoilt", "left", gold="artefact", expected="left") for at in range(8)]
    for failures, kept in ((1, True), (2, True), (3, False)):
        told = [dataclasses.replace(row, choice="right") for row in rows[:failures]] + rows[failures:]
        (found,) = screen(study, told)
        assert (not found.reasons) is kept, failures
    (found,) = screen(study, [dataclasses.replace(rows[0], choice="right"), rows[1]])
    assert not found.reasons


def test_few_trials_prove_no_leaning() -> None:
    study = abstract(2)
    assert not screen(study, [vote(0, at, "a", "b", "left") for at in range(19)])[0].reasons
    assert screen(study, [vote(0, at, "a", "b", "left") for at in range(20)])[0].reasons


def test_agreement_needs_enough_to_look_at() -> None:
    three = abstract(3, trials=60)
    facts = screen(three, votes_of(three, [honest] * 3 + [contrary]))
    assert all(math.isnan(found.agreement) and not found.reasons for found in facts)


def test_active_studies_know_no_agreement() -> None:
    """Whoever is shown only close pairs wins half of them with every condition."""
    study = abstract(5, trials=60, active=True)
    facts = screen(study, votes_of(study, [honest] * 3 + [contrary]))
    assert all(math.isnan(found.agreement) and not found.reasons for found in facts)
    assert math.isnan(agreement(study, votes_of(study, [honest] * 3), "natural")["kendall_w"])


def test_repeats_with_changed_sides() -> None:
    study = abstract(2)
    first = [vote(0, 0, "a", "b", "left"), vote(0, 1, "a", "b", "right")]
    again = [vote(0, 2, "b", "a", "right", repeat=0), vote(0, 3, "b", "a", "right", repeat=1)]
    assert consistency(study, first + again) == (1, 2)
    grades = abstract(2, "mos")
    rows = [vote(0, 0, "a", "", "3"), vote(0, 1, "a", "", "4", repeat=0), vote(0, 2, "a", "", "5", repeat=0)]
    assert consistency(grades, rows) == (1, 2)


def test_agreement_of_one_mind_and_of_none() -> None:
    study = abstract(4, "mos")
    same = [vote(r, at, name, "", str(at + 1)) for r in range(3) for at, name in enumerate("abcd")]
    found = agreement(study, same, "natural")
    assert found == {key: pytest.approx(1) for key in ("kendall_w", "spearman", "kendall")}
    opposite = [vote(0, at, name, "", str(at + 1)) for at, name in enumerate("abcd")]
    opposite += [vote(1, at, name, "", str(4 - at)) for at, name in enumerate("abcd")]
    found = agreement(study, opposite, "natural")
    assert found["kendall_w"] == pytest.approx(0)
    assert found["spearman"] == pytest.approx(-1)
