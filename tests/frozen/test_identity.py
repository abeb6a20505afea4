"""The identity network: size, unit vectors, weights to a file and back, and that a loss may look through it."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.frozen.identity import Identity, IdentityConfig, cosine, load  # noqa: E402
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.weights import save_weights  # noqa: E402

TINY = IdentityConfig(
    stem=8, widths=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1, 1), expansions=(2, 2, 2, 2, 2), head=16, embedding=12
)


def test_size_of_the_shipped_network() -> None:
    assert 1_300_000 < count_parameters(Identity(IdentityConfig())) <= 1_500_000


def test_unit_vectors_that_do_not_depend_on_neighbours() -> None:
    net = Identity(TINY).eval()
    crops = torch.rand((3, 3, 112, 112), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = net(crops)
        assert together.shape == (3, 12)
        torch.testing.assert_close(together.norm(dim=1), torch.ones(3))
        torch.testing.assert_close(net(crops[1:2]), together[1:2], atol=1e-5, rtol=0)
        torch.testing.assert_close(cosine(together, together), torch.ones(3))


def test_what_is_exported_are_the_same_vectors_and_the_last_map_of_14_pixels() -> None:
    net = Identity(IdentityConfig(stem=8, widths=(8, 16, 24, 32, 40), depths=(2, 1, 3, 1, 2), head=16)).eval()
    crops = torch.rand((2, 3, 112, 112), generator=torch.Generator().manual_seed(0))
    last: dict[tuple[int, ...], torch.Tensor] = {}
    for layer in net.body:
        layer.register_forward_hook(lambda _layer, _given, found: last.__setitem__(tuple(found.shape[2:]), found))
    with torch.no_grad():
        vectors, middle = net.exported(crops)
        torch.testing.assert_close(vectors, net(crops), atol=0, rtol=0)
    assert middle.shape == (2, 24, 14, 14)
    assert torch.equal(middle, last[14, 14])
    assert set(Identity(IdentityConfig()).state_dict()) >= {"body.0.0.weight", "whole.0.weight", "last.0.weight"}


def test_weights_survive_a_file_and_gradients_reach_the_picture_only(tmp_path: Path) -> None:
    net = Identity(TINY).eval()
    save_weights(tmp_path / "weights.safetensors", net, {})
    frozen = load(tmp_path / "weights.safetensors", TINY)
    crop = torch.rand((1, 3, 112, 112), generator=torch.Generator().manual_seed(0)).requires_grad_()
    torch.testing.assert_close(frozen(crop), net(crop))
    frozen(crop)[0, 0].backward()
    assert crop.grad is not None
    assert float(crop.grad.abs().sum()) > 0
    assert not any(weight.requires_grad for weight in frozen.parameters())
    with pytest.raises(BadInputError, match="another network"):
        load(tmp_path / "weights.safetensors", IdentityConfig())
