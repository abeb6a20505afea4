"""Draws posed surfaces with OpenGL (EGL, no window): many noisy passes are averaged.

Each pass moves the camera by part of a pixel, takes another point of the lamp and drops other see-through fragments,
so the mean has smooth edges, soft shadows and blended hair without any sorting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import moderngl
import numpy as np
import shaders
from head import HeadModel, Surface
from light import Lighting, harmonic_basis, sphere
from people import Person, Pose
from textures import SkinMaps, bake_skin, linear_eye, mean_luminance, read_rgba

MATERIALS = {
    "skin": 0,
    "eye": 1,
    "cornea": 2,
    "teeth": 3,
    "tongue": 3,
    "brow": 4,
    "lash": 4,
    "hair": 5,
    "shirt": 6,
    "frame": 7,
}
MATERIALS["lens"] = 8
CASTERS = ("skin", "hair", "shirt", "brow", "teeth", "frame")
SHADOW_SIZE = 2048


@dataclass(frozen=True)
class Camera:
    """Looks along -z at `target`. `height` is the picture's height in decimetres at the target."""

    target: tuple[float, float, float]
    height: float
    distance: float = 14.0

    def matrix(self, size_wh: tuple[int, int], jitter_xy: tuple[float, float]) -> np.ndarray:
        width, height = size_wh
        near, far, f = 2.0, 60.0, 2 * self.distance / self.height
        projection = np.zeros((4, 4))
        projection[0, 0], projection[1, 1] = f * height / width, f
        projection[2, 2], projection[2, 3] = -(far + near) / (far - near), -2 * far * near / (far - near)
        projection[3, 2] = -1
        projection[0, 2], projection[1, 2] = 2 * jitter_xy[0] / width, 2 * jitter_xy[1] / height
        view = np.eye(4)
        view[:3, 3] = -self.position
        return projection @ view

    @property
    def position(self) -> np.ndarray:
        return np.array(self.target) + np.array([0, 0, self.distance])


@dataclass(frozen=True)
class Actor:
    """One person in a picture; `offset` moves them (decimetres)."""

    person: Person
    pose: Pose
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Layers:
    """Linear light, straight from the passes; the skin's light is apart so that it can be blurred as skin does."""

    direct: np.ndarray
    irradiance: np.ndarray
    albedo: np.ndarray


