"""From a Person and a Pose to posed surfaces, ready to light and draw."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from glasses import glasses_mesh
from people import Person, Pose, macro_targets, slider_targets
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree

from facegraft.data.synth.formats import Proxy, read_morph, read_obj, read_pose_units, read_proxy, read_rig, subdivide

BODY_COUNT = 19158
LID_GAPS = ((37, 41), (38, 40), (43, 47), (44, 46))


@dataclass(frozen=True)
class Surface:
    """Triangles of one material. `places` are the unshaped body's coordinates, the same for everybody."""

    material: str
    vertices: np.ndarray
    normals: np.ndarray
    uvs: np.ndarray
    places: np.ndarray
    extra: np.ndarray
    triangles: np.ndarray


@dataclass(frozen=True)
class _Topology:
    matrix: csr_matrix
    quads: np.ndarray
    corners: np.ndarray
    """Number of the position of each drawn vertex (they split at texture seams)."""
    uvs: np.ndarray
    triangles: np.ndarray


def _topology(mesh_uvs: np.ndarray, quads: np.ndarray, uv_quads: np.ndarray, count: int, levels: int) -> _Topology:
    matrix = csr_matrix((np.ones(count), (np.arange(count), np.arange(count))), shape=(count, count))
    for _ in range(levels):
        step, new_quads = subdivide(quads, matrix.shape[0], smooth=True)
        uv_step, uv_quads = subdivide(uv_quads, len(mesh_uvs), smooth=False)
        matrix, quads, mesh_uvs = step @ matrix, new_quads, uv_step @ mesh_uvs
    both = np.stack([quads.ravel(), uv_quads.ravel()], 1)
    unique, index = np.unique(both, axis=0, return_inverse=True)
    corner = index.reshape(quads.shape)
    triangles = np.concatenate([corner[:, [0, 1, 2]], corner[:, [0, 2, 3]]])
    triangles = triangles[(triangles[:, 0] != triangles[:, 2]) & (triangles[:, 1] != triangles[:, 2])]
    return _Topology(matrix, quads, unique[:, 0], mesh_uvs[unique[:, 1]], triangles)


def vertex_normals(vertices: np.ndarray, quads: np.ndarray) -> np.ndarray:
    """Area-weighted unit normals; a quad's diagonals give its plane."""
    normal = np.cross(vertices[quads[:, 2]] - vertices[quads[:, 0]], vertices[quads[:, 3]] - vertices[quads[:, 1]])
    flat = quads[:, 2] == quads[:, 3]
    side = np.cross(vertices[quads[:, 1]] - vertices[quads[:, 0]], vertices[quads[:, 2]] - vertices[quads[:, 0]])
    normal[flat] = side[flat]
    out = np.zeros_like(vertices)
    for i in range(4):
        np.add.at(out, quads[:, i], normal)
    return out / np.maximum(np.linalg.norm(out, axis=1, keepdims=True), 1e-12)


