"""Rendered sets: the same files however they were made, whole or absent, exact where they say so."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="rendering needs the extra `train`")

import facegraft as fg
from facegraft.core.errors import BadInputError, FacegraftError, MissingPartError, OutputError
from facegraft.core.image import save_frame
from facegraft.data import benchmark_sets, synth_folder, synthesise
from facegraft.data.assets import assets_digest
from facegraft.data.dataset import Dataset, open_dataset
from facegraft.data.synth_plan import STRATA, SynthOptions, folders_in, joined

SMALL = SynthOptions("pictures", people=3, images=36, size_px=32, seed=5)
"""Two shards."""


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "shards").iterdir())}


@pytest.fixture(scope="module")
def made(makehuman: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small set, made by this process alone."""
    folder = tmp_path_factory.mktemp("sets") / "small"
    synthesise.write_set(SMALL, folder, jobs=1, assets=makehuman)
    return folder


@pytest.fixture(scope="module")
def swaps(makehuman: Path, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    folder = tmp_path_factory.mktemp("sets") / "swaps"
    return fg.synthesise(3, folder, images=20, size_px=32, pairs="exact", jobs=1, assets=makehuman)


def test_what_is_written(made: Path, makehuman: Path) -> None:
    dataset = open_dataset(made)
    card = dataset.card
    assert (card.items, card.people, card.shards, card.pairs, card.seed) == (36, 3, 2, 0, 5)
    assert card.assets_digest == assets_digest(makehuman)
    assert card.command.startswith("facegraft synth -o small --people 3 --images 36 --size 32 --seed 5")
    assert set(dataset.people) == {"rendered-5000000", "rendered-5000001", "rendered-5000002"}
    assert {row.licence for row in dataset.rows} == {"CC0-1.0"}
    assert all(row.synthetic for row in dataset.rows)
    item = dataset.item(dataset.rows[7].key)
    assert item.frame().shape == (32, 32, 3)
    assert item.plane("regions").max() <= 18
    shapes = {"landmarks68": (68, 2), "visible68": (68,), "iris": (2, 2), "dense": (468, 2), "light": (9, 3)}
    shapes |= {"camera": (3, 4), "gaze_degrees": (2, 2), "pose_degrees": (3,), "visible_dense": (468,)}
    assert {name: item.arrays[name].shape for name in shapes} == shapes
    assert {"age", "female", "exposure", "occluded_share", "mouth_open"} <= item.facts.keys()


def test_a_card_tells_no_place(tmp_path: Path, makehuman: Path) -> None:
    for name in ("rooms", "my woods"):
        (tmp_path / name).mkdir()
        save_frame(tmp_path / name / "wall.png", np.full((64, 64, 3), 90, np.uint8))
    folder = tmp_path / "set"
    card = fg.synthesise(
        1,
        folder,
        images=1,
        size_px=32,
        jobs=1,
        assets=makehuman,
        backgrounds=joined([tmp_path / "rooms", tmp_path / "my woods"]),
    ).card
    assert folders_in(card.options["backgrounds"]) == [Path("rooms"), Path("my woods")]
    assert card.command.endswith("--backgrounds rooms --backgrounds 'my woods'")
    for name in ("card.json", "CARD.md"):
        assert str(tmp_path) not in (folder / name).read_text()


@pytest.mark.slow
def test_several_processes_write_the_same_files(made: Path, makehuman: Path, tmp_path: Path) -> None:
    synthesise.write_set(SMALL, tmp_path / "small", jobs=2, assets=makehuman)
    assert files(tmp_path / "small") == files(made)
    assert (tmp_path / "small" / "card.json").read_bytes() == (made / "card.json").read_bytes()


def test_a_lost_shard_comes_back_the_same_and_the_others_are_left_alone(
    made: Path, makehuman: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "small"
    synth_folder.begin(folder, SMALL, assets_digest(makehuman))
    first = folder / "shards" / "000000.safetensors"
    first.write_bytes((made / "shards" / "000000.safetensors").read_bytes())
    written = first.stat().st_mtime_ns
    seen: list[tuple[int, int]] = []
    synthesise.write_set(SMALL, folder, jobs=1, assets=makehuman, progress=lambda *now: seen.append(now))
    assert files(folder) == files(made)
    assert first.stat().st_mtime_ns == written
    assert seen == [(1, 2), (2, 2)]


def test_what_killed_workers_left_is_removed_once_it_is_old(made: Path, makehuman: Path) -> None:
    old, young = made / "shards" / ".facegraft-old.safetensors", made / "shards" / ".facegraft-young.safetensors"
    for path, age_s in ((old, 4000), (young, 1000)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - age_s,) * 2)
    synthesise.write_set(SMALL, made, assets=makehuman)
    assert (old.exists(), young.exists()) == (False, True)
    young.unlink()


def test_the_same_again_renders_nothing(made: Path, makehuman: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*")}
    seen: list[tuple[int, int]] = []
    synthesise.write_set(SMALL, made, assets=makehuman, progress=lambda *now: seen.append(now))
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*")} == before
    assert seen == [(2, 2)]


def test_other_options_in_the_same_folder_are_refused(made: Path, makehuman: Path, tmp_path: Path) -> None:
    with pytest.raises(
        BadInputError, match=r"begun with other options \(images 36 is now 37; dial 0\.35 is now 0\.5\)"
    ):
        fg.synthesise(3, made, images=37, size_px=32, seed=5, dial=0.5, assets=makehuman)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BadInputError, match="is not empty and was not begun by this command"):
        synthesise.write_set(SMALL, tmp_path, assets=makehuman)
    with pytest.raises(OutputError, match="cannot be made"):
        synthesise.write_set(SMALL, tmp_path / "notes.txt" / "set", assets=makehuman)
    with pytest.raises(BadInputError, match="no option colour"):
        fg.synthesise(3, tmp_path / "new", colour="red")
    with pytest.raises(BadInputError, match="expected none or exact"):
        fg.synthesise(3, tmp_path / "new", pairs="all")
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_missing_parts_are_named(tmp_path: Path, makehuman: Path) -> None:
    with pytest.raises(MissingPartError, match="facegraft data assets"):
        synthesise.write_set(SMALL, tmp_path / "set", assets=tmp_path)
    with pytest.raises(BadInputError, match="--device: expected cpu or cuda"):
        synthesise.write_set(SynthOptions("pictures", 1, 1, device="tpu"), tmp_path / "set", assets=makehuman)
    with pytest.raises(BadInputError, match="--jobs"):
        synthesise.write_set(SMALL, tmp_path / "set", assets=makehuman, jobs=0)


def test_a_full_disk_is_one_line_and_leaves_nothing_half(
    made: Path, makehuman: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = tmp_path / "small", Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if ".facegraft-" in path.name and path.suffix == ".safetensors":
            whole(path, data[: len(data) // 2])
            raise OSError(28, "No space left on device", str(path))
        return whole(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=r"no space left on device\); free some space"):
        synthesise.write_set(SMALL, folder, jobs=1, assets=makehuman)
    assert files(folder) == {}
    monkeypatch.undo()
    synthesise.write_set(SMALL, folder, jobs=1, assets=makehuman)
    assert files(folder) == files(made)


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_was_stopped_ends_with_the_same_files(
    made: Path, makehuman: Path, tmp_path: Path, how: signal.Signals
) -> None:
    folder = tmp_path / "small"
    command = [sys.executable, "-m", "facegraft", "synth", "-o", folder, "--people", "3", "--images", "36"]
    command += ["--size", "32", "--seed", "5", "--jobs", "1", "--assets", makehuman]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    first = folder / "shards" / "000000.safetensors"
    deadline = time.monotonic() + 120
    while not first.exists() and running.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    running.send_signal(how)
    _, told = running.communicate(timeout=60)
    if how == signal.SIGINT:
        assert running.returncode == 130
        assert told.splitlines()[-1] == ("facegraft synth: interrupted; the same command continues where it stopped")
        assert list(files(folder)) == ["000000.safetensors"]
    with pytest.raises(FacegraftError, match="has not ended; run it again"):
        open_dataset(folder)
    for left in (folder / "shards").glob(".facegraft-*"):
        left.unlink()  # what a kill -9 leaves; readers do not look at it
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout.splitlines()[-1])["pictures"] == 36
    assert files(folder) == files(made)


def test_swaps_say_what_is_true(swaps: Dataset) -> None:
    assert len(swaps.pairs) == 4
    assert swaps.card.counts["role"] == {"picture": 8, "truth": 12}
    for pair in swaps.pairs:
        identity, attribute = swaps.item(pair.identity), swaps.item(pair.attribute)
        assert identity.person != attribute.person
        picture = attribute.frame()
        assert set(pair.truths) == {"inner", "inner_recoloured", "head"}
        for kind, key in pair.truths.items():
            truth = swaps.item(key)
            assert (truth.role, truth.person, truth.facts["truth"]) == ("truth", identity.person, kind)
            changed = truth.plane("changed")
            assert set(np.unique(changed)) <= {0, 255}
            assert np.array_equal(truth.frame()[changed == 0], picture[changed == 0])
            assert (truth.frame() != picture).any(axis=2)[changed == 255].all()
            assert np.array_equal(truth.arrays["pose_degrees"], attribute.arrays["pose_degrees"])
            assert truth.stratum == attribute.stratum == pair.stratum


def test_mixed_sets_hold_the_stratum_of_every_scene(made: Path, swaps: Dataset) -> None:
    card = open_dataset(made).card
    assert card.options["stratum"] == "mixed"
    assert sum(card.counts["stratum"].values()) == 36
    assert set(card.counts["stratum"]) <= set(STRATA) - {"mixed"}
    assert len(card.counts["stratum"]) > 2
    assert "mixed" not in {pair.stratum for pair in swaps.pairs}


def test_one_swap_changes_the_face(swaps: Dataset) -> None:
    shares = [float((swaps.item(pair.truths["inner"]).plane("changed") > 0).mean()) for pair in swaps.pairs]
    assert max(shares) > 0.02


def test_a_clip_has_a_truth_for_every_frame(makehuman: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_sets, "FRAMES", 3)
    monkeypatch.setattr(benchmark_sets, "CLIPS", 1)
    monkeypatch.setattr(benchmark_sets, "PICTURES_OF_A_CLIP", 7)
    options = benchmark_sets.benchmark_options("clips-50", size_px=32)
    dataset = synthesise.write_set(options, tmp_path / "clips", jobs=1, assets=makehuman)
    assert dataset.card.name == "clips-50"
    assert [swap.truths.keys() for swap in dataset.pairs] == [{"inner"}] * 3
    frames = [row for row in dataset.rows if row.role == "picture" and row.clip]
    assert [(row.clip, row.frame_number, row.split) for row in frames] == [("c00", n, "test") for n in range(3)]
    assert len({pair.identity for pair in dataset.pairs}) == 1
    again = benchmark_sets.digests(options, tmp_path / "clips")
    assert again == {name: dataset.card.options[name] for name in again}
    assert len(again) == 2


def test_a_digest_does_not_read_last_digits() -> None:
    told = '{"age": 31.25, "skin": [-0.0000001, 0.5], "seed": 7, "name": "no"}'
    assert benchmark_sets.rounded(told) == '{"age": 31.25, "skin": [0.0, 0.5], "seed": 7, "name": "no"}'
    assert benchmark_sets.rounded(told.replace("31.25", "31.250000000000004")) == benchmark_sets.rounded(told)
    assert benchmark_sets.rounded(told.replace("31.25", "31.25001")) != benchmark_sets.rounded(told)


def test_a_set_holds_its_moments_in_even_light_too(makehuman: Path, tmp_path: Path) -> None:
    options = synthesise.sampled_options(
        1, images=2, pairs="none", size_px=48, seed=4, stratum="hard light", planes="regions,even"
    )
    dataset = synthesise.write_set(options, tmp_path / "lit", jobs=1, assets=makehuman)
    assert "even, white light" in str(dataset.card.options["even_unit"])
    for row in dataset.rows:
        item = dataset.read(row)
        assert set(item.planes) == {"regions", "even"}
        assert item.even().shape == item.frame().shape
        assert np.abs(item.even().astype(int) - item.frame()).mean() > 3


def test_a_worker_keeps_freed_memory_before_it_renders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(synthesise, "keep_freed", lambda: done.append("kept"))
    monkeypatch.setattr("facegraft.data.synth.render.Renderer", lambda *_, **__: done.append("renderer"))
    synthesise._renderer.__wrapped__(str(tmp_path), 32, "cpu", "", "")
    assert done == ["kept", "renderer"]


def test_nothing_stays_of_a_worker(made: Path) -> None:
    assert [path.name for path in (made / "shards").iterdir()] == ["000000.safetensors", "000001.safetensors"]


def _no_space(path: Path, *_: object, **__: object) -> int:
    raise OSError(28, "No space left on device", str(path))


def test_a_failed_first_try_leaves_the_folder_free(tmp_path: Path, makehuman: Path) -> None:
    begin = synth_folder.begin
    out = tmp_path / "set"
    first, second = (
        synthesise.sampled_options(people, images=None, pairs="none", size_px=48, seed=1) for people in (2, 3)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "write_text", _no_space)
        with pytest.raises(OutputError, match="no space left"):
            begin(out, first, "a")
    begin(out, first, "a")
    begin(out, second, "a")  # nothing was rendered yet
    (out / "synth.json").write_text("{")
    begin(out, first, "a")
    (out / "shards" / "000000.safetensors").write_bytes(b"x")
    with pytest.raises(BadInputError, match="other options"):
        begin(out, second, "a")
    (out / "synth.json").write_text("{")
    with pytest.raises(BadInputError, match="damaged"):
        begin(out, first, "a")
    with pytest.raises(BadInputError, match="--jobs"):
        synthesise.write_set(first, tmp_path / "new", jobs=0, assets=makehuman)
    assert not (tmp_path / "new").exists()
