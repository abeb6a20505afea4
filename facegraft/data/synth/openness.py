"""How open to light each point of a head is (ambient occlusion), measured once on the mean adult.

Eye sockets, nostrils, ears, the gap between the lips and the neck below the chin get their darkness from this.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from facegraft.core.files import atomic_path
from facegraft.data.synth import soup
from facegraft.data.synth.body import Body, Motion, Posed, incidence, vertex_normals
from facegraft.data.synth.illumination import sphere
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.raster import nearest, scan, set_up
from facegraft.data.synth.shadow import lamp_axes
from facegraft.data.synth.wardrobe import Wardrobe

SIZE, RADIUS, BIAS = 384, 2.9, 0.02
VERSION = "1"
WIDE_GAP_DM = 0.30
"""Between the lips of the open mouth that was measured."""
HIDDEN_HAIR = 0.55
"""Openness of hair; strands shade each other."""


def cache_folder() -> Path:
    """Where what was measured is kept."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facegraft" / "openness"


@dataclass(frozen=True)
class _Bodies:
    """The mean adult, lips closed and jaw dropped."""

    posed: Posed
    casters: Float[Tensor, "m 3"]
    triangles: Tensor


class Openness:
    """Looks up and mixes what was measured."""

    def __init__(self, assets: Path, body: Body, wardrobe: Wardrobe) -> None:
        self.body, self.folder = body, cache_folder()
        self.stamp = f"{assets.resolve()} {len(body.ids)} {len(body.skin.triangles)}"
        self._posed: tuple[_Bodies, _Bodies] | None = None
        found = self._remembered("skin", lambda: [b.posed for b in self._bodies()])
        self.closed, self.open = found["closed"].to(body.device), found["open"].to(body.device)

    def skin(self, posed: Posed) -> Float[Tensor, "b v"]:
        """Of every body vertex, mixed by how far the lips are open."""
        return torch.lerp(self.closed, self.open, self._mouth(posed)[:, None])

    def worn(self, proxy: Proxy) -> Float[Tensor, "2 n"]:
        """Of a worn surface, lips closed and open; hair and clothes are not measured."""
        if proxy.part not in ("eye", "teeth", "tongue"):
            plain = HIDDEN_HAIR if proxy.layer == "alpha" else 1.0
            return torch.full((2, proxy.count), plain, device=self.body.device)
        ready = self.body.worn(proxy)
        triangles = torch.as_tensor(proxy.triangles.astype("int64"), device=self.body.device)
        around = torch.as_tensor(incidence(proxy.triangles, proxy.count), device=self.body.device)

        def surfaces() -> list[tuple[Tensor, Tensor]]:
            rows = torch.zeros(1, dtype=torch.int64, device=self.body.device)
            placed = [ready.fit(b.posed, rows) for b in self._bodies()]
            return [(p[0], vertex_normals(p, triangles, around)[0]) for p in placed]

        found = self._measured(proxy.name, surfaces)
        return torch.stack([found["closed"], found["open"]]).to(self.body.device)

    def of(self, measured: Float[Tensor, "2 n"], kind: int, posed: Posed, rows: Tensor) -> Tensor:
        """For the drawn rows of a batch."""
        if kind not in (soup.EYE, soup.MOUTH):
            return measured[0]
        return torch.lerp(measured[0], measured[1], self._mouth(posed)[rows][:, None])

    def _mouth(self, posed: Posed) -> Float[Tensor, "b"]:
        lips = posed.vertices[:, self.body.landmarks[[62, 66]]]
        return ((lips[:, 0] - lips[:, 1]).norm(dim=1) / WIDE_GAP_DM).clamp(0, 1)

    def _remembered(self, name: str, make: Callable[[], list[Posed]]) -> dict[str, Tensor]:
        return self._measured(name, lambda: [(p.vertices[0], p.normals[0]) for p in make()])

    def _measured(self, name: str, surfaces: Callable[[], list[tuple[Tensor, Tensor]]]) -> dict[str, Tensor]:
        def make() -> dict[str, Tensor]:
            pairs = zip(("closed", "open"), surfaces(), self._bodies(), strict=True)
            return {key: measure(p, n, b.triangles, b.casters) for key, (p, n), b in pairs}

        return remembered(self.folder, f"{self.stamp} {name}", make)

    def _bodies(self) -> tuple[_Bodies, _Bodies]:
        if self._posed is None:
            self._posed = self._pose(0.0), self._pose(1.0)
        return self._posed

    def _pose(self, jaw: float) -> _Bodies:
        body = self.body
        one = torch.zeros(1, device=body.device)
        units = torch.zeros(1, len(body.unit_names), device=body.device)
        units[0, body.unit_names.index("JawDrop")] = jaw
        motion = Motion(
            head=torch.zeros(1, 3, device=body.device),
            body_yaw=one,
            gaze=torch.zeros(1, 2, 2, device=body.device),
            blink=torch.full((1, 2), 0.12, device=body.device),
            morphs=torch.zeros(1, len(body.morph_names), device=body.device),
            units=units,
        )
        race = torch.full((1, 3), 1 / 3, device=body.device)
        posed = body.pose(body.mean_adult()[None], race, motion)
        triangles = torch.as_tensor(body.skin_triangles, device=body.device)
        return _Bodies(posed, posed.vertices[0], triangles)


def measure(
    points: Float[Tensor, "n 3"], normals: Float[Tensor, "n 3"], triangles: Tensor, casters: Float[Tensor, "m 3"]
) -> Float[Tensor, "n"]:
    """Share of the cosine-weighted sky that each point sees past the triangles of `casters`, 0..1."""
    directions = sphere()[0][::8].to(points.device)
    seen = torch.zeros(len(points), device=points.device)
    total = torch.zeros_like(seen)
    picture = torch.zeros(len(triangles), dtype=torch.int64, device=points.device)
    both = torch.ones(len(triangles), dtype=torch.bool, device=points.device)
    for toward in directions:
        axes = lamp_axes(toward[None])[0]
        screen = (casters @ axes.T) / RADIUS * 0.5 + 0.5
        screen = torch.cat([screen[:, :2] * SIZE, screen[:, 2:]], 1)
        fragments = scan(set_up(screen, triangles, picture, (SIZE, SIZE), both), (SIZE, SIZE))
        best = nearest(fragments, SIZE * SIZE)
        depth = torch.where(best >= 0, fragments.depth[best.clamp(min=0)], 2.0)
        local = ((points + normals * BIAS) @ axes.T) / RADIUS * 0.5 + 0.5
        at = (local[:, :2] * SIZE).long().clamp(0, SIZE - 1)
        weight = (normals @ toward).clamp(min=0)
        free = local[:, 2] - 0.003 < depth[at[:, 1] * SIZE + at[:, 0]]
        seen += weight * free
        total += weight
    return seen / total.clamp(min=1e-4)


def remembered(folder: Path, key: str, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors from the folder's file of this key; made by `make()` and kept there the first time."""
    path = folder / f"{hashlib.sha256((VERSION + key).encode()).hexdigest()[:16]}.safetensors"
    if path.is_file():
        return load_file(path)
    made = make()
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        save_file({name: value.contiguous().cpu() for name, value in made.items()}, temporary)
    return made
