"""Pictures in memory hold what the dataset holds, in order, at the size asked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.image_bytes import encode_frame, encode_plane  # noqa: E402
from facegraft.data.dataset import Dataset, DatasetCard, Item, open_dataset, write_card, write_shard  # noqa: E402
from facegraft.faces.topology import landmarks68, load_topology  # noqa: E402
from facegraft.train.eyes.face_wear import EYES, Wear, paste_occluders, wear  # noqa: E402
from facegraft.train.eyes.pictures import load_backgrounds, load_pictures, train_and_val  # noqa: E402


def item(number: int, side: int = 32, *, dense: bool = True) -> Item:
    frame = np.full((side, side, 3), number, np.uint8)
    points = np.tile(np.array([[4.0, 8.0, 2.0]], np.float32), (468, 1)) + number
    return Item(
        key=f"k{number}",
        person=f"person-{number // 2}",
        image=encode_frame(frame, None),
        licence="CC0-1.0",
        consent="",
        origin="test",
        synthetic=True,
        planes={"regions": encode_plane(np.full((side, side), number % 7, np.uint8))},
        arrays={"dense": points} if dense else {},
    )


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    items = [item(number, dense=number != 5) for number in range(40)]
    write_shard(tmp_path, 0, items)
    write_card(tmp_path, DatasetCard(name="t", about="test"))
    return open_dataset(tmp_path)


def test_everything_arrives_in_order_at_the_size_asked(dataset: Dataset) -> None:
    told: list[tuple[int, int]] = []
    made = load_pictures(
        dataset, planes=["regions"], arrays=["dense"], size_px=64, progress=lambda done, of: told.append((done, of))
    )
    assert made.images.shape == (40, 3, 64, 64)
    assert made.images[:, 0, 0, 0].tolist() == list(range(40))
    assert made.planes["regions"][:, 3, 3].tolist() == [number % 7 for number in range(40)]
    assert made.arrays["dense"][7, 0].tolist() == [22.0, 30.0, 18.0]  # twice the size
    assert made.has["dense"].sum() == 39
    assert made.arrays["dense"][5].isnan().all()
    assert told[-1] == (40, 40)
    assert len(made.where(made.has["dense"])) == 39


def test_a_small_cache_takes_the_same_part_each_time(dataset: Dataset) -> None:
    first, again = load_pictures(dataset, cache=10), load_pictures(dataset, cache=10, threads=1)
    assert len(first) == 10
    assert torch.equal(first.images, again.images)


def test_no_person_is_held_out_and_learnt_from(dataset: Dataset) -> None:
    train, val = train_and_val(dataset, val_share=0.3)
    assert len(train) + len(val) == 40
    assert not set(train.people) & set(val.people)


def test_too_few_people_are_counted_and_what_helps_is_named(tmp_path: Path) -> None:
    write_shard(tmp_path, 0, [item(number) for number in range(4)])
    write_card(tmp_path, DatasetCard(name="few", about="test"))
    few = open_dataset(tmp_path)
    with pytest.raises(
        BadInputError, match=r"'few': its 2 people are too few to hold any out .* or set data.val_"
    ) as error:
        train_and_val(few, val_share=0.01)
    named = float(str(error.value).rpartition("=")[2])
    assert {len(part.people) for part in train_and_val(few, val_share=named)} == {1}
    with pytest.raises(BadInputError, match=r"make one of more$"):
        train_and_val(few)  # of a recipe without that key
    with pytest.raises(BadInputError, match="all would be held out"):
        train_and_val(few, val_share=1)
    with pytest.raises(BadInputError, match=r"data.val_share is 0: some people have to be held out; set it above 0"):
        train_and_val(few, val_share=0)


def test_backgrounds_need_pictures(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="without faces"):
        load_backgrounds(tmp_path, size_px=32)
    rng = np.random.default_rng(0)
    (tmp_path / "a.png").write_bytes(encode_frame(rng.integers(0, 255, (80, 120, 3), dtype=np.uint8), None))
    tiles = load_backgrounds(tmp_path, size_px=32, tiles=3)
    assert tiles.shape == (3, 3, 32, 32)
    assert torch.equal(tiles, load_backgrounds(tmp_path, size_px=32, tiles=3))


def test_wear_keeps_the_range_and_follows_its_generator() -> None:
    images = torch.rand(6, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    once = wear(images, Wear(), torch.Generator().manual_seed(1))
    again = wear(images, Wear(), torch.Generator().manual_seed(1))
    other = wear(images, Wear(), torch.Generator().manual_seed(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, other)
    assert 0 <= once.min() <= once.max() <= 1
    assert EYES.flip == 0  # moves belong to the crop


def test_what_is_pasted_is_told_exactly() -> None:
    topology = load_topology()
    points = torch.from_numpy(landmarks68(topology.xyz) * 35 + 48).expand(8, 68, 2).clone()
    points[7] = torch.nan  # no face is known
    images = torch.rand(8, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 0.2 + 0.4
    made = paste_occluders(images, points, torch.Generator().manual_seed(3), share=0.6)
    changed = (made.images - images).abs().amax(1) > 1e-3
    pasted = torch.tensor([bool(kind) for kind in made.kinds])
    assert 2 <= pasted.sum() < 8
    assert not pasted[7]
    assert not changed[~pasted].any()
    assert made.alpha[pasted].amax((1, 2)).min() > 0.5
    assert made.alpha[~pasted].max() == 0
