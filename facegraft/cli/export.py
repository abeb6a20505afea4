"""`facegraft export`: a finished run becomes an ONNX file with a card, or a bundle."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from facegraft.core.errors import BadInputError, MissingPartError

EPILOG = """examples:
  facegraft export runs/landmarks -o landmarks.onnx --half --score
  facegraft export runs/parser -o parser.onnx --notes limits.md
  facegraft export runs/simswap -o bundles/simswap --half
  facegraft swap person.jpg photo.jpg --method bundles/simswap

Needs the extra `train`, but none of the data, unless --score asks for it. Of a run of a network it writes a file, its
card (.md) and the card's facts (.json): SHA-256, speed, scores, config, data with licences, and the largest difference
to torch, which must be small. Of a run of a method it writes a bundle: a folder with two graphs and a card, all that
swapping needs."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("folder", type=Path, metavar="RUN", help="a run's folder, made by `facegraft train`")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="OUT", help="an .onnx file; a folder for a method"
    )
    parser.add_argument("--half", action="store_true", help="store weights in float16; compute stays in float32")
    parser.add_argument(
        "--notes", type=Path, metavar="FILE", help="Markdown for the card: intended use, limits, groups"
    )
    parser.add_argument(
        "--score",
        action="store_true",
        help="score a network's file beside its weights on the run's held-out data, for the card",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def run(args: argparse.Namespace) -> int:
    try:
        import torch  # noqa: F401 - so that its absence is told in one line
    except ImportError as error:
        raise MissingPartError("torch is missing: pip install 'facegraft[train]'") from error
    from facegraft.core.files import read_bytes
    from facegraft.export.run import SCORED_BY_EVAL, export_run, facts_of

    notes = read_bytes(args.notes).decode("utf-8", "replace") if args.notes else ""
    if args.dry_run:
        facts = facts_of(args.folder, args.output)
        name, files = facts["config"].get("method"), ""
        if name is not None and args.score:
            raise BadInputError(SCORED_BY_EVAL)
        if name is None:
            name, files = facts["config"]["network"], ", .json and .md"
        print(f"would write {name} of {facts['images_seen']} images to {args.output}{files}")
        return 0
    card = export_run(args.folder, args.output, half=args.half, notes=notes, score=args.score)
    return _tell_of_bundle(card, args.output) if "method" in card else _tell_of_network(card, args.output)


def _tell_of_network(card: dict[str, Any], path: Path) -> int:
    largest = max(card["differences"].values())
    print(f"{card['network']}, {card['bytes'] / 1e6:.2f} MB, at most {largest:.1e} from torch: {path}")
    kept = ("network", "bytes", "sha256", "milliseconds", "differences")
    print(json.dumps({"output": str(path)} | {name: card[name] for name in kept}))  # last line: for programs
    return 0


def _tell_of_bundle(card: dict[str, Any], folder: Path) -> int:
    size = sum(file["bytes"] for file in card["files"].values())
    differences = {name: max(graph["differences"].values()) for name, graph in card["graphs"].items()}
    largest = max(differences.values())
    print(f"{card['method']}, {size / 1e6:.2f} MB, at most {largest:.1e} from torch: {folder}")
    facts = {"output": str(folder), "method": card["method"], "bytes": size, "files": card["files"]}
    milliseconds = {name: graph["milliseconds"] for name, graph in card["graphs"].items()}
    print(json.dumps(facts | {"milliseconds": milliseconds, "differences": differences}))  # last line: for programs
    return 0
