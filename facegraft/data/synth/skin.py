"""The baked skin of a person: colour, height and masks of the head's texture, computed once per person.

Colours are mixed as logarithms of linear light, where pigment, blood and paint add up (Beer and Lambert's law), and
turned into colour once at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.data.synth import skin_fields
from facegraft.data.synth.brows import brow_alpha
from facegraft.data.synth.complexion import Complexions
from facegraft.data.synth.parts import Skin
from facegraft.data.synth.people import Person
from facegraft.data.synth.skin_marks import MarkPainter
from facegraft.data.synth.skin_photos import SMOOTH_HW, PhotoBank, full_noise, read_mask, resized
from facegraft.data.synth.skin_space import read_space
from facegraft.data.synth.skin_tone import BLOOD, MELANIN, pigment_colour, skin_tone
from facegraft.data.synth.wrinkles import age_lines, expression_wrinkles

SCALES = (1.0, 0.5, 0.25)
MASKS = ("lips", "mouth", "ears", "gloss", "beard", "brow")
BLUSH, FLUSH, UNDER_EYE = range(3)
LIP_PALE = np.array((-0.22, -0.64, -0.56), np.float32)
LIP_DARK = np.array((-0.10, -0.30, -0.24), np.float32)
"""Log colour of lips against the skin around them, without and with full pigment."""
MOUTH = (0.30, 0.085, 0.075)
HAIR_BELOW = np.array((0.62, 0.56, 0.47), np.float32)
"""How shaved hair below the skin dims red, green and blue: it looks bluish."""
UNDER_EYE_DIM = np.array((0.30, 0.40, 0.27), np.float32)
CREASE_DIM = np.array((13.0, 18.0, 19.0), np.float32)
"""Log darkening of a crease per decimetre of depth."""
PORE_DEPTH, FINE_DEPTH, LIP_LINE_DEPTH = 0.0007, 0.0042, 0.0028
COUNT_OF_SMOOTH = 8
BROW_CHANGE = (-1.2, 0.25)
"""Least and greatest log colour that a complexion adds to the hairs of a brow, which hide the skin's own."""


@dataclass(frozen=True)
class SkinMaps:
    """Textures of the head rectangle (see `skin_space`), float32 on the CPU."""

    albedo: Float[Tensor, "3 h w"]
    """Linear RGB, brows and make-up painted in."""
    height: Float[Tensor, "1 h w"]
    """Decimetres above the mesh: pores, creases, scars, moles, lip lines."""
    masks: Float[Tensor, "6 h w"]
    """In the order of `MASKS`: lips, mouth interior, ears, oiliness, where this person's beard grows, painted brow."""
    body_colour: Float[Tensor, "3"]
    """Linear colour of the skin where the neck begins, beard left out, for the rest of the body."""


