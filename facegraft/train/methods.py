"""A face-swapping method as a job of the loop: its batches, phases, scores and previews."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from facegraft.core.config import fill, unknown_name
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.data import augment
from facegraft.data.dataset import Dataset, join, open_dataset
from facegraft.data.loader import Augment, BatchMaker, Loader, LoaderOptions
from facegraft.data.policies import POLICIES, Policy, with_truth_share
from facegraft.data.triplets import edit_pairs
from facegraft.data.vary import vary
from facegraft.frozen.nets import FrozenNets, Judge, Teacher
from facegraft.frozen.quality import Quality, QualityConfig
from facegraft.methods._method import Method, build_method, find_method
from facegraft.nn.weights import load_weights
from facegraft.tensors import Aligned, Scalar, Swap, SwapBatch, each_tensor, frames_from_images
from facegraft.train.begin import begin_from
from facegraft.train.devices import quicken
from facegraft.train.eyes.pictures import train_and_val
from facegraft.train.folder import CONFIG, WEIGHTS, read_json
from facegraft.train.frozen_nets import load_frozen
from facegraft.train.job import Phase, check_losses
from facegraft.train.options import MethodRunConfig
from facegraft.train.preview import sheet
from facegraft.train.processes import Processes
from facegraft.train.rendered import RenderedData, open_rendered

STAGES: dict[str, augment.Stages] = {
    "none": augment.Stages(),
    "gan": augment.GAN,
    "occluded": augment.OCCLUDED,
    "triplets": augment.TRIPLETS,
    "colour": augment.COLOUR,
    "distillation": augment.DISTILLATION,
    "diffusion": augment.DIFFUSION,
    "deepfacelab": augment.DEEPFACELAB,
}
SHOWN, SCORED = 8, 64
"""Held-out pairs in a preview, and behind the scores."""
RECOGNISERS = ["robust", "plain"]


@dataclass(frozen=True)
class MethodData:
    """`[data]` of a method's config."""

    path: tuple[str, ...]
    """Datasets, joined."""
    policy: str = "ours"
    """Who meets whom: a name of data/policies.py."""
    truth_share: float = -1.0
    """Share of pairs with a right answer; -1: the policy's own."""
    exact_share: float = 0.0
    """Share of exact pairs, whose true swap was rendered; the policy's kinds share the rest."""
    truth: str = "inner"
    """Which truth of exact pairs."""
    rendered: RenderedData = field(default_factory=RenderedData)
    """People rendered while training goes on."""
    stages: str = "none"
    """How pictures are changed: a name of `STAGES`. With "triplets" pairs with a right answer are edited as well."""
    val_share: float = 0.03
    """Of people, held out for scores and previews, where a dataset has no split of its own."""
    cache: str = ""
    """Folder where decoded pictures are kept; "": in the run's folder."""
    identity_people: tuple[str, ...] = ()
    """Methods for one pair of people: who is put on ..."""
    attribute_people: tuple[str, ...] = ()
    """... whom. Names as the dataset has them, with its number and name in front: "0-faces/anna"."""
    teacher: str = ""
    """Run of a trained method that this one learns from."""
    recogniser: str = "robust"
    """What the losses of identity look through: "robust", which spots of colour do not mislead, or "plain", the network
    that also says whom to show, as papers have it."""
    quality: str = ""
    """Run of the network `quality`, which has learnt from that teacher's snapshots how well-trained an answer looks:
    such answers count more. "": all look alike."""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(unknown_name("policy", self.policy, sorted(POLICIES)))
        if self.stages not in STAGES:
            raise ValueError(unknown_name("stages", self.stages, sorted(STAGES)))
        if self.recogniser not in RECOGNISERS:
            raise ValueError(unknown_name("recogniser", self.recogniser, RECOGNISERS))
        if not 0 <= self.exact_share <= 1 or not -1 <= self.truth_share <= 1:
            raise ValueError("exact_share and truth_share: expected shares, 0 to 1")

    def pair_policy(self) -> Policy:
        """The policy with this config's shares."""
        policy = POLICIES[self.policy]
        if self.truth_share >= 0:
            policy = with_truth_share(policy, self.truth_share)
        if not self.exact_share:
            return policy
        left = 1 - self.exact_share
        return dataclasses.replace(
            policy,
            same_image=policy.same_image * left,
            same_person=policy.same_person * left,
            triplets=self.exact_share,
            truth=self.truth,
        )


