"""An opened Pillow picture to plain pixels: grey or RGB, with alpha where the file has any."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
from PIL import GifImagePlugin, Image, ImageCms, JpegImagePlugin, TiffImagePlugin

from facegraft.core.image_formats import Coding, Pixels

logger = logging.getLogger(__name__)

DEEP_COLOUR = {2: "RGB;16", 4: "LA;16", 6: "RGBA;16"}
"""Modes that Pillow has no name for, by PNG's colour type."""


class RefusedError(Exception):
    """A sound file that is not taken; the message follows the file's name."""


def mode_of(im: Image.Image, data: bytes) -> str:
    """The file's own mode; Pillow shows 16-bit colour as 8-bit."""
    if im.format == "PNG" and data[24] == 16:
        return DEEP_COLOUR.get(data[25], im.mode)
    if isinstance(im, TiffImagePlugin.TiffImageFile) and set(im.tag_v2.get(258, ())) == {16}:
        return f"{im.mode};16" if im.mode in {"RGB", "RGBA"} else im.mode
    return im.mode


def coding_of(im: Image.Image, data: bytes) -> Coding:
    if isinstance(im, JpegImagePlugin.JpegImageFile):
        tables = im.quantization if im.layers in (1, 3) else None
        return Coding(
            lossless=False,
            quantisation=tables,
            subsampling=max(JpegImagePlugin.get_sampling(im), 0) if im.layers == 3 else -1,
            progressive="progressive" in im.info,
        )
    if isinstance(im, TiffImagePlugin.TiffImageFile):
        compression = im.info.get("compression")
        return Coding(
            lossless=compression not in {"jpeg", "tiff_jpeg", "webp"},
            premultiplied=im.tag_v2.get(338) == (1,),
            uncompressed=compression == "raw",
        )
    if im.format == "WEBP":
        return Coding(lossless=_webp_is_lossless(data))
    return Coding(lossless=im.format != "AVIF")


def _webp_is_lossless(data: bytes) -> bool:
    at = 12
    while data[at : at + 4] not in (b"VP8L", b"VP8 ", b""):
        at += 8 + (int.from_bytes(data[at + 4 : at + 8], "little") + 1) // 2 * 2
    return data[at : at + 4] == b"VP8L"


def is_animated_gif(path: Path) -> bool:
    """Whether a file is a GIF of several pictures; one that is damaged counts as a picture."""
    try:
        with path.open("rb") as file:
            return GifImagePlugin.GifImageFile(file).is_animated
    except Exception:  # noqa: BLE001 - hostile data fails in every way there is; reading the picture says in which
        return False


def check_single(im: Image.Image, notes: list[str]) -> None:
    """Pages that are smaller copies of the first are left out; others nobody may drop in silence."""
    if not getattr(im, "is_animated", False):
        return
    if not isinstance(im, TiffImagePlugin.TiffImageFile):
        raise RefusedError(f"an animated {im.format}: turn it into a video, or save one of its frames as a picture")
    for page in range(1, im.n_frames):
        im.seek(page)
        if not im.tag_v2.get(254, 0) & 1:
            raise RefusedError(f"a TIFF of {im.n_frames} pages: save the page you want as a file of its own")
    im.seek(0)
    notes.append("smaller copies of the picture in the same file left out")


def pixels_of(im: Image.Image, notes: list[str]) -> Pixels:
    """Pixels as grey or RGB, with alpha where the file has any, looking as they did."""
    mode, keyed = im.mode, "transparency" in im.info
    if mode.startswith("I;16"):
        return _sixteen_bit_grey(im)
    if mode in {"I", "F", "LAB", "HSV"}:
        kind = {"I": "32-bit integer", "F": "floating-point"}.get(mode, mode)
        raise RefusedError(f"expected 8 or 16 bits of grey or RGB, found {kind} pixels; convert the picture first")
    wanted = {"1": "L", "L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "PA": "RGBA"}.get(mode, "RGB")
    if keyed and wanted in {"L", "RGB"}:
        wanted += "A"
    if wanted != mode:
        kind = {"1": "1-bit", "P": "palette", "PA": "palette"}.get(mode, mode)
        notes.append(
            f"{kind} picture {'with a transparent colour ' if keyed else ''}turned to {wanted}, looking the same"
        )
        im = im.convert(wanted)
    pixels = np.asarray(im)
    return pixels.reshape(*pixels.shape[:2], -1)


def _sixteen_bit_grey(im: Image.Image) -> Pixels:
    grey = np.asarray(im).astype(np.uint16)[..., None]
    if isinstance(im, TiffImagePlugin.TiffImageFile) and im.tag_v2.get(262) == 0:
        return 65535 - grey  # white is zero, which Pillow minds only for 8 bits
    if isinstance(key := im.info.get("transparency"), int):
        return np.concatenate([grey, np.where(grey == key, 0, 65535).astype(np.uint16)], axis=2)
    return grey


def cmyk_pixels(im: Image.Image, icc: bytes | None, notes: list[str]) -> Pixels:
    """Pixels in sRGB by the file's profile; without one by the plain formula, as viewers do."""
    try:
        if icc:
            notes.append("CMYK picture turned to sRGB by its colour profile, which is left out")
            profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
            flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
            srgb = ImageCms.createProfile("sRGB")
            intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
            turned = ImageCms.profileToProfile(im, profile, srgb, intent, outputMode="RGB", flags=flags)
            return np.array(turned)
    except (ImageCms.PyCMSError, OSError) as error:
        notes[-1:] = [f"its colour profile is damaged ({' '.join(str(error).split())})"]
    notes.append("CMYK picture turned to RGB without a colour profile: colours are approximate")
    return np.array(im.convert("RGB"))
