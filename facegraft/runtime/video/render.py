"""The three stages of a job: decode (thread), edit (the caller's thread), encode and journal (thread)."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import av
import numpy as np

from facegraft.core.errors import FacegraftError, OutputError
from facegraft.core.types import Frame, Patch
from facegraft.runtime.video.decode import TAIL, Faults, Span, TimedFrame, read_frames
from facegraft.runtime.video.encode import Encoding, open_encoder
from facegraft.runtime.video.journal import JobFolder, Journal, Segment
from facegraft.runtime.video.options import FrameEdit, VideoOptions
from facegraft.runtime.video.orient import to_coded, to_upright
from facegraft.runtime.video.packets import AnyPacket, SegmentWriter, StoredPacket
from facegraft.runtime.video.pipeline import Channel, Stop, Stopped, Stopwatch, stage
from facegraft.runtime.video.probe import Original
from facegraft.runtime.video.yuv import Converter, matrix_of, pad_to_even, paste_planes

_NO_FRAME = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True)
class Picture:
    """A frame in the encoder's pixel format, with its times; `rgb` is upright, for the edit only."""

    frame: av.VideoFrame
    rgb: Frame
    number: int
    pts: int
    duration: int
    mark: tuple[int, int]
    patches: tuple[Patch, ...] = ()


@dataclass(frozen=True)
class Cut:
    """Ends a segment: what the edit and the decoder knew after its last frame."""

    state: dict[str, Any]
    faults: dict[str, int]


class Preparer:
    """Decoded frames to the encoder's format, and to upright RGB."""

    def __init__(self, original: Original, encoding: Encoding) -> None:
        self._original = original
        self._encoding = encoding
        self._converter = Converter()
        self.matrix = matrix_of(encoding.colour.matrix, original.size_hw)

    def frame(self, frame: av.VideoFrame) -> av.VideoFrame:
        size = self._original.size_hw
        ready = self._converter.to_format(frame, self._encoding.pixel_format, size)
        if self._encoding.colour.range:
            ready.color_range = self._encoding.colour.range
        ready.colorspace = self._encoding.colour.matrix
        return ready

    def rgb(self, frame: av.VideoFrame) -> Frame:
        picture = to_upright(self._converter.rgb(frame, self.matrix), self._original.orientation)
        picture.flags.writeable = False
        return picture


class SegmentEncoder:
    """One encoder and one file: a piece of the result that starts with a key frame and needs no other piece."""

    def __init__(self, encoding: Encoding, writer: SegmentWriter | None) -> None:
        self._encoding = encoding
        self._context = open_encoder(encoding)
        self._writer = writer
        self._durations: dict[int, int] = {}
        self.packets: list[StoredPacket] = []
        """Only filled without a writer."""

    def add(self, frame: av.VideoFrame, pts: int, duration: int) -> None:
        if (frame.height, frame.width) != self._encoding.size_hw:
            frame = pad_to_even(frame, self._encoding.size_hw)
        frame.pts, frame.time_base, frame.duration = pts, self._encoding.time_base, duration
        frame.pict_type = 0  # the decoder's type would be taken as an order
        self._durations[pts] = duration
        self._take(self._context.encode(frame))

    def flush(self) -> None:
        self._take(self._context.encode(None))
        if self._durations:
            raise OutputError(
                f"the {self._encoding.codec} encoder lost {len(self._durations)} frames; try another --codec"
            )

    def _take(self, packets: list[AnyPacket]) -> None:
        for packet in packets:
            pts = cast(int, packet.pts)
            stored = StoredPacket(pts, self._durations.pop(pts), packet.is_keyframe, bytes(packet))
            if self._writer is None:
                self.packets.append(stored)
            else:
                self._writer.add(stored)


def encode_single(timed: TimedFrame, original: Original, encoding: Encoding) -> list[StoredPacket]:
    """One frame through conversion and encoder, for the dry run."""
    preparer = Preparer(original, encoding)
    frame = preparer.frame(timed.frame)
    preparer.rgb(frame)
    encoder = SegmentEncoder(encoding, None)
    encoder.add(frame, timed.pts, timed.duration)
    encoder.flush()
    return encoder.packets


