"""Faces drawn without any network: the mean mesh, posed, wearing a painted texture; every point is known exactly."""

import cv2
import numpy as np

from facegraft.core.types import Faces
from facegraft.faces.mesh import Grid, interpolate, rasterise
from facegraft.faces.topology import LIPS_OUTER, five_points, head_pose, load_topology

LIGHT_SKIN = (205, 165, 140)
DARK_SKIN = (110, 75, 60)
BLUE = (70, 110, 190)


def turn(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """Rotation whose angles are those of `Faces.pose_degrees`."""
    y, p, r = np.radians([yaw, pitch, roll])
    about_y = np.array([[np.cos(y), 0, -np.sin(y)], [0, 1, 0], [np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def posed(
    *, size: float = 80, at: tuple[float, float] = (150, 110), yaw: float = 0, pitch: float = 0, roll: float = 0
) -> np.ndarray:
    """The mean face's points: `size` pixels between the outer eye corners, the middle between the eyes at `at`."""
    points = load_topology().xyz.astype(np.float64) @ turn(yaw, pitch, roll).T * size
    points[:, :2] += at
    return points.astype(np.float32)


def as_faces(dense: np.ndarray) -> Faces:
    topology = load_topology()
    box = np.concatenate([dense[:, :2].min(0), dense[:, :2].max(0)])
    return Faces(
        numbers=np.zeros(1, np.int64),
        boxes_xyxy=box[None].astype(np.float32),
        scores=np.ones(1, np.float32),
        points5=five_points(topology, dense)[None],
        dense=dense[None],
        pose_degrees=head_pose(topology, dense)[None],
    )


def painted(skin: tuple[int, int, int], spots: int = 0) -> np.ndarray:
    """A texture over the unrolled face (uv -2..2, 100 px a unit): skin, red lips, and marks that say whose it is."""
    topology = load_topology()
    texture = np.full((400, 400, 3), skin, np.float32)
    lips = ((topology.uv[list(LIPS_OUTER)] + 2) * 100).astype(np.int32)
    cv2.fillPoly(texture, [lips], (min(skin[0] + 30, 255), skin[1] * 0.55, skin[2] * 0.6))
    rng = np.random.default_rng(spots)
    for _ in range(spots):
        u, v = rng.uniform(-0.6, 0.6), rng.uniform(-0.3, 0.9)
        cv2.circle(texture, (int((u + 2) * 100), int((v + 2) * 100)), 4, tuple(0.6 * c for c in skin), -1)
    return cv2.GaussianBlur(texture, (0, 0), 1.0)


def draw(
    dense: np.ndarray,
    texture: np.ndarray,
    *,
    size_wh: tuple[int, int] = (300, 260),
    background: tuple[int, int, int] = BLUE,
) -> np.ndarray:
    """The frame that shows these points wearing this texture."""
    topology = load_topology()
    raster = rasterise(dense, topology.triangles, Grid((0.0, 0.0), size_wh, (1.0, 1.0)))
    uv = interpolate(raster, dense, topology.uv, topology.triangles)
    at = ((uv + 2) * 100).astype(np.float32)
    worn = cv2.remap(texture, at, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    frame = np.where(raster.covered()[..., None], worn, np.array(background, np.float32))
    return np.clip(np.rint(frame), 0, 255).astype(np.uint8)


def one_face(*, skin: tuple[int, int, int] = LIGHT_SKIN, spots: int = 6, **pose: object) -> tuple[np.ndarray, Faces]:
    """A frame with one drawn face, and the face."""
    dense = posed(**pose)  # type: ignore[arg-type]
    return draw(dense, painted(skin, spots)), as_faces(dense)
