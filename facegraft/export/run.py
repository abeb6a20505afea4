"""A finished run as files that run without torch: a method as a bundle, a network as ONNX, both with their card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from facegraft.core.errors import BadInputError
from facegraft.core.files import sha256, shown
from facegraft.export.bundle import write_bundle
from facegraft.export.card import write_card
from facegraft.export.compare import check_differences, largest_differences, milliseconds, open_session
from facegraft.export.to_onnx import FEWEST_HALVED, Ports, export_onnx, other_inputs
from facegraft.frozen.from_onnx import fill_from_onnx
from facegraft.methods._method import build_method
from facegraft.nn.conv import count_parameters
from facegraft.nn.weights import load_weights
from facegraft.train.folder import CONFIG, FACTS, WEIGHTS, read_json, read_result
from facegraft.train.frozen_nets import load_frozen
from facegraft.train.loop import Run
from facegraft.train.recipe import Recipe, find_recipe

SCORED_BY_EVAL = "--score: expected a network's run, found a method's; score its bundle by `facegraft eval`"


def export(run: str | Path | Run, out: str | Path, *, half: bool = False, notes: str = "", score: bool = False) -> Path:
    """Writes what a run trained for use without torch; `load_swapper` and `facegraft swap --method` take a bundle.

    Args:
        run: What `train` gave, or the run's folder.
        out: A folder for a method's bundle; a name that ends in `.onnx` for a network.
        half: Store weights in float16; compute stays in float32.
        notes: Markdown for the card: intended use, limits, groups.
        score: Score a network's file and its weights on the run's held-out data, for the card: what rounding costs.

    Returns:
        `out`.

    Raises:
        BadInputError: The run is not finished, `out` does not fit it, or the graph differs from torch; or the data to
            score it on is not here.
        MissingPartError: onnx or onnxscript is not installed.
        OutputError: The files cannot be written.
    """
    folder = Path(run) if isinstance(run, str | Path) else run.folder
    export_run(folder, Path(out), half=half, notes=notes, score=score)
    return Path(out)


def facts_of(folder: Path, out: Path) -> dict[str, Any]:
    """What a card says of a finished run: config, images, scores, data, starts.

    Raises:
        BadInputError: The run is not finished, or `out` does not fit what it trained.
    """
    config = read_json(folder / CONFIG) if (folder / CONFIG).exists() else {}
    if (out.suffix == ".onnx") == ("method" in config):
        expected = "a folder for the method's bundle" if "method" in config else "a name that ends in .onnx"
        raise BadInputError(f"{shown(out)}: expected {expected}")
    result = read_result(folder)
    if result is None:
        raise BadInputError(f"{shown(folder)}: no finished run; `facegraft train` makes one, or goes on with it")
    facts = read_json(folder / FACTS)
    told = {"config": portable(config), "images_seen": result.images_seen, "seconds": result.seconds}
    return told | {"scores": result.scores, "data": facts["data"], "starts": facts["starts"]}


def export_run(folder: Path, out: Path, *, half: bool = False, notes: str = "", score: bool = False) -> dict[str, Any]:
    """As `export`, and gives what the card says."""
    facts = facts_of(folder, out)
    if "method" not in facts["config"]:
        return _write_network(folder, facts, out, half=half, notes=notes, score=score)
    if score:
        raise BadInputError(SCORED_BY_EVAL)
    return _write_method(folder / WEIGHTS, facts, out, half=half, notes=notes)


def scores_of(folder: Path, path: Path, recipe: Recipe) -> dict[str, dict[str, float]]:
    """Held-out scores of a run's weights in float32 and of the file made of them, one after the other on the CPU.

    Args:
        folder: Of the run.
        path: The file.
        recipe: Of the run, with its data.

    Returns:
        "float32" and "file" -> score by name; what differs is what storing cost.

    Raises:
        FacegraftError: The file is of another network.
    """
    model = read_json(folder / CONFIG)["model"]
    exact, stored = recipe.build(model).eval(), recipe.build(model).eval()
    for net in (exact, stored):
        load_weights(folder / WEIGHTS, net)
    fill_from_onnx(stored, path, fewest=FEWEST_HALVED)
    ports = Ports(tuple(recipe.input_names), tuple(recipe.output_names), recipe.dynamic_axes)
    samples = [recipe.example()]
    check_differences(stored, samples, largest_differences(stored, path, samples, ports), path, half=False)
    with torch.no_grad():
        return {"float32": recipe.validate(exact), "file": recipe.validate(stored)}


def portable(tables: Any) -> Any:
    """The same with absolute paths cut down to their last names: where data lay is its owner's business."""
    if isinstance(tables, dict):
        return {name: portable(value) for name, value in tables.items()}
    if isinstance(tables, list):
        return [portable(value) for value in tables]
    return Path(tables).name if isinstance(tables, str) and Path(tables).is_absolute() else tables


def _write_method(weights: Path, run: dict[str, Any], folder: Path, *, half: bool, notes: str) -> dict[str, Any]:
    method = build_method(run["config"])
    load_weights(weights, method)
    frozen = load_frozen(method.card.needs - {"teacher"}, method.card.alignment, method.config.size_px)
    return write_bundle(folder, method, frozen, run, half=half, notes=notes)


def _write_network(
    folder: Path, run: dict[str, Any], path: Path, *, half: bool, notes: str, score: bool
) -> dict[str, Any]:
    network = run["config"]["network"]
    recipe = find_recipe(network)
    # With its data, which may not be here: that is told before anything is written.
    judge = recipe(read_json(folder / CONFIG), torch.device("cpu")) if score else None
    net = recipe.build(run["config"]["model"]).eval()
    load_weights(folder / WEIGHTS, net)
    ports = Ports(tuple(recipe.input_names), tuple(recipe.output_names), recipe.dynamic_axes)
    example = recipe.example()
    kept = {"network": network, "images_seen": str(run["images_seen"]), "commit": run["starts"][-1]["commit"]}
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
        "run": run,
        "notes": notes,
    }
    if judge is not None:
        card["scored"] = scores_of(folder, path, judge)
    write_card(path, card)
    return card


def _graph(path: Path, *, half: bool) -> dict[str, Any]:
    session = open_session(path, 1)
    inputs = {port.name: list(port.shape) for port in session.get_inputs()}
    outputs = {port.name: list(port.shape) for port in session.get_outputs()}
    return {"weights": "float16" if half else "float32", "inputs": inputs, "outputs": outputs}
