"""MakeHuman's CC0 assets, of which people are rendered: where they lie, and how they get there.

`makehuman.json` lists every file with its repository, commit, licence and SHA-256. Nothing of them is part of
facegraft. Pictures may lie there as published or as converted, smaller copies: `find_texture` finds either.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facegraft.core.errors import BadInputError, MissingPartError, OutputError
from facegraft.core.files import atomic_path, read_bytes, sha256, shown
from facegraft.core.image_bytes import decode_frame

MANIFEST = Path(__file__).with_name("makehuman.json")
VARIABLE = "FACEGRAFT_MAKEHUMAN"
PUBLISHERS = {
    "raw": "https://raw.githubusercontent.com/{repository}/{commit}/{path}",
    "lfs": "https://media.githubusercontent.com/media/{repository}/{commit}/{path}",
}
"""Kind of file -> where it is published; "lfs" is Git's storage of large files."""
PICTURES = (".jpg", ".png", ".jpeg")
GRID = 16
MOST_DIFFERENCE = 3
"""Of 255: how far the cells of a fingerprint may differ, which resizing and JPEG move a little."""
TIMEOUT_S = 60
TRIES = 3

Progress = Callable[[int, int, int], None]
"""Files done, files in all, bytes fetched; called from one thread."""


@dataclass(frozen=True)
class Asset:
    """One published file.

    Attributes:
        path: Below the folder of assets.
        url_kind: "raw" or "lfs", see `PUBLISHERS`.
        repository: Owner and name.
        commit: The one it is taken from.
        path_there: Its path in the repository.
        licence: SPDX name.
        size: Bytes; 0 = not known.
        check: SHA-256, 64 hex digits; or a `fingerprint`, 512 digits, of six pictures whose SHA-256 was not to be had.
    """

    path: str
    url_kind: str
    repository: str
    commit: str
    path_there: str
    licence: str
    size: int
    check: str

    @property
    def is_picture(self) -> bool:
        return self.path.endswith(PICTURES)


def read_manifest(path: Path = MANIFEST) -> tuple[Asset, ...]:
    """The files that renders are made of, sorted by path."""
    listed = json.loads(path.read_text(encoding="utf-8"))
    assets = []
    for folder in listed["folders"]:
        published = listed["repositories"][folder["of"]]
        for name, (size, check) in folder["files"].items():
            here, there = f"{folder['here']}/{name}", f"{folder['there']}/{name}"
            assets.append(Asset(here, folder["kind"], path_there=there, size=size, check=check, **published))
    return tuple(sorted(assets, key=lambda asset: asset.path))


