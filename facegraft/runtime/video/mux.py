"""Segments and copied streams into one file, without encoding anything; and the same on one frame, beforehand."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import av.container
import av.error
import av.stream
import numpy as np
from av.container.core import Flags

from facegraft.core.errors import BadInputError, FacegraftError, OutputError
from facegraft.core.files import shown
from facegraft.runtime.video.encode import Encoding, add_video_stream
from facegraft.runtime.video.packets import AnyPacket, CarefulFile, StoredPacket, read_packets, read_times
from facegraft.runtime.video.probe import CopiedStream, Original, open_clip

_JUMP_S = 0.1
"""A step back by more than this is a clock that starts anew; less is a fault of one packet."""
_STALE_TAGS = ("BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES", "_STATISTICS", "ENCODER")
_CONTAINER_TAGS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder"})
_PLAIN_MP4_TAGS = frozenset(
    {
        *("title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping"),
        *("lyrics", "description", "synopsis", "show", "episode_id", "network", "keywords", "creation_time"),
    }
)


@dataclass(frozen=True)
class Kept:
    """What of the clip goes into the result, and from where to where."""

    streams: tuple[CopiedStream, ...]
    chapters: bool
    start_s: Fraction | None
    """Trim, in the clip's clock; None where the start is kept."""
    end_s: Fraction | None
    shift_s: Fraction
    """Taken from every time: 0 unless the start is trimmed."""

    def ticks(self, time_base: Fraction) -> int:
        """`shift_s` in a stream's time base."""
        return round(self.shift_s / time_base)


@dataclass(frozen=True)
class Muxed:
    """What `mux` put into the file."""

    derived_times: int
    """Copied packets without a usable time of their own."""
    streams: int
    """Those that `check_result` must find; a stream without any packet leaves no trace in MP4."""


@dataclass(frozen=True)
class TimedPacket:
    packet: StoredPacket
    dts: int


def decoding_times(paths: list[Path]) -> Iterator[TimedPacket]:
    """All packets of the segments with decoding times that rise strictly and never pass the presentation times.

    Each segment's encoder counts from its own start, so its times overlap those before; here the n-th packet gets
    the presentation time of the frame that many places earlier as the deepest reordering asks for.
    """
    times = np.fromiter((pts for path in paths for pts in read_times(path)), np.int64)
    order = np.sort(times)
    ranks = np.searchsorted(order, times)
    delay = int(max(0, (np.arange(len(times)) - ranks).max(initial=0)))
    step = max(1, int(order[1] - order[0])) if len(order) > 1 else 1
    place = 0
    for path in paths:
        for packet in read_packets(path):
            dts = order[place - delay] if place >= delay else order[0] - (delay - place) * step
            yield TimedPacket(packet, int(dts))
            place += 1


def mux(
    original: Original,
    encoding: Encoding,
    kept: Kept,
    video: Iterable[TimedPacket],
    path: Path,
    metadata: dict[str, str],
    *,
    only_start: bool = False,
) -> Muxed:
    """Writes the whole file.

    Args:
        original: The clip whose other streams, chapters and tags are copied.
        encoding: That of the video packets.
        kept: What is copied.
        video: Packets in decoding order.
        path: Overwritten.
        metadata: Added to the clip's own tags.
        only_start: Copy the first packets only: the dry run.

    Raises:
        BadInputError: A stream does not go into the container.
        OutputError: The file cannot be written.
    """
    with open_clip(original.path) as clip, path.open("wb", buffering=0) as raw:
        file = CarefulFile(raw)
        out = av.open(
            file, "w", format=encoding.container, container_options=_muxer_options(clip, original, encoding, metadata)
        )
        try:
            done = _fill(out, clip, original, encoding, kept, video, metadata, only_start=only_start, check=file.check)
            out.close()
        except av.error.FFmpegError as error:
            file.check()
            raise OutputError(f"{shown(path)}: cannot be muxed ({error})") from error
        file.finish()
    return done


