"""What is asked of a method and how answers are judged: cases, metrics, and the protocol's name. READ FIRST.

A method is any call (identity frame, attribute frame) -> frame, or `Swaps` with more of them. It is given cases; each
suite (truth.py, identity.py, attributes.py, realism.py; temporal.py for clips) turns a case and its answer into
numbers. A face that is not found in an answer costs the worst value of every metric that needs one: failures are
counted, never left out. Only a case in whose attribute picture the networks find no face counts for nobody, whatever
was answered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float32, UInt8

from facegraft.core.types import Frame

PROTOCOL = "facegraft-image-2"
"""Printed with every number. The next number follows when a metric, crop or rule changes what a primary metric gives:
only those of two results are ever put side by side. Networks are no part of it: the hashes of their files stand beside
the numbers, and results of other networks are on boards of their own and refused by `--against`."""
CLIP_PROTOCOL = "facegraft-clip-1"

SwapPair = Callable[[Frame, Frame], Frame]
"""(identity frame, attribute frame) -> swapped frame of the attribute frame's size."""
SwapSeveral = Callable[[Sequence[Frame], Frame], Frame]
"""The same of several pictures of one person."""
SwapClip = Callable[[Sequence[Frame], Sequence[Frame], float], Sequence[Frame | None]]
"""(identity frames, a clip's frames, frames a second) -> a swapped frame, or None, for each."""


@dataclass(frozen=True)
class Swaps:
    """A method that says what more it can do than swap one picture into one other.

    Attributes:
        pair: Is asked where nothing better fits.
        several: Is asked where a case has several pictures of the person; None = the first picture is all it sees.
        clip: Is asked for whole clips, which it may follow; None = they are put to it frame by frame alone.
    """

    pair: SwapPair
    several: SwapSeveral | None = None
    clip: SwapClip | None = None


@dataclass(frozen=True)
class Metric:
    """One number per case, or per set of cases.

    Attributes:
        name: Unique: "identity_cosine".
        unit: "dB", "degrees", "%", "" ...
        better: Which way is better.
        worst: What a failure counts: an answer without a face, of the wrong size, or none at all.
        about: One line for people: what it says.
        primary: Shown first; the rest is detail.
    """

    name: str
    unit: str
    better: Literal["high", "low"]
    worst: float
    about: str
    primary: bool = False


@dataclass(frozen=True, eq=False)
class Exact:
    """What a renderer knows of a picture, in its pixels; None = not known. See data/item.py for the arrays.

    Attributes:
        dense: 468 points x, y.
        pose_degrees: Yaw, pitch, roll.
        gaze_degrees: As `item.arrays` has it.
        occluder: 0..255, share of each pixel that a thing before the person covers.
        visible: 0..255, share of the inner face that is seen.
        changed: 255 where the true swap differs from the attribute picture.
    """

    dense: Float32[np.ndarray, "k 2"] | None = None
    pose_degrees: Float32[np.ndarray, "3"] | None = None
    gaze_degrees: Float32[np.ndarray, "2 2"] | None = None
    occluder: UInt8[np.ndarray, "h w"] | None = None
    visible: UInt8[np.ndarray, "h w"] | None = None
    changed: UInt8[np.ndarray, "h w"] | None = None


@dataclass(frozen=True, eq=False)
class Case:
    """One question: this person, into this picture.

    Attributes:
        key: Unique.
        identity: Picture that says who.
        attribute: Picture that gives the rest.
        identity_person: Who it is; "" = unknown, a person of its own.
        attribute_person: Who is replaced. Intervals resample these people.
        stratum: Group for tables; "" = none.
        truth: The right answer, where there is one.
        toned: The same in the attribute's mean skin colour, as practice wants it, where there is one.
        exact: What a renderer knows of the attribute picture and the truth.
        groups: Further groups: "skin" -> "monk 4-6" ...
        more: Further pictures of the person, for methods that take several; judges look at `identity` alone.
    """

    key: str
    identity: Frame
    attribute: Frame
    identity_person: str
    attribute_person: str
    stratum: str = ""
    truth: Frame | None = None
    exact: Exact = field(default_factory=Exact)
    groups: Mapping[str, str] = field(default_factory=dict)
    toned: Frame | None = None
    more: tuple[Frame, ...] = ()

    @property
    def identities(self) -> tuple[Frame, ...]:
        """All pictures of the person."""
        return (self.identity, *self.more)


Values = dict[str, float]
"""Metric -> value; NaN = it does not apply to this case (no truth, no occluder)."""


@dataclass(frozen=True, eq=False)
class Scores:
    """What one method got on a set of cases.

    Attributes:
        method: Its name.
        keys: Of the cases, in order.
        people: Who was replaced, one per case.
        strata: One per case.
        groups: Name of a grouping -> one value per case.
        values: Metric -> one number per case, NaN where it does not apply.
        failed: Cases whose answer had no face or could not be used.
        milliseconds: Of each call.
        features: Name -> one row per case, for metrics of whole sets; the row of a failure is the attribute's, NaN.
        identities: Who was asked for, one per case; () = not known.
        not_asked: Cases in whose attribute picture no face is found: they count for nobody.
    """

    method: str
    keys: tuple[str, ...]
    people: tuple[str, ...]
    strata: tuple[str, ...]
    groups: Mapping[str, tuple[str, ...]]
    values: Mapping[str, np.ndarray]
    failed: np.ndarray
    milliseconds: np.ndarray
    features: Mapping[str, np.ndarray]
    identities: tuple[str, ...] = ()
    not_asked: int = 0

    def __len__(self) -> int:
        return len(self.keys)


def find_metric(metrics: Iterable[Metric], name: str) -> Metric:
    """The metric of this name.

    Raises:
        KeyError: There is none.
    """
    return {metric.name: metric for metric in metrics}[name]


def worst_of(metrics: Sequence[Metric]) -> Values:
    """What a failure gets in these."""
    return {metric.name: metric.worst for metric in metrics}
