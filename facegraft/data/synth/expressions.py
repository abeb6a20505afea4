"""What a face does: presets, ours and MakeHuman's, and random mixtures of its expression morphs and face bones.

Two systems, each for what it does well: morphs (below `targets/expression/units/<race>/`) move lids, brows and mouth
corners; pose units (of `face-poseunits.json`) drop the jaw and move lips, cheeks, chin and tongue. Left and right are
the person's own. Blink is kept apart, because closing an eye must be calibrated on each person's lids.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from facegraft.data.synth.named import NAMED_UNITS

RELAXED_BLINK = 0.12
"""How far the lids of a relaxed person are closed; at 0 everybody stares."""
BANNED_MORPHS = ("mouth-open",)
"""Tears the chin and leaves the teeth behind: JawDrop opens the mouth."""


@dataclass(frozen=True)
class Expression:
    """Weights, 0..1 each; a name for people, of no effect.

    Attributes:
        name: Such as "smile" or "smile + frown".
        morphs: File below `targets/expression/units/<race>/`, without suffix -> weight.
        units: Pose unit of `face-poseunits.json` -> weight.
    """

    name: str = "neutral"
    morphs: dict[str, float] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """An expression and how far it closes the left and the right eye beyond a relaxed one, 0..1."""

    morphs: dict[str, float] = field(default_factory=dict)
    units: dict[str, float] = field(default_factory=dict)
    blink: tuple[float, float] = (0.0, 0.0)


def _both(name: str, weight: float) -> dict[str, float]:
    """`eyebrows-*-up` or `*BrowDown`: the same weight on both sides."""
    words = ("left", "right") if "-" in name else ("Left", "Right")
    return {name.replace("*", word): weight for word in words}


_UP, _DOWN, _INNER = "eyebrows-*-up", "eyebrows-*-down", "eyebrows-*-inner-up"
_CORNERS, _TEETH, _WIDE, _PRESS = (
    "mouth-corner-puller",
    "mouth-upward-retraction",
    "mouth-retraction",
    "mouth-compression",
)
_OPEN_EYE, _SLIT, _FLARE = "eye-*-opened-up", "eye-*-slit", "nose-*-dilatation"
_CHEEK, _LID = "*CheekUp", "*LowerLidUp"

MILD = {
    "slight smile": Preset({_CORNERS: 0.45}, _both(_CHEEK, 0.15)),
    "smile": Preset({_CORNERS: 0.8}, _both(_CHEEK, 0.45) | _both(_LID, 0.2)),
    "open smile": Preset({_CORNERS: 0.75, _TEETH: 0.45}, _both(_CHEEK, 0.45) | _both(_LID, 0.25)),
    "smirk": Preset({_CORNERS: 0.15}, {"MouthLeftPullUp": 0.6, "LeftCheekUp": 0.3}),
    "brows raised": Preset(_both(_UP, 0.8) | _both(_OPEN_EYE, 0.2)),
    "doubtful brow": Preset({"eyebrows-left-extern-up": 0.9, "eyebrows-right-down": 0.35}),
    "slight frown": Preset(_both(_DOWN, 0.55) | {_PRESS: 0.2}),
    "pressed lips": Preset({_PRESS: 0.8}),
    "parted lips": Preset({"mouth-parling": 0.6}, {"JawDrop": 0.12}),
    "wistful": Preset(_both(_INNER, 0.55) | {"mouth-depression": 0.25}),
    "narrow eyes": Preset(_both(_SLIT, 0.35), _both(_LID, 0.3)),
    "talk m": Preset({_PRESS: 0.45}),
    "talk e": Preset({_WIDE: 0.5, "mouth-parling": 0.4}, {"JawDrop": 0.12}),
    "talk f": Preset({"mouth-parling": 0.3}, {"lowerLipBackward": 0.6, "UpperLipUp": 0.2}),
    "talk a": Preset({"mouth-parling": 0.4}, {"JawDrop": 0.5}),
    "talk o": Preset({"mouth-protusion": 0.1}, {"JawDrop": 0.35, "LipsKiss": 0.55}),
    "talk oo": Preset({"mouth-pursing": 0.3}, {"JawDrop": 0.15, "LipsKiss": 0.75}),
}
"""What people show in most pictures."""

STRONG = {
    "broad smile": Preset(
        {_CORNERS: 0.95, _TEETH: 0.6, _WIDE: 0.2},
        _both(_CHEEK, 0.7) | _both(_LID, 0.4) | {"NasolabialDeepener": 0.3},
        (0.08, 0.08),
    ),
    "laugh": Preset(
        {_CORNERS: 0.85, _TEETH: 0.45},
        _both(_CHEEK, 0.65) | _both(_LID, 0.45) | {"JawDrop": 0.55, "NasolabialDeepener": 0.3},
        (0.2, 0.2),
    ),
    "roar of laughter": Preset(
        {_CORNERS: 0.9, _TEETH: 0.5} | _both(_UP, 0.3),
        _both(_CHEEK, 0.9) | _both(_LID, 0.5) | {"JawDropStretched": 0.7, "NasolabialDeepener": 0.4},
        (0.7, 0.7),
    ),
    "open mouth": Preset({}, {"JawDrop": 0.9}),
    "shout": Preset(_both(_DOWN, 0.6) | {_TEETH: 0.35} | _both(_FLARE, 0.5), {"JawDropStretched": 0.9}),
    "surprise": Preset(_both(_UP, 1.0) | _both(_OPEN_EYE, 0.8), {"JawDrop": 0.65}),
    "amazed": Preset(_both(_UP, 0.9) | _both(_OPEN_EYE, 0.6), {"JawDrop": 0.3, "LipsKiss": 0.4}),
    "frown": Preset(_both(_DOWN, 0.95) | {"mouth-depression": 0.35}, {"NoseWrinkler": 0.2}),
    "anger": Preset(_both(_DOWN, 1.0) | _both(_SLIT, 0.25) | _both(_FLARE, 0.7) | {_PRESS: 0.7}),
    "bared teeth": Preset(_both(_DOWN, 0.9) | {_TEETH: 0.7, _WIDE: 0.4}, {"NoseWrinkler": 0.5, "JawDrop": 0.1}),
    "sad": Preset(_both(_INNER, 0.9) | {"mouth-depression": 0.8}, {"lowerLipUp": 0.35}, (0.1, 0.1)),
    "weeping": Preset(
        _both(_INNER, 0.85) | {"mouth-depression-retraction": 0.5, "mouth-depression": 0.3},
        _both(_LID, 0.6) | _both(_CHEEK, 0.4),
        (0.55, 0.55),
    ),
    "fear": Preset(
        _both(_UP, 0.5) | _both(_INNER, 0.5) | _both(_OPEN_EYE, 1.0) | {_WIDE: 0.6, "neck-platysma": 0.5},
        {"JawDrop": 0.3},
    ),
    "disgust": Preset(
        _both("nose-*-elevation", 0.8) | _both(_DOWN, 0.5) | _both(_SLIT, 0.3),
        {"NoseWrinkler": 0.4, "UpperLipUp": 0.35, "lowerLipUp": 0.3} | _both(_CHEEK, 0.4),
    ),
    "contempt": Preset(
        {"eye-left-slit": 0.25, "eyebrows-left-down": 0.3, "nose-left-elevation": 0.4},
        {"MouthLeftPullUp": 0.8, "MouthLeftPullSide": 0.35, "LeftCheekUp": 0.5},
    ),
    "pucker": Preset({"mouth-pursing": 0.9}, {"LipsKiss": 0.3}),
    "kiss": Preset({"mouth-pursing": 0.3}, {"LipsKiss": 1.0, "UpperLipForward": 0.3}, (0.4, 0.4)),
    "pout": Preset({"mouth-eversion": 0.5}, {"lowerLipForward": 0.6, "lowerLipUp": 0.4}),
    "bitten lip": Preset({}, {"lowerLipBackward": 1.0, "UpperLipUp": 0.3, "JawDrop": 0.05}),
    "puffed cheeks": Preset({_PRESS: 0.4}, {"CheeksPump": 0.9}),
    "sucked cheeks": Preset({}, {"CheeksSuck": 0.9, "LipsKiss": 0.6}),
    "mouth to the left": Preset({}, {"MouthMoveLeft": 0.9, "LeftCheekUp": 0.2}),
    "jaw to the left": Preset({}, {"ChinLeft": 0.7, "JawDrop": 0.2}),
    "tongue out": Preset({}, {"TongueOut": 0.9, "JawDrop": 0.2}),
    "eyes closed": Preset({}, {}, (0.88, 0.88)),
    "wink": Preset(
        {_CORNERS: 0.35, "eyebrows-left-down": 0.2}, {"LeftCheekUp": 0.6, "LeftLowerLidUp": 0.3}, (0.88, 0.0)
    ),
    "squint": Preset(_both(_SLIT, 0.8) | _both(_DOWN, 0.35), _both(_CHEEK, 0.6) | _both(_LID, 0.5)),
    "effort": Preset(
        _both(_DOWN, 0.8) | {_TEETH: 0.5, _WIDE: 0.5, "neck-platysma": 0.6},
        _both(_CHEEK, 0.7) | _both(_LID, 0.5) | {"NoseWrinkler": 0.5},
        (0.7, 0.7),
    ),
    "sleepy": Preset(_both(_INNER, 0.2), {"JawDrop": 0.08}, (0.5, 0.5)),
    "yawn": Preset(_both(_UP, 0.25), {"JawDropStretched": 1.0} | _both(_CHEEK, 0.3), (0.6, 0.6)),
}
"""What a training set of portraits lacks."""


_AS_MORPH = {
    "BrowDown": "eyebrows-{}-down",
    "InnerBrowUp": "eyebrows-{}-inner-up",
    "OuterBrowUp": "eyebrows-{}-extern-up",
    "UpperLidOpen": "eye-{}-opened-up",
}


def from_units(weights: Mapping[str, float]) -> Preset:
    """Pose units, with morphs for what bones do badly: brows, open lids and smiles; closed lids become the blink."""
    morphs: dict[str, float] = {}
    units = dict(weights)
    for side in ("Left", "Right"):
        for unit, morph in _AS_MORPH.items():
            if side + unit in units:
                morphs[morph.format(side.lower())] = units.pop(side + unit)
    left, right = (units.pop(f"{side}UpperLidClosed", 0.0) for side in ("Left", "Right"))
    both = min(units.get("MouthLeftPullUp", 0.0), units.get("MouthRightPullUp", 0.0))
    if both > 0:
        morphs[_CORNERS] = both
        units |= {unit: units[unit] - both for unit in ("MouthLeftPullUp", "MouthRightPullUp")}
    return Preset(morphs, {unit: weight for unit, weight in units.items() if weight > 0}, (left, right))


# Looked at on two people at 256 px, five are left out. effort02 and laugh02 pull lips from the jaw they drop: holes
# beside the side teeth. fear02 and fear04 stretch the jaw fully and shift it fully aside: a skewed round hole, full of
# tongue. vocalize01 turns the upper lip up over its teeth: only a dark lower row shows.
BROKEN = ("effort02", "fear02", "fear04", "laugh02", "vocalize01")
NAMED_MILD = {
    name: from_units(NAMED_UNITS[name])
    for name in (
        *("attention01", "determination01", "determination02", "doubt01", "sad01", "sad02", "sceptical01"),
        *("smile01", "smile02", "smile03", "smile04", "smile05", "threaten01"),
    )
}
NAMED_STRONG = {
    name: from_units(weights) for name, weights in NAMED_UNITS.items() if name not in (*NAMED_MILD, *BROKEN)
}
"""MakeHuman's own, as mild and as strong as ours."""
NAMED_SHARE = 0.2
"""How many of all presets drawn are MakeHuman's."""

