"""The parser's classes cover all regions, and its graph gives what its training sees."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.config import fill  # noqa: E402
from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.frozen.parser import (  # noqa: E402
    CLASS_OF_REGION,
    CLASSES,
    INNER_REGIONS,
    SIZE_PX,
    Parser,
    ParserConfig,
    load,
)
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.weights import save_weights  # noqa: E402

TINY = ParserConfig(widths=(8, 8, 8, 8, 8), depths=(1, 1, 1, 1, 1), expansion=2)


def tiny(seed: int = 0) -> Parser:
    torch.manual_seed(seed)
    return Parser(TINY).eval()


def crops(count: int = 2, side: int = 64) -> torch.Tensor:
    return torch.rand((count, 3, side, side), generator=torch.Generator().manual_seed(1))


def test_every_region_has_a_class_and_every_class_a_region() -> None:
    assert set(CLASS_OF_REGION) == set(REGIONS)
    assert set(CLASS_OF_REGION.values()) == set(CLASSES)
    assert len(CLASSES) == len(set(CLASSES)) == 14


def test_the_inner_face_is_made_of_inner_classes_only() -> None:
    assert set(REGIONS) >= INNER_REGIONS
    inner = {CLASS_OF_REGION[name] for name in INNER_REGIONS}
    assert inner == {"skin", "brow", "eye", "lip", "mouth", "nose"}
    outer = {CLASS_OF_REGION[name] for name in set(REGIONS) - INNER_REGIONS}
    assert inner & outer == {"skin"}  # the scalp


def test_the_usual_size_keeps_its_budget() -> None:
    net = Parser(ParserConfig()).eval()
    assert count_parameters(net) <= 900_000
    with torch.no_grad():
        labels, visible = net(torch.zeros(1, 3, SIZE_PX, SIZE_PX))
    assert labels.shape == (1, 14, SIZE_PX, SIZE_PX)
    assert visible.shape == (1, 1, SIZE_PX, SIZE_PX)


@torch.no_grad()
def test_answers_are_softmax_and_sigmoid_of_the_logits() -> None:
    net = tiny()
    net.out.weight.mul_(400)  # sharp answers, or anything would pass
    labels, visible = net(crops())
    raw, raw_visible = net.logits(crops())
    assert float(raw.max() - raw.min()) > 5
    torch.testing.assert_close(labels, raw.softmax(1), atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(visible, raw_visible.sigmoid())


@torch.no_grad()
def test_huge_logits_stay_numbers() -> None:
    net = tiny()
    net.out.weight.mul_(1e6)
    labels, visible = net(crops())
    assert labels.isfinite().all()
    assert visible.isfinite().all()
    torch.testing.assert_close(labels.sum(1), torch.ones(2, 64, 64))


@torch.no_grad()
def test_a_batch_is_treated_as_its_pictures() -> None:
    net, images = tiny(), crops(3, 96)
    together = net(images)
    for row in range(3):
        for whole, alone in zip(together, net(images[row : row + 1]), strict=True):
            torch.testing.assert_close(whole[row : row + 1], alone, atol=1e-6, rtol=1e-4)


def test_weights_survive_a_file(tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", tiny(3), {})
    read = load(tmp_path / "w.safetensors", TINY)
    assert not read.training
    with torch.no_grad():
        assert torch.equal(read(crops())[0], tiny(3)(crops())[0])
    with pytest.raises(BadInputError, match=r"another network|expected"):
        load(tmp_path / "w.safetensors")


@torch.no_grad()
def test_the_onnx_graph_gives_the_same_for_any_batch(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    from facegraft.export.to_onnx import Ports, export_onnx
    from facegraft.train.eyes.parser import RECIPE

    net = tiny()
    ports = Ports(RECIPE.input_names, RECIPE.output_names, RECIPE.dynamic_axes)
    export_onnx(net, (crops(1),), tmp_path / "p.onnx", ports=ports)
    session = onnxruntime.InferenceSession(str(tmp_path / "p.onnx"), providers=["CPUExecutionProvider"])
    for count in (1, 3):
        found = session.run(["labels", "visible"], {"crop": crops(count).numpy()})
        for ours, theirs in zip(net(crops(count)), found, strict=True):
            torch.testing.assert_close(ours, torch.from_numpy(theirs), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    "table",
    [{"widths": [8, 8]}, {"depths": [1, 1, 1, 1, 0]}, {"coarse_kernel": 4}, {"width": 8}],
)
def test_wrong_sizes_are_told(table: dict[str, object]) -> None:
    with pytest.raises(BadInputError, match="model"):
        fill(ParserConfig, table, "model")
