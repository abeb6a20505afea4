"""Surfaces that follow the body: every vertex hangs on up to three vertices of base.obj."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Int32, Int64

from facegraft.data.synth.formats import Mesh
from facegraft.data.synth.formats import Proxy as Fitting

ScaleRefs = tuple[tuple[int, int, float], tuple[int, int, float], tuple[int, int, float]]


@dataclass(frozen=True)
class Proxy:
    """Triangles on the body, for all people.

    Vertex i lies at `sum_k weight[i, k] * body[index[i, k]] + offset[i] * scale + push[i] * normal[i]`, where
    `scale` has for each axis `abs(body[a] - body[b]) / denominator` on that axis, and `normal` is the body's unit
    normal there (its vertex normals' weighted mean). It is skinned with the same mix. Triangles are two-sided.

    An alpha surface shows `clip((texture_alpha - cut) * sharpness, 0, 1)`, so whoever raises `cut` thins it out; an
    opaque one shows where `cut` is below .5.
    """

    name: str
    index: Int64[np.ndarray, "n 3"]
    weight: Float32[np.ndarray, "n 3"]
    offset: Float32[np.ndarray, "n 3"]
    scale_refs: ScaleRefs
    push: Float32[np.ndarray, "n"]
    uvs: Float32[np.ndarray, "n 2"]
    """v grows upwards: picture row = 1 - v. Textures of shells repeat."""
    triangles: Int32[np.ndarray, "t 3"]
    texture: str
    """For `Wardrobe.texture`; empty for plain colour."""
    part: str
    """What colours it: "hair", "shadow" (hair's colour on skin), "beard", "lash", "eye", "teeth", "tongue", "cloth",
    "colour" and "colour2" (of the `Worn`), "texture" (its own colours)."""
    region: str
    """A name of `facegraft.data.regions.REGIONS`."""
    layer: str
    """"opaque" or "alpha"."""
    place: Float32[np.ndarray, "n 3"]
    """Where the vertex is on the unshaped body (base.obj): the same for everybody."""
    cut: Float32[np.ndarray, "n"]
    shade: Float32[np.ndarray, "n"]
    """Multiplies the colour: roots and undersides are darker. 0..1."""
    sharpness: float = 1.0

    @property
    def count(self) -> int:
        return len(self.push)


def place_proxy(
    proxy: Proxy, body: Float[np.ndarray, "v 3"], normals: Float[np.ndarray, "v 3"]
) -> Float[np.ndarray, "n 3"]:
    """Where the proxy's vertices are on this body (decimetres); the plain definition, for tests and small tools."""
    mix = proxy.weight[..., None]
    scale = [abs(body[a, axis] - body[b, axis]) / size for axis, (a, b, size) in enumerate(proxy.scale_refs)]
    normal = (mix * normals[proxy.index]).sum(1)
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    return np.asarray((mix * body[proxy.index]).sum(1) + proxy.offset * scale + proxy.push[:, None] * normal)


def head_scale(shape: Float[np.ndarray, "v 3"], landmarks: Int64[np.ndarray, "68"]) -> ScaleRefs:
    """References by which offsets grow with the head: 1 on the body `shape`."""
    ends = (landmarks[0], landmarks[16]), (landmarks[27], landmarks[8]), (landmarks[27], landmarks[0])
    x, y, z = ((int(a), int(b), float(abs(shape[a, i] - shape[b, i]))) for i, (a, b) in enumerate(ends))
    return x, y, z


def split_at_seams(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices doubled where the texture has a seam.

    Returns:
        The mesh vertex of each drawn vertex (n,), its uv (n, 2) and the triangles (t, 3) over drawn vertices.
    """
    both = np.stack([mesh.faces.ravel(), mesh.face_uvs.ravel()], 1)
    unique, drawn = np.unique(both, axis=0, return_inverse=True)
    corner = drawn.reshape(mesh.faces.shape)
    triangles = np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]])
    flat = (triangles[:, 0] == triangles[:, 2]) | (triangles[:, 1] == triangles[:, 2])
    return unique[:, 0], mesh.uvs[unique[:, 1]], triangles[~flat]


def from_fitting(
    fitting: Fitting, name: str, body: np.ndarray, *, texture: str, part: str, region: str, layer: str
) -> Proxy:
    """A proxy of a .mhclo file."""
    vertex, uvs, triangles = split_at_seams(fitting.mesh)
    rows = fitting.weights.tocsr()[vertex]
    index = np.zeros((len(vertex), 3), np.int64)
    weight = np.zeros((len(vertex), 3), np.float32)
    for i in range(len(vertex)):
        part_of = slice(rows.indptr[i], rows.indptr[i + 1])
        count = part_of.stop - part_of.start
        index[i, :count], weight[i, :count] = rows.indices[part_of], rows.data[part_of]
    empty = np.zeros(len(vertex), np.float32)
    x, y, z = fitting.scales
    return Proxy(
        name=name,
        index=index,
        weight=weight,
        offset=fitting.offsets[vertex].astype(np.float32),
        scale_refs=(x, y, z),
        push=empty,
        uvs=uvs.astype(np.float32),
        triangles=triangles.astype(np.int32),
        texture=texture,
        part=part,
        region=region,
        layer=layer,
        place=fitting.fit(body)[vertex].astype(np.float32),
        cut=empty,
        shade=np.ones(len(vertex), np.float32),
    )


def keep_triangles(proxy: Proxy, keep: np.ndarray) -> Proxy:
    """The proxy with these triangles only, and no vertex that none of them uses."""
    triangles = proxy.triangles[keep]
    used, index = np.unique(triangles, return_inverse=True)
    rows = {
        key: getattr(proxy, key)[used] for key in ("index", "weight", "offset", "push", "uvs", "place", "cut", "shade")
    }
    return replace(proxy, triangles=index.reshape(triangles.shape).astype(np.int32), **rows)


def mirrored(proxy: Proxy, twin: Int64[np.ndarray, "v"]) -> Proxy:
    """Left and right exchanged; `twin` is the mirror image of each vertex of base.obj."""
    flip = np.array([-1, 1, 1], np.float32)
    a, b, c = ((int(twin[v]), int(twin[w]), size) for v, w, size in proxy.scale_refs)
    return replace(
        proxy,
        name=proxy.name + "-mirrored",
        index=twin[proxy.index],
        offset=proxy.offset * flip,
        scale_refs=(a, b, c),
        triangles=np.ascontiguousarray(proxy.triangles[:, ::-1]),
        place=proxy.place * flip,
    )
