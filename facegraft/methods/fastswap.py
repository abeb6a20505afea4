"""FastSwap: a lightweight one-stage framework for real-time face swapping (Yoo et al., WACV 2023).

https://doi.org/10.1109/WACV56688.2023.00355. Paper's names: source = identity, target = attribute, and a third input,
the "attribute image", is our colour reference. Code was announced and never released: widths, weights and steps are a
reconstruction from the figures.

No recogniser at work. Two frames of one person are distorted in colour, each its own way, and the second as it was is
the answer: so the identity encoder must carry structure, the pose network geometry, and colours can only come from the
small reference. Three ways to modulate the decoder (triple adaptive normalisation, TAN): pose by one number per place,
identity by all channels per place, and the pose's code by one number per channel.

In training that way no two people ever meet. A share of each batch is therefore swapped with the next pair's person,
without an answer, and judged by identity, pose, realism and background.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.frozen.nets import FrozenNets
from facegraft.losses.adversarial import hinge_discriminator, hinge_generator
from facegraft.losses.attributes import expression_loss
from facegraft.losses.features import feature_matching
from facegraft.losses.identity import cosine_identity_loss
from facegraft.losses.image import mean_where
from facegraft.methods._method import Method, MethodCard
from facegraft.nn.colour import calmed, distort
from facegraft.nn.conv import Up
from facegraft.nn.discriminators import MultiScaleDiscriminator
from facegraft.nn.norm import InstanceNorm
from facegraft.tensors import Aligned, IdentityCode, Images, Mask, Scalar, Swap, SwapBatch

Features = Float[Tensor, "b _c _h _w"]
Code = Float[Tensor, "b _d"]
Reference = Float[Tensor, "b 3 _h _w"]
"""Where colours come from: RGB, -1..1, a quarter of the size."""
REFERENCE_SHRINK, POSE_PX = 4, 4
"""How much smaller the colour reference is; side of the pose network's last map."""
GROWN_PX = 2
"""Of what is drawn around a face losses see so much, for the mask's soft edge (`pasted`)."""


