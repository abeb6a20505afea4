"""Losses that let a network learn from another's answers. The teacher's side is a label: no gradient reaches it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from facegraft.tensors import Embedding, Images, Mask, Scalar

PerSample = Float[Tensor, "b"]
SILENT = 0.01
"""Channels of a teacher's map that vary less than this share of the mean variance count for less."""


def answer_loss(guess: Float[Tensor, "b d"], answer: Float[Tensor, "b d"]) -> Scalar:
    """One minus the cosine between what a network guesses its teacher says and what that says; 0..2."""
    return (1 - F.cosine_similarity(guess.float(), answer.detach().float(), dim=1)).mean()


def relation_loss(embedding: Float[Tensor, "b d"], answer: Float[Tensor, "b t"]) -> Scalar:
    """How differently two networks see who is like whom: mean squared difference of the cosines between rows, 0..4.

    Relational distillation (Park et al., arXiv:1904.05068) on cosines: the spaces need not agree in size or direction,
    only in geometry. A row with itself does not count.

    Raises:
        ValueError: Fewer than two rows.
    """
    if len(embedding) < 2:
        raise ValueError("relation_loss: expected two or more rows, found one; relations need partners")
    ours, theirs = F.normalize(embedding.float()), F.normalize(answer.detach().float())
    apart = ~torch.eye(len(ours), dtype=torch.bool, device=ours.device)
    return (ours @ ours.T - theirs @ theirs.T)[apart].square().mean()


def map_loss(
    guess: Float[Tensor, "b c h w"], answer: Float[Tensor, "b c h w"], counted: Bool[Tensor, "b"] | None = None
) -> Scalar:
    """The share of what differs within a teacher's map that a guess of it does not explain; 0 = it is that map.

    Each channel counts the same, but for nearly silent ones: 1 says that its mean would have done as well. Hints at
    layers in between (Romero et al., arXiv:1412.6550) tell a network about every place of a picture, answers of it in
    one vector only.

    Args:
        guess: What a network says its teacher's map is, in deviations of each channel from its mean over the batch.
        answer: That map.
        counted: Which samples; without any the loss is 0.
    """
    answer = answer.detach().float()
    variance, mean = torch.var_mean(answer, (0, 2, 3), correction=0, keepdim=True)
    deviation = variance.clamp(min=SILENT * float(variance.mean()) + 1e-12).sqrt()
    lost = (guess.float() - (answer - mean) / deviation).square().mean((1, 2, 3))
    return lost.mean() if counted is None else (lost * counted).sum() / counted.sum().clamp(min=1)


@torch.no_grad()
def teacher_trust(answer: Embedding, identity: Embedding, quality: PerSample | None = None) -> PerSample:
    """How much of each answer to learn: alpha = cos^2 Q of MobileFaceSwap (arXiv:2201.03808), 0..1.

    An answer that shows somebody else counts for little. One that shows the opposite counts for nothing: the bare
    square would trust it.

    Args:
        answer: Embeddings of the teacher's answers.
        identity: Embeddings of the people that they should show.
        quality: Q, how well made each answer looks, 0..1; without it 1.
    """
    alike = F.cosine_similarity(answer.float(), identity.float(), dim=1).clamp(0, 1).square()
    return alike if quality is None else alike * quality.float().clamp(0, 1)


def pixel_distance(images: Images, answer: Images, where: Mask | None = None) -> PerSample:
    """Mean absolute difference of each picture to its teacher's, over all of it; 0..2.

    Args:
        images: -1..1.
        answer: -1..1.
        where: What of it counts, 0..1. What does not counts as equal, so a small face weighs little.
    """
    apart = (images.float() - answer.detach().float()).abs()
    return (apart if where is None else apart * where).mean((1, 2, 3))


def feature_distance(maps: Sequence[Tensor], answer: Sequence[Tensor]) -> PerSample:
    """Sum over maps of the mean absolute difference of each sample to its teacher's; 0 and more."""
    pairs = zip(maps, answer, strict=True)
    return torch.stack(
        [(ours.float() - theirs.detach().float()).abs().flatten(1).mean(1) for ours, theirs in pairs]
    ).sum(0)
