"""What a teacher says of every training picture: asked once, kept in a file."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from safetensors.numpy import load_file, save_file
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.core.files import atomic_path, sha256, shown
from facegraft.faces.recognisers import OnnxRecogniser
from facegraft.train.eyes.people import People

logger = logging.getLogger(__name__)


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
