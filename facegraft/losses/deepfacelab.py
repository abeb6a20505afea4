"""What DeepFaceLab's autoencoders learn from (Perov et al., arXiv:2005.05535; the toolkit's SAEHD trainer).

Everything is stated for pictures in 0..1, as there, so that its weights can be taken over; each loss is a mean over the
batch, where the released code sums, so that neither they nor a limit on the gradient depend on the batch's size.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.losses.adversarial import logistic_generator
from facegraft.losses.image import dssim, side_by_side
from facegraft.nn.deepfacelab import PatchUNet, Pictures01
from facegraft.nn.warp import WarpConfig, draw_affine, draw_offsets, move_points, read, sampling_grid
from facegraft.tensors import Aligned, Images, Mask, Scalar

LEFT_EYE, RIGHT_EYE, LIPS_INNER = slice(36, 42), slice(42, 48), slice(60, 68)
"""Rings among the 68 landmarks."""
WINDOWS = (11.6, 23.2)
"""Sides of a picture in windows of the structural loss; the second is used from `LARGE_PX` on."""
LARGE_PX = 256
STYLE = ("face_style", "background_style")
GAN = ("adversarial", "smooth", "background")
"""Losses that are computed only where one of them has a weight."""


@dataclass(frozen=True)
class Lesson:
    """One person's pictures: what the network is shown, and what it should answer.

    Attributes:
        shown: Moved and warped, -1..1.
        truth: Moved alike, but not warped.
        mask: Of the truth: 1 where the face is seen.
        soft: The mask, fading out around itself; see `soft_mask`.
        priority: Of the truth: 1 at eyes and mouth.
    """

    shown: Images
    truth: Pictures01
    mask: Mask
    soft: Mask
    priority: Mask


@dataclass(frozen=True)
class Drawn:
    """What a decoder made of a code, 0..1 both."""

    image: Pictures01
    mask: Mask


@torch.no_grad()
def make_lesson(aligned: Aligned, warp: WarpConfig, flip: float | int = 0.0) -> Lesson:
    """Moves pictures with their masks and landmarks, and warps what the network is shown.

    Raises:
        ValueError: Masks or landmarks are missing.
    """
    if aligned.mask is None or aligned.landmarks is None:
        raise ValueError("lesson: expected masks and landmarks, found none; name them in the card under `requires`")
    size_px, device = aligned.image.shape[-1], aligned.image.device
    affine = draw_affine(len(aligned), warp, flip).to(device)
    offsets = draw_offsets(len(aligned), warp).to(device) if warp.elastic else None
    plain = sampling_grid(affine, size_px)
    truth = read(aligned.image, plain)
    mask = read(aligned.mask, plain, "zeros")
    return Lesson(
        shown=truth if offsets is None else read(aligned.image, sampling_grid(affine, size_px, offsets)),
        truth=(truth + 1) / 2,
        mask=mask,
        soft=soft_mask(mask),
        priority=priority_mask(move_points(aligned.landmarks, affine, size_px), mask),
    )


def rebuilding_losses(drawn: Drawn, lesson: Lesson, *, masked: bool) -> dict[str, Scalar]:
    """What each decoder learns of its own person: structure, pixels, the mask, and eyes and mouth once more.

    Args:
        drawn: The decoder's answer.
        lesson: What it should have been.
        masked: Structure and pixels count only where the face is.
    """
    made, truth = drawn.image.float(), lesson.truth
    inside = lesson.soft if masked else torch.ones_like(lesson.soft)
    return {
        "structure": structure(made * inside, truth * inside),
        "pixels": ((made - truth) * inside).square().mean(),
        "mask": (drawn.mask.float() - lesson.mask).square().mean(),
        "priority": ((made - truth) * lesson.priority).abs().mean(),
    }


def style_losses(swapped: Drawn, rebuilt: Drawn, lesson: Lesson) -> dict[str, Scalar]:
    """The swapped face gets the colours of the attribute face, and what lies around it stays.

    The masks are those of the two faces that are compared; the released code overwrites them with the identity
    person's, which shows another head in another pose.

    Args:
        swapped: Made of a code without gradient: only the decoder learns from it.
        rebuilt: The attribute person's own face; no gradient reaches it.
        lesson: The attribute person's.
    """
    made, kept = swapped.image.float(), rebuilt.image.detach().float()
    face = soft_mask((swapped.mask * rebuilt.mask).detach().float())
    outside = 1 - face
    background = structure(made * outside, lesson.truth * outside) + ((made - lesson.truth) * outside).square().mean()
    return {"face_style": colour_style(made * face, kept * face), "background_style": background}


def gan_losses(drawn: Drawn, lesson: Lesson, discriminator: PatchUNet) -> dict[str, Scalar]:
    """The discriminator takes the identity person's rebuilt face for real; and what keeps its speckle down."""
    made = drawn.image.float()
    answers = discriminator(made * lesson.soft)
    return {
        "adversarial": 2 * logistic_generator(answers),  # the two maps are summed there
        "smooth": total_variation(made),
        "background": ((made - lesson.truth) * (1 - lesson.soft)).square().mean(),
    }


