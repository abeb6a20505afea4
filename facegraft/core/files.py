"""Files: written whole or not at all, hashed, and known by their content instead of their name."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from facegraft.core.errors import BadInputError, OutputError

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (8, b"WEBP", "image/webp"),
    (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"),
    (0, b"II+\0", "image/tiff"),
    (0, b"MM\0+", "image/tiff"),
    (0, b"GIF8", "image/gif"),
    (0, b"BM", "image/bmp"),
    (0, b"\0\0\0\x0cJXL ", "image/jxl"),
    (0, b"\xff\x0a", "image/jxl"),
    (0, b"\0\0\0\x0cjP  ", "image/jp2"),
    (0, b"8BPS", "image/vnd.adobe.photoshop"),
    (0, b"\x1aE\xdf\xa3", "video/x-matroska"),
    (8, b"AVI ", "video/x-msvideo"),
    (0, b"FLV\x01", "video/x-flv"),
    (0, b"\0\0\x01\xba", "video/mpeg"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-asf"),
    (8, b"WAVE", "audio/wav"),
    (0, b"%PDF", "application/pdf"),
    (0, b"PK\x03\x04", "application/zip"),
)
_OGG_VIDEO = (b"\x80theora", b"\x01video", b"OVP80", b"BBCD\0")
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
"""What a .mov from before `ftyp` begins with."""
_FTYP_BRANDS: tuple[tuple[bytes, str], ...] = (
    (b"avif", "image/avif"),
    (b"avis", "image/avif"),
    *((brand, "image/heic") for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")),
    (b"qt  ", "video/quicktime"),
)


def shown(path: Path) -> str:
    """The path as one printable line: names with line breaks or broken characters are quoted and escaped."""
    text = str(path)
    return text if text.isprintable() else ascii(text)


def entries(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing where there is none.

    Hidden files are passed over: macOS leaves `._NAME` beside copied pictures.
    """
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []


def check_input_file(path: Path) -> os.stat_result:
    """Its stat, if it is a plain file that may be read.

    Raises:
        BadInputError: Missing, a folder, a pipe or device (opening one could hang), or not readable.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:
        raise BadInputError(f"{shown(path)}: cannot be opened ({_reason(error)}); check the name") from error
    if stat.S_ISDIR(found.st_mode):
        raise BadInputError(f"{shown(path)}: expected a file, found a folder; name a file in it")
    if not stat.S_ISREG(found.st_mode):
        raise BadInputError(f"{shown(path)}: expected a plain file, found a pipe or device; save it to a file first")
    if not os.access(path, os.R_OK):
        raise BadInputError(f"{shown(path)}: no permission to read it; change its mode (chmod +r) or owner")
    return found


def read_bytes(path: Path) -> bytes:
    """All of a plain file.

    Raises:
        BadInputError: As `check_input_file`, or the disk fails while reading.
    """
    check_input_file(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInputError(f"{shown(path)}: cannot be read ({_reason(error)})") from error


def sha256(path: Path) -> str:
    """SHA-256 of a file's content, 64 lower-case hex digits.

    Raises:
        BadInputError: As `check_input_file`.
    """
    check_input_file(path)
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sniff(path: Path) -> str | None:
    """Content type (`image/jpeg`, `video/mp4`, ...) by the first bytes, whatever the name says.

    Returns:
        None where the content is not known; `inode/x-empty` for an empty file.

    Raises:
        BadInputError: As `check_input_file`.
    """
    check_input_file(path)
    try:
        with path.open("rb") as stream:
            return sniff_bytes(stream.read(512))
    except OSError as error:
        raise BadInputError(f"{shown(path)}: cannot be read ({_reason(error)})") from error


def sniff_bytes(head: bytes) -> str | None:
    """As `sniff`, of a file's first bytes; 512 are enough."""
    if not head:
        return "inode/x-empty"
    for offset, magic, kind in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return kind
    if head[4:8] == b"ftyp":
        return _ftyp(head)
    if head[:4] == b"OggS":
        return "video/ogg" if any(name in head for name in _OGG_VIDEO) else "application/ogg"
    if _is_transport(head):
        return "video/mp2t"
    if _is_text(head):
        return "text/plain"
    return "video/quicktime" if head[4:8] in _OLD_QUICKTIME else None


