"""Near-duplicates: the same picture again, re-coded, re-sized or as the next frame of a clip.

Two steps. Pairs are proposed by a perceptual hash of the aligned face (64 bits of its lowest frequencies: Zauner,
Implementation and benchmarking of perceptual image hash functions, 2010, "DCT based hash") and confirmed by the
correlation of the two faces' finer parts at 24 x 24. Embeddings are not asked: they call two different photographs of
one person alike, and those are what a dataset is for.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float32, Int64, UInt64

from facegraft.core.types import Frame

HASH_BITS = 64
MAX_BITS = 8
"""Hashes of one picture re-coded, re-sized and cropped anew differ by at most this many bits."""
SAME_PICTURE = 0.98
"""Correlation of two faces from which they count as one picture. Measured on 80 pictures and their copies (JPEG at 40,
half size, cropped, brighter): 98 % of the copies lie above; of 40 people photographed twice within minutes, neutral and
smiling, all lie below."""
THUMBNAIL_SIDE = 24
DETAIL = 3.0
"""Pixels of the thumbnail: changes over more than this (light, the shape of a head) are taken out, or two expressions
of one person in one studio would count as one picture."""
FACE_SIDE = 2.3
"""Side of the square that is compared, in eye distances: face without wall and clothes."""
_BLOCK = 512

Thumbnail = Float32[np.ndarray, "576"]


@dataclass(frozen=True)
class Fingerprint:
    """What a crop is compared by.

    Attributes:
        bits: The hash.
        thumbnail: Brightness without its slow changes, zero mean, unit length: a dot product is a correlation.
    """

    bits: int
    thumbnail: Thumbnail

    @property
    def text(self) -> str:
        """The hash as 16 hex digits."""
        return f"{self.bits:016x}"


def fingerprint(crop: Frame, points5: Float32[np.ndarray, "5 2"]) -> Fingerprint:
    """Of an aligned crop.

    Args:
        crop: The picture.
        points5: Of its alignment template (`align.template_points`), the same for all that are compared.
    """
    middle = points5.mean(axis=0)
    half = FACE_SIDE / 2 * float(np.linalg.norm(points5[1] - points5[0]))
    left, top = np.maximum(np.rint(middle - half), 0).astype(int)
    right, bottom = np.rint(middle + half).astype(int)
    grey = cv2.cvtColor(np.ascontiguousarray(crop[top:bottom, left:right]), cv2.COLOR_RGB2GRAY)
    low = cv2.dct(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32))[:8, :8].ravel()
    signs = low > np.median(low[1:])
    signs[0] = False
    bits = int.from_bytes(np.packbits(signs).tobytes(), "big")
    size_wh = (THUMBNAIL_SIDE, THUMBNAIL_SIDE)
    small = cv2.resize(grey, size_wh, interpolation=cv2.INTER_AREA).astype(np.float32)
    detail = (small - cv2.GaussianBlur(small, (0, 0), DETAIL)).ravel()
    detail -= detail.mean()
    return Fingerprint(bits, (detail / max(float(np.linalg.norm(detail)), 1e-6)).astype(np.float32))


def is_same_picture(one: Fingerprint, other: Fingerprint, same_picture: float | int = SAME_PICTURE) -> bool:
    """Whether both show one picture."""
    near = (one.bits ^ other.bits).bit_count() <= MAX_BITS
    return near and float(one.thumbnail @ other.thumbnail) >= same_picture


def near_duplicates(
    hashes: Sequence[int],
    quality: Sequence[float | int],
    thumbnail_of: Callable[[int], Thumbnail],
    same_picture: float | int = SAME_PICTURE,
) -> dict[int, int]:
    """Rows to drop, each with the row that is kept instead. The better of two stays, of equals the first.

    Args:
        hashes: `Fingerprint.bits` of each.
        quality: The higher, the rather kept.
        thumbnail_of: Gives a row's thumbnail; asked only for rows with a near hash.
        same_picture: Correlation from which two are one.
    """
    rivals: dict[int, list[int]] = {}
    for one, other in near_pairs(np.array(hashes, np.uint64)):
        if float(thumbnail_of(one) @ thumbnail_of(other)) >= same_picture:
            rivals.setdefault(one, []).append(other)
            rivals.setdefault(other, []).append(one)
    kept: set[int] = set()
    dropped: dict[int, int] = {}
    for row in sorted(rivals, key=lambda row: (-quality[row], row)):
        better = next((other for other in sorted(rivals[row]) if other in kept), None)
        if better is None:
            kept.add(row)
        else:
            dropped[row] = better
    return dropped


def near_pairs(hashes: UInt64[np.ndarray, "n"], max_bits: int = MAX_BITS) -> Iterator[tuple[int, int]]:
    """All pairs of rows, the smaller first, whose hashes differ by at most `max_bits` bits; each once.

    Cut into one band more than bits may differ, two such hashes agree in at least one band, so only rows that share a
    band's value are compared. A pair is told at the first band it shares.
    """
    edges = np.linspace(0, HASH_BITS, max_bits + 2).astype(int).tolist()
    bands = [(hashes >> np.uint64(low)) & np.uint64((1 << (high - low)) - 1) for low, high in itertools.pairwise(edges)]
    for number, band in enumerate(bands):
        order = np.argsort(band, kind="stable")
        starts = np.flatnonzero(np.diff(band[order], prepend=band[order][:1])).tolist()
        for begin, end in itertools.pairwise([0, *starts, len(order)]):
            yield from _pairs_within(hashes, order[begin:end], bands[:number], max_bits)


def _pairs_within(
    hashes: UInt64[np.ndarray, "n"], rows: Int64[np.ndarray, "m"], earlier: list[UInt64[np.ndarray, "n"]], max_bits: int
) -> Iterator[tuple[int, int]]:
    for begin in range(0, len(rows), _BLOCK):
        block = rows[begin : begin + _BLOCK]
        rest = rows[begin:]
        near = bit_count(hashes[block][:, None] ^ hashes[rest][None, :]) <= max_bits
        near &= np.arange(len(rest))[None, :] > np.arange(len(block))[:, None]
        near &= ~_shared(earlier, block, rest)
        for one, other in zip(*np.nonzero(near), strict=True):
            first, second = int(block[one]), int(rest[other])
            yield min(first, second), max(first, second)


def _shared(
    earlier: list[UInt64[np.ndarray, "n"]], block: Int64[np.ndarray, "a"], rest: Int64[np.ndarray, "b"]
) -> Bool[np.ndarray, "a b"]:
    shared = np.zeros((len(block), len(rest)), bool)
    for band in earlier:
        shared |= band[block][:, None] == band[rest][None, :]
    return shared


def bit_count(values: UInt64[np.ndarray, "*any"]) -> Int64[np.ndarray, "*any"]:
    """Bits that are set in each value."""
    table = np.array([number.bit_count() for number in range(256)], np.uint8)
    octets = np.ascontiguousarray(values)[..., None].view(np.uint8)
    return table[octets].sum(axis=-1, dtype=np.int64)
