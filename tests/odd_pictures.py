"""Odd and bad picture files, each with what must come of it. Written by other encoders than ours where there is one.

Run `python -m tests.odd_pictures FOLDER PICTURE` to look at them.
"""

from __future__ import annotations

import contextlib
import io
import os
import random
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from facegraft.core.types import Frame
from tests.picture_bytes import (
    alpha_of,
    cmyk_profile,
    deep,
    exif_bytes,
    file_pixels,
    grey_alpha16_png,
    grey_of,
    interlaced_png,
    opencv_bytes,
    pillow_bytes,
    png_with,
    srgb_profile,
    text_png,
    tiff_bytes,
    tiff_tags,
    with_alpha,
)

Expected = Literal["right", "no face", "error"]
MAX_PIXELS = 200_000_000


@dataclass(frozen=True)
class OddPicture:
    """One odd file.

    Attributes:
        path: Where it lies, or would lie.
        expected: "right": it reads and shows the face; "no face": it reads; "error": one line, nothing written.
        why: What is odd.
        tolerance: Greatest mean difference from the face that its coding explains; None: not like the face.
    """

    path: Path
    expected: Expected
    why: str
    tolerance: float | None = None


Item = tuple[str, bytes, Expected, str, float | None]


def make_odd_pictures(folder: Path, face: Frame) -> list[OddPicture]:
    """Writes the files and says what to expect.

    Args:
        folder: Empty, and of a short name.
        face: An upright picture of a face, higher than wide or wider than high but not square.
    """
    made = []
    items = [*_jpegs(face), *_orientations(face), *_pngs(face), *_tiffs(face), *_others(face), *_broken(face)]
    for name, data, expected, why, tolerance in items:
        path = folder / name
        path.write_bytes(data)
        made.append(OddPicture(path, expected, why, tolerance))
    return made + list(_names(folder, face)) + list(_no_files(folder))


def _jpegs(face: Frame) -> Iterator[Item]:
    im = Image.fromarray(face)
    height, width = face.shape[:2]
    plain = pillow_bytes(im, "JPEG", quality=95)
    thumbnail = pillow_bytes(im.resize((16, 16)), "JPEG")
    exif = b"Exif\0\0" + exif_bytes(1, (height, width), thumbnail, ">")
    cmyk = im.convert("CMYK")
    yield "plain.jpg", plain, "right", "nothing odd", 4
    yield "progressive.jpg", pillow_bytes(im, "JPEG", quality=95, progressive=True), "right", "progressive", 4
    yield "444.jpg", pillow_bytes(im, "JPEG", quality=100, subsampling=0), "right", "no chroma subsampling", 2
    yield "grey.jpg", pillow_bytes(grey_of(face), "JPEG", quality=95), "right", "grey JPEG", None
    yield "icc.jpg", pillow_bytes(im, "JPEG", quality=95, icc_profile=srgb_profile()), "right", "colour profile", 4
    yield "bad_icc.jpg", pillow_bytes(im, "JPEG", quality=95, icc_profile=b"no profile"), "right", "damaged profile", 4
    yield "thumbnail.jpg", pillow_bytes(im, "JPEG", quality=95, exif=exif), "right", "EXIF with thumbnail", 4
    bad_exif = exif[:40] + b"\xff" * 60
    yield "bad_exif.jpg", pillow_bytes(im, "JPEG", quality=95, exif=bad_exif), "right", "damaged EXIF", 4
    yield "cmyk.jpg", pillow_bytes(cmyk, "JPEG", quality=95), "right", "CMYK with Adobe marker", 5
    with_profile = pillow_bytes(cmyk, "JPEG", quality=95, icc_profile=cmyk_profile())
    yield "cmyk_icc.jpg", with_profile, "right", "CMYK with a profile", 45
    bad_profile = pillow_bytes(cmyk, "JPEG", quality=95, icc_profile=b"no profile")
    yield "cmyk_bad_icc.jpg", bad_profile, "right", "CMYK with a damaged profile", 5
    yield "more_at_end.jpg", plain + b"trailing bytes" * 99, "right", "bytes behind the end", 4
    mpo = pillow_bytes(im, "MPO", quality=95, save_all=True, append_images=[im.resize((32, 32))])
    yield "two.mpo.jpg", mpo, "right", "MPO: a second picture in the file", 4


