"""Baked people and their blends: whose is what, in which slot, and which way bumps lean."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from scipy.spatial.transform import Rotation  # noqa: E402

from facegraft.data.synth.body import Body  # noqa: E402
from facegraft.data.synth.cast import ALBEDO, TONGUE, WHOLE, Cast, align  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.skin import SkinBaker  # noqa: E402
from facegraft.data.synth.uvspace import UvSpace  # noqa: E402

PALE, DARK = 2, 13
"""Seeds of people of different skin."""


@pytest.fixture(scope="module")
def cast(makehuman):
    body = Body(makehuman)
    return Cast(body, UvSpace(body, makehuman, 0.25), SkinBaker(makehuman, 0.25), 16)


def small(cast, capacity):
    """Another cast with the same maps."""
    return Cast(cast.body, cast.space, cast.baker, capacity)


@pytest.mark.parametrize("mirrored", [False, True])
def test_align_is_a_similarity_and_never_a_reflection(mirrored):
    generator = torch.Generator().manual_seed(1)
    moving, weight = torch.randn(40, 3, generator=generator), torch.rand(40, generator=generator) + 0.1
    turn = torch.as_tensor(Rotation.from_rotvec([0.3, -0.8, 0.4]).as_matrix(), dtype=torch.float32)
    fixed = 1.7 * moving @ turn.T + torch.tensor([1.0, -2.0, 0.5])
    found = align(moving * torch.tensor([-1.0, 1.0, 1.0]) if mirrored else moving, fixed, weight)
    if mirrored:
        assert (found - fixed).norm(dim=1).mean() > 0.3
    else:
        torch.testing.assert_close(found, fixed, atol=1e-4, rtol=0)


def test_heavy_points_are_aligned_best():
    moving, fixed = torch.eye(3).repeat(2, 1), torch.cat([torch.eye(3), torch.eye(3) + 5])
    weight = torch.tensor([1.0, 1, 1, 1e-6, 1e-6, 1e-6])
    assert (align(moving, fixed, weight)[:3] - fixed[:3]).norm(dim=1).max() < 1e-3


def test_the_shape_changes_slowly_from_one_person_to_the_other(cast):
    """A short ramp folds into a second chin where the jaws differ; features are the identity's all the same."""
    body, share = cast.body, cast.shares
    place = torch.as_tensor(body.base.vertices[body.ids], dtype=torch.float32)
    corners = body.skin.corner[body.skin.triangles]
    edges = torch.cat([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [2, 0]]])
    edges = edges[((share[edges] > 0) & (share[edges] < 1)).all(1)]
    length = (place[edges[:, 0]] - place[edges[:, 1]]).norm(dim=1)
    per_dm = (share[edges[:, 0]] - share[edges[:, 1]]).abs()[length > 0.01] / length[length > 0.01]
    assert len(per_dm) > 1000
    assert per_dm.quantile(0.95) < 3
    assert share[body.landmarks[27:]].min() > 0.95


def test_a_blend_takes_features_of_one_and_the_rest_of_the_other(cast):
    identity, attribute = sample_person(10), sample_person(5)
    who, on = cast.actor(identity), cast.actor(attribute)
    mixed = cast.inner_face(identity, attribute, recoloured=False)
    for name in ("eyes", "lashes", "teeth", "wrinkles"):
        assert getattr(mixed, name) == getattr(who, name) != getattr(on, name), name
    for name in ("beard", "hair_colour"):
        assert getattr(mixed, name) == getattr(on, name) != getattr(who, name), name
    assert torch.equal(mixed.race, who.race)
    assert torch.equal(mixed.body_colour, on.body_colour)
    assert not torch.equal(mixed.body_colour, who.body_colour)


def test_skin_is_the_identitys_within_and_the_attributes_without(cast):
    identity, attribute = sample_person(PALE), sample_person(DARK)
    mixed = cast.inner_face(identity, attribute, recoloured=False)
    inside, outside = cast.space.face == 1, (cast.space.face == 0) & (cast.space.regions != 5)
    for actor, where in ((cast.actor(identity), inside), (cast.actor(attribute), outside)):
        found, expected = (a.atlas[where].float() for a in (mixed, actor))
        torch.testing.assert_close(found, expected, atol=2e-3, rtol=2e-2)


def test_recolouring_gives_the_attributes_colour_and_keeps_the_identitys_shape(cast):
    identity, attribute = sample_person(PALE), sample_person(DARK)
    plain, again = (cast.inner_face(identity, attribute, recoloured=r) for r in (False, True))
    who, on = cast.actor(identity), cast.actor(attribute)
    face = cast.space.face > 0.95

    def mean(actor):
        return actor.atlas[face][:, ALBEDO].float().clamp(min=1e-3).log().mean(0)

    apart = (mean(who) - mean(on)).abs().max()
    assert apart > 0.5
    assert (mean(plain) - mean(who)).abs().max() < 0.1 * apart
    assert (mean(again) - mean(on)).abs().max() < 0.2 * apart
    assert torch.equal(plain.neutral, again.neutral)


def test_mouth_eyes_and_teeth_follow_the_inner_face_as_a_whole(cast):
    local = torch.as_tensor(cast.body.local[[*WHOLE, *TONGUE]])
    assert (cast.shares[local[local >= 0]] == 1).all()
    inner_lips = cast.body.landmarks[60:68]
    assert (cast.shares[inner_lips] == 1).all()
    assert (cast.shares[cast.body.landmarks[[0, 16]]] < 0.5).all(), "the jaw below the ears is the attribute's"
    base = torch.as_tensor(cast.body.base.vertices[cast.body.ids], dtype=torch.float32)
    away = base - base[inner_lips].mean(0)
    hollow = (away[:, 0].abs() < 0.15) & (away[:, 1].abs() < 0.2) & (away[:, 2] < -0.2) & (away[:, 2] > -0.7)
    assert hollow.sum() > 20
    assert (cast.shares[hollow] == 1).float().mean() > 0.8, "palate and floor of the mouth"


def test_every_pair_has_a_blend_of_its_own(cast):
    one, two, three = (sample_person(n) for n in (1, 2, 3))
    blends = [cast.inner_face(a, b, recoloured=False) for a, b in ((one, two), (one, three), (two, one))]
    for n, blend in enumerate(blends):
        for other in blends[:n]:
            assert not torch.equal(blend.neutral, other.neutral)
    assert cast.inner_face(one, two, recoloured=False) is blends[0]


def test_slots_hold_who_they_are_asked_for_also_when_others_had_to_leave(cast):
    few = small(cast, 2)
    people = [sample_person(n) for n in range(3)]
    kept = []
    for person in people:
        kept = [*kept, few.actor(person)][-2:]
        for actor, slot in zip(kept, few.slots(kept).tolist(), strict=True):
            assert torch.equal(few.atlases[slot], actor.atlas)
    assert len(few.atlases) == 2
    assert few.actor(people[1]) is kept[0], "the last two stay"
    few.actor(people[0])
    assert few.actor(people[1]) is kept[0], "whoever was asked for last stays"


def test_slopes_are_the_gradient_of_a_height_over_the_body(cast):
    """Height that grows along one axis of the body rises by as much along the surface."""
    place = cast.space.place
    facing = (cast.space.face == 1) & (place[..., 1] > 7.3) & (place[..., 2] > 0.8) & (place[..., 0].abs() < 0.4)
    assert facing.sum() > 50
    for axis in (0, 1):
        slope = cast.slope(0.1 * place[..., axis])[facing]
        assert slope[:, axis].median() == pytest.approx(0.1, abs=0.03)
        assert slope[:, 1 - axis].abs().median() < 0.03
