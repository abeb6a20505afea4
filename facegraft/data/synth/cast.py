"""People made ready for the renderer: shape and skin, kept in slots on the device; and the blend of two people.

The true answer of a swap is a picture of a third person: the identity's inner face in the attribute's head.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.synth.body import Body
from facegraft.data.synth.parts import Beard, Eyes, Lashes, Teeth
from facegraft.data.synth.people import Person, macro_morphs
from facegraft.data.synth.skin import SkinBaker
from facegraft.data.synth.uvspace import UvSpace, smooth_step

ALBEDO, BUMP = slice(0, 3), slice(3, 6)
LIPS, INSIDE, EAR, GLOSS, BEARD, BROW = range(6, 12)
CHANNELS = 12
WHOLE = range(14598, 15128)
"""Helper vertices of eyes, lashes and teeth, and `TONGUE`: they follow the inner face without a gradual border."""
TONGUE = range(13380, 13606)
RAMP_DM = 0.6
"""From the border inwards, so far is the identity's shape only in part: a shorter ramp folds where jaws differ."""


@dataclass(frozen=True)
class Actor:
    """One person on the device."""

    neutral: Float[Tensor, "v 3"]
    race: Float[Tensor, "3"]
    atlas: Float[Tensor, "h w 12"]
    """Half precision: linear albedo, slope of the surface (a vector of the unturned head), masks."""
    body_colour: Float[Tensor, "3"]
    eyes: Eyes
    lashes: Lashes
    teeth: Teeth
    beard: Beard
    hair_colour: tuple[float, float, float]
    wrinkles: float


