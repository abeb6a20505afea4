"""Losses of a detector without anchors: which places answer for which face, how well, and where it is.

Boxes are left, top, right, bottom in pixels. b pictures, n places of the feature maps, m faces at most; rows of faces
beyond a picture's own are filled up and marked.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_TINY = 1e-9


@dataclass(frozen=True)
class Assignment:
    """Who answers for what.

    Attributes:
        face: Row of the face that a place answers for; 0 where it answers for none.
        quality: What its score should be, 0..1; 0 where it answers for none.
        taken: Where it answers for one.
    """

    face: Int64[Tensor, "b n"]
    quality: Float[Tensor, "b n"]
    taken: Bool[Tensor, "b n"]


def pairwise_overlap(boxes: Float[Tensor, "b n 4"], others: Float[Tensor, "b m 4"]) -> Float[Tensor, "b n m"]:
    """Intersection over union of each box with each other one of its picture, 0..1."""
    return overlap(boxes[:, :, None], others[:, None])


def overlap(boxes: Float[Tensor, "*#shape 4"], others: Float[Tensor, "*#shape 4"]) -> Float[Tensor, "*shape"]:
    """Intersection over union, 0..1; 0 where both are empty."""
    low, high = torch.maximum(boxes[..., :2], others[..., :2]), torch.minimum(boxes[..., 2:], others[..., 2:])
    common = (high - low).clamp(min=0).prod(-1)
    return common / (area(boxes) + area(others) - common).clamp(min=_TINY)


def area(boxes: Float[Tensor, "*shape 4"]) -> Float[Tensor, "*shape"]:
    """In square pixels; 0 where the box is turned inside out."""
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).prod(-1)


def inside(centres: Float[Tensor, "n 2"], boxes: Float[Tensor, "b m 4"]) -> Bool[Tensor, "b n m"]:
    """Which places lie in which boxes."""
    at = centres[None, :, None]
    return ((at > boxes[:, None, :, :2]) & (at < boxes[:, None, :, 2:])).all(-1)


def distance_overlap_loss(
    boxes: Float[Tensor, "*shape 4"], truth: Float[Tensor, "*shape 4"]
) -> Float[Tensor, "*shape"]:
    """One minus DIoU (Zheng et al., arXiv:1911.08287, eq. 7): also pulls at boxes that do not touch.

    Returns:
        0 for equal boxes, towards 2 for far ones.
    """
    low, high = torch.minimum(boxes[..., :2], truth[..., :2]), torch.maximum(boxes[..., 2:], truth[..., 2:])
    diagonal = (high - low).square().sum(-1)
    apart = (boxes[..., :2] + boxes[..., 2:] - truth[..., :2] - truth[..., 2:]).square().sum(-1) / 4
    return 1 - overlap(boxes, truth) + apart / diagonal.clamp(min=_TINY)


def quality_focal(
    logits: Float[Tensor, "*shape"], quality: Float[Tensor, "*shape"], focus: float = 2.0
) -> Float[Tensor, "*shape"]:
    """Quality focal loss (Li et al., arXiv:2006.04388, eq. 5): cross entropy, weighed by how far the score is off."""
    off = (quality - logits.sigmoid()).abs().pow(focus)
    return off * F.binary_cross_entropy_with_logits(logits, quality, reduction="none")


def point_loss(
    points: Float[Tensor, "k p 2"], truth: Float[Tensor, "k p 2"], side_px: Float[Tensor, "k"], bend: float = 0.02
) -> Float[Tensor, "k"]:
    """Mean smooth L1 distance of points, in shares of the face's side.

    Args:
        points: Pixels.
        truth: Pixels.
        side_px: Of the face.
        bend: Errors below this share count squared.
    """
    off = (points - truth) / side_px.clamp(min=1)[:, None, None]
    return F.smooth_l1_loss(off, torch.zeros_like(off), reduction="none", beta=bend).mean((1, 2))


@torch.no_grad()
def assign(
    scores: Float[Tensor, "b n"],
    boxes: Float[Tensor, "b n 4"],
    centres: Float[Tensor, "n 2"],
    truth: Float[Tensor, "b m 4"],
    real: Bool[Tensor, "b m"],
    *,
    most: int = 10,
    score_power: float = 0.5,
    overlap_power: float = 4.0,
) -> Assignment:
    """Task-aligned assignment (TOOD, Feng et al., arXiv:2108.07755, section 3.2).

    A face is given to the places inside its box whose score and box fit it best. Theirs is the face that their box
    overlaps most where several claim them. A face with no place inside goes to the nearest one.

    Args:
        scores: 0..1.
        boxes: As predicted.
        centres: Of the places.
        truth: The faces' boxes.
        real: Which rows are faces.
        most: Places per face.
        score_power: alpha of the paper, with our default: it was 1 there, for scores that start higher.
        overlap_power: beta; the paper's 6 starves small faces, whose overlap starts low.

    Returns:
        The quality of a face's best place is the overlap it reaches, that of the others is less in proportion.
    """
    overlaps = pairwise_overlap(boxes, truth)
    near = _candidates(centres, truth) & real[:, None]
    fit = scores[..., None].clamp(min=1e-6).pow(score_power) * overlaps.clamp(min=1e-4).pow(overlap_power) * near
    best = fit.topk(min(most, fit.shape[1]), dim=1)
    chosen = torch.zeros_like(near).scatter_(1, best.indices, best.values > 0)
    claimed = torch.where(chosen, overlaps + _TINY, -1.0)
    face = claimed.argmax(-1)
    kept = chosen & F.one_hot(face, truth.shape[1]).bool()
    fit, overlaps = fit * kept, overlaps * kept
    share = fit / fit.amax(1, keepdim=True).clamp(min=_TINY**3)
    quality = (share * overlaps.amax(1, keepdim=True)).amax(-1)
    return Assignment(face=face, quality=quality, taken=kept.any(-1))


def _candidates(centres: Tensor, truth: Tensor) -> Tensor:
    """Places in each box; where there are none, the one nearest to its middle."""
    within = inside(centres, truth)
    middles = (truth[..., :2] + truth[..., 2:]) / 2
    nearest = torch.cdist(centres.expand(len(truth), -1, -1), middles).argmin(1)
    lonely = ~within.any(1)
    return within | (F.one_hot(nearest, len(centres)).transpose(1, 2).bool() & lonely[:, None])
