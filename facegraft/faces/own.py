"""Our own networks behind `FaceNetworks`: detector, landmarks, parser and shading, as ONNX files run by ONNX Runtime.

Trained by `facegraft train configs/<network>.toml`, made into files by `facegraft export`; a card lies beside each.
Pictures go in as RGB, 0..1.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import MissingPartError
from facegraft.core.files import shown
from facegraft.core.geometry import invert, keep_best, similarity_scale, transform, warp
from facegraft.core.session import session_options
from facegraft.core.types import Frame, Mask, Matrix
from facegraft.faces.fetch import WEIGHTS
from facegraft.faces.glasses import Look, worn
from facegraft.faces.layers import smoothstep
from facegraft.faces.topology import twins

DENSE_POINTS = 468
MESH_SIDE = 128
SEEN_SIDE, CLOSE_SIDE = 160, 256
"""Of the parser's crop; and of a closer look, for rims of glasses, which are thinner than a pixel of the other."""
BROW, EYE, MOUTH, GLASSES = 2, 3, 5, 9
"""The parser's classes (`frozen.parser.CLASSES`)."""
RIM, COUNTED = (0.45, 0.75), 0.25
"""Chances of glasses at which a place covers the face a little, and wholly; and from which on it is counted."""
CLEAR = (96.0, 128.0)
"""Sides of the crop in pixels of the frame from which on a closer look tells a little, and all that it can."""
GLIMPSED = (0.004, 0.008)
"""Shares of the crop that may be glasses at the first look, from which on a closer one counts a little, and wholly. Of
400 faces of LFW 83 are looked at again."""
LIT_SIDE = 128
"""Of the shading network's crop; it answers at half the size."""
FAR_SIDE, NEAR_SIDE = 320, 160
"""Pixels of a view for the detector: faces of a twentieth of a view's side, or of a fifth and more."""
OVERLAP = 0.45
REMEMBERED = 64
"""Answers of one frame; a caller may fill the same array anew for each."""
SAME_FACE = 0.15
"""How far from a crop's middle the mean of points may lie that are of its face, in sides of the crop."""


def open_network(path: Path, threads: int) -> Any:
    """An ONNX Runtime session on the CPU.

    Raises:
        MissingPartError: The file is missing or broken.
    """
    import onnxruntime

    options = session_options(threads)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime has many classes of its own, without a common parent
        raise MissingPartError(
            f"{shown(path)}: expected a network in ONNX, which this is not; export it anew"
        ) from error


def as_input(image: Frame) -> Float32[np.ndarray, "1 3 h w"]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def _of_both(told: Float32[np.ndarray, "2 *any"]) -> Any:
    """Mean of what a network says of a crop and of its mirror image: points move back, left and right change places.

    On held-out portraits the mean lies 9 % nearer to the teacher's points than one answer, and trembles a third less.
    """
    plain, mirrored = told
    if plain.ndim:
        mirrored = mirrored[twins(len(mirrored))]
    if plain.ndim == 2:
        mirrored = mirrored * np.array([-1, 1, 1], np.float32) + np.array([1, 0, 0], np.float32)
    return (plain + mirrored) / 2


def _glimpsed(chance: Mask) -> float:
    """Whether so much of a crop may be glasses that it is looked at again, 0..1."""
    return float(smoothstep(np.array([(chance > COUNTED).mean()]), *GLIMPSED)[0])


@dataclass(frozen=True)
class Landmarks:
    """What the landmarks network says of one crop. Points in frame pixels, z in the same unit, smaller = nearer.

    Attributes:
        points: 468 of the mesh, the 68, two irises.
        sigma: Expected error of each, frame pixels.
        visible: 0 hidden .. 1 in view.
        presence: Chance that there is a face.
    """

    points: Float32[np.ndarray, "538 3"]
    sigma: Float32[np.ndarray, "538"]
    visible: Float32[np.ndarray, "538"]
    presence: float


