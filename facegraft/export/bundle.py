"""A bundle: a folder with all that the runtime needs of a trained method, and nothing else.

identity.onnx   aligned pictures of a person -> code     (missing where a method keeps nothing of a person)
swap.onnx       aligned attribute picture, code -> swapped picture, mask
card.json       facts and hashes, for programs
CARD.md         the same for people
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from facegraft import __version__
from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import atomic_path, read_bytes, sha256, shown
from facegraft.export.card import bundle_markdown
from facegraft.export.graph import Exported, export_graphs
from facegraft.frozen.nets import FrozenNets
from facegraft.methods._method import Method

VERSION = 1
CARD, CARD_FOR_PEOPLE = "card.json", "CARD.md"
RUN_FACTS = ("config", "images_seen", "seconds", "scores", "data", "starts")
"""What a bundle must be able to say of the run behind it."""
USE = (
    "Film and theatre, privacy, research, accessibility and education, with the agreement of the people shown: of the "
    "one whose face is used and of the one whose face is replaced."
)
MISUSE = (
    "Not for sexual pictures of anybody who did not agree, and of minors at all; not for deceiving, blackmailing or "
    "bullying people, passing somebody off as another, or getting around an identity check. What `facegraft swap` "
    "writes says that it was made; leave that in."
)


def write_bundle(
    folder: Path,
    method: Method,
    frozen: FrozenNets,
    run: Mapping[str, Any],
    *,
    half: bool = False,
    scores: Mapping[str, float] | None = None,
    notes: str = "",
) -> dict[str, Any]:
    """Writes a bundle, whole or not at all; an earlier bundle of that name is replaced.

    Args:
        folder: Where it goes.
        method: Trained, on the CPU.
        frozen: At least what its card needs.
        run: `RUN_FACTS` of the run; "config" names the method.
        half: Store weights in float16, but for those of the frozen networks; compute stays in float32.
        scores: Of an evaluation; `add_scores` can add them later.
        notes: Markdown for the card: limits, groups.

    Returns:
        What `card.json` holds.

    Raises:
        BadInputError: A fact is missing, the folder holds something else, or the method cannot be exported.
        MissingPartError: onnx or onnxscript is not installed.
        OutputError: The folder cannot be written.
    """
    _check_facts(run)
    _check_place(folder)
    kept = {"method": str(run["config"]["method"]), "commit": str(run["starts"][-1]["commit"])}
    with _whole_folder(folder) as scratch:
        graphs = export_graphs(method, frozen, scratch, half=half, facts=kept)
        facts = _card(method, graphs, run, half=half, notes=notes) | {"scores": dict(scores or {})}
        _write_cards(scratch, facts)
    return facts


def add_scores(folder: Path, scores: Mapping[str, float]) -> None:
    """Puts the scores of an evaluation onto a bundle's cards; earlier ones are replaced.

    Raises:
        BadInputError: The folder is no bundle.
        OutputError: The cards cannot be written.
    """
    facts = _read_card(folder)
    if facts is None:
        raise BadInputError(f"{shown(folder)}: expected a bundle made by `facegraft export`, found none")
    _write_cards(folder, facts | {"scores": dict(scores)})


def _check_facts(run: Mapping[str, Any]) -> None:
    missing = [name for name in RUN_FACTS if name not in run]
    if not missing:
        missing = [f"config.{name}" for name in ("method", "model") if name not in run["config"]]
        missing += ["starts (who trained it, when)"] if not run["starts"] else []
        missing += ["data (no dataset with a card was named)"] if not run["data"] else []
        missing += [f"data.{name}.licences" for name, card in run["data"].items() if not card.get("licences")]
    if missing:
        raise BadInputError(
            f"a bundle's card needs facts of the run, and these are missing: {', '.join(missing)}; "
            "train with `facegraft train` on datasets that have a card"
        )


def _check_place(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"{shown(folder)}: expected a folder for the bundle, found a file; name another by -o")
    if folder.is_dir() and any(folder.iterdir()) and _read_card(folder) is None:
        raise BadInputError(f"{shown(folder)}: is not empty and no bundle; name another folder by -o")


def _read_card(folder: Path) -> dict[str, Any] | None:
    """None where the folder is no bundle."""
    try:
        facts = json.loads(read_bytes(folder / CARD))
    except (BadInputError, ValueError):
        return None
    return facts if isinstance(facts, dict) and "facegraft_bundle" in facts else None


def _card(
    method: Method, graphs: Mapping[str, Exported], run: Mapping[str, Any], *, half: bool, notes: str
) -> dict[str, Any]:
    about = method.card
    return {
        "facegraft_bundle": VERSION,
        "method": run["config"]["method"],
        "title": about.title,
        "paper": about.paper,
        "summary": about.summary,
        "paper_size_px": about.resolution,
        "size_px": method.config.size_px,
        "alignment": about.alignment,
        "blend": about.blend,
        "per_pair": about.per_pair,
        "weights": "float16" if half else "float32",
        "files": {
            one.path.name: {"sha256": sha256(one.path), "bytes": one.path.stat().st_size} for one in graphs.values()
        },
        "graphs": {
            name: {
                "inputs": one.inputs,
                "outputs": one.outputs,
                "differences": one.differences,
                "milliseconds": one.milliseconds,
            }
            for name, one in graphs.items()
        },
        "exported_by": f"facegraft {__version__}",
        "run": dict(run),
        "use": USE,
        "misuse": MISUSE,
        "notes": notes,
    }


def _write_cards(folder: Path, facts: dict[str, Any]) -> None:
    texts = {CARD: json.dumps(facts, indent=2) + "\n", CARD_FOR_PEOPLE: bundle_markdown(facts)}
    for name, text in texts.items():
        with atomic_path(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


@contextmanager
def _whole_folder(folder: Path) -> Iterator[Path]:
    """Yields a hidden folder beside `folder`, which takes that name when the block ends well and else vanishes."""
    scratch, old = (folder.with_name(f".facegraft-{secrets.token_hex(8)}") for _ in range(2))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch.mkdir()
        yield scratch
        if folder.exists():
            folder.rename(old)
        try:
            scratch.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    except OSError as error:
        raise OutputError(
            f"{shown(folder)}: cannot be written ({(error.strerror or str(error)).lower()}); name another folder"
        ) from error
    finally:
        for one in (scratch, old):
            shutil.rmtree(one, ignore_errors=True)
