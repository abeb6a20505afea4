"""From votes to figures: planted scales come back within their intervals, and who was left out is reported."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from facegraft.core.errors import BadInputError
from facegraft.evaluate.study.design import load_study
from facegraft.evaluate.study.rehearse import VOTES, rehearse
from facegraft.evaluate.study.report import page, table_text
from facegraft.evaluate.study.score import distance_chance, score_study
from facegraft.evaluate.study.statistics import wilson
from facegraft.evaluate.study.votes import VoteStore
from tests.evaluate.study.studies import abstract, build, vote


def rehearsed(folder: Path, scale: dict[str, float], raters: int, careless: int = 0) -> dict[str, object]:
    rehearse(folder, scale, raters, careless, 0, lambda _: None)
    study = load_study(folder)
    store = VoteStore(folder / VOTES, study.inputs_sha256)
    report = score_study(study, store.votes(), draws=500)
    store.close()
    return report


def test_a_planted_scale_comes_back_over_http(tmp_path: Path) -> None:
    planted = {"one": 1.0, "two": 0.0, "three": -1.0}
    report = rehearsed(build(tmp_path, tuple(planted), trials=14), planted, 6, careless=1)
    rows = report["questions"][0]["conditions"]  # type: ignore[index]
    for row in rows:
        low, high = row["jod_interval"]
        assert low <= planted[row["name"]] <= high
        assert high - low < 2
        assert row["bt"] == pytest.approx(1.15 * row["jod"], abs=0.3)
    assert report["kept"] == 6
    assert [found["rater"] for found in report["excluded"]] == [7]  # type: ignore[attr-defined]
    assert "1 of 7 raters were left out" in table_text(report)
    json.dumps(report, allow_nan=False)


@pytest.mark.slow
def test_forty_raters_and_six_methods(tmp_path: Path) -> None:
    planted = {name: 1.25 - 0.5 * at for at, name in enumerate(("a", "b", "c", "d", "e", "f"))}
    report = rehearsed(build(tmp_path, tuple(planted), trials=30), planted, 40, careless=4)
    rows = report["questions"][0]["conditions"]  # type: ignore[index]
    assert all(row["jod_interval"][0] <= planted[row["name"]] <= row["jod_interval"][1] for row in rows)
    assert [found["rater"] for found in report["excluded"]] == [41, 42, 43, 44]  # type: ignore[attr-defined]
    assert report["votes"] == 1200


@pytest.mark.slow
def test_active_pairs_give_the_planted_scale_too(tmp_path: Path) -> None:
    planted = {name: 2.5 - 1.0 * at for at, name in enumerate(("a", "b", "c", "d", "e", "f"))}
    report = rehearsed(build(tmp_path, tuple(planted), trials=30, active=True), planted, 25)
    question = report["questions"][0]  # type: ignore[index]
    assert report["kept"] == 25
    assert all(
        row["jod_interval"][0] <= planted[row["name"]] <= row["jod_interval"][1] for row in question["conditions"]
    )
    assert all(pair["p_holm"] < 0.05 for pair in question["pairs"])
    assert min(pair["votes"] for pair in question["pairs"]) < 30  # clear pairs were hardly asked


def test_the_test_of_a_distance_is_that_of_a_normal_one() -> None:
    draws = np.random.default_rng(0).normal(1.0, 0.5, 100_000)
    assert distance_chance(1.0, draws, 10_000) == pytest.approx(2 * stats.norm.sf(2), rel=0.02)
    assert distance_chance(-1.0, draws, 2) == pytest.approx(2 * stats.norm.sf(2**0.5), rel=0.02)
    assert distance_chance(0.0, draws, 10) == 1.0


def test_grades(tmp_path: Path) -> None:
    planted = {"one": 1.0, "two": -1.0}
    report = rehearsed(build(tmp_path, tuple(planted), "mos", trials=10), planted, 6)
    first, second = report["questions"][0]["conditions"]  # type: ignore[index]
    for row, grade in ((first, 4), (second, 2)):
        assert row["mos"] == pytest.approx(grade, abs=0.5)
        assert row["mos_interval"][0] < row["mos"] < row["mos_interval"][1]
    (pair,) = report["questions"][0]["pairs"]  # type: ignore[index]
    assert pair["difference"] == pytest.approx(first["mos"] - second["mos"], abs=0.1)
    assert pair["p_holm"] < 0.05


def test_real_or_fake_by_hand() -> None:
    study = abstract(3, "real-or-fake", real="c", rules=abstract().rules)
    rows = [vote(0, at, "a", "", "real" if at < 6 else "fake") for at in range(8)]
    rows += [vote(0, 8 + at, "c", "", "real" if at < 7 else "fake") for at in range(8)]
    report = score_study(study, rows)
    a, b, c = report["questions"][0]["conditions"]
    assert (a["taken_for_real"], a["error_rate"]) == (0.75, 0.75)
    assert (c["taken_for_real"], c["error_rate"]) == (0.875, 0.125)
    assert a["error_rate_interval"] == pytest.approx(wilson(6, 8), abs=1e-4)
    assert b["error_rate"] is None


def test_checks_and_repeats_are_not_counted() -> None:
    study = abstract(2)
    rows = [vote(r, at, "a", "b", "left" if at % 4 else "right") for r in range(3) for at in range(8)]
    plain = score_study(study, rows)
    more = [vote(r, 20, "b", "a", "left", repeat=0) for r in range(3)]
    more += [vote(r, 21, "a", "b", "right", gold="instruction", expected="right") for r in range(3)]
    assert score_study(study, rows + more)["questions"] == plain["questions"]
    assert plain["questions"][0]["pairs"][0]["share"] == 0.75


def test_ties_are_half_a_vote_for_each() -> None:
    study = abstract(2, ties=True)
    rows = [vote(r, at, "a", "b", "left" if at % 2 else "same") for r in range(3) for at in range(8)]
    (pair,) = score_study(study, rows)["questions"][0]["pairs"]
    assert (pair["votes"], pair["share"]) == (24, 0.75)
    assert pair["jod"] == pytest.approx(1, abs=1e-3)


def test_one_rater_has_no_interval() -> None:
    rows = [vote(0, at, "a", "b", "left" if at % 4 else "right") for at in range(8)]
    report = score_study(abstract(2), rows)
    assert report["questions"][0]["conditions"][0]["jod_interval"] == [None, None]
    assert "no interval" in table_text(report)


def test_nothing_to_score_is_told() -> None:
    with pytest.raises(BadInputError, match="no votes yet"):
        score_study(abstract(2), [])
    with pytest.raises(BadInputError, match="all 1 raters are left out"):
        score_study(abstract(2), [vote(0, at, "a", "b", "left", ms=10) for at in range(8)])


def test_reports_name_the_best_first_and_escape(tmp_path: Path) -> None:
    study = abstract(2, title="<b>Faces</b>")
    rows = [vote(r, at, "a", "b", "right" if (at + r) % 4 else "left") for r in range(6) for at in range(8)]
    report = score_study(study, rows)
    lines = table_text(report).splitlines()
    assert [line.split()[0] for line in lines[4:6]] == ["b", "a"]
    html = page(report)
    assert "<b>Faces" not in html
    assert "<script" not in html
    assert html.count("<circle") == 2
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
