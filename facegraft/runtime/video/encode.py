"""Which encoder writes the result, with what settings, and the same settings for every segment and for the muxer."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import av
import av.container
import av.error
import cv2
from av.codec.context import Flags

from facegraft.core.errors import BadInputError, OutputError
from facegraft.runtime.video.options import VideoOptions
from facegraft.runtime.video.probe import Colour, HdrStatic, Original, open_clip

_ENCODERS = {"h264": "libx264", "hevc": "libx265", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
_DEPTHS = {"h264": (8, 10), "hevc": (8, 10, 12), "vp9": (8,), "av1": (8, 10)}
_CHROMA = {"h264": (420, 422, 444), "hevc": (420, 422, 444), "vp9": (420, 422, 444), "av1": (420,)}
_CV_CPU_AVX2, _CV_CPU_AVX_512F = 11, 13
_ODD_SIZES = frozenset({"vp9", "av1"})
_QUALITY = {"h264": 19, "hevc": 21, "vp9": 28, "av1": 28}
_WORST = {"h264": 51, "hevc": 51, "vp9": 63, "av1": 63}
_VP9_SPEED = dict(ultrafast=5, superfast=5, veryfast=5, faster=4, fast=3, medium=2, slow=1, slower=1, veryslow=0)
_AV1_PRESET = dict(ultrafast=12, superfast=11, veryfast=10, faster=9, fast=8, medium=7, slow=5, slower=4, veryslow=3)
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}


@dataclass(frozen=True)
class Encoding:
    """Everything an encoder is opened with; equal encodings give equal stream headers."""

    codec: str
    container: str
    pixel_format: str
    size_hw: tuple[int, int]
    """Even where the format asks for it; at most one row and column more than the clip's."""
    time_base: Fraction
    rate: Fraction
    sample_aspect: Fraction
    colour: Colour
    interlaced: bool
    threads: int
    options: tuple[tuple[str, str], ...]
    notes: tuple[str, ...] = field(default=(), compare=False)


def plan_encoding(original: Original, options: VideoOptions, suffix: str) -> Encoding:
    """Chooses codec, depth and settings so that as much as possible of the clip's picture format is kept.

    Raises:
        BadInputError: The suffix is not one we write, or the codec does not go into it.
    """
    if suffix.lower() not in FORMATS:
        raise BadInputError(f"cannot write {suffix or 'a file without suffix'!r}; choose {', '.join(FORMATS)}")
    container = FORMATS[suffix.lower()]
    found = av.VideoFormat(original.pixel_format, original.size_hw[1], original.size_hw[0])
    bits, chroma = _depth(found), _chroma(found, original)
    codec = options.codec or _default_codec(container, bits)
    if container == "webm" and codec not in ("vp9", "av1"):
        raise BadInputError(f"{codec} does not go into .webm; choose --codec vp9 or av1, or write .mkv or .mp4")
    quality = _QUALITY[codec] if options.quality is None else options.quality
    if quality > _WORST[codec]:
        raise BadInputError(f"quality of {codec} must be 0 (best) to {_WORST[codec]}, found {quality}")
    pixel_format, notes = _pixel_format(found, bits, chroma, codec)
    if any(part.is_alpha for part in found.components) and not _is_opaque_gif(original):
        notes.append("transparency is not kept")
    interlaced = original.interlaced and codec == "h264"
    if original.interlaced and not interlaced:
        notes.append(f"the clip is interlaced; {codec} is written as progressive frames, field for field as they were")
    size, size_notes = _size(original, codec, pixel_format, interlaced=interlaced)
    if codec in ("vp9", "av1") and container in ("matroska", "webm") and original.sample_aspect != 1:
        notes.append(f"pixels are {original.sample_aspect} as wide as high; {codec} in {container} cannot say so")
    if original.hdr is not None and codec == "vp9":
        notes.append("HDR mastering display and light level are not kept by vp9; use hevc or av1")
    threads = options.threads or _cores()
    return Encoding(
        codec=codec,
        container=container,
        pixel_format=pixel_format,
        size_hw=size,
        time_base=original.time_base,
        rate=original.rate,
        sample_aspect=original.sample_aspect,
        colour=_tags(original, found),
        interlaced=interlaced,
        threads=threads,
        options=tuple(sorted(_encoder_options(codec, quality, options.preset, original.hdr, size[1]).items())),
        notes=tuple(notes + size_notes),
    )


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return max(1, min(16, len(os.sched_getaffinity(0))))
    return max(1, min(16, os.cpu_count() or 1))


