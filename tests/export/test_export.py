"""Exported graphs against torch: equal, of any batch, with halved weights nearly so; no trace of the machine."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs the extra `train`")
pytest.importorskip("onnxscript", reason="export needs the extra `train`")

import onnx  # noqa: E402
from jaxtyping import Float  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.export.card import as_markdown  # noqa: E402
from facegraft.export.compare import largest_differences, milliseconds, open_session  # noqa: E402
from facegraft.export.to_onnx import Ports, export_onnx, other_inputs, plain_outputs  # noqa: E402
from facegraft.nn.conv import ConvNormAct, Inverted, Separable, Up  # noqa: E402


@dataclass(frozen=True)
class Found:
    scores: Float[Tensor, "b n"]
    absent: Tensor | None
    mask: Float[Tensor, "b 1 h w"]


class Net(nn.Module):
    """Every block once, decoding as a detector does: outputs depend on sizes that are free."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            ConvNormAct(3, 16, stride=2),
            Separable(16, 16, 5, activation="prelu"),
            Inverted(16, 16, squeeze=True, activation="hardswish"),
        )
        self.up = nn.Sequential(Up("bilinear"), Up("nearest"), nn.AvgPool2d(2), nn.Conv2d(16, 1, 1))

    def forward(self, image: Float[Tensor, "b 3 h w"]) -> Found:
        features = self.body(image * 2 - 1)
        return Found(features.mean(1).flatten(1), None, self.up(features).sigmoid())


PORTS = Ports(("image",), ("scores", "mask"), {"image": {0: "b", 2: "h", 3: "w"}})
EXAMPLE = (torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)),)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    made = Net()
    with torch.no_grad():  # normalisations of a trained network are not neutral
        for _ in range(3):
            made(torch.rand(4, 3, 32, 32))
    return made.eval()


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "float16"])
def graph(
    request: pytest.FixtureRequest, net: nn.Module, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, bool]:
    path = tmp_path_factory.mktemp("graph") / "net.onnx"
    export_onnx(net, EXAMPLE, path, ports=PORTS, half=request.param, facts={"network": "net"})
    return path, request.param


def test_the_graph_does_what_torch_does(net: nn.Module, graph: tuple[Path, bool]) -> None:
    path, half = graph
    wide = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    samples = [EXAMPLE, other_inputs(EXAMPLE, PORTS), (wide,)]
    assert [sample[0].shape[0] for sample in samples] == [1, 3, 2]
    found = largest_differences(net, path, samples, PORTS)
    assert set(found) == {"scores", "mask"}
    assert max(found.values()) < (2e-3 if half else 1e-5)
    if half:
        assert max(found.values()) > 0  # it really is rounded


def test_a_difference_is_found(net: nn.Module, graph: tuple[Path, bool]) -> None:
    torch.manual_seed(1)
    assert largest_differences(Net(), graph[0], [EXAMPLE], PORTS)["scores"] > 0.01


def test_inputs_and_outputs_are_float32_and_their_free_axes_named(graph: tuple[Path, bool]) -> None:
    session = open_session(graph[0], 1)
    (image,) = session.get_inputs()
    assert (image.name, image.type, image.shape) == ("image", "tensor(float)", ["b", 3, "h", "w"])
    assert [(port.name, port.type, port.shape[0]) for port in session.get_outputs()] == [
        ("scores", "tensor(float)", "b"),
        ("mask", "tensor(float)", "b"),
    ]
    assert milliseconds(graph[0], EXAMPLE, PORTS, 1) > 0


def test_parts_that_a_network_names_are_not_rounded(net: nn.Module, tmp_path: Path) -> None:
    """The first part stays in float32, the others are float16; nothing else changes."""
    part = "body.0"
    exact = copy.deepcopy(net)
    exact.kept_exact = (part,)  # type: ignore[assignment]
    export_onnx(exact, EXAMPLE, tmp_path / "net.onnx", ports=PORTS, half=True)
    large = [one for one in onnx.load(tmp_path / "net.onnx").graph.initializer if np.prod(one.dims) >= 64]
    kinds = {one.name.startswith(f"net.{part}."): one.data_type for one in large}
    assert kinds == {True: onnx.TensorProto.FLOAT, False: onnx.TensorProto.FLOAT16}


