"""MobileFSGAN: the contract, then what this paper says and no other, and the released code's defects."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facegraft.methods.mobilefsgan import SIZES, MobileFSGAN, MobileFSGANConfig
from facegraft.tensors import SwapBatch, concatenate
from tests.methods.contract import (
    EMBEDDING,
    check_method,
    overfit,
    strangers,
    tiny_batch,
    tiny_frozen,
    tiny_perceptual,
    told_apart,
)

TINY = MobileFSGANConfig(
    size_px=32,
    width=6,
    widest=0,
    halvings=3,
    blocks=(1, 1, 1),
    embedding=EMBEDDING,
    discriminator_width=4,
    discriminator_halvings=(3, 2, 1),
)


@pytest.fixture
def method() -> MobileFSGAN:
    torch.manual_seed(0)
    return MobileFSGAN(TINY)


def known(batch: SwapBatch) -> SwapBatch:
    """Every pair has a right answer, the identity image."""
    return dataclasses.replace(batch, truth=batch.identity.image, has_truth=torch.ones_like(batch.has_truth))


def run_down(method: MobileFSGAN, name: str, batch: SwapBatch, steps: int = 60) -> list[float]:
    """One loss alone while the generator goes down it."""
    optimiser = torch.optim.Adam(method.generator.parameters(), 5e-3)
    found = []
    for _ in range(steps):
        loss = method.training_step("generator", batch, tiny_frozen())[name]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found


def test_contract(method: MobileFSGAN, tmp_path: Path) -> None:
    check_method(method, tmp_path)


def test_a_folded_generator_is_one_persons(method: MobileFSGAN) -> None:
    """Its identity blocks are plain convolutions: whatever style they are given, they answer as with their own."""
    overfit(method, tiny_batch(), "generator", 3)  # statistics that are not those that it starts with
    method.eval()
    batch = tiny_batch()
    with torch.no_grad():
        code = method.encode_identity(batch.identity, tiny_frozen())
        mine = (code[0][1:2],)
        folded = method.fold(mine)
        expected = method.generator(batch.attribute.image, mine[0].expand(4, -1, -1))
        found = folded(batch.attribute.image, torch.full_like(code[0], 100.0))
        other = method.generator(batch.attribute.image, code[0][:1].expand(4, -1, -1))
    for size in range(3):
        assert (expected[size] - found[size]).abs().max() < 1e-4
    assert (expected[0] - other[0]).abs().max() > 1e-3
    assert all(isinstance(block.fixed, nn.Conv2d) for block in folded.identity.blocks)
    with pytest.raises(ValueError, match="one person"):
        method.fold(code)


def test_the_identity_enters_through_the_identity_encoder_alone(method: MobileFSGAN) -> None:
    batch = tiny_batch()
    codes = [torch.randn(4, 2, sum(TINY.identity_widths)) for _ in range(2)]
    with torch.no_grad():
        first, second = (method.generator(batch.attribute.image, code)[0] for code in codes)
        assert (first - second).abs().max() > 1e-3
        for block in method.generator.identity.blocks:
            block.styled.forward = lambda x, _style: x
        first, second = (method.generator(batch.attribute.image, code)[0] for code in codes)
    assert torch.equal(first, second)


def test_every_identity_block_has_its_own_style(method: MobileFSGAN) -> None:
    """Each number of the code moves the result: none is left out."""
    method.eval()
    batch = tiny_batch()
    code = torch.randn(4, 2, sum(TINY.identity_widths), requires_grad=True)
    method.generator(batch.attribute.image, code)[0].square().sum().backward()
    assert code.grad is not None
    assert (code.grad.abs().amax(0) > 0).all()
    assert TINY.identity_widths == [6] * 5
    assert MobileFSGANConfig(widest=0).identity_widths == [24] * 9


def test_channels_double_where_the_config_says_so(tmp_path: Path) -> None:
    config = dataclasses.replace(TINY, widest=20)
    assert config.widths == [6, 12, 20, 20]
    assert config.identity_widths == [6, 12, 20, 20, 20]
    torch.manual_seed(0)
    method = MobileFSGAN(config)
    assert [block.spread.in_channels for block in method.generator.identity.blocks] == config.identity_widths
    check_method(method, tmp_path)


def test_attention_mixes_two_maps_place_by_place(method: MobileFSGAN) -> None:
    """1 keeps the input, 0 takes the attribute map; linear attention may go beyond both."""
    block = method.generator.mixes[0][0]
    x, attribute = torch.full((2, 6, 4, 4), 2.0), torch.full((2, 6, 4, 4), 5.0)
    seen: list[Tensor] = []
    block.residual.forward = lambda _x, beside: seen.append(beside) or beside
    with torch.no_grad():
        block.choose.weight.zero_()
        for bias, expected in ((1.0, 2.0), (0.0, 5.0), (2.0, -1.0)):
            block.choose.bias.fill_(bias)
            assert torch.equal(block(x, attribute), torch.full_like(x, expected))
        block.attention = "sigmoid"
        block.choose.bias.fill_(50.0)
        assert torch.equal(block(x, attribute), x)


def test_deepest_attributes_come_first(method: MobileFSGAN) -> None:
    """The decoder takes an encoder's maps in reverse, so its last block sees the picture as it came in."""
    generator, mixed = method.generator, []
    for level in generator.mixes:
        for block in level:
            block.register_forward_pre_hook(lambda _module, inputs: mixed.append(inputs[1]))
    batch = tiny_batch()
    head = torch.nn.functional.leaky_relu(generator.head(batch.attribute.image))
    kept = generator.attributes(head)
    assert [[len(maps), maps[0].shape[-1]] for maps in kept] == [[2, 32], [2, 16], [2, 8]]
    assert torch.equal(kept[0][0], head)
    results = generator(batch.attribute.image, torch.zeros(4, 2, 30))
    assert [result.shape[-1] for result in results] == [32, 16, 8]
    wanted = [attribute for size in (2, 1, 0) for attribute in reversed(kept[size])]
    assert len(mixed) == len(wanted)
    for found, attribute in zip(mixed, wanted, strict=True):
        torch.testing.assert_close(found, attribute)


