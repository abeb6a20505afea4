"""The video job: dry run, resume, decode -> edit -> encode side by side, mux, and the final name at the very end."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError, FacegraftError, NoFaceError, OutputError
from facegraft.core.files import check_output, output_place, settle, shown
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
    plan = _plan(attribute_path, out_path, options)
    out_path = plan.out_path
    folder = JobFolder(out_path)
    try:
        report = _Job(plan, edit, folder).run(_key(job_key, plan), progress, container_metadata or dict, finish)
    except OSError as error:
        raise _write_error(out_path, error) from error
    finally:
        folder.remove_if_empty()
        folder.close()
    return replace(report, dropped=tuple(plan.dropped), notes=tuple(dict.fromkeys(report.notes)))


def check_video(
    attribute_path: Path, out_path: Path, options: VideoOptions, container_metadata: dict[str, str]
) -> Original:
    """Finds what `process_video` would fail at before its first frame is edited; writes nothing beside the output.

    Raises:
        BadInputError, OutputError: As `process_video`.
    """
    plan = _plan(attribute_path, out_path, options)
    check_output(plan.out_path)
    plan.check_disk(done=0)
    with tempfile.TemporaryDirectory() as folder:
        plan.try_one_frame(Path(folder) / "dry-run", container_metadata)
    return plan.original


@dataclass(frozen=True)
class _Plan:
    """What is known before anything is written."""

    original: Original
    out_path: Path
    """Where the file will lie: links are followed."""
    options: VideoOptions
    encoding: Encoding
    span: Span
    kept: Kept
    dropped: list[str]

    def try_one_frame(self, path: Path, metadata: dict[str, str]) -> None:
        """One frame through decoder, encoder and muxer, with the copied streams: what cannot work fails now."""
        original, encoding = self.original, self.encoding
        first = next(read_frames(original, self.span, None, Faults()), None)
        if first is None:
            raise BadInputError(
                f"{shown(original.path)}: no frames between {self.options.start_s or 0} s and "
                f"{self.options.end_s or 'the end'}; the clip lasts {original.duration_s or 0:.2f} s"
            )
        packets = encode_single(first, original, encoding)
        video = [TimedPacket(packet, packet.pts) for packet in packets]
        try:
            muxed = mux(original, encoding, self.kept, video, path, metadata, only_start=True)
        except OutputError as error:
            message = blame(original, encoding, self.kept, video, path)
            raise BadInputError(f"{shown(original.path)}: {message}") if message else error from error
        times = np.array([packet.pts for packet in packets], np.int64) - self.kept.ticks(encoding.time_base)
        check_result(path, times, encoding.time_base, muxed, chapters=False)
        path.unlink()

    def frames_in_span(self) -> int | None:
        """An estimate; None where the clip does not say how many it has."""
        frames, duration_s = self.original.frames, self.original.duration_s
        if frames is None or not duration_s:
            return frames
        start = min(self.options.start_s or 0.0, duration_s)
        end = min(self.options.end_s or duration_s, duration_s)
        return round(frames * (end - start) / duration_s)

    def check_disk(self, done: int) -> None:
        whole, span = self.original.frames or 0, self.frames_in_span() or 0
        height, width = self.encoding.size_hw
        video = max(0, span - done) * height * width * _BITS_PER_PIXEL / 8
        share = span / whole if whole else 1.0
        copies = self.original.path.stat().st_size * 0.1 * share if self.kept.streams else 0
        free = shutil.disk_usage(self.out_path.parent).free
        if 2 * video + copies > free:
            raise OutputError(
                f"{shown(self.out_path)}: about {_room(2 * video + copies)} are needed beside it, "
                f"{_room(free)} are free; free some space or write elsewhere"
            )


def _room(size: float | int) -> str:
    return f"{size / 1e3:.1f} kB" if size < 1e6 else f"{size / 1e6:.{1 if size < 1e7 else 0}f} MB"


def _plan(attribute_path: Path, out_path: Path, options: VideoOptions) -> _Plan:
    original = probe(attribute_path)
    place = output_place(out_path)
    if place.exists() and place.samefile(attribute_path):
        raise BadInputError(f"{shown(out_path)}: input and output are the same file; name another output")
    encoding = plan_encoding(original, options, out_path.suffix)
    span = span_of(original, options.start_s, options.end_s)
    kept, dropped = _kept_streams(original, options, span)
    return _Plan(original, place, options, encoding, span, kept, dropped)


def _kept_streams(original: Original, options: VideoOptions, span: Span) -> tuple[Kept, list[str]]:
    streams = [stream for stream in original.copied if stream.kind not in options.drop]
    dropped = [stream.label for stream in original.copied if stream.kind in options.drop]
    chapters = bool(original.chapters) and "chapters" not in options.drop
    if original.chapters and not chapters:
        dropped.append("chapters")
    start = None if span.start is None else span.start * original.time_base
    end = None if span.end is None else span.end * original.time_base
    return Kept(tuple(streams), chapters, start, end, start or Fraction(0)), dropped


def _key(job_key: str, plan: _Plan) -> str:
    """Stands for everything that determines the segments: the caller's key, the clip, the encoder, the span.

    Copied streams are in no segment. The number of the encoder's threads changes no parameter set of the stream, so
    more or fewer cores may go on with it.
    """
    attribute_path, span = plan.original.path, plan.span
    stat = attribute_path.stat()
    digest = hashlib.blake2b(digest_size=16)
    with attribute_path.open("rb") as file:
        digest.update(file.read(1 << 20))
        file.seek(max(0, stat.st_size - (1 << 20)))
        digest.update(file.read())
    encoder = {key: str(value) for key, value in asdict(plan.encoding).items() if key not in ("notes", "threads")}
    facts = [job_key, stat.st_size, digest.hexdigest(), encoder]
    return hashlib.blake2b(json.dumps([*facts, span.start, span.end]).encode(), digest_size=16).hexdigest()


def _write_error(out_path: Path, error: OSError) -> FacegraftError:
    why = (error.strerror or str(error)).lower()
    if error.errno in _DISK_FULL:
        return OutputError(
            f"{shown(out_path)}: no room to write ({why}); free some space, then the same command continues"
        )
    return OutputError(f"{shown(out_path)}: cannot be written ({why}); mend that, then the same command continues")


class _Job:
    def __init__(self, plan: _Plan, edit: FrameEdit, folder: JobFolder) -> None:
        self.plan = plan
        self.original = plan.original
        self.out_path = plan.out_path
        self.options = plan.options
        self.encoding = plan.encoding
        self.kept = plan.kept
        self.edit = edit
        self.folder = folder
        self.watch = Stopwatch()
        self.notes = [*plan.original.notes, *plan.encoding.notes]

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
                self.plan.try_one_frame(self.folder.path / "dry-run", metadata())
            self.plan.check_disk(resumed_from)
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

    def _render(self, journal: Journal, progress: Callable[[Progress], None] | None) -> None:
        if journal.segments:
            self.edit.restore(journal.segments[-1].state)
        render = Render(
            self.original, self.plan.span, self.encoding, self.edit, self.options, self.folder, journal, self.watch
        )
        render.run(_Meter(self.plan.frames_in_span(), progress) if progress else None)
        if not journal.segments:
            raise BadInputError(f"{shown(self.original.path)}: no picture can be decoded; the file is damaged")
        self.folder.end()
        journal.ended = True

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
        settle(path, self.out_path)
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


__all__ = ["check_video", "job_folder", "process_video"]
