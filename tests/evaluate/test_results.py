"""Results: figures per group, JSON there and back, and who may be compared with whom."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.evaluate.comparison import compare_methods
from facegraft.evaluate.cost import GraphCost, Memory, Timing
from facegraft.evaluate.identity import LATE_METRICS, Agreement, Threshold
from facegraft.evaluate.method_cost import Cost
from facegraft.evaluate.results import (
    Network,
    Report,
    as_dict,
    compact,
    load,
    save,
    summarise,
    with_cost,
)
from facegraft.evaluate.stats import Figure
from tests.evaluate.reports_for_tests import GAP, POSE, report_of, scores

COST = Cost(
    ("detector",), GraphCost(375_655, 163_089, None), {1: Timing(50.5, 40.0, 60.0, 9)}, Memory(60.0, 120.0), ("MACs",)
)


def test_figures_are_means_of_their_cases() -> None:
    result = summarise(scores("m", 1.0), "method", "", {"set": Figure(3.0, 2.0, 4.0, 24, 12)})
    ks = np.arange(24) / 100
    assert result.overall[GAP.name].value == pytest.approx(1 + ks.mean())
    assert result.overall["set"].value == 3
    assert set(result.by) == {"stratum", "skin"}
    by_stratum = {group: figures[GAP.name].value for group, figures in result.by["stratum"].items()}
    assert by_stratum == pytest.approx({"ordinary": 1 + ks[::2].mean(), "large pose": 1 + ks[1::2].mean()})
    first = result.by["skin"]["Monk 1-3"][GAP.name]
    assert (first.value, first.of, first.people) == (pytest.approx(1 + ks[:8].mean()), 8, 4)
    assert math.isnan(first.low)  # four people are too few
    overall = result.overall[GAP.name]
    assert overall.low < overall.value < overall.high


def test_only_what_was_called_here_was_timed() -> None:
    assert len(summarise(scores("m", 1.0), "folder", "", {}, timed=False).milliseconds) == 0
    assert len(summarise(scores("m", 1.0), "method", "", {}).milliseconds) == 24


def test_json_there_and_back(tmp_path: Path) -> None:
    report = dataclasses.replace(
        with_cost(report_of(), {"mine": COST}),
        clips=report_of({"mine": ("method", 3.0)}),
        thresholds={"dlib": Threshold(0.91, 3540), "second": Threshold(math.nan, 0)},
        agreement=Agreement(math.nan, 0.5),
    )
    report.methods["mine"].values[GAP.name][3] = math.nan
    path = tmp_path / "results.json"
    save(report, path)
    back = load(path)
    assert back.clips is not None
    assert not back.strips
    assert as_dict(back) == as_dict(report)
    assert math.isnan(back.methods["mine"].values[GAP.name][3])
    assert back.methods["mine"].overall == report_rounded(report)
    assert back.networks == report.networks
    assert {name: one.cost for name, one in back.methods.items()} == {"mine": COST, "paste": None, "true-swap": None}
    assert back.thresholds["dlib"] == Threshold(0.91, 3540)
    assert math.isnan(back.thresholds["second"].cosine)
    assert back.agreement is not None
    assert math.isnan(back.agreement.methods)
    assert back.agreement.cases == 0.5
    assert back.metrics == report.metrics
    assert "NaN" not in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


def report_rounded(report: Report) -> dict[str, Figure]:
    def six(value: float) -> float:
        return float(f"{value:.6g}")

    return {
        name: Figure(six(one.value), six(one.low), six(one.high), one.of, one.people, six(one.median))
        for name, one in report.methods["mine"].overall.items()
    }


def test_first_files_have_neither_costs_nor_judges(tmp_path: Path) -> None:
    facts = as_dict(report_of())
    for name in ("thresholds", "agreement"):
        del facts[name]
    for one in facts["methods"].values():
        del one["cost"]
    (tmp_path / "old.json").write_text(json.dumps(facts), encoding="utf-8")
    old = load(tmp_path / "old.json")
    assert (old.thresholds, old.agreement, old.methods["mine"].cost) == ({}, None, None)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "expected results"),
        ("[]", "expected results"),
        ('{"facegraft_results": 2}', "expected version 1, found 2"),
        ('{"facegraft_results": 1, "protocol": "x"}', "damaged"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, what: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BadInputError, match=what):
        load(path)


def test_comparison_pairs_cases_by_key_and_not_by_place() -> None:
    report, other = report_of(failed=0), report_of(failed=0)
    order = np.random.default_rng(0).permutation(24)[:15]
    result = other.methods["mine"]
    shuffled = {name: values[order] + 0.25 for name, values in result.values.items()}
    other = dataclasses.replace(
        other,
        keys=tuple(other.keys[row] for row in order),
        methods={"mine": dataclasses.replace(result, values=shuffled)},
    )
    found = compare_methods(report, "mine", other, "mine")
    assert list(found) == [GAP.name, "realism_distance", POSE.name]  # primary ones
    for one in found.values():
        assert one.difference.value == pytest.approx(-0.25)
        assert one.difference.low == pytest.approx(-0.25)
        assert one.of == 15
        assert one.p < 0.01


def test_galleries_of_other_sizes_are_not_compared() -> None:
    report = report_of()
    top1 = next(metric for metric in LATE_METRICS if metric.primary)
    mine = report.methods["mine"]
    mine.values[top1.name], mine.overall[top1.name] = mine.values[GAP.name], mine.overall[GAP.name]
    report = dataclasses.replace(report, metrics={**report.metrics, top1.name: top1})
    fewer = dataclasses.replace(
        report,
        keys=report.keys[:12],
        methods={"mine": dataclasses.replace(mine, values={k: v[:12] for k, v in mine.values.items()})},
    )
    assert top1.name in compare_methods(report, "mine", report, "mine")
    assert list(compare_methods(report, "mine", fewer, "mine")) == [GAP.name, "realism_distance", POSE.name]


def test_numbers_that_do_not_mean_the_same_are_refused() -> None:
    report = report_of()
    with pytest.raises(BadInputError, match="protocol"):
        compare_methods(report, "mine", dataclasses.replace(report, protocol="facegraft-image-0"), "mine")
    with pytest.raises(BadInputError, match="another-set"):
        compare_methods(report, "mine", dataclasses.replace(report, name="another-set"), "mine")
    for fact in ("pictures", "asked_sha256", "assets"):
        here = dataclasses.replace(report, set_facts=report.set_facts | {fact: "this"})
        there = dataclasses.replace(report, set_facts=report.set_facts | {fact: "that"})
        with pytest.raises(BadInputError, match=f"same build.*{fact} this here, that there"):
            compare_methods(here, "mine", there, "mine")
        assert compare_methods(here, "mine", report, "mine")  # what one of them does not tell does not differ
    other_judge = dataclasses.replace(report, networks=(Network("dlib", "judge", "r.onnx", "cd" * 32),))
    with pytest.raises(BadInputError, match="another dlib"):
        compare_methods(report, "mine", other_judge, "mine")
    with pytest.raises(BadInputError, match="compact"):
        compare_methods(
            dataclasses.replace(compact(report), keys=report.keys, people=report.people), "mine", report, "mine"
        )
    with pytest.raises(BadInputError, match="found none"):
        compare_methods(report, "mine", dataclasses.replace(report, keys=("other",) * 24), "mine")


def test_compact_keeps_figures_and_counts_and_names_nobody(tmp_path: Path) -> None:
    report = report_of()
    small = compact(report)
    save(small, tmp_path / "small.json")
    back = load(tmp_path / "small.json")
    assert back.of == 24
    assert int(back.methods["mine"].failed.sum()) == 2
    assert back.methods["mine"].overall[GAP.name].of == 24
    assert set(back.methods["mine"].by["stratum"]["ordinary"]) == {GAP.name, "realism_distance", POSE.name}
    assert np.percentile(back.methods["mine"].milliseconds, (0, 50, 90, 100)) == pytest.approx([10, 15, 19, 20])
    text = (tmp_path / "small.json").read_text(encoding="utf-8")
    assert "case 0" not in text
    assert "person" not in json.dumps(as_dict(back)["methods"])
