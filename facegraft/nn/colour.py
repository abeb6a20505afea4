"""Colours as tensors: random distortions, a method's own part of its training step, and their calming."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.tensors import Images

_LUMA = (0.299, 0.587, 0.114)
_YIQ = ((0.299, 0.587, 0.114), (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135))
_GAMMA, _STEPS = 5, 6
"""Which of the steps is the exponent; how many there are."""

_FLOOR = 4 / 255
"""Added to levels before their ratios are taken: black has no colour."""

Matrices = Float[Tensor, "b 3 3"]


def distort(images: Images, chance: float | int = 0.9) -> Images:
    """Distorts all colours of each picture beyond telling, alike at all its places; draws from torch's generator.

    The recipe of data/colours.py, which is ours after the look of FastSwap's figures (Yoo et al., WACV 2023): grey with
    chance .3, gains .4..1.6 of each colour, hue all around, saturation 0..2, brightness .5..1.3 and an exponent of
    .6..1.6 in random order, then a tint of up to a half.

    Args:
        images: RGB, -1..1.
        chance: Of each picture to be distorted.
    """
    count, device = len(images), images.device
    u = torch.rand(count, 13, device=device)
    before, after = _matrices(u, torch.rand(count, _STEPS, device=device).argsort(1))
    gamma = (0.6 + u[:, 6])[:, None, None, None]
    held = _mixed(before, images.float() * 0.5 + 0.5).clamp(0, 1)
    held = _mixed(after, held.clamp(min=1e-4) ** gamma).clamp(0, 1)
    share, tint = (0.5 * u[:, 11])[:, None, None, None], u[:, 7:10, None, None]
    held = (held + share * (tint - held)) * 2 - 1
    return torch.where((u[:, 12] < chance)[:, None, None, None], held.to(images.dtype), images)


def calmed(images: Images, sigma_px: float) -> Images:
    """Pictures that are as bright as before everywhere, and whose tint is that of each place's surroundings.

    A network that draws three channels by themselves draws them not quite alike at edges: fringes, which a loss of
    levels hardly sees. The ratios between channels become those of the blurred picture.

    Args:
        images: RGB, -1..1.
        sigma_px: Of the Gaussian that says what surrounds a place.
    """
    levels = images.float() * 0.5 + (0.5 + _FLOOR)
    around = _blurred(levels, sigma_px)
    luma = torch.tensor(_LUMA, device=images.device)[:, None, None]
    light, lit = ((part * luma).sum(1, keepdim=True) for part in (levels, around))
    return ((light / lit * around - _FLOOR) * 2 - 1).clamp(-1, 1).to(images.dtype)


def _blurred(images: Images, sigma_px: float) -> Images:
    radius = math.ceil(3 * sigma_px)
    steps = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    line = torch.exp(-0.5 * (steps / sigma_px) ** 2)
    line = (line / line.sum()).expand(images.shape[1], 1, 1, -1)
    held = F.pad(images, (radius, radius, radius, radius), mode="replicate")
    device = "cpu" if images.is_meta else images.device.type  # of tensors without numbers, which are counted only
    with torch.autocast(device, enabled=False):  # in bfloat16 it hung on a CPU
        held = F.conv2d(held, line, groups=images.shape[1])
        return F.conv2d(held, line.transpose(2, 3), groups=images.shape[1])


def _matrices(u: Float[Tensor, "b 13"], order: Tensor) -> tuple[Matrices, Matrices]:
    """What is done before and after the exponent, as one matrix each."""
    same = torch.eye(3, device=u.device).expand(len(u), 3, 3)
    grey = _saturated((u[:, 0] >= 0.3).float())
    gains = torch.diag_embed(0.4 + 1.2 * u[:, 1:4])
    brightness = same * (0.5 + 0.8 * u[:, 10])[:, None, None]
    steps = torch.stack([grey, gains, _turned(u[:, 4] - 0.5), _saturated(2 * u[:, 5]), brightness, same], 1)
    halves = [same, same]
    past = torch.zeros(len(u), dtype=torch.bool, device=u.device)
    for place in range(_STEPS):
        chosen = order[:, place]
        past = past | (chosen == _GAMMA)
        step = steps[torch.arange(len(u), device=u.device), chosen]
        for half, mine in enumerate((~past, past)):
            halves[half] = torch.where(mine[:, None, None], step @ halves[half], halves[half])
    return halves[0], halves[1]


def _saturated(factor: Float[Tensor, "b"]) -> Matrices:
    """1 leaves colours as they are, 0 makes them grey."""
    grey = torch.tensor(_LUMA, device=factor.device).expand(3, 3)
    return grey + factor[:, None, None] * (torch.eye(3, device=factor.device) - grey)


def _turned(circles: Float[Tensor, "b"]) -> Matrices:
    """Turns all hues, brightness kept."""
    angle = 2 * math.pi * circles
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    rows = [(one, zero, zero), (zero, cosine, -sine), (zero, sine, cosine)]
    turn = torch.stack([torch.stack(row, 1) for row in rows], 1)
    yiq = torch.tensor(_YIQ, device=circles.device)
    return torch.linalg.inv(yiq) @ turn @ yiq


def _mixed(matrices: Matrices, images: Images) -> Images:
    return torch.einsum("bij,bjhw->bihw", matrices, images)
