"""A face that is nothing but its landmarks and a lit oval, for tests that need a place and a colour."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from facegraft.data.site import face_mask
from facegraft.faces.topology import LANDMARKS_68, load_topology

SKIN_SRGB = (0.80, 0.60, 0.50)


def mean_landmarks(size_px: int) -> Tensor:
    """(68, 2) of the mean face, upright in the middle."""
    flat = load_topology().xyz[list(LANDMARKS_68), :2].astype(np.float64)
    flat = (flat - flat.mean(0)) / np.ptp(flat[:, 0]) * 0.5
    return torch.from_numpy(((flat + np.array([0.5, 0.55])) * size_px).astype(np.float32))


def drawn_face(size_px: int, *, tilt: float = 0.0) -> Tensor:
    """(3, h, w), -1..1: a skin-coloured face before a textured wall; `tilt` brightens its right side."""
    points = mean_landmarks(size_px).double().numpy()
    face = torch.from_numpy(face_mask(points, (size_px, size_px)))
    x = torch.linspace(-1, 1, size_px)[None]
    wall = 0.35 + 0.1 * torch.sin(torch.arange(size_px) * 0.9)[:, None] * torch.cos(x * 9)
    skin = torch.tensor(SKIN_SRGB)[:, None, None] * (1 + tilt * x)
    return torch.where(face, skin, wall.expand(3, -1, -1)).clamp(0, 1).float() * 2 - 1
