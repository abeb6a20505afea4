"""Networks that tell real pictures from made ones, patch by patch or by what a frozen network sees of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import Up
from facegraft.nn.norm import InstanceNorm, group_norm
from facegraft.tensors import Images

Features = Float[Tensor, "b _c _h _w"]
Kernel = Literal[3, 4]
Padding = Literal[1, 2]


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al., arXiv:1611.07004): halvings, then one layer and the answer at about that size.

    Args:
        width: Channels of the first layer; they double up to `most`.
        halvings: Layers of stride 2.
        most: Channels at the most; 0: eight times `width`.
        kernel: Of the layers of stride 1; the others have 4. pix2pixHD and all that follow it have 4 everywhere.
        padding: Of every layer. Kernels of 4 make maps a place smaller with 1, a place larger with 2, as in pix2pixHD.
        normalised: Instance normalisation behind all layers but the first and the last.
        spectral: Spectral normalisation of all weights instead (arXiv:1802.05957).
    """

    def __init__(
        self,
        width: int = 64,
        halvings: int = 3,
        *,
        most: int = 0,
        kernel: Kernel = 3,
        padding: Padding = 1,
        normalised: bool = True,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        widths = [min(width * 2**level, most or 8 * width) for level in range(halvings + 1)]
        layers, before = [], 3
        for level, channels in enumerate(widths):
            stride = 2 if level < halvings else 1
            norm: list[nn.Module] = [InstanceNorm()] if normalised and level else []
            convolution = nn.Conv2d(before, channels, 4 if stride == 2 else kernel, stride, padding, bias=not norm)
            layers.append(nn.Sequential(_spectral(convolution, spectral), *norm, nn.LeakyReLU(0.2)))
            before = channels
        self.layers = nn.ModuleList(layers)
        self.answer = _spectral(nn.Conv2d(before, 1, kernel, padding=padding), spectral)

    def forward(self, images: Images) -> tuple[Features, list[Features]]:
        """Logits of patches, and the maps before them, fine ones first."""
        maps: list[Tensor] = []
        held = images
        for layer in self.layers:
            held = layer(held)
            maps.append(held)
        return self.answer(held), maps


class MultiScaleDiscriminator(nn.Module):
    """Several of them, each looking at the picture half as large as the one before (pix2pixHD, arXiv:1711.11585)."""

    def __init__(
        self,
        scales: int = 2,
        width: int = 64,
        halvings: int = 3,
        *,
        kernel: Kernel = 3,
        padding: Padding = 1,
        normalised: bool = True,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(
                width, halvings, kernel=kernel, padding=padding, normalised=normalised, spectral=spectral
            )
            for _ in range(scales)
        )

    def forward(self, images: Images) -> tuple[list[Features], list[list[Features]]]:
        """Logits of each scale, and the maps of each."""
        answers, maps = [], []
        for number, scale in enumerate(self.scales):
            answer, seen = scale(images if number == 0 else F.avg_pool2d(images, 2**number))
            answers.append(answer)
            maps.append(seen)
        return answers, maps


def check_places(size_px: int, scales: int, halvings: int, kernel: Kernel = 3, padding: Padding = 1) -> None:
    """Instance normalisation makes 0 of a map of a single place: nothing would be judged or taught by it.

    Raises:
        ValueError: The last scale of a normalised `MultiScaleDiscriminator` has such a map.
    """
    side = seen = size_px >> scales - 1
    for _ in range(halvings):
        side = (side + 2 * padding - 4) // 2 + 1
    side = min(side, side + 2 * padding - kernel + 1)
    if side < 2:
        raise ValueError(
            f"discriminator_halvings: expected less than {halvings}, or fewer scales than {scales}, or a padding of 2: "
            f"of the {seen} px that the last scale sees a map of {max(side, 0)} x {max(side, 0)} places is left"
        )


class RandomMixing(nn.Module):
    """A 1x1 convolution that is drawn once, saved with the weights and never trained; it keeps the mean square."""

    weight: Tensor

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.randn(channels_out, channels_in, 1, 1) / math.sqrt(channels_in))

    def forward(self, x: Features) -> Features:
        return F.conv2d(x, self.weight)


class ProjectedDiscriminator(nn.Module):
    """Judges what a frozen network sees of a picture, not the picture (Projected GANs, arXiv:2111.01007).

    A discriminator of its own would dwell on the few channels that tell the two sides apart most easily. So the maps
    are mixed at random first: across channels, and each coarse map, enlarged, into the next finer one (the paper's CCM
    and CSM). Each mixed map, at twice the size of its own, has a head that halves it to the size of the coarsest map
    and answers.

    Args:
        channels_in: Of the frozen network's maps, fine ones first; each map is half as large as the one before.
        width: Channels of the finest map after the mixing of channels; they double from map to map.
    """

    def __init__(self, channels_in: Sequence[int], width: int = 64) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(len(channels_in))]
        finer = [width, *widths[:-1]]
        self.across_channels = nn.ModuleList(
            RandomMixing(before, after) for before, after in zip(channels_in, widths, strict=True)
        )
        self.across_scales = nn.ModuleList(
            RandomMixing(before, after) for before, after in zip(widths, finer, strict=True)
        )
        self.enlarge = Up("bilinear")
        self.heads = nn.ModuleList(_head(entering, widths[level:]) for level, entering in enumerate(finer))

    def forward(self, maps: Sequence[Features]) -> list[Features]:
        """Logits of each map's head, those of the finest one first; the coarsest map's side must be 4 or more."""
        answers: list[Features] = []
        risen: Tensor | None = None
        mixers = zip(maps, self.across_channels, self.across_scales, self.heads, strict=True)
        for seen, across_channels, across_scales, head in reversed(list(mixers)):
            mixed = across_channels(seen)
            # The paper enlarges first; 1x1 convolutions do not care, and small maps are cheaper.
            risen = self.enlarge(across_scales(mixed if risen is None else risen + mixed))
            answers.append(head(risen))
        return answers[::-1]


def _head(channels_in: int, widths: Sequence[int]) -> nn.Sequential:
    """One halving per width, then an answer for every 4 x 4 places; all weights spectrally normalised."""
    head = nn.Sequential()
    for channels in widths:
        convolution = nn.Conv2d(channels_in, channels, 4, 2, 1, bias=False)
        head.extend([_spectral(convolution, True), group_norm(channels), nn.LeakyReLU(0.2)])
        channels_in = channels
    return head.append(_spectral(nn.Conv2d(channels_in, 1, 4), True))


def _spectral(layer: nn.Module, wanted: bool) -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(layer) if wanted else layer
