"""What a method costs: parameters, multiply-adds, bytes, milliseconds, memory.

MACs are multiplications that are followed by an addition. Others print the same number as "FLOPs", or twice it.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import check_input_file, shown
from facegraft.core.session import session_options

COUNTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators whose multiply-adds are counted; additions, activations, norms and resizing are not, as is the habit."""
NOT_COUNTED = (
    "Attention", "ConvInteger", "DeformConv", "Einsum", "FusedConv", "FusedMatMul", "GRU", "If", "LSTM", "Loop",
    "MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN", "Scan",
)  # fmt: skip
"""Operators that multiply too: of a graph that holds one no number is given, rather than one that is too small."""
WARM_UP, REPEATS = 3, 20
SECONDS = 10.0
"""At most, for one number of threads, once three calls are measured."""


@dataclass(frozen=True)
class GraphCost:
    """What a graph holds; None = not known.

    Attributes:
        bytes: Of its file, and of files beside it that hold its weights.
        parameters: Numbers that it stores: real ones, and those of 8 bits; not the lengths of tensors.
        macs: Multiply-adds of one run.
    """

    bytes: int
    parameters: int | None
    macs: int | None


@dataclass(frozen=True)
class Timing:
    """Milliseconds of a call.

    Attributes:
        median: Half of the calls took less.
        low: A tenth took less than this.
        high: A tenth took more than this.
        calls: How many were measured.
    """

    median: float
    low: float
    high: float
    calls: int


@dataclass(frozen=True)
class Memory:
    """Of a process of its own, in MB of 10^6 bytes that lie in memory.

    Attributes:
        ready: At its fullest before the call: Python, libraries, weights.
        peak: At its fullest, the call included.
    """

    ready: float
    peak: float


def graph_cost(path: Path, sizes: dict[str, Sequence[int]] | None = None) -> GraphCost:
    """Bytes, parameters and MACs of an ONNX file.

    Args:
        path: The file.
        sizes: Input -> its shape; one that is not named has 1 wherever the file leaves a length open.

    Returns:
        Parameters and MACs are None where the package `onnx` is not installed; MACs also where the graph holds an
        operator of `NOT_COUNTED`.

    Raises:
        BadInputError: No such file, no ONNX, or a graph that does not run at these sizes.
    """
    size = check_input_file(path).st_size
    try:
        import onnx
    except ImportError:
        return GraphCost(size, None, None)
    try:
        stored = onnx.load(path, load_external_data=False).graph.initializer
        beside = {entry.value for kept in stored for entry in kept.external_data if entry.key == "location"}
        macs = _macs(onnx.load(path), sizes or {})
    except FacegraftError:
        raise
    except Exception as error:  # the errors of onnx and onnxruntime share no base
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInputError(f"{shown(path)}: expected an ONNX file that runs; {why}") from error
    size += sum((path.parent / name).stat().st_size for name in beside)
    return GraphCost(size, sum(prod(kept.dims) for kept in stored if kept.data_type in _kinds()), macs)


def total(costs: Iterable[GraphCost]) -> GraphCost:
    """Of several graphs that are run once each; what one of them lacks is None."""

    def added(numbers: list[int | None]) -> int | None:
        known = [number for number in numbers if number is not None]
        return sum(known) if len(known) == len(numbers) else None

    found = list(costs)
    return GraphCost(
        sum(cost.bytes for cost in found),
        added([cost.parameters for cost in found]),
        added([cost.macs for cost in found]),
    )


def timings(
    make: Callable[[int], Callable[[], object]],
    *,
    threads: Sequence[int] = (1, 2),
    repeats: int = REPEATS,
    warm_up: int = WARM_UP,
    seconds: float = SECONDS,
) -> dict[int, Timing]:
    """How long a call takes, by number of threads.

    Args:
        make: Number of threads -> the call; it opens its networks with as many. OpenCV is told here.
        threads: To try.
        repeats: Calls to measure at most.
        warm_up: Calls before that, which are not.
        seconds: After these no further call begins, once three are measured.

    Returns:
        Wall time. It is the machine's and its load's as much as the method's: print both beside it.
    """
    before = cv2.getNumThreads()
    try:
        return {count: _timing(make, count, repeats, warm_up, seconds) for count in threads}
    finally:
        cv2.setNumThreads(before)


