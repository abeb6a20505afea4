"""Losses of a pupil against closed forms; the teacher's side is a label."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from facegraft.losses.distil import (  # noqa: E402
    answer_loss,
    feature_distance,
    map_loss,
    pixel_distance,
    relation_loss,
    teacher_trust,
)


def at_degrees(*degrees: float) -> torch.Tensor:
    return torch.tensor([[math.cos(math.radians(angle)), math.sin(math.radians(angle))] for angle in degrees])


def test_trust_is_the_squared_cosine_and_never_for_the_opposite() -> None:
    person = at_degrees(0, 0, 0, 0)
    trust = teacher_trust(at_degrees(0, 60, 90, 180), person)
    torch.testing.assert_close(trust, torch.tensor([1.0, 0.25, 0.0, 0.0]), atol=1e-6, rtol=0)
    torch.testing.assert_close(teacher_trust(3 * at_degrees(60), at_degrees(0)), torch.tensor([0.25]))


def test_trust_is_weighed_by_quality_and_asks_for_no_gradient() -> None:
    answer = at_degrees(60, 60, 60).requires_grad_()
    trust = teacher_trust(answer, at_degrees(0, 0, 0), quality=torch.tensor([0.5, 7.0, -1.0]))
    torch.testing.assert_close(trust, torch.tensor([0.125, 0.25, 0.0]))
    assert not trust.requires_grad


def test_a_bad_answer_gets_less_than_a_tenth() -> None:
    assert float(teacher_trust(at_degrees(75), at_degrees(0))) < 0.1


def test_pixels_count_where_they_should_and_each_sample_by_itself() -> None:
    answer = torch.zeros(2, 3, 4, 4)
    images = torch.stack([torch.full((3, 4, 4), -0.5), torch.full((3, 4, 4), 1.0)])
    left_half = torch.zeros(2, 1, 4, 4)
    left_half[..., :2] = 1
    torch.testing.assert_close(pixel_distance(images, answer), torch.tensor([0.5, 1.0]))
    torch.testing.assert_close(pixel_distance(images, answer, left_half), torch.tensor([0.25, 0.5]))
    images[..., 2:] = 9.0
    torch.testing.assert_close(pixel_distance(images, answer, left_half), torch.tensor([0.25, 0.5]))


def test_features_are_means_of_each_map_summed() -> None:
    ours = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 2, 2)]
    theirs = [torch.full((2, 3, 4, 4), 2.0), torch.stack([torch.full((5, 2, 2), -1.0), torch.zeros(5, 2, 2)])]
    torch.testing.assert_close(feature_distance(ours, theirs), torch.tensor([3.0, 2.0]))
    with pytest.raises(ValueError, match="zip"):
        feature_distance(ours, theirs[:1])


def test_no_gradient_reaches_the_teacher() -> None:
    ours, theirs = (torch.randn(2, 3, 4, 4).requires_grad_() for _ in range(2))
    (pixel_distance(ours, theirs) + feature_distance([ours], [theirs])).sum().backward()
    assert theirs.grad is None
    assert ours.grad.abs().sum() > 0
    for loss in (answer_loss, relation_loss):
        guess, answer = (torch.randn(3, 5).requires_grad_() for _ in range(2))
        loss(guess, answer).backward()
        assert answer.grad is None
        assert guess.grad.abs().sum() > 0


def test_a_guess_and_relations_against_closed_forms() -> None:
    assert float(answer_loss(at_degrees(0, 0), at_degrees(60, 180))) == pytest.approx((0.5 + 2) / 2)
    assert float(relation_loss(at_degrees(0, 90), 5 * at_degrees(30, 120))) == pytest.approx(0, abs=1e-12)
    assert float(relation_loss(at_degrees(0, 90), at_degrees(0, 0))) == pytest.approx(1)
    with pytest.raises(ValueError, match="two or more rows"):
        relation_loss(at_degrees(0), at_degrees(0))


def test_maps_are_compared_channel_by_channel() -> None:
    """Saying nothing costs 1 however strong channels are, the right guess 0; left-out samples count for nothing."""
    scale = torch.tensor([0.3, 1, 3])[:, None, None]
    spread = torch.randn(4, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    spread = (spread - spread.mean((0, 2, 3), keepdim=True)) / spread.std((0, 2, 3), correction=0, keepdim=True)
    answer, nothing = 5 + scale * spread, torch.zeros(4, 3, 7, 7)
    assert float(map_loss(nothing, answer)) == pytest.approx(1, abs=1e-4)
    assert float(map_loss(spread, answer)) == pytest.approx(0, abs=1e-9)
    half = torch.cat([spread[:2], nothing[2:]])
    assert float(map_loss(half, answer, torch.tensor([True, True, False, False]))) == pytest.approx(0, abs=1e-9)
    assert float(map_loss(half, answer, torch.zeros(4, dtype=torch.bool))) == 0
    silent = answer * torch.tensor([1e-6, 1, 1])[:, None, None]
    assert float(map_loss(nothing, silent)) == pytest.approx(2 / 3, abs=1e-4)
