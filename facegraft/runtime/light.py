"""Colour, light and sharpness of one face carried over to another.

Light multiplies: the ratio of two faces' smooth parts, in linear light, is the change of lamp and skin tone together
(the quotient image). With a pure power law between light and pixel values, that ratio to the power 1/2.2 is
the factor for the pixel values themselves, so full-size pictures never leave 8-bit encoding.

Three factors, one per channel, would colour what is grey: two photos' skins differ by white balance, complexion and
blood, and black brows times the ratio of a sunburnt skin and a pale one are green. So the change of colour goes with a
pixel's saturation, in units of the skin's: skin takes all of it, hair, lashes and highlights take brightness alone.
Into a paler frame all colours fade alike: lips that took the skin's change, and no more, would stay violet.
Not so for networks' answers (`match_tone`): what is grey there may be a spot on skin, and beside it would look blue.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.types import Frame, Mask
from facegraft.faces.layers import smoothstep
from facegraft.runtime.texture import smooth_where

GAMMA = 2.2
COLOUR_REACH = 0.5
"""How far the colour of the light is smoothed, in parts of how far its brightness is."""
GAIN_LIMIT = 3.5
"""Largest factor on pixel values: beyond it, noise and compression would show."""

SATURATED = (0.04, 0.12)
"""Saturation of skin, in parts of its brightness: below the first, of a grey photo, it tells nothing of a pixel's part
in the change, and factors per channel stay; above the second they do not."""
FOREIGN = (0.35, 0.7)
"""Difference of two skins' log chroma: above the second it is a coloured lamp, which colours grey things too."""
MOST_SATURATED = 1.2
"""Lips and make-up take no more of the change than so many times the skin's part."""

PATCH_KEPT = 0.12
"""Log brightness by which a patch of skin may differ from the frame's: features and their shading are the person's."""
PATCH_LIMIT = 1.2
"""Largest change of log brightness of a patch."""
TINT_KEPT = 0.005
"""Log tint that may lie beyond, since levels are rounded."""
PATCH_SPREAD = 3.5
"""How far beside bare skin its patches' change goes on, over brows and sockets, in sizes of a patch."""

TONE_CELLS = 88
"""Along the longer side: tone is smooth, and measured on a small copy."""
TONE_LEAST = 0.05
"""Less of a face than this anywhere says nothing of its tone."""


@dataclass(frozen=True)
class Light:
    """How a texture's pixel values v become those of the frame: w = v ** contrast, then faded(w * gain) + tint * part.

    Fading brings the channels nearer to their mean. A pixel's part is its saturation, red less the mean of green and
    blue of w, from 0 to `most`.

    Attributes:
        gain: One factor per cell and channel, continued smoothly to where there is no skin.
        tint: What a pixel gets per level of saturation besides.
        chroma: How much of their distance from the mean channels keep, 0..1; the same for each channel.
        most: Saturation, in levels, above which nothing is added; the same for each channel.
        bright: Brightness of the skin's w: what is darker than skin has the less part, in proportion.
        contrast: Exponent: 1 keeps the identity's own contrast between smooth light and detail.
    """

    gain: Float32[np.ndarray, "h w 3"]
    tint: Float32[np.ndarray, "h w 3"]
    chroma: Float32[np.ndarray, "h w 3"]
    most: Float32[np.ndarray, "h w 3"]
    bright: Float32[np.ndarray, "h w 3"]
    contrast: float


def measure_light(texture: Frame, goal: Frame, weight: Mask, sigma: float) -> Light:
    """The change that gives `texture` the smooth light, colour and contrast of `goal`.

    Args:
        texture: The identity's face, on a coarse grid.
        goal: The attribute frame on the same grid.
        weight: Where both show bare skin.
        sigma: How smooth the light is taken to be, in cells.
    """
    weight = _not_burnt_out(goal, weight)
    log_texture, log_goal = _smooth_log(texture, weight, sigma), _smooth_log(goal, weight, sigma)
    contrast = _contrast(_log(texture) - log_texture, _log(goal) - log_goal, weight)
    log_gain = np.minimum(log_goal - log_texture, np.float32(np.log(GAIN_LIMIT)))
    return _light(log_texture, log_gain, contrast)