def _orientations(face: Frame) -> Iterator[Item]:
    for orientation in range(1, 9):
        stored = file_pixels(face, orientation)
        exif = b"Exif\0\0" + exif_bytes(orientation, stored.shape[:2], b"\xff\xd8thumbnail\xff\xd9")
        data = pillow_bytes(stored, "JPEG", quality=95, exif=exif)
        yield f"turned{orientation}.jpg", data, "right", f"EXIF orientation {orientation}", 4
    stored = file_pixels(face, 6)
    exif = exif_bytes(6, stored.shape[:2])
    yield "turned.png", pillow_bytes(stored, "PNG", exif=exif), "right", "PNG with EXIF orientation", 0
    yield "turned.webp", pillow_bytes(stored, "WEBP", lossless=True, exif=exif), "right", "WebP with orientation", 0
    yield "turned.tif", pillow_bytes(stored, "TIFF", tiffinfo={274: 6}), "right", "TIFF with orientation", 0
    wild = b"Exif\0\0" + exif_bytes(4711, face.shape[:2])
    yield "turned4711.jpg", pillow_bytes(face, "JPEG", quality=95, exif=wild), "right", "impossible orientation", 4


def _pngs(face: Frame) -> Iterator[Item]:
    im = Image.fromarray(face)
    grey = grey_of(face)
    palette = im.quantize(256)
    yield "rgba.png", pillow_bytes(with_alpha(face), "PNG"), "right", "alpha", 0
    yield "la.png", pillow_bytes(np.dstack([grey, alpha_of(face)]), "PNG"), "right", "grey with alpha", None
    yield "grey.png", pillow_bytes(grey, "PNG"), "right", "grey", None
    yield "1bit.png", pillow_bytes(im.convert("1"), "PNG"), "no face", "1 bit per pixel", None
    yield "palette.png", pillow_bytes(palette, "PNG"), "right", "palette", 12
    yield "palette_key.png", pillow_bytes(palette, "PNG", transparency=3), "right", "palette, transparent colour", 12
    alphas = bytes([255] * 255 + [9])
    yield "palette_alphas.png", pillow_bytes(palette, "PNG", transparency=alphas), "right", "palette of alphas", 12
    yield "key.png", pillow_bytes(im, "PNG", transparency=tuple(map(int, face[0, 0]))), "right", "transparent colour", 0
    yield "interlaced.png", interlaced_png(face), "right", "interlaced", 0
    bgr = deep(face)[..., ::-1]
    yield "rgb16.png", opencv_bytes(".png", bgr), "right", "16 bits per channel", 1
    opaque = np.dstack([bgr, alpha_of(face).astype(np.uint16) * 257])
    yield "rgba16.png", opencv_bytes(".png", opaque), "right", "16 bits and alpha", 1
    yield "grey16.png", opencv_bytes(".png", deep(face)[..., 1]), "right", "16-bit grey", None
    keyed16 = png_with(opencv_bytes(".png", bgr), b"tRNS", struct.pack(">3H", *deep(face)[0, 0]))
    yield "key16.png", keyed16, "right", "16 bits, transparent colour", 1
    yield "grey_alpha16.png", grey_alpha16_png(face), "right", "16-bit grey with alpha", None
    yield "4colours.png", pillow_bytes(im.quantize(4), "PNG", bits=2), "right", "palette of 2 bits", None
    yield "text.png", text_png(im), "right", "text chunks", 0
    apng = pillow_bytes(im, "PNG", save_all=True, append_images=[Image.fromarray(face[::-1].copy())])
    yield "animated.png", apng, "error", "animated PNG", None
    bomb = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    bomb += struct.pack(">I", zlib.crc32(bomb[12:]))
    bomb += b"\0\0\0\x0bIDAT" + zlib.compress(b"\0\0\0")[:11].ljust(11, b"\0") + bytes(4) + b"\0\0\0\0IEND\xaeB`\x82"
    yield "bomb.png", bomb, "error", "header of 60000x60000", None
    text_bomb = b"comment\0\0" + zlib.compress(bytes(100_000_000), 9)
    yield "text_bomb.png", png_with(pillow_bytes(im, "PNG"), b"zTXt", text_bomb), "error", "100 MB of text", None
    plain = pillow_bytes(im, "PNG")
    wrong = plain[:-30] + bytes([plain[-30] ^ 255]) + plain[-29:]
    yield "bad_crc.png", wrong, "error", "wrong checksum", None
    yield "1x1.png", pillow_bytes(face[:1, :1], "PNG"), "no face", "one pixel", None
    yield "1xn.png", pillow_bytes(face[:, :1], "PNG"), "no face", "one column", None


