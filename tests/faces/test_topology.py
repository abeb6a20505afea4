"""The mesh's fixed facts: symmetry, orientation, pose signs."""

import numpy as np
import pytest

from facegraft.faces import topology as t
from facegraft.faces.mesh import facing
from tests.faces.drawn import posed


def test_the_mirror_is_its_own_inverse_and_flips_x() -> None:
    mesh = t.load_topology()
    np.testing.assert_array_equal(mesh.mirror[mesh.mirror], np.arange(468))
    np.testing.assert_allclose(mesh.xyz[mesh.mirror], mesh.xyz * [-1, 1, 1], atol=2e-4)
    np.testing.assert_allclose(mesh.uv[mesh.mirror], mesh.uv * [-1, 1], atol=2e-4)


def test_triangles_cover_the_oval_once_and_face_the_viewer() -> None:
    mesh = t.load_topology()
    areas = facing(mesh.uv, mesh.triangles)
    assert (areas > 0).all()
    x, y = mesh.uv[list(t.OVAL)].T.astype(float)
    inside = 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
    assert areas.sum() / 2 == pytest.approx(inside, rel=1e-3)


def test_rings_lie_where_their_names_say() -> None:
    xyz = t.load_topology().xyz
    centre = {
        name: xyz[list(getattr(t, name))].mean(0) for name in ("LEFT_EYE", "RIGHT_EYE", "LEFT_BROW", "LIPS_INNER")
    }
    assert centre["LEFT_EYE"][0] < 0 < centre["RIGHT_EYE"][0]
    assert centre["LEFT_BROW"][1] < centre["LEFT_EYE"][1] < centre["LIPS_INNER"][1]
    assert xyz[t.NOSE_TIP, 2] == xyz[:, 2].min() or xyz[t.NOSE_TIP, 2] < -0.4


@pytest.mark.parametrize("angle", ["yaw", "pitch", "roll"])
@pytest.mark.parametrize("degrees", [-50, -15, 20, 45])
def test_pose_is_found_with_its_sign(angle: str, degrees: float) -> None:
    found = t.head_pose(t.load_topology(), posed(**{angle: degrees}))
    expected = {"yaw": [degrees, 0, 0], "pitch": [0, degrees, 0], "roll": [0, 0, degrees]}[angle]
    np.testing.assert_allclose(found, expected, atol=0.05)


def test_yaw_to_the_right_of_the_frame_moves_the_nose_there() -> None:
    ahead, turned = posed(yaw=0), posed(yaw=30)
    assert turned[t.NOSE_TIP, 0] > ahead[t.NOSE_TIP, 0] + 5
    assert posed(pitch=20)[t.NOSE_TIP, 1] < ahead[t.NOSE_TIP, 1] - 5
    assert posed(roll=20)[t.CHIN, 0] < ahead[t.CHIN, 0] - 5  # clockwise: the chin swings to the left


def test_an_open_eye_is_more_open_than_a_closed_one() -> None:
    dense = posed()
    closed = dense.copy()
    closed[list(t.LEFT_EYE), 1] = dense[33, 1]
    assert t.openness(dense, t.LEFT_EYE, (33, 133)) > 0.15
    assert t.openness(closed, t.LEFT_EYE, (33, 133)) < 0.01


def test_sixty_eight_points_are_sixty_eight_different_ones() -> None:
    assert len(set(t.LANDMARKS_68)) == 68
    assert t.landmarks68(posed()).shape == (68, 2)
