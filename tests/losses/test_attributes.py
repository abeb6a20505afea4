"""Losses on attributes against closed forms and drawn heatmaps."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.losses.attributes import EYE_POINTS, MOVING, attribute_loss, expression_loss, heatmap_loss  # noqa: E402


def test_attribute_loss_is_half_the_sum_of_means() -> None:
    made = [torch.full((2, 3, 2, 2), 3.0), torch.full((2, 1, 4, 4), 1.0)]
    kept = [torch.full((2, 3, 2, 2), 1.0), torch.full((2, 1, 4, 4), 2.0)]
    assert attribute_loss(made, kept) == 0.5 * (4 + 1)


def test_attribute_loss_teaches_both_sides() -> None:
    made, kept = torch.tensor([[2.0]], requires_grad=True), torch.tensor([[1.0]], requires_grad=True)
    attribute_loss([made], [kept]).backward()
    assert made.grad is not None
    assert kept.grad is not None
    assert (made.grad, kept.grad) == (1.0, -1.0)


def test_heatmap_loss_is_the_distance_of_drawn_heatmaps() -> None:
    side, sigma = 256, 0.03
    at = (torch.arange(side, dtype=torch.float64) + 0.5) / side

    def draw(points: torch.Tensor) -> torch.Tensor:
        x, y = points[..., 0, None, None], points[..., 1, None, None]
        return torch.exp(-((at - x) ** 2 + (at[:, None] - y) ** 2) / (2 * sigma**2))

    torch.manual_seed(0)
    kept = 0.4 + 0.2 * torch.rand(3, 4, 2, dtype=torch.float64)
    made = kept + 0.04 * torch.randn(3, 4, 2, dtype=torch.float64)
    apart = (draw(made) - draw(kept)).square().sum((2, 3))
    most = 2 * draw(kept).square().sum((2, 3))
    assert float(heatmap_loss(made, kept, sigma)) == pytest.approx(float((apart / most).mean()), abs=1e-4)
    assert heatmap_loss(kept, kept, sigma) == 0


def test_heatmap_loss_pulls_points_to_where_they_should_be() -> None:
    kept = torch.full((1, 1, 2), 0.5, requires_grad=True)
    made = torch.tensor([[[0.52, 0.47]]], requires_grad=True)
    heatmap_loss(made, kept).backward()
    assert made.grad is not None
    assert made.grad[0, 0, 0] > 0 > made.grad[0, 0, 1]
    assert kept.grad is None


def test_eye_points_are_lids_and_irises() -> None:
    assert len(EYE_POINTS) == 14
    assert EYE_POINTS[:12] == tuple(468 + point for point in range(36, 48))
    assert EYE_POINTS[12:] == (536, 537)


def test_expression_loss_is_about_each_eye_and_the_mouth_not_where_they_are() -> None:
    torch.manual_seed(0)
    wanted = torch.rand(2, 538, 2)
    for part in MOVING:
        placed = wanted.clone()
        placed[:, part] += torch.tensor([0.1, -0.2])
        torch.testing.assert_close(expression_loss(placed, wanted), torch.zeros(2), atol=1e-6, rtol=0)
    shut = wanted.clone()
    shut[1, MOVING[0][2], 1] += 0.34
    # One of seven points of one part: it moves by 6/7 against the middle, the others by 1/7; 34 points, two numbers.
    expected = torch.tensor([0, 0.34 * (6 / 7 + 6 / 7) / (34 * 2)])
    torch.testing.assert_close(expression_loss(shut, wanted), expected)


def test_expression_loss_looks_at_lids_irises_and_lips() -> None:
    moving = {point for part in MOVING for point in part}
    assert moving == set(EYE_POINTS) | set(range(468 + 48, 468 + 68))
    placed, wanted = (torch.rand(1, 538, 2, requires_grad=True) for _ in range(2))
    expression_loss(placed, wanted).sum().backward()
    assert wanted.grad is None
    assert placed.grad is not None
    assert set(placed.grad[0].abs().sum(1).nonzero()[:, 0].tolist()) == moving
