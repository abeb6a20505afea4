"""Picture files by hand or by other encoders than ours, to test reading and writing."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageCms, PngImagePlugin

from facegraft.core.types import Frame, Patch


def pillow_bytes(pixels: np.ndarray | Image.Image, name: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(stream, name, **options)
    return stream.getvalue()


def deep(face: Frame, seed: int = 0) -> np.ndarray:
    """16-bit RGB that looks like the face; low bytes at random, so that a loss of depth shows."""
    low = np.random.default_rng(seed).integers(-100, 100, face.shape)
    return np.clip(face.astype(np.int64) * 257 + low, 0, 65535).astype(np.uint16)


def alpha_of(face: Frame) -> np.ndarray:
    """Transparent at the left edge, half so at the right one."""
    alpha = np.full(face.shape[:2], 255, np.uint8)
    alpha[:, :7], alpha[:, -7:] = 0, 127
    return alpha


def with_alpha(face: Frame) -> np.ndarray:
    return np.dstack([face, alpha_of(face)])


def grey_of(face: Frame) -> np.ndarray:
    return np.asarray(Image.fromarray(face).convert("L"))


def file_pixels(upright: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as a camera stores them: turning them by this EXIF orientation gives `upright`.

    Written from the table of the standard (which side of the scene row 0 and column 0 show).
    """
    top, left = {1: "TL", 2: "TR", 3: "BR", 4: "BL", 5: "LT", 6: "RT", 7: "RB", 8: "LB"}[orientation]
    rows_are_columns = top in "LR"
    stored = upright.swapaxes(0, 1) if rows_are_columns else upright
    first, second = top, left
    stored = stored[::-1] if first in "BR" else stored
    return np.ascontiguousarray(stored[:, ::-1] if second in "BR" else stored)


def exif_bytes(orientation: int, size_hw: tuple[int, int], thumbnail: bytes = b"", order: str = "<") -> bytes:
    """EXIF by hand: make, orientation, resolution, sizes, a maker note, and a second directory with a thumbnail."""
    make, note = b"Facegraft\0", b"MakerNote of offsets \x01\x02\x03\x04!!"
    ifd0, exif_ifd, ifd1, data_at = 8, 8 + 2 + 3 * 12 + 4, 92, 140
    note_at, thumbnail_at = data_at + len(make), data_at + len(make) + len(note)

    def entry(tag: int, kind: int, count: int, value: bytes) -> bytes:
        return struct.pack(order + "HHI", tag, kind, count) + value.ljust(4, b"\0")

    def long(value: int) -> bytes:
        return struct.pack(order + "I", value)

    first = struct.pack(order + "H", 3) + entry(0x010F, 2, len(make), long(data_at))
    first += entry(0x0112, 3, 1, struct.pack(order + "H", orientation)) + entry(0x8769, 4, 1, long(exif_ifd))
    first += long(ifd1 if thumbnail else 0)
    second = struct.pack(order + "H", 3) + entry(0x927C, 7, len(note), long(note_at))
    second += entry(0xA002, 3, 1, struct.pack(order + "H", size_hw[1])) + entry(0xA003, 4, 1, long(size_hw[0]))
    second += long(0)
    third = struct.pack(order + "H", 2) + entry(0x0201, 4, 1, long(thumbnail_at))
    third += entry(0x0202, 4, 1, long(len(thumbnail))) + long(0)
    head = (b"II*\0" if order == "<" else b"MM\0*") + long(ifd0)
    body = (head + first).ljust(exif_ifd, b"\0") + second
    return (body.ljust(ifd1, b"\0") + third).ljust(data_at, b"\0") + make + note + thumbnail


def srgb_profile() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def cmyk_profile() -> bytes:
    """A tiny print profile: a table of two steps per ink, to Lab."""
    corners = np.array([[c, m, y, k] for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)], np.float64)
    rgb = np.rint(255 * (1 - corners[:, :3]) * (1 - corners[:, 3:]) * 0.9).astype(np.uint8)
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB")
    lab = ImageCms.applyTransform(Image.fromarray(rgb[None]), to_lab)
    table = (np.asarray(lab) ^ np.array([0, 128, 128], np.uint8)).tobytes()  # Pillow holds a and b signed
    ramp = bytes(range(256))
    identity = struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    lut = b"mft1\0\0\0\0" + bytes([4, 3, 2, 0]) + identity + ramp * 4 + table + ramp * 3
    text = b"text\0\0\0\0none\0"
    desc = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"tiny\0" + bytes(78)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    offset, entries, body = 128 + 4 + 4 * 12, b"", b""
    for tag, content in ((b"desc", desc), (b"cprt", text), (b"wtpt", white), (b"A2B0", lut)):
        entries += tag + struct.pack(">II", offset + len(body), len(content))
        body += content.ljust((len(content) + 3) // 4 * 4, b"\0")
    header = struct.pack(">I", offset + len(body)) + b"lcms\x02\x40\0\0prtrCMYKLab " + bytes(12) + b"acsp" + bytes(28)
    header += struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 4) + entries + body


