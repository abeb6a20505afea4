"""FaceShifter: towards high fidelity and occlusion aware face swapping (Li et al., 2019; CVPR 2020).

https://arxiv.org/abs/1912.13457. Paper's names: source = identity, target = attribute.

Stage 1, AEI-Net: an encoder keeps the attribute picture as maps of all sizes, and a generator that starts from the
identity's embedding alone takes them in, map by map, by AAD layers, which choose at each place between the identity and
the attributes. Stage 2, HEAR-Net, brings back what stage 1 paints over: hands, glasses, things held. It looks for them
where stage 1 fails to reproduce the attribute picture even when told who is in it (the heuristic error).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import hinge_discriminator, hinge_generator
from facegraft.losses.attributes import attribute_loss
from facegraft.losses.identity import cosine_identity_loss
from facegraft.losses.image import mse_where
from facegraft.methods._method import Method, MethodCard
from facegraft.nn.attribute_encoders import UNetAttributes, halvings
from facegraft.nn.discriminators import Kernel, MultiScaleDiscriminator, Padding, check_places
from facegraft.nn.inject import AADGenerator
from facegraft.nn.norm import group_norm
from facegraft.tensors import Aligned, Embedding, IdentityCode, Images, Scalar, Swap, SwapBatch


@dataclass(frozen=True)
class FaceShifterConfig:
    """`[model]`. The paper: size_px 256, generator_width 64, both mosts 1024, three discriminators."""

    size_px: int = 128
    encoder_width: int = 32
    """Channels after the encoder's first layer; they double at each halving, down to 2 x 2 pixels."""
    encoder_most: int = 512
    generator_width: int = 32
    """Channels at full size; they double at each halving."""
    generator_most: int = 512
    depth: int = 2
    """AAD layers of a block, beside its shortcut."""
    embedding: int = 512
    discriminator_width: int = 32
    discriminator_halvings: int = 4
    discriminator_kernel: Kernel = 3
    """Of its layers of stride 1; published: 4."""
    discriminator_padding: Padding = 1
    """Published: 2."""
    scales: int = 2
    """Discriminators, each at half the size of the one before."""
    hear_width: int = 24
    hear_most: int = 192
    hear_smallest_px: int = 8
    """Side of the smallest map of HEAR-Net."""
    occlusion_aware: bool = False
    """Whether `swap` runs stage 2; it must be trained then."""
    loss_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "discriminator": {"hinge": 1.0},
            "generator": {"adversarial": 1.0, "attributes": 10.0, "identity": 5.0, "reconstruction": 10.0},
            "hear": {"identity": 1.0, "change": 1.0, "reconstruction": 1.0, "own_identity": 1.0},
        }
    )

    def __post_init__(self) -> None:
        halvings(self.size_px)
        halvings(self.size_px, self.hear_smallest_px)
        if min(self.encoder_width, self.generator_width, self.depth, self.scales, self.hear_width) < 1:
            raise ValueError(f"widths, depth and scales: expected 1 and more, found {self}")
        layers = self.discriminator_kernel, self.discriminator_padding
        check_places(self.size_px, self.scales, self.discriminator_halvings, *layers)


class HearNet(nn.Module):
    """Stage 2: a U-Net on the first answer and the heuristic error (section 3.2)."""

    def __init__(self, config: FaceShifterConfig) -> None:
        super().__init__()
        self.own_identity = OwnIdentity(config.size_px, config.hear_width, config.embedding)
        self.body = UNetAttributes(
            config.size_px,
            config.hear_width,
            config.hear_most,
            channels_in=6,
            smallest_px=config.hear_smallest_px,
        )
        # The input once more, as the U-Net sees nothing at full size.
        self.last = nn.Conv2d(self.body.channels[-1] + 6, 3, 3, padding=1)

    def forward(self, swapped: Images, error: Images) -> Images:
        both = torch.cat([swapped, error], 1)
        return torch.tanh(self.last(torch.cat([self.body(both)[-1], both], 1)))


