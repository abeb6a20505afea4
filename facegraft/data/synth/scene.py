"""Everything of a picture but the person: pose, expression, camera, light, background, hair, things, camera faults.

Nothing here depends on who is shown, so that two people can be rendered in one scene. Left and right are the person's
own; angles in degrees, signs as in `core/types.py`: yaw > 0 looks to the frame's right, pitch > 0 up, roll > 0
clockwise. Each part draws from a seed of its own: a new choice in one part leaves the others as they were.
"""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from dataclasses import dataclass
from typing import Any

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.data.synth.expressions import Expression, sample_expression
from facegraft.data.synth.lamps import EVEN, Light, sample_light
from facegraft.data.synth.wear import (
    Cloth,
    Hair,
    Prop,
    Worn,
    sample_cloth,
    sample_hair,
    sample_props,
    sample_worn,
)

STRATA = ("mixed", "ordinary", "large pose", "extreme expression", "occluded", "hard light")
FACE_HEIGHT_DM = 1.84
"""Chin to hairline of the mean face, decimetres; its chin lies 1.06 below the middle of the eyes."""
FACE_CENTRE_DM = (0.0, -0.16, 0.10)
"""Half way from chin to hairline of the mean face, from the middle of the eyeballs' centres, in the head's frame."""
FRINGES, FRINGE_LIMIT = ("bob01", "bob02", "short03"), 40.0
"""Hair that hangs over one eye, and the yaw beyond which it would hide the whole face."""
LARGEST_YAW, LARGEST_PITCH = 75.0, 30.0
GAZE_SPREAD, GAZE_LIMIT = (9.0, 6.0), (25.0, 20.0)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera that looks at the face's centre (FACE_CENTRE_DM, turned with the head).

    Attributes:
        fov_degrees: Vertical angle of view.
        scale: Share of the picture's height that FACE_HEIGHT_DM fills at the face's centre, upright.
        shift_xy: Where the face's centre lies, from the picture's middle, in shares of its height; x right, y down.
        roll: The camera's, degrees; > 0 turns the picture's content clockwise.
    """

    fov_degrees: float
    scale: float
    shift_xy: tuple[float, float]
    roll: float


@dataclass(frozen=True)
class Background:
    """Which picture of a bank lies behind the person, and how.

    Attributes:
        choice: 0..1, chooses the bank's picture.
        centre_xy: Middle of the crop, 0..1 of what the crop's size leaves free.
        size: Side of the square crop as a share of the picture's shorter side.
        mirrored: Left and right exchanged.
        blur_px: Standard deviation at 256 px.
        tint: Multiplies the colour.
        brightness: Multiplies the light that the environment gives it.
    """

    choice: float
    centre_xy: tuple[float, float]
    size: float
    mirrored: bool
    blur_px: float
    tint: tuple[float, float, float]
    brightness: float


@dataclass(frozen=True)
class Post:
    """What camera and file do to the picture. Lengths are at 256 px and grow with the picture.

    Attributes:
        exposure: Factor on linear light.
        white_balance: Factors on linear red, green, blue; green is 1.
        contrast: Strength of the tone curve, 1 = usual.
        saturation: 1 = unchanged.
        noise: Standard deviation at middle grey, 1 = white.
        blur_px: Standard deviation of the lens blur.
        motion_px: Length of the motion blur.
        motion_degrees: Its direction, 0 = along the rows.
        jpeg: Quality, 100 = not compressed.
        vignette: Share of light lost in the corners.
        glow: Share of light that strays around bright places.
        seed: Of the noise.
    """

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    noise: float = 0.0
    blur_px: float = 0.0
    motion_px: float = 0.0
    motion_degrees: float = 0.0
    jpeg: float = 100.0
    vignette: float = 0.0
    glow: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class Scene:
    """One moment.

    Attributes:
        seed: That sampled it.
        stratum: One of STRATA.
        yaw: Of the head against the frame, whatever the shoulders do; so are pitch and roll.
        pitch: See yaw.
        roll: See yaw.
        body_yaw: Of the shoulders.
        expression: Weights of morphs and pose units.
        gaze: Yaw and pitch of the eyes in the head.
        blink: Left, right: 0 open .. 1 closed, before the lids follow the gaze (`lid_closure`).
        camera: And its framing.
        light: See lamps.py.
        background: Which picture, and how.
        hair: See wear.py; so are worn, props and cloth.
        worn: Glasses, hat, mask, scarf.
        props: Things before the face.
        cloth: On the shoulders.
        hand_skin: Linear colour of hands that cover the face.
        post: What camera and file do.
    """

    seed: int
    stratum: str
    yaw: float
    pitch: float
    roll: float
    body_yaw: float
    expression: Expression
    gaze: tuple[float, float]
    blink: tuple[float, float]
    camera: Camera
    light: Light
    background: Background
    hair: Hair
    worn: tuple[Worn, ...]
    props: tuple[Prop, ...]
    cloth: Cloth
    hand_skin: tuple[float, float, float]
    post: Post


def evenly_lit(scene: Scene) -> Scene:
    """The same moment in even, white light (`lamps.EVEN`), by a camera without noise, compression or a tint."""
    post = dataclasses.replace(scene.post, exposure=1.0, white_balance=(1.0, 1.0, 1.0), noise=0.0, jpeg=100.0)
    return dataclasses.replace(scene, light=EVEN, post=post)


def sample_scene(seed: int, stratum: str = "mixed") -> Scene:
    """A random scene; the same for the same arguments.

    Args:
        seed: Not negative.
        stratum: One of STRATA. "ordinary": |yaw| < 30, mild expression, nothing before the face, soft light; "large
            pose": |yaw| 40 to 75; "mixed": every part drawn on its own, yaw wide with its mass in front.

    Raises:
        BadInputError: No such stratum.
    """
    if stratum not in STRATA:
        raise BadInputError(f"stratum {stratum!r}: expected one of {', '.join(STRATA)}; choose one of them")
    streams = iter(np.random.default_rng([seed, part]) for part in range(12))
    yaw, pitch, roll, body_yaw = _sample_pose(next(streams), stratum)
    expression, blink = sample_expression(next(streams), stratum)
    gaze = sample_gaze(next(streams), yaw, pitch)
    camera = _sample_camera(next(streams), stratum)
    light = sample_light(next(streams), stratum)
    background = _sample_background(next(streams))
    hair = sample_hair(next(streams))
    if abs(yaw) > FRINGE_LIMIT and hair.style in FRINGES:
        hair = dataclasses.replace(hair, style="brushed-round")
    worn = sample_worn(next(streams), stratum)
    props = sample_props(next(streams), stratum, worn)
    if props:  # fingers would reach through them
        worn = tuple(thing for thing in worn if thing.kind != "glasses")
    return Scene(
        seed=seed,
        stratum=stratum,
        yaw=yaw,
        pitch=pitch,
        roll=roll,
        body_yaw=body_yaw,
        expression=expression,
        gaze=gaze,
        blink=blink,
        camera=camera,
        light=light,
        background=background,
        hair=hair,
        worn=worn,
        props=props,
        cloth=sample_cloth(next(streams)),
        hand_skin=_sample_hand_skin(next(streams)),
        post=_sample_post(next(streams), seed, stratum),
    )


def lid_closure(blink: tuple[float, float], gaze: tuple[float, float]) -> tuple[float, float]:
    """How far the left and right lids are closed once they follow the gaze: +.30 per 20 degrees down, -.15 up."""
    down = -gaze[1] / 20
    follow = 0.30 * max(down, 0.0) - 0.15 * max(-down, 0.0)
    left, right = (min(max(lid + follow * (1 - lid), 0.0), 1.0) for lid in blink)
    return left, right


def camera_distance(camera: Camera) -> float:
    """From the camera to the face's centre, decimetres."""
    return FACE_HEIGHT_DM / (2 * camera.scale * math.tan(math.radians(camera.fov_degrees) / 2))


