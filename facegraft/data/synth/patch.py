"""A region of the body's own surface, refined, as the ground on which shells of hair and soft hats grow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix, identity
from scipy.spatial import cKDTree

from facegraft.data.synth.formats import Mesh, subdivide
from facegraft.data.synth.proxy import Proxy, ScaleRefs


@dataclass(frozen=True)
class Patch:
    """Quads over a part of the body; each vertex hangs on three body vertices."""

    index: np.ndarray
    weight: np.ndarray
    lift: np.ndarray
    """Along the body's normal, to the smooth surface (decimetres)."""
    place: np.ndarray
    """On the unshaped body."""
    normal: np.ndarray
    """There, unit length."""
    quads: np.ndarray
    scale_refs: ScaleRefs


def body_normals(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Area-weighted unit vertex normals; a quad's diagonals give its plane."""
    normal = np.cross(vertices[quads[:, 2]] - vertices[quads[:, 0]], vertices[quads[:, 3]] - vertices[quads[:, 1]])
    out = np.zeros_like(vertices)
    for corner in quads.T:
        np.add.at(out, corner, normal)
    return np.asarray(out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12))


def cut_patch(mesh: Mesh, shape: np.ndarray, rows: np.ndarray, levels: int, scale_refs: ScaleRefs) -> Patch:
    """Refine the faces `rows` of the body.

    Args:
        mesh: base.obj.
        shape: A usual person's body; on it the refined surface is smooth.
        rows: Face numbers.
        levels: Number of Catmull-Clark steps, 0 to 2.
        scale_refs: For offsets, see `Proxy`.
    """
    quads = mesh.faces[rows]
    body = mesh.faces[mesh.groups["body"]]
    normals = body_normals(shape, body)
    smooth, fine = subdivide_times(body, len(shape), levels)
    used, patch_quads = _only(fine, rows, len(body), levels, mesh)
    goal = (smooth @ shape)[used]
    index, weight = anchors(quads, shape, goal)
    normal = _unit((weight[..., None] * normals[index]).sum(1))
    at = (weight[..., None] * shape[index]).sum(1)
    lift = ((goal - at) * normal).sum(1)
    place = (smooth @ mesh.vertices)[used]
    return Patch(index, weight, lift, place, body_normals(place, patch_quads), patch_quads, scale_refs)


def subdivide_times(quads: np.ndarray, count: int, levels: int) -> tuple[csr_matrix, np.ndarray]:
    """Matrix from the vertices to those of the refined surface, and its quads."""
    matrix = csr_matrix(identity(count))
    for _ in range(levels):
        step, quads = subdivide(quads, matrix.shape[0], smooth=True)
        matrix = csr_matrix(step @ matrix)
    return matrix, quads


def _only(
    fine: np.ndarray, rows: np.ndarray, body_count: int, levels: int, mesh: Mesh
) -> tuple[np.ndarray, np.ndarray]:
    """The vertices and quads that came from the faces `rows`: each step lists a face's four parts count apart."""
    number = np.full(len(mesh.faces), -1)
    number[mesh.groups["body"]] = np.arange(body_count)
    parent = np.arange(body_count)
    for _ in range(levels):
        parent = np.tile(parent, 4)
    quads = fine[np.isin(parent, number[rows])]
    used, index = np.unique(quads, return_inverse=True)
    return used, index.reshape(quads.shape)


