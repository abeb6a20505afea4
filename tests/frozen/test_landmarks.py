"""The landmarks network: what comes out, where it starts, and that files keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.frozen.landmarks import POINTS, Landmarks, LandmarksConfig, load  # noqa: E402
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.trunk import Looks, TrunkConfig  # noqa: E402
from facegraft.nn.weights import save_weights  # noqa: E402

TINY = LandmarksConfig(TrunkConfig(stem=4, widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), looks=2, pooled=8, code=8), 16, 8)


def test_outputs_have_their_shapes_and_ranges() -> None:
    net = Landmarks(TINY).eval()
    points, sigma, visible, presence = net(torch.rand(2, 3, 128, 128))
    assert points.shape == (2, POINTS, 3)
    assert sigma.shape == visible.shape == (2, POINTS)
    assert presence.shape == (2,)
    assert sigma.min() > 0
    assert visible.min() >= 0
    assert visible.max() <= 1


def test_it_starts_at_the_mean_and_moves_in_the_directions_given() -> None:
    net = Landmarks(TINY).eval()
    mean, directions = torch.rand(POINTS, 3), torch.randn(40, POINTS, 3)
    net.start_at(mean, directions)
    with torch.no_grad():
        net.shape.weight.zero_()
        assert torch.allclose(net(torch.rand(1, 3, 128, 128))[0][0], mean, atol=1e-6)
        net.shape.bias[3] = 1.0
        assert torch.allclose(net(torch.rand(1, 3, 128, 128))[0][0], mean + directions[3], atol=1e-5)


def test_a_look_finds_a_bright_place_to_a_fraction_of_a_step() -> None:
    looks = Looks(1, 1)
    with torch.no_grad():
        looks.maps.weight.fill_(30.0)
        looks.maps.bias.zero_()
        features = torch.zeros(1, 1, 16, 16)
        features[0, 0, 4, 8] = features[0, 0, 4, 9] = 1.0
        seen = looks(features)[0]
    assert seen[0] == pytest.approx(1.0, abs=1e-3)
    assert seen[1] == pytest.approx(18 / 16 - 1, abs=1e-3)  # between the columns 8 and 9
    assert seen[2] == pytest.approx(9 / 16 - 1, abs=1e-3)


def test_it_is_as_small_as_promised() -> None:
    assert count_parameters(Landmarks(LandmarksConfig())) <= 1_300_000


def test_weights_survive_a_file(tmp_path: Path) -> None:
    net = Landmarks(TINY).eval()
    save_weights(tmp_path / "w.safetensors", net, {})
    again = load(tmp_path / "w.safetensors", TINY)
    crop = torch.rand(1, 3, 128, 128)
    assert torch.equal(net(crop)[0], again(crop)[0])
    with pytest.raises(BadInputError):
        load(tmp_path / "w.safetensors")
