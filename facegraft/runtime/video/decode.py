"""Frames in presentation order with clean times; skips damage, trims, and finds its place again after a break."""

from __future__ import annotations

import logging
import zlib
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import av.container
import av.error
import numpy as np
from av.container.core import Flags

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.runtime.video.packets import AnyPacket
from facegraft.runtime.video.probe import Original, open_clip, video_stream

log = logging.getLogger(__name__)

TAIL = 8
"""Frames before a break whose content must be met again after seeking."""
_MAX_READ_ERRORS = 64


@dataclass
class Faults:
    """Counts of what was wrong with the stream; they go into the notes."""

    damaged: int = 0
    concealed: int = 0
    untimed: int = 0
    broken_reads: int = 0

    def add(self, other: Faults) -> None:
        for name in self.__dataclass_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def notes(self) -> list[str]:
        texts = (
            (self.damaged, "damaged packets of the video stream could not be decoded and were left out"),
            (self.concealed, "damaged frames were repaired by the decoder as far as it could"),
            (self.untimed, "frames had no usable presentation time; theirs was derived from the frame before"),
            (self.broken_reads, "places of the file could not be read"),
        )
        return [f"{count} {text}" for count, text in texts if count]


@dataclass(frozen=True)
class TimedFrame:
    frame: av.VideoFrame
    number: int
    """0 is the first frame of the result."""
    pts: int
    """In the stream's time base; strictly increasing."""
    duration: int
    mark: tuple[int, int]
    """Time and checksum of the decoded picture, to find the place again."""


@dataclass(frozen=True)
class Place:
    """Where an interrupted job stopped."""

    frames: int
    last_pts: int
    tail: tuple[tuple[int, int], ...]
    """Marks of the last frames, oldest first."""
    can_seek: bool
    """False once a time had to be derived: it depends on all frames before."""


@dataclass(frozen=True)
class Span:
    """Times to keep, in the stream's time base; `end` itself is left out."""

    start: int | None = None
    end: int | None = None


