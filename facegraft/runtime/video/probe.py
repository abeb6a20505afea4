"""What a clip holds: its video stream, the first picture's layout and tags, and the streams that are only copied."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.container
import av.error
import av.stream

from facegraft.core.errors import BadInputError
from facegraft.core.files import check_input_file, shown, sniff
from facegraft.runtime.video.orient import UPRIGHT, Orientation, display_matrix, orientation_of, side_data

CONTAINERS = (
    "mov,matroska,avi,gif,mpeg,mpegts,mpegvideo,h264,hevc,m4v,ivf,obu,flv,asf,ogg,mxf,dv,nut,swf,rm,yuv4mpegpipe"
)
"""Demuxers that may be used: none that opens other files or addresses (playlists), none that reads any text."""
MAX_PIXELS = 1 << 26
"""67 million: four times 4K; more is a fault or an attack, and would not fit into memory beside the models."""


@dataclass(frozen=True)
class Colour:
    """Tags as FFmpeg numbers them; 2 (range: 0) means unspecified."""

    primaries: int
    transfer: int
    matrix: int
    range: int


@dataclass(frozen=True)
class HdrStatic:
    """Mastering display and content light level, in the bitstream's units (0.00002, 0.0001 cd/m2, cd/m2)."""

    primaries_xy: tuple[int, ...] = ()
    """Green x, y, blue x, y, red x, y, white x, y."""
    luminance: tuple[int, ...] = ()
    """Largest, smallest."""
    light_levels: tuple[int, ...] = ()
    """MaxCLL, MaxFALL."""


@dataclass(frozen=True)
class CopiedStream:
    index: int
    kind: str
    """As in `options.KINDS`."""
    codec: str
    label: str
    """For messages: "subtitles stream 3 (subrip, eng)"."""


@dataclass(frozen=True)
class Original:
    path: Path
    container: str
    stream_index: int
    codec: str
    time_base: Fraction
    size_hw: tuple[int, int]
    """Coded, before the display matrix."""
    pixel_format: str
    rate: Fraction
    sample_aspect: Fraction
    matrix: tuple[int, ...] | None
    orientation: Orientation
    colour: Colour
    hdr: HdrStatic | None
    interlaced: bool
    origin_s: Fraction
    """Where the clip's clock starts; trims count from here."""
    duration_s: float | None
    frames: int | None
    copied: tuple[CopiedStream, ...]
    chapters: tuple[dict[str, Any], ...]
    metadata: dict[str, str]
    video_metadata: dict[str, str]
    disposition: int
    timecode: str | None
    notes: tuple[str, ...] = field(default=())


