"""Pictures with faces in known places, made up on the fly: heads of any size and roll pasted onto what is no face.

Also pictures without a face, some of them of parts of people. A scene is a function of its generator's draws alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from jaxtyping import Float32, Int16, UInt8

from facegraft.core.geometry import box_around, transform, warp
from facegraft.core.types import Frame, Matrix
from facegraft.train.eyes.heads import Head
from facegraft.train.eyes.scene_wear import worn

LEAST_SEEN = 0.4
"""A face of which less is in view counts neither as a face nor as none."""
HARDLY_SEEN = 0.05
"""Below this it is as good as gone."""


@runtime_checkable
class Heads(Protocol):
    """Heads by number; `train/eyes/heads.py` has two kinds."""

    def __len__(self) -> int: ...

    def read(self, number: int) -> Head: ...


@dataclass(frozen=True)
class SceneConfig:
    """What scenes look like. Bare numbers are chances, 0..1."""

    empty: float = 0.15
    """Scenes without a face."""
    portrait: float = 0.25
    """One photograph that fills the scene, with its own background."""
    most: int = 7
    """Faces of a scene at most."""
    smallest_px: float = 12.0
    """Longer side of a face's box; smaller ones count neither as faces nor as none."""
    largest_share: float = 1.1
    """Longer side of the largest ones, in sides of the scene."""
    turned: float = 0.15
    """Rolled by anything; the others by some 20 degrees."""
    distracted: float = 0.4
    """With hands and parts of people that are no faces."""
    texture: float = 0.15
    """On made-up patterns instead of a photograph."""

    def __post_init__(self) -> None:
        shares = (self.empty, self.portrait, self.turned, self.distracted, self.texture)
        if min(shares) < 0 or max(shares) > 1 or self.most < 1 or self.smallest_px < 4:
            raise ValueError("expected chances of 0..1, at least one face, and faces of 4 pixels or more")


@dataclass(frozen=True)
class Ground:
    """What scenes are made of.

    Attributes:
        rendered: Heads with exact alpha; may be None.
        photographed: Heads in their pictures; may be None.
        photo_share: How many heads are photographed, where there are both.
        free: Pictures without faces.
        distractors: Small ones, such as hands.
    """

    rendered: Heads | None
    photographed: Heads | None
    photo_share: float
    free: Sequence[Frame]
    distractors: Sequence[Frame] = ()


@dataclass(frozen=True)
class Scene:
    """One picture and its faces.

    Attributes:
        frame: Square.
        boxes: Left, top, right, bottom in pixels; may reach outside the frame.
        points: See `frozen.detector.POINTS`.
        roll_degrees: Of each face, clockwise.
        ignored: Boxes of faces that are too small or too hidden to count.
    """

    frame: Frame
    boxes: Float32[np.ndarray, "m 4"]
    points: Float32[np.ndarray, "m 5 2"]
    roll_degrees: Float32[np.ndarray, "m"]
    ignored: Float32[np.ndarray, "i 4"]


@dataclass(frozen=True)
class _Canvas:
    """A scene in the making: its pixels, and whose face is seen where (0 = nobody's, 1 = the first one's)."""

    frame: Frame
    owner: Int16[np.ndarray, "h w"]


def compose(ground: Ground, config: SceneConfig, side_px: int, rng: np.random.Generator) -> Scene:
    """Draws a scene.

    Args:
        ground: What it is made of.
        config: What it looks like.
        side_px: Of the square picture.
        rng: All draws come from it.
    """
    canvas = _Canvas(_backdrop(ground, config, side_px, rng), np.zeros((side_px, side_px), np.int16))
    if rng.random() < config.distracted:
        _distract(canvas, ground, rng, int(rng.integers(1, 5)))
    placed: list[tuple[Head, Matrix]] = []
    kind = rng.random()
    if kind >= config.empty:
        whole = ground.photographed is not None and kind < config.empty + config.portrait
        placed = [_portrait(ground, side_px, rng)] if whole else _crowd(ground, config, side_px, rng)
        for number, (head, matrix) in enumerate(placed, 1):
            cover = "all" if whole else "head" if not head.photo or rng.random() < 0.5 else "picture"
            _paste_head(canvas, head, matrix, number, cover, rng)
        if rng.random() < 0.25 * config.distracted:
            _distract(canvas, ground, rng, 1)
    return _described(worn(canvas.frame, rng), canvas.owner, placed, config.smallest_px)


def _described(frame: Frame, owner: np.ndarray, placed: Sequence[tuple[Head, Matrix]], smallest_px: float) -> Scene:
    """Sorts faces into those that count and those that do not."""
    boxes, points, rolls, ignored = [], [], [], []
    for number, (head, matrix) in enumerate(placed, 1):
        outline = transform(matrix, head.outline)
        seen = float((owner == number).sum()) / max(float(cv2.contourArea(outline)), 1.0)
        box, five = box_around(outline), _named_by_side(transform(matrix, head.points), matrix)
        if seen >= LEAST_SEEN and float((box[2:] - box[:2]).max()) >= smallest_px:
            boxes.append(box)
            points.append(five)
            rolls.append(np.degrees(np.arctan2(*(five[1] - five[0])[::-1])))
        elif seen >= HARDLY_SEEN:
            ignored.append(box)
    return Scene(
        frame=frame,
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        points=np.array(points, np.float32).reshape(-1, 5, 2),
        roll_degrees=np.array(rolls, np.float32),
        ignored=np.array(ignored, np.float32).reshape(-1, 4),
    )


