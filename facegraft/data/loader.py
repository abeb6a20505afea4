"""Pairs become batches, in an order fixed by (seed, images seen), however many threads decode and processes share.

The clock counts images over all processes. The batch that starts at `images_seen` holds the pairs
`images_seen + rank + world * i`, so ranks interleave, and a resumed run goes on with the next pair.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.core.seeds import seed_for
from facegraft.data.dataset import Dataset, join
from facegraft.data.decode import Decoder, Fields, MappedCache, PictureStore, build_cache
from facegraft.data.framing import ARRAYS, PLANES, Framing
from facegraft.data.item import Row
from facegraft.data.pairs import Draw, Pairs
from facegraft.data.policies import Policy
from facegraft.tensors import Aligned, SwapBatch, concatenate, images_from_bytes, mask_from_bytes

REQUIRABLE = frozenset({*PLANES, *ARRAYS, "identity_other"})
"""What a method may require beyond identity, attribute, truth and has_truth: names of fields of the batch."""
_OF_PICTURES = REQUIRABLE - {"changed", "identity_other"}

Augment = Callable[[SwapBatch, torch.Generator], SwapBatch]
"""Changes a batch, as `functools.partial(vary, stages=GAN)` of data/vary.py does; draws from the generator only."""


@runtime_checkable
class BatchMaker(Protocol):
    """Makes batches by itself, such as a renderer that runs where training runs."""

    def batch(self, seed: int, images_seen: int, size: int) -> SwapBatch:
        """Samples `images_seen` up to `images_seen + size`; each is a pure function of the seed and its number."""
        ...


@dataclasses.dataclass(frozen=True)
class LoaderOptions:
    """How batches are made.

    Attributes:
        batch: Pairs per process and step.
        size_px: Side of the pictures.
        seed: Of the run.
        rank: Number of this process.
        world: Processes that share the sequence.
        workers: Threads that decode ahead; 0 = none. They never change what comes out.
        ahead: Batches that may wait per worker.
        cache: Folder for a memory-mapped cache of decoded pictures; None = decode every time.
        template: Pictures are cut out by this alignment template of faces/align.py; "" = as they are.
        device: Where batches go. Bytes travel, and become floats there.
        rendered_share: Share of the samples that the batch maker makes; 1 = all.
    """

    batch: int
    size_px: int
    seed: int = 0
    rank: int = 0
    world: int = 1
    workers: int = 0
    ahead: int = 2
    cache: Path | None = None
    template: str = ""
    device: str = "cpu"
    rendered_share: float = 0.0

    def __post_init__(self) -> None:
        if self.batch < 1 or self.size_px < 8 or not 0 <= self.rank < self.world or self.workers < 0:
            raise BadInputError(f"loader: expected batch >= 1, size >= 8, rank < world, workers >= 0; found {self}")
        if not 0 <= self.rendered_share <= 1:
            raise BadInputError(f"loader: expected a rendered share of 0..1, found {self.rendered_share}")

    def rendered_at(self, images_seen: int) -> range:
        """Numbers of the rendered samples in this process' part of the batch that starts there.

        Any stretch of a run holds the share, and processes get the same number of them, or one more.
        """
        first, end = (int(n * self.rendered_share + 1e-9) for n in (images_seen, images_seen + self.batch * self.world))
        each, more = divmod(end - first, self.world)
        extra = max(0, self.rank - (self.world - more))  # the last processes have one more
        start = first + self.rank * each + extra
        return range(start, start + each + (self.rank >= self.world - more))


class Loader:
    """Batches of a dataset under a pair policy.

    Args:
        datasets: One, or several to be joined; choose split and licence before, by `Dataset.select`.
        policy: Who meets whom.
        options: Sizes, seed, share of the work.
        requires: Names out of `REQUIRABLE`.
        augment: Applied to each batch in turn, on its device.
        rendered: Makes `options.rendered_share` of the samples, at `options.size_px` and as `options.template` frames
            them; rendered people get numbers behind the dataset's.
        identities: People who may be identities, as `Dataset.people` names them; None = all. A method for one pair of
            people (the policies "df" and "liae") needs one name here ...
        attributes: ... and the other here.

    Raises:
        BadInputError: The dataset cannot serve the policy, or an unknown field or person is named.
    """

    def __init__(
        self,
        datasets: Dataset | Sequence[Dataset],
        policy: Policy,
        options: LoaderOptions,
        *,
        requires: Collection[str] = (),
        augment: Sequence[Augment] = (),
        rendered: BatchMaker | None = None,
        identities: Collection[str] | None = None,
        attributes: Collection[str] | None = None,
    ) -> None:
        dataset = datasets if isinstance(datasets, Dataset) else join(datasets)
        self.options, self.requires = options, frozenset(requires)
        if not self.requires <= REQUIRABLE:
            unknown = sorted(self.requires - REQUIRABLE)
            raise BadInputError(f"loader: unknown required fields {unknown}; known are {sorted(REQUIRABLE)}")
        if (rendered is None) != (options.rendered_share == 0):
            raise BadInputError("loader: a rendered share and a renderer come together; give both or none")
        if "identity_other" in self.requires:
            policy = dataclasses.replace(policy, second_photo=True)
        for role, named in (("identities", identities), ("attributes", attributes)):
            _check_people(dataset, role, named)
        group = options.batch * options.world
        self.pairs = Pairs(dataset, policy, options.seed, group=group, identities=identities, attributes=attributes)
        self._people = {person: number for number, person in enumerate(dataset.people)}
        self._fields = sorted(self.requires & _OF_PICTURES)
        self._augment, self._rendered = tuple(augment), rendered
        self._store = self._open_store(dataset)

    def batches(self, images_seen: int = 0) -> Iterator[SwapBatch]:
        """Batches without end, from the one that starts at `images_seen`; threads work ahead of the caller."""
        options = self.options
        starts = itertools.count(images_seen, options.batch * options.world)
        if options.workers == 0:
            yield from (self.batch_at(start) for start in starts)
        in_worker = options.device == "cpu" and self._rendered is None
        make: Callable[[int], SwapBatch | _Bytes | None] = self.batch_at if in_worker else self._read
        waiting: deque[tuple[int, Future[SwapBatch | _Bytes | None]]] = deque()
        pool = ThreadPoolExecutor(options.workers, thread_name_prefix="facegraft-loader")
        try:
            while True:
                while len(waiting) < options.workers * options.ahead:
                    start = next(starts)
                    waiting.append((start, pool.submit(make, start)))
                start, future = waiting.popleft()
                made = future.result()
                yield made if isinstance(made, SwapBatch) else self._finish(made, start)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def batch_at(self, images_seen: int) -> SwapBatch:
        """The batch that starts at `images_seen`: a pure function of it and of the options."""
        return self._finish(self._read(images_seen), images_seen)

    def draws_at(self, images_seen: int) -> list[Draw]:
        """Who meets whom in that batch, rendered samples left out."""
        options = self.options
        count = options.batch - len(options.rendered_at(images_seen))
        first = images_seen + options.rank
        return [self.pairs.draw(first + options.world * number) for number in range(count)]

    def _open_store(self, dataset: Dataset) -> PictureStore:
        options = self.options
        framing = Framing(options.template, self.pairs.framed_like()) if options.template else None
        if options.cache is None:
            return Decoder(dataset, options.size_px, framing)
        fields = self._fields + (["changed"] if "changed" in self.requires else [])
        return MappedCache(build_cache(dataset, self.pairs.rows(), options.size_px, fields, options.cache, framing))

    def _read(self, images_seen: int) -> _Bytes | None:
        """Everything that needs no accelerator, as small as it is stored; None where all is rendered."""
        draws = self.draws_at(images_seen)
        if not draws:
            return None
        identities, attributes = [draw.identity for draw in draws], [draw.attribute for draw in draws]
        pictures = self._store.gather(identities + attributes, self._fields)
        identity = {name: rows[: len(draws)] for name, rows in pictures.items()}
        attribute = {name: rows[len(draws) :] for name, rows in pictures.items()}
        others = [draw.identity_other for draw in draws if draw.identity_other is not None]
        other = self._store.gather(others, self._fields) if "identity_other" in self.requires else None
        truth, changed = self._truths(draws, attribute["image"])
        made = _Bytes(
            identity=identity,
            attribute=attribute,
            other=other,
            truth=truth,
            changed=changed,
            has_truth=torch.tensor([draw.truth is not None for draw in draws]),
            identity_person=self._numbers(identities),
            attribute_person=self._numbers(attributes),
        )
        return made if not self.options.device.startswith("cuda") else made.each(lambda tensor: tensor.pin_memory())

    def _truths(self, draws: Sequence[Draw], attribute: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mostly the attribute picture; only exact pairs have a truth of their own, and only there it changes."""
        exact = [(place, draw.truth) for place, draw in enumerate(draws) if draw.truth not in (None, draw.attribute)]
        wanted = "changed" in self.requires
        changed = attribute.new_zeros(attribute[:, 0].shape) if wanted else None
        if not exact:
            return attribute, changed
        truth = attribute.clone()
        places = torch.tensor([place for place, _ in exact])
        found = self._store.gather([row for _, row in exact if row is not None], ["changed"] if wanted else [])
        truth[places] = found["image"]
        if changed is not None:
            changed[places] = found["changed"]
        return truth, changed

    def _finish(self, made: _Bytes | None, images_seen: int) -> SwapBatch:
        """On the device: floats, rendered samples, augmentation."""
        options = self.options
        parts = [] if made is None else [made.each(lambda part: part.to(options.device, non_blocking=True)).batch()]
        numbers = options.rendered_at(images_seen)
        if self._rendered is not None and numbers:
            drawn = self._rendered.batch(options.seed, numbers.start, len(numbers))
            self._check(drawn)
            parts.append(_renumbered(self._only_required(drawn), len(self._people)))
        batch = concatenate(parts)
        generator = torch.Generator().manual_seed(seed_for(options.seed, options.rank, images_seen))
        for change in self._augment:
            batch = change(batch, generator)
        return batch

    def _check(self, batch: SwapBatch) -> None:
        for name in sorted(self.requires):
            if name not in _OF_PICTURES and getattr(batch, name) is None:
                raise BadInputError(f"loader: {name!r} is required, but the renderer does not give it")
            if name in _OF_PICTURES and None in (getattr(batch.identity, name), getattr(batch.attribute, name)):
                raise BadInputError(f"loader: {name!r} is required, but the renderer does not give it")

    def _only_required(self, batch: SwapBatch) -> SwapBatch:
        """Without what nobody asked for, as batches of the dataset are."""
        others: dict[str, Any] = dict.fromkeys(_OF_PICTURES - self.requires)
        sides = {name: dataclasses.replace(getattr(batch, name), **others) for name in ("identity", "attribute")}
        return dataclasses.replace(batch, **sides, changed=batch.changed if "changed" in self.requires else None)

    def _numbers(self, rows: Sequence[Row]) -> Tensor:
        return torch.tensor([self._people.get(row.person, -1) for row in rows], dtype=torch.int64)


