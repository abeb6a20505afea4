"""`ingest(paths, out)`: photographs and clips into a dataset. READ FIRST of this folder's ingest files.

The steps: list the files and cut the work into units (ingest_plan.py); do the units, anywhere and in any order
(fanout.py, ingest_unit.py), into a staging folder; then, knowing them all, drop near-duplicates, say who is who and
who is in which split, and write the dataset. The card comes last: a dataset with a card is finished. Every step can be
interrupted; the same call goes on.
"""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from facegraft.core.errors import BadInputError, MissingPartError, NoFaceError, OutputError
from facegraft.core.files import atomic_path, read_bytes, sha256, shown
from facegraft.data.card import read_card, shard_paths
from facegraft.data.dataset import DatasetCard, Item, open_dataset, split_of, write_card, write_shard
from facegraft.data.duplicates import Thumbnail, fingerprint, near_duplicates
from facegraft.data.fanout import run_units
from facegraft.data.filters import Rejection, count_reasons
from facegraft.data.grouping import group_people_of_clips
from facegraft.data.ingest_plan import (
    NO_LICENCE,
    STAGING,
    Defaults,
    Plan,
    check_options,
    check_place,
    make_plan,
    read_plan,
    write_plan,
)
from facegraft.data.ingest_unit import Recipe, UnitReport, check_recipe, do_unit, person_mark, read_report, who_placed
from facegraft.data.item import Row
from facegraft.faces.align import template_points
from facegraft.faces.fetch import recogniser_path
from facegraft.faces.people import SAME_IN_CLIP

PEOPLE = ("folder", "cluster", "none")
SUMMARY_NAME = "summary.json"
REJECTED_NAME = "rejected.csv"
SHARD_ITEMS = 1000


@dataclass(frozen=True)
class IngestOptions:
    """Everything that decides what the dataset will hold."""

    recipe: Recipe = field(default_factory=Recipe)
    people: str = "none"
    """folder: a photograph's largest face, a clip's longest seen one, is who its folder is named after; cluster: by
    embeddings; none: nobody is known but whom the manifest names."""
    licence: str = NO_LICENCE
    """Of files that the manifest says nothing about; consent and synthetic likewise."""
    consent: str = ""
    synthetic: bool = False
    manifest: Path | None = None
    same_person: float | int = 0.97
    """cluster: mean cosine from which two groups of faces are one person; in a clip `people.SAME_IN_CLIP` is enough.
    The more people there are, the more strangers look alike: among 3,018 pictures of 2,575 people 0.97 finds half of
    the pairs of one person, and 80 % of what it finds is right; with 0.945 it is 85 % and 23 %."""
    val_share: float | int = 0.05
    """Of people; the manifest may say otherwise."""
    test_share: float | int = 0


@dataclass(frozen=True)
class IngestProgress:
    """How far the units are."""

    units: int
    done: int
    files: int
    items: int
    rejected: int


@dataclass(frozen=True)
class IngestSummary:
    """What came of it."""

    items: int
    people: int
    files: int
    frames: int
    faces: int
    rejected: dict[str, int]
    """Reason -> number of faces, frames or files."""
    unknown_licence: int
    notes: tuple[str, ...] = ()
    already_done: bool = False