class Render:
    """Runs the stages once, from the journal's end to the clip's; appends to the journal."""

    def __init__(
        self,
        original: Original,
        span: Span,
        encoding: Encoding,
        edit: FrameEdit,
        options: VideoOptions,
        folder: JobFolder,
        journal: Journal,
        watch: Stopwatch,
    ) -> None:
        self._original = original
        self._span = span
        self._encoding = encoding
        self._edit = edit
        self._folder = folder
        self._journal = journal
        self._watch = watch
        self._segment_ticks = max(1, round(options.segment_s / original.time_base))
        self._stop = Stop()
        self._decoded: Channel[tuple[Picture, Faults] | None] = Channel(options.queue, self._stop)
        self._edited: Channel[Picture | Cut | None] = Channel(options.queue, self._stop)
        self._ever_untimed = any(segment.faults["untimed"] for segment in journal.segments)

    def run(self, meter: Callable[..., None] | None) -> None:
        try:
            with (
                stage("decode", self._decode, self._stop),
                stage("encode", self._encode, self._stop),
            ):
                self._edit_all(meter)
        except Stopped:
            pass
        if self._stop.failure is not None:
            raise self._stop.failure

    def _decode(self) -> None:
        preparer = Preparer(self._original, self._encoding)
        faults = Faults()
        after = self._journal.segments[-1].place() if self._journal.segments else None
        frames = read_frames(self._original, self._span, after, faults)
        while True:
            with self._watch.time("decode"):
                timed = next(frames, None)
            if timed is None:
                self._decoded.put(None)
                self._last_faults = faults
                return
            with self._watch.time("convert"):
                frame = preparer.frame(timed.frame)
                rgb = preparer.rgb(frame)
            picture = Picture(frame, rgb, timed.number, timed.pts, timed.duration, timed.mark)
            self._decoded.put((picture, dataclasses.replace(faults)))

    def _edit_all(self, meter: Callable[..., None] | None) -> None:
        segment_start: int | None = None
        counted = Faults()
        seen = Faults()
        number = self._journal.segments[-1].frames if self._journal.segments else 0
        while (item := self._decoded.get()) is not None:
            picture, seen_next = item
            if segment_start is None:
                segment_start = picture.pts
            elif picture.pts - segment_start >= self._segment_ticks:
                self._edited.put(self._cut(seen, counted))
                segment_start, counted = picture.pts, seen
            seen = seen_next
            self._edited.put(self._edit_one(picture))
            number = picture.number + 1
            if meter is not None:
                meter(number)
        if segment_start is not None:
            self._edited.put(self._cut(seen, counted))
        self._edited.put(None)
        if meter is not None:
            meter(number, last=True)

    def _cut(self, seen: Faults, counted: Faults) -> Cut:
        """Faults seen since the last cut."""
        names = [field.name for field in dataclasses.fields(Faults)]
        return Cut(self._edit.state(), {name: getattr(seen, name) - getattr(counted, name) for name in names})

    def _edit_one(self, picture: Picture) -> Picture:
        time_s = float(picture.pts * self._original.time_base)
        where = f"frame {picture.number}, {time_s:.3f} s"
        try:
            with self._watch.time("edit"):
                patches = self._edit.edit(picture.rgb, time_s)
        except FacegraftError as error:
            raise type(error)(f"{error} ({where})") from error
        except Exception as error:
            error.add_note(f"while editing {where}")
            raise
        size = self._original.size_hw
        coded = tuple(to_coded(patch, self._original.orientation, size) for patch in patches)
        return dataclasses.replace(picture, rgb=_NO_FRAME, patches=coded)

    def _encode(self) -> None:
        while (item := self._edited.get()) is not None:
            self._encode_segment(cast(Picture, item))

    def _encode_segment(self, first: Picture) -> None:
        number = len(self._journal.segments)
        writer = SegmentWriter(self._folder.segment_path(number))
        finished = False
        try:
            encoder = SegmentEncoder(self._encoding, writer)
            tail: deque[tuple[int, int]] = deque(maxlen=TAIL)
            item: Picture | Cut = first
            frames, last_pts = 0, first.pts
            while isinstance(item, Picture):
                self._encode_one(encoder, item)
                tail.append(item.mark)
                frames, last_pts = item.number + 1, item.pts
                item = cast(Picture | Cut, self._edited.get())  # None comes only after a cut
            with self._watch.time("encode"):
                encoder.flush()
                size, digest = writer.finish()
            finished = True
        finally:
            if not finished:
                writer.abandon()
        self._ever_untimed |= item.faults["untimed"] > 0
        segment = Segment(
            number, size, digest, frames, last_pts, tuple(tail), not self._ever_untimed, item.state, item.faults
        )
        self._folder.append(segment)
        self._journal.segments.append(segment)

    def _encode_one(self, encoder: SegmentEncoder, picture: Picture) -> None:
        if picture.patches:
            with self._watch.time("paste"):
                paste_planes(
                    picture.frame,
                    list(picture.patches),
                    matrix_of(self._encoding.colour.matrix, self._original.size_hw),
                )
        with self._watch.time("encode"):
            encoder.add(picture.frame, picture.pts, picture.duration)
