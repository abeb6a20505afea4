"""A scene that moves: the head turns, the mouth talks, eyes jump and blink, a hand comes and goes.

Everything is a smooth function of time but saccades and blinks, which are as fast as real ones. Each kind of motion
draws its events one after the other from a seed of its own, so that a longer clip begins like a shorter one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from facegraft.core.errors import BadInputError
from facegraft.data.synth.expressions import (
    MILD,
    PRESETS,
    RELAXED_BLINK,
    STRONG,
    Expression,
    combined,
    preset_mix,
    tamed,
)
from facegraft.data.synth.scene import (
    FACE_CENTRE_DM,
    FACE_HEIGHT_DM,
    GAZE_LIMIT,
    LARGEST_PITCH,
    LARGEST_YAW,
    Camera,
    Scene,
    camera_distance,
    sample_scene,
)
from facegraft.data.synth.wear import Prop, sample_props

Times = Float64[np.ndarray, "frames"]

HEAD_DEGREES_PER_SECOND = 110.0
"""No head turns faster; tests hold clips to it. Real talkers rarely pass 100."""
GAZE_DRIFT_DEGREES_PER_SECOND = HEAD_DEGREES_PER_SECOND + 10
"""Between saccades eyes move against the head, to keep looking at a point, and drift a little."""
WEIGHT_PER_SECOND = 14.0
"""The fastest that any morph or pose unit changes, but for lids that blink."""
BLINKS_PER_MINUTE = 15.0
NECK_DM = ((0.0, -1.396, -1.13), (0.0, -1.083, -1.016), (0.0, -0.714, -0.909), (0.0, -0.387, -0.738))
"""Joints that turn the mean head, from the middle of the eyes; they share a turn .2, .2, .2, .4."""
NECK_SHARES = (0.2, 0.2, 0.2, 0.4)
SPINE_DM = (0.0, -3.145, -1.368)
VOWELS = ("talk a", "talk a", "talk e", "talk e", "talk o", "talk oo")
CONSONANTS = ("talk m", "talk f", "parted lips", "parted lips", "parted lips")


@dataclass(frozen=True)
class HeadMotion:
    """Degrees per frame."""

    yaw: Times
    pitch: Times
    roll: Times
    body_yaw: Times


def sample_clip(seed: int, frames: int, fps: float | int = 25.0, stratum: str = "mixed") -> list[Scene]:
    """A scene over time: only pose, expression, gaze, lids, things held before the face and the noise's seed change.

    The camera stands still: as a scene's camera follows the face's centre, `shift_xy` and `scale` undo that, for the
    mean person's neck.

    Args:
        seed: Not negative. The same seed with more frames gives the same beginning.
        frames: How many, at least 1.
        fps: Frames per second.
        stratum: As for `sample_scene`; "large pose" starts there, "occluded" always has a hand or thing come and go.

    Raises:
        BadInputError: No frames, or a frame rate that is not positive.
    """
    if frames < 1 or fps <= 0:
        raise BadInputError(f"a clip of {frames} frames at {fps} a second: expected both above 0; give larger ones")
    base = sample_scene(seed, stratum)
    streams = [np.random.default_rng([seed, 1000 + part]) for part in range(6)]
    times = np.arange(frames) / fps
    head = head_motion(streams[0], times, base)
    gaze, jumps = gaze_motion(streams[1], times, head)
    expressions, closing = expression_motion(streams[2], streams[3], times)
    blink = blink_motion(streams[4], times, jumps)
    props = _prop_motion(streams[5], times, base)
    relaxed = min(max(base.blink), 0.25) if max(base.blink) < 0.3 else RELAXED_BLINK
    lids = 1 - (1 - relaxed) * (1 - blink[:, None]) * (1 - closing)
    return [
        dataclasses.replace(
            base,
            yaw=float(head.yaw[i]),
            pitch=float(head.pitch[i]),
            roll=float(head.roll[i]),
            body_yaw=float(head.body_yaw[i]),
            expression=expressions[i],
            gaze=(float(gaze[i, 0]), float(gaze[i, 1])),
            blink=(float(lids[i, 0]), float(lids[i, 1])),
            camera=_still(base.camera, head, i),
            props=props[i],
            post=dataclasses.replace(base.post, seed=(base.post.seed + i) % 2**31),
        )
        for i in range(frames)
    ]


def head_motion(rng: np.random.Generator, times: Times, base: Scene) -> HeadMotion:
    """Rests and minimum-jerk turns between poses, with a slow sway; the shoulders follow a little."""
    start = np.clip(np.array([base.yaw, base.pitch, base.roll]), [-60, -25, -20], [60, 25, 20])
    drift = [_sway(rng, times, sd) for sd in (2.0, 1.3, 1.0, 1.5)]
    pose = np.tile(start, (len(times), 1))
    now, at = start, float(rng.uniform(0.3, 2.0))
    while at < times[-1]:
        goal = np.clip(rng.normal([0.4 * now[0], 0, 0], [20, 7, 5]), [-60, -25, -20], [60, 25, 20])
        lasts = max(float(rng.uniform(0.5, 1.2)), float(np.abs(goal - now).max()) / 45)
        pose += (goal - now) * _step((times - at) / lasts)[:, None]
        now, at = goal, at + lasts + float(rng.exponential(1.3)) + 0.2
    yaw = np.clip(pose[:, 0] + drift[0], -LARGEST_YAW, LARGEST_YAW)
    pitch = np.clip(pose[:, 1] + drift[1], -LARGEST_PITCH, LARGEST_PITCH)
    return HeadMotion(yaw, pitch, pose[:, 2] + drift[2], base.body_yaw + 0.2 * (pose[:, 0] - start[0]) + drift[3])


def gaze_motion(
    rng: np.random.Generator, times: Times, head: HeadMotion
) -> tuple[Float64[np.ndarray, "frames 2"], list[tuple[float, float]]]:
    """Eyes that fixate points of the world, jump between them and drift; and time and size in degrees of the jumps.

    A saccade of A degrees lasts 21 + 2.2 A ms (Carpenter, Movements of the eyes, 1988).
    """
    turned = np.stack([head.yaw, head.pitch], 1)
    wander = np.stack([_sway(rng, times, 0.25, 0.3, 1.5) for _ in range(2)], 1)
    fixed = _fixation(rng, turned[0])
    world = np.tile(fixed, (len(times), 1))
    jumps: list[tuple[float, float]] = []
    at = float(rng.exponential(0.9)) + 0.25
    while at < times[-1]:
        goal = _fixation(rng, turned[int(np.searchsorted(times, at))])
        size = float(np.hypot(*(goal - fixed)))
        world += (goal - fixed) * _step((times - at) / (0.021 + 0.0022 * size))[:, None]
        jumps.append((at, size))
        fixed, at = goal, at + float(rng.exponential(0.9)) + 0.25
    limit = np.array(GAZE_LIMIT)
    return np.clip(world - turned + wander, -limit, limit), jumps


def blink_motion(rng: np.random.Generator, times: Times, jumps: list[tuple[float, float]]) -> Times:
    """How far blinks close the lids, 0..1: about 15 a minute, .15 to .25 s each, down twice as fast as up.

    Every third saccade above 15 degrees brings one along.
    """
    rest = np.random.default_rng(rng.integers(2**31))  # its own: how many jumps there are must not change it
    starts, at = [], 0.0
    for jump, size in jumps:
        if rng.random() < 0.33 and size > 15:
            starts.append(jump)
    while (at := at + 1.0 + float(rest.exponential(60 / BLINKS_PER_MINUTE))) < times[-1]:
        starts.append(at)
    out = np.zeros(len(times))
    for start in sorted(starts):
        shape = np.random.default_rng([int(start * 1e6), 7])
        lasts, depth = shape.uniform(0.15, 0.25), 1.0 if shape.random() < 0.85 else shape.uniform(0.5, 0.9)
        phase = (times - start) / lasts
        out = np.maximum(out, depth * np.minimum(_step(phase * 3), _step((1 - phase) * 1.5)))
    return out


def expression_motion(
    talk: np.random.Generator, mood: np.random.Generator, times: Times
) -> tuple[list[Expression], Float64[np.ndarray, "frames 2"]]:
    """Talking and moods that come and go; and how far moods close the left and right eye.

    Syllables overlap as in Cohen & Massaro's dominance model of co-articulation: the mouth at one moment is the
    weighted mean of nearby visemes and rest.
    """
    level = float(talk.uniform(0.6, 1.1))
    moods = list(_moods(mood, times))
    sounds = [(name, _bell((times - at) / width)) for at, name, width in _syllables(talk, float(times[-1]))]
    total = 0.25 + sum((weight for _, weight in sounds), np.zeros(len(times)))
    out, closing = [], np.zeros((len(times), 2))
    for i in range(len(times)):
        said: dict[str, float] = {}
        for name, weight in sounds:
            if weight[i] > 1e-4:
                said[name] = said.get(name, 0.0) + level * float(weight[i] / total[i])
        felt = {name: float(weight[i]) for name, weight in moods if weight[i] > 1e-4}
        mouth, _ = preset_mix(said)
        face, lids = preset_mix(felt)
        out.append(tamed(combined(mouth, face, name=face.name if felt else "talking" if said else "neutral")))
        closing[i] = lids
    return out, closing


def _syllables(rng: np.random.Generator, until: float) -> Iterator[tuple[float, str, float]]:
    """Time, viseme and width in seconds: four to six syllables a second, in phrases with pauses between."""
    at = float(rng.uniform(0.0, 1.0))
    while at < until + 0.5:
        end = at + float(rng.uniform(0.8, 3.0))
        while at < end:
            beat = float(rng.uniform(0.16, 0.26))
            yield at, str(rng.choice(CONSONANTS)), 0.10
            yield at + 0.45 * beat, str(rng.choice(VOWELS)), 0.14
            at += beat
        at += float(rng.uniform(0.4, 2.0))


def _moods(rng: np.random.Generator, times: Times) -> Iterator[tuple[str, Times]]:
    """Preset and its weight over time; a third of them strong ones."""
    at = float(rng.uniform(0.0, 1.5))
    while at < times[-1]:
        name = str(rng.choice(sorted(STRONG if rng.random() < 0.35 else MILD)))
        rise, hold, fall = rng.uniform([0.25, 0.3, 0.4], [0.6, 2.0, 1.0])
        peak = float(rng.uniform(0.4, 1.0))
        end = at + rise + hold
        if name in PRESETS and not name.startswith("talk"):
            yield name, peak * (_step((times - at) / rise) - _step((times - end) / fall))
        at = end + float(rng.uniform(0.2, 2.0))


def _prop_motion(rng: np.random.Generator, times: Times, base: Scene) -> list[tuple[Prop, ...]]:
    """What is held before the face comes from below, stays a while, sways, and leaves."""
    held = base.props
    if not held and base.stratum == "mixed" and rng.random() < 0.3:
        held = sample_props(rng, "occluded", base.worn)
    if not held:
        return [()] * len(times)
    path = np.array([float(rng.uniform(-2.0, 2.0)), -6.0, 0.4])
    sway = np.stack([_sway(rng, times, 0.03, 0.2, 1.0) for _ in range(3)], 1)
    present, at = np.zeros(len(times)), float(rng.uniform(0.2, 1.5))
    while at < times[-1]:
        come, stay, leave = rng.uniform([0.5, 0.8, 0.5], [0.9, 2.5, 0.9])
        present += _step((times - at) / come) - _step((times - at - come - stay) / leave)
        at += come + stay + leave + float(rng.uniform(0.5, 3.0))
    offsets = (1 - present)[:, None] * path + sway
    return [
        tuple(dataclasses.replace(prop, anchor=_moved(prop.anchor, offsets[i])) for prop in held)
        if present[i] > 0.01
        else ()
        for i in range(len(times))
    ]


def _moved(anchor: tuple[float, float, float], by: Float64[np.ndarray, "3"]) -> tuple[float, float, float]:
    return anchor[0] + float(by[0]), anchor[1] + float(by[1]), anchor[2] + float(by[2])


def _still(camera: Camera, head: HeadMotion, frame: int) -> Camera:
    """The camera of this frame, so that the picture is that of one which never moved since it framed a frontal face.

    Looser than a still's framing: a head that turns needs room.
    """
    x, y, z = face_centre(*(float(a[frame]) for a in (head.yaw, head.pitch, head.roll, head.body_yaw))) - face_centre()
    angle = np.radians(camera.roll)
    right, down = x * np.cos(angle) + y * np.sin(angle), x * np.sin(angle) - y * np.cos(angle)
    loose = dataclasses.replace(camera, scale=max(0.82 * camera.scale, 0.45))
    distance = camera_distance(loose)
    scale = loose.scale * distance / (distance - z)
    share = scale / FACE_HEIGHT_DM
    shift = camera.shift_xy[0] + float(right * share), camera.shift_xy[1] + float(down * share)
    return dataclasses.replace(camera, scale=float(scale), shift_xy=shift)


def face_centre(
    yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0, body_yaw: float = 0.0
) -> Float64[np.ndarray, "3"]:
    """Where the mean person's face centre is, decimetres from the middle of the eyes at rest; angles as in a scene."""
    body = np.radians([0, body_yaw, 0])
    turn = np.radians([-pitch, yaw - body_yaw, -roll])
    point = np.array(FACE_CENTRE_DM)
    for joint, share in reversed([*zip(NECK_DM, NECK_SHARES, strict=True)]):
        point = Rotation.from_rotvec(share * turn).apply(point - joint) + joint
    return np.asarray(Rotation.from_rotvec(body).apply(point - np.array(SPINE_DM)) + SPINE_DM)


