"""Face masks, drawn on the usual person (decimetres): from the bridge of the nose to below the chin."""

from __future__ import annotations

import numpy as np

from facegraft.data.synth.ground import Ground, hang
from facegraft.data.synth.hats import jaw_faces
from facegraft.data.synth.proxy import Proxy
from facegraft.data.synth.wrap import CENTRE, Reach, grid_triangles, join, tube

TOP = np.array([(0.0, 7.13), (0.22, 7.02), (0.45, 6.92), (0.75, 6.90), (1.0, 6.94)])
BOTTOM = np.array([(0.0, 6.24), (0.2, 6.25), (0.45, 6.34), (0.75, 6.50), (1.0, 6.60)])
UNDER_CHIN = np.array([0.0, -0.09, -0.16])
"""Share of the way from the middle to the side -> height."""
SIDE_DEGREES = 68.0


def face_mask(ground: Ground, reach: Reach, variant: str) -> tuple[Proxy, ...]:
    """With pleats ("medical") or a seam down the middle ("cloth")."""
    tight, loose = reach.loose(0, 0.8), reach.loose(1, 1.2)
    rows, columns = 17, 25
    side = np.linspace(-1, 1, columns)
    around = side * SIDE_DEGREES
    top = np.interp(np.abs(side), *TOP.T)
    bottom = np.interp(np.abs(side), *BOTTOM.T)
    first, last = tight.down_to(around, top), tight.down_to(around, bottom)
    share = np.linspace(0, 1, rows)[:, None]
    down = first + (last - first) * share
    wide = np.broadcast_to(around, down.shape)
    middle = np.sin(np.pi * share) * (1 - np.abs(side) ** 3)
    far = tight.at(wide, down) * (1 - middle) + loose.at(wide, down) * middle
    edge = np.minimum(share, 1 - share) < 0.02
    if variant == "medical":
        saw = (share * 4.0) % 1
        fold = 0.022 * saw * np.clip(np.minimum(share, 1 - share) * 6, 0, 1)
        shade = 1 - 0.22 * (saw < 0.12) * (share > 0.1) * np.ones_like(wide)
    else:
        fold = 0.03 * np.exp(-((side / 0.12) ** 2)) * middle
        shade = 1 - 0.2 * np.exp(-((side / 0.02) ** 2)) * np.ones_like(share)
    direction = (tight.points(wide, down) - CENTRE) / tight.at(wide, down)[..., None]
    points = CENTRE + direction * (far + 0.028 + fold - 0.012 * edge)[..., None]
    points = points + UNDER_CHIN * (np.clip(share - 0.86, 0, 1) / 0.14 * (1 - side**2))[..., None]
    uvs = np.stack([np.broadcast_to(side, down.shape), np.broadcast_to(share, down.shape)], -1)
    cloth = hang(
        ground,
        f"mask-{variant}",
        points.reshape(-1, 3),
        grid_triangles(rows, columns, closed=False),
        jaw_faces(ground),
        part="colour",
        region="face_mask",
        uvs=uvs.reshape(-1, 2),
        shade=shade.ravel(),
    )
    return cloth, _loops(ground, points)


def _loops(ground: Ground, points: np.ndarray) -> Proxy:
    """Bands from the corners of the mask to behind the ears."""
    parts = []
    for column, sign in ((0, -1), (points.shape[1] - 1, 1)):
        ear_top = np.array([sign * 0.735, 7.33, 0.50])
        ear_bottom = np.array([sign * 0.70, 6.84, 0.44])
        for corner, ear in ((points[1, column], ear_top), (points[-2, column], ear_bottom)):
            t = np.linspace(0, 1, 7)[:, None]
            path = corner * (1 - t) + ear * t
            path[:, 0] += sign * 0.05 * np.sin(np.pi * t[:, 0])
            parts.append(tube(path, 0.011, 5, closed=False))
    mesh, triangles = join(parts)
    centre = ground.centres[ground.body_faces]
    cheek = (centre[:, 1] > 6.3) & (centre[:, 1] < 7.45) & (np.abs(centre[:, 0]) > 0.4) & (np.abs(centre[:, 0]) < 0.72)
    return hang(ground, "mask-loops", mesh, triangles, ground.body_faces[cheek], part="colour2", region="face_mask")
