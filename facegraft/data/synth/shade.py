"""What each kind of surface looks like in linear light: one shading model for every device.

Skin is matt light that wraps around and wanders under the surface, plus two glossy lobes (GGX, Walter et al. 2007);
eyes have a cornea; hair has two shifted highlights along the strand (Kajiya-Kay, after Marschner et al. 2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from facegraft.data.synth.illumination import GLOSSY, MIRROR, SOFT, Lights
from facegraft.data.synth.lookup import noise

WRAP = (0.24, 0.12, 0.08)
"""How far red, green and blue light reaches around the edge of the shadow side of skin."""
SHADOW_POWER = (0.65, 0.9, 1.0)
"""Shadow edges on skin are red: light leaks into them below the surface."""
IRIS_EDGE, PUPIL = 0.485, 0.17
"""Sine of the angle from the eye's axis to the limbus and to the pupil's edge."""


@dataclass(frozen=True)
class Hits:
    """Points to shade. Unit vectors; `shadow` is the share of the key lamp that arrives."""

    picture: Int64[Tensor, "n"]
    position: Float[Tensor, "n 3"]
    normal: Float[Tensor, "n 3"]
    view: Float[Tensor, "n 3"]
    uv: Float[Tensor, "n 2"]
    place: Float[Tensor, "n 3"]
    shade: Float[Tensor, "n"]
    open: Float[Tensor, "n"]
    shadow: Float[Tensor, "n"]
    tint: Float[Tensor, "n 3"]
    traits: Float[Tensor, "n 4"]
    texture: Int64[Tensor, "n"]

    def take(self, rows: Tensor) -> Hits:
        return Hits(*(getattr(self, name).index_select(0, rows) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class SkinLook:
    """What the atlas says of points of skin."""

    albedo: Float[Tensor, "n 3"]
    slope: Float[Tensor, "n 3"]
    lips: Float[Tensor, "n"]
    inside: Float[Tensor, "n"]
    gloss: Float[Tensor, "n"]


def ggx(n: Tensor, v: Tensor, light: Tensor, roughness: Tensor, f0: Tensor | float) -> Tensor:
    """Microfacet reflection times the cosine, per unit irradiance / pi."""
    h = F.normalize(v + light, dim=1)
    nl, nv = dot(n, light).clamp(min=0), dot(n, v).clamp(min=0.06)
    nh, vh = dot(n, h).clamp(min=0), dot(v, h).clamp(min=0)
    a = roughness * roughness
    spread = a * a / (nh * nh * (a * a - 1) + 1).square()
    k = a * 0.5
    masking = 1 / ((nl * (1 - k) + k) * (nv * (1 - k) + k) * 4)
    return spread * masking * (f0 + (1 - f0) * (1 - vh) ** 5) * nl


def fresnel(cosine: Tensor, f0: Tensor | float, roughness: Tensor | float) -> Tensor:
    top = torch.as_tensor(1 - roughness, device=cosine.device).clamp(min=0.04)
    return f0 + (top - f0).clamp(min=0) * (1 - cosine.clamp(0, 1)) ** 5


def dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(1)


def mirrored(hits: Hits, normal: Tensor) -> Tensor:
    return 2 * dot(normal, hits.view)[:, None] * normal - hits.view


def bounced(open_: Tensor, albedo: Tensor) -> Tensor:
    """Ambient visibility with light from neighbouring skin of the same colour (after Jimenez et al. 2016)."""
    o = open_[:, None]
    return o / (1 - albedo.clamp(max=0.9) * 0.75 * (1 - o))


def skin(hits: Hits, look: SkinLook, lights: Lights) -> tuple[Tensor, Tensor]:
    """Reflections, and light that enters the skin (to be spread, then multiplied by the albedo)."""
    normal = F.normalize(hits.normal - look.slope, dim=1)
    key, colour = lights.key(hits.picture)
    wrap = normal.new_tensor(WRAP)
    facing = ((dot(normal, key)[:, None] + wrap) / (1 + wrap)).clamp(0, 1)
    reddened = hits.shadow[:, None] ** normal.new_tensor(SHADOW_POWER)
    around = lights.irradiance(hits.picture, normal) * bounced(hits.open, look.albedo)
    entering = around + colour * facing * reddened
    rough = (0.58 - 0.14 * look.gloss - 0.05 * look.lips).clamp(0.34, 0.7)
    dry = 1 - 0.65 * look.inside
    f0 = 0.026 * dry
    lobes = 0.72 * ggx(normal, hits.view, key, rough, f0) + 0.13 * ggx(normal, hits.view, key, rough * 0.62, f0)
    back = lights.reflected(hits.picture, mirrored(hits, normal), SOFT)
    amount = fresnel(dot(normal, hits.view), f0, rough) * (0.26 + 0.36 * look.gloss)
    cover = hits.open.square() * dry
    luminance = look.albedo.mean(1)
    amount = amount * (0.55 + 0.45 * (luminance / 0.3).clamp(max=1))  # else dark skin turns grey
    return colour * (lobes * hits.shadow)[:, None] + back * (amount * cover)[:, None], entering


@dataclass(frozen=True)
class EyeLook:
    """Per point: the eyeball's centre and axis, and its colours."""

    centre: Float[Tensor, "n 3"]
    axis: Float[Tensor, "n 3"]
    texel: Float[Tensor, "n 3"]
    """Linear colour of the eye's texture."""
    iris_tint: Float[Tensor, "n 3"]
    white_tint: Float[Tensor, "n 3"]


