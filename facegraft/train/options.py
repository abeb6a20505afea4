"""The tables of a run's config that the loop reads itself; `[model]` and `[data]` belong to recipe or method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from facegraft.core.config import fill
from facegraft.core.errors import BadInputError


@dataclass(frozen=True)
class TrainOptions:
    """`[train]`. The clock counts images, so that runs with other batch sizes compare; `*_every` are images too."""

    images: int
    """Training ends with the first batch that reaches this many."""
    batch: int
    ema: float = 0.999
    """How much of the average a step keeps; less in the first steps. 0: the result is the last step's network."""
    clip: float = 1.0
    """Longest gradient, over all weights together; longer ones are shortened. 0: none is."""
    log_every: int = 6_400
    save_every: int = 64_000
    preview_every: int = 64_000
    validate_every: int = 64_000
    snapshot_every: int = 0
    """Weights are kept in `snapshots` at so many images, for a network that learns how well-trained an answer looks
    (`network = "quality"`); 0: none are."""
    save_minutes: float = 2.0
    """Saved after this long too, whatever the clock says."""
    ahead: int = 0
    """Batches made ahead in a thread of their own. Worth it where a GPU waits for them; changes no result."""
    start: str = ""
    """Weights to begin from: a run's `weights.safetensors`, or a bundle by its folder or, where it is installed, by its
    name. What they do not know keeps its first weights."""
    compile: bool = False
    """Through torch.compile. Worth it on a GPU after some minutes."""
    half: Literal["gpu", "always", "never"] = "gpu"
    """Where convolutions and products of matrices are computed in bfloat16. "always": on a CPU too; one that has
    AVX-512 BF16 or AMX trains up to 1.3 times as fast then."""
    tensorboard: bool = False
    """Losses and previews for TensorBoard too, in the run's folder."""

    def __post_init__(self) -> None:
        for name in ("images", "batch", "log_every", "save_every", "preview_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected 1 or more, found {getattr(self, name)}")
        for name in ("clip", "save_minutes", "ahead", "snapshot_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema: expected 0 or more and less than 1, found {self.ema}")


@dataclass(frozen=True)
class OptimiserOptions:
    """`[optimiser]`: AdamW (Loshchilov and Hutter, arXiv:1711.05101) or AdaBelief (Zhuang et al., arXiv:2010.07468)."""

    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    weight_decay: float = 0.01
    """Of convolutions and matrices; biases, normalisations and other vectors have none."""
    warmup: int = 0
    """Images over which the rate rises from 0."""
    schedule: Literal["cosine", "constant"] = "cosine"
    last_lr: float = 0.01
    """Share of `lr` that the cosine ends at."""
    kind: Literal["adamw", "adabelief"] = "adamw"
    lr_dropout: float = 0.0
    """Share of the weights, drawn anew at each step, that stay as they are. DeepFaceLab has 0.7; AdaBelief only."""

    def __post_init__(self) -> None:
        if not self.lr > 0:
            raise ValueError(f"lr: expected more than 0, found {self.lr}")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas: expected two from 0 to below 1, found {self.betas}")
        for name in ("weight_decay", "warmup", "last_lr"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: expected 0 or more, found {getattr(self, name)}")
        if self.kind == "adabelief" and not self.betas[0] > 0:  # else nothing strays from what is expected
            raise ValueError(f"betas: expected a first one above 0 with adabelief, found {self.betas}")
        if not 0 <= self.lr_dropout < 1:
            raise ValueError(f"lr_dropout: expected 0 or more and less than 1, found {self.lr_dropout}")
        if self.lr_dropout and self.kind != "adabelief":
            raise ValueError(
                f"lr_dropout: expected 0 with {self.kind}, found {self.lr_dropout}; set kind = 'adabelief'"
            )


@dataclass(frozen=True)
class RunConfig:
    """A whole config of a network; `model` and `data` stay tables, because only the recipe knows their keys."""

    network: str
    """A file of facegraft/train/eyes."""
    train: TrainOptions
    optimiser: OptimiserOptions
    losses: dict[str, float]
    """Name of a loss -> its weight; the names are the recipe's, all of them."""
    seed: int = 0
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_seed(self.seed)


@dataclass(frozen=True)
class MethodRunConfig:
    """A whole config of a face-swapping method; `model` is the method's own table."""

    method: str
    """A file of facegraft/methods."""
    train: TrainOptions
    optimiser: dict[str, OptimiserOptions]
    """Phase -> its optimiser. Phases without one are not trained."""
    seed: int = 0
    model: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_seed(self.seed)
        if not self.optimiser:
            raise ValueError("optimiser: expected a table for at least one phase")


AnyRunConfig = RunConfig | MethodRunConfig


def run_config(tables: Mapping[str, Any]) -> AnyRunConfig:
    """A config of either kind: one that names a `method`, or one that names a `network`.

    Raises:
        BadInputError: A wrong key, a missing one, or a value out of its range.
    """
    if "method" in tables and "network" in tables:
        raise BadInputError("config: names a method and a network; keep one of them")
    if "method" in tables:
        return fill(MethodRunConfig, tables, "")
    return fill(RunConfig, tables, "")


def _check_seed(seed: int) -> None:
    if seed < 0:
        raise ValueError(f"seed: expected 0 or more, found {seed}")


MAY_CHANGE = {
    *("images", "log_every", "save_every", "preview_every", "validate_every", "save_minutes", "ahead"),
    *("compile", "half", "tensorboard", "snapshot_every"),
}
"""Keys of `[train]` with which a run may go on though they differ from those that it began with."""
MAY_MOVE = {"data.cache", "data.cache_folder"}
"""Where decoded pictures are kept may differ too; a number under such a name says how many, and may not."""