def _named_by_side(points: Float32[np.ndarray, "5 2"], matrix: Matrix) -> Float32[np.ndarray, "5 2"]:
    """A mirrored face has its eyes and mouth's corners exchanged."""
    mirrored = matrix[0, 0] * matrix[1, 1] < matrix[0, 1] * matrix[1, 0]
    return points[[1, 0, 2, 4, 3]] if mirrored else points


def _crowd(ground: Ground, config: SceneConfig, side_px: int, rng: np.random.Generator) -> list[tuple[Head, Matrix]]:
    """Heads anywhere; the nearer, larger ones last, mostly."""
    count = min(config.most, int(rng.geometric(0.35)))
    largest = config.largest_share * side_px / np.sqrt(count)
    placed = []
    for _ in range(count):
        head = _any_head(ground, rng)
        size = float(np.exp(rng.uniform(np.log(config.smallest_px * 0.9), np.log(largest))))
        roll = rng.uniform(-180, 180) if rng.random() < config.turned else rng.normal(0, 20)
        reach = side_px / 2 + 0.1 * size
        middle = side_px / 2 + rng.uniform(-reach, reach, 2)
        placed.append((size, head, _placement(head, size, float(roll), middle, mirrored=rng.random() < 0.5)))
    if rng.random() < 0.8:
        placed.sort(key=lambda entry: entry[0])
    return [(head, matrix) for _, head, matrix in placed]


def _portrait(ground: Ground, side_px: int, rng: np.random.Generator) -> tuple[Head, Matrix]:
    """A photograph over the whole scene, the face of a third of it or more."""
    assert ground.photographed is not None  # noqa: S101 - the caller has asked
    head = ground.photographed.read(int(rng.integers(len(ground.photographed))))
    size = side_px * float(np.exp(rng.uniform(np.log(0.36), np.log(1.05))))
    slack = max(0.12, 0.5 - 0.5 * size / side_px)
    middle = side_px * (0.5 + rng.uniform(-slack, slack, 2))
    return head, _placement(head, size, float(rng.normal(0, 12)), middle, mirrored=rng.random() < 0.5)


def _any_head(ground: Ground, rng: np.random.Generator) -> Head:
    photo = ground.rendered is None or rng.random() < ground.photo_share
    heads = ground.photographed if photo and ground.photographed is not None else ground.rendered
    if heads is None:
        raise ValueError("scenes: expected heads, rendered or photographed; found none")
    return heads.read(int(rng.integers(len(heads))))


def _placement(head: Head, size_px: float, roll_degrees: float, middle: np.ndarray, *, mirrored: bool) -> Matrix:
    """Brings a face to a size (longer side of its own box) and a place, turned clockwise, mirrored first."""
    box = box_around(head.outline)
    scale = size_px / max(float((box[2:] - box[:2]).max()), 1.0)
    cos, sin = np.cos(np.radians(roll_degrees)) * scale, np.sin(np.radians(roll_degrees)) * scale
    turn = np.array([[cos, -sin], [sin, cos]]) @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return np.column_stack([turn, middle - turn @ ((box[:2] + box[2:]) / 2)]).astype(np.float32)


def _paste_head(canvas: _Canvas, head: Head, matrix: Matrix, number: int, cover: str, rng: np.random.Generator) -> None:
    """Pastes the head alone, its whole picture, or its picture stretched over all of the scene."""
    alpha = head.alpha if cover == "head" else np.full(head.picture.shape[:2], 255, np.uint8)
    seen = _paste(canvas, head.picture, alpha, matrix, _tint(rng), everywhere=cover == "all")
    face = np.zeros(canvas.owner.shape, np.uint8)
    cv2.fillConvexPoly(face, np.rint(transform(matrix, head.outline) * 16 - 8).astype(np.int32), 1, shift=4)
    canvas.owner[(face > 0) & (seen > 127)] = number


