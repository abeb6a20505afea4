"""MakeHuman's assets: the list is sound, downloads are whole and known or not there, folders at hand are checked."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import threading
import urllib.error
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from facegraft.core.errors import FacegraftError, MissingPartError, OutputError
from facegraft.core.image_bytes import encode_frame
from facegraft.data import assets as module
from facegraft.data.assets import (
    Asset,
    assets_digest,
    copy_assets,
    fetch_assets,
    find_assets,
    find_texture,
    fingerprint,
    read_manifest,
)


def picture(seed: int, side: int = 64) -> np.ndarray:
    """Smooth, so that JPEG and resizing keep it."""
    small = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return small.repeat(side // 4, axis=0).repeat(side // 4, axis=1)


@dataclass
class Publisher:
    """A server of a fake tree on this machine; `broken` maps a path to what goes wrong there, once or always."""

    contents: dict[str, bytes]
    broken: dict[str, str] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    address: str = ""

    @property
    def publishers(self) -> dict[str, str]:
        return dict.fromkeys(("raw", "lfs"), f"{self.address}/{{repository}}/{{commit}}/{{path}}")

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        path = unquote(handler.path).removeprefix("/owner/name/c0ffee/")
        self.asked[path] += 1
        fault = self.broken.get(path, "")
        if path not in self.contents or fault == "404":
            handler.send_error(404)
            return
        if fault == "500 once" and self.asked[path] == 1:
            handler.send_error(500)
            return
        body = self.contents[path]
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if fault == "changed":
            body = body[:-1] + bytes([body[-1] ^ 1])
        handler.wfile.write(body[: len(body) // 2] if fault == "cut" else body)


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    texts = {f"there/texts/file {n}.txt": f"text {n}\n".encode() * 50 for n in range(12)}
    pictures = {f"there/pictures/{n}.png": encode_frame(picture(n)) for n in range(3)}
    served = Publisher(texts | pictures)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_anything: object) -> None:
            """Stays silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def listed(contents: dict[str, bytes]) -> list[Asset]:
    return [
        Asset(
            path=path.replace("there/", "data/"),
            url_kind="lfs" if path.endswith(".png") else "raw",
            repository="owner/name",
            commit="c0ffee",
            path_there=path,
            licence="CC0-1.0",
            size=len(content),
            check=hashlib.sha256(content).hexdigest(),
        )
        for path, content in contents.items()
    ]


