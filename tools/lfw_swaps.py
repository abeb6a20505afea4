"""Swaps of real people to measure with: strangers of Labeled Faces in the Wild as two folders for `facegraft eval`.

    python tools/lfw_swaps.py EVAL OUT/lfw200 --pairs 200
    facegraft eval warp --identity OUT/lfw200/identity --attribute OUT/lfw200/attribute -o measured

EVAL holds `lfw_pairs.csv` (fold, same, first, second) and the pictures in `lfw/`. Pairs are taken evenly from the
list's strangers; the first picture says who. Measures only; nothing may be trained on LFW, and its people may not be
shown.
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from pathlib import Path

from facegraft.core.errors import BadInputError, FacegraftError
from facegraft.core.files import shown


def strangers(path: Path, count: int) -> list[tuple[str, str]]:
    """So many pairs of two people, evenly from the list: file names of identity and attribute picture.

    Raises:
        BadInputError: The list is missing, or holds fewer.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file) if row["same"] == "0"]
    except (OSError, KeyError) as error:
        raise BadInputError(f"{shown(path)}: expected a list with fold, same, first, second") from error
    if not 0 < count <= len(rows):
        raise BadInputError(f"--pairs: expected 1 to {len(rows)}, the strangers in {shown(path)}, found {count}")
    chosen = [rows[number * len(rows) // count] for number in range(count)]
    return [(row["first"], row["second"]) for row in chosen]


def write(pairs: list[tuple[str, str]], pictures: Path, out: Path) -> None:
    """Copies the pictures into `identity` and `attribute`, a pair under one name.

    Raises:
        BadInputError: The folder is there already, or a picture is missing.
    """
    if out.exists():
        raise BadInputError(f"{shown(out)}: is there already; name another folder")
    missing = sorted({name for pair in pairs for name in pair if not (pictures / name).is_file()})
    if missing:
        raise BadInputError(f"{shown(pictures / missing[0])}: is missing ({len(missing)} in all)")
    for side in ("identity", "attribute"):
        (out / side).mkdir(parents=True)
    for number, pair in enumerate(pairs):
        for side, name in zip(("identity", "attribute"), pair, strict=True):
            shutil.copyfile(pictures / name, out / side / f"p{number:04d}{Path(name).suffix}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("eval", type=Path, help="folder with lfw_pairs.csv and lfw/")
    parser.add_argument("out", type=Path, help="folder to make")
    parser.add_argument("--pairs", type=int, default=200)
    args = parser.parse_args()
    try:
        pairs = strangers(args.eval / "lfw_pairs.csv", args.pairs)
        write(pairs, args.eval / "lfw", args.out)
    except FacegraftError as error:
        sys.stderr.write(f"lfw_swaps: {error}\n")
        return 2
    sys.stdout.write(json.dumps({"pairs": len(pairs), "output": str(args.out)}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
