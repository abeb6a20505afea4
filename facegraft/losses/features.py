"""Differences between what networks see of two pictures."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.tensors import Scalar

Features = Float[Tensor, "b *_shape"]


def feature_matching(
    swapped: Sequence[Features], real: Sequence[Features], weights: Sequence[float] | None = None
) -> Scalar:
    """Sum over maps of their mean absolute difference (pix2pixHD, arXiv:1711.11585, eq. 4). The real side is a label.

    Args:
        swapped: Maps of the results.
        real: Maps of what they should be like, in the same order.
        weights: Of each map; 1 where nothing is said.
    """
    kept = [1.0] * len(swapped) if weights is None else weights
    pairs = zip(swapped, real, kept, strict=True)
    return torch.stack([w * (a.float() - b.detach().float()).abs().mean() for a, b, w in pairs]).sum()
