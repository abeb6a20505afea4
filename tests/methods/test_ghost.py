"""GHOST: the contract, then what this paper says and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.attributes import EYE_POINTS, heatmap_loss
from facegraft.losses.identity import cosine_identity_loss
from facegraft.methods.ghost import Ghost, GhostConfig
from facegraft.nn.attribute_encoders import ResNetAttributes, UNetAttributes
from facegraft.nn.conv import count_parameters
from facegraft.tensors import each_tensor
from tests.methods.contract import EMBEDDING, check_method, overfit, strangers, tiny_batch, tiny_frozen, told_apart

Encoder = Literal["unet", "linknet", "resnet"]
WITH_EYES = {
    "discriminator": {"hinge": 1.0},
    "generator": {"adversarial": 1.0, "attributes": 10.0, "identity": 15.0, "reconstruction": 10.0, "eyes": 1.0},
}
TINY = GhostConfig(
    size_px=32,
    encoder_width=4,
    encoder_most=16,
    generator_width=4,
    generator_most=16,
    embedding=EMBEDDING,
    discriminator_width=4,
    discriminator_halvings=2,
    eye_sigma=0.05,
    loss_weights=WITH_EYES,
)


@pytest.fixture
def method() -> Ghost:
    torch.manual_seed(0)
    return Ghost(TINY)


@pytest.mark.parametrize("encoder", ["unet", "linknet", "resnet"])
def test_contract(encoder: Encoder, tmp_path: Path) -> None:
    torch.manual_seed(0)
    check_method(Ghost(dataclasses.replace(TINY, encoder=encoder)), tmp_path)


@pytest.mark.parametrize(
    ("encoder", "depth", "millions"),
    [
        *(("unet", 1, 128.5), ("unet", 2, 184.3), ("unet", 3, 240.2)),
        *(("linknet", 1, 112.8), ("linknet", 2, 164.8), ("linknet", 3, 216.8)),
        *(("resnet", 1, 80.2), ("resnet", 2, 136.1), ("resnet", 3, 191.9)),
    ],
)
def test_the_sizes_are_those_of_the_released_code(encoder: Encoder, depth: int, millions: float) -> None:
    width, most = (64, 2048) if encoder == "resnet" else (32, 1024)
    config = GhostConfig(
        size_px=256,
        encoder=encoder,
        encoder_width=width,
        encoder_most=most,
        generator_width=64,
        generator_most=1024,
        depth=depth,
    )
    with torch.device("meta"):
        method = Ghost(config)
    found = count_parameters(method.encoder) + count_parameters(method.generator)
    assert found == pytest.approx(millions * 1e6, rel=2e-3)


def test_encoders_are_told_apart() -> None:
    unet, linknet, resnet = (
        Ghost(dataclasses.replace(TINY, encoder=encoder)).encoder for encoder in ("unet", "linknet", "resnet")
    )
    assert isinstance(unet, UNetAttributes)
    assert isinstance(linknet, UNetAttributes)
    assert isinstance(resnet, ResNetAttributes)
    assert (unet.join, linknet.join) == ("concatenate", "add")


def test_another_photo_of_the_person_is_a_right_answer(method: Ghost) -> None:
    """The pair's two pictures differ, the truth is the attribute picture, and only pairs with a truth count."""
    batch, frozen = tiny_batch(), tiny_frozen()
    assert not torch.equal(batch.identity.image, batch.truth)
    with torch.no_grad():
        code = method.encode_identity(batch.identity, frozen)
        swapped = method.swap(batch.attribute, code).image
    found = method.training_step("generator", batch, frozen)["reconstruction"]
    torch.testing.assert_close(found.detach(), 0.5 * (swapped - batch.attribute.image)[::2].square().mean())
    assert method.training_step("generator", strangers(batch), frozen)["reconstruction"] == 0
    losses = _learn(method, "reconstruction", 12)
    assert losses[-1] < 0.8 * losses[0]


def test_eyes_are_pulled_to_where_the_attribute_picture_has_them(method: Ghost) -> None:
    batch, frozen = tiny_batch(), tiny_frozen()
    (code,) = method.encode_identity(batch.identity, frozen)

    def apart() -> float:
        with torch.no_grad():
            swapped = method.swap(batch.attribute, (code,)).image
        return float((frozen.points(swapped) - frozen.points(batch.attribute.image))[:, EYE_POINTS].norm(dim=-1).mean())

    before = apart()
    losses = _learn(method, "eyes", 25)
    assert losses[-1] < 0.5 * losses[0]
    assert apart() < 0.7 * before


def test_only_lids_and_irises_count(method: Ghost) -> None:
    """Moving every other point changes nothing."""
    batch, frozen = tiny_batch(), tiny_frozen()
    code = method.encode_identity(batch.identity, frozen)
    with torch.no_grad():
        made, kept = frozen.points(method.swap(batch.attribute, code).image), frozen.points(batch.attribute.image)
    eyes = [*range(468 + 36, 468 + 48), 536, 537]
    expected = heatmap_loss(made[:, eyes], kept[:, eyes], TINY.eye_sigma)

    def moved(images: Tensor) -> Tensor:
        points = frozen.points(images)
        others = torch.ones(538, 1)
        others[list(EYE_POINTS)] = 0
        return points + others * images.mean((1, 2, 3))[:, None, None]

    odd = FrozenNets(frozen.identity, frozen.perceptual, moved, frozen.teacher)
    first, second = (method.training_step("generator", batch, nets)["eyes"] for nets in (frozen, odd))
    assert first > 0
    torch.testing.assert_close(first.detach(), expected)
    torch.testing.assert_close(first, second)


