"""A stage's changes on whole training pairs: what the loader's `augment` takes.

    Loader(..., augment=[functools.partial(vary, stages=GAN)])

A truth gets the moves, the colours and the occluder of its attribute image, so it stays the right answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.data.augment import Change, Stage, Stages, augment, draw, generator_for, same_for_truth, without_elastic
from facegraft.data.cutouts import Cutout
from facegraft.data.moves import move_images
from facegraft.data.occluders import Occluder, paste
from facegraft.data.occluders import draw as draw_occluder
from facegraft.data.regions import REGIONS
from facegraft.tensors import Aligned, SwapBatch

_IDENTITY, _ATTRIBUTE, _OTHER, _MASK = range(4)


def vary(batch: SwapBatch, generator: torch.Generator, *, stages: Stages, cutouts: Sequence[Cutout] = ()) -> SwapBatch:
    """Changes both sides of each pair, and its truth with the attribute image.

    Occluders go over attribute images and truths before anything else, and into their masks and regions. Masks are
    moved once more, alone, where the stage says so.

    Args:
        batch: Pairs, on any device.
        generator: On the CPU; gives one number, from which each row's own generators are made.
        stages: What to do.
        cutouts: For occluders; without them all are drawn.

    Raises:
        BadInputError: Occluders are asked for, but the attribute images have no landmarks; or changed masks, but they
            have none.
    """
    seed = int(torch.randint(2**62, (), generator=generator))
    rows = range(len(batch))
    for_identity = [draw(stages.identity, generator_for(seed, row, _IDENTITY)) for row in rows]
    for_attribute = [draw(stages.attribute, generator_for(seed, row, _ATTRIBUTE)) for row in rows]
    batch = _occluded(batch, for_attribute, cutouts)
    other = batch.identity_other
    if other is not None:
        other = augment(other, [draw(stages.identity, generator_for(seed, row, _OTHER)) for row in rows])
    attribute = augment(batch.attribute, for_attribute)
    answer = augment(Aligned(batch.truth, mask=batch.changed), [_for_truth(change, stages) for change in for_attribute])
    given = batch.has_truth[:, None, None, None]
    return replace(
        batch,
        identity=augment(batch.identity, for_identity),
        attribute=_masked(attribute, stages.mask, [generator_for(seed, row, _MASK) for row in rows]),
        identity_other=other,
        truth=torch.where(given, answer.image, batch.truth),
        changed=answer.mask,
    )


def _masked(attribute: Aligned, stage: Stage, generators: Sequence[torch.Generator]) -> Aligned:
    """The attribute images with their masks moved on, by themselves."""
    if stage == Stage():
        return attribute
    if attribute.mask is None:
        raise BadInputError("vary: the stage changes masks, found none; require 'mask'")
    moves = [draw(stage, generator).move for generator in generators]
    return replace(attribute, mask=move_images(attribute.mask, moves))


def _for_truth(change: Change, stages: Stages) -> Change:
    shared = same_for_truth(change)
    if not stages.truth_colour:
        shared = Change(move=shared.move)
    return shared if stages.truth_elastic else without_elastic(shared)


def _occluded(batch: SwapBatch, changes: Sequence[Change], cutouts: Sequence[Cutout]) -> SwapBatch:
    rows = [row for row, change in enumerate(changes) if change.occluded]
    if not rows:
        return batch
    landmarks = batch.attribute.landmarks
    if landmarks is None:
        raise BadInputError("occluders: expected landmarks of the attribute images, found none; require 'landmarks'")
    images, truth = batch.attribute.image.clone(), batch.truth.clone()
    drawn: dict[int, Occluder] = {}
    for row in rows:
        occluder = draw_occluder(images[row], landmarks[row], changes[row].seed, cutouts=cutouts)
        images[row] = paste(images[row], occluder)[0]
        if batch.has_truth[row]:
            truth[row] = paste(truth[row], occluder)[0]
        drawn[row] = occluder
    alpha = torch.zeros_like(images[:, :1])
    for row, occluder in drawn.items():
        alpha[row, 0] = occluder.alpha.to(alpha)
    changed = None if batch.changed is None else batch.changed * (1 - alpha)
    attribute = replace(_marked(batch.attribute, alpha), image=images)
    return replace(batch, attribute=attribute, truth=truth, changed=changed)


def _marked(aligned: Aligned, alpha: Tensor) -> Aligned:
    """Masks and regions of pictures with something in front of them."""
    mask = None if aligned.mask is None else aligned.mask * (1 - alpha)
    occluder = None if aligned.occluder is None else torch.maximum(aligned.occluder, alpha)
    regions = aligned.regions
    if regions is not None:
        label = torch.full_like(regions, REGIONS["occluder"])
        regions = torch.where(alpha[:, 0] >= 0.5, label, regions)
    return replace(aligned, mask=mask, occluder=occluder, regions=regions)
