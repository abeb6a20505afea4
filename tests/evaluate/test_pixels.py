"""Distances of pictures against closed forms, a loop over every window, and published pairs of colours."""

from __future__ import annotations

import numpy as np
import pytest

from facegraft.core.types import Frame
from facegraft.evaluate.pixels import CAP_DB, as_lab, as_rgb, ciede2000, colour_difference, luminance, psnr, ssim
from tests.evaluate.cases_for_tests import flat, noise

LEFT_HALF = np.arange(50)[None] + np.zeros((40, 1)) < 25

# Sharma, Wu, Dalal (2005), table 1: two colours L*, a*, b* and their difference.
PUBLISHED = (
    ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
    ((50, 3.1571, -77.2803), (50, 0, -82.7485), 2.8615),
    ((50, -1.3802, -84.2814), (50, 0, -82.7485), 1.0000),
    ((50, 0, 0), (50, -1, 2), 2.3669),
    ((50, 2.49, -0.001), (50, -2.49, 0.0009), 7.1792),
    ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
    ((50, 2.5, 0), (50, 0, -2.5), 4.3065),
    ((50, 2.5, 0), (73, 25, -18), 27.1492),
    ((50, 2.5, 0), (61, -5, 29), 22.8977),
    ((50, 2.5, 0), (56, -27, -3), 31.9030),
    ((50, 2.5, 0), (58, 24, 15), 19.4535),
    ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
    ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
)


def test_psnr_of_a_known_difference_inside_only() -> None:
    other = flat(100)
    other[:, 25:] = 7
    assert psnr(flat(105), other, LEFT_HALF) == pytest.approx(20 * np.log10(255 / 5))
    assert psnr(flat(105), other, ~LEFT_HALF) == pytest.approx(20 * np.log10(255 / 98))


def test_psnr_is_capped_and_nan_where_nothing_is_inside() -> None:
    assert psnr(flat(9), flat(9), LEFT_HALF) == CAP_DB
    assert np.isnan(psnr(flat(9), flat(9), np.zeros((40, 50), bool)))


def test_ssim_equals_a_loop_over_the_windows() -> None:
    first, second = noise(1), noise(2)
    second = ((first.astype(int) + second) // 2).astype(np.uint8)
    assert ssim(first, second, LEFT_HALF) == pytest.approx(looped_ssim(first, second, LEFT_HALF), abs=1e-9)
    assert ssim(first, second, ~LEFT_HALF) == pytest.approx(looped_ssim(first, second, ~LEFT_HALF), abs=1e-9)
    assert ssim(first, first, LEFT_HALF) == pytest.approx(1)
    assert ssim(first, 255 - first, LEFT_HALF) < 0


def test_ssim_counts_no_window_that_leaves_the_picture() -> None:
    edge = np.zeros((40, 50), bool)
    edge[:, :5] = True
    assert np.isnan(ssim(noise(1), noise(2), edge))


@pytest.mark.parametrize(("first", "second", "expected"), PUBLISHED)
def test_ciede2000_gives_the_published_differences(
    first: tuple[float, ...], second: tuple[float, ...], expected: float
) -> None:
    both = np.array([first, second], np.float64)
    assert ciede2000(both[:1], both[1:])[0] == pytest.approx(expected, abs=5e-5)
    assert ciede2000(both[1:], both[:1])[0] == pytest.approx(expected, abs=5e-5)


def test_lab_and_back() -> None:
    frame = noise(3)
    assert np.abs(as_rgb(as_lab(frame.astype(np.float64))) - frame).max() < 1e-3
    known = {(255, 0, 0): (53.24, 80.09, 67.20), (0, 0, 255): (32.30, 79.19, -107.86), (128, 128, 128): (53.59, 0, 0)}
    for rgb, lab in known.items():
        assert as_lab(np.array([[rgb]], np.float64))[0, 0] == pytest.approx(lab, abs=0.05)


def test_colour_difference_sees_neither_detail_nor_what_lies_outside() -> None:
    rng = np.random.default_rng(0)
    grain = np.clip(120 + rng.normal(0, 12, (40, 50, 3)), 0, 255).astype(np.uint8)
    beside = flat(120)
    beside[:, 25:] = (255, 0, 0)
    assert colour_difference(grain, flat(120), LEFT_HALF, 8.0) < 1.5
    assert colour_difference(grain, flat(120), LEFT_HALF, 0.3) > 4
    assert colour_difference(beside, flat(120), LEFT_HALF, 8.0) < 1e-3


def test_colour_difference_of_greys_is_that_of_their_lightness() -> None:
    lightness = [116 * np.cbrt(((level / 255 + 0.055) / 1.055) ** 2.4) - 16 for level in (120, 130)]
    away = (np.mean(lightness) - 50) ** 2
    expected = (lightness[1] - lightness[0]) / (1 + 0.015 * away / np.sqrt(20 + away))
    assert colour_difference(flat(130), flat(120), LEFT_HALF, 8.0) == pytest.approx(expected, abs=0.05)


def looped_ssim(first: Frame, second: Frame, inside: np.ndarray) -> float:
    """Every window by itself."""
    ramp = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(ramp, ramp) / ramp.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for row in range(5, first.shape[0] - 5):
        for column in range(5, first.shape[1] - 5):
            if not inside[row, column]:
                continue
            for channel in range(3):
                x, y = (
                    frame[row - 5 : row + 6, column - 5 : column + 6, channel].astype(float)
                    for frame in (first, second)
                )
                mx, my = (window * x).sum(), (window * y).sum()
                vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
                both = (window * (x - mx) * (y - my)).sum()
                found.append((2 * mx * my + c1) * (2 * both + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(np.mean(found))


def test_brightness_is_mostly_green() -> None:
    primaries = (255 * np.eye(3, dtype=np.uint8))[None]
    assert luminance(primaries)[0] == pytest.approx([0.2126, 0.7152, 0.0722], abs=1e-6)
    assert float(luminance(np.full((1, 1, 3), 188, np.uint8))[0, 0]) == pytest.approx(0.5029, abs=1e-4)