def _tiffs(face: Frame) -> Iterator[Item]:
    im = Image.fromarray(face)
    height, width = face.shape[:2]
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        yield f"{compression}.tif", pillow_bytes(im, "TIFF", compression=compression), "right", compression, 0
    yield "jpeg.tif", pillow_bytes(im, "TIFF", compression="jpeg", quality=95), "right", "JPEG in TIFF", 4
    yield "rgba.tif", pillow_bytes(with_alpha(face), "TIFF"), "right", "TIFF with alpha", 0
    yield "palette.tif", pillow_bytes(im.quantize(256), "TIFF"), "right", "TIFF palette", 12
    yield "cmyk.tif", pillow_bytes(im.convert("CMYK"), "TIFF"), "right", "TIFF in CMYK", 3
    yield "big.tif", pillow_bytes(im, "TIFF", big_tiff=True), "right", "BigTIFF", 0
    pixels = deep(face)
    yield "rgb16.tif", opencv_bytes(".tif", pixels[..., ::-1]), "right", "16 bits per channel", 1
    rgba = np.dstack([pixels, alpha_of(face).astype(np.uint16) * 257])
    yield "rgba16.tif", tiff_bytes(tiff_tags(rgba, t338=(3, (2,))), [rgba.tobytes()]), "right", "16 bits and alpha", 1
    stored = np.ascontiguousarray(file_pixels(pixels, 8))
    turned = tiff_bytes(tiff_tags(stored, t274=(3, (8,))), [stored.tobytes()])
    ready = (rgba[..., :3] * (rgba[..., 3:] / 65535)).astype(np.uint16)
    premultiplied = np.dstack([ready, rgba[..., 3]])
    associated = tiff_bytes(tiff_tags(premultiplied, t338=(3, (1,))), [premultiplied.tobytes()])
    yield "premultiplied16.tif", associated, "right", "16 bits, colours multiplied by alpha", None
    planes = [np.ascontiguousarray(pixels[..., channel]).tobytes() for channel in range(3)]
    yield "planar16.tif", tiff_bytes(tiff_tags(pixels, t284=(3, (2,))), planes), "error", "16-bit colour planes", None
    yield "turned16.tif", turned, "right", "16 bits, orientation 8", 1
    grey = pixels[..., 1:2]
    yield "grey16.tif", tiff_bytes(tiff_tags(grey), [grey.tobytes()]), "right", "16-bit grey", None
    inverted = 65535 - grey
    white = tiff_bytes(tiff_tags(grey, t262=(3, (0,))), [inverted.tobytes()])
    yield "white_is_zero.tif", white, "right", "16-bit grey, 0 is white", None
    planar = tiff_bytes(
        tiff_tags(face, t284=(3, (2,))), [np.ascontiguousarray(face[..., c]).tobytes() for c in range(3)]
    )
    yield "planar.tif", planar, "right", "colour planes", 0
    padded = np.pad(face, ((0, -height % 16), (0, -width % 16), (0, 0)))
    tiles = [padded[y : y + 16, x : x + 16].tobytes() for y in range(0, height, 16) for x in range(0, width, 16)]
    tags = tiff_tags(face, t322=(3, (16,)), t323=(3, (16,)))
    yield "tiled.tif", tiff_bytes({k: v for k, v in tags.items() if k != 278}, tiles, tiled=True), "right", "tiles", 0
    small = im.resize((32, 32))
    small.encoderinfo = {"tiffinfo": {254: 1}}
    pyramid = pillow_bytes(im, "TIFF", save_all=True, append_images=[small])
    yield "pyramid.tif", pyramid, "right", "a second page that is a small copy", 0
    pages = pillow_bytes(im, "TIFF", save_all=True, append_images=[Image.fromarray(face[::-1].copy())])
    yield "pages.tif", pages, "error", "two pages", None
    yield "float.tif", pillow_bytes(grey_of(face).astype(np.float32) / 255, "TIFF"), "error", "floating point", None
    yield "int32.tif", pillow_bytes(grey_of(face).astype(np.int32), "TIFF"), "error", "32-bit integers", None
    raw = tiff_bytes(tiff_tags(pixels), [pixels.tobytes()])
    short = raw.replace(
        struct.pack("<HHII", 279, 4, 1, pixels.nbytes), struct.pack("<HHII", 279, 4, 1, pixels.nbytes * 9)
    )
    yield "strip_outside.tif", short, "right", "strip longer than the file", 1
    huge = tiff_tags(face, t256=(4, (60000,)), t257=(4, (60000,)))
    yield "bomb.tif", tiff_bytes(huge, [b"x" * 99]), "error", "TIFF header of 60000x60000", None


