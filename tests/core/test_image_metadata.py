"""Everything of a picture file that is not pixels comes out as it went in, and true of the new pixels."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from facegraft.core.image import read_picture, save_frame, write_picture
from tests.picture_bytes import (
    FACE,
    bump,
    exif_bytes,
    file_pixels,
    opened,
    pillow_bytes,
    srgb_profile,
    stored,
    text_png,
)

HEAD = b"Exif\0\0"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF tiff:Orientation="6" dc:title="a face"/></x:xmpmeta>'

# Orientation and metadata


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
def test_turned_pictures_come_out_upright_with_the_rest_of_exif_as_it_was(tmp_path, orientation, order):
    turned = file_pixels(FACE, orientation)
    thumbnail = b"\xff\xd8the old face\xff\xd9"
    exif = exif_bytes(orientation, turned.shape[:2], thumbnail, order)
    path = stored(tmp_path, "in.png", pillow_bytes(turned, "PNG", exif=exif))
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(opened(path))), FACE)  # the test's own file is right

    picture = read_picture(path)
    assert picture.orientation == orientation
    assert np.array_equal(picture.frame, FACE)
    write_picture(tmp_path / "out.png", picture, [])
    out = opened(tmp_path / "out.png")
    assert np.array_equal(np.asarray(out), FACE)
    result = out.getexif()
    assert result[0x0112] == 1
    assert result[0x010F] == "Facegraft"
    details = result.get_ifd(0x8769)
    assert (details[0xA002], details[0xA003]) == (FACE.shape[1], FACE.shape[0])
    assert out.info["exif"].removeprefix(b"Exif\0\0").index(b"MakerNote") == exif.index(
        b"MakerNote"
    )  # offsets inside it stay true
    assert details[0x927C] == b"MakerNote of offsets \x01\x02\x03\x04!!"
    assert thumbnail not in (tmp_path / "out.png").read_bytes()
    assert not result.get_ifd(1)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".heic", ".avif"])
@pytest.mark.parametrize("source", ["jpg", "png", "tif", "webp", "heic"])
def test_metadata_goes_from_every_format_to_every_other(tmp_path, source, suffix):
    heif = pytest.importorskip("pillow_heif") if "heic" in (source, suffix[1:]) else None
    exif = exif_bytes(1, FACE.shape[:2])
    icc = srgb_profile()
    xmp = XMP.replace(b' tiff:Orientation="6"', b"")  # pillow_heif takes it out, as libheif turns pictures itself
    path = tmp_path / f"in.{source}"
    im = Image.fromarray(FACE)
    options = {"exif": HEAD + exif, "icc_profile": icc, "xmp": xmp, "dpi": (300, 150)}
    if source == "heic":
        with path.open("wb") as stream:
            heif.encode("RGB", im.size, im.tobytes(), stream, quality=90, exif=exif, xmp=xmp, icc_profile=icc)
    elif source == "png":
        path.write_bytes(pillow_bytes(im, "PNG", **{**options, "xmp": None}))
        chunk = b"iTXtXML:com.adobe.xmp\0\0\0\0\0" + xmp
        data = path.read_bytes()
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        path.write_bytes(data[:33] + chunk + data[33:])
    elif source == "tif":
        info = {700: xmp, 271: "Facegraft"}
        path.write_bytes(pillow_bytes(im, "TIFF", tiffinfo=info, icc_profile=icc, dpi=(300, 150)))
    else:
        path.write_bytes(pillow_bytes(im, {"jpg": "JPEG", "webp": "WEBP"}[source], **options))

    picture = read_picture(path)
    out = tmp_path / f"out{suffix}"
    write_picture(out, picture, [bump()])
    again = read_picture(out)
    assert again.metadata.icc == icc
    assert again.xmp == xmp
    if suffix == ".tif":
        found = opened(out).getexif()
    else:
        found = Image.Exif()
        found.load(again.metadata.exif)
    assert found[0x010F] == "Facegraft"
    if source != "tif":
        assert found.get_ifd(0x8769)[0x927C] == b"MakerNote of offsets \x01\x02\x03\x04!!"
    if source in {"jpg", "png", "tif"} and suffix in {".jpg", ".png", ".tif"}:
        assert again.metadata.dpi == pytest.approx((300, 150), abs=0.02)


def test_a_turned_picture_swaps_its_resolution_and_sets_the_orientation_in_xmp(tmp_path):
    data = pillow_bytes(
        file_pixels(FACE, 6), "JPEG", exif=HEAD + exif_bytes(6, FACE.shape[:2]), xmp=XMP, dpi=(300, 150)
    )
    picture = read_picture(stored(tmp_path, "in.jpg", data))
    assert picture.metadata.dpi == (150, 300)
    assert picture.xmp == XMP.replace(b'Orientation="6"', b'Orientation="1"')


def test_given_xmp_replaces_the_old_and_empty_xmp_removes_it(tmp_path):
    for suffix, name in ((".jpg", "JPEG"), (".png", "PNG"), (".tif", "TIFF"), (".webp", "WEBP")):
        path = tmp_path / f"in{suffix}"
        save_frame(path, FACE, xmp=XMP)
        picture = read_picture(path)
        assert (picture.format, picture.xmp) == (name, XMP)
        for given_xmp, found in ((None, XMP), (b"<new/>", b"<new/>"), (b"", None)):
            write_picture(path.with_stem("out"), picture, [], xmp=given_xmp)
            assert read_picture(path.with_stem("out")).xmp == found
            assert path.with_stem("out").read_bytes().count(XMP) == (found == XMP)


def test_text_and_colour_chunks_of_png_are_kept(tmp_path):
    path = stored(tmp_path, "in.png", text_png(Image.fromarray(FACE)))
    write_picture(tmp_path / "out.png", read_picture(path), [])
    before, after = opened(path), opened(tmp_path / "out.png")
    before.load(), after.load()
    assert after.text == before.text
    assert after.text["Author"].startswith("Анна")
    assert after.info["dpi"] == pytest.approx(before.info["dpi"])
    notes = write_picture(tmp_path / "out.jpg", read_picture(path), [])
    assert any("text left out" in note for note in notes)


def test_jpeg_comments_and_iptc_are_kept_and_dead_blocks_are_not(tmp_path):
    resources = b"Photoshop 3.0\0"
    for number, content in ((1028, b"\x1c\x02\x78\0\x05words"), (1036, b"old face thumbnail"), (1005, b"resolution")):
        resources += b"8BIM" + struct.pack(">HHI", number, 0, len(content)) + content + bytes(len(content) % 2)
    extra = b"\xff\xed" + struct.pack(">H", len(resources) + 2) + resources
    jumbf = b"JP\0\x01\0\0\0\x01" + b"stale manifest"
    extra += b"\xff\xeb" + struct.pack(">H", len(jumbf) + 2) + jumbf
    path = stored(tmp_path, "in.jpg", pillow_bytes(FACE, "JPEG", comment=b"hello", extra=extra))
    notes = write_picture(tmp_path / "out.jpg", read_picture(path), [])
    data = (tmp_path / "out.jpg").read_bytes()
    assert opened(tmp_path / "out.jpg").info["comment"] == b"hello"
    assert b"words" in data
    assert b"resolution" in data
    assert b"old face" not in data
    assert b"stale manifest" not in data
    assert any("C2PA" in note for note in notes)


def test_tiff_tags_and_compression_are_kept(tmp_path):
    data = pillow_bytes(FACE, "TIFF", compression="raw", tiffinfo={305: "Darkroom 1", 270: "a face", 274: 8})
    picture = read_picture(stored(tmp_path, "in.tif", data))
    write_picture(tmp_path / "out.tif", picture, [])
    out = opened(tmp_path / "out.tif")
    assert (out.tag_v2[305], out.tag_v2[270], out.tag_v2[274]) == ("Darkroom 1", "a face", 1)
    assert out.info["compression"] == "raw"
    assert out.size == (FACE.shape[0], FACE.shape[1])


@pytest.mark.parametrize("suffix", [".tif", ".png", ".jpg"])
def test_a_tiff_without_resolution_gets_none(tmp_path, suffix):
    picture = read_picture(stored(tmp_path, "in.tif", pillow_bytes(FACE, "TIFF")))
    assert picture.metadata.dpi is None
    out = tmp_path / f"out{suffix}"
    write_picture(out, picture, [])
    assert read_picture(out).metadata.dpi is None
    assert suffix != ".tif" or not {282, 283, 296} & set(opened(out).tag_v2)
