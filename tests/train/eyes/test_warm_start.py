"""Training that goes on from an exported file: the same function, in training mode too, and files that do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

from torch import nn  # noqa: E402

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.export.to_onnx import Ports, export_onnx  # noqa: E402
from facegraft.nn.conv import ConvNormAct, Inverted  # noqa: E402
from facegraft.train.eyes.warm_start import train_only, warm_start  # noqa: E402

PORTS = Ports(("crop",), ("answer",), {"crop": {0: "b"}})


class Small(nn.Module):
    """Every kind of layer that our networks have, a constant, and one more part if it is asked for."""

    turn: torch.Tensor

    def __init__(self, *, more: bool = False, width: int = 6) -> None:
        super().__init__()
        self.body = nn.Sequential(ConvNormAct(3, width, stride=2), Inverted(width, width, expansion=2))
        self.whole = nn.Sequential(
            nn.Conv2d(width, width, 4, groups=width, bias=False), nn.BatchNorm2d(width), nn.Flatten()
        )
        self.sum_up = nn.Sequential(nn.Linear(width, 70, bias=False), nn.BatchNorm1d(70), nn.ReLU())
        self.answer = nn.Linear(70, 2)
        self.more = nn.Linear(70, 2) if more else None
        self.register_buffer("turn", torch.tensor([[0.0, 1.0], [-1.0, 0.0]]), persistent=False)

    def forward(self, crop: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.answer(self.sum_up(self.whole(self.body(crop))))
        return answer @ self.turn


@pytest.fixture(scope="module")
def crops() -> torch.Tensor:
    return torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def trained(crops: torch.Tensor) -> Small:
    """With normalisations that are far from where they start."""
    torch.manual_seed(0)
    net = Small()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(layer.weight, 0.5, 2)
            nn.init.normal_(layer.bias)
    net.train()
    for _ in range(20):
        net(crops + torch.rand(1))
    return net.eval()


@pytest.fixture(scope="module", params=[False, True], ids=["float32", "float16"])
def file(request: pytest.FixtureRequest, trained: Small, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "net.onnx"
    export_onnx(trained, (torch.rand(1, 3, 8, 8),), path, ports=PORTS, half=request.param)
    return path


def test_the_function_is_the_files_also_in_training_mode(trained: Small, file: Path, crops: torch.Tensor) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    wanted = torch.from_numpy(session.run(None, {"crop": crops.numpy()})[0])
    net = Small()
    assert warm_start(net, file, crops) == []
    assert net.training
    with torch.no_grad():
        assert torch.allclose(net.eval()(crops), wanted, atol=1e-4)
        assert torch.allclose(net.train()(crops), wanted, atol=1e-4)
        assert torch.allclose(trained(crops), wanted, atol=2e-2)


def test_a_last_normalisation_without_weights_keeps_its_mean(crops: torch.Tensor, tmp_path: Path) -> None:
    """As the identity network ends: the file holds its mean as a bias, which no weight of the network takes."""
    torch.manual_seed(0)

    def ended() -> nn.Sequential:
        last = nn.Linear(12, 5, bias=False), nn.BatchNorm1d(5, affine=False)
        return nn.Sequential(nn.Flatten(), nn.Sequential(nn.Linear(192, 12), nn.ReLU()), nn.Sequential(*last))

    net = ended().train()
    for _ in range(40):
        net(crops + 1)
    path = tmp_path / "ended.onnx"
    export_onnx(net.eval(), (torch.rand(1, 3, 8, 8),), path, ports=PORTS)
    again = ended()
    assert warm_start(again, path, crops) == []
    with torch.no_grad():
        assert torch.allclose(again.eval()(crops), net(crops), atol=1e-4)


def test_weights_can_learn_on_and_newer_parts_stay_as_they_are(file: Path, crops: torch.Tensor) -> None:
    net = Small(more=True)
    assert net.more is not None
    before = net.more.weight.clone()
    assert set(warm_start(net, file, crops)) == {"more.weight", "more.bias"}
    assert torch.equal(net.more.weight, before)
    net(crops).square().sum().backward()
    assert all(weight.grad is not None for name, weight in net.named_parameters() if not name.startswith("more"))


def test_parts_alone_are_taken_where_they_are_named(file: Path, crops: torch.Tensor) -> None:
    net, other = Small(), Small()
    before = net.answer.weight.clone()
    warm_start(net, file, crops, ("body.",))
    warm_start(other, file, crops)
    assert torch.equal(net.answer.weight, before)
    with torch.no_grad():
        assert torch.allclose(net.eval().body(crops), other.eval().body(crops), atol=1e-5)


def test_files_that_do_not_fit_are_named(file: Path, crops: torch.Tensor, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"net\.onnx.*expected"):
        warm_start(Small(width=8), file, crops)
    with pytest.raises(BadInputError, match="none of its weights"):
        warm_start(Small(), file, crops, ("nothing.",))
    (tmp_path / "broken.onnx").write_bytes(b"no network")
    with pytest.raises(BadInputError, match=r"broken\.onnx"):
        warm_start(Small(), tmp_path / "broken.onnx", crops)
    with pytest.raises(BadInputError, match=r"absent\.onnx"):
        warm_start(Small(), tmp_path / "absent.onnx", crops)


def test_only_the_parts_named_learn() -> None:
    net = Small(more=True)
    train_only(net, ("answer.", "more."))
    assert {name.partition(".")[0] for name, weight in net.named_parameters() if weight.requires_grad} == {
        "answer",
        "more",
    }
