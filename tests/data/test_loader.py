"""Batches: one order for any number of threads and processes, resumed or not, decoded or from the cache."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402 - torch may be missing
from facegraft.core.image_bytes import encode_frame  # noqa: E402 - torch may be missing
from facegraft.core.seeds import seed_for  # noqa: E402 - torch may be missing
from facegraft.data.augment import GAN  # noqa: E402 - torch may be missing
from facegraft.data.dataset import Dataset, DatasetCard, open_dataset, write_card, write_shard  # noqa: E402 - as above
from facegraft.data.decode import resized  # noqa: E402 - torch may be missing
from facegraft.data.loader import (  # noqa: E402 - torch may be missing
    REQUIRABLE,
    Augment,
    BatchMaker,
    Loader,
    LoaderOptions,
    rendered_batches,
)
from facegraft.data.policies import OURS_EXACT, POLICIES, Policy  # noqa: E402 - torch may be missing
from facegraft.data.vary import vary  # noqa: E402 - torch may be missing
from facegraft.tensors import Aligned, SwapBatch, concatenate, frames_from_images  # noqa: E402 - torch may be missing
from tests.data.small_sets import item, picture, small_set  # noqa: E402 - torch may be missing

OPTIONS = LoaderOptions(batch=6, size_px=32, seed=3)
SECOND = dataclasses.replace(OURS_EXACT, second_photo=True)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return small_set(tmp_path_factory.mktemp("loader") / "set", people=5, photos=4, exact=6)


def tensors(batch: SwapBatch) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for entry in dataclasses.fields(batch):
        value = getattr(batch, entry.name)
        parts = vars(value) if isinstance(value, Aligned) else {"": value}
        found |= {f"{entry.name}.{name}": part for name, part in parts.items() if part is not None}
    return found


def same(one: SwapBatch, two: SwapBatch) -> bool:
    first, second = tensors(one), tensors(two)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def take(loader: Loader, count: int, images_seen: int = 0) -> list[SwapBatch]:
    return list(itertools.islice(loader.batches(images_seen), count))


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_threads_never_change_what_comes_out(dataset: Dataset, workers: int) -> None:
    alone = take(Loader(dataset, SECOND, OPTIONS, requires=REQUIRABLE), 6)
    many = Loader(dataset, SECOND, dataclasses.replace(OPTIONS, workers=workers), requires=REQUIRABLE)
    assert all(map(same, alone, take(many, 6)))
    assert len(tensors(alone[0])) == 3 * 10 + 5


def test_a_resumed_run_equals_an_unbroken_one(dataset: Dataset) -> None:
    loader = Loader(dataset, OURS_EXACT, dataclasses.replace(OPTIONS, workers=2), requires={"mask"})
    unbroken = take(loader, 8)
    again = Loader(dataset, OURS_EXACT, dataclasses.replace(OPTIONS, workers=1), requires={"mask"})
    assert all(map(same, unbroken[5:], take(again, 3, images_seen=5 * 6)))
    assert not same(unbroken[0], unbroken[1])


@pytest.mark.parametrize("world", [2, 3])
def test_ranks_share_one_sequence(dataset: Dataset, world: int) -> None:
    whole = concatenate(take(Loader(dataset, OURS_EXACT, OPTIONS), world))
    options = [dataclasses.replace(OPTIONS, rank=rank, world=world) for rank in range(world)]
    parts = [take(Loader(dataset, OURS_EXACT, option), 1)[0] for option in options]
    for rank, part in enumerate(parts):
        for name, tensor in tensors(part).items():
            assert torch.equal(tensor, tensors(whole)[name][rank::world]), name


@pytest.mark.parametrize("size_px", [16, 32, 40])
def test_the_cache_gives_what_decoding_gives(dataset: Dataset, tmp_path: Path, size_px: int) -> None:
    options = dataclasses.replace(OPTIONS, size_px=size_px)
    requires = REQUIRABLE - {"identity_other"}
    decoded = take(Loader(dataset, OURS_EXACT, options, requires=requires), 5)
    cached = dataclasses.replace(options, cache=tmp_path / "cache", workers=2)
    assert all(map(same, decoded, take(Loader(dataset, OURS_EXACT, cached, requires=requires), 5)))
    (folder,) = (tmp_path / "cache").iterdir()
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    again = Loader(dataset, OURS_EXACT, dataclasses.replace(cached, seed=9), requires=requires)
    assert len(take(again, 1)[0]) == 6
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
    assert folder.parent.joinpath(folder.name) == next(iter((tmp_path / "cache").iterdir()))


def test_a_changed_dataset_gets_a_new_cache(tmp_path: Path) -> None:
    sizes = []

    def first(level: int) -> SwapBatch:
        flat = encode_frame(np.full((32, 32, 3), level, np.uint8))
        shard = write_shard(tmp_path, 0, [item(name, name, image=flat) for name in ("a", "b")])
        write_card(tmp_path, DatasetCard(name="x"))
        os.utime(shard, (level, level))
        sizes.append(shard.stat().st_size)
        options = dataclasses.replace(OPTIONS, cache=tmp_path / "cache")
        return Loader(open_dataset(tmp_path), Policy(), options).batch_at(0)

    assert not torch.equal(first(101).attribute.image, first(102).attribute.image)
    assert sizes[0] == sizes[1]  # only the time tells them apart
    assert len(list((tmp_path / "cache").iterdir())) == 2


def test_a_damaged_picture_is_a_one_line_error_and_leaves_no_cache(tmp_path: Path) -> None:
    damaged = encode_frame(picture(0))[:300]
    write_shard(tmp_path, 0, [item("a", "p"), item("b", "q", image=damaged)])
    write_card(tmp_path, DatasetCard(name="x"))
    dataset = open_dataset(tmp_path)
    for workers in (0, 2):
        with pytest.raises(BadInputError, match="damaged image/png") as caught:
            take(Loader(dataset, Policy(), dataclasses.replace(OPTIONS, workers=workers)), 3)
        assert "\n" not in str(caught.value)
    with pytest.raises(BadInputError, match="damaged"):
        Loader(dataset, Policy(), dataclasses.replace(OPTIONS, cache=tmp_path / "cache"))
    assert list((tmp_path / "cache").iterdir()) == []


def test_pictures_are_those_of_the_draws(dataset: Dataset) -> None:
    loader = Loader(dataset, SECOND, OPTIONS, requires={"identity_other", "changed", "regions", "landmarks"})
    for start in range(0, 60, 6):
        batch, draws = loader.batch_at(start), loader.draws_at(start)
        assert batch.identity_other is not None
        assert batch.changed is not None
        assert batch.identity.landmarks is not None
        assert batch.attribute.regions is not None
        for place, draw in enumerate(draws):
            for images, row in (
                (batch.identity.image, draw.identity),
                (batch.attribute.image, draw.attribute),
                (batch.identity_other.image, draw.identity_other),
                (batch.truth, draw.truth),
            ):
                if row is not None:
                    found = frames_from_images(images[place : place + 1])[0]
                    np.testing.assert_array_equal(found, dataset.read(row).frame())
            assert batch.has_truth[place] == (draw.truth is not None)
            if draw.truth is None:
                assert not batch.truth[place].any()
            if draw.kind == "triplet":
                assert draw.truth is not None
                plane = dataset.read(draw.truth).plane("changed")
                np.testing.assert_array_equal(batch.changed[place, 0].numpy(), plane / np.float32(255))
            else:
                assert not batch.changed[place].any()
            stored = dataset.read(draw.identity)
            np.testing.assert_array_equal(batch.identity.landmarks[place].numpy(), stored.arrays["landmarks68"])
            regions = dataset.read(draw.attribute).plane("regions")
            np.testing.assert_array_equal(batch.attribute.regions[place].numpy(), regions)
            assert batch.identity_person is not None
            assert dataset.people[int(batch.identity_person[place])] == draw.identity.person


def test_points_and_matrices_follow_the_size(dataset: Dataset) -> None:
    requires = {"landmarks", "dense", "iris", "matrix", "pose_degrees", "gaze_degrees", "regions"}
    full = Loader(dataset, Policy(), OPTIONS, requires=requires).batch_at(0).attribute
    half = Loader(dataset, Policy(), dataclasses.replace(OPTIONS, size_px=16), requires=requires).batch_at(0).attribute
    assert half.image.shape == (6, 3, 16, 16)
    for name in ("landmarks", "dense", "iris", "matrix"):
        torch.testing.assert_close(getattr(half, name), getattr(full, name) / 2)
    for name in ("pose_degrees", "gaze_degrees"):
        assert torch.equal(getattr(half, name), getattr(full, name))
    assert half.regions is not None
    assert full.regions is not None
    assert set(half.regions.unique().tolist()) == {0, 7, 18}  # labels are never mixed
    assert half.dense is not None
    assert half.dense.shape == (6, 468, 2)
    averages = full.image.add(1).mul(127.5).reshape(6, 3, 16, 2, 16, 2).mean((3, 5))
    assert (half.image.add(1).mul(127.5) - averages).abs().max() < 0.51


def test_resized_keeps_flat_colours() -> None:
    flat = np.full((30, 30, 3), (10, 200, 77), np.uint8)
    for size in (7, 30, 64):
        assert (resized(flat, size) == (10, 200, 77)).all()
        assert resized(flat, size).shape == (size, size, 3)


def test_requirements_that_cannot_be_met_are_named(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"unknown required fields \['depth'\]; known are \['changed'"):
        Loader(dataset, Policy(), OPTIONS, requires={"depth"})
    write_shard(tmp_path, 0, [item("a", "p", planes={}), item("b", "q", arrays={}, planes={})])
    write_card(tmp_path, DatasetCard(name="x"))
    bare = open_dataset(tmp_path)
    for options in (OPTIONS, dataclasses.replace(OPTIONS, cache=tmp_path / "cache")):
        with pytest.raises(BadInputError, match=r"^b: the method requires 'landmarks', but .* 'landmarks68'"):
            Loader(bare, Policy(), options, requires={"landmarks"}).batch_at(0)
        with pytest.raises(BadInputError, match="plane 'visible'"):
            Loader(bare, Policy(), options, requires={"mask"}).batch_at(0)
    write_shard(tmp_path, 0, [item("a", "p", image=encode_frame(picture(1)[:20])), item("b", "q")])
    with pytest.raises(BadInputError, match="a: expected a square crop, found 32x20"):
        Loader(open_dataset(tmp_path), Policy(), OPTIONS).batch_at(0)
    for bad in ({"batch": 0}, {"rank": 2}, {"size_px": 0}, {"rendered_share": 1.1}):
        with pytest.raises(BadInputError, match="loader: expected"):
            dataclasses.replace(OPTIONS, **bad)


def test_several_datasets_are_joined(dataset: Dataset, tmp_path: Path) -> None:
    other = small_set(tmp_path / "other", people=3, photos=2)
    loader = Loader([dataset, other], POLICIES["ghost"], OPTIONS)
    people = torch.cat([batch.attribute_person for batch in take(loader, 20) if batch.attribute_person is not None])
    assert set(people.tolist()) == set(range(8))


def jitter(batch: SwapBatch, generator: torch.Generator) -> SwapBatch:
    return dataclasses.replace(batch, truth=batch.truth + torch.randn(batch.truth.shape, generator=generator))


@pytest.mark.parametrize("augment", [jitter, functools.partial(vary, stages=GAN)], ids=["jitter", "vary"])
def test_augmentation_is_a_function_of_seed_rank_and_images_seen(dataset: Dataset, augment: Augment) -> None:
    requires = {"landmarks", "changed", "mask"}

    def batch(images_seen: int, **changes: int) -> SwapBatch:
        loader = Loader(
            dataset, OURS_EXACT, dataclasses.replace(OPTIONS, **changes), requires=requires, augment=[augment]
        )
        return take(loader, 1, images_seen)[0]

    before = torch.get_rng_state()
    first = batch(6)
    assert same(first, batch(6, workers=2))
    plain = Loader(dataset, OURS_EXACT, OPTIONS, requires=requires).batch_at(6)
    assert not torch.equal(first.truth, plain.truth)
    unchanged = jitter(plain, torch.Generator().manual_seed(seed_for(3, 0, 6)))
    assert augment is not jitter or same(first, unchanged)
    assert torch.equal(before, torch.get_rng_state())  # nobody touched the global generator


def test_augmentation_draws_anew_for_every_step_seed_and_rank(dataset: Dataset) -> None:
    def noise(images_seen: int, **changes: int) -> torch.Tensor:
        found: list[torch.Tensor] = []

        def note(batch: SwapBatch, generator: torch.Generator) -> SwapBatch:
            found.append(torch.randn(9, generator=generator))
            return batch

        Loader(dataset, Policy(), dataclasses.replace(OPTIONS, **changes), augment=[note]).batch_at(images_seen)
        return found[0]

    drawn = [noise(6), noise(12), noise(6, seed=4), noise(6, rank=1, world=2)]
    assert torch.equal(noise(6), drawn[0])
    assert len({tuple(values.tolist()) for values in drawn}) == 4


def test_seeds_never_meet() -> None:
    seeds = {seed_for(seed, rank, seen) for seed in range(5) for rank in range(5) for seen in range(0, 50)}
    assert len(seeds) == 5 * 5 * 50
    assert all(0 <= seed < 2**63 for seed in seeds)


class Flat:
    """A batch maker whose pictures show the number of the sample; everybody is person 0."""

    def batch(self, seed: int, images_seen: int, size: int) -> SwapBatch:
        level = torch.arange(images_seen, images_seen + size, dtype=torch.float32)[:, None, None, None] / 1000
        image = level.expand(size, 3, 32, 32)
        return SwapBatch(
            identity=Aligned(image=image),
            attribute=Aligned(image=image),
            truth=image,
            has_truth=torch.ones(size, dtype=torch.bool),
            identity_person=torch.zeros(size, dtype=torch.int64),
            attribute_person=torch.zeros(size, dtype=torch.int64),
        )


def numbers(batch: SwapBatch) -> list[int]:
    return (batch.truth[:, 0, 0, 0] * 1000).round().int().tolist()


def test_rendered_samples_take_their_share_and_never_repeat(dataset: Dataset) -> None:
    assert isinstance(Flat(), BatchMaker)
    seen: list[int] = []
    for rank in range(2):
        options = dataclasses.replace(OPTIONS, rank=rank, world=2, rendered_share=0.34, workers=2)
        for batch in take(Loader(dataset, Policy(), options, rendered=Flat()), 4, images_seen=24):
            assert len(batch) == 6
            assert batch.identity_person is not None
            assert batch.identity_person[:4].max() < 5
            assert batch.identity_person[4:].tolist() == [5, 5]
            seen += numbers(batch)[4:]
    assert len(set(seen)) == len(seen) == 2 * 4 * 2
    for rendered, share in ((Flat(), 0.0), (None, 0.5)):
        with pytest.raises(BadInputError, match="come together"):
            Loader(dataset, Policy(), dataclasses.replace(OPTIONS, rendered_share=share), rendered=rendered)
    half = dataclasses.replace(OPTIONS, rendered_share=0.5)
    with pytest.raises(BadInputError, match="'mask' is required, but the renderer"):
        Loader(dataset, Policy(), half, rendered=Flat(), requires={"mask"}).batch_at(0)
    with pytest.raises(BadInputError, match="'changed' is required, but the renderer"):
        Loader(dataset, Policy(), half, rendered=Flat(), requires={"changed"}).batch_at(0)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.34, 0.9, 1.0])
def test_any_stretch_holds_the_rendered_share_and_processes_part_it(dataset: Dataset, share: float) -> None:
    """What one process draws and renders, three draw and render together, whatever the batch is."""
    options = dataclasses.replace(OPTIONS, batch=12, rendered_share=share)
    one = Loader(dataset, Policy(), options, rendered=Flat())
    three = [
        Loader(dataset, Policy(), dataclasses.replace(options, batch=4, rank=rank, world=3), rendered=Flat())
        for rank in range(3)
    ]
    rendered: list[int] = []
    for start in range(0, 240, 12):
        made = list(options.rendered_at(start))
        parts = [list(each.options.rendered_at(start)) for each in three]
        assert sorted(number for part in parts for number in part) == made
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
        drawn = [draw.number for draw in one.draws_at(start)]
        draws = [[draw.number for draw in each.draws_at(start)] for each in three]
        assert sorted(number for some in draws for number in some) == drawn
        assert len(drawn) + len(made) == 12
        assert {len(some) + len(part) for some, part in zip(draws, parts, strict=True)} == {4}
        rendered += made
        assert len(rendered) == int((start + 12) * share + 1e-9)
    assert rendered == list(range(len(rendered)))
    batch = one.batch_at(36)
    assert len(batch) == 12
    assert batch.identity_person is not None
    assert int((batch.identity_person == 5).sum()) == len(options.rendered_at(36))


def test_rendered_batches_interleave_over_ranks() -> None:
    found = [itertools.islice(rendered_batches(Flat(), 4, 0, 100, rank, 3), 2) for rank in range(3)]
    assert sorted(number for batches in found for batch in batches for number in numbers(batch)) == list(
        range(100, 124)
    )


def test_closing_stops_the_threads(dataset: Dataset) -> None:
    def running() -> int:
        return sum(thread.name.startswith("facegraft-loader") for thread in threading.enumerate())

    batches = Loader(dataset, Policy(), dataclasses.replace(OPTIONS, workers=3)).batches()
    next(batches)
    assert running() > 0
    batches.close()  # type: ignore[attr-defined]  # a generator
    deadline = time.monotonic() + 5
    while running() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert running() == 0


@pytest.mark.parametrize("name", ["df", "liae"])
def test_a_method_for_one_pair_of_people_sees_them_alone(tmp_path: Path, name: str) -> None:
    dataset = small_set(tmp_path, people=5, photos=4)
    loader = Loader(dataset, POLICIES[name], LoaderOptions(batch=6, size_px=16), identities=["p3"], attributes=["p1"])
    draws = [draw for start in range(0, 60, 6) for draw in loader.draws_at(start)]
    assert {draw.identity.person for draw in draws} == {"p3"}
    assert {draw.attribute.person for draw in draws} == {"p1"}
    assert {draw.identity.key for draw in draws} == {f"p3-{n}" for n in range(4)}
    assert {draw.attribute.key for draw in draws} == {f"p1-{n}" for n in range(4)}
    batch = loader.batch_at(0)
    assert batch.identity_person is not None
    assert batch.attribute_person is not None
    assert set(batch.identity_person.tolist()) == {3}
    assert set(batch.attribute_person.tolist()) == {1}
    assert not batch.has_truth.any()


def test_people_who_are_not_there_are_named(tmp_path: Path) -> None:
    dataset, options = small_set(tmp_path, people=2), LoaderOptions(batch=2, size_px=16)
    with pytest.raises(BadInputError, match=r"identities: no anna, bob among the 2 known people"):
        Loader(dataset, POLICIES["df"], options, identities=["bob", "p0", "anna"])
    with pytest.raises(BadInputError, match="attributes: expected a list of people, found the text 'p1'"):
        Loader(dataset, POLICIES["df"], options, attributes="p1")
    with pytest.raises(BadInputError, match="needs two people"):
        Loader(dataset, POLICIES["df"], options, identities=["p0"], attributes=["p0"])
