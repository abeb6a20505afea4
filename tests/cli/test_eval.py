"""`facegraft eval`: the table, the files, the last line; bad words, one line; what is written when it is cut short."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import av
import numpy as np
import pytest

from facegraft.cli import eval as verb
from facegraft.cli import eval_questions
from facegraft.cli.main import main
from facegraft.core.image import read_picture, save_frame
from facegraft.evaluate import clips, floors, identity, method_cost, run
from facegraft.evaluate.cost import timings
from facegraft.evaluate.results import load
from tests.evaluate.cases_for_tests import EXAMPLES, example, noise
from tests.evaluate.reports_for_tests import write_tiny_clips, write_tiny_set

KEYS = ("identity_1+identity_2", "identity_3+identity_2", "identity_3+attribute_1")


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("sets") / "tiny")


@pytest.fixture(autouse=True)
def _no_fetched_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same on every machine, and faster."""
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path / "models"))


def last_line(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_lists_are_those_of_the_library() -> None:
    assert verb.SUITES == run.SUITES
    assert verb.FLOORS == floors.FLOORS
    assert verb.JUDGES == identity.JUDGES
    assert eval_questions.FEWEST_FRAMES == clips.FEWEST_FRAMES


def test_floors_on_a_set_leave_a_page_and_numbers(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "measured"
    words = ["eval", "copy", "paste", "--data", str(tiny), "--suite", "truth", "--suite", "attributes"]
    assert main([*words, "-o", str(out)]) == 0
    text, error = capsys.readouterr()
    lines = text.splitlines()
    assert error == ""
    assert lines[0].startswith("3 cases of tiny, protocol facegraft-image-2")
    assert any(line.split() == ["copy", "paste"] for line in lines)
    facts = json.loads(lines[-1])
    assert facts["cases"] == 3
    assert facts["methods"]["copy"]["pose_degrees"] == 0
    assert facts["methods"]["paste"]["pose_degrees"] > 0
    assert facts["against"]["name"] == "copy"
    assert any("facegraft models fetch --recogniser" in line for line in facts["left_out"])
    assert {path.name for path in out.iterdir()} == {"report.html", "results.json"}
    assert load(out / "results.json").keys == KEYS


def test_what_warp_costs_is_told(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    once = functools.partial(timings, repeats=1, warm_up=0)
    monkeypatch.setattr(method_cost, "timings", once)
    words = ["eval", "copy", "warp", "--data", str(tiny), "--suite", "truth", "--pairs", "1", "--cost"]
    assert main([*words, "-o", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cost of")]
    assert "MB of memory at most (detector, landmarks, parser, shading; each once)" in line
    methods = load(tmp_path / "results.json").methods
    assert methods["copy"].cost is None
    cost = methods["warp"].cost
    assert cost is not None
    assert set(cost.timings) == {1, 2}
    assert cost.memory is not None
    assert 60 < cost.memory.ready < cost.memory.peak < 600


def test_against_earlier_results(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(tiny), "--suite", "attributes"]
    assert main(["eval", "copy", *words, "-o", str(tmp_path / "old")]) == 0
    old = tmp_path / "old" / "results.json"
    assert main(["eval", "mean-face", *words, "-o", str(tmp_path / "new"), "--against", str(old), "--pairs", "2"]) == 0
    facts = last_line(capsys)
    assert facts["against"]["name"] == "copy"  # type: ignore[index]
    assert facts["against"]["tests"]["mean-face"]["pose_degrees"][0] > 0  # type: ignore[index]
    changed = json.loads(old.read_text(encoding="utf-8"))
    old.write_text(json.dumps(changed | {"protocol": "facegraft-image-0"}), encoding="utf-8")
    assert main(["eval", "mean-face", *words, "-o", str(tmp_path / "no"), "--against", str(old), "--pairs", "1"]) == 2
    assert "facegraft-image-0" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_questions_go_out_and_answers_come_back(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "questions"
    assert main(["eval", "--data", str(tiny), "--export", str(folder)]) == 0
    assert last_line(capsys) == {"export": str(folder), "cases": 3, "set": "tiny"}
    for name in ("identity", "attribute"):
        assert {path.stem for path in (folder / name).iterdir()} == set(KEYS)
    written = read_picture(folder / "attribute" / f"{KEYS[2]}.png").frame
    assert (written == example("attribute_1", 128)).all()
    words = ["--data", str(tiny), "--suite", "truth", "-o", str(tmp_path / "out")]
    assert main(["eval", str(folder / "attribute"), *words]) == 0  # answers that change nothing
    methods = last_line(capsys)["methods"]
    assert methods["attribute"]["failed"] == 0  # type: ignore[index]
    assert methods["attribute"]["psnr_inside"] == 60  # type: ignore[index]  # here the truth is the attribute picture


def test_clips_go_out_and_answers_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clips, out = write_tiny_clips(tmp_path / "set"), tmp_path / "questions"
    assert main(["eval", "--clips", str(clips), "--export", str(out)]) == 0
    assert last_line(capsys) == {"export": str(out), "clips": 1, "clips_set": "tiny-clips"}
    assert (out / "clips" / "identity" / "who+c.png").is_file()
    answers = out / "clips" / "attribute"
    assert len(list((answers / "who+c").iterdir())) == 4
    assert main(["eval", str(answers), "--clips", str(clips), "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert text.startswith("1 clip of tiny-clips, protocol facegraft-clip-1")
    facts = json.loads(text.splitlines()[-1])
    assert facts["methods"]["attribute"] == {
        "flicker": 0,
        "landmark_jitter": 0,
        "static_photo": 0,
        "lost_frames": 0,
        "failed": 0,
    }
    assert load(tmp_path / "out" / "results.json").protocol == "facegraft-clip-1"


def test_a_folder_of_clips_alone_beside_pictures(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clips, out = write_tiny_clips(tmp_path / "set"), tmp_path / "questions"
    assert main(["eval", "--clips", str(clips), "--export", str(out)]) == 0
    answers = str(out / "clips" / "attribute")
    words = ["--data", str(tiny), "--pairs", "1", "--suite", "truth", "--clips", str(clips), "--against", answers]
    assert main(["eval", "copy", answers, *words, "-o", str(tmp_path / "out")]) == 0
    assert f"not measured: pictures: attribute: {answers} holds no answers to pictures" in capsys.readouterr().out
    found = load(tmp_path / "out" / "results.json")
    assert (list(found.methods), list(found.clips.methods if found.clips else ())) == (["copy"], ["copy", "attribute"])


def test_a_clip_file_is_swapped_as_swap_does_it_and_frame_by_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_frame(tmp_path / "me.png", example("identity_1", 128))
    words = ["--clips", str(EXAMPLES / "clip.mp4"), "--identity", str(tmp_path / "me.png"), "--frames", "3"]
    assert main(["eval", "warp", *words, "-o", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "warping error" in text
    facts = json.loads(text.splitlines()[-1])
    assert (facts["set"], facts["cases"]) == ("me into clip, first 3 frames", 1)
    assert list(facts["methods"]) == ["warp", "warp tracked"]
    found = load(tmp_path / "out" / "results.json").methods
    assert found["warp tracked"].cost == found["warp"].cost
    flickers = [one.overall["flicker"].value for one in found.values()]
    assert 0 < flickers[1] != flickers[0] > 0
    old = str(tmp_path / "out" / "results.json")
    assert main(["eval", "copy", *words, "-o", str(tmp_path / "new"), "--against", old]) == 0
    assert last_line(capsys)["against"]["name"] == "warp"  # type: ignore[index]


def test_pictures_into_themselves(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(tiny), "--suite", "truth", "--pairs", "2", "--itself"]
    assert main(["eval", "paste", "copy", *words, "-o", str(tmp_path)]) == 0
    facts = last_line(capsys)
    assert facts["set"] == "tiny into itself"
    assert facts["methods"]["copy"]["psnr_inside"] == 60  # type: ignore[index]
    assert 35 < facts["methods"]["paste"]["psnr_inside"] <= 60  # type: ignore[index]  # the same pixels again


def test_plain_folders(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder, name in (("people", "identity_1"), ("photos", "attribute_2"), ("answers", "attribute_2")):
        (tmp_path / folder).mkdir()
        save_frame(tmp_path / folder / "one.png", example(name, 128))
    words = ["--identity", str(tmp_path / "people"), "--attribute", str(tmp_path / "photos"), "--suite", "attributes"]
    assert main(["eval", str(tmp_path / "answers"), *words, "-o", str(tmp_path / "out")]) == 0
    facts = last_line(capsys)
    assert (facts["set"], facts["cases"]) == ("people + photos", 1)
    assert facts["methods"]["answers"]["light"] == 0  # type: ignore[index]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "expected a method: warp, true-swap"),
        (
            ["wrap", "--data", "d", "-o", "o"],
            "method 'wrap': expected warp, fastswap-128, true-swap, copy, paste, mean-face, or a",
        ),
        (["wrap", "--data", "d", "-o", "o"], "did you mean warp"),
        (["meanface", "--data", "d", "-o", "o"], "did you mean mean-face?"),
        (["copy", "--data", "d"], "expected -o OUT"),
        (["copy", "-o", "o"], "either --data DIR, or --identity DIR"),
        (["copy", "--data", "d", "--identity", "i", "--attribute", "a", "-o", "o"], "either --data"),
        (["copy", "--identity", "i", "-o", "o"], "belong together"),
        (
            ["--identity", "q/identity", "--attribute", "x", "--export", "q"],
            "--export q: would write over the pictures",
        ),
        (["--identity", "x", "--attribute", "q/attribute", "--export", "./q"], "would write over the pictures"),
        (["copy", "--data", "d", "-o", "o", "--pairs", "0"], "--pairs: expected 1 or more, found 0"),
        (["copy", "--data", "d", "-o", "o"], "d: no dataset"),
        (["copy", "--clips", "a.mp4", "-o", "o"], "expected --identity PICTURE"),
        (["copy", "--clips", "a.mp4", "--identity", "i", "--attribute", "a", "-o", "o"], "no --attribute"),
        (["copy", "--clips", "a.mp4", "--identity", "i.png", "-o", "o"], "i.png: expected a file, found none"),
        (
            ["copy", "--clips", "a.mp4", "--clips", "d", "--identity", "i", "-o", "o"],
            "one dataset, or files; found both",
        ),
        (["copy", "--clips", "d", "--clips", "e", "-o", "o"], "found 2 datasets"),
        (["copy", "--clips", "d", "-o", "o"], "d: no dataset"),
        (["copy", "--clips", "d", "--itself", "-o", "o"], "--suite and --itself are about pictures"),
        (["copy", "--data", "d", "--frames", "3", "-o", "o"], "add --clips"),
        (["copy", "--clips", "d", "--frames", "2", "-o", "o"], "--frames: expected 3 or more, found 2"),
        (["copy", "--identity", "i", "--identity", "j", "--attribute", "a", "-o", "o"], "found several"),
        (["copy", "--data", "d", "-o", "o", "--suite", "beauty"], "invalid choice: 'beauty'"),
    ],
)
def test_bad_words_are_one_line(
    words: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["eval", *words])
    except SystemExit as stop:  # argparse's own
        code = int(str(stop.code))
    assert code == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.startswith("facegraft eval: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("judge", "line"),
    [("second", "expected NAME=FILE.onnx"), ("third=x.onnx", "a name of dlib, second"), ("dlib=x.onnx", "x.onnx: ")],
)
def test_a_judge_that_is_none(
    tiny: Path, judge: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "copy", "--data", str(tiny), "-o", str(tmp_path / "o"), "--judge", judge]) == 2
    assert line in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_two_methods_of_one_name_are_refused(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("a/mine", "b/mine"):
        (tmp_path / folder).mkdir(parents=True)
    words = [str(tmp_path / "a/mine"), str(tmp_path / "b/mine"), "--data", str(tiny), "-o", str(tmp_path / "o")]
    assert main(["eval", *words]) == 2
    assert "a second method of the name 'mine'" in capsys.readouterr().err


def test_dry_run_writes_nothing(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["copy", "--data", str(tiny), "--pairs", "2", "-o", str(tmp_path / "o"), "--export", str(tmp_path / "e")]
    assert main(["eval", *words, "--dry-run"]) == 0
    facts = last_line(capsys)
    assert (facts["cases"], facts["methods"]) == (2, ["copy"])
    assert not (tmp_path / "o").exists()
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("what", ["noise", "short", "picture"])
def test_files_that_cannot_be_asked_are_told_before_the_work(
    what: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("me", "side"):
        save_frame(tmp_path / f"{name}.png", example("identity_1", 128))
    bad = tmp_path / ("side.png" if what == "picture" else "bad.mkv")
    write_movie(tmp_path / "bad.mkv", frames=2 if what == "short" else 3)
    if what != "short":
        bad.write_bytes(np.random.default_rng(0).bytes(2000))
    words = ["copy", "--data", str(tiny), "--clips", str(EXAMPLES / "clip.mp4"), "--clips", str(tmp_path / "bad.mkv")]
    words += ["--identity", str(tmp_path / "me.png"), "--identity", str(tmp_path / "side.png")]
    monkeypatch.setattr(run, "evaluate", lambda *_, **__: pytest.fail("judged before it was known"))
    for dry in ([], ["--dry-run"]):
        assert main(["eval", *words, "-o", str(tmp_path / "o"), *dry]) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"facegraft eval: {bad}: ")
        assert error.count("\n") == 1
        assert ("expected 3 frames or more" in error) == (what == "short")
    assert not (tmp_path / "o").exists()


def write_movie(path: Path, frames: int) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for seed in range(frames):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(noise(seed, (48, 64)), format="rgb24")))
        container.mux(stream.encode())


def test_interrupted_leaves_nothing(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from facegraft.runtime.swapper import Swapper

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Swapper, "swap_pair", interrupt)
    assert main(["eval", "warp", "--data", str(tiny), "--suite", "truth", "-o", str(tmp_path / "o")]) == 130
    assert capsys.readouterr().err == "facegraft eval: interrupted; nothing was written\n"
    assert not (tmp_path / "o").exists()


def test_a_bundle_that_comes_along_is_judged_by_its_name(tiny: Path, tmp_path: Path) -> None:
    words = ["--data", str(tiny), "--suite", "truth", "--pairs", "1", "-o", str(tmp_path / "o")]
    assert main(["eval", "fastswap-128", *words]) == 0
    assert list(load(tmp_path / "o" / "results.json").methods) == ["fastswap-128"]


def test_an_unknown_bundle_is_told_which_there_are(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", "fastswap-12", "--data", str(tiny), "-o", str(tmp_path)]) == 2
    assert "expected warp, fastswap-128, true-swap" in capsys.readouterr().err


def test_a_bundle_is_judged_like_any_method(
    tiny: Path, tmp_path: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its two graphs are counted with the networks that every swap runs."""
    words = ["--data", str(tiny), "--suite", "truth", "--pairs", "1", "-o", str(tmp_path / "o")]
    assert main(["eval", str(tiny_bundle), *words]) == 0
    capsys.readouterr()
    found = load(tmp_path / "o" / "results.json").methods
    assert list(found) == ["tiny"]
    assert found["tiny"].kind == "method"
    cost = found["tiny"].cost
    assert cost is not None
    assert set(cost.networks) == {"detector", "landmarks", "parser", "identity", "swap"}
