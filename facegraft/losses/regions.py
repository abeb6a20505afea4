"""Losses of networks that say what every pixel shows: balanced cross entropy, overlap, and agreement with a teacher.

Labels are whole numbers 0..c-1 of any type. `weight` says how much a pixel counts, 0 = not at all; pixels without
weight have no gradient, whatever their label.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor

from facegraft.tensors import Scalar

Labels = Shaped[Tensor, "b h w"]
Weight = Float[Tensor, "b h w"]
_TINY = 1e-6


def balanced_weights(
    counts: Shaped[Tensor, "c"], power: float | int = 0.5, largest: float | int = 10
) -> Float[Tensor, "c"]:
    """Weights of classes that fall with a power of how many pixels they have; a pixel's mean weight is 1.

    Args:
        counts: Pixels of each class.
        power: 0 treats all pixels alike, 1 all classes; with a half, a class a hundred times rarer counts a tenth.
        largest: No class weighs more than so many times what the commonest does. Absent ones weigh as much.
    """
    share = counts.to(torch.float32) / counts.sum().clamp(min=1)
    raised = (share.max() / share.clamp(min=_TINY)).pow(power).clamp(max=largest)
    return raised / (raised * share).sum().clamp(min=_TINY)


def boundary_weight(labels: Labels, reach_px: int, gain: float | int) -> Weight:
    """1 + gain for pixels with another label within `reach_px` (along rows and columns), 1 elsewhere."""
    planes = labels[:, None].to(torch.float32)
    window = 2 * reach_px + 1
    high = F.max_pool2d(planes, window, 1, reach_px)
    low = -F.max_pool2d(-planes, window, 1, reach_px)
    return 1 + gain * (high > low)[:, 0].to(torch.float32)


def region_cross_entropy(
    logits: Float[Tensor, "b c h w"], labels: Labels, weight: Weight, class_weights: Float[Tensor, "c"]
) -> Scalar:
    """Cross entropy, averaged with the weights of pixels times those of their classes.

    Returns:
        0 where all is right and sure, log c where nothing is known; 0 where no pixel counts.
    """
    losses = F.cross_entropy(logits, labels.long(), reduction="none")
    total = weight * class_weights[labels.long()]
    return (losses * total).sum() / total.sum().clamp(min=_TINY)


def dice_loss(shares: Float[Tensor, "b c h w"], labels: Labels, weight: Weight) -> Scalar:
    """One minus the Dice coefficient of shares and labels (Milletari et al., arXiv:1606.04797, section 3).

    Counted over the whole batch, averaged over the classes that it shows, so that small regions count as large ones.
    Plain sums stand below, not squares as there: their gradient does not fade where shares are small.

    Returns:
        0 for equal, 1 for disjoint regions; 0 where no pixel counts.
    """
    truth = F.one_hot(labels.long(), shares.shape[1]).movedim(-1, 1).to(shares) * weight[:, None]
    common = (shares * truth).sum((0, 2, 3))
    both = (shares * weight[:, None]).sum((0, 2, 3)) + truth.sum((0, 2, 3))
    return _mean_of_shown(1 - 2 * common / both.clamp(min=_TINY), truth.sum((0, 2, 3)) > 0)


def lovasz_loss(shares: Float[Tensor, "b c h w"], labels: Labels, weight: Weight) -> Scalar:
    """Lovász-Softmax (Berman et al., arXiv:1705.08790, eq. 11): a convex stand-in for one minus IoU.

    Over the whole batch, averaged over the classes that it shows. Pixels count or do not: any weight above 0 is 1.
    Sorts all pixels once a class, so it is slow without an accelerator.

    Returns:
        One minus the mean IoU where all shares are 0 or 1; 0 where no pixel counts.
    """
    counts = weight > 0
    at, truth = shares.movedim(1, -1)[counts], labels.long()[counts]
    losses, shown = [], []
    for number in range(shares.shape[1]):
        is_class = (truth == number).to(at)
        errors, order = (is_class - at[:, number]).abs().sort(descending=True)
        losses.append(errors @ _jaccard_steps(is_class[order]))
        shown.append((truth == number).any())
    return _mean_of_shown(torch.stack(losses), torch.stack(shown))


def mask_cross_entropy(logits: Float[Tensor, "b 1 h w"], mask: Float[Tensor, "b 1 h w"], weight: Weight) -> Scalar:
    """Binary cross entropy with a mask 0..1, averaged with weights; 0 where no pixel counts."""
    losses = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")[:, 0]
    return (losses * weight).sum() / weight.sum().clamp(min=_TINY)


def agreement(
    logits: Float[Tensor, "b c h w"], taught: Float[Tensor, "b c h w"], weight: Weight, confidence: float | int
) -> Scalar:
    """Cross entropy with a teacher's likeliest class where the teacher is sure (FixMatch, arXiv:2001.07685, eq. 4).

    Divided by all pixels that count, sure or not, so that an unsure teacher teaches softly. No gradient reaches the
    teacher.

    Args:
        logits: The student's, on the strongly changed picture.
        taught: The teacher's shares, 0..1, on the weakly changed one.
        weight: Of pixels.
        confidence: The least share that counts as sure.
    """
    best, labels = taught.detach().max(1)
    losses = F.cross_entropy(logits, labels, reduction="none")
    return (losses * weight * (best >= confidence)).sum() / weight.sum().clamp(min=_TINY)


def _jaccard_steps(truth: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """By how much the Jaccard loss grows as each further pixel is wrong (algorithm 1 there); worst pixels first."""
    if not len(truth):
        return truth
    common = truth.sum() - truth.cumsum(0)
    union = truth.sum() + (1 - truth).cumsum(0)
    loss = 1 - common / union.clamp(min=_TINY)
    return torch.cat([loss[:1], loss[1:] - loss[:-1]])


def _mean_of_shown(losses: Float[Tensor, "c"], shown: Shaped[Tensor, "c"]) -> Scalar:
    return (losses * shown).sum() / shown.sum().clamp(min=1)
