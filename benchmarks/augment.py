"""How many pairs per second one core changes at 128 px, stage by stage, and what one occluder and one camera cost.

    python benchmarks/augment.py --repeats 5

A pair is an identity image, an attribute image with its landmarks, and a truth. Nothing is read from disk. Writes
benchmarks/history/<version>/augment--<machine>--cpu.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

import facegraft
from facegraft.core.image import read_picture
from facegraft.data import augment, occluders, reshape
from facegraft.data.camera import apply_post
from facegraft.data.synth.scene import Post
from facegraft.data.vary import vary
from facegraft.faces.topology import LANDMARKS_68, load_topology
from facegraft.tensors import Aligned, SwapBatch, images_from_frames

HERE = Path(__file__).parent
SIZE_PX = 128
BATCH = 16


def pictures() -> Tensor:
    """The example pictures, cut to a square and scaled; what they show hardly matters here."""
    frames = []
    for path in sorted((HERE.parent / "examples").glob("*_*.jpg")):
        frame = read_picture(path).frame
        side = min(frame.shape[:2])
        frames.append(cv2.resize(frame[:side, :side], (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA))
    return images_from_frames([frames[i % len(frames)] for i in range(BATCH)])


def landmarks() -> Tensor:
    """Of the mean face in the middle, for each picture."""
    flat = load_topology().xyz[list(LANDMARKS_68), :2]
    flat = (flat - flat.mean(0)) / np.ptp(flat[:, 0]) * 0.5 + np.array([0.5, 0.55])
    return torch.from_numpy((flat * SIZE_PX).astype(np.float32)).expand(BATCH, 68, 2)


def per_second(work: Callable[[int], object], each: int, repeats: int, seconds: float = 1.5) -> dict[str, float]:
    """Median and spread of how many `each` things a second of one core's time makes."""
    rates = []
    for repeat in range(repeats + 1):
        began, done = time.process_time(), 0
        while time.process_time() - began < (seconds if repeat else 0.3):
            work(repeat * 1000 + done)
            done += 1
        rates.append(done * each / (time.process_time() - began))
    timed = rates[1:]
    return {
        "per_s_median": round(statistics.median(timed), 1),
        "per_s_lowest": round(min(timed), 1),
        "per_s_highest": round(max(timed), 1),
    }


def stage_rates(repeats: int) -> dict[str, Any]:
    images, points = pictures(), landmarks()
    batch = SwapBatch(
        identity=Aligned(images.flip(0)),
        attribute=Aligned(images, landmarks=points),
        truth=images.clone(),
        has_truth=torch.ones(BATCH, dtype=torch.bool),
    )
    result: dict[str, Any] = {}
    for name in ("GAN", "TRIPLETS", "COLOUR", "DISTILLATION", "DIFFUSION", "DEEPFACELAB"):
        stages = getattr(augment, name)
        result[name] = per_second(
            lambda n, stages=stages: vary(batch, torch.Generator().manual_seed(n), stages=stages), BATCH, repeats
        )
    return result


def single_rates(repeats: int) -> dict[str, Any]:
    images, points = pictures(), landmarks()
    result = {
        f"occluder {kind}": per_second(
            lambda n, kind=kind: occluders.draw(images[n % BATCH], points[0], n, mix={kind: 1.0}), 1, repeats, 0.4
        )
        for kind in occluders.MIX
    }
    result["occluder, mixed"] = per_second(lambda n: occluders.draw(images[n % BATCH], points[0], n), 1, repeats)
    result["face made heavier"] = per_second(lambda n: reshape.reweigh(images[0], points[0], 0.7), 1, repeats, 0.4)
    old = torch.Generator().manual_seed(0)
    result["face made older"] = per_second(lambda n: reshape.age(images[0], points[0], 0.7, old), 1, repeats, 0.4)
    linear = (images * 0.5 + 0.5) ** 2.2
    plain = [Post(noise=0.01, blur_px=0.5, vignette=0.1, glow=0.03, seed=row) for row in range(BATCH)]
    lossy = [Post(noise=0.01, blur_px=0.5, vignette=0.1, glow=0.03, seed=row, jpeg=80.0) for row in range(BATCH)]
    result["camera"] = per_second(lambda n: apply_post(linear, plain), BATCH, repeats)
    result["camera with JPEG"] = per_second(lambda n: apply_post(linear, lossy), BATCH, repeats)
    return result


def facts() -> dict[str, Any]:
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE, check=False
    )
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "facegraft": facegraft.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cores": os.cpu_count(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
        "size_px": SIZE_PX,
        "batch": BATCH,
        "threads": 1,
        "clock": "CPU time of one thread",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--machine", default=f"{platform.machine()}-{os.cpu_count()}cores")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    result = {**facts(), "pairs": stage_rates(args.repeats), "single": single_rates(args.repeats)}
    folder = HERE / "history" / facegraft.__version__
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"augment--{args.machine}--cpu.json"
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
