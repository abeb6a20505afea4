"""The cards of exported networks and of bundles: JSON for programs, Markdown for people, beside the files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from facegraft.core.files import atomic_path


def write_card(path: Path, facts: dict[str, Any]) -> tuple[Path, Path]:
    """Writes `<file>.json` and `<file>.md` in place of the file's suffix; returns both.

    Args:
        path: The network's file.
        facts: Of `cli/export.py`; anything that JSON can hold.

    Raises:
        OutputError: They cannot be written.
    """
    made = path.with_suffix(".json"), path.with_suffix(".md")
    for card, text in zip(made, (json.dumps(facts, indent=2) + "\n", as_markdown(facts)), strict=True):
        with atomic_path(card) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return made


def as_markdown(facts: dict[str, Any]) -> str:
    """The card for people."""
    run, graph = facts["run"], facts["graph"]
    rows = {
        "file": f"`{facts['file']}`, {facts['bytes']:,} bytes",
        "SHA-256": f"`{facts['sha256']}`",
        "parameters": f"{facts['parameters']:,}, stored in {graph['weights']}",
        "inputs": _ports(graph["inputs"]),
        "outputs": _ports(graph["outputs"]),
        "one run on the CPU": ", ".join(f"{ms:.2f} ms with {n} threads" for n, ms in facts["milliseconds"].items()),
        "largest difference to torch": ", ".join(f"{name} {gap:.1e}" for name, gap in facts["differences"].items()),
        "trained on": f"{run['images_seen']:,} images in {run['seconds'] / 60:.0f} minutes",
        "trained by": "; ".join(_start(start) for start in run["starts"]),
    }
    lines = [f"# {facts['network']}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
    lines += ["", "## Scores on held-out data, of the weights in float32", "", "| score | |", "|---|---|"]
    lines += [f"| {name} | {value:.4g} |" for name, value in run["scores"].items()]
    lines += _scored(facts["scored"]) if "scored" in facts else []
    lines += ["", "## Data", ""]
    lines += [f"- {_data(name, card)}" for name, card in run["data"].items()] or ["No dataset with a card was named."]
    lines += ["", "## Config", "", "```json", json.dumps(run["config"], indent=1), "```"]
    lines += ["", facts["notes"].strip()] if facts["notes"].strip() else []
    return "\n".join(lines) + "\n"


def _scored(scores: dict[str, dict[str, float]]) -> list[str]:
    """What storing cost: the weights in float32 and the file, scored one after the other."""
    rows = [f"| {name} | {value:.6g} | {scores['file'][name]:.6g} |" for name, value in scores["float32"].items()]
    title = "## The file on held-out data, beside the weights in float32, at export"
    return ["", title, "", "| score | float32 | file |", "|---|---|---|", *rows]


def _ports(ports: dict[str, list[Any]]) -> str:
    return ", ".join(f"`{name}` {' x '.join(map(str, shape))}" for name, shape in ports.items())


def _start(start: dict[str, Any]) -> str:
    machine = f"{start['device']}, {start['threads']} threads, torch {start['torch']}"
    return f"facegraft {start['facegraft']} {start['commit']} on {machine}"


def _data(name: str, card: dict[str, Any]) -> str:
    licences = ", ".join(f"{count} {licence or 'not given'}" for licence, count in card["licences"].items())
    about = f" {card['about'].strip()}" if card["about"].strip() else ""
    command = f" Made by `{card['command']}`." if card["command"] else ""
    counts = f"{card['items']} pictures of {card['people']} people; licences: {licences or 'none'}"
    return f"**{card['name']}** (`data.{name}`): {counts}.{about}{command}"


def _cell(value: str) -> str:
    return " ".join(value.split()).replace("|", "\\|")


def bundle_markdown(facts: dict[str, Any]) -> str:
    """The card of a bundle for people."""
    run = facts["run"]
    rows = {
        "paper": f"{facts['title']}, {facts['paper']}",
        "pictures": f"{facts['size_px']} px, aligned to `{facts['alignment']}`; the paper: {facts['paper_size_px']} px",
        "weights": f"stored in {facts['weights']}; those of frozen networks unrounded",
        "trained on": f"{run['images_seen']:,} images in {run['seconds'] / 60:.0f} minutes",
        "trained by": "; ".join(_start(start) for start in run["starts"]),
        "exported by": facts["exported_by"],
    }
    lines = [f"# {facts['method']}", "", facts["summary"], "", "| | |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in rows.items()]
    for name, graph in facts["graphs"].items():
        lines += ["", f"## {name}.onnx", "", "| | |", "|---|---|"]
        lines += [f"| {key} | {_cell(value)} |" for key, value in _graph_rows(facts, name, graph).items()]
    lines += ["", "## Use", "", facts["use"], "", facts["misuse"]]
    lines += ["", "## Data", "", *(f"- {_data(name, card)}" for name, card in run["data"].items())]
    for title, scores in (("Scores", facts["scores"]), ("Scores while training", run["scores"])):
        if scores:
            lines += ["", f"## {title}", "", "| score | |", "|---|---|"]
            lines += [f"| {name} | {value:.4g} |" for name, value in scores.items()]
    lines += ["", "## Config", "", "```json", json.dumps(run["config"], indent=1), "```"]
    lines += ["", facts["notes"].strip()] if facts["notes"].strip() else []
    return "\n".join(lines) + "\n"


def _graph_rows(facts: dict[str, Any], name: str, graph: dict[str, Any]) -> dict[str, str]:
    file = facts["files"][f"{name}.onnx"]
    return {
        "SHA-256": f"`{file['sha256']}`",
        "bytes": f"{file['bytes']:,}",
        "inputs": _ports(graph["inputs"]),
        "outputs": _ports(graph["outputs"]),
        "one run on the CPU": ", ".join(f"{ms:.2f} ms with {n} threads" for n, ms in graph["milliseconds"].items()),
        "largest difference to torch": ", ".join(f"{port} {gap:.1e}" for port, gap in graph["differences"].items()),
    }
