"""Readers for MakeHuman's open formats: OBJ, morph targets, fitted proxies, rig, pose units; and subdivision.

Decimetres, y up, z towards the viewer, x > 0 = the person's left. Vertex numbers start at 0.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix, vstack
from scipy.spatial.transform import Rotation


@dataclass(frozen=True)
class Mesh:
    """Corner lists: row i of `faces` and of `face_uvs` describe the same face; a triangle repeats its last corner."""

    vertices: np.ndarray
    uvs: np.ndarray
    faces: np.ndarray
    face_uvs: np.ndarray
    groups: dict[str, np.ndarray]


def read_obj(path: Path) -> Mesh:
    """Read vertices, texture coordinates, faces and the face numbers of each group."""
    vertices: list[list[float]] = []
    uvs: list[list[float]] = []
    faces: list[list[int]] = []
    face_uvs: list[list[int]] = []
    groups: dict[str, list[int]] = {}
    group = "all"
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()[:3]])
        elif kind == "vt":
            uvs.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [c.split("/") for c in rest.split()]
            corners += [corners[-1]] * (4 - len(corners))
            groups.setdefault(group, []).append(len(faces))
            faces.append([int(c[0]) - 1 for c in corners])
            face_uvs.append([int(c[1]) - 1 for c in corners])
    index = {name: np.array(rows) for name, rows in groups.items()}
    return Mesh(np.array(vertices), np.array(uvs), np.array(faces), np.array(face_uvs), index)


@cache
def read_morph(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Morph target: the vertex numbers it moves and by how much (decimetres)."""
    rows = [line.split() for line in path.read_text().splitlines() if line.strip() and line[0] != "#"]
    values = np.array(rows, dtype=float).reshape(-1, 4)
    return values[:, 0].astype(int), values[:, 1:]


@dataclass(frozen=True)
class Proxy:
    """A mesh worn by the body: vertices = weights @ body + offsets * scale."""

    mesh: Mesh
    weights: csr_matrix
    offsets: np.ndarray
    scales: tuple[tuple[int, int, float], ...]

    def fit(self, body: np.ndarray) -> np.ndarray:
        scale = [abs(body[a, axis] - body[b, axis]) / size for axis, (a, b, size) in enumerate(self.scales)]
        return self.weights @ body + self.offsets * np.array(scale)


def read_proxy(path: Path, body_count: int) -> Proxy:
    """Read a .mhclo file and the mesh beside it."""
    scales: dict[str, tuple[int, int, float]] = {}
    rows: list[list[float]] = []
    obj_file, reading = "", False
    for line in path.read_text().splitlines():
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0] == "obj_file":
            obj_file = words[1]
        elif words[0].endswith("_scale") and len(words) == 4:
            scales[words[0][0]] = (int(words[1]), int(words[2]), float(words[3]))
        elif words[0] == "verts":
            reading = True
        elif words[0] == "delete_verts":
            reading = False
        elif reading and words[0].isdigit():
            rows.append([float(w) for w in words])
    full = np.array([r if len(r) == 9 else [r[0], 0, 0, 1, 0, 0, 0, 0, 0] for r in rows])
    row = np.repeat(np.arange(len(full)), 3)
    shape = (len(full), body_count)
    weights = coo_matrix((full[:, 3:6].ravel(), (row, full[:, :3].astype(int).ravel())), shape=shape).tocsr()
    default = (0, 0, 1.0)
    axes = tuple(scales.get(axis, default) for axis in "xyz")
    return Proxy(read_obj(path.parent / obj_file), weights, full[:, 6:9], axes)


def subdivide(quads: np.ndarray, count: int, *, smooth: bool) -> tuple[csr_matrix, np.ndarray]:
    """One Catmull-Clark step (`smooth`) or one plain split into four; old vertices keep their numbers.

    Returns:
        Matrix from the old to the new vertices, and the new quads in an order that does not depend on `smooth`.
    """
    face_count = len(quads)
    pairs = np.sort(np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2), 1)
    edges, edge_of = np.unique(pairs, axis=0, return_inverse=True)
    edge_of = edge_of.reshape(face_count, 4)
    faces_of_edge = np.bincount(edge_of.ravel(), minlength=len(edges))
    ones = np.ones(face_count * 4)
    face_rows = np.repeat(np.arange(face_count), 4)
    to_face = coo_matrix((ones / 4, (face_rows, quads.ravel())), shape=(face_count, count)).tocsr()
    edge_rows = np.repeat(np.arange(len(edges)), 2)
    middle = coo_matrix((np.full(len(edges) * 2, 0.5), (edge_rows, edges.ravel())), shape=(len(edges), count)).tocsr()
    keep = coo_matrix((np.ones(count), (np.arange(count), np.arange(count))), shape=(count, count)).tocsr()
    to_edge, to_old = middle, keep
    if smooth:
        to_edge, to_old = _smooth_rules(quads, count, edges, edge_of, faces_of_edge, to_face, middle, keep)
    matrix = vstack([to_old, to_edge, to_face]).tocsr()
    around = edge_of + count
    centre = np.arange(face_count) + count + len(edges)
    corners = [np.stack([quads[:, i], around[:, i], centre, around[:, i - 1]], 1) for i in range(4)]
    return matrix, np.concatenate(corners)


