"""`facegraft ingest`: photographs and clips into an aligned dataset."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegraft.cli.arguments import some_path
from facegraft.cli.stopping import goes_on
from facegraft.core.errors import BadInputError

if TYPE_CHECKING:
    from facegraft.data.ingest import IngestOptions, IngestProgress, IngestSummary
    from facegraft.data.ingest_plan import Plan

EPILOG = """examples:
  facegraft ingest photos -o data/mine --licence CC0-1.0 --consent "model release"
  facegraft ingest people -o data/mine --people folder     people/anna/1.jpg shows anna
  facegraft ingest clips photos -o data/mine --people cluster --every 10
  facegraft ingest photos -o data/mine --manifest photos/manifest.csv --report
  facegraft ingest photos -o data/mine --scheduler tcp://10.0.0.1:8786
  facegraft ingest photos -o data/real --points mediapipe  photographs to train our landmarks on: a teacher's points

The manifest is a CSV file; its first line names the columns: path,person,licence,consent,origin,synthetic,split,age.
All but path may be left out; a path counts from the manifest's folder. What is left out is in rejected.csv.
The same command again goes on where it stopped, or says that it is done. The last line printed is JSON."""
LIMITS = {
    "min_face": ("PX", "least longer side of a face in its picture (default: 64)"),
    "min_score": ("S", "least score of the detector, 0 to 1 (default: 0.5)"),
    "min_sharpness": ("S", "least fine detail of the crop; 0.08 is clearly blurred (default: 0.08)"),
    "min_exposure": ("S", "least mean brightness of the face, 0 to 1 (default: 0.1)"),
    "max_exposure": ("S", "most mean brightness of the face (default: 0.92)"),
    "max_yaw": ("DEG", "most turn to a side (default: 75)"),
    "max_pitch": ("DEG", "most turn up or down (default: 60)"),
    "max_cut": ("S", "most share of the face that the picture's border cuts off (default: 0.15)"),
    "max_outside": ("S", "most share of the crop that lies outside the picture (default: 0.65)"),
    "max_hidden": ("S", "most share of the face that hair, glasses, hands or things hide (default: 1, all of it)"),
}
"""Option -> its unit and help; their defaults stand in data/filters.py."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("paths", type=some_path, nargs="+", metavar="PATH", help="photographs, clips, folders of them")
    parser.add_argument(
        "-o",
        "--output",
        type=some_path,
        required=True,
        metavar="DIR",
        help="the dataset's folder: new, empty, or begun by ingest; not among the photographs",
    )
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="side of a crop (default: 256)")
    parser.add_argument("--template", default="ffhq", metavar="NAME", help="alignment (default: ffhq)")
    parser.add_argument(
        "--points",
        default="own",
        metavar="WHOSE",
        help="networks that find faces and place points: own (default), or mediapipe, a teacher (extra `mediapipe`, "
        "`facegraft models fetch --teacher`)",
    )
    parser.add_argument("--people", default="none", metavar="HOW", help="who is who: folder, cluster or none (default)")
    parser.add_argument(
        "--same-person", type=float, metavar="COS", help="cluster: cosine from which faces are of one person (0.97)"
    )
    parser.add_argument("--manifest", type=some_path, metavar="CSV", help="person, licence, consent ... of each file")
    parser.add_argument("--licence", metavar="NAME", help="of files that the manifest does not name, such as CC0-1.0")
    parser.add_argument("--consent", default="", metavar="TEXT", help="what the people agreed to")
    parser.add_argument("--synthetic", action="store_true", help="the pictures were made by a program")
    parser.add_argument("--val-share", type=float, default=0.05, metavar="S", help="of people, for validation (0.05)")
    parser.add_argument("--test-share", type=float, default=0.0, metavar="S", help="of people, for tests (0)")
    for name, (unit, text) in LIMITS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, metavar=unit, help=text)
    parser.add_argument("--every", type=int, default=5, metavar="N", help="clips: look at one frame in N (default: 5)")
    parser.add_argument(
        "--same-picture", type=float, metavar="R", help="correlation from which crops are near-duplicates (0.98)"
    )
    parser.add_argument("--max-megapixels", type=float, default=200, metavar="M", help="largest picture (default: 200)")
    parser.add_argument("--quality", type=int, default=95, metavar="Q", help="of the stored JPEG, 1 to 100 (95)")
    parser.add_argument("--lossless", action="store_true", help="store PNG instead")
    parser.add_argument("--jobs", type=int, metavar="N", help="processes (default: one per core)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="dask scheduler to work on (extra `scale`)")
    parser.add_argument("--report", action="store_true", help="also write report.html, what the dataset holds")
    parser.add_argument("--dry-run", action="store_true", help="say what would be read, write nothing")


def run(args: argparse.Namespace) -> int:
    from facegraft.core.machine import physical_cores
    from facegraft.data.ingest import ingest, planned
    from facegraft.data.ingest_plan import STAGING

    options = _options(args)
    if args.jobs is not None and args.jobs < 1:
        raise BadInputError(f"--jobs: expected 1 or more, found {args.jobs}")
    if args.dry_run:
        return _tell_plan(args.output, planned(args.paths, args.output, options))
    began = time.perf_counter()
    command = shlex.join(["facegraft", *map(_without_place, args.words)])
    with goes_on(lambda: any((args.output / STAGING / "units").glob("*.json"))), _bar() as progress:
        done = ingest(
            args.paths,
            args.output,
            options,
            jobs=args.jobs or physical_cores(),
            scheduler=args.scheduler,
            command=command,
            progress=progress,
        )
    seconds = time.perf_counter() - began
    _tell(args.output, done, seconds)
    facts: dict[str, Any] = {"output": str(args.output), **dataclasses.asdict(done), "seconds": round(seconds, 2)}
    if args.report:
        facts["report"] = _report(args.output)
    print(json.dumps(facts))
    return 0


def _options(args: argparse.Namespace) -> IngestOptions:
    from facegraft.core.image import limit_of
    from facegraft.data.filters import Limits
    from facegraft.data.ingest import IngestOptions
    from facegraft.data.ingest_unit import Recipe
    from facegraft.faces.align import template_points

    template_points(args.template, args.size)  # says which there are
    names = {name: name if name != "min_face" else "min_face_px" for name in LIMITS}
    limits = Limits(**{names[name]: value for name in LIMITS if (value := getattr(args, name)) is not None})
    recipe = Recipe(
        size=args.size,
        template=args.template,
        points=args.points,
        every=args.every,
        jpeg_quality=None if args.lossless else args.quality,
        max_pixels=limit_of(args.max_megapixels),
        limits=limits,
        **_given(args, "same_picture"),
    )
    return IngestOptions(
        recipe=recipe,
        people=args.people,
        consent=args.consent,
        synthetic=args.synthetic,
        manifest=args.manifest,
        val_share=args.val_share,
        test_share=args.test_share,
        **_given(args, "licence", "same_person"),
    )


def _without_place(word: str) -> str:
    """An absolute path as its last name: a card is shown to others, and where the files lay is not their business."""
    option, equals, value = word.partition("=") if word.startswith("--") else ("", "", word)
    return f"{option}{equals}{Path(value).name}" if Path(value).is_absolute() else word


def _given(args: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(args, name)) is not None}


