"""What a camera does to light on its way to a file: lens, sensor, tone curve, JPEG. Batched, on any device.

Every step is local, so two pictures of one scene that differ in a few pixels agree exactly further away than
`reach_px` (no levels are stretched, nothing is normalised). Sums are products first, then additions, never fused:
an image comes out the same alone and in a batch. Numbers per image are float tensors of length b; those that decide
which work is done (widths, qualities) are best left on the CPU, where reading them waits for nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.data.jpeg import jpeg, reach

MID_GREY = 0.18
"""Linear; the level at which noise is stated."""
POST_SIZE_PX = 256
"""Blur and motion of a `Post` are stated for pictures this high."""
_SLOPE_AT_MID_GREY = 1.055 / 2.4 * MID_GREY ** (1 / 2.4 - 1)
GLOW_SIGMA = 1 / 60
"""Share of the picture's height over which stray light spreads."""
BRIGHTEST = 8.0
"""Linear light above this is cut before the lens spreads it."""
USUAL_CONTRAST = 0.2
"""By how much a common camera's curve is steeper than sRGB's at middle sRGB."""
_KNEE = 0.55
_HALVED_COLOUR_BELOW = 92
_CORRELATION = 0.22
_SHARED = 1.0
_OWN = 0.6


@runtime_checkable
class Post(Protocol):
    """What camera and file did, of one scene, shared by all of its pictures. Lengths are at `POST_SIZE_PX`."""

    @property
    def exposure(self) -> float | int:
        """Factor on the light; 1 = as rendered."""

    @property
    def white_balance(self) -> tuple[float, float, float]:
        """Factors on linear red, green, blue."""

    @property
    def contrast(self) -> float | int:
        """Strength of the tone curve; 1 = usual, 0 = plain sRGB below the shoulder, -5..2.5."""

    @property
    def saturation(self) -> float | int:
        """Factor on the distance from grey; 1 = as it is."""

    @property
    def noise(self) -> float | int:
        """Standard deviation at mid grey in sRGB units 0..1; .008 is little, .04 a phone at night."""

    @property
    def blur_px(self) -> float | int:
        """Sigma of the lens blur."""

    @property
    def motion_px(self) -> float | int:
        """Length of the motion blur."""

    @property
    def motion_degrees(self) -> float | int:
        """Its direction; 0 = along the rows, clockwise in the frame."""

    @property
    def jpeg(self) -> float | int:
        """Quality; 100 = not compressed."""

    @property
    def vignette(self) -> float | int:
        """Share of the light that the corners lose, 0..1."""

    @property
    def glow(self) -> float | int:
        """Share of the light that strays around where it falls."""

    @property
    def seed(self) -> int:
        """Of the noise."""


def apply_post(
    linear: Float[Tensor, "b 3 h w"], posts: Sequence[Post], stray: Float[Tensor, "b 3 h w"] | None = None
) -> Float[Tensor, "b 3 h w"]:
    """Develops linear light into sRGB pictures: exposure, lens, sensor noise, tone, JPEG.

    Args:
        linear: Linear RGB; any range from 0 up.
        posts: One per image.
        stray: Linear pictures whose light strays over the whole picture (glow), in place of each one's own: two
            pictures of one scene that share it differ only near where their light differs.

    Returns:
        sRGB 0..1, to be rounded to 8 bits; in steps of 1/255 already where JPEG was applied.
    """
    light = _through_lens(linear, posts)
    if any(post.glow for post in posts):
        veil = light if stray is None else _through_lens(stray, posts)
        light = glow(light, _column([post.glow for post in posts]), veil)
    shot, read = sensor_noise(_column([post.noise for post in posts]))
    light = add_noise(light, shot, read, [post.seed for post in posts])
    srgb = tone(light, _column([post.contrast for post in posts]))
    srgb = saturation(srgb, _column([post.saturation for post in posts]))
    quality = _column([post.jpeg for post in posts])
    return jpeg(srgb, quality, quality < _HALVED_COLOUR_BELOW)


