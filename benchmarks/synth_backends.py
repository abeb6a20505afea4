"""OpenGL against our PyTorch rasteriser on a CPU: what does drawing one picture of a head with hair and glasses cost?

    python benchmarks/synth_backends.py --sizes 128 256 --repeats 7

Both draw the same kind of picture: skin with pores and shadows, eyes, hair of cards, a shirt, spectacles with lenses;
four samples a pixel and one shadow map of .6 of the samples' side. OpenGL is `examples/render` (moderngl, EGL: Mesa's
llvmpipe where there is no GPU) with one pass of its stochastic alpha; PyTorch is `data/synth/paint.py` with four layers
of exact alpha. "draw" runs from the first draw call until the picture's linear light is in memory, at its final size;
"prepare" is posing, fitting and dressing before it (OpenGL: and the upload). What OpenGL bakes per vertex (light with
shadows) is given apart. CPU time is user + system of the process, all threads. People, textures and shaders are warm.

Needs moderngl; without it the script says so and ends with code 2. Assets: FACEGRAFT_MAKEHUMAN. Writes
benchmarks/history/<version>/synth_backends--<machine>--<device>.json.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HAIRS = ("short01", "long01", "ponytail01")
YAWS = (-25.0, -8.0, 8.0, 25.0)
OVERSAMPLING, SHADOW_SHARE = 2, 0.6
RAYS = 8
"""Of the light that OpenGL bakes per vertex: a tenth of what its pictures need, as it is not compared."""
EXAMPLES = Path(__file__).parents[1] / "examples" / "render"
Costs = dict[str, list[tuple[float, float]]]
"""Stage -> (CPU, wall) seconds of each picture or batch."""


class Clock:
    """CPU and wall seconds between calls, by stage."""

    def __init__(self) -> None:
        self.costs: Costs = {}

    def time(self, stage: str, work: Callable[[], Any]) -> Any:
        spent, wall = os.times(), time.perf_counter()
        out = work()
        after = os.times()
        cpu = after.user + after.system - spent.user - spent.system
        self.costs.setdefault(stage, []).append((cpu, time.perf_counter() - wall))
        return out


class TorchSide:
    """Pictures by PyTorch in batches; `threads` may be more than one."""

    def __init__(self, size_px: int, batch: int, threads: int) -> None:
        import torch

        from facegraft.core.memory import keep_freed
        from facegraft.data.assets import find_assets
        from facegraft.data.synth.people import sample_person
        from facegraft.data.synth.render import Renderer

        self.torch = torch
        torch.set_num_threads(threads)
        keep_freed()  # as the workers of `facegraft synth` do
        self.renderer = Renderer(find_assets(), size_px)
        people = [sample_person(700_000 + number) for number in range(len(HAIRS))]
        self.actors = [self.renderer.cast.actor(person) for person in people]
        self.scenes = [(row, self.scene(row, yaw)) for row in range(len(HAIRS)) for yaw in YAWS]
        self.batch, self.triangles = batch, 0

    def scene(self, row: int, yaw: float) -> Any:
        import numpy as np

        from facegraft.data.synth.scene import Post, sample_scene
        from facegraft.data.synth.wear import GLASSES, sample_glasses

        glasses = dataclasses.replace(sample_glasses(np.random.default_rng(row), sun=0.0), variant=GLASSES[0])
        scene = sample_scene(row, "ordinary")
        hair = dataclasses.replace(scene.hair, style=HAIRS[row])
        return dataclasses.replace(scene, yaw=yaw, hair=hair, worn=(glasses,), props=(), post=Post())

    def round(self, clock: Clock) -> Any:
        from facegraft.data.synth.render import pooled

        with self.torch.no_grad():
            for start in range(0, len(self.scenes), self.batch):
                part = self.scenes[start : start + self.batch]
                prepared = clock.time("prepare", lambda part=part: self.prepare(part))
                last = clock.time("draw", lambda prepared=prepared: pooled(self.draw(*prepared).light))
        return last[-1].permute(1, 2, 0).numpy()

    def prepare(self, part: Sequence[tuple[int, Any]]) -> tuple[Any, ...]:
        from facegraft.data.synth.light import environments
        from facegraft.data.synth.perform import motion_of
        from facegraft.data.synth.view import make_view

        made, torch = self.renderer, self.torch
        actors, scenes = [self.actors[row] for row, _ in part], [scene for _, scene in part]
        lights = made.illumination.prepare(environments([s.light for s in scenes], made.bank, made.device))
        neutral, race = (torch.stack([getattr(actor, name) for actor in actors]) for name in ("neutral", "race"))
        posed = made.body.pose(neutral, race, motion_of(scenes, made.body))
        view = make_view([s.camera for s in scenes], made.device)
        soup = made.dresser.dress(actors, scenes, posed)
        self.triangles = len(soup.triangles) // len(part)
        return soup, posed, actors, scenes, lights, view, made.size * OVERSAMPLING

    def draw(self, *prepared: Any) -> Any:
        return self.renderer.painter.paint(*prepared)


class OpenGlSide:
    """Pictures one by one by `examples/render`; `threads` are llvmpipe's."""

    def __init__(self, size_px: int, threads: int) -> None:
        os.environ["LP_NUM_THREADS"] = str(threads)
        sys.path.insert(0, str(EXAMPLES))
        # the examples are scripts beside each other, no package
        self.gl, self.cast = importlib.import_module("draw"), importlib.import_module("cast")
        head = importlib.import_module("head")
        from facegraft.data.assets import find_assets

        samples = size_px * OVERSAMPLING
        self.gl.SHADOW_SIZE = max(96, int(samples * SHADOW_SHARE))
        self.renderer = self.gl.Renderer(head.HeadModel(find_assets(), levels=0), find_assets())
        context = self.renderer.context
        self.size = samples, samples
        self.colours = [context.texture(self.size, 4, dtype="f4") for _ in range(3)]
        self.target = context.framebuffer(self.colours, context.depth_renderbuffer(self.size))
        somebody = self.cast.PEOPLE["anna"]
        self.people = [dataclasses.replace(somebody, hair=hair, glasses=True, seed=i) for i, hair in enumerate(HAIRS)]
        self.driver = f"{context.info['GL_RENDERER']}, {context.info['GL_VERSION']}"
        self.triangles = 0

    def round(self, clock: Clock) -> Any:
        for person in self.people:
            for yaw in YAWS:
                drawn = clock.time("prepare", lambda person=person, yaw=yaw: self.prepare(person, yaw))
                clock.time("light of vertices", lambda drawn=drawn: self.light(drawn))
                last = clock.time("draw", lambda drawn=drawn: self.draw(drawn))
                for item in drawn:
                    item.release()
        return last

    def prepare(self, person: Any, yaw: float) -> list[Any]:
        surfaces, _ = self.renderer.model.pose(person, self.cast.Pose(yaw=yaw))
        self.triangles = sum(len(surface.triangles) for surface in surfaces)
        drawn = [self.gl._Drawn(self.renderer, person, surface) for surface in surfaces]
        self.renderer.context.finish()
        return drawn

    def light(self, drawn: list[Any]) -> None:
        import numpy as np

        lighting, camera = self.cast.SOFT, self.cast.PORTRAIT
        self.centre, self.radius = np.array(camera.target), 4.0
        self.renderer._light_vertices(drawn, lighting, self.centre, self.radius, RAYS)
        self.renderer._set_lights(lighting, camera)

    def draw(self, drawn: list[Any]) -> Any:
        import numpy as np

        gl, renderer, camera = self.gl, self.renderer, self.cast.PORTRAIT
        toward = self.cast.SOFT.key_direction
        matrix = gl._light_matrix(toward, self.centre, self.radius)
        renderer._draw_shadows(drawn, matrix, 0)
        gl._set(renderer.main, "shadow_matrix", matrix)
        view = camera.matrix(self.size, (0.0, 0.0))
        gl._set(renderer.main, "view_projection", view)
        renderer.main["key_direction"] = tuple(float(x) for x in toward)
        gl._put(renderer.main, "pass_number", 0.0)
        self.target.use()
        self.target.clear(0, 0, 0, 0)
        renderer.context.enable(renderer.context.DEPTH_TEST)
        renderer._draw_pass(drawn, view, self.target)
        side = self.size[0]
        layers = [np.frombuffer(texture.read(), np.float32).reshape(side, side, 4) for texture in self.colours]
        light = layers[0][..., :3] + layers[1][..., :3] * layers[2][..., :3]
        half = side // OVERSAMPLING
        return light[::-1].reshape(half, OVERSAMPLING, half, OVERSAMPLING, 3).mean((1, 3))


