"""One unit of `ingest`: photographs or a stretch of a clip into aligned items, and a list of what was left out.

A unit is done when its record is there. The record is written last, so a unit that was cut short is simply done again,
with the same result.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError, OutputError
from facegraft.core.files import atomic_path, read_bytes
from facegraft.core.image import read_picture
from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.core.types import Face, Frame, Mask, Matrix
from facegraft.data.clip_frames import clip_frames
from facegraft.data.dataset import Item, shard_done, write_shard
from facegraft.data.duplicates import SAME_PICTURE, Fingerprint, fingerprint, is_same_picture
from facegraft.data.filters import Limits, Rejection, reason_against
from facegraft.data.ingest_crop import (
    as_faces,
    cut,
    find_faces,
    in_crop,
    place_facts,
    visible_part,
)
from facegraft.data.ingest_plan import Listed, Unit
from facegraft.data.measure import measure
from facegraft.faces.align import alignment, template_points
from facegraft.faces.analyse import Analyser, FaceNetworks
from facegraft.faces.embed import Recogniser
from facegraft.faces.fetch import MODELS, OWN, PACKAGE, model_path, own_networks
from facegraft.faces.own import OwnNetworks
from facegraft.faces.topology import landmarks68
from facegraft.faces.track import Tracker

LARGEST_CROP = 4096
POINTS = ("own", "mediapipe")


@dataclass(frozen=True)
class Recipe:
    """How faces become items; the same for all units."""

    size: int = 256
    template: str = "ffhq"
    points: str = "own"
    """Whose networks find the faces, place the points and say what is visible: one of `POINTS`; mediapipe is a teacher,
    for training our own on photographs."""
    every: int = 5
    """Of a clip's frames, one in this many is looked at."""
    jpeg_quality: int | None = 95
    """None: PNG."""
    embed: bool = True
    """Store embeddings. False without a recogniser."""
    same_picture: float | int = SAME_PICTURE
    max_pixels: int = 200_000_000
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class UnitReport:
    """What became of a unit."""

    number: int
    items: int
    faces: int
    frames: int
    together: tuple[tuple[str, str], ...]
    """Pairs of `person_mark`s seen at the same time, who cannot be one person."""
    rejected: tuple[Rejection, ...]


def do_unit(unit: Unit, recipe: Recipe, staging: Path) -> UnitReport:
    """Does a unit, or reads what became of it if it is done already.

    Raises:
        OutputError: The staging folder cannot be written.
        MissingPartError: The networks are not there.
    """
    done = read_report(staging, unit.number)
    if done is not None:
        return done
    gather = _Gather(unit, recipe)
    if unit.is_clip:
        gather.clip(unit.files[0])
    else:
        for file in unit.files:
            gather.photo(file)
    report = gather.report()
    if gather.items:
        write_shard(staging, unit.number, gather.items)
    path = _record(staging, unit.number)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(report)) + "\n", encoding="utf-8")
    return report


def read_report(staging: Path, number: int) -> UnitReport | None:
    """What became of a unit; None: it is not done yet, or its shard was lost since."""
    path = _record(staging, number)
    if not path.exists():
        return None
    found: dict[str, Any] = json.loads(read_bytes(path))
    if found["items"] and not shard_done(staging, number):
        return None
    rejected = tuple(Rejection(**entry) for entry in found.pop("rejected"))
    together = tuple((one, other) for one, other in found.pop("together"))
    return UnitReport(**found, together=together, rejected=rejected)


def _record(staging: Path, number: int) -> Path:
    return staging / "units" / f"{number:06d}.json"


@functools.cache
def _analyser(points: str) -> Analyser:
    """One per process: loading takes longer than a face."""
    return Analyser(networks_of(points))


def networks_of(points: str) -> FaceNetworks:
    """The networks that one of `POINTS` stands for."""
    if points == "mediapipe":
        from facegraft.faces.mediapipe import MediaPipeNetworks

        return MediaPipeNetworks()
    return OwnNetworks()


def who_placed(points: str) -> str:
    """What a dataset's card says of its points: our networks change from version to version."""
    told = "Faces were found, points placed and visibility told by"
    if points == "mediapipe":
        return f"{told} a teacher: {PACKAGE.replace('==', ' ')}."
    ours = ", ".join(f"{network.name} {network.sha256[:12]}" for network in own_networks() if network.name in OWN)
    return f"{told} facegraft's own networks (SHA-256: {ours})."