PRESETS = MILD | STRONG | NAMED_MILD | NAMED_STRONG

RANDOM_MORPHS = (
    *(f"{stem}" for stem in (_UP, _DOWN, _INNER, "eyebrows-*-extern-up", _OPEN_EYE, _SLIT, _FLARE, "nose-*-elevation")),
    *(_CORNERS, _TEETH, _WIDE, _PRESS, "mouth-depression", "mouth-elevation", "mouth-eversion", "mouth-parling"),
    *("mouth-protusion", "mouth-pursing", "mouth-depression-retraction", "mouth-part-later"),
    *("nose-compression", "nose-depression", "neck-platysma"),
)
RANDOM_UNITS = (
    *("*CheekUp", "*LowerLidUp", "Mouth*PullUp", "Mouth*PullSide", "Mouth*PullDown", "MouthMove*", "Chin*"),
    *("NoseWrinkler", "CheeksPump", "CheeksSuck", "NasolabialDeepener", "ChinForward", "lowerLipUp", "lowerLipDown"),
    *("lowerLipBackward", "lowerLipForward", "UpperLipUp", "UpperLipForward", "UpperLipStretched"),
    *("JawDrop", "JawDropStretched", "LipsKiss", "TongueOut"),
)
"""What random faces are made of; * stands for a side."""
ONE_SIDED = ("MouthMove*", "Chin*")

