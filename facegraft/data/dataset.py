"""Datasets on disk: pictures, what is known about them, who may use them, and who meets whom.

A dataset is a folder: `card.json` and `CARD.md` (card.py), `shards/000000.safetensors` ... (shards.py). Shards are
written whole or not at all, so one that is there is done, and a run that was cut short goes on with the next.
People are split, never pictures: all pictures of a person are of one split.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.data.card import DatasetCard as DatasetCard
from facegraft.data.card import read_card, shard_paths
from facegraft.data.card import write_card as write_card
from facegraft.data.item import ROLES, ROW_DEFAULTS, SPLITS, Row
from facegraft.data.item import Item as Item
from facegraft.data.item import Pair as Pair
from facegraft.data.licences import allows_commercial
from facegraft.data.shards import Record, ShardReader, write_records

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Rows of one or more datasets; pictures are read when asked for. Cheap to hand to another process."""

    card: DatasetCard
    rows: tuple[Row, ...]
    pairs: tuple[Pair, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Item]:
        return (self.read(row) for row in self.rows)

    def __contains__(self, key: str) -> bool:
        return key in self._by_key

    @cached_property
    def _by_key(self) -> dict[str, Row]:
        return {row.key: row for row in self.rows}

    @cached_property
    def by_person(self) -> dict[str, tuple[Row, ...]]:
        """Person -> rows with role "picture", in order; people in the order of their names; unknown ones left out."""
        found: dict[str, list[Row]] = {}
        for row in self.rows:
            if row.person and row.role == "picture":
                found.setdefault(row.person, []).append(row)
        return {person: tuple(found[person]) for person in sorted(found)}

    @property
    def people(self) -> tuple[str, ...]:
        """Known people with at least one picture, sorted."""
        return tuple(self.by_person)

    def row(self, key: str) -> Row:
        """What is known of one picture.

        Raises:
            BadInputError: No such key.
        """
        if key not in self._by_key:
            raise BadInputError(f"dataset {self.card.name!r}: no picture {key!r} among its {len(self)}")
        return self._by_key[key]

    def item(self, key: str) -> Item:
        """One picture with everything; costs about its own bytes.

        Raises:
            BadInputError: No such key, or its shard is damaged.
        """
        return self.read(self.row(key))

    def read(self, row: Row) -> Item:
        """The item of a row."""
        image, planes, arrays = row.shard.read(row.position)
        named = {name: getattr(row, name) for name in ROW_DEFAULTS}
        return Item(key=row.key, image=image, planes=planes, arrays=arrays, facts=dict(row.facts), **named)

    def select(
        self,
        *,
        split: str | None = None,
        people: Collection[str] | None = None,
        role: str | None = None,
        stratum: str | None = None,
        synthetic: bool | None = None,
        commercial: bool = False,
        where: Callable[[Row], bool] | None = None,
    ) -> Dataset:
        """The rows that agree with everything asked. Pairs stay where both pictures do; truths that do not are cut.

        Args:
            split: train, val or test.
            people: Their ids.
            role: "picture", "truth" or "swapped".
            stratum: Exactly this one.
            synthetic: Only rendered pictures, or only photographs.
            commercial: Leave out what is not known to allow commercial use.
            where: Any further question to a row.

        Raises:
            BadInputError: Nothing is left.
        """
        wanted = {"split": split, "role": role, "stratum": stratum, "synthetic": synthetic}
        asked = {name: value for name, value in wanted.items() if value is not None}
        wanted_people = None if people is None else frozenset(people)

        def agrees(row: Row) -> bool:
            return (
                all(getattr(row, name) == value for name, value in asked.items())
                and (wanted_people is None or row.person in wanted_people)
                and (not commercial or allows_commercial(row.licence))
                and (where is None or where(row))
            )

        rows = tuple(row for row in self.rows if agrees(row))
        if commercial:
            left_out = sum(not allows_commercial(row.licence) for row in self.rows)
            logger.info("%d of %d pictures left out: commercial use is not allowed", left_out, len(self))
        if not rows:
            asked |= {"commercial": True} if commercial else {}
            raise BadInputError(f"dataset {self.card.name!r}: none of {len(self)} pictures agrees with {asked or 'it'}")
        return dataclasses.replace(self, rows=rows, pairs=_kept(self.pairs, {row.key for row in rows}))


def shard_path(folder: Path, number: int) -> Path:
    return folder / "shards" / f"{number:06d}.safetensors"


def shard_done(folder: Path, number: int) -> bool:
    """Whether this shard was written; it is whole then."""
    return shard_path(folder, number).is_file()


def write_shard(folder: Path, number: int, items: Sequence[Item], pairs: Sequence[Pair] = ()) -> Path:
    """Writes one shard whole or not at all; folders are made, an old shard of this number is replaced.

    Args:
        folder: Of the dataset.
        number: From 0; several processes may write different ones at once.
        items: Their keys must be unique in the dataset. A few hundred to a few thousand make a good shard.
        pairs: May name items of other shards.

    Raises:
        BadInputError: A key twice, an unknown split or role, an array that is not of numbers.
        OutputError: The file cannot be written.
    """
    path = shard_path(folder, number)
    seen: set[str] = set()
    for item in items:
        _check(item, seen)
    path.parent.mkdir(parents=True, exist_ok=True)
    records = [Record(_facts_of(item), item.image, item.planes, item.arrays) for item in items]
    write_records(path, records, [dataclasses.asdict(pair) for pair in pairs])
    return path