def _ftyp(head: bytes) -> str:
    """The major brand decides; `mif1` alone says only "HEIF", so the compatible brands may still say AVIF."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = [head[8:12], *(head[at : at + 4] for at in range(16, end, 4))]
    if brands[0] in (b"mif1", b"msf1") and not {b"avif", b"avis"}.isdisjoint(brands):
        return "image/avif"
    return dict(_FTYP_BRANDS).get(brands[0], "video/mp4")


def _is_transport(head: bytes) -> bool:
    """Packets of 188 bytes that begin with 0x47; cameras and discs (.mts, .m2ts) put 4 bytes before each."""
    return any(head[at : at + 1] == head[at + step : at + step + 1] == b"\x47" for at, step in ((0, 188), (4, 192)))


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(character.isprintable() or character in "\t\r\n\f\ufeff" for character in text)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; when the block ends well its file takes that name at once.

    The temporary name is short, hidden, and keeps the suffix. If the block raises (Ctrl-C included), the
    temporary file is removed and `path` stays as it was. A link is followed, an old file's mode kept.

    Raises:
        OutputError: The folder is missing or may not be written, the disk is full, or `path` is a folder or device.
    """
    final = output_place(path)
    suffix = final.suffix if len(final.suffix) <= 12 else ""
    temporary = final.with_name(f".facegraft-{secrets.token_hex(8)}{suffix}")
    try:
        # Not mkstemp: its files are closed to the group, whatever the user's umask says.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        settle(temporary, final)
    except OSError as error:
        if error.filename is not None and Path(os.fsdecode(error.filename)) not in (temporary, final):
            raise  # another file's fault, such as an input that vanished
        raise OutputError(f"{shown(path)}: cannot be written ({_reason(error)}){_advice(error)}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def check_output(path: Path) -> None:
    """Finds out whether `atomic_path` could write there: an empty file is made beside it, and removed at once.

    Raises:
        OutputError: As `atomic_path`.
    """
    with suppress(_NotNowError), atomic_path(path):
        raise _NotNowError


class _NotNowError(Exception):
    """Nothing is to be written yet."""


def settle(temporary: Path, final: Path) -> None:
    """Content to disk, then the name, then the folder's entry: a power cut leaves the old file or the new.

    An old file's mode is kept; that `final` is no link is the caller's care, see `output_place`.
    """
    with temporary.open("rb+") as stream:
        os.fsync(stream.fileno())
    if final.exists():
        shutil.copymode(final, temporary)
    temporary.replace(final)
    sync_folder(final.parent)


def sync_folder(folder: Path) -> None:
    """Makes a folder's entries survive a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot sync a folder
            raise
    finally:
        os.close(handle)


def output_place(path: Path) -> Path:
    """Where the file will lie: a link is followed.

    Asks the system itself: pathlib takes names that cannot exist for free ones.

    Raises:
        OutputError: Nothing can be written there: the folder is missing, or it is a folder or device.
    """
    try:
        final = Path(os.path.realpath(path)) if path.is_symlink() else path
        mode = final.stat().st_mode
    except FileNotFoundError:
        mode = None
    except (OSError, ValueError) as error:
        raise OutputError(f"{shown(path)}: cannot be written ({_reason(error)}); choose another name") from error
    if mode is not None and stat.S_ISDIR(mode):
        raise OutputError(f"{shown(path)}: is a folder; name a file to write")
    if mode is not None and not stat.S_ISREG(mode):
        raise OutputError(f"{shown(path)}: is a pipe or device; name a plain file to write")
    if mode is not None and not os.access(final, os.W_OK):
        raise OutputError(f"{shown(path)}: is write-protected; change its mode (chmod +w) or write elsewhere")
    if not final.parent.is_dir():
        raise OutputError(f"{shown(path)}: its folder {shown(final.parent)} does not exist; make it first")
    return final


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return (reason or " ".join(str(error).split()) or type(error).__name__).lower()


def _advice(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "; free some space or write elsewhere"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "; change the folder's mode or write elsewhere"
    return ""
