"""What `facegraft swap` says of each file: while it works, and when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from facegraft.core.files import shown
from facegraft.evaluate.after import Quality
from facegraft.runtime.clip import ClipReport
from facegraft.runtime.pictures import PictureReport
from facegraft.runtime.video import Progress as ClipProgress

Say = Callable[[str], None]


@contextmanager
def clip_bar(name: str) -> Iterator[Callable[[ClipProgress], None]]:
    """A progress bar on standard error with frames, frames per second and time left.

    It shows itself at the first frame, so that what fails before says its one line alone. Without a terminal: none.
    """
    columns = (
        TextColumn("{task.description}", markup=False),  # brackets of a file's name are no markup
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]:.1f} fps"),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    bar = Progress(*columns, console=console, disable=not console.is_terminal)
    task = bar.add_task(name, total=None, fps=0.0)

    def update(now: ClipProgress) -> None:
        bar.start()
        bar.update(task, completed=now.frames, total=now.total, fps=now.fps)

    try:
        yield update
    finally:
        bar.stop()


def told_picture(attribute: Path, done: PictureReport, say: Say) -> dict[str, Any]:
    if done.written is None:
        say(f"{shown(attribute)}: nothing to swap, nothing written")
    else:
        say(
            f"{shown(done.written)}: {done.swapped} of {done.faces} faces swapped, "
            f"{done.changed_share:.1%} of the pixels changed, {done.seconds:.1f} s"
        )
    for note in done.notes:
        say(f"note: {note}")
    facts = asdict(done) | {"written": None if done.written is None else str(done.written)}
    return {"attribute": str(attribute), **facts}


def told_clip(attribute: Path, done: ClipReport, seconds: float, say: Say) -> dict[str, Any]:
    counts, video = done.counts, done.video
    now = video.frames - video.resumed_from
    say(
        f"{shown(done.written)}: {video.frames} frames, {counts.frames_with_face} with a face, "
        f"{counts.changed_share / max(counts.frames, 1):.1%} of the pixels changed, "
        f"{now / max(seconds, 1e-9):.1f} fps, {seconds:.1f} s"
    )
    if counts.swaps == 0:
        say("note: no face was swapped in any frame")
    for note in (*video.notes, *(f"dropped: {stream}" for stream in video.dropped)):
        say(f"note: {note}")
    facts = {"frames_with_face": counts.frames_with_face, "swaps": counts.swaps, "seconds": seconds}
    facts["fps"] = now / max(seconds, 1e-9)
    share = {"changed_share": counts.changed_share / max(counts.frames, 1)}
    return {"attribute": str(attribute), "written": str(done.written), **asdict(video), **facts, **share}


def told_quality(found: Quality, say: Say) -> dict[str, Any]:
    for line in found.lines():
        say(line if line.startswith("not measured") else f"quality: {line}")
    return found.as_dict()
