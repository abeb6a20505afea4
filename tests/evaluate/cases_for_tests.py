"""What tests of evaluation share: our networks, opened once; small pictures; and pictures whose faces are known."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.image import read_picture
from facegraft.core.types import Face, Frame
from facegraft.evaluate.look import Eyes, Seen, Views
from facegraft.evaluate.protocol import Case, Exact
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader, FaceAttributes
from facegraft.faces.topology import LEFT_EYE, RIGHT_EYE
from tests.faces.drawn import as_faces, draw, painted, posed

EXAMPLES = Path(__file__).parents[2] / "examples"


class Slopes:
    """A feature without a network: brightness and its slopes, at a quarter of the size."""

    size_px = 32

    def maps(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n c h w"]:
        grey = crops.astype(np.float32).mean(3)
        parts = np.stack([grey + 1, np.gradient(grey, axis=1), np.gradient(grey, axis=2)], 1)
        size = self.size_px // 4
        return np.stack([[cv2.resize(part, (size, size), interpolation=cv2.INTER_AREA) for part in of] for of in parts])


@functools.cache
def own_eyes() -> Eyes:
    """Our networks, no judge, and a feature that needs no file."""
    return Eyes(Analyser(), AttributeReader(), {}, Slopes())


@functools.cache
def example(name: str, side: int = 160) -> Frame:
    """A picture of examples/ whose longer side has so many pixels; nobody in it is real. Not to be written into."""
    frame = read_picture(EXAMPLES / f"{name}.jpg").frame
    scale = side / max(frame.shape[:2])
    small = np.asarray(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
    small.setflags(write=False)
    return small


def case_of_examples(identity: str = "identity_1", attribute: str = "identity_2", *, truth: bool = True) -> Case:
    """Two example people; the truth, which nobody rendered, is the attribute picture lit a little brighter."""
    picture = example(attribute)
    brighter = np.clip(picture.astype(np.int32) + 6, 0, 255).astype(np.uint8)
    return Case("pair", example(identity), picture, identity, attribute, truth=brighter if truth else None)


def drawn_face(*, eyes_at: float | None = None, **pose: object) -> tuple[Frame, Face]:
    """A drawn face 80 px between the eye corners; with `eyes_at`, dark irises so far right of the middle of white eyes.

    The unit of `eyes_at` is an eye's width.
    """
    dense = posed(**pose)  # type: ignore[arg-type]
    frame = draw(dense, painted((205, 165, 140), 6)).copy()
    if eyes_at is not None:
        for ring in (LEFT_EYE, RIGHT_EYE):
            points = dense[list(ring), :2]
            inside = np.zeros(frame.shape[:2], np.uint8)
            cv2.fillPoly(inside, [np.rint(points).astype(np.int32)], 1)
            width = float(np.linalg.norm(points[8] - points[0]))
            middle = (points[0] + points[8]) / 2 + [eyes_at * width, 0]
            y, x = np.indices(inside.shape) + 0.5
            iris = np.hypot(x - middle[0], y - middle[1]) < 0.18 * width
            frame[inside > 0] = (225, 225, 225)
            frame[(inside > 0) & iris] = (40, 30, 25)
    return frame, as_faces(dense)[0]


def told(
    *,
    pose: tuple[float, float, float] = (0, 0, 0),
    gaze: tuple[float, float] = (0, 0),
    opening: tuple[float, float, float] = (0.3, 0.3, 0.05),
    expression: float = 0.2,
) -> FaceAttributes:
    """What a network might say of a face."""
    harmonics = np.full((9, 3), 0.1, np.float32)
    harmonics[0] = 1
    return FaceAttributes(
        np.array(pose, np.float32),
        np.tile(np.array(gaze, np.float32), (2, 1)),
        np.array(opening, np.float32),
        np.full(33, expression, np.float32),
        harmonics,
    )


def known(frame: Frame, face: Face | None, attributes: FaceAttributes | None = None) -> Seen:
    """A picture of which it is known what is seen; nothing of it is asked of a network."""
    seen = Seen(own_eyes(), frame)
    seen.face = face  # type: ignore[misc]  # a cached property takes what it would have found
    seen.attributes = attributes if face is not None else None  # type: ignore[misc]  # likewise
    return seen


def known_views(attribute: Seen, swapped: Seen, truth: Seen | None = None) -> Views:
    """Views of a case that swaps a person with themselves."""
    return Views(attribute, attribute, swapped, truth)


def plain_case(attribute: Frame, truth: Frame | None = None, **exact: np.ndarray) -> Case:
    """A case whose identity picture does not matter."""
    return Case("plain", attribute, attribute, "one", "other", truth=truth, exact=Exact(**exact))


def flat(level: int, size_hw: tuple[int, int] = (40, 50)) -> Frame:
    """A frame of one grey."""
    return np.full((*size_hw, 3), level, np.uint8)


def noise(seed: int, size_hw: tuple[int, int] = (40, 50)) -> Frame:
    """A frame of noise."""
    return np.random.default_rng(seed).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
