"""Runs that begin from bundles: the weights are those of the files, and what does not fit is told."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("onnx")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.export.bundle import write_bundle  # noqa: E402
from facegraft.faces.fetch import WEIGHTS  # noqa: E402
from facegraft.methods._method import build_method  # noqa: E402
from facegraft.tensors import Aligned  # noqa: E402
from facegraft.train.begin import begin_from, bundle_folder  # noqa: E402
from tests.export.tiny import run_facts, tiny_method, write_tiny  # noqa: E402
from tests.methods.contract import tiny_frozen  # noqa: E402

FASTSWAP = {"method": "fastswap", "model": {"size_px": 32, "width": 4}}


def test_the_bundle_that_ships_can_be_trained_on() -> None:
    """Its graph in ONNX Runtime and the method filled from it draw the same picture."""
    import onnxruntime

    method = build_method({"method": "fastswap", "model": {"size_px": 128, "width": 12, "pose_code": 192}}).eval()
    before = {name: tensor.clone() for name, tensor in method.state_dict().items()}
    begin_from(method, "fastswap-128")
    same = {name for name, tensor in method.state_dict().items() if torch.equal(tensor, before[name])}
    assert same
    assert all(name.startswith("discriminator") for name in same)
    images = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        code = method.encode_identity(Aligned(images[:1]), tiny_frozen())
        found = method.swap(Aligned(images[1:]), code)
    session = onnxruntime.InferenceSession(WEIGHTS / "fastswap-128" / "swap.onnx", providers=["CPUExecutionProvider"])
    given = {"attribute": images[1:].numpy()} | {f"code_{n}": part.numpy() for n, part in enumerate(code)}
    image, mask = session.run(None, given)
    torch.testing.assert_close(found.image, torch.from_numpy(image), atol=2e-3, rtol=0)
    torch.testing.assert_close(found.mask, torch.from_numpy(mask), atol=2e-3, rtol=0)


def test_a_bundles_folder_does_as_well(tmp_path: Path) -> None:
    first, second = (build_method(FASTSWAP) for _ in range(2))
    write_bundle(tmp_path / "tiny", first, tiny_frozen(), run_facts(config=FASTSWAP))
    begin_from(second, str(tmp_path / "tiny"))
    theirs = first.state_dict()
    taken = {name for name, tensor in second.state_dict().items() if torch.equal(tensor, theirs[name])}
    assert {name for name in theirs if name.startswith("generator")} <= taken
    assert not taken >= {*theirs}


def test_what_is_no_bundle_of_the_method_is_told(tmp_path: Path) -> None:
    other, folder = build_method(FASTSWAP), write_tiny(tmp_path / "tiny", tiny_method())
    with pytest.raises(BadInputError, match=r"tiny is a bundle of simswap, expected one of fastswap"):
        begin_from(other, str(folder))
    with pytest.raises(BadInputError, match="nowhere"):
        begin_from(other, "nowhere")
    assert bundle_folder("nowhere") is None
    assert bundle_folder(str(folder)) == folder


def test_weights_that_export_put_together_are_told(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    write_bundle(folder, build_method(FASTSWAP), tiny_frozen(), run_facts(config=FASTSWAP))
    for layer in (torch.nn.BatchNorm2d(3, affine=False), torch.nn.Linear(2, 2)):
        method = build_method(FASTSWAP)
        method.generator.add_module("late", layer)
        with pytest.raises(BadInputError, match=r"tiny does not hold generator\.late.*weights\.safetensors"):
            begin_from(method, str(folder))
