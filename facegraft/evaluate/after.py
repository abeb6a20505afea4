"""A short look at what a swap did, while its frames are still as they were made: before anything was encoded.

Faces are cut out as they are swapped (`Album`); when the job is done, `measure` looks at these cut-outs. For figures to
publish use `facegraft eval`: here nobody knows the right answer, and a face that is lost is told, not counted.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, Float32

from facegraft.core.geometry import box_around
from facegraft.core.types import Face, Frame, Patch, paste
from facegraft.evaluate.attributes import angle_between, gaze_error, rotation
from facegraft.evaluate.eyes import FIRST, NO_JUDGE, OWN_IDENTITY, SECOND
from facegraft.evaluate.look import Eyes, Seen, outer_eye_distance
from facegraft.evaluate.temporal_pixels import acceleration, flickers
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader
from facegraft.faces.embed import SAME_PERSON
from facegraft.faces.fetch import RECOGNISER, model_folder
from facegraft.faces.recognisers import OnnxRecogniser
from facegraft.faces.topology import OVAL

MOST_GROUPS, RUN = 24, 3
"""Places of a clip at which faces are kept, and frames one after the other at each: an acceleration needs three."""
MOST_FACES = 4
"""Of a frame, the largest."""
MOST_LOOKS = 24
"""Faces that all networks look at."""
GROW = 2.0
"""Side of a cut-out in sides of the box around the face's points."""
MOST_PX = 320
"""Of a cut-out's longer side; larger ones are made smaller."""


@dataclass(frozen=True, eq=False)
class Placed:
    """A face that was swapped: where it was, by the attribute frame's pixels, who it became, what was added."""

    face: Face
    key: str
    patch: Patch


@dataclass(frozen=True, eq=False)
class Cutout:
    """One swapped face of one frame.

    Attributes:
        group: Frame number at which its run of frames begins.
        number: Of its frame.
        key: Of the identity that it got.
        face: In the cut-out's pixels.
        attribute: Before.
        swapped: After.
    """

    group: int
    number: int
    key: str
    face: Face
    attribute: Frame
    swapped: Frame


class Album:
    """Cut-outs of swapped faces, spread evenly over a clip whose length nobody needs to know.

    Runs of `RUN` frames are kept at every so many frames; when there are more than `MOST_GROUPS` of them every other
    one is dropped, and from then on they are taken half as often. So memory is bounded, and half of the most are kept.
    """

    def __init__(self) -> None:
        self.cutouts: list[Cutout] = []
        self._every = RUN
        self._windows: dict[tuple[int, int], tuple[int, int, int, int]] = {}

    def wants(self, number: int) -> bool:
        """Whether this frame is to be added."""
        return number % self._every < RUN

    def add(self, number: int, frame: Frame, placed: Sequence[Placed]) -> None:
        """Keeps the faces of a frame, cut out.

        Args:
            number: Of the frame, from 0; grows from call to call.
            frame: The attribute frame; copied.
            placed: What was swapped in it.
        """
        group = number - number % self._every
        largest = sorted(placed, key=lambda one: -float(np.ptp(one.face.dense[:, :2], axis=0).max()))[:MOST_FACES]
        swapped = frame.copy()
        paste(swapped, [one.patch for one in placed])
        for one in largest:
            place = (group, one.face.number)
            if place not in self._windows and number != group:
                continue  # a run that lacks its first frame is none
            left, top, right, bottom = self._windows.setdefault(place, _window(one.face, frame))
            if left < right and top < bottom:
                part = slice(top, bottom), slice(left, right)
                scale = min(1.0, MOST_PX / max(right - left, bottom - top))
                views = _scaled(frame[part], scale), _scaled(swapped[part], scale)
                face = _moved(one.face, (left, top), scale)
                self.cutouts.append(Cutout(group, number, one.key, face, *views))
        self._thin()

    def runs(self) -> Iterator[list[Cutout]]:
        """The cut-outs of one face, one frame after the other, as far as it was swapped in all of them."""
        ordered = sorted(self.cutouts, key=lambda one: (one.group, one.face.number, one.number))
        for _, found in groupby(ordered, key=lambda one: (one.group, one.face.number)):
            run = list(found)
            whole = 1 + next((at for at, (a, b) in enumerate(pairwise(run)) if b.number != a.number + 1), len(run) - 1)
            yield run[:whole]

    def _thin(self) -> None:
        while len({one.group for one in self.cutouts}) > MOST_GROUPS:
            self._every *= 2
            self.cutouts = [one for one in self.cutouts if one.group % self._every == 0]
            self._windows = {place: box for place, box in self._windows.items() if place[0] % self._every == 0}


