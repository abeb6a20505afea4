"""MobileFaceSwap: the contract, then what this paper says and no other."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from facegraft.core.config import fill, load_config
from facegraft.core.errors import MissingPartError
from facegraft.frozen.nets import FrozenNets
from facegraft.methods._method import find_method
from facegraft.methods.mobilefaceswap import (
    Generator,
    Layer,
    MobileFaceSwap,
    MobileFaceSwapConfig,
    baked,
)
from facegraft.tensors import Aligned, IdentityCode, Swap
from tests.methods.contract import (
    EMBEDDING,
    TinyIdentity,
    check_method,
    overfit,
    strangers,
    tiny_batch,
    tiny_frozen,
    tiny_perceptual,
    tiny_teacher,
)

WEIGHTS = {"distil": 10.0, "perceptual": 1.0, "identity": 1.0, "mask": 1.0, "reconstruction": 10.0, "adversarial": 0.0}
TINY = MobileFaceSwapConfig(
    size_px=32,
    widths=(6, 8, 12),
    tail_width=4,
    mask_widths=(6, 4, 2),
    predictor_width=8,
    embedding=EMBEDDING,
    identity_channels=8,
    discriminator_width=4,
    discriminator_halvings=2,
)
ROOT = Path(__file__).parents[2]


def weighing(**weights: float) -> MobileFaceSwapConfig:
    """The tiny config with other weights of the generator's losses."""
    return dataclasses.replace(TINY, loss_weights={"discriminator": {"hinge": 1.0}, "generator": WEIGHTS | weights})


def only(**weights: float) -> MobileFaceSwapConfig:
    return weighing(**(dict.fromkeys(WEIGHTS, 0.0) | weights))


def made(config: MobileFaceSwapConfig = TINY) -> MobileFaceSwap:
    torch.manual_seed(0)
    return MobileFaceSwap(config)


@pytest.fixture
def method() -> MobileFaceSwap:
    return made()


def code_of(method: MobileFaceSwap, seed: int = 0) -> IdentityCode:
    with torch.no_grad():
        return method.encode_identity(tiny_batch(seed=seed).identity, tiny_frozen())


def other_teacher(shift: float) -> FrozenNets:
    """A teacher who only makes pictures brighter: it shows the attribute image's person."""

    def teach(_identity: Aligned, attribute: Aligned) -> Swap:
        return Swap((attribute.image + shift).clamp(-1, 1), torch.ones_like(attribute.image[:, :1]))

    return dataclasses.replace(tiny_frozen(), teacher=teach)


@pytest.mark.parametrize("adversarial", [0.0, 0.1])
def test_contract(tmp_path: Path, adversarial: float) -> None:
    check_method(made(weighing(adversarial=adversarial)), tmp_path)


def test_contract_as_published(tmp_path: Path) -> None:
    method = made(dataclasses.replace(TINY, batch_norm=True))
    assert any(isinstance(module, nn.BatchNorm2d) for module in method.generator.modules())
    check_method(method, tmp_path)


def test_counts_are_the_papers() -> None:
    """0.495 M run-time weights at 224 pixels, and 158,424 numbers of a person in the sheet's small network."""
    config = fill(MobileFaceSwapConfig, load_config(ROOT / "configs/mobilefaceswap_paper.toml")["model"], "model")

    def predicted(config: MobileFaceSwapConfig) -> int:
        halving = sum(16 * before + before * after for before, after in config.encoder)
        return halving + sum(9 * before + before * after for before, after in config.decoder)

    static = sum(weight.numel() for weight in Generator(config).parameters())
    assert predicted(config) == 20_400 + 391_264
    assert (predicted(config) + static) / 1e6 == pytest.approx(0.495, abs=0.002)
    assert MobileFaceSwapConfig().decoder == [(256, 160), (320, 96), (192, 48), (96, 24)]
    assert predicted(MobileFaceSwapConfig()) == 158_424


def test_a_person_is_the_weights_of_all_layers_in_order(method: MobileFaceSwap) -> None:
    shapes = [tuple(part.shape[1:]) for part in code_of(method)]
    kernels = [(3, 4, 4), (6, 4, 4), (8, 4, 4), (12, 3, 3), (16, 3, 3)]
    matrices = [(6, 3), (8, 6), (12, 8), (8, 12), (6, 16)]
    assert shapes == kernels + matrices


@torch.no_grad()
def test_another_person_changes_all_kernels(method: MobileFaceSwap) -> None:
    for one, other in zip(code_of(method)[:5], code_of(method, seed=1)[:5], strict=True):
        assert float((one - other).abs().mean() / one.abs().mean()) > 0.05


