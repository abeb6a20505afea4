"""The landmarks network: what comes out, where it starts, and that files keep it."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.faces.topology import LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_EYE, twins  # noqa: E402
from facegraft.frozen.attributes import Attributes, AttributesConfig  # noqa: E402
from facegraft.frozen.landmarks import (  # noqa: E402
    DENSE,
    LEFT_EYE_POINTS,
    MOUTH_POINTS,
    POINTS,
    RIGHT_EYE_POINTS,
    Landmarks,
    LandmarksConfig,
    load,
)
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.trunk import Looks, TrunkConfig  # noqa: E402
from facegraft.nn.weights import save_weights  # noqa: E402
from facegraft.nn.windows import WindowConfig  # noqa: E402

WINDOW = WindowConfig(side_px=16, stem=4, widths=(4, 6), depths=(1, 1), expansion=2, looks=2, pooled=6, code=6)
TRUNK = TrunkConfig(stem=4, widths=(4, 6, 8, 8), depths=(1, 1, 1, 1), looks=2, pooled=8, code=8)
TINY = LandmarksConfig(TRUNK, 16, 8, WINDOW, hidden=8)


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
    assert count_parameters(Landmarks(LandmarksConfig())) <= 1_450_000


def mean_face() -> torch.Tensor:
    """A face seen from ahead in the middle of a crop; the 68 and the irises lie on the nose."""
    from facegraft.faces.topology import load_topology

    mesh = torch.from_numpy(load_topology().xyz) * 0.35
    points = mesh + torch.tensor([0.5, 0.4, 0.0])
    return torch.cat([points, points[1].expand(POINTS - DENSE, 3)])


def test_few_weights_are_kept_exact_and_all_of_the_names_are_there() -> None:
    nets: tuple[Landmarks | Attributes, ...] = Landmarks(LandmarksConfig()), Attributes(AttributesConfig())
    for net in nets:
        sizes = dict.fromkeys(net.kept_exact, 0)
        for name, weights in net.named_parameters():
            for part in sizes:
                sizes[part] += weights.numel() if name.startswith(f"{part}.") else 0
        assert min(sizes.values()) > 100
        assert sum(sizes.values()) < 0.06 * count_parameters(net)


def test_the_points_of_the_windows_are_twins_and_hold_lids_and_lips() -> None:
    both = [*LEFT_EYE_POINTS, *RIGHT_EYE_POINTS, *MOUTH_POINTS]
    assert len(set(both)) == len(both)
    table = twins(POINTS)
    assert tuple(table[list(LEFT_EYE_POINTS)]) == RIGHT_EYE_POINTS
    assert set(table[list(MOUTH_POINTS)]) == set(MOUTH_POINTS)
    assert set(LEFT_EYE) <= set(LEFT_EYE_POINTS)
    assert set(RIGHT_EYE) <= set(RIGHT_EYE_POINTS)
    assert {*LIPS_INNER, *LIPS_OUTER} <= set(MOUTH_POINTS)


def test_windows_stand_on_eyes_and_mouth_and_hold_their_points() -> None:
    net, first = Landmarks(TINY), mean_face()[None]
    windows = net.windows(first)
    middles = windows.middles[0]
    assert middles[0, 0] < 0.5 < middles[1, 0]
    assert middles[2, 1] > middles[0, 1] + 0.2
    mesh = net.seen < DENSE
    inside = windows.inside(first[:, net.seen[mesh], :2], net.window[mesh])
    assert inside.abs().max() < 1


def test_windows_begin_by_moving_nothing_and_then_move_their_own_points_alone() -> None:
    torch.manual_seed(0)
    net = Landmarks(TINY).eval()
    net.start_at(mean_face(), torch.zeros(0, POINTS, 3))
    crop = torch.rand(2, 3, 128, 128)
    with torch.no_grad():
        told = net.tell(crop)
        assert torch.equal(told.points, told.first)
        net.move_mouth.change.bias.view(-1, 4)[:, 1] = 1.0  # down
        net.move_eye.change.bias.view(-1, 4)[:, 0] = 1.0  # right as the left eye sees it
        moved = (net.tell(crop).points - told.first)[0]
    assert (moved[list(MOUTH_POINTS), 1] > 0.01).all()
    assert (moved[list(LEFT_EYE_POINTS), 0] > 0.01).all()
    assert (moved[list(RIGHT_EYE_POINTS), 0] < -0.01).all()  # mirrored
    rest = [point for point in range(POINTS) if point not in {*LEFT_EYE_POINTS, *RIGHT_EYE_POINTS, *MOUTH_POINTS}]
    assert moved[rest].abs().max() == 0


def test_a_crop_with_eyes_exchanged_and_mirrored_moves_both_eyes_alike() -> None:
    """One network looks at both eyes: what it says of a symmetric picture is symmetric."""
    torch.manual_seed(0)
    net = Landmarks(TINY).eval()
    first = mean_face()
    mirrored = first[twins(POINTS).tolist()] * torch.tensor([-1, 1, 1]) + torch.tensor([1, 0, 0])
    first = ((first + mirrored) / 2)[None]
    torch.nn.init.normal_(net.move_eye.change.weight)
    half = torch.rand(1, 3, 128, 64)
    with torch.no_grad():
        change = net.look_again(torch.cat([half, half.flip(-1)], -1), first)[0]
    left, right = change[list(LEFT_EYE_POINTS)], change[list(RIGHT_EYE_POINTS)]
    assert left.abs().max() > 1e-3
    assert torch.allclose(left, right * torch.tensor([-1, 1, 1, 1]), atol=1e-4)


def test_weights_survive_a_file(tmp_path: Path) -> None:
    net = Landmarks(TINY).eval()
    save_weights(tmp_path / "w.safetensors", net, {})
    again = load(tmp_path / "w.safetensors", TINY)
    crop = torch.rand(1, 3, 128, 128)
    assert torch.equal(net(crop)[0], again(crop)[0])
    with pytest.raises(BadInputError):
        load(tmp_path / "w.safetensors")
