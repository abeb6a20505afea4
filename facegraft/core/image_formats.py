"""One encoder per picture format: pixels and metadata to the bytes of a file.

Pixels are upright, height x width x channels, uint8 or uint16; 1 channel is grey, 2 grey and alpha, 3 RGB, 4 RGBA.
"""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8, UInt16
from PIL import Image, TiffImagePlugin

from facegraft.core.errors import MissingPartError
from facegraft.core.image_metadata import Metadata, tiff_directories

Pixels = UInt8[np.ndarray, "_ _ _"] | UInt16[np.ndarray, "_ _ _"]
"""Height, width, channels; unnamed, because turning and conversion change all three."""

FORMAT_BY_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".heic": "HEIC",
    ".heif": "HEIC",
    ".avif": "AVIF",
    ".bmp": "BMP",
}

_MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
_JPEG_SEGMENT_LIMIT = 65533
_XMP_LIMIT = _JPEG_SEGMENT_LIMIT - 29
_TIFF_RAW, _TIFF_DEFLATE = 1, 8


@dataclass(frozen=True)
class Coding:
    """How a file's pixels were coded, so that the result can be coded alike.

    Attributes:
        lossless: Pixels come back as they were written.
        quantisation: JPEG's tables, in zigzag order.
        subsampling: JPEG's chroma: 0 4:4:4 (for rare ones as well), 1 4:2:2, 2 4:2:0, -1 there is none.
        progressive: JPEG only.
        premultiplied: TIFF's colours are already multiplied by alpha.
        uncompressed: TIFF only.
    """

    lossless: bool = True
    quantisation: dict[int, list[int]] | None = None
    subsampling: int = -1
    progressive: bool = False
    premultiplied: bool = False
    uncompressed: bool = False


def encode(
    name: str, pixels: Pixels, metadata: Metadata, coding: Coding, quality: int | None, notes: list[str]
) -> bytes:
    """The bytes of a file.

    Args:
        name: One of `FORMAT_BY_SUFFIX`.
        pixels: See the module.
        metadata: What the format cannot hold is left out with a note.
        coding: Of the input.
        quality: 1..100 for lossy formats; None: as good as the input.
        notes: Gets a sentence for each loss.

    Raises:
        MissingPartError: HEIC without the extra `heif`.
        OSError, ValueError: The format cannot hold a picture of this size.
    """
    pixels = _that_fit(name, pixels, notes)
    metadata = _what_fits(name, metadata, notes)
    if pixels.shape[2] >= 3 and (metadata.icc or b"")[16:20] == b"GRAY":
        notes.append(f"grey colour profile left out: {name} holds the picture as RGB")
        metadata = replace(metadata, icc=None)
    if name == "PNG":
        return _png(pixels, metadata)
    if name == "TIFF":
        return _tiff(pixels, metadata, coding, notes)
    if name == "HEIC":
        return _heic(pixels, metadata, quality or 95)
    options: dict[str, Any] = {}
    if name == "JPEG":
        options = _jpeg_options(pixels, metadata, coding, quality)
    elif name == "WEBP":
        lossless = coding.lossless and quality is None
        options = {"lossless": lossless, "quality": quality or (80 if lossless else 95), "exact": True, "method": 4}
    elif name == "AVIF":
        options = {"quality": quality or 90}
    if name in {"WEBP", "AVIF"}:
        options |= {"exif": metadata.exif or b"", "xmp": metadata.xmp or b"", "icc_profile": metadata.icc}
    return _pillow(name, pixels, options | ({"dpi": metadata.dpi} if metadata.dpi else {}))