def ingest(
    paths: Sequence[Path | str],
    out_dir: Path | str,
    options: IngestOptions | None = None,
    *,
    jobs: int = 1,
    scheduler: str | None = None,
    command: str = "",
    progress: Callable[[IngestProgress], None] | None = None,
) -> IngestSummary:
    """Makes a dataset of all faces in photographs and clips; the same call again goes on, or says that it is done.

    Args:
        paths: Files and folders.
        out_dir: The dataset's folder; made where it is missing.
        options: What the dataset will hold.
        jobs: Processes.
        scheduler: Address of a dask scheduler instead.
        command: For the card.
        progress: Called after each unit.

    Raises:
        BadInputError: No input; an option out of range; `out_dir` was begun with other options.
        NoFaceError: Not one face came through; `rejected.csv` says why.
        MissingPartError: Models, or an extra, are not there.
        OutputError: `out_dir` cannot be written.
    """
    options, out = options or IngestOptions(), Path(out_dir)
    inputs = [Path(path) for path in paths]
    kept = _options_dict(inputs, options)
    plan = read_plan(out)
    if plan is None:
        plan = planned(inputs, out, options)
        _make_folder(out)
        write_plan(out, plan)
    check_options(out, plan, kept)
    if _is_finished(out):
        shutil.rmtree(out / STAGING, ignore_errors=True)
        return dataclasses.replace(_read_summary(out), already_done=True)
    recipe = dataclasses.replace(options.recipe, embed=bool(kept["embed"]))
    reports = _do_units(plan, recipe, out / STAGING, jobs, scheduler, progress)
    return _settle(plan, options, reports, out, command)


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{shown(out)}: cannot be made ({error.strerror or error}); name another by -o") from error


def _is_finished(out: Path) -> bool:
    """Whether the dataset has its card and as many shards as it says; a shard that was lost since is made again."""
    return (out / "card.json").exists() and len(shard_paths(out)) >= read_card(out).shards


def planned(paths: Sequence[Path], out: Path, options: IngestOptions) -> Plan:
    """The plan that `ingest` would follow; writes nothing.

    Raises:
        BadInputError: As `ingest`; or `out` holds something else already.
        MissingPartError: As `ingest`.
    """
    check_recipe(options.recipe)
    if options.people not in PEOPLE:
        raise BadInputError(f"--people: expected {', '.join(PEOPLE)}, found {options.people!r}")
    if not 0 <= options.val_share + options.test_share <= 1 or min(options.val_share, options.test_share) < 0:
        raise BadInputError(f"--val-share: expected 0 to 1, found {options.val_share} (test: {options.test_share})")
    if not -1 <= options.same_person <= 1:
        raise BadInputError(f"--same-person: expected -1 to 1, found {options.same_person:g}")
    if not options.licence.strip():
        raise BadInputError("--licence: expected a licence's name, found nothing; leave it out if it is unknown")
    check_place(paths, out)
    defaults = Defaults(options.people, options.licence, options.consent, options.synthetic, options.manifest)
    return make_plan(paths, out, defaults, _options_dict(paths, options))


def _options_dict(paths: Sequence[Path], options: IngestOptions) -> dict[str, Any]:
    """All options as plain JSON; a manifest counts by its content, paths by where they lead."""
    recipe = dataclasses.asdict(options.recipe)
    recipe["embed"] = options.recipe.embed and _has_recogniser(options.people)
    limits = recipe.pop("limits")
    mine = {name: getattr(options, name) for name in ("people", "licence", "consent", "synthetic", "same_person")}
    shares = {"val_share": options.val_share, "test_share": options.test_share}
    manifest = None if options.manifest is None else sha256(options.manifest)
    return {"paths": [str(path.resolve()) for path in paths], "manifest": manifest} | recipe | limits | mine | shares


def _has_recogniser(people: str) -> bool:
    try:
        recogniser_path()
    except MissingPartError:
        if people == "cluster":
            raise
        return False
    return True


def _do_units(
    plan: Plan,
    recipe: Recipe,
    staging: Path,
    jobs: int,
    scheduler: str | None,
    progress: Callable[[IngestProgress], None] | None,
) -> list[UnitReport]:
    reports = {unit.number: report for unit in plan.units if (report := read_report(staging, unit.number)) is not None}
    left = [unit for unit in plan.units if unit.number not in reports]
    staging.mkdir(parents=True, exist_ok=True)

    def tell() -> None:
        if progress is not None:
            done = [unit for unit in plan.units if unit.number in reports]
            files = len({file.path for unit in done for file in unit.files})
            items = sum(report.items for report in reports.values())
            rejected = sum(len(report.rejected) for report in reports.values())
            progress(IngestProgress(len(plan.units), len(done), files, items, rejected))

    tell()
    work = partial(do_unit, recipe=recipe, staging=staging.resolve())
    with closing(run_units(work, left, jobs=jobs, scheduler=scheduler)) as results:
        for report in results:
            reports[report.number] = report
            tell()
    return [reports[unit.number] for unit in plan.units]


