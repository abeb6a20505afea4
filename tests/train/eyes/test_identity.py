"""The identity recipe at tiny size, on drawn faces: who is labelled how, what is drawn, and that it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("pydantic")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.geometry import fit_similarity  # noqa: E402
from facegraft.core.image_bytes import encode_frame, encode_plane  # noqa: E402
from facegraft.data.dataset import DatasetCard, Item, write_card, write_shard  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.faces.align import template_points  # noqa: E402
from facegraft.faces.topology import OVAL, five_points, load_topology  # noqa: E402
from facegraft.train.eyes.identity import IdentityRecipe  # noqa: E402
from facegraft.train.eyes.people import (  # noqa: E402
    MARGIN_PX,
    STORE_PX,
    WORN_LEVEL,
    People,
    align_batch,
    five_of,
    inner_face,
    pairs_of,
)

MODEL = {
    "stem": 8,
    "widths": [8, 8, 16, 16, 16],
    "depths": [1, 1, 1, 1, 1],
    "expansions": [2, 2, 2, 2, 2],
    "head": 32,
    "embedding": 16,
}
SIDE = 96
PEOPLE, EACH = 12, 4


def drawn_item(person: int, picture: int, split: str, *, labels: bool = True) -> Item:
    """A flat face whose stripes say who it is, on a background that says nothing."""
    rng = np.random.default_rng([person, picture])
    topology = load_topology()
    middle = SIDE / 2 + rng.uniform(-4, 4, 2)
    dense = (topology.xyz[:, :2] * SIDE * 0.3 + middle).astype(np.float32)
    low, high = dense[list(OVAL)].min(0), dense[list(OVAL)].max(0)
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    half = (high - low) / 2
    inside = (((x - middle[0]) / half[0]) ** 2 + ((y - (low + high)[1] / 2) / half[1]) ** 2) < 1
    colour = np.random.default_rng(person).uniform(60, 200, 3)
    stripes = 40 * np.sign(np.sin((x - middle[0]) * (0.15 + 0.05 * (person % 4)) + person))
    picture_rgb = rng.uniform(0, 255, 3) + np.zeros((SIDE, SIDE, 3))
    picture_rgb[inside] = (colour + stripes[..., None])[inside]
    regions = np.where(inside, REGIONS["face"], REGIONS["background"]).astype(np.uint8)
    return Item(
        key=f"{person:03d}-{picture}",
        person=f"p{person:03d}",
        image=encode_frame(picture_rgb.clip(0, 255).astype(np.uint8)),
        licence="CC0-1.0",
        consent="",
        origin="drawn",
        synthetic=True,
        split=split,
        planes={"regions": encode_plane(regions)} if labels else {},
        arrays={"dense": dense, "pose_degrees": np.array([rng.uniform(-20, 20), 0, 0], np.float32)},
    )


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    people = range(PEOPLE)
    items = [drawn_item(p, n, "val" if p >= PEOPLE - 4 else "train") for p in people for n in range(EACH)]
    write_shard(folder, 0, items)
    write_card(folder, DatasetCard(name="drawn", about="Drawn faces."))
    return folder


def config(dataset: Path, **data: Any) -> dict[str, Any]:
    return {"seed": 0, "model": MODEL, "data": {"renders": [str(dataset)], "occluded_share": 0.0} | data}


@pytest.fixture(scope="module")
def recipe(dataset: Path) -> IdentityRecipe:
    torch.manual_seed(0)
    return IdentityRecipe(config(dataset), torch.device("cpu"))


def test_people_are_split_and_aligned_to_the_template(recipe: IdentityRecipe) -> None:
    train, val = recipe.train, recipe.val
    assert (len(train.names), len(val.names)) == (PEOPLE - 4, 4)
    assert not {*train.names} & {*val.names}
    assert train.images.shape[1:] == (3, STORE_PX, STORE_PX)
    eyes = train.landmarks[:, 36:42].mean(1)
    goal = torch.from_numpy(template_points("arcface_112_v2", 112))[0] + MARGIN_PX
    assert float((eyes - goal).norm(dim=1).max()) < 4  # a mean face is not the template


def test_batched_alignment_equals_the_one_of_analysis() -> None:
    dense = load_topology().xyz * 60 + 90
    turned = dense @ np.array([[0.9, 0.3, 0], [-0.3, 0.9, 0], [0, 0, 1]], np.float32)
    points = five_points(load_topology(), turned)
    goal = template_points("arcface_112_v2", 112) + np.float32(MARGIN_PX)
    np.testing.assert_allclose(five_of(torch.from_numpy(turned)[None])[0].numpy(), points, atol=1e-4)
    found = align_batch(torch.from_numpy(points)[None])[0].numpy()
    np.testing.assert_allclose(found, fit_similarity(points, goal), atol=1e-4)


def test_inner_faces_by_label_by_view_and_by_outline() -> None:
    oval = torch.tensor([[[4.0, 4.0], [12.0, 4.0], [12.0, 12.0], [4.0, 12.0]]])
    regions = torch.full((1, 16, 16), REGIONS["hair"], dtype=torch.uint8)
    regions[:, 6:10, 6:10] = REGIONS["nose"]
    regions[:, 10, :] = REGIONS["glasses"]
    found = inner_face(oval, regions=regions)[0] > 0
    assert found[6:10, 6:10].all()
    assert found[10, 4:12].all()
    assert (inner_face(oval, regions=regions)[0, 10, 4:12] == WORN_LEVEL).all()
    assert not found[10, :4].any()
    assert not found[5].any()
    visible = torch.zeros((1, 16, 16), dtype=torch.uint8)
    visible[:, :8] = 255
    seen = inner_face(oval, visible=visible)[0] > 0
    assert seen[5:8, 5:11].all()
    assert not seen[8:].any()


def test_the_label_of_a_composite_is_its_inner_faces(dataset: Path) -> None:
    torch.manual_seed(0)
    recipe = IdentityRecipe(config(dataset, composite_share=1.0), torch.device("cpu"))
    rows = recipe.draw_rows(torch.Generator().manual_seed(1), 16)
    drawn = recipe.draw(torch.Generator().manual_seed(2), rows)
    train = recipe.train
    assert torch.equal(drawn.rows, rows)
    assert (train.labels[drawn.heads] != train.labels[drawn.rows]).all()
    for place, (row, head) in enumerate(zip(drawn.rows.tolist(), drawn.heads.tolist(), strict=True)):
        outside = train.inner[row] == 0
        expected = train.images[head].float() / 255
        assert torch.equal(drawn.images[place][:, outside], expected[:, outside])
        assert not torch.equal(drawn.images[place][:, ~outside], expected[:, ~outside])
    batch = recipe.batch(torch.Generator().manual_seed(1), 16)
    assert torch.equal(batch.labels, train.labels[rows])


def test_without_composites_heads_are_the_rows(dataset: Path) -> None:
    recipe = IdentityRecipe(config(dataset, composite_share=0.0), torch.device("cpu"))
    rows = torch.arange(6)
    drawn = recipe.draw(torch.Generator().manual_seed(0), rows)
    assert torch.equal(drawn.heads, rows)
    torch.testing.assert_close(drawn.images, recipe.train.images[:6].float() / 255)


def test_a_batch_holds_people_several_times_and_depends_on_the_generator_alone(recipe: IdentityRecipe) -> None:
    first, again = (recipe.batch(torch.Generator().manual_seed(3), 14) for _ in range(2))
    assert torch.equal(first.crops, again.crops)
    assert torch.equal(first.labels, again.labels)
    assert first.crops.shape == (14, 3, 112, 112)
    assert 0 <= float(first.crops.min()) <= float(first.crops.max()) <= 1
    rows = recipe.draw_rows(torch.Generator().manual_seed(3), 16)
    people = recipe.train.labels[rows].reshape(4, 4)
    assert (people == people[:, :1]).all()
    assert len({*rows.tolist()}) == 16


def test_photographs_get_their_share_and_unknown_people_are_their_own(dataset: Path, tmp_path: Path) -> None:
    items = [drawn_item(100 + n, 0, "train", labels=False) for n in range(6)]
    unknown = [Item(**{**vars(item), "person": ""}) for item in items]
    write_shard(tmp_path, 0, [*unknown, drawn_item(200, 0, "val", labels=False)])
    write_card(tmp_path, DatasetCard(name="photos", about="Drawn faces."))
    recipe = IdentityRecipe(config(dataset, real=[str(tmp_path)], real_share=0.5), torch.device("cpu"))
    assert len(recipe.train.names) == PEOPLE - 4 + 6
    rows = recipe.draw_rows(torch.Generator().manual_seed(0), 16)
    assert int(recipe.train.real[rows].sum()) == 8


def test_pairs_are_half_and_half_and_right(recipe: IdentityRecipe) -> None:
    first, second, same = pairs_of(recipe.val, real=False)
    labels = recipe.val.labels
    assert len(same) == 2 * 4 * 6
    assert ((labels[first] == labels[second]).numpy() == same).all()
    assert (first != second).all()


def test_it_learns_and_scores_improve(dataset: Path) -> None:
    """Eight people overfitted: the losses fall, and pictures of one person become alike."""
    torch.manual_seed(0)
    recipe = IdentityRecipe(config(dataset, composite_share=0.2, pictures_per_person=4), torch.device("cpu"))
    recipe._wear = type(recipe._wear)(stage=type(recipe._wear.stage)(), dimmed=0.0, moved=0.0)
    weights = [*recipe.net.parameters(), *recipe.head.parameters()]
    optimiser = torch.optim.AdamW(weights, lr=5e-3)
    history = []
    for step in range(40):
        recipe.net.train()
        found = recipe.losses(recipe.net, recipe.batch(torch.Generator().manual_seed(step), 16))
        assert set(found) == recipe.loss_names
        total = sum(found.values())
        optimiser.zero_grad()
        total.backward()
        optimiser.step()
        history.append(float(total.detach()))
    assert np.mean(history[-5:]) < 0.75 * np.mean(history[:5])
    assert all(weight.grad is not None and weight.grad.abs().sum() > 0 for weight in weights)
    recipe.net.eval()
    recipe.val = recipe.train
    with torch.no_grad():
        scores = recipe.validate(recipe.net)
        assert recipe.preview(recipe.net).dtype == np.uint8
    assert set(scores) == {"renders_error_percent", "renders_tar_percent", "composite_right_percent"}
    assert scores["renders_error_percent"] < 45


def test_the_taught_version_asks_once(dataset: Path, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    teacher = tmp_path / "teacher.onnx"
    teacher.write_bytes(tiny_teacher(onnx).SerializeToString())
    tables = config(dataset, teacher=str(teacher), answers=str(tmp_path / "answers"))
    recipe = IdentityRecipe(tables, torch.device("cpu"))
    assert recipe.loss_names == {"contrast", "answer", "relation"}
    assert recipe.head.centres is None
    answers = recipe.train.answers
    assert answers is not None
    torch.testing.assert_close(answers.norm(dim=1), torch.ones(len(recipe.train)))
    stored = list((tmp_path / "answers").iterdir())
    stamp = stored[0].stat().st_mtime_ns
    again = IdentityRecipe(tables, torch.device("cpu"))
    assert len(stored) == 1
    assert stored[0].stat().st_mtime_ns == stamp
    assert again.train.answers is not None
    assert torch.equal(again.train.answers, answers)
    batch = recipe.batch(torch.Generator().manual_seed(0), 8)
    rows = recipe.draw_rows(torch.Generator().manual_seed(0), 8)
    assert batch.answers is not None
    assert torch.equal(batch.answers, answers[rows])
    for name, loss in recipe.losses(recipe.net.train(), batch).items():
        assert loss.isfinite()
        (first, *_) = torch.autograd.grad(loss, next(recipe.net.parameters()), retain_graph=True)
        assert float(first.abs().sum()) > 0, f"{name} teaches the network nothing"


def tiny_teacher(onnx: Any) -> Any:
    """Mean colours of four quarters: 12 numbers of a 1 x 3 x 112 x 112 crop."""
    helper = onnx.helper
    nodes = [
        helper.make_node("AveragePool", ["input0"], ["pooled"], kernel_shape=[56, 56], strides=[56, 56]),
        helper.make_node("Flatten", ["pooled"], ["output0"]),
    ]
    ends = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (("input0", [1, 3, 112, 112]), ("output0", [1, 12]))
    ]
    graph = helper.make_graph(nodes, "teacher", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_bad_tables_are_told_at_once(dataset: Path, tmp_path: Path) -> None:
    for data, message in (
        ({"renders": [], "real": []}, "expected datasets"),
        ({"teacher": "x.onnx"}, "answers"),
        ({"pictures_per_person": 1}, "2 or more"),
        ({"composite_shar": 0.1}, "composite_share"),
    ):
        with pytest.raises(BadInputError, match=message):
            IdentityRecipe(config(dataset, **data), torch.device("cpu"))


def test_people_know_their_rows(recipe: IdentityRecipe) -> None:
    people: People = recipe.train
    for person, rows in enumerate(people.rows_of):
        assert (people.labels[rows] == person).all()
    assert sum(len(rows) for rows in people.rows_of) == len(people)


def test_morphs_are_people_of_their_own_and_get_their_share(dataset: Path, tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    items = [drawn_item(100 + n, 0, "train", labels=False) for n in range(6)]
    write_shard(tmp_path, 0, [*items, drawn_item(200, 0, "val", labels=False)])
    write_card(tmp_path, DatasetCard(name="photos", about="Drawn faces."))
    wanted = {"real": [str(tmp_path)], "real_share": 0.5, "morphs": 5, "morph_share": 0.5, "pictures_per_person": 2}
    recipe = IdentityRecipe(config(dataset, **wanted), torch.device("cpu"))
    known = PEOPLE - 4 + 6
    assert len(recipe.train.names) == known + 5
    rows = recipe.draw_rows(torch.Generator().manual_seed(0), 16)
    assert int((recipe.train.labels[rows] >= known).sum()) == 4
    assert int(recipe.train.real[rows].sum()) == 8
