"""Hands and held things before a face. They stand before the mean adult's head, so every person gets the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from facegraft.data.regions import REGIONS
from facegraft.data.synth import soup
from facegraft.data.synth.body import Body, Posed
from facegraft.data.synth.eyeballs import Eyeballs
from facegraft.data.synth.ground import Ground
from facegraft.data.synth.perform import motion_of
from facegraft.data.synth.props import Props
from facegraft.data.synth.scene import Scene
from facegraft.data.synth.solid import Material, PropMesh
from facegraft.data.synth.soup import Cook
from facegraft.data.synth.wear import Prop


class Things:
    """Places meshes of props; meshes are made once."""

    def __init__(self, body: Body, ground: Ground, eyeballs: Eyeballs) -> None:
        self.body, self.props, self.eyeballs = body, Props(ground), eyeballs
        self.neutral = body.mean_adult()

    def add(self, cook: Cook, scenes: Sequence[Scene]) -> None:
        """Everything the scenes hold before the face."""
        rows = [row for row, scene in enumerate(scenes) if scene.props]
        if not rows:
            return
        shown = [scenes[row] for row in rows]
        posed = self.stand_in(shown)
        landmarks = posed.vertices[:, self.body.landmarks].double().cpu().numpy()
        centres = self.eyeballs.look(posed)[0]
        apart = (centres[:, 0] - centres[:, 1]).norm(dim=1).tolist()
        for at, (row, scene) in enumerate(zip(rows, shown, strict=True)):
            for prop in scene.props:
                matrix = self.props.place(prop, landmarks[at], apart[at])
                self._add(cook, row, scene, prop, torch.as_tensor(matrix, device=self.body.device))

    def stand_in(self, scenes: Sequence[Scene]) -> Posed:
        """The mean adult, posed like the scenes' people."""
        count = len(scenes)
        race = torch.full((count, 3), 1 / 3, device=self.body.device)
        return self.body.pose(self.neutral.expand(count, -1, -1), race, motion_of(scenes, self.body))

    def _add(self, cook: Cook, row: int, scene: Scene, prop: Prop, matrix: Float[Tensor, "4 4"]) -> None:
        mesh = self.props.mesh(prop.kind, prop.variant, prop.mirrored)
        device = self.body.device
        vertices = torch.as_tensor(mesh.vertices, device=device) @ matrix[:3, :3].T + matrix[:3, 3]
        normals = F.normalize(torch.as_tensor(mesh.normals, device=device) @ matrix[:3, :3].T, dim=1)
        for number, material in enumerate(mesh.materials):
            triangles, used = part_of(mesh, number)
            if len(triangles) == 0:
                continue
            rows = torch.as_tensor(used, device=device)
            cook.add(
                torch.tensor([row], device=device),
                vertices[None, rows],
                normals[None, rows],
                torch.as_tensor(triangles, device=device),
                kind=soup.SOLID,
                region=REGIONS["occluder"],
                tint=torch.tensor([colour_of(material, scene, prop)], device=device),
                traits=torch.tensor([[material.roughness, 0.6, 1.0, 0.0]], device=device),
                two_sided=True,
            )


def part_of(mesh: PropMesh, material: int) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of one material over the vertices they use, and those vertices."""
    triangles = mesh.triangles[mesh.material == material].astype(np.int64)
    used, index = np.unique(triangles, return_inverse=True)
    return index.reshape(triangles.shape), used


def colour_of(material: Material, scene: Scene, prop: Prop) -> tuple[float, float, float]:
    """Linear colour of a material in this scene."""
    if isinstance(material.colour, tuple):
        return material.colour
    return {"skin": scene.hand_skin, "sleeve": scene.cloth.colour, "colour": prop.colour}[material.colour]
