"""FastSwap: the contract, then what this paper says and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor

from facegraft.frozen.nets import absent
from facegraft.methods.fastswap import Adaptive, FastSwap, FastSwapConfig, _moved, _shrunk
from facegraft.nn.colour import calmed
from facegraft.tensors import Aligned, SwapBatch
from tests.methods.contract import check_method, overfit, strangers, tiny_batch, tiny_frozen

TINY = FastSwapConfig(size_px=32, width=4, discriminator_width=4, discriminator_halvings=2)


@pytest.fixture
def method() -> FastSwap:
    torch.manual_seed(0)
    return FastSwap(TINY)


def answered(seed: int = 0) -> SwapBatch:
    """Every pair has its attribute image as the right answer."""
    batch = tiny_batch(seed=seed)
    return dataclasses.replace(batch, truth=batch.attribute.image, has_truth=torch.ones_like(batch.has_truth))


def run_down(method: FastSwap, name: str, batch: SwapBatch, rate: float = 1e-2) -> list[float]:
    """One loss alone while the generator goes down it, the same distortions each time."""
    optimiser = torch.optim.Adam(method.generator.parameters(), rate)
    found = []
    for _ in range(12):
        torch.manual_seed(1)
        loss = method.training_step("generator", batch, tiny_frozen())[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found


def test_contract(method: FastSwap, tmp_path: Path) -> None:
    check_method(method, tmp_path)


def test_paths_that_are_concatenated_keep_the_contract(tmp_path: Path) -> None:
    check_method(FastSwap(dataclasses.replace(TINY, merge="concat")), tmp_path)


def test_a_wider_code_of_the_pose_keeps_the_contract(tmp_path: Path) -> None:
    method = FastSwap(dataclasses.replace(TINY, pose_code=40))
    check_method(method, tmp_path)
    code, quarter, _ = method.generator.pose(torch.zeros(2, 3, 32, 32))
    assert (code.shape, quarter.shape) == ((2, 40), (2, 4, 8, 8))
    assert FastSwap(TINY).generator.pose(torch.zeros(2, 3, 32, 32))[0].shape == (2, 16)


def test_pose_has_one_number_per_place_for_all_channels(method: FastSwap) -> None:
    for block in (method.generator.tan_quarter, method.generator.tan_half):
        assert block.by_pose.make.weight.shape == (2, TINY.width, 1, 1)
        assert block.by_identity.make.weight.shape[0] == 2 * block.convolutions[0].out_channels
    layer = method.generator.tan_quarter.by_pose
    x, pose = torch.randn(2, 16, 8, 8), torch.randn(2, 4, 8, 8)
    held = layer.norm(x)
    scale, shift = layer.make(pose).chunk(2, dim=1)
    assert scale.shape == shift.shape == (2, 1, 8, 8)
    torch.testing.assert_close(layer(x, pose), held * (1 + scale) + shift)


def test_the_reference_alone_brings_colour_and_its_tint_survives() -> None:
    """Normalised channel by channel, an even tint would be gone; all channels together keep it."""
    torch.manual_seed(0)
    layer = Adaptive(6, torch.nn.Conv2d(2, 12, 1))
    for weight in layer.make.parameters():
        torch.nn.init.zeros_(weight)
    x, none = torch.randn(1, 6, 8, 8), torch.zeros(1, 2, 8, 8)
    tinted = x + torch.tensor([2.0, 0, 0, 0, 0, 0])[:, None, None]
    assert (layer(tinted, none) - layer(x, none)).mean((2, 3))[0, 0] > 0.5


def test_tints_are_calmed_by_the_references_pixels() -> None:
    torch.manual_seed(0)
    drawn = FastSwap(dataclasses.replace(TINY, calm=0.0))
    calm = FastSwap(dataclasses.replace(TINY, calm=0.5))
    calm.load_state_dict(drawn.state_dict())
    images = tiny_batch().attribute.image
    reference, code = _shrunk(images), drawn.generator.identity(images)
    (plain, mask), (found, same) = (net.generator(images, reference, code) for net in (drawn, calm))
    torch.testing.assert_close(found, calmed(plain, 2.0))
    assert torch.equal(mask, same)
    assert not torch.allclose(found, plain, atol=1e-3)


def test_identity_maps_are_made_once(method: FastSwap) -> None:
    """Its encoder does not see the frame: a kept code answers as the whole way does."""
    batch = tiny_batch()
    seen: list[Tensor] = []
    method.generator.identity.register_forward_hook(lambda _module, inputs, _out: seen.append(inputs[0]))
    code = method.encode_identity(batch.identity, tiny_frozen())
    first = method.swap(batch.attribute, code).image
    second = method.swap(Aligned(batch.attribute.image.flip(-1)), code).image
    assert len(seen) == 1
    again = method.swap(batch.attribute, method.encode_identity(batch.identity, tiny_frozen())).image
    assert torch.equal(first, again)
    assert not torch.equal(first, second)
    assert [part.shape[1:] for part in code] == [(8, 8, 8), (16, 8, 8), (8, 16, 16)]


def test_outside_its_mask_the_result_is_the_attribute_image(method: FastSwap) -> None:
    batch = tiny_batch()
    code = method.encode_identity(batch.identity, tiny_frozen())
    swap = method.swap(batch.attribute, code)
    made, logits = method.generator(batch.attribute.image, _shrunk(batch.attribute.image), code)
    mask = logits.sigmoid()
    torch.testing.assert_close(swap.mask, mask)
    torch.testing.assert_close(swap.image, mask * made + (1 - mask) * batch.attribute.image)


def test_colours_can_be_taken_from_any_picture(method: FastSwap) -> None:
    batch = tiny_batch()
    code = method.encode_identity(batch.identity, tiny_frozen())
    usual = method.swap(batch.attribute, code).image
    same = method.swap_coloured(batch.attribute.image, batch.attribute.image, code).image
    other = method.swap_coloured(batch.attribute.image, batch.identity.image, code).image
    assert torch.equal(usual, same)
    assert not torch.equal(usual, other)


def test_training_distorts_both_pictures_and_takes_colours_from_the_identity_image(method: FastSwap) -> None:
    batch, seen = answered(), []
    method.generator.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs))
    shown: list[Tensor] = []
    method.generator.identity.register_forward_hook(lambda _module, inputs, _out: shown.append(inputs[0]))
    method._reconstruct(batch)
    attribute, reference, _ = seen[0]
    assert not torch.equal(attribute, batch.attribute.image)
    assert not torch.equal(shown[0], batch.identity.image)
    assert not torch.equal(reference, _shrunk(batch.identity.image))  # it was moved
    means = [images.mean((2, 3)) for images in (reference, batch.identity.image, batch.attribute.image)]
    assert (means[0] - means[1]).abs().mean() < 0.5 * (means[0] - means[2]).abs().mean()
    plain = FastSwap(dataclasses.replace(TINY, distorted=0.0))
    plain.generator.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs))
    plain._reconstruct(strangers(batch))
    assert torch.equal(seen[1][0], batch.attribute.image)
    assert torch.equal(seen[1][1], _shrunk(batch.attribute.image))


def test_a_right_answer_for_two_people_has_the_attribute_images_colours() -> None:
    """Half the batch have another picture as their answer, the others their attribute image."""
    batch, seen = answered(), []
    truth = torch.cat([batch.identity.image[:2], batch.truth[2:]])
    method = FastSwap(dataclasses.replace(TINY, distorted=0.0))
    method.generator.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs))
    method._reconstruct(dataclasses.replace(batch, truth=truth))
    reference = _shrunk(batch.attribute.image)
    assert [torch.equal(a, b) for a, b in zip(seen[0][1], reference, strict=True)] == [True, True, False, False]


def test_strangers_meet_in_each_batch() -> None:
    """The first share of attribute images meets the next pair's person, colours as at work."""
    method, batch, seen = FastSwap(dataclasses.replace(TINY, cross_share=0.5, distorted=0.0)), answered(), []
    method.generator.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs))
    made, _ = method._cross(batch)
    assert len(made) == 2
    assert torch.equal(seen[0][0], batch.attribute.image[:2])
    assert torch.equal(seen[0][1], _shrunk(batch.attribute.image[:2]))
    expected = method.generator.identity(batch.identity.image[1:3])
    torch.testing.assert_close(seen[0][2][0], expected[0])


