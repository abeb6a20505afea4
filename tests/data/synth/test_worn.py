"""Proxies that follow the body: fitting, cutting, hats, glasses, masks, shirts, eyes and teeth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from facegraft.core.errors import BadInputError
from facegraft.data.regions import REGIONS
from facegraft.data.synth.formats import read_morph, read_proxy
from facegraft.data.synth.glasses import EARS
from facegraft.data.synth.ground import BODY_COUNT, Ground, hang
from facegraft.data.synth.patch import body_normals, cut_patch, simplified, subdivide_times
from facegraft.data.synth.proxy import Proxy, keep_triangles, place_proxy
from facegraft.data.synth.wardrobe import Wardrobe
from facegraft.data.synth.wear import CLOTHS, FACE_MASKS, GLASSES, HATS, SCARVES
from facegraft.data.synth.wrap import CENTRE, clipped

WORN = [
    *(("glasses", v) for v in GLASSES),
    *(("hat", v) for v in HATS),
    *(("face_mask", v) for v in FACE_MASKS),
    *(("scarf", v) for v in SCARVES),
]


@pytest.fixture(scope="module")
def wardrobe(makehuman: Path) -> Wardrobe:
    return Wardrobe(makehuman)


@pytest.fixture(scope="module")
def ground(wardrobe: Wardrobe) -> Ground:
    return wardrobe.ground


def fit(ground: Ground, proxy: Proxy, body: np.ndarray) -> np.ndarray:
    return place_proxy(proxy, body, body_normals(body, ground.base.faces[ground.body_faces]))


def test_a_fitted_proxy_agrees_with_the_reader_of_its_file(wardrobe: Wardrobe, ground: Ground) -> None:
    """Another implementation: formats.Proxy.fit with its sparse matrix."""
    fitting = read_proxy(ground.assets / "data/clothes/fedora01/fedora.mhclo", BODY_COUNT)
    (proxy,) = wardrobe.worn("hat", "fedora")
    expected, found = fitting.fit(ground.usual), fit(ground, proxy, ground.usual)
    assert {tuple(p) for p in np.round(found, 3)} == {tuple(p) for p in np.round(expected, 3)}


def test_what_is_hung_on_the_usual_person_lies_where_it_was_drawn(ground: Ground) -> None:
    rng = np.random.default_rng(0)
    points = np.array([0, 8.0, 1.2]) + rng.normal(0, 0.2, (30, 3))
    proxy = hang(ground, "x", points, np.array([[0, 1, 2]]), ground.body_faces, part="colour", region="hat")
    np.testing.assert_allclose(fit(ground, proxy, ground.usual), points, atol=1e-5)


@pytest.mark.parametrize(("kind", "variant"), WORN)
def test_worn_things_move_and_grow_with_the_body(wardrobe: Wardrobe, ground: Ground, kind: str, variant: str) -> None:
    for proxy in wardrobe.worn(kind, variant):
        usual, step = fit(ground, proxy, ground.usual), np.array([0.3, -0.8, 0.1])
        np.testing.assert_allclose(fit(ground, proxy, ground.usual + step), usual + step, atol=1e-4)
        np.testing.assert_allclose(fit(ground, proxy, ground.usual * 1.1), usual * 1.1, atol=1e-3)


@pytest.mark.parametrize(("kind", "variant"), WORN)
def test_worn_things_are_well_formed(wardrobe: Wardrobe, kind: str, variant: str) -> None:
    proxies = wardrobe.worn(kind, variant)
    assert sum(len(p.triangles) for p in proxies) <= (1_200 if kind == "glasses" else 3_000)
    for proxy in proxies:
        assert proxy.region in REGIONS
        assert proxy.triangles.max() < proxy.count
        np.testing.assert_allclose(proxy.weight.sum(1), 1, atol=2e-3)
        assert np.isfinite(proxy.place).all()
        if proxy.texture:
            assert wardrobe.texture(proxy.texture).min() >= 0


@pytest.mark.parametrize("variant", ["beanie", "cap", "headscarf", "hood"])
def test_hats_enclose_the_skull(wardrobe: Wardrobe, ground: Ground, variant: str) -> None:
    """Along any ray from the head's middle, cloth is farther out than the skin below it."""
    hat = fit(ground, wardrobe.worn("hat", variant)[0], ground.usual) - CENTRE
    skin = ground.usual[:13380] - CENTRE
    skin = skin[(skin[:, 1] > 0.65)]
    far, reach = np.linalg.norm(skin, axis=1), np.linalg.norm(hat, axis=1)
    cosine = (skin / far[:, None]) @ (hat / reach[:, None]).T
    nearest = cosine.argmax(1)
    covered = cosine.max(1) > np.cos(np.radians(4))
    assert covered.sum() > 40
    assert (reach[nearest] - far)[covered].min() > 0.01


