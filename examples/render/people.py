"""Who the people are and what they do: plain values, no meshes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

SLIDER_RANGE = {
    "head": 0.30,
    "forehead": 0.45,
    "eyebrows": 0.35,
    "eyes": 0.40,
    "nose": 0.50,
    "mouth": 0.40,
    "ears": 0.40,
    "chin": 0.45,
    "cheek": 0.45,
    "neck": 0.20,
}
OPPOSITES = (
    ("decr", "incr"),
    ("down", "up"),
    ("in", "out"),
    ("backward", "forward"),
    ("compress", "uncompress"),
    ("concave", "convex"),
)
DAMPED = {
    "head-trans": 0.0,
    "head-age": 0.0,
    "head-angle": 0.3,
    "neck-trans": 0.1,
    "mouth-trans-in": 0.05,
    "mouth-trans": 0.5,
    "nose-trans-in": 0.05,
    "nose-trans": 0.6,
    "chin-jaw-drop": 0.2,
    "eye-scale": 0.5,
    "eye-bag": 0.6,
    "ear-wing": 0.5,
    "ear-rot": 0.5,
    "neck-double": 0.4,
    "mouth-laugh-lines": 0.6,
}


@dataclass(frozen=True)
class Person:
    """A synthetic adult. Colours are linear-light RGB."""

    seed: int
    female: float
    """0 = male shape, 1 = female shape."""
    age: float
    """Years, 25 to 90."""
    race: tuple[float, float, float]
    """Shares of the african, asian and caucasian shape targets."""
    skins: dict[str, float]
    """Skin photographs and their shares."""
    skin_colour: tuple[float, float, float]
    """Mean colour of the cheeks."""
    hair: str
    hair_colour: tuple[float, float, float]
    hair_end: float = 0.0
    """Hair below this height of the unshaped mesh is cut off; the chin is at 6.2."""
    hair_gloss: float = 1.0
    hairline: float = 1.0
    """How much hair colour shines through at the edge of the scalp; 0 under a fringe."""
    eyes: str = "brown"
    brow: str = "001"
    brow_strength: float = 0.8
    lashes: str = "01"
    lash_strength: float = 0.5
    lips: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """Multiplies the photograph's lip colour."""
    stubble: float = 0.0
    variety: float = 1.0
    """Scales the random face sliders."""
    shirt: tuple[float, float, float] = (0.2, 0.25, 0.3)
    neckline: float = 5.62
    """Height of the front of the collar on the unshaped mesh, decimetres."""
    glasses: bool = False
    extra: dict[str, float] = field(default_factory=dict)
    """Targets set by hand, added to the random ones."""


@dataclass(frozen=True)
class Pose:
    """Angles in degrees; x of the person's left. Yaw > 0 turns to the person's left, pitch > 0 looks down."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    gaze: tuple[float, float] = (0.0, 0.0)
    """Yaw and pitch of the eyes in the head."""
    blink: float = 0.12
    body_yaw: float = 0.0
    morphs: dict[str, float] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)


def macro_targets(person: Person) -> dict[str, float]:
    """Weights of the sex, age and race targets; each kind sums to one."""
    old = float(np.clip((person.age - 25) / 65, 0, 1))
    out: dict[str, float] = {}
    for sex, sex_weight in (("female", person.female), ("male", 1 - person.female)):
        for age, age_weight in (("young", 1 - old), ("old", old)):
            both = sex_weight * age_weight
            out[f"macrodetails/universal-{sex}-{age}-averagemuscle-averageweight"] = both
            for race, share in zip(("african", "asian", "caucasian"), person.race, strict=True):
                out[f"macrodetails/{race}-{sex}-{age}"] = both * share
    return {name: weight for name, weight in out.items() if weight > 0}


def slider_targets(person: Person, targets: Path) -> dict[str, float]:
    """Random face sliders; left and right share a value but for a little."""
    rng = np.random.default_rng(person.seed)
    out: dict[str, float] = {}
    for folder, spread in SLIDER_RANGE.items():
        names = sorted(p.stem for p in (targets / folder).glob("*.target"))
        for stem, low, high in _pairs(names):
            damp = next((d for start, d in DAMPED.items() if _bare(stem + "-" + high).startswith(start)), 1.0)
            value = float(np.clip(rng.normal(), -2, 2)) * 0.6 * spread * damp * person.variety
            if folder == "eyebrows" and "angle" in stem:
                value += 0.15
            sides = ("l-", "r-") if stem.startswith("l-") else ("",)
            for side in sides:
                name = side + _bare(stem) if side else stem
                own = value * (1 + 0.05 * rng.normal())
                out[f"{folder}/{name}-{high if own > 0 else low}"] = abs(own)
    for path in sorted((targets / "asym").glob("*-l.target")):
        if rng.random() < 0.3:
            out[f"asym/{path.stem}"] = abs(rng.normal()) * 0.12 * person.variety
    return out


def _bare(name: str) -> str:
    return name[2:] if name[:2] in ("l-", "r-") else name


def _pairs(names: list[str]) -> list[tuple[str, str, str]]:
    """Stems with both an opposite pair, left side or middle only."""
    found = []
    for low, high in OPPOSITES:
        for name in names:
            stem = name.removesuffix("-" + low)
            if stem != name and f"{stem}-{high}" in names and not name.startswith("r-"):
                found.append((stem, low, high))
    return found
