"""MobileFaceSwap: a lightweight framework for video face swapping (Xu et al., AAAI 2022).

https://arxiv.org/abs/2201.03808. Paper's names: source = identity, target = attribute; IIN = `Predictor`, IDN = the
layers and the tail of `Generator`, WSF = its mask.

A person is compiled: from the recogniser's last map and embedding a predictor makes the weights of a small U-Net
(depthwise kernels are predicted, pointwise weights modulated), once. The U-Net then swaps frames and never sees the
person. It learns from the answers of a larger, trained method; an answer counts the more, the better it shows the
person.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import hinge_discriminator, hinge_generator
from facegraft.losses.distil import feature_distance, pixel_distance, teacher_trust
from facegraft.losses.identity import cosine_identity_loss
from facegraft.losses.image import l1_where, mean_where
from facegraft.methods._method import Method, MethodCard
from facegraft.nn.conv import Up
from facegraft.nn.discriminators import MultiScaleDiscriminator, check_places
from facegraft.nn.predicted import (
    SLOPE,
    KernelChain,
    Modulated,
    averaging_kernel,
    centre_tap,
    constant_layer,
    conv_norm_act,
    depthwise,
    pointwise,
)
from facegraft.tensors import Aligned, Embedding, IdentityCode, Images, Mask, Scalar, Swap, SwapBatch

TAKEN = 0.05
"""From this much of the mask on, all of the swapped picture goes into the frame: it is a composite already, and the
mask must not be applied twice. (The released code takes whatever exceeds .001, and smooths that.)"""

LEAST = 0.5
"""Of the mask inside the visible face; ours. A raw picture that has learnt nothing yet is worse than none, so the mask
closed within a hundred steps, and a sigmoid that has closed does not open again."""


@dataclass(frozen=True)
class MobileFaceSwapConfig:
    """`[model]`. The paper: size_px 224, widths 32 to 512, mask_widths 128 to 2, predictor_width 512, batch_norm."""

    size_px: int = 128
    widths: tuple[int, ...] = (24, 48, 96, 160, 256)
    """Channels after each of the encoder's layers, each of which halves the size; the decoder mirrors them."""
    tail_width: int = 6
    """Channels at the full size, before the last two convolutions."""
    mask_widths: tuple[int, ...] = (64, 32, 16, 8, 2)
    """Channels of the mask's layers, each of which doubles the size."""
    predictor_width: int = 128
    """Channels of the map that all kernels come from."""
    embedding: int = 512
    identity_channels: int = 512
    """Of the recogniser's last map, 7 x 7 places."""
    batch_norm: bool = False
    """Normalise batches, as the paper does. Ours: the predictor normalises groups of channels; the tail and the mask
    nothing, because a normalisation of single pictures would not fold into the weights as that of batches does."""
    margin: float = 0.05
    """By how much of the side the visible face is widened before the rest counts as background."""
    reweighted: bool = True
    """Trust the teacher by alpha = cos^2 Q, Q = 1 where no network for it is given; else all answers count alike."""
    discriminator_width: int = 24
    discriminator_halvings: int = 3
    scales: int = 2
    """Discriminators, each at half the size of the one before."""
    loss_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "discriminator": {"hinge": 1.0},
            "generator": {
                "distil": 10.0,
                "perceptual": 1.0,
                "identity": 1.0,
                "mask": 1.0,
                "reconstruction": 10.0,
                "adversarial": 0.0,
            },
        }
    )
    """Losses of weight 0 are not computed. With distil = perceptual = 0 no teacher is asked; adversarial is for runs
    that have an optimiser for the discriminator."""

    def __post_init__(self) -> None:
        sides = 2 ** len(self.widths)
        if len(self.widths) < 2 or self.size_px % sides or self.size_px < sides:
            raise ValueError(f"size_px: expected two widths or more and a multiple of {sides}, found {self.size_px}")
        if len(self.mask_widths) != len(self.widths):
            raise ValueError(f"mask_widths: expected {len(self.widths)} as in widths, found {len(self.mask_widths)}")
        if not 0 <= self.margin < 0.5:
            raise ValueError(f"margin: expected a share of the side below a half, found {self.margin}")
        check_places(self.size_px, self.scales, self.discriminator_halvings)

    @property
    def encoder(self) -> list[tuple[int, int]]:
        """Channels in and out of each layer that halves the size."""
        return list(zip((3, *self.widths[:-1]), self.widths, strict=True))

    @property
    def decoder(self) -> list[tuple[int, int]]:
        """Channels in and out of each layer that follows a doubling; all but the first get the encoder's beside."""
        outs = self.widths[-2::-1]
        return list(zip((self.widths[-1], *(2 * width for width in outs[:-1])), outs, strict=True))


