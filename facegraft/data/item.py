"""What a dataset holds: items (a picture and what is known of it), pairs of them, and the index rows of items."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.errors import BadInputError
from facegraft.core.image_bytes import decode_deep_plane, decode_frame, decode_plane, encode_deep_plane, encode_frame
from facegraft.core.types import Frame
from facegraft.data.shards import ShardReader

SPLITS = ("train", "val", "test")
ROLES = ("picture", "truth", "swapped")
DEPTH_STEPS_PER_DM = 1000
"""The plane "depth" counts tenths of a millimetre in 16 bits: 0.1 mm to 6.5535 m, and 0 where there is nothing."""
NORMAL_STEPS = 127
"""The plane "normals" holds 128 + 127 times x, y and z as red, green and blue; all 128 where there is nothing."""
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
        role: "picture"; "truth" for the right answer of a swap, "swapped" for a picture made to go in with it: nothing
            samples those two by themselves.
        split: train, val or test.
        stratum: Group for scores, such as "large pose".
        clip: Clip that the picture is a frame of; "" = none.
        frame_number: Of the clip, from 0; -1 = none.
        planes: PNGs, most of one channel: "regions", "occluder", "visible", "changed" ...; "depth", "normals" and
            "even" are read by functions of their names.
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
        if name in ("depth", "normals", "even") and name in self.planes:
            raise BadInputError(f"{self.key}: {name!r} is more than one channel of 8 bits; call item.{name}()")
        with _named(f"{self.key}: {name}"):
            return decode_plane(self._bytes(name))

    def depth(self) -> Float32[np.ndarray, "_h _w"]:
        """Decimetres from the camera's plane to the nearest thing in each pixel, hair too, to 0.05 mm; 0 = background.

        Raises:
            BadInputError: The item has no such plane, or it is damaged.
        """
        with _named(f"{self.key}: depth"):
            return decode_deep_plane(self._bytes("depth")) / np.float32(DEPTH_STEPS_PER_DM)

    def normals(self) -> Float32[np.ndarray, "_h _w 3"]:
        """Unit normals of the nearest opaque surface, to 0.4 degrees; 0 where there is none.

        Hair is looked through. x points to the picture's right, y up, z to the camera.

        Raises:
            BadInputError: The item has no such plane, or it is damaged.
        """
        with _named(f"{self.key}: normals"):
            steps = decode_frame(self._bytes("normals")).astype(np.float32) - np.float32(NORMAL_STEPS + 1)
        length = np.linalg.norm(steps, axis=2, keepdims=True)
        return steps / np.maximum(length, np.float32(1))

    def even(self) -> Frame:
        """The same moment in even, white light.

        Raises:
            BadInputError: The item has no such plane, or it is damaged.
        """
        with _named(f"{self.key}: even"):
            return decode_frame(self._bytes("even"))

    def _bytes(self, name: str) -> bytes:
        if name not in self.planes:
            raise BadInputError(f"no plane {name!r}; it has {', '.join(self.planes) or 'none'}")
        return self.planes[name]


def depth_plane(depth_dm: Float32[np.ndarray, "_h _w"]) -> bytes:
    """What `Item.depth` reads; distances beyond 6.5535 m are stored as that."""
    return encode_deep_plane(np.rint(depth_dm * DEPTH_STEPS_PER_DM).clip(0, 65535).astype(np.uint16))


def normals_plane(normals: Float32[np.ndarray, "_h _w 3"]) -> bytes:
    """What `Item.normals` reads; each is of length 1 or 0."""
    return encode_frame((np.rint(normals * NORMAL_STEPS) + NORMAL_STEPS + 1).astype(np.uint8))


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
