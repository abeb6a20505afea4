"""What every method implements, and what it says of itself. The loop, the exporter and the tests know no more."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

from torch import nn

from facegraft.core.config import fill, unknown_name
from facegraft.core.errors import BadInputError
from facegraft.frozen.nets import FrozenNets
from facegraft.tensors import Aligned, IdentityCode, Scalar, Swap, SwapBatch


@dataclass(frozen=True)
class MethodCard:
    """A method in a few words.

    Attributes:
        title: The paper's name, authors, venue.
        paper: Where it is to be found, as "arXiv:2106.06340".
        summary: What is special about it, in one sentence.
        resolution: Side of the pictures in the paper, in pixels.
        alignment: Template of faces/align.py that crops are brought to.
        phases: Name of a phase -> the attributes of the method whose weights it trains. Every weight belongs to
            exactly one. They run in this order on each batch; those without an optimiser in the config do not.
        needs: Frozen networks that training uses: fields of `FrozenNets`.
        requires: Fields of a batch that it uses beyond images and truth: names out of data/loader.py's `REQUIRABLE`.
        blend: How the runtime puts answers back: "visible", where the face itself is seen; "adaptive", also as GHOST's
            mask has it (runtime/adaptive.py).
        per_pair: One model serves one pair of people: the config names them.
        released: Code that the authors released, and its licence; "" = none. Nothing of it is here.
    """

    title: str
    paper: str
    summary: str
    resolution: int
    alignment: str
    phases: Mapping[str, tuple[str, ...]]
    needs: frozenset[str] = frozenset({"identity"})
    requires: frozenset[str] = frozenset()
    blend: Literal["visible", "adaptive"] = "visible"
    per_pair: bool = False
    released: str = ""


@runtime_checkable
class MethodConfig(Protocol):
    """What the config of every method has: a frozen dataclass that `[model]` fills.

    Attributes:
        size_px: Side of the pictures.
        loss_weights: Phase -> name of a loss -> weight.
    """

    @property
    def size_px(self) -> int: ...

    @property
    def loss_weights(self) -> dict[str, dict[str, float]]: ...


class Method(nn.Module, ABC):
    """A face-swapping method. Interface only: no code is inherited from here.

    The config is kept as `config`. First weights are torch's own or drawn from its global generator, which the caller
    seeds. Whatever is drawn in training comes from there too.
    """

    card: ClassVar[MethodCard]
    config: MethodConfig

    @abstractmethod
    def training_step(self, phase: str, batch: SwapBatch, frozen: FrozenNets) -> dict[str, Scalar]:
        """Named, unweighted losses of one phase. The loop weighs, sums and steps.

        Only weights of the phase ask for gradients while it runs; what needs none may run under `torch.no_grad`.
        """

    @abstractmethod
    def encode_identity(self, identity: Aligned, frozen: FrozenNets) -> IdentityCode:
        """All that is kept of each person. Runs once per person; becomes the graph "identity" of a bundle."""

    @abstractmethod
    def swap(self, attribute: Aligned, code: IdentityCode) -> Swap:
        """Runs once per frame; becomes the graph "swap". Uses nothing of `attribute` but the image."""


MethodClass = type[Method]


@dataclass(frozen=True)
class Found:
    """A method's file, loaded."""

    name: str
    method: MethodClass
    config: type[Any]


def list_methods() -> list[str]:
    """Names of all methods that can be trained, sorted: the files beside this one without a leading underscore."""
    return sorted(path.stem for path in Path(__file__).parent.glob("*.py") if not path.stem.startswith("_"))


def find_method(name: str) -> Found:
    """A method by the name of its file.

    Raises:
        BadInputError: There is none; the message names those that there are.
    """
    if name not in list_methods():
        raise BadInputError(unknown_name(f"method = {name!r}", name, list_methods()))
    module = importlib.import_module(f"facegraft.methods.{name}")
    return Found(name, module.METHOD, module.CONFIG)


def build_method(config: Mapping[str, Any]) -> Method:
    """A method of a config's `method` and `[model]`, on the CPU, untrained; it is a `torch.nn.Module`.

    Options and loss weights that `[model]` leaves out are the method's own.

    Args:
        config: As `load_config` gives it; other tables are not looked at.

    Raises:
        BadInputError: No such method, or a wrong key in the table.
    """
    name = config.get("method")
    if not isinstance(name, str):
        raise BadInputError("config: names no method; a network is built by training alone")
    found = find_method(name)
    return found.method(fill(found.config, config.get("model", {}), "model"))