def lying(folder: Path) -> dict[str, bytes]:
    """Everything below the folder, half-written files too."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_all_files_arrive_and_are_not_asked_for_twice(tmp_path: Path, publisher: Publisher) -> None:
    assets = listed(publisher.contents)
    seen: list[tuple[int, int, int]] = []
    fetched = fetch_assets(
        tmp_path, jobs=4, assets=assets, publishers=publisher.publishers, progress=lambda *now: seen.append(now)
    )
    assert fetched == len(assets) == 15
    assert lying(tmp_path) == {a.path: publisher.contents[a.path_there] for a in assets}
    assert [done for done, _, _ in seen] == list(range(16))
    assert seen[-1] == (15, 15, sum(map(len, publisher.contents.values())))
    assert fetch_assets(tmp_path, assets=assets, publishers=publisher.publishers) == 0
    assert set(publisher.asked.values()) == {1}


def test_damaged_and_missing_files_are_fetched_again(tmp_path: Path, publisher: Publisher) -> None:
    assets = listed(publisher.contents)
    fetch_assets(tmp_path, assets=assets, publishers=publisher.publishers)
    (tmp_path / assets[0].path).write_bytes(b"x" * assets[0].size)
    (tmp_path / assets[1].path).unlink()
    assert fetch_assets(tmp_path, assets=assets, publishers=publisher.publishers) == 2
    assert lying(tmp_path) == {a.path: publisher.contents[a.path_there] for a in assets}


@pytest.mark.parametrize(
    ("fault", "message", "tries"),
    [
        ("changed", r"SHA-256 is \w{12}\.\.\., expected \w{12}\.\.\.; not stored", 1),
        ("404", r"the server answers 404 \(Not Found\).*--from", 1),
        ("cut", r"cannot be fetched from 127\.0\.0\.1.*IncompleteRead.*--from", 3),
    ],
)
def test_a_bad_answer_is_one_line_and_leaves_nothing_half(
    tmp_path: Path, publisher: Publisher, fault: str, message: str, tries: int
) -> None:
    assets = listed(publisher.contents)
    bad = assets[7]
    publisher.broken[bad.path_there] = fault
    with pytest.raises(MissingPartError, match=message) as caught:
        fetch_assets(tmp_path, jobs=2, assets=assets, publishers=publisher.publishers)
    assert "\n" not in str(caught.value)
    assert publisher.asked[bad.path_there] == tries
    if isinstance(caught.value.__cause__, urllib.error.HTTPError):
        assert caught.value.__cause__.closed  # or the connection stays open until nobody remembers the error
    there = lying(tmp_path)
    assert bad.path not in there
    assert all(content == publisher.contents[f"there/{path[5:]}"] for path, content in there.items())
    publisher.broken.clear()
    assert fetch_assets(tmp_path, assets=assets, publishers=publisher.publishers) == len(assets) - len(there)
    assert len(lying(tmp_path)) == len(assets)


def test_a_server_that_stumbles_once_is_asked_again(tmp_path: Path, publisher: Publisher) -> None:
    assets = listed(publisher.contents)
    publisher.broken[assets[0].path_there] = "500 once"
    assert fetch_assets(tmp_path, assets=assets, publishers=publisher.publishers) == 15
    assert publisher.asked[assets[0].path_there] == 2


def test_offline_is_one_line_that_names_the_way_out(tmp_path: Path) -> None:
    assets = listed({"there/x.txt": b"x"})
    with pytest.raises(MissingPartError, match=r"^data/x\.txt: cannot be fetched from 127\.0\.0\.1:9 .*--from$"):
        fetch_assets(tmp_path, assets=assets, publishers={"raw": "http://127.0.0.1:9/{repository}{commit}{path}"})
    assert lying(tmp_path) == {}


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be made"):
        fetch_assets(tmp_path / "file", assets=listed({"there/x.txt": b"x"}))


def test_a_picture_without_a_known_hash_is_known_by_what_it_shows(tmp_path: Path, publisher: Publisher) -> None:
    path = tmp_path / "small.png"
    path.write_bytes(publisher.contents["there/pictures/0.png"])
    check = fingerprint(path)
    # what the publisher has is larger and a JPEG, as the masks of mpfb2 are
    large = encode_frame(picture(0, side=256), jpeg_quality=95)
    publisher.contents = {"there/pictures/0.jpg": large}
    asset = dataclasses.replace(listed(publisher.contents)[0], size=0, check=check)
    out = tmp_path / "out"
    assert fetch_assets(out, assets=[asset], publishers=publisher.publishers) == 1
    assert fetch_assets(out, assets=[asset], publishers=publisher.publishers) == 0
    for other in (encode_frame(picture(1, side=256), jpeg_quality=95), b"<html>no picture</html>"):
        publisher.contents = {"there/pictures/0.jpg": other}
        with pytest.raises(MissingPartError, match=r"shows another picture|not the picture we know"):
            fetch_assets(tmp_path / "again", assets=[asset], publishers=publisher.publishers)
    assert lying(tmp_path / "again") == {}


def test_copying_checks_texts_byte_for_byte_and_takes_converted_pictures(tmp_path: Path, publisher: Publisher) -> None:
    assets = listed(publisher.contents)
    given, out = tmp_path / "given", tmp_path / "out"
    fetch_assets(given, assets=assets, publishers=publisher.publishers)
    (given / "data/pictures/1.png").unlink()
    (given / "data/pictures/1.jpg").write_bytes(encode_frame(picture(1), jpeg_quality=90))
    copied = copy_assets(given, out, assets=assets)
    assert (copied.files, copied.converted) == (15, 1)
    assert lying(out) == lying(given)
    assert find_texture(out / "data/pictures", "1").name == "1.jpg"
    assert find_texture(out / "data/pictures", "2").name == "2.png"
    with pytest.raises(MissingPartError, match=r"no picture 3\.png or \.jpg"):
        find_texture(out / "data/pictures", "3")


@pytest.mark.parametrize(
    ("path", "content", "message"),
    [
        ("data/texts/file 3.txt", b"other", "has 5 bytes, expected 350; not copied"),
        ("data/texts/file 3.txt", None, "missing"),
        ("data/pictures/2.png", b"no picture", "cannot be read as a picture"),
    ],
)
def test_a_faulty_folder_is_not_copied(
    tmp_path: Path, publisher: Publisher, path: str, content: bytes | None, message: str
) -> None:
    assets = listed(publisher.contents)
    given = tmp_path / "given"
    fetch_assets(given, assets=assets, publishers=publisher.publishers)
    (given / path).unlink()
    if content is not None:
        (given / path).write_bytes(content)
    with pytest.raises(MissingPartError, match=message):
        copy_assets(given, tmp_path / "out", assets=assets)
    assert not (tmp_path / "out").exists()


def test_a_link_points_there_and_never_replaces_a_folder(tmp_path: Path, publisher: Publisher) -> None:
    assets = listed(publisher.contents)
    given, out = tmp_path / "given", tmp_path / "cache" / "out"
    fetch_assets(given, assets=assets, publishers=publisher.publishers)
    copy_assets(given, out, link=True, assets=assets)
    copy_assets(given, out, link=True, assets=assets)  # again: says the same
    assert out.resolve() == given
    with pytest.raises(OutputError, match="is a link to"):  # fetching would write into the folder that was given
        fetch_assets(out, assets=assets, publishers=publisher.publishers)
    (tmp_path / "full").mkdir()
    with pytest.raises(OutputError, match="is there already"):
        copy_assets(given, tmp_path / "full", link=True, assets=assets)


def test_the_manifest_is_sound() -> None:
    assets = read_manifest()
    assert len(assets) == len({asset.path for asset in assets}) == 715
    assert module.MANIFEST.stat().st_size < 120_000
    assert {asset.licence for asset in assets} == {"CC0-1.0"}
    assert {asset.url_kind for asset in assets} == set(module.PUBLISHERS)
    assert {len(asset.commit) for asset in assets} == {40}
    without_hash = [asset.path for asset in assets if len(asset.check) != 64]
    assert len(without_hash) == 6
    assert all(len(asset.check) == 512 for asset in assets if asset.path in without_hash)
    assert all(asset.size for asset in assets if asset.path not in without_hash)
    assert not [asset.path for asset in assets if Path(asset.path).is_absolute() or ".." in asset.path]
    assert not [asset.path for asset in assets if "baby" in asset.path or "child" in asset.path]
    assert {asset.url_kind for asset in assets if asset.path.startswith("data/skins/tex")} == {"lfs"}


def test_addresses_are_those_of_the_publisher() -> None:
    (asset,) = [asset for asset in read_manifest() if asset.path == "data/teeth/materials/teeth.png"]
    address = module.PUBLISHERS[asset.url_kind].format(
        repository=asset.repository, commit=asset.commit, path=asset.path_there
    )
    assert address == (
        "https://media.githubusercontent.com/media/makehumancommunity/makehuman-assets/"
        "8cf9645b975a98eea056b140df11a1d278da0d10/base/teeth/materials/teeth.png"
    )


def test_a_folder_without_assets_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRAFT_MAKEHUMAN", str(tmp_path))
    with pytest.raises(FacegraftError, match="run `facegraft data assets`"):
        find_assets()
    (tmp_path / "data/3dobjs").mkdir(parents=True)
    (tmp_path / "data/3dobjs/base.obj").write_text("v 0 0 0")
    with pytest.raises(FacegraftError, match=r"714 of MakeHuman's assets are missing"):
        find_assets()


def test_the_cache_folder_is_used_where_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACEGRAFT_MAKEHUMAN", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.asset_folder() == tmp_path / "facegraft" / "makehuman"


def test_real_assets_pass(makehuman: Path, tmp_path: Path) -> None:
    assert find_assets(makehuman) == makehuman
    out = tmp_path / "out"
    copied = copy_assets(makehuman, out, link=True)
    assert copied.files == 715
    assert assets_digest(out) == assets_digest(makehuman)
    for asset in read_manifest():
        if len(asset.check) == 512:
            stem = Path(asset.path).stem
            assert fingerprint(find_texture(makehuman / Path(asset.path).parent, stem)) == asset.check