def test_hair_above_a_brim_is_hidden_and_hair_below_it_is_not(wardrobe: Wardrobe) -> None:
    for variant in ("beanie", "cap", "fedora"):
        brim = wardrobe.brim(variant)
        height = (np.array([(0, 8.4, 0.5), (0.7, 7.0, 0.7)]) - brim.point) @ np.array(brim.normal)
        assert height[0] > 0 > height[1]


@pytest.mark.parametrize("variant", GLASSES)
def test_lenses_stand_before_the_eyes(wardrobe: Wardrobe, ground: Ground, variant: str) -> None:
    lenses = [fit(ground, p, ground.usual) for p in wardrobe.worn("glasses", variant) if p.part == "lens"]
    points = np.concatenate(lenses)
    marks = ground.usual[ground.landmarks]
    for corner in (36, 39, 42, 45):
        sideways = np.sign(points[:, 0]) == np.sign(marks[corner, 0])
        box = points[sideways]
        assert box[:, 0].min() < marks[corner, 0] < box[:, 0].max()
        assert box[:, 1].min() < marks[corner, 1] < box[:, 1].max()
        assert box[:, 2].min() > marks[corner, 2]


WIDE = (
    {},
    {"head/head-scale-horiz-incr": 0.6},
    {"head/head-scale-horiz-incr": 0.4, "head/head-fat-incr": 0.5, "head/head-square": 0.5},
    {"head/head-scale-horiz-decr": 0.5, "head/head-oval": 0.5},
    {"ears/l-ear-trans-up": 0.5, "ears/r-ear-trans-up": 0.5, "head/head-round": 0.6},
    {"ears/l-ear-trans-down": 0.5, "ears/r-ear-trans-down": 0.5, "head/head-invertedtriangular": 0.6},
)


@pytest.fixture(scope="module")
def refined(ground: Ground) -> csr_matrix:
    """From the body's vertices to those of one Catmull-Clark step, about the head."""
    near = ground.centres[ground.body_faces, 1] > 6.6
    return subdivide_times(ground.base.faces[ground.body_faces[near]], len(ground.usual), 1)[0]


def shaped(ground: Ground, morphs: dict[str, float]) -> np.ndarray:
    body = ground.usual.copy()
    for name, weight in morphs.items():
        rows, moved = read_morph(ground.assets / "data/targets" / f"{name}.target")
        body[rows] += weight * moved
    return body


@pytest.mark.parametrize("morphs", WIDE, ids=[" ".join(m) or "usual" for m in WIDE])
def test_temples_run_along_the_head_to_the_ear_of_narrow_and_wide_heads(
    wardrobe: Wardrobe, ground: Ground, refined: csr_matrix, morphs: dict[str, float]
) -> None:
    body = shaped(ground, morphs)
    skin = refined @ body
    for variant in GLASSES:
        arms = next(p for p in wardrobe.worn("glasses", variant) if p.name.endswith("-arms"))
        path = fit(ground, arms, body).reshape(2, -1, 5, 3).mean(2)
        for side, ear in zip(path, EARS, strict=True):
            assert np.linalg.norm(side[-2] - body[ear]) < 0.06, "it rests where the ear meets the head"
            assert side[-1, 1] < body[ear, 1] - 0.1, "and ends behind it"
            for point in side[2:-1]:
                near = skin[(np.hypot(*(skin - point)[:, 1:].T) < 0.05) & (skin[:, 0] * point[0] > 0)]
                gap = abs(point[0]) - np.abs(near[:, 0]).max()
                assert -0.13 < gap < 0.10, (variant, morphs)  # an ear's upper rim may stand over it


def test_hats_sit_close_around_the_skull(wardrobe: Wardrobe, ground: Ground) -> None:
    """Above the ears, where they used to hold hats off the head."""
    for variant, most in (("beanie", 0.15), ("cap", 0.09)):
        hat = fit(ground, wardrobe.worn("hat", variant)[0], ground.usual)
        edge = hat[(hat[:, 1] < 7.62) & (np.abs(hat[:, 2] - CENTRE[2]) < 0.25)]
        skull = ground.usual[:13380]
        skull = skull[(np.abs(skull[:, 1] - 7.55) < 0.08) & (np.abs(skull[:, 2] - CENTRE[2]) < 0.25)]
        assert len(edge) > 4
        assert np.abs(edge[:, 0]).max() - np.abs(skull[:, 0]).max() < most


@pytest.mark.parametrize("variant", FACE_MASKS)
def test_masks_hide_nose_mouth_and_chin(wardrobe: Wardrobe, ground: Ground, variant: str) -> None:
    mask = fit(ground, wardrobe.worn("face_mask", variant)[0], ground.usual)
    marks = ground.usual[ground.landmarks]
    for mark in (*range(30, 36), *range(48, 68), 8):
        near = mask[np.linalg.norm(mask[:, :2] - marks[mark, :2], axis=1) < 0.09]
        assert len(near)
        assert near[:, 2].max() > marks[mark, 2]