def _smooth_rules(
    quads: np.ndarray,
    count: int,
    edges: np.ndarray,
    edge_of: np.ndarray,
    faces_of_edge: np.ndarray,
    to_face: csr_matrix,
    middle: csr_matrix,
    keep: csr_matrix,
) -> tuple[csr_matrix, csr_matrix]:
    """Catmull-Clark weights for old vertices and edge points; open borders follow the curve rules."""
    face_rows = np.repeat(np.arange(len(quads)), 4)
    ones = np.ones(len(face_rows))
    edge_from_face = coo_matrix((ones, (edge_of.ravel(), face_rows)), shape=(len(edges), len(quads))).tocsr()
    inner = faces_of_edge == 2
    half = _rows(np.where(inner, 0.5, 1.0)) @ middle
    to_edge = half + _rows(np.where(inner, 0.25, 0.0)) @ edge_from_face @ to_face
    vertex_from_face = coo_matrix((ones, (quads.ravel(), face_rows)), shape=(count, len(quads))).tocsr()
    ends = coo_matrix((np.ones(edges.size), (edges.ravel(), np.repeat(np.arange(len(edges)), 2))))
    vertex_from_edge = coo_matrix((ends.data, (ends.row, ends.col)), shape=(count, len(edges))).tocsr()
    valence = np.maximum(np.asarray(vertex_from_face.sum(1)).ravel(), 1)
    border = np.asarray(vertex_from_edge @ (~inner).astype(float)).ravel() > 0
    unused = np.asarray(vertex_from_face.sum(1)).ravel() == 0
    w = np.where(border | unused, 0.0, 1.0)
    soft = _rows(w / valence**2) @ (vertex_from_face @ to_face)
    soft = soft + _rows(2 * w / valence**2) @ (vertex_from_edge @ middle) + _rows(w * (valence - 3) / valence) @ keep
    rim = vertex_from_edge @ _rows((~inner).astype(float)) @ middle
    to_old = soft + _rows(np.where(border, 0.25, 0.0)) @ rim
    to_old = to_old + _rows(np.where(border, 0.5, 0.0) + np.where(unused, 1.0, 0.0)) @ keep
    return to_edge, to_old


def _rows(scale: np.ndarray) -> csr_matrix:
    n = np.arange(len(scale))
    return coo_matrix((scale, (n, n)), shape=(len(scale), len(scale))).tocsr()


@dataclass(frozen=True)
class Rig:
    """Bones, parents before children, and dense skin weights (body vertices, bones)."""

    names: tuple[str, ...]
    parents: tuple[int, ...]
    head_vertices: tuple[np.ndarray, ...]
    weights: np.ndarray

    def matrices(self, rest: np.ndarray, rotations: dict[str, np.ndarray]) -> np.ndarray:
        """World transforms (bones, 3, 4); rotation vectors (radians) turn about world axes at the rest joints."""
        out = np.zeros((len(self.names), 4, 4))
        for i, name in enumerate(self.names):
            local = np.eye(4)
            if name in rotations:
                joint = rest[self.head_vertices[i]].mean(0)
                local[:3, :3] = Rotation.from_rotvec(rotations[name]).as_matrix()
                local[:3, 3] = joint - local[:3, :3] @ joint
            out[i] = local if self.parents[i] < 0 else out[self.parents[i]] @ local
        return out[:, :3]


def read_rig(folder: Path, body_count: int) -> Rig:
    skeleton = json.loads((folder / "default.mhskel").read_text())
    skin = json.loads((folder / "default_weights.mhw").read_text())["weights"]
    bones, order = skeleton["bones"], []

    def add(name: str) -> None:
        parent = bones[name]["parent"]
        if parent and parent not in order:
            add(parent)
        if name not in order:
            order.append(name)

    for name in bones:
        add(name)
    weights = np.zeros((body_count, len(order)))
    for name, rows in skin.items():
        for vertex, weight in rows:
            weights[int(vertex), order.index(name)] = weight
    weights[weights.sum(1) == 0, order.index("head")] = 1
    weights /= weights.sum(1, keepdims=True)
    parents = tuple(order.index(bones[n]["parent"]) if bones[n]["parent"] else -1 for n in order)
    heads = tuple(np.array(skeleton["joints"][bones[n]["head"]]) for n in order)
    return Rig(tuple(order), parents, heads, weights)


def read_pose_units(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Pose unit -> bone -> rotation vector in our axes (the BVH is z-up, facing -y)."""
    names = json.loads((folder / "face-poseunits.json").read_text())["framemapping"]
    lines = (folder / "face-poseunits.bvh").read_text().splitlines()
    bones = [(w[1], 6 if w[0] == "ROOT" else 3) for w in (x.split() for x in lines) if w and w[0] in ("ROOT", "JOINT")]
    start = next(i for i, line in enumerate(lines) if line.startswith("Frame Time")) + 1
    swap = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]])
    units: dict[str, dict[str, np.ndarray]] = {}
    for name, line in zip(names, lines[start:], strict=False):
        values, at = [float(x) for x in line.split()], 0
        units[name] = {}
        for bone, channels in bones:
            x, y, z = values[at + channels - 3 : at + channels]
            at += channels
            vector = swap @ Rotation.from_euler("XYZ", [x, y, z], degrees=True).as_rotvec()
            if np.linalg.norm(vector) > 1e-4:
                units[name][bone] = vector
    return units
