"""SimSwap: the contract, then what this paper says and no other."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch

from facegraft.frozen.nets import FrozenNets
from facegraft.methods.simswap import SimSwap, SimSwapConfig
from facegraft.tensors import Aligned
from tests.methods.contract import (
    EMBEDDING,
    TinyIdentity,
    check_method,
    overfit,
    strangers,
    tiny_batch,
    tiny_frozen,
)

TINY = SimSwapConfig(
    size_px=32,
    width=4,
    halvings=2,
    identity_blocks=2,
    embedding=EMBEDDING,
    discriminator_width=4,
    discriminator_halvings=2,
)


@pytest.fixture
def method() -> SimSwap:
    torch.manual_seed(0)
    return SimSwap(TINY)


def test_contract(method: SimSwap, tmp_path: Path) -> None:
    check_method(method, tmp_path)


def test_reconstruction_counts_only_pairs_with_a_right_answer(method: SimSwap) -> None:
    batch = tiny_batch()
    assert method.training_step("generator", batch, tiny_frozen())["reconstruction"] > 0
    assert method.training_step("generator", strangers(batch), tiny_frozen())["reconstruction"] == 0


def test_identity_enters_by_adain_alone(method: SimSwap) -> None:
    """Without their styles the blocks give one answer whoever the person is; with them they do not."""
    batch = tiny_batch()
    codes = [(torch.nn.functional.normalize(torch.randn(4, EMBEDDING)),) for _ in range(2)]
    with torch.no_grad():
        first, second = (method.swap(batch.attribute, code).image for code in codes)
        assert (first - second).abs().max() > 1e-3
        for block in method.generator.identity:
            for style in (block.style_first, block.style_second):
                style.style.weight.zero_()
        first, second = (method.swap(batch.attribute, code).image for code in codes)
    assert torch.equal(first, second)


def test_weak_matching_sees_only_the_deepest_maps(method: SimSwap) -> None:
    deep = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)]
    real = [[torch.zeros(1, 2, 8, 8), *deep]]
    shallow_differs = [[torch.ones(1, 2, 8, 8), *deep]]
    deep_differs = [[torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), 3.0)]]
    assert method._weak_matching(shallow_differs, real) == 0
    assert method._weak_matching(deep_differs, real) == 3


def test_identity_loss_pulls_towards_the_person(method: SimSwap) -> None:
    """A step down this loss alone brings the results nearer to their people."""
    batch, frozen = tiny_batch(), tiny_frozen()
    optimiser = torch.optim.SGD(method.generator.parameters(), 0.5)
    found = []
    for _ in range(30):
        loss = method.training_step("generator", batch, frozen)["identity"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    assert found[-1] < 0.9 * found[0]


def test_discriminator_learns_which_side_is_real(method: SimSwap) -> None:
    losses = overfit(method, tiny_batch(), "discriminator", 40)
    assert losses[-1] < 0.5 * losses[0]
    batch = tiny_batch()
    code = method.encode_identity(batch.identity, tiny_frozen())
    with torch.no_grad():
        real, _ = method.discriminator(batch.attribute.image)
        fake, _ = method.discriminator(method.swap(batch.attribute, code).image)
    assert (
        torch.stack([answer.mean() for answer in real]).mean() > torch.stack([answer.mean() for answer in fake]).mean()
    )


def test_training_needs_a_recogniser(method: SimSwap) -> None:
    from facegraft.core.errors import MissingPartError

    with pytest.raises(MissingPartError, match="identity"):
        method.encode_identity(Aligned(torch.zeros(1, 3, 32, 32)), FrozenNets())


def test_odd_sizes_are_told() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        SimSwapConfig(size_px=100)
    with pytest.raises(ValueError, match="matched_maps"):
        SimSwapConfig(matched_maps=9)
    assert TinyIdentity()(torch.zeros(2, 3, 8, 8)).shape == (2, EMBEDDING)
