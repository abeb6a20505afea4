"""DF: the contract, then what makes two decoders swap faces."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from facegraft.core.config import fill, load_config
from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import logistic_discriminator
from facegraft.losses.deepfacelab import (
    GAN,
    STYLE,
    Drawn,
    gan_losses,
    make_lesson,
    rebuilding_losses,
    soft_mask,
    style_losses,
)
from facegraft.methods._method import Method
from facegraft.methods.df import DF, DFConfig
from facegraft.nn.deepfacelab import NetworkConfig, drawn_in, strides_for
from facegraft.nn.warp import WarpConfig
from facegraft.tensors import Aligned, SwapBatch
from tests.methods.contract import check_method, overfit, tiny_batch, tiny_frozen

STILL = WarpConfig(elastic=0.0, degrees=0.0, zoom=0.0, shift=0.0)
TINY = DFConfig(
    size_px=32,
    network=NetworkConfig(encoder=4, bottleneck=16, decoder=4, mask=2),
    discriminator_width=4,
    code_discriminator_width=8,
)
ALL = {name: 1.0 for name in TINY.loss_weights["autoencoder"]}
PHASES = ("code_discriminator", "discriminator", "autoencoder")
ROOT = Path(__file__).parents[2]


def weighted(config: DFConfig = TINY, **weights: float) -> DFConfig:
    """Only these losses of the autoencoder weigh anything."""
    table = dict.fromkeys(config.loss_weights["autoencoder"], 0.0) | weights
    return dataclasses.replace(config, loss_weights={**config.loss_weights, "autoencoder": table})


def build(config: DFConfig = TINY) -> DF:
    torch.manual_seed(0)
    return DF(config)


def step(method: Method, phase: str = "autoencoder", batch: SwapBatch | None = None) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return method.training_step(phase, batch or tiny_batch(), FrozenNets())


def taught(method: DF, loss: torch.Tensor) -> set[str]:
    """Modules that a loss gives a gradient to."""
    method.zero_grad(set_to_none=True)
    loss.backward()
    named = method.named_parameters()
    return {name.split(".")[0] for name, weight in named if weight.grad is not None and weight.grad.abs().sum() > 0}


def still(**weights: float) -> DFConfig:
    """Pictures are neither moved nor warped nor mirrored."""
    return dataclasses.replace(weighted(**weights), warp=STILL, flip=0.0)


def mirrored(aligned: Aligned) -> Aligned:
    """As in a mirror: picture, mask and landmarks."""
    assert aligned.mask is not None
    assert aligned.landmarks is not None
    landmarks = torch.stack([aligned.image.shape[-1] - aligned.landmarks[..., 0], aligned.landmarks[..., 1]], -1)
    return Aligned(aligned.image.flip(-1), mask=aligned.mask.flip(-1), landmarks=landmarks)


def amplify(method: torch.nn.Module) -> None:
    """Weights twice as large, so that answers tell pictures apart."""
    with torch.no_grad():
        for weight in method.parameters():
            weight.mul_(2)


def lopsided() -> SwapBatch:
    """The identity's faces lie on the left, the attribute's on the right."""
    batch, side = tiny_batch(), torch.zeros(4, 1, 32, 32)
    side[..., :18] = 1
    identity = dataclasses.replace(batch.identity, mask=side)
    return dataclasses.replace(batch, identity=identity, attribute=dataclasses.replace(batch.attribute, mask=1 - side))


@pytest.mark.parametrize("weights", [{}, ALL], ids=["default", "all"])
def test_contract(weights: dict[str, float], tmp_path: Path) -> None:
    check_method(build(weighted(**weights) if weights else TINY), tmp_path)


def test_contract_of_the_other_letters(tmp_path: Path) -> None:
    network = dataclasses.replace(TINY.network, pixel_norm=False, half_size=False, deeper=True)
    check_method(build(dataclasses.replace(TINY, network=network, masked=False)), tmp_path)


def test_training_needs_no_frozen_network_and_no_right_answer() -> None:
    losses = step(build(weighted(**ALL)))
    blank = dataclasses.replace(tiny_batch(), truth=torch.full_like(tiny_batch().truth, torch.nan))
    again = step(build(weighted(**ALL)), batch=blank)
    assert losses.keys() == again.keys()
    assert all(torch.equal(losses[name], again[name]) for name in losses)


def test_a_swap_is_the_attributes_code_in_the_identitys_decoder() -> None:
    method, batch = build(), tiny_batch()
    with torch.no_grad():
        code = method.inter(method.encoder(batch.attribute.image))
        image, mask = method.decoder_identity(code)
        _, other = method.decoder_attribute(code)
        swapped = method.swap(Aligned(batch.attribute.image), method.encode_identity(batch.identity, tiny_frozen()))
    torch.testing.assert_close(swapped.image, 2 * image - 1)
    torch.testing.assert_close(swapped.mask, drawn_in(mask * other, 0.05))
    assert (swapped.mask < mask * other).float().mean() > 0.5


def test_the_pictures_of_the_identity_say_nothing() -> None:
    method, batch = build(), tiny_batch()
    with torch.no_grad():
        codes = [method.encode_identity(side, FrozenNets()) for side in (batch.identity, batch.attribute)]
        assert torch.equal(codes[0][0], codes[1][0])
        assert codes[0][0].shape == (4, 1)


def test_each_decoder_learns_its_own_person() -> None:
    """What changes on one side changes the gradient of its decoder and of nothing that is the other's."""
    batch = tiny_batch()
    for side, changed, kept in (
        ("identity", "decoder_identity", "decoder_attribute"),
        ("attribute", "decoder_attribute", "decoder_identity"),
    ):
        other = dataclasses.replace(batch, **{side: tiny_batch(seed=5).identity})
        gradients = []
        for each in (batch, other):
            method = build(weighted(structure=1.0))
            step(method, batch=each)["structure"].backward()
            gradients.append({name: weight.grad for name, weight in method.named_parameters()})
        for name in gradients[0]:
            one, two = gradients[0][name], gradients[1][name]
            if name.startswith((changed, kept)) and ".image." in name:
                assert torch.equal(one, two) == name.startswith(kept), name


