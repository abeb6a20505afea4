"""Swaps and followed faces by our own networks and by MediaPipe's, which the runtime had before; how fast both begin.

    FACEGRAFT_DATA=faces python benchmarks/two_eyes.py
    FACEGRAFT_DATA=faces python benchmarks/two_eyes.py --pairs 4 --clips 2 --repeats 2

Twenty pairs of portraits of the split val, strangers of all its sets, are swapped by the warp; dlib's recogniser judges
each against the person, at one place for both: that of MediaPipe's points on the attribute picture. The first 60 frames
of each clip of FACEGRAFT_DATA/video are followed: frames without a face, and how much points tremble (mean length of
their second difference, % of the outer eye distance). Then fresh processes import all and look at one picture, in turn.
Needs `facegraft models fetch --teacher --recogniser`. Intervals are 95 %, by bootstrap. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
from eye_networks.held_out import Portrait, Setup, portraits
from eye_networks.landmarks import eye_distance
from eye_networks.measures import Figure, mean_error, median
from eye_networks.table import OURS, cell

from facegraft.core.errors import FacegraftError, NoFaceError
from facegraft.core.geometry import warp
from facegraft.core.types import Frame
from facegraft.faces.analyse import Analyser
from facegraft.faces.embed import CHIP_SIZE, Recogniser, chip_matrix
from facegraft.faces.mediapipe import MediaPipeNetworks
from facegraft.faces.own import OwnNetworks
from facegraft.faces.track import Tracker
from facegraft.runtime.swapper import Swapper

TEACHER, POINTS = "MediaPipe", "our points"
FRAMES = 60


class OurPoints(OwnNetworks):
    """Our detector and points; what covers and lights a face is told by MediaPipe's networks."""

    def __init__(self) -> None:
        super().__init__()
        teacher = MediaPipeNetworks()
        self.uncovered, self.irises = teacher.uncovered, teacher.irises  # type: ignore[method-assign]
        self.glasses, self.shading = teacher.glasses, teacher.shading  # type: ignore[method-assign]


EYES: dict[str, Callable[[], Any]] = {OURS: OwnNetworks, TEACHER: MediaPipeNetworks}
BEGIN = """
import sys, time
from pathlib import Path
began = time.perf_counter()
from facegraft.core.image import read_picture
from facegraft.faces.analyse import Analyser
from facegraft.faces.{module} import {name}
faces = Analyser({name}()).analyse(read_picture(Path(sys.argv[1])).frame)
assert len(faces)
print(time.perf_counter() - began)
"""
MODULES = {OURS: ("own", "OwnNetworks"), TEACHER: ("mediapipe", "MediaPipeNetworks")}


def strangers(found: list[Portrait], count: int) -> list[tuple[Portrait, Portrait]]:
    """Pairs of two people, spread over all pictures; the same each time."""
    order = np.random.default_rng(0).permutation(len(found))
    pairs = [(found[a], found[b]) for a, b in zip(order, np.roll(order, 1), strict=True)]
    return [(one, other) for one, other in pairs if one.person != other.person][:count]


def swaps(pairs: list[tuple[Portrait, Portrait]]) -> dict[str, np.ndarray]:
    """Who looked -> dlib's cosine of each swap to the person; NaN = not swapped."""
    judge, placer, frames = Recogniser(), Analyser(MediaPipeNetworks()), Portrait.frame
    looks = EYES | {POINTS: OurPoints}
    found: dict[str, list[float]] = {name: [] for name in looks}
    for identity, attribute in pairs:
        person, picture = frames(identity), frames(attribute)
        where = [placer.analyse(frame) for frame in (person, picture)]
        if not all(len(faces) for faces in where):
            continue
        matrices = [chip_matrix(faces.dense[0]) for faces in where]
        for name, networks in looks.items():
            swapper = Swapper(Analyser(networks()))
            try:
                swapped = swapper.swap_pair(person, picture)
            except NoFaceError:
                found[name].append(float("nan"))
                continue
            chips = [warp(f, m, (CHIP_SIZE, CHIP_SIZE)) for f, m in zip((person, swapped), matrices, strict=True)]
            one, other = judge.embed_chips(np.stack(chips))
            found[name].append(float(one @ other))
    return {name: np.array(values) for name, values in found.items()}


