"""Shadows of the key lamp: one depth map per picture, looked up softly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.synth.raster import Fragments, nearest, scan, set_up
from facegraft.data.synth.soup import Soup

RADIUS = 2.6
"""Decimetres about the face's centre that cast and receive shadows."""
TAPS = 8


@dataclass(frozen=True)
class Shadows:
    """Depth along the lamp's direction, 0 at the lamp, 1 away from it; axes are unit vectors of the map."""

    depth: Float[Tensor, "b s s"]
    axes: Float[Tensor, "b 3 3"]

    def lit(self, picture: Tensor, position: Tensor, normal: Tensor, softness: Tensor, spin: Tensor) -> Tensor:
        """Share of the lamp seen from points, 0..1.

        Args:
            picture: Of each point.
            position: World.
            normal: Unit; the point is lifted along it, so that a surface does not shade itself.
            softness: Radius of the look-up in decimetres.
            spin: Turns the pattern of taps, 0..1, so that neighbours average out.
        """
        size = self.depth.shape[1]
        lifted = position + normal * 0.028
        local = torch.einsum("nij,nj->ni", self.axes.index_select(0, picture), lifted) / RADIUS
        centre = (local[:, :2] * 0.5 + 0.5) * size
        depth = local[:, 2] * 0.5 + 0.5 - 0.004
        start = picture * (size * size)
        total = torch.zeros_like(depth)
        flat = self.depth.reshape(-1)
        radius = (softness * (size / (2 * RADIUS))).clamp(min=0.6)
        for tap in range(TAPS):
            angle = tap * 2.399963 + spin * 6.2831853
            far = radius * ((tap + 0.5) / TAPS) ** 0.5
            x = (centre[:, 0] + far * angle.cos()).long().clamp(0, size - 1)
            y = (centre[:, 1] + far * angle.sin()).long().clamp(0, size - 1)
            total += (depth < flat.index_select(0, start + y * size + x)).float()
        return total / TAPS


def lamp_axes(direction: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Across, along and away from the lamp, as rows."""
    up = torch.where(
        direction[:, 1:2].abs() > 0.98, direction.new_tensor([[0.0, 0.0, 1.0]]), direction.new_tensor([[0.0, 1.0, 0.0]])
    )
    side = torch.nn.functional.normalize(torch.linalg.cross(up, direction), dim=1)
    return torch.stack([side, torch.linalg.cross(direction, side), -direction], 1)


def cast_shadows(
    soup: Soup,
    casts: Tensor,
    direction: Float[Tensor, "b 3"],
    size: int,
    opacity: Callable[[Soup, Fragments, Tensor], Tensor],
) -> Shadows:
    """Depth maps of the triangles that `casts` marks, where they are at least half opaque."""
    count = len(direction)
    axes = lamp_axes(direction)
    positions = soup.vertices[:, :3]
    local = torch.einsum("nij,nj->ni", axes.index_select(0, soup.owner), positions) / RADIUS * 0.5 + 0.5
    points = torch.cat([local[:, :2] * size, local[:, 2:]], 1)
    rows = casts.nonzero()[:, 0]
    triangles = soup.triangles[rows]
    picture = soup.picture[soup.part[rows]]
    both = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    fragments = scan(set_up(points, triangles, picture, (size, size), both), (size, size))
    fragments = replace(fragments, triangle=rows[fragments.triangle])
    one, two = fragments.weights.unbind(1)
    solid = opacity(soup, fragments, torch.stack([one, two, 1 - one - two], 1)) > 0.4
    fragments = fragments.take(solid.nonzero()[:, 0])
    best = nearest(fragments, count * size * size)
    depth = torch.where(best >= 0, fragments.depth[best.clamp(min=0)], torch.full_like(best, 2, dtype=torch.float32))
    return Shadows(depth.reshape(count, size, size), axes)
