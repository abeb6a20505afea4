"""The identity network that losses look through: who a face shows, also where a picture was changed to mislead it.

A generator that goes up the cosine of a plain recogniser finds spots of colour on brows and lids sooner than another
person's features: to such a network a change that hardly anybody sees can be somebody else. Here it learns to keep the
plain network's answers under the worst change within a ball around each picture (adversarial training, Madry et al.,
arXiv:1706.06083; with the plain network's answers as labels it needs none of its own). What then leads to another
person is what people see too: features, tones, outlines (Tsipras et al., arXiv:1805.12152).

The balls lie in pictures of the size that methods draw, not in the network's crops, which are enlarged from them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegraft.core.config import fill, unknown_name
from facegraft.core.types import Frame
from facegraft.data.loader import Loader, LoaderOptions
from facegraft.data.policies import POLICIES
from facegraft.frozen.from_onnx import fill_from_onnx
from facegraft.frozen.identity import SIZE_PX, Identity, IdentityConfig
from facegraft.frozen.nets import IdentityEye
from facegraft.tensors import Embedding, Images, Scalar
from facegraft.train.eyes.aligned import pair_loaders
from facegraft.train.frozen_nets import IDENTITY_FILE, load_frozen
from facegraft.train.preview import frames_from_unit, sheet

PLACES = 2**40
"""Of the endless sequence of pairs."""
CAREFUL, CLIMBS, CLIMB_REACH = 3, 30, 15.0
"""Steps of the worst change that scores know; steps and reach (at 64 px) of the climbs in a preview."""
SHOWN, TILE_PX = 6, 128


@dataclass(frozen=True)
class RobustData:
    """`[data]`: what is looked at, and how far a picture may be changed."""

    path: tuple[str, ...]
    """Datasets, joined."""
    policy: str = "ours"
    """Who meets whom: a name of data/policies.py. Both pictures of a pair are learnt from."""
    size_px: int = 64
    """Side of the pictures."""
    alignment: str = "arcface_112_v1"
    """Of faces/align.py."""
    reach: float = 4.0
    """Length of the worst change, all numbers of a picture in -1..1 as one vector; at 64 px, 4 is .036 per number."""
    steps: int = 2
    """Of the search for it; each costs as much as learning from the result."""
    start: str = ""
    """Network to begin from, an ONNX file; "": the plain network. An older robust one is a steadier beginning."""
    val_share: float = 0.03
    """Of people, held out for scores, where a dataset has no split of its own."""
    val_images: int = 64
    cache: str = ""
    """Folder where decoded pictures are kept; "": they are decoded each time."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(unknown_name("policy", self.policy, sorted(POLICIES)))
        if self.reach <= 0 or self.steps < 1 or self.val_images < 2:
            raise ValueError("expected reach above 0, steps from 1 and val_images from 2")


@dataclass(frozen=True)
class Shown:
    """Aligned pictures, -1..1, and random changes of length 0..1 that the search begins from."""

    images: Images
    starts: Images