def followed(path: Path, networks: Any) -> tuple[float, float]:
    """Share of the frames without a face, and how much the largest face's points tremble, %; NaN = too few."""
    tracker, lost, rows = Tracker(Analyser(networks)), 0, []
    for frame, time_s in frames_of(path):
        faces = tracker.update(frame, time_s)
        lost += not len(faces)
        rows.append((int(faces.numbers[0]), faces.dense[0]) if len(faces) else (-1, None))
    trembles = [
        np.linalg.norm(first[:, :2] - 2 * second[:, :2] + third[:, :2], axis=1).mean() / eye_distance(second)
        for (a, first), (b, second), (c, third) in zip(rows, rows[1:], rows[2:], strict=False)
        if a == b == c >= 0
    ]
    return lost / max(len(rows), 1), 100 * float(np.mean(trembles)) if trembles else float("nan")


def frames_of(path: Path) -> Iterator[tuple[Frame, float]]:
    """The first frames of a clip, and their times."""
    with av.open(str(path)) as reader:
        for number, frame in enumerate(islice(reader.decode(video=0), FRAMES)):
            yield frame.to_ndarray(format="rgb24"), frame.time if frame.time is not None else number / 25


def begins(picture: Path, repeats: int) -> dict[str, Figure]:
    """Median seconds of fresh processes from their first import to a picture's faces; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in MODULES}
    for turn in range(repeats + 1):
        for name, (module, made) in MODULES.items():
            code = BEGIN.format(module=module, name=made)
            done = subprocess.run(
                [sys.executable, "-c", code, str(picture)], capture_output=True, text=True, check=True
            )
            if turn:
                seconds[name].append(float(done.stdout))
    return {name: median(values) for name, values in seconds.items()}


def measured(data: Path, args: argparse.Namespace) -> dict[str, dict[str, Figure]]:
    """What -> who looked -> figure."""
    setup = Setup(Path(), data, None, None, None, 0, 0)
    pairs = strangers(portraits(setup), args.pairs)
    cosines = swaps(pairs)
    people = [str(number) for number in range(len(next(iter(cosines.values()))))]
    clips = sorted(path for path in (data / "video").iterdir() if path.is_file())[: args.clips]
    told = {name: np.array([followed(path, networks()) for path in clips]) for name, networks in EYES.items()}
    names = [path.name for path in clips]
    both = {"swaps: dlib's cosine to the person": {who: mean_error(row, people) for who, row in cosines.items()}}
    for who, words in ((OURS, "ours"), (POINTS, "our points with MediaPipe's masks")):
        gain = cosines[who] - cosines[TEACHER]
        both[f"swaps: {words} less MediaPipe's, where both swapped"] = {OURS: mean_error(gain, people, looked=False)}
    both["clips: % of frames without a face"] = {
        who: mean_error(100 * row[:, 0], names, looked=False) for who, row in told.items()
    }
    both["clips: trembling, % of the outer eye distance"] = {
        who: mean_error(row[:, 1], names, looked=False) for who, row in told.items()
    }
    both["seconds to import and look at a first picture"] = begins(args.picture, args.repeats)
    return both


def main() -> int:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data", type=Path, default=os.environ.get("FACEGRAFT_DATA"), help="default: FACEGRAFT_DATA")
    made.add_argument("--pairs", type=int, default=20, metavar="N")
    made.add_argument("--clips", type=int, default=1_000, metavar="N", help="at most (default: all)")
    made.add_argument("--repeats", type=int, default=20, metavar="N", help="fresh processes of each")
    picture = Path(__file__).parents[1] / "examples" / "attribute_1.jpg"
    made.add_argument("--picture", type=Path, default=picture, metavar="FILE", help="that fresh processes look at")
    args = made.parse_args()
    if args.data is None:
        made.error("no pictures: give --data, or set FACEGRAFT_DATA")
    warnings.simplefilter("ignore")
    try:
        found = measured(args.data, args)
    except FacegraftError as error:
        print(f"two_eyes: {error}", file=sys.stderr)
        return 2
    print("| measure | ours | MediaPipe |\n|---|---|---|")
    for what, figures in found.items():
        print(f"| {what} | {' | '.join(cell(figures.get(who)) for who in EYES)} |")
    print(
        json.dumps(
            {what: {who: [f.value, f.low, f.high, f.of] for who, f in row.items()} for what, row in found.items()}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
