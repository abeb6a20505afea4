"""What the light of a picture does to a face, as the networks see it: factors that would undo it, and their use."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import compose, invert, sample, transform, warp
from facegraft.core.types import Matrix

Levels = Float32[np.ndarray, "h w 3"]


@dataclass(frozen=True)
class Shading:
    """The light on one face.

    Attributes:
        factors: Logarithms of the factors that bring pixel values, RGB, to even, white light; over a square around the
            face. Each channel as a whole may be off by one factor.
        from_frame: From frame pixels to pixels of `factors`.
    """

    factors: Float32[np.ndarray, "s s 3"]
    from_frame: Matrix

    def over(self, to_image: Matrix, size_wh: tuple[int, int]) -> Levels:
        """The logarithms on another raster, to which `to_image` takes frame pixels; beyond the square its border's."""
        return np.asarray(warp(self.factors, compose(invert(self.from_frame), to_image), size_wh), np.float32)

    def at(self, places: Float32[np.ndarray, "h w 2"]) -> Levels:
        """The logarithms at places of the frame, in its pixels."""
        return np.asarray(sample(self.factors, transform(self.from_frame, places) - np.float32(0.5)), np.float32)
