"""The mender's recipe on flat faces with a stain that their right answers do not have."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.image_bytes import encode_frame, encode_plane  # noqa: E402
from facegraft.data.dataset import DatasetCard, Item, Pair, write_card, write_shard  # noqa: E402
from facegraft.faces.topology import load_topology  # noqa: E402
from facegraft.frozen.mender import SIZE_PX, Mender, MenderConfig, around  # noqa: E402
from facegraft.train.eyes.mender import STORED_PX, MenderRecipe, _load  # noqa: E402

SIDE = 144
CPU = torch.device("cpu")
MODEL = {"widths": [8, 12, 16]}
IDENTITY, ATTRIBUTE, TRUTH = "iat"


def pair(number: int, *, again: bool = True, stained: bool = True) -> tuple[list[Item], Pair]:
    """A flat face on grey; another colour where somebody was put on it, and a dark stain in what undoes that."""
    rng = np.random.default_rng(number)
    dense = np.zeros((468, 3), np.float32)
    dense[:] = load_topology().xyz * 36 + [SIDE / 2, SIDE * 0.45, 0]
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    face = ((x - SIDE / 2) / 40) ** 2 + ((y - SIDE / 2) / 52) ** 2 < 1
    colours = rng.uniform(120, 200, (2, 3))
    truth, attribute = (np.where(face[..., None], colour, 60).astype(np.uint8) for colour in colours)
    at = rng.uniform(-18, 18, 2) + SIDE / 2
    stain = (np.abs(x - at[0]) < 7) & (np.abs(y - at[1]) < 7) & stained
    made = np.where(stain[..., None], truth * 0.4, truth).astype(np.uint8)
    split = "val" if number % 4 == 0 else "train"

    def item(kind: str, frame: np.ndarray, **others: Any) -> Item:
        planes = {"visible": encode_plane(face.astype(np.uint8) * np.uint8(255))} | others.pop("planes", {})
        return Item(
            key=f"{kind}{number}", person=f"p{number}", image=encode_frame(frame), licence="CC0-1.0", consent="",
            origin="test", synthetic=True, split=split, planes=planes, arrays={"dense": dense}, **others,
        )  # fmt: skip

    planes = {"again": encode_frame(made)} if again else {}
    items = [
        item(IDENTITY, truth, role="swapped"),
        item(ATTRIBUTE, attribute, role="swapped"),
        item(TRUTH, truth, role="truth", planes=planes),
    ]
    return items, Pair(items[0].key, items[1].key, {"inner": items[2].key})


def undone(folder: Path, count: int = 16, **how: bool) -> str:
    made = [pair(number, **how) for number in range(count)]
    write_shard(folder, 0, [item for items, _ in made for item in items], [each for _, each in made])
    write_card(folder, DatasetCard(name=folder.name, about="test"))
    return str(folder)


def recipe_of(path: str, **data: Any) -> MenderRecipe:
    torch.manual_seed(0)
    return MenderRecipe({"data": {"path": [path]} | data, "model": MODEL}, CPU)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> MenderRecipe:
    return recipe_of(undone(tmp_path_factory.mktemp("mend") / "undone"))


def test_a_batch_follows_its_generator(recipe: MenderRecipe) -> None:
    first, again, other = (recipe.batch(torch.Generator().manual_seed(seed), 5) for seed in (1, 1, 2))
    for name in ("swapped", "frame", "truth", "seen"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.swapped, other.swapped)
    assert first.swapped.shape == (5, 3, SIZE_PX, SIZE_PX)
    assert first.seen.shape == (5, 1, SIZE_PX, SIZE_PX)


def test_crops_are_aligned_and_in_their_places(recipe: MenderRecipe) -> None:
    """Of swap, frame, answer, seen: swap and answer differ by the stain, frame and answer by the face's colour."""
    kept = recipe._val.float()
    swapped, frame, truth, seen = torch.split(kept, [3, 3, 3, 1], 1)
    assert kept.shape[1:] == (10, STORED_PX, STORED_PX)
    stain = (swapped - truth).abs().amax(1, keepdim=True) > 20
    assert 0.002 < stain.float().mean() < 0.05
    assert (seen[stain] > 0).all()
    assert ((frame - truth).abs().amax(1, keepdim=True)[seen > 250] > 3).float().mean() > 0.9
    assert ((frame - truth).abs()[(seen < 5).expand(-1, 3, -1, -1)] < 3).all()
    assert 0.4 < (seen / 255).mean() < 0.9


