"""AdaBelief, and DeepFaceLab's lr-dropout: at each step only a share of the weights moves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

EPSILON = 1e-16
"""Of the authors' released code, for adversaries and other training that needs steps of one size (the paper: 1e-8)."""


class AdaBelief(torch.optim.Optimizer):
    """AdaBelief (Zhuang et al., arXiv:2010.07468, algorithm 2) with the weight decay of AdamW (arXiv:1711.05101).

    With the gradient g of step t, from 1, and for every weight w:

        m = beta1 m + (1 - beta1) g                        what is expected of the gradient
        s = beta2 s + (1 - beta2) (g - m)^2 + epsilon      how far it strays from that
        w = w - lr (m / (1 - beta1^t) / (sqrt(s / (1 - beta2^t)) + epsilon) + weight_decay w)

    lr-dropout (Perov et al., arXiv:2005.05535, by its released code) draws anew at each step which weights stay as they
    are; m and s take the step nevertheless. The draws are of torch's global generator on the weights' device.

    Args:
        groups: Of weights; a `weight_decay` of their own takes the place of 0.
        lr: Learning rate.
        betas: Of m and s.
        lr_dropout: Share of the weights that stay, from 0 to below 1; with 0 nothing is drawn.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        lr_dropout: float = 0.0,
    ) -> None:
        super().__init__(groups, {"lr": lr, "betas": betas, "weight_decay": 0.0, "lr_dropout": lr_dropout})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]  # the loop has no closure
        """Moves all weights that have a gradient."""
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    move = self._remember(weight, group["betas"]).add_(weight, alpha=group["weight_decay"])
                    if group["lr_dropout"]:
                        move *= torch.rand_like(weight) >= group["lr_dropout"]
                    weight.sub_(move, alpha=group["lr"])

    def _remember(self, weight: Tensor, betas: tuple[float, float]) -> Tensor:
        """Takes the gradient into the memory; gives the move that follows from it, without rate and decay."""
        memory = self.state[weight]
        if not memory:
            memory["step"] = torch.tensor(0.0)
            memory["mean"], memory["deviation"] = torch.zeros_like(weight), torch.zeros_like(weight)
        memory["step"] += 1
        step, mean, deviation = float(memory["step"]), memory["mean"], memory["deviation"]
        mean.lerp_(weight.grad, 1 - betas[0])
        surprise = weight.grad - mean
        deviation.mul_(betas[1]).addcmul_(surprise, surprise, value=1 - betas[1]).add_(EPSILON)
        spread = (deviation / (1 - betas[1] ** step)).sqrt_().add_(EPSILON)
        return mean.div(spread).div_(1 - betas[0] ** step)