def test_after_training_the_swap_shows_the_other_person() -> None:
    """Two people who differ in colour: the attribute's picture comes back in the identity's, its light unchanged."""
    batch = tiny_batch(count=2)
    light, full = batch.attribute.image.mean(1, keepdim=True) * 0.6, torch.ones(2, 1, 32, 32)
    identity, attribute = (
        Aligned(light + torch.tensor(tint)[None, :, None, None], mask=full, landmarks=batch.attribute.landmarks)
        for tint in ((0.3, -0.3, -0.3), (-0.3, -0.3, 0.3))
    )
    method = build(dataclasses.replace(weighted(structure=1.0, pixels=10.0, mask=1.0), warp=STILL, flip=0.0))
    pair = dataclasses.replace(batch, identity=identity, attribute=attribute)
    losses = overfit(method, pair, "autoencoder", 30, lr=5e-3)
    assert losses[-1] < 0.4 * losses[0]
    with torch.no_grad():
        swapped = method.eval().swap(attribute, (torch.zeros(2, 1),)).image
    to_identity, to_attribute = ((swapped - side.image).abs().mean() for side in (identity, attribute))
    assert to_identity < 0.5 * to_attribute
    assert torch.corrcoef(torch.stack([swapped.mean(1).flatten(), light.flatten()]))[0, 1] > 0.4


def test_what_weighs_nothing_is_not_computed() -> None:
    method = build()
    method.discriminator = torch.nn.Identity()  # type: ignore[assignment]  # would fail if it were asked
    method.code_discriminator = torch.nn.Identity()  # type: ignore[assignment]  # likewise
    losses = step(method)
    off = {name for name, weight in TINY.loss_weights["autoencoder"].items() if not weight}
    assert off == {"face_style", "background_style", "adversarial", "smooth", "background", "true_face"}
    assert all(losses[name] == 0 for name in off)


