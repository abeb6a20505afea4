"""Radiance maps and key lamps of scenes, batched: from lamps and gradients, or from photographed environments.

Directions: x to the frame's right, y up, z to the camera. A map is latitude by longitude: row 0 looks up, the columns
begin behind the person, pass the frame's left, the camera (the map's middle), the frame's right, and end behind.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.core.files import entries, read_bytes, shown
from facegraft.data.synth.lamps import Light, Lobe

LOG = logging.getLogger(__name__)
ROWS, COLUMNS = 16, 32
BANK_ROWS, BANK_COLUMNS = 32, 64
LUMINANCE = (0.2126, 0.7152, 0.0722)
FRONTAL_NORMALS = ((0.0, 0.0, 1.0), (0.643, 0.0, 0.766), (-0.643, 0.0, 0.766))
"""A face's middle and its cheeks: what the camera's automatic exposure looks at."""
BRIGHTEST_KEY = 6.0
"""A lamp behind the person is kept below this: a camera gives up part of a dark face rather than burn all the rest."""
KEY_CAP_DEGREES = 16.0
SUBSAMPLES = 2

Radiance = Float32[np.ndarray, "_h _w 3"]


@dataclass(frozen=True)
class Environments:
    """The light of a batch of scenes.

    Attributes:
        maps: Radiance without the key lamp, linear RGB.
        key_direction: Unit vectors to the key lamp.
        key_colour: Irradiance / pi of a surface that faces it.
        key_size_degrees: Its angular diameter, 1 to 30.
    """

    maps: Float[Tensor, "b 16 32 3"]
    key_direction: Float[Tensor, "b 3"]
    key_colour: Float[Tensor, "b 3"]
    key_size_degrees: Float[Tensor, " b"]


@dataclass(frozen=True)
class LightBank:
    """Photographed environments, each with its brightest lamp taken out; rows as in `Environments`, may be none."""

    maps: Float[Tensor, "k 32 64 3"]
    key_direction: Float[Tensor, "k 3"]
    key_colour: Float[Tensor, "k 3"]
    key_size_degrees: Float[Tensor, " k"]

    def __len__(self) -> int:
        return len(self.maps)


def light_bank(folder: Path | None = None) -> LightBank:
    """Every .hdr file of a folder (Radiance RGBE, latitude by longitude, such as Poly Haven's), by name; none without.

    Raises:
        BadInputError: The folder holds no .hdr file, or one that cannot be read.
    """
    if folder is None:
        return LightBank(torch.zeros(0, BANK_ROWS, BANK_COLUMNS, 3), *(torch.zeros(0, 3),) * 2, torch.zeros(0))
    paths = [path for path in entries(folder) if path.suffix.lower() == ".hdr"]
    if not paths:
        raise BadInputError(f"{shown(folder)}: expected .hdr environments, found none; name a folder that holds some")
    parts = []
    for path in paths:
        # A panorama's columns grow to the right of one who looks at its middle: our -x, as ours looks to the camera.
        residual, direction, colour, size = take_key(np.ascontiguousarray(read_hdr(path)[:, ::-1]))
        parts.append((torch.from_numpy(shrunk(residual, BANK_ROWS, BANK_COLUMNS)), direction, colour, size))
    LOG.info("%s: %d environments", shown(folder), len(parts))
    return LightBank(
        torch.stack([p[0] for p in parts]),
        torch.tensor(np.stack([p[1] for p in parts]), dtype=torch.float32),
        torch.tensor(np.stack([p[2] for p in parts]), dtype=torch.float32),
        torch.tensor([p[3] for p in parts], dtype=torch.float32),
    )


def environments(
    lights: Sequence[Light], bank: LightBank | None = None, device: torch.device | str = "cpu"
) -> Environments:
    """Light of each scene, exposed as a camera would that looks at the face.

    The irradiance / pi of three frontal normals has luminance 1 on average, or less under a strong lamp from behind,
    times the light's own `exposure`. Scenes whose light says so are lit by an environment of
    the bank, where there is one.
    """
    drawn = _balanced(_drawn(lights), 0.4)
    measured = [i for i, light in enumerate(lights) if light.measured >= 0] if bank is not None and len(bank) else []
    if bank is not None and measured:
        turned = _turned(bank, [lights[i] for i in measured])
        rows = torch.tensor(measured)
        for mine, theirs in zip(
            (drawn.maps, drawn.key_direction, drawn.key_colour, drawn.key_size_degrees),
            (turned.maps, turned.key_direction, turned.key_colour, turned.key_size_degrees),
            strict=True,
        ):
            mine[rows] = theirs
    seen = irradiance(drawn, torch.tensor(FRONTAL_NORMALS)).mean(1)
    luminance = torch.tensor(LUMINANCE)
    front = torch.maximum(seen @ luminance, drawn.key_colour @ luminance / BRIGHTEST_KEY)
    factor = torch.tensor([light.exposure for light in lights]) / front.clamp(min=1e-4)
    return Environments(
        (drawn.maps * factor[:, None, None, None]).to(device),
        drawn.key_direction.to(device),
        (drawn.key_colour * factor[:, None]).to(device),
        drawn.key_size_degrees.to(device),
    )


def irradiance(light: Environments, normals: Float[Tensor, "n 3"]) -> Float[Tensor, "b n 3"]:
    """Unshadowed irradiance / pi of surfaces with these unit normals: 1 under a white sphere of radiance 1."""
    directions, weights = sphere(ROWS, COLUMNS)
    cosines = (normals @ directions.reshape(-1, 3).to(normals).T).clamp(min=0) * weights.reshape(-1).to(normals)
    spread = torch.einsum("np,bpc->bnc", cosines / math.pi, light.maps.flatten(1, 2))
    facing = (light.key_direction @ normals.T).clamp(min=0)
    return spread + facing[..., None] * light.key_colour[:, None]


def behind(light: Environments) -> Float[Tensor, "b 3"]:
    """Mean radiance of what a camera sees behind the person: half the quarter of the sphere there, half all around."""
    directions, weights = sphere(ROWS, COLUMNS)
    total = weights.to(light.maps)
    back = total * (directions[..., 2] < -0.5).to(total)
    mix = 0.5 * back / back.sum() + 0.5 * total / total.sum()
    lamp = math.pi * light.key_colour / (4 * math.pi)
    return torch.einsum("hw,bhwc->bc", mix, light.maps) + 0.5 * lamp


def harmonics(light: Environments, *, with_key: bool = True) -> Float[Tensor, "b 9 3"]:
    """Coefficients of the radiance in nine real, orthonormal spherical harmonics (order of `harmonic_basis`).

    The key lamp counts as a point, and only if `with_key`.
    """
    directions, weights = sphere(ROWS, COLUMNS)
    basis = (harmonic_basis(directions.reshape(-1, 3)) * weights.reshape(-1, 1)).to(light.maps)
    out = torch.einsum("pk,bpc->bkc", basis, light.maps.flatten(1, 2))
    if with_key:
        out = out + harmonic_basis(light.key_direction)[:, :, None] * light.key_colour[:, None] * math.pi
    return out


def harmonic_irradiance(coefficients: Float[Tensor, "b 9 3"], normals: Float[Tensor, "n 3"]) -> Float[Tensor, "b n 3"]:
    """Irradiance / pi of unit normals from `harmonics`; within 1 % under smooth light.

    Ramamoorthi & Hanrahan, "An efficient representation for irradiance environment maps" (2001), equation 8.
    """
    cosine = torch.tensor([1.0] + [2 / 3] * 3 + [0.25] * 5).to(normals)
    return torch.einsum("nk,bkc->bnc", harmonic_basis(normals) * cosine, coefficients)


def harmonic_basis(directions: Float[Tensor, "n 3"]) -> Float[Tensor, "n 9"]:
    """Real spherical harmonics to order 2, orthonormal on the sphere: 1, y, z, x, xy, yz, 3zz-1, zx, xx-yy."""
    x, y, z = directions.unbind(1)
    a, b, c = 0.5 / math.sqrt(math.pi), math.sqrt(3 / (4 * math.pi)), 0.5 * math.sqrt(15 / math.pi)
    d = 0.25 * math.sqrt(5 / math.pi)
    parts = (a * torch.ones_like(x), b * y, b * z, b * x, c * x * y, c * y * z)
    return torch.stack([*parts, d * (3 * z * z - 1), c * z * x, 0.5 * c * (x * x - y * y)], 1)


def sphere(rows: int, columns: int) -> tuple[Float[Tensor, "h w 3"], Float[Tensor, "h w"]]:
    """Directions of a map's pixel centres and the solid angles of its pixels, which add up to 4 pi."""
    edges = torch.linspace(math.pi / 2, -math.pi / 2, rows + 1, dtype=torch.float64)
    elevation = (edges[:-1] + edges[1:]) / 2
    azimuth = (torch.arange(columns, dtype=torch.float64) + 0.5) / columns * 2 * math.pi - math.pi
    level = elevation.cos()[:, None]
    directions = torch.stack(
        [level * azimuth.sin(), elevation.sin()[:, None].expand(-1, columns), level * azimuth.cos()], -1
    )
    weights = (edges[:-1].sin() - edges[1:].sin()) * 2 * math.pi / columns
    return directions.float(), weights[:, None].expand(-1, columns).float()


def towards(azimuth: float, elevation: float) -> tuple[float, float, float]:
    """Unit vector of a lamp's angles in degrees."""
    a, e = math.radians(azimuth), math.radians(elevation)
    return math.sin(a) * math.cos(e), math.sin(e), math.cos(a) * math.cos(e)


def _drawn(lights: Sequence[Light]) -> Environments:
    """Sky, ground and lobes, averaged over each pixel; the key lamp apart."""
    most = max((len(light.lobes) for light in lights), default=0) or 1
    dark = Lobe(0.0, 0.0, (0.0, 0.0, 0.0), 1.0)
    lobes = [[*light.lobes, *[dark] * (most - len(light.lobes))] for light in lights]
    axes = torch.tensor([[towards(lobe.azimuth, lobe.elevation) for lobe in row] for row in lobes])
    colours = torch.tensor([[lobe.radiance for lobe in row] for row in lobes])
    sharpness = torch.tensor([[[lobe.sharpness] for lobe in row] for row in lobes])
    directions, weights = sphere(ROWS * SUBSAMPLES, COLUMNS * SUBSAMPLES)
    points = directions.reshape(-1, 3)
    up = ((points[:, 1] * 0.5 + 0.5) ** 1.2)[None, :, None]
    sky, ground = (torch.tensor([getattr(light, name) for light in lights])[:, None] for name in ("sky", "ground"))
    glow = torch.exp(sharpness * (torch.einsum("bld,pd->blp", axes, points) - 1))
    fine = up * sky + (1 - up) * ground + torch.einsum("blp,blc->bpc", glow, colours)
    return Environments(
        _pooled(fine.reshape(len(lights), *weights.shape, 3), weights),
        torch.tensor([towards(light.key_azimuth, light.key_elevation) for light in lights]),
        torch.tensor([light.key for light in lights]),
        torch.tensor([light.key_size for light in lights]),
    )


def _turned(bank: LightBank, lights: Sequence[Light]) -> Environments:
    """Environments of the bank, turned about the vertical and tipped sideways."""
    rows = torch.tensor([min(int(light.measured * len(bank)), len(bank) - 1) for light in lights])
    turn, tilt = (torch.deg2rad(torch.tensor([getattr(light, n) for light in lights])) for n in ("turn", "tilt"))
    rotation = _rotation(tilt, 2) @ _rotation(turn, 1)
    directions, weights = sphere(ROWS * SUBSAMPLES, COLUMNS * SUBSAMPLES)
    looked = torch.einsum("bji,pj->bpi", rotation, directions.reshape(-1, 3))  # the inverse turn
    column = torch.atan2(looked[..., 0], looked[..., 2]) / math.pi
    row = -torch.asin(looked[..., 1].clamp(-1, 1)) / (math.pi / 2)
    wrapped = torch.cat([bank.maps[rows][:, :, -1:], bank.maps[rows], bank.maps[rows][:, :, :1]], 2)
    grid = torch.stack([column * BANK_COLUMNS / (BANK_COLUMNS + 2), row], -1)[:, None]
    fine = torch.nn.functional.grid_sample(
        wrapped.permute(0, 3, 1, 2), grid, mode="bilinear", padding_mode="border", align_corners=False
    )
    fine = fine[:, :, 0].permute(0, 2, 1).reshape(len(lights), *weights.shape, 3)
    direction = torch.einsum("bij,bj->bi", rotation, bank.key_direction[rows])
    out = Environments(_pooled(fine, weights), direction, bank.key_colour[rows], bank.key_size_degrees[rows])
    return _balanced(out, 0.7)


def _balanced(light: Environments, strength: float) -> Environments:
    """White balance of a camera that goes this share of the way to a face lit by grey."""
    seen = irradiance(light, torch.tensor(FRONTAL_NORMALS)).mean(1).clamp(min=1e-6)
    factor = ((seen @ torch.tensor(LUMINANCE))[:, None] / seen) ** strength
    return dataclasses.replace(light, maps=light.maps * factor[:, None, None], key_colour=light.key_colour * factor)


def _rotation(angle: Float[Tensor, " b"], axis: int) -> Float[Tensor, "b 3 3"]:
    """About x, y or z (0, 1, 2)."""
    out = torch.eye(3).repeat(len(angle), 1, 1)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, i, i] = out[:, j, j] = angle.cos()
    out[:, j, i], out[:, i, j] = angle.sin(), -angle.sin()
    return out


