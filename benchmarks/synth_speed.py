"""How many rendered pictures a second, with and without labels, and which part of the renderer takes the time.

    python benchmarks/synth_speed.py --repeats 5
    python benchmarks/synth_speed.py --device cuda --sizes 128 256 --pictures 512

People are baked once, scenes change. CPU time (user + system of the process) is the honest figure on a shared machine;
wall time stands beside it. Rounds of one process and of all processes alternate. Assets: FACEGRAFT_MAKEHUMAN. Writes
benchmarks/history/<version>/synth_speed--<machine>--<device>.json.
"""

from __future__ import annotations

import argparse
import cProfile
import json
import multiprocessing
import os
import pstats
import statistics
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
from synth_pictures import facts, history, this_machine

from facegraft.core.memory import keep_freed
from facegraft.data.assets import find_assets
from facegraft.data.synth.people import sample_person
from facegraft.data.synth.render import Renderer
from facegraft.data.synth.scene import sample_scene

FIRST_SEED = 700_000
WARM_UP = 64
PARTS = {
    "scene and light": (("light.py", "environments"), ("illumination.py", "prepare")),
    "pose": (("body.py", "pose"),),
    "dress": (("dress.py", "dress"),),
    "shadow maps": (("shadow.py", "cast_shadows"),),
    "shadow lookup": (("shadow.py", "lit"),),
    "raster": (("raster.py", "scan"), ("raster.py", "set_up"), ("raster.py", "nearest")),
    "paint, all of it": (("paint.py", "paint"),),
    "background": (("background.py", "backgrounds"),),
    "camera": (("render.py", "develop"),),
    "labels": (("labels.py", "make_labels"),),
}
"""Name -> functions whose CPU time, callees included, is added up. Raster and shadows lie within paint."""


class Bench:
    """One renderer with baked people, and scenes that never repeat."""

    def __init__(self, size_px: int, device: str, people: int, first_scene: int) -> None:
        self.device = device
        keep_freed()  # as the workers of `facegraft synth` do
        began = time.perf_counter()
        self.renderer = Renderer(find_assets(), size_px, device=device, keep_people=max(people, 8))
        self.set_up_s = time.perf_counter() - began
        self.people = [sample_person(FIRST_SEED + number) for number in range(people)]
        self.bake_s = [self._bake(person) for person in self.people]
        self.scene = first_scene
        self.chunk = self.renderer.chunk
        self.round(WARM_UP, labels=False)  # hair, hats and things are read when a scene first asks for them

    def _bake(self, person: Any) -> float:
        began = time.process_time()
        self.renderer.cast.actor(person)
        self.finish()
        return time.process_time() - began

    def finish(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize()

    def round(self, pictures: int, *, labels: bool) -> dict[str, float]:
        """Seconds of CPU and wall per picture."""
        scenes = [sample_scene(self.scene + number, "mixed") for number in range(pictures)]
        people = [self.people[(self.scene + number) % len(self.people)] for number in range(pictures)]
        self.scene += pictures
        self.finish()
        cpu, wall = cpu_s(), time.perf_counter()
        for start in range(0, pictures, self.chunk):
            part = slice(start, start + self.chunk)
            self.renderer.render(people[part], scenes[part], labels=labels)
        self.finish()
        return {"cpu_s": (cpu_s() - cpu) / pictures, "wall_s": (time.perf_counter() - wall) / pictures}

    def parts(self, pictures: int) -> dict[str, float]:
        """Milliseconds per picture by part; the profiler's own cost is in them."""
        profile = cProfile.Profile(time.perf_counter if self.device.startswith("cuda") else time.process_time)
        profile.runcall(self.round, pictures, labels=True)
        found: dict[tuple[str, str], float] = {}
        for (file, _, name), row in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]  # not in stubs
            key = Path(file).name, name
            found[key] = found.get(key, 0.0) + row[3]
        found_ms = {key: 1000 * seconds / pictures for key, seconds in found.items()}
        return {
            name: round(sum(found_ms.get(call, 0.0) for call in calls), 2)
            for name, calls in PARTS.items()
        } | {"everything": round(found_ms["synth_speed.py", "round"], 2)}  # fmt: skip