def summary(costs: Costs, pictures: int) -> dict[str, dict[str, Any]]:
    """Milliseconds per picture, median over the rounds; `pictures` are those of one round."""
    out: dict[str, dict[str, Any]] = {}
    for stage, each in costs.items():
        rounds = [each[i : i + pictures] for i in range(0, len(each), pictures)]
        means = [
            [1000 * sum(one[kind] for one in many) / (len(HAIRS) * len(YAWS)) for many in rounds] for kind in (0, 1)
        ]
        cpu, wall = (sorted(round(value, 2) for value in values) for values in means)
        out[stage] = {
            "cpu_ms_median": round(statistics.median(cpu), 2),
            "wall_ms_median": round(statistics.median(wall), 2),
            "cpu_ms_all": cpu,
            "wall_ms_all": wall,
        }
    return out


def measure(size_px: int, args: argparse.Namespace) -> dict[str, Any]:
    """Rounds of the back ends take turns, so that a busy moment hits all of them."""
    count = len(HAIRS) * len(YAWS)
    sides: dict[str, tuple[Any, int]] = {
        "opengl": (OpenGlSide(size_px, args.threads), count),
        "torch, 4 at a time": (TorchSide(size_px, 4, args.threads), count // 4),
        "torch, one at a time": (TorchSide(size_px, 1, args.threads), count),
    }
    clocks = {name: Clock() for name in sides}
    for side, _ in sides.values():
        side.round(Clock())
    for _ in range(args.repeats):
        for name, (side, _) in sides.items():
            light = side.round(clocks[name])
            if args.look:
                save(light, args.look / f"{name.replace(', ', '-').replace(' ', '-')}-{size_px}.png")
    found = {
        name: {"triangles": side.triangles, **summary(clocks[name].costs, calls)}
        for name, (side, calls) in sides.items()
    }
    return {**found, "driver": sides["opengl"][0].driver}


def save(light: Any, path: Path) -> None:
    """Linear light as a picture, to see that both drew the same kind of thing."""
    import numpy as np

    from facegraft.core.image import save_frame

    path.parent.mkdir(parents=True, exist_ok=True)
    save_frame(path, (np.clip(light * 0.8, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[128, 256])
    parser.add_argument("--repeats", type=int, default=7, help=f"rounds of {len(HAIRS) * len(YAWS)} pictures each")
    parser.add_argument("--threads", type=int, default=1, help="of llvmpipe and of PyTorch")
    parser.add_argument("--look", type=Path, help="folder for the last picture of each back end")
    parser.add_argument("--machine")
    args = parser.parse_args()
    if importlib.util.find_spec("moderngl") is None:
        print("synth_backends: expected moderngl for the OpenGL side, found none; run `pip install moderngl`")
        return 2
    from synth_pictures import facts, history, this_machine

    result: dict[str, Any] = {
        **facts(),
        "moderngl": importlib.import_module("moderngl").__version__,
        "threads": args.threads,
        "pictures_per_round": len(HAIRS) * len(YAWS),
        "repeats": args.repeats,
        "sizes": {str(size_px): measure(size_px, args) for size_px in args.sizes},
        "load_after": [round(value, 2) for value in os.getloadavg()],
    }
    path = history("synth_backends", args.machine or this_machine(), "cpu")
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
