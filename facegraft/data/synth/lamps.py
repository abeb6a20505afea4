"""What light falls on a scene: plain values and their sampler; `light.py` makes radiance of them.

Directions: azimuth 0 = from the camera, positive from the frame's right; elevation 0 = level, 90 = above. Colours are
linear RGB as a camera with nearly right white balance sees them. Only ratios count: `light.py` sets the exposure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]

KINDS = ("studio", "window", "overcast", "sun", "night street", "coloured", "backlit", "flash", "low", "spot")
SOFT = {"studio": 0.4, "window": 0.25, "overcast": 0.35}
HARD = {
    "sun": 0.22,
    "night street": 0.12,
    "coloured": 0.15,
    "backlit": 0.2,
    "flash": 0.08,
    "low": 0.08,
    "spot": 0.15,
}
MIXED = {kind: 0.65 * share for kind, share in SOFT.items()} | {kind: 0.35 * share for kind, share in HARD.items()}
MEASURED_SHARE = {"hard light": 0.15}
"""Share of scenes lit by a photographed environment where there is a bank of them; elsewhere one half."""


@dataclass(frozen=True)
class Lobe:
    """A soft lamp or bright patch: radiance * exp(sharpness * (cos - 1)) about its direction."""

    azimuth: float
    elevation: float
    radiance: Colour
    sharpness: float


@dataclass(frozen=True)
class Light:
    """Sky, ground, lobes and one key lamp that casts shadows; or a photographed environment.

    Attributes:
        kind: One of KINDS.
        sky: Radiance from above.
        ground: Radiance from below.
        lobes: Softer lamps.
        key_azimuth: Degrees.
        key_elevation: Degrees.
        key_size: Angular diameter of the key lamp in degrees, 1 (sun) to 30 (window, large softbox).
        key: Irradiance / pi of a surface that faces the key lamp.
        measured: 0..1 chooses an environment of the bank, where there is one; negative: never.
        turn: Degrees by which a photographed environment is turned about the vertical.
        tilt: Degrees by which it is tipped sideways.
        exposure: Factor on everything after the automatic exposure.
    """

    kind: str
    sky: Colour
    ground: Colour
    lobes: tuple[Lobe, ...]
    key_azimuth: float
    key_elevation: float
    key_size: float
    key: Colour
    measured: float
    turn: float
    tilt: float
    exposure: float


EVEN = Light(
    kind="studio",
    sky=(0.55, 0.55, 0.55),
    ground=(0.42, 0.42, 0.42),
    lobes=(Lobe(0.0, 20.0, (1.2, 1.2, 1.2), 2.0),),
    key_azimuth=0.0,
    key_elevation=28.0,
    key_size=30.0,
    key=(0.22, 0.22, 0.22),
    measured=-1.0,
    turn=0.0,
    tilt=0.0,
    exposure=1.0,
)
"""White, and soft from all around with a little more from the front: what a photographer of passports would set up."""


def warmth(kelvin: float, level: float | int = 1.0) -> Colour:
    """Colour of a lamp of this temperature as a camera set to 5,500 K, half adapted, sees it; luminance = level."""
    ratio = kelvin / 5500
    colour = np.array([ratio**-0.55, 1.0, ratio**0.9])
    return _rgb(colour * level / (colour @ [0.2126, 0.7152, 0.0722]))


def sample_light(rng: np.random.Generator, stratum: str = "mixed") -> Light:
    """Soft light in the stratum "ordinary", a hard, coloured or opposing one in "hard light", else 65 : 35 of both."""
    shares = {"ordinary": SOFT, "hard light": HARD}.get(stratum, MIXED)
    kind = str(rng.choice(list(shares), p=np.array(list(shares.values())) / sum(shares.values())))
    measured = float(rng.random()) if rng.random() < MEASURED_SHARE.get(stratum, 0.5) else -1.0
    side = 1.0 if rng.random() < 0.5 else -1.0
    return _make(rng, kind, side, measured)


def _make(rng: np.random.Generator, kind: str, side: float, measured: float) -> Light:
    sky, ground = _ambient(rng, kind)
    azimuth, elevation, size, key = _key(rng, kind, side)
    lobes = _fill(rng, kind, side) + _surroundings(rng, kind)
    return Light(
        kind=kind,
        sky=sky,
        ground=ground,
        lobes=lobes,
        key_azimuth=azimuth,
        key_elevation=elevation,
        key_size=size,
        key=key,
        measured=measured,
        turn=float(rng.uniform(-180, 180)),
        tilt=float(np.clip(rng.normal(0, 4), -10, 10)),
        exposure=float(np.exp(rng.normal(0, 0.22)) * (rng.uniform(0.55, 1.0) if kind == "backlit" else 1.0)),
    )


_AMBIENT: dict[str, tuple[float, float, float, float]] = {  # lowest and highest level; ground / sky; kelvin of the sky
    "studio": (0.20, 0.50, 0.60, 5500),
    "window": (0.15, 0.40, 0.70, 4600),
    "overcast": (0.80, 1.20, 0.35, 6300),
    "sun": (0.35, 0.80, 0.55, 8500),
    "night street": (0.02, 0.08, 0.80, 7000),
    "coloured": (0.04, 0.20, 0.80, 5500),
    "backlit": (0.20, 0.45, 0.70, 6500),
    "flash": (0.05, 0.30, 0.70, 4200),
    "low": (0.03, 0.10, 0.90, 3200),
    "spot": (0.02, 0.10, 0.60, 5000),
}


def _ambient(rng: np.random.Generator, kind: str) -> tuple[Colour, Colour]:
    low, high, ground, kelvin = _AMBIENT[kind]
    level = rng.uniform(low, high)
    sky = warmth(kelvin * float(np.exp(rng.normal(0, 0.12))), level)
    bounce = np.array(warmth(float(rng.uniform(3800, 6000)), level * ground)) * np.exp(rng.normal(0, 0.12, 3))
    return sky, _rgb(bounce)


_KEY: dict[str, tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float], float]] = {
    # azimuth, elevation, size, level, kelvin
    "studio": ((10, 60), (10, 50), (12, 30), (0.5, 1.2), 5500),
    "window": ((35, 100), (0, 35), (20, 30), (0.6, 1.6), 6200),
    "overcast": ((0, 180), (40, 85), (28, 30), (0.1, 0.4), 6300),
    "sun": ((10, 110), (15, 65), (1, 2), (1.2, 3.5), 5000),
    "night street": ((0, 120), (25, 70), (3, 9), (0.5, 1.2), 3000),
    "coloured": ((20, 110), (-10, 50), (5, 25), (0.6, 1.5), 5500),
    "backlit": ((125, 178), (5, 50), (1, 15), (1.0, 3.5), 5200),
    "flash": ((0, 12), (-4, 15), (2, 12), (0.7, 1.5), 5800),
    "low": ((0, 60), (-50, -10), (3, 10), (0.6, 1.3), 2600),
    "spot": ((30, 100), (0, 60), (1, 6), (0.8, 1.6), 5000),
}


def _key(rng: np.random.Generator, kind: str, side: float) -> tuple[float, float, float, Colour]:
    azimuth, elevation, size, level, kelvin = _KEY[kind]
    own = warmth(kelvin * float(np.exp(rng.normal(0, 0.15))), float(rng.uniform(*level)))
    if kind == "coloured":
        own = _saturated(rng, float(rng.uniform(*level)))
    return side * float(rng.uniform(*azimuth)), float(rng.uniform(*elevation)), float(rng.uniform(*size)), own


def _fill(rng: np.random.Generator, kind: str, side: float) -> tuple[Lobe, ...]:
    """What stands opposite the key: a reflector, a second lamp, a lit wall; a rim light behind."""
    level = {"studio": 0.7, "window": 0.35, "overcast": 0.2, "sun": 0.35, "backlit": 0.4, "spot": 0.08}.get(kind, 0.12)
    opposite = -side * float(rng.uniform(20, 110)) if kind != "backlit" else float(rng.uniform(-60, 60))
    colour = warmth(float(rng.uniform(3600, 6500)), level * float(rng.uniform(0.3, 1.4)))
    if kind == "coloured":
        colour = _saturated(rng, float(rng.uniform(0.5, 2.0)))
    lobes = [Lobe(opposite, float(rng.uniform(-15, 40)), colour, float(rng.uniform(2, 9)))]
    if kind in ("studio", "spot", "coloured", "night street") and rng.random() < 0.5:
        rim = warmth(float(rng.uniform(3200, 7500)), float(rng.uniform(1.0, 4.0)))
        lobes.append(
            Lobe(-side * float(rng.uniform(120, 165)), float(rng.uniform(5, 50)), rim, float(rng.uniform(10, 30)))
        )
    return tuple(lobes)


def _surroundings(rng: np.random.Generator, kind: str) -> tuple[Lobe, ...]:
    """One to four weaker patches anywhere: what eyes and glossy skin reflect."""
    strength = {"night street": 1.2, "coloured": 0.8, "overcast": 0.3, "sun": 0.5, "spot": 0.1, "low": 0.15}.get(
        kind, 0.4
    )
    out = []
    for _ in range(int(rng.integers(1, 5))):
        level = strength * float(np.exp(rng.normal(0, 0.6)))
        colour = warmth(float(rng.uniform(3000, 8000)), level)
        if kind == "coloured" or (kind == "night street" and rng.random() < 0.4):
            colour = _saturated(rng, level)
        out.append(Lobe(float(rng.uniform(-180, 180)), float(rng.uniform(-25, 70)), colour, float(rng.uniform(4, 40))))
    return tuple(out)


def _saturated(rng: np.random.Generator, level: float) -> Colour:
    """A gel or neon colour of this luminance, held so that no channel alone blinds the camera."""
    angle = rng.uniform(0, 2 * np.pi)
    colour = np.maximum(0.5 + 0.5 * np.cos(angle - np.array([0, 2, 4]) * np.pi / 3), 0.03) ** rng.uniform(0.6, 1.6)
    colour = colour * (1 - (pale := rng.uniform(0.35, 0.75))) + pale * colour.mean()
    return _rgb(level * colour / max(float(colour @ [0.2126, 0.7152, 0.0722]), 0.35 * float(colour.max())))


def _rgb(value: np.ndarray) -> Colour:
    red, green, blue = (float(x) for x in value)
    return red, green, blue