def png_with(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A PNG with one more chunk behind its header."""
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return data[:33] + chunk + data[33:]


def tiff_bytes(tags: dict[int, tuple[int, tuple[int, ...]]], parts: list[bytes], *, tiled: bool = False) -> bytes:
    """A TIFF by hand: any tags (type 3 or 4), parts being its strips or tiles."""
    count_tag, offset_tag = (325, 324) if tiled else (279, 273)
    sizes = [len(part) for part in parts]
    tags = {**tags, count_tag: (4, tuple(sizes)), offset_tag: (4, tuple(8 + sum(sizes[:i]) for i in range(len(parts))))}
    data = b"".join(parts)
    data += bytes(len(data) % 2)
    out, entries = b"II*\0" + struct.pack("<I", 8 + len(data)) + data, b""
    tail_at, tail = len(out) + 2 + 12 * len(tags) + 4, b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
        if len(packed) > 4:
            packed, tail = struct.pack("<I", tail_at + len(tail)), tail + packed
        entries += struct.pack("<HHI", tag, kind, len(values)) + packed.ljust(4, b"\0")
    return out + struct.pack("<H", len(tags)) + entries + bytes(4) + tail


def tiff_tags(pixels: np.ndarray, **more: tuple[int, tuple[int, ...]]) -> dict[int, tuple[int, tuple[int, ...]]]:
    """Tags of plain raw pixels in one strip; `more` by names such as `t262`."""
    height, width, channels = pixels.shape
    photometric = 2 if channels >= 3 else 1
    tags = {256: (4, (width,)), 257: (4, (height,)), 258: (3, (8 * pixels.itemsize,) * channels), 259: (3, (1,))}
    tags |= {262: (3, (photometric,)), 277: (3, (channels,)), 278: (4, (height,))}
    return tags | {int(name[1:]): value for name, value in more.items()}


def png_bytes(header: bytes, rows: bytes) -> bytes:
    """A PNG by hand: the content of IHDR, and rows with their filter bytes."""
    out = b"\x89PNG\r\n\x1a\n"
    for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
        out += struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    return out


def grey_alpha16_png(face: Frame) -> bytes:
    pixels = np.dstack([deep(face)[..., 1], alpha_of(face).astype(np.uint16) * 257]).astype(">u2")
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    return png_bytes(struct.pack(">IIBBBBB", face.shape[1], face.shape[0], 16, 4, 0, 0, 0), rows)


def interlaced_png(face: Frame) -> bytes:
    """Adam7."""
    rows = b""
    for y0, x0, dy, dx in (
        (0, 0, 8, 8),
        (0, 4, 8, 8),
        (4, 0, 8, 4),
        (0, 2, 4, 4),
        (2, 0, 4, 2),
        (0, 1, 2, 2),
        (1, 0, 2, 1),
    ):
        part = face[y0::dy, x0::dx]
        rows += b"".join(b"\0" + row.tobytes() for row in part) if part.size else b""
    return png_bytes(struct.pack(">IIBBBBB", face.shape[1], face.shape[0], 8, 2, 0, 0, 1), rows)


def text_png(im: Image.Image) -> bytes:
    text = PngImagePlugin.PngInfo()
    text.add_text("Title", "a face")
    text.add_itxt("Author", "Анна Å. 李", lang="ru")
    text.add_text("Comment", "x" * 3000, zip=True)
    return pillow_bytes(im, "PNG", pnginfo=text, dpi=(300, 150))


def opencv_bytes(suffix: str, bgr: np.ndarray) -> bytes:
    done, data = cv2.imencode(suffix, bgr)
    assert done
    return data.tobytes()


def smooth_face(height: int = 96, width: int = 80) -> Frame:
    """No face, but smooth and without symmetry, so that each coding and turning shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = [128 + 100 * np.sin(x / 17 + y / 31 + k) * np.cos(y / 23 - k) for k in range(3)]
    return np.rint(np.stack(channels, axis=2)).astype(np.uint8)


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def stored(tmp_path: Path, name: str, data: bytes) -> Path:
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def bump(left: int = 30, top: int = 20, height: int = 24, width: int = 16) -> Patch:
    """A patch that fades to 0 towards its edges and is 0 on them."""
    weight = np.outer(np.hanning(height), np.hanning(width))[..., None]
    return Patch(left, top, (weight * np.array([90.4, -70.2, 33.3])).astype(np.float32))


FACE = smooth_face()
