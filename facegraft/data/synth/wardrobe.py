"""Everything that people grow and wear, made once per process and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError
from facegraft.data.synth import cards
from facegraft.data.synth.beard import shell_beard
from facegraft.data.synth.ground import read_ground
from facegraft.data.synth.hair import shell_hair
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.strands import TILE_DM, strand_texture
from facegraft.data.synth.wear import CARD_STYLES
from facegraft.data.synth.worn import Brim, brim_of, shirt, worn_proxies


class Wardrobe:
    """Proxies and textures by name.

    Alpha shells of hair come innermost first. To thin hair out to a density d (0..1), add `.5 * (1 - d)` to `cut`; to
    make shell hair longer, multiply `push` and `offset` of its proxies.
    """

    def __init__(self, assets: Path) -> None:
        self.ground = read_ground(assets)
        self._proxies: dict[tuple[object, ...], tuple[Proxy, ...]] = {}
        self._textures: dict[str, np.ndarray] = {}

    def _kept(self, key: tuple[object, ...], make: Callable[[], tuple[Proxy, ...]]) -> tuple[Proxy, ...]:
        if key not in self._proxies:
            self._proxies[key] = make()
        return self._proxies[key]

    def hair(self, style: str, mirrored: bool = False) -> tuple[Proxy, ...]:
        """One of HAIR_STYLES; none for "bald"."""
        if style == "bald":
            return ()
        if style in CARD_STYLES:
            return self._kept(("hair", style, mirrored), lambda: self._cards(style, mirrored))
        return self._kept(("hair", style), lambda: shell_hair(self.ground.scalp, style))

    def _cards(self, style: str, mirrored: bool) -> tuple[Proxy, ...]:
        return cards.card_hair(self.ground, style, self.texture(f"hair/{style}")[1], mirror=mirrored)

    def beard(self, style: str) -> tuple[Proxy, ...]:
        """One of BEARDS; none for "none"."""
        if style == "none":
            return ()
        return self._kept(("beard", style), lambda: shell_beard(self.ground.lower_face, style))

    def face(self, teeth: int = 1, lashes: str = "01") -> tuple[Proxy, ...]:
        """Eyeballs, teeth, tongue, lashes; give the eyes the texture "eye/<colour>"."""
        return (*self.eyes(), *self.mouth(teeth), *self.lashes(lashes))

    def eyes(self) -> tuple[Proxy, ...]:
        return self._kept(("eyes",), lambda: cards.eyes(self.ground)[:1])

    def cornea(self) -> tuple[Proxy, ...]:
        """Clear domes before the irises, for reflections only."""
        return self._kept(("cornea",), lambda: cards.eyes(self.ground)[1:])

    def mouth(self, teeth: int = 1) -> tuple[Proxy, ...]:
        """Teeth of style 0 to 5, and the tongue."""
        return self._kept(("mouth", teeth), lambda: (cards.teeth(self.ground, teeth), cards.tongue(self.ground)))

    def lashes(self, style: str = "01") -> tuple[Proxy, ...]:
        return self._kept(("lashes", style), lambda: (cards.lashes(self.ground, style),))

    def shirt(self, kind: str) -> tuple[Proxy, ...]:
        """One of CLOTHS. Cloth shows where `cut` is below .5; add `-.1 * neckline` to `cut` to raise its edge."""
        return self._kept(("shirt", kind), lambda: shirt(self.ground, kind))

    def worn(self, kind: str, variant: str) -> tuple[Proxy, ...]:
        """Glasses, hat, face mask or scarf of wear.py."""
        return self._kept((kind, variant), lambda: worn_proxies(self.ground, kind, variant))

    def brim(self, variant: str) -> Brim:
        """Hair above this plane (on the unshaped body) is hidden by the hat."""
        return brim_of(variant)

    def texture(self, key: str) -> Float32[np.ndarray, "c h w"]:
        """Of a proxy: luminance (mean 1 where solid) and alpha; or linear RGB. At most 512 px; they repeat.

        Raises:
            BadInputError: No proxy has such a texture.
        """
        if not key:
            raise BadInputError("a proxy without texture has an empty key: use its colour")
        if key not in self._textures:
            made = strand_texture(key) if key in TILE_DM else cards.asset_texture(self.ground.assets, key)
            self._textures[key] = made
        return self._textures[key]
