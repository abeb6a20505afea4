"""Clips as questions: where they come from, and how a method answers one, frame by frame or as a whole."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, Pair
from facegraft.evaluate.cases import TRUTH, groups_of
from facegraft.evaluate.protocol import Case

logger = logging.getLogger(__name__)

FEWEST_FRAMES = 3
"""Of a clip: an acceleration needs three."""
FPS = 25.0
"""Of clips that do not say: of rendered ones."""


@dataclass(frozen=True, eq=False)
class ClipCase:
    """One question: this person, into this clip.

    Attributes:
        key: Unique.
        identity: Picture that says who.
        frames: The attribute clip, in order, all of one size; three or more.
        identity_person: Who it is; "" = unknown, a person of its own.
        attribute_person: Who is replaced. Intervals resample these people.
        stratum: Group for tables; "" = none.
        truths: The right answers, one per frame, where there are any.
        groups: Further groups, as `Case.groups`.
        fps: Frames a second.
        more: Further pictures of the person, as `Case.more`.
        seed: Of the photo that stands still; None = the clip's place in its set.

    Raises:
        BadInputError: Too few frames, frames of several sizes, or truths that do not match them.
    """

    key: str
    identity: Frame
    frames: tuple[Frame, ...]
    identity_person: str
    attribute_person: str
    stratum: str = ""
    truths: tuple[Frame, ...] | None = None
    groups: dict[str, str] = field(default_factory=dict)
    fps: float = FPS
    more: tuple[Frame, ...] = ()
    seed: int | None = None

    def __post_init__(self) -> None:
        if len(self.frames) < FEWEST_FRAMES:
            raise BadInputError(f"{self.key}: expected a clip of {FEWEST_FRAMES} frames or more, got {len(self)}")
        sizes = {frame.shape for frame in (*self.frames, *(self.truths or ()))}
        if len(sizes) > 1:
            raise BadInputError(f"{self.key}: expected frames and truths of one size, got {sorted(sizes)}")
        if self.truths is not None and len(self.truths) != len(self.frames):
            raise BadInputError(f"{self.key}: expected a truth for each of {len(self)} frames, got {len(self.truths)}")

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def identities(self) -> tuple[Frame, ...]:
        """All pictures of the person."""
        return (self.identity, *self.more)

    def cases(self) -> Iterator[Case]:
        """Each frame as a question of its own, in order."""
        for number, frame in enumerate(self.frames):
            yield Case(
                key=f"{self.key}-{number:04d}",
                identity=self.identity,
                attribute=frame,
                identity_person=self.identity_person,
                attribute_person=self.attribute_person,
                stratum=self.stratum,
                truth=None if self.truths is None else self.truths[number],
                groups=self.groups,
                more=self.more,
            )


def still_key(key: str) -> str:
    """Of the photo that stands still, made of the clip of this key."""
    return f"{key}-still"


ClipAnswer = Callable[[ClipCase], Sequence[Frame | None] | None]
"""A clip -> one swapped frame per frame, or None where there is none. None for all: it was never asked this clip."""


def frame_by_frame(answer: Callable[[Case], Frame | None]) -> ClipAnswer:
    """A method of single pictures, which knows nothing of the frames before.

    A frame at which it raises a FacegraftError has no answer, and it goes on.
    """

    def answer_all(clip: ClipCase) -> list[Frame | None]:
        return [_one(answer, case) for case in clip.cases()]

    return answer_all


def _one(answer: Callable[[Case], Frame | None], case: Case) -> Frame | None:
    try:
        return answer(case)
    except FacegraftError as error:
        logger.info("no answer to %s: %s", case.key, error)
        return None


@dataclass(frozen=True, eq=False)
class ClipSet:
    """Clips of a dataset, each read when it is asked for.

    Attributes:
        name: Of the set, for the report.
        dataset: Where pictures are.
        clips: The pairs of each clip, in the order of its frames.
    """

    name: str
    dataset: Dataset
    clips: tuple[tuple[Pair, ...], ...]

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[ClipCase]:
        return (_read(self.dataset, pairs) for pairs in self.clips)

    def keys(self) -> list[str]:
        """Of all clips, without reading them."""
        return [f"{pairs[0].identity}+{self.dataset.row(pairs[0].attribute).clip}" for pairs in self.clips]

    def identity_frames(self) -> Iterator[Frame]:
        """A picture of each person who gives an identity."""
        return (self.dataset.item(key).frame() for key in dict.fromkeys(pairs[0].identity for pairs in self.clips))


def clip_set(dataset: Dataset, *, most: int | None = None, frames: int | None = None) -> ClipSet:
    """The clips of a dataset; the first `most` of them, the first `frames` of each, which makes it another set.

    Args:
        dataset: With a pair for each frame of a clip, as the benchmark set clips-50 has. Its strata take turns, so its
            first clips are of all of them.
        most: At most so many clips; None = all.
        frames: At most so many frames of each; None = all.

    Raises:
        BadInputError: The dataset has no pairs of clips.
    """
    found: dict[tuple[str, str], list[Pair]] = {}
    for pair in dataset.pairs:
        clip = dataset.row(pair.attribute).clip
        if clip:
            found.setdefault((clip, pair.identity), []).append(pair)
    if not found:
        raise BadInputError(
            f"dataset {dataset.card.name!r}: expected pairs of a clip's frames, found none; use clips-50, made by "
            "`facegraft data benchmark clips-50`"
        )

    def number(pair: Pair) -> int:
        return dataset.row(pair.attribute).frame_number

    clips = [tuple(sorted(pairs, key=number)[:frames]) for pairs in found.values()]
    name = dataset.card.name if frames is None else f"{dataset.card.name}, first {frames} frames"
    return ClipSet(name, dataset, tuple(clips[:most]))


def _read(dataset: Dataset, pairs: Sequence[Pair]) -> ClipCase:
    identity, first = dataset.item(pairs[0].identity), dataset.row(pairs[0].attribute)
    whole = all(TRUTH in pair.truths for pair in pairs)
    return ClipCase(
        key=f"{identity.key}+{first.clip}",
        identity=identity.frame(),
        frames=tuple(dataset.item(pair.attribute).frame() for pair in pairs),
        identity_person=identity.person or identity.key,
        attribute_person=first.person or first.clip,
        stratum=pairs[0].stratum,
        truths=tuple(dataset.item(pair.truths[TRUTH]).frame() for pair in pairs) if whole else None,
        groups=groups_of(identity),
    )
