"""Blocks of DeepFaceLab's autoencoders (Perov et al., arXiv:2005.05535): encoder, inter, decoder, discriminators.

No layer is normalised but for the flattened code, and nothing but a sum of two matrices stands in the bottleneck: a
picture is squeezed into a few hundred numbers, from which a decoder can draw no face but those that it was shown.
Our channels are ordered as torch's pixel shuffle has them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.nn.conv import Features
from facegraft.nn.norm import pixel_norm
from facegraft.tensors import Images, Mask

Pictures01 = Float[Tensor, "b 3 h w"]
"""RGB, 0..1."""
WIDEST = 8
"""Channels double up to this many times the width."""
DEEPEST_DISCRIMINATOR = 9
MOST_CHANNELS = 512


@dataclass(frozen=True)
class NetworkConfig:
    """Widths, and the letters of a model's name: `liae-udt` has all three. DeepFaceLab: 64, 256, 64, 22, "ud"."""

    encoder: int = 20
    """Channels of the first layer, `e_dims`; they double up to eight times as many."""
    bottleneck: int = 64
    """Numbers that a picture is squeezed into, `ae_dims`; of each inter where there are two."""
    decoder: int = 20
    """`d_dims`: the decoder starts with eight times and ends with twice as many channels."""
    mask: int = 8
    """`d_mask_dims`, the same of the mask's branch."""
    pixel_norm: bool = True
    """-u: the flattened code has a mean square of 1."""
    half_size: bool = True
    """-d: layers end at half the size; the last doubling is a convolution per corner of each 2 x 2 pixels."""
    deeper: bool = False
    """-t: residual blocks and one halving more in the encoder, one doubling more in the decoder, none in the inter."""

    def __post_init__(self) -> None:
        for name in ("encoder", "bottleneck", "decoder", "mask"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")

    @property
    def multiple(self) -> int:
        """What a picture's side has to be a multiple of."""
        return 32 if self.half_size or self.deeper else 16

    def code_side(self, size_px: int) -> int:
        """Of the map that an inter makes of a picture."""
        grid = size_px // (32 if self.half_size else 16)
        return grid if self.deeper else 2 * grid

    def check_size(self, size_px: int) -> None:
        """Raises ValueError where pictures of this side do not fit the network."""
        if size_px < 1 or size_px % self.multiple:
            raise ValueError(f"size_px: expected a multiple of {self.multiple}, found {size_px}")


class Encoder(nn.Module):
    """Pictures, -1..1, as one long vector each."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, self.normalised = config.encoder, config.pixel_norm
        widths = [width * min(2**level, WIDEST) for level in range(5 if config.deeper else 4)]
        self.layers = nn.Sequential()
        before = 3
        for level, channels in enumerate(widths):
            self.layers.append(_down(before, channels))
            if config.deeper and level in {0, len(widths) - 1}:
                self.layers.append(ResidualPair(channels))
            before = channels

    def forward(self, images: Images) -> Float[Tensor, "b _n"]:
        flat = self.layers((images + 1) / 2).flatten(1)
        return pixel_norm(flat) if self.normalised else flat


class Inter(nn.Module):
    """The bottleneck: two matrices with nothing between them, then a small map."""

    def __init__(self, config: NetworkConfig, size_px: int, channels: int) -> None:
        super().__init__()
        self.side = size_px // (32 if config.half_size else 16)
        self.channels = channels
        self.squeeze = nn.Linear(encoded(config, size_px), config.bottleneck)
        self.spread = nn.Linear(config.bottleneck, channels * self.side**2)
        self.up = nn.Identity() if config.deeper else Double(channels, channels)

    def forward(self, flat: Float[Tensor, "b _n"]) -> Features:
        held = self.spread(self.squeeze(flat))
        return self.up(held.unflatten(1, (self.channels, self.side, self.side)))


class Decoder(nn.Module):
    """A code as a picture and its mask, 0..1 both, in two branches that share nothing."""

    def __init__(self, config: NetworkConfig, channels: int) -> None:
        super().__init__()
        levels = [8, 8, 4, 2] if config.deeper else [8, 4, 2]
        self.image = nn.Sequential()
        before = channels
        for level in levels:
            self.image.extend([Double(before, level * config.decoder), ResidualPair(level * config.decoder)])
            before = level * config.decoder
        self.image.append(Corners(before) if config.half_size else nn.Conv2d(before, 3, 1))
        self.mask = nn.Sequential()
        before = channels
        for level in [*levels, 1] if config.half_size else levels:
            self.mask.append(Double(before, level * config.mask))
            before = level * config.mask
        self.mask.append(nn.Conv2d(before, 1, 1))

    def forward(self, code: Features) -> tuple[Pictures01, Mask]:
        return torch.sigmoid(self.image(code)), self.masks(code)

    def masks(self, code: Features) -> Mask:
        """The masks alone, at a fraction of the cost."""
        return torch.sigmoid(self.mask(code))


def drawn_in(mask: Mask, share: float) -> Mask:
    """A mask that ends earlier, by this share of its side, and softly: there decoders mix the face with its hair."""
    reach = round(share * mask.shape[-1])
    if reach == 0:
        return mask
    least = -F.max_pool2d(-mask, 2 * reach + 1, 1, reach)
    return F.avg_pool2d(least, 3, 1, 1, count_include_pad=False)


class Double(nn.Module):
    """Twice the size: a convolution makes four channels of each, which are laid out as 2 x 2 pixels."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, 4 * channels_out, 3, padding=1)

    def forward(self, x: Features) -> Features:
        return F.pixel_shuffle(F.leaky_relu(self.convolution(x), 0.1), 2)


class ResidualPair(nn.Module):
    """Two convolutions; the input is added."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Features) -> Features:
        return F.leaky_relu(x + self.second(F.leaky_relu(self.first(x), 0.2)), 0.2)


class Corners(nn.Module):
    """The head of -d: one convolution for each corner of the 2 x 2 pixels that a place becomes; the first is 1 x 1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kernels = (1, 3, 3, 3)
        self.convolutions = nn.ModuleList(nn.Conv2d(channels, 3, kernel, padding=kernel // 2) for kernel in kernels)

    def forward(self, x: Features) -> Float[Tensor, "b 3 _h _w"]:
        corners = torch.stack([convolution(x) for convolution in self.convolutions], 2)
        return F.pixel_shuffle(corners.flatten(1, 2), 2)


class CodeDiscriminator(nn.Module):
    """Whose code a map is: the two people's should look alike (the toolkit's "true face")."""

    def __init__(self, channels: int, side: int, width: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential()
        before = channels
        for level in range(1 + side // 8):
            kernel, after = (4, width) if level == 0 else (3, 2 * width)
            self.layers.extend([nn.Conv2d(before, after, kernel, 2, 1), nn.LeakyReLU(0.1)])
            before = after
        self.layers.append(nn.Conv2d(before, 1, 1))

    def forward(self, code: Features) -> Features:
        return self.layers(code)


class PatchUNet(nn.Module):
    """A discriminator that answers twice: for patches in its middle, and for each pixel (after arXiv:2002.12655).

    Args:
        size_px: Side of the pictures.
        patch_px: Side of the patch that a middle place should see; layers and strides are chosen for it.
        width: Channels of the first layer; they double up to 512.
    """

    def __init__(self, size_px: int, patch_px: int, width: int = 16) -> None:
        super().__init__()
        strides = strides_for(patch_px, size_px)
        widths = [min(width * 2**level, MOST_CHANNELS) for level in range(len(strides) + 1)]
        self.stem = nn.Conv2d(3, width, 1)
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, stride in enumerate(strides):
            self.down.append(nn.Conv2d(widths[level], widths[level + 1], 3, stride, 1))
        self.patches = nn.Conv2d(widths[-1], 1, 1)
        self.middle = nn.Conv2d(widths[-1], widths[-1], 1)
        for level, stride in reversed(list(enumerate(strides))):
            # Twice the channels, because what came down at this size lies beside what came up.
            channels = widths[level + 1] * (1 if level == len(strides) - 1 else 2)
            self.up.append(nn.ConvTranspose2d(channels, widths[level], 3, stride, 1, output_padding=stride - 1))
        self.pixels = nn.Conv2d(2 * width, 1, 1)

    def forward(self, pictures: Pictures01) -> list[Features]:
        """Logits of patches, and of pixels."""
        held = _leak(self.stem(pictures))
        beside = []
        for down in self.down:
            beside.append(held)
            held = _leak(down(held))
        patches = self.patches(held)
        held = _leak(self.middle(held))
        for up, kept in zip(self.up, reversed(beside), strict=True):
            held = torch.cat([_leak(up(held)), kept], 1)
        return [patches, self.pixels(held)]


def strides_for(patch_px: int, size_px: int) -> tuple[int, ...]:
    """Strides of 3 x 3 convolutions, the first 2, whose last place sees a patch as near as can be to this side.

    Of equal ones those with the fewest layers, then with the most halvings, that divide the picture.
    """
    best = (size_px * 2, 0, 0)
    found: tuple[int, ...] = (2,)
    for layers in range(1, DEEPEST_DISCRIMINATOR + 1):
        for rest in itertools.product((2, 1), repeat=layers - 1):
            strides = (2, *rest)
            halvings = strides.count(2)
            rank = (abs(seen_px(strides) - patch_px), layers, -halvings)
            if size_px % 2**halvings == 0 and rank < best:
                best, found = rank, strides
    return found


def seen_px(strides: tuple[int, ...]) -> int:
    """Side of the patch that one place sees behind 3 x 3 convolutions of these strides."""
    seen, step = 1, 1
    for stride in strides:
        seen += 2 * step
        step *= stride
    return seen


def encoded(config: NetworkConfig, size_px: int) -> int:
    """Numbers that an encoder makes of a picture."""
    return config.encoder * WIDEST * (size_px // (32 if config.deeper else 16)) ** 2


def glorot(module: nn.Module) -> None:
    """First weights as TensorFlow's: Glorot and Bengio's (2010), uniform, and biases of 0. For `nn.Module.apply`.

    Torch's own are smaller, and without normalisation they would let the signal die out on its long way.
    """
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _down(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels_in, channels_out, 5, 2, 2), nn.LeakyReLU(0.1))


def _leak(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2)
