"""Things held or laid before a face: microphone, phone, cup, sticker, blobs of texture.

Each takes a `Site` and a generator and returns a `Layer` of the picture's size, lit as the face is; none needs a file.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from facegraft.data.drawn_hands import grip
from facegraft.data.shapes import cover, curve, filled, measured, object_colour, pattern, polygon_distance, rounded_box
from facegraft.data.site import Layer, Site, lit

_LETTERS = "ABEHKLMNRSTUVXYZ234567"


def microphone(site: Site, rng: np.random.Generator) -> Layer:
    """A hand microphone or a foam-headed one before mouth or chin, its stick to the lower border."""
    aim = site.points[rng.choice([8, 57, 66])] + rng.normal(0, 0.06, 2) * site.width
    lean = rng.normal(0, 0.45)
    axis = np.array([math.sin(lean), math.cos(lean)])
    head = site.width * rng.uniform(0.15, 0.24)
    u, v = measured(site.size_hw, aim, np.array([-axis[1], axis[0]])), measured(site.size_hw, aim, axis)
    ball = np.hypot(u, np.where(v > 0, v * 0.8, v)) - head
    neck = np.maximum(np.abs(u) - head * np.clip(0.62 - 0.10 * v / (4 * head), 0.34, 0.62), head * 0.8 - v)
    foam = rng.random() < 0.4
    dome = np.sqrt(np.maximum(head**2 - u**2 - v**2, 0))
    grain = rng.normal(size=site.size_hw) * 0.25 if foam else 0.55 * np.sin(u * 26 / head) * np.sin(v * 26 / head)
    top_colour = object_colour(rng, site, dark=0.7) if foam else rng.uniform(0.15, 0.4) * site.light * np.ones(3)
    albedo = (top_colour * (1 + np.asarray(grain)[..., None] * 0.5)).clip(0.003).astype(np.float32)
    top = Layer(
        lit(site, dome.astype(np.float32), albedo, shine=0.0 if foam else 0.3, occlusion_px=head * 0.3), cover(ball)
    )
    tube = np.sqrt(np.maximum((head * 0.5) ** 2 - u**2, 0)).astype(np.float32)
    stick = Layer(lit(site, tube, filled(site, object_colour(rng, site, dark=0.8)), shine=0.25), cover(neck))
    grip_at = aim + axis * head * rng.uniform(2.0, 2.8)
    if rng.random() < 0.6:
        side = 1.0 if rng.random() < 0.5 else -1.0
        front, behind = grip(site, rng, grip_at - np.array([-axis[1], axis[0]]) * (side * head * 0.4), axis, side)
        return front.over(top).over(stick).over(behind)
    return top.over(stick)


def phone(site: Site, rng: np.random.Generator) -> Layer:
    """A phone's back held before the face, fingers round its edge."""
    wide = 0.26 * site.width * rng.uniform(0.95, 1.15)
    high = 2.1 * wide
    lean = rng.normal(0, 0.22) + (math.pi / 2 if rng.random() < 0.2 else 0)
    along = np.array([math.sin(lean), -math.cos(lean)])
    sideways = np.array([-along[1], along[0]])
    centre = (
        site.points[rng.choice([2, 14, 30, 51, 57, 8])]
        + rng.normal(0, 0.08, 2) * site.width
        + site.down * 0.28 * site.width
    )
    u, v = measured(site.size_hw, centre, sideways), measured(site.size_hw, centre, along)
    body = rounded_box(u, v, wide, high, wide * 0.25)
    colour = object_colour(rng, site, dark=0.65)
    sheen = np.clip((u / wide + v / high) * float(site.light_direction[0]) + 0.5, 0, 1) ** 3 * 0.10 * site.light
    albedo = (filled(site, colour) * np.where(body > -wide * 0.05, 0.6, 1.0)[..., None] + sheen[..., None]).astype(
        np.float32
    )
    camera = rounded_box(u + wide * 0.45, v - high * 0.72, wide * 0.4, wide * 0.4, wide * 0.15)
    albedo *= np.where((camera < 0) & (camera > -wide * 0.03), 1.5, 1.0)[..., None].astype(np.float32)
    for offset in ((-0.2, 0.2), (0.2, -0.2), (-0.2, -0.2)):
        ring = np.hypot(u + wide * (0.45 + offset[0]), v - high * 0.72 + wide * offset[1]) - wide * 0.14
        albedo[ring < 0] = 0.008 * site.light
        albedo[np.abs(ring) < max(wide * 0.025, 0.4)] = 0.12 * site.light
    flat = Layer(albedo, cover(body))
    side = 1.0 if rng.random() < 0.5 else -1.0
    edge = centre + sideways * (side * wide) - along * high * rng.uniform(-0.1, 0.45)
    front, behind = grip(site, rng, edge, along, -side)
    return front.over(flat).over(behind)