@functools.cache
def _recogniser() -> Recogniser:
    return Recogniser()


class _Gather:
    """Collects the items and rejections of one unit."""

    def __init__(self, unit: Unit, recipe: Recipe) -> None:
        self._unit = unit
        self._recipe = recipe
        self._analyser = _analyser(recipe.points)
        self.items: list[Item] = []
        self._rejected: list[Rejection] = []
        self._faces = self._frames = 0
        self._together: set[tuple[str, str]] = set()
        self._kept: dict[int, list[Fingerprint]] = {}

    def report(self) -> UnitReport:
        together, rejected = tuple(sorted(self._together)), tuple(self._rejected)
        return UnitReport(self._unit.number, len(self.items), self._faces, self._frames, together, rejected)

    # --- photographs ----------------------------------------------------------------------------------

    def photo(self, file: Listed) -> None:
        """One photograph; whatever is wrong with it is its own matter."""
        with _own_fault(file, self._rejected):
            frame = _frame_of(file, self._recipe.max_pixels)
            self._frames += 1
            faces = find_faces(self._analyser.networks, frame, self._recipe.limits.min_score)
            self._faces += len(faces)
            if len(faces) == 0:
                self._rejected.append(Rejection(file.name, -1, "no face"))
            for row, face in enumerate(faces):
                if row > 0 and file.person:
                    self._rejected.append(Rejection(file.name, -1, "not the largest face", f"of {file.person}"))
                else:
                    self._add(file, frame, face, -1)
            self._note_together(file, [face.number for face in faces])

    # --- clips ----------------------------------------------------------------------------------------

    def clip(self, file: Listed) -> None:
        """A stretch of a clip: faces followed, one item for each view that differs from those before."""
        with _own_fault(file, self._rejected):
            seen: dict[int, int] = {}
            tracker = Tracker(self._analyser, _recogniser() if self._recipe.embed else None)
            stretch = clip_frames(
                Path(file.path), start_s=self._unit.start_s, end_s=self._unit.end_s, every=self._recipe.every
            )
            for shot in stretch:
                self._frames += 1
                faces = tracker.update(shot.frame, shot.time_s)
                self._faces += len(faces)
                self._note_together(file, faces.numbers.tolist())
                for face in faces:
                    seen[face.number] = seen.get(face.number, 0) + 1
                    self._add(file, shot.frame, face, shot.number)
            if self._frames and not seen:
                self._rejected.append(Rejection(file.name, -1, "no face", f"in {self._frames} frames"))
            if file.person and seen:
                self._only_track(file, max(seen, key=lambda number: (seen[number], -number)))

    def _only_track(self, file: Listed, number: int) -> None:
        """A clip of a known person shows them longest; the other faces are nobody we know."""
        others = [item for item in self.items if item.facts["track"] != number]
        self._rejected += [
            Rejection(file.name, item.frame_number, "not the largest face", f"of {file.person}") for item in others
        ]
        self.items = [item for item in self.items if item.facts["track"] == number]

    # --- one face -------------------------------------------------------------------------------------

    def _add(self, file: Listed, frame: Frame, face: Face, frame_number: int) -> None:
        made = self._made(file, frame, face, frame_number)
        if isinstance(made, Item):
            self.items.append(made)
        else:
            self._rejected.append(Rejection(file.name, frame_number, *made))

    def _made(self, file: Listed, frame: Frame, face: Face, frame_number: int) -> Item | tuple[str, str]:
        """An item, or the reason and detail of why not."""
        recipe, matrix = self._recipe, alignment(face.points5, self._recipe.template, self._recipe.size)
        facts: dict[str, Any] = place_facts(face, matrix, frame, recipe.size)
        if (against := reason_against(facts, recipe.limits)) is not None:
            return against
        crop, inside = cut(frame, matrix, recipe.size)
        mark = fingerprint(crop, template_points(recipe.template, recipe.size))
        if self._unit.is_clip:
            kept = self._kept.setdefault(face.number, [])
            if any(is_same_picture(mark, other, recipe.same_picture) for other in kept):
                return "near-duplicate", "of an earlier frame"
            kept.append(mark)
        shown = in_crop(face, matrix, self._analyser.topology)
        visible, occluded = visible_part(self._analyser, crop, shown, inside)
        facts |= {"file": file.name, "track": face.number, "hash": mark.text, "occluded_share": occluded}
        facts |= measure(crop, landmarks68(shown.dense), visible)
        if (against := reason_against(facts, recipe.limits)) is not None:
            if self._unit.is_clip:
                kept.pop()
            return against
        planes = {"visible": visible} | ({"inside": inside} if facts["outside_share"] > 0 else {})
        return self._item(file, frame, crop, face, shown, matrix, planes, facts, frame_number)

    def _item(
        self,
        file: Listed,
        frame: Frame,
        crop: Frame,
        face: Face,
        shown: Face,
        matrix: Matrix,
        planes: dict[str, Mask],
        facts: dict[str, Any],
        frame_number: int,
    ) -> Item:
        arrays = {
            "points5": shown.points5,
            "landmarks68": landmarks68(shown.dense),
            "dense": shown.dense,
            "matrix": matrix,
            "pose_degrees": shown.pose_degrees,
        }
        if self._recipe.embed:
            embedded = _recogniser().embed(frame, as_faces(face)).embeddings
            arrays |= {} if embedded is None else {"embedding": embedded[0]}
        facts |= {} if file.age is None else {"age": file.age}
        return Item(
            key=f"{self._unit.number:06d}-{len(self.items):04d}",
            person=file.person,
            image=encode_frame(crop, self._recipe.jpeg_quality),
            licence=file.licence,
            consent=file.consent,
            origin=file.origin,
            synthetic=file.synthetic,
            split=file.split or "train",
            clip=file.name if self._unit.is_clip else "",
            frame_number=frame_number,
            planes={name: encode_plane(np.rint(plane * 255).astype(np.uint8)) for name, plane in planes.items()},
            arrays=arrays,
            facts=facts,
        )

    def _note_together(self, file: Listed, numbers: list[int]) -> None:
        marks = [person_mark(self._unit.number, file.name, number) for number in sorted(numbers)]
        self._together |= {(one, other) for at, one in enumerate(marks) for other in marks[at + 1 :]}


