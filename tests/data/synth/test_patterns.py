"""Patterns of cloth: tiles without seams, seen in the picture, not in the labels, fixed to the body."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.data.regions import REGIONS
from facegraft.data.synth import wear
from facegraft.data.synth.patterns import PATTERNS, TILE_PX, pattern_texture

torch = pytest.importorskip("torch")

from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.perform import motion_of  # noqa: E402
from facegraft.data.synth.render import Renderer  # noqa: E402
from facegraft.data.synth.scene import Camera, Post, sample_scene  # noqa: E402

BLUE, WHITE = (0.04, 0.07, 0.30), (0.60, 0.58, 0.55)


@pytest.fixture(scope="module")
def renderer(makehuman):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Renderer(makehuman, 96)
    torch.set_num_threads(before)


def scene(pattern: str, size: float = 0.4, **changes):
    plain = sample_scene(3, "ordinary")
    cloth = wear.Cloth("t-shirt", BLUE, WHITE, pattern, size, 0.0)
    still = {"yaw": 0.0, "body_yaw": 0.0, "worn": (), "props": (), "post": Post()}
    camera = Camera(20.0, 0.4, (0.0, -0.12), 0.0)
    return replace(
        plain, **(still | {"cloth": cloth, "camera": camera, "hair": replace(plain.hair, style="bald")} | changes)
    )


@pytest.mark.parametrize("name", PATTERNS)
def test_tiles_repeat_without_a_seam_and_keep_the_mean(name: str) -> None:
    tile = pattern_texture(name)
    assert tile.shape == (2, TILE_PX, TILE_PX)
    assert 0 <= tile[0].min() <= tile[0].max() <= 1
    assert tile[1].min() > 0
    assert tile[1].mean() == pytest.approx(1, abs=1e-5)
    assert tile.std((1, 2)).max() > 0.05
    np.testing.assert_array_equal(tile, pattern_texture(name))
    for axis in (1, 2):
        steps = np.abs(np.diff(tile, axis=axis)).max()
        seam = np.abs(np.take(tile, 0, axis) - np.take(tile, -1, axis)).max()
        assert seam <= steps + 1e-6


def test_every_pattern_of_a_scene_can_be_drawn_and_an_unknown_one_is_refused() -> None:
    assert {*PATTERNS, "plain"} == set(wear.PATTERNS)
    drawn = {wear.sample_cloth(np.random.default_rng(seed)).pattern for seed in range(300)}
    assert drawn == set(wear.PATTERNS)
    with pytest.raises(BadInputError, match="expected one of heather"):
        pattern_texture("plain")


def test_patterns_show_on_cloth_alone_and_change_no_label(renderer):
    person, names = sample_person(4), ("plain", "stripes", "checks", "print", "heather", "knit")
    made = renderer.render([person] * len(names), [scene(name) for name in names])
    labels = made.labels
    cloth = labels.regions[0] == REGIONS["cloth"]
    inner = torch.nn.functional.max_pool2d((~cloth).float()[None, None], 5, 1, 2)[0, 0] == 0
    assert inner.float().mean() > 0.1
    grey = made.image.float().mean(1)
    for row, name in enumerate(names):
        for label in ("regions", "landmarks68", "depth", "normals", "occluder"):
            if hasattr(labels, label):
                assert torch.equal(getattr(labels, label)[row], getattr(labels, label)[0]), (name, label)
        if name != "plain":
            changed = (grey[row] - grey[0]).abs()
            assert changed[inner].mean() > (0.3 if name == "knit" else 8), "knit is too fine for 96 px, and fades"
            assert changed[~cloth & (labels.regions[0] != 0)].mean() < 1.5, "but for light in the lens, skin stays"
    rough = {name: local_contrast(grey[row], inner) for row, name in enumerate(names)}
    assert rough["stripes"] > 4 * rough["plain"]
    assert rough["checks"] > 3 * rough["plain"]
    again = renderer.render([person] * len(names), [scene(name) for name in names], labels=False)
    assert torch.equal(made.image, again.image), "the same scenes give the same pictures"


def local_contrast(grey, where) -> float:
    """Mean step between neighbouring rows of samples."""
    return float((grey[1:] - grey[:-1]).abs()[where[1:]].mean())


def test_a_pattern_is_fixed_to_the_cloth_whoever_wears_it_and_however_they_stand(renderer):
    """What is looked up at a vertex stays, while the vertex moves; and no triangle is stretched to a smear."""
    scenes = [scene("print"), scene("print", yaw=25.0, body_yaw=30.0), scene("print")]
    actors = [renderer.cast.actor(sample_person(seed)) for seed in (4, 4, 7)]
    neutral, race = (torch.stack([getattr(actor, name) for actor in actors]) for name in ("neutral", "race"))
    posed = renderer.body.pose(neutral, race, motion_of(scenes, renderer.body))
    soup = renderer.dresser.dress(actors, scenes, posed)
    part = (soup.region == REGIONS["cloth"]).nonzero()[:, 0]
    corners = [soup.triangles[soup.part == number] for number in part[soup.picture[part].argsort()]]
    at = [soup.vertices[three.reshape(-1)] for three in corners]
    for other in at[1:]:
        assert torch.equal(at[0][:, 6:8], other[:, 6:8])
        assert (at[0][:, :3] - other[:, :3]).abs().max() > 0.1
    period = PATTERNS["print"].period * 0.4 * PATTERNS["print"].repeats
    points, uvs = at[0][:, :3].reshape(-1, 3, 3), at[0][:, 6:8].reshape(-1, 3, 2) * period
    place = at[0][:, 8:11].reshape(-1, 3, 3)
    seen = ((place[..., 1] > 4.3) & (place[..., 2] > 0.3) & (place[..., 0].abs() < 1.2)).all(1)
    length, laid = ((v[:, 1] - v[:, 0]).norm(dim=1)[seen] for v in (points, uvs))
    assert 0.6 < (laid / length).median() < 1.4


def test_what_samples_cannot_see_fades_into_the_mean(renderer):
    """Stripes thinner than two samples: the colour between, no false waves."""
    fine, mean = 0.01, pattern_texture("stripes")[0].mean()
    between = tuple(a + (b - a) * float(mean) for a, b in zip(BLUE, WHITE, strict=True))
    same = scene("plain")
    scenes = [scene("stripes", fine), replace(same, cloth=replace(same.cloth, colour=between))]
    images = renderer.render([sample_person(4)] * 2, scenes, labels=False).image.float()
    assert (images[0] - images[1]).abs().max() <= 1