class OwnIdentity(nn.Module):
    """Guesses the embedding of the face in the attribute picture, without which there is no heuristic error.

    The paper asks the recogniser, which a bundle's graph "swap" does not hold. A head on the attribute encoder would be
    asked for what L_att drives out of it, so this looks at the picture itself.
    """

    def __init__(self, size_px: int, width: int, embedding: int, smallest_px: int = 4) -> None:
        super().__init__()
        widths = [min(width * 2**level, 256) for level in range(halvings(size_px, smallest_px))]
        self.body = nn.Sequential()
        for before, after in zip([3, *widths], widths, strict=False):
            self.body.extend([nn.Conv2d(before, after, 3, 2, 1, bias=False), group_norm(after), nn.ReLU()])
        self.last = nn.Linear(widths[-1] * smallest_px**2, embedding)

    def forward(self, images: Images) -> Embedding:
        return F.normalize(self.last(self.body(images).flatten(1)), eps=1e-6)


class FaceShifter(Method):
    card: ClassVar = MethodCard(
        title="FaceShifter: Towards High Fidelity And Occlusion Aware Face Swapping (Li et al., CVPR 2020)",
        paper="arXiv:1912.13457",
        summary="Attribute maps of all sizes meet the identity in AAD layers; a second stage brings occluders back.",
        resolution=256,
        alignment="arcface_112_v1",
        phases={
            "discriminator": ("discriminator",),
            "generator": ("encoder", "generator"),
            "hear": ("hear",),
        },
    )

    def __init__(self, config: FaceShifterConfig) -> None:
        super().__init__()
        self.config: FaceShifterConfig = config
        self.encoder = UNetAttributes(config.size_px, config.encoder_width, config.encoder_most)
        self.generator = AADGenerator(
            config.generator_width, config.generator_most, config.embedding, self.encoder.channels, config.depth
        )
        self.discriminator = MultiScaleDiscriminator(
            config.scales,
            config.discriminator_width,
            config.discriminator_halvings,
            kernel=config.discriminator_kernel,
            padding=config.discriminator_padding,
        )
        self.hear = HearNet(config)

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        (code,) = self.encode_identity(batch.identity, frozen)
        if phase == "discriminator":
            with torch.no_grad():
                swapped = self.generator(code, self.encoder(batch.attribute.image))
            real, _ = self.discriminator(batch.attribute.image)
            fake, _ = self.discriminator(swapped)
            return {"hinge": hinge_discriminator(real, fake)}
        if phase == "hear":
            return self._hear_step(batch, code, frozen)

        attributes = self.encoder(batch.attribute.image)
        swapped = self.generator(code, attributes)
        fake, _ = self.discriminator(swapped)
        return {
            "adversarial": hinge_generator(fake),
            "attributes": attribute_loss(self.encoder(swapped), attributes),
            "identity": cosine_identity_loss(frozen.likeness(swapped), frozen.likeness(batch.identity.image)),
            "reconstruction": 0.5 * mse_where(swapped, batch.truth, where=batch.has_truth),
        }

    def _hear_step(self, batch: SwapBatch, code: Embedding, frozen: FrozenNets) -> dict[str, Scalar]:
        """Eq. 12 to 15; stage 1 stays as it is."""
        image = batch.attribute.image
        with torch.no_grad():
            label = frozen.identity(image)
        own = self.hear.own_identity(image)
        with torch.no_grad():
            first, error = self._first_stage(image, code, own)
        swapped = self.hear(first, error)
        return {
            "identity": cosine_identity_loss(frozen.likeness(swapped), frozen.likeness(batch.identity.image)),
            "change": (swapped.float() - first.float()).abs().mean(),
            "reconstruction": 0.5 * mse_where(swapped, batch.truth, where=batch.has_truth),
            "own_identity": cosine_identity_loss(own, label),
        }

    def _first_stage(self, image: Images, code: Embedding, own: Embedding) -> tuple[Images, Images]:
        """Stage 1's answer, and the heuristic error: the picture minus stage 1's answer to its own face (eq. 11)."""
        attributes = self.encoder(image)
        return self.generator(code, attributes), image - self.generator(own, attributes)

    @torch.no_grad()
    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        return (frozen.identity(identity.image),)

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        image, (embedding,) = attribute.image, code
        if self.config.occlusion_aware:
            first, error = self._first_stage(image, embedding, self.hear.own_identity(image))
            swapped = self.hear(first, error)
        else:
            swapped = self.generator(embedding, self.encoder(image))
        return Swap(image=swapped, mask=torch.ones_like(swapped[:, :1]))


METHOD, CONFIG = FaceShifter, FaceShifterConfig