def cup(site: Site, rng: np.random.Generator) -> Layer:
    """A mug or a paper cup before the mouth, with or without fingers."""
    wide = site.width * rng.uniform(0.26, 0.34)
    high = wide * rng.uniform(1.0, 1.7)
    lean = rng.normal(0, 0.12)
    along = np.array([math.sin(lean), -math.cos(lean)])
    sideways = np.array([-along[1], along[0]])
    centre = site.points[62] + rng.normal(0, 0.03, 2) * site.width - along * high * rng.uniform(0.75, 1.0)
    u, v = measured(site.size_hw, centre, sideways), measured(site.size_hw, centre, along)
    taper = wide * (1 + rng.uniform(-0.02, 0.22) * v / (2 * high))
    bulge = 0.16 * wide * np.sqrt(np.clip(1 - (u / taper) ** 2, 0, 1))
    body = np.maximum(np.abs(u) - taper, np.maximum(v - high - bulge, -v - high - bulge))
    height = np.sqrt(np.maximum(taper**2 - u**2, 0)).astype(np.float32)
    albedo = filled(site, object_colour(rng, site, dark=0.2))
    if rng.random() < 0.6:
        band = cover(np.abs(v + bulge - rng.uniform(-0.3, 0.3) * high) - high * rng.uniform(0.1, 0.6))[..., None]
        albedo = albedo * (1 - band) + object_colour(rng, site, dark=0.3).astype(np.float32) * band
    rim = cover(high + bulge - max(0.06 * wide, 1.0) - v)[..., None]
    albedo = albedo * (1 + 0.25 * rim)
    layer = Layer(lit(site, height, albedo.astype(np.float32), shine=0.12), cover(body))
    if rng.random() < 0.6:
        side = 1.0 if rng.random() < 0.5 else -1.0
        loop = np.abs(np.hypot((u - side * wide) / 0.9, v * 0.8) - wide * 0.55) - wide * 0.10
        handle = Layer(
            lit(site, np.maximum(-loop, 0) * 1.5, filled(site, object_colour(rng, site, dark=0.2))), cover(loop)
        )
        layer = layer.over(handle)
    if rng.random() < 0.6:
        side = 1.0 if rng.random() < 0.5 else -1.0
        front, behind = grip(site, rng, centre + sideways * wide * side, along, -side)
        layer = front.over(layer).over(behind)
    return layer


def sticker(site: Site, rng: np.random.Generator) -> Layer:
    """Letters, a bar or a smiling disc laid over the picture, as a messenger does: not lit."""
    height, width = site.size_hw
    at = site.points[rng.integers(0, 68)] + rng.normal(0, 0.1, 2) * site.width
    first, second = rng.uniform(0, 1, 3).astype(np.float32), rng.uniform(0, 1, 3).astype(np.float32)
    scale = 4
    colour = np.zeros((height * scale, width * scale, 3), np.float32) + first
    alpha = np.zeros((height * scale, width * scale), np.uint8)
    kind = rng.random()
    if kind < 0.45:
        text = "".join(rng.choice(list(_LETTERS), int(rng.integers(2, 7))))
        size = site.width * scale / 90 * rng.uniform(0.6, 1.3)
        (wide, high), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, size, max(1, round(size * 3)))
        origin = (round(at[0] * scale - wide / 2), round(at[1] * scale + high / 2))
        if rng.random() < 0.5:
            pad = round(high * 0.4)
            corners = (origin[0] - pad, origin[1] - high - pad), (origin[0] + wide + pad, origin[1] + pad)
            cv2.rectangle(alpha, *corners, 255, -1)
            cv2.putText(colour, text, origin, cv2.FONT_HERSHEY_DUPLEX, size, second.tolist(), max(1, round(size * 3)))
        else:
            cv2.putText(alpha, text, origin, cv2.FONT_HERSHEY_DUPLEX, size, 255, max(2, round(size * 4)))
    else:
        radius = round(site.width * scale * rng.uniform(0.1, 0.3))
        centre = (round(at[0] * scale), round(at[1] * scale))
        cv2.circle(alpha, centre, radius, 255, -1)
        yellow = (0.95, 0.62, 0.05) if kind < 0.8 else first.tolist()
        cv2.circle(colour, centre, radius, yellow, -1)
        for sign in (-1, 1):
            cv2.circle(
                colour,
                (centre[0] + round(sign * radius * 0.38), centre[1] - radius // 4),
                max(1, radius // 7),
                (0.05, 0.03, 0.02),
                -1,
            )
        cv2.ellipse(
            colour,
            (centre[0], centre[1] + radius // 8),
            (radius // 2, radius // 2),
            0,
            20,
            160,
            (0.05, 0.03, 0.02),
            max(1, radius // 9),
        )
    small = (width, height)
    shown = cv2.resize(alpha, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    return Layer(cv2.resize(colour, small, interpolation=cv2.INTER_AREA), shown)


def blob(site: Site, rng: np.random.Generator) -> Layer:
    """A closed random curve filled with texture, three in ten see-through (.4 to .7): RandOcc of kennyvoo."""
    corners = int(rng.integers(4, 9))
    angles = np.sort(rng.uniform(0, 2 * math.pi, corners))
    radius = site.width * rng.uniform(0.12, 0.4) * rng.uniform(0.5, 1.0, corners)
    centre = site.points[rng.integers(0, 68)] + rng.normal(0, 0.1, 2) * site.width
    points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * radius[:, None]
    outline = polygon_distance(curve(np.concatenate([points, points[:1]]), 80), site.size_hw)
    albedo = filled(site, object_colour(rng, site, dark=0.3)) * pattern(site, rng)[..., None]
    other = filled(site, object_colour(rng, site, dark=0.3))
    albedo = np.where((pattern(site, rng) > 1.1)[..., None], other, albedo)
    dome = np.sqrt(np.clip(-outline, 0, None) * 0.3 * site.width).astype(np.float32)
    shown = rng.uniform(0.4, 0.7) if rng.random() < 0.3 else 1.0
    return Layer(
        lit(site, dome, albedo.astype(np.float32), shine=rng.uniform(0, 0.3)), cover(outline) * np.float32(shown)
    )
