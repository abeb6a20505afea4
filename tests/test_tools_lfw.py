"""tools/lfw.py: reading the protocol, scores of pairs, groups. What it measures is tested in test_verification.py."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("torch")


@pytest.fixture(scope="module")
def lfw(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lfw_tool", root / "tools" / "lfw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lfw_tool"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = ["fold,same,first,second", "1,1,A_0001.jpg,A_0002.jpg", "1,0,A_0001.jpg,B_0001.jpg"]
    rows += ["2,1,B_0001.jpg,B_0002.jpg", "2,0,B_0002.jpg,A_0002.jpg"]
    (tmp_path / "lfw_pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return tmp_path


def test_pairs_are_read_as_positions(lfw: ModuleType, folder: Path) -> None:
    pairs = lfw.read_pairs(folder / "lfw_pairs.csv")
    assert pairs.names == ["A_0001.jpg", "A_0002.jpg", "B_0001.jpg", "B_0002.jpg"]
    assert pairs.first.tolist() == [0, 0, 2, 3]
    assert pairs.second.tolist() == [1, 2, 3, 1]
    assert pairs.same.tolist() == [True, False, True, False]
    assert pairs.folds.tolist() == [1, 1, 2, 2]


def test_unit_vectors_are_compared_by_cosine_and_others_by_distance(lfw: ModuleType, folder: Path) -> None:
    pairs = lfw.read_pairs(folder / "lfw_pairs.csv")
    angles = np.array([[0.0, 0.2], [0.1, 0.3], [1.0, 1.2], [1.4, 1.2]])
    vectors = np.stack([np.cos(angles), np.sin(angles)], axis=2)
    plain = lfw.scores_of(vectors, pairs, mirrored=False)
    np.testing.assert_allclose(plain, np.cos([0.1, 1.0, 0.4, 1.3]))
    both = lfw.scores_of(vectors, pairs, mirrored=True)
    np.testing.assert_allclose(both, np.cos([0.1, 1.0, 0.2, 1.1]))
    far = lfw.scores_of(2 * vectors, pairs, mirrored=False)
    np.testing.assert_allclose(far, -4 * np.sin(np.array([0.1, 1.0, 0.4, 1.3]) / 2))


def test_groups_hold_pairs_whose_sides_agree(lfw: ModuleType, folder: Path) -> None:
    pairs = lfw.read_pairs(folder / "lfw_pairs.csv")
    labels = folder / "labels.csv"
    labels.write_text("person,age\nA,young\nB,old\nB_0002.jpg,young\n", encoding="utf-8")
    faces = {
        "pose_degrees": np.array([[0, 0, 0], [20, 0, 0], [-10, 0, 0], [-40, 0, 0]], np.float32),
        "tone": np.array([60.0, 60, 0, 0]),
    }
    found = dict(lfw.groups(pairs, faces, labels))
    assert found["age: young"].tolist() == [True, False, False, True]
    assert "age: old" in found
    assert not found["age: old"].any()
    assert found["yaw 15 to 30 degrees"].tolist() == [True, False, False, False]
    assert found["yaw 30 to 90 degrees"].tolist() == [False, False, True, True]
    assert found["photographed tone: very light"].tolist() == [True, False, False, False]


def test_labels_may_be_of_first_names(lfw: ModuleType, folder: Path, root: Path) -> None:
    rows = ["fold,same,first,second", "1,1,Ann_B_0001.jpg,Ann_C_0001.jpg", "1,0,Ann_B_0001.jpg,Bob_0001.jpg"]
    (folder / "lfw_pairs.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    pairs = lfw.read_pairs(folder / "lfw_pairs.csv")
    faces = {"pose_degrees": np.zeros((3, 3), np.float32), "tone": np.zeros(3)}
    found = dict(lfw.groups(pairs, faces, root / "tools" / "lfw_first_names.csv"))
    assert found["by first name: women"].tolist() == [True, False]
    assert found["by first name: men"].tolist() == [False, False]
