"""Configs: a TOML file and `--set` become plain tables, and each table a frozen dataclass; an unknown key is an error.

Any frozen dataclass will do, with plain types as its fields: int, float, bool, str, tuple[...], dict[str, ...], other
dataclasses. Ranges are checked by the dataclass itself, in `__post_init__`, with a ValueError.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import tomllib
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.files import read_bytes, shown

Filled = TypeVar("Filled")


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The tables of a TOML file, with single keys replaced.

    Args:
        path: The file, as those in `configs/`.
        overrides: `table.key=value` each, with the value as TOML would have it; what TOML cannot read is a string.

    Raises:
        BadInputError: No such file, no TOML, or an override without a key or below something that is no table.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(read_bytes(path).decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(f"{shown(path)}: expected a config in TOML ({reason}); mend it") from error
    for override in overrides:
        _set(tables, override)
    return tables


def fill(cls: type[Filled], table: Mapping[str, Any], where: str) -> Filled:
    """A table as a frozen dataclass; absent keys take the defaults.

    Args:
        cls: The dataclass. Whole numbers do for floats, lists for tuples; nothing else is converted.
        table: As `load_config` read it.
        where: The table's name for messages, such as "train"; "" for the whole file.

    Raises:
        BadInputError: An unknown or missing key, or a value of another type or out of its range. One line; it names
            the key, and for unknown ones those that are spelled alike.
        MissingPartError: The extra `train` is not installed.
    """
    try:
        import pydantic
    except ImportError as error:
        raise MissingPartError("pydantic is missing: pip install 'facegraft[train]'") from error
    check_keys(cls, table, where)
    try:
        text = json.dumps(table)  # as JSON, because there pydantic is strict and still takes lists for tuples
        return pydantic.TypeAdapter(cls).validate_json(text, strict=True)
    except pydantic.ValidationError as error:
        raise BadInputError(_first_complaint(error, where)) from error
    except TypeError as error:
        raise BadInputError(
            f"[{where}]: expected numbers, strings, lists and tables ({error}); dates are none"
        ) from error


def check_keys(cls: type[Any], table: Mapping[str, Any], where: str) -> None:
    """Fails at the first key that the dataclass, or a dataclass in it, does not have.

    Raises:
        BadInputError: It names the key and those that are spelled alike.
    """
    types = typing.get_type_hints(cls)
    known = [entry.name for entry in dataclasses.fields(cls) if entry.init]
    for key, value in table.items():
        if key not in known:
            raise BadInputError(unknown_name(_dotted(where, key), key, known))
        inner = types[key]
        if dataclasses.is_dataclass(inner) and isinstance(inner, type) and isinstance(value, Mapping):
            check_keys(inner, value, _dotted(where, key))


def unknown_name(where: str, found: str, known: Sequence[str]) -> str:
    """One line that says that a name is unknown and which are spelled alike, or all if none is."""
    near = difflib.get_close_matches(found, known, n=3)
    advice = f"did you mean {' or '.join(near)}?" if near else f"known are {', '.join(sorted(known)) or 'none'}"
    return f"{where}: no such key; {advice}"


def _set(tables: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not equals or not all(parts):
        raise BadInputError(f"--set: expected table.key=value, found {override!r}")
    table = tables
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise BadInputError(f"--set {override}: {part} is a value, no table; name a key of a table")
    try:
        table[parts[-1]] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[parts[-1]] = text.strip()


def _first_complaint(error: Any, where: str) -> str:
    found = error.errors()
    first = found[0]
    key = ".".join([*([where] if where else []), *map(str, first["loc"])])
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    if first["type"] == "missing":
        return f"{key}: is missing; give it in the config or with --set {key}=VALUE{more}"
    reason = str(first["msg"]).removeprefix("Value error, ")
    value = "" if first["type"] == "value_error" else f", found {first['input']!r}"
    return f"{key or 'config'}: {reason[:1].lower()}{reason[1:]}{value}{more}"


def _dotted(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
