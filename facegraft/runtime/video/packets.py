"""A finished segment on disk: encoded packets with their exact times, nothing else.

A container would round times to its own clock; this keeps the stream's. Layout: the magic, then for each packet
a header (presentation time, duration, key frame, size; little-endian) and its bytes, in decoding order.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import av

if TYPE_CHECKING:
    AnyPacket = av.Packet[Any]
else:  # generic in the stubs only
    AnyPacket = av.Packet

MAGIC = b"facegraft packets 1\n"
_HEADER = struct.Struct("<qq?I")


@dataclass(frozen=True)
class StoredPacket:
    pts: int
    duration: int
    is_key: bool
    data: bytes


class SegmentWriter:
    """Writes a segment; `finish` makes it durable. A file without `finish` is thrown away by the next run."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = path.open("wb")
        self._hash = hashlib.blake2b(digest_size=16)
        self._size = 0
        self._write(MAGIC)

    def add(self, packet: StoredPacket) -> None:
        self._write(_HEADER.pack(packet.pts, packet.duration, packet.is_key, len(packet.data)))
        self._write(packet.data)

    def finish(self) -> tuple[int, str]:
        """Size in bytes and BLAKE2b digest of the file, which is on disk when this returns."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._size, self._hash.hexdigest()

    def abandon(self) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)


class CarefulFile:
    """An unbuffered file for a muxer that keeps the first write error for us.

    PyAV can hold one error only and prints a second to standard error; here later writes go nowhere instead.
    """

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self.error: OSError | None = None

    @property
    def closed(self) -> bool:
        """True once writing has failed: the muxer must not try to finish the file."""
        return self.error is not None or self._file.closed

    def write(self, data: bytes) -> int:
        rest = memoryview(data)
        while rest and self.error is None:
            try:
                rest = rest[self._file.write(rest) or 0 :]  # a nearly full disk takes a part first
            except OSError as error:
                self.error = error
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        return 0 if self.error is not None else self._file.seek(offset, whence)

    def tell(self) -> int:
        return 0 if self.error is not None else self._file.tell()

    def finish(self) -> None:
        """All of it on disk, or the first error raised."""
        self.check()
        os.fsync(self._file.fileno())

    def check(self) -> None:
        if self.error is not None:
            raise self.error


def is_whole(path: Path, size: int, digest: str) -> bool:
    """True if the segment is as it was when `finish` returned."""
    try:
        if path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest() == digest
    except OSError:
        return False


def read_packets(path: Path) -> Iterator[StoredPacket]:
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        while header := file.read(_HEADER.size):
            pts, duration, is_key, size = _HEADER.unpack(header)
            yield StoredPacket(pts, duration, is_key, file.read(size))


def read_times(path: Path) -> Iterator[int]:
    """Presentation times in decoding order, without reading the packets."""
    with path.open("rb") as file:
        file.seek(len(MAGIC))
        while header := file.read(_HEADER.size):
            pts, _, _, size = _HEADER.unpack(header)
            file.seek(size, os.SEEK_CUR)
            yield pts