def test_weights_are_stored_once_and_as_asked(graph: tuple[Path, bool]) -> None:
    model = onnx.load(graph[0])
    large = [tensor for tensor in model.graph.initializer if np.prod(tensor.dims) >= 64]
    expected = onnx.TensorProto.FLOAT16 if graph[1] else onnx.TensorProto.FLOAT
    assert len(large) >= 6
    assert {tensor.data_type for tensor in large} == {expected}
    assert "BatchNormalization" not in {node.op_type for node in model.graph.node}
    assert {entry.key: entry.value for entry in model.metadata_props} == {"network": "net"}
    assert str(Path(__file__).parents[2]).encode() not in graph[0].read_bytes()
    assert b".py" not in graph[0].read_bytes()


def test_the_same_network_gives_the_same_file(net: nn.Module, graph: tuple[Path, bool], tmp_path: Path) -> None:
    path, half = graph
    export_onnx(net, EXAMPLE, tmp_path / "again.onnx", ports=PORTS, half=half, facts={"network": "net"})
    assert (tmp_path / "again.onnx").read_bytes() == path.read_bytes()


class Stubborn(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image if float(image.sum()) > 0 else -image


def test_what_cannot_be_written_is_one_line_and_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="torch cannot write this network as ONNX") as error:
        export_onnx(Stubborn(), EXAMPLE, tmp_path / "a.onnx", ports=Ports(("image",), ("out",), {"image": {0: "b"}}))
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "b.onnx").write_bytes(b"no graph")
    with pytest.raises(BadInputError, match=r"b\.onnx: ONNX Runtime cannot read it"):
        open_session(tmp_path / "b.onnx", 1)


def test_outputs_of_every_kind_become_a_tuple() -> None:
    one, two = torch.ones(1, 1), torch.ones(1, 1, 1, 1)
    assert plain_outputs(one) == (one,)
    assert plain_outputs((one, None)) == (one,)
    assert plain_outputs(Found(one, None, two)) == (one, two)


def test_the_card_names_data_licences_and_figures() -> None:
    start = {"device": "a machine", "threads": 2, "torch": "2", "facegraft": "1", "commit": "abc"}
    data = {"name": "faces", "items": 9, "people": 3, "licences": {"CC0-1.0": 9}, "about": "", "command": "make it"}
    run: dict[str, Any] = {
        "config": {},
        "images_seen": 1000,
        "seconds": 90,
        "scores": {"iou": 0.9123},
        "starts": [start],
    }
    facts = {"network": "net", "file": "net.onnx", "bytes": 10, "sha256": "00", "parameters": 5, "notes": "## Limits\n"}
    graph = {"weights": "float16", "inputs": {"image": ["b", 3]}, "outputs": {"mask": ["b", 1]}}
    measured = {"differences": {"mask": 0.00012}, "milliseconds": {"1": 1.0, "2": 0.6}}
    text = as_markdown(facts | {"graph": graph, "run": run | {"data": {"renders": data}}} | measured)
    for words in (
        "| iou | 0.9123 |",
        "1.00 ms with 1 threads, 0.60 ms with 2 threads",
        "9 pictures of 3 people; licences: 9 CC0-1.0. Made by `make it`.",
        "mask 1.2e-04",
        "facegraft 1 abc on a machine",
        "## Limits",
    ):
        assert words in text


def test_cards_hold_no_absolute_path() -> None:
    from facegraft.export.run import portable

    tables = {"data": {"renders": ["/home/me/a/renders", "data/b"], "real": "", "cache": 5}, "seed": 0}
    assert portable(tables) == {"data": {"renders": ["renders", "data/b"], "real": "", "cache": 5}, "seed": 0}
