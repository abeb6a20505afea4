"""Margins and contrast against closed forms and plain loops."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F  # noqa: E402

from facegraft.losses.distil import answer_loss, relation_loss  # noqa: E402
from facegraft.losses.margin import adaptive_margins, margin_loss, supervised_contrast  # noqa: E402


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_without_a_margin_it_is_cross_entropy_of_cosines() -> None:
    z, centres, labels = drawn(6, 8), drawn(5, 8, seed=1), torch.tensor([0, 1, 2, 3, 4, 0])
    expected = F.cross_entropy(16 * F.normalize(z) @ F.normalize(centres).T, labels)
    torch.testing.assert_close(margin_loss(z, centres, labels, scale=16), expected)


@pytest.mark.parametrize(("angle", "add"), [(0.5, 0.0), (0.0, 0.35), (-0.2, 0.6)])
def test_two_people_at_known_angles(angle: float, add: float) -> None:
    theta = 1.0
    z = torch.tensor([[math.cos(theta), math.sin(theta)]])
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    right, wrong = math.cos(theta + angle) - add, math.sin(theta)
    expected = math.log(1 + math.exp(10 * (wrong - right)))
    found = margin_loss(z, centres, torch.tensor([0]), scale=10, angle=angle, add=add)
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_margin_beyond_pi_does_not_reward_and_gradients_stay_finite() -> None:
    centres = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    losses = []
    for angle in (0.0, 0.3, 0.6):
        z = torch.tensor([[-1.0, 0.01], [1.0, 0.0]], requires_grad=True)
        loss = margin_loss(z, centres, torch.tensor([0, 0]), scale=10, angle=angle)
        loss.backward()
        assert z.grad is not None
        assert z.grad.isfinite().all()
        losses.append(float(loss.detach()))
    assert losses == sorted(losses)


def test_adaptive_margins_are_those_of_the_paper() -> None:
    lengths = torch.tensor([0.0, 20.0, 40.0, 21.5])
    angle, add = adaptive_margins(lengths, 20.0, 1.5 - 1e-3, margin=0.4)
    torch.testing.assert_close(angle, torch.tensor([0.4, 0.0, -0.4, -0.4 * 0.333]))
    torch.testing.assert_close(add, torch.tensor([0.0, 0.4, 0.8, 0.4 + 0.4 * 0.333]))


def test_contrast_equals_a_plain_loop() -> None:
    z, labels = drawn(7, 5), torch.tensor([0, 0, 1, 1, 1, 2, 0])
    unit = F.normalize(z)
    rows = []
    for i in range(7):
        others = [j for j in range(7) if j != i]
        total = sum(math.exp(float(unit[i] @ unit[j]) / 0.2) for j in others)
        positive = [j for j in others if labels[j] == labels[i]]
        if positive:
            rows.append(-sum(float(unit[i] @ unit[j]) / 0.2 - math.log(total) for j in positive) / len(positive))
    assert len(rows) == 6
    assert float(supervised_contrast(z, labels, temperature=0.2)) == pytest.approx(sum(rows) / 6, rel=1e-5)


def test_contrast_without_pairs_is_0_and_of_equal_rows_is_guessing() -> None:
    alone = drawn(4, 5).requires_grad_()
    loss = supervised_contrast(alone, torch.arange(4))
    loss.backward()
    assert float(loss.detach()) == 0
    assert alone.grad is not None
    assert alone.grad.isfinite().all()
    same = torch.ones(6, 3)
    assert float(supervised_contrast(same, torch.tensor([0, 0, 1, 1, 2, 2]))) == pytest.approx(math.log(5), rel=1e-5)


def test_relations_do_not_see_a_turn_of_the_space_and_answers_do() -> None:
    teacher = F.normalize(drawn(8, 6))
    turn = torch.linalg.qr(drawn(6, 6, seed=3)).Q
    assert float(relation_loss(3 * teacher @ turn, teacher)) == pytest.approx(0, abs=1e-10)
    assert float(answer_loss(3 * teacher, teacher)) == pytest.approx(0, abs=1e-6)
    assert float(answer_loss(teacher @ turn, teacher)) > 0.1
    assert float(answer_loss(-teacher, teacher)) == pytest.approx(2, abs=1e-6)


def test_no_gradient_reaches_the_teacher() -> None:
    ours, theirs = drawn(4, 6).requires_grad_(), drawn(4, 6, seed=1).requires_grad_()
    (relation_loss(ours, theirs) + answer_loss(ours, theirs)).backward()
    assert ours.grad is not None
    assert theirs.grad is None
    with pytest.raises(ValueError, match="two or more"):
        relation_loss(ours[:1], theirs[:1])
