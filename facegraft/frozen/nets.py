"""The pretrained networks that losses look through: never trained, never saved with a method.

Each takes pictures as training has them, RGB -1..1, aligned to the method's template, and cuts out what its network
was trained on. All are differentiable in the pictures.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from facegraft.core.errors import MissingPartError
from facegraft.frozen.identity import SIZE_PX as IDENTITY_PX
from facegraft.frozen.identity import Identity
from facegraft.frozen.landmarks import SIZE_PX as POINTS_PX
from facegraft.frozen.landmarks import Landmarks
from facegraft.frozen.parser import SIZE_PX as PARSER_PX
from facegraft.frozen.parser import Parser
from facegraft.tensors import Aligned, Embedding, Images, Swap

Features = Float[Tensor, "b _c _h _w"]
Window = Float[Tensor, "2 3"]
"""From a network's crop to the aligned picture, both -1..1 from edge to edge (`F.affine_grid`'s matrix)."""


@runtime_checkable
class IdentityNet(Protocol):
    """Who a face shows."""

    def __call__(self, images: Images) -> Embedding:
        """Unit vectors."""
        ...

    def look(self, images: Images) -> tuple[Embedding, Features]:
        """Unit vectors, and the last map before they are summed up: where in the face a thing lies."""
        ...


Perceptual = Callable[[Images], list[Features]]
"""Maps of several sizes, fine ones first: what a face network sees of a picture."""
Points = Callable[[Images], Float[Tensor, "b 538 2"]]
"""468 points of the mesh, 68 landmarks, two irises; x, y in shares of the picture's side, 0..1."""
Teacher = Callable[[Aligned, Aligned], Swap]
"""Identity and attribute -> what another, trained method answers."""


Judge = Callable[[Images], Float[Tensor, "b"]]
"""How well-trained the network behind a picture looks, 0..1; see frozen/quality.py."""


def absent(what: str) -> Callable[..., Tensor]:
    """Stands where a frozen network is not loaded: calling it says so."""

    def ask(*_given: object) -> Tensor:
        raise MissingPartError(f"the frozen network {what!r} is not loaded; name it in the method's card under `needs`")

    return ask


@dataclass(frozen=True)
class FrozenNets:
    """What a method may look through; only what its card needs is loaded.

    Attributes:
        identity: Ours, frozen/identity.py.
        robust: The same, taught not to be misled (train/eyes/identity_robust.py); see `likeness`.
        perceptual: The parser's encoder, in place of the VGG networks of papers, whose weights nobody may ship.
        points: Landmarks.
        teacher: A trained method, for distillation.
        quality: How well-trained a teacher's answers look; None where nobody has learnt that.
    """

    identity: IdentityNet | Callable[..., Tensor] = field(default_factory=lambda: absent("identity"))
    perceptual: Perceptual | Callable[..., Tensor] = field(default_factory=lambda: absent("perceptual"))
    points: Points | Callable[..., Tensor] = field(default_factory=lambda: absent("points"))
    teacher: Teacher | Callable[..., Tensor] = field(default_factory=lambda: absent("teacher"))
    quality: Judge | None = None
    robust: IdentityNet | Callable[..., Tensor] | None = None

    def likeness(self, images: Images) -> Embedding:
        """Who a face shows, as losses of identity compare it on both sides.

        The plain network is pleased by spots of colour that mean nothing to anybody else, and a generator finds them.
        Where there is a robust one, it answers for both sides.
        """
        found: Embedding = (self.robust or self.identity)(images)
        return found


class _Cut(nn.Module):
    """Cuts a network's crop out of aligned pictures and brings it to 0..1."""

    window: Tensor

    def __init__(self, window: Window, size_px: int) -> None:
        super().__init__()
        self.register_buffer("window", window.clone(), persistent=False)
        self.size_px = size_px

    def forward(self, images: Images) -> Float[Tensor, "b 3 s s"]:
        """RGB 0..1."""
        side = self.size_px
        count = images.shape[0]  # len() would fix the size of an exported batch
        grid = F.affine_grid(self.window.expand(count, 2, 3).to(images), [count, 3, side, side], False)
        images = images.contiguous(memory_format=torch.channels_last)  # as the networks' weights lie
        cut = F.grid_sample(images, grid, "bilinear", padding_mode="border", align_corners=False)
        return ((cut + 1) / 2).clamp(0, 1)


class IdentityEye(nn.Module):
    """The identity network on aligned pictures.

    It remembers its answers to the last pictures that asked for no gradient: each phase of a step asks for the same
    people again.

    Args:
        net: Says who a face shows.
        window: Where in the pictures its crop lies.
        blurs: Pictures that ask for a gradient are blurred first: a generator would else please the network with
            patterns of single pixels, which mean nothing to anybody else. A robust network minds them by itself.
    """

    def __init__(self, net: Identity, window: Window, *, blurs: bool = True) -> None:
        super().__init__()
        self.net, self.cut, self.blurs = net, _Cut(window, IDENTITY_PX), blurs
        self._asked: Tensor | None = None
        self._answer: tuple[Embedding, Features] | None = None

    def forward(self, images: Images) -> Embedding:
        return self.look(images)[0]

    def look(self, images: Images) -> tuple[Embedding, Features]:
        if self._answer is not None and images is self._asked:
            return self._answer
        answer = self._look(images)
        if not images.requires_grad and not torch.onnx.is_in_onnx_export():
            self._asked, self._answer = images, answer
        return answer

    def _look(self, images: Images) -> tuple[Embedding, Features]:
        if images.requires_grad and self.blurs:
            images = F.avg_pool2d(images, 3, 1, 1, count_include_pad=False)
        last = self.net.body(self.cut(images) * 2 - 1)
        return F.normalize(self.net.last(self.net.whole(last).flatten(1)), eps=1e-6), last


class PerceptualEye(nn.Module):
    """What the parser's encoder sees at 1/2, 1/4, 1/8 and 1/16 of the side; each map has a mean square of about 1."""

    def __init__(self, net: Parser, window: Window, size_px: int = PARSER_PX // 2) -> None:
        super().__init__()
        self.net, self.cut = net, _Cut(window, size_px)

    def forward(self, images: Images) -> list[Features]:
        held, kept = self.net.stem(self.cut(images) * 2 - 1), []
        for stage in self.net.down[:4]:
            held = stage(held)
            kept.append(held / held.detach().square().mean().sqrt().clamp(min=1e-6))
        return kept


class PointsEye(nn.Module):
    """The landmarks network on aligned pictures."""

    window: Tensor

    def __init__(self, net: Landmarks, window: Window) -> None:
        super().__init__()
        self.net, self.cut = net, _Cut(window, POINTS_PX)
        self.register_buffer("window", window.clone(), persistent=False)

    def forward(self, images: Images) -> Float[Tensor, "b 538 2"]:
        inside = self.net.tell(self.cut(images)).points[..., :2] * 2 - 1
        there = inside @ self.window[:, :2].T.to(inside) + self.window[:, 2].to(inside)
        return (there + 1) / 2


def window_of(crop_to_picture: Float[Tensor, "2 3"], crop_px: int, picture_px: int) -> Window:
    """A matrix in pixels (the first pixel's centre at 0.5) as one from edge to edge, -1..1."""
    linear, shift = crop_to_picture[:, :2], crop_to_picture[:, 2]
    middle = linear @ torch.full((2,), crop_px / 2) + shift
    scaled = torch.cat([linear * crop_px, (2 * middle - picture_px)[:, None]], 1)
    return scaled / picture_px