def test_a_person_is_swapped_by_the_predicted_weights_alone(method: MobileFaceSwap) -> None:
    """The same frame with two people's weights differs; with the kernels of one and the matrices of both too."""
    frame, one = tiny_batch().attribute, code_of(method)
    with torch.no_grad():
        for layer in method.predictor.pointwise:
            nn.init.normal_(layer.style.weight, std=0.5)
        other, one = code_of(method, seed=1), code_of(method)
        base = method.swap(frame, one).image
        for mixed in (other[:5] + one[5:], one[:5] + other[5:]):
            assert (method.swap(frame, mixed).image - base).abs().max() > 1e-3


def test_frozen_part_gets_no_gradient_and_the_predictor_does(method: MobileFaceSwap) -> None:
    batch, frozen = tiny_batch(), tiny_frozen()
    for weight in frozen.identity.parameters():
        weight.requires_grad = True
    identity = Aligned(batch.identity.image.clone().requires_grad_())
    code = method.encode_identity(identity, frozen)
    torch.stack([part.square().sum() for part in code]).sum().backward()
    assert identity.image.grad is None
    assert all(weight.grad is None for weight in frozen.identity.parameters())
    assert all(weight.grad is not None for weight in method.predictor.parameters())


def test_layers_have_no_bias(method: MobileFaceSwap) -> None:
    """A grey frame stays nothing up to the tail, so the raw picture does not depend on the person."""
    grey = torch.zeros(4, 3, 32, 32)
    with torch.no_grad():
        one, other = (method._answer(grey, code_of(method, seed=seed)).raw for seed in (0, 1))
    torch.testing.assert_close(one, other)