def apply_light(texture: Frame, light: Light) -> Float32[np.ndarray, "h w 3"]:
    """Pixel values 0..255 of the texture in the frame's light, whose fields are brought to the texture's size."""
    # the floor keeps the logarithm finite; black itself stays black
    curve = np.exp(np.float32(light.contrast) * _LOG) * (_VALUES / np.exp(_LOG))
    lit = np.asarray(cv2.LUT(texture, curve), np.float32)
    size_wh = (texture.shape[1], texture.shape[0])
    fields = (light.gain, light.tint, light.chroma, light.most / np.maximum(light.bright, 1), light.most)
    gain, tint, chroma, share, most = (cv2.resize(each, size_wh, interpolation=cv2.INTER_LINEAR) for each in fields)
    part = _saturation(lit)
    np.minimum(np.maximum(part, 0, out=part), most, out=part)
    np.minimum(part, cv2.multiply(_mean(lit), share, dst=share), out=part)
    lit = _faded(cv2.multiply(lit, gain, dst=lit), chroma)
    cv2.add(lit, cv2.multiply(part, tint, dst=part), dst=lit)
    return np.clip(lit, 0, np.float32(255), out=lit)


def match_patches(
    lit: Float32[np.ndarray, "h w 3"], goal: Frame, weight: Mask, sigma: float, wide: float
) -> Float32[np.ndarray, "h w 3"]:
    """Tempers what is left of another lamp: highlights, shadows and stains too small to be the smooth light.

    A patch that is brighter or darker than the frame's, as highlights are that shine elsewhere, comes nearer to it by
    all that exceeds `PATCH_KEPT`. A patch whose tint lies outside of what the frame has there takes the nearest tint
    between that of the frame's patch and that of its surroundings. The patch's own alone would bring the blue of a
    highlight without its shine. Brows and eye sockets go with the skin around them.

    Args:
        lit: 0..255, already in the frame's smooth light.
        goal: The frame at the same size.
        weight: Where both show bare skin, on a coarse grid.
        sigma: Size of a patch, in cells of that grid.
        wide: Size of its surroundings, likewise.

    Returns:
        0..255.
    """
    size_wh = (weight.shape[1], weight.shape[0])
    levels = np.rint(lit).astype(np.uint8)
    face, place = (cv2.resize(each, size_wh, interpolation=cv2.INTER_AREA) for each in (levels, goal))
    weight, sigma = _not_burnt_out(place, weight), max(sigma, 0.5)
    support = cv2.GaussianBlur(weight, (0, 0), sigma)[..., None]
    here, there = _patches(face, weight, sigma), _patches(place, weight, sigma)
    around = _patches(place, weight, max(wide, sigma))

    log_gain = _grey(there - here)
    beyond = np.sign(log_gain) * np.clip(np.abs(log_gain) - np.float32(PATCH_KEPT), 0, np.float32(PATCH_LIMIT))
    tint, one, other = (each - _grey(each) for each in (here, there, around))
    low, high = np.minimum(one, other) - np.float32(TINT_KEPT), np.maximum(one, other) + np.float32(TINT_KEPT)
    beyond = beyond + np.clip(tint, low, high) - tint
    known = np.minimum(support / np.float32(0.4), 1)
    sure = known**2
    spread = cv2.GaussianBlur(np.dstack([sure * beyond, sure]), (0, 0), PATCH_SPREAD * sigma)
    beyond = known * beyond + (1 - known) * spread[..., :3] / (spread[..., 3:] + np.float32(0.05))
    gain = np.exp(cv2.GaussianBlur(beyond, (0, 0), sigma / 2))
    whole = cv2.resize(gain, (lit.shape[1], lit.shape[0]), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.minimum(lit * whole, np.float32(255)), np.float32)