def _pooled(fine: Float[Tensor, "b h w 3"], weights: Float[Tensor, "h w"]) -> Float[Tensor, "b 16 32 3"]:
    """Mean radiance of each block of subsamples, weighted by their solid angles."""
    count = len(fine)
    lit = (weights[..., None] * fine).reshape(count, ROWS, SUBSAMPLES, COLUMNS, SUBSAMPLES, 3).sum((2, 4))
    pooled: Tensor = lit / sphere(ROWS, COLUMNS)[1][..., None]
    return pooled


def shrunk(radiance: Radiance, rows: int, columns: int) -> Radiance:
    """A map made smaller by whole factors, or nearly: every pixel's light counts by its solid angle, none is lost."""
    height, width = radiance.shape[:2]
    out = _overlap(height, rows, polar=True) @ radiance.astype(np.float64).reshape(height, -1)
    out = np.einsum("xw,rwc->rxc", _overlap(width, columns, polar=False), out.reshape(rows, width, 3))
    return np.asarray(out, np.float32)


def _overlap(fine: int, coarse: int, *, polar: bool) -> Float[np.ndarray, "coarse fine"]:
    """How much of each fine pixel falls into each coarse one, rows adding up to 1."""

    def edges(count: int) -> np.ndarray:
        even = np.linspace(0.0, 1.0, count + 1)
        return np.asarray(-np.cos(np.pi * even) if polar else even)

    a, b = edges(fine), edges(coarse)
    shared = np.minimum(a[None, 1:], b[1:, None]) - np.maximum(a[None, :-1], b[:-1, None])
    shared = np.maximum(shared, 0)
    return np.asarray(shared / shared.sum(1, keepdims=True))


