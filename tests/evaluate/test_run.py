"""The public call: methods of every kind on a dataset and on plain folders, judged by our own networks."""

from __future__ import annotations

import inspect
import math
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from jaxtyping import Float32, UInt8

import facegraft as fg
from facegraft.core.errors import BadInputError, NoFaceError
from facegraft.core.files import sha256
from facegraft.core.image import save_frame
from facegraft.core.types import Frame
from facegraft.data.dataset import open_dataset
from facegraft.evaluate.eyes import (
    NO_FEATURE,
    NO_JUDGE,
    NO_SECOND,
    ONE_JUDGE,
    OWN_IDENTITY,
    OWN_JUDGE,
    open_eyes,
    usual_judges,
)
from facegraft.evaluate.floors import Floor
from facegraft.evaluate.identity import JUDGES, spearman
from facegraft.evaluate.look import Eyes, Views
from facegraft.evaluate.protocol import Case, Metric, Scores
from facegraft.evaluate.questions import folder_set, identity_frames, keys_of, questions_of
from facegraft.evaluate.report import compare_with
from facegraft.evaluate.report_page import page
from facegraft.evaluate.results import Report
from facegraft.evaluate.run import SUITES, evaluate, load_suites
from facegraft.evaluate.stats import Figure
from facegraft.evaluate.strips import SIDE, Strips
from facegraft.faces.fetch import JUDGE
from tests.evaluate.cases_for_tests import case_of_examples, example, own_eyes
from tests.evaluate.reports_for_tests import write_tiny_clips, write_tiny_set

FAR = Metric("far", "levels", "low", 255.0, "how far from the truth", primary=True)
FOUND = Metric("found", "", "high", 0.0, "cases with a face", primary=True)
NEVER = Metric("never", "", "high", 0.0, "nothing has this")


def tiny_suite() -> ModuleType:
    """One metric of cases, one that nothing has, one of the set."""
    suite = ModuleType("tests.tiny")

    def values(case: Case, views: Views) -> dict[str, float]:
        known = case.truth is not None
        apart = np.abs(views.swapped.frame.astype(float) - case.truth).mean() if known else math.nan
        return {"far": float(apart), "never": math.nan}

    def set_figures(scores: Scores) -> dict[str, Figure]:
        return {"found": Figure(float((~scores.failed).sum()), math.nan, math.nan, len(scores), 1)}

    suite.METRICS, suite.SET_METRICS = (FAR, NEVER), (FOUND,)  # type: ignore[attr-defined]
    suite.values, suite.set_figures = values, set_figures  # type: ignore[attr-defined]
    return suite


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_set(tmp_path_factory.mktemp("sets") / "tiny")


def refuse(identity: Frame, attribute: Frame) -> Frame:
    raise NoFaceError("never")


