"""What tests share: where the pictures and the models are, and what happens where they are not."""

from __future__ import annotations

import json
import os
from pathlib import Path

import hypothesis
import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
"""Torch's threads spin while they wait: two test processes with two each took ten times as long as with one each."""


hypothesis.settings.register_profile("facegraft", deadline=None)  # a loaded machine is no failure
hypothesis.settings.load_profile("facegraft")


@pytest.fixture(scope="session", autouse=True)
def _no_traces(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keys and settings that a test makes stay out of the user's own; subprocesses inherit it."""
    home = tmp_path_factory.mktemp("home")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
        os.environ[name] = str(home / name.lower())


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def face_data() -> Path:
    """Real face pictures and clips, which may not be committed."""
    folder = os.environ.get("FACEGRAFT_DATA")
    if not folder:
        pytest.skip("FACEGRAFT_DATA names no folder with face pictures")
    return Path(folder)


@pytest.fixture(scope="session")
def makehuman() -> Path:
    """MakeHuman's CC0 assets, which are fetched on request and never committed."""
    folder = os.environ.get("FACEGRAFT_MAKEHUMAN")
    if not folder:
        pytest.skip("FACEGRAFT_MAKEHUMAN names no folder with MakeHuman's assets")
    return Path(folder)


@pytest.fixture(scope="session")
def face_models() -> Path:
    """The folder of the teacher's files: MediaPipe's networks. Our own are in the repository and need no fixture."""
    pytest.importorskip("ai_edge_litert", reason="the extra `mediapipe` is not installed")
    from facegraft.faces.fetch import missing_models, model_folder

    if missing_models():
        pytest.skip("the teacher is not fetched: facegraft models fetch --teacher")
    return model_folder()


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A folder with small files that their cards call our own networks, to be spoilt by a test."""
    from facegraft.core.files import sha256
    from facegraft.faces.fetch import SHIPPED

    folder = tmp_path / "weights"
    folder.mkdir()
    for name in SHIPPED:
        (folder / f"{name}.onnx").write_bytes(f"the {name}".encode())
        facts = {"sha256": sha256(folder / f"{name}.onnx")}
        (folder / f"{name}.json").write_text(json.dumps(facts), encoding="utf-8")
        (folder / f"{name}.md").write_text(f"# {name}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def recogniser() -> Path:
    """The recogniser's file."""
    from facegraft.core.errors import MissingPartError
    from facegraft.faces.fetch import recogniser_path

    try:
        return recogniser_path()
    except MissingPartError:
        pytest.skip("the recogniser is not fetched: facegraft models fetch --recogniser")


@pytest.fixture(scope="session")
def judge() -> Path:
    """The second judge's file."""
    from facegraft.faces.fetch import JUDGE, model_folder

    path = model_folder() / JUDGE
    if not path.is_file():
        pytest.skip("the second judge is not fetched: facegraft models fetch --judge")
    return path


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a tiny, untrained SimSwap; not to be changed: copy it."""
    pytest.importorskip("torch", reason="export needs the extra `train`")
    pytest.importorskip("onnxscript", reason="export needs the extra `train`")
    from tests.export.tiny import tiny_method, write_tiny

    return write_tiny(tmp_path_factory.mktemp("bundles") / "tiny", tiny_method())
