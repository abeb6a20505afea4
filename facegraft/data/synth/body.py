"""MakeHuman's body in batches: morph, pose, skin; and the surfaces that people wear.

Everything is a tensor, so a CPU and a GPU run the same lines. A batch holds one person per row. The world's origin is
the face centre of the posed head, whoever it is, so that one camera suits everybody.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.synth.formats import read_morph, read_obj, read_pose_units, read_rig
from facegraft.data.synth.landmarks import LANDMARKS68
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.scene import FACE_CENTRE_DM

BODY_COUNT = 19158
KEPT_ABOVE, KEPT_WITHIN = 0.0, 4.2
"""Base vertices kept: y above, |x| within (decimetres); arms below and legs are never seen."""
SKIN_ABOVE, SKIN_WITHIN = 5.0, 1.25
UPPER_LIDS, LOWER_LIDS = ((43, 44), (37, 38)), ((47, 46), (41, 40))
"""Rows of the 68 landmarks, left eye first."""
WIDER = 0.24
"""MakeHuman's eyes are 7 mm open where people's are 9 to 10: by how much lids open beyond the neutral shape."""
NECK_SHARES = {"neck01": 0.2, "neck02": 0.2, "neck03": 0.2, "head": 0.4}
RACES = ("african", "asian", "caucasian")


@dataclass(frozen=True)
class Surface:
    """Triangles whose corners split at texture seams; `corner` gives the position's number of each drawn vertex."""

    corner: Tensor
    uvs: Tensor
    triangles: Tensor


@dataclass(frozen=True)
class Motion:
    """What a batch of heads does; angles in degrees, signs as `core.types.Faces` has them."""

    head: Float[Tensor, "b 3"]
    """Yaw, pitch, roll of the head against the camera."""
    body_yaw: Float[Tensor, "b"]
    gaze: Float[Tensor, "b 2 2"]
    """Left eye, right eye: yaw and pitch in the head."""
    blink: Float[Tensor, "b 2"]
    """Left, right: 0 open, 1 closed."""
    morphs: Float[Tensor, "b m"]
    units: Float[Tensor, "b u"]


@dataclass(frozen=True)
class Posed:
    """A batch of posed bodies in the camera's world."""

    rest: Float[Tensor, "b v 3"]
    """With expression, before posing."""
    vertices: Float[Tensor, "b v 3"]
    normals: Float[Tensor, "b v 3"]
    bones: Float[Tensor, "b n 3 4"]
    """From the rest pose to the world."""
    lid_gaps: Float[Tensor, "b 2"]


