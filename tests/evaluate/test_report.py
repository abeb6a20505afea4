"""The page and the table: what is marked best, which cases are shown, and that nothing is left open or outside."""

from __future__ import annotations

import dataclasses
import html.parser
import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from facegraft.core.errors import BadInputError
from facegraft.evaluate.plots import MINUS, Scale, Spot, plane, rows, scale_of, ticks, written
from facegraft.evaluate.report import (
    MOST_STRIPS,
    Against,
    as_table,
    best_of,
    cases_to_show,
    compare_with,
    first_of,
    summary,
    write_report,
)
from facegraft.evaluate.report_page import page
from facegraft.evaluate.results import load
from facegraft.evaluate.stats import Figure
from tests.evaluate.reports_for_tests import GAP, LIKENESS, METRICS, POSE, report_of

VOID = {"meta", "img", "br", "circle", "path"}


class Checker(html.parser.HTMLParser):
    """Follows open tags; complains where one closes that is not the last opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append(f"{self.getpos()}: {tag}")

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    checker.close()
    return checker


def test_page_is_whole_and_needs_nothing_else() -> None:
    report = report_of()
    text = page(report, compare_with(report))
    checker = read(text)
    assert (checker.wrong, checker.open) == ([], [])
    assert not re.search(r"""(?:src|href)=["'](?!data:)|url\(|@import|<script|<link""", text)
    assert "made <up>" in "".join(checker.text)  # escaped, so it is text and no tag
    assert "Distance from real faces <of the set>" in "".join(checker.text)
    for part in ("Results", "Against mine", "Failures", "Not measured", "How it was measured", "facegraft-image-2"):
        assert part in text


def test_page_stays_small_however_many_cases() -> None:
    report = report_of(cases=300)
    big = np.random.default_rng(0).integers(0, 256, 40_000).astype(np.uint8).tobytes()
    strips = {
        key: dataclasses.replace(strip, swapped=dict.fromkeys(report.methods, big))
        for key, strip in report.strips.items()
    }
    text = page(dataclasses.replace(report, strips=strips), compare_with(report))
    assert text.count('class="case"') < MOST_STRIPS
    assert len(text) < 3_000_000


def test_best_is_marked_once_per_metric_in_its_own_direction() -> None:
    two = report_of({"low": ("method", 1.0), "high": ("folder", 2.0), "copy": ("floor", 9.0)}, failed=0)
    assert [best_of(two, metric) for metric in (GAP, LIKENESS, POSE)] == ["high", "low", "low"]
    one = report_of({"mine": ("method", 1.0), "copy": ("floor", 9.0), "true-swap": ("ceiling", 11.0)}, failed=0)
    assert best_of(one, GAP) == "copy"
    assert best_of(report_of({"mine": ("method", 1.0)}), GAP) is None
    results = page(two, compare_with(two)).split("<h2>Results</h2>")[1].split("<h2>")[0]
    assert results.count('class="best"') == 3


def test_first_is_a_method_before_it_is_a_floor() -> None:
    assert first_of(report_of({"copy": ("floor", 1), "mine": ("folder", 1)})) == "mine"
    assert first_of(report_of({"true-swap": ("ceiling", 1), "copy": ("floor", 1)})) == "copy"
    assert first_of(report_of({"true-swap": ("ceiling", 1)})) == "true-swap"


def test_table_says_what_the_figures_are() -> None:
    lines = as_table(report_of(failed=0)).splitlines()
    assert lines[0].split() == ["mine", "paste", "true-swap"]
    gap = next(line for line in lines if line.startswith("identity gap ↑"))
    values = [float(value) for value in re.findall(r"(\d\.\d+) \[", gap)]
    assert values == pytest.approx([1.115, 2.115, 5.115], abs=0.006)
    assert gap.count("*") == 1
    assert not any("light" in line for line in lines)  # not primary
    assert next(line for line in lines if line.startswith("failed")).split()[-3:] == ["0", "0", "0"]
    assert next(line for line in lines if line.startswith("ms")).split()[-3:] == ["15", "-", "-"]


