"""A trained network as an ONNX file: normalisations folded, free axes named, weights stored as float32 or float16."""

from __future__ import annotations

import dataclasses
import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.files import atomic_path

OPSET = 18
FEWEST_HALVED = 64
"""Smaller tensors of weights stay in float32: there is nothing to gain."""


@dataclasses.dataclass(frozen=True)
class Ports:
    """Names of a graph's inputs and outputs, and input -> axis -> name of the axes whose size is free."""

    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    dynamic_axes: Mapping[str, Mapping[int, str]]


class Plain(nn.Module):
    """A network whose answer is a tuple of tensors, whatever its own answer is made of."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return answers(self.net, inputs)


def answers(net: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What the graph gives: the results of the network's method `exported` where it has one, else of `forward`."""
    return plain_outputs(getattr(net, "exported", net)(*inputs))


def plain_outputs(outputs: Any) -> tuple[Tensor, ...]:
    """A tensor, a tuple or a dataclass of tensors as a tuple, in order; fields that are None are left out."""
    if isinstance(outputs, Tensor):
        return (outputs,)
    if dataclasses.is_dataclass(outputs):
        outputs = [getattr(outputs, entry.name) for entry in dataclasses.fields(outputs)]
    return tuple(output for output in outputs if output is not None)


def export_onnx(
    net: nn.Module,
    example: tuple[Tensor, ...],
    path: Path,
    *,
    ports: Ports,
    half: bool = False,
    facts: Mapping[str, str] | None = None,
) -> None:
    """Writes a network as ONNX.

    Args:
        net: On the CPU; it is put into evaluation mode.
        example: Inputs; sizes of axes that are not free stay as they are here.
        path: The file.
        ports: Names and free axes.
        half: Store weights in float16. They are made float32 again when the file is loaded, so speed and the kind of
            inputs and outputs stay, and only the rounding shows. Parts that the network names in `kept_exact` are not
            rounded; weights of theirs are stored in float16 only where that holds them exactly.
        facts: Strings to keep in the file's metadata.

    Raises:
        BadInputError: torch cannot express the network as ONNX, or not with these free axes.
        MissingPartError: onnx or onnxscript is not installed.
        OutputError: The file cannot be written.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401 - torch imports it, and says at length that it is missing
    except ImportError as error:
        raise MissingPartError("onnx or onnxscript is missing: pip install 'facegraft[train]'") from error
    model = _traced(Plain(net).eval(), example, ports)
    _name_axes(model, ports)
    _strip(model)
    if half:
        _halve(model, tuple(f"net.{part}." for part in getattr(net, "kept_exact", ())))
    for key, value in sorted((facts or {}).items()):
        model.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(model, full_check=True)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _traced(net: nn.Module, example: tuple[Tensor, ...], ports: Ports) -> Any:
    free = tuple({axis: torch.export.Dim.DYNAMIC for axis in ports.dynamic_axes.get(n, {})} for n in ports.input_names)
    # Tracing takes a size of 1 for one that never changes.
    inputs = tuple(
        tensor.repeat([2 if axis in axes and size == 1 else 1 for axis, size in enumerate(tensor.shape)])
        for tensor, axes in zip(example, free, strict=True)
    )
    try:
        with _quiet(), torch.no_grad():
            program = torch.onnx.export(
                net,
                inputs,
                dynamo=True,
                input_names=list(ports.input_names),
                output_names=list(ports.output_names),
                dynamic_shapes={"inputs": free},
                opset_version=OPSET,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError) as error:
        reason = " ".join(str(error.__cause__ or error).split())[:300]
        raise BadInputError(f"torch cannot write this network as ONNX: {reason}") from error
    if program is None:
        raise BadInputError("torch wrote no ONNX of this network and did not say why")
    return program.model_proto


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of its own deprecated calls and of packages that nobody here needs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _name_axes(model: Any, ports: Ports) -> None:
    """Gives the free axes the names that were asked for, everywhere."""
    names: dict[str, str] = {}
    for value in model.graph.input:
        for axis, name in ports.dynamic_axes.get(value.name, {}).items():
            names[value.type.tensor_type.shape.dim[axis].dim_param] = name
    if "" in names:
        raise BadInputError(
            f"torch fixed the size of {names['']}, which should be free; look for sizes read as numbers"
        )
    for value in [*model.graph.input, *model.graph.output]:
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.dim_param = re.sub(r"\w+", lambda found: names.get(found.group(), found.group()), dim.dim_param)


def _strip(model: Any) -> None:
    """Takes out what says where on this machine each node was written down: it is large, and nobody's business."""
    del model.graph.value_info[:]
    model.graph.doc_string = ""
    for part in [model.graph, *model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del part.metadata_props[:]
        part.doc_string = ""


def _halve(model: Any, kept_exact: tuple[str, ...]) -> None:
    """Weights as float16, each with a node that makes it float32, which ONNX Runtime runs once, when it loads.

    Args:
        model: Changed in place.
        kept_exact: How names of weights begin that are not rounded. What torch computed of weights has another name
            and may be of theirs, so it is not rounded either where there are some.
    """
    from onnx import TensorProto, helper, numpy_helper

    casts, kept = [], []
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):  # such weights stay as they are
            halved = array.astype(np.float16) if tensor.data_type == TensorProto.FLOAT else array
        exact = kept_exact and (tensor.name.startswith(kept_exact) or not tensor.name.startswith("net."))
        loses = not (np.array_equal(halved, array) if exact else np.isfinite(halved).all())
        if halved.dtype != np.float16 or array.size < FEWEST_HALVED or loses:
            kept.append(tensor)
            continue
        kept.append(numpy_helper.from_array(halved, f"{tensor.name}.half"))
        casts.append(helper.make_node("Cast", [f"{tensor.name}.half"], [tensor.name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)


def other_inputs(example: Sequence[Tensor], ports: Ports) -> tuple[Tensor, ...]:
    """Other inputs of the same kind: noise in the example's range, a batch of three, other free axes doubled."""
    generator = torch.Generator().manual_seed(1)
    made = []
    for tensor, name in zip(example, ports.input_names, strict=True):
        free = ports.dynamic_axes.get(name, {})
        shape = [(3 if axis == 0 else 2 * size) if axis in free else size for axis, size in enumerate(tensor.shape)]
        low, high = float(tensor.min()), float(tensor.max())
        made.append(low + (high - low) * torch.rand(shape, generator=generator))
    return tuple(made)
