"""Who a face shows: an aligned crop becomes a unit vector of 512 numbers. Trained by train/eyes/identity.py.

MobileFaceNet's shape (Chen et al., arXiv:1804.07573): inverted residuals, then a depthwise convolution as large as the
last map, so that every place of the face is weighed by itself. Ours differs in plain ReLU, which ONNX Runtime fuses, in
512 numbers instead of 128, and in fewer and narrower layers at 56 and 28 pixels, where most of the time went.
Differentiable: a loss may look through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import Activation, ConvNormAct, Inverted
from facegraft.nn.weights import load_weights

SIZE_PX = 112
TEMPLATE = "arcface_112_v2"
"""Of faces/align.py: crops are brought to it by five points."""
STRIDES = (2, 2, 1, 2, 1)
STAGES_OF_MAP = 3
"""After so many stages the map is taken that `Identity.exported` gives: the last of 14 x 14."""


@dataclass(frozen=True)
class IdentityConfig:
    """Size of the network."""

    stem: int = 32
    """Channels at half the crop's size."""
    widths: tuple[int, ...] = (48, 128, 128, 192, 192)
    """Channels of the five stages, at 28, 14, 14, 7 and 7 pixels a side."""
    depths: tuple[int, ...] = (2, 1, 5, 1, 2)
    """Blocks of each stage."""
    expansions: tuple[int, ...] = (2, 4, 3, 4, 2)
    """How much wider a block is inside."""
    head: int = 512
    """Channels that the whole map is weighed in."""
    embedding: int = 512
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        if not len(self.widths) == len(self.depths) == len(self.expansions) == len(STRIDES) or min(self.depths) < 1:
            raise ValueError(f"expected {len(STRIDES)} widths, depths of 1 or more, and expansions")


class Identity(nn.Module):
    """Aligned crop -> embedding.

    `forward` gives unit vectors. `features` gives them before they are brought to length 1: their length says how much
    of a face the network saw, which `losses.margin.adaptive_margins` uses. `exported` gives a map beside them.
    """

    def __init__(self, config: IdentityConfig) -> None:
        super().__init__()
        self.config = config
        act = config.activation
        layers: list[nn.Module] = [
            ConvNormAct(3, config.stem, stride=2, activation=act),
            ConvNormAct(config.stem, config.stem, groups=config.stem, activation=act),
        ]
        before = config.stem
        for width, depth, expansion, stride in zip(
            config.widths, config.depths, config.expansions, STRIDES, strict=True
        ):
            for block in range(depth):
                layers.append(
                    Inverted(before, width, expansion=expansion, stride=stride if block == 0 else 1, activation=act)
                )
                before = width
        of_map = len(layers) - sum(config.depths[STAGES_OF_MAP:])
        self._last_of_sizes = (2 + config.depths[0], of_map, len(layers) + 1)
        self.body = nn.Sequential(*layers, ConvNormAct(before, config.head, 1, activation=act))
        self.whole = nn.Sequential(
            nn.Conv2d(config.head, config.head, SIZE_PX // 16, groups=config.head, bias=False),
            nn.BatchNorm2d(config.head),
        )
        self.last = nn.Sequential(
            nn.Linear(config.head, config.embedding, bias=False), nn.BatchNorm1d(config.embedding, affine=False)
        )

    def features(self, crop: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b d"]:
        """As `forward`, of any length."""
        return self.watched(crop)[0]

    def watched(self, crop: Float[Tensor, "b 3 112 112"]) -> tuple[Float[Tensor, "b d"], list[Tensor]]:
        """As `features`, and the last maps of 28, 14 and 7 pixels a side: `map_channels` says how wide they are."""
        maps, begin = [], 0
        found = crop * 2 - 1
        for end in self._last_of_sizes:
            found = self.body[begin:end](found)
            maps.append(found)
            begin = end
        features: Tensor = self.last(self.whole(found).flatten(1))
        return features, maps

    @property
    def map_channels(self) -> tuple[int, int, int]:
        """Of the maps of `watched`."""
        return self.config.widths[0], self.config.widths[STAGES_OF_MAP - 1], self.config.head

    def forward(self, crop: Float[Tensor, "b 3 112 112"]) -> Float[Tensor, "b d"]:
        """Unit vectors of crops in RGB 0..1."""
        return F.normalize(self.features(crop), eps=1e-6)

    def exported(self, crop: Float[Tensor, "b 3 112 112"]) -> tuple[Float[Tensor, "b d"], Float[Tensor, "b c 14 14"]]:
        """What the exported graph gives: unit vectors as `forward`, and the map before the picture shrinks to 7 x 7.

        The map still knows where in the face a thing lies: measures of realism and likeness compare it.
        """
        features, maps = self.watched(crop)
        return F.normalize(features, eps=1e-6), maps[1]


def load(path: Path, config: IdentityConfig | None = None) -> Identity:
    """A trained network from `weights.safetensors`, frozen, for losses and metrics.

    Raises:
        BadInputError: The file is missing or holds another network's weights.
    """
    net = Identity(config or IdentityConfig())
    load_weights(path, net)
    return net.eval().requires_grad_(False)


def cosine(first: Float[Tensor, "*b d"], second: Float[Tensor, "*b d"]) -> Float[Tensor, "*b"]:
    """Likeness of two embeddings, -1..1."""
    return torch.sum(first * second, dim=-1)
