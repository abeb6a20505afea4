"""What is stamped onto one person's skin: freckles, moles, spots, scars, patches. Sizes are decimetres of surface.

A mark is found again at every scale: its place is drawn on a fixed coarse grid of the surface, its outline is a
distance on the surface, so paint does not stretch with the uv map.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float32, Int64

from facegraft.data.synth.people import Person
from facegraft.data.synth.skin_fields import bare_front, freckle_density
from facegraft.data.synth.skin_photos import resized
from facegraft.data.synth.skin_space import SkinSpace


@dataclass(frozen=True)
class MarkFields:
    """Paint of one person's marks. Absent ones are None.

    Attributes:
        pigment: Adds melanin: freckles, moles, age spots.
        blood: Adds blood: acne, port-wine stain, fresh scars.
        pale: Takes pigment away: vitiligo, old scars, burns; 0..1.
        height: Decimetres.
    """

    pigment: Float32[np.ndarray, "h w"] | None
    blood: Float32[np.ndarray, "h w"] | None
    pale: Float32[np.ndarray, "h w"] | None
    height: Float32[np.ndarray, "h w"] | None


class MarkPainter:
    """Draws the marks of people on one atlas.

    Args:
        space: The atlas.
        coarse: The same atlas at a fixed scale, on which places are drawn so that all scales agree.
    """

    def __init__(self, space: SkinSpace, coarse: SkinSpace) -> None:
        self.space, self.coarse = space, coarse
        area = _texel_area(coarse)
        self._anywhere = _cumulative(bare_front(coarse) * area)
        self._freckled = _cumulative(freckle_density(coarse) * area)
        x, y = coarse.places[:2]
        sides = np.clip((np.abs(x) - 0.2) / 0.3, 0.1, 1) * np.clip((y + 0.9) / 0.4, 0, 1)
        self._weathered = _cumulative(bare_front(coarse) * area * sides)
        spotty = np.clip((0.65 - y) / 0.2, 0, 1) * np.clip((y + 1.1) / 0.1, 0, 1) * (0.35 + np.clip(-y / 0.3, 0, 0.65))
        self._spotty = _cumulative(bare_front(coarse) * area * spotty)

    def paint(self, person: Person, smooth: Float32[np.ndarray, "k a b"]) -> MarkFields:
        """All marks of a person; `smooth` are four or more random maps of this person (mean 0, spread 1), any size."""
        marks, rng = person.skin.marks, np.random.default_rng([person.seed, 20])
        layers = _Layers(self.space.size_hw)
        self._moles(rng, marks.moles, layers)
        if marks.freckles > 0:
            self._freckles(rng, marks.freckles, layers)
        if marks.age_spots > 0:
            self._age_spots(rng, marks.age_spots, layers)
        if marks.acne > 0:
            self._acne(rng, marks.acne, layers)
        for _ in range(marks.scars):
            self._scar(rng, layers)
        self._patches(person, rng, smooth, layers)
        return MarkFields(layers.pigment, layers.blood, layers.pale, layers.height)

    def _spots(self, rng: np.random.Generator, weights: Float[np.ndarray, "n"], count: int) -> _Spots:
        """Places drawn in proportion to the weights of the coarse atlas's texels."""
        chosen = np.searchsorted(weights, rng.random(count) * weights[-1])
        jitter = rng.uniform(-0.4, 0.4, count) * self.coarse.texel_dm
        places = self.coarse.places.reshape(3, -1)
        step = places[:, np.minimum(chosen + 1, places.shape[1] - 1)] - places[:, chosen]
        step = step / np.maximum(np.linalg.norm(step, axis=0), 1e-6)
        ratio = self.space.scale / self.coarse.scale
        rows, columns = np.divmod(chosen, self.coarse.size_hw[1])
        return _Spots(
            (places[:, chosen] + jitter * step).T.astype(np.float32),
            ((rows + 0.5) * ratio).astype(np.int64),
            ((columns + 0.5) * ratio).astype(np.int64),
        )

    def _stamp(
        self,
        layer: Float32[np.ndarray, "h w"],
        spots: _Spots,
        radius: Float[np.ndarray, "m"],
        strength: Float[np.ndarray, "m"],
    ) -> None:
        """Round spots with soft edges; where two overlap the stronger counts.

        Texels that a spot does not fill get their share of it.
        """
        window = int(np.ceil(2.2 * radius.max() / self.space.texel_dm)) + 2
        height, width = self.space.size_hw
        offsets = np.arange(-window, window + 1)
        r = np.clip(spots.rows[:, None, None] + offsets[:, None], 0, height - 1)
        c = np.clip(spots.columns[:, None, None] + offsets, 0, width - 1)
        texels = r * width + c
        away = self.space.places.reshape(3, -1)[:, texels] - spots.places.T[:, :, None, None]
        distance = np.sqrt((away**2).sum(0))
        blurred = np.hypot(radius, 0.4 * self.space.texel_dm)[:, None, None]
        share = (radius / np.hypot(radius, 0.4 * self.space.texel_dm)) ** 2
        value = (strength * share)[:, None, None] * np.exp(-((distance / blurred) ** 4))
        np.maximum.at(layer.reshape(-1), texels.ravel(), value.ravel().astype(np.float32))

    def _moles(self, rng: np.random.Generator, count: int, layers: _Layers) -> None:
        if count == 0:
            return
        spots = self._spots(rng, self._anywhere, count)
        radius = 0.009 + 0.022 * rng.beta(1.2, 4, count)
        strength = rng.uniform(0.5, 1.5, count)
        self._stamp(layers.pigment_layer(), spots, radius, strength)
        self._stamp(layers.height_layer(), spots, 0.9 * radius, 0.35 * radius * rng.uniform(0, 1, count) ** 2)

    def _freckles(self, rng: np.random.Generator, amount: float, layers: _Layers) -> None:
        count = int(80 + 520 * amount)
        spots = self._spots(rng, self._freckled, count)
        radius = 0.0045 + 0.0095 * rng.beta(1.5, 3.5, count)
        self._stamp(layers.pigment_layer(), spots, radius, (0.14 + 0.34 * amount) * rng.beta(1.5, 2, count))

    def _age_spots(self, rng: np.random.Generator, amount: float, layers: _Layers) -> None:
        count = int(4 + 26 * amount)
        spots = self._spots(rng, self._weathered, count)
        radius = 0.012 + 0.040 * rng.beta(1.2, 4, count)
        self._stamp(layers.pigment_layer(), spots, radius, rng.uniform(0.1, 0.5, count))

    def _acne(self, rng: np.random.Generator, amount: float, layers: _Layers) -> None:
        count = int(6 + 50 * amount)
        spots = self._spots(rng, self._spotty, count)
        radius = 0.006 + 0.013 * rng.beta(1.5, 3, count)
        strength = rng.uniform(0.15, 0.75, count)
        self._stamp(layers.blood_layer(), spots, 1.5 * radius, 0.7 * strength)
        self._stamp(layers.height_layer(), spots, radius, 0.25 * radius * strength)

    def _scar(self, rng: np.random.Generator, layers: _Layers) -> None:
        """A thin line, paler or redder than the skin, sunken a little."""
        start = self._spots(rng, self._anywhere, 1).places[0]
        angle, length = rng.uniform(0, np.pi), rng.uniform(0.12, 0.5)
        bend, width = 0.12 * rng.normal(), rng.uniform(0.007, 0.016)
        t = np.linspace(-0.5, 0.5, 7)[:, None] * length
        along, across = np.array((np.cos(angle), np.sin(angle))), np.array((-np.sin(angle), np.cos(angle)))
        line = self.space.on_face(start[:2] + t * along + bend * (t**2 / length) * 4 * across)
        numbers, distance, place = self.space.along(line, 4 * width)
        if len(numbers) == 0:
            return
        wide = np.hypot(width, 0.5 * self.space.texel_dm)
        value = width / wide * np.exp(-((distance / wide) ** 2)) * np.sin(np.pi * np.clip(place, 0.02, 0.98)) ** 0.5
        fresh = rng.random()
        for layer, factor in (
            (layers.pale_layer(), 0.7 * (1 - 0.6 * fresh)),
            (layers.blood_layer(), 0.55 * fresh + 0.05),
            (layers.height_layer(), -0.004 * rng.uniform(0.3, 1)),
        ):
            layer.reshape(-1)[numbers] += (factor * value).astype(np.float32)

    def _patches(
        self, person: Person, rng: np.random.Generator, smooth: Float32[np.ndarray, "k a b"], layers: _Layers
    ) -> None:
        """Vitiligo, port-wine stain and burn: one contiguous area with an uneven edge each."""
        marks = person.skin.marks
        if not (marks.vitiligo or marks.port_wine or marks.burn):
            return
        smooth = np.stack([resized(field, self.space.size_hw) for field in smooth[:4]])
        side = 1.0 if rng.random() < 0.5 else -1.0
        spots = ((0.38, -0.30), (0.30, 0.42), (0.45, 0.05), (0.30, -0.80), (0.62, -0.30))
        first, second = rng.choice(len(spots), 2, replace=False)
        x, y = self.space.places[0] * side, self.space.places[1]
        if marks.vitiligo > 0:
            holes = [(0.0, -0.65), (0.27, 0.0), (-0.27, 0.0), spots[int(first)]]
            centred = np.max([np.exp(-(((x - a) / 0.22) ** 2) - ((y - b) / 0.2) ** 2) for a, b in holes], axis=0)
            level = smooth[0] + 0.5 * smooth[1] + 2.2 * centred - 3.2 + 3.0 * marks.vitiligo
            layers.pale_layer()[:] = np.maximum(layers.pale_layer(), _edge(level, 0.14)) * self.space.head
        if marks.port_wine > 0:
            centre, low = spots[int(second)], 0.26
            level = 1.1 - ((x - centre[0]) / 0.30) ** 2 - ((y - centre[1]) / low) ** 2 + 0.35 * smooth[2]
            one_side = np.clip((x + 0.02) / 0.03, 0, 1)
            stain = _edge(level, 0.18) * one_side * (0.75 + 0.25 * np.tanh(smooth[1])) * self.space.head
            layers.blood_layer()[:] += (1.1 * marks.port_wine * stain).astype(np.float32)
        if marks.burn > 0:
            centre = spots[int(first)]
            level = 1.0 - ((x - centre[0]) / 0.36) ** 2 - ((y - centre[1]) / 0.34) ** 2 + 0.3 * smooth[0]
            area = marks.burn * _edge(level, 0.25) * self.space.head
            layers.pale_layer()[:] = np.maximum(layers.pale_layer(), 0.35 * area * (1 + np.tanh(smooth[1])) / 2)
            layers.blood_layer()[:] += (0.30 * area * (1 + 0.8 * np.tanh(smooth[2]))).astype(np.float32)
            ropes = np.abs(np.tanh(1.5 * smooth[3])) - 0.5
            layers.height_layer()[:] += (0.010 * area * ropes).astype(np.float32)


