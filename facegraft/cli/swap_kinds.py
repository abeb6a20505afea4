"""What `facegraft swap` reads and writes: picture or clip, by which suffix, and which options go with it."""

from __future__ import annotations

import argparse
from pathlib import Path

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import check_input_file, shown, sniff
from facegraft.core.image_decode import is_animated_gif

CLIP_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm")
"""What can be written as a clip."""
READ_ONLY_SUFFIXES = (
    *(".avi", ".mpg", ".mpeg", ".vob", ".3gp", ".wmv", ".asf"),
    *(".flv", ".ts", ".mts", ".m2ts", ".ogv"),
)
"""Clips that are read and written as .mp4, as GIFs that move are."""
LOSSLESS_SUFFIXES = (".png", ".tif", ".tiff", ".bmp")
"""Pictures whose pixels are all kept: there is no quality to choose."""


def is_clip(out: Path) -> bool:
    """Whether a file of this name is written as a clip."""
    return out.suffix.lower() in CLIP_SUFFIXES


def kind_of(path: Path) -> str:
    """What a file holds, by its content: "image", "video" or else; a GIF that moves is a video."""
    try:
        kind = sniff(path) or ""
    except FacegraftError:
        return "image"  # it will fail when its turn comes, with its reason
    return "video" if kind == "image/gif" and is_animated_gif(path) else kind.partition("/")[0]


def written_suffix(attribute: Path) -> str:
    """Of the result of this file, where nobody names one."""
    suffix = attribute.suffix
    if suffix.lower() == ".gif":
        return ".mp4" if kind_of(attribute) == "video" else ".png"
    return ".mp4" if suffix.lower() in READ_ONLY_SUFFIXES else suffix


def check_kinds(attribute: Path, out: Path) -> None:
    """Refuses to write a picture as a clip and the other way round, and what cannot be read at all."""
    check_input_file(attribute)
    kind = kind_of(attribute)
    if is_clip(out) and kind == "image":
        raise BadInputError(f"{shown(attribute)} is a picture, and {shown(out)} names a clip; end it in .jpg or .png")
    if kind == "video" and not is_clip(out):
        raise BadInputError(
            f"{shown(attribute)} is a clip; name it -o {shown(out.with_suffix('.mp4'))}, "
            f"or end it in another of {' '.join(CLIP_SUFFIXES)}"
        )


def check_options(args: argparse.Namespace, attribute: Path, out: Path) -> None:
    """Refuses options that would do nothing."""
    if args.quality is not None and not 1 <= args.quality <= 100:
        raise BadInputError(f"--quality must be 1 to 100, found {args.quality}")
    if args.consent is not None and args.provenance == "none":
        raise BadInputError("--consent is written into the provenance, which --provenance none leaves out; use one")
    if attribute.is_dir():
        return
    if out.is_dir():
        name = f"{attribute.stem}-swapped{written_suffix(attribute)}"
        raise BadInputError(f"{shown(out)}: is a folder; name a file to write, such as {shown(out / name)}")
    for_clips = {name: getattr(args, name) for name in ("crf", "codec", "preset", "start", "end", "drop")}
    given = [f"--{name}" for name, value in for_clips.items() if value not in (None, [])]
    if given and not is_clip(out):
        raise BadInputError(f"{', '.join(given)}: only for clips, and {shown(out)} is to be a picture; leave it out")
    if args.quality is not None and is_clip(out):
        raise BadInputError(f"--quality: only for pictures, and {shown(out)} is to be a clip; use --crf")
    if args.quality is not None and out.suffix.lower() in LOSSLESS_SUFFIXES:
        raise BadInputError(f"--quality: {out.suffix} keeps every pixel as it is; leave it out, or name a .jpg")
