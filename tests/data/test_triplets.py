"""Edited pictures: the answer is the picture as it was, and all that is known of the edit follows it."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.data.triplets import edit_pairs  # noqa: E402
from facegraft.tensors import Aligned, SwapBatch  # noqa: E402
from tests.data.faces_drawn import drawn_face, mean_landmarks  # noqa: E402

SIZE = 64


def pairs(count: int = 6) -> SwapBatch:
    """Each third pair: its own answer, no answer, an exact answer."""
    image = drawn_face(SIZE).expand(count, 3, SIZE, SIZE).clone()
    truth = image.clone()
    kind = torch.arange(count) % 3
    truth[kind == 1] = 0
    truth[kind == 2, :, 30:40] *= 0.5
    face = (image[:, 0] > 0.3).to(torch.uint8)
    landmarks = mean_landmarks(SIZE).expand(count, 68, 2)
    attribute = Aligned(
        image,
        mask=face[:, None].float(),
        regions=face * REGIONS["face"],
        landmarks=landmarks,
        iris=landmarks[:, 36:38],
        dense=torch.cat([landmarks, torch.full((count, 68, 1), 7.0)], -1),
    )
    return SwapBatch(Aligned(image), attribute, truth, has_truth=kind != 1, changed=torch.zeros(count, 1, SIZE, SIZE))


def edited(batch: SwapBatch, seed: int = 0, share: float = 1.0) -> SwapBatch:
    return edit_pairs(batch, torch.Generator().manual_seed(seed), share=share)


def test_only_pairs_that_answer_themselves_are_edited() -> None:
    batch = pairs()
    after = edited(batch)
    moved = (after.attribute.image != batch.attribute.image).flatten(1).any(1)
    assert moved.tolist() == [True, False, False, True, False, False]
    assert torch.equal(after.truth, batch.truth)
    assert torch.equal(after.identity.image, batch.identity.image)
    assert torch.equal(after.has_truth, batch.has_truth)


def test_share_is_how_many() -> None:
    batch = pairs(60)
    none, half = edited(batch, share=0.0), edited(batch, share=0.5)
    assert none is batch
    moved = (half.attribute.image != batch.attribute.image).flatten(1).any(1)
    assert 4 <= int(moved.sum()) <= 16


def test_labels_and_points_follow_the_edit() -> None:
    """A jaw point goes where the jaw goes: the mask's edge stays as near to it as it was."""
    batch = pairs(12)
    after = edited(batch, seed=1)
    assert after.attribute.mask is not None
    assert after.attribute.regions is not None
    assert after.attribute.landmarks is not None
    assert batch.attribute.landmarks is not None
    assert batch.attribute.mask is not None
    shift = (after.attribute.landmarks - batch.attribute.landmarks).norm(dim=2)
    assert shift[::3, 3:14].amax() > 1.5
    assert shift[::3, 27].amax() < 1
    assert not shift[1::3].any()
    wider = after.attribute.landmarks[:, 13, 0] - after.attribute.landmarks[:, 3, 0]
    usual = batch.attribute.landmarks[:, 13, 0] - batch.attribute.landmarks[:, 3, 0]
    bigger = after.attribute.mask.sum((1, 2, 3)) - batch.attribute.mask.sum((1, 2, 3))
    for row in range(0, 12, 3):
        if abs(wider[row] - usual[row]) > 1:
            assert (wider[row] > usual[row]) == (bigger[row] > 0)
        agree = (after.attribute.regions[row] > 0) == (after.attribute.mask[row, 0] > 0.5)
        assert agree.float().mean() > 0.99


def test_depths_and_irises_come_along() -> None:
    batch = pairs()
    after = edited(batch).attribute
    assert after.dense is not None
    assert after.landmarks is not None
    assert after.iris is not None
    torch.testing.assert_close(after.dense[..., :2], after.landmarks)
    assert (after.dense[..., 2] == 7).all()
    torch.testing.assert_close(after.iris, after.landmarks[:, 36:38])


def test_changed_says_where_the_answer_differs() -> None:
    batch = pairs(24)
    after = edited(batch)
    assert after.changed is not None
    for row in range(0, 24, 3):
        apart = (after.attribute.image[row] - batch.attribute.image[row]).abs().amax(0)
        assert apart[after.changed[row, 0] == 0].max() < 0.1
        assert 0.02 < float(after.changed[row].mean()) < 0.95
    assert not after.changed[1::3].any()


def test_the_generator_decides_alone() -> None:
    first, again, other = (edited(pairs(), seed).attribute.image for seed in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_batch_is_left_as_it_was() -> None:
    batch, before = pairs(), pairs()
    edited(batch)
    assert torch.equal(batch.attribute.image, before.attribute.image)
    assert batch.attribute.landmarks is not None
    assert torch.equal(batch.attribute.landmarks, mean_landmarks(SIZE).expand(6, 68, 2))


def test_edits_need_landmarks() -> None:
    batch = pairs()
    blind = dataclasses.replace(batch, attribute=Aligned(batch.attribute.image))
    with pytest.raises(BadInputError, match="landmarks"):
        edited(blind)
    bare = dataclasses.replace(
        batch, attribute=Aligned(batch.attribute.image, landmarks=batch.attribute.landmarks), changed=None
    )
    after = edited(bare)
    assert after.attribute.mask is None
    assert after.changed is None
