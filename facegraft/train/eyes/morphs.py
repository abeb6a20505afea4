"""People who lie between two photographed people: a teacher can be asked about them, and they do not run out.

A morph warps two aligned faces of about the same pose onto points between theirs and mixes the colours (Beier and
Neely, 1992, with triangles). Free photographs show few people; their morphs fill the space between, as distillation on
views that the teacher sees too asks for (Beyer et al., CVPR 2022, arXiv:2106.05237).
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import torch
from jaxtyping import Float32
from scipy.spatial import Delaunay

from facegraft.core.geometry import sample
from facegraft.train.eyes.people import STORE_PX, People

logger = logging.getLogger(__name__)

SHARES = (0.35, 0.65)
"""Of the first person. Nearer to an end it would be that person again."""
CANDIDATES = 24
"""Others looked at for each first person; the one nearest in pose is taken."""
GRID_PX = 4
"""Between the nodes at which the triangles are asked; `STORE_PX` is a multiple of it."""
BORDER_STEPS = 5
"""Points along each side of the picture that stay where they are."""


def morphed(people: People, count: int, seed: int) -> People:
    """Morphs of photographs, each a person of its own.

    Args:
        people: Their photographs are used, renders are not.
        count: How many.
        seed: The same one: the same morphs.

    Returns:
        `names` are "morph/0", ...; labels count from 0. The inner face is where both have one.

    Raises:
        ValueError: Fewer than two people are photographed.
    """
    photographs = people.real.nonzero()[:, 0].numpy()
    labels, pose = people.labels.numpy(), people.pose.numpy()
    if len({*labels[photographs]}) < 2:
        raise ValueError("morphed: expected photographs of two people or more")
    rng = np.random.default_rng(seed)
    images = torch.empty((count, 3, STORE_PX, STORE_PX), dtype=torch.uint8)
    inner = torch.empty((count, STORE_PX, STORE_PX), dtype=torch.uint8)
    landmarks = torch.empty((count, 68, 2))
    between = torch.empty((count, 2))
    for place in range(count):
        first = int(rng.choice(photographs))
        others = rng.choice(photographs, CANDIDATES)
        apart = np.linalg.norm(pose[others] - pose[first], axis=1) + np.where(labels[others] == labels[first], 1e6, 0)
        second, share = int(others[int(np.argmin(apart))]), float(rng.uniform(*SHARES))
        while labels[second] == labels[first]:
            second = int(rng.choice(photographs))
        rows = (first, second)
        pictures = [people.images[row].permute(1, 2, 0).cpu().numpy() for row in rows]
        masks = [people.inner[row].cpu().numpy() for row in rows]
        points = [people.landmarks[row].cpu().numpy() for row in rows]
        goal = share * points[0] + (1 - share) * points[1]
        maps = [warp_maps(goal, own) for own in points]
        moved = [sample(picture, at) for picture, at in zip(pictures, maps, strict=True)]
        mixed = share * moved[0].astype(np.float32) + (1 - share) * moved[1]
        images[place] = torch.from_numpy(np.rint(mixed).astype(np.uint8)).permute(2, 0, 1)
        inner[place] = torch.from_numpy(np.minimum(*(sample(m, at) for m, at in zip(masks, maps, strict=True))))
        landmarks[place] = torch.from_numpy(goal)
        between[place] = torch.from_numpy(share * pose[first] + (1 - share) * pose[second])
    return dataclasses.replace(
        people,
        images=images,
        inner=inner,
        landmarks=landmarks,
        pose=between,
        labels=torch.arange(count),
        names=tuple(f"morph/{place}" for place in range(count)),
        real=torch.ones(count, dtype=torch.bool),
        answers=None,
    )


def warp_maps(goal: Float32[np.ndarray, "k 2"], own: Float32[np.ndarray, "k 2"]) -> Float32[np.ndarray, "s s 2"]:
    """Where each pixel of a morph is in a picture: affine in each triangle of the goal's points, linear between nodes.

    Args:
        goal: Points of the morph, x, y in pixels.
        own: The same points of the picture.

    Returns:
        Positions for `core.geometry.sample`.
    """
    side = np.linspace(0, STORE_PX, BORDER_STEPS)
    edge = np.array([(x, y) for x in side for y in side if {x, y} & {0, STORE_PX}], np.float32)
    goal, own = (np.concatenate([part.clip(1, STORE_PX - 1), edge]) for part in (goal, own))
    mesh = Delaunay(goal)
    line = np.linspace(0, STORE_PX, STORE_PX // GRID_PX + 1)
    nodes = np.stack(np.meshgrid(line, line), 2).reshape(-1, 2)
    triangle = mesh.find_simplex(nodes, tol=1e-6)
    to_weights = mesh.transform[triangle]
    two = np.einsum("nij,nj->ni", to_weights[:, :2], nodes - to_weights[:, 2])
    weights = np.concatenate([two, 1 - two.sum(1, keepdims=True)], 1)
    away = np.einsum("nk,nkc->nc", weights, own[mesh.simplices[triangle]]) - nodes
    away[triangle < 0] = 0
    middles = (np.arange(STORE_PX, dtype=np.float32) + 0.5) / GRID_PX
    at = np.stack(np.meshgrid(middles, middles), 2)
    moved = sample(away.reshape(len(line), len(line), 2).astype(np.float32), at)
    return np.asarray(moved + at * GRID_PX - np.float32(0.5), np.float32)
