"""The calls that train and export, as a program makes them: one after the other, from a config to a swapper."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import facegraft as fg

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402


@pytest.mark.parametrize(("name", "module"), [("train", "loop"), ("export", "run")])
def test_a_package_is_the_public_call_whatever_was_imported_first(name: str, module: str) -> None:
    first = f"import facegraft.{name}.{module} as inner\n"
    for program in (f"import facegraft as fg\ncall = fg.{name}\n{first}", f"{first}import facegraft as fg\n"):
        check = f"assert callable(fg.{name}) and fg.{name}.{module} is inner and inner.{name}"
        subprocess.run([sys.executable, "-c", program + check], check=True)
    ours = inspect.signature(getattr(__import__(f"facegraft.{name}"), name).__call__).parameters
    inner = getattr(__import__(f"facegraft.{name}.{module}", fromlist=[name]), name)
    theirs = inspect.signature(inner).parameters
    kept = {key: (one.kind, one.default) for key, one in theirs.items() if key != "recipe"}
    assert {key: (one.kind, one.default) for key, one in ours.items()} == kept


def test_methods_are_listed_and_built_of_a_config(root: Path) -> None:
    assert {"simswap", "faceshifter", "ghost", "df", "liae"} <= set(fg.list_methods())
    config = fg.load_config(str(root / "configs/simswap_small.toml"), ["model.width=8"])
    method = fg.build_method(config)
    assert isinstance(method, torch.nn.Module)
    assert method.config.width == 8  # type: ignore[attr-defined]
    with pytest.raises(BadInputError, match=r"model\.wide"):
        fg.build_method(fg.load_config(root / "configs/simswap_small.toml", ["model.wide=8"]))
    with pytest.raises(BadInputError, match="names no method"):
        fg.build_method({"network": "identity"})
    with pytest.raises(BadInputError, match="simswap"):
        fg.build_method({"method": "simswop"})


def test_an_unfinished_run_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no finished run"):
        fg.export(str(tmp_path), tmp_path / "x.onnx")
    with pytest.raises(BadInputError, match=r"ends in \.onnx"):
        fg.export(tmp_path, tmp_path / "bundle")
