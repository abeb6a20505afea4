"""The report of `facegraft swap` as a file: beside what was written, and never over what is not its own."""

from __future__ import annotations

import json
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
        facts = {**facts, "files": _with_earlier(facts["files"], path)}
        with atomic_path(path) as temporary:
            temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    except (FacegraftError, OSError) as error:
        return None, f"no report: {' '.join(str(error).split())}"
    return path, ""


def _beside(facts: dict[str, Any], attribute: Path) -> Path | None:
    """None where nobody was swapped, or nothing written anew."""
    made = [Path(one["written"]) for one in facts["files"] if "quality" in one]
    if not made:
        return None
    return made[0].with_name(NAME) if attribute.is_dir() else made[0].with_name(f"{made[0].name}.{NAME}")


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
    return found if isinstance(found, dict) and {"facegraft", "method", "files"} <= found.keys() else None


def _with_earlier(files: list[dict[str, Any]], path: Path) -> list[dict[str, Any]]:
    """Files that were already there keep what an earlier report says of them, and so do files of other runs."""
    found = (_read(path) if path.exists() else None) or {"files": []}
    said = {one["written"]: one for one in found["files"] if isinstance(one, dict) and one.get("written")}
    ours = {one.get("written") for one in files}
    others = [one for name, one in said.items() if name not in ours and Path(name).exists()]
    return others + [said.get(one["written"], one) if one.get("already_there") else one for one in files]
