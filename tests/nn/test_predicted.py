"""Predicted weights: torch's own convolutions as the oracle, one sample at a time."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="networks need the extra `train`")

from torch.nn import functional as F  # noqa: E402 - after the check for torch

from facegraft.nn.predicted import (  # noqa: E402 - after the check for torch
    GAIN,
    MOST,
    KernelChain,
    Modulated,
    averaging_kernel,
    bounded,
    centre_tap,
    constant_layer,
    depthwise,
    each_with_all,
    pointwise,
)


def noise(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (4, 2)])
def test_each_sample_is_convolved_with_its_own_kernels(side: int, stride: int) -> None:
    x, kernels = noise(3, 5, 8, 12), noise(3, 5, side, side, seed=2)
    expected = torch.cat(
        [F.conv2d(x[n : n + 1], kernels[n][:, None], stride=stride, padding=1, groups=5) for n in range(3)]
    )
    assert expected.shape == (3, 5, 8 // stride, 12 // stride)
    for way in (depthwise, each_with_all):
        torch.testing.assert_close(way(x, kernels, stride), expected, atol=1e-5, rtol=1e-5)


def test_both_ways_have_the_same_gradients() -> None:
    found = []
    for way in (depthwise, each_with_all):
        x, kernels = noise(2, 3, 8, 8).requires_grad_(), noise(2, 3, 4, 4, seed=2).requires_grad_()
        (way(x, kernels, 2) * noise(2, 3, 4, 4, seed=3)).sum().backward()
        found.append((x.grad, kernels.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


def test_each_sample_is_mixed_with_its_own_matrix() -> None:
    x, matrices = noise(3, 5, 4, 6), noise(3, 7, 5, seed=2)
    expected = torch.einsum("bchw,boc->bohw", x, matrices)
    torch.testing.assert_close(pointwise(x, matrices), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("side", "stride"), [(3, 1), (4, 2)])
def test_a_constant_layer_is_one_row_of_the_predicted_one(side: int, stride: int) -> None:
    x, kernels, matrices = noise(1, 5, 8, 8), noise(2, 5, side, side, seed=2), noise(2, 7, 5, seed=3)
    layer = constant_layer(kernels[1], matrices[1], stride)
    expected = pointwise(depthwise(x, kernels[1:], stride), matrices[1:])
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)
    assert not any(weight.requires_grad for weight in layer.parameters())
    assert [name for name, _ in layer.named_parameters()] == ["0.weight", "1.weight"]  # no biases


def test_modulation_starts_at_one_and_scales_what_comes_in() -> None:
    torch.manual_seed(0)
    layer, code = Modulated(4, 6, 3), noise(2, 3)
    plain = F.normalize(layer.weight, dim=1)
    torch.testing.assert_close(layer(code), plain.expand(2, 6, 4))
    with torch.no_grad():
        layer.style.weight.copy_(noise(4, 3, seed=5))
    scaled = layer.weight * (1 + code @ layer.style.weight.T)[:, None]
    torch.testing.assert_close(layer(code), scaled / scaled.square().sum(2, keepdim=True).sqrt())


def test_demodulated_weights_keep_the_power() -> None:
    torch.manual_seed(0)
    layer = Modulated(16, 64, 8)
    torch.nn.init.normal_(layer.style.weight)
    made = pointwise(noise(2, 16, 32, 32), layer(noise(2, 8, seed=3)).detach())
    assert float(made.square().mean()) == pytest.approx(1, rel=0.05)


@torch.no_grad()
def test_first_kernels_are_plain_and_a_person_changes_all_of_them() -> None:
    torch.manual_seed(0)
    for first, side in ((averaging_kernel(), 4), (centre_tap(), 3)):
        chain = KernelChain(8, (6, 4, 3), first)
        one, other = (chain(noise(2, 8, side, side, seed=seed)) for seed in (1, 2))
        assert [tuple(kernels.shape) for kernels in one] == [(2, width, side, side) for width in (6, 4, 3)]
        for these, those in zip(one, other, strict=True):
            assert 0.05 < float((these - those).abs().mean() / these.abs().mean()) < 1
            assert float((these - first).square().mean() / first.square().mean()) < 0.2


def test_plain_kernels_halve_or_keep_a_picture() -> None:
    x = F.interpolate(noise(2, 3, 4, 4), size=(32, 32), mode="bilinear", align_corners=False)
    kept = depthwise(x, centre_tap().expand(2, 3, 3, 3))
    torch.testing.assert_close(kept, GAIN * x)
    halved = depthwise(x, averaging_kernel().expand(2, 3, 4, 4), 2)
    smooth = F.interpolate(x, size=(16, 16), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(halved[..., 1:-1, 1:-1], GAIN * smooth[..., 1:-1, 1:-1], atol=1e-5, rtol=1e-5)


def test_the_gain_makes_up_for_the_activation() -> None:
    x = noise(100_000)
    assert float((GAIN * F.leaky_relu(x, 0.1)).square().mean()) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_chain_normalises_as_it_is_told(batch_norm: bool) -> None:
    kinds = {type(module).__name__ for module in KernelChain(8, (4,), centre_tap(), batch_norm=batch_norm).modules()}
    assert ("BatchNorm2d" in kinds) is batch_norm
    assert ("GroupNorm" in kinds) is not batch_norm


def test_predicted_kernels_cannot_grow_without_a_bound() -> None:
    """Without normalisation a few layers of tenfold kernels end the training."""
    small, large = 0.1 * noise(2, 3, 4, 4), 5 * noise(2, 3, 4, 4)
    assert torch.equal(bounded(small), small)
    torch.testing.assert_close(bounded(large).abs().sum((2, 3)), torch.full((2, 3), MOST))
    torch.testing.assert_close(F.normalize(bounded(large).flatten(2), dim=2), F.normalize(large.flatten(2), dim=2))
    chain = KernelChain(8, (6, 4), averaging_kernel())
    with torch.no_grad():
        for weight in chain.beside:
            weight.weight.mul_(1000)
    made = chain(noise(2, 8, 4, 4))
    assert all(kernels.abs().sum((2, 3)).max() < 1.001 * MOST for kernels in made)
