"""Cost: multiply-adds against graphs whose every number is worked out by hand, and time and memory that are known."""

from __future__ import annotations

import builtins
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.evaluate.cost import GraphCost, graph_cost, memory, timings, total

IMAGE = (1, 3, 10, 12)
onnx = pytest.importorskip("onnx", reason="the extra `recogniser` is not installed")


def write(
    path: Path, nodes: list[Any], inputs: dict[str, tuple[Any, ...]], weights: dict[str, tuple[int, ...]]
) -> Path:
    """A graph whose last node gives its output; weights are zeros."""
    make = onnx.helper
    real = onnx.TensorProto.FLOAT
    kept = [onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name) for name, shape in weights.items()]
    given = [make.make_tensor_value_info(name, real, shape) for name, shape in inputs.items()]
    out = make.make_tensor_value_info(nodes[-1].output[0], real, None)
    graph = make.make_graph(nodes, "made", given, [out], kept)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, path)
    return path


def node(kind: str, inputs: str, output: str, **options: Any) -> Any:
    return onnx.helper.make_node(kind, inputs.split(), [output], **options)


@pytest.mark.parametrize(
    ("nodes", "inputs", "weights", "macs"),
    [
        # 8 channels of 10 x 12 pixels, each from 3 x 3 x 3 numbers
        ([("Conv", "x w b", "y", {"pads": [1] * 4})], {"x": IMAGE}, {"w": (8, 3, 3, 3), "b": (8,)}, 8 * 120 * 27),
        # stride 2: 5 x 6 pixels are left
        ([("Conv", "x w", "y", {"pads": [1] * 4, "strides": [2] * 2})], {"x": IMAGE}, {"w": (8, 3, 3, 3)}, 8 * 30 * 27),
        # depthwise: each channel from its own 9 numbers
        ([("Conv", "x w", "y", {"pads": [1] * 4, "group": 6})], {"x": (1, 6, 9, 9)}, {"w": (6, 1, 3, 3)}, 6 * 81 * 9),
        # every input number is spread over 5 channels of 2 x 2
        ([("ConvTranspose", "x w", "y", {"strides": [2, 2]})], {"x": IMAGE}, {"w": (3, 5, 2, 2)}, 3 * 120 * 20),
        ([("ConvTranspose", "x w", "y", {"group": 3})], {"x": IMAGE}, {"w": (3, 1, 2, 2)}, 3 * 120 * 4),
        ([("Gemm", "x w", "y", {"transB": 1})], {"x": (1, 7)}, {"w": (4, 7)}, 28),
        ([("Gemm", "x w", "y", {"transA": 1})], {"x": (7, 2)}, {"w": (7, 4)}, 2 * 4 * 7),
        ([("MatMul", "x z", "y", {})], {"x": (2, 3, 5), "z": (2, 5, 4)}, {}, 2 * 3 * 4 * 5),
        # what is not counted
        ([("Relu", "x", "r", {}), ("Add", "r x", "y", {})], {"x": IMAGE}, {}, 0),
    ],
)  # fmt: skip
def test_multiply_adds(
    nodes: list[Any], inputs: dict[str, Any], weights: dict[str, Any], macs: int, tmp_path: Path
) -> None:
    made = [node(kind, takes, gives, **options) for kind, takes, gives, options in nodes]
    path = write(tmp_path / "graph.onnx", made, inputs, weights)
    found = graph_cost(path)
    assert found.macs == macs
    assert found.parameters == sum(int(np.prod(shape)) for shape in weights.values())
    assert found.bytes == path.stat().st_size