def _fixation(rng: np.random.Generator, turned: Float64[np.ndarray, "2"]) -> Float64[np.ndarray, "2"]:
    """A point to look at, yaw and pitch in the world: the camera, or somewhere ahead of the head."""
    if rng.random() < 0.5:
        return np.asarray(rng.normal(0, 1.0, 2))
    return np.asarray(turned + rng.normal(0, [9, 5]))


def _sway(
    rng: np.random.Generator, times: Times, sd: float, slowest_hz: float = 0.05, fastest_hz: float = 0.7
) -> Times:
    """A sum of five sines of random phase, the slow ones larger; zero at time 0."""
    hertz = np.exp(rng.uniform(np.log(slowest_hz), np.log(fastest_hz), 5))
    phase, size = rng.uniform(0, 2 * np.pi, 5), rng.uniform(0.5, 1.0, 5) / np.sqrt(hertz)
    size *= sd * np.sqrt(2) / np.sqrt((size**2).sum())

    def value(at: Times) -> Times:
        return np.asarray((size * np.sin(2 * np.pi * at[:, None] * hertz + phase)).sum(1))

    return np.asarray(value(times) - value(np.zeros(1)))


def _step(phase: Times) -> Times:
    """Minimum-jerk move from 0 (phase 0 and before) to 1 (phase 1 and after); steepest 1.875 (Flash & Hogan 1985)."""
    x = np.clip(phase, 0, 1)
    return np.asarray(x**3 * (10 - 15 * x + 6 * x**2))


def _bell(phase: Times) -> Times:
    """1 at 0, smoothly 0 from -1 and 1 on."""
    return np.where(np.abs(phase) < 1, 0.5 + 0.5 * np.cos(np.pi * np.clip(phase, -1, 1)), 0.0)
