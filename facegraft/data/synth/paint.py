"""From triangles to samples: visibility, shadows, shading, see-through layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from facegraft.data.camera import blur
from facegraft.data.regions import REGIONS
from facegraft.data.synth import shade
from facegraft.data.synth.body import Body, Posed
from facegraft.data.synth.cast import ALBEDO, BROW, BUMP, GLOSS, INSIDE, LIPS, Actor, Cast
from facegraft.data.synth.dress import Dresser
from facegraft.data.synth.illumination import Lights
from facegraft.data.synth.lookup import sample_bank, sample_nearest
from facegraft.data.synth.perform import wrinkling
from facegraft.data.synth.raster import Fragments, in_front, interpolate, nearest, peel, perspective, scan, set_up
from facegraft.data.synth.scene import Scene
from facegraft.data.synth.shadow import Shadows, cast_shadows
from facegraft.data.synth.skin import SkinBaker
from facegraft.data.synth.soup import CUT, EYE, HAIR, LASH, LENS, MATT, MOUTH, OPEN, PLACE, SHADE, SKIN, SOLID, Soup
from facegraft.data.synth.uvspace import UvSpace
from facegraft.data.synth.view import View

LAYERS = 4
"""See-through layers of one sample; what lies deeper is hidden by them in practice."""
STRANDS_FROM = 150.0
"""Samples per decimetre that resolve strands of hair."""
FAINTEST, THICK = 0.02, 0.9
"""Opacity below which a layer is not seen, and from which nothing is seen behind it."""
SPREAD_DM = 0.019
SPREAD_SHARE = (0.42, 0.22, 0.12)
"""How far light wanders below the skin (standard deviation), and which share of red, green and blue does."""
SOFTEST_DM = 0.22
"""Of a shadow: limits the look-up's radius."""
SHADOW_SHARE = 0.6
"""Samples of a shadow map's side per sample of the picture's."""


@dataclass(frozen=True)
class Samples:
    """What every sample shows, pictures of S x S samples.

    Attributes:
        light: Linear, multiplied by `cover`.
        cover: 0..1, how much of the background is hidden.
        region: Of the nearest surface that hides at least half of what is behind it.
        depth: Of that surface, as `View.project` gives it; 2 = nothing.
        normal: Of the nearest opaque surface, world; 0 = nothing.
        inner: The inner face shows here, be it through hair.
        own: Anything of the person or on it shows here: all but background and things held before the face.
    """

    light: Float[Tensor, "b 3 s s"]
    cover: Float[Tensor, "b s s"]
    region: UInt8[Tensor, "b s s"]
    depth: Float[Tensor, "b s s"]
    normal: Float[Tensor, "b 3 s s"]
    inner: Bool[Tensor, "b s s"]
    own: Bool[Tensor, "b s s"]


@dataclass(frozen=True)
class _Stage:
    """What all shading of a batch needs."""

    soup: Soup
    posed: Posed
    actors: Sequence[Actor]
    scenes: Sequence[Scene]
    lights: Lights
    view: View
    slots: Tensor
    inverse_w: Tensor
    camera: Tensor
    shadows: Shadows
    size: int


