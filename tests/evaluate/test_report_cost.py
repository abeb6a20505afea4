"""Costs and judges in words: numbers in short, who has none, and only what is known."""

from __future__ import annotations

import dataclasses
import math
import re

import pytest

from facegraft.evaluate.cost import GraphCost, Memory, Timing
from facegraft.evaluate.identity import Agreement, Threshold
from facegraft.evaluate.leaderboard import as_markdown, as_page, boards
from facegraft.evaluate.method_cost import Cost
from facegraft.evaluate.report import compare_with
from facegraft.evaluate.report_cost import _short, cost_lines, judge_lines, markdown, section
from facegraft.evaluate.report_page import page
from facegraft.evaluate.results import Report, compact, with_cost
from tests.evaluate.reports_for_tests import report_of

PLAIN = Cost(("detector", "parser"), GraphCost(4_438_754, 2_163_499, 328_012_345))
ASKED = dataclasses.replace(PLAIN, timings={1: Timing(52.4, 50.0, 60.0, 20)}, memory=Memory(60.0, 157.3))


def report_with(cost: Cost | None) -> Report:
    report = report_of(
        {"mine": ("method", 1.0), "other": ("method", 1.0), "there": ("folder", 2.0), "copy": ("floor", 0.0)}
    )
    return report if cost is None else with_cost(report, {"mine": cost})


def cells_of(html: str) -> list[list[str]]:
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)]


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (1000, "1.00 k"), (9_994, "9.99 k"), (9_996, "10.0 k"), (375_655, "376 k"),
     (999_600, "1.00 M"), (84_300_000, "84.3 M"), (2_345_678_901, "2.35 G")],
)  # fmt: skip
def test_numbers_in_short(number: int, text: str) -> None:
    assert _short(number) == text


def test_table_has_what_is_known_and_names_who_has_no_cost() -> None:
    text = section(report_with(PLAIN))
    head, mine, other = cells_of(text)
    assert head == ["", "parameters", "MACs", "bytes", "ms, median", "ms, 90th percentile", "ms, slowest"]
    assert mine == ["mine", "2.16 M", "328 M", "4.44 M", "15", "19", "20"]
    assert other == ["other", "-", "-", "-", "15", "19", "20"]
    assert "Networks not known, so only the time: other." in text
    assert "mine runs detector, parser; each once" in text
    assert "No cost: there (pictures made elsewhere), copy (a floor)." in text


def test_time_by_threads_and_memory_come_where_they_were_asked_for() -> None:
    head, mine, other = cells_of(section(report_with(ASKED)))
    assert head[-2:] == ["ms with 1 thread", "MB of memory at most"]
    assert mine[-2:] == ["52", "157"]
    assert other[-2:] == ["-", "-"]
    (line,) = cost_lines(report_with(ASKED))
    assert line.startswith("cost of mine: 2.16 M parameters, 328 M MACs, 4.44 M bytes, 52 ms with 1 thread, 157 MB of")
    assert cost_lines(report_with(None)) == []
    lacking = report_with(dataclasses.replace(PLAIN, lacks=("MACs: why",)))
    assert "mine lacks MACs: why." in section(lacking)
    assert cost_lines(lacking)[1] == "cost of mine lacks MACs: why"


def test_floors_alone_have_no_table() -> None:
    text = section(report_of({"copy": ("floor", 1.0), "true-swap": ("ceiling", 2.0)}))
    assert "<table" not in text
    assert "No cost: copy (a floor), true-swap (the right answer)." in text


def test_the_leaderboard_keeps_costs_and_says_which_machine() -> None:
    small = compact(report_with(ASKED))
    assert small.methods["mine"].cost == ASKED
    found = boards([small])
    lines = as_markdown(found, "make it").splitlines()
    (row,) = [line for line in lines if line.startswith("| mine | 2.16 M | 328 M | 4.44 M | 15 ")]
    head = lines[lines.index(row) - 2]
    assert row.count("|") == head.count("|") == lines[lines.index(row) - 1].count("|")
    assert "Timed on one." in lines
    assert "2.16 M" in as_page(found)
    assert markdown(report_with(None)) == []
    assert "Timed on" not in as_markdown(boards([compact(report_with(None))]), "make it")


def test_judges_say_where_they_draw_the_line_and_whether_they_agree() -> None:
    report = dataclasses.replace(
        report_of(),
        thresholds={"dlib": Threshold(0.91234, 3540), "second": Threshold(0.5, 24)},
        agreement=Agreement(1.0, 0.456),
    )
    lines = judge_lines(report)
    assert lines[0] == "dlib: verified above a cosine of 0.912, exceeded by 0.1 % of 3,540 pairs of strangers"
    assert lines[1] == "second: verified above a cosine of 0.500, the highest of 24 pairs of strangers"
    assert lines[2].startswith("agreement of the judges: 1.00 over methods, 0.46 over the cases of a method")
    results = page(report, compare_with(report)).split("<h2>Results</h2>")[1].split("</section>")[0]
    assert all(line in results for line in lines)
    unknown = dataclasses.replace(
        report, thresholds={"dlib": Threshold(math.nan, 0)}, agreement=Agreement(math.nan, math.nan)
    )
    assert "no threshold" in judge_lines(unknown)[0]
    assert "fewer than three methods, too few cases" in judge_lines(unknown)[1]
    assert judge_lines(report_of()) == []