@dataclass(frozen=True)
class Quality:
    """What a swap did to its faces: means over those that were looked at; None = not measured.

    Attributes:
        looked_at: Faces that the networks looked at.
        lost: Of these, how many are no face to them any more.
        judge: Recogniser that judged identity; "" = none.
        identity_cosine: Likeness of the swapped faces to the identity's pictures.
        identity_before: The same of the faces that were there.
        pose_degrees: Angle between the heads' rotations, after and before.
        expression_percent: Action units apart, of their range.
        gaze_degrees: Angle between gazes in the head, of open eyes.
        flicker_levels: Clips: change from frame to frame that is not the attribute clip's, in levels of 8 bits.
        landmark_jitter_percent: Clips: trembling of the points beyond the attribute clip's, of the outer-eye distance.
        outside_pixels: Pictures in lossless files: pixels that differ where nothing was added.
        seconds: That looking took.
        not_measured: What is missing and why, one line each.
    """

    looked_at: int = 0
    lost: int = 0
    judge: str = ""
    identity_cosine: float | None = None
    identity_before: float | None = None
    pose_degrees: float | None = None
    expression_percent: float | None = None
    gaze_degrees: float | None = None
    flicker_levels: float | None = None
    landmark_jitter_percent: float | None = None
    outside_pixels: int | None = None
    seconds: float = 0.0
    not_measured: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    def lines(self) -> list[str]:
        """For people: what was measured in words, what was not, and why."""
        said = [self._identity(), self._kept(), self._steady(), self._outside()]
        return [*filter(None, said), *(f"not measured: {line}" for line in self.not_measured)]

    def _identity(self) -> str:
        lost = f"; {self.lost} of {self.looked_at} faces are not found any more" if self.lost else ""
        if self.identity_cosine is None:
            return lost.removeprefix("; ")
        scale = f", {SAME_PERSON} and more: one person" if self.judge == FIRST else ""
        before = "" if self.identity_before is None else f" (before: {self.identity_before:.3f})"
        return f"likeness to the identity {self.identity_cosine:.3f}{before}, judged by {self.judge}{scale}{lost}"

    def _kept(self) -> str:
        parts = (
            ("pose", self.pose_degrees, "degrees"),
            ("expression", self.expression_percent, "%"),
            ("gaze", self.gaze_degrees, "degrees"),
        )
        said = [f"{name} {value:.1f} {unit}" for name, value, unit in parts if value is not None]
        return f"off the attribute: {', '.join(said)}" if said else ""

    def _steady(self) -> str:
        said = [] if self.flicker_levels is None else [f"flicker {self.flicker_levels:.1f} levels of 255"]
        if self.landmark_jitter_percent is not None:
            said.append(f"trembling of the points {self.landmark_jitter_percent:+.2f} % of the eyes' distance")
        return ", ".join(said)

    def _outside(self) -> str:
        return "" if self.outside_pixels is None else f"{self.outside_pixels} pixels changed outside the swapped faces"


def eyes_for(analyser: Analyser) -> Eyes:
    """What `measure` looks through: a loaded analyser, and the recogniser that was fetched, else ours, if here.

    Raises:
        MissingPartError: One of our own networks is missing or broken.
    """
    recognisers = {FIRST: model_folder() / RECOGNISER, SECOND: OWN_IDENTITY}
    judges = [(name, OnnxRecogniser(path)) for name, path in recognisers.items() if path.is_file()][:1]
    return Eyes(analyser, AttributeReader(), dict(judges))


def measure(album: Album, eyes: Eyes, identities: Mapping[str, Sequence[Frame]], *, clip: bool = False) -> Quality:
    """Looks at the cut-outs of a job.

    Args:
        album: Of the job.
        eyes: As `eyes_for` makes them.
        identities: Key -> pictures of that person.
        clip: Whether flicker and trembling are asked for.
    """
    began = time.perf_counter()
    runs = list(album.runs())
    if not runs:
        return Quality(not_measured=("quality: no face was swapped in the frames that were looked at",))
    known = {key: _embedding(eyes, frames) for key, frames in identities.items()}
    rows = [_look(run[0], eyes, known) for run in runs[:: math.ceil(len(runs) / MOST_LOOKS)]]
    found = [row for row in rows if row is not None]
    means: dict[str, Any] = {name: _mean([row[name] for row in found]) for name in found[0]} if found else {}
    missing = [] if eyes.judges else [NO_JUDGE]
    if clip:
        flicker, jitter = _steadiness(runs, eyes)
        means |= {"flicker_levels": flicker, "landmark_jitter_percent": jitter}
        missing += [] if flicker is not None else ["flicker: nobody was swapped in frames one after the other"]
    return Quality(
        looked_at=len(rows),
        lost=len(rows) - len(found),
        judge=next(iter(eyes.judges), ""),
        seconds=time.perf_counter() - began,
        not_measured=tuple(missing),
        **means,
    )


