"""Things before a face: hands, and phones, microphones, cups and books in hands. Rigid; decimetres."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from jaxtyping import Float, Float32
from scipy.spatial.transform import Rotation

from facegraft.core.errors import BadInputError
from facegraft.data.synth.formats import Rig
from facegraft.data.synth.ground import Ground
from facegraft.data.synth.hands import hand_mesh, read_hand_rig
from facegraft.data.synth.solid import (
    Material,
    Piece,
    PropMesh,
    Triple,
    assembled,
    finished,
    flipped,
    lathe,
    moved,
    slab,
)
from facegraft.data.synth.wear import Prop
from facegraft.data.synth.wrap import grid_triangles, tube

USUAL_EYES = 0.58
"""Decimetres between the eyes of the people these sizes are meant for."""
CLEARANCE = 0.08
"""Least distance between a thing and the face, decimetres."""
DARK, PAPER, METAL = (
    Material((0.012, 0.012, 0.013), 0.25),
    Material((0.72, 0.70, 0.66), 0.85),
    Material((0.16, 0.16, 0.17), 0.35),
)


class Props:
    """Meshes by name, made once."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self._meshes: dict[tuple[str, str, bool], PropMesh] = {}

    @cached_property
    def _rig(self) -> Rig:
        return read_hand_rig(self.ground)

    def mesh(self, kind: str, variant: str, mirrored: bool = False) -> PropMesh:
        """See `prop_mesh`; `mirrored` gives a right hand."""
        key = (kind, variant, mirrored)
        if key not in self._meshes:
            if mirrored:
                self._meshes[key] = flipped(self.mesh(kind, variant))
            else:
                self._meshes[key] = prop_mesh(self.ground, self._rig, kind, variant)
        return self._meshes[key]

    def place(
        self, prop: Prop, landmarks: Float[np.ndarray, "68 3"], eye_distance: float | int
    ) -> Float32[np.ndarray, "4 4"]:
        """See `place_prop`."""
        return place_prop(prop, self.mesh(prop.kind, prop.variant, prop.mirrored), landmarks, eye_distance)


def prop_mesh(ground: Ground, rig: Rig, kind: str, variant: str) -> PropMesh:
    """A hand in one of its poses, or a thing with the left hand that holds it.

    Args:
        ground: From `read_ground`.
        rig: From `read_hand_rig`.
        kind: "hand", "phone", "microphone", "cup" or "book".
        variant: One of HAND_POSES, or "plain" or "other".

    Raises:
        BadInputError: There is no such thing.
    """
    if kind == "hand":
        return hand_mesh(ground, rig, variant)
    makers = {"phone": _phone, "microphone": _microphone, "cup": _cup, "book": _book}
    if kind not in makers or variant not in ("plain", "other"):
        raise BadInputError(f"no prop is called {kind!r} {variant!r}; expected {', '.join(makers)}, plain or other")
    thing, turn, shift = makers[kind](variant)
    hand = hand_mesh(ground, rig, f"holding-{kind}")
    return _together(thing, hand, Rotation.from_euler("xyz", turn, degrees=True).as_matrix(), np.array(shift))


Held = tuple[PropMesh, Triple, Triple]
"""A thing, the turn of its hand (degrees about x, y, z) and where the palm's middle is."""


def _phone(variant: str) -> Held:
    wide = 0.74 if variant == "plain" else 0.80
    pieces = [
        slab((wide, 1.52, 0.08), (0, 0, 0), 0.11, 0),
        slab((wide - 0.05, 1.46, 0.004), (0, 0, -0.042), 0.09, 1),
        slab((0.24, 0.30, 0.03), (-wide / 2 + 0.19, 0.54, 0.05), 0.07, 1),
    ]
    if variant == "other":
        lens = Rotation.from_euler("x", 90, degrees=True).as_matrix()
        for y in (0.62, 0.47):
            ring = lathe([(0.065, 0.0), (0.065, 0.03), (0.055, 0.05), (0.0, 0.051)], 10, 2)
            pieces.append(moved(ring, lens, (-wide / 2 + 0.19, y, 0.06)))
    return assembled(pieces, (Material("colour", 0.3), DARK, METAL)), (0, 0, 24), (0.10, -0.58, 0.20)


