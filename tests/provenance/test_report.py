"""The whole way: a job marks a file, somebody else reads it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from facegraft.core.errors import BadInputError
from facegraft.core.image import picture_from_frame, read_picture, write_picture
from facegraft.core.types import Frame
from facegraft.provenance.containers import boxes
from facegraft.provenance.finish import finish_file, picture_xmp, prepare_marking
from facegraft.provenance.keys import KEY_FILE
from facegraft.provenance.manifest import DIGITAL_SOURCE_TYPE, Level, Origin, container_metadata
from facegraft.provenance.report import read_provenance
from facegraft.provenance.watermark import embed_mark


@pytest.fixture
def swap(frame: Frame, tmp_path: Path, origin: Origin) -> Callable[..., Path]:
    """What a picture job does: write with XMP, then finish."""

    def write(name: str, level: Level = "full", *, pixels: Frame = frame) -> Path:
        path = tmp_path / name
        kind = {"jpg": "image/jpeg"}.get(path.suffix[1:], f"image/{path.suffix[1:]}")
        write_picture(path, picture_from_frame(pixels), [], xmp=picture_xmp(origin, None, level, kind))
        assert finish_file(path, origin, level) == []
        return path

    return write


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_full_level_is_read_back_from_every_layer(swap: Callable[..., Path], origin: Origin, suffix: str) -> None:
    report = read_provenance(swap(f"swapped.{suffix}"))
    assert report.status == "intact"
    assert report.verdict == (
        f"made or changed by an algorithm with facegraft {origin.version}, method warp; "
        "unchanged since it was signed by this computer's own key"
    )
    assert report.xmp["digital_source_type"] == DIGITAL_SOURCE_TYPE
    assert report.xmp["consent"] == origin.consent
    assert report.manifest is not None
    assert report.notes == ()
    json.dumps(report.as_dict())


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
def test_metadata_level_writes_no_manifest(swap: Callable[..., Path], suffix: str, user_folder: Path) -> None:
    report = read_provenance(swap(f"swapped.{suffix}", "metadata"))
    assert (report.status, report.manifest) == ("intact", None)
    assert "not signed, so anyone could have written that" in report.verdict
    assert not user_folder.exists()


def test_none_writes_nothing(swap: Callable[..., Path], frame: Frame, tmp_path: Path, user_folder: Path) -> None:
    plain = tmp_path / "plain.png"
    write_picture(plain, picture_from_frame(frame), [])
    path = swap("swapped.png", "none")
    assert path.read_bytes() == plain.read_bytes()
    assert read_provenance(path).status == "none"
    assert not user_folder.exists()


def test_none_keeps_the_packet_that_was_there(origin: Origin) -> None:
    assert picture_xmp(origin, b"<theirs/>", "none", "image/png") == b"<theirs/>"
    assert prepare_marking("none") == prepare_marking("metadata") == []


@pytest.mark.parametrize("level", ["full", "metadata"])
@pytest.mark.parametrize(
    ("name", "muxer"),
    [("clip.mp4", {"movflags": "use_metadata_tags+faststart"}), ("clip.mov", {}), ("clip.mkv", {}), ("clip.webm", {})],
)
def test_videos(
    make_clip: Callable[..., Path], tmp_path: Path, origin: Origin, name: str, muxer: dict[str, str], level: Level
) -> None:
    path = make_clip(tmp_path / name, container_metadata(origin), muxer=muxer)
    notes = finish_file(path, origin, level)
    report = read_provenance(path)
    assert report.status == "intact"
    assert report.tags["method"] == "warp"
    if path.suffix in (".mp4", ".mov"):
        assert notes == []
        assert report.xmp["consent"] == origin.consent
        assert (report.manifest is not None) is (level == "full")
    else:
        assert len(notes) == (level == "full")
        assert report.manifest is None


def test_the_xmp_box_is_added_once_and_nothing_else_moves(
    make_clip: Callable[..., Path], tmp_path: Path, origin: Origin
) -> None:
    path = make_clip(tmp_path / "clip.mp4")
    before = path.read_bytes()
    assert finish_file(path, origin, "metadata") == []
    after = path.read_bytes()
    assert after.startswith(before)
    with path.open("rb") as stream:
        assert [box.name for box in boxes(stream)][-1] == b"uuid"
    assert finish_file(path, origin, "metadata") == ["the XMP box is left out: it has an XMP box already"]
    assert path.read_bytes() == after


def test_a_fragmented_video_is_signed_without_the_box(
    make_clip: Callable[..., Path], tmp_path: Path, origin: Origin
) -> None:
    path = make_clip(tmp_path / "clip.mp4", muxer={"movflags": "frag_keyframe+empty_moov"})
    assert finish_file(path, origin, "full") == ["the XMP box is left out: nothing may follow its last box"]
    assert read_provenance(path).status == "intact"


def test_a_changed_file_is_broken_although_its_xmp_still_speaks(swap: Callable[..., Path]) -> None:
    path = swap("swapped.png")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    report = read_provenance(path)
    assert report.status == "broken"
    assert report.verdict == "signed by this computer's own key, but changed since then (assertion.dataHash.mismatch)"
    assert report.xmp["method"] == "warp"


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif", "heic"])
def test_an_old_manifest_never_goes_onto_changed_pixels_and_that_is_said(
    swap: Callable[..., Path], tmp_path: Path, suffix: str
) -> None:
    if suffix == "heic":
        pytest.importorskip("pillow_heif")
    path, out = swap(f"swapped.{suffix}"), tmp_path / f"out.{suffix}"
    assert read_provenance(path).manifest is not None
    notes = write_picture(out, read_picture(path), [])
    assert sum("C2PA" in note for note in notes) == 1
    assert read_provenance(out).manifest is None
    write_picture(out.with_suffix(".jpg"), read_picture(path), [])
    assert b"jumdc2pa" not in out.with_suffix(".jpg").read_bytes()


def test_a_stripped_file_still_has_its_watermark(swap: Callable[..., Path], frame: Frame, tmp_path: Path) -> None:
    path, stripped = swap("swapped.png", pixels=embed_mark(frame)), tmp_path / "stripped.jpg"
    with Image.open(path) as picture:
        Image.fromarray(np.asarray(picture)).save(stripped, quality=60)
    assert read_provenance(stripped).status == "none"
    report = read_provenance(stripped, watermark=True)
    assert report.status == "intact"
    assert report.watermark is not None
    assert report.watermark.found
    assert report.watermark.bits == "face6af7"


@pytest.mark.parametrize("rotation", [0, 90, -90, 180])
def test_the_watermark_of_turned_videos_is_found(
    make_clip: Callable[..., Path], tmp_path: Path, frame: Frame, rotation: int
) -> None:
    upright = embed_mark(np.ascontiguousarray(np.rot90(frame, rotation // 90)))
    frame[...] = np.rot90(upright, -rotation // 90)  # the fixture writes this array
    path = make_clip(tmp_path / "clip.mp4", rotation=rotation)
    report = read_provenance(path, watermark=True)
    assert report.watermark is not None
    assert report.watermark.found


def test_a_plain_photo_says_nothing(frame: Frame, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    Image.fromarray(frame).save(path)
    report = read_provenance(path, watermark=True)
    assert (report.status, report.xmp, report.manifest) == ("none", {}, None)
    assert report.watermark is not None
    assert not report.watermark.found


def test_other_tools_are_named(frame: Frame, tmp_path: Path) -> None:
    path = tmp_path / "made.png"
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:CreatorTool="Painter 3"'
        ' xmlns:i="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" i:DigitalSourceType="trainedAlgorithmicMedia"/>'
        "</rdf:RDF></x:xmpmeta>"
    )
    write_picture(path, picture_from_frame(frame), [], xmp=packet.encode())
    assert "algorithm with Painter 3, says its XMP" in read_provenance(path).verdict


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "an empty file"), (b"\x80\x81\x82" * 99, "unknown content"), (b"just words", "text/plain")],
)
def test_what_is_no_picture_is_refused_in_one_line(tmp_path: Path, content: bytes, found: str) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=found) as caught:
        read_provenance(path)
    assert "\n" not in str(caught.value)


def test_folders_and_missing_files_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.jpg"):
        with pytest.raises(BadInputError):
            read_provenance(path)


HEADS = {
    "jpg": b"\xff\xd8\xff\xe0",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    "webp": b"RIFF\x40\0\0\0WEBPVP8 ",
    "tif": b"II*\0\x08\0\0\0",
    "gif": b"GIF89a",
    "avif": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf",
    "heic": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "mp4": b"\0\0\0\x18ftypisom\0\0\x02\0isommp42",
    "mov": b"\0\0\0\x14ftypqt  \0\0\x02\0qt  ",
    "mkv": b"\x1aE\xdf\xa3\x93B\x82\x88matroska",
    "avi": b"RIFF\x40\0\0\0AVI LIST",
}


@pytest.mark.parametrize("suffix", HEADS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(noise=st.binary(max_size=300))
def test_noise_behind_a_good_head_never_crashes(tmp_path: Path, suffix: str, noise: bytes) -> None:
    path = tmp_path / f"noise.{suffix}"
    path.write_bytes(HEADS[suffix] + noise)
    report = read_provenance(path, watermark=True)
    assert report.status in ("none", "broken")


def test_no_damaged_byte_outside_the_manifest_goes_unseen(swap: Callable[..., Path]) -> None:
    path = swap("swapped.jpg")
    good = path.read_bytes()
    start = good.index(b"\xff\xeb")  # APP11: without its manifest a file is unsigned, not broken
    end = good.index(b"\xff\xdb", start)
    outside = [*range(3, start), *range(end, len(good) - 2)]
    rng = np.random.default_rng(11)
    for place in rng.choice(outside, 60, replace=False):
        damaged = bytearray(good)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        assert read_provenance(path).status == "broken", place


def test_a_broken_key_is_found_before_the_work(user_folder: Path) -> None:
    user_folder.mkdir()
    (user_folder / KEY_FILE).write_text("not a key")
    with pytest.raises(BadInputError, match="Delete this file"):
        prepare_marking("full")


def test_a_key_folder_that_cannot_be_written_leaves_the_manifest_out(
    swap: Callable[..., Path], origin: Origin, tmp_path: Path
) -> None:
    path = swap("swapped.png", "metadata")
    notes = finish_file(path, origin, "full", key_folder=path / "below-a-file")
    assert len(notes) == 1
    assert "the signed manifest is left out" in notes[0]
    assert read_provenance(path).status == "intact"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
def test_a_full_disk_leaves_the_file_as_it_was(make_clip: Callable[..., Path], tmp_path: Path, origin: Origin) -> None:
    path = make_clip(tmp_path / "clip.mp4", container_metadata(origin))
    before = path.read_bytes()
    code = (
        "import resource, sys; from pathlib import Path; from facegraft.provenance import finish, manifest\n"
        "path = Path(sys.argv[1]); finish.prepare_marking('full')\n"
        "sys.dont_write_bytecode = True\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 100,) * 2)\n"
        "print(*finish.finish_file(path, manifest.origin_now('warp'), 'full'), sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("the XMP box is left out: the disk refused it")
    assert second.startswith("the signed manifest is left out: ")
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["clip.mp4", "user"]


WITHOUT_EXTRA = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("c2pa", "cryptography"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
"""


