"""Where metadata lies in files: XMP packets in pictures, XMP boxes and tags in videos."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown

XMP_BOX = UUID("be7acfcb-97a9-42e8-9c71-999491e3afac").bytes
"""Type of the box that holds XMP in MP4 and MOV (ISO 16684-3)."""

DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
    "video/mpeg": "mpeg",
    "video/mp2t": "mpegts",
    "video/x-flv": "flv",
    "video/x-ms-asf": "asf",
    "video/ogg": "ogg",
}
"""Content type -> libav demuxer. Naming it keeps libav from guessing a playlist, which may open other addresses."""

_PACKETS = ((b"<x:xmpmeta", b"</x:xmpmeta>"), (b"<x:xapmeta", b"</x:xapmeta>"), (b"<rdf:RDF", b"</rdf:RDF>"))
_LARGEST_PACKET = 32 << 20


def find_picture_xmp(path: Path, kind: str) -> bytes | None:
    """The first XMP packet of a picture. XMP is made to be found by scanning, so no decoder is needed."""
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for start_mark, end_mark in _PACKETS:
            start = content.find(start_mark)
            end = content.find(end_mark, start, start + _LARGEST_PACKET) if start >= 0 else -1
            if end >= 0:
                return content[start : end + len(end_mark)]
            if start >= 0:
                return content[start : start + 1024]  # cut off: the reader reports that it is broken
    return _compressed_png_xmp(path) if kind == "image/png" else None


def _compressed_png_xmp(path: Path) -> bytes | None:
    """PNG alone may hold XMP compressed."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path, formats=["PNG"]) as picture:
            packet = picture.info.get("xmp")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error):
        return None  # a broken PNG says nothing; whoever decodes it reports that
    return packet if isinstance(packet, bytes) else None


def read_tags(path: Path, kind: str) -> dict[str, str]:
    """Tags of a video container.

    Raises:
        BadInputError: libav cannot read it.
    """
    import av

    try:
        with path.open("rb") as stream, av.open(stream, "r", format=DEMUXERS[kind]) as container:
            return dict(container.metadata)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{shown(path)}: not a readable video ({error}); is it complete?") from error


@dataclass(frozen=True)
class Box:
    """A top-level box of an MP4 or MOV file. Offsets and sizes in bytes; `size` covers header and content."""

    name: bytes
    start: int
    size: int
    user_type: bytes = b""

    @property
    def header(self) -> int:
        return 24 if self.name == b"uuid" else 8


def boxes(stream: BinaryIO | FileIO) -> Iterator[Box]:
    """The top-level boxes, in order.

    Raises:
        ValueError: A box is cut off or its size is impossible.
    """
    end = stream.seek(0, os.SEEK_END)
    start = 0
    while start < end:
        stream.seek(start)
        head = stream.read(32)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        smallest = 8
        if size == 1:
            size, smallest = int.from_bytes(head[8:16], "big"), 16
        elif size == 0:
            size = end - start  # up to the end of the file
        if len(head) < 8 or size < smallest or start + size > end:
            raise ValueError(f"the box at byte {start} is cut off or broken")
        yield Box(name, start, size, head[8:24] if name == b"uuid" and smallest == 8 else b"")
        start += size


def find_video_xmp(path: Path) -> bytes | None:
    """The packet in the XMP box of an MP4 or MOV file."""
    with path.open("rb") as stream:
        try:
            found = next((box for box in boxes(stream) if box.user_type == XMP_BOX), None)
        except ValueError:  # cut off: there may be an XMP box nobody can find any more
            return None
        if found is None or found.size > _LARGEST_PACKET:
            return None
        stream.seek(found.start + found.header)
        return stream.read(found.size - found.header)


def add_video_xmp(path: Path, packet: bytes) -> str | None:
    """Appends an XMP box to an MP4 or MOV file. Nothing else moves, so players see the same file.

    Returns:
        None, or the reason why the file was left as it is.
    """
    with path.open("r+b", buffering=0) as stream:  # a buffer would try again on closing what the disk has refused
        try:
            found = list(boxes(stream))
            stream.seek(found[-1].start) if found else None
            endless = stream.read(4) == b"\0\0\0\0"
        except ValueError as error:
            return str(error)
        if any(box.user_type == XMP_BOX for box in found):
            return "it has an XMP box already"
        if not found or endless or found[-1].name == b"mfra":
            return "nothing may follow its last box"
        end = stream.seek(0, os.SEEK_END)
        box = struct.pack(">I4s16s", 24 + len(packet), b"uuid", XMP_BOX) + packet
        try:
            refused = "" if stream.write(box) == len(box) else "it is full"
        except OSError as error:
            refused = error.strerror or "no reason given"
        if refused:
            stream.truncate(end)
            return f"the disk refused it ({refused})"
    return None
