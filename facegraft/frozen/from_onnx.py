"""Networks from ONNX files of ours: frozen measures for losses, and where a training goes on from.

Export folds each batch normalisation into what lies before it; here every one is put back so that the network says
the same as its file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.files import check_input_file, shown

FRONT = "net."
"""Before every weight's name in a file: what export wraps the network in."""
HALF, FOLDED = ".half", "_bias"
"""After the name of a tensor in float16; after that of a weight that a normalisation was folded into."""


def load_onnx(net: nn.Module, path: Path) -> None:
    """Fills a network from its ONNX file; left frozen, folded and in evaluation mode: it says the same as the file.

    Raises:
        BadInputError: The file is missing, broken, or of another network.
        MissingPartError: onnx is not installed.
    """
    fill_from_onnx(net, path)
    fold(net)
    net.requires_grad_(False)


def fill_from_onnx(net: nn.Module, path: Path, *, fewest: int = 0) -> None:
    """As `load_onnx`, with normalisations in their places and nothing frozen: a network to train on.

    They only add a bias as long as the network is in evaluation mode, where it is left.

    Args:
        net: Of the file's kind.
        path: The file.
        fewest: A weight of fewer numbers that the file lacks keeps its value: export makes constants of small ones, as
            of scales.

    Raises:
        BadInputError: The file is missing, broken, or of another network.
        MissingPartError: onnx is not installed.
    """
    weights, norms = dict(net.named_parameters()), dict(normalisations(net))
    constants = {name for name, _ in net.named_buffers()}
    filled: set[int] = set()
    with torch.no_grad():
        for each in norms.values():
            make_identity(each)
        for name, tensor in read_weights(path).items():
            if name in constants:
                continue
            norm = norms.get(name.removesuffix(FOLDED)) if name.endswith(FOLDED) else None
            if norm is not None and not norm.affine:
                undo_shift(norm, tensor)
                continue
            weight = norm.bias if norm is not None else weights.get(name)
            if weight is None or weight.shape != tensor.shape:
                expected = "no such weight" if weight is None else f"{tuple(weight.shape)}"
                raise BadInputError(f"{shown(path)}: {name} is {tuple(tensor.shape)}, expected {expected}")
            weight.copy_(tensor)
            filled.add(id(weight))
    left = [name for name, weight in weights.items() if id(weight) not in filled]
    plain = {id(norm.weight) for norm in norms.values()}
    missing = [name for name in left if id(weights[name]) not in plain]
    missing = [name for name in missing if weights[name].numel() >= fewest]
    if missing:
        raise BadInputError(f"{shown(path)}: {missing[0]} is missing ({len(missing)} in all); it is another network's")
    net.eval()


def fold(net: nn.Module) -> None:
    """Puts each batch normalisation into the convolution or matrix before it, as export does; a third faster.

    The network must be in evaluation mode, and stays there.
    """
    for part in [*net.modules()]:
        if not isinstance(part, nn.Sequential):
            continue
        for number, following in enumerate([*part][1:], 1):
            before = part[number - 1]
            if isinstance(following, _BatchNorm) and isinstance(before, nn.Conv2d):
                part[number - 1] = nn.utils.fusion.fuse_conv_bn_eval(before, following)
            elif isinstance(following, nn.BatchNorm1d) and isinstance(before, nn.Linear) and following.affine:
                part[number - 1] = nn.utils.fusion.fuse_linear_bn_eval(before, following)
            else:
                continue
            part[number] = nn.Identity()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Name in the network -> weight in float32; `<name>_bias` is what a normalisation was folded into.

    Raises:
        BadInputError: The file is missing or broken.
        MissingPartError: onnx is not installed.
    """
    model = open_model(path)
    from onnx import numpy_helper

    found = {}
    for tensor in model.graph.initializer:
        if tensor.name.startswith(FRONT):
            name = tensor.name.removeprefix(FRONT).removesuffix(HALF)
            found[name] = torch.from_numpy(numpy_helper.to_array(tensor).copy()).float()
    return found


def open_model(path: Path) -> Any:
    """The protocol buffer of an ONNX file.

    Raises:
        BadInputError: The file is missing or broken.
        MissingPartError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingPartError("onnx is missing: pip install 'facegraft[train]'") from error
    check_input_file(path)
    try:
        return onnx.load_from_string(path.read_bytes())
    except Exception as error:  # protobuf's errors have no common parent but this one
        raise BadInputError(f"{shown(path)}: expected a network in ONNX, found something else") from error


def normalisations(net: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    """Name of a weight -> the batch normalisation of what it makes, which is the next layer."""
    for name, part in net.named_modules():
        if isinstance(part, nn.Sequential):
            for (number, layer), (_, following) in zip(
                list(part.named_children())[:-1], list(part.named_children())[1:], strict=True
            ):
                if isinstance(layer, nn.Conv2d | nn.Linear) and isinstance(following, _BatchNorm):
                    yield f"{name}.{number}.weight".removeprefix("."), following


def make_identity(norm: _BatchNorm) -> None:
    """A normalisation that only adds its bias, in evaluation mode."""
    mean, variance = kept_by(norm)
    mean.zero_()
    variance.fill_(1 - norm.eps)
    if norm.affine:
        norm.weight.fill_(1)


def undo_shift(norm: _BatchNorm, folded: Tensor) -> None:
    """Gives a normalisation without weights of its own back the mean that was folded, and nothing to divide by."""
    mean, variance = kept_by(norm)
    mean.copy_(-folded)
    variance.fill_(1 - norm.eps)


def kept_by(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Its running mean and variance."""
    if norm.running_mean is None or norm.running_var is None:
        raise TypeError("expected a normalisation that keeps means and variances")
    return norm.running_mean, norm.running_var