def _check_people(dataset: Dataset, role: str, named: Collection[str] | None) -> None:
    if isinstance(named, str):
        raise BadInputError(f"loader: {role}: expected a list of people, found the text {named!r}")
    unknown = sorted(set(named or ()) - set(dataset.people))
    if unknown:
        raise BadInputError(f"loader: {role}: no {', '.join(unknown)} among the {len(dataset.people)} known people")


def rendered_batches(
    maker: BatchMaker, batch: int, seed: int, images_seen: int = 0, rank: int = 0, world: int = 1
) -> Iterator[SwapBatch]:
    """Batches without end of rendered samples only; each process gets its own stretch of every step."""
    for start in itertools.count(images_seen, batch * world):
        yield maker.batch(seed, start + rank * batch, batch)


@dataclasses.dataclass(frozen=True)
class _Bytes:
    """A batch as it is stored: a quarter of the floats' size to send to an accelerator."""

    identity: Fields
    attribute: Fields
    other: Fields | None
    truth: Tensor
    changed: Tensor | None
    has_truth: Tensor
    identity_person: Tensor
    attribute_person: Tensor

    def each(self, change: Callable[[Tensor], Tensor]) -> _Bytes:
        changes: dict[str, Any] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if isinstance(value, dict):
                changes[entry.name] = {name: change(tensor) for name, tensor in value.items()}
            else:
                changes[entry.name] = None if value is None else change(value)
        return dataclasses.replace(self, **changes)

    def batch(self) -> SwapBatch:
        truth = images_from_bytes(self.truth) * self.has_truth[:, None, None, None]
        return SwapBatch(
            identity=_aligned(self.identity),
            attribute=_aligned(self.attribute),
            truth=truth,
            has_truth=self.has_truth,
            identity_other=None if self.other is None else _aligned(self.other),
            changed=None if self.changed is None else mask_from_bytes(self.changed),
            identity_person=self.identity_person,
            attribute_person=self.attribute_person,
        )


def _aligned(fields: Fields) -> Aligned:
    ready = {
        name: mask_from_bytes(tensor) if name in ("mask", "occluder") else tensor for name, tensor in fields.items()
    }
    return Aligned(**{**ready, "image": images_from_bytes(fields["image"])})


def _renumbered(batch: SwapBatch, people: int) -> SwapBatch:
    moved: dict[str, Any] = {
        name: None if (numbers := getattr(batch, name)) is None else torch.where(numbers < 0, numbers, numbers + people)
        for name in ("identity_person", "attribute_person")
    }
    return dataclasses.replace(batch, **moved)
