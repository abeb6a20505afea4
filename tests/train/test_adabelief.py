"""AdaBelief against steps taken by hand, and how many weights lr-dropout moves."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")

from torch import Tensor, nn  # noqa: E402

from facegraft.train.adabelief import AdaBelief  # noqa: E402
from facegraft.train.optimise import make_optimiser  # noqa: E402
from facegraft.train.options import OptimiserOptions  # noqa: E402


def take(optimiser: torch.optim.Optimizer, weight: nn.Parameter, gradient: Tensor) -> Tensor:
    """One step; gives what the weight is then."""
    weight.grad = gradient.clone()
    optimiser.step()
    return weight.detach().clone()


def pair(lr_dropout: float, count: int) -> tuple[nn.Parameter, AdaBelief]:
    weight = nn.Parameter(torch.ones(count))
    return weight, AdaBelief([{"params": [weight]}], 0.01, lr_dropout=lr_dropout)


def test_two_steps_of_two_weights_are_those_taken_by_hand() -> None:
    weight = nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimiser = AdaBelief([{"params": [weight]}], lr=0.3, betas=(0.75, 0.5))
    # m = (1, -2), over 1/4: (4, -8); s = (9, 36) / 2, over 1/2: (9, 36)
    first = take(optimiser, weight, torch.tensor([4.0, -8.0], dtype=torch.float64))
    assert first.tolist() == pytest.approx([1 - 0.3 * 4 / 3, -2 + 0.3 * 8 / 6], rel=1e-9)
    # m = (2, -1), over 7/16; g - m = (3, 3), s = (27, 54) / 4, over 3/4: (9, 18)
    second = take(optimiser, weight, torch.tensor([5.0, 2.0], dtype=torch.float64))
    moved = [-0.3 * (32 / 7) / 3, 0.3 * (16 / 7) / math.sqrt(18)]
    assert (second - first).tolist() == pytest.approx(moved, rel=1e-9)


def test_tiny_gradients_take_tiny_steps() -> None:
    """Epsilon joins s at every step, so that what rounding leaves of a zero gradient is no direction."""
    weight = nn.Parameter(torch.tensor([0.0, 0.0, 0.0], dtype=torch.float64))
    optimiser = AdaBelief([{"params": [weight]}], lr=1.0)
    moved = take(optimiser, weight, torch.tensor([1.0, 1e-9, 0.0], dtype=torch.float64))
    floor = math.sqrt((1e-3 * (0.9e-9) ** 2 + 1e-16) / 1e-3)
    assert moved.tolist() == pytest.approx([-1 / 0.9, -1e-9 / floor, 0.0], rel=1e-6)
    assert -moved[1] < 0.01


def test_decay_is_apart_from_the_gradient_and_only_where_the_group_has_it() -> None:
    net = nn.Linear(3, 2)
    before = [weight.detach().clone() for weight in net.parameters()]
    options = OptimiserOptions(lr=0.1, weight_decay=0.5, kind="adabelief")
    optimiser = make_optimiser(net.parameters(), options)
    assert isinstance(optimiser, AdaBelief)
    for weight in net.parameters():
        weight.grad = torch.zeros_like(weight)
    optimiser.step()
    assert torch.allclose(net.weight, 0.95 * before[0])
    assert torch.equal(net.bias, before[1])


def test_weights_without_a_gradient_stay() -> None:
    weight, optimiser = pair(0.0, 3)
    optimiser.step()
    assert weight.tolist() == [1.0, 1.0, 1.0]
    assert not optimiser.state


def test_without_lr_dropout_nothing_is_drawn() -> None:
    weight, optimiser = pair(0.0, 100)
    before = torch.get_rng_state()
    moved = take(optimiser, weight, torch.linspace(1, 2, 100))
    assert torch.equal(torch.get_rng_state(), before)
    assert bool((moved != 1).all())


def test_lr_dropout_moves_its_share_of_the_weights_anew_at_each_step_and_all_of_the_memory() -> None:
    count, gradient = 10_000, torch.linspace(1, 2, 10_000)
    free, dropped = pair(0.0, count), pair(0.7, count)
    before = [weight.detach().clone() for weight, _ in (free, dropped)]
    stayed = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(2):
            now = [take(optimiser, weight, gradient) for weight, optimiser in (free, dropped)]
            (whole, partly) = (after - was for after, was in zip(now, before, strict=True))
            stayed.append(partly == 0)
            assert torch.allclose(partly[~stayed[-1]], whole[~stayed[-1]], atol=1e-6)  # whole steps, not scaled ones
            before = now
    for share, found in ((0.7, stayed[0]), (0.7, stayed[1]), (0.49, stayed[0] & stayed[1])):
        assert abs(int(found.sum()) - count * share) < 4 * math.sqrt(count * share * (1 - share))
    memories = [optimiser.state[weight] for weight, optimiser in (free, dropped)]
    assert all(torch.equal(memories[0][name], memories[1][name]) for name in memories[0])
    assert set(memories[0]) == {"step", "mean", "deviation"}
