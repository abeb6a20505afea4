"""The benchmark of training speed: parts add up, and work is counted."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("pydantic")

from tests.data.small_sets import small_set  # noqa: E402

SMALLER = ["model.width=4", "model.identity_blocks=1", "train.batch=2", "data.val_share=0.3", "data.exact_share=0.0"]


@pytest.fixture(scope="module")
def speed(root: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("method_speed", root / "benchmarks" / "method_speed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_parts_add_up_and_work_is_counted(speed: ModuleType, tmp_path: Path) -> None:
    small_set(tmp_path / "faces", people=12, photos=2, size_px=32)
    device = torch.device("cpu")
    found = speed.measure("simswap_small", [str(tmp_path / "faces")], 2, device, SMALLER)
    assert set(found["ms_per_image"]) == {"batch", "discriminator", "generator"}
    assert 1000 / sum(found["ms_per_image"].values()) == pytest.approx(found["images_per_s"], rel=0.02)
    # The recogniser looks at each identity once and, forward and back, at each result: .17 G multiply-adds a look.
    assert 2 * 0.17 * 3 < found["gflop_per_image"] < 2 * 0.17 * 5
    assert speed.peak_gflops(device, torch.float32) > 1


@pytest.mark.parametrize(("groups", "transposed"), [(1, False), (8, False), (1, True), (4, True)])
def test_the_way_back_is_twice_the_way_there(speed: ModuleType, *, groups: int, transposed: bool) -> None:
    """Depthwise too, where torch's own count is as many times too high as there are groups."""
    kind = torch.nn.ConvTranspose2d if transposed else torch.nn.Conv2d
    layer = kind(8, 16, 3, stride=2, padding=1, groups=groups, bias=False)
    counts = []
    for pictures_too in (True, False):
        images = torch.randn(2, 8, 12, 12, requires_grad=pictures_too)
        with speed.FlopCounterMode(display=False, custom_mapping=speed.COUNTS) as there:
            answer = layer(images)
        with speed.FlopCounterMode(display=False, custom_mapping=speed.COUNTS) as back:
            answer.sum().backward()
        counts.append((there.get_total_flops(), back.get_total_flops()))
    assert counts[0][1] == 2 * counts[0][0]
    assert counts[1][1] == counts[1][0] == counts[0][0]
