"""Which trials a rater sees, in which order and on which sides: a function of the study and the rater's number.

Orders are rows of a Williams square (a Latin square in which every thing follows every other equally often), so that
over raters each pair, scene, side and place in the order meets each other equally often.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np

from facegraft.core.seeds import seed_for
from facegraft.evaluate.study.design import Check, Question, Study

CLEAN, SPOILT = "clean", "spoilt"
PLAIN_PER_CHECK = 7
"""So that one trial in 8 is a check."""
TRAINING_TRIALS = 3
_KINDS = ("artefact", "repeat", "instruction", "artefact")
_FEWEST_BETWEEN_REPEATS = 3


@dataclass(frozen=True)
class Trial:
    """One decision.

    `left` and `right` are conditions; `right` is empty where one thing is judged alone. Attention checks carry what is
    expected, as choices with commas; artefact checks show `clean` and `spoilt`, whose media `check` names.
    """

    question: str
    stimulus: int
    left: str
    right: str = ""
    gold: str = ""
    expected: str = ""
    check: int = -1
    repeat_of: int = -1
    """Position of the trial that is shown again, sides changed; its vote is not counted twice."""


def williams(count: int, row: int) -> list[int]:
    """A row of a Williams square of this order; the rows repeat after `count`, or after twice that if it is odd."""
    base = [0]
    for step in range(1, count):
        base.append((base[-1] + (step if step % 2 else -step)) % count)
    turned = [(value + row) % count for value in base]
    return turned[::-1] if count % 2 and row // count % 2 else turned


def trials_for(study: Study, rater: int) -> list[Trial]:
    """All trials of a rater, block after block."""
    rng = np.random.default_rng(seed_for(study.seed, rater, 0))
    out: list[Trial] = []
    for block in williams(len(study.questions), rater):
        question = study.questions[block]
        plain = _paired(study, question, rater) if study.paired else _single(study, question, rater)
        out += _with_checks(study, plain, rater, rng, first=len(out))
    return out


def training(study: Study) -> list[Trial]:
    """Trials with a known answer, the same for all raters, shown with feedback and not stored."""
    question = study.questions[0]
    out = []
    for at in range(TRAINING_TRIALS):
        trial = _artefact(study, question, at % len(study.checks), flipped=at % 2 == 0)
        if not study.paired and at == 1:
            trial = replace(trial, left=CLEAN, expected="3,4,5" if study.design == "mos" else "real")
        out.append(trial)
    return out


def media_of(study: Study, trial: Trial) -> tuple[str, str]:
    """Media names of the left and the right side; the right one empty where one thing is judged alone."""

    def name_of(condition: str) -> str:
        if condition in (CLEAN, SPOILT):
            check: Check = study.checks[trial.check]
            return check.clean if condition == CLEAN else check.spoilt
        return study.stimuli[trial.stimulus].media[condition] if condition else ""

    return name_of(trial.left), name_of(trial.right)


def flipped(trial: Trial) -> Trial:
    """The same with sides changed."""
    return replace(trial, left=trial.right, right=trial.left) if trial.right else trial


def _paired(study: Study, question: Question, rater: int) -> list[Trial]:
    pairs = list(itertools.combinations(study.conditions, 2))
    return [
        flipped(trial) if (at // len(pairs) + rater + pair + rater // len(pairs)) % 2 else trial
        for at, pair, trial in _rounds(study, question, rater, pairs)
    ]


def _single(study: Study, question: Question, rater: int) -> list[Trial]:
    """Each condition in turn; where real and fake are told apart, as many real ones as fakes."""
    conditions = list(study.conditions)
    if study.real:
        conditions += [study.real] * (len(conditions) - 2)
    return [trial for _, _, trial in _rounds(study, question, rater, [(name, "") for name in conditions])]


def _rounds(study: Study, question: Question, rater: int, pairs: list[tuple[str, str]]) -> list[tuple[int, int, Trial]]:
    """(number, pair, trial): every round holds every pair once; scenes move on by one with every trial."""
    shuffled = np.random.default_rng(seed_for(study.seed, 0, 1)).permutation(len(study.stimuli))
    out = []
    for at in range(study.trials):
        row = williams(len(pairs), rater + at // len(pairs))
        pair = row[at % len(pairs)]
        stimulus = int(shuffled[(at + rater // len(pairs)) % len(shuffled)])
        out.append((at, pair, Trial(question.name, stimulus, *pairs[pair])))
    return out


def _with_checks(study: Study, plain: list[Trial], rater: int, rng: np.random.Generator, first: int) -> list[Trial]:
    """One check in 8 trials, at places that cannot be counted off; `first` is the position of the first trial."""
    count = round(len(plain) / PLAIN_PER_CHECK)
    bounds = np.linspace(0, len(plain), count + 1).astype(int)
    after = [int(rng.integers(low + 1, high + 1)) for low, high in itertools.pairwise(bounds)]
    out: list[Trial] = []
    for number, trial in enumerate(plain, 1):
        out.append(trial)
        for at in (at for at, place in enumerate(after) if place == number):
            out.append(_check(study, _KINDS[(at + rater) % len(_KINDS)], out, rng, first))
    return out


def _check(study: Study, kind: str, before: list[Trial], rng: np.random.Generator, first: int) -> Trial:
    question = study.question(before[-1].question)
    earlier = [at for at, trial in enumerate(before[:-_FEWEST_BETWEEN_REPEATS]) if not trial.gold]
    earlier = [at for at in earlier if before[at].repeat_of < 0]
    if kind == "repeat" and earlier:
        at = earlier[int(rng.integers(len(earlier)))]
        return replace(flipped(before[at]), repeat_of=first + at)
    if kind == "instruction":
        expected = str(rng.choice([choice for choice in study.choices if choice != "same"]))
        left, right = study.conditions[0], study.conditions[1] if study.paired else ""  # what is shown is no matter
        return Trial(question.name, before[-1].stimulus, left, right, "instruction", expected)
    return _artefact(study, question, int(rng.integers(len(study.checks))), flipped=bool(rng.integers(2)))


def _artefact(study: Study, question: Question, check: int, *, flipped: bool) -> Trial:
    stimulus = study.checks[check].stimulus
    if study.paired:
        left, right = (SPOILT, CLEAN) if flipped else (CLEAN, SPOILT)
        return Trial(question.name, stimulus, left, right, "artefact", "right" if flipped else "left", check)
    expected = "1,2" if study.design == "mos" else "fake"
    return Trial(question.name, stimulus, SPOILT, "", "artefact", expected, check)