@dataclass(frozen=True)
class _Spots:
    places: Float32[np.ndarray, "m 3"]
    rows: Int64[np.ndarray, "m"]
    columns: Int64[np.ndarray, "m"]


class _Layers:
    """Maps that exist once something is painted on them."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self.size_hw = size_hw
        self.pigment: Float32[np.ndarray, "h w"] | None = None
        self.blood: Float32[np.ndarray, "h w"] | None = None
        self.pale: Float32[np.ndarray, "h w"] | None = None
        self.height: Float32[np.ndarray, "h w"] | None = None

    def pigment_layer(self) -> Float32[np.ndarray, "h w"]:
        self.pigment = self._fresh() if self.pigment is None else self.pigment
        return self.pigment

    def blood_layer(self) -> Float32[np.ndarray, "h w"]:
        self.blood = self._fresh() if self.blood is None else self.blood
        return self.blood

    def pale_layer(self) -> Float32[np.ndarray, "h w"]:
        self.pale = self._fresh() if self.pale is None else self.pale
        return self.pale

    def height_layer(self) -> Float32[np.ndarray, "h w"]:
        self.height = self._fresh() if self.height is None else self.height
        return self.height

    def _fresh(self) -> Float32[np.ndarray, "h w"]:
        return np.zeros(self.size_hw, np.float32)


def _edge(level: np.ndarray, width: float) -> Float32[np.ndarray, "h w"]:
    t = np.clip(level / width + 0.5, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def _texel_area(space: SkinSpace) -> Float32[np.ndarray, "h w"]:
    """Surface of each texel, decimetres squared; 0 where neighbours are not on the same piece."""
    down = np.diff(space.places, axis=1, append=space.places[:, -1:])
    right = np.diff(space.places, axis=2, append=space.places[:, :, -1:])
    area = np.linalg.norm(np.cross(down, right, axis=0), axis=0)
    return np.where(area < 9 * space.texel_dm**2, area, 0).astype(np.float32) * space.head


def _cumulative(weights: Float32[np.ndarray, "h w"]) -> Float[np.ndarray, "n"]:
    return np.cumsum(weights.ravel().astype(np.float64))
