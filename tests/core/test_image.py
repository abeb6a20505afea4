"""Pictures: what goes in comes out, upright, but for what a patch changes.

Files are written by other encoders than ours and results read by other decoders, so that no fault hides twice.
"""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError, OutputError
from facegraft.core.image import output_format, read_picture, save_frame, write_picture
from facegraft.core.image_formats import eight_bit
from facegraft.core.types import Frame, Patch
from tests.odd_pictures import (
    OddPicture,
    alpha_of,
    deep,
    exif_bytes,
    file_pixels,
    grey_of,
    make_odd_pictures,
    pillow_bytes,
    png_bytes,
    srgb_profile,
    tiff_bytes,
    tiff_tags,
    with_alpha,
)

HEAD = b"Exif\0\0"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF tiff:Orientation="6" dc:title="a face"/></x:xmpmeta>'


def smooth_face(height: int = 96, width: int = 80) -> Frame:
    """No face, but smooth and without symmetry, so that each coding and turning shows."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    channels = [128 + 100 * np.sin(x / 17 + y / 31 + k) * np.cos(y / 23 - k) for k in range(3)]
    return np.rint(np.stack(channels, axis=2)).astype(np.uint8)


FACE = smooth_face()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> list[OddPicture]:
    return make_odd_pictures(tmp_path_factory.mktemp("odd"), FACE)


def opened(path: Path) -> Image.Image:
    return Image.open(io.BytesIO(path.read_bytes()))


def stored(tmp_path: Path, name: str, data: bytes) -> Path:
    (tmp_path / name).write_bytes(data)
    return tmp_path / name


def bump(left: int = 30, top: int = 20, height: int = 24, width: int = 16) -> Patch:
    """A patch that fades to 0 towards its edges and is 0 on them."""
    weight = np.outer(np.hanning(height), np.hanning(width))[..., None]
    return Patch(left, top, (weight * np.array([90.4, -70.2, 33.3])).astype(np.float32))


def outside(shape: tuple[int, ...], patch: Patch) -> np.ndarray:
    """True where the patch adds nothing."""
    keep = np.ones(shape[:2], bool)
    height, width = patch.delta.shape[:2]
    keep[patch.top : patch.top + height, patch.left : patch.left + width] = (patch.delta == 0).all(axis=2)
    return keep


# The table of odd files


def test_every_odd_picture_reads_right_or_ends_in_one_line(odd):
    wrong = []
    for item in odd:
        try:
            picture = read_picture(item.path)
        except FacegraftError as error:
            if item.expected != "error" or "\n" in str(error) or not str(error).isprintable():
                wrong.append(f"{item.why}: {error}")
            continue
        if item.expected == "error":
            wrong.append(f"{item.why}: read as {picture.mode} {picture.pixels.shape}")
        elif item.tolerance is not None:
            same = picture.frame.shape == FACE.shape
            difference = np.abs(picture.frame.astype(int) - FACE).mean() if same else np.inf
            if difference > item.tolerance:
                wrong.append(f"{item.why}: differs by {difference}")
    assert wrong == []
    assert len(odd) >= 110
    assert sum(item.expected == "error" for item in odd) >= 35


def test_every_odd_picture_goes_out_as_it_came_but_for_the_patch(odd, tmp_path):
    for item in odd:
        if item.expected != "right":
            continue
        picture = read_picture(item.path)
        suffix = ".png" if picture.format == "GIF" else f".{picture.format.lower()}"
        out = tmp_path / f"out{suffix}"
        write_picture(out, picture, [bump()])
        again = read_picture(out)
        assert again.pixels.dtype == picture.pixels.dtype, item.why
        assert again.pixels.shape[:2] == picture.pixels.shape[:2], item.why
        assert again.orientation == 1, item.why
        assert again.notes == (), item.why
        keep = outside(picture.pixels.shape, bump())
        if picture.coding.lossless:
            assert np.array_equal(again.pixels[keep], picture.pixels[keep]), item.why
        else:
            assert np.abs(again.frame[keep].astype(int) - picture.frame[keep]).mean() < 3, item.why
        assert not np.array_equal(again.pixels[~keep], picture.pixels[~keep]), item.why


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_never_end_in_anything_but_a_picture_or_one_line(odd, tmp_path, data):
    item = data.draw(st.sampled_from([item for item in odd if item.expected == "right"]), label="file")
    content = bytearray(item.path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 3000) - 1))] = data.draw(st.integers(0, 255))
    path = stored(tmp_path, "damaged", bytes(content[: data.draw(st.integers(1, len(content)))]))
    try:
        picture = read_picture(path, max_pixels=1_000_000)
        write_picture(tmp_path / "out.tif", picture, [])
        write_picture(tmp_path / "out.png", picture, [])
        message = ""
    except FacegraftError as error:
        message = str(error)
    assert message.isprintable()
    if not message:
        assert np.array_equal(read_picture(tmp_path / "out.png").pixels, picture.pixels)


# Pixels


def lossless_file(kind: str, depth: int, channels: int, pixels: np.ndarray) -> bytes:
    """Any pixels in a lossless file, by Pillow or by hand."""
    if kind == "tif":
        extra = {"t338": (3, (2,))} if channels in (2, 4) else {}
        return tiff_bytes(tiff_tags(pixels, **extra), [pixels.tobytes()])
    if depth == 16:
        colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
        return png_bytes(struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour_type, 0, 0, 0), rows)
    flat = pixels[..., 0] if channels == 1 else pixels
    return pillow_bytes(flat, {"png": "PNG", "webp": "WEBP", "bmp": "BMP"}[kind], lossless=True, exact=True)


LOSSLESS = [("png", 8, c) for c in (1, 2, 3, 4)] + [("png", 16, c) for c in (1, 2, 3, 4)]
LOSSLESS += [("tif", 8, c) for c in (1, 2, 3, 4)] + [("tif", 16, c) for c in (1, 3, 4)]
LOSSLESS += [("webp", 8, 3), ("webp", 8, 4), ("bmp", 8, 1), ("bmp", 8, 3)]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    layout=st.sampled_from(LOSSLESS),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_patch_is_all_that_changes_in_a_lossless_file(tmp_path, layout, size, seed):
    kind, depth, channels = layout
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 2**depth, (*size, channels)).astype(np.uint8 if depth == 8 else np.uint16)
    picture = read_picture(stored(tmp_path, f"in.{kind}", lossless_file(kind, depth, channels, pixels)))
    assert np.array_equal(picture.pixels, pixels)

    top, left = int(random.integers(0, size[0])), int(random.integers(0, size[1]))
    height, width = int(random.integers(1, size[0] - top + 1)), int(random.integers(1, size[1] - left + 1))
    delta = random.normal(0, 80, (height, width, 3)).astype(np.float32)
    delta[random.random((height, width)) < 0.5] = 0
    write_picture(tmp_path / f"out.{kind}", picture, [Patch(left, top, delta)])
    result = read_picture(tmp_path / f"out.{kind}").pixels

    added = delta.astype(np.float64) * (1 if depth == 8 else 65535 / 255)
    if channels < 3:
        added = (added @ [0.299, 0.587, 0.114])[..., None]
    expected = pixels.astype(np.float64)
    expected[top : top + height, left : left + width, : added.shape[2]] += added
    expected = np.clip(expected, 0, 2**depth - 1)
    assert np.array_equal(
        result[outside(pixels.shape, Patch(left, top, delta))], pixels[outside(pixels.shape, Patch(left, top, delta))]
    )
    assert np.abs(result - expected).max() <= 0.51
    if channels in (2, 4):
        assert np.array_equal(result[..., -1], pixels[..., -1])


def test_other_decoders_agree_with_what_we_write(tmp_path):
    pixels = deep(FACE)
    picture = read_picture(stored(tmp_path, "in.tif", tiff_bytes(tiff_tags(pixels), [pixels.tobytes()])))
    for name in ("out.tif", "out.png"):
        write_picture(tmp_path / name, picture, [])
        assert np.array_equal(cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)[..., ::-1], pixels)
    for name in ("rgba.png", "rgba.tif", "rgba.webp"):
        source = read_picture(stored(tmp_path, "in.png", pillow_bytes(with_alpha(FACE), "PNG")))
        write_picture(tmp_path / name, source, [])
        assert np.array_equal(np.asarray(opened(tmp_path / name).convert("RGBA")), with_alpha(FACE))


def test_palettes_look_the_same(tmp_path):
    palette = Image.fromarray(FACE).quantize(200)
    path = stored(tmp_path, "in.png", pillow_bytes(palette, "PNG", transparency=bytes(range(200))))
    notes = write_picture(tmp_path / "out.png", read_picture(path), [])
    out = opened(tmp_path / "out.png")
    assert out.mode == "RGBA"
    assert np.array_equal(np.asarray(out), np.asarray(opened(path).convert("RGBA")))
    assert any("palette" in note for note in notes)


def test_grey_stays_grey_and_takes_the_patch_as_brightness(tmp_path):
    path = stored(tmp_path, "in.png", pillow_bytes(np.full((20, 20), 100, np.uint8), "PNG"))
    patch = Patch(5, 5, np.full((4, 4, 3), 10, np.float32))
    write_picture(tmp_path / "out.png", read_picture(path), [patch])
    out = opened(tmp_path / "out.png")
    assert out.mode == "L"
    assert np.asarray(out)[6, 6] == 110
    assert np.asarray(out)[4, 4] == 100


def test_a_cmyk_picture_is_turned_by_its_profile(odd):
    by_name = {item.path.name: item.path for item in odd}
    plain, by_profile = read_picture(by_name["cmyk.jpg"]), read_picture(by_name["cmyk_icc.jpg"])
    # The profile's paper is at 0.9 of white, and black point compensation keeps black at black.
    assert np.abs(plain.frame.astype(float) - by_profile.frame).mean() > 3
    assert by_profile.metadata.icc is None
    assert any("colour profile" in note for note in by_profile.notes)
    correlation = np.corrcoef(plain.frame.ravel(), by_profile.frame.ravel())[0, 1]
    assert correlation > 0.9


def test_sixteen_bits_round_to_the_nearest_of_eight():
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    assert np.array_equal(eight_bit(values), np.rint(values / 257).astype(np.uint8))


def test_the_arrays_of_a_picture_cannot_be_changed_by_mistake(odd):
    picture = read_picture(odd[0].path)
    with pytest.raises(ValueError, match="read-only"):
        picture.frame[0, 0] = 0
    with pytest.raises(ValueError, match="outside"):
        write_picture(odd[0].path.parent / "never.png", picture, [bump(left=75)])
    assert not (odd[0].path.parent / "never.png").exists()


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


def test_text_and_colour_chunks_of_png_are_kept(odd, tmp_path):
    path = next(item.path for item in odd if item.path.name == "text.png")
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


# Formats


@pytest.mark.parametrize(("subsampling", "progressive"), [(0, False), (1, True), (2, False)])
def test_a_jpeg_keeps_its_tables_and_so_loses_next_to_nothing(tmp_path, subsampling, progressive):
    data = pillow_bytes(FACE, "JPEG", quality=83, subsampling=subsampling, progressive=progressive)
    picture = read_picture(stored(tmp_path, "in.jpg", data))
    write_picture(tmp_path / "out.jpg", picture, [])
    before, after = Image.open(io.BytesIO(data)), opened(tmp_path / "out.jpg")
    assert after.quantization == before.quantization
    assert after.layer == before.layer
    assert ("progressive" in after.info) == progressive
    difference = np.abs(np.asarray(after).astype(int) - np.asarray(before))
    assert difference.mean() < 0.5

    write_picture(tmp_path / "low.jpg", picture, [], quality=30)
    assert opened(tmp_path / "low.jpg").quantization != before.quantization


def test_webp_is_lossless_where_the_input_was_and_no_quality_is_asked(tmp_path):
    for source, options, lossless in (
        ("in.webp", {"lossless": True}, True),
        ("in.webp", {"quality": 90}, False),
        ("in.png", {}, True),
    ):
        data = pillow_bytes(FACE, "PNG" if source == "in.png" else "WEBP", **options)
        picture = read_picture(stored(tmp_path, source, data))
        write_picture(tmp_path / "out.webp", picture, [])
        assert (b"VP8L" in (tmp_path / "out.webp").read_bytes()[:64]) == lossless
    write_picture(tmp_path / "out.webp", picture, [], quality=50)
    assert b"VP8L" not in (tmp_path / "out.webp").read_bytes()[:64]


def test_what_a_format_cannot_hold_is_said(tmp_path):
    rgba = read_picture(stored(tmp_path, "in.png", pillow_bytes(with_alpha(FACE), "PNG", dpi=(300, 300))))
    notes = write_picture(tmp_path / "out.jpg", rgba, [])
    assert any("white" in note for note in notes)
    out = read_picture(tmp_path / "out.jpg").frame
    clear = alpha_of(FACE) == 0
    assert out[clear].mean() > 245
    assert any("dpi" in note for note in write_picture(tmp_path / "out.webp", rgba, []))

    opaque = np.dstack([FACE, np.full(FACE.shape[:2], 255, np.uint8)])
    picture = read_picture(stored(tmp_path, "opaque.png", pillow_bytes(opaque, "PNG")))
    assert write_picture(tmp_path / "out.jpg", picture, []) == ()

    pixels = deep(FACE)
    picture = read_picture(stored(tmp_path, "deep.tif", tiff_bytes(tiff_tags(pixels), [pixels.tobytes()])))
    for name in ("out.jpg", "out.webp", "out.bmp", "out.avif"):
        assert any("8 bits" in note for note in write_picture(tmp_path / name, picture, []))
    with_xmp = write_picture(tmp_path / "out.bmp", picture, [], xmp=XMP)
    assert any("xmp" in note for note in with_xmp)


def test_ten_bit_heic_stays_deep(odd, tmp_path):
    pytest.importorskip("pillow_heif")
    picture = read_picture(next(item.path for item in odd if item.path.name == "10bit.heic"))
    assert (picture.mode, picture.bit_depth) == ("RGB;16", 16)
    write_picture(tmp_path / "out.heic", picture, [])
    assert read_picture(tmp_path / "out.heic").bit_depth == 16


def test_heic_without_its_extra_names_the_extra(odd, tmp_path, monkeypatch):
    path = next((item.path for item in odd if item.path.name == "plain.heic"), None)
    if path is None:
        pytest.skip("pillow_heif is not installed")
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for use in (lambda: read_picture(path), lambda: save_frame(tmp_path / "out.heic", FACE)):
        with pytest.raises(MissingPartError, match=re.escape("facegraft[heif]")):
            use()
    assert list(tmp_path.iterdir()) == []


def test_the_suffix_chooses_the_format_and_without_one_it_is_the_inputs(odd, tmp_path):
    picture = read_picture(odd[0].path)
    assert picture.format == "JPEG"
    expected = {"a": "JPEG", "a.PNG": "PNG", "a.tif": "TIFF", "a.b.jpeg": "JPEG", "a.webp": "WEBP", "a.bmp": "BMP"}
    assert {name: output_format(Path(name), picture) for name in expected} == expected
    still = read_picture(next(item.path for item in odd if item.path.name == "still.gif"))
    for name in ("a.gif", "a.xyz", "a.mp4"):
        with pytest.raises(BadInputError, match="use one of"):
            write_picture(tmp_path / name, picture, [])
    with pytest.raises(BadInputError, match="use one of"):
        write_picture(tmp_path / "a", still, [])
    with pytest.raises(BadInputError, match="1 to 100"):
        write_picture(tmp_path / "a.jpg", picture, [], quality=0)
    assert list(tmp_path.iterdir()) == []


def test_a_picture_too_wide_for_its_format_is_one_line(tmp_path):
    for name, width in (("out.webp", 16384), ("out.jpg", 65536)):
        with pytest.raises(OutputError, match=f"cannot hold this {width}x1 picture") as caught:
            save_frame(tmp_path / name, np.zeros((1, width, 3), np.uint8))
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_is_checked_before_decoding_and_can_be_raised(tmp_path):
    path = stored(tmp_path, "in.png", pillow_bytes(FACE, "PNG"))
    pixels = FACE.shape[0] * FACE.shape[1]
    assert read_picture(path, max_pixels=pixels).frame.shape == FACE.shape
    with pytest.raises(BadInputError, match="above the limit"):
        read_picture(path, max_pixels=pixels - 1)
    before = Image.MAX_IMAGE_PIXELS
    assert before is not None  # Pillow's own limit is left alone


def test_save_frame(tmp_path):
    save_frame(tmp_path / "sheet.png", FACE)
    assert np.array_equal(np.asarray(opened(tmp_path / "sheet.png")), FACE)
    save_frame(tmp_path / "sheet.jpg", FACE, quality=90)
    assert np.abs(np.asarray(opened(tmp_path / "sheet.jpg")).astype(int) - FACE).mean() < 3
    assert FACE.flags.writeable  # a caller's frame is left as it was
    assert grey_of(FACE).shape == FACE.shape[:2]
