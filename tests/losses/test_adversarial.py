"""Adversarial losses against their closed forms, and which way they pull."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from facegraft.losses.adversarial import (  # noqa: E402
    hinge_discriminator,
    hinge_generator,
    hinge_generator_bounded,
    logistic_discriminator,
    logistic_generator,
)

ZERO = [torch.zeros(2, 1, 3, 3)]


def level(value: float) -> list[torch.Tensor]:
    return [torch.full((2, 1, 3, 3), float(value))]


def test_values_where_nothing_is_known_and_where_all_is() -> None:
    assert hinge_discriminator(ZERO, ZERO) == 2
    assert hinge_discriminator(level(1.5), level(-1.5)) == 0
    assert hinge_discriminator(level(-2), level(2)) == 6
    assert hinge_generator(level(0.5)) == -0.5
    assert hinge_generator_bounded(level(0.5)) == 0.5
    assert hinge_generator_bounded(level(3)) == 0
    assert float(logistic_discriminator(ZERO, ZERO)) == pytest.approx(2 * math.log(2))
    assert float(logistic_generator(ZERO)) == pytest.approx(math.log(2))


@pytest.mark.parametrize("loss", [hinge_discriminator, logistic_discriminator])
def test_a_discriminator_is_pulled_up_on_real_and_down_on_made_pictures(loss: object) -> None:
    real, fake = ([torch.zeros(2, 1, 2, 2, requires_grad=True)] for _ in range(2))
    loss(real, fake).backward()  # type: ignore[operator]  # any of the two
    assert bool((real[0].grad < 0).all())
    assert bool((fake[0].grad > 0).all())


@pytest.mark.parametrize("loss", [hinge_generator, hinge_generator_bounded, logistic_generator])
def test_its_opponent_is_pulled_up(loss: object) -> None:
    fake = [torch.zeros(2, 1, 2, 2, requires_grad=True)]
    loss(fake).backward()  # type: ignore[operator]  # any of the three
    assert bool((fake[0].grad < 0).all())


def test_scales_count_alike_whatever_their_size() -> None:
    assert hinge_generator([torch.full((1, 1, 8, 8), 1.0), torch.full((1, 1, 2, 2), 3.0)]) == -2
