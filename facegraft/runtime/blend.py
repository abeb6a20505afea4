"""A network's crop back into the frame: enlarged, as sharp as the frame, laid only where the face itself is seen."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import compose, invert, similarity_scale, transform, warp
from facegraft.core.types import Face, Frame, Mask, Matrix, Patch
from facegraft.faces.layers import smoothstep
from facegraft.faces.mesh import grid_over
from facegraft.faces.visible import Uncovered
from facegraft.runtime.light import match_sharpness, match_tone
from facegraft.runtime.warp import working_box

CELLS = 160
"""Along the longer side of a face's box: the mask is made there and enlarged."""
FOREHEAD = 2.2
"""Height of the face above the eyes, in that of the mesh, which ends half-way up the forehead; hair ends it earlier."""
GROW = 0.08
"""By how much the outline is larger than the points' hull."""
SEEN_MARGIN = 1.8
"""Side of the crop over which the networks say what is uncovered, in sides of the box around the points: it holds the
forehead."""
EDGE = 0.03
"""Softness of the edge, in outer-eye distances."""
SOFT = (0.2, 0.8)
"""Of the softened mask: below, nothing is taken; above, all."""
TONE = 1.0
"""How much of the frame's tone a face takes over: nothing that networks learn by holds the skin's colour where the
right answer is not known, and it must go with neck and ears."""
TONE_REACH = 0.4
"""How smooth tone is taken to be, in outer-eye distances."""
PAD = 16
CHIN = 152
CRISPEST = 1.5
"""Most fine detail that is added to a network's, in parts of its own."""
GRAIN = 6.0
"""Levels of 8 bits: what a crop loses counts as grain well below this, as an edge above."""
RIM = 0.05
"""Width of the soft edge inside the crop's border, in its sides."""


def put_back(
    frame: Frame,
    face: Face,
    matrix: Matrix,
    crop: Frame,
    image: Float32[np.ndarray, "s s 3"],
    mask: Mask,
    uncovered: Uncovered | None = None,
    tone: float | int = TONE,
) -> Patch | None:
    """The change that puts a swapped crop into its frame.

    Args:
        frame: The attribute frame; not touched.
        face: Whose face is replaced.
        matrix: From the frame to the crop.
        crop: What the network was shown.
        image: What a network made of the crop, 0..255.
        mask: What it says to take of it.
        uncovered: Where the networks see nothing before the face; None: everywhere.
        tone: How much of the frame's own smooth light and skin tone the face takes over, 0..1.

    Returns:
        What to add to the frame; None where the face lies outside it.
    """
    shape = outline(face.dense)
    box = working_box(shape, frame.shape[1], frame.shape[0])
    if box is None:
        return None
    left, top, right, bottom = box
    original = frame[top:bottom, left:right]
    size_wh = (right - left, bottom - top)
    back = compose(invert(matrix), np.array([[1, 0, -left], [0, 1, -top]], np.float32))
    share = inner_face(face.dense, shape, box, uncovered)
    share = share * warp(mask * _rim(len(mask)), back, size_wh, border=cv2.BORDER_CONSTANT)
    swapped = enlarged(image, back, size_wh)
    eye_distance = float(np.linalg.norm(face.dense[33] - face.dense[263]))
    swapped = match_tone(swapped, original, share, TONE_REACH * eye_distance, tone)
    zoom = similarity_scale(back)
    if zoom > 1:
        kept = enlarged(crop, back, size_wh)
        swapped = with_grain(crisper(swapped, kept, share, zoom), kept, original, zoom)
    else:
        swapped = softer(swapped, original, share)
    delta = (swapped - original) * share[..., None]
    return Patch(left, top, np.asarray(delta, np.float32))


def enlarged(
    image: Frame | Float32[np.ndarray, "s s 3"], back: Matrix, size_wh: tuple[int, int]
) -> Float32[np.ndarray, "h w 3"]:
    """A crop brought to the frame's pixels; 0..255."""
    how = cv2.INTER_LANCZOS4 if similarity_scale(back) > 1 else cv2.INTER_LINEAR
    return np.clip(warp(image.astype(np.float32), back, size_wh, interpolation=how), 0, 255)