def _others(face: Frame) -> Iterator[Item]:
    im, rgba = Image.fromarray(face), Image.fromarray(with_alpha(face))
    turned = Image.fromarray(face[::-1].copy())
    yield "lossy.webp", pillow_bytes(im, "WEBP", quality=95), "right", "lossy WebP", 5
    yield "lossless.webp", pillow_bytes(im, "WEBP", lossless=True), "right", "lossless WebP", 0
    yield "alpha.webp", pillow_bytes(rgba, "WEBP", quality=95, exact=True), "right", "lossy WebP with alpha", 5
    exact = pillow_bytes(rgba, "WEBP", lossless=True, exact=True)
    yield "alpha_lossless.webp", exact, "right", "lossless WebP with alpha", 0
    animated = pillow_bytes(im, "WEBP", save_all=True, append_images=[turned])
    yield "animated.webp", animated, "error", "animated WebP", None
    yield "animated.gif", pillow_bytes(im, "GIF", save_all=True, append_images=[turned]), "error", "animated GIF", None
    still = pillow_bytes(im.quantize(256), "GIF")
    yield "still.gif", still, "right", "GIF of one frame", 12
    yield "plain.bmp", pillow_bytes(im, "BMP"), "right", "BMP", 0
    yield "plain.avif", pillow_bytes(im, "AVIF", quality=95), "right", "AVIF", 5
    with contextlib.suppress(ImportError):
        import pillow_heif

        stream = io.BytesIO()
        pillow_heif.encode("RGB", im.size, im.tobytes(), stream, quality=95)
        yield "plain.heic", stream.getvalue(), "right", "HEIC", 5
        yield "heic_named.jpg", stream.getvalue(), "right", "HEIC named .jpg, as phones send it", 5
        yield "truncated.heic", stream.getvalue()[:-500], "error", "HEIC cut short", None
        stream = io.BytesIO()
        pillow_heif.encode("RGB;16", im.size, deep(face).tobytes(), stream, quality=95)
        yield "10bit.heic", stream.getvalue(), "right", "HEIC of 10 bits", 5


