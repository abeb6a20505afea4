"""A dataset's pictures in memory: decoded once, kept as bytes, with the planes and arrays that a recipe asks for."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Int64, UInt8
from torch import Tensor

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import shown
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset, split_of
from facegraft.data.decode import resized
from facegraft.data.item import Item, Row

logger = logging.getLogger(__name__)

IN_PIXELS = {"landmarks68", "iris", "dense", "matrix"}
"""Arrays that follow when a picture is brought to another size; the third coordinate of points as well."""
LABELS = {"regions"}
"""Planes whose numbers may not be mixed."""
USUAL_VAL_SHARE = 0.05
PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
Thing = TypeVar("Thing")
Made = TypeVar("Made")
Progress = Callable[[int, int], None]
"""Called with what is done and how much there is."""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Square pictures of one size and what is known of them.

    Attributes:
        images: RGB.
        planes: By the names of `Item.planes`; 0 where an item has none.
        arrays: By the names of `Item.arrays`, points in pixels of `images`; NaN where an item has none.
        has: For each plane and array, which items have it.
        rows: Of the dataset, in the order of the pictures.
    """

    images: UInt8[Tensor, "n 3 s s"]
    planes: dict[str, Tensor]
    arrays: dict[str, Tensor]
    has: dict[str, Tensor]
    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size_px(self) -> int:
        return int(self.images.shape[-1])

    def array(self, name: str, index: Int64[Tensor, "b"]) -> Tensor:
        """An array of some pictures, first axis in the order of `index`."""
        return self.arrays[name].index_select(0, index)

    def where(self, keep: Bool[Tensor, "n"]) -> Pictures:
        """Only some of the pictures."""
        index = keep.nonzero()[:, 0]
        planes, arrays, has = (
            {name: tensor[index] for name, tensor in named.items()} for named in (self.planes, self.arrays, self.has)
        )
        return Pictures(self.images[index], planes, arrays, has, tuple(self.rows[place] for place in index.tolist()))

    def to(self, device: torch.device) -> Pictures:
        """The same on a device, where there is memory for it."""
        planes, arrays, has = (
            {name: tensor.to(device) for name, tensor in named.items()}
            for named in (self.planes, self.arrays, self.has)
        )
        return Pictures(self.images.to(device), planes, arrays, has, self.rows)


