"""People rendered while a method trains: their share, determinism, two processes, resume, and what is refused."""

from __future__ import annotations

import dataclasses
import functools
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("pydantic")

from facegraft.cli.main import main  # noqa: E402
from facegraft.core import config as core_config  # noqa: E402
from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.data.loader import Loader  # noqa: E402
from facegraft.data.synth import render  # noqa: E402
from facegraft.data.synth.render import Renderer  # noqa: E402
from facegraft.data.synth.stream import StreamOptions  # noqa: E402
from facegraft.nn.weights import read_tensors  # noqa: E402
from facegraft.tensors import SwapBatch, concatenate, each_tensor  # noqa: E402
from facegraft.train.methods import MethodData, MethodJob  # noqa: E402
from facegraft.train.processes import Processes  # noqa: E402
from facegraft.train.rendered import RenderedData, open_rendered  # noqa: E402
from tests.data.small_sets import small_set  # noqa: E402
from tests.methods.contract import tiny_frozen  # noqa: E402
from tests.train.test_methods import fill, run, tables  # noqa: E402

RENDERED = {"share": 0.4, "people": 4, "same_share": 0.3, "exact_share": 0.7}
PEOPLE = 12
LEVEL = 1.01 / 127.5
"""One of the picture's levels."""


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def one_renderer(makehuman: Path, monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Opening the assets takes seconds: all jobs look through one renderer, but where the patch is taken back."""
    monkeypatch.setenv("FACEGRAFT_MAKEHUMAN", str(makehuman))
    monkeypatch.setattr(render, "Renderer", kept_renderer)
    return monkeypatch


@functools.cache
def kept_renderer(assets: Path, size_px: int, **options: Any) -> Renderer:
    return Renderer(assets, size_px, **options)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rendered") / "faces"
    small_set(folder, people=PEOPLE, photos=3)
    return folder


def config(faces: Path, rendered: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    data = {"policy": "ours", "rendered": RENDERED if rendered is None else rendered}
    return tables(faces, data=data, **changes)


def job(faces: Path, where: Path, processes: Processes | None = None, **changes: Any) -> MethodJob:
    options = fill(config(faces, **changes))
    return MethodJob(options, where, torch.device("cpu"), processes or Processes(), tiny_frozen())


def rendered_rows(batch: SwapBatch, train_people: int) -> SwapBatch:
    """The rendered part: people numbered behind the dataset's."""
    assert batch.identity_person is not None
    rows = batch.identity_person >= train_people
    return each_tensor(batch, lambda tensor: tensor[rows])


def in_order(batch: SwapBatch) -> SwapBatch:
    """By the pictures' brightness, so that the same pairs lie in the same places."""
    order = (batch.attribute.image.mean((1, 2, 3)) * 1e4 + batch.identity.image.mean((1, 2, 3))).argsort()
    return each_tensor(batch, lambda tensor: tensor[order])


def test_batches_hold_rendered_pairs_and_two_processes_share_them(
    one_renderer: pytest.MonkeyPatch, faces: Path, tmp_path: Path
) -> None:
    one = job(faces, tmp_path)
    parts = [job(faces, tmp_path, Processes(rank, 2)) for rank in range(2)]
    people = len(one.loader._people)
    for images_seen in (0, 4, 8):
        whole = one.batch(images_seen)
        halves = [part.batch(images_seen) for part in parts]
        assert [len(whole), *map(len, halves)] == [4, 2, 2]
        made = rendered_rows(whole, people)
        assert len(made) == [1, 2, 1][images_seen // 4]  # .4 of 4, 8 and 12 is 1, 3 and 4
        assert max(len(rendered_rows(half, people)) for half in halves) == 1
        ours, theirs = in_order(whole), in_order(concatenate(halves))
        assert torch.equal(ours.has_truth, theirs.has_truth)
        assert torch.equal(ours.attribute_person, theirs.attribute_person)
        for name in ("identity", "attribute"):
            apart = (getattr(ours, name).image - getattr(theirs, name).image).abs()
            assert apart.max() <= LEVEL  # rounding: which pictures are rendered together differs
            assert (apart > 0).float().mean() < 1e-3
        assert ((ours.truth - theirs.truth).abs() > 0).float().mean() < 1e-3
        plain = made.has_truth & (made.identity_person == made.attribute_person)
        assert torch.equal(made.truth[plain], made.attribute.image[plain])
    one_renderer.setattr(render, "Renderer", Renderer)
    again, anew = one.batch(8), job(faces, tmp_path).batch(8)  # what was baked before changes nothing
    assert torch.equal(again.truth, anew.truth)
    assert torch.equal(again.identity.image, anew.identity.image)
    assert torch.equal(again.attribute.image, anew.attribute.image)


@pytest.mark.usefixtures("one_renderer")
def test_scores_and_previews_are_of_the_datasets_held_out_people_alone(faces: Path, tmp_path: Path) -> None:
    with_them, without = job(faces, tmp_path, rendered={"share": 1.0, "people": 2}), job(faces, tmp_path, rendered={})
    assert torch.equal(with_them.scored.truth, without.scored.truth)
    assert torch.equal(with_them.scored.identity.image, without.scored.identity.image)
    batch = with_them.batch(0)  # nothing else is in it where their share is 1
    assert len(rendered_rows(batch, len(with_them.loader._people))) == len(batch) == 4
    assert batch.attribute.mask is None  # nobody asked for it
    assert batch.attribute.landmarks is None


def test_a_stopped_run_goes_on_bit_for_bit(one_renderer: pytest.MonkeyPatch, faces: Path, tmp_path: Path) -> None:
    """The second half by another renderer, with batches made ahead in a thread."""
    train = {"images": 12, "log_every": 4, "save_every": 4}
    run(tmp_path / "unbroken", config(faces, train=train))
    made = Loader.batch_at

    def broken(self: Loader, images_seen: int) -> SwapBatch:
        if images_seen == 8 and self.options.rendered_share:
            raise OSError("the power is gone")
        return made(self, images_seen)

    one_renderer.setattr(Loader, "batch_at", broken)
    with pytest.raises(OSError, match="power"):
        run(tmp_path / "run", config(faces, train=train))
    one_renderer.setattr(Loader, "batch_at", made)
    one_renderer.setattr(render, "Renderer", Renderer)
    assert read_tensors(tmp_path / "run" / "last.safetensors")[1]["images_seen"] == 8
    run(tmp_path / "run", config(faces, train=train | {"ahead": 1}))
    ours, theirs = (read_tensors(tmp_path / name / "last.safetensors")[0] for name in ("run", "unbroken"))
    assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


def test_without_the_assets_one_line_says_how_to_get_them(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], root: Path
) -> None:
    monkeypatch.setenv("FACEGRAFT_MAKEHUMAN", str(tmp_path / "nothing"))
    where = ["--run", str(tmp_path / "run"), "--device", "cpu"]
    changes = [f'data.path=["{faces}"]', "data.val_share=0.3", "data.exact_share=0", "data.rendered.share=0.25"]
    sets = [word for change in changes for word in ("--set", change)]
    assert main(["train", str(root / "configs/simswap_small.toml"), *where, *sets]) == 2
    told = capfd.readouterr().err.strip().splitlines()
    assert len([line for line in told if "assets" in line]) == 1
    assert "run `facegraft data assets`" in told[-1]
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("rendered", "message"),
    [
        ({"share": 1.5}, r"data.rendered: share: expected 0 to 1, found 1.5"),
        ({"shares": 0.5}, "data.rendered.shares: no such key; did you mean share"),
        ({"share": 0.5, "people": 1}, "people: expected 2 or more, found 1"),
        ({"share": 0.5, "dial": 2.0}, "dial: expected 0 to 1"),
        ({"share": 0.5, "stratum": "night"}, "expected a truth of inner"),
        ({"share": 0.5, "people_seed": 1_099_512}, "kept for the benchmark sets"),
        ({"share": 0.5, "backgrounds": "nowhere"}, "data.rendered.backgrounds: nowhere is no folder"),
    ],
)
def test_wrong_options_are_named(faces: Path, tmp_path: Path, rendered: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInputError, match=message):
        run(tmp_path / "run", config(faces, rendered=rendered))
    assert not (tmp_path / "run").exists()


