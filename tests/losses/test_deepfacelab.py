"""DeepFaceLab's losses: closed forms, and what the released code gets wrong."""

from __future__ import annotations

import dataclasses
import math

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F

from facegraft.losses.deepfacelab import (
    Drawn,
    Lesson,
    blurred,
    colour_style,
    gan_losses,
    make_lesson,
    priority_mask,
    rebuilding_losses,
    ring_mask,
    soft_mask,
    structure,
    style_losses,
    total_variation,
)
from facegraft.losses.image import dssim
from facegraft.nn.deepfacelab import PatchUNet
from facegraft.nn.warp import WarpConfig
from facegraft.tensors import Aligned
from tests.methods.contract import tiny_batch

STILL = WarpConfig(elastic=0.0, degrees=0.0, zoom=0.0, shift=0.0)
SIZE_PX = 32


def disc(size_px: int = SIZE_PX, radius: float = 0.6) -> torch.Tensor:
    at = torch.linspace(-1, 1, size_px)
    return (at[None] ** 2 + at[:, None] ** 2 < radius**2).float()[None, None]


def lesson(truth: torch.Tensor, mask: torch.Tensor | None = None) -> Lesson:
    mask = disc() if mask is None else mask
    return Lesson(2 * truth - 1, truth, mask, soft_mask(mask), mask)


def drawn(image: torch.Tensor, mask: torch.Tensor | None = None) -> Drawn:
    return Drawn(image, disc() if mask is None else mask)


def smooth(seed: int = 0, count: int = 1, size_px: int = SIZE_PX) -> torch.Tensor:
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, (size_px, size_px), mode="bilinear", align_corners=True)


def test_only_the_input_is_warped() -> None:
    """Truth, mask and landmarks get the same affine move, the input that and the warp."""
    batch = tiny_batch(64)
    torch.manual_seed(0)
    warped = make_lesson(batch.attribute, WarpConfig(), 0.5)
    torch.manual_seed(0)
    plain = make_lesson(batch.attribute, WarpConfig(elastic=0.0), 0.5)
    assert torch.equal(warped.truth, plain.truth)
    assert torch.equal(warped.mask, plain.mask)
    assert torch.equal(warped.priority, plain.priority)
    torch.testing.assert_close(plain.shown, 2 * plain.truth - 1)
    assert (warped.shown - plain.shown).abs().amax((1, 2, 3)).min() > 0.02
    assert 0 <= warped.truth.min() < 0.5 < warped.truth.max() <= 1


def test_masks_and_landmarks_follow_the_picture() -> None:
    torch.manual_seed(0)
    at = torch.arange(64) + 0.5
    spot = torch.exp(-((at - 24) ** 2 + (at[:, None] - 36) ** 2) / 60).expand(4, 1, 64, 64)
    landmarks = torch.tensor([24.0, 36.0]).expand(4, 68, 2)
    aligned = Aligned(2 * spot.expand(4, 3, 64, 64) - 1, mask=(spot > 0.05).float(), landmarks=landmarks)
    made = make_lesson(aligned, WarpConfig(elastic=0.0, degrees=30.0), 0.5)
    brightest = made.truth[:, 0].flatten(1).argmax(1)
    assert len(set(brightest.tolist())) > 1
    for row, place in enumerate(brightest.tolist()):
        assert made.mask[row, 0].flatten()[place] > 0.999
        assert made.priority[row, 0].flatten()[place] > 0.95
    assert made.priority.amax((1, 2, 3)).tolist() == [1] * 4
    both = ((made.truth[:, :1] > 0.05) & (made.mask > 0.5)).sum() / (
        (made.truth[:, :1] > 0.05) | (made.mask > 0.5)
    ).sum()
    assert both > 0.9


def test_beyond_the_picture_no_face_is_seen() -> None:
    """A face that goes on up to the edge ends there, when the picture is moved inwards."""
    full, landmarks = torch.ones(8, 1, SIZE_PX, SIZE_PX), torch.full((8, 68, 2), 16.0)
    torch.manual_seed(0)
    made = make_lesson(Aligned(full.expand(-1, 3, -1, -1), mask=full, landmarks=landmarks), WarpConfig(shift=0.3))
    assert made.truth.min() == 1  # the picture's border goes on
    assert made.mask.amin((1, 2, 3)).max() == 0
    assert 0.3 < made.mask.mean() < 0.95
    assert torch.equal(made.soft, soft_mask(made.mask))


