"""Whether an answer looks like a photograph: detail, grids and seams against the attribute picture; whole sets.

An answer is compared with the picture that it replaces, so that a blurred photograph may give a blurred face. The
distances between sets look at the face alone, brought upright: the rest of a frame is the photograph itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, UInt8

from facegraft.core.types import Face, Frame
from facegraft.evaluate.features import moments
from facegraft.evaluate.look import Seen, Views
from facegraft.evaluate.protocol import Case, Metric, Scores, Values, worst_of
from facegraft.evaluate.stats import FEWEST_PEOPLE, RESAMPLES, Z95, Figure

MOST = 6.0
"""Ratios are told as powers of two and end here: a factor of 64 is as wrong as any."""
METRICS = (
    Metric("sharpness_ratio", "log2", "low", MOST, "Sharper or more blurred than the attribute picture, inner face"),
    Metric("sharpness_signed", "log2", "high", -MOST, "The same with its sign: below 0 = more blurred"),
    Metric("high_frequencies", "log2", "low", MOST, "More or less of the finest detail: grids, or detail lost"),
    Metric("boundary", "log2", "low", MOST, "Edges that the attribute picture lacks where the change begins: seams"),
)
SET_METRICS = (
    Metric(
        "frechet_face", "", "low", math.nan, "Frechet distance of features of faces to other people's", primary=True
    ),
    Metric("kid_face", "x 1000", "low", math.nan, "Kernel distance of the same features; small sets do not bias it"),
)
FRECHET_RESAMPLES = 100
KERNEL_SUBSET = 1000
"""Cases that the kernel distance is computed over at a time; with more its mean over several parts is taken."""
CHANGED = 8
"""Levels of 255 that a pixel must differ by to count as changed: files and rounding stay below."""
_FEWEST_PIXELS = 64
_SMALLEST_CROP = 16
_NOISE = 1e-2
"""Variance or power, in levels squared, that is added on both sides so that flat pictures have a ratio."""
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def values(case: Case, views: Views) -> Values:
    """Ratios of one answer. NaN where the attribute picture has no face; the worst where the answer has none.

    sharpness_ratio: |log2| of the variance of the Laplacian in the visible inner face, swapped over attribute (variance
        of the Laplacian as a measure of focus: Pech-Pacheco et al., ICPR 2000). high_frequencies: |log2| of the power
        above half the Nyquist frequency in the square around eyes and mouth, in the frame's own pixels. boundary: log2
        of the gradients' energy along the edge of the changed region, never below 0.
    """
    face = views.attribute.face
    if face is None:
        return {metric.name: math.nan for metric in METRICS}
    if views.swapped.face is None:
        return worst_of(METRICS)
    swapped, attribute = views.swapped.frame, case.attribute
    signed = sharpness(swapped, attribute, _inner(views.attribute))
    return {
        "sharpness_ratio": abs(signed),
        "sharpness_signed": signed,
        "high_frequencies": abs(high_frequencies(swapped, attribute, face)),
        "boundary": boundary(swapped, attribute, face),
    }


def features(case: Case, views: Views) -> dict[str, np.ndarray]:
    """Means and deviations of the face feature's channels, of the answer and of the attribute picture."""
    seen = {"swapped_face": views.swapped.map, "attribute_face": views.attribute.map}
    return {name: moments(found) for name, found in seen.items() if found is not None}


def set_figures(scores: Scores) -> dict[str, Figure]:
    """Distances of answers to attribute pictures of other people. Failures have no features: read their share too."""
    nothing = {metric.name: Figure(math.nan, math.nan, math.nan, 0, 0) for metric in SET_METRICS}
    if not {"swapped_face", "attribute_face"} <= scores.features.keys():
        return nothing
    swapped, attribute = (np.asarray(scores.features[f"{name}_face"], np.float64) for name in ("swapped", "attribute"))
    known = np.isfinite(swapped).all(1) & np.isfinite(attribute).all(1)
    names = [person or f"unknown {at}" for at, person in enumerate(scores.people)]
    _, who = np.unique(np.array(names)[known], return_inverse=True)
    if len(set(who.tolist())) < 2:
        return nothing
    pair = swapped[known], attribute[known], who
    return {"frechet_face": frechet_figure(*pair), "kid_face": kernel_figure(*pair)}


def sharpness(swapped: Frame, attribute: Frame, where: Bool[np.ndarray, "h w"]) -> float:
    """log2 of the variance of the Laplacian, swapped over attribute; NaN of fewer than 64 pixels."""
    if where.sum() < _FEWEST_PIXELS:
        return math.nan
    return _octaves(*(float(cv2.Laplacian(_luma(frame), cv2.CV_32F)[where].var()) for frame in (swapped, attribute)))


def high_frequencies(swapped: Frame, attribute: Frame, face: Face) -> float:
    """log2 of the power above half the Nyquist frequency, swapped over attribute; NaN of a face below 16 pixels.

    Nothing is scaled or turned: that would blur a grid of single pixels away.
    """
    left, top, right, bottom = _square(face, attribute.shape[:2])
    if min(right - left, bottom - top) < _SMALLEST_CROP:
        return math.nan
    return _octaves(*(fine_power(_luma(frame[top:bottom, left:right])) for frame in (swapped, attribute)))