def test_methods_of_one_pair_of_people_refuse_others(faces: Path, tmp_path: Path) -> None:
    one, other = f"0-{faces.name}/p0", f"0-{faces.name}/p1"
    changed = config(faces) | {"method": "df", "model": {"size_px": 32}}
    changed["data"] |= {"policy": "df", "identity_people": [one], "attribute_people": [other]}
    changed["optimiser"] = {"autoencoder": {"lr": 1e-4}}
    with pytest.raises(BadInputError, match=r"data.rendered.share: expected 0, df learns one pair of people"):
        run(tmp_path / "run", changed)


def test_every_option_of_rendered_pairs_is_a_key_of_the_config() -> None:
    ours = {entry.name: entry.default for entry in dataclasses.fields(RenderedData)}
    theirs = {entry.name: entry.default for entry in dataclasses.fields(StreamOptions)}
    assert set(theirs) - set(ours) == {"truth"}  # which is data.truth
    differ = {name for name in theirs if name in ours and ours[name] != theirs[name]}
    assert differ == {"people", "people_seed"}


def test_the_documented_table_holds_the_defaults(root: Path) -> None:
    text = (root / "docs/training-methods.md").read_text(encoding="utf-8")
    (block,) = (block for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL) if "[data.rendered]" in block)
    found = core_config.fill(MethodData, tomllib.loads(block)["data"], "data").rendered
    assert found.share == 0.25
    assert dataclasses.replace(found, share=0.0) == RenderedData()


def test_held_out_people_of_a_rendered_dataset_are_never_rendered() -> None:
    options = RenderedData(share=0.5, people=10, people_seed=3)
    plain = ("inner", "arcface_112_v1", 32, torch.device("cpu"))
    with pytest.raises(BadInputError, match=r"1 of the people of 3 are held out .* 0-set/rendered-3000009; take"):
        open_rendered(options, *plain, {"0-set/rendered-3000009", "0-set/rendered-3000010", "1-faces/anna"})
    assert open_rendered(dataclasses.replace(options, share=0.0), *plain, {"0-set/rendered-3000009"}) is None
