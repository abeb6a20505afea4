"""Recognisers of others and ours behind one call: teachers of training, rivals, judges of measuring. ONNX only.

What a file wants is told by the name and shape of its input:

    "crop"    b x 3 x 112 x 112, RGB 0..1      ours, batch axis free
    "chips"   b x 3 x 150 x 150, RGB 0..255    dlib's ResNet as faces/dlib_resnet.py writes it
    "face"    b x 3 x 224 x 224, RGB 0..255    VGGFace2's MobileNet as faces/faceres.py writes it
    "input0"  1 x 3 x 112 x 112, RGB, colours normalised as ImageNet's: MobileFaceNet of foamliu/MobileFaceNet
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, UInt8

from facegraft.core.errors import BadInputError
from facegraft.core.files import check_input_file, shown
from facegraft.core.geometry import warp
from facegraft.core.session import session_options
from facegraft.core.types import Frame
from facegraft.faces.align import alignment
from facegraft.faces.embed import CHIP_SIZE, chip_matrix
from facegraft.faces.faceres import FACE_SIZE

TEMPLATE, CROP_SIZE = "arcface_112_v2", 112
SIZES = {"crop": CROP_SIZE, "input0": CROP_SIZE, "chips": CHIP_SIZE, "face": FACE_SIZE}
"""Sides of crops by the name of a file's input."""
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], np.float32)
_IMAGENET_DEVIATION = np.array([0.229, 0.224, 0.225], np.float32)


def cut(
    frame: Frame, points5: Float[np.ndarray, "5 2"], dense: Float32[np.ndarray, "k 3"] | None, size_px: int
) -> UInt8[np.ndarray, "s s 3"]:
    """A face as a recogniser wants it: 150 px by the dense points as dlib aligns, else by five points as ArcFace.

    Raises:
        BadInputError: A chip of dlib's is asked for without dense points.
    """
    if size_px == CHIP_SIZE:
        if dense is None:
            raise BadInputError("dlib's recogniser needs the dense points of a face, found five points only")
        return warp(frame, chip_matrix(dense), (CHIP_SIZE, CHIP_SIZE))
    return warp(frame, alignment(points5, TEMPLATE, size_px), (size_px, size_px))


class OnnxRecogniser:
    """One recogniser's session.

    Raises:
        BadInputError: No ONNX file, or none of a known kind.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        import onnxruntime

        check_input_file(path)
        options = session_options(threads)
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no base but RuntimeError and Exception
            raise BadInputError(f"{shown(path)}: expected an ONNX file; {str(error).splitlines()[0]}") from error
        self.input = self._session.get_inputs()[0]
        if self.input.name not in SIZES:
            raise BadInputError(
                f"{shown(path)}: a recogniser's input is one of {', '.join(SIZES)}; found {self.input.name!r}"
            )

    @property
    def size_px(self) -> int:
        """Side of the crops that `embed` takes."""
        return SIZES[self.input.name]

    @property
    def by_distance(self) -> bool:
        """Whether two faces are compared by the distance of their raw vectors, as dlib's are, and not by cosine."""
        return bool(self.input.name == "chips")

    def embed(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d"]:
        """Unit vectors of crops of `size_px`."""
        raw = self.raw(crops)
        return np.asarray(raw / np.maximum(np.linalg.norm(raw, axis=1, keepdims=True), 1e-12), np.float32)

    def raw(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d"]:
        """The network's own vectors; each crop runs alone, so that none depends on its neighbours."""
        rows = [self._session.run(None, {self.input.name: self._prepared(crop)})[0].reshape(-1) for crop in crops]
        return np.stack(rows).astype(np.float32)

    def _prepared(self, crop: np.ndarray) -> np.ndarray:
        pixels = crop[None].astype(np.float32)
        if self.input.name in ("crop", "input0"):
            pixels /= 255
        return normalised(pixels) if self.input.name == "input0" else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))


def normalised(crops: Float32[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n 3 s s"]:
    """Crops 0..1 as "input0" wants them."""
    return np.ascontiguousarray(((crops - _IMAGENET_MEAN) / _IMAGENET_DEVIATION).transpose(0, 3, 1, 2))
