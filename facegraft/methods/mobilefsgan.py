"""MobileFSGAN: migrating face swap to mobile devices (Yu et al., ICME 2022).

https://arxiv.org/abs/2204.08339. Paper's names: source = identity, target = attribute.

A network of one width and a few megabytes. The identity enters a U-Net through batch normalisations whose scales and
shifts it gives: for one person they are constants in evaluation (`fold`). The decoder starts from that U-Net's map and
mixes the attributes back in, from coarse to fine, by one learnt attention plane per block; it answers at three sizes,
each with an identity loss and a discriminator of its own. What so small a network cannot learn from cycles and
similarities it learns from triplets: pairs with a right answer, edited (data/triplets.py) or rendered.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import hinge_discriminator, hinge_generator_bounded
from facegraft.losses.features import feature_matching
from facegraft.losses.identity import cosine_identity_loss
from facegraft.losses.image import mean_where, mse_where
from facegraft.methods._method import Method, MethodCard
from facegraft.nn.conv import Up
from facegraft.nn.discriminators import Kernel, Padding, PatchDiscriminator
from facegraft.nn.foldable import NormPoint, Style, StyledNorm
from facegraft.nn.inject import heard
from facegraft.tensors import Aligned, Embedding, IdentityCode, Images, Scalar, Swap, SwapBatch

Features = Float[Tensor, "b _c _h _w"]
Pyramid = list[Float[Tensor, "b 3 _h _w"]]
"""Pictures at the whole, half and quarter size, -1..1."""
Styles = Float[Tensor, "b 2 _n"]
"""Scales and shifts of all identity blocks' channels, in the order in which they are met."""
SIZES = ("", "_half", "_quarter")
"""Endings of the losses' names: at which size."""
MAP_WEIGHTS = (0.6, 0.8, 1.0, 1.2)
"""Of the perceptual maps, fine ones first; the paper's code gives its five 0, 0.6, 0.8, 1 and 1.2."""


@dataclass(frozen=True)
class MobileFSGANConfig:
    """`[model]`. The paper: size_px 256, width 64, identity losses of 20 each.

    `loss_weights`: the pixels' terms are mean squares; the paper's code has half of them times 10, which is 5. It sums
    the adversarial terms over a batch of 16 where we take means: a weight of 16 is its balance.
    """

    size_px: int = 128
    width: int = 24
    """Channels at the whole size."""
    widest: int = 64
    """Channels double with each halving, up to so many; 0: the same everywhere, as published."""
    halvings: int = 5
    """Of the identity's U-Net, which comes back to a quarter of the size."""
    blocks: tuple[int, int, int] = (2, 3, 4)
    """Of the attribute encoder at the whole, half and quarter size; the decoder has one more at each."""
    attention: Literal["linear", "sigmoid"] = "linear"
    """What is mixed may leave what lies between the two maps, as published, or not."""
    embedding: int = 512
    identity_margin: float = 0.02
    """What may be missing of a cosine of 1 for nothing."""
    border: tuple[float, float] = (0.27, 0.07)
    """Where results of strangers are the attribute image: at the top, and at each side, in shares of the size. The
    paper's code has 0.31 and 0.16 of a crop that is a quarter wider than ours."""
    faithful: bool = False
    """As the released code has it: the border of strangers is drawn to black instead, and perceptual maps are compared
    with the attribute image even where there is a right answer."""
    discriminator_width: int = 16
    discriminator_most: int = 0
    """Channels at the most; 0: eight times `discriminator_width`. Published: 256."""
    discriminator_halvings: tuple[int, int, int] = (4, 3, 3)
    """At the whole, half and quarter size; published: 4 at each."""
    discriminator_kernel: Kernel = 3
    """Of their layers of stride 1; published: 4."""
    discriminator_padding: Padding = 1
    """Published: 2."""
    loss_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "discriminator": {"hinge": 1.0, "hinge_half": 0.02, "hinge_quarter": 0.02},
            "generator": {
                "adversarial": 1.0,
                "adversarial_half": 0.02,
                "adversarial_quarter": 0.02,
                "identity": 10.0,
                "identity_half": 5.0,
                "identity_quarter": 5.0,
                "reconstruction": 20.0,
                "border": 20.0,
                "perceptual": 4.0,
            },
        }
    )

    def __post_init__(self) -> None:
        if self.halvings < 3 or self.size_px % 2**self.halvings:
            raise ValueError(
                f"size_px: expected a multiple of 2**halvings, halvings 3 or more; "
                f"found {self.size_px} and {self.halvings}"
            )
        if min(self.width, self.discriminator_width, *self.blocks, *self.discriminator_halvings) < 1:
            raise ValueError("width, blocks, discriminator_width, discriminator_halvings: expected 1 or more")
        if self.discriminator_most < 0:
            raise ValueError(f"discriminator_most: expected 0 or more, found {self.discriminator_most}")
        if not all(0 <= share < 0.5 for share in self.border):
            raise ValueError(f"border: expected two shares of the size below 0.5, found {self.border}")

    @property
    def widths(self) -> list[int]:
        """Channels after no halving, one, and so on."""
        return [min(self.width << halving, max(self.width, self.widest)) for halving in range(self.halvings + 1)]

    @property
    def identity_widths(self) -> list[int]:
        """Channels of the identity blocks: one block at each size on the way down, one on the way up to a quarter."""
        return [*self.widths, *self.widths[-2:1:-1]]


