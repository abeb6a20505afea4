"""Random changes of training pictures: what each stage asks for, drawn per image, applied per batch.

`draw` turns a `Stage` and a generator into a `Change`, plain numbers; `augment` applies changes to a batch. A change
depends on (seed, image number) alone, so a picture comes out the same in any batch, in any worker.

Three parts, kept apart because truths follow only some of them: moves and colours are applied to a picture and its
truth alike, wear (blur, scaling, noise, compression, holes) to the input alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.core.seeds import seed_for
from facegraft.data.camera import blur, noise_field, rescale
from facegraft.data.colours import Colour, draw_distortion, draw_jitter, recolour
from facegraft.data.jpeg import jpeg
from facegraft.data.moves import Move, draw_elastic, move_aligned
from facegraft.tensors import Aligned

BLUR_SIZE_PX = 128
"""Blur is stated for pictures this high."""


@dataclass(frozen=True)
class Stage:
    """How strongly pictures are changed. Bare numbers without a unit are chances, 0..1.

    Attributes:
        flip: Left and right exchanged.
        degrees: Turned by up to this.
        shift: Moved by up to this share of the size, in x and in y.
        zoom: Enlarged or shrunk by up to this share.
        elastic: Warped elastically.
        elastic_share: How much, in shares of a cell of a grid of 2, 4 or 8.
        jitter: Half ranges of brightness, contrast, saturation and hue (in circles).
        jittered: That they are applied at all.
        grey: Without colour.
        distorted: All colours distorted beyond telling.
        blur: Blurred by .3 to 1.5 px at `BLUR_SIZE_PX`.
        rescaled: Scaled down to `rescale_range` and up again.
        rescale_range: Shares of the size.
        noisy: With noise of `noise_range`.
        noise_range: Standard deviations in sRGB 0..1.
        compressed: Through JPEG of `quality_range`, colour at half size.
        quality_range: 1..100.
        cutout: With a rectangle of .1 to .35 of the size overpainted.
        occluded: With an occluder: drawn by the loader, data/occluders.py, where `Change.occluded` says so.
    """

    flip: float = 0.0
    degrees: float = 0.0
    shift: float = 0.0
    zoom: float = 0.0
    elastic: float = 0.0
    elastic_share: float = 0.24
    jitter: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    jittered: float = 1.0
    grey: float = 0.0
    distorted: float = 0.0
    blur: float = 0.0
    rescaled: float = 0.0
    rescale_range: tuple[float, float] = (0.5, 1.0)
    noisy: float = 0.0
    noise_range: tuple[float, float] = (0.004, 0.04)
    compressed: float = 0.0
    quality_range: tuple[float, float] = (40.0, 95.0)
    cutout: float = 0.0
    occluded: float = 0.0


@dataclass(frozen=True)
class Stages:
    """What happens to the two sides of a pair.

    Attributes:
        identity: To the identity image.
        attribute: To the attribute image; its truth follows.
        mask: Moves of the attribute image's mask alone, after all else; nothing but its moves counts.
        truth_colour: Whether the truth gets the attribute image's colours too.
        truth_elastic: Whether it gets its elastic warp too.
    """

    identity: Stage = Stage()
    attribute: Stage = Stage()
    mask: Stage = Stage()
    truth_colour: bool = True
    truth_elastic: bool = True


GAN = Stages(
    identity=Stage(
        flip=0.5, degrees=5.0, shift=0.03, zoom=0.03, jitter=(0.2, 0.2, 0.2, 0.01), grey=0.02, blur=0.1
    ),
    attribute=Stage(flip=0.5, jitter=(0.1, 0.1, 0.1, 0.005), occluded=0.2),
)  # fmt: skip
"""SimSwap, FaceShifter, Smooth-Swap, GHOST and kin."""
OCCLUDED = Stages(
    identity=GAN.identity,
    attribute=Stage(flip=0.5, jitter=(0.1, 0.1, 0.1, 0.005), occluded=0.75),
)
"""FaceShifter's second stage, which learns to bring back what lies before a face: three of four are occluded."""
TRIPLETS = Stages(
    identity=Stage(flip=0.5, jitter=(0.2, 0.2, 0.2, 0.01), jittered=0.3, grey=0.02),
    attribute=Stage(flip=0.5, jitter=(0.2, 0.2, 0.2, 0.01), jittered=0.3, grey=0.01),
)
"""MobileFSGAN (dataset/dataset.py); edited pictures and their truths are left alone there: give them `Stage()`."""
COLOUR = Stages(identity=Stage(distorted=0.9), attribute=Stage(distorted=0.9), truth_colour=False)
"""FastSwap: independent of each other; the truth stays clean, and so must the colour reference."""
DISTILLATION = Stages(
    attribute=Stage(
        flip=0.5, jitter=(0.2, 0.2, 0.2, 0.01), compressed=0.5, noisy=0.5, rescaled=0.5, occluded=0.3
    ),
)  # fmt: skip
"""The student's attribute image; what the teacher sees stays as it is."""
DIFFUSION = Stages(
    identity=Stage(flip=0.5, blur=0.3, elastic=0.3, degrees=20.0), mask=Stage(elastic=1.0, elastic_share=0.3)
)
"""REFace's values; the mask is warped so that its outline gives no face shape away."""
DEEPFACELAB = Stages(
    identity=Stage(elastic=1.0, degrees=10.0, zoom=0.15, shift=0.05),
    attribute=Stage(flip=0.4, elastic=1.0, degrees=10.0, zoom=0.15, shift=0.05),
    truth_elastic=False,
)
"""One person against oneself: the input gets the whole move, its truth all of it but the warp."""


