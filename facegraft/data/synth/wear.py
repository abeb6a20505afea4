"""What a scene puts on a person and before a face: hair, hats, glasses, masks, clothes, hands and things.

Plain values and their samplers; `wardrobe.py` and `props.py` make the surfaces. Nothing here depends on who wears it.
Colours are linear RGB, 0..1. Distances are in eye distances (between the centres of the eyeballs, about .58 dm).
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np

Colour = tuple[float, float, float]
Triple = tuple[float | int, float | int, float | int]
Range = tuple[Triple, Triple]
"""Lowest and highest values."""
Kind = TypeVar("Kind", "Hair", "Worn", "Prop", "Cloth")

CARD_STYLES = (
    "afro01",
    "bob01",
    "bob02",
    "braid01",
    "long01",
    "ponytail01",
    "short01",
    "short02",
    "short03",
    "short04",
)
"""Hair of strips with strands painted on, from MakeHuman."""
SHELL_STYLES = {
    "buzz": ("round", "square", "peak", "receding", "crown"),
    "crop": ("round", "square", "peak", "receding", "crown"),
    "brushed": ("round", "square", "peak", "receding"),
    "slicked": ("round", "peak", "receding"),
    "curly": ("round", "square", "peak", "receding"),
    "afro": ("round", "square"),
}
"""Hair of thin layers over the scalp -> its hairlines; a style's name is "crop-peak"."""
HAIR_STYLES = (*CARD_STYLES, *(f"{name}-{line}" for name, lines in SHELL_STYLES.items() for line in lines), "bald")
HAIR_COLOURS: dict[str, tuple[Colour, float]] = {
    "black": ((0.012, 0.0105, 0.010), 0.30),
    "dark brown": ((0.034, 0.022, 0.015), 0.24),
    "brown": ((0.075, 0.044, 0.026), 0.15),
    "light brown": ((0.160, 0.098, 0.055), 0.08),
    "blond": ((0.360, 0.245, 0.125), 0.07),
    "platinum": ((0.560, 0.470, 0.330), 0.02),
    "red": ((0.180, 0.056, 0.020), 0.04),
    "grey": ((0.230, 0.228, 0.225), 0.05),
    "white": ((0.560, 0.550, 0.530), 0.03),
    "dyed": ((0.200, 0.060, 0.160), 0.02),
}
"""Name -> linear colour, how common."""
GLASSES = ("round", "square", "rectangle", "browline", "cat-eye", "rimless", "aviator")
HATS = ("fedora", "beanie", "cap", "headscarf", "hood")
FACE_MASKS = ("medical", "cloth")
SCARVES = ("mouth", "chin")
HAND_POSES = ("flat", "fist", "pointing", "covering", "holding", "spread", "peace")
CLOTHS = ("t-shirt", "v-neck", "collar", "turtleneck", "hoodie")
PATTERNS = ("plain", "heather", "stripes", "checks", "knit", "print")
STRATA = ("mixed", "ordinary", "large pose", "extreme expression", "occluded", "hard light")


@dataclass(frozen=True)
class Hair:
    style: str
    """One of HAIR_STYLES."""
    colour: Colour
    grey: float
    """Share of grey strands, 0..1."""
    gloss: float
    """0 dull .. 1 shining."""
    length: float
    """Multiplies the thickness of shell hair; cards ignore it. .7..1.3."""
    density: float
    """0 thin .. 1 as dense as the texture says."""
    scalp_shadow: float
    """How dark the skin below the hair is, 0..1."""
    mirrored: bool
    """Parting and fringe on the other side."""


@dataclass(frozen=True)
class Worn:
    kind: str
    """"glasses", "hat", "face_mask" or "scarf"."""
    variant: str
    """One of GLASSES, HATS, FACE_MASKS, SCARVES."""
    colour: Colour
    colour2: Colour
    """A hat's band, a cap's brim, a mask's straps."""
    lens_colour: Colour
    tint: float
    """Opacity of the lenses: 0 clear, .3 tinted, .9 sunglasses; 0 for all but glasses."""
    size: float
    """Multiplies the size of glasses about the eyes, .9..1.12; 1 for what follows the head."""
    roughness: float


