"""What a caller says to the video engine and hears from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame, Patch

CODECS = ("h264", "hevc", "vp9", "av1")
PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
KINDS = ("audio", "subtitles", "data", "attachments", "video", "chapters")
"""What may be dropped; `video` means cover pictures and further angles, never the clip itself."""
MOST_SECONDS = 1e9
"""Of a trim: 31 years, which in nanoseconds still is a 64-bit number."""


@runtime_checkable
class FrameEdit(Protocol):
    """What is done to each frame. Called by one thread, in presentation order."""

    def edit(self, frame: Frame, time_s: float) -> list[Patch]:
        """The patches to add to an upright, read-only frame; none leaves it as it is.

        Args:
            frame: Valid until the call returns; copy what is kept.
            time_s: Presentation time in the clip's own clock, so it may start above or below 0.
        """
        ...

    def state(self) -> dict[str, Any]:
        """All that later frames depend on (tracks, filters), as JSON."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Goes back to what `state` gave."""
        ...


@dataclass(frozen=True)
class VideoOptions:
    codec: str | None = None
    """None: H.264 for 8-bit pictures, HEVC for deeper ones, VP9 or AV1 in .webm."""
    quality: int | None = None
    """The encoder's CRF, lower is better; None: 19 (h264), 21 (hevc), 28 (vp9, av1)."""
    preset: str = "veryfast"
    """Speed by x264's names; mapped to the other encoders' scales."""
    start_s: float | None = None
    """Trim: frames before this many seconds from the clip's start are left out, and the rest moves to 0."""
    end_s: float | None = None
    drop: tuple[str, ...] = ()
    """Kinds of streams to leave out (`KINDS`); whatever else the output cannot hold is an error."""
    segment_s: float = 8.0
    """An interrupted job loses at most this much of the clip."""
    threads: int = 0
    """Encoder threads; 0: by the number of cores."""
    queue: int = 5
    """Frames that may wait between two stages: the bound on memory."""
    restart: bool = False
    """Discard the segments of an unfinished job with other settings instead of refusing."""

    def __post_init__(self) -> None:
        if self.codec is not None and self.codec not in CODECS:
            raise BadInputError(f"codec {self.codec!r} is not known; choose from {', '.join(CODECS)}")
        if self.preset not in PRESETS:
            raise BadInputError(f"preset {self.preset!r} is not known; choose from {', '.join(PRESETS)}")
        for kind in self.drop:
            if kind not in KINDS:
                raise BadInputError(f"cannot drop {kind!r}; choose from {', '.join(KINDS)}")
        if self.quality is not None and not 0 <= self.quality <= 63:
            raise BadInputError(f"quality must be 0 (best) to 63, found {self.quality}")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name, value in (("start", self.start_s), ("end", self.end_s)):
            if value is not None and not (math.isfinite(value) and 0 <= value <= MOST_SECONDS):
                raise BadInputError(f"{name} must be a number of seconds from 0 to {MOST_SECONDS:.0f}, found {value:g}")
        if self.end_s is not None and self.end_s <= (self.start_s or 0):
            raise BadInputError(f"end ({self.end_s} s) must come after start ({self.start_s or 0} s)")
        if not 0.1 <= self.segment_s <= 600 or self.threads < 0 or self.queue < 1:
            raise BadInputError(
                f"segment_s must be 0.1 to 600, threads from 0, queue from 1; "
                f"found {self.segment_s}, {self.threads}, {self.queue}"
            )


@dataclass(frozen=True)
class Progress:
    frames: int
    total: int | None
    """An estimate; None where the file does not say."""
    fps: float
    seconds_left: float | None


@dataclass(frozen=True)
class VideoReport:
    frames: int
    """Frames of the result, those of earlier runs included."""
    duration_s: float
    codec: str
    ms_per_frame: dict[str, float] = field(default_factory=dict)
    """Mean of each stage over this run's frames: decode, convert, edit, paste, encode; `mux` is for the whole file.

    Stages run side by side, so these do not add up to the time of a frame.
    """
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Everything that is not as in the attribute clip, one sentence each."""
    resumed_from: int = 0
    """Frames that earlier runs of this job had finished."""
