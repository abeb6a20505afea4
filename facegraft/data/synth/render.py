"""People in scenes to pictures with exact labels, in batches, on the CPU or a GPU.

    renderer = Renderer(assets, size_px=128)
    pictures = renderer.render(people, scenes)            # person k in scene k
    answers = renderer.truth(identities, attributes, scenes, "inner")

A scene knows nothing of the person, so two people in one scene share every pixel that is not theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from facegraft.data.camera import apply_post, reach_px
from facegraft.data.framing import points5_of
from facegraft.data.synth.background import background_bank, backgrounds
from facegraft.data.synth.body import Body, Posed
from facegraft.data.synth.cast import Actor, Cast
from facegraft.data.synth.dress import Dresser
from facegraft.data.synth.illumination import Illumination
from facegraft.data.synth.labels import Labels, make_labels
from facegraft.data.synth.light import Environments, environments, light_bank
from facegraft.data.synth.paint import Painter, Samples
from facegraft.data.synth.people import Person
from facegraft.data.synth.perform import motion_of
from facegraft.data.synth.scene import FACE_HEIGHT_DM, Scene
from facegraft.data.synth.skin import SkinBaker
from facegraft.data.synth.uvspace import UvSpace
from facegraft.data.synth.view import View, make_view
from facegraft.faces.align import alignment

OVERSAMPLING = 2
BACKGROUNDS = 48
USUAL_SCALE = 0.6
"""Of cameras: which size of a face textures are prepared for."""
TRUTHS = ("inner", "inner_recoloured", "head")


@dataclass(frozen=True)
class Rendered:
    """A batch of pictures; `labels` is None where nobody asked."""

    image: UInt8[Tensor, "b 3 h w"]
    labels: Labels | None


@dataclass(frozen=True)
class Swaps:
    """Attribute pictures and, by kind, the right answers of swaps onto them."""

    pictures: Rendered
    truths: dict[str, Rendered]


@dataclass(frozen=True)
class Shot:
    """One batch before the camera develops it: linear light, and what every sample shows."""

    linear: Float[Tensor, "b 3 h w"]
    samples: Samples
    posed: Posed
    view: View
    light: Environments


class Renderer:
    """Assets read once; keeps the people it has baked.

    Args:
        assets: Folder of MakeHuman's assets, see `facegraft data assets`.
        size_px: Width and height of the pictures.
        device: Where to render.
        backgrounds: Folders of photographs; None draws rooms and streets.
        environments: Folder of .hdr files; None: lamps and gradients.
        template: Of faces/align.py: pictures show what a crop by it would, without one; "": what the scene's camera
            sees.
        keep_people: Baked people held in memory (about 2 MB each at 128 px, 8 MB at 256 px).
        chunk: Pictures rendered at a time.
    """

    def __init__(
        self,
        assets: Path,
        size_px: int,
        *,
        device: torch.device | str = "cpu",
        backgrounds: Path | Sequence[Path] | None = None,
        environments: Path | None = None,
        template: str = "",
        keep_people: int = 64,
        chunk: int | None = None,
    ) -> None:
        self.size, self.device, self.template = size_px, torch.device(device), template
        self.chunk = chunk or (4 if self.device.type == "cpu" else 64)
        self.body = Body(assets, self.device)
        scale = 0.25 if size_px <= 96 else 0.5 if size_px <= 320 else 1.0
        self.space = UvSpace(self.body, assets, scale)
        self.baker = SkinBaker(assets, scale)
        self.cast = Cast(self.body, self.space, self.baker, max(keep_people, 3 * self.chunk))
        detail = size_px * OVERSAMPLING * USUAL_SCALE / FACE_HEIGHT_DM
        self.dresser = Dresser(assets, self.body, 256 if size_px <= 192 else 512, detail)
        self.painter = Painter(self.body, self.space, self.cast, self.dresser, self.baker)
        self.illumination = Illumination(self.device)
        self.bank = light_bank(environments)
        self.backdrops = background_bank(backgrounds, BACKGROUNDS, max(size_px, 128), seed=0).to(self.device)

    def render(self, people: Sequence[Person], scenes: Sequence[Scene], *, labels: bool = True) -> Rendered:
        """Person k in scene k."""
        return self.play([self.cast.actor(person) for person in people], scenes, labels=labels)

    def truth(
        self, identities: Sequence[Person], attributes: Sequence[Person], scenes: Sequence[Scene], kind: str = "inner"
    ) -> Rendered:
        """The right answer of swapping identity k onto the picture of attribute k in scene k; see `swap`."""
        return self.swap(identities, attributes, scenes, (kind,)).truths[kind]

    def swap(
        self,
        identities: Sequence[Person],
        attributes: Sequence[Person],
        scenes: Sequence[Scene],
        kinds: Sequence[str] = TRUTHS,
    ) -> Swaps:
        """The attribute pictures and the right answers of swapping the identities onto them.

        Where nothing of the swap shows, an answer equals its attribute picture bit for bit, labels included.

        Args:
            identities: Who shall be seen.
            attributes: Who was photographed.
            scenes: The attribute pictures' scenes.
            kinds: "inner": the identity's face shape, features, brows and skin within the attribute's outline, ears,
                neck and beard; "inner_recoloured": the same in the attribute's mean skin colour; "head": all of the
                identity but hair, which is the scene's.

        Raises:
            ValueError: An unknown kind, or lists of different lengths.
        """
        unknown = set(kinds) - set(TRUTHS)
        if unknown or not len(identities) == len(attributes) == len(scenes):
            raise ValueError(f"expected kinds of {TRUTHS} and lists of one length, found {kinds}")
        pictures: list[Rendered] = []
        answers: dict[str, list[Rendered]] = {kind: [] for kind in kinds}
        for i in range(0, len(scenes), self.chunk):
            part = slice(i, i + self.chunk)
            who, on, there = identities[part], attributes[part], scenes[part]
            base = self.shoot([self.cast.actor(person) for person in on], there)
            pictures.append(self._finish(base, there))
            for kind in kinds:
                shot = self.shoot([self.actor_of(a, b, kind) for a, b in zip(who, on, strict=True)], there, base.view)
                answers[kind].append(self._answer(base, pictures[-1], shot, there, whole=kind == "head"))
        return Swaps(join(pictures), {kind: join(parts) for kind, parts in answers.items()})

    @torch.no_grad()
    def _answer(self, base: Shot, picture: Rendered, shot: Shot, scenes: Sequence[Scene], *, whole: bool) -> Rendered:
        """Keeps the attribute picture where the swap does not show: else a nose would still shade a shoulder."""
        here, there = ((s.samples.own if whole else s.samples.inner) for s in (base, shot))
        concerned = pooled((here | there).float()[:, None]) > 0
        linear = torch.where(concerned, shot.linear, base.linear)
        image = self.develop(linear, scenes, stray=base.linear)
        reach = [reach_px(scene.post, self.size, shared_glow=True) for scene in scenes]
        near = torch.stack([grown(one, by) for one, by in zip(concerned, reach, strict=True)])
        image = torch.where(near, image, picture.image)
        labels, before = self._labels(shot, scenes), picture.labels
        return Rendered(image, labels if before is None else labels.only_where(concerned[:, 0], before))

    def actor_of(self, identity: Person, attribute: Person, kind: str) -> Actor:
        if kind == "head":
            return self.cast.actor(identity)
        return self.cast.inner_face(identity, attribute, recoloured=kind == "inner_recoloured")

    def play(self, actors: Sequence[Actor], scenes: Sequence[Scene], *, labels: bool = True) -> Rendered:
        """Baked people in scenes."""
        if len(actors) != len(scenes) or not actors:
            raise ValueError(f"expected as many scenes as people, at least one; found {len(actors)} and {len(scenes)}")
        parts = [
            self._finish(
                self.shoot(actors[i : i + self.chunk], scenes[i : i + self.chunk]),
                scenes[i : i + self.chunk],
                labels=labels,
            )
            for i in range(0, len(actors), self.chunk)
        ]
        return join(parts)

    @torch.no_grad()
    def _finish(self, shot: Shot, scenes: Sequence[Scene], *, labels: bool = True) -> Rendered:
        image = self.develop(shot.linear, scenes)
        return Rendered(image, self._labels(shot, scenes) if labels else None)

    def _labels(self, shot: Shot, scenes: Sequence[Scene]) -> Labels:
        return make_labels(shot.samples, shot.posed, shot.view, shot.light, self.dresser, scenes, self.size)

    def develop(
        self, linear: Float[Tensor, "b 3 h w"], scenes: Sequence[Scene], stray: Float[Tensor, "b 3 h w"] | None = None
    ) -> UInt8[Tensor, "b 3 h w"]:
        """What the scenes' cameras make of linear light; `stray`: whose light glows."""
        srgb = apply_post(linear, [scene.post for scene in scenes], stray)
        return (srgb * 255).round().clamp(0, 255).to(torch.uint8)

    @torch.no_grad()
    def shoot(self, actors: Sequence[Actor], scenes: Sequence[Scene], view: View | None = None) -> Shot:
        """Linear light of one chunk; `view`: of another shot, which shows its faces just there."""
        around = environments([s.light for s in scenes], self.bank, self.device)
        lights = self.illumination.prepare(around)
        neutral = torch.stack([actor.neutral for actor in actors])
        race = torch.stack([actor.race for actor in actors])
        posed = self.body.pose(neutral, race, motion_of(scenes, self.body))
        view = view or self._view(posed, scenes)
        soup = self.dresser.dress(actors, scenes, posed)
        samples = self.painter.paint(soup, posed, actors, scenes, lights, view, self.size * OVERSAMPLING)
        behind = backgrounds([s.background for s in scenes], self.backdrops, self.size, self.device, light=around)
        light, cover = pooled(samples.light), pooled(samples.cover[:, None])
        return Shot(light + behind * (1 - cover), samples, posed, view, around)

    def _view(self, posed: Posed, scenes: Sequence[Scene]) -> View:
        view = make_view([s.camera for s in scenes], self.device)
        if not self.template:
            return view
        meshes = view.project(self.dresser.dense_points(posed), self.size).cpu().numpy()
        matrices = [alignment(points5_of(mesh), self.template, self.size) for mesh in meshes]
        return view.moved(torch.from_numpy(np.stack(matrices)).to(self.device), self.size)


def pooled(samples: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c g v"]:
    """Means of the samples of each pixel."""
    return F.avg_pool2d(samples, OVERSAMPLING)


def grown(mask: Bool[Tensor, "1 h w"], by: int) -> Bool[Tensor, "1 h w"]:
    """Everything within `by` pixels of the mask, along rows and columns."""
    return F.max_pool2d(mask[None].float(), 2 * by + 1, stride=1, padding=by)[0] > 0


def join(parts: Sequence[Rendered]) -> Rendered:
    """One batch of several."""
    made = [part.labels for part in parts if part.labels is not None]
    return Rendered(torch.cat([p.image for p in parts]), Labels.join(made) if made else None)
