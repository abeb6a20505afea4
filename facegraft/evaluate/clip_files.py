"""Clips in files: real ones to ask about, and answers to clips that any other tool made."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from facegraft.core.errors import BadInputError, OutputError
from facegraft.core.files import entries, sha256, shown
from facegraft.core.image import read_picture, save_frame
from facegraft.core.types import Frame
from facegraft.data.clip_frames import ClipFrame, clip_frames
from facegraft.evaluate.cases import ENDINGS
from facegraft.evaluate.clips import FEWEST_FRAMES, FPS, ClipCase, ClipSet, still_key

FRAMES = 48
"""Of a clip, where nobody says how many."""
CLIP_ENDINGS = (".mkv", ".mp4", ".mov", ".avi", ".webm", ".m4v", ".gif", ".mpg", ".mpeg")


@dataclass(frozen=True, eq=False)
class ClipFiles:
    """Clip files that one person is put into; each is read when it is asked for.

    Attributes:
        name: Of the set, for the report.
        identities: Pictures of the person; methods that take one get the first.
        clips: The files.
        frames: So many of each at most, from its start.
    """

    name: str
    identities: tuple[Path, ...]
    clips: tuple[Path, ...]
    frames: int = FRAMES

    def __len__(self) -> int:
        return len(self.clips)

    def __iter__(self) -> Iterator[ClipCase]:
        return (read_clip(self.identities, clip, frames=self.frames) for clip in self.clips)

    def keys(self) -> list[str]:
        """Of all clips, without reading them."""
        return [f"{self.identities[0].stem}+{clip.stem}" for clip in self.clips]

    def hashes(self) -> list[str]:
        """SHA-256 of all pictures and clips, in order: names alone do not say which files they were.

        Raises:
            BadInputError: A file is missing.
        """
        return [sha256(path) for path in (*self.identities, *self.clips)]

    def check(self) -> None:
        """Reads every picture and the first frames of every clip: what cannot be asked is told before the work.

        Raises:
            BadInputError: A file cannot be read, or a clip is too short.
        """
        for picture in self.identities:
            read_picture(picture)
        for clip in self.clips:
            _frames_of(clip, min(self.frames, FEWEST_FRAMES))

    def identity_frames(self) -> Iterator[Frame]:
        """The person's first picture."""
        yield read_picture(self.identities[0]).frame


def clip_files(identities: Sequence[Path], clips: Sequence[Path], *, frames: int | None = None) -> ClipFiles:
    """A set of clip files, named after them.

    Raises:
        BadInputError: No picture, no clip, or two clips of one name.
    """
    if not identities or not clips:
        raise BadInputError("clips in files: expected a picture of a person and a clip, found none")
    stems = [clip.stem for clip in clips]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise BadInputError(f"clips: two of the name {twice!r}; answers go by names, so rename one")
    name = f"{identities[0].stem} into {', '.join(stems)}"
    if frames is not None:
        name += f", first {frames} frames"
    return ClipFiles(name, tuple(identities), tuple(clips), FRAMES if frames is None else frames)


def read_clip(
    identity: Path | Sequence[Path], attribute: Path, *, start_s: float = 0.0, frames: int = FRAMES, every: int = 1
) -> ClipCase:
    """A clip of files; nobody is known in them, so each is a person of its own.

    Args:
        identity: Picture that says who, or several of one person.
        attribute: Clip.
        start_s: Seconds from its start to the first frame.
        frames: At most so many.
        every: One frame in so many.

    Raises:
        BadInputError: A file cannot be read, or the clip has fewer than three such frames.
    """
    pictures = (identity,) if isinstance(identity, Path) else tuple(identity)
    read = _frames_of(attribute, frames, start_s, every)
    lasted_s = read[-1].time_s - read[0].time_s
    first, *more = (read_picture(picture).frame for picture in pictures)
    key = f"{pictures[0].stem}+{attribute.stem}"
    return ClipCase(
        key=key,
        identity=first,
        frames=tuple(seen.frame for seen in read),
        identity_person=f"identity {pictures[0].stem}",
        attribute_person=f"attribute {attribute.stem}",
        fps=(len(read) - 1) / lasted_s if lasted_s > 0 else FPS,
        more=tuple(more),
        seed=_seed(key),
    )


