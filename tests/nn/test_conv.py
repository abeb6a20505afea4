"""Blocks: shapes, and torch's own layers as the oracle where there are such."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="networks need the extra `train`")

from torch.nn import functional as F  # noqa: E402 - after the check for torch

from facegraft.nn.conv import (  # noqa: E402 - after the check for torch
    ConvNormAct,
    Inverted,
    Residual,
    Separable,
    Slope,
    SqueezeExcite,
    Up,
    count_parameters,
)


def features(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("activation", ["relu", "hardswish", "prelu", "none"])
@pytest.mark.parametrize(("stride", "side"), [(1, 9), (2, 5)])
def test_shapes(activation: str, stride: int, side: int) -> None:
    x = features(2, 8, 9, 9)
    for block in (
        ConvNormAct(8, 12, stride=stride, activation=activation),
        Separable(8, 12, 5, stride=stride, activation=activation),
        Inverted(8, 12, stride=stride, squeeze=True, activation=activation),
    ):
        assert block(x).shape == (2, 12, side, side)


def test_slope_is_prelu() -> None:
    x, slope = features(2, 3, 4, 4), features(3)
    block = Slope(3)
    with torch.no_grad():
        block.slope[:, 0, 0] = slope
    assert torch.equal(block(x), F.prelu(x, slope))


def test_convolution_has_no_bias_that_the_normalisation_would_take_away() -> None:
    assert count_parameters(ConvNormAct(8, 12, 3)) == 8 * 12 * 9 + 2 * 12
    assert count_parameters(Separable(8, 12, 3)) == 8 * 9 + 2 * 8 + 8 * 12 + 2 * 12
    assert count_parameters(Inverted(8, 8, expansion=1)) == 8 * 9 + 2 * 8 + 8 * 8 + 2 * 8  # nothing is widened


def test_an_inverted_block_adds_its_input_only_where_the_shapes_agree() -> None:
    x = features(2, 8, 4, 4)
    for block, adds in ((Inverted(8, 8), True), (Inverted(8, 8, stride=2), False), (Inverted(8, 10), False)):
        with torch.no_grad():
            block.body[-1][1].weight.zero_()  # the last normalisation: the body gives 0
        assert torch.equal(block(x), x) is adds
    assert torch.equal(Residual(torch.nn.Identity())(x), 2 * x)


def test_squeeze_weighs_whole_channels_between_0_and_1() -> None:
    x = features(2, 16, 4, 4)
    weights = SqueezeExcite(16)(x) / x
    assert torch.allclose(weights, weights[:, :, :1, :1].expand_as(weights), atol=1e-5)
    assert ((weights >= 0) & (weights <= 1 + 1e-6)).all()


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_up_doubles_and_keeps_the_mean_of_pooled_pixels(mode: str) -> None:
    x = features(1, 2, 4, 4)
    doubled = Up(mode)(x)
    assert doubled.shape == (1, 2, 8, 8)
    if mode == "nearest":
        assert torch.equal(F.avg_pool2d(doubled, 2), x)
    else:  # the middle pixel of a plane is met exactly: bilinear is linear
        ramp = torch.arange(4.0).expand(1, 1, 4, 4)
        expected = (torch.arange(8) + 0.5) / 2 - 0.5
        assert torch.allclose(Up(mode)(ramp)[0, 0, 0, 1:-1], expected[1:-1])
