"""Swaps rendered on the fly."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.geometry import transform, warp  # noqa: E402
from facegraft.data.framing import points5_of  # noqa: E402
from facegraft.data.loader import BatchMaker  # noqa: E402
from facegraft.data.synth.people import sample_person  # noqa: E402
from facegraft.data.synth.render import Renderer  # noqa: E402
from facegraft.data.synth.scene import sample_scene  # noqa: E402
from facegraft.data.synth.stream import RenderedPairs, StreamOptions  # noqa: E402
from facegraft.data.synth_plan import PEOPLE_PER_SEED, RESERVED, SynthOptions, shots_of  # noqa: E402
from facegraft.faces.align import alignment  # noqa: E402


@pytest.fixture(scope="module")
def renderer(makehuman):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield Renderer(makehuman, 48)
    torch.set_num_threads(before)


def test_batches_are_cut_from_one_sequence(renderer):
    maker = RenderedPairs(renderer, StreamOptions(people=4, same_share=0.4, exact_share=0.5))
    assert isinstance(maker, BatchMaker)
    four = maker.batch(3, 8, 4)
    two = maker.batch(3, 10, 2)
    assert torch.equal(four.identity_person[2:], two.identity_person)
    assert torch.equal(four.has_truth[2:], two.has_truth)
    far = (four.attribute.image[2:] - two.attribute.image).abs() > 3 / 127.5
    assert far.float().mean() < 5e-3
    assert four.attribute.image.min() >= -1
    assert four.attribute.image.max() <= 1


def test_same_people_answer_with_the_picture_and_strangers_differ(renderer):
    maker = RenderedPairs(renderer, StreamOptions(people=4, same_share=0.5, exact_share=0.5))
    batch = maker.batch(1, 0, 8)
    same = batch.identity_person == batch.attribute_person
    assert 0 < int(same.sum()) < 8
    assert batch.has_truth[same].all()
    assert torch.equal(batch.truth[same], batch.attribute.image[same])
    strangers = ~same & batch.has_truth
    assert int(strangers.sum()) > 0
    assert (batch.changed[strangers].mean((1, 2, 3)) > 0.03).all()
    assert (batch.truth[~batch.has_truth] == 0).all()


def test_draws_have_the_shares_asked_for_and_never_repeat(renderer):
    maker = RenderedPairs(renderer, StreamOptions(people=50, same_share=0.2, exact_share=0.75))
    draws = [maker.draw(7, n) for n in range(4000)]
    same = [d.identity == d.attribute for d in draws]
    assert sum(same) / 4000 == pytest.approx(0.2, abs=0.02)
    rest = [d.exact for d, s in zip(draws, same, strict=True) if not s]
    assert sum(rest) / len(rest) == pytest.approx(0.75, abs=0.03)
    assert len({d.scenes for d in draws}) == 4000
    assert draws[5] == maker.draw(7, 5) != maker.draw(8, 5)


def test_a_batch_holds_what_its_draws_say(renderer):
    options = StreamOptions(people=4, people_seed=20, same_share=0.3, exact_share=0.5, truth="inner_recoloured")
    maker = RenderedPairs(renderer, options)
    draws = [maker.draw(2, n) for n in range(6)]
    batch = maker.batch(2, 0, 6)
    assert batch.identity_person.tolist() == [d.identity for d in draws]
    assert batch.attribute_person.tolist() == [d.attribute for d in draws]
    assert batch.has_truth.tolist() == [d.exact for d in draws]
    assert {True, False} == set(batch.has_truth.tolist())
    exact = next(n for n, d in enumerate(draws) if d.exact and d.identity != d.attribute)
    draw = draws[exact]
    who, on = (sample_person(20_000_000 + number) for number in (draw.identity, draw.attribute))
    here, there = sample_scene(draw.scenes[0], "ordinary"), sample_scene(draw.scenes[1], "mixed")
    asked, shown = renderer.render([who], [here]), renderer.render([on], [there])
    answer = renderer.truth([who], [on], [there], "inner_recoloured")
    for found, made in ((batch.identity.image, asked), (batch.attribute.image, shown), (batch.truth, answer)):
        apart = (found[exact] - (made.image[0].float() / 127.5 - 1)).abs()
        assert (apart > 3 / 127.5).float().mean() < 5e-3
    assert batch.attribute.mask is not None
    assert (batch.attribute.mask[exact, 0] - shown.labels.inner[0]).abs().mean() < 5e-3
    changed = (batch.truth[exact] != batch.attribute.image[exact]).any(0)
    assert torch.equal(batch.changed[exact, 0] > 0, changed)


def test_its_people_are_those_of_datasets_and_never_those_of_benchmarks(renderer):
    shots = shots_of(SynthOptions("pictures", people=4, images=4, seed=6), 0, 4)
    maker = RenderedPairs(renderer, StreamOptions(people=4, people_seed=6))
    assert [maker._person(number).seed for number in range(4)] == [shot.person for shot in shots]
    last = RESERVED.start // PEOPLE_PER_SEED - 1
    RenderedPairs(renderer, StreamOptions(people=PEOPLE_PER_SEED, people_seed=last))
    for people, seed in ((PEOPLE_PER_SEED, last + 1), (2, RESERVED.start), (PEOPLE_PER_SEED + 1, 0)):
        with pytest.raises(BadInputError, match="kept for the benchmark sets"):
            RenderedPairs(renderer, StreamOptions(people=people, people_seed=seed))


def test_people_come_and_go(renderer):
    """Few at a time, so that they need not be baked again; each in so many pairs, then another."""
    maker = RenderedPairs(renderer, StreamOptions(people=500, together=8, meetings=10, same_share=0.0))
    draws = [maker.draw(1, n) for n in range(2000)]
    seen = [{d.identity, d.attribute} for d in draws]
    assert all(len(set.union(*seen[n : n + 5])) <= 8 for n in range(0, 2000, 5))
    assert {len(pair) for pair in seen} == {2}
    times = [sum(person in pair for pair in seen) for person in range(20, 380)]
    assert sum(times) / len(times) == pytest.approx(10, rel=0.05)
    assert set.union(*seen) == set(range(407))  # eight at first, and one more every five pairs


def test_pictures_by_a_template_are_what_the_loader_would_crop(renderer, makehuman):
    """The same points, a picture like the crop's, and a right answer that shares the attribute image's frame."""
    size, template = 48, "arcface_112_v1"
    framed = Renderer(makehuman, size, template=template)
    who, on = [sample_person(1), sample_person(2)], [sample_person(3), sample_person(4)]
    scenes = [sample_scene(seed, "ordinary") for seed in (5, 6)]
    plain = renderer.render(on, scenes)
    made = framed.swap(who, on, scenes, ("inner",))
    answer = made.truths["inner"]
    for row in range(2):
        matrix = alignment(points5_of(plain.labels.dense[row].numpy()), template, size)
        for name in ("landmarks68", "iris", "dense"):
            before, after = (getattr(each.labels, name)[row, :, :2].numpy() for each in (plain, made.pictures))
            assert np.abs(transform(matrix, before) - after).max() < 0.02
        for plane in ("inner", "own"):
            before, after = (getattr(each.labels, plane)[row].numpy() for each in (plain, made.pictures))
            moved = warp(before, matrix, (size, size))
            inside = warp(np.ones_like(before), matrix, (size, size), border=0) > 0.99
            assert np.abs(moved - after)[inside].mean() < 0.03
        outside = ~(answer.labels.own[row] > 0) & ~(made.pictures.labels.own[row] > 0)
        differs = (answer.image[row] != made.pictures.image[row]).any(0)
        assert differs.float().mean() > 0.1
        assert (differs & outside).float().mean() < 0.05
    assert torch.allclose(answer.labels.camera, made.pictures.labels.camera)


@pytest.mark.parametrize(
    "wrong",
    [
        {"people": 1},
        {"people_seed": -1},
        {"same_share": 1.5},
        {"dial": -0.1},
        {"together": 1},
        {"meetings": 0},
        {"truth": "outer"},
        {"stratum": "night"},
    ],
)
def test_wrong_options_are_named(renderer, wrong):
    with pytest.raises(BadInputError, match="expected"):
        RenderedPairs(renderer, StreamOptions(**wrong))
