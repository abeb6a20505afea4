"""The verbs train and export from end to end, with a tiny recipe in the place of a network's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("onnxscript", reason="export needs the extra `train`")

from facegraft.cli.main import main  # noqa: E402
from facegraft.cli.train import status_line  # noqa: E402
from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.train.loop import Status  # noqa: E402
from tests.train import tiny  # noqa: E402


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(sys.modules, "facegraft.train.eyes.tiny", tiny)
    path = tmp_path / "tiny.toml"
    path.write_text(tiny.CONFIG, encoding="utf-8")
    return path


def last_line(capfd: pytest.CaptureFixture[str]) -> dict[str, object]:
    return dict(json.loads(capfd.readouterr().out.splitlines()[-1]))


def test_train_then_export(config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run, file = tmp_path / "run", tmp_path / "tiny.onnx"
    command = ["train", str(config), "--run", str(run), "--device", "cpu", "--images", "24", "--set", "seed=5"]
    assert main(["export", str(run), "-o", str(file)]) == 2
    assert "no finished run" in capfd.readouterr().err
    assert main(command) == 0
    facts = last_line(capfd)
    assert (facts["images_seen"], facts["trained"]) == (24, 24)
    assert main(command) == 0
    assert capfd.readouterr().out.startswith("done: ")
    assert json.loads((run / "config.json").read_text())["seed"] == 5

    (tmp_path / "limits.md").write_text("## Limits\n\nOnly squares.", encoding="utf-8")
    command = ["export", str(run), "-o", str(file), "--half", "--notes", str(tmp_path / "limits.md")]
    assert main([*command, "--dry-run"]) == 0
    assert not file.exists()
    assert main(command) == 0
    facts = last_line(capfd)
    assert facts["bytes"] == file.stat().st_size
    card = json.loads(file.with_suffix(".json").read_text())
    assert max(card["differences"].values()) < 2e-3
    assert card["run"]["scores"] == json.loads((run / "scores.json").read_text())["scores"]
    text = file.with_suffix(".md").read_text()
    assert str(facts["sha256"]) in text
    assert "Only squares." in text


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nowhere.toml", "--run", "r"], "nowhere.toml: cannot be opened"),
        (["CONFIG", "--run", "r", "--set", "train.bacth=3"], "train.bacth: no such key; did you mean batch?"),
        (["CONFIG", "--run", "r", "--set", "oops"], "--set: expected table.key=value, found 'oops'"),
        (["CONFIG", "--run", "r", "--set", "network=tyni"], "network = 'tyni': no such key"),
        (["CONFIG", "--run", "r", "--images", "0"], "train: images: expected 1 or more, found 0"),
        (["CONFIG", "--run", "r", "--threads", "0"], "--threads: expected 1 or more, found 0"),
        (["CONFIG", "--run", "r", "--device", "tpu"], "--device: expected auto, cpu or cuda, found 'tpu'"),
        (["CONFIG", "--run", "CONFIG"], "cannot be made (not a directory)"),
    ],
)
def test_what_is_wrong_is_one_line(
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", *[str(config) if word == "CONFIG" else word for word in arguments]]) == 2
    err = capfd.readouterr().err
    assert line in err
    assert err.startswith("facegraft train: ")
    assert err.count("\n") == 1


def test_a_dry_run_prints_the_whole_config(config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["train", str(config), "--run", str(tmp_path / "run"), "--dry-run"]) == 0
    train = last_line(capfd)["train"]
    assert isinstance(train, dict)
    assert train["clip"] == 1.0
    assert not (tmp_path / "run").exists()


def test_export_wants_an_onnx_name_and_a_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "-o", "a.tflite"]) == 2
    assert "a.tflite: expected a name that ends in .onnx" in capfd.readouterr().err
    assert main(["export", str(tmp_path / "nowhere"), "-o", "a.onnx"]) == 2
    assert "no finished run" in capfd.readouterr().err


def test_a_training_keeps_freed_memory_before_it_begins(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []

    def begin(*_: object, **__: object) -> None:
        done.append("begun")
        raise BadInputError("enough")

    monkeypatch.setattr("facegraft.core.memory.keep_freed", lambda: done.append("kept"))
    monkeypatch.setattr("facegraft.train.loop.train", begin)
    assert main(["train", str(config), "--run", str(tmp_path / "run")]) == 2
    assert done == ["kept", "begun"]


def test_the_live_line_says_how_long() -> None:
    line = status_line(Status(25_000, 100_000, 120.4, 3725.0, {"wing": 0.12345, "gradient": 1.0}))
    assert line == " 25%  25,000 images  120 images/s  1:02:05 left  wing 0.1235"


def test_a_run_of_a_method_becomes_a_bundle(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the identity network that ships inside."""
    from facegraft.methods._method import build_method
    from facegraft.nn.weights import save_weights
    from tests.export.tiny import MODEL, run_facts

    run, facts = tmp_path / "run", run_facts()
    run.mkdir()
    config = {**facts["config"], "model": MODEL | {"embedding": 512}}
    save_weights(run / "weights.safetensors", build_method(config), {})
    told = {"method": "simswap", "data": facts["data"], "starts": facts["starts"]}
    result = {name: facts[name] for name in ("images_seen", "seconds", "scores")}
    for name, table in (("config", config), ("run", told), ("scores", result)):
        (run / f"{name}.json").write_text(json.dumps(table), encoding="utf-8")
    words = ["export", str(run), "--half", "-o"]
    assert main([*words, "a.onnx"]) == 2
    assert "a.onnx: expected a folder for the method's bundle" in capfd.readouterr().err
    assert main([*words, str(tmp_path / "bundle"), "--dry-run"]) == 0
    assert not (tmp_path / "bundle").exists()
    assert main([*words, str(tmp_path / "bundle")]) == 0
    told = last_line(capfd)
    card = json.loads((tmp_path / "bundle" / "card.json").read_text(encoding="utf-8"))
    assert told["files"] == card["files"]
    assert card["graphs"]["identity"]["outputs"] == {"code_0": ["b", 512]}
    assert max(card["graphs"]["identity"]["differences"].values()) < 1e-3, "it is not rounded"
    assert card["files"]["identity.onnx"]["bytes"] < 4_000_000, "half-precision numbers are stored as such"
