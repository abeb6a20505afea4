"""Bundles: the graphs do what the method does, the cards say what they must, and half a bundle is never left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs the extra `train`")
pytest.importorskip("onnxscript", reason="export needs the extra `train`")

import onnx  # noqa: E402

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.files import sha256  # noqa: E402
from facegraft.export.bundle import add_scores, write_bundle  # noqa: E402
from facegraft.export.compare import check_differences, open_session  # noqa: E402
from facegraft.methods._method import Method  # noqa: E402
from facegraft.tensors import Aligned, IdentityCode, Swap  # noqa: E402
from tests.export.tiny import run_facts, tiny_method, write_tiny  # noqa: E402
from tests.methods.contract import tiny_batch, tiny_frozen  # noqa: E402


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("half") / "tiny", tiny_method(), half=True, notes="## Limits\n\nTiny.")


def card_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "card.json").read_text(encoding="utf-8")))


def test_both_graphs_do_what_the_method_does(tiny_bundle: Path) -> None:
    """Of five pictures, where three were the most that the exporter saw."""
    method, batch = tiny_method().eval(), tiny_batch(count=5, seed=3)
    with torch.no_grad():
        code = method.encode_identity(batch.identity, tiny_frozen())
        expected = method.swap(batch.attribute, code)
    (found,) = open_session(tiny_bundle / "identity.onnx", 1).run(None, {"identity": batch.identity.image.numpy()})
    np.testing.assert_allclose(found, code[0].numpy(), atol=1e-3)
    feeds = {"attribute": batch.attribute.image.numpy(), "code_0": found}
    image, mask = open_session(tiny_bundle / "swap.onnx", 1).run(["image", "mask"], feeds)
    np.testing.assert_allclose(image, expected.image.numpy(), atol=1e-3)
    np.testing.assert_array_equal(mask, expected.mask.numpy())


def test_the_card_says_what_the_runtime_and_people_need(tiny_bundle: Path, half: Path) -> None:
    for folder, weights in ((tiny_bundle, "float32"), (half, "float16")):
        card, text = card_of(folder), (folder / "CARD.md").read_text(encoding="utf-8")
        assert {path.name for path in folder.iterdir()} == {"identity.onnx", "swap.onnx", "card.json", "CARD.md"}
        assert (card["method"], card["size_px"], card["alignment"]) == ("simswap", 32, "arcface_112_v1")
        assert card["blend"] == "visible"
        assert card["weights"] == weights
        assert card["run"]["starts"][0]["commit"] == "0123abc"
        for name in ("identity.onnx", "swap.onnx"):
            assert card["files"][name] == {
                "sha256": sha256(folder / name),
                "bytes": (folder / name).stat().st_size,
            }
            assert card["files"][name]["sha256"] in text
        assert card["graphs"]["swap"]["inputs"] == {"attribute": ["b", 3, 32, 32], "code_0": ["b", 16]}
        assert card["graphs"]["swap"]["outputs"] == {"image": ["b", 3, 32, 32], "mask": ["b", 1, 32, 32]}
        largest = max(gap for graph in card["graphs"].values() for gap in graph["differences"].values())
        assert largest < (2e-2 if weights == "float16" else 1e-3)
        for words in (
            "arXiv:2106.06340",
            "9 CC0-1.0",
            "getting around an identity check",
            "| loss | 0.5 |",
            "64 images",
        ):
            assert words in text
    assert "Tiny." in (half / "CARD.md").read_text(encoding="utf-8")


def test_half_rounds_the_method_and_not_the_frozen_network(half: Path) -> None:
    """And discriminators are in neither file."""
    kinds: dict[str, set[int]] = {}
    for name in ("identity", "swap"):
        large = [one for one in onnx.load(half / f"{name}.onnx").graph.initializer if np.prod(one.dims) >= 64]
        kinds[name] = {one.data_type for one in large} & {onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16}
        assert not [one.name for one in large if "discriminator" in one.name]
    assert kinds == {"identity": {onnx.TensorProto.FLOAT}, "swap": {onnx.TensorProto.FLOAT16}}
    assert b"discriminator" not in (half / "swap.onnx").read_bytes()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"data": {}}, "data (no dataset"),
        ({"data": {"path.0": {"name": "faces", "licences": {}}}}, "data.path.0.licences"),
        ({"starts": []}, "starts"),
        ({"config": {"method": "simswap"}}, "config.model"),
    ],
)
def test_without_its_facts_nothing_is_written(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="facts of the run") as error:
        write_bundle(tmp_path / "b", tiny_method(), tiny_frozen(), run_facts(**changes))
    assert says in str(error.value)
    assert list(tmp_path.iterdir()) == []
    facts = run_facts()
    del facts["images_seen"]
    with pytest.raises(BadInputError, match="images_seen"):
        write_bundle(tmp_path / "b", tiny_method(), tiny_frozen(), facts)


class Stubborn(Method):
    """Cannot be written as a graph."""

    card = tiny_method().card

    def __init__(self) -> None:
        super().__init__()
        self.config = tiny_method().config

    def training_step(self, phase: str, batch: Any, frozen: Any) -> dict[str, Any]:
        return {}

    def encode_identity(self, identity: Aligned, frozen: Any) -> IdentityCode:
        return (identity.image.mean((2, 3)),)

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        image = attribute.image if float(attribute.image.sum()) > 0 else -attribute.image
        return Swap(image, torch.ones_like(image[:, :1]))


class Forgetful(Stubborn):
    """Keeps nothing of a person, as methods of one pair do."""

    def encode_identity(self, identity: Aligned, frozen: Any) -> IdentityCode:
        return ()

    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        return Swap(-attribute.image, torch.sigmoid(attribute.image[:, :1]))


def test_what_fails_leaves_the_earlier_bundle_whole(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(tiny_bundle, folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(BadInputError, match="torch cannot write this network"):
        write_tiny(folder, Stubborn())
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert list(tmp_path.iterdir()) == [folder]


def test_a_method_that_keeps_nothing_of_a_person_has_one_graph(tiny_bundle: Path, tmp_path: Path) -> None:
    """It takes the place of an earlier bundle."""
    folder = tmp_path / "b"
    shutil.copytree(tiny_bundle, folder)
    write_tiny(folder, Forgetful())
    assert list(tmp_path.iterdir()) == [folder]
    assert sorted(path.name for path in folder.iterdir()) == ["CARD.md", "card.json", "swap.onnx"]
    picture = np.full((2, 3, 32, 32), 0.5, np.float32)
    image, mask = open_session(folder / "swap.onnx", 1).run(["image", "mask"], {"attribute": picture})
    np.testing.assert_allclose(image, -picture)
    np.testing.assert_allclose(mask, 1 / (1 + np.exp(-0.5)) * np.ones((2, 1, 32, 32)), atol=1e-6)


def test_a_folder_of_something_else_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"dear")
    (tmp_path / "file").write_bytes(b"dear")
    for name, says in (("photos", "no bundle"), ("file", "found a file")):
        with pytest.raises(BadInputError, match=says):
            write_tiny(tmp_path / name, tiny_method())
    assert (tmp_path / "photos" / "a.jpg").read_bytes() == (tmp_path / "file").read_bytes() == b"dear"


def test_scores_are_added_later(tiny_bundle: Path, tmp_path: Path) -> None:
    folder = tmp_path / "b"
    shutil.copytree(tiny_bundle, folder)
    add_scores(folder, {"identity_cosine": 0.4321})
    assert card_of(folder) == card_of(tiny_bundle) | {"scores": {"identity_cosine": 0.4321}}
    assert "| identity_cosine | 0.4321 |" in (folder / "CARD.md").read_text(encoding="utf-8")
    with pytest.raises(BadInputError, match="expected a bundle"):
        add_scores(tmp_path, {})


def test_a_graph_that_differs_is_taken_away_again(tmp_path: Path) -> None:
    path, net = tmp_path / "net.onnx", torch.nn.Identity()
    path.write_bytes(b"a graph")
    sample = (torch.full((1, 3), 10.0),)
    check_differences(net, [sample], {"out": 0.009}, path, half=False)
    check_differences(net, [sample], {"out": 0.15}, path, half=True)
    assert path.exists()
    with pytest.raises(BadInputError, match=r"out differs from torch by 0\.011, at most 0\.01"):
        check_differences(net, [sample], {"out": 0.011}, path, half=False)
    assert not path.exists()
