"""Who a rendered person is: shape, skin, brows, eyes, teeth and beard, drawn from a seed. Adults only.

No asset is needed here: the sliders' names are in `sliders.json`, so a person can be made, saved and compared anywhere.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from dataclasses import dataclass
from importlib import resources
from typing import Any, get_args, get_origin, get_type_hints

import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.data.synth import traits
from facegraft.data.synth.parts import Beard, Brow, Colour, Eyes, Lashes, MakeUp, Marks, Skin, Teeth

__all__ = [
    "Beard",
    "Brow",
    "Eyes",
    "Lashes",
    "MakeUp",
    "Marks",
    "Person",
    "Skin",
    "Teeth",
    "from_json",
    "macro_morphs",
    "sample_person",
    "to_json",
]

SPREAD = {
    "head": 0.35,
    "forehead": 0.50,
    "eyebrows": 0.40,
    "eyes": 0.58,
    "nose": 0.70,
    "mouth": 0.62,
    "ears": 0.50,
    "chin": 0.55,
    "cheek": 0.55,
    "neck": 0.30,
}
"""Range of each folder's sliders. Eyes, nose and mouth carry most of an identity, so they are the widest."""
DAMPED = {
    "head-age": 0.0,  # the macro does it
    "head-angle": 0.3,
    "head-trans-in": 0.12,
    "head-trans": 0.2,
    "head-scale-vert": 0.6,
    "head-scale-horiz": 0.7,
    "forehead-nubian": 0.3,  # with the next, the skull of an egg
    "forehead-scale-vert": 0.55,
    "neck-trans-in": 0.12,
    "neck-trans": 0.3,
    "neck-double": 0.6,
    "mouth-trans-in": 0.10,
    "mouth-trans": 0.6,
    "mouth-dimples": 0.6,
    "mouth-laugh-lines": 0.6,
    "nose-trans-in": 0.10,
    "nose-trans": 0.7,
    "chin-jaw-drop": 0.3,
    "eye-scale": 0.6,
    "eye-bag": 0.7,
    "eye-push": 0.7,
    "ear-wing": 0.7,
    "ear-rot": 0.6,
}
"""Start of a slider's name, with its low word -> factor; the first that fits counts."""
SHIFT = {
    "eyebrows-angle": 0.22,  # level brows look angry
    "eyebrows-trans-down": 0.55,
    "eye-scale-decr": 0.45,
    "eye-trans-in": 0.25,
    "nose-scale-horiz-decr": 0.45,
    "mouth-scale-horiz-decr": 0.30,
    "mouth-scale-vert-decr": -0.55,
    "mouth-upperlip-height-decr": -0.15,
    "mouth-lowerlip-height-decr": -0.15,
    "mouth-angles-down": 0.22,
    "chin-height-decr": 0.22,
}
"""Means other than zero, by slider and its low word. Against the mean of thousands of faces (`faces/mesh468.json`)
MakeHuman's have small, close-set eyes, low brows, narrow noses and mouths, thick lips and short chins."""
AGE_SHIFT = {"eye-bag": 0.25, "ear-lobe": 0.3, "ear-scale": 0.15, "eye-eyefold-down": 0.2, "nose-point-down": -0.15}
"""What moves with age besides the macro: start of the name -> shift at eighty years."""
LARGEST = 1.0
"""No morph weight leaves -1..1 of its slider."""


@dataclass(frozen=True)
class Person:
    """A synthetic adult.

    Attributes:
        seed: What the person was drawn from.
        dial: 0 ordinary .. 1 extreme.
        female: 0 male shape .. 1 female shape.
        age: Years, 20 to 80.
        weight: 0 thin .. 1 heavy.
        muscle: 0 .. 1.
        race: Shares of MakeHuman's african, asian and caucasian shape targets; sum 1.
        morphs: File below data/targets without suffix -> weight; all but the macros.
        hair_colour: Natural colour of hair and beard, linear RGB.
    """

    seed: int
    dial: float
    female: float
    age: float
    weight: float
    muscle: float
    race: tuple[float, float, float]
    morphs: dict[str, float]
    skin: Skin
    brow: Brow
    eyes: Eyes
    lashes: Lashes
    teeth: Teeth
    beard: Beard
    hair_colour: Colour


