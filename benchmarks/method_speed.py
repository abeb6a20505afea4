"""How fast methods train here, what share of the processor's peak that is, and where the time goes.

    python benchmarks/method_speed.py --data data/faces --config simswap_small --config ghost_small -o speed.json

Each config trains for some steps on pictures of the dataset; nothing is saved. The peak is what a product of matrices
or a large convolution reaches in the same minute, so that shares compare between machines. Multiply-adds are counted
by torch, times two, over all phases of a step, the frozen networks that losses look through included.

With people rendered on the fly, whom the first batches have to bake, those are made and not counted:

    python benchmarks/method_speed.py --data data/faces --config simswap_small --set data.rendered.share=0.25 --skip 40

Where other programs run beside it, `--processor-time` counts what the processor did for this one; shared cores still
make that more than it would be alone.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from facegraft.core.config import load_config
from facegraft.core.files import atomic_path
from facegraft.core.machine import commit, processor
from facegraft.core.memory import keep_freed
from facegraft.train.devices import half_precision, pick_device, quicken
from facegraft.train.job import Phase
from facegraft.train.methods import MethodJob
from facegraft.train.options import MethodRunConfig, run_config
from facegraft.train.processes import Processes

ROOT = Path(__file__).parents[1]
Clock = Callable[[], float]
SIDE, CHANNELS, MAP, SECONDS = 1536, 256, 28, 1.5


def peak_gflops(device: torch.device, kind: torch.dtype, clock: Clock = time.monotonic) -> float:
    """The faster of a product of two large matrices and a convolution of many channels.

    Which of them comes nearer to what the processor could do depends on the library behind each.
    """
    matrix = torch.randn(SIDE, SIDE, device=device, dtype=kind)
    weights = torch.randn(CHANNELS, CHANNELS, 3, 3, device=device, dtype=kind).to(memory_format=torch.channels_last)
    images = torch.randn(8, CHANNELS, MAP, MAP, device=device, dtype=kind).to(memory_format=torch.channels_last)
    products = 2 * SIDE**3 / least_time(lambda: matrix @ matrix, device, clock)
    maps = 2 * 9 * 8 * CHANNELS**2 * MAP**2 / least_time(lambda: F.conv2d(images, weights, padding=1), device, clock)
    return max(products, maps) / 1e9


def least_time(call: Any, device: torch.device, clock: Clock) -> float:
    """Seconds, the least of many tries."""
    best, ends = float("inf"), time.monotonic() + SECONDS
    with torch.no_grad():
        while time.monotonic() < ends:
            best = min(best, timed(call, device, clock))
    return best


def convolution_backward(
    above: Sequence[int],
    images: Sequence[int],
    weights: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    wanted: Sequence[bool],
    **_shapes: Any,
) -> int:
    """Twice the multiply-adds of a convolution's way back; torch's own count takes depthwise ones for full ones.

    For each gradient that is wanted, of the pictures and of the weights, as many as on the way there.
    """
    places = math.prod(images[2:] if transposed else above[2:])
    return 2 * images[0] * places * math.prod(weights) * sum(wanted[:2])


COUNTS = {torch.ops.aten.convolution_backward: convolution_backward}


def step(job: MethodJob, phase: Phase, batch: Any, half: torch.autocast) -> None:
    """Forward and backward of one phase, with gradients of its own weights only."""
    for name, weight in job.net.named_parameters():
        weight.requires_grad = phase.trains(name)
        weight.grad = None
    with half:
        losses = job.losses(phase.name, job.net, batch)
        total = torch.stack([phase.losses[name] * loss.float() for name, loss in losses.items()]).sum()
    total.backward()


def timed(call: Any, device: torch.device, clock: Clock = time.monotonic) -> float:
    start = clock()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - start


def measure(
    config: str,
    paths: list[str],
    steps: int,
    device: torch.device,
    changes: list[str],
    skip: int = 0,
    clock: Clock = time.monotonic,
) -> dict[str, Any]:
    """Images a second and GFLOP an image of one config, and milliseconds an image of each part of a step."""
    tables = load_config(ROOT / "configs" / f"{config}.toml", [f"data.path={json.dumps(paths)}", *changes])
    options = run_config(tables)
    if not isinstance(options, MethodRunConfig):
        raise SystemExit(f"{config}: no method's config")
    with tempfile.TemporaryDirectory() as folder:
        job = MethodJob(options, Path(folder), device, Processes())
        job.net.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it
        quicken(job.net)
        half = half_precision(options.train.half, device)
        count = options.train.batch
        made = [timed(lambda number=number: job.batch(number * count), device, clock) for number in range(skip + steps)]
        batch = job.batch(0)
        phases, work = {}, 0
        for phase in job.phases:
            with FlopCounterMode(display=False, custom_mapping=COUNTS) as counter:
                step(job, phase, batch, half)
            work += counter.get_total_flops()
            phases[phase.name] = [
                timed(lambda phase=phase: step(job, phase, batch, half), device, clock) for _ in range(steps)
            ]
    # The mean of batches: where people are rendered, every few batches bake another.
    parts = {"batch": statistics.fmean(made[skip:])} | {name: statistics.median(each) for name, each in phases.items()}
    whole = sum(parts.values())
    return {
        "images_per_s": round(count / whole, 2),
        "gflop_per_image": round(work / count / 1e9, 3),
        "ms_per_image": {name: round(1000 * seconds / count, 2) for name, seconds in parts.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, metavar="DIR", help="a dataset; may repeat")
    parser.add_argument("--config", action="append", required=True, metavar="NAME", help="of configs/; may repeat")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as facegraft train --set")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="batches made before those that are counted")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--half", action="store_true", help="in bfloat16 on a CPU too (train.half = always)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor-time", action="store_true", help="instead of the clock's; on a CPU, one thread")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed()  # as `facegraft train` does
    device = pick_device(args.device)
    halves = device.type == "cuda" or args.half
    clock = time.process_time if args.processor_time else time.monotonic
    peak = peak_gflops(device, torch.bfloat16 if halves else torch.float32, clock)
    found = {"machine": processor(), "device": str(device), "threads": args.threads, "commit": commit()}
    found |= {"half": halves, "peak_gflops": round(peak, 1), "set": args.set, "clock": clock.__name__, "configs": {}}
    changes = [*args.set, f'train.half="{"always" if halves else "never"}"']
    for config in args.config:
        told = measure(config, args.data, args.steps, device, changes, args.skip, clock)
        told["share_of_peak"] = round(told["images_per_s"] * told["gflop_per_image"] / peak, 3)
        found["configs"][config] = told
    text = json.dumps(found, indent=2) + "\n"
    print(text)
    if args.output is not None:
        with atomic_path(args.output) as temporary:
            temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
