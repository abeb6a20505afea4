"""`facegraft methods`: a line for each, all of one, and errors."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="methods need the extra `train`")
pytest.importorskip("pydantic")

from facegraft.cli.main import main
from facegraft.methods._method import list_methods


def test_all_methods_have_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods"]) == 0
    out = capsys.readouterr().out.splitlines()
    facts = json.loads(out[-1])
    assert sorted(facts) == list_methods()
    assert [line.split()[0] for line in out[1:-1]] == list_methods()
    assert all(
        found["licence"] == "Apache-2.0" and found["paper"] in line
        for line, found in zip(out[1:-1], facts.values(), strict=True)
    )


def test_one_method_tells_phases_losses_and_cost(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "simswap"]) == 0
    out = capsys.readouterr().out
    assert "phase generator: trains generator; losses: adversarial x 1, identity x 20" in out
    assert "16.22 M weights" in out
    assert "CC BY-NC 4.0" in out
    assert "facegraft train configs/simswap.toml" in out


def test_weights_that_come_along_tell_what_they_have_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "fastswap"]) == 0
    lines = capsys.readouterr().out.splitlines()
    told = next(line for line in lines if line.startswith("trained: "))
    assert told.startswith("trained: fastswap-128, 25,976 images at 128 px; scores: ")
    assert "identity_cosine_dlib 0.9" in told
    assert json.loads(lines[-1])["fastswap"]["bundles"]["fastswap-128"]["images_seen"] == 25_976


def test_an_unknown_method_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["methods", "simswop"]) == 2
    assert "did you mean simswap" in capsys.readouterr().err
