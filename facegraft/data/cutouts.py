"""Occluders from picture files: RGBA cut-outs of hands, masks and things, and hands freed from a plain wall."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, Float32, UInt8

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import entries
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.data.site import Layer, Site

logger = logging.getLogger(__name__)

KINDS = ("hand", "mask", "thing")
_SUFFIXES = {".png", ".webp", ".jpg", ".jpeg"}
_LARGEST_PX = 512


@dataclass(frozen=True)
class Cutout:
    """A thing without its background.

    Attributes:
        rgb: Linear, 0..1.
        alpha: Coverage, 0..1.
        kind: One of `KINDS`: hands come in from the border, masks go over mouth and nose, things anywhere.
    """

    rgb: Float32[np.ndarray, "h w 3"]
    alpha: Float32[np.ndarray, "h w"]
    kind: str


def read_cutouts(folder: Path, kind: str) -> tuple[Cutout, ...]:
    """All cut-outs of a folder, in the order of their names; files that cannot be used are logged and left out.

    Args:
        folder: PNG or WebP with alpha; for hands also pictures on a plain wall.
        kind: One of `KINDS`.

    Raises:
        BadInputError: An unknown kind, or a folder without a single usable picture.
    """
    if kind not in KINDS:
        raise BadInputError(f"kind of cut-outs: expected one of {', '.join(KINDS)}, found {kind!r}")
    found: list[Cutout] = []
    paths = entries(folder)
    for path in paths:
        if path.suffix.lower() in _SUFFIXES:
            try:
                found.append(read_cutout(path, kind))
            except FacegraftError as error:
                logger.warning("left out: %s", error)
    if not found:
        raise BadInputError(f"{folder}: expected pictures with alpha (or hands on a wall), found none that can be used")
    return tuple(found)


def read_cutout(path: Path, kind: str) -> Cutout:
    """One cut-out, trimmed to what it shows, at most 512 px.

    Raises:
        BadInputError: Neither alpha, nor a hand on a wall.
    """
    picture = read_picture(path)
    frame = np.asarray(picture.frame)
    if picture.has_alpha:
        alpha = picture.pixels[..., -1].astype(np.float32) / (255 if picture.pixels.dtype == np.uint8 else 65535)
    elif kind == "hand":
        alpha = hand_alpha(frame).astype(np.float32) / 255
    else:
        raise BadInputError(f"{path}: expected a picture with alpha, found none; only hands are freed from a wall")
    rows, columns = np.nonzero(alpha > 0.5)
    if len(rows) < 64:
        raise BadInputError(f"{path}: nothing left of the picture without its background; leave it out")
    box = (slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1))
    frame = frame[box]
    alpha = np.ascontiguousarray(alpha[box], np.float32)
    shrink = min(1.0, _LARGEST_PX / max(alpha.shape))
    if shrink < 1:
        size = (max(1, round(alpha.shape[1] * shrink)), max(1, round(alpha.shape[0] * shrink)))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
        alpha = cv2.resize(alpha, size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)
    return Cutout(_linear(frame), alpha, kind)


def hand_alpha(frame: Frame) -> UInt8[np.ndarray, "h w"]:
    """Coverage 0..255 of a hand before a plain wall, by colour: the wall is what the upper border shows.

    Colours are compared without their brightness, for walls have shadows; the outline is found by GrabCut and then
    drawn in by a pixel, so that none of the wall comes along.
    """
    lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float32)
    height, width = lab.shape[:2]
    band = max(2, height // 20)
    border = np.concatenate(
        [lab[:band].reshape(-1, 3), lab[: height // 2, :band].reshape(-1, 3), lab[: height // 2, -band:].reshape(-1, 3)]
    )
    wall = np.median(border, axis=0)
    apart = np.linalg.norm((lab - wall)[..., 1:], axis=-1) + 0.10 * np.maximum(wall[0] - lab[..., 0], 0)
    apart = cv2.GaussianBlur(apart, (0, 0), max(1.0, width / 100))
    level, _ = cv2.threshold(np.clip(apart * 4, 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    likely = apart * 4 > level
    marks = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    core = cv2.erode(likely.astype(np.uint8), np.ones((5, 5), np.uint8))
    marks[core > 0] = cv2.GC_FGD
    marks[cv2.dilate(likely.astype(np.uint8), np.ones((9, 9), np.uint8)) == 0] = cv2.GC_BGD
    if core.any() and not likely.all():
        nowhere = (0, 0, 0, 0)  # unused: the marks say where
        cv2.grabCut(frame, marks, nowhere, np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_MASK)
    hand = np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(hand)
    if count < 2:
        return np.zeros((height, width), np.uint8)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    only = (labels == largest).astype(np.uint8) * 255
    # The wrist runs off the picture: no edge there.
    padded = cv2.copyMakeBorder(only, 4, 4, 4, 4, cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(cv2.erode(padded, np.ones((3, 3), np.uint8)), (0, 0), 0.7)
    return soft[4:-4, 4:-4]


def placed(cutout: Cutout, site: Site, rng: np.random.Generator) -> Layer:
    """A cut-out in front of a face, in its light: hands from below or the side, masks on mouth and nose."""
    matrix = _mask_matrix(cutout, site) if cutout.kind == "mask" else _free_matrix(cutout, site, rng)
    gain = _gain(cutout, site, rng)
    return _warped(Cutout((cutout.rgb * gain).astype(np.float32), cutout.alpha, cutout.kind), matrix, site.size_hw)


def scattered(cutout: Cutout, size_hw: tuple[int, int], rng: np.random.Generator) -> Layer:
    """FaceShifter's placement (AEI/HEAR-Net code): scale .5..1 of the picture, turned by up to 90 degrees, anywhere."""
    height, width = cutout.alpha.shape
    scale = min(size_hw) / max(height, width) * rng.uniform(0.5, 1.0)
    matrix = _similarity((width, height), scale, rng.uniform(-90, 90), rng.uniform(0, 1, 2) * size_hw[::-1])
    if rng.random() < 0.5:
        cutout = Cutout(cutout.rgb[:, ::-1], cutout.alpha[:, ::-1], cutout.kind)
    return _warped(cutout, matrix, size_hw)


