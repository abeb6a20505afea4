"""What cameras, files and other things do to crops of faces: colour, blur, noise, compression, occluders.

Crops are RGB 0..1 here, as our networks take them. Every picture's changes are drawn from a seed of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.augment import Stage, draw, generator_for, worn
from facegraft.data.camera import motion_blur
from facegraft.data.colours import recolour
from facegraft.data.cutouts import Cutout, read_cutouts
from facegraft.data.occluders import MIX, paste
from facegraft.data.occluders import draw as draw_occluder

REGION_OF_KIND: Mapping[str, str] = {"glasses": "glasses", "mask": "face_mask", "scarf": "cloth", "hair": "hair"}
"""Kind of an occluder -> name in data/regions.py; every other kind is "occluder"."""
EYES = Stage(
    jitter=(0.35, 0.35, 0.4, 0.03),
    jittered=0.8,
    grey=0.06,
    distorted=0.05,
    blur=0.25,
    rescaled=0.35,
    rescale_range=(0.2, 1.0),
    noisy=0.35,
    noise_range=(0.004, 0.06),
    compressed=0.35,
    quality_range=(25.0, 95.0),
)
"""Strong: these networks must see through anything that a camera or a phone makes of a face. No holes: they would make
points invisible that are labelled as seen; `paste_occluders` says what it hides."""


@dataclass(frozen=True)
class Wear:
    """What happens to crops after they are cut. Bare numbers are chances, 0..1.

    Attributes:
        stage: Colours and what storing does; its moves are not looked at.
        dimmed: Of an exponent on the levels.
        gamma: Range of the exponent; its logarithm is even.
        moved: Of motion blur.
        motion_px: Its longest stroke, at 128 px.
    """

    stage: Stage = field(default_factory=lambda: EYES)
    dimmed: float = 0.4
    gamma: tuple[float, float] = (0.5, 2.0)
    moved: float = 0.1
    motion_px: float = 6.0


@dataclass(frozen=True)
class Pasted:
    """Crops with things before the faces.

    Attributes:
        images: RGB 0..1.
        alpha: Coverage, 0..1.
        kinds: What was pasted, "" = nothing; see `REGION_OF_KIND`.
    """

    images: Float[Tensor, "b 3 h w"]
    alpha: Float[Tensor, "b h w"]
    kinds: tuple[str, ...]


def wear(images: Float[Tensor, "b 3 h w"], options: Wear, generator: torch.Generator) -> Float[Tensor, "b 3 h w"]:
    """Crops 0..1 as a worse camera would have stored them, 0..1."""
    seeds: list[int] = torch.randint(2**62, (len(images),), generator=generator).tolist()
    u = torch.rand((5, len(images)), generator=generator)
    changes = [draw(options.stage, generator_for(seed, 0)) for seed in seeds]
    low, high = options.gamma
    exponent = torch.where(u[0] < options.dimmed, low * (high / low) ** u[1], 1.0).to(images)
    images = images.clamp(1e-4, 1) ** exponent[:, None, None, None]
    longest = options.motion_px * images.shape[-2] / 128
    images = motion_blur(images, torch.where(u[2] < options.moved, u[3] * longest, 0.0), u[4] * 180)
    changed = worn(recolour(images * 2 - 1, [change.colour for change in changes]), changes)
    return (changed * 0.5 + 0.5).clamp(0, 1)


def paste_occluders(
    images: Float[Tensor, "b 3 h w"],
    landmarks68: Float[Tensor, "b 68 d"],
    generator: torch.Generator,
    *,
    share: float | int = 0.2,
    cutouts: Sequence[Cutout] = (),
    mix: Mapping[str, float] = MIX,
) -> Pasted:
    """Draws things before a share of the faces, lit as the face is; the coverage is exact.

    Args:
        images: RGB 0..1, before `wear`.
        landmarks68: In pixels of the crops, frame order; rows with NaN get nothing.
        generator: Chooses whom and what.
        share: Of the crops.
        cutouts: Pictures of things; without them all is drawn.
        mix: Shares of the kinds.
    """
    u = torch.rand(len(images), generator=generator)
    seeds: list[int] = torch.randint(2**62, (len(images),), generator=generator).tolist()
    known = landmarks68.isfinite().flatten(1).all(1).cpu()
    rows: list[int] = ((u < share) & known).nonzero()[:, 0].tolist()
    made, alpha = images.clone(), torch.zeros_like(images[:, 0])
    kinds = [""] * len(images)
    for row in rows:
        signed = images[row] * 2 - 1
        occluder = draw_occluder(signed, landmarks68[row, :, :2], seeds[row], cutouts=cutouts, mix=mix)
        over, alpha[row] = paste(signed, occluder)
        made[row] = over * 0.5 + 0.5
        kinds[row] = occluder.kind
    return Pasted(made, alpha, tuple(kinds))


def load_cutouts(folder: Path) -> tuple[Cutout, ...]:
    """Cut-outs of `hands`, `masks` and `things` in folders of these names, as far as they are there.

    Raises:
        BadInputError: One of these folders holds nothing usable.
    """
    found: list[Cutout] = []
    for name, kind in (("hands", "hand"), ("masks", "mask"), ("things", "thing")):
        if (folder / name).is_dir():
            found += read_cutouts(folder / name, kind)
    return tuple(found)