class Renderer:
    """An OpenGL context with its programs; keeps the textures of the people it has seen."""

    def __init__(self, model: HeadModel, assets: Path) -> None:
        self.model, self.assets = model, assets
        self.context = moderngl.create_standalone_context(backend="egl")
        self.main = self.context.program(vertex_shader=shaders.VERTEX, fragment_shader=shaders.FRAGMENT)
        self.depth = self.context.program(vertex_shader=shaders.VERTEX, fragment_shader=shaders.DEPTH_FRAGMENT)
        self.shadow = self.context.depth_texture((SHADOW_SIZE, SHADOW_SIZE))
        self.shadow.compare_func = "<="
        self.shadow_target = self.context.framebuffer(depth_attachment=self.shadow)
        self.textures: dict[tuple[str, str], moderngl.Texture] = {}
        self.hair_means: dict[str, float] = {}
        self.blank = self._upload(np.ones((4, 4, 4), np.float32))

    def _upload(self, image: np.ndarray) -> moderngl.Texture:
        flipped = np.ascontiguousarray(image[::-1].astype(np.float16))
        texture = self.context.texture((image.shape[1], image.shape[0]), image.shape[2], flipped.tobytes(), dtype="f2")
        texture.build_mipmaps()
        texture.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        return texture

    def _texture(self, kind: str, person: Person) -> moderngl.Texture:
        data = self.assets / "data"
        key = (
            kind,
            {"eye": person.eyes, "hair": person.hair, "brow": person.brow, "lash": person.lashes}.get(
                kind, repr(person)
            ),
        )
        if key in self.textures:
            return self.textures[key]
        if kind in ("albedo", "masks"):
            maps: SkinMaps = bake_skin(self.assets, person)
            self.textures["albedo", repr(person)] = self._upload(maps.albedo)
            self.textures["masks", repr(person)] = self._upload(maps.masks)
            return self.textures[key]
        if kind == "eye":
            image = linear_eye(self.assets, person.eyes)
        elif kind == "hair":
            image = read_rgba(next((data / "hair" / person.hair).glob("*_diffuse.png")))
            self.hair_means[person.hair] = mean_luminance(image)
        else:
            paths = {
                "teeth": "teeth/materials/teeth.png",
                "tongue": "tongue/tongue01/tongue01_diffuse.png",
                "brow": f"eyebrows/eyebrow{person.brow}/eyebrow{person.brow}.png",
                "lash": f"eyelashes/eyelashes{person.lashes}/eyelashes{person.lashes}.png",
            }
            image = read_rgba(data / paths[kind])
        self.textures[key] = self._upload(image)
        return self.textures[key]

    def layers(
        self,
        actors: list[Actor],
        lighting: Lighting,
        camera: Camera,
        size_wh: tuple[int, int],
        passes: int,
        rays: int = 96,
    ) -> Layers:
        """Render people over nothing; `rays` is the number of directions of the surrounding light."""
        parts: list[tuple[Person, Surface]] = []
        for actor in actors:
            surfaces, _ = self.model.pose(actor.person, actor.pose)
            parts += [(actor.person, _moved(s, actor.offset)) for s in surfaces]
        points = np.concatenate([s.vertices for p, s in parts])
        centre = np.array(camera.target)
        radius = min(float(np.abs(points - centre).max()), 5.5)
        drawn = [_Drawn(self, person, surface) for person, surface in parts]
        self._light_vertices(drawn, lighting, centre, radius, rays)
        size = size_wh
        colours = [self.context.texture(size, 4, dtype="f4") for _ in range(3)]
        target = self.context.framebuffer(colours, self.context.depth_renderbuffer(size))
        sums = [np.zeros((size[1], size[0], 4), np.float32) for _ in range(3)]
        self._set_lights(lighting, camera)
        keys = lighting.key_samples(passes)
        for k in range(passes):
            toward = _light_matrix(keys[k], centre, radius)
            self._draw_shadows(drawn, toward, k)
            jitter = _halton(k + 1, 2) - 0.5, _halton(k + 1, 3) - 0.5
            _set(self.main, "shadow_matrix", toward)
            camera_matrix = camera.matrix(size, (jitter[0] * 1.2, jitter[1] * 1.2))
            _set(self.main, "view_projection", camera_matrix)
            self.main["key_direction"] = tuple(keys[k])
            _put(self.main, "pass_number", float(k))
            target.use()
            target.clear(0, 0, 0, 0)
            self.context.enable(moderngl.DEPTH_TEST)
            self._draw_pass(drawn, camera_matrix, target)
            for total, texture in zip(sums, colours, strict=True):
                values = np.frombuffer(texture.read(), np.float32).reshape(total.shape)
                total += np.nan_to_num(values, posinf=0.0, neginf=0.0)  # a degenerate triangle has no normal
        for item in (*colours, target, *drawn):
            item.release()
        return Layers(*(total[::-1] / passes for total in sums))

    def _set_lights(self, lighting: Lighting, camera: Camera) -> None:
        main, centre = self.main, lighting.key_direction
        side = np.cross([0, 1, 0], centre)
        side /= np.linalg.norm(side)
        values = {
            "camera": camera.position,
            "key_colour": lighting.key,
            "key_centre": centre,
            "key_side": side,
            "key_up": np.cross(centre, side),
            "sky": lighting.sky,
            "ground": lighting.ground,
        }
        for name, value in values.items():
            main[name] = tuple(float(x) for x in value)
        main["key_tangent"] = float(np.tan(np.radians(lighting.key_size)))
        main["harmonics"].write(lighting.harmonics().astype("f4").tobytes())
        shapes = np.zeros((6, 4), "f4")
        colours = np.zeros((6, 3), "f4")
        for i, lamp in enumerate(lighting.lamps):
            shapes[i], colours[i] = [*lamp.direction, lamp.sharpness], lamp.radiance
        main["lamp_count"] = len(lighting.lamps)
        main["lamp_shape"].write(shapes.tobytes())
        main["lamp_colour"].write(colours.tobytes())
        main["colour_map"], main["mask_map"], main["shadow_map"] = 0, 1, 2

    def _draw_shadows(self, drawn: list[_Drawn], matrix: np.ndarray, number: int) -> None:
        self.shadow_target.use()
        self.shadow_target.clear(depth=1.0)
        self.context.enable(moderngl.DEPTH_TEST)
        _set(self.depth, "view_projection", matrix)
        _put(self.depth, "pass_number", float(number))
        for item in drawn:
            if item.surface.material in CASTERS:
                item.draw_depth()

    def _draw_pass(self, drawn: list[_Drawn], matrix: np.ndarray, target: moderngl.Framebuffer) -> None:
        """Depth first, so that the costly shader runs once a pixel; then colour; then what only adds light."""
        self.shadow.use(2)
        solid = [item for item in drawn if item.surface.material != "lens"]
        _set(self.depth, "view_projection", matrix)
        _put(self.depth, "skin_front_only", 1)
        for item in solid:
            item.draw_depth()
        _put(self.depth, "skin_front_only", 0)
        self.context.depth_func = "=="
        for item in solid:
            item.draw()
        self.context.depth_func = "<="
        target.depth_mask = False
        self.context.enable(moderngl.BLEND)
        self.context.blend_func = moderngl.ONE, moderngl.ONE
        for item in drawn:
            if item.surface.material == "eye":
                item.draw(cornea=True)
            elif item.surface.material == "lens":
                item.draw()
        self.context.disable(moderngl.BLEND)
        self.context.depth_func = "<"
        target.depth_mask = True

    def _light_vertices(
        self, drawn: list[_Drawn], lighting: Lighting, centre: np.ndarray, radius: float, rays: int
    ) -> None:
        """Irradiance / pi of each vertex from the surrounding light, with shadows, and how open the vertex is."""
        size = 512
        texture = self.context.depth_texture((size, size))
        texture.compare_func = ""
        target = self.context.framebuffer(depth_attachment=texture)
        self.shadow_target, kept = target, self.shadow_target
        directions = sphere(rays)
        radiance = lighting.radiance(directions)
        totals = [np.zeros((len(d.surface.vertices), 4)) for d in drawn]
        norms = [np.zeros(len(d.surface.vertices)) for d in drawn]
        for k, toward in enumerate(directions):
            matrix = _light_matrix(toward, centre, radius)
            self._draw_shadows(drawn, matrix, k)
            depth = np.frombuffer(texture.read(), np.float32).reshape(size, size)
            for d, total, norm in zip(drawn, totals, norms, strict=True):
                cosine = np.maximum(d.light_normals @ toward, 0)
                seen = _visible(d.surface.vertices + d.light_normals * d.bias, matrix, depth) * cosine
                total[:, :3] += seen[:, None] * radiance[k] * 4 / rays
                total[:, 3] += seen
                norm += cosine
        self.shadow_target = kept
        coefficients = lighting.harmonics()
        for d, total, norm in zip(drawn, totals, norms, strict=True):
            total[:, 3] /= np.maximum(norm, 1e-6)
            open_sky = np.maximum(harmonic_basis(d.light_normals) @ coefficients, 0.01)
            lost = (1 - total[:, 3:]) * open_sky
            total[:, :3] += lost * d.bounce
            d.upload(total)
        target.release()
        texture.release()


