"""The small parts of `ingest`: filters, near-duplicates, groups of people, colours, measures."""

from __future__ import annotations

import dataclasses
import itertools

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from facegraft.core.errors import BadInputError
from facegraft.data.duplicates import (
    MAX_BITS,
    bit_count,
    fingerprint,
    is_same_picture,
    near_duplicates,
    near_pairs,
)
from facegraft.data.filters import Limits, reason_against
from facegraft.data.grouping import group_people, group_people_of_clips
from facegraft.data.measure import exposure, expression, hull_share, light, measure, sharpness, skin_tone
from facegraft.data.skin_tone import (
    MONK_SWATCHES,
    individual_typology_angle,
    ita_band,
    lab_of_linear,
    monk_lab,
    nearest_monk,
    to_linear,
)
from facegraft.faces.align import template_points
from facegraft.faces.people import cluster
from facegraft.faces.topology import landmarks68, load_topology

POINTS5 = template_points("ffhq", 256)


def landmarks(size: int = 256) -> np.ndarray:
    """Of the mean face, frontal, in the middle of a picture."""
    dense = load_topology().xyz * np.float32(size * 0.27)
    return landmarks68(dense) + np.float32([size / 2, size * 0.5])


def noise(seed: int, side: int = 256) -> np.ndarray:
    """A smooth random picture."""
    grid = np.random.default_rng(seed).uniform(0, 255, (12, 12, 3)).astype(np.float32)
    return np.clip(cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC), 0, 255).astype(np.uint8)


# --- filters ------------------------------------------------------------------------------------------


def test_each_limit_speaks_for_itself_and_good_faces_pass() -> None:
    good = {"face_px": 200, "score": 0.9, "yaw": -70, "pitch": 20, "cut_share": 0.0, "outside_share": 0.1}
    good |= {"occluded_share": 1.0, "sharpness": 0.3, "exposure": 0.5, "clipped_share": 0.0}
    assert reason_against(good, Limits()) is None
    assert reason_against({}, Limits()) is None
    faults = {
        "face_px": (63.9, "face too small"),
        "score": (0.49, "score too low"),
        "yaw": (-75.1, "turned too far"),
        "pitch": (-60.1, "turned too far"),
        "cut_share": (0.16, "cut off by the border"),
        "outside_share": (0.66, "cut off by the border"),
        "sharpness": (0.07, "blurred"),
        "clipped_share": (0.31, "black or burnt out"),
    }
    for name, (value, reason) in faults.items():
        found = reason_against(good | {name: value}, Limits())
        assert found is not None
        assert found[0] == reason
    assert reason_against(good | {"occluded_share": 0.26}, Limits(max_hidden=0.25)) == (
        "hidden",
        "26% of the face, at most 25%",
    )
    assert reason_against(good | {"occluded_share": 0.25}, Limits(max_hidden=0.25)) is None
    assert [reason_against(good | {"exposure": e}, Limits()) for e in (0.09, 0.93)] == [
        ("too dark", "brightness 0.09, at least 0.1"),
        ("too bright", "brightness 0.93, at most 0.92"),
    ]


def test_limits_out_of_range_are_one_line() -> None:
    with pytest.raises(BadInputError, match=r"--min-score: expected 0 to 1, found 2"):
        Limits(min_score=2)
    with pytest.raises(BadInputError, match=r"--min-face: expected 0 to 1e\+06, found nan"):
        Limits(min_face_px=float("nan"))


# --- near-duplicates ----------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2**64 - 1), max_size=12), st.integers(0, 2**20), st.integers(0, 12))
@settings(max_examples=60)
def test_near_pairs_are_those_of_comparing_all(values: list[int], seed: int, max_bits: int) -> None:
    rng = np.random.default_rng(seed)
    for value in list(values):  # neighbours, or none would be near
        flips = rng.choice(64, int(rng.integers(0, 16)), replace=False)
        values.append(value ^ sum(1 << int(bit) for bit in flips))
    hashes = np.array(values, np.uint64)
    found = list(near_pairs(hashes, max_bits))
    every = [
        (one, other)
        for one, other in itertools.combinations(range(len(values)), 2)
        if (values[one] ^ values[other]).bit_count() <= max_bits
    ]
    assert sorted(found) == every


def test_near_pairs_of_many_equal_hashes_cross_blocks() -> None:
    assert len(set(near_pairs(np.zeros(700, np.uint64)))) == 700 * 699 // 2


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=20))
def test_bit_count(values: list[int]) -> None:
    assert bit_count(np.array(values, np.uint64)).tolist() == [value.bit_count() for value in values]


