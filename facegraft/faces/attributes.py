"""What a face does and how it is lit, read by our attributes network: pose, gaze, openings, expression, light."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from facegraft.core.geometry import warp
from facegraft.core.types import Frame, Matrix
from facegraft.faces.fetch import WEIGHTS
from facegraft.faces.own import as_input, open_network

SIDE = 128
OUTPUTS = ("pose", "gaze", "opening", "expression", "light")


@dataclass(frozen=True)
class FaceAttributes:
    """What is read of one face; units and order as `frozen.attributes.Attributes.forward` gives them.

    Attributes:
        pose_degrees: Yaw, pitch, roll in the crop, whose eyes are level.
        gaze_degrees: Yaw and pitch in the head, of the eye at the left of the frame and of the other one.
        opening: Gap over width: left eye, right eye, mouth.
        expression: Weights 0..1 of action units.
        light: Spherical harmonics; the mean of the first row is 1.
    """

    pose_degrees: Float32[np.ndarray, "3"]
    gaze_degrees: Float32[np.ndarray, "2 2"]
    opening: Float32[np.ndarray, "3"]
    expression: Float32[np.ndarray, "e"]
    light: Float32[np.ndarray, "9 3"]


class AttributeReader:
    """Holds the network. One instance serves one thread.

    Raises:
        MissingPartError: The file is missing or broken.
    """

    def __init__(self, path: Path = WEIGHTS / "attributes.onnx", *, threads: int = 1) -> None:
        self._session = open_network(path, threads)

    def read(self, frame: Frame, crop: Matrix) -> FaceAttributes:
        """What the network says of a crop.

        Args:
            frame: The frame.
            crop: Transform from the frame to the unit square around the face: `Analyser.crop_around`.
        """
        image = warp(frame, (crop * np.float32(SIDE)).astype(np.float32), (SIDE, SIDE))
        told = self._session.run(list(OUTPUTS), {"crop": as_input(image)})
        return FaceAttributes(*(np.asarray(values[0], np.float32) for values in told))
