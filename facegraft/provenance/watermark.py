"""An invisible mark in the pixels: 32 bits that survive recompression and resizing back. Opt-in.

Quantisation index modulation (Chen and Wornell, 2001) with dither: in each 8 x 8 block of the luma two low DCT
coefficients are moved onto one of two shifted lattices, which of them says the bit. Position and dither come from
a hash of the block's row and column, so flat pictures give no false reading, and any part of the picture that keeps
its place keeps its votes. There is no synchronisation: cropping by anything but multiples of the hash's period, or
lasting scaling, loses the mark.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Int64

from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame

MARK = 0xFACE6AF7
"""The 32 bits that mean: faces in this picture were swapped with facegraft."""

_BITS = 32
_STEP = 32.0  # distance of two lattice points of one bit: 44 dB; JPEG at quality 40 moves a coefficient by up to 10
_FREQUENCIES = ((1, 0), (0, 1))
_FEWEST_BLOCKS = 128  # eight votes a bit
_WRONG_BITS_ALLOWED = 2  # of 32: by chance in one unmarked picture of eight million
_LEAST_CONFIDENCE = 0.12
_LUMA = np.array([[0.299, 0.587, 0.114]], np.float32)

Blocks = Float32[np.ndarray, "rows columns 64"]
Votes = Float32[np.ndarray, "rows columns 2"]


@dataclass(frozen=True)
class WatermarkReading:
    """What the pixels say.

    Attributes:
        found: Whether facegraft's own mark is there.
        bits: The 32 bits read, as 8 hexadecimal digits; noise where nothing is found.
        confidence: 0 (no mark of this kind) to 1 (undisturbed mark).
    """

    found: bool
    bits: str
    confidence: float


def embed_mark(frame: Frame, bits: int = MARK) -> Frame:
    """A copy of the frame that carries 32 bits; brightness changes by up to 6 levels, colour not at all.

    Args:
        frame: Upright; at least 128 whole blocks of 8 x 8 pixels, such as 96 x 96.
        bits: 0 to 2**32 - 1.

    Raises:
        BadInputError: The frame is too small, or `bits` needs more than 32 bits.
    """
    if not 0 <= bits < 1 << _BITS:
        raise BadInputError(f"watermark: expected a number of {_BITS} bits, found {bits}")
    check_room(frame.shape[0], frame.shape[1])
    blocks = _blocks(frame)
    rows, columns = blocks.shape[:2]
    number, dither = _plan(rows, columns)
    lattice = dither + ((bits >> number) & 1).astype(np.float32) * np.float32(_STEP / 2)
    off = (blocks @ _basis() - lattice) / np.float32(_STEP)
    # A flat block may lie half-way; which way it goes must not hang on how a processor rounds.
    move = (np.rint(np.round(off, 4)) - off) * np.float32(_STEP)
    change = (move @ _basis().T).reshape(rows, columns, 8, 8).transpose(0, 2, 1, 3).reshape(rows * 8, columns * 8)
    marked = frame.copy()
    inside = marked[: rows * 8, : columns * 8]
    levels = np.rint(change).astype(np.int16)
    inside[...] = cv2.add(inside, cv2.merge([levels, levels, levels]), dtype=cv2.CV_8U)  # clips to 0..255
    return marked


def check_room(height: int, width: int) -> None:
    """Whether a frame of this size holds a mark.

    Raises:
        BadInputError: It is too small.
    """
    blocks = (height // 8) * (width // 8)
    if blocks < _FEWEST_BLOCKS:
        raise BadInputError(
            f"watermark: a frame of {width}x{height} has {blocks} blocks of 8x8, "
            f"{_FEWEST_BLOCKS} are needed; leave small pictures unmarked"
        )


def read_mark(frame: Frame) -> tuple[int, float]:
    """The bits in a frame, and how sure that there are any.

    Returns:
        The bits, and the confidence: about 1 right after `embed_mark`, 0.2 to 0.8 after recompression or scaling down
        and back, under 0.1 for an unmarked frame of 512 x 512 (smaller frames scatter more). 0, 0.0 for a frame that
        is too small to hold a mark.
    """
    blocks = _blocks(frame)
    rows, columns = blocks.shape[:2]
    if rows * columns < _FEWEST_BLOCKS:
        return 0, 0.0
    number, dither = _plan(rows, columns)
    votes = np.cos((blocks @ _basis() - dither) * np.float32(2 * np.pi / _STEP))  # 1: bit 0; -1: bit 1
    sums = np.bincount(number.ravel(), votes.ravel(), _BITS)
    counts = np.maximum(np.bincount(number.ravel(), minlength=_BITS), 1)
    bits = sum(1 << place for place in range(_BITS) if sums[place] < 0)
    # Squares of the mean votes, less what random votes (variance 1/2) give on average.
    strength = float(np.mean((sums**2 - counts / 2) / counts**2))
    return bits, min(1.0, max(0.0, strength) ** 0.5)


def find_mark(frame: Frame, bits: int = MARK) -> WatermarkReading:
    """Whether a frame carries these bits; up to two may be wrong."""
    read, confidence = read_mark(frame)
    wrong = (read ^ bits).bit_count()
    found = wrong <= _WRONG_BITS_ALLOWED and confidence >= _LEAST_CONFIDENCE
    return WatermarkReading(found=found, bits=f"{read:08x}", confidence=round(confidence, 3))


def _blocks(frame: Frame) -> Blocks:
    """Luma of the whole 8 x 8 blocks, one row of 64 each."""
    rows, columns = frame.shape[0] // 8, frame.shape[1] // 8
    if rows == 0 or columns == 0:
        return np.zeros((rows, columns, 64), np.float32)
    whole = np.ascontiguousarray(frame[: rows * 8, : columns * 8]).astype(np.float32)
    luma = cv2.transform(whole, _LUMA)
    return np.ascontiguousarray(luma.reshape(rows, 8, columns, 8).transpose(0, 2, 1, 3)).reshape(rows, columns, 64)


def _basis() -> Float32[np.ndarray, "64 2"]:
    """The chosen functions of the orthonormal 8 x 8 DCT, as columns."""
    place = np.arange(8)

    def wave(frequency: int) -> Float32[np.ndarray, "8"]:
        scale = np.sqrt((1 if frequency == 0 else 2) / 8)
        return (scale * np.cos((2 * place + 1) * frequency * np.pi / 16)).astype(np.float32)

    return np.stack([np.outer(wave(down), wave(right)).ravel() for down, right in _FREQUENCIES], axis=1)


def _plan(rows: int, columns: int) -> tuple[Int64[np.ndarray, "rows columns 2"], Votes]:
    """Which bit each coefficient votes for, and its dither: 0 to `_STEP`.

    An integer hash instead of a random generator: the same for ever, whatever the size of the frame.
    """
    row = np.arange(rows, dtype=np.uint32)[:, None, None] * np.uint32(0x9E3779B1)
    column = np.arange(columns, dtype=np.uint32)[None, :, None] * np.uint32(0x85EBCA77)
    which = np.arange(len(_FREQUENCIES), dtype=np.uint32) * np.uint32(0xC2B2AE3D)
    mixed = row + column + which
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    mixed ^= mixed >> np.uint32(16)
    dither = (mixed >> np.uint32(8)).astype(np.float32) * np.float32(_STEP / (1 << 24))
    return (mixed % np.uint32(_BITS)).astype(np.int64), dither