@contextmanager
def open_clip(path: Path) -> Iterator[av.container.InputContainer]:
    """The clip, opened for reading and closed at the end.

    Raises:
        BadInputError: It cannot be read, or is not a video file.
    """
    check_input_file(path)
    try:
        # "file:" keeps FFmpeg from reading a name such as "12:30.mp4" as a protocol.
        container = av.open(
            f"file:{path}",
            "r",
            container_options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{shown(path)}: {_why_not(path)}") from error
    try:
        yield container
    finally:
        container.close()


def _why_not(path: Path) -> str:
    kind = sniff(path)
    if kind == "inode/x-empty":
        return "is an empty file; expected a video"
    if kind is not None and kind.startswith("image/") and kind != "image/gif":
        return f"is a picture ({kind}); expected a video"
    if kind is not None and not kind.startswith("video/"):
        return f"is no video (it looks like {kind}); expected mp4, mov, mkv, webm, avi, mpg or gif"
    return "cannot be read as a video; it may be damaged, cut off before its index, or of an unknown kind"


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """The stream to edit: the best one that is not a cover picture.

    Raises:
        BadInputError: There is none, or no decoder for it.
    """
    best = container.streams.best("video")
    if not isinstance(best, av.VideoStream) or best.disposition & av.stream.Disposition.attached_pic:
        kinds = sorted({stream.type for stream in container.streams})
        raise BadInputError(
            f"{shown(path)}: has no video stream (found: {', '.join(kinds) or 'none'}); expected a clip"
        )
    if best.codec_context is None:
        raise BadInputError(f"{shown(path)}: no decoder for its video stream; convert it to H.264 first")
    return best


def probe(path: Path) -> Original:
    """Reads the header and decodes the first picture.

    Raises:
        BadInputError: Not a video, no video stream, nothing that can be decoded, or a picture too large.
    """
    with open_clip(path) as container:
        stream = video_stream(container, path)
        _check_size(path, stream.codec_context.height, stream.codec_context.width)
        first = _first_frame(container, stream, path)
        _check_size(path, first.height, first.width)
        return _describe(path, container, stream, first)


def _check_size(path: Path, height: int, width: int) -> None:
    if height * width > MAX_PIXELS:
        raise BadInputError(
            f"{shown(path)}: pictures of {width}x{height} are over the limit of {MAX_PIXELS >> 20} megapixels; "
            "scale the clip down first"
        )


def _first_frame(container: av.container.InputContainer, stream: av.VideoStream, path: Path) -> av.VideoFrame:
    stream.codec_context.thread_count = 1  # frame threads would read ahead for nothing
    reason = "it holds no pictures"
    packets = container.demux(stream)
    for _ in range(2000):
        try:
            packet = next(packets, None)
            if packet is None:
                break
            frames = packet.decode()
        except (av.error.FFmpegError, ValueError) as error:
            reason = str(error)
            continue
        if frames:
            return frames[0]
    raise BadInputError(f"{shown(path)}: no picture can be decoded ({reason}); the file is damaged or empty")


def _describe(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, first: av.VideoFrame
) -> Original:
    matrix = display_matrix(first)
    orientation = orientation_of(matrix)
    notes: list[str] = []
    if orientation is None:
        notes.append(f"turned by {first.rotation} degrees, which is no quarter turn: faces are looked for unturned")
    time_base = stream.time_base or Fraction(1, 1000)
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    if not 0 < rate <= 1000:
        rate = Fraction(25)
    duration = _duration_s(container, stream)
    start = stream.start_time * time_base if stream.start_time is not None else Fraction(0)
    if container.start_time is not None:
        start = min(start, Fraction(container.start_time, av.time_base))
    chapters = tuple(dict(chapter) for chapter in container.chapters())
    copied, timecode = _copied_streams(container, stream, has_chapters=bool(chapters))
    return Original(
        path=path,
        container=container.format.name,
        stream_index=stream.index,
        codec=stream.codec_context.name,
        time_base=time_base,
        size_hw=(first.height, first.width),
        pixel_format=first.format.name,
        rate=rate,
        sample_aspect=stream.sample_aspect_ratio or Fraction(1),
        matrix=matrix,
        orientation=orientation or UPRIGHT,
        colour=_colour(stream, first),
        hdr=_hdr(first),
        interlaced=first.interlaced_frame,
        origin_s=start,
        duration_s=duration,
        frames=stream.frames or (round(duration * rate) if duration else None),
        copied=copied,
        chapters=chapters,
        metadata=dict(container.metadata),
        video_metadata=dict(stream.metadata),
        disposition=int(stream.disposition),
        timecode=timecode,
        notes=tuple(notes),
    )


def _duration_s(container: av.container.InputContainer, stream: av.VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return container.duration / av.time_base if container.duration else None


def _colour(stream: av.VideoStream, frame: av.VideoFrame) -> Colour:
    """The picture's own tags; where it has none, the container's."""
    context = stream.codec_context
    pairs = (
        (frame.color_primaries, context.color_primaries, 2),
        (frame.color_trc, context.color_trc, 2),
        (frame.colorspace, context.colorspace, 2),
        (frame.color_range, context.color_range, 0),
    )
    found = [int(own) if int(own) != unknown else int(other) for own, other, unknown in pairs]
    if frame.format.name.startswith("yuvj"):
        found[3] = 2
    return Colour(*found)


def _hdr(frame: av.VideoFrame) -> HdrStatic | None:
    """Reads AVMasteringDisplayMetadata and AVContentLightMetadata, whose layouts are part of FFmpeg's interface."""
    data = side_data(frame)
    display, light = data.get("MASTERING_DISPLAY_METADATA", b""), data.get("CONTENT_LIGHT_LEVEL", b"")
    primaries: tuple[int, ...] = ()
    luminance: tuple[int, ...] = ()
    if len(display) >= 88:
        *numbers, has_primaries, has_luminance = struct.unpack("=20i2i", display[:88])
        values = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
        red, green, blue, white = (values[at : at + 2] for at in (0, 2, 4, 6))
        if has_primaries:
            primaries = tuple(round(value * 50000) for value in (*green, *blue, *red, *white))
        if has_luminance:
            luminance = (round(values[9] * 10000), round(values[8] * 10000))
    levels = struct.unpack("=2I", light[:8]) if len(light) >= 8 else ()
    return HdrStatic(primaries, luminance, levels) if primaries or luminance or levels else None


def _copied_streams(
    container: av.container.InputContainer, video: av.VideoStream, *, has_chapters: bool
) -> tuple[tuple[CopiedStream, ...], str | None]:
    """Every stream but the edited one, less those the muxer writes anew: MP4's chapter text and time code tracks."""
    copied: list[CopiedStream] = []
    timecode = video.metadata.get("timecode")
    for stream in container.streams:
        if stream.index == video.index:
            continue
        kind = {"subtitle": "subtitles", "attachment": "attachments"}.get(stream.type, stream.type)
        codec = stream.codec_context.name if stream.codec_context is not None else (stream.name or "unknown codec")
        if kind == "data" and "timecode" in stream.metadata:
            timecode = stream.metadata["timecode"]
            continue
        if kind == "data" and codec == "bin_data" and has_chapters and container.format.name.startswith("mov"):
            continue
        details = ", ".join(part for part in (codec, stream.language) if part)
        copied.append(CopiedStream(stream.index, kind, codec, f"{kind} stream {stream.index} ({details})"))
    return tuple(copied), timecode
