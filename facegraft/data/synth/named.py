"""MakeHuman's named expressions as pose units: the table that scenes draw from, and the reader it was made with.

A scene is sampled without the assets, so the weights stand here (CC0, MakeHuman team and Data Collection AB); a test
compares them with the files. Eye turns are left out (a scene has its own gaze), and weights below .05.
"""

from __future__ import annotations

import json
from pathlib import Path

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.files import shown

LEAST = 0.05
_EYE_TURNS = ("EyeUp", "EyeDown", "EyeturnLeft", "EyeturnRight")


def read_named(assets: Path, name: str) -> dict[str, float]:
    """Pose units (0..1) of `data/expressions/<name>.mhpose`, rounded to .01, as in NAMED_UNITS.

    Raises:
        MissingPartError: There is no such file.
        BadInputError: The file is not what it should be.
    """
    path = assets / "data" / "expressions" / f"{name}.mhpose"
    if not path.is_file():
        raise MissingPartError(
            f"{shown(path)}: expected a named expression, found no file; run `facegraft data assets`"
        )
    try:
        weights = {str(unit): float(weight) for unit, weight in json.loads(path.read_text())["unit_poses"].items()}
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise BadInputError(
            f"{shown(path)}: expected JSON with numbers in `unit_poses`, found {type(error).__name__}; fetch it again"
        ) from error
    return {unit: round(w, 2) for unit, w in sorted(weights.items()) if w >= LEAST and not unit.endswith(_EYE_TURNS)}


