"""The parser on held-out renders: where the inner face is seen, what each pixel is, and how long a crop takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from eye_networks.held_out import Renders, Setup, Sightings, watched
from eye_networks.measures import alternating, chosen, mean_error, pooled
from eye_networks.sheets import save_worst
from eye_networks.table import OURS, Line, Result, time_lines
from facegraft.core.geometry import warp
from facegraft.core.types import Frame
from facegraft.export.compare import open_session
from facegraft.faces.own import as_input
from facegraft.frozen.parser import CLASSES, CROP_MARGIN, SIZE_PX
from facegraft.train.eyes.crops import CropOptions, centred_crops, cut_labels, inside_picture
from facegraft.train.eyes.parser_scores import answers, class_overlaps, coloured, picture_ious
from facegraft.train.eyes.parser_things import class_table, inner_table
from facegraft.train.preview import with_text

NAME = "parser"
CROPS = {"160 px, margin 1.2": CropOptions(160, 1.2), "256 px, margin 1.9": CropOptions(SIZE_PX, CROP_MARGIN)}
"""The crop that analysis asks about, and the one that shows hair, neck and hat."""
IOU = "renders: % IoU of the visible inner face"
Ask = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Input of the network -> shares of the classes, c x s x s, and of the visible face, s x s."""


@dataclass(frozen=True, eq=False)
class Truth:
    """One crop: its pixels, the right answer, and what lies inside of the picture."""

    image: Frame
    labels: torch.Tensor
    visible: torch.Tensor
    inside: torch.Tensor


def measure(setup: Setup, renders: Renders | None, seen: Sightings) -> Result:
    """All figures of the parser. It has no teacher: MediaPipe says nothing of regions."""
    path, result = setup.network(NAME), Result()
    if path is None:
        result.missing.append(f"parser: no {NAME}.onnx among the weights")
    if path is None or renders is None:
        return result
    session = open_session(path, 1)
    fixed = session.get_inputs()[0].shape[2]

    def ask(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        labels, visible = session.run(["labels", "visible"], {"crop": image})
        return labels[0], visible[0, 0]

    for name, options in CROPS.items():
        if isinstance(fixed, int) and fixed != options.size_px:
            result.missing.append(f"parser at {name}: the file takes crops of {fixed} px only; export it anew")
            continue
        result.lines.extend(at_size(setup, ask, renders, seen, name, options))
    return result


def at_size(setup: Setup, ask: Ask, renders: Renders, seen: Sightings, name: str, options: CropOptions) -> list[Line]:
    """Figures on crops of one size: placed by exact points, and by those of our landmarks."""
    overlaps = np.zeros((len(renders), 2, len(CLASSES)))
    exact = np.full(len(renders), np.nan)
    for row in watched(range(len(renders)), f"parser, {name}"):
        truth = cropped(renders, row, renders.dense[row], options)
        exact[row], overlaps[row, 0], overlaps[row, 1] = scored(ask, truth)
    lines = iou_lines(renders, f"{IOU}, exact crop of {name}", {OURS: exact}, aim="93 %")
    if OURS in seen:
        # The crop of another place shows another part of the face, so what was not found is scored as nothing seen.
        found = np.zeros(len(renders))
        for row, face in enumerate(watched(seen[OURS], f"parser, {name}, faces as found")):
            if face is not None:
                found[row] = scored(ask, cropped(renders, row, face.dense, options))[0]
        words = f"{IOU}, crop of {name} around our landmarks, 0 where no face was found"
        lines += iou_lines(renders, words, {OURS: found})
    lines += class_lines(overlaps, renders.people, name)
    image = as_input(cropped(renders, 0, renders.dense[0], options).image)
    timed = alternating({OURS: partial(ask, image)}, setup.rounds)
    lines += time_lines(NAME, f"one crop of {name}", timed, "8 ms at 256 px (2 threads)")
    tile = partial(_tile, ask, renders, exact, options)
    save_worst(setup.sheets, f"parser_{options.size_px}", -exact, tile)
    return lines


def cropped(renders: Renders, row: int, dense: np.ndarray, options: CropOptions) -> Truth:
    """The crop around points, and the labels of the same pixels."""
    matrix, size = centred_crops(torch.from_numpy(dense[None]).float(), options).matrix, options.size_px
    regions = cut_labels(renders.known.pictures.planes["regions"][row : row + 1], matrix, size).long()
    side = renders.known.pictures.size_px
    return Truth(
        image=warp(renders.frames[row], matrix[0].numpy().astype(np.float32), (size, size)),
        labels=class_table()[regions],
        visible=inner_table()[regions],
        inside=inside_picture((side, side), matrix, size).float(),
    )


def scored(ask: Ask, truth: Truth) -> tuple[float, np.ndarray, np.ndarray]:
    """IoU of the visible face in percent; pixels that both call a class, and that either does."""
    shares, visible = ask(as_input(truth.image))
    iou = picture_ious(torch.from_numpy(visible[None]) > 0.5, truth.visible, truth.inside)
    both, either = class_overlaps(torch.from_numpy(shares.argmax(0)[None]), truth.labels, truth.inside)
    return 100 * float(iou[0]), both.numpy(), either.numpy()


def iou_lines(renders: Renders, words: str, errors: dict[str, np.ndarray], aim: str = "") -> list[Line]:
    """Mean over the pictures of each group."""
    lines = []
    for group, mask in renders.groups().items():
        if mask.any():
            people = chosen(renders.people, mask)
            figures = {who: mean_error(values[mask], people, looked=False) for who, values in errors.items()}
            lines.append(Line(NAME, words, group, figures, aim if group == "all" else ""))
    return lines


def class_lines(overlaps: np.ndarray, people: list[str], name: str) -> list[Line]:
    """IoU of each class over all pixels of all pictures; `overlaps` is pictures x (both, either) x classes."""
    words = f"renders: % IoU of the classes, all pixels, exact crop of {name}"
    return [
        Line(NAME, words, label, {OURS: pooled(100 * overlaps[:, 0, n], overlaps[:, 1, n], people)})
        for n, label in enumerate(CLASSES)
        if overlaps[:, 1, n].any()
    ]


def _tile(ask: Ask, renders: Renders, exact: np.ndarray, options: CropOptions, row: int) -> Frame:
    """Above: crop, right classes. Below: classes found, face found."""
    truth = cropped(renders, row, renders.dense[row], options)
    shares, visible = ask(as_input(truth.image))
    laid, dark = answers(truth.image, shares, visible)
    first = with_text(truth.image, f"{exact[row]:.1f} % {renders.known.pictures.rows[row].stratum}")
    above, below = np.concatenate([first, coloured(truth.labels[0].numpy())], 1), np.concatenate([laid, dark], 1)
    return np.concatenate([above, below])
