"""`facegraft analyse`: the faces of a picture, or the people of a clip with a mapping file to edit."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from facegraft.cli.arguments import some_path
from facegraft.core.errors import BadInputError, MissingPartError

if TYPE_CHECKING:
    from facegraft.core.types import Face, Faces, Frame
    from facegraft.faces.embed import Recogniser
    from facegraft.faces.mapping import MappedPerson
    from facegraft.faces.people import Person, Sightings

EPILOG = """examples:
  facegraft analyse photo.jpg                      a table of the faces, largest first
  facegraft analyse photo.jpg --draw faces.png     also a picture with their boxes, numbers and points
  facegraft analyse clip.mp4                       the people, thumbnails and people.toml in ./clip-people
  facegraft analyse clip.mp4 --people cast         the same in ./cast; what you edited there is kept
  facegraft analyse film.mkv --every 0.5           two frames a second: faster, may miss short appearances

Then write pictures into people.toml and run: facegraft swap --map clip-people/people.toml clip.mp4 -o out.mp4
Telling the people of a clip apart needs the recogniser: facegraft models fetch --recogniser
The last line printed is JSON."""
MAPPING_NAME = "people.toml"
THUMBNAIL_MARK = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    b'xmp:CreatorTool="facegraft analyse"/></rdf:RDF></x:xmpmeta>'
)
"""XMP of the thumbnails: where nobody could be told apart there is no mapping file to say that they are ours."""
COLOUR = (64, 255, 64)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("file", type=some_path, metavar="PICTURE_OR_CLIP", help="what to look at")
    parser.add_argument("--draw", type=some_path, metavar="OUT", help="pictures: write a copy with the faces drawn in")
    parser.add_argument(
        "--people", type=some_path, metavar="FOLDER", help="clips: where to write (default: ./NAME-people)"
    )
    parser.add_argument(
        "--every", type=float, default=0.0, metavar="S", help="clips: look at a frame every S seconds (default: all)"
    )
    parser.add_argument("--max-megapixels", type=float, default=200, metavar="M", help="largest picture (default: 200)")
    parser.add_argument("--json", action="store_true", help="print the last line only")
    parser.add_argument("--dry-run", action="store_true", help="look and list, but write nothing")


def run(args: argparse.Namespace) -> int:
    if not (math.isfinite(args.every) and args.every >= 0):
        raise BadInputError(f"--every {args.every}: expected seconds, 0 or more")
    frame = _picture(args.file, args.max_megapixels)
    if frame is None and args.draw is not None:
        raise BadInputError(f"--draw is for pictures, {args.file} is a clip; use --people FOLDER for its thumbnails")
    if frame is not None and (args.people is not None or args.every):
        raise BadInputError(f"--people and --every are for clips, {args.file} is a picture; use --draw OUT")
    if args.draw is not None and args.draw.exists() and args.draw.samefile(args.file):
        raise BadInputError(f"--draw {args.draw}: input and output are the same file; name another output")
    found = _analyse_clip(args) if frame is None else _analyse_picture(args, frame)
    print(json.dumps(found))
    return 0


# --- pictures -----------------------------------------------------------------------------------------


def _picture(path: Path, max_megapixels: float | int) -> Frame | None:
    """The upright pixels, or None for a clip, which an animated picture is too.

    Raises:
        BadInputError: Neither; or a damaged picture.
    """
    from facegraft.core.files import sniff
    from facegraft.core.image import limit_of, read_picture

    max_pixels = limit_of(max_megapixels)
    kind = sniff(path) or ""
    if not kind.startswith("image/"):
        return None
    try:
        return read_picture(path, max_pixels=max_pixels).frame
    except BadInputError:
        if kind == "image/gif":
            return None
        raise


def _analyse_picture(args: argparse.Namespace, frame: Frame) -> dict[str, Any]:
    from facegraft.faces.analyse import Analyser

    faces = Analyser().analyse(frame)
    if not args.json:
        _print_faces(args.file, faces)
    if args.draw is not None and not args.dry_run:
        from facegraft.core.image import save_frame

        save_frame(args.draw, drawn(frame, faces))
    return {
        "file": str(args.file),
        "kind": "picture",
        "size_wh": [frame.shape[1], frame.shape[0]],
        "faces": [_face_facts(face) for face in faces],
        "drawn": None if args.draw is None or args.dry_run else str(args.draw),
    }


def _face_facts(face: Face) -> dict[str, Any]:
    yaw, pitch, roll = (round(float(angle), 1) for angle in face.pose_degrees)
    return {
        "number": face.number,
        "box_xyxy": [round(float(value), 1) for value in face.box_xyxy],
        "score": round(face.score, 3),
        "yaw": yaw,
        "pitch": pitch,
        "roll": roll,
    }


def _print_faces(path: Path, faces: Faces) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if len(faces) == 0:
        print(f"{path}: no face found")
        return
    table = Table(title=escape(str(path)), title_justify="left")
    for name in ("number", "left", "top", "width", "height", "score", "yaw", "pitch", "roll"):
        table.add_column(name, justify="right")
    for face in faces:
        left, top, right, bottom = face.box_xyxy
        angles = [f"{angle:+.0f}°" for angle in face.pose_degrees]
        box = [f"{value:.0f}" for value in (left, top, right - left, bottom - top)]
        table.add_row(str(face.number), *box, f"{face.score:.2f}", *angles)
    Console().print(table)
    print("yaw + looks to the right of the picture, pitch + up, roll + clockwise; --which takes the number")


def drawn(frame: Frame, faces: Faces) -> Frame:
    """A copy with each face's box, number and points."""
    import cv2
    import numpy as np

    canvas = np.ascontiguousarray(frame).copy()
    for face in faces:
        side = float((face.box_xyxy[2:] - face.box_xyxy[:2]).max())
        line = max(1, round(side / 150))
        left, top, right, bottom = (round(float(value)) for value in face.box_xyxy)
        cv2.rectangle(canvas, (left, top), (right, bottom), COLOUR, line)
        for x, y in face.dense[:, :2]:
            # Drawn at 1/16 pixel; OpenCV counts from pixel centres.
            cv2.circle(
                canvas, (round((x - 0.5) * 16), round((y - 0.5) * 16)), line * 8, COLOUR, -1, cv2.LINE_AA, shift=4
            )
        scale = max(0.5, side / 200)
        place = (max(0, left), max(round(24 * scale), top - 2 * line))
        for colour, width in (((0, 0, 0), 4 * line), (COLOUR, max(1, 2 * line))):
            cv2.putText(canvas, str(face.number), place, cv2.FONT_HERSHEY_SIMPLEX, scale, colour, width, cv2.LINE_AA)
    return canvas


