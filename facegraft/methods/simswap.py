"""SimSwap: an efficient framework for high fidelity face swapping (Chen et al., ACM MM 2020).

https://arxiv.org/abs/2106.06340. Paper's names: source = identity, target = attribute.

The attribute image is encoded, the identity's embedding injected (ID Injection Module: AdaIN in every layer of the
bottleneck), the result decoded; no skip connections, or the attribute image's own face would leak through. Weak feature
matching keeps the attributes: only deep features of the discriminator must agree, which know layout and expression but
not whose skin it is.

Two discriminators were published: the paper's, patches at several scales, and that of the training script released
later, which judges what a frozen network sees (Projected GANs, arXiv:2111.01007).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import hinge_discriminator, hinge_generator
from facegraft.losses.features import feature_matching
from facegraft.losses.identity import cosine_identity_loss
from facegraft.losses.image import l1_where
from facegraft.methods._method import Method, MethodCard
from facegraft.nn.conv import Up
from facegraft.nn.discriminators import Kernel, MultiScaleDiscriminator, Padding, ProjectedDiscriminator, check_places
from facegraft.nn.inject import IdentityBlock
from facegraft.nn.norm import group_norm
from facegraft.tensors import Aligned, Embedding, IdentityCode, Images, Scalar, Swap, SwapBatch


@dataclass(frozen=True)
class SimSwapConfig:
    """`[model]`. The paper: size_px 224, width 64, identity_blocks 9, discriminator_kernel 4."""

    size_px: int = 128
    width: int = 40
    """Channels after the first convolution; doubles at each halving."""
    halvings: int = 3
    identity_blocks: int = 6
    embedding: int = 512
    stem_kernel: int = 7
    """Of the first and the last convolution."""
    discriminator: Literal["multiscale", "projected"] = "multiscale"
    """The paper's, or that of the script released later; ours of that looks at maps of our own parser."""
    discriminator_width: int = 32
    """Channels of its first layer, or of the finest mixed map; published: 64 for both."""
    discriminator_halvings: int = 3
    """Multiscale only."""
    discriminator_kernel: Kernel = 3
    """Multiscale only. Of its layers of stride 1; published: 4."""
    discriminator_padding: Padding = 1
    """Multiscale only."""
    scales: int = 2
    """Multiscale only: discriminators, each at half the size of the one before."""
    matched_maps: int = 2
    """Multiscale only: maps of each discriminator, counted from the deepest, that feature matching sees (the paper's
    "weak"). With the projected one it sees the frozen network's deepest map, as in the script."""
    perceptual_channels: tuple[int, ...] = (16, 32, 64, 96)
    """Projected only: of the frozen network's maps, fine ones first."""
    loss_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "discriminator": {"hinge": 1.0},
            "generator": {"adversarial": 1.0, "identity": 20.0, "reconstruction": 10.0, "features": 10.0},
        }
    )

    def __post_init__(self) -> None:
        if self.size_px % 2**self.halvings or min(self.width, self.halvings, self.identity_blocks) < 1:
            raise ValueError(f"size_px: expected a multiple of {2**self.halvings}, found {self.size_px}")
        if not 0 < self.matched_maps <= self.discriminator_halvings + 1:
            raise ValueError(
                f"matched_maps: expected 1 to {self.discriminator_halvings + 1}, found {self.matched_maps}"
            )
        if self.discriminator == "multiscale":
            layers = self.discriminator_kernel, self.discriminator_padding
            check_places(self.size_px, self.scales, self.discriminator_halvings, *layers)
        if min(self.perceptual_channels, default=0) < 1:
            raise ValueError(f"perceptual_channels: expected one or more from 1, found {self.perceptual_channels}")