_JAW = {"JawDrop", "JawDropStretched", "TongueOut"}
_LIPS_APART = {
    *(
        "mouth-upward-retraction",
        "mouth-depression-retraction",
        "mouth-part-later",
        "mouth-protusion",
        "mouth-elevation",
    ),
    *("mouth-parling", "lowerLipDown", "UpperLipUp", "UpperLipStretched"),
}
_LIPS_ROUND = {"LipsKiss", "mouth-pursing", "mouth-protusion", "UpperLipForward"}
_LIPS_SHUT = {"mouth-compression", "mouth-pursing", "lowerLipUp", "CheeksPump"}
_SPREAD = {"mouth-corner-puller", "mouth-retraction", "UpperLipStretched", "MouthLeftPullSide", "MouthRightPullSide"}


def sample_expression(rng: np.random.Generator, stratum: str = "mixed") -> tuple[Expression, tuple[float, float]]:
    """A random expression, and how far it closes the left and right eye (0..1, relaxed eyes included).

    15 % neutral, 50 % one or two presets at .3 to 1 (one of five is MakeHuman's), 35 % four random units up to .7. In
    the stratum "extreme expression" one or two strong presets at .8 to 1.1 with a little noise; in "ordinary" neutral
    or a mild preset.
    """
    if stratum == "extreme expression":
        names = _drawn(rng, STRONG, NAMED_STRONG, 1 if rng.random() < 0.7 else 2)
        first = preset_mix({name: float(rng.uniform(0.8, 1.1)) * 0.8**i for i, name in enumerate(names)})
        expression, blink = first[0], first[1]
        if rng.random() < 0.5:
            expression = combined(expression, random_units(rng, count=2, most=0.3), name=expression.name)
    elif stratum in ("ordinary", "large pose", "hard light", "occluded"):
        kind = rng.random()
        names = _drawn(rng, MILD, NAMED_MILD, 0 if kind < 0.3 else 1)
        expression, blink = preset_mix({name: float(rng.uniform(0.3, 0.9)) for name in names})
    else:
        kind = rng.random()
        expression, blink = Expression(), (0.0, 0.0)
        if 0.15 <= kind < 0.65:
            names = _drawn(rng, MILD | STRONG, NAMED_MILD | NAMED_STRONG, int(rng.integers(1, 3)))
            expression, blink = preset_mix({name: float(rng.uniform(0.3, 1.0)) for name in names})
        elif kind >= 0.65:
            expression = random_units(rng)
    if rng.random() < 0.5:
        expression, blink = mirrored(expression), (blink[1], blink[0])
    return tamed(expression), _lids(rng, blink)


