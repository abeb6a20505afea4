"""Pictures: what goes in comes out, upright, but for what a patch changes.

Files are written by other encoders than ours and results read by other decoders, so that no fault hides twice.
"""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError, OutputError
from facegraft.core.image import output_format, read_picture, save_frame, write_picture
from facegraft.core.image_formats import eight_bit
from facegraft.core.types import Patch
from tests.odd_pictures import OddPicture, make_odd_pictures
from tests.picture_bytes import (
    FACE,
    alpha_of,
    bump,
    deep,
    exif_bytes,
    file_pixels,
    grey_of,
    opened,
    pillow_bytes,
    png_bytes,
    stored,
    tiff_bytes,
    tiff_tags,
    with_alpha,
)

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF tiff:Orientation="6" dc:title="a face"/></x:xmpmeta>'


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> list[OddPicture]:
    return make_odd_pictures(tmp_path_factory.mktemp("odd"), FACE)


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


def test_a_damaged_file_prints_nothing(odd, tmp_path):
    """Libtiff would write to standard error, under the one line that the command prints."""
    data = bytearray(next(item.path for item in odd if item.path.name == "tiff_lzw.tif").read_bytes())
    data[200:400] = bytes(200)
    path = stored(tmp_path, "damaged.tif", bytes(data))
    program = "import sys; from pathlib import Path; from facegraft.core import image, errors\n"
    program += "try: image.read_picture(Path(sys.argv[1]))\nexcept errors.BadInputError as error: print(error)"
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1
    assert "damaged" in done.stdout
    assert done.stderr == ""


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


def test_a_jpeg_on_its_side_keeps_all_its_chroma(tmp_path):
    data = pillow_bytes(file_pixels(FACE, 6), "JPEG", subsampling=1, exif=b"Exif\0\0" + exif_bytes(6, FACE.shape[:2]))
    write_picture(tmp_path / "out.jpg", read_picture(stored(tmp_path, "in.jpg", data)), [])
    assert [part[1:3] for part in opened(tmp_path / "out.jpg").layer] == [(1, 1)] * 3


def test_a_grey_profile_does_not_go_with_rgb(tmp_path):
    profile = bytes(16) + b"GRAY" + bytes(108)
    picture = read_picture(stored(tmp_path, "in.jpg", pillow_bytes(grey_of(FACE), "JPEG", icc_profile=profile)))
    assert picture.metadata.icc == profile
    assert any("grey colour profile" in note for note in write_picture(tmp_path / "out.webp", picture, []))
    assert read_picture(tmp_path / "out.webp").metadata.icc is None
    write_picture(tmp_path / "out.png", picture, [])
    assert read_picture(tmp_path / "out.png").metadata.icc == profile


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
