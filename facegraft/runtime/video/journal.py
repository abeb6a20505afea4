"""The job folder beside an output: one lock, one journal of finished segments, the segments.

Everything an interrupted job needs is here, and nothing is trusted that is not whole: a line is one JSON object
with its own checksum, a segment must have the size and digest its line says.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import sys
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import shown
from facegraft.runtime.video.decode import Place
from facegraft.runtime.video.packets import is_whole

if sys.platform != "win32":
    import fcntl

_FORMAT = 1


@dataclass(frozen=True)
class Segment:
    """One finished piece of the result and all that the next piece needs."""

    number: int
    size: int
    digest: str
    frames: int
    """Frames of the result up to and with this segment."""
    last_pts: int
    tail: tuple[tuple[int, int], ...]
    can_seek: bool
    state: dict[str, Any]
    """Of the edit, after the last frame."""
    faults: dict[str, int]
    """Counted within this segment."""

    def place(self) -> Place:
        return Place(self.frames, self.last_pts, self.tail, self.can_seek)


@dataclass
class Journal:
    segments: list[Segment] = field(default_factory=list)
    ended: bool = False
    """True when the last segment is the clip's end."""


def job_folder(out_path: Path) -> Path:
    """The hidden folder of the job that writes `out_path`: beside it, so names in other folders never meet."""
    name = out_path.name.encode("utf-8", "surrogateescape")
    start = name[:60].decode("utf-8", "ignore")  # a long name must leave room for the rest
    return out_path.parent / f".{start}.{hashlib.blake2b(name, digest_size=4).hexdigest()}.facegraft"


class JobFolder:
    """Holds the lock from construction to `close` or `remove`.

    Raises:
        OutputError: Another process works on the same output, or the folder cannot be made.
    """

    def __init__(self, out_path: Path) -> None:
        self.out_path = out_path
        self.path = job_folder(out_path)
        try:
            self._lock = self._acquire()
        except OSError as error:
            raise OutputError(
                f"{shown(out_path)}: cannot make a job folder beside it ({(error.strerror or str(error)).lower()}); "
                "write elsewhere"
            ) from error
        self._file = -1

    def _acquire(self) -> int:
        for _ in range(100):
            self.path.mkdir(exist_ok=True)
            try:
                lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # the job before us has just ended and removed the folder
            if sys.platform == "win32":
                return lock  # there is no flock; the journal of a running job cannot be removed there, which serves
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.read(lock, 20).decode("ascii", "replace").strip() or "?"
                os.close(lock)
                if error.errno not in (errno.EACCES, errno.EAGAIN):
                    raise
                raise OutputError(
                    f"{shown(self.out_path)}: process {holder} is writing it now; wait for it or name another output"
                ) from error
            if self._is_ours(lock):
                os.ftruncate(lock, 0)
                os.write(lock, f"{os.getpid()}\n".encode())
                return lock
            os.close(lock)
        raise OutputError(f"{shown(self.path)}: cannot be locked; remove the folder if no job runs")

    def _is_ours(self, lock: int) -> bool:
        """False if the folder was removed between opening the lock and getting it."""
        try:
            return os.path.samestat(os.fstat(lock), (self.path / "lock").stat())
        except FileNotFoundError:
            return False

    def segment_path(self, number: int) -> Path:
        return self.path / f"segment-{number:06d}"

    def load(self, key: str, *, restart: bool) -> Journal:
        """What an earlier run of the same job finished; opens the journal for `append`.

        Raises:
            BadInputError: The finished segments belong to a job with other settings.
        """
        lines, valid = self._valid_lines()
        same = bool(lines) and lines[0].get("format") == _FORMAT and lines[0].get("key") == key
        journal = self._whole_segments(lines[1:])
        if not same and journal.segments and not restart:
            raise BadInputError(
                f"{shown(self.out_path)}: {journal.segments[-1].frames} frames of an unfinished job with other inputs "
                "or settings are kept beside it; run that command again to finish it, or pass --restart to discard them"
            )
        if not same:
            journal, valid = Journal(), 0
        kept = journal.segments if same else []
        self._open(0 if not same else self._length_of(len(kept), ended=journal.ended, valid=valid))
        if not same:
            self._line({"format": _FORMAT, "key": key})
        self._sweep(len(kept))
        return journal

    def append(self, segment: Segment) -> None:
        self._line({"segment": asdict(segment)})

    def end(self) -> None:
        self._line({"end": True})

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def remove(self) -> None:
        """Ends the job: the folder goes while the lock is still held."""
        shutil.rmtree(self.path, ignore_errors=True)
        self.close()

    def remove_if_empty(self) -> None:
        """After a failure before the first segment: leaves nothing behind."""
        if not self.segment_path(0).exists():
            self.remove()

    def _open(self, length: int) -> None:
        self._file = os.open(self.path / "journal", os.O_RDWR | os.O_CREAT, 0o666)
        os.ftruncate(self._file, length)
        os.lseek(self._file, 0, os.SEEK_END)

    def _line(self, fact: dict[str, Any]) -> None:
        text = json.dumps(fact, separators=(",", ":"))
        data = f"{zlib.crc32(text.encode()):08x} {text}\n".encode()
        while data:
            data = data[os.write(self._file, data) :]
        os.fsync(self._file)

    def _valid_lines(self) -> tuple[list[dict[str, Any]], int]:
        """The journal's lines up to the first that is torn, and their length in bytes."""
        try:
            content = (self.path / "journal").read_bytes()
        except FileNotFoundError:
            return [], 0
        lines: list[dict[str, Any]] = []
        self._ends = [0]
        for line in content.splitlines(keepends=True):
            checksum, _, text = line.partition(b" ")
            if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
                break
            lines.append(json.loads(text))
            self._ends.append(self._ends[-1] + len(line))
        return lines, self._ends[-1]

    def _whole_segments(self, lines: list[dict[str, Any]]) -> Journal:
        journal = Journal()
        for line in lines:
            if line.get("end"):
                journal.ended = True
                break
            facts = line["segment"]
            segment = Segment(**{**facts, "tail": tuple((pts, mark) for pts, mark in facts["tail"])})
            if segment.number != len(journal.segments):
                break
            if not is_whole(self.segment_path(segment.number), segment.size, segment.digest):
                break
            journal.segments.append(segment)
        return journal

    def _length_of(self, segments: int, *, ended: bool, valid: int) -> int:
        """Bytes of the journal that stay: its head, the whole segments, the end."""
        return valid if ended else self._ends[1 + segments]

    def _sweep(self, kept: int) -> None:
        """Removes what no journal line answers for: half-written segments, an old half-muxed file."""
        keep = {"lock", "journal", *(self.segment_path(number).name for number in range(kept))}
        for path in self.path.iterdir():
            if path.name not in keep:
                path.unlink()
