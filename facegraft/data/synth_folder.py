"""The folder of a made dataset: it remembers what was asked for, and refuses to become something else."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from pathlib import Path
from typing import Any

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import atomic_path, read_bytes, shown
from facegraft.data.synth_plan import differing

PLAN_NAME = "synth.json"
VERSION = 1
ABANDONED_S = 3600.0


def begin(out: Path, options: Any, digest: str, plan: str = PLAN_NAME) -> None:
    """Makes the folder and its plan, or checks that the one there is the same.

    Args:
        out: The folder.
        options: A dataclass: all that decides what will be in it ...
        digest: ... besides what it is made of, for which this stands.
        plan: Name of the file that remembers both.

    Raises:
        BadInputError: It is begun with others, damaged, or something else.
        OutputError: It cannot be made.
    """
    path = out / plan
    if path.is_file():
        (out / "shards").mkdir(exist_ok=True)
        before = _read_plan(path)
        if before is None or not any((out / "shards").glob("[!.]*.safetensors")):
            _write_plan(path, options, digest)  # nothing was rendered by the damaged or other plan
            return
        changes = differing(options, before.get("options", {}))
        if before.get("assets_digest") != digest:
            changes.append("what it is made of is another")
        if before.get("version") != VERSION:
            changes.append(f"the plan's version {before.get('version')} is now {VERSION}")
        if changes:
            raise BadInputError(f"{shown(out)}: begun with other options ({'; '.join(changes)}); name another folder")
        return
    if out.exists() and not out.is_dir():
        raise BadInputError(f"{shown(out)}: expected a folder for the dataset, found a file; name another by -o")
    if out.is_dir() and any(out.iterdir()):
        raise BadInputError(f"{shown(out)}: is not empty and was not begun by this command; name another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{shown(out)}: cannot be made ({error.strerror or error}); name another folder") from error
    _write_plan(path, options, digest)  # first: a folder with shards but no plan would be taken for another's
    (out / "shards").mkdir(exist_ok=True)


def _read_plan(path: Path) -> dict[str, Any] | None:
    """The plan; None where the file is damaged and no shard tells what was begun.

    Raises:
        BadInputError: It is damaged and shards lie beside it.
    """
    try:
        plan = json.loads(read_bytes(path))
        if isinstance(plan, dict) and isinstance(plan.get("options"), dict):
            return plan
    except ValueError:
        pass
    if any((path.parent / "shards").glob("[!.]*.safetensors")):
        raise BadInputError(f"{shown(path)}: the plan of this dataset is damaged; name another folder")
    return None


def _write_plan(path: Path, options: Any, digest: str) -> None:
    facts = {"version": VERSION, "options": dataclasses.asdict(options), "assets_digest": digest}
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def sweep(shards: Path) -> None:
    """Removes what killed workers began; what is young may be another run's."""
    for path in shards.glob(".facegraft-*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > ABANDONED_S:
                path.unlink()
