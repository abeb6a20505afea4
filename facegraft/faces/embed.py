"""Embeddings: a unit vector per face; two faces of one person point nearly the same way.

The recogniser is any ONNX file with input "chips" (b x 3 x 150 x 150, RGB 0..255) and output "embedding";
for now dlib's ResNet (`faces/dlib_resnet.py`). It needs faces cut out as it was trained on them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.geometry import fit_similarity, warp
from facegraft.core.session import session_options
from facegraft.core.types import Faces, Frame, Matrix

CHIP_SIZE = 150
CHIP_PADDING = 0.25
"""Margin around the mean face, in widths of it: dlib's `get_face_chip_details(face, 150, 0.25)`."""
SAME_PERSON = 0.91
"""Cosine above which two single pictures are taken for one person: on LFW's folds 1 to 3 it accepts 99 % of
the pairs of one person and 1.2 % of the pairs of strangers."""

CHIP_TEMPLATE = (
    # Place of each mesh point in dlib's mean face (eyes, nose, upper lip): mesh index, x, y.
    (168, 0.490127, 0.203352), (197, 0.490127, 0.307009), (5, 0.490127, 0.409805), (4, 0.490127, 0.515625),
    (75, 0.366880, 0.587326), (97, 0.426036, 0.609345), (2, 0.490127, 0.628106),
    (326, 0.554217, 0.609345), (305, 0.613373, 0.587326),
    (33, 0.121737, 0.216423), (160, 0.187122, 0.178758), (158, 0.265825, 0.179852),
    (133, 0.334606, 0.231733), (153, 0.260918, 0.245099), (144, 0.182743, 0.244077),
    (362, 0.645647, 0.231733), (385, 0.714428, 0.179852), (387, 0.793132, 0.178758),
    (263, 0.858516, 0.216423), (373, 0.797510, 0.244077), (380, 0.719335, 0.245099),
    (61, 0.254149, 0.780233), (39, 0.340985, 0.745405), (37, 0.428858, 0.727388), (0, 0.490127, 0.742578),
    (267, 0.551395, 0.727388), (269, 0.639268, 0.745405), (291, 0.726104, 0.780233),
)  # fmt: skip


def chip_matrix(dense: Float32[np.ndarray, "k 3"]) -> Matrix:
    """From the frame to the recogniser's chip, 150 pixels a side."""
    rows = [index for index, _, _ in CHIP_TEMPLATE]
    places = np.array([(x, y) for _, x, y in CHIP_TEMPLATE])
    # dlib counts from pixel centres, so its places are half a pixel further in our coordinates.
    places = (places + CHIP_PADDING) / (1 + 2 * CHIP_PADDING) * CHIP_SIZE + 0.5
    return fit_similarity(dense[rows, :2], places)


def cut_chips(frame: Frame, faces: Faces) -> UInt8[np.ndarray, "n 150 150 3"]:
    """The faces as the recogniser wants them."""
    chips = [warp(frame, chip_matrix(dense), (CHIP_SIZE, CHIP_SIZE)) for dense in faces.dense]
    return np.stack(chips) if chips else np.zeros((0, CHIP_SIZE, CHIP_SIZE, 3), np.uint8)


class Recogniser:
    """Holds the network. Safe to share between threads.

    A face's vector is the sum of that of its chip and that of the mirrored chip, which is steadier.
    """

    def __init__(self, path: Path | None = None, *, threads: int = 1) -> None:
        import onnxruntime

        if path is None:
            from facegraft.faces.fetch import recogniser_path

            path = recogniser_path()
        options = session_options(threads)
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def embed_chips(self, chips: UInt8[np.ndarray, "n 150 150 3"]) -> Float32[np.ndarray, "n d"]:
        """Unit vectors. Each chip runs alone, so that a face's vector never depends on its neighbours."""
        rows = [self.raw(np.stack([chip, chip[:, ::-1]])).sum(axis=0) for chip in chips]
        raw = np.stack(rows) if rows else np.zeros((0, self.size), np.float32)
        return (raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12)).astype(np.float32)

    def raw(self, chips: UInt8[np.ndarray, "n 150 150 3"]) -> Float32[np.ndarray, "n d"]:
        """The network's own output: no mirror, no unit length."""
        pixels = np.ascontiguousarray(chips.transpose(0, 3, 1, 2), np.float32)
        return np.asarray(self._session.run(["embedding"], {"chips": pixels})[0], np.float32)

    @property
    def size(self) -> int:
        """Numbers per embedding."""
        return int(self._session.get_outputs()[0].shape[1])

    def embed(self, frame: Frame, faces: Faces) -> Faces:
        """The same faces with embeddings."""
        return faces.with_embeddings(self.embed_chips(cut_chips(frame, faces)))


def embed(frame: Frame, faces: Faces) -> Faces:
    """The same faces with embeddings. Loads the recogniser anew: keep a `Recogniser` for many frames.

    Raises:
        MissingPartError: The recogniser was not fetched yet.
    """
    return Recogniser().embed(frame, faces)