class Residual(nn.Module):
    """The paper's ABlock with its input added: normalisation, 1x1 convolution, activation, 3x3 convolution."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.point = NormPoint(width, width)
        self.spread = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Features, beside: Features | None = None) -> Features:
        """The input plus what is made of `beside`, or of the input itself."""
        return x + self.spread(F.leaky_relu(self.point(x if beside is None else beside)))


class IdentityBlock(nn.Module):
    """The paper's IBlock with its input added: the normalisation takes scale and shift from the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.styled = StyledNorm(width)
        self.fixed: nn.Conv2d | None = None
        self.point = nn.Conv2d(width, width, 1)
        self.spread = nn.Conv2d(width, width, 3, padding=1, bias=False)

    def forward(self, x: Features, style: Style) -> Features:
        held = self.styled(x, style) if self.fixed is None else self.fixed(x)
        return x + self.spread(F.leaky_relu(self.point(F.leaky_relu(held))))

    def fold(self, style: Style) -> None:
        """From now on the block is this one person's, whatever style it is given."""
        self.fixed = self.styled.fixed(style)


class MixBlock(nn.Module):
    """The paper's DBlock: one plane of the input says, place by place, how much of the attribute map is mixed in."""

    def __init__(self, width: int, attention: str) -> None:
        super().__init__()
        self.attention = attention
        self.choose = nn.Conv2d(width, 1, 1)
        self.residual = Residual(width)

    def forward(self, x: Features, attribute: Features) -> Features:
        kept = self.choose(x)
        if self.attention == "sigmoid":
            kept = torch.sigmoid(kept)
        return self.residual(x, attribute + kept * (x - attribute))


class AttributeEncoder(nn.Module):
    """Residual blocks at three sizes; every map is kept, the one that comes in too."""

    def __init__(self, config: MobileFSGANConfig) -> None:
        super().__init__()
        sizes = list(zip(config.widths, config.blocks, strict=False))
        self.levels = nn.ModuleList(nn.ModuleList(Residual(width) for _ in range(count)) for width, count in sizes)
        self.downs = nn.ModuleList(_down(*pair) for pair in itertools.pairwise(config.widths[:3]))

    def forward(self, held: Features) -> list[list[Features]]:
        """Maps at the whole, half and quarter size, shallow ones first."""
        kept: list[list[Tensor]] = []
        for number, level in enumerate(self.levels):
            held = self.downs[number - 1](held) if number else held
            maps = [held]
            for block in level if isinstance(level, nn.ModuleList) else []:
                held = block(held)
                maps.append(held)
            kept.append(maps)
        return kept


