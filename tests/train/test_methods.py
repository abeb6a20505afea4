"""Methods in the loop: phases, resume bit for bit, two processes, what a run leaves, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("pydantic")

from torch.distributed.run import get_args_parser  # noqa: E402

from facegraft.core.errors import BadInputError  # noqa: E402
from facegraft.core.image import read_picture  # noqa: E402
from facegraft.methods._method import find_method, list_methods  # noqa: E402
from facegraft.nn.weights import read_tensors  # noqa: E402
from facegraft.train.devices import pick_device  # noqa: E402
from facegraft.train.folder import open_run, read_log, write_config  # noqa: E402
from facegraft.train.frozen_nets import load_frozen  # noqa: E402
from facegraft.train.job import Job  # noqa: E402
from facegraft.train.loop import Run, train  # noqa: E402
from facegraft.train.methods import MethodJob, load_method  # noqa: E402
from facegraft.train.options import MethodRunConfig, run_config  # noqa: E402
from facegraft.train.processes import Processes  # noqa: E402
from tests.data.small_sets import small_set  # noqa: E402
from tests.methods.contract import EMBEDDING, tiny_frozen  # noqa: E402

ROOT = Path(__file__).parents[2]
MODEL = {
    "size_px": 32,
    "width": 4,
    "halvings": 2,
    "identity_blocks": 1,
    "embedding": EMBEDDING,
    "stem_kernel": 3,
    "discriminator_width": 4,
    "discriminator_halvings": 2,
}
OPTIMISER = {"lr": 1e-3, "betas": [0.0, 0.99], "weight_decay": 0.0}
ADABELIEF = {"generator": OPTIMISER | {"kind": "adabelief", "betas": [0.5, 0.99], "lr_dropout": 0.7, "lr": 2.5e-4}}
"""As changes of `tables`; the embedding of 16 numbers is made four times as large, and the rate as much smaller."""


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("methods") / "faces"
    small_set(folder, people=12, photos=3, exact=6)
    return folder


def tables(faces: Path, **changes: Any) -> dict[str, Any]:
    """A tiny SimSwap's config; `train={...}` and the like change single keys of a table."""
    plain: dict[str, Any] = {
        "method": "simswap",
        "seed": 0,
        "model": dict(MODEL),
        "data": {"path": [str(faces)], "policy": "simswap", "val_share": 0.3},
        "train": {"images": 24, "batch": 4, "log_every": 8, "save_every": 8, "preview_every": 12, "validate_every": 12},
        "optimiser": {"discriminator": dict(OPTIMISER), "generator": dict(OPTIMISER)},
    }
    return {key: value | changes.get(key, {}) if isinstance(value, dict) else value for key, value in plain.items()}


def run(folder: Path, config: dict[str, Any]) -> Run:
    return train(config, folder, device="cpu", frozen=tiny_frozen())