def test_worst_median_and_best_are_what_they_say() -> None:
    report = report_of(failed=0)
    shown = cases_to_show(report, "mine")
    assert len({one.key for one in shown}) == len(shown) == 9
    gap = {one.place: one.key for one in shown if one.metric == GAP}
    assert gap == {"worst": "case 00", "median": "case 12", "best": "case 23"}
    likeness = {one.place: one.key for one in shown if one.metric == LIKENESS}  # low is better, and no case comes twice
    assert likeness["worst"] == "case 22"
    assert likeness["best"] == "case 01"
    assert [one.metric for one in shown[::3]] == [GAP, LIKENESS, POSE]


def test_failures_are_listed_with_their_cases() -> None:
    text = page(report_of(failed=2), Against("paste", {}))
    failures = text.split("<h2>Failures</h2>")[1].split("</section>")[0]
    assert "<b>mine</b>: 2 of 24" in failures
    assert "case 22, case 23" in failures
    assert "paste" not in failures
    assert "Against" not in text
    assert "failed by all" not in failures
    every = report_of({"one": ("method", 1.0)}, failed=2)
    both = dataclasses.replace(every, methods={"one": every.methods["one"], "two": every.methods["one"]})
    assert "2 cases failed by all" in page(both, Against("one", {}))


def test_paired_tests_have_signs_and_colours() -> None:
    report = report_of(failed=0)
    against = compare_with(report, "paste")
    assert set(against.tests) == {"mine", "true-swap"}
    assert against.tests["mine"][GAP.name].difference.value == pytest.approx(-1)
    section = page(report, against).split("<h2>Against paste</h2>")[1].split("</section>")[0]
    rows_of = re.findall(r"<tr><th scope=\"row\">(.*?)</tr>", section)
    (gap,) = [row for row in rows_of if row.startswith("identity gap")]
    assert re.findall(r'class="(better|worse)"', gap) == ["worse", "better"]
    (pose,) = [row for row in rows_of if row.startswith("pose")]
    assert re.findall(r'class="(better|worse)"', pose) == ["better", "worse"]
    with pytest.raises(BadInputError, match="found 'nobody'"):
        compare_with(report, "nobody")


def test_another_report_is_compared_by_its_own_first_method() -> None:
    other = report_of({"copy": ("floor", 0.0), "old": ("method", 3.0)}, failed=0)
    against = compare_with(report_of(failed=0), other=other)
    assert against.name == "old"
    assert set(against.tests) == {"mine", "paste", "true-swap"}
    assert against.tests["mine"][GAP.name].difference.value == pytest.approx(-2)


def test_writing_leaves_two_files_and_summary_is_plain_json(tmp_path: Path) -> None:
    report = report_of()
    write_report(report, tmp_path / "new" / "out")
    assert {path.name for path in (tmp_path / "new" / "out").iterdir()} == {"report.html", "results.json"}
    assert load(tmp_path / "new" / "out" / "results.json").keys == report.keys
    facts = json.loads(json.dumps(summary(report, compare_with(report)), allow_nan=False))
    assert facts["methods"]["mine"]["failed"] == 2
    assert facts["methods"]["paste"][GAP.name] == pytest.approx(2.115)
    assert facts["against"]["tests"]["paste"][GAP.name][0] > 0


def figure(value: float, half: float | None = None) -> Figure:
    if half is None:
        return Figure(float(value), float("nan"), float("nan"), 4, 4)
    return Figure(float(value), float(value - half), float(value + half), 40, 20)


@pytest.mark.parametrize(
    ("one", "text"),
    [
        (figure(0.51234, 0.03), ("0.51", "0.48 … 0.54")),
        (figure(24.31, 0.6), ("24.3", "23.7 … 24.9")),
        (figure(-0.0001, 0.02), ("0.00", "\N{MINUS SIGN}0.02 … 0.02")),
        (figure(60, 0), ("60.0", "60.0 … 60.0")),
        (figure(151.2, 7.0), ("151", "144 … 158")),
        (figure(2e-7), ("0.000", "")),
        (figure(1234.5), ("1234", "")),
        (figure(float("nan")), ("-", "")),
    ],
)
def test_numbers_have_the_digits_that_their_interval_leaves(one: Figure, text: tuple[str, str]) -> None:
    assert written(one) == text