def test_a_reference_is_moved_but_keeps_its_colours() -> None:
    torch.manual_seed(0)
    images = tiny_batch().identity.image
    moved = _moved(images)
    assert (moved - images).abs().mean() > 0.05
    assert (moved.mean((2, 3)) - images.mean((2, 3))).abs().mean() < 0.1
    even = torch.tensor([0.5, -0.2, 0.1])[:, None, None].expand(2, 3, 32, 32)
    torch.testing.assert_close(_moved(even), even, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    "name",
    [
        "reconstruction",
        "perceptual",
        "mask",
        "identity",
        "expression",
        "cross_identity",
        "cross_background",
        "cross_pose",
        "cross_expression",
    ],
)
def test_each_loss_can_be_learnt(method: FastSwap, name: str) -> None:
    rate = 3e-3 if name == "cross_expression" else 1e-2  # points of strangers differ little at first
    losses = run_down(method, name, answered(), rate)
    assert losses[-1] < 0.92 * losses[0]


def test_only_right_answers_are_reconstructed(method: FastSwap) -> None:
    losses = method.training_step("generator", strangers(tiny_batch()), tiny_frozen())
    for name in ("reconstruction", "perceptual", "pose", "expression", "features"):
        assert losses[name] == 0
    assert losses["cross_identity"] > 0


