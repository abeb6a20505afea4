"""Losses of points: Wing, which minds small errors, and likelihoods that also teach how sure a network may be."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.tensors import Scalar

_TINY = 1e-6


def weighted_mean(values: Float[Tensor, "*n"], weights: Float[Tensor, "*n"]) -> Scalar:
    """Mean over what has weight; 0 where nothing has. What has no weight may be infinite or NaN."""
    kept = torch.where(weights > 0, values, torch.zeros_like(values))
    return (kept * weights).sum() / weights.sum().clamp(min=_TINY)


def wing(
    points: Float[Tensor, "b k d"],
    truth: Float[Tensor, "b k d"],
    weights: Float[Tensor, "b k"],
    *,
    width: float | int = 0.06,
    bend: float | int = 0.012,
) -> Scalar:
    """Wing loss (Feng et al., CVPR 2018, arXiv:1711.06753, equation 5), per coordinate, divided by `width`.

    Args:
        points: In any unit.
        truth: In the same.
        weights: 0 = the point is not known.
        width: `w`, errors below it are logarithmic; in the points' unit.
        bend: `epsilon`, in the same: how sharp the loss is at 0.

    Returns:
        0 for perfect points; about error / width for gross errors.
    """
    error = (points - truth).abs()
    constant = width - width * math.log(1 + width / bend)
    each = torch.where(error < width, width * torch.log1p(error / bend), error - constant) / width
    return weighted_mean(each.mean(-1), weights)


def gaussian_nll(
    points: Float[Tensor, "b k d"],
    truth: Float[Tensor, "b k d"],
    log_sigma: Float[Tensor, "b k"],
    weights: Float[Tensor, "b k"],
) -> Scalar:
    """Negative log likelihood of points under round normal distributions, without its constant.

    The loss of Wood et al., "3D face reconstruction with dense landmarks" (ECCV 2022, arXiv:2204.02776), equation 1:
    d log sigma + |error|^2 / (2 sigma^2).

    Args:
        points: In any unit.
        truth: In the same.
        log_sigma: Logarithm of the standard deviation of each coordinate.
        weights: 0 = the point is not known.
    """
    squared = (points - truth).square().sum(-1)
    each = points.shape[-1] * log_sigma + 0.5 * squared * torch.exp(-2 * log_sigma)
    return weighted_mean(each, weights)


def laplace_nll(
    points: Float[Tensor, "b k d"],
    truth: Float[Tensor, "b k d"],
    log_sigma: Float[Tensor, "b k"],
    weights: Float[Tensor, "b k"],
) -> Scalar:
    """As `gaussian_nll`, with a density that falls like exp(-distance / scale): wrong labels pull less.

    Args:
        points: In any unit; one or two coordinates.
        truth: In the same.
        log_sigma: Logarithm of the standard deviation of each coordinate, sqrt(d + 1) scales of that density.
        weights: 0 = the point is not known.
    """
    dimensions = points.shape[-1]
    distance = ((points - truth).square().sum(-1) + _TINY**2).sqrt()
    each = dimensions * log_sigma + math.sqrt(dimensions + 1) * distance * torch.exp(-log_sigma)
    return weighted_mean(each, weights)


def weighted_bce(logits: Float[Tensor, "*n"], truth: Float[Tensor, "*n"], weights: Float[Tensor, "*n"]) -> Scalar:
    """Binary cross entropy of logits, averaged by weights."""
    each = logits.clamp(min=0) - logits * truth + torch.log1p(torch.exp(-logits.abs()))
    return weighted_mean(each, weights)
