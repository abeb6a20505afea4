"""Occluders: nothing changes where they are not, what they cover is what they say, they suit their picture."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.image import save_frame  # noqa: E402
from facegraft.data import occluders as occ  # noqa: E402
from facegraft.data.cutouts import Cutout, hand_alpha, placed, read_cutout, read_cutouts, scattered  # noqa: E402
from facegraft.data.drawn_hands import hand  # noqa: E402
from facegraft.data.drawn_things import blob  # noqa: E402
from facegraft.data.site import Site, look_at  # noqa: E402
from tests.data.faces_drawn import SKIN_SRGB, drawn_face, mean_landmarks  # noqa: E402

SIZE = 96


def site_of(image: torch.Tensor) -> Site:
    frame = (image.permute(1, 2, 0).numpy() * 0.5 + 0.5).astype(np.float32)
    return look_at(frame, mean_landmarks(image.shape[-1]).double().numpy())


def drawn(kind: str, seed: int, image: torch.Tensor | None = None) -> occ.Occluder:
    picture = drawn_face(SIZE) if image is None else image
    return occ.draw(picture, mean_landmarks(picture.shape[-1]), seed, mix={kind: 1.0})


@pytest.mark.parametrize("kind", list(occ.DRAWERS))
def test_nothing_changes_where_the_occluder_is_not(kind: str) -> None:
    for seed in range(2):
        occluder = drawn(kind, seed)
        assert occluder.kind == kind
        assert occluder.alpha.min() >= 0
        assert occluder.alpha.max() <= 1
        assert occluder.shadow.min() >= 0
        assert occluder.shadow.max() <= 0.4
        assert occluder.rgb.abs().max() <= 1
        noise = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        pasted, alpha = occ.paste(noise, occluder)
        assert torch.equal(pasted[:, :, ~occluder.touched], noise[:, :, ~occluder.touched])
        assert torch.equal(alpha, occluder.alpha)
        assert pasted.abs().max() <= 1
        full = occluder.alpha == 1
        assert torch.allclose(pasted[0][:, full], occluder.rgb[:, full], atol=1e-6)
        assert torch.equal(occ.paste(noise[1], occluder)[0], pasted[1])


@pytest.mark.parametrize("kind", list(occ.DRAWERS))
def test_what_is_drawn_is_seen_and_depends_on_its_seed_alone(kind: str) -> None:
    seen = [drawn(kind, seed) for seed in range(4)]
    assert sum(bool(occluder.mask.any()) for occluder in seen) >= 3
    again = drawn(kind, 2)
    assert torch.equal(again.rgb, seen[2].rgb)
    assert torch.equal(again.alpha, seen[2].alpha)
    assert not torch.equal(seen[2].alpha, seen[3].alpha)


def test_coverage_can_be_read_back_from_pictures() -> None:
    """Over black and over white, an occluder leaves a difference of what shines through it."""
    occluder = drawn("hand", 1)
    pair = torch.stack([torch.full((3, SIZE, SIZE), -1.0), torch.full((3, SIZE, SIZE), 1.0)])
    black, white = occ.paste(pair, occluder)[0]
    through = (white - black).mean(0) / 2
    assert torch.allclose(through, (1 - occluder.alpha) * (1 - occluder.shadow), atol=1e-5)


def test_the_same_occluder_hides_the_difference_between_picture_and_truth() -> None:
    occluder = drawn("phone", 2)
    picture, truth = drawn_face(SIZE), drawn_face(SIZE, tilt=0.4)
    a, b = occ.paste(torch.stack([picture, truth]), occluder)[0]
    hidden = occluder.alpha == 1
    assert hidden.any()
    assert torch.equal(a[:, hidden], b[:, hidden])
    free = ~occluder.touched
    assert torch.equal((a - b)[:, free], (picture - truth)[:, free])


def test_most_occluders_cover_three_to_twenty_five_percent() -> None:
    held = {kind: share for kind, share in occ.MIX.items() if kind not in {"glasses", "mask", "scarf", "hair"}}
    face, points = drawn_face(SIZE), mean_landmarks(SIZE)
    covered = [occ.draw(face, points, seed, mix=held).covered for seed in range(50)]
    assert np.mean([0.03 <= share <= 0.25 for share in covered]) >= 0.6


def test_hands_come_from_below_or_from_the_side() -> None:
    site = site_of(drawn_face(SIZE))
    for seed in range(25):
        alpha = hand(site, np.random.default_rng(seed)).alpha
        inside = max(alpha[-1].max(), alpha[SIZE // 3 :, 0].max(), alpha[SIZE // 3 :, -1].max())
        assert inside == 1, seed


def test_a_hand_has_the_skin_of_the_face() -> None:
    site = site_of(drawn_face(SIZE))
    skin = np.array([((value + 0.055) / 1.055) ** 2.4 for value in SKIN_SRGB])
    assert np.allclose(site.skin, skin, rtol=0.02)
    for seed in range(12):
        layer = hand(site, np.random.default_rng(seed))
        shown = layer.colour[layer.alpha == 1]
        if len(shown) > 300:
            ratio = np.percentile(shown, 70, axis=0) / skin
            assert (ratio > 0.5).all()
            assert (ratio < 1.5).all()


def test_three_blobs_in_ten_are_seen_through() -> None:
    site = site_of(drawn_face(64))
    alphas = [blob(site, np.random.default_rng(seed)).alpha for seed in range(90)]
    tops = np.array([alpha.max() for alpha in alphas if (alpha > 0.2).sum() > 40])  # smaller ones are all edge
    assert len(tops) > 60
    assert (tops < 0.99).mean() == pytest.approx(0.3, abs=0.15)
    assert tops.min() > 0.39
    assert tops[tops < 0.99].max() < 0.71


@pytest.mark.parametrize("sigma", [0.8, 1.3, 2.0])
def test_blur_is_measured(sigma: float) -> None:
    rng = np.random.default_rng(0)
    sharp = np.zeros((512, 512, 3), np.float32)
    for _ in range(90):
        corners = (rng.uniform(0, 512, 2) + rng.normal(0, 130, (5, 2))).astype(np.int32)
        cv2.fillPoly(sharp, [corners], rng.uniform(0, 1, 3).tolist())
    sharp = cv2.GaussianBlur(cv2.resize(sharp, (128, 128), interpolation=cv2.INTER_AREA), (0, 0), sigma)
    assert look_at(sharp, mean_landmarks(128).double().numpy()).blur_px == pytest.approx(sigma, rel=0.35)


def test_noise_and_light_are_measured() -> None:
    rng = np.random.default_rng(0)
    points = mean_landmarks(SIZE).double().numpy()
    flat = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    for level in (0.0, 0.01, 0.03):
        grey = rng.normal(0, level, (SIZE, SIZE, 1)).astype(np.float32)
        assert look_at(flat + grey, points).noise == pytest.approx(level, abs=0.004)
    right = site_of(drawn_face(SIZE, tilt=0.4)).light_direction
    left = site_of(drawn_face(SIZE, tilt=-0.4)).light_direction
    assert right[0] > 0.1
    assert left[0] < -0.1
    assert np.linalg.norm(right) == pytest.approx(1)


def test_shadows_fall_away_from_the_light_and_only_near_the_face() -> None:
    image = drawn_face(SIZE, tilt=0.4)  # light from the right
    found = []
    for seed in range(12):
        occluder = drawn("blob", seed, image)
        if occluder.alpha.max() == 1:
            at = torch.arange(SIZE) + 0.5
            beside = occluder.shadow * (occluder.alpha < 0.05)
            solid = occluder.alpha.sum(0) @ at / occluder.alpha.sum()
            found.append((beside.sum(0) @ at / beside.sum().clamp(min=1e-6) - solid).item())
        assert occluder.shadow[0].max() == 0
    assert np.median(found) < 0


def rgba(path: Path, pixels: np.ndarray) -> Path:
    from PIL import Image

    Image.fromarray(pixels, "RGBA").save(path)
    return path


def thing_pixels() -> np.ndarray:
    pixels = np.zeros((80, 60, 4), np.uint8)
    pixels[10:70, 20:50] = (200, 30, 30, 255)
    return pixels


def test_cutouts_are_read_trimmed_and_placed(tmp_path: Path) -> None:
    rgba(tmp_path / "b.png", thing_pixels())
    rgba(tmp_path / "a.png", thing_pixels()[::-1].copy())
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "torn.png").write_bytes(b"not a PNG")
    cutouts = read_cutouts(tmp_path, "thing")
    assert [cutout.alpha.shape for cutout in cutouts] == [(60, 30), (60, 30)]
    assert cutouts[0].rgb[30, 15, 0] == pytest.approx(((200 / 255 + 0.055) / 1.055) ** 2.4, abs=1e-4)
    site = site_of(drawn_face(SIZE))
    for kind in ("hand", "mask", "thing"):
        layer = placed(Cutout(cutouts[0].rgb, cutouts[0].alpha, kind), site, np.random.default_rng(1))
        assert layer.alpha.max() == 1, kind
        assert layer.colour.dtype == np.float32
    occluder = occ.draw(drawn_face(SIZE), mean_landmarks(SIZE), 0, cutouts=cutouts, mix={"thing": 1.0})
    reddest = occluder.rgb[:, occluder.alpha == 1].mean(1)
    assert reddest[0] > reddest[1] + 0.3


def test_a_mask_lies_on_mouth_and_chin() -> None:
    solid = Cutout(np.full((60, 80, 3), 0.5, np.float32), np.ones((60, 80), np.float32), "mask")
    site = site_of(drawn_face(SIZE))
    alpha = placed(solid, site, np.random.default_rng(0)).alpha
    for index in (33, 48, 54, 57):
        x, y = site.points[index]
        assert alpha[int(y), int(x)] == 1
    for index in (19, 24):
        x, y = site.points[index]
        assert alpha[int(y), int(x)] == 0


def test_unusable_cutouts_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="none that can be used"):
        read_cutouts(tmp_path, "thing")
    with pytest.raises(BadInputError, match="expected one of hand, mask, thing"):
        read_cutouts(tmp_path, "hat")
    save_frame(tmp_path / "plain.png", np.full((40, 40, 3), 90, np.uint8))
    with pytest.raises(BadInputError, match="with alpha"):
        read_cutout(tmp_path / "plain.png", "thing")
    rgba(tmp_path / "empty.png", np.zeros((40, 40, 4), np.uint8))
    with pytest.raises(BadInputError, match="nothing left"):
        read_cutout(tmp_path / "empty.png", "thing")


def test_a_hand_is_freed_from_its_wall() -> None:
    y, x = np.mgrid[0:100, 0:100]
    shade = 1 - 0.35 * np.hypot(x - 50, y - 40) / 80  # a wall lit in the middle
    rng = np.random.default_rng(0)
    picture = np.dstack([shade * level for level in (196, 200, 205)])
    true = (
        (np.hypot((x - 50) / 22, (y - 65) / 26) < 1)
        | ((np.abs(x - 50) < 9) & (y > 60))
        | ((np.abs(x - 45) < 6) & (y > 15) & (y < 60))
    )
    picture[true] = np.array([190, 140, 110]) * shade[true][:, None]
    frame = np.clip(picture + rng.normal(0, 3, picture.shape), 0, 255).astype(np.uint8)
    found = hand_alpha(frame) > 127
    assert (found & true).sum() / (found | true).sum() > 0.85
    assert not hand_alpha(np.full((50, 50, 3), 200, np.uint8)).any()


def test_real_hands_on_a_wall_are_freed(face_data: Path) -> None:
    paths = sorted((face_data / "occluders" / "hands").iterdir())[::30]
    shares = [read_cutout(path, "hand").alpha.mean() for path in paths]
    assert len(shares) >= 10
    assert all(0.25 < share < 0.95 for share in shares), shares


def test_faceshifters_quarters() -> None:
    one = (Cutout(np.full((8, 8, 3), 0.5, np.float32), np.ones((8, 8), np.float32), "hand"),)
    drawn_ones = [occ.draw_faceshifter((24, 24), seed, hands=one, things=one) for seed in range(240)]
    shares = np.bincount([len(occluders) for occluders in drawn_ones], minlength=3) / 240
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.1)
    assert all(not occluder.shadow.any() for occluders in drawn_ones for occluder in occluders)
    layer = scattered(one[0], (64, 64), np.random.default_rng(3))
    side = math.sqrt(float(layer.alpha.sum()))
    assert 0 < side <= 65


def test_fsgans_ellipse_lies_in_the_face_at_its_outline() -> None:
    site = site_of(drawn_face(SIZE))
    inner = cv2.erode(site.face.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    for seed in range(20):
        hole = occ.fsgan_ellipse(site.face, seed)
        assert hole.any()
        assert not (hole & ~site.face).any()
        assert (hole & ~inner).any()
    assert not occ.fsgan_ellipse(np.zeros((20, 20), bool), 0).any()
