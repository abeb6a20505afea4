"""Bilinear look-ups of many small pictures at many points."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sample_bank(
    bank: Float[Tensor, "k h w c"], row: Tensor, x: Tensor, y: Tensor, *, wrap_x: bool = False, wrap_y: bool = False
) -> Float[Tensor, "n c"]:
    """Values of picture `row` at column x, row y (the centre of the first texel is at 0); edges repeat or wrap.

    Channels lie last so that one texel is one read. Any storage type; the result is float32.
    """
    _, height, width, channels = bank.shape
    x0, y0 = x.floor(), y.floor()
    fx, fy = (x - x0)[:, None], (y - y0)[:, None]
    left, up = x0.long(), y0.long()
    columns = (
        [left % width, (left + 1) % width] if wrap_x else [left.clamp(0, width - 1), (left + 1).clamp(0, width - 1)]
    )
    lines = [up % height, (up + 1) % height] if wrap_y else [up.clamp(0, height - 1), (up + 1).clamp(0, height - 1)]
    flat = bank.reshape(-1, channels)
    start = row * (height * width)
    at = [start + line * width + column for line in lines for column in columns]
    a, b, c, d = (flat.index_select(0, index).float() for index in at)  # several times as fast as flat[index]
    upper = torch.lerp(a, b, fx)
    return torch.lerp(upper, torch.lerp(c, d, fx), fy)


def sample_nearest(bank: Tensor, row: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The texel that holds the point; `bank` is (k, h, w) of any type."""
    _, height, width = bank.shape
    column = (x + 0.5).floor().long().clamp(0, width - 1)
    line = (y + 0.5).floor().long().clamp(0, height - 1)
    return bank.reshape(-1).index_select(0, (row * height + line) * width + column)


def hashed(place: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
    """A repeatable number in 0..1 for a cell of space; integer arithmetic, so every device agrees."""
    cell = place.floor().long()
    h = (cell[:, 0] * 73856093) ^ (cell[:, 1] * 19349663) ^ (cell[:, 2] * 83492791)
    h = (h ^ (h >> 13)) * 1274126177 & 0x7FFFFFFF
    return ((h ^ (h >> 16)) & 0xFFFF).float() / 65535.0


def noise(place: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
    """Smooth value noise, 0..1, one cell per unit."""
    cell = place.floor()
    f = place - cell
    f = f * f * (3 - 2 * f)
    total = torch.zeros_like(place[:, 0])
    for corner in range(8):
        step = place.new_tensor([corner & 1, (corner >> 1) & 1, corner >> 2])
        weight = (f * step + (1 - f) * (1 - step)).prod(1)
        total = total + weight * hashed(cell + step)
    return total