def _paste(
    canvas: _Canvas,
    picture: Frame,
    alpha: UInt8[np.ndarray, "h w"],
    matrix: Matrix,
    tint: Float32[np.ndarray, "3"],
    *,
    everywhere: bool = False,
) -> UInt8[np.ndarray, "s s"]:
    """Blends a picture in where its alpha is; returns where it hides what was there, 0..255."""
    side = len(canvas.frame)
    seen = np.zeros((side, side), np.uint8)
    height, width = picture.shape[:2]
    corners = transform(matrix, np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32))
    low = np.zeros(2, int) if everywhere else np.clip(np.floor(corners.min(0)), 0, side).astype(int)
    high = np.full(2, side) if everywhere else np.clip(np.ceil(corners.max(0)), 0, side).astype(int)
    if (high <= low).any():
        return seen
    moved = matrix.copy()
    moved[:, 2] -= low
    size_wh = (int(high[0] - low[0]), int(high[1] - low[1]))
    top = warp(picture, moved, size_wh) * tint
    cut = warp(alpha, moved, size_wh, border=cv2.BORDER_CONSTANT)
    if everywhere:
        cut = np.full_like(cut, 255)
    weight = cut[..., None].astype(np.float32) / 255
    part = canvas.frame[low[1] : high[1], low[0] : high[0]]
    part[...] = np.clip(part + (top - part) * weight + 0.5, 0, 255).astype(np.uint8)
    seen[low[1] : high[1], low[0] : high[0]] = cut
    canvas.owner[seen > 127] = 0
    return seen


def _distract(canvas: _Canvas, ground: Ground, rng: np.random.Generator, count: int) -> None:
    """Pastes things that are no faces: hands, or what is beside the face in pictures of people."""
    side = len(canvas.frame)
    for _ in range(count):
        hands = bool(ground.distractors) and rng.random() < 0.5
        thing = ground.distractors[int(rng.integers(len(ground.distractors)))] if hands else _beside_face(ground, rng)
        size = side * float(np.exp(rng.uniform(np.log(0.06), np.log(0.6))))
        height, width = thing.shape[:2]
        scale, angle = size / max(height, width), rng.uniform(-np.pi, np.pi)
        cos, sin = np.cos(angle) * scale, np.sin(angle) * scale
        turn = np.array([[cos, -sin], [sin, cos]])
        shift = rng.uniform(0, side, 2) - turn @ (np.array([width, height]) / 2)
        mask = np.full((height, width), 255, np.uint8)
        if rng.random() < 0.5:
            mask[:] = 0
            half = (width // 2, height // 2)
            cv2.ellipse(mask, half, half, 0, 0, 360, 255, -1)
        _paste(canvas, thing, mask, np.column_stack([turn, shift]).astype(np.float32), _tint(rng))


def _beside_face(ground: Ground, rng: np.random.Generator) -> Frame:
    """A strip of a picture of a person at one side of the face: hair, neck, cloth, wall."""
    head = _any_head(ground, rng)
    height, width = head.picture.shape[:2]
    left, top, right, bottom = np.clip(box_around(head.outline, 1.05), 0, [width, height] * 2).astype(int).tolist()
    strips = [(0, 0, left, height), (right, 0, width, height), (0, 0, width, top), (0, bottom, width, height)]
    x0, y0, x1, y1 = strips[int(rng.integers(4))]
    if min(x1 - x0, y1 - y0) < 16:
        return ground.free[int(rng.integers(len(ground.free)))]
    return head.picture[y0:y1, x0:x1]


def _backdrop(ground: Ground, config: SceneConfig, side_px: int, rng: np.random.Generator) -> Frame:
    """Part of a picture without faces, at any scale, mirrored or not; or a pattern; or what is beside a face."""
    kind = rng.random()
    if kind < config.texture:
        return _texture(side_px, rng)
    beside = kind < config.texture + 0.1
    frame = _beside_face(ground, rng) if beside else ground.free[int(rng.integers(len(ground.free)))]
    height, width = frame.shape[:2]
    side = min(height, width) * float(rng.uniform(0.35, 1.0))
    left, top = rng.uniform(0, width - side), rng.uniform(0, height - side)
    scale = side_px / side
    sign = -1.0 if rng.random() < 0.5 else 1.0
    shift = -left * scale if sign > 0 else (left + side) * scale
    return warp(frame, np.array([[sign * scale, 0, shift], [0, scale, -top * scale]], np.float32), (side_px, side_px))


def _texture(side_px: int, rng: np.random.Generator) -> Frame:
    """Smooth noise of several sizes between two or three colours; sometimes in steps, or with stripes."""
    field: np.ndarray = np.zeros((side_px, side_px), np.float32)
    for cells in (2, 5, 12, 40):
        grid = rng.normal(0, rng.uniform(0, 1), (cells, cells)).astype(np.float32)
        field += cv2.resize(grid, (side_px, side_px), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.3:
        y, x = np.mgrid[0:side_px, 0:side_px].astype(np.float32) / side_px
        angle = rng.uniform(0, np.pi)
        field += np.sin((x * np.cos(angle) + y * np.sin(angle)) * rng.uniform(5, 120)).astype(np.float32)
    if rng.random() < 0.3:
        field = np.round(field * 2) / 2
    share = 1 / (1 + np.exp(-2 * field[..., None]))
    low, high = rng.uniform(0, 255, (2, 3))
    return np.asarray(low + (high - low) * share).astype(np.uint8)


def _tint(rng: np.random.Generator) -> Float32[np.ndarray, "3"]:
    """Factors on red, green and blue: each thing of a scene has its own light."""
    return (np.exp(rng.normal(0, 0.2)) * np.exp(rng.normal(0, 0.05, 3))).astype(np.float32)
