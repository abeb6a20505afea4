"""Networks that tell real pictures from made ones, patch by patch."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.norm import InstanceNorm
from facegraft.tensors import Images

Features = Float[Tensor, "b _c _h _w"]


class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al., arXiv:1611.07004): halvings, then one layer and the answer at the same size.

    Args:
        width: Channels of the first layer; they double up to eight times as many.
        halvings: Layers of stride 2.
        normalised: Instance normalisation behind all layers but the first and the last.
        spectral: Spectral normalisation of all weights instead (arXiv:1802.05957).
    """

    def __init__(self, width: int = 64, halvings: int = 3, *, normalised: bool = True, spectral: bool = False) -> None:
        super().__init__()
        widths = [min(width * 2**level, 8 * width) for level in range(halvings + 1)]
        layers, before = [], 3
        for level, channels in enumerate(widths):
            stride = 2 if level < halvings else 1
            norm: list[nn.Module] = [InstanceNorm()] if normalised and level else []
            convolution = nn.Conv2d(before, channels, 4 if stride == 2 else 3, stride, 1, bias=not norm)
            layers.append(nn.Sequential(_spectral(convolution, spectral), *norm, nn.LeakyReLU(0.2)))
            before = channels
        self.layers = nn.ModuleList(layers)
        self.answer = _spectral(nn.Conv2d(before, 1, 3, padding=1), spectral)

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
        self, scales: int = 2, width: int = 64, halvings: int = 3, *, normalised: bool = True, spectral: bool = False
    ) -> None:
        super().__init__()
        self.scales = nn.ModuleList(
            PatchDiscriminator(width, halvings, normalised=normalised, spectral=spectral) for _ in range(scales)
        )

    def forward(self, images: Images) -> tuple[list[Features], list[list[Features]]]:
        """Logits of each scale, and the maps of each."""
        answers, maps = [], []
        for number, scale in enumerate(self.scales):
            answer, seen = scale(images if number == 0 else F.avg_pool2d(images, 2**number))
            answers.append(answer)
            maps.append(seen)
        return answers, maps


def _spectral(layer: nn.Module, wanted: bool) -> nn.Module:
    return nn.utils.parametrizations.spectral_norm(layer) if wanted else layer
