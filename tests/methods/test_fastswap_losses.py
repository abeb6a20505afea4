"""FastSwap: what each loss compares, in closed form."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("torch")

import torch
import torch.nn.functional as F
from torch import Tensor

from facegraft.losses.attributes import expression_loss
from facegraft.methods.fastswap import FastSwap, _shrunk
from facegraft.tensors import SwapBatch
from tests.methods.contract import tiny_batch, tiny_frozen, tiny_perceptual, told_apart
from tests.methods.test_fastswap import TINY

PLAIN = dataclasses.replace(TINY, distorted=0.0, cross_share=0.5, pasted=True)


def still() -> FastSwap:
    """Distorts nothing; estimates of spectral normalisation rest. Two of four pictures meet the next pair's person."""
    torch.manual_seed(0)
    return FastSwap(PLAIN).eval()


def answers(method: FastSwap, batch: SwapBatch) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Right answers or frames, the pairs' results and their masks' logits, results with the next person; put back."""
    image, face = batch.attribute.image, batch.attribute.mask
    assert face is not None
    answer = torch.where(batch.has_truth[:, None, None, None], batch.truth, image)
    own, logits = method.generator(image, _shrunk(image), method.generator.identity(batch.identity.image))
    people = method.generator.identity(batch.identity.image[1:3])
    swapped, _ = method.generator(image[:2], _shrunk(image[:2]), people)
    where = F.avg_pool2d(F.max_pool2d(face, 5, 1, 2), 3, 1, 1)
    return answer, torch.lerp(answer, own, where), logits, torch.lerp(image[:2], swapped, where[:2])


@torch.no_grad()
def test_right_answers_and_frames_are_real_and_both_kinds_of_results_are_made() -> None:
    method, batch = still(), told_apart()
    answer, own, _, swapped = answers(method, batch)
    real, fake = (method.discriminator(each)[0] for each in (answer, torch.cat([swapped, own[2:]])))
    sides = [F.relu(1 - yes).mean() + F.relu(1 + no).mean() for yes, no in zip(real, fake, strict=True)]
    found = method.training_step("discriminator", batch, tiny_frozen())
    torch.testing.assert_close(found, {"hinge": torch.stack(sides).mean()})


@torch.no_grad()
def test_losses_are_those_of_the_page() -> None:
    """Each by its formula, of three pictures that differ; answers of two kinds are judged, one kind is compared."""
    method, batch, frozen = still(), told_apart(), tiny_frozen()
    known, image, face = batch.has_truth, batch.attribute.image, batch.attribute.mask
    assert face is not None
    answer, own, logits, swapped = answers(method, batch)
    judged, maps = method.discriminator(torch.cat([own, swapped]))
    _, right_maps = method.discriminator(answer)
    matched = [
        torch.stack([(one[:4] - other)[known].abs().mean() for one, other in zip(made, right, strict=True)]).sum()
        for made, right in zip(maps, right_maps, strict=True)
    ]
    seen = zip(tiny_perceptual(own), tiny_perceptual(batch.truth), strict=True)
    placed, right = (frozen.points(each) for each in (own, batch.truth))
    crossed, kept = (frozen.points(each) for each in (swapped, image[:2]))
    person = frozen.identity(batch.identity.image)
    expected = {
        "adversarial": -torch.stack([said.mean() for said in judged]).mean(),
        "features": torch.stack(matched).mean(),
        "reconstruction": ((own - batch.truth).square() * (1 + face))[known].mean(),
        "perceptual": torch.stack([(one - other)[known].abs().mean() for one, other in seen]).sum(),
        "identity": 1 - (frozen.identity(own) * person).sum(1).mean(),
        "pose": (placed - right)[known].abs().mean(),
        "expression": expression_loss(placed, right)[known].mean(),
        "mask": F.binary_cross_entropy(logits.sigmoid(), face),
        "cross_identity": 1 - (frozen.identity(swapped) * person[1:3]).sum(1).mean(),
        "cross_pose": (crossed - kept).abs().mean(),
        "cross_expression": expression_loss(crossed, kept).mean(),
        "cross_background": ((swapped - image[:2]).abs() * (1 - face[:2])).mean(),
    }
    torch.testing.assert_close(method.training_step("generator", batch, frozen), expected)


@torch.no_grad()
def test_pictures_that_meet_the_next_person_are_distorted_half_as_often() -> None:
    torch.manual_seed(0)
    method, batch = FastSwap(dataclasses.replace(TINY, distorted=1.0, cross_share=1.0)), tiny_batch()
    plain: list[bool] = []

    def note(_module: torch.nn.Module, inputs: tuple[Tensor, ...]) -> None:
        plain.extend(torch.equal(one, other) for one, other in zip(inputs[0], batch.attribute.image, strict=True))

    method.generator.register_forward_pre_hook(note)
    shares = []
    for draw in (method._reconstruct, method._cross):
        plain.clear()
        for _ in range(16):
            draw(batch)
        shares.append(sum(plain) / 64)
    assert shares[0] < 0.05
    assert 0.3 < shares[1] < 0.7
