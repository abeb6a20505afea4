"""The files of `facegraft swap`: what it reads, what it writes, and what it must not write over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from facegraft.cli.swap_kinds import READ_ONLY_SUFFIXES, kind_of, written_suffix
from facegraft.cli.swap_telling import Say
from facegraft.core.errors import BadInputError
from facegraft.core.files import entries, shown


def default_out(attribute: Path) -> Path:
    """NAME-swapped beside the attribute file; what cannot be written as it is becomes .mp4, or .png where it stands."""
    if attribute.is_dir():
        attribute = attribute.resolve()
        if not attribute.name:
            raise BadInputError(f"{attribute}: name the folder to write to by -o")
        return attribute.with_name(attribute.name + "-swapped")
    return attribute.with_name(f"{attribute.stem}-swapped{written_suffix(attribute)}")


def pairs(attribute: Path, out: Path, say: Say, *, dry_run: bool) -> Iterator[tuple[Path, Path]]:
    """The pictures and clips of a folder, and where each result goes; hidden files are left out."""
    if out.exists() and not out.is_dir():
        raise BadInputError(f"{shown(out)}: the attribute is a folder, so the output must be one; it is a file")
    listed = [path for path in entries(attribute) if path.is_file()]
    found = [path for path in listed if kind_of(path) in ("image", "video")]
    if len(found) < len(listed):
        say(f"note: {len(listed) - len(found)} files of {shown(attribute)} are neither pictures nor clips")
    if not found:
        raise BadInputError(f"{shown(attribute)}: no picture or clip in this folder; name another")
    if not dry_run:
        out.mkdir(parents=True, exist_ok=True)
    for path in found:
        yield path, out / written_name(path)


def written_name(path: Path) -> str:
    """The name of a file's result in a folder, no two alike: its own, or with what it becomes behind it (a.avi.mp4).

    It depends on no other file of the folder, so that results keep their names whatever is added later. Files that
    are named as such a result (a.avi.mp4) get an ending more.
    """
    suffix = written_suffix(path)
    own = Path(path.name)
    while own.suffix.lower() in (".mp4", ".png"):
        own = Path(own.stem)
    became = own.name != path.name and own.suffix.lower() in (*READ_ONLY_SUFFIXES, ".gif")
    return path.name + suffix if became or suffix != path.suffix else path.name


def check_out(out: Path, attribute: Path, others: Sequence[Path]) -> None:
    """Refuses to write over a picture that the job reads, or into the folder of its attribute files.

    Raises:
        BadInputError: `out` is one of the others; or it is the attribute's folder itself.
    """
    if attribute.is_dir() and out.exists() and out.samefile(attribute):
        raise BadInputError(f"{shown(out)}: input and output are the same folder; name another output")
    for path in others:
        if out.is_file() and path.is_file() and out.samefile(path):
            raise BadInputError(f"{shown(out)}: is an input of this job; name another output")
