"""Read and write pictures. Nothing but this file sees BGR, EXIF orientation, palettes or CMYK.

A picture is read as upright pixels in its own depth and channels, with all its metadata. Swaps arrive as
patches that are added to those pixels, so whatever no patch touches goes out as it came in.
"""

from __future__ import annotations

import io
import logging
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import atomic_path, check_input_file, read_bytes, shown, sniff
from facegraft.core.image_decode import (
    DEEP_COLOUR,
    RefusedError,
    check_single,
    cmyk_pixels,
    coding_of,
    mode_of,
    pixels_of,
)
from facegraft.core.image_formats import FORMAT_BY_SUFFIX, Coding, Pixels, eight_bit, encode, import_heif
from facegraft.core.image_metadata import (
    Metadata,
    exif_orientation,
    manifest_notes,
    read_metadata,
    upright_exif,
    upright_xmp,
)
from facegraft.core.quiet import quiet_stderr
from facegraft.core.types import Frame, Patch

logger = logging.getLogger(__name__)

DEFAULT_MAX_PIXELS = 200_000_000

# Called directly, not through Image.open: its pixel limit is a global of the whole process.
_OPENERS: dict[str, Callable[[io.BytesIO], Image.Image]] = {
    "image/jpeg": JpegImagePlugin.JpegImageFile,
    "image/png": PngImagePlugin.PngImageFile,
    "image/webp": WebPImagePlugin.WebPImageFile,
    "image/tiff": TiffImagePlugin.TiffImageFile,
    "image/bmp": BmpImagePlugin.BmpImageFile,
    "image/gif": GifImagePlugin.GifImageFile,
    "image/avif": AvifImagePlugin.AvifImageFile,
}
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclass(frozen=True)
class Picture:
    """A picture file in memory.

    Attributes:
        frame: Upright RGB for analysis, in the file's own colour space; alpha ignored. Read-only.
        pixels: Upright pixels as they will be written. Read-only.
        format: JPEG, PNG, WEBP, TIFF, HEIC, AVIF, BMP or GIF.
        mode: What the file holds: 1, L, LA, P, RGB, RGBA, CMYK ..., with `;16` where it holds 16 bits.
        orientation: EXIF orientation of the file, 1..8; `pixels` and `metadata` are upright already.
        metadata: EXIF, XMP, colour profile, resolution, text.
        coding: How the file's pixels were coded.
        notes: What reading had to change or leave out, one sentence each.
    """

    frame: Frame
    pixels: Pixels
    format: str
    mode: str
    orientation: int
    metadata: Metadata
    coding: Coding
    notes: tuple[str, ...] = ()

    @property
    def xmp(self) -> bytes | None:
        return self.metadata.xmp

    @property
    def bit_depth(self) -> int:
        """Of `pixels`: 8 or 16."""
        return 8 * self.pixels.itemsize

    @property
    def has_alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4)


