"""FaceShifter: the contract, then what this paper says and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from facegraft.methods.faceshifter import FaceShifter, FaceShifterConfig
from facegraft.nn.conv import count_parameters
from facegraft.tensors import SwapBatch, each_tensor
from tests.methods.contract import EMBEDDING, check_method, overfit, strangers, tiny_batch, tiny_frozen, told_apart

TINY = FaceShifterConfig(
    size_px=32,
    encoder_width=4,
    encoder_most=16,
    generator_width=4,
    generator_most=16,
    embedding=EMBEDDING,
    discriminator_width=4,
    discriminator_halvings=2,
    hear_width=4,
    hear_most=8,
)
AWARE = dataclasses.replace(TINY, occlusion_aware=True)


@pytest.fixture
def method() -> FaceShifter:
    torch.manual_seed(0)
    return FaceShifter(TINY)


@pytest.mark.parametrize("config", [TINY, AWARE], ids=["first stage", "both stages"])
def test_contract(config: FaceShifterConfig, tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_method(FaceShifter(config), tmp_path)


def test_the_sizes_are_those_of_the_paper() -> None:
    """184.3 million weights of stage 1, as in the open code that follows the paper most closely."""
    with torch.device("meta"):
        method = FaceShifter(FaceShifterConfig(size_px=256, encoder_most=1024, generator_width=64, generator_most=1024))
    assert count_parameters(method.encoder) + count_parameters(method.generator) == pytest.approx(184.3e6, rel=1e-3)


def test_the_identity_enters_by_its_code_alone(method: FaceShifter) -> None:
    batch = tiny_batch()
    codes = [(F.normalize(torch.randn(4, EMBEDDING)),) for _ in range(2)]
    with torch.no_grad():
        first, second = (method.swap(batch.attribute, code).image for code in codes)
    assert (first - second).abs().max() > 1e-2


def test_coarse_maps_matter(method: FaceShifter) -> None:
    batch = tiny_batch()
    code = method.encode_identity(batch.identity, tiny_frozen())
    with torch.no_grad():
        maps = method.encoder(batch.attribute.image)
        emptied = [torch.zeros_like(each) if level < 3 else each for level, each in enumerate(maps)]
        assert (method.generator(*code, maps) - method.generator(*code, emptied)).abs().max() > 1e-2


@pytest.mark.parametrize("phase", ["generator", "hear"])
def test_reconstruction_is_a_mean_over_pairs_with_a_right_answer(method: FaceShifter, phase: str) -> None:
    """Half the squared difference over the count of such pairs, not over the batch."""
    batch, frozen = tiny_batch(), tiny_frozen()
    assert method.training_step(phase, strangers(batch), frozen)["reconstruction"] == 0
    some = method.training_step(phase, batch, frozen)["reconstruction"]
    only = method.training_step(phase, _rows(batch, [0, 2]), frozen)["reconstruction"]
    torch.testing.assert_close(some, only)
    code = method.encode_identity(batch.identity, frozen)
    first = method.swap(batch.attribute, code).image
    if phase == "generator":
        torch.testing.assert_close(some, 0.5 * (first - batch.truth)[::2].square().mean())


def test_attributes_are_kept_through_the_encoder(method: FaceShifter) -> None:
    """The result's maps and the attribute picture's both teach the encoder, and the result's the generator."""
    batch, frozen = tiny_batch(), tiny_frozen()
    (code,) = method.encode_identity(batch.identity, frozen)
    kept = method.encoder(batch.attribute.image)
    made = method.encoder(method.generator(code, kept))
    expected = 0.5 * torch.stack([(a - b).square().mean() for a, b in zip(made, kept, strict=True)]).sum()
    found = method.training_step("generator", batch, frozen)["attributes"]
    torch.testing.assert_close(found, expected)
    weights = [method.encoder.up[-1][0].weight, method.generator.start.weight]
    for one, other in zip(torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights), strict=True):
        assert one.abs().sum() > 0
        torch.testing.assert_close(one, other)
    losses = _learn(method, "generator", "attributes", 12)
    assert losses[-1] < 0.85 * losses[0]


@torch.no_grad()
def test_losses_are_those_of_the_paper(method: FaceShifter) -> None:
    """Each by its formula, of three pictures that differ: attribute pictures are real, and nothing else is."""
    batch, frozen = told_apart(), tiny_frozen()
    (code,), image = method.encode_identity(batch.identity, frozen), batch.attribute.image
    swapped = method.generator(code, method.encoder(image))
    real, fake = (method.discriminator(each)[0] for each in (image, swapped))
    sides = [F.relu(1 - yes).mean() + F.relu(1 + no).mean() for yes, no in zip(real, fake, strict=True)]
    torch.testing.assert_close(
        method.training_step("discriminator", batch, frozen), {"hinge": torch.stack(sides).mean()}
    )
    kept = zip(method.encoder(swapped), method.encoder(image), strict=True)
    expected = {
        "adversarial": -torch.stack([no.mean() for no in fake]).mean(),
        "attributes": torch.stack([(one - other).square().mean() / 2 for one, other in kept]).sum(),
        "identity": 1 - (frozen.identity(swapped) * frozen.identity(batch.identity.image)).sum(1).mean(),
        "reconstruction": (swapped - batch.truth)[::2].square().mean() / 2,
    }
    torch.testing.assert_close(method.training_step("generator", batch, frozen), expected)


def test_identity_loss_pulls_towards_the_person(method: FaceShifter) -> None:
    losses = _learn(method, "generator", "identity", 15)
    assert losses[-1] < 0.8 * losses[0]


