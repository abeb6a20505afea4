"""MobileFaceSwap: what each loss compares, in closed form."""

from __future__ import annotations

import dataclasses
import math

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.core.config import load_config
from facegraft.methods.mobilefaceswap import Answer, MobileFaceSwap, MobileFaceSwapConfig, baked, weak_mask_loss
from facegraft.nn.predicted import depthwise, pointwise
from facegraft.tensors import Aligned, Swap, SwapBatch
from tests.methods.contract import strangers, tiny_batch, tiny_frozen, tiny_perceptual
from tests.methods.contract import told_apart as truths_told_apart
from tests.methods.test_mobilefaceswap import ROOT, TINY, made, only

FULL = {"distil": 1.0, "perceptual": 1.0, "adversarial": 1.0}


def told_apart() -> SwapBatch:
    """Truths that are no attribute pictures; faces on the left of the identity's, on the right of the attribute's."""
    batch, left = truths_told_apart(), torch.zeros(4, 1, 32, 32)
    left[..., :14] = 1
    return dataclasses.replace(
        batch,
        identity=dataclasses.replace(batch.identity, mask=left),
        attribute=dataclasses.replace(batch.attribute, mask=1 - left),
    )


def half_seen(identity: Aligned, attribute: Aligned) -> Swap:
    """A teacher whose mask takes in the left half of its answer."""
    mask = torch.zeros_like(attribute.image[:, :1])
    mask[..., :16] = 1
    return Swap((identity.image * 0.8 + attribute.image * 0.2), mask)


def composed(batch: SwapBatch) -> Tensor:
    """The answer of `half_seen` in its frame."""
    told = half_seen(batch.identity, batch.attribute)
    return torch.where(told.mask > 0, told.image, batch.attribute.image)


def answered(method: MobileFaceSwap, batch: SwapBatch) -> Answer:
    """What the small network makes of a batch."""
    with torch.no_grad():
        return method._answer(batch.attribute.image, method.encode_identity(batch.identity, tiny_frozen()))


def mean_abs(difference: Tensor) -> Tensor:
    """Of each sample."""
    return difference.abs().mean((1, 2, 3))


@torch.no_grad()
def test_attribute_pictures_are_real_and_swapped_ones_are_made() -> None:
    method, batch = made(), told_apart()
    found = method.training_step("discriminator", batch, tiny_frozen())["hinge"]
    image = answered(method, batch).image
    real, fake = (method.discriminator(images)[0] for images in (batch.attribute.image, image))
    scales = [F.relu(1 - yes).mean() + F.relu(1 + no).mean() for yes, no in zip(real, fake, strict=True)]
    torch.testing.assert_close(found, torch.stack(scales).mean())


@torch.no_grad()
def test_the_opponent_wants_its_swapped_picture_to_be_taken_for_real() -> None:
    method, batch = made(only(adversarial=1.0)), told_apart()
    found = method.training_step("generator", batch, tiny_frozen())["adversarial"]
    answers = method.discriminator(answered(method, batch).image)[0]
    torch.testing.assert_close(found, -torch.stack([answer.mean() for answer in answers]).mean())


@torch.no_grad()
def test_the_mask_is_held_down_where_the_attributes_face_is_not() -> None:
    batch = told_apart()
    for margin in (0.0, 0.1):
        method = made(dataclasses.replace(TINY, margin=margin))
        # Over a half everywhere, as it may be inside the face.
        method.generator.mask[-1].bias.sub_(torch.logit(answered(method, batch).mask).min() - 0.1)
        found = method.training_step("generator", batch, tiny_frozen())["mask"]
        mask, background = answered(method, batch).mask, 14 - round(32 * margin)
        torch.testing.assert_close(found, mask[..., :background].mean())
        torch.testing.assert_close(found, weak_mask_loss(mask, batch.attribute, margin))


@torch.no_grad()
def test_the_swapped_picture_learns_from_the_right_answer() -> None:
    method, batch = made(), told_apart()
    found = method.training_step("generator", batch, tiny_frozen())["reconstruction"]
    torch.testing.assert_close(found, mean_abs(answered(method, batch).image - batch.truth)[batch.has_truth].mean())


@pytest.mark.parametrize("judged", [False, True])
@torch.no_grad()
def test_the_teachers_composite_is_what_is_learnt_and_what_is_trusted(judged: bool) -> None:
    """Likeness and quality are of the teacher's picture as it goes into the frame, not of what it painted beyond."""
    seen: list[Tensor] = []

    def judge(images: Tensor) -> Tensor:
        seen.append(images)
        return torch.tensor([0.9, 0.5, 0.3, 0.1])

    method, batch, frozen = made(only(**FULL)), strangers(told_apart()), tiny_frozen()
    frozen = dataclasses.replace(frozen, teacher=half_seen, quality=judge if judged else None)
    found = method.training_step("generator", batch, frozen)
    answer, ours = composed(batch), answered(method, batch)
    cosine = (frozen.identity(answer) * frozen.identity(batch.identity.image)).sum(1).clamp(0, 1)
    trust = cosine.square() * (judge(answer) if judged else 1)
    apart = mean_abs(ours.image - answer) + mean_abs((ours.raw - answer) * batch.attribute.mask)
    torch.testing.assert_close(found["distil"], (trust * apart).mean())
    maps = zip(tiny_perceptual(ours.image), tiny_perceptual(answer), strict=True)
    unlike = torch.stack([mean_abs(one - other) for one, other in maps]).sum(0)
    torch.testing.assert_close(found["perceptual"], (trust * unlike).mean())
    assert all(torch.allclose(images, answer, atol=1e-6) for images in seen)
    assert len(seen) == (2 if judged else 0)