def _depth(found: av.VideoFormat) -> int:
    return 8 if found.has_palette else max(part.bits for part in found.components)


def _chroma(found: av.VideoFormat, original: Original) -> int:
    if found.is_rgb or found.has_palette:
        # A palette of 256 colours gains nothing from full chroma, and every player shows 4:2:0.
        return 420 if original.codec == "gif" or found.has_palette else 444
    if sum(not part.is_alpha for part in found.components) == 1:
        return 420
    halved_x = found.chroma_width(64) < 64
    return (420 if found.chroma_height(64) < 64 else 422) if halved_x else 444


def _default_codec(container: str, bits: int) -> str:
    if container == "webm":
        return "vp9" if bits == 8 else "av1"
    return "h264" if bits == 8 else "hevc"


def _pixel_format(found: av.VideoFormat, bits: int, chroma: int, codec: str) -> tuple[str, list[str]]:
    depth = min((d for d in _DEPTHS[codec] if d >= bits), default=_DEPTHS[codec][-1])
    kept = chroma if chroma in _CHROMA[codec] else _CHROMA[codec][0]
    notes = []
    if depth < bits:
        notes.append(f"{bits} bits a sample become {depth}, the most that {codec} holds here")
    if kept != chroma:
        notes.append(f"chroma {chroma} becomes {kept}, which is all that {codec} holds here")
    if found.is_rgb or found.has_palette:
        notes.append(f"RGB pictures become Y'CbCr {kept}")
    if codec in ("h264", "hevc") and found.name in ("nv12", "yuvj420p", "yuvj422p", "yuvj444p"):
        return ("yuv420p" if found.name == "nv12" else found.name), notes
    return f"yuv{kept}p{'' if depth == 8 else f'{depth}le'}", notes


def _is_opaque_gif(original: Original) -> bool:
    """Whether the clip is a GIF of which nothing is transparent: its decoder gives every one an alpha channel."""
    if original.codec != "gif":
        return False
    with open_clip(original.path) as container:
        try:
            frames = container.decode(video=0)
            return all(bool((frame.to_ndarray(format="bgra")[..., 3] == 255).all()) for frame in frames)
        except (av.error.FFmpegError, ValueError):
            return False


