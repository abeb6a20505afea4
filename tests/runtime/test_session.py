"""Sessions: the device that was asked for, or an error; numbers against numpy and OpenCV."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.machine import memory_bytes, physical_cores
from facegraft.runtime.probe import Probe, conv_graph, convolve, probe, probe_apart
from facegraft.runtime.session import AUTO, CPU, DEVICES, PACKAGES, available_providers, make_session, warm_up

SHAPE = (1, 3, 8, 6)
WEIGHTS = np.random.default_rng(1).standard_normal((4, 3, 3, 3)).astype(np.float32)
BIAS = np.arange(4, dtype=np.float32)
GRAPH = conv_graph(SHAPE, WEIGHTS, BIAS)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(2).standard_normal(SHAPE).astype(np.float32)


def test_convolution_equals_opencv(image: np.ndarray) -> None:
    ours = convolve(image, WEIGHTS, BIAS)
    for k in range(len(BIAS)):
        planes = [cv2.filter2D(image[0, c], -1, WEIGHTS[k, c], borderType=cv2.BORDER_CONSTANT) for c in range(3)]
        np.testing.assert_allclose(ours[0, k], sum(planes) + BIAS[k], rtol=0, atol=1e-5)


@pytest.mark.parametrize("device", ["cpu", CPU])
def test_a_session_computes_the_convolution(image: np.ndarray, device: str) -> None:
    session = make_session(GRAPH, device=device)
    assert session.get_providers() == [CPU]
    np.testing.assert_allclose(session.run(None, {"image": image})[0], convolve(image, WEIGHTS, BIAS), atol=1e-5)


def test_a_session_from_a_file_has_the_threads_that_were_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "conv.onnx"
    path.write_bytes(GRAPH)
    assert make_session(path, device="cpu", threads=3).get_session_options().intra_op_num_threads == 3
    assert make_session(path, device="cpu").get_session_options().intra_op_num_threads == physical_cores()


def test_threads_of_a_session_do_not_wait_on_cores_that_others_need() -> None:
    """ONNX Runtime lets them spin by default."""
    options = make_session(GRAPH, device="cpu", threads=2).get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_the_graph_is_a_valid_onnx_file() -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load_from_string(GRAPH)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Conv"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(model.graph.initializer[0]), WEIGHTS)


def test_an_absent_device_is_an_error_that_names_its_package() -> None:
    absent = next(name for name in PACKAGES if DEVICES[name] not in available_providers())
    with pytest.raises(MissingPartError, match=re.escape(PACKAGES[absent])):
        make_session(GRAPH, device=absent)


def test_an_unknown_device_is_an_error_that_lists_the_known() -> None:
    with pytest.raises(BadInputError, match="choose from auto, cpu, cuda"):
        make_session(GRAPH, device="quantum")


def test_auto_works_everywhere(image: np.ndarray) -> None:
    session = make_session(GRAPH)
    assert session.get_providers()[0] in {CPU, *(DEVICES[name] for name in AUTO)}
    np.testing.assert_allclose(session.run(None, {"image": image})[0], convolve(image, WEIGHTS, BIAS), atol=1e-2)


@pytest.mark.parametrize("content", [b"", b"not a graph", GRAPH[: len(GRAPH) // 2]])
def test_a_broken_file_is_an_error_that_names_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    with pytest.raises((BadInputError, MissingPartError), match=r"broken\.onnx"):
        make_session(path, device="cpu")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(MissingPartError, match=r"nowhere\.onnx"):
        make_session(tmp_path / "nowhere.onnx")


@pytest.mark.skipif("AzureExecutionProvider" not in available_providers(), reason="this build has no such provider")
def test_a_provider_that_leaves_the_graph_to_the_cpu_is_found_out() -> None:
    """The Azure provider runs nothing itself: the one silent fall back that every machine can show."""
    loose = make_session(GRAPH, device="AzureExecutionProvider")
    assert CPU in loose.get_providers()
    with pytest.raises(MissingPartError, match="leaves the graph to the CPU"):
        make_session(GRAPH, device="AzureExecutionProvider", strict=True)


def test_a_silent_fall_back_is_an_error_by_name_and_a_warning_by_auto(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The machine is said to have a device that ONNX Runtime then does not find, as where CUDA is broken."""
    absent = next(name for name in AUTO if DEVICES[name] not in available_providers())
    listed = [DEVICES[absent], *available_providers()]
    monkeypatch.setattr("facegraft.runtime.session.available_providers", lambda: listed)
    with pytest.warns(UserWarning, match=DEVICES[absent]), pytest.raises(MissingPartError, match=f"fell back to {CPU}"):
        make_session(GRAPH, device=absent)
    with pytest.warns(UserWarning, match=DEVICES[absent]):
        session = make_session(GRAPH)
    assert session.get_providers() == [CPU]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert f"device {absent} does not work" in caplog.text


def test_a_session_is_warmed_up() -> None:
    """Seen by an input that the run with zeros cannot feed."""
    onnx = pytest.importorskip("onnx")
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.STRING, [1]) for name in "xy")
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    with pytest.raises(BadInputError, match=r"an input of the model is tensor\(string\)"):
        make_session(model.SerializeToString(), device="cpu")


def test_warm_up_says_when_it_cannot() -> None:
    onnx = pytest.importorskip("onnx")
    for dims, possible in ((["n", 3, 8, 6], True), ([1, 3, "h", 6], False)):
        x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, dims)
        y = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, dims)
        graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", [x], [y])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        session = onnxruntime.InferenceSession(model.SerializeToString(), providers=[CPU])
        assert warm_up(session) is possible


def test_probe_of_the_cpu_works_and_takes_time() -> None:
    result = probe_apart(CPU)
    assert result.works, result.error
    assert result.milliseconds is not None
    assert 0 < result.milliseconds < 1000


def test_probe_finds_wrong_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    right = conv_graph
    monkeypatch.setattr("facegraft.runtime.probe.conv_graph", lambda shape, w, b: right(shape, w, b + np.float32(9)))
    assert "wrong numbers" in probe(CPU).error


def test_a_probe_that_hangs_or_dies_is_a_line() -> None:
    assert "no answer" in probe_apart(CPU, timeout_s=0.01).error
    assert "is unknown" in probe_apart("NoSuchProvider").error


def test_probe_as_a_program_prints_json() -> None:
    command = [sys.executable, "-m", "facegraft.runtime.probe", CPU]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert Probe(**json.loads(done.stdout.splitlines()[-1])).works


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux binds a process to cores")
def test_cores_are_those_that_the_process_may_use() -> None:
    program = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))});"
        "from facegraft.core.machine import physical_cores; print(physical_cores())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


def test_cores_and_memory_are_plausible() -> None:
    assert 1 <= physical_cores() <= (os.cpu_count() or 1)
    total, free = memory_bytes()
    assert total is None or total > 1e8
    assert free is None or total is None or free <= total
