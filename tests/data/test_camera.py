"""The camera against closed forms, against a real JPEG encoder, and against itself: alone, in a batch, far away."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")

from facegraft.data import camera  # noqa: E402
from facegraft.data.jpeg import jpeg, quality_tables, reach  # noqa: E402


@dataclass(frozen=True)
class PostValues:
    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    saturation: float = 1.0
    noise: float = 0.0
    blur_px: float = 0.0
    motion_px: float = 0.0
    motion_degrees: float = 0.0
    jpeg: float = 100.0
    vignette: float = 0.0
    glow: float = 0.0
    seed: int = 0


posts = st.builds(
    PostValues,
    exposure=st.floats(0.5, 2),
    white_balance=st.tuples(*[st.floats(0.8, 1.25)] * 3),
    contrast=st.floats(0, 2),
    noise=st.floats(0, 0.05),
    blur_px=st.floats(0, 6),
    motion_px=st.floats(0, 12),
    motion_degrees=st.floats(0, 180),
    saturation=st.floats(0, 1.3),
    glow=st.sampled_from([0.0, 0.04]),
    vignette=st.floats(0, 0.4),
    jpeg=st.floats(20, 101),
    seed=st.integers(0, 2**40),
)


def noise_image(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_srgb_round_trip_and_known_values() -> None:
    grid = torch.linspace(0, 1, 1001)
    assert torch.allclose(camera.to_linear(camera.to_srgb(grid)), grid, atol=2e-6)
    assert camera.to_srgb(torch.tensor([0.2140411])).item() == pytest.approx(0.5, abs=1e-5)
    assert camera.to_srgb(torch.tensor([-1.0, 0.0, 1.0])).tolist() == pytest.approx([0, 0, 1], abs=1e-6)


@pytest.mark.parametrize("contrast", [-5.0, 0.0, 1.0, 2.5])
def test_tone_grows_with_light_and_stays_in_range(contrast: float) -> None:
    light = torch.linspace(0, 6, 5000).reshape(1, 1, 1, -1)
    out = camera.tone(light, torch.tensor([contrast])).flatten()
    assert out[0] == 0
    assert out[-1] <= 1
    assert (out.diff() >= 0).all()
    assert out[-1] > 0.99


def test_tone_is_plain_srgb_below_the_shoulder_without_contrast() -> None:
    light = torch.linspace(0, 0.55, 100).reshape(1, 1, 1, -1)
    assert torch.allclose(camera.tone(light, torch.zeros(1)), camera.to_srgb(light), atol=1e-6)


@pytest.mark.parametrize("sigma", [0.8, 1.3, 3.0])
def test_blur_of_a_dot_is_a_gaussian(sigma: float) -> None:
    dot = torch.zeros(1, 1, 41, 41)
    dot[0, 0, 20, 20] = 1
    out = camera.blur(dot, torch.tensor([sigma]))[0, 0]
    assert out.sum().item() == pytest.approx(1, abs=1e-5)
    spread = (out.sum(0) * (torch.arange(41) - 20.0) ** 2).sum().sqrt().item()
    assert spread == pytest.approx(sigma, rel=0.03)
    assert out[20, 21] / out[20, 20] == pytest.approx(math.exp(-0.5 / sigma**2), rel=1e-4)
    assert torch.equal(out, out.T)


def test_motion_blur_of_a_dot_is_a_stroke() -> None:
    dot = torch.zeros(2, 1, 31, 31)
    dot[:, 0, 15, 15] = 1
    level, steep = camera.motion_blur(dot, torch.tensor([8.0, 8.0]), torch.tensor([0.0, 30.0]))[:, 0]
    x = torch.arange(31) - 15.0
    assert level.sum().item() == pytest.approx(1, abs=1e-5)
    assert level[15].sum().item() == pytest.approx(1, abs=1e-5)
    assert (level[15] > 0).nonzero().flatten().tolist() == list(range(11, 20))
    spread = torch.stack([(steep * x[None] ** 2).sum(), (steep * x[:, None] ** 2).sum()])
    along = 64 / 12 + torch.tensor([1 / 6, 1 / 6])  # a stroke's variance, and that of sharing with neighbours
    assert spread.sum() == pytest.approx(along.sum().item() - 64 / 12, rel=0.1)
    assert (steep * x[None] * x[:, None]).sum() > 0  # clockwise: right goes with down


def test_stated_noise_arrives_at_mid_grey() -> None:
    grey = torch.full((1, 3, 200, 200), camera.MID_GREY)
    shot, read = camera.sensor_noise(torch.tensor([0.02]))
    noisy = camera.to_srgb(camera.add_noise(grey, shot, read, [3]))
    assert noisy.std().item() == pytest.approx(0.02, rel=0.03)
    dark = camera.add_noise(grey * 0.05, shot, read, [3]).std()
    bright = camera.add_noise(grey * 4, shot, read, [3]).std()
    assert dark < 0.02 / 1.195 < bright


def test_noise_field_is_normal_correlated_with_neighbours_only_and_fixed_by_its_seed() -> None:
    field = camera.noise_field([1, 2], 256, 256)
    assert field.mean().abs() < 0.02
    assert field.std().item() == pytest.approx(1, abs=0.02)
    assert (field**4).mean().item() == pytest.approx(3, abs=0.25)
    beside = [(field[..., k:] * field[..., :-k]).mean().item() for k in (1, 2, 3, 8)]
    assert 0.3 < beside[0] < 0.5
    assert 0 < beside[1] < 0.1
    assert max(abs(value) for value in beside[2:]) < 0.02
    assert (field[0] * field[1]).mean().abs() < 0.03
    assert torch.equal(camera.noise_field([2, 1], 100, 70), field.flip(0)[..., :100, :70])


def test_noise_has_no_pattern() -> None:
    """No row, column or frequency stands out of a hash that works."""
    spectrum = torch.fft.rfft2(camera.noise_field([5], 256, 256)[0, 0]).abs() ** 2
    y, x = torch.fft.fftfreq(256), torch.fft.rfftfreq(256)
    kernel = (1 + 0.44 * torch.cos(2 * math.pi * y))[:, None] * (1 + 0.44 * torch.cos(2 * math.pi * x))
    white = spectrum / kernel**2
    white = white / white.mean()  # exponentially distributed, were it perfect
    assert white.max() < 25
    for axis in (0, 1):
        assert white.mean(axis).min() > 0.5
        assert white.mean(axis).max() < 1.6


def photo(root: Path, size_wh: tuple[int, int]) -> np.ndarray:
    with Image.open(root / "examples" / "attribute_1.jpg") as picture:
        return np.asarray(picture.convert("RGB").resize(size_wh))


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 95])
@pytest.mark.parametrize("size_wh", [(128, 128), (101, 67)])
@pytest.mark.parametrize("halved", [True, False])
def test_jpeg_is_what_a_real_encoder_leaves(root: Path, quality: int, size_wh: tuple[int, int], halved: bool) -> None:
    frame = photo(root, size_wh)
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=quality, subsampling=2 if halved else 0)
    real = np.asarray(Image.open(data)).astype(np.float32)
    images = torch.from_numpy(frame.copy()).permute(2, 0, 1)[None] / 255
    ours = jpeg(images, torch.tensor([float(quality)]), torch.tensor([halved]))
    levels = ours[0].permute(1, 2, 0).numpy() * 255
    assert np.abs(levels - np.rint(levels)).max() < 1e-3
    assert np.abs(levels - real).mean() < 0.4  # the encoder rounds inside its integer transform; we do not
    assert np.abs(levels - real).mean() < 0.35 * np.abs(real - frame).mean()


def test_quality_tables_are_libjpegs() -> None:
    for quality in (1, 30, 50, 83, 99):
        data = io.BytesIO()
        Image.new("RGB", (8, 8)).save(data, "JPEG", quality=quality)
        real = Image.open(data).quantization
        ours = quality_tables(torch.tensor([float(quality)]))[0]
        for number in (0, 1):
            assert list(real[number]) == ours[number].tolist()


def test_jpeg_off_leaves_images_as_they_are() -> None:
    images = noise_image(2, 3, 20, 24)
    out = jpeg(images, torch.tensor([100.0, 40.0]))
    assert torch.equal(out[0], images[0])
    assert not torch.equal(out[1], images[1])


def test_jpeg_lets_gradients_through() -> None:
    images = noise_image(1, 3, 32, 32).requires_grad_()
    jpeg(images, torch.tensor([60.0])).sum().backward()
    assert images.grad is not None
    assert images.grad.mean().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("halved", [True, False])
@given(x=st.integers(0, 79), y=st.integers(0, 63), quality=st.floats(5, 99))
@settings(max_examples=15)
def test_jpeg_reach(halved: bool, x: int, y: int, quality: float) -> None:
    images = noise_image(1, 3, 64, 80)
    other = images.clone()
    other[0, :, y, x] = 1 - other[0, :, y, x]
    both = jpeg(torch.cat([images, other]), torch.full((2,), quality), torch.tensor([halved] * 2))
    rows, columns = (both[0] != both[1]).any(0).nonzero().unbind(1)
    if len(rows):
        assert max((rows - y).abs().max(), (columns - x).abs().max()) <= reach(quality, halved_colour=halved)


def test_rescale_loses_detail_only_where_asked() -> None:
    images = noise_image(3, 3, 32, 32)
    out = camera.rescale(images, torch.tensor([1.0, 0.5, 0.25]))
    assert torch.equal(out[0], images[0])
    assert images.std() > out[1].std() > out[2].std()
    assert torch.allclose(out.mean((2, 3)), images.mean((2, 3)), atol=0.02)


def test_vignette_leaves_the_centre_and_darkens_corners() -> None:
    out = camera.vignette(torch.ones(1, 1, 65, 65), torch.tensor([0.3]))[0, 0]
    assert out[32, 32] == 1
    assert out[0, 0].item() == pytest.approx(0.7, abs=0.02)
    assert torch.allclose(out, out.flip(0), atol=1e-6)


@given(chosen=st.lists(posts, min_size=2, max_size=4))
@settings(max_examples=15)
def test_a_batch_is_its_samples(chosen: list[PostValues]) -> None:
    linear = noise_image(len(chosen), 3, 48, 48) * 1.5
    together = camera.apply_post(linear, chosen)
    assert together.min() >= 0
    assert together.max() <= 1
    for row, post in enumerate(chosen):
        assert torch.equal(camera.apply_post(linear[row : row + 1], [post])[0], together[row])


@given(post=posts, x=st.integers(0, 95), y=st.integers(0, 95))
@settings(max_examples=25)
def test_nothing_is_felt_beyond_the_stated_reach(post: PostValues, x: int, y: int) -> None:
    linear = noise_image(2, 3, 96, 96)
    linear[1] = linear[0]
    linear[1, :, y, x] += 2
    both = camera.apply_post(linear, [post, post])
    rows, columns = (both[0] != both[1]).any(0).nonzero().unbind(1)
    assume(len(rows) > 0)  # a coarse JPEG of an overexposed picture may swallow it
    assert max((rows - y).abs().max(), (columns - x).abs().max()) <= camera.reach_px(post, 96)


def test_pictures_of_one_scene_share_their_noise() -> None:
    post = PostValues(noise=0.03, seed=9)
    grey = torch.full((2, 3, 40, 40), 0.2)
    same = camera.apply_post(grey, [post, post])
    assert torch.equal(same[0], same[1])
    other = camera.apply_post(grey, [post, replace(post, seed=10)])
    assert not torch.equal(other[0], other[1])


def test_blur_is_stated_for_256_px() -> None:
    edge = torch.zeros(1, 3, 512, 64)
    edge[..., 256:, :] = 0.3
    large = camera.apply_post(edge, [PostValues(blur_px=2)])[0, 0, :, 8]
    small = camera.apply_post(edge[..., ::2, ::2], [PostValues(blur_px=2)])[0, 0, :, 4]
    assert torch.allclose(large.reshape(-1, 2).mean(1), small, atol=0.02)


def test_pictures_that_share_their_stray_light_differ_only_near_where_they_differ():
    post = PostValues(glow=0.2, blur_px=1.0, jpeg=100.0)
    first = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    second = first.clone()
    second[..., 30:34, 30:34] += 2.0
    near = camera.reach_px(post, 64, shared_glow=True)
    assert near < camera.reach_px(post, 64)
    pictures = [camera.apply_post(linear, [post], first) for linear in (first, second)]
    differs = (pictures[0] != pictures[1]).any(1)[0].nonzero()
    assert len(differs)
    assert differs.min() >= 30 - near
    assert differs.max() <= 33 + near
    own = [camera.apply_post(linear, [post]) for linear in (first, second)]
    assert torch.equal(own[0], pictures[0])
    assert not torch.equal(own[1], pictures[1])
