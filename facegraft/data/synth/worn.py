"""Glasses, hats, masks, scarves and shirts by name."""

from __future__ import annotations

from facegraft.core.errors import BadInputError
from facegraft.data.synth import hats
from facegraft.data.synth.cards import fedora
from facegraft.data.synth.glasses import glasses
from facegraft.data.synth.ground import Ground
from facegraft.data.synth.hats import BRIMS, Brim
from facegraft.data.synth.masks import face_mask
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.shirts import shirt

__all__ = ["Brim", "brim_of", "shirt", "worn_proxies"]


def brim_of(variant: str) -> Brim:
    """Above which plane a hat hides hair.

    Raises:
        BadInputError: There is no such hat.
    """
    if variant not in BRIMS:
        raise BadInputError(f"no hat is called {variant!r}; expected one of {', '.join(BRIMS)}")
    return BRIMS[variant]


def worn_proxies(ground: Ground, kind: str, variant: str) -> tuple[Proxy, ...]:
    """The surfaces of one `Worn`.

    Raises:
        BadInputError: There is no such thing.
    """
    if kind == "glasses":
        return glasses(ground, variant)
    if kind == "face_mask":
        return face_mask(ground, ground.reach, variant)
    if kind == "scarf":
        return hats.scarf(ground, ground.neck_reach, variant)
    makers = {"beanie": hats.beanie, "cap": hats.cap, "headscarf": hats.headscarf, "hood": hats.hood}
    if kind == "hat" and variant in makers:
        on_skull = variant in ("beanie", "cap")
        return makers[variant](ground, ground.skull_reach if on_skull else ground.reach)
    if kind == "hat" and variant == "fedora":
        return (fedora(ground),)
    raise BadInputError(f"nothing to wear is called {kind!r} {variant!r}; see data/synth/wear.py for what is")