def run_without_extra(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRA + code, *arguments], capture_output=True, text=True, check=False
    )


def test_without_the_extra_one_line_says_so_and_metadata_is_still_written(
    make_clip: Callable[..., Path], tmp_path: Path, origin: Origin
) -> None:
    path = make_clip(tmp_path / "clip.mp4", container_metadata(origin))
    code = (
        "from pathlib import Path; from facegraft.provenance.finish import finish_file\n"
        "from facegraft.provenance.manifest import origin_now\n"
        "print(*finish_file(Path(sys.argv[1]), origin_now('warp'), 'full'), sep='\\n')"
    )
    done = run_without_extra(code, str(path))
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "the signed manifest is left out: c2pa-python is not installed; run `pip install 'facegraft[provenance]'`"
    ]
    report = read_provenance(path)
    assert (report.status, report.manifest, report.xmp["method"]) == ("intact", None, "warp")


def test_without_the_extra_verify_says_what_it_could_not_check(swap: Callable[..., Path]) -> None:
    code = "from facegraft.cli.main import main; sys.exit(main(['verify', sys.argv[1]]))"
    done = run_without_extra(code, str(swap("swapped.png")))
    assert done.returncode == 0, done.stderr
    assert "signed manifests are not checked" in done.stdout
    assert "facegraft[provenance]" in done.stdout