def _patches(image: Frame, weight: Mask, sigma: float) -> Float32[np.ndarray, "h w 3"]:
    """Log (encoded) of the skin around each cell; the same of any picture where there is none."""
    linear = np.asarray(cv2.LUT(image, _LINEAR), np.float32)
    both = cv2.GaussianBlur(np.dstack([linear * weight[..., None], weight]), (0, 0), sigma)
    mean = both[..., :3] / (both[..., 3:] + np.float32(1e-3))
    return np.asarray(np.log(mean + np.float32(0.002)) / np.float32(GAMMA), np.float32)


def _light(log_texture: Float32[np.ndarray, "h w 3"], log_gain: Float32[np.ndarray, "h w 3"], contrast: float) -> Light:
    """The change that makes a texture of this smooth light `exp(log_gain)` times as bright."""
    skin = np.exp(np.float32(contrast) * log_texture)
    gain = np.exp(log_gain + np.float32(1 - contrast) * log_texture)
    brightness = np.exp(_grey(np.log(gain)))
    saturation = _saturation(skin)
    apart = np.linalg.norm(log_gain - _grey(log_gain), axis=-1, keepdims=True)
    known = smoothstep(saturation / skin.mean(axis=-1, keepdims=True), *SATURATED) * (1 - smoothstep(apart, *FOREIGN))
    goal = skin * gain
    gain = gain + known * (brightness - gain)
    paler = np.clip(_saturation(goal) / np.maximum(brightness * saturation, 1e-3), 0, 1)
    chroma = (1 + known * (paler - 1)).astype(np.float32)
    tint = (goal - _faded((skin * gain).astype(np.float32), chroma)) / np.maximum(saturation, 1e-3)
    most = np.float32(MOST_SATURATED) * np.maximum(saturation, 0)
    bright = _mean(skin.astype(np.float32))
    return Light(gain.astype(np.float32), tint.astype(np.float32), chroma, most.astype(np.float32), bright, contrast)