@dataclass(frozen=True)
class Prop:
    kind: str
    """"hand", "phone", "microphone", "cup" or "book"."""
    variant: str
    """A hand's pose (HAND_POSES); "plain" or "other" look of a thing, which comes with the hand that holds it."""
    anchor: tuple[float, float, float]
    """Of its contact point, in eye distances: x (to the person's left) and y from the middle of the eyes, z the room
    between it and the face where they are nearest; in the frame that `attached` names."""
    attached: str
    """"head": turns with the head; "world": stays upright before the camera."""
    rotation_degrees: tuple[float, float, float]
    """About x, then y, then z."""
    size: float
    """Multiplies the natural size."""
    colour: Colour
    """Of the thing. Hands have the scene's hand skin, sleeves the colour of its cloth."""
    mirrored: bool
    """A right hand, and the thing as in a mirror."""


@dataclass(frozen=True)
class Cloth:
    kind: str
    """One of CLOTHS."""
    colour: Colour
    colour2: Colour
    pattern: str
    """One of PATTERNS, of colour and colour2 (knit: of colour alone)."""
    pattern_size: float
    """Decimetres per repeat of stripes and checks; the others keep to it (`patterns.py`)."""
    neckline: float
    """-1 low .. 1 high, for kinds with an open neck."""


def restore(kind: type[Kind], values: dict[str, Any]) -> Kind:
    """The dataclass again from what `dataclasses.asdict` and JSON made of it."""
    return kind(**{f.name: _tuple(values[f.name]) for f in fields(kind)})


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def sample_hair_colour(rng: np.random.Generator) -> Colour:
    """A hair colour as common as in a mixed crowd, never the same twice."""
    names = list(HAIR_COLOURS)
    share = np.array([HAIR_COLOURS[name][1] for name in names])
    name = names[rng.choice(len(names), p=share / share.sum())]
    colour = np.array(HAIR_COLOURS[name][0])
    if name == "dyed":
        colour = _saturated(rng) * rng.uniform(0.15, 0.5)
    return _colour(colour * np.exp(rng.normal(0, 0.22)) * np.exp(rng.normal(0, 0.05, 3)))


_HAIRLINE_SHARES = {"round": 0.4, "square": 0.2, "peak": 0.22, "receding": 0.12, "crown": 0.06}


def sample_hair(rng: np.random.Generator) -> Hair:
    """Hair of one scene: 6 % bald, the rest half cards, half shells."""
    cards = np.array([0.08, 0.05, 0.06, 0.12, 0.16, 0.15, 0.10, 0.08, 0.10, 0.10])  # fringes over an eye: seldom
    draw = rng.random()
    if draw < 0.06:
        style = "bald"
    elif draw < 0.53:
        style = CARD_STYLES[rng.choice(len(CARD_STYLES), p=cards / cards.sum())]
    else:
        name = list(SHELL_STYLES)[rng.choice(len(SHELL_STYLES), p=[0.18, 0.28, 0.2, 0.14, 0.12, 0.08])]
        shares = np.array([_HAIRLINE_SHARES[line] for line in SHELL_STYLES[name]])
        style = f"{name}-{SHELL_STYLES[name][rng.choice(len(shares), p=shares / shares.sum())]}"
    return Hair(
        style=style,
        colour=sample_hair_colour(rng),
        grey=float(rng.beta(1, 3)) if rng.random() < 0.25 else 0.0,
        gloss=float(rng.beta(2, 2)),
        length=float(rng.uniform(0.7, 1.3)),
        density=float(rng.uniform(0.65, 1.0)),
        scalp_shadow=float(rng.uniform(0.5, 1.0)),
        mirrored=bool(rng.random() < 0.5),
    )


def sample_cloth(rng: np.random.Generator) -> Cloth:
    """What covers the shoulders."""
    return Cloth(
        kind=CLOTHS[rng.choice(len(CLOTHS), p=[0.38, 0.16, 0.2, 0.12, 0.14])],
        colour=sample_dye(rng),
        colour2=sample_dye(rng),
        pattern=PATTERNS[rng.choice(len(PATTERNS), p=[0.42, 0.12, 0.15, 0.1, 0.11, 0.1])],
        pattern_size=float(rng.uniform(0.08, 0.5)),
        neckline=float(rng.uniform(-1, 1)),
    )


