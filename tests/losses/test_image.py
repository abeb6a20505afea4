"""Differences of pictures: who counts, and structure."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from facegraft.losses.features import feature_matching  # noqa: E402
from facegraft.losses.identity import cosine_identity_loss  # noqa: E402
from facegraft.losses.image import dssim, l1_where, mean_where, mse_where  # noqa: E402

WHERE = torch.tensor([True, False, True])


def test_only_pairs_with_an_answer_count_and_they_are_not_thinned_by_the_others() -> None:
    made, truth = torch.zeros(3, 3, 4, 4), torch.stack([torch.full((3, 4, 4), value) for value in (0.5, 9.0, 1.5)])
    assert l1_where(made, truth, where=WHERE) == 1
    assert mse_where(made, truth, where=WHERE) == 1.25
    assert mean_where(torch.tensor([1.0, 100.0, 3.0]), WHERE) == 2


def test_without_any_answer_the_loss_is_0_and_teaches_nothing() -> None:
    made = torch.rand(3, 3, 4, 4, requires_grad=True)
    loss = l1_where(made, torch.zeros(3, 3, 4, 4), where=torch.zeros(3, dtype=torch.bool))
    loss.backward()
    assert loss == 0
    assert made.grad is not None
    assert made.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", [l1_where, mse_where])
def test_a_step_down_goes_towards_the_answer(loss: object) -> None:
    made, truth = torch.zeros(3, 3, 4, 4, requires_grad=True), torch.full((3, 3, 4, 4), 0.7)
    loss(made, truth, where=WHERE).backward()  # type: ignore[operator]  # either
    assert made.grad is not None
    assert bool((made.grad[0] < 0).all())
    assert made.grad[1].abs().sum() == 0


def test_dssim_is_0_of_a_picture_itself_and_near_1_of_its_negative() -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(2, 3, 32, 32, generator=generator)
    assert dssim(picture, picture).abs().max() < 1e-6
    assert dssim(picture, 1 - picture).min() > 0.6
    nearer = picture + 0.05 * torch.rand(2, 3, 32, 32, generator=generator)
    assert bool((dssim(picture, nearer) < dssim(picture, picture.flip(-1))).all())


def test_dssim_of_flat_pictures_is_its_closed_form() -> None:
    """Without any structure only luminance counts: (2 a b + c1) / (a^2 + b^2 + c1)."""
    first, second = torch.full((1, 1, 16, 16), 0.2), torch.full((1, 1, 16, 16), 0.6)
    ssim = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    assert float(dssim(first, second)) == pytest.approx((1 - ssim) / 2, abs=1e-4)


def test_the_identity_loss_is_1_less_the_cosine_and_leaves_the_label_alone() -> None:
    swapped = torch.tensor([[3.0, 0.0], [0.0, 1.0]], requires_grad=True)
    person = torch.tensor([[1.0, 0.0], [0.0, -1.0]], requires_grad=True)
    loss = cosine_identity_loss(swapped, person)
    assert float(loss.detach()) == pytest.approx(1.0)
    loss.backward()
    assert person.grad is None
    assert float(cosine_identity_loss(swapped, person, margin=0.5).detach()) == pytest.approx(0.75)


def test_feature_matching_weighs_maps_and_leaves_the_real_side_alone() -> None:
    made = [torch.zeros(1, 2, 4, 4, requires_grad=True), torch.zeros(1, 2, 2, 2)]
    real = [torch.ones(1, 2, 4, 4, requires_grad=True), torch.full((1, 2, 2, 2), 3.0)]
    assert feature_matching(made, real) == 4
    loss = feature_matching(made, real, [2.0, 0.5])
    assert loss == 3.5
    loss.backward()
    assert real[0].grad is None
    assert made[0].grad is not None
    assert bool((made[0].grad < 0).all())
