"""From the renderer's expression weights to the channels that the attributes network reads.

The renderer has two systems that do alike things, morphs and bone units (`data/synth/expressions.py`); a channel is the
largest of what its parts make of it. Left and right are the person's own there and the frame's here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.frozen.attributes import CHANNELS

MORPHS = (
    "eye-left-closure eye-left-opened-up eye-left-slit eye-right-closure eye-right-opened-up eye-right-slit "
    "eyebrows-left-down eyebrows-left-extern-up eyebrows-left-inner-up eyebrows-left-up eyebrows-right-down "
    "eyebrows-right-extern-up eyebrows-right-inner-up eyebrows-right-up mouth-compression mouth-corner-puller "
    "mouth-depression mouth-depression-retraction mouth-elevation mouth-eversion mouth-open mouth-parling "
    "mouth-part-later mouth-protusion mouth-pursing mouth-retraction mouth-upward-retraction neck-platysma "
    "nose-compression nose-depression nose-left-dilatation nose-left-elevation nose-right-dilatation "
    "nose-right-elevation"
)
UNITS = (
    "Rest LeftBrowDown RightBrowDown LeftOuterBrowUp RightOuterBrowUp LeftInnerBrowUp RightInnerBrowUp NoseWrinkler "
    "LeftUpperLidOpen RightUpperLidOpen LeftUpperLidClosed RightUpperLidClosed LeftLowerLidUp RightLowerLidUp "
    "LeftEyeDown RightEyeDown LeftEyeUp RightEyeUp LeftEyeturnRight RightEyeturnRight LeftEyeturnLeft "
    "RightEyeturnLeft LeftCheekUp RightCheekUp CheeksPump CheeksSuck NasolabialDeepener ChinLeft ChinRight ChinDown "
    "ChinForward lowerLipUp lowerLipDown lowerLipBackward lowerLipForward UpperLipUp UpperLipBackward UpperLipForward "
    "UpperLipStretched JawDrop JawDropStretched LipsKiss MouthMoveLeft MouthMoveRight MouthLeftPullUp MouthRightPullUp "
    "MouthLeftPullSide MouthRightPullSide MouthLeftPullDown MouthRightPullDown MouthLeftPlatysma MouthRightPlatysma "
    "TongueOut TongueUshape TongueUp TongueDown TongueLeft TongueRight TonguePointUp TonguePointDown"
)
NAMES = tuple(f"{MORPHS} {UNITS}".split())
"""Of the array "expression" where a dataset's card does not say `expression_names`."""
OF_A_SIDE: Mapping[str, Mapping[str, float]] = {
    "brow_inner_up": {"eyebrows-*-inner-up": 1.0, "eyebrows-*-up": 0.8, "*InnerBrowUp": 1.0},
    "brow_outer_up": {"eyebrows-*-extern-up": 1.0, "eyebrows-*-up": 1.0, "*OuterBrowUp": 1.0},
    "brow_down": {"eyebrows-*-down": 1.0, "*BrowDown": 1.0},
    "lid_raised": {"eye-*-opened-up": 1.0, "*UpperLidOpen": 1.0},
    "lid_tight": {"eye-*-slit": 1.0, "*LowerLidUp": 1.0},
    "cheek_raised": {"*CheekUp": 1.0},
    "corner_up": {"mouth-corner-puller": 1.0, "Mouth*PullUp": 1.0, "mouth-elevation": 0.5},
    "corner_down": {"mouth-depression": 1.0, "mouth-depression-retraction": 0.8, "Mouth*PullDown": 1.0},
    "jaw": {"Chin*": 1.0},
    "mouth": {"MouthMove*": 1.0},
}
"""Channel without its side -> names with * for the side -> factor."""
OF_BOTH: Mapping[str, Mapping[str, float]] = {
    "nose_wrinkled": {"NoseWrinkler": 1.0, "nose-left-elevation": 0.8, "nose-right-elevation": 0.8},
    "nostrils_wide": {"nose-left-dilatation": 1.0, "nose-right-dilatation": 1.0},
    "upper_lip_raised": {"mouth-upward-retraction": 1.0, "UpperLipUp": 1.0},
    "chin_raised": {"lowerLipUp": 1.0},
    "lips_puckered": {"mouth-pursing": 1.0, "LipsKiss": 1.0, "mouth-protusion": 0.8},
    "lips_stretched": {
        "mouth-retraction": 1.0, "MouthLeftPullSide": 0.8, "MouthRightPullSide": 0.8,
        "mouth-depression-retraction": 0.5,
    },
    "lips_pressed": {"mouth-compression": 1.0},
    "lips_parted": {"mouth-parling": 1.0, "mouth-part-later": 1.0, "lowerLipDown": 1.0, "mouth-eversion": 0.5},
    "lips_tucked": {"lowerLipBackward": 1.0, "UpperLipBackward": 1.0},
    "jaw_dropped": {"JawDrop": 1.0, "JawDropStretched": 1.0, "mouth-open": 1.0},
    "cheeks_puffed": {"CheeksPump": 1.0},
    "cheeks_sucked": {"CheeksSuck": 1.0},
    "tongue_out": {"TongueOut": 1.0},
}  # fmt: skip
SIDES = {"left": "right", "right": "left"}
"""The frame's side -> the person's own."""


def channels_of(expression: Float[Tensor, "n w"], names: Sequence[str] = NAMES) -> Float[Tensor, "n e"]:
    """The channels of rendered expressions, 0..1.

    Args:
        expression: Weights of morphs and units.
        names: Of the weights, in order.

    Raises:
        BadInputError: Other weights than these.
    """
    if expression.shape[1] != len(names):
        raise BadInputError(f"array 'expression': expected {len(names)} weights, found {expression.shape[1]}")
    column = {name: place for place, name in enumerate(names)}
    made = []
    for channel in CHANNELS:
        parts = parts_of(channel)
        unknown = sorted(set(parts) - set(column))
        if unknown:
            raise BadInputError(f"array 'expression': expected a weight named {unknown[0]!r}, found none of that name")
        made.append(torch.stack([expression[:, column[name]] * factor for name, factor in parts.items()]).amax(0))
    return torch.stack(made, 1).clamp(0, 1)


def parts_of(channel: str) -> dict[str, float]:
    """The renderer's names that make a channel, with their factors."""
    if channel in OF_BOTH:
        return dict(OF_BOTH[channel])
    stem, _, side = channel.rpartition("_")
    own = SIDES[side]
    return {_sided(name, own): factor for name, factor in OF_A_SIDE[stem].items()}


def mirror_channels(values: Float[Tensor, "b e"], flip: Bool[Tensor, "b"]) -> Float[Tensor, "b e"]:
    """Exchanges what belongs to left and right in flipped rows."""
    twins = [CHANNELS.index(_twin(channel)) for channel in CHANNELS]
    return torch.where(flip[:, None], values[:, twins], values)


def _twin(channel: str) -> str:
    stem, _, side = channel.rpartition("_")
    return f"{stem}_{SIDES[side]}" if side in SIDES else channel


def _sided(name: str, side: str) -> str:
    """`eyebrows-*-up` has small words, `*BrowDown` large ones."""
    return name.replace("*", side if "-" in name else side.capitalize())
