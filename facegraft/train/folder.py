"""The files of a run's folder: config, facts, log, previews, result."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from facegraft import __version__
from facegraft.core.errors import BadInputError, FacegraftError, OutputError
from facegraft.core.files import atomic_path, read_bytes, shown
from facegraft.core.image import save_frame
from facegraft.core.machine import commit, processor
from facegraft.core.types import Frame
from facegraft.data.card import DatasetCard, read_card
from facegraft.train.options import MAY_CHANGE, MAY_MOVE, AnyRunConfig, MethodRunConfig, run_config

CONFIG, FACTS, LOG, STATE = "config.json", "run.json", "log.jsonl", "last.safetensors"
LOCK, PREVIEW, SNAPSHOTS = ".lock", "preview", "snapshots"
WEIGHTS, SCORES = "weights.safetensors", "scores.json"


@dataclass(frozen=True)
class Result:
    """What a run came to; `seconds` is the time spent in steps."""

    images_seen: int
    seconds: float
    scores: dict[str, float]


def open_run(folder: Path, options: AnyRunConfig) -> None:
    """Makes the folder; the config of a run that is in it must be the same, but for `MAY_CHANGE` and `MAY_MOVE`.

    Raises:
        BadInputError: The folder holds a run with another config, or something else.
        OutputError: It cannot be made.
    """
    tables = _tables_of(options)
    path = folder / CONFIG
    if path.exists():
        _check_same(_fixed(_tables_of(run_config(read_json(path)))), _fixed(tables), folder)
    elif folder.is_dir() and {entry.name for entry in folder.iterdir()} - {LOCK, PREVIEW}:
        raise BadInputError(f"{shown(folder)}: is neither empty nor a run; name a new folder")
    try:
        (folder / PREVIEW).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{shown(folder)}: cannot be made ({reason}); choose another") from error


@contextlib.contextmanager
def begun(folder: Path, options: AnyRunConfig, *, keep: bool) -> Iterator[None]:
    """A run's folder in sole use, its config written; see `sole_use`, `taken_back`.

    Raises:
        BadInputError: Another process trains there.
        OutputError: The config cannot be written.
    """
    with sole_use(folder), taken_back(folder, keep=keep):
        write_config(folder, options)
        yield


@contextlib.contextmanager
def taken_back(folder: Path, *, keep: bool) -> Iterator[None]:
    """A new run that fails before anything is learnt leaves no folder: its data or config has to change first.

    Args:
        folder: Of the run, in sole use: what another process begins there is not to be taken.
        keep: The folder itself was there before.
    """
    had_config = (folder / CONFIG).exists()
    try:
        yield
    except FacegraftError:
        if not had_config:
            _take_back(folder, keep=keep)
        raise


def _take_back(folder: Path, *, keep: bool) -> None:
    made = {entry.name for entry in folder.rglob("*")}
    if CONFIG not in made or made - {CONFIG, LOCK, PREVIEW}:
        return
    for name in (CONFIG, LOCK):
        (folder / name).unlink(missing_ok=True)
    (folder / PREVIEW).rmdir()
    if not keep:
        folder.rmdir()


def snapshot_path(folder: Path, images_seen: int) -> Path:
    """Where weights of that moment are kept; the folder for them is made.

    Raises:
        OutputError: It cannot be made.
    """
    kept = folder / SNAPSHOTS
    try:
        kept.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"{shown(kept)}: cannot be made ({(error.strerror or str(error)).lower()})") from error
    return kept / f"{images_seen:09d}.safetensors"


def write_config(folder: Path, options: AnyRunConfig) -> None:
    """Keeps the config, defaults written out.

    Raises:
        OutputError: It cannot be written.
    """
    write_json(folder / CONFIG, _tables_of(options))


@contextlib.contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keeps a second process out of a run's folder, where it would write the same files; a killed one holds nothing.

    Raises:
        BadInputError: Another process trains there.
    """
    with (folder / LOCK).open("w") as file:
        try:
            import fcntl
        except ImportError:  # Windows has no such locks
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInputError(f"{shown(folder)}: another process trains here; wait for it, or stop it") from error
        yield


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        BadInputError: No such file, or no JSON object.
    """
    try:
        found = json.loads(read_bytes(path))
    except ValueError as error:
        raise BadInputError(f"{shown(path)}: expected JSON, found something else ({error})") from error
    if not isinstance(found, dict):
        raise BadInputError(f"{shown(path)}: expected a JSON object, found {type(found).__name__}")
    return found


def write_json(path: Path, facts: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def write_facts(folder: Path, options: AnyRunConfig, device: torch.device) -> None:
    """Adds this start of the run to `run.json`: commit, machine, versions; and the cards of the datasets."""
    path = folder / FACTS
    starts = read_json(path)["starts"] if path.exists() else []
    here = {"commit": commit(), "device": device_name(device), "threads": torch.get_num_threads()}
    here |= {"facegraft": __version__, "torch": torch.__version__, "python": platform.python_version()}
    cards = {name: _card_facts(card) for name, card in dataset_cards(options.data).items()}
    named = {"method": options.method} if isinstance(options, MethodRunConfig) else {"network": options.network}
    write_json(path, {**named, "data": cards, "starts": [*starts, here]})


def device_name(device: torch.device) -> str:
    """The GPU's or the CPU's name."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return processor()