def fine_power(grey: Float32[np.ndarray, "h w"]) -> float:
    """Mean power above half the Nyquist frequency (a quarter of a cycle per pixel), whatever the direction.

    A Hann window keeps the picture's borders out; white noise gives its variance.
    """
    window = np.hanning(grey.shape[0] + 2)[1:-1, None] * np.hanning(grey.shape[1] + 2)[None, 1:-1]
    power = np.abs(np.fft.fft2((grey - grey.mean()) * window)) ** 2 / (window**2).sum()
    y, x = np.fft.fftfreq(grey.shape[0])[:, None], np.fft.fftfreq(grey.shape[1])[None]
    return float(power[np.hypot(y, x) > 0.25].mean())


def boundary(swapped: Frame, attribute: Frame, face: Face) -> float:
    """log2 of the mean squared gradient on the edge of the changed region, swapped over attribute, at least 0.

    The region: pixels that differ by more than `CHANGED`, holes closed. 0 where nothing is changed, or all of it.
    """
    differ = np.abs(swapped.astype(np.int16) - attribute).max(2) > CHANGED
    side = float(np.ptp(face.dense[:, :2], axis=0).max())
    ring = edge_of(differ, reach_px=max(1, round(0.03 * side)), width_px=max(1, round(0.01 * side)))
    if not ring.any():
        return 0.0
    return max(0.0, _octaves(*(float(_gradient_energy(frame)[ring].mean()) for frame in (swapped, attribute))))


