"""SimSwap: the contract, then what this paper says and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.core.config import load_config
from facegraft.frozen.nets import FrozenNets, PerceptualEye
from facegraft.frozen.parser import Parser, ParserConfig
from facegraft.losses.adversarial import hinge_discriminator, hinge_generator
from facegraft.losses.identity import cosine_identity_loss
from facegraft.losses.image import l1_where
from facegraft.methods._method import build_method
from facegraft.methods.simswap import SimSwap, SimSwapConfig
from facegraft.nn.conv import count_parameters
from facegraft.nn.discriminators import MultiScaleDiscriminator, ProjectedDiscriminator, RandomMixing
from facegraft.tensors import Aligned
from tests.methods.contract import (
    EMBEDDING,
    TinyIdentity,
    check_method,
    overfit,
    strangers,
    tiny_batch,
    tiny_frozen,
    tiny_perceptual,
)

Variant = Literal["multiscale", "projected"]
VARIANTS: tuple[Variant, ...] = ("multiscale", "projected")

ROOT = Path(__file__).parents[2]
TINY = SimSwapConfig(
    size_px=32,
    width=4,
    halvings=2,
    identity_blocks=2,
    embedding=EMBEDDING,
    discriminator_width=4,
    discriminator_halvings=2,
    perceptual_channels=(6, 6, 6, 6),
)


def made(variant: Variant) -> SimSwap:
    torch.manual_seed(0)
    return SimSwap(dataclasses.replace(TINY, discriminator=variant))


@pytest.fixture
def method() -> SimSwap:
    return made("multiscale")


@pytest.mark.parametrize("variant", VARIANTS)
def test_contract(variant: Variant, tmp_path: Path) -> None:
    check_method(made(variant), tmp_path)


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


def test_the_outer_convolutions_mirror_the_border(method: SimSwap) -> None:
    """Of an even picture they make an even one; zeros around it would draw a frame."""
    first, last = method.generator.encoder[0], method.generator.decoder[-1]
    with torch.no_grad():
        for layer, even in ((first, torch.full((1, 3, 32, 32), 0.5)), (last, torch.full((1, 4, 32, 32), 0.5))):
            made_of = layer(even)
            assert made_of.abs().max() > 0
            assert made_of.std((2, 3)).max() < 1e-5


def test_what_the_encoder_gives_is_rectified_and_the_whole_crop_is_the_answer(method: SimSwap) -> None:
    batch = tiny_batch()
    held = batch.attribute.image
    with torch.no_grad():
        for layer in method.generator.encoder:
            held = layer(held)
            assert held.min() == 0
            assert held.max() > 0
        swap = method.swap(batch.attribute, method.encode_identity(batch.identity, tiny_frozen()))
    assert swap.mask.eq(1).all()


@torch.no_grad()
def test_the_decoder_enlarges_smoothly_and_answers_by_a_tanh(method: SimSwap) -> None:
    """Between its places, as bilinear interpolation has it, and in -1..1."""
    images, code = tiny_batch().attribute.image, F.normalize(torch.randn(4, EMBEDDING))
    generator = method.generator
    held = generator.encoder(images)
    for block in generator.identity:
        held = block(held, code)
    for layer in list(generator.decoder)[1:-1:2]:
        held = layer(F.interpolate(held, scale_factor=2.0, mode="bilinear"))
    torch.testing.assert_close(generator(images, code), generator.decoder[-1](held).tanh())


@torch.no_grad()
def test_layers_are_normalised_before_they_are_rectified(method: SimSwap) -> None:
    """Pictures of a tenth of the contrast have the maps of those with all of it, but for the biases."""
    torch.nn.init.zeros_(method.generator.encoder[0][0].bias)
    first, images = method.generator.encoder[0], tiny_batch().attribute.image
    torch.testing.assert_close(first(0.1 * images), first(images), atol=0.02, rtol=0.02)


@pytest.mark.parametrize(("name", "millions"), [("simswap_paper", 55.05), ("simswap", 16.2), ("simswap_small", 1.2)])
def test_the_sizes_are_those_of_the_paper_and_of_our_page(name: str, millions: float) -> None:
    with torch.device("meta"):
        method = build_method(load_config(ROOT / f"configs/{name}.toml"))
    assert count_parameters(method.generator) == pytest.approx(millions * 1e6, rel=0.03 if millions < 2 else 3e-3)


def test_weak_matching_sees_only_the_deepest_maps(method: SimSwap) -> None:
    deep = [torch.zeros(1, 2, 4, 4), torch.zeros(1, 2, 4, 4)]
    real = [[torch.zeros(1, 2, 8, 8), *deep]]
    shallow_differs = [[torch.ones(1, 2, 8, 8), *deep]]
    deep_differs = [[torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4), torch.full((1, 2, 4, 4), 3.0)]]
    assert method._weak_matching(shallow_differs, real) == 0
    assert method._weak_matching(deep_differs, real) == 3


@pytest.mark.parametrize("variant", VARIANTS)
def test_discriminator_learns_which_side_is_real(variant: Variant) -> None:
    method, batch = made(variant), tiny_batch()
    losses = overfit(method, batch, "discriminator", 20)
    assert losses[-1] < 0.7 * losses[0]
    code = method.encode_identity(batch.identity, tiny_frozen())
    with torch.no_grad():
        real, _ = method._judge(batch.attribute.image, tiny_frozen())
        fake, _ = method._judge(method.swap(batch.attribute, code).image, tiny_frozen())
    assert (
        torch.stack([answer.mean() for answer in real]).mean() > torch.stack([answer.mean() for answer in fake]).mean()
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_are_those_of_the_paper(variant: Variant) -> None:
    """Each by its formula, of pictures made here: real is the attribute picture, and it is the one to agree with."""
    method, batch, frozen = made(variant).eval(), tiny_batch(), tiny_frozen()  # spectral estimates rest in evaluation
    batch = dataclasses.replace(batch, truth=batch.truth * 0.5)  # the right answer need not be the attribute picture
    with torch.no_grad():
        found = {phase: method.training_step(phase, batch, frozen) for phase in method.card.phases}
        code = method.encode_identity(batch.identity, frozen)
        swapped = method.swap(batch.attribute, code).image
        if isinstance(method.discriminator, MultiScaleDiscriminator):
            (real, seen), (fake, made_of) = (method.discriminator(each) for each in (batch.attribute.image, swapped))
            apart = [(seen[scale][level] - made_of[scale][level]).abs().mean() for scale in (0, 1) for level in (1, 2)]
            features = torch.stack(apart).sum() / 2  # the mean over scales
        else:
            seen, made_of = (tiny_perceptual(each) for each in (batch.attribute.image, swapped))
            real, fake = (method.discriminator(each) for each in (seen, made_of))
            features = (seen[-1] - made_of[-1]).abs().mean()
    expected = {
        "adversarial": hinge_generator(fake),
        "identity": cosine_identity_loss(frozen.likeness(swapped), frozen.likeness(batch.identity.image)),
        "reconstruction": l1_where(swapped, batch.truth, where=batch.has_truth),
        "features": features,
    }
    torch.testing.assert_close(found["generator"], expected)
    torch.testing.assert_close(found["discriminator"], {"hinge": hinge_discriminator(real, fake)})


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", ["adversarial", "identity", "reconstruction", "features"])
def test_each_loss_alone_teaches_the_generator_and_goes_down(variant: Variant, name: str) -> None:
    method, batch, frozen = made(variant), tiny_batch(), tiny_frozen()
    method.discriminator.requires_grad_(requires_grad=False).eval()
    optimiser = torch.optim.Adam(method.generator.parameters(), 3e-3)
    found = []
    for _ in range(12):
        loss = method.training_step("generator", batch, frozen)[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    assert found[-1] < found[0] - 0.05 * abs(found[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_discriminators_loss_does_not_reach_the_generator(variant: Variant) -> None:
    """Even where all weights ask for gradients."""
    method = made(variant)
    method.training_step("discriminator", tiny_batch(), tiny_frozen())["hinge"].backward()
    assert all(weight.grad is None for weight in method.generator.parameters())
    assert all(weight.grad is not None for weight in method.discriminator.parameters())


def test_what_mixes_the_frozen_maps_is_never_taught() -> None:
    method, batch, frozen = made("projected"), tiny_batch(), tiny_frozen()
    mixing = [part.weight for part in method.modules() if isinstance(part, RandomMixing)]
    before = [weight.clone() for weight in mixing]
    optimiser = torch.optim.AdamW(method.parameters(), 0.01, weight_decay=0.1)
    for phase in method.card.phases:
        torch.stack([*method.training_step(phase, batch, frozen).values()]).sum().backward()
        optimiser.step()
    assert len(mixing) == 8
    assert not any(weight.requires_grad for weight in mixing)
    assert all(torch.equal(now, then) for now, then in zip(mixing, before, strict=True))


@pytest.mark.parametrize(("level", "counts"), [(0, False), (1, False), (2, False), (3, True)])
def test_the_projected_one_matches_the_deepest_frozen_map_alone(level: int, counts: bool) -> None:
    """As it is before the mixing: other projections change nothing."""
    method, batch, frozen = made("projected"), tiny_batch(), tiny_frozen()

    def stronger(images: Tensor) -> list[Tensor]:
        return [each * (3.0 if number == level else 1.0) for number, each in enumerate(tiny_perceptual(images))]

    odd = dataclasses.replace(frozen, perceptual=stronger)
    first, second = (method.training_step("generator", batch, nets)["features"] for nets in (frozen, odd))
    torch.testing.assert_close(second, first * 3 if counts else first)
    for part in method.modules():
        if isinstance(part, RandomMixing):
            part.weight.mul_(2)
    torch.testing.assert_close(method.training_step("generator", batch, frozen)["features"], first)


def test_the_projected_one_looks_at_the_parser() -> None:
    """The default's channels are those of its maps; the gradient goes through the parser into the picture only."""
    config = SimSwapConfig()
    assert config.perceptual_channels == ParserConfig().widths[:4]
    assert "perceptual" in SimSwap.card.needs
    torch.manual_seed(0)
    eye = PerceptualEye(Parser(ParserConfig()), torch.eye(2, 3)).eval().requires_grad_(requires_grad=False)
    net = ProjectedDiscriminator(config.perceptual_channels, 4)
    method = made("projected")
    method.discriminator = net
    frozen = dataclasses.replace(tiny_frozen(), perceptual=eye)
    losses = method.training_step("generator", tiny_batch(count=2), frozen)
    (losses["adversarial"] + losses["features"]).backward()
    assert all(weight.grad.abs().sum() > 0 for weight in method.generator.parameters() if weight.ndim > 1)
    assert all(weight.grad is None for weight in eye.parameters())


def test_the_papers_discriminator_is_the_default_and_looks_at_no_frozen_map(method: SimSwap) -> None:
    assert SimSwapConfig().discriminator == "multiscale"
    for phase in method.card.phases:
        method.training_step(phase, tiny_batch(), FrozenNets(identity=TinyIdentity()))
    assert not any("across" in name for name in method.state_dict())


def test_training_needs_a_recogniser(method: SimSwap) -> None:
    from facegraft.core.errors import MissingPartError

    with pytest.raises(MissingPartError, match="identity"):
        method.encode_identity(Aligned(torch.zeros(1, 3, 32, 32)), FrozenNets())


def test_odd_sizes_are_told() -> None:
    with pytest.raises(ValueError, match="multiple of 8"):
        SimSwapConfig(size_px=100)
    with pytest.raises(ValueError, match="matched_maps"):
        SimSwapConfig(matched_maps=9)
    with pytest.raises(ValueError, match="perceptual_channels: expected one or more from 1"):
        SimSwapConfig(perceptual_channels=())
    assert TinyIdentity()(torch.zeros(2, 3, 8, 8)).shape == (2, EMBEDDING)