def test_a_lesson_needs_masks_and_landmarks() -> None:
    with pytest.raises(ValueError, match="requires"):
        make_lesson(Aligned(torch.zeros(1, 3, 16, 16)), STILL)


def test_a_perfect_answer_costs_nothing() -> None:
    truth = smooth()
    found = rebuilding_losses(drawn(truth), lesson(truth), masked=True)
    assert {name: float(loss) for name, loss in found.items()} == pytest.approx(
        {"structure": 0, "pixels": 0, "mask": 0, "priority": 0}, abs=1e-6
    )


def test_losses_in_closed_form() -> None:
    truth, ones = torch.full((2, 3, 32, 32), 0.5), torch.ones(2, 1, 32, 32)
    given = dataclasses.replace(lesson(truth, ones), priority=ones / 4)
    found = rebuilding_losses(Drawn(truth + 0.2, ones / 2), given, masked=True)
    assert found["pixels"] == pytest.approx(0.04)
    assert found["mask"] == pytest.approx(0.25)
    assert found["priority"] == pytest.approx(0.05)
    luminance = (2 * 0.5 * 0.7 + 1e-4) / (0.5**2 + 0.7**2 + 1e-4)
    assert found["structure"] == pytest.approx((1 - luminance) / 2, abs=1e-5)
    faint = rebuilding_losses(Drawn(truth + 0.2, ones / 2), dataclasses.replace(given, soft=ones / 2), masked=True)
    assert faint["pixels"] == pytest.approx(0.01)


def test_around_the_face_nothing_counts_where_it_is_masked() -> None:
    truth, around = smooth(), (lesson(smooth()).soft == 0).float()
    assert around.sum() > 100
    painted = drawn((truth + around).clamp(0, 1))
    kept = rebuilding_losses(painted, lesson(truth), masked=True)
    assert kept["structure"] == pytest.approx(0, abs=1e-6)
    assert kept["pixels"] == 0
    whole = rebuilding_losses(painted, lesson(truth), masked=False)
    assert whole["structure"] > 0.01
    assert whole["pixels"] > 0.01


def test_the_soft_mask_is_full_up_to_its_rim() -> None:
    half = torch.zeros(1, 1, 64, 64)
    half[..., :32] = 1
    soft = soft_mask(half)[0, 0, 20]
    assert soft[:31].min() > 0.99
    assert 0.7 < soft[32] < 1
    # Twice the upper tail of a normal law whose deviation is a 32nd of the side: 2 px.
    assert soft[35] == pytest.approx(1 - math.erf(3.5 / 2 / 2**0.5), abs=0.03)
    assert soft[40:].max() == 0


def test_windows_are_those_of_the_toolkit() -> None:
    first, second = smooth(0, 1, 128), smooth(1, 1, 128)
    torch.testing.assert_close(structure(first, second), dssim(first, second, 11).mean())
    first, second = smooth(0, 1, 256), smooth(1, 1, 256)
    both = (dssim(first, second, 22).mean() + dssim(first, second, 11).mean()) / 2
    torch.testing.assert_close(structure(first, second), both)


def test_structure_keeps_its_digits_in_half_precision() -> None:
    first = smooth(0, 2)
    second = (first + 0.01 * smooth(1, 2)).clamp(0, 1)
    expected = structure(first, second)
    with torch.autocast("cpu", torch.bfloat16):
        assert structure(first, second) == pytest.approx(float(expected), rel=1e-4)
        torch.testing.assert_close(soft_mask(disc()), soft_mask(disc().double().float()))
        assert blurred(first, 2.0).dtype == torch.float32


