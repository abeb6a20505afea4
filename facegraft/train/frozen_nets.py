"""The frozen networks that a method needs, filled from the files that ship, and where each looks in a crop."""

from __future__ import annotations

from collections.abc import Collection
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from facegraft.core.errors import BadInputError
from facegraft.core.geometry import invert, transform
from facegraft.core.types import Matrix
from facegraft.faces.align import alignment, template_points
from facegraft.faces.topology import five_points, load_topology
from facegraft.frozen.from_onnx import load_onnx
from facegraft.frozen.identity import SIZE_PX as IDENTITY_PX
from facegraft.frozen.identity import TEMPLATE as IDENTITY_TEMPLATE
from facegraft.frozen.identity import Identity, IdentityConfig
from facegraft.frozen.landmarks import MARGIN as POINTS_MARGIN
from facegraft.frozen.landmarks import SIZE_PX as POINTS_PX
from facegraft.frozen.landmarks import Landmarks, LandmarksConfig
from facegraft.frozen.nets import FrozenNets, IdentityEye, PerceptualEye, PointsEye, Teacher, absent, window_of
from facegraft.frozen.parser import CROP_MARGIN as PARSER_MARGIN
from facegraft.frozen.parser import SIZE_PX as PARSER_PX
from facegraft.frozen.parser import Parser, ParserConfig

PERCEPTUAL_PX = PARSER_PX // 2
_WEIGHTS = resources.files("facegraft") / "train" / "weights"
IDENTITY_FILE = Path(str(_WEIGHTS / "identity.onnx"))
"""What methods know people by. Not the one beside the eyes of the runtime: that one judges (`facegraft eval`), stays as
it is for the sake of numbers measured before, and has no part in training."""
ROBUST_FILE = Path(str(_WEIGHTS / "identity_robust.onnx"))
"""Of train/eyes/identity_robust.py; no eye of the runtime either."""


def load_frozen(
    needs: Collection[str],
    alignment_template: str,
    size_px: int,
    device: torch.device | str = "cpu",
    teacher: Teacher | None = None,
    *,
    robust: bool = False,
) -> FrozenNets:
    """What a method's card asks for, on a device.

    Args:
        needs: Fields of `FrozenNets`.
        alignment_template: Of the method's crops.
        size_px: Their side.
        device: Where pictures come from.
        teacher: A trained method, where one is needed.
        robust: With identity: also the network that does not let itself be misled, for losses.

    Raises:
        BadInputError: An unknown need, or a teacher is needed and none is given.
    """
    unknown = sorted(set(needs) - {"identity", "perceptual", "points", "teacher"})
    if unknown:
        raise BadInputError(
            f"frozen networks: {unknown[0]!r} is unknown; there are identity, perceptual, points, teacher"
        )
    if "teacher" in needs and teacher is None:
        raise BadInputError("data.teacher: is missing; name the run of a trained method that this one learns from")
    made: dict[str, nn.Module] = {}
    if "identity" in needs:
        crop = alignment(template_points(alignment_template, size_px), IDENTITY_TEMPLATE, IDENTITY_PX)
        files = {"identity": IDENTITY_FILE} | ({"robust": ROBUST_FILE} if robust else {})
        for name, path in files.items():
            net = Identity(IdentityConfig())
            load_onnx(net, path)
            window = _window(crop, IDENTITY_PX, size_px)
            made[name] = IdentityEye(net, window, blurs=name == "identity").to(device).eval()
    if "perceptual" in needs:
        parser = Parser(ParserConfig())
        load_onnx(parser, weights_file("parser"))
        crop = _around_mesh(alignment_template, size_px, PARSER_MARGIN, PERCEPTUAL_PX)
        eye = PerceptualEye(parser, _window(crop, PERCEPTUAL_PX, size_px), PERCEPTUAL_PX)
        made["perceptual"] = eye.to(device).eval()
    if "points" in needs:
        landmarks = Landmarks(LandmarksConfig())
        load_onnx(landmarks, weights_file("landmarks"))
        crop = _around_mesh(alignment_template, size_px, POINTS_MARGIN, POINTS_PX)
        made["points"] = PointsEye(landmarks, _window(crop, POINTS_PX, size_px)).to(device).eval()
    for each in made.values():
        each.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
    return FrozenNets(**made, teacher=teacher or absent("teacher"))


def weights_file(network: str) -> Path:
    """The ONNX file of one of our networks, as it ships."""
    return Path(str(resources.files("facegraft") / "faces" / "weights" / f"{network}.onnx"))


def _window(to_crop: Matrix, crop_px: int, picture_px: int) -> Tensor:
    return window_of(torch.from_numpy(np.asarray(invert(to_crop), np.float32)), crop_px, picture_px)


def _around_mesh(template: str, size_px: int, margin: float, crop_px: int) -> Matrix:
    """From a method's crop to a square around the mean face's mesh, as analysis cuts it around a face's."""
    topology = load_topology()
    dense = topology.xyz.astype(np.float32)
    mesh = transform(alignment(five_points(topology, dense), template, size_px), dense[:, :2])
    low, high = mesh.min(0), mesh.max(0)
    scale = crop_px / (margin * float((high - low).max()))
    middle = (low + high) / 2
    shift = crop_px / 2 - scale * middle
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
