"""Random moves: what they may do, and that points go where pixels go."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from facegraft.nn.warp import CELLS, WarpConfig, draw_affine, draw_offsets, move_points, read, sampling_grid

STILL = WarpConfig(elastic=0.0, degrees=0.0, zoom=0.0, shift=0.0)


def blobs(points: torch.Tensor, size_px: int) -> torch.Tensor:
    """One round spot per picture, at a point in pixels."""
    at = torch.arange(size_px) + 0.5
    x, y = points[:, 0, 0, None, None], points[:, 0, 1, None, None]
    return torch.exp(-((at[None, None] - x) ** 2 + (at[None, :, None] - y) ** 2) / 18)[:, None]


def centres(images: torch.Tensor) -> torch.Tensor:
    at = torch.arange(images.shape[-1]) + 0.5
    total = images.sum((1, 2, 3))
    x, y = (images * at).sum((1, 2, 3)) / total, (images * at[:, None]).sum((1, 2, 3)) / total
    return torch.stack([x, y], 1)[:, None]


def test_no_move_changes_nothing() -> None:
    images = torch.rand(3, 3, 16, 16)
    grid = sampling_grid(draw_affine(3, STILL), 16, draw_offsets(3, STILL))
    torch.testing.assert_close(read(images, grid), images)


def test_points_go_where_pixels_go() -> None:
    torch.manual_seed(1)
    points = torch.tensor([[20.0, 30.0], [40.0, 26.0], [33.0, 45.0], [25.0, 25.0]])[:, None]
    affine = draw_affine(4, WarpConfig(degrees=40.0, zoom=0.3), flip=0.5)
    moved = read(blobs(points, 64), sampling_grid(affine, 64), "zeros")
    torch.testing.assert_close(centres(moved), move_points(points, affine, 64), atol=0.05, rtol=0)
    assert (centres(moved) - points).abs().max() > 2


def test_affine_moves_stay_in_their_ranges() -> None:
    torch.manual_seed(0)
    config = WarpConfig()
    affine = draw_affine(4000, config)
    scale = 1 / torch.linalg.det(affine[:, :, :2]).sqrt()
    degrees = torch.rad2deg(torch.atan2(affine[:, 0, 1], affine[:, 0, 0]))
    middle = move_points(torch.full((4000, 1, 2), 32.0), affine, 64)[:, 0] / 64 - 0.5
    for found, low, high in (
        (scale, 1 / 1.15, 1.15),
        (degrees, -10, 10),
        (middle[:, 0], -0.05, 0.05),
        (middle[:, 1], -0.05, 0.05),
    ):
        reach = high - low
        assert low - 1e-4 <= found.min() < low + 0.02 * reach
        assert high - 0.02 * reach < found.max() <= high + 1e-4


@pytest.mark.parametrize(("flip", "sign"), [(0.0, 1), (1.0, -1)])
def test_flips_mirror(flip: float, sign: int) -> None:
    images = torch.rand(2, 3, 8, 8)
    affine = draw_affine(2, STILL, flip)
    assert torch.linalg.det(affine[:, :, :2]).sign().tolist() == [sign] * 2
    expected = images.flip(-1) if flip else images
    torch.testing.assert_close(read(images, sampling_grid(affine, 8)), expected)


def test_a_share_is_flipped() -> None:
    torch.manual_seed(0)
    affine = draw_affine(4000, WarpConfig(), 0.4)
    assert (torch.linalg.det(affine[:, :, :2]) < 0).float().mean() == pytest.approx(0.4, abs=0.03)


def test_offsets_are_those_of_three_grids() -> None:
    """Nothing at the border; no further than .24 of a cell; straight between the points of the grid that was drawn."""
    torch.manual_seed(0)
    offsets = draw_offsets(600, WarpConfig())
    assert offsets[:, :, [0, -1]].abs().max() == offsets[..., [0, -1]].abs().max() == 0
    finest = torch.stack([F.interpolate(offsets[..., ::step, ::step], (9, 9), mode="bilinear", align_corners=True)
                          for step in (4, 2, 1)])  # fmt: skip
    fits = (finest - offsets).abs().amax((2, 3, 4)) < 1e-6
    cells = torch.tensor(CELLS)[fits.int().argmax(0)]
    for count in CELLS:
        of_this = offsets[cells == count]
        assert len(of_this) / 600 == pytest.approx(1 / 3, abs=0.06)
        most = 2 * 0.24 / count
        assert 0.8 * most < of_this.abs().max() <= most
        assert of_this.mean() == pytest.approx(0, abs=0.02 / count)
    inner = offsets[cells == 8][:, :, 1:-1, 1:-1] * 8 / (2 * 0.24) * 2.5
    # A normal law cut at 2.5 deviations has this deviation.
    density = math.exp(-(2.5**2) / 2) / math.sqrt(2 * math.pi)
    inside = math.erf(2.5 / math.sqrt(2))
    assert inner.std() == pytest.approx(math.sqrt(1 - 2 * 2.5 * density / inside), abs=0.02)


def test_the_warp_comes_before_the_affine_move() -> None:
    torch.manual_seed(3)
    config = WarpConfig()
    smooth = F.interpolate(torch.rand(2, 3, 5, 5), (64, 64), mode="bicubic", align_corners=True)
    affine, offsets = draw_affine(2, config), draw_offsets(2, config)
    still = draw_affine(2, STILL)
    in_turn = read(read(smooth, sampling_grid(still, 64, offsets)), sampling_grid(affine, 64))
    at_once = read(smooth, sampling_grid(affine, 64, offsets))
    inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))
    torch.testing.assert_close(at_once[inner], in_turn[inner], atol=0.02, rtol=0)
    other_turn = read(read(smooth, sampling_grid(affine, 64)), sampling_grid(still, 64, offsets))
    assert (other_turn[inner] - in_turn[inner]).abs().max() > 0.05


def test_beyond_a_picture_is_its_border_or_nothing() -> None:
    away = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]])
    images = torch.ones(1, 1, 8, 8)
    assert read(images, sampling_grid(away, 8)).min() == 1
    assert read(images, sampling_grid(away, 8), "zeros")[..., 6:].max() == 0


def test_values_stay_in_the_range_of_their_picture() -> None:
    torch.manual_seed(0)
    images = (torch.rand(4, 1, 16, 16) > 0.5).float()
    moved = read(images, sampling_grid(draw_affine(4, WarpConfig()), 16))
    assert moved.min() >= 0
    assert moved.max() <= 1


def test_odd_settings_are_told() -> None:
    with pytest.raises(ValueError, match="elastic"):
        WarpConfig(elastic=0.5)
    with pytest.raises(ValueError, match="zoom"):
        WarpConfig(zoom=-0.1)


def test_offsets_lie_on_the_picture_from_edge_to_edge() -> None:
    """A ramp of offsets is a ramp of places, up to the outermost pixels, and its points are where they should be."""
    ramp = torch.zeros(1, 2, 9, 9)
    ramp[0, 0] = 0.1 * torch.linspace(-1, 1, 9)
    plain = sampling_grid(draw_affine(1, STILL), 16)
    expected = plain * torch.tensor([1.1, 1.0])
    torch.testing.assert_close(sampling_grid(draw_affine(1, STILL), 16, ramp), expected)
