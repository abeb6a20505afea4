"""How many training pairs a second the loader gives, decoded every time and from the memory-mapped cache.

    python benchmarks/loader.py --repeats 3

Pictures are made here: blurred noise with grain, so that JPEG and PNG have work as with photographs. A sample is two
pictures (identity and attribute; the truth is one of them) as floats on the device. "With augmentation": colour, blur,
warps and pasted things as for a GAN (`vary`, stages `GAN`). Rounds of all contenders alternate. Writes
benchmarks/history/<version>/loader--<machine>--<device>.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL
import torch

import facegraft
from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.core.types import Frame
from facegraft.data.augment import GAN
from facegraft.data.dataset import Dataset, DatasetCard, Item, open_dataset, write_card, write_shard
from facegraft.data.loader import Loader, LoaderOptions
from facegraft.data.policies import OURS
from facegraft.data.vary import vary

HERE = Path(__file__).parent
PHOTOS_PER_PERSON = 6
LABELS = ("mask", "landmarks")


def picture(rng: np.random.Generator, size_px: int) -> Frame:
    smooth = cv2.GaussianBlur(rng.uniform(0, 255, (size_px, size_px, 3)), (0, 0), size_px / 40)
    smooth = cv2.normalize(smooth, None, 20, 235, cv2.NORM_MINMAX)
    return np.clip(smooth + rng.normal(0, 3, smooth.shape), 0, 255).astype(np.uint8)


def make_set(folder: Path, size_px: int, jpeg_quality: int | None, count: int) -> Dataset:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size_px, :size_px] / size_px - 0.5
    visible = encode_plane(np.where(x * x + y * y < 0.16, 255, 0).astype(np.uint8))
    items = [
        Item(
            key=f"{number:05d}",
            person=f"p{number // PHOTOS_PER_PERSON}",
            image=encode_frame(picture(rng, size_px), jpeg_quality),
            licence="CC0-1.0",
            consent="nobody: drawn",
            origin="benchmarks/loader.py",
            synthetic=True,
            planes={"visible": visible},
            arrays={
                "landmarks68": rng.uniform(0, size_px, (68, 2)).astype(np.float32),
                "pose_degrees": rng.normal(0, 20, 3).astype(np.float32),
            },
        )
        for number in range(count)
    ]
    write_shard(folder, 0, items)
    write_card(folder, DatasetCard(name=folder.name, seed=0))
    return open_dataset(folder)


def rate(loader: Loader, seconds: float) -> float:
    """Samples a second, after four batches to warm up."""
    batches = loader.batches()
    for _ in range(4):
        next(batches)
    finish(loader.options.device)
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        count += len(next(batches))
    finish(loader.options.device)
    elapsed = time.perf_counter() - began
    batches.close()  # type: ignore[attr-defined]  # a generator
    return count / elapsed


def finish(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def rates(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    kinds = {"jpeg_128": (128, 95), "png_128": (128, None), "jpeg_256": (256, 95)}
    sets = {name: make_set(folder / name, size, quality, args.pictures) for name, (size, quality) in kinds.items()}
    plain = LoaderOptions(batch=64, size_px=128, device=args.device)
    contenders: dict[str, Loader] = {}
    build: dict[str, float] = {}
    for workers in sorted({0, 1, *args.workers}):
        options = dataclasses.replace(plain, workers=workers)
        for name, dataset in sets.items():
            contenders[f"{name}, {workers} threads"] = Loader(dataset, OURS, options)
        augment = [partial(vary, stages=GAN)]
        varied = Loader(sets["jpeg_128"], OURS, options, requires=LABELS, augment=augment)
        contenders[f"jpeg_128 with augmentation, {workers} threads"] = varied
        cached = dataclasses.replace(options, cache=folder / "cache")
        for what, requires in (("cache", ()), ("cache with mask and landmarks", LABELS)):
            began = time.perf_counter()
            contenders[f"{what}, {workers} threads"] = Loader(sets["jpeg_128"], OURS, cached, requires=requires)
            build.setdefault(what, args.pictures / (time.perf_counter() - began))
    found: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(args.repeats):
        for name, loader in contenders.items():
            found[name].append(rate(loader, args.seconds))
    return {
        "samples_per_second_median": {name: round(statistics.median(values)) for name, values in found.items()},
        "samples_per_second_all": {name: [round(value) for value in values] for name, values in found.items()},
        "pictures_per_second_into_the_cache": {name: round(value) for name, value in build.items()},
        "us_median": steps(sets["jpeg_128"], contenders["jpeg_128, 0 threads"]),
    }


def steps(dataset: Dataset, loader: Loader) -> dict[str, float]:
    """What one picture costs: drawing its pair, reading its bytes out of the shard, decoding them."""
    keys = [row.key for row in dataset.rows]
    stored = dataset.item(keys[0])
    return {
        "draw_a_pair": _us(lambda number: loader.pairs.draw(number)),
        "read_an_item": _us(lambda number: dataset.item(keys[number * 7919 % len(keys)])),
        "decode_jpeg_128": _us(lambda _: stored.frame()),
    }


def _us(call: Callable[[int], object], repeats: int = 2000) -> float:
    times = []
    for number in range(repeats):
        began = time.perf_counter()
        call(number)
        times.append(1e6 * (time.perf_counter() - began))
    return round(statistics.median(times), 1)


def facts(device: str) -> dict[str, Any]:
    git = ["git", "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True, cwd=HERE, check=False)
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "facegraft": facegraft.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "pillow": PIL.__version__,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "cores": os.cpu_count(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each round")
    parser.add_argument("--pictures", type=int, default=1200)
    parser.add_argument("--workers", type=int, nargs="*", default=[os.cpu_count() or 1], help="besides 0 and 1 threads")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machine", default=f"{platform.machine()}-{os.cpu_count()}cores")
    args = parser.parse_args()
    torch.set_num_threads(1)  # threads of the loader are what is counted
    with tempfile.TemporaryDirectory() as folder:
        result = {**facts(args.device), **rates(Path(folder), args)}
    device = args.device.partition(":")[0]
    path = HERE / "history" / facegraft.__version__ / f"loader--{args.machine}--{device}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
