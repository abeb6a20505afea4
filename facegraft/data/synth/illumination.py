"""Light made ready for shading: spherical harmonics for matt surfaces, blurred environments for glossy ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.synth.light import Environments
from facegraft.data.synth.lookup import sample_bank

ROWS, COLUMNS = 16, 32
EXPONENTS = (14.0, 60.0)
"""Of the blurring lobes: skin, then wet and polished surfaces. A third level is the environment itself."""
SOFT, GLOSSY, MIRROR = range(3)


@dataclass(frozen=True)
class Lights:
    """One row per picture.

    Attributes:
        harmonics: Give irradiance / pi of a normal without the key lamp, by `basis`.
        glossy: The environment blurred for SOFT, GLOSSY and MIRROR reflections, (3 b, 16, 32, 3).
        key_direction: Towards the lamp.
        key_colour: Irradiance / pi of a surface that faces it.
        key_size: Half its angular diameter, radians.
    """

    harmonics: Float[Tensor, "b 9 3"]
    glossy: Float[Tensor, "m 16 32 3"]
    key_direction: Float[Tensor, "b 3"]
    key_colour: Float[Tensor, "b 3"]
    key_size: Float[Tensor, "b"]

    def irradiance(self, picture: Tensor, normal: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
        return torch.einsum("nk,nkc->nc", basis(normal), self.harmonics.index_select(0, picture)).clamp(min=0.004)

    def key(self, picture: Tensor) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Direction and colour of the key lamp."""
        return self.key_direction.index_select(0, picture), self.key_colour.index_select(0, picture)

    def reflected(self, picture: Tensor, direction: Float[Tensor, "n 3"], level: int) -> Float[Tensor, "n 3"]:
        """Radiance from a direction, blurred as the level says."""
        x, y, z = direction.unbind(1)
        row = y.clamp(-1, 1).arccos() * (ROWS / torch.pi) - 0.5
        column = (torch.atan2(x, z) / (2 * torch.pi) + 0.5) * COLUMNS - 0.5
        return sample_bank(self.glossy, picture * 3 + level, column, row, wrap_x=True)


class Illumination:
    """The fixed matrices that turn environments into `Lights`."""

    def __init__(self, device: torch.device) -> None:
        directions, solid = sphere()
        cosine = (directions @ directions.T).clamp(-1, 1)
        lobes = []
        for exponent in EXPONENTS:
            lobe = (exponent * (cosine - 1)).exp() * solid
            lobes.append(lobe / lobe.sum(1, keepdim=True))
        self.lobes = torch.stack(lobes).to(device)
        matt = cosine.clamp(min=0) * solid / torch.pi
        weight = solid.sqrt()[:, None]
        self.to_harmonics = (torch.linalg.pinv(basis(directions) * weight) @ (weight * matt)).to(device)

    def prepare(self, environments: Environments) -> Lights:
        count = len(environments.maps)
        flat = environments.maps.reshape(count, ROWS * COLUMNS, 3)
        blurred = torch.einsum("lmn,bnc->blmc", self.lobes, flat)
        levels = torch.cat([blurred, flat[:, None]], 1).reshape(-1, ROWS, COLUMNS, 3)
        return Lights(
            harmonics=torch.einsum("kn,bnc->bkc", self.to_harmonics, flat),
            glossy=levels,
            key_direction=environments.key_direction,
            key_colour=environments.key_colour,
            key_size=environments.key_size_degrees * (torch.pi / 360),
        )


def sphere() -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n"]]:
    """Directions and solid angles of the texels of an environment: row 0 looks up, the middle column to the camera."""
    polar = (torch.arange(ROWS) + 0.5) * (torch.pi / ROWS)
    around = ((torch.arange(COLUMNS) + 0.5) / COLUMNS - 0.5) * (2 * torch.pi)
    p, a = (v.reshape(-1) for v in torch.meshgrid(polar, around, indexing="ij"))
    directions = torch.stack([p.sin() * a.sin(), p.cos(), p.sin() * a.cos()], 1)
    edges = torch.arange(ROWS + 1) * (torch.pi / ROWS)
    band = (edges[:-1].cos() - edges[1:].cos()) * (2 * torch.pi / COLUMNS)
    return directions, band.repeat_interleave(COLUMNS)


def basis(n: Float[Tensor, "n 3"]) -> Float[Tensor, "n 9"]:
    """Quadratic polynomials of a direction, which span the spherical harmonics up to degree two."""
    x, y, z = n.unbind(1)
    return torch.stack([torch.ones_like(x), x, y, z, x * y, y * z, z * x, x * x - y * y, 3 * z * z - 1], 1)