def _fill(
    out: av.container.OutputContainer,
    clip: av.container.InputContainer,
    original: Original,
    encoding: Encoding,
    kept: Kept,
    video: Iterable[TimedPacket],
    metadata: dict[str, str],
    *,
    only_start: bool,
    check: Callable[[], None],
) -> Muxed:
    out.flags |= cast(int, Flags.bitexact.value)  # no random identifiers: equal work gives equal bytes
    chosen = {copied.index: copied for copied in kept.streams}
    video_out: av.VideoStream | None = None
    outputs: dict[int, av.stream.Stream] = {}
    covers = 0
    for stream in clip.streams:  # in the clip's order, so that players choose the same tracks
        if stream.index == original.stream_index:
            video_out = _add_video(out, original, encoding)
        elif stream.index in chosen and _is_cover(stream) and encoding.container == "matroska":
            _attach_cover(out, original, stream)
            covers += 1
        elif stream.index in chosen:
            outputs[stream.index] = _add_copy(out, stream, chosen[stream.index], encoding.container)
    if video_out is None:
        raise BadInputError(f"{shown(original.path)}: its video stream is gone; was the file replaced?")
    out.metadata.update({key: value for key, value in original.metadata.items() if key.lower() not in _CONTAINER_TAGS})
    out.metadata.update(metadata)
    if kept.chapters:
        out.set_chapters(cast(Any, list(_chapters(original, kept))))
    packets_in = {index: clip.streams[index] for index in outputs if chosen[index].kind != "attachments"}
    copies = _Copies(clip, packets_in, kept, only_start=only_start)
    shift = kept.ticks(encoding.time_base)
    for item in heapq.merge(_stamped(video, encoding.time_base, kept), copies, key=lambda pair: pair[0]):
        check()
        _, what = item
        if isinstance(what, TimedPacket):
            out.mux_one(_video_packet(what, video_out, encoding.time_base, shift))
        else:
            what.stream = outputs[what.stream_index]
            out.mux_one(what)
    out.start_encoding()
    attachments = sum(copied.kind == "attachments" for copied in kept.streams)
    filled = sum(chosen[index].kind != "data" for index in copies.filled)
    return Muxed(copies.fixed, 1 + filled + attachments + covers)


def _muxer_options(
    clip: av.container.InputContainer, original: Original, encoding: Encoding, metadata: dict[str, str]
) -> dict[str, str]:
    if encoding.container not in ("mp4", "mov"):
        return {}
    options: dict[str, str] = {}
    # A late start of a stream is written in this unit: the default, a millisecond, would move it against the others.
    bases = [stream.time_base for stream in clip.streams if stream.time_base]
    scale = math.lcm(1000, *(base.denominator for base in bases))
    if scale < 1 << 31:
        options["movie_timescale"] = str(scale)
    keys = {key.lower() for key in (*original.metadata, *metadata)} - _CONTAINER_TAGS
    if not keys <= _PLAIN_MP4_TAGS:
        options["movflags"] = "use_metadata_tags"  # the plain MP4 tags have no place for other names
    if original.timecode is not None:
        options["write_tmcd"] = "1"
    return options


def _add_video(out: av.container.OutputContainer, original: Original, encoding: Encoding) -> av.VideoStream:
    stream = add_video_stream(out, encoding, original.matrix)
    stream.metadata.update(_tags(original.video_metadata))
    if original.timecode is not None:
        stream.metadata["timecode"] = original.timecode
    stream.disposition = av.stream.Disposition(original.disposition)
    return stream


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if not key.upper().startswith(_STALE_TAGS)}


def _add_copy(
    out: av.container.OutputContainer, stream: av.stream.Stream, copied: CopiedStream, container: str
) -> av.stream.Stream:
    try:
        added = out.add_stream_from_template(stream, opaque=True)
    except (ValueError, av.error.FFmpegError) as error:
        raise BadInputError(_cannot_hold(copied, container)) from error
    added.metadata.update(stream.metadata)
    added.disposition = stream.disposition
    return added


def _is_cover(stream: av.stream.Stream) -> bool:
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _attach_cover(out: av.container.OutputContainer, original: Original, stream: av.stream.Stream) -> None:
    """Matroska keeps cover pictures as attachments; as a track, players would show it beside the clip."""
    with open_clip(original.path) as clip:
        data = next(bytes(packet) for packet in clip.demux(clip.streams[stream.index]) if packet.size)
    ending = "png" if stream.codec_context.name == "png" else "jpg"
    name = stream.metadata.get("filename", f"cover.{ending}")
    out.add_attachment(name, "image/png" if ending == "png" else "image/jpeg", data)


def _cannot_hold(copied: CopiedStream, container: str) -> str:
    other = "" if container == "matroska" else ", or write .mkv"
    return f"{copied.label} does not go into {container}; leave it out with --drop {copied.kind}{other}"


def _chapters(original: Original, kept: Kept) -> Iterator[dict[str, Any]]:
    for chapter in original.chapters:
        base = chapter["time_base"] or Fraction(1, 1000)
        start, end = chapter["start"] * base, chapter["end"] * base
        if (kept.end_s is not None and start >= kept.end_s) or (kept.start_s is not None and end <= kept.start_s):
            continue
        start = max(start, kept.start_s) if kept.start_s is not None else start
        end = min(end, kept.end_s) if kept.end_s is not None else end
        yield {
            "id": chapter["id"],
            "start": round((start - kept.shift_s) / base),
            "end": round((end - kept.shift_s) / base),
            "time_base": base,
            "metadata": chapter["metadata"],
        }


