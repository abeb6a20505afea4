"""A teacher: the model files of MediaPipe 0.10.21 (Apache-2.0), run without its package by LiteRT.

Our own networks (`faces/own.py`) do the work; these label photographs for their training and are measured beside
them. Anchor layouts, input ranges and crop margins are those of the published model cards and graph files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, Float32

from facegraft.core.errors import MissingPartError
from facegraft.core.geometry import invert, similarity_scale, transform, warp
from facegraft.core.quiet import quiet_stderr
from facegraft.core.types import Frame, Mask, Matrix
from facegraft.faces.fetch import model_path

DENSE_POINTS = 468
PALM_MIN_SCORE = 0.5
HAND_MIN_SCORE = 0.6
HAND_VIEW = 1.8
"""Side of the square in which hands are looked for, in sides of the crop."""
SEEN_SIDE = 160
HAND_HULL = (
    (0, 1, 2, 5, 9, 13, 17),  # palm
    (1, 2, 3, 4),
    (5, 6, 7, 8),
    (9, 10, 11, 12),
    (13, 14, 15, 16),
    (17, 18, 19, 20),
)
"""Chains of hand points: the palm's outline, then thumb to little finger."""


class Network:
    """One .tflite file on the CPU. Not safe to share between threads."""

    def __init__(self, path: Path, threads: int) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError as error:
            raise MissingPartError(
                "MediaPipe's networks need the extra `mediapipe`: pip install 'facegraft[mediapipe]'"
            ) from error
        try:
            self._interpreter = Interpreter(str(path), num_threads=threads)
        except ValueError as error:
            raise MissingPartError(
                f"{path.name} is broken; run `facegraft models fetch --teacher` to get it anew"
            ) from error
        with quiet_stderr("litert"):
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]
        self._outputs = self._interpreter.get_output_details()
        self.side = int(self._input["shape"][1])

    def __call__(self, image: Float32[np.ndarray, "s s 3"]) -> list[Any]:
        self._interpreter.set_tensor(self._input["index"], image[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(output["index"])[0] for output in self._outputs]


def _sigmoid(logits: Float[np.ndarray, "*n"]) -> Float[np.ndarray, "*n"]:
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))


def anchors(side: int, layers: tuple[tuple[int, int], ...]) -> Float32[np.ndarray, "n 2"]:
    """Centres (0..1) of a single-shot detector's cells: for each (stride, cells per place), row by row."""
    grids = []
    for stride, repeats in layers:
        cells = side // stride
        axis = (np.arange(cells) + 0.5) / cells
        x, y = np.meshgrid(axis, axis)
        grids.append(np.repeat(np.stack([x.ravel(), y.ravel()], 1), repeats, axis=0))
    return np.concatenate(grids).astype(np.float32)