class OwnNetworks:
    """Detector, landmarks, parser and shading. Files are opened on first use. One instance serves one thread.

    Args:
        folder: Holds `detector.onnx`, `landmarks.onnx`, `parser.onnx` and `shading.onnx`.
        threads: Of each network.
    """

    dense_points = DENSE_POINTS

    def __init__(self, folder: Path = WEIGHTS, threads: int = 1) -> None:
        self.folder, self._threads = folder, threads
        self._open: dict[str, Any] = {}
        self._frame: weakref.ref[Frame] | None = None
        self._told: list[Landmarks] = []
        """What was said last of faces of `_frame`, the last that was looked at; `REMEMBERED` at the most."""

    def _run(self, name: str, given: str, image: Float32[np.ndarray, "b 3 h w"], wanted: list[str]) -> list[Any]:
        if name not in self._open:
            path = self.folder / f"{name}.onnx"
            if not path.exists():
                raise MissingPartError(f"{shown(path)}: no such file; train and export the {name} network first")
            self._open[name] = open_network(path, self._threads)
        found: list[Any] = self._open[name].run(wanted, {given: image})
        return found

    def detect(
        self, frame: Frame, view: Matrix, view_side: float, *, near: bool, min_score: float
    ) -> tuple[Float32[np.ndarray, "n 4"], Float32[np.ndarray, "n"], Float32[np.ndarray, "n 5 2"]]:
        """Looks for faces in one square view of the frame.

        Args:
            frame: The frame.
            view: Transform from the frame to the view.
            view_side: Side of the view in its own pixels.
            near: Look at fewer pixels: for faces that fill a fifth of the view or more.
            min_score: Candidates below are left out.

        Returns:
            Boxes (view pixels, x0 y0 x1 y1), scores, and five points in FRAME pixels: eye, other eye, nose tip, corners
            of the mouth; the first of each pair is the one at the left of an upright face.
        """
        side = NEAR_SIDE if near else FAR_SIDE
        to_input = (view * np.float32(side / view_side)).astype(np.float32)
        image = warp(frame, to_input, (side, side), border=cv2.BORDER_CONSTANT)
        boxes, scores, points = self._run("detector", "image", as_input(image), ["boxes", "scores", "points"])
        rows = np.flatnonzero(scores[0] >= min_score)
        rows = rows[keep_best(boxes[0][rows], scores[0][rows], overlap=OVERLAP)]
        in_view = boxes[0][rows] * np.float32(view_side / side)
        return in_view.astype(np.float32), scores[0][rows], transform(invert(to_input), points[0][rows])

    def landmarks(self, frame: Frame, crop: Matrix) -> Landmarks:
        """What is said of the face that fills a crop: the mean of two answers, to it and to its mirror image.

        Args:
            frame: The frame.
            crop: Transform from the frame to the unit square around the face, eyes level.
        """
        to_input = (crop * np.float32(MESH_SIDE)).astype(np.float32)
        image = as_input(warp(frame, to_input, (MESH_SIDE, MESH_SIDE)))
        both = np.concatenate([image, image[..., ::-1]])
        names = ["points", "sigma", "visible", "presence"]
        points, sigma, visible, presence = (_of_both(told) for told in self._run("landmarks", "crop", both, names))
        back = invert(crop)
        unit = np.float32(np.sqrt(abs(np.linalg.det(back[:, :2]))))
        placed = np.concatenate([transform(back, points[:, :2]), points[:, 2:] * unit], axis=1)
        found = Landmarks(placed.astype(np.float32), sigma * unit, visible, float(presence))
        self._told = [*self._told_of(frame), found][-REMEMBERED:]
        self._frame = weakref.ref(frame)
        return found

    def _told_of(self, frame: Frame) -> list[Landmarks]:
        """Nothing of a frame that is gone, whose place in memory another may have."""
        return self._told if self._frame is not None and self._frame() is frame else []

    def mesh(self, frame: Frame, crop: Matrix) -> tuple[Float32[np.ndarray, "468 3"], float]:
        """Dense points of the face that fills the crop, in frame pixels, and the chance that there is a face."""
        found = self.landmarks(frame, crop)
        return found.points[:DENSE_POINTS], found.presence

    def irises(self, frame: Frame, crop: Matrix) -> Float32[np.ndarray, "2"]:
        """The chance that each iris is in view, the left one of an upright face first: closed lids hide it.

        Of a face whose points were just found in this frame it is known already.

        Args:
            frame: The frame.
            crop: Transform from the frame to the unit square around the face, eyes level.
        """
        told = self._told_of(frame)
        middles = [transform(crop, each.points[:DENSE_POINTS, :2]).mean(axis=0) for each in told]
        same = [each for each, middle in zip(told, middles, strict=True) if np.abs(middle - 0.5).max() < SAME_FACE]
        return (same[-1] if same else self.landmarks(frame, crop)).visible[-2:]

    def uncovered(self, frame: Frame, crop: Matrix) -> tuple[Mask, Mask]:
        """Where the inner face is seen: 1 = nothing lies before it; and where the inside of its mouth is, 0..1.

        Args:
            frame: The frame.
            crop: Transform from the frame to the unit square around the face, eyes level.

        Returns:
            Over that square, `SEEN_SIDE` pixels wide; the first `CLOSE_SIDE` where the first look may see glasses.
        """
        to_input = (crop * np.float32(SEEN_SIDE)).astype(np.float32)
        image = warp(frame, to_input, (SEEN_SIDE, SEEN_SIDE))
        labels, visible = self._run("parser", "crop", as_input(image), ["labels", "visible"])
        share: Mask = visible[0, 0]
        mouth: Mask = labels[0, MOUTH]
        glimpsed = _glimpsed(labels[0, GLASSES])
        if glimpsed == 0:
            return share, mouth
        close, clear = self.looked_again(frame, crop)
        wears = worn(close)
        rims = smoothstep(clear * close.glasses, *RIM) * np.float32(glimpsed * wears)
        brows = labels[0, GLASSES] * np.float32(glimpsed * clear * (1 - wears))  # and sockets: taken for rims
        free = np.minimum(share + brows, np.float32(1))
        fine = cv2.resize(free, (CLOSE_SIDE, CLOSE_SIDE), interpolation=cv2.INTER_LINEAR)
        return np.asarray(fine * (1 - rims), np.float32), mouth

    def glasses(self, frame: Frame, crop: Matrix) -> Mask:
        """The chance of frames and dark lenses of glasses over the square of `uncovered`, `CLOSE_SIDE` pixels wide.

        In crops of few pixels of the frame (`CLEAR`) lids and sockets look like rims: nothing is said of those.
        """
        close, clear = self.looked_again(frame, crop)
        return np.asarray(close.glasses * np.float32(clear * worn(close)), np.float32)

    def looked_again(self, frame: Frame, crop: Matrix) -> tuple[Look, float]:
        """A closer look at the square of `uncovered`, and how much that can tell of glasses, 0..1."""
        to_input = (crop * np.float32(CLOSE_SIDE)).astype(np.float32)
        image = warp(frame, to_input, (CLOSE_SIDE, CLOSE_SIDE))
        labels, visible = self._run("parser", "crop", as_input(image), ["labels", "visible"])
        clear = float(smoothstep(np.array([1 / similarity_scale(crop)]), *CLEAR)[0])
        return Look(labels[0, GLASSES], labels[0, BROW], labels[0, EYE], visible[0, 0]), clear

    def shading(self, frame: Frame, crop: Matrix) -> Float32[np.ndarray, "s s 3"]:
        """Logarithms of the factors that bring a face's pixel values, RGB, to even light.

        Args:
            frame: The frame.
            crop: Transform from the frame to the unit square around the face, eyes level.

        Returns:
            Over that square, half of `LIT_SIDE` pixels wide.
        """
        to_input = (crop * np.float32(LIT_SIDE)).astype(np.float32)
        image = warp(frame, to_input, (LIT_SIDE, LIT_SIDE))
        (factors,) = self._run("shading", "crop", as_input(image), ["factors"])
        return np.ascontiguousarray(factors[0].transpose(1, 2, 0), np.float32)
