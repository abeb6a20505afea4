"""A swapped face mended by a network: what the warp leaves behind goes, what is the person's stays.

The network looks at a small aligned crop; only what it adds is enlarged, so that fine detail stays the warp's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import MissingPartError
from facegraft.core.files import shown
from facegraft.core.geometry import compose, invert, similarity_scale, transform, warp
from facegraft.core.types import Face, Frame, Mask, Matrix, Patch
from facegraft.faces.align import alignment
from facegraft.faces.fetch import WEIGHTS
from facegraft.faces.layers import smoothstep
from facegraft.faces.own import as_input, open_network
from facegraft.faces.topology import Topology, five_points
from facegraft.faces.visible import Uncovered, visible_mask

SIDE_PX, TEMPLATE = 128, "arcface_112_v1"
"""Of the network's crop."""
RIM = 0.06
"""Width of the soft edge inside the crop's border, in its sides."""
LARGEST_ZOOM = 1e3


class Mender:
    """Holds the network; the file is opened on first use. One instance serves one thread.

    Args:
        topology: The mesh's facts.
        path: The network.
        threads: It may use.
    """

    def __init__(self, topology: Topology, path: Path = WEIGHTS / "mender.onnx", threads: int = 1) -> None:
        self._topology, self._path, self._threads = topology, path, threads
        self._session: Any = None

    def mend(self, frame: Frame, face: Face, patch: Patch, uncovered: Uncovered | None = None) -> Patch:
        """The patch of a swapped face, mended.

        Args:
            frame: The attribute frame.
            face: Whose face was replaced.
            patch: What the swap adds to the frame.
            uncovered: Where the networks see nothing before the face; None: everywhere.

        Raises:
            MissingPartError: The network's file is missing or broken.
        """
        matrix = alignment(face.points5, TEMPLATE, SIDE_PX)
        if not np.isfinite(matrix).all() or not 1e-6 < similarity_scale(matrix) < LARGEST_ZOOM:
            return patch
        size_wh = (SIDE_PX, SIDE_PX)
        crop = warp(frame, matrix, size_wh)
        seen = self._seen(crop, face, matrix, uncovered)
        to_patch = np.array([[1, 0, -patch.left], [0, 1, -patch.top]], np.float32)
        delta = warp(patch.delta, compose(invert(to_patch), matrix), size_wh, border=cv2.BORDER_CONSTANT)
        change = self._change(crop, delta, seen) * _rim(SIDE_PX)[..., None]
        height, width = patch.delta.shape[:2]
        back = compose(invert(matrix), to_patch)
        how = cv2.INTER_CUBIC if similarity_scale(back) > 1 else cv2.INTER_LINEAR
        added = warp(change, back, (width, height), border=cv2.BORDER_CONSTANT, interpolation=how)
        return Patch(patch.left, patch.top, np.asarray(patch.delta + added, np.float32))

    def _change(self, crop: Frame, delta: Float32[np.ndarray, "s s 3"], seen: Mask) -> Float32[np.ndarray, "s s 3"]:
        """What the network adds to the swapped crop, in levels of 8 bits."""
        if self._session is None:
            if not self._path.exists():
                raise MissingPartError(f"{shown(self._path)}: no such file; train and export the mender first")
            self._session = open_network(self._path, self._threads)
        frame = as_input(crop)
        swapped = np.clip(frame + np.ascontiguousarray(delta.transpose(2, 0, 1)[None]) / np.float32(255), 0, 1)
        (change,) = self._session.run(["change"], {"swapped": swapped, "frame": frame, "seen": seen[None, None]})
        return np.ascontiguousarray(change[0].transpose(1, 2, 0)) * np.float32(255)

    def _seen(self, crop: Frame, face: Face, matrix: Matrix, uncovered: Uncovered | None) -> Mask:
        depth = face.dense[:, 2:] * np.float32(similarity_scale(matrix))
        dense = np.concatenate([transform(matrix, face.dense[:, :2]), depth], axis=1).astype(np.float32)
        box = np.concatenate([dense[:, :2].min(axis=0), dense[:, :2].max(axis=0)])
        moved = Face(0, box, face.score, five_points(self._topology, dense), dense, face.pose_degrees)
        there = None
        if uncovered is not None:
            there = Uncovered(uncovered.share, compose(invert(matrix), uncovered.from_frame))
        return visible_mask(crop, moved, self._topology, there)


def _rim(side: int) -> Mask:
    """1 inside a crop, softly 0 towards its border."""
    away = np.minimum(np.arange(side), side - 1 - np.arange(side)).astype(np.float32)
    ramp = smoothstep(away, 0.0, RIM * side)
    return np.minimum(ramp[:, None], ramp[None])
