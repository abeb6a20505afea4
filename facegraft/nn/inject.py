"""How an identity enters a network: its code changes what a layer makes of a picture."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import Up
from facegraft.nn.norm import instance_norm
from facegraft.tensors import Images

Features = Float[Tensor, "b _c _h _w"]
Code = Float[Tensor, "b _d"]


def heard(code: Code) -> Code:
    """A unit vector with numbers of a mean square of 1: layers as torch starts them are nearly deaf to smaller ones."""
    return code * code.shape[1] ** 0.5


class AdaIN(nn.Module):
    """Each channel gets its mean and deviation from the code (Huang and Belongie, arXiv:1703.06868).

    normalised x * (1 + scale(code)) + shift(code); both from one matrix, to which a unit vector is made `heard`.
    """

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.style = nn.Linear(code, 2 * channels)

    def forward(self, x: Features, code: Code) -> Features:
        scale, shift = self.style(heard(code))[..., None, None].chunk(2, dim=1)
        return instance_norm(x) * (1 + scale) + shift


class IdentityBlock(nn.Module):
    """SimSwap's ID block (arXiv:2106.06340): two convolutions with AdaIN behind each; the input is added."""

    def __init__(self, channels: int, code: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False)
        self.second = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect", bias=False)
        self.style_first, self.style_second = AdaIN(channels, code), AdaIN(channels, code)

    def forward(self, x: Features, code: Code) -> Features:
        held = F.relu(self.style_first(self.first(x), code))
        return x + self.style_second(self.second(held), code)


class AAD(nn.Module):
    """Adaptive attentional denormalisation (FaceShifter, arXiv:1912.13457, eq. 2 to 5).

    The normalised input is styled twice, by the identity's code and, place by place, by an attribute map of its size;
    a mask made of the input chooses between the two, 1 = identity. The mask is taught by nobody. Both gains are
    1 + what a layer says, which is the paper's with another start.

    Args:
        channels: Of the input.
        code: Numbers of the identity's code.
        attribute: Channels of the attribute map.
    """

    def __init__(self, channels: int, code: int, attribute: int) -> None:
        super().__init__()
        self.of_identity = nn.Linear(code, 2 * channels)
        self.of_attribute = nn.Conv2d(attribute, 2 * channels, 1)
        self.choose = nn.Conv2d(channels, 1, 1)

    def forward(self, x: Features, code: Code, attribute: Features) -> Features:
        held = instance_norm(x)
        scale, shift = self.of_identity(code)[..., None, None].chunk(2, dim=1)
        identity = held * (1 + scale) + shift
        scale, shift = self.of_attribute(attribute).chunk(2, dim=1)
        kept = held * (1 + scale) + shift
        chosen = torch.sigmoid(self.choose(held))
        return kept + chosen * (identity - kept)


class AADBlock(nn.Module):
    """AAD, ReLU and convolution, `depth` times; beside it the input, by one more such layer where channels change."""

    def __init__(self, channels_in: int, channels_out: int, code: int, attribute: int, depth: int = 2) -> None:
        super().__init__()
        last = [channels_in] * (depth - 1) + [channels_out]
        self.layers = nn.ModuleList(AAD(channels_in, code, attribute) for _ in range(depth))
        self.convolutions = nn.ModuleList(nn.Conv2d(channels_in, n, 3, padding=1, bias=False) for n in last)
        self.changes = channels_in != channels_out
        if self.changes:
            self.beside = AAD(channels_in, code, attribute)
            self.beside_convolution = nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False)

    def forward(self, x: Features, code: Code, attribute: Features) -> Features:
        held = x
        for layer, convolution in zip(self.layers, self.convolutions, strict=True):
            held = convolution(F.relu(layer(held, code, attribute)))
        if self.changes:
            x = self.beside_convolution(F.relu(self.beside(x, code, attribute)))
        return x + held


class AADGenerator(nn.Module):
    """A code becomes a map of 2 x 2; AAD blocks, each at twice the size of the one before, make a picture of it.

    The generator of FaceShifter (arXiv:1912.13457, section 3.1) and GHOST (arXiv:2202.03046).

    Args:
        width: Channels that enter the last block; twice as many in each before it.
        most: Channels at the most.
        code: Numbers of the identity's code.
        attributes: Channels of the attribute maps, coarse first; one block for each.
        depth: AAD layers of a block, beside its shortcut.
    """

    def __init__(self, width: int, most: int, code: int, attributes: Sequence[int], depth: int = 2) -> None:
        super().__init__()
        widths = [min(width * 2**level, most) for level in reversed(range(len(attributes)))]
        self.start = nn.ConvTranspose2d(code, widths[0], 2, bias=False)
        ends = [*widths[1:], 3]
        self.blocks = nn.ModuleList(
            AADBlock(before, after, code, attribute, depth)
            for before, after, attribute in zip(widths, ends, attributes, strict=True)
        )
        self.widen = Up("bilinear")

    def forward(self, code: Code, attributes: Sequence[Features]) -> Images:
        code = heard(code)
        held = self.start(code[..., None, None])
        for number, (block, attribute) in enumerate(zip(self.blocks, attributes, strict=True)):
            held = block(self.widen(held) if number else held, code, attribute)
        return torch.tanh(held)
