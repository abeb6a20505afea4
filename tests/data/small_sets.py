"""Small datasets of noise and shapes, made in milliseconds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from facegraft.core.image_bytes import encode_frame, encode_plane
from facegraft.data.dataset import Dataset, DatasetCard, Item, Pair, open_dataset, write_card, write_shard


def picture(seed: int, size_px: int = 32) -> np.ndarray:
    """A disc in a colour of its own on noise."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)
    y, x = np.mgrid[:size_px, :size_px]
    frame[(x - size_px / 2) ** 2 + (y - size_px / 2) ** 2 < (size_px / 3) ** 2] = rng.integers(0, 256, 3)
    return frame


def item(key: str, person: str, seed: int = 0, size_px: int = 32, **changes: Any) -> Item:
    """An item with every label that a loader can ask for; poses spread over -60..60 degrees."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size_px, :size_px]
    labels = np.array([0, 7, 18])[(x // 3 + y // 5 + seed) % 3]
    values: dict[str, Any] = {
        "key": key,
        "person": person,
        "image": encode_frame(picture(seed, size_px)),
        "licence": "CC0-1.0",
        "consent": "nobody: drawn",
        "origin": "small_sets.py",
        "synthetic": True,
        "planes": {
            "visible": encode_plane(rng.integers(0, 256, (size_px, size_px), dtype=np.uint8)),
            "regions": encode_plane(labels.astype(np.uint8)),
            "occluder": encode_plane(np.full((size_px, size_px), 255 * (seed % 2), np.uint8)),
        },
        "arrays": {
            "landmarks68": rng.uniform(0, size_px, (68, 2)).astype(np.float32),
            "iris": rng.uniform(0, size_px, (2, 2)).astype(np.float32),
            "dense": rng.uniform(0, size_px, (468, 3)).astype(np.float32),
            "matrix": rng.normal(size=(2, 3)).astype(np.float32),
            "pose_degrees": rng.uniform((-60, -20, -5), (60, 20, 5)).astype(np.float32),
            "gaze_degrees": rng.normal(size=(2, 2)).astype(np.float32),
        },
        "facts": {"monk": 1 + seed % 10, "sharpness": 0.5},
    }
    return Item(**{**values, **changes})


def small_set(folder: Path, people: int = 6, photos: int = 4, size_px: int = 32, exact: int = 0) -> Dataset:
    """People times photos in two shards, and exact pairs with truths of their own."""
    items = [
        item(f"p{who}-{number}", f"p{who}", seed=100 * who + number, size_px=size_px)
        for who in range(people)
        for number in range(photos)
    ]
    pairs = []
    for number in range(exact):
        who, whom = number % people, (number + 1) % people
        changed = np.zeros((size_px, size_px), np.uint8)
        changed[: 1 + number] = 255
        truth = item(f"t{number}", f"p{who}", seed=9000 + number, size_px=size_px, role="truth", arrays={})
        truth.planes.clear()
        truth.planes["changed"] = encode_plane(changed)
        items.append(truth)
        pairs.append(Pair(f"p{who}-0", f"p{whom}-1", {"inner": truth.key}))
    half = len(items) // 2
    write_shard(folder, 0, items[:half])
    write_shard(folder, 1, items[half:], pairs)
    write_card(folder, DatasetCard(name=folder.name, seed=0))
    return open_dataset(folder)
