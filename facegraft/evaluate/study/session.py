"""What the page asks and is told, without the network. Conditions never leave here, only names of media do."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from facegraft.core.seeds import seed_for
from facegraft.evaluate.study.active import choose_pair
from facegraft.evaluate.study.design import Study, reference_media
from facegraft.evaluate.study.schedule import Trial, flipped, media_of, training, trials_for
from facegraft.evaluate.study.votes import Vote, VoteStore

logger = logging.getLogger(__name__)

MOST_MS = 3_600_000


class RefusedError(Exception):
    """A request that cannot be answered; its HTTP status and a word for the page."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Session:
    """A study that is being served."""

    def __init__(self, study: Study, store: VoteStore) -> None:
        self.study, self.store = study, store

    def describe(self) -> dict[str, Any]:
        """What the page shows before the first trial, and the training trials with their answers."""
        study = self.study
        blocks = sum(not trial.gold and trial.repeat_of < 0 for trial in trials_for(study, 0))
        return {
            "id": study.inputs_sha256[:16],
            "title": study.title,
            "design": study.design,
            "purpose": study.purpose,
            "contact": study.contact,
            "questions": [question.text for question in study.questions],
            "trials": len(trials_for(study, 0)),
            "minutes": max(1, round(len(trials_for(study, 0)) * self._seconds_a_trial() / 60)),
            "rated": blocks,
            "min_view_ms": study.min_view_ms,
            "hide_after_ms": study.hide_after_ms,
            "choices": study.choices,
            "training": [self._shown(trial) | {"expected": trial.expected.split(",")} for trial in training(study)],
        }

    def join(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """A new rater, who has agreed and is of age."""
        if request.get("consent") is not True or request.get("adult") is not True:
            raise RefusedError(400, "consent and age are needed")
        width, height = (_whole(request, name, 1, 100_000) for name in ("width", "height"))
        key = secrets.token_urlsafe(16)
        rater = self.store.join(key, width, height)
        if rater is None:
            raise RefusedError(503, "no more raters are taken")
        self.store.assign(rater, trials_for(self.study, rater))
        return {"key": key, "rater": rater}

    def next(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The trial after the last answer, and the media of the one behind it, to be loaded meanwhile."""
        rater = self._rater(request)
        at, total = self.store.progress(rater)
        trial = self._serve(rater, at)
        answer: dict[str, Any] = {"done": at, "total": total, "rater": rater}
        if trial is None:
            return answer | {"finished": True}
        before = self.store.trial(rater, at - 1) if at else None
        answer |= {"trial": at, "new_block": before is None or before[0].question != trial.question}
        answer |= self._shown(trial)
        coming = self._serve(rater, at + 1)
        if coming is not None:
            told = self._shown(coming)
            answer["preload"] = [*told["media"], *(reference["media"] for reference in told["references"])]
        return answer

    def vote(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Takes one answer; the same again changes nothing."""
        rater = self._rater(request)
        at = _whole(request, "trial", 0, 1_000_000)
        ms = _whole(request, "ms", 0, MOST_MS)
        choice = request.get("choice")
        if choice not in self.study.choices:
            raise RefusedError(400, f"choice: expected one of {', '.join(self.study.choices)}")
        done, total = self.store.progress(rater)
        found = self.store.trial(rater, at)
        if found is None:
            raise RefusedError(404, "no such trial")
        if at > done or not found[1]:
            raise RefusedError(409, "answer the trials in their order")
        stored = self.store.vote(rater, at, choice, ms)
        return {"stored": stored, "done": self.store.progress(rater)[0], "total": total}

    def withdraw(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Deletes all answers of a rater."""
        return {"deleted": self.store.withdraw(self._rater(request))}

    def _rater(self, request: Mapping[str, Any]) -> int:
        key = request.get("key")
        rater = self.store.rater(key) if isinstance(key, str) else None
        if rater is None:
            raise RefusedError(404, "no such rater")
        return rater

    def _serve(self, rater: int, at: int) -> Trial | None:
        """A trial as this rater will see it from now on; actively chosen pairs are chosen here."""
        found = self.store.trial(rater, at)
        if found is None:
            return None
        trial, served = found
        if served:
            return trial
        if trial.repeat_of >= 0:
            original = self.store.trial(rater, trial.repeat_of)
            trial = trial if original is None else replace(flipped(original[0]), repeat_of=trial.repeat_of)
        elif self.study.active and not trial.gold:
            trial = self._chosen(rater, at, trial)
        self.store.serve(rater, at, trial)
        served_now = self.store.trial(rater, at)  # another window of the same rater may have been first
        return trial if served_now is None else served_now[0]

    def _chosen(self, rater: int, at: int, trial: Trial) -> Trial:
        rng = np.random.default_rng(seed_for(self.study.seed, rater, 1_000 + at))
        wins = wins_of(self.study, self.store.votes(), trial.question)
        first, second = (self.study.conditions[place] for place in choose_pair(wins, rng))
        chosen = replace(trial, left=first, right=second)
        return flipped(chosen) if (at + rater) % 2 else chosen

    def _shown(self, trial: Trial) -> dict[str, Any]:
        """A trial as the page gets it: no condition, no word of whether it is a check."""
        media = [name for name in media_of(self.study, trial) if name]
        beside = reference_media(self.study, trial.question, trial.stimulus)
        question = self.study.question(trial.question)
        return {
            "question": question.text,
            "grades": [question.low, question.high],
            "media": media,
            "references": [{"kind": kind, "media": name} for kind, name in beside],
            "instruction": trial.expected if trial.gold == "instruction" else "",
        }

    def _seconds_a_trial(self) -> float:
        return 9.0 if self.study.design == "video" else 5.0


def wins_of(study: Study, votes: list[Vote], question: str) -> np.ndarray:
    """[i, j]: counted votes for condition i over j; ties are half a vote for each."""
    place = {name: at for at, name in enumerate(study.conditions)}
    wins = np.zeros((len(place), len(place)))
    for vote in votes:
        if vote.counts and vote.block == question:
            left, right = place[vote.left], place[vote.right]
            wins[left, right] += {"left": 1.0, "right": 0.0, "same": 0.5}[vote.choice]
            wins[right, left] += {"left": 0.0, "right": 1.0, "same": 0.5}[vote.choice]
    return wins


def _whole(request: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = request.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise RefusedError(400, f"{name}: expected a whole number from {least} to {most}")
    return value