def test_no_loss_grows_with_the_batch() -> None:
    """The released code sums over the batch, so that a limit on the gradient's length bites harder on larger ones."""
    torch.manual_seed(0)
    net = PatchUNet(SIZE_PX, 4, 2)
    truth, made = smooth(0), smooth(1)
    once, thrice = (
        rebuilding_losses(drawn(made.expand(n, -1, -1, -1), disc().expand(n, -1, -1, -1)), given, masked=True)
        | style_losses(drawn(made.expand(n, -1, -1, -1), 0.5 * given.mask), drawn(given.truth, given.mask), given)
        | gan_losses(drawn(made.expand(n, -1, -1, -1), given.mask), given, net)
        for n in (1, 3)
        for given in [lesson(truth.expand(n, -1, -1, -1), disc().expand(n, -1, -1, -1))]
    )
    assert len(once) == 9
    for name, loss in once.items():
        torch.testing.assert_close(thrice[name], loss, msg=name)
        assert loss > 0 or name == "mask", name


def test_variation_runs_along_both_sides_and_never_over_colours() -> None:
    """The released code counts its axes as if channels were last."""
    flat_but_coloured = torch.tensor([0.0, 0.5, 1.0])[None, :, None, None].expand(2, 3, 4, 4)
    assert total_variation(flat_but_coloured) == 0
    across = torch.arange(4.0).expand(1, 3, 4, 4)
    assert total_variation(across) == 3 * 4 * 3
    assert total_variation(across.mT) == 3 * 4 * 3
    torch.testing.assert_close(total_variation(torch.cat([across, 3 * across])), torch.tensor(36.0 * (1 + 9) / 2))


def test_style_masks_are_those_of_the_faces_compared() -> None:
    """The released code makes them of the swap and then puts the identity person's mask in their place."""
    swapped, rebuilt = smooth(0), smooth(1)
    left, right = torch.zeros(1, 1, SIZE_PX, SIZE_PX), torch.zeros(1, 1, SIZE_PX, SIZE_PX)
    left[..., :20], right[..., 12:] = 1, 1
    given = lesson(smooth(2), left)
    found = style_losses(drawn(swapped, left), drawn(rebuilt, right), given)
    face = soft_mask(left * right)
    torch.testing.assert_close(found["face_style"], colour_style(swapped * face, rebuilt * face))
    elsewhere = dataclasses.replace(given, mask=right, soft=soft_mask(right))
    for name, loss in style_losses(drawn(swapped, left), drawn(rebuilt, right), elsewhere).items():
        assert torch.equal(loss, found[name]), name
    around = 1 - face
    difference = (swapped - given.truth) * around
    expected = structure(swapped * around, given.truth * around) + difference.square().mean()
    torch.testing.assert_close(found["background_style"], expected)


def test_styles_teach_the_swapped_face_alone() -> None:
    tensors = [smooth(0).requires_grad_(), disc().requires_grad_(), smooth(1).requires_grad_(), disc().requires_grad_()]
    for name in ("face_style", "background_style"):
        loss = style_losses(Drawn(*tensors[:2]), Drawn(*tensors[2:]), lesson(smooth(2)))[name]
        (gradient, *rest) = torch.autograd.grad(loss, tensors, allow_unused=True)
        assert gradient is not None
        assert gradient.abs().sum() > 0
        assert rest == [None, None, None]


def test_face_style_compares_means_and_deviations() -> None:
    even = torch.full((1, 3, 32, 32), 0.5)
    assert colour_style(even, even) == 0
    assert colour_style(even, even + torch.tensor([0.3, 0.0, 0.0])[None, :, None, None]) == pytest.approx(0.03)
    wave = 0.5 + 0.4 * torch.linspace(-1, 1, 32).expand(1, 3, 32, 32)
    assert colour_style(wave, wave.flip(-1)) == pytest.approx(0, abs=1e-6)
    deviation = blurred(wave, 4.0).flatten(2).std(2, correction=0)
    assert colour_style(wave, even) == pytest.approx(float((deviation.mean() - 1e-5**0.5) ** 2), rel=0.01)