def dataset_cards(data: dict[str, Any]) -> dict[str, DatasetCard]:
    """Key of `[data]` -> card, for every key whose value is a dataset's folder; lists of folders are numbered."""
    named: dict[str, str] = {}
    for key, value in data.items():
        if isinstance(value, str):
            named[key] = value
        elif isinstance(value, list):
            named |= {f"{key}.{n}": inner for n, inner in enumerate(value) if isinstance(inner, str)}
    return {
        name: read_card(Path(value)) for name, value in named.items() if value and (Path(value) / "card.json").is_file()
    }


def _card_facts(card: DatasetCard) -> dict[str, Any]:
    facts = dataclasses.asdict(card)
    kept = ("name", "about", "command", "commit", "seed", "assets_digest", "items", "people")
    return {name: facts[name] for name in kept} | {"licences": card.counts.get("licence", {})}


def append_log(folder: Path, line: dict[str, Any]) -> None:
    """Adds one line of JSON to the log."""
    with (folder / LOG).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def read_log(folder: Path) -> list[dict[str, Any]]:
    """All whole lines of the log; a last one that a power cut broke is left out."""
    path = folder / LOG
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    found = []
    for number, line in enumerate(lines):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            if number < len(lines) - 1:
                raise BadInputError(
                    f"{shown(path)}: line {number + 1} is no JSON ({error}); mend or remove it"
                ) from error
    return found


def cut_log(folder: Path, images_seen: int) -> None:
    """Removes lines from after the state that the run goes on from: they will be written again."""
    lines = read_log(folder)
    kept = [line for line in lines if line["images_seen"] <= images_seen]
    if (folder / LOG).exists():
        with atomic_path(folder / LOG) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")


def write_preview(folder: Path, images_seen: int, frame: Frame) -> None:
    save_frame(folder / PREVIEW / f"{images_seen:09d}.png", frame)


def write_result(folder: Path, result: Result) -> None:
    write_json(folder / SCORES, dataclasses.asdict(result))


def read_result(folder: Path) -> Result | None:
    """What `write_result` wrote, or None where the run has not come to its end yet."""
    if not (folder / SCORES).exists():
        return None
    facts = read_json(folder / SCORES)
    try:
        return Result(int(facts["images_seen"]), float(facts["seconds"]), dict(facts["scores"]))
    except (KeyError, TypeError, ValueError) as error:
        raise BadInputError(f"{shown(folder / SCORES)}: damaged; remove it and run the command again") from error


def _tables_of(options: AnyRunConfig) -> dict[str, Any]:
    """As JSON keeps it, defaults written out; a config of an earlier version gets those of its new options so."""
    tables: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(options)))
    return tables


def _fixed(tables: dict[str, Any]) -> dict[str, Any]:
    """Dotted key -> value, without what may change."""
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            flat[name] = value
    free = {f"train.{name}" for name in MAY_CHANGE} | {key for key in MAY_MOVE if isinstance(flat.get(key), str)}
    return {key: value for key, value in flat.items() if key not in free}


def _check_same(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    for key in [*before, *now]:
        if before.get(key) != now.get(key):
            found = f"{key} was {before.get(key)!r} and is {now.get(key)!r}"
            raise BadInputError(f"{shown(folder)}: {found}; set it back, or name a new folder with --run")