class MethodJob:
    """A method, its data and the frozen networks that it looks through.

    Args:
        options: The run's config.
        run_dir: The run's folder: decoded pictures may be kept there.
        device: Where training runs.
        processes: Who trains along.
        frozen: Instead of the networks that ship.

    Raises:
        FacegraftError: A wrong key, or data that cannot be used.
    """

    def __init__(
        self,
        options: MethodRunConfig,
        run_dir: Path,
        device: torch.device,
        processes: Processes,
        frozen: FrozenNets | None = None,
    ) -> None:
        self.name, self.options, self.device = options.method, options, device
        self.data = fill(MethodData, options.data, "data")
        self.method = build_method({"method": options.method, "model": options.model}).to(device)
        if options.train.start:
            begin_from(self.method, options.train.start)
        card, size_px = self.method.card, self.method.config.size_px
        self.phases = _phases(self.method, options)
        teacher = _teacher(self.data, self.method, device)
        robust = self.data.recogniser == "robust"
        known = frozen or _quick(load_frozen(card.needs, card.alignment, size_px, device, teacher, robust=robust))
        quality = _quality(self.data, self.name, card.needs, device)
        self.frozen = known if quality is None else dataclasses.replace(known, quality=quality)
        self.loader, held_out = self._loaders(run_dir, processes)
        self.scored = held_out.batch_at(0)
        self.shown = _rows(self.scored, slice(SHOWN))

    @property
    def net(self) -> nn.Module:
        return self.method

    @property
    def head(self) -> nn.Module | None:
        return None

    def batch(self, images_seen: int) -> SwapBatch:
        return self.loader.batch_at(images_seen)

    def losses(self, phase: str, net: nn.Module, batch: Any) -> dict[str, Scalar]:
        return _method(net).training_step(phase, batch, self.frozen)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Likeness to identity and to attribute image by the network of the losses, and the error to right answers."""
        swapped = torch.cat([self._swap(_method(net), part).image for part in _parts(self.scored)])
        batch = self.scored
        scores = _mean_where("truth_l1", (swapped - batch.truth).abs().mean((1, 2, 3)), batch.has_truth)
        if "identity" not in self.method.card.needs:
            return scores
        found, wanted, kept = (
            torch.cat([self.frozen.identity(part) for part in images.split(16)])
            for images in (swapped, batch.identity.image, batch.attribute.image)
        )
        likeness, left = (found * wanted).sum(1), (found * kept).sum(1)
        apart = ~batch.has_truth
        gap = _mean_where("identity_gap", likeness - left, apart)
        return scores | _mean_where("identity_cosine", likeness, apart) | gap

    def preview(self, net: nn.Module) -> Frame:
        """A row for each pair: identity, attribute, swapped, mask, right answer where there is one."""
        batch = self.shown
        swap = self._swap(_method(net), batch)
        mask = (swap.mask * 2 - 1).expand(-1, 3, -1, -1)
        columns = (batch.identity.image, batch.attribute.image, swap.image, mask, batch.truth)
        return sheet(list(zip(*(list(frames_from_images(column)) for column in columns), strict=True)), 128)

    def _swap(self, method: Method, batch: SwapBatch) -> Swap:
        code = method.encode_identity(batch.identity, self.frozen)
        return method.swap(batch.attribute, code)

    def _loaders(self, run_dir: Path, processes: Processes) -> tuple[Loader, Loader]:
        data, card, options = self.data, self.method.card, self.options
        train, val = _datasets(data, whole=card.per_pair)
        made = LoaderOptions(
            batch=options.train.batch // processes.world,
            size_px=self.method.config.size_px,
            seed=options.seed,
            rank=processes.rank,
            world=processes.world,
            cache=Path(data.cache) if data.cache else run_dir / "cache",
            template=card.alignment,
            device=str(self.device),
            rendered_share=data.rendered.share,
        )
        if data.rendered.share and card.per_pair:
            raise BadInputError(
                f"data.rendered.share: expected 0, {self.name} learns one pair of people, none rendered"
            )
        maker = open_rendered(data.rendered, data.truth, card.alignment, made.size_px, self.device, val.people)
        stages = STAGES[data.stages]
        edited = data.stages == "triplets"
        requires = set(card.requires) | ({"landmarks"} if stages.attribute.occluded or edited else set())
        changes: list[Augment] = [edit_pairs] if edited else []
        changes += [] if data.stages == "none" else [functools.partial(vary, stages=stages)]
        held = dataclasses.replace(made, batch=SCORED, rank=0, world=1, rendered_share=0.0)
        policy = data.pair_policy()
        # Strangers as well as right answers, in one batch.
        val_policy = dataclasses.replace(policy, alternate=False, triplets=policy.triplets if val.pairs else 0.0)
        if val_policy.truth_share > 0.5 and not card.per_pair:
            val_policy = with_truth_share(val_policy, 0.5)

        def loader(
            dataset: Dataset,
            who: Policy,
            how: LoaderOptions,
            augment: Sequence[Augment] = (),
            rendered: BatchMaker | None = None,
        ) -> Loader:
            return Loader(
                dataset,
                who,
                how,
                requires=requires,
                augment=augment,
                rendered=rendered,
                identities=data.identity_people or None,
                attributes=data.attribute_people or None,
            )

        return loader(train, policy, made, changes, maker), loader(val, val_policy, held)


def load_method(run_dir: Path, device: torch.device | str = "cpu", weights: Path | None = None) -> Method:
    """The method of a run, frozen and in evaluation mode.

    Args:
        run_dir: The run's folder.
        device: Where it comes to.
        weights: One of its snapshots, instead of what it came to.

    Raises:
        BadInputError: No such run, or one of a network.
    """
    config = read_json(run_dir / CONFIG)
    if "method" not in config:
        raise BadInputError(f"{run_dir.name}: expected the run of a method, found one of {config.get('network')!r}")
    method = build_method(config)
    load_weights(weights or run_dir / WEIGHTS, method)
    return method.to(device).eval().requires_grad_(False)


def _teacher(data: MethodData, student: Method, device: torch.device) -> Teacher | None:
    if not data.teacher:
        return None
    method = load_method(Path(data.teacher), device)
    card = method.card
    theirs, ours = (each.config.size_px for each in (method, student))
    if (theirs, card.alignment) != (ours, student.card.alignment):
        found = f"{theirs} px, {card.alignment}, found by a student of {ours} px, {student.card.alignment}"
        raise BadInputError(f"data.teacher: sees other crops: {found}; both must see the same")
    frozen = _quick(load_frozen(card.needs - {"teacher"}, card.alignment, method.config.size_px, device))
    quicken(method)

    @torch.no_grad()
    def teach(identity: Aligned, attribute: Aligned) -> Swap:
        return method.swap(attribute, method.encode_identity(identity, frozen))

    return teach


def _quick(frozen: FrozenNets) -> FrozenNets:
    """Frozen networks as losses ask them, step by step."""
    for entry in dataclasses.fields(frozen):
        part = getattr(frozen, entry.name)
        if isinstance(part, nn.Module):
            quicken(part)
    return frozen


def load_quality(run_dir: Path, device: torch.device | str = "cpu") -> Judge:
    """What a finished run of the network `quality` says of pictures.

    Raises:
        BadInputError: No such run, or one of something else.
    """
    config = read_json(run_dir / CONFIG)
    if config.get("network") != "quality":
        named = config.get("network") or config.get("method")
        raise BadInputError(f"data.quality: expected a run of network = 'quality', found one of {named!r}")
    net = Quality(fill(QualityConfig, config.get("model", {}), "model"))
    load_weights(run_dir / WEIGHTS, net)
    net.to(device).eval().requires_grad_(False)
    return net


def _quality(data: MethodData, name: str, needs: frozenset[str], device: torch.device) -> Judge | None:
    if not data.quality:
        return None
    if "teacher" not in needs:
        raise BadInputError(f"data.quality: {name} learns from no teacher, whose answers it could weigh")
    return load_quality(Path(data.quality), device)


def _phases(method: Method, options: MethodRunConfig) -> tuple[Phase, ...]:
    card, weights = method.card, method.config.loss_weights
    for name in options.optimiser:
        if name not in card.phases:
            raise BadInputError(unknown_name(f"optimiser.{name}", name, sorted(card.phases)))
    defaults: dict[str, dict[str, float]] = find_method(options.method).config().loss_weights
    odd = sorted(set(defaults) ^ set(weights))
    if odd:
        raise BadInputError(f"model.loss_weights: expected the phases {sorted(defaults)}, found {sorted(weights)}")
    for name, losses in defaults.items():
        check_losses(frozenset(losses), weights[name], f"model.loss_weights.{name}")
    return tuple(
        Phase(name, weights[name], options.optimiser[name], modules)
        for name, modules in card.phases.items()
        if name in options.optimiser
    )


def _datasets(data: MethodData, *, whole: bool) -> tuple[Dataset, Dataset]:
    """To learn from, and held out; a method for one pair of people keeps all its pictures in both."""
    if whole:
        every = join([open_dataset(Path(path)).select(where=lambda row: row.split != "test") for path in data.path])
        return every, every
    split = [train_and_val(open_dataset(Path(path)), val_share=data.val_share) for path in data.path]
    return join([train for train, _ in split]), join([val for _, val in split])


def _rows(batch: SwapBatch, rows: slice) -> SwapBatch:
    return each_tensor(batch, lambda tensor: tensor[rows])


def _parts(batch: SwapBatch, size: int = 16) -> Sequence[SwapBatch]:
    return [_rows(batch, slice(start, start + size)) for start in range(0, len(batch), size)]


def _mean_where(name: str, values: torch.Tensor, where: torch.Tensor) -> dict[str, float]:
    """A score, or none where no pair counts."""
    return {name: float(values[where].mean())} if bool(where.any()) else {}


def _method(net: nn.Module) -> Method:
    if not isinstance(net, Method):
        raise TypeError(f"expected a method, found {type(net).__name__}")
    return net
