"""`facegraft export`: a finished run becomes an ONNX file with a card, or a bundle."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from facegraft.core.errors import BadInputError, MissingPartError
from facegraft.core.files import shown

EPILOG = """examples:
  facegraft export runs/landmarks -o landmarks.onnx --half
  facegraft export runs/parser -o parser.onnx --notes limits.md
  facegraft export runs/simswap -o bundles/simswap --half
  facegraft swap person.jpg photo.jpg --method bundles/simswap

Needs the extra `train`, but none of the data. Of a run of a network it writes a file, its card (.md) and the card's
facts (.json): SHA-256, speed, scores, config, data with licences, and the largest difference to torch, which must be
small. Of a run of a method it writes a bundle: a folder with two graphs and a card, all that swapping needs."""


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
    parser.add_argument("--dry-run", action="store_true", help="say what would be written")


def run(args: argparse.Namespace) -> int:
    try:
        import torch  # noqa: F401 - so that its absence is told in one line
    except ImportError as error:
        raise MissingPartError("torch is missing: pip install 'facegraft[train]'") from error
    from facegraft.core.files import read_bytes
    from facegraft.train.folder import CONFIG, FACTS, WEIGHTS, read_json, read_result

    config = read_json(args.folder / CONFIG) if (args.folder / CONFIG).exists() else {}
    if (args.output.suffix == ".onnx") == ("method" in config):
        expected = "a folder for the method's bundle" if "method" in config else "a name that ends in .onnx"
        raise BadInputError(f"{shown(args.output)}: expected {expected}")
    result = read_result(args.folder)
    if result is None:
        raise BadInputError(f"{shown(args.folder)}: no finished run; `facegraft train` makes one, or goes on with it")
    notes = read_bytes(args.notes).decode("utf-8", "replace") if args.notes else ""
    facts = read_json(args.folder / FACTS)
    if args.dry_run:
        name, files = (config["method"], "") if "method" in config else (config["network"], ", .json and .md")
        print(f"would write {name} of {result.images_seen} images to {args.output}{files}")
        return 0
    run_facts = {"config": portable(config), "images_seen": result.images_seen, "seconds": result.seconds}
    run_facts |= {"scores": result.scores, "data": facts["data"], "starts": facts["starts"]}
    if "method" in config:
        return _bundle(args.folder / WEIGHTS, run_facts, args.output, half=args.half, notes=notes)
    card = _export(args.folder / WEIGHTS, run_facts, args.output, half=args.half, notes=notes)
    largest = max(card["differences"].values())
    print(f"{card['network']}, {card['bytes'] / 1e6:.2f} MB, at most {largest:.1e} from torch: {args.output}")
    kept = ("network", "bytes", "sha256", "milliseconds", "differences")
    print(json.dumps({"output": str(args.output)} | {name: card[name] for name in kept}))  # last line: for programs
    return 0


def portable(tables: Any) -> Any:
    """The same with absolute paths cut down to their last names: where data lay is its owner's business."""
    if isinstance(tables, dict):
        return {name: portable(value) for name, value in tables.items()}
    if isinstance(tables, list):
        return [portable(value) for value in tables]
    return Path(tables).name if isinstance(tables, str) and Path(tables).is_absolute() else tables


def _export(weights: Path, run_facts: dict[str, Any], path: Path, *, half: bool, notes: str) -> dict[str, Any]:
    from facegraft.core.files import sha256
    from facegraft.export.card import write_card
    from facegraft.export.compare import check_differences, largest_differences, milliseconds
    from facegraft.export.to_onnx import Ports, export_onnx, other_inputs
    from facegraft.nn.conv import count_parameters
    from facegraft.nn.weights import load_weights
    from facegraft.train.recipe import find_recipe

    network = run_facts["config"]["network"]
    recipe = find_recipe(network)
    net = recipe.build(run_facts["config"]["model"]).eval()
    load_weights(weights, net)
    ports = Ports(tuple(recipe.input_names), tuple(recipe.output_names), recipe.dynamic_axes)
    example = recipe.example()
    kept = {
        "network": network,
        "images_seen": str(run_facts["images_seen"]),
        "commit": run_facts["starts"][-1]["commit"],
    }
    export_onnx(net, example, path, ports=ports, half=half, facts=kept)
    samples = [example, other_inputs(example, ports)]
    differences = largest_differences(net, path, samples, ports)
    check_differences(net, samples, differences, path, half=half)
    card = {
        "network": network,
        "file": path.name,
        "bytes": path.stat().st_size,
        "sha256": sha256(path),
        "parameters": count_parameters(net),
        "graph": _graph(path, half=half),
        "differences": differences,
        "milliseconds": {str(n): round(milliseconds(path, example, ports, n), 3) for n in (1, 2)},
        "run": run_facts,
        "notes": notes,
    }
    write_card(path, card)
    return card


def _bundle(weights: Path, run_facts: dict[str, Any], folder: Path, *, half: bool, notes: str) -> int:
    from facegraft.export.bundle import write_bundle
    from facegraft.methods._method import build_method
    from facegraft.nn.weights import load_weights
    from facegraft.train.frozen_nets import load_frozen

    config = run_facts["config"]
    method = build_method(config["method"], config["model"])
    load_weights(weights, method)
    frozen = load_frozen(method.card.needs - {"teacher"}, method.card.alignment, method.config.size_px)
    card = write_bundle(folder, method, frozen, run_facts, half=half, notes=notes)
    size = sum(file["bytes"] for file in card["files"].values())
    differences = {name: max(graph["differences"].values()) for name, graph in card["graphs"].items()}
    largest = max(differences.values())
    print(f"{card['method']}, {size / 1e6:.2f} MB, at most {largest:.1e} from torch: {folder}")
    facts = {"output": str(folder), "method": card["method"], "bytes": size, "files": card["files"]}
    milliseconds = {name: graph["milliseconds"] for name, graph in card["graphs"].items()}
    print(json.dumps(facts | {"milliseconds": milliseconds, "differences": differences}))  # last line: for programs
    return 0


def _graph(path: Path, *, half: bool) -> dict[str, Any]:
    from facegraft.export.compare import open_session

    session = open_session(path, 1)
    inputs = {port.name: list(port.shape) for port in session.get_inputs()}
    outputs = {port.name: list(port.shape) for port in session.get_outputs()}
    return {"weights": "float16" if half else "float32", "inputs": inputs, "outputs": outputs}
