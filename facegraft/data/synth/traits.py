"""Draws the parts of a person. Skin leads; hair, brows, eyes and marks follow from it, from age and from sex.

Numbers were chosen so that a crowd at dial .35 looks like a crowd of ordinary adults; none is a statistic of a people.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from facegraft.data.synth.complexion import TIED, tied
from facegraft.data.synth.complexion import count as complexion_parts
from facegraft.data.synth.parts import Beard, Brow, Colour, Eyes, Lashes, MakeUp, Marks, Skin, Teeth
from facegraft.data.synth.skin_tone import BLOOD, MELANIN

PHOTOS = {
    "light": {
        "young": (
            "young_lightskinned_female_diffuse2",
            "young_lightskinned_female_diffuse3",
            "young_lightskinned_male_diffuse",
            "young_lightskinned_male_diffuse2",
            "young_lightskinned_male_diffuse3",
        ),
        "middle": (
            "middleage_lightskinned_female_diffuse2",
            "middleage_lightskinned_male_diffuse",
            "middleage_lightskinned_male_diffuse2",
        ),
        "old": ("old_lightskinned_male_diffuse2",),
    },
    "dark": {
        "young": ("young_darkskinned_male_diffuse",),
        "middle": ("middleage_darkskinned_female_diffuse", "middleage_darkskinned_male_diffuse"),
        "old": ("old_darkskinned_female_diffuse", "old_darkskinned_male_diffuse"),
    },
}
"""Skin photographs whose fine structure is used."""
PATCH_PHOTOS = (
    "young_lightskinned_female_diffuse",
    "middleage_lightskinned_female_diffuse",
    "young_darkskinned_female_diffuse",
    "old_lightskinned_male_diffuse",
    "old_lightskinned_female_diffuse",
    "old_lightskinned_female_diffuse2",
)
"""Photographs of which only the low frequencies are used: many copies of them are small."""
HAIR = {
    "black": (0.013, 0.011, 0.010),
    "dark brown": (0.028, 0.018, 0.012),
    "brown": (0.060, 0.034, 0.019),
    "light brown": (0.120, 0.074, 0.041),
    "blond": (0.290, 0.195, 0.100),
    "red": (0.165, 0.048, 0.016),
}
BROW_STYLES = {"001": 1.0, "009": 1.0, "012": 1.0, "008": 0.5, "010": 0.5}
STYLISED_BROWS = ("002", "003", "004", "005", "006", "007", "011")


@dataclass(frozen=True)
class Base:
    """What the other traits follow from."""

    female: float
    age: float
    race: tuple[float, float, float]
    dial: float
    melanin: float
    albinism: bool

    @property
    def old(self) -> float:
        """0 at 25 years, 1 at 80."""
        return float(np.clip((self.age - 25) / 55, 0, 1))

    def happens(self, rng: np.random.Generator, probability: float | int) -> bool:
        """Whether something rare is there: less often in ordinary people, more often towards the extreme."""
        return bool(rng.random() < probability * (0.4 + 1.7 * self.dial))


def draw_melanin(rng: np.random.Generator, race: tuple[float, float, float]) -> float:
    """Pigment 0..1: follows ancestry, with a scatter as wide as that of real families."""
    mean = float(np.dot(race, (0.80, 0.38, 0.20)))
    value, free = mean + 0.13 * rng.normal(), rng.random()
    return float(np.clip(free if rng.random() < 0.08 else value, 0.02, 0.98))


def draw_skin(rng: np.random.Generator, base: Base) -> Skin:
    old = base.old
    shares = rng.dirichlet((1.6, 1.0, 0.7))
    photos = _merge([(_photo(rng, base, i), float(share)) for i, share in enumerate(shares)])
    wrinkles = float(np.clip(1.15 * old**1.4 + 0.12 * rng.normal(), 0, 1))
    lips = np.exp(0.16 * rng.normal() * (0.05 - BLOOD) - 0.12 * rng.normal() * MELANIN)
    return Skin(
        photos=photos,
        patch=(str(rng.choice(PATCH_PHOTOS)), float(rng.uniform(0, 0.6))),
        melanin=base.melanin,
        redness=float(np.clip(0.4 * rng.normal() + 0.15 * (1 - base.female), -0.6, 1.3)),
        warmth=float(np.clip(rng.normal() * 0.5 + 0.5 * base.race[1], -1.2, 1.2)),
        contrast=float(rng.uniform(0.85, 1.15)),
        unevenness=float(np.clip(0.35 + 0.3 * old + 0.18 * rng.normal(), 0.05, 1)),
        pores=float(np.clip(1.0 + 0.25 * (1 - base.female) + 0.25 * old + 0.2 * rng.normal(), 0.5, 1.8)),
        wrinkles=wrinkles,
        oiliness=float(np.clip(0.42 - 0.15 * old + 0.16 * rng.normal(), 0.05, 0.95)),
        under_eye=float(np.clip(0.2 + 0.3 * old + 0.18 * rng.normal(), 0, 1)),
        lip_colour=_colour(lips),
        lip_lines=float(np.clip(0.35 + 0.4 * old + 0.15 * rng.normal(), 0.1, 1)),
        stubble_shadow=0.0 if base.female > 0.5 else float(np.clip(0.3 * rng.normal() + 0.3, 0, 0.9)),
        marks=draw_marks(rng, base),
        make_up=draw_make_up(rng, base),
        complexion=draw_complexion(rng, base),
    )


def draw_complexion(rng: np.random.Generator, base: Base) -> tuple[float, ...]:
    """Coefficients of the learned complexions: what follows from sex and age, then what is the person's own."""
    own = rng.normal(size=complexion_parts() - TIED).clip(-2, 2)
    return (*tied(base.female, base.age), *((0.65 + base.dial) * float(v) for v in own))


