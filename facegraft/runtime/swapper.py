"""The same two calls for every method: `set_identity(frames)`, `swap(frame)`. READ THIRD.

A `Swapper` holds people and puts them on faces of single frames, by the warp or by a bundle (`engine.py`). `ClipSwap`
adds what a clip needs: one id per person over the frames, who gets which identity, and a state from which an
interrupted job goes on.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegraft.core.errors import NoFaceError
from facegraft.core.types import Face, Faces, Frame, Patch, paste
from facegraft.faces.analyse import Analyser
from facegraft.faces.people import sharpness
from facegraft.faces.shading import Shading
from facegraft.runtime.engine import WARP, Engine, WarpEngine, load_engine
from facegraft.runtime.engine import FaceState as FaceState
from facegraft.runtime.warp import Photo

if TYPE_CHECKING:
    from facegraft.runtime.clip import ClipReport
    from facegraft.runtime.video import VideoOptions

DEFAULT = "default"
"""Key of the identity that `set_identity` fills when nobody says whose it is."""
FRONTAL_DEGREES = 33
"""Turned farther than this to a side, as our points say it (in profile they say less than there is), a face hides so
much of itself that a swap has to guess it."""
SHARP = 0.8
"""Of `faces.people.sharpness`. Of 20 portraits put on two others by the warp, blurs that took them below it (2 % of the
face's side and more) cost .018 of dlib's cosine and more; the portraits had .97 to 1.24, shrunk to 32 pixels .76 to
.96."""


class Swapper:
    """Puts people's faces on frames. One instance serves one thread.

    Args:
        analyser: Finds the faces; None = our own networks.
        engine: How they are swapped; None = by the baseline warp.
    """

    def __init__(self, analyser: Analyser | None = None, engine: Engine | None = None) -> None:
        self.analyser = analyser or Analyser()
        self.engine: Engine = engine or WarpEngine(self.analyser.topology)
        self.identities: dict[str, Any] = {}

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.engine.method

    def set_identity(self, frames: Sequence[Frame], key: str = DEFAULT, *, names: Sequence[str] = ()) -> list[str]:
        """Learns a person from one photo or several.

        Args:
            frames: Photos of one person. Of several faces in a photo, the largest counts.
            key: Name by which `patches` asks for this person.
            names: What to call each photo in an error and in what is said of it.

        Returns:
            Lines that tell why swaps will not be good (no photo shows the face from the front, or none is sharp), and
            which photos show several faces. Mostly none.

        Raises:
            NoFaceError: A photo shows no face.
        """
        photos, several = [], []
        for number, frame in enumerate(frames):
            faces = self.analyser.analyse(frame)
            name = names[number] if number < len(names) else f"identity picture {number + 1} of {len(frames)}"
            if len(faces) > 1:
                several.append(f"{name}: shows {len(faces)} faces; the largest is the identity")
            if len(faces) == 0:
                raise NoFaceError(f"{name}: no face found in it; use another picture of the person")
            uncovered, shading = self.analyser.looked_closely(frame, faces[0]), self._shading(frame, faces[0])
            photos.append(Photo(frame, faces[0], uncovered, shading))
        if not photos:
            raise NoFaceError("an identity needs at least one picture, got none")
        self.identities[key] = self.engine.learn(photos)
        return several + _said_of(photos, names[0] if names else "the identity picture")

    def swap(self, frame: Frame) -> Frame:
        """A copy of the frame with every face replaced by the identity's.

        Raises:
            NoFaceError: The frame shows no face, or no identity was set.
        """
        faces = self.analyser.analyse(frame)
        if len(faces) == 0:
            raise NoFaceError("no face found in the attribute frame")
        swapped = frame.copy()
        paste(swapped, self.patches(frame, faces, dict.fromkeys(range(len(faces)), DEFAULT)))
        return swapped

    def swap_pair(self, identity: Frame, attribute: Frame) -> Frame:
        """One identity picture and one attribute picture in, the swapped picture out: what `evaluate` calls."""
        self.set_identity([identity])
        return self.swap(attribute)

    def swap_several(self, identities: Sequence[Frame], attribute: Frame) -> Frame:
        """The same with several pictures of the person."""
        self.set_identity(identities)
        return self.swap(attribute)

    def swap_frames(
        self, identities: Sequence[Frame], frames: Sequence[Frame], fps: float = 25.0
    ) -> list[Frame | None]:
        """A clip in memory, followed from frame to frame as `swap_video` does.

        Args:
            identities: Pictures of the person.
            frames: Of the attribute clip, in order.
            fps: Frames a second.

        Returns:
            A swapped frame for each; None where nobody was swapped.

        Raises:
            NoFaceError: A picture of the person shows no face.
        """
        from facegraft.runtime.clip import swap_frames  # it needs this module first

        self.set_identity(identities)
        return swap_frames(self, frames, fps)

    def swap_video(
        self, attribute: str | Path, out: str | Path, *, which: str = "all", options: VideoOptions | None = None
    ) -> ClipReport:
        """Swaps a clip: follows its faces, keeps its sound, times and tags, and marks the result as made.

        The same call after an interruption goes on where it stopped.

        Args:
            attribute: Any clip that FFmpeg reads.
            out: .mp4, .m4v, .mov, .mkv or .webm.
            which: "all", "largest", or the number of a track.
            options: Encoding, trim, streams.

        Raises:
            NoFaceError: No identity was set.
            BadInputError, OutputError: The clip cannot be read or written.
        """
        from facegraft.runtime.clip import swap_video  # it needs this module first

        return swap_video(self, Path(attribute), Path(out), which, options)

    def patches(self, frame: Frame, faces: Faces, who: dict[int, str]) -> list[Patch]:
        """What to add to a frame.

        Args:
            frame: The attribute frame.
            faces: Its faces.
            who: Which identity goes on which row of `faces`; faces that are not named stay.

        Raises:
            NoFaceError: An identity was never set.
        """
        made = []
        for row, key in who.items():
            face = faces[row]
            patch, _ = self.patch(frame, face, key, FaceState())
            if patch is not None:
                made.append(patch)
        return made

    def patch(self, frame: Frame, face: Face, key: str, state: FaceState) -> tuple[Patch | None, FaceState]:
        """One face's change, and the state for its next frame."""
        if key not in self.identities:
            raise NoFaceError(f"no identity {key!r} was set; call set_identity first")
        uncovered = self.analyser.uncovered(frame, face, self.engine.seen_margin)
        if self.engine.keeps_lids:
            uncovered = dataclasses.replace(uncovered, irises=self.analyser.irises(frame, face))
        return self.engine.put(frame, face, self.identities[key], state, uncovered, self._shading(frame, face))

    def _shading(self, frame: Frame, face: Face) -> Shading | None:
        return self.analyser.shading(frame, face) if self.engine.relights else None


def load_swapper(bundle: str | Path = WARP) -> Swapper:
    """The swapper of a method.

    Args:
        bundle: A folder made by `facegraft export`, the name of a bundle that is installed, or "warp", the baseline
            without a network of its own.

    Raises:
        BadInputError: No such method or bundle, or the bundle is damaged.
    """
    return Swapper(engine=load_engine(bundle))


def pair_swapper(bundle: str | Path = WARP) -> Callable[[Frame, Frame], Frame]:
    """`Swapper.swap_pair` of a method; worker processes can be handed this function, but no swapper."""
    return load_swapper(bundle).swap_pair


def _said_of(photos: Sequence[Photo], name: str) -> list[str]:
    lines = []
    turned = min(abs(float(photo.face.pose_degrees[0])) for photo in photos)
    if turned > FRONTAL_DEGREES:
        guessed = f"the face is turned by {turned:.0f} degrees or more and half of it is a guess"
        lines.append(f"{name}: {guessed}; add a photo from the front")
    if max(sharpness(photo.frame, photo.face) for photo in photos) < SHARP:
        lines.append(f"{name}: the face is blurred or tiny and part of its likeness is lost; add a sharper photo")
    return lines