def edge_of(changed: Bool[np.ndarray, "h w"], *, reach_px: int, width_px: int) -> Bool[np.ndarray, "h w"]:
    """The outer edge of the largest changed region, `width_px` to both sides; the frame's own border is none."""
    closed = cv2.morphologyEx(
        np.pad(changed.astype(np.uint8), reach_px), cv2.MORPH_CLOSE, _disc(reach_px)
    )[reach_px:-reach_px, reach_px:-reach_px]  # fmt: skip
    outlines, _ = cv2.findContours(np.ascontiguousarray(closed), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not outlines:
        return np.zeros_like(changed)
    region = np.zeros(changed.shape, np.uint8)
    cv2.drawContours(region, [max(outlines, key=cv2.contourArea)], 0, (1,), cv2.FILLED)
    grown, shrunk = (move(region, _disc(width_px)) for move in (cv2.dilate, cv2.erode))
    return np.asarray(grown > shrunk)


def frechet_distance(first: Float[np.ndarray, "n d"], second: Float[np.ndarray, "m d"]) -> float:
    """Frechet distance of two Gaussians with the sets' means and covariances (Heusel et al., 2017, eq. 6).

    |m1 - m2|^2 + Tr C1 + Tr C2 - 2 Tr (C1 C2)^(1/2). With C1 = A'A and C2 = B'B the last trace is the sum of the
    singular values of AB', for (AB')(AB')' has the eigenvalues of C1 C2; so no root of a matrix is needed. Small sets
    bias the distance upwards: only sets of one size compare.
    """
    a, b = ((rows - rows.mean(0)) / math.sqrt(len(rows) - 1) for rows in (first, second))
    mixed = np.linalg.svd(_short(a) @ _short(b).T, compute_uv=False).sum()
    apart = ((first.mean(0) - second.mean(0)) ** 2).sum()
    return max(0.0, float(apart + (a**2).sum() + (b**2).sum() - 2 * mixed))


def frechet_figure(
    swapped: Float64[np.ndarray, "n d"], attribute: Float64[np.ndarray, "n d"], who: Int[np.ndarray, "n"], seed: int = 0
) -> Figure:
    """Frechet distance of answers to real pictures of other people.

    People are dealt into halves; answers of each half are compared with the attribute pictures of the other half, so
    that no answer meets the picture it was made from; the two distances are averaged. The interval is 1.96 standard
    deviations over 100 resamples of people to both sides, not their percentiles: a resample repeats pictures, which
    adds to the bias.
    """
    people = int(who.max()) + 1
    rng = np.random.default_rng(seed)
    halves = np.array_split(rng.permutation(people), 2)
    rows_of = [np.flatnonzero(who == person) for person in range(people)]

    def distance(chosen: Sequence[np.ndarray]) -> float:
        one, two = (np.concatenate([rows_of[person] for person in half]) for half in chosen)
        if min(len(one), len(two)) < 2:
            return math.nan
        pairs = ((swapped[one], attribute[two]), (swapped[two], attribute[one]))
        return math.fsum(frechet_distance(*pair) for pair in pairs) / 2

    value = distance(halves)
    if people < 2 * FEWEST_PEOPLE:
        return Figure(value, math.nan, math.nan, len(who), people)
    drawn = [distance([rng.choice(half, len(half)) for half in halves]) for _ in range(FRECHET_RESAMPLES)]
    spread = Z95 * float(np.nanstd(drawn, ddof=1))
    return Figure(value, value - spread, value + spread, len(who), people)


def kernel_figure(
    swapped: Float64[np.ndarray, "n d"], attribute: Float64[np.ndarray, "n d"], who: Int[np.ndarray, "n"], seed: int = 0
) -> Figure:
    """Kernel inception distance (Binkowski et al., 2018) times 1000, of other people's pictures only.

    The unbiased estimate of the squared maximum mean discrepancy with the kernel (x . y / d + 1)^3. People, not
    pictures, are independent of each other, so no pair of one person counts on either side: neither two pictures of
    one, nor an answer and its own attribute picture. The interval: percentiles of 2000 resamples of people, whose
    pairs with themselves do not count either. Beyond 1000 cases it is the mean over random parts.
    """
    people = int(who.max()) + 1
    rng = np.random.default_rng(seed)
    parts = np.array_split(rng.permutation(len(who)), math.ceil(len(who) / KERNEL_SUBSET))
    sums, counts = np.zeros((3, people, people)), np.zeros((3, people, people))
    for part in parts:
        found, of = _by_people(swapped[part], attribute[part], who[part], people)
        sums, counts = sums + found, counts + of
    value = float(_discrepancy(sums, counts, np.ones((1, people)))[0])
    if people < FEWEST_PEOPLE:
        return Figure(value, math.nan, math.nan, len(who), people)
    times = np.stack([np.bincount(rng.integers(0, people, people), minlength=people) for _ in range(RESAMPLES)])
    low, high = np.nanpercentile(_discrepancy(sums, counts, times.astype(np.float64)), [2.5, 97.5])
    return Figure(value, float(low), float(high), len(who), people)


def _short(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "k d"]:
    """As many rows as columns at most, with the same products of columns."""
    return rows if len(rows) <= rows.shape[1] else np.asarray(np.linalg.qr(rows, mode="r"))


def _by_people(
    swapped: Float64[np.ndarray, "n d"], attribute: Float64[np.ndarray, "n d"], who: Int[np.ndarray, "n"], people: int
) -> tuple[Float64[np.ndarray, "3 p p"], Float64[np.ndarray, "3 p p"]]:
    """Sums of the kernel between answers, real pictures, and both, by pairs of people; and how many pairs those are."""
    belongs = np.zeros((len(who), people))
    belongs[np.arange(len(who)), who] = 1
    others = 1 - np.eye(people)
    pairs = ((swapped, swapped), (attribute, attribute), (swapped, attribute))
    sums = [belongs.T @ (a @ b.T / a.shape[1] + 1) ** 3 @ belongs * others for a, b in pairs]
    size = belongs.sum(0)
    return np.stack(sums), np.stack([np.outer(size, size) * others] * 3)


def _discrepancy(
    sums: Float64[np.ndarray, "3 p p"], counts: Float64[np.ndarray, "3 p p"], times: Float64[np.ndarray, "r p"]
) -> Float64[np.ndarray, "r"]:
    """1000 x (mean among answers + mean among real pictures - twice the mean between), people counted `times`."""
    with np.errstate(invalid="ignore"):  # a draw of one person alone has no pairs, and its answer is NaN
        means = [
            ((times @ one) * times).sum(1) / ((times @ of) * times).sum(1) for one, of in zip(sums, counts, strict=True)
        ]
    return 1000 * (means[0] + means[1] - 2 * means[2])


def _inner(seen: Seen) -> Bool[np.ndarray, "h w"]:
    """Visible inner face, less a rim that the Laplacian would see past."""
    visible = seen.visible
    if visible is None:
        return np.zeros(seen.frame.shape[:2], bool)
    return np.asarray(cv2.erode((visible > 0.5).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)


def _square(face: Face, size_hw: tuple[int, ...]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the square around eyes, nose and mouth, cut at the frame's edge."""
    low, high = face.points5.min(0), face.points5.max(0)
    middle, half = (low + high) / 2, 0.75 * float((high - low).max())
    left, top = np.floor(middle - half).astype(int).clip(0)
    right, bottom = np.minimum(np.ceil(middle + half).astype(int), size_hw[::-1])
    return int(left), int(top), int(right), int(bottom)


def _gradient_energy(frame: Frame) -> Float32[np.ndarray, "h w"]:
    along_y, along_x = np.gradient(frame.astype(np.float32), axis=(0, 1))
    return np.asarray((along_y**2 + along_x**2).sum(2), np.float32)


def _luma(frame: Frame) -> Float32[np.ndarray, "h w"]:
    return np.asarray(frame.astype(np.float32) @ _LUMA, np.float32)


def _octaves(first: float, second: float) -> float:
    return float(np.clip(math.log2((first + _NOISE) / (second + _NOISE)), -MOST, MOST))


def _disc(radius_px: int) -> UInt8[np.ndarray, "k k"]:
    size = 2 * radius_px + 1
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)), np.uint8)
