"""Q of MobileFaceSwap: a run keeps snapshots, a network learns how far each had come, a pupil trusts by it."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("pydantic")

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.frozen.quality import Quality, QualityConfig  # noqa: E402
from facegraft.nn.conv import count_parameters  # noqa: E402
from facegraft.nn.weights import read_tensors  # noqa: E402
from facegraft.tensors import Swap  # noqa: E402
from facegraft.train.eyes.quality import Judged, QualityRecipe, answers, snapshots  # noqa: E402
from facegraft.train.loop import train  # noqa: E402
from facegraft.train.methods import load_method, load_quality  # noqa: E402
from tests.data.small_sets import small_set  # noqa: E402
from tests.methods.contract import tiny_frozen  # noqa: E402
from tests.train.test_methods import OPTIMISER, run, tables  # noqa: E402


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quality") / "faces"
    small_set(folder, people=12, photos=3, exact=6)
    return folder


@pytest.fixture(scope="module")
def teacher(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SimSwap, as it was after 8, 16 and 24 images; its embeddings are those of the network that ships."""
    folder = tmp_path_factory.mktemp("teacher") / "run"
    config = tables(faces, train={"snapshot_every": 8}, model={"embedding": 512})
    train(config, folder, device="cpu")
    return folder


def quality_tables(faces: Path, teacher: Path, **train: Any) -> dict[str, Any]:
    return {
        "network": "quality",
        "seed": 0,
        "model": {"width": 4, "depth": 1},
        "data": {"path": [str(faces)], "teacher": str(teacher), "val_share": 0.3, "val_images": 3},
        "train": {"images": 8, "batch": 4, "log_every": 8} | train,
        "optimiser": {"lr": 1e-3},
        "losses": {"progress": 1.0},
    }


@pytest.fixture(scope="module")
def recipe(faces: Path, teacher: Path) -> QualityRecipe:
    return QualityRecipe(quality_tables(faces, teacher), torch.device("cpu"))


def test_snapshots_are_what_the_run_was_at_their_moments(faces: Path, teacher: Path, tmp_path: Path) -> None:
    kept = sorted(path.name for path in (teacher / "snapshots").iterdir())
    assert kept == ["000000008.safetensors", "000000016.safetensors", "000000024.safetensors"]
    first, facts = read_tensors(teacher / "snapshots" / kept[0])
    assert facts["images_seen"] == 8
    last, _ = read_tensors(teacher / "snapshots" / kept[2])
    weights, _ = read_tensors(teacher / "weights.safetensors")
    assert all(torch.equal(last[name], weights[name]) for name in weights)
    assert any(not torch.equal(first[name], last[name]) for name in weights)
    run(tmp_path / "none", tables(faces))
    assert not (tmp_path / "none" / "snapshots").exists()


def test_the_last_snapshot_and_the_result_are_one_moment(teacher: Path) -> None:
    found = snapshots(teacher, torch.device("cpu"))
    assert [share for share, _ in found] == [8 / 24, 16 / 24, 1.0]
    assert not any(weight.requires_grad for _, method in found for weight in method.parameters())


def test_too_few_moments_are_told(faces: Path, tmp_path: Path) -> None:
    run(tmp_path / "run", tables(faces, train={"snapshot_every": 20}))
    with pytest.raises(BadInputError, match=r"data\.teacher: expected 3 kept moments or more, found 2"):
        snapshots(tmp_path / "run", torch.device("cpu"))


def test_labels_say_whose_answers_they_are(recipe: QualityRecipe) -> None:
    """Each picture is the answer of the moment that its label names, to a pair of its own."""
    drawn = recipe.batch(torch.Generator().manual_seed(3), 12)
    again = recipe.batch(torch.Generator().manual_seed(3), 12)
    assert torch.equal(drawn.images, again.images)
    assert set(drawn.progress.tolist()) == {torch.tensor(share).item() for share, _ in recipe.moments}
    generator = torch.Generator().manual_seed(3)
    places = torch.randint(2**40, (12,), generator=generator).tolist()
    for number in (0, 5, 11):
        batch = recipe.loader.batch_at(places[number])
        by_share = {torch.tensor(share).item(): method for share, method in recipe.moments}
        wanted = answers(by_share[drawn.progress[number].item()], batch, recipe.frozen)
        torch.testing.assert_close(drawn.images[number : number + 1], wanted, rtol=1e-4, atol=1e-4)


