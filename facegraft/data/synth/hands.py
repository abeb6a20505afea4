"""Hands before a face: the base mesh's own left hand, its fingers posed by the rig."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from facegraft.core.errors import BadInputError
from facegraft.data.synth.formats import Rig, read_rig
from facegraft.data.synth.ground import BODY_COUNT, Ground
from facegraft.data.synth.solid import Material, PropMesh, finished

SPACING = 0.048
"""Decimetres between vertices of the hand at least: its mesh is finer than pictures of faces need."""
SLEEVE = 0.55
"""Share of the forearm, from the wrist, that is bare."""


Five = tuple[int, int, int, int, int]
"""Degrees of thumb, index, middle, ring and little finger."""


@dataclass(frozen=True)
class Fingers:
    """Angles of a hand; 0 is straight and side by side."""

    curl: Five
    """Of the knuckles."""
    bend: Five
    """Of the two joints further out."""
    spread: Five = (0, 0, 0, 0, 0)
    """Towards the thumb."""
    wrist: tuple[int, int] = (12, 0)
    """Degrees: bent to the palm, tilted to the thumb."""


POSES = {
    "flat": Fingers((0, 4, 3, 3, 5), (5, 5, 5, 6, 8), (0, 4, 0, -4, -9)),
    "spread": Fingers((-5, -4, -4, -4, -4), (2, 6, 6, 7, 8), (16, 17, 2, -14, -29)),
    "covering": Fingers((8, 14, 14, 15, 16), (12, 12, 13, 14, 15), (0, -3, 0, 2, 5), (22, 0)),
    "fist": Fingers((12, 72, 76, 80, 84), (48, 84, 84, 82, 80), (-4, 2, 0, -1, -2), (14, 0)),
    "pointing": Fingers((14, 6, 74, 78, 82), (50, 5, 84, 82, 80), (-4, 2, 0, -1, -2)),
    "peace": Fingers((20, 2, 2, 76, 80), (58, 5, 5, 82, 80), (-6, 11, -11, -3, -3)),
    "holding": Fingers((6, 38, 40, 42, 44), (22, 38, 38, 38, 38), (-14, 2, 0, -1, -2)),
    "holding-phone": Fingers((10, 8, 8, 9, 10), (26, 14, 14, 15, 16), (2, 6, 0, -6, -12)),
    "holding-microphone": Fingers((18, 58, 60, 62, 64), (34, 66, 66, 64, 64), (-22, 0, 0, 0, 0)),
    "holding-cup": Fingers((6, 34, 36, 38, 40), (22, 38, 38, 38, 38), (-16, 3, 0, -2, -4)),
    "holding-book": Fingers((26, 24, 24, 26, 28), (16, 16, 16, 18, 18), (-10, 4, 0, -3, -6)),
}
_NAMES = ("1", "2", "3", "4", "5")


def read_hand_rig(ground: Ground) -> Rig:
    return read_rig(ground.assets / "data" / "rigs", BODY_COUNT)


def hand_mesh(ground: Ground, rig: Rig, pose: str) -> PropMesh:
    """A left hand and forearm.

    Fingers point to +y, the palm faces -z (away from the viewer), the thumb points to +x; the origin is the middle of
    the palm's surface. Materials: the skin of whoever's hand it is, and a sleeve.

    Raises:
        BadInputError: There is no such pose.
    """
    if pose not in POSES:
        raise BadInputError(f"no hand is posed {pose!r}; expected one of {', '.join(POSES)}")
    joints = {name: ground.base.vertices[rig.head_vertices[i]].mean(0) for i, name in enumerate(rig.names)}
    frame = _frame(joints)
    share = _bone_shares(rig)
    quads = ground.base.faces[ground.base.groups["body"]]
    quads = quads[(share[0] + share[1])[quads].mean(1) > 0.5]
    posed = _posed(ground.base.vertices, rig, joints, frame, POSES[pose])
    bone = rig.weights.argmax(1)
    quads = _thinned(quads, ground.base.vertices, bone)
    used, index = np.unique(quads, return_inverse=True)
    q = index.reshape(-1, 4)
    triangles = np.concatenate([q[:, [0, 1, 2]], q[:, [0, 2, 3]]])
    solid = (triangles[:, 0] != triangles[:, 1]) & (triangles[:, 1] != triangles[:, 2])
    triangles = triangles[solid & (triangles[:, 0] != triangles[:, 2])]
    points = (posed[used] - _palm(joints, frame)) @ frame.T
    along = (ground.base.vertices[used] - joints["wrist.L"]) @ frame[1]
    elbow = (joints["lowerarm01.L"] - joints["wrist.L"]) @ frame[1]
    covered = along < SLEEVE * elbow
    material = covered[triangles].all(1).astype(np.int32)
    puffed = np.flatnonzero(covered)
    mesh = finished(points, triangles, _uvs(points), material, (Material("skin", 0.5), Material("sleeve", 0.9)))
    vertices = mesh.vertices.copy()
    vertices[puffed] += 0.06 * mesh.normals[puffed]
    return finished(vertices, triangles, mesh.uvs, material, mesh.materials)


def _frame(joints: dict[str, np.ndarray]) -> np.ndarray:
    """Rows: thumb side, fingers, back of the hand."""
    ahead = joints["finger3-1.L"] - joints["wrist.L"]
    ahead /= np.linalg.norm(ahead)
    across = joints["finger2-1.L"] - joints["finger5-1.L"]
    across -= (across @ ahead) * ahead
    across /= np.linalg.norm(across)
    return np.stack([across, ahead, np.cross(across, ahead)])


def _palm(joints: dict[str, np.ndarray], frame: np.ndarray) -> np.ndarray:
    middle = 0.45 * joints["wrist.L"] + 0.55 * joints["finger3-1.L"]
    return np.asarray(middle - 0.16 * frame[2])


def _bone_shares(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """How much of each vertex belongs to the hand, and to the forearm."""
    hand = [i for i, n in enumerate(rig.names) if n.endswith(".L") and n.startswith(("finger", "metacarpal", "wrist"))]
    arm = [rig.names.index("lowerarm01.L"), rig.names.index("lowerarm02.L")]
    return rig.weights[:, hand].sum(1), rig.weights[:, arm].sum(1)


def _posed(
    vertices: np.ndarray, rig: Rig, joints: dict[str, np.ndarray], frame: np.ndarray, pose: Fingers
) -> np.ndarray:
    """Body vertices after the fingers were posed; the hand itself stays where it was, the arm bends at the wrist."""
    turns: dict[str, np.ndarray] = {}
    back = frame[2]
    for i, name in enumerate(_NAMES):
        first, second, third = (joints[f"finger{name}-{k}.L"] for k in (1, 2, 3))
        along = third - first
        along /= np.linalg.norm(along)
        inward = -back if name != "1" else _thumb_side(frame)
        hinge = np.cross(along, inward)
        hinge /= np.linalg.norm(hinge)
        straight = _straightening(first, second, third, frame[1], hinge) if name != "1" else (0.0, 0.0)
        aside = _splay(along, frame) * (name != "1") - np.radians(pose.spread[i])
        spread = Rotation.from_rotvec(back * aside)
        bend = Rotation.from_rotvec(hinge * (np.radians(pose.curl[i]) - straight[0]))
        turns[f"finger{name}-1.L"] = (spread * bend).as_rotvec()
        if name == "1":
            hinge = np.cross(along, -0.97 * frame[0] - 0.25 * frame[2])
            hinge /= np.linalg.norm(hinge)
        for k, scale in ((2, 1.0), (3, 0.75)):
            less = straight[1] if k == 2 else 0.0
            turns[f"finger{name}-{k}.L"] = hinge * (np.radians(pose.bend[i] * scale) - less)
    matrices = rig.matrices(vertices, turns)
    mixed = np.einsum("vb,bij->vij", rig.weights, matrices)
    out = np.einsum("vij,vj->vi", mixed[..., :3], vertices) + mixed[..., 3]
    wrist = joints["wrist.L"]
    arm = np.clip(_bone_shares(rig)[1], 0, 1)
    bend = Rotation.from_rotvec(frame[0] * np.radians(-pose.wrist[0]) + back * np.radians(pose.wrist[1])).as_matrix()
    turned = (out - wrist) @ bend.T + wrist
    return np.asarray(out + arm[:, None] * (turned - out))


def _thumb_side(frame: np.ndarray) -> np.ndarray:
    """Where the thumb's joints bend to: across the palm and a little into it."""
    inward = -0.8 * frame[0] - 0.6 * frame[2]
    return np.asarray(inward / np.linalg.norm(inward))


