"""The attributes network: what comes out, in which units."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.frozen.attributes import CHANNELS, Attributes, AttributesConfig  # noqa: E402
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.trunk import TrunkConfig, soft_places  # noqa: E402
from facegraft.nn.windows import WindowConfig  # noqa: E402

WINDOW = WindowConfig(side_px=16, stem=4, widths=(4, 6), depths=(1, 1), expansion=2, looks=2, pooled=6, code=6)
TRUNK = TrunkConfig(stem=4, widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), looks=2, pooled=8, code=8)
TINY = AttributesConfig(TRUNK, 8, WINDOW)


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
    assert count_parameters(Attributes(AttributesConfig())) <= 1_200_000


def test_places_are_where_the_maps_are_bright_and_windows_stand_there() -> None:
    net = Attributes(TINY).eval()
    maps = torch.zeros(1, 3, 16, 16)
    for number, (row, column) in enumerate(((5, 4), (5, 11), (11, 8))):
        maps[0, number, row, column] = 100.0
    places = soft_places(maps)[1] / 2 + 0.5
    assert torch.allclose(places[0] * 16, torch.tensor([[4.5, 5.5], [11.5, 5.5], [8.5, 11.5]]), atol=1e-4)
    windows = net.windows(places, torch.tensor([0.4]))
    assert torch.allclose(windows.middles, places)
    assert torch.allclose(windows.edges[0, :, 0], torch.tensor([[0.144, 0.0], [-0.144, 0.0], [0.2, 0.0]]), atol=1e-6)


def test_what_windows_see_teaches_no_places() -> None:
    torch.manual_seed(0)
    net = Attributes(TINY)
    net.read(torch.rand(2, 3, 128, 128)).gaze.sum().backward()
    assert all(weight.grad is None for weight in [*net.places.parameters(), *net.unit.parameters()])
    assert net.eye.stem[0].weight.grad.abs().sum() > 0
