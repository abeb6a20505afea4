"""Whole pairs through a stage: the truth stays the right answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.data.augment import COLOUR, DEEPFACELAB, DIFFUSION, GAN, Stage, Stages  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.data.vary import vary  # noqa: E402
from facegraft.tensors import Aligned, SwapBatch  # noqa: E402
from tests.data.faces_drawn import drawn_face, mean_landmarks  # noqa: E402

SIZE = 48


def pairs(count: int, *, landmarks: bool = True) -> SwapBatch:
    attribute = torch.stack([drawn_face(SIZE, tilt=0.1 * row) for row in range(count)])
    truth = attribute.clone()
    truth[:, :, 20:30, 15:35] *= 0.5
    changed = (truth != attribute).any(1, keepdim=True).float()
    has_truth = torch.arange(count) % 3 != 2
    return SwapBatch(
        identity=Aligned(drawn_face(SIZE).expand(count, 3, SIZE, SIZE)),
        attribute=Aligned(
            attribute,
            mask=torch.ones(count, 1, SIZE, SIZE),
            occluder=torch.zeros(count, 1, SIZE, SIZE),
            regions=torch.ones(count, SIZE, SIZE, dtype=torch.uint8),
            landmarks=mean_landmarks(SIZE).expand(count, 68, 2) if landmarks else None,
        ),
        truth=torch.where(has_truth[:, None, None, None], truth, torch.zeros(())),
        has_truth=has_truth,
        changed=changed,
    )


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_outside_what_a_swap_changes_the_truth_is_the_attribute_image_still() -> None:
    stages = Stages(attribute=replace(GAN.attribute, occluded=0.7, degrees=5.0))
    batch = vary(pairs(6), generator(), stages=stages)
    assert batch.changed is not None
    assert batch.attribute.occluder is not None
    same = (batch.changed == 0).expand(-1, 3, -1, -1)
    for row in range(6):
        if batch.has_truth[row]:
            assert torch.allclose(batch.truth[row][same[row]], batch.attribute.image[row][same[row]], atol=1e-5)
            assert (batch.truth[row] - batch.attribute.image[row]).abs().max() > 0.05
        else:
            assert not batch.truth[row].any()
    hidden = batch.attribute.occluder[:, 0] > 0
    assert hidden.any()
    assert batch.attribute.mask is not None
    assert torch.allclose(batch.attribute.mask[:, 0], 1 - batch.attribute.occluder[:, 0], atol=1e-5)
    assert batch.attribute.regions is not None
    assert set(batch.attribute.regions.unique().tolist()) == {1, REGIONS["occluder"]}


def test_a_batch_is_fixed_by_its_generator() -> None:
    first, again, other = (vary(pairs(3), generator(seed), stages=GAN) for seed in (4, 4, 5))
    assert torch.equal(first.attribute.image, again.attribute.image)
    assert torch.equal(first.identity.image, again.identity.image)
    assert not torch.equal(first.attribute.image, other.attribute.image)


def test_fastswaps_truth_keeps_its_colours() -> None:
    batch = pairs(4)
    after = vary(batch, generator(), stages=COLOUR)
    assert torch.equal(after.truth, batch.truth)
    assert not torch.equal(after.attribute.image, batch.attribute.image)


def test_deepfacelabs_truth_moves_but_is_not_warped() -> None:
    still = Stages(attribute=Stage(elastic=1.0), truth_elastic=DEEPFACELAB.truth_elastic)
    batch = pairs(2)
    after = vary(batch, generator(), stages=still)
    assert torch.equal(after.truth, batch.truth)
    assert not torch.equal(after.attribute.image, batch.attribute.image)


def test_occluders_need_landmarks() -> None:
    with pytest.raises(BadInputError, match="require 'landmarks'"):
        vary(pairs(1, landmarks=False), generator(), stages=Stages(attribute=Stage(occluded=1.0)))


def test_masks_are_warped_alone_and_each_in_its_own_way() -> None:
    batch = pairs(3)
    square = torch.zeros(3, 1, SIZE, SIZE)
    square[..., 12:36, 12:36] = 1
    batch = replace(batch, attribute=replace(batch.attribute, mask=square))
    plain, warped = (
        vary(batch, generator(), stages=stages) for stages in (replace(DIFFUSION, mask=Stage()), DIFFUSION)
    )
    assert plain.attribute.mask is not None
    assert warped.attribute.mask is not None
    assert torch.equal(plain.attribute.mask, square)
    apart = (warped.attribute.mask - square).abs().mean((1, 2, 3))
    assert ((apart > 0.005) & (apart < 0.2)).all()
    assert len(set(apart.tolist())) == 3
    assert torch.equal(warped.attribute.image, plain.attribute.image)
    assert torch.equal(warped.identity.image, plain.identity.image)
    assert torch.equal(warped.truth, plain.truth)
    assert plain.changed is not None
    assert warped.changed is not None
    assert torch.equal(warped.changed, plain.changed)
    with pytest.raises(BadInputError, match="require 'mask'"):
        vary(replace(batch, attribute=replace(batch.attribute, mask=None)), generator(), stages=DIFFUSION)