def read_picture(path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Picture:
    """Reads a picture by its content, whatever its name says.

    Args:
        path: JPEG, PNG, WebP, TIFF, HEIC, AVIF, BMP or a still GIF.
        max_pixels: Checked before decoding.

    Raises:
        BadInputError: Not a picture, damaged, animated, of several pages, or too big.
        MissingPartError: HEIC without the extra `heif`.
    """
    kind = sniff(path)
    if kind != "image/heic" and kind not in _OPENERS:
        raise BadInputError(f"{shown(path)}: expected a picture, found {_described(kind)}; {_KNOWN}")
    if check_input_file(path).st_size > 8 * max_pixels + 2**26:
        raise BadInputError(
            f"{shown(path)}: the file is larger than any picture of {max_pixels} pixels; {_RAISE_LIMIT}"
        )
    data = read_bytes(path)
    heif = import_heif() if kind == "image/heic" else None
    try:
        with _logged_warnings(path), quiet_stderr("libtiff") if kind == "image/tiff" else nullcontext():
            return _read_heic(heif, data, max_pixels) if heif else _read(kind, data, max_pixels)
    except RefusedError as error:
        raise BadInputError(f"{shown(path)}: {error}") from error
    except Exception as error:
        # Decoders fail on hostile data in every way there is, and all of them mean the same to the user.
        what = f"damaged or unsupported {kind.removeprefix('image/').upper()}"
        short = isinstance(error.__cause__ or error, struct.error | EOFError | IndexError)
        cause = "it ends too early" if short else _one_line(error)
        raise BadInputError(f"{shown(path)}: {what} ({cause}); save it anew or use another file") from error


def limit_of(megapixels: float | int) -> int:
    """The pixels of `--max-megapixels`.

    Raises:
        BadInputError: Out of range.
    """
    if not 0 < megapixels <= 10_000:
        raise BadInputError(f"--max-megapixels must be above 0 and at most 10000, found {megapixels}")
    return round(megapixels * 1e6)


def picture_from_frame(frame: Frame) -> Picture:
    """A picture without a file: plain RGB, no metadata, PNG unless the output's name says otherwise."""
    return Picture(frame, frame, "PNG", "RGB", 1, Metadata(), Coding())


def write_picture(
    path: Path,
    picture: Picture,
    patches: list[Patch],
    *,
    quality: int | None = None,
    xmp: bytes | None = None,
) -> tuple[str, ...]:
    """Adds patches to a picture and writes it, upright, whole or not at all. See `encode_picture`.

    Returns:
        Sentences for the user: what was changed or left out on the way, reading included.

    Raises:
        BadInputError: The suffix names no known format, or quality is out of range.
        OutputError: The file cannot be written, or its format holds no picture of this size.
    """
    data, notes = encode_picture(path, picture, patches, quality=quality, xmp=xmp)
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)
    return notes


def encode_picture(
    path: Path,
    picture: Picture,
    patches: list[Patch],
    *,
    quality: int | None = None,
    xmp: bytes | None = None,
) -> tuple[bytes, tuple[str, ...]]:
    """The bytes that `write_picture` would write to `path`, and its notes.

    Where every patch is 0, lossless formats keep each pixel exactly. Grey pictures stay grey.

    Args:
        path: The suffix chooses the format; without one it is the picture's own.
        picture: As read.
        patches: In units of an 8-bit frame, on `picture.frame`.
        quality: 1..100 for lossy formats. Default: a JPEG's own tables, lossless WebP for lossless input, else high.
        xmp: Packet to store instead of `picture.xmp`; empty: store none.

    Raises:
        BadInputError: The suffix names no known format, or quality is out of range.
        OutputError: The format holds no picture of this size.
    """
    name = output_format(path, picture)
    if quality is not None and not 1 <= quality <= 100:
        raise BadInputError(f"quality: expected 1 to 100, found {quality}")
    notes = list(picture.notes)
    metadata = picture.metadata if xmp is None else replace(picture.metadata, xmp=xmp or None)
    if name != picture.format:
        if any(kind in _TEXT_BLOCKS for kind, _ in metadata.blocks):
            notes.append(f"comments and text left out: they are not carried from {picture.format} to {name}")
        metadata = replace(metadata, blocks=(), tags=())
    pixels = patched(picture.pixels, patches)
    try:
        with _logged_warnings(path):
            data = encode(name, pixels, metadata, picture.coding, quality, notes)
    except (OSError, ValueError, RuntimeError, OverflowError) as error:
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        raise OutputError(f"{shown(path)}: {name} cannot hold this {size} picture ({_one_line(error)})") from error
    return data, tuple(notes)


def save_frame(path: Path, frame: Frame, *, quality: int | None = None, xmp: bytes | None = None) -> None:
    """Writes a plain RGB frame (a sheet, a thumbnail) in the format that the suffix names, PNG by default."""
    write_picture(path, picture_from_frame(frame), [], quality=quality, xmp=xmp)