def test_gan_losses_in_closed_form() -> None:
    net = PatchUNet(SIZE_PX, 4, 2)
    for weight in net.parameters():
        torch.nn.init.zeros_(weight)
    net.requires_grad_(requires_grad=False)
    truth = torch.full((1, 3, 32, 32), 0.5)
    found = gan_losses(drawn(truth + 0.1), lesson(truth), net)
    assert found["adversarial"] == pytest.approx(2 * 0.6931, abs=1e-3)  # two maps, both guessing
    assert found["smooth"] == 0
    assert found["background"] == pytest.approx(float((0.1 * (1 - soft_mask(disc()))).square().mean()))
    for layer in (net.patches, net.pixels):
        torch.nn.init.constant_(layer.bias, 5.0)
    assert gan_losses(drawn(truth), lesson(truth), net)["adversarial"] < 0.02


def test_each_gan_loss_teaches_the_face_and_the_discriminator_sees_nothing_around_it() -> None:
    torch.manual_seed(0)
    net, given = PatchUNet(SIZE_PX, 4, 2), lesson(smooth())
    for name in ("adversarial", "smooth", "background"):
        made = smooth(1).requires_grad_()
        (gradient,) = torch.autograd.grad(gan_losses(drawn(made), given, net)[name], made)
        around = gradient * (given.soft == 0)
        assert gradient.abs().sum() > 0, name
        assert (around.abs().sum() > 0) == (name != "adversarial"), name


def test_rings_are_filled_and_grown() -> None:
    square = torch.tensor([[[8.0, 8.0], [24.0, 8.0], [24.0, 16.0], [8.0, 16.0]]])
    plain = ring_mask(square, 32, 0.0)[0, 0]
    assert plain.sum() == 16 * 8
    assert plain[8:16, 8:24].min() == 1
    grown = ring_mask(square, 32, 3.0)[0, 0]
    assert grown[12, 5] == 1
    assert grown[12, 4] == 0
    assert grown[5, 5] == 0  # round corners
    assert grown[6, 6] == 1
    assert torch.equal(ring_mask(square.flip(1), 32, 3.0)[0, 0], grown)


def test_priority_lies_on_eyes_and_mouth_where_the_face_is_seen() -> None:
    landmarks = torch.full((1, 68, 2), 2.0)  # brows, nose and jaw lie in a corner, and count for nothing
    turn = torch.linspace(0, 2 * torch.pi, 9)[:8]
    for ring, x, y in ((range(36, 42), 20.0, 24.0), (range(42, 48), 44.0, 24.0), (range(60, 68), 32.0, 46.0)):
        round_ = torch.stack([x + 4 * turn.cos(), y + 2 * turn.sin()], 1)
        landmarks[0, list(ring)] = round_[: len(ring)]
    seen = torch.ones(1, 1, 64, 64)
    found = priority_mask(landmarks, seen)[0, 0]
    assert found.max() == 1
    assert min(found[24, 20], found[24, 44], found[46, 32]) > 0.6
    assert max(found[2, 2], found[24, 32] / 2, found[60, 60]) < 0.3
    hidden = seen.clone()
    hidden[..., :32] = 0.4
    assert priority_mask(landmarks, hidden)[0, 0, :, :32].max() == 0
    assert priority_mask(landmarks, 0 * seen).max() == 0


def test_priority_is_grown_and_blurred_by_shares_of_the_side() -> None:
    landmarks = torch.rand(1, 68, 2, generator=torch.Generator().manual_seed(0)) * 20 + 20
    rings = landmarks[:, 36:42], landmarks[:, 42:48], landmarks[:, 60:68]
    grown = torch.stack([ring_mask(ring, 64, 2.0) for ring in rings]).amax(0)
    expected = blurred(grown, 4.0)
    torch.testing.assert_close(priority_mask(landmarks, torch.ones(1, 1, 64, 64)), expected / expected.max())


def test_blur_spreads_a_point_as_a_normal_law() -> None:
    point = torch.zeros(1, 1, 33, 33)
    point[0, 0, 16, 16] = 1
    spread = blurred(point, 2.0)[0, 0]
    at = torch.arange(33.0) - 16
    assert spread.sum() == pytest.approx(1, abs=1e-5)
    assert (spread.sum(0) * at.square()).sum() == pytest.approx(4, rel=0.04)
    torch.testing.assert_close(spread, spread.T)
    assert blurred(torch.full((1, 2, 8, 8), 0.3), 5.0).std() < 1e-6