class Body:
    """MakeHuman's base mesh, rig and expressions, read once."""

    def __init__(self, assets: Path, device: torch.device | str = "cpu") -> None:
        self.data, self.device = assets / "data", torch.device(device)
        base = read_obj(self.data / "3dobjs" / "base.obj")
        self.base = base
        v = base.vertices
        kept = (v[:, 1] > KEPT_ABOVE) & (np.abs(v[:, 0]) < KEPT_WITHIN)
        self.ids = np.flatnonzero(kept)
        self.local = np.full(BODY_COUNT, -1)
        self.local[self.ids] = np.arange(len(self.ids))
        self.place = self._tensor(v[self.ids])
        self.landmarks = self._tensor(self.local[np.array(LANDMARKS68)])
        self._read_rig()
        self._read_expressions()
        quads = base.groups["body"]
        corners = v[base.faces[quads]]
        near = (corners[..., 1].min(1) > SKIN_ABOVE) & (np.abs(corners[..., 0]).max(1) < SKIN_WITHIN)
        self.skin = self._surface(base.faces[quads[near]], base.face_uvs[quads[near]])
        self.incident = self._tensor(incidence(self.skin_triangles, len(self.ids)))

    def _tensor(self, values: np.ndarray) -> Tensor:
        kind = torch.float32 if values.dtype.kind == "f" else torch.int64
        return torch.as_tensor(values, dtype=kind, device=self.device)

    def _surface(self, quads: np.ndarray, uv_quads: np.ndarray) -> Surface:
        both = np.stack([self.local[quads].ravel(), uv_quads.ravel()], 1)
        unique, index = np.unique(both, axis=0, return_inverse=True)
        corner = index.reshape(quads.shape)
        triangles = np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]])
        self.skin_triangles = unique[:, 0][triangles]
        return Surface(self._tensor(unique[:, 0]), self._tensor(self.base.uvs[unique[:, 1]]), self._tensor(triangles))

    def _read_rig(self) -> None:
        rig = read_rig(self.data / "rigs", BODY_COUNT)
        self.units_by_name = read_pose_units(self.data / "poseunits")
        turning = {bone for unit in self.units_by_name.values() for bone in unit} | set(NECK_SHARES)
        turning |= {"spine01", "eye.L", "eye.R", "shoulder01.L", "shoulder01.R", "upperarm01.L", "upperarm01.R"}
        names = [n for n in rig.names if n in turning]
        column = {name: i for i, name in enumerate(names)}
        owner: list[int] = []
        parents: list[int] = []
        for i, name in enumerate(rig.names):  # a bone that never turns moves with its nearest ancestor that does
            up = rig.parents[i]
            owner.append(column.get(name, owner[up] if up >= 0 else -1))
            if name in column:
                parents.append(owner[up] if up >= 0 else -1)
        weights = np.zeros((BODY_COUNT, len(names) + 1))
        for i, bone in enumerate(owner):
            weights[:, bone] += rig.weights[:, i]  # -1: the last column, which stands still
        joints = np.zeros((len(names), len(self.ids)))
        for bone_name, row in column.items():
            ids = self.local[rig.head_vertices[rig.names.index(bone_name)]]
            joints[row, ids[ids >= 0]] = 1 / max((ids >= 0).sum(), 1)
        self.bones, self.parents = tuple(names), tuple(parents)
        self.bone_row = column
        self.weights = self._tensor(weights[self.ids])
        self.joints = self._tensor(joints)
        self.unit_names = tuple(self.units_by_name)
        turns = np.zeros((len(self.unit_names), len(names), 3))
        for i, unit in enumerate(self.unit_names):
            for bone_name, vector in self.units_by_name[unit].items():
                turns[i, column[bone_name]] = vector
        self.unit_turns = self._tensor(turns)

    def _read_expressions(self) -> None:
        folder = self.data / "targets" / "expression" / "units"
        self.morph_names = tuple(sorted(p.stem for p in (folder / RACES[0]).glob("*.target")))
        deltas = np.zeros((3, len(self.morph_names), BODY_COUNT, 3), np.float32)
        for r, race in enumerate(RACES):
            for m, name in enumerate(self.morph_names):
                rows, values = read_morph(folder / race / f"{name}.target")
                deltas[r, m, rows] = values
        moved = np.flatnonzero(np.abs(deltas).max((0, 1, 3)) > 0)
        moved = moved[self.local[moved] >= 0]
        self.moved = self._tensor(self.local[moved])
        self.morphs = self._tensor(deltas[:, :, moved].reshape(3 * len(self.morph_names), -1))
        self.closures = [self.morph_names.index(f"eye-{side}-closure") for side in ("left", "right")]

    def shape(self, weights: dict[str, float]) -> Float[Tensor, "v 3"]:
        """A neutral body from target names below data/targets and their weights."""
        out = self.base.vertices.copy()
        for name, weight in weights.items():
            path = self.data / "targets" / f"{name}.target"
            rows, deltas = read_morph(path)
            out[rows] += weight * deltas
        return self._tensor(out[self.ids])

    def mean_adult(self) -> Float[Tensor, "v 3"]:
        """Half man, half woman, a third of each race, young."""
        weights = {f"macrodetails/universal-{s}-young-averagemuscle-averageweight": 0.5 for s in ("female", "male")}
        weights |= {f"macrodetails/{race}-{s}-young": 1 / 6 for race in RACES for s in ("female", "male")}
        return self.shape(weights)

    def pose(self, neutral: Float[Tensor, "b v 3"], race: Float[Tensor, "b 3"], motion: Motion) -> Posed:
        """Expression, lids, bones; then the face centre of the posed head goes to the origin."""
        rest, gaps = self._express(neutral, race, motion)
        bones = self._turn(neutral, motion)
        rows = [self.bone_row["eye.L"], self.bone_row["eye.R"]]
        middle = torch.einsum("ev,bvj->bj", self.joints[rows], neutral) / 2
        centre = middle + middle.new_tensor(FACE_CENTRE_DM)
        head = bones[:, self.bone_row["head"]]
        shift = torch.einsum("bij,bj->bi", head[..., :3], centre) + head[..., 3]
        bones = torch.cat([bones[..., :3], bones[..., 3:] - shift[:, None, :, None]], -1)
        vertices = skin_points(rest, self.weights, bones)
        normals = vertex_normals(vertices, torch.as_tensor(self.skin_triangles, device=self.device), self.incident)
        return Posed(rest, vertices, normals, bones, gaps)

    def _express(self, neutral: Tensor, race: Tensor, motion: Motion) -> tuple[Tensor, Tensor]:
        """Adds the morphs; lids close by a share of each person's own gap, which falls linearly with the morph."""
        count = len(neutral)
        mixed = (race[:, :, None] * motion.morphs[:, None, :]).reshape(count, -1)
        face = neutral[:, self.moved] + (mixed @ self.morphs).reshape(count, -1, 3)
        rest = neutral.clone()
        rest[:, self.moved] = face
        gap = self._gaps(rest)
        for side, morph in enumerate(self.closures):
            rows = torch.arange(3, device=self.device) * len(self.morph_names) + morph
            closing = (race @ self.morphs[rows]).reshape(count, -1, 3)
            full = neutral.clone()
            full[:, self.moved] += closing
            fall = (self._gaps(neutral) - self._gaps(full))[:, side].clamp(min=1e-4)
            blink = motion.blink[:, side] * (1 + WIDER) - WIDER
            amount = blink * gap[:, side].clamp(min=0) / fall
            rest[:, self.moved] += amount[:, None, None] * closing
        return rest, self._gaps(rest)

    def _gaps(self, rest: Tensor) -> Tensor:
        points = rest[:, self.landmarks, 1]
        return torch.stack(
            [
                points[:, list(u)].mean(1) - points[:, list(d)].mean(1)
                for u, d in zip(UPPER_LIDS, LOWER_LIDS, strict=True)
            ],
            1,
        )

    def _turn(self, neutral: Tensor, motion: Motion) -> Tensor:
        """World transforms of the bones (b, n + 1, 3, 4); the last one stands still."""
        count = len(neutral)
        turns = torch.einsum("bk,knj->bnj", motion.units, self.unit_turns)
        body = rotation(radians(motion.body_yaw)[:, None] * neutral.new_tensor([[0.0, 1.0, 0.0]]))
        neck = rotation_vector(body.transpose(1, 2) @ head_rotation(motion.head))
        for name, share in NECK_SHARES.items():
            turns[:, self.bone_row[name]] += share * neck
        turns[:, self.bone_row["spine01"], 1] += radians(motion.body_yaw)
        for side, name in enumerate(("eye.L", "eye.R")):
            gaze = radians(motion.gaze[:, side])
            turns[:, self.bone_row[name]] += torch.stack([-gaze[:, 1], gaze[:, 0], 0 * gaze[:, 0]], 1)
        for name, sign in (("L", 1.0), ("R", -1.0)):  # arms hang instead of standing out
            turns[:, self.bone_row[f"shoulder01.{name}"], 2] -= sign * float(np.radians(6))
            turns[:, self.bone_row[f"upperarm01.{name}"], 2] -= sign * float(np.radians(26))
        local = rotation(turns.reshape(-1, 3)).reshape(count, -1, 3, 3)
        joints = torch.einsum("nv,bvj->bnj", self.joints, neutral)
        moves = joints - torch.einsum("bnij,bnj->bni", local, joints)
        still = torch.eye(3, 4, device=self.device).expand(count, 3, 4)
        out: list[Tensor] = []
        for i, parent in enumerate(self.parents):
            up = still if parent < 0 else out[parent]
            turn = up[..., :3] @ local[:, i]
            out.append(torch.cat([turn, up[..., :3] @ moves[:, i, :, None] + up[..., 3:]], -1))
        return torch.stack([*out, still], 1)

    def worn(self, proxy: Proxy) -> Worn:
        """A proxy made ready to follow this body."""
        rows = self.local[proxy.index]
        weight = np.where(proxy.weight == 0, 0, proxy.weight)
        if ((rows < 0) & (weight != 0)).any():
            raise ValueError("a worn surface hangs on vertices that are not kept: raise KEPT_WITHIN")
        rows = np.maximum(rows, 0)
        refs = [(int(self.local[a]), int(self.local[b]), float(d)) for a, b, d in proxy.scale_refs]
        index, mix = self._tensor(rows), self._tensor(weight)
        skin = (self.weights[index] * mix[..., None]).sum(1)
        return Worn(index, mix, self._tensor(proxy.offset), self._tensor(proxy.push), tuple(refs), skin)


