"""Who is swapped, and with whom: everybody, the largest face, a number, or people known by their looks.

Decided per track, not per frame: a face that is chosen stays chosen while it is followed, so nobody flickers. People
are told apart by a recogniser; the other rules work without one. A picture is a clip of one frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError, MissingPartError, NoFaceError
from facegraft.core.files import shown
from facegraft.core.types import Faces, Frame
from facegraft.faces.analyse import sizes_in_frame
from facegraft.faces.embed import SAME_PERSON
from facegraft.faces.mapping import MappedPerson, read_mapping
from facegraft.faces.people import view_quality
from facegraft.faces.track import FaceAnalyser, FaceRecogniser

NEED_RECOGNISER = (
    "{what} needs the recogniser, which tells people apart; run `facegraft models fetch --recogniser` (once, online, "
    "100 MB), or choose with --which all, largest or a number"
)
CLEARER = 1.25
"""A view this much better than the one that decided is reason to look again."""
DROP = 0.88
"""A chosen face whose likeness falls below this was chosen wrongly: 1 in 1,000 pairs of one person is less alike."""
SWITCH = 0.02
"""Another person takes over a chosen face only when they are more alike by this much."""
STAY_FRAMES = 50
"""Frames with faces for which the largest face's place is kept free while it is gone."""
OVERTAKE = 1.5
OVERTAKE_FRAMES = 15
"""A face this much larger for this many frames takes the largest face's place."""

EmbedPicture = Callable[[Path], Float32[np.ndarray, "d"]]


@dataclass(frozen=True)
class Everybody:
    """Every face gets one identity."""

    key: str


@dataclass(frozen=True)
class Largest:
    key: str


@dataclass(frozen=True)
class Numbered:
    """The face with this number: in a picture as `facegraft analyse` counts, in a clip the track's id."""

    number: int
    key: str


@dataclass(frozen=True)
class Wanted:
    """Somebody to be known; `key` None: known, and to be left as they are."""

    name: str
    embedding: Float32[np.ndarray, "d"]
    key: str | None


@dataclass(frozen=True)
class People:
    """Faces that look like these people."""

    people: tuple[Wanted, ...]


Rule = Everybody | Largest | Numbered | People


@dataclass
class Decision:
    """Who a track is, for the rule `People`.

    Attributes:
        person: Row of `People.people`, or None: nobody we know.
        likeness: Cosine to that person when decided; to the nearest one for None.
        quality: `view_quality` of the view that decided.
        frames: How often the track was seen.
    """

    person: int | None
    likeness: float
    quality: float
    frames: int = 1