@pytest.mark.parametrize("kind", CLOTHS)
def test_shirts_cover_the_chest_and_leave_the_chin(wardrobe: Wardrobe, ground: Ground, kind: str) -> None:
    shirt = wardrobe.shirt(kind)[0]
    shown = fit(ground, shirt, ground.usual)[shirt.cut < 0.5]
    front = shown[shown[:, 2] > 0.5]
    assert front[:, 1].min() < 4.5
    assert shown[:, 1].max() < ground.usual[ground.landmarks[8], 1] + 0.2


def test_eyes_have_no_cornea_and_show_only_their_fronts(wardrobe: Wardrobe) -> None:
    (ball,), (cornea,) = wardrobe.eyes(), wardrobe.cornea()
    texture = wardrobe.texture("eye/brown")
    assert texture.shape == (3, 512, 512)
    assert np.hypot(ball.uvs[:, 0] - 0.93, ball.uvs[:, 1] - 0.07).min() > 0.05
    assert cornea.place[:, 2].max() > ball.place[:, 2].max()
    for side in (-1, 1):
        assert (np.sign(ball.place[:, 0]) == side).sum() > 100


def test_teeth_lose_their_backs_only(wardrobe: Wardrobe) -> None:
    for style in range(6):
        teeth, tongue = wardrobe.mouth(style)
        assert 2_000 < len(teeth.triangles) < 6_000
        assert tongue.region == teeth.region == "mouth"


def test_lashes_are_plain_black_with_alpha(wardrobe: Wardrobe) -> None:
    for style in ("01", "02", "03", "04"):
        (proxy,) = wardrobe.lashes(style)
        light, alpha = wardrobe.texture(proxy.texture)
        assert np.isfinite(light).all()
        assert 0.02 < (alpha > 0.5).mean() < 0.9 or alpha.max() > 0.3


def test_refined_patches_lie_on_the_smooth_surface(ground: Ground) -> None:
    """Oracle: two Catmull-Clark steps of the whole body."""
    rows = ground.body_faces[ground.centres[ground.body_faces, 1] > 8.1]
    patch = cut_patch(ground.base, ground.usual, rows, 2, ground.scale_refs)
    matrix, _ = subdivide_times(ground.base.faces[ground.body_faces], len(ground.usual), 2)
    from scipy.spatial import cKDTree

    at = (patch.weight[..., None] * ground.usual[patch.index]).sum(1)
    normal = (patch.weight[..., None] * ground.normals[patch.index]).sum(1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    distance, _ = cKDTree(matrix @ ground.usual).query(at + patch.lift[:, None] * normal)
    assert np.percentile(distance, 95) < 0.01


def test_simplified_patches_keep_their_extent(ground: Ground) -> None:
    patch = ground.lower_face
    small = simplified(patch, 0.09)
    assert len(small.quads) < 0.7 * len(patch.quads)
    for side in (0, 1, 2):
        assert np.ptp(small.place[:, side]) > 0.9 * np.ptp(patch.place[:, side])


def test_clipping_a_square_by_a_slanted_line_leaves_its_area() -> None:
    square = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)], float)
    keep = 0.3 + 0.4 * square[:, 0] - square[:, 1]  # below y = .3 + .4 x
    points, triangles, rows = clipped(square, np.array([[0, 1, 2], [0, 2, 3]]), square[:, :2], keep)
    a, b, c = points[triangles].transpose(1, 0, 2)
    assert np.cross(b - a, c - a)[:, 2].sum() / 2 == pytest.approx(0.5)
    np.testing.assert_allclose(rows, points[:, :2])


def test_dropped_triangles_take_their_vertices_along(wardrobe: Wardrobe) -> None:
    (proxy,) = wardrobe.worn("hat", "fedora")
    kept = keep_triangles(proxy, np.arange(len(proxy.triangles)) < 10)
    assert len(kept.triangles) == 10
    np.testing.assert_array_equal(kept.place[kept.triangles], proxy.place[proxy.triangles[:10]])
    assert set(kept.triangles.ravel().tolist()) == set(range(kept.count))


def test_unknown_things_are_named(wardrobe: Wardrobe, tmp_path: Path) -> None:
    for kind, variant in (("hat", "sombrero"), ("glasses", "monocle"), ("tail", "long")):
        with pytest.raises(BadInputError, match=variant):
            wardrobe.worn(kind, variant)
    with pytest.raises(BadInputError, match="sombrero"):
        wardrobe.brim("sombrero")
    with pytest.raises(BadInputError, match="hair/mullet"):
        wardrobe.texture("hair/mullet")
    with pytest.raises(BadInputError, match=r"base\.obj"):
        Wardrobe(tmp_path)
