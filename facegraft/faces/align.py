"""Crops brought to a template by a similarity transform, and the way back.

A template is five points in units of the crop's side. The published numbers (`peers`: insightface, facexlib,
HifiFace, DeepFaceLab, SimSwap) were measured between pixel centres of a square of a certain size, so that
at another size a crop is off by half a pixel of the difference. `template_points` undoes that: the
point of a training-size pixel centre stays on the same spot of the face at every size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.errors import BadInputError
from facegraft.core.geometry import fit_similarity, invert, transform, warp
from facegraft.core.types import Faces, Frame, Matrix

ARCFACE_112_V2 = (
    (38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041),
)  # fmt: skip
FFHQ_512 = (
    (192.98138, 239.94708), (318.90277, 240.1936), (256.63416, 314.01935),
    (201.26117, 371.41043), (313.08905, 371.15118),
)  # fmt: skip


@dataclass(frozen=True)
class Template:
    """Five points (left eye, right eye, nose, mouth corners), in pixels between pixel centres of a square."""

    native_size: int
    points: tuple[tuple[float, float], ...]


def _unit(points: tuple[tuple[float, float], ...], size: int) -> Template:
    return Template(size, tuple((x * size, y * size) for x, y in points))


SIMSWAP_FRONT = (
    (0.35473214, 0.45658929), (0.64526786, 0.45658929), (0.5, 0.61154464),
    (0.37913393, 0.776875), (0.62086607, 0.776875),
)  # fmt: skip
HIFIFACE = (
    (0.36562865, 0.46733799), (0.63305391, 0.46585885), (0.50019127, 0.61942959),
    (0.39032951, 0.77598822), (0.61178945, 0.77476328),
)  # fmt: skip
DEEPFACELAB = (
    (0.35342266, 0.39285716), (0.62797622, 0.39285716), (0.48660713, 0.5401786),
    (0.38839287, 0.68750011), (0.59821427, 0.68750011),
)  # fmt: skip
STYLEGANEX = (
    (0.42353745, 0.52289879), (0.57725008, 0.52319972), (0.50123859, 0.61331904),
    (0.43364461, 0.68337652), (0.57015325, 0.68306005),
)  # fmt: skip
TEMPLATES: dict[str, Template] = {
    "arcface_112_v1": _unit(SIMSWAP_FRONT, 112),
    "arcface_112_v2": Template(112, ARCFACE_112_V2),
    "arcface_128": Template(128, tuple((x + 8, y) for x, y in ARCFACE_112_V2)),
    "ffhq": Template(512, FFHQ_512),
    "mtcnn_512": _unit(HIFIFACE, 512),
    "dfl_whole_face": _unit(DEEPFACELAB, 512),
    "styleganex_384": _unit(STYLEGANEX, 384),
}
POSE_TEMPLATES_112: dict[str, tuple[tuple[float, float], ...]] = {
    "left_profile": ((51.642, 50.115), (57.617, 49.99), (35.74, 69.007), (51.157, 89.05), (57.025, 89.702)),
    "left": ((45.031, 50.118), (65.568, 50.872), (39.677, 68.111), (45.177, 86.19), (64.246, 86.758)),
    "front": ((39.73, 51.138), (72.27, 51.138), (56.0, 68.493), (42.463, 87.01), (69.537, 87.01)),
    "right": ((46.845, 50.872), (67.382, 50.118), (72.737, 68.111), (48.167, 86.758), (67.236, 86.19)),
    "right_profile": ((54.796, 49.99), (60.771, 50.115), (76.673, 69.007), (55.388, 89.702), (61.257, 89.05)),
}
"""SimSwap's and GHOST's five poses in a 112 px crop; the one with the smallest residual is used."""


@dataclass(frozen=True)
class Crop:
    """A face brought to a template.

    Attributes:
        image: RGB square.
        matrix: From frame pixels to crop pixels.
    """

    image: Frame
    matrix: Matrix

    def to_frame(self, points: Float[np.ndarray, "n 2"]) -> Float32[np.ndarray, "n 2"]:
        """Where points of the crop lie in the frame."""
        return transform(invert(self.matrix), points)


def template_points(name: str, size: int) -> Float32[np.ndarray, "5 2"]:
    """A template's points in a crop of `size` pixels, with the centre of the first pixel at (0.5, 0.5).

    Raises:
        BadInputError: No template of that name.
    """
    if name not in TEMPLATES:
        raise BadInputError(f"no alignment template {name!r}; there are {', '.join(TEMPLATES)}")
    template = TEMPLATES[name]
    points = np.array(template.points, np.float64)
    return ((points + 0.5) * size / template.native_size).astype(np.float32)


def alignment(points5: Float[np.ndarray, "5 2"], template: str, size: int) -> Matrix:
    """The least-squares similarity from a face's five points to a template."""
    return fit_similarity(points5, template_points(template, size))


def best_pose_alignment(points5: Float[np.ndarray, "5 2"], size: int) -> tuple[str, Matrix]:
    """The pose template that fits with the smallest residual, and its transform."""
    fits = []
    for name, points in POSE_TEMPLATES_112.items():
        goal = ((np.array(points) + 0.5) * size / 112).astype(np.float32)
        matrix = fit_similarity(points5, goal)
        fits.append((float(np.square(transform(matrix, points5) - goal).sum()), name, matrix))
    _, name, matrix = min(fits, key=lambda fit: fit[0])
    return name, matrix


def align(frame: Frame, faces: Faces, template: str = "ffhq", size: int = 256) -> list[Crop]:
    """One crop per face, and its transform back.

    Raises:
        BadInputError: Unknown template, or a size under 8.
    """
    if size < 8:
        raise BadInputError(f"a crop needs a size of at least 8 pixels, got {size}")
    matrices = [alignment(points, template, size) for points in faces.points5]
    return [Crop(warp(frame, matrix, (size, size)), matrix) for matrix in matrices]