def test_encoder_maps_stand_beside_all_layers_of_the_decoder_but_the_last(method: MobileFaceSwap) -> None:
    """Each map of the encoder is told by a number; what the decoder's layers are given says which came where."""
    seen: list[list[float]] = []

    def halve(value: float, width: int) -> Layer:
        return lambda x: torch.full((1, width, x.shape[2] // 2, x.shape[3] // 2), value)

    def keep(width: int) -> Layer:
        def layer(x: Tensor) -> Tensor:
            seen.append(sorted(set(x.flatten().tolist())))
            return torch.zeros(1, width, *x.shape[2:])

        return layer

    layers = [halve(1.0, 6), halve(2.0, 8), halve(3.0, 12), keep(8), keep(6)]
    with torch.no_grad():
        method.generator(torch.zeros(1, 3, 32, 32), layers)
    assert seen == [[3.0], [0.0, 2.0]]


def test_the_mask_does_not_teach_the_encoder(method: MobileFaceSwap) -> None:
    code = tuple(part.requires_grad_() for part in code_of(method))
    method._answer(tiny_batch().attribute.image, code).mask.sum().backward()
    assert all(part.grad is None for part in code)
    assert all(weight.grad is not None for weight in method.generator.mask.parameters())


def test_the_mask_chooses_between_raw_and_attribute(method: MobileFaceSwap) -> None:
    images = tiny_batch().attribute.image
    for bias, expected in ((40.0, "raw"), (-40.0, "attribute")):
        with torch.no_grad():
            method.generator.mask[-1].bias.fill_(bias)
            answer = method._answer(images, code_of(method))
        torch.testing.assert_close(answer.image, answer.raw if expected == "raw" else images)
        assert float(answer.swap().mask.mean()) == pytest.approx(float(expected == "raw"), abs=1e-6)


def test_a_composite_is_taken_whole(method: MobileFaceSwap) -> None:
    """Half a mask is a picture that is half swapped already; it must not be halved again in the frame."""
    with torch.no_grad():
        for weight in method.generator.mask.parameters():
            weight.zero_()
        answer = method._answer(tiny_batch().attribute.image, code_of(method))
    assert torch.equal(answer.mask, torch.full_like(answer.mask, 0.5))
    assert torch.equal(answer.swap().mask, torch.ones_like(answer.mask))


@pytest.mark.parametrize("batch_norm", [False, True])
def test_baked_is_dynamic(batch_norm: bool) -> None:
    method, batch = made(dataclasses.replace(TINY, batch_norm=batch_norm)), tiny_batch()
    method.training_step("generator", batch, tiny_frozen())  # fills what batch normalisations count
    code = code_of(method.eval())
    with torch.no_grad():
        for person in (0, 2):
            same = tuple(part[person : person + 1].expand(4, *part.shape[1:]) for part in code)
            expected = method.swap(batch.attribute, same)
            found = baked(method, code, person)(batch.attribute.image)
            assert (found.image - expected.image).abs().max() < 1e-4
            assert (found.mask - expected.mask).abs().max() < 1e-4


def test_baked_is_constant_and_its_own(method: MobileFaceSwap) -> None:
    net = baked(method, code_of(method))
    assert not any(weight.requires_grad for weight in net.parameters())
    before = net(tiny_batch().attribute.image).image
    with torch.no_grad():
        for weight in method.parameters():
            weight.zero_()
    assert torch.equal(net(tiny_batch().attribute.image).image, before)
    assert {type(layer) for pair in net.layers for layer in pair} == {nn.Conv2d}


class Graph(nn.Module):
    """The swap graph: a frame and a person's weights in, picture and mask out."""

    def __init__(self, method: MobileFaceSwap) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Tensor, *code: Tensor) -> Swap:
        return self.method.swap(Aligned(image), code)


@pytest.mark.slow
def test_the_graph_takes_weights_as_inputs_in_batches_of_any_size(method: MobileFaceSwap, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="export needs the extra `train`")
    from facegraft.export.compare import largest_differences
    from facegraft.export.to_onnx import Ports, export_onnx

    samples = [(tiny_batch().attribute.image[:n], *(part[:n] for part in code_of(method))) for n in (1, 3)]
    names = ("image", *(f"code_{number}" for number in range(10)))
    ports = Ports(names, ("swapped", "mask"), {name: {0: "b"} for name in names})
    export_onnx(Graph(method), samples[0], tmp_path / "swap.onnx", ports=ports)
    found = largest_differences(Graph(method), tmp_path / "swap.onnx", samples, ports)
    assert max(found.values()) < 1e-3


def test_a_better_answer_counts_more() -> None:
    """Alpha: a teacher who leaves the attribute's person in place is trusted by its squared likeness alone."""
    frozen, batch = other_teacher(0.1), strangers(tiny_batch())
    answer = (batch.attribute.image + 0.1).clamp(-1, 1)
    cosine = (frozen.identity(answer) * frozen.identity(batch.identity.image)).sum(1).clamp(0, 1)
    losses, seen = {}, {}
    for reweighted in (True, False):
        method = made(dataclasses.replace(only(distil=1.0, perceptual=1.0), reweighted=reweighted))
        with torch.no_grad():
            step = method.training_step("generator", batch, frozen)
            losses[reweighted], seen[reweighted] = step["distil"], step["perceptual"]
            ours = method._answer(batch.attribute.image, method.encode_identity(batch.identity, frozen))
    apart = (ours.image - answer).abs().mean((1, 2, 3))
    apart = apart + ((ours.raw - answer).abs() * batch.attribute.mask).mean((1, 2, 3))
    torch.testing.assert_close(losses[False], apart.mean())
    torch.testing.assert_close(losses[True], (cosine.square() * apart).mean())
    assert losses[True] < 0.9 * losses[False]
    maps = zip(tiny_perceptual(ours.image), tiny_perceptual(answer), strict=True)
    unlike = torch.stack([(one - other).abs().mean((1, 2, 3)) for one, other in maps]).sum(0)
    torch.testing.assert_close(seen[False], unlike.mean())
    torch.testing.assert_close(seen[True], (cosine.square() * unlike).mean())


def test_a_teacher_counts_where_its_mask_says_so() -> None:
    """Outside of it, what the teacher painted is not its answer: that is the attribute image."""

    def teach(_identity: Aligned, attribute: Aligned) -> Swap:
        return Swap(torch.ones_like(attribute.image), torch.zeros_like(attribute.image[:, :1]))

    batch, method = strangers(tiny_batch()), made(dataclasses.replace(only(distil=1.0), reweighted=False))
    with torch.no_grad():
        method.generator.mask[-1].bias.fill_(-40.0)
        batch = dataclasses.replace(
            batch, attribute=dataclasses.replace(batch.attribute, mask=torch.zeros_like(batch.attribute.mask))
        )
        frozen = dataclasses.replace(tiny_frozen(), teacher=teach)
        found = method.training_step("generator", batch, frozen)["distil"]
    assert float(found) == pytest.approx(0, abs=1e-6)


def test_pairs_with_a_right_answer_learn_from_that_and_the_others_from_the_teacher(method: MobileFaceSwap) -> None:
    batch, frozen = tiny_batch(), tiny_frozen()
    everyone = dataclasses.replace(batch, has_truth=torch.ones_like(batch.has_truth))
    assert method.training_step("generator", everyone, frozen)["distil"] == 0
    assert method.training_step("generator", everyone, frozen)["perceptual"] == 0
    assert method.training_step("generator", everyone, frozen)["reconstruction"] > 0
    assert method.training_step("generator", strangers(batch), frozen)["distil"] > 0
    assert method.training_step("generator", strangers(batch), frozen)["perceptual"] > 0
    assert method.training_step("generator", strangers(batch), frozen)["reconstruction"] == 0


def test_without_weights_for_its_answers_no_teacher_is_asked() -> None:
    frozen = FrozenNets(identity=TinyIdentity())
    losses = made(weighing(distil=0.0, perceptual=0.0)).training_step("generator", tiny_batch(), frozen)
    assert losses["distil"] == losses["perceptual"] == losses["adversarial"] == 0
    assert losses["reconstruction"] > 0
    with pytest.raises(MissingPartError, match="teacher"):
        made().training_step("generator", tiny_batch(), frozen)


@torch.no_grad()
def test_likeness_is_to_the_person_of_the_identity_picture(method: MobileFaceSwap) -> None:
    batch, frozen = tiny_batch(), tiny_frozen()
    found = method.training_step("generator", batch, frozen)["identity"]
    image = method._answer(batch.attribute.image, method.encode_identity(batch.identity, frozen)).image
    cosine = (frozen.identity(image) * frozen.identity(batch.identity.image)).sum(1).mean()
    torch.testing.assert_close(found, 1 - cosine)


@pytest.mark.parametrize(
    ("config", "least", "steps"),
    [
        (only(distil=1.0), 0.7, 40),
        (only(perceptual=1.0), 0.8, 40),
        (only(identity=1.0), 0.9, 40),
        (only(mask=1.0), 0.1, 120),  # where the face lies is told by the rim of the picture alone
        (only(reconstruction=1.0), 0.7, 40),
    ],
    ids=["distil", "perceptual", "identity", "mask", "reconstruction"],
)
def test_each_loss_alone_is_learnt(config: MobileFaceSwapConfig, least: float, steps: int) -> None:
    found = overfit(made(config), tiny_batch(), "generator", steps, lr=1e-2)
    assert found[-1] < least * found[0]


def test_learning_from_the_teacher_brings_the_raw_face_to_its_answer() -> None:
    method, batch, frozen = made(only(distil=1.0)), strangers(tiny_batch()), tiny_frozen()
    answer, face = tiny_teacher(batch.identity, batch.attribute).image, batch.attribute.mask

    @torch.no_grad()
    def apart() -> float:
        raw = method._answer(batch.attribute.image, method.encode_identity(batch.identity, frozen)).raw
        return float(((raw - answer).abs() * face).mean())

    before = apart()
    overfit(method, batch, "generator", 60, lr=1e-2)
    assert apart() < 0.7 * before


def test_discriminator_learns_which_side_is_real_and_the_opponent_deceives_it() -> None:
    method, batch = made(only(adversarial=1.0)), tiny_batch()
    losses = overfit(method, batch, "discriminator", 40)
    assert losses[-1] < 0.8 * losses[0]
    deceived = overfit(method, batch, "generator", 30, lr=1e-2)
    assert deceived[-1] < deceived[0] - 0.1


@pytest.mark.parametrize("name", ["", "_paper", "_small"])
def test_configs_fill(name: str) -> None:
    tables = load_config(ROOT / f"configs/mobilefaceswap{name}.toml")
    config = fill(find_method("mobilefaceswap").config, tables["model"], "model")
    assert set(config.loss_weights["generator"]) == set(WEIGHTS)
    assert (config.loss_weights["generator"]["adversarial"] > 0) == ("discriminator" in tables["optimiser"])
    assert tables["data"]["teacher"]


def test_training_needs_a_recogniser(method: MobileFaceSwap) -> None:
    with pytest.raises(MissingPartError, match="identity"):
        method.encode_identity(Aligned(torch.zeros(1, 3, 32, 32)), FrozenNets())


def test_odd_sizes_are_told() -> None:
    with pytest.raises(ValueError, match="multiple of 32, found 100"):
        MobileFaceSwapConfig(size_px=100)
    with pytest.raises(ValueError, match="mask_widths: expected 5"):
        MobileFaceSwapConfig(mask_widths=(8, 4))
    with pytest.raises(ValueError, match="margin"):
        MobileFaceSwapConfig(margin=0.5)