class Generator(nn.Module):
    """Encoder, identity blocks, decoder."""

    def __init__(self, config: SimSwapConfig) -> None:
        super().__init__()
        kernel, width = config.stem_kernel, config.width
        self.encoder = nn.Sequential(_layer(3, width, kernel))
        for level in range(config.halvings):
            self.encoder.append(_layer(width * 2**level, width * 2 ** (level + 1), 3, stride=2))
        deepest = width * 2**config.halvings
        self.identity = nn.ModuleList(IdentityBlock(deepest, config.embedding) for _ in range(config.identity_blocks))
        self.decoder = nn.Sequential()
        for level in reversed(range(config.halvings)):
            self.decoder.extend([Up("bilinear"), _layer(width * 2 ** (level + 1), width * 2**level, 3)])
        self.decoder.append(nn.Conv2d(width, 3, kernel, padding=kernel // 2, padding_mode="reflect"))

    def forward(self, images: Images, embedding: Embedding) -> Images:
        held = self.encoder(images)
        for block in self.identity:
            held = block(held, embedding)
        return torch.tanh(self.decoder(held))


class SimSwap(Method):
    card: ClassVar = MethodCard(
        title="SimSwap: An Efficient Framework For High Fidelity Face Swapping (Chen et al., ACM MM 2020)",
        paper="arXiv:2106.06340",
        summary="Identity enters by AdaIN in the bottleneck; weak feature matching keeps the attributes.",
        resolution=224,
        alignment="arcface_112_v1",
        phases={"discriminator": ("discriminator",), "generator": ("generator",)},
        needs=frozenset({"identity", "perceptual"}),
        released="neuralchen/SimSwap, CC BY-NC 4.0",
    )

    def __init__(self, config: SimSwapConfig) -> None:
        super().__init__()
        self.config: SimSwapConfig = config
        self.generator = Generator(config)
        self.discriminator = _discriminator(config)

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        code = self.encode_identity(batch.identity, frozen)
        if phase == "discriminator":
            with torch.no_grad():
                swapped = self.swap(batch.attribute, code).image
            real, _ = self._judge(batch.attribute.image, frozen)
            fake, _ = self._judge(swapped, frozen)
            return {"hinge": hinge_discriminator(real, fake)}

        swapped = self.swap(batch.attribute, code).image
        fake, fake_maps = self._judge(swapped, frozen)
        with torch.no_grad():
            _, real_maps = self._judge(batch.attribute.image, frozen)
        return {
            "adversarial": hinge_generator(fake),
            "identity": cosine_identity_loss(frozen.likeness(swapped), frozen.likeness(batch.identity.image)),
            "reconstruction": l1_where(swapped, batch.truth, where=batch.has_truth),
            "features": self._weak_matching(fake_maps, real_maps),
        }

    def _judge(self, images: Images, frozen: FrozenNets) -> tuple[list[Tensor], list[list[Tensor]]]:
        """The discriminator's answers, and the maps out of which feature matching takes the deepest.

        Those of the projected one are the frozen network's, before they are mixed; the script compares the last alone.
        """
        if isinstance(self.discriminator, MultiScaleDiscriminator):
            return self.discriminator(images)
        maps = list(frozen.perceptual(images))
        return self.discriminator(maps), [maps[-1:]]

    def _weak_matching(self, fake: list[list[Tensor]], real: list[list[Tensor]]) -> Scalar:
        """Only the deepest maps: the first ones would pin texture, and with it the identity, to the attribute image."""
        deepest = slice(-self.config.matched_maps, None)
        scales = [feature_matching(made[deepest], seen[deepest]) for made, seen in zip(fake, real, strict=True)]
        return torch.stack(scales).mean()

    @torch.no_grad()
    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        return (frozen.identity(identity.image),)

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        image = self.generator(attribute.image, *code)
        return Swap(image=image, mask=torch.ones_like(image[:, :1]))


def _discriminator(config: SimSwapConfig) -> MultiScaleDiscriminator | ProjectedDiscriminator:
    width = config.discriminator_width
    if config.discriminator == "projected":
        return ProjectedDiscriminator(config.perceptual_channels, width)
    return MultiScaleDiscriminator(
        config.scales,
        width,
        config.discriminator_halvings,
        kernel=config.discriminator_kernel,
        padding=config.discriminator_padding,
    )


def _layer(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, group normalisation (the paper's batches are large enough for batch normalisation), ReLU."""
    mode: Literal["reflect", "zeros"] = "reflect" if kernel > 3 else "zeros"
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, padding_mode=mode)
    return nn.Sequential(convolution, group_norm(channels_out), nn.ReLU())


METHOD, CONFIG = SimSwap, SimSwapConfig
