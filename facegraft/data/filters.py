"""Which faces are good enough for a dataset, and the reason of each that is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facegraft.core.errors import BadInputError


@dataclass(frozen=True)
class Limits:
    """What a face must reach. Defaults let pass what a person would call usable."""

    min_face_px: float | int = 64
    """Longer side of the box around the face's points, in pixels of the original picture."""
    min_score: float | int = 0.5
    min_sharpness: float | int = 0.08
    """`measure.sharpness` of the crop: a small face enlarged is as blurred as one out of focus."""
    min_exposure: float | int = 0.1
    max_exposure: float | int = 0.92
    max_clipped: float | int = 0.3
    max_yaw: float | int = 75
    """Degrees; further round the landmarks are guesses."""
    max_pitch: float | int = 60
    max_cut: float | int = 0.15
    """Share of the face itself that the picture's border cuts off."""
    max_outside: float | int = 0.65
    """Share of the crop that lies outside the original picture and had to be filled."""
    max_hidden: float | int = 1
    """Share of the face that hair, glasses, hands or things hide: any, but a pair's own model wants bare faces."""

    def __post_init__(self) -> None:
        shares = ("min_score", "min_exposure", "max_exposure", "max_clipped", "max_cut", "max_outside", "max_hidden")
        for name, value in vars(self).items():
            top = 1 if name in shares else 180 if name in ("max_yaw", "max_pitch") else 1e6
            if not 0 <= value <= top:
                option = name.removesuffix("_px").replace("_", "-")
                raise BadInputError(f"--{option}: expected 0 to {top:g}, found {value}")


@dataclass(frozen=True)
class Rejection:
    """One thing that is not in the dataset.

    Attributes:
        name: File, as the user named it or below the folder that was named.
        frame_number: Of a clip; -1 = none.
        reason: One of a few words, for counting.
        detail: What was found.
    """

    name: str
    frame_number: int
    reason: str
    detail: str = ""


_CHECKS = (
    ("face_px", "min_face_px", "face too small", "{value:.0f} px, at least {limit:g}"),
    ("score", "min_score", "score too low", "{value:.2f}, at least {limit:g}"),
    ("yaw", "max_yaw", "turned too far", "yaw {value:.0f} degrees, at most {limit:g}"),
    ("pitch", "max_pitch", "turned too far", "pitch {value:.0f} degrees, at most {limit:g}"),
    ("cut_share", "max_cut", "cut off by the border", "{value:.0%} of the face, at most {limit:.0%}"),
    ("outside_share", "max_outside", "cut off by the border", "{value:.0%} of the crop, at most {limit:.0%}"),
    ("occluded_share", "max_hidden", "hidden", "{value:.0%} of the face, at most {limit:.0%}"),
    ("sharpness", "min_sharpness", "blurred", "sharpness {value:.3f}, at least {limit:g}"),
    ("exposure", "min_exposure", "too dark", "brightness {value:.2f}, at least {limit:g}"),
    ("exposure", "max_exposure", "too bright", "brightness {value:.2f}, at most {limit:g}"),
    ("clipped_share", "max_clipped", "black or burnt out", "{value:.0%} of the face, at most {limit:.0%}"),
)
"""Fact, limit, reason, detail; in the order in which they are asked."""


def reason_against(facts: Mapping[str, object], limits: Limits) -> tuple[str, str] | None:
    """The first limit that a face breaks, as a reason and a detail; None: it is good.

    Args:
        facts: What was measured so far; a limit on something else is not asked. Yaw and pitch count by their size.
        limits: What to reach.
    """
    for name, limit_name, reason, detail in _CHECKS:
        value = facts.get(name)
        if not isinstance(value, int | float):
            continue
        limit = float(getattr(limits, limit_name))
        broken = abs(value) > limit if limit_name.startswith("max") else value < limit
        if broken:
            return reason, detail.format(value=value, limit=limit)
    return None


def count_reasons(rejected: Sequence[Rejection]) -> dict[str, int]:
    """Reason -> how often, the most frequent first."""
    return dict(Counter(entry.reason for entry in rejected).most_common())