def _that_fit(name: str, pixels: Pixels, notes: list[str]) -> Pixels:
    """Pixels of a depth and channels that the format holds."""
    if pixels.dtype == np.uint16 and name not in {"PNG", "TIFF", "HEIC"}:
        notes.append(f"{name} holds 8 bits per channel: 16-bit values were rounded")
        pixels = eight_bit(pixels)
    if pixels.shape[2] in (2, 4) and name in {"JPEG", "BMP"}:  # few programs see the alpha that a BMP can hold
        if bool((pixels[..., -1] < 255).any()):
            notes.append(f"{name} holds no transparency: transparent parts were laid on white (.png keeps them)")
        pixels = _on_white(pixels)
    if pixels.shape[2] == 2 and (name in {"WEBP", "HEIC", "AVIF"} or (name, pixels.itemsize) == ("TIFF", 2)):
        pixels = pixels[..., [0, 0, 0, 1]]
    if pixels.shape[2] == 1 and name in {"WEBP", "AVIF"}:
        pixels = np.repeat(pixels, 3, axis=2)
    return pixels


def _on_white(pixels: Pixels) -> Pixels:
    alpha = pixels[..., -1:].astype(np.uint16)
    colour = pixels[..., :-1].astype(np.uint16)
    return ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)


def eight_bit(pixels: Pixels) -> Pixels:
    """16-bit values as 8-bit ones, rounded: 65535 is 255 times 257."""
    if pixels.dtype == np.uint8:
        return pixels
    return ((pixels.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)  # exact, and no slow division


def _what_fits(name: str, metadata: Metadata, notes: list[str]) -> Metadata:
    """The metadata that the format holds; blocks and tags of another format are left out before this."""
    lost: dict[str, Any] = {}
    if name == "BMP":
        lost = {"exif": metadata.exif, "icc": metadata.icc, "xmp": metadata.xmp}
    if name == "JPEG" and len(metadata.exif or b"") + 6 > _JPEG_SEGMENT_LIMIT:
        lost["exif"] = metadata.exif
    if name == "JPEG" and len(metadata.xmp or b"") > _XMP_LIMIT:
        lost["xmp"] = metadata.xmp
    if name in {"WEBP", "HEIC", "AVIF"}:
        lost["dpi"] = metadata.dpi
    lost = {what: None for what, value in lost.items() if value}
    notes.extend(f"{name} has no room for the picture's {what}: left out" for what in lost)
    return replace(metadata, **lost)


def _pillow(name: str, pixels: Pixels, options: dict[str, Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(stream, name, **options)
    return stream.getvalue()


def _jpeg_options(pixels: Pixels, metadata: Metadata, coding: Coding, quality: int | None) -> dict[str, Any]:
    """The input's own tables where it was a JPEG, so that untouched blocks lose next to nothing."""
    options: dict[str, Any] = {"progressive": coding.progressive}
    if coding.quantisation and quality is None:
        options |= {"qtables": coding.quantisation, "subsampling": coding.subsampling}
    elif quality is None:
        options |= {"quality": 95, "subsampling": 0}
    else:
        options |= {"quality": quality, "subsampling": coding.subsampling}
    comment = b"".join(content for marker, content in metadata.blocks if marker == b"\xfe")
    extra = b"".join(
        b"\xff" + marker + struct.pack(">H", len(content) + 2) + content
        for marker, content in metadata.blocks
        if marker != b"\xfe"
    )
    if metadata.exif:
        options["exif"] = b"Exif\0\0" + metadata.exif
    return options | {
        "xmp": metadata.xmp,
        "icc_profile": metadata.icc,
        "comment": comment[:_JPEG_SEGMENT_LIMIT],
        "extra": extra,
    }


def _png(pixels: Pixels, metadata: Metadata) -> bytes:
    """Pillow packs 8-bit pixels; 16-bit colour it does not know, so that is packed here."""
    if pixels.dtype == np.uint8:
        plain = _pillow("PNG", pixels, {"compress_level": 3})  # a third of the time of 6 for 7 % more bytes
        header, packed = plain[8:33], plain[33:]
    else:
        colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[pixels.shape[2]]
        size = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0)
        header = _png_chunk(b"IHDR", size)
        packed = _png_chunk(b"IDAT", _png_rows(pixels)) + _png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(_png_extras(metadata)) + packed


def _png_rows(pixels: UInt16[np.ndarray, "h w c"]) -> bytes:
    """Big-endian rows, each byte less the byte of the row above (filter 2), deflated."""
    height = pixels.shape[0]
    rows = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = 2
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    return _deflate(filtered.tobytes(), deep=True)


def _deflate(data: bytes, *, deep: bool) -> bytes:
    """Low bytes of 16-bit values are noise: looking for repeats in them takes three times as long and finds none."""
    packer = zlib.compressobj(4, zlib.DEFLATED, 15, 9, zlib.Z_RLE if deep else zlib.Z_DEFAULT_STRATEGY)
    return packer.compress(data) + packer.flush()


def _png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png_extras(metadata: Metadata) -> list[bytes]:
    """All ancillary chunks; every one of them may stand between the header and the pixels."""
    out = []
    if metadata.icc:
        out.append(_png_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(metadata.icc)))
    if metadata.dpi:
        per_metre = [round(value / 0.0254) for value in metadata.dpi]
        out.append(_png_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if metadata.exif:
        out.append(_png_chunk(b"eXIf", metadata.exif))
    if metadata.xmp:
        out.append(_png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp))
    return out + [_png_chunk(kind, content) for kind, content in metadata.blocks]


def _tiff(pixels: Pixels, metadata: Metadata, coding: Coding, notes: list[str]) -> bytes:
    """Written here because Pillow cannot write 16-bit colour: one deflated strip, or raw as the input was."""
    height, width, channels = pixels.shape
    body = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    if not coding.uncompressed:
        body = _deflate(_differences(pixels), deep=pixels.dtype == np.uint16)
    structure: dict[int, tuple[int | None, Any]] = {
        256: (4, width),
        257: (4, height),
        258: (3, (8 * pixels.itemsize,) * channels),
        259: (3, _TIFF_RAW if coding.uncompressed else _TIFF_DEFLATE),
        262: (3, 1 if channels < 3 else 2),
        273: (4, 0),
        274: (3, 1),
        277: (3, channels),
        278: (4, height),
        279: (4, len(body)),
        284: (3, 1),
    }
    if not coding.uncompressed:
        structure[317] = (3, 2)
    if channels in (2, 4):
        structure[338] = (3, 1 if coding.premultiplied else 2)
    if metadata.dpi:
        structure |= {282: (5, metadata.dpi[0]), 283: (5, metadata.dpi[1]), 296: (3, 2)}
    try:
        return _tiff_file(tiff_directories(metadata) | structure) + body
    except (struct.error, ValueError, TypeError, KeyError, OverflowError, OSError) as error:
        notes.append(f"EXIF and TIFF tags left out: they are damaged ({error})")
        return _tiff_file(tiff_directories(replace(metadata, exif=None, tags=())) | structure) + body


def _differences(pixels: Pixels) -> bytes:
    """TIFF's predictor 2: each value less its left neighbour, modulo the depth."""
    out = pixels.copy()
    np.subtract(pixels[:, 1:], pixels[:, :-1], out=out[:, 1:])
    return out.astype(pixels.dtype.newbyteorder("<")).tobytes()


def _tiff_file(tags: dict[int, tuple[int | None, Any]]) -> bytes:
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    for tag, (kind, value) in tags.items():
        if kind:
            directory.tagtype[tag] = kind
        directory[tag] = value
    stream = io.BytesIO()
    directory.save(stream)  # type: ignore[no-untyped-call,unused-ignore]  # typed only in newer Pillow
    return stream.getvalue()


def _heic(pixels: Pixels, metadata: Metadata, quality: int) -> bytes:
    heif = import_heif()
    height, width, channels = pixels.shape
    mode = _MODES[channels] + (";16" if pixels.dtype == np.uint16 else "")
    extras = {"exif": metadata.exif, "xmp": metadata.xmp, "icc_profile": metadata.icc}
    stream = io.BytesIO()
    given = {name: value for name, value in extras.items() if value}
    heif.encode(mode, (width, height), pixels.tobytes(), stream, quality=quality, **given)
    return stream.getvalue()


def import_heif() -> Any:
    """The module pillow_heif.

    Raises:
        MissingPartError: It is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise MissingPartError("HEIC pictures need the extra `heif`: pip install 'facegraft[heif]'") from error
    return pillow_heif
