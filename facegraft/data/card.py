"""A dataset's card: its origin, its licences, how much of what it holds. JSON for programs, Markdown for people.

Counts are never handed in: they are taken from the shards when the card is written.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, read_bytes, shown
from facegraft.data.licences import allows_commercial
from facegraft.data.shards import ShardReader

VERSION = 1
COUNTED = {"role": "picture", "split": "train", "stratum": "", "licence": "", "consent": "", "synthetic": False}
"""What the card counts -> the value where a shard leaves it out."""


@dataclass(frozen=True)
class DatasetCard:
    """What a reader must know before using a dataset.

    Attributes:
        name: Short name.
        about: A paragraph: what it shows, how it was made, what it should not be used for.
        command: Command line that makes it anew.
        commit: Commit of facegraft that made it; "" = unknown.
        seed: Of everything random; None where nothing is.
        assets_digest: SHA-256 over the assets that renders were made of; "" for photographs.
        options: Anything else that the maker wants to keep.
        counts: Filled in by `write_card`: "split", "licence" ... -> value -> pictures.
        people: Filled in: different people.
        items: Filled in: pictures of every role.
        pairs: Filled in: identity-attribute pairs with exact truths.
        shards: Filled in: shards that there were.
    """

    name: str
    about: str = ""
    command: str = ""
    commit: str = ""
    seed: int | None = None
    assets_digest: str = ""
    options: dict[str, str | float | int | bool | None] = field(default_factory=dict)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    people: int = 0
    items: int = 0
    pairs: int = 0
    shards: int = 0


def shard_paths(folder: Path) -> list[Path]:
    """Whole shards of a dataset, in order."""
    return sorted((folder / "shards").glob("[0-9]*.safetensors"))


def write_card(folder: Path, card: DatasetCard) -> None:
    """Counts what lies in the shards and writes `card.json` and `CARD.md`; an old card is replaced.

    Raises:
        BadInputError: A shard is damaged.
        OutputError: The files cannot be written.
    """
    counted = _counted(folder, card)
    with atomic_path(folder / "CARD.md") as temporary:
        temporary.write_text(as_markdown(counted), encoding="utf-8")
    text = json.dumps({"facegraft_dataset": VERSION, **dataclasses.asdict(counted)}, indent=2) + "\n"
    with atomic_path(folder / "card.json") as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_card(folder: Path) -> DatasetCard:
    """The card of a dataset.

    Raises:
        BadInputError: No dataset, not finished yet, damaged, or of a newer version.
    """
    path = folder / "card.json"
    if not path.exists():
        raise BadInputError(_no_card(folder))
    try:
        found: dict[str, Any] = dict(json.loads(read_bytes(path)))
        version = found.pop("facegraft_dataset")
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{shown(path)}: no card of a dataset (damaged JSON?); make the dataset anew") from error
    if version != VERSION:
        raise BadInputError(f"{shown(path)}: expected version {VERSION}, found {version!r}; update facegraft")
    known = {entry.name for entry in dataclasses.fields(DatasetCard)}
    try:
        return DatasetCard(**{key: value for key, value in found.items() if key in known})
    except TypeError as error:
        raise BadInputError(f"{shown(path)}: the card lacks its name; make the dataset anew") from error


def as_markdown(card: DatasetCard) -> str:
    """The card for people."""
    lines = [f"# {card.name}", ""]
    lines += [card.about, ""] if card.about else []
    lines += [f"{card.items} pictures of {card.people} people, {card.pairs} exact pairs, {card.shards} shards.", ""]
    licences = card.counts.get("licence", {})
    free = sum(count for licence, count in licences.items() if allows_commercial(licence))
    lines += [f"Commercial use is known to be allowed for {free} of {card.items} pictures.", ""]
    facts = {"command": card.command, "commit": card.commit, "seed": card.seed, "assets (SHA-256)": card.assets_digest}
    lines += ["| | |", "|---|---|"]
    lines += [
        f"| {_cell(name)} | {_cell(value)} |"
        for name, value in {**facts, **card.options}.items()
        if value not in ("", None)
    ]
    for what, values in card.counts.items():
        lines += ["", f"## By {what}", "", f"| {what} | pictures |", "|---|---|"]
        lines += [f"| {_cell(value or 'not given')} | {count} |" for value, count in values.items()]
    return "\n".join(lines) + "\n"


def _counted(folder: Path, card: DatasetCard) -> DatasetCard:
    counts: dict[str, Counter[str]] = {what: Counter() for what in COUNTED}
    people: set[str] = set()
    pairs, items, paths = 0, 0, shard_paths(folder)
    for path in paths:
        index = ShardReader(path).index()
        pairs += len(index["pairs"])
        items += len(index["items"])
        for facts in index["items"]:
            people.add(facts.get("person", ""))
            for what, default in COUNTED.items():
                counts[what][str(facts.get(what, default))] += 1
    return dataclasses.replace(
        card,
        counts={what: dict(sorted(found.items())) for what, found in counts.items()},
        people=len(people - {""}),
        items=items,
        pairs=pairs,
        shards=len(paths),
    )


def _no_card(folder: Path) -> str:
    if shard_paths(folder):
        return f"{shown(folder)}: its card.json is missing: the command that makes the set has not ended; run it again"
    return f"{shown(folder)}: no dataset (card.json is missing); name a folder made by `facegraft ingest` or `synth`"


def _cell(value: object) -> str:
    return " ".join(str(value).split()).replace("|", "\\|")