def open_dataset(path: Path | str) -> Dataset:
    """Opens a dataset by its index; no picture is read.

    Raises:
        BadInputError: No dataset, shards missing or damaged, a key twice, a person in two splits.
    """
    path = Path(path)
    card = read_card(path)
    shards = shard_paths(path)
    if len(shards) < card.shards or not shards:
        raise BadInputError(f"{shown(path)}: expected {card.shards} shards, found {len(shards)}; make them again")
    rows: list[Row] = []
    pairs: list[Pair] = []
    for shard in shards:
        reader = ShardReader(shard)
        index = reader.index()
        rows += [_row_of(facts, reader, number) for number, facts in enumerate(index["items"])]
        pairs += [Pair(**facts) for facts in index["pairs"]]
    keys = {row.key for row in rows}
    if len(keys) < len(rows):
        twice = Counter(row.key for row in rows).most_common(1)[0][0]
        raise BadInputError(f"{shown(path)}: the key {twice!r} is there twice; make the dataset anew")
    _check_splits(path, rows)
    kept = _kept(pairs, keys)
    if len(kept) < len(pairs):
        logger.warning("%s: %d pairs left out, their pictures are missing", shown(path), len(pairs) - len(kept))
    return Dataset(card, tuple(rows), kept)


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Several datasets as one. Keys and people get the set's number and name in front, so none of them collide.

    Raises:
        BadInputError: Nothing to join.
    """
    if not datasets:
        raise BadInputError("join: expected at least one dataset, found none")
    rows: list[Row] = []
    pairs: list[Pair] = []
    for number, dataset in enumerate(datasets):
        front = f"{number}-{dataset.card.name}/"
        rows += [
            dataclasses.replace(row, key=front + row.key, person=row.person and front + row.person)
            for row in dataset.rows
        ]
        for pair in dataset.pairs:
            truths = {kind: front + key for kind, key in pair.truths.items()}
            pairs.append(Pair(front + pair.identity, front + pair.attribute, truths, pair.stratum))
    name = " + ".join(dataset.card.name for dataset in datasets)
    return Dataset(DatasetCard(name=name, about="Joined when opened."), tuple(rows), tuple(pairs))


def split_of(person: str, val_share: float = 0.05, test_share: float = 0.0, seed: int = 0) -> str:
    """Which split a person belongs to; the same answer on every machine and however many others there are.

    Args:
        person: Identity; where it is unknown hand in what stands for it, such as the clip or the key.
        val_share: Share of people for validation.
        test_share: Share of people for tests.
        seed: Chooses who.
    """
    if not person:
        raise ValueError("split_of: expected a person, found ''; hand in the clip or the key of an unknown one")
    digest = hashlib.blake2b(f"{seed}:{person}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    if place < test_share:
        return "test"
    return "val" if place < test_share + val_share else "train"


def _check(item: Item, seen: set[str]) -> None:
    if not item.key or item.key in seen:
        raise BadInputError(f"item {item.key!r}: expected a key of its own, found {'it twice' if item.key else 'none'}")
    seen.add(item.key)
    if item.split not in SPLITS or item.role not in ROLES:
        known = f"{'/'.join(SPLITS)} and {'/'.join(ROLES)}"
        raise BadInputError(f"item {item.key!r}: expected {known}, found {item.split!r} and {item.role!r}")
    for name, array in item.arrays.items():
        if array.dtype.kind not in "fiub":
            raise BadInputError(f"item {item.key!r}: array {name!r} holds {array.dtype}, expected float32")


def _facts_of(item: Item) -> dict[str, Any]:
    facts: dict[str, Any] = {"key": item.key}
    facts |= {name: getattr(item, name) for name, default in ROW_DEFAULTS.items() if getattr(item, name) != default}
    pose = item.arrays.get("pose_degrees")
    if pose is not None and pose.shape == (3,) and np.isfinite(pose).all():
        facts["pose_degrees"] = [round(float(angle), 3) for angle in pose]
    return facts | ({"facts": item.facts} if item.facts else {})


def _row_of(facts: dict[str, Any], reader: ShardReader, position: int) -> Row:
    pose = facts.get("pose_degrees")
    named = {name: facts.get(name, default) for name, default in ROW_DEFAULTS.items()}
    return Row(
        key=facts["key"],
        pose_degrees=None if pose is None else (float(pose[0]), float(pose[1]), float(pose[2])),
        facts=facts.get("facts", {}),
        shard=reader,
        position=position,
        **named,
    )


def _kept(pairs: Sequence[Pair], keys: Collection[str]) -> tuple[Pair, ...]:
    kept = (pair for pair in pairs if pair.identity in keys and pair.attribute in keys)
    return tuple(
        dataclasses.replace(pair, truths={kind: key for kind, key in pair.truths.items() if key in keys})
        for pair in kept
    )


def _check_splits(path: Path, rows: Sequence[Row]) -> None:
    split_by_person: dict[str, str] = {}
    for row in rows:
        if row.person and split_by_person.setdefault(row.person, row.split) != row.split:
            both = f"{split_by_person[row.person]} and {row.split}"
            raise BadInputError(f"{shown(path)}: {row.person!r} is in {both}; split by person, never by picture")
