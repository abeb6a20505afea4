"""The loop with a whole tiny recipe: resume bit for bit, guards, log, previews, result."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra `train`")
pytest.importorskip("pydantic")

from facegraft.core.errors import BadInputError, MissingPartError  # noqa: E402
from facegraft.core.image import read_picture  # noqa: E402
from facegraft.nn.weights import load_weights, read_tensors, save_weights  # noqa: E402
from facegraft.train import devices  # noqa: E402
from facegraft.train.devices import pick_device  # noqa: E402
from facegraft.train.folder import _fixed, read_log, sole_use  # noqa: E402
from facegraft.train.loop import Run, Status, train  # noqa: E402
from facegraft.train.recipe import Recipe, find_recipe, to_device  # noqa: E402
from facegraft.train.signals import stop_on_signals  # noqa: E402
from tests.train.tiny import CONFIG, TinyBatch, TinyRecipe  # noqa: E402


def tables(**changes: dict[str, Any]) -> dict[str, Any]:
    """The tiny config with tables changed: `tables(train={"images": 8})`."""
    found = tomllib.loads(CONFIG)
    return found | {name: found[name] | table for name, table in changes.items()}


def run_tiny(folder: Path, **changes: dict[str, Any]) -> Run:
    return train(tables(**changes), folder, device="cpu", recipe=TinyRecipe)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("unbroken") / "run"
    run_tiny(folder)
    return folder


def tensors_of(folder: Path, name: str = "last.safetensors") -> dict[str, torch.Tensor]:
    return read_tensors(folder / name)[0]


def assert_same(folder: Path, other: Path) -> None:
    """Every tensor of state and result, and the log but for times."""
    for name in ("last.safetensors", "weights.safetensors"):
        ours, theirs = tensors_of(folder, name), tensors_of(other, name)
        assert ours.keys() == theirs.keys()
        assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []
    logs = [[{k: v for k, v in line.items() if k != "seconds"} for line in read_log(run)] for run in (folder, other)]
    assert logs[0] == logs[1]


def test_tiny_is_a_recipe() -> None:
    assert isinstance(TinyRecipe(tables(), torch.device("cpu")), Recipe)


def test_a_run_leaves_what_it_promises(unbroken: Path) -> None:
    names = {
        ".lock",
        "config.json",
        "run.json",
        "log.jsonl",
        "preview",
        "last.safetensors",
        "weights.safetensors",
        "scores.json",
    }
    assert {path.name for path in unbroken.iterdir()} == names
    log = read_log(unbroken)
    assert [line["images_seen"] for line in log if "losses" in line] == [16, 32, 48, 64, 80, 96]
    assert [line["images_seen"] for line in log if "scores" in line] == [48, 96]
    assert all(set(line["losses"]) == {"centre", "bright"} for line in log if "losses" in line)
    assert [path.name for path in sorted((unbroken / "preview").iterdir())] == ["000000048.png", "000000096.png"]
    assert read_picture(unbroken / "preview/000000096.png").frame.shape == (72, 276, 3)
    config = json.loads((unbroken / "config.json").read_text())
    assert (config["train"]["clip"], config["optimiser"]["schedule"]) == (1.0, "cosine")  # defaults are written out
    start = json.loads((unbroken / "run.json").read_text())["starts"][0]
    assert start["torch"] == torch.__version__
    scores = json.loads((unbroken / "scores.json").read_text())
    assert scores["images_seen"] == 96
    assert scores["scores"] == log[-1]["scores"]


def test_the_result_is_the_average_not_the_last_step(unbroken: Path) -> None:
    state, result = tensors_of(unbroken), tensors_of(unbroken, "weights.safetensors")
    assert all(torch.equal(tensor, state[f"average/{name}"]) for name, tensor in result.items())
    assert not torch.equal(result["last.weight"], state["net/last.weight"])
    assert not any("head" in name for name in result)


def test_it_learns(tmp_path: Path) -> None:
    run = run_tiny(tmp_path / "run", train={"images": 2400, "batch": 16, "save_every": 10**6})
    assert run.scores["centre_error"] < 0.15  # pure guessing: 0.24, the first step 0.6
    losses = [line["losses"] for line in read_log(run.folder) if "losses" in line]
    assert losses[-1]["bright"] < 0.5 * losses[0]["bright"]


def test_batches_made_ahead_and_more_saves_change_nothing(tmp_path: Path, unbroken: Path) -> None:
    first = run_tiny(tmp_path / "run", train={"images": 96, "ahead": 2, "save_minutes": 0.0})
    assert (first.images_before, first.images_seen) == (0, 96)
    assert_same(tmp_path / "run", unbroken)


@pytest.mark.parametrize(("key", "kind"), [("kill_at", "adamw"), ("interrupt_at", "adamw"), ("kill_at", "adabelief")])
def test_a_killed_or_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, key: str, kind: str) -> None:
    config = tmp_path / "tiny.toml"
    # In the unbroken run nothing kills: the same config, without the word in the environment.
    text = CONFIG.replace("noise = 0.05", f"noise = 0.05\n{key} = 7")
    if kind == "adabelief":
        text = text.replace("lr = 5e-3", 'lr = 5e-3\nkind = "adabelief"\nlr_dropout = 0.7')
    config.write_text(text, encoding="utf-8")
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.train.tiny", "train", str(config), "--run", str(tmp_path / "run")]
    command += ["--device", "cpu", "--threads", "1"]
    environment = os.environ | {"TINY_KILLS": "1"}
    stopped = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    seen = read_tensors(tmp_path / "run/last.safetensors")[1]["images_seen"]
    if key == "kill_at":
        assert stopped.returncode == -signal.SIGKILL, stopped.stderr
        assert seen == 32  # of the 48 that were trained
        with (tmp_path / "run/log.jsonl").open("a") as log:
            log.write('{"images_seen": 99')  # a line that was being written
    else:
        assert stopped.returncode == 130, stopped.stderr
        assert stopped.stderr == "facegraft train: interrupted; the same command continues where it stopped\n"
        assert seen == 56  # the step in which it came was finished
    assert not (tmp_path / "run/weights.safetensors").exists()
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        done = train(config, tmp_path / "run", device="cpu", recipe=TinyRecipe)
        whole = train(config, tmp_path / "whole", device="cpu", recipe=TinyRecipe)
    finally:
        torch.set_num_threads(before)
    assert (done.images_before, done.images_seen, whole.images_before) == (seen, 96, 0)
    assert_same(tmp_path / "run", tmp_path / "whole")
    memory = "exp_avg_sq" if kind == "adamw" else "deviation"
    assert f"optimiser/net/last.weight/{memory}" in tensors_of(tmp_path / "run")


def test_in_halves_it_learns_too_and_says_where_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "computes_halves", lambda: True)
    dtypes: list[torch.dtype] = []

    class Watching(TinyRecipe):
        def losses(self, net: torch.nn.Module, batch: TinyBatch) -> dict[str, torch.Tensor]:
            dtypes.append(net(batch.crop)[0].dtype)
            return super().losses(net, batch)

    run = train(tables(train={"images": 2400, "batch": 16, "half": "always"}), tmp_path, device="cpu", recipe=Watching)
    assert set(dtypes) == {torch.bfloat16}
    assert run.scores["centre_error"] < 0.15
    assert all(tensor.dtype != torch.bfloat16 for tensor in tensors_of(tmp_path).values())
    monkeypatch.setattr(devices, "computes_halves", lambda: False)
    with pytest.raises(BadInputError, match="neither AVX-512 BF16 nor AMX"):
        run_tiny(tmp_path, train={"images": 2416, "batch": 16, "half": "always"})
    with pytest.raises(BadInputError, match="half"):
        run_tiny(tmp_path, train={"half": "sometimes"})


def test_lr_dropout_moves_other_weights_at_each_step(tmp_path: Path) -> None:
    states = []
    for images in (8, 16, 24):
        run_tiny(tmp_path / "run", train={"images": images}, optimiser={"kind": "adabelief", "lr_dropout": 0.7})
        state, memory = tensors_of(tmp_path / "run"), "/deviation"
        names = [name.removeprefix("optimiser/").removesuffix(memory) for name in state if name.endswith(memory)]
        states.append(torch.cat([state[name].flatten() for name in sorted(names)]))
    moved = [before != after for before, after in itertools.pairwise(states)]
    assert len(states[0]) > 500
    assert all(0.2 < step.float().mean() < 0.4 for step in moved)
    assert (moved[0] & moved[1]).float().mean() < 0.15  # by chance 0.09


def test_a_done_run_says_so_and_goes_on_with_more_images(tmp_path: Path) -> None:
    first = run_tiny(tmp_path / "run", train={"images": 16})
    again = run_tiny(tmp_path / "run", train={"images": 16})
    assert again == Run(tmp_path / "run", 16, 16, first.scores)
    more = run_tiny(tmp_path / "run", train={"images": 32})
    assert (more.images_before, more.images_seen) == (16, 32)


def test_randomness_outside_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run_tiny(tmp_path / "run", train={"images": 16}, optimiser={"kind": "adabelief", "lr_dropout": 0.7})
    assert torch.equal(torch.rand(3), expected)


def test_another_seed_is_another_run(tmp_path: Path, unbroken: Path) -> None:
    train(tables() | {"seed": 4}, tmp_path / "run", device="cpu", recipe=TinyRecipe)
    assert not torch.equal(tensors_of(tmp_path / "run")["net/last.weight"], tensors_of(unbroken)["net/last.weight"])


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_the_last_state(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match=r"the loss centre is nan after 40 images: lower optimiser\.lr"):
        run_tiny(tmp_path / "run", data={"nan_at": 6})
    state, facts = read_tensors(tmp_path / "run/last.safetensors")
    assert facts["images_seen"] == 32
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_a_score_that_is_no_number_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(TinyRecipe, "validate", lambda _self, _net: {"sound": 1.0, "grown": float("nan")})
    done = run_tiny(tmp_path / "run")
    assert done.images_seen > 0
    assert "the score grown is nan after" in caplog.text
    assert "sound is" not in caplog.text


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"losses": {"brigth": 1.0}}, "losses.brigth: no such key; did you mean bright?"),
        ({"train": {"bacth": 1}}, "train.bacth: no such key; did you mean batch?"),
        ({"train": {"batch": 0}}, "train: batch: expected 1 or more, found 0"),
        ({"train": {"ema": 1.0}}, "train: ema: expected 0 or more and less than 1"),
        ({"optimiser": {"lr": "fast"}}, "optimiser.lr: input should be a valid number, found 'fast'"),
        ({"optimiser": {"lr": -1.0}}, "optimiser: lr: expected more than 0"),
        ({"optimiser": {"kind": "adam"}}, "optimiser.kind: input should be 'adamw' or 'adabelief', found 'adam'"),
        ({"optimiser": {"kind": "adabelief", "betas": [0.0, 0.9]}}, "optimiser: betas: expected a first one above 0"),
        ({"optimiser": {"lr_dropout": 1.0}}, "optimiser: lr_dropout: expected 0 or more and less than 1, found 1.0"),
        ({"optimiser": {"lr_dropout": -0.1}}, "optimiser: lr_dropout: expected 0 or more and less than 1, found -0.1"),
        ({"optimiser": {"lr_dropout": 0.7}}, "optimiser: lr_dropout: expected 0 with adamw, found 0.7; set kind"),
        ({"model": {"depth": 3}}, "model.depth: no such key"),
        ({"data": {"noise": -1}}, "data: noise: expected 0 or more"),
        ({"data": {"renders": "nowhere"}}, "nowhere: no dataset"),
    ],
)
def test_a_wrong_config_is_one_line(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(BadInputError) as error:
        run_tiny(tmp_path / "run", **changes)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


def test_every_loss_needs_a_weight(tmp_path: Path) -> None:
    config = tables()
    del config["losses"]["bright"]
    with pytest.raises(BadInputError, match=r"losses\.bright: is missing; give its weight"):
        train(config, tmp_path / "run", device="cpu", recipe=TinyRecipe)


def test_a_run_takes_no_other_config_and_no_other_folder(tmp_path: Path) -> None:
    run_tiny(tmp_path / "run", train={"images": 16})
    with pytest.raises(BadInputError, match=r"optimiser\.lr was 0\.005 and is 0\.1; set it back"):
        run_tiny(tmp_path / "run", optimiser={"lr": 0.1})
    with pytest.raises(BadInputError, match=r"optimiser\.kind was 'adamw' and is 'adabelief'"):
        run_tiny(tmp_path / "run", optimiser={"kind": "adabelief"})
    config = json.loads((tmp_path / "run/config.json").read_text())
    for table, key in (("train", "start"), ("optimiser", "kind"), ("optimiser", "lr_dropout")):
        del config[table][key]  # as of a version that did not know it
    (tmp_path / "run/config.json").write_text(json.dumps(config))
    assert run_tiny(tmp_path / "run", train={"images": 24}).images_seen == 24
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").write_bytes(b"")
    with pytest.raises(BadInputError, match="neither empty nor a run"):
        run_tiny(tmp_path / "photos")


def test_a_folder_may_change_and_a_number_of_its_name_may_not() -> None:
    kept = {"data": {"cache": "here", "cache_folder": "there", "path": ["faces"]}, "train": {"images": 3, "batch": 4}}
    assert _fixed(kept) == {"data.path": ["faces"], "train.batch": 4}
    assert _fixed({"data": {"cache": 500}}) == {"data.cache": 500}


def test_a_damaged_or_foreign_state_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInputError):  # stopped half-way, so that the state is read again
        run_tiny(tmp_path / "run", data={"nan_at": 6})
    state = tmp_path / "run/last.safetensors"
    whole = state.read_bytes()
    state.write_bytes(whole[:-9])
    with pytest.raises(BadInputError, match=r"last\.safetensors: expected weights in safetensors, found a damaged"):
        run_tiny(tmp_path / "run", data={"nan_at": 6})
    save_weights(state, torch.nn.Linear(1, 1), {})
    with pytest.raises(BadInputError, match="expected a state of version 1, found None"):
        run_tiny(tmp_path / "run", data={"nan_at": 6})


def test_weights_of_another_architecture_are_told(tmp_path: Path) -> None:
    save_weights(tmp_path / "a.safetensors", torch.nn.Linear(2, 1), {"of": "a"})
    other = torch.nn.Linear(2, 1)
    assert load_weights(tmp_path / "a.safetensors", other) == {"of": "a"}
    with pytest.raises(BadInputError, match=r"expected weight of shape \(1, 3\), found \(1, 2\)"):
        load_weights(tmp_path / "a.safetensors", torch.nn.Linear(3, 1))
    with pytest.raises(BadInputError, match="bias is unknown"):
        load_weights(tmp_path / "a.safetensors", torch.nn.Linear(2, 1, bias=False))


def test_networks_are_found_by_their_files() -> None:
    with pytest.raises(BadInputError, match="network = 'landmark': no such key; did you mean landmarks"):
        find_recipe("landmark")
    for odd in ("crops", "os.path", "..", ""):  # a file beside them that is no recipe; names that are no files
        with pytest.raises(BadInputError, match="no such key"):
            find_recipe(odd)


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    with pytest.raises(BadInputError, match="expected auto, cpu or cuda, found 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(MissingPartError, match="torch finds no CUDA here"):
            pick_device("cuda")


def test_records_go_to_a_device_with_all_their_tensors() -> None:
    @dataclasses.dataclass(frozen=True)
    class Pair:
        inner: TinyBatch
        name: str

    pair = Pair(TinyBatch(torch.ones(1, 3, 2, 2), torch.ones(1, 2), torch.ones(1)), "x")
    moved = to_device(pair, torch.device("meta"))
    assert (moved.inner.crop.device.type, moved.inner.bright.device.type, moved.name) == ("meta", "meta", "x")


def test_a_second_signal_has_its_usual_effect() -> None:
    with stop_on_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), signal.SIGINT)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    said = []
    thread = threading.Thread(target=lambda: said.append(_never_stops()))
    thread.start()
    thread.join()
    assert said == [True]


def _never_stops() -> bool:
    with stop_on_signals() as stopped:
        return not stopped()


def test_progress_tells_speed_and_time_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegraft.train.loop.SECONDS_BETWEEN_REPORTS", 0.0)
    told: list[Status] = []
    train(tables(train={"images": 24}), tmp_path / "run", device="cpu", recipe=TinyRecipe, progress=told.append)
    assert [status.images_seen for status in told] == [8, 16, 24]
    assert told[-1].left_s == 0
    assert all(status.images_per_s > 0 for status in told)
    assert set(told[0].losses) == {"centre", "bright", "gradient"}
    assert all(math.isfinite(loss) for loss in told[0].losses.values())


@pytest.mark.gpu
def test_on_a_gpu_a_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    changes = tables(train={"images": 64})
    train(changes, tmp_path / "whole", device="cuda", recipe=TinyRecipe)
    train(tables(train={"images": 32}), tmp_path / "parts", device="cuda", recipe=TinyRecipe)
    assert train(changes, tmp_path / "parts", device="cuda", recipe=TinyRecipe).images_before == 32
    assert math.isfinite(read_log(tmp_path / "parts")[-1]["scores"]["centre_error"])


def test_two_processes_never_train_in_one_folder(tmp_path: Path) -> None:
    """The lock is held by another open file, as another process would hold it, and goes when that one is closed."""
    run_tiny(tmp_path / "run", train={"images": 16})
    held = sole_use(tmp_path / "run")
    with held, pytest.raises(BadInputError, match="another process trains here"):
        run_tiny(tmp_path / "run", train={"images": 96})
    assert json.loads((tmp_path / "run" / "config.json").read_text())["train"]["images"] == 16
    assert run_tiny(tmp_path / "run", train={"images": 32}).images_seen == 32


def test_who_finds_another_process_takes_nothing_back_of_its_new_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "preview").mkdir(parents=True)
    with sole_use(tmp_path / "run"), pytest.raises(BadInputError, match="another process trains here"):
        run_tiny(tmp_path / "run", train={"images": 16})
    assert {path.name for path in (tmp_path / "run").iterdir()} == {"preview", ".lock"}


def test_a_folder_that_was_only_begun_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "run" / "preview").mkdir(parents=True)
    (tmp_path / "run" / ".lock").touch()
    assert run_tiny(tmp_path / "run", train={"images": 16}).images_seen == 16
