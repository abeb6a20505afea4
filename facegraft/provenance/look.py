"""Looks for the watermark in files: decodes a picture, or a few frames of a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.core.image import read_picture
from facegraft.core.types import Frame
from facegraft.provenance.containers import DEMUXERS
from facegraft.provenance.watermark import WatermarkReading, find_mark

_KEY_FRAMES = 5


def look_for_mark(path: Path, kind: str) -> WatermarkReading:
    """The surest reading of a picture, or of the first five key frames of a video.

    Args:
        path: A picture or video.
        kind: Its content type, as `core.files.sniff` gives it.

    Raises:
        BadInputError: It cannot be decoded.
        MissingPartError: HEIC without the extra `heif`.
    """
    frames = _key_frames(path, kind) if kind in DEMUXERS else iter([read_picture(path).frame])
    readings = [find_mark(frame) for frame in frames]
    if not readings:
        raise BadInputError(f"{shown(path)}: no picture in it can be decoded; is it complete?")
    return max(readings, key=lambda reading: (reading.found, reading.confidence))


def _key_frames(path: Path, kind: str) -> Iterator[Frame]:
    try:
        with path.open("rb") as stream, av.open(stream, "r", format=DEMUXERS[kind]) as container:
            if not container.streams.video:
                return
            container.streams.video[0].codec_context.skip_frame = "NONKEY"
            for number, frame in enumerate(container.decode(video=0)):
                if number == _KEY_FRAMES:
                    return
                upright = np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90))
                yield np.ascontiguousarray(upright)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{shown(path)}: the video cannot be decoded ({error}); is it complete?") from error