Layer = Callable[[Tensor], Tensor]
"""A depthwise and a pointwise convolution."""


@dataclass(frozen=True)
class Answer:
    """What the small network makes of a picture.

    Attributes:
        raw: The swapped face; anything beyond the mask.
        mask: How much of it is wanted, 0..1.
        image: `raw` where the mask says so, the attribute image elsewhere.
    """

    raw: Images
    mask: Mask
    image: Images

    def swap(self) -> Swap:
        return Swap(image=self.image, mask=(self.mask / TAKEN).clamp(max=1))


class Predictor(nn.Module):
    """The identity injection network: makes all weights of the layers, for each person."""

    def __init__(self, config: MobileFaceSwapConfig) -> None:
        super().__init__()
        width, batch_norm = config.predictor_width, config.batch_norm
        self.shrink = conv_norm_act(config.identity_channels, width, 4, batch_norm=batch_norm)
        self.shrink_more = conv_norm_act(width, width, 2, batch_norm=batch_norm)
        halving, doubling = ([n for n, _ in pairs] for pairs in (config.encoder, config.decoder))
        self.encoder = KernelChain(width, halving[::-1], averaging_kernel(), batch_norm=batch_norm)
        self.decoder = KernelChain(width, doubling, centre_tap(), batch_norm=batch_norm)
        pairs = config.encoder + config.decoder
        self.pointwise = nn.ModuleList(Modulated(before, after, config.embedding) for before, after in pairs)

    def forward(self, embedding: Embedding, features: Float[Tensor, "b _c 7 7"]) -> IdentityCode:
        """Depthwise kernels of all layers in the order of their use, then their pointwise weights."""
        held = self.shrink(features)
        kernels = self.encoder(held)[::-1] + self.decoder(self.shrink_more(held))
        return (*kernels, *(layer(embedding) for layer in self.pointwise))


class Generator(nn.Module):
    """The small network, all but its layers: the tail that gives colours, and the mask (WSF). Same for all people."""

    def __init__(self, config: MobileFaceSwapConfig) -> None:
        super().__init__()
        self.halvings = len(config.widths)
        self.tail = _tail(config)
        self.mask = _mask(config)

    def forward(self, images: Images, layers: Sequence[Layer]) -> Answer:
        held, kept = images, []
        for layer in layers[: self.halvings]:
            held = F.leaky_relu(layer(held), SLOPE)
            kept.append(held)
        mask = torch.sigmoid(self.mask(held.detach()))  # its errors shall not teach the encoder
        up = Up("bilinear")
        for number, layer in enumerate(layers[self.halvings :]):
            held = F.leaky_relu(layer(up(held)), SLOPE)
            beside = self.halvings - 2 - number
            if beside > 0:  # not at half the size
                held = torch.cat([held, kept[beside]], 1)
        raw = torch.tanh(self.tail(held))
        return Answer(raw=raw, mask=mask, image=images + mask * (raw - images))