def sample_dye(rng: np.random.Generator) -> Colour:
    """A colour of cloth or plastic: often black, grey, white or blue, sometimes bright."""
    draw = rng.random()
    if draw < 0.45:
        return _colour(np.full(3, np.exp(rng.uniform(np.log(0.015), np.log(0.75)))) * np.exp(rng.normal(0, 0.06, 3)))
    bright = _saturated(rng) * np.exp(rng.uniform(np.log(0.05), np.log(0.6)))
    return _colour(bright * (1 - (fade := rng.uniform(0, 0.8))) + bright.mean() * fade)


def _saturated(rng: np.random.Generator) -> np.ndarray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(0.5 + 0.48 * np.cos(angle - np.array([0, 2, 4]) * np.pi / 3))


def _colour(value: np.ndarray) -> Colour:
    red, green, blue = (float(x) for x in np.clip(value, 0.004, 0.85))
    return red, green, blue


_WORN_SHARES = {  # glasses, hat, face mask or scarf
    "mixed": (0.20, 0.10, 0.04),
    "ordinary": (0.06, 0.0, 0.0),
    "large pose": (0.12, 0.06, 0.0),
    "extreme expression": (0.10, 0.06, 0.0),
    "occluded": (0.25, 0.15, 0.30),
    "hard light": (0.12, 0.08, 0.0),
}


def sample_worn(rng: np.random.Generator, stratum: str = "mixed") -> tuple[Worn, ...]:
    """Glasses, hat, mask or scarf, as often as the stratum says; at most one of each kind."""
    glasses, hat, cover = _WORN_SHARES[stratum]
    draws = rng.random(3)
    out = []
    if draws[0] < glasses:
        out.append(sample_glasses(rng, sun=0.0 if stratum == "ordinary" else 0.3))
    if draws[1] < hat:
        out.append(_plain(rng, "hat", HATS[rng.integers(len(HATS))]))
    if draws[2] < cover * 0.7:
        mask = _plain(rng, "face_mask", FACE_MASKS[rng.integers(len(FACE_MASKS))])
        out.append(mask if mask.variant == "cloth" else _medical(rng, mask))
    elif draws[2] < cover:
        out.append(_plain(rng, "scarf", SCARVES[0 if stratum == "occluded" else rng.integers(len(SCARVES))]))
    return tuple(out)


def sample_glasses(rng: np.random.Generator, sun: float = 0.3) -> Worn:
    """Spectacles; `sun` is the share with tinted or dark lenses."""
    dark = rng.random() < sun
    frame = _colour(np.full(3, 0.012)) if rng.random() < 0.45 else sample_dye(rng)
    return Worn(
        kind="glasses",
        variant=GLASSES[rng.integers(len(GLASSES))],
        colour=frame,
        colour2=_colour(np.array([0.5, 0.46, 0.4]) * rng.uniform(0.3, 1.2)),
        lens_colour=_colour(np.exp(rng.normal(0, 0.35, 3)) * (0.02 if dark else 0.5)),
        tint=float(rng.uniform(0.3, 0.97)) if dark else 0.0,
        size=float(rng.uniform(0.92, 1.12)),
        roughness=float(rng.uniform(0.15, 0.45)),
    )


def _plain(rng: np.random.Generator, kind: str, variant: str) -> Worn:
    colours = sample_dye(rng), sample_dye(rng)
    return Worn(kind, variant, *colours, lens_colour=(0.5, 0.5, 0.5), tint=0.0, size=1.0, roughness=0.85)


def _medical(rng: np.random.Generator, mask: Worn) -> Worn:
    shades = ((0.25, 0.50, 0.70), (0.70, 0.72, 0.74), (0.02, 0.02, 0.02), (0.30, 0.62, 0.52))
    shade = shades[rng.choice(4, p=[0.45, 0.25, 0.2, 0.1])]
    return Worn(mask.kind, mask.variant, shade, (0.7, 0.7, 0.7), (0.5, 0.5, 0.5), 0.0, 1.0, 0.9)


_PROP_SHARE = {"mixed": 0.15, "ordinary": 0.0, "large pose": 0.05, "extreme expression": 0.0, "occluded": 1.0}
_OCCLUDERS = {"hand": 0.5, "phone": 0.15, "microphone": 0.13, "cup": 0.1, "book": 0.12}


