"""One person's inner face within another's head, hair and background: what makes a recogniser look at the face alone.

BlendFace (Shiohara et al., ICCV 2023, arXiv:2307.10854, section 3.3) swaps the face region with a face of like shape,
moves its colours to the other's and softens the edge. The label of such a picture is the inner face's: the same hair
then belongs to several people, and tells nothing.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from facegraft.data.camera import blur

FEWEST_PIXELS = 0.08
"""Share of a picture that an inner face must cover to be of use."""
MOST_YAW_DEGREES = 50.0
_DEGREES = 12.0
"""Poses that lie this much apart are as unlike as chance makes two choices."""
_CONTRAST = (0.6, 1.6)


def choose_partners(
    pose: Float[Tensor, "b 2"],
    labels: Int64[Tensor, "b"],
    usable: Bool[Tensor, "b"],
    generator: torch.Generator,
) -> Int64[Tensor, "b"]:
    """For each row another person's row with about the same pose, so that the inner face fits; -1 where there is none.

    Args:
        pose: Yaw and pitch in degrees.
        labels: Of people.
        usable: Rows that may give or take an inner face.
        generator: Lets chance count as much as 12 degrees.
    """
    apart = (pose[:, None] - pose[None]).norm(dim=2) / _DEGREES
    cost = apart + torch.rand(apart.shape, generator=generator)
    barred = (labels[:, None] == labels[None]) | ~usable[None] | ~usable[:, None]
    best = cost.masked_fill(barred, torch.inf).min(1)
    return torch.where(best.values.isfinite(), best.indices, -1)


def usable_for_composites(inner: Tensor, pose: Float[Tensor, "b 2"]) -> Bool[Tensor, "b"]:
    """Rows whose inner face is large enough in the picture, and not seen from the side."""
    share = (inner == 255).float().mean((1, 2)).to(pose)
    return (share >= FEWEST_PIXELS) & (pose[:, 0].abs() <= MOST_YAW_DEGREES)


def composite(
    face: Float[Tensor, "b 3 h w"],
    face_inner: Float[Tensor, "b h w"],
    head: Float[Tensor, "b 3 h w"],
    head_inner: Float[Tensor, "b h w"],
    *,
    colour_share: Float[Tensor, "b"],
    edge_px: Float[Tensor, "b"],
) -> Float[Tensor, "b 3 h w"]:
    """Pictures of heads with the inner parts of other faces; all are aligned to one template, RGB 0..1.

    Args:
        face: Give the inner faces.
        face_inner: 1 where their inner faces are seen, a half where something worn or held hides them; nothing else of
            `face` gets through. Colours are measured where it is 1.
        head: Give all the rest.
        head_inner: Likewise of the heads' own.
        colour_share: How far the face's colours are moved to the head's own face's: mean and deviation of each channel.
        edge_px: Softness of the edge, which lies within the inner face.
    """
    whole = (face_inner > 0)[:, None].to(face)
    alpha = (2 * blur(whole, edge_px) - 1).clamp(0, 1) * whole
    moved = face + (_recoloured(face, face_inner, head, head_inner) - face) * colour_share[:, None, None, None].to(face)
    return head + (moved.clamp(0, 1) - head) * alpha


def _recoloured(face: Tensor, face_inner: Tensor, head: Tensor, head_inner: Tensor) -> Tensor:
    mean, deviation = _moments(face, face_inner)
    goal_mean, goal_deviation = _moments(head, head_inner)
    gain = (goal_deviation / deviation.clamp(min=1e-3)).clamp(*_CONTRAST)
    return (face - mean) * gain + goal_mean


def _moments(images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    skin = (mask > 0.75)[:, None].to(images)
    weight = skin / skin.sum((2, 3), keepdim=True).clamp(min=1)
    mean = (images * weight).sum((2, 3), keepdim=True)
    return mean, ((images - mean).square() * weight).sum((2, 3), keepdim=True).sqrt()
