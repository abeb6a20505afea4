"""Batches: frames come back from -1..1 exactly, absent fields stay absent, batches join."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from facegraft.tensors import (  # noqa: E402 - torch may be missing
    Aligned,
    SwapBatch,
    concatenate,
    each_tensor,
    frames_from_images,
    images_from_bytes,
    images_from_frames,
    mask_from_bytes,
)


def batch(size: int = 2, value: float = 0.0, **changes: object) -> SwapBatch:
    image = torch.full((size, 3, 4, 4), value)
    landmarks = torch.full((size, 68, 2), value)
    made = SwapBatch(
        identity=Aligned(image=image, landmarks=landmarks),
        attribute=Aligned(image=image + 0.25),
        truth=image,
        has_truth=torch.ones(size, dtype=torch.bool),
        identity_person=torch.arange(size),
    )
    return dataclasses.replace(made, **changes)


def test_every_level_comes_back_and_the_range_is_full() -> None:
    frame = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    frame[..., 1] = frame[::-1, ..., 1]
    images = images_from_frames([frame, frame[::-1]])
    assert images.shape == (2, 3, 16, 16)
    assert (images.min(), images.max()) == (-1, 1)
    np.testing.assert_array_equal(frames_from_images(images), np.stack([frame, frame[::-1]]))
    assert frames_from_images(images * 3).min() == 0


@settings(max_examples=20)
@given(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1))
def test_frames_are_rgb_rows_columns(count: int, height: int, width: int, seed: int) -> None:
    frames = np.random.default_rng(seed).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    images = images_from_frames(list(frames))
    assert images[-1, 1, height - 1, 0].item() == pytest.approx(frames[-1, height - 1, 0, 1] / 127.5 - 1, abs=1e-6)
    np.testing.assert_array_equal(frames_from_images(images), frames)
    assert torch.equal(images, images_from_bytes(torch.from_numpy(frames).permute(0, 3, 1, 2)))


def test_masks_are_zero_to_one() -> None:
    mask = mask_from_bytes(torch.tensor([[[0, 51, 255]]], dtype=torch.uint8))
    assert mask.shape == (1, 1, 1, 3)
    assert mask.flatten().tolist() == pytest.approx([0, 0.2, 1])


def test_each_tensor_reaches_all_and_leaves_absent_fields_absent() -> None:
    moved = each_tensor(batch(), lambda tensor: tensor.to(torch.float64) if tensor.is_floating_point() else tensor)
    assert moved.identity.landmarks is not None
    assert {moved.truth.dtype, moved.identity.image.dtype, moved.identity.landmarks.dtype} == {torch.float64}
    assert moved.has_truth.dtype == torch.bool
    assert moved.attribute.landmarks is moved.identity_other is moved.changed is None
    there = batch().to("meta")
    assert {there.truth.device.type, there.attribute.image.device.type, there.has_truth.device.type} == {"meta"}
    assert there.identity.to("meta").image.device.type == "meta"


def test_batches_join_where_both_have_a_field() -> None:
    other = batch(3, 0.5, identity_person=None, identity_other=Aligned(image=torch.zeros(3, 3, 4, 4)))
    joined = concatenate([batch(2), other])
    assert len(joined) == len(joined.identity) == 5
    assert joined.truth[:, 0, 0, 0].tolist() == [0, 0, 0.5, 0.5, 0.5]
    assert joined.identity.landmarks is not None
    assert joined.identity.landmarks.shape == (5, 68, 2)
    assert joined.identity_person is joined.identity_other is None
    small = dataclasses.replace(batch(), truth=torch.zeros(2, 3, 2, 2))
    with pytest.raises(ValueError, match="truth has shapes"):
        concatenate([batch(), small])
    with pytest.raises(ValueError, match="at least one"):
        concatenate([])
