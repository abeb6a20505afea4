"""Looks over the shoulder of a swap, and says what it did to the faces once it is done."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from facegraft.core.files import sniff
from facegraft.core.image import read_picture
from facegraft.core.types import Face, Frame, Patch
from facegraft.evaluate.after import Album, Placed, Quality, eyes_for, measure, outside_pixels
from facegraft.evaluate.look import Eyes
from facegraft.faces.analyse import Analyser
from facegraft.faces.track import Tracker
from facegraft.runtime.clip import Chooser, ClipSwap
from facegraft.runtime.engine import Engine
from facegraft.runtime.swapper import FaceState, Swapper

LOSSY = ("image/jpeg", "image/heic", "image/avif")
"""Files that are not read again: no pixel need come back as it was written."""


class WatchedSwapper(Swapper):
    """A swapper that remembers the changes it made, and to which frame, until it is told to forget."""

    def __init__(self, analyser: Analyser | None = None, engine: Engine | None = None) -> None:
        super().__init__(analyser, engine)
        self.placed: list[Placed] = []
        self.frame: Frame | None = None

    def patch(self, frame: Frame, face: Face, key: str, state: FaceState) -> tuple[Patch | None, FaceState]:
        """As `Swapper.patch`."""
        made, after = super().patch(frame, face, key, state)
        if made is not None:
            self.frame = frame
            self.placed.append(Placed(face, key, made))
        return made, after

    def forget(self) -> None:
        """Begins anew."""
        self.placed, self.frame = [], None


class WatchedClip(ClipSwap):
    """The edit of a clip of which some frames are kept, cut out, before they are encoded."""

    def __init__(
        self, swapper: WatchedSwapper, tracker: Tracker, chooser: Chooser, album: Album, *, watermark: bool = False
    ) -> None:
        super().__init__(swapper, tracker, chooser, watermark=watermark)
        self._watched, self._album = swapper, album

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        """As `ClipSwap.edit`."""
        number = self.counts.frames
        self._watched.forget()
        patches = super().edit(frame, time_s)
        if self._album.wants(number):
            self._album.add(number, frame, self._watched.placed)
        self._watched.forget()
        return patches


class Watch:
    """Measures the quality of one file after the other. Loads what it needs when it is first asked."""

    def __init__(self, swapper: WatchedSwapper, pictures: Mapping[str, Sequence[Path]], max_pixels: int) -> None:
        self._swapper, self._pictures, self._max_pixels = swapper, pictures, max_pixels
        self._album = Album()
        self._eyes: Eyes | None = None
        self._people: dict[str, list[Frame]] = {}

    def begin(self) -> None:
        """A new picture: nothing is left of the last, which may have failed half-way."""
        self._swapper.forget()

    def picture(self, written: Path, *, watermark: bool) -> Quality:
        """Of the picture that was swapped since `begin`, and is written now."""
        placed, frame = self._swapper.placed, self._swapper.frame
        self._swapper.forget()
        if frame is None:
            return Quality(not_measured=("quality: nothing was swapped",))
        album = Album()
        album.add(0, frame, placed)
        return _outside(self._measured(album, clip=False), frame, written, placed, watermark=watermark)

    def edit(self, swapper: Swapper, tracker: Tracker, chooser: Chooser, *, watermark: bool = False) -> WatchedClip:
        """What a new clip is edited by, in place of a `ClipSwap`; `swapper` is the one that is watched."""
        if swapper is not self._swapper:
            raise ValueError("expected the swapper that is watched")
        self._album = Album()
        return WatchedClip(self._swapper, tracker, chooser, self._album, watermark=watermark)

    def clip(self, *, resumed_from: int) -> Quality:
        """Of the clip that the last `edit` went through."""
        found = self._measured(self._album, clip=True)
        if not resumed_from:
            return found
        line = f"quality of frames 0 to {resumed_from - 1}: an earlier run had finished them"
        return replace(found, not_measured=(*found.not_measured, line))

    def _measured(self, album: Album, *, clip: bool) -> Quality:
        """The swap is done and stays done, whatever happens here."""
        try:
            if self._eyes is None:
                self._eyes = eyes_for(self._swapper.analyser)
            return measure(album, self._eyes, self._identities(), clip=clip)
        except Exception as error:  # noqa: BLE001 - a fault here must not fail a swap that is done
            return Quality(not_measured=(f"quality: {' '.join(str(error).split()) or type(error).__name__}",))

    def _identities(self) -> Mapping[str, Sequence[Frame]]:
        for key, paths in self._pictures.items():
            if key not in self._people:
                self._people[key] = [read_picture(path, max_pixels=self._max_pixels).frame for path in paths]
        return self._people


def _outside(found: Quality, frame: Frame, written: Path, placed: Sequence[Placed], *, watermark: bool) -> Quality:
    """With the pixels that changed outside, where the file can tell."""
    what = "pixels changed outside the faces"
    if watermark:
        why = f"{what}: the invisible mark is in all of them"
    elif sniff(written) in LOSSY:
        why = f"{what}: {written.suffix} is lossy, so nearly all of them differ a little"
    else:
        try:
            picture = read_picture(written, max_pixels=frame.shape[0] * frame.shape[1])
            if picture.coding.lossless and picture.frame.shape == frame.shape:
                patches = [one.patch for one in placed]
                return replace(found, outside_pixels=outside_pixels(frame, picture.frame, patches))
            why = f"{what}: {written.suffix} is lossy here"
        except Exception as error:  # noqa: BLE001 - likewise
            why = f"{what}: {' '.join(str(error).split()) or type(error).__name__}"
    return replace(found, not_measured=(*found.not_measured, why))