def outside_pixels(attribute: Frame, written: Frame, patches: Sequence[Patch]) -> int:
    """Pixels of a written picture that are not the attribute picture's although no patch changes them.

    Args:
        attribute: Before.
        written: Read back from its file; of the same size.
        patches: All that were added.
    """
    differ = (attribute != written).any(2)
    for patch in patches:
        height, width = patch.delta.shape[:2]
        part = differ[patch.top : patch.top + height, patch.left : patch.left + width]
        part &= ~(patch.delta != 0).any(2)
    return int(differ.sum())


def _look(cutout: Cutout, eyes: Eyes, known: Mapping[str, Float32[np.ndarray, "d"] | None]) -> dict[str, float] | None:
    """What became of one face; None where the networks see none any more."""
    before, after = (eyes.look(frame, cutout.face) for frame in (cutout.attribute, cutout.swapped))
    told, read = before.attributes, after.attributes
    if read is None:
        return None
    nan = math.nan
    person, judge = known.get(cutout.key), next(iter(eyes.judges), "")

    def likeness(seen: Seen) -> float:
        return nan if person is None or seen.face is None else float(seen.embeddings[judge] @ person)

    return {
        "identity_cosine": likeness(after),
        "identity_before": likeness(before),
        "pose_degrees": nan if told is None else angle_between(rotation(after), rotation(before)),
        "expression_percent": nan if told is None else 100 * float(np.abs(read.expression - told.expression).mean()),
        "gaze_degrees": nan if told is None else gaze_error(read, told),
    }


def _steadiness(runs: Sequence[Sequence[Cutout]], eyes: Eyes) -> tuple[float | None, float | None]:
    """`temporal_pixels.flickers` and `acceleration` beyond the attribute's own, over all runs."""
    flicker: list[float] = []
    jitter: list[float] = []
    for run in runs:
        before, after = [one.attribute for one in run], [one.swapped for one in run]
        steps = flickers(after, before, [_oval(one.face, one.attribute) for one in run])
        flicker += [step for step in steps if step is not None]
        if len(run) == RUN:
            moves = [acceleration(_points(frames, run, eyes)) for frames in (after, before)]
            jitter.append(100 * (moves[0] - moves[1]) / outer_eye_distance(run[0].face))
    return _mean(flicker), _mean(jitter)


def _points(frames: Sequence[Frame], run: Sequence[Cutout], eyes: Eyes) -> Float32[np.ndarray, "3 k 2"]:
    """Points of each frame, found anew from where the face was: not smoothed, as those of a track are."""
    found = [eyes.analyser.refine(frame, one.face.dense[None]).dense[0] for frame, one in zip(frames, run, strict=True)]
    return np.stack(found)[..., :2]


def _embedding(eyes: Eyes, frames: Sequence[Frame]) -> Float32[np.ndarray, "d"] | None:
    """Unit vector of a person's pictures together; None without a judge, or where no face is found."""
    rows = [vector for frame in frames for vector in eyes.look(frame).embeddings.values()]
    if not rows:
        return None
    both = np.sum(rows, axis=0)
    return np.asarray(both / max(float(np.linalg.norm(both)), 1e-12), np.float32)


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else None


def _window(face: Face, frame: Frame) -> tuple[int, int, int, int]:
    """Left, top, right, bottom around a face, within the frame."""
    height, width = frame.shape[:2]
    left, top, right, bottom = box_around(face.dense[:, :2], GROW)
    return max(0, int(left)), max(0, int(top)), min(width, math.ceil(right)), min(height, math.ceil(bottom))


def _scaled(part: Frame, scale: float) -> Frame:
    if scale == 1:
        return part.copy()
    return np.asarray(cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def _moved(face: Face, corner: tuple[int, int], scale: float) -> Face:
    """The face in the pixels of a cut-out."""
    shift = np.array(corner, np.float32)
    dense = face.dense.copy()
    dense[:, :2] -= shift
    return dataclasses.replace(
        face,
        box_xyxy=((face.box_xyxy - np.tile(shift, 2)) * scale).astype(np.float32),
        points5=((face.points5 - shift) * scale).astype(np.float32),
        dense=(dense * scale).astype(np.float32),
    )


def _oval(face: Face, frame: Frame) -> Bool[np.ndarray, "h w"]:
    filled = np.zeros(frame.shape[:2], np.uint8)
    hull = cv2.convexHull(np.rint(face.dense[list(OVAL), :2] - np.float32(0.5)).astype(np.int32))
    cv2.fillConvexPoly(filled, hull, 1)
    return filled > 0