def span_of(original: Original, start_s: float | None, end_s: float | None) -> Span:
    """Seconds from the clip's start to ticks of its video stream."""

    def ticks(seconds: float | None) -> int | None:
        if seconds is None:
            return None
        return -(-(Fraction(str(seconds)) + original.origin_s) // original.time_base)

    return Span(ticks(start_s), ticks(end_s))


def read_frames(original: Original, span: Span, after: Place | None, faults: Faults) -> Iterator[TimedFrame]:
    """All frames of the span, or those after a place.

    Continuing seeks only if the frames before the place come out bit for bit as they did before; where they do
    not, the clip is decoded from its start and the finished frames are passed over.

    Raises:
        BadInputError: The clip has changed since the place was noted.
    """
    if after is not None and after.can_seek and after.tail:
        goal = after.tail[0][0] - int(1 / original.time_base)
        frames = _continue_seeking(original, span, after, faults, goal)
        first = next(frames, None)
        if first is not None:
            yield first
            yield from frames
            return
        log.info("%s: seeking is not exact here, decoding from the start", original.path)
    seek_to = None if span.start is None else span.start - int(1 / original.time_base)
    frames = _Clock(original, faults).frames(original, span, seek_to)
    if after is not None:
        _pass_over(original, frames, after)
        for name in faults.__dataclass_fields__:
            setattr(faults, name, 0)  # those of the finished part are in the journal
    yield from frames


def _pass_over(original: Original, frames: Iterator[TimedFrame], after: Place) -> None:
    last: TimedFrame | None = None
    while last is None or last.number + 1 < after.frames:
        last = next(frames, None)
        if last is None:
            break
    if last is None or last.pts != after.last_pts:
        raise BadInputError(
            f"{shown(original.path)}: does not decode as in the interrupted run (frame {after.frames - 1} is not at "
            f"{after.last_pts}); if the clip was replaced, start over with --restart"
        )


def _continue_seeking(original: Original, span: Span, after: Place, faults: Faults, goal: int) -> Iterator[TimedFrame]:
    """Frames after the place, or nothing if what comes before it differs from what it was."""
    mine = Faults()
    clock = _Clock(original, mine)
    recent: deque[tuple[int, int]] = deque(maxlen=len(after.tail))
    number: int | None = None
    for timed in clock.frames(original, Span(None, span.end), goal):
        if number is None:
            if timed.pts <= after.last_pts:
                recent.append(timed.mark)
                continue
            if tuple(recent) != after.tail or mine != Faults():
                return
            number = after.frames
        yield TimedFrame(timed.frame, number, timed.pts, timed.duration, timed.mark)
        number += 1
        if mine != Faults():
            faults.add(mine)
            for name in mine.__dataclass_fields__:
                setattr(mine, name, 0)
    faults.add(mine)


@dataclass
class _Clock:
    """Gives each frame a time after the one before; derives it only where the file has none that fits."""

    original: Original
    faults: Faults
    last: int | None = None
    step: int = field(init=False)

    def __post_init__(self) -> None:
        self.step = max(1, round(1 / (self.original.rate * self.original.time_base)))

    def frames(self, original: Original, span: Span, seek_to: int | None) -> Iterator[TimedFrame]:
        number = 0
        for frame in _decoded(original, seek_to, self.faults):
            raw = frame.pts
            pts = self.next_time(raw)
            if span.start is not None and pts < span.start:
                continue
            if span.end is not None and pts >= span.end:
                return
            duration = frame.duration if frame.duration > 0 else self.step
            yield TimedFrame(frame, number, pts, duration, (pts, _checksum(frame)))
            number += 1

    def next_time(self, raw: int | None) -> int:
        pts = raw
        if pts is None or (self.last is not None and pts <= self.last):
            pts = 0 if self.last is None else self.last + self.step
            self.faults.untimed += 1
        self.last = pts
        return pts


def _checksum(frame: av.VideoFrame) -> int:
    """Of every 16th row of the first plane: enough to tell a picture decoded without its references."""
    plane = frame.planes[0]
    line = abs(plane.line_size)
    rows = np.ndarray((plane.height, min(line, plane.width)), np.uint8, memoryview(plane), strides=(line, 1))
    return zlib.crc32(rows[::16].tobytes())


def _decoded(original: Original, seek_to: int | None, faults: Faults) -> Iterator[av.VideoFrame]:
    """Frames as the decoder gives them, from at least as early as `seek_to` (from the start if that fails)."""
    if seek_to is not None:
        frames = _decoded_once(original, seek_to, faults)
        first = next(frames, None)
        if first is not None and first.pts is not None and first.pts <= seek_to + int(1 / original.time_base):
            yield first
            yield from frames
            return
        frames.close()
    yield from _decoded_once(original, None, faults)


def _decoded_once(original: Original, seek_to: int | None, faults: Faults) -> Generator[av.VideoFrame]:
    with open_clip(original.path) as container:
        stream = video_stream(container, original.path)
        container.flags |= cast(int, Flags.gen_pts.value)
        stream.thread_type = "AUTO"
        if seek_to is not None:
            try:
                container.seek(seek_to, stream=stream)
            except (av.error.FFmpegError, OSError):
                return
        for packet in _packets(container, stream, faults):
            try:
                frames = stream.decode(packet)
            except av.error.MemoryError:
                raise
            except av.error.FFmpegError:  # each decoder names damage in its own way, some as "external"
                faults.damaged += 1
                continue
            for frame in frames:
                faults.concealed += frame.is_corrupt
                yield frame


def _packets(
    container: av.container.InputContainer, stream: av.VideoStream, faults: Faults
) -> Iterator[AnyPacket | None]:
    """Packets of one stream, then None to flush; goes on after a place that cannot be read."""
    errors_in_a_row = 0
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.InvalidDataError:
            errors_in_a_row += 1
            faults.broken_reads += 1
            if errors_in_a_row > _MAX_READ_ERRORS:
                yield None
                return
            packets = container.demux(stream)
            continue
        errors_in_a_row = 0
        yield packet