@pytest.fixture(scope="module")
def report(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    folder = tmp_path_factory.mktemp("answers")
    first, *_ = questions_of(tiny)
    save_frame(folder / f"{first.key}.png", first.attribute)
    return evaluate(
        {
            "unchanged": lambda _identity, attribute: attribute,
            "refuses": refuse,
            "truth": "true-swap",
            "own": Floor("identity as it is", lambda case: case.identity),
            "made elsewhere": folder,
        },
        tiny,
        suites=[tiny_suite()],
        eyes=own_eyes(),
    )


def test_every_kind_of_method_is_asked_the_same(report: Report) -> None:
    kinds = {name: one.kind for name, one in report.methods.items()}
    assert list(kinds.values()) == ["method", "method", "ceiling", "floor", "folder"]
    far = {name: one.values["far"] for name, one in report.methods.items()}
    assert far["unchanged"].max() < 1e-9  # the truth of this set is the attribute picture
    assert far["truth"].max() < 1e-9
    assert far["own"].min() > 5
    assert far["refuses"].tolist() == [255.0] * 3
    assert far["made elsewhere"].tolist() == [0.0, 255.0, 255.0]
    assert [int(one.failed.sum()) for one in report.methods.values()] == [0, 3, 0, 0, 2]
    assert report.methods["refuses"].overall["found"].value == 0
    assert report.methods["own"].overall["found"].value == 3


def test_report_says_what_was_asked_and_what_was_not(report: Report, tiny: Path) -> None:
    assert report.keys == tuple(keys_of(questions_of(tiny)))
    assert (report.protocol, report.name, report.of) == ("facegraft-image-2", "tiny", 3)
    assert report.set_facts["seed"] == "7"
    assert report.set_facts["labels_sha256"] == "0123"
    assert report.groups["stratum"] == ("ordinary", "ordinary", "large pose")
    assert report.people == ("identity_2", "identity_2", "attribute_1")
    assert report.suites == {"tiny": ("far", "never", "found")}
    assert any(line.startswith("tiny: never") for line in report.left_out)
    assert NO_JUDGE in report.left_out
    assert NO_FEATURE not in report.left_out  # this test's eyes have one
    assert len(report.methods["made elsewhere"].milliseconds) == 0
    assert len(report.methods["unchanged"].milliseconds) == 3
    assert report.seconds["looking and judging"] > 0
    assert set(report.strips) == set(report.keys)
    assert set(report.strips[report.keys[0]].swapped) == set(report.methods) - {"refuses"}


def test_a_single_call_needs_no_name_and_counts_cases_for_progress(tiny: Path) -> None:
    seen: list[tuple[int, int]] = []
    found = evaluate(
        lambda _identity, attribute: attribute,
        open_dataset(tiny),
        suites=[tiny_suite()],
        eyes=own_eyes(),
        most=2,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert list(found.methods) == ["method"]
    assert found.of == 2
    assert set(found.groups["stratum"]) == {"ordinary", "large pose"}  # strata take turns
    assert seen == [(1, 2), (2, 2)]


def test_what_is_no_method_or_suite_is_refused(tiny: Path, tmp_path: Path) -> None:
    eyes = own_eyes()
    with pytest.raises(BadInputError, match="'pasta'"):
        evaluate({"m": "pasta"}, tiny, suites=[tiny_suite()], eyes=eyes)
    with pytest.raises(BadInputError, match="at least one method"):
        evaluate({}, tiny, suites=[tiny_suite()], eyes=eyes)
    with pytest.raises(BadInputError, match="expected a folder"):
        evaluate({"m": tmp_path / "none"}, tiny, suites=[tiny_suite()], eyes=eyes)
    (tmp_path / "others").mkdir()
    save_frame(tmp_path / "others" / "holiday.png", example("identity_1", 64))
    with pytest.raises(BadInputError, match=r"such as identity_1\+identity_2\.png; found none"):
        evaluate({"m": tmp_path / "others"}, tiny, suites=[tiny_suite()], eyes=eyes)
    with pytest.raises(BadInputError, match="found beauty"):
        load_suites(["truth", "beauty"])
    with pytest.raises(BadInputError, match="found none"):
        load_suites([])
    assert [module.__name__ for module in load_suites(SUITES)] == [f"facegraft.evaluate.{name}" for name in SUITES]


def test_plain_folders_are_a_set_without_truth(tmp_path: Path) -> None:
    for folder, names in {"people": ("identity_1", "identity_2"), "photos": ("attribute_1", "identity_3")}.items():
        (tmp_path / folder).mkdir()
        for number, name in enumerate(names):
            save_frame(tmp_path / folder / f"p{number}.png", example(name, 128))
    asked = folder_set(tmp_path / "people", tmp_path / "photos")
    assert (asked.name, len(asked)) == ("people + photos", 2)
    assert len(questions_of(asked, 1)) == 1
    assert len(list(identity_frames(asked))) == 2
    assert keys_of(asked) == ["p0", "p1"]
    with pytest.raises(BadInputError, match="no right answers"):
        evaluate("true-swap", asked, suites=[tiny_suite()], eyes=own_eyes())
    found = evaluate("copy", asked, suites=[tiny_suite()], eyes=own_eyes())
    assert found.keys == ("p0", "p1")
    assert not found.measured("far")
    assert not found.primary() or found.primary() == [FOUND]
    assert not any("count for no method" in line for line in found.left_out)  # they do: nothing else was known


def test_folders_of_one_set_have_its_name(tmp_path: Path) -> None:
    for side in ("identity", "attribute"):
        (tmp_path / "lfw200" / side).mkdir(parents=True)
        save_frame(tmp_path / "lfw200" / side / "p0.png", example("identity_1", 128))
    identity, attribute = (tmp_path / "lfw200" / side for side in ("identity", "attribute"))
    assert folder_set(identity, attribute).name == "lfw200"
    assert folder_set(attribute, identity).name == "attribute + identity"


def test_cases_that_count_for_nobody_are_counted_aloud(tmp_path: Path) -> None:
    for folder in ("people", "photos"):
        (tmp_path / folder).mkdir()
        for name in ("identity_1", "identity_2"):
            save_frame(tmp_path / folder / f"{name}.png", example(name, 128))
    save_frame(tmp_path / "photos" / "identity_2.png", np.full((128, 128, 3), 90, np.uint8))
    asked = folder_set(tmp_path / "people", tmp_path / "photos")
    found = evaluate("copy", asked, suites=["attributes"], eyes=own_eyes())
    assert found.left_out[0].startswith("1 of 2 cases: no face is found in the attribute picture")
    assert found.methods["method"].overall["pose_degrees"].of == 1


def test_the_mean_face_sees_each_person_once(tiny: Path) -> None:
    frames = list(identity_frames(questions_of(tiny)))
    assert len(frames) == 2  # identity_1, identity_3; the second pair of identity_3 adds nothing


def test_networks_are_named_with_their_hashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    opened = open_eyes(own_identity=tmp_path / "none.onnx")
    from facegraft.faces.fetch import WEIGHTS

    known = {network.name: network for network in opened.networks}
    assert set(known) == {"detector", "landmarks", "parser", "attributes"}
    assert known["parser"].sha256 == sha256(WEIGHTS / "parser.onnx")
    assert opened.left_out == (NO_JUDGE, NO_FEATURE)
    assert "facegraft models fetch --recogniser" in NO_JUDGE


def test_ours_stands_in_for_the_second_judge_which_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    for content in (None, b"half a fil"):  # not fetched; damaged
        if content is not None:
            (tmp_path / JUDGE).write_bytes(content)
        assert usual_judges() == {"second": OWN_IDENTITY}
        assert OWN_JUDGE in open_eyes().left_out
    copied = shutil.copy(OWN_IDENTITY, tmp_path / "mine.onnx")
    assert OWN_JUDGE in open_eyes({"second": Path(copied)}).left_out
    assert "facegraft models fetch --judge" in OWN_JUDGE


def test_a_missing_second_judge_is_told(recogniser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    opened = open_eyes({"dlib": recogniser}, own_identity=tmp_path / "none.onnx")
    assert opened.left_out == (NO_SECOND, NO_FEATURE)
    assert "facegraft models fetch --judge" in NO_SECOND


def test_the_second_judge_is_the_fetched_one(judge: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    shutil.copy(judge, tmp_path)
    assert usual_judges() == {"second": tmp_path / judge.name}
    opened = open_eyes()
    assert OWN_JUDGE not in opened.left_out
    assert opened.eyes.judges["second"].size_px == 224
    files = {network.name: network.sha256 for network in opened.networks}
    assert (files["second"], files["face feature"]) == (sha256(judge), sha256(OWN_IDENTITY))


def test_a_judge_of_ones_own_takes_the_place_of_the_usual(
    recogniser: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEGRAFT_MODELS", str(tmp_path))
    opened = open_eyes({"second": recogniser}, own_identity=tmp_path / "none.onnx")
    assert set(opened.eyes.judges) == {"second"}
    assert opened.left_out == (ONE_JUDGE, NO_FEATURE)
    (judge,) = [network for network in opened.networks if network.role == "judge of identity"]
    assert (judge.name, judge.file, judge.sha256) == ("second", recogniser.name, sha256(recogniser))


class Small:
    """A judge without a network: the crop's brightness in few squares."""

    size_px = 112

    def __init__(self, squares: int) -> None:
        self._squares = squares

    def embed(self, crops: UInt8[np.ndarray, "n s s 3"]) -> Float32[np.ndarray, "n d"]:
        side = self.size_px // self._squares
        grey = crops.astype(np.float32).mean(3)[:, : side * self._squares, : side * self._squares]
        rows = grey.reshape(len(crops), self._squares, side, self._squares, side).mean((2, 4)).reshape(len(crops), -1)
        rows -= rows.mean(1, keepdims=True)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def test_what_the_judges_draw_the_line_by_is_told_once_for_all_methods(tiny: Path) -> None:
    eyes = own_eyes()
    two = Eyes(eyes.analyser, eyes.reader, {"dlib": Small(4), "second": Small(8)}, eyes.feature)
    found = evaluate({"copy": "copy", "paste": "paste", "truth": "true-swap"}, tiny, suites=["identity"], eyes=two)
    assert {judge: one.pairs for judge, one in found.thresholds.items()} == {"dlib": 4, "second": 4}
    assert all(-1 <= one.cosine <= 1 for one in found.thresholds.values())
    assert found.agreement is not None
    columns = [[one.overall[f"identity_cosine_{judge}"].value for one in found.methods.values()] for judge in JUDGES]
    assert found.agreement.methods == pytest.approx(spearman(*map(np.array, columns)))
    alone = evaluate("copy", tiny, suites=["identity"], eyes=Eyes(eyes.analyser, eyes.reader, {"dlib": Small(4)}))
    assert set(alone.thresholds) == {"dlib"}
    assert alone.thresholds["dlib"] == found.thresholds["dlib"]
    assert alone.agreement is None
    without = evaluate("copy", tiny, suites=[tiny_suite()], eyes=two)
    assert (without.thresholds, without.agreement) == ({}, None)


def test_strips_show_heads_and_keep_no_answer_apart() -> None:
    eyes, case = own_eyes(), case_of_examples()
    views = Views(eyes.look(case.identity), eyes.look(case.attribute), eyes.look(case.identity))
    strips = Strips()
    strips.keep("one", case, views)
    strips.keep("none", case, Views(views.identity, views.attribute, views.attribute))
    strip = strips.made["pair"]
    assert set(strip.swapped) == {"one"}
    assert strip.truth is None
    from facegraft.core.image_bytes import decode_frame

    assert max(decode_frame(strip.attribute).shape) == SIDE


def test_the_package_is_the_public_call_whatever_was_imported_first() -> None:
    programs = (
        "import facegraft as fg\ncall = fg.evaluate\nimport facegraft.evaluate.stats as stats\n",
        "import facegraft.evaluate.stats as stats\nimport facegraft as fg\ncall = fg.evaluate\n",
    )
    for program in programs:
        check = "assert call is fg.evaluate and callable(call) and stats.mean and fg.evaluate.stats is stats"
        subprocess.run([sys.executable, "-c", program + check], check=True)
    ours = inspect.signature(fg.evaluate).parameters
    theirs = inspect.signature(evaluate).parameters
    assert {name: (one.kind, one.default) for name, one in ours.items()} == {
        name: (one.kind, one.default) for name, one in theirs.items()
    }


def test_called_as_the_public_name(tiny: Path) -> None:
    found = fg.evaluate("copy", tiny, suites=[tiny_suite()], eyes=own_eyes(), most=1)
    assert isinstance(found, Report)
    assert found.of == 1


def test_clips_are_a_report_of_their_own(tiny: Path, tmp_path: Path) -> None:
    clips = write_tiny_clips(tmp_path / "clips")
    (tmp_path / "answers").mkdir()
    save_frame(tmp_path / "answers" / f"{keys_of(questions_of(tiny))[0]}.png", example("identity_2", 128))
    seen: list[tuple[int, int]] = []
    found = evaluate(
        {"copy": "copy", "elsewhere": tmp_path / "answers"},
        tiny,
        suites=[tiny_suite()],
        eyes=own_eyes(),
        clips=clips,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert found.clips is not None
    assert (found.clips.protocol, found.clips.name, found.clips.of) == ("facegraft-clip-1", "tiny-clips", 1)
    assert list(found.clips.methods) == ["copy"]
    assert found.clips.methods["copy"].overall["flicker"].value == 0  # it changes nothing
    assert found.clips.methods["copy"].overall["lost_frames"].value == 0
    assert any(line.startswith("clips: elsewhere") for line in found.clips.left_out)
    with pytest.raises(BadInputError, match="only folders"):
        evaluate({"elsewhere": tmp_path / "answers"}, tiny, suites=[tiny_suite()], eyes=own_eyes(), clips=clips)
    text = page(found, compare_with(found))
    assert "1 clip of tiny-clips; protocol facegraft-clip-1" in text
