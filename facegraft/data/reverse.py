"""Swaps whose right answer is a photograph, because what they have to undo is another swap.

    facegraft data reverse faces -o undone --pairs 6000

A swapper at hand puts a stranger's face on a photograph: that is the attribute image, and the photograph as it was the
right answer. The identity image shows the photograph's person elsewhere: put on another photograph by the same swapper,
or mirrored as they are, or another photo of them. What the swapper does badly is in what goes in, and never in what has
to come out. ReliableSwap (Yuan et al., arXiv:2306.05356) calls such triplets cycle triplets; here any swapper makes
them, without weights if it is the warp.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from facegraft import __version__
from facegraft.core.errors import BadInputError, NoFaceError
from facegraft.core.files import read_bytes
from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.core.machine import physical_cores
from facegraft.core.types import Face, Frame
from facegraft.data.dataset import Dataset, DatasetCard, Item, Pair, open_dataset, shard_done, write_card, write_shard
from facegraft.data.fanout import run_units
from facegraft.data.item import Row
from facegraft.data.synth_folder import begin
from facegraft.faces.analyse import MIN_PRESENCE, Analyser
from facegraft.faces.topology import landmarks68

PLAN_NAME = "reverse.json"
PAIRS_OF_A_SHARD = 100
DONOR_DEGREES, HOST_DEGREES = 25.0, 40.0
"""How far the yaw of whose face is put on, and of whom the person is put on, may be from the photograph's."""
MIRRORED = 0.5
"""Share of people who are mirrored before they are put on another photograph."""
JPEG_QUALITY = 92
_TRIES = 40
ABOUT = (
    "Faces put on photographs of others, each with the photograph as it was: the right answer of the swap that undoes "
    "it. Its pictures show real people's features in places where they never were: for training, not to be shown."
)

PairSwap = Callable[[Frame, Frame], Frame]
"""Identity picture, attribute picture -> the swapped picture."""
Progress = Callable[[int, int], None]
"""Shards done, shards in all."""


@dataclass(frozen=True)
class ReverseOptions:
    """All that decides the content, besides the photographs.

    Attributes:
        method: What makes the swaps that are to be undone.
        pairs: How many; where a face is not found in a swap, its pair is left out.
        seed: Other seeds have other meetings.
        plain: Share of identity images that were not swapped: mirrored, or another photo of the person.
        again: Also stores what the swapper makes of identity and attribute image, for networks that mend it.
    """

    method: str
    pairs: int
    seed: int = 0
    plain: float = 0.25
    again: bool = False

    def __post_init__(self) -> None:
        if self.pairs < 1 or not 0 <= self.plain <= 1:
            raise BadInputError(
                f"--pairs, --plain: expected 1 or more and a share 0..1, found {self.pairs} and {self.plain:g}"
            )


@dataclass(frozen=True)
class Meeting:
    """Who meets whom in one pair.

    Attributes:
        truth: The photograph: the right answer, and all but the face of the attribute image.
        donor: Whose face is put on it.
        host: On whom its person is put for the identity image; None: on nobody.
        other: Another photo of the person; it is the identity image, or what is put on the host.
        mirrored: The identity's photo is mirrored first.
    """

    truth: Row
    donor: Row
    host: Row | None
    other: Row | None
    mirrored: bool


@dataclass(frozen=True)
class Job:
    """One shard; all that a worker process needs."""

    number: int
    options: ReverseOptions
    dataset: str
    folder: str
    make: Callable[[], PairSwap]


