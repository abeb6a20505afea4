"""Training that goes on from an exported network: the weights of its ONNX file, and normalisations as they were folded.

Export folds each batch normalisation into what lies before it. To train on, every one is put back so that the network
says the same as its file, and so that it says the same in training mode of the pictures that it is measured on.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegraft.core.errors import BadInputError
from facegraft.core.files import shown
from facegraft.frozen.from_onnx import FOLDED, kept_by, make_identity, normalisations, read_weights, undo_shift


def warm_start(
    net: nn.Module, path: Path, crops: Float[Tensor, "b c h w"], parts: tuple[str, ...] = ("",)
) -> list[str]:
    """Fills a network from an ONNX file of ours; what the file does not know stays as it is, such as newer parts.

    Args:
        net: Changed in place; left in training mode.
        path: Made by `facegraft export`.
        crops: What the network is asked of. Means and variances of its normalisations become those of these.
        parts: How names begin that are taken from the file; the others are passed over.

    Returns:
        Names of the weights that the file does not know.

    Raises:
        BadInputError: The file is missing, broken, or of another network.
        MissingPartError: onnx is not installed.
    """
    constants = {name for name, _ in net.named_buffers()}
    tensors = {name: value for name, value in read_weights(path).items() if name.startswith(parts)}
    tensors = {name: value for name, value in tensors.items() if name not in constants}
    wanted = {name for name, _ in net.named_parameters()}
    norms = dict(normalisations(net))
    filled = set()
    with torch.no_grad():
        for name, tensor in tensors.items():
            norm = norms.get(name.removesuffix(FOLDED)) if name.endswith(FOLDED) else None
            if norm is not None and not norm.affine:
                undo_shift(norm, tensor)
                continue
            weight = norm.bias if norm is not None else dict(net.named_parameters()).get(name)
            if weight is None or weight.shape != tensor.shape:
                expected = "no such weight" if weight is None else f"{tuple(weight.shape)}"
                raise BadInputError(
                    f"{shown(path)}: {name} is {tuple(tensor.shape)}, expected {expected}; check [model]"
                )
            weight.copy_(tensor)
            filled.add(name)
            if norm is not None:
                make_identity(norm)
        folded = {name: norm for name, norm in norms.items() if f"{name}{FOLDED}" in filled}
        measure(net, list(folded.values()), crops)
    inside = {id(weight) for norm in folded.values() for weight in norm.parameters()}
    unknown = [name for name, weight in net.named_parameters() if name not in filled and id(weight) not in inside]
    if len(unknown) == len(wanted):
        raise BadInputError(f"{shown(path)}: none of its weights is this network's; name a file of `facegraft export`")
    return unknown


def train_only(net: nn.Module, parts: tuple[str, ...]) -> None:
    """Lets weights learn whose names begin so, and no others."""
    for name, weight in net.named_parameters():
        weight.requires_grad = name.startswith(parts)


def measure(net: nn.Module, norms: list[_BatchNorm], crops: Float[Tensor, "b c h w"]) -> None:
    """Gives normalisations that only add their bias the means and variances of what they see, and the same answers."""
    handles = [norm.register_forward_hook(_measure) for norm in norms]
    net.eval()
    net(crops)
    for handle in handles:
        handle.remove()
    net.train()


def _measure(norm: nn.Module, given: tuple[Tensor, ...], _answer: Tensor) -> None:
    """A hook that runs once the layer has answered, so that the answer is still that of the file."""
    if isinstance(norm, _BatchNorm):
        axes = [axis for axis in range(given[0].ndim) if axis != 1]
        variance, mean = torch.var_mean(given[0], axes, correction=0)
        for kept, value in zip(kept_by(norm), (mean, variance), strict=True):
            kept.copy_(value)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