class _Drawn:
    """A surface's buffers on the device."""

    def __init__(self, renderer: Renderer, person: Person, surface: Surface) -> None:
        self.renderer, self.person, self.surface = renderer, person, surface
        material = surface.material
        self.bounce = np.array(person.skin_colour) * (0.45 if material in ("skin", "eye", "teeth", "tongue") else 0.2)
        self.bias = {"hair": 0.10, "eye": 0.05, "brow": 0.06, "lash": 0.06}.get(material, 0.035)
        self.light_normals = surface.normals
        if material in ("hair", "brow", "lash"):
            outward = surface.vertices - np.array([*surface.vertices.mean(0)[:2], surface.vertices[:, 2].mean() - 0.3])
            outward /= np.linalg.norm(outward, axis=1, keepdims=True)
            self.light_normals = outward if material == "hair" else np.tile([0.0, 0, 1], (len(outward), 1))
        self.buffer = renderer.context.buffer(reserve=len(surface.vertices) * 17 * 4)
        index = renderer.context.buffer(surface.triangles.astype("i4").tobytes())
        layout = "3f 3f 2f 3f 4f 2f"
        names = ("in_position", "in_normal", "in_uv", "in_place", "in_light", "in_extra")
        self.arrays = []
        for program in (renderer.main, renderer.depth):
            used = [n if n in program else None for n in names]
            parts = [f"{f}" if n else f"{int(f[0]) * 4}x" for n, f in zip(used, layout.split(), strict=True)]
            content = (self.buffer, " ".join(parts), *[n for n in used if n])
            self.arrays.append(renderer.context.vertex_array(program, [content], index))
        self.index = index
        self.upload(np.zeros((len(surface.vertices), 4)))

    def upload(self, light: np.ndarray) -> None:
        s = self.surface
        rows = np.concatenate([s.vertices, s.normals, s.uvs, s.places, light, s.extra], 1)
        self.buffer.write(rows.astype("f4").tobytes())

    def _bind(self, program: moderngl.Program, material: int) -> None:
        person, renderer, name = self.person, self.renderer, self.surface.material
        plain = name in ("shirt", "frame", "lens")
        texture = renderer.blank if plain else renderer._texture("albedo" if name == "skin" else name, person)
        texture.use(0)
        alpha = {"brow": person.brow_strength, "lash": person.lash_strength}.get(name, 1.0)
        hair = np.array(person.hair_colour)
        tints = {
            "hair": hair,
            "brow": hair * 0.45,
            "lash": hair * 0.12,
            "shirt": person.shirt,
            "teeth": (1.3, 1.24, 1.12),
        }
        tint = tints.get(name, (0.02, 0.018, 0.016) if name == "frame" else (1.0, 1.0, 1.0))
        values = {
            "material": material,
            "neckline": person.neckline,
            "hair_end": person.hair_end,
            "hair_gloss": person.hair_gloss,
            "alpha_scale": alpha,
            "tint": tuple(float(x) for x in tint),
            "hair_tint": tuple(float(x) for x in hair),
            "stubble": person.stubble,
            "hair_mean": renderer.hair_means.get(person.hair, 1.0),
        }
        for key, value in values.items():
            _put(program, key, value)
        if name == "skin" and program is renderer.main:
            renderer._texture("masks", person).use(1)

    def draw(self, *, cornea: bool = False) -> None:
        self._bind(self.renderer.main, 2 if cornea else MATERIALS[self.surface.material])
        self.arrays[0].render()

    def draw_depth(self) -> None:
        self._bind(self.renderer.depth, MATERIALS[self.surface.material])
        self.arrays[1].render()

    def release(self) -> None:
        for item in (*self.arrays, self.buffer, self.index):
            item.release()


