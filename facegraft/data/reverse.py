"""Swaps whose right answer is a photograph, because what they have to undo is another swap.

    facegraft data reverse faces -o undone --pairs 6000

A swapper at hand puts a stranger's face on a photograph: that is the attribute image, and the photograph as it was the
right answer. The identity image shows the photograph's person elsewhere: put on another photograph by the same swapper,
or mirrored as they are, or another photo of them. What the swapper does badly is in what goes in, and never in what has
to come out. ReliableSwap (Yuan et al., arXiv:2306.05356) calls such triplets cycle triplets; here any swapper makes
them, without weights if it is the warp.

With `both_ways` each swap is kept as it was made, too, as the right answer for its donor's photo and the photograph: a
network learns the swapper, with its faults, and how much of a person it brings.
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
from facegraft.data.meetings import Meeting, by_split, meeting, usable
from facegraft.data.synth_folder import begin, sweep
from facegraft.faces.analyse import MIN_PRESENCE, Analyser
from facegraft.faces.topology import landmarks68

PLAN_NAME = "reverse.json"
LEAST_CHANGED = 0.3
"""Share of the face that is seen that a swap has to change; where it changed less, nobody was swapped."""
JPEG_QUALITY = 92
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
        shard: Meetings of each file.
        both_ways: Of each meeting one more pair, whose right answer is the swap.
    """

    method: str
    pairs: int
    seed: int = 0
    plain: float = 0.25
    stamp: str = ""
    shard: int = 100
    both_ways: bool = False

    def __post_init__(self) -> None:
        if self.pairs < 1 or not 0 <= self.plain <= 1:
            found = f"{self.pairs} and {self.plain:g}"
            raise BadInputError(f"--pairs, --plain: expected 1 or more and a share 0..1, found {found}")
        if self.seed < 0:
            raise BadInputError(f"--seed: expected 0 or more, found {self.seed}")


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
    splits = by_split(usable(dataset))
    workshop = Workshop(dataset, _swapper(job.make, job.options.method), both_ways=job.options.both_ways)
    items: list[Item] = []
    pairs: list[Pair] = []
    first = job.number * job.options.shard
    for number in range(first, min(first + job.options.shard, job.options.pairs)):
        who = meeting(splits, number, seed=job.options.seed, plain=job.options.plain)
        if (made := workshop.make(who, f"r{number:06d}")) is not None:
            items += made[0]
            pairs += made[1]
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


class Workshop:
    """Makes the pictures of a pair and tells what they show.

    Args:
        dataset: Of the photographs.
        swap: The swapper.
        both_ways: As in `ReverseOptions`.
    """

    def __init__(self, dataset: Dataset, swap: PairSwap, *, both_ways: bool = False) -> None:
        self._dataset, self._swap, self._analyser = dataset, swap, _analyser()
        self._both_ways = both_ways

    def make(self, who: Meeting, key: str) -> tuple[list[Item], list[Pair]] | None:
        """Identity, attribute and truth items and their pairs; None where a face is lost, or nobody was swapped.

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
        pairs = [_pair(made, "reversed")]
        if self._both_ways:
            forward = as_made(key, donor, truth, made[1], made[2].planes["changed"])
            made, pairs = made + forward, [*pairs, _pair(forward, "as made")]
        return made, pairs

    def _face(self, frame: Frame, start: Float32[np.ndarray, "k 3"] | None) -> Face | None:
        """The face near known points, or the largest."""
        if start is None:
            faces = self._analyser.analyse(frame)
            return faces[0] if len(faces) else None
        found = self._analyser.refine(frame, self._analyser.refine(frame, start[None]).dense)
        return found[0] if found.scores[0] >= MIN_PRESENCE else None


def as_made(key: str, donor: Item, photo: Item, swapped: Item, changed: bytes) -> list[Item]:
    """Identity, attribute and truth items of a swap as it was made.

    Args:
        key: Of the meeting.
        donor: Whose face was put on.
        photo: On whom.
        swapped: What came out, as the attribute item of the pair that undoes it.
        changed: The plane of what the swap changed.
    """
    return [
        dataclasses.replace(donor, key=f"{key}-donor", role="swapped"),
        dataclasses.replace(photo, key=f"{key}-photo", role="swapped"),
        dataclasses.replace(
            swapped,
            key=f"{key}-made",
            role="truth",
            planes=swapped.planes | {"changed": changed},
            facts={"truth": "inner", "photo": photo.key},
        ),
    ]


def _pair(items: Sequence[Item], stratum: str) -> Pair:
    identity, attribute, truth = (item.key for item in items)
    return Pair(identity, attribute, {"inner": truth, "inner_recoloured": truth}, stratum)


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


def _joined(words: Sequence[str]) -> str:
    """One word where all agree; else all, so that no filter takes two licences for one that it knows."""
    return " + ".join(dict.fromkeys(words))


def _card(options: ReverseOptions, dataset: Path, out: Path, photographs: int) -> DatasetCard:
    name, folder = dataset.resolve().name, out.resolve().name
    method = Path(options.method).name
    words = ["facegraft", "data", "reverse", name, "-o", folder, "--pairs", options.pairs, "--method", method]
    words += ["--seed", options.seed, "--plain", options.plain, *(["--both-ways"] if options.both_ways else [])]
    return DatasetCard(
        name=folder,
        about=ABOUT,
        command=shlex.join(map(str, words)),
        commit=f"facegraft {__version__}",
        seed=options.seed,
        options={**dataclasses.asdict(options), "method": method, "photographs": photographs},
    )