def eye(hits: Hits, look: EyeLook, lights: Lights) -> Tensor:
    """White, iris with a dark rim, and the wet cornea that bulges over it."""
    out = F.normalize(hits.position - look.centre, dim=1)
    cosine = dot(out, look.axis).clamp(-1, 1)
    sine = (1 - cosine.square()).clamp(min=0).sqrt()
    sine = torch.where(cosine > 0, sine, torch.ones_like(sine))
    white = smooth(sine, IRIS_EDGE - 0.035, IRIS_EDGE + 0.03)[:, None]
    grey = look.texel.mean(1, keepdim=True)
    iris = torch.lerp(look.texel, grey, 0.2) * look.iris_tint * 0.62
    rim = 1 - 0.55 * smooth(sine, IRIS_EDGE - 0.11, IRIS_EDGE)[:, None]
    pupil = smooth(sine, PUPIL - 0.03, PUPIL + 0.03)[:, None]
    sclera = torch.lerp(look.texel, grey, 0.35) * 0.86 * look.white_tint
    albedo = iris * rim * pupil * (1 - white) + sclera * white
    key, colour = lights.key(hits.picture)
    facing = ((dot(out, key) + 0.25) / 1.25).clamp(0, 1)
    lit = lights.irradiance(hits.picture, out) * hits.open.sqrt()[:, None] + colour * (facing * hits.shadow)[:, None]
    bulge = F.normalize(out + look.axis * (-0.62 * (1 - white)), dim=1)
    normal = F.normalize(torch.lerp(bulge, out, white), dim=1)
    back = mirrored(hits, normal)
    lamp = lights.key_size[hits.picture].clamp(0.05, 0.5)
    wet = ggx(normal, hits.view, key, (lamp * 0.6).clamp(0.1, 0.3), 0.03).clamp(max=14)
    glint = colour * (wet * hits.shadow.clamp(min=0.25))[:, None]  # wet lids hand light on
    lashes = smooth(back[:, 1], 0.75, 0.1)
    seen = (
        lights.reflected(hits.picture, back, MIRROR) * (fresnel(dot(normal, hits.view), 0.055, 0.05) * lashes)[:, None]
    )
    return albedo * lit + glint + seen * hits.open.square()[:, None]


def mouth(hits: Hits, texel: Tensor, lights: Lights) -> Tensor:
    """Teeth and tongue: bright even in the dark mouth, wet."""
    key, colour = lights.key(hits.picture)
    facing = ((dot(hits.normal, key) + 0.35) / 1.35).clamp(0, 1) * (0.35 + 0.65 * hits.shadow)
    depth = hits.open.clamp(min=0.22)
    albedo = texel * hits.tint
    lit = lights.irradiance(hits.picture, hits.normal) * depth[:, None] + colour * (facing * depth.sqrt())[:, None]
    rough = torch.full_like(facing, 0.26)
    wet = ggx(hits.normal, hits.view, key, rough, 0.04) * hits.shadow * depth
    return albedo * lit + colour * wet.clamp(max=4)[:, None]


