"""What our converters of other people's recognisers share: an ONNX graph under construction, and its check."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from facegraft.core.errors import MissingPartError
from facegraft.core.files import atomic_path

if TYPE_CHECKING:
    import onnx

OPSET = 17


class Graph:
    """An ONNX graph under construction. Values are known by name."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, value: np.ndarray | float, kind: type = np.float32) -> str:
        from onnx import numpy_helper

        name = f"w{len(self.weights)}"
        array: np.ndarray = np.asarray(value, kind)
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name))
        return name

    def add(self, operation: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        from onnx import helper

        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operation, inputs, [name], name=name, **attributes))
        return name

    def model(self, name: str, given: tuple[str, int], embedding_size: int) -> onnx.ModelProto:
        """Finished: from a batch of square RGB pictures of a name and side to "embedding"."""
        from onnx import TensorProto, helper

        picture, side = given
        start = helper.make_tensor_value_info(picture, TensorProto.FLOAT, ["batch", 3, side, side])
        end = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", embedding_size])
        body = helper.make_graph(self.nodes, name, [start], [end], self.weights)
        return helper.make_model(body, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)


def onnx_checker() -> Any:
    """The module that checks ONNX graphs.

    Raises:
        MissingPartError: The package onnx is missing.
    """
    try:
        from onnx import checker
    except ImportError as error:
        raise MissingPartError(
            "writing the network needs onnx; install the extra: pip install 'facegraft[recogniser]'"
        ) from error
    return checker


def written_once(path: Path, write: Callable[[Path], None]) -> Path:
    """Where a network of others lies: `write` fetches and writes it, with an empty folder that goes away; never twice.

    Raises:
        MissingPartError: The package onnx is missing: before anything is fetched in vain.
    """
    if not path.is_file():
        onnx_checker()
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as scratch:
            write(Path(scratch))
    return path


def write_model(model: onnx.ModelProto, path: Path) -> None:
    """Checked, whole or not at all; the same model gives the same bytes.

    Raises:
        MissingPartError: The package onnx is missing.
    """
    onnx_checker().check_model(model)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))