def _microphone(variant: str) -> Held:
    angle = np.linspace(-np.pi / 2 + 0.45, np.pi / 2, 9)
    ball = [(0.255 * float(np.cos(a)), 0.255 * float(np.sin(a))) for a in angle]
    if variant == "other":
        ball = [(0.30 * float(np.cos(a)) ** 0.7, 0.36 * float(np.sin(a))) for a in angle[:-1]] + [(0.0, 0.36)]
    handle = [(0.0, -1.75), (0.095, -1.75), (0.10, -1.70), (0.15, -0.34), (0.17, -0.30), (0.17, -0.22), (0.12, -0.2)]
    band = [(0.262, -0.035), (0.27, -0.02), (0.27, 0.02), (0.262, 0.035)]
    pieces: list[Piece] = [lathe(handle, 16, 0), lathe(ball, 18, 1)]
    if variant == "plain":
        pieces.append(lathe(band, 18, 0))
    foam = Material("colour", 0.95) if variant == "other" else METAL
    return assembled(pieces, (DARK, foam)), (0, -15, 58), (0.17, -0.92, 0.24)


def _cup(variant: str) -> Held:
    if variant == "plain":
        outside = [(0.0, -0.88), (0.33, -0.88), (0.37, -0.84), (0.38, 0.0), (0.355, 0.0), (0.33, -0.5), (0.0, -0.55)]
        pieces = [lathe(outside, 24, 0)]
        turn = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 9)
        pieces.append(_handle(np.stack([-0.36 - 0.22 * np.cos(turn), -0.44 + 0.27 * np.sin(turn), 0 * turn], 1)))
    else:
        pieces = [
            lathe([(0.0, -1.15), (0.29, -1.15), (0.38, -0.06)], 24, 0),
            lathe(
                [(0.40, -0.06), (0.405, -0.03), (0.37, 0.0), (0.36, 0.05), (0.32, 0.05), (0.31, 0.02), (0, 0.02)], 24, 1
            ),
        ]
    mesh = assembled([(p + np.array([0, 0, 0.38]), t, m) for p, t, m in pieces], (Material("colour", 0.35), PAPER))
    return mesh, (0, 38, 68), (0.36, -0.52, 0.74)


def _handle(path: np.ndarray) -> Piece:
    points, triangles = tube(path, 0.055, 7, closed=False)
    return points, triangles, 0


def _book(variant: str) -> Held:
    if variant == "other":  # a sheet of paper, a little curved
        x, y = np.meshgrid(np.linspace(-1.05, 1.05, 11), np.linspace(0, -2.97, 11))
        z = 0.10 * np.cos(x * 1.4) + 0.05 * np.sin(y * 1.1)
        points = np.stack([x, y, z], -1).reshape(-1, 3)
        sheet: list[Piece] = [(points, grid_triangles(11, 11, closed=False), 0)]
        return assembled(sheet, (PAPER,)), (0, 0, 28), (1.02, -2.1, 0.20)
    pieces: list[Piece] = []
    for side in (-1.0, 1.0):
        turn = Rotation.from_euler("y", side * 16, degrees=True).as_matrix()
        cover = slab((1.36, 2.0, 0.05), (side * 0.70, -1.0, 0), 0.02, 0)
        pages = slab((1.26, 1.9, 0.10), (side * 0.66, -1.0, -0.075), 0.02, 1)
        title = slab((0.9, 0.34, 0.006), (side * 0.70, -0.5, 0.027), 0.02, 1)
        pieces += [moved(p, turn, (0, 0, 0.05)) for p in (cover, pages, title)]
    pieces.append(slab((0.12, 2.0, 0.06), (0, -1.0, 0.05), 0.02, 0))
    return assembled(pieces, (Material("colour", 0.6), PAPER)), (0, 0, 30), (1.25, -1.5, -0.05)


