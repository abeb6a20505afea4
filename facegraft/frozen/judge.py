"""dlib's face ResNet in torch: the independent judge of evaluation. NEVER USE IT IN A TRAINING LOSS.

A judge that helped to train what it judges is none; and the pictures behind its weights (FaceScrub, VGG-Face, scraped
ones; the file itself is CC0) are not ours to learn from. It is here in torch so that it runs beside the others on any
device. The architecture is that of `dnn_face_recognition_ex.cpp` (Davis King, 2017): ResNet-34 with fewer layers and
half the filters, 150 px, 128 numbers; two pictures of one person lie less than 0.6 apart.

https://github.com/davisking/dlib-models: 99.38 % on LFW.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.core.errors import BadInputError

BLOCKS = (*((32, False),) * 3, (64, True), *((64, False),) * 3, (128, True), *((128, False),) * 2,
          (256, True), *((256, False),) * 2, (256, True))  # fmt: skip
"""Channels, and whether the block halves the picture, from the input on."""
SAME_PERSON_DISTANCE = 0.6
"""Euclidean, between `Judge`'s outputs; the author's threshold."""


class Block(nn.Module):
    """Two convolutions beside a shortcut; a down block averages its input to the smaller size."""

    def __init__(self, channels_in: int, channels: int, *, down: bool) -> None:
        super().__init__()
        # dlib pads stride-2 convolutions by nothing, so sizes fall short of the half.
        self.first = nn.Conv2d(channels_in, channels, 3, stride=2 if down else 1, padding=0 if down else 1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.down = down

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h2 w2"]:
        shortcut = F.avg_pool2d(x, 2) if self.down else x
        return F.relu(_sum_padded(self.second(F.relu(self.first(x))), shortcut))


class Judge(nn.Module):
    """Crops to embeddings of dlib's face ResNet, not of unit length. Frozen and in evaluation mode when loaded.

    The affine layers of the file, which stand for its normalisation, are folded into the convolutions.
    """

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.stem = nn.Conv2d(3, 32, 7, stride=2)
        widths = [32, *(channels for channels, _ in BLOCKS)]
        self.blocks = nn.Sequential(
            *(Block(width, channels, down=down) for width, (channels, down) in zip(widths, BLOCKS, strict=False))
        )
        self.head = nn.Linear(256, 128, bias=False)

    def forward(self, chips: Float[Tensor, "b 3 150 150"]) -> Float[Tensor, "b 128"]:
        """RGB 0..1, cut out as `faces.embed.chip_matrix` says."""
        x = (chips * 255 - self.mean[:, None, None]) / 256
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2)
        embedding: Tensor = self.head(self.blocks(x).mean(dim=(2, 3)))
        return embedding


@runtime_checkable
class FileLayer(Protocol):
    """A layer as `faces.dlib_resnet.read_layers` gives it."""

    @property
    def kind(self) -> str: ...

    @property
    def numbers(self) -> Mapping[str, int]: ...

    @property
    def weights(self) -> Sequence[np.ndarray]: ...


def load_judge(means: Sequence[float], layers: Sequence[FileLayer]) -> Judge:
    """The judge from what dlib's own file holds: `load_judge(*read_layers(read_bytes(path)))`.

    Raises:
        BadInputError: The layers are not that network's.
    """
    judge = Judge()
    convolutions = [judge.stem]
    for block in judge.modules():
        if isinstance(block, Block):
            convolutions += [block.first, block.second]
    weighted = [layer for layer in layers if layer.weights]
    if [layer.kind for layer in weighted] != ["con", "affine"] * len(convolutions) + ["fc"]:
        raise BadInputError(
            f"judge: expected {len(convolutions)} convolutions and a last layer, found {len(weighted)} layers with "
            "weights; not dlib's face ResNet"
        )
    with torch.no_grad():
        judge.mean.copy_(torch.tensor(list(means)))
        for number, convolution in enumerate(convolutions):
            _fill(convolution, weighted[2 * number], weighted[2 * number + 1])
        judge.head.weight.copy_(_tensor(weighted[-1].weights[0]).reshape(256, 128).T)
    return judge.eval().requires_grad_(False)


def _fill(convolution: nn.Conv2d, layer: FileLayer, affine: FileLayer) -> None:
    gain, shift = (_tensor(part).flatten() for part in affine.weights)
    kernel, bias = _tensor(layer.weights[0]), _tensor(layer.weights[1]).flatten()
    found = (*kernel.shape, layer.numbers["stride"], layer.numbers["pad"])
    wanted = (*convolution.weight.shape, convolution.stride[0], convolution.padding[0])
    if found != wanted or convolution.bias is None:
        raise BadInputError(f"judge: expected a convolution of {wanted} (shape, stride, padding), found {found}")
    convolution.weight.copy_(kernel * gain[:, None, None, None])
    convolution.bias.copy_(bias * gain + shift)


def _sum_padded(a: Tensor, b: Tensor) -> Tensor:
    """As dlib's `add_prev`: zeros behind the last channel, row and column of the smaller one."""
    channels, height, width = (max(a.shape[axis], b.shape[axis]) for axis in (1, 2, 3))
    first, second = (
        F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2], 0, channels - x.shape[1])) for x in (a, b)
    )
    return first + second


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(values, np.float32))