def test_styles_teach_the_identitys_decoder_alone() -> None:
    method = build(weighted(**ALL))
    for name in ("face_style", "background_style"):
        assert taught(method, step(method)[name]) == {"decoder_identity"}


def test_gan_and_true_face_teach_the_identitys_side() -> None:
    method = build(weighted(**ALL))
    for discriminator in (method.discriminator, method.code_discriminator):
        discriminator.requires_grad_(requires_grad=False)
    assert taught(method, step(method)["adversarial"]) == {"encoder", "inter", "decoder_identity"}
    assert taught(method, step(method)["true_face"]) == {"encoder", "inter"}


def test_true_face_makes_the_identitys_codes_look_like_the_attributes() -> None:
    method, batch = build(dataclasses.replace(weighted(true_face=1.0), warp=STILL, flip=0.0)), tiny_batch()
    first = overfit(method, batch, "code_discriminator", 30, lr=1e-2)
    assert first[-1] < 0.5 * first[0]
    answers = {}
    with torch.no_grad():
        for side in ("identity", "attribute"):
            code = method._code(getattr(batch, side).image)
            answers[side] = method.code_discriminator(code).mean()
    assert answers["identity"] < 0 < answers["attribute"]  # real are the attribute person's
    fooled = overfit(method, batch, "autoencoder", 10)
    assert fooled[-1] < 0.5 * fooled[0]


def test_the_discriminator_compares_masked_faces_of_the_identity() -> None:
    method, batch = build(dataclasses.replace(TINY, warp=STILL, flip=0.0)), tiny_batch()
    torch.nn.init.constant_(method.decoder_identity.image[-1].convolutions[0].bias, 4.0)
    losses = overfit(method, batch, "discriminator", 40, lr=1e-2)
    assert losses[-1] < 0.5 * losses[0]
    assert batch.identity.mask is not None
    soft = soft_mask(batch.identity.mask)
    with torch.no_grad():
        real = method.discriminator((batch.identity.image + 1) / 2 * soft)
        fake = method.discriminator(method.decoder_identity(method._code(batch.identity.image))[0] * soft)
    for yes, no in zip(real, fake, strict=True):
        assert yes.mean() > no.mean()
    others = dataclasses.replace(batch, attribute=tiny_batch(seed=9).attribute)
    assert torch.equal(step(method, "discriminator", others)["logistic"], step(method, "discriminator")["logistic"])
    hidden = dataclasses.replace(batch.identity, mask=torch.zeros_like(soft))
    losses_hidden = step(method, "discriminator", dataclasses.replace(batch, identity=hidden))["logistic"]
    with torch.no_grad():
        black = method.discriminator(torch.zeros(4, 3, 32, 32))
    torch.testing.assert_close(losses_hidden.detach(), logistic_discriminator(black, black))


@pytest.mark.parametrize("masked", [True, False])
def test_each_loss_is_of_the_faces_that_it_should_compare(masked: bool) -> None:
    method, batch = build(dataclasses.replace(still(**ALL), masked=masked)), lopsided()
    found = step(method, batch=batch)
    identity, attribute = (make_lesson(side, STILL) for side in (batch.identity, batch.attribute))
    with torch.no_grad():
        codes = [method._code(side.image) for side in (batch.identity, batch.attribute)]
        own, swapped = (Drawn(*method.decoder_identity(code)) for code in codes)
        other = Drawn(*method.decoder_attribute(codes[1]))
        rebuilt = rebuilding_losses(own, identity, masked=masked), rebuilding_losses(other, attribute, masked=masked)
        expected = {name: rebuilt[0][name] + rebuilt[1][name] for name in rebuilt[0]}
        expected |= style_losses(swapped, other, attribute) | gan_losses(own, identity, method.discriminator)
        expected["true_face"] = F.softplus(-method.code_discriminator(codes[0])).mean()
    assert found.keys() == expected.keys()
    for name, loss in expected.items():
        torch.testing.assert_close(found[name].detach(), loss, msg=name)