def test_all_pictures_of_a_pair_are_moved_alike(tmp_path: Path) -> None:
    """Where swap and answer are one picture there is nothing to mend, however they are turned and lit."""
    recipe = recipe_of(undone(tmp_path / "clean", stained=False), turn_degrees=20, levels=0.4)
    batch = recipe.batch(torch.Generator().manual_seed(0), 8)
    assert torch.equal(batch.swapped, batch.truth)
    losses = recipe.losses(recipe.net.train(), batch)  # a new network adds nothing
    for name, loss in losses.items():
        assert float(loss.detach()) == pytest.approx(0, abs=1e-5), name
    assert not torch.equal(batch.truth[0], batch.truth[1])
    moved = (batch.seen > 0.5).float().flatten(1).argmax(1)
    assert len(moved.unique()) > 4


def test_it_learns_and_its_scores_say_so(recipe: MenderRecipe) -> None:
    net, generator = recipe.net, torch.Generator().manual_seed(3)
    with torch.no_grad():
        before = recipe.validate(net.eval())
    assert before["left_percent"] == pytest.approx(100)
    assert before["identity_gained"] == 0
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(40):
        losses = recipe.losses(net.train(), recipe.batch(generator, 8))
        optimiser.zero_grad()
        (5 * losses["pixels"] + losses["edges"]).backward()
        optimiser.step()
    assert recipe.loss_names == set(losses)
    with torch.no_grad():
        after = recipe.validate(net.eval())
        assert recipe.preview(net).shape[2] == 3
    assert after["left_percent"] < 85


@pytest.mark.parametrize("name", ["pixels", "edges", "perceptual", "identity"])
def test_each_loss_tells_a_stain_and_which_way_to_go(recipe: MenderRecipe, name: str) -> None:
    """A step down it, from the answer with the stain on, takes some of the stain away."""
    batch = recipe.batch(torch.Generator().manual_seed(5), 4)
    stain = (batch.truth - batch.swapped).requires_grad_(requires_grad=False)
    share = torch.zeros((), requires_grad=True)

    class Wiping(torch.nn.Module):
        def forward(self, swapped: torch.Tensor, frame: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
            return share * stain

    loss = recipe.losses(Wiping(), batch)[name]
    loss.backward()
    assert float(loss.detach()) > 0
    assert share.grad is not None
    assert float(share.grad) < 0


def test_who_the_frame_shows_is_not_seen() -> None:
    """Its face goes in as smooth colours: features do not count, what lies around it does."""
    torch.manual_seed(0)
    net = Mender(MenderConfig((8, 12, 16)))
    torch.nn.init.normal_(net.out.weight, std=0.1)
    net.eval()
    swapped, frame = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    seen = torch.zeros(1, 1, 64, 64)
    seen[..., 16:48, 16:48] = 1
    features = torch.zeros(1, 3, 64, 64)
    features[..., 24:40, 24:40] = 0.3 * (torch.rand(1, 1, 16, 16) - 0.5)
    features -= torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(features, 8), scale_factor=8.0)
    told, again = net(swapped, frame, seen), net(swapped, frame + features, seen)
    assert (told - again).abs().max() < 1e-4
    around_it = frame.clone()
    around_it[..., :16, :] = 0
    assert (net(swapped, around_it, seen) - told).abs().max() > 1e-3
    assert (told[..., :16, :] == 0).all()
    assert told.abs().max() > 0.01
    assert torch.equal(around(frame, seen)[..., :16, :], frame[..., :16, :])
    flat = frame.mean((2, 3), keepdim=True).expand_as(frame)
    torch.testing.assert_close(around(flat, seen), flat, atol=2e-3, rtol=0)


def test_only_so_many_pairs_are_kept(recipe: MenderRecipe) -> None:
    from facegraft.data.dataset import open_dataset

    dataset = open_dataset(Path(recipe.options.path[0]))
    assert len(_load(dataset, 5)) == 5
    assert len(_load(dataset, 500)) == len(dataset.pairs)


@pytest.mark.parametrize(
    ("data", "said"),
    [({"path": []}, "expected at least one dataset"), ({"zoom": 1.0}, "zoom and levels below 1")],
)
def test_wrong_options_are_named(recipe: MenderRecipe, data: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        MenderRecipe({"data": dataclasses.asdict(recipe.options) | data, "model": MODEL}, CPU)


def test_sets_without_swaps_made_again_are_refused(tmp_path: Path) -> None:
    path = undone(tmp_path / "plain", again=False)
    with pytest.raises(BadInputError, match="make the set with --again"):
        recipe_of(path)