def output_format(path: Path, picture: Picture | None = None) -> str:
    """The format that `path` will be written in; cheap, to be called before any work.

    Raises:
        BadInputError: The suffix names no format that can be written.
        MissingPartError: HEIC without the extra `heif`.
    """
    suffix = path.suffix.lower()
    own = picture.format if picture else "PNG"
    name = own if suffix == "" and own != "GIF" else FORMAT_BY_SUFFIX.get(suffix)
    if name is None:
        known = " ".join(sorted(FORMAT_BY_SUFFIX))
        raise BadInputError(f"{shown(path)}: cannot write pictures as {suffix or own!r}; use one of {known}")
    if name == "HEIC":
        import_heif()
    return name


def patched(pixels: Pixels, patches: list[Patch]) -> Pixels:
    """A copy of upright pixels with patches added at their own depth; alpha is left alone."""
    out = pixels.copy()
    colours = 1 if pixels.shape[2] < 3 else 3
    scale = 1 if pixels.dtype == np.uint8 else 257
    for patch in patches:
        height, width = patch.delta.shape[:2]
        region = out[patch.top : patch.top + height, patch.left : patch.left + width, :colours]
        if min(patch.top, patch.left) < 0 or region.shape[:2] != (height, width):
            raise ValueError(f"patch of {width}x{height} at {patch.left},{patch.top} reaches outside the picture")
        delta = patch.delta if colours == 3 else (patch.delta @ _LUMA)[..., None]
        mixed = np.rint(region + delta * np.float32(scale))
        region[...] = np.clip(mixed, 0, 255 * scale).astype(pixels.dtype)
    return out


_KNOWN = "known are JPEG, PNG, WebP, TIFF, HEIC, AVIF, BMP"
_RAISE_LIMIT = (
    "scale it down first (swap, analyse and ingest take larger ones with --max-megapixels, if you trust them)"
)
_UNKNOWN_LAYOUT = "16-bit colour in a layout that is not known; save it as a plain 16-bit TIFF or PNG"
_TEXT_BLOCKS = {b"tEXt", b"zTXt", b"iTXt", b"\xfe"}


def _read(kind: str, data: bytes, max_pixels: int) -> Picture:
    im = _OPENERS[kind](io.BytesIO(data))
    name = im.format or ""
    notes: list[str] = []
    _check_size(im.size, max_pixels)
    check_single(im, notes)
    # TIFF: Pillow turns the pixels itself while it loads, by a tag that it then deletes.
    tiff_orientation = int(im.getexif().get(0x0112, 1)) if name == "TIFF" else 0
    mode, coding = mode_of(im, data), coding_of(im, data)
    im.load()
    exif = im.info.get("exif", b"").removeprefix(b"Exif\0\0")
    orientation = tiff_orientation if 1 <= tiff_orientation <= 8 else exif_orientation(exif)
    if orientation >= 5 and coding.subsampling == 1:
        coding = replace(coding, subsampling=0)  # 4:2:2 on its side is 4:4:0, which cannot be written
    metadata = read_metadata(im, data, orientation, notes)
    if mode in DEEP_COLOUR.values():
        pixels = _sixteen_bit_colour(data, mode)
        pixels = pixels if name == "TIFF" else _upright(pixels, orientation)  # OpenCV turns TIFF, asked or not
        if not coding.premultiplied:
            _check_same(pixels, _upright(np.asarray(im), 1 if name == "TIFF" else orientation))
    elif im.mode == "CMYK":
        pixels = _upright(cmyk_pixels(im, metadata.icc, notes), 1 if name == "TIFF" else orientation)
        metadata = replace(metadata, icc=None)
    else:
        pixels = _upright(pixels_of(im, notes), 1 if name == "TIFF" else orientation)
    if name == "AVIF" and data[data.find(b"av1C") + 6] & 0x40:
        notes.append("AVIF's 10-bit or 12-bit values were read as 8-bit ones")
    return _picture(pixels, name, mode, orientation, metadata, coding, notes)


