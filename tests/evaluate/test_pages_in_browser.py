"""Pages of reports in a real browser, on a desktop and on a phone: nothing scrolls sideways, no name is cut."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from facegraft.evaluate.leaderboard import as_page, boards
from facegraft.evaluate.report import compare_with
from facegraft.evaluate.report_page import page
from facegraft.evaluate.results import Kind, Report
from facegraft.evaluate.study.design import load_study
from facegraft.evaluate.study.rehearse import VOTES, rehearse
from facegraft.evaluate.study.report import page as scores_page
from facegraft.evaluate.study.score import score_study
from facegraft.evaluate.study.votes import VoteStore
from tests.browser import NEEDED, WINDOWS, Browser, chromium, chromium_programs
from tests.evaluate.reports_for_tests import report_of
from tests.evaluate.study.studies import build

pytestmark = [pytest.mark.slow, pytest.mark.skipif(chromium_programs() is None, reason=NEEDED)]

MANY: dict[str, tuple[Kind, float]] = {f"a-method-number-{n:02d}": ("method", 1 + n / 40) for n in range(11)}
CUT = """return JSON.stringify([...document.querySelectorAll('svg text')].filter((text) => {
    const [inner, outer] = [text, text.ownerSVGElement].map((one) => one.getBoundingClientRect());
    return inner.width && (inner.left < outer.left - 1 || inner.right > outer.right + 1);
}).map((text) => text.textContent))"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def long_words(report: Report) -> Report:
    """Facts that a line of a phone does not hold."""
    facts = {"cases (SHA-256)": "0123456789abcdef" * 4, "options": "a_long_word_" * 9}
    return dataclasses.replace(report, set_facts=facts, name="a_set_whose_name_is_" * 4)


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Name -> page."""
    few, many = long_words(report_of()), long_words(report_of(MANY))
    return {
        "few": page(few, compare_with(few, "paste")),
        "many": page(many, compare_with(many, "a-method-number-01")),
        "board": as_page(boards([few, many])),
    }


@pytest.mark.parametrize("window", WINDOWS)
def test_pages_fit_and_names_are_whole(
    tmp_path: Path, browser: Browser, texts: dict[str, str], window: str, root: Path
) -> None:
    files = {name: tmp_path / f"{name}.html" for name in texts}
    for name, text in texts.items():
        files[name].write_text(text, encoding="utf-8")
    browser.resize(*WINDOWS[window], touch=window == "phone")
    for name, path in {**files, "committed": root / "docs" / "leaderboard.html"}.items():
        browser.open(path.as_uri())
        browser.run("for (const folded of document.querySelectorAll('details')) folded.open = true")
        assert browser.overflow() <= 0, name
        assert json.loads(browser.run(CUT)) == [], name
        assert browser.run("return getComputedStyle(document.body).fontSize") in ("14px", "15px")
    assert browser.complaints() == []


def test_a_page_that_is_too_wide_is_told(tmp_path: Path, browser: Browser) -> None:
    """So that the test above can fail."""
    wide = tmp_path / "wide.html"
    head = '<!doctype html><meta name="viewport" content="width=device-width, initial-scale=1">'
    wide.write_text(head + '<svg width="600" height="20"><text x="590" y="9">cut off</text></svg>')
    browser.resize(*WINDOWS["phone"], touch=True)
    browser.open(wide.as_uri())
    assert browser.overflow() > 200
    assert json.loads(browser.run(CUT)) == ["cut off"]


def test_the_ninth_method_is_hollow_in_legend_and_plots(
    tmp_path: Path, browser: Browser, texts: dict[str, str]
) -> None:
    path = tmp_path / "many.html"
    path.write_text(texts["many"], encoding="utf-8")
    browser.open(path.as_uri())
    script = "return [...document.querySelectorAll(arguments[0])].map((one) => getComputedStyle(one)[arguments[1]])"
    chips = browser.run(script, ".legend .chip", "backgroundColor")
    assert [chip == "rgba(0, 0, 0, 0)" for chip in chips] == [False] * 8 + [True] * 3
    assert set(browser.run(script, "svg circle.o", "fill")) == {"rgb(255, 255, 255)"}


def test_first_column_stays_in_sight_and_dark_is_dark(tmp_path: Path, browser: Browser, texts: dict[str, str]) -> None:
    path = tmp_path / "many.html"
    path.write_text(texts["many"], encoding="utf-8")
    browser.resize(*WINDOWS["phone"], touch=True)
    browser.prefer(prefers_color_scheme="dark")
    try:
        browser.open(path.as_uri())
        browser.run("document.querySelector('.scroll').scrollLeft = 300")
        left = browser.run("return document.querySelector('.figures th[scope=row]').getBoundingClientRect().left")
        assert 0 <= left < 30
        assert browser.run("return getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)"
    finally:
        browser.prefer()


def test_scores_fit_and_say_that_raters_were_simulated(tmp_path: Path, browser: Browser) -> None:
    names = ("a-condition-whose-name-is-as-long-as-can", "another")
    folder = build(tmp_path, names, trials=6)
    rehearse(folder, dict.fromkeys(names, 0.0), 8, 0, 0, lambda done: None)
    study = load_study(folder)
    with closing(VoteStore(folder / VOTES, study.inputs_sha256)) as store:
        report = score_study(study, store.votes(), draws=50)
    for window, size in WINDOWS.items():
        browser.resize(*size, touch=window == "phone")
        for simulated in (False, True):
            path = tmp_path / "scores.html"
            path.write_text(scores_page({"simulated": simulated} | report), encoding="utf-8")
            browser.open(path.as_uri())
            assert browser.overflow() <= 0
            assert json.loads(browser.run(CUT)) == []
            assert ("a rehearsal" in browser.run("return document.body.innerText")) is simulated