def load_pictures(
    dataset: Dataset,
    *,
    planes: Sequence[str] = (),
    arrays: Sequence[str] = (),
    size_px: int | None = None,
    cache: int = 20_000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Pictures:
    """Decodes a dataset with worker threads.

    Args:
        dataset: Its pictures are square crops; rows with role "truth" are left out.
        planes: Wanted ones; an item may lack some. "even" has its three channels last.
        arrays: Likewise. An array has the same shape in all items, or the items whose shape is not the first's lack it.
        size_px: Side of the pictures; None = the first picture's.
        cache: At most so many; of more, an even choice by `seed`, always the same.
        seed: Chooses which.
        threads: Of decoding; None = one per core.
        progress: Told about a hundred times.

    Raises:
        BadInputError: No pictures, or one is damaged or not square.
    """
    rows = _chosen([row for row in dataset.rows if row.role == "picture"], cache, seed)
    if not rows:
        raise BadInputError(f"dataset {dataset.card.name!r}: expected pictures, found none; make or name another one")
    side = size_px or dataset.read(rows[0]).frame().shape[0]
    images = torch.empty((len(rows), 3, side, side), dtype=torch.uint8)
    kept = _Labels(len(rows), side, planes, arrays)
    step = max(1, len(rows) // 100)
    loaded = _in_order(rows, lambda row: _decode(dataset.read(row), side, planes, arrays), threads)
    for place, (frame, found) in enumerate(loaded):
        images[place] = torch.from_numpy(np.array(frame.transpose(2, 0, 1)))  # a copy: decoders lend read-only memory
        kept.put(place, found)
        if progress is not None and ((place + 1) % step == 0 or place + 1 == len(rows)):
            progress(place + 1, len(rows))
    return Pictures(images, kept.planes, kept.arrays, kept.has, tuple(rows))


@contextmanager
def loading_bar(name: str) -> Iterator[Progress]:
    """A bar on standard error, where that is a terminal, for `load_pictures`."""
    from rich.console import Console
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    with Bar(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(f"decoding {name}", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def train_and_val(dataset: Dataset, *, val_share: float | int | None = None, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Pictures to learn from and held-out ones; no person, and where nobody is known no clip, is in both.

    The dataset's own split where it has one, a split by person otherwise. Its split "test" is left out.

    Args:
        dataset: Made by `ingest` or `synth`.
        val_share: Of people, held out where the dataset has no split of its own; None: `USUAL_VAL_SHARE`, and nothing
            in the config can change it.
        seed: Chooses who.

    Raises:
        BadInputError: Nothing is left for one of them.
    """
    if any(row.split == "val" for row in dataset.rows):
        return dataset.select(split="train"), dataset.select(split="val")
    share = USUAL_VAL_SHARE if val_share is None else float(val_share)
    people = {_whom(row) for row in dataset.rows if row.split != "test"}
    held = _held_out(people, share, seed)
    if not 0 < len(held) < len(people):
        raise BadInputError(_no_split(dataset.card.name, people, share, seed, fixed=val_share is None))
    train = dataset.select(where=lambda row: row.split != "test" and _whom(row) not in held)
    return train, dataset.select(where=lambda row: row.split != "test" and _whom(row) in held)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _whom(row: Row) -> str:
    return row.person or row.clip or row.key


def _held_out(people: set[str], share: float, seed: int) -> set[str]:
    return {person for person in people if split_of(person, share, seed=seed) == "val"}


def _no_split(name: str, people: set[str], share: float, seed: int, *, fixed: bool) -> str:
    """Why nobody is held out, or everybody, and what to do."""
    if share <= 0:
        return (
            f"data.val_share is {share:g}: some people have to be held out; set it above 0, such as {USUAL_VAL_SHARE}"
        )
    held = _held_out(people, share, seed)
    what = "that all would be held out" if held else "to hold any out"
    told = f"dataset {name!r}: its {len(people)} people are too few {what} (a share of {share:g}); make one of more"
    enough = [place / 10 for place in range(1, 10) if 0 < len(_held_out(people, place / 10, seed)) < len(people)]
    return told + (f", or set data.val_share={enough[0]:g}" if enough and not fixed else "")


def load_backgrounds(
    folder: Path, *, size_px: int, tiles: int = 8, seed: int = 0, threads: int | None = None
) -> UInt8[Tensor, "m 3 s s"]:
    """Squares cut from pictures without faces, `tiles` from each: places and scales are chosen by `seed`.

    Raises:
        BadInputError: No usable picture in the folder or below it.
    """
    visible = (path for path in folder.rglob("*") if not _is_hidden(path.relative_to(folder)))
    paths = sorted(path for path in visible if path.suffix.lower() in PICTURE_SUFFIXES)

    def cut(numbered: tuple[int, Path]) -> list[Frame]:
        number, path = numbered
        try:
            frame = np.asarray(read_picture(path).frame)
        except FacegraftError as error:
            logger.warning("left out: %s", error)
            return []
        return _tiles(frame, size_px, tiles, np.random.default_rng([seed, number]))

    found = [tile for some in _in_order(list(enumerate(paths)), cut, threads) for tile in some]
    if not found:
        raise BadInputError(f"{shown(folder)}: expected pictures without faces, found none; correct data.backgrounds")
    return torch.from_numpy(np.stack(found).transpose(0, 3, 1, 2).copy())


def _tiles(frame: Frame, size_px: int, count: int, rng: np.random.Generator) -> list[Frame]:
    shorter = min(frame.shape[:2])
    made = []
    for share in rng.uniform(0.2, 1.0, count):
        side = max(int(shorter * share), min(size_px, shorter))
        top, left = (int(rng.integers(length - side + 1)) for length in frame.shape[:2])
        made.append(np.ascontiguousarray(resized(frame[top : top + side, left : left + side], size_px)))
    return made


def _chosen(rows: list[Row], cache: int, seed: int) -> list[Row]:
    if len(rows) <= cache:
        return rows
    logger.info("%d of %d pictures are kept in memory: data.cache", cache, len(rows))
    places = np.sort(np.random.default_rng(seed).permutation(len(rows))[:cache])
    return [rows[place] for place in places.tolist()]


def _decode(item: Item, side: int, planes: Sequence[str], arrays: Sequence[str]) -> tuple[Frame, dict[str, np.ndarray]]:
    frame = item.frame()
    height, width = frame.shape[:2]
    if height != width:
        raise BadInputError(f"{item.key}: expected a square crop, found {width}x{height}; align the pictures first")
    found: dict[str, np.ndarray] = {}
    for name in planes:
        if name in item.planes:
            plane = item.even() if name == "even" else item.plane(name)
            found[name] = _plane(plane, side, labels=name in LABELS)
    for name in arrays:
        if name in item.arrays:
            found[name] = item.arrays[name] * np.float32(side / width if name in IN_PIXELS else 1.0)
    return resized(frame, side), found


def _plane(plane: np.ndarray, side: int, *, labels: bool) -> np.ndarray:
    if len(plane) == side:
        return plane
    how = cv2.INTER_NEAREST_EXACT if labels else cv2.INTER_AREA if side < len(plane) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (side, side), interpolation=how))


class _Labels:
    """Collects planes and arrays; an array's shape is that of the first one found."""

    def __init__(self, count: int, side: int, planes: Sequence[str], arrays: Sequence[str]) -> None:
        sizes = {name: (side, side, 3) if name == "even" else (side, side) for name in planes}
        self.planes = {name: torch.zeros((count, *size), dtype=torch.uint8) for name, size in sizes.items()}
        self.arrays: dict[str, Tensor] = {}
        self.has = {name: torch.zeros(count, dtype=torch.bool) for name in (*planes, *arrays)}
        self._count = count

    def put(self, place: int, found: dict[str, np.ndarray]) -> None:
        for name, values in found.items():
            held = self.planes if name in self.planes else self.arrays
            if name not in held:
                held[name] = torch.full((self._count, *values.shape), torch.nan)
            if held[name].shape[1:] == values.shape:
                held[name][place] = torch.from_numpy(np.array(values))
                self.has[name][place] = True


def _in_order(things: Sequence[Thing], work: Callable[[Thing], Made], threads: int | None) -> Iterator[Made]:
    """Results in order; only a few wait in memory, however many there are."""
    workers = threads or os.cpu_count() or 1
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for thing in things:
            waiting.append(pool.submit(work, thing))
            if len(waiting) >= 4 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