def _drawn(rng: np.random.Generator, ours: Mapping[str, Preset], named: Mapping[str, Preset], count: int) -> list[str]:
    """`count` different names, each MakeHuman's with the probability NAMED_SHARE."""
    names = [*sorted(ours), *sorted(named)]
    shares = np.repeat([(1 - NAMED_SHARE) / len(ours), NAMED_SHARE / len(named)], [len(ours), len(named)])
    return [str(name) for name in rng.choice(names, count, replace=False, p=shares)]


def preset_mix(weights: dict[str, float]) -> tuple[Expression, tuple[float, float]]:
    """Presets times their weights, added; and how far beyond relaxed they close the left and right eye."""
    morphs: dict[str, float] = {}
    units: dict[str, float] = {}
    left, right = 0.0, 0.0
    for name, weight in weights.items():
        preset = PRESETS[name]
        for out, part in ((morphs, preset.morphs), (units, preset.units)):
            for key, value in part.items():
                out[key] = out.get(key, 0.0) + weight * value
        left, right = max(left, weight * preset.blink[0]), max(right, weight * preset.blink[1])
    return Expression(" + ".join(weights) or "neutral", morphs, units), (left, right)


def random_units(rng: np.random.Generator, count: int = 4, most: float = 0.7) -> Expression:
    """`count` random morphs or pose units up to `most`; those with sides move together in two of three cases."""
    names = rng.choice(len(RANDOM_MORPHS) + len(RANDOM_UNITS), count, replace=False)
    morphs: dict[str, float] = {}
    units: dict[str, float] = {}
    for number in names:
        is_morph = number < len(RANDOM_MORPHS)
        name = RANDOM_MORPHS[number] if is_morph else RANDOM_UNITS[number - len(RANDOM_MORPHS)]
        out = morphs if is_morph else units
        weight = float(rng.uniform(0.1, most))
        sides = _both(name, weight) if "*" in name else {name: weight}
        if "*" in name and (name in ONE_SIDED or rng.random() < 1 / 3):
            keep = sorted(sides)[int(rng.integers(2))]
            sides = {keep: weight}
        out.update(sides)
    return Expression("random", morphs, units)


