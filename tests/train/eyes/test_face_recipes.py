"""The recipes of landmarks and attributes on a made-up dataset: flat pictures with exact points, no assets needed."""

from __future__ import annotations

import copy
import dataclasses
import math
import tomllib
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
from facegraft.faces.topology import LANDMARKS_68, load_topology  # noqa: E402
from facegraft.frozen.landmarks import DENSE, POINTS  # noqa: E402
from facegraft.train.eyes.attributes import AttributesRecipe  # noqa: E402
from facegraft.train.eyes.crops import CropOptions, centred_crops  # noqa: E402
from facegraft.train.eyes.expressions import NAMES  # noqa: E402
from facegraft.train.eyes.face_crops import covered, face_batch  # noqa: E402
from facegraft.train.eyes.landmarks import GAPS, LandmarksRecipe, importance, shut_rows  # noqa: E402

SIDE = 96
TINY = {
    "trunk": {"stem": 4, "widths": [4, 6, 8, 8], "depths": [1, 1, 1, 1], "looks": 2, "pooled": 8, "code": 8},
    "window": {"side_px": 16, "stem": 4, "widths": [4, 6], "depths": [1, 1], "looks": 2, "pooled": 6, "code": 6},
}
CPU = torch.device("cpu")


def rendered(number: int) -> Item:
    """A skin-coloured oval where the face is; the eyes are dark."""
    rng = np.random.default_rng(number)
    yaw, scale = rng.uniform(-0.5, 0.5), rng.uniform(26, 32)
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    dense = (load_topology().xyz @ turn.T * scale)[:, :2] + [SIDE / 2 + rng.uniform(-4, 4), SIDE * 0.42]
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    middle = dense.mean(0)
    face = ((x - middle[0]) / 24) ** 2 + ((y - middle[1]) / 32) ** 2 < 1
    frame = np.where(face[..., None], [190, 140, 120], [60, 90, 140]).astype(np.uint8)
    regions = np.where(face, REGIONS["face"], REGIONS["background"]).astype(np.uint8)
    iris = np.stack([dense[[362, 263]].mean(0), dense[[33, 133]].mean(0)])  # the person's own left first
    for at in iris:
        spot = (x - at[0]) ** 2 + (y - at[1]) ** 2 < 9
        frame[spot], regions[spot] = 20, REGIONS["eye"]
    expression = np.zeros(len(NAMES), np.float32)
    expression[NAMES.index("JawDrop")] = rng.uniform()
    arrays: dict[str, Any] = {
        "dense": dense,
        "visible_dense": np.ones(468),
        "landmarks68": dense[list(LANDMARKS_68)],
        "visible68": np.ones(68),
        "iris": iris,
        "pose_degrees": np.array([math.degrees(yaw), 0, 0]),
        "gaze_degrees": np.array([[5.0, 1.0], [5.0, 1.0]]),
        "expression": expression,
        "light": np.tile(rng.uniform(0.2, 1, (9, 1)), (1, 3)),
        "camera": np.eye(3, 4),
    }
    return Item(
        key=f"r{number}",
        person=f"p{number}",
        image=encode_frame(frame, None),
        licence="CC0-1.0",
        consent="",
        origin="test",
        synthetic=True,
        split="val" if number % 4 == 0 else "train",
        stratum="large pose" if abs(yaw) > 0.3 else "ordinary",
        planes={"regions": encode_plane(regions)},
        arrays={name: np.asarray(values, np.float32) for name, values in arrays.items()},
    )


def photographed(number: int) -> Item:
    made = rendered(100 + number)
    dense = np.concatenate([made.arrays["dense"], load_topology().xyz[:, 2:] * 30 + 3], 1).astype(np.float32)
    return Item(
        key=f"f{number}", person=f"q{number}", image=made.image, licence="CC0-1.0", consent="", origin="test",
        synthetic=False, split="val" if number % 4 == 0 else "train",
        planes={"visible": encode_plane(np.full((SIDE, SIDE), 255, np.uint8))},
        arrays={"dense": dense, "pose_degrees": made.arrays["pose_degrees"]},
        facts={"score": 0.3 if number == 1 else 0.95, "face_px": 200.0},
    )  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folders = {}
    for name, items in (("renders", [rendered(n) for n in range(24)]), ("real", [photographed(n) for n in range(12)])):
        folder = tmp_path_factory.mktemp(name)
        write_shard(folder, 0, items)
        write_card(folder, DatasetCard(name=name, about="test"))
        folders[name] = str(folder)
    return folders | {"val_images": 6}


@pytest.fixture(scope="module")
def landmarks(data: dict[str, Any]) -> LandmarksRecipe:
    return LandmarksRecipe({"data": data, "model": {**TINY, "directions": 8, "doubts": 8}}, CPU)


