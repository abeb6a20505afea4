"""Pictures of a dataset brought to a method's alignment template: the crop that the runtime gives it later.

Five points of the mesh decide, as in faces/analyse.py. A true answer is framed as its attribute image is, whatever its
own points say, or the two would not lie on each other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.errors import BadInputError
from facegraft.core.geometry import transform, warp
from facegraft.core.types import Matrix
from facegraft.data.item import Item, Row
from facegraft.faces.align import alignment
from facegraft.faces.topology import five_points, load_topology

PLANES = {"mask": "visible", "regions": "regions", "occluder": "occluder", "changed": "changed"}
"""Field of a batch -> plane of an item."""
ARRAYS = {
    "landmarks": "landmarks68",
    "iris": "iris",
    "dense": "dense",
    "matrix": "matrix",
    "pose_degrees": "pose_degrees",
    "gaze_degrees": "gaze_degrees",
}
"""Field of a batch -> array of an item."""
IN_PIXELS = frozenset({"landmarks", "iris", "dense", "matrix"})
"""Fields that move with the pixels."""


@dataclass(frozen=True)
class Framing:
    """How pictures are framed.

    Attributes:
        template: Of faces/align.py.
        like: Key of a picture -> the one whose points frame it; others go by their own.
    """

    template: str
    like: Mapping[str, Row] = field(default_factory=dict)


def framed(item: Item, points_of: Item, size_px: int, fields: Collection[str], template: str) -> dict[str, np.ndarray]:
    """The picture and the fields that an item has, cut out by a template; points are moved along.

    Beyond the picture its border goes on; planes are 0 there.

    Raises:
        BadInputError: The item that frames it has no mesh.
    """
    matrix = alignment(mesh_points5(points_of), template, size_px)
    size = (size_px, size_px)
    found: dict[str, np.ndarray] = {
        "image": np.ascontiguousarray(warp(item.frame(), matrix, size).transpose(2, 0, 1)),
    }
    for name in fields:
        if name in PLANES and PLANES[name] in item.planes:
            how = cv2.INTER_NEAREST if name == "regions" else cv2.INTER_LINEAR
            plane = item.plane(PLANES[name])
            found[name] = warp(plane, matrix, size, border=cv2.BORDER_CONSTANT, interpolation=how)
        elif name in ARRAYS and ARRAYS[name] in item.arrays:
            found[name] = _moved(item.arrays[ARRAYS[name]], matrix, name)
    return found


def mesh_points5(item: Item) -> Float32[np.ndarray, "5 2"]:
    """Eyes, nose tip and mouth corners of an item's mesh, in its pixels.

    Raises:
        BadInputError: It has none.
    """
    dense = item.arrays.get("dense")
    if dense is None or len(dense) != len(load_topology().xyz):
        raise BadInputError(f"{item.key}: no mesh of points, which alignment needs; make the dataset with its labels")
    return points5_of(dense)


def points5_of(dense: Float[np.ndarray, "k d"]) -> Float32[np.ndarray, "5 2"]:
    """The same of a mesh by itself: x, y and anything behind them."""
    flat = np.zeros((len(dense), 3), np.float32)
    flat[:, :2] = dense[:, :2]
    return five_points(load_topology(), flat)


def _moved(values: np.ndarray, matrix: Matrix, name: str) -> np.ndarray:
    if name not in IN_PIXELS:
        return values
    if name == "matrix":
        both = np.eye(3, dtype=np.float32)
        both[:2] = matrix
        return np.asarray(both[:2] @ np.vstack([values, [0, 0, 1]]), np.float32)
    return transform(matrix, np.asarray(values[:, :2], np.float32))
