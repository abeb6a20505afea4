"""Losses that pull one person's embeddings together and push people apart: margins on angles, contrast in a batch."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from facegraft.tensors import Scalar

Embedding = Float[Tensor, "b d"]
_NEAR_0 = 1e-3
"""Angles stay this far from 0 and pi, where the arc cosine has no slope (AdaFace's code does the same)."""


def margin_loss(
    embedding: Embedding,
    centres: Float[Tensor, "people d"],
    labels: Int64[Tensor, "b"],
    *,
    scale: float | int = 32.0,
    angle: Float[Tensor, "b"] | float | int = 0.0,
    add: Float[Tensor, "b"] | float | int = 0.0,
) -> Scalar:
    """Cross-entropy over people, the right one made harder to reach by a margin.

    The right person's cosine cos(t) becomes cos(t + angle) - add. `angle` alone is ArcFace (Deng et al.,
    arXiv:1801.07698, eq. 3), `add` alone CosFace (Wang et al., arXiv:1801.09414, eq. 4), both at once AdaFace's form.

    Args:
        embedding: Of any length; only the direction counts.
        centres: One per person, likewise.
        labels: Rows of `centres`.
        scale: s of the papers: how sharp the softmax is. Fewer people want less.
        angle: Radians; one for all, or one per row.
        add: Likewise; in cosines.

    Returns:
        0 and more; log(people) means guessing, without a margin.
    """
    cosine = F.normalize(embedding.float()) @ F.normalize(centres.float()).T
    right = cosine.gather(1, labels[:, None])[:, 0]
    theta = right.clamp(-1 + 1e-6, 1 - 1e-6).acos()
    # Beyond pi a larger angle would be rewarded; it stops there.
    harder = (theta + angle).clamp(_NEAR_0, math.pi - _NEAR_0).cos() - add
    harder = torch.where(torch.as_tensor(angle, device=theta.device) == 0, right - add, harder)
    logits = cosine.scatter(1, labels[:, None], harder[:, None].to(cosine))
    return F.cross_entropy(scale * logits, labels)


def adaptive_margins(
    lengths: Float[Tensor, "b"],
    mean: Float[Tensor, ""] | float,
    deviation: Float[Tensor, ""] | float,
    margin: float | int = 0.4,
    spread: float | int = 0.333,
) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """AdaFace (Kim et al., arXiv:2204.00964, eq. 13 to 15): hard margins for good pictures, kind ones for bad.

    A face that is blurred or hidden gives short features. Of those the easy samples count, of long ones the hard.

    Args:
        lengths: Of the features before they are brought to length 1; no gradient flows through them.
        mean: Of lengths in recent batches.
        deviation: Likewise, their standard deviation.
        margin: m of the paper.
        spread: h of the paper: deviations / h from the mean is as good, or as bad, as it gets.

    Returns:
        `angle` and `add` for `margin_loss`: (-m, 2 m) for the longest, (0, m) at the mean, (m, 0) for the shortest.
    """
    quality = ((lengths.detach().float() - mean) * spread / (deviation + 1e-3)).clamp(-1, 1)
    return -margin * quality, margin * quality + margin


def supervised_contrast(embedding: Embedding, labels: Int64[Tensor, "b"], *, temperature: float | int = 0.1) -> Scalar:
    """Supervised contrastive loss (Khosla et al., arXiv:2004.11362, eq. 2, L_out) within a batch.

    Rows without another row of their person are only pushed from, never pulled; without any pair the loss is 0.

    Args:
        embedding: Of any length; only the direction counts.
        labels: Equal for one person's rows.
        temperature: tau of the paper.

    Returns:
        0 and more; log(b - 1) where all rows are alike.
    """
    z = F.normalize(embedding.float())
    itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
    logits = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
    log_share = (logits - logits.logsumexp(1, keepdim=True)).masked_fill(itself, 0.0)
    positive = (labels[:, None] == labels[None]) & ~itself
    count = positive.sum(1)
    mean = -(log_share * positive).sum(1) / count.clamp(min=1)
    paired = (count > 0).float()
    return (mean * paired).sum() / paired.sum().clamp(min=1)
