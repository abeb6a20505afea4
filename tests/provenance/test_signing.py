"""What c2pa-python itself says about our files, with settings of its own, is the oracle here."""

from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import c2pa
import numpy as np
import pytest
from PIL import Image

from facegraft.core.errors import BadInputError
from facegraft.core.files import sniff
from facegraft.core.types import Frame
from facegraft.provenance.keys import signing_key
from facegraft.provenance.manifest import DIGITAL_SOURCE_TYPE, Origin
from facegraft.provenance.signing import read_manifest, sign_file

PICTURES = ("jpg", "png", "webp", "tif", "gif", "avif")


@pytest.fixture
def save(frame: Frame, tmp_path: Path) -> Callable[[str], Path]:
    def write(name: str) -> Path:
        path = tmp_path / name
        Image.fromarray(frame).save(path)
        return path

    return write


def oracle(path: Path) -> dict[str, object]:
    kind = {"video/x-msvideo": "video/avi"}.get(str(sniff(path)), sniff(path))
    with path.open("rb") as stream:
        report: dict[str, object] = json.loads(c2pa.Reader(kind, stream).json())
    return report


def pixels(path: Path) -> Frame:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    with av.open(str(path)) as container:
        return [(packet.stream_index, packet.pts, bytes(packet)) for packet in container.demux()]


@pytest.mark.parametrize("suffix", PICTURES)
def test_signed_pictures_are_valid_and_keep_their_pixels(
    save: Callable[[str], Path], origin: Origin, suffix: str
) -> None:
    path = save(f"picture.{suffix}")
    before, size = pixels(path), path.stat().st_size
    sign_file(path, origin)
    assert oracle(path)["validation_state"] == "Valid"
    np.testing.assert_array_equal(pixels(path), before)
    assert 2_000 < path.stat().st_size - size < 6_000
    manifest = read_manifest(path)
    assert manifest is not None
    assert (manifest.state, manifest.own_key, manifest.reasons) == ("valid", True, ())
    assert manifest.tool == f"facegraft {origin.version}"
    assert set(manifest.source_types) == {DIGITAL_SOURCE_TYPE}
    assert dict(manifest.details)["consent"] == origin.consent


def test_signed_heic_is_valid(frame: Frame, tmp_path: Path, origin: Origin) -> None:
    heif = pytest.importorskip("pillow_heif", reason="the extra heif is not installed")
    path = tmp_path / "picture.heic"
    heif.from_pillow(Image.fromarray(frame)).save(path)
    before = np.asarray(heif.open_heif(path))
    sign_file(path, origin)
    assert oracle(path)["validation_state"] == "Valid"
    np.testing.assert_array_equal(np.asarray(heif.open_heif(path)), before)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "avi"])
def test_signed_videos_are_valid_and_keep_their_packets(
    make_clip: Callable[..., Path], tmp_path: Path, origin: Origin, suffix: str
) -> None:
    path = make_clip(tmp_path / f"clip.{suffix}")
    before, size = packets(path), path.stat().st_size
    sign_file(path, origin)
    assert oracle(path)["validation_state"] == "Valid"
    assert packets(path) == before
    assert path.stat().st_size - size < 6_000


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
def test_one_flipped_pixel_byte_is_seen(save: Callable[[str], Path], origin: Origin, suffix: str) -> None:
    path = save(f"picture.{suffix}")
    middle_of_pixels = path.stat().st_size // 2  # by far the most of these files is pixels
    original = path.read_bytes()[middle_of_pixels : middle_of_pixels + 64]
    sign_file(path, origin)
    content = bytearray(path.read_bytes())
    place = content.index(original)
    content[place] ^= 1
    path.write_bytes(content)
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.state == "invalid"
    assert manifest.own_key
    assert manifest.reasons == ("assertion.dataHash.mismatch",)


def test_one_flipped_byte_of_video_is_seen(make_clip: Callable[..., Path], tmp_path: Path, origin: Origin) -> None:
    path = make_clip(tmp_path / "clip.mp4")
    sign_file(path, origin)
    content = bytearray(path.read_bytes())
    content[content.index(b"mdat") + 3000] ^= 1
    path.write_bytes(content)
    manifest = read_manifest(path)
    assert manifest is not None
    assert (manifest.state, manifest.reasons) == ("invalid", ("assertion.bmffHash.mismatch",))


def test_long_videos_are_hashed_in_pieces(make_clip: Callable[..., Path], tmp_path: Path, origin: Origin) -> None:
    """Above 64 MB; the library would otherwise hold up to half a gigabyte of it in memory."""
    path = make_clip(tmp_path / "clip.mp4")
    padding = (65 << 20).to_bytes(4, "big") + b"free"
    with path.open("r+b") as stream:
        stream.seek(0, 2)
        stream.write(padding)
        stream.truncate(stream.tell() + (65 << 20) - 8)
    sign_file(path, origin)
    assert oracle(path)["validation_state"] == "Valid"
    with path.open("r+b") as stream:
        place = stream.read(1 << 16).index(b"mdat") + 3000
        stream.seek(place)
        byte = stream.read(1)[0]
        stream.seek(place)
        stream.write(bytes([byte ^ 1]))
    manifest = read_manifest(path)
    assert manifest is not None
    assert (manifest.state, manifest.reasons) == ("invalid", ("assertion.bmffHash.mismatch",))


def test_a_changed_claim_is_seen(save: Callable[[str], Path], origin: Origin) -> None:
    path = save("picture.png")
    sign_file(path, origin)
    path.write_bytes(path.read_bytes().replace(b"Face swapped, method warp", b"Just a photo, nothing new"))
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.state == "invalid"
    assert "assertion.hashedURI.mismatch" in manifest.reasons


