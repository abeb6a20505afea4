"""Groups of weights, learning rates and averages against closed forms."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("pydantic")

from torch import nn  # noqa: E402

from facegraft.nn.conv import ConvNormAct, Slope  # noqa: E402
from facegraft.train.optimise import (  # noqa: E402
    learning_rate,
    make_average,
    make_optimiser,
    update_average,
)
from facegraft.train.options import OptimiserOptions  # noqa: E402


def test_only_matrices_and_convolutions_are_decayed() -> None:
    net = nn.Sequential(ConvNormAct(3, 8), Slope(8), nn.Flatten(), nn.Linear(8, 4))
    decayed, vectors = make_optimiser(net.parameters(), OptimiserOptions(lr=1.0, weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], vectors["weight_decay"]) == (0.3, 0.0)
    assert {weight.shape for weight in decayed["params"]} == {(8, 3, 3, 3), (4, 8)}
    assert {weight.shape for weight in vectors["params"]} == {(8,), (8, 1, 1), (4,)}
    assert len(decayed["params"]) + len(vectors["params"]) == len(list(net.parameters()))


def test_the_rate_rises_evenly_then_falls_as_half_a_cosine() -> None:
    options = OptimiserOptions(lr=2.0, warmup=100, last_lr=0.1)
    rates = [learning_rate(seen, 1100, options) for seen in (0, 50, 100, 600, 1100, 5000)]
    assert rates == pytest.approx([0.0, 1.0, 2.0, 2.0 * 0.55, 0.2, 0.2])
    constant = OptimiserOptions(lr=2.0, warmup=100, schedule="constant")
    assert [learning_rate(seen, 1100, constant) for seen in (50, 600, 1100)] == [1.0, 2.0, 2.0]


def test_the_average_is_the_weighted_sum_of_all_steps() -> None:
    net = nn.BatchNorm1d(2)
    average = make_average(net)
    expected = net.weight.detach().clone()
    for step in range(40):
        with torch.no_grad():
            net.weight += 1
            net.running_var *= 0.9
            net.num_batches_tracked += 1
        update_average(average, net, 0.5, step)
        kept = min(0.5, (1 + step) / (10 + step))
        expected = kept * expected + (1 - kept) * net.weight.detach()
    assert torch.allclose(average.weight, expected)
    assert torch.all(average.running_var > net.running_var)  # it lags behind what falls
    assert average.num_batches_tracked == 40
    assert not average.training
    assert not average.weight.requires_grad


def test_an_average_that_keeps_nothing_is_the_network() -> None:
    net = nn.Linear(3, 3)
    average = make_average(net)
    with torch.no_grad():
        net.weight += 1
    update_average(average, net, 0, 5)
    assert torch.equal(average.weight, net.weight)
