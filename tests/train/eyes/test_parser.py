"""The parser's recipe on drawn faces: exact labels under flips and pasted things, the teacher, and that it learns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from facegraft.core.config import fill, load_config  # noqa: E402
from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.image_bytes import encode_frame, encode_plane  # noqa: E402
from facegraft.data.dataset import DatasetCard, Item, open_dataset, write_card, write_shard  # noqa: E402
from facegraft.data.regions import REGIONS  # noqa: E402
from facegraft.data.site import face_mask  # noqa: E402
from facegraft.faces.topology import LANDMARKS_68, load_topology  # noqa: E402
from facegraft.frozen.parser import CLASS_OF_REGION, CLASSES, ParserConfig  # noqa: E402
from facegraft.tensors import frames_from_images  # noqa: E402
from facegraft.train.eyes.crops import centred_crops, place_crops  # noqa: E402
from facegraft.train.eyes.parser import RECIPE, ParserData, ParserRecipe, Teacher, with_pasted  # noqa: E402
from facegraft.train.eyes.parser_scores import class_overlaps, groups_of, legend, picture_ious  # noqa: E402
from facegraft.train.eyes.parser_things import (  # noqa: E402
    NOTHING,
    OCCLUDER,
    class_table,
    cover_alpha,
    hide,
    inner_table,
)
from tests.data.faces_drawn import drawn_face, mean_landmarks  # noqa: E402

SIDE = 64
MODEL = {"widths": [8, 8, 16, 16, 16], "depths": [1, 1, 1, 1, 1], "expansion": 2, "coarse_kernel": 3}
CPU = torch.device("cpu")


def drawn_item(number: int) -> Item:
    points = mean_landmarks(SIDE).numpy()
    xyz = load_topology().xyz.astype(np.float64)
    flat = xyz[list(LANDMARKS_68), :2]
    scale = np.ptp(flat[:, 0]) / 0.5 / SIDE
    dense = (xyz[:, :2] - flat.mean(0)) / scale + np.array([0.5, 0.55]) * SIDE
    regions = np.full((SIDE, SIDE), REGIONS["background"], np.uint8)
    regions[face_mask(points.astype(np.float64), (SIDE, SIDE))] = REGIONS["face"]
    frame = frames_from_images(drawn_face(SIDE, tilt=0.02 * number)[None])[0].copy()
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for first, name, colour in (
        (36, "eye", (240, 240, 250)),
        (42, "eye", (240, 240, 250)),
        (48, "upper_lip", (190, 40, 60)),
    ):
        middle = points[first : first + (6 if name == "eye" else 12)].mean(0)
        near = ((x - middle[0]) / 6) ** 2 + ((y - middle[1]) / 3) ** 2 < 1
        regions[near], frame[near] = REGIONS[name], colour
    return Item(
        key=f"k{number}",
        person=f"p{number}",
        image=encode_frame(frame, None),
        licence="CC0-1.0",
        consent="",
        origin="test",
        synthetic=True,
        split="val" if number % 3 == 2 else "train",
        stratum="large pose" if number % 2 else "ordinary",
        planes={"regions": encode_plane(regions)},
        arrays={"dense": dense.astype(np.float32), "landmarks68": points},
        facts={"monk": 1 + number, "female": number % 2, "age": 30 + 20 * number},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faces")
    write_shard(path, 0, [drawn_item(number) for number in range(6)])
    write_card(path, DatasetCard(name="drawn", about="test"))
    return path


def recipe_of(folder: Path, **data: Any) -> ParserRecipe:
    torch.manual_seed(0)
    return ParserRecipe({"model": MODEL, "data": {"renders": str(folder), "size_px": SIDE} | data}, CPU)


@pytest.mark.parametrize("option", ["renders", "real"])
def test_pictures_without_points_are_told_by_the_option(option: str, folder: Path, tmp_path: Path) -> None:
    bare = [replace(item, arrays={"dense": item.arrays["dense"]}) for item in map(drawn_item, range(6))]
    write_shard(tmp_path, 0, bare)
    write_card(tmp_path, DatasetCard(name="bare", about="test"))
    with pytest.raises(BadInputError, match=rf"data\.{option}: of its \d pictures none .* has 'landmarks68'"):
        recipe_of(folder, **{option: str(tmp_path)})


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_tables_follow_the_mapping() -> None:
    for name, number in REGIONS.items():
        assert CLASSES[int(class_table()[number])] == CLASS_OF_REGION[name]
    assert [
        name for name, number in REGIONS.items() if CLASS_OF_REGION[name] == "skin" and not inner_table()[number]
    ] == ["scalp"]


def test_the_config_fills_all_tables() -> None:
    tables = load_config(Path(__file__).parents[3] / "configs" / "parser.toml")
    assert fill(ParserConfig, tables["model"], "model") == ParserConfig()
    assert fill(ParserData, tables["data"], "data").real_share > 0
    assert set(tables["losses"]) == RECIPE.loss_names
    with pytest.raises(BadInputError, match="size_px"):
        fill(ParserData, {"renders": "x", "size_px": 100}, "data")


def test_a_flipped_crop_is_the_flip_of_the_crop(folder: Path) -> None:
    recipe = recipe_of(folder)
    rows = torch.arange(3)
    plain, flipped = (
        recipe._cut_labelled(
            recipe._renders,
            rows,
            place_crops(
                recipe._renders.array("dense", rows),
                recipe._crops,
                shift=torch.tensor([[0.03, -0.07]]).expand(3, 2),
                scale=torch.full((3,), 0.83),
                turn_degrees=torch.full((3,), 11.0),
                flip=torch.full((3,), flip),
            ),
            seeded(),
            share=0,
            covered=0,
        )
        for flip in (False, True)
    )
    torch.testing.assert_close(flipped[0], plain[0].flip(-1), atol=1e-3, rtol=0)
    for ours, theirs in zip(flipped[1:], plain[1:], strict=True):
        assert (ours != theirs.flip(-1)).float().mean() < 1e-3  # centres on a pixel's edge, by rounding


def test_flips_along_the_axis_are_exact_to_the_pixel(folder: Path) -> None:
    recipe = recipe_of(folder)
    rows = torch.arange(4)
    identity = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]).expand(4, 2, 3)
    mirror = torch.tensor([[-1.0, 0.0, float(SIDE)], [0.0, 1.0, 0.0]]).expand(4, 2, 3)
    base = centred_crops(recipe._renders.array("dense", rows), recipe._crops)
    plain, flipped = (
        recipe._cut_labelled(recipe._renders, rows, replace(base, matrix=m, flip=f), seeded(), share=0, covered=0)
        for m, f in ((identity, torch.zeros(4, dtype=torch.bool)), (mirror, torch.ones(4, dtype=torch.bool)))
    )
    torch.testing.assert_close(plain[0], recipe._renders.images[rows] / 255, atol=1e-5, rtol=0)
    assert torch.equal(plain[1], class_table()[recipe._renders.planes["regions"][rows].long()])
    for ours, theirs in zip(flipped[1:], plain[1:], strict=True):
        assert torch.equal(ours, theirs.flip(-1))


def test_batches_depend_on_the_generator_alone_and_labels_agree(folder: Path) -> None:
    recipe = recipe_of(folder, real=str(folder), real_share=0.5, occluded_share=0.8, covered_share=0.2)
    batch, again = recipe.batch(seeded(5), 8), recipe.batch(seeded(5), 8)
    for name, tensor in vars(batch).items():
        assert torch.equal(tensor, getattr(again, name)), name
    assert batch.image.shape == batch.weak.shape == batch.strong.shape == (4, 3, SIDE, SIDE)
    assert 0 <= float(batch.image.min()) <= float(batch.image.max()) <= 1
    inner = [CLASSES.index(name) for name in ("skin", "brow", "eye", "lip", "mouth", "nose")]
    assert torch.isin(batch.labels[batch.visible[:, 0] > 0], torch.tensor(inner, dtype=torch.uint8)).all()
    assert (batch.labels == OCCLUDER).any()
    assert (batch.pasted != NOTHING).any()


def test_backgrounds_have_no_face(folder: Path, tmp_path: Path) -> None:
    from facegraft.core.image import save_frame

    save_frame(tmp_path / "wall.png", np.full((SIDE, SIDE, 3), 77, np.uint8))
    recipe = recipe_of(folder, backgrounds=str(tmp_path), negative_share=1.0)
    batch = recipe.batch(seeded(), 3)
    assert not batch.visible.any()
    assert not batch.labels.any()
    assert (batch.inside == 1).all()


def test_covers_hide_half_of_the_faces_wholly_and_their_labels_are_what_changed() -> None:
    points = mean_landmarks(SIDE).expand(200, 68, 2)
    alpha = cover_alpha(points, SIDE, seeded(), share=1)
    face = torch.from_numpy(face_mask(mean_landmarks(SIDE).double().numpy(), (SIDE, SIDE)))
    left = ((alpha < 0.5) & face).flatten(1).sum(1) / face.sum()
    assert 0.35 < float((left < 0.02).float().mean()) < 0.65
    assert float((left > 0.2).float().mean()) > 0.25
    assert not cover_alpha(points, SIDE, seeded(), share=0).any()
    images = torch.full((6, 3, SIDE, SIDE), 0.5)
    made = hide(images, points[:6], seeded(), share=0, covered=1)
    changed = (made.images != images).any(1)
    assert ((made.pasted == OCCLUDER) <= changed).all()
    assert set(made.pasted.unique().tolist()) <= {OCCLUDER, NOTHING}
    nobody = hide(images, torch.full((6, 68, 2), torch.nan), seeded(), share=1, covered=1)
    assert torch.equal(nobody.images, images)


def test_the_teacher_is_the_average_and_keeps_the_clock() -> None:
    net = RECIPE.build(MODEL)
    teacher = Teacher(net, momentum=0.75)
    first = teacher.net.out.weight.clone()
    with torch.no_grad():
        net.out.weight += 1
    expected = first
    for kept in (1 / 2, 2 / 3, 3 / 4, 3 / 4):
        teacher.follow(net, 10)
        expected = kept * expected + (1 - kept) * net.out.weight.detach()
        torch.testing.assert_close(teacher.net.out.weight, expected)
    assert int(teacher.images_seen) == 40
    assert not any(weight.requires_grad for weight in teacher.parameters())
    assert {"images_seen", "steps"} < set(teacher.state_dict())


def test_pasted_things_are_certain() -> None:
    labels, visible = torch.rand(1, 14, 4, 4).softmax(1), torch.full((1, 1, 4, 4), 0.9)
    pasted = torch.full((1, 4, 4), NOTHING, dtype=torch.uint8)
    pasted[0, 1:3, 2] = OCCLUDER
    told, seen = with_pasted(labels, visible, pasted)
    assert (told[0, OCCLUDER, 1:3, 2] == 1).all()
    assert torch.equal(told.sum(1)[0, 1:3, 2], torch.ones(2))
    assert not seen[0, 0, 1:3, 2].any()
    assert torch.equal(told[..., 0], labels[..., 0])
    assert torch.equal(seen[..., 0], visible[..., 0])


def test_the_teacher_is_silent_at_first_and_then_heard(folder: Path) -> None:
    recipe = recipe_of(folder, real=str(folder), real_share=0.5, silent_images=8, confidence=0.5)
    batch = recipe.batch(seeded(), 4)
    net = recipe.net.train()
    found = [recipe.losses(net, batch) for _ in range(5)]  # the clock shows 4, 8, 12, 16, 20
    assert set(found[0]) == RECIPE.loss_names
    heard = [float(losses["taught_visible"].detach()) for losses in found]
    assert heard[0] == heard[1] == 0
    assert 0 < heard[2] < heard[3]
    assert all(torch.isfinite(loss) for losses in found for loss in losses.values())
    sum(found[-1].values()).backward()
    assert all(weight.grad is not None for weight in net.parameters())


def test_it_learns_two_pictures(folder: Path) -> None:
    recipe = recipe_of(folder, occluded_share=0.0, covered_share=0.0)
    rows = torch.arange(2)
    image, labels, visible, inside = recipe._held_out(rows, hidden=False)
    some = recipe.batch(seeded(), 2)
    batch = replace(some, image=image, labels=labels, visible=visible[:, None].float(), inside=inside)
    net = recipe.net.train()
    optimiser = torch.optim.Adam(net.parameters(), lr=0.02)
    for _ in range(60):
        optimiser.zero_grad()
        sum(recipe.losses(net, batch).values()).backward()
        optimiser.step()
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = None  # a plain mean from here on
            layer.reset_running_stats()
    with torch.no_grad():
        for _ in range(2):
            net(image)
        shares, seen = net.eval()(image)
    both, either = class_overlaps(shares.argmax(1), labels, inside)
    shown = [CLASSES.index(name) for name in ("background", "skin", "eye", "lip")]
    assert (both[shown] / either[shown]).min() > 0.7
    assert picture_ious(seen[:, 0] > 0.5, visible, inside).min() > 0.9


def test_overlaps_are_those_of_sets() -> None:
    found, truth = (torch.randint(14, (2, 9, 9), generator=seeded(seed)) for seed in (1, 2))
    inside = (torch.rand((2, 9, 9), generator=seeded(3)) > 0.3).float()
    both, either = class_overlaps(found, truth, inside)
    for number in range(14):
        a, b = (found == number) & (inside > 0), (truth == number) & (inside > 0)
        assert (int(both[number]), int(either[number])) == (int((a & b).sum()), int((a | b).sum()))
    ious = picture_ious(found > 6, truth > 6, inside)
    a, b = (found[0] > 6) & (inside[0] > 0), (truth[0] > 6) & (inside[0] > 0)
    assert float(ious[0]) == pytest.approx(int((a & b).sum()) / int((a | b).sum()))
    nothing = torch.zeros(1, 3, 3, dtype=torch.bool)
    assert picture_ious(nothing, nothing, torch.ones(1, 3, 3)).tolist() == [1.0]


def test_scores_name_classes_and_groups_and_the_sheet_is_a_frame(folder: Path) -> None:
    recipe = recipe_of(folder, real=str(folder))
    scores = recipe.validate(recipe.net.eval())
    assert scores == recipe.validate(recipe.net.eval())
    assert {"iou", "iou_skin", "visible_iou", "visible_iou/pasted", "visible_iou/large pose"} <= set(scores)
    assert "iou_hat" not in scores or scores["iou_hat"] == 0  # none is shown
    assert all(0 <= value <= 100 for value in scores.values())
    drawn = recipe.preview(recipe.net.eval())
    assert drawn.dtype == np.uint8
    assert drawn.std() > 0
    assert legend(400).shape[1] == 400
    rows = open_dataset(folder).rows
    assert groups_of(rows[0]) == ["ordinary", "monk 1-3", "men", "age under 35"]
    assert groups_of(rows[5]) == ["large pose", "monk 4-6", "women", "age 60+"]


def test_a_stopped_run_goes_on_as_if_it_had_not_been(folder: Path, tmp_path: Path) -> None:
    from facegraft.nn.weights import read_tensors
    from facegraft.train.loop import train

    data = {"renders": str(folder), "real": str(folder), "real_share": 0.5, "silent_images": 2, "confidence": 0.3}
    tables = {
        "network": "parser",
        "model": MODEL,
        "data": data | {"size_px": SIDE},
        "train": {"images": 12, "batch": 4, "save_every": 4},
        "optimiser": {"lr": 1e-3},
        "losses": dict.fromkeys(RECIPE.loss_names, 1.0),
    }
    whole = train(tables, tmp_path / "whole", device="cpu")

    class Stopped(ParserRecipe):
        def batch(self, generator: torch.Generator, count: int) -> Any:
            if int(self.head.images_seen) >= 8:
                raise KeyboardInterrupt
            return super().batch(generator, count)

    with pytest.raises(KeyboardInterrupt):
        train(tables, tmp_path / "parts", device="cpu", recipe=Stopped)
    parts = train(tables, tmp_path / "parts", device="cpu")
    assert parts.images_before == 8
    one, other = (read_tensors(tmp_path / name / "weights.safetensors")[0] for name in ("whole", "parts"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert whole.scores == parts.scores
    assert not any(name.startswith("images_seen") for name in one)  # the teacher is no part of the result
