"""The attributes network: what comes out, in which units."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.frozen.attributes import CHANNELS, Attributes, AttributesConfig  # noqa: E402
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.trunk import TrunkConfig  # noqa: E402

TINY = AttributesConfig(TrunkConfig(stem=4, widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), looks=2, pooled=8, code=8), 8)


def test_outputs_have_their_shapes_and_ranges() -> None:
    net = Attributes(TINY).eval()
    pose, gaze, sigma, opening, expression, light = net(torch.rand(2, 3, 128, 128))
    assert [tuple(out.shape) for out in (pose, gaze, sigma, opening, expression, light)] == [
        (2, 3), (2, 2, 2), (2, 2, 2), (2, 3), (2, len(CHANNELS)), (2, 9, 3)
    ]  # fmt: skip
    assert sigma.min() > 0
    assert opening.min() >= 0
    assert 0 <= expression.min() <= expression.max() <= 1


def test_every_channel_of_a_side_has_a_twin() -> None:
    left = {name.removesuffix("_left") for name in CHANNELS if name.endswith("_left")}
    right = {name.removesuffix("_right") for name in CHANNELS if name.endswith("_right")}
    assert left == right
    assert len(set(CHANNELS)) == len(CHANNELS)


def test_it_is_as_small_as_promised() -> None:
    assert count_parameters(Attributes(AttributesConfig())) <= 1_300_000
