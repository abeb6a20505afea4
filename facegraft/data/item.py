"""What a dataset holds: items (a picture and what is known of it), pairs of them, and the index rows of items."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import UInt8

from facegraft.core.errors import BadInputError
from facegraft.core.image_bytes import decode_frame, decode_plane
from facegraft.core.types import Frame
from facegraft.data.shards import ShardReader

SPLITS = ("train", "val", "test")
ROLES = ("picture", "truth")
Facts = dict[str, str | float | int | bool]


@dataclass(frozen=True, eq=False)
class Item:
    """One picture and what is known about it.

    Attributes:
        key: Unique in the dataset.
        person: Identity; "" = unknown.
        image: PNG or JPEG.
        licence: SPDX name where there is one; see licences.py.
        consent: What the person agreed to, in words; "" = unknown.
        origin: Where it comes from: a file's name, an address, a command.
        synthetic: Made by a program.
        role: "picture", or "truth" for the right answer of a swap, which nothing samples by itself.
        split: train, val or test.
        stratum: Group for scores, such as "large pose".
        clip: Clip that the picture is a frame of; "" = none.
        frame_number: Of the clip, from 0; -1 = none.
        planes: PNGs of one channel: "regions", "occluder", "visible", "changed" ...
        arrays: float32: "landmarks68" (68,2), "visible68" (68,), "iris" (2,2), "dense" (468,3), "visible_dense"
            (468,), "matrix" (2,3: original frame to crop), "pose_degrees" (3,), "gaze_degrees" (2,2), "expression",
            "light" (9,3), "camera" (3,4), "embedding" ...
        facts: Small things: age, monk (1..10), sharpness, exposure, mouth_open, eyes_open, occluded_share ...
    """

    key: str
    person: str
    image: bytes
    licence: str
    consent: str
    origin: str
    synthetic: bool
    role: str = "picture"
    split: str = "train"
    stratum: str = ""
    clip: str = ""
    frame_number: int = -1
    planes: dict[str, bytes] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    facts: Facts = field(default_factory=dict)

    def frame(self) -> Frame:
        """The picture's pixels; decoded on every call.

        Raises:
            BadInputError: It is damaged.
        """
        with _named(self.key):
            return decode_frame(self.image)

    def plane(self, name: str) -> UInt8[np.ndarray, "_h _w"]:
        """A plane's pixels; decoded on every call.

        Raises:
            BadInputError: The item has no such plane, or it is damaged.
        """
        if name not in self.planes:
            raise BadInputError(f"{self.key}: no plane {name!r}; it has {', '.join(self.planes) or 'none'}")
        with _named(f"{self.key}: {name}"):
            return decode_plane(self.planes[name])


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Says which item an error is about."""
    try:
        yield
    except BadInputError as error:
        raise BadInputError(f"{what}: {error}") from error


@dataclass(frozen=True)
class Pair:
    """Who meets whom, by key.

    Attributes:
        identity: Key of the picture that says who.
        attribute: Key of the picture that gives all the rest.
        truths: "inner" (default), "inner_recoloured", "head" -> key of an item with role "truth".
        stratum: Group for scores.
    """

    identity: str
    attribute: str
    truths: dict[str, str] = field(default_factory=dict)
    stratum: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Row:
    """What is known of an item without reading its pixels. Names as in `Item`; `pose_degrees` from its arrays."""

    key: str
    person: str
    role: str
    split: str
    stratum: str
    licence: str
    consent: str
    origin: str
    synthetic: bool
    clip: str
    frame_number: int
    pose_degrees: tuple[float, float, float] | None
    facts: Facts
    shard: ShardReader = field(repr=False)
    position: int


ROW_DEFAULTS: dict[str, Any] = {
    "person": "",
    "role": "picture",
    "split": "train",
    "stratum": "",
    "licence": "",
    "consent": "",
    "origin": "",
    "synthetic": False,
    "clip": "",
    "frame_number": -1,
}
"""Facts of an item that stand in the index -> the value that a shard leaves out."""