@pytest.fixture(scope="module")
def attributes(data: dict[str, Any]) -> AttributesRecipe:
    return AttributesRecipe({"data": data, "model": {**TINY, "hidden": 8}}, CPU)


def test_batches_follow_their_generator(landmarks: LandmarksRecipe, attributes: AttributesRecipe) -> None:
    for recipe in (landmarks, attributes):
        first = recipe.batch(torch.Generator().manual_seed(5), 12)
        again = recipe.batch(torch.Generator().manual_seed(5), 12)
        a, b = (getattr(batch, "faces", batch) for batch in (first, again))
        assert len(first) == 12
        assert torch.equal(a.crop, b.crop)
        assert torch.equal(a.points, b.points)
        assert 0 <= a.crop.min() <= a.crop.max() <= 1


def test_losses_are_finite_and_reach_every_weight(
    landmarks: LandmarksRecipe, attributes: AttributesRecipe, root: Path
) -> None:
    for name, recipe in (("landmarks", landmarks), ("attributes", attributes)):
        recipe.net.train()
        recipe.net.zero_grad()
        losses = recipe.losses(recipe.net, recipe.batch(torch.Generator().manual_seed(0), 12))
        assert set(losses) == recipe.loss_names
        written = tomllib.loads((root / "configs" / f"{name}.toml").read_text(encoding="utf-8"))
        assert set(written["losses"]) == recipe.loss_names
        torch.stack(list(losses.values())).sum().backward()
        for label, weight in recipe.net.named_parameters():
            assert weight.grad is not None, label
            assert weight.grad.isfinite().all(), label


