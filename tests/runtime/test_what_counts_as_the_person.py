"""What of an identity photo is the person, and what of an attribute face is only shadow."""

import cv2
import numpy as np

from facegraft.faces.topology import LEFT_EYE, RIGHT_EYE, load_topology
from facegraft.faces.visible import visible_mask
from facegraft.runtime.warp import Photo, encode, swap_face
from tests.faces.drawn import LIGHT_SKIN, as_faces, draw, painted, posed

MESH = load_topology()
DENSE = posed(size=100)
ATTRIBUTE = draw(DENSE, painted(LIGHT_SKIN, 5))


def swapped(identity: np.ndarray) -> np.ndarray:
    """The identity's frame, in the same pose, on the attribute; unrounded."""
    view = encode([Photo(identity, as_faces(DENSE)[0])], MESH).views[0]
    patch = swap_face(ATTRIBUTE, as_faces(DENSE)[0], view, MESH)
    assert patch is not None
    out = ATTRIBUTE.astype(np.float32)
    height, width = patch.delta.shape[:2]
    out[patch.top : patch.top + height, patch.left : patch.left + width] += patch.delta
    return out


def test_rims_of_the_identity_s_glasses_leave_no_ghost() -> None:
    identity, rims = draw(DENSE, painted(LIGHT_SKIN, 6)), np.zeros(ATTRIBUTE.shape[:2], np.uint8)
    for ring in (LEFT_EYE, RIGHT_EYE):
        x, y = DENSE[list(ring), :2].mean(axis=0).astype(int).tolist()
        cv2.ellipse(identity, (x, y), (32, 26), 0, 0, 360, (30, 30, 35), 3, cv2.LINE_AA)
        cv2.ellipse(rims, (x, y), (32, 26), 0, 20, 160, 1, 3)
    darker = (ATTRIBUTE - swapped(identity)).clip(0)[rims > 0]
    assert darker.mean() < 2.5


def test_the_identity_s_beard_arrives() -> None:
    texture = painted(LIGHT_SKIN, 6)
    y, x = np.mgrid[0:400, 0:400] / 100 - 2
    texture[(abs(x) < 0.45) & (y > 0.95) & (y < 1.15)] *= 0.45
    chin = (slice(208, 219), slice(140, 161))
    assert swapped(draw(DENSE, texture))[chin].mean() < ATTRIBUTE[chin].mean() - 15


def test_a_deep_shadow_on_a_cheek_is_still_the_face() -> None:
    frame = ATTRIBUTE.astype(np.float32)
    x, y = DENSE[50, :2].astype(int)
    frame[y - 26 : y + 27, x - 20 : x + 21] *= 0.3
    shadowed = cv2.GaussianBlur(frame, (0, 0), 1.5).astype(np.uint8)
    assert visible_mask(shadowed, as_faces(DENSE)[0], MESH)[y - 8 : y + 9, x - 6 : x + 9].mean() > 0.87
