"""Light: energy is kept, directions are right, the exposure holds, harmonics agree with numeric integration."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402 - torch may be missing
from facegraft.data.synth.lamps import KINDS, Light, Lobe, sample_light, warmth  # noqa: E402 - torch may be missing
from facegraft.data.synth.light import (  # noqa: E402 - torch may be missing
    FRONTAL_NORMALS,
    LUMINANCE,
    Environments,
    behind,
    environments,
    harmonic_basis,
    harmonic_irradiance,
    harmonics,
    irradiance,
    light_bank,
    read_hdr,
    shrunk,
    sphere,
    take_key,
    towards,
)

FRONT, LUMA = torch.tensor(FRONTAL_NORMALS), torch.tensor(LUMINANCE)


def even_light(level: float = 1.0, key: float = 0.0) -> Light:
    grey = (level,) * 3
    return Light("studio", grey, grey, (), 0.0, 0.0, 10.0, (key,) * 3, -1.0, 0.0, 0.0, 1.0)


def energy(radiance: np.ndarray) -> np.ndarray:
    weights = sphere(*radiance.shape[:2])[1].double().numpy()
    return np.asarray((radiance * weights[..., None]).sum((0, 1)))


def sun_map(rows: int = 64, azimuth: float = 50.0, elevation: float = 35.0, size: float = 8.0) -> np.ndarray:
    """A disc of 100 on an even sky of .5."""
    directions = sphere(rows, 2 * rows)[0].numpy()
    disc = directions @ np.array(towards(azimuth, elevation)) > math.cos(math.radians(size / 2))
    return np.where(disc[..., None], np.array([100.0, 90.0, 60.0]), 0.5).astype(np.float32)


def test_solid_angles_cover_the_sphere_and_directions_point_where_the_contract_says() -> None:
    directions, weights = sphere(16, 32)
    assert float(weights.sum()) == pytest.approx(4 * math.pi, rel=1e-5)
    assert directions[0, 0, 1] > 0.99  # row 0 is up
    assert directions[8, 15:17, 2].min() > 0.98  # the middle looks to the camera
    assert directions[8, 24, 0] > 0.98  # then the frame's right
    assert torch.allclose(directions.norm(dim=-1), torch.ones(16, 32), atol=1e-5)


def test_an_even_sphere_gives_irradiance_one_everywhere() -> None:
    light = environments([even_light(0.3)])
    normals = torch.nn.functional.normalize(torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    assert torch.allclose(light.maps, torch.ones_like(light.maps), atol=0.01)
    assert torch.allclose(irradiance(light, normals), torch.ones(1, 20, 3), atol=0.02)
    assert torch.allclose(behind(light), torch.ones(1, 3), atol=0.02)


def test_automatic_exposure_then_jitter() -> None:
    rng = np.random.default_rng(0)
    lights = [sample_light(rng) for _ in range(120)]
    out = environments(lights)
    front = irradiance(out, FRONT).mean(1) @ LUMA / torch.tensor([light.exposure for light in lights])
    held_back = out.key_colour @ LUMA / torch.tensor([light.exposure for light in lights]) > 5.99
    assert torch.allclose(front[~held_back], torch.ones(int((~held_back).sum())), atol=1e-3)
    assert 1 <= int(held_back.sum()) < 20
    assert float(front.max()) < 1.001
    assert float((out.key_colour @ LUMA).max()) < 6 * 2.2
    ordinary = [light.exposure for light in lights if light.kind != "backlit"]
    assert np.log(ordinary).std() == pytest.approx(0.22, abs=0.05)


def test_every_kind_is_drawn_and_finite_and_batches_equal_singles() -> None:
    rng = np.random.default_rng(1)
    lights = [sample_light(rng) for _ in range(150)]
    assert {light.kind for light in lights} == set(KINDS)
    out = environments(lights)
    for part in (out.maps, out.key_direction, out.key_colour, out.key_size_degrees):
        assert torch.isfinite(part).all()
    assert out.maps.min() >= 0
    assert out.key_colour.min() >= 0
    assert out.key_size_degrees.min() >= 1
    assert out.key_size_degrees.max() <= 30
    alone = environments(lights[7:8])
    assert torch.allclose(alone.maps[0], out.maps[7], atol=1e-5)
    assert torch.equal(alone.key_colour[0], out.key_colour[7])


def test_backlit_comes_from_behind_and_flash_from_the_camera() -> None:
    rng = np.random.default_rng(2)
    lights = [sample_light(rng, "hard light") for _ in range(200)]
    direction = environments(lights).key_direction
    for kind, low, high in (("backlit", -1.0, -0.3), ("flash", 0.9, 1.0)):
        z = direction[[i for i, light in enumerate(lights) if light.kind == kind], 2]
        assert len(z) > 3
        assert z.min() >= low
        assert z.max() <= high


def test_a_lobe_lands_where_its_angles_say() -> None:
    lobe = Lobe(90.0, 0.0, (1.0, 0.5, 0.25), 20.0)
    light = Light("studio", (0.0,) * 3, (0.0,) * 3, (lobe,), 0.0, 0.0, 10.0, (0.1,) * 3, -1.0, 0.0, 0.0, 1.0)
    maps = environments([light]).maps[0]
    row, column = divmod(int(maps[..., 0].argmax()), 32)
    assert row in (7, 8)
    assert column in (23, 24)
    red, green, blue = maps[row, column].tolist()
    assert 0.5 < green / red < 0.8  # the camera's white balance takes part of the colour back
    assert blue / green == pytest.approx(green / red, abs=0.15)


def test_warmth_is_warm_when_low_and_keeps_luminance() -> None:
    warm, cold = warmth(2700.0, 0.7), warmth(9000.0, 0.7)
    assert warm[0] > warm[1] > warm[2]
    assert cold[0] < cold[1] < cold[2]
    assert np.array(warm) @ LUMINANCE == pytest.approx(0.7) == np.array(cold) @ LUMINANCE


def test_harmonics_equal_numeric_integration() -> None:
    lights = [sample_light(np.random.default_rng(seed)) for seed in range(6)]
    light = environments(lights)
    directions, weights = sphere(16, 32)
    expected = np.zeros((6, 9, 3))
    for i in range(16):
        for j in range(32):
            x, y, z = (float(v) for v in directions[i, j])
            basis = [0.282095, 0.488603 * y, 0.488603 * z, 0.488603 * x, 1.092548 * x * y, 1.092548 * y * z]
            basis += [0.315392 * (3 * z * z - 1), 1.092548 * x * z, 0.546274 * (x * x - y * y)]
            expected += np.array(basis)[:, None] * light.maps[:, i, j, None].numpy() * float(weights[i, j])
    assert harmonics(light, with_key=False).numpy() == pytest.approx(expected, abs=2e-4)


def test_the_harmonic_basis_is_orthonormal() -> None:
    directions, weights = sphere(64, 128)
    basis = harmonic_basis(directions.reshape(-1, 3))
    assert torch.allclose(basis.T @ (basis * weights.reshape(-1, 1)), torch.eye(9), atol=2e-3)


def test_irradiance_from_harmonics_agrees_with_the_map() -> None:
    lights = [sample_light(np.random.default_rng(seed), "ordinary") for seed in range(8)]
    light = environments(lights)
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    without = Environments(light.maps, light.key_direction, light.key_colour * 0, light.key_size_degrees)
    exact, fitted = irradiance(without, normals), harmonic_irradiance(harmonics(without), normals)
    assert float((exact - fitted).abs().max()) < 0.06 * float(exact.max())
    key_only = Environments(light.maps * 0, light.key_direction, light.key_colour, light.key_size_degrees)
    ahead = harmonic_irradiance(harmonics(key_only), light.key_direction[:1])[0, 0] / light.key_colour[0]
    assert ahead.numpy() == pytest.approx([1.0625] * 3, abs=1e-3)  # 1/4 + 1/2 + 5/16: the point's second-order image


@pytest.mark.parametrize("rows", [128, 96])
def test_shrinking_keeps_all_light(rows: int) -> None:
    fine = np.random.default_rng(0).exponential(1.0, (rows, 2 * rows, 3)).astype(np.float32)
    fine[rows // 5, 17] = 5000
    assert energy(shrunk(fine, 16, 32)) == pytest.approx(energy(fine), rel=1e-4)


def test_taking_the_key_keeps_all_light_and_finds_the_lamp() -> None:
    fine = sun_map()
    rest, direction, colour, size = take_key(fine)
    assert energy(rest) + math.pi * colour == pytest.approx(energy(fine), rel=1e-5)
    assert direction @ np.array(towards(50.0, 35.0)) > math.cos(math.radians(1.5))
    assert size == pytest.approx(8, abs=1.5)
    assert rest.max() < 0.51
    assert colour[0] > colour[1] > colour[2] > 0


def test_a_map_without_a_lamp_gives_a_dark_key() -> None:
    rest, _, colour, size = take_key(np.full((32, 64, 3), 0.7, np.float32))
    assert colour == pytest.approx([0, 0, 0], abs=1e-6)
    assert size == 30
    assert np.ptp(rest) == 0


def test_a_bank_is_turned_with_map_and_key_together(tmp_path: Path) -> None:
    """A sun left in the map by a wrong turn would show: the picture of a turned sun must be the turned picture."""
    write_hdr(tmp_path / "sun.hdr", sun_map(azimuth=0.0, elevation=20.0)[:, ::-1])
    bank = light_bank(tmp_path)
    still, turned = (
        Light("studio", (0.1,) * 3, (0.1,) * 3, (), 0.0, 0.0, 10.0, (1.0,) * 3, 0.0, turn, 0.0, 1.0)
        for turn in (0.0, 60.0)
    )
    out = environments([still, turned], bank)
    expected = torch.tensor([towards(0.0, 20.0), towards(60.0, 20.0)])
    assert torch.allclose(out.key_direction, expected, atol=0.02)
    tipped = Light("studio", (0.1,) * 3, (0.1,) * 3, (), 0.0, 0.0, 10.0, (1.0,) * 3, 0.0, 0.0, 8.0, 1.0)
    assert environments([tipped], bank).key_direction[0, 0].abs() > 0.03
    never = environments([even_light(1.0)], bank)
    assert torch.allclose(never.maps, torch.ones_like(never.maps), atol=0.01)


def test_turning_keeps_the_light(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.uniform(0.1, 2, (8, 16, 3)).astype(np.float32), (128, 64), interpolation=cv2.INTER_CUBIC)
    write_hdr(tmp_path / "a.hdr", np.maximum(smooth, 0.05))
    bank = light_bank(tmp_path)
    lights = [
        Light("studio", (0.1,) * 3, (0.1,) * 3, (), 0.0, 0.0, 10.0, (1.0,) * 3, 0.0, turn, 0.0, 1.0)
        for turn in (0.0, 37.0, 180.0)
    ]
    out = environments(lights, bank)
    level = (out.maps * sphere(16, 32)[1][..., None]).sum((1, 2)) / out.key_colour  # exposure and balance cancel
    assert torch.allclose(level[1:], level[:1].expand(2, 3), rtol=0.02)


def write_hdr(path: Path, radiance: np.ndarray) -> None:
    assert cv2.imwrite(str(path), np.ascontiguousarray(radiance[..., ::-1], dtype=np.float32))


def test_hdr_files_read_as_opencv_reads_them(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).exponential(2.0, (24, 48, 3)).astype(np.float32)
    picture[3:9, 5:40] = (0.25, 8.0, 0.0)  # runs
    picture[20:] = 0
    write_hdr(tmp_path / "a.hdr", picture)
    theirs = cv2.imread(str(tmp_path / "a.hdr"), cv2.IMREAD_UNCHANGED)
    assert theirs is not None
    assert np.array_equal(read_hdr(tmp_path / "a.hdr"), theirs[..., ::-1])


def test_flat_hdr_files_are_read_too(tmp_path: Path) -> None:
    pixels = bytes([128, 64, 32, 129, 0, 0, 0, 0])
    path = tmp_path / "flat.hdr"
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 2\n" + pixels)
    assert read_hdr(path).tolist() == [[[1.0, 0.5, 0.25], [0.0, 0.0, 0.0]]]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a picture",
        b"#?RADIANCE\nFORMAT=32-bit_rle_xyze\n\n-Y 2 +X 4\n" + b"\0" * 32,
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n+Y 2 +X 4\n" + b"\0" * 32,
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 4\n" + b"\0" * 31,
        b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 2 +X 8\n\x02\x02\x00\x08" + b"\xff\x01" * 3,
    ],
)
def test_damaged_hdr_files_are_refused_in_one_line(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.hdr"
    path.write_bytes(data)
    with pytest.raises(BadInputError, match=r"^.*x\.hdr.*$"):
        read_hdr(path)


def test_a_folder_without_environments_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"\.hdr"):
        light_bank(tmp_path)
    assert len(light_bank()) == 0


def test_real_environments_give_usable_light(face_data: Path) -> None:
    bank = light_bank(face_data / "light")
    rng = np.random.default_rng(0)
    out = environments([sample_light(rng) for _ in range(64)], bank)
    front = irradiance(out, FRONT).mean(1) @ LUMA
    assert len(bank) >= 10
    assert float(front.min()) > 0.3
    assert float(front.max()) < 2.2
    assert torch.isfinite(out.maps).all()
    assert float((out.key_colour @ LUMA).max()) < 13