class Cast:
    """Bakes people and keeps the last `capacity` of them."""

    def __init__(self, body: Body, space: UvSpace, baker: SkinBaker, capacity: int) -> None:
        self.body, self.space, self.baker = body, space, baker
        self.capacity = capacity
        self.actors: OrderedDict[object, tuple[int, Actor]] = OrderedDict()
        self.atlases = torch.zeros(0, *space.size_hw, CHANNELS, dtype=torch.float16, device=body.device)
        self.shares = self._vertex_shares()

    def actor(self, person: Person) -> Actor:
        """The person, baked now or earlier."""
        return self._kept(key_of(person), lambda: self._bake(person))[1]

    def inner_face(self, identity: Person, attribute: Person, *, recoloured: bool) -> Actor:
        """The identity's inner face in the attribute's head; `recoloured`: in the attribute's mean skin colour."""
        key = key_of(identity), key_of(attribute), recoloured
        return self._kept(key, lambda: self._blend(self.actor(identity), self.actor(attribute), recoloured))[1]

    def slots(self, actors: Sequence[Actor]) -> Tensor:
        """Rows of `atlases` for these actors."""
        where = {id(actor): slot for slot, actor in self.actors.values()}
        return torch.tensor([where[id(actor)] for actor in actors], device=self.body.device)

    def _kept(self, key: object, make: Callable[[], Actor]) -> tuple[int, Actor]:
        if key in self.actors:
            self.actors.move_to_end(key)
            return self.actors[key]
        actor = make()
        if len(self.actors) >= self.capacity:
            slot = self.actors.popitem(last=False)[1][0]
        else:
            slot = len(self.actors)
            if slot >= len(self.atlases):
                more = min(max(8, len(self.atlases)), self.capacity - len(self.atlases))
                self.atlases = torch.cat([self.atlases, self.atlases.new_zeros(more, *self.atlases.shape[1:])])
        self.atlases[slot] = actor.atlas
        self.actors[key] = (slot, actor)
        return slot, actor

    def _bake(self, person: Person) -> Actor:
        maps = self.baker.bake(person)
        device = self.body.device
        masks = [maps.masks[i] for i in range(6)]
        slope = self.slope(maps.height[0].to(device))
        atlas = torch.cat([maps.albedo.permute(1, 2, 0).to(device), slope, torch.stack(masks, -1).to(device)], -1)
        return Actor(
            neutral=self.body.shape(macro_morphs(person) | person.morphs),
            race=torch.tensor(person.race, device=device, dtype=torch.float32),
            atlas=atlas.half(),
            body_colour=maps.body_colour.to(device),
            eyes=person.eyes,
            lashes=person.lashes,
            teeth=person.teeth,
            beard=person.beard,
            hair_colour=person.hair_colour,
            wrinkles=person.skin.wrinkles,
        )

    def slope(self, height: Float[Tensor, "h w"]) -> Float[Tensor, "h w 3"]:
        """Gradient on the surface of a height map in decimetres, as a vector of the unshaped head."""
        padded = torch.nn.functional.pad(height[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
        across = (padded[1:-1, 2:] - padded[1:-1, :-2]) / 2
        down = (padded[2:, 1:-1] - padded[:-2, 1:-1]) / 2
        return (across[..., None] * self.space.along_x + down[..., None] * self.space.along_y).clamp(-1.5, 1.5)

    def _vertex_shares(self) -> Float[Tensor, "v"]:
        """How much of each body vertex is inner face."""
        body, surface = self.body, self.body.skin
        texel = self.space.texel(surface.uvs).round().long()
        height, width = self.space.size_hw
        inside = (texel >= 0).all(1) & (texel[:, 0] < width) & (texel[:, 1] < height)
        at = texel[:, 1].clamp(0, height - 1) * width + texel[:, 0].clamp(0, width - 1)
        face = torch.minimum(self.space.face, self._ramp())
        share = torch.where(inside, face.reshape(-1)[at], 0.0)
        out = torch.zeros(len(body.ids), device=body.device)
        out.scatter_reduce_(0, surface.corner, share, "amax")
        place = torch.as_tensor(body.base.vertices[body.ids], dtype=torch.float32, device=body.device)
        drawn = torch.zeros(len(place), dtype=torch.bool, device=body.device)
        drawn[surface.corner] = True
        lone = (~drawn).nonzero()[:, 0]
        known = drawn.nonzero()[:, 0]
        for rows in lone.split(512):
            near = known[torch.cdist(place[rows], place[known]).argmin(1)]
            out[rows] = out[near]
        for ids in (WHOLE, TONGUE):
            local = torch.as_tensor(body.local[list(ids)], device=body.device)
            out[local[local >= 0]] = 1.0
        inner = self._mouth_interior()
        out[inner] = 1.0
        return out

    def _ramp(self) -> Float[Tensor, "h w"]:
        """0 outside the inner face, 1 from `RAMP_DM` inside its border on."""
        space = self.space
        inside = (space.face > 0).cpu().numpy()
        texel_dm = float(1 / space.along_x[space.face > 0.5].norm(dim=1).median())
        depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) * texel_dm
        return smooth_step(torch.from_numpy(depth).to(space.face.device), 0.0, RAMP_DM)

    def _mouth_interior(self) -> Tensor:
        surface, space = self.body.skin, self.space
        texel = space.texel(surface.uvs).round().long()
        height, width = space.size_hw
        at = texel[:, 1].clamp(0, height - 1) * width + texel[:, 0].clamp(0, width - 1)
        is_mouth = (space.regions.reshape(-1)[at] == 5) & (texel >= 0).all(1)
        return surface.corner[is_mouth]

    def _blend(self, identity: Actor, attribute: Actor, recoloured: bool) -> Actor:
        share = self.shares
        moved = align(identity.neutral, attribute.neutral, share)
        neutral = attribute.neutral + share[:, None] * (moved - attribute.neutral)
        atlas = self._mix_atlas(identity.atlas.float(), attribute.atlas.float(), recoloured)
        race = identity.race
        return replace(
            identity,
            neutral=neutral,
            race=race,
            atlas=atlas.half(),
            body_colour=attribute.body_colour,
            beard=attribute.beard,
            hair_colour=attribute.hair_colour,
        )

    def _mix_atlas(self, identity: Tensor, attribute: Tensor, recoloured: bool) -> Tensor:
        face = self.space.face[..., None].clone()
        face[self.space.regions == 5] = 1.0
        colour = identity[..., ALBEDO].clamp(min=1e-3).log()
        other = attribute[..., ALBEDO].clamp(min=1e-3).log()
        if recoloured:
            plain = (self.space.face > 0.9) & (identity[..., LIPS] < 0.1) & (identity[..., BROW] < 0.1)
            plain &= attribute[..., BROW] < 0.1
            colour = colour + (other[plain].mean(0) - colour[plain].mean(0))
        mixed = torch.lerp(other, colour, face).exp()
        rest = torch.lerp(attribute[..., 3:], identity[..., 3:], face)
        return torch.cat([mixed, rest], -1)


def key_of(person: Person) -> tuple[object, ...]:
    """Equal for equal people; a Person itself cannot be hashed for its dictionary of morphs."""
    values = (getattr(person, f.name) for f in fields(person) if f.name != "morphs")
    return (*values, *sorted(person.morphs.items()))


def align(moving: Float[Tensor, "v 3"], fixed: Float[Tensor, "v 3"], weight: Float[Tensor, "v"]) -> Tensor:
    """`moving` brought onto `fixed` by the weighted best similarity (Umeyama 1991)."""
    w = (weight / weight.sum())[:, None]
    a, b = (w * moving).sum(0), (w * fixed).sum(0)
    x, y = moving - a, fixed - b
    u, s, vt = torch.linalg.svd(y.T @ (w * x))
    sign = torch.ones(3, device=u.device)
    sign[2] = torch.sign(torch.linalg.det(u @ vt))
    turn = u @ torch.diag(sign) @ vt
    scale = (s * sign).sum() / (w * x * x).sum()
    return scale * x @ turn.T + b
