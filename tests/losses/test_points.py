"""Losses of points against closed forms."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from facegraft.losses.points import gaussian_nll, laplace_nll, weighted_bce, weighted_mean, wing  # noqa: E402


def test_what_has_no_weight_does_not_count_even_where_it_is_not_a_number() -> None:
    points = torch.zeros(1, 2, 2)
    truth = torch.tensor([[[0.1, 0.1], [torch.nan, torch.nan]]])
    weights = torch.tensor([[1.0, 0.0]])
    assert float(wing(points, truth, weights)) == float(wing(points[:, :1], truth[:, :1], weights[:, :1]))
    assert float(weighted_mean(torch.tensor([2.0, torch.inf]), torch.tensor([1.0, 0.0]))) == 2.0
    assert float(weighted_mean(torch.tensor([2.0]), torch.tensor([0.0]))) == 0.0


def test_wing_is_the_published_formula_and_joins_smoothly() -> None:
    width, bend = 10.0, 2.0
    for error in (0.0, 0.5, 5.0, 9.999, 10.001, 40.0):
        points = torch.full((1, 1, 2), error)
        constant = width - width * math.log(1 + width / bend)
        expected = width * math.log(1 + error / bend) if error < width else error - constant
        found = float(wing(points, torch.zeros(1, 1, 2), torch.ones(1, 1), width=width, bend=bend))
        assert found == pytest.approx(expected / width, rel=1e-5, abs=1e-7)


def test_the_likeliest_sigma_is_the_root_mean_square_error() -> None:
    errors = torch.randn(1, 4000, 2, generator=torch.Generator().manual_seed(0)) * 0.03
    truth, ones = torch.zeros_like(errors), torch.ones(1, 4000)
    grid = [0.02, 0.025, 0.03, 0.035, 0.04]
    losses = [float(gaussian_nll(errors, truth, ones * math.log(sigma), ones)) for sigma in grid]
    assert grid[losses.index(min(losses))] == 0.03


def test_the_likeliest_sigma_of_the_pointed_density_is_its_own() -> None:
    """Distances of a 2-D density exp(-r / b) follow a Gamma(2, b) law; each coordinate then has the variance 3 b^2."""
    b = 0.02
    u = torch.rand(2, 20000, generator=torch.Generator().manual_seed(0)).clamp(min=1e-6)
    distance = -b * (u[0].log() + u[1].log())
    angle = torch.rand(20000, generator=torch.Generator().manual_seed(1)) * 2 * math.pi
    errors = torch.stack([distance * angle.cos(), distance * angle.sin()], -1)[None]
    sigma = float(errors.std())
    assert sigma == pytest.approx(math.sqrt(3) * b, rel=0.03)
    ones, truth = torch.ones(1, 20000), torch.zeros_like(errors)
    losses = {f: float(laplace_nll(errors, truth, ones * math.log(sigma * f), ones)) for f in (0.8, 0.9, 1.0, 1.1, 1.2)}
    assert min(losses, key=lambda factor: losses[factor]) == 1.0


def test_a_perfect_point_gives_finite_gradients() -> None:
    points = torch.zeros(1, 3, 2, requires_grad=True)
    log_sigma = torch.zeros(1, 3, requires_grad=True)
    total = laplace_nll(points, torch.zeros(1, 3, 2), log_sigma, torch.ones(1, 3)) + wing(
        points, torch.zeros(1, 3, 2), torch.ones(1, 3)
    )
    total.backward()
    assert points.grad.isfinite().all()
    assert log_sigma.grad.isfinite().all()


def test_cross_entropy_is_torchs_own() -> None:
    logits = torch.tensor([-90.0, -1.0, 0.0, 2.0, 90.0])
    truth = torch.tensor([0.0, 1.0, 0.5, 1.0, 1.0])
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, truth)
    assert float(weighted_bce(logits, truth, torch.ones(5))) == pytest.approx(float(expected), rel=1e-5)
