"""LIAE: the contract, then the paths through its two bottlenecks."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from facegraft.core.config import fill, load_config
from facegraft.frozen.nets import FrozenNets
from facegraft.losses.deepfacelab import GAN, STYLE, Drawn, gan_losses, make_lesson, rebuilding_losses, style_losses
from facegraft.methods.liae import LIAE, LIAEConfig
from facegraft.nn.deepfacelab import NetworkConfig, drawn_in, strides_for
from facegraft.tensors import Aligned
from tests.methods.contract import check_method, overfit, tiny_batch
from tests.methods.test_df import ROOT, STILL, amplify, check_mirrored, check_moved, lopsided, step

TINY = LIAEConfig(size_px=32, network=NetworkConfig(encoder=4, bottleneck=16, decoder=4, mask=2), discriminator_width=4)
ALL = {name: 1.0 for name in TINY.loss_weights["autoencoder"]}
CODE = (torch.zeros(4, 1),)


def weighted(config: LIAEConfig = TINY, **weights: float) -> LIAEConfig:
    """Only these losses of the autoencoder weigh anything."""
    table = dict.fromkeys(config.loss_weights["autoencoder"], 0.0) | weights
    return dataclasses.replace(config, loss_weights={**config.loss_weights, "autoencoder": table})


def still(**weights: float) -> LIAEConfig:
    """Pictures are neither moved nor warped nor mirrored."""
    return dataclasses.replace(weighted(**weights), warp=STILL, flip=0.0)


def build(config: LIAEConfig = TINY) -> LIAE:
    torch.manual_seed(0)
    return LIAE(config)


def taught(method: LIAE, loss: torch.Tensor) -> set[str]:
    """Modules that a loss gives a gradient to."""
    method.zero_grad(set_to_none=True)
    loss.backward()
    named = method.named_parameters()
    return {name.split(".")[0] for name, weight in named if weight.grad is not None and weight.grad.abs().sum() > 0}


@pytest.mark.parametrize("weights", [{}, ALL], ids=["default", "all"])
def test_contract(weights: dict[str, float], tmp_path: Path) -> None:
    check_method(build(weighted(**weights) if weights else TINY), tmp_path)


def test_contract_of_the_other_letters(tmp_path: Path) -> None:
    network = dataclasses.replace(TINY.network, pixel_norm=False, half_size=False, deeper=True)
    check_method(build(dataclasses.replace(TINY, network=network, masked=False)), tmp_path)


def test_a_swap_is_the_shared_code_twice() -> None:
    method, batch = build(), tiny_batch()
    with torch.no_grad():
        flat = method.encoder(batch.attribute.image)
        both, own = method.inter_both(flat), method.inter_attribute(flat)
        image, mask = method.decoder(torch.cat([both, both], 1))
        _, other = method.decoder(torch.cat([own, both], 1))
        swapped = method.swap(Aligned(batch.attribute.image), method.encode_identity(batch.identity, FrozenNets()))
    torch.testing.assert_close(swapped.image, 2 * image - 1)
    torch.testing.assert_close(swapped.mask, drawn_in(mask * other, 0.05))
    assert (swapped.mask < mask * other).float().mean() > 0.5


def test_the_identity_is_the_absence_of_the_attribute_person() -> None:
    """Whatever `inter_attribute` holds, the swapped face is the same; the attribute's own face and mask are not."""
    method, batch = build(), tiny_batch()
    with torch.no_grad():
        before = method.swap(batch.attribute, CODE)
        own_before = method.decoder(method._codes(method.encoder(batch.attribute.image))[1])[0]
        for weight in method.inter_attribute.parameters():
            weight.add_(0.3)
        after = method.swap(batch.attribute, CODE)
        own_after = method.decoder(method._codes(method.encoder(batch.attribute.image))[1])[0]
    assert torch.equal(before.image, after.image)
    assert (own_before - own_after).abs().max() > 1e-3
    assert (before.mask - after.mask).abs().max() > 1e-4


