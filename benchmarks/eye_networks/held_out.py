"""What is measured on: held-out renders with exact labels, and portraits of the split "val"."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from eye_networks.looking import Seen
from eye_networks.measures import group_masks, yaw_masks
from facegraft.core.errors import MissingPartError
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.train.eyes.face_points import RENDER_ARRAYS, RENDER_PLANES, Known, in_picture, known_of_renders
from facegraft.train.eyes.parser_scores import groups_of
from facegraft.train.eyes.pictures import load_pictures, loading_bar, train_and_val

EXPECTED = (
    "ordinary", "large pose", "occluded", "extreme expression", "hard light", "monk 1-3", "monk 4-6", "monk 7-10",
    "women", "men", "age under 35", "age 35-60", "age 60+",
)  # fmt: skip
"""Groups of renders that the issue asks about."""
FEWEST_PICTURES = 20
YAW_EDGES = (0, 15, 30, 45, 60, 76)
EVERYTHING = 1_000_000
T = TypeVar("T")


@dataclass(frozen=True)
class Setup:
    """What a run was told.

    Attributes:
        weights: Folder of our networks.
        data: Folder of face pictures, FACEGRAFT_DATA; None = there is none.
        renders: Dataset of held-out renders; None = there is none.
        sheets: Folder for sheets of the worst; None = none are drawn.
        cache: Folder that keeps embeddings; None = nothing is kept.
        most: Pictures of each kind; 0 = all.
        rounds: Timed runs of each network.
    """

    weights: Path
    data: Path | None
    renders: Path | None
    sheets: Path | None
    cache: Path | None
    most: int
    rounds: int

    def network(self, name: str) -> Path | None:
        """Our file of this name, or None."""
        path = self.weights / f"{name}.onnx"
        return path if path.is_file() else None

    def teacher(self, name: str) -> Path | None:
        """A file of the folder of teachers, or None."""
        path = self.data / "teachers" / name if self.data else None
        return path if path is not None and path.is_file() else None


@dataclass(frozen=True, eq=False)
class Renders:
    """Held-out rendered faces, and what was found of each.

    Attributes:
        known: Pictures with all their exact labels.
        frames: Their pixels.
        people: Who each shows.
        pose_degrees: Exact yaw, pitch, roll as the picture shows them.
        expression_names: Of the label "expression"; () = those of today.
        note: What they are.
    """

    known: Known
    frames: list[Frame]
    people: list[str]
    pose_degrees: np.ndarray
    expression_names: tuple[str, ...]
    note: str

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def dense(self) -> np.ndarray:
        """True points, n x 468 x 3, pixels."""
        return self.known.dense.numpy()

    def labels(self) -> list[list[str]]:
        """Stratum, tone, sex and age of each picture."""
        return [groups_of(row) for row in self.known.pictures.rows]

    def groups(self) -> dict[str, np.ndarray]:
        """Strata, tones, sexes, ages, turns: name -> mask."""
        return group_masks(self.labels()) | yaw_masks(self.pose_degrees[:, 0], YAW_EDGES)


@dataclass(frozen=True)
class Portrait:
    """A held-out photograph."""

    path: Path
    person: str
    set: str

    def frame(self) -> Frame:
        return read_picture(self.path).frame


Sightings = dict[str, list[Seen | None]]
"""Who looked -> the face of each picture, None = not found."""


def load_renders(setup: Setup) -> Renders:
    """Held-out renders: the split "test" where the dataset has one, else its held-out people.

    Raises:
        MissingPartError: None were named.
        BadInputError: The folder holds no such dataset.
    """
    if setup.renders is None:
        raise MissingPartError("held-out renders: none given; make some with `facegraft synth --split test`, --renders")
    dataset = open_dataset(setup.renders)
    rows, split = held_rows(dataset)
    with loading_bar("renders") as bar:
        arrays, most = RENDER_ARRAYS, setup.most or EVERYTHING
        pictures = load_pictures(rows, planes=RENDER_PLANES, arrays=arrays, cache=most, progress=bar)
    known = known_of_renders(pictures)
    arrays = known.pictures.arrays
    people = [row.person or row.key for row in known.pictures.rows]
    facts = f"{len(known)} pictures of {len(set(people))} people, {known.pictures.size_px} px"
    return Renders(
        known=known,
        frames=[np.ascontiguousarray(one) for one in known.pictures.images.permute(0, 2, 3, 1).numpy()],
        people=people,
        pose_degrees=in_picture(arrays["pose_degrees"], arrays["camera"]).numpy(),
        expression_names=tuple(str(dataset.card.options.get("expression_names") or "").split()),
        note=f"Renders: {split} of {dataset.card.name!r} (seed {dataset.card.seed}), {facts}.",
    )


def scarce(labels: Sequence[Sequence[str]]) -> dict[str, int]:
    """Groups of `EXPECTED` of which there are too few pictures to say much -> how many."""
    counts = Counter(name for own in labels for name in own)
    return {name: counts[name] for name in EXPECTED if counts[name] < FEWEST_PICTURES}


def held_rows(dataset: Dataset) -> tuple[Dataset, str]:
    """The rows that no training sees, and what they are called."""
    if any(row.split == "test" for row in dataset.rows):
        return dataset.select(split="test", role="picture"), "split test"
    return train_and_val(dataset)[1].select(role="picture"), "held-out people"


def portraits(setup: Setup) -> list[Portrait]:
    """Photographs of the split "val" of the manifest, spread evenly where fewer are asked for.

    Raises:
        MissingPartError: There is no folder of face pictures, or it has no manifest.
    """
    if setup.data is None or not (setup.data / "manifest.csv").is_file():
        raise MissingPartError("held-out portraits: FACEGRAFT_DATA names no folder with a manifest.csv")
    with (setup.data / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    return spread([Portrait(setup.data / row["file"], row["person"], row["set"]) for row in rows], setup.most)


def spread(things: Sequence[T], most: int) -> list[T]:
    """At most so many, evenly taken; 0 = all."""
    if not most or len(things) <= most:
        return list(things)
    return [things[int(place)] for place in np.linspace(0, len(things) - 1, most)]


def watched(things: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The things, with a bar on standard error, or a line where that is no terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    count = len(things) if isinstance(things, Sequence) else total
    if not console.is_terminal:
        print(f"eyes: {what}, {count or '?'}", file=sys.stderr, flush=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield from progress.track(things, total=count, description=what)
