"""What a teacher says of faces: of every training picture, asked once and kept in a file, or of crops as they come."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.numpy import load_file, save_file
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, sha256, shown
from facegraft.core.session import session_options
from facegraft.faces.recognisers import OnnxRecogniser, normalised
from facegraft.frozen.from_onnx import open_model
from facegraft.train.eyes.people import People

logger = logging.getLogger(__name__)

MAP_SIDES = (28, 14, 7)
"""Of the maps that `WatchedTeacher` gives, as `frozen.identity.Identity.watched` does."""


@dataclass(frozen=True)
class Seen:
    """What a teacher says of crops.

    Attributes:
        answers: Unit vectors.
        maps: What it makes of them on the way, at `MAP_SIDES` pixels a side.
    """

    answers: Float[Tensor, "b t"]
    maps: tuple[Tensor, ...]


class WatchedTeacher:
    """A recogniser of convolutions that is asked about batches of crops, and looked into.

    Of each size of `MAP_SIDES` the last sum of a residual block is taken, of the smallest one what the layer sees that
    weighs the whole map.

    Args:
        path: ONNX file whose input0 is one crop of 112 pixels, as MobileFaceNet of foamliu/MobileFaceNet.
        threads: Of its session.

    Raises:
        BadInputError: No such file, or a network of another build.
        MissingPartError: onnx is not installed.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        import onnxruntime

        model, places = _opened(path)
        options = session_options(threads)
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._outputs = [self._session.get_outputs()[0].name, *places]
        shapes = {output.name: output.shape for output in self._session.get_outputs()}
        self.map_channels = tuple(int(shapes[name][1]) for name in places)
        self.answer_size = int(shapes[self._outputs[0]][1])

    def __call__(self, crops: Float[Tensor, "b 3 112 112"]) -> Seen:
        """Of crops in RGB 0..1; tensors on their device, without gradients."""
        pixels = normalised(crops.permute(0, 2, 3, 1).cpu().numpy())
        answer, *maps = self._session.run(self._outputs, {"input0": pixels})
        found = [torch.from_numpy(each).to(crops.device) for each in (answer.reshape(len(crops), -1), *maps)]
        return Seen(F.normalize(found[0]), tuple(found[1:]))


def teacher_answers(people: People, teacher: Path, folder: Path) -> Float[Tensor, "n t"]:
    """Unit vectors for the plain crops: the sums of those of the crop and of its mirror image.

    The file's name holds the teacher's and the pictures' hashes, so other pictures are asked about anew.

    Args:
        people: Whose pictures.
        teacher: ONNX file with crops of 112 pixels as its input.
        folder: Where answers are kept; made if it is not there.

    Raises:
        BadInputError: The teacher cannot be used.
        OutputError: The folder cannot be written.
    """
    path = folder / f"answers-{sha256(teacher)[:12]}-{_digest(people)}.safetensors"
    if path.is_file():
        return torch.from_numpy(load_file(path)["answers"])
    recogniser = OnnxRecogniser(teacher, threads=torch.get_num_threads())
    if recogniser.size_px != 112:
        raise BadInputError(f"{shown(teacher)}: expected a recogniser of 112 pixels, found {recogniser.size_px}")
    logger.info("asking %s about %d pictures", teacher.name, len(people))
    rows = []
    for place in range(len(people)):
        crop = people.plain(torch.tensor([place]))[0].permute(1, 2, 0).cpu().numpy()
        both = recogniser.embed(np.stack([crop, crop[:, ::-1]])).sum(0)
        rows.append(both / max(float(np.linalg.norm(both)), 1e-12))
        if (place + 1) % 2000 == 0:
            logger.info("%d of %d", place + 1, len(people))
    answers = np.stack(rows).astype(np.float32)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file({"answers": answers}, temporary)
    return torch.from_numpy(answers)


def _digest(people: People) -> str:
    found = hashlib.sha256()
    for begin in range(0, len(people), 1024):
        found.update(people.images[begin : begin + 1024].cpu().numpy().tobytes())
    return found.hexdigest()[:12]


def _opened(path: Path) -> tuple[Any, list[str]]:
    """The model with a free batch axis and without what follows its last convolution, and its maps' names."""
    model = open_model(path)
    import onnx

    try:
        graph = model.graph
        graph.input[0].type.tensor_type.shape.dim[0].dim_param = "b"
        last = [node for node in graph.node if node.op_type == "Conv"][-1]
        del graph.output[:], graph.value_info[:]
        graph.output.append(onnx.ValueInfoProto(name=last.output[0]))
        shapes = _shapes(onnx.shape_inference.infer_shapes(model, strict_mode=True))
    except Exception as error:  # shape inference's errors have no common parent but this one
        raise BadInputError(f"{shown(path)}: expected a recogniser of convolutions in ONNX") from error
    sums = {shapes[node.output[0]][-1]: node.output[0] for node in graph.node if node.op_type == "Add"}
    whole = {shapes[node.input[0]][-1]: node.input[0] for node in graph.node if _weighs_all(node, shapes)}
    found = [(whole | sums if side != MAP_SIDES[-1] else sums | whole).get(side, "") for side in MAP_SIDES]
    if graph.input[0].name != "input0" or not all(found):
        raise BadInputError(f"{shown(path)}: expected input0 and maps of {MAP_SIDES} pixels, as MobileFaceNet has")
    graph.output.extend(onnx.ValueInfoProto(name=name) for name in found)
    return model, found


def _shapes(model: Any) -> dict[str, list[int]]:
    graph = model.graph
    return {
        each.name: [axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in [*graph.input, *graph.value_info, *graph.output]
    }


def _weighs_all(node: Any, shapes: dict[str, list[int]]) -> bool:
    """Whether a convolution leaves one place of a map."""
    return bool(node.op_type == "Conv" and shapes[node.input[0]][-1] > 1 and shapes[node.output[0]][-1] == 1)