def choose(cutouts: Sequence[Cutout], kind: str, rng: np.random.Generator) -> Cutout | None:
    """One of a kind, or None where there is none."""
    fitting = [cutout for cutout in cutouts if cutout.kind == kind]
    return fitting[int(rng.integers(len(fitting)))] if fitting else None


def _free_matrix(cutout: Cutout, site: Site, rng: np.random.Generator) -> np.ndarray:
    height, width = cutout.alpha.shape
    aim = site.points[rng.choice([2, 4, 8, 12, 14, 30, 48, 54, 57, 62])] + rng.normal(0, 0.06, 2) * site.width
    if cutout.kind == "thing":
        scale = site.width * rng.uniform(0.4, 0.9) / max(height, width)
        return _similarity((width, height), scale, rng.uniform(-90, 90), aim)
    # A hand's wrist is at the lower border of its picture; it is 1.35 faces long as far as it is shown.
    scale = site.width * rng.uniform(1.15, 1.5) / height
    lean = rng.uniform(-60, 60)
    down = np.array([-math.sin(math.radians(lean)), math.cos(math.radians(lean))])
    return _similarity((width, height), scale, lean, aim + down * height * scale * rng.uniform(0.0, 0.4))


def _similarity(
    size_wh: tuple[int, int], scale: float, degrees: float, centre_xy: Float[np.ndarray, "2"]
) -> np.ndarray:
    cosine, sine = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return np.concatenate([turn, (centre_xy - turn @ (np.array(size_wh) / 2))[:, None]], 1)


def _mask_matrix(cutout: Cutout, site: Site) -> np.ndarray:
    """Fits the middle of upper edge, lower edge and sides to nose bridge, chin and jaw."""
    height, width = cutout.alpha.shape
    p, down = site.points, site.down
    own = np.array([[width / 2, 0], [width / 2, height], [0, height * 0.35], [width, height * 0.35]])
    goal = np.stack([p[28], p[8] + down * 0.05 * site.width, (p[1] + p[2]) / 2, (p[14] + p[15]) / 2])
    solved, *_ = np.linalg.lstsq(np.concatenate([own, np.ones((4, 1))], 1), goal, rcond=None)
    return solved.T


def _gain(cutout: Cutout, site: Site, rng: np.random.Generator) -> np.ndarray:
    """Brings a hand's mean colour to the face's within 12 %, anything else to the level of the light."""
    if cutout.kind != "hand":
        return np.full(3, site.light)
    solid = cutout.rgb[cutout.alpha > 0.9]
    mean = solid.mean(0) if len(solid) else np.full(3, 0.3)
    wanted = site.skin * (1 + np.clip(rng.normal(0, 0.05) + rng.normal(0, 0.02, 3), -0.12, 0.12))
    return np.clip(wanted / np.maximum(mean, 0.01), 0.1, 6.0)


def _warped(cutout: Cutout, matrix: np.ndarray, size_hw: tuple[int, int]) -> Layer:
    """Reads a cut-out, shrunk to about the size it is shown at, into a picture; matrix maps its points there."""
    scale = math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))
    rgba = np.concatenate([cutout.rgb * cutout.alpha[..., None], cutout.alpha[..., None]], -1)
    height, width = cutout.alpha.shape
    small = (max(1, round(width * min(scale, 1))), max(1, round(height * min(scale, 1))))
    rgba = cv2.resize(rgba, small, interpolation=cv2.INTER_AREA)
    inner = matrix.astype(np.float64) @ np.diag([width / small[0], height / small[1], 1.0])
    inner[:, 2] += inner[:, :2] @ [0.5, 0.5] - 0.5  # cv2 counts from pixel centres
    read = cv2.warpAffine(rgba, inner, size_hw[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    alpha = read[..., 3].clip(0, 1)
    return Layer((read[..., :3] / np.maximum(alpha, 1e-4)[..., None]).astype(np.float32), alpha)


def _linear(frame: np.ndarray) -> Float32[np.ndarray, "h w 3"]:
    srgb = frame.astype(np.float32) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4).astype(np.float32)