def test_the_attributes_own_code_comes_first_and_the_shared_one_second() -> None:
    method, batch = build(), tiny_batch()
    with torch.no_grad():
        flat = method.encoder(batch.attribute.image)
        without, whole = method._codes(flat)
        both, own = method.inter_both(flat), method.inter_attribute(flat)
    channels = 2 * TINY.network.bottleneck
    assert both.shape[1] == own.shape[1] == channels
    assert torch.equal(whole[:, :channels], own)
    assert torch.equal(whole[:, channels:], both)
    assert torch.equal(without, torch.cat([both, both], 1))


def test_the_identitys_pictures_teach_nothing_to_the_attributes_bottleneck() -> None:
    batch = tiny_batch()
    other = dataclasses.replace(batch, identity=tiny_batch(seed=5).identity)
    gradients = []
    for each in (batch, other):
        method = build(weighted(structure=1.0))
        step(method, batch=each)["structure"].backward()
        gradients.append({name: weight.grad for name, weight in method.named_parameters()})
    for name in gradients[0]:
        if ".mask." in name or name.startswith("discriminator"):
            continue
        same = torch.equal(gradients[0][name], gradients[1][name])
        assert same == name.startswith("inter_attribute"), name


def test_after_training_the_swap_shows_the_other_person() -> None:
    """Two people who differ in colour: the attribute's picture has its own with both bottlenecks, else the other's."""
    batch = tiny_batch(count=2)
    light, full = batch.attribute.image.mean(1, keepdim=True) * 0.6, torch.ones(2, 1, 32, 32)
    identity, attribute = (
        Aligned(light + torch.tensor(tint)[None, :, None, None], mask=full, landmarks=batch.attribute.landmarks)
        for tint in ((0.3, -0.3, -0.3), (-0.3, -0.3, 0.3))
    )
    network = dataclasses.replace(TINY.network, encoder=8, decoder=8)
    config = dataclasses.replace(TINY, network=network, warp=STILL, flip=0.0)
    method = build(weighted(config, structure=1.0, pixels=10.0, mask=1.0))
    pair = dataclasses.replace(batch, identity=identity, attribute=attribute)
    losses = overfit(method, pair, "autoencoder", 60, lr=5e-3)
    assert losses[-1] < 0.4 * losses[0]
    with torch.no_grad():
        own = 2 * method.eval().decoder(method._codes(method.encoder(attribute.image))[1])[0] - 1
        swapped = method.swap(attribute, (torch.zeros(2, 1),)).image
    for drawn, near, far in ((swapped, identity, attribute), (own, attribute, identity)):
        assert (drawn - near.image).abs().mean() < 0.5 * (drawn - far.image).abs().mean()
    assert torch.corrcoef(torch.stack([swapped.mean(1).flatten(), light.flatten()]))[0, 1] > 0.4


def test_styles_teach_the_decoder_alone() -> None:
    method = build(weighted(**ALL))
    for name in ("face_style", "background_style"):
        assert taught(method, step(method)[name]) == {"decoder"}


def test_the_gan_teaches_the_identitys_path() -> None:
    method = build(weighted(**ALL))
    method.discriminator.requires_grad_(requires_grad=False)
    assert taught(method, step(method)["adversarial"]) == {"encoder", "inter_both", "decoder"}


def test_the_discriminator_learns_which_face_is_real() -> None:
    method = build(dataclasses.replace(weighted(adversarial=1.0), warp=STILL, flip=0.0))
    torch.nn.init.constant_(method.decoder.image[-1].convolutions[0].bias, 4.0)
    losses = overfit(method, tiny_batch(), "discriminator", 40, lr=2e-2)
    assert losses[-1] < 0.5 * losses[0]
    method.discriminator.requires_grad_(requires_grad=False)
    fooled = overfit(method, tiny_batch(), "autoencoder", 10)
    assert fooled[0] > 2 * 0.6931  # taken for made ...
    assert fooled[-1] < fooled[0]  # ... and less so after learning from it


