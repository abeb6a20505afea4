"""Pictures and their truth: what two people in one scene share, and whether labels say what the picture shows."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.data.camera import reach_px  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.render import OVERSAMPLING, TRUTHS, Renderer, grown, pooled  # noqa: E402
from facegraft.data.synth.scene import FACE_HEIGHT_DM, sample_scene  # noqa: E402

SIZE = 96


@pytest.fixture(scope="module")
def renderer(makehuman):
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # sums depend on how many threads share them
    yield Renderer(makehuman, SIZE)
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def swaps(renderer):
    """Six swaps in six scenes of all kinds, and their scenes."""
    strata = ("mixed", "ordinary", "large pose", "extreme expression", "occluded", "hard light")
    scenes = [sample_scene(40 + i, stratum) for i, stratum in enumerate(strata)]
    identities, attributes = ([sample_person(first + i) for i in range(6)] for first in (10, 20))
    return renderer.swap(identities, attributes, scenes), scenes, identities, attributes


def test_shapes_ranges_and_that_faces_are_there(swaps):
    pictures = swaps[0].pictures
    assert pictures.image.shape == (6, 3, SIZE, SIZE)
    assert pictures.image.dtype == torch.uint8
    labels = pictures.labels
    assert set(labels.regions.unique().tolist()) <= set(REGIONS.values())
    face = torch.isin(labels.regions, torch.tensor([REGIONS[n] for n in ("face", "nose", "brow", "beard", "neck")]))
    assert (face.float().mean((1, 2)) > 0.04).all()
    assert ((labels.own >= 0) & (labels.own <= 1)).all()
    assert (labels.inner <= labels.own + 1e-6).all()
    assert pictures.image.float().std(dim=(1, 2, 3)).min() > 12


@pytest.mark.parametrize("kind", TRUTHS)
def test_an_answer_equals_the_attribute_picture_outside_what_is_swapped(swaps, kind):
    made, scenes, _, _ = swaps
    here, there = made.pictures, made.truths[kind]
    name = "own" if kind == "head" else "inner"
    shows = (getattr(here.labels, name) > 0) | (getattr(there.labels, name) > 0)
    for row, scene in enumerate(scenes):
        far = ~grown(shows[row : row + 1], reach_px(scene.post, SIZE, shared_glow=True))[0]
        assert torch.equal(here.image[row][:, far], there.image[row][:, far])
        assert torch.equal(here.labels.regions[row][~shows[row]], there.labels.regions[row][~shows[row]])
        assert torch.equal(here.labels.depth[row][~shows[row]], there.labels.depth[row][~shows[row]])
        assert far.float().mean() > 0.15 or scene.post.jpeg < 100
        differs = (here.image[row] != there.image[row]).any(0).float().mean()
        assert differs > 0.03  # and a swap did happen


def test_the_renderer_itself_keeps_background_and_things(renderer, swaps):
    """Before anything is composed: linear light of two people in one scene, where neither is."""
    _, scenes, identities, attributes = swaps
    for a, b, scene in list(zip(identities, attributes, scenes, strict=True))[3:5]:
        shots = [renderer.shoot([renderer.cast.actor(person)], [scene]) for person in (a, b)]
        own = pooled((shots[0].samples.own | shots[1].samples.own).float()[:, None])[:, 0] > 0
        light = [shot.linear.permute(0, 2, 3, 1)[~own] for shot in shots]
        torch.testing.assert_close(light[0], light[1], atol=2e-4, rtol=1e-3)


def test_labels_of_one_scene_agree_whoever_is_in_it(swaps):
    made, _, _, _ = swaps
    for kind in TRUTHS:
        for name in ("pose_degrees", "gaze_degrees", "expression", "light", "key", "camera"):
            assert torch.equal(getattr(made.pictures.labels, name), getattr(made.truths[kind].labels, name)), name


def test_the_inner_truth_lies_between_the_two_people(renderer, swaps):
    """Features are the identity's, the outline is the attribute's: in shape, whatever the picture shows."""
    _, _, identities, attributes = swaps
    body, cast = renderer.body, renderer.cast
    for a, b in zip(identities, attributes, strict=True):
        mixed, own, other = cast.inner_face(a, b, recoloured=False), cast.actor(a), cast.actor(b)
        points = body.landmarks
        eye_mouth = points[36:]
        aligned = [match(x.neutral[eye_mouth], mixed.neutral[eye_mouth]) for x in (own, other)]
        assert aligned[0] < 0.35 * aligned[1] + 0.004
        ears = renderer.cast.shares == 0
        assert torch.equal(mixed.neutral[ears], other.neutral[ears])


def match(points, onto):
    """Distance left after the best similarity, decimetres."""
    from facegraft.data.synth.cast import align

    return float((align(points, onto, torch.ones(len(points))) - onto).norm(dim=1).mean())


def test_recoloured_faces_have_the_attributes_mean_colour(renderer, swaps):
    _, _, identities, attributes = swaps
    cast, face = renderer.cast, renderer.space.face > 0.95
    for a, b in zip(identities[:3], attributes[:3], strict=True):
        means = [
            actor.atlas[face][:, :3].float().clamp(min=1e-3).log().mean(0)
            for actor in (cast.inner_face(a, b, recoloured=True), cast.actor(b))
        ]
        torch.testing.assert_close(*means, atol=0.12, rtol=0)


def test_landmarks_are_where_a_pinhole_camera_puts_the_vertices(renderer, swaps):
    """Against the camera's definition, written down anew in double precision."""
    made, scenes, _, attributes = swaps
    shot = renderer.shoot([renderer.cast.actor(a) for a in attributes[:3]], scenes[:3])
    vertices = shot.posed.vertices[:, renderer.body.landmarks].double().numpy()
    labels = made.pictures.labels.landmarks68.numpy()
    for row, scene in enumerate(scenes[:3]):
        camera = scene.camera
        tangent = math.tan(math.radians(camera.fov_degrees / 2))
        distance = FACE_HEIGHT_DM / (2 * camera.scale * tangent)
        x, y, z = vertices[row].T
        across, up = x / (distance - z) / (2 * tangent), y / (distance - z) / (2 * tangent)
        roll = math.radians(camera.roll)
        column = across * math.cos(roll) + up * math.sin(roll)
        line = across * math.sin(roll) - up * math.cos(roll)
        expected = np.stack([column + 0.5 + camera.shift_xy[0], line + 0.5 + camera.shift_xy[1]], 1) * SIZE
        np.testing.assert_allclose(labels[row, :, :2], expected, atol=0.02)