def _through_lens(linear: Float[Tensor, "b 3 h w"], posts: Sequence[Post]) -> Float[Tensor, "b 3 h w"]:
    """Exposure, white balance, vignette, and what lens and motion blur."""
    scale = linear.shape[-2] / POST_SIZE_PX
    light = exposure(linear, _column([post.exposure for post in posts]))
    light = white_balance(light, torch.tensor([post.white_balance for post in posts], dtype=torch.float32))
    light = vignette(light, _column([post.vignette for post in posts])).clamp(0, BRIGHTEST)
    light = blur(light, _column([post.blur_px * scale for post in posts]))
    lengths = _column([post.motion_px * scale for post in posts])
    return motion_blur(light, lengths, _column([post.motion_degrees for post in posts]))


def reach_px(post: Post, size_px: int, *, shared_glow: bool = False) -> int:
    """How many pixels away from a changed pixel `apply_post` may change others, in pictures this high.

    `shared_glow`: both pictures were given the same `stray`.
    """
    scale = size_px / POST_SIZE_PX
    lens = _radius(post.blur_px * scale) + _motion_radius(post.motion_px * scale)
    stray = _radius(size_px * GLOW_SIGMA) if post.glow and not shared_glow else 0
    return lens + stray + reach(post.jpeg, halved_colour=post.jpeg < _HALVED_COLOUR_BELOW)


