"""A network's weights as one safetensors file with a few facts in its header; never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, check_input_file, shown


def save_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Writes tensors and facts that JSON can hold, whole or not at all.

    Raises:
        OutputError: The file cannot be written.
    """
    # Copies, because safetensors refuses tensors that share memory or are not laid out in order.
    plain = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with atomic_path(path) as temporary:
        save_file(plain, temporary, metadata={"facts": json.dumps(facts, sort_keys=True)})


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `save_tensors` wrote, on the CPU; facts are empty where another program wrote the file.

    Raises:
        BadInputError: No such file, or no whole safetensors file.
    """
    check_input_file(path)
    try:
        with safe_open(path, framework="pt") as reader:
            facts = json.loads((reader.metadata() or {}).get("facts", "{}"))
            return {name: reader.get_tensor(name) for name in reader.keys()}, facts  # noqa: SIM118 - no mapping
    except (SafetensorError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise BadInputError(
            f"{shown(path)}: expected weights in safetensors, found a damaged file ({reason})"
        ) from error


def save_weights(path: Path, net: nn.Module, facts: Mapping[str, Any]) -> None:
    """Writes a network's weights and buffers.

    Raises:
        OutputError: The file cannot be written.
    """
    save_tensors(path, net.state_dict(), facts)


def load_weights(path: Path, net: nn.Module) -> dict[str, Any]:
    """Fills a network from a file, in place, whatever device it is on; returns the facts.

    Raises:
        BadInputError: The file is missing, damaged, or holds the weights of another architecture.
    """
    tensors, facts = read_tensors(path)
    fill_state(net, tensors, shown(path))
    return facts


def fill_state(net: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copies named tensors into a network.

    Raises:
        BadInputError: A name is missing or too many, or a shape differs; the message begins with `where`.
    """
    expected = net.state_dict()
    odd = sorted(set(expected) ^ set(tensors))
    if odd:
        what = "is missing" if odd[0] in expected else "is unknown"
        raise BadInputError(f"{where}: weights of another network: {odd[0]} {what} ({len(odd)} differ); check [model]")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            found, wanted = tuple(tensor.shape), tuple(expected[name].shape)
            raise BadInputError(f"{where}: expected {name} of shape {wanted}, found {found}; check [model]")
    with torch.no_grad():
        net.load_state_dict(dict(tensors))
