"""Leaderboards: newest per method, one board per set and protocol and judges, sorted by the identity gap."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from facegraft.evaluate.identity import JUDGES, Agreement
from facegraft.evaluate.leaderboard import (
    JUDGES_ABOUT,
    SORTED_BY,
    Board,
    agreement_line,
    as_markdown,
    as_page,
    boards,
    current,
    history_name,
    read_history,
)
from facegraft.evaluate.protocol import CLIP_PROTOCOL, Metric
from facegraft.evaluate.report_page import group_plots
from facegraft.evaluate.results import CASES, Kind, Network, Report, compact, load, save
from facegraft.evaluate.stats import Figure
from tests.evaluate.reports_for_tests import GAP, POSE, report_of


def dated(date: str, methods: dict[str, tuple[Kind, float]], **changes: object) -> Report:
    """A report whose metric of identity has the name that boards are sorted by."""
    report = report_of(methods, failed=0)
    gap = dataclasses.replace(GAP, name=SORTED_BY[0])
    for result in report.methods.values():
        for figures in (result.overall, *(group for groups in result.by.values() for group in groups.values())):
            figures[gap.name] = figures.pop(GAP.name)
    metrics: dict[str, Metric] = {gap.name: gap} | {n: m for n, m in report.metrics.items() if n != GAP.name}
    suites = {**report.suites, "identity": (gap.name,)}
    made = {**report.made, "date": date, "commit": f"c{date[-2:]}"}
    return dataclasses.replace(report, metrics=metrics, suites=suites, made=made, **changes)  # type: ignore[arg-type]


def methods_of(board: Board) -> list[str]:
    return list(board.report.methods)


def test_newest_result_of_each_method_and_the_order_of_identity() -> None:
    old = dated("2026-01-01", {"mine": ("method", 5.0), "copy": ("floor", 0.0)})
    new = dated("2026-02-02", {"mine": ("method", 1.0), "paste": ("floor", 3.0)})
    for order in ([old, new], [new, old]):
        (board,) = boards(order)
        assert methods_of(board) == ["paste", "mine", "copy"]
        assert board.report.methods["mine"].overall[POSE.name].value == pytest.approx(1.115)
        assert board.made == {"paste": "2026-02-02 c02", "mine": "2026-02-02 c02", "copy": "2026-01-01 c01"}
        assert board.cases["copy"] == 24


def test_what_does_not_compare_is_on_boards_of_its_own() -> None:
    one = dated("2026-01-01", {"mine": ("method", 1.0)})
    other_set = dataclasses.replace(one, name="another")
    other_protocol = dataclasses.replace(one, protocol="facegraft-image-3")
    other_eyes = dataclasses.replace(one, networks=(Network("dlib", "judge", "r.onnx", "cd" * 32),))
    other_cases = dataclasses.replace(one, set_facts={**one.set_facts, CASES: "ef" * 32})
    found = boards([one, other_set, other_protocol, other_eyes, other_cases])
    assert len(found) == 5
    assert [board.report.name for board in found] == ["another", *["made <up>"] * 4]


def judged(levels: dict[str, tuple[Kind, float, float]], cases: float, date: str = "2026-01-01") -> Report:
    """A report in which each method has these cosines by dlib and by second."""
    report = dated(date, {name: (kind, first) for name, (kind, first, _) in levels.items()})
    for name, (_, *cosines) in levels.items():
        for judge, cosine in zip(JUDGES, cosines, strict=True):
            report.methods[name].overall[f"identity_cosine_{judge}"] = Figure(cosine, cosine, cosine, 24, 12)
    return dataclasses.replace(report, agreement=Agreement(math.nan, cases))


def test_a_board_says_whether_the_judges_order_its_methods_alike() -> None:
    alike = judged({"a": ("method", 0.1, 0.5), "b": ("method", 0.2, 0.9), "c": ("method", 0.3, 0.7)}, 0.25)
    other = judged({"copy": ("floor", 0.0, 0.1)}, 0.75, "2026-02-02")
    (board,) = boards([alike, other])
    line = agreement_line(board)
    assert "the means of 4 methods (of the 3 that swap): identity cosine 0.80 (0.50)." in line
    assert "Over the cases of one method, of the cosine: 0.25 to 0.75." in line
    assert line in as_markdown([board], "make it")
    assert line.replace("'", "&#x27;") in as_page([board])
    (few,) = boards([judged({"a": ("method", 0.1, 0.5), "copy": ("floor", 0.2, 0.9)}, 0.25)])
    assert agreement_line(few) == ""


def test_what_is_primary_now_is_shown_of_old_results_too() -> None:
    report = dated("2026-01-01", {"mine": ("method", 1.0)})
    old = Metric("expression_truth", "%", "low", 100.0, "as it was told then", primary=False)
    report.methods["mine"].overall[old.name] = Figure(2.5, 2.4, 2.6, 24, 12)
    report = dataclasses.replace(report, metrics={**report.metrics, old.name: old})
    assert old not in report.primary()
    assert "expression truth, % ↓" in as_markdown(boards([report]), "make it")
    before = dataclasses.replace(report, protocol="facegraft-image-1")
    assert "expression truth, % ↓" in as_markdown(boards([before]), "make it")
    clips = dataclasses.replace(report, protocol=CLIP_PROTOCOL)
    assert "expression truth" not in as_markdown(boards([clips]), "make it")  # secondary on clips


def test_the_page_says_which_judge_is_no_independent_word() -> None:
    found = boards([dated("2026-01-01", {"mine": ("method", 1.0)})])
    for text in (as_page(found), as_markdown(found, "make it")):
        assert JUDGES_ABOUT.replace("'", "&#x27;" if text.startswith("<!") else "'") in text


def test_markdown_has_cases_protocol_and_intervals_with_every_number() -> None:
    (board,) = boards([dated("2026-01-01", {"mine": ("method", 1.0), "copy": ("floor", 2.0)})])
    text = as_markdown([board], "make it")
    assert "## made <up>, 24 cases, protocol facegraft-image-2" in text
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    header, *rest = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines if "---" not in line)
    assert header[:3] == ["method", "cases", "identity gap dlib ↑"]
    assert [row[0] for row in rest] == ["copy (floor)", "mine"]
    for row in rest:
        assert row[1] == "24"
        assert all(re.fullmatch(r"\d+\.\d+ \[\d+\.\d+, \d+\.\d+\]", cell) for cell in row[2:5])
        assert row[-1] == "2026-01-01 c01"
    assert "Judged by dlib abababab" in text


def test_page_needs_nothing_else() -> None:
    text = as_page(boards([dated("2026-01-01", {"mine": ("method", 1.0), "copy": ("floor", 2.0)})]))
    assert "made &lt;up&gt;, 24 cases, protocol facegraft-image-2" in text
    assert "24 cases" in text
    assert text.count("<svg") >= 2
    assert not re.search(r"""(?:src|href)=|url\(|<script""", text)


def test_of_one_set_the_newest_board_comes_first_and_alone_has_plots() -> None:
    old, new = (
        dataclasses.replace(
            dated(date, {"mine": ("method", 1.0)}), networks=(Network("dlib", "judge", "r.onnx", digest * 32),)
        )
        for date, digest in (("2026-01-01", "ab"), ("2026-02-02", "cd"))
    )
    for order in ([old, new], [new, old]):
        found = boards(order)
        assert [board.made["mine"] for board in found] == ["2026-02-02 c02", "2026-01-01 c01"]
        first, second = as_page(found).split("<section>")[1:]
        assert "cdcdcdcd" in first
        assert first.count("<svg") == as_page(found[:1]).count("<svg") >= 2
        assert "abababab" in second
        assert second.count("<svg") == 0
    by_newer_rules = dataclasses.replace(new, protocol="facegraft-image-3")
    first, second = as_page(boards([old, by_newer_rules])).split("<section>")[1:]
    assert "facegraft-image-3" in first
    assert ("<svg" in first, "<svg" in second) == (True, False)
    elsewhere = dataclasses.replace(new, name="another set")
    assert all("<svg" in section for section in as_page(boards([old, elsewhere])).split("<section>")[1:])


def test_boards_are_left_out_once_all_their_methods_stand_on_newer_ones() -> None:
    def by(judge: str, date: str, *methods: str, **changes: object) -> Report:
        networks = (Network("dlib", "judge", "r.onnx", judge * 32),)
        found = dated(date, {name: ("method", 1.0) for name in methods})
        return dataclasses.replace(found, networks=networks, **changes)  # type: ignore[arg-type]

    newest = by("ef", "2026-03-03", "a", "b")
    older, oldest = by("cd", "2026-02-02", "a", "c"), by("ab", "2026-01-01", "b", "c")
    assert [methods_of(board) for board in current(boards([oldest, newest, older]))] == [["a", "b"], ["a", "c"]]
    lone = by("ab", "2026-01-01", "d", "a")
    assert current(boards([lone, newest, older]))[2].made["d"] == "2026-01-01 c01"
    # other cases of the same set are no newer word on these
    more = dataclasses.replace(oldest, of=oldest.of + 1)
    other = dataclasses.replace(oldest, set_facts={**oldest.set_facts, CASES: "other"})
    assert len(current(boards([more, newest, older]))) == len(current(boards([other, newest, older]))) == 3
    assert current([]) == []


def test_groups_are_drawn_without_floors() -> None:
    report = dated("2026-01-01", {"mine": ("method", 1.0), "copy": ("floor", 2.0), "true-swap": ("ceiling", 5.0)})
    groups = as_page(boards([report])).partition("By stratum")[2]
    assert "mine</text>" in groups
    assert "true-swap</text>" in groups
    assert "copy</text>" not in groups
    assert "copy</text>" in group_plots(report)


def test_history_there_and_back_by_the_script(root: Path, tmp_path: Path) -> None:
    report = dated("2026-01-01", {"mine": ("method", 1.0), "my other": ("folder", 2.0), "copy": ("floor", 0.0)})
    save(report, tmp_path / "results.json")
    (tmp_path / "docs").mkdir()
    script = [sys.executable, str(root / "benchmarks/leaderboard.py"), "--history", str(tmp_path / "history")]
    subprocess.run([*script, "add", str(tmp_path / "results.json")], check=True, cwd=root, capture_output=True)
    (path,) = (tmp_path / "history").rglob("*.json")
    assert path.relative_to(tmp_path / "history").as_posix() == f"0.1.0/{history_name(report)}"
    assert path.name.startswith("eval--made-up--mine-my-other--")
    assert not load(path).keys
    subprocess.run([*script, "build", "--docs", str(tmp_path / "docs")], check=True, cwd=root, capture_output=True)
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"leaderboard.md", "leaderboard.html"}
    (board,) = boards(read_history(tmp_path / "history"))
    assert methods_of(board) == ["my other", "mine", "copy"]


def filmed() -> Report:
    """Pictures of two methods and clips of one."""
    report = dated("2026-01-01", {"mine": ("method", 1.0), "copy": ("floor", 0.0)})
    clips = dataclasses.replace(
        dated("", {"mine": ("method", 3.0)}, name="films"), made={}, protocol="facegraft-clip-1"
    )
    return dataclasses.replace(report, clips=clips)


def test_clips_are_a_board_of_their_own_made_when_the_report_was() -> None:
    found = boards([filmed()])
    assert [(board.report.name, methods_of(board)) for board in found] == [
        ("films", ["mine"]),
        ("made <up>", ["mine", "copy"]),
    ]
    assert found[0].made == {"mine": "2026-01-01 c01"}
    assert "## films, 24 cases, protocol facegraft-clip-1" in as_markdown(found, "make it")


def test_clips_alone_come_into_a_history(root: Path, tmp_path: Path) -> None:
    save(filmed(), tmp_path / "results.json")
    script = [sys.executable, str(root / "benchmarks/leaderboard.py"), "--history", str(tmp_path / "history")]
    subprocess.run(
        [*script, "add", "--clips", str(tmp_path / "results.json")], check=True, cwd=root, capture_output=True
    )
    (board,) = boards(read_history(tmp_path / "history"))
    assert (board.report.name, methods_of(board)) == ("films", ["mine"])
    save(dataclasses.replace(filmed(), clips=None), tmp_path / "none.json")
    done = subprocess.run(
        [*script, "add", "--clips", str(tmp_path / "none.json")], check=False, cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "none.json: holds nothing on clips" in done.stderr
    assert "Traceback" not in done.stderr


def test_names_in_a_history_say_which_methods_and_which_board() -> None:
    floors = compact(report_of({"copy": ("floor", 1.0)}))
    assert re.fullmatch(r"eval--made-up--floors--[0-9a-f]{6}\.json", history_name(floors))
    mine = dated("2026-01-01", {"mine": ("method", 1.0), "copy": ("floor", 1.0)})
    assert history_name(mine).startswith("eval--made-up--mine--")
    again = dated("2026-02-02", {"mine": ("method", 2.0), "copy": ("floor", 1.0)})
    assert history_name(again) == history_name(mine)
    others = [
        dataclasses.replace(mine, protocol="facegraft-image-0"),
        dataclasses.replace(mine, networks=(Network("dlib", "judge of identity", "another.onnx", "cd" * 32),)),
        dataclasses.replace(mine, set_facts={**mine.set_facts, CASES: "others"}),
    ]
    assert len({history_name(report) for report in (mine, *others)}) == 4
