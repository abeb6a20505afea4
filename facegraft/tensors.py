"""What flows through training: batches of pictures as tensors. RGB, -1..1, NCHW; masks 0..1; points in pixels.

Optional fields are None where nobody asked for them: a method says what it requires, and the loader fills only that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

Images = Float[Tensor, "b 3 h w"]
"""RGB, -1..1."""
Mask = Float[Tensor, "b 1 h w"]
"""0..1; 1 = face, or whatever the name says."""
Embedding = Float[Tensor, "b d"]
"""Unit vectors of a recogniser."""
Scalar = Float[Tensor, ""]
IdentityCode = tuple[Tensor, ...]
"""All that a method keeps of a person; the first axis of each is the batch."""


@dataclass(frozen=True)
class Aligned:
    """Pictures brought to a template, with what is known of each.

    Attributes:
        image: RGB, -1..1.
        mask: 1 where the face is seen.
        regions: Labels of data/regions.py.
        occluder: 1 where something in front of the person hides it.
        landmarks: 68 points x, y in pixels of the image.
        iris: Centres of the irises, left and right.
        dense: x, y in pixels of the mesh's points; z in the same unit behind them where a maker knows it.
        matrix: Original frame to image.
        pose_degrees: Yaw (positive: to the image's right), pitch (up), roll (clockwise).
        gaze_degrees: Yaw and pitch in the head, of left and right eye.
    """

    image: Images
    mask: Mask | None = None
    regions: UInt8[Tensor, "b h w"] | None = None
    occluder: Mask | None = None
    landmarks: Float[Tensor, "b 68 2"] | None = None
    iris: Float[Tensor, "b 2 2"] | None = None
    dense: Float[Tensor, "b k d"] | None = None
    matrix: Float[Tensor, "b 2 3"] | None = None
    pose_degrees: Float[Tensor, "b 3"] | None = None
    gaze_degrees: Float[Tensor, "b 2 2"] | None = None

    def __len__(self) -> int:
        return len(self.image)

    def to(self, device: torch.device | str) -> Aligned:
        """The same on a device; copies from pinned memory do not wait."""
        return each_tensor(self, lambda tensor: tensor.to(device, non_blocking=True))


@dataclass(frozen=True)
class SwapBatch:
    """What one training step sees.

    Attributes:
        identity: Say who.
        attribute: Give pose, expression, gaze, light, occluders, background.
        truth: The right answers; 0 (mid grey) where there is none.
        has_truth: Which pairs have a right answer.
        identity_other: A second photo of each identity.
        changed: 1 where the truth differs from the attribute image.
        identity_person: Number of the person in the dataset; -1 = unknown.
        attribute_person: The same of the attribute image.
    """

    identity: Aligned
    attribute: Aligned
    truth: Images
    has_truth: Bool[Tensor, "b"]
    identity_other: Aligned | None = None
    changed: Mask | None = None
    identity_person: Int64[Tensor, "b"] | None = None
    attribute_person: Int64[Tensor, "b"] | None = None

    def __len__(self) -> int:
        return len(self.has_truth)

    def to(self, device: torch.device | str) -> SwapBatch:
        """The same on a device; copies from pinned memory do not wait."""
        return each_tensor(self, lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> SwapBatch:
        """The same in page-locked memory, which a GPU fetches by itself."""
        return each_tensor(self, lambda tensor: tensor.pin_memory())


@dataclass(frozen=True)
class Swap:
    """A method's answer.

    Attributes:
        image: Swapped, -1..1.
        mask: What to take from it when it is put back into the frame; 0..1.
    """

    image: Images
    mask: Mask


Record = TypeVar("Record", Aligned, SwapBatch)


def each_tensor(record: Record, change: Callable[[Tensor], Tensor]) -> Record:
    """A copy of a record with every tensor that it holds changed; absent ones stay absent."""
    changes: dict[str, Any] = {}
    for entry in dataclasses.fields(record):
        value = getattr(record, entry.name)
        if isinstance(value, Tensor):
            changes[entry.name] = change(value)
        elif isinstance(value, Aligned):
            changes[entry.name] = each_tensor(value, change)
    return dataclasses.replace(record, **changes)


def concatenate(records: Sequence[Record]) -> Record:
    """Records one after the other. A field is kept where all of them have it.

    Raises:
        ValueError: Nothing to concatenate, or pictures of different sizes.
    """
    if not records:
        raise ValueError("concatenate: expected at least one batch, found none")
    joined: dict[str, Any] = {}
    for entry in dataclasses.fields(records[0]):
        values = [getattr(record, entry.name) for record in records]
        if any(value is None for value in values):
            joined[entry.name] = None
        elif isinstance(values[0], Tensor):
            shapes = {tuple(value.shape[1:]) for value in values}
            if len(shapes) > 1:
                raise ValueError(f"concatenate: {entry.name} has shapes {sorted(shapes)}; make them alike first")
            joined[entry.name] = torch.cat(values)
        else:
            joined[entry.name] = concatenate(values)
    return dataclasses.replace(records[0], **joined)


def images_from_bytes(pixels: UInt8[Tensor, "b 3 h w"]) -> Images:
    """0..255 to -1..1, on the device where the pixels are."""
    return pixels.to(torch.float32).div_(127.5).sub_(1)


def mask_from_bytes(plane: UInt8[Tensor, "b h w"]) -> Mask:
    """0..255 to 0..1, on the device where the plane is."""
    return plane[:, None].to(torch.float32).div_(255)


def images_from_frames(frames: Sequence[np.ndarray]) -> Images:
    """RGB uint8 frames of one size to a batch on the CPU; exactly undone by `frames_from_images`."""
    stacked = np.stack([np.asarray(frame) for frame in frames]).transpose(0, 3, 1, 2)
    return images_from_bytes(torch.from_numpy(np.ascontiguousarray(stacked)))


def frames_from_images(images: Images) -> UInt8[np.ndarray, "b h w 3"]:
    """A batch to RGB uint8 frames; rounded, and cut to 0..255."""
    levels = images.detach().to(torch.float32).add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(levels.permute(0, 2, 3, 1).cpu().numpy())
