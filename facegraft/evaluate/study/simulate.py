"""Raters who do not exist, with a known scale, vote through the same web requests as people: a rehearsal of a study."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.seeds import seed_for
from facegraft.evaluate.study.design import Study
from facegraft.evaluate.study.scale import Link, preference
from facegraft.evaluate.study.schedule import CLEAN, SPOILT

_SECONDS = (2.2, 0.45)
"""Median and log deviation of how long an answer takes."""
_GRADE_NOISE = 0.7
_CONTRAST = 4.0
"""How far a spoilt copy lies below and a clean one above, on the planted scale."""


@dataclass(frozen=True)
class Simulated:
    """How the raters judge.

    Attributes:
        scale: Condition -> place. Pairs: by the link; grades: 3 plus the place, with noise; real or fake: the log odds
            of "real".
        careless: Whether to press at random, and at once.
    """

    scale: Mapping[str, float]
    link: Link = "jod"
    careless: bool = False


def check_scale(study: Study, scale: Mapping[str, float]) -> None:
    """Fails where conditions and places do not match.

    Raises:
        BadInputError: It names what is missing or unknown.
    """
    missing, unknown = set(study.conditions) - set(scale), set(scale) - set(study.conditions)
    if missing or unknown:
        known = ", ".join(study.conditions)
        what = f"lacks {sorted(missing)[0]}" if missing else f"names {sorted(unknown)[0]}, which is no condition"
        raise BadInputError(f"--scale: {what}; expected NAME=NUMBER of each of {known}")


def vote_as(study: Study, address: str, simulated: Simulated, rng: np.random.Generator) -> int:
    """One rater: joins, answers every trial, leaves. How many answers were given."""
    spots = condition_of_media(study)
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    try:
        key = _call(connection, address, "join", {"consent": True, "adult": True, "width": 1280, "height": 800})["key"]
        answered = 0
        while True:
            trial = _call(connection, address, "next", {"key": key})
            if trial.get("finished"):
                return answered
            choice = choose(study, simulated, trial, spots, rng)
            ms = 300 if simulated.careless else int(1000 * np.exp(rng.normal(np.log(_SECONDS[0]), _SECONDS[1])))
            _call(connection, address, "vote", {"key": key, "trial": trial["trial"], "choice": choice, "ms": ms})
            answered += 1
    finally:
        connection.close()


def condition_of_media(study: Study) -> dict[str, str]:
    """Media name -> condition, or `spoilt`: what people only see."""
    spots = {name: condition for stimulus in study.stimuli for condition, name in stimulus.media.items()}
    return spots | {check.spoilt: SPOILT for check in study.checks}


def choose(
    study: Study, simulated: Simulated, trial: Mapping[str, Any], spots: Mapping[str, str], rng: np.random.Generator
) -> str:
    """What a rater answers to a trial as the page gets it."""
    choices = [choice for choice in study.choices if choice != "same"]
    if simulated.careless:
        return str(rng.choice(choices))
    if trial["instruction"]:
        return str(trial["instruction"])
    shown = [spots[name] for name in trial["media"]]
    places = [_place(simulated, name, beside_spoilt=SPOILT in shown) for name in shown]
    if study.paired:
        return "left" if rng.random() < preference(simulated.link, places[0] - places[1]) else "right"
    if study.design == "mos":
        return str(int(np.clip(round(3 + places[0] + rng.normal(0, _GRADE_NOISE)), 1, 5)))
    return "real" if rng.random() < preference("bt", places[0]) else "fake"


def rater_rng(study: Study, seed: int, rater: int) -> np.random.Generator:
    """Of one simulated rater."""
    return np.random.default_rng(seed_for(seed, rater, 3 + study.seed))


def _place(simulated: Simulated, name: str, *, beside_spoilt: bool) -> float:
    if name == SPOILT:
        return -_CONTRAST
    return _CONTRAST if beside_spoilt or name == CLEAN else simulated.scale[name]


def _call(connection: http.client.HTTPConnection, address: str, what: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """One POST.

    Raises:
        BadInputError: The server refuses.
    """
    headers = {"Content-Type": "application/json"}
    connection.request("POST", f"{urlsplit(address).path}api/{what}", json.dumps(body), headers)
    answer = connection.getresponse()
    content: dict[str, Any] = json.loads(answer.read())
    if answer.status != 200:
        raise BadInputError(f"{what}: the study's server says {answer.status}, {content.get('error')}")
    return content
