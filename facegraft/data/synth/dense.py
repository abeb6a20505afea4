"""The 468 points of the face mesh (`faces/topology.py`) on MakeHuman's base mesh: three vertices and weights each.

Made by `tools/dense468.py`. The correspondence is fixed, so points follow shape, expression and pose by themselves.
"""

from __future__ import annotations

import functools
import json
from importlib import resources

import numpy as np
from jaxtyping import Float, Float32, Int64

COUNT = 468


@functools.cache
def dense_rows() -> tuple[Int64[np.ndarray, "468 3"], Float32[np.ndarray, "468 3"]]:
    """Vertex numbers of the base mesh and their weights, which sum to 1. Read-only: callers share the arrays."""
    text = resources.files("facegraft.data.synth").joinpath("dense468.json").read_text(encoding="utf-8")
    rows = np.array(json.loads(text)["rows"], np.float64)
    index, weights = rows[:, :3].astype(np.int64), rows[:, 3:]
    weights = (weights / weights.sum(1, keepdims=True)).astype(np.float32)
    index.flags.writeable = weights.flags.writeable = False
    return index, weights


def dense_points(vertices: Float[np.ndarray, "v 3"]) -> Float[np.ndarray, "468 3"]:
    """The points on a body, given all vertices of the base mesh, in the body's units."""
    index, weights = dense_rows()
    return np.einsum("kc,kcd->kd", weights, vertices[index])