@dataclass(frozen=True)
class Change:
    """What happens to one picture, in the order of the fields.

    Attributes:
        move: Flip, turn, shift, zoom, elastic warp.
        colour: Jitter or distortion.
        cutout: Left, top, right, bottom in shares of the size, or None.
        cutout_rgb: The rectangle's colour, -1..1.
        blur_px: Sigma at `BLUR_SIZE_PX`.
        rescale: Share of the size to go down to; 1 = untouched.
        noise: Standard deviation in sRGB 0..1.
        quality: Of JPEG; 100 = untouched.
        occluded: Whether an occluder belongs on it.
        seed: Of the noise, and for an occluder.
    """

    move: Move = field(default_factory=Move)
    colour: Colour = field(default_factory=Colour)
    cutout: tuple[float, float, float, float] | None = None
    cutout_rgb: tuple[float, float, float] = (0.0, 0.0, 0.0)
    blur_px: float = 0.0
    rescale: float = 1.0
    noise: float = 0.0
    quality: float = 100.0
    occluded: bool = False
    seed: int = 0


def generator_for(seed: int, image_number: int, side: int = 0) -> torch.Generator:
    """A generator of its own for each image of a run.

    Args:
        seed: Of the run.
        image_number: Counted over the whole run.
        side: 0 = identity, 1 = attribute, further numbers as the caller likes.
    """
    return torch.Generator().manual_seed(seed_for(seed, side, image_number))


def draw(stage: Stage, generator: torch.Generator) -> Change:
    """Draws a change; the generator should be the picture's own, see `generator_for`."""
    seed = int(torch.randint(2**62, (), generator=generator))
    u = torch.rand(25, generator=generator, dtype=torch.float64).tolist()
    side = 2 * u[0] - 1
    cells = (2, 4, 8)[int(u[1] * 3)]
    move = Move(
        flip=u[2] < stage.flip,
        degrees=side * stage.degrees,
        zoom=(1 + stage.zoom) ** (2 * u[3] - 1),
        shift_xy=((2 * u[4] - 1) * stage.shift, (2 * u[5] - 1) * stage.shift),
        elastic=draw_elastic(generator, cells=cells, share=stage.elastic_share) if u[6] < stage.elastic else None,
    )
    wide, high = 0.1 + 0.25 * u[11], 0.1 + 0.25 * u[12]
    left, top = u[13] * (1 - wide), u[14] * (1 - high)
    return Change(
        move=move,
        colour=_draw_colour(stage, generator, jittered=u[7] < stage.jittered, distorted=u[8] < stage.distorted),
        cutout=(left, top, left + wide, top + high) if u[9] < stage.cutout else None,
        cutout_rgb=(2 * u[15] - 1, 2 * u[16] - 1, 2 * u[17] - 1),
        blur_px=0.3 + 1.2 * u[18] if u[10] < stage.blur else 0.0,
        rescale=_between(stage.rescale_range, u[19]) if u[20] < stage.rescaled else 1.0,
        noise=_between(stage.noise_range, u[21]) if u[22] < stage.noisy else 0.0,
        quality=_between(stage.quality_range, 1 - u[21]) if u[23] < stage.compressed else 100.0,
        occluded=u[24] < stage.occluded,
        seed=seed,
    )


