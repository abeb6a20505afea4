"""Every network's config trains by its one command, for two steps on drawn faces, and the file it exports runs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("onnxscript", reason="export needs the extra `train`")
pytest.importorskip("onnxruntime")

from facegraft.cli.main import main  # noqa: E402
from facegraft.core.image import save_frame  # noqa: E402
from facegraft.data.dataset import DatasetCard, Item, split_of, write_card, write_shard  # noqa: E402
from facegraft.export.compare import open_session  # noqa: E402
from facegraft.faces.topology import LANDMARKS_68  # noqa: E402
from facegraft.train.eyes.heads import HELD_OUT_SHARE  # noqa: E402
from facegraft.train.folder import read_log  # noqa: E402
from facegraft.train.loop import train  # noqa: E402
from facegraft.train.recipe import find_recipe  # noqa: E402
from tests.data.small_sets import small_set  # noqa: E402
from tests.train.eyes.test_face_recipes import photographed, rendered  # noqa: E402
from tests.train.eyes.test_identity import EACH, PEOPLE, drawn_item  # noqa: E402
from tests.train.eyes.test_identity_views import small_teacher  # noqa: E402
from tests.train.eyes.test_shading import lit  # noqa: E402
from tests.train.test_configs import CONFIGS, FOLDER  # noqa: E402
from tests.train.test_methods import tables  # noqa: E402

STEPS, BATCH = 2, 8


def written(folder: Path, items: list[Item]) -> str:
    folder.mkdir()
    write_shard(folder, 0, items)
    write_card(folder, DatasetCard(name=folder.name, about="Drawn."))
    return str(folder)


def faces_with_points(folder: Path) -> dict[str, Any]:
    """Renders with exact points and regions, and photographs."""
    return {
        "renders": written(folder / "renders", [rendered(number) for number in range(16)]),
        "real": written(folder / "real", [with_68(photographed(number)) for number in range(12)]),
    }


def with_68(item: Item) -> Item:
    points = np.ascontiguousarray(item.arrays["dense"][list(LANDMARKS_68), :2])
    return dataclasses.replace(item, arrays={**item.arrays, "landmarks68": points})


def detector(folder: Path) -> dict[str, Any]:
    """Scenes of renders on plain pictures, some of whose places are held out."""
    (folder / "free").mkdir()
    names = [f"place{number}" for number in range(20)]
    assert {split_of(name, HELD_OUT_SHARE) for name in names} == {"train", "val"}
    for number, name in enumerate(names):
        noise = np.random.default_rng(number).integers(0, 256, (96, 128, 3), dtype=np.uint8)
        save_frame(folder / "free" / f"{name}_0.png", noise)
    renders = written(folder / "renders", [rendered(number) for number in range(16)])
    data = {"renders": renders, "real": "", "real_boxes": "", "free": [str(folder / "free")], "distractors": []}
    return data | {"cache_folder": str(folder / "cache"), "sizes_px": [128], "val_scenes": 4, "threads": 1}


def people(folder: Path) -> dict[str, Any]:
    """Rendered people whom stripes tell apart, and photographed ones."""
    found = {}
    for name, first, labels in (("renders", 0, True), ("real", PEOPLE, False)):
        who = range(first, first + PEOPLE)
        split = {person: "val" if person >= first + PEOPLE - 4 else "train" for person in who}
        items = [drawn_item(person, n, split[person], labels=labels) for person in who for n in range(EACH)]
        found[name] = [written(folder / name, items)]
    return found | {"morphs": 8}


def taught(folder: Path) -> dict[str, Any]:
    return people(folder) | {"teacher": str(small_teacher(folder / "teacher.onnx"))}


def robust(folder: Path) -> dict[str, Any]:
    small_set(folder / "faces", people=16, photos=2)
    return {"path": [str(folder / "faces")], "val_share": 0.3, "val_images": 4}


def quality(folder: Path) -> dict[str, Any]:
    """Faces, and a tiny method's run that kept snapshots."""
    small_set(folder / "faces", people=12, photos=3, exact=6)
    config = tables(folder / "faces", train={"snapshot_every": 8}, model={"embedding": 512})
    train(config, folder / "teacher", device="cpu")
    return {"path": [str(folder / "faces")], "teacher": str(folder / "teacher"), "val_share": 0.3, "val_images": 3}


def shading(folder: Path) -> dict[str, Any]:
    return {"renders": [written(folder / "lit", [lit(number) for number in range(12)])]}


MAKERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "detector": detector,
    "landmarks": faces_with_points,
    "parser": lambda folder: faces_with_points(folder) | {"validation": 4},
    "identity": people,
    "identity_taught": taught,
    "identity_robust": robust,
    "attributes": faces_with_points,
    "quality": quality,
    "shading": shading,
}


def test_every_networks_config_is_tried() -> None:
    assert {path.stem for path in CONFIGS} == set(MAKERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", MAKERS)
def test_a_config_trains_by_its_one_command_and_its_file_runs(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the config's own network, losses and optimiser; only data and length are other ones."""
    run, file, data = tmp_path / "run", tmp_path / f"{name}.onnx", MAKERS[name](tmp_path)
    changes = {f"data.{key}": value for key, value in data.items()} | {"train.batch": BATCH, "optimiser.warmup": 0}
    words = [word for key, value in changes.items() for word in ("--set", f"{key}={json.dumps(value)}")]
    words += ["--images", str(STEPS * BATCH), "--set", f"train.log_every={BATCH}", "--device", "cpu"]
    assert main(["train", str(FOLDER / f"{name}.toml"), "--run", str(run), *words]) == 0
    told = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert told["images_seen"] == STEPS * BATCH
    assert told["scores"]
    steps = [line for line in read_log(run) if "losses" in line]
    assert len(steps) == STEPS
    for step in steps:
        assert step["losses"]
        assert all(math.isfinite(value) for value in step["losses"].values())
        assert all(0 < length < math.inf for length in np.atleast_1d(step["gradient"]))
    assert main(["export", str(run), "-o", str(file), "--half", "--score"]) == 0
    network = json.loads((run / "config.json").read_text(encoding="utf-8"))["network"]
    recipe = find_recipe(network)
    given = {key: tensor.numpy() for key, tensor in zip(recipe.input_names, recipe.example(), strict=True)}
    answers = open_session(file, 1).run(list(recipe.output_names), given)
    assert all(answer.size and np.isfinite(answer).all() for answer in answers)
    card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["run"]["scores"] == told["scores"]
    assert {name: set(scores) for name, scores in card["scored"].items()} == {
        "float32": set(told["scores"]),
        "file": set(told["scores"]),
    }
    assert "| score | float32 | file |" in file.with_suffix(".md").read_text(encoding="utf-8")