def _together(thing: PropMesh, hand: PropMesh, turn: np.ndarray, shift: np.ndarray) -> PropMesh:
    count, kinds = len(thing.vertices), len(thing.materials)
    points = np.concatenate([thing.vertices, hand.vertices @ turn.T + shift])
    triangles = np.concatenate([thing.triangles, hand.triangles + count])
    material = np.concatenate([thing.material, hand.material + kinds])
    uvs = np.concatenate([thing.uvs, hand.uvs])
    return finished(points, triangles, uvs, material, (*thing.materials, *hand.materials))


def head_axes(landmarks: Float[np.ndarray, "68 3"]) -> Float[np.ndarray, "3 3"]:
    """Columns: to the head's left, up, out of its face; from points that expressions hardly move."""
    left = landmarks[42:48].mean(0) - landmarks[36:42].mean(0)
    left /= np.linalg.norm(left)
    up = landmarks[27] - landmarks[33]
    up = up - (up @ left) * left
    up /= np.linalg.norm(up)
    out = np.cross(left, up)
    lean = np.radians(8.4)  # the line from under the nose to its bridge leans back by this much
    up, out = np.cos(lean) * up + np.sin(lean) * out, np.cos(lean) * out - np.sin(lean) * up
    return np.stack([left, up, out], 1)


def place_prop(
    prop: Prop, mesh: PropMesh, landmarks: Float[np.ndarray, "68 3"], eye_distance: float | int
) -> Float32[np.ndarray, "4 4"]:
    """Where a thing is: from its own frame (decimetres) to that of the landmarks.

    It stands at `prop.anchor` before the middle of the eyes, moved out until nothing of it is nearer to the face than
    CLEARANCE; the anchor's z is the room beyond that.

    Args:
        prop: What `sample_props` gave.
        mesh: Its mesh, already mirrored where the prop is.
        landmarks: Of the posed head, decimetres, y up, z to the viewer.
        eye_distance: Between the centres of the eyes, decimetres: sizes grow with it.
    """
    head = head_axes(landmarks)
    axes = head if prop.attached == "head" else np.eye(3)
    middle = landmarks[36:48].mean(0)
    turn = Rotation.from_euler("xyz", prop.rotation_degrees, degrees=True).as_matrix()
    scale = eye_distance / USUAL_EYES * prop.size
    points = mesh.vertices.astype(float) @ turn.T * scale
    points[:, :2] += np.array(prop.anchor[:2]) * eye_distance
    guard = (_guard_points(landmarks, head, middle, float(eye_distance)) - middle) @ axes
    reach = _surface(points[:, :2], guard, float(eye_distance))
    nearest = float((reach - points[:, 2]).max())
    if not np.isfinite(nearest):  # nothing of it is before the face: it stands in the plane of the eyes
        nearest = -float(points[:, 2].min())
    push = nearest + CLEARANCE + prop.anchor[2] * eye_distance
    out = np.eye(4)
    out[:3, :3] = axes @ turn * scale
    out[:3, 3] = middle + axes @ np.array([*(np.array(prop.anchor[:2]) * eye_distance), push])
    return out.astype(np.float32)


def _guard_points(landmarks: np.ndarray, head: np.ndarray, middle: np.ndarray, iod: float) -> np.ndarray:
    """Landmarks, and points over forehead and cheeks where there are none."""
    brows = landmarks[17:27]
    forehead = [brows + head @ np.array([0, up, back]) * iod for up, back in ((0.45, -0.02), (0.9, -0.15))]
    cheeks = middle + (np.array([(s * x, y, z) for s in (-1, 1) for x, y, z in _CHEEKS]) * iod) @ head.T
    return np.concatenate([landmarks, *forehead, cheeks])


_CHEEKS = ((0.62, -0.62, -0.02), (0.85, -0.45, -0.3), (0.45, -0.6, 0.06))
"""Off the middle of the eyes, in eye distances."""


def _surface(points: np.ndarray, guard: np.ndarray, iod: float) -> np.ndarray:
    """Height of a hull over the guarded points: flat around each, then falling off."""
    far = np.linalg.norm(points[:, None] - guard[None, :, :2], axis=2)
    fall = np.where(far < 1.2 * iod, 1.3 * np.maximum(far - 0.26 * iod, 0), np.inf)
    return np.asarray((guard[:, 2] - fall).max(1) + 0.05 * iod)
