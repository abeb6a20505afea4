"""How far a swapped face is from the person it should show."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from facegraft.tensors import Embedding, Scalar


def cosine_identity_loss(swapped: Embedding, identity: Embedding, margin: float | int = 0.0) -> Scalar:
    """Mean of 1 - cosine; 0..2. The identity's side is a label: no gradient reaches it.

    Args:
        swapped: Of the results.
        identity: Of the people that they should show.
        margin: What may be missing for nothing: relu(1 - cosine - margin).
    """
    apart = 1 - F.cosine_similarity(swapped.float(), identity.detach().float(), dim=1)
    return torch.relu(apart - margin).mean() if margin else apart.mean()
