"""Learns who a face shows, from people with several pictures each; the network is frozen/identity.py.

Rendered people and photographs, by person, are told apart by an adaptive margin over all of them (AdaFace) and by
contrast within the batch. Part of a batch are composites: the inner face of one person in the head of another of the
same batch, labelled by the inner face (BlendFace), so that hair, outline and background tell nothing.

Two versions by config. Clean: no recognition teacher. Taught (`data.teacher`): instead of the margin the network must
say what a teacher says of the picture before it was worn (through a matrix, which is thrown away) and agree with it
about who is like whom. A composite's answer is that of the picture that gave the inner face. With `data.views` the
teacher sees each crop as it was moved, bent and mixed, and the network also guesses the teacher's maps.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from facegraft.core.config import fill
from facegraft.core.errors import BadInputError
from facegraft.core.types import Frame
from facegraft.data.cutouts import Cutout
from facegraft.frozen.identity import SIZE_PX, Identity, IdentityConfig
from facegraft.losses.distil import answer_loss, map_loss, relation_loss
from facegraft.losses.margin import adaptive_margins, margin_loss, supervised_contrast
from facegraft.tensors import Scalar
from facegraft.train.eyes.composites import choose_partners, composite, usable_for_composites
from facegraft.train.eyes.crops import Matrices, cut, flipped, mirror_points, move_points
from facegraft.train.eyes.face_wear import Wear, load_cutouts, paste_occluders, wear
from facegraft.train.eyes.identity_data import IdentityData
from facegraft.train.eyes.identity_head import Head
from facegraft.train.eyes.identity_teacher import WatchedTeacher, teacher_answers
from facegraft.train.eyes.identity_views import bent, bent_points, draw_bend, draw_mix, mixed
from facegraft.train.eyes.morphs import morphed
from facegraft.train.eyes.people import MARGIN_PX, STORE_PX, joined, load_people, others_of, pairs_of
from facegraft.train.eyes.verification import tar_at_far, verify
from facegraft.train.eyes.warm_start import warm_start
from facegraft.train.preview import enlarged, frames_from_unit, sheet
from facegraft.train.recipe import to_device

logger = logging.getLogger(__name__)

FEWEST_PAIRS = 10
MOST_COMPOSITES = 500
FOLDS = 5
EDGE_PX = (1.5, 5.0)
_PREVIEW_PEOPLE = 8


@dataclass(frozen=True)
class IdentityBatch:
    """Crops and who they show: of composites, whose inner face.

    Attributes:
        crops: RGB 0..1.
        labels: Of people; with views, of whom they were before they were bent and mixed.
        answers: Of the teacher, or None.
        maps: Of the teacher, at `identity_teacher.MAP_SIDES`; empty without views.
        composed: With maps: whose are not to be guessed, as the teacher did not see the head around the inner face.
    """

    crops: Float[Tensor, "b 3 112 112"]
    labels: Int64[Tensor, "b"]
    answers: Float[Tensor, "b t"] | None
    maps: tuple[Tensor, ...] = ()
    composed: Bool[Tensor, "b"] | None = None


@dataclass(frozen=True)
class Drawn:
    """Faces of a batch before they are worn, in the store's size.

    Attributes:
        images: RGB 0..1.
        landmarks: Of the picture that gave the inner face.
        rows: Of the store: the pictures that gave the inner faces.
        heads: The pictures that gave the rest; equal to `rows` where nothing was composed.
    """

    images: Float[Tensor, "b 3 s s"]
    landmarks: Float[Tensor, "b 68 2"]
    rows: Int64[Tensor, "b"]
    heads: Int64[Tensor, "b"]


class IdentityRecipe:
    """See train/recipe.py."""

    input_names = ("crop",)
    output_names = ("embedding", "map")
    dynamic_axes: Mapping[str, Mapping[int, str]] = {"crop": {0: "b"}}

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.data = data = fill(IdentityData, config.get("data", {}), "data")
        self.device = device
        self._net = self.build(config.get("model", {})).to(device)
        train, self.val = load_people(
            [Path(path) for path in data.renders],
            [Path(path) for path in data.real],
            cache=data.cache,
            val_share=data.val_share,
            seed=int(config.get("seed", 0)),
        )
        known, parts = len(train.names), [train]
        if data.morphs:
            parts.append(morphed(train, data.morphs, int(config.get("seed", 0))))
            train = joined(parts)
        self._teacher = WatchedTeacher(Path(data.teacher), threads=torch.get_num_threads()) if data.views else None
        if data.teacher and not data.views:
            answers = [teacher_answers(part, Path(data.teacher), Path(data.answers)) for part in parts]
            train = dataclasses.replace(train, answers=torch.cat(answers))
        self.train = train.to(device)
        self._check()
        self._head = self._new_head(0 if train.answers is None else int(train.answers.shape[1])).to(device)
        self._cutouts: tuple[Cutout, ...] = load_cutouts(Path(data.occluders)) if data.occluders else ()
        self._usable = torch.cat(
            [
                usable_for_composites(part, pose)
                for part, pose in zip(torch.split(train.inner, 512), torch.split(train.pose, 512), strict=True)
            ]
        )
        self._wear = Wear()
        real, morph = self.train.real, self.train.labels >= known
        self._pools = self._pool(~real), self._pool(real & ~morph), self._pool(morph)
        if data.start:
            warm_start(
                self._net, Path(data.start), self.batch(torch.Generator().manual_seed(0), data.start_crops).crops
            )

    @staticmethod
    def build(model: Mapping[str, Any]) -> Identity:
        return Identity(fill(IdentityConfig, model, "model"))

    @staticmethod
    def example() -> tuple[Tensor, ...]:
        return (torch.rand((1, 3, SIZE_PX, SIZE_PX), generator=torch.Generator().manual_seed(0)),)

    @property
    def net(self) -> Identity:
        return self._net

    @property
    def head(self) -> Head:
        return self._head

    @property
    def loss_names(self) -> frozenset[str]:
        if self.data.views:
            return frozenset({"answer", "relation", "maps"})
        return frozenset({"contrast", "answer", "relation"} if self.data.teacher else {"contrast", "margin"})

    def batch(self, generator: torch.Generator, count: int) -> IdentityBatch:
        drawn = self.draw(generator, self.draw_rows(generator, count))
        matrix, flip = self._moves(generator, len(drawn.rows))
        crops = cut(drawn.images, matrix.to(drawn.images), SIZE_PX)
        landmarks = mirror_points(move_points(drawn.landmarks, matrix), flip)
        if self._teacher is not None:
            return self._viewed(self._teacher, generator, drawn, matrix, crops, landmarks)
        answers = None if self.train.answers is None else self.train.answers[drawn.rows]
        made = IdentityBatch(self._worn(generator, crops, landmarks), self.train.labels[drawn.rows], answers)
        return to_device(made, self.device)

    def _viewed(
        self,
        teacher: WatchedTeacher,
        generator: torch.Generator,
        drawn: Drawn,
        matrix: Matrices,
        crops: Tensor,
        landmarks: Tensor,
    ) -> IdentityBatch:
        """Crops bent and mixed, and what the teacher says of them without other heads, things and wear."""
        bend = draw_bend(generator, len(crops), self.data.bend_px)
        other, share = draw_mix(generator, len(crops), self.data.mix_share)
        bare = cut(self.train.images[drawn.rows.to(self.device)], matrix.to(crops), SIZE_PX)
        seen = teacher(mixed(bent(bare, bend), other, share))
        crops = mixed(self._worn(generator, bent(crops, bend), bent_points(landmarks, bend)), other, share)
        composed = drawn.heads != drawn.rows
        composed = composed | composed[other] & (share > 0)
        made = IdentityBatch(crops, self.train.labels[drawn.rows], seen.answers, seen.maps, composed)
        return to_device(made, self.device)

    def _worn(self, generator: torch.Generator, crops: Tensor, landmarks: Tensor) -> Tensor:
        """Crops behind things, as a worse camera would have stored them."""
        share = self.data.occluded_share
        pasted = paste_occluders(crops, landmarks, generator, share=share, cutouts=self._cutouts)
        return wear(pasted.images, self._wear, generator)

    def draw_rows(self, generator: torch.Generator, count: int) -> Int64[Tensor, "b"]:
        """Rows of the store: people, each `pictures_per_person` times; those with more pictures come more often."""
        each = self.data.pictures_per_person
        people = -(-count // each)
        chosen: list[int] = []
        for pool, weights, wanted in self._shares(people):
            picked = torch.multinomial(weights, wanted, replacement=wanted > len(pool), generator=generator)
            chosen += pool[picked].tolist()
        rows = [_some(self.train.rows_of[person], each, generator) for person in chosen]
        return torch.cat(rows)[:count]

    def draw(self, generator: torch.Generator, rows: Int64[Tensor, "b"]) -> Drawn:
        """The pictures of these rows, a share of them as composites with the heads of others."""
        train, device = self.train, self.device
        images = train.images[rows.to(device)].float() / 255
        wanted = torch.rand(len(rows), generator=generator) < self.data.composite_share
        partner = choose_partners(train.pose[rows], train.labels[rows], self._usable[rows], generator)
        colour_share = 0.5 + 0.5 * torch.rand(len(rows), generator=generator)
        edge_px = EDGE_PX[0] + (EDGE_PX[1] - EDGE_PX[0]) * torch.rand(len(rows), generator=generator)
        at = (wanted & (partner >= 0)).nonzero()[:, 0]
        heads = rows.clone()
        if len(at):
            heads[at] = rows[partner[at]]
            inner, head_inner = (train.inner[some[at].to(device)].float() / 255 for some in (rows, heads))
            made = composite(
                images[at.to(device)], inner, images[partner[at].to(device)], head_inner,
                colour_share=colour_share[at], edge_px=edge_px[at],
            )  # fmt: skip
            images = images.index_copy(0, at.to(device), made)
        return Drawn(images, train.landmarks[rows], rows, heads)

    def losses(self, net: nn.Module, batch: IdentityBatch) -> dict[str, Scalar]:
        if not isinstance(net, Identity):
            raise TypeError(f"losses: expected the recipe's network, found {type(net).__name__}")
        raw, maps = net.watched(batch.crops)
        features, found = raw.float(), {}
        if not self.data.views:
            found["contrast"] = supervised_contrast(features, batch.labels, temperature=self.data.temperature)
        if batch.answers is not None and self._head.answer is not None:
            found["answer"] = answer_loss(self._head.answer(F.normalize(features)), batch.answers)
            found["relation"] = relation_loss(features, batch.answers)
        if batch.composed is not None:
            parts = zip(self._head.maps, maps, batch.maps, strict=True)
            lost = [map_loss(guess(ours), theirs, ~batch.composed) for guess, ours, theirs in parts]
            found["maps"] = torch.stack(lost).mean()
        if self._head.centres is not None:
            found["margin"] = self._margin(features, self._head.centres, batch.labels)
        return found

    def _margin(self, features: Tensor, centres: Tensor, labels: Tensor) -> Scalar:
        data, head = self.data, self._head
        lengths = features.detach().norm(dim=1)
        head.note(lengths)
        angle, add = adaptive_margins(lengths, head.mean, head.deviation, data.margin)
        if not data.adaptive:
            angle, add = torch.zeros_like(angle), torch.full_like(add, data.margin)
        return margin_loss(features, centres, labels, scale=data.scale_of_logits, angle=angle, add=add)

    def validate(self, net: nn.Module) -> dict[str, float]:
        """Over held-out people, renders and photographs apart; pairs are always the same.

        `*_error_percent` (lower is better): pairs judged wrongly, thresholds from other pairs. `*_tar_percent` (higher
        is better): pairs of one person accepted where 1 % of the strangers are. `composite_right_percent` (higher is
        better): composites that are more like another picture of the inner face's person than like one of the head's.
        """
        z = self._embed(net, self.val.plain(torch.arange(len(self.val))))
        found: dict[str, float] = {}
        for name, real in (("renders", False), ("real", True)):
            first, second, same = pairs_of(self.val, real=real)
            if int(same.sum()) < FEWEST_PAIRS:
                continue
            scores = (z[first] * z[second]).sum(1).double().numpy()
            result = verify(scores, same, np.arange(len(same)) % FOLDS)
            found[f"{name}_error_percent"] = 100 * (1 - result.accuracy)
            found[f"{name}_tar_percent"] = 100 * tar_at_far(scores, same, 1e-2)
        return found | self._composite_score(net, z)

    def preview(self, net: nn.Module) -> Frame:
        """Eight people's crops as training sees them, and beside each row how alike the network finds all of them."""
        each = self.data.pictures_per_person
        batch = self.batch(torch.Generator().manual_seed(0), _PREVIEW_PEOPLE * each)
        z = self._embed(net, batch.crops)
        tiles = frames_from_unit(batch.crops)
        rows = [tiles[at : at + each] for at in range(0, len(tiles), each)]
        likeness = ((z @ z.T).clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        square = enlarged(np.repeat(likeness[..., None], 3, axis=2), SIZE_PX * len(rows))
        return np.concatenate([sheet(rows, SIZE_PX)[: len(square)], square], axis=1)

    def _check(self) -> None:
        if len(self.train.names) < 2 or len({*self.train.labels.tolist()}) < 2:
            raise BadInputError("data: expected two people or more to learn from, found fewer; name larger datasets")
        several = sum(len(rows) > 1 for rows in self.train.rows_of)
        logger.info(
            "%d pictures of %d people, %d of them with several; %d pictures held out",
            len(self.train), len(self.train.names), several, len(self.val),
        )  # fmt: skip

    def _shares(self, people: int) -> list[tuple[Tensor, Tensor, int]]:
        """Rendered, photographed and morphed people, how often each comes, and how many of them a batch has."""
        renders, photographed, morphs = self._pools
        real = round(people * self.data.real_share) if len(renders[0]) else people
        real = real if len(photographed[0]) else 0
        mixed = round(real * self.data.morph_share) if len(morphs[0]) else 0
        wanted = (people - real, real - mixed, mixed)
        return [(*pool, count) for pool, count in zip(self._pools, wanted, strict=True) if count]

    def _pool(self, rows: Bool[Tensor, "n"]) -> tuple[Tensor, Tensor]:
        """The people of these rows, and their pictures' number, cut at `pictures_per_person`."""
        found = torch.unique(self.train.labels[rows])
        pictures = torch.bincount(self.train.labels, minlength=len(self.train.names))[found]
        return found, pictures.clamp(max=self.data.pictures_per_person).float()

    def _moves(self, generator: torch.Generator, count: int) -> tuple[Matrices, Bool[Tensor, "b"]]:
        """From the store to crops that miss the template a little; and which half of them is mirrored."""
        data = self.data
        u = 2 * torch.rand((4, count), generator=generator) - 1
        flip = torch.rand(count, generator=generator) < 0.5
        angle, zoom = torch.deg2rad(u[0] * data.degrees), (1 + data.scale) ** u[1]
        cosine, sine = angle.cos() * zoom, angle.sin() * zoom
        linear = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
        goal = SIZE_PX * (0.5 + data.shift * u[2:].T)
        middle = torch.full((count, 2), MARGIN_PX + SIZE_PX / 2)
        matrix = torch.cat([linear, (goal - (linear @ middle[:, :, None])[..., 0])[:, :, None]], 2)
        return flipped(matrix, flip, SIZE_PX), flip

    def _new_head(self, answer_size: int) -> Head:
        size = self._net.config.embedding
        if self._teacher is None:
            return Head(len(self.train.names), size, answer_size)
        maps = zip(self._net.map_channels, self._teacher.map_channels, strict=True)
        return Head(len(self.train.names), size, self._teacher.answer_size, tuple(maps))

    def _embed(self, net: nn.Module, crops: Tensor) -> Tensor:
        """Unit vectors on the CPU."""
        found = []
        for part in torch.split(crops, 128):
            pixels = part.to(self.device).float()
            found.append(net(pixels / 255 if part.dtype == torch.uint8 else pixels).float().cpu())
        return torch.cat(found)

    def _composite_score(self, net: nn.Module, z: Tensor) -> dict[str, float]:
        val, generator = self.val, torch.Generator().manual_seed(0)
        several = torch.bincount(val.labels, minlength=len(val.names))[val.labels] > 1
        usable = usable_for_composites(val.inner, val.pose) & several
        rows = usable.nonzero()[:, 0][:MOST_COMPOSITES]
        partner = choose_partners(val.pose[rows], val.labels[rows], usable[rows], generator)
        rows, heads = rows[partner >= 0], rows[partner[partner >= 0]]
        if len(rows) < FEWEST_PAIRS:
            return {}
        face, head = val.images[rows].float() / 255, val.images[heads].float() / 255
        inner, head_inner = val.inner[rows].float() / 255, val.inner[heads].float() / 255
        ones = torch.ones(len(rows))
        made = composite(face, inner, head, head_inner, colour_share=ones, edge_px=3 * ones)
        inside = slice(MARGIN_PX, STORE_PX - MARGIN_PX)
        mixed = self._embed(net, made[:, :, inside, inside])
        right = (mixed * z[others_of(val, rows)]).sum(1) > (mixed * z[others_of(val, heads)]).sum(1)
        return {"composite_right_percent": 100 * float(right.float().mean())}


def _some(rows: Int64[Tensor, "k"], count: int, generator: torch.Generator) -> Int64[Tensor, "n"]:
    """Without repeats as long as there are enough."""
    orders = [rows[torch.randperm(len(rows), generator=generator)] for _ in range(-(-count // len(rows)))]
    return torch.cat(orders)[:count]


RECIPE = IdentityRecipe
