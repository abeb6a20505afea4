"""Which stratum a scene belongs to by what it shows; scenes of the stratum "mixed" are of all kinds."""

from __future__ import annotations

import math

from facegraft.data.synth.lamps import HARD
from facegraft.data.synth.scene import Scene

LARGE_POSE_DEGREES = 40.0
"""Where the stratum "large pose" begins."""
STRONG_FACE = 1.1
"""Root of the sum of all squared weights: one scene in a hundred of the stratum "ordinary" goes beyond."""


def stratum_of(scene: Scene, *, photographed_light: bool = False) -> str:
    """The scene's own stratum or, where that is "mixed", the first of those below whose mark it bears.

    "occluded": a thing, a mask or a scarf before the face; "large pose": |yaw| from 40 degrees; "extreme expression":
    strong weights; "hard light": a hard, coloured or opposing lamp; "ordinary": none of these.

    Args:
        scene: Any.
        photographed_light: There is a bank of environments; they count as soft, whatever they show.
    """
    if scene.stratum != "mixed":
        return scene.stratum
    weights = (*scene.expression.morphs.values(), *scene.expression.units.values())
    drawn_light = not (photographed_light and scene.light.measured >= 0)
    marks = {
        "occluded": bool(scene.props) or any(_covers(thing.kind, thing.variant) for thing in scene.worn),
        "large pose": abs(scene.yaw) >= LARGE_POSE_DEGREES,
        "extreme expression": math.hypot(*weights) > STRONG_FACE,
        "hard light": drawn_light and scene.light.kind in HARD,
    }
    return next((name for name, shows in marks.items() if shows), "ordinary")


def _covers(kind: str, variant: str) -> bool:
    """Whether it hides the mouth: a scarf may also lie below the chin."""
    return kind == "face_mask" or (kind == "scarf" and variant == "mouth")