class Painter:
    """Shades batches; holds the maps that all people share."""

    def __init__(self, body: Body, space: UvSpace, cast: Cast, dresser: Dresser, baker: SkinBaker) -> None:
        self.body, self.space, self.cast, self.dresser = body, space, cast, dresser
        heights = baker.wrinkles.to(body.device)
        self.wrinkles = torch.cat([cast.slope(height) for height in heights], -1).half()[None]

    def paint(
        self,
        soup: Soup,
        posed: Posed,
        actors: Sequence[Actor],
        scenes: Sequence[Scene],
        lights: Lights,
        view: View,
        size: int,
    ) -> Samples:
        """Samples of a batch at `size` x `size`."""
        count = len(actors)
        points, inverse_w = view.project_each(soup.vertices[:, :3], soup.owner, size)
        picture = soup.picture[soup.part]
        solid = soup.kind[soup.part] < HAIR
        shadow_size = max(96, int(size * SHADOW_SHARE))
        shadows = cast_shadows(soup, self._casters(soup), lights.key_direction, shadow_size, self.opacity)
        stage = _Stage(
            soup,
            posed,
            actors,
            scenes,
            lights,
            view,
            self.cast.slots(actors),
            inverse_w,
            F.pad(view.distance[:, None], (2, 0)),
            shadows,
            size,
        )

        def fragments(which: Tensor) -> Fragments:
            rows = which.nonzero()[:, 0]
            found = scan(
                set_up(points, soup.triangles[rows], picture[rows], (size, size), soup.two_sided[rows]), (size, size)
            )
            return replace(found, triangle=rows[found.triangle])

        opaque = fragments(solid)
        whole = self._cut_cloth(soup, opaque, screen_weights(opaque), torch.ones(len(opaque), device=solid.device)) > 0
        opaque = opaque.take(whole.nonzero()[:, 0])
        best = nearest(opaque, count * size * size)
        hit = (best >= 0).nonzero()[:, 0]
        front = opaque.take(best[hit])
        samples = self._opaque(stage, front, count)
        sheer = in_front(fragments(~solid), samples.depth.reshape(-1))
        return self._layers(stage, sheer, samples)

    def _casters(self, soup: Soup) -> Tensor:
        return soup.kind[soup.part] != LENS

    def opacity(
        self, soup: Soup, fragments: Fragments, weights: Float[Tensor, "f 3"], *, exact: bool = False
    ) -> Float[Tensor, "f"]:
        """Alpha of see-through surfaces, 1 for the others; a texture's nearest texel where that is `exact` enough."""
        part = soup.part.index_select(0, fragments.triangle)
        out = torch.ones(len(part), device=part.device)
        rows = (soup.kind[part] >= HAIR).nonzero()[:, 0]
        if len(rows) == 0:
            return self._cut_cloth(soup, fragments, weights, out)
        columns = soup.vertices[:, (6, 7, CUT)]
        corners = soup.triangles.index_select(0, fragments.triangle.index_select(0, rows))
        uv_cut = interpolate(columns, corners, weights.index_select(0, rows))
        part = part.index_select(0, rows)
        texel = self.dresser.alpha_texel(soup.texture[part], uv_cut[:, :2], exact=exact)[:, 1]
        traits = soup.traits.index_select(0, part)
        alpha = ((texel - uv_cut[:, 2]) * traits[:, 2]).clamp(0, 1)
        covered = (1 - uv_cut[:, 2] - 0.5 / traits[:, 2]).clamp(0, 1)  # strand heights are spread evenly over 0..1
        alpha = torch.lerp(alpha, covered, traits[:, 3])
        out[rows] = torch.where(soup.kind[part] == LENS, traits[:, 1], alpha * traits[:, 0])
        return self._cut_cloth(soup, fragments, weights, out)

    def _cut_cloth(self, soup: Soup, fragments: Fragments, weights: Tensor, alpha: Tensor) -> Tensor:
        """Cloth ends where its cut passes one half."""
        rows = (soup.kind[soup.part[fragments.triangle]] == MATT).nonzero()[:, 0]
        cut = interpolate(soup.vertices[:, CUT, None], soup.triangles[fragments.triangle[rows]], weights[rows])[:, 0]
        alpha[rows] = (cut < 0.5).float()
        return alpha

    def _hits(self, stage: _Stage, fragments: Fragments) -> tuple[shade.Hits, Tensor]:
        """Interpolated surface points and their parts."""
        soup = stage.soup
        weights = perspective(fragments, soup.triangles, stage.inverse_w)
        at = interpolate(soup.vertices, soup.triangles.index_select(0, fragments.triangle), weights)
        part = soup.part.index_select(0, fragments.triangle)
        picture = soup.picture.index_select(0, part)
        position, normal = at[:, :3], F.normalize(at[:, 3:6], dim=1)
        view = F.normalize(stage.camera[picture] - position, dim=1)
        side = fragments.sample % stage.size
        line = fragments.sample // stage.size % stage.size
        spin = (52.9829189 * ((0.06711056 * side + 0.00583715 * line) % 1)) % 1
        softness = (stage.lights.key_size[picture] * 0.6).clamp(0.012, SOFTEST_DM)
        key = stage.lights.key_direction.index_select(0, picture)
        if bool((soup.kind.index_select(0, part) >= HAIR).any()):  # strands shade each other: lift off towards the lamp
            shadow = stage.shadows.lit(picture, position, key, softness, spin)
        else:
            away = torch.where(dot_sign(normal, view), normal, -normal)
            shadow = stage.shadows.lit(picture, position, away, softness, spin)
            shadow = torch.where(shade.dot(normal, key) < -0.35, torch.zeros_like(shadow), shadow)
        return (
            shade.Hits(
                picture=picture,
                position=position,
                normal=normal,
                view=view,
                uv=at[:, 6:8],
                place=at[:, PLACE],
                shade=at[:, SHADE],
                open=at[:, OPEN],
                shadow=shadow,
                tint=soup.tint.index_select(0, part),
                traits=soup.traits.index_select(0, part),
                texture=soup.texture[part],
            ),
            part,
        )

    def _opaque(self, stage: _Stage, front: Fragments, count: int) -> Samples:
        size, soup = stage.size, stage.soup
        hits, part = self._hits(stage, front)
        kind = soup.kind[part]
        region = soup.region[part]
        light = torch.zeros(len(kind), 3, device=kind.device)
        inner = torch.zeros(len(kind), dtype=torch.bool, device=kind.device)
        rows = (kind == SKIN).nonzero()[:, 0]
        light[rows], region[rows], inner[rows] = self._skin(stage, hits.take(rows), front.sample[rows], count)
        for of_kind in (EYE, MOUTH):
            rows = (kind == of_kind).nonzero()[:, 0]
            inner[rows] = True
            light[rows] = (self._eyes if of_kind == EYE else self._mouth)(stage, hits.take(rows))
        rows = (kind == SOLID).nonzero()[:, 0]
        some = hits.take(rows)
        light[rows] = shade.solid(some, self.dresser.colour_texel(some.texture, some.uv), stage.lights)
        rows = (kind == MATT).nonzero()[:, 0]
        some, second = hits.take(rows), soup.tint2[part[rows]]
        dyed = self.dresser.dyed(some.texture, some.uv, (some.tint, second), some.traits[:, 3])
        light[rows] = shade.solid(replace(some, tint=dyed), None, stage.lights)
        total = count * size * size

        def spread(values: Tensor, empty: float | int) -> Tensor:
            out = torch.full((total, *values.shape[1:]), empty, dtype=values.dtype, device=values.device)
            out[front.sample] = values
            return out.reshape(count, size, size, *values.shape[1:])

        return Samples(
            light=spread(light, 0.0).permute(0, 3, 1, 2),
            cover=spread(torch.ones_like(hits.open), 0.0),
            region=spread(region.to(torch.uint8), 0),
            depth=spread(front.depth, 2.0),
            normal=spread(hits.normal, 0.0).permute(0, 3, 1, 2),
            inner=spread(inner, 0).bool(),
            own=spread(region != REGIONS["occluder"], 0).bool(),
        )

    def _skin(self, stage: _Stage, hits: shade.Hits, sample: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
        """Light, regions and inner face of skin; light is spread below the surface on the picture plane."""
        texel = self.space.texel(hits.uv)
        x, y = texel.unbind(1)
        height, width = self.space.size_hw
        inside = (x > -1) & (x < width) & (y > -1) & (y < height)
        at = sample_bank(self.cast.atlases, stage.slots[hits.picture], x, y)
        body = torch.stack([actor.body_colour for actor in stage.actors])[hits.picture]
        plain = ~inside[:, None]
        albedo = torch.where(plain, body, at[:, ALBEDO])
        head = stage.posed.bones[:, self.body.bone_row["head"], :, :3].contiguous()
        slope = torch.where(plain, 0.0, at[:, BUMP] + self._wrinkle_slope(stage, hits.picture, x, y))
        slope = torch.einsum("nij,nj->ni", head.index_select(0, hits.picture), slope)
        look = shade.SkinLook(albedo, slope, at[:, LIPS], at[:, INSIDE], torch.where(inside, at[:, GLOSS], 0.3))
        direct, entering = shade.skin(hits, look, stage.lights)
        light = direct + albedo * self._spread(stage, entering, sample, count)
        region = sample_nearest(self.space.regions[None], torch.zeros_like(hits.picture), x, y).long()
        region = torch.where(inside, region, REGIONS["neck"])
        region = torch.where(inside & (at[:, BROW] > 0.35), REGIONS["brow"], region)
        share = sample_bank(self.space.face[None, ..., None], torch.zeros_like(hits.picture), x, y)[:, 0]
        inner = inside & ((share > 0) | (region == REGIONS["mouth"]))
        return light, region, inner

    def _wrinkle_slope(self, stage: _Stage, picture: Tensor, x: Tensor, y: Tensor) -> Tensor:
        """Folds that the expression draws."""
        active = wrinkling(stage.scenes, stage.actors).to(x.device)[picture]
        out = torch.zeros(len(x), 3, device=x.device)
        rows = (active.amax(1) > 0.03).nonzero()[:, 0]
        if len(rows):
            zero = torch.zeros_like(rows)
            slopes = sample_bank(self.wrinkles, zero, x[rows], y[rows]).reshape(len(rows), -1, 3)
            out[rows] = (slopes * active[rows, :, None]).sum(1)
        return out

    def _spread(self, stage: _Stage, entering: Tensor, sample: Tensor, count: int) -> Tensor:
        size = stage.size
        field = torch.zeros(count * size * size, 4, device=entering.device)
        field[sample, :3] = entering
        field[sample, 3] = 1.0
        per_dm = stage.view.matrix[:, :2, 0].norm(dim=1) / stage.view.distance * size
        far = blur(field.reshape(count, size, size, 4).permute(0, 3, 1, 2), per_dm * SPREAD_DM)
        far = far.permute(0, 2, 3, 1).reshape(-1, 4)[sample]
        share = entering.new_tensor(SPREAD_SHARE)
        return entering * (1 - share) + far[:, :3] / far[:, 3:].clamp(min=1e-3) * share

    def _eyes(self, stage: _Stage, hits: shade.Hits) -> Tensor:
        side = (hits.place[:, 0] < 0).long()
        centres, axes = self.dresser.eyeballs.look(stage.posed)
        tints = torch.tensor([[a.eyes.left_tint, a.eyes.right_tint] for a in stage.actors], device=side.device)
        white = torch.tensor([a.eyes.sclera_tint for a in stage.actors], device=side.device)
        look = shade.EyeLook(
            centres[hits.picture, side],
            axes[hits.picture, side],
            self.dresser.eye_texel(stage.actors, hits.picture, side, hits.uv),
            tints[hits.picture, side],
            white[hits.picture],
        )
        return shade.eye(hits, look, stage.lights)

    def _mouth(self, stage: _Stage, hits: shade.Hits) -> Tensor:
        texel = self.dresser.colour_texel(hits.texture, hits.uv)
        return shade.mouth(hits, texel, stage.lights)

    def _layers(self, stage: _Stage, sheer: Fragments, under: Samples) -> Samples:
        """Hair, beards, lashes and lenses over the opaque samples, front to back."""
        size, count = stage.size, len(stage.actors)
        weights = perspective(sheer, stage.soup.triangles, stage.inverse_w)
        alpha = self.opacity(stage.soup, sheer, weights, exact=True)
        total = count * size * size
        wall = torch.full((total,), 2.0, device=alpha.device)
        thick = alpha > THICK
        wall.scatter_reduce_(0, sheer.sample[thick], sheer.depth[thick], "amin")
        visible = ((alpha > FAINTEST) & (sheer.depth <= wall.index_select(0, sheer.sample))).nonzero()[:, 0]
        sheer, alpha = sheer.take(visible), alpha[visible]
        light = torch.zeros(total, 3, device=alpha.device)
        through = torch.ones(total, device=alpha.device)
        region, depth = under.region.reshape(-1).long(), under.depth.reshape(-1)
        own, shown = under.own.reshape(-1).clone(), torch.zeros(total, dtype=torch.bool, device=alpha.device)
        inner = under.inner.reshape(-1).clone()
        for found in peel(sheer, total, LAYERS):
            rows = found[through.index_select(0, sheer.sample.index_select(0, found)) > FAINTEST]
            layer, opacity = sheer.take(rows), alpha[rows]
            at = layer.sample
            colour, part, opacity = self._sheer(stage, layer, opacity)
            light[at] += colour * through[at, None]
            through[at] *= 1 - opacity
            hides = (through[at] < 0.5) & ~shown[at] & (stage.soup.kind[part] != LENS)
            rows = at[hides]
            region[rows], depth[rows] = stage.soup.region[part[hides]], layer.depth[hides]
            shown[rows] = True
            own[at] = True
            inner[at[stage.soup.kind[part] == LASH]] = True
        shape = (count, size, size)
        through = through.reshape(shape)
        light = light.reshape(*shape, 3).permute(0, 3, 1, 2) + under.light * through[:, None]
        return replace(
            under,
            light=light,
            cover=1 - (1 - under.cover) * through,
            region=region.reshape(shape).to(torch.uint8),
            depth=depth.reshape(shape),
            own=own.reshape(shape),
            inner=inner.reshape(shape),
        )

    def _sheer(self, stage: _Stage, layer: Fragments, opacity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Premultiplied colour of one layer, its parts, and its opacity: shells of hair fade where seen edge-on."""
        hits, part = self._hits(stage, layer)
        kind = stage.soup.kind[part]
        shell = (kind == HAIR) & (hits.traits[:, 2] > 1)
        facing = (shade.dot(hits.normal, hits.view).abs() / 0.5).clamp(max=1)
        opacity = torch.where(shell, opacity * facing, opacity)
        luminance = self.dresser.alpha_texel(hits.texture, hits.uv)[:, 0]
        colour, close = torch.zeros_like(hits.position), self.dresser.samples_per_dm > STRANDS_FROM
        rows = (kind == HAIR).nonzero()[:, 0]
        colour[rows] = shade.hair(hits.take(rows), luminance[rows], stage.lights, strands=close) * opacity[rows, None]
        rows = (kind == LASH).nonzero()[:, 0]
        some = hits.take(rows)
        ambient = stage.lights.irradiance(some.picture, F.normalize(stage.camera[some.picture], dim=1)) * 0.6
        colour[rows] = some.tint * ambient * opacity[rows, None]
        rows = (kind == LENS).nonzero()[:, 0]
        colour[rows] = shade.lens(hits.take(rows), stage.lights)
        return colour, part, opacity


def screen_weights(fragments: Fragments) -> Float[Tensor, "f 3"]:
    one, two = fragments.weights.unbind(1)
    return torch.stack([one, two, 1 - one - two], 1)


def dot_sign(normal: Tensor, view: Tensor) -> Tensor:
    return shade.dot(normal, view)[:, None] > 0
