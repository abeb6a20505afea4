"""Edits that make a face another person's, so that the unedited picture is the right answer of a swap (MobileFSGAN).

Heavier or thinner: a warp of jaw and cheeks. Older: a sagging warp and wrinkles as shading. Eyes, nose and mouth stay
where they are, so gaze and expression of the edit and of its truth agree. MobileFSGAN (Yu et al., 2022) does not say
how its pictures were edited; the recipe is ours, strengths after its description of the effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Float64
from torch import Tensor

_JAW_WEIGHTS = np.array([0.3, 0.55, 0.8, 1, 1, 1, 0.85, 0.6, 0, 0.6, 0.85, 1, 1, 1, 0.8, 0.55, 0.3])
_INNER = (*range(17, 60),)
_GRID = 41
_LEAST_JACOBIAN = 0.3
_CANVAS_SCALE = 4


@dataclass(frozen=True)
class Edit:
    """An edited picture, and exactly how it was made: read the original along `flow`, multiply by `shade`.

    Attributes:
        image: RGB, -1..1.
        flow: x and y offsets in pixels: the new pixel was read there, that far from itself.
        shade: Factor on sRGB 0..1 per colour; 1 = unchanged.
    """

    image: Float[Tensor, "3 h w"]
    flow: Float[Tensor, "2 h w"]
    shade: Float[Tensor, "3 h w"]


def reweigh(image: Float[Tensor, "3 h w"], landmarks: Float[Tensor, "68 2"], amount: float | int) -> Edit:
    """Makes a face heavier or thinner.

    Args:
        image: RGB, -1..1.
        landmarks: x, y in pixels.
        amount: 1 moves the widest part of the jaw out by 12 % of the face's width, -1 in by as much. What would fold
            the picture is halved until it does not.
    """
    points = landmarks.double().numpy()
    shift = _jaw_shift(points, out=0.12 * amount, down=0.045 * amount)
    flow = _flow_without_folds(points, shift, _size(image))
    return _edit(image, flow, torch.ones_like(image))


def age(
    image: Float[Tensor, "3 h w"],
    landmarks: Float[Tensor, "68 2"],
    amount: float | int,
    generator: torch.Generator,
    skin: Float[Tensor, "1 h w"] | None = None,
) -> Edit:
    """Makes a face older: jowls and cheeks sink, wrinkles come in.

    Args:
        image: RGB, -1..1.
        landmarks: x, y in pixels.
        amount: 0..1.
        generator: Chooses the wrinkles.
        skin: 1 where wrinkles may fall; without it they may cross a fringe.
    """
    points = landmarks.double().numpy()
    flow = _flow_without_folds(points, _sagging(points, amount), _size(image))
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    shade = torch.from_numpy(_wrinkle_shade(points, amount, _size(image), rng))
    shade = shade if skin is None else 1 + (shade - 1) * skin
    return _edit(image, flow, shade)


def follow(planes: Float[Tensor, "c h w"], edit: Edit) -> Float[Tensor, "c h w"]:
    """Moves planes of the original (a mask, regions one by one) as the edit moved its picture."""
    return _read_along(planes, edit.flow)


def _size(image: Tensor) -> tuple[int, int]:
    return image.shape[-2], image.shape[-1]


def _edit(image: Tensor, flow: Tensor, shade: Tensor) -> Edit:
    moved = _read_along(image, flow)
    if bool((shade == 1).all()):
        return Edit(moved, flow, shade)
    return Edit(((moved * 0.5 + 0.5) * shade).clamp(0, 1) * 2 - 1, flow, shade)


def _read_along(planes: Tensor, flow: Tensor) -> Tensor:
    height, width = flow.shape[-2:]
    y = torch.arange(height, dtype=torch.float32)[:, None] + 0.5 + flow[1]
    x = torch.arange(width, dtype=torch.float32)[None] + 0.5 + flow[0]
    grid = torch.stack([x * (2 / width) - 1, y * (2 / height) - 1], -1)[None]
    return F.grid_sample(planes[None], grid, padding_mode="border", align_corners=False)[0]


def _axes(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Unit vectors across and down the face in the picture, and its width at the temples or the outer eyes."""
    across = points[45] - points[36]
    across = across / max(float(np.linalg.norm(across)), 1e-6)
    down = points[8] - points[27]
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    width = max(float(np.linalg.norm(points[16] - points[0])), float(np.linalg.norm(points[8] - points[27])) * 0.9)
    return across, down, width


def _jaw_shift(points: np.ndarray, *, out: float | int, down: float | int) -> dict[int, np.ndarray]:
    """Where the jaw's points go, in pixels: away from the axis from nose bridge to chin, and down."""
    _, along, width = _axes(points)
    from_axis = points[:17] - points[27] - ((points[:17] - points[27]) @ along)[:, None] * along
    lateral = from_axis / max(float(np.linalg.norm(from_axis, axis=1).max()), 1e-6)
    low = np.clip(1 - np.abs(np.arange(17) - 8) / 5, 0, 1)[:, None]
    shift = lateral * _JAW_WEIGHTS[:, None] * (out * width) + low * along * (down * width)
    return dict(enumerate(shift))