def _broken(face: Frame) -> Iterator[Item]:
    jpeg, png = pillow_bytes(face, "JPEG", quality=95), pillow_bytes(face, "PNG")
    yield "empty.jpg", b"", "error", "no bytes", None
    yield "truncated.jpg", jpeg[: len(jpeg) // 2], "error", "JPEG cut in half", None
    yield "truncated.png", png[: len(png) // 2], "error", "PNG cut in half", None
    yield "truncated.webp", pillow_bytes(face, "WEBP")[:-200], "error", "WebP cut short", None
    yield "truncated.tif", pillow_bytes(face, "TIFF")[:-2000], "error", "TIFF cut short", None
    deep_png = opencv_bytes(".png", deep(face))
    yield "truncated16.png", deep_png[: len(deep_png) // 2], "error", "16-bit PNG cut in half", None
    pixels = deep(face)
    deep_tiff = tiff_bytes(tiff_tags(pixels), [pixels.tobytes()])
    moved = b"II*\0" + struct.pack("<I", 8) + deep_tiff[8 + pixels.nbytes :]
    yield "pixels_gone.tif", moved, "error", "16-bit TIFF whose pixels are gone", None
    yield "header.jpg", jpeg[:20], "error", "a JPEG's first bytes", None
    yield "signature.png", png[:8], "error", "a PNG's signature", None
    yield "random.jpg", random.Random(0).randbytes(5000), "error", "random bytes", None
    yield "text.jpg", b"This is no picture.\n" * 20, "error", "text named .jpg", None
    yield "page.jpg", b"<!doctype html><title>404</title>", "error", "a web page named .jpg", None
    yield "wrong_name.png", jpeg, "right", "JPEG named .png", 4
    yield "wrong_name.txt", png, "right", "PNG named .txt", 0
    yield "no_suffix", png, "right", "PNG without a suffix", 0
    yield "archive.jpg", b"PK\x03\x04" + bytes(99), "error", "a zip named .jpg", None
    yield "film.jpg", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99), "error", "a film named .jpg", None
    yield "plain.jp2", pillow_bytes(face, "JPEG2000"), "error", "JPEG 2000, which is not taken", None
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>'
    yield "drawing.svg", svg, "error", "a vector drawing", None


def _names(folder: Path, face: Frame) -> Iterator[OddPicture]:
    png = pillow_bytes(face, "PNG")
    names = [
        "line\nbreak.png",
        'it\'s "quoted" $(x) `y`; %s.png',
        "лицо 顔 وجه.png",
        "\U0001f600.png",
        "-o.png",
        " .png",
    ]
    names += ["x" * 251 + ".png", os.fsdecode(b"not-utf8-\xff\xfe.png")]
    for name in names:
        with contextlib.suppress(OSError):  # some file systems take no such name
            (folder / name).write_bytes(png)
            yield OddPicture(folder / name, "right", f"named {name[:40]!a}", 0)
    locked = folder / "locked.png"
    locked.write_bytes(png)
    locked.chmod(0)
    yield OddPicture(locked, "right" if os.access(locked, os.R_OK) else "error", "no permission to read", None)


def _no_files(folder: Path) -> Iterator[OddPicture]:
    (folder / "folder.png").mkdir()
    yield OddPicture(folder / "folder.png", "error", "a folder")
    yield OddPicture(folder / "missing.png", "error", "no such file")
    yield OddPicture(folder / ("y" * 300 + ".png"), "error", "a name too long to exist")
    yield OddPicture(folder / "plain.jpg" / "x.png", "error", "a file used as a folder")
    with contextlib.suppress(OSError, NotImplementedError):
        (folder / "loop.png").symlink_to("loop.png")
        yield OddPicture(folder / "loop.png", "error", "a link to itself")
        (folder / "dangling.png").symlink_to("gone.png")
        yield OddPicture(folder / "dangling.png", "error", "a link to nothing")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.png")
        yield OddPicture(folder / "pipe.png", "error", "a pipe, which must not hang")


if __name__ == "__main__":
    out = Path(sys.argv[1])
    out.mkdir(parents=True)
    made = make_odd_pictures(out, np.asarray(Image.open(sys.argv[2]).convert("RGB")))
    sys.stdout.write("".join(f"{odd.expected:8} {odd.path.name!r}: {odd.why}\n" for odd in made))
