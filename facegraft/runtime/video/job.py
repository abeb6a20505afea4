"""The video job: dry run, resume, decode -> edit -> encode side by side, mux, and the final name at the very end."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError, FacegraftError, NoFaceError, OutputError
from facegraft.core.files import shown, sync_folder
from facegraft.runtime.video.check import check_result, presentation_times
from facegraft.runtime.video.decode import Faults, Span, read_frames, span_of
from facegraft.runtime.video.encode import Encoding, plan_encoding
from facegraft.runtime.video.journal import JobFolder, Journal, job_folder
from facegraft.runtime.video.mux import Kept, TimedPacket, blame, decoding_times, mux
from facegraft.runtime.video.options import FrameEdit, Progress, VideoOptions, VideoReport
from facegraft.runtime.video.pipeline import Stopwatch
from facegraft.runtime.video.probe import Original, open_clip, probe
from facegraft.runtime.video.render import Render, encode_single

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_BITS_PER_PIXEL = 0.05
"""Of the result, guessed low: the check is for the hopeless case, a full disk later loses nothing."""


def process_video(
    attribute_path: Path,
    out_path: Path,
    edit: FrameEdit,
    options: VideoOptions,
    *,
    job_key: str,
    progress: Callable[[Progress], None] | None = None,
    container_metadata: Callable[[], dict[str, str]] | None = None,
    finish: Callable[[Path], None] | None = None,
) -> VideoReport:
    """Edits a clip frame by frame and keeps everything else of it.

    The same call after Ctrl-C, a crash or a power cut continues after the last finished segment. `out_path` appears
    (or is replaced) only when the whole file is written and checked.

    Args:
        attribute_path: Any container and codec FFmpeg reads.
        out_path: Ends in .mp4, .m4v, .mov, .mkv or .webm; its folder must exist.
        edit: Called in presentation order, in the calling thread.
        options: Encoding, trim, streams to drop.
        job_key: A hash of everything else that determines the result (identities, models, version).
        progress: Called about ten times a second at most, in the calling thread.
        container_metadata: Asked for tags to add to the clip's own, last when every frame is done.
        finish: Called on the complete temporary file just before it gets its name; may replace its content.

    Raises:
        BadInputError: The clip cannot be used, or a stream does not fit into the output.
        OutputError: The result cannot be written; finished segments are kept.
        KeyboardInterrupt: Ctrl-C; finished segments are kept. What `edit` raises comes out with the frame named.
    """
    original = probe(attribute_path)
    _check_output(out_path, attribute_path)
    encoding = plan_encoding(original, options, out_path.suffix)
    span = span_of(original, options.start_s, options.end_s)
    kept, dropped = _kept_streams(original, options, span)
    folder = JobFolder(out_path)
    try:
        job = _Job(original, out_path, edit, options, encoding, span, kept, folder)
        report = job.run(
            _key(job_key, attribute_path, encoding, kept, span), progress, container_metadata or dict, finish
        )
    except OSError as error:
        raise _write_error(out_path, error) from error
    finally:
        folder.remove_if_empty()
        folder.close()
    return replace(report, dropped=tuple(dropped), notes=tuple(dict.fromkeys(report.notes)))


def _check_output(out_path: Path, attribute_path: Path) -> None:
    if not out_path.parent.is_dir():
        raise OutputError(f"{shown(out_path)}: its folder does not exist; make it first")
    if out_path.is_dir():
        raise OutputError(f"{shown(out_path)}: is a folder; name a file to write")
    if out_path.exists() and out_path.samefile(attribute_path):
        raise BadInputError(f"{shown(out_path)}: input and output are the same file; name another output")
    if out_path.exists() and not os.access(out_path, os.W_OK):
        raise OutputError(f"{shown(out_path)}: is write-protected; change its mode (chmod +w) or write elsewhere")


def _kept_streams(original: Original, options: VideoOptions, span: Span) -> tuple[Kept, list[str]]:
    streams = [stream for stream in original.copied if stream.kind not in options.drop]
    dropped = [stream.label for stream in original.copied if stream.kind in options.drop]
    chapters = bool(original.chapters) and "chapters" not in options.drop
    if original.chapters and not chapters:
        dropped.append("chapters")
    start = None if span.start is None else span.start * original.time_base
    end = None if span.end is None else span.end * original.time_base
    return Kept(tuple(streams), chapters, start, end, start or Fraction(0)), dropped


def _key(job_key: str, attribute_path: Path, encoding: Encoding, kept: Kept, span: Span) -> str:
    """Stands for everything that determines the segments: the caller's key, the clip, the encoder, the span."""
    stat = attribute_path.stat()
    digest = hashlib.blake2b(digest_size=16)
    with attribute_path.open("rb") as file:
        digest.update(file.read(1 << 20))
        file.seek(max(0, stat.st_size - (1 << 20)))
        digest.update(file.read())
    encoder = {key: str(value) for key, value in asdict(encoding).items() if key != "notes"}
    facts = [job_key, stat.st_size, digest.hexdigest(), encoder, [stream.label for stream in kept.streams]]
    return hashlib.blake2b(json.dumps([*facts, span.start, span.end]).encode(), digest_size=16).hexdigest()


