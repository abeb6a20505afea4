"""Region losses against closed forms and loops over pixels."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from facegraft.losses.regions import (  # noqa: E402
    agreement,
    balanced_weights,
    boundary_weight,
    dice_loss,
    lovasz_loss,
    mask_cross_entropy,
    region_cross_entropy,
)


def random_case(classes: int = 4, side: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn((2, classes, side, side), generator=generator)
    labels = torch.randint(classes, (2, side, side), generator=generator).to(torch.uint8)
    return logits, labels, torch.rand((2, side, side), generator=generator)


def as_shares(labels: torch.Tensor, classes: int) -> torch.Tensor:
    return torch.nn.functional.one_hot(labels.long(), classes).movedim(-1, 1).float()


def test_weights_balance_classes_and_leave_the_mean_pixel_at_one() -> None:
    counts = torch.tensor([800, 150, 50])
    for power in (0.0, 0.5, 1.0):
        weights = balanced_weights(counts, power, largest=100)
        assert float((weights * counts).sum() / counts.sum()) == pytest.approx(1)
    assert balanced_weights(counts, 0.0).tolist() == pytest.approx([1, 1, 1])
    totals = balanced_weights(counts, 1.0, largest=100) * counts
    assert totals.tolist() == pytest.approx([1000 / 3] * 3)
    capped = balanced_weights(torch.tensor([10**6, 0, 1]), 0.5, largest=5)
    assert (capped / capped[0]).tolist() == pytest.approx([1, 5, 5])


def test_boundaries_are_where_another_label_is_near() -> None:
    labels = random_case(classes=2, side=9)[1] * 3
    labels[0, :, :5] = 0
    found = boundary_weight(labels, 2, 1.5)
    for picture, y, x in ((p, y, x) for p in range(2) for y in range(9) for x in range(9)):
        window = labels[picture, max(0, y - 2) : y + 3, max(0, x - 2) : x + 3]
        assert found[picture, y, x] == (2.5 if len(window.unique()) > 1 else 1.0)
    assert (found[0, :, :3] == 1).all()


def test_cross_entropy_is_the_weighted_mean_over_pixels() -> None:
    logits, labels, weight = random_case()
    per_class = torch.tensor([0.5, 1.0, 2.0, 3.0])
    total, norm = 0.0, 0.0
    for picture, y, x in ((p, y, x) for p in range(2) for y in range(6) for x in range(6)):
        label = int(labels[picture, y, x])
        share = math.exp(logits[picture, label, y, x]) / sum(math.exp(value) for value in logits[picture, :, y, x])
        counts = float(weight[picture, y, x] * per_class[label])
        total, norm = total - counts * math.log(share), norm + counts
    assert float(region_cross_entropy(logits, labels, weight, per_class)) == pytest.approx(total / norm, rel=1e-5)
    unknowing = region_cross_entropy(torch.zeros_like(logits), labels, weight, per_class)
    assert float(unknowing) == pytest.approx(math.log(4), rel=1e-5)


@pytest.mark.parametrize("name", ["classes", "dice", "lovasz", "mask", "agreement"])
def test_pixels_without_weight_have_no_gradient(name: str) -> None:
    logits, labels, weight = random_case()
    weight[:, :3] = 0
    logits.requires_grad_()
    loss = {
        "classes": lambda: region_cross_entropy(logits, labels, weight, torch.ones(4)),
        "dice": lambda: dice_loss(logits.softmax(1), labels, weight),
        "lovasz": lambda: lovasz_loss(logits.softmax(1), labels, weight),
        "mask": lambda: mask_cross_entropy(logits[:, :1], (labels[:, None] > 1).float(), weight),
        "agreement": lambda: agreement(logits, as_shares(labels, 4), weight, 0.9),
    }[name]()
    loss.backward()
    assert logits.grad[:, :, :3].abs().max() == 0
    assert logits.grad[:, :, 3:].abs().max() > 0


def test_where_nothing_counts_losses_are_zero() -> None:
    logits, labels, weight = random_case()
    nothing = torch.zeros_like(weight)
    assert float(region_cross_entropy(logits, labels, nothing, torch.ones(4))) == 0
    assert float(dice_loss(logits.softmax(1), labels, nothing)) == 0
    assert float(lovasz_loss(logits.softmax(1), labels, nothing)) == 0
    assert float(agreement(logits, as_shares(labels, 4), nothing, 0.5)) == 0


def test_dice_of_hard_answers_is_the_dice_coefficient() -> None:
    _, labels, weight = random_case()
    found = random_case(seed=1)[1]
    whole = torch.ones_like(weight)
    assert float(dice_loss(as_shares(labels, 4), labels, whole)) == pytest.approx(0, abs=1e-6)
    assert float(dice_loss(as_shares((labels + 1) % 4, 4), labels, whole)) == pytest.approx(1)
    scores = []
    for number in range(4):
        a, b = found == number, labels == number
        scores.append(2 * int((a & b).sum()) / int(a.sum() + b.sum()))
    assert float(dice_loss(as_shares(found, 4), labels, whole)) == pytest.approx(1 - sum(scores) / 4, rel=1e-5)


def test_lovasz_of_hard_answers_is_one_minus_iou() -> None:
    labels, found = random_case()[1], random_case(seed=1)[1]
    whole = torch.ones(labels.shape)
    ious = [int(((found == n) & (labels == n)).sum()) / int(((found == n) | (labels == n)).sum()) for n in range(4)]
    assert float(lovasz_loss(as_shares(found, 4), labels, whole)) == pytest.approx(1 - sum(ious) / 4, rel=1e-5)
    two = (labels > 1).to(torch.uint8) * 2  # class 1 and 3 are absent: only shown classes count
    ious = [int(((found == n) & (two == n)).sum()) / int(((found == n) | (two == n)).sum()) for n in (0, 2)]
    assert float(lovasz_loss(as_shares(found, 4), two, whole)) == pytest.approx(1 - sum(ious) / 2, rel=1e-5)


def test_only_a_sure_teacher_is_heard_and_none_is_taught() -> None:
    logits, labels, weight = random_case()
    taught = (0.7 * as_shares(labels, 4) + 0.075).requires_grad_()  # sure of the label by .775
    logits.requires_grad_()
    assert float(agreement(logits, taught, weight, 0.8).detach()) == 0
    heard = agreement(logits, taught, weight, 0.7)
    expected = region_cross_entropy(logits, labels, weight, torch.ones(4))
    assert float(heard.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    heard.backward()
    assert taught.grad is None
    logits = logits.detach()
    half = taught.detach().clone()
    half[:, :, :3] = 0.25  # knows nothing of the upper half
    part = agreement(logits, half, torch.ones_like(weight), 0.7)
    whole = torch.nn.functional.cross_entropy(logits, labels.long(), reduction="none")
    assert float(part) == pytest.approx(float(whole[:, 3:].sum() / whole.numel()), rel=1e-5)