def _faded(levels: Float32[np.ndarray, "h w 3"], chroma: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Channels nearer to their mean."""
    grey = _mean(levels)
    return np.asarray(cv2.add(grey, cv2.multiply(cv2.subtract(levels, grey), chroma)), np.float32)


def _mean(levels: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Brightness, three times."""
    return np.asarray(cv2.transform(levels, np.full((3, 3), 1 / 3, np.float32)), np.float32)


def _saturation(levels: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 3"]:
    """Red less the mean of green and blue, three times: skin of every tone has some, grey has none."""
    return np.asarray(cv2.transform(levels, np.array([[1, -0.5, -0.5]] * 3, np.float32)), np.float32)


def match_tone(
    swapped: Float32[np.ndarray, "h w 3"], goal: Frame, weight: Mask, sigma: float, share: float | int = 1
) -> Float32[np.ndarray, "h w 3"]:
    """A face in the smooth light and the skin tone of the frame that it goes into; what is finer stays its own.

    Args:
        swapped: 0..255, in the frame's place.
        goal: The frame.
        weight: Where both show the face.
        sigma: How smooth tone is taken to be, in pixels.
        share: How much of the way it goes, 0..1.

    Returns:
        0..255.
    """
    height, width = weight.shape
    shrink = max(1.0, max(height, width) / TONE_CELLS)
    size_wh = (max(2, round(width / shrink)), max(2, round(height / shrink)))
    levels = np.rint(swapped).astype(np.uint8)
    face, place, where = (cv2.resize(each, size_wh, interpolation=cv2.INTER_AREA) for each in (levels, goal, weight))
    if where.max() < TONE_LEAST:
        return swapped
    where = _not_burnt_out(place, where)
    log_gain = _smooth_log(place, where, sigma / shrink) - _smooth_log(face, where, sigma / shrink)
    limit = np.float32(np.log(GAIN_LIMIT))
    gain = np.exp(np.float32(share) * np.clip(log_gain, -limit, limit)).astype(np.float32)
    whole = cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.clip(swapped * whole, 0, 255), np.float32)


def _not_burnt_out(goal: Frame, weight: Mask) -> Mask:
    """Burnt-out pixels do not say how bright they were."""
    darkest = np.minimum(np.minimum(goal[..., 0], goal[..., 1]), goal[..., 2])
    return np.asarray(weight * (darkest < 240), np.float32)


def _smooth_log(image: Frame, weight: Mask, sigma: float) -> Float32[np.ndarray, "h w 3"]:
    """Log (encoded) of the smooth light: near the skin that is seen, its own; far from it, that of a wider circle.

    Its colour is taken from a smaller circle than its brightness: shading tells the shape of a face, but patches of
    sky or neon light on it belong to the place.
    """
    linear = np.asarray(cv2.LUT(image, _LINEAR), np.float32)
    floor = np.float32(0.002)
    wide, middle, near = (
        np.log(smooth_where(linear, weight, max(reach * sigma, 0.5)) + floor) for reach in (3.0, 1.0, COLOUR_REACH)
    )
    support = cv2.GaussianBlur(weight, (0, 0), max(sigma, 0.5))[..., None]
    share = np.clip(support / np.float32(0.25), 0, 1)
    close = near + (_grey(middle) - _grey(near))
    log = share * close + (1 - share) * wide
    return (log / np.float32(GAMMA) + np.float32(np.log(255))).astype(np.float32)


def _grey(log: Float32[np.ndarray, "h w 3"]) -> Float32[np.ndarray, "h w 1"]:
    return (log[..., 0:1] + log[..., 1:2] + log[..., 2:3]) * np.float32(1 / 3)


def _log(image: Frame) -> Float32[np.ndarray, "h w 3"]:
    return np.asarray(cv2.LUT(image, _LOG), np.float32)


def _contrast(texture: Float32[np.ndarray, "h w 3"], goal: Float32[np.ndarray, "h w 3"], weight: Mask) -> float:
    """Ratio of the two faces' typical deviations from their smooth light, drawn towards 1 and bounded."""
    total = max(float(weight.sum()), 1e-6)

    def spread(log: Float32[np.ndarray, "h w 3"]) -> float:
        return float((np.minimum(_grey(np.abs(log))[..., 0], 0.5) * weight).sum()) / total

    ratio = (spread(goal) + 0.01) / (spread(texture) + 0.01)
    return float(np.clip(ratio, 0.5, 1.3) ** 0.7)


_LINEAR = ((np.arange(256) / 255.0) ** GAMMA).astype(np.float32)
_VALUES = np.arange(256, dtype=np.float32)
_LOG = (np.log(_LINEAR + np.float32(0.002)) / np.float32(GAMMA) + np.float32(np.log(255))).astype(np.float32)
"""Log of the pixel value (0..255), with the same floor in linear light as the smooth part."""


def match_sharpness(texture: Frame, goal: Frame, weight: Mask) -> Frame:
    """Blurs the identity's face where it has clearly more fine detail than the frame it goes into.

    The fine detail is the mean of what a small blur removes, over the middle of the face; a blurred or compressed
    clip has little of it.

    Args:
        texture: The identity's face at full size.
        goal: The frame, likewise.
        weight: Where both show skin, at any size.
    """
    rows, columns = (slice(length // 4, 3 * length // 4) for length in texture.shape[:2])
    part = cv2.resize(weight, (texture.shape[1], texture.shape[0]), interpolation=cv2.INTER_NEAREST)[rows, columns]
    detail_texture, detail_goal = _detail(texture[rows, columns], part), _detail(goal[rows, columns], part)
    ratio = detail_goal / max(detail_texture, 1e-3)
    if ratio >= 0.8:
        return texture
    # a Gaussian of sigma s leaves about 1 / (1 + 2 s^2) of this detail: 0.58, 0.33, 0.16 at s = 0.6, 1, 1.6, where 32
    # patches of cheeks kept 0.62, 0.40, 0.25 in the median
    sigma = float(np.sqrt(max(1 / max(ratio, 0.2) - 1, 0) / 2))
    return np.asarray(cv2.GaussianBlur(texture, (0, 0), min(sigma, 1.6)))


def _detail(image: Frame, weight: Mask) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    fine = cv2.absdiff(grey, cv2.GaussianBlur(grey, (0, 0), 1.2))
    return float((fine * weight).sum() / max(float(weight.sum()), 1e-6))