@pytest.mark.parametrize("seed", range(6))
def test_copies_are_the_same_picture_and_others_are_not(seed: int) -> None:
    crop = noise(seed)
    small = cv2.resize(cv2.resize(crop, (110, 110), interpolation=cv2.INTER_AREA), (256, 256))
    grain = np.random.default_rng(seed).normal(0, 6, crop.shape)
    copies = [small, np.clip(crop * 0.8 + 20, 0, 255), np.clip(crop + grain, 0, 255), np.roll(crop, 1, axis=1)]
    mark = fingerprint(crop, POINTS5)
    assert mark.text == f"{mark.bits:016x}"
    assert all(is_same_picture(mark, fingerprint(copy.astype(np.uint8), POINTS5)) for copy in copies)
    assert not is_same_picture(mark, fingerprint(noise(seed + 50), POINTS5))
    assert not is_same_picture(mark, fingerprint(np.ascontiguousarray(crop[:, ::-1]), POINTS5))


def test_a_far_hash_is_another_picture_whatever_its_finer_parts_say() -> None:
    mark = fingerprint(noise(4), POINTS5)
    assert is_same_picture(mark, dataclasses.replace(mark, bits=mark.bits ^ ((1 << MAX_BITS) - 1)))
    assert not is_same_picture(mark, dataclasses.replace(mark, bits=mark.bits ^ ((1 << (MAX_BITS + 1)) - 1)))


def test_only_the_face_is_compared() -> None:
    one, other = noise(1), noise(2)
    other[70:250, 40:216] = one[70:250, 40:216]
    assert is_same_picture(fingerprint(one, POINTS5), fingerprint(other, POINTS5))


def test_a_flat_picture_has_a_fingerprint() -> None:
    assert np.isfinite(fingerprint(np.full((64, 64, 3), 128, np.uint8), template_points("ffhq", 64)).thumbnail).all()


def test_the_better_of_two_copies_stays_and_a_chain_does_not_swallow_its_ends() -> None:
    shift = 0.15
    angles = [0.0, shift, 2 * shift, 1.5]
    thumbnails = [
        np.eye(576, dtype=np.float32)[0] * np.cos(a) + np.eye(576, dtype=np.float32)[1] * np.sin(a) for a in angles
    ]
    thumbnails = [thumbnail.astype(np.float32) for thumbnail in thumbnails]
    same = float(np.cos(1.5 * shift))
    hashes = [0, 0, 0, 0]
    assert near_duplicates(hashes, [1, 3, 1, 9], thumbnails.__getitem__, same) == {0: 1, 2: 1}
    assert near_duplicates(hashes, [3, 1, 2, 9], thumbnails.__getitem__, same) == {1: 0}
    far = [0, (1 << (MAX_BITS + 1)) - 1, 0, 0]
    assert near_duplicates(far, [3, 1, 2, 9], thumbnails.__getitem__, same) == {}