def test_visible_eye_corners_lie_at_eyes_and_hidden_points_behind_something(renderer, swaps):
    made, scenes, _, _ = swaps
    labels = made.pictures.labels
    near_eye = 0
    for row in range(len(scenes)):
        for point in (36, 39, 42, 45):
            if labels.visible68[row, point] and not scenes[row].worn:
                x, y = (int(v) for v in labels.landmarks68[row, point, :2])
                patch = labels.regions[row, max(y - 3, 0) : y + 4, max(x - 3, 0) : x + 4]
                assert bool(((patch == REGIONS["eye"]) | (patch == REGIONS["lash"]) | (patch == REGIONS["face"])).any())
                near_eye += 1
    assert near_eye > 3
    side = replace(scenes[1], yaw=70.0, pitch=0.0, roll=0.0, gaze=(0.0, 0.0))
    turned = renderer.render([sample_person(4)], [side]).labels
    # The face looks to the frame's right: the person's right jaw is towards the camera, the left one behind the head.
    assert turned.visible68[0, :6].mean() > turned.visible68[0, 11:17].mean()


def test_brows_lie_where_their_landmarks_are(renderer):
    """Bald, bare and from the front: most brow points stand on brow, and no brow is painted anywhere far from them."""
    scene = sample_scene(3, "ordinary")
    bare = replace(scene, yaw=0.0, pitch=0.0, roll=0.0, worn=(), props=(), hair=replace(scene.hair, style="bald"))
    people = [replace(p, brow=replace(p.brow, style="001", strength=1.0)) for p in map(sample_person, (4, 6, 8))]
    labels = renderer.render(people, [bare] * 3).labels
    for row in range(3):
        brow = labels.regions[row] == REGIONS["brow"]
        at = brow.nonzero().flip(1) + 0.5
        points = labels.landmarks68[row, 17:27, :2]
        assert brow.sum() > 8
        assert torch.cdist(at, points).amin(1).max() < 0.07 * SIZE
        assert (torch.cdist(points, at).amin(1) < 0.03 * SIZE).float().mean() > 0.6


def test_the_pupil_is_dark_and_where_the_iris_label_says(renderer):
    scene = replace(
        sample_scene(3, "ordinary"), yaw=0.0, pitch=0.0, roll=0.0, gaze=(0.0, 0.0), blink=(0.0, 0.0), worn=(), props=()
    )
    labels = renderer.render([sample_person(6)], [scene]).labels
    for eye in range(2):
        x, y = (int(v) for v in labels.iris[0, eye, :2])
        assert labels.visible_iris[0, eye] == 1
        assert labels.regions[0, y, x] == REGIONS["eye"]


def test_the_same_seed_gives_the_same_picture_alone_or_in_a_batch(renderer):
    people, scenes = [sample_person(i) for i in range(3)], [sample_scene(60 + i, "mixed") for i in range(3)]
    together, again = renderer.render(people, scenes), renderer.render(people, scenes)
    assert torch.equal(together.image, again.image)
    alone = renderer.render(people[1:2], scenes[1:2])
    difference = (alone.image[0].int() - together.image[1].int()).abs()
    assert (difference > 2).float().mean() < 2e-3  # sums of another batch are rounded differently
    torch.testing.assert_close(alone.labels.landmarks68[0], together.labels.landmarks68[1], atol=0.01, rtol=0)


def test_depth_is_the_distance_to_what_is_seen(swaps):
    labels = swaps[0].pictures.labels
    for row in range(6):
        for point in (30, 33, 27):
            if labels.visible68[row, point]:
                x, y, far = labels.landmarks68[row, point].tolist()
                if 0 <= x < SIZE and 0 <= y < SIZE:
                    assert abs(float(labels.depth[row, int(y), int(x)]) - far) < 0.12


def test_bad_calls_are_named(renderer):
    person, scene = sample_person(0), sample_scene(0)
    with pytest.raises(ValueError, match="as many scenes as people"):
        renderer.render([person], [scene, scene])
    with pytest.raises(ValueError, match="inner"):
        renderer.truth([person], [person], [scene], "outer")


def test_oversampled_masks_are_means():
    samples = torch.zeros(1, 1, 4, 4)
    samples[..., 0, 0] = 1
    assert OVERSAMPLING == 2
    assert pooled(samples)[0, 0, 0, 0] == 0.25
