"""Puts skin, eyes, mouth, hair, clothes and things of a batch into one list of triangles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.regions import REGIONS
from facegraft.data.synth import soup, strands
from facegraft.data.synth.body import Body, Posed, Worn, incidence, vertex_normals
from facegraft.data.synth.cast import Actor
from facegraft.data.synth.dense import dense_rows
from facegraft.data.synth.eyeballs import Eyeballs
from facegraft.data.synth.openness import Openness
from facegraft.data.synth.patterns import PATTERNS, TILE_PX, pattern_texture
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.scene import Scene
from facegraft.data.synth.soup import Cook, Soup
from facegraft.data.synth.textures import TextureBank
from facegraft.data.synth.things import Things
from facegraft.data.synth.wardrobe import Wardrobe
from facegraft.data.synth.wear import CARD_STYLES, Cloth
from facegraft.data.synth.wear import Worn as WornThing

Key = TypeVar("Key", bound=Hashable)
KINDS = {
    "eye": soup.EYE,
    "teeth": soup.MOUTH,
    "tongue": soup.MOUTH,
    "hair": soup.HAIR,
    "shadow": soup.HAIR,
    "beard": soup.HAIR,
    "lash": soup.LASH,
}
"""What colours a surface -> how it is shaded; everything else is solid."""
CLOSED_LIPS = 0.02
"""Gap between the lips in decimetres below which nobody sees teeth."""
THINNING = 0.5
"""How far a density of 0 raises the cut of hair."""
HIDDEN, BRIM_EDGE = 9.0, 40.0
"""Cut that nothing passes; its rise per decimetre above a brim, so that hair ends along a line and not at vertices."""
MOST_COARSE = {"hair": 0.45, "shadow": 0.85, "beard": 0.85}
STRAND_TEXELS = {"straight": 2.0, "stubble": 3.0, "beard": 2.0, "curl": 8.0, "frizz": 5.0}
"""Width of a strand or dot in each texture."""


@dataclass(frozen=True)
class Ready:
    """A worn surface on the device."""

    worn: Worn
    triangles: Tensor
    incident: Tensor
    uvs: Tensor
    place: Tensor
    cut: Tensor
    shade: Tensor
    openness: Tensor
    proxy: Proxy


@dataclass(frozen=True)
class Look:
    """What differs between the rows that wear a surface; None: as the surface is."""

    tint: Tensor | None
    traits: Tensor | None
    thin: Tensor | None = None
    """Added to the cut."""
    length: Tensor | None = None
    tint2: Tensor | None = None
    pattern: Tensor | None = None
    """Rows in the bank of patterns, -1 for none."""
    uvs: Tensor | None = None


class Dresser:
    """Keeps every worn surface that was needed once."""

    def __init__(self, assets: Path, body: Body, texture_px: int, samples_per_dm: float) -> None:
        self.samples_per_dm = samples_per_dm
        self.body, self.wardrobe = body, Wardrobe(assets)
        device = body.device
        self.alphas = TextureBank(self.wardrobe.texture, 2, texture_px, device)
        self.colours = TextureBank(self.wardrobe.texture, 3, 256, device)
        self.patterns = TextureBank(pattern_texture, 2, TILE_PX, device)
        self.eyeballs = Eyeballs(assets, body)
        self.things = Things(body, self.wardrobe.ground, self.eyeballs)
        self.ready: dict[Hashable, tuple[Ready, ...]] = {}
        index, weight = dense_rows()
        self.dense_index = torch.as_tensor(body.local[index], device=device)
        self.dense_weight = torch.as_tensor(weight.copy(), dtype=torch.float32, device=device)
        self.openness = Openness(assets, body, self.wardrobe)

    def dress(self, actors: Sequence[Actor], scenes: Sequence[Scene], posed: Posed) -> Soup:
        """Everything that is drawn of these people in these scenes."""
        cook = Cook(self.body.device)
        self._skin(cook, posed)
        self._face(cook, actors, posed)
        self._hair(cook, actors, scenes, posed)
        self._clothes(cook, scenes, posed)
        self.things.add(cook, scenes)
        return cook.done()

    def _skin(self, cook: Cook, posed: Posed) -> None:
        surface = self.body.skin
        rows = torch.arange(len(posed.vertices), device=self.body.device)
        open_ = self.openness.skin(posed)
        cook.add(
            rows,
            posed.vertices[:, surface.corner],
            posed.normals[:, surface.corner],
            surface.triangles,
            kind=soup.SKIN,
            region=REGIONS["face"],
            uvs=surface.uvs,
            place=self.body.place[surface.corner],
            openness=open_[:, surface.corner],
        )

    def _face(self, cook: Cook, actors: Sequence[Actor], posed: Posed) -> None:
        """Eyes, lashes; teeth and tongue where the lips are open."""
        for name, make, rows in self._facial(actors, posed):
            index = torch.tensor(rows, device=self.body.device)
            for ready in self._get(name, make):
                tint, traits = self._facial_look(ready.proxy.part, [actors[r] for r in rows])
                self._add(cook, ready, posed, index, Look(tint, traits))

    def _facial(
        self, actors: Sequence[Actor], posed: Posed
    ) -> list[tuple[str, Callable[[], Sequence[Proxy]], list[int]]]:
        every = list(range(len(actors)))
        gap = posed.vertices[:, self.body.landmarks[62]] - posed.vertices[:, self.body.landmarks[66]]
        speaking = [r for r in every if float(gap[r].norm()) > CLOSED_LIPS]
        out: list[tuple[str, Callable[[], Sequence[Proxy]], list[int]]] = [("eyes", self.wardrobe.eyes, every)]
        for style, rows in grouped([a.lashes.style for a in actors], every).items():
            out.append((f"lashes-{style}", partial(self.wardrobe.lashes, style), rows))
        for number, rows in grouped([a.teeth.style for a in actors], speaking).items():
            out.append((f"mouth-{number}", partial(self.wardrobe.mouth, number), rows))
        return out

    def _facial_look(self, part: str, actors: Sequence[Actor]) -> tuple[Tensor | None, Tensor | None]:
        device = self.body.device
        if part == "teeth":
            return torch.tensor([a.teeth.tint for a in actors], device=device), None
        if part == "lash":
            traits = torch.tensor([[a.lashes.strength, 0.0, 1.0, 0.0] for a in actors], device=device)
            return torch.tensor([a.lashes.colour for a in actors], device=device), traits
        return None, None

    def _hair(self, cook: Cook, actors: Sequence[Actor], scenes: Sequence[Scene], posed: Posed) -> None:
        """The scene's hair, below its hat, and the person's beard."""
        device = self.body.device
        keys = [(s.hair.style, s.hair.mirrored) for s in scenes]
        for key, rows in grouped(keys, list(range(len(scenes)))).items():
            hairs = [scenes[r].hair for r in rows]
            thin = torch.tensor([[(1 - h.density) * THINNING] for h in hairs], device=device)
            for ready in self._get(("hair", *key), partial(self.wardrobe.hair, *key)):
                shadow, coarse = ready.proxy.part == "shadow", self.coarseness(ready.proxy)
                tint = torch.tensor([mixed_grey(h.colour, h.grey) for h in hairs], device=device)
                traits = torch.tensor(
                    [[h.scalp_shadow if shadow else 1.0, h.gloss, ready.proxy.sharpness, coarse] for h in hairs],
                    device=device,
                )
                hidden = thin + self._under_hats(ready, [scenes[r] for r in rows])
                length = torch.tensor([h.length for h in hairs], device=device)
                look = Look(tint, traits, hidden, None if key[0] in CARD_STYLES else length)
                self._add(cook, ready, posed, torch.tensor(rows, device=device), look)
        bearded = [r for r, a in enumerate(actors) if a.beard.density > 0 and not covers_beard(scenes[r])]
        for style, rows in grouped([a.beard.style for a in actors], bearded).items():
            some = [actors[r] for r in rows]
            thin = torch.tensor([[(1 - a.beard.density) * THINNING] for a in some], device=device)
            tint = torch.tensor([a.hair_colour for a in some], device=device)
            for ready in self._get(("beard", style), partial(self.wardrobe.beard, style)):
                traits = torch.tensor([[1.0, 0.4, ready.proxy.sharpness, self.coarseness(ready.proxy)]], device=device)
                length = torch.tensor([0.6 + 0.6 * a.beard.length for a in some], device=device)
                self._add(cook, ready, posed, torch.tensor(rows, device=device), Look(tint, traits, thin, length))

    def coarseness(self, proxy: Proxy) -> float:
        """0: samples resolve the strands; towards 1: they only see how much of the surface strands cover."""
        if proxy.texture not in STRAND_TEXELS:
            return 0.0
        texels = strands.SIZE / strands.TILE_DM[proxy.texture] / self.samples_per_dm
        return float(np.clip((texels / STRAND_TEXELS[proxy.texture] - 0.4) / 1.2, 0, MOST_COARSE[proxy.part]))

    def _under_hats(self, ready: Ready, scenes: Sequence[Scene]) -> Float[Tensor, "r n"]:
        """A cut that nothing passes, where a hat hides the hair."""
        out = ready.cut.new_zeros(len(scenes), len(ready.cut))
        for row, scene in enumerate(scenes):
            if hat_of(scene):
                brim = self.wardrobe.brim(hat_of(scene))
                above = (ready.place - ready.place.new_tensor(brim.point)) @ ready.place.new_tensor(brim.normal)
                out[row] = (above * BRIM_EDGE).clamp(0, HIDDEN)
        return out

    def _clothes(self, cook: Cook, scenes: Sequence[Scene], posed: Posed) -> None:
        device = self.body.device
        for key, rows in grouped([s.cloth.kind for s in scenes], list(range(len(scenes)))).items():
            for ready in self._get(("shirt", key), partial(self.wardrobe.shirt, key)):
                look = self._cloth(ready, [scenes[r].cloth for r in rows])
                self._add(cook, ready, posed, torch.tensor(rows, device=device), look)
        worn = [(r, thing) for r, scene in enumerate(scenes) for thing in scene.worn]
        for name, where in grouped([(w.kind, w.variant) for _, w in worn], list(range(len(worn)))).items():
            things = [worn[i] for i in where]
            index = torch.tensor([r for r, _ in things], device=device)
            for ready in self._get(("worn", *name), partial(self.wardrobe.worn, *name)):
                tint, traits = worn_look(ready.proxy, [t for _, t in things], device)
                self._add(cook, ready, posed, index, Look(tint, traits))

    def _cloth(self, ready: Ready, cloths: Sequence[Cloth]) -> Look:
        """Colours, neckline and pattern; a pattern too fine for the samples fades into its mean."""
        device = self.body.device
        laid = [PATTERNS.get(cloth.pattern) for cloth in cloths]
        period = [pattern.period * c.pattern_size if pattern else 1.0 for pattern, c in zip(laid, cloths, strict=True)]
        tile = [length * (pattern.repeats if pattern else 1) for pattern, length in zip(laid, period, strict=True)]
        missed = [float(np.clip(1.5 - length * self.samples_per_dm / 4, 0, 1)) for length in period]
        rows = [self.patterns.row(c.pattern) if pattern else -1 for pattern, c in zip(laid, cloths, strict=True)]
        return Look(
            tint=torch.tensor([cloth.colour for cloth in cloths], device=device),
            traits=torch.tensor([[0.8, 0.15, 1.0, miss] for miss in missed], device=device),
            thin=torch.tensor([[-0.1 * cloth.neckline] for cloth in cloths], device=device),
            tint2=torch.tensor([cloth.colour2 for cloth in cloths], device=device),
            pattern=torch.tensor(rows, device=device),
            uvs=ready.uvs / torch.tensor(tile, device=device)[:, None, None],
        )

    def _get(self, key: Hashable, make: Callable[[], Sequence[Proxy]]) -> tuple[Ready, ...]:
        if key not in self.ready:
            self.ready[key] = tuple(self._prepare(proxy) for proxy in make())
        return self.ready[key]

    def _prepare(self, proxy: Proxy) -> Ready:
        device = self.body.device

        def float_tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=device)

        triangles = proxy.triangles.astype(np.int64)
        return Ready(
            worn=self.body.worn(proxy),
            triangles=torch.as_tensor(triangles, device=device),
            incident=torch.as_tensor(incidence(triangles, proxy.count), device=device),
            uvs=float_tensor(proxy.uvs),
            place=float_tensor(proxy.place),
            cut=float_tensor(proxy.cut),
            shade=float_tensor(proxy.shade),
            openness=self.openness.worn(proxy),
            proxy=proxy,
        )

    def _add(self, cook: Cook, ready: Ready, posed: Posed, rows: Tensor, look: Look) -> None:
        proxy = ready.proxy
        positions = ready.worn.fit(posed, rows, look.length)
        normals = vertex_normals(positions, ready.triangles, ready.incident)
        kind = kind_of(proxy)
        bank = self.alphas if proxy.layer == "alpha" else self.colours
        row = bank.row(proxy.texture) if proxy.texture and kind != soup.EYE else -1
        cook.add(
            rows,
            positions,
            normals,
            ready.triangles,
            kind=kind,
            region=REGIONS[proxy.region],
            uvs=ready.uvs if look.uvs is None else look.uvs,
            place=ready.place,
            shade=ready.shade,
            cut=ready.cut if look.thin is None else ready.cut + look.thin,
            openness=self.openness.of(ready.openness, kind, posed, rows),
            texture=look.pattern if look.pattern is not None else row,
            tint=look.tint,
            tint2=look.tint2,
            traits=look.traits,
            two_sided=kind not in (soup.EYE, soup.MOUTH),
        )

    def alpha_texel(self, texture: Tensor, uv: Float[Tensor, "n 2"], *, exact: bool = True) -> Float[Tensor, "n 2"]:
        """Luminance (mean 1) and alpha; plain surfaces are 1. Not `exact`: the nearest texel."""
        return self.alphas.sample(texture, uv, smooth=exact)

    def colour_texel(self, texture: Tensor, uv: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
        """Linear colour; plain surfaces are 1."""
        return self.colours.sample(texture, uv)

    def dyed(
        self, pattern: Tensor, uv: Float[Tensor, "n 2"], tints: tuple[Tensor, Tensor], missed: Float[Tensor, "n"]
    ) -> Float[Tensor, "n 3"]:
        """Linear colour of cloth: two tints in a pattern, of which samples miss a share and see the mean instead."""
        out = tints[0].clone()
        rows = (pattern >= 0).nonzero()[:, 0]
        if len(rows):
            means = self.patterns.bank.float().mean((1, 2))[pattern[rows]]
            texel = torch.lerp(self.patterns.sample(pattern[rows], uv[rows]), means, missed[rows, None])
            out[rows] = torch.lerp(tints[0][rows], tints[1][rows], texel[:, :1]) * texel[:, 1:]
        return out

    def dense_points(self, posed: Posed) -> Float[Tensor, "b 468 3"]:
        """The points of `faces/topology.py` on the posed heads."""
        return (posed.vertices[:, self.dense_index] * self.dense_weight[..., None]).sum(2)

    def eye_texel(
        self, actors: Sequence[Actor], picture: Tensor, side: Tensor, uv: Float[Tensor, "n 2"]
    ) -> Float[Tensor, "n 3"]:
        names = [[self.colours.row(f"eye/{name}") for name in (a.eyes.left, a.eyes.right)] for a in actors]
        rows = torch.tensor(names, device=uv.device)[picture, side]
        return self.colours.sample(rows, uv)


def kind_of(proxy: Proxy) -> int:
    if proxy.part == "lens":
        return soup.LENS
    if proxy.region == "cloth":
        return soup.MATT
    return KINDS.get(proxy.part, soup.HAIR if proxy.layer == "alpha" else soup.SOLID)


def covers_beard(scene: Scene) -> bool:
    """A mask or scarf presses a beard flat."""
    return any(thing.kind == "face_mask" or (thing.kind, thing.variant) == ("scarf", "mouth") for thing in scene.worn)


def hat_of(scene: Scene) -> str:
    return next((thing.variant for thing in scene.worn if thing.kind == "hat"), "")


def mixed_grey(colour: tuple[float, float, float], grey: float) -> tuple[float, float, float]:
    """Hair with a share of grey strands, seen from where strands blend."""
    red, green, blue = (c + grey * (0.24 - c) for c in colour)
    return red, green, blue


def worn_look(proxy: Proxy, things: Sequence[WornThing], device: torch.device) -> tuple[Tensor, Tensor]:
    """Colour and traits of hats, glasses, masks and scarves."""
    if proxy.part == "lens":
        colours = [t.lens_colour for t in things]
        return torch.tensor(colours, device=device), torch.tensor(
            [[t.tint, t.tint, 1.0, 0.0] for t in things], device=device
        )
    colours = [
        t.colour2 if proxy.part == "colour2" else (1.0, 1.0, 1.0) if proxy.part == "texture" else t.colour
        for t in things
    ]
    shiny = 1.0 if things[0].kind == "glasses" else 0.15
    return torch.tensor(colours, device=device), torch.tensor(
        [[t.roughness, shiny, 1.0, 0.0] for t in things], device=device
    )


def grouped(keys: Sequence[Key], rows: Sequence[int]) -> dict[Key, list[int]]:
    """Rows by equal key."""
    out: dict[Key, list[int]] = {}
    for row in rows:
        out.setdefault(keys[row], []).append(row)
    return out
