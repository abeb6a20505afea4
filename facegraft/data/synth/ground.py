"""The unshaped body and a usual person's, and the tailor's rule that hangs any mesh on them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.data.synth.beard import beard_distance
from facegraft.data.synth.formats import Mesh, read_morph, read_obj
from facegraft.data.synth.hair import HAIRLINES, hairline_distance
from facegraft.data.synth.patch import Patch, anchors, body_normals, cut_patch, simplified
from facegraft.data.synth.proxy import Proxy, ScaleRefs, head_scale
from facegraft.data.synth.wrap import Reach, measure

BODY_COUNT = 19158
BEARD_SPACING = 0.045
"""Decimetres between the vertices of beards: the mouth's own mesh is finer than that."""


@dataclass(frozen=True)
class Ground:
    """What all worn things are fitted on, read once."""

    assets: Path
    base: Mesh
    usual: np.ndarray
    """The mean of the eight young and eight old, male and female adults of the macro targets: (vertices, 3)."""
    landmarks: np.ndarray
    scale_refs: ScaleRefs
    twin: np.ndarray
    """Mirror image of each vertex."""

    @cached_property
    def body_faces(self) -> np.ndarray:
        return self.base.groups["body"]

    @cached_property
    def centres(self) -> np.ndarray:
        """Of all faces, on the unshaped body."""
        return self.base.vertices[self.base.faces].mean(1)

    @cached_property
    def normals(self) -> np.ndarray:
        """Of the usual person."""
        return body_normals(self.usual, self.base.faces[self.body_faces])

    @cached_property
    def scalp(self) -> Patch:
        inside = np.max([hairline_distance(self.centres[self.body_faces], line) for line in HAIRLINES], 0)
        rows = self.body_faces[(inside > -0.25) & (self.centres[self.body_faces, 1] > 6.3)]
        return cut_patch(self.base, self.usual, rows, 0, self.scale_refs)

    @cached_property
    def lower_face(self) -> Patch:
        centre = self.centres[self.body_faces]
        low = (centre[:, 1] < 7.2) & (centre[:, 1] > 5.9) & (centre[:, 2] > 0.5) & (np.abs(centre[:, 0]) < 0.76)
        rows = self.body_faces[low]
        rows = rows[beard_distance(self.centres[rows], "full") > -0.12]
        return simplified(cut_patch(self.base, self.usual, rows, 0, self.scale_refs), BEARD_SPACING)

    @cached_property
    def reach(self) -> Reach:
        """Of head, neck and shoulders."""
        return self._reach_within(1.7)

    @cached_property
    def neck_reach(self) -> Reach:
        """Of head and neck."""
        return self._reach_within(0.85)

    @cached_property
    def skull_reach(self) -> Reach:
        """Of head and neck without the ears, which would hold a hat off the head."""
        return self._reach_within(0.85, ears=False)

    def _reach_within(self, width: float, *, ears: bool = True) -> Reach:
        centre = self.centres[self.body_faces]
        near = (centre[:, 1] > 5.3) & (np.abs(centre[:, 0]) < width)
        if not ears:
            near &= (np.abs(centre[:, 0]) < 0.705) | (centre[:, 1] > 7.39) | (centre[:, 1] < 6.75)
        return measure(self.usual, self.base.faces[self.body_faces[near]])


def read_ground(assets: Path) -> Ground:
    """Read base.obj, landmarks, mirror table and the macro targets.

    Raises:
        BadInputError: The folder lacks a file.
    """
    obj = assets / "data" / "3dobjs" / "base.obj"
    if not obj.is_file():
        raise BadInputError(f"{assets}: expected MakeHuman's assets, found no data/3dobjs/base.obj in it")
    base = read_obj(obj)
    usual = base.vertices.copy()
    for path, weight in _usual_morphs(assets / "data" / "targets" / "macrodetails"):
        rows, deltas = read_morph(path)
        usual[rows] += weight * deltas
    value = json.loads((assets / "derived" / "landmarks68_vertex_ids.json").read_text())
    ids = value if isinstance(value, list) else next(v for v in value.values() if isinstance(v, list))
    landmarks = np.array(ids, np.int64)
    twin = np.arange(BODY_COUNT)
    for line in (assets / "mpfb2" / "mesh_metadata" / "hm08.mirror").read_text().splitlines():
        a, b, _ = line.split()
        twin[int(a)], twin[int(b)] = int(b), int(a)
    return Ground(assets, base, usual, landmarks, head_scale(usual, landmarks), twin)


def _usual_morphs(folder: Path) -> list[tuple[Path, float]]:
    out = []
    for sex in ("female", "male"):
        for age, share in (("young", 0.7), ("old", 0.3)):
            out.append((folder / f"universal-{sex}-{age}-averagemuscle-averageweight.target", share / 2))
            out += [(folder / f"{race}-{sex}-{age}.target", share / 6) for race in ("african", "asian", "caucasian")]
    return out


def hang(
    ground: Ground,
    name: str,
    points: np.ndarray,
    triangles: np.ndarray,
    faces: np.ndarray,
    *,
    part: str,
    region: str,
    uvs: np.ndarray | None = None,
    cut: np.ndarray | None = None,
    shade: np.ndarray | None = None,
    layer: str = "opaque",
) -> Proxy:
    """A mesh drawn on the usual person as a proxy that follows everybody.

    Args:
        ground: From `read_ground`.
        name: For messages.
        points: Vertices on the usual person (n, 3), decimetres.
        triangles: (t, 3).
        faces: Faces of base.obj that may carry it; each point hangs on the nearest.
        part: See `Proxy`, and so are the rest.
        region: As above.
        uvs: As above; zero by default.
        cut: As above; zero by default.
        shade: As above; one by default.
        layer: As above.
    """
    index, weight = anchors(ground.base.faces[faces], ground.usual, points)
    return hang_on(
        ground,
        name,
        points,
        triangles,
        index,
        weight,
        part=part,
        region=region,
        uvs=uvs,
        cut=cut,
        shade=shade,
        layer=layer,
    )


def hang_on(
    ground: Ground,
    name: str,
    points: np.ndarray,
    triangles: np.ndarray,
    index: np.ndarray,
    weight: np.ndarray,
    *,
    part: str,
    region: str,
    uvs: np.ndarray | None = None,
    cut: np.ndarray | None = None,
    shade: np.ndarray | None = None,
    layer: str = "opaque",
) -> Proxy:
    """As `hang`, on the given vertices of the body with the given weights, both (n, 3)."""
    count = len(points)
    at = (weight[..., None] * ground.usual[index]).sum(1)
    there = (weight[..., None] * ground.base.vertices[index]).sum(1)
    offset = points - at

    def rows(values: np.ndarray | None, default: float) -> np.ndarray:
        return np.full(count, default, np.float32) if values is None else np.asarray(values, np.float32)

    return Proxy(
        name=name,
        index=index.astype(np.int64),
        weight=weight.astype(np.float32),
        offset=offset.astype(np.float32),
        scale_refs=ground.scale_refs,
        push=rows(None, 0.0),
        uvs=np.zeros((count, 2), np.float32) if uvs is None else uvs.astype(np.float32),
        triangles=triangles.astype(np.int32),
        texture="",
        part=part,
        region=region,
        layer=layer,
        place=(there + offset).astype(np.float32),
        cut=rows(cut, 0.0),
        shade=rows(shade, 1.0),
    )
