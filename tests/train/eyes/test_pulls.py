"""Faces pulled about: points follow what the picture shows, nothing folds, crops without a face stay."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from facegraft.faces.topology import LANDMARKS_68, load_topology  # noqa: E402
from facegraft.train.eyes.face_crops import FaceBatch  # noqa: E402
from facegraft.train.eyes.face_points import outer_eye_distance  # noqa: E402
from facegraft.train.eyes.pulls import PAIRS, STEEPEST, Pulls, draw_pulls, pulled  # noqa: E402

SIDE = 128


def batch(count: int = 6) -> FaceBatch:
    """Pictures whose red and green say where each pixel was: x and y in crop sides. The last one shows no face."""
    dense = torch.from_numpy(load_topology().xyz).float() * 0.22 + torch.tensor([0.5, 0.45, 0.0])
    points = torch.cat([dense, dense[list(LANDMARKS_68)], dense[[468 // 2, 468 // 3]]])
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    known = torch.ones(count, len(points))
    presence = torch.ones(count)
    presence[-1] = 0
    crop = torch.stack([x, y, 0 * x])
    return FaceBatch(crop.repeat(count, 1, 1, 1), points.repeat(count, 1, 1), known, known, known, presence)


def test_points_lie_where_the_picture_shows_them() -> None:
    before = batch()
    after = pulled(before, 1.0, torch.Generator().manual_seed(3))
    assert torch.equal(after.crop[-1], before.crop[-1])
    assert torch.equal(after.points[-1], before.points[-1])
    moved = (after.points - before.points)[:-1, :, :2].norm(dim=-1)
    unit = outer_eye_distance(before.points)[0]
    assert moved.amax() > 0.05 * unit
    grid = 2 * after.points[:-1, None, :, :2] - 1
    shown = torch.nn.functional.grid_sample(after.crop[:-1, :2], grid, align_corners=False)[:, :, 0].mT
    inside = ((after.points[:-1, :, :2] - 0.5).abs() < 0.45).all(-1)
    assert inside.float().mean() > 0.9
    # a quarter of a pixel: what was at a point is seen at the moved one
    assert (shown - before.points[:-1, :, :2])[inside].abs().amax() < 0.25 / SIDE
    assert torch.equal(after.points[..., 2], before.points[..., 2])


def test_nothing_folds() -> None:
    points = batch(64).points
    pulls = draw_pulls(points, torch.Generator().manual_seed(0))
    assert float(pulls.steepest().amax()) <= STEEPEST + 1e-4
    # neighbours on a line stay in order, across and down
    axis = torch.linspace(0.02, 0.98, 97)
    x, y = torch.meshgrid(axis, axis, indexing="xy")
    places = pulls.moved(torch.stack([x, y], -1).reshape(1, -1, 2).expand(64, -1, -1)).unflatten(1, (97, 97))
    assert float(places[..., 0].diff(dim=2).amin()) > 0
    assert float(places[..., 1].diff(dim=1).amin()) > 0


def test_a_known_pull() -> None:
    pulls = Pulls(torch.tensor([[[0.5, 0.5]]]), torch.tensor([[[0.04, 0.0]]]), torch.tensor([[0.1]]))
    middle = torch.tensor([[[0.5, 0.5]]])
    seen = pulls.moved(middle)
    # at its goal x the thing has come by .04 exp(-(x - .5)^2 / .02)
    assert float(seen[0, 0, 0] - 0.5) == pytest.approx(
        0.04 * float(torch.exp(-((seen[0, 0, 0] - 0.5) ** 2) / 0.02)), rel=1e-4
    )
    assert float(seen[0, 0, 0]) == pytest.approx(0.537, abs=1e-3)
    assert pulls.moved(torch.tensor([[[0.0, 0.0]]])).abs().amax() < 1e-6


def test_shares_and_seeds() -> None:
    before = batch(41)
    before = dataclasses.replace(before, presence=torch.ones(41))
    assert pulled(before, 0, torch.Generator().manual_seed(0)) is before
    one, same = (pulled(before, 0.5, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one.points, same.points)
    assert torch.equal(one.crop, same.crop)
    changed = (one.points != before.points).flatten(1).any(1)
    assert 8 < int(changed.sum()) < 33
    assert torch.equal((one.crop != before.crop).flatten(1).any(1), changed)


def test_twins_are_often_pulled_alike() -> None:
    points = batch(400).points
    pulls = draw_pulls(points, torch.Generator().manual_seed(1))
    left, right = pulls.ways[:, 0], pulls.ways[:, len(PAIRS)]
    both = (left.abs().amax(1) > 0) & (right.abs().amax(1) > 0)
    across, down = left[both][:, 0] + right[both][:, 0], left[both][:, 1] - right[both][:, 1]
    alike = (across.abs() + down.abs()) < 1e-5
    # of 400, .6 (twins alike) x .6 + .4 x .36 pull both corners; of those .71 alike
    assert 0.4 < float(both.float().mean()) < 0.6
    assert 0.6 < float(alike.float().mean()) < 0.82
