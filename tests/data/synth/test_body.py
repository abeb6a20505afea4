"""MakeHuman's body, posed in batches."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.spatial.transform import Rotation  # noqa: E402

from facegraft.data.synth.body import (  # noqa: E402
    Body,
    Motion,
    head_rotation,
    incidence,
    rotation,
    rotation_vector,
    vertex_normals,
)
from facegraft.data.synth.people import macro_morphs, sample_person  # noqa: E402


@pytest.fixture(scope="module")
def body(makehuman):
    return Body(makehuman)


def motion(body, count=1, **changes):
    values = {
        "head": torch.zeros(count, 3),
        "body_yaw": torch.zeros(count),
        "gaze": torch.zeros(count, 2, 2),
        "blink": torch.zeros(count, 2),
        "morphs": torch.zeros(count, len(body.morph_names)),
        "units": torch.zeros(count, len(body.unit_names)),
    }
    return Motion(**(values | changes))


def people(body, *seeds):
    shapes = [sample_person(seed) for seed in seeds]
    neutral = torch.stack([body.shape(macro_morphs(p) | p.morphs) for p in shapes])
    return neutral, torch.tensor([p.race for p in shapes], dtype=torch.float32)


def test_rotations_are_scipys():
    vectors = 0.7 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    expected = Rotation.from_rotvec(vectors.numpy()).as_matrix()
    np.testing.assert_allclose(rotation(vectors), expected, atol=1e-5)
    back = rotation_vector(rotation(vectors))
    np.testing.assert_allclose(rotation(back), expected, atol=1e-3)


@pytest.mark.parametrize("angles", [(30.0, 0, 0), (0, 20.0, 0), (0, 0, 15.0), (-60.0, 12.0, -8.0)])
def test_angles_have_the_signs_of_faces(angles):
    """Yaw to the frame's right, pitch up, roll clockwise in the frame (x right, y up here)."""
    turn = head_rotation(torch.tensor([angles]))[0].double().numpy()
    ahead = turn @ [0, 0, 1]
    yaw, pitch, roll = angles
    unroll = Rotation.from_euler("z", roll, degrees=True).as_matrix()
    ahead = unroll @ ahead
    assert np.degrees(np.arctan2(ahead[0], ahead[2])) == pytest.approx(yaw, abs=1e-4)
    assert np.degrees(np.arcsin(ahead[1])) == pytest.approx(pitch, abs=1e-4)
    if yaw == pitch == 0:
        assert (turn @ [0, 1, 0])[0] > 0  # the top of the head moves to the frame's right


def test_the_skull_turns_as_a_whole_and_by_the_angles_asked_for(body):
    neutral, race = people(body, 3)
    still = body.pose(neutral, race, motion(body)).vertices[0]
    angles = torch.tensor([[40.0, -15.0, 10.0]])
    turned = body.pose(neutral, race, motion(body, head=angles, body_yaw=torch.tensor([12.0]))).vertices[0]
    skull = (body.place[:, 1] > 8.0) & (body.place[:, 2] < 0.6)
    assert skull.sum() > 50
    expected = still[skull] @ head_rotation(angles)[0].T
    torch.testing.assert_close(turned[skull], expected, atol=0.01, rtol=0)


def test_every_head_is_centred(body):
    """Whoever it is, the eyes are at the same place: the camera need not know the person."""
    neutral, race = people(body, 1, 2, 5, 8)
    heads = torch.tensor([[0.0, 0, 0], [50.0, 10, 0], [-30.0, 0, 20], [0.0, -25, 0]])
    posed = body.pose(neutral, race, motion(body, 4, head=heads))
    eyes = posed.vertices[:, body.landmarks[36:48]].mean(1)
    unturned = torch.einsum("bij,bi->bj", head_rotation(heads), eyes)
    assert unturned[:, :2].sub(unturned[:, :2].mean(0)).abs().max() < 0.06


@pytest.mark.parametrize("blink", [0.0, 0.4, 1.0])
def test_lids_close_by_the_share_asked_for_whatever_the_eyes(body, blink):
    neutral, race = people(body, 1, 4, 9)
    open_ = body.pose(neutral, race, motion(body, 3)).lid_gaps
    gaps = body.pose(neutral, race, motion(body, 3, blink=torch.full((3, 2), blink))).lid_gaps
    torch.testing.assert_close(gaps / open_, torch.full((3, 2), 1 - blink), atol=2e-3, rtol=0)


def test_one_eye_can_wink(body):
    neutral, race = people(body, 1)
    gaps = body.pose(neutral, race, motion(body, blink=torch.tensor([[1.0, 0.0]]))).lid_gaps[0]
    assert gaps[0] < 0.01 < gaps[1]


def test_gaze_turns_the_eyes_to_the_frames_right_and_up(body, makehuman):
    from facegraft.data.synth.eyeballs import Eyeballs

    eyeballs = Eyeballs(makehuman, body)
    neutral, race = people(body, 2)
    gaze = torch.tensor([[[20.0, 0.0], [0.0, 10.0]]])
    _, still = eyeballs.look(body.pose(neutral, race, motion(body)))
    _, axes = eyeballs.look(body.pose(neutral, race, motion(body, gaze=gaze)))
    yaw = torch.atan2(axes[..., 0], axes[..., 2]) - torch.atan2(still[..., 0], still[..., 2])
    pitch = axes[..., 1].asin() - still[..., 1].asin()
    torch.testing.assert_close(yaw.rad2deg()[0], torch.tensor([20.0, 0.0]), atol=0.7, rtol=0)
    torch.testing.assert_close(pitch.rad2deg()[0], torch.tensor([0.0, 10.0]), atol=0.7, rtol=0)


def test_a_batch_equals_its_people(body):
    neutral, race = people(body, 1, 2, 3)
    heads = torch.tensor([[0.0, 0, 0], [50.0, 10, 5], [-30.0, 0, 0]])
    together = body.pose(neutral, race, motion(body, 3, head=heads)).vertices
    for row in range(3):
        alone = body.pose(neutral[row : row + 1], race[row : row + 1], motion(body, head=heads[row : row + 1]))
        torch.testing.assert_close(alone.vertices[0], together[row], atol=2e-5, rtol=0)


def test_normals_of_a_sphere_point_outwards():
    rng = np.random.default_rng(0)
    from scipy.spatial import ConvexHull

    points = rng.normal(size=(400, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    hull = ConvexHull(points)
    triangles = hull.simplices.copy()
    flat = np.cross(
        points[triangles[:, 1]] - points[triangles[:, 0]], points[triangles[:, 2]] - points[triangles[:, 0]]
    )
    inward = (flat * points[triangles[:, 0]]).sum(1) < 0
    triangles[inward] = triangles[inward][:, ::-1]
    around = torch.as_tensor(incidence(triangles, len(points)))
    normals = vertex_normals(torch.as_tensor(points)[None].float(), torch.as_tensor(triangles).long(), around)[0]
    assert (normals * torch.as_tensor(points).float()).sum(1).min() > 0.97
