"""How far a swapped face is from the attributes that it should keep: features of an encoder, eyes, expression."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.tensors import Scalar

Features = Float[Tensor, "b *_shape"]
Points = Float[Tensor, "b k 2"]
EYE_POINTS = tuple(468 + point for point in (*range(36, 48), 68, 69))
"""Of the 538 points: six on the lids of each eye, then the irises."""
MOVING = (
    (*range(468 + 36, 468 + 42), 468 + 68),
    (*range(468 + 42, 468 + 48), 468 + 69),
    tuple(range(468 + 48, 468 + 68)),
)
"""Of the 538 points what expressions move: lids and iris of the left eye in the frame, of the right one, lips."""


def attribute_loss(swapped: Sequence[Features], attribute: Sequence[Features]) -> Scalar:
    """Half the mean squared difference of each pair of maps, summed over the maps (FaceShifter, eq. 8); 0 and more.

    Gradients reach both sides: the encoder, which is trained, learns to keep what a swap can keep.
    """
    pairs = zip(swapped, attribute, strict=True)
    return 0.5 * torch.stack([(made.float() - kept.float()).square().mean() for made, kept in pairs]).sum()


def heatmap_loss(swapped: Points, attribute: Points, sigma: float = 0.02) -> Scalar:
    """Squared distance of Gaussian heatmaps around the points, over that of two that do not meet; 0..1.

    On an endless grid this is 1 - exp(-d^2 / 4 sigma^2) with d the distance of a point from where it should be, so no
    map need be drawn. As with maps, points that are far off pull hardly at all. The attribute's side is a label.

    Args:
        swapped: In shares of the picture's side.
        attribute: Where they should be.
        sigma: Of the Gaussians, in the same unit.
    """
    squared = (swapped.float() - attribute.detach().float()).square().sum(-1)
    return (1 - torch.exp(-squared / (4 * sigma**2))).mean()


def expression_loss(swapped: Points, wanted: Points) -> Float[Tensor, "b"]:
    """How differently lids, irises and lips lie around the middle of their eye or mouth, in shares of the side.

    Mean absolute difference over these points. Where eyes and mouth are does not count: that is pose, and whose face
    it is. The wanted side is a label.

    Args:
        swapped: All 538 points of each picture.
        wanted: The same of the pictures with the right expressions.
    """
    apart = [_around_middle(swapped.float(), part) - _around_middle(wanted.detach().float(), part) for part in MOVING]
    return torch.cat(apart, 1).abs().mean((1, 2))


def _around_middle(points: Points, part: Sequence[int]) -> Float[Tensor, "b part 2"]:
    chosen = points[:, part]
    return chosen - chosen.mean(1, keepdim=True)