@torch.no_grad()
def test_the_small_network_enlarges_smoothly_and_paints_by_a_tanh() -> None:
    """Its layers by their own weights: rectified with a slope of 0.1, doubled as bilinear interpolation has it."""
    method, images = made(), told_apart().attribute.image
    code = method.encode_identity(told_apart().identity, tiny_frozen())
    held, kept = images, []
    for number, (kernels, matrices) in enumerate(zip(code[:5], code[5:], strict=True)):
        if number >= 3:
            held = F.interpolate(held, scale_factor=2.0, mode="bilinear")
        held = F.leaky_relu(pointwise(depthwise(held, kernels, 2 if number < 3 else 1), matrices), 0.1)
        kept.append(held)
        if number == 3:
            held = torch.cat([held, kept[1]], 1)
    torch.testing.assert_close(method._answer(images, code).raw, method.generator.tail(held).tanh())


def test_behind_a_closed_mask_the_raw_face_still_learns_from_the_teacher() -> None:
    method, batch = made(only(distil=1.0)), strangers(told_apart())
    with torch.no_grad():
        method.generator.mask[-1].bias.fill_(-200.0)
    method.training_step("generator", batch, tiny_frozen())["distil"].backward()
    gradient = method.generator.tail[-1].weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0.01


def test_a_faint_mask_is_taken_whole_and_none_is_not() -> None:
    image = torch.zeros(1, 3, 1, 4)
    mask = torch.tensor([0.0, 0.025, 0.05, 0.3])[None, None, None]
    torch.testing.assert_close(Answer(image, mask, image).swap().mask.flatten(), torch.tensor([0.0, 0.5, 1.0, 1.0]))


def test_discriminators_are_as_many_and_as_large_as_they_are_told() -> None:
    method = made(dataclasses.replace(TINY, scales=3, discriminator_width=5, discriminator_halvings=1))
    answers = method.discriminator(torch.zeros(1, 3, 32, 32))[0]
    assert [answer.shape[-1] for answer in answers] == [16, 8, 4]
    assert next(method.discriminator.parameters()).shape[0] == 5


def test_without_a_weight_the_discriminator_is_not_asked() -> None:
    method = made()
    method.discriminator = torch.nn.Identity()  # type: ignore[assignment]  # would fail if it were asked
    assert method.training_step("generator", tiny_batch(), tiny_frozen())["adversarial"] == 0


def test_published_normalisation_is_in_all_parts() -> None:
    """Of the paper's network, no layer but the last one of the colours and of the mask is without."""
    parts = dict(made(dataclasses.replace(TINY, batch_norm=True)).named_modules())
    chains = ("predictor.shrink", "predictor.shrink_more", "predictor.encoder", "predictor.decoder")
    for name in (*chains, "generator.tail", "generator.mask"):
        kinds = {type(part).__name__ for key, part in parts.items() if key.startswith(f"{name}.")}
        assert "BatchNorm2d" in kinds, name
        assert "GroupNorm" not in kinds, name


def test_a_baked_network_normalises_as_it_was_taught() -> None:
    """Also of a method that is still being trained: by what was counted, not by the picture at hand."""
    method = made(dataclasses.replace(TINY, batch_norm=True))
    with torch.no_grad():
        code = method.encode_identity(tiny_batch().identity, tiny_frozen())
        net, images = baked(method.train(), code), tiny_batch().attribute.image
        torch.testing.assert_close(net(images).image[:1], net(images[:1]).image)


def test_kernels_of_both_chains_teach_the_first_layer() -> None:
    for chain in (slice(0, 3), slice(3, 5)):  # halve, and keep the size
        method = made()
        code = method.encode_identity(tiny_batch().identity, tiny_frozen())
        torch.stack([kernels.square().sum() for kernels in code[chain]]).sum().backward()
        weight = method.predictor.shrink[0].weight
        assert weight.grad is not None
        assert weight.grad.abs().sum() > 0


def test_our_config_states_the_default_weights() -> None:
    config = load_config(ROOT / "configs/mobilefaceswap.toml")["model"]
    assert config["loss_weights"] == MobileFaceSwapConfig().loss_weights


def test_only_the_background_holds_the_mask_down_and_the_face_keeps_it_open() -> None:
    face = torch.zeros(2, 1, 20, 20)
    face[:, :, 8:12, 8:12] = 1
    attribute = Aligned(torch.zeros(2, 3, 20, 20), mask=face)
    assert weak_mask_loss(torch.ones_like(face), attribute, 0.05) == 1
    assert weak_mask_loss(face, attribute, 0.0) == 0
    wide = torch.zeros_like(face)
    wide[:, :, 7:13, 7:13] = 1  # one pixel more on each side: 5 % of 20
    assert weak_mask_loss(wide, attribute, 0.05) == 0
    assert float(weak_mask_loss(wide, attribute, 0.0)) == pytest.approx(20 / 384)
    everywhere = dataclasses.replace(attribute, mask=torch.ones_like(face))
    assert weak_mask_loss(torch.ones_like(face), everywhere, 0.0) == 0
    for inside, asked in ((0.5, 0.0), (0.05, math.log(10))):  # it may be half open, and must not close
        assert float(weak_mask_loss(inside * face, attribute, 0.05)) == pytest.approx(asked, abs=1e-6)
