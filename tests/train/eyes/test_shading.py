"""The shading network's recipe on flat faces with a shadow over one half, whose even light is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.image_bytes import encode_frame, encode_plane  # noqa: E402
from facegraft.data.dataset import DatasetCard, Item, write_card, write_shard  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.faces.topology import load_topology  # noqa: E402
from facegraft.train.eyes.crops import move_points  # noqa: E402
from facegraft.train.eyes.shading import ShadingRecipe  # noqa: E402

SIDE = 96
CPU = torch.device("cpu")
MODEL = {"widths": [8, 12]}


def lit(number: int, *, even: bool = True) -> Item:
    """A flat face; right of a line that is each picture's own it lies in shadow, and its mouth is open."""
    rng = np.random.default_rng(number)
    dense = load_topology().xyz[:, :2] * 28 + [SIDE / 2, SIDE * 0.42]
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    face = ((x - SIDE / 2) / 26) ** 2 + ((y - SIDE / 2) / 34) ** 2 < 1
    plain = np.where(face[..., None], rng.uniform(120, 200, 3), 60).astype(np.uint8)
    shaded = np.where((x > SIDE * rng.uniform(0.4, 0.6))[..., None], plain * 0.5, plain).astype(np.uint8)
    regions = np.where(face, REGIONS["face"], REGIONS["hair"]).astype(np.uint8)
    regions[60:66, 40:56] = REGIONS["mouth"]
    planes = {"regions": encode_plane(regions)} | ({"even": encode_frame(plain)} if even else {})
    return Item(
        key=f"r{number}", person=f"p{number}", image=encode_frame(shaded), licence="CC0-1.0", consent="",
        origin="test", synthetic=True, split="val" if number % 4 == 0 else "train", planes=planes,
        arrays={"dense": dense.astype(np.float32)},
    )  # fmt: skip


def dataset(folder: Path, name: str, items: list[Item]) -> str:
    (folder / name).mkdir()
    write_shard(folder / name, 0, items)
    write_card(folder / name, DatasetCard(name=name, about="test"))
    return str(folder / name)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> ShadingRecipe:
    folder = tmp_path_factory.mktemp("lit")
    renders = [
        dataset(folder, name, [lit(n) for n in numbers]) for name, numbers in (("a", range(12)), ("b", range(4)))
    ]
    torch.manual_seed(0)
    return ShadingRecipe({"data": {"renders": renders}, "model": MODEL}, CPU)


def test_a_batch_follows_its_generator(recipe: ShadingRecipe) -> None:
    first, again, other = (recipe.batch(torch.Generator().manual_seed(seed), 6) for seed in (1, 1, 2))
    for name in ("image", "factors", "where"):
        assert torch.equal(getattr(first, name), getattr(again, name))
    assert not torch.equal(first.image, other.image)
    assert first.image.shape == (6, 3, 128, 128)
    assert first.factors.shape == (6, 3, 64, 64)
    assert first.where.shape == (6, 1, 64, 64)


def test_the_answer_lifts_the_shadow_and_nothing_else(recipe: ShadingRecipe) -> None:
    pictures = recipe._sets[0]
    rows = torch.arange(len(pictures))
    image, even, where = recipe._cut(pictures, rows, recipe._centred(pictures, rows))
    from facegraft.losses.shading import factors_between

    told = factors_between(image, even)[(where > 0).expand(-1, 3, -1, -1)]
    shadow = told > 0.5
    assert 0.2 < shadow.float().mean() < 0.8
    assert told[~shadow].abs().median() < 0.01
    assert (told[shadow].median().exp() - 2).abs() < 0.25  # less the floor
    assert 0.2 < where.mean() < 0.8  # the face, less its mouth
    matrix = recipe._centred(pictures, rows).matrix
    cheek, mouth, hair = ([SIDE / 2 + x, y] for x, y in ((-14.0, 50.0), (0.0, 63.0), (31.0, 50.0)))
    places = torch.tensor([[cheek, mouth, hair]], dtype=matrix.dtype).expand(len(rows), -1, -1)
    x, y = (move_points(places, matrix) / 2).long().clamp(0, 63).unbind(-1)
    seen = where[torch.arange(len(rows))[:, None], 0, y, x]
    assert seen.tolist() == [[1, 0, 0]] * len(rows)


