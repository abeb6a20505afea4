"""What scenes ask of a head, as tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from facegraft.data.synth.body import Body, Motion
from facegraft.data.synth.cast import Actor
from facegraft.data.synth.scene import Scene, lid_closure


def motion_of(scenes: Sequence[Scene], body: Body) -> Motion:
    """Weights and angles of a batch."""
    device = body.device
    morphs = torch.zeros(len(scenes), len(body.morph_names))
    units = torch.zeros(len(scenes), len(body.unit_names))
    for row, scene in enumerate(scenes):
        for name, weight in scene.expression.morphs.items():
            morphs[row, body.morph_names.index(name)] = weight
        for name, weight in scene.expression.units.items():
            units[row, body.unit_names.index(name)] = weight
    head = torch.tensor([[s.yaw, s.pitch, s.roll] for s in scenes], dtype=torch.float32)
    gaze = torch.tensor([[s.gaze, s.gaze] for s in scenes], dtype=torch.float32)
    lids = torch.tensor([lid_closure(s.blink, s.gaze) for s in scenes], dtype=torch.float32)
    turn = torch.tensor([s.body_yaw for s in scenes], dtype=torch.float32)
    return Motion(*(t.to(device) for t in (head, turn, gaze, lids, morphs, units)))


def wrinkling(scenes: Sequence[Scene], actors: Sequence[Actor]) -> Float[Tensor, "b 4"]:
    """How far the expression draws forehead lines, frown lines, crow's feet and folds at nose and mouth."""
    rows = []
    for scene, actor in zip(scenes, actors, strict=True):
        m, u = scene.expression.morphs.get, scene.expression.units.get
        up = [
            m(f"eyebrows-{side}-{what}", 0.0) for side in ("left", "right") for what in ("up", "inner-up", "extern-up")
        ]
        down = m("eyebrows-left-down", 0.0) + m("eyebrows-right-down", 0.0)
        smile = m("mouth-corner-puller", 0.0) + 0.5 * (u("MouthLeftPullUp", 0.0) + u("MouthRightPullUp", 0.0)) / 2
        squeeze = (u("LeftCheekUp", 0.0) + u("RightCheekUp", 0.0)) / 2 + 0.5 * smile
        sneer = u("NoseWrinkler", 0.0) + 0.8 * smile + u("NasolabialDeepener", 0.0)
        folds = [sum(up) / 3.2, down / 2 + 0.4 * u("NoseWrinkler", 0.0), squeeze, sneer]
        rows.append([min(max(fold, 0.0), 1.2) * (0.45 + 0.75 * actor.wrinkles) for fold in folds])
    return torch.tensor(rows, dtype=torch.float32)
