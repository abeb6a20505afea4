"""Moves of pictures with everything that is known of them: flips, small affine moves, elastic warps.

One `Move` says where each pixel of the new picture is read in the old one; pictures, labels, points, angles and the
crop's matrix all follow it.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from facegraft.faces.topology import twins
from facegraft.tensors import Aligned

_INVERSION_STEPS = 12


@dataclass(frozen=True)
class Move:
    """How a square picture is moved: flip, then the affine part, then the elastic one.

    Attributes:
        flip: Left and right exchanged.
        degrees: Turns the picture, positive = clockwise.
        zoom: Factor on lengths.
        shift_xy: In shares of the picture's size.
        elastic: Offsets in shares of the picture's size at a coarse grid of points, or None.
    """

    flip: bool = False
    degrees: float = 0.0
    zoom: float = 1.0
    shift_xy: tuple[float, float] = (0.0, 0.0)
    elastic: Float[Tensor, "2 n n"] | None = None

    @property
    def is_affine(self) -> bool:
        """Whether it does more than flip."""
        return self.degrees != 0 or self.zoom != 1 or self.shift_xy != (0.0, 0.0)


def draw_elastic(generator: torch.Generator, *, cells: int, share: float) -> Float[Tensor, "2 n n"]:
    """Offsets for `Move.elastic`: normal, cut at 2.5 sigma = `share` of a cell, none along the border.

    With a share of .24 this is DeepFaceLab's warp (core/imagelib/warp.py), which draws 2, 4 or 8 cells; folds cannot
    happen below a share of about .4.
    """
    offsets = torch.randn((2, cells + 1, cells + 1), generator=generator).clamp(-2.5, 2.5) / 2.5 * (share / cells)
    offsets[:, [0, -1]] = 0
    offsets[:, :, [0, -1]] = 0
    return offsets


def random_warp(generator: torch.Generator, size_px: int, *, share: float = 0.24) -> Float[Tensor, "h w 2"]:
    """A sampling grid for `grid_sample` (-1..1, align_corners=False): DeepFaceLab's random warp of 2, 4 or 8 cells."""
    cells = (2, 4, 8)[int(torch.randint(3, (1,), generator=generator))]
    move = Move(elastic=draw_elastic(generator, cells=cells, share=share))
    return sampling_grid([move], size_px, size_px, torch.device("cpu"))[0]


def sampling_grid(moves: Sequence[Move], height: int, width: int, device: torch.device) -> Float[Tensor, "b h w 2"]:
    """Where each pixel is read, as `grid_sample` wants it: x, y in -1..1 of the old picture."""
    y = (torch.arange(height, dtype=torch.float32, device=device) + 0.5) * (2 / height) - 1
    x = (torch.arange(width, dtype=torch.float32, device=device) + 0.5) * (2 / width) - 1
    at = torch.stack([x[None].expand(height, width), y[:, None].expand(height, width)], -1)[None]
    elastic = _elastic_field(moves, height, width, device)
    at = at if elastic is None else at + 2 * elastic.movedim(1, -1)
    matrices = torch.stack([_backwards(move) for move in moves]).to(device)[:, None, None]
    grid = at[..., :1] * matrices[..., 0]
    grid += at[..., 1:] * matrices[..., 1]
    grid += matrices[..., 2]
    return grid


def move_images(
    images: Float[Tensor, "b c h w"], moves: Sequence[Move], *, nearest: bool = False
) -> Float[Tensor, "b c h w"]:
    """Moves pictures or planes; beyond the border they are mirrored. Pictures that are only flipped stay exact.

    Args:
        images: Any range.
        moves: One per image.
        nearest: Take the nearest pixel: for labels.
    """
    height, width = images.shape[-2:]
    warped = [row for row, move in enumerate(moves) if move.is_affine or move.elastic is not None]
    if len(warped) == len(images):
        grid = sampling_grid(moves, height, width, images.device)
        mode = "nearest" if nearest else "bilinear"
        return F.grid_sample(images, grid, mode, padding_mode="reflection", align_corners=False)
    flipped = [row for row, move in enumerate(moves) if move.flip and row not in set(warped)]
    out = images
    if warped:
        index = torch.tensor(warped, device=images.device)
        out = out.index_copy(0, index, move_images(images[index], [moves[row] for row in warped], nearest=nearest))
    if flipped:
        index = torch.tensor(flipped, device=images.device)
        out = out.index_copy(0, index, images[index].flip(-1))
    return out


