"""Hairlines, strand textures, shells of hair and beards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.data.synth.beard import BEARDS, beard_distance
from facegraft.data.synth.hair import HAIRLINES, hairline_distance, shell_hair
from facegraft.data.synth.patch import body_normals
from facegraft.data.synth.proxy import place_proxy
from facegraft.data.synth.strands import TILE_DM, strand_texture
from facegraft.data.synth.wardrobe import Wardrobe
from facegraft.data.synth.wear import CARD_STYLES, HAIR_STYLES

TOP, BROW, NOSE, NECK_BACK = (0.0, 8.43, 0.5), (0.35, 7.43, 1.4), (0.0, 6.97, 1.67), (0.0, 6.3, -0.1)
CHIN, LIP, CHEEK, UPPER_LIP = (0.05, 6.24, 1.36), (0.0, 6.58, 1.53), (0.42, 7.0, 1.25), (0.05, 6.755, 1.55)


@pytest.fixture(scope="module")
def wardrobe(makehuman: Path) -> Wardrobe:
    return Wardrobe(makehuman)


@pytest.mark.parametrize("line", [*HAIRLINES, "crown"])
def test_hair_grows_on_the_scalp_only(line: str) -> None:
    inside = hairline_distance(np.array([TOP, (0.6, 7.9, 0.2), BROW, NOSE, NECK_BACK]), line)
    assert (inside[0] > 0.2) == (line != "crown")
    assert inside[1] > 0.05
    assert (inside[2:] < -0.05).all()


def test_hairlines_are_symmetric_and_recede_where_they_say() -> None:
    temples = np.array([(0.45, 7.98, 1.12), (-0.45, 7.98, 1.12)])
    round_, receding = (hairline_distance(temples, line) for line in ("round", "receding"))
    np.testing.assert_allclose(round_[0], round_[1], atol=1e-12)
    assert (receding < 0).all()
    assert (round_ > 0).all()


def test_beards_leave_lips_and_cheeks_bare() -> None:
    places = np.array([CHIN, UPPER_LIP, LIP, CHEEK, BROW])
    full, moustache, goatee = (beard_distance(places, style) > 0 for style in ("full", "moustache", "goatee"))
    assert full.tolist() == [True, True, False, False, False]
    assert moustache.tolist() == [False, True, False, False, False]
    assert goatee.tolist() == [True, True, False, False, False]


@pytest.mark.parametrize("kind", list(TILE_DM))
def test_a_cut_hides_its_share_of_a_strand_texture(kind: str) -> None:
    light, height = strand_texture(kind)
    assert light.mean() == pytest.approx(1, abs=1e-3)
    assert light.min() > 0
    for cut in (0.1, 0.5, 0.9):
        assert (height < cut).mean() == pytest.approx(cut, abs=0.01)


@pytest.mark.parametrize("kind", list(TILE_DM))
def test_strand_textures_repeat_without_a_seam(kind: str) -> None:
    for plane in strand_texture(kind):
        for axis in (0, 1):
            steps = np.abs(np.diff(np.concatenate([plane, plane.take([0], axis)], axis), axis=axis))
            seam, rest = steps.take([-1], axis).mean(), steps.mean()
            assert seam < 1.5 * rest


def test_unknown_styles_are_named(wardrobe: Wardrobe) -> None:
    with pytest.raises(BadInputError, match="mullet"):
        shell_hair(wardrobe.ground.scalp, "mullet-round")
    with pytest.raises(BadInputError, match="walrus"):
        wardrobe.beard("walrus")


@pytest.mark.parametrize("style", HAIR_STYLES)
def test_hair_keeps_to_its_budget_and_off_the_face(wardrobe: Wardrobe, style: str) -> None:
    proxies = wardrobe.hair(style)
    assert bool(proxies) == (style != "bald")
    assert sum(len(p.triangles) for p in proxies) <= (12_000 if style in CARD_STYLES else 10_000)
    for proxy in proxies:
        assert wardrobe.texture(proxy.texture).shape[0] == 2
        assert proxy.triangles.max() == proxy.count - 1
        np.testing.assert_allclose(proxy.weight.sum(1), 1, atol=2e-3)
        before_mouth = (np.abs(proxy.place[:, 0]) < 0.25) & (proxy.place[:, 2] > 1.2) & (proxy.place[:, 1] > 6.4)
        face = before_mouth & (proxy.place[:, 1] < 7.2)
        assert (proxy.cut[face] > 0.3).all()


@pytest.mark.parametrize("style", ["crop-round", "afro-square", "slicked-peak", "buzz-crown"])
def test_shells_nest(wardrobe: Wardrobe, style: str) -> None:
    """Each layer lies above the one below it, on a body it was not made on."""
    ground = wardrobe.ground
    body = ground.usual * 1.07
    normals = body_normals(body, ground.base.faces[ground.body_faces])
    layers = [p for p in wardrobe.hair(style) if p.part == "hair"]
    heights = []
    for proxy in layers:
        root = (proxy.weight[..., None] * body[proxy.index]).sum(1)
        heights.append(np.linalg.norm(place_proxy(proxy, body, normals) - root, axis=1).mean())
    assert (np.diff(heights) > 0).all()
    assert heights[0] >= 0.007


@pytest.mark.parametrize("style", BEARDS)
def test_beards_keep_to_their_budget(wardrobe: Wardrobe, style: str) -> None:
    layers = wardrobe.beard(style)
    assert sum(len(p.triangles) for p in layers) <= 6_000
    assert all(p.region == "beard" and p.layer == "alpha" for p in layers)
    assert wardrobe.beard(style) is layers


def test_mirrored_cards_are_the_mirror_image(wardrobe: Wardrobe) -> None:
    ground = wardrobe.ground
    symmetric = (ground.usual + ground.usual[ground.twin] * [-1, 1, 1]) / 2
    normals = body_normals(symmetric, ground.base.faces[ground.body_faces])
    plain, other = wardrobe.hair("bob02")[-1], wardrobe.hair("bob02", mirrored=True)[-1]
    left, right = (place_proxy(p, symmetric, normals) for p in (plain, other))
    np.testing.assert_allclose(left * [-1, 1, 1], right, atol=1e-4)
    assert np.abs(left - right).max() > 0.2
