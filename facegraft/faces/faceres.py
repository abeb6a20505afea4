"""The second judge of identity: a MobileNet that learned people from VGGFace2, read from its own files into ONNX.

Savchenko, "Efficient facial representations for age, gender and identity recognition in organizing photo albums using
multi-output ConvNet" (PeerJ Computer Science, 2019): MobileNet v1 (Howard et al., 2017) that learned the people of
VGGFace2 (Cao et al., 2018), frozen, with heads for age and sex, which are left away here. The npm package
`@vladmandic/human` (MIT) carries it as TensorFlow.js wants it, weights rounded to half precision, the steps of
normalisation in part folded in: a JSON file that lists names, shapes and types, and the numbers one after the other.

It judges only: nothing here may learn from it, nor from its answers, so that its word on what was learned counts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError
from facegraft.faces.fetch import JUDGE, npm_package, take_out
from facegraft.faces.graph import Graph, onnx_checker, write_model, written_once

if TYPE_CHECKING:
    import onnx

PACKAGE = "@vladmandic/human@3.3.6"
LISTED, NUMBERS = "package/models/faceres.json", "package/models/faceres.bin"
SHA256 = {
    LISTED: "5b83d49c0385d2e68a05122441b94226313677cae9fcc40b9587ad50079eb4df",
    NUMBERS: "2c7d2d62b76c97528b736527aa09d310ea71743c9e3e79fb6c62d4b2d73af79b",
}
FACE_SIZE, EMBEDDING_SIZE = 224, 1024
BLUE_GREEN_RED = (103.939, 116.779, 123.68)
"""What is taken off the colours, in this order (the author's facial_analysis.py)."""
BLOCKS = 13
HALVING = (2, 4, 6, 12)
"""Blocks whose spatial convolution takes every other pixel."""

Weights = dict[str, Float32[np.ndarray, "..."]]


def fetch_judge(folder: Path) -> Path:
    """Downloads the package (29 MB, deleted afterwards), takes the weights out, writes judge.onnx.

    Returns:
        Path of the ONNX file in `folder`; one that is already there is left as it is.

    Raises:
        MissingPartError: onnx or npm is missing, npm cannot reach the package, or the weights are not those we know.
    """
    path = folder / JUDGE

    def write(scratch: Path) -> None:
        archive = npm_package(PACKAGE, scratch)
        files = {name: scratch / Path(name).name for name in SHA256}
        for name, file in files.items():
            take_out(archive, name, SHA256[name], file)
        convert_to_onnx(files[LISTED], files[NUMBERS], path)

    return written_once(path, write)


def convert_to_onnx(listed: Path, numbers: Path, onnx_path: Path) -> None:
    """Writes the network as an ONNX file; the same weights give the same bytes.

    Raises:
        BadInputError: The files hold another network.
        MissingPartError: The package onnx is missing.
    """
    onnx_checker()
    write_model(build_graph(read_weights(listed.read_bytes(), numbers.read_bytes())), onnx_path)


def read_weights(listed: bytes, numbers: bytes) -> Weights:
    """Name -> numbers, of a graph model of TensorFlow.js whose weights are plain numbers, some in half precision.

    Raises:
        BadInputError: The list is not one, or the numbers do not fit it.
    """
    try:
        entries = json.loads(listed)["weightsManifest"][0]["weights"]
        rows = [(str(one["name"]), tuple(map(int, one["shape"])), _kind(one)) for one in entries]
    except (ValueError, LookupError, TypeError) as error:
        raise BadInputError(f"the judge's list of weights: expected TensorFlow.js's ({error})") from error
    found, place = {}, 0
    for name, shape, kind in rows:
        size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
        if size > len(numbers) - place:
            raise BadInputError(f"the judge's weights end at byte {len(numbers)}, expected {size} more at {place}")
        part = np.frombuffer(numbers[place : place + size], kind)
        found[name] = part.astype(np.float32).reshape(shape)
        place += size
    if place != len(numbers):
        raise BadInputError(f"the judge's weights: {len(numbers) - place} bytes more than their list says")
    return found


def _kind(entry: dict[str, Any]) -> np.dtype[Any]:
    """As stored. Whole numbers that stand for fractions are of other models."""
    kind = np.dtype(str(entry.get("quantization", entry)["dtype"]))
    if kind.name not in ("float32", "float16", "int32") or min(entry["shape"], default=0) < 0:
        raise ValueError(f"{entry['name']} is of {kind}, {entry['shape']}")
    return kind.newbyteorder("<")


def build_graph(weights: Weights) -> onnx.ModelProto:
    """Graph "face" (b x 3 x 224 x 224, RGB, 0..255) to "embedding" (b x 1024, not normalised).

    Raises:
        BadInputError: A weight is missing or has another shape.
    """
    graph = _Graph()
    colours = graph.add("Gather", ["face", graph.constant(np.array([2, 1, 0]), np.int64)], axis=1)
    means = np.array(BLUE_GREEN_RED, np.float32).reshape(1, 3, 1, 1)
    end = graph.add("Sub", [colours, graph.constant(means)])
    kernel = _weight(weights, "conv1/convolution/merged_input", (3, 3, 3, 32))
    end = graph.convolve(end, kernel.transpose(3, 2, 0, 1), _weight(weights, "conv1_bn/batchnorm_1/sub", (32,)), 2)
    for number in range(1, BLOCKS + 1):
        end = _block(graph, end, weights, number)
    pooled = graph.add("GlobalAveragePool", [end])
    graph.add("Flatten", [pooled], "embedding")
    return graph.model("vggface2_mobilenet", ("face", FACE_SIZE), EMBEDDING_SIZE)


def _block(graph: _Graph, start: str, weights: Weights, number: int) -> str:
    """A convolution of each channel by itself, then one across channels."""
    spatial, across = f"conv_dw_{number}", f"conv_pw_{number}"
    kernel = weights.get(f"{spatial}/depthwise_kernel", np.zeros((0,), np.float32))
    channels = kernel.shape[2] if kernel.ndim == 4 else 0
    kernel = _weight(weights, f"{spatial}/depthwise_kernel", (3, 3, channels, 1)).transpose(2, 3, 0, 1)
    gain = _weight(weights, f"{spatial}_bn/batchnorm_1/mul", (channels,))
    shift = _weight(weights, f"{spatial}_bn/batchnorm_1/sub", (channels,))
    end = graph.convolve(start, kernel * gain[:, None, None, None], shift, 2 if number in HALVING else 1, channels)
    name = f"{across}_bn/batchnorm_1/sub"
    shift = _weight(weights, name, np.shape(weights.get(name, [[]]))[:1])
    kernel = _weight(weights, f"{across}/convolution/merged_input", (1, 1, channels, len(shift)))
    return graph.convolve(end, kernel.transpose(3, 2, 0, 1), shift, 1)


def _weight(weights: Weights, name: str, shape: tuple[int, ...]) -> Float32[np.ndarray, "..."]:
    found = weights.get(name)
    if found is None or found.shape != shape or 0 in shape:
        has = "nothing" if found is None else f"{found.shape}"
        raise BadInputError(f"the judge's weights: {name} holds {has}, expected {shape}; not the network we know")
    return found


class _Graph(Graph):
    """The layers that MobileNet has."""

    def __init__(self) -> None:
        super().__init__()
        self._limits = [self.constant(0.0), self.constant(6.0)]

    def convolve(self, start: str, kernel: np.ndarray, shift: np.ndarray, stride: int, group: int = 1) -> str:
        """A convolution padded as TensorFlow does (more after than before), clipped to 0..6."""
        names = [start, self.constant(kernel), self.constant(shift)]
        end = self.add("Conv", names, strides=[stride] * 2, auto_pad="SAME_UPPER", group=group)
        return self.add("Clip", [end, *self._limits])
