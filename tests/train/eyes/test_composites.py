"""Inner faces in other heads: what gets through, who is chosen, whose label counts."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.train.eyes.composites import choose_partners, composite, usable_for_composites  # noqa: E402


def disc(radius: float, size: int = 48) -> torch.Tensor:
    at = torch.arange(size) + 0.5 - size / 2
    return ((at[:, None] ** 2 + at[None] ** 2).sqrt() < radius).float()


def pictures(count: int, seed: int) -> torch.Tensor:
    return torch.rand((count, 3, 48, 48), generator=torch.Generator().manual_seed(seed))


def made(face: torch.Tensor, head: torch.Tensor, inner: torch.Tensor, colour: float = 0.0) -> torch.Tensor:
    rows = len(face)
    masks = inner.expand(rows, -1, -1)
    return composite(
        face, masks, head, masks, colour_share=torch.full((rows,), colour), edge_px=torch.full((rows,), 2.0)
    )


def test_outside_the_inner_face_not_a_bit_changes_and_well_inside_it_is_the_face() -> None:
    face, head, inner = pictures(2, 0), pictures(2, 1), disc(16)
    found = made(face, head, inner)
    outside, deep = inner == 0, disc(7) > 0
    assert torch.equal(found[:, :, outside], head[:, :, outside])
    torch.testing.assert_close(found[:, :, deep], face[:, :, deep], atol=1e-5, rtol=0)


def test_nothing_of_the_face_gets_through_beyond_its_mask() -> None:
    face, head, inner = pictures(1, 0), pictures(1, 1), disc(16)
    other = torch.where(inner > 0, face, 1 - face)
    torch.testing.assert_close(made(face, head, inner), made(other, head, inner))


def test_colours_move_to_the_heads_own_face() -> None:
    inner = disc(16)
    face = 0.2 + 0.1 * pictures(1, 0)
    head = torch.full((1, 3, 48, 48), 0.9)
    head[:, :, inner > 0] = 0.6 + 0.1 * pictures(1, 1)[:, :, inner > 0]
    deep = disc(7) > 0
    moved = made(face, head, inner, colour=1.0)[:, :, deep].mean()
    assert float(moved) == pytest.approx(float(head[:, :, inner > 0].mean()), abs=0.01)
    assert float(made(face, head, inner)[:, :, deep].mean()) == pytest.approx(float(face[:, :, deep].mean()), abs=1e-5)


def test_what_is_worn_goes_along_and_does_not_count_as_colour() -> None:
    inner, head = disc(16), pictures(1, 1)
    bare = 0.2 + 0.1 * pictures(1, 0)
    band = torch.zeros(48, 48, dtype=torch.bool)
    band[22:26] = True
    masked = torch.where(band, torch.tensor([0.1, 0.2, 0.9])[:, None, None], bare)
    halves = torch.where(band & (inner > 0), 0.5, inner)
    holes = torch.where(band, 0.0, inner)
    skin = (inner > 0) & ~band
    made_worn = composite(masked, halves[None], head, inner[None], colour_share=torch.ones(1), edge_px=torch.ones(1))
    made_bare = composite(bare, holes[None], head, inner[None], colour_share=torch.ones(1), edge_px=torch.ones(1))
    deep = skin & (disc(9) > 0) & ~torch.nn.functional.max_pool2d(band[None].float(), 11, 1, 5)[0].bool()
    torch.testing.assert_close(made_worn[:, :, deep], made_bare[:, :, deep], atol=1e-4, rtol=0)
    assert not torch.equal(made_worn[:, :, 24, 24], head[:, :, 24, 24])


def test_a_pictures_composite_does_not_depend_on_its_neighbours() -> None:
    face, head, inner = pictures(3, 0), pictures(3, 1), disc(16)
    together = made(face, head, inner, 0.7)
    torch.testing.assert_close(made(face[1:2], head[1:2], inner, 0.7), together[1:2])


def test_partners_are_other_people_of_like_pose() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    pose = torch.tensor([[0.0, 0], [40, 0], [0, 0], [40, 0], [-40, 0], [-40, 30]])
    usable = torch.tensor([True, True, True, True, True, False])
    partner = choose_partners(pose, labels, usable, torch.Generator().manual_seed(0))
    assert partner[:4].tolist() == [2, 3, 0, 1]
    assert partner[4].item() in (0, 2)
    assert partner[5].item() == -1


def test_no_partner_among_one_person() -> None:
    partner = choose_partners(
        torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64), torch.ones(3, dtype=torch.bool), torch.Generator()
    )
    assert partner.tolist() == [-1, -1, -1]


def test_small_faces_and_profiles_are_not_used() -> None:
    inner = (torch.stack([disc(16), disc(16), disc(3)]) * 255).byte()
    pose = torch.tensor([[10.0, 0], [-70, 0], [0, 0]])
    assert usable_for_composites(inner, pose).tolist() == [True, False, False]
