"""How many pairs with their true swaps a second are rendered on the fly, as a loader hands them to training.

    python benchmarks/synth_stream.py --repeats 5
    python benchmarks/synth_stream.py --device cuda --batch 64 --batches 8 --people 256

A pair is an identity picture, an attribute picture with all labels and, of the share that gets one, the true swap, as
floats on the device (`RenderedPairs`, `rendered_batches`). One process, one thread; people and their blends are baked
when they first meet, as in training, so `--people` matters. CPU time is the honest figure on a shared machine. Assets:
FACEGRAFT_MAKEHUMAN. Writes benchmarks/history/<version>/synth_stream--<machine>--<device>.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator
from typing import Any

import torch
from synth_pictures import facts, history, this_machine
from synth_speed import cpu_s

from facegraft.core.memory import keep_freed
from facegraft.data.assets import find_assets
from facegraft.data.loader import rendered_batches
from facegraft.data.synth.render import Renderer
from facegraft.data.synth.stream import RenderedPairs, StreamOptions
from facegraft.tensors import SwapBatch

SEED = 5
EXACT_SHARES = (1.0, 0.5, 0.0)


def one_round(batches: Iterator[SwapBatch], count: int, device: str) -> dict[str, float]:
    """Seconds of CPU and wall per pair."""
    finish(device)
    cpu, wall = cpu_s(), time.perf_counter()
    pairs = sum(len(next(batches)) for _ in range(count))
    finish(device)
    return {"cpu_s": (cpu_s() - cpu) / pairs, "wall_s": (time.perf_counter() - wall) / pairs}


def finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def measure(renderer: Renderer, args: argparse.Namespace) -> dict[str, Any]:
    streams = {
        share: rendered_batches(
            RenderedPairs(renderer, StreamOptions(people=args.people, exact_share=share)), args.batch, SEED
        )
        for share in EXACT_SHARES
    }
    found: dict[float, list[dict[str, float]]] = {share: [] for share in streams}
    for stream in streams.values():
        one_round(stream, args.batches, args.device)  # hair, things and most people are read and baked once
    for _ in range(args.repeats):
        for share, stream in streams.items():
            found[share].append(one_round(stream, args.batches, args.device))
    return {f"exact_share {share}": summary(rounds) for share, rounds in found.items()}


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    cpu, wall = [one["cpu_s"] for one in rounds], [one["wall_s"] for one in rounds]
    return {
        "pairs_per_cpu_s_median": round(1 / statistics.median(cpu), 2),
        "pairs_per_wall_s_median": round(1 / statistics.median(wall), 2),
        "cpu_ms_all": [round(1000 * value, 1) for value in cpu],
        "wall_ms_all": [round(1000 * value, 1) for value in wall],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--batches", type=int, default=2, help="per round")
    parser.add_argument("--people", type=int, default=16, help="who meet each other")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machine", default=this_machine())
    args = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed()  # as `facegraft train` does
    renderer = Renderer(find_assets(), args.size, device=args.device, keep_people=4 * args.people)
    result: dict[str, Any] = {
        **facts(args.device),
        "threads": 1,
        "size_px": args.size,
        "batch": args.batch,
        "people": args.people,
        "chunk": renderer.chunk,
        "same_share": StreamOptions().same_share,
        "stratum": StreamOptions().stratum,
        **measure(renderer, args),
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }
    history("synth_stream", args.machine, args.device).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
