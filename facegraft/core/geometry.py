"""Boxes, similarity fits and warps. Points are x, y; the centre of the first pixel is (0.5, 0.5).

OpenCV counts from pixel centres instead; `warp` converts, so no other file has to.
"""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float, Float32, Shaped

from facegraft.core.types import Matrix

Box = Float32[np.ndarray, "4"]


def fit_similarity(
    points: Float[np.ndarray, "n 2"], onto: Float[np.ndarray, "n 2"], weights: Float[np.ndarray, "n"] | None = None
) -> Matrix:
    """Scale, rotation and shift that bring `points` closest to `onto` (weighted least squares).

    The closed form of Umeyama (1991) in two dimensions, where a similarity is one complex
    multiplication and one shift; it never mirrors.

    Returns:
        2 x 3 matrix. All points equal: pure shift.
    """
    w = np.full(len(points), 1.0) if weights is None else np.asarray(weights, np.float64)
    a = points[:, 0].astype(np.float64) + 1j * points[:, 1].astype(np.float64)
    b = onto[:, 0].astype(np.float64) + 1j * onto[:, 1].astype(np.float64)
    centre_a, centre_b = np.average(a, weights=w), np.average(b, weights=w)
    spread = np.sum(w * np.abs(a - centre_a) ** 2)
    turn = np.sum(w * np.conj(a - centre_a) * (b - centre_b)) / spread if spread > 0 else 1.0 + 0j
    shift = centre_b - turn * centre_a
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]], dtype=np.float32)


def fit_rigid3(
    points: Float[np.ndarray, "n 3"], onto: Float[np.ndarray, "n 3"], weights: Float[np.ndarray, "n"] | None = None
) -> tuple[float, Float[np.ndarray, "3 3"], Float[np.ndarray, "3"]]:
    """Scale, proper rotation, shift: `scale * rotation @ p + shift` is closest to `onto` (Umeyama 1991, eq. 40-42)."""
    w = np.full(len(points), 1.0) if weights is None else np.asarray(weights, np.float64)
    w = w / w.sum()
    centre_a, centre_b = w @ points, w @ onto
    a, b = points - centre_a, onto - centre_b
    u, singular, vt = np.linalg.svd((b * w[:, None]).T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt)) or 1.0])
    rotation = (u * sign) @ vt
    scale = float((singular * sign).sum() / max(float((w[:, None] * a**2).sum()), 1e-12))
    return scale, rotation, centre_b - scale * rotation @ centre_a


