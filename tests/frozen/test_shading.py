"""The network that tells light from skin: its size, what it says untrained, and its bounds."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.faces.analyse import LIT_MARGIN  # noqa: E402
from facegraft.faces.own import LIT_SIDE  # noqa: E402
from facegraft.frozen.shading import CROP_MARGIN, MOST, SIZE_PX, Shading, ShadingConfig, load  # noqa: E402
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.weights import save_weights  # noqa: E402


def test_untrained_it_changes_nothing_and_trained_it_stays_within_bounds() -> None:
    torch.manual_seed(0)
    net = Shading(ShadingConfig()).eval().requires_grad_(requires_grad=False)
    crop = torch.rand(2, 3, SIZE_PX, SIZE_PX)
    assert float(net(crop).abs().max()) == 0
    assert net(crop).shape == (2, 3, SIZE_PX // 2, SIZE_PX // 2)
    torch.nn.init.normal_(net.out.weight, std=100)
    assert MOST / 2 < float(net(crop).abs().max()) <= MOST


def test_it_is_small_and_its_crop_is_the_one_that_analysis_cuts() -> None:
    assert count_parameters(Shading(ShadingConfig())) < 400_000
    assert (SIZE_PX, CROP_MARGIN) == (LIT_SIDE, LIT_MARGIN)
    with pytest.raises(ValueError, match="widths: expected two or more"):
        ShadingConfig(widths=(8,))


def test_weights_come_back(tmp_path: Path) -> None:
    config = ShadingConfig(widths=(4, 6))
    torch.manual_seed(1)
    net = Shading(config).eval()
    torch.nn.init.normal_(net.out.weight)
    save_weights(tmp_path / "w.safetensors", net, {})
    crop = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(load(tmp_path / "w.safetensors", config)(crop), net(crop))
    with pytest.raises(BadInputError):
        load(tmp_path / "w.safetensors")