def _size(original: Original, codec: str, pixel_format: str, *, interlaced: bool) -> tuple[tuple[int, int], list[str]]:
    height, width = original.size_hw
    if codec in _ODD_SIZES or "444" in pixel_format:
        return (height, width), []
    unit_y = (2 if "420" in pixel_format else 1) * (2 if interlaced else 1)
    even = (-(-height // unit_y) * unit_y, width + width % 2)
    if even == (height, width):
        return even, []
    return even, [f"{width}x{height} becomes {even[1]}x{even[0]} by repeating the edge: {codec} needs even sizes here"]


def _tags(original: Original, found: av.VideoFormat) -> Colour:
    """The clip's own tags; a clip that was RGB gets those of the conversion."""
    if not (found.is_rgb or found.has_palette):
        return original.colour
    matrix = 1 if original.size_hw[0] >= 720 or original.size_hw[1] >= 1280 else 5
    return Colour(original.colour.primaries, original.colour.transfer, matrix, 1)


def _encoder_options(codec: str, quality: int, preset: str, hdr: HdrStatic | None, width: int) -> dict[str, str]:
    if codec == "h264":
        params = [*_hdr_x264(hdr), *_steady_x264(width)]
        return {"preset": preset, "crf": str(quality), **({"x264-params": ":".join(params)} if params else {})}
    if codec == "hevc":
        params = ["log-level=none", "open-gop=0", *_hdr_x265(hdr)]
        return {"preset": preset, "crf": str(quality), "x265-params": ":".join(params)}
    if codec == "vp9":
        return {"crf": str(quality), "deadline": "good", "cpu-used": str(_VP9_SPEED[preset]), "row-mt": "1"}
    hdr_params = {"svtav1-params": ":".join(_hdr_av1(hdr))} if hdr else {}
    return {"crf": str(quality), "preset": str(_AV1_PRESET[preset]), **hdr_params}


def _display_text(hdr: HdrStatic) -> str:
    gx, gy, bx, by, rx, ry, wx, wy = hdr.primaries_xy
    return f"G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({hdr.luminance[0]},{hdr.luminance[1]})"


def _steady_x264(width: int) -> list[str]:
    """Keeps x264 from using AVX-512 where that makes equal input give different bytes.

    Its macroblock-tree code for AVX-512 takes 16 macroblocks at a time and, where a row is no multiple of that, mixes
    in memory nobody wrote (found with glibc's MALLOC_PERTURB_; AVX2 code is steady, and 4 % slower here).
    """
    has_avx512 = cv2.checkHardwareSupport(_CV_CPU_AVX_512F) and cv2.checkHardwareSupport(_CV_CPU_AVX2)
    return ["asm=avx2"] if has_avx512 and -(-width // 16) % 16 else []


def _hdr_x264(hdr: HdrStatic | None) -> list[str]:
    if hdr is None:
        return []
    display = [f"mastering-display={_display_text(hdr)}"] if hdr.primaries_xy and hdr.luminance else []
    return [*display, *([f"cll={hdr.light_levels[0]},{hdr.light_levels[1]}"] if hdr.light_levels else [])]


def _hdr_x265(hdr: HdrStatic | None) -> list[str]:
    if hdr is None:
        return []
    display = [f"master-display={_display_text(hdr)}"] if hdr.primaries_xy and hdr.luminance else []
    return [*display, *([f"max-cll={hdr.light_levels[0]},{hdr.light_levels[1]}"] if hdr.light_levels else [])]


def _hdr_av1(hdr: HdrStatic) -> list[str]:
    parts = [f"content-light={hdr.light_levels[0]},{hdr.light_levels[1]}"] if hdr.light_levels else []
    if hdr.primaries_xy and hdr.luminance:
        gx, gy, bx, by, rx, ry, wx, wy = (f"{value / 50000:.5f}" for value in hdr.primaries_xy)
        most, least = (f"{value / 10000:.4f}" for value in hdr.luminance)
        parts.append(f"mastering-display=G({gx},{gy})B({bx},{by})R({rx},{ry})WP({wx},{wy})L({most},{least})")
    return parts


def _configure(context: av.VideoCodecContext, encoding: Encoding) -> None:
    context.height, context.width = encoding.size_hw
    context.pix_fmt = encoding.pixel_format
    context.time_base = encoding.time_base
    context.framerate = encoding.rate
    context.bit_rate = 0
    context.sample_aspect_ratio = encoding.sample_aspect
    colour = encoding.colour
    context.color_primaries, context.color_trc = colour.primaries, colour.transfer
    context.colorspace, context.color_range = colour.matrix, colour.range
    context.thread_count = encoding.threads
    context.thread_type = "FRAME"  # slices cost about a tenth of the size
    flags = context.flags | Flags.global_header | Flags.frame_duration | Flags.closed_gop
    if encoding.interlaced:
        flags |= Flags.interlaced_dct | Flags.interlaced_me
    context.flags = int(flags)
    context.options = dict(encoding.options)
    if encoding.codec == "hevc" and encoding.container in ("mp4", "mov"):
        context.codec_tag = "hvc1"  # Apple's players do not take hev1
    if encoding.codec == "av1":
        os.environ.setdefault("SVT_LOG", "1")  # the only way to keep its banner off standard error


def open_encoder(encoding: Encoding) -> av.VideoCodecContext:
    """A fresh encoder.

    Raises:
        OutputError: It refuses the size or the settings.
    """
    context = cast(av.VideoCodecContext, av.CodecContext.create(_ENCODERS[encoding.codec], "w"))
    _configure(context, encoding)
    try:
        context.open()
    except (av.error.FFmpegError, ValueError) as error:
        height, width = encoding.size_hw
        raise OutputError(
            f"{encoding.codec} cannot encode {width}x{height} {encoding.pixel_format} ({error}); try another --codec"
        ) from error
    return context


def add_video_stream(
    container: av.container.OutputContainer, encoding: Encoding, matrix: tuple[int, ...] | None
) -> av.VideoStream:
    """A stream with the header of `encoding`, for packets encoded elsewhere.

    Raises:
        BadInputError: The container does not take the codec.
    """
    try:
        stream = cast(av.VideoStream, container.add_stream(_ENCODERS[encoding.codec], rate=encoding.rate))
    except ValueError as error:
        raise BadInputError(
            f"{encoding.codec} does not go into {encoding.container}; choose another --codec or write .mkv"
        ) from error
    _configure(stream.codec_context, encoding)
    stream.time_base = encoding.time_base
    if matrix is not None:
        stream.set_display_matrix(matrix)
    return stream
