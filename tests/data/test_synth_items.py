"""Rendered batches as items: every row its own picture, labels and person."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

torch = pytest.importorskip("torch", reason="rendering needs the extra `train`")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.data.item import Item, depth_plane  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.render import Renderer  # noqa: E402
from facegraft.data.synth.scene import evenly_lit, sample_scene  # noqa: E402
from facegraft.data.synth_items import _occluded, changed_plane, make_items, with_even_light  # noqa: E402
from facegraft.data.synth_plan import PLANES, USUAL_PLANES, Shot, SynthOptions  # noqa: E402

SEEDS = (2, 0, 9)


@pytest.fixture(scope="module")
def batch(makehuman):
    people = [sample_person(seed) for seed in SEEDS]
    scenes = [sample_scene(seed, stratum) for seed, stratum in ((1, "occluded"), (2, "ordinary"), (3, "large pose"))]
    rendered = Renderer(makehuman, 48).render(people, scenes)
    shots = [Shot(f"k{n}", seed, 7 + n, scenes[n].stratum) for n, seed in enumerate(SEEDS)]
    options = SynthOptions("pictures", 3, 3, size_px=48, picture="png", planes=",".join(PLANES))
    return make_items(rendered, shots, people, scenes, options), rendered, people, scenes


def test_the_same_moment_in_even_light(batch, makehuman):
    items, _, people, scenes = batch
    even = Renderer(makehuman, 48).render(people, [evenly_lit(scene) for scene in scenes], labels=False)
    lit = with_even_light(items, even)
    for row, item in enumerate(lit):
        np.testing.assert_array_equal(item.even(), even.image[row].permute(1, 2, 0).numpy())
        np.testing.assert_array_equal(item.plane("regions"), items[row].plane("regions"))
        face = item.plane("visible") > 250
        assert not np.array_equal(item.even()[face], item.frame()[face])
        with pytest.raises(BadInputError, match=r"call item\.even\(\)"):
            item.plane("even")
    with pytest.raises(BadInputError, match="k0: even: no plane 'even'"):
        items[0].even()


def test_every_item_holds_its_own_row(batch):
    items, rendered, people, scenes = batch
    labels = rendered.labels
    for row, item in enumerate(items):
        assert np.array_equal(item.frame(), rendered.image[row].permute(1, 2, 0).numpy())
        for name in ("landmarks68", "iris", "dense"):
            assert np.array_equal(item.arrays[name], getattr(labels, name)[row, :, :2].numpy()), name
        for name in ("pose_degrees", "gaze_degrees", "expression", "light", "camera", "visible68", "visible_dense"):
            assert np.array_equal(item.arrays[name], getattr(labels, name)[row].numpy()), name
        assert np.array_equal(item.plane("regions"), labels.regions[row].numpy())
        for plane, share in (("occluder", labels.occluder), ("visible", labels.inner), ("own", labels.own)):
            np.testing.assert_allclose(item.plane(plane) / 255, share[row].numpy(), atol=0.5 / 255 + 1e-6)
        assert (item.person, item.stratum) == (f"rendered-{SEEDS[row]}", scenes[row].stratum)
        assert item.facts["age"] == pytest.approx(people[row].age, abs=0.05)
        assert item.facts["female"] == pytest.approx(people[row].female, abs=0.001)
        assert item.facts["expression"] == scenes[row].expression.name


def test_depth_and_normals_come_back_as_they_were_rendered(batch):
    items, rendered, _, _ = batch
    for row, item in enumerate(items):
        depth, normals = rendered.labels.depth[row].numpy(), rendered.labels.normals[row].permute(1, 2, 0).numpy()
        background = depth == 0
        assert 0.02 < background.mean() < 0.9
        np.testing.assert_array_equal(item.depth() == 0, background)
        np.testing.assert_allclose(item.depth(), depth, atol=0.0005 + 1e-5)  # decimetres: half of 0.1 mm
        empty = np.linalg.norm(normals, axis=2) == 0
        np.testing.assert_array_equal(np.linalg.norm(item.normals(), axis=2) == 0, empty)
        apart = np.linalg.norm(np.cross(item.normals()[~empty], normals[~empty]), axis=1)
        assert np.degrees(np.arcsin(apart.max())) < 0.4
        assert (item.normals() * normals).sum(axis=2)[~empty].min() > 0.99
        for name in ("depth", "normals"):
            with pytest.raises(BadInputError, match=rf"{item.key}: .* call item\.{name}\(\)"):
                item.plane(name)


def test_only_the_planes_asked_for_are_stored(batch):
    items, rendered, people, scenes = batch
    shots = [Shot(f"k{n}", 0, n, scene.stratum) for n, scene in enumerate(scenes)]
    usual, few = (
        make_items(rendered, shots, people, scenes, SynthOptions("pictures", 3, 3, size_px=48, planes=planes))
        for planes in (USUAL_PLANES, "own,depth")
    )
    assert [list(item.planes) for item in usual] == [["regions", "occluder", "visible", "own"]] * 3
    assert [list(item.planes) for item in few] == [["own", "depth"]] * 3
    assert [item.facts["occluded_share"] for item in few] == [item.facts["occluded_share"] for item in items]
    with pytest.raises(BadInputError, match="k0: normals: no plane 'normals'; it has own, depth"):
        few[0].normals()


@given(npst.arrays(np.float32, (2, 3), elements=st.floats(0, 65.5, width=32, allow_subnormal=False)))
def test_distances_survive_to_half_a_step(depth):
    item = Item("k", "", b"", "", "", "", synthetic=True, planes={"depth": depth_plane(depth)})
    np.testing.assert_allclose(item.depth(), depth, atol=0.5 / 1000 + 1e-5)


def test_the_occluded_share_counts_within_the_face_only():
    square = np.tile(np.float32([[10, 10], [29, 10], [29, 29], [10, 29]]), (17, 1))
    occluder = np.zeros((48, 48), np.uint8)
    occluder[:, :20] = 255
    assert _occluded(occluder, square) == pytest.approx(0.5)
    assert _occluded(255 - occluder, square) == pytest.approx(0.5)
    occluder[:] = 0
    occluder[35:] = 255
    assert _occluded(occluder, square) == 0


def test_changed_is_white_where_any_channel_differs():
    picture = torch.zeros(3, 4, 5, dtype=torch.uint8)
    answer = picture.clone()
    answer[1, 2, 3] = 1
    plane = np.asarray(Image.open(io.BytesIO(changed_plane(answer, picture))))
    assert plane[2, 3] == 255
    assert plane.sum() == 255