class Selector:
    """Applies a rule to the frames of a clip in order, or to one picture."""

    def __init__(self, rule: Rule, recogniser: FaceRecogniser | None = None) -> None:
        self._rule = rule
        self._recogniser = recogniser
        self._decisions: dict[int, Decision] = {}
        self._leader: int | None = None
        self._away = 0
        self._rival: int | None = None
        self._rival_frames = 0

    def choose(self, frame: Frame, faces: Faces) -> dict[int, str]:
        """Which identity goes on which row of `faces`; rows that are not named stay as they are.

        Raises:
            MissingPartError: The rule needs embeddings, the faces have none, and there is no recogniser.
        """
        rule = self._rule
        if isinstance(rule, Everybody):
            return dict.fromkeys(range(len(faces)), rule.key)
        if isinstance(rule, People):
            return self._known(rule.people, frame, faces)
        number = rule.number if isinstance(rule, Numbered) else self._largest(frame, faces)
        return {row: rule.key for row in np.flatnonzero(faces.numbers == number).tolist()} if number is not None else {}

    # --- the largest ----------------------------------------------------------------------------------

    def _largest(self, frame: Frame, faces: Faces) -> int | None:
        """Number of the track that counts as the largest."""
        if len(faces) == 0:
            return None
        sizes: dict[int, float] = dict(
            zip(faces.numbers.tolist(), sizes_in_frame(faces.boxes_xyxy, frame).tolist(), strict=True)
        )
        top = max(sizes, key=lambda number: sizes[number])
        leader = self._leader
        if leader is None or leader not in sizes:
            self._away += 1
            if leader is None or self._away > STAY_FRAMES:
                self._lead(top)
            return self._leader
        self._away = 0
        if top == leader or sizes[top] < OVERTAKE * sizes[leader]:
            self._rival, self._rival_frames = None, 0
            return leader
        self._rival_frames = self._rival_frames + 1 if self._rival == top else 1
        self._rival = top
        if self._rival_frames >= OVERTAKE_FRAMES:
            self._lead(top)
        return self._leader

    def _lead(self, number: int) -> None:
        self._leader, self._away, self._rival, self._rival_frames = number, 0, None, 0

    # --- people ---------------------------------------------------------------------------------------

    def _known(self, people: Sequence[Wanted], frame: Frame, faces: Faces) -> dict[int, str]:
        due = [row for row in range(len(faces)) if self._is_due(faces, row)]
        if due:
            self._decide(people, faces, due, self._embeddings(frame, faces, due))
        claims: dict[int, int] = {}
        for row, number in enumerate(faces.numbers.tolist()):
            decision = self._decisions[number]
            if decision.person is None:
                continue
            rival = claims.get(decision.person)
            if rival is None or decision.likeness > self._decisions[int(faces.numbers[rival])].likeness:
                claims[decision.person] = row  # nobody is in a frame twice
        return {row: key for person, row in sorted(claims.items()) if (key := people[person].key) is not None}

    def _is_due(self, faces: Faces, row: int) -> bool:
        """When a track is new; when a view is clearly better; and ever more rarely as its mean embedding settles."""
        decision = self._decisions.get(int(faces.numbers[row]))
        if decision is None:
            return True
        decision.frames += 1
        settling = faces.embeddings is not None and decision.frames & (decision.frames - 1) == 0
        return settling or view_quality(faces[row]) > CLEARER * decision.quality

    def _embeddings(self, frame: Frame, faces: Faces, rows: list[int]) -> Float32[np.ndarray, "n d"]:
        part = faces.take(rows)
        if part.embeddings is None and self._recogniser is not None:
            part = self._recogniser.embed(frame, part)
        if part.embeddings is None:
            raise MissingPartError(NEED_RECOGNISER.format(what="choosing people by their looks"))
        return part.embeddings

    def _decide(
        self, people: Sequence[Wanted], faces: Faces, rows: list[int], embeddings: Float32[np.ndarray, "n d"]
    ) -> None:
        known = np.stack([person.embedding for person in people]).astype(np.float64)
        if known.shape[1] != embeddings.shape[1]:
            raise BadInputError(
                f"the mapping holds embeddings of {known.shape[1]} numbers, this recogniser makes "
                f"{embeddings.shape[1]}; run `facegraft analyse` on the clip again"
            )
        likeness = embeddings.astype(np.float64) @ known.T
        for index, row in enumerate(rows):
            number, quality = int(faces.numbers[row]), view_quality(faces[row])
            before = self._decisions.get(number)
            kept = None if before is None else before.person
            best = int(likeness[index].argmax())
            person = _decided(kept, best, likeness[index])
            at = best if person is None else person
            frames = 1 if before is None else before.frames
            top = max(quality, 0.0 if before is None else before.quality)
            self._decisions[number] = Decision(person, float(likeness[index, at]), top, frames)

    # --- state ----------------------------------------------------------------------------------------

    def state(self) -> dict[str, Any]:
        """Everything the next frame depends on, as plain JSON."""
        return {
            "decisions": {str(number): asdict(decision) for number, decision in self._decisions.items()},
            "largest": [self._leader, self._away, self._rival, self._rival_frames],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Takes up a `state()` of a selector with the same rule."""
        self._decisions = {int(number): Decision(**decision) for number, decision in state["decisions"].items()}
        self._leader, self._away, self._rival, self._rival_frames = state["largest"]


def _decided(kept: int | None, best: int, likeness: np.ndarray) -> int | None:
    """Who a face is, given who it was taken for so far."""
    if kept is None:
        return best if likeness[best] >= SAME_PERSON else None
    if best != kept and likeness[best] >= SAME_PERSON and likeness[best] > likeness[kept] + SWITCH:
        return best
    return kept if likeness[kept] >= DROP else None


# --- from the command line ----------------------------------------------------------------------------


def which_rule(which: str, key: str, embed: EmbedPicture | None) -> Rule:
    """The rule of `--which`.

    Args:
        which: "all", "largest", a number, or a picture of the person.
        key: Identity for the chosen.
        embed: The embedding of the person in a picture; None without a recogniser.

    Raises:
        BadInputError: None of these.
        MissingPartError: A picture, but no recogniser.
    """
    if which == "all":
        return Everybody(key)
    if which == "largest":
        return Largest(key)
    if which.isdecimal():
        return Numbered(int(which), key)
    path = Path(which)
    if not path.is_file():
        raise BadInputError(f"--which {which}: expected all, largest, a face's number, or a picture file that exists")
    if embed is None:
        raise MissingPartError(NEED_RECOGNISER.format(what=f"--which {shown(path)}"))
    return People((Wanted(path.stem, embed(path), key),))


def map_rule(entries: Sequence[str], embed: EmbedPicture | None) -> tuple[People, dict[str, Path]]:
    """The rule of `--map`, which may be given several times.

    Args:
        entries: "person.jpg=identity.jpg", or a mapping file of `facegraft analyse`.
        embed: As for `which_rule`.

    Returns:
        The rule, and the identity picture of each of its keys.

    Raises:
        BadInputError: A file is missing or broken, or no entry has an identity.
        MissingPartError: No recogniser.
    """
    if embed is None:
        raise MissingPartError(NEED_RECOGNISER.format(what="--map"))
    wanted: list[Wanted] = []
    identities: dict[str, Path] = {}
    for entry in entries:
        for name, vector, identity in _map_entry(entry, embed):
            key = None if identity is None else str(identity)
            wanted.append(Wanted(name, vector, key))
            if key is not None and identity is not None:
                identities[key] = identity
    if not identities:
        raise BadInputError(f"--map {', '.join(entries)}: nobody has an identity; put a picture's name into `identity`")
    return People(tuple(wanted)), identities


def _map_entry(entry: str, embed: EmbedPicture) -> list[tuple[str, Float32[np.ndarray, "d"], Path | None]]:
    if Path(entry).suffix.lower() == ".toml" and "=" not in Path(entry).name:
        people: list[MappedPerson] = read_mapping(Path(entry))
        return [(person.name, person.embedding, person.identity) for person in people]
    cuts = [(entry[:place], entry[place + 1 :]) for place, letter in enumerate(entry) if letter == "="]
    pairs = [(Path(left), Path(right)) for left, right in cuts if left and right]
    if not pairs:
        raise BadInputError(f"--map {entry}: expected person.jpg=identity.jpg, or a mapping file that ends in .toml")
    found = [pair for pair in pairs if pair[0].is_file() and pair[1].is_file()]
    if not found:
        missing = next(path for path in pairs[0] if not path.is_file())
        raise BadInputError(f"--map {entry}: no file {shown(missing)}; check the name")
    person, identity = found[0]
    return [(person.stem, embed(person), identity)]


def embed_person(
    frame: Frame, path: Path, analyser: FaceAnalyser, recogniser: FaceRecogniser
) -> Float32[np.ndarray, "d"]:
    """The embedding of the largest face of a picture that was read from `path`.

    Raises:
        NoFaceError: No face in it.
    """
    faces = analyser.analyse(frame)
    if len(faces) == 0:
        raise NoFaceError(f"{shown(path)}: no face found to know the person by; use a picture that shows one")
    embedded = recogniser.embed(frame, faces.take([0]))
    if embedded.embeddings is None:
        raise MissingPartError(NEED_RECOGNISER.format(what=shown(path)))
    return embedded.embeddings[0]