@dataclass(frozen=True)
class Worn:
    """A worn surface on the device."""

    index: Tensor
    weight: Tensor
    offset: Tensor
    push: Tensor
    scale_refs: tuple[tuple[int, int, float], ...]
    skin: Tensor

    def _mixed(self, values: Float[Tensor, "r v 3"]) -> Float[Tensor, "r n 3"]:
        """Values of the body's vertices, mixed as this surface hangs on them."""
        parts = (values.index_select(1, self.index[:, k]) * self.weight[:, k, None] for k in range(3))
        first, second, third = parts
        return first + second + third

    def fit(self, posed: Posed, rows: Tensor, length: Float[Tensor, "r"] | None = None) -> Float[Tensor, "r n 3"]:
        """Where the surface is for these rows of the batch; `length` multiplies how far it stands off the body."""
        rest = posed.rest[rows]
        scale = torch.stack(
            [
                (rest[:, a, i] - rest[:, b, i]).abs() / d if d else rest.new_ones(len(rest))
                for i, (a, b, d) in enumerate(self.scale_refs)
            ],
            1,
        )
        far = rest.new_ones(len(rest), 1, 1) if length is None else length[:, None, None]
        points = self._mixed(rest) + self.offset * scale[:, None] * far
        out = skin_points(points, self.skin, posed.bones[rows])
        if bool((self.push != 0).any()):
            normal = self._mixed(posed.normals[rows])
            out = out + self.push[:, None] * far * torch.nn.functional.normalize(normal, dim=-1)
        return out