# --- knowing them all: duplicates, people, splits -----------------------------------------------------


def _settle(
    plan: Plan, options: IngestOptions, reports: Sequence[UnitReport], out: Path, command: str
) -> IngestSummary:
    staging = out / STAGING
    rejected = [*plan.rejected, *(entry for report in reports for entry in report.rejected)]
    if not any(report.items for report in reports):
        write_rejected(out, rejected)
        reasons = ", ".join(f"{count} x {reason}" for reason, count in count_reasons(rejected).items())
        raise NoFaceError(
            f"no face in {plan.files} files can be used ({reasons}); {shown(out / REJECTED_NAME)} lists them"
        )
    write_card(staging, DatasetCard("staging"))
    staged = open_dataset(staging)
    if len(staged) != sum(report.items for report in reports):
        raise OutputError(
            f"{shown(staging)}: expected {sum(report.items for report in reports)} faces, found {len(staged)}; "
            "does another run work in this folder? wait for it, then run the same command again"
        )
    rows, duplicates = _without_duplicates(staged.rows, staged.read, options)
    rejected += duplicates
    people = _people(rows, staged.read, reports, options)
    splits = _splits(rows, people, plan, options)
    items = (dataclasses.replace(staged.read(row), person=people[row.key], split=splits[row.key]) for row in rows)
    for number, part in enumerate(_parts(items, SHARD_ITEMS)):
        write_shard(out, number, part)
    write_rejected(out, rejected)
    summary = IngestSummary(
        items=len(rows),
        people=len(set(people.values()) - {""}),
        files=plan.files,
        frames=sum(report.frames for report in reports),
        faces=sum(report.faces for report in reports),
        rejected=count_reasons(rejected),
        unknown_licence=sum(row.licence == NO_LICENCE for row in rows),
        notes=plan.notes,
    )
    with atomic_path(out / SUMMARY_NAME) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(summary), indent=2) + "\n", encoding="utf-8")
    write_card(out, _card(plan, out, command))
    shutil.rmtree(staging, ignore_errors=True)
    return summary


def _without_duplicates(
    rows: Sequence[Row], read: Callable[[Row], Item], options: IngestOptions
) -> tuple[list[Row], list[Rejection]]:
    thumbnails: dict[int, Thumbnail] = {}
    points5 = template_points(options.recipe.template, options.recipe.size)

    def thumbnail(number: int) -> Thumbnail:
        if number not in thumbnails:
            thumbnails[number] = fingerprint(read(rows[number]).frame(), points5).thumbnail
        return thumbnails[number]

    hashes = [int(str(row.facts["hash"]), 16) for row in rows]
    quality = [_quality(row, options.recipe.size) for row in rows]
    dropped = near_duplicates(hashes, quality, thumbnail, options.recipe.same_picture)
    rejected = [
        Rejection(str(rows[number].facts["file"]), rows[number].frame_number, "near-duplicate", _shot(rows[better]))
        for number, better in sorted(dropped.items())
    ]
    return [row for number, row in enumerate(rows) if number not in dropped], rejected


def _quality(row: Row, size: int) -> float:
    """Which of two copies is kept: first the one more is known about, then the larger, then the sharper."""
    known = (row.person != "") + (row.licence != NO_LICENCE)
    return 10 * known + min(4.0, float(row.facts["face_px"]) / size) + float(row.facts.get("sharpness", 0))


def _shot(row: Row) -> str:
    return f"of {row.facts['file']}" + (f" frame {row.frame_number}" if row.frame_number >= 0 else "")