def test_the_face_counts_twice(method: FastSwap) -> None:
    batch, frozen = answered(), tiny_frozen()
    assert batch.attribute.mask is not None
    logits = torch.zeros(4, 1, 32, 32)
    inside = batch.truth + 0.5 * batch.attribute.mask
    outside = batch.truth + 0.5 * (1 - batch.attribute.mask)
    share = batch.attribute.mask.mean()
    for made, expected in ((inside, 0.5 * share), (outside, 0.25 * (1 - share))):
        found = method._answer_losses(made, logits, batch, frozen)["reconstruction"]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_losses_see_answers_as_they_are_put_back() -> None:
    """Inside the face and a little around it what was drawn, beyond the right answer's background, or the frame's."""
    method, batch = FastSwap(dataclasses.replace(TINY, pasted=True, cross_share=0.5)), answered()
    face = torch.zeros(4, 1, 32, 32)
    face[..., 10:20, 10:20] = 1
    batch = dataclasses.replace(batch, attribute=dataclasses.replace(batch.attribute, mask=face))
    made = torch.rand(4, 3, 32, 32)
    put = method._pasted(made, batch.truth, batch)
    torch.testing.assert_close(put[..., 10:20, 10:20], made[..., 10:20, 10:20])
    assert torch.equal(put[..., :6, :], batch.truth[..., :6, :])
    assert not torch.equal(put[..., 9, 10:20], batch.truth[..., 9, 10:20])
    assert torch.equal(method._pasted(made[:2], batch.truth, batch), put[:2])
    drawn: list[Tensor] = []

    def kept(_module: torch.nn.Module, _inputs: object, out: tuple[Tensor, Tensor]) -> None:
        out[0].retain_grad()
        drawn.append(out[0])

    method.generator.register_forward_hook(kept)
    losses = method.training_step("generator", batch, tiny_frozen())
    sum(loss for name, loss in losses.items() if name != "mask").backward()
    assert len(drawn) == 2  # the pairs, and half of them with the next person
    for gradient in (images.grad for images in drawn):
        assert gradient is not None
        assert gradient[..., 10:20, 10:20].abs().sum() > 0
        assert gradient[..., :6, :].abs().sum() == 0


def test_the_discriminator_sees_answers_as_they_are_put_back() -> None:
    """With no face at all an answer is what was there, and nothing tells it from the real one."""
    pasted, batch = FastSwap(dataclasses.replace(TINY, pasted=True)), answered()
    batch = dataclasses.replace(
        batch,
        attribute=dataclasses.replace(batch.attribute, mask=torch.zeros(4, 1, 32, 32)),
        truth=batch.attribute.image,
    )
    asked: list[Tensor] = []
    pasted.discriminator.register_forward_pre_hook(lambda _module, inputs: asked.append(inputs[0]))
    pasted.training_step("discriminator", batch, tiny_frozen())
    assert torch.equal(*asked)


