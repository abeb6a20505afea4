"""Labels against what they are named after: which eye, which pixel, what is in front, which way a surface looks."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

torch = pytest.importorskip("torch")

from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.data.synth.labels import PLANES, Labels, majority, openness, smallest, visible  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.render import Renderer  # noqa: E402
from facegraft.data.synth.scene import Camera, sample_scene  # noqa: E402
from facegraft.data.synth.view import make_view  # noqa: E402

SIZE = 64
MASKED, HELD = 4, 29
"""Seeds of occluded scenes: with a medical mask, with a hand before the face."""
HAIRLESS = 9
"""Seed of a person without a beard."""


@pytest.fixture(scope="module")
def renderer(makehuman):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Renderer(makehuman, SIZE)
    torch.set_num_threads(before)


def still(**changes):
    """A scene of an unmoved, uncovered face that looks ahead."""
    plain = sample_scene(3, "ordinary")
    straight = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "body_yaw": 0.0, "gaze": (0.0, 0.0), "blink": (0.0, 0.0)}
    empty = {"expression": replace(plain.expression, morphs={}, units={}), "worn": (), "props": ()}
    return replace(plain, **(straight | empty | changes))


def expression(scene, morphs=(), units=()):
    return replace(scene.expression, morphs=dict(morphs), units=dict(units))


@pytest.fixture(scope="module")
def moved(renderer):
    """One person: as they are; winking with the left eye; turned; looking aside; mouth and one brow moved."""
    plain = still()
    scenes = [
        plain,
        still(blink=(1.0, 0.0)),
        still(yaw=35.0, pitch=10.0, roll=-8.0),
        still(gaze=(20.0, 8.0)),
        still(expression=expression(plain, {"eyebrows-left-up": 0.7}, {"JawDrop": 0.8})),
    ]
    return renderer.render([sample_person(HAIRLESS)] * len(scenes), scenes).labels, scenes


def test_the_left_iris_lies_between_the_lids_of_the_left_eye(moved):
    labels, _ = moved
    for row in (0, 3):
        points, irises = labels.landmarks68[row, :, :2], labels.iris[row, :, :2]
        for iris, lids in zip(irises, (points[42:48], points[36:42]), strict=True):
            assert lids[:, 0].min() < iris[0] < lids[:, 0].max()
        assert irises[0, 0] > irises[1, 0]


def test_angles_are_the_scenes_and_the_points_turn_with_them(moved):
    labels, scenes = moved
    asked = torch.tensor([[s.yaw, s.pitch, s.roll] for s in scenes])
    torch.testing.assert_close(labels.pose_degrees, asked)
    torch.testing.assert_close(labels.gaze_degrees, torch.tensor([[s.gaze, s.gaze] for s in scenes]))
    nose = labels.landmarks68[:, 30, :2] - labels.landmarks68[:, 36:48, :2].mean(1)
    assert nose[2, 0] > nose[0, 0] + 3, "yaw to the frame's right"
    shift = labels.iris[3, :, :2] - labels.iris[0, :, :2]
    assert (shift[:, 0] > 0).all()
    assert (shift[:, 1] < 0).all()


def test_openness_names_mouth_left_and_right_eye(moved):
    mouth, left, right = moved[0].openness.T
    assert left[1] < 0.3 * left[0]
    assert right[1] > 0.9 * right[0]
    assert mouth[4] > mouth[0] + 0.1


def test_openness_is_the_gap_over_the_distance_of_the_eyes():
    points, eyes = torch.zeros(1, 68, 3), torch.tensor([[[1.0, 0, 0], [-1.0, 0, 0]]])
    for upper, gap in ((62, 1.0), (37, 0.2), (38, 0.4), (43, 0.6), (44, 0.8)):
        points[0, upper, 1] = gap
    torch.testing.assert_close(openness(points, eyes), torch.tensor([[0.5, 0.35, 0.15]]))


def test_expression_weights_stand_at_their_names_morphs_first(moved, renderer):
    labels, scenes = moved
    names = [*renderer.body.morph_names, *renderer.body.unit_names]
    for row, scene in enumerate(scenes):
        expected = dict.fromkeys(names, 0.0) | scene.expression.morphs | scene.expression.units
        torch.testing.assert_close(labels.expression[row], torch.tensor(list(expected.values())))


def test_normals_are_unit_vectors_that_look_out_of_the_face(moved):
    labels, _ = moved
    length = labels.normals[0].norm(dim=0)
    assert ((length < 1e-3) | ((length - 1).abs() < 1e-3)).all()
    assert (length[labels.regions[0] == REGIONS["background"]] < 1e-3).float().mean() > 0.9

    def at(point):
        x, y = (int(v) for v in labels.landmarks68[0, point, :2])
        return labels.normals[0, :, y, x]

    assert at(30)[2] > 0.6
    assert at(35)[0] > 0.1 > -0.1 > at(31)[0], "the wings of the nose look to their sides"
    assert at(8)[1] < at(27)[1], "the chin looks lower than the bridge of the nose"


def test_a_mask_covers_the_mouth_and_not_the_brow(renderer):
    scene = replace(sample_scene(MASKED, "occluded"), props=())
    labels = renderer.render([sample_person(HAIRLESS)], [scene]).labels
    x, y = (int(v) for v in labels.landmarks68[0, [51, 57], :2].mean(0))
    assert labels.regions[0, y, x] == REGIONS["face_mask"]
    assert labels.occluder[0, y, x] == 1
    x, y = (int(v) for v in labels.landmarks68[0, [21, 22], :2].mean(0))
    assert labels.occluder[0, y, x] == 0
    assert labels.inner[0][labels.occluder[0] == 1].max() == 0


def test_the_occluder_is_what_its_region_says(renderer):
    scene = sample_scene(HELD, "occluded")
    labels = renderer.render([sample_person(HAIRLESS)], [scene]).labels
    held = torch.isin(labels.regions, torch.tensor([REGIONS["occluder"], REGIONS["face_mask"]]))
    assert held.float().mean() > 0.02
    assert (labels.occluder[held] >= 0.25).all(), "the most frequent of four samples has one of them at least"
    assert (labels.occluder[~held] <= 0.5).all()
    whole = labels.occluder == 1
    assert labels.own[whole].max() == 0, "a hand in front is not the person's"


def test_points_behind_a_wall_or_outside_are_hidden():
    view = make_view([Camera(fov_degrees=20.0, scale=0.5, shift_xy=(0.0, 0.0), roll=0.0)], torch.device("cpu"))
    world = torch.tensor([[[0.0, 0.0, 0.0], [0.0, 0.0, -0.5], [0.0, 0.0, 0.5], [50.0, 0.0, 0.0]]])
    placed = view.project(world, 8)
    wall = placed[0, 0, 2].expand(1, 16, 16)
    assert visible(placed, wall, view, 8).tolist() == [[1, 0, 1, 0]]


def test_pixels_take_the_most_frequent_and_the_nearest_of_their_samples():
    generator = torch.Generator().manual_seed(3)
    labels = torch.randint(0, 5, (2, 6, 6), generator=generator).to(torch.uint8)
    depth = torch.rand(2, 6, 6, generator=generator)
    most, least = majority(labels, 3), smallest(depth, 3)
    for b in range(2):
        for y in range(3):
            for x in range(3):
                block = np_block(labels, b, y, x)
                assert int(most[b, y, x]) == min(set(block), key=lambda label: (-block.count(label), label))
                assert float(least[b, y, x]) == min(np_block(depth, b, y, x))


def np_block(samples, b, y, x):
    return samples[b, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].flatten().tolist()


def test_rows_come_apart_and_together_again(moved):
    labels, scenes = moved
    parts = [labels.row(number) for number in range(len(scenes))]
    whole = Labels.join(parts)
    for entry in fields(Labels):
        assert torch.equal(getattr(whole, entry.name), getattr(labels, entry.name))
        assert torch.equal(getattr(parts[2], entry.name)[0], getattr(labels, entry.name)[2])


def test_only_where_takes_planes_of_the_other_outside(moved):
    one, other = moved[0].row(0), moved[0].row(2)
    mask = torch.zeros(1, SIZE, SIZE, dtype=torch.bool)
    mask[:, :, : SIZE // 2] = True
    mixed = one.only_where(mask, other)
    for name in PLANES:
        found = getattr(mixed, name)
        assert torch.equal(found[..., : SIZE // 2], getattr(one, name)[..., : SIZE // 2])
        assert torch.equal(found[..., SIZE // 2 :], getattr(other, name)[..., SIZE // 2 :])
    assert torch.equal(mixed.pose_degrees, one.pose_degrees)


def test_each_eye_is_painted_with_its_own_iris(renderer):
    """A dark iris is where the label of that side says."""
    person = sample_person(HAIRLESS)
    scene = still(camera=Camera(fov_degrees=20.0, scale=1.6, shift_xy=(0.0, 0.0), roll=0.0))
    bright, dark = (1.6, 1.6, 1.6), (0.0, 0.0, 0.0)
    eyes = [
        replace(person.eyes, left=person.eyes.left, right=person.eyes.left, left_tint=left, right_tint=right)
        for left, right in ((dark, bright), (bright, dark))
    ]
    made = renderer.render([replace(person, eyes=one) for one in eyes], [scene, scene])
    change = made.image[1].float().mean(0) - made.image[0].float().mean(0)
    for iris, sign in zip(made.labels.iris[0, :, :2], (1, -1), strict=True):
        x, y = (int(v) for v in iris)
        near = sign * change[y - 2 : y + 3, x - 2 : x + 3]
        assert near.mean() > 5