def incidence(triangles: np.ndarray, count: int) -> np.ndarray:
    """For each vertex the triangles that touch it, filled up with the number of triangles (a zero row)."""
    vertex, order = np.sort(triangles.ravel()), np.argsort(triangles.ravel(), kind="stable") // 3
    start = np.searchsorted(vertex, np.arange(count))
    rank = np.arange(len(vertex)) - start[vertex]
    out = np.full((count, int(rank.max()) + 1), len(triangles))
    out[vertex, rank] = order
    return out


def vertex_normals(vertices: Float[Tensor, "b v 3"], triangles: Tensor, incident: Tensor) -> Float[Tensor, "b v 3"]:
    """Area-weighted unit normals; zero where no triangle is."""
    a, b, c = (vertices.index_select(1, triangles[:, i]) for i in range(3))
    flat = torch.linalg.cross(b - a, c - a)
    flat = torch.cat([flat, flat.new_zeros(len(flat), 1, 3)], 1)
    total = flat.index_select(1, incident[:, 0])
    for column in incident.T[1:]:
        total += flat.index_select(1, column)
    return torch.nn.functional.normalize(total, dim=-1)


def skin_points(points: Tensor, weights: Tensor, bones: Tensor) -> Tensor:
    """Linear blend skinning: points (b, n, 3), weights (n, k), bones (b, k, 3, 4)."""
    count = len(bones)
    mixed = torch.matmul(weights, bones.reshape(count, -1, 12)).reshape(count, -1, 3, 4)
    return (mixed[..., :3] * points[:, :, None]).sum(-1) + mixed[..., 3]


def radians(degrees: Tensor) -> Tensor:
    return degrees * (np.pi / 180)


def rotation(vector: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """Matrices of rotation vectors in radians (Rodrigues)."""
    angle = vector.norm(dim=1, keepdim=True).clamp(min=1e-8)
    x, y, z = (vector / angle).unbind(1)
    zero = torch.zeros_like(x)
    k = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], 1).reshape(-1, 3, 3)
    s, c = angle.sin()[..., None], angle.cos()[..., None]
    eye = torch.eye(3, device=vector.device)
    return eye + s * k + (1 - c) * (k @ k)


def rotation_vector(matrix: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 3"]:
    """The inverse of `rotation` for angles below 180 degrees."""
    cosine = ((matrix.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)
    angle = cosine.arccos()
    axis = torch.stack(
        [
            matrix[:, 2, 1] - matrix[:, 1, 2],
            matrix[:, 0, 2] - matrix[:, 2, 0],
            matrix[:, 1, 0] - matrix[:, 0, 1],
        ],
        1,
    )
    scale = torch.where(angle < 1e-4, torch.full_like(angle, 0.5), angle / (2 * angle.sin()).clamp(min=1e-6))
    return axis * scale[:, None]


def head_rotation(angles: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Pitch up, then yaw to the frame's right, then roll clockwise in the frame, as a matrix of the camera's world."""
    zero = torch.zeros_like(angles[:, 0])
    yaw, pitch, roll = radians(angles).unbind(1)
    turn = rotation(torch.stack([zero, yaw, zero], 1)) @ rotation(torch.stack([-pitch, zero, zero], 1))
    return rotation(torch.stack([zero, zero, -roll], 1)) @ turn
