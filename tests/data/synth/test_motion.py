"""Clips: smooth but for saccades and blinks, as lively as people, and the same however long."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.data.synth.motion import (
    BLINKS_PER_MINUTE,
    GAZE_DRIFT_DEGREES_PER_SECOND,
    HEAD_DEGREES_PER_SECOND,
    WEIGHT_PER_SECOND,
    blink_motion,
    face_centre,
    gaze_motion,
    head_motion,
    sample_clip,
)
from facegraft.data.synth.scene import FACE_CENTRE_DM, Scene, sample_scene

FPS = 25


@pytest.fixture(scope="module")
def clips() -> list[list[Scene]]:
    return [sample_clip(seed, 250, FPS) for seed in range(12)]


def test_only_what_moves_changes(clips: list[list[Scene]]) -> None:
    for clip in clips:
        for scene in clip:
            for name in ("seed", "stratum", "light", "background", "hair", "worn", "cloth", "hand_skin"):
                assert getattr(scene, name) == getattr(clip[0], name)
            assert dataclasses.replace(scene.post, seed=0) == dataclasses.replace(clip[0].post, seed=0)
            assert (scene.camera.fov_degrees, scene.camera.roll) == (clip[0].camera.fov_degrees, clip[0].camera.roll)
        assert len({scene.post.seed for scene in clip}) == len(clip)


def test_the_head_never_jumps_and_does_move(clips: list[list[Scene]]) -> None:
    widest = 0.0
    for clip in clips:
        for name in ("yaw", "pitch", "roll", "body_yaw"):
            angle = np.array([getattr(scene, name) for scene in clip])
            assert np.abs(np.diff(angle)).max() <= HEAD_DEGREES_PER_SECOND / FPS
            assert np.abs(np.diff(angle, 2)).max() <= 2.0  # no jolt either: degrees per frame per frame
        yaw = np.array([scene.yaw for scene in clip])
        widest = max(widest, float(np.ptp(yaw)))
        assert np.ptp(yaw) > 3
        assert np.abs(yaw).max() <= 75
    assert widest > 30


def test_morphs_and_bones_move_no_faster_than_stated(clips: list[list[Scene]]) -> None:
    for clip in clips:
        weights = [{**scene.expression.morphs, **scene.expression.units} for scene in clip]
        for name in set().union(*weights):
            track = np.array([w.get(name, 0.0) for w in weights])
            assert np.abs(np.diff(track)).max() <= WEIGHT_PER_SECOND / FPS, name
            assert track.min() >= 0
            assert track.max() <= 1


def test_people_talk(clips: list[list[Scene]]) -> None:
    """The jaw's spectrum peaks at the rate of syllables, 2 to 8 Hz, not above."""
    jaw = np.array([[s.expression.units.get("JawDrop", 0.0) for s in clip] for clip in clips])
    power = (np.abs(np.fft.rfft(jaw - jaw.mean(1, keepdims=True), axis=1)) ** 2).mean(0)
    hertz = np.fft.rfftfreq(jaw.shape[1], 1 / FPS)
    assert power[hertz < 9].sum() > 0.97 * power.sum()
    assert power[(hertz > 2) & (hertz < 8)].sum() > 0.2 * power.sum()


def test_blinks_are_as_often_as_stated_fast_down_slow_up() -> None:
    times = np.arange(100 * 600) / 100
    blink = blink_motion(np.random.default_rng(0), times, [])
    shut = (blink[1:] > 0.45) & (blink[:-1] <= 0.45)
    assert shut.sum() / 10 == pytest.approx(BLINKS_PER_MINUTE, rel=0.2)
    assert blink.min() == 0
    assert blink.max() == pytest.approx(1, abs=1e-3)
    start = int(np.argmax(blink > 0))
    end = start + int(np.argmax(blink[start:] == 0))
    top = start + int(np.argmax(blink[start:end]))
    assert 0.14 <= (end - start + 1) / 100 <= 0.26
    assert (end - top) > 1.4 * (top - start)


