"""Factors of light: what undoes them, and what the losses see."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.losses.shading import FLOOR, factors_between, left_percent, shading_losses, unevenness  # noqa: E402


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """An even picture, and the same with a shadow over its left half."""
    even = torch.full((2, 3, 16, 16), 0.5)
    image = even.clone()
    image[..., :8] *= 0.5
    return image, even


def test_the_right_factors_bring_a_picture_to_even_light() -> None:
    image, even = pair()
    factors = factors_between(image, even)
    assert factors.shape == (2, 3, 8, 8)
    lit = torch.nn.functional.avg_pool2d(image, 2) + FLOOR
    torch.testing.assert_close(lit * factors.exp(), torch.full_like(lit, 0.5 + FLOOR))
    assert factors[..., :4].min() > 0.5
    torch.testing.assert_close(factors[..., 4:], torch.zeros(2, 3, 8, 4))


def test_losses_are_nothing_where_all_is_right_and_see_what_is_wrong() -> None:
    right, where = factors_between(*pair()), torch.ones(2, 1, 8, 8)
    found = shading_losses(right, right, where)
    assert set(found) == {"place", "edges", "level"}
    assert all(float(loss) == 0 for loss in found.values())
    brighter = shading_losses(right + 0.3, right, where)
    assert float(brighter["level"]) == pytest.approx(0.3, abs=1e-5)
    assert float(brighter["place"]) == pytest.approx(0, abs=1e-5)
    assert float(brighter["edges"]) == pytest.approx(0, abs=1e-5)
    nothing = shading_losses(torch.zeros_like(right), right, where)
    step = float(right[0, 0, 0, 0])
    assert float(nothing["place"]) == pytest.approx(step / 2, rel=1e-4)
    assert float(nothing["edges"]) == pytest.approx(step / 8, rel=1e-4)  # one of eight columns
    wrong = shading_losses(-right, right, where)
    assert float(wrong["place"]) == pytest.approx(step, rel=1e-4)


def test_only_the_face_counts() -> None:
    right, where = factors_between(*pair()), torch.zeros(2, 1, 8, 8)
    where[..., 2:6, 2:6] = 1
    told = right.clone()
    told[..., :2, :] = 9
    found = shading_losses(told, right, where)
    assert all(float(loss) == 0 for loss in found.values())
    told[:, 1, 3, 3] += 1
    assert float(shading_losses(told, right, where)["place"]) > 0
    torch.testing.assert_close(unevenness(right, where).sum((2, 3)), torch.zeros(2, 3))


def test_losses_reach_what_was_told() -> None:
    right, where = factors_between(*pair()), torch.ones(2, 1, 8, 8)
    told = torch.zeros_like(right, requires_grad=True)
    for loss in shading_losses(told, right, where).values():
        (gradient,) = torch.autograd.grad(loss, told, retain_graph=True)
        assert gradient.abs().max() > 0


def test_what_is_left_is_a_share_of_what_was_there() -> None:
    right, where = factors_between(*pair()), torch.ones(2, 1, 8, 8)
    assert left_percent(torch.zeros_like(right), right, where) == pytest.approx(100)
    assert left_percent(right / 2 + 0.7, right, where) == pytest.approx(50, abs=1e-3)
    assert left_percent(right, right, where) == 0