def _sagging(points: np.ndarray, amount: float | int) -> dict[int, np.ndarray]:
    _, along, width = _axes(points)
    shift = _jaw_shift(points, out=0.03 * amount, down=0.02 * amount)
    fall = {4: 0.03, 5: 0.045, 6: 0.03, 10: 0.03, 11: 0.045, 12: 0.03}
    inner = {48: 0.008, 54: 0.008, 30: 0.012, 33: 0.008, **dict.fromkeys(range(17, 27), 0.008), 17: 0.014, 26: 0.014}
    for number, share in (fall | inner).items():
        shift[number] = shift.get(number, np.zeros(2)) + along * (share * amount * width)
    return shift


def _flow_without_folds(points: np.ndarray, shift: dict[int, np.ndarray], size_hw: tuple[int, int]) -> Tensor:
    """The flow that moves these landmarks, holds the others and the border; halved until nothing folds."""
    for _ in range(6):
        flow = _flow(points, shift, size_hw)
        if _least_jacobian(flow) > _LEAST_JACOBIAN:
            return flow
        shift = {number: offset / 2 for number, offset in shift.items()}
    return torch.zeros_like(flow)


def _flow(points: np.ndarray, shift: dict[int, np.ndarray], size_hw: tuple[int, int]) -> Tensor:
    height, width = size_hw
    edge = np.linspace(0, 1, 7)
    ring = [(x * width, y * height) for x in edge for y in edge if x in (0, 1) or y in (0, 1)]
    numbers = [number for number in (*range(17), *_INNER)]
    offsets = np.array([shift.get(number, np.zeros(2)) for number in numbers])
    cheeks = [(number, 48 if number < 8 else 54) for number in (2, 3, 4, 5, 11, 12, 13, 14)]
    middles = np.array([(points[jaw] + points[mouth]) / 2 for jaw, mouth in cheeks])
    middle_offsets = np.array([shift.get(jaw, np.zeros(2)) * 0.5 for jaw, _ in cheeks])
    old = np.concatenate([points[numbers], middles, np.array(ring)])
    moved = np.concatenate([offsets, middle_offsets, np.zeros((len(ring), 2))])
    coarse = _thin_plate(old + moved, -moved, size_hw)
    field = torch.from_numpy(coarse.transpose(2, 0, 1).astype(np.float32))[None]
    # The coarse grid spans the pixels' centres: its corners are the middles of the corner pixels.
    return F.interpolate(field, (height, width), mode="bicubic", align_corners=True)[0]


def _thin_plate(
    centres: Float64[np.ndarray, "n 2"], values: Float64[np.ndarray, "n 2"], size_hw: tuple[int, int]
) -> Float64[np.ndarray, "g g 2"]:
    """A thin-plate spline through values at centres (pixels), over a coarse grid of a picture; a little smoothed."""
    height, width = size_hw
    unit = centres / max(size_hw)
    count = len(unit)
    system = np.zeros((count + 3, count + 3))
    system[:count, :count] = _plate(unit, unit) + 2e-4 * np.eye(count)
    system[:count, count] = system[count, :count] = 1
    system[:count, count + 1 :] = unit
    system[count + 1 :, :count] = unit.T
    right = np.concatenate([values, np.zeros((3, 2))])
    weights = np.linalg.solve(system, right)
    x = (np.linspace(0.5, width - 0.5, _GRID)) / max(size_hw)
    y = (np.linspace(0.5, height - 0.5, _GRID)) / max(size_hw)
    at = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    result = _plate(at, unit) @ weights[:count] + weights[count] + at @ weights[count + 1 :]
    return result.reshape(_GRID, _GRID, 2)