def test_eyes_hold_still_in_the_world_between_saccades() -> None:
    times = np.arange(2000) / 100
    head = head_motion(np.random.default_rng(1), times, sample_scene(5))
    gaze, jumps = gaze_motion(np.random.default_rng(2), times, head)
    quiet = np.ones(len(times) - 1, bool)
    for at, size in jumps:
        quiet &= (times[1:] < at) | (times[:-1] > at + 0.021 + 0.0022 * size)
    speed = np.abs(np.diff(gaze, axis=0)).max(1) * 100
    assert quiet.mean() > 0.85
    assert len(jumps) > 10
    assert speed[quiet].max() <= GAZE_DRIFT_DEGREES_PER_SECOND
    assert speed[~quiet].max() > GAZE_DRIFT_DEGREES_PER_SECOND  # saccades are what is fast
    free = quiet & (np.abs(gaze[1:, 0]) < 24)
    world = np.diff(gaze[:, 0] + head.yaw) * 100
    assert np.abs(world[free]).max() < 6  # a drift of a few degrees a second, while the head turns at tens
    assert np.abs(gaze).max(0) == pytest.approx([25, 20], abs=20)


def test_a_longer_clip_begins_like_a_shorter_one() -> None:
    for seed in range(4):
        assert sample_clip(seed, 60, FPS) == sample_clip(seed, 140, FPS)[:60]


def test_twice_the_frame_rate_is_the_same_motion() -> None:
    slow, fast = sample_clip(3, 50, 25), sample_clip(3, 100, 50)
    for a, b in zip(slow, fast[::2], strict=True):
        assert (a.yaw, a.pitch, a.roll) == pytest.approx((b.yaw, b.pitch, b.roll))
        assert a.expression.units == pytest.approx(b.expression.units)
        assert a.gaze == pytest.approx(b.gaze, abs=1.0)  # where a look goes depends on the frame before it


def test_a_held_thing_enters_and_leaves_smoothly() -> None:
    clip = next(c for c in (sample_clip(seed, 300, FPS, "occluded") for seed in range(20)) if any(s.props for s in c))
    present = np.array([bool(scene.props) for scene in clip])
    assert 0.1 < present.mean() < 1
    assert np.abs(np.diff(present.astype(int))).sum() >= 2
    height = np.array([scene.props[0].anchor[1] if scene.props else np.nan for scene in clip])
    steps = np.abs(np.diff(height))
    assert np.nanmax(steps) < 1.0  # eye distances per frame
    edges = np.flatnonzero(np.diff(present.astype(int)) > 0) + 1
    rest = np.nanmax(height)
    assert all(height[i] < rest - 5 for i in edges)  # it appears far below, out of the picture


def test_the_face_centre_turns_about_the_neck() -> None:
    assert face_centre() == pytest.approx(FACE_CENTRE_DM)
    left, right = face_centre(yaw=40.0), face_centre(yaw=-40.0)
    assert right[0] > 0.4 > -0.4 > -right[0] or left[0] > 0.4
    assert left == pytest.approx(right * [-1, 1, 1])
    assert face_centre(pitch=20.0)[1] > face_centre()[1] > face_centre(pitch=-20.0)[1]
    whole = face_centre(yaw=30.0, body_yaw=30.0)  # head and shoulders as one: a circle about the spine
    assert np.hypot(whole[0], whole[2] + 1.368) == pytest.approx(FACE_CENTRE_DM[2] + 1.368)


def test_the_camera_undoes_its_following(clips: list[list[Scene]]) -> None:
    """A head that turns to the frame's right goes there in the picture: the shift follows the yaw."""
    for clip in clips:
        yaw = np.array([s.yaw for s in clip])
        shift = np.array([s.camera.shift_xy for s in clip])
        assert np.abs(np.diff(shift, axis=0)).max() < 0.035
        assert np.abs(shift).max() < 0.4
        if np.ptp(yaw) > 30:
            assert np.corrcoef(yaw, shift[:, 0])[0, 1] > 0.6


@pytest.mark.parametrize(("frames", "fps"), [(0, 25), (5, 0), (5, -1.0)])
def test_no_frames_or_no_time_are_refused(frames: int, fps: float | int) -> None:
    with pytest.raises(BadInputError, match="above 0"):
        sample_clip(0, frames, fps)
