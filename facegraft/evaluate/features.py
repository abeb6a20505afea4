"""What a network sees within a face: features for realism and likeness, ours or those of any network given as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.errors import BadInputError
from facegraft.core.files import check_input_file, shown
from facegraft.faces.own import open_network

MAP = "map"
"""Output of our identity network that holds 128 channels at 14 x 14."""
INCEPTION_SIDE = 299


class OwnFeature:
    """The map of our identity network before it shrinks to 7 x 7: coarse enough for parts, fine enough for places.

    Args:
        path: `identity.onnx` of `facegraft export`: input "crop", b x 3 x 112 x 112, RGB 0..1, and an output "map".
        threads: Of the network.

    Raises:
        BadInputError: The file is missing, or has no such input and output.
        MissingPartError: It is no ONNX file.
    """

    size_px = 112

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        check_input_file(path)
        self._session = open_network(path, threads)
        inputs = [port.name for port in self._session.get_inputs()]
        outputs = [port.name for port in self._session.get_outputs()]
        if inputs != ["crop"] or MAP not in outputs:
            raise BadInputError(
                f"{shown(path)}: expected input crop and an output {MAP}, found {', '.join(inputs)} and "
                f"{', '.join(outputs)}; export the identity network again"
            )

    def maps(self, crops: UInt8[np.ndarray, "n 112 112 3"]) -> Float32[np.ndarray, "n c h w"]:
        """Features of crops; each runs alone, so that none depends on its neighbours."""
        found = [self._session.run([MAP], {"crop": _planes(crop) / np.float32(255)})[0][0] for crop in crops]
        return np.stack(found).astype(np.float32)


class OnnxFeature:
    """Any network that takes one picture and gives one row of numbers, such as Inception without its last layer.

    With Inception v3's third pooling (2048 numbers) the Frechet distance is the FID of Heusel et al. (2017), of faces.

    Args:
        path: An ONNX file: its only input is b x 3 x s x s, float32, RGB -1..1 (s = 299 where the file leaves it free);
            its first output is b x d, or b x d x 1 x 1. b is free or 1.
        threads: Of the network.

    Raises:
        BadInputError: The file is missing, or its input or output is of another kind.
        MissingPartError: It is no ONNX file.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        check_input_file(path)
        self._path, self._session = path, open_network(path, threads)
        inputs, first = self._session.get_inputs(), self._session.get_outputs()[0]
        if len(inputs) != 1 or not _takes_pictures(inputs[0]):
            told = "; ".join(f"{port.name} {port.type} {port.shape}" for port in inputs)
            raise BadInputError(f"{shown(path)}: expected one input b x 3 x s x s, float32; found {told}")
        if first.type != "tensor(float)" or len(first.shape) not in (2, 4) or any(n != 1 for n in first.shape[2:]):
            raise BadInputError(
                f"{shown(path)}: expected a first output b x d or b x d x 1 x 1, float32; found {first.name} "
                f"{first.type} {first.shape}; cut the network before its last layer"
            )
        side = inputs[0].shape[2]
        self._input, self._output = inputs[0].name, first.name
        self.size_px = side if isinstance(side, int) else INCEPTION_SIDE

    def maps(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d 1 1"]:
        """The rows as maps of one place; each crop runs alone.

        Raises:
            BadInputError: The network cannot run on these crops, or gives something that is no number.
        """
        rows = [self._row(crop) for crop in crops]
        return np.stack(rows)[:, :, None, None]

    def _row(self, crop: UInt8[np.ndarray, "s s 3"]) -> Float32[np.ndarray, "d"]:
        pixels = _planes(crop) * np.float32(2 / 255) - np.float32(1)
        try:
            row = self._session.run([self._output], {self._input: pixels})[0].reshape(-1)
        except Exception as error:  # the runtime has many classes of its own, without a common parent
            reason = str(error).splitlines()[0]
            raise BadInputError(f"{shown(self._path)}: cannot run on one picture of {crop.shape}: {reason}") from error
        if not np.isfinite(row).all():
            raise BadInputError(f"{shown(self._path)}: gives infinite or undefined numbers; check its input range")
        return np.asarray(row, np.float32)


def moments(found: Float32[np.ndarray, "c h w"]) -> Float32[np.ndarray, "k"]:
    """A map as one row: mean of each channel over its places, then standard deviations; of one place its values."""
    flat = found.reshape(len(found), -1)
    if flat.shape[1] == 1:
        return flat[:, 0]
    return np.concatenate([flat.mean(1), flat.std(1)]).astype(np.float32)


def _planes(crop: UInt8[np.ndarray, "s s 3"]) -> Float32[np.ndarray, "1 3 s s"]:
    return np.ascontiguousarray(crop.transpose(2, 0, 1)[None], np.float32)


def _takes_pictures(port: Any) -> bool:
    """A tensor b x 3 x s x s of float32; sides and batch may be free."""
    if port.type != "tensor(float)" or len(port.shape) != 4 or port.shape[1] != 3:
        return False
    batch, _, *sides = port.shape
    fixed = [side for side in sides if isinstance(side, int)]
    return (batch == 1 or not isinstance(batch, int)) and (not fixed or sides[0] == sides[1])