def structure(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]) -> Scalar:
    """DSSIM with a window of a 11.6th of the side; of large pictures the mean of that and one half as wide. 0..1."""
    size_px = first.shape[-1]
    windows = [max(3, int(size_px / share)) for share in WINDOWS[: 2 if size_px >= LARGE_PX else 1]]
    with _exactly(first):
        return torch.stack([dssim(first, second, window).mean() for window in windows]).mean()


def colour_style(first: Float[Tensor, "b c h w"], second: Float[Tensor, "b c h w"]) -> Scalar:
    """Squared differences of the channels' means and deviations, added; mean over channels. Blurred by an 8th."""
    sigma_px = first.shape[-1] / 8
    stats = [torch.var_mean(blurred(each, sigma_px), (2, 3), correction=0) for each in (first, second)]
    (variance, mean), (other_variance, other_mean) = stats
    deviations = (variance + 1e-5).sqrt() - (other_variance + 1e-5).sqrt()
    return ((mean - other_mean).square() + deviations.square()).mean()


def total_variation(pictures: Float[Tensor, "b c h w"]) -> Scalar:
    """Squared differences of neighbours along both sides of a picture, summed over all of it; mean over the batch.

    The released code counts axes for channels last while pictures have them first, and so compares colours.
    """
    down, across = pictures.diff(dim=2).square(), pictures.diff(dim=3).square()
    return (down.sum((1, 2, 3)) + across.sum((1, 2, 3))).mean()


def soft_mask(mask: Mask) -> Mask:
    """Blurred by a 32nd of the side, then doubled and cut at 1: full up to the rim, fading out around it."""
    return (2 * blurred(mask, mask.shape[-1] / 32)).clamp(0, 1)


@torch.no_grad()
def priority_mask(landmarks: Float[Tensor, "b 68 2"], mask: Mask) -> Mask:
    """Eyes and open mouth, grown by a 32nd of the side and blurred by a 16th, where the face is seen; 1 at the most."""
    size_px = mask.shape[-1]
    rings = [landmarks[:, ring].float() for ring in (LEFT_EYE, RIGHT_EYE, LIPS_INNER)]
    parts = torch.stack([ring_mask(ring, size_px, size_px / 32) for ring in rings]).amax(0)
    seen = blurred(parts, size_px / 16) * (mask > 0.5)
    return seen / seen.amax((2, 3), keepdim=True).clamp(min=1e-3)


def ring_mask(ring: Float[Tensor, "b n 2"], size_px: int, grow_px: float) -> Mask:
    """1 inside a ring of points x, y in pixels, and up to `grow_px` outside it."""
    at = torch.arange(size_px, device=ring.device, dtype=ring.dtype) + 0.5
    x, y = at[None, None, :, None], at[None, :, None, None]
    start, end = ring[:, None, None], ring.roll(-1, 1)[:, None, None]
    along = end - start
    share = (x - start[..., 0]) * along[..., 0] + (y - start[..., 1]) * along[..., 1]
    share = (share / along.square().sum(-1).clamp(min=1e-6)).clamp(0, 1)
    away = (start[..., 0] + share * along[..., 0] - x).square() + (start[..., 1] + share * along[..., 1] - y).square()
    # A ray to the right crosses the ring an odd number of times from inside.
    rise = torch.where(along[..., 1] == 0, 1.0, along[..., 1])
    crossing = start[..., 0] + (y - start[..., 1]) / rise * along[..., 0] > x
    crossed = ((start[..., 1] > y) != (end[..., 1] > y)) & crossing
    inside = (crossed.sum(-1) % 2 == 1) | (away.amin(-1) <= grow_px**2)
    return inside[:, None].to(ring.dtype)


def blurred(pictures: Float[Tensor, "b c h w"], sigma_px: float) -> Float[Tensor, "b c h w"]:
    """Gaussian blur, cut at three deviations; the border goes on outside, so that an even picture stays even."""
    reach, channels = max(1, math.ceil(3 * sigma_px)), pictures.shape[1]
    at = torch.arange(-reach, reach + 1, device=pictures.device, dtype=torch.float32)
    line = torch.exp(-at.square() / (2 * sigma_px**2))
    line = (line / line.sum()).expand(channels, 1, 1, -1)
    pictures = side_by_side(pictures.float())
    with _exactly(pictures):
        across = F.conv2d(F.pad(pictures, (reach, reach, 0, 0), "replicate"), line, groups=channels)
        return F.conv2d(F.pad(across, (0, 0, reach, reach), "replicate"), line.mT, groups=channels)


def _exactly(tensor: Tensor) -> torch.autocast:
    """Convolutions in float32 inside: differences of squares lose all their digits in half precision."""
    return torch.autocast(tensor.device.type, enabled=False)