def test_ticks_are_round_and_inside() -> None:
    for low, high in ((0.0, 1.0), (-0.13, 0.42), (17.0, 23.0), (0.0, 4000.0), (-2.0, -1.9)):
        found = ticks(Scale(low, high, 0, 100))
        assert 3 <= len(found) <= 7
        assert all(low - 1e-9 <= value <= high + 1e-9 for value, _ in found)
        assert all(float(text.replace(MINUS, "-")) == pytest.approx(value) for value, text in found)
    assert [text for _, text in ticks(Scale(0, 1, 0, 1))] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]


def test_an_axis_holds_every_interval() -> None:
    scale = scale_of([figure(1, 0.5), figure(3, 2), figure(float("nan"))], 0, 100)
    assert scale.low < 0.5
    assert scale.high > 5
    assert scale.at(scale.low) == 0
    assert scale.at(scale.high) == 100
    assert scale_of([figure(2)], 0, 1).low < 2 < scale_of([figure(2)], 0, 1).high


def test_plane_puts_higher_up_and_right() -> None:
    spots = [Spot("low", figure(0.1, 0.05), figure(10, 2), 0), Spot("high", figure(0.9, 0.05), figure(50, 2), 1)]
    text = plane(spots, METRICS[GAP.name], METRICS[POSE.name])
    at = {
        colour: (float(x), float(y))
        for colour, x, y in re.findall(r'<circle class="(m\d)" cx="(.*?)" cy="(.*?)"', text)
    }
    assert at["m0"][0] < at["m1"][0]
    assert at["m0"][1] > at["m1"][1]  # y grows downwards in SVG
    assert text.count('<path class="m0"') == 2  # both error bars
    bars = re.findall(r'<path class="m0" d="M(.*?) (.*?)([HV])(.*?)"', text)
    for x, y, way, end in bars:  # each spans its dot, equally far to both sides
        begin, middle = (float(x), at["m0"][0]) if way == "H" else (float(y), at["m0"][1])
        assert begin != float(end)
        assert (begin + float(end)) / 2 == pytest.approx(middle, abs=0.11)
    assert {way for _, _, way, _ in bars} == {"H", "V"}
    assert "identity gap (better →)" in text
    assert "(← better) pose, degrees" in text


def test_names_in_a_plane_do_not_lie_on_each_other() -> None:
    """Nor do they leave the picture; one that found no room beside its spot hangs on a line."""
    far = [Spot("far", figure(0.0), figure(20), 12)]
    spots = [Spot(f"method {n:02d}", figure(0.5 + n / 500), figure(10 + n / 50), n) for n in range(12)] + far
    text = plane(spots, METRICS[GAP.name], METRICS[POSE.name])
    places = [(float(x), float(y)) for x, y in re.findall(r'x="([\d.]+)" y="([\d.]+)">method', text)]
    assert len(places) == 12
    for (x, y), (other_x, other_y) in itertools.combinations(places, 2):
        assert abs(x - other_x) >= 9 * 7.2 or abs(y - other_y) >= 12
    assert all(0 < x < 460 - 9 * 7.2 and 0 < y < 330 for x, y in places)
    assert 'class="lead"' in text


def test_the_ninth_method_has_the_first_ones_colour_and_a_hollow_dot() -> None:
    drawn = rows(["all"], [(str(n), n, [figure(n, 0.1)]) for n in range(10)], POSE)
    assert re.findall(r'<circle class="([^"]*)"', drawn) == [*(f"m{n}" for n in range(8)), "m0 o", "m1 o"]


def test_rows_have_a_dot_per_method_and_a_dash_where_nothing_is_known() -> None:
    found = [("mine", 0, [figure(1, 0.2), figure(float("nan"))]), ("other", 3, [figure(2, 0.2), figure(3, 0.1)])]
    text = rows(["ordinary", "large pose"], found, METRICS[POSE.name])
    assert text.count("<circle") == 3
    assert re.findall(r'<circle class="(m\d)"', text) == ["m0", "m3", "m3"]
    assert ">-</text>" in text


def test_only_a_name_that_is_cut_stands_behind_its_dot_as_well() -> None:
    drawn = rows(
        ["all"], [("faceshifter-hear", 0, [figure(1, 0.1)]), ("mobilefaceswap-256", 1, [figure(2, 0.1)])], POSE
    )
    assert re.findall("<title>(.*?)</title>", drawn) == ["mobilefaceswap-256"]
    assert "faceshifter-hear" in drawn
    assert "mobilefaceswap-…" in drawn
