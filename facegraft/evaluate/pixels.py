"""How far two pictures are apart within a region: PSNR, SSIM, and the colour difference CIEDE2000."""

from __future__ import annotations

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

from facegraft.core.types import Frame

CAP_DB = 60.0
"""Nothing counts as closer: rounding to 8 bits alone, an error of 1/12 squared levels, is 58.9 dB."""
WINDOW_PX, WINDOW_SIGMA_PX = 11, 1.5
"""Of SSIM, as its authors chose them."""
K1, K2 = 0.01, 0.03
XYZ_OF_RGB = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
"""Of linear sRGB (IEC 61966-2-1)."""
WHITE = XYZ_OF_RGB.sum(1)
EPSILON = 6 / 29
"""Below its cube the root of L*a*b* is a straight line."""


def psnr(frame: Frame, other: Frame, inside: Bool[np.ndarray, "h w"]) -> float:
    """10 log10(255^2 / mean squared difference) in dB over the pixels inside, at most `CAP_DB`; NaN: none inside."""
    if not inside.any():
        return float("nan")
    apart = frame[inside].astype(np.float64) - other[inside]
    error = float(np.mean(apart**2))
    return min(CAP_DB, 10 * float(np.log10(255**2 / max(error, 1e-12))))


def ssim(frame: Frame, other: Frame, inside: Bool[np.ndarray, "h w"]) -> float:
    """Structural similarity (Wang, Bovik, Sheikh, Simoncelli, 2004, eq. 13): mean over windows, of the three channels.

    Windows are Gaussian, 11 x 11, sigma 1.5; those count that are centred inside and lie wholly in the picture.

    Returns:
        -1..1; NaN where no window counts.
    """
    half = WINDOW_PX // 2
    counted = np.zeros_like(inside)
    counted[half : inside.shape[0] - half, half : inside.shape[1] - half] = True
    counted &= inside
    if not counted.any():
        return float("nan")
    x, y = frame.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x, var_y = _windowed(x * x) - mean_x**2, _windowed(y * y) - mean_y**2
    both = _windowed(x * y) - mean_x * mean_y
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    likeness = (2 * mean_x * mean_y + c1) * (2 * both + c2)
    likeness /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    return float(likeness[counted].mean())


def colour_difference(frame: Frame, other: Frame, inside: Bool[np.ndarray, "h w"], blur_px: float) -> float:
    """Mean CIEDE2000 difference over the pixels inside, of pictures without their detail; NaN: none inside.

    Each picture is blurred by a Gaussian that sees only what lies inside, so that nothing beyond the edge counts.
    """
    if not inside.any():
        return float("nan")
    first, second = (as_lab(_blurred(picture, inside, blur_px)) for picture in (frame, other))
    return float(ciede2000(first[inside], second[inside]).mean())


def as_lab(rgb: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """CIE L*a*b* (1976, white D65) of sRGB in 0..255. OpenCV's is off by up to one level."""
    t = _linear(rgb) @ (XYZ_OF_RGB / WHITE[:, None]).T
    root = np.where(t > EPSILON**3, np.cbrt(t), t / (3 * EPSILON**2) + 4 / 29)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def luminance(frame: Frame) -> Float32[np.ndarray, "h w"]:
    """Linear brightness Y of sRGB, 0..1."""
    level = _linear(np.arange(256.0)).astype(np.float32)
    return np.asarray(level[frame] @ XYZ_OF_RGB[1].astype(np.float32), np.float32)


def as_rgb(lab: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """The way back; what sRGB cannot show is clipped."""
    y = (lab[..., 0] + 16) / 116
    root = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], -1)
    t = np.where(root > EPSILON, root**3, 3 * EPSILON**2 * (root - 4 / 29))
    linear = np.clip((t * WHITE) @ np.linalg.inv(XYZ_OF_RGB).T, 0, 1)
    share = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(255 * np.clip(share, 0, 1), np.float64)


def _linear(rgb: Float[np.ndarray, "*any"]) -> Float[np.ndarray, "*any"]:
    share = rgb / 255
    return np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)


def ciede2000(first: Float[np.ndarray, "n 3"], second: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n"]:
    """Colour difference of L*a*b* colours; about 1 is just seen. Equations 2 to 22 of Sharma, Wu, Dalal (2005)."""
    l1, l2 = first[:, 0], second[:, 0]
    chroma7 = ((np.hypot(first[:, 1], first[:, 2]) + np.hypot(second[:, 1], second[:, 2])) / 2) ** 7
    stretch = 1.5 - 0.5 * np.sqrt(chroma7 / (chroma7 + 25.0**7))
    a1, a2 = first[:, 1] * stretch, second[:, 1] * stretch
    c1, c2 = np.hypot(a1, first[:, 2]), np.hypot(a2, second[:, 2])
    h1, h2 = np.degrees(np.arctan2(first[:, 2], a1)) % 360, np.degrees(np.arctan2(second[:, 2], a2)) % 360
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    # the shorter way between hues; exactly opposite ones differ by +180 in eq. 10
    turn = np.where(~grey & (np.abs(h2 - h1) == 180), h2 - h1, turn)
    delta_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn / 2))
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    wraps = np.abs(h1 - h2) > 180
    hue = np.where(grey, h1 + h2, (h1 + h2) / 2 + np.where(wraps, np.where(h1 + h2 < 360, 180, -180), 0))
    t = (
        1
        - 0.17 * np.cos(np.radians(hue - 30))
        + 0.24 * np.cos(np.radians(2 * hue))
        + 0.32 * np.cos(np.radians(3 * hue + 6))
        - 0.20 * np.cos(np.radians(4 * hue - 63))
    )
    away = (lightness - 50) ** 2
    s_l, s_c, s_h = 1 + 0.015 * away / np.sqrt(20 + away), 1 + 0.045 * chroma, 1 + 0.015 * chroma * t
    swing = np.radians(60 * np.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -2 * np.sqrt(chroma**7 / (chroma**7 + 25.0**7)) * np.sin(swing)
    dl, dc, dh = (l2 - l1) / s_l, (c2 - c1) / s_c, delta_h / s_h
    return np.asarray(np.sqrt(np.maximum(dl**2 + dc**2 + dh**2 + rotation * dc * dh, 0)), np.float64)


def _windowed(values: Float[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    return np.asarray(cv2.GaussianBlur(values, (WINDOW_PX, WINDOW_PX), WINDOW_SIGMA_PX), np.float64)


def _blurred(frame: Frame, inside: Bool[np.ndarray, "h w"], blur_px: float) -> Float[np.ndarray, "h w 3"]:
    weight = inside.astype(np.float64)
    light = cv2.GaussianBlur(frame * weight[..., None], (0, 0), blur_px)
    share = cv2.GaussianBlur(weight, (0, 0), blur_px)
    return np.asarray(light / np.maximum(share, 1e-6)[..., None], np.float64)