class MediaPipeNetworks:
    """Detectors, face mesh and hands. One instance serves one thread."""

    dense_points = DENSE_POINTS

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._loaded: dict[str, Network] = {}
        self._anchors = {
            "detector_full": anchors(192, ((4, 1),)),
            "detector_short": anchors(128, ((8, 2), (16, 6))),
            "palm": anchors(192, ((8, 2), (16, 6))),
        }

    def _network(self, name: str) -> Network:
        if name not in self._loaded:
            self._loaded[name] = Network(model_path(name), self._threads)
        return self._loaded[name]

    def detect(
        self, frame: Frame, view: Matrix, view_side: float, *, near: bool, min_score: float
    ) -> tuple[Float32[np.ndarray, "n 4"], Float32[np.ndarray, "n"], Float32[np.ndarray, "n 6 2"]]:
        """Looks for faces in one square view of the frame.

        Args:
            frame: The frame.
            view: Transform from the frame to the view.
            view_side: Side of the view in its own pixels.
            near: Use the short-range network: for faces that fill a fifth of the view or more.
            min_score: Candidates below are left out.

        Returns:
            Boxes (view pixels, x0 y0 x1 y1), scores, and six points in FRAME pixels: the eye at the left of
            the view, the other eye, nose tip, mouth centre, left ear, right ear.
        """
        name = "detector_short" if near else "detector_full"
        return self._single_shot(name, frame, view, view_side, min_score, points=6)

    def _single_shot(
        self, name: str, frame: Frame, view: Matrix, view_side: float, min_score: float, points: int
    ) -> tuple[Float32[np.ndarray, "n 4"], Float32[np.ndarray, "n"], Float32[np.ndarray, "n p 2"]]:
        network = self._network(name)
        shrink = np.float32(network.side / view_side)
        to_input = (view * shrink).astype(np.float32)
        image = warp(frame, to_input, (network.side, network.side), border=cv2.BORDER_CONSTANT)
        low, span = (0.0, 255.0) if name == "palm" else (127.5, 127.5)
        outputs = network((image.astype(np.float32) - low) / np.float32(span))
        regressors, logits = sorted(outputs, key=lambda output: -output.shape[-1])
        scores = _sigmoid(logits[:, 0])
        rows = np.flatnonzero(scores >= min_score)
        values = regressors[rows].reshape(len(rows), regressors.shape[1] // 2, 2) / network.side
        centres = self._anchors[name][rows]
        middle, size = (centres + values[:, 0]) * view_side, values[:, 1] * view_side
        boxes = np.concatenate([middle - size / 2, middle + size / 2], axis=1)
        in_view = (values[:, 2 : 2 + points] + centres[:, None]) * view_side
        return boxes.astype(np.float32), scores[rows].astype(np.float32), transform(invert(view), in_view)

    def mesh(self, frame: Frame, crop: Matrix) -> tuple[Float32[np.ndarray, "468 3"], float]:
        """Dense points of the face that fills the crop.

        Args:
            frame: The frame.
            crop: Transform from the frame to the unit square around the face, eyes level.

        Returns:
            x, y in frame pixels, z in the same unit (0 near the head's middle, smaller = nearer), and
            the probability that there is a face at all.
        """
        network = self._network("mesh")
        to_input = (crop * np.float32(network.side)).astype(np.float32)
        image = warp(frame, to_input, (network.side, network.side))
        outputs = network(image.astype(np.float32) / np.float32(255))
        flat, logit = sorted((output.ravel() for output in outputs), key=len, reverse=True)
        points = flat.reshape(DENSE_POINTS, 3)
        back = invert(to_input)
        unit = np.sqrt(abs(np.linalg.det(back[:, :2])))
        dense = np.concatenate([transform(back, points[:, :2]), points[:, 2:] * unit], axis=1)
        return dense.astype(np.float32), float(_sigmoid(logit)[0])

    def uncovered(self, frame: Frame, crop: Matrix) -> tuple[Mask, Mask]:
        """Where no hand lies before the face that fills the crop, and no mouth: nothing else is looked for.

        Args:
            frame: The frame.
            crop: Transform from the frame to the unit square around the face, eyes level.

        Returns:
            1 = no hand, over that square, `SEEN_SIDE` pixels wide.
        """
        middle, unit = transform(invert(crop), np.array([[0.5, 0.5]], np.float32))[0], 1 / similarity_scale(crop)
        side = HAND_VIEW * unit
        view = np.array([[1, 0, side / 2 - middle[0]], [0, 1, side / 2 - middle[1]]], np.float32)
        to_mask = (crop * np.float32(SEEN_SIDE)).astype(np.float32)
        covered = np.zeros((SEEN_SIDE, SEEN_SIDE), np.float32)
        for hand in self.hands(frame, view, side):
            draw_hand(covered, hand, to_mask)
        return np.asarray(1 - covered, np.float32), np.zeros_like(covered)

    def irises(self, frame: Frame, crop: Matrix) -> Float32[np.ndarray, "2"]:
        """Nothing is said of irises: they count as seen."""
        return np.ones(2, np.float32)

    def glasses(self, frame: Frame, crop: Matrix) -> Mask:
        """Nothing is said of glasses: there are none."""
        return np.zeros((2, 2), np.float32)

    def shading(self, frame: Frame, crop: Matrix) -> Float32[np.ndarray, "s s 3"]:
        """Nothing is said of light: all factors are 1."""
        return np.zeros((2, 2, 3), np.float32)

    def hands(self, frame: Frame, view: Matrix, view_side: float) -> list[Float32[np.ndarray, "21 3"]]:
        """Hands in one square view: 21 points each (frame pixels; z in the same unit)."""
        boxes, scores, points = self._single_shot("palm", frame, view, view_side, PALM_MIN_SCORE, points=7)
        found: list[Float32[np.ndarray, "21 3"]] = []
        for row in np.argsort(-scores)[:8]:
            side = float((boxes[row, 2:] - boxes[row, :2]).max()) / max(
                float(np.sqrt(abs(np.linalg.det(view[:, :2])))), 1e-9
            )
            if any(np.linalg.norm(hand[9, :2] - points[row, 2]) < 0.5 * side for hand in found):
                continue
            hand, score = self._hand(frame, points[row], side)
            if score >= HAND_MIN_SCORE:
                found.append(hand)
        return found

    def _hand(
        self, frame: Frame, palm: Float32[np.ndarray, "7 2"], side: float
    ) -> tuple[Float32[np.ndarray, "21 3"], float]:
        """One hand from its palm: the crop is 2.6 palms wide, turned so that the fingers point up."""
        network = self._network("hand")
        direction = palm[2] - palm[0]
        turn = np.arctan2(direction[0], -direction[1])
        up = direction / max(float(np.linalg.norm(direction)), 1e-6)
        middle = (palm[0] + palm[2]) / 2 + up * 0.35 * side
        scale = network.side / (2.6 * side)
        cos, sin = np.cos(turn) * scale, np.sin(turn) * scale
        shift = network.side / 2 - np.array([[cos, sin], [-sin, cos]]) @ middle
        crop = np.array([[cos, sin, shift[0]], [-sin, cos, shift[1]]], np.float32)
        image = warp(frame, crop, (network.side, network.side), border=cv2.BORDER_CONSTANT)
        outputs = network(image.astype(np.float32) / np.float32(255))
        in_crop = outputs[0].reshape(21, 3)
        unit = 1 / scale
        points = np.concatenate([transform(invert(crop), in_crop[:, :2]), in_crop[:, 2:] * unit], axis=1)
        return points.astype(np.float32), float(outputs[1].ravel()[0])


def draw_hand(mask: Mask, hand: Float32[np.ndarray, "21 3"], to_mask: Matrix) -> None:
    """Fills a hand's outline with 1: the palm's hull and fingers as thick lines."""
    points = transform(to_mask, hand[:, :2])
    palm_width = float(np.linalg.norm(points[5] - points[17]))
    thickness = max(1, round(palm_width * 0.34))
    fixed = np.rint(points).astype(np.int32)
    cv2.fillConvexPoly(mask, cv2.convexHull(fixed[list(HAND_HULL[0])]), 1.0)
    cv2.polylines(mask, [fixed[[0, 5, 17]]], isClosed=True, color=1.0, thickness=thickness)
    for finger in HAND_HULL[1:]:
        cv2.polylines(mask, [fixed[list(finger)]], isClosed=False, color=1.0, thickness=thickness)