def _plate(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    squared = ((a[:, None] - b[None]) ** 2).sum(-1)
    return 0.5 * squared * np.log(np.maximum(squared, 1e-12))


def _least_jacobian(flow: Tensor) -> float:
    """Smallest area factor from new to old pixels; 0 or less: a fold."""
    dx, dy = flow[:, :-1, 1:] - flow[:, :-1, :-1], flow[:, 1:, :-1] - flow[:, :-1, :-1]
    return float(((1 + dx[0]) * (1 + dy[1]) - dx[1] * dy[0]).min())


def _wrinkle_shade(
    points: np.ndarray, amount: float | int, size_hw: tuple[int, int], rng: np.random.Generator
) -> Float32[np.ndarray, "3 h w"]:
    """Factors on sRGB: grooves darken, more in blue than in red; the skin beside them catches light; blotches."""
    height, width = size_hw
    _, _, face = _axes(points)
    canvas = np.zeros((height * _CANVAS_SCALE, width * _CANVAS_SCALE), np.uint8)
    for line, weight in _wrinkles(points, face, rng):
        depth = int(np.clip(weight * rng.uniform(0.7, 1.2), 0, 1) * 255)
        layer = np.zeros_like(canvas)
        thick = max(1, round(face * 0.009 * _CANVAS_SCALE * weight))
        pixels = np.rint(line * _CANVAS_SCALE * 8).astype(np.int32)
        cv2.polylines(layer, [pixels], False, depth, thick, cv2.LINE_AA, 3)
        np.maximum(canvas, layer, out=canvas)
    fine = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    groove = cv2.GaussianBlur(fine, (0, 0), max(face * 0.007, 0.4)) + 0.8 * cv2.GaussianBlur(fine, (0, 0), face * 0.02)
    lift = cv2.GaussianBlur(fine, (0, 0), face * 0.012)
    step = max(1, round(face * 0.016))
    ridge = np.roll(lift, step, axis=0) * 0.7
    blotch = cv2.resize(rng.normal(size=(9, 9)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    tone = np.array([0.75, 1.0, 1.1], np.float32)[:, None, None]
    oval = _face_oval(points, size_hw)
    shade = 1 + amount * oval * (0.55 * ridge - 0.9 * tone * groove + 0.02 * blotch * tone)
    return np.clip(shade, 0.35, 1.25).astype(np.float32)


def _face_oval(points: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """1 on the face as far as the landmarks tell, soft towards its outline."""
    _, down, face = _axes(points)
    top = points[[17, 19, 24, 26]] - down * face * np.array([[0.10], [0.32], [0.32], [0.10]])
    hull = cv2.convexHull(np.concatenate([points[:17], top]).astype(np.float32)).astype(np.int32)
    mask = np.zeros(size_hw, np.float32)
    cv2.fillConvexPoly(mask, hull, 1.0)
    return cv2.GaussianBlur(mask, (0, 0), face * 0.025)


def _wrinkles(points: np.ndarray, face: float, rng: np.random.Generator) -> list[tuple[np.ndarray, float]]:
    """Polylines in pixels with their depth 0..1."""
    across, down, _ = _axes(points)
    lines: list[tuple[np.ndarray, float]] = []
    for number, height in enumerate(rng.uniform(0.9, 1.1, 3) * [0.09, 0.15, 0.21]):
        left, right = points[18] - down * face * height, points[25] - down * face * height
        wave = rng.normal(0, 0.006, 9) * face - np.sin(np.linspace(0, np.pi, 9)) * 0.02 * face
        share = np.linspace(0.05 + 0.1 * number * rng.random(), 0.95, 9)[:, None]
        lines.append((left + (right - left) * share + wave[:, None] * down, 0.35))
    between = (points[21] + points[22]) / 2
    for sign in (-1, 1):
        start = between + across * face * sign * rng.uniform(0.018, 0.03) - down * face * 0.02
        lines.append((_bend(start, start + down * face * 0.075 + across * face * sign * 0.008, 0.0, 5), 0.4))
    for sign, eye, inner, jaw, wing, mouth in ((-1, 36, 39, 1, 31, 48), (1, 45, 42, 15, 35, 54)):
        room = min(0.13 * face, 0.55 * float(np.linalg.norm(points[eye] - points[jaw])))
        for angle in (-0.5, 0.05, 0.55):
            start = points[eye] + across * sign * 0.025 * face + down * angle * 0.04 * face
            end = start + (across * sign * np.cos(angle) + down * np.sin(angle)) * room * rng.uniform(0.7, 1.1)
            lines.append((_bend(start, end, 0.1 * sign, 5), 0.3))
        bag = (points[inner] + down * 0.045 * face, points[eye] + down * 0.05 * face)
        lines.append((_bend(*bag, 0.22 * sign, 8), 0.4))
        fold_end = points[mouth] + across * sign * 0.055 * face + down * face * rng.uniform(0.0, 0.05)
        lines.append((_bend(points[wing] + across * sign * 0.02 * face, fold_end, -0.12 * sign, 9), 0.75))
        corner = points[mouth] + across * sign * 0.012 * face + down * 0.02 * face
        lines.append((_bend(corner, corner + down * 0.09 * face + across * sign * 0.02 * face, 0.1 * sign, 6), 0.4))
    return lines


def _bend(start: np.ndarray, end: np.ndarray, bow: float, count: int) -> np.ndarray:
    """A parabola from start to end; `bow` is its height over the chord, in chords, to the chord's left if positive."""
    share = np.linspace(0, 1, count)[:, None]
    chord = end - start
    normal = np.array([chord[1], -chord[0]])
    return start + chord * share + normal * (4 * bow * share * (1 - share))
