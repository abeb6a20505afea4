"""A clip's frames, one after the other: who is where, who gets which identity, what to add.

Everything that a later frame depends on is in `state()`, so a job that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from facegraft import __version__
from facegraft.core.errors import NoFaceError
from facegraft.core.files import shown
from facegraft.core.types import Face, Faces, Frame, Patch, paste
from facegraft.faces.track import Tracker
from facegraft.provenance.finish import finish_file, prepare_marking
from facegraft.provenance.manifest import Level, Origin, container_metadata, origin_now
from facegraft.runtime.pictures import COPIED, changed_share, mark_patch
from facegraft.runtime.select import Selector, which_rule
from facegraft.runtime.swapper import DEFAULT, FaceState, Swapper
from facegraft.runtime.video import Progress, VideoOptions, VideoReport, check_video, process_video
from facegraft.runtime.video.probe import Original, open_clip


@runtime_checkable
class Chooser(Protocol):
    """Decides who is swapped: `runtime/select.py`."""

    def choose(self, frame: Frame, faces: Faces) -> dict[int, str]: ...

    def state(self) -> dict[str, Any]: ...

    def restore(self, state: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class ClipCounts:
    """What happened over the frames so far."""

    frames: int = 0
    frames_with_face: int = 0
    swaps: int = 0
    changed_share: float = 0.0
    """Sum over frames of the share of pixels changed."""


class ClipSwap:
    """The edit of one clip, called with its frames in order."""

    def __init__(self, swapper: Swapper, tracker: Tracker, chooser: Chooser, *, watermark: bool = False) -> None:
        self._swapper = swapper
        self._tracker = tracker
        self._chooser = chooser
        self._watermark = watermark
        self._faces: dict[int, FaceState] = {}
        self.counts = ClipCounts()

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        """What to add to the next frame."""
        faces = self._tracker.update(frame, time_s)
        who = self._chooser.choose(frame, faces) if len(faces) else {}
        patches = [patch for row, key in who.items() if (patch := self._one(frame, faces[row], key)) is not None]
        pixels = frame.shape[0] * frame.shape[1]
        changed = changed_share(patches, pixels)
        self.counts = ClipCounts(
            frames=self.counts.frames + 1,
            frames_with_face=self.counts.frames_with_face + (len(faces) > 0),
            swaps=self.counts.swaps + len(patches),
            changed_share=self.counts.changed_share + changed,
        )
        return [*patches, mark_patch(frame, patches)] if patches and self._watermark else patches

    def state(self) -> dict[str, Any]:
        return {
            "tracker": self._tracker.state(),
            "chooser": self._chooser.state(),
            "faces": {str(number): asdict(state) for number, state in self._faces.items()},
            "counts": asdict(self.counts),
        }

    def restore(self, state: dict[str, Any]) -> None:
        self._tracker.restore(state["tracker"])
        self._chooser.restore(state["chooser"])
        self._faces = {int(number): FaceState(**fields) for number, fields in state["faces"].items()}
        self.counts = ClipCounts(**state["counts"])

    def _one(self, frame: Frame, face: Face, key: str) -> Patch | None:
        state = self._faces.get(face.number, FaceState())
        patch, self._faces[face.number] = self._swapper.patch(frame, face, key, state)
        return patch


@dataclass(frozen=True)
class ClipReport:
    """What was done to one clip."""

    written: Path
    video: VideoReport
    counts: ClipCounts


def swap_clip(
    edit: ClipSwap,
    attribute: Path,
    out: Path,
    options: VideoOptions,
    *,
    job_key: str,
    origin: Origin,
    level: Level = "full",
    on_no_face: str = "keep",
    progress: Callable[[Progress], None] | None = None,
) -> ClipReport:
    """Swaps a clip, marks it, and gives it its name when it is whole; the same call goes on after an interruption.

    Args:
        edit: Fresh; carries the identities and the choice of faces.
        attribute: The clip.
        out: .mp4, .m4v, .mov, .mkv or .webm.
        options: Encoding, trim, streams.
        job_key: Stands for identities, method and choice: another key does not continue this job's segments.
        origin: What the file says about itself.
        level: How much of it is written.
        on_no_face: "keep" writes a clip in which nobody was swapped, as a plain copy where suffix and options leave it
            as it is; anything else is an error at its end.
        progress: Called as frames are finished.

    Raises:
        NoFaceError: Nobody was swapped, and `on_no_face` does not say keep.
        BadInputError, OutputError, KeyboardInterrupt: As `process_video`.
    """
    notes = prepare_marking(level)

    def told() -> Level:
        return level if edit.counts.swaps else "none"  # a clip that was not changed must not say that it was

    def copies() -> bool:
        return not edit.counts.swaps and _is_plain(options) and out.suffix.lower() == attribute.suffix.lower()

    def tags() -> dict[str, str]:
        return {} if told() == "none" else container_metadata(origin, clip_tags(attribute))

    def finish(path: Path) -> None:
        if edit.counts.swaps == 0 and on_no_face != "keep":
            raise NoFaceError(
                f"{shown(attribute)}: no face was swapped in {edit.counts.frames} frames "
                f"({edit.counts.frames_with_face} show one); see `facegraft analyse`, or pass --on-no-face keep"
            )
        if copies():
            shutil.copyfile(attribute, path)
        notes.extend(line for line in finish_file(path, origin, told(), attribute=attribute) if line not in notes)

    video = process_video(
        attribute,
        out,
        edit,
        options,
        job_key=job_key,
        progress=progress,
        container_metadata=tags,
        finish=finish,
    )
    if copies():
        return ClipReport(out, replace(video, codec="copy", dropped=(), notes=(COPIED,)), edit.counts)
    return ClipReport(out, replace(video, notes=(*video.notes, *notes)), edit.counts)


def _is_plain(options: VideoOptions) -> bool:
    """Whether nothing is asked that changes the clip itself."""
    usual = VideoOptions()
    return usual == replace(
        options, segment_s=usual.segment_s, threads=usual.threads, queue=usual.queue, restart=usual.restart
    )


def check_clip(attribute: Path, out: Path, options: VideoOptions, *, origin: Origin, level: Level = "full") -> Original:
    """What `swap_clip` would fail at before its first frame is swapped; nothing is written.

    Raises:
        BadInputError, OutputError: As `process_video`.
    """
    tags = {} if level == "none" else container_metadata(origin, clip_tags(attribute))
    return check_video(attribute, out, options, tags)


def swap_video(
    swapper: Swapper, attribute: Path, out: Path, which: str = "all", options: VideoOptions | None = None
) -> ClipReport:
    """Swaps a clip with the identity that `set_identity` learned; see `Swapper.swap_video`."""
    if DEFAULT not in swapper.identities:
        raise NoFaceError("no identity was set; call set_identity first")
    edit = ClipSwap(swapper, Tracker(swapper.analyser), Selector(which_rule(which, DEFAULT, None)))
    engine = swapper.engine
    person = engine.digest(swapper.identities[DEFAULT]).hex()
    key = f"{engine.method} {engine.stamp} {__version__} {which} {person}"
    origin = origin_now(engine.method, title="swapped clip")
    return swap_clip(edit, attribute, out, options or VideoOptions(), job_key=key, origin=origin)


def swap_frames(swapper: Swapper, frames: Sequence[Frame], fps: float | int, which: str = "all") -> list[Frame | None]:
    """A clip in memory, swapped as `swap_clip` does it: faces are followed, and a frame builds on those before it.

    Args:
        swapper: With the identity that `set_identity` learned.
        frames: In order.
        fps: Frames a second.
        which: As `swap_video`.

    Returns:
        A swapped frame for each; None where nobody was swapped.

    Raises:
        NoFaceError: No identity was set.
    """
    edit = ClipSwap(swapper, Tracker(swapper.analyser), Selector(which_rule(which, DEFAULT, None)))
    found: list[Frame | None] = []
    for number, frame in enumerate(frames):
        patches = edit.edit(frame, number / fps)
        swapped = frame.copy()
        paste(swapped, patches)
        found.append(swapped if patches else None)
    return found


def clip_tags(path: Path) -> dict[str, str]:
    """The tags of a clip's container."""
    with open_clip(path) as container:
        return dict(container.metadata)
