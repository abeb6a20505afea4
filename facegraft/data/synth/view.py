"""From the world to the picture: pinhole cameras, one per picture. The world's origin is the face's centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from facegraft.data.synth.scene import Camera, camera_distance

NEAR, FAR = 0.35, 3.0
"""Of what is drawn, in camera distances; depth is linear in 1 / distance between them."""


@dataclass(frozen=True)
class View:
    """A batch of cameras on the z axis, looking along -z.

    Attributes:
        matrix: From world to x*w, y*w, w with x, y in picture heights, y down (rows of a 3 x 4 matrix).
        distance: From the camera to the origin, decimetres.
    """

    matrix: Float[Tensor, "b 3 4"]
    distance: Float[Tensor, "b"]

    def project(self, points: Float[Tensor, "b n 3"], size: int) -> Float[Tensor, "b n 3"]:
        """x, y in pixels of a square picture (centre of the first at .5) and depth, 0 near .. 1 far."""
        count, each = points.shape[:2]
        owner = torch.arange(count, device=points.device).repeat_interleave(each)
        return self.project_each(points.reshape(-1, 3), owner, size)[0].reshape(count, each, 3)

    def project_each(
        self, points: Float[Tensor, "m 3"], picture: Int64[Tensor, "m"], size: int
    ) -> tuple[Float[Tensor, "m 3"], Float[Tensor, "m"]]:
        """The same for points of any pictures in any order; and 1 / distance from the camera's plane."""
        matrix = self.matrix.index_select(0, picture)
        flat = torch.einsum("nij,nj->ni", matrix[:, :, :3], points) + matrix[:, :, 3]
        w = flat[:, 2].clamp(min=1e-3)
        near, far = self.distance * NEAR, self.distance * FAR
        depth = (1 / near[picture] - 1 / w) / (1 / near - 1 / far)[picture]
        return torch.cat([flat[:, :2] / w[:, None] * size, depth[:, None]], 1), 1 / w

    def distance_of(self, depth: Float[Tensor, "b s"]) -> Float[Tensor, "b s"]:
        """Decimetres from the camera's plane for depths of `project`."""
        near, far = self.distance * NEAR, self.distance * FAR
        return 1 / (1 / near[:, None] - depth * (1 / near - 1 / far)[:, None])

    def moved(self, matrices: Float[Tensor, "b 2 3"], size: int) -> View:
        """The same cameras with other crops of what they see: pixels of a picture of `size` go where matrices say."""
        turn, shift = matrices[:, :, :2], matrices[:, :, 2:] / size
        flat = turn @ self.matrix[:, :2] + shift * self.matrix[:, 2:]
        return View(torch.cat([flat, self.matrix[:, 2:]], 1), self.distance)


def make_view(cameras: Sequence[Camera], device: torch.device) -> View:
    distance = torch.tensor([camera_distance(c) for c in cameras])
    half = torch.tensor([c.fov_degrees for c in cameras]).mul(torch.pi / 360).tan()
    focal = 1 / (2 * half)
    shift = torch.tensor([c.shift_xy for c in cameras])
    roll = torch.tensor([c.roll for c in cameras]) * (torch.pi / 180)
    s, c, zero, one = roll.sin(), roll.cos(), torch.zeros_like(roll), torch.ones_like(roll)
    x = torch.stack([focal * c, focal * s, -(0.5 + shift[:, 0]), (0.5 + shift[:, 0]) * distance], 1)
    y = torch.stack([focal * s, -focal * c, -(0.5 + shift[:, 1]), (0.5 + shift[:, 1]) * distance], 1)
    w = torch.stack([zero, zero, -one, distance], 1)
    return View(torch.stack([x, y, w], 1).to(device), distance.to(device))