def take_key(radiance: Radiance) -> tuple[Radiance, Float[np.ndarray, "3"], Float[np.ndarray, "3"], float]:
    """The brightest lamp taken out of a map.

    Within 16 degrees of the brightest spot (in a map of 32 rows), what exceeds the ring around it becomes a directional
    lamp; the light of map and lamp together stays the same.

    Returns:
        The rest of the map; unit direction, irradiance / pi and angular diameter in degrees (1 to 30) of the lamp.
    """
    directions, weights = (part.double().numpy() for part in sphere(*radiance.shape[:2]))
    blurred = shrunk(radiance, BANK_ROWS, BANK_COLUMNS) @ np.array(LUMINANCE)
    coarse = sphere(BANK_ROWS, BANK_COLUMNS)[0].double().numpy()
    peak = coarse[np.unravel_index(blurred.argmax(), blurred.shape)]
    cosine = directions @ peak
    cap = cosine > math.cos(math.radians(KEY_CAP_DEGREES))
    ring = ~cap & (cosine > math.cos(math.radians(1.6 * KEY_CAP_DEGREES)))
    around = (radiance[ring] * weights[ring][:, None]).sum(0) / weights[ring].sum()
    excess = np.where(cap[..., None], np.maximum(radiance - around, 0), 0) * weights[..., None]
    light = excess @ np.array(LUMINANCE)
    if light.sum() <= 0:
        return radiance, np.array([0.0, 0.0, 1.0]), np.zeros(3), 30.0
    centre = (directions * light[..., None]).sum((0, 1))
    centre /= np.linalg.norm(centre)
    squares = np.arccos(np.clip(directions @ centre, -1, 1)) ** 2
    size = math.degrees(2 * math.sqrt(2 * (squares * light).sum() / light.sum()))  # of an even disc with this spread
    rest = radiance - excess / weights[..., None]
    return rest.astype(np.float32), centre, excess.sum((0, 1)) / math.pi, min(max(size, 1.0), 30.0)


