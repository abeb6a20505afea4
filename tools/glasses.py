"""Makes facegraft/faces/glasses.json: which places of a crop tell a pair of glasses from dark brows and sockets.

    facegraft ingest ../faces/train ../faces/val -o REAL --points mediapipe --manifest MANIFEST --people none
    python tools/glasses.py REAL --out facegraft/faces/glasses.json

The parser looks at every portrait of `glasses_labels.csv` (file, and whether glasses are worn, by eye) as it does at
work. A logistic regression on the mean chances of cells (`faces/glasses.py`) is fitted to what it says of those on
which it sees some glasses, and to their mirror images. Printed is how many held-out ones are told right, in five parts.
Takes a minute.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float32

from facegraft.core.files import atomic_path
from facegraft.data.dataset import open_dataset
from facegraft.data.item import Row
from facegraft.faces.analyse import SEEN_MARGIN, Analyser
from facegraft.faces.glasses import Pattern, pattern
from facegraft.faces.own import COUNTED, OwnNetworks

LABELS = Path(__file__).with_name("glasses_labels.csv")
LEAST = 0.004
"""Share of the crop on which glasses may be seen; less is told right anyway."""
DECAY = 3e-4
PARTS = 5


@dataclass(frozen=True)
class Seen:
    """What was found on the labelled portraits."""

    patterns: Float32[np.ndarray, "n 4 8 16"]
    worn: Bool[np.ndarray, "n"]


def look(dataset: Path) -> Seen:
    """The patterns of all labelled portraits on which the parser sees something like glasses."""
    rows = csv.DictReader(LABELS.read_text(encoding="utf-8").splitlines())
    labels = {row["file"]: row["glasses"] == "1" for row in rows}
    data, networks = open_dataset(dataset), OwnNetworks()
    analyser = Analyser(networks)
    patterns, worn = [], []

    def take(row: Row) -> None:
        frame = np.array(data.read(row).frame())
        faces = analyser.analyse(frame, thorough=False)
        if not len(faces):
            return
        seen, _ = networks.looked_again(frame, analyser.crop_around(faces[0].dense, SEEN_MARGIN))
        if (seen.glasses > COUNTED).mean() > LEAST:
            patterns.append(pattern(seen))
            worn.append(labels[row.facts["file"]])

    for row in data.rows:
        if row.facts.get("file") in labels:
            take(row)
    return Seen(np.stack(patterns), np.array(worn))


def fit(seen: Seen, rows: Bool[np.ndarray, "n"]) -> tuple[Pattern, float]:
    """Weights and bias, from some of the portraits."""
    chosen = torch.from_numpy(seen.patterns[rows])
    patterns = torch.cat([chosen, chosen.flip(3)]).flatten(1)
    goals = torch.from_numpy(seen.worn[rows].astype(np.float32)).repeat(2)
    weights, bias = torch.zeros(patterns.shape[1], requires_grad=True), torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.LBFGS([weights, bias], max_iter=400, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        off = F.binary_cross_entropy_with_logits(patterns @ weights + bias, goals) + DECAY * weights.square().sum()
        off.backward()
        return off

    optimiser.step(loss)
    return weights.detach().numpy().reshape(seen.patterns.shape[1:]), bias.detach().item()


def held_out(seen: Seen) -> tuple[float, float]:
    """Shares of wearers and of others that are told right, each by weights fitted to the other parts."""
    part = np.random.default_rng(0).integers(0, PARTS, len(seen.worn))
    scores = np.zeros(len(seen.worn))
    for number in range(PARTS):
        weights, bias = fit(seen, part != number)
        mine = part == number
        scores[mine] = (seen.patterns[mine] * weights).sum((1, 2, 3)) + bias
    right = (scores > 0) == seen.worn
    return float(right[seen.worn].mean()), float(right[~seen.worn].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, metavar="REAL")
    parser.add_argument("--out", type=Path, required=True, metavar="JSON")
    args = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    seen = look(args.dataset)
    wearers, others = held_out(seen)
    told = f"{seen.worn.sum()} wearers, {(~seen.worn).sum()} others; told right {wearers:.1%} and {others:.1%}"
    logging.getLogger(__name__).info(told)
    weights, bias = fit(seen, np.ones(len(seen.worn), bool))
    made = {"weights": weights.astype(float).round(3).tolist(), "bias": round(bias, 3)}
    with atomic_path(args.out) as temporary:
        temporary.write_text(json.dumps(made) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