def test_identity_loss_pulls_each_size_towards_the_person(method: MobileFSGAN) -> None:
    for size in SIZES:
        losses = run_down(method, f"identity{size}", tiny_batch(), 40)
        assert losses[-1] < 0.8 * losses[0], size


def test_a_size_that_weighs_nothing_is_not_looked_at() -> None:
    weights = MobileFSGANConfig().loss_weights
    weights["generator"]["identity_quarter"] = 0.0
    quick, looked = MobileFSGAN(dataclasses.replace(TINY, loss_weights=weights)), []
    frozen = tiny_frozen()
    seen = dataclasses.replace(frozen, identity=lambda image: looked.append(image.shape[-1]) or frozen.identity(image))
    losses = quick.training_step("generator", tiny_batch(), seen)
    assert looked == [32, 32, 32, 16]  # the identity image for styles and as the label, then two results
    assert losses["identity_quarter"] == 0
    assert losses["identity_half"] > 0


def test_what_misses_by_less_than_the_margin_is_right() -> None:
    generous = MobileFSGAN(dataclasses.replace(TINY, identity_margin=2.0))
    losses = generous.training_step("generator", tiny_batch(), tiny_frozen())
    assert [float(losses[f"identity{size}"].detach()) for size in SIZES] == [0, 0, 0]


def test_triplets_are_learnt_by_heart(method: MobileFSGAN) -> None:
    losses = run_down(method, "reconstruction", known(tiny_batch()), 80)
    assert losses[-1] < 0.25 * losses[0]


@pytest.mark.parametrize("name", ["perceptual", "border", "adversarial", "adversarial_half", "adversarial_quarter"])
def test_every_loss_reaches_the_generator(method: MobileFSGAN, name: str) -> None:
    loss = method.training_step("generator", strangers(tiny_batch()), tiny_frozen())[name]
    loss.backward()
    pulled = [weight.grad for weight in method.generator.identity.parameters() if weight.grad is not None]
    assert pulled
    assert max(float(gradient.abs().max()) for gradient in pulled) > 0


def test_pairs_without_a_right_answer_count_at_the_border_only(method: MobileFSGAN) -> None:
    losses = method.training_step("generator", strangers(tiny_batch()), tiny_frozen())
    assert losses["reconstruction"] == 0
    assert losses["border"] > 0
    losses = method.training_step("generator", known(tiny_batch()), tiny_frozen())
    assert losses["reconstruction"] > 0
    assert losses["border"] == 0


def test_the_border_is_top_and_sides(method: MobileFSGAN) -> None:
    batch = strangers(tiny_batch())
    wrong = batch.attribute.image.clone()
    wrong[:, :, 9:, 2:30] += 1
    assert method._border_loss(wrong, batch) == 0
    for places in ((slice(8, 9), 15), (31, slice(0, 2)), (31, slice(30, 32))):
        wrong = batch.attribute.image.clone()
        wrong[:, :, places[0], places[1]] += 1
        assert method._border_loss(wrong, batch) > 0


@pytest.mark.parametrize("faithful", [False, True])
def test_the_border_of_strangers_does_not_darken(faithful: bool) -> None:
    """The released code's always-counting border draws it to black; so does ours where it is told to."""
    torch.manual_seed(0)
    method = MobileFSGAN(dataclasses.replace(TINY, faithful=faithful))
    batch = strangers(tiny_batch())
    run_down(method, "border", batch, 80)
    with torch.no_grad():
        results = method.generator(batch.attribute.image, method.encode_identity(batch.identity, tiny_frozen())[0])
    drift = (results[0] - batch.attribute.image)[:, :, :8].mean()
    assert drift < -0.5 if faithful else abs(drift) < 0.05


