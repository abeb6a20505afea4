"""Baked skins: right sizes, the wanted tone, marks where they were asked for, the same at every scale, no seams."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from facegraft.core.errors import BadInputError, MissingPartError  # noqa: E402
from facegraft.data.synth.complexion import GRID_HW, Complexions, read_learned  # noqa: E402
from facegraft.data.synth.parts import Beard, MakeUp, Marks  # noqa: E402
from facegraft.data.synth.people import Person, sample_person  # noqa: E402
from facegraft.data.synth.skin import MASKS, SkinBaker, SkinMaps, wrinkle_strength  # noqa: E402
from facegraft.data.synth.skin_photos import find_photo  # noqa: E402
from facegraft.data.synth.skin_tone import skin_tone  # noqa: E402


@pytest.fixture(scope="module")
def baker(makehuman: Path) -> SkinBaker:
    return SkinBaker(makehuman, 0.25)


def plain(seed: int = 3, **skin: object) -> Person:
    """A bare-faced person without beard and marks."""
    person = sample_person(seed)
    changes: dict[str, object] = {"marks": Marks(), "make_up": MakeUp(), "stubble_shadow": 0.0, "wrinkles": 0.0} | skin
    return replace(person, skin=dataclasses.replace(person.skin, **changes), beard=Beard())  # type: ignore[arg-type]


def face(baker: SkinBaker, maps: SkinMaps) -> Tensor:
    """Colours of bare skin on the middle of the face."""
    return maps.albedo[:, torch.from_numpy(baker.photos.skin) & (maps.masks[5] < 0.01)]


def test_maps_have_the_promised_sizes_and_ranges(baker: SkinBaker) -> None:
    for seed in range(6):
        maps = baker.bake(sample_person(seed, 1.0))
        assert maps.albedo.shape == (3, 424, 188)
        assert maps.height.shape == (1, 424, 188)
        assert maps.masks.shape == (len(MASKS), 424, 188)
        assert all(m.dtype == torch.float32 for m in (maps.albedo, maps.height, maps.masks, maps.body_colour))
        assert maps.albedo.min() >= 0.003
        assert maps.albedo.max() <= 0.9
        assert maps.masks.min() >= 0
        assert maps.masks.max() <= 1
        assert 0.0003 < maps.height.std() < 0.01
        assert maps.height.abs().max() < 0.06
        assert torch.isfinite(maps.height).all()
        assert torch.isfinite(maps.body_colour).all()
    assert baker.wrinkles.shape == (4, 424, 188)
    assert (baker.wrinkles.amin((1, 2)) < -0.001).all()


def test_a_person_always_has_the_same_skin(baker: SkinBaker) -> None:
    first, other = baker.bake(sample_person(5)), baker.bake(sample_person(6))
    again = baker.bake(sample_person(5))
    for field in dataclasses.fields(SkinMaps):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name))
    assert not torch.allclose(first.albedo, other.albedo, atol=0.02)


@pytest.mark.parametrize("melanin", [0.05, 0.35, 0.65, 0.95])
def test_the_face_has_the_tone_that_was_asked_for(baker: SkinBaker, melanin: float) -> None:
    person = plain(melanin=melanin, redness=0.0, warmth=0.0, patch=("young_lightskinned_female_diffuse", 0.0))
    found = face(baker, baker.bake(person)).median(1).values.numpy()
    assert found == pytest.approx(skin_tone(person.skin), rel=0.2)


def test_colours_stay_those_of_skin(baker: SkinBaker) -> None:
    """Red above green above blue, and neither grey nor purple, over a crowd."""
    for seed in range(8):
        red, green, blue = face(baker, baker.bake(plain(seed))).median(1).values.tolist()
        assert red > 1.15 * green, seed
        assert green > 1.08 * blue, seed
        assert red < 4.5 * blue, seed


def test_scales_show_one_skin(makehuman: Path, baker: SkinBaker) -> None:
    """The half-size bake, shrunk, is the quarter-size bake: same marks, same places."""
    person = plain(8, marks=Marks(moles=6, freckles=0.6, scars=2, vitiligo=0.4))
    small, large = baker.bake(person), SkinBaker(makehuman, 0.5).bake(person)
    shrunk = torch.nn.functional.avg_pool2d(large.albedo[None], 2)[0]
    inner = torch.from_numpy(baker.photos.skin)
    ratio = (shrunk / small.albedo).log()[:, inner]
    assert ratio.abs().mean() < 0.04
    assert large.body_colour.numpy() == pytest.approx(small.body_colour.numpy(), rel=0.05)


MARKED = {
    "freckles": Marks(freckles=1.0),
    "moles": Marks(moles=5),
    "age spots": Marks(age_spots=1.0),
    "acne": Marks(acne=1.0),
    "scars": Marks(scars=2),
    "vitiligo": Marks(vitiligo=0.5),
    "port-wine stain": Marks(port_wine=1.0),
    "burn": Marks(burn=1.0),
}
DIRECTION = {"freckles": -1, "moles": -1, "age spots": -1, "acne": -1, "port-wine stain": -1, "vitiligo": 1}


@pytest.mark.parametrize("name", sorted(MARKED))
def test_marks_change_skin_and_nothing_else(baker: SkinBaker, name: str) -> None:
    bare, marked = baker.bake(plain(melanin=0.5)), baker.bake(plain(melanin=0.5, marks=MARKED[name]))
    change = (marked.albedo / bare.albedo).log()[1]
    share = float((change.abs() > 0.03).float().mean())
    assert 0.00001 < share < 0.3
    assert torch.equal(bare.masks, marked.masks)
    assert change[baker._static[1] > 0.99].abs().max() < 1e-5, "the mouth's inside"
    if name in DIRECTION:
        assert float(change.sum()) * DIRECTION[name] > 0
        assert float((change * DIRECTION[name]).min()) > -0.02
    assert change[bare.masks[0] > 0.9].abs().max() < (0.05 if name in ("freckles", "moles", "acne") else 3)


def test_make_up_stays_where_it_belongs(baker: SkinBaker) -> None:
    bare = baker.bake(plain())
    lips = bare.masks[0]
    painted = baker.bake(plain(make_up=MakeUp(lipstick=1.0)))
    change = (painted.albedo / bare.albedo).log().abs().amax(0)
    assert change[lips == 0].max() < 1e-5
    assert change[lips > 0.9].mean() > 0.2
    lids = (baker.bake(plain(make_up=MakeUp(eye_shadow=1.0, eyeliner=1.0))).albedo / bare.albedo).log().abs().amax(0)
    rows, columns = torch.nonzero(lids > 0.05, as_tuple=True)
    places = torch.from_numpy(baker.space.places)[:, rows, columns]
    assert (places[1] > -0.05).all()
    assert (places[1] < 0.22).all()
    assert ((places[0].abs() > 0.1) & (places[0].abs() < 0.6)).all()


def test_brows_lie_above_the_eyes_on_both_sides(baker: SkinBaker) -> None:
    for style in range(1, 13):
        person = replace(plain(), brow=replace(plain().brow, style=f"{style:03d}", strength=1.0, colour=(0.01,) * 3))
        maps = baker.bake(person)
        brow = maps.masks[5].numpy()
        x, y, z = baker.space.places
        weight = brow / brow.sum()
        assert 0.10 < float((weight * y).sum()) < 0.32, style
        assert abs(float((weight * x).sum())) < 0.06, style  # some cards are drawn unevenly
        assert float((weight * (np.abs(x) < 0.03)).sum()) < 0.03, f"{style}: nothing bridges the nose"
        assert float((weight * (z < -0.5)).sum()) < 0.02, style
        hairy = maps.masks[5] > 0.3
        assert maps.albedo[:, hairy].mean() < 0.75 * face(baker, maps).mean(), style


def test_a_beard_mask_is_there_for_who_has_one(baker: SkinBaker) -> None:
    assert baker.bake(plain()).masks[4].max() == 0
    areas = {}
    for style in ("stubble", "moustache", "goatee", "full", "long"):
        mask = baker.bake(replace(plain(), beard=Beard(style, 0.8, 0.5))).masks[4]
        areas[style] = float(mask.sum())
        assert mask.max() == pytest.approx(0.8, abs=0.02)
        assert mask[baker._static[0] > 0.9].max() == 0, "no hair on the lips"
        assert mask[torch.from_numpy(baker.space.places[1] > 0.15)].max() == 0, "nor above the eyes"
    assert areas["moustache"] < areas["goatee"] < areas["full"]


def test_age_deepens_creases(baker: SkinBaker) -> None:
    young, old = baker.bake(plain(wrinkles=0.0)), baker.bake(plain(wrinkles=1.0))
    assert float((old.height - young.height).min()) < -0.002
    assert wrinkle_strength(plain(wrinkles=0.0).skin) < wrinkle_strength(plain(wrinkles=1.0).skin)


def test_the_skin_has_one_colour_where_the_neck_begins(baker: SkinBaker) -> None:
    """Also under a beard: the body below has no texture."""
    person = replace(plain(), beard=Beard("full", 1.0, 0.3))
    maps = baker.bake(person)
    edge = torch.from_numpy(baker.space.head & (baker.space.from_neck < 0.02))
    assert edge.sum() > 20
    assert torch.allclose(maps.albedo[:, edge], maps.body_colour[:, None].expand(3, int(edge.sum())), rtol=0.02)


def test_the_back_of_the_head_has_no_seam(baker: SkinBaker) -> None:
    """Texels that meet at the seam behind the head lie far apart in the picture and agree in colour."""
    from scipy.spatial import cKDTree

    albedo, places = baker.bake(plain()).albedo.numpy(), baker.space.places
    behind = baker.space.head & (np.abs(places[0]) < 0.04) & (places[2] < -0.8) & (places[1] > -0.3)
    left, right = behind & (places[0] > 0), behind & (places[0] <= 0)
    distance, twin = cKDTree(places[:, right].T).query(places[:, left].T)
    close = distance < 0.06
    assert close.sum() > 30
    ratio = np.log(albedo[:, left][:, close] / albedo[:, right][:, twin][:, close])
    assert np.abs(ratio.mean(1)).max() < 0.05


def test_wrong_scales_and_missing_photographs_are_named(makehuman: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"0\.3"):
        SkinBaker(makehuman, 0.3)
    with pytest.raises(MissingPartError, match="facegraft data assets"):
        find_photo(tmp_path, "young_lightskinned_male_diffuse")


def test_photographs_are_found_in_either_format(tmp_path: Path) -> None:
    small, full = tmp_path / "data/skins/textures_512", tmp_path / "data/skins/textures"
    for folder in (small, full):
        folder.mkdir(parents=True)
    (small / "a.jpg").touch()
    assert find_photo(tmp_path, "a") == small / "a.jpg"
    (full / "a.png").touch()
    assert find_photo(tmp_path, "a") == full / "a.png"


def test_a_complexion_shows_on_the_hairs_of_a_brow_as_on_skin(baker: SkinBaker) -> None:
    parts = read_learned().parts
    one = replace(plain(), brow=replace(plain().brow, strength=1.0, thickness=1.0))
    skins = [replace(one.skin, complexion=(0.0,) * 3 + (share,) * (len(parts) - 3)) for share in (0.0, -0.1)]
    first, second = (baker.bake(replace(one, skin=skin)) for skin in skins)
    painter = Complexions(baker.space, np.zeros(GRID_HW, np.float32))
    wanted = torch.from_numpy(painter.paint(skins[1]) - painter.paint(skins[0]))
    hairs = (first.masks[5] > 0.45) & (wanted.abs().mean(0) > 0.01)
    assert hairs.sum() > 20
    change = (second.albedo / first.albedo).log()[:, hairs]
    assert float((change * wanted[:, hairs]).sum() / (wanted[:, hairs] ** 2).sum()) == pytest.approx(1, abs=0.4)