def _read_heic(heif: Any, data: bytes, max_pixels: int) -> Picture:
    """As `_read`: libheif turns the pixels by itself, so the EXIF orientation is out of date already."""
    opened = heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    _check_size(opened.size, max_pixels)
    notes = ["further pictures in the file left out"] if len(opened) > 1 else []
    notes += manifest_notes("HEIC", data)
    pixels = np.asarray(opened)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    info = opened.info
    exif = (info.get("exif") or b"").removeprefix(b"Exif\0\0")
    metadata = Metadata(exif=exif or None, icc=info.get("icc_profile") or None, xmp=info.get("xmp") or None)
    orientation = info.get("original_orientation") or 1
    return _picture(pixels, "HEIC", opened.mode, orientation, metadata, Coding(lossless=False), notes)


def _picture(
    pixels: Pixels, name: str, mode: str, orientation: int, metadata: Metadata, coding: Coding, notes: list[str]
) -> Picture:
    """Makes metadata true of the upright pixels, and a frame of them."""
    exif, xmp = metadata.exif, metadata.xmp
    try:
        exif = upright_exif(exif, (pixels.shape[0], pixels.shape[1])) if exif else None
    except ValueError as error:
        notes.append(f"{error}: left out")
        exif = None
    if xmp and orientation != 1:
        xmp = upright_xmp(xmp)
    frame = _frame(pixels)
    pixels.flags.writeable = frame.flags.writeable = False  # they may share memory, and patches count from them
    return Picture(frame, pixels, name, mode, orientation, replace(metadata, exif=exif, xmp=xmp), coding, tuple(notes))


def _frame(pixels: Pixels) -> Frame:
    eight = eight_bit(pixels)
    if pixels.shape[2] < 3:
        return cv2.cvtColor(np.ascontiguousarray(eight[..., 0]), cv2.COLOR_GRAY2RGB).astype(np.uint8, copy=False)
    return eight if pixels.shape[2] == 3 else cv2.cvtColor(eight, cv2.COLOR_RGBA2RGB).astype(np.uint8, copy=False)


def _check_size(size_wh: tuple[int, int], max_pixels: int) -> None:
    width, height = size_wh
    if width < 1 or height < 1:
        raise RefusedError(f"expected pixels, found a picture of {width}x{height}")
    if width * height > max_pixels:
        found = f"{width}x{height} is {width * height / 1e6:.1f} megapixels"
        raise RefusedError(f"{found}, above the limit of {max_pixels / 1e6:g}; {_RAISE_LIMIT}")


def _sixteen_bit_colour(data: bytes, mode: str) -> Pixels:
    level = cv2.utils.logging.setLogLevel(0)  # it writes of unknown TIFF tags to standard error
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        raise RefusedError(_UNKNOWN_LAYOUT)
    order = [0, 3] if mode == "LA;16" else [2, 1, 0, 3][: decoded.shape[2]]
    return np.ascontiguousarray(decoded[..., order])


def _check_same(deep: Pixels, high_bytes: np.ndarray) -> None:
    """Pillow, which drops the low bytes, must have seen the same picture: OpenCV misreads rare layouts in silence."""
    colours = 1 if deep.shape[2] < 3 else 3
    same_size = deep.shape[:2] == high_bytes.shape[:2]
    if not same_size or not np.array_equal(deep[..., :colours] >> 8, high_bytes[..., :colours]):
        raise RefusedError(_UNKNOWN_LAYOUT)


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undoes an EXIF orientation."""
    if orientation == 1:
        return pixels
    turned = cv2.transpose(pixels) if orientation in (5, 6, 7, 8) else pixels
    mirror = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    turned = turned if mirror is None else cv2.flip(turned, mirror)
    return turned.reshape(*turned.shape[:2], -1).astype(pixels.dtype, copy=False)


@contextmanager
def _logged_warnings(path: Path) -> Iterator[None]:
    """Pillow warns of many things that the user can do nothing about; they go to the debug log."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        logger.debug("%s: %s", shown(path), warning.message)


def _described(kind: str | None) -> str:
    return {None: "unknown content", "inode/x-empty": "an empty file", "text/plain": "text"}.get(kind, kind or "")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
