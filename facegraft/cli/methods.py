"""`facegraft methods`: the face-swapping methods that can be trained, what they cost, and what of them is ready."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

from facegraft.core.errors import MissingPartError

if TYPE_CHECKING:
    from facegraft.methods._method import MethodCard

EPILOG = """examples:
  facegraft methods                       all of them, one line each
  facegraft methods simswap               one of them: paper, phases, losses, cost, trained weights, scores

Needs the extra `train`. Costs are of the default config, per face, without the recogniser that all share. Everything
here was written anew from the papers and is Apache-2.0, whatever the licence of the code that their authors released.
The last line printed is JSON."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("name", nargs="?", metavar="NAME", help="tell all about this one")


def run(args: argparse.Namespace) -> int:
    try:
        import torch  # noqa: F401 - so that its absence is told in one line
    except ImportError as error:
        raise MissingPartError("torch is missing: pip install 'facegraft[train]'") from error
    from facegraft.methods._method import find_method, list_methods

    names = list_methods() if args.name is None else [find_method(args.name).name]
    facts = {name: _facts(name) for name in names}
    if args.name is None:
        print(f"{'method':<16} {'px':>4} {'weights':>8} {'per face':>9}  {'trained':<22} paper")
        for name, found in facts.items():
            print(_row(name, found))
    else:
        _tell(args.name, find_method(args.name).method.card, facts[args.name])
    print(json.dumps(facts))  # last line: for programs
    return 0


def _facts(name: str) -> dict[str, Any]:
    import dataclasses

    from facegraft.methods._cost import cost_of
    from facegraft.methods._method import find_method
    from facegraft.runtime.bundle import read_card
    from facegraft.runtime.engine import installed_bundles

    found = find_method(name)
    card, config = found.method.card, found.config()
    bundles = {}
    for bundle, folder in installed_bundles().items():
        told = read_card(folder)
        if told.get("method") == name:
            seen = told.get("run", {}).get("images_seen")
            bundles[bundle] = {"images_seen": seen, "size_px": told.get("size_px"), "scores": told.get("scores")}
    return {
        "title": card.title,
        "paper": card.paper,
        "summary": card.summary,
        "licence": "Apache-2.0",
        "released": card.released,
        "size_px": config.size_px,
        "per_pair": card.per_pair,
        "losses": config.loss_weights,
        "cost": dataclasses.asdict(cost_of(name, {})),
        "bundles": bundles,
    }


def _row(name: str, facts: dict[str, Any]) -> str:
    cost = facts["cost"]
    ready = ", ".join(facts["bundles"]) or "-"
    weights, macs = f"{cost['parameters'] / 1e6:.1f} M", f"{cost['swap_macs'] / 1e9:.2f} G"
    return f"{name:<16} {facts['size_px']:>4} {weights:>8} {macs:>9}  {ready:<22} {facts['paper']}"


def _tell(name: str, card: MethodCard, facts: dict[str, Any]) -> None:
    cost = facts["cost"]
    print(f"{name}: {facts['title']}, {facts['paper']}")
    print(textwrap.fill(facts["summary"], 118))
    print(f"pictures: {facts['size_px']} px, aligned to {card.alignment} (paper: {card.resolution} px)")
    if card.per_pair:
        print("one model serves one pair of people")
    for phase, losses in facts["losses"].items():
        told = ", ".join(f"{loss} x {weight:g}" for loss, weight in losses.items())
        print(f"phase {phase}: trains {', '.join(card.phases[phase])}; losses: {told}")
    macs = f"{cost['identity_macs'] / 1e9:.3f} G once per person, {cost['swap_macs'] / 1e9:.3f} G per face"
    weights = f"{cost['parameters'] / 1e6:.2f} M weights of {cost['trained'] / 1e6:.2f} M trained"
    print(f"cost: {weights}; multiply-adds {macs}")
    print(f"licence: {facts['licence']}; code that its authors released: {facts['released'] or 'none'}")
    for bundle, told in facts["bundles"].items():
        seen = f"{told['images_seen'] or 0:,} images at {told['size_px']} px"
        scores = ", ".join(f"{score} {value:.4g}" for score, value in (told["scores"] or {}).items())
        print(f"trained: {bundle}, {seen}; scores: {scores or '-'}")
    if not facts["bundles"]:
        print(f"trained: no weights come along; facegraft train configs/{name}.toml --run runs/{name}")