def cpu_s() -> float:
    """User and system time of this process, all threads."""
    spent = os.times()
    return spent.user + spent.system


def serve(pipe: Connection, size_px: int, device: str, people: int, first_scene: int) -> None:
    """A second process: says when it is ready, then renders as many pictures as it is told."""
    torch.set_num_threads(1)
    bench = Bench(size_px, device, people, first_scene)
    pipe.send("ready")
    while (pictures := pipe.recv()) > 0:
        pipe.send(bench.round(pictures, labels=True))


class Helpers:
    """Other processes that render at the same time."""

    def __init__(self, count: int, size_px: int, device: str, people: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipes: list[Connection] = []
        self.processes = []
        for number in range(count):
            mine, theirs = context.Pipe()
            first = 10_000_000 * (number + 1)
            process = context.Process(target=serve, args=(theirs, size_px, device, people, first), daemon=True)
            process.start()
            self.pipes.append(mine)
            self.processes.append(process)
        for pipe in self.pipes:
            pipe.recv()

    def round(self, pictures: int) -> list[dict[str, float]]:
        for pipe in self.pipes:
            pipe.send(pictures)
        return [pipe.recv() for pipe in self.pipes]

    def close(self) -> None:
        for pipe, process in zip(self.pipes, self.processes, strict=True):
            pipe.send(0)
            process.join()


def measure(size_px: int, args: argparse.Namespace) -> dict[str, Any]:
    bench = Bench(size_px, args.device, args.people, 0)
    helpers = Helpers(args.processes, size_px, args.device, args.people)
    alone, bare, together, loads, parts = [], [], [], [], []
    for _ in range(args.repeats):
        loads.append(os.getloadavg()[0])
        alone.append(bench.round(args.pictures, labels=True))
        bare.append(bench.round(args.pictures, labels=False))
        together.append(helpers.round(args.pictures))
        parts.append(bench.parts(args.pictures))
    helpers.close()
    flat = [one for many in together for one in many]
    return {
        "chunk": bench.chunk,
        "set_up_s": round(bench.set_up_s, 2),
        "bake_cpu_ms_median": round(1000 * statistics.median(bench.bake_s), 1),
        "load_1min": [round(load, 2) for load in loads],
        "one_process": summary(alone),
        "one_process_without_labels": summary(bare),
        f"{args.processes}_processes": {
            **summary(flat),
            "together_per_wall_s_median": round(
                statistics.median(sum(1 / one["wall_s"] for one in many) for many in together), 2
            ),
            "together_per_cpu_s_of_each_median": round(
                statistics.median(sum(1 / one["cpu_s"] for one in many) for many in together), 2
            ),
        },
        "parts_ms_median": {name: round(statistics.median(one[name] for one in parts), 2) for name in parts[0]},
    }


def summary(rounds: list[dict[str, float]]) -> dict[str, Any]:
    cpu, wall = [one["cpu_s"] for one in rounds], [one["wall_s"] for one in rounds]
    return {
        "per_cpu_s_median": round(1 / statistics.median(cpu), 2),
        "per_wall_s_median": round(1 / statistics.median(wall), 2),
        "cpu_ms_median": round(1000 * statistics.median(cpu), 1),
        "cpu_ms_all": [round(1000 * value, 1) for value in cpu],
        "wall_ms_all": [round(1000 * value, 1) for value in wall],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--pictures", type=int, default=16, help="per round")
    parser.add_argument("--people", type=int, default=8, help="baked before the clock starts")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--machine", default=this_machine())
    args = parser.parse_args()
    torch.set_num_threads(1)
    result: dict[str, Any] = {
        **facts(args.device),
        "threads": 1,
        "pictures_per_round": args.pictures,
        "stratum": "mixed",
        "sizes": {str(size_px): measure(size_px, args) for size_px in args.sizes},
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }
    history("synth_speed", args.machine, args.device).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
