"""What of an attribute face is in view: the rest (hair, glasses, hands, things) stays as it is in the frame."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import compose, invert, sample, transform, warp
from facegraft.core.types import Face, Frame, Mask, Matrix
from facegraft.faces.layers import LAYER_SCALE, MARK, pack, smoothstep, to_pixels, with_features
from facegraft.faces.mesh import grid_over, interpolate, rasterise
from facegraft.faces.parse import skin_likeness
from facegraft.faces.topology import Topology

MASK_CELLS = 128
"""Along the longer side of a face: the mask is made there and enlarged."""
DOUBT = (0.3, 0.7)
"""Shares at which a place counts as covered, and as free."""
CERTAIN = (0.9, 0.99)
"""Shares from which on the colour of skin is not asked any more: beards and shadows are the face's too."""


@dataclass(frozen=True)
class Uncovered:
    """Where nothing lies before a face, as the networks see it.

    Attributes:
        share: 0 covered .. 1 the face itself, over a square around it.
        from_frame: From frame pixels to pixels of `share`.
        glasses: Chance of frames and dark lenses over the same square, in pixels of its own; None: nobody looked.
        mouth: Chance of the mouth's inside, likewise; None: points alone tell.
        irises: Chance that the left and the right iris is in view (`Analyser.irises`); None: nobody looked.
    """

    share: Mask
    from_frame: Matrix
    glasses: Mask | None = None
    mouth: Mask | None = None
    irises: Float32[np.ndarray, "2"] | None = None

    def over(self, to_image: Matrix, size_wh: tuple[int, int]) -> Mask:
        """The same on another raster, to which `to_image` takes frame pixels."""
        return sharper(self.share_over(to_image, size_wh))

    def share_over(self, to_image: Matrix, size_wh: tuple[int, int]) -> Mask:
        """The same, with all of the network's doubt."""
        return warp(self.share, compose(invert(self.from_frame), to_image), size_wh)

    def glasses_at(self, places: Float32[np.ndarray, "h w 2"]) -> Mask | None:
        """Chance of glasses at places of the frame, in its pixels; None where nobody looked."""
        if self.glasses is None:
            return None
        finer = np.float32(len(self.glasses) / len(self.share))
        return sample(self.glasses, transform(self.from_frame, places) * finer - np.float32(0.5))

    def mouth_over(self, to_image: Matrix, size_wh: tuple[int, int]) -> Mask | None:
        """Chance of the mouth's inside on another raster, to which `to_image` takes frame pixels."""
        if self.mouth is None:
            return None
        from_frame = (self.from_frame * np.float32(len(self.mouth) / len(self.share))).astype(np.float32)
        return warp(self.mouth, compose(invert(from_frame), to_image), size_wh)

    def share_at(self, places: Float32[np.ndarray, "h w 2"]) -> Mask:
        """The same at places of the frame, in its pixels."""
        return sample(self.share, transform(self.from_frame, places) - np.float32(0.5))


def sharper(share: Mask) -> Mask:
    """The network's doubt about an outline is wider than the outline."""
    return smoothstep(share, *DOUBT)


def certain(share: Mask) -> Mask:
    """Where the network has no doubt that the face itself is seen."""
    return smoothstep(share, *CERTAIN)


def visible_face(image: Frame, uv: Float32[np.ndarray, "h w 2"], topology: Topology, share: Mask | None) -> Mask:
    """1 where the face itself is seen.

    That is where the networks see it, and the colour is that of skin, unless they are certain.

    Args:
        image: The box around the face, on the plan's grid.
        uv: Place of each cell in the unrolled face.
        topology: The mesh's facts.
        share: Where the networks see nothing before it, on the same grid; None: colour alone tells.
    """
    packed = pack(LAYER_SCALE, "sure", "safe", "skin", "drawn")
    at = to_pixels(uv, topology, LAYER_SCALE)
    sure, safe, skin, drawn = cv2.split(sample(packed, at, border=cv2.BORDER_CONSTANT))
    free = np.ones(image.shape[:2], np.float32) if share is None else sharper(share)
    cells = _cells_per_unit(uv)
    like = skin_likeness(image, sure * free, safe, mark_px=round(MARK * cells))
    seen = with_features(like.skin * free, skin, drawn * free, cells)
    if share is not None:
        seen = np.maximum(seen, certain(share))
    return np.asarray(cv2.GaussianBlur(seen, (0, 0), 0.8))


def _cells_per_unit(uv: Float32[np.ndarray, "h w 2"]) -> float:
    """Grid cells per outer-eye distance, from the middle of the face."""
    row, column = uv.shape[0] // 2, uv.shape[1] // 2
    step = float(np.linalg.norm(uv[row, min(column + 2, uv.shape[1] - 1)] - uv[row, max(column - 2, 0)])) / 4
    return 1 / max(step, 1e-3)


def visible_mask(frame: Frame, face: Face, topology: Topology, uncovered: Uncovered | None = None) -> Mask:
    """The part of a face that is in view, over the whole frame: 1 = face, 0 = hair, glasses, hands, background.

    Args:
        frame: The frame.
        face: One of its faces.
        topology: The mesh's facts.
        uncovered: What `Analyser.uncovered` says of it.
    """
    low, high = np.floor(face.dense[:, :2].min(axis=0)).astype(int), np.ceil(face.dense[:, :2].max(axis=0)).astype(int)
    left, top = np.maximum(low, 0).tolist()
    right, bottom = np.minimum(high, [frame.shape[1], frame.shape[0]]).tolist()
    mask = np.zeros(frame.shape[:2], np.float32)
    if right - left < 8 or bottom - top < 8:
        return mask
    grid = grid_over((left, top, right, bottom), MASK_CELLS)
    raster = rasterise(face.dense, topology.triangles, grid)
    uv = interpolate(raster, face.dense, topology.uv, topology.triangles)
    small = cv2.resize(frame[top:bottom, left:right], grid.size_wh, interpolation=cv2.INTER_AREA)
    share = None if uncovered is None else uncovered.share_over(grid.to_grid(), grid.size_wh)
    seen = visible_face(small, uv, topology, share) * raster.covered()
    mask[top:bottom, left:right] = cv2.resize(seen, (right - left, bottom - top), interpolation=cv2.INTER_LINEAR)
    return mask