@dataclass(frozen=True)
class _Sliders:
    opposites: tuple[tuple[str, str, str, str, bool], ...]
    shapes: tuple[tuple[str, str, bool], ...]
    asymmetries: tuple[str, ...]


@functools.cache
def _sliders() -> _Sliders:
    text = resources.files("facegraft.data.synth").joinpath("sliders.json").read_text(encoding="utf-8")
    data = json.loads(text)
    opposites = tuple((folder, stem, low, high, both) for folder, stem, low, high, both in data["opposites"])
    shapes = tuple((folder, stem, both) for folder, stem, both in data["shapes"])
    return _Sliders(opposites, shapes, tuple(data["asymmetries"]))


def sample_person(seed: int, dial: float | int = 0.35) -> Person:
    """Draw an adult. The same seed at another dial is the same person, drawn more ordinary or more extreme.

    Args:
        seed: 0 or more.
        dial: 0 the most ordinary .. 1 the most extreme; .35 looks like a crowd of ordinary people.

    Raises:
        BadInputError: The seed is negative or the dial is outside 0..1.
    """
    if seed < 0 or not 0 <= dial <= 1:
        raise BadInputError(f"expected a seed of 0 or more and a dial in 0..1, found seed {seed} and dial {dial}")
    who = _stream(seed, 0)
    side, near = who.random() < 0.5, abs(who.normal()) * (0.06 + 0.14 * dial)
    female = float(np.clip(1 - near if side else near, 0, 1))
    age = 20 + 60 * float(who.beta(1.05, 1.35))
    african, asian, caucasian = (float(share) for share in who.dirichlet((0.35, 0.35, 0.35)))
    weight = float(np.clip(0.5 + (0.10 + 0.16 * dial) * who.normal() + 0.06 * (age - 45) / 35, 0, 1))
    muscle = float(np.clip(0.5 + (0.08 + 0.14 * dial) * who.normal(), 0, 1))
    race = (african, asian, caucasian)
    melanin = traits.draw_melanin(who, race)
    albinism = bool(who.random() < 0.003 * (0.4 + 1.7 * dial))
    base = traits.Base(female, age, race, float(dial), 0.0 if albinism else melanin, albinism)
    skin = traits.draw_skin(_stream(seed, 1), base)
    hair = traits.draw_hair_colour(_stream(seed, 2), base)
    return Person(
        seed=seed,
        dial=float(dial),
        female=female,
        age=age,
        weight=weight,
        muscle=muscle,
        race=race,
        morphs=_draw_morphs(_stream(seed, 3), base),
        skin=skin,
        brow=traits.draw_brow(_stream(seed, 4), base, hair),
        eyes=traits.draw_eyes(_stream(seed, 5), base, hair),
        lashes=traits.draw_lashes(_stream(seed, 6), base, skin.make_up),
        teeth=traits.draw_teeth(_stream(seed, 7), base),
        beard=traits.draw_beard(_stream(seed, 8), base),
        hair_colour=hair,
    )


def _stream(seed: int, part: int) -> np.random.Generator:
    """Each part has its own stream, so that drawing one more number of one leaves the others as they were."""
    return np.random.default_rng([seed, part])


def _draw_morphs(rng: np.random.Generator, base: traits.Base) -> dict[str, float]:
    """Sliders, one-sided head and ear shapes, asymmetry; every draw happens whatever the dial."""
    gain = 0.55 + 1.3 * base.dial
    out: dict[str, float] = {}
    for folder, stem, low, high, both in _sliders().opposites:
        value = _slider_value(rng, base, gain, folder, stem, low)
        for side in ("l-", "r-") if both else ("",):
            own = value * (1 + 0.05 * float(rng.normal()))
            _put(out, folder, f"{side}{stem}", low, high, own)
    for folder, stem, both in _sliders().shapes:
        value = (0.3 if folder == "head" else 0.5) * max(0.0, 0.5 * float(rng.normal()) - 0.3) * gain
        for side in ("l-", "r-") if both else ("",):
            if value > 0:
                out[f"{folder}/{side}{stem}"] = min(value, LARGEST)
    marked = base.happens(rng, 0.02)
    for stem in _sliders().asymmetries:
        there, value = rng.random() < 0.3, 0.15 * float(rng.normal()) * gain
        if there:
            _put(out, "asym", stem, "l", "r", value * (3.0 if marked else 1.0))
    _droop(rng, base, out)
    return out