def test_what_is_right_loses_nothing() -> None:
    """The answer's points, its face as the mask; with the next person the attribute image's points and border."""
    method, batch, frozen = FastSwap(dataclasses.replace(TINY, cross_share=1.0)), answered(), tiny_frozen()
    face = batch.attribute.mask
    assert face is not None
    losses = method._answer_losses(batch.truth, (face - 0.5) * 60, batch, frozen)
    for name in ("reconstruction", "perceptual", "pose", "expression", "mask"):
        assert losses[name] < 1e-6, name
    attribute, logits = batch.attribute.image, torch.zeros(4, 1, 32, 32)
    assert method._answer_losses(batch.identity.image, logits, batch, frozen)["identity"] < 1e-6
    assert method._cross_losses(batch.identity.image.roll(-1, 0), batch, frozen)["cross_identity"] < 1e-6
    losses = method._cross_losses(attribute, batch, frozen)
    assert losses["cross_pose"] == 0
    assert losses["cross_expression"] == 0
    assert losses["cross_background"] == 0
    inside, outside = (method._cross_losses(attribute + where, batch, frozen) for where in (face, 1 - face))
    assert inside["cross_background"] == 0
    assert outside["cross_background"] > 0.1
    assert method._answer_losses(attribute, (0.5 - face) * 60, batch, frozen)["mask"] > 1


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("reconstruction", 0),
        ("perceptual", 0),
        ("identity", 0),
        ("pose", 0),
        ("expression", 0),
        ("mask", 1),
        ("cross_identity", 2),
        ("cross_pose", 2),
        ("cross_expression", 2),
    ],
)
def test_gradients_reach_what_a_loss_judges(name: str, part: int) -> None:
    method, batch, frozen = FastSwap(dataclasses.replace(TINY, cross_share=1.0)), answered(), tiny_frozen()
    judged = [batch.identity.image.clone(), torch.zeros(4, 1, 32, 32), batch.identity.image.clone()]
    for each in judged:
        each.requires_grad_()
    own, logits, swapped = judged
    losses = method._answer_losses(own, logits, batch, frozen) | method._cross_losses(swapped, batch, frozen)
    losses[name].backward()
    assert [each.grad is not None and bool(each.grad.abs().max() > 0) for each in judged] == [
        number == part for number in range(3)
    ]


def test_the_plain_recogniser_is_never_asked(method: FastSwap) -> None:
    frozen = dataclasses.replace(tiny_frozen(), identity=absent("identity"), robust=tiny_frozen().identity)
    losses = method.training_step("generator", answered(), frozen)
    assert losses["identity"] > 0
    assert losses["cross_identity"] > 0


@pytest.mark.parametrize("name", ["adversarial", "features"])
def test_the_discriminators_word_reaches_the_generator(method: FastSwap, name: str) -> None:
    method.training_step("generator", answered(), tiny_frozen())[name].backward()
    pulled = [weight.grad for weight in method.generator.parameters() if weight.grad is not None]
    assert pulled
    assert max(float(gradient.abs().max()) for gradient in pulled) > 0


def test_discriminator_learns_which_side_is_real(method: FastSwap) -> None:
    losses = overfit(method, answered(), "discriminator", 25, 2e-2)
    assert losses[-1] < 0.7 * losses[0]
    batch = answered()
    with torch.no_grad():
        made, _ = method._reconstruct(batch)
        real, fake = (
            sum(float(said.mean()) for said in method.discriminator(images)[0]) for images in (batch.truth, made)
        )
    assert real > fake


def test_wrong_configs_are_told() -> None:
    for size_px in (100, 96, 16):
        with pytest.raises(ValueError, match="size_px"):
            FastSwapConfig(size_px=size_px)
    with pytest.raises(ValueError, match="cross_share"):
        FastSwapConfig(cross_share=0.0)
    for wrong in ({"pose_code": -1}, {"calm": -0.5}, {"calm": 5.0}):
        with pytest.raises(ValueError, match=r"pose_code from 0.*calm in 0\.\.4"):
            FastSwapConfig(**wrong)
    batch = answered()
    with pytest.raises(ValueError, match="mask"):
        FastSwap(TINY).training_step(
            "generator", dataclasses.replace(batch, attribute=Aligned(batch.attribute.image)), tiny_frozen()
        )
