"""GHOST: a new face swap approach for image and video domains (Groshev et al., IEEE Access 2022).

https://arxiv.org/abs/2202.03046 is its technical report. Paper's names: source = identity, target = attribute.

FaceShifter's first stage, taught anew: three attribute encoders to choose from, generators of three depths, another
photo of the same person as a right answer beside the same photo, and a loss that keeps the eyes where they look. How
the answer is put back into the frame, the paper's adaptive mask, is runtime/adaptive.py: landmarks of both pictures
decide.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import hinge_discriminator, hinge_generator_bounded
from facegraft.losses.attributes import EYE_POINTS, attribute_loss, heatmap_loss
from facegraft.losses.identity import cosine_identity_loss
from facegraft.losses.image import mse_where
from facegraft.methods._method import Method, MethodCard
from facegraft.nn.attribute_encoders import ResNetAttributes, UNetAttributes, halvings
from facegraft.nn.discriminators import Kernel, MultiScaleDiscriminator, Padding, check_places
from facegraft.nn.inject import AADGenerator
from facegraft.tensors import Aligned, IdentityCode, Images, Scalar, Swap, SwapBatch

Encoder = Literal["unet", "linknet", "resnet"]


@dataclass(frozen=True)
class GhostConfig:
    """`[model]`. The paper: size_px 256, generator_width 64, both mosts 1024, real "identity", 3 discriminators."""

    size_px: int = 128
    encoder: Encoder = "unet"
    """"unet" joins by concatenation, "linknet" by addition; "resnet" has no way up, and sees full size."""
    encoder_width: int = 32
    """Channels of the finest map that the encoder computes; they double at each halving, down to 2 x 2 pixels."""
    encoder_most: int = 384
    generator_width: int = 32
    """Channels at full size; they double at each halving."""
    generator_most: int = 384
    depth: int = 2
    """AAD layers of a block, beside its shortcut: 1 (the fast model) to 3."""
    embedding: int = 512
    discriminator_width: int = 32
    discriminator_halvings: int = 4
    discriminator_kernel: Kernel = 3
    """Of its layers of stride 1; published: 4."""
    discriminator_padding: Padding = 1
    """Published: 2."""
    scales: int = 2
    """Discriminators, each at half the size of the one before."""
    real: Literal["identity", "attribute", "both"] = "both"
    """Pictures that the discriminator takes for real. With the paper's "identity" it judges backgrounds too, which the
    two sides of a dataset may not share; "both" takes half of each."""
    eye_sigma: float = 0.02
    """Of the eyes' heatmaps, in shares of the picture's side."""
    loss_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "discriminator": {"hinge": 1.0},
            "generator": {
                "adversarial": 1.0,
                "attributes": 10.0,
                "identity": 15.0,
                "reconstruction": 10.0,
                "eyes": 0.0,
            },
        }
    )
    """Eyes come in a second run: in a face that is none yet, the landmarks network sees anything."""

    def __post_init__(self) -> None:
        halvings(self.size_px)
        if not 1 <= self.depth <= 3:
            raise ValueError(f"depth: expected 1 to 3, found {self.depth}")
        if min(self.encoder_width, self.generator_width, self.scales) < 1 or not self.eye_sigma > 0:
            raise ValueError(f"widths, scales and eye_sigma: expected more than 0, found {self}")
        layers = self.discriminator_kernel, self.discriminator_padding
        check_places(self.size_px, self.scales, self.discriminator_halvings, *layers)


class Ghost(Method):
    card: ClassVar = MethodCard(
        title="GHOST: A New Face Swap Approach for Image and Video Domains (Groshev et al., IEEE Access 2022)",
        paper="arXiv:2202.03046",
        summary="FaceShifter's first stage with three encoders to choose from, same-person pairs and a loss on eyes.",
        resolution=256,
        alignment="arcface_112_v1",
        blend="adaptive",
        phases={"discriminator": ("discriminator",), "generator": ("encoder", "generator")},
        needs=frozenset({"identity", "points"}),
        released="ai-forever/ghost, Apache-2.0 (its upscaler CC BY-NC-SA 4.0)",
    )

    def __init__(self, config: GhostConfig) -> None:
        super().__init__()
        self.config: GhostConfig = config
        self.encoder = _encoder(config)
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

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        (code,) = self.encode_identity(batch.identity, frozen)
        image = batch.attribute.image
        if phase == "discriminator":
            with torch.no_grad():
                swapped = self.generator(code, self.encoder(image))
            real, _ = self.discriminator(self._real(batch))
            fake, _ = self.discriminator(swapped)
            return {"hinge": hinge_discriminator(real, fake)}

        attributes = self.encoder(image)
        swapped = self.generator(code, attributes)
        fake, _ = self.discriminator(swapped)
        return {
            "adversarial": hinge_generator_bounded(fake),
            "attributes": attribute_loss(self.encoder(swapped), attributes),
            "identity": cosine_identity_loss(frozen.likeness(swapped), frozen.likeness(batch.identity.image)),
            "reconstruction": 0.5 * mse_where(swapped, batch.truth, where=batch.has_truth),
            "eyes": self._eyes(swapped, image, frozen),
        }

    def _real(self, batch: SwapBatch) -> Images:
        identity, attribute = batch.identity.image, batch.attribute.image
        if self.config.real == "both":
            half = len(batch) // 2
            return torch.cat([identity[:half], attribute[half:]])
        return identity if self.config.real == "identity" else attribute

    def _eyes(self, swapped: Images, attribute: Images, frozen: FrozenNets) -> Scalar:
        """Lids and irises stay where the attribute picture has them.

        The paper's pupils come as heatmaps of a network of others; ours tells points. Without a weight nobody looks.
        """
        if not self.config.loss_weights["generator"]["eyes"]:
            return swapped.new_zeros((), dtype=torch.float32)
        with torch.no_grad():
            kept = frozen.points(attribute)[:, EYE_POINTS]
        return heatmap_loss(frozen.points(swapped)[:, EYE_POINTS], kept, self.config.eye_sigma)

    @torch.no_grad()
    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        return (frozen.identity(identity.image),)

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        (embedding,) = code
        swapped = self.generator(embedding, self.encoder(attribute.image))
        return Swap(image=swapped, mask=torch.ones_like(swapped[:, :1]))


def _encoder(config: GhostConfig) -> UNetAttributes | ResNetAttributes:
    size_px, width, most = config.size_px, config.encoder_width, config.encoder_most
    if config.encoder == "resnet":
        return ResNetAttributes(size_px, width, most)
    return UNetAttributes(size_px, width, most, join="add" if config.encoder == "linknet" else "concatenate")


METHOD, CONFIG = Ghost, GhostConfig