def _write_error(out_path: Path, error: OSError) -> FacegraftError:
    why = (error.strerror or str(error)).lower()
    if error.errno in _DISK_FULL:
        return OutputError(
            f"{shown(out_path)}: no room to write ({why}); free some space, then the same command continues"
        )
    return OutputError(f"{shown(out_path)}: cannot be written ({why}); mend that, then the same command continues")


class _Job:
    def __init__(
        self,
        original: Original,
        out_path: Path,
        edit: FrameEdit,
        options: VideoOptions,
        encoding: Encoding,
        span: Span,
        kept: Kept,
        folder: JobFolder,
    ) -> None:
        self.original = original
        self.out_path = out_path
        self.edit = edit
        self.options = options
        self.encoding = encoding
        self.span = span
        self.kept = kept
        self.folder = folder
        self.watch = Stopwatch()
        self.notes = [*original.notes, *encoding.notes]

    def run(
        self,
        key: str,
        progress: Callable[[Progress], None] | None,
        metadata: Callable[[], dict[str, str]],
        finish: Callable[[Path], None] | None,
    ) -> VideoReport:
        journal = self.folder.load(key, restart=self.options.restart)
        resumed_from = journal.segments[-1].frames if journal.segments else 0
        if not journal.ended:
            if not journal.segments:
                self._dry_run(metadata())
            self._check_disk(resumed_from)
            self._render(journal, progress)
        else:
            self.edit.restore(journal.segments[-1].state)
        last = journal.segments[-1]
        with self.watch.time("mux"):
            duration = self._finish(journal, metadata(), finish)
        self._collect_notes(journal, duration)
        self.folder.remove()
        done = max(1, last.frames - resumed_from)
        per_frame = {name: 1000 * s / (1 if name == "mux" else done) for name, s in self.watch.seconds.items()}
        return VideoReport(
            frames=last.frames,
            duration_s=duration,
            codec=self.encoding.codec,
            ms_per_frame=per_frame,
            notes=tuple(self.notes),
            resumed_from=resumed_from,
        )

    def _dry_run(self, metadata: dict[str, str]) -> None:
        """One frame through decoder, encoder and muxer, with the copied streams: what cannot work fails now."""
        first = next(read_frames(self.original, self.span, None, Faults()), None)
        if first is None:
            raise BadInputError(
                f"{shown(self.original.path)}: no frames between {self.options.start_s or 0} s and "
                f"{self.options.end_s or 'the end'}; the clip lasts {self.original.duration_s or 0:.2f} s"
            )
        packets = encode_single(first, self.original, self.encoding)
        video = [TimedPacket(packet, packet.pts) for packet in packets]
        path = self.folder.path / "dry-run"
        try:
            muxed = mux(self.original, self.encoding, self.kept, video, path, metadata, only_start=True)
        except OutputError as error:
            message = blame(self.original, self.encoding, self.kept, video, path)
            raise BadInputError(f"{shown(self.original.path)}: {message}") if message else error from error
        times = np.array([packet.pts for packet in packets], np.int64) - self.kept.ticks(self.encoding.time_base)
        check_result(path, times, self.encoding.time_base, muxed, chapters=False)
        path.unlink()

    def _check_disk(self, done: int) -> None:
        frames = max(0, (self.original.frames or 0) - done)
        height, width = self.encoding.size_hw
        video = frames * height * width * _BITS_PER_PIXEL / 8
        copies = self.original.path.stat().st_size * 0.1 if self.kept.streams else 0
        free = shutil.disk_usage(self.folder.path).free
        if 2 * video + copies > free:
            raise OutputError(
                f"{shown(self.out_path)}: about {(2 * video + copies) / 1e6:.0f} MB are needed beside it, "
                f"{free / 1e6:.0f} MB are free; free some space or write elsewhere"
            )

    def _render(self, journal: Journal, progress: Callable[[Progress], None] | None) -> None:
        if journal.segments:
            self.edit.restore(journal.segments[-1].state)
        render = Render(
            self.original, self.span, self.encoding, self.edit, self.options, self.folder, journal, self.watch
        )
        render.run(_Meter(self._frames_in_span(), progress) if progress else None)
        if not journal.segments:
            raise BadInputError(f"{shown(self.original.path)}: no picture can be decoded; the file is damaged")
        self.folder.end()
        journal.ended = True

    def _frames_in_span(self) -> int | None:
        if self.original.frames is None or self.original.duration_s is None:
            return self.original.frames
        start = min(self.options.start_s or 0.0, self.original.duration_s)
        end = min(self.options.end_s or self.original.duration_s, self.original.duration_s)
        return (
            round(self.original.frames * (end - start) / self.original.duration_s) if self.original.duration_s else None
        )

    def _finish(self, journal: Journal, metadata: dict[str, str], finish: Callable[[Path], None] | None) -> float:
        """Muxes, checks, lets the caller sign, and only then gives the file its name."""
        path = self.folder.path / f"result{self.out_path.suffix}"
        paths = [self.folder.segment_path(segment.number) for segment in journal.segments]
        muxed = mux(self.original, self.encoding, self.kept, decoding_times(paths), path, metadata)
        if muxed.derived_times:
            self.notes.append(f"{muxed.derived_times} packets of copied streams had no usable time; theirs was derived")
        times = presentation_times(paths, self.kept.ticks(self.encoding.time_base))
        self.notes.extend(check_result(path, times, self.encoding.time_base, muxed, chapters=self.kept.chapters))
        with open_clip(path) as result:
            duration = (result.duration or 0) / 1e6
        if finish is not None:
            try:
                finish(path)
            except NoFaceError:
                self.folder.remove()  # there is nothing to go on with
                raise
        with path.open("rb+") as file:
            os.fsync(file.fileno())
        path.replace(self.out_path)
        sync_folder(self.out_path.parent)
        return duration

    def _collect_notes(self, journal: Journal, duration: float) -> None:
        faults = Faults()
        for segment in journal.segments:
            faults.add(Faults(**segment.faults))
        self.notes.extend(faults.notes())
        expected = self.original.duration_s
        whole = self.options.start_s is None and self.options.end_s is None
        last = (journal.segments[-1].last_pts * self.original.time_base) - self.original.origin_s
        if whole and expected is not None and float(last) < expected - max(1.0, 0.05 * expected):
            self.notes.append(f"the clip promises {expected:.1f} s but its pictures end at {float(last):.1f} s")


class _Meter:
    """Turns a count of frames into progress, at most ten times a second."""

    def __init__(self, total: int | None, report: Callable[[Progress], None]) -> None:
        self._total = total
        self._report = report
        self._start = self._last = time.monotonic()
        self._first: int | None = None

    def __call__(self, frames: int, *, last: bool = False) -> None:
        now = time.monotonic()
        if self._first is None:
            self._first = frames
        if not last and now - self._last < 0.1:
            return
        self._last = now
        fps = (frames - self._first) / max(1e-9, now - self._start)
        total = frames if last else self._total
        left = None if total is None or fps <= 0 else max(0.0, (total - frames) / fps)
        self._report(Progress(frames, total, fps, left))


__all__ = ["job_folder", "process_video"]