def combined(first: Expression, second: Expression, share: float = 1.0, name: str | None = None) -> Expression:
    """First plus `share` times second, untamed."""
    morphs, units = dict(first.morphs), dict(first.units)
    for out, part in ((morphs, second.morphs), (units, second.units)):
        for key, value in part.items():
            out[key] = out.get(key, 0.0) + share * value
    return Expression(name or f"{first.name} + {second.name}", morphs, units)


def mirrored(expression: Expression) -> Expression:
    """Left and right exchanged."""
    return Expression(
        expression.name,
        {_other_side(name): weight for name, weight in expression.morphs.items()},
        {_other_side(name): weight for name, weight in expression.units.items()},
    )


def tamed(expression: Expression) -> Expression:
    """The same with what tears a face apart taken back: every weight in 0..1, and muscles that work against each other.

    The sum of what drops the jaw, of what parts the lips, of what rounds and what spreads them is held at what one
    unit alone may do; an open jaw loosens pressed lips; brows that go up and down keep the difference.
    """
    weights = {**expression.morphs, **expression.units}
    for group, most in ((_JAW, 1.0), (_LIPS_APART, 1.0), (_LIPS_ROUND, 1.1), (_SPREAD, 1.2)):
        total = sum(weights.get(name, 0.0) for name in group)
        if total > most:
            weights |= {name: weights[name] * most / total for name in group if name in weights}
    opening = min(sum(weights.get(name, 0.0) for name in _JAW) * 1.5, 1.0)
    weights |= {name: weights[name] * (1 - opening) for name in _LIPS_SHUT if name in weights}
    spread = min(sum(weights.get(name, 0.0) for name in _SPREAD), 1.0)
    weights |= {name: weights[name] * (1 - 0.6 * spread) for name in _LIPS_ROUND if name in weights}
    for side in ("left", "right"):
        up, down = f"eyebrows-{side}-up", f"eyebrows-{side}-down"
        shared = min(weights.get(up, 0.0), weights.get(down, 0.0))
        weights |= {name: weights[name] - shared for name in (up, down) if name in weights}
    limited = {name: float(min(weight, 1.0)) for name, weight in weights.items() if weight > 1e-4}
    return Expression(
        expression.name,
        {name: limited[name] for name in expression.morphs if name in limited},
        {name: limited[name] for name in expression.units if name in limited},
    )


def _other_side(name: str) -> str:
    for one, other in (("left", "right"), ("Left", "Right")):
        if one in name:
            return name.replace(one, other)
        if other in name:
            return name.replace(other, one)
    return name


def _lids(rng: np.random.Generator, closing: tuple[float, float]) -> tuple[float, float]:
    """Relaxed lids, a little different from person's moment to moment, closed further; one picture in 25 is a blink."""
    relaxed = float(np.clip(rng.normal(RELAXED_BLINK, 0.04), 0.02, 0.28))
    if rng.random() < 0.04:
        relaxed = float(rng.uniform(0.3, 1.0))
    left, right = (relaxed + float(c) * (1 - relaxed) for c in closing)
    left, right = (1.0 if lid > 0.86 else lid for lid in (left, right))
    return min(left, 1.0), min(right, 1.0)