@pytest.fixture(scope="module")
def unbroken(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run(folder, tables(faces))
    return folder


def test_a_run_leaves_what_it_promises(unbroken: Path) -> None:
    losses = [line for line in read_log(unbroken) if "losses" in line]
    assert [line["images_seen"] for line in losses] == [8, 16, 24]
    names = {
        "discriminator/hinge",
        *(f"generator/{name}" for name in ("adversarial", "features", "identity", "reconstruction")),
    }
    assert set(losses[0]["losses"]) == names
    assert set(losses[0]["gradient"]) == set(losses[0]["lr"]) == {"discriminator", "generator"}
    assert set(losses[0]["weights"]) == {"discriminator", "generator"}
    scores = json.loads((unbroken / "scores.json").read_text())["scores"]
    assert set(scores) == {"truth_l1", "identity_cosine", "identity_gap"}
    preview = read_picture(unbroken / "preview" / "000000024.png").frame
    assert preview.shape[1] > 5 * 128
    facts = json.loads((unbroken / "run.json").read_text())
    assert facts["method"] == "simswap"
    assert facts["data"]["path.0"]["licences"] == {"CC0-1.0": 42}


def test_a_run_that_cannot_begin_leaves_no_folder(faces: Path, tmp_path: Path) -> None:
    for folder in (tmp_path / "new", tmp_path / "there"):
        if folder.name == "there":
            folder.mkdir()
        with pytest.raises(BadInputError, match=r"data.val_share is 0"):
            run(folder, tables(faces, data={"val_share": 0}))
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_a_run_that_was_begun_before_stays_when_it_cannot_begin(faces: Path, tmp_path: Path) -> None:
    """Its config is there and nothing is learnt yet, as after Ctrl-C in the first minute."""
    config = tables(faces, data={"val_share": 0})
    open_run(tmp_path / "run", run_config(config))
    write_config(tmp_path / "run", run_config(config))
    with pytest.raises(BadInputError, match=r"data.val_share is 0"):
        run(tmp_path / "run", config)
    assert (tmp_path / "run" / "config.json").exists()


def test_a_folder_of_a_run_stays_when_it_cannot_go_on(faces: Path, tmp_path: Path, unbroken: Path) -> None:
    shutil.copytree(unbroken, tmp_path / "run")
    before = sorted(path.name for path in (tmp_path / "run").rglob("*"))
    with pytest.raises(BadInputError):
        run(tmp_path / "run", tables(faces, data={"val_share": 0}))
    assert sorted(path.name for path in (tmp_path / "run").rglob("*")) == before


def test_each_phase_moves_its_own_weights(faces: Path, tmp_path: Path, unbroken: Path) -> None:
    """Without an optimiser for it a phase does not run, and its weights stay."""
    config = tables(faces)
    del config["optimiser"]["discriminator"]
    run(tmp_path / "run", config)
    state, _ = read_tensors(tmp_path / "run" / "last.safetensors")
    both, _ = read_tensors(unbroken / "last.safetensors")
    job = MethodJob(fill(config), tmp_path / "job", torch.device("cpu"), Processes(), tiny_frozen())
    assert [phase.name for phase in job.phases] == ["generator"]
    assert not any(name.startswith("optimiser/net/discriminator") for name in state)
    assert any(name.startswith("optimiser/net/discriminator") for name in both)
    assert isinstance(job, Job)


def fill(config: dict[str, Any]) -> MethodRunConfig:
    found = run_config(config)
    assert isinstance(found, MethodRunConfig)
    return found


def test_a_stopped_run_goes_on_bit_for_bit(faces: Path, tmp_path: Path, unbroken: Path) -> None:
    """Half the way under the whole way's schedule; where decoded pictures are kept may have changed meanwhile."""
    script = tmp_path / "half.py"
    script.write_text(
        "import os, signal, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import tests.train.test_methods as tm\n"
        "from pathlib import Path\n"
        "from facegraft.data.loader import Loader\n"
        "made = Loader.batch_at\n"
        "def batch_at(self, images_seen):\n"
        "    if images_seen == 12 and self.options.batch == 4:\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return made(self, images_seen)\n"
        "Loader.batch_at = batch_at\n"
        "tm.run(Path(sys.argv[2]), tm.tables(Path(sys.argv[1])))\n"
    )
    folder = tmp_path / "run"
    killed = subprocess.run([sys.executable, script, faces, folder], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert read_tensors(folder / "last.safetensors")[1]["images_seen"] == 8
    run(folder, tables(faces, data={"cache": str(tmp_path / "elsewhere")}))
    for name in ("last.safetensors", "weights.safetensors"):
        ours, theirs = read_tensors(folder / name)[0], read_tensors(unbroken / name)[0]
        assert [key for key in theirs if not torch.equal(ours[key], theirs[key])] == []


@pytest.mark.parametrize("where", ["docs/training-methods.md", "facegraft/train/processes.py"])
def test_torchrun_reads_the_documented_command(where: str) -> None:
    """Without two dashes it takes `--run` for an option of its own."""
    found = re.findall(r"^ *torchrun (.*)$", (ROOT / where).read_text(encoding="utf-8"), re.MULTILINE)
    assert len(found) == 1
    read = get_args_parser().parse_args(shlex.split(found[0]))
    assert (read.module, read.nproc_per_node) == (True, "2")
    assert [read.training_script, *read.training_script_args][-4] == "train"
    with pytest.raises(SystemExit):
        get_args_parser().parse_args(shlex.split(found[0].replace("-- ", "", 1)))


def test_two_processes_give_the_outputs_of_one(faces: Path, tmp_path: Path) -> None:
    """Started by torchrun's variables; outputs are compared, since Adam blows up rounding noise of zero gradients.

    With lr-dropout all three processes must leave out the same weights.
    """
    script = tmp_path / "one_of_two.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        "import tests.train.test_methods as tm\n"
        "from pathlib import Path\n"
        "import torch\n"
        "torch.set_num_threads(1)\n"
        "tm.run(Path(sys.argv[2]), tm.tables(Path(sys.argv[1]), optimiser=tm.ADABELIEF))\n"
    )
    shared = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(29500 + os.getpid() % 1000),
        "WORLD_SIZE": "2",
    }
    together = [
        subprocess.Popen(
            [sys.executable, script, faces, tmp_path / "two"],
            env=shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
        )
        for rank in range(2)
    ]
    for process in together:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()[-2000:]
    run(tmp_path / "one", tables(faces, optimiser=ADABELIEF))
    logs = [[line["losses"] for line in read_log(tmp_path / name) if "losses" in line] for name in ("one", "two")]
    for one, two in zip(*logs, strict=True):
        assert {name: pytest.approx(value, rel=2e-3, abs=2e-4) for name, value in one.items()} == two
    batch = MethodJob(fill(tables(faces)), tmp_path / "job", torch.device("cpu"), Processes(), tiny_frozen()).batch(0)
    images = []
    for name in ("one", "two"):
        method = load_method(tmp_path / name)
        images.append(method.swap(batch.attribute, method.encode_identity(batch.identity, tiny_frozen())).image)
    torch.testing.assert_close(images[0], images[1], atol=5e-4, rtol=0)


