"""LIAE of DeepFaceLab: one encoder, two bottlenecks, one decoder for two people (Perov et al., 2020).

https://arxiv.org/abs/2005.05535. The toolkit's names: src = identity, dst = attribute; inter_AB = `inter_both`,
inter_B = `inter_attribute`.

A model serves one pair of people. The identity's pictures go through `inter_both` alone, whose code is laid out twice;
the attribute person's go through both bottlenecks, `inter_attribute` first. One decoder rebuilds either. What only the
attribute person has can settle in `inter_attribute`, so a swap is the attribute's picture without it: `inter_both`
twice. The identity is the absence of that person. Pose and light are kept better than by DF, likeness less well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import logistic_discriminator
from facegraft.losses.deepfacelab import (
    GAN,
    STYLE,
    Drawn,
    Lesson,
    gan_losses,
    make_lesson,
    rebuilding_losses,
    style_losses,
)
from facegraft.methods._method import Method, MethodCard
from facegraft.nn.conv import Features
from facegraft.nn.deepfacelab import Decoder, Encoder, Inter, NetworkConfig, PatchUNet, drawn_in, glorot
from facegraft.nn.warp import WarpConfig
from facegraft.tensors import Aligned, IdentityCode, Scalar, Swap, SwapBatch


@dataclass(frozen=True)
class LIAEConfig:
    """`[model]`. The toolkit's defaults: widths of 64, bottleneck 256, mask 22; priority 0."""

    size_px: int = 128
    network: NetworkConfig = field(default_factory=NetworkConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)
    """How pictures are moved, and how far the inputs are warped."""
    flip: float = 0.4
    """Share of the attribute person's pictures that are shown as in a mirror; the identity's never are."""
    masked: bool = True
    """Only the face is learnt; what the decoder draws around it is left to chance."""
    drawn_in: float = 0.05
    """By how much the mask is smaller than what was learnt, in sides of the picture; the toolkit's "erode"."""
    patch_px: int = 0
    """Side of the patches that the discriminator looks at; 0 = an eighth of the picture."""
    discriminator_width: int = 16
    loss_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "autoencoder": {
                "structure": 10.0,
                "pixels": 10.0,
                "mask": 10.0,
                "priority": 300.0,
                "face_style": 0.0,
                "background_style": 0.0,
                "adversarial": 0.0,
                "smooth": 0.0,
                "background": 0.0,
            },
            "discriminator": {"logistic": 1.0},
        }
    )
    """What weighs 0 is not computed. The toolkit's powers: face style p is 100 p, background style p is 0.1 p; a GAN of
    g is adversarial g, smooth 1e-6 and background 0.02. Ours begins with the eyes and mouth at once (the toolkit: 0 at
    first, 300 when the face has formed)."""

    def __post_init__(self) -> None:
        self.network.check_size(self.size_px)
        if not 0 <= self.flip <= 1 or not 0 <= self.drawn_in < 0.5 or self.patch_px < 0:
            found = f"flip {self.flip}, drawn_in {self.drawn_in}, patch_px {self.patch_px}"
            raise ValueError(f"expected flip in 0..1, drawn_in from 0 to below 0.5 and patch_px from 0, found {found}")


class LIAE(Method):
    card: ClassVar = MethodCard(
        title="DeepFaceLab: Integrated, flexible and extensible face-swapping framework (Perov et al., 2020): LIAE",
        paper="arXiv:2005.05535",
        summary="One model per pair of people: one decoder, two bottlenecks; swapping leaves out the attribute's own.",
        resolution=128,
        alignment="dfl_whole_face",
        phases={
            "discriminator": ("discriminator",),
            "autoencoder": ("encoder", "inter_both", "inter_attribute", "decoder"),
        },
        needs=frozenset(),
        requires=frozenset({"mask", "landmarks"}),
        per_pair=True,
        released="iperov/DeepFaceLab, GPL-3.0",
    )

    def __init__(self, config: LIAEConfig) -> None:
        super().__init__()
        self.config: LIAEConfig = config
        network, size_px = config.network, config.size_px
        channels = 2 * network.bottleneck
        self.encoder = Encoder(network)
        self.inter_both = Inter(network, size_px, channels)
        self.inter_attribute = Inter(network, size_px, channels)
        self.decoder = Decoder(network, 2 * channels)
        self.discriminator = PatchUNet(size_px, config.patch_px or size_px // 8, config.discriminator_width)
        self.apply(glorot)

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        identity = make_lesson(batch.identity, self.config.warp)
        if phase == "discriminator":
            with torch.no_grad():
                rebuilt, _ = self.decoder(_twice(self.inter_both(self.encoder(identity.shown))))
            real, fake = (self.discriminator(face * identity.soft) for face in (identity.truth, rebuilt))
            return {"logistic": logistic_discriminator(real, fake)}
        return self._autoencoder(identity, make_lesson(batch.attribute, self.config.warp, self.config.flip))

    def _autoencoder(self, identity: Lesson, attribute: Lesson) -> dict[str, Scalar]:
        weights = self.config.loss_weights["autoencoder"]
        drawn_identity = Drawn(*self.decoder(_twice(self.inter_both(self.encoder(identity.shown)))))
        without, whole = self._codes(self.encoder(attribute.shown))
        drawn_attribute = Drawn(*self.decoder(whole))
        own = rebuilding_losses(drawn_identity, identity, masked=self.config.masked)
        others = rebuilding_losses(drawn_attribute, attribute, masked=self.config.masked)
        losses = dict.fromkeys([*STYLE, *GAN], identity.truth.new_zeros(()))
        losses |= {name: own[name] + others[name] for name in own}
        if any(weights.get(name) for name in STYLE):
            losses |= style_losses(Drawn(*self.decoder(without.detach())), drawn_attribute, attribute)
        if any(weights.get(name) for name in GAN):
            losses |= gan_losses(drawn_identity, identity, self.discriminator)
        return losses

    def _codes(self, flat: Float[Tensor, "b _n"]) -> tuple[Features, Features]:
        """Of an attribute picture: without what only that person has, which is the swap, and with it."""
        both = self.inter_both(flat)
        return _twice(both), torch.cat([self.inter_attribute(flat), both], 1)

    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        """Nothing is kept of the pictures: who the person is lies in the weights."""
        return (torch.zeros_like(identity.image[:, 0, 0, :1]),)

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        """The mask is where both the swapped face and the attribute's own are, the toolkit's default."""
        without, whole = self._codes(self.encoder(attribute.image))
        image, mask = self.decoder(without)
        return Swap(image=2 * image - 1, mask=drawn_in(mask * self.decoder.masks(whole), self.config.drawn_in))


def _twice(code: Features) -> Features:
    return torch.cat([code, code], 1)


METHOD, CONFIG = LIAE, LIAEConfig
