"""The mapping file: the people of a clip, one entry each, in which a user says who becomes whom.

TOML, made by `facegraft analyse`, edited by hand, read by `facegraft swap --map`. It holds each person's embedding,
so it needs no other file to know them again; the thumbnails beside it are for the eyes only.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, read_bytes, shown
from facegraft.faces.people import Person

VERSION = 1
KEYS = ("name", "identity", "thumbnail", "seconds", "first_s", "embedding")
SAME_ENTRY = 0.97
"""Cosine above which a person of a new analysis is one that the file already lists."""

HEADER = """\
# The people of {clip}, found by `facegraft analyse`.
# To give somebody another face, put a picture of that face into `identity`:
#     identity = "anna.jpg"
# An empty identity leaves the person as they are. Paths are seen from this file's folder.
# Then run:
#     facegraft swap --map {file} {clip} -o swapped.mp4
# Names are yours to change; `embedding` is how the person is known again, so leave it as it is.
"""


@dataclass(frozen=True)
class MappedPerson:
    """One entry.

    Attributes:
        identity: Picture of the face they get; None: they stay as they are.
        embedding: Unit vector.
    """

    name: str
    embedding: Float32[np.ndarray, "d"]
    identity: Path | None = None
    thumbnail: str = ""
    seconds: float = 0.0
    first_s: float = 0.0


def write_mapping(path: Path, people: Sequence[MappedPerson], clip: Path) -> None:
    """Writes the file whole or not at all."""
    head = HEADER.format(clip=shown(Path(clip.name)), file=shown(Path(path.name)))
    body = "".join(_entry(person, path.parent) for person in people)
    with atomic_path(path) as temporary:
        temporary.write_text(f"{head}version = {VERSION}\n{body}", encoding="utf-8")


def mapped(people: Sequence[Person], thumbnails: Sequence[str]) -> list[MappedPerson]:
    """Entries for people with embeddings, still without identities."""
    return [
        MappedPerson(f"person {row + 1}", person.embedding, None, thumbnail, person.seconds, person.first_s)
        for row, (person, thumbnail) in enumerate(zip(people, thumbnails, strict=True))
        if person.embedding is not None
    ]


def keep_edits(new: Sequence[MappedPerson], old: Sequence[MappedPerson]) -> list[MappedPerson]:
    """The new entries with the names and identities that the user gave to the same people before."""
    kept = []
    for person in new:
        likeness = [float(person.embedding @ other.embedding) for other in old]
        if likeness and max(likeness) >= SAME_ENTRY:
            before = old[int(np.argmax(likeness))]
            person = replace(person, name=before.name, identity=before.identity)
        kept.append(person)
    return kept


def read_mapping(path: Path) -> list[MappedPerson]:
    """The entries of a mapping file.

    Raises:
        BadInputError: Not such a file; the line names its line.
    """
    try:
        text = read_bytes(path).decode("utf-8")
        data = tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise BadInputError(f"{shown(path)}: byte {error.start} is no UTF-8 text; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise BadInputError(f'{shown(path)}: not valid TOML: {error}; text must be in "quotes"') from error
    return _Reader(path, text).people(data)


def _entry(person: MappedPerson, folder: Path) -> str:
    identity = person.identity
    if identity is not None and identity.is_relative_to(folder):
        identity = identity.relative_to(folder)
    code = base64.b64encode(person.embedding.astype("<f2").tobytes()).decode()
    lines = [
        "\n[[person]]",
        f"name = {_quoted(person.name)}",
        f"identity = {_quoted('' if identity is None else str(identity))}",
        f"thumbnail = {_quoted(person.thumbnail)}",
        f"seconds = {person.seconds:.2f}",
        f"first_s = {person.first_s:.2f}",
        f"embedding = {_quoted(code)}",
    ]
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """A TOML basic string: as in JSON, but DEL must be escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


class _Reader:
    """Checks entry by entry; knows the line of each for messages."""

    def __init__(self, path: Path, text: str) -> None:
        self.path, self.lines = path, text.splitlines()

    def people(self, data: dict[str, Any]) -> list[MappedPerson]:
        if data.get("version") != VERSION:
            raise self.fault(
                None, "version", f"expected version = {VERSION}, found {data.get('version')!r}; analyse anew"
            )
        entries = data.get("person", [])
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries) or not entries:
            raise self.fault(None, "person", "expected [[person]] entries, found none; write [[person]] above each one")
        for key in data:
            if key not in ("version", "person"):
                raise self.fault(None, key, f"unknown key {key!r}; an entry starts with [[person]]")
        return [self.person(row, entry) for row, entry in enumerate(entries)]

    def person(self, row: int, entry: dict[str, Any]) -> MappedPerson:
        for key in entry:
            if key not in ("name", "identity", "thumbnail", "seconds", "first_s", "embedding"):
                raise self.fault(
                    row, key, f"unknown key {key!r}; known are name, identity, thumbnail, seconds, first_s"
                )
        return MappedPerson(
            name=self.text(row, entry, "name", f"person {row + 1}"),
            embedding=self.embedding(row, entry),
            identity=self.identity(row, entry),
            thumbnail=self.text(row, entry, "thumbnail", ""),
            seconds=self.number(row, entry, "seconds"),
            first_s=self.number(row, entry, "first_s"),
        )

    def text(self, row: int, entry: dict[str, Any], key: str, default: str) -> str:
        value = entry.get(key, default)
        if not isinstance(value, str):
            raise self.fault(row, key, f'expected text in "quotes", found {value!r}')
        return value

    def number(self, row: int, entry: dict[str, Any], key: str) -> float:
        value = entry.get(key, 0.0)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.fault(row, key, f"expected a number, found {value!r}")
        return float(value)

    def identity(self, row: int, entry: dict[str, Any]) -> Path | None:
        value = self.text(row, entry, "identity", "").strip()
        if not value:
            return None
        path = self.path.parent / Path(value).expanduser()
        if not path.is_file():
            raise self.fault(row, "identity", f"no picture {shown(path)}; check the name, or leave it empty")
        return path

    def embedding(self, row: int, entry: dict[str, Any]) -> Float32[np.ndarray, "d"]:
        code = self.text(row, entry, "embedding", "")
        try:
            values = np.frombuffer(base64.b64decode(code, validate=True), "<f2").astype(np.float32)
        except (binascii.Error, ValueError):
            values = np.zeros(0, np.float32)
        length = float(np.linalg.norm(values))
        if len(values) < 2 or not np.isfinite(length) or abs(length - 1) > 0.01:
            raise self.fault(row, "embedding", "missing or damaged; restore it, or run `facegraft analyse` again")
        return (values / np.float32(length)).astype(np.float32)

    def fault(self, row: int | None, key: str, what: str) -> BadInputError:
        line = self.line_of(row, key)
        where = f", line {line}" if line else ""
        who = "" if row is None else f" of person {row + 1}"
        return BadInputError(f"{shown(self.path)}{where}: {key}{who}: {what}")

    def line_of(self, row: int | None, key: str) -> int:
        """Line of a key of the entry; of the entry's header where the key is not there; 0: nowhere."""
        begun, header = -1, 0
        wanted = -1 if row is None else row
        for number, line in enumerate(self.lines, 1):
            if re.match(r"\s*\[\[\s*[\"']?person[\"']?\s*\]\]", line):
                begun += 1
                header = number if begun == wanted else header
            elif begun == wanted and re.match(rf"\s*\[{{0,2}}\s*[\"']?{re.escape(key)}[\"']?\s*[=.\]]", line):
                return number
        return header