def _slider_value(rng: np.random.Generator, base: traits.Base, gain: float, folder: str, stem: str, low: str) -> float:
    damp = _first(DAMPED, f"{stem}-{low}", 1.0)
    value = 0.6 * SPREAD[folder] * damp * gain * float(np.clip(rng.normal(), -2, 2))
    value += _first(SHIFT, f"{stem}-{low}", 0.0) + _first(AGE_SHIFT, f"{stem}-{low}", 0.0) * base.old
    return value if damp else 0.0


def _first(table: dict[str, float], name: str, default: float) -> float:
    return next((value for start, value in table.items() if name.startswith(start)), default)


def _put(out: dict[str, float], folder: str, stem: str, low: str, high: str, value: float) -> None:
    if value:
        out[f"{folder}/{stem}-{high if value > 0 else low}"] = min(abs(value), LARGEST)


def _droop(rng: np.random.Generator, base: traits.Base, out: dict[str, float]) -> None:
    """Rarely, one upper lid hangs lower than the other."""
    there, side, amount = base.happens(rng, 0.015), "l" if rng.random() < 0.5 else "r", float(rng.uniform(0.45, 0.9))
    if there:
        for part in ("1", "2", "3"):
            out.pop(f"eyes/{side}-eye-height{part}-incr", None)
            out[f"eyes/{side}-eye-height{part}-decr"] = amount


def macro_morphs(person: Person) -> dict[str, float]:
    """Weights of the sex, age, race, weight and muscle targets, by name below data/targets.

    The race targets sum to 1, and so do the universal ones. MakeHuman's pack has weight at average muscle and muscle
    at average weight; the corners between are shared half and half by their neighbours.
    """
    old = float(np.clip((person.age - 25) / 65, 0, 1))
    heavy, strong = 2 * person.weight - 1, 2 * person.muscle - 1
    corner = abs(heavy) * abs(strong) / 2
    builds = {
        "averagemuscle-averageweight": (1 - abs(heavy)) * (1 - abs(strong)),
        f"averagemuscle-{'max' if heavy > 0 else 'min'}weight": abs(heavy) * (1 - abs(strong)) + corner,
        f"{'max' if strong > 0 else 'min'}muscle-averageweight": abs(strong) * (1 - abs(heavy)) + corner,
    }
    out: dict[str, float] = {}
    for sex, sex_share in (("female", person.female), ("male", 1 - person.female)):
        for age, age_share in (("young", 1 - old), ("old", old)):
            both = sex_share * age_share
            for build, share in builds.items():
                out[f"macrodetails/universal-{sex}-{age}-{build}"] = both * share
            for race, share in zip(("african", "asian", "caucasian"), person.race, strict=True):
                out[f"macrodetails/{race}-{sex}-{age}"] = both * share
    return {name: weight for name, weight in out.items() if weight > 0}


def to_json(person: Person) -> str:
    """One JSON object; `from_json` gives the equal person back."""
    return json.dumps(dataclasses.asdict(person), sort_keys=True)


def from_json(text: str) -> Person:
    """Read what `to_json` wrote.

    Raises:
        BadInputError: The text is no person of this version.
    """
    try:
        person: Person = _build(Person, json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadInputError(
            f"expected the JSON of a person, found {text[:40]!r}: {error}; make it with to_json"
        ) from error
    return person


def _build(kind: Any, value: Any) -> Any:
    """Turn JSON back into the annotated type: dataclasses, tuples, dicts and numbers."""
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        hints = get_type_hints(kind)
        if set(value) != set(hints):
            raise ValueError(f"fields of {kind.__name__} differ: {sorted(set(value) ^ set(hints))}")
        return kind(**{name: _build(hints[name], value[name]) for name in hints})
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        kinds = [inner[0]] * len(value) if inner[-1] is Ellipsis else list(inner)
        return tuple(_build(k, v) for k, v in zip(kinds, value, strict=True))
    if get_origin(kind) is dict:
        return {name: _build(get_args(kind)[1], item) for name, item in value.items()}
    return float(value) if kind is float else kind(value)
