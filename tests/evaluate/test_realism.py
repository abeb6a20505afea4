"""Realism: distances against closed forms, ratios with known answers, seams and grids that are really there."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from facegraft.core.image import read_picture
from facegraft.core.types import Face, Frame
from facegraft.evaluate import realism
from facegraft.evaluate.look import Eyes, Views
from facegraft.evaluate.protocol import Case, Scores
from facegraft.evaluate.realism import (
    METRICS,
    SET_METRICS,
    boundary,
    edge_of,
    fine_power,
    frechet_distance,
    frechet_figure,
    high_frequencies,
    kernel_figure,
    set_figures,
    sharpness,
)
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader


def sample(rng: np.random.Generator, n: int, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """A set whose own mean and covariance are exactly these."""
    rows = rng.normal(size=(n, len(mean)))
    rows -= rows.mean(0)
    white = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows, rowvar=False))).T
    return np.asarray(white @ np.linalg.cholesky(covariance).T + mean)


def test_frechet_distance_has_its_closed_form() -> None:
    rng = np.random.default_rng(0)
    first, second = np.array([1.0, 4.0, 0.25]), np.array([4.0, 1.0, 0.25])
    a = sample(rng, 50, np.zeros(3), np.diag(first))
    b = sample(rng, 70, np.array([1.0, 2.0, 2.0]), np.diag(second))
    expected = 9 + ((np.sqrt(first) - np.sqrt(second)) ** 2).sum()
    assert frechet_distance(a, b) == pytest.approx(expected)
    assert frechet_distance(b, a) == pytest.approx(expected)
    assert frechet_distance(a, a + 2) == pytest.approx(12)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(200, 90), (6, 200), (5, 9)])
def test_frechet_distance_equals_scipys_root(n: int, m: int) -> None:
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(n)
    a, b = rng.normal(size=(n, 8)) @ rng.normal(size=(8, 8)), rng.normal(size=(m, 8)) @ rng.normal(size=(8, 8)) + 1
    first, second = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    # A singular product has no unique root; a breath of identity gives it one.
    root = linalg.sqrtm((first + 1e-9 * np.eye(8)) @ (second + 1e-9 * np.eye(8)))
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(first + second - 2 * np.real(root))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-3)


def test_no_answer_meets_its_own_picture() -> None:
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(20), 4)
    centres = rng.normal(size=(20, 3)) * 10
    real = centres[who] + rng.normal(size=(80, 3)) / 10
    found = frechet_figure(real, real, who)
    assert found.value > 1  # halves of other people, though every answer is its own picture
    assert found.low < found.value < found.high
    assert (found.of, found.people) == (80, 20)
    assert frechet_figure(real + 30, real, who).value == pytest.approx(found.value + 2700, rel=0.1)
    assert np.isnan(frechet_figure(real[:12], real[:12], who[:12]).low)


def kernel(a: np.ndarray, b: np.ndarray) -> float:
    return float((a @ b / len(a) + 1) ** 3)


def test_kernel_distance_is_the_mean_over_pairs_of_other_people() -> None:
    rng = np.random.default_rng(1)
    who = np.array([0, 0, 1, 2, 2, 3])
    a, b = rng.normal(size=(6, 5)) + 0.5, rng.normal(size=(6, 5))
    pairs = [(i, j) for i in range(6) for j in range(6) if who[i] != who[j]]
    expected = np.mean([kernel(a[i], a[j]) + kernel(b[i], b[j]) - 2 * kernel(a[i], b[j]) for i, j in pairs])
    found = kernel_figure(a, b, who)
    assert found.value == pytest.approx(1000 * expected)
    assert np.isnan(found.low)  # four people


def test_kernel_distance_of_halves_of_one_set_is_nothing_and_of_others_is_not() -> None:
    rng = np.random.default_rng(0)
    values, covered = [], 0
    for _ in range(40):
        a, b = rng.normal(size=(2, 40, 6))
        found = kernel_figure(a, b, np.arange(40) // 2)
        values.append(found.value)
        covered += found.low <= 0 <= found.high
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(40)
    assert min(values) < 0 < max(values)  # not biased: it falls to both sides
    assert covered >= 33
    moved = kernel_figure(rng.normal(size=(40, 6)) + 1, rng.normal(size=(40, 6)), np.arange(40) // 2)
    assert moved.low > 0


def test_large_sets_are_cut_into_parts() -> None:
    rng = np.random.default_rng(0)
    who = np.arange(1500) // 30
    a, b = rng.normal(size=(1500, 4)) + 0.3, rng.normal(size=(1500, 4))
    found = kernel_figure(a, b, who)
    others = who[:, None] != who[None]
    among, real, between = (((x @ y.T / 4 + 1) ** 3)[others].mean() for x, y in ((a, a), (b, b), (a, b)))
    assert found.value == pytest.approx(1000 * (among + real - 2 * between), rel=0.1)
    assert (found.of, found.people) == (1500, 50)


def scores(swapped: np.ndarray, attribute: np.ndarray) -> Scores:
    n = len(swapped)
    return Scores(
        method="m",
        keys=tuple(map(str, range(n))),
        people=tuple(str(at // 2) for at in range(n)),
        strata=("",) * n,
        groups={},
        values={},
        failed=~np.isfinite(swapped).all(1),
        milliseconds=np.zeros(n),
        features={"swapped_face": swapped, "attribute_face": attribute},
    )


def test_figures_of_a_set_leave_out_failures_and_say_what_they_stand_on() -> None:
    rng = np.random.default_rng(0)
    swapped, attribute = rng.normal(size=(2, 40, 4)).astype(np.float32)
    swapped[:2] = np.nan
    found = set_figures(scores(swapped, attribute))
    assert set(found) == {metric.name for metric in SET_METRICS}
    assert all(one.of == 38 and one.people == 19 and np.isfinite(one.value) for one in found.values())
    alone = kernel_figure(*(x[2:].astype(float) for x in (swapped, attribute)), np.arange(38) // 2)
    assert found["kid_face"].value == pytest.approx(alone.value)
    for empty in (scores(swapped[:2], attribute[:2]), scores(swapped[2:4], attribute[2:4])):
        assert all(np.isnan(one.value) for one in set_figures(empty).values())


def noise(side: int, seed: int = 0) -> Frame:
    return np.random.default_rng(seed).integers(64, 192, (side, side, 3), np.uint8)


def test_sharpness_counts_doublings_and_looks_at_the_face_only() -> None:
    frame = noise(64)
    where = np.zeros((64, 64), bool)
    where[20:40, 20:40] = True
    half = (frame.astype(int) // 2 + 64).astype(np.uint8)
    assert sharpness(half, frame, where) == pytest.approx(-2, abs=0.05)  # a quarter of the variance
    assert sharpness(frame, half, where) == pytest.approx(2, abs=0.05)
    assert sharpness(cv2.GaussianBlur(frame, (0, 0), 2), frame, where) < -3
    outside = np.where(where[..., None], frame, 127).astype(np.uint8)
    assert sharpness(outside, frame, cv2.erode(where.astype(np.uint8), np.ones((3, 3))) > 0) == 0
    flat = np.full_like(frame, 90)
    assert (sharpness(flat, flat, where), sharpness(flat, frame, where)) == (0, -6)
    assert np.isnan(sharpness(frame, frame, np.zeros((64, 64), bool)))


def test_fine_power_is_that_of_the_finest_waves() -> None:
    grey = np.random.default_rng(0).normal(0, 3, (128, 128)).astype(np.float32)
    assert fine_power(grey) == pytest.approx(9, rel=0.05)
    x = np.arange(128)
    slow, fast = (np.tile(10 * np.sin(2 * np.pi * f * x), (128, 1)).astype(np.float32) for f in (0.1, 0.4))
    assert fine_power(slow) < 1e-3
    assert fine_power(fast) == pytest.approx(fine_power(np.ascontiguousarray(fast.T)), rel=1e-4)
    assert fine_power(fast) > 10


def face_at(middle: float, side: float) -> Face:
    """Points of a face that fills a square."""
    points5 = np.array([[-0.25, -0.2], [0.25, -0.2], [0, 0], [-0.2, 0.25], [0.2, 0.25]], np.float32) * side + middle
    ends = np.array([[-0.5, -0.5, 0], [0.5, 0.5, 0]], np.float32) * side + middle
    box = np.array([middle - side / 2] * 2 + [middle + side / 2] * 2, np.float32)
    return Face(0, box, 1.0, points5, ends.astype(np.float32), np.zeros(3, np.float32))


def photo(side: int) -> Frame:
    """Soft blobs with a little grain."""
    rng = np.random.default_rng(3)
    soft = cv2.GaussianBlur(rng.normal(0, 60, (side, side, 3)), (0, 0), 6) * 8
    return np.clip(127 + soft + rng.normal(0, 1.5, (side, side, 3)), 0, 255).astype(np.uint8)


def test_a_grid_in_the_face_shows_and_one_elsewhere_does_not() -> None:
    frame, face = photo(128), face_at(64, 60)
    grid = 4 * (np.indices((128, 128)).sum(0) % 2)[..., None]
    inside, outside = frame.astype(int), frame.astype(int)
    inside[40:90, 40:90] += grid[40:90, 40:90]
    outside[:20] += grid[:20]
    inside, outside = (np.clip(part, 0, 255).astype(np.uint8) for part in (inside, outside))
    assert high_frequencies(inside, frame, face) > 1
    assert high_frequencies(outside, frame, face) == 0
    assert high_frequencies(cv2.GaussianBlur(frame, (0, 0), 1.5), frame, face) < -1
    assert np.isnan(high_frequencies(inside, frame, face_at(64, 10)))
    assert np.isfinite(high_frequencies(inside, frame, face_at(5, 60)))  # cut by the frame's edge


def test_a_hard_seam_is_worse_than_a_soft_one() -> None:
    frame, face = photo(160), face_at(80, 100)
    mask = np.zeros((160, 160), np.float32)
    cv2.circle(mask, (80, 80), 45, 1, -1)
    brighter = frame.astype(np.float32) * 0.7 + 60
    hard, soft = (
        np.rint(frame + (brighter - frame) * part[..., None]).clip(0, 255).astype(np.uint8)
        for part in (mask, cv2.GaussianBlur(mask, (0, 0), 12))
    )
    assert boundary(hard, frame, face) > 2
    assert boundary(soft, frame, face) < 0.5 * boundary(hard, frame, face)
    assert boundary(frame, frame, face) == 0
    assert boundary(frame // 2, frame, face) == 0  # all is changed: there is no edge


def test_the_edge_is_that_of_the_largest_region_without_its_holes() -> None:
    changed = np.zeros((60, 60), bool)
    changed[10:50, 10:50] = True
    changed[28:31, 28:31] = False
    changed[2:4, 2:4] = True
    edge = edge_of(changed, reach_px=1, width_px=2)
    expected = np.zeros((60, 60), bool)
    expected[8:52, 8:52] = True
    expected[12:48, 12:48] = False
    assert (edge != expected).sum() <= 4 * 8  # a disc rounds the corners
    assert not edge[20:40, 20:40].any()
    assert not edge[:5, :5].any()
    assert not edge_of(np.ones((30, 30), bool), reach_px=2, width_px=2).any()


class Corners:
    """A feature of two channels: a crop shrunk to 2 x 2, and its negative."""

    size_px = 112

    def maps(self, crops: np.ndarray) -> np.ndarray:
        shrunk = crops.reshape(len(crops), 2, 56, 2, 56, 3).mean((2, 4, 5)) / 255
        return np.stack([shrunk, -shrunk], 1).astype(np.float32)


def test_real_pictures_go_through(root: Path) -> None:
    eyes = Eyes(Analyser(), AttributeReader(), {}, Corners())
    frames = [read_picture(root / "examples" / f"identity_{n}.jpg").frame for n in (1, 2)]
    case = Case("one", frames[0], frames[1], "a", "b")
    seen = [eyes.look(frame) for frame in frames]

    def told(swapped: Frame) -> dict[str, float]:
        found = realism.values(case, Views(*seen, eyes.look(swapped, seen[1].face)))
        assert set(found) == {metric.name for metric in METRICS}
        return found

    assert set(told(frames[1]).values()) == {0.0}
    blurred = told(cv2.GaussianBlur(frames[1], (0, 0), 3))
    assert blurred["sharpness_ratio"] == -blurred["sharpness_signed"] > 1
    assert blurred["high_frequencies"] > 1
    black = np.zeros_like(frames[1])
    assert told(black) == {metric.name: metric.worst for metric in METRICS}
    faceless = Views(seen[0], eyes.look(black), seen[1])
    assert np.isnan(list(realism.values(case, faceless).values())).all()

    rows = realism.features(case, Views(*seen, seen[0]))
    assert seen[0].map is not None
    np.testing.assert_allclose(rows["swapped_face"][0], seen[0].map[0].mean(), rtol=1e-5)
    np.testing.assert_allclose(rows["swapped_face"][3], seen[0].map[1].std(), rtol=1e-5)
    assert not np.allclose(rows["swapped_face"], rows["attribute_face"])
    assert set(realism.features(case, Views(*seen, eyes.look(black)))) == {"attribute_face"}
