"""Backgrounds painted from nothing: rooms, walls, streets, foliage, night lights. Square, linear RGB, 1 = white.

What makes a painted background look photographed, where it is small and out of focus: highlights many times brighter
than white that a lens spreads into discs, colours that vary at every scale as 1/f noise, light that falls off across
the picture, things before things, and nothing pure: no even areas, no saturated colours but lamps and signs.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from jaxtyping import Float32

Picture = Float32[np.ndarray, "_h _w 3"]
Plane = Float32[np.ndarray, "_h _w"]
RGB = Float32[np.ndarray, "3"]


def painted(rng: np.random.Generator, size_px: int) -> Picture:
    """A random background, mean luminance anywhere from .01 to 1."""
    names = list(PAINTERS)
    shares = np.array([PAINTERS[name][1] for name in names])
    return PAINTERS[names[rng.choice(len(names), p=shares / shares.sum())]][0](rng, size_px)


def noise(rng: np.random.Generator, size_px: int, power: float = 1.0, stretch: float = 1.0) -> Plane:
    """Noise of mean 0 and deviation 1 whose amplitude falls with frequency ** power; stretch > 1: longer rows."""
    y, x = np.meshgrid(np.fft.fftfreq(size_px), np.fft.rfftfreq(size_px), indexing="ij")
    frequency = np.sqrt(y**2 + (x * stretch) ** 2)
    frequency[0, 0] = 1.0
    spectrum = (rng.normal(size=y.shape) + 1j * rng.normal(size=y.shape)) * frequency**-power
    spectrum[0, 0] = 0
    out = np.fft.irfft2(spectrum, (size_px, size_px))
    return np.asarray(out / out.std(), np.float32)


def disc_blur(picture: Picture, radius: float) -> Picture:
    """What a lens out of focus does: every point becomes an even disc."""
    if radius < 0.6:
        return picture
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
    return np.asarray(cv2.filter2D(picture, -1, disc / disc.sum(), borderType=cv2.BORDER_REFLECT))


def _colour(rng: np.random.Generator, level: float, spread: float = 0.05) -> RGB:
    """A pale colour of this level."""
    warm = rng.normal(0, 0.5)
    out = level * np.exp(warm * np.array([0.22, 0.0, -0.28]) + rng.normal(0, spread, 3))
    return out.astype(np.float32)


def _strong(rng: np.random.Generator, level: float) -> RGB:
    angle = rng.uniform(0, 2 * np.pi)
    out = 0.5 + 0.5 * np.cos(angle - np.array([0, 2, 4]) * np.pi / 3)
    return np.asarray(level * (0.6 * out + 0.4 * out.mean()), np.float32)


def _grid(size_px: int) -> tuple[Plane, Plane]:
    """x, y in 0..1 of pixel centres."""
    steps = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px
    y, x = np.meshgrid(steps, steps, indexing="ij")
    return x, y


def _lit(rng: np.random.Generator, picture: Picture, strength: float = 0.5, dirt: float = 0.05) -> Picture:
    """Light that falls off from one side, and dirt at every scale."""
    size = len(picture)
    x, y = _grid(size)
    angle = rng.uniform(0, 2 * np.pi)
    slope = (x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle) * 0.6
    shade = np.exp(strength * slope * 2 + dirt * noise(rng, size, 1.3))
    colour = np.exp(0.5 * dirt * np.stack([noise(rng, size, 1.5) for _ in range(3)], -1))
    return np.asarray(picture * shade[..., None] * colour, np.float32)


def _box(picture: Picture, left: float, top: float, right: float, bottom: float, colour: np.ndarray) -> None:
    """A filled rectangle, in shares of the picture, with light falling down it."""
    size = len(picture)
    a, c = (int(np.clip(edge, 0, 1) * size) for edge in (left, top))
    b, d = (int(np.ceil(np.clip(edge, 0, 1) * size)) for edge in (right, bottom))
    if b > a and d > c:
        picture[c:d, a:b] = colour * np.linspace(1.1, 0.85, d - c, dtype=np.float32)[:, None, None]


def _shadow(picture: Picture, mask: Plane, strength: float, blur: float) -> None:
    """Darken softly around and below what the mask covers."""
    soft = cv2.GaussianBlur(np.roll(mask, len(mask) // 60, 0), (0, 0), blur * len(mask))
    picture *= 1 - strength * soft[..., None]


def studio(rng: np.random.Generator, size_px: int) -> Picture:
    """A paper or painted canvas backdrop with a lamp on it."""
    x, y = _grid(size_px)
    level = np.exp(rng.uniform(np.log(0.03), np.log(0.9)))
    base = _colour(rng, level) if rng.random() < 0.7 else _strong(rng, level * 0.6)
    cx, cy, wide = rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.8), rng.uniform(0.35, 0.9)
    spot = 0.5 + rng.uniform(0.5, 2.0) * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / wide**2)
    spot *= np.exp(rng.uniform(0.0, 0.35) * noise(rng, size_px, 1.6) + 0.015 * noise(rng, size_px, 0.3))
    return np.asarray(base * spot[..., None], np.float32)


def wall(rng: np.random.Generator, size_px: int) -> Picture:
    """Plaster, concrete, bricks or boards, perhaps with sun through a window on it."""
    x, y = _grid(size_px)
    picture = np.ones((size_px, size_px, 3), np.float32) * _colour(rng, rng.uniform(0.12, 0.7))
    picture *= np.exp(rng.uniform(0.04, 0.15) * noise(rng, size_px, 1.0))[..., None]
    kind = rng.random()
    if kind < 0.5:
        rows = rng.uniform(8, 22)
        wide = 2.3 if kind < 0.3 else 40.0  # bricks, or boards across
        row = np.floor(y * rows)
        column = x * rows / wide + 0.5 * (row % 2) + (0.0 if wide < 3 else rng.uniform(0, 1, 40)[row.astype(int) % 40])
        stone = rng.normal(0, 0.16, (64, 64))[row.astype(int) % 64, np.floor(column).astype(int) % 64]
        joint = np.maximum(np.abs(y * rows % 1 - 0.5) - 0.44, (np.abs(column % 1 - 0.5) - 0.5) * wide + 0.06)
        tint = np.array([1.25, 0.85, 0.7]) if kind < 0.2 else np.array([1.1, 0.95, 0.8])
        picture *= tint.astype(np.float32) * np.exp(stone - 9 * np.clip(joint, 0, 0.06))[..., None].astype(np.float32)
    if rng.random() < 0.4:
        picture *= 1 + rng.uniform(0.8, 2.5) * _sunlight(rng, x, y)[..., None]
    return _lit(rng, disc_blur(picture, rng.uniform(0, 0.012) * size_px), 0.7)


def _sunlight(rng: np.random.Generator, x: Plane, y: Plane) -> Plane:
    """The slanting image of a window with bars."""
    skew, pitch = rng.uniform(-0.8, 0.8), rng.uniform(0.2, 0.45)
    u, v = (x + skew * y) / pitch + rng.uniform(0, 1), y / (pitch * rng.uniform(0.8, 1.8)) + rng.uniform(0, 1)
    panes = (np.abs(u % 1 - 0.5) < 0.43) & (np.abs(v % 1 - 0.5) < 0.45)
    inside = (u > 0.5) & (u < 0.5 + rng.integers(1, 4)) & (v > 0.3) & (v < rng.uniform(1.3, 3.0))
    soft = cv2.GaussianBlur((panes & inside).astype(np.float32), (0, 0), rng.uniform(0.006, 0.025) * len(x))
    return np.asarray(soft * np.exp(0.3 * noise(rng, len(x), 1.4)), np.float32)


def curtain(rng: np.random.Generator, size_px: int) -> Picture:
    """Cloth in folds."""
    x, y = _grid(size_px)
    bend = 0.008 * noise(rng, size_px, 2.0, 0.15) + rng.uniform(-0.15, 0.15) * (y - 0.5)
    folds = np.zeros_like(x)
    for _ in range(4):
        rate = rng.uniform(3, 16)
        folds += np.sin(2 * np.pi * ((x + bend) * rate + rng.uniform())) / rate**0.7
    base = _colour(rng, rng.uniform(0.06, 0.6)) if rng.random() < 0.7 else _strong(rng, rng.uniform(0.08, 0.4))
    picture = base * np.exp(rng.uniform(0.5, 1.4) * folds + 0.03 * noise(rng, size_px, 0.4))[..., None]
    return _lit(rng, disc_blur(np.asarray(picture, np.float32), rng.uniform(0, 0.015) * size_px))


def room(rng: np.random.Generator, size_px: int) -> Picture:
    """A room out of focus: wall, floor, window, pictures, shelves with books, a plant, a lamp."""
    picture = np.ones((size_px, size_px, 3), np.float32) * _colour(rng, rng.uniform(0.15, 0.6))
    floor = rng.uniform(0.72, 1.1)
    _box(picture, 0.0, floor, 1.0, 1.0, _colour(rng, rng.uniform(0.06, 0.25)) * [1.2, 0.95, 0.75])
    _box(picture, 0.0, floor - 0.02, 1.0, floor, _colour(rng, 0.5))
    parts: list[Callable[[np.random.Generator, Picture], None]] = [_window, _shelf, _frames, _furniture, _plant, _lamp]
    for part in (parts[i] for i in rng.permutation(len(parts))[: rng.integers(3, 6)]):
        part(rng, picture)
    picture = _lit(rng, picture, 0.45)
    return disc_blur(picture, np.exp(rng.uniform(np.log(0.012), np.log(0.05))) * size_px)


def _window(rng: np.random.Generator, picture: Picture) -> None:
    size = len(picture)
    left, top, wide, high = rng.uniform([-0.1, -0.2, 0.18, 0.35], [0.8, 0.2, 0.5, 0.7])
    sky = rng.uniform(1.2, 4.0) * np.array([0.9, 1.0, 1.12], np.float32)
    view = np.full((size, size, 3), 1.0, np.float32) * sky
    if rng.random() < 0.6:
        leaves = noise(rng, size, 1.2)[..., None] + 2 * _grid(size)[1][..., None] - 0.8
        view = np.where(leaves > 0.3, sky * [0.15, 0.22, 0.09], view).astype(np.float32)
    mask = np.zeros((size, size, 3), np.float32)
    _box(mask, left, top, left + wide, top + high, np.ones(3, np.float32))
    _shadow(picture, -mask[..., 0], 0.5, 0.12)  # the wall around it is brighter
    frame = _colour(rng, 0.55)
    _box(picture, left - 0.015, top - 0.015, left + wide + 0.015, top + high + 0.02, frame)
    panes = np.zeros_like(mask)
    columns, rows = rng.integers(1, 4), rng.integers(1, 4)
    for i in range(columns):
        for j in range(rows):
            a, b = left + wide * i / columns + 0.008, top + high * j / rows + 0.008
            _box(panes, a, b, a + wide / columns - 0.016, b + high / rows - 0.016, np.ones(3, np.float32))
    picture[...] = np.where(panes > 0, view, picture)


def _shelf(rng: np.random.Generator, picture: Picture) -> None:
    left, top, wide = rng.uniform(-0.2, 0.7), rng.uniform(-0.1, 0.4), rng.uniform(0.3, 0.7)
    rows, high = int(rng.integers(2, 6)), rng.uniform(0.13, 0.22)
    wood = _colour(rng, rng.uniform(0.08, 0.5)) * np.array([1.15, 0.95, 0.75], np.float32)
    _box(picture, left, top, left + wide, top + rows * high, wood * 0.35)
    for row in range(rows):
        base = top + (row + 1) * high
        at = left + 0.01
        while at < left + wide - 0.02:
            thick, tall = rng.uniform(0.008, 0.028), high * rng.uniform(0.5, 0.85)
            if rng.random() < 0.82:
                colour = _colour(rng, np.exp(rng.uniform(-3.2, -0.6)), 0.35)
                _box(picture, at, base - tall, at + thick, base, colour)
            at += thick * (1.05 if rng.random() < 0.9 else 3)
        _box(picture, left, base, left + wide, base + 0.014, wood)


def _frames(rng: np.random.Generator, picture: Picture) -> None:
    for _ in range(int(rng.integers(1, 5))):
        left, top = rng.uniform(0, 0.85), rng.uniform(0.02, 0.45)
        wide, high = rng.uniform(0.07, 0.22), rng.uniform(0.09, 0.25)
        mask = np.zeros_like(picture)
        _box(mask, left, top, left + wide, top + high, np.ones(3, np.float32))
        _shadow(picture, mask[..., 0], 0.35, 0.012)
        _box(picture, left, top, left + wide, top + high, _colour(rng, np.exp(rng.uniform(-4, -0.5))))
        _box(picture, left + 0.01, top + 0.01, left + wide - 0.01, top + high - 0.01, _colour(rng, 0.7))
        _box(picture, left + 0.03, top + 0.03, left + wide - 0.03, top + high - 0.03, _colour(rng, 0.25, 0.5))


def _furniture(rng: np.random.Generator, picture: Picture) -> None:
    for _ in range(int(rng.integers(1, 4))):
        left, top, wide = rng.uniform(-0.2, 0.8), rng.uniform(0.5, 0.85), rng.uniform(0.15, 0.6)
        mask = np.zeros_like(picture)
        _box(mask, left, top, left + wide, 1.0, np.ones(3, np.float32))
        _shadow(picture, mask[..., 0], 0.4, 0.03)
        _box(picture, left, top, left + wide, 1.0, _colour(rng, np.exp(rng.uniform(-3.5, -0.8)), 0.25))
        _box(picture, left, top, left + wide, top + 0.03, _colour(rng, np.exp(rng.uniform(-2.5, -0.6)), 0.2))


def _plant(rng: np.random.Generator, picture: Picture) -> None:
    size = len(picture)
    x, y, reach = rng.uniform([0.0, 0.35, 0.06], [1.0, 0.8, 0.16])
    for _ in range(int(rng.integers(50, 160))):
        at = rng.normal([x, y], [reach, reach * 1.2]) * size
        colour = np.array([0.07, 0.14, 0.045]) * np.exp(rng.normal(0, 0.6)) * np.exp(rng.normal(0, 0.1, 3))
        axes = (int(rng.uniform(0.01, 0.04) * size), max(int(rng.uniform(0.004, 0.012) * size), 1))
        cv2.ellipse(picture, (int(at[0]), int(at[1])), axes, rng.uniform(0, 360), 0, 360, colour.tolist(), -1)


def _lamp(rng: np.random.Generator, picture: Picture) -> None:
    x, y = _grid(len(picture))
    cx, cy, wide = rng.uniform(0.05, 0.95), rng.uniform(0.1, 0.6), rng.uniform(0.04, 0.09)
    warm = np.array([1.35, 1.0, 0.6], np.float32)
    glow = 0.5 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / (4 * wide) ** 2)
    picture += glow[..., None] * warm * picture.mean()
    _box(picture, cx - wide, cy - wide * 0.7, cx + wide, cy + wide * 0.7, warm * rng.uniform(1.0, 3.0))
    _box(picture, cx - 0.006, cy + wide * 0.7, cx + 0.006, cy + 0.4, np.full(3, 0.04, np.float32))


def corridor(rng: np.random.Generator, size_px: int) -> Picture:
    """An office, shop or passage in one-point perspective, with lamps in the ceiling."""
    x, y = _grid(size_px)
    centre = rng.uniform(0.25, 0.75), rng.uniform(0.35, 0.65)
    u, v = x - centre[0], y - centre[1]
    wide, high = rng.uniform(0.10, 0.25), rng.uniform(0.08, 0.18)
    depth = np.maximum(np.maximum(np.abs(u) / wide, np.abs(v) / high), 1.0)  # 1 at the end wall
    side = np.abs(u) / wide >= np.abs(v) / high
    along = 6 / depth  # distance
    across = np.where(side, v / high, u / wide) / depth  # -1..1 over a wall
    colours = [_colour(rng, level) for level in rng.uniform(0.12, 0.65, 5)]
    picture = np.where((side & (u < 0))[..., None], colours[0], colours[1])
    picture = np.where((~side & (v < 0))[..., None], colours[2] * 1.2, picture)
    picture = np.where((~side & (v >= 0))[..., None], colours[3] * 0.7, picture)
    picture = np.where((depth <= 1)[..., None], colours[4], picture)
    bay = np.floor(along * rng.uniform(1.0, 2.5)).astype(int)
    door = (
        side
        & (depth > 1)
        & (np.abs(along * 1.7 % 1 - 0.5) < rng.uniform(0.12, 0.4))
        & (across > rng.uniform(-0.7, -0.1))
    )
    shades = np.stack([_colour(rng, np.exp(rng.normal(-0.5, 0.6)), 0.1) for _ in range(64)])
    picture = np.where(door[..., None], picture * shades[bay % 64], picture)
    lamps = (
        ~side & (v < 0) & (np.abs(along * 2 % 1 - 0.5) < 0.25) & (np.abs(across) < rng.uniform(0.1, 0.4)) & (depth > 1)
    )
    bright = _colour(rng, rng.uniform(2.0, 7.0), 0.04)
    picture = np.where(lamps[..., None], bright, picture).astype(np.float32)
    mirror = ~side & (v >= 0) & (np.abs(along * 2 % 1 - 0.5) < 0.3) & (np.abs(across) < 0.5)
    picture += 0.3 * cv2.GaussianBlur(mirror.astype(np.float32), (0, 0), size_px / 40)[..., None] * colours[2]
    falloff = 0.55 + 0.45 * np.cos(np.clip(across, -1, 1) * 1.2)
    picture = _lit(rng, picture * falloff[..., None].astype(np.float32), 0.3)
    return disc_blur(picture, np.exp(rng.uniform(np.log(0.008), np.log(0.04))) * size_px)


def _sky(rng: np.random.Generator, size_px: int, horizon: float) -> Picture:
    _, y = _grid(size_px)
    up = np.clip((horizon - y) / max(horizon, 0.2), 0, 1)[..., None]
    blue = np.array([0.25, 0.45, 0.95], np.float32) * rng.uniform(0.5, 1.1)
    pale = np.array([0.85, 0.92, 1.0], np.float32) * rng.uniform(0.7, 1.4)
    if rng.random() < 0.25:
        pale = np.array([1.3, 0.75, 0.45], np.float32) * rng.uniform(0.4, 1.2)  # low sun
    sky = blue * up + pale * (1 - up)
    cover = np.clip(noise(rng, size_px, 1.9, 2.5) * 0.4 + rng.uniform(-0.6, 0.9), 0, 1)[..., None]
    cloud = _colour(rng, rng.uniform(0.7, 1.4), 0.03) * np.exp(0.08 * noise(rng, size_px, 1.8, 2.0))[..., None]
    return np.asarray(sky * (1 - cover) + cloud * cover, np.float32)


def landscape(rng: np.random.Generator, size_px: int) -> Picture:
    """Sky, hills in haze, trees, grass or sand."""
    _, y = _grid(size_px)
    horizon = rng.uniform(0.3, 0.75)
    picture = _sky(rng, size_px, horizon)
    haze = picture[int(horizon * size_px) - 1].mean(0)
    layers = int(rng.integers(1, 5))
    for layer in range(layers):
        rough = noise(rng, size_px, 1.3 if layer == layers - 1 else 1.7)
        ridge = horizon - 0.12 + 0.12 * (layer + 1) / layers + rng.uniform(0.01, 0.05) * rough[size_px // 2][None]
        dry = rng.random() < 0.3
        soil = np.array([0.3, 0.22, 0.12] if dry else [0.055, 0.095, 0.03]) * np.exp(rng.normal(0, 0.4))
        ground = soil * np.exp(0.35 * noise(rng, size_px, 0.8))[..., None]
        near = (layer + 1) / layers
        ground = ground * near + haze * 0.6 * (1 - near)
        picture = np.where((y > ridge)[..., None], ground, picture).astype(np.float32)
    ahead = np.clip((y - horizon) / (1 - horizon), 0, 1)
    field = np.array([0.10, 0.15, 0.04]) * np.exp(rng.normal(0, 0.35, 3)) * rng.uniform(0.6, 2.0)
    blades = np.exp(0.4 * noise(rng, size_px, 0.7, 1.5) * (0.3 + ahead) - 0.3 * ahead)[..., None]
    picture = np.where((y > horizon)[..., None], field * blades, picture).astype(np.float32)
    return disc_blur(_lit(rng, picture, 0.25, 0.015), np.exp(rng.uniform(np.log(0.006), np.log(0.03))) * size_px)


def foliage(rng: np.random.Generator, size_px: int) -> Picture:
    """Leaves near and far out of focus, the sky shining through."""
    shade = np.exp(rng.normal(0, 0.3) + rng.normal(0, 0.12, 3)) * np.array([0.05, 0.08, 0.03])
    light = np.exp(0.9 * noise(rng, size_px, 1.5))[..., None]
    picture = np.asarray(shade * light, np.float32)
    sun = rng.uniform(0.2, 0.8, 2)
    for reach in np.exp(np.linspace(np.log(0.05), np.log(0.008), 5)):
        for at in rng.uniform(-0.05, 1.05, (int(rng.uniform(0.25, 0.6) / reach**1.4), 2)):
            near = np.exp(-((at - sun) ** 2).sum() / 0.15)
            colour = shade * np.exp(rng.normal(0.3 + 1.1 * near, 0.6)) * np.exp(rng.normal(0, 0.12, 3))
            axes = (max(int(reach * size_px * rng.uniform(0.6, 1.4)), 1), max(int(reach * size_px * 0.45), 1))
            place = (int(at[0] * size_px), int(at[1] * size_px))
            cv2.ellipse(picture, place, axes, rng.uniform(0, 360), 0, 360, colour.tolist(), -1)
    holes = rng.normal(sun, 0.28, (int(rng.integers(10, 90)), 2))
    for at in holes:
        place, reach = (int(at[0] * size_px), int(at[1] * size_px)), max(int(size_px * rng.exponential(0.005)), 1)
        cv2.circle(picture, place, reach, (_colour(rng, 3.0) * np.exp(rng.normal(0, 0.8))).tolist(), -1)
    return disc_blur(picture, np.exp(rng.uniform(np.log(0.012), np.log(0.05))) * size_px)


def street(rng: np.random.Generator, size_px: int) -> Picture:
    """Fronts of houses along a street, in perspective, by day."""
    x, y = _grid(size_px)
    centre = rng.uniform(0.1, 0.9), rng.uniform(0.45, 0.65)
    picture = _sky(rng, size_px, centre[1])
    u, v = x - centre[0], y - centre[1]
    for sign in (-1.0, 1.0):
        along = np.where(u * sign > 0.015, 0.35 / np.maximum(u * sign, 0.015), 40.0)  # distance to the house front
        height = v * along
        house = np.floor(along * rng.uniform(0.4, 1.0)).astype(int) % 64
        top = rng.uniform(-1.6, -0.35, 64)[house]
        fronts = np.stack([_colour(rng, rng.uniform(0.12, 0.55), 0.07) for _ in range(64)])[house]
        fronts = fronts * (0.6 if sign * rng.normal() > 0 else 1.0)
        rows, columns = rng.uniform(4, 8), rng.uniform(2, 6)
        pane = (np.abs(height * rows % 1 - 0.5) < 0.28) & (np.abs(along * columns % 1 - 0.5) < 0.3)
        glass = np.where(rng.random((64, 64))[house, (height * rows).astype(int) % 64] < 0.3, 0.5, 0.05)[..., None]
        fronts = np.where(pane[..., None], glass * np.array([0.8, 0.95, 1.1]), fronts)
        haze = np.clip(along / 14, 0, 0.75)[..., None]
        fronts = fronts * (1 - haze) + picture.mean((0, 1)) * haze
        inside = (u * sign > 0.015) & (height > top) & (height < 0.22)
        picture = np.where(inside[..., None], fronts, picture).astype(np.float32)
    ground = _colour(rng, rng.uniform(0.08, 0.3)) * np.exp(0.15 * noise(rng, size_px, 0.9, 2.0))[..., None]
    ground = ground * np.where(np.abs(u / np.maximum(v, 1e-3)) < 2.4, 0.7, 1.0)[..., None]
    road = (v > 0) & (v * 0.35 / np.maximum(np.abs(u), 1e-3) >= 0.22) | (v > 0.22)
    picture = np.where(road[..., None], ground, picture).astype(np.float32)
    for _ in range(int(rng.integers(0, 6))):  # cars, people, signs
        depth, place = rng.uniform(0.06, 0.3), rng.uniform(0, 1)
        wide = depth * rng.choice([0.15, 0.9])
        _box(picture, place, centre[1] - depth * 0.3, place + wide, centre[1] + depth * 0.55, _colour(rng, 0.12, 0.2))
    return disc_blur(_lit(rng, picture, 0.3, 0.02), np.exp(rng.uniform(np.log(0.012), np.log(0.035))) * size_px)


def night(rng: np.random.Generator, size_px: int) -> Picture:
    """Street and shop lights far out of focus."""
    _, y = _grid(size_px)
    dusk = np.array([0.012, 0.016, 0.03]) * np.exp(rng.normal(0, 0.5)) + np.array([0.02, 0.012, 0.006]) * y[..., None]
    picture = np.asarray(dusk * np.exp(0.3 * noise(rng, size_px, 1.8))[..., None], np.float32)
    for _ in range(int(rng.integers(2, 8))):  # lit shop windows and dark walls
        a, b = rng.uniform(-0.1, 0.9), rng.uniform(0.1, 0.7)
        level = np.exp(rng.uniform(np.log(0.01), np.log(0.25)))
        _box(
            picture, a, b, a + rng.uniform(0.05, 0.3), b + rng.uniform(0.1, 0.4), _colour(rng, level) * [1.3, 1.0, 0.65]
        )
    radius = np.exp(rng.uniform(np.log(0.012), np.log(0.05))) * size_px
    lamps = ([1.0, 0.62, 0.25], [1.0, 0.8, 0.5], [0.9, 0.95, 1.0], [1.0, 0.12, 0.06], [0.15, 1.0, 0.4], [0.3, 0.5, 1.0])
    row = rng.uniform(0.25, 0.7)
    for _ in range(int(rng.integers(15, 70))):
        at = rng.uniform(0, 1) * size_px, np.clip(rng.normal(row, 0.16), 0, 1) * size_px
        colour = np.array(lamps[rng.choice(6, p=[0.35, 0.25, 0.14, 0.14, 0.06, 0.06])]) * np.exp(rng.normal(0, 0.8))
        power = 0.35 * np.pi * radius**2  # so that the disc is about a third as bright as white
        cv2.circle(picture, (int(at[0]), int(at[1])), 1, (colour * power / 5).tolist(), -1)
    return disc_blur(picture, radius)


PAINTERS: dict[str, tuple[Callable[[np.random.Generator, int], Picture], float]] = {
    "studio": (studio, 0.16),
    "wall": (wall, 0.16),
    "curtain": (curtain, 0.05),
    "room": (room, 0.18),
    "corridor": (corridor, 0.09),
    "landscape": (landscape, 0.10),
    "foliage": (foliage, 0.10),
    "street": (street, 0.08),
    "night": (night, 0.08),
}
"""Name -> painter, how common."""
