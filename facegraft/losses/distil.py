"""Losses that let a network learn from another's answers. The teacher's side is a label: no gradient reaches it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.tensors import Scalar


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