NAMED_UNITS: dict[str, dict[str, float]] = {
    "anger01": {
        "CheeksSuck": 0.31,
        "LeftBrowDown": 0.64,
        "LeftCheekUp": 0.96,
        "MouthLeftPlatysma": 0.33,
        "MouthRightPlatysma": 0.16,
        "NasolabialDeepener": 1.0,
        "NoseWrinkler": 0.47,
        "RightBrowDown": 0.36,
        "RightCheekUp": 0.85,
        "UpperLipUp": 1.0,
        "lowerLipDown": 0.19,
    },
    "attention01": {"LeftBrowDown": 0.06, "NoseWrinkler": 0.35, "RightBrowDown": 0.15},
    "boring01": {
        "CheeksPump": 1.0,
        "LeftInnerBrowUp": 0.33,
        "LeftUpperLidClosed": 0.1,
        "LipsKiss": 0.24,
        "RightInnerBrowUp": 0.26,
        "RightUpperLidClosed": 0.13,
    },
    "cry01": {
        "LeftInnerBrowUp": 0.58,
        "LeftLowerLidUp": 0.69,
        "LeftUpperLidClosed": 0.38,
        "MouthLeftPlatysma": 0.53,
        "MouthRightPlatysma": 0.58,
        "NasolabialDeepener": 0.61,
        "RightInnerBrowUp": 0.64,
        "RightLowerLidUp": 0.59,
        "RightUpperLidClosed": 0.41,
        "lowerLipDown": 0.21,
    },
    "determination01": {
        "LeftBrowDown": 0.31,
        "MouthLeftPullSide": 0.38,
        "MouthRightPullUp": 0.35,
        "NoseWrinkler": 0.13,
        "RightBrowDown": 0.07,
    },
    "determination02": {
        "LeftBrowDown": 0.31,
        "LeftCheekUp": 0.31,
        "LeftLowerLidUp": 0.19,
        "MouthLeftPullSide": 0.38,
        "MouthLeftPullUp": 0.24,
        "MouthRightPullUp": 0.35,
        "NoseWrinkler": 0.13,
        "RightBrowDown": 0.07,
        "RightCheekUp": 0.12,
        "RightLowerLidUp": 0.24,
    },
    "disgust01": {
        "LeftBrowDown": 0.28,
        "LeftCheekUp": 0.6,
        "LeftLowerLidUp": 0.16,
        "LeftUpperLidClosed": 0.13,
        "MouthLeftPlatysma": 1.0,
        "MouthRightPlatysma": 0.95,
        "NasolabialDeepener": 1.0,
        "NoseWrinkler": 0.18,
        "RightCheekUp": 0.7,
        "RightLowerLidUp": 0.16,
        "RightUpperLidClosed": 0.11,
        "UpperLipStretched": 0.16,
        "lowerLipDown": 0.16,
    },
    "doubt01": {
        "MouthLeftPullDown": 0.18,
        "MouthRightPullDown": 0.15,
        "RightOuterBrowUp": 0.32,
        "UpperLipBackward": 0.36,
        "lowerLipUp": 0.33,
    },
    "effort01": {
        "LeftBrowDown": 0.21,
        "LeftCheekUp": 0.68,
        "LeftLowerLidUp": 1.0,
        "LeftUpperLidClosed": 0.29,
        "MouthLeftPlatysma": 0.98,
        "MouthRightPlatysma": 0.97,
        "NasolabialDeepener": 0.6,
        "NoseWrinkler": 0.43,
        "RightBrowDown": 0.2,
        "RightCheekUp": 0.72,
        "RightLowerLidUp": 0.98,
        "RightUpperLidClosed": 0.29,
        "UpperLipUp": 0.95,
    },
    "effort02": {
        "JawDrop": 0.63,
        "JawDropStretched": 0.66,
        "LeftLowerLidUp": 1.0,
        "LeftUpperLidClosed": 0.29,
        "MouthLeftPlatysma": 0.48,
        "MouthRightPullUp": 0.52,
        "NasolabialDeepener": 1.0,
        "NoseWrinkler": 0.43,
        "RightBrowDown": 0.36,
        "RightCheekUp": 0.72,
        "RightLowerLidUp": 0.98,
        "RightUpperLidClosed": 0.38,
        "UpperLipUp": 0.95,
    },
    "effort03": {
        "LeftBrowDown": 0.17,
        "LeftLowerLidUp": 1.0,
        "LeftUpperLidClosed": 0.42,
        "MouthLeftPlatysma": 0.48,
        "MouthRightPlatysma": 0.52,
        "MouthRightPullUp": 0.52,
        "NasolabialDeepener": 1.0,
        "NoseWrinkler": 0.79,
        "RightBrowDown": 0.45,
        "RightCheekUp": 0.72,
        "RightLowerLidUp": 0.98,
        "RightUpperLidClosed": 0.6,
        "UpperLipUp": 1.0,
        "lowerLipDown": 0.7,
    },
    "fear01": {
        "JawDrop": 0.43,
        "LeftUpperLidOpen": 0.53,
        "NasolabialDeepener": 1.0,
        "RightInnerBrowUp": 0.07,
        "RightUpperLidOpen": 0.46,
    },
    "fear02": {
        "ChinRight": 1.0,
        "JawDropStretched": 0.99,
        "LeftOuterBrowUp": 0.46,
        "LeftUpperLidOpen": 1.0,
        "MouthRightPlatysma": 0.18,
        "RightOuterBrowUp": 0.73,
        "RightUpperLidOpen": 0.99,
    },
    "fear03": {
        "ChinRight": 1.0,
        "LeftInnerBrowUp": 0.46,
        "LeftOuterBrowUp": 0.46,
        "LeftUpperLidOpen": 1.0,
        "MouthLeftPlatysma": 0.34,
        "MouthRightPlatysma": 0.28,
        "RightInnerBrowUp": 0.18,
        "RightOuterBrowUp": 0.73,
        "RightUpperLidOpen": 0.99,
        "lowerLipDown": 0.17,
    },
    "fear04": {
        "ChinRight": 1.0,
        "JawDropStretched": 1.0,
        "LeftInnerBrowUp": 0.62,
        "LeftOuterBrowUp": 0.32,
        "LeftUpperLidOpen": 1.0,
        "MouthLeftPlatysma": 0.34,
        "MouthRightPlatysma": 0.28,
        "RightInnerBrowUp": 0.55,
        "RightOuterBrowUp": 0.36,
        "RightUpperLidOpen": 1.0,
        "lowerLipDown": 0.17,
    },
    "laugh01": {
        "JawDropStretched": 0.59,
        "LeftCheekUp": 0.65,
        "MouthLeftPullUp": 0.26,
        "MouthRightPullUp": 0.26,
        "NasolabialDeepener": 0.44,
        "RightCheekUp": 0.63,
        "UpperLipStretched": 0.51,
        "lowerLipBackward": 0.23,
    },
    "laugh02": {
        "JawDropStretched": 0.78,
        "LeftCheekUp": 0.65,
        "LeftInnerBrowUp": 0.27,
        "LeftLowerLidUp": 0.34,
        "MouthLeftPullUp": 0.26,
        "MouthRightPullUp": 0.26,
        "NasolabialDeepener": 0.54,
        "RightCheekUp": 0.4,
        "RightInnerBrowUp": 0.42,
        "RightLowerLidUp": 0.52,
        "UpperLipStretched": 0.56,
        "lowerLipBackward": 0.23,
    },
    "sad01": {
        "LeftInnerBrowUp": 0.34,
        "RightInnerBrowUp": 0.42,
        "UpperLipBackward": 0.29,
        "lowerLipForward": 0.05,
        "lowerLipUp": 1.0,
    },
    "sad02": {
        "LeftInnerBrowUp": 0.52,
        "MouthLeftPullDown": 0.53,
        "MouthRightPullDown": 0.49,
        "RightInnerBrowUp": 0.58,
        "lowerLipUp": 0.21,
    },
    "sceptical01": {"LeftBrowDown": 0.05, "RightOuterBrowUp": 0.62},
    "sleep01": {"JawDrop": 0.07, "LeftUpperLidClosed": 1.0, "RightUpperLidClosed": 1.0},
    "smile01": {"MouthLeftPullUp": 0.6, "MouthRightPullUp": 0.23, "NasolabialDeepener": 0.05},
    "smile02": {
        "LeftBrowDown": 0.12,
        "LeftCheekUp": 0.63,
        "LeftLowerLidUp": 0.21,
        "MouthLeftPullUp": 0.89,
        "MouthRightPullUp": 0.54,
        "NasolabialDeepener": 0.25,
        "RightLowerLidUp": 0.11,
    },
    "smile03": {"MouthLeftPullSide": 0.33, "MouthLeftPullUp": 0.36, "MouthRightPullUp": 0.35, "UpperLipBackward": 0.55},
    "smile04": {
        "CheeksSuck": 0.9,
        "LeftBrowDown": 0.15,
        "LeftCheekUp": 0.37,
        "LeftLowerLidUp": 0.48,
        "LeftUpperLidClosed": 0.08,
        "MouthLeftPullUp": 0.86,
        "MouthRightPullUp": 0.8,
        "NasolabialDeepener": 0.22,
        "RightCheekUp": 0.38,
        "RightLowerLidUp": 0.44,
        "RightUpperLidClosed": 0.1,
        "lowerLipBackward": 0.29,
    },
    "smile05": {
        "LeftCheekUp": 0.76,
        "LeftLowerLidUp": 0.26,
        "NasolabialDeepener": 0.84,
        "RightCheekUp": 0.75,
        "RightLowerLidUp": 0.2,
        "UpperLipStretched": 0.66,
        "lowerLipBackward": 0.47,
        "lowerLipDown": 0.18,
    },
    "stunned01": {"JawDrop": 0.16, "LeftOuterBrowUp": 0.22, "LeftUpperLidClosed": 0.42, "RightUpperLidClosed": 0.64},
    "surprise01": {
        "JawDrop": 0.52,
        "LeftInnerBrowUp": 0.41,
        "LeftUpperLidOpen": 0.35,
        "LipsKiss": 0.35,
        "MouthLeftPullUp": 0.35,
        "MouthRightPullUp": 0.32,
        "RightInnerBrowUp": 0.32,
        "RightUpperLidOpen": 0.42,
    },
    "surprise02": {
        "JawDropStretched": 0.63,
        "LeftInnerBrowUp": 0.41,
        "LeftUpperLidOpen": 0.35,
        "LipsKiss": 0.35,
        "MouthLeftPullUp": 0.7,
        "MouthRightPullUp": 0.43,
        "RightInnerBrowUp": 0.32,
        "RightUpperLidOpen": 0.42,
    },
    "threaten01": {"LeftBrowDown": 0.35, "NoseWrinkler": 0.13, "RightBrowDown": 0.23},
    "threaten02": {
        "LeftBrowDown": 0.59,
        "LeftLowerLidUp": 0.83,
        "LeftUpperLidClosed": 0.17,
        "NasolabialDeepener": 0.56,
        "NoseWrinkler": 0.26,
        "RightBrowDown": 0.07,
        "RightLowerLidUp": 0.73,
        "RightUpperLidClosed": 0.28,
        "UpperLipUp": 0.51,
    },
    "vocalize01": {
        "JawDrop": 0.15,
        "LipsKiss": 0.58,
        "MouthMoveLeft": 0.13,
        "NasolabialDeepener": 0.65,
        "UpperLipForward": 0.44,
        "UpperLipUp": 0.87,
        "lowerLipForward": 0.44,
    },
}
