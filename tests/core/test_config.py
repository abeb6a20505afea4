"""Configs: TOML and `--set` become dataclasses, and everything odd is one line that names its key."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

pytest.importorskip("pydantic", reason="configs need the extra `train`")

from facegraft.core.config import fill, load_config
from facegraft.core.errors import BadInputError


@dataclass(frozen=True)
class Inner:
    width: int = 8
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width: expected 1 or more, found {self.width}")


@dataclass(frozen=True)
class Outer:
    rate: float
    inner: Inner = field(default_factory=Inner)
    name: str = ""


def test_whole_numbers_do_for_floats_and_lists_for_tuples() -> None:
    filled = fill(Outer, {"rate": 1, "inner": {"betas": [0, 0.5]}}, "")
    assert filled == Outer(1.0, Inner(8, (0.0, 0.5)), "")
    assert isinstance(filled.rate, float)
    assert isinstance(filled.inner.betas[0], float)


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({"rate": 1, "nmae": ""}, "run.nmae: no such key; did you mean name?"),
        ({"rate": 1, "inner": {"zoo": 3}}, "run.inner.zoo: no such key; known are betas, width"),
        ({"rate": "1"}, "run.rate: input should be a valid number, found '1'"),
        ({"rate": True}, "run.rate: input should be a valid number, found True"),
        ({"rate": 1, "inner": {"width": 1.5}}, "run.inner.width: input should be a valid integer"),
        ({"rate": 1, "inner": 3}, "run.inner: input should be an object, found 3"),
        ({"rate": 1, "inner": {"width": 0}}, "run.inner: width: expected 1 or more, found 0"),
        ({}, "run.rate: is missing; give it in the config or with --set run.rate=VALUE"),
    ],
)
def test_what_does_not_fit_is_one_line(table: dict[str, object], line: str) -> None:
    with pytest.raises(BadInputError) as error:
        fill(Outer, table, "run")
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_single_keys_are_replaced_with_values_as_toml_has_them(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("seed = 1\n[train]\nbatch = 4\n", encoding="utf-8")
    overrides = ["train.batch=8", "train.lr=2e-3", "data.path=some folder", "data.sizes=[1, 2]", "train.fast=true"]
    expected = {"batch": 8, "lr": 0.002, "fast": True}
    assert load_config(path, overrides) == {
        "seed": 1,
        "train": expected,
        "data": {"path": "some folder", "sizes": [1, 2]},
    }


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.batch", "--set: expected table.key=value, found 'train.batch'"),
        ("=3", "--set: expected table.key=value, found '=3'"),
        ("seed.a=3", "--set seed.a=3: seed is a value, no table"),
    ],
)
def test_an_odd_override_is_one_line(tmp_path: Path, override: str, line: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text("seed = 1\n", encoding="utf-8")
    with pytest.raises(BadInputError) as error:
        load_config(path, [override])
    assert str(error.value).startswith(line)


@pytest.mark.parametrize("content", [b"seed = = 1", b"\xff\xfe", b"[a]\n[a]\n"])
def test_what_is_no_toml_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=r"a\.toml: expected a config in TOML \("):
        load_config(path)
    with pytest.raises(BadInputError, match="cannot be opened"):
        load_config(tmp_path / "b.toml")