def write_reversed(
    dataset: Path,
    out: Path,
    options: ReverseOptions,
    make: Callable[[], PairSwap],
    *,
    jobs: int | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Dataset:
    """Makes what is missing of a set of reversed swaps; the same call again continues or, where all is done, opens it.

    Args:
        dataset: Photographs, as `facegraft ingest` keeps them: with their mesh of points.
        out: The new dataset's folder.
        options: What to make.
        make: Makes the swapper, in each worker process.
        jobs: Processes; default: one per core. The files do not depend on it.
        progress: Called after every shard.

    Raises:
        BadInputError: The photographs cannot serve, or the folder holds something else.
    """
    if jobs is not None and jobs < 1:
        raise BadInputError(f"--jobs: expected 1 or more, found {jobs}")
    rows = usable(open_dataset(dataset))
    shards = shard_count(options)
    begin(out, options, hashlib.blake2b(read_bytes(dataset / "card.json"), digest_size=16).hexdigest(), PLAN_NAME)
    missing = [number for number in range(shards) if not shard_done(out, number)]
    progress(shards - len(missing), shards)
    if missing or not (out / "card.json").is_file():
        units = [Job(number, options, str(dataset), str(out), make) for number in missing]
        with contextlib.closing(run_units(write_one, units, jobs=jobs or physical_cores())) as finished:
            for done, _ in enumerate(finished, shards - len(missing) + 1):
                progress(done, shards)
        write_card(out, _card(options, dataset, out, len(rows)))
    return open_dataset(out)


def shard_count(options: ReverseOptions) -> int:
    """Files that a set has."""
    return -(-options.pairs // PAIRS_OF_A_SHARD)


def write_one(job: Job) -> int:
    """Makes and writes one shard. Runs in a worker; may be killed at any moment."""
    dataset = open_dataset(Path(job.dataset))
    by_split = _by_split(usable(dataset))
    workshop = Workshop(dataset, _swapper(job.make), job.options)
    items: list[Item] = []
    pairs: list[Pair] = []
    first = job.number * PAIRS_OF_A_SHARD
    for number in range(first, min(first + PAIRS_OF_A_SHARD, job.options.pairs)):
        if (made := workshop.make(meeting(by_split, job.options, number), f"r{number:06d}")) is not None:
            items += made[0]
            pairs.append(made[1])
    write_shard(Path(job.folder), job.number, items, pairs)
    return job.number


@functools.lru_cache(maxsize=1)
def _swapper(make: Callable[[], PairSwap]) -> PairSwap:
    """Kept by a worker process from shard to shard."""
    return make()


def usable(dataset: Dataset) -> list[Row]:
    """Photographs that can be answers: their pose is known, so their points are too.

    Raises:
        BadInputError: No split holds two people.
    """
    rows = [row for row in dataset.rows if row.role == "picture" and row.pose_degrees is not None]
    groups = _by_split(rows)
    if not any(len({_who(row) for row in group}) > 1 for group in groups.values()):
        raise BadInputError(
            f"dataset {dataset.card.name!r}: expected photographs of two people with known poses, found "
            f"{len(rows)} such pictures; make it by `facegraft ingest`"
        )
    return [row for row in rows if len({_who(other) for other in groups[row.split]}) > 1]


def meeting(by_split: dict[str, list[Row]], options: ReverseOptions, number: int) -> Meeting:
    """Who meets whom in pair `number`: a pure function of the photographs, the seed and the number."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([options.seed, number])))
    every = [row for split in sorted(by_split) for row in by_split[split]]
    truth = every[int(rng.integers(len(every)))]
    rows = by_split[truth.split]
    donor = _stranger(rng, rows, truth, DONOR_DEGREES)
    plain = rng.random() < options.plain
    host = None if plain else _stranger(rng, rows, truth, HOST_DEGREES)
    others = [row for row in rows if row.key != truth.key and _who(row) == _who(truth)]
    other = others[int(rng.integers(len(others)))] if others and rng.random() < 0.5 else None
    # Nothing but another photo may go in as it is: the answer itself would reward copying.
    mirrored = other is None and (plain or rng.random() < MIRRORED)
    return Meeting(truth, donor, host, other, mirrored)


class Workshop:
    """Makes the pictures of a pair and tells what they show.

    Args:
        dataset: Of the photographs.
        swap: The swapper.
        options: Of the set.
    """

    def __init__(self, dataset: Dataset, swap: PairSwap, options: ReverseOptions) -> None:
        self._dataset, self._swap, self._options = dataset, swap, options
        self._analyser = Analyser()

    def make(self, who: Meeting, key: str) -> tuple[list[Item], Pair] | None:
        """Identity, attribute and truth items and their pair; None where a face is lost, or nothing was swapped."""
        truth, donor = self._dataset.read(who.truth), self._dataset.read(who.donor)
        try:
            attribute = self._swap(donor.frame(), truth.frame())
            identity, start = self._identity(who, truth)
            again = self._swap(identity, attribute) if self._options.again else None
        except NoFaceError:
            return None
        if np.array_equal(attribute, truth.frame()):
            return None
        shown = self._face(attribute, truth.arrays["dense"])
        person = self._face(identity, start)
        if shown is None or person is None:
            return None
        made = [
            self._item(f"{key}-identity", identity, person, truth, [who.host]),
            self._item(f"{key}-attribute", attribute, shown, donor, [who.truth]),
            self._truth(f"{key}-truth", truth, attribute, again),
        ]
        answer = made[2].key
        return made, Pair(made[0].key, made[1].key, {"inner": answer, "inner_recoloured": answer}, "reversed")

    def _identity(self, who: Meeting, truth: Item) -> tuple[Frame, Float32[np.ndarray, "k d"] | None]:
        """The identity image, and about where its face's points are, where that is known."""
        photo = truth if who.other is None else self._dataset.read(who.other)
        frame = np.ascontiguousarray(photo.frame()[:, ::-1]) if who.mirrored else photo.frame()
        if who.host is None:
            return frame, None if who.mirrored else photo.arrays["dense"]
        host = self._dataset.read(who.host)
        return self._swap(frame, host.frame()), host.arrays["dense"]

    def _face(self, frame: Frame, start: Float32[np.ndarray, "k d"] | None) -> Face | None:
        if start is None:
            faces = self._analyser.analyse(frame)
            return faces[0] if len(faces) else None
        dense = np.zeros((1, len(start), 3), np.float32)
        dense[0, :, : start.shape[1]] = start
        found = self._analyser.refine(frame, self._analyser.refine(frame, dense).dense)
        return found[0] if found.scores[0] >= MIN_PRESENCE else None

    def _item(self, key: str, frame: Frame, face: Face, person: Item, beside: Sequence[Row | None]) -> Item:
        """A picture that goes in. Who is seen in it besides the person counts for its licence and its consent."""
        shown = [person, *(self._dataset.read(row) for row in beside if row is not None)]
        visible = np.rint(self._analyser.visible(frame, face) * 255).astype(np.uint8)
        return Item(
            key=key,
            person=person.person,
            image=encode_frame(frame, JPEG_QUALITY),
            licence=_joined([item.licence for item in shown]),
            consent=_joined([item.consent for item in shown]),
            origin=_joined([item.origin for item in shown]),
            synthetic=all(item.synthetic for item in shown),
            role="swapped",
            split=person.split,
            planes={"visible": encode_plane(visible)},
            arrays={
                "dense": face.dense,
                "landmarks68": landmarks68(face.dense),
                "points5": face.points5,
                "pose_degrees": face.pose_degrees,
            },
            facts={"by": self._options.method},
        )

    def _truth(self, key: str, truth: Item, attribute: Frame, again: Frame | None) -> Item:
        changed = (truth.frame() != attribute).any(axis=2).astype(np.uint8) * np.uint8(255)
        planes = truth.planes | {"changed": encode_plane(changed)}
        if again is not None:
            planes |= {"again": encode_frame(again, JPEG_QUALITY)}
        facts = truth.facts | {"truth": "inner", "photo": truth.key}
        return dataclasses.replace(truth, key=key, role="truth", planes=planes, facts=facts)


def _stranger(rng: np.random.Generator, rows: Sequence[Row], like: Row, window_degrees: float) -> Row:
    """Somebody else who looks about the same way, if one is soon found."""
    for _ in range(_TRIES):
        row = rows[int(rng.integers(len(rows)))]
        if _who(row) != _who(like) and abs(_yaw(row) - _yaw(like)) <= window_degrees:
            return row
    left = [row for row in rows if _who(row) != _who(like)]
    return min(left, key=lambda row: abs(_yaw(row) - _yaw(like)))


def _who(row: Row) -> str:
    return row.person or row.key


def _yaw(row: Row) -> float:
    return 0.0 if row.pose_degrees is None else row.pose_degrees[0]


def _by_split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.split, []).append(row)
    return groups


def _joined(words: Sequence[str]) -> str:
    """One word where all agree; else all, so that no filter takes two licences for one that it knows."""
    return " + ".join(dict.fromkeys(words))


def _card(options: ReverseOptions, dataset: Path, out: Path, photographs: int) -> DatasetCard:
    name, folder = dataset.resolve().name, out.resolve().name
    words = ["facegraft", "data", "reverse", name, "-o", folder, "--pairs", options.pairs, "--method", options.method]
    words += ["--seed", options.seed, "--plain", options.plain] + (["--again"] if options.again else [])
    return DatasetCard(
        name=folder,
        about=ABOUT,
        command=shlex.join(map(str, words)),
        commit=f"facegraft {__version__}",
        seed=options.seed,
        options={**dataclasses.asdict(options), "photographs": photographs},
    )
