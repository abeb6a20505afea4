"""Pictures by stratum and by group: the right cases, within the room there is; and medians beside means."""

from __future__ import annotations

import base64
import dataclasses
import json
import re

import pytest

from facegraft.core.image_bytes import decode_frame, encode_frame
from facegraft.evaluate.report import compare_with
from facegraft.evaluate.report_groups import looks_by_group
from facegraft.evaluate.report_page import page
from facegraft.evaluate.results import Report, as_dict, compact, from_dict
from tests.evaluate.cases_for_tests import flat
from tests.evaluate.reports_for_tests import report_of

MUCH = 10_000_000


def with_rows() -> Report:
    """The picture of case k is as grey as 10 k."""
    report = report_of(failed=0)
    strips = {
        key: dataclasses.replace(strip, row=dict.fromkeys(report.methods, encode_frame(flat(10 * number), 95)))
        for number, (key, strip) in enumerate(report.strips.items())
    }
    return dataclasses.replace(report, strips=strips)


def shown_cases(text: str) -> list[int]:
    found = re.findall(r"base64,([^\"]+)", text)
    return [round(float(decode_frame(base64.b64decode(one)).mean()) / 10) for one in found]


def part_of(text: str, title: str) -> str:
    return text.split(f"<summary>{title}</summary>")[1].split("</details>")[0]


def test_each_group_shows_its_own_worst_median_and_best() -> None:
    text = looks_by_group(with_rows(), "mine", MUCH)
    stratum = part_of(text, "Worst, median, best by stratum")
    assert stratum.count("<h3>") == 3  # primary metrics
    gap, *_ = re.findall(r"<h3>identity gap</h3>.*?(?=<h3>|$)", stratum, re.DOTALL)
    # a case's figure grows with its number; odd ones are "large pose", which comes first; more is better
    assert shown_cases(gap) == [1, 13, 23, 0, 12, 22]
    pose, *_ = re.findall(r"<h3>pose</h3>.*?(?=<h3>|$)", stratum, re.DOTALL)
    assert shown_cases(pose) == [23, 11, 1, 22, 10, 0]  # less is better
    assert re.findall(r"(worst|median|best): ([\d.]+)", gap)[:3] == [
        ("worst", "1.01"),
        ("median", "1.13"),
        ("best", "1.23"),
    ]
    skin = part_of(text, "Worst, median, best by skin of the identity")
    gap, *_ = re.findall(r"<h3>identity gap</h3>.*?(?=<h3>|$)", skin, re.DOTALL)
    assert shown_cases(gap) == [0, 4, 7, 8, 16, 23]


def test_what_does_not_fit_is_named() -> None:
    report = with_rows()
    one = len(next(iter(report.strips.values())).row["mine"])
    text = looks_by_group(report, "mine", 13 * one)  # 12 pictures of a metric: two groups each of stratum and skin
    assert part_of(text, "Worst, median, best by stratum").count("<h3>") == 1
    assert "no room for pictures of: realism distance, pose." in text
    assert looks_by_group(report, "mine", one) == ""
    assert looks_by_group(report_of(), "mine", MUCH) == ""  # nothing was kept


def test_the_page_has_them_after_the_large_ones() -> None:
    report = with_rows()
    text = page(report, compare_with(report))
    assert text.index("no case comes twice") < text.index("Worst, median, best by stratum") < text.index("Failures")


def test_medians_stand_beside_means_in_page_and_file() -> None:
    report = report_of(cases=24, failed=2)  # the two that failed pull the mean, not the median
    figure = report.methods["mine"].overall["pose_degrees"]
    assert figure.median == pytest.approx(1.115)
    assert figure.value > 15
    plain = json.loads(json.dumps(as_dict(report)))
    assert plain["methods"]["mine"]["overall"]["pose_degrees"][5] == pytest.approx(1.115)
    assert from_dict(plain).methods["mine"].overall["pose_degrees"].median == pytest.approx(1.115)
    assert compact(report).methods["mine"].by["stratum"]["large pose"]["pose_degrees"].median < 1.2
    details = page(report, compare_with(report)).split("Every metric, means, intervals and medians")[1]
    assert "median 1" in details
    for one in plain["methods"].values():  # files of before have none
        one["overall"] = {name: row[:5] for name, row in one["overall"].items()}
    assert (
        "median"
        not in page(from_dict(plain), compare_with(from_dict(plain))).split("<h2>All figures")[1].split("</thead>")[1]
    )
