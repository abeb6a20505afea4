"""How well a parser does on held-out crops, in groups of pictures, and sheets to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Integer, UInt8
from torch import Tensor, nn

from facegraft.core.types import Frame
from facegraft.data.item import Row
from facegraft.frozen.parser import CLASSES
from facegraft.train.eyes.pictures import Pictures
from facegraft.train.preview import blended, frames_from_unit, sheet

COLOURS: Mapping[str, tuple[int, int, int]] = {
    "background": (0, 0, 0),
    "skin": (235, 185, 150),
    "brow": (110, 60, 20),
    "eye": (255, 255, 255),
    "lip": (225, 30, 70),
    "mouth": (110, 0, 40),
    "nose": (255, 130, 60),
    "ear": (255, 205, 0),
    "hair": (150, 80, 210),
    "glasses": (0, 245, 245),
    "hat": (0, 190, 80),
    "neck": (190, 140, 100),
    "cloth": (50, 110, 210),
    "occluder": (255, 0, 255),
}
"""Of the classes, on sheets."""
BATCH = 16
HIDDEN_SHARE = 3
"""One in so many held-out pictures is scored again with a thing pasted."""
_OLD, _YOUNG = 60, 35
_TONES = ((3, "monk 1-3"), (6, "monk 4-6"), (10, "monk 7-10"))


@runtime_checkable
class HeldOut(Protocol):
    """Gives validation crops: images 0..1, labels, where the inner face is seen, what lies inside of the pictures."""

    def __call__(
        self, rows: Tensor, *, hidden: bool
    ) -> tuple[Float[Tensor, "b 3 s s"], UInt8[Tensor, "b s s"], Bool[Tensor, "b s s"], Float[Tensor, "b s s"]]: ...


@torch.no_grad()
def parser_scores(net: nn.Module, pictures: Pictures, held_out: HeldOut, device: torch.device) -> dict[str, float]:
    """Intersection over union in percent; higher is better.

    Returns:
        "iou_<class>" of all pixels of all pictures, for classes that they show; "iou", their mean; "visible_iou", the
        mean over pictures, and "visible_iou/<group>" of groups with at least one picture.
    """
    common, either = torch.zeros(len(CLASSES)), torch.zeros(len(CLASSES))
    seen_by_group: dict[str, list[float]] = {"": []}
    for rows in torch.arange(len(pictures)).split(BATCH):
        image, labels, visible, inside = held_out(rows, hidden=False)
        shares, seen = (answer.float().cpu() for answer in net(image.to(device)))
        both, one = class_overlaps(shares.argmax(1), labels, inside)
        common, either = common + both, either + one
        for row, value in zip(rows.tolist(), picture_ious(seen[:, 0] > 0.5, visible, inside).tolist(), strict=True):
            for group in ("", *groups_of(pictures.rows[row])):
                seen_by_group.setdefault(group, []).append(value)
    for rows in torch.arange(len(pictures))[::HIDDEN_SHARE].split(BATCH):
        image, _, visible, inside = held_out(rows, hidden=True)
        seen = net(image.to(device))[1].float().cpu()
        values = picture_ious(seen[:, 0] > 0.5, visible, inside)
        seen_by_group.setdefault("pasted", []).extend(values.tolist())
    ious = {f"iou_{name}": 100 * float(common[n] / either[n]) for n, name in enumerate(CLASSES) if either[n] > 0}
    means = {name: 100 * float(np.mean(values)) for name, values in sorted(seen_by_group.items())}
    visible_ious = {f"visible_iou/{name}" if name else "visible_iou": value for name, value in means.items()}
    return {"iou": float(np.mean(list(ious.values())))} | ious | visible_ious


def class_overlaps(
    found: Integer[Tensor, "b h w"], truth: Integer[Tensor, "b h w"], inside: Float[Tensor, "b h w"]
) -> tuple[Float[Tensor, "c"], Float[Tensor, "c"]]:
    """Pixels that both call a class, and that either does, for each class."""
    count, counts = len(CLASSES), inside > 0
    pairs = truth[counts].long() * count + found[counts].long()
    table = torch.bincount(pairs, minlength=count**2).reshape(count, count).float()
    both = table.diagonal()
    return both, table.sum(0) + table.sum(1) - both


def picture_ious(
    found: Bool[Tensor, "b h w"], truth: Bool[Tensor, "b h w"], inside: Float[Tensor, "b h w"]
) -> Float[Tensor, "b"]:
    """Of each picture's masks, 0..1; 1 where both are empty."""
    counts = inside > 0
    common = (found & truth & counts).flatten(1).sum(1).float()
    either = ((found | truth) & counts).flatten(1).sum(1).float()
    return torch.where(either > 0, common / either.clamp(min=1), 1.0)