# --- people -------------------------------------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.integers(1, 18), st.floats(0.2, 0.95))
@settings(max_examples=60)
def test_groups_are_those_of_the_slow_way(seed: int, count: int, same_person: float) -> None:
    rng = np.random.default_rng(seed)
    people = rng.normal(size=(4, 8))
    vectors = people[rng.integers(0, 4, count)] + 0.4 * rng.normal(size=(count, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    weights = rng.integers(1, 5, count).astype(np.float64)
    apart = [(int(one), int(other)) for one, other in rng.integers(0, count, (3, 2)) if one != other]
    assert group_people(vectors, weights, apart, same_person) == sorted(cluster(vectors, weights, apart, same_person))


def test_nobody_is_no_group() -> None:
    assert group_people(np.zeros((0, 4), np.float32), np.zeros(0), [], 0.9) == []
    assert group_people_of_clips(np.zeros((0, 4), np.float32), np.zeros(0), [], [], 0.9, 0.8) == []


def test_a_clip_has_a_threshold_of_its_own() -> None:
    angles = np.array([0.0, 0.3, 0.3, 1.0, 1.0])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    weights, loose, strict = np.ones(5), float(np.cos(0.4)), float(np.cos(0.2))
    clips = ["a", "a", "", "a", "b"]
    assert group_people_of_clips(vectors, weights, [], clips, strict, loose) == [[0, 1, 2], [3, 4]]
    assert group_people_of_clips(vectors, weights, [], [""] * 5, strict, loose) == [[0], [1, 2], [3, 4]]
    assert group_people_of_clips(vectors, weights, [(0, 1), (3, 4)], clips, strict, loose) == [[0], [1, 2], [3], [4]]


# --- colours ------------------------------------------------------------------------------------------


def test_lab_of_known_colours() -> None:
    # By the definition: white, mid grey (18.42 % -> L 50), and Lindbloom's values for the sRGB primaries under D65.
    linear = np.array([[1, 1, 1], [0.1841865] * 3, [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float64)
    known = [[100, 0, 0], [50, 0, 0], [53.24, 80.09, 67.20], [87.73, -86.18, 83.18], [32.30, 79.19, -107.86]]
    np.testing.assert_allclose(lab_of_linear(linear), known, atol=0.02)
    assert to_linear(np.array([0.0, 255.0])).tolist() == [0, 1]


def test_each_monk_swatch_is_its_own_tone_and_they_darken() -> None:
    lab = monk_lab()
    assert [nearest_monk(tone) for tone in lab] == list(range(1, 11))
    assert (np.diff(lab[2:, 0]) < 0).all()
    assert len(set(MONK_SWATCHES)) == 10


def test_typology_angle_bands() -> None:
    assert individual_typology_angle(np.array([60.0, 0, 10])) == pytest.approx(45)
    names = ["very light", "light", "intermediate", "tan", "brown", "dark"]
    assert [ita_band(angle) for angle in (60, 50, 30, 20, 0, -50)] == names


# --- measures -----------------------------------------------------------------------------------------


def painted(rgb: tuple[int, int, int]) -> np.ndarray:
    return np.full((256, 256, 3), rgb, np.uint8)


@pytest.mark.parametrize("tone", [1, 5, 6, 10])
def test_skin_of_a_swatch_is_that_tone(tone: int) -> None:
    swatch = MONK_SWATCHES[tone - 1]
    rgb = (int(swatch[1:3], 16), int(swatch[3:5], 16), int(swatch[5:], 16))
    seen = np.ones((256, 256), bool)
    assert skin_tone(painted(rgb), landmarks(), seen)["monk"] == tone
    assert skin_tone(painted(rgb), landmarks(), ~seen) == {}
    half = painted((0, 255, 0))
    half[:, 128:] = rgb  # the covered cheek is not asked
    seen[:, :128] = False
    assert skin_tone(half, landmarks(), seen)["monk"] == tone


def test_light_comes_from_where_it_is_bright() -> None:
    seen = np.ones((256, 256), bool)
    ramp = np.linspace(60, 200, 256)
    right = np.repeat(np.tile(ramp, (256, 1))[..., None], 3, axis=2).astype(np.uint8)
    top = np.ascontiguousarray(right.transpose(1, 0, 2)[::-1])
    flat = painted((120, 120, 120))
    assert light(right, landmarks(), seen)["light_x"] > 0.2
    assert light(np.ascontiguousarray(right[:, ::-1]), landmarks(), seen)["light_x"] < -0.2
    assert light(top, landmarks(), seen)["light_y"] > 0.2
    assert light(flat, landmarks(), seen) == {"light_x": 0, "light_y": 0, "light_hardness": pytest.approx(0, abs=1e-4)}
    edge = painted((60, 60, 60))
    edge[:, 100:] = 200
    assert light(edge, landmarks(), seen)["light_hardness"] > 3 * light(right, landmarks(), seen)["light_hardness"]


def test_sharpness_falls_with_blur_and_not_with_contrast() -> None:
    grain = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    blurred = [cv2.GaussianBlur(grain, (0, 0), sigma) for sigma in (0.6, 1, 2, 4)]
    values = [sharpness(frame, landmarks()) for frame in [grain, *blurred]]
    assert values == sorted(values, reverse=True)
    pale = (grain * 0.5 + 64).astype(np.uint8)
    assert sharpness(pale, landmarks()) == pytest.approx(values[0], rel=0.05)


def test_exposure_counts_black_and_white() -> None:
    assert exposure(painted((255, 255, 255)), landmarks()) == {"exposure": 1, "clipped_share": 1}
    assert exposure(painted((255, 0, 0)), landmarks())["clipped_share"] == 0
    assert exposure(painted((51, 51, 51)), landmarks())["exposure"] == pytest.approx(0.2)


def test_expression_follows_the_points() -> None:
    calm = landmarks()
    neutral = expression(calm)
    open_mouth, shut_eyes, smiling = calm.copy(), calm.copy(), calm.copy()
    open_mouth[65:68, 1] += 30
    shut_eyes[[37, 38, 43, 44]] = shut_eyes[[41, 40, 47, 46]]
    smiling[[48, 54], 1] -= 12
    assert expression(open_mouth)["mouth_open"] > neutral["mouth_open"] + 0.2
    assert expression(shut_eyes)["eyes_open"] < 0.5 * neutral["eyes_open"]
    assert expression(smiling)["smile"] > neutral["smile"] + 0.1
    turned = (calm - 128) @ np.array([[0.8, 0.6], [-0.6, 0.8]], np.float32) * 1.7 + 300
    for name, value in expression(turned.astype(np.float32)).items():
        assert value == pytest.approx(neutral[name], abs=1e-4), "turning and scaling change no expression"


def test_measure_is_plain_and_rounded() -> None:
    found = measure(noise(3), landmarks())
    assert {"sharpness", "exposure", "mouth_open", "smile", "monk", "light_x", "light_hardness"} <= found.keys()
    assert all(isinstance(value, int) or value == round(value, 4) for value in found.values())


def test_hull_share() -> None:
    plane = np.zeros((256, 256), np.float32)
    assert hull_share(plane, landmarks()) == 0
    plane[:, 128:] = 1
    assert hull_share(plane, landmarks()) == pytest.approx(0.5, abs=0.03)
