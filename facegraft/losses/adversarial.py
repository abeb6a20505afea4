"""What a discriminator and its opponent learn from its answers: hinge and logistic losses.

Answers come as a list, one map per scale; each scale counts alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.tensors import Scalar

Logits = Float[Tensor, "b *_shape"]
"""Above 0: real."""


def hinge_discriminator(real: Sequence[Logits], fake: Sequence[Logits]) -> Scalar:
    """Real above 1, fake below -1 (Lim and Ye, arXiv:1705.02894): relu(1 - real) + relu(1 + fake); 0 and more."""
    scales = [
        F.relu(1 - yes.float()).mean() + F.relu(1 + no.float()).mean() for yes, no in zip(real, fake, strict=True)
    ]
    return torch.stack(scales).mean()


def hinge_generator(fake: Sequence[Logits]) -> Scalar:
    """The opponent's side: minus the mean answer, without a bound."""
    return torch.stack([-answer.float().mean() for answer in fake]).mean()


def hinge_generator_bounded(fake: Sequence[Logits]) -> Scalar:
    """relu(1 - answer), as some released codes have it: who is already taken for real learns no more; 0 and more."""
    return torch.stack([F.relu(1 - answer.float()).mean() for answer in fake]).mean()


def logistic_discriminator(real: Sequence[Logits], fake: Sequence[Logits]) -> Scalar:
    """Cross-entropy of telling real from fake (Goodfellow et al., arXiv:1406.2661); 2 log 2 means guessing."""
    scales = [
        F.softplus(-yes.float()).mean() + F.softplus(no.float()).mean() for yes, no in zip(real, fake, strict=True)
    ]
    return torch.stack(scales).mean()


def logistic_generator(fake: Sequence[Logits]) -> Scalar:
    """Non-saturating: cross-entropy of being taken for real; log 2 means guessing."""
    return torch.stack([F.softplus(-answer.float()).mean() for answer in fake]).mean()
