"""How good our own face networks are beside their teachers: the table of figures and intervals, in one run.

    FACEGRAFT_DATA=faces python benchmarks/eyes.py --renders renders_test --sheets worst
    python benchmarks/eyes.py --renders renders_test --only landmarks parser --most 60 --json try.json

Measures every network that lies as ONNX in a folder; the identity network is that by which methods know people
(--identity), and the one of the folder, the feature of faces of evaluation, stands beside it. Held-out renders are made
by `facegraft synth -o renders_test --people 150 --images 450 --split test --seed 977 --stratum mixed`, of another seed
than those of training. FACEGRAFT_DATA holds portraits (manifest.csv), LFW and the teachers. What is missing is named.

A face that is not found is a failure: the share found stands beside each error. Intervals are 95 %, by bootstrap over
people, for shares after Wilson. Times are medians on one thread, of the processor's and of the clock; whoever is timed
takes turns. Sheets show the worst twenty of each network; those of photographs may not be published. Prints Markdown
and appends the run to benchmarks/history/<version>/eyes--<machine>--cpu.json.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from eye_networks import attributes, detector, identity, landmarks, parser
from eye_networks.held_out import Renders, Setup, Sightings, load_renders, scarce
from eye_networks.table import Result, append_run, report
from synth_pictures import facts, history, this_machine

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import sha256, shown

PARTS = ("detector", "landmarks", "parser", "attributes", "identity")
ON_RENDERS = {"detector", "landmarks", "parser", "attributes", "identity"}
LOOKED_AT = {"landmarks", "parser", "attributes"}
"""Those for which faces of renders are found first."""
WEIGHTS = Path(__file__).parents[1] / "facegraft" / "faces" / "weights"
IDENTITY = WEIGHTS.parents[1] / "train" / "weights" / "identity.onnx"


def measure(setup: Setup, only: list[str]) -> list[Result]:
    """One result per network, in the order of `PARTS`, and before them what all share."""
    shared = Result()
    shared.missing.extend(f"{name}: left out, for --only names others" for name in PARTS if name not in only)
    renders: Renders | None = None
    seen: Sightings = {}
    who = landmarks.lookers(setup) if LOOKED_AT & set(only) else None
    if ON_RENDERS & set(only):
        try:
            renders = load_renders(setup)
            shared.notes.append(renders.note)
            few = scarce(renders.labels()).items()
            shared.missing.extend(f"renders: only {count} pictures of the group {name!r}" for name, count in few)
            seen = landmarks.look_at_renders(who, renders) if who is not None else {}
        except FacegraftError as error:
            shared.missing.append(f"{', '.join(sorted(ON_RENDERS & set(only)))} on {error}")
    parts: dict[str, Callable[[], Result]] = {
        "detector": lambda: detector.measure(setup, renders),
        "landmarks": lambda: landmarks.measure(setup, who or landmarks.lookers(setup), renders, seen),
        "parser": lambda: parser.measure(setup, renders, seen),
        "attributes": lambda: attributes.measure(setup, renders, seen),
        "identity": lambda: identity.measure(setup, renders),
    }
    return [shared, *(attempted(name, parts[name]) for name in PARTS if name in only)]


def attempted(name: str, part: Callable[[], Result]) -> Result:
    """A part's result; what stops it is named and does not stop the others."""
    try:
        return part()
    except FacegraftError as error:
        return Result(missing=[f"{name}: {error}"])


def what_ran(setup: Setup, machine: str) -> dict[str, Any]:
    """Facts of the run: date, commit, machine, which files."""
    files = {name: path for name in (*PARTS, identity.JUDGE) if (path := setup.network(name))}
    digests = {name: sha256(path)[:12] for name, path in files.items()}
    return facts() | {"machine": machine, "most": setup.most, "weights": digests}


def copied(weights: Path, folder: Path, known_by: Path | None = None) -> Path:
    """Our networks as they are now, so that a training that replaces one meanwhile does not mix two.

    Args:
        weights: Folder of our networks.
        folder: Where they are copied to.
        known_by: The identity network to be measured; that of `weights` becomes `identity.JUDGE` then.

    Raises:
        BadInputError: The folder or the file is not there.
    """
    if not weights.is_dir():
        raise BadInputError(f"{shown(weights)}: expected a folder of networks, found none; correct --weights")
    for name in PARTS:
        if (weights / f"{name}.onnx").is_file():
            shutil.copyfile(weights / f"{name}.onnx", folder / f"{name}.onnx")
    if known_by is not None:
        if not known_by.is_file():
            raise BadInputError(f"{shown(known_by)}: expected a network, found no file; correct --identity")
        if (own := folder / f"{identity.NAME}.onnx").is_file():
            own.replace(folder / f"{identity.JUDGE}.onnx")
        shutil.copyfile(known_by, folder / f"{identity.NAME}.onnx")
    return folder


def arguments() -> argparse.Namespace:
    """Read from the command line."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--weights", type=Path, default=WEIGHTS, metavar="DIR", help="our networks (default: shipped)")
    known_by = "identity network (default: that by which methods know people)"
    made.add_argument("--identity", type=Path, default=IDENTITY, metavar="FILE", help=known_by)
    made.add_argument("--renders", type=Path, metavar="DIR", help="dataset of held-out renders")
    made.add_argument("--data", type=Path, metavar="DIR", help="face pictures (default: FACEGRAFT_DATA)")
    made.add_argument("--sheets", type=Path, metavar="DIR", help="where to draw the worst twenty of each network")
    made.add_argument("--cache", type=Path, metavar="DIR", help="keeps the embeddings of LFW from run to run")
    made.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="NETWORK", help=", ".join(PARTS))
    made.add_argument("--most", type=int, default=0, metavar="N", help="pictures of each kind; 0 = all (default)")
    made.add_argument("--rounds", type=int, default=100, metavar="N", help="timed runs of each network")
    made.add_argument("--json", type=Path, metavar="FILE", help="append the run here, not to the history")
    made.add_argument("--machine", default=this_machine(), metavar="NAME")
    return made.parse_args()


def main() -> int:
    args = arguments()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("lfw").setLevel(logging.INFO)  # says how far it is
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            return run(args, copied(args.weights, Path(scratch), args.identity))
    except FacegraftError as error:
        print(f"eyes: {error}", file=sys.stderr)
        return 2


def run(args: argparse.Namespace, weights: Path) -> int:
    """Measures, prints, and appends to the history.

    Raises:
        FacegraftError: The history cannot be read or written.
    """
    data = args.data or (Path(os.environ["FACEGRAFT_DATA"]) if os.environ.get("FACEGRAFT_DATA") else None)
    setup = Setup(weights, data, args.renders, args.sheets, args.cache, args.most, args.rounds)
    told = what_ran(setup, args.machine)
    results = measure(setup, args.only)
    print(report(results, told))
    path = args.json or history("eyes", args.machine, "cpu")
    runs = append_run(path, told, results)
    print(f"eyes: run {runs} of {path.name}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
