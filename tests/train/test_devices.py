"""What is set for the device that trains."""

from __future__ import annotations

import copy

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from torch import nn  # noqa: E402

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.methods._method import build_method  # noqa: E402
from facegraft.train import devices  # noqa: E402
from facegraft.train.devices import half_precision, quicken  # noqa: E402
from facegraft.train.frozen_nets import load_frozen  # noqa: E402
from facegraft.train.methods import _quick  # noqa: E402


def test_quicker_convolutions_give_the_same() -> None:
    """Results and gradients, with a stride and without, one picture and many."""
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1, stride=2, bias=False), nn.Conv2d(4, 3, 3))
    quick = nn.Sequential(nn.Conv2d(6, 8, 1), nn.ReLU(), nn.Conv2d(8, 4, 1, stride=2, bias=False), nn.Conv2d(4, 3, 3))
    quick.load_state_dict(plain.state_dict())
    quicken(quick)
    assert [layer.dilation for layer in quick if isinstance(layer, nn.Conv2d)] == [(2, 2), (2, 2), (1, 1)]
    for count in (1, 8, 32):
        images = torch.randn(count, 6, 15, 11, requires_grad=True)
        found = [net(images) for net in (plain, quick)]
        torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)
        gradients = [torch.autograd.grad(result.square().sum(), images)[0] for result in found]
        torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-3, atol=1e-4)
    assert plain.state_dict().keys() == quick.state_dict().keys()


@pytest.mark.parametrize(("channels", "stride"), [(3, 2), (7, 2), (4, (2, 1)), (8, 2)])
def test_few_channels_that_are_halved_learn_rightly(channels: int, stride: int | tuple[int, int]) -> None:
    """Channels last, against float64: on CPUs with AVX2 alone torch's own gradients of these are not right."""
    torch.manual_seed(0)
    layer = nn.Conv2d(channels, 8, 1, stride=stride, bias=False)
    exact = nn.Conv2d(channels, 8, 1, stride=stride, bias=False).double()
    exact.weight.data = layer.weight.detach().double()
    quick = nn.Sequential(layer).to(memory_format=torch.channels_last)
    quicken(quick)
    images = torch.rand(4, channels, 31, 32)
    found = quick(images.to(memory_format=torch.channels_last))
    expected = exact(images.double())
    torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=0)
    gradients = [torch.autograd.grad(result.square().sum(), weight)[0].double() for result, weight in
                 ((found, layer.weight), (expected, exact.weight))]  # fmt: skip
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-2, rtol=1e-4)


def test_frozen_networks_are_quick_in_training_and_plain_for_export() -> None:
    """Bundles hold frozen networks too: a dilation would stand in their graphs."""
    plain = load_frozen({"identity", "perceptual"}, "arcface_112_v1", 64)
    found = []
    for frozen in (plain, _quick(load_frozen({"identity", "perceptual"}, "arcface_112_v1", 64))):
        for net in (frozen.identity, frozen.perceptual):
            assert isinstance(net, nn.Module)
            convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
            found.append({layer.dilation for layer in convolutions if layer.kernel_size == (1, 1)})
    assert found == [{(1, 1)}, {(1, 1)}, {(2, 2)}, {(2, 2)}]


def test_a_method_that_learns_stays_the_method_that_is_exported() -> None:
    """Dilations belong to the process that trains: weights alone are kept."""
    tables = {"method": "mobilefsgan", "model": {"size_px": 32, "halvings": 3, "width": 4}}
    torch.manual_seed(0)
    method = build_method(tables)
    quicken(method)
    again = build_method(tables)
    again.load_state_dict(method.state_dict())
    assert all(layer.dilation == (1, 1) for layer in again.modules() if isinstance(layer, nn.Conv2d))
    assert any(layer.dilation == (2, 2) for layer in method.modules() if isinstance(layer, nn.Conv2d))


def mixed() -> nn.Sequential:
    torch.manual_seed(0)
    halving = nn.Conv2d(8, 8, 5, stride=2, padding=2, groups=8)
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), halving, nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 3, groups=4))


def test_layers_that_are_slow_in_halves_stay_in_full() -> None:
    """And are the same without autocast, copied too."""
    plain, quick = mixed(), mixed()
    quicken(quick)
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(plain(images), quick(images))
    kinds: dict[str, list[torch.dtype]] = {"plain": [], "quick": [], "copied": []}
    for name, net in (("plain", plain), ("quick", quick), ("copied", copy.deepcopy(quick))):
        held = images
        with half_precision("never", torch.device("cpu")), torch.autocast("cpu", torch.bfloat16):
            for layer in net:
                held = layer(held)
                kinds[name].append(held.dtype)
        torch.testing.assert_close(held.float(), plain(images), rtol=0.1, atol=0.05)
    half, full = torch.bfloat16, torch.float32
    assert kinds["plain"] == [half, half, half, half]
    assert kinds["quick"] == kinds["copied"] == [half, full, full, half]


def test_a_copy_of_a_quick_layer_has_weights_of_its_own() -> None:
    quick = mixed()
    quicken(quick)
    average = copy.deepcopy(quick)
    images = torch.randn(2, 3, 16, 16)
    before = average(images)
    with torch.no_grad():
        for weight in quick.parameters():
            weight.zero_()
    assert torch.equal(average(images), before)


@pytest.mark.parametrize(("when", "expected"), [("gpu", False), ("never", False), ("always", True)])
def test_when_a_cpu_computes_in_halves(monkeypatch: pytest.MonkeyPatch, when: str, *, expected: bool) -> None:
    monkeypatch.setattr(devices, "computes_halves", lambda: True)
    with half_precision(when, torch.device("cpu")):
        made = torch.ones(2, 2) @ torch.ones(2, 2)
    assert (made.dtype == torch.bfloat16) is expected


def test_a_cpu_without_instructions_for_halves_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "computes_halves", lambda: False)
    with pytest.raises(BadInputError, match=r"train\.half: this CPU has neither"):
        half_precision("always", torch.device("cpu"))


def test_a_gpu_computes_in_halves_unless_told_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of autocast itself: there need be no GPU."""
    asked: list[tuple[str, bool]] = []

    class Noting(torch.autocast):
        def __init__(self, kind: str, dtype: torch.dtype, *, enabled: bool) -> None:
            asked.append((kind, enabled))
            super().__init__("cpu", dtype, enabled=enabled)

    monkeypatch.setattr(torch, "autocast", Noting)
    monkeypatch.setattr(devices, "computes_halves", lambda: False)
    for when in ("gpu", "always", "never"):
        half_precision(when, torch.device("cuda"))
    assert asked == [("cuda", True), ("cuda", True), ("cuda", False)]
