"""What is set for the device that trains."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from torch import nn  # noqa: E402

from facegraft.methods._method import build_method  # noqa: E402
from facegraft.train.devices import quicken  # noqa: E402
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