def groups_of(row: Row) -> list[str]:
    """Stratum, skin tone, sex and age of a picture, as far as they are known."""
    found = [row.stratum] if row.stratum else []
    facts = {name: float(value) for name in ("monk", "female", "age") if (value := row.facts.get(name)) is not None}
    if "monk" in facts:
        found.append(next(name for most, name in _TONES if facts["monk"] <= most or most == _TONES[-1][0]))
    if "female" in facts:
        found.append("women" if facts["female"] >= 0.5 else "men")
    if "age" in facts:
        old, young = facts["age"] >= _OLD, facts["age"] < _YOUNG
        found.append(f"age {_OLD}+" if old else f"age under {_YOUNG}" if young else f"age {_YOUNG}-{_OLD}")
    return found


@torch.no_grad()
def parser_sheet(net: nn.Module, images: Float[Tensor, "b 3 s s"], truths: UInt8[Tensor, "b s s"]) -> Frame:
    """Three pictures a row, each with its truth, the answer, and the face that is seen."""
    rows: list[list[Frame]] = []
    for start in range(0, len(images), 3):
        some = images[start : start + 3]
        shares, visible = (answer.float().cpu() for answer in net(some))
        row: list[Frame] = []
        for number, frame in enumerate(frames_from_unit(some)):
            truth = coloured(truths[start + number].numpy())
            row += [frame, truth, *answers(frame, shares[number].numpy(), visible[number, 0].numpy())]
        rows.append(row)
    return sheet(rows, min(192, images.shape[-1]))


def answers(
    frame: Frame, shares: Float32[np.ndarray, "c h w"], visible: Float32[np.ndarray, "h w"]
) -> tuple[Frame, Frame]:
    """What a parser says of a crop: colours of the classes laid over it, and all but the visible face darkened."""
    labels = shares.argmax(0).astype(np.uint8)
    dark = (frame * (0.25 + 0.75 * visible.clip(0, 1)[..., None])).astype(np.uint8)
    return blended(frame, coloured(labels), 0.6), dark


def coloured(labels: UInt8[np.ndarray, "h w"]) -> Frame:
    """Class numbers as `COLOURS`."""
    return np.array([COLOURS[name] for name in CLASSES], np.uint8)[labels]


def legend(width_px: int) -> Frame:
    """A strip that names the colours, about as wide as asked."""
    step = 118
    columns = max(1, width_px // step)
    lines = -(-len(CLASSES) // columns)
    strip = np.full((lines * 22, width_px, 3), 255, np.uint8)
    for number, name in enumerate(CLASSES):
        top, left = number // columns * 22, number % columns * step
        strip[top + 3 : top + 19, left + 4 : left + 24] = COLOURS[name]
        cv2.rectangle(strip, (left + 4, top + 3), (left + 24, top + 19), (90, 90, 90), 1)
        cv2.putText(strip, name, (left + 28, top + 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (30, 30, 30), 1, cv2.LINE_AA)
    return strip


def stacked(parts: Sequence[Frame]) -> Frame:
    """Frames below each other on white."""
    width = max(part.shape[1] for part in parts)
    padded = [np.pad(part, ((0, 0), (0, width - part.shape[1]), (0, 0)), constant_values=255) for part in parts]
    return np.concatenate(padded)
