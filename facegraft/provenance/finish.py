"""The three calls of a writing job: before the work, for a picture's metadata, and on the finished file."""

from __future__ import annotations

from pathlib import Path

from facegraft.core.errors import BadInputError, MissingPartError, OutputError
from facegraft.core.files import sniff
from facegraft.provenance.containers import DEMUXERS, add_video_xmp
from facegraft.provenance.keys import signing_key
from facegraft.provenance.manifest import Level, Origin
from facegraft.provenance.signing import SIGNABLE, is_installed, sign_file
from facegraft.provenance.xmp import JPEG_LIMIT_BYTES, xmp_packet


def prepare_marking(level: Level, *, key_folder: Path | None = None) -> list[str]:
    """Finds out before hours of work what would go wrong at their end; makes the signing key on first use.

    Returns:
        One line for each layer that will be missing.

    Raises:
        BadInputError: The signing key is broken; the message says what to delete.
    """
    if level != "full":
        return []
    if not is_installed():
        return [_left_out("c2pa-python is not installed; run `pip install 'facegraft[provenance]'`")]
    try:
        signing_key(key_folder)
    except (MissingPartError, OutputError) as error:
        return [_left_out(str(error))]
    return []


def picture_xmp(origin: Origin, existing: bytes | None, level: Level, kind: str) -> bytes | None:
    """The XMP packet to write into a picture.

    Args:
        origin: What to say.
        existing: The packet of the attribute picture.
        level: With "none" the existing packet is returned as it is.
        kind: Content type of the picture to write, such as "image/jpeg".
    """
    if level == "none":
        return existing
    return xmp_packet(origin, existing, limit_bytes=JPEG_LIMIT_BYTES if kind == "image/jpeg" else None)


def finish_file(
    path: Path, origin: Origin, level: Level, *, attribute: Path | None = None, key_folder: Path | None = None
) -> list[str]:
    """Marks a finished picture or video in place; the last thing before it gets its final name.

    MP4 and MOV get an XMP box (a picture's XMP is written with its pixels), and with "full" every format that can
    hold one a signed manifest. A layer that cannot be written is left out and named: a finished job never fails
    for its label.

    Args:
        path: The file; its name does not matter, its format is known by content.
        origin: What to say.
        level: How much to write.
        attribute: The picture or video that was edited; becomes the manifest's parent.
        key_folder: See `signing_key`.

    Returns:
        One line for each layer that was left out.

    Raises:
        BadInputError: The signing key is broken (`prepare_marking` finds that out early), or there is no such file.
    """
    if level == "none":
        return []
    kind = sniff(path)
    notes: list[str] = []
    if kind in ("video/mp4", "video/quicktime") and (reason := add_video_xmp(path, xmp_packet(origin))):
        notes.append(f"the XMP box is left out: {reason}")
    if level == "metadata":
        return notes
    if kind not in SIGNABLE:
        instead = "; its tags say it" if kind in DEMUXERS else ""
        return [*notes, _left_out(f"{kind or 'this format'} cannot hold one{instead}")]
    if missing := prepare_marking(level, key_folder=key_folder):
        return [*notes, *missing]
    try:
        sign_file(path, origin, key_folder=key_folder, attribute=attribute)
    except (BadInputError, OutputError) as error:
        notes.append(_left_out(str(error)))
    return notes


def _left_out(reason: str) -> str:
    return f"the signed manifest is left out: {reason}"