def person_mark(unit: int, name: str, track: int) -> str:
    """Stands for one face of one photograph, or for one track of one stretch of a clip."""
    return f"{unit}:{track}:{name}"


@contextmanager
def _own_fault(file: Listed, rejected: list[Rejection]) -> Iterator[None]:
    """Turns what is wrong with one file into a rejection; what is wrong with the machine goes on."""
    try:
        yield
    except (MissingPartError, OutputError):
        raise
    except (FacegraftError, OSError, ValueError, MemoryError, cv2.error) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        rejected.append(Rejection(file.name, -1, "unreadable", what))


def _frame_of(file: Listed, max_pixels: int) -> Frame:
    try:
        return read_picture(Path(file.path), max_pixels=max_pixels).frame
    except MissingPartError as error:  # HEIC without its extra: one kind of file, no reason to stop
        raise BadInputError(str(error)) from error


def check_recipe(recipe: Recipe) -> None:
    """Refuses sizes and rates that make no dataset, and a teacher that is not there.

    Raises:
        BadInputError: The message names the option.
        MissingPartError: Which file of the teacher was not fetched.
    """
    if not 32 <= recipe.size <= LARGEST_CROP:
        raise BadInputError(f"--size: expected 32 to {LARGEST_CROP}, found {recipe.size}")
    if recipe.points not in POINTS:
        raise BadInputError(f"--points: expected {', '.join(POINTS)}, found {recipe.points!r}")
    if recipe.every < 1:
        raise BadInputError(f"--every: expected 1 or more frames, found {recipe.every}")
    if not -1 <= recipe.same_picture <= 1:
        raise BadInputError(f"--same-picture: expected -1 to 1, found {recipe.same_picture:g}")
    if recipe.jpeg_quality is not None and not 1 <= recipe.jpeg_quality <= 100:
        raise BadInputError(f"--quality: expected 1 to 100, found {recipe.jpeg_quality}")
    if recipe.points == "mediapipe":
        for model in MODELS:
            model_path(model.name)
