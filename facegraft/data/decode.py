"""From items to arrays of one size: decoded each time, or once into a memory-mapped cache."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import shutil
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Float32, UInt8
from torch import Tensor

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import shown
from facegraft.core.types import Frame
from facegraft.data.dataset import Dataset
from facegraft.data.framing import ARRAYS, IN_PIXELS, PLANES, Framing, framed
from facegraft.data.item import Item, Row

logger = logging.getLogger(__name__)

Fields = dict[str, Tensor]
"""Field -> rows: "image" uint8 (b, 3, s, s), planes uint8 (b, s, s), arrays float32."""


@runtime_checkable
class PictureStore(Protocol):
    """Gives pictures and what is known of them, at one size."""

    def gather(self, rows: Sequence[Row], fields: Collection[str]) -> Fields:
        """The fields of these rows, stacked in their order.

        Raises:
            BadInputError: A row lacks one of them.
        """
        ...


class Decoder:
    """A store that decodes whatever is asked for, every time."""

    def __init__(self, dataset: Dataset, size_px: int, framing: Framing | None = None) -> None:
        self._dataset, self._size_px, self._framing = dataset, size_px, framing

    def gather(self, rows: Sequence[Row], fields: Collection[str]) -> Fields:
        once = {row.key: row for row in rows}
        loaded = {key: _demand(self._load(row, fields), key, fields) for key, row in once.items()}
        stacked = {name: np.stack([loaded[row.key][name] for row in rows]) for name in sorted({"image", *fields})}
        return {name: torch.from_numpy(array) for name, array in stacked.items()}

    def _load(self, row: Row, fields: Collection[str]) -> dict[str, np.ndarray]:
        return _fields(self._dataset, row, self._size_px, fields, self._framing)


class MappedCache:
    """A store that decoded everything once; reading is copying. Made by `build_cache`."""

    def __init__(self, folder: Path) -> None:
        index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
        self._places = {key: place for place, key in enumerate(index["keys"])}
        self._has = {name: np.asarray(has, bool) for name, has in index["has"].items()}
        # Copy on write, because torch takes no read-only memory; nothing is ever written.
        self._arrays = {name: torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in self._has}

    def gather(self, rows: Sequence[Row], fields: Collection[str]) -> Fields:
        places = np.array([self._places[row.key] for row in rows], np.int64)
        for name in fields:
            if not self._has[name][places].all():
                lacking = rows[int(np.argmin(self._has[name][places]))]
                raise BadInputError(_lacking(lacking.key, name))
        index = torch.from_numpy(places)
        return {name: self._arrays[name].index_select(0, index) for name in sorted({"image", *fields})}


def fields_of(item: Item, size_px: int, fields: Collection[str]) -> dict[str, np.ndarray]:
    """The picture and the fields that an item has, brought to one size; points are scaled along.

    Raises:
        BadInputError: The picture is not square, or damaged.
    """
    frame = item.frame()
    height, width = frame.shape[:2]
    if height != width:
        raise BadInputError(f"{item.key}: expected a square crop, found {width}x{height}; align the pictures first")
    found: dict[str, np.ndarray] = {"image": np.ascontiguousarray(resized(frame, size_px).transpose(2, 0, 1))}
    for name in fields:
        if name in PLANES and PLANES[name] in item.planes:
            found[name] = _resized_plane(item.plane(PLANES[name]), size_px, labels=name == "regions")
        elif name in ARRAYS and ARRAYS[name] in item.arrays:
            scale = size_px / width if name in IN_PIXELS else 1.0
            values = item.arrays[ARRAYS[name]] * np.float32(scale)
            found[name] = values[:, :2] if name == "dense" else values  # renders know no depth in pixels
    return found


def resized(frame: Frame, size_px: int) -> Frame:
    """A square frame at another size; area averages when it shrinks, so nothing flickers."""
    if len(frame) == size_px:
        return frame
    shrinks = size_px < len(frame)
    how = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(frame, (size_px, size_px), interpolation=how))


def build_cache(
    dataset: Dataset,
    rows: Sequence[Row],
    size_px: int,
    fields: Collection[str],
    folder: Path,
    framing: Framing | None = None,
) -> Path:
    """Decodes these rows once, with all cores, into a folder below `folder`; one that is there already is taken.

    The folder's name depends on the rows, on their shards' size and time, on size and fields, so a changed dataset
    gets a new cache. It is complete or absent.

    Returns:
        The folder, for `MappedCache`.

    Raises:
        BadInputError: A picture is damaged or not square.
        OutputError: No space, no permission.
    """
    wanted = sorted({"image", *fields})
    final = folder / f"cache-{size_px}-{_digest(rows, size_px, wanted, framing)}"
    if final.is_dir():
        return final
    size_mb = len(rows) * size_px**2 * (3 + sum(name in PLANES for name in wanted)) / 2**20
    logger.info("decoding %d pictures into %s (%.0f MB)", len(rows), shown(final), size_mb)
    building = folder / f".building-{secrets.token_hex(6)}"
    try:
        building.mkdir(parents=True)
        _fill(dataset, rows, size_px, wanted, building, framing)
        if not final.is_dir():  # another process may have been faster
            building.rename(final)
    except OSError as error:
        if final.is_dir():
            return final
        raise OutputError(f"{shown(final)}: the cache cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return final


def _fill(
    dataset: Dataset, rows: Sequence[Row], size_px: int, wanted: list[str], folder: Path, framing: Framing | None
) -> None:
    has = {name: [False] * len(rows) for name in wanted}
    maps: dict[str, np.ndarray] = {}
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        for begin in range(0, len(rows), 256):
            chunk = rows[begin : begin + 256]
            loaded = pool.map(lambda row: _fields(dataset, row, size_px, wanted, framing), chunk)
            for place, found in enumerate(loaded, begin):
                for name, array in found.items():
                    if name not in maps:
                        shape = (len(rows), *array.shape)
                        maps[name] = np.lib.format.open_memmap(folder / f"{name}.npy", "w+", array.dtype, shape)
                    maps[name][place] = array
                    has[name][place] = True
    for name in wanted:
        if name not in maps:
            np.save(folder / f"{name}.npy", np.zeros((len(rows), 0), np.float32))
    index = {"keys": [row.key for row in rows], "has": has}
    (folder / "index.json").write_text(json.dumps(index), encoding="utf-8")


def _fields(
    dataset: Dataset, row: Row, size_px: int, fields: Collection[str], framing: Framing | None
) -> dict[str, np.ndarray]:
    item = dataset.read(row)
    if framing is None:
        return fields_of(item, size_px, fields)
    like = framing.like.get(row.key)
    return framed(item, item if like is None else dataset.read(like), size_px, fields, framing.template)


def _digest(rows: Sequence[Row], size_px: int, wanted: list[str], framing: Framing | None) -> str:
    described = [size_px, wanted] + ([] if framing is None else [framing.template])
    found = hashlib.sha256(json.dumps(described).encode())
    for path in sorted({row.shard.path for row in rows}):
        stat = path.stat()
        found.update(f"{path.name} {stat.st_size} {stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    for row in rows:
        found.update(f"{row.key}\n".encode("utf-8", "surrogatepass"))
    return found.hexdigest()[:16]


def _demand(found: dict[str, np.ndarray], key: str, fields: Collection[str]) -> dict[str, np.ndarray]:
    for name in fields:
        if name not in found:
            raise BadInputError(_lacking(key, name))
    return found


def _lacking(key: str, name: str) -> str:
    what = f"plane {PLANES[name]!r}" if name in PLANES else f"array {ARRAYS.get(name, name)!r}"
    return f"{key}: the method requires {name!r}, but the item has no {what}; make the dataset with these labels"


def _resized_plane(
    plane: UInt8[np.ndarray, "_ _"], size_px: int, *, labels: bool
) -> UInt8[np.ndarray, "_ _"] | Float32[np.ndarray, "_ _"]:
    if len(plane) == size_px:
        return plane
    how = cv2.INTER_NEAREST_EXACT if labels else cv2.INTER_AREA if size_px < len(plane) else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(plane, (size_px, size_px), interpolation=how))