class RobustRecipe:
    """See `facegraft.train.recipe.Recipe`."""

    input_names = ("crop",)
    output_names = ("embedding", "map")
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"crop": {0: "b"}}
    loss_names = frozenset({"answer"})
    head: nn.Module | None = None

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.options = options = fill(RobustData, config["data"], "data")
        eye = load_frozen({"identity"}, options.alignment, options.size_px, device).identity
        if not isinstance(eye, IdentityEye):
            raise TypeError(f"expected our identity network, found {type(eye).__name__}")
        self.plain, self.cut = eye, eye.cut
        made = LoaderOptions(
            batch=1,
            size_px=options.size_px,
            seed=int(config.get("seed", 0)),
            cache=Path(options.cache) if options.cache else None,
            template=options.alignment,
            device=str(device),
        )
        self.loader, held = pair_loaders(options.path, options.policy, made, val_share=options.val_share)
        self.held = _pictures(held, range(-(-options.val_images // 2)))[: options.val_images]
        self.net: nn.Module = self.build(config.get("model", {}))
        fill_from_onnx(self.net, Path(options.start) if options.start else IDENTITY_FILE)
        self.net.to(device)

    @staticmethod
    def build(model: Mapping[str, Any]) -> Identity:
        return Identity(fill(IdentityConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand((1, 3, SIZE_PX, SIZE_PX), generator=torch.Generator().manual_seed(0)),)

    def batch(self, generator: torch.Generator, count: int) -> Shown:
        """Half of the pictures mirrored."""
        places = torch.randint(PLACES, (-(-count // 2),), generator=generator).tolist()
        images = _pictures(self.loader, places)[:count]
        mirrored = (torch.rand(count, generator=generator) < 0.5)[:, None, None, None].to(images.device)
        starts = torch.randn(images.shape, generator=generator)
        starts = starts / _length(starts) * torch.rand((count, 1, 1, 1), generator=generator)
        return Shown(torch.where(mirrored, images.flip(-1), images), starts.to(images.device))

    def losses(self, net: nn.Module, batch: Shown) -> dict[str, Scalar]:
        """1 - cosine of what is said of the worst changes found to what the plain network says without them."""
        identity = _steady(net)
        with torch.no_grad():
            answers = self.plain(batch.images)
        worst = self.changed(identity, batch.images, answers, batch.starts * self.options.reach, self.options.steps)
        return {"answer": (1 - (self.say(identity, worst) * answers).sum(1)).mean()}

    def say(self, net: Identity, images: Images) -> Embedding:
        """The network's answers to aligned pictures."""
        found: Embedding = F.normalize(net.features(self.cut(images)).float(), eps=1e-6)
        return found

    def changed(self, net: Identity, images: Images, answers: Embedding, starts: Images, steps: int) -> Images:
        """The pictures with the changes within `reach` that most lead the network away from the answers."""
        reach = self.options.reach
        return self._moved(net, images, -answers, starts, steps, reach, reach if steps == 1 else 0.7 * reach)

    def _moved(
        self, net: Identity, images: Images, towards: Embedding, starts: Images, steps: int, reach: float, stride: float
    ) -> Images:
        """Gradient ascent of the cosine to `towards` within the ball and within -1..1."""
        change = starts
        for _ in range(steps):
            with torch.enable_grad():
                change = change.detach().requires_grad_()
                likeness = (self.say(net, images + change) * towards).sum()
                (gradient,) = torch.autograd.grad(likeness, change)
            change = change.detach() + stride * gradient / _length(gradient)
            change = change * (reach / _length(change)).clamp(max=1)
            change = (images + change).clamp(-1, 1) - images
        return (images + change).detach()

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Cosines to the plain network's answers, as pictures are and after the worst changes; higher is better.

        `plain_worst_cosine` is the plain network's own after such changes, to compare with.
        """
        found: dict[str, list[Tensor]] = {"plain_worst_cosine": [], "cosine": [], "worst_cosine": []}
        for images in self.held.split(16):
            answers, starts = self.plain(images), self._aside(images)
            for name, one in (("plain_worst_cosine", self.plain.net), ("worst_cosine", _identity(net))):
                worst = self.changed(one, images, answers, starts, CAREFUL)
                found[name].append((self.say(one, worst) * answers).sum(1))
            found["cosine"].append((self.say(_identity(net), images) * answers).sum(1))
        return {name: float(torch.cat(parts).mean()) for name, parts in found.items()}

    def _aside(self, images: Images) -> Images:
        """Small changes to search from, always the same.

        Without any an answer cannot be more right, and no gradient says where it gets worse.
        """
        starts = torch.randn(images.shape[1:], generator=torch.Generator().manual_seed(0)).expand(images.shape)
        return (starts / _length(starts) * self.options.reach / 4).to(images.device)

    def preview(self, net: nn.Module) -> Frame:
        """Columns: who, whom, and whom after climbing to who, by the plain network and by this one.

        The climbs are pixels without any generator: they show what leads to another person.
        """
        count = min(SHOWN, len(self.held) // 2)
        people, images = self.held[:count], self.held.roll(-1, 0)[:count]
        reach = CLIMB_REACH * self.options.size_px / 64
        columns = [people, images]
        for one in (self.plain.net, _identity(net)):
            with torch.no_grad():
                wanted = self.say(one, people)
            none = torch.zeros_like(images)
            columns.append(self._moved(one, images, wanted, none, CLIMBS, reach, reach / 8))
        frames = [list(frames_from_unit((column + 1) / 2)) for column in columns]
        return sheet(list(zip(*frames, strict=True)), TILE_PX)


def _identity(net: nn.Module) -> Identity:
    if not isinstance(net, Identity):
        raise TypeError(f"expected the recipe's network, found {type(net).__name__}")
    return net


def _steady(net: nn.Module) -> Identity:
    """Normalisations keep to what the shipped file holds; misleading pictures would spoil their statistics."""
    for part in net.modules():
        if isinstance(part, _BatchNorm):
            part.eval()
    return _identity(net)


def _pictures(loader: Loader, places: Iterable[int]) -> Images:
    """Both pictures of each pair."""
    pairs = [loader.batch_at(place) for place in places]
    return torch.cat([side.image for pair in pairs for side in (pair.identity, pair.attribute)])


def _length(images: Images) -> Tensor:
    return images.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None]


RECIPE = RobustRecipe
