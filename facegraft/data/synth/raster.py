"""A batched triangle rasteriser in plain PyTorch: exact triangle and barycentrics per sample, on CPU and GPU alike.

Triangles of all pictures lie in one list. Each is cut into rows and exact spans of samples, and a scatter minimum of
(depth, fragment) keeps the nearest: integer keys, so the result does not depend on the order of the threads.
See-through surfaces are peeled layer by layer from the same fragments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

DEPTH_STEPS = 2**30
MOST_FRAGMENTS = 2**31
"""Fragments of one call; the key holds 31 bits for them."""


@dataclass(frozen=True)
class Setup:
    """Triangles ready to be scanned; rows are the triangles that may be seen."""

    number: Int64[Tensor, "t"]
    """Row in the list that was given."""
    picture: Int64[Tensor, "t"]
    box: Int64[Tensor, "t 4"]
    """First column, first row, columns, rows."""
    edges: Float[Tensor, "t 3 3"]
    """Row k: coefficients of x, y, 1; the first two give barycentrics of corners 0 and 1, the last the depth."""


@dataclass(frozen=True)
class Fragments:
    """Samples inside triangles. `sample` counts through all pictures, row by row."""

    sample: Int64[Tensor, "f"]
    triangle: Int64[Tensor, "f"]
    weights: Float[Tensor, "f 2"]
    """Of corners 0 and 1, linear on the screen."""
    depth: Float[Tensor, "f"]

    def take(self, rows: Tensor) -> Fragments:
        return Fragments(*(v.index_select(0, rows) for v in (self.sample, self.triangle, self.weights, self.depth)))

    def __len__(self) -> int:
        return len(self.sample)


def set_up(
    points: Float[Tensor, "n 3"],
    triangles: Int64[Tensor, "t 3"],
    picture: Int64[Tensor, "t"],
    size_hw: tuple[int, int],
    two_sided: Tensor,
) -> Setup:
    """Edge functions and boxes; drops what is outside the picture, edge-on, or turned away.

    Args:
        points: x, y in samples (centre of the first at .5), depth 0 (near) to 1 (far).
        triangles: Corners; seen from the front they run clockwise on the screen (y down).
        picture: Which picture a triangle belongs to.
        size_hw: Samples of a picture.
        two_sided: Bool per triangle; False drops triangles that are turned away.
    """
    height, width = size_hw
    corners = points.index_select(0, triangles.reshape(-1)).reshape(-1, 3, 3)
    x, y, z = corners.unbind(2)
    area = (x[:, 1] - x[:, 0]) * (y[:, 2] - y[:, 0]) - (x[:, 2] - x[:, 0]) * (y[:, 1] - y[:, 0])
    low = torch.stack([x.amin(1), y.amin(1)], 1)
    high = torch.stack([x.amax(1), y.amax(1)], 1)
    limit = low.new_tensor([width, height])
    first = (low - 0.5).ceil().clamp(min=0)
    last = torch.minimum((high - 0.5).floor(), limit - 1)
    seen = (last >= first).all(1) & (area.abs() > 1e-9) & ((area < 0) | two_sided)
    seen &= (z.amin(1) < 1) & (z.amin(1) > 0)
    rows = seen.nonzero()[:, 0]
    x, y, z, area = x[rows], y[rows], z[rows], area[rows]
    inverse = 1 / area
    first_a = torch.stack([(y[:, 1] - y[:, 2]), (x[:, 2] - x[:, 1])], 1) * inverse[:, None]
    second_a = torch.stack([(y[:, 2] - y[:, 0]), (x[:, 0] - x[:, 2])], 1) * inverse[:, None]
    first_c = -(first_a[:, 0] * x[:, 2] + first_a[:, 1] * y[:, 2])
    second_c = -(second_a[:, 0] * x[:, 2] + second_a[:, 1] * y[:, 2])
    one = torch.cat([first_a, first_c[:, None]], 1)
    two = torch.cat([second_a, second_c[:, None]], 1)
    depth = one * (z[:, 0] - z[:, 2])[:, None] + two * (z[:, 1] - z[:, 2])[:, None]
    depth[:, 2] += z[:, 2]
    box = torch.cat([first[rows], last[rows] - first[rows] + 1], 1).long()
    return Setup(rows, picture[rows], box, torch.stack([one, two, depth], 1))


def scan(setup: Setup, size_hw: tuple[int, int]) -> Fragments:
    """Every sample inside every triangle: triangles into rows, rows into exact spans, spans into samples."""
    height, width = size_hw
    rows, line, base = _rows(setup)
    first, last = _spans(setup.edges[rows, :2, 0], base[:, :2], setup.box[rows])
    counts = (last - first + 1).clamp(min=0)
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    if total >= MOST_FRAGMENTS:
        raise ValueError(f"{total} fragments in one call, at most {MOST_FRAGMENTS}: render fewer pictures at a time")
    span = torch.repeat_interleave(counts, output_size=total)
    column = torch.arange(total, device=counts.device) + (first - ends + counts).index_select(0, span)
    row = rows.index_select(0, span)
    slope = setup.edges[:, :, 0].contiguous().index_select(0, row)
    values = torch.addcmul(base.index_select(0, span), slope, (column + 0.5)[:, None])
    start = (setup.picture[rows] * height + line) * width
    sample = start.index_select(0, span) + column
    return Fragments(sample, setup.number.index_select(0, row), values[:, :2].contiguous(), values[:, 2].contiguous())


def _rows(setup: Setup) -> tuple[Tensor, Tensor, Tensor]:
    """For each triangle its rows of samples: triangle, row, and the edge values at x = 0."""
    counts = setup.box[:, 3]
    ends = counts.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    rows = torch.repeat_interleave(counts, output_size=total)
    line = torch.arange(total, device=counts.device) + (setup.box[:, 1] - ends + counts).index_select(0, rows)
    edges = setup.edges.index_select(0, rows)
    return rows, line, torch.addcmul(edges[:, :, 2], edges[:, :, 1], (line + 0.5)[:, None])


def _spans(slope: Float[Tensor, "r 2"], base: Float[Tensor, "r 2"], box: Tensor) -> tuple[Tensor, Tensor]:
    """First and last column of each row where all three barycentrics are positive."""
    slope = torch.cat([slope, -slope.sum(1, keepdim=True)], 1)
    base = torch.cat([base, 1 - base.sum(1, keepdim=True)], 1) + 1e-6
    flat = slope.abs() < 1e-12
    cross = -base / torch.where(flat, torch.ones_like(slope), slope)
    far = torch.full_like(cross, 1e6)
    never = flat & (base < 0)
    low = torch.where(never, far, torch.where(flat | (slope < 0), -far, cross)).amax(1)
    high = torch.where(flat | (slope > 0), far, cross).amin(1)
    first = torch.maximum((low - 0.5).ceil(), box[:, 0].float())
    last = torch.minimum((high - 0.5).floor(), (box[:, 0] + box[:, 2] - 1).float())
    return first.clamp(-1e6, 1e6).long(), last.clamp(-1e6, 1e6).long()


def nearest(fragments: Fragments, samples: int) -> Int64[Tensor, "s"]:
    """Per sample the row of its nearest fragment, or -1."""
    key = (fragments.depth.clamp(0, 1) * DEPTH_STEPS).long() << 32
    key |= torch.arange(len(fragments), device=key.device)
    none = torch.iinfo(torch.int64).max
    best = torch.full((samples,), none, dtype=torch.int64, device=key.device)
    best.scatter_reduce_(0, fragments.sample, key, "amin")
    return torch.where(best == none, -1, best & 0xFFFFFFFF)


def peel(fragments: Fragments, samples: int, layers: int) -> list[Int64[Tensor, "_r"]]:
    """Rows of the nearest fragments of each sample, then of the second nearest and so on, front to back."""
    out = []
    rows = torch.arange(len(fragments), device=fragments.sample.device)
    for _ in range(layers):
        if len(rows) == 0:
            break
        best = nearest(fragments.take(rows), samples)
        front = best[best >= 0]
        out.append(rows[front])
        keep = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
        keep[front] = False
        rows = rows[keep]
    return out


def in_front(fragments: Fragments, depth: Float[Tensor, "s"], slack: float = 0.0) -> Fragments:
    """Those that are nearer than the depth of their sample."""
    return fragments.take((fragments.depth < depth.index_select(0, fragments.sample) + slack).nonzero()[:, 0])


def perspective(fragments: Fragments, triangles: Tensor, inverse_w: Float[Tensor, "n"]) -> Float[Tensor, "f 3"]:
    """Barycentrics on the surface itself, for interpolating what lies on it."""
    one, two = fragments.weights.unbind(1)
    screen = torch.stack([one, two, 1 - one - two], 1)
    corners = triangles.index_select(0, fragments.triangle)
    weighed = screen * inverse_w.index_select(0, corners.reshape(-1)).reshape(-1, 3)
    return weighed / weighed.sum(1, keepdim=True)


def interpolate(values: Float[Tensor, "n c"], corners: Int64[Tensor, "f 3"], weights: Float[Tensor, "f 3"]) -> Tensor:
    """Values of the corners, mixed by weights, (f, c)."""
    out = values.index_select(0, corners[:, 0]) * weights[:, :1]
    out.addcmul_(values.index_select(0, corners[:, 1]), weights[:, 1:2])
    return out.addcmul_(values.index_select(0, corners[:, 2]), weights[:, 2:])
