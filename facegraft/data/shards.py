"""One shard of a dataset: a safetensors file that holds pictures, planes, arrays and their index.

Tensors: `blob` (all encoded pictures and planes, one after the other), `spans` (item, part) -> begin, end in the
blob, part 0 the picture, then the planes in the order of the header's list; `column.N` the float32 arrays of one
name and shape, `column_rows` (item, N) -> row there. An absent part or row is -1. Items' small facts and the pairs
are JSON in the header, so an index is read without touching the pixels, and any safetensors reader can open it all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, check_input_file, shown

VERSION = "1"


@dataclass(frozen=True)
class Record:
    """What a shard keeps of one item: facts for the index, bytes by part name, arrays by name."""

    facts: dict[str, Any]
    image: bytes
    planes: dict[str, bytes] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)


def write_records(path: Path, records: Sequence[Record], pairs: Sequence[dict[str, Any]]) -> None:
    """Writes a shard whole or not at all; an old one of the same name is replaced.

    Raises:
        BadInputError: A fact that JSON cannot hold, such as NaN.
        OutputError: The file cannot be written.
    """
    planes = sorted({name for record in records for name in record.planes})
    blob, spans = _joined(records, planes)
    columns, column_rows, tensors = _columns(records)
    index = {"items": [record.facts for record in records], "pairs": list(pairs)}
    try:
        text = json.dumps(index, allow_nan=False, separators=(",", ":"), default=_plain)
    except (ValueError, TypeError) as error:
        raise BadInputError(f"{shown(path)}: a fact cannot be stored as JSON ({error}); leave it out") from error
    layout = json.dumps({"planes": planes, "columns": columns})
    tensors |= {"blob": blob, "spans": spans, "column_rows": column_rows}
    data = save(tensors, metadata={"facegraft_shard": VERSION, "layout": layout, "index": text})
    with atomic_path(path) as temporary:
        temporary.write_bytes(_ordered(data))


def _ordered(data: bytes) -> bytes:
    """The same file with the metadata sorted: safetensors' own order is another one in every process."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the format wants the tensors at a multiple of 8
    return b"".join((len(text).to_bytes(8, "little"), text, memoryview(data)[8 + length :]))


class ShardReader:
    """Random access to one shard; the file is memory-mapped, and opened when first needed.

    Attributes:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "_file": None}  # another process opens its own

    def index(self) -> dict[str, Any]:
        """`items` and `pairs` as they were written.

        Raises:
            BadInputError: Not a shard, torn, or of another version.
        """
        found: dict[str, Any] = json.loads(self._metadata()["index"])
        return found

    def read(self, position: int) -> tuple[bytes, dict[str, bytes], dict[str, np.ndarray]]:
        """Picture, planes and arrays of one item; costs about as much as copying its bytes.

        Raises:
            BadInputError: The shard is damaged.
        """
        try:
            return self._read(position)
        except (SafetensorError, OSError) as error:
            raise BadInputError(self._damaged(error)) from error

    def _read(self, position: int) -> tuple[bytes, dict[str, bytes], dict[str, np.ndarray]]:
        file, planes, columns = self._opened()
        spans = file.get_slice("spans")[position]
        blob = file.get_slice("blob")
        parts = [_part(blob, begin, end) for begin, end in spans.tolist()]
        rows = file.get_slice("column_rows")[position]
        arrays = {}
        for number, row in enumerate(rows.tolist()):
            if row >= 0:
                name, shape = columns[number]
                arrays[name] = _row(file, f"column.{number}", row, shape)
        named = {name: part for name, part in zip(planes, parts[1:], strict=True) if part is not None}
        return parts[0] or b"", named, arrays

    def _metadata(self) -> dict[str, str]:
        check_input_file(self.path)
        try:
            with safe_open(self.path, "numpy") as file:
                metadata: dict[str, str] = file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise BadInputError(self._damaged(error)) from error
        version = metadata.get("facegraft_shard")
        if version != VERSION or not {"index", "layout"} <= metadata.keys():
            found = "no facegraft shard" if version is None else f"version {version}"
            raise BadInputError(f"{shown(self.path)}: expected a shard of version {VERSION}, found {found}; update")
        return metadata

    def _damaged(self, error: Exception) -> str:
        what = " ".join(str(error).split())
        todo = "delete it and run the same command again, which writes only what is missing"
        return f"{shown(self.path)}: damaged shard ({what}); {todo}"

    def _opened(self) -> tuple[Any, list[str], list[tuple[str, list[int]]]]:
        if self._file is None:
            layout = json.loads(self._metadata()["layout"])
            handle = safe_open(self.path, "numpy")
            self._file = (handle, layout["planes"], [(name, shape) for name, shape in layout["columns"]])
        opened: tuple[Any, list[str], list[tuple[str, list[int]]]] = self._file
        return opened


def _part(blob: Any, begin: int, end: int) -> bytes | None:
    """None where begin is -1; safetensors cannot slice nothing out of nothing."""
    if begin < 0:
        return None
    return bytes(blob[begin:end].tobytes()) if end > begin else b""


def _row(file: Any, name: str, row: int, shape: list[int]) -> np.ndarray:
    """One row of a column; safetensors cannot slice tensors without elements."""
    if 0 in shape:
        return np.zeros(shape, np.float32)
    return np.asarray(file.get_slice(name)[row : row + 1], np.float32).reshape(shape)


def _joined(records: Sequence[Record], planes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    spans = np.full((len(records), 1 + len(planes), 2), -1, np.int64)
    parts: list[bytes] = []
    at = 0
    for row, record in enumerate(records):
        for column, data in enumerate([record.image, *(record.planes.get(name) for name in planes)]):
            if data is not None:
                spans[row, column] = at, at + len(data)
                parts.append(data)
                at += len(data)
    return np.frombuffer(b"".join(parts), np.uint8), spans


def _columns(records: Sequence[Record]) -> tuple[list[tuple[str, list[int]]], np.ndarray, dict[str, np.ndarray]]:
    """Arrays of one name and shape under each other."""
    stacks: dict[tuple[str, tuple[int, ...]], list[np.ndarray]] = {}
    places: list[dict[tuple[str, tuple[int, ...]], int]] = []
    for record in records:
        places.append({})
        for name, value in record.arrays.items():
            stack = stacks.setdefault((name, value.shape), [])
            places[-1][name, value.shape] = len(stack)
            stack.append(np.asarray(value, np.float32))
    kinds = sorted(stacks)
    rows = np.full((len(records), len(kinds)), -1, np.int64)
    for row, place in enumerate(places):
        for column, kind in enumerate(kinds):
            rows[row, column] = place.get(kind, -1)
    tensors = {f"column.{number}": np.stack(stacks[kind]) for number, kind in enumerate(kinds)}
    return [(name, list(shape)) for name, shape in kinds], rows, tensors


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is no number, text or truth value")
