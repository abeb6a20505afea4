"""What a synthetic adult is made of besides the shape: skin, brows, eyes, lashes, teeth, beard. Plain values.

Colours are linear-light RGB, 0..1. "Strength" is 0 (none) to 1 (as strong as it occurs) unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class MakeUp:
    """Strengths and colours of what is painted on; all zero is a bare face."""

    blush: float = 0.0
    blush_colour: Colour = (0.55, 0.16, 0.14)
    eye_shadow: float = 0.0
    eye_shadow_colour: Colour = (0.18, 0.10, 0.08)
    eyeliner: float = 0.0
    lipstick: float = 0.0
    lipstick_colour: Colour = (0.32, 0.04, 0.05)


@dataclass(frozen=True)
class Marks:
    """What skin collects, is born with or lives through. All fixed per person."""

    freckles: float = 0.0
    moles: int = 0
    age_spots: float = 0.0
    acne: float = 0.0
    scars: int = 0
    vitiligo: float = 0.0
    """Share of the face without pigment, roughly."""
    port_wine: float = 0.0
    """Strength of a port-wine stain; its place follows from the person's seed."""
    burn: float = 0.0
    """Strength of a healed burn: uneven colour and surface over part of the face."""


@dataclass(frozen=True)
class Skin:
    """Colour, structure and marks of the skin."""

    photos: tuple[tuple[str, float], ...]
    """Names of skin photographs and their shares, which sum to 1."""
    patch: tuple[str, float]
    """One more photograph that shines through in smooth patches, and how much (low frequencies only)."""
    melanin: float
    """0 none (albinism) .. 1 the darkest skin."""
    redness: float
    """Blood under the skin against the usual, about -1..1."""
    warmth: float = 0.0
    """Golden (1) against rosy (-1) undertone."""
    contrast: float = 1.0
    """Exponent on the photographs' own variation, .85..1.15."""
    unevenness: float = 0.5
    """Strength of smooth patches of redness and pigment."""
    pores: float = 1.0
    """Scales the fine height of pores and creases; 1 = ordinary."""
    wrinkles: float = 0.0
    """Depth of static wrinkles, 0..1; expression wrinkles scale with .45 + .75 of it."""
    oiliness: float = 0.4
    """0 matt .. 1 shiny."""
    under_eye: float = 0.2
    """Darkness below the eyes."""
    lip_colour: Colour = (1.0, 1.0, 1.0)
    """Multiplies the natural lip colour."""
    lip_lines: float = 0.5
    stubble_shadow: float = 0.0
    """Shaved hair below the skin, 0..1."""
    complexion: tuple[float, ...] = ()
    """Coefficients of the learned complexion, unit spread; none: painted skin alone. See `complexion.py`."""
    marks: Marks = field(default_factory=Marks)
    make_up: MakeUp = field(default_factory=MakeUp)


@dataclass(frozen=True)
class Brow:
    style: str = "001"
    """MakeHuman's eyebrow number, "001".."012"."""
    strength: float = 0.8
    """Opacity, 0..1."""
    thickness: float = 0.0
    """-1 thinner .. 1 thicker than the style."""
    colour: Colour = (0.03, 0.02, 0.015)


@dataclass(frozen=True)
class Eyes:
    left: str = "brown"
    """Iris texture without `_eye`: blue, bluegreen, brown, brownlight, deepblue, green, grey, ice, lightblue."""
    right: str = "brown"
    left_tint: Colour = (1.0, 1.0, 1.0)
    right_tint: Colour = (1.0, 1.0, 1.0)
    """Multiply the iris."""
    sclera_tint: Colour = (1.0, 0.97, 0.94)
    """Multiplies the white of the eye."""


@dataclass(frozen=True)
class Lashes:
    style: str = "01"
    """MakeHuman's eyelash number, "01".."04"."""
    strength: float = 0.5
    colour: Colour = (0.012, 0.010, 0.009)


@dataclass(frozen=True)
class Teeth:
    style: int = 1
    """0 = teeth_base, 1..5 = teeth_shape01..05."""
    tint: Colour = (1.0, 0.96, 0.88)


@dataclass(frozen=True)
class Beard:
    style: str = "none"
    """none, stubble, moustache, goatee, full or long."""
    density: float = 0.0
    """0..1."""
    length: float = 0.0
    """0..1 of what the style allows."""