def to_json(scene: Scene) -> str:
    """The scene as one line of JSON, every number exact."""
    return json.dumps(dataclasses.asdict(scene))


def from_json(text: str) -> Scene:
    """The scene that `to_json` wrote.

    Raises:
        BadInputError: Not such a text.
    """
    try:
        scene: Scene = _restored(Scene, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInputError(
            f"a scene's JSON: expected every field of a scene, found {error}; sample it anew"
        ) from error
    return scene


def _restored(kind: Any, value: Any) -> Any:
    """`value`, as JSON has it, in the type that a dataclass field asks for."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = typing.get_type_hints(kind)
        if unknown := set(value) - set(hints):
            raise ValueError(f"the unknown fields {sorted(unknown)}")
        return kind(**{name: _restored(hints[name], value[name]) for name in hints})
    if typing.get_origin(kind) is tuple:
        parts = typing.get_args(kind)
        kinds = [parts[0]] * len(value) if parts[-1] is Ellipsis else parts
        return tuple(_restored(one, item) for one, item in zip(kinds, value, strict=True))
    if typing.get_origin(kind) is dict:
        return {str(key): _restored(typing.get_args(kind)[1], item) for key, item in value.items()}
    if isinstance(kind, types.UnionType) or not isinstance(kind, type):
        return value
    if not isinstance(value, (int, float) if kind is float else kind):
        raise TypeError(f"{value!r} where {kind.__name__} belongs")
    return kind(value)


def sample_gaze(rng: np.random.Generator, yaw: float, pitch: float) -> tuple[float, float]:
    """Yaw and pitch of the eyes in the head; four of ten people look at the camera, as far as eyes turn."""
    spread = np.array(GAZE_SPREAD)
    mean = np.zeros(2)
    if rng.random() < 0.4:
        spread, mean = spread / 5, -np.array([yaw, pitch])
    limit = np.array(GAZE_LIMIT)
    x, y = np.clip(rng.normal(mean, spread), -limit, limit)
    return float(x), float(y)


def _sample_pose(rng: np.random.Generator, stratum: str) -> tuple[float, float, float, float]:
    sign = 1.0 if rng.random() < 0.5 else -1.0
    if stratum == "large pose":
        yaw, pitch = sign * rng.uniform(40, LARGEST_YAW), rng.normal(0, 12)
    elif stratum == "mixed":
        part = rng.random()
        yaw = rng.normal(0, 14) if part < 0.5 else rng.normal(0, 30) if part < 0.85 else rng.uniform(-75, 75)
        pitch = rng.normal(0, 9) if rng.random() < 0.85 else rng.uniform(-30, 30)
    else:
        widest = 29.9 if stratum == "ordinary" else 45.0
        yaw, pitch = np.clip(rng.normal(0, 13 if stratum == "ordinary" else 18), -widest, widest), rng.normal(0, 7)
        pitch = np.clip(pitch, -15, 15)
    roll = np.clip(rng.normal(0, 6), -25, 25)
    body_yaw = np.clip(yaw * rng.uniform(0, 0.6) + rng.normal(0, 8), -50, 50)
    yaw = np.clip(yaw, -LARGEST_YAW, LARGEST_YAW)
    return float(yaw), float(np.clip(pitch, -LARGEST_PITCH, LARGEST_PITCH)), float(roll), float(body_yaw)


def _sample_camera(rng: np.random.Generator, stratum: str) -> Camera:
    """Framed as aligned crops are: the face fills 60 to 70 % of the height; in "mixed" looser and tighter too."""
    narrow = stratum != "mixed" or rng.random() < 0.6
    scale = rng.uniform(0.58, 0.70) if narrow else np.clip(rng.normal(0.62, 0.09), 0.40, 0.82)
    spread = 0.02 if narrow else 0.05
    x, y = np.clip(rng.normal([0, -0.01], spread), -0.12, 0.12)
    fov = float(12 + 33 * rng.beta(1.5, 2.0))
    return Camera(fov, float(scale), (float(x), float(y)), float(np.clip(rng.normal(0, 2.5), -10, 10)))


def _sample_background(rng: np.random.Generator) -> Background:
    blur = rng.uniform(0, 1.0) if rng.random() < 0.35 else np.exp(rng.uniform(np.log(1.0), np.log(9.0)))
    tint = np.exp(rng.normal(0, 0.06, 3))
    red, green, blue = (float(v) for v in tint / tint.mean())
    return Background(
        choice=float(rng.random()),
        centre_xy=(float(rng.random()), float(rng.random())),
        size=float(rng.uniform(0.35, 1.0)),
        mirrored=bool(rng.random() < 0.5),
        blur_px=float(blur),
        tint=(red, green, blue),
        brightness=float(np.exp(rng.normal(-0.1, 0.35))),
    )


def _sample_hand_skin(rng: np.random.Generator) -> tuple[float, float, float]:
    """Skin from very fair to very dark, mixed in log space."""
    fair, dark = np.log([0.62, 0.40, 0.30]), np.log([0.060, 0.030, 0.019])
    share = rng.beta(1.1, 1.4)
    red, green, blue = np.exp(fair * (1 - share) + dark * share + rng.normal(0, 0.05, 3))
    return float(red), float(green), float(blue)


def _sample_post(rng: np.random.Generator, seed: int, stratum: str) -> Post:
    """Two of three pictures are clean; the tails are noisy, blurred, squeezed or off in colour."""
    bad = rng.random(5) < (0.05 if stratum == "ordinary" else 0.15)
    clean = rng.uniform(0.002, 0.012)
    balance = np.exp(rng.normal(0, 0.10 if bad[3] else 0.03, 2))
    return Post(
        exposure=float(np.exp(rng.normal(0, 0.10))),
        white_balance=(float(balance[0]), 1.0, float(balance[1])),
        contrast=float(np.clip(rng.normal(1.0, 0.25), 0.4, 1.8)),
        saturation=float(np.clip(rng.normal(1.0, 0.10), 0.6, 1.35)),
        noise=float(np.exp(rng.uniform(np.log(0.015), np.log(0.032))) if bad[0] else clean),
        blur_px=float(rng.uniform(0.6, 2.0) if bad[1] else rng.uniform(0.0, 0.6)),
        motion_px=float(rng.uniform(2.0, 7.0)) if bad[4] and rng.random() < 0.5 else 0.0,
        motion_degrees=float(rng.uniform(0, 180)),
        jpeg=float(rng.uniform(40, 75) if bad[2] else rng.uniform(80, 95) if rng.random() < 0.5 else 100),
        vignette=float(rng.beta(1.2, 4) * 0.5),
        glow=float(rng.beta(1.2, 5) * 0.15),
        seed=int(np.random.default_rng([seed, 99]).integers(2**31)),
    )
