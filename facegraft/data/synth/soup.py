"""All surfaces of a batch of pictures in one list of triangles, with what shading needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

SKIN, EYE, MOUTH, MATT, SOLID, HAIR, LASH, LENS = range(8)
"""How a surface is shaded. From HAIR on: see-through."""
PLACE, SHADE, CUT, OPEN = slice(8, 11), 11, 12, 13
"""Columns of `Soup.vertices` after position (0-2), normal (3-5) and uv (6-7)."""
WIDTH = 14
PLAIN = torch.tensor([0.5, 0.5, 1.0, 0.0])
"""Traits of what has none."""


@dataclass(frozen=True)
class Soup:
    """Rows of `vertices`: position, normal, uv, place on the unshaped body, shade, cut, openness to light."""

    vertices: Float[Tensor, "n 14"]
    triangles: Int64[Tensor, "t 3"]
    part: Int64[Tensor, "t"]
    two_sided: Tensor
    picture: Int64[Tensor, "p"]
    kind: Int64[Tensor, "p"]
    region: Int64[Tensor, "p"]
    texture: Int64[Tensor, "p"]
    """Row in the bank of textures (of patterns for MATT), -1 for plain colour."""
    tint: Float[Tensor, "p 3"]
    tint2: Float[Tensor, "p 3"]
    """Of the pattern; `tint` where there is none."""
    traits: Float[Tensor, "p 4"]
    """What the kind makes of it: roughness or opacity, gloss, sharpness of alpha, how far samples miss its detail."""
    owner: Int64[Tensor, "n"]
    """The picture of each vertex."""


class Cook:
    """Gathers surfaces; the rows of a surface are the pictures that show it."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.vertices: list[Tensor] = []
        self.triangles: list[Tensor] = []
        self.part: list[Tensor] = []
        self.two_sided: list[Tensor] = []
        self.table: list[tuple[Tensor, ...]] = []
        self.owner: list[Tensor] = []
        self.vertex_count = 0
        self.part_count = 0

    def add(
        self,
        rows: Tensor,
        positions: Float[Tensor, "r n 3"],
        normals: Float[Tensor, "r n 3"],
        triangles: Int64[Tensor, "t 3"],
        *,
        kind: int,
        region: int,
        uvs: Tensor | None = None,
        place: Tensor | None = None,
        shade: Tensor | None = None,
        cut: Tensor | None = None,
        openness: Tensor | None = None,
        texture: Tensor | int = -1,
        tint: Tensor | None = None,
        tint2: Tensor | None = None,
        traits: Tensor | None = None,
        two_sided: bool = False,
    ) -> None:
        """One surface in several pictures; vectors without a row axis are shared by all rows."""
        count, points = positions.shape[:2]

        def wide(value: Tensor | None, columns: int, default: float) -> Tensor:
            if value is None:
                return positions.new_full((count, points, columns), default)
            value = value if value.ndim >= 2 and value.shape[0] == count and value.shape[1] == points else value[None]
            return value.reshape(-1, points, columns).expand(count, points, columns)

        block = torch.cat(
            [
                positions,
                normals,
                wide(uvs, 2, 0.0),
                wide(place, 3, 0.0),
                wide(shade, 1, 1.0),
                wide(cut, 1, 0.0),
                wide(openness, 1, 1.0),
            ],
            2,
        )
        starts = self.vertex_count + torch.arange(count, device=self.device) * points
        self.vertices.append(block.reshape(-1, WIDTH))
        self.triangles.append((triangles[None] + starts[:, None, None]).reshape(-1, 3))
        part = self.part_count + torch.arange(count, device=self.device)
        self.part.append(part.repeat_interleave(len(triangles)))
        self.two_sided.append(torch.full((count * len(triangles),), two_sided, device=self.device))
        self.owner.append(rows.repeat_interleave(points))
        full = torch.full((count,), 0, dtype=torch.int64, device=self.device)
        first = positions.new_ones(count, 3) if tint is None else tint.expand(count, 3)
        self.table.append(
            (
                rows,
                full + kind,
                full + region,
                full + texture,
                first,
                first if tint2 is None else tint2.expand(count, 3),
                PLAIN.to(first).expand(count, 4) if traits is None else traits.expand(count, 4),
            )
        )
        self.vertex_count += count * points
        self.part_count += count

    def done(self) -> Soup:
        picture, kind, region, texture, tint, tint2, traits = (
            torch.cat(list(column)) for column in zip(*self.table, strict=True)
        )
        return Soup(
            torch.cat(self.vertices),
            torch.cat(self.triangles),
            torch.cat(self.part),
            torch.cat(self.two_sided),
            picture,
            kind,
            region,
            texture,
            tint,
            tint2,
            traits,
            torch.cat(self.owner),
        )
