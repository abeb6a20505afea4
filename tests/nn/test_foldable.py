"""Normalisations that evaluation folds: the same as the plain layers, border and all."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

from facegraft.nn.foldable import NormPoint, StyledNorm, settled  # noqa: E402


def pictures(seed: int = 0) -> Tensor:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(4, 6, 5, 5, generator=draws) * torch.arange(1.0, 7.0)[:, None, None] + 3


def taught(layer: NormPoint | StyledNorm) -> None:
    """Statistics that are not those of any picture here."""
    assert layer.norm.running_mean is not None
    assert layer.norm.running_var is not None
    layer.norm.running_mean.copy_(torch.linspace(-1, 2, 6))
    layer.norm.running_var.copy_(torch.linspace(0.2, 4, 6))


def test_the_folded_convolution_answers_as_both_layers_do() -> None:
    layer = NormPoint(6, 3).eval()
    taught(layer)
    x = pictures()
    torch.testing.assert_close(layer(x), layer.point(layer.norm(x)), atol=1e-5, rtol=1e-5)


def test_in_training_a_batch_is_normalised_by_itself() -> None:
    layer, x = NormPoint(6, 3).train(), pictures()
    expected = layer.point(nn.functional.batch_norm(x, None, None, training=True))
    torch.testing.assert_close(layer(x), expected)


def test_a_style_gives_each_channel_its_mean_and_deviation() -> None:
    layer, x = StyledNorm(6).train(), pictures()
    style = torch.stack([torch.full((4, 6), 1.5), torch.linspace(-1, 1, 6).expand(4, 6)], 1)
    found = layer(x, style)
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.linspace(-1, 1, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3), correction=0), torch.full((6,), 2.5), atol=1e-3, rtol=0)


def test_a_style_is_each_samples_own_and_can_be_fixed() -> None:
    layer = StyledNorm(6).eval()
    taught(layer)
    x, style = pictures(), torch.randn(4, 2, 6)
    found = layer(x, style)
    plain = layer.norm(x) * (1 + style[:, 0, :, None, None]) + style[:, 1, :, None, None]
    torch.testing.assert_close(found, plain, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(layer.fixed(style[2:3])(x[2:3]), found[2:3], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match="one person, found 4"):
        layer.fixed(style)


def test_only_constants_fold() -> None:
    with pytest.raises(ValueError, match="running statistics"):
        settled(nn.BatchNorm2d(3, affine=False, track_running_stats=False))
