"""What `ingest` will do, decided before any picture is read and written to a file: the files, and the units of work.

A unit is some photographs, or a stretch of one clip. Units, their numbers and so all results depend on the files and
options only, never on how many processes work on them or how often they were interrupted.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, read_bytes, shown, sniff
from facegraft.data.clip_frames import clip_length_s
from facegraft.data.filters import Rejection
from facegraft.data.item import SPLITS

PLAN_NAME = "ingest.json"
STAGING = ".ingest"
SINCE = {"max_hidden": 1}
"""Options that an earlier plan does not name, and the value that does as it did."""
VERSION = 1
FEWEST_PHOTOS, MOST_PHOTOS = 16, 256
"""Photographs in a unit: few enough that many workers have something to do, enough to be worth a file."""
UNITS_OF_PHOTOS = 64
CLIP_STRETCH_S = 60.0
"""A clip is cut into units of this length, so that a film can be read by many workers and a stop costs a minute."""
NO_LICENCE = "unknown"
MANIFEST_COLUMNS = ("path", "person", "licence", "consent", "origin", "synthetic", "split", "age")


@dataclass(frozen=True)
class Listed:
    """A file and what its manifest row, its folder or the options say about it.

    Attributes:
        path: Absolute.
        name: As the user sees it: from the folder that was named on, with slashes.
        person: Known identity; "" = unknown.
        split: "" = by the person.
        age: Years; None = unknown.
    """

    path: str
    name: str
    person: str = ""
    licence: str = NO_LICENCE
    consent: str = ""
    origin: str = ""
    synthetic: bool = False
    split: str = ""
    age: float | None = None


@dataclass(frozen=True)
class Unit:
    """One piece of work; `end_s` None = to the end of the clip."""

    number: int
    files: tuple[Listed, ...]
    is_clip: bool = False
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True)
class Plan:
    """All units, the files that are neither pictures nor clips, and the options that it was made for."""

    options: dict[str, Any]
    units: tuple[Unit, ...]
    rejected: tuple[Rejection, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> int:
        """Different photographs and clips."""
        return len({file.path for unit in self.units for file in unit.files})


@dataclass(frozen=True)
class Defaults:
    """What is said of files that no manifest row describes."""

    people: str = "none"
    licence: str = NO_LICENCE
    consent: str = ""
    synthetic: bool = False
    manifest: Path | None = None


def check_place(paths: Sequence[Path], out: Path) -> None:
    """Refuses a dataset's folder that is anything else already; one with a plan is ours, begun or finished.

    Raises:
        BadInputError: It is a file, holds something, or lies in a folder of the input.
    """
    if (out / PLAN_NAME).exists():
        return
    if out.exists() and not out.is_dir():
        raise BadInputError(f"{shown(out)}: expected a folder for the dataset, found a file; name another by -o")
    if (out / "card.json").exists() or (out / "shards").exists():
        raise BadInputError(f"{shown(out)}: holds a dataset that ingest did not make; name another folder by -o")
    for path in paths:
        if path.is_dir() and out.resolve().is_relative_to(path.resolve()):
            raise BadInputError(f"{shown(out)}: lies in {shown(path)}, which is to be read; name another folder by -o")
    names = sorted(path.name for path in out.iterdir()) if out.exists() else []
    if held := [name for name in names if name == STAGING or not name.startswith(".")]:
        raise BadInputError(f"{shown(out)}: holds {shown(Path(held[0]))} already; name a new or empty folder by -o")


def make_plan(paths: Sequence[Path], out: Path, defaults: Defaults, options: dict[str, Any]) -> Plan:
    """Lists the files and cuts them into units.

    Args:
        paths: Files and folders; hidden files are passed over.
        out: The dataset's folder: what lies in it is no input.
        defaults: What is said of files.
        options: Kept in the plan, see `check_options`.

    Raises:
        BadInputError: A path is missing, the manifest is broken, or there is no picture and no clip at all.
    """
    rows, notes = read_manifest(defaults.manifest) if defaults.manifest else ({}, [])
    photos: list[Listed] = []
    clips: list[Listed] = []
    rejected: list[Rejection] = []
    seen: set[Path] = set()
    names: Counter[str] = Counter()
    for path, name, folder in _walk(
        paths, {out.resolve(), *([defaults.manifest.resolve()] if defaults.manifest else [])}
    ):
        if path in seen:
            continue
        seen.add(path)
        names[name] += 1
        name = name if names[name] == 1 else f"{name} ({names[name]})"
        try:
            kind = sniff(path) or ""
        except BadInputError as error:
            rejected.append(Rejection(name, -1, "unreadable", str(error)))
            continue
        listed = _listed(path, name, folder, defaults, rows.get(path))
        if kind.startswith("video/") or kind in ("image/gif", "application/ogg"):
            clips.append(listed)
        elif kind.startswith("image/"):
            photos.append(listed)
        else:
            rejected.append(Rejection(name, -1, "not a picture or clip", kind))
    if not photos and not clips:
        raise BadInputError(f"{', '.join(map(shown, paths))}: no picture and no clip there; name another folder")
    unused = sum(path not in seen for path in rows)
    notes += [f"{unused} of {len(rows)} rows of the manifest name no file among the inputs"] if unused else []
    _check_splits([*photos, *clips])
    return Plan(options, tuple(_units(photos, clips)), tuple(rejected), tuple(notes))


def _units(photos: list[Listed], clips: list[Listed]) -> Iterator[Unit]:
    step = min(max(-(-len(photos) // UNITS_OF_PHOTOS), FEWEST_PHOTOS), MOST_PHOTOS)
    number = 0
    for begin in range(0, len(photos), step):
        yield Unit(number, tuple(photos[begin : begin + step]))
        number += 1
    for clip in clips:
        for start_s, end_s in _stretches(Path(clip.path)):
            yield Unit(number, (clip,), True, start_s, end_s)
            number += 1


def _stretches(clip: Path) -> Iterator[tuple[float, float | None]]:
    """The last one is open: what a header says of a clip's length may be wrong."""
    try:
        length_s = clip_length_s(clip) or 0.0
    except BadInputError:
        length_s = 0.0  # said again, and counted, when its turn comes
    whole = max(1, round(length_s / CLIP_STRETCH_S)) if length_s < 1e6 else 1
    for number in range(whole):
        last = number == whole - 1
        yield number * CLIP_STRETCH_S, None if last else (number + 1) * CLIP_STRETCH_S