def _frames_of(clip: Path, most: int, start_s: float = 0.0, every: int = 1) -> list[ClipFrame]:
    read = list(islice(clip_frames(clip, start_s=start_s, every=every), most))
    if len(read) < FEWEST_FRAMES:
        raise BadInputError(
            f"{shown(clip)}: expected {FEWEST_FRAMES} frames or more from {start_s} s on, found {len(read)}"
        )
    return read


def _seed(key: str) -> int:
    """The same whichever other clips are asked, so that an export fits any later choice of its clips."""
    return int.from_bytes(hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()[:8])


Clips = ClipSet | ClipFiles


class ClipAnswers:
    """Answers to clips, made elsewhere: a folder KEY of numbered pictures, or a clip file KEY.mkv, for each."""

    def __init__(self, folder: Path, keys: Iterable[str] | None = None) -> None:
        """Finds the answers to clips and to their photos that stand still, without reading a picture.

        Args:
            folder: Of answers.
            keys: Of the clips; what else lies in the folder is left alone. None = all that is there answers clips.

        Raises:
            BadInputError: No such folder, two answers of one key, or pictures without a number, or with the same.
        """
        if not folder.is_dir():
            raise BadInputError(f"{shown(folder)}: expected a folder of answers, found none")
        wanted = None if keys is None else {name for key in keys for name in (key, still_key(key))}
        self._found: dict[str, Path | dict[int, Path]] = {}
        paths: dict[str, Path] = {}
        for path in entries(folder):
            key = path.name if path.is_dir() else path.stem
            if not path.is_dir() and path.suffix.lower() not in CLIP_ENDINGS:
                continue
            if wanted is not None and key not in wanted:
                continue
            if key in paths:
                raise BadInputError(f"{shown(path)}: a second answer of this name beside {paths[key].name!r}; keep one")
            paths[key] = path
            self._found[key] = _numbered(path) if path.is_dir() else path

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def get(self, clip: ClipCase) -> list[Frame | None] | None:
        """The answer; None = there is none.

        Pictures are taken in the order of their numbers where there is one per frame; else a picture answers the frame
        of its number, counted from 0, and the others have no answer.

        Raises:
            BadInputError: A file is damaged.
        """
        found = self._found.get(clip.key)
        if found is None:
            return None
        if isinstance(found, Path):
            return [seen.frame for seen in islice(clip_frames(found), len(clip) + 1)]
        if len(found) == len(clip):
            return [read_picture(found[number]).frame for number in sorted(found)]
        return [read_picture(found[at]).frame if at in found else None for at in range(len(clip))]


def _numbered(folder: Path) -> dict[int, Path]:
    """Number at the end of the name -> picture."""
    found: dict[int, Path] = {}
    for path in entries(folder):
        if path.suffix.lower() not in ENDINGS:
            continue
        number = re.search(r"\d+$", path.stem)
        if number is None or int(number[0]) in found:
            raise BadInputError(f"{shown(path)}: expected pictures named by the numbers of their frames, each once")
        found[int(number[0])] = path
    return found


def write_clip(clip: ClipCase, folder: Path) -> None:
    """Writes identity/KEY.png (a folder of them, where there are several) and attribute/KEY/0000.png and so on.

    What an earlier export wrote of this key and this one does not is removed.

    Raises:
        OutputError: A file cannot be written.
    """
    pictures = clip.identities
    write_identities(pictures, folder / "identity", clip.key)
    frames = folder / "attribute" / clip.key
    frames.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(clip.frames):
        save_frame(frames / f"{number:04d}.png", frame)
    _remove_from(frames, len(clip))


def write_identities(pictures: Sequence[Frame], folder: Path, key: str) -> None:
    """One picture as KEY.png, several as KEY/0000.png and so on; what an earlier export left of this key goes.

    Raises:
        OutputError: A file cannot be written.
    """
    one = len(pictures) == 1
    within = folder if one else folder / key
    within.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        save_frame(within / (f"{key}.png" if one else f"{number:04d}.png"), picture)
    _remove_from(folder / key, 0 if one else len(pictures))
    if not one:
        _remove(folder / f"{key}.png")


def _remove_from(folder: Path, first: int) -> None:
    """Removes the numbered pictures of an export from a number on, and the folder where nothing is left in it."""
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.glob("*.png")):
        numbered = re.fullmatch(r"[0-9]{4,}", path.stem) is not None and path.stem == f"{int(path.stem):04d}"
        if numbered and int(path.stem) >= first:
            _remove(path)
    if not any(folder.iterdir()):
        folder.rmdir()


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{shown(path)}: of an earlier export, cannot be removed; remove it by hand") from error
