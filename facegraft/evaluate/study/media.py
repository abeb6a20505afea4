"""Files of conditions: found, matched by their stems, checked, and brought under names that tell a rater nothing."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import av
import av.error

from facegraft.core.errors import BadInputError
from facegraft.core.files import check_input_file, entries, shown, sniff
from facegraft.core.image import read_picture
from facegraft.core.image_bytes import encode_frame
from facegraft.data.clip_frames import clip_frames, clip_length_s

PICTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif", ".heic"}
CLIP_SUFFIXES = {".mp4", ".webm"}
CODECS = {"h264", "vp8", "vp9", "av1"}
"""That every common browser shows."""
MOST_STRETCH, MOST_LENGTH_DIFFERENCE_S = 0.02, 0.1
_AS_IT_IS = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


@dataclass(frozen=True)
class Medium:
    """A checked file: how it is stored, its shape, and how long it runs (0 for pictures)."""

    path: Path
    suffix: str
    copied: bool
    """As it is; else written anew as PNG, since browsers do not show the original or show it turned."""
    aspect: float
    length_s: float = 0.0


def find_media(folder: Path, *, clips: bool) -> dict[str, Path]:
    """Stem -> file, in the order of stems; hidden and other files are passed over.

    Raises:
        BadInputError: No folder, nothing in it, or two files of one stem.
    """
    if not folder.is_dir():
        raise BadInputError(f"{shown(folder)}: expected a folder of {'clips' if clips else 'pictures'}; check the name")
    wanted = CLIP_SUFFIXES if clips else PICTURE_SUFFIXES
    found: dict[str, Path] = {}
    for path in entries(folder):
        if path.suffix.lower() not in wanted or not path.is_file():
            continue
        if path.stem in found:
            raise BadInputError(
                f"{shown(path)}: {shown(found[path.stem])} has the same stem; files are matched by stem, so keep one"
            )
        found[path.stem] = path
    if not found:
        kinds = " ".join(sorted(wanted))
        raise BadInputError(f"{shown(folder)}: no {'clips' if clips else 'pictures'} in it; expected files of {kinds}")
    return found


def match_stems(folders: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """The stems, which must be the same in every folder.

    Raises:
        BadInputError: It names the first stem that is missing somewhere, and how many are.
    """
    stems = sorted(set().union(*folders.values()))
    for name, files in folders.items():
        missing = [stem for stem in stems if stem not in files]
        if missing:
            raise BadInputError(
                f"{name}: {len(missing)} of {len(stems)} stems are missing, the first is {missing[0]!r}; "
                "every folder needs a file of every stem"
            )
    return stems


def check_medium(path: Path) -> Medium:
    """Reads a picture whole, or a clip's first frame.

    Raises:
        BadInputError: It cannot be read, or no browser would show it.
    """
    if path.suffix.lower() in CLIP_SUFFIXES:
        return _check_clip(path)
    picture = read_picture(path)
    kind = sniff(path) or ""
    copied = kind in _AS_IT_IS and picture.orientation == 1 and picture.bit_depth == 8 and picture.mode != "CMYK"
    height, width = picture.frame.shape[:2]
    return Medium(path, _AS_IT_IS[kind] if copied else ".png", copied, width / height)


def check_alike(media: Mapping[str, Medium]) -> None:
    """Things shown side by side must have one shape, and clips one length, or raters could tell them by it.

    Raises:
        BadInputError: It names two files that differ.
    """
    first, *others = media.values()
    for other in others:
        if abs(other.aspect / first.aspect - 1) > MOST_STRETCH:
            raise BadInputError(
                f"{shown(other.path)}: its width is {other.aspect:.2f} of its height, that of {shown(first.path)} is "
                f"{first.aspect:.2f}; crop them alike"
            )
        if abs(other.length_s - first.length_s) > MOST_LENGTH_DIFFERENCE_S:
            raise BadInputError(
                f"{shown(other.path)}: lasts {other.length_s:.2f} s, {shown(first.path)} {first.length_s:.2f} s; "
                "clips that run side by side must end together"
            )


def media_name(seed: int, role: str, stem: str, suffix: str) -> str:
    """16 hex digits, the same for the same study, that name neither condition nor scene."""
    return hashlib.sha256(f"{seed}\0{role}\0{stem}".encode("utf-8", "surrogatepass")).hexdigest()[:16] + suffix


def store(medium: Medium, path: Path) -> None:
    """Brings a checked file to its place in the study."""
    if medium.copied:
        shutil.copyfile(medium.path, path)
    else:
        path.write_bytes(encode_frame(read_picture(medium.path).frame))


def _check_clip(path: Path) -> Medium:
    check_input_file(path)
    try:
        with av.open(
            f"file:{path}", container_options={"format_whitelist": "mov,matroska", "protocol_whitelist": "file"}
        ) as container:
            codec = container.streams.video[0].codec_context.name if container.streams.video else "no picture"
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise BadInputError(f"{shown(path)}: cannot be read as a clip ({' '.join(str(error).split())})") from error
    codec = {"libdav1d": "av1", "libvpx": "vp8", "libvpx-vp9": "vp9"}.get(codec, codec)
    if codec not in CODECS:
        raise BadInputError(
            f"{shown(path)}: coded as {codec}, which not every browser shows; use {', '.join(sorted(CODECS))}"
        )
    frame = next(clip_frames(path)).frame
    length = clip_length_s(path)
    if not length:
        raise BadInputError(f"{shown(path)}: does not say how long it is; write it anew, for instance by ffmpeg")
    return Medium(path, path.suffix.lower(), True, frame.shape[1] / frame.shape[0], length)