# --- clips --------------------------------------------------------------------------------------------


def _analyse_clip(args: argparse.Namespace) -> dict[str, Any]:
    folder = args.people or Path(f"{args.file.stem}-people")
    before = _earlier(folder)
    recogniser = _recogniser()
    sightings, frames, seconds = _watch(args.file, args.every, recogniser, quiet=args.json)
    people = sightings.people()
    names = [f"person-{number + 1}.jpg" for number in range(len(people))]
    mapping = None
    if people and not args.dry_run:
        mapping = _write(folder, args.file, people, names, before)
    if not args.json:
        _print_people(args, people, folder, names, mapping, known=recogniser is not None)
    return {
        "file": str(args.file),
        "kind": "clip",
        "frames": frames,
        "seconds": round(seconds, 3),
        "people": [
            {
                "name": f"person {row + 1}",
                "tracks": list(person.tracks),
                "first_s": round(person.first_s, 3),
                "seconds": round(person.seconds, 3),
                "thumbnail": None if args.dry_run else str(folder / names[row]),
            }
            for row, person in enumerate(people)
        ],
        "mapping": None if mapping is None else str(mapping),
    }


def _recogniser() -> Recogniser | None:
    from facegraft.faces.embed import Recogniser

    try:
        return Recogniser()
    except MissingPartError:
        return None  # said at the end, with what to run