def test_real_are_the_identitys_faces_within_their_own_mask() -> None:
    method, batch = build(still()), lopsided()
    amplify(method)
    lesson = make_lesson(batch.identity, STILL)
    with torch.no_grad():
        real = method.discriminator(lesson.truth * lesson.soft)
        fake = method.discriminator(method.decoder_identity(method._code(batch.identity.image))[0] * lesson.soft)
    expected = [F.softplus(-yes).mean() + F.softplus(no).mean() for yes, no in zip(real, fake, strict=True)]
    found = step(method, "discriminator", batch)["logistic"]
    torch.testing.assert_close(found.detach(), torch.stack(expected).mean())


def check_mirrored(plain: Method, flipping: Method, phase: str) -> None:
    """One that always flips sees what the other does in pictures whose attribute is mirrored; same weights."""
    batch = lopsided()
    found = step(flipping, phase, batch)
    for name, loss in step(plain, phase, dataclasses.replace(batch, attribute=mirrored(batch.attribute))).items():
        torch.testing.assert_close(found[name], loss, msg=name)


def check_moved(plain: Method, warping: Method, phase: str) -> None:
    """One that does not warp draws nothing at random, one that does has other losses; same weights."""
    for each in (plain, warping):
        amplify(each)
    one, other = (plain.training_step(phase, tiny_batch(), FrozenNets()) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    found = step(warping, phase)
    assert any((found[name] - loss).abs() > 1e-4 for name, loss in one.items())


@pytest.mark.parametrize("phase", PHASES)
def test_the_attributes_pictures_are_mirrored_and_the_identitys_are_not(phase: str) -> None:
    check_mirrored(build(still(**ALL)), build(dataclasses.replace(still(**ALL), flip=1.0)), phase)


@pytest.mark.parametrize("phase", PHASES)
def test_pictures_are_moved_as_far_as_they_are_told_and_codes_are_of_warped_ones(phase: str) -> None:
    warp = dataclasses.replace(STILL, elastic=0.3)
    check_moved(build(still(**ALL)), build(dataclasses.replace(still(**ALL), warp=warp)), phase)


@pytest.mark.parametrize("name", [*STYLE, *GAN, "true_face"])
def test_one_weight_is_enough_for_a_loss_to_be_computed(name: str) -> None:
    assert step(build(weighted(**{name: 1.0})))[name] > 0


def test_networks_are_as_large_as_they_are_told_and_start_as_glorots() -> None:
    method = build(dataclasses.replace(TINY, patch_px=15, discriminator_width=6, code_discriminator_width=10))
    assert [layer.stride[0] for layer in method.discriminator.down] == list(strides_for(15, 32))
    assert method.discriminator.stem.out_channels == 6
    assert method.code_discriminator.layers[0].out_channels == 10
    biases = [weight for name, weight in method.named_parameters() if name.endswith(".bias")]
    assert len(biases) > 20
    assert all(bias.abs().max() == 0 for bias in biases)


def test_our_config_states_the_defaults() -> None:
    assert fill(DFConfig, load_config(ROOT / "configs/df.toml")["model"], "model") == DFConfig()
    assert DF.card.per_pair


def test_inputs_are_warped_anew_at_each_step() -> None:
    method, batch = build(), tiny_batch()
    torch.manual_seed(1)
    first, second = (method.training_step("autoencoder", batch, FrozenNets())["structure"] for _ in range(2))
    assert first != second


def test_odd_settings_are_told() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        DFConfig(size_px=48)
    with pytest.raises(ValueError, match="flip"):
        DFConfig(flip=1.5)
    with pytest.raises(ValueError, match="drawn_in from 0 to below"):
        DFConfig(drawn_in=0.5)
    with pytest.raises(ValueError, match="drawn_in from 0 to below"):
        DFConfig(drawn_in=-0.1)
