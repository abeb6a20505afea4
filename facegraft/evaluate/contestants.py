"""Who is asked: calls, floors, and folders of answers that were made elsewhere; each by the same two questions."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.core.types import Frame
from facegraft.evaluate.cases import Answers
from facegraft.evaluate.clip_files import ClipAnswers
from facegraft.evaluate.clips import ClipAnswer, ClipCase, frame_by_frame
from facegraft.evaluate.floors import CEILING, FLOORS, Floor
from facegraft.evaluate.protocol import SwapPair, Swaps
from facegraft.evaluate.results import Kind
from facegraft.evaluate.score import Answer, answer_of

Method = SwapPair | Swaps | Floor | Path | str
"""A call, or several of one method; a floor, or its name; a folder of answers made elsewhere."""
TRACKED = "{} tracked"
"""What a method is called whose own clip call was asked, beside the same method frame by frame."""


@dataclass(frozen=True, eq=False)
class Contestant:
    """One method as it is asked."""

    answer: Answer
    kind: Kind
    about: str


@dataclass(frozen=True, eq=False)
class ClipContestant:
    """The same for clips."""

    answer: ClipAnswer
    kind: Kind
    about: str


def contestants(
    methods: Mapping[str, Method],
    known: Mapping[str, Floor],
    keys: list[str],
    *,
    truths: bool,
    of_clips: Container[str] = (),
) -> dict[str, Contestant]:
    """Who answers pictures.

    Args:
        methods: Name -> method.
        known: All floors.
        keys: Of the cases; a folder has to have one of them.
        truths: Whether there may be right answers.
        of_clips: Names of those that answer clips; a folder of them without an answer to a picture is left out.

    Raises:
        BadInputError: No such floor, a folder without an answer, or nobody is left.
    """
    found = {
        name: _contestant(method, known, keys, truths)
        for name, method in methods.items()
        if not (isinstance(method, Path) and name in of_clips and not _holds_any(Answers(method), keys))
    }
    if not found:
        raise BadInputError(
            f"pictures: expected a method that can be called here, or a folder of answers such as {keys[0]}.png; "
            "found only answers to clips; ask for clips alone"
        )
    return found


def _holds_any(answers: Answers | ClipAnswers, keys: Iterable[str]) -> bool:
    return any(key in answers for key in keys)


def _contestant(method: Method, known: Mapping[str, Floor], keys: list[str], truths: bool) -> Contestant:
    if isinstance(method, str | Floor):
        floor = _floor(method, known, truths)
        return Contestant(floor.answer, "ceiling" if method == CEILING else "floor", floor.about)
    if isinstance(method, Path):
        answers = Answers(method)
        if not _holds_any(answers, keys):
            raise BadInputError(
                f"{shown(method)}: expected a picture per case, such as {keys[0]}.png; found none of them"
            )
        return Contestant(answers.get, "folder", f"{len(answers)} pictures made elsewhere")
    return Contestant(answer_of(method), "method", "")


def clip_contestants(
    methods: Mapping[str, Method], known: Mapping[str, Floor], keys: list[str], *, truths: bool
) -> dict[str, ClipContestant]:
    """Who answers clips, as `contestants`; a method with a call for clips is asked frame by frame and by that call.

    Folders without an answer to any clip are not among them.

    Raises:
        BadInputError: No such floor, a folder whose answers to clips are not clear, or nobody is left.
    """
    found: dict[str, ClipContestant] = {}
    for name, method in methods.items():
        if isinstance(method, Path):
            answers = ClipAnswers(method, keys)
            if _holds_any(answers, keys):
                found[name] = ClipContestant(answers.get, "folder", "clips made elsewhere")
            continue
        one = _contestant(method, known, keys, truths)
        found[name] = ClipContestant(frame_by_frame(one.answer), one.kind, one.about)
        if isinstance(method, Swaps) and method.clip is not None:
            about = f"{name} on whole clips, as it follows faces from frame to frame"
            found[TRACKED.format(name)] = ClipContestant(_whole(method.clip), "method", about)
    if not found:
        raise BadInputError(
            f"clips: expected a method that can be called here, or a folder of answers with {keys[0]}/0000.png or "
            f"{keys[0]}.mkv; found only folders without"
        )
    return found


def _whole(call: Callable[..., Iterable[Frame | None]]) -> ClipAnswer:
    def answer(clip: ClipCase) -> list[Frame | None]:
        return list(call(clip.identities, clip.frames, clip.fps))

    return answer


def _floor(method: str | Floor, known: Mapping[str, Floor], truths: bool) -> Floor:
    if isinstance(method, Floor):
        return method
    if method not in known:
        raise BadInputError(f"expected a floor of {', '.join(FLOORS)}; found {method!r}")
    if method == CEILING and not truths:
        raise BadInputError(
            f"{method}: plain folders and clip files have no right answers; leave it out, or judge on a dataset"
        )
    return known[method]
