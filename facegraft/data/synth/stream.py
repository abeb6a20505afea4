"""Rendering on the fly: an endless sequence of swaps with their right answers, made where training runs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.core.errors import BadInputError
from facegraft.data.synth.labels import Labels
from facegraft.data.synth.people import Person, sample_person
from facegraft.data.synth.render import TRUTHS, Rendered, Renderer
from facegraft.data.synth.scene import STRATA, Scene, sample_scene
from facegraft.data.synth_plan import person_seed
from facegraft.tensors import Aligned, SwapBatch


@dataclass(frozen=True)
class StreamOptions:
    """What is rendered.

    Raises:
        BadInputError: An option is outside its range.

    Attributes:
        people: How many take part.
        people_seed: Says who: the people of `facegraft synth --seed` of this number, and so never those of a
            benchmark set. Beside a rendered dataset take another number than its seed.
        dial: 0 ordinary .. 1 extreme people.
        stratum: Of the attribute pictures; identity pictures are always "ordinary".
        truth: Which right answer: "inner", "inner_recoloured" or "head".
        same_share: Share of pairs whose identity picture shows the attribute's person: the answer is the picture.
        exact_share: Share of the other pairs that get a rendered answer; the rest get none and cost a third less.
        together: How many may meet at one time. Making a person ready takes as long as two pictures, so a few are
            kept, and as pairs go by the next ones take their places.
        meetings: In how many pairs a person is seen before, in the mean.
    """

    people: int = 1000
    people_seed: int = 0
    dial: float = 0.35
    stratum: str = "mixed"
    truth: str = "inner"
    same_share: float = 0.2
    exact_share: float = 1.0
    together: int = 32
    meetings: int = 8

    def __post_init__(self) -> None:
        for name, least in (("people", 2), ("together", 2), ("meetings", 1), ("people_seed", 0)):
            if getattr(self, name) < least:
                raise BadInputError(f"rendered pairs: {name}: expected {least} or more, found {getattr(self, name)}")
        for name in ("dial", "same_share", "exact_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise BadInputError(f"rendered pairs: {name}: expected 0 to 1, found {getattr(self, name)}")
        if self.truth not in TRUTHS or self.stratum not in STRATA:
            raise BadInputError(
                f"rendered pairs: expected a truth of {', '.join(TRUTHS)} and a stratum of {', '.join(STRATA)}, "
                f"found {self.truth!r} and {self.stratum!r}"
            )
        person_seed(self.people_seed, self.people - 1)  # tells at once whether the last one may be shown


@dataclass(frozen=True)
class _Draw:
    """One pair, decided."""

    identity: int
    attribute: int
    scenes: tuple[int, int]
    exact: bool


class RenderedPairs:
    """A `data.loader.BatchMaker`: pair n of a seed is the same whatever the batches are."""

    def __init__(self, renderer: Renderer, options: StreamOptions) -> None:
        self.renderer, self.options = renderer, options

    def batch(self, seed: int, images_seen: int, size: int) -> SwapBatch:
        """Pairs `images_seen` up to `images_seen + size`, on the renderer's device."""
        draws = [self.draw(seed, images_seen + n) for n in range(size)]
        people = {n: self._person(n) for draw in draws for n in (draw.identity, draw.attribute)}
        identities = [people[d.identity] for d in draws]
        attributes = [people[d.attribute] for d in draws]
        there = [sample_scene(d.scenes[1], self.options.stratum) for d in draws]
        who = self.renderer.render(identities, [sample_scene(d.scenes[0], "ordinary") for d in draws])
        shown, truth, known = self._answers(draws, identities, attributes, there)
        device = shown.image.device
        numbers = torch.tensor([[d.identity, d.attribute] for d in draws], device=device)
        picture = as_aligned(shown)
        changed = (truth != shown.image).any(1, keepdim=True).float()
        return SwapBatch(
            identity=as_aligned(who),
            attribute=picture,
            truth=as_images(truth) * known[:, None, None, None],
            has_truth=known,
            changed=changed * known[:, None, None, None],
            identity_person=numbers[:, 0],
            attribute_person=numbers[:, 1],
        )

    def draw(self, seed: int, number: int) -> _Draw:
        """Who meets whom, and where; a pure function of its arguments."""
        rng = np.random.default_rng((seed, number, 0x5EED))
        options = self.options
        present = min(options.together, options.people)
        shown = int(rng.integers(present))
        other = (shown + 1 + int(rng.integers(present - 1))) % present
        longest = 2 * number // options.meetings  # whoever of those present has been there longest
        attribute, identity = ((longest + place) % options.people for place in (shown, other))
        same, exact = rng.random() < options.same_share, rng.random() < options.exact_share
        first, second = (int(s) for s in rng.integers(2**31, size=2))
        return _Draw(attribute if same else identity, attribute, (first, second), bool(same or exact))

    def _person(self, number: int) -> Person:
        return sample_person(person_seed(self.options.people_seed, number), self.options.dial)

    def _answers(
        self, draws: list[_Draw], identities: list[Person], attributes: list[Person], scenes: list[Scene]
    ) -> tuple[Rendered, Tensor, Tensor]:
        """Attribute pictures, answers (the picture itself where none is rendered), and which are right."""
        exact = [n for n, d in enumerate(draws) if d.exact and d.identity != d.attribute]
        plain = [n for n in range(len(draws)) if n not in exact]
        shown: dict[int, Rendered] = {}
        answers: dict[int, Tensor] = {}
        if exact:
            who, on = [identities[n] for n in exact], [attributes[n] for n in exact]
            made = self.renderer.swap(who, on, [scenes[n] for n in exact], (self.options.truth,))
            for row, n in enumerate(exact):
                shown[n], answers[n] = one(made.pictures, row), made.truths[self.options.truth].image[row]
        if plain:
            pictures = self.renderer.render([attributes[n] for n in plain], [scenes[n] for n in plain])
            for row, n in enumerate(plain):
                shown[n], answers[n] = one(pictures, row), pictures.image[row]
        known = torch.tensor([d.exact for d in draws], device=self.renderer.device)
        order = range(len(draws))
        labels = Labels.join([part for n in order if (part := shown[n].labels) is not None])
        image = torch.cat([shown[n].image for n in order])
        return Rendered(image, labels), torch.stack([answers[n] for n in order]), known


def one(batch: Rendered, row: int) -> Rendered:
    """One picture of a batch."""
    labels = batch.labels
    return Rendered(batch.image[row : row + 1], None if labels is None else labels.row(row))


def as_images(pictures: Tensor) -> Float[Tensor, "b 3 h w"]:
    return pictures.float() / 127.5 - 1


def as_aligned(rendered: Rendered) -> Aligned:
    """Pictures with every label that training may ask for."""
    labels = rendered.labels
    if labels is None:
        raise ValueError("expected pictures with labels, found none")
    return Aligned(
        image=as_images(rendered.image),
        mask=labels.inner[:, None],
        regions=labels.regions,
        occluder=labels.occluder[:, None],
        landmarks=labels.landmarks68[..., :2],
        iris=labels.iris[..., :2],
        dense=labels.dense[..., :2],
        pose_degrees=labels.pose_degrees,
        gaze_degrees=labels.gaze_degrees,
    )