class IdentityEncoder(nn.Module):
    """A U-Net from the whole size down and up again to a quarter, an identity block at each of its sizes."""

    def __init__(self, config: MobileFSGANConfig) -> None:
        super().__init__()
        widths = config.widths
        self.widths = config.identity_widths
        self.blocks = nn.ModuleList(IdentityBlock(width) for width in self.widths)
        self.downs = nn.ModuleList(_down(*pair) for pair in itertools.pairwise(widths))
        self.ups = nn.ModuleList(_up(*pair) for pair in itertools.pairwise(widths[:1:-1]))

    def forward(self, held: Features, styles: Styles) -> Features:
        given = self.each(styles)
        passed: list[Tensor] = []
        for number, down in enumerate(self.downs):
            held = self.blocks[number](held, given[number])
            passed.append(held)
            held = down(held)
        deepest = len(self.downs)
        held = self.blocks[deepest](held, given[deepest])
        for number, up in enumerate(self.ups):
            held = up(held) + passed[deepest - 1 - number]
            held = self.blocks[deepest + 1 + number](held, given[deepest + 1 + number])
        return held

    def each(self, styles: Styles) -> Sequence[Style]:
        """Every block's own."""
        return styles.split(self.widths, 2)


class Generator(nn.Module):
    """Head, the two encoders, and a decoder that answers at three sizes."""

    def __init__(self, config: MobileFSGANConfig) -> None:
        super().__init__()
        width, widths = config.width, config.widths[:3]
        self.style = nn.Linear(config.embedding, 2 * sum(config.identity_widths))
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.to_identity = nn.Sequential(
            nn.Conv2d(width, width, 1), nn.LeakyReLU(), nn.Conv2d(width, width, 3, padding=1)
        )
        self.attributes, self.identity = AttributeEncoder(config), IdentityEncoder(config)
        self.mixes = nn.ModuleList(
            nn.ModuleList(MixBlock(width, config.attention) for _ in range(count + 1))
            for width, count in zip(widths, config.blocks, strict=True)
        )
        self.to_rgb = nn.ModuleList(nn.Conv2d(width, 3, 3, padding=1) for width in widths)
        self.ups = nn.ModuleList(_up(below, width) for width, below in itertools.pairwise(widths))

    def styles(self, embedding: Embedding) -> Styles:
        """All that a person changes in the network."""
        return self.style(heard(embedding)).unflatten(1, (2, -1))

    def forward(self, images: Images, styles: Styles) -> Pyramid:
        """Results at the three sizes."""
        head = F.leaky_relu(self.head(images))
        attributes = self.attributes(head)
        held = self.identity(self.to_identity(head), styles)
        results: list[Tensor] = []
        for size in (2, 1, 0):
            held = held if size == 2 else self.ups[size](held)
            blocks = self.mixes[size]
            for block, attribute in zip(
                blocks if isinstance(blocks, nn.ModuleList) else [], reversed(attributes[size]), strict=True
            ):
                held = block(held, attribute)
            results.insert(0, torch.tanh(self.to_rgb[size](held)))
        return results


