"""Small pictures as bytes in memory: the fast way in and out of datasets. No metadata, PNG or JPEG.

Files of users go through `core/image.py`, which keeps all that they hold; these pictures are our own.
"""

from __future__ import annotations

import io
import struct

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, JpegImagePlugin, PngImagePlugin

from facegraft.core.errors import BadInputError
from facegraft.core.files import sniff_bytes
from facegraft.core.types import Frame

Plane = UInt8[np.ndarray, "_h _w"]
"""One channel: labels, or a mask of 0..255."""
DeepPlane = UInt16[np.ndarray, "_h _w"]
"""One channel of 16 bits."""

_OPENERS = {"image/png": PngImagePlugin.PngImageFile, "image/jpeg": JpegImagePlugin.JpegImageFile}


def encode_frame(frame: Frame, jpeg_quality: int | None = None) -> bytes:
    """A frame as PNG (exact), or as JPEG of this quality (1..100) with full colour resolution from 90 on."""
    out = io.BytesIO()
    if jpeg_quality is None:
        Image.fromarray(frame).save(out, "PNG", compress_level=4)
    else:
        chroma = 0 if jpeg_quality >= 90 else 2
        Image.fromarray(frame).save(out, "JPEG", quality=jpeg_quality, subsampling=chroma)
    return out.getvalue()


def encode_plane(plane: Plane) -> bytes:
    """A plane as PNG; exact."""
    out = io.BytesIO()
    Image.fromarray(plane).save(out, "PNG", compress_level=6)
    return out.getvalue()


def encode_deep_plane(plane: DeepPlane) -> bytes:
    """A plane of 16 bits as PNG; exact."""
    out = io.BytesIO()
    Image.fromarray(plane).save(out, "PNG", compress_level=6)
    return out.getvalue()


def decode_frame(data: bytes) -> Frame:
    """Pixels of a PNG or JPEG, as RGB; alpha is dropped, grey becomes three equal channels.

    Raises:
        BadInputError: Neither of both, or damaged.
    """
    im = _open(data)
    return np.asarray(im if im.mode == "RGB" else im.convert("RGB"))


def decode_plane(data: bytes) -> Plane:
    """Pixels of a PNG with one channel of 8 bits.

    Raises:
        BadInputError: Another kind of picture, or damaged.
    """
    im = _open(data)
    if im.mode != "L":
        raise BadInputError(f"plane: expected a PNG with one channel of 8 bits, found mode {im.mode}; write it anew")
    return np.asarray(im)


def decode_deep_plane(data: bytes) -> DeepPlane:
    """Pixels of a PNG with one channel of 16 bits.

    Raises:
        BadInputError: Another kind of picture, or damaged.
    """
    im = _open(data)
    if im.mode != "I;16":
        raise BadInputError(f"plane: expected a PNG with one channel of 16 bits, found mode {im.mode}; write it anew")
    return np.asarray(im)


def _open(data: bytes) -> Image.Image:
    kind = sniff_bytes(data[:512])
    if kind not in _OPENERS:
        raise BadInputError(f"picture in memory: expected PNG or JPEG, found {kind or 'unknown content'}")
    try:
        im = _OPENERS[kind](io.BytesIO(data))
        im.load()
    except (OSError, SyntaxError, ValueError, struct.error, IndexError) as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise BadInputError(f"picture in memory: damaged {kind} ({what}); write the dataset anew") from error
    return im
