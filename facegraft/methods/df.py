"""DF of DeepFaceLab: one encoder, one bottleneck, a decoder for each of two people (Perov et al., 2020).

https://arxiv.org/abs/2005.05535. The toolkit's names: src = identity, dst = attribute.

A model serves one pair of people. Pictures of both go through one encoder and one narrow bottleneck, and each person's
decoder learns to rebuild that person from the code, although the input was warped. So the code can hold only what the
two have in common, pose, expression and light, and the decoders add who it is. To swap, the identity's decoder draws
the attribute person's code. There is no right answer to a swap and no need of one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import torch

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import logistic_discriminator, logistic_generator
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
from facegraft.nn.deepfacelab import (
    CodeDiscriminator,
    Decoder,
    Encoder,
    Inter,
    NetworkConfig,
    PatchUNet,
    drawn_in,
    glorot,
)
from facegraft.nn.warp import WarpConfig
from facegraft.tensors import Aligned, IdentityCode, Images, Scalar, Swap, SwapBatch


@dataclass(frozen=True)
class DFConfig:
    """`[model]`. The toolkit's defaults: widths of 64, bottleneck 256, mask 22; priority 0."""

    size_px: int = 128
    network: NetworkConfig = field(default_factory=NetworkConfig)
    warp: WarpConfig = field(default_factory=WarpConfig)
    """How pictures are moved, and how far the inputs are warped."""
    flip: float = 0.4
    """Share of the attribute person's pictures that are shown as in a mirror; the identity's never are."""
    masked: bool = True
    """Only the face is learnt; what decoders draw around it is left to chance."""
    drawn_in: float = 0.05
    """By how much the mask is smaller than what was learnt, in sides of the picture; the toolkit's "erode"."""
    patch_px: int = 0
    """Side of the patches that the discriminator looks at; 0 = an eighth of the picture."""
    discriminator_width: int = 16
    code_discriminator_width: int = 32
    """256 in the toolkit."""
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
                "true_face": 0.0,
            },
            "code_discriminator": {"logistic": 0.5},
            "discriminator": {"logistic": 1.0},
        }
    )
    """What weighs 0 is not computed. The toolkit's powers: face style p is 100 p, background style p is 0.1 p; a GAN of
    g is adversarial g, smooth 1e-6 and background 0.02; a true face of t is t. Ours begins with the eyes and mouth at
    once (the toolkit: 0 at first, 300 when the face has formed)."""

    def __post_init__(self) -> None:
        self.network.check_size(self.size_px)
        if not 0 <= self.flip <= 1 or not 0 <= self.drawn_in < 0.5 or self.patch_px < 0:
            found = f"flip {self.flip}, drawn_in {self.drawn_in}, patch_px {self.patch_px}"
            raise ValueError(f"expected flip in 0..1, drawn_in from 0 to below 0.5 and patch_px from 0, found {found}")


class DF(Method):
    card: ClassVar = MethodCard(
        title="DeepFaceLab: Integrated, flexible and extensible face-swapping framework (Perov et al., 2020): DF",
        paper="arXiv:2005.05535",
        summary="One model per pair of people: a shared encoder, a decoder for each; swapping is taking the other's.",
        resolution=128,
        alignment="dfl_whole_face",
        phases={
            "code_discriminator": ("code_discriminator",),
            "discriminator": ("discriminator",),
            "autoencoder": ("encoder", "inter", "decoder_identity", "decoder_attribute"),
        },
        needs=frozenset(),
        requires=frozenset({"mask", "landmarks"}),
        per_pair=True,
        released="iperov/DeepFaceLab, GPL-3.0",
    )

    def __init__(self, config: DFConfig) -> None:
        super().__init__()
        self.config: DFConfig = config
        network, size_px = config.network, config.size_px
        self.encoder = Encoder(network)
        self.inter = Inter(network, size_px, network.bottleneck)
        self.decoder_identity = Decoder(network, network.bottleneck)
        self.decoder_attribute = Decoder(network, network.bottleneck)
        self.code_discriminator = CodeDiscriminator(
            network.bottleneck, network.code_side(size_px), config.code_discriminator_width
        )
        self.discriminator = PatchUNet(size_px, config.patch_px or size_px // 8, config.discriminator_width)
        self.apply(glorot)

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        identity = make_lesson(batch.identity, self.config.warp)
        attribute = make_lesson(batch.attribute, self.config.warp, self.config.flip)
        if phase == "code_discriminator":
            with torch.no_grad():
                codes = [self._code(lesson.shown) for lesson in (attribute, identity)]
            real, fake = ([self.code_discriminator(code)] for code in codes)
            return {"logistic": logistic_discriminator(real, fake)}

        if phase == "discriminator":
            with torch.no_grad():
                rebuilt, _ = self.decoder_identity(self._code(identity.shown))
            real, fake = (self.discriminator(face * identity.soft) for face in (identity.truth, rebuilt))
            return {"logistic": logistic_discriminator(real, fake)}
        return self._autoencoder(identity, attribute)

    def _autoencoder(self, identity: Lesson, attribute: Lesson) -> dict[str, Scalar]:
        weights = self.config.loss_weights["autoencoder"]
        code_identity, code_attribute = self._code(identity.shown), self._code(attribute.shown)
        drawn_identity = Drawn(*self.decoder_identity(code_identity))
        drawn_attribute = Drawn(*self.decoder_attribute(code_attribute))
        own = rebuilding_losses(drawn_identity, identity, masked=self.config.masked)
        others = rebuilding_losses(drawn_attribute, attribute, masked=self.config.masked)
        losses = dict.fromkeys([*STYLE, *GAN, "true_face"], identity.truth.new_zeros(()))
        losses |= {name: own[name] + others[name] for name in own}
        if any(weights.get(name) for name in STYLE):
            swapped = Drawn(*self.decoder_identity(code_attribute.detach()))
            losses |= style_losses(swapped, drawn_attribute, attribute)
        if any(weights.get(name) for name in GAN):
            losses |= gan_losses(drawn_identity, identity, self.discriminator)
        if weights.get("true_face"):
            losses["true_face"] = logistic_generator([self.code_discriminator(code_identity)])
        return losses

    def _code(self, images: Images) -> Features:
        return self.inter(self.encoder(images))

    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        """Nothing is kept of the pictures: who the person is lies in the weights."""
        return (torch.zeros_like(identity.image[:, 0, 0, :1]),)

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        """The mask is where both the swapped face and the attribute's own are, the toolkit's default."""
        held = self._code(attribute.image)
        image, mask = self.decoder_identity(held)
        return Swap(image=2 * image - 1, mask=drawn_in(mask * self.decoder_attribute.masks(held), self.config.drawn_in))


METHOD, CONFIG = DF, DFConfig