def _moved(surface: Surface, offset: tuple[float, float, float]) -> Surface:
    return replace(surface, vertices=surface.vertices + np.array(offset))


def _set(program: moderngl.Program, name: str, matrix: np.ndarray) -> None:
    program[name].write(np.ascontiguousarray(matrix.T).astype("f4").tobytes())


def _put(program: moderngl.Program, name: str, value: object) -> None:
    if name in program:
        program[name] = value


def _light_matrix(toward: np.ndarray, centre: np.ndarray, radius: float) -> np.ndarray:
    """Parallel projection along a light, -1..1 over a ball around the scene."""
    side = np.cross([0, 1, 0.001], toward)
    side /= np.linalg.norm(side)
    rows = np.stack([side, np.cross(toward, side), -toward]) / radius
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rows, -rows @ centre
    return out


def _visible(points: np.ndarray, matrix: np.ndarray, depth: np.ndarray) -> np.ndarray:
    p = (points @ matrix[:3, :3].T + matrix[:3, 3]) * 0.5 + 0.5
    size = depth.shape[0]
    xy = np.clip(p[:, :2] * size - 0.5, 0, size - 2).astype(int)
    out = np.zeros(len(points))
    for dx, dy in ((0, 0), (1, 0), (0, 1), (1, 1)):
        out += (p[:, 2] - 0.002 < depth[xy[:, 1] + dy, xy[:, 0] + dx]) * 0.25
    return out


def _halton(index: int, base: int) -> float:
    out, fraction = 0.0, 1.0
    while index:
        fraction /= base
        out += fraction * (index % base)
        index //= base
    return out
