"""Crops of faces pulled about like rubber, with their points: corners of mouths go where no person's would.

What a mouth or a brow does goes with what the rest of a face does, in renders and photographs alike, so a network may
guess it instead of looking. After a pull only the picture tells where things are, and it tells exactly.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from facegraft.faces.topology import LEFT_EYE, RIGHT_EYE
from facegraft.train.eyes.face_crops import FaceBatch
from facegraft.train.eyes.face_points import outer_eye_distance

PAIRS = ((61, 291, 0.6), (55, 285, 0.25), (105, 334, 0.25), (46, 276, 0.25), (205, 425, 0.25), (172, 397, 0.25))
"""Corners of the mouth, inner, middle and outer brows, cheeks, jaw: point, its twin, the chance that it is pulled."""
SINGLES = ((0, 0.25), (17, 0.25), (1, 0.25), (152, 0.25))
"""Upper and lower lip, nose, chin."""
AMOUNT = 0.08
"""Standard deviation of a pull, in x and in y, in distances of the outer eye corners."""
RADIUS = (0.12, 0.4)
"""Range of a pull's standard deviation in space, in the same unit."""
ALIKE = 0.6
"""Chance that twins are pulled as mirror images of each other."""
STEEPEST = 0.7
"""Neighbours keep their order: a pull changes by less than this share of the way."""
STEPS = 24
"""Of a search that leaves STEEPEST times as much of an error each time."""
GRID = 64
"""Places in a row at which it is measured how steep pulls are."""


@dataclasses.dataclass(frozen=True)
class Pulls:
    """Pulls of each crop. What is seen at a place has come from `shift(place)` before it.

    Attributes:
        middles: Of the pulls, crop sides.
        ways: Where to, crop sides; 0 = none.
        radii: Standard deviations in space, crop sides.
    """

    middles: Float[Tensor, "b n 2"]
    ways: Float[Tensor, "b n 2"]
    radii: Float[Tensor, "b n"]

    def shift(self, places: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k 2"]:
        """How far a thing that is seen at a place has come, crop sides."""
        away = (places[:, :, None] - self.middles[:, None]).square().sum(-1)
        return torch.exp(-away / (2 * self.radii.square())[:, None]) @ self.ways

    def moved(self, points: Float[Tensor, "b k 2"]) -> Float[Tensor, "b k 2"]:
        """Where points are seen."""
        seen = points
        for _ in range(STEPS):
            seen = points + self.shift(seen)
        return seen

    def picture(self, crop: Float[Tensor, "b c s s"]) -> Float[Tensor, "b c s s"]:
        """What is seen."""
        places = _places(crop.shape[-1], crop)
        grid = 2 * (places - self.shift(places.expand(len(crop), -1, -1))) - 1
        grid = grid.unflatten(1, crop.shape[-2:])
        return F.grid_sample(crop, grid, "bilinear", padding_mode="border", align_corners=False)

    def steepest(self) -> Float[Tensor, "b"]:
        """How much the shift changes from one place to the next at most, in shares of the way between them."""
        shift = self.shift(_places(GRID, self.ways).expand(len(self.ways), -1, -1)).unflatten(1, (GRID, GRID)) * GRID
        across, down = shift.diff(dim=2)[:, :-1], shift.diff(dim=1)[:, :, :-1]
        return (across.square() + down.square()).sum(-1).sqrt().flatten(1).amax(1)


def _places(side: int, like: Tensor) -> Float[Tensor, "1 k 2"]:
    """Middles of the pixels of a square picture, row by row, crop sides."""
    axis = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5) / side
    return torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).reshape(1, -1, 2)


def pulled(batch: FaceBatch, share: float | int, generator: torch.Generator) -> FaceBatch:
    """The batch with a share of its faces pulled about; crops without a face stay."""
    chosen = (torch.rand(len(batch), generator=generator) < share).to(batch.presence.device) & (batch.presence > 0)
    rows = chosen.nonzero()[:, 0]
    if not len(rows):
        return batch
    pulls = draw_pulls(batch.points[rows], generator)
    crop, points = batch.crop.clone(), batch.points.clone()
    crop[rows] = pulls.picture(crop[rows])
    points[rows, :, :2] = pulls.moved(points[rows, :, :2])
    return dataclasses.replace(batch, crop=crop, points=points)


def draw_pulls(points: Float[Tensor, "b 538 3"], generator: torch.Generator) -> Pulls:
    """Random pulls of faces, none of which folds the picture."""
    there, ways = _drawn(len(points), generator)
    low, high = RADIUS
    radii = (low + (high - low) * torch.rand(there.shape, generator=generator)).to(points)
    names = [first for first, _, _ in PAIRS] + [second for _, second, _ in PAIRS] + [name for name, _ in SINGLES]
    across = points[:, RIGHT_EYE[0], :2] - points[:, LEFT_EYE[0], :2]
    across = across / across.norm(dim=1, keepdim=True).clamp(min=1e-6)
    down = torch.stack([-across[:, 1], across[:, 0]], 1)
    unit = outer_eye_distance(points)[:, None]
    ways = ways.to(points) * there.to(points)[..., None] * unit[..., None]
    turned = ways[..., :1] * across[:, None] + ways[..., 1:] * down[:, None]
    drawn = Pulls(points[:, names, :2], turned, radii * unit)
    tamed = STEEPEST / drawn.steepest().clamp(min=STEEPEST)
    return dataclasses.replace(drawn, ways=drawn.ways * tamed[:, None, None])


def _drawn(count: int, generator: torch.Generator) -> tuple[Bool[Tensor, "b n"], Float[Tensor, "b n 2"]]:
    """Which points are pulled, and how far along the face's own axes: right in the frame, and down."""
    of_pairs = torch.tensor([chance for _, _, chance in PAIRS])
    of_singles = torch.tensor([chance for _, chance in SINGLES])
    alike = torch.rand((count, len(PAIRS)), generator=generator) < ALIKE
    first, second = torch.rand((2, count, len(PAIRS)), generator=generator) < of_pairs
    single = torch.rand((count, len(SINGLES)), generator=generator) < of_singles
    ways = AMOUNT * torch.randn((count, 2 * len(PAIRS) + len(SINGLES), 2), generator=generator)
    left, right, rest = ways.split([len(PAIRS), len(PAIRS), len(SINGLES)], 1)
    mirrored = left * torch.tensor([-1.0, 1.0])
    right = torch.where(alike[..., None], mirrored, right)
    second = torch.where(alike, first, second)
    return torch.cat([first, second, single], 1), torch.cat([left, right, rest], 1)