class MobileFSGAN(Method):
    card: ClassVar = MethodCard(
        title="Migrating Face Swap to Mobile Devices (Yu et al., ICME 2022)",
        paper="arXiv:2204.08339",
        summary="One narrow width, identity by batch normalisations that fold, taught by pairs with a right answer.",
        resolution=256,
        alignment="arcface_112_v1",
        phases={"discriminator": ("discriminators",), "generator": ("generator",)},
        needs=frozenset({"identity", "perceptual"}),
        released="HoiM/MobileFSGAN, MIT",
    )

    def __init__(self, config: MobileFSGANConfig) -> None:
        super().__init__()
        self.config: MobileFSGANConfig = config
        self.generator = Generator(config)
        self.discriminators = nn.ModuleList(
            PatchDiscriminator(
                config.discriminator_width,
                halvings,
                most=config.discriminator_most,
                kernel=config.discriminator_kernel,
                padding=config.discriminator_padding,
                normalised=False,
                spectral=True,
            )
            for halvings in config.discriminator_halvings
        )

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        embedding = _recognised(batch.identity, frozen)
        if phase == "discriminator":
            with torch.no_grad():
                results = self.generator(batch.attribute.image, self.generator.styles(embedding))
            losses = map(hinge_discriminator, self._judged(_pyramid(self._unedited(batch))), self._judged(results))
            return {f"hinge{size}": loss for size, loss in zip(SIZES, losses, strict=True)}

        results = self.generator(batch.attribute.image, self.generator.styles(embedding))
        losses = map(hinge_generator_bounded, self._judged(results))
        found = {f"adversarial{size}": loss for size, loss in zip(SIZES, losses, strict=True)}
        found |= self._identity_losses(results, frozen.likeness(batch.identity.image), frozen)
        found["reconstruction"] = mse_where(results[0], batch.truth, where=batch.has_truth)
        found["border"] = self._border_loss(results[0], batch)
        found["perceptual"] = self._perceptual_loss(results[0], batch, frozen)
        return found

    def _identity_losses(self, results: Pyramid, person: Embedding, frozen: FrozenNets) -> dict[str, Scalar]:
        """At each size; where it weighs nothing, the recogniser need not look."""
        weights, margin = self.config.loss_weights["generator"], self.config.identity_margin
        return {
            name: cosine_identity_loss(frozen.likeness(result), person, margin)
            if weights[name]
            else result.new_zeros(())
            for name, result in zip((f"identity{size}" for size in SIZES), results, strict=True)
        }

    def _judged(self, pictures: Pyramid) -> list[list[Features]]:
        """Each size's answers of its own discriminator."""
        return [[judge(picture)[0]] for judge, picture in zip(self.discriminators, pictures, strict=True)]

    def _unedited(self, batch: SwapBatch) -> Images:
        """Photos as they were taken: an attribute image that has another truth may be an edited one."""
        return torch.where(batch.has_truth[:, None, None, None], batch.truth, batch.attribute.image)

    def _border_loss(self, swapped: Images, batch: SwapBatch) -> Scalar:
        """Strangers have no right answer, but hair and background at the border are the attribute image's.

        The released code has black there: a truth that is missing is 0 in it, and its border counts all the same.
        """
        size = self.config.size_px
        top, side = (round(share * size) for share in self.config.border)
        border = torch.ones_like(swapped[:1, :1])
        border[:, :, top:, side : size - side] = 0
        wanted = -torch.ones_like(swapped) if self.config.faithful else batch.attribute.image
        apart = ((swapped.float() - wanted.float()).square() * border).mean((1, 2, 3))
        return mean_where(apart, ~batch.has_truth)

    def _perceptual_loss(self, swapped: Images, batch: SwapBatch, frozen: FrozenNets) -> Scalar:
        """Against the right answer; the attribute image where there is none."""
        wanted = batch.attribute.image if self.config.faithful else self._unedited(batch)
        with torch.no_grad():
            real = list(frozen.perceptual(wanted))
        return feature_matching(list(frozen.perceptual(swapped)), real, MAP_WEIGHTS)

    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        return (self.generator.styles(_recognised(identity, frozen)),)

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        image = self.generator(attribute.image, *code)[0]
        return Swap(image=image, mask=torch.ones_like(image[:, :1]))

    def fold(self, code: IdentityCode) -> Generator:
        """A generator for one person: what the identity says of it is constant, whatever styles it is given.

        Raises:
            ValueError: The code is not that of one person.
        """
        folded = copy.deepcopy(self.generator).eval()
        for block, style in zip(folded.identity.blocks, folded.identity.each(code[0]), strict=True):
            if isinstance(block, IdentityBlock):
                block.fold(style)
        return folded


@torch.no_grad()
def _recognised(identity: Aligned, frozen: FrozenNets) -> Embedding:
    return frozen.identity(identity.image)


def _pyramid(images: Images) -> Pyramid:
    """Pictures at the three sizes."""
    return [images, F.avg_pool2d(images, 2), F.avg_pool2d(images, 4)]


def _down(width: int, below: int) -> nn.Sequential:
    """Half the size. The paper's normalisation comes first; behind the convolution it folds at the border too."""
    convolution = nn.Conv2d(width, below, 4, stride=2, padding=1, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(below), nn.LeakyReLU())


def _up(below: int, width: int) -> nn.Sequential:
    """Twice the size; padded with zeros where the paper mirrors, which costs phones dearly."""
    convolution = nn.Conv2d(below, width, 3, padding=1, bias=False)
    return nn.Sequential(Up("bilinear"), convolution, nn.BatchNorm2d(width), nn.LeakyReLU())


METHOD, CONFIG = MobileFSGAN, MobileFSGANConfig
