"""Clips: closed forms of every measure, and known spoilings that move their own metric, more for more."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest
from jaxtyping import Float32, UInt8

from facegraft.core.errors import NoFaceError
from facegraft.core.types import Frame
from facegraft.data.clip_frames import clip_frames
from facegraft.evaluate.clips import ClipCase
from facegraft.evaluate.look import Eyes
from facegraft.evaluate.protocol import Scores
from facegraft.evaluate.temporal import ALL_METRICS, CLIP_METRICS, JUDGE, ClipSeen, score_clips
from facegraft.evaluate.temporal_pixels import (
    EYE_PX,
    VIEW_WH,
    acceleration,
    changed_region,
    crawls,
    flickers,
    occluded,
    stabiliser,
    step_between,
    warping_errors,
)
from facegraft.evaluate.temporal_still import STILLS, still_clip, still_flickers
from facegraft.faces.topology import load_topology
from tests.evaluate.cases_for_tests import EXAMPLES, flat, noise, own_eyes

WORST = {metric.name: metric.worst for metric in CLIP_METRICS}
FRAMES = 8


class Tints:
    """A judge without a network: the hues of nine parts of a crop."""

    size_px = 24

    def embed(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d"]:
        parts = crops.reshape(len(crops), 3, 8, 3, 8, 3).astype(np.float32).mean((2, 4))
        rows = (parts / parts.mean(3, keepdims=True) - 0.9).reshape(len(crops), -1)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@functools.cache
def eyes() -> Eyes:
    return dataclasses.replace(own_eyes(), judges={JUDGE: Tints()})


@functools.cache
def clip() -> ClipCase:
    """Eight frames of the example person, who is not real; the true swap, which nobody rendered, is greener inside."""
    shown = []
    for seen in clip_frames(EXAMPLES / "clip.mp4", start_s=1.0, end_s=1.4):
        shown.append(np.asarray(cv2.resize(seen.frame[:, 280:1000], (144, 144), interpolation=cv2.INTER_AREA)))
    frames = tuple(shown[:FRAMES])
    hulls = [own_eyes().look(frame).hull for frame in frames]
    truths = tuple(tinted(frame, hull) for frame, hull in zip(frames, hulls, strict=True))
    return ClipCase("clip", truths[0], frames, "one", "other", "ordinary", truths, {"sex": "men"})


def tinted(frame: Frame, inside: np.ndarray) -> Frame:
    """Somebody else, whose face moves and is lit as this one."""
    other = np.clip(frame * np.array([0.7, 1.0, 0.8]), 0, 255)
    return np.where(inside[..., None] > 0, other, frame).astype(np.uint8)


def changed(change: Callable[[int, Frame], Frame | None]) -> Callable[[ClipCase], list[Frame | None]]:
    """The true swap, spoilt: frame number and frame -> frame."""
    return lambda asked: [change(number, frame) for number, frame in enumerate(asked.truths or asked.frames)]


def moved(frame: Frame, x: float, y: float) -> Frame:
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    return np.asarray(cv2.warpAffine(frame, matrix, frame.shape[1::-1], borderMode=cv2.BORDER_REPLICATE), np.uint8)


def trembling(pixels: int) -> Callable[[ClipCase], list[Frame | None]]:
    ways = ((1, 0), (-1, 0), (0, 1), (0, -1))
    return changed(lambda number, frame: moved(frame, *(pixels * way for way in ways[number % 4])))


def blinking(levels: int) -> Callable[[ClipCase], list[Frame | None]]:
    sign = (1, -1)
    return changed(
        lambda number, frame: np.clip(frame.astype(int) + levels * sign[number % 2], 0, 255).astype(np.uint8)
    )


def two_people(frames: int) -> Callable[[ClipCase], list[Frame | None]]:
    """Every fourth frame or more of them show the person who was to be replaced."""
    return lambda asked: [
        own if number % FRAMES < frames else truth
        for number, (own, truth) in enumerate(zip(asked.frames, asked.truths or asked.frames, strict=True))
    ]


def loose_edge(pixels: int) -> Callable[[ClipCase], list[Frame | None]]:
    """The right colours within a mask that is put on askew, every time to another side."""

    def answer(asked: ClipCase) -> list[Frame | None]:
        made: list[Frame | None] = []
        for number, frame in enumerate(asked.frames):
            hull = own_eyes().look(frame).hull
            made.append(tinted(frame, moved(hull, pixels if number % 2 else -pixels, 0)))
        return made

    return answer


@functools.cache
def scored() -> dict[str, Scores]:
    methods = {
        "truth": changed(lambda _, frame: frame),
        "copy": lambda asked: list(asked.frames),
        **{f"trembling {px}": trembling(px) for px in (1, 2, 4)},
        **{f"blinking {levels}": blinking(levels) for levels in (2, 4, 8)},
        **{f"two people {frames}": two_people(frames) for frames in (1, 2, 4)},
        **{f"edge {px}": loose_edge(px) for px in (1, 2, 4)},
        "two lost": changed(lambda number, frame: None if number < 2 else frame),
    }
    return score_clips(methods, [clip()], eyes())


def value(method: str, metric: str) -> float:
    return float(scored()[method].values[metric][0])


# --- spoilings ----------------------------------------------------------------------------------------


def test_a_copy_adds_nothing() -> None:
    for name in set(WORST) - {"tl_id", "tg_id", "flicker_truth"}:
        assert value("copy", name) == pytest.approx(0, abs=1e-6), name
    assert value("copy", "tl_id") == pytest.approx(1)
    assert value("copy", "tg_id") == pytest.approx(1)
    assert value("copy", "flicker_truth") > 0.3


def test_the_true_swap_is_steady() -> None:
    assert value("truth", "flicker_truth") == 0
    assert value("truth", "flicker") < 2
    assert abs(value("truth", "warping_error")) < 0.2
    assert abs(value("truth", "identity_jitter")) < 0.01
    assert abs(value("truth", "landmark_jitter")) < 1.5
    assert value("truth", "boundary_crawl") < 2.5
    assert value("truth", "static_photo") < 1
    assert value("truth", "lost_frames") == 0


@pytest.mark.parametrize(
    ("what", "amounts", "metric"),
    [
        ("trembling", (1, 2, 4), "landmark_jitter"),
        ("trembling", (1, 2, 4), "warping_error"),
        ("trembling", (1, 2, 4), "static_photo"),
        ("blinking", (2, 4, 8), "flicker"),
        ("blinking", (2, 4, 8), "flicker_truth"),
        ("blinking", (2, 4, 8), "static_photo"),
        ("two people", (1, 2, 4), "identity_jitter"),
        ("edge", (1, 2, 4), "boundary_crawl"),
    ],
)
def test_more_of_a_spoiling_moves_its_metric_more(what: str, amounts: tuple[int, ...], metric: str) -> None:
    series = [value("truth", metric), *(value(f"{what} {amount}", metric) for amount in amounts)]
    assert all(low < high for low, high in pairwise(series)), series
    assert series[-1] > series[0] + 0.5 * (series[-2] - series[0])


def test_two_people_in_turn_are_less_alike_than_one() -> None:
    assert value("two people 1", "tl_id") < value("truth", "tl_id") - 1e-3
    assert value("two people 4", "tg_id") < value("two people 1", "tg_id") < value("truth", "tg_id")


def test_blinking_by_two_levels_up_and_down_flickers_by_four() -> None:
    assert value("blinking 2", "flicker_truth") == pytest.approx(4, abs=0.1)


def test_lost_frames_count_as_the_worst_by_their_share() -> None:
    assert value("two lost", "lost_frames") == pytest.approx(100 * 2 / FRAMES)
    steps, triples = FRAMES - 1, FRAMES - 2
    assert value("two lost", "flicker_truth") == pytest.approx(2 / steps * WORST["flicker_truth"])
    assert value("two lost", "landmark_jitter") == pytest.approx(2 / triples * 100, abs=1.5)
    assert value("two lost", "tl_id") == pytest.approx(1 - 2 / FRAMES, abs=0.02)
    assert value("two lost", "identity_jitter") == pytest.approx(2 / FRAMES, abs=0.02)


# --- scoring ------------------------------------------------------------------------------------------


def test_scores_have_a_row_per_clip_and_every_metric() -> None:
    found = scored()["copy"]
    assert (found.keys, found.people, found.identities, found.strata) == (
        ("clip",),
        ("other",),
        ("one",),
        ("ordinary",),
    )
    assert found.groups == {"sex": ("men",)}
    assert set(found.values) == {metric.name for metric in ALL_METRICS}
    assert found.milliseconds.shape == found.failed.shape == (1,)
    assert not found.failed[0]


def test_answers_that_cannot_be_used_are_lost() -> None:
    def fails(_: ClipCase) -> list[Frame | None]:
        raise NoFaceError("no face")

    short = dataclasses.replace(clip(), frames=clip().frames[:3], truths=None)
    methods = {
        "fails": fails,
        "too few": lambda asked: list(asked.frames[:-1]),
        "small": changed(lambda _, frame: frame[:-1]),
        "no face": changed(lambda _, frame: np.full_like(frame, 90)),
    }
    found = score_clips(methods, [short], eyes())
    for name in methods:
        assert found[name].failed[0], name
        for metric in ("lost_frames", "landmark_jitter", "identity_jitter", "tl_id", "tg_id"):
            assert found[name].values[metric][0] == WORST[metric], (name, metric)
        assert np.isnan(found[name].values["flicker_truth"][0])
    for name in ("fails", "too few", "small"):
        for metric in ("flicker", "warping_error", "boundary_crawl", "static_photo"):
            assert found[name].values[metric][0] == WORST[metric], (name, metric)


def test_a_clip_that_shows_nobody_asks_nothing() -> None:
    empty = ClipCase("wall", clip().identity, (flat(90), flat(91), flat(90)), "one", "other")
    found = score_clips({"copy": lambda asked: list(asked.frames)}, [empty], eyes())["copy"]
    assert all(np.isnan(column[0]) for column in found.values.values())


def test_without_a_judge_identity_is_not_measured() -> None:
    short = dataclasses.replace(clip(), frames=clip().frames[:3], truths=None)
    found = score_clips({"copy": lambda asked: list(asked.frames)}, [short], own_eyes())["copy"].values
    assert np.isnan([found[name][0] for name in ("identity_jitter", "tl_id", "tg_id")]).all()
    assert found["flicker"][0] == 0


def test_pixels_are_measured_around_the_faces_only() -> None:
    seen = ClipSeen(clip(), eyes())
    rows, columns = seen.window
    for look, inside in zip(seen.frames, seen.faces, strict=True):
        assert look.hull.sum() == inside.sum() > 500
        assert not look.hull[: rows.start].any()
        assert not look.hull[:, columns.stop :].any()


# --- closed forms -------------------------------------------------------------------------------------


def smooth_noise(size: int = 96) -> Frame:
    fine = np.random.default_rng(3).integers(0, 256, (size, size, 3)).astype(np.float32)
    blurred = cv2.GaussianBlur(fine, (0, 0), 2.5)
    return np.asarray(np.clip(128 + 3 * (blurred - blurred.mean()), 0, 255), np.uint8)


def middle(size: int = 96) -> np.ndarray:
    inside = np.zeros((size, size), bool)
    inside[24:-24, 24:-24] = True
    return inside


def test_a_picture_that_moves_has_no_warping_error_and_one_that_darkens_has_its_square() -> None:
    first = smooth_noise()
    second = moved(first, 3, -2)
    step = step_between(first, second, middle())
    assert step.counted.mean() > 0.15
    np.testing.assert_allclose(
        np.median((step.at - step_between(first, first, middle()).at)[middle()], 0), [3, -2], atol=0.1
    )
    still = warping_errors([first, second], [step])[0]
    assert still is not None
    assert still < 0.1
    darker = np.clip(second.astype(int) - 20, 0, 255).astype(np.uint8)
    spoilt = warping_errors([first, darker], [step])[0]
    assert spoilt == pytest.approx(1000 * (20 / 255) ** 2, rel=0.1)


def test_what_comes_back_elsewhere_is_hidden_and_edges_of_motion_do_not_count() -> None:
    forward = np.zeros((20, 20, 2), np.float32)
    forward[..., 0] = 3
    assert not occluded(forward, -forward).any()
    assert occluded(forward, np.zeros_like(forward)).all()
    assert not occluded(0.2 * forward, np.zeros_like(forward)).any(), "half a pixel is no error"
    forward[:, 10:] = 0
    hidden = occluded(forward, -forward)
    assert hidden[:, 9].all()
    assert hidden.sum() == 20


def test_missing_answers_stay_missing() -> None:
    frame, inside = noise(0), np.ones((40, 50), bool)
    assert flickers([frame, None, frame, frame], [frame] * 4, [inside] * 4) == [None, None, 0.0]
    assert warping_errors([frame, None], [None]) == [None]
    assert np.isnan(warping_errors([frame, frame], [None])[0])
    assert crawls([None, np.ones((8, 8), np.float32)]) == [None]


def test_flicker_is_what_the_other_clip_does_not_do() -> None:
    inside = np.zeros((40, 50), bool)
    inside[10:20, 10:20] = True
    swapped = [flat(100), flat(130), flat(90)]
    own = [flat(50), flat(60), flat(70)]
    assert flickers(swapped, own, [inside] * 3) == [20.0, 50.0]
    outside = [frame.copy() for frame in own]
    outside[1][0, 0] = 255
    assert flickers(outside, own, [inside] * 3) == [0.0, 0.0]


def disc(radius: float) -> np.ndarray:
    y, x = np.indices((VIEW_WH[1], VIEW_WH[0]))
    away = np.hypot(x - VIEW_WH[0] / 2, y - VIEW_WH[1] / 2)
    return np.clip(radius - away + 0.5, 0, 1).astype(np.float32)


def test_an_edge_that_grows_by_two_pixels_crawls_by_two() -> None:
    found = crawls([disc(60), disc(62), disc(62)])
    assert found[0] == pytest.approx(100 * 2 / EYE_PX, rel=0.12)
    assert found[1] == 0
    nothing = np.zeros((VIEW_WH[1], VIEW_WH[0]), np.float32)
    assert crawls([nothing, nothing]) == [0.0]


def test_the_stable_view_holds_a_turned_and_shrunken_face_still() -> None:
    topology = load_topology()
    places = topology.xyz.copy()
    turn = np.array([[0.8, -0.3], [0.4, 0.7]], np.float32)
    seen = places.copy()
    seen[:, :2] = places[:, :2] @ turn.T * 37 + [200, 90]
    matrix = stabiliser(topology, seen)
    view = seen[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    np.testing.assert_allclose(view, places[:, :2] * EYE_PX + [VIEW_WH[0] / 2, VIEW_WH[1] * 0.4], atol=0.02)


def test_the_changed_region_has_no_holes_and_forgives_rounding() -> None:
    frame = flat(100, (VIEW_WH[1], VIEW_WH[0]))
    other = frame.copy()
    other[60:120, 50:110] = 140
    other[80:95, 70:85] = 100
    other[200:, :] += 3
    region = changed_region(other, frame, np.eye(2, 3, dtype=np.float32))
    assert region[60:120, 50:110].min() == 1
    assert region[:56].max() == region[130:].max() == 0


def test_even_motion_does_not_tremble() -> None:
    points = np.random.default_rng(0).uniform(0, 50, (468, 2))
    assert acceleration(np.stack([points, points + 3, points + 6])) == pytest.approx(0, abs=1e-9)
    assert acceleration(np.stack([points, points + np.array([3, 4]), points])) == pytest.approx(10)


# --- a photo that stands still ------------------------------------------------------------------------


def test_only_what_a_method_adds_to_a_still_photo_counts() -> None:
    frame = smooth_noise()
    still = still_clip(ClipCase("still", frame, (frame,) * 3, "", ""), seed=1)
    assert len(still.clip) == STILLS
    assert len(set(still.corners)) > 2
    assert still.clip.frames[0].shape == (94, 94, 3)
    own = still.clip.frames
    assert still_flickers(own, still, middle()) == [0.0] * (STILLS - 1)
    assert still_flickers([255 - one for one in own], still, middle()) == [0.0] * (STILLS - 1)
    smoothed = [cv2.GaussianBlur(one, (0, 0), 2) for one in own]
    assert np.mean(still_flickers(smoothed, still, middle())) < 0
    blinking = [np.clip(one.astype(int) + 20 * (at % 2), 0, 255).astype(np.uint8) for at, one in enumerate(own)]
    assert np.mean(still_flickers(blinking, still, middle())) > 14
    assert still_flickers([None, *own[1:]], still, middle())[0] is None
    stuck = [own[0]] * STILLS
    assert np.mean(still_flickers(stuck, still, middle())) > 3, "what does not move with the photo trembles on it"


def test_a_still_photo_has_a_still_truth() -> None:
    still = still_clip(clip(), number=2)
    assert still.clip.truths is not None
    for truth, (row, column) in zip(still.clip.truths, still.corners, strict=True):
        np.testing.assert_array_equal(truth, clip().truths[2][row : row + 142, column : column + 142])