@contextmanager
def _bar() -> Iterator[Callable[[IngestProgress], None]]:
    """A progress bar on standard error: files, files per second, time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("reading faces"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("parts, {task.fields[files]} files, {task.fields[items]} faces kept"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None, files=0, items=0)

        def update(now: IngestProgress) -> None:
            bar.update(task, completed=now.done, total=now.units, files=now.files, items=now.items)

        yield update


def _tell_plan(out: Path, plan: Plan) -> int:
    clips = len({file.path for unit in plan.units for file in unit.files if unit.is_clip})
    photos = sum(len(unit.files) for unit in plan.units if not unit.is_clip)
    print(f"would read {photos} photographs and {clips} clips in {len(plan.units)} parts into {out}")
    for note in (*plan.notes, *([f"{len(plan.rejected)} files are neither"] if plan.rejected else [])):
        print(f"note: {note}")
    facts = {"photos": photos, "clips": clips, "parts": len(plan.units), "not_readable": len(plan.rejected)}
    print(json.dumps({"output": None, **facts}))
    return 0


def _tell(out: Path, done: IngestSummary, seconds: float) -> None:
    if done.already_done:
        print(f"{out}: done already, nothing to do")
    print(f"{out}: {done.items} faces of {done.people or 'unknown'} people from {done.files} files")
    if not done.already_done:
        print(f"{done.files / max(seconds, 1e-9):.1f} files and {done.frames / max(seconds, 1e-9):.1f} frames a second")
    for reason, count in done.rejected.items():
        print(f"left out: {count} x {reason}")
    if done.rejected:
        print(f"all of them, one by one: {out / 'rejected.csv'}")
    for note in done.notes:
        print(f"note: {note}")
    if done.unknown_licence:
        print(
            f"WARNING: {done.unknown_licence} of {done.items} faces have NO KNOWN LICENCE (stored as 'unknown'): "
            "nothing may be published that was trained on them. Give --licence NAME, or a --manifest, in a new folder."
        )


def _report(out: Path) -> str:
    from facegraft.data.dataset import open_dataset
    from facegraft.data.report import write_report

    path = out / "report.html"
    write_report(open_dataset(out), path)
    print(f"what it holds, and what is missing: {path}")
    return str(path)