def test_training_goes_on_from_another_runs_weights(faces: Path, tmp_path: Path, unbroken: Path) -> None:
    config = tables(faces, train={"start": str(unbroken / "weights.safetensors"), "images": 4})
    job = MethodJob(fill(config), tmp_path, torch.device("cpu"), Processes(), tiny_frozen())
    kept, _ = read_tensors(unbroken / "weights.safetensors")
    assert all(torch.equal(tensor, kept[name]) for name, tensor in job.net.state_dict().items())


def test_exact_pairs_are_drawn_and_framed_like_their_attribute_image(faces: Path, tmp_path: Path) -> None:
    config = tables(faces, data={"exact_share": 1.0, "policy": "ours"})
    job = MethodJob(fill(config), tmp_path, torch.device("cpu"), Processes(), tiny_frozen())
    batch = job.batch(0)
    assert bool(batch.has_truth.all())
    assert (batch.truth - batch.attribute.image).abs().mean() > 0.05  # pictures of their own


def test_a_teacher_is_a_run(faces: Path, tmp_path: Path, unbroken: Path) -> None:
    method = load_method(unbroken)
    assert not any(weight.requires_grad for weight in method.parameters())
    assert not method.training
    (tmp_path / "config.json").write_text('{"network": "landmarks"}')
    with pytest.raises(BadInputError, match="expected the run of a method"):
        load_method(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "simswop"}, "did you mean simswap"),
        ({"optimiser": {"generator2": OPTIMISER}}, "optimiser.generator2: no such key; did you mean generator"),
        ({"data": {"policy": "simswop"}}, "policy: no such key; did you mean simswap"),
        ({"data": {"stages": "gun"}}, "stages: no such key; did you mean gan"),
        ({"model": {"loss_weights": {"generator": {}}}}, "expected the phases"),
        ({"train": {"start": "nowhere.safetensors"}}, "nowhere.safetensors"),
    ],
)
def test_what_cannot_be_trained_is_told(faces: Path, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    config = tables(faces, **{key: value for key, value in changes.items() if isinstance(value, dict)})
    config |= {key: value for key, value in changes.items() if not isinstance(value, dict)}
    with pytest.raises(BadInputError, match=message):
        run(tmp_path / "run", config)


def test_a_loss_that_is_no_number_is_named_with_its_phase(faces: Path, tmp_path: Path) -> None:
    def broken(images: torch.Tensor) -> torch.Tensor:
        return tiny_frozen().identity(images) * (torch.nan if images.requires_grad else 1.0)

    frozen = dataclasses.replace(tiny_frozen(), identity=broken)
    with pytest.raises(BadInputError, match="the loss generator/identity is nan after 0 images"):
        train(tables(faces), tmp_path / "run", device="cpu", frozen=frozen)
    assert not (tmp_path / "run" / "weights.safetensors").exists()


def test_a_method_and_a_network_at_once_are_refused(faces: Path) -> None:
    with pytest.raises(BadInputError, match="names a method and a network"):
        run_config(tables(faces) | {"network": "landmarks"})


def test_odd_batches_for_the_processes_are_told(faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(BadInputError, match="RANK and WORLD_SIZE"):
        run(tmp_path / "run", tables(faces))
    assert pick_device("cpu") == torch.device("cpu")


def test_the_frozen_networks_see_the_same_face_as_analysis_does() -> None:
    """Aligned, a face's crop for the recogniser is the one that analysis would cut out of the whole frame."""
    import numpy as np

    from facegraft.core.geometry import warp
    from facegraft.faces.align import alignment, template_points
    from facegraft.frozen.identity import SIZE_PX, TEMPLATE
    from facegraft.frozen.nets import IdentityEye
    from facegraft.tensors import images_from_frames

    y, x = np.mgrid[:256, :256]
    smooth = np.stack([x, y, (x + y) // 2], -1).astype(np.uint8)
    points = template_points("ffhq", 256)
    crop = warp(smooth, alignment(points, "arcface_112_v1", 128), (128, 128))
    eye = load_frozen({"identity"}, "arcface_112_v1", 128).identity
    assert isinstance(eye, IdentityEye)
    found = (eye.cut(images_from_frames([crop]))[0].permute(1, 2, 0) * 255).numpy()
    # The template itself, not five points of one face: the two templates' own fit takes one to the other.
    matrix = alignment(template_points("arcface_112_v1", 128), TEMPLATE, SIZE_PX)
    expected = warp(crop, matrix, (SIZE_PX, SIZE_PX))
    assert eye.cut(images_from_frames([crop])).shape[-1] == SIZE_PX
    assert np.abs(found - expected).max() < 2


def test_the_identity_loss_teaches_no_patterns_of_single_pixels() -> None:
    """Rows of alternate sign get next to no gradient; without the blur they would get their share."""
    eye = load_frozen({"identity"}, "arcface_112_v1", 64).identity
    generator = torch.Generator().manual_seed(0)
    picture = torch.nn.functional.interpolate(torch.rand(1, 3, 8, 8, generator=generator), 64, mode="bilinear") * 2 - 1
    images = picture.requires_grad_()
    person = torch.nn.functional.normalize(torch.randn(1, 512, generator=generator))
    (eye(images) * person).sum().backward()
    assert images.grad is not None
    spectrum = torch.fft.rfft2(images.grad[0].mean(0)).abs()
    assert spectrum[20:44, 20:].mean() < 0.02 * spectrum[1:12, 1:12].mean()


def test_every_list_methods_its_class_and_config() -> None:
    assert "simswap" in list_methods()
    for name in list_methods():
        found = find_method(name)
        assert dataclasses.is_dataclass(found.config)
        assert set(found.config().loss_weights) == set(found.method.card.phases)