class SkinBaker:
    """Bakes people's skins at one scale: 1 (1696 x 752), 1/2 or 1/4. Photographs are read on first use and kept.

    Attributes:
        wrinkles: (4, h, w) heights, decimetres, that expressions switch on: forehead lines, frown lines, crow's feet
            and lower lids, nose-to-mouth folds and nose bridge. Shared by all people; scale them with
            `wrinkle_strength(person.skin)`.
    """

    def __init__(self, assets: Path, scale: float | int = 0.5) -> None:
        if float(scale) not in SCALES:
            raise BadInputError(f"expected a skin scale of 1, 0.5 or 0.25, found {scale}")
        self.assets, self.scale = assets, float(scale)
        self.space = read_space(assets, scale)
        lips, mouth, ears, face = (read_mask(assets, n, self.space) for n in ("lips", "inside-mouth", "ears", "face"))
        self._lips_np = lips
        self.photos = PhotoBank(assets, self.space, (face > 0.9) & (lips < 0.05))
        self._static = [torch.from_numpy(np.ascontiguousarray(mask)) for mask in (lips, mouth, ears)]
        self._gloss = torch.from_numpy(skin_fields.gloss(self.space, lips))
        self._beards = skin_fields.beard_region(self.space, lips)
        self._box = _bounds(skin_fields.bare_front(self.space) > 0)
        self._lip_box, self._mouth_box = _bounds(lips > 0.01), _bounds(mouth > 0.002)
        self.wrinkles = torch.from_numpy(expression_wrinkles(self.space))
        self._creases = np.concatenate([self.wrinkles.numpy(), age_lines(self.space)[None]])[:, *self._box]
        self._lids = np.stack([skin_fields.eye_shadow(self.space), skin_fields.eyeliner(self.space)])
        self._lid_box = _bounds(self._lids.max(0) > 0.003)
        self._read_smooth()
        coarse = read_space(assets, SCALES[-1]) if self.scale != SCALES[-1] else self.space
        self._marks = MarkPainter(self.space, coarse)
        self._complexions = Complexions(coarse, self._beards["full"])
        size = self.space.size_hw
        self._pores = torch.from_numpy(_pore_noise(size))
        self._dots = torch.from_numpy(np.clip(full_noise(33, (0.9, 0.9), size), 0, None))
        self._lip_noise = full_noise(34, (8.0, 1.5), size)
        self._brows: dict[str, tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]] = {}
        hem = self.space.head & (self.space.from_neck < 0.3) & (self.photos.scalp < 0.02)
        self._hem = torch.from_numpy(hem)
        self._fade = torch.from_numpy(np.clip(1.15 - self.space.from_neck / 0.20, 0, 1) * (self.space.head > 0))

    def _read_smooth(self) -> None:
        """Smooth maps on the coarse grid: fields of the face, and a basis of random waves in space (no seams)."""
        names = (skin_fields.blush, skin_fields.flush, skin_fields.under_eyes)
        self._soft = np.stack([resized(make(self.space), SMOOTH_HW) for make in names])
        self._scalp = resized(np.clip((self.photos.scalp - 0.7) / 0.3, 0, 1) ** 2, SMOOTH_HW)
        self._shaved = {style: resized(region, SMOOTH_HW) for style, region in self._beards.items()}
        places = resized(np.ascontiguousarray(self.space.places.transpose(1, 2, 0)), SMOOTH_HW)
        rng = np.random.default_rng(35)
        waves = []
        for length in np.repeat((1.4, 0.7, 0.40, 0.25), 14):
            direction = rng.normal(size=3)
            phase = places @ (2 * np.pi / length * direction / np.linalg.norm(direction)).astype(np.float32)
            waves.append(np.sqrt(2) * np.sin(phase + rng.uniform(0, 2 * np.pi)) * (length / 1.4) ** 0.5)
        self._waves = np.stack(waves).astype(np.float32).reshape(len(waves), -1)
        self._wave_spread = float(np.sqrt((self._waves**2).mean(1).sum()))

    def bake(self, person: Person) -> SkinMaps:
        """Everything of a person's skin. The same person gives the same maps."""
        skin, rng = person.skin, np.random.default_rng([person.seed, 21])
        coefficients = rng.normal(size=(COUNT_OF_SMOOTH, len(self._waves))).astype(np.float32)
        smooth = (coefficients @ self._waves / self._wave_spread).reshape(-1, *SMOOTH_HW)
        shifts = [tuple(round(4 * self.scale * int(k)) for k in rng.integers(0, 90, 2)) for _ in range(3)]
        structure = self._mix(skin)
        logs, fine = structure[:3], structure[3]
        logs.mul_(skin.contrast)
        logs.add_(self._upsampled(self._smooth_paint(person, smooth)))
        complexion = self._upsampled(self._complexions.paint(skin))
        logs.add_(complexion)
        creases = self._static_creases(skin, rng)
        marks = self._marks.paint(person, smooth)
        tone = torch.tensor(np.log(skin_tone(skin)), dtype=torch.float32)
        body = logs[:, self._hem].mean(1)
        self._paint_stubble(person, logs, shifts[0])
        logs.add_(self._fade * (body[:, None, None] - logs))  # the neck has one colour: no edge where it begins
        self._paint_lips(skin, logs, fine)
        self._paint_lids(skin, logs, tone.numpy())
        box = (slice(None), *self._box)
        logs[box] += torch.from_numpy(CREASE_DIM[:, None, None] * np.minimum(creases, 0))
        self._paint_marks(skin, logs, marks.pigment, marks.blood, marks.pale)
        albedo = logs.add_(tone[:, None, None]).exp_()
        brow = self._paint_brows(person, albedo)
        albedo.mul_((brow * complexion.clamp(*BROW_CHANGE)).exp_())
        self._paint_mouth(albedo)
        albedo.clamp_(0.003, 0.9)
        height = self._height(skin, fine, shifts)
        height[self._box] += torch.from_numpy(creases)
        if marks.height is not None:
            height += torch.from_numpy(marks.height)
        return SkinMaps(albedo, height[None], self._masks(person, brow), (body + tone).exp())

    def _mix(self, skin: Skin) -> Tensor:
        """(4, h, w): the photographs' shares added up; a fresh tensor."""
        (first, share), *rest = skin.photos
        mixed = self.photos.structure(first) * share
        for name, share in rest:
            mixed.add_(self.photos.structure(name), alpha=share)
        return mixed

    def _upsampled(self, small: Float32[np.ndarray, "c a b"]) -> Tensor:
        rows = torch.from_numpy(small)[None]
        return F.interpolate(rows, size=self.space.size_hw, mode="bilinear", align_corners=False)[0]

    def _smooth_paint(self, person: Person, smooth: Float32[np.ndarray, "k a b"]) -> Float32[np.ndarray, "3 a b"]:
        """Log colour of everything without sharp edges."""
        skin = person.skin
        name, share = skin.patch
        where = 1 / (1 + np.exp(-2.0 * smooth[4]))
        out = np.asarray(share * where) * self.photos.smooth(name).numpy()
        shown = 1 - 0.55 * skin.melanin
        blood = 0.10 * skin.unevenness * shown * smooth[5] + shown * (0.10 + 0.16 * skin.redness) * self._soft[FLUSH]
        pigment = 0.055 * skin.unevenness * (smooth[6] + 0.6 * smooth[7])
        under_eye = 0.75 * skin.under_eye * self._soft[UNDER_EYE]
        colour = np.log(np.array(skin.make_up.blush_colour)) - np.log(0.5)
        blush = 0.42 * skin.make_up.blush * self._soft[BLUSH]
        dark = np.clip(-np.log(max(sum(person.hair_colour) / 3, 1e-3)) / 4, 0.2, 1)
        shaved = np.asarray((0.62 + 0.12 * smooth[3]) * dark * self._scalp)
        for field, dim in ((blood, BLOOD), (pigment, MELANIN), (under_eye, UNDER_EYE_DIM), (shaved, HAIR_BELOW)):
            out = out - np.asarray(field)[None] * dim[:, None, None]
        out = out + blush[None] * (colour - 0.3 * colour.max())[:, None, None]
        return np.ascontiguousarray(out, np.float32)

    def _paint_stubble(self, person: Person, logs: Tensor, shift: tuple[int, ...]) -> None:
        """Hair roots: of the shaved beard, or below a grown one."""
        beard, skin = person.beard, person.skin
        style = "full" if beard.style == "none" else beard.style
        amount = max(skin.stubble_shadow, 0.45 * beard.density)
        if amount <= 0:
            return
        dark = float(np.clip(-np.log(max(sum(person.hair_colour) / 3, 1e-3)) / 4, 0.2, 1))
        box = self._box
        region = torch.from_numpy(self._beards[style][box])
        roots = torch.roll(self._dots, shift, (0, 1))[box].mul(0.32).add_(0.65)
        field = region * roots * (0.65 * amount * dark)
        logs[(slice(None), *box)] -= field * torch.from_numpy(HAIR_BELOW)[:, None, None]

    def _paint_lips(self, skin: Skin, logs: Tensor, fine: Tensor) -> None:
        box = self._lip_box
        lips = self._static[0][box]
        natural = LIP_PALE + (LIP_DARK - LIP_PALE) * skin.melanin
        own = torch.from_numpy(0.6 * natural + np.log(np.array(skin.lip_colour, np.float32)))
        window = logs[(slice(None), *box)]
        window += lips * (own[:, None, None] - 0.6 * window)
        lines = torch.from_numpy(self._lip_noise[box]) * (0.07 * skin.lip_lines)
        window += lips * lines
        if skin.make_up.lipstick > 0:
            amount = lips * (0.25 + 0.65 * skin.make_up.lipstick)
            paint = np.log(np.array(skin.make_up.lipstick_colour)) - np.log(skin_tone(skin))
            paint_log = torch.tensor(paint, dtype=torch.float32)[:, None, None] + 0.5 * fine[box] + 0.5 * lines
            window += amount * (paint_log - window)

    def _paint_lids(self, skin: Skin, logs: Tensor, tone: Float32[np.ndarray, "3"]) -> None:
        make_up, box = skin.make_up, self._lid_box
        window = logs[(slice(None), *box)]
        for field, strength, colour in (
            (self._lids[0], 0.75 * make_up.eye_shadow, make_up.eye_shadow_colour),
            (self._lids[1], 0.8 * make_up.eyeliner, (0.012, 0.010, 0.010)),
        ):
            if strength > 0:
                amount = torch.from_numpy(field[box] * np.float32(strength))
                paint = torch.tensor(np.log(np.array(colour)) - tone, dtype=torch.float32)
                window += amount * (paint[:, None, None] - window)

    def _static_creases(self, skin: Skin, rng: np.random.Generator) -> Float32[np.ndarray, "h w"]:
        """Wrinkles that stay, decimetres: each kind with its own share per person; young faces have folds only."""
        own = np.exp(0.35 * rng.normal(size=5)) * (0.55, 0.50, 0.62, 0.55, 0.85)
        weights = own * skin.wrinkles + (0, 0, 0.05, 0.10, 0)
        return np.einsum("k,khw->hw", np.clip(weights, 0, 1.1).astype(np.float32), self._creases)

    def _paint_marks(
        self,
        skin: Skin,
        logs: Tensor,
        pigment: Float32[np.ndarray, "h w"] | None,
        blood: Float32[np.ndarray, "h w"] | None,
        pale: Float32[np.ndarray, "h w"] | None,
    ) -> None:
        """Absorption adds; where pigment is missing the tone moves to that of unpigmented skin."""
        box = (slice(None), *self._box)
        window = logs[box]
        for field, dim in ((pigment, MELANIN), (blood, 1.1 * BLOOD + 0.05)):
            if field is not None:
                window -= torch.from_numpy(field[self._box]) * torch.from_numpy(dim.astype(np.float32))[:, None, None]
        if pale is not None:
            change = np.log(pigment_colour(0.06)) - np.log(skin_tone(skin))
            window += torch.from_numpy(pale[self._box]) * torch.tensor(change, dtype=torch.float32)[:, None, None]

    def _brow(self, style: str) -> tuple[Float32[np.ndarray, "h w"], Float32[np.ndarray, "h w"]]:
        """Opacity of a style and its soft surroundings, on the front box."""
        if style not in self._brows:
            alpha = brow_alpha(self.assets, style, self.space)
            soft = cv2.GaussianBlur(alpha, (0, 0), 5 * self.scale)
            self._brows[style] = alpha, soft
        return self._brows[style]

    def _paint_brows(self, person: Person, albedo: Tensor) -> Tensor:
        """Paint the brows in; returns their opacity (h, w)."""
        brow, (alpha, soft) = person.brow, self._brow(person.brow.style)
        full = torch.zeros(self.space.size_hw)
        box = _bounds(soft > 0.004)
        hair, around = alpha[box], soft[box]
        thick = float(0.72 * np.exp(-0.5 * brow.thickness))
        opacity = np.clip(hair, 0, 1) ** thick
        if brow.thickness > 0:
            opacity = 1 - (1 - opacity) * (1 - 0.55 * brow.thickness * np.clip(1.5 * around, 0, 1))
        opacity = (1 - (1 - opacity) * (1 - 0.4 * np.clip(around, 0, 1))) * brow.strength  # short hairs between
        amount = torch.from_numpy(np.clip(opacity, 0, 1).astype(np.float32))
        colour = torch.tensor(brow.colour)[:, None, None]
        window = albedo[(slice(None), *box)]
        window += amount * (colour - window)
        full[box] = amount
        return full

    def _paint_mouth(self, albedo: Tensor) -> None:
        """Gums and palate: the photographs' insides are painted, so only a little of their shading is kept."""
        box = self._mouth_box
        inside = self._static[1][box]
        window = albedo[(slice(None), *box)]
        light = window.mean(0)
        shade = (light * inside.sum() / (light * inside).sum()).clamp(0.6, 1.4) ** 0.5
        window += inside * (torch.tensor(MOUTH)[:, None, None] * shade - window)

    def _height(self, skin: Skin, fine: Tensor, shifts: list[tuple[int, ...]]) -> Tensor:
        lips = self._static[0]
        height = torch.roll(self._pores, shifts[1], (0, 1)).mul_(PORE_DEPTH * skin.pores)
        height.add_(fine.clamp(-0.35, 0.2), alpha=FINE_DEPTH * skin.pores)
        window = height[self._lip_box]
        lines = torch.from_numpy(self._lip_noise[self._lip_box]) * (LIP_LINE_DEPTH * (0.3 + 0.7 * skin.lip_lines))
        window += lips[self._lip_box] * (lines - 0.8 * window)
        return height

    def _masks(self, person: Person, brow: Tensor) -> Tensor:
        beard = person.beard
        region = torch.from_numpy(self._beards[beard.style]) if beard.style != "none" else torch.zeros_like(brow)
        gloss = (self._gloss * (0.2 + 1.2 * person.skin.oiliness)).clamp_(0, 1)
        lipstick = 0.25 * person.skin.make_up.lipstick
        if lipstick:
            gloss = (gloss + lipstick * self._static[0]).clamp_(0, 1)
        return torch.stack([*self._static, gloss, region * (1 - self._fade) * beard.density, brow])


def wrinkle_strength(skin: Skin) -> float:
    """Factor on `SkinBaker.wrinkles` when an expression is at full strength: young skin creases less."""
    return 0.45 + 0.75 * skin.wrinkles


def _pore_noise(size_hw: tuple[int, int]) -> Float32[np.ndarray, "h w"]:
    """Pits between small plateaus: blurred noise with its upper half flattened, unit spread at full size."""
    noise = np.minimum(full_noise(31, (1.0, 1.0), size_hw), 0.6) + 0.35 * full_noise(32, (2.6, 2.6), size_hw)
    return (noise - noise.mean()).astype(np.float32)


def _bounds(mask: np.ndarray) -> tuple[slice, slice]:
    """Slices of the smallest box around what is true."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
