"""AdamW or AdaBelief, its learning rate as a function of images seen, and the running average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from facegraft.train.adabelief import AdaBelief
from facegraft.train.options import OptimiserOptions


def make_optimiser(weights: Iterable[nn.Parameter], options: OptimiserOptions) -> torch.optim.Optimizer:
    """The optimiser in two groups: vectors (biases, normalisations, slopes) are not decayed, all else is."""
    trained = [weight for weight in weights if weight.requires_grad]
    decayed = [weight for weight in trained if not is_vector(weight)]
    vectors = [weight for weight in trained if is_vector(weight)]
    groups = [
        {"params": decayed, "weight_decay": options.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    if options.kind == "adabelief":
        return AdaBelief(groups, options.lr, options.betas, options.lr_dropout)
    fused = all(weight.device.type == "cuda" for weight in trained)
    return torch.optim.AdamW(groups, lr=options.lr, betas=options.betas, fused=fused or None)


def is_vector(weight: nn.Parameter) -> bool:
    """One number per channel, whatever the shape it is kept in."""
    return weight.ndim < 2 or weight.numel() == len(weight)


def learning_rate(images_seen: int, images: int, options: OptimiserOptions) -> float:
    """Rises evenly from 0 during the warm-up, then falls as half a cosine to `last_lr` of the whole, or stays."""
    if images_seen < options.warmup:
        return options.lr * images_seen / options.warmup
    if options.schedule == "constant":
        return options.lr
    share = min(1.0, (images_seen - options.warmup) / max(1, images - options.warmup))
    return options.lr * (options.last_lr + (1 - options.last_lr) * (1 + math.cos(math.pi * share)) / 2)


def weights_of(optimiser: torch.optim.Optimizer) -> list[nn.Parameter]:
    """All that it changes."""
    return [weight for group in optimiser.param_groups for weight in group["params"]]


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


def make_average(net: nn.Module) -> nn.Module:
    """A copy to average into: without gradients, in evaluation mode."""
    return copy.deepcopy(net).requires_grad_(requires_grad=False).eval()


@torch.no_grad()
def update_average(average: nn.Module, net: nn.Module, decay: float | int, step: int) -> None:
    """Moves the average towards the network: weights and the means and variances of normalisations alike.

    The first steps keep less, (1 + step) / (10 + step), so that the random beginning is soon forgotten.

    Args:
        average: Changed in place.
        net: After the step.
        decay: Share of the average that is kept.
        step: From 0.
    """
    kept = min(float(decay), (1 + step) / (10 + step))
    ours, theirs = [*average.parameters(), *average.buffers()], [*net.parameters(), *net.buffers()]
    pairs = list(zip(ours, theirs, strict=True))
    floats = [(mean, value) for mean, value in pairs if mean.is_floating_point()]
    if floats:
        means, values = (list(column) for column in zip(*floats, strict=True))
        get_ema_multi_avg_fn(kept)(means, [value.detach() for value in values], step)
    for mean, value in pairs:
        if not mean.is_floating_point():  # counters
            mean.copy_(value)