def _watch(path: Path, every_s: float, recogniser: Recogniser | None, *, quiet: bool) -> tuple[Sightings, int, float]:
    """Follows the faces of a clip; returns what was seen, frames looked at, and the clip's length."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from facegraft.faces.analyse import Analyser
    from facegraft.faces.people import Sightings
    from facegraft.faces.track import Tracker
    from facegraft.runtime.video.probe import probe

    original = probe(path)
    tracker, sightings = Tracker(Analyser(), recogniser), Sightings()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    looked, seen_until, end_s = 0, -math.inf, 0.0
    last: tuple[Frame, Faces, float, float] | None = None

    def add(until_s: float) -> None:
        """The last look counts as long as looks are apart, but not beyond `until_s`."""
        if last is not None:
            frame, faces, time_s, duration_s = last
            seen_s = max(duration_s, min(every_s, until_s - time_s))
            sightings.add(frame, faces, time_s=time_s, duration_s=seen_s)

    with Progress(*columns, console=Console(stderr=True), transient=True, disable=quiet) as progress:
        task = progress.add_task("looking for people", total=original.frames)
        for time_s, duration_s, decode in _frames(path):
            progress.advance(task)
            end_s = max(end_s, time_s + duration_s)
            if time_s - seen_until < every_s - 1e-6:
                continue
            seen_until = time_s
            looked += 1
            add(time_s)
            frame = decode()
            last = (frame, tracker.update(frame, time_s), time_s, duration_s)
    add(end_s)
    return sightings, looked, end_s


def _frames(path: Path) -> Iterator[tuple[float, float, Any]]:
    """Time and duration in seconds, and a call that gives the upright frame."""
    from functools import partial

    from facegraft.runtime.video.decode import Faults, Span, read_frames
    from facegraft.runtime.video.orient import to_upright
    from facegraft.runtime.video.probe import probe
    from facegraft.runtime.video.yuv import Converter, matrix_of

    original = probe(path)
    matrix, converter = matrix_of(original.colour.matrix, original.size_hw), Converter()

    def upright(frame: Any) -> Frame:
        return to_upright(converter.rgb(frame, matrix), original.orientation)

    for timed in read_frames(original, Span(), None, Faults()):
        time_s = float(timed.pts * original.time_base)
        yield time_s, float(timed.duration * original.time_base), partial(upright, timed.frame)


def _earlier(folder: Path) -> list[MappedPerson]:
    """What the folder's mapping file says so far: read first, as one that was broken by hand must not be lost.

    Raises:
        BadInputError: It is broken; or a picture that is not ours, or that is somebody's identity, has the name of a
            thumbnail.
    """
    from facegraft.core.files import read_bytes
    from facegraft.faces.mapping import read_mapping

    if folder.exists() and not folder.is_dir():
        raise BadInputError(f"--people {folder}: expected a folder, found a file; name another")
    path = folder / MAPPING_NAME
    before = read_mapping(path) if path.is_file() else []
    ours = {entry.thumbnail for entry in before}
    given = {entry.identity.resolve() for entry in before if entry.identity is not None}
    for picture in sorted(folder.glob("person-[1-9]*.jpg")):
        if not picture.stem[7:].isdecimal():
            continue
        if picture.resolve() in given or not (picture.name in ours or THUMBNAIL_MARK in read_bytes(picture)):
            raise BadInputError(f"--people {folder}: {picture.name} in it is not of `facegraft analyse`; name another")
    return before


def _write(folder: Path, clip: Path, people: list[Person], names: list[str], before: list[MappedPerson]) -> Path | None:
    """Thumbnails, and the mapping file where the people can be told apart."""
    from facegraft.core.image import save_frame
    from facegraft.faces.mapping import keep_edits, mapped, write_mapping

    folder.mkdir(parents=True, exist_ok=True)
    for person, name in zip(people, names, strict=True):
        save_frame(folder / name, person.thumbnail, quality=92, xmp=THUMBNAIL_MARK)
    entries = mapped(people, names)
    if not entries:
        return None
    write_mapping(folder / MAPPING_NAME, keep_edits(entries, before), clip)
    return folder / MAPPING_NAME


def _print_people(
    args: argparse.Namespace, people: list[Person], folder: Path, names: list[str], mapping: Path | None, *, known: bool
) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    if not people:
        print(f"{args.file}: no face found")
        return
    table = Table(title=escape(str(args.file)), title_justify="left")
    for name in ("person", "seen (s)", "first (s)", "tracks", "thumbnail"):
        table.add_column(name, justify="right" if "(s)" in name else "left")
    for row, person in enumerate(people):
        tracks = ", ".join(map(str, person.tracks))
        where = "" if args.dry_run else names[row]
        table.add_row(f"person {row + 1}", f"{person.seconds:.1f}", f"{person.first_s:.1f}", tracks, where)
    Console().print(table)
    if not args.dry_run:
        print(f"thumbnails are in {folder}")
    if mapping is not None:
        print(f"write the pictures of the new faces into {mapping}, then: facegraft swap --map {mapping} {args.file}")
    elif not known:
        print(
            "each track is listed by itself: telling people apart and the mapping file need the recogniser; "
            "run `facegraft models fetch --recogniser`, or swap with --which TRACK"
        )