def solid(hits: Hits, texel: Tensor | None, lights: Lights) -> Tensor:
    """Cloth (rough), plastic, metal frames, hands: `traits` hold roughness and gloss."""
    key, colour = lights.key(hits.picture)
    normal = torch.where(dot(hits.normal, hits.view)[:, None] < 0, -hits.normal, hits.normal)
    albedo = hits.tint if texel is None else texel * hits.tint
    albedo = albedo * hits.shade[:, None]
    facing = ((dot(normal, key) + 0.08) / 1.08).clamp(0, 1) * hits.shadow
    lit = lights.irradiance(hits.picture, normal) * bounced(hits.open, albedo) + colour * facing[:, None]
    rough, gloss = hits.traits[:, 0], hits.traits[:, 1]
    shine = ggx(normal, hits.view, key, rough.clamp(min=0.15), 0.04) * gloss * hits.shadow
    back = lights.reflected(hits.picture, mirrored(hits, normal), GLOSSY)
    amount = fresnel(dot(normal, hits.view), 0.04, rough) * gloss * hits.open.square()
    return albedo * lit + colour * shine.clamp(max=6)[:, None] + back * amount[:, None]


def hair(hits: Hits, luminance: Tensor, lights: Lights, *, strands: bool) -> Tensor:
    """Strands of one colour: `luminance` is the texture's (mean 1), `traits` hold gloss.

    `strands`: samples are close enough together to see single ones; else their mean is shaded.
    """
    fine = strand_noise(hits.place) if strands else torch.full_like(luminance, 0.5)
    colour = hits.tint * (luminance.clamp(0.03, 3.0) ** 0.85 * (0.55 + 0.9 * fine) * hits.shade)[:, None]
    normal = torch.where(dot(hits.normal, hits.view)[:, None] < 0, -hits.normal, hits.normal)
    down = F.normalize(hits.place.new_tensor([[0.0, -1.0, 0.12]]), dim=1)
    strand = F.normalize(down - normal * dot(normal, down.expand_as(normal))[:, None] + 1e-5, dim=1)
    key, lamp = lights.key(hits.picture)
    facing = ((dot(normal, key) + 0.35) / 1.35).clamp(0, 1) * 0.8 * hits.shadow
    around = lights.irradiance(hits.picture, normal) * (0.25 + 0.75 * hits.open)[:, None]
    out = colour * (around + lamp * facing[:, None])
    half = F.normalize(key + hits.view, dim=1)
    shift = (fine - 0.5) * 0.35 + (luminance.clamp(0, 2) - 1) * 0.10
    gloss, front = hits.traits[:, 1], smooth(dot(normal, key), -0.1, 0.5) * hits.shadow
    first = strand_light(strand, normal, half, shift - 0.05, 70.0) * 0.055
    second = strand_light(strand, normal, half, shift + 0.12, 18.0) * 0.55
    shine = (first[:, None] + second[:, None] * colour) * (front * gloss)[:, None]
    sheen = (0.012 + colour * 0.12) * (gloss * smooth(luminance, 0.0, 0.8))[:, None]
    back = lights.reflected(hits.picture, mirrored(hits, F.normalize(normal + strand * shift[:, None], dim=1)), SOFT)
    return out + lamp * shine + back * sheen * hits.open[:, None]


def strand_noise(place: Float[Tensor, "n 3"]) -> Float[Tensor, "n"]:
    """0..1, long and thin as strands are."""
    near, far = place.new_tensor([95.0, 5.0, 95.0]), place.new_tensor([38.0, 2.0, 38.0])
    return 0.6 * noise(place * near) + 0.4 * noise(place * far)


def strand_light(strand: Tensor, normal: Tensor, half: Tensor, shift: Tensor, power: float) -> Tensor:
    along = dot(F.normalize(strand + normal * shift[:, None], dim=1), half)
    return (1 - along.square()).clamp(min=0) ** power


def lens(hits: Hits, lights: Lights) -> Tensor:
    """Light that a lens adds: its tint's own colour and the mirrored surroundings (premultiplied)."""
    normal = torch.where(dot(hits.normal, hits.view)[:, None] < 0, -hits.normal, hits.normal)
    back = lights.reflected(hits.picture, mirrored(hits, normal), MIRROR)
    amount = fresnel(dot(normal, hits.view), 0.035, 0.0)
    own = hits.tint * lights.irradiance(hits.picture, normal) * 0.4 * hits.traits[:, 1:2]
    return own + back * amount[:, None] * 0.6


def smooth(x: Tensor, low: float, high: float) -> Tensor:
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)
