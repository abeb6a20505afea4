"""Small textures on the device, stacked as they are asked for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.data.synth.lookup import sample_bank


class TextureBank:
    """Pictures of one size and number of channels; rows never change once given.

    Args:
        read: Name -> float array (c, h, w).
        channels: Of every picture; more are dropped.
        size_px: All are brought to this size.
        device: Where they live.
    """

    def __init__(self, read: Callable[[str], np.ndarray], channels: int, size_px: int, device: torch.device) -> None:
        self.read, self.size, self.device = read, size_px, device
        self.rows: dict[str, int] = {}
        self.bank = torch.zeros(0, size_px, size_px, channels, dtype=torch.float16, device=device)

    def row(self, name: str) -> int:
        """The picture's row, read now if it was not yet."""
        if name not in self.rows:
            picture = torch.as_tensor(self.read(name)[: self.bank.shape[3]], dtype=torch.float32)[None]
            shrinks = picture.shape[2] > self.size
            resized = F.interpolate(
                picture, (self.size, self.size), mode="bilinear", align_corners=False, antialias=shrinks
            )
            self.rows[name] = len(self.bank)
            self.bank = torch.cat([self.bank, resized.permute(0, 2, 3, 1).half().to(self.device)])
        return self.rows[name]

    def sample(self, rows: Tensor, uv: Float[Tensor, "n 2"], *, smooth: bool = True) -> Float[Tensor, "n c"]:
        """Values at uv (v grows upwards, textures repeat); 1 where the row is negative."""
        if bool((rows >= 0).all()) and len(rows):
            return self._known(rows, uv, smooth)
        out = torch.ones(len(rows), self.bank.shape[3], device=rows.device)
        known = (rows >= 0).nonzero()[:, 0]
        if len(known):
            out[known] = self._known(rows[known], uv[known], smooth)
        return out

    def _known(self, rows: Tensor, uv: Tensor, smooth: bool) -> Tensor:
        x, y = uv[:, 0] * self.size - 0.5, (1 - uv[:, 1]) * self.size - 0.5
        if smooth:
            return sample_bank(self.bank, rows, x, y, wrap_x=True, wrap_y=True)
        column, line = (x + 0.5).floor().long() % self.size, (y + 0.5).floor().long() % self.size
        return self.bank.flatten(0, 2).index_select(0, (rows * self.size + line) * self.size + column).float()
