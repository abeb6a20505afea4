"""What a picture file holds besides pixels, and how it is kept true once the pixels are upright and changed.

EXIF is patched in place instead of being written anew: maker notes hold offsets that a rewrite breaks.
"""

from __future__ import annotations

import math
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, JpegImagePlugin, TiffImagePlugin

_ORIENTATION, _EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x0112, 0x8769, 0x8825, 0xA005
_SIZE_TAGS = {0x0100: "width", 0x0101: "height", 0xA002: "width", 0xA003: "height"}
_THUMBNAIL_PLACES = ((0x0201, 0x0202), (0x0111, 0x0117))
_ICC_TAG, _XMP_TAG, _PHOTOSHOP_TAG, _LAYERS_TAG, _C2PA_TAG = 34675, 700, 34377, 37724, 52545
_RESOLUTION_TAGS = {282, 283}
_C2PA_BOX = b"jumdc2pa"

_TIFF_STRUCTURE = frozenset(
    {254, 255, 256, 257, 258, 259, 262, 266, 273, 274, 277, 278, 279, 284, 290, 291, 292, 293, 301, 317, 318, 319, 320}
    | {321, 322, 323, 324, 325, 330, 332, 338, 339, 340, 341, 342, 347, *range(512, 522), 529, 530, 531, 532}
    | {_EXIF_IFD, _GPS_IFD, _INTEROP_IFD, _ICC_TAG, _XMP_TAG, _LAYERS_TAG, _C2PA_TAG}
)
"""Tags that describe how pixels are stored, are true only of those, or have a field of their own in `Metadata`."""

