"""Backgrounds: finite and lit, crops where they should be, blur of the stated width, batches equal singles."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402 - torch may be missing

from facegraft.core.errors import BadInputError  # noqa: E402 - torch may be missing
from facegraft.core.image import save_frame  # noqa: E402 - torch may be missing
from facegraft.data.synth.background import background_bank, backgrounds  # noqa: E402 - torch may be missing
from facegraft.data.synth.light import LUMINANCE, environments  # noqa: E402 - torch may be missing
from facegraft.data.synth.scene import Background, sample_scene  # noqa: E402 - torch may be missing
from facegraft.data.synth.scenery import PAINTERS, disc_blur, noise  # noqa: E402 - torch may be missing

PLAIN = Background(0.0, (0.5, 0.5), 1.0, mirrored=False, blur_px=0.0, tint=(1.0, 1.0, 1.0), brightness=1.0)
LUMA = torch.tensor(LUMINANCE)


def smooth_bank(side: int = 64, count: int = 1) -> Tensor:
    """Slow waves of mean .3, different in each colour and row."""
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side),) * 2, indexing="ij")
    waves = [torch.stack([torch.sin(3 * x + i), torch.sin(4 * y + i), torch.sin(2 * x - 3 * y)]) for i in range(count)]
    return 0.3 + 0.1 * torch.stack(waves)


@pytest.mark.parametrize("name", sorted(PAINTERS))
def test_every_painter_gives_light_that_can_be_shown(name: str) -> None:
    for seed in range(4):
        picture = PAINTERS[name][0](np.random.default_rng(seed), 48)
        assert picture.shape == (48, 48, 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert picture.min() >= 0
        assert 0.003 < picture.mean() < 3
        assert picture.std() > 0.001  # never one even colour
        assert np.array_equal(picture, PAINTERS[name][0](np.random.default_rng(seed), 48))


def test_noise_falls_with_frequency() -> None:
    plane = noise(np.random.default_rng(0), 128, 1.5)
    power = np.abs(np.fft.rfft2(plane)) ** 2
    assert plane.std() == pytest.approx(1, abs=1e-3)
    assert power[4, 4] > 0
    assert power[1:8, 1:8].mean() / power[17:24, 17:24].mean() > (20 / 8) ** 3 / 3


def test_a_point_becomes_a_disc() -> None:
    picture = np.zeros((41, 41, 3), np.float32)
    picture[20, 20] = 1
    out = disc_blur(picture, 6.0)[..., 0]
    assert out.sum() == pytest.approx(1, abs=1e-4)
    assert out[20, 20] == pytest.approx(out[20, 24], rel=1e-3)
    assert out[20, 28] == pytest.approx(0, abs=1e-12)


def test_a_bank_is_level_and_the_same_for_its_seed() -> None:
    bank = background_bank(None, count=12, size_px=48, seed=3)
    assert bank.shape == (12, 3, 48, 48)
    assert torch.equal(bank, background_bank(None, count=12, size_px=48, seed=3))
    assert not torch.equal(bank, background_bank(None, count=12, size_px=48, seed=4))
    level = torch.einsum("kchw,c->k", bank, LUMA) / 48**2
    assert float(level.max()) < 0.9
    assert float((level - 0.3).abs().median()) < 0.01
    assert torch.equal(bank[:5], background_bank(None, count=5, size_px=48, seed=3))


def test_photographs_are_linear_square_and_used_again(tmp_path: Path) -> None:
    grey = np.full((60, 90, 3), 188, np.uint8)  # sRGB 188 is half the light of white
    grey[:, :45] = 137  # and 137 a quarter
    save_frame(tmp_path / "a.png", grey)
    bank = background_bank(tmp_path, count=5, size_px=24)
    assert bank.shape == (5, 3, 24, 24)
    for picture in bank:
        low, high = float(picture.min()), float(picture.max())
        assert high / low == pytest.approx(2.0, rel=0.08) or high == pytest.approx(low, rel=0.01)


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"\.jpg or \.png"):
        background_bank([tmp_path])


def test_whole_crop_is_the_picture_itself_and_mirroring_flips_it() -> None:
    bank = smooth_bank()
    out = backgrounds([PLAIN, dataclasses.replace(PLAIN, mirrored=True)], bank, 64)
    assert torch.allclose(out[0, :, 2:-2, 2:-2], bank[0, :, 2:-2, 2:-2], atol=2e-3)
    assert torch.allclose(out[1], out[0].flip(-1), atol=1e-4)


def test_crops_lie_where_their_centre_says() -> None:
    bank = smooth_bank(128)
    corner = dataclasses.replace(PLAIN, size=0.5, centre_xy=(1.0, 0.0))
    out = backgrounds([corner], bank, 64)[0]
    assert torch.allclose(out[:, 4:-4, 4:-4], bank[0, :, 4:60, 68:124], atol=3e-3)


def test_choice_runs_through_the_bank() -> None:
    bank = smooth_bank(64, 4)
    out = backgrounds([dataclasses.replace(PLAIN, choice=c) for c in (0.0, 0.3, 0.6, 1.0)], bank, 64)
    assert torch.allclose(out[:, :, 4:-4, 4:-4], bank[:, :, 4:-4, 4:-4], atol=3e-3)


@pytest.mark.parametrize("blur_px", [2.0, 6.0, 9.0])
def test_blur_has_the_stated_deviation_and_keeps_light(blur_px: float) -> None:
    bank = torch.zeros(1, 3, 128, 128)
    bank[..., 60:68, 60:68] = 1.0
    still, out = backgrounds([PLAIN, dataclasses.replace(PLAIN, blur_px=blur_px)], bank, 128)[:, 0]
    x = torch.arange(128.0)

    def variance(picture: Tensor) -> float:
        share = picture.sum(0) / picture.sum()
        return float((share * (x - (share * x).sum()) ** 2).sum())

    added = (variance(out) - variance(still)) ** 0.5
    assert added == pytest.approx(blur_px / 2, rel=0.08)  # stated at 256 px, drawn at 128
    assert float(out.sum()) == pytest.approx(float(still.sum()), rel=0.01)
    assert float(out.min()) >= 0


def test_a_batch_is_its_singles_and_size_changes_only_sharpness() -> None:
    wanted = [sample_scene(seed).background for seed in range(6)]
    bank = background_bank(None, count=8, size_px=64)
    together = backgrounds(wanted, bank, 48)
    alone = torch.cat([backgrounds([one], bank, 48) for one in wanted])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.isfinite(together).all()
    assert float(together.min()) >= 0
    small = torch.nn.functional.avg_pool2d(backgrounds(wanted, bank, 96), 2)
    assert float((small - together).abs().mean()) < 0.03 * float(together.mean()) + 0.005


def test_brightness_and_colour_follow_the_light_inside_limits() -> None:
    scenes = [sample_scene(seed, "hard light") for seed in range(60)]
    light = environments([scene.light for scene in scenes])
    out = backgrounds([PLAIN] * 60, smooth_bank(), 32, "cpu", light)
    level = out.mean((2, 3)) @ LUMA
    assert float(level.min()) > 0.03
    assert float(level.max()) < 1.0
    dark = dataclasses.replace(light, maps=light.maps * 0.1, key_colour=light.key_colour * 0.1)
    assert torch.all((backgrounds([PLAIN] * 60, smooth_bank(), 32, "cpu", dark).mean((2, 3)) @ LUMA) < level)
    red = dataclasses.replace(light, maps=light.maps * torch.tensor([2.0, 1.0, 1.0]))
    warmer = backgrounds([PLAIN] * 60, smooth_bank(), 32, "cpu", red).mean((2, 3))
    assert torch.all(warmer[:, 0] / warmer[:, 2] > (out.mean((2, 3))[:, 0] / out.mean((2, 3))[:, 2]) * 0.999)


def test_real_photographs_make_a_bank(face_data: Path) -> None:
    bank = background_bank([face_data / "backgrounds", face_data / "views"], count=6, size_px=64)
    assert torch.isfinite(bank).all()
    assert bank.shape == (6, 3, 64, 64)
    assert 0.1 < float(bank.mean()) < 0.6