def _photo(rng: np.random.Generator, base: Base, place: int) -> str:
    """A photograph near the tone and age; the last of three is never old, as there are few old ones."""
    tone = "dark" if rng.random() < np.clip((base.melanin - 0.3) / 0.35, 0, 1) else "light"
    age = base.age + 7 * rng.normal()
    group = "young" if age < 37 else "middle" if age < 56 else "old" if place < 2 else "middle"
    return str(rng.choice(PHOTOS[tone][group]))


def _merge(shares: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    merged: dict[str, float] = {}
    for name, share in shares:
        merged[name] = merged.get(name, 0.0) + share
    return tuple(sorted(merged.items()))


def draw_marks(rng: np.random.Generator, base: Base) -> Marks:
    """Freckles and moles are common; everything else is rare, and each is drawn whether or not another is there."""
    pale = float(np.clip(1 - base.melanin / 0.45, 0, 1))
    freckled = rng.random() < 0.08 + 0.28 * pale
    spots = base.old * (0.3 + 0.7 * pale) * rng.random()
    values = {
        "freckles": float(rng.uniform(0.25, 1)) if freckled else 0.0,
        "moles": int(rng.poisson(2.2)),
        "age_spots": float(np.clip(2 * spots - 0.5, 0, 1)),
    }
    young = 1 if base.age < 32 else 0.2
    chances = {"acne": 0.10 * young, "vitiligo": 0.012, "port_wine": 0.008, "burn": 0.006}
    strengths = {"acne": (0.25, 1.0), "vitiligo": (0.15, 0.6), "port_wine": (0.4, 1.0), "burn": (0.4, 1.0)}
    for name, chance in chances.items():
        there, strength = base.happens(rng, chance), float(rng.uniform(*strengths[name]))
        values[name] = strength if there else 0.0
    scarred, count = base.happens(rng, 0.06), int(rng.integers(1, 3))
    values["scars"] = count if scarred else 0
    return Marks(**values)  # type: ignore[arg-type]  # moles and scars are ints, the rest floats


def draw_make_up(rng: np.random.Generator, base: Base) -> MakeUp:
    wears = rng.random() < (0.55 if base.female > 0.5 else 0.02)
    strength = rng.beta(2, 2.5, size=4) * (0.55 + 0.6 * base.dial)
    has = rng.random(4) < (0.6, 0.55, 0.6, 0.75)
    red = (0.40, 0.05, 0.04), (0.36, 0.10, 0.08), (0.25, 0.035, 0.042), (0.33, 0.13, 0.09), (0.14, 0.028, 0.032)
    lids = (0.16, 0.09, 0.07), (0.10, 0.08, 0.08), (0.30, 0.17, 0.12), (0.12, 0.08, 0.14), (0.08, 0.11, 0.13)
    lip, lid = red[int(rng.integers(5))], lids[int(rng.integers(5))]
    if not wears:
        return MakeUp()
    blush, shadow, liner, lipstick = (float(np.clip(s * h, 0, 1)) for s, h in zip(strength, has, strict=True))
    return MakeUp(
        blush=blush,
        eye_shadow=shadow,
        eye_shadow_colour=lid,
        eyeliner=liner,
        lipstick=lipstick,
        lipstick_colour=lip,
    )


def draw_hair_colour(rng: np.random.Generator, base: Base) -> Colour:
    """Natural colour of the hair, greyed by age."""
    pale = float(np.clip(1 - base.melanin / 0.42, 0, 1))
    light = pale * base.race[2]
    odds = {
        "black": 0.18 + 3.0 * (1 - light),
        "dark brown": 0.6 + 0.5 * (1 - light),
        "brown": 0.15 + 1.0 * light,
        "light brown": 0.02 + 0.7 * light**1.5,
        "blond": 0.005 + 0.75 * light**2,
        "red": 0.005 + 0.22 * light**2,
    }
    weights = np.array(list(odds.values()))
    chosen = str(rng.choice(list(odds), p=weights / weights.sum()))
    colour = np.array(HAIR[chosen]) * np.exp(0.22 * rng.normal() + 0.05 * rng.normal(size=3))
    grey = 1 / (1 + np.exp(-(base.age - 53 + 8 * rng.normal()) / 5.5))
    white = np.array((0.30, 0.29, 0.275)) * np.exp(0.3 * rng.normal() + 0.5 * grey - 0.25)
    colour = np.exp((1 - grey) * np.log(colour) + grey * np.log(white))
    return (0.60, 0.53, 0.42) if base.albinism else _colour(colour)


def draw_brow(rng: np.random.Generator, base: Base, hair: Colour) -> Brow:
    styles = list(BROW_STYLES)
    odds = np.array(list(BROW_STYLES.values()))
    style = str(rng.choice(styles, p=odds / odds.sum()))
    shaped, stylised = rng.random(), str(rng.choice(STYLISED_BROWS))
    if shaped < (0.08 if base.female > 0.5 else 0.015) * (0.5 + 1.4 * base.dial):
        style = stylised
    brown = np.array((0.045, 0.028, 0.018))
    colour = np.array(hair) ** 0.75 * brown**0.25  # brows are darker than light hair and grey later
    return Brow(
        style=style,
        strength=float(np.clip(0.9 + 0.12 * rng.normal() - 0.2 * base.old, 0.3, 1)) * (0.5 if base.albinism else 1),
        thickness=float(np.clip(0.4 * rng.normal() + 0.3 * (1 - 2 * base.female), -1, 1)),
        colour=_colour(colour * np.exp(0.15 * rng.normal())),
    )


def draw_eyes(rng: np.random.Generator, base: Base, hair: Colour) -> Eyes:
    """Light eyes come with light skin and hair, never by rule."""
    pale = float(np.clip(1 - base.melanin / 0.42, 0, 1)) * base.race[2]
    bright = float(np.clip(sum(hair) / 0.5, 0, 1)) * (1 - base.old) * pale
    odds = {"brown": 1.2 + 2.5 * (1 - pale), "brownlight": 0.7, "green": 0.03 + 0.35 * pale}
    odds |= {"grey": 0.01 + 0.35 * pale, "bluegreen": 0.01 + 0.4 * pale + 0.3 * bright}
    odds |= {"blue": 0.01 + 0.6 * pale + 0.6 * bright, "lightblue": 0.25 * pale + 0.3 * bright}
    odds |= {"deepblue": 0.15 * pale, "ice": 0.08 * pale}
    weights = np.array(list(odds.values()))
    both = [str(rng.choice(list(odds), p=weights / weights.sum())) for _ in range(2)]
    tints = np.exp(0.10 * rng.normal(size=(2, 3)) + 0.12 * rng.normal())
    tints *= 1 - 0.35 * base.melanin
    yellow = 0.5 * base.old + 0.35 * base.melanin + 0.15 * rng.random()
    sclera = np.array((0.94, 0.90, 0.87)) * (1 - 0.10 * yellow * np.array((0.6, 1.0, 1.9)))
    two_colours = base.happens(rng, 0.005)
    if base.albinism:
        both, tints = ["ice", "ice"], np.tile([[1.15, 1.0, 1.02]], (2, 1))
    left, right = both if two_colours else (both[0], both[0])
    tint = _colour(tints[0]), _colour(tints[1] if two_colours else tints[0])
    return Eyes(left=left, right=right, left_tint=tint[0], right_tint=tint[1], sclera_tint=_colour(sclera))


def draw_lashes(rng: np.random.Generator, base: Base, make_up: MakeUp) -> Lashes:
    strength = 0.40 + 0.25 * base.female + 0.2 * make_up.eyeliner + 0.07 * rng.normal() - 0.12 * base.old
    style = f"{int(rng.integers(1, 5)):02d}"
    lashes = Lashes(style=style, strength=float(np.clip(strength, 0.15, 0.9)))
    return replace(lashes, colour=(0.45, 0.36, 0.25), strength=0.35) if base.albinism else lashes


def draw_teeth(rng: np.random.Generator, base: Base) -> Teeth:
    yellow = float(np.clip(0.25 + 0.4 * base.old + 0.25 * rng.normal(), 0, 1))
    tint = np.array((1.0, 0.965, 0.90)) * (1 - yellow * np.array((0.05, 0.10, 0.24)))
    return Teeth(style=int(rng.integers(0, 6)), tint=_colour(tint))


def draw_beard(rng: np.random.Generator, base: Base) -> Beard:
    """Beards grow on the male half only; less densely on average with asian ancestry."""
    styles = ("none", "stubble", "moustache", "goatee", "full", "long")
    style = str(rng.choice(styles, p=(0.50, 0.21, 0.04, 0.07, 0.14, 0.04)))
    density = float(np.clip(0.72 + 0.18 * rng.normal() - 0.25 * base.race[1], 0.2, 1))
    length = float(rng.beta(1.6, 2.2))
    if base.female > 0.5 or style == "none":
        return Beard()
    return Beard(style=style, density=density, length=length)


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (float(v) for v in np.asarray(values))
    return red, green, blue