def sample_props(rng: np.random.Generator, stratum: str = "mixed", worn: tuple[Worn, ...] = ()) -> tuple[Prop, ...]:
    """Things before the face.

    Args:
        rng: Source of all choices.
        stratum: One of STRATA. "ordinary" never has any; in "occluded" 5 to 50 % of the face is covered.
        worn: What `sample_worn` gave: a face that a mask or scarf covers gets nothing more.
    """
    covered = any(w.kind in ("face_mask", "scarf") for w in worn)
    if rng.random() >= _PROP_SHARE.get(stratum, 0.05) or covered:
        return ()
    names = list(_OCCLUDERS)
    kind = names[rng.choice(len(names), p=list(_OCCLUDERS.values()))]
    if kind == "hand":
        return (_sample_hand(rng),)
    return (_sample_thing(rng, kind),)


def _sample_hand(rng: np.random.Generator) -> Prop:
    """A hand that covers part of the face; the ranges keep 5 to 50 % of it covered."""
    variant = HAND_POSES[rng.choice(len(HAND_POSES), p=[0.2, 0.15, 0.12, 0.2, 0.05, 0.18, 0.1])]
    prop = _sample_place(rng, "hand", variant, *HAND_RANGES[variant])
    if variant in PALMS_EITHER_WAY and rng.random() < 0.4:  # the palm to the viewer
        x, y, z = prop.rotation_degrees
        prop = replace(prop, rotation_degrees=(-x, y + 180.0, z), mirrored=not prop.mirrored)
    return prop


def _sample_place(rng: np.random.Generator, kind: str, variant: str, anchor: Range, turn: Range) -> Prop:
    """Anchor and rotation between the ends of their ranges; half of all are mirrored, a right hand doing the same."""
    place, angles = rng.uniform(*anchor), rng.uniform(*turn)
    mirrored = bool(rng.random() < 0.5)
    if mirrored:
        place, angles = place * (-1, 1, 1), angles * (1, -1, -1)
    attached = "world" if kind in ("phone", "book") else "head"
    size = float(rng.uniform(0.92, 1.08))
    return Prop(kind, variant, _three(place), attached, _three(angles), size, sample_dye(rng), mirrored)


PALMS_EITHER_WAY = ("flat", "spread", "peace", "pointing")
HAND_RANGES: dict[str, tuple[Range, Range]] = {
    "flat": (((0.5, -1.75, 0.0), (1.2, -0.8, 0.2)), ((-12, -20, -15), (12, 20, 25))),
    "fist": (((-0.2, -2.2, 0.0), (0.6, -1.6, 0.05)), ((-10, -20, -10), (10, 20, 25))),
    "pointing": (((0.1, -1.65, 0.0), (0.9, -0.95, 0.1)), ((-10, -20, -15), (10, 20, 25))),
    "covering": (((-0.1, -1.9, 0.0), (0.5, -1.55, 0.05)), ((-8, -10, 30), (8, 10, 70))),
    "holding": (((0.1, -1.8, 0.0), (0.7, -1.25, 0.1)), ((-10, -10, -10), (10, 10, 25))),
    "spread": (((0.55, -1.75, 0.0), (1.2, -0.8, 0.4)), ((-18, -22, -15), (18, 22, 30))),
    "peace": (((0.15, -1.6, 0.0), (1.0, -0.75, 0.3)), ((-15, -20, -15), (15, 20, 30))),
}
"""Pose of a left hand -> lowest and highest anchor, lowest and highest rotation in degrees."""
THING_RANGES: dict[str, tuple[Range, Range]] = {
    "phone": (((0.5, -1.85, 0.2), (1.2, -1.15, 0.6)), ((-10, -15, -10), (10, 15, 20))),
    "microphone": (((-0.35, -1.35, 0.05), (0.35, -1.05, 0.3)), ((-45, -20, -15), (-10, 20, 20))),
    "cup": (((-0.3, -1.4, 0.0), (0.3, -1.15, 0.1)), ((-40, -30, -8), (-5, 30, 8))),
    "book": (((-0.5, -1.05, 0.3), (0.5, -0.45, 0.8)), ((-20, -12, -10), (5, 12, 10))),
}


def _sample_thing(rng: np.random.Generator, kind: str) -> Prop:
    variant = ("plain", "other")[rng.integers(2)]
    return _sample_place(rng, kind, variant, *THING_RANGES[kind])


def _three(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
