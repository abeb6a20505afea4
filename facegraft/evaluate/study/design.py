"""What a study is: the content of `study.json`, all decided before the first vote.

A study folder holds `study.json`, `media/` (under names that tell a rater nothing), `page/` (what raters see) and, once
served, `votes.sqlite`.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from facegraft.core.config import check_keys
from facegraft.core.errors import BadInputError
from facegraft.core.files import read_bytes, shown

FORMAT = 1
Design = Literal["pairwise", "mos", "real-or-fake", "video"]
DESIGNS: tuple[Design, ...] = ("pairwise", "mos", "real-or-fake", "video")
MEDIA_NAME = re.compile(r"[0-9a-f]{16}\.(jpg|png|webp|mp4|webm)")


@dataclass(frozen=True)
class Question:
    """What raters are asked in one block of trials."""

    name: str
    text: str
    """Of two things shown side by side, or of one."""
    references: tuple[str, ...] = ()
    """"identity" or "attribute": shown beside. Realism is asked without, or raters would compare instead of judge."""
    low: str = ""
    """In words, grade 1 of the design `mos`."""
    high: str = ""
    """In words, grade 5."""


@dataclass(frozen=True)
class Stimulus:
    """One scene: what each condition made of it, as media names."""

    stem: str
    media: dict[str, str]
    identity: str = ""
    attribute: str = ""


@dataclass(frozen=True)
class Check:
    """A clean picture or clip and a spoilt copy of it, for attention checks and training."""

    stimulus: int
    clean: str
    spoilt: str


@dataclass(frozen=True)
class Rules:
    """Who is left out of the scores. Decided before the study; 0 switches a rule off."""

    failed_checks: float | int = 0.25
    """Raters who fail more than this share of their attention checks; one failure is always forgiven."""
    fastest_median_ms: int = 1000
    """Raters whose median answer came sooner after the pictures were there."""
    one_sided: float | int = 0.85
    """Raters who chose one side, or one grade, in more than this share of at least 20 trials."""
    agreement: float | int = 0.2
    """Raters whose ranking of the conditions has a lower rank correlation with that of all others together; from 4
    conditions and 20 votes on, as it is a matter of luck with fewer."""


@dataclass(frozen=True)
class Study:
    """All of a study but its votes."""

    title: str
    design: Design
    conditions: tuple[str, ...]
    stimuli: tuple[Stimulus, ...]
    questions: tuple[Question, ...]
    checks: tuple[Check, ...]
    trials: int
    """Of each question and rater, attention checks not counted."""
    seed: int = 0
    real: str = ""
    """The condition that holds unchanged pictures, in the design `real-or-fake`."""
    min_view_ms: int = 1500
    """Before which nobody may answer; clips: one full loop."""
    hide_after_ms: int = 0
    """0: pictures stay until the answer."""
    ties: bool = False
    active: bool = False
    contact: str = ""
    purpose: str = ""
    rules: Rules = field(default_factory=Rules)
    inputs_sha256: str = ""
    """Of options and files: tells whether the same command built this folder."""
    format: int = FORMAT

    @property
    def paired(self) -> bool:
        """Two things side by side; else one at a time."""
        return self.design in ("pairwise", "video")

    @property
    def choices(self) -> tuple[str, ...]:
        """What a vote may say."""
        if self.paired:
            return ("left", "right", "same") if self.ties else ("left", "right")
        return ("1", "2", "3", "4", "5") if self.design == "mos" else ("real", "fake")

    def question(self, name: str) -> Question:
        return next(question for question in self.questions if question.name == name)


_LOOKS = {
    "identity": ("looks more like the person in the reference", "identity"),
    "natural": ("looks more natural", ""),
    "expression": ("keeps the facial expression of the reference better", "attribute"),
    "gaze": ("looks in the same direction as the reference", "attribute"),
    "attributes": ("keeps pose, light and background of the reference better", "attribute"),
    "steady": ("is steadier, with less flicker and jumping", ""),
}
_GRADES = {
    "identity": ("How much does the person here look like the one in the reference?", "not at all", "the same person"),
    "natural": ("How natural does this look?", "clearly manipulated", "entirely natural"),
    "expression": ("How well does this keep the facial expression of the reference?", "not at all", "exactly"),
    "gaze": ("How well does this keep the direction of gaze of the reference?", "not at all", "exactly"),
    "attributes": ("How well does this keep pose, light and background of the reference?", "not at all", "exactly"),
    "steady": ("How steady is this?", "flickers all the time", "entirely steady"),
}
QUESTIONS = tuple(_LOOKS)


def make_question(name: str, design: Design, wording: str = "") -> Question:
    """One of the built-in questions in the form that a design needs, or with wording of one's own.

    Raises:
        BadInputError: Unknown, or one that the design cannot ask.
    """
    if name not in QUESTIONS:
        raise BadInputError(f"--question: expected one of {', '.join(QUESTIONS)}, found {name}")
    reference = (_LOOKS[name][1],) if _LOOKS[name][1] else ()
    if design == "real-or-fake":
        if name != "natural":
            raise BadInputError(f"--question {name}: the design real-or-fake asks only natural; leave --question out")
        return Question(name, wording or "Is this picture real, or was the face changed by a computer?")
    if design == "mos":
        text, low, high = _GRADES[name]
        return Question(name, wording or text, reference, low, high)
    kind = "clip" if design == "video" else "picture"
    return Question(name, wording or f"Which {kind} {_LOOKS[name][0]}?", reference)


def study_text(study: Study) -> str:
    """The content of `study.json`."""
    return json.dumps(dataclasses.asdict(study), indent=1) + "\n"


def load_study(folder: Path) -> Study:
    """The study in a folder.

    Raises:
        BadInputError: None there, damaged, or of another version.
    """
    path = folder / "study.json"
    if not path.is_file():
        raise BadInputError(f"{shown(folder)}: holds no study (no study.json); make one by `facegraft study build`")
    try:
        table = json.loads(read_bytes(path).decode("utf-8"))
        if table.get("format") != FORMAT:
            raise BadInputError(f"{shown(path)}: of format {table.get('format')}, expected {FORMAT}; build it anew")
        return _checked(_study(table))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"{shown(path)}: damaged ({reason}); build the study anew") from error


def _study(table: Mapping[str, Any]) -> Study:
    check_keys(Study, table, "study.json")
    filled = dict(table)
    filled["conditions"] = tuple(str(name) for name in table["conditions"])
    filled["stimuli"] = tuple(Stimulus(**row) for row in table["stimuli"])
    filled["checks"] = tuple(Check(**row) for row in table["checks"])
    filled["questions"] = tuple(
        Question(**{**row, "references": tuple(row["references"])}) for row in table["questions"]
    )
    filled["rules"] = Rules(**{name: _number(value) for name, value in table["rules"].items()})
    return Study(**filled)


def _number(value: object) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"a rule is {value!r}, expected a number")
    return value


def _checked(study: Study) -> Study:
    """Fails where a value cannot be what `build` wrote: media names above all, as files are served by them."""
    names = [name for stimulus in study.stimuli for name in (*stimulus.media.values(), *references(stimulus))]
    names += [name for check in study.checks for name in (check.clean, check.spoilt)]
    bad = next((name for name in names if not MEDIA_NAME.fullmatch(name)), None)
    if bad is not None:
        raise ValueError(f"media name {bad!r}")
    if study.design not in DESIGNS or not study.conditions or not study.stimuli or not study.questions:
        raise ValueError("design, conditions, stimuli or questions are missing")
    if any(set(study.conditions) - set(stimulus.media) for stimulus in study.stimuli):
        raise ValueError("a stimulus lacks a condition")
    if any(not 0 <= check.stimulus < len(study.stimuli) for check in study.checks) or study.trials < 1:
        raise ValueError("a check or the number of trials is out of range")
    return study


def references(stimulus: Stimulus) -> list[str]:
    """Media names of the identity and the attribute picture, where there are any."""
    return [name for name in (stimulus.identity, stimulus.attribute) if name]


def reference_media(study: Study, question: str, stimulus: int) -> list[tuple[str, str]]:
    """What is shown beside the trials of a question: (kind, media name)."""
    shown_beside = study.question(question).references
    scene = study.stimuli[stimulus]
    return [(kind, cast(str, getattr(scene, kind))) for kind in shown_beside]