def _stamped(
    video: Iterable[TimedPacket], time_base: Fraction, kept: Kept
) -> Iterator[tuple[float, TimedPacket | AnyPacket]]:
    for timed in video:
        yield float(timed.dts * time_base), timed


def _video_packet(timed: TimedPacket, stream: av.VideoStream, time_base: Fraction, shift: int) -> AnyPacket:
    packet = av.Packet(timed.packet.data)
    packet.pts, packet.dts = timed.packet.pts - shift, timed.dts - shift
    packet.duration = timed.packet.duration
    packet.time_base = time_base
    packet.is_keyframe = timed.packet.is_key
    packet.stream = stream
    return packet


class _Copies:
    """The packets of the copied streams as they lie in the clip, each with the time that orders it in the output."""

    def __init__(
        self,
        clip: av.container.InputContainer,
        streams: dict[int, av.stream.Stream],
        kept: Kept,
        *,
        only_start: bool,
    ) -> None:
        self._clip = clip
        self._streams = streams
        self._kept = kept
        self._limit = 200 if only_start else math.inf
        self._last: dict[int, int] = {}
        self._moved_s: dict[int, Fraction] = {}
        self.fixed = 0
        self.filled: set[int] = set()

    def __iter__(self) -> Iterator[tuple[float, TimedPacket | AnyPacket]]:
        latest, count = -math.inf, 0
        if not self._streams:
            return
        for packet in self._clip.demux(*self._streams.values()):
            if packet.size == 0 and packet.dts is None:
                continue  # the flush marks at the end
            count += 1
            if count > self._limit:
                return
            base = packet.time_base
            self._complete(packet)
            if not self._fits(packet, base):
                continue
            self.filled.add(packet.stream_index)
            # The merge needs rising keys; a stream that lies late in the file just follows at once.
            latest = max(latest, float((packet.dts or 0) * base + self._kept.shift_s))
            yield latest, packet

    def _complete(self, packet: AnyPacket) -> None:
        """Gives a packet the times a muxer insists on; those it has stay."""
        index = packet.stream_index
        last = self._last.get(index)
        if packet.dts is None:
            packet.dts = packet.pts
        if packet.dts is None:
            packet.dts = 0 if last is None else last + max(1, packet.duration or 0)
            self.fixed += 1
        else:
            self._move_on(packet, packet.dts, last)
        if packet.pts is None or packet.pts < packet.dts:
            packet.pts = packet.dts
        self._last[index] = packet.dts

    def _move_on(self, packet: AnyPacket, dts: int, last: int | None) -> None:
        """Where the clock has jumped back, as in joined transport streams, a stream goes on after its last packet."""
        index, base = packet.stream_index, packet.time_base
        moved = round(self._moved_s.get(index, Fraction(0)) / base)
        if last is not None and (last - dts - moved) * base > _JUMP_S:
            # What is seldom there, such as subtitles, goes on where the sound does.
            moved = max(last + max(1, packet.duration or 0) - dts, round(max(self._moved_s.values(), default=0) / base))
            self._moved_s[index] = moved * base
        apart = 0 if packet.stream.type in ("subtitle", "data") else 1  # these may begin together, sound may not
        new = dts + moved if last is None else max(dts + moved, last + apart)
        if packet.pts is not None:
            packet.pts += moved
        packet.dts = new
        self.fixed += new != dts

    def _fits(self, packet: AnyPacket, base: Fraction) -> bool:
        """Applies the trim: False for packets outside; moves the others. Whole packets are kept or left out."""
        kept = self._kept
        if kept.start_s is None and kept.end_s is None:
            return True
        stream = packet.stream
        if _is_cover(stream):
            return True
        pts, dts = packet.pts or 0, packet.dts or 0
        start = pts * base
        if kept.end_s is not None and start >= kept.end_s:
            return False
        if kept.start_s is not None and start < kept.start_s:
            return False
        shift = kept.ticks(base)
        packet.pts, packet.dts = pts - shift, dts - shift
        return True


def blame(original: Original, encoding: Encoding, kept: Kept, video: list[TimedPacket], path: Path) -> str | None:
    """After a failed dry run: the message about the first stream that does not go into the container, if one is it."""
    for copied in kept.streams:
        alone = Kept((copied,), False, kept.start_s, kept.end_s, kept.shift_s)
        try:
            mux(original, encoding, alone, video, path, {}, only_start=True)
        except FacegraftError:
            return _cannot_hold(copied, encoding.container)
    return None
