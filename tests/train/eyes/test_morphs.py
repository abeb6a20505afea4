"""Morphs lie between two people, where both have their points; and the recipe draws and teaches them as people."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")
pytest.importorskip("scipy")

from facegraft.core.geometry import sample  # noqa: E402
from facegraft.train.eyes.morphs import SHARES, morphed, warp_maps  # noqa: E402
from facegraft.train.eyes.people import STORE_PX, People  # noqa: E402


def points_at(shift: float) -> np.ndarray:
    """68 points on a grid around the middle, each a little off by chance."""
    rng = np.random.default_rng(0)
    side = np.linspace(45, 100, 9)
    grid = np.array([(x, y) for y in side for x in side][:68], np.float32)
    return (grid + rng.uniform(-2, 2, (68, 2)) + shift).astype(np.float32)


def people_of(levels: list[int], shifts: list[float]) -> People:
    count = len(levels)
    images = torch.tensor(levels, dtype=torch.uint8)[:, None, None, None].expand(count, 3, STORE_PX, STORE_PX).clone()
    return People(
        images=images,
        inner=torch.full((count, STORE_PX, STORE_PX), 255, dtype=torch.uint8),
        landmarks=torch.stack([torch.from_numpy(points_at(shift)) for shift in shifts]),
        pose=torch.zeros(count, 2),
        labels=torch.arange(count),
        names=tuple(f"p{n}" for n in range(count)),
        real=torch.ones(count, dtype=torch.bool),
    )


def test_the_warp_takes_each_point_to_its_place() -> None:
    """A picture of x coordinates, read where the map says: at the goal's points stand the own points' coordinates."""
    goal, own = points_at(0), points_at(3)
    at = warp_maps(goal, own)
    ramp = np.repeat(np.arange(STORE_PX, dtype=np.float32)[None] + 0.5, STORE_PX, 0)
    for picture, axis in ((ramp, 0), (ramp.T.copy(), 1)):
        found = sample(sample(picture, at), (goal - 0.5)[None])[0]
        assert np.abs(found - own[:, axis]).mean() < 0.5
        assert np.abs(found - goal[:, axis]).mean() > 2


def test_without_a_change_nothing_moves() -> None:
    at = warp_maps(points_at(0), points_at(0))
    x, y = np.meshgrid(np.arange(STORE_PX), np.arange(STORE_PX))
    np.testing.assert_allclose(at, np.stack([x, y], 2), atol=1e-3)


def test_colours_and_points_are_mixed_by_the_same_share() -> None:
    made = morphed(people_of([0, 200], [0.0, 6.0]), 12, seed=3)
    shares_of_second = made.images.float().mean((1, 2, 3)) / 200
    away = (made.landmarks - torch.from_numpy(points_at(0))).mean((1, 2)) / 6
    torch.testing.assert_close(shares_of_second, away, atol=0.01, rtol=0)
    assert SHARES[0] - 0.01 <= float(away.min()) < float(away.max()) <= SHARES[1] + 0.01


def test_only_photographs_of_two_people_meet() -> None:
    people = people_of([0, 0, 100, 250], [0.0, 0.0, 0.0, 0.0])
    people = dataclasses.replace(
        people, labels=torch.tensor([0, 0, 1, 2]), real=torch.tensor([True, True, True, False])
    )
    levels = morphed(people, 20, seed=0).images.float().mean((1, 2, 3))
    assert (levels >= 100 * SHARES[0] - 1).all()  # never two of the first person
    assert (levels <= 100 * SHARES[1] + 1).all()  # never the rendered one
    with pytest.raises(ValueError, match="two people"):
        morphed(dataclasses.replace(people, real=torch.tensor([True, True, False, False])), 1, seed=0)


def test_the_same_seed_makes_the_same_morphs_and_the_nearest_pose_is_chosen() -> None:
    people = people_of([0, 100, 200], [0.0, 0.0, 0.0])
    people = dataclasses.replace(people, pose=torch.tensor([[0.0, 0], [2.0, 0], [60.0, 0]]))
    first, again = (morphed(people, 8, seed=5) for _ in range(2))
    assert torch.equal(first.images, again.images)
    from_first_two = first.pose[:, 0] < 3
    assert from_first_two.float().mean() > 0.4  # the third has no near one and takes what there is
    assert first.names[:2] == ("morph/0", "morph/1")
    assert not first.pose.isnan().any()
