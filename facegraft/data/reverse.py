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
from facegraft.core.types import Face, Frame, Mask
from facegraft.data.dataset import Dataset, DatasetCard, Item, Pair, open_dataset, shard_done, write_card, write_shard
from facegraft.data.fanout import run_units
from facegraft.data.framing import mesh_points5
from facegraft.data.item import Row
from facegraft.data.synth_folder import begin, sweep
from facegraft.faces.analyse import MIN_PRESENCE, Analyser
from facegraft.faces.topology import landmarks68

PLAN_NAME = "reverse.json"
DONOR_DEGREES, HOST_DEGREES = 25.0, 40.0
"""How far the yaw of whose face is put on, and of whom the person is put on, may be from the photograph's."""
MIRRORED = 0.5
"""Share of people who are mirrored before they are put on another photograph."""
LEAST_CHANGED = 0.3
"""Share of the face that is seen that a swap has to change; where it changed less, nobody was swapped."""
JPEG_QUALITY = 92
_TRIES = 40
ABOUT = (
    "Faces put on photographs of others, each with the photograph as it was: the right answer of the swap that undoes "
    "it. Its pictures show real people's features in places where they never were: for training, not to be shown."
)

PairSwap = Callable[[Frame, Frame], Frame]
"""Identity picture, attribute picture -> the swapped picture."""
MakeSwap = Callable[[str], PairSwap]
"""Name of a method -> what swaps by it. A function of a module: worker processes import it."""
Progress = Callable[[int, int], None]
"""Shards done, shards in all."""


@dataclass(frozen=True)
class ReverseOptions:
    """All that decides the content, besides the photographs.

    Attributes:
        method: What makes the swaps that are to be undone: a name, or a bundle's folder.
        pairs: How many; where a face is not found, or nothing was swapped, a pair is left out.
        seed: Other seeds have other meetings.
        plain: Share of identity images that were not swapped: mirrored, or another photo of the person.
        stamp: Tells apart two methods of one name (`Engine.stamp`).
        shard: Pairs of each file.
    """

    method: str
    pairs: int
    seed: int = 0
    plain: float = 0.25
    stamp: str = ""
    shard: int = 100

    def __post_init__(self) -> None:
        if self.pairs < 1 or not 0 <= self.plain <= 1:
            found = f"{self.pairs} and {self.plain:g}"
            raise BadInputError(f"--pairs, --plain: expected 1 or more and a share 0..1, found {found}")
        if self.seed < 0:
            raise BadInputError(f"--seed: expected 0 or more, found {self.seed}")


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
    make: MakeSwap