@dataclass(frozen=True)
class FastSwapConfig:
    """`[model]`. The paper's widths and weights are not known; `size_px` 256 and `width` 32 fit its speed."""

    size_px: int = 128
    width: int = 24
    """Channels at the whole size; twice as many at a half, four times at a quarter."""
    merge: Literal["sum", "concat"] = "sum"
    """How the two paths of a TAN block meet: its drawing says plus, the one of the whole network may mean either."""
    pose_code: int = 0
    """Numbers that tell a pose and its expression; 0: four times the width."""
    calm: float = 1.0
    """Tints are those of their surroundings, blurred by so many pixels of the colour reference, which knows no finer
    ones (`nn.colour.calmed`); 0: as drawn. Ours, against fringes."""
    distorted: float = 0.9
    """Chance of each picture's colours to be distorted."""
    cross_share: float = 0.25
    """Of each batch that is swapped with the next person too; ours. The paper has none."""
    pasted: bool = False
    """Losses see what is drawn inside the attribute image's face mask alone, on the right answer's own background. Else
    whole pictures, as the paper has it, which take much of a small network for backgrounds that nobody sees; ours."""
    discriminator_width: int = 32
    discriminator_halvings: int = 3
    loss_weights: dict[str, dict[str, float]] = field(
        default_factory=lambda: {
            "discriminator": {"hinge": 1.0},
            "generator": {
                "reconstruction": 10.0,
                "perceptual": 4.0,
                "adversarial": 1.0,
                "features": 5.0,
                "identity": 2.0,
                "pose": 30.0,
                "expression": 100.0,
                "mask": 1.0,
                "cross_identity": 5.0,
                "cross_pose": 30.0,
                "cross_expression": 100.0,
                "cross_background": 5.0,
            },
        }
    )

    def __post_init__(self) -> None:
        least = REFERENCE_SHRINK * POSE_PX
        if self.size_px < 2 * least or self.size_px % least or (self.size_px // least).bit_count() != 1:
            raise ValueError(f"size_px: expected 32, 64, 128 and so on, found {self.size_px}")
        if self.width < 1 or self.pose_code < 0 or not 0 < self.cross_share <= 1 or not 0 <= self.calm <= 4:
            found = f"{self.width}, {self.pose_code}, {self.cross_share} and {self.calm}"
            raise ValueError(
                f"expected width from 1, pose_code from 0, cross_share in 0..1 and calm in 0..4, found {found}"
            )


class IdentityEncoder(nn.Module):
    """Three levels: at a quarter of the size what the trunk and the first TAN block get, at a half the second's."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.to_half = _layer(3, width, 7), _layer(width, 2 * width, 4, stride=2)
        self.to_quarter = _layer(2 * width, 4 * width, 4, stride=2)
        self.inner = nn.Conv2d(4 * width, 2 * width, 1)

    def forward(self, images: Images) -> tuple[Features, Features, Features]:
        half = self.to_half(self.first(images))
        quarter = self.to_quarter(half)
        return self.inner(quarter), quarter, half


class PoseNet(nn.Module):
    """A picture down to one code, and from that alone up again to maps at a quarter and a half of the size."""

    def __init__(self, size_px: int, width: int, code: int) -> None:
        super().__init__()
        halvings = int(math.log2(size_px // POSE_PX))
        widths = [width, 2 * width, *[4 * width] * (halvings - 2)]
        pairs = list(zip([3, *widths[:-1]], widths, strict=True))
        self.down = nn.Sequential(*(_layer(a, b, 4, stride=2) for a, b in pairs[:-1]))
        # The last map is not normalised: its 16 places are all that is left to tell poses apart.
        self.last = nn.Conv2d(*pairs[-1], 4, stride=2, padding=1)
        self.code = nn.Linear(widths[-1] * POSE_PX**2, code)
        self.back = nn.Linear(code, 4 * width * POSE_PX**2)
        ups = halvings - 2
        after = [4 * width, *[2 * width] * (ups - 1), width]
        self.to_quarter = nn.Sequential(*(_up(a, b) for a, b in itertools.pairwise(after)))
        self.to_half = _up(width, width)

    def forward(self, images: Images) -> tuple[Code, Features, Features]:
        code = self.code(F.leaky_relu(self.last(self.down(images)), 0.2).flatten(1))
        quarter = self.to_quarter(F.leaky_relu(self.back(code), 0.2).unflatten(1, (-1, POSE_PX, POSE_PX)))
        return code, quarter, self.to_half(quarter)


class Adaptive(nn.Module):
    """normalised x * (1 + scale) + shift, both made by the layer that is given.

    All channels are normalised as one. Instance normalisation would level them one by one, and with them a picture's
    tint, which is all that the colour reference has to say; ours, the figures only say "adaptive".
    """

    def __init__(self, channels: int, make: nn.Module) -> None:
        super().__init__()
        self.norm, self.make = nn.GroupNorm(1, channels, affine=False), make

    def forward(self, x: Features, given: Tensor) -> Features:
        made = self.make(given)
        scale, shift = (made if made.ndim == 4 else made[..., None, None]).chunk(2, dim=1)
        return self.norm(x) * (1 + scale) + shift


class TAN(nn.Module):
    """Pose, then identity on one path, the pose's code on the other; their sum.

    Pose has a single scale and shift per place, the same for all channels: it can move things, but cannot carry the
    colours or the likeness of the person whose pose it is.
    """

    def __init__(self, channels: int, identity: int, pose: int, code: int, merge: str) -> None:
        super().__init__()
        self.merge = merge
        self.by_pose = Adaptive(channels, nn.Conv2d(pose, 2, 1))
        self.by_identity = Adaptive(channels, nn.Conv2d(identity, 2 * channels, 1))
        mlp = nn.Sequential(nn.Linear(code, code), nn.LeakyReLU(0.2), nn.Linear(code, 2 * channels))
        self.by_code = Adaptive(channels, mlp)
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3))

    def forward(self, x: Features, identity: Features, pose: Features, code: Code) -> Features:
        first, second, beside = self.convolutions
        upper = F.relu(self.by_pose(first(x), pose))
        upper = F.relu(self.by_identity(second(upper), identity))
        lower = F.relu(self.by_code(beside(x), code))
        return upper + lower if self.merge == "sum" else torch.cat([upper, lower], 1)


class Generator(nn.Module):
    """Identity encoder, pose network, and the decoder with its two TAN blocks."""

    def __init__(self, config: FastSwapConfig) -> None:
        super().__init__()
        width, held = config.width, 1 if config.merge == "sum" else 2
        code = config.pose_code or 4 * width
        self.identity = IdentityEncoder(width)
        self.pose = PoseNet(config.size_px, width, code)
        self.trunk = nn.Sequential(
            nn.Conv2d(2 * width + 3, 4 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 4 * width, 3, padding=1),
        )
        self.beside = nn.Conv2d(2 * width + 3, 4 * width, 1)
        self.tan_quarter = TAN(4 * width, 4 * width, width, code, config.merge)
        self.to_half = _up(held * 4 * width, 2 * width)
        self.tan_half = TAN(2 * width, 2 * width, width, code, config.merge)
        self.to_whole = _up(held * 2 * width, width)
        self.last = nn.Conv2d(width, 4, 7, padding=3)
        self.calm_px = config.calm * REFERENCE_SHRINK

    def forward(self, attribute: Images, reference: Reference, code: IdentityCode) -> tuple[Images, Mask]:
        """A picture, -1..1, and the logits of where its face is.

        Args:
            attribute: Gives the pose.
            reference: Gives the colours; a quarter of the size.
            code: What `identity` made of the identity image.
        """
        inner, quarter, half = code
        pose_code, pose_quarter, pose_half = self.pose(attribute)
        given = torch.cat([inner, reference], 1)
        held = F.leaky_relu(self.trunk(given) + self.beside(given), 0.2)
        held = self.to_half(self.tan_quarter(held, quarter, pose_quarter, pose_code))
        held = self.to_whole(self.tan_half(held, half, pose_half, pose_code))
        made = self.last(held)
        drawn = torch.tanh(made[:, :3])
        return calmed(drawn, self.calm_px) if self.calm_px else drawn, made[:, 3:]


class FastSwap(Method):
    card: ClassVar = MethodCard(
        title="FastSwap: A Lightweight One-Stage Framework for Real-Time Face Swapping (Yoo et al., WACV 2023)",
        paper="doi:10.1109/WACV56688.2023.00355",
        summary="No recogniser: colour-distorted frames of one person teach identity, pose and colour to go apart.",
        resolution=256,
        alignment="arcface_112_v1",
        phases={"discriminator": ("discriminator",), "generator": ("generator",)},
        needs=frozenset({"identity", "perceptual", "points"}),
        requires=frozenset({"mask"}),
    )

    def __init__(self, config: FastSwapConfig) -> None:
        super().__init__()
        self.config: FastSwapConfig = config
        self.generator = Generator(config)
        self.discriminator = MultiScaleDiscriminator(
            2, config.discriminator_width, config.discriminator_halvings, normalised=False, spectral=True
        )

    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        answer = torch.where(batch.has_truth[:, None, None, None], batch.truth, batch.attribute.image)
        if phase == "discriminator":
            with torch.no_grad():
                swapped = self._pasted(self._cross(batch)[0], batch.attribute.image, batch)
                own = self._pasted(self._reconstruct(batch)[0], answer, batch)
                made = torch.cat([swapped, own[len(swapped) :]])
            return {"hinge": hinge_discriminator(self.discriminator(answer)[0], self.discriminator(made)[0])}

        own, logits = self._reconstruct(batch)
        own = self._pasted(own, answer, batch)
        swapped = self._pasted(self._cross(batch)[0], batch.attribute.image, batch)
        judged, maps = self.discriminator(torch.cat([own, swapped]))
        with torch.no_grad():
            _, real_maps = self.discriminator(answer)
        losses = self._answer_losses(own, logits, batch, frozen) | self._cross_losses(swapped, batch, frozen)
        return losses | {
            "adversarial": hinge_generator(judged),
            "features": self._matching(maps, real_maps, batch),
        }

    def _reconstruct(self, batch: SwapBatch) -> tuple[Images, Mask]:
        """The pair as it comes, distorted; colours from the identity image as it was, moved so that it tells no more.

        Pairs of two people, with an answer or without, get the attribute image's colours, as at work.
        """
        own = (batch.truth == batch.attribute.image).flatten(1).all(1)[:, None, None, None]
        reference = _shrunk(torch.where(own, _moved(batch.identity.image), batch.attribute.image))
        identity, attribute = (distort(side.image, self.config.distorted) for side in (batch.identity, batch.attribute))
        made: tuple[Images, Mask] = self.generator(attribute, reference, self.generator.identity(identity))
        return made

    def _cross(self, batch: SwapBatch) -> tuple[Images, Mask]:
        """The first pairs' attribute images with the next pairs' people, half of the pictures as at work."""
        people, count = self._next_people(batch)
        attribute = batch.attribute.image[:count]
        chance = self.config.distorted / 2
        code = self.generator.identity(distort(people, chance))
        made: tuple[Images, Mask] = self.generator(distort(attribute, chance), _shrunk(attribute), code)
        return made

    def _pasted(self, made: Images, on: Float[Tensor, "_n 3 h w"], batch: SwapBatch) -> Images:
        """What is drawn for the first pictures inside the face, and a little around it, on these backgrounds."""
        if not self.config.pasted:
            return made
        count = len(made)
        where = F.avg_pool2d(F.max_pool2d(_face(batch)[:count], 2 * GROWN_PX + 1, 1, GROWN_PX), 3, 1, 1)
        return on[:count] + where * (made - on[:count])

    def _next_people(self, batch: SwapBatch) -> tuple[Images, int]:
        count = math.ceil(self.config.cross_share * len(batch))
        return batch.identity.image.roll(-1, 0)[:count], count

    def _answer_losses(self, own: Images, logits: Mask, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        where, face = batch.has_truth, _face(batch)
        with torch.no_grad():
            person = frozen.likeness(batch.identity.image)
            maps, points = list(frozen.perceptual(batch.truth)), frozen.points(batch.truth)
        # The face counts twice.
        pixels = ((own.float() - batch.truth.float()).square() * (1 + face)).mean((1, 2, 3))
        seen = [
            (a.float() - b.float()).abs().flatten(1).mean(1) for a, b in zip(frozen.perceptual(own), maps, strict=True)
        ]
        placed = frozen.points(own)
        outline = F.binary_cross_entropy_with_logits(logits.float(), face.float(), reduction="none")
        return {
            "reconstruction": mean_where(pixels, where),
            "perceptual": mean_where(torch.stack(seen).sum(0), where),
            "identity": cosine_identity_loss(frozen.likeness(own), person),
            "pose": mean_where((placed - points).abs().mean((1, 2)), where),
            "expression": mean_where(expression_loss(placed, points), where),
            "mask": outline.mean(),
        }

    def _cross_losses(self, swapped: Images, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        people, count = self._next_people(batch)
        attribute = batch.attribute.image[:count]
        with torch.no_grad():
            person, points = frozen.likeness(people), frozen.points(attribute)
        outside, placed = 1 - _face(batch)[:count], frozen.points(swapped)
        return {
            "cross_identity": cosine_identity_loss(frozen.likeness(swapped), person),
            "cross_pose": (placed - points).abs().mean(),
            "cross_expression": expression_loss(placed, points).mean(),
            "cross_background": ((swapped.float() - attribute.float()).abs() * outside).mean(),
        }

    def _matching(self, made: list[list[Tensor]], real: list[list[Tensor]], batch: SwapBatch) -> Scalar:
        """Maps of the pairs that have an answer are like the answer's."""
        known = batch.has_truth[:, None, None, None].float()
        scales = [
            feature_matching([a[: len(batch)] * known for a in seen], [b * known for b in wanted])
            for seen, wanted in zip(made, real, strict=True)
        ]
        return torch.stack(scales).mean() / known.mean().clamp(min=1e-6)

    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        """Maps of the identity image itself; no frame changes them."""
        code: IdentityCode = self.generator.identity(identity.image)
        return code

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        return self.swap_coloured(attribute.image, attribute.image, code)

    def swap_coloured(self, attribute: Images, reference: Images, code: IdentityCode) -> Swap:
        """As `swap`, with the colours of any picture; the background stays the attribute image's."""
        made, logits = self.generator(attribute, _shrunk(reference), code)
        mask = torch.sigmoid(logits)
        return Swap(image=attribute + mask * (made - attribute), mask=mask)


def _face(batch: SwapBatch) -> Mask:
    if batch.attribute.mask is None:
        raise ValueError("fastswap: expected masks of the attribute images, found none; require 'mask'")
    return batch.attribute.mask


def _shrunk(images: Images) -> Reference:
    """A colour reference: so small that it tells no identity."""
    return F.avg_pool2d(images, REFERENCE_SHRINK)


def _moved(images: Images) -> Images:
    """Each flipped by chance, turned by up to 15 degrees, scaled and shifted by up to a tenth."""
    u = torch.rand(len(images), 5, device=images.device) * 2 - 1
    angle, zoom = u[:, 0] * math.radians(15), 1 + 0.1 * u[:, 1]
    flip = torch.where(u[:, 2] < 0, -1.0, 1.0)
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    rows = (torch.stack([cosine * flip, -sine, 0.2 * u[:, 3]], 1), torch.stack([sine * flip, cosine, 0.2 * u[:, 4]], 1))
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False).to(images.dtype)


def _layer(channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution, instance normalisation: encoders need no colours."""
    convolution = nn.Conv2d(channels_in, channels_out, kernel, stride, (kernel - 1) // 2, bias=False)
    return nn.Sequential(convolution, InstanceNorm(), nn.LeakyReLU(0.2))


def _up(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(Up("bilinear"), nn.Conv2d(channels_in, channels_out, 3, padding=1), nn.LeakyReLU(0.2))


METHOD, CONFIG = FastSwap, FastSwapConfig
