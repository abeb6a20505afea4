"""One convolution on one ONNX Runtime provider, compared with numpy: does the device work?

`python -m facegraft.runtime.probe PROVIDER` prints the answer as JSON: a driver that crashes then takes only
that process with it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import FacegraftError
from facegraft.runtime.session import make_session

RUNS = 20
TOLERANCE = 1e-2
"""Of the largest value: TF32, which GPUs use for float32, keeps three digits."""


@dataclass(frozen=True)
class Probe:
    """What became of one provider.

    Attributes:
        milliseconds: Median of the runs after the first; None where it does not work.
        error: One line; empty where it works.
    """

    provider: str
    milliseconds: float | None
    error: str

    @property
    def works(self) -> bool:
        return not self.error


def probe_apart(provider: str, timeout_s: float = 120) -> Probe:
    """`probe` in a process of its own, so that a crash or a hang of a driver is a line of the table."""
    command = [sys.executable, "-m", "facegraft.runtime.probe", provider]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return Probe(provider, None, f"no answer within {timeout_s:g} s")
    lines = done.stdout.splitlines()
    if done.returncode == 0 and lines:
        return Probe(**json.loads(lines[-1]))
    last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "nothing said")
    return Probe(provider, None, f"the process ended with {done.returncode}: {last}")


def probe(provider: str) -> Probe:
    """Builds and runs one convolution on the provider; every operator must run there, none on the CPU instead."""
    random = np.random.default_rng(0)
    image = random.standard_normal((1, 16, 64, 64)).astype(np.float32)
    weights = random.standard_normal((32, 16, 3, 3)).astype(np.float32)
    bias = random.standard_normal(32).astype(np.float32)
    try:
        session = make_session(conv_graph(image.shape, weights, bias), device=provider, strict=True)
        answer = session.run(None, {"image": image})[0]
        times = [_seconds(lambda: session.run(None, {"image": image})) for _ in range(RUNS)]
    except FacegraftError as error:
        return Probe(provider, None, str(error).removeprefix(f"device {provider} does not work: "))
    expected = convolve(image, weights, bias)
    difference = float(np.abs(answer - expected).max() / np.abs(expected).max())
    if not difference <= TOLERANCE:  # also when it is NaN
        return Probe(provider, None, f"wrong numbers: off by {difference:.2g} of the largest value")
    return Probe(provider, round(1000 * float(np.median(times)), 3), "")


def convolve(
    image: Float32[np.ndarray, "1 c h w"], weights: Float32[np.ndarray, "k c 3 3"], bias: Float32[np.ndarray, "k"]
) -> Float32[np.ndarray, "1 k h w"]:
    """A 3 x 3 convolution with one row and column of zeros around."""
    padded = np.pad(image, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return (np.einsum("bchwij,kcij->bkhw", windows, weights, optimize=True) + bias[:, None, None]).astype(np.float32)


def conv_graph(
    shape: tuple[int, ...], weights: Float32[np.ndarray, "k c 3 3"], bias: Float32[np.ndarray, "k"]
) -> bytes:
    """The ONNX file of `convolve` for one shape of "image", written field by field: the base install has no `onnx`.

    Numbers are the field numbers of onnx.proto.
    """
    pads = _text(1, "pads") + b"".join(_number(8, 1) for _ in range(4)) + _number(20, 7)  # AttributeProto, INTS
    inputs = b"".join(_text(1, name) for name in ("image", "weights", "bias"))
    node = inputs + _text(2, "answer") + _text(4, "Conv") + _field(5, pads)
    graph = _field(1, node) + _text(2, "probe")
    graph += _field(5, _tensor("weights", weights)) + _field(5, _tensor("bias", bias))
    graph += _field(11, _value("image", shape)) + _field(12, _value("answer", (shape[0], len(bias), *shape[2:])))
    opset = _text(1, "") + _number(2, 13)
    return _number(1, 8) + _field(7, graph) + _field(8, opset)  # ModelProto, IR version 8


def _tensor(name: str, values: Float32[np.ndarray, "..."]) -> bytes:
    dims = b"".join(_number(1, size) for size in values.shape)
    return dims + _number(2, 1) + _text(8, name) + _field(9, values.astype("<f4").tobytes())


def _value(name: str, shape: Sequence[int]) -> bytes:
    dims = b"".join(_field(1, _number(1, size)) for size in shape)
    return _text(1, name) + _field(2, _field(1, _number(1, 1) + _field(2, dims)))


def _text(number: int, text: str) -> bytes:
    return _field(number, text.encode())


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    parts = []
    while value > 0x7F:
        parts.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*parts, value])


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(probe(sys.argv[1]))) + "\n")