def crisper(
    swapped: Float32[np.ndarray, "h w 3"], kept: Float32[np.ndarray, "h w 3"], share: Mask, zoom: float
) -> Float32[np.ndarray, "h w 3"]:
    """Sharpens what a network made softer than what it was shown, up to `CRISPEST` times the fine detail."""
    fine, wanted = (_fine(picture, zoom) for picture in (swapped, kept))
    ratio = float((np.abs(wanted) * share[..., None]).sum() / max((np.abs(fine) * share[..., None]).sum(), 1e-3))
    return np.clip(swapped + np.float32(np.clip(ratio - 1, 0, CRISPEST - 1)) * fine, 0, 255)


def with_grain(
    swapped: Float32[np.ndarray, "h w 3"], kept: Float32[np.ndarray, "h w 3"], original: Frame, zoom: float
) -> Float32[np.ndarray, "h w 3"]:
    """Adds what was too fine for the crop: pores and noise of the frame, but no edges, which are the other person's."""
    lost = original - kept
    strength = cv2.GaussianBlur(cv2.cvtColor(np.square(lost), cv2.COLOR_RGB2GRAY), (0, 0), 2 * zoom)
    return swapped + lost / (1 + strength / GRAIN**2)[..., None]


def softer(swapped: Float32[np.ndarray, "h w 3"], original: Frame, share: Mask) -> Float32[np.ndarray, "h w 3"]:
    """Blurs what is clearly sharper than the frame."""
    return match_sharpness(np.rint(swapped).astype(np.uint8), original, share).astype(np.float32)


def _fine(image: Float32[np.ndarray, "h w 3"], zoom: float) -> Float32[np.ndarray, "h w 3"]:
    return image - cv2.GaussianBlur(image, (0, 0), zoom)


def inner_face(
    dense: Float32[np.ndarray, "k 3"],
    shape: Float32[np.ndarray, "n 2"],
    box: tuple[int, int, int, int],
    uncovered: Uncovered | None,
) -> Mask:
    """1 where the face itself is seen, softly 0 towards its outline and whatever lies before it.

    Args:
        dense: The face's points.
        shape: Its `outline`.
        box: Left, top, right, bottom in frame pixels.
        uncovered: See `put_back`.
    """
    grid = grid_over(box, CELLS)
    size_wh = (box[2] - box[0], box[3] - box[1])
    eye_cells = float(np.linalg.norm(dense[33] - dense[263])) / grid.cell_wh[0]
    places = transform(grid.to_grid(), shape) - np.float32(0.5)  # OpenCV draws between cell centres
    seen = np.zeros((grid.size_wh[1], grid.size_wh[0]), np.float32)
    cv2.fillPoly(seen, [np.rint(places * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    if uncovered is not None:
        seen *= uncovered.over(grid.to_grid(), grid.size_wh)
    return np.asarray(cv2.resize(softened(seen, EDGE * eye_cells), size_wh, interpolation=cv2.INTER_LINEAR), np.float32)


def softened(seen: Mask, sigma: float) -> Mask:
    """A mask with a soft edge, half-way where its own edge lies: one that lay inside would leave a rim of old skin."""
    pad = PAD
    framed = cv2.copyMakeBorder(seen, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(framed, (0, 0), max(sigma, 0.3))[pad:-pad, pad:-pad]
    return smoothstep(soft, *SOFT)


def outline(dense: Float32[np.ndarray, "k 3"]) -> Float32[np.ndarray, "n 2"]:
    """A convex outline that holds the face up to its hair: the mesh ends half-way up the forehead."""
    flat = dense[:, :2]
    eyes = (flat[33] + flat[263]) / 2
    up = eyes - flat[CHIN]
    up = up / max(float(np.linalg.norm(up)), 1e-6)
    height = np.maximum((flat - eyes) @ up, 0)
    hull = cv2.convexHull((flat + (FOREHEAD - 1) * height[:, None] * up).astype(np.float32))[:, 0]
    middle = hull.mean(axis=0)
    return np.asarray(middle + (hull - middle) * (1 + GROW), np.float32)


def _rim(side: int) -> Mask:
    """1 inside a crop, softly 0 towards its border."""
    away = np.minimum(np.arange(side), side - 1 - np.arange(side)).astype(np.float32)
    ramp = smoothstep(away, 0.0, RIM * side)
    return np.minimum(ramp[:, None], ramp[None])