def move_points(
    points: Float[Tensor, "b k 2"], moves: Sequence[Move], size_wh: tuple[int, int]
) -> Float[Tensor, "b k 2"]:
    """Moves points x, y in pixels as `move_images` moves pixels; their order stays, see `mirrored`."""
    size = torch.tensor(size_wh, dtype=points.dtype, device=points.device)
    unit = points / size * 2 - 1
    matrices = torch.stack([_backwards(move) for move in moves]).to(unit)
    goal = torch.linalg.solve(matrices[:, :, :2], (unit - matrices[:, None, :, 2]).mT).mT
    field = _elastic_field(moves, 128, 128, points.device)
    if field is not None:  # new + offset(new) = goal, solved by repeating it
        new = goal
        for _ in range(_INVERSION_STEPS):
            read = F.grid_sample(field, new[:, :, None], padding_mode="border", align_corners=False)[..., 0].mT
            new = goal - 2 * read
        goal = new
    return (goal + 1) / 2 * size


def mirrored(points: Float[Tensor, "b k d"], moves: Sequence[Move]) -> Float[Tensor, "b k d"]:
    """Exchanges left and right points of flipped pictures: 2 irises, 68 or 468 points."""
    twins = _twins(points.shape[1]).to(points.device)
    flip = torch.tensor([move.flip for move in moves], device=points.device)
    return torch.where(flip[:, None, None], points[:, twins], points)


def move_aligned(aligned: Aligned, moves: Sequence[Move]) -> Aligned:
    """Moves a batch with all that is known of it.

    Angles follow flips and turns, the matrix follows flips and affine moves; elastic offsets change neither.
    """
    if all(move == Move() for move in moves):
        return aligned
    height, width = aligned.image.shape[-2:]
    planes = {
        name: move_images(plane, moves)
        for name in ("image", "mask", "occluder")
        if (plane := getattr(aligned, name)) is not None
    }
    points = {
        name: mirrored(move_points(place, moves, (width, height)), moves)
        for name in ("landmarks", "iris")
        if (place := getattr(aligned, name)) is not None
    }
    moved = replace(aligned, **planes, **points)
    if aligned.dense is not None:
        flat = move_points(aligned.dense[..., :2], moves, (width, height))
        zoom = torch.tensor([move.zoom for move in moves]).to(flat)[:, None, None]
        moved = replace(moved, dense=mirrored(torch.cat([flat, aligned.dense[..., 2:] * zoom], -1), moves))
    if aligned.regions is not None:
        labels = move_images(aligned.regions[:, None].float(), moves, nearest=True)
        moved = replace(moved, regions=labels[:, 0].to(torch.uint8))
    return _with_angles(moved, moves, (width, height))


def _with_angles(aligned: Aligned, moves: Sequence[Move], size_wh: tuple[int, int]) -> Aligned:
    sign = torch.tensor([-1.0 if move.flip else 1.0 for move in moves])
    if aligned.pose_degrees is not None:
        one = torch.ones_like(sign)
        pose = aligned.pose_degrees * torch.stack([sign, one, sign], 1).to(aligned.pose_degrees)
        turned = torch.tensor([[0, 0, move.degrees] for move in moves]).to(pose)
        aligned = replace(aligned, pose_degrees=pose + turned)
    if aligned.gaze_degrees is not None:
        gaze = mirrored(aligned.gaze_degrees, moves)
        both = torch.stack([sign, torch.ones_like(sign)], 1)[:, None].to(gaze)
        aligned = replace(aligned, gaze_degrees=gaze * both)
    if aligned.matrix is not None:
        corners = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).to(aligned.matrix)
        affine = [replace(move, elastic=None) for move in moves]
        moved = move_points(corners.expand(len(moves), 3, 2), affine, size_wh)
        linear = torch.stack([moved[:, 1] - moved[:, 0], moved[:, 2] - moved[:, 0]], 2)
        matrix = linear @ aligned.matrix
        matrix[:, :, 2] += moved[:, 0]
        aligned = replace(aligned, matrix=matrix)
    return aligned


def _backwards(move: Move) -> Tensor:
    """(2, 3) from the new picture to the old one, in -1..1 of both."""
    cosine, sine = math.cos(math.radians(move.degrees)) / move.zoom, math.sin(math.radians(move.degrees)) / move.zoom
    x, y = 2 * move.shift_xy[0], 2 * move.shift_xy[1]
    sign = -1.0 if move.flip else 1.0
    return torch.tensor(
        [
            [sign * cosine, sign * sine, -sign * (cosine * x + sine * y)],
            [-sine, cosine, sine * x - cosine * y],
        ]
    )


def _elastic_field(moves: Sequence[Move], height: int, width: int, device: torch.device) -> Tensor | None:
    """Offsets (b, 2, h, w) in shares of the size, or None where no move has any."""
    if all(move.elastic is None for move in moves):
        return None
    fields = [
        torch.zeros((2, height, width))
        if move.elastic is None
        else F.interpolate(move.elastic[None], (height, width), mode="bicubic", align_corners=True)[0]
        for move in moves
    ]
    return torch.stack(fields).to(device)


@functools.cache
def _twins(count: int) -> Int64[Tensor, "k"]:
    return torch.from_numpy(twins(count)).long()