class MobileFaceSwap(Method):
    card: ClassVar = MethodCard(
        title="MobileFaceSwap: A Lightweight Framework for Video Face Swapping (Xu et al., AAAI 2022)",
        paper="arXiv:2201.03808",
        summary="A person becomes the weights of a tiny network, which learns from a large one's answers.",
        resolution=224,
        alignment="arcface_112_v1",
        phases={"discriminator": ("discriminator",), "generator": ("predictor", "generator")},
        needs=frozenset({"identity", "perceptual", "teacher"}),
        requires=frozenset({"mask"}),
        released="Seanseattle/MobileFaceSwap, Apache-2.0, inference only",
    )

    def __init__(self, config: MobileFaceSwapConfig) -> None:
        super().__init__()
        self.config: MobileFaceSwapConfig = config
        self.predictor = Predictor(config)
        self.generator = Generator(config)
        self.discriminator = MultiScaleDiscriminator(
            config.scales, config.discriminator_width, config.discriminator_halvings
        )

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        if phase == "discriminator":
            with torch.no_grad():
                code = self.encode_identity(batch.identity, frozen)
                made = self._answer(batch.attribute.image, code)
            real, _ = self.discriminator(batch.attribute.image)
            fake, _ = self.discriminator(made.image)
            return {"hinge": hinge_discriminator(real, fake)}

        embedding, features = _look(batch.identity, frozen)
        made = self._answer(batch.attribute.image, self.predictor(embedding, features))
        absent = made.image.new_zeros((), dtype=torch.float32)
        losses = dict.fromkeys(self.config.loss_weights["generator"], absent) | {
            "identity": cosine_identity_loss(frozen.likeness(made.image), frozen.likeness(batch.identity.image)),
            "mask": weak_mask_loss(made.mask, batch.attribute, self.config.margin),
            "reconstruction": l1_where(made.image, batch.truth, where=batch.has_truth),
        }
        if self._wanted("distil", "perceptual"):
            losses |= self._distillation(made, batch, embedding, frozen)
        if self._wanted("adversarial"):
            losses["adversarial"] = hinge_generator(self.discriminator(made.image)[0])
        return losses

    def _wanted(self, *names: str) -> bool:
        return any(self.config.loss_weights["generator"][name] > 0 for name in names)

    def _distillation(
        self, made: Answer, batch: SwapBatch, embedding: Embedding, frozen: FrozenNets
    ) -> dict[str, Scalar]:
        """By alpha: L1 and perceptual against the teacher; pairs with a right answer learn from that instead.

        The face counts in the raw picture too, which learns from all of it, however much of it the mask takes.
        """
        strangers = ~batch.has_truth
        with torch.no_grad():
            told = cast(Swap, frozen.teacher(batch.identity, batch.attribute))
            answer = batch.attribute.image + told.mask * (told.image - batch.attribute.image)
            quality = frozen.quality(answer) if frozen.quality is not None else None
            trust = teacher_trust(frozen.identity(answer), embedding, quality)
        if not self.config.reweighted:
            trust = torch.ones_like(trust)
        pixels = pixel_distance(made.image, answer) + pixel_distance(made.raw, answer, batch.attribute.mask)
        losses = {"distil": mean_where(trust * pixels, strangers)}
        if self._wanted("perceptual"):
            ours, theirs = (cast("list[Tensor]", frozen.perceptual(images)) for images in (made.image, answer))
            seen = feature_distance(ours, theirs)
            losses["perceptual"] = mean_where(trust * seen, strangers)
        return losses

    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        """The person's weights: depthwise kernels b x c x k x k of all layers, then pointwise weights b x o x c."""
        code: IdentityCode = self.predictor(*_look(identity, frozen))
        return code

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        return self._answer(attribute.image, code).swap()

    def _answer(self, images: Images, code: IdentityCode) -> Answer:
        kernels, matrices = code[: len(code) // 2], code[len(code) // 2 :]
        layers = [partial(_layer, kernels=k, matrices=m) for k, m in zip(kernels, matrices, strict=True)]
        answer: Answer = self.generator(images, layers)
        return answer


class Baked(nn.Module):
    """One person's network with constant weights, for runtimes that want them: aligned pictures to `Swap`."""

    def __init__(self, generator: Generator, layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.generator = copy.deepcopy(generator).eval().requires_grad_(False)
        self.layers = nn.ModuleList(layers)

    def forward(self, images: Images) -> Swap:
        answer: Answer = self.generator(images, list(self.layers))
        return answer.swap()


def baked(method: MobileFaceSwap, code: IdentityCode, person: int = 0) -> Baked:
    """A person's network as a plain module that holds no other; it gives what `swap` gives.

    Args:
        method: As trained.
        code: Of `encode_identity`.
        person: Whose row of it.
    """
    one = [part[person].detach() for part in code]
    kernels, matrices = one[: len(one) // 2], one[len(one) // 2 :]
    layers = [constant_layer(k, m, _stride(k)) for k, m in zip(kernels, matrices, strict=True)]
    return Baked(method.generator, layers)


def weak_mask_loss(mask: Mask, attribute: Aligned, margin: float) -> Scalar:
    """Mean of the mask over the background, and of log(LEAST / mask) where that is above 0 over the visible face.

    Inside the face the mask is free from `LEAST` upwards. 0 where there is neither.

    Args:
        mask: 0..1.
        attribute: Its `mask` is the visible face.
        margin: By how much of the side that is widened.
    """
    assert attribute.mask is not None  # noqa: S101 - for mypy: the card requires it
    reach = round(margin * mask.shape[-1])
    face = attribute.mask.float()
    background = 1 - F.max_pool2d(face, 2 * reach + 1, 1, reach)
    closed = F.relu(math.log(LEAST) - torch.log(mask.float().clamp(min=1e-6)))
    spilt = (mask.float() * background).sum() / background.sum().clamp(min=1)
    return spilt + (closed * face).sum() / face.sum().clamp(min=1)


@torch.no_grad()
def _look(identity: Aligned, frozen: FrozenNets) -> tuple[Tensor, Tensor]:
    """The recogniser's embedding and last map."""
    look = getattr(frozen.identity, "look", frozen.identity)  # one that is absent says so when it is called
    embedding, features = look(identity.image)
    return embedding, features


def _stride(kernels: Tensor) -> int:
    """Kernels of 4 halve the size, those of 3 keep it."""
    return 2 if kernels.shape[-1] == 4 else 1


def _layer(x: Tensor, kernels: Tensor, matrices: Tensor) -> Tensor:
    return pointwise(depthwise(x, kernels, _stride(kernels)), matrices)


def _tail(config: MobileFaceSwapConfig) -> nn.Sequential:
    """To the full size, and to colours. Mixing channels before doubling gives the same as after it, for a quarter."""
    inner, norm = config.tail_width, config.batch_norm
    return nn.Sequential(
        _convolution(config.widths[0], inner, 1, plain=not norm),
        Up("bilinear"),
        *_activated(inner, norm),
        _convolution(inner, 3, 3, plain=not norm),
        *_activated(3, norm),
        nn.Conv2d(3, 3, 3, padding=1),
    )


def _mask(config: MobileFaceSwapConfig) -> nn.Sequential:
    """From the deepest map to logits of the mask: double, depthwise, pointwise."""
    layers, before, norm = [], config.widths[-1], config.batch_norm
    for width in config.mask_widths:
        spread = nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False)
        nn.init.dirac_(spread.weight, groups=before)
        layers += [Up("bilinear"), spread, _convolution(before, width, 1, plain=not norm), *_activated(width, norm)]
        before = width
    return nn.Sequential(*layers, nn.Conv2d(before, 1, 3, padding=1))


def _convolution(channels_in: int, channels_out: int, kernel: int, *, plain: bool) -> nn.Conv2d:
    """Starts so that powers stay; with a bias where no normalisation follows."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, padding=kernel // 2, bias=plain)
    nn.init.kaiming_normal_(convolution.weight, a=SLOPE)
    return convolution


def _activated(channels: int, batch_norm: bool) -> list[nn.Module]:
    return [*([nn.BatchNorm2d(channels)] if batch_norm else []), nn.LeakyReLU(SLOPE)]


METHOD, CONFIG = MobileFaceSwap, MobileFaceSwapConfig