def asset_folder() -> Path:
    """Where assets are kept: FACEGRAFT_MAKEHUMAN, or a folder of the user's cache; it may not exist yet."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "facegraft" / "makehuman"


def find_assets(folder: Path | None = None) -> Path:
    """The folder with MakeHuman's assets: the given one, else `asset_folder()`.

    Raises:
        MissingPartError: It holds no assets, or only a part of them.
    """
    found = folder or asset_folder()
    if not (found / "data" / "3dobjs" / "base.obj").is_file():
        raise MissingPartError(
            f"{shown(found)}: MakeHuman's assets are not here; run `facegraft data assets` (once, online, 150 MB), "
            f"or name a folder that has them in {VARIABLE}"
        )
    missing = [asset.path for asset in read_manifest() if _present(found, asset) is None]
    if missing:
        raise MissingPartError(
            f"{shown(found)}: {len(missing)} of MakeHuman's assets are missing, first {missing[0]}; "
            "run `facegraft data assets` again, which fetches only those"
        )
    return found


def find_texture(folder: Path, stem: str) -> Path:
    """A picture by its name without suffix: as published, or a converted copy.

    Raises:
        MissingPartError: There is neither.
    """
    for suffix in PICTURES:
        path = folder / f"{stem}{suffix}"
        if path.is_file():
            return path
    raise MissingPartError(f"{shown(folder)}: no picture {stem}.png or .jpg; run `facegraft data assets` again")


def assets_digest(folder: Path) -> str:
    """SHA-256 over names and contents of all listed assets as they lie here, for a dataset's card.

    Renders of two folders are the same only if this is.

    Raises:
        MissingPartError: One is missing.
    """
    total = hashlib.sha256()
    for asset in read_manifest():
        path = _present(folder, asset)
        if path is None:
            raise MissingPartError(f"{shown(folder / asset.path)}: missing; run `facegraft data assets` again")
        total.update(f"{path.relative_to(folder).as_posix()} {sha256(path)}\n".encode())
    return total.hexdigest()


def fetch_assets(
    folder: Path,
    *,
    jobs: int = 8,
    assets: Sequence[Asset] | None = None,
    publishers: Mapping[str, str] = PUBLISHERS,
    progress: Progress = lambda _done, _all, _bytes: None,
) -> int:
    """Brings the assets into the folder, several at a time; what is there and sound is not fetched again.

    Args:
        folder: Made if needed.
        jobs: Downloads at a time.
        assets: Which; default: all of the manifest.
        publishers: Kind of file -> address with {repository}, {commit} and {path}.
        progress: Called after every file.

    Returns:
        Files fetched now.

    Raises:
        MissingPartError: A file cannot be had or is not the one we know; whole ones stay, no half one does.
        OutputError: The folder cannot be written.
    """
    if folder.is_symlink():
        raise OutputError(f"{shown(folder)}: is a link to {shown(folder.resolve())}; remove it to fetch, or name --to")
    listed = read_manifest() if assets is None else assets
    _make_folders(folder, listed)
    wanted = [asset for asset in listed if not _sound(folder, asset)]
    done, size = len(listed) - len(wanted), 0
    progress(done, len(listed), size)
    with ThreadPoolExecutor(jobs) as pool:
        waiting = [pool.submit(_fetch, asset, folder, publishers) for asset in wanted]
        try:
            for future in waiting:
                size += future.result()
                done += 1
                progress(done, len(listed), size)
        finally:
            pool.shutdown(cancel_futures=True)
    return len(wanted)


@dataclass(frozen=True)
class Copied:
    """What `copy_assets` found: all files, and how many of them are pictures that are not as published."""

    files: int
    converted: int


def copy_assets(
    given: Path,
    folder: Path,
    *,
    link: bool = False,
    assets: Sequence[Asset] | None = None,
    progress: Progress = lambda _done, _all, _bytes: None,
) -> Copied:
    """Checks a folder of assets that is at hand and copies it, or links to it; both without a network.

    Text files must be those we know, byte for byte. Pictures may be converted: they have to be there and be pictures.

    Raises:
        MissingPartError: A file is missing, or not the one we know; nothing is copied then.
        OutputError: The folder cannot be written.
    """
    listed = read_manifest() if assets is None else assets
    paths = [_checked(given, asset) for asset in listed]
    converted = sum(not _is_published(asset, path) for asset, path in zip(listed, paths, strict=True))
    if link:
        _link(given, folder)
        return Copied(len(paths), converted)
    _make_folders(folder, listed)
    for done, path in enumerate(paths, 1):
        with atomic_path(folder / path.relative_to(given)) as temporary:
            shutil.copyfile(path, temporary)
        progress(done, len(paths), 0)
    return Copied(len(paths), converted)


def fingerprint(path: Path) -> str:
    """A picture's mean brightness in 16 x 16 cells, as 512 hex digits; its size divides by 16.

    Raises:
        BadInputError: No picture, or of another size.
    """
    brightness = decode_frame(read_bytes(path)).astype(np.float32).mean(axis=2)
    height, width = brightness.shape
    if height % GRID or width % GRID:
        raise BadInputError(f"{shown(path)}: expected sides that divide by {GRID}, found {width} x {height}")
    cells = brightness.reshape(GRID, height // GRID, GRID, width // GRID).mean(axis=(1, 3))
    return bytes(np.rint(cells).astype(np.uint8)).hex()


def _present(folder: Path, asset: Asset) -> Path | None:
    path = folder / asset.path
    candidates = [path, *(path.with_suffix(suffix) for suffix in PICTURES)] if asset.is_picture else [path]
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _sound(folder: Path, asset: Asset) -> bool:
    path = folder / asset.path
    return path.is_file() and not _fault(asset, path)


def _fault(asset: Asset, path: Path) -> str:
    """Why the file is not the published one; "" if it is."""
    size = path.stat().st_size
    if asset.size and size != asset.size:
        return f"has {size} bytes, expected {asset.size}"
    if len(asset.check) == 64:
        found = sha256(path)
        return "" if found == asset.check else f"SHA-256 is {found[:12]}..., expected {asset.check[:12]}..."
    try:
        cells = np.frombuffer(bytes.fromhex(fingerprint(path)), np.uint8).astype(int)
    except BadInputError:
        return "is not the picture we know"
    expected = np.frombuffer(bytes.fromhex(asset.check), np.uint8).astype(int)
    difference = int(np.abs(cells - expected).max())
    return "" if difference <= MOST_DIFFERENCE else f"shows another picture (differs by {difference} of 255)"


def _checked(given: Path, asset: Asset) -> Path:
    path = _present(given, asset)
    if path is None:
        raise MissingPartError(f"{shown(given / asset.path)}: missing; expected the folder layout of makehuman.json")
    if not asset.is_picture:
        fault = _fault(asset, path)
        if fault:
            raise MissingPartError(f"{shown(path)}: {fault}; not copied, take the file of {asset.repository} again")
        return path
    try:
        decode_frame(read_bytes(path))
    except BadInputError as error:
        raise MissingPartError(f"{shown(path)}: cannot be read as a picture ({error}); not copied") from error
    return path


def _is_published(asset: Asset, path: Path) -> bool:
    return not asset.is_picture or (path.name == Path(asset.path).name and not _fault(asset, path))


def _make_folders(folder: Path, assets: Sequence[Asset]) -> None:
    try:
        for parent in sorted({folder / Path(asset.path).parent for asset in assets}):
            parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{shown(folder)}: cannot be made ({error.strerror or error}); name another with --to"
        ) from error


def _link(given: Path, folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    if folder.exists():
        raise OutputError(f"{shown(folder)}: is there already; remove it, or copy without --link")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.symlink_to(given.resolve(), target_is_directory=True)
    except OSError as error:
        raise OutputError(f"{shown(folder)}: cannot link ({error.strerror or error}); copy without --link") from error


def _fetch(asset: Asset, folder: Path, publishers: Mapping[str, str]) -> int:
    """One file, written whole or not at all. Returns its size."""
    address = publishers[asset.url_kind].format(
        repository=asset.repository, commit=asset.commit, path=asset.path_there.replace(" ", "%20")
    )
    with atomic_path(folder / asset.path) as temporary:
        temporary.write_bytes(_download(address, asset))
        fault = _fault(asset, temporary)
        if fault:
            raise MissingPartError(f"{address}: {fault}; not stored, run the same command again")
        return temporary.stat().st_size


def _download(address: str, asset: Asset) -> bytes:
    """A whole file; what may pass is tried again.

    Raises:
        MissingPartError: It cannot be had.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return _read_all(address)
        except urllib.error.HTTPError as error:
            error.close()  # it holds the connection
            if error.code < 500 or attempt == TRIES:
                what = f"{address}: the server answers {error.code} ({error.reason})"
                raise MissingPartError(
                    f"{what}; run the same command again later, or give a folder by --from"
                ) from error
        except (OSError, http.client.HTTPException) as error:
            if attempt == TRIES:
                reason = getattr(error, "reason", error) or type(error).__name__
                raise MissingPartError(
                    f"{asset.path}: cannot be fetched from {_host(address)} ({reason}); go online and run the same "
                    "command again, or give a folder that has the assets by --from"
                ) from error
    raise AssertionError("every try returns or raises")


def _read_all(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:  # noqa: S310 - https, or what a caller names
        content: bytes = answer.read()
    return content


def _host(address: str) -> str:
    return address.split("/")[2] if "://" in address else address
