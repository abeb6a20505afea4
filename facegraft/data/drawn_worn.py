"""Things worn, drawn on a face: glasses, a mask over mouth and nose, a scarf, strands of hair.

Each takes a `Site` and a generator and returns a `Layer` of the picture's size, lit as the face is; none needs a file.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from facegraft.data.shapes import (
    cover,
    curve,
    filled,
    grid,
    measured,
    object_colour,
    pattern,
    polygon_distance,
    segment,
)
from facegraft.data.site import Layer, Site, lit


def glasses(site: Site, rng: np.random.Generator) -> Layer:
    """Frame and lenses on the eyes; tint .1 to .9, sunglasses included."""
    x, y = grid(site.size_hw)
    eye = [site.points[36:42].mean(0), site.points[42:48].mean(0)]
    spans = [
        max(float(np.linalg.norm(site.points[a] - site.points[b])), 0.1 * site.width) for a, b in ((36, 39), (42, 45))
    ]
    down, across = site.down, site.across
    thick = site.eye_distance * rng.uniform(0.022, 0.075)
    roundness = rng.uniform(2.0, 4.5)
    wide, high = rng.uniform(0.88, 1.1), rng.uniform(0.62, 0.9) * site.eye_distance * 0.5
    drop = rng.uniform(0.0, 0.12) * site.eye_distance
    rim = np.full(site.size_hw, 1e3, np.float32)
    lens = np.full(site.size_hw, 1e3, np.float32)
    sides = []
    for centre, span, sign in zip(eye, spans, (-1, 1), strict=True):
        middle = centre + down * drop + across * (sign * 0.04 * site.eye_distance)
        half = span * wide
        u = measured(site.size_hw, middle, across) / half
        v = measured(site.size_hw, middle, down) / high
        v = v * (1 + 0.10 * sign * u)
        radius = (np.abs(u) ** roundness + np.abs(v) ** roundness + 1e-9) ** (1 / roundness)
        distance = ((radius - 1) * min(half, high)).astype(np.float32)
        lens, rim = np.minimum(lens, distance), np.minimum(rim, np.abs(distance) - thick / 2)
        sides.append((middle, half))
    (left, left_half), (right, right_half) = sides
    bridge = segment(
        x, y, left + across * left_half - down * 0.3 * high, right - across * right_half - down * 0.3 * high
    )
    rim = np.minimum(rim, bridge - thick * 0.45)
    for (middle, half), sign, ear in zip(sides, (-1, 1), (0, 16), strict=True):
        hinge = middle + across * (sign * half) - down * 0.25 * high
        if (site.points[ear] - hinge) @ across * sign > 0.05 * site.width:  # else the temple is hidden by the face
            end = site.points[ear] + (hinge - site.points[ear]) * 0.08 - down * 0.05 * site.width
            rim = np.minimum(rim, segment(x, y, hinge, end) - thick * 0.40)
    return _frame_and_lens(site, rng, rim, lens, thick)


def _frame_and_lens(site: Site, rng: np.random.Generator, rim: np.ndarray, lens: np.ndarray, thick: float) -> Layer:
    x, y = grid(site.size_hw)
    frame_colour = object_colour(rng, site, dark=0.6)
    height = np.sqrt(np.maximum(thick**2 / 4 - np.maximum(rim + thick / 2, 0) ** 2, 0)).astype(np.float32)
    frame = Layer(lit(site, height, filled(site, frame_colour), shine=0.35), cover(rim))
    tint = rng.uniform(0.1, 0.9) if rng.random() < 0.7 else rng.uniform(0.9, 0.97)
    fade = np.clip((y - site.points[27, 1]) / site.eye_distance + 0.5, 0, 1) * rng.uniform(0, 0.5)
    glass = rng.uniform(0.005, 0.05) * np.exp(rng.normal(0, 0.25, 3)) * site.light
    streak = (x * 0.8 + y * 0.6 - rng.uniform(0.3, 0.7) * site.size_hw[1] * 1.2) / (site.eye_distance * 0.18)
    gleam = np.exp(-(streak**2)) * rng.uniform(0, 0.25) * site.light
    colour = (glass + gleam[..., None]).astype(np.float32)
    alpha = cover(lens) * np.clip(tint * (1 - fade) + 0.5 * gleam, 0, 0.97)
    return frame.over(Layer(colour, alpha.astype(np.float32)))


def mask_over_mouth(site: Site, rng: np.random.Generator) -> Layer:
    """A surgical or cloth mask: from the nose bridge to under the chin, pleats, ear loops."""
    p, down, width = site.points, site.down, site.width
    top = p[[2, 28, 14]] + np.array([[0.0], [rng.uniform(0.0, 0.05)], [0.0]]) * width * down
    chin = p[[5, 8, 11]] + down * width * np.array([[0.02], [0.06], [0.02]])
    upper = curve(
        np.stack(
            [
                p[2] * 0.97 + p[30] * 0.03,
                (p[2] + top[1]) / 2 - down * 0.01 * width,
                top[1],
                (p[14] + top[1]) / 2 - down * 0.01 * width,
                p[14] * 0.97 + p[30] * 0.03,
            ]
        ),
        40,
    )
    lower = curve(np.stack([p[13], p[12], chin[2], chin[1], chin[0], p[4], p[3]]), 40)
    outline = polygon_distance(np.concatenate([upper, lower]), site.size_hw)
    v, across = measured(site.size_hw, p[28], down) / width, measured(site.size_hw, p[28], site.across) / width
    bulge = np.clip(-outline, 0, 0.3 * width)
    relief = cv2.GaussianBlur(np.sqrt(bulge * 0.2 * width).astype(np.float32), (0, 0), max(0.035 * width, 0.6))
    surgical = rng.random() < 0.6
    pleats = np.zeros(site.size_hw, np.float32)
    if surgical:
        phase = (v + 0.25 * across**2) * rng.uniform(9, 12)
        pleats = (phase - np.floor(phase)).astype(np.float32) * 0.012 * width
    relief = relief + cv2.GaussianBlur(pleats, (0, 0), max(0.004 * width, 0.4))
    palette = np.array(
        [[0.25, 0.55, 0.75], [0.75, 0.78, 0.8], [0.02, 0.02, 0.025], [0.7, 0.35, 0.45], [0.35, 0.55, 0.5]]
    )
    colour = (
        palette[rng.choice(5, p=[0.35, 0.25, 0.2, 0.1, 0.1])]
        if surgical
        else object_colour(rng, site, dark=0.4) / site.light
    )
    albedo = filled(site, colour * site.light) * (1 + 0.03 * rng.normal(size=site.size_hw)[..., None])
    if not surgical and rng.random() < 0.5:
        albedo = albedo * pattern(site, rng)[..., None]
    edge = np.exp(-(((outline + 0.02 * width) / max(0.008 * width, 0.5)) ** 2))[..., None]
    albedo = (albedo * (1 - 0.18 * edge)).clip(0.002).astype(np.float32)
    cloth = Layer(lit(site, relief, albedo, softness=(0.3,) * 3), cover(outline))
    return cloth.over(_ear_loops(site, rng, colour * site.light))


def _ear_loops(site: Site, rng: np.random.Generator, colour: np.ndarray) -> Layer:
    x, y = grid(site.size_hw)
    p = site.points
    loops = np.full(site.size_hw, 1e3, np.float32)
    for upper, lower, ear in ((2, 4, 0), (14, 12, 16)):
        behind = p[ear] + (p[ear] - p[30]) * 0.04
        loops = np.minimum(loops, segment(x, y, p[upper], behind - site.down * 0.02 * site.width))
        loops = np.minimum(loops, segment(x, y, p[lower], behind + site.down * 0.10 * site.width))
    return Layer(filled(site, colour * rng.uniform(0.8, 1.1)), cover(loops - max(0.007 * site.width, 0.4)))


def scarf(site: Site, rng: np.random.Generator) -> Layer:
    """Knitted or woven cloth round the lower face, down to the border."""
    p, down, width = site.points, site.down, site.width
    start = rng.choice([29, 33, 51])
    height = p[start] + down * 0.02 * width
    left, right = -site.across * width, site.across * width
    upper = np.stack(
        [
            p[5] + left * 0.75 + down * width * 0.45,
            p[4] + left * 0.13 + down * width * 0.10,
            p[2] + left * 0.01,
            (p[2] + height) / 2 + down * 0.02 * width,
            height,
            (p[14] + height) / 2 + down * 0.02 * width,
            p[14] + right * 0.01,
            p[12] + right * 0.13 + down * width * 0.10,
            p[11] + right * 0.75 + down * width * 0.45,
        ]
    )
    upper[2:-2] += rng.normal(0, 0.012, (5, 2)) * width
    floor = np.array([[site.size_hw[1] * 1.5, site.size_hw[0] * 1.6], [-site.size_hw[1] * 0.5, site.size_hw[0] * 1.6]])
    outline = polygon_distance(np.concatenate([curve(upper, 60), floor]), site.size_hw)
    v, u = measured(site.size_hw, height, down) / width, measured(site.size_hw, height, site.across) / width
    folds = sum(
        np.sin(
            (v * rng.uniform(3, 9) + rng.uniform(0.3, 1.4) * u * u + rng.normal(0, 0.6) * u) * 2 * math.pi
            + rng.uniform(0, 6)
        )
        for _ in range(3)
    )
    relief = np.sqrt(np.clip(-outline, 0, 0.12 * width) * 0.12 * width) + 0.012 * width * np.asarray(folds)
    relief = cv2.GaussianBlur(relief.astype(np.float32), (0, 0), max(0.012 * width, 0.5))
    relief = (relief + 0.22 * width * np.sqrt(np.clip(1 - u * u, 0, 1))).astype(np.float32)
    knit = (
        1 + 0.16 * np.sin(u * rng.uniform(90, 160)) * np.sin(v * rng.uniform(90, 160)) + 0.06 * rng.normal(size=u.shape)
    )
    albedo = filled(site, object_colour(rng, site, dark=0.35)) * knit[..., None]
    if rng.random() < 0.5:
        albedo = albedo * pattern(site, rng)[..., None]
    colour = lit(site, relief, albedo.clip(0.003).astype(np.float32), softness=(0.3,) * 3, occlusion_px=0.03 * width)
    return Layer(colour, cover(outline))


def hair_strands(site: Site, rng: np.random.Generator) -> Layer:
    """Locks that fall from above across the face, of the picture's own hair colour where that can be told."""
    height, width = site.size_hw
    scale = 4 if max(site.size_hw) <= 256 else 2
    strokes = np.zeros((height * scale, width * scale, 2), np.float32)
    up, across = -site.down * site.width, site.across * site.width
    side = rng.choice([-1.0, 1.0])
    crown = site.points[27] + up * rng.uniform(0.62, 0.8) + across * rng.uniform(-0.1, 0.45) * side
    ends = [0, 1, 2, 3, 17, 36, 41, 48] if side < 0 else [16, 15, 14, 13, 26, 45, 46, 54]
    thick = max(1, round(site.width * scale / 330))
    for _ in range(int(rng.integers(2, 7))):
        root = crown + across * rng.normal(0, 0.10)
        end = site.points[rng.choice(ends)] + across * rng.normal(0, 0.05) - up * rng.uniform(-0.05, 0.35)
        chord = end - root
        bow = np.array([-chord[1], chord[0]]) * (rng.uniform(0.05, 0.35) * side)
        _lock(strokes, rng, (root, (root + end) / 2 + bow, end), site.width, thick, scale)
    small = cv2.resize(strokes, (width, height), interpolation=cv2.INTER_AREA)
    shown = small[..., 1]
    tone = small[..., 0] / np.maximum(shown, 1e-4)
    y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    gloss = 1 + 0.8 * np.exp(-(((y - rng.uniform(0.1, 0.6)) / 0.08) ** 2))
    colour = site.hair * np.float32(rng.uniform(0.8, 1.1)) * (tone * gloss)[..., None]
    return Layer(colour.astype(np.float32), shown.clip(0, 1))


def _lock(
    strokes: np.ndarray,
    rng: np.random.Generator,
    bezier: tuple[np.ndarray, np.ndarray, np.ndarray],
    width: float,
    thick: int,
    scale: int,
) -> None:
    """Strands side by side that meet towards the tip; channels are brightness and coverage."""
    share = np.linspace(0, 1, 14)[:, None]
    line = (1 - share) ** 2 * bezier[0] + 2 * share * (1 - share) * bezier[1] + share**2 * bezier[2]
    chord = bezier[2] - bezier[0]
    normal = np.array([-chord[1], chord[0]]) / max(float(np.linalg.norm(chord)), 1e-6)
    wide = rng.uniform(0.015, 0.06) * width
    for _ in range(int(rng.integers(14, 50))):
        off = rng.normal(0, 1) * wide
        stray = rng.normal(0, 0.3) * wide
        strand = line + normal * (off * (1 - 0.8 * share**1.5) + stray * share**2)
        strand = strand[: int(rng.integers(10, 15))]
        pixels = np.rint(strand * scale * 8).astype(np.int32)
        cv2.polylines(strokes, [pixels], False, (rng.uniform(0.45, 1.6), 1.0), thick, cv2.LINE_8, 3)
