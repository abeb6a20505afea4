"""What is known of faces: mixtures, depth, openings and expression channels against closed forms."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.data.item import Row  # noqa: E402
from facegraft.data.shards import ShardReader  # noqa: E402
from facegraft.faces.topology import head_pose, load_topology  # noqa: E402
from facegraft.frozen.attributes import CHANNELS  # noqa: E402
from facegraft.train.eyes.attributes import angle_between  # noqa: E402
from facegraft.train.eyes.expressions import NAMES, channels_of, mirror_channels, parts_of  # noqa: E402
from facegraft.train.eyes.face_points import (  # noqa: E402
    Trust,
    depth_of,
    is_trusted,
    mean_and_directions,
    mesh_facing,
    mixture68,
    openings,
)

MEAN = torch.from_numpy(load_topology().xyz)


def turned(yaw_degrees: float, roll_degrees: float = 0.0) -> torch.Tensor:
    yaw, roll = np.radians(yaw_degrees), np.radians(roll_degrees)
    about_y = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return MEAN @ torch.tensor(about_z @ about_y, dtype=torch.float32).T


def test_depth_of_a_turned_mean_face_is_its_own() -> None:
    faces = torch.stack([turned(yaw, roll) for yaw, roll in ((0, 0), (35, 10), (-60, -25))]) * 50
    depth = depth_of(faces[..., :2].contiguous())
    assert (depth - faces[..., 2]).abs().max() < 0.05
    pose = head_pose(load_topology(), torch.cat([faces[..., :2], depth[..., None]], -1)[1].numpy())
    assert np.abs(pose - head_pose(load_topology(), faces[1].numpy())).max() < 0.1


def test_a_mixture_finds_points_that_are_one() -> None:
    generator = torch.Generator().manual_seed(0)
    faces = MEAN[None] * 50 + torch.randn(300, 468, 3, generator=generator)
    sparse = 0.5 * faces[:, 100:168] + 0.3 * faces[:, 101:169] + 0.2 * faces[:, 102:170]
    mixed = mixture68(faces, sparse)
    assert torch.allclose(mixed.sum(1), torch.ones(68, dtype=torch.float64))
    found = (mixed @ faces.double()).float()
    assert (found - sparse)[..., :2].norm(dim=-1).mean() < 0.8  # of points that are 1.4 off at random


def test_the_far_cheek_faces_away() -> None:
    facing = mesh_facing(torch.stack([turned(0), turned(75)]))
    assert facing[0, 1] > 0.5  # nose tip
    assert facing[0].mean() > 0.5
    assert facing[1, 234] * facing[1, 454] < 0  # the cheeks beside the ears


def test_openings_follow_the_lids_and_lips() -> None:
    face = MEAN[None].clone()
    shut = face.clone()
    for upper, lower in ((160, 144), (158, 153), (385, 380), (387, 373), (13, 14)):
        shut[:, upper] = shut[:, lower]
    assert openings(shut).abs().max() < 1e-5
    assert (openings(face)[:, :2] > 0.15).all()
    assert torch.allclose(openings(torch.stack([turned(50)])), openings(face), atol=1e-4)


def test_mean_and_directions_span_the_faces() -> None:
    generator = torch.Generator().manual_seed(0)
    base, ways = torch.rand(538, 3, generator=generator), torch.randn(3, 538, 3, generator=generator)
    faces = base + torch.einsum("nr,rkd->nkd", torch.randn(200, 3, generator=generator), ways)
    mean, directions = mean_and_directions(faces, torch.ones(200, 538), 5)
    assert torch.allclose(mean, faces.mean(0), atol=1e-4)
    spread = directions.flatten(1).norm(dim=1)
    assert spread[2] > 10
    assert spread[3] < 1e-2


def test_channels_take_the_persons_side_for_the_frames_other() -> None:
    weights = torch.zeros(2, len(NAMES))
    weights[0, NAMES.index("LeftBrowDown")] = 0.7
    weights[1, NAMES.index("JawDrop")] = 1.5
    found = channels_of(weights)
    assert found[0, CHANNELS.index("brow_down_right")] == pytest.approx(0.7)
    assert found[0, CHANNELS.index("brow_down_left")] == 0
    assert found[1, CHANNELS.index("jaw_dropped")] == 1
    mirrored = mirror_channels(found, torch.tensor([True, False]))
    assert mirrored[0, CHANNELS.index("brow_down_left")] == pytest.approx(0.7)
    assert torch.equal(mirrored[1], found[1])
    assert all(set(parts_of(channel)) <= set(NAMES) for channel in CHANNELS)


def test_angles_between_gazes() -> None:
    a, b = torch.tensor([[0.0, 0.0], [30.0, 0.0]]), torch.tensor([[10.0, 0.0], [30.0, 5.0]])
    assert torch.allclose(angle_between(a, b), torch.tensor([10.0, 5.0]), atol=1e-4)


def test_trust_has_bounds(tmp_path: Path) -> None:
    row = Row(
        key="a", person="", role="picture", split="train", stratum="", licence="", consent="", origin="",
        synthetic=False, clip="", frame_number=-1, pose_degrees=(10.0, 0.0, 0.0),
        facts={"score": 0.9, "cut_share": 0.0, "occluded_share": 0.1, "face_px": 120.0},
        shard=ShardReader(tmp_path / "none"), position=0,
    )  # fmt: skip
    assert is_trusted(row, Trust())
    for change in ({"score": 0.5}, {"cut_share": 0.2}, {"occluded_share": 0.6}, {"face_px": 30.0}):
        assert not is_trusted(dataclasses.replace(row, facts={**row.facts, **change}), Trust())
    assert not is_trusted(dataclasses.replace(row, pose_degrees=(70.0, 0.0, 0.0)), Trust())