@pytest.mark.parametrize("faithful", [False, True])
def test_perception_asks_for_the_right_answer_where_there_is_one(faithful: bool) -> None:
    method, batch = MobileFSGAN(dataclasses.replace(TINY, faithful=faithful)), known(tiny_batch())
    at_truth = method._perceptual_loss(batch.truth, batch, tiny_frozen())
    at_attribute = method._perceptual_loss(batch.attribute.image, batch, tiny_frozen())
    assert bool(at_truth == 0) is not faithful
    assert bool(at_attribute == 0) is faithful


def test_adversarial_losses_are_means_over_the_batch(method: MobileFSGAN) -> None:
    """The released code sums: twice the batch would weigh twice as much."""
    method.eval()
    batch = tiny_batch()
    one = method.training_step("generator", batch, tiny_frozen())
    both = method.training_step("generator", concatenate([batch, batch]), tiny_frozen())
    for size in SIZES:
        torch.testing.assert_close(one[f"adversarial{size}"], both[f"adversarial{size}"])


def test_discriminators_never_take_an_edited_picture_for_real(method: MobileFSGAN) -> None:
    batch = tiny_batch()
    real = method._unedited(batch)
    assert torch.equal(real[0], batch.truth[0])
    assert torch.equal(real[1], batch.attribute.image[1])


@pytest.mark.parametrize("faithful", [False, True])
@torch.no_grad()
def test_losses_are_those_of_the_paper(faithful: bool) -> None:
    """Each by its formula, of three pictures that differ: real is what no edit has touched."""
    torch.manual_seed(0)
    config = dataclasses.replace(TINY, faithful=faithful)
    method, batch, frozen = MobileFSGAN(config).eval(), told_apart(), tiny_frozen()  # statistics and estimates rest
    image, known = batch.attribute.image, batch.has_truth
    results = method.generator(image, method.generator.styles(frozen.identity(batch.identity.image)))
    unedited = torch.where(known[:, None, None, None], batch.truth, image)
    real = [unedited, F.avg_pool2d(unedited, 2), F.avg_pool2d(unedited, 4)]
    yes, no = (
        [judge(each)[0] for judge, each in zip(method.discriminators, side, strict=True)] for side in (real, results)
    )
    hinges = [F.relu(1 - one).mean() + F.relu(1 + other).mean() for one, other in zip(yes, no, strict=True)]
    found = method.training_step("discriminator", batch, frozen)
    torch.testing.assert_close(found, {f"hinge{size}": loss for size, loss in zip(SIZES, hinges, strict=True)})

    person, border = frozen.identity(batch.identity.image), torch.ones(1, 1, 32, 32)
    border[..., 9:, 2:30] = 0  # 0.27 and 0.07 of 32
    drawn_to = torch.full_like(image, -1.0) if faithful else image
    perceived = zip(tiny_perceptual(results[0]), tiny_perceptual(image if faithful else unedited), strict=True)
    expected = {
        "reconstruction": (results[0] - batch.truth)[known].square().mean(),
        "border": ((results[0] - drawn_to).square() * border)[~known].mean(),
        "perceptual": torch.stack(
            [
                weight * (one - other).abs().mean()
                for weight, (one, other) in zip((0.6, 0.8, 1, 1.2), perceived, strict=True)
            ]
        ).sum(),
    }
    for size, result, answer in zip(SIZES, results, no, strict=True):
        expected[f"adversarial{size}"] = F.relu(1 - answer).mean()
        expected[f"identity{size}"] = F.relu(1 - (frozen.identity(result) * person).sum(1) - 0.02).mean()
    torch.testing.assert_close(method.training_step("generator", batch, frozen), expected)


def test_discriminators_learn_which_side_is_real(method: MobileFSGAN) -> None:
    losses = overfit(method, tiny_batch(), "discriminator", 60, 1e-2)
    assert losses[-1] < 0.6 * losses[0]
    batch = tiny_batch()
    with torch.no_grad():
        fake = method.swap(batch.attribute, method.encode_identity(batch.identity, tiny_frozen())).image
        judge = method.discriminators[0]
        assert judge(method._unedited(batch))[0].mean() > judge(fake)[0].mean()


def test_wrong_configs_are_told() -> None:
    with pytest.raises(ValueError, match=r"multiple of 2\*\*halvings"):
        MobileFSGANConfig(size_px=100)
    with pytest.raises(ValueError, match="border"):
        MobileFSGANConfig(border=(0.5, 0.1))
    with pytest.raises(ValueError, match="1 or more"):
        MobileFSGANConfig(blocks=(0, 1, 1))


def test_people_have_styles_of_their_own_from_the_first_step_on() -> None:
    """A unit vector's numbers as they come would differ by .03."""
    torch.manual_seed(0)
    method = MobileFSGAN(dataclasses.replace(TINY, embedding=512))
    people = F.normalize(torch.randn(16, 512, generator=torch.Generator().manual_seed(1)))
    assert 0.3 < float(method.generator.styles(people).detach().std(dim=0).mean()) < 1.5