def test_without_a_weight_nobody_looks_at_eyes() -> None:
    weights = {**WITH_EYES, "generator": {**WITH_EYES["generator"], "eyes": 0.0}}
    method = Ghost(dataclasses.replace(TINY, loss_weights=weights))
    losses = method.training_step("generator", tiny_batch(), FrozenNets(identity=tiny_frozen().identity))
    assert losses["eyes"] == 0
    assert GhostConfig().loss_weights["generator"]["eyes"] == 0


@pytest.mark.parametrize("real", ["identity", "attribute", "both"])
def test_what_is_real_is_a_choice(real: Literal["identity", "attribute", "both"]) -> None:
    batch = tiny_batch()
    found = Ghost(dataclasses.replace(TINY, real=real))._real(batch)
    identity, attribute = batch.identity.image, batch.attribute.image
    expected = {"identity": identity, "attribute": attribute, "both": torch.cat([identity[:2], attribute[2:]])}
    assert torch.equal(found, expected[real])


@pytest.mark.parametrize("real", ["identity", "attribute", "both"])
@torch.no_grad()
def test_losses_are_those_of_the_paper(real: Literal["identity", "attribute", "both"]) -> None:
    """Each by its formula, of three pictures that differ, and with the pictures for real that the config asks for."""
    torch.manual_seed(0)
    method, batch, frozen = Ghost(dataclasses.replace(TINY, real=real)), told_apart(), tiny_frozen()
    (code,), image, person = method.encode_identity(batch.identity, frozen), batch.attribute.image, batch.identity.image
    swapped = method.generator(code, method.encoder(image))
    wanted = {"identity": person, "attribute": image, "both": torch.cat([person[:2], image[2:]])}[real]
    yes, no = (method.discriminator(each)[0] for each in (wanted, swapped))
    sides = [F.relu(1 - one).mean() + F.relu(1 + other).mean() for one, other in zip(yes, no, strict=True)]
    torch.testing.assert_close(
        method.training_step("discriminator", batch, frozen), {"hinge": torch.stack(sides).mean()}
    )
    kept = zip(method.encoder(swapped), method.encoder(image), strict=True)
    moved = (frozen.points(swapped) - frozen.points(image))[:, EYE_POINTS].square().sum(-1)
    expected = {
        "adversarial": torch.stack([F.relu(1 - answer).mean() for answer in no]).mean(),
        "attributes": torch.stack([(one - other).square().mean() / 2 for one, other in kept]).sum(),
        "identity": 1 - (frozen.identity(swapped) * frozen.identity(person)).sum(1).mean(),
        "reconstruction": (swapped - batch.truth)[::2].square().mean() / 2,
        "eyes": (1 - (-moved / (4 * TINY.eye_sigma**2)).exp()).mean(),
    }
    torch.testing.assert_close(method.training_step("generator", batch, frozen), expected)


def test_discriminator_learns_which_side_is_real(method: Ghost) -> None:
    batch, frozen = tiny_batch(), tiny_frozen()
    losses = overfit(method, batch, "discriminator", 40)
    assert losses[-1] < 0.5 * losses[0]
    code = method.encode_identity(batch.identity, frozen)
    with torch.no_grad():
        real, _ = method.discriminator(method._real(batch))
        fake, _ = method.discriminator(method.swap(batch.attribute, code).image)
    assert all(yes.mean() > no.mean() for yes, no in zip(real, fake, strict=True))


def test_who_is_taken_for_real_learns_no_more(method: Ghost) -> None:
    """The released code's relu(1 - answer)."""
    with torch.no_grad():
        for scale in method.discriminator.scales:
            scale.answer.weight.zero_()
            scale.answer.bias.fill_(2.0)
    assert method.training_step("generator", tiny_batch(), tiny_frozen())["adversarial"] == 0
    with torch.no_grad():
        for scale in method.discriminator.scales:
            scale.answer.bias.fill_(-0.5)
    assert method.training_step("generator", tiny_batch(), tiny_frozen())["adversarial"] == 1.5


@pytest.mark.parametrize("name", ["identity", "attributes"])
def test_each_loss_alone_goes_down(method: Ghost, name: str) -> None:
    losses = _learn(method, name, 12)
    assert losses[-1] < 0.85 * losses[0]


def test_identity_is_told_from_the_result(method: Ghost) -> None:
    batch, frozen = tiny_batch(), tiny_frozen()
    (code,) = method.encode_identity(batch.identity, frozen)
    swapped = method.swap(batch.attribute, (code,)).image
    expected = cosine_identity_loss(frozen.likeness(swapped), frozen.likeness(batch.identity.image))
    torch.testing.assert_close(method.training_step("generator", batch, frozen)["identity"], expected)


def test_a_batch_of_one_trains(method: Ghost) -> None:
    one = each_tensor(tiny_batch(), lambda tensor: tensor[:1])
    for phase in method.card.phases:
        losses = method.training_step(phase, one, tiny_frozen())
        assert all(torch.isfinite(loss) for loss in losses.values())


def test_odd_configs_are_told() -> None:
    with pytest.raises(ValueError, match="depth: expected 1 to 3"):
        GhostConfig(depth=4)
    with pytest.raises(ValueError, match="power of two"):
        GhostConfig(size_px=100)
    with pytest.raises(ValueError, match="more than 0"):
        GhostConfig(eye_sigma=0.0)


def _learn(method: Ghost, name: str, steps: int) -> list[float]:
    """One loss while the generator and its encoder learn from it alone."""
    batch, frozen = tiny_batch(), tiny_frozen()
    taught = [*method.encoder.parameters(), *method.generator.parameters()]
    optimiser, found = torch.optim.Adam(taught, 3e-3), []
    for _ in range(steps):
        loss = method.training_step("generator", batch, frozen)[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found