def _people(
    rows: Sequence[Row], read: Callable[[Row], Item], reports: Sequence[UnitReport], options: IngestOptions
) -> dict[str, str]:
    """Key -> person."""
    people = {row.key: row.person for row in rows}
    if options.people != "cluster":
        return people
    by_mark: dict[str, list[Row]] = {}
    for row in rows:
        if not row.person:
            by_mark.setdefault(_mark(row), []).append(row)
    marks = list(by_mark)
    means = [np.mean([read(row).arrays["embedding"] for row in by_mark[mark]], axis=0) for mark in marks]
    vectors = np.stack(means).astype(np.float32) if means else np.zeros((0, 1), np.float32)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    weights = np.array([len(by_mark[mark]) for mark in marks], np.float64)
    number = {mark: place for place, mark in enumerate(marks)}
    apart = [
        (number[one], number[other])
        for report in reports
        for one, other in report.together
        if one in number and other in number
    ]
    clips = [by_mark[mark][0].clip for mark in marks]
    in_clip = min(float(options.same_person), SAME_IN_CLIP)
    for place, group in enumerate(group_people_of_clips(vectors, weights, apart, clips, options.same_person, in_clip)):
        people |= {row.key: f"person-{place + 1:05d}" for member in group for row in by_mark[marks[member]]}
    return people


def _mark(row: Row) -> str:
    return person_mark(int(row.key.partition("-")[0]), str(row.facts["file"]), int(row.facts["track"]))


def _splits(rows: Sequence[Row], people: dict[str, str], plan: Plan, options: IngestOptions) -> dict[str, str]:
    """Key -> split. Faces of one person, or else of one file, stay together; the manifest's word comes first."""
    by_file = {file.name: file.split for unit in plan.units for file in unit.files if file.split}
    by_whom: dict[str, str] = {}
    for row in rows:
        told = by_file.get(str(row.facts["file"]))
        if told:
            by_whom.setdefault(_whom(row, people), told)
    shares = (float(options.val_share), float(options.test_share))
    return {row.key: by_whom.get(whom := _whom(row, people)) or split_of(whom, *shares) for row in rows}


def _whom(row: Row, people: dict[str, str]) -> str:
    return people[row.key] or f"file {row.facts['file']}"


def _parts(items: Iterator[Item], length: int) -> Iterator[list[Item]]:
    part: list[Item] = []
    for item in items:
        part.append(item)
        if len(part) == length:
            yield part
            part = []
    if part:
        yield part


def _card(plan: Plan, out: Path, command: str) -> DatasetCard:
    options = {name: value for name, value in plan.options.items() if isinstance(value, str | int | float | None)}
    about = (
        "Faces of photographs and clips, found, filtered, aligned and freed of near-duplicates by `facegraft ingest`. "
        "Licence and consent are what the user stated; nobody has checked them. Embeddings and landmarks are personal "
        f"data of the people shown. {who_placed(plan.options['points'])}"
    )
    return DatasetCard(name=out.resolve().name, about=about, command=command, options=options)


# --- what was left out --------------------------------------------------------------------------------


def write_rejected(out: Path, rejected: Sequence[Rejection]) -> None:
    """Writes `rejected.csv`: file, frame (empty for photographs), reason, detail; sorted by file and frame."""
    with atomic_path(out / REJECTED_NAME) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("path", "frame", "reason", "detail"))
        for entry in sorted(rejected, key=lambda entry: (entry.name, entry.frame_number, entry.reason, entry.detail)):
            frame = "" if entry.frame_number < 0 else entry.frame_number
            writer.writerow((shown(Path(entry.name)), frame, entry.reason, entry.detail))


def _read_summary(out: Path) -> IngestSummary:
    try:
        found: dict[str, Any] = json.loads(read_bytes(out / SUMMARY_NAME))
        return IngestSummary(**{**found, "notes": tuple(found["notes"])})
    except (ValueError, TypeError, KeyError) as error:
        raise BadInputError(f"{shown(out / SUMMARY_NAME)}: damaged; make the dataset anew in another folder") from error