class HeadModel:
    """MakeHuman's files, read once. `levels` is the number of subdivisions of skin and shirt."""

    def __init__(self, assets: Path, levels: int = 2) -> None:
        self.data = assets / "data"
        self.base = read_obj(self.data / "3dobjs" / "base.obj")
        self.rig = read_rig(self.data / "rigs", BODY_COUNT)
        self.units = read_pose_units(self.data / "poseunits")
        text = (assets / "derived" / "landmarks68_vertex_ids.json").read_text()
        self.landmarks = np.array(_landmark_ids(text))
        v, body, tights = self.base.vertices, self.base.groups["body"], self.base.groups["helper-tights"]
        corners = v[self.base.faces]
        near = (corners[..., 1].min(1) > 5.0) & (np.abs(corners[..., 0]).max(1) < 1.25)
        worn = (corners[..., 1].max(1) > 3.7) & (np.abs(corners[..., 0]).max(1) < 4.0)
        self.body = self._base_topology(body[near[body]], levels)
        self.tights = self._base_topology(tights[worn[tights]], levels)
        self.neighbours = _neighbour_mean(self.base.faces[tights], BODY_COUNT)
        self.proxies: dict[str, tuple[Proxy, _Topology]] = {}

    def _base_topology(self, rows: np.ndarray, levels: int) -> _Topology:
        return _topology(self.base.uvs, self.base.faces[rows], self.base.face_uvs[rows], BODY_COUNT, levels)

    def proxy(self, path: str) -> tuple[Proxy, _Topology]:
        if path not in self.proxies:
            proxy = read_proxy(self.data / path, BODY_COUNT)
            mesh = proxy.mesh
            quads_only = bool((mesh.faces[:, 2] != mesh.faces[:, 3]).all())
            smooth = path.startswith("hair") and quads_only
            top = _topology(mesh.uvs, mesh.faces, mesh.face_uvs, len(mesh.vertices), int(smooth))
            self.proxies[path] = (proxy, top)
        return self.proxies[path]

    def shape(self, person: Person) -> np.ndarray:
        """The person's neutral body, all helper vertices included."""
        out = self.base.vertices.copy()
        weights = macro_targets(person) | slider_targets(person, self.data / "targets")
        for name, weight in person.extra.items():
            weights[name] = weights.get(name, 0.0) + weight
        for name, weight in weights.items():
            rows, deltas = read_morph(self.data / "targets" / f"{name}.target")
            out[rows] += weight * deltas
        return out

    def _morph(self, person: Person, name: str, weight: float, out: np.ndarray) -> None:
        for race, share in zip(("african", "asian", "caucasian"), person.race, strict=True):
            if share > 0:
                rows, deltas = read_morph(self.data / f"targets/expression/units/{race}/{name}.target")
                out[rows] += weight * share * deltas

    def _close_lids(self, person: Person, pose: Pose, neutral: np.ndarray, out: np.ndarray) -> None:
        """Blink 0..1 whatever the shape of the eyes: the lid gap falls linearly with the morph's weight."""
        blink = pose.blink + 0.30 * max(pose.gaze[1], 0) / 20 - 0.10 * max(-pose.gaze[1], 0) / 20
        for side, gaps in (("left", LID_GAPS[2:]), ("right", LID_GAPS[:2])):
            closed = neutral.copy()
            self._morph(person, f"eye-{side}-closure", 1.0, closed)
            a, b = self.landmarks[[g[0] for g in gaps]], self.landmarks[[g[1] for g in gaps]]
            before = np.mean(neutral[a, 1] - neutral[b, 1])
            after = np.mean(closed[a, 1] - closed[b, 1])
            self._morph(person, f"eye-{side}-closure", blink * before / (before - after), out)

    def _rotations(self, pose: Pose) -> dict[str, np.ndarray]:
        out: dict[str, np.ndarray] = {}

        def add(bone: str, vector: np.ndarray) -> None:
            out[bone] = out.get(bone, 0) + np.asarray(vector, dtype=float)

        for unit, weight in pose.units.items():
            for bone, vector in self.units[unit].items():
                add(bone, weight * vector)
        turn = np.radians([pose.pitch, pose.yaw, -pose.roll])
        for bone, share in (("neck01", 0.2), ("neck02", 0.2), ("neck03", 0.2), ("head", 0.4)):
            add(bone, share * turn)
        add("spine01", np.radians([0, pose.body_yaw, 0]))
        eye = np.radians([pose.gaze[1], pose.gaze[0], 0])
        add("eye.L", eye)
        add("eye.R", eye)
        for side, sign in (("L", 1), ("R", -1)):
            add(f"shoulder01.{side}", np.radians([0, 0, -sign * 6]))
            add(f"upperarm01.{side}", np.radians([0, 0, -sign * 26]))
        return out

    def pose(self, person: Person, pose: Pose) -> tuple[list[Surface], np.ndarray]:
        """Posed surfaces in the camera's world, and the face centre of the neutral head there (decimetres).

        The origin is the middle of the neutral person's eyes.
        """
        neutral = self.shape(person)
        rest = neutral.copy()
        for name, weight in pose.morphs.items():
            self._morph(person, name, weight, rest)
        self._close_lids(person, pose, neutral, rest)
        matrices = self.rig.matrices(neutral, self._rotations(pose))
        eyes = np.array([neutral[self.rig.head_vertices[self.rig.names.index(n)]].mean(0) for n in ("eye.L", "eye.R")])
        origin = eyes.mean(0)

        def skin(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
            mixed = np.einsum("vb,bij->vij", weights, matrices)
            return np.einsum("vij,vj->vi", mixed[..., :3], points) + mixed[..., 3] - origin

        surfaces = self._worn(person, rest, skin)
        hair = next((s for s in surfaces if s.material == "hair"), None)
        surfaces += self._skin_and_shirt(person, neutral, rest, skin, hair)
        if person.glasses:
            vertices, normals, triangles, is_lens = glasses_mesh(eyes, neutral[self.landmarks])
            head = np.zeros((len(vertices), len(self.rig.names)))
            head[:, self.rig.names.index("head")] = 1
            posed, tips = skin(vertices, head), skin(vertices + normals, head)
            for material, pick in (("frame", ~is_lens), ("lens", is_lens)):
                flat = np.zeros((len(posed), 2))
                part = triangles[pick[triangles[:, 0]]]
                surfaces.append(Surface(material, posed, tips - posed, flat, vertices, flat, part))
        centre = (matrices[self.rig.names.index("head")] @ np.append(origin, 1))[:3] - origin
        return surfaces, centre

    def _worn(self, person: Person, rest: np.ndarray, skin) -> list[Surface]:
        parts = [
            ("eye", "eyes/high-poly/high-poly.mhclo"),
            ("teeth", "teeth/teeth_shape01/teeth_shape01.mhclo"),
            ("tongue", "tongue/tongue01/tongue01.mhclo"),
            ("brow", f"eyebrows/eyebrow{person.brow}/eyebrow{person.brow}.mhclo"),
            ("lash", f"eyelashes/eyelashes{person.lashes}/eyelashes{person.lashes}.mhclo"),
        ]
        if person.hair:
            parts.append(("hair", f"hair/{person.hair}/{person.hair}.mhclo"))
        out = []
        for material, path in parts:
            proxy, top = self.proxy(path)
            fitted = proxy.fit(rest)
            if material == "teeth":
                fitted[_upper_teeth(proxy), 1] -= 0.05  # else the upper lip hides them even in a broad smile
            posed = top.matrix @ skin(fitted, proxy.weights @ self.rig.weights)
            normals = vertex_normals(posed, top.quads)
            places = top.matrix @ proxy.fit(self.base.vertices)
            extra = np.zeros((len(top.corners), 2))
            out.append(
                Surface(
                    material,
                    posed[top.corners],
                    normals[top.corners],
                    top.uvs,
                    places[top.corners],
                    extra,
                    top.triangles,
                )
            )
        return out

    def _skin_and_shirt(self, person: Person, neutral, rest, skin, hair: Surface | None) -> list[Surface]:
        top = self.body
        posed = top.matrix @ skin(rest, self.rig.weights)
        places = top.matrix @ self.base.vertices
        extra = np.zeros((len(posed), 2))
        if hair is not None:
            distance, _ = cKDTree(_dense_points(hair)).query(posed)
            extra[:, 0] = np.clip(1 - (distance - 0.01) / 0.045, 0, 1) * (places[:, 1] > 7.1) * person.hairline
        extra[:, 1] = beard_mask(top.matrix @ neutral, neutral[self.landmarks])
        c = top.corners
        normals = vertex_normals(posed, top.quads)
        out = [Surface("skin", posed[c], normals[c], top.uvs, places[c], extra[c], top.triangles)]
        cloth = rest.copy()
        for _ in range(8):
            cloth = np.where(self.neighbours[1][:, None], self.neighbours[0] @ cloth, cloth)
        top = self.tights
        posed = top.matrix @ skin(cloth, self.rig.weights)
        normals = vertex_normals(posed, top.quads)
        places = top.matrix @ self.base.vertices
        posed = posed + normals * (0.045 + 0.05 * np.clip((5.6 - places[:, 1:2]) / 1.5, 0, 1))
        c = top.corners
        flat = np.zeros((len(c), 2))
        return [*out, Surface("shirt", posed[c], normals[c], top.uvs, places[c], flat, top.triangles)]


def _upper_teeth(proxy: Proxy) -> np.ndarray:
    """Which vertices hang on the helper of the upper teeth."""
    return np.asarray(proxy.weights[:, 15060:15128].sum(1)).ravel() > 0.5


def _landmark_ids(text: str) -> list[int]:
    value = json.loads(text)
    return value if isinstance(value, list) else next(v for v in value.values() if isinstance(v, list))


def _neighbour_mean(quads: np.ndarray, count: int) -> tuple[csr_matrix, np.ndarray]:
    """Half own place, half the neighbours' mean; and which vertices it moves."""
    pairs = np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2)
    pairs = np.unique(np.sort(np.concatenate([pairs, pairs[:, ::-1]]), 1), axis=0)
    pairs = np.concatenate([pairs, pairs[:, ::-1]])
    matrix = csr_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    degree = np.asarray(matrix.sum(1)).ravel()
    scale = csr_matrix((0.5 / np.maximum(degree, 1), (np.arange(count), np.arange(count))), shape=(count, count))
    half = csr_matrix((np.full(count, 0.5), (np.arange(count), np.arange(count))), shape=(count, count))
    return (scale @ matrix + half).tocsr(), degree > 0


def _dense_points(surface: Surface) -> np.ndarray:
    """Points spread over the triangles, so distances do not depend on the mesh's density."""
    a, b, c = (surface.vertices[surface.triangles[:, i]] for i in range(3))
    return np.concatenate([a, b, c, (a + b) / 2, (b + c) / 2, (c + a) / 2, (a + b + c) / 3])


def beard_mask(vertices: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """1 where a man's beard grows: moustache, chin and jaw; 0 elsewhere."""
    size = np.linalg.norm(landmarks[36] - landmarks[45])
    x, y, z = (vertices - landmarks[33]).T / size
    jaw_line = -0.05 - 0.55 * np.clip(0.55 - np.abs(x), -0.2, 0.55) + 0.0 * z
    cheek_top = np.where(np.abs(x) < 0.32, -0.03, jaw_line + 0.28)
    above = np.clip((cheek_top - y) / 0.10, 0, 1)
    chin = (landmarks[8] - landmarks[33])[1] / size
    below = np.clip((y - (chin - 0.12 - 0.0 * x)) / 0.15, 0, 1)
    front = np.clip((z + 0.75) / 0.2, 0, 1)
    return above * below * front