def _splay(along: np.ndarray, frame: np.ndarray) -> float:
    """Turn (radians, about the back of the hand) that lays a resting finger parallel to the palm's direction."""
    return float(np.arctan2(along @ frame[0], along @ frame[1])) * 0.85


def _straightening(
    first: np.ndarray, second: np.ndarray, third: np.ndarray, ahead: np.ndarray, hinge: np.ndarray
) -> tuple[float, float]:
    """How far (radians) a resting finger is bent at its knuckle and at its middle joint."""

    def bent(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.arctan2(np.cross(a, b) @ hinge, a @ b))

    return bent(ahead, second - first), bent(second - first, third - second)


def _thinned(quads: np.ndarray, vertices: np.ndarray, bone: np.ndarray) -> np.ndarray:
    """Quads whose vertices have moved onto one of their neighbours, where those are closer than SPACING."""
    chosen = np.full(len(vertices), -1)
    used = np.unique(quads)
    for i in used:
        if chosen[i] < 0:
            near = used[(chosen[used] < 0) & (bone[used] == bone[i])]
            chosen[near[np.linalg.norm(vertices[near] - vertices[i], axis=1) < SPACING]] = i
    out = chosen[quads]
    return out[[len(set(row)) > 2 for row in out.tolist()]]


def _uvs(points: np.ndarray) -> np.ndarray:
    """Seen from the back, one repeat per two decimetres."""
    return points[:, :2] / 2
