"""The doctor: its tables hold what pyproject.toml declares, its last line is JSON, its code is the main job's state."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from facegraft.cli import doctor
from facegraft.cli.main import VERBS


def test_every_declared_package_is_examined(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[<>=!~\[; ]", requirement)[0] for requirement in requirements}

    extras = {extra: names(listed) for extra, listed in project["optional-dependencies"].items()}
    assert set().union(*extras.values()) == set(doctor.PARTS)
    assert {part.extra for part in doctor.PARTS.values()} == set(extras)
    for name, part in doctor.PARTS.items():
        assert name in extras[part.extra]
    assert names(project["dependencies"]) == set(doctor.MODULES) - set(doctor.PARTS)
    assert {verb for part in doctor.PARTS.values() for verb in part.verbs} <= set(VERBS)


def test_report(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "facegraft", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "Traceback" not in done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == (0 if facts["ok"] else 1)
    assert facts["ok"] is not any(lack["blocks"] for lack in facts["lacks"])
    assert set(facts["packages"]) == set(doctor.MODULES)
    assert {"provider": "CPUExecutionProvider", "error": ""}.items() <= facts["providers"][-1].items()
    assert "libx264" in facts["video"]["encoders"]
    for lack in facts["lacks"]:
        assert lack["mend"].startswith(("pip install", "facegraft "))
        assert f"mend: {lack['mend']}" in done.stdout
    for verb in VERBS:
        assert re.search(rf"(?m)^  {verb} ", done.stdout)


def test_what_is_fetched_on_request_blocks_nothing_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    lacks = list(doctor._model_lacks())
    assert [lack.mend for lack in lacks] == [
        "facegraft models fetch --teacher",
        "facegraft models fetch --recogniser",
        "facegraft models fetch --judge",
    ]
    assert not any(lack.blocks for lack in lacks)
    assert "`ingest --points mediapipe`" in lacks[0].what
    assert "people cannot be told apart" in lacks[1].what


def test_missing_assets_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRAFT_MAKEHUMAN", str(tmp_path))
    (lack,) = doctor._asset_lacks()
    assert lack.what.startswith(f"{tmp_path}: MakeHuman's assets are not here: no person can be rendered")
    assert "FACEGRAFT_MAKEHUMAN" in lack.what
    assert (lack.verbs, lack.mend, lack.blocks) == (("synth", "data"), "facegraft data assets", False)
    assert any(name == "synth" and lack.mend in text for name, text in doctor._verb_rows([lack]))
    base = tmp_path / "data" / "3dobjs" / "base.obj"
    base.parent.mkdir(parents=True)
    base.write_bytes(b"the first of them")
    (lack,) = doctor._asset_lacks()
    assert "of MakeHuman's assets are missing, first " in lack.what


def test_whole_assets_lack_nothing(makehuman: Path) -> None:
    assert list(doctor._asset_lacks()) == []


def test_a_damaged_file_of_the_teacher_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from facegraft.faces.fetch import MODELS

    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    (tmp_path / Path(MODELS[0].member).name).write_bytes(b"half a fil")
    (damaged,) = [lack for lack in doctor._model_lacks() if "damaged" in lack.what]
    assert damaged.what.startswith(f"teacher damaged ({MODELS[0].name})")
    assert not damaged.blocks


def test_networks_of_analysis_block_when_they_are_missing_or_broken(weights: Path) -> None:
    assert not any(lack.blocks for lack in doctor._model_lacks(weights))
    (weights / "detector.onnx").unlink()
    with (weights / "parser.onnx").open("ab") as file:
        file.write(b"one more")
    missing, broken = (lack for lack in doctor._model_lacks(weights) if lack.blocks)
    assert missing.what == "our own network detector is missing: no face is found"
    assert broken.what.startswith("our own network parser is broken: ")
    assert {"swap", "analyse", "ingest", "eval"} == set(missing.verbs) == set(broken.verbs)


def test_networks_that_only_measure_block_no_swap(weights: Path) -> None:
    (weights / "attributes.onnx").unlink()
    (weights / "identity.json").write_text('{"sha256": "00"}', encoding="utf-8")
    (weights / "identity.onnx").write_bytes(b"another")
    attributes, identity = (lack for lack in doctor._model_lacks(weights) if "our own" in lack.what)
    assert not (attributes.blocks)
    assert not (identity.blocks)
    assert "attributes is missing: nothing is measured after a swap" in attributes.what
    assert "identity is broken: no feature of faces to measure realism by" in identity.what
    assert set(attributes.verbs) == {"swap", "eval"}
    assert set(identity.verbs) == {"eval"}


def test_every_shipped_network_has_its_loss_and_verbs_that_exist() -> None:
    from facegraft.faces.fetch import own_networks

    assert {network.name for network in own_networks()} <= set(doctor.OWN_LOSSES)
    assert {verb for verbs, _ in doctor.OWN_LOSSES.values() for verb in verbs} <= set(VERBS)


@pytest.mark.parametrize(
    ("name", "mend", "blocks"),
    [
        ("numpy", "pip install --force-reinstall numpy", True),
        ("ai-edge-litert", "pip install 'facegraft[mediapipe]'", False),
        ("onnx", "pip install 'facegraft[recogniser]'", False),
        ("pip", "pip install 'facegraft[recogniser]'", False),
        ("pillow-heif", "pip install 'facegraft[heif]'", False),
        ("c2pa-python", "pip install 'facegraft[provenance]'", False),
    ],
)
def test_what_a_missing_package_means(name: str, mend: str, blocks: bool) -> None:
    states = dict.fromkeys(doctor.MODULES, "1.0")
    assert list(doctor.package_lacks(states)) == []
    (lack,) = doctor.package_lacks(states | {name: "missing"})
    assert (lack.mend, lack.blocks) == (mend, blocks)
    assert f"{name} missing" in lack.what


def test_a_package_that_cannot_be_imported_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.match(r"\d+\.", doctor.package_state("numpy"))
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    assert doctor.package_state("pillow-heif").startswith(("broken: ", "missing"))
    monkeypatch.setitem(doctor.MODULES, "no-such-package", "no_such_package")
    assert doctor.package_state("no-such-package") == "missing"


def test_the_report_survives_a_broken_numpy(tmp_path: Path) -> None:
    """The case that the doctor is there for: half the imports fail, and it still says which and what to do."""
    program = (
        "import sys\nfor name in ('numpy', 'onnxruntime', 'av', 'cv2'): sys.modules[name] = None\n"
        "from facegraft.cli.main import main\nsys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 1, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["packages"]["numpy"].startswith("broken: ModuleNotFoundError")
    assert facts["lacks"][0]["mend"].startswith("pip install --force-reinstall")
    assert facts["lacks"][0]["blocks"]
