"""Crops move pictures, labels, points, angles and light alike: checked against OpenCV, closed forms and each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.geometry import warp  # noqa: E402
from facegraft.data.synth.light import harmonic_basis  # noqa: E402
from facegraft.faces.topology import head_pose, load_topology  # noqa: E402
from facegraft.train.eyes.crops import (  # noqa: E402
    CropOptions,
    Crops,
    centred_crops,
    cut,
    cut_labels,
    draw_crops,
    face_squares,
    inside_picture,
    mirror_points,
    mirror_table,
    move_gaze,
    move_light,
    move_points,
    move_pose,
    place_crops,
    seen_at,
    turn_of,
)


def faces(count: int, seed: int = 0) -> torch.Tensor:
    """Mean faces of several yaws, sizes and rolls, as points in a 192 px picture, with depth."""
    rng = np.random.default_rng(seed)
    mean = load_topology().xyz.astype(np.float64)
    made = []
    for _ in range(count):
        yaw, roll = rng.uniform(-0.7, 0.7), rng.uniform(-0.5, 0.5)
        about_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
        about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
        points = mean @ (about_z @ about_y).T * rng.uniform(40, 60)
        made.append(points + np.array([96, 80, 0]))
    return torch.tensor(np.stack(made), dtype=torch.float32)


def crops_of(count: int = 6, size: int = 64, seed: int = 1, **options: float) -> tuple[torch.Tensor, Crops]:
    dense = faces(count)
    return dense, draw_crops(dense, CropOptions(size_px=size, **options), torch.Generator().manual_seed(seed))


def test_crops_are_what_opencv_makes_of_the_same_matrix() -> None:
    dense, crops = crops_of(flip=0.0, margin=0.8)  # enlarged: one sample per pixel
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (len(dense), 192, 192, 3), dtype=np.uint8)
    frames = np.stack([np.asarray(warp(f, np.eye(2, 3, dtype=np.float32), (192, 192))) for f in frames])
    crops = Crops(crops.matrix * 3, crops.flip, 192)
    made = cut(torch.from_numpy(frames.transpose(0, 3, 1, 2).copy()), crops.matrix, 192)
    for row, frame in enumerate(frames):
        expected = np.asarray(warp(frame.astype(np.float32), crops.matrix[row].numpy(), (192, 192)))
        difference = np.abs(made[row].permute(1, 2, 0).numpy() * 255 - expected)
        assert difference.mean() < 1.5  # OpenCV counts in 1/32 of a pixel


def test_a_dot_lands_where_its_point_does() -> None:
    _, crops = crops_of(count=8)
    pictures = torch.zeros(8, 1, 192, 192)
    spots = torch.tensor([[[110.5, 90.5]]]).expand(8, 1, 2)
    pictures[:, 0, 88:93, 108:113] = 1
    made = cut(pictures, crops.matrix, 64)[:, 0]
    at = torch.arange(64) + 0.5
    middle = (
        torch.stack([(made * at[None, None]).sum((1, 2)), (made * at[None, :, None]).sum((1, 2))], 1)
        / made.sum((1, 2))[:, None]
    )
    assert (middle - move_points(spots, crops.matrix)[:, 0]).abs().max() < 0.15


def test_labels_are_those_of_the_pixels_under_the_crop() -> None:
    _, crops = crops_of()
    columns = torch.arange(192, dtype=torch.uint8).expand(6, 192, 192).contiguous()
    made = cut_labels(columns, crops.matrix, 64, outside=255)
    inside = inside_picture((192, 192), crops.matrix, 64)
    assert ((made == 255) == ~inside).all()
    at = torch.tensor([[[20.5, 40.5], [33.5, 10.5]]]).expand(6, 2, 2)
    back = torch.linalg.inv(crops.matrix[:, :, :2])
    expected = ((at - crops.matrix[:, None, :, 2]) @ back.mT)[..., 0].floor()
    found = seen_at(made, at)
    assert (found.float() == expected)[seen_at(inside.byte(), at) > 0].all()
    assert (cut_labels(columns, crops.matrix, 64) != 255).all()


def test_the_square_is_the_one_that_analysis_cuts() -> None:
    from facegraft.faces.analyse import CROP_MARGIN, Analyser

    dense = faces(5)
    middle, side, roll = face_squares(dense)
    crops = centred_crops(dense, CropOptions(size_px=1, margin=CROP_MARGIN))
    known = Analyser.__new__(Analyser)  # needs no networks for this
    known.topology = load_topology()
    for row, points in enumerate(dense.numpy()):
        candidate = known._candidate_of(points)
        assert np.allclose(candidate.middle, middle[row], atol=1e-3)
        assert candidate.side == pytest.approx(float(side[row]), rel=1e-5)
        assert candidate.roll == pytest.approx(float(roll[row]), abs=1e-5)
        assert np.allclose(candidate.crop(), crops.matrix[row].numpy(), atol=1e-5)


def test_jitter_stays_in_its_ranges_and_some_turn_further() -> None:
    dense = faces(1).expand(2000, -1, -1)
    options = CropOptions(size_px=128)
    crops = draw_crops(dense, options, torch.Generator().manual_seed(0))
    middle, side, roll = face_squares(dense)
    off = (move_points(middle[:, None], crops.matrix)[:, 0] / 128 - 0.5).abs()
    assert off.max() <= options.shift + 1e-4
    assert off.max() > 0.95 * options.shift
    scale = 128 / (side * 1.5 * torch.linalg.det(crops.matrix[:, :, :2]).abs().sqrt())
    assert 0.799 < scale.min() < 0.82
    assert 1.28 < scale.max() < 1.301
    turned = torch.rad2deg(turn_of(crops) + roll).abs()
    assert turned.max() <= 45.01
    assert 0.02 < (turned > 25.01).float().mean() < 0.08
    assert 0.4 < crops.flip.float().mean() < 0.6


@pytest.mark.parametrize("count", [2, 68, 468, 538])
def test_mirroring_twice_changes_nothing(count: int) -> None:
    table = mirror_table(count)
    assert (table[table] == torch.arange(count)).all()
    values = torch.rand(3, count)
    flip = torch.tensor([True, False, True])
    once = mirror_points(values, flip)
    assert torch.equal(mirror_points(once, flip), values)
    assert torch.equal(once[1], values[1])


def test_a_flipped_face_has_its_left_points_at_the_left() -> None:
    dense = faces(4)
    none = torch.zeros(4)
    options = CropOptions(size_px=128)
    flip = torch.ones(4, dtype=torch.bool)
    crops = place_crops(dense, options, shift=torch.zeros(4, 2), scale=none + 1, turn_degrees=none, flip=flip)
    moved = mirror_points(move_points(dense, crops.matrix), flip)
    assert (moved[:, 33, 0] < moved[:, 263, 0]).all()
    assert torch.linalg.det(crops.matrix[:, :, :2]).max() < 0


def test_pose_of_a_crop_is_the_pose_of_its_points() -> None:
    dense, crops = crops_of()
    topology = load_topology()
    before = torch.tensor(np.stack([head_pose(topology, points) for points in dense.numpy()]))
    moved = mirror_points(move_points(dense, crops.matrix), crops.flip)
    after = np.stack([head_pose(topology, points) for points in moved.numpy()])
    assert crops.flip.any()
    assert not crops.flip.all()
    assert np.abs(move_pose(before, crops).numpy() - after).max() < 0.5  # the mean face is not quite symmetric


def test_gaze_changes_eyes_and_sides() -> None:
    gaze = torch.tensor([[[10.0, 5.0], [12.0, 6.0]]] * 2)
    moved = move_gaze(gaze, torch.tensor([True, False]))
    assert moved[0].tolist() == [[-12.0, 6.0], [-10.0, 5.0]]
    assert torch.equal(moved[1], gaze[1])


def test_light_turns_with_the_picture() -> None:
    _, crops = crops_of()
    light = torch.randn(6, 9, 3, generator=torch.Generator().manual_seed(0))
    moved = move_light(light, crops)
    directions = torch.nn.functional.normalize(torch.randn(40, 3, generator=torch.Generator().manual_seed(1)), dim=1)
    for row in range(6):
        linear = crops.matrix[row, :, :2]
        linear = linear / torch.linalg.det(linear).abs().sqrt()
        down = torch.cat([directions[:, :1], -directions[:, 1:2]], 1) @ linear.T
        turned = torch.stack([down[:, 0], -down[:, 1], directions[:, 2]], 1)
        assert torch.allclose(harmonic_basis(turned) @ moved[row], harmonic_basis(directions) @ light[row], atol=1e-4)


def test_shrinking_averages_all_that_is_there() -> None:
    stripes = torch.zeros(1, 1, 256, 256)
    stripes[..., ::2] = 1
    matrix = torch.tensor([[[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]]])
    made = cut(stripes, matrix, 64)
    assert (made - 0.5).abs().max() < 1e-4
    assert math.isclose(float(made.mean()), 0.5, abs_tol=1e-4)