def _walk(paths: Sequence[Path], leave_out: set[Path]) -> Iterator[tuple[Path, str, str]]:
    """Absolute path, shown name and person's folder of every file, in an order that does not depend on the disk."""
    for root in paths:
        if not root.exists():
            raise BadInputError(f"{shown(root)}: cannot be opened (no such file or directory); check the name")
        whole = root.resolve()
        if whole.is_file():
            yield whole, root.name, whole.parent.name
            continue
        for folder, folders, files in os.walk(whole):
            here = Path(folder)
            folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() not in leave_out)
            for file in sorted(files):
                path = here / file
                if not file.startswith(".") and path.resolve() not in leave_out:
                    below = path.relative_to(whole)
                    person = below.parts[0] if len(below.parts) > 1 else whole.name
                    yield path.resolve(), f"{whole.name}/{below.as_posix()}", person


def _listed(path: Path, name: str, folder: str, defaults: Defaults, row: dict[str, Any] | None) -> Listed:
    listed = Listed(
        path=str(path),
        name=name,
        person=folder if defaults.people == "folder" else "",
        licence=defaults.licence,
        consent=defaults.consent,
        origin=name,
        synthetic=defaults.synthetic,
    )
    return dataclasses.replace(listed, **row) if row else listed


def _check_splits(files: Sequence[Listed]) -> None:
    split_by_person: dict[str, str] = {}
    for file in files:
        if file.person and file.split:
            before = split_by_person.setdefault(file.person, file.split)
            if before != file.split:
                raise BadInputError(
                    f"manifest: {file.person!r} is in the splits {before} and {file.split}; split by person"
                )


# --- the manifest -------------------------------------------------------------------------------------


