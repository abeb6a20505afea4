"""Upright frames of a clip in order, for analysis: none is written back, so damage is passed over.

Swapping reads clips by `runtime/video`, which keeps every code value and time stamp; this folder may not stand on it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.error
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter

from facegraft.core.errors import BadInputError
from facegraft.core.files import check_input_file, shown
from facegraft.core.types import Frame

logger = logging.getLogger(__name__)

DEMUXERS = "mov,matroska,avi,gif,mpeg,mpegts,mpegvideo,h264,hevc,m4v,ivf,obu,flv,asf,ogg,mxf,dv,nut,swf,rm"
"""None that opens other files or addresses (playlists)."""
MAX_PIXELS = 1 << 26
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5
_LEAD_S = 1
"""A seek goes to a key frame this long before the time that is wanted."""


@dataclass(frozen=True)
class ClipFrame:
    """One frame.

    Attributes:
        number: Counted from the clip's first frame by its time and rate.
        time_s: Since the clip's start.
        frame: Upright pixels.
    """

    number: int
    time_s: float
    frame: Frame


def clip_length_s(path: Path) -> float | None:
    """How long a clip is by its header; None where that does not say.

    Raises:
        BadInputError: Not a clip.
    """
    with _opened(path) as (container, stream):
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return None if container.duration is None else container.duration / av.time_base


def clip_frames(
    path: Path, *, start_s: float | int = 0, end_s: float | int | None = None, every: int = 1
) -> Iterator[ClipFrame]:
    """The frames from `start_s` on and before `end_s`; of these the first and then one in `every`.

    Raises:
        BadInputError: Not a clip, or no frame of it can be decoded.
    """
    with _opened(path) as (container, stream):
        clock = _Clock(stream)
        if start_s > _LEAD_S:
            _seek(container, stream, clock.ticks(float(start_s) - _LEAD_S))
        reformatter, kept, decoded = VideoReformatter(), 0, 0
        for frame in _decoded(container, stream):
            decoded += 1
            time_s = clock.time_s(frame)
            if end_s is not None and time_s >= end_s:
                return
            if time_s < start_s:
                continue
            if kept % every == 0:
                yield ClipFrame(round(time_s * clock.rate), time_s, _upright(frame, reformatter))
            kept += 1
        if decoded == 0:
            raise BadInputError(f"{shown(path)}: no picture can be decoded; the file is damaged or empty")


class _Clock:
    """Times that grow from frame to frame, whatever the file says."""

    def __init__(self, stream: av.VideoStream) -> None:
        rate = stream.average_rate or stream.guessed_rate or Fraction(25)
        self.rate = float(rate) if 0 < rate <= 1000 else 25.0
        self._base = stream.time_base or Fraction(1, 1000)
        self._origin = stream.start_time or 0
        self._last = -1.0 / self.rate

    def ticks(self, time_s: float) -> int:
        return int(time_s / self._base) + self._origin

    def time_s(self, frame: av.VideoFrame) -> float:
        derived = self._last + 1 / self.rate
        told = None if frame.pts is None else float((frame.pts - self._origin) * self._base)
        self._last = derived if told is None or told <= self._last else told
        return self._last


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    check_input_file(path)
    try:
        # "file:" keeps FFmpeg from reading a name such as "12:30.mp4" as a protocol.
        options = {"format_whitelist": DEMUXERS, "protocol_whitelist": "file"}
        container = av.open(f"file:{path}", "r", container_options=options, metadata_errors="replace")
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{shown(path)}: cannot be read as a video ({_one_line(error)})") from error
    with container:
        stream = container.streams.best("video")
        if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
            raise BadInputError(f"{shown(path)}: has no video stream that can be decoded")
        size = stream.codec_context.width * stream.codec_context.height
        if size > MAX_PIXELS:
            raise BadInputError(f"{shown(path)}: frames of {size >> 20} megapixels, at most {MAX_PIXELS >> 20}")
        stream.thread_type = "AUTO"
        yield container, stream


def _seek(container: av.container.InputContainer, stream: av.VideoStream, ticks: int) -> None:
    try:
        container.seek(ticks, stream=stream)
    except (av.error.FFmpegError, OSError) as error:
        logger.info("no seeking here, decoding from the start: %s", _one_line(error))


def _decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
            if packet is None:
                return
            yield from stream.decode(packet)
        except av.error.FFmpegError as error:
            if not isinstance(error, av.error.InvalidDataError):
                logger.warning("%s: reading ends early (%s)", container.name, _one_line(error))
                return
            logger.debug("%s: a damaged packet passed over", container.name)


def _upright(frame: av.VideoFrame, reformatter: VideoReformatter) -> Frame:
    """RGB by the frame's own matrix; without a tag BT.709 from 720 lines on, else BT.601. Turned by its rotation."""
    large = frame.height >= 720 or frame.width >= 1280
    matrix = frame.colorspace if frame.colorspace != _UNSPECIFIED else (_BT709 if large else _BT601)
    rgb = reformatter.reformat(
        frame, format="rgb24", src_colorspace=matrix, dst_colorspace=matrix, dst_color_range=ColorRange.JPEG
    )
    return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(frame.rotation / 90) % 4))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