def test_an_answer_lies_in_its_place_in_the_frame(recipe: QualityRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a mask is half of the picture."""
    batch, method = recipe.loader.batch_at(7), recipe.moments[0][1]
    half = torch.full_like(batch.attribute.image[:, :1], 0.5)
    monkeypatch.setattr(method, "swap", lambda attribute, _code: Swap(torch.ones_like(attribute.image), half))
    torch.testing.assert_close(answers(method, batch, recipe.frozen), (batch.attribute.image + 1) / 2)


def test_held_out_pairs_are_the_same_for_every_moment(recipe: QualityRecipe) -> None:
    assert [len(held) for held in recipe.held] == [3, 3, 3]
    assert not torch.equal(recipe.held[0].images, recipe.held[2].images)
    with torch.no_grad():
        scores = recipe.validate(recipe.net.eval())
        assert recipe.preview(recipe.net).shape[2] == 3
    assert 0 <= scores["error"] <= 1
    assert scores["order"] in (0.0, pytest.approx(1 / 3), pytest.approx(2 / 3), 1.0)


def test_scores_tell_a_good_network_from_a_bad_one(recipe: QualityRecipe) -> None:
    class Right(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return next(held.progress for held in recipe.held if torch.equal(held.images, images))

    class Wrong(Right):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return 1 - super().forward(images)

    assert recipe.validate(Right()) == {"error": 0.0, "order": 1.0}
    assert recipe.validate(Wrong())["order"] == 0.0


def test_the_network_learns_what_tells_moments_apart() -> None:
    """Noise that fades, as training goes on."""
    torch.manual_seed(0)
    net = Quality(QualityConfig(width=4, depth=1))
    optimiser = torch.optim.AdamW(net.parameters(), 5e-3)
    lost = []
    for _ in range(60):
        progress = torch.rand(16)
        images = torch.randn(16, 3, 32, 32) * (1 - progress)[:, None, None, None]
        loss = QualityRecipe.losses(None, net, Judged(images, progress))["progress"]  # type: ignore[arg-type]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        lost.append(float(loss.detach()))
    assert sum(lost[-10:]) / 10 < 0.25 / 12  # a twelfth: what saying a half each time would leave


def test_the_published_size_is_a_resnet_18() -> None:
    assert count_parameters(Quality(QualityConfig(width=64, depth=2))) == pytest.approx(11.17e6, rel=0.01)
    with pytest.raises(ValueError, match="from 1"):
        QualityConfig(width=0)


def test_a_pupil_trusts_by_it(faces: Path, teacher: Path, tmp_path: Path) -> None:
    done = train(quality_tables(faces, teacher), tmp_path / "q", device="cpu")
    assert done.images_seen == 8
    judge = load_quality(tmp_path / "q")
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    assert torch.equal(judge(images), judge(images))
    with pytest.raises(BadInputError, match="expected a run of network = 'quality', found one of 'simswap'"):
        load_quality(teacher)


def test_the_pupils_run_takes_it_from_its_config(faces: Path, teacher: Path, tmp_path: Path) -> None:
    from facegraft.train.methods import MethodJob
    from facegraft.train.options import MethodRunConfig, run_config
    from facegraft.train.processes import Processes

    train(quality_tables(faces, teacher), tmp_path / "q", device="cpu")
    config = tables(faces) | {
        "method": "mobilefaceswap",
        "model": {"size_px": 32, "widths": [4, 6], "mask_widths": [4, 2], "tail_width": 2, "predictor_width": 8},
        "optimiser": {"generator": dict(OPTIMISER)},
    }
    config["data"] |= {"teacher": str(teacher), "quality": str(tmp_path / "q")}
    options = run_config(json.loads(json.dumps(config)))
    assert isinstance(options, MethodRunConfig)
    job = MethodJob(options, tmp_path / "pupil", torch.device("cpu"), Processes())
    assert job.frozen.quality is not None
    batch = job.batch(4)  # strangers
    job.frozen = dataclasses.replace(
        job.frozen, teacher=lambda identity, _: Swap(identity.image, batch.truth[:, :1] + 1)
    )
    with torch.no_grad():
        mine = job.losses("generator", job.net, batch)
        job.frozen = dataclasses.replace(job.frozen, quality=None)
        without = job.losses("generator", job.net, batch)
    assert 0 < mine["distil"] < without["distil"]
    assert torch.equal(mine["identity"], without["identity"])


def test_without_a_teacher_it_is_of_no_use(faces: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"data\.quality: simswap learns from no teacher"):
        run(tmp_path / "run", tables(faces, data={"quality": "runs/q"}))


def test_a_moment_is_loaded_into_the_runs_architecture(teacher: Path) -> None:
    early = load_method(teacher, weights=teacher / "snapshots" / "000000008.safetensors")
    late = load_method(teacher)
    assert early.config == late.config
    assert any(not torch.equal(a, b) for a, b in zip(early.parameters(), late.parameters(), strict=True))
    assert tiny_frozen().quality is None
