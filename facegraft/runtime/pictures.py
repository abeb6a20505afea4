"""One picture: read, swap, mark, write whole or not at all."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32

from facegraft.core.errors import BadInputError, NoFaceError
from facegraft.core.files import atomic_path, shown
from facegraft.core.image import DEFAULT_MAX_PIXELS, Picture, encode_picture, output_format, read_picture
from facegraft.core.types import Faces, Frame, Patch, paste
from facegraft.provenance.finish import finish_file, picture_xmp
from facegraft.provenance.manifest import Level, Origin
from facegraft.provenance.watermark import check_room, embed_mark
from facegraft.runtime.swapper import Swapper

Choose = Callable[[Frame, Faces], dict[int, str]]
"""Which identity goes on which row of the faces."""

ON_NO_FACE = ("fail", "keep", "skip")
"""fail: an error. keep: a plain copy, byte for byte where the format stays. skip: nothing is written."""

COPIED = "nobody was swapped: written is a plain copy, byte for byte"


@dataclass(frozen=True)
class PictureReport:
    """What was done to one picture; `written` is None where nothing was."""

    written: Path | None
    faces: int
    swapped: int
    changed_share: float
    """Share of the picture's pixels that were changed."""
    seconds: float
    notes: tuple[str, ...] = field(default=())


def swap_picture(
    swapper: Swapper,
    choose: Choose,
    attribute: Path,
    out: Path,
    *,
    origin: Origin,
    level: Level = "full",
    quality: int | None = None,
    on_no_face: str = "fail",
    watermark: bool = False,
    max_pixels: int = DEFAULT_MAX_PIXELS,
) -> PictureReport:
    """Swaps the chosen faces of a picture file.

    Raises:
        NoFaceError: No face to swap, and `on_no_face` says fail.
        BadInputError, OutputError: The file cannot be read or written.
    """
    began = time.perf_counter()
    check_names(attribute, out)
    picture = read_picture(attribute, max_pixels=max_pixels)
    faces = swapper.analyser.analyse(picture.frame)
    who = choose(picture.frame, faces) if len(faces) else {}
    if who:
        check_mark(out, picture, level)
    patches = swapper.patches(picture.frame, faces, who) if who else []
    swapped = len(patches)
    notes: tuple[str, ...] = picture.notes
    if not swapped and on_no_face == "fail":
        why = "could be swapped" if who else "was chosen"
        found = f"none of its faces (0 to {len(faces) - 1}) {why}" if len(faces) else "no face found"
        look = f"facegraft analyse {shown(attribute)} --draw faces.png"
        raise NoFaceError(f"{shown(attribute)}: {found}; see `{look}`, or pass --on-no-face keep")
    if not swapped:  # what was not changed must not say that it was, and carries no mark
        written = out if on_no_face == "keep" else None
        notes = notes if written is None else _keep(attribute, out, picture, origin, quality)
        return PictureReport(written, len(faces), 0, 0.0, time.perf_counter() - began, notes)
    share = changed_share(patches, picture.frame.shape[0] * picture.frame.shape[1])
    if watermark:
        patches = [*patches, mark_patch(picture.frame, patches)]
    notes = write_marked(out, picture, origin, patches, level=level, quality=quality, attribute=attribute)
    return PictureReport(out, len(faces), swapped, share, time.perf_counter() - began, notes)


def _keep(attribute: Path, out: Path, picture: Picture, origin: Origin, quality: int | None) -> tuple[str, ...]:
    """A copy of the file itself where its format stays and no quality is asked; else its pixels, written anew."""
    if quality is not None or output_format(out, picture) != picture.format:
        return ("nobody was swapped", *write_marked(out, picture, origin, level="none", quality=quality))
    with atomic_path(out) as temporary:
        shutil.copyfile(attribute, temporary)
    return (COPIED,)


def write_marked(
    out: Path,
    picture: Picture,
    origin: Origin,
    patches: Sequence[Patch] = (),
    *,
    level: Level = "full",
    quality: int | None = None,
    attribute: Path | None = None,
) -> tuple[str, ...]:
    """Writes a picture that says that it was made, whole or not at all.

    Returns:
        One sentence for everything that was changed or left out.

    Raises:
        BadInputError, OutputError: The file cannot be written, or its format cannot say that it was made.
    """
    check_mark(out, picture, level)
    kind = "image/" + output_format(out, picture).lower()
    with atomic_path(out) as temporary:  # it keeps the suffix, which names the format
        xmp = picture_xmp(origin, picture.xmp, level, kind)
        content, notes = encode_picture(out, picture, list(patches), quality=quality, xmp=xmp)
        temporary.write_bytes(content)
        marks = finish_file(temporary, origin, level, attribute=attribute)
    return (*notes, *marks)


def changed_share(patches: list[Patch], pixels: int) -> float:
    """Share of a frame's pixels whose 8-bit value changes."""
    return sum(_changed(patch.delta) for patch in patches) / max(pixels, 1)


def _changed(delta: Float32[np.ndarray, "h w 3"]) -> int:
    same = cv2.inRange(delta, (-0.5, -0.5, -0.5), (0.5, 0.5, 0.5))
    return int(same.size - cv2.countNonZero(same))


def mark_patch(frame: Frame, patches: list[Patch]) -> Patch:
    """The invisible mark of the swapped frame, as one more patch over all of it."""
    swapped = frame.copy()
    paste(swapped, patches)
    return Patch(0, 0, embed_mark(swapped).astype(np.float32) - swapped)


def check_names(attribute: Path, out: Path) -> None:
    """Refuses to write over the attribute file.

    Raises:
        BadInputError: Both are the same file.
    """
    if out.exists() and attribute.exists() and out.samefile(attribute):
        raise BadInputError(f"{shown(out)}: input and output are the same file; name another output")


def check_mark(out: Path, picture: Picture, level: Level) -> None:
    """Refuses a format that has no room for a word of how the picture was made.

    Raises:
        BadInputError: It is BMP, and the level is not "none".
    """
    if level != "none" and output_format(out, picture) == "BMP":
        raise BadInputError(f"{shown(out)}: a BMP cannot say that it was made; write a .png, or pass --provenance none")


def plan_picture(
    swapper: Swapper,
    choose: Choose,
    attribute: Path,
    out: Path,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    *,
    level: Level = "none",
    watermark: bool = False,
) -> tuple[int, int]:
    """Reads and analyses without writing: how many faces there are, how many would be swapped.

    Raises:
        BadInputError, OutputError: As `swap_picture`.
    """
    check_names(attribute, out)
    picture = read_picture(attribute, max_pixels=max_pixels)
    output_format(out, picture)
    faces = swapper.analyser.analyse(picture.frame)
    who = choose(picture.frame, faces) if len(faces) else {}
    if who:
        check_mark(out, picture, level)
    if watermark and who:
        check_room(*picture.frame.shape[:2])
    return len(faces), len(who)
