"""Milliseconds of the whole analysis of a face and of a frame, ours beside MediaPipe's networks, on 1 and 2 threads.

    python benchmarks/analysis_speed.py examples/identity_1.jpg examples/identity_2.jpg examples/identity_3.jpg
    python benchmarks/analysis_speed.py examples/identity_1.jpg --rounds 5 --json try.json

Frames are the pictures given, side by side on grey: 1 and 4 faces at 640 x 480 and at 1280 x 720. Timed are the looks
at a whole frame (once, as in a video every few frames; thorough, as at a picture), the points that follow where nobody
looks, and what covers a face; then all of it in one go. Ours also tell light, attributes and who it is, of which
MediaPipe's models say nothing. Networks by themselves come last. Whoever is timed takes turns; medians of the clock
with 95 % intervals by bootstrap over the rounds, and after a semicolon of the processor, all threads together, which
hardly grow where others use it too. Without `facegraft models fetch --teacher` ours are timed alone. Prints Markdown
and appends the run to benchmarks/history/<version>/analysis_speed--<machine>--cpu.json.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from eye_networks.measures import Figure, alternating
from eye_networks.table import OURS, cell, number
from synth_pictures import facts, history, this_machine

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import atomic_path
from facegraft.core.image import read_picture
from facegraft.core.types import Face, Faces, Frame
from facegraft.export.compare import open_session
from facegraft.faces.analyse import Analyser
from facegraft.faces.attributes import AttributeReader
from facegraft.faces.fetch import WEIGHTS, missing_models
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.own import OwnNetworks
from facegraft.faces.recognisers import OnnxRecogniser, cut

SIZES = {"640 x 480": (640, 480), "1280 x 720": (1280, 720)}
FACES = (1, 4)
THREADS = (1, 2)
TEACHER = "MediaPipe"
GREY = 128
ALONE = {
    "detector, 320 px": ("detector", "image", 320),
    "landmarks, 128 px": ("landmarks", "crop", 128),
    "parser, 160 px": ("parser", "crop", 160),
    "parser, 256 px": ("parser", "crop", 256),
    "attributes, 128 px": ("attributes", "crop", 128),
    "shading, 128 px": ("shading", "crop", 128),
    "identity, 112 px": ("identity", "crop", 112),
}
"""What is timed by itself -> file, input, side of a crop of noise."""
Asked = dict[str, Callable[[], object]]
Row = dict[str, Any]


class Eyes:
    """All that is asked of a frame and of its faces.

    Args:
        networks: Ours or the teacher's.
        threads: Of every network.
        more: Light, attributes and identity too.
    """

    def __init__(self, networks: Any, threads: int, *, more: bool) -> None:
        self.analyser = Analyser(networks)
        self._reader = AttributeReader(threads=threads) if more else None
        self._who = OnnxRecogniser(WEIGHTS / "identity.onnx", threads=threads) if more else None

    def asked(self, frame: Frame, count: int) -> Asked:
        """Questions by name; those of all eyes have the same names.

        Raises:
            BadInputError: There are not so many faces.
        """
        faces = self.analyser.analyse(frame, thorough=False)
        if len(faces) != count:
            raise BadInputError(f"expected {count} faces in a frame, found {len(faces)}; give portraits of one each")
        see = self.analyser
        found: Asked = {
            "the frame: look once": partial(see.analyse, frame, thorough=False),
            "the frame: look thoroughly": partial(see.analyse, frame),
            "the frame: follow": partial(see.refine, frame, faces.dense),
            "a face: what covers it": partial(see.uncovered, frame, faces[0]),
            "all: look once, what covers each": partial(self._whole, frame, None, more=False),
            "all: follow, what covers each": partial(self._whole, frame, faces, more=False),
        }
        if self._reader is not None:
            found |= {
                "a face: its light": partial(see.shading, frame, faces[0]),
                "a face: its attributes": partial(self._attributes, frame, faces[0]),
                "a face: who it is": partial(self._identity, frame, faces[0]),
                "all: look once, all that ours tell of each": partial(self._whole, frame, None, more=True),
                "all: follow, all that ours tell of each": partial(self._whole, frame, faces, more=True),
            }
        return found

    def _whole(self, frame: Frame, known: Faces | None, *, more: bool) -> None:
        """The frame looked at, or its known faces followed; then each face by itself."""
        see = self.analyser
        faces = see.analyse(frame, thorough=False) if known is None else see.refine(frame, known.dense)
        for face in faces:
            see.uncovered(frame, face)
            if more:
                see.shading(frame, face)
                self._attributes(frame, face)
                self._identity(frame, face)

    def _attributes(self, frame: Frame, face: Face) -> object:
        return self._reader and self._reader.read(frame, self.analyser.crop_around(face.dense))

    def _identity(self, frame: Frame, face: Face) -> object:
        return self._who and self._who.embed(cut(frame, face.points5, None, self._who.size_px)[None])


def made_frame(portraits: list[Frame], size_wh: tuple[int, int], count: int) -> Frame:
    """So many portraits, their middle squares side by side in cells of equal width, on grey."""
    width, height = size_wh
    frame = np.full((height, width, 3), GREY, np.uint8)
    side = min(width // count, height)
    for place in range(count):
        tile = cv2.resize(squared(portraits[place % len(portraits)]), (side, side), interpolation=cv2.INTER_AREA)
        left, top = place * (width // count) + (width // count - side) // 2, (height - side) // 2
        frame[top : top + side, left : left + side] = tile
    return frame


def squared(frame: Frame) -> Frame:
    """The middle square."""
    height, width = frame.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return frame[top : top + side, left : left + side]


def analyses(portraits: list[Frame], rounds: int) -> Iterator[Row]:
    """A row per question, frame and number of threads."""
    for threads in THREADS:
        cv2.setNumThreads(threads)
        eyes = {OURS: Eyes(OwnNetworks(threads=threads), threads, more=True)}
        if not missing_models():
            eyes[TEACHER] = Eyes(MediaPipeNetworks(threads=threads), threads, more=False)
        for size, size_wh in SIZES.items():
            for count in FACES:
                frame = made_frame(portraits, size_wh, count)
                asked = {who: one.asked(frame, count) for who, one in eyes.items()}
                for what in asked[OURS]:
                    calls = {who: own[what] for who, own in asked.items() if what in own}
                    where = {"threads": threads, "frame": size, "faces": count}
                    yield {"what": what, **where} | timed(calls, rounds)


def networks_alone(rounds: int) -> Iterator[Row]:
    """A row per network and number of threads."""
    for threads in THREADS:
        for what, (name, given, side) in ALONE.items():
            noise = np.random.default_rng(0).random((1, 3, side, side), np.float32)
            call = partial(open_session(WEIGHTS / f"{name}.onnx", threads).run, None, {given: noise})
            yield {"what": what, "threads": threads} | timed({OURS: call}, rounds)


def timed(calls: Asked, rounds: int) -> Row:
    """Milliseconds of the clock and of the processor, by who."""
    processor, clock = alternating(calls, rounds)
    return {"ms": clock, "processor_ms": processor}


def tables(rows: list[Row]) -> str:
    """Markdown: a table per frame, then the networks."""
    heads: dict[tuple[str, int], None] = {}
    for row in rows:
        if "frame" in row:
            heads[row["frame"], row["faces"]] = None
    parts = [
        _table(f"{size}, {count} faces", [row for row in rows if (row.get("frame"), row.get("faces")) == (size, count)])
        for size, count in heads
    ]
    return "\n\n".join([*parts, _table("networks alone", [row for row in rows if "frame" not in row])])


def _table(title: str, rows: list[Row]) -> str:
    who = list(dict.fromkeys(name for row in rows for name in row["ms"]))
    head = [f"{name}, {threads} thread{'s'[: threads - 1]}" for name in who for threads in THREADS]
    lines = [f"### {title}", "", f"| ms of | {' | '.join(head)} |", "|---|" + "---|" * len(head)]
    found: dict[str, dict[tuple[str, int], str]] = {}
    for row in rows:
        for name, figure in row["ms"].items():
            words = f"{cell(figure)}; {number(row['processor_ms'][name].value)}"
            found.setdefault(row["what"], {})[name, row["threads"]] = words
    for what, figures in found.items():
        cells = [figures.get((name, threads), "not measured") for name in who for threads in THREADS]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def appended(path: Path, told: dict[str, Any], rows: list[Row]) -> int:
    """Adds a run to the history, a row per line; returns how many runs it holds then.

    Raises:
        BadInputError: The file is something else.
    """
    try:
        runs = json.loads(path.read_text(encoding="utf-8"))["runs"] if path.exists() else []
    except (ValueError, KeyError, TypeError) as error:
        raise BadInputError(f"{path.name}: expected runs of this benchmark; name another file with --json") from error
    plain = [row | {kind: _ends(row[kind]) for kind in ("ms", "processor_ms")} for row in rows]
    texts = []
    for run in [*runs, told | {"rows": plain}]:
        lines = ",\n  ".join(json.dumps(row) for row in run["rows"])
        rest = json.dumps({name: value for name, value in run.items() if name != "rows"})
        texts.append(f'{rest[:-1]},\n "rows": [\n  {lines}\n ]}}')
    with atomic_path(path) as temporary:
        temporary.write_text('{"runs": [\n' + ",\n".join(texts) + "\n]}\n", encoding="utf-8")
    return len(runs) + 1


def _ends(figures: dict[str, Figure]) -> dict[str, list[float | None]]:
    return {who: [figure.value, figure.low, figure.high] for who, figure in figures.items()}


def arguments() -> argparse.Namespace:
    """Read from the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("pictures", type=Path, nargs="+", help="portraits, one face each")
    made.add_argument("--rounds", type=int, default=60, metavar="N", help="timed runs of each question")
    made.add_argument("--json", type=Path, metavar="FILE", help="append the run here, not to the history")
    made.add_argument("--machine", default=this_machine(), metavar="NAME")
    return made.parse_args()


def main() -> int:
    args = arguments()
    told = facts() | {"machine": args.machine, "pictures": [path.name for path in args.pictures], "rounds": args.rounds}
    try:
        portraits = [read_picture(path).frame for path in args.pictures]
        rows = [*analyses(portraits, args.rounds), *networks_alone(args.rounds)]
        path = args.json or history("analysis_speed", args.machine, "cpu")
        runs = appended(path, told, rows)
    except FacegraftError as error:
        print(f"analysis_speed: {error}", file=sys.stderr)
        return 2
    print(tables(rows))
    print(f"analysis_speed: run {runs} of {path.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