@pytest.fixture(scope="module")
def files(landmarks: LandmarksRecipe, attributes: AttributesRecipe, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript")
    from facegraft.export.to_onnx import Ports, export_onnx

    folder = tmp_path_factory.mktemp("files")
    for name, recipe in (("landmarks", landmarks), ("attributes", attributes)):
        ports = Ports(recipe.input_names, recipe.output_names, recipe.dynamic_axes)
        torch.nn.init.normal_(recipe.net.eye.sum_up[0].weight)
        export_onnx(copy.deepcopy(recipe.net), recipe.example(), folder / f"{name}.onnx", ports=ports)
    return folder


def test_windows_alone_learn_on_from_files_and_their_batches_come_again(
    data: dict[str, Any], files: Path, landmarks: LandmarksRecipe
) -> None:
    more = {"start_crops": 8, "windows_only": True, "repeated": 2, "shut": 0.5}
    of_points = {"data": data | more | {"start": str(files / "landmarks.onnx")}}
    of_what = {"data": data | more | {"start": str(files / "attributes.onnx")}}
    of_what["data"] |= {"start_windows": str(files / "landmarks.onnx")}
    first = LandmarksRecipe(of_points | {"model": {**TINY, "directions": 8, "doubts": 8}}, CPU)
    second = AttributesRecipe(of_what | {"model": {**TINY, "hidden": 8}}, CPU)
    for recipe, parts in ((first, ("eye.", "mouth.", "move_")), (second, ("eye.", "mouth.", "places.", "gaze_seen."))):
        again: Any = [recipe.batch(torch.Generator().manual_seed(n), 8) for n in range(12)]
        assert len({id(batch) for batch in again}) == 2
        trunk = {name: value.clone() for name, value in recipe.net.trunk.state_dict().items()}
        with torch.no_grad():
            crop = getattr(again[0], "faces", again[0]).crop.float()
            code = again[0].code if recipe is first else again[0].known[1]
            assert torch.allclose(recipe.net.trunk.eval()(crop), code, atol=1e-2)
        recipe.net.train()
        torch.stack(list(recipe.losses(recipe.net, again[0]).values())).sum().backward()
        learnt = {name for name, weight in recipe.net.named_parameters() if weight.grad is not None}
        assert all(any(name.startswith(part) for name in learnt) for part in parts)
        assert not any(name.startswith(("trunk.", "shape.", "sigma.", "pose.", "light.")) for name in learnt)
        assert all(torch.equal(value, trunk[name]) for name, value in recipe.net.trunk.state_dict().items())
    assert torch.equal(second.net.eye.sum_up[0].weight, first.net.eye.sum_up[0].weight)
    assert torch.allclose(first.net.shape.weight, landmarks.net.shape.weight, atol=1e-6)


def test_faces_with_a_shut_eye_are_known_although_rendered_depth_keeps_lids_apart(landmarks: LandmarksRecipe) -> None:
    known = landmarks.train[0]
    points = known.points.clone()
    for upper, lower in GAPS:
        points[3, lower, :2] = points[3, upper, :2]
    assert shut_rows(dataclasses.replace(known, points=points)).tolist() == [3]
    assert len(shut_rows(known)) == 0


def test_scores_and_sheets(landmarks: LandmarksRecipe, attributes: AttributesRecipe) -> None:
    for recipe, wanted in (
        (landmarks, {"error_percent", "error_percent_ordinary", "real_error_percent", "presence_accuracy"}),
        (attributes, {"pose_degrees", "gaze_degrees", "expression_error", "real_opening_error"}),
    ):
        recipe.net.eval()
        with torch.no_grad():
            scores = recipe.validate(recipe.net)
            assert wanted <= set(scores)
            assert all(math.isfinite(score) for score in scores.values())
            assert scores == recipe.validate(recipe.net)
            assert recipe.preview(recipe.net).shape[2] == 3


def test_perfect_answers_score_perfectly(landmarks: LandmarksRecipe) -> None:
    class Oracle(torch.nn.Module):
        def __init__(self, batches: list[Any]) -> None:
            super().__init__()
            self.left = batches

        def forward(self, crop: Any) -> tuple[Any, ...]:
            batch = self.left.pop(0)
            assert torch.equal(crop, batch.crop)
            return batch.points, torch.full_like(batch.visible, 0.01), batch.visible, batch.presence

    faces = [batch for both in zip(landmarks.held, landmarks.held_pulled, strict=True) for batch in both]
    scores = landmarks.validate(Oracle([landmarks.missed, *faces]))
    assert scores["follows"] == scores["real_follows"] == 1
    assert scores["error_percent"] == scores["real_error_percent"] == scores["iris_percent"] == 0
    assert scores["visible_accuracy"] == scores["presence_accuracy"] == 1
    assert scores["pose_degrees"] == 0


def test_untrusted_photographs_teach_nothing_and_irises_are_unknown(landmarks: LandmarksRecipe) -> None:
    renders, photos = landmarks.train
    assert len(photos) == 8  # of 9, one is not trusted
    assert photos.weights[:, -2:].max() == 0
    assert renders.weights.min() > 0


def test_points_lie_where_the_crop_shows_them(landmarks: LandmarksRecipe) -> None:
    known = landmarks.train[0]
    rows = torch.arange(len(known))
    batch = face_batch(known, rows, centred_crops(known.dense, CropOptions()), CPU)
    eyes = (batch.points[:, -2:, :2] * 128).long()
    for row in range(len(batch)):
        for x, y in eyes[row].tolist():
            assert batch.crop[row, :, y, x].max() < 0.3  # the dark spot
    assert (batch.points[:, -2, 0] < batch.points[:, -1, 0]).all()


def test_a_share_of_the_faces_is_pulled_about(landmarks: LandmarksRecipe) -> None:
    recipe, batches = copy.copy(landmarks), []
    for share in (0.0, 1.0):
        recipe.options = dataclasses.replace(landmarks.options, pulled=share, pasted=0.0, worn=False)
        batches.append(recipe.batch(torch.Generator().manual_seed(3), 12))
    still, moved = batches
    assert torch.equal(still.presence, moved.presence)
    apart = (moved.points - still.points)[..., :2].norm(dim=-1).amax(1)
    assert (apart[still.presence == 0] == 0).all()
    assert (apart[still.presence > 0] > 0.005).float().mean() > 0.7, apart


def test_what_something_hides_is_not_visible(landmarks: LandmarksRecipe) -> None:
    known = landmarks.train[0]
    batch = face_batch(known, torch.arange(8), centred_crops(known.dense[:8], CropOptions()), CPU)
    after = covered(batch, torch.Generator().manual_seed(0), 1.0)
    lost = (batch.visible > after.visible).sum(1)
    assert lost.sum() > 50
    assert torch.equal(after.points, batch.points)
    changed = (after.crop - batch.crop).abs().amax((1, 2, 3)) > 0
    assert changed[lost > 0].all()


def test_negatives_say_so(landmarks: LandmarksRecipe) -> None:
    batch = landmarks.batch(torch.Generator().manual_seed(0), 50)
    assert (batch.presence == 0).sum() == 6
    assert batch.weights[batch.presence == 0].max() == 0
    assert batch.visible_weights[batch.presence == 0].max() == 0


def test_importance_has_mean_one_and_a_bad_key_is_named(data: dict[str, Any]) -> None:
    assert importance().shape == (POINTS,)
    assert float(importance().mean()) == pytest.approx(1)
    assert importance()[DENSE] > importance()[0]
    with pytest.raises(BadInputError, match="real_shar"):
        LandmarksRecipe({"data": {**data, "real_shar": 1}, "model": {}}, CPU)