def similarity_scale(matrix: Matrix) -> float:
    """How many output pixels one input pixel becomes."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2].astype(np.float64)))))


def invert(matrix: Matrix) -> Matrix:
    full = np.vstack([matrix.astype(np.float64), [0.0, 0.0, 1.0]])
    return np.linalg.inv(full)[:2].astype(np.float32)


def compose(first: Matrix, then: Matrix) -> Matrix:
    """The transform that does `first`, then `then`."""
    a = np.vstack([first.astype(np.float64), [0.0, 0.0, 1.0]])
    b = np.vstack([then.astype(np.float64), [0.0, 0.0, 1.0]])
    return (b @ a)[:2].astype(np.float32)


def transform(matrix: Matrix, points: Float[np.ndarray, "*any 2"]) -> Float32[np.ndarray, "*any 2"]:
    """Moves points."""
    moved = points.astype(np.float64) @ matrix[:, :2].T.astype(np.float64) + matrix[:, 2]
    return moved.astype(np.float32)


def warp(
    image: Shaped[np.ndarray, "h w *c"],
    matrix: Matrix,
    size_wh: tuple[int, int],
    *,
    border: int = cv2.BORDER_REPLICATE,
    interpolation: int = cv2.INTER_LINEAR,
) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """Resamples so that `matrix` takes a point of `image` to its place in the result.

    OpenCV's affine warp takes single samples, which shimmer when a picture shrinks; so where it
    shrinks by more than half, the part in view is first reduced by area averaging.
    """
    scale = similarity_scale(matrix)
    if scale < 0.5:
        image, matrix = _reduced(image, matrix, size_wh, scale)
    return cv2.warpAffine(image, _between_pixel_centres(matrix), size_wh, flags=interpolation, borderMode=border)


def _between_pixel_centres(matrix: Matrix) -> Float[np.ndarray, "2 3"]:
    centred = matrix.astype(np.float64).copy()
    centred[:, 2] += 0.5 * matrix[:, :2].sum(axis=1) - 0.5
    return centred


def _reduced(
    image: Shaped[np.ndarray, "h w *c"], matrix: Matrix, size_wh: tuple[int, int], scale: float
) -> tuple[Shaped[np.ndarray, "h2 w2 *c"], Matrix]:
    """The part of `image` that the result shows, shrunk to about the result's scale."""
    width, height = size_wh
    corners = transform(invert(matrix), np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32))
    left, top = np.clip(np.floor(corners.min(0)) - 2, 0, [image.shape[1] - 1, image.shape[0] - 1]).astype(int)
    ends = [image.shape[1], image.shape[0]]
    right, bottom = np.clip(np.ceil(corners.max(0)) + 2, [left + 1, top + 1], ends).astype(int)
    part = image[top:bottom, left:right]
    small_wh = (max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale)))
    ratio = np.array([part.shape[1] / small_wh[0], part.shape[0] / small_wh[1]])
    from_small = np.array([[ratio[0], 0, left], [0, ratio[1], top]], np.float32)
    return cv2.resize(part, small_wh, interpolation=cv2.INTER_AREA), compose(from_small, matrix)


def sample(
    image: Shaped[np.ndarray, "_h _w *c"],
    at: Float32[np.ndarray, "h w 2"],
    *,
    border: int = cv2.BORDER_REPLICATE,
    interpolation: int = cv2.INTER_LINEAR,
) -> Shaped[np.ndarray, "h w *c"]:
    """Values of a picture at positions counted BETWEEN pixel centres, as OpenCV does: the first pixel's is (0, 0)."""
    return np.asarray(cv2.remap(image, at, np.empty(0, np.float32), interpolation, borderMode=border))


def box_around(points: Float[np.ndarray, "n 2"], grow: float = 1.0) -> Box:
    """Smallest upright box around points, its sides multiplied by `grow`."""
    low, high = points.min(axis=0), points.max(axis=0)
    middle, half = (low + high) / 2, (high - low) / 2 * grow
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def box_overlap(box: Float[np.ndarray, "4"], others: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n"]:
    """Intersection over union of one box with each of the others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    area = np.prod(np.clip(box[2:] - box[:2], 0, None))
    areas = np.prod(np.clip(others[:, 2:] - others[:, :2], 0, None), axis=1)
    return common / np.maximum(area + areas - common, 1e-9)


def box_containment(box: Float[np.ndarray, "4"], others: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n"]:
    """Intersection over the smaller of two boxes: 1 where one lies wholly in the other."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    smaller = np.minimum(np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1))
    return common / np.maximum(smaller, 1e-9)


def keep_best(
    boxes: Float[np.ndarray, "n 4"], scores: Float[np.ndarray, "n"], overlap: float, containment: float = 1.1
) -> list[int]:
    """Greedy non-maximum suppression: rows kept, best score first.

    Args:
        boxes: One per candidate.
        scores: Likewise.
        overlap: A candidate that overlaps a better one by this much is dropped.
        containment: So is one that lies in a better one, or around it, by this share of the smaller.
    """
    order: list[int] = np.argsort(-scores, kind="stable").tolist()
    kept: list[int] = []
    while order:
        best = order.pop(0)
        kept.append(best)
        if order:
            rest = np.asarray(order)
            apart = box_overlap(boxes[best], boxes[rest]) < overlap
            apart &= box_containment(boxes[best], boxes[rest]) < containment
            order = rest[apart].tolist()
    return kept
