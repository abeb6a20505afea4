"""What the benchmarks of rendered people share: pictures kept in a folder, intervals, facts about the run."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

import facegraft
from facegraft.core.files import atomic_path
from facegraft.core.machine import commit
from facegraft.data.assets import find_assets
from facegraft.data.fanout import run_units
from facegraft.data.synth.people import Person
from facegraft.data.synth.render import Rendered, Renderer
from facegraft.data.synth.scene import Scene, sample_scene
from facegraft.faces.topology import load_topology

HERE = Path(__file__).parent
UNIT = 20
"""Pictures per file of the folder."""
OUTER_EYES = (33, 263)
"""Outer corners of the eyes among the dense points."""
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Shot:
    """One picture to be made."""

    person: Person
    scene_seed: int
    stratum: str


@dataclass(frozen=True)
class Job:
    """The pictures of one file, and how to make them."""

    path: Path
    shots: tuple[Shot, ...]
    size_px: int
    labels: bool
    backgrounds: Path | None
    environments: Path | None
    device: str = "cpu"


_RENDERERS: dict[tuple[object, ...], Renderer] = {}
"""One per process: reading the assets takes seconds."""


def pictures(
    shots: Sequence[Shot], folder: Path, size_px: int, *, processes: int = 1, labels: bool = True, **options: Any
) -> Arrays:
    """`image` (n, h, w, 3) uint8 and, with labels, what `kept` says; read from the folder where it has them.

    The folder must be given up when people, scenes or the renderer change: only the number of pictures is checked.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [tuple(shots[i : i + UNIT]) for i in range(0, len(shots), UNIT)]
    options = {"backgrounds": None, "environments": None, **options}
    jobs = [Job(folder / f"{n:04d}.npz", part, size_px, labels, **options) for n, part in enumerate(parts)]
    stamp = folder / "commit.txt"
    if not stamp.exists():
        stamp.write_text(commit() + "\n", encoding="utf-8")
    missing = [job for job in jobs if not job.path.exists()]
    for _ in run_units(make, missing, jobs=processes):
        pass
    loaded = [dict(np.load(job.path)) for job in jobs]
    found = {name: np.concatenate([part[name] for part in loaded]) for name in loaded[0]}
    if len(found["image"]) != len(shots):
        raise SystemExit(f"{folder}: expected {len(shots)} pictures, found {len(found['image'])}; name another folder")
    return found


def make(job: Job) -> None:
    """Renders one file of the folder."""
    torch.set_num_threads(1)
    renderer = renderer_of(job.size_px, job.device, job.backgrounds, job.environments)
    scenes = [sample_scene(shot.scene_seed, shot.stratum) for shot in job.shots]
    parts = []
    for i in range(0, len(scenes), renderer.chunk):
        people = [shot.person for shot in job.shots[i : i + renderer.chunk]]
        made = renderer.render(people, scenes[i : i + renderer.chunk], labels=job.labels)
        parts.append(kept(made, scenes[i : i + renderer.chunk], job.size_px))
    arrays: Any = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    with atomic_path(job.path) as path, path.open("wb") as file:
        np.savez(file, **arrays)


def renderer_of(size_px: int, device: str, backgrounds: Path | None, environments: Path | None) -> Renderer:
    key = size_px, device, backgrounds, environments
    if key not in _RENDERERS:
        _RENDERERS[key] = Renderer(
            find_assets(), size_px, device=device, backgrounds=backgrounds, environments=environments
        )
    return _RENDERERS[key]


def kept(made: Rendered, scenes: Sequence[Scene], size_px: int) -> Arrays:
    """What is kept of one batch: pictures and, with labels, points, what is seen of them, and the head's pose.

    `unit` is `eye_distance`, `hidden` is `hidden_share`.
    """
    out: Arrays = {"image": made.image.permute(0, 2, 3, 1).cpu().numpy()}
    if made.labels is None:
        return out
    labels = made.labels
    dense, camera = labels.dense.double().cpu().numpy(), labels.camera.double().cpu().numpy()
    out["dense"] = dense[..., :2].astype(np.float32)
    out["visible_dense"] = labels.visible_dense.cpu().numpy() > 0.5
    out["landmarks68"] = labels.landmarks68[..., :2].cpu().numpy()
    out["visible68"] = labels.visible68.cpu().numpy() > 0.5
    out["pose_degrees"] = labels.pose_degrees.cpu().numpy()
    out["unit"] = np.array([eye_distance(p, c, size_px) for p, c in zip(dense, camera, strict=True)], np.float32)
    seen = zip(dense[..., :2], out["visible_dense"], strict=True)
    out["hidden"] = np.array([hidden_share(points, visible) for points, visible in seen], np.float32)
    out["occluder"] = labels.occluder.mul(255).round().byte().cpu().numpy()
    return out


def eye_distance(dense: Float[np.ndarray, "468 3"], camera: Float[np.ndarray, "3 4"], size_px: int) -> float:
    """Of the outer eye corners in space, as pixels at the distance of the eyes: it does not shrink with yaw."""
    forward = camera[2, :3]
    centre = camera[:2, :3] @ forward
    focal = float(np.linalg.norm(camera[0, :3] - centre[0] * forward))
    ends = dense[list(OUTER_EYES)]
    flat = (ends[:, :2] / size_px - centre) * ends[:, 2:] / focal
    apart = float(np.linalg.norm(np.append(flat[0] - flat[1], ends[0, 2] - ends[1, 2])))
    return apart * focal / float(ends[:, 2].mean()) * size_px


def hidden_share(points: Float[np.ndarray, "468 2"], visible: Bool[np.ndarray, "468"]) -> float:
    """Share of the face's area in the picture that something hides; what is turned away does not count."""
    triangles = load_topology().triangles
    a, b, c = (points[triangles[:, k]] for k in range(3))
    area = (b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0])
    facing = np.maximum(area, 0)
    return float(1 - (facing * visible[triangles].mean(1)).sum() / max(facing.sum(), 1e-9))


def bootstrap(
    rows: int,
    statistic: Callable[[Int[np.ndarray, "r"]], float],
    *,
    rounds: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """The statistic of all rows and its 95 % percentile interval under resampling of rows (Efron 1979).

    Args:
        rows: How many there are; what is resampled must be independent of each other.
        statistic: Of row numbers, which may repeat. NaN where it is undefined.
        rounds: Resamplings.
        seed: Of the resampling.
    """
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(0, rows, rows)) for _ in range(rounds)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": rounded(statistic(np.arange(rows))), "low": rounded(low), "high": rounded(high)}


def wilson(hits: int, count: int) -> dict[str, float | int]:
    """A share with its 95 % score interval (Wilson 1927), which holds near 0 and 1 where the bootstrap does not."""
    z = 1.959964
    share = hits / count
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    low, high = max(middle - half, 0.0), min(middle + half, 1.0)
    return {"value": rounded(share), "low": rounded(low), "high": rounded(high), "of": count}


def rounded(value: float) -> float:
    return float(f"{float(value):.4g}")


def facts(device: str = "cpu") -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": commit(),
        "facegraft": facegraft.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else "cpu",
        "cores": os.cpu_count(),
        "load_before": [round(value, 2) for value in os.getloadavg()],
    }


def history(name: str, machine: str, device: str) -> Path:
    """Where a result is kept."""
    path = HERE / "history" / facegraft.__version__ / f"{name}--{machine}--{device.partition(':')[0]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def this_machine() -> str:
    return f"{platform.machine()}-{os.cpu_count()}cores"
