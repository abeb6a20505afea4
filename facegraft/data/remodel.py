"""Another person's features on a face: eyes, brows, nose and mouth scaled and shifted a little where they are.

Beside weight and age (data/reshape.py) the third edit that makes a face another's, and the one a recogniser minds most.
Each feature keeps its middle or moves along the face's own axes, the same on both sides, so that gaze and expression
stay readable.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.reshape import Edit, follow

_EYES = (slice(36, 42), slice(42, 48))
_BROWS = (slice(17, 22), slice(22, 27))


@dataclass(frozen=True)
class Features:
    """How features differ from those that were there; 1 and 0 leave them alone.

    Attributes:
        eyes: Scale of both eyes.
        eyes_apart: How far each eye moves outwards, in distances between the eyes.
        brows_up: How far the brows move up, in the same unit.
        nose_wide: Scale of the nose across.
        nose_long: Scale of it along the face.
        mouth_wide: Scale of the mouth across.
        mouth_full: Scale of it along the face.
        mouth_up: How far it moves up.
    """

    eyes: float = 1.0
    eyes_apart: float = 0.0
    brows_up: float = 0.0
    nose_wide: float = 1.0
    nose_long: float = 1.0
    mouth_wide: float = 1.0
    mouth_full: float = 1.0
    mouth_up: float = 0.0


def draw_features(generator: torch.Generator, strength: float | int = 1.0) -> Features:
    """Features at random, each by as much as `strength` (0..1) allows, and none by less than half of that."""
    lots = torch.rand(8, 2, generator=generator)
    u = ((0.5 + lots[:, 0] / 2) * torch.where(lots[:, 1] < 0.5, -1.0, 1.0) * strength).tolist()
    return Features(
        eyes=1.28 ** u[0],
        eyes_apart=0.09 * u[1],
        brows_up=0.1 * u[2],
        nose_wide=1.45 ** u[3],
        nose_long=1.3 ** u[4],
        mouth_wide=1.3 ** u[5],
        mouth_full=1.35 ** u[6],
        mouth_up=0.1 * u[7],
    )


def remodel(image: Float[Tensor, "3 h w"], landmarks: Float[Tensor, "68 2"], features: Features) -> Edit:
    """Gives a face these features.

    Args:
        image: RGB, -1..1.
        landmarks: x, y in pixels.
        features: Which.
    """
    flow = _flow(landmarks.float(), features, image.shape[1], image.shape[2])
    still = Edit(image, flow, torch.ones_like(image))
    return Edit(follow(image, still), flow, still.shade)


def _flow(points: Tensor, features: Features, height: int, width: int) -> Tensor:
    """Where each new pixel is read: around each feature's middle as its scale and shift say, fading out around it."""
    left, right = (points[eye].mean(0) for eye in _EYES)
    apart = (right - left).norm().clamp(min=1e-3)
    across = (right - left) / apart
    down = torch.stack([-across[1], across[0]])
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    places = torch.stack([x, y], -1)
    flow = torch.zeros(height, width, 2)

    def change(middle: Tensor, reach: tuple[float, float], scale: tuple[float, float], shift: Tensor) -> None:
        """`reach` in distances between the eyes and `scale`: across and down; `shift` in pixels."""
        new_middle = middle + shift
        away = places - new_middle
        along = torch.stack([away @ across, away @ down], -1)
        weight = torch.exp(-0.5 * (along / (torch.tensor(reach) * apart)).square().sum(-1, keepdim=True))
        pulled = along * (1 / torch.tensor(scale) - 1)
        flow.add_(weight * (pulled @ torch.stack([across, down]) - shift))

    none = torch.zeros(2)
    for sign, eye, brow in zip((-1.0, 1.0), _EYES, _BROWS, strict=True):
        outwards = across * (sign * features.eyes_apart * apart)
        change(points[eye].mean(0), (0.26, 0.16), (features.eyes, features.eyes), outwards)
        change(points[brow].mean(0), (0.35, 0.12), (1.0, 1.0), -down * (features.brows_up * apart))
    change(points[27:36].mean(0), (0.24, 0.34), (features.nose_wide, features.nose_long), none)
    upwards = -down * (features.mouth_up * apart)
    change(points[48:60].mean(0), (0.42, 0.24), (features.mouth_wide, features.mouth_full), upwards)
    return flow.permute(2, 0, 1).contiguous()