def test_the_name_does_not_matter(save: Callable[[str], Path], origin: Origin, tmp_path: Path) -> None:
    path = save("picture.png").rename(tmp_path / ".half-written.part")
    sign_file(path, origin)
    assert oracle(path)["validation_state"] == "Valid"


def test_a_key_from_elsewhere_is_an_unknown_signer(save: Callable[[str], Path], origin: Origin, tmp_path: Path) -> None:
    path = save("picture.jpg")
    sign_file(path, origin, key_folder=tmp_path / "theirs")
    manifest = read_manifest(path, key_folder=tmp_path / "ours")
    assert manifest is not None
    assert (manifest.state, manifest.own_key, manifest.trusted) == ("valid", False, False)
    signing_key(tmp_path / "ours")
    manifest = read_manifest(path, key_folder=tmp_path / "ours")
    assert manifest is not None
    assert (manifest.own_key, manifest.trusted) == (False, False)
    assert not (tmp_path / "user").exists()


def test_the_attribute_becomes_the_parent_with_its_own_history(save: Callable[[str], Path], origin: Origin) -> None:
    attribute, path = save("attribute.jpg"), save("swapped.png")
    sign_file(attribute, origin)
    sign_file(path, origin, attribute=attribute)
    report = oracle(path)
    manifests = report["manifests"]
    assert isinstance(manifests, dict)
    assert len(manifests) == 2
    active = manifests[report["active_manifest"]]
    assert [entry["relationship"] for entry in active["ingredients"]] == ["parentOf"]
    assert report["validation_state"] == "Valid"
    assert b"attribute.jpg" not in path.read_bytes()  # file names can tell more than their owner wants
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.actions == ("c2pa.opened", "c2pa.edited")


@pytest.mark.parametrize("harm", ["pixels", "manifest", "gone", "text"])
def test_a_broken_attribute_does_not_stop_the_signing(save: Callable[[str], Path], origin: Origin, harm: str) -> None:
    attribute, path = save("attribute.jpg"), save("swapped.png")
    sign_file(attribute, origin)
    content = bytearray(attribute.read_bytes())
    if harm == "pixels":
        content[-3000] ^= 1
    elif harm == "manifest":
        start = content.index(b"jumdc2pa") + 200
        content[start : start + 60] = b"\xff" * 60
    attribute.write_bytes(b"words" if harm == "text" else content)
    if harm == "gone":
        attribute.unlink()
    sign_file(path, origin, attribute=attribute)
    assert oracle(path)["validation_state"] == "Valid"


def test_what_holds_no_manifest_is_refused_and_untouched(
    make_clip: Callable[..., Path], tmp_path: Path, origin: Origin
) -> None:
    path = make_clip(tmp_path / "clip.mkv")
    before = path.read_bytes()
    with pytest.raises(BadInputError, match="matroska cannot hold"):
        sign_file(path, origin)
    assert path.read_bytes() == before


def test_links_are_followed_and_the_mode_is_kept(save: Callable[[str], Path], origin: Origin, tmp_path: Path) -> None:
    path, link = save("picture.png"), tmp_path / "link.png"
    path.chmod(0o640)
    link.symlink_to(path)
    sign_file(link, origin)
    assert link.is_symlink()
    assert oracle(path)["validation_state"] == "Valid"
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_truncated_file_is_refused_and_untouched(save: Callable[[str], Path], origin: Origin) -> None:
    path = save("picture.png")
    path.write_bytes(path.read_bytes()[:1000])
    before = path.read_bytes()
    with pytest.raises(BadInputError, match="cannot be signed"):
        sign_file(path, origin)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in path.parent.iterdir()) == ["picture.png", "user"]


def test_a_damaged_manifest_is_reported_as_unreadable(save: Callable[[str], Path], origin: Origin) -> None:
    path = save("picture.jpg")
    sign_file(path, origin)
    content = bytearray(path.read_bytes())
    start = content.index(b"jumdc2pa") + 200
    content[start : start + 60] = b"\xff" * 60
    path.write_bytes(content)
    manifest = read_manifest(path)
    assert manifest is not None
    assert manifest.state == "unreadable"


@pytest.fixture
def web() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that were asked of it."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_remote_manifests_are_not_fetched(
    save: Callable[[str], Path], origin: Origin, web: tuple[str, list[str]]
) -> None:
    address, asked = web
    attribute, path = save("remote.jpg"), save("swapped.png")
    actions = {"actions": [{"action": "c2pa.created", "digitalSourceType": DIGITAL_SOURCE_TYPE}]}
    claim = {
        "claim_generator_info": [{"name": "x"}],
        "assertions": [{"label": "c2pa.actions.v2", "data": actions}],
    }
    key, remote = signing_key(), io.BytesIO()
    info = c2pa.C2paSignerInfo(b"es256", key.chain.encode(), key.private_key.encode(), None)
    with c2pa.Context() as context, attribute.open("rb") as stream:
        builder = c2pa.Builder(claim, context=context)
        builder.set_no_embed()
        builder.set_remote_url(f"{address}/manifest.c2pa")
        builder.sign(c2pa.Signer.from_info(info), "image/jpeg", stream, remote)
    attribute.write_bytes(remote.getvalue())

    assert read_manifest(attribute) is None
    sign_file(path, origin, attribute=attribute)
    assert asked == []
    with pytest.raises(c2pa.C2paError):  # the same file through the library's own defaults does ask
        c2pa.Reader("image/jpeg", io.BytesIO(remote.getvalue()))
    assert asked == ["/manifest.c2pa"]
