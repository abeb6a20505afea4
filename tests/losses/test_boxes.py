"""Overlaps by counting pixels, losses by closed forms, and who answers for which face by cases worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.geometry import box_overlap  # noqa: E402
from facegraft.losses.boxes import (  # noqa: E402
    Assignment,
    assign,
    distance_overlap_loss,
    inside,
    overlap,
    pairwise_overlap,
    point_loss,
    quality_focal,
)


def boxes(count: int, seed: int = 0) -> torch.Tensor:
    low = torch.rand((count, 2), generator=torch.Generator().manual_seed(seed)) * 20
    size = torch.rand((count, 2), generator=torch.Generator().manual_seed(seed + 1)) * 15 + 1
    return torch.cat([low, low + size], 1)


def grid(side: int, step: int) -> torch.Tensor:
    at = (torch.arange(side // step, dtype=torch.float32) + 0.5) * step
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), -1).reshape(-1, 2)


def test_overlap_equals_that_of_the_geometry_module_and_counted_pixels() -> None:
    some, others = boxes(6), boxes(5, seed=9)
    told = pairwise_overlap(some[None], others[None])[0].numpy()
    for row in range(6):
        assert np.allclose(told[row], box_overlap(some[row].numpy(), others.numpy()), atol=1e-6)
    whole = torch.tensor([[2.0, 3, 10, 9]]), torch.tensor([[5.0, 1, 12, 7]])
    pixels = torch.zeros(2, 20, 20, dtype=torch.bool)
    for plane, box in zip(pixels, whole, strict=True):
        left, top, right, bottom = box[0].int().tolist()
        plane[top:bottom, left:right] = True
    assert overlap(*whole).item() == pytest.approx((pixels[0] & pixels[1]).sum() / (pixels[0] | pixels[1]).sum())


def test_box_loss_is_none_for_the_truth_and_pulls_from_afar() -> None:
    truth = torch.tensor([[10.0, 10, 20, 20]])
    assert distance_overlap_loss(truth, truth).item() == pytest.approx(0)
    near, far = truth + 20, truth + 60
    assert 1 < distance_overlap_loss(near, truth).item() < distance_overlap_loss(far, truth).item() < 2
    assert distance_overlap_loss(near, truth).item() == pytest.approx(1 + 800 / 1800)  # 20 apart, 30 across, squared
    moving = near.clone().requires_grad_()
    distance_overlap_loss(moving, truth).sum().backward()
    assert moving.grad is not None
    assert (moving.grad[:, :2] + moving.grad[:, 2:] > 0).all()  # its middle goes back


def test_quality_focal_is_least_at_the_quality_and_weighs_by_the_error() -> None:
    quality = torch.tensor([0.0, 0.3, 1.0])
    logits = torch.linspace(-8, 8, 3201)[:, None].expand(-1, 3)
    best = logits[quality_focal(logits, quality.expand(3201, 3)).argmin(0), 0].sigmoid()
    assert torch.allclose(best, quality, atol=5e-3)
    value = quality_focal(torch.zeros(1), torch.ones(1)).item()
    assert value == pytest.approx(0.25 * np.log(2))


def test_point_loss_counts_in_sides_of_the_face() -> None:
    truth = torch.rand(2, 5, 2) * 50
    moved = truth + torch.tensor([4.0, 0.0])
    loss = point_loss(moved, truth, torch.tensor([100.0, 50.0]))
    assert loss[0].item() == pytest.approx((0.04 - 0.01) / 2)  # x alone is off; smooth L1 with its bend at .02
    assert loss[1].item() == pytest.approx((0.08 - 0.01) / 2)
    assert point_loss(truth * 3, moved * 3, torch.tensor([300.0, 150.0])).numpy() == pytest.approx(
        loss.numpy(), abs=1e-6
    )


def assigned(
    truth: torch.Tensor, *, real: list[bool] | None = None, most: int = 10, guess: torch.Tensor | None = None
) -> tuple[torch.Tensor, Assignment]:
    at = grid(64, 8)
    guess = torch.cat([at - 8, at + 8], 1) if guess is None else guess
    flags = torch.tensor([real or [True] * len(truth)])
    told = assign(torch.full((1, len(at)), 0.1), guess[None], at, truth[None], flags, most=most)
    return at, told


def test_only_places_inside_answer_and_at_most_so_many() -> None:
    truth = torch.tensor([[4.0, 4, 36, 36], [40, 40, 62, 62]])
    at, told = assigned(truth, most=3)
    within = inside(at, truth[None])[0]
    for face in (0, 1):
        rows = told.taken[0] & (told.face[0] == face)
        assert 1 <= rows.sum() <= 3
        assert within[rows, face].all()
    assert (told.quality[0][~told.taken[0]] == 0).all()


def test_the_best_place_should_reach_the_overlap_it_has() -> None:
    truth = torch.tensor([[16.0, 16, 48, 48]])
    at = grid(64, 8)
    guess = torch.cat([at - 8, at + 8], 1)
    row = int(((at - 28) ** 2).sum(1).argmin())
    guess[row] = torch.tensor([16.0, 16, 48, 40])  # overlaps by 3/4
    _, told = assigned(truth, guess=guess)
    assert int(told.quality[0].argmax()) == row
    assert told.quality[0, row].item() == pytest.approx(0.75)
    assert told.quality.max() <= 1


def test_a_place_that_two_faces_claim_answers_for_the_one_it_fits() -> None:
    truth = torch.tensor([[0.0, 0, 60, 60], [20, 20, 36, 36]])
    at, told = assigned(truth)
    middle = int(((at - 28) ** 2).sum(1).argmin())
    assert told.face[0, middle] == 1  # boxes of 16 pixels fit the small face


def test_filled_up_rows_get_nothing_and_a_face_between_places_gets_one() -> None:
    truth = torch.tensor([[0.0, 0, 0, 0], [29, 29, 35, 35]])  # the second holds no place: they stand at 28 and 36
    _, told = assigned(truth, real=[False, True])
    assert told.taken.sum() == 1
    assert told.face[0][told.taken[0]].tolist() == [1]


def test_a_picture_without_faces_asks_for_nothing() -> None:
    _, told = assigned(torch.zeros(1, 4), real=[False])
    assert not told.taken.any()
    assert told.quality.sum() == 0
