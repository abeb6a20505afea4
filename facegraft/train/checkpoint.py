"""What a run needs to go on, in one safetensors file: a killed run continues bit for bit on one device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.nn.weights import fill_state, read_tensors, save_tensors

VERSION = 1


@dataclass
class State:
    """A run in memory; the loop changes it step by step.

    Attributes:
        net: What is trained.
        average: Its running average: what is scored, drawn and kept in the end.
        head: What is trained along and left out of the result, or None.
        optimisers: One per phase, of its weights of net and head.
        sums: Losses and the gradient's length, phase by phase, summed since the last line of the log.
        steps_logged: How many steps those are.
        images_seen: The clock.
        step: Steps so far.
        seconds: Time spent in steps, over all starts of the run.
    """

    net: nn.Module
    average: nn.Module
    head: nn.Module | None
    optimisers: list[torch.optim.Optimizer]
    sums: Tensor
    steps_logged: int = 0
    images_seen: int = 0
    step: int = 0
    seconds: float = 0.0


def trained_weights(net: nn.Module, head: nn.Module | None) -> dict[str, nn.Parameter]:
    """Names and weights, in an order that only the architecture decides."""
    named = {f"net/{name}": weight for name, weight in net.named_parameters()}
    if head is not None:
        named |= {f"head/{name}": weight for name, weight in head.named_parameters()}
    return {name: weight for name, weight in named.items() if weight.requires_grad}


def save_state(path: Path, state: State) -> None:
    """Writes the whole state, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    tensors = {"sums": state.sums}
    for part, module in _parts(state):
        tensors |= {f"{part}/{name}": tensor for name, tensor in module.state_dict().items()}
    for name, weight in trained_weights(state.net, state.head).items():
        memory: dict[str, Any] = next((found for each in state.optimisers if (found := each.state.get(weight))), {})
        tensors |= {f"optimiser/{name}/{key}": torch.as_tensor(value) for key, value in memory.items()}
    facts = {"facegraft_state": VERSION, "images_seen": state.images_seen, "step": state.step}
    save_tensors(path, tensors, facts | {"steps_logged": state.steps_logged, "seconds": state.seconds})


def load_state(path: Path, state: State) -> None:
    """Fills a state of the same architecture, in place, on its devices.

    Raises:
        BadInputError: The file is missing, damaged, of another version or of another architecture.
    """
    tensors, facts = read_tensors(path)
    if facts.get("facegraft_state") != VERSION:
        found = facts.get("facegraft_state")
        raise BadInputError(f"{shown(path)}: expected a state of version {VERSION}, found {found}; begin a new run")
    for part, module in _parts(state):
        fill_state(module, _below(tensors, part), shown(path))
    _load_optimiser(state, tensors, path)
    if tensors["sums"].shape != state.sums.shape:
        raise BadInputError(f"{shown(path)}: the recipe's losses are others than before; begin a new run")
    state.sums.copy_(tensors["sums"])
    state.images_seen, state.step = int(facts["images_seen"]), int(facts["step"])
    state.steps_logged, state.seconds = int(facts["steps_logged"]), float(facts["seconds"])


def _parts(state: State) -> list[tuple[str, nn.Module]]:
    head = [] if state.head is None else [("head", state.head)]
    return [("net", state.net), ("average", state.average), *head]


def _below(tensors: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{part}/"): tensor for name, tensor in tensors.items() if name.startswith(f"{part}/")}


def _load_optimiser(state: State, tensors: dict[str, Tensor], path: Path) -> None:
    """By the optimiser's own numbers of its weights: its `load_state_dict` knows which of them lie on which device."""
    names = {weight: name for name, weight in trained_weights(state.net, state.head).items()}
    saved = 0
    for optimiser in state.optimisers:
        ordered = [weight for group in optimiser.param_groups for weight in group["params"]]
        memory = {number: _memory(weight, tensors, names[weight]) for number, weight in enumerate(ordered)}
        saved += sum(map(len, memory.values()))
        groups = optimiser.state_dict()["param_groups"]
        optimiser.load_state_dict({"state": {k: v for k, v in memory.items() if v}, "param_groups": groups})
    if saved != sum(name.startswith("optimiser/") for name in tensors):
        raise BadInputError(f"{shown(path)}: the optimiser's state is of another network; check [model]")


def _memory(weight: nn.Parameter, tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Laid out as the weight is: on a GPU fused steps take nothing else."""
    found = _below(tensors, f"optimiser/{name}")
    return {
        key: torch.empty_like(weight, requires_grad=False).copy_(tensor) if tensor.shape == weight.shape else tensor
        for key, tensor in found.items()
    }