def test_the_generator_learns_to_be_taken_for_real(method: FaceShifter) -> None:
    losses = _learn(method, "generator", "adversarial", 15)
    assert losses[-1] < losses[0] - 0.05


def test_discriminator_takes_the_attribute_picture_for_real(method: FaceShifter) -> None:
    batch, frozen = tiny_batch(), tiny_frozen()
    losses = overfit(method, batch, "discriminator", 40)
    assert losses[-1] < 0.5 * losses[0]
    code = method.encode_identity(batch.identity, frozen)
    with torch.no_grad():
        real, _ = method.discriminator(batch.attribute.image)
        fake, _ = method.discriminator(method.swap(batch.attribute, code).image)
    assert all(yes.mean() > no.mean() for yes, no in zip(real, fake, strict=True))


def test_the_heuristic_error_is_what_stage_one_cannot_reproduce(method: FaceShifter) -> None:
    """A picture that stage 1 would answer with grey is its own error; the code of the error is the picture's own."""
    batch = tiny_batch()
    image, code = batch.attribute.image, F.normalize(torch.randn(4, EMBEDDING))
    own = method.hear.own_identity(image)
    with torch.no_grad():
        first, error = method._first_stage(image, code, own)
        maps = method.encoder(image)
        torch.testing.assert_close(first, method.generator(code, maps))
        torch.testing.assert_close(error, image - method.generator(own, maps))
        for block in method.generator.blocks[-1:]:
            block.convolutions[-1].weight.zero_()
            block.beside_convolution.weight.zero_()
        first, error = method._first_stage(image, code, own)
    assert torch.equal(error, image)
    assert first.abs().max() == 0


def test_stage_two_sees_the_first_answer_and_the_error_with_the_guessed_person() -> None:
    """In training and in use alike."""
    torch.manual_seed(0)
    method, batch, frozen = FaceShifter(AWARE), tiny_batch(), tiny_frozen()
    image, (code,) = batch.attribute.image, method.encode_identity(batch.identity, frozen)
    with torch.no_grad():
        maps, own = method.encoder(image), method.hear.own_identity(image)
        first, error = method.generator(code, maps), image - method.generator(own, maps)
        swapped = method.hear(first, error)
        found = method.training_step("hear", batch, frozen)
        torch.testing.assert_close(method.swap(batch.attribute, (code,)).image, swapped)
    torch.testing.assert_close(found["change"], (swapped - first).abs().mean())
    torch.testing.assert_close(found["identity"], 1 - (frozen.identity(swapped) * code).sum(1).mean())
    torch.testing.assert_close(found["reconstruction"], 0.5 * (swapped - image)[::2].square().mean())


def test_stage_two_can_bring_back_what_stage_one_lost() -> None:
    """With a first stage that paints all grey, only the error can tell what was there."""
    torch.manual_seed(0)
    method, batch, frozen = FaceShifter(AWARE), tiny_batch(), tiny_frozen()
    with torch.no_grad():
        for layer in (method.generator.blocks[-1].convolutions[-1], method.generator.blocks[-1].beside_convolution):
            layer.weight.zero_()
    losses = _learn(method, "hear", "reconstruction", 60)
    assert losses[-1] < 0.2 * losses[0]
    with torch.no_grad():
        code = method.encode_identity(batch.identity, frozen)
        apart = (method.swap(batch.attribute, code).image - batch.attribute.image).abs().mean()
    assert apart < 0.5 * batch.attribute.image.abs().mean()


def test_stage_two_keeps_the_first_answer_and_its_person() -> None:
    for name in ("change", "identity"):
        torch.manual_seed(0)
        losses = _learn(FaceShifter(AWARE), "hear", name, 20)
        assert losses[-1] < 0.85 * losses[0], name


def test_the_own_identity_is_learnt_from_the_attribute_picture() -> None:
    torch.manual_seed(0)
    method, batch, frozen = FaceShifter(AWARE), tiny_batch(), tiny_frozen()
    losses = _learn(method, "hear", "own_identity", 40)
    assert losses[-1] < 0.3 * losses[0]
    guessed = method.hear.own_identity(batch.attribute.image)
    assert F.cosine_similarity(guessed, frozen.identity(batch.attribute.image)).mean() > 0.8
    torch.testing.assert_close(guessed.norm(dim=1), torch.ones(4))


def test_the_heuristic_error_does_not_teach_the_own_identity(method: FaceShifter) -> None:
    losses = method.training_step("hear", tiny_batch(), tiny_frozen())
    total = losses["identity"] + losses["change"] + losses["reconstruction"]
    total.backward()
    assert all(weight.grad is None for weight in method.hear.own_identity.parameters())


def test_odd_configs_are_told() -> None:
    with pytest.raises(ValueError, match="power of two"):
        FaceShifterConfig(size_px=96)
    with pytest.raises(ValueError, match="1 and more"):
        FaceShifterConfig(depth=0)


def _learn(method: FaceShifter, phase: str, name: str, steps: int) -> list[float]:
    """One loss while the phase's weights learn from it alone."""
    batch, frozen = tiny_batch(), tiny_frozen()
    mine = set(method.card.phases[phase])
    taught = [weight for path, weight in method.named_parameters() if path.split(".")[0] in mine]
    optimiser, found = torch.optim.Adam(taught, 3e-3), []
    for _ in range(steps):
        loss = method.training_step(phase, batch, frozen)[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found


def _rows(batch: SwapBatch, rows: list[int]) -> SwapBatch:
    return each_tensor(batch, lambda tensor: tensor[rows])