def anchors(quads: np.ndarray, shape: np.ndarray, goal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each point the triangle of the coarse quads that it lies in (or nearly), and its weights there."""
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    a, b, c = shape[triangles].transpose(1, 0, 2)
    middle = (a + b + c) / 3
    _, near = cKDTree(middle).query(goal, k=min(8, len(middle)))
    best, weights = np.zeros(len(goal), int), np.zeros((len(goal), 3))
    score = np.full(len(goal), np.inf)
    for candidate in near.reshape(len(goal), -1).T:
        mix = _barycentric(a[candidate], b[candidate], c[candidate], goal)
        outside = -np.minimum(mix, 0).sum(1)
        mix = np.maximum(mix, 0) / np.maximum(mix, 0).sum(1, keepdims=True)
        found = (mix[..., None] * shape[triangles[candidate]]).sum(1)
        error = np.linalg.norm(found - goal, axis=1) + 0.02 * outside
        better = error < score - 1e-9
        best, score = np.where(better, candidate, best), np.where(better, error, score)
        weights[better] = mix[better]
    return triangles[best], weights


def _barycentric(a: np.ndarray, b: np.ndarray, c: np.ndarray, p: np.ndarray) -> np.ndarray:
    u, v, w = b - a, c - a, p - a
    uu, uv, vv = (u * u).sum(1), (u * v).sum(1), (v * v).sum(1)
    wu, wv = (w * u).sum(1), (w * v).sum(1)
    det = np.maximum(uu * vv - uv * uv, 1e-12)
    s, t = (vv * wu - uv * wv) / det, (uu * wv - uv * wu) / det
    return np.stack([1 - s - t, s, t], 1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-9))


def patch_proxy(
    patch: Patch,
    name: str,
    push: np.ndarray,
    keep: np.ndarray,
    *,
    uvs: np.ndarray,
    offset: np.ndarray | None = None,
    cut: np.ndarray | None = None,
    shade: np.ndarray | None = None,
    texture: str = "",
    part: str,
    region: str,
    layer: str,
    sharpness: float = 1.0,
) -> Proxy:
    """The patch as a proxy, `push` above the skin; only quads with at least one vertex in `keep`.

    `uvs` are those of each vertex (n, 2), or of each quad's corners (q, 4, 2) where the texture has seams; the rest is
    as in `Proxy`, per vertex of the patch.
    """
    quads = np.flatnonzero(keep[patch.quads].any(1))
    corner = patch.quads[quads].ravel()
    corner_uvs = uvs[corner] if uvs.ndim == 2 else uvs[quads].reshape(-1, 2)
    key = np.concatenate([corner[:, None], np.round(corner_uvs * 1e4)], 1)
    _, first, index = np.unique(key, axis=0, return_index=True, return_inverse=True)
    vertex, q = corner[first], index.reshape(-1, 4)
    zeros = np.zeros(len(patch.place))

    def rows(values: np.ndarray | None, default: float = 0.0) -> np.ndarray:
        return np.asarray((zeros + default if values is None else values)[vertex], np.float32)

    return Proxy(
        name=name,
        index=patch.index[vertex].astype(np.int64),
        weight=patch.weight[vertex].astype(np.float32),
        offset=np.zeros((len(vertex), 3), np.float32) if offset is None else offset[vertex].astype(np.float32),
        scale_refs=patch.scale_refs,
        push=rows(patch.lift + push),
        uvs=corner_uvs[first].astype(np.float32),
        triangles=_triangles(q, vertex),
        texture=texture,
        part=part,
        region=region,
        layer=layer,
        place=(patch.place[vertex] + (push[vertex, None] * patch.normal[vertex])).astype(np.float32),
        cut=rows(cut),
        shade=rows(shade, 1.0),
        sharpness=sharpness,
    )


def _triangles(quads: np.ndarray, vertex: np.ndarray) -> np.ndarray:
    """Two per quad, without those that `simplified` has emptied."""
    out = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)
    ends = vertex[out]
    flat = (ends[:, 0] == ends[:, 1]) | (ends[:, 1] == ends[:, 2]) | (ends[:, 2] == ends[:, 0])
    return out[~flat]


def simplified(patch: Patch, spacing: float) -> Patch:
    """The patch with vertices no closer than `spacing` (decimetres): neighbours move onto one of them."""
    near = cKDTree(patch.place)
    chosen = np.full(len(patch.place), -1)
    for i in range(len(chosen)):
        if chosen[i] < 0:
            around = [j for j in near.query_ball_point(patch.place[i], spacing) if chosen[j] < 0]
            chosen[around] = i
    quads = chosen[patch.quads]
    kept = np.array([len(set(row)) > 2 for row in quads.tolist()])
    used, index = np.unique(quads[kept], return_inverse=True)
    rows = {key: getattr(patch, key)[used] for key in ("index", "weight", "lift", "place", "normal")}
    return replace(patch, quads=index.reshape(-1, 4), **rows)