_PNG_COLOUR_CHUNKS = {b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI"}
_PNG_OWN_FIELDS = {b"iCCP", b"eXIf", b"tRNS", b"hIST", b"pHYs", b"acTL", b"fcTL", b"fdAT"}
_PNG_DEPENDS_ON_MODE = {b"bKGD", b"sBIT"}
_XMP_KEYWORD = b"XML:com.adobe.xmp\0"


@dataclass(frozen=True)
class Metadata:
    """Everything of a file that is not pixels.

    Attributes:
        exif: TIFF structure without a prefix; orientation 1, sizes of the upright picture, no thumbnail.
        icc: Colour profile, verbatim.
        xmp: XMP packet (UTF-8 XML).
        dpi: Horizontal and vertical resolution of the upright picture.
        blocks: Format's own blocks, verbatim, for the same format only: PNG chunks or JPEG segments.
        tags: TIFF tags (number, type, value), for TIFF only.
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    blocks: tuple[tuple[bytes, bytes], ...] = ()
    tags: tuple[tuple[int, int, Any], ...] = ()


def read_metadata(im: Image.Image, data: bytes, orientation: int, notes: list[str]) -> Metadata:
    """The metadata of an opened and loaded picture; its EXIF and XMP still say what the file says.

    Args:
        im: The picture; Pillow reads some blocks only while it loads.
        data: The whole file.
        orientation: Of the file's pixels, 1..8.
        notes: Gets a sentence for each thing left out.
    """
    blocks: tuple[tuple[bytes, bytes], ...] = ()
    tags: tuple[tuple[int, int, Any], ...] = ()
    if isinstance(im, JpegImagePlugin.JpegImageFile):
        blocks = _jpeg_blocks(im, notes)
    elif im.format == "PNG":
        blocks = _png_blocks(im, data)
    elif isinstance(im, TiffImagePlugin.TiffImageFile):
        tags = _tiff_tags(im, notes)
    notes.extend(manifest_notes(im.format or "", data))
    exif = _tiff_exif(im, tags, notes) if im.format == "TIFF" else im.info.get("exif")
    dpi = _dpi(im)
    return Metadata(
        exif=exif.removeprefix(b"Exif\0\0") if exif else None,
        icc=im.info.get("icc_profile") or None,
        xmp=_xmp(im),
        dpi=(dpi[1], dpi[0]) if dpi and orientation >= 5 else dpi,
        blocks=blocks,
        tags=tags,
    )


def manifest_notes(name: str, data: bytes) -> list[str]:
    """Says that a signed manifest is not copied to changed pixels; a JPEG's segments say so themselves."""
    held = name != "JPEG" and _C2PA_BOX in data
    return ["the C2PA manifest left out: true only of the old pixels"] if held else []


def exif_orientation(exif: bytes | None) -> int:
    """1..8; 1 where EXIF is missing, damaged or says nothing."""
    try:
        for order, tag, entry in _entries(exif or b"", first_ifd(exif or b"")):
            if tag == _ORIENTATION:
                (value,) = struct.unpack_from(order + "H", exif or b"", entry + 8)
                return value if 1 <= value <= 8 else 1
    except (struct.error, ValueError):
        return 1
    return 1


def upright_exif(exif: bytes, size_hw: tuple[int, int]) -> bytes:
    """EXIF for upright pixels of this size: orientation 1, sizes set where given, thumbnail blanked.

    Raises:
        ValueError: The EXIF is damaged.
    """
    out = bytearray(exif)
    start = first_ifd(exif)
    sizes = {"height": size_hw[0], "width": size_hw[1]}
    try:
        for order, tag, entry in _entries(exif, start):
            if tag == _ORIENTATION:
                struct.pack_into(order + "HIHH", out, entry + 2, 3, 1, 1, 0)
            elif tag == _EXIF_IFD:
                (sub_ifd,) = struct.unpack_from(order + "I", exif, entry + 8)
                _set_sizes(out, exif, sub_ifd, sizes)
        _set_sizes(out, exif, start, sizes)
        _drop_thumbnail(out, exif, start)
    except struct.error as error:
        raise ValueError("EXIF is damaged") from error
    return bytes(out)


def upright_xmp(xmp: bytes) -> bytes:
    """XMP whose `tiff:Orientation` is 1; of the same length, as its padding and checks may expect."""
    return re.sub(rb"(tiff:Orientation(?:\s*=\s*[\"']|>)\s*)[2-8]", rb"\g<1>1", xmp)


def first_ifd(exif: bytes) -> int:
    """Offset of the first directory.

    Raises:
        ValueError: This is no TIFF structure.
    """
    order = _byte_order(exif)
    if len(exif) < 8 or struct.unpack_from(order + "H", exif, 2)[0] != 42:
        raise ValueError("EXIF is damaged")
    return int(struct.unpack_from(order + "I", exif, 4)[0])


def _byte_order(exif: bytes) -> str:
    if exif[:2] not in (b"II", b"MM"):
        raise ValueError("EXIF is damaged")
    return "<" if exif[:2] == b"II" else ">"


def _entries(exif: bytes, ifd: int) -> Iterator[tuple[str, int, int]]:
    """Byte order, tag and offset of each 12-byte entry of a directory."""
    order = _byte_order(exif)
    (count,) = struct.unpack_from(order + "H", exif, ifd)
    for row in range(count):
        entry = ifd + 2 + 12 * row
        yield order, struct.unpack_from(order + "H", exif, entry)[0], entry


def _set_sizes(out: bytearray, exif: bytes, ifd: int, sizes: dict[str, int]) -> None:
    for order, tag, entry in _entries(exif, ifd):
        if tag in _SIZE_TAGS:  # written as LONG, whatever it was: its four bytes lie in the entry itself
            struct.pack_into(order + "HII", out, entry + 2, 4, 1, sizes[_SIZE_TAGS[tag]])


def _drop_thumbnail(out: bytearray, exif: bytes, ifd: int) -> None:
    """Blanks the old face in the second directory's preview and unlinks that directory."""
    order = _byte_order(exif)
    (count,) = struct.unpack_from(order + "H", exif, ifd)
    link = ifd + 2 + 12 * count
    (second,) = struct.unpack_from(order + "I", exif, link) if link + 4 <= len(exif) else (0,)
    if not second:
        return
    struct.pack_into(order + "I", out, link, 0)
    values = {tag: struct.unpack_from(order + "I", exif, entry + 8)[0] for order, tag, entry in _entries(exif, second)}
    for offset_tag, length_tag in _THUMBNAIL_PLACES:
        start = values.get(offset_tag, 0)
        end = min(start + values.get(length_tag, 0), len(exif))
        if start >= 8 and end == len(exif):
            del out[start:]
        elif start >= 8:
            out[start:end] = bytes(max(end - start, 0))


def _xmp(im: Image.Image) -> bytes | None:
    xmp = im.info.get("xmp")
    if xmp is None and im.format == "TIFF":
        xmp = im.tag_v2.get(_XMP_TAG)  # type: ignore[attr-defined]  # only TIFF pictures have tags
    if isinstance(xmp, tuple):
        xmp = bytes(xmp)
    return xmp if isinstance(xmp, bytes) and xmp.strip(b"\0 ") else None


def _dpi(im: Image.Image) -> tuple[float, float] | None:
    """A JPEG's comes from JFIF alone: where the file says nothing Pillow invents 72, and 1 for a TIFF."""
    if im.format == "JPEG" and im.info.get("jfif_unit") not in (1, 2):
        return None
    if isinstance(im, TiffImagePlugin.TiffImageFile) and not set(im.tag_v2) >= _RESOLUTION_TAGS:
        return None
    try:
        dpi = tuple(float(value) for value in im.info.get("dpi", ()))
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return (dpi[0], dpi[1]) if len(dpi) == 2 and all(math.isfinite(v) and 0 < v < 1e6 for v in dpi) else None


def _jpeg_blocks(im: JpegImagePlugin.JpegImageFile, notes: list[str]) -> tuple[tuple[bytes, bytes], ...]:
    """Segments that stay true when pixels change. `applist` also lists those with a field of their own."""
    kept: list[tuple[bytes, bytes]] = []
    dropped = set()
    for name, content in im.applist:
        if name == "COM":
            kept.append((b"\xfe", content))
        elif name == "APP11":
            dropped.add("C2PA or other JUMBF boxes")
        elif name == "APP1" and content.startswith(b"http://ns.adobe.com/xmp/extension/"):
            dropped.add("the extended XMP")
        elif name == "APP2" and content.startswith(b"MPF\0"):
            dropped.add("further pictures in the file (previews, depth or gain maps)")
        elif name == "APP13":
            kept.append((b"\xed", without_photoshop_thumbnail(content, prefix=b"Photoshop 3.0\0")))
        elif name not in {"APP0", "APP1", "APP2", "APP14"}:
            kept.append((bytes([0xE0 + int(name.removeprefix("APP"))]), content))
    notes.extend(f"{what} left out: true only of the old pixels" for what in sorted(dropped))
    return tuple(kept)


def without_photoshop_thumbnail(resources: bytes, prefix: bytes = b"") -> bytes:
    """Photoshop image resources less 1033 and 1036, which are small copies of the old picture."""
    if not resources.startswith(prefix):
        return resources
    at, out = len(prefix), bytearray(prefix)
    while resources[at : at + 4] == b"8BIM" and at + 12 <= len(resources):
        name_end = at + 6 + (resources[at + 6] + 2) // 2 * 2
        size = int.from_bytes(resources[name_end : name_end + 4], "big")
        end = name_end + 4 + (size + 1) // 2 * 2
        if int.from_bytes(resources[at + 4 : at + 6], "big") not in (1033, 1036):
            out += resources[at:end]
        at = end
    return bytes(out + resources[at:])


def _png_blocks(im: Image.Image, data: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Ancillary chunks; of unknown ones those that their name allows to be copied after an edit."""
    converted = im.mode == "P" or "transparency" in im.info or data[24] < 8
    kept = []
    for kind, content in png_chunks(data):
        if not kind[:1].islower():
            continue
        known = kind in _PNG_COLOUR_CHUNKS or kind in {b"tIME", b"tEXt", b"zTXt", b"iTXt"}
        safe = known or kind[3:4].islower() or (kind in _PNG_DEPENDS_ON_MODE and not converted)
        of_aspect = kind == b"pHYs" and content[8:9] == b"\0"
        own_field = (kind in _PNG_OWN_FIELDS and not of_aspect) or content.startswith(_XMP_KEYWORD)
        if safe and not own_field:
            kept.append((kind, content))
    return tuple(kept)


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of each chunk, as far as the file goes; content of pixels is left empty.

    Raises:
        ValueError: A checksum is wrong. Pillow does not check those of pixels, so damage would pass unseen.
    """
    at, view = 8, memoryview(data)
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 8 + length
        if zlib.crc32(view[at + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise ValueError(f"wrong checksum in chunk {kind!r}")
        yield kind, b"" if kind == b"IDAT" else data[at + 8 : end]
        at = end + 4


def _tiff_tags(im: TiffImagePlugin.TiffImageFile, notes: list[str]) -> tuple[tuple[int, int, Any], ...]:
    directory = im.tag_v2
    kept: list[tuple[int, int, Any]] = []
    for tag in sorted(set(directory) - _TIFF_STRUCTURE):
        value, kind = directory[tag], directory.tagtype.get(tag, 0)
        if tag == _PHOTOSHOP_TAG and isinstance(value, bytes):
            value = without_photoshop_thumbnail(value)
        kept.append((tag, kind, value))
    if _LAYERS_TAG in directory:
        notes.append("Photoshop layers left out: they hold the old pixels")
    return tuple(kept)


def _tiff_exif(im: Image.Image, tags: tuple[tuple[int, int, Any], ...], notes: list[str]) -> bytes | None:
    """EXIF that says what the TIFF's own directories say."""
    old, new = im.getexif(), Image.Exif()
    for tag, _, value in tags:
        if tag != _PHOTOSHOP_TAG:
            new[tag] = value
    try:
        for group in (_EXIF_IFD, _GPS_IFD):
            if content := old.get_ifd(group):
                new[group] = dict(content)
        return new.tobytes() if len(new) else None
    except (struct.error, ValueError, TypeError, KeyError, OSError) as error:
        notes.append(f"EXIF left out: it is damaged ({error})")
        return None


def tiff_directories(metadata: Metadata) -> dict[int, tuple[int | None, Any]]:
    """Tags of a TIFF file: type (None: the usual one) and value; sub-directories are dictionaries."""
    out: dict[int, tuple[int | None, Any]] = {tag: (kind, value) for tag, kind, value in metadata.tags}
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
        if not metadata.tags:
            out.update({tag: (None, exif[tag]) for tag in exif if tag not in _TIFF_STRUCTURE})
        for group in (_EXIF_IFD, _GPS_IFD):
            if content := dict(exif.get_ifd(group)):
                out[group] = (None, content)
    for tag, value in ((_ICC_TAG, metadata.icc), (_XMP_TAG, metadata.xmp)):
        if value:
            out[tag] = (7 if tag == _ICC_TAG else 1, value)
    return out