def test_open_lengths_are_one_or_as_asked_and_computed_ones_are_found(tmp_path: Path) -> None:
    nodes = [
        node("Shape", "x", "s"),
        node("ConstantOfShape", "s", "zeros"),
        node("Add", "x zeros", "same"),
        node("Conv", "same w", "y", pads=[1] * 4),
    ]
    path = write(tmp_path / "graph.onnx", nodes, {"x": ("b", 3, "h", "w")}, {"w": (8, 3, 3, 3)})
    assert graph_cost(path).macs == 8 * 27
    assert graph_cost(path, {"x": (2, 3, 4, 5)}).macs == 2 * 8 * 20 * 27
    with pytest.raises(BadInputError, match="4 lengths"):
        graph_cost(path, {"x": (3, 4, 5)})
    with pytest.raises(BadInputError, match="expected an ONNX file that runs"):
        graph_cost(path, {"x": (1, 4, 5, 5)})


def test_a_graph_with_other_multiplications_gets_no_number(tmp_path: Path) -> None:
    path = write(tmp_path / "graph.onnx", [node("Einsum", "x x", "y", equation="ij,kj->ik")], {"x": (2, 3)}, {})
    assert graph_cost(path).macs is None
    assert graph_cost(path).parameters == 0


def test_weights_beside_the_file_count(tmp_path: Path) -> None:
    path = write(tmp_path / "graph.onnx", [node("Gemm", "x w", "y")], {"x": (1, 50)}, {"w": (50, 40)})
    whole = path.stat().st_size
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    found = graph_cost(path)
    assert found.bytes == path.stat().st_size + 8000
    assert path.stat().st_size < whole - 7000
    assert (found.parameters, found.macs) == (2000, 2000)


def test_no_graph_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "graph.onnx"
    path.write_bytes(b"no graph at all")
    with pytest.raises(BadInputError, match=r"graph\.onnx: expected an ONNX file"):
        graph_cost(path)
    with pytest.raises(BadInputError, match="cannot be opened"):
        graph_cost(tmp_path / "missing.onnx")


def test_without_onnx_only_bytes_are_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "graph.onnx", [node("Relu", "x", "y")], {"x": (2, 3)}, {})
    real = builtins.__import__

    def without(name: str, *others: Any) -> Any:
        if name == "onnx":
            raise ImportError(name)
        return real(name, *others)

    monkeypatch.delitem(sys.modules, "onnx")
    monkeypatch.setattr(builtins, "__import__", without)
    assert graph_cost(path) == GraphCost(path.stat().st_size, None, None)


def test_a_total_knows_what_all_parts_know() -> None:
    first, second = GraphCost(10, 3, 70), GraphCost(5, 4, None)
    assert total([first, second]) == GraphCost(15, 7, None)
    assert total([first, first]) == GraphCost(20, 6, 140)


def test_time_is_that_of_the_call_with_as_many_threads_as_it_was_made_for() -> None:
    made, called = [], []
    threads_before = cv2.getNumThreads()

    def make(threads: int) -> Any:
        made.append((threads, cv2.getNumThreads()))

        def call() -> None:
            called.append(threads)
            time.sleep(0.001 if len(called) <= 2 else 0.01 * threads)

        return call

    found = timings(make, repeats=5, warm_up=2)
    assert made == [(1, 1), (2, 2)]
    assert called == [1] * 7 + [2] * 7
    assert found[1].calls == found[2].calls == 5
    assert 9 < found[1].median < found[2].median
    assert found[2].median > 19
    assert found[1].low <= found[1].median <= found[1].high
    assert cv2.getNumThreads() == threads_before


def test_a_slow_call_is_measured_three_times() -> None:
    found = timings(lambda _threads: lambda: time.sleep(0.01), threads=(1,), warm_up=0, seconds=0.0)
    assert found[1].calls == 3


def test_memory_sees_what_a_call_frees_again() -> None:
    found = memory("size = 80_000_000", "held = bytes(b'1') * size\nfor _ in [0]: del held")
    assert found.peak - found.ready == pytest.approx(80, abs=3)
    assert 3 < found.ready < 60


def test_a_call_that_fails_says_why() -> None:
    with pytest.raises(FacegraftError, match="ZeroDivisionError"):
        memory("", "1 / 0")
