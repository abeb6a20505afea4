"""Supervised triplets out of plain pairs: the attribute image is edited, the picture as it was is the right answer.

    Loader(..., requires={"landmarks"}, augment=[edit_pairs, functools.partial(vary, stages=TRIPLETS)])

MobileFSGAN (Yu et al., arXiv:2204.08339) trains on faces made heavier, thinner or older: no longer the person who the
identity image shows, so a swap must undo the edit. On photos these alone move our recogniser little (cosine to the
picture as it was: .96 in the mean), so most edits change the features too (.88 together); how is ours.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.data.regions import REGIONS
from facegraft.data.remodel import draw_features, remodel
from facegraft.data.reshape import Edit, age, follow, reweigh
from facegraft.tensors import Aligned, SwapBatch

SHARE = 0.5
"""Of the pairs whose right answer is the attribute image itself; the others go on teaching to leave alone."""
REWEIGHED, REMODELLED = 0.6, 0.8
"""Shares of edits: weight rather than age; the features too."""
LEAST = 0.5
"""Least strength of an edit; the most is 1."""
WRINKLED = ("face", "nose", "beard", "neck")
"""Regions that may wrinkle."""
_INVERSION_STEPS = 12


def edit_pairs(batch: SwapBatch, generator: torch.Generator, *, share: float | int = SHARE) -> SwapBatch:
    """Makes a share of the pairs whose attribute image is their right answer into triplets.

    Exact pairs, which have another right answer, and pairs without one stay. Masks, regions and points of an edited
    picture follow the edit, and `changed` becomes 1 where it differs from the picture as it was.

    Args:
        batch: Pairs, on any device; edits are made on the CPU.
        generator: On the CPU.
        share: 0..1.

    Raises:
        BadInputError: Pairs are to be edited, but their attribute images have no landmarks.
    """
    lots = torch.rand(len(batch), generator=generator)
    rows = torch.nonzero(_answers_itself(batch).cpu() & (lots < share)).flatten().tolist()
    if not rows:
        return batch
    if batch.attribute.landmarks is None:
        raise BadInputError("triplets: expected landmarks of the attribute images, found none; require 'landmarks'")
    edits = {row: _edits(_row(batch.attribute, row), generator) for row in rows}
    changed = batch.changed
    if changed is not None:
        changed = changed.clone()
        for row, made in edits.items():
            changed[row] = _touched(made).to(changed)
    return dataclasses.replace(batch, attribute=_edited(batch.attribute, edits), changed=changed)


def _answers_itself(batch: SwapBatch) -> Bool[Tensor, "b"]:
    same = (batch.truth == batch.attribute.image).flatten(1).all(1)
    return batch.has_truth & same


def _row(aligned: Aligned, row: int) -> dict[str, Tensor]:
    """What is known of one picture, on the CPU."""
    values = {entry.name: getattr(aligned, entry.name) for entry in dataclasses.fields(aligned)}
    return {name: value[row].detach().cpu() for name, value in values.items() if value is not None}


def _edits(picture: dict[str, Tensor], generator: torch.Generator) -> list[Edit]:
    """Heavier, thinner or older, and mostly other features: one edit upon the other."""
    image, landmarks = picture["image"], picture["landmarks"]
    kind, sign, strength, other = torch.rand(4, generator=generator).tolist()
    amount = LEAST + (1 - LEAST) * strength
    if kind < REWEIGHED:
        made = [reweigh(image, landmarks, amount if sign < 0.5 else -amount)]
    else:
        made = [age(image, landmarks, amount, generator, _skin(picture))]
    if other < REMODELLED:
        made.append(remodel(made[0].image, _moved_points(landmarks, made[0]), draw_features(generator)))
    return made


def _skin(picture: dict[str, Tensor]) -> Tensor | None:
    if "regions" not in picture:
        return None
    wrinkled = torch.tensor([REGIONS[name] for name in WRINKLED], dtype=torch.uint8)
    return torch.isin(picture["regions"], wrinkled)[None].float()


def _edited(aligned: Aligned, edits: dict[int, list[Edit]]) -> Aligned:
    """The pictures with some of them edited, and what is known of those brought along."""
    changes: dict[str, Any] = {"image": aligned.image.clone()}
    for row, made in edits.items():
        changes["image"][row] = made[-1].image.to(aligned.image)
    for name in ("mask", "occluder", "regions", "landmarks", "iris", "dense"):
        value = getattr(aligned, name)
        if value is None:
            continue
        changes[name] = value.clone()
        for row, edit in ((row, edit) for row, made in edits.items() for edit in made):
            old = changes[name][row].cpu()
            changes[name][row] = _moved(name, old, edit).to(value)
    return dataclasses.replace(aligned, **changes)


def _moved(name: str, old: Tensor, edit: Edit) -> Tensor:
    if name in ("mask", "occluder"):
        return follow(old, edit)
    if name == "regions":
        return _moved_labels(old, edit)
    return torch.cat([_moved_points(old[:, :2].float(), edit), old[:, 2:]], 1)


def _moved_labels(labels: UInt8[Tensor, "h w"], edit: Edit) -> UInt8[Tensor, "h w"]:
    """The label that covers most of where each pixel was read."""
    present = labels.unique()
    planes = follow((labels[None] == present[:, None, None]).float(), edit)
    return present[planes.argmax(0)]


def _moved_points(points: Float[Tensor, "k 2"], edit: Edit) -> Float[Tensor, "k 2"]:
    """Where points x, y in pixels went: new + flow(new) = old, solved by repeating it."""
    size = torch.tensor([edit.flow.shape[2], edit.flow.shape[1]], dtype=points.dtype)
    new = points
    for _ in range(_INVERSION_STEPS):
        at = (new / size * 2 - 1)[None, :, None]
        new = points - F.grid_sample(edit.flow[None], at, padding_mode="border", align_corners=False)[0, :, :, 0].T
    return new


def _touched(edits: list[Edit]) -> Float[Tensor, "1 h w"]:
    """1 where a pixel moved by more than a tenth, or its shade by more than a level."""
    touched = torch.zeros_like(edits[0].shade[:1])
    for edit in edits:
        moved = (edit.flow.norm(dim=0) > 0.1) | ((edit.shade - 1).abs().amax(0) > 1 / 255)
        touched = torch.maximum((follow(touched, edit) > 0).float(), moved[None].float())
    return touched