def read_manifest(path: Path) -> tuple[dict[Path, dict[str, Any]], list[str]]:
    """Rows of a CSV file by absolute path, each with the fields that it gives, and notes for the user.

    Columns: path (absolute, or from the manifest's folder), person, licence, consent, origin, synthetic, split, age;
    all but path may be absent or empty.

    Raises:
        BadInputError: No such table, or a value that cannot be understood; the message names the line.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInputError(f"{shown(path)}: expected a CSV file in UTF-8, found other bytes; save it anew") from error
    reader = csv.DictReader(io.StringIO(text, newline=""))
    columns = reader.fieldnames or []
    if "path" not in columns:
        found = ", ".join(columns) or "nothing"
        raise BadInputError(f"{shown(path)}: expected a first line with {','.join(MANIFEST_COLUMNS)}, found {found}")
    other = [name for name in columns if name not in MANIFEST_COLUMNS]
    rows: dict[Path, dict[str, Any]] = {}
    for row in reader:
        where = f"{shown(path)}, line {reader.line_num}"
        if not row["path"]:
            raise BadInputError(f"{where}: expected a path, found none")
        file = (path.parent / row["path"]).resolve()
        if file in rows:
            raise BadInputError(f"{where}: {row['path']} has a row already; keep one")
        rows[file] = _fields(row, where)
    return rows, [f"columns of the manifest that mean nothing here: {', '.join(other)}"] if other else []


def _fields(row: dict[str, Any], where: str) -> dict[str, Any]:
    given = {name: (row.get(name) or "").strip() for name in MANIFEST_COLUMNS[1:]}
    fields: dict[str, Any] = {name: text for name, text in given.items() if text}
    if "synthetic" in fields:
        known = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if fields["synthetic"].lower() not in known:
            raise BadInputError(f"{where}: synthetic: expected true or false, found {fields['synthetic']!r}")
        fields["synthetic"] = known[fields["synthetic"].lower()]
    if fields.get("split", "train") not in SPLITS:
        raise BadInputError(f"{where}: split: expected {', '.join(SPLITS)}, found {fields['split']!r}")
    if "age" in fields:
        try:
            fields["age"] = float(fields["age"])
        except ValueError as error:
            raise BadInputError(f"{where}: age: expected years, found {fields['age']!r}") from error
        if not 0 <= fields["age"] <= 130:
            raise BadInputError(f"{where}: age: expected 0 to 130 years, found {fields['age']:g}")
    return fields


# --- the plan's file ----------------------------------------------------------------------------------


def write_plan(folder: Path, plan: Plan) -> None:
    """Writes the plan into the dataset's folder."""
    with atomic_path(folder / PLAN_NAME) as temporary:
        temporary.write_text(json.dumps({"version": VERSION, **dataclasses.asdict(plan)}) + "\n", encoding="utf-8")


def read_plan(folder: Path) -> Plan | None:
    """The plan in a dataset's folder; None where there is none.

    Raises:
        BadInputError: It is damaged or of another version.
    """
    path = folder / PLAN_NAME
    if not path.exists():
        return None
    try:
        found: dict[str, Any] = json.loads(read_bytes(path))
        if found.pop("version") != VERSION:
            raise BadInputError(f"{shown(path)}: written by another version of facegraft; use a new folder")
        units = tuple(
            Unit(**{**unit, "files": tuple(Listed(**file) for file in unit["files"])}) for unit in found["units"]
        )
        rejected = tuple(Rejection(**entry) for entry in found["rejected"])
        return Plan(found["options"], units, rejected, tuple(found["notes"]))
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{shown(path)}: damaged plan; use a new folder") from error


def check_options(folder: Path, plan: Plan, options: dict[str, Any]) -> None:
    """Refuses to go on with a dataset that was begun with other options.

    Raises:
        BadInputError: The message names the first difference.
    """
    for name in sorted(plan.options.keys() | options.keys()):
        before, now = plan.options.get(name, SINCE.get(name)), options.get(name)
        if before != now:
            raise BadInputError(
                f"{shown(folder)}: was begun with {name} {_short(before)}, now it is {_short(now)}; "
                "give the same options again, or another folder by -o"
            )


def _short(value: object) -> str:
    text = json.dumps(value) if not isinstance(value, list) else ", ".join(map(str, value))
    return text if len(text) <= 80 else f"{text[:77]}..."