def memory(set_up: str, call: str) -> Memory:
    """What memory a call takes, in a fresh Python that ends after it.

    Args:
        set_up: Python that imports, loads and makes what the call needs; `call` sees its names.
        call: Python that is measured.

    Returns:
        The system's own high-water mark, so what a library frees within the call is seen too.

    Raises:
        FacegraftError: The Python given fails, or this system keeps no such mark (Windows).
    """
    command = [sys.executable, "-c", f"{_MARK}\n{set_up}\n_ready = _mark()\n{call}\nprint(); print(_ready, _mark())"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise FacegraftError(f"memory of a call: it failed; {(done.stderr.strip().splitlines() or ['no reason'])[-1]}")
    ready, peak = done.stdout.strip().splitlines()[-1].split()
    return Memory(float(ready), float(peak))


_MARK = """
def _mark():
    try:
        with open("/proc/self/status") as lines:
            return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))
    except OSError:
        import resource, sys
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6
"""
# Linux's ru_maxrss would not do: a new program starts with the mark of the one that started it.


def _timing(
    make: Callable[[int], Callable[[], object]], threads: int, repeats: int, warm_up: int, seconds: float
) -> Timing:
    cv2.setNumThreads(threads)
    call = make(threads)
    for _ in range(warm_up):
        call()
    taken: list[float] = []
    while len(taken) < repeats and (len(taken) < 3 or sum(taken) < 1000 * seconds):
        began = time.perf_counter()
        call()
        taken.append(1000 * (time.perf_counter() - began))
    low, high = np.percentile(taken, [10, 90])
    return Timing(statistics.median(taken), float(low), float(high), len(taken))


def _kinds() -> set[int]:
    """ONNX's numbers for the types of weights."""
    from onnx import TensorProto

    return {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE, TensorProto.INT8,
            TensorProto.UINT8}  # fmt: skip


def _macs(model: Any, sizes: dict[str, Sequence[int]]) -> int | None:
    """Sum over the operators of `COUNTED`."""
    nodes = list(model.graph.node)
    if any(node.op_type in NOT_COUNTED for node in nodes):
        return None
    counted = [node for node in nodes if node.op_type in COUNTED]
    shapes = _shapes(model, {name for node in counted for name in (*node.input[:2], node.output[0])}, sizes)
    return sum(_macs_of(node, shapes) for node in counted)


def _shapes(model: Any, names: set[str], sizes: dict[str, Sequence[int]]) -> dict[str, tuple[int, ...]]:
    """Shapes of tensors within a graph, found by running it on zeros: inference stops where lengths are computed."""
    import onnx
    import onnxruntime

    weights = {kept.name: tuple(kept.dims) for kept in model.graph.initializer}
    zeros = {given.name: _zeros(given, sizes) for given in model.graph.input if given.name not in weights}
    out = [*(given.name for given in model.graph.output)]
    wanted = sorted(names - weights.keys() - zeros.keys() - set(out))
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in wanted)
    options = session_options(0)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    found = session.run([*out, *wanted], zeros)
    shapes = {name: np.shape(values) for name, values in zip([*out, *wanted], found, strict=True)}
    return shapes | weights | {name: values.shape for name, values in zeros.items()}


def _zeros(given: Any, sizes: dict[str, Sequence[int]]) -> np.ndarray:
    import onnx

    kind = given.type.tensor_type
    stated = [length.dim_value or 1 for length in kind.shape.dim]
    size = tuple(sizes.get(given.name, stated))
    if len(size) != len(stated):
        raise BadInputError(f"input {given.name!r}: expected {len(stated)} lengths, got {size}")
    return np.zeros(size, onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))


def _macs_of(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Multiply-adds of one operator."""
    first, second, out = (shapes[name] for name in (*node.input[:2], node.output[0]))
    if node.op_type == "Conv":  # weights: out channels, in channels of a group, kernel
        return prod(out) * prod(second[1:])
    if node.op_type == "ConvTranspose":  # weights: in channels, out channels of a group, kernel
        return prod(first) * prod(second[1:])
    if node.op_type == "Gemm":
        turned = any(flag.name == "transA" and flag.i for flag in node.attribute)
        return prod(out) * first[0 if turned else 1]
    return prod(out) * first[-1]
