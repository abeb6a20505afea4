"""Says what every pixel of a face's crop shows, and where the inner face is seen. Trained by train/eyes/parser.py.

A U-Net (Ronneberger et al., arXiv:1505.04597) of inverted residuals (MobileNetV2, arXiv:1801.04381): five sizes down to
a 32nd of the crop, and up again by nearest neighbours, adding what the same size held on the way down. Scores are made
at half the size and enlarged, which places outlines between pixels.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import ConvNormAct, Inverted, Separable, Up
from facegraft.nn.weights import load_weights

CLASSES = (
    "background",
    "skin",
    "brow",
    "eye",
    "lip",
    "mouth",
    "nose",
    "ear",
    "hair",
    "glasses",
    "hat",
    "neck",
    "cloth",
    "occluder",
)
"""What a pixel can be, in the order of the output's channels. "skin" is that of the head, under a beard too; "mouth" is
what open lips show; "neck" is all bare skin below the head; "glasses" are frames and dark lenses."""
CLASS_OF_REGION: Mapping[str, str] = {
    "background": "background",
    "face": "skin",
    "nose": "nose",
    "upper_lip": "lip",
    "lower_lip": "lip",
    "mouth": "mouth",
    "eye": "eye",
    "beard": "skin",
    "brow": "brow",
    "hair": "hair",
    "lash": "eye",
    "ear": "ear",
    "neck": "neck",
    "cloth": "cloth",
    "glasses": "glasses",
    "hat": "hat",
    "occluder": "occluder",
    "scalp": "skin",
    "face_mask": "occluder",
}
"""Names of data/regions.py -> ours. A beard counts as the skin it grows on: a swap replaces both."""
INNER_REGIONS = frozenset({"face", "nose", "upper_lip", "lower_lip", "mouth", "eye", "beard", "brow", "lash"})
"""Regions that are the inner face, which "visible" shows: no scalp, no ears, nothing that lies before the face."""
CROP_MARGIN = 1.9
"""Side of the crop in sides of the box around the face's points: hair, neck and hat are in view."""
SIZE_PX = 256
STEP_PX = 32
"""Sides of a crop must be multiples of this."""
_LARGEST_LOGIT = 30.0


@dataclass(frozen=True)
class ParserConfig:
    """Size of the network."""

    widths: tuple[int, ...] = (16, 32, 64, 96, 128)
    """Channels at 2, 4, 8, 16 and 32 pixels per step, on the way down and up; multiples of 16 run best."""
    depths: tuple[int, ...] = (1, 2, 3, 4, 2)
    """Blocks at each size on the way down, besides the one that halves; on the way up there is one."""
    expansion: int = 3
    """By how much a block widens its channels inside."""
    coarse_kernel: int = 5
    """Of the depthwise convolutions at the two coarsest sizes, which see most of the crop."""

    def __post_init__(self) -> None:
        if len(self.widths) != 5 or len(self.depths) != 5 or min(*self.widths, *self.depths, self.expansion) < 1:
            raise ValueError("expected five widths and five depths of 1 or more, and an expansion of 1 or more")
        if self.coarse_kernel % 2 == 0 or self.coarse_kernel < 1:
            raise ValueError("coarse_kernel must be odd")


class Parser(nn.Module):
    """Crop -> shares of the classes, and of the visible inner face."""

    def __init__(self, config: ParserConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.widths
        self.stem = ConvNormAct(3, widths[0], 3, stride=2)
        self.down = nn.ModuleList(self._stage(level) for level in range(5))
        self.narrow = nn.ModuleList(
            ConvNormAct(coarse, fine, 1, activation="none") for fine, coarse in itertools.pairwise(widths)
        )
        self.up = Up("nearest")
        self.join = nn.ModuleList(self._joint(level) for level in range(4))
        self.out = nn.Conv2d(widths[0], len(CLASSES) + 1, 1)
        self.enlarge = Up("bilinear")

    def forward(self, crop: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"]]:
        """Shares of the classes (they sum to 1) and of the visible inner face, 0..1.

        Softmax is written out, and its sum as a product of matrices: ONNX Runtime's Softmax over this axis takes 9 ms
        of a crop, more than the rest of the network.

        Args:
            crop: RGB, 0..1; height and width multiples of `STEP_PX`.
        """
        scores = self.enlarge(self._scores(crop).clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT))
        raised = scores[:, : len(CLASSES)].exp()
        total = torch.matmul(raised.new_ones(1, len(CLASSES)), raised.flatten(2))
        return raised / total.unflatten(2, crop.shape[-2:]), scores[:, len(CLASSES) :].sigmoid()

    def logits(self, crop: Float[Tensor, "b 3 h w"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b 1 h w"]]:
        """The same before softmax and sigmoid, as training needs it."""
        scores = self.enlarge(self._scores(crop))
        return scores[:, : len(CLASSES)], scores[:, len(CLASSES) :]

    def _scores(self, crop: Tensor) -> Tensor:
        """At half the crop's size."""
        held, kept = self.stem(crop * 2 - 1), []
        for stage in self.down:
            held = stage(held)
            kept.append(held)
        for level in (3, 2, 1, 0):
            held = self.join[level](kept[level] + self.up(self.narrow[level](held)))
        return self.out(held)

    def _stage(self, level: int) -> nn.Sequential:
        """Halves the size, but at the first level, and goes on there.

        The two finest sizes are halved by plain convolutions: as fast as inverted ones there, and they see more.
        """
        width, kernel = self.config.widths[level], self.config.coarse_kernel if level >= 3 else 3
        before, expansion = self.config.widths[max(level - 1, 0)], self.config.expansion
        if level == 0:
            return nn.Sequential(*(Separable(width, width) for _ in range(self.config.depths[0])))
        halved = (
            ConvNormAct(before, width, 3, stride=2)
            if level <= 2
            else Inverted(before, width, expansion=expansion, kernel=kernel, stride=2)
        )
        rest = (Inverted(width, width, expansion=expansion, kernel=kernel) for _ in range(self.config.depths[level]))
        return nn.Sequential(halved, *rest)

    def _joint(self, level: int) -> nn.Sequential:
        width = self.config.widths[level]
        block = Inverted(width, width, expansion=self.config.expansion) if level else Separable(width, width)
        return nn.Sequential(nn.ReLU(), block)


def load(path: Path, config: ParserConfig | None = None) -> Parser:
    """A trained parser, ready to be asked.

    Raises:
        BadInputError: The file is missing, or holds the weights of something else.
    """
    net = Parser(config or ParserConfig())
    load_weights(path, net)
    return net.eval()
