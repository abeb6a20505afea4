"""The face that something is drawn in front of: its place, skin, light, blur and noise, measured in the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class Layer:
    """Something drawn: linear RGB as lit, not premultiplied, and coverage 0..1, of the picture's size or a crop."""

    colour: Float32[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]

    @staticmethod
    def nothing(size_hw: tuple[int, int]) -> Layer:
        """An empty layer."""
        return Layer(np.zeros((*size_hw, 3), np.float32), np.zeros(size_hw, np.float32))

    def over(self, below: Layer) -> Layer:
        """This layer in front of another."""
        a, b = self.alpha[..., None], below.alpha[..., None] * (1 - self.alpha[..., None])
        total = a + b
        colour = (self.colour * a + below.colour * b) / np.maximum(total, 1e-6)
        return Layer(colour, total[..., 0])


@dataclass(frozen=True)
class Site:
    """A face in a picture.

    Attributes:
        size_hw: Of the picture.
        points: 68 landmarks, x, y in pixels.
        face: Where the face is, from brows and a guessed hairline to the chin.
        skin: Linear RGB of the lit skin.
        light: Level of the light: a white surface's linear value.
        light_direction: Unit vector to the light: x right, y down, z to the viewer.
        blur_px: Sigma of the picture's blur.
        noise: Standard deviation of the picture's noise, in sRGB 0..1.
        hair: Linear RGB found above the forehead.
    """

    size_hw: tuple[int, int]
    points: Float[np.ndarray, "68 2"]
    face: Bool[np.ndarray, "h w"]
    skin: Float32[np.ndarray, "3"]
    light: float
    light_direction: Float[np.ndarray, "3"]
    blur_px: float
    noise: float
    hair: Float32[np.ndarray, "3"]

    @property
    def across(self) -> Float[np.ndarray, "2"]:
        """Unit vector from eye to eye, to the frame's right."""
        return _unit(self.points[42:48].mean(0) - self.points[36:42].mean(0), (1.0, 0.0))

    @property
    def down(self) -> Float[np.ndarray, "2"]:
        """Unit vector from the nose bridge to the chin."""
        return _unit(self.points[8] - self.points[27], (0.0, 1.0))

    @property
    def width(self) -> float:
        """Of the face in pixels, as it were if seen from the front."""
        high = float(np.linalg.norm(self.points[8] - self.points[27]))
        return max(float(np.linalg.norm(self.points[16] - self.points[0])), 1.05 * high, 4.0)

    @property
    def eye_distance(self) -> float:
        """Between the eyes' centres in pixels."""
        return max(float(np.linalg.norm(self.points[42:48].mean(0) - self.points[36:42].mean(0))), 0.3 * self.width)


def look_at(frame01: Float32[np.ndarray, "h w 3"], points: Float[np.ndarray, "68 2"]) -> Site:
    """Measures a face.

    Args:
        frame01: sRGB 0..1.
        points: 68 landmarks, x, y in pixels.
    """
    size_hw = (frame01.shape[0], frame01.shape[1])
    points = np.asarray(points, np.float64)
    face = face_mask(points, size_hw)
    linear = np.where(frame01 <= 0.04045, frame01 / 12.92, ((frame01 + 0.055) / 1.055) ** 2.4).astype(np.float32)
    cheeks = _cheeks(points, size_hw) & face
    patch = linear[cheeks if cheeks.sum() > 8 else face] if face.any() else linear.reshape(-1, 3)
    luma = linear @ _LUMA
    skin = np.median(patch, axis=0).clip(0.01, 1)
    light = 0.6 * float(np.percentile(luma, 96)) + 0.4 * float(skin @ _LUMA) / 0.32
    return Site(
        size_hw=size_hw,
        points=points,
        face=face,
        skin=skin.astype(np.float32),
        light=float(np.clip(light, 0.12, 1.3)),
        light_direction=_light_direction(luma, points, face),
        blur_px=_blur_of(frame01, face),
        noise=_noise_of(frame01),
        hair=_hair_colour(linear, points),
    )