def to_srgb(linear: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light to sRGB (IEC 61966-2-1); negative light is 0."""
    light = linear.clamp(min=0)
    curved = 1.055 * light.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    return torch.where(light <= 0.0031308, light * 12.92, curved)


def to_linear(srgb: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """The inverse of `to_srgb`."""
    curved = ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(srgb <= 0.04045, srgb / 12.92, curved)


def saturation(srgb: Float[Tensor, "b 3 h w"], factor: Float[Tensor, "b"]) -> Float[Tensor, "b 3 h w"]:
    """Moves sRGB 0..1 away from its grey (factor above 1) or towards it; 0 = grey picture."""
    if bool((factor == 1).all()):
        return srgb
    grey = srgb[:, :1] * 0.299 + srgb[:, 1:2] * 0.587 + srgb[:, 2:] * 0.114
    return (grey + (srgb - grey) * _each(factor, srgb)).clamp(0, 1)


def glow(
    linear: Float[Tensor, "b c h w"], share: Float[Tensor, "b"], stray: Float[Tensor, "b c h w"]
) -> Float[Tensor, "b c h w"]:
    """Lets a share of the light of `stray` (usually `linear` itself) stray over `GLOW_SIGMA` of the height."""
    sigmas = [linear.shape[-2] * GLOW_SIGMA if value else 0.0 for value in share.tolist()]
    if not any(sigmas):
        return linear
    part = _each(share, linear)
    return linear * (1 - part) + blur(stray, _column(sigmas)) * part


def tone(linear: Float[Tensor, "b c h w"], contrast: Float[Tensor, "b"]) -> Float[Tensor, "b c h w"]:
    """A camera's curve from linear light to sRGB 0..1: straight in the middle, a soft shoulder, a toe by contrast.

    Grows with the light everywhere as long as contrast lies in -5..2.5.
    """
    above = (linear - _KNEE).clamp(min=0)
    soft = linear.clamp(max=_KNEE) + (1 - _KNEE) * (1 - torch.exp(-above / (1 - _KNEE)))
    srgb = to_srgb(soft)
    bend = _each(contrast, srgb) * (4 * USUAL_CONTRAST)
    return (srgb + bend * ((srgb - 0.5) * srgb * (1 - srgb))).clamp(0, 1)


def exposure(linear: Float[Tensor, "b c h w"], factor: Float[Tensor, "b"]) -> Float[Tensor, "b c h w"]:
    """More or less light."""
    return linear * _each(factor, linear)


def white_balance(linear: Float[Tensor, "b 3 h w"], gains: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 h w"]:
    """Factors on linear red, green and blue."""
    return linear * gains.to(linear)[:, :, None, None]


def vignette(linear: Float[Tensor, "b c h w"], strength: Float[Tensor, "b"]) -> Float[Tensor, "b c h w"]:
    """Darkens towards the corners, which lose `strength` of their light."""
    height, width = linear.shape[-2:]
    y = ((torch.arange(height, dtype=torch.float32) + 0.5) / height * 2 - 1)[:, None]
    x = ((torch.arange(width, dtype=torch.float32) + 0.5) / width * 2 - 1)[None]
    fall = ((x * x + y * y) / 2) ** 1.5
    return linear * (1 - _each(strength, linear) * fall.to(linear))


def blur(images: Float[Tensor, "b c h w"], sigma_px: Float[Tensor, "b"]) -> Float[Tensor, "b c h w"]:
    """Gaussian blur, a width of its own per image, cut off at three sigmas; the edge is repeated outwards."""
    sigmas = sigma_px.tolist()
    return _in_groups(images, [_radius(sigma) for sigma in sigmas], lambda rows, r: _gauss(images, rows, sigmas, r))


def motion_blur(
    images: Float[Tensor, "b c h w"], length_px: Float[Tensor, "b"], angle_degrees: Float[Tensor, "b"]
) -> Float[Tensor, "b c h w"]:
    """Means along a straight stroke, centred: what a moving camera or head leaves.

    Args:
        images: Any range; linear light is right.
        length_px: Of the stroke; at most 0.5 px: untouched.
        angle_degrees: 0 = along x, clockwise in the frame.
    """
    lengths, angles = length_px.tolist(), angle_degrees.tolist()
    moving = [row for row, length in enumerate(lengths) if length > 0.5]
    if not moving:
        return images
    parts = list(images.unbind(0))
    for row in moving:
        parts[row] = _stroke(images[row : row + 1], lengths[row], angles[row])[0]
    return torch.stack(parts)


def sensor_noise(noise: Float[Tensor, "b"]) -> tuple[Float[Tensor, "b"], Float[Tensor, "b"]]:
    """Shot and read noise (see `add_noise`) that together make this standard deviation in sRGB at mid grey."""
    at_mid_grey = noise / _SLOPE_AT_MID_GREY
    return at_mid_grey * math.sqrt(0.85 / MID_GREY), at_mid_grey * math.sqrt(0.15)


def add_noise(
    linear: Float[Tensor, "b 3 h w"], shot: Float[Tensor, "b"], read: Float[Tensor, "b"], seeds: Sequence[int]
) -> Float[Tensor, "b 3 h w"]:
    """Adds a sensor's noise: variance = shot^2 x light + read^2.

    Args:
        linear: Linear light; noise may push it a little below 0.
        shot: Per image.
        read: Per image.
        seeds: Per image. Images of one seed get the same `noise_field`, whatever their content or size.
    """
    if not any((shot + read).tolist()):
        return linear
    deviation = (_each(shot**2, linear) * linear.clamp(min=0) + _each(read**2, linear)).sqrt()
    return linear + deviation * noise_field(seeds, linear.shape[-2], linear.shape[-1], linear.device).to(linear)


def noise_field(
    seeds: Sequence[int], height: int, width: int, device: torch.device | None = None
) -> Float[Tensor, "b 3 h w"]:
    """Normal noise of unit variance, alike on every device: a hash of (seed, channel, row, column).

    Neighbours resemble each other a little and so do the channels, as demosaicing and a colour matrix leave them.
    The sum of a hash's four bytes stands in for a normal number: within 3.5 sigma, even a little less at the tails.
    """
    keys = torch.tensor([_key(seed) for seed in seeds], dtype=torch.int32, device=device)
    rows = torch.arange(height + 2, dtype=torch.int32, device=device)[:, None]
    columns = torch.arange(width + 2, dtype=torch.int32, device=device)[None]
    channels = torch.arange(4, dtype=torch.int32, device=device)[:, None, None]
    cells = (channels << 28) + (rows << 14) + columns
    mixed = _hash(_hash(cells) ^ keys[:, None, None, None])
    total = (mixed & 255) + ((mixed >> 8) & 255) + ((mixed >> 16) & 255) + ((mixed >> 24) & 255)
    raw = total.float() - 510.0
    raw = raw[:, :3] * _OWN + raw[:, 3:] * _SHARED
    raw = raw[:, :, 1:-1] + (raw[:, :, :-2] + raw[:, :, 2:]) * _CORRELATION
    raw = raw[..., 1:-1] + (raw[..., :-2] + raw[..., 2:]) * _CORRELATION
    variance = 4 * (256**2 - 1) / 12 * (_OWN**2 + _SHARED**2) * (1 + 2 * _CORRELATION**2) ** 2
    return raw / math.sqrt(variance)


def rescale(images: Float[Tensor, "b c h w"], factor: Float[Tensor, "b"]) -> Float[Tensor, "b c h w"]:
    """Down to this share of the size and up again, one share per image; 1 and more: untouched."""
    parts = list(images.unbind(0))
    height, width = images.shape[-2:]
    for row, share in enumerate(factor.tolist()):
        small = (max(1, round(height * share)), max(1, round(width * share)))
        if share < 1 and small != (height, width):
            less = F.interpolate(images[row : row + 1], small, mode="bilinear", antialias=True)
            parts[row] = F.interpolate(less, (height, width), mode="bilinear")[0]
    return torch.stack(parts)


def _column(values: Sequence[float | int]) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32)


def _each(values: Tensor, images: Tensor) -> Tensor:
    return values.to(images)[:, None, None, None]


def _radius(sigma: float) -> int:
    """Pixels that a blur reaches; below a fifth of a pixel it is no blur (the neighbour's weight is under 1e-5)."""
    return math.ceil(3 * sigma) if sigma >= 0.2 else 0


def _motion_radius(length: float) -> int:
    return math.ceil(length / 2) + 1 if length > 0.5 else 0


def _in_groups(images: Tensor, radii: Sequence[int], work: Callable[[list[int], int], Tensor]) -> Tensor:
    """`work(rows, radius)` for the rows of each radius above 0; the other rows stay."""
    out = images
    for radius in sorted(set(radii) - {0}):
        rows = [row for row, own in enumerate(radii) if own == radius]
        done = work(rows, radius)
        if len(rows) == len(images):
            return done
        out = out.index_copy(0, torch.tensor(rows, device=images.device), done)
    return out


def _gauss(images: Tensor, rows: list[int], sigmas: Sequence[float], radius: int) -> Tensor:
    chosen = images if len(rows) == len(images) else images[torch.tensor(rows, device=images.device)]
    widths = torch.tensor([sigmas[row] for row in rows], dtype=torch.float64)[:, None]
    weights = torch.exp(-0.5 * (torch.arange(radius + 1) / widths) ** 2)
    weights = (weights / (weights[:, :1] + 2 * weights[:, 1:].sum(1, keepdim=True))).to(chosen)
    for axis, pad in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        size = chosen.shape[axis]
        padded = F.pad(chosen, pad, mode="replicate")
        total = chosen * weights[:, 0, None, None, None]
        for k in range(1, radius + 1):
            pair = padded.narrow(axis, radius - k, size) + padded.narrow(axis, radius + k, size)
            total += pair * weights[:, k, None, None, None]
        chosen = total
    return chosen


def _stroke(image: Tensor, length: float, angle: float) -> Tensor:
    """One image, averaged along one stroke; each sample of it is shared by its four nearest pixels."""
    radius = _motion_radius(length)
    count = 2 * math.ceil(length) + 1
    taps: dict[tuple[int, int], float] = {}
    for i in range(count):
        along = ((i + 0.5) / count - 0.5) * length
        x, y = along * math.cos(math.radians(angle)), along * math.sin(math.radians(angle))
        left, top = math.floor(x), math.floor(y)
        for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
            weight = (1 - abs(x - left - dx)) * (1 - abs(y - top - dy)) / count
            taps[left + dx, top + dy] = taps.get((left + dx, top + dy), 0.0) + weight
    height, width = image.shape[-2:]
    padded = F.pad(image, (radius,) * 4, mode="replicate")
    total = torch.zeros_like(image)
    for (x_px, y_px), weight in taps.items():
        total += padded[..., radius + y_px :, radius + x_px :][..., :height, :width] * weight
    return total


def _key(seed: int) -> int:
    """A seed of any size as 32 signed bits (splitmix64's finaliser)."""
    mask = (1 << 64) - 1
    value = (seed + 0x9E3779B97F4A7C15) & mask
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & mask
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & mask
    value = (value ^ (value >> 31)) & 0xFFFFFFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def _hash(values: Tensor) -> Tensor:
    """Mixes 32-bit integers ("lowbias32", C. Wellons 2018); shifts are masked, for torch shifts in the sign."""
    values = (values ^ ((values >> 16) & 0xFFFF)) * 0x7FEB352D
    values = (values ^ ((values >> 15) & 0x1FFFF)) * -0x7B935975
    return values ^ ((values >> 16) & 0xFFFF)