def without_elastic(change: Change) -> Change:
    """The change of a truth whose input was warped too: all but the warp (DeepFaceLab)."""
    return replace(change, move=replace(change.move, elastic=None))


def same_for_truth(change: Change) -> Change:
    """The part of an input's change that its truth shares: move and colour, no wear."""
    return Change(move=change.move, colour=change.colour, seed=change.seed)


def augment(aligned: Aligned, changes: Sequence[Change]) -> Aligned:
    """Applies one change per picture; labels, points and angles follow the moves.

    Colours leave -1..1 nowhere. The result of a picture does not depend on the others in its batch.
    """
    moved = move_aligned(aligned, [change.move for change in changes])
    image = recolour(moved.image, [change.colour for change in changes])
    return replace(moved, image=worn(image, changes))


def worn(images: Float[Tensor, "b 3 h w"], changes: Sequence[Change]) -> Float[Tensor, "b 3 h w"]:
    """What storing and sending does to pictures in -1..1: holes, blur, scaling, noise, compression."""
    images = _cut_out(images, changes)
    scale = images.shape[-2] / BLUR_SIZE_PX
    images = blur(images, torch.tensor([change.blur_px * scale for change in changes]))
    if any(change.rescale < 1 for change in changes):
        images = rescale(images, torch.tensor([change.rescale for change in changes]))
    images = _grainy(images, changes)
    if all(change.quality >= 100 for change in changes):
        return images
    squeezed = jpeg(images * 0.5 + 0.5, torch.tensor([change.quality for change in changes])) * 2 - 1
    lossy = torch.tensor([change.quality < 100 for change in changes], device=images.device)
    return torch.where(lossy[:, None, None, None], squeezed, images)


def jitter_landmarks(
    landmarks: Float[Tensor, "b 68 2"], generators: Sequence[torch.Generator], share: float = 0.015
) -> Float[Tensor, "b 68 2"]:
    """Landmarks as a detector gives them: each off by a normal error, all of them by a common one.

    Args:
        landmarks: x, y in pixels.
        generators: One per picture.
        share: Standard deviation in distances between the eyes' centres.
    """
    eyes = (landmarks[:, 36:42].mean(1) - landmarks[:, 42:48].mean(1)).norm(dim=1)[:, None, None]
    errors = torch.stack([torch.randn((69, 2), generator=generator) for generator in generators]).to(landmarks)
    return landmarks + (errors[:, :68] * 0.7 + errors[:, 68:] * 0.7) * eyes * share


def _draw_colour(stage: Stage, generator: torch.Generator, *, jittered: bool, distorted: bool) -> Colour:
    brightness, contrast, saturation, hue = stage.jitter if jittered else (0.0, 0.0, 0.0, 0.0)
    if distorted:
        return draw_distortion(generator)
    mild = draw_jitter(
        generator, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue, grey=stage.grey
    )
    idle = stage.grey == 0 and not any((brightness, contrast, saturation, hue))
    return Colour() if idle else mild


def _between(low_high: tuple[float, float], share: float) -> float:
    return low_high[0] + (low_high[1] - low_high[0]) * share


def _cut_out(images: Tensor, changes: Sequence[Change]) -> Tensor:
    if all(change.cutout is None for change in changes):
        return images
    height, width = images.shape[-2:]
    out = images.clone()
    for row, change in enumerate(changes):
        if change.cutout is not None:
            left, top, right, bottom = change.cutout
            hole = out[row, :, round(top * height) : round(bottom * height), round(left * width) : round(right * width)]
            hole[:] = torch.tensor(change.cutout_rgb).to(out)[:, None, None]
    return out


def _grainy(images: Tensor, changes: Sequence[Change]) -> Tensor:
    rows = [row for row, change in enumerate(changes) if change.noise > 0]
    if not rows:
        return images
    height, width = images.shape[-2:]
    fields = noise_field([changes[row].seed for row in rows], height, width, images.device).to(images)
    levels = torch.tensor([2 * changes[row].noise for row in rows]).to(images)[:, None, None, None]
    index = torch.tensor(rows, device=images.device)
    return images.index_copy(0, index, (images[index] + fields * levels).clamp(-1, 1))
