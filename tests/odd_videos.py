"""Clips that break video tools, each made here with PyAV, and a plain writer for the tests' own clips."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np

from facegraft.core.types import Frame

_ENCODER_OPTIONS = {
    "libx264": {"preset": "ultrafast", "crf": "20"},
    "libx265": {"preset": "ultrafast", "crf": "20", "x265-params": "log-level=none"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "30"},
}


@dataclass(frozen=True)
class OddVideo:
    path: Path
    expected: Literal["right", "error"]
    """When written to a file with the suffix `output`."""
    why: str
    output: str = ".mp4"


@dataclass(frozen=True)
class Clip:
    """What `write_clip` writes; the defaults are a plain H.264 clip at 25 frames a second."""

    codec: str = "libx264"
    pixel_format: str = "yuv420p"
    time_base: Fraction = Fraction(1, 12800)
    times: Sequence[int] | None = None
    """Presentation times in ticks; None: one frame every 1/25 s from 0."""
    size_hw: tuple[int, int] | None = None
    degrees: int | None = None
    matrix: Sequence[int] | None = None
    colour: tuple[int, int, int, int] | None = None
    """Primaries, transfer, matrix, range."""
    sample_aspect: Fraction = Fraction(1)
    options: dict[str, str] = field(default_factory=dict)
    flags: int = 0
    audio: Sequence[tuple[str, int]] = ()
    """Codec and channels of each audio stream."""
    audio_start_s: float = 0.0
    subtitles: Sequence[tuple[float, float, str]] = ()
    subtitle_codec: str = "subrip"
    chapters: Sequence[tuple[float, float, str]] = ()
    attachment: bytes | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)
    container: str | None = None


def write_clip(path: Path, frames: Sequence[Frame], clip: Clip) -> Path:
    """Writes frames as a clip; `size_hw` resizes them first."""
    times = list(clip.times) if clip.times is not None else _regular_times(len(frames), clip.time_base)
    with av.open(str(path), "w", format=clip.container, container_options=clip.container_options) as out:
        out.metadata.update(clip.metadata)
        video = _video_stream(out, frames[0], clip)
        tracks = [_audio_stream(out, codec, channels) for codec, channels in clip.audio]
        words = out.add_mux_stream(clip.subtitle_codec) if clip.subtitles else None
        if clip.attachment is not None:
            out.add_attachment("note.txt", "text/plain", clip.attachment)
        if clip.chapters:
            out.set_chapters([_chapter(number, *chapter) for number, chapter in enumerate(clip.chapters)])
        out.start_encoding()
        seconds = float((times[-1] - times[0]) * clip.time_base) + 0.04
        for track in tracks:
            _write_tone(out, track, seconds, clip.audio_start_s)
        for start, end, text in clip.subtitles:
            out.mux(_subtitle(words, clip.subtitle_codec, start, end, text))
        for frame, pts in zip(frames, times, strict=True):
            out.mux(video.encode(_picture(frame, pts, clip)))
        out.mux(video.encode(None))
    return path


def _regular_times(count: int, time_base: Fraction) -> list[int]:
    return [round(number / (25 * time_base)) for number in range(count)]


def _video_stream(out: av.container.OutputContainer, frame: Frame, clip: Clip) -> Any:
    video = out.add_stream(clip.codec, rate=Fraction(25))
    video.height, video.width = clip.size_hw or frame.shape[:2]
    video.pix_fmt = clip.pixel_format
    context = video.codec_context
    context.time_base = clip.time_base
    video.time_base = clip.time_base
    context.sample_aspect_ratio = clip.sample_aspect
    context.thread_count = 1
    context.flags |= clip.flags
    if clip.colour is not None:
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = clip.colour
    video.options = {**_ENCODER_OPTIONS.get(clip.codec, {}), **clip.options}
    if clip.degrees is not None:
        video.set_display_rotation(clip.degrees)
    if clip.matrix is not None:
        video.set_display_matrix(clip.matrix)
    return video


def _picture(frame: Frame, pts: int, clip: Clip) -> av.VideoFrame:
    if clip.size_hw is not None:
        frame = cv2.resize(frame, clip.size_hw[::-1], interpolation=cv2.INTER_AREA)
    picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
    if clip.pixel_format != "rgb24":
        matrix, value_range = (clip.colour[2], clip.colour[3]) if clip.colour else (5, 1)
        picture = picture.reformat(
            format=clip.pixel_format, dst_colorspace=matrix, src_color_range=2, dst_color_range=value_range
        )
    picture.pts, picture.time_base = pts, clip.time_base
    return picture


def _audio_stream(out: av.container.OutputContainer, codec: str, channels: int) -> Any:
    track = out.add_stream(codec, rate=48000)
    track.layout = "mono" if channels == 1 else "stereo"
    return track


def _write_tone(out: av.container.OutputContainer, track: Any, seconds: float, start_s: float) -> None:
    context = track.codec_context
    context.open(strict=False)
    count = context.frame_size or 1024
    layout = track.layout.name
    channels = len(track.layout.channels)
    for start in range(0, max(1, int(seconds * 48000)), count):
        phase = np.arange(start, start + count) * (2 * np.pi * (300 + 100 * channels) / 48000)
        wave = (np.sin(phase) * 8000).astype(np.int16)
        tone = av.AudioFrame.from_ndarray(np.repeat(wave, channels)[None], format="s16", layout=layout)
        tone.sample_rate, tone.time_base = 48000, Fraction(1, 48000)
        tone.pts = start + round(start_s * 48000)
        resampled = av.AudioResampler(format=context.format, layout=layout, rate=48000).resample(tone)
        for part in resampled:
            out.mux(track.encode(part))
    out.mux(track.encode(None))


def _subtitle(stream: Any, codec: str, start: float, end: float, text: str) -> av.Packet:
    data = text.encode()
    if codec == "mov_text":
        data = len(data).to_bytes(2, "big") + data
    packet = av.Packet(data)
    packet.time_base = Fraction(1, 1000)
    packet.pts = packet.dts = round(start * 1000)
    packet.duration = round((end - start) * 1000)
    packet.stream = stream
    return packet


def _chapter(number: int, start: float, end: float, title: str) -> Any:
    times = {"start": round(start * 1000), "end": round(end * 1000), "time_base": Fraction(1, 1000)}
    return {"id": number, **times, "metadata": {"title": title}}


VARIABLE_STEPS = (512, 300, 700, 512, 1024, 200, 900, 512, 333, 640)
"""Ticks between frames of the variable-rate clips."""


def variable_times(count: int, start: int = 0) -> list[int]:
    """Presentation times no two gaps of which need be alike."""
    times = [start]
    while len(times) < count:
        times.append(times[-1] + VARIABLE_STEPS[len(times) % len(VARIABLE_STEPS)])
    return times


def make_odd_videos(folder: Path, frames: list[Frame]) -> list[OddVideo]:
    """Writes every odd clip that can be made of these frames (at least 12, even-sized)."""
    folder.mkdir(parents=True, exist_ok=True)
    made = [_write(folder, frames, *row) for row in _clips(len(frames))]
    return made + _broken(folder, frames)


def _write(folder: Path, frames: list[Frame], name: str, why: str, clip: Clip, count: int | None = None) -> OddVideo:
    path = folder / name
    times = None if clip.times is None else list(clip.times)[:count]
    part = frames[:count]
    write_clip(path, part, Clip(**{**clip.__dict__, "times": times}))
    return OddVideo(path, "right", why, ".mkv" if clip.attachment else ".mp4")


_TONE = (("aac", 2),)
_HFLIP = (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
_TRANSPOSE = (0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30)
_B_FRAMES = {"preset": "fast", "bf": "3", "b_strategy": "0"}
_OPEN_GOP = {"preset": "fast", "x264-params": "open-gop=1:keyint=5"}
_FIELDS = {"preset": "fast", "x264-params": "interlaced=1"}
_FIELD_FLAGS = (1 << 18) | (1 << 29)
_FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}
_HDR = (9, 16, 9, 1)
_BY_25 = Fraction(1, 25)


def _clips(count: int) -> list[tuple[Any, ...]]:
    vfr = variable_times(count)
    subtitles = ((0.0, 0.2, "one"), (0.2, 0.4, "zwei"))
    rich = Clip(
        audio=(("aac", 2), ("libopus", 1)),
        subtitles=subtitles,
        chapters=((0.0, 0.2, "Start"), (0.2, 0.4, "Ende")),
        attachment=b"a note",
        metadata={"title": "Two tracks"},
    )
    return [
        ("rotated-90.mp4", "phone held upright", Clip(degrees=90, audio=_TONE)),
        ("rotated-180.mp4", "phone upside down", Clip(degrees=180)),
        ("rotated-270.mov", "phone the other way", Clip(degrees=-90, audio=_TONE)),
        ("mirrored.mp4", "display matrix with a flip", Clip(matrix=_HFLIP)),
        ("transposed.mkv", "display matrix with turn and flip", Clip(matrix=_TRANSPOSE)),
        ("variable-rate.mp4", "no two gaps alike", Clip(times=vfr, audio=_TONE)),
        ("variable-rate.mkv", "the same in milliseconds", Clip(times=vfr)),
        ("late-start.mp4", "first picture after 0.08 s", Clip(times=variable_times(count, 1000), audio=_TONE)),
        ("late-audio.mp4", "sound starts later than the picture", Clip(audio=_TONE, audio_start_s=0.123)),
        ("transport.ts", "MPEG-TS with its offset of seconds", Clip(audio=_TONE, time_base=Fraction(1, 90000))),
        ("ten-bit.mp4", "HEVC main 10", Clip(codec="libx265", pixel_format="yuv420p10le")),
        ("ten-bit-h264.mkv", "H.264 high 10", Clip(pixel_format="yuv420p10le")),
        ("twelve-bit-422.mkv", "HEVC 4:2:2, 12 bits", Clip(codec="libx265", pixel_format="yuv422p12le")),
        ("chroma-444.mp4", "H.264 4:4:4", Clip(pixel_format="yuv444p")),
        ("chroma-422.mp4", "H.264 4:2:2", Clip(pixel_format="yuv422p")),
        ("odd-size.mkv", "359x641, only VP9 holds it", Clip(codec="libvpx-vp9", size_hw=(641, 359))),
        ("odd-size-444.mp4", "359x641 in H.264 4:4:4", Clip(pixel_format="yuv444p", size_hw=(641, 359))),
        ("silent.mp4", "no audio", Clip()),
        ("rich.mkv", "two sound tracks, subtitles, chapters, attachment", rich),
        ("captions.mp4", "MP4 with its own kind of subtitles", Clip(subtitles=subtitles, subtitle_codec="mov_text")),
        ("b-frames.mp4", "three B-frames", Clip(options=_B_FRAMES)),
        ("open-gop.mp4", "pictures that need the group before", Clip(options=_OPEN_GOP)),
        ("gray.mkv", "monochrome", Clip(pixel_format="gray", codec="ffv1")),
        ("mono.mp4", "one sound channel", Clip(audio=(("aac", 1),))),
        ("hevc.mov", "HEVC", Clip(codec="libx265")),
        ("vp9.webm", "VP9 and Opus", Clip(codec="libvpx-vp9", audio=(("libopus", 2),))),
        ("animation.gif", "GIF", Clip(codec="gif", pixel_format="rgb8", time_base=Fraction(1, 100))),
        ("mpeg1.mpg", "MPEG program stream", Clip(codec="mpeg1video", audio=(("mp2", 2),), time_base=_BY_25)),
        ("mpeg4.avi", "AVI with MPEG-4 and MP3", Clip(codec="mpeg4", audio=(("libmp3lame", 2),), time_base=_BY_25)),
        ("phone.3gp", "3GP", Clip(audio=(("aac", 1),))),
        ("motion.mjpeg.mov", "motion JPEG, full range", Clip(codec="mjpeg", pixel_format="yuvj420p")),
        ("full-range.mp4", "full range, tagged", Clip(colour=(1, 1, 1, 2))),
        ("hdr.mp4", "BT.2020, PQ, 10 bits", Clip(codec="libx265", pixel_format="yuv420p10le", colour=_HDR)),
        ("interlaced.mp4", "field pictures", Clip(options=_FIELDS, flags=_FIELD_FLAGS)),
        ("wide-pixels.mp4", "pixels wider than high", Clip(sample_aspect=Fraction(64, 45))),
        ("rgb.mkv", "RGB without loss", Clip(codec="ffv1", pixel_format="bgr0")),
        ("long-strip.mp4", "4096 wide, 16 high", Clip(size_hw=(16, 4096))),
        ("tiny.mp4", "16x16", Clip(size_hw=(16, 16))),
        ("one-frame.mp4", "a single picture", Clip(), 1),
        ("fragmented.mp4", "fragments instead of an index", Clip(audio=_TONE, container_options=_FRAGMENTS)),
        (f"{'видео 顔 ' * 9}'\"%.mp4", "long name, other alphabets, quotes", Clip()),
        ("12:30 http:clip.mp4", "a name like a protocol", Clip()),
    ]  # fmt: skip


def _broken(folder: Path, frames: list[Frame]) -> list[OddVideo]:
    plain = write_clip(folder / "plain.mkv", frames, Clip(options={"g": "4", "bf": "0"}, audio=_TONE)).read_bytes()
    moov_last = write_clip(folder / "moov-last.mp4", frames, Clip()).read_bytes()
    (folder / "plain.mkv").unlink()
    (folder / "moov-last.mp4").unlink()
    damaged = bytearray(plain)
    for at in range(len(damaged) // 2, len(damaged) // 2 + len(damaged) // 10):
        damaged[at] ^= 0x5A
    files: list[tuple[str, bytes, Literal["right", "error"], str]] = [
        ("truncated.mkv", plain[: len(plain) * 6 // 10], "right", "ends early: what is there is done"),
        ("damaged-middle.mkv", bytes(damaged), "right", "a tenth in the middle is wrong"),
        ("wrong-suffix.mp4", plain, "right", "Matroska under another name"),
        ("no-index.mp4", moov_last[: len(moov_last) // 2], "error", "cut off before its index"),
        ("empty.mp4", b"", "error", "zero bytes"),
        ("text.mp4", b"This is no video.\n" * 40, "error", "text under a video's name"),
        ("noise.mp4", np.random.default_rng(5).bytes(60000), "error", "random bytes"),
        ("picture.mp4", _png(frames[0]), "error", "a picture under a video's name"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile silent.mp4\n", "error", "a list that opens other files"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nsilent.mp4\n#EXT-X-ENDLIST\n", "error", "a playlist"),
    ]
    made = []
    for name, content, expected, why in files:
        (folder / name).write_bytes(content)
        made.append(OddVideo(folder / name, expected, why))
    for name, make, why in (
        ("sound-only.mp4", _sound_only, "no video stream"),
        ("sound-with-cover.mp3", _sound_with_cover, "the only picture is a cover"),
    ):
        make(folder / name)
        made.append(OddVideo(folder / name, "error", why))
    (folder / "folder.mp4").mkdir(exist_ok=True)
    made.append(OddVideo(folder / "folder.mp4", "error", "a folder"))
    made.append(OddVideo(folder / "missing.mp4", "error", "no such file"))
    if hasattr(os, "geteuid") and os.geteuid() != 0:  # root reads everything
        locked = write_clip(folder / "locked.mp4", frames[:2], Clip())
        locked.chmod(0)
        made.append(OddVideo(locked, "error", "no permission"))
    return made


def _png(frame: Frame) -> bytes:
    written, data = cv2.imencode(".png", frame[..., ::-1])
    assert written
    return data.tobytes()


def _sound_only(path: Path) -> None:
    with av.open(str(path), "w") as out:
        _write_tone(out, _audio_stream(out, "aac", 2), 0.5, 0.0)


def _sound_with_cover(path: Path) -> None:
    with av.open(str(path), "w", format="mp3") as out:
        track = _audio_stream(out, "libmp3lame", 2)
        cover: Any = out.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        out.start_encoding()
        picture = av.VideoFrame(64, 64, "yuvj420p")
        picture.pts, picture.time_base = 0, Fraction(1, 1)
        out.mux(cover.encode(picture))
        out.mux(cover.encode(None))
        _write_tone(out, track, 0.5, 0.0)


def moving_frames(count: int = 12, size_hw: tuple[int, int] = (144, 192)) -> list[Frame]:
    """Frames that move and differ in each quarter, so that turned or mirrored ones are told apart."""
    height, width = size_hw
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    frames = []
    for number in range(count):
        red = 60 + 140 * x / width
        green = 60 + 140 * y / height
        blue = 128 + 80 * np.sin((x + y + 6 * number) / 12)
        frame = np.stack([red, green, blue], axis=2)
        frame[: height // 4, : width // 4] = (220, 40, 40)
        frames.append(frame.round().astype(np.uint8))
    return frames