def test_a_share_of_a_batch_is_in_even_light_already(tmp_path: Path) -> None:
    renders = [dataset(tmp_path, "a", [lit(n) for n in range(8)])]
    for share, low, high in ((1.0, 0.0, 0.0), (0.0, 1e-3, 9.0)):
        recipe = ShadingRecipe({"data": {"renders": renders, "even_share": share}, "model": MODEL}, CPU)
        batch = recipe.batch(torch.Generator().manual_seed(0), 8)
        assert low <= float(batch.factors.abs().mean()) <= high
    grey = ShadingRecipe({"data": {"renders": renders, "grey_share": 1.0}, "model": MODEL}, CPU)
    factors = grey.batch(torch.Generator().manual_seed(0), 8).factors
    torch.testing.assert_close(factors[:, 0], factors[:, 2])


def test_it_learns_and_its_score_says_so(recipe: ShadingRecipe) -> None:
    net, generator = recipe.net, torch.Generator().manual_seed(3)
    before = recipe.validate(net.eval())
    assert set(before) == {"left_percent", "left_percent/a", "left_percent/b"}
    assert before["left_percent"] == pytest.approx(100)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(60):
        losses = recipe.losses(net.train(), recipe.batch(generator, 8))
        optimiser.zero_grad()
        (losses["place"] + losses["edges"] + 0.1 * losses["level"]).backward()
        optimiser.step()
    with torch.no_grad():
        assert recipe.validate(net.eval())["left_percent"] < 75
        assert recipe.preview(net).shape[2] == 3
    assert recipe.loss_names == set(losses)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"renders": []}, "expected at least one dataset"),
        ({"even_share": 2}, "even_share: expected 0 to 1"),
        ({"gamma": 0.5}, "gamma: expected 1 or more"),
    ],
)
def test_wrong_options_are_named(recipe: ShadingRecipe, data: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        ShadingRecipe({"data": {"renders": list(recipe.options.renders)} | data, "model": MODEL}, CPU)


def test_renders_without_even_light_are_refused(tmp_path: Path) -> None:
    renders = [dataset(tmp_path, "dark", [lit(n, even=False) for n in range(8)])]
    with pytest.raises(BadInputError, match="'dark': expected planes regions and even"):
        ShadingRecipe({"data": {"renders": renders}, "model": MODEL}, CPU)


def test_it_goes_on_from_an_exported_network(recipe: ShadingRecipe, tmp_path: Path) -> None:
    from facegraft.export.to_onnx import Ports, export_onnx

    ports = Ports(ShadingRecipe.input_names, ShadingRecipe.output_names, ShadingRecipe.dynamic_axes)
    before = ShadingRecipe.build(MODEL).train()
    before(torch.rand(8, 3, 128, 128))  # its normalisations have seen something
    export_onnx(before.eval(), ShadingRecipe.example(), tmp_path / "before.onnx", ports=ports)
    data = {"renders": list(recipe.options.renders), "start": str(tmp_path / "before.onnx"), "start_crops": 8}
    after = ShadingRecipe({"data": data, "model": MODEL}, CPU).net.eval()
    crops = torch.rand(4, 3, 128, 128)
    with torch.no_grad():
        torch.testing.assert_close(after(crops), before(crops), atol=1e-3, rtol=1e-2)
    with pytest.raises(BadInputError, match=r"no\.onnx"):
        ShadingRecipe({"data": data | {"start": str(tmp_path / "no.onnx")}, "model": MODEL}, CPU)


def test_picture_and_answer_are_developed_alike(recipe: ShadingRecipe) -> None:
    data = {"renders": list(recipe.options.renders), "even_share": 1.0, "grading": {"share": 1.0}}
    batch = ShadingRecipe({"data": data, "model": MODEL}, CPU).batch(torch.Generator().manual_seed(4), 8)
    assert float(batch.factors.abs().max()) < 1e-5  # in even light already, and in one hand


def test_pictures_are_developed_where_asked(recipe: ShadingRecipe) -> None:
    renders = {"renders": list(recipe.options.renders), "grey_share": 0.0}
    plain, again, developed = (
        ShadingRecipe({"data": renders | more, "model": MODEL}, CPU).batch(torch.Generator().manual_seed(4), 8)
        for more in ({}, {"grading": {"share": 0.0}}, {"grading": {"share": 1.0, "contrast": 1.0}})
    )
    assert torch.equal(plain.image, again.image)
    assert not torch.equal(plain.image, developed.image)
    deeper = (developed.factors.abs() * developed.where).mean() / (plain.factors.abs() * plain.where).mean()
    assert deeper > 1.02
