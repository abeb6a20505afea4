"""Features of faces: crops reach the network in its range and order, and other files are refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

from facegraft.core.errors import BadInputError, MissingPartError  # noqa: E402
from facegraft.evaluate.features import OnnxFeature, OwnFeature, moments  # noqa: E402
from facegraft.evaluate.look import FaceFeature  # noqa: E402

FLOAT = onnx.TensorProto.FLOAT


def write(path: Path, given: tuple[str, list[object]], nodes: list[object], outputs: dict[str, list[object]]) -> Path:
    """A graph whose last nodes give the outputs."""
    helper = onnx.helper
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(given[0], FLOAT, given[1])],
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in outputs.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def node(kind: str, given: str, made: str, **attributes: object) -> object:
    return onnx.helper.make_node(kind, [given], [made], **attributes)


def crops(side: int) -> np.ndarray:
    """Two crops: channels differ, and the second is brighter at the left."""
    made = np.zeros((2, side, side, 3), np.uint8)
    made[...] = (255, 51, 0)
    made[1, :, : side // 2, 2] = 255
    return made


def test_any_network_gets_minus_one_to_one_rgb_and_gives_a_row_per_crop(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", "picture", "pooled"), node("Flatten", "pooled", "row")]
    flat = write(tmp_path / "flat.onnx", ("picture", ["b", 3, 16, 16]), nodes, {"row": ["b", 3]})
    feature: FaceFeature = OnnxFeature(flat)
    assert feature.size_px == 16
    found = feature.maps(crops(16))
    assert found.shape == (2, 3, 1, 1)
    np.testing.assert_allclose(found[:, :, 0, 0], [[1, -0.6, -1], [1, -0.6, 0]], atol=1e-6)
    np.testing.assert_array_equal(moments(found[1]), found[1, :, 0, 0])


def test_free_sides_take_inceptions_and_rows_may_be_maps_of_one_place(tmp_path: Path) -> None:
    pooled = [node("GlobalAveragePool", "x", "y")]
    feature = OnnxFeature(write(tmp_path / "a.onnx", ("x", ["b", 3, "h", "w"]), pooled, {"y": ["b", 3, 1, 1]}))
    assert feature.size_px == 299
    assert feature.maps(crops(299)).shape == (2, 3, 1, 1)
    single = OnnxFeature(write(tmp_path / "b.onnx", ("x", [1, 3, 8, 8]), pooled, {"y": [1, 3, 1, 1]}))
    np.testing.assert_allclose(single.maps(crops(8))[0, :, 0, 0], [1, -0.6, -1], atol=1e-6)
    with pytest.raises(BadInputError, match=r"b\.onnx: cannot run on one picture of \(9, 9, 3\)"):
        single.maps(crops(9))


@pytest.mark.parametrize(
    ("given", "output", "told"),
    [
        (["b", 3, 8, 8], ["b", 3, 8, 8], "cut the network"),
        (["b", 8, 8, 3], ["b", 8, 8, 3], "expected one input"),
        (["b", 3, 8, 9], ["b", 3, 8, 9], "expected one input"),
        ([4, 3, 8, 8], [4, 3, 8, 8], "expected one input"),
        (["b", 3], ["b", 3], "expected one input"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, given: list[object], output: list[object], told: str) -> None:
    path = write(tmp_path / "odd.onnx", ("x", given), [node("Relu", "x", "y")], {"y": output})
    with pytest.raises(BadInputError, match=told) as error:
        OnnxFeature(path)
    assert "\n" not in str(error.value)


def test_what_is_no_number_no_file_or_no_network_is_told(tmp_path: Path) -> None:
    nodes = [node("GlobalAveragePool", "x", "p"), node("Log", "p", "l"), node("Flatten", "l", "y")]
    path = write(tmp_path / "log.onnx", ("x", ["b", 3, 8, 8]), nodes, {"y": ["b", 3]})
    with pytest.raises(BadInputError, match="infinite or undefined"):
        OnnxFeature(path).maps(crops(8))
    (tmp_path / "text.onnx").write_text("no graph")
    for kind in (OnnxFeature, OwnFeature):
        with pytest.raises(MissingPartError, match="expected a network in ONNX"):
            kind(tmp_path / "text.onnx")
        with pytest.raises(BadInputError, match="nowhere"):
            kind(tmp_path / "nowhere.onnx")


def test_our_own_network_gets_zero_to_one_and_gives_its_map(tmp_path: Path) -> None:
    pool = {"kernel_shape": [8, 8], "strides": [8, 8]}
    nodes = [node("GlobalAveragePool", "crop", "p"), node("Flatten", "p", "embedding")]
    nodes.append(node("AveragePool", "crop", "map", **pool))
    outputs: dict[str, list[object]] = {"embedding": ["b", 3], "map": ["b", 3, 14, 14]}
    feature: FaceFeature = OwnFeature(write(tmp_path / "own.onnx", ("crop", ["b", 3, 112, 112]), nodes, outputs))
    found = feature.maps(crops(feature.size_px))
    assert found.shape == (2, 3, 14, 14)
    np.testing.assert_allclose(found[0], np.broadcast_to([[[1.0]], [[0.2]], [[0.0]]], (3, 14, 14)), atol=1e-6)
    np.testing.assert_allclose(found[1, 2], np.repeat([[1.0] * 7 + [0.0] * 7], 14, axis=0), atol=1e-6)
    np.testing.assert_allclose(moments(found[1]), [1, 0.2, 0.5, 0, 0, 0.5], atol=1e-6)
    with pytest.raises(BadInputError, match="export the identity network again"):
        OwnFeature(write(tmp_path / "old.onnx", ("crop", ["b", 3, 112, 112]), nodes[:2], {"embedding": ["b", 3]}))


@pytest.mark.slow
def test_the_map_of_an_exported_network_is_torchs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="export needs the extra `train`")
    pytest.importorskip("onnxscript", reason="export needs the extra `train`")
    from facegraft.export.to_onnx import Ports, export_onnx
    from facegraft.faces.recognisers import OnnxRecogniser
    from facegraft.train.eyes.identity import RECIPE

    torch.manual_seed(0)
    net = RECIPE.build({"widths": [8, 8, 12, 8, 8], "depths": [1, 1, 2, 1, 1], "stem": 8, "head": 16}).eval()
    ports = Ports(RECIPE.input_names, RECIPE.output_names, RECIPE.dynamic_axes)
    export_onnx(net, RECIPE.example(), tmp_path / "identity.onnx", ports=ports)
    pictures = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    with torch.no_grad():
        vectors, maps = net.exported(torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255)
    assert maps.shape == (2, 12, 14, 14)
    np.testing.assert_allclose(OwnFeature(tmp_path / "identity.onnx").maps(pictures), maps.numpy(), atol=1e-4)
    # Readers of one output go on as before.
    np.testing.assert_allclose(OnnxRecogniser(tmp_path / "identity.onnx").embed(pictures), vectors.numpy(), atol=1e-5)
