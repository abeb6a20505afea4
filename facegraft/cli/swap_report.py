"""The report of `facegraft swap` as a file: beside what was written, and never over what is not its own."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from facegraft.core.errors import FacegraftError
from facegraft.core.files import atomic_path, shown

NAME = "report.json"
MOST_BYTES = 64_000_000
"""No report of ours is larger."""


def write_report(facts: dict[str, Any], attribute: Path, named: Path | None) -> tuple[Path | None, str]:
    """Writes what was done.

    Args:
        facts: The report.
        attribute: File or folder that was swapped.
        named: Where the user wants it; None = beside what was written, as FILE.report.json, or report.json in a folder.

    Returns:
        Where it is, and "": or None, and why it was not written. The swap is done by then, so that is no error.
    """
    path = named or _beside(facts, attribute)
    if path is None:
        return None, ""
    try:
        if not _may_write(path):
            return None, f"no report: {shown(path)} is there and is none; move it, or name another by --report"
        _write({**facts, "files": _with_earlier(facts["files"], path)}, path)
    except (FacegraftError, OSError, ValueError) as error:
        return None, f"no report: {' '.join(str(error).split())}"
    return path, ""


def forget_overwritten(files: list[dict[str, Any]], kept: Path | None) -> list[str]:
    """Takes out of the reports beside files what they say of them from before they were written over.

    Args:
        files: As in a report.
        kept: The report of now, which stays as it is.

    Returns:
        The reports that were changed, or removed as they told of nothing else.
    """
    made = [Path(one["written"]) for one in files if one.get("written") and not one.get("already_there")]
    changed = []
    for path in dict.fromkeys(beside for out in made for beside in (_report_of(out), out.with_name(NAME))):
        with suppress(FacegraftError, OSError, ValueError):
            found = _read(path)
            if found is None or (kept is not None and path.samefile(kept)):
                continue
            ours = {out.resolve() for out in made}
            left = [one for one in found["files"] if _file_of(one, path) not in ours]
            if len(left) == len(found["files"]):
                continue
            if any(_file_of(one, path) for one in left):
                _write({**found, "files": left}, path)
            else:
                path.unlink()
            changed.append(shown(path))
    return changed


def _write(facts: dict[str, Any], path: Path) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _report_of(out: Path) -> Path:
    return out.with_name(f"{out.name}.{NAME}")


def _beside(facts: dict[str, Any], attribute: Path) -> Path | None:
    """None where nobody was swapped, or nothing written anew."""
    made = [Path(one["written"]) for one in facts["files"] if "quality" in one]
    if not made:
        return None
    return made[0].with_name(NAME) if attribute.is_dir() else _report_of(made[0])


def _may_write(path: Path) -> bool:
    """Whether nothing is there, or nothing in it, or a report of ours."""
    return not path.exists() or path.stat().st_size == 0 or _read(path) is not None


def _read(path: Path) -> dict[str, Any] | None:
    """An earlier report; None where the file is something else."""
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        return None
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return None
    ours = isinstance(found, dict) and {"facegraft", "method"} <= found.keys() and isinstance(found.get("files"), list)
    return found if ours else None


def _with_earlier(files: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Files that were already there keep what an earlier report says of them, and so do files of other runs."""
    found = (_read(path) if path.exists() else None) or {"files": []}
    said = {place: one for one in found["files"] if (place := _file_of(one, path)) is not None}
    ours = {Path(one["written"]).resolve() for one in files if one.get("written")}
    others = [one for place, one in said.items() if place not in ours and place.exists()]
    return others + [_told(one, said) if one.get("already_there") else one for one in files]


def _told(one: dict[str, Any], said: dict[Path, dict[str, Any]]) -> dict[str, Any]:
    """What was said of a file that was already there, by the names it has now."""
    earlier = said.get(Path(one["written"]).resolve())
    return one if earlier is None else {**earlier, "attribute": one["attribute"], "written": one["written"]}


def _file_of(one: Any, report: Path) -> Path | None:
    """The file that an entry of a report is about; None where it is about none.

    An entry may be spelt from another folder than today's: a file beside the report that fits is the one.
    """
    name = one.get("written") if isinstance(one, dict) else None
    if not isinstance(name, str):
        return None
    given = Path(name)
    beside = report.parent.resolve() / given.name
    tail = tuple(part for part in given.parts if part != "..")
    fits = not given.is_absolute() and beside.parts[-len(tail) :] == tail
    return (beside if fits and beside.exists() else given).resolve()
