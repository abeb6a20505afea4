"""The head's texture plane: where each texel lies on the unshaped body, its slopes, region and share of the face.

The head rectangle of the 2048 px texture (columns 1296 to 2048, rows 352 to 2048) is all that is ever baked.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from facegraft.core.image import read_picture
from facegraft.data.assets import find_texture
from facegraft.data.regions import REGIONS
from facegraft.data.synth.body import Body
from facegraft.data.synth.raster import nearest, scan, set_up
from facegraft.data.synth.skin_space import FULL_HW, FULL_PX, LEFT, TOP


class UvSpace:
    """Maps over the head rectangle at a scale, made once; (h, w, ...) on the body's device."""

    def __init__(self, body: Body, assets: Path, scale: float) -> None:
        self.scale = scale
        self.size_hw = (round(FULL_HW[0] * scale), round(FULL_HW[1] * scale))
        self.place, self.along_x, self.along_y = self._positions(body)
        masks = {name: self._mask(assets, name, body.device) for name in ("face", "lips", "ears", "inside-mouth")}
        self.face = smooth_step(masks["face"], 0.12, 0.88)
        """Share of the inner face: 1 on features and cheeks, 0 at ears, hairline, jaw and neck."""
        self.regions = self._regions(body, masks)

    def texel(self, uvs: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n 2"]:
        """Column and row in the atlas (centre of the first texel at 0) of uv coordinates."""
        x = (uvs[..., 0] * FULL_PX - LEFT) * self.scale - 0.5
        y = ((1 - uvs[..., 1]) * FULL_PX - TOP) * self.scale - 0.5
        return torch.stack([x, y], -1)

    def _positions(self, body: Body) -> tuple[Tensor, Tensor, Tensor]:
        """Place on the unshaped body, and the surface gradients of column and row (1 / decimetres)."""
        height, width = self.size_hw
        surface = body.skin
        flat = self.texel(surface.uvs) + 0.5
        points = torch.cat([flat, torch.full_like(flat[:, :1], 0.5)], 1)
        triangles = surface.triangles
        picture = torch.zeros(len(triangles), dtype=torch.int64, device=body.device)
        both = torch.ones(len(triangles), dtype=torch.bool, device=body.device)
        fragments = scan(set_up(points, triangles, picture, (height, width), both), (height, width))
        best = nearest(fragments, height * width)
        hit = (best >= 0).nonzero()[:, 0]
        found = fragments.take(best[hit])
        corners = triangles[found.triangle]
        base = torch.as_tensor(body.base.vertices[body.ids], dtype=torch.float32, device=body.device)[surface.corner]
        weights = torch.cat([found.weights, 1 - found.weights.sum(1, keepdim=True)], 1)
        place = base.new_zeros(height * width, 3)
        place[hit] = (base[corners] * weights[..., None]).sum(1)
        place[:, 1][(best < 0)] = -99.0
        edges = flat[triangles[:, :2]] - flat[triangles[:, 2:]]
        sides = base[triangles[:, :2]] - base[triangles[:, 2:]]
        tangents = torch.linalg.pinv(edges) @ sides  # rows: change of place per column, per row
        duals = torch.linalg.pinv(tangents).transpose(1, 2)
        smooth = base.new_zeros(len(base), 2, 3)
        count = base.new_zeros(len(base), 1, 1)
        for corner in triangles.T:
            smooth.index_add_(0, corner, duals)
            count.index_add_(0, corner, torch.ones_like(duals[:, :1, :1]))
        smooth = smooth / count.clamp(min=1)
        gradients = base.new_zeros(height * width, 2, 3)
        gradients[hit] = (smooth[corners] * weights[..., None, None]).sum(1)
        shape = (height, width, 3)
        return place.reshape(shape), gradients[:, 0].reshape(shape), gradients[:, 1].reshape(shape)

    def _mask(self, assets: Path, name: str, device: torch.device) -> Tensor:
        pixels = read_picture(find_texture(assets / "mpfb2" / "textures", f"mpfb_{name}")).pixels[..., 0]
        side = pixels.shape[0] / FULL_PX
        cut = pixels[round(TOP * side) :, round(LEFT * side) :].astype(np.float32) / 255
        grid = torch.as_tensor(cut, device=device)[None, None]
        mode = "area" if self.size_hw[0] < cut.shape[0] else "bilinear"
        return torch.nn.functional.interpolate(grid, self.size_hw, mode=mode)[0, 0]

    def _regions(self, body: Body, masks: dict[str, Tensor]) -> UInt8[Tensor, "h w"]:
        x, y, z = self.place.unbind(-1)
        points = torch.as_tensor(body.base.vertices[body.ids], dtype=torch.float32, device=body.device)[body.landmarks]
        out = torch.full_like(x, REGIONS["face"], dtype=torch.uint8)
        jaw = points[8:17:2]
        neck = y < _curve(-z, -jaw[:, 2], jaw[:, 1]) - 0.06
        hairline = _curve(-z, x.new_tensor([-1.7, -1.2, -0.35, 0.1]), x.new_tensor([7.98, 7.85, 7.2, 6.9]))
        out[y > hairline] = REGIONS["scalp"]
        out[neck] = REGIONS["neck"]
        out[(masks["ears"] > 0.5)] = REGIONS["ear"]
        out[_nose(x.abs(), y, points) & (z > 1.2)] = REGIONS["nose"]
        lip_line = points[[62, 66], 1].mean()
        lips = masks["lips"] > 0.5
        out[lips & (y >= lip_line)] = REGIONS["upper_lip"]
        out[lips & (y < lip_line)] = REGIONS["lower_lip"]
        out[masks["inside-mouth"] > 0.5] = REGIONS["mouth"]
        return out


def _curve(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Piecewise linear through (x, y), x rising or not; flat outside."""
    order = x.argsort()
    x, y = x[order].contiguous(), y[order]
    i = torch.searchsorted(x, at.contiguous()).clamp(1, len(x) - 1)
    t = ((at - x[i - 1]) / (x[i] - x[i - 1]).clamp(min=1e-6)).clamp(0, 1)
    return y[i - 1] + t * (y[i] - y[i - 1])


def _nose(x: Tensor, y: Tensor, points: Tensor) -> Tensor:
    """Between nasion and subnasale, as wide as bridge, tip and wings."""
    top, wing, base = points[27, 1], points[31, 1], points[33, 1]
    half = (points[35, 0] - points[31, 0]) / 2
    width = _curve(
        y,
        torch.stack([base - 0.05, wing, wing + 0.12, top]),
        torch.stack([half * 0.9, half * 1.4, half * 1.1, half * 0.45]),
    )
    return (x < width) & (y < top) & (y > base - 0.02)


def smooth_step(x: Tensor, low: float, high: float) -> Tensor:
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