def write_reversed(
    dataset: Path,
    out: Path,
    options: ReverseOptions,
    make: MakeSwap,
    *,
    jobs: int | None = None,
    progress: Progress = lambda _done, _all: None,
) -> Dataset:
    """Makes what is missing of a set of reversed swaps; the same call again continues or, where all is done, opens it.

    Args:
        dataset: Photographs, as `facegraft ingest` keeps them: with their mesh of points.
        out: The new dataset's folder.
        options: What to make.
        make: Makes the swapper, once in each worker process.
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
    sweep(out / "shards")
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
    return -(-options.pairs // options.shard)


def write_one(job: Job) -> int:
    """Makes and writes one shard. Runs in a worker; may be killed at any moment."""
    dataset = open_dataset(Path(job.dataset))
    by_split = _by_split(usable(dataset))
    workshop = Workshop(dataset, _swapper(job.make, job.options.method))
    items: list[Item] = []
    pairs: list[Pair] = []
    first = job.number * job.options.shard
    for number in range(first, min(first + job.options.shard, job.options.pairs)):
        if (made := workshop.make(meeting(by_split, job.options, number), f"r{number:06d}")) is not None:
            items += made[0]
            pairs.append(made[1])
    write_shard(Path(job.folder), job.number, items, pairs)
    return job.number


@functools.lru_cache(maxsize=1)
def _swapper(make: MakeSwap, method: str) -> PairSwap:
    """Kept by a worker process from shard to shard."""
    return make(method)


@functools.lru_cache(maxsize=1)
def _analyser() -> Analyser:
    """Likewise."""
    return Analyser()


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
    others = [row for row in rows if row.key != truth.key and truth.person and row.person == truth.person]
    other = others[int(rng.integers(len(others)))] if others and rng.random() < 0.5 else None
    # Nothing but another photo may go in as it is: the answer itself would reward copying.
    mirrored = other is None and (plain or rng.random() < MIRRORED)
    return Meeting(truth, donor, host, other, mirrored)


class Workshop:
    """Makes the pictures of a pair and tells what they show.

    Args:
        dataset: Of the photographs.
        swap: The swapper.
    """

    def __init__(self, dataset: Dataset, swap: PairSwap) -> None:
        self._dataset, self._swap, self._analyser = dataset, swap, _analyser()

    def make(self, who: Meeting, key: str) -> tuple[list[Item], Pair] | None:
        """Identity, attribute and truth items and their pair; None where a face is lost, or nobody was swapped.

        Raises:
            BadInputError: A photograph has no mesh of points.
        """
        truth, donor = self._dataset.read(who.truth), self._dataset.read(who.donor)
        host = None if who.host is None else self._dataset.read(who.host)
        photo = truth if who.other is None else self._dataset.read(who.other)
        try:
            attribute = self._swap(donor.frame(), truth.frame())
            identity = _mirrored(photo.frame()) if who.mirrored else photo.frame()
            if host is not None:
                identity = self._swap(identity, host.frame())
        except NoFaceError:
            return None
        shown = self._face(attribute, _mesh(truth))
        person = self._face(identity, _mesh(host) if host is not None else None if who.mirrored else _mesh(photo))
        if shown is None or person is None:
            return None
        seen = [self._analyser.visible(frame, face) for frame, face in ((attribute, shown), (identity, person))]
        if _changed(truth, attribute, seen[0]) < LEAST_CHANGED:
            return None
        if host is not None and _changed(host, identity, seen[1]) < LEAST_CHANGED:
            return None
        made = [
            _item(f"{key}-identity", identity, person, seen[1], photo, [] if host is None else [host]),
            _item(f"{key}-attribute", attribute, shown, seen[0], donor, [truth]),
            _truth(f"{key}-truth", truth, attribute),
        ]
        answer = made[2].key
        return made, Pair(made[0].key, made[1].key, {"inner": answer, "inner_recoloured": answer}, "reversed")

    def _face(self, frame: Frame, start: Float32[np.ndarray, "k 3"] | None) -> Face | None:
        """The face near known points, or the largest."""
        if start is None:
            faces = self._analyser.analyse(frame)
            return faces[0] if len(faces) else None
        found = self._analyser.refine(frame, self._analyser.refine(frame, start[None]).dense)
        return found[0] if found.scores[0] >= MIN_PRESENCE else None


def _item(key: str, frame: Frame, face: Face, visible: Mask, person: Item, beside: Sequence[Item]) -> Item:
    """A picture that goes in. Who is seen in it besides the person counts for its licence and its consent."""
    shown = [person, *beside]
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
        planes={"visible": encode_plane(np.rint(visible * 255).astype(np.uint8))},
        arrays={
            "dense": face.dense,
            "landmarks68": landmarks68(face.dense),
            "points5": face.points5,
            "pose_degrees": face.pose_degrees,
        },
    )


def _truth(key: str, truth: Item, attribute: Frame) -> Item:
    changed = (truth.frame() != attribute).any(axis=2).astype(np.uint8) * np.uint8(255)
    facts = truth.facts | {"truth": "inner", "photo": truth.key}
    return dataclasses.replace(
        truth, key=key, role="truth", planes=truth.planes | {"changed": encode_plane(changed)}, facts=facts
    )


def _mirrored(frame: Frame) -> Frame:
    return np.ascontiguousarray(frame[:, ::-1])


def _mesh(item: Item) -> Float32[np.ndarray, "k 3"]:
    """About where the face's points lie; of flat ones depth is 0."""
    mesh_points5(item)  # says which item has none
    flat = item.arrays["dense"]
    dense = np.zeros((len(flat), 3), np.float32)
    dense[:, : flat.shape[1]] = flat
    return dense


def _changed(before: Item, after: Frame, seen: Mask) -> float:
    """Share of the face that is seen that a swap changed."""
    differs = (before.frame() != after).any(axis=2)
    return float((differs * seen).sum()) / max(float(seen.sum()), 1.0)


def _stranger(rng: np.random.Generator, rows: Sequence[Row], like: Row, window_degrees: float) -> Row:
    """Somebody else who looks about the same way, if one is soon found."""
    for _ in range(_TRIES):
        row = rows[int(rng.integers(len(rows)))]
        if _who(row) != _who(like) and abs(_yaw(row) - _yaw(like)) <= window_degrees:
            return row
    left = [row for row in rows if _who(row) != _who(like)]
    return min(left, key=lambda row: abs(_yaw(row) - _yaw(like)))


def _who(row: Row) -> str:
    """Whoever is in one clip may be one person."""
    return row.person or row.clip or row.key


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
    method = Path(options.method).name
    words = ["facegraft", "data", "reverse", name, "-o", folder, "--pairs", options.pairs, "--method", method]
    words += ["--seed", options.seed, "--plain", options.plain]
    return DatasetCard(
        name=folder,
        about=ABOUT,
        command=shlex.join(map(str, words)),
        commit=f"facegraft {__version__}",
        seed=options.seed,
        options={**dataclasses.asdict(options), "method": method, "photographs": photographs},
    )