def read_hdr(path: Path) -> Radiance:
    """A Radiance picture (.hdr): linear RGB, row 0 on top.

    Ward, "Real pixels", Graphics Gems II (1991): a shared exponent, each line run-length coded channel by channel.

    Raises:
        BadInputError: Not such a file, damaged, or turned otherwise.
    """
    data = read_bytes(path)
    head, _, rest = data.partition(b"\n\n")
    size, _, body = rest.partition(b"\n")
    words = size.split()
    known = head.startswith((b"#?RADIANCE", b"#?RGBE")) and b"FORMAT=32-bit_rle_rgbe" in head
    if not known or len(words) != 4 or words[0] != b"-Y" or words[2] != b"+X" or not (words[1] + words[3]).isdigit():
        raise BadInputError(f"{shown(path)}: expected a Radiance .hdr picture (RGBE, -Y +X), found another format")
    height, width = int(words[1]), int(words[3])
    try:
        pixels = _unpacked(body, height, width)
    except (IndexError, ValueError) as error:
        raise BadInputError(
            f"{shown(path)}: expected {height} lines of {width} pixels, found damage; fetch it again"
        ) from error
    scale = np.where(pixels[..., 3:] > 0, np.ldexp(np.float32(1), pixels[..., 3:].astype(np.int32) - 136), 0)
    return (pixels[..., :3] * scale).astype(np.float32)


def _unpacked(body: bytes, height: int, width: int) -> np.ndarray:
    if body[:2] != b"\x02\x02":  # never run-length coded
        return np.frombuffer(body, np.uint8, height * width * 4).reshape(height, width, 4)
    out, at = bytearray(), 0
    for _ in range(height):
        if body[at : at + 4] != bytes((2, 2, width >> 8, width & 255)):
            raise ValueError("a line without its mark")
        at += 4
        line_end = len(out) + 4 * width
        while len(out) < line_end:
            count = body[at]
            if count > 128:
                out += body[at + 1 : at + 2] * (count - 128)
                at += 2
            else:
                out += body[at + 1 : at + 1 + count]
                at += 1 + count
        if len(out) != line_end:
            raise ValueError("a run past the line's end")
    return np.frombuffer(bytes(out), np.uint8).reshape(height, 4, width).transpose(0, 2, 1)