def face_mask(points: Float[np.ndarray, "68 2"], size_hw: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Hull of jaw, brows and a guessed hairline."""
    down = _unit(points[8] - points[27], (0.0, 1.0)) * np.linalg.norm(points[8] - points[27])
    top = points[[17, 19, 24, 26]] - down * np.array([[0.15], [0.42], [0.42], [0.15]])
    hull = cv2.convexHull(np.concatenate([points[:17], top]).astype(np.float32))
    mask = np.zeros(size_hw, np.uint8)
    cv2.fillConvexPoly(mask, np.rint(hull * 8).astype(np.int32), 1, cv2.LINE_8, 3)
    return mask.astype(bool)


def lit(
    site: Site,
    height: Float[np.ndarray, "h w"],
    albedo: Float[np.ndarray, "h w 3"],
    *,
    softness: tuple[float, float, float] = (0.15, 0.15, 0.15),
    shine: Float[np.ndarray, "h w"] | float | int = 0.0,
    occlusion_px: float = 0.0,
) -> Float32[np.ndarray, "h w 3"]:
    """Linear colour of a relief in the site's light; a surface that faces the viewer keeps its albedo's level.

    Args:
        site: Gives the light.
        height: In pixels, towards the viewer.
        albedo: Linear; already at the level of the light.
        softness: Per colour: how far light creeps round into the shadow.
        shine: Of the highlight.
        occlusion_px: Width over which hollows darken; 0 = not at all.
    """
    height = height.astype(np.float32, copy=False)
    dy, dx = np.gradient(np.maximum(height, height.max() - 4 * max(height.shape)))
    norm = np.sqrt(dx * dx + dy * dy + 1).astype(np.float32)
    normal = np.stack([-dx / norm, -dy / norm, 1 / norm], -1)
    key = site.light_direction
    cosine = normal @ key.astype(np.float32)
    creep = np.array(softness, np.float32)
    facing = np.clip((cosine[..., None] + creep) / (1 + creep), 0, None)
    front = np.clip((np.float32(key[2]) + creep) / (1 + creep), 0.2, None)
    sky = 0.5 + 0.5 * (normal[..., 2:] * 0.75 - normal[..., 1:2] * 0.25)
    light = 0.30 * sky / 0.875 + 0.70 * facing / front
    if occlusion_px > 0:
        around = cv2.GaussianBlur(np.maximum(height, float(height.max()) - 6 * occlusion_px), (0, 0), occlusion_px)
        light *= np.clip(1 - 0.45 * np.clip((around - height) / occlusion_px - 0.1, 0, 1.4), 0.3, 1)[..., None]
    half = key + np.array([0, 0, 1.0])
    gloss = np.clip(normal @ (half / np.linalg.norm(half)).astype(np.float32), 0, 1) ** 28
    return (albedo * light + (np.asarray(shine) * gloss * site.light)[..., None]).astype(np.float32)


def crop_around(points: np.ndarray, margin: float, size_hw: tuple[int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right, bottom of the part of a picture that holds these points, or None where it is outside."""
    low, high = points.min(0) - margin, points.max(0) + margin
    left, top = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
    right, bottom = min(size_hw[1], math.ceil(high[0])), min(size_hw[0], math.ceil(high[1]))
    return (left, top, right, bottom) if right - left > 1 and bottom - top > 1 else None


def uncropped(layer: Layer, box: tuple[int, int, int, int], size_hw: tuple[int, int]) -> Layer:
    """A layer of the picture's size from one of a box of it."""
    left, top, right, bottom = box
    whole = Layer.nothing(size_hw)
    whole.colour[top:bottom, left:right] = layer.colour
    whole.alpha[top:bottom, left:right] = layer.alpha
    return whole


def _unit(vector: np.ndarray, otherwise: tuple[float, float]) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-6 else np.array(otherwise)


def _cheeks(points: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(size_hw, np.uint8)
    for jaw, eye, mouth in ((2, 41, 48), (14, 46, 54)):
        centre = (points[jaw] + points[eye] * 1.6 + points[mouth]) / 3.6
        radius = max(1, round(float(np.linalg.norm(points[eye] - points[mouth])) * 0.22))
        cv2.circle(mask, (round(centre[0]), round(centre[1])), radius, 1, -1)
    return mask.astype(bool)


def _light_direction(luma: np.ndarray, points: np.ndarray, face: np.ndarray) -> np.ndarray:
    """From the face's own shading: the side that is brighter, tamed, for skin is not one colour."""
    if face.sum() < 16:
        return np.array([0.0, -0.35, 0.94])
    y, x = np.nonzero(face)
    values = np.log(luma[y, x].clip(0.01))
    values = np.clip(values - np.median(values), -1, 1)
    size = max(float(np.linalg.norm(points[16] - points[0])), 4.0)
    right = float(np.mean(values * (x - x.mean()))) / size * 3.5
    below = float(np.mean(values * (y - y.mean()))) / size * 3.5
    direction = np.array([np.clip(right, -0.45, 0.45), np.clip(below - 0.25, -0.6, 0.2), 0.85])
    return direction / np.linalg.norm(direction)


def _blur_of(frame01: np.ndarray, face: np.ndarray) -> float:
    """Sigma of the sharpest edges on and around the face: their height over their steepness.

    Taken off again: what measuring adds (.75), and that a sharp picture of a face has no sharp edges (.3).
    """
    luma = cv2.GaussianBlur((frame01 @ _LUMA).astype(np.float32), (0, 0), 0.5)
    around = cv2.dilate(face.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    steep = np.hypot(cv2.Sobel(luma, cv2.CV_32F, 1, 0, scale=1 / 8), cv2.Sobel(luma, cv2.CV_32F, 0, 1, scale=1 / 8))
    kernel = np.ones((7, 7), np.uint8)
    height = cv2.dilate(luma, kernel) - cv2.erode(luma, kernel)
    strong = around & (steep >= np.percentile(steep[around], 96)) if around.any() else around
    if not strong.any():
        return 0.6
    sigma = float(np.percentile(height[strong] / np.maximum(steep[strong], 1e-4), 25)) / math.sqrt(2 * math.pi)
    return float(np.clip(math.sqrt(max(sigma**2 - 1.05, 0.0)), 0.3, 3.0))


def _noise_of(frame01: np.ndarray) -> float:
    """From the smoothest quarter of the picture (after Immerkaer, 1996, but with a low percentile)."""
    luma = (frame01 @ _LUMA).astype(np.float32)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    rough = cv2.boxFilter(cv2.filter2D(luma, -1, kernel) ** 2, -1, (7, 7))
    return float(np.clip(math.sqrt(max(float(np.percentile(rough, 25)), 0.0)) * 1.1, 0.0, 0.06))


def _hair_colour(linear: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The darker half of some places round the top of the head, which may hold a wall or a hat too."""
    height, width = linear.shape[:2]
    up, side = points[27] - points[8], (points[16] - points[0]) * 0.5
    places = points[27] + np.array([up * 0.72, up * 0.85, up * 0.6 + side * 0.8, up * 0.6 - side * 0.8, up * 0.95])
    x, y = places[:, 0].clip(2, width - 3).astype(int), places[:, 1].clip(2, height - 3).astype(int)
    found = np.array([linear[b - 2 : b + 3, a - 2 : a + 3].mean((0, 1)) for a, b in zip(x, y, strict=True)])
    darkest = np.argsort(found @ _LUMA)[:3]
    red, green, blue = np.median(found[darkest], axis=0).clip(0.006, 0.8)
    return np.array([red, min(green, red), min(blue, 1.1 * green, red)], np.float32)  # no hair is green or blue