@pytest.mark.parametrize("masked", [True, False])
def test_each_loss_is_of_the_faces_that_it_should_compare(masked: bool) -> None:
    method, batch = build(dataclasses.replace(still(**ALL), masked=masked)), lopsided()
    found = step(method, batch=batch)
    identity, attribute = (make_lesson(side, STILL) for side in (batch.identity, batch.attribute))
    with torch.no_grad():
        both, shared = (method.inter_both(method.encoder(side.image)) for side in (batch.identity, batch.attribute))
        only = method.inter_attribute(method.encoder(batch.attribute.image))
        pairs = (both, both), (shared, shared), (only, shared)
        own, swapped, other = (Drawn(*method.decoder(torch.cat(pair, 1))) for pair in pairs)
        rebuilt = rebuilding_losses(own, identity, masked=masked), rebuilding_losses(other, attribute, masked=masked)
        expected = {name: rebuilt[0][name] + rebuilt[1][name] for name in rebuilt[0]}
        expected |= style_losses(swapped, other, attribute) | gan_losses(own, identity, method.discriminator)
    assert found.keys() == expected.keys()
    for name, loss in expected.items():
        torch.testing.assert_close(found[name].detach(), loss, msg=name)


def test_real_are_the_identitys_faces_within_their_own_mask() -> None:
    method, batch = build(still()), lopsided()
    amplify(method)
    lesson = make_lesson(batch.identity, STILL)
    with torch.no_grad():
        both = method.inter_both(method.encoder(batch.identity.image))
        rebuilt, _ = method.decoder(torch.cat([both, both], 1))
        real, fake = (method.discriminator(face * lesson.soft) for face in (lesson.truth, rebuilt))
    expected = [F.softplus(-yes).mean() + F.softplus(no).mean() for yes, no in zip(real, fake, strict=True)]
    found = step(method, "discriminator", batch)["logistic"]
    torch.testing.assert_close(found.detach(), torch.stack(expected).mean())


@pytest.mark.parametrize("phase", ["discriminator", "autoencoder"])
def test_the_attributes_pictures_are_mirrored_and_the_identitys_are_not(phase: str) -> None:
    check_mirrored(build(still(**ALL)), build(dataclasses.replace(still(**ALL), flip=1.0)), phase)


@pytest.mark.parametrize("phase", ["discriminator", "autoencoder"])
def test_pictures_are_moved_as_far_as_they_are_told_and_codes_are_of_warped_ones(phase: str) -> None:
    warp = dataclasses.replace(STILL, elastic=0.3)
    check_moved(build(still(**ALL)), build(dataclasses.replace(still(**ALL), warp=warp)), phase)


@pytest.mark.parametrize("name", [*STYLE, *GAN])
def test_one_weight_is_enough_for_a_loss_to_be_computed(name: str) -> None:
    assert step(build(weighted(**{name: 1.0})))[name] > 0


def test_the_discriminator_is_as_large_as_it_is_told_and_all_start_as_glorots() -> None:
    method = build(dataclasses.replace(TINY, patch_px=15, discriminator_width=6))
    assert [layer.stride[0] for layer in method.discriminator.down] == list(strides_for(15, 32))
    assert method.discriminator.stem.out_channels == 6
    biases = [weight for name, weight in method.named_parameters() if name.endswith(".bias")]
    assert len(biases) > 20
    assert all(bias.abs().max() == 0 for bias in biases)


def test_our_config_states_the_defaults() -> None:
    assert fill(LIAEConfig, load_config(ROOT / "configs/liae.toml")["model"], "model") == LIAEConfig()
    assert LIAE.card.per_pair


def test_what_weighs_nothing_is_not_computed() -> None:
    method = build()
    method.discriminator = torch.nn.Identity()  # type: ignore[assignment]  # would fail if it were asked
    losses = step(method)
    off = {name for name, weight in TINY.loss_weights["autoencoder"].items() if not weight}
    assert off == {"face_style", "background_style", "adversarial", "smooth", "background"}
    assert all(losses[name] == 0 for name in off)


def test_odd_settings_are_told() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        LIAEConfig(size_px=48)
    with pytest.raises(ValueError, match="patch_px"):
        LIAEConfig(patch_px=-1)
