"""The real page in a real browser: raters with a planted scale click and press keys, and the scale comes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegraft.core.image_bytes import decode_frame
from facegraft.evaluate.study.build import BuildOptions, plan_study, write_study
from facegraft.evaluate.study.design import Design, Rules, Study
from facegraft.evaluate.study.rehearse import running
from facegraft.evaluate.study.score import score_study
from facegraft.evaluate.study.server import StudyServer
from facegraft.evaluate.study.simulate import Simulated, choose, condition_of_media, rater_rng, vote_as
from tests.browser import NEEDED, WINDOWS, Browser, chromium, chromium_programs
from tests.evaluate.study.studies import build, write_clip

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium_programs() is None, reason=NEEDED),
]

LETTERS = {"left": "A", "right": "B"}
READY = "document.getElementById('message').textContent.includes('answer now')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


def shows(page: str) -> str:
    return f"!document.getElementById('{page}').hidden"


def boxes(browser: Browser, selector: str) -> list[dict[str, float]]:
    found = f"[...document.querySelectorAll('{selector}')]"
    return list(browser.run(f"return {found}.map((one) => one.getBoundingClientRect().toJSON())"))


def agree(browser: Browser, address: str, look: Callable[[], None] = lambda: None) -> None:
    browser.open(address)
    browser.run("localStorage.clear(); location.reload()")
    browser.wait(shows("consent"))
    look()
    browser.click("#agree button")  # without a tick nothing begins
    assert "18" in browser.run("return document.getElementById('consent-message').textContent")
    browser.click("#adult")
    browser.click("#agreed")
    browser.click("#agree button")
    browser.wait(shows("instructions"))
    look()
    browser.click("#practise")


def practise(browser: Browser) -> None:
    """Takes B three times and reads what it is told."""
    told = []
    for _ in range(3):
        browser.wait(READY)
        browser.press("ArrowRight")
        browser.press("Enter")
        told.append(browser.run("return document.getElementById('message').className"))
        browser.press("Enter")
    assert {"message good", "message bad"} == set(told)
    browser.wait(shows("ready"))


def trial_on_show(browser: Browser) -> dict[str, object]:
    """What a person sees, as `choose` wants it."""
    return json.loads(
        browser.run(
            """const media = [...document.querySelectorAll('#stage figure.option img, #stage figure.option video')];
            const question = document.getElementById('question').textContent;
            const told = /please choose (\\w+)/.exec(question)?.[1] ?? '';
            return JSON.stringify({question, media: media.map((m) => m.src.split('/').at(-1)), told});"""
        )
    )


def answer(browser: Browser, study: Study, simulated: Simulated, rng: np.random.Generator, *, keys: bool) -> str:
    browser.wait(READY)
    trial = trial_on_show(browser)
    told = str(trial["told"])
    instruction = next((side for side, letter in LETTERS.items() if letter == told), "")
    choice = choose(study, simulated, trial | {"instruction": instruction}, condition_of_media(study), rng)
    if keys:
        browser.press("ArrowLeft" if choice == "left" else "ArrowRight")
        browser.press("Enter")
    else:
        browser.click(f"#stage [data-choice={choice}]")
        browser.click("#next")
    return choice


def test_raters_in_the_browser_and_over_http_give_the_planted_scale(tmp_path: Path, browser: Browser) -> None:
    planted = {"one": 1.0, "two": 0.0, "three": -1.0}
    folder = build(tmp_path, tuple(planted), trials=9, min_view_ms=50, rules=Rules(fastest_median_ms=0))
    simulated = Simulated(planted)
    browser.resize(1280, 800)
    with running(StudyServer(folder)) as server:
        study = server.session.study
        for rater in range(3):
            browser.resize(*((390, 844) if rater == 2 else (1280, 800)), touch=rater == 2)
            agree(browser, server.address)
            practise(browser)
            browser.click("#start")
            rng = rater_rng(study, 1, rater)
            chosen = []
            for number in range(10):
                browser.wait(f"document.getElementById('count').textContent === '{number + 1} of 10'")
                chosen.append(answer(browser, study, simulated, rng, keys=rater == 0))
                if number == 4:
                    browser.wait("document.getElementById('count').textContent === '6 of 10'")
                    browser.open(server.address)  # a reload goes on at the same trial
            browser.wait(shows("thanks"))
            assert [vote.choice for vote in server.store.votes() if vote.rater == rater + 1] == chosen
        for rater in range(3, 40):
            vote_as(study, server.address, simulated, rater_rng(study, 1, rater))
        votes = server.store.votes()
        assert browser.complaints() == []  # among them: whatever breaks the content security policy
    seen = [vote for vote in votes if vote.rater <= 3]
    assert all(50 <= vote.ms < 20_000 for vote in seen)
    checks = [vote for vote in seen if vote.gold]
    assert checks
    assert all(vote.choice in vote.expected.split(",") for vote in checks)
    report = score_study(study, votes, draws=500)
    assert (report["raters"], report["kept"]) == (40, 40)
    for row in report["questions"][0]["conditions"]:
        low, high = row["jod_interval"]
        assert low <= planted[row["name"]] <= high


@pytest.mark.parametrize("width", [1280, 390])
def test_clips_run_together_and_wait_for_one_loop(tmp_path: Path, browser: Browser, width: int) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_clip(tmp_path / name / "a.mp4", frames=12)
    plan = plan_study(BuildOptions("video", {name: tmp_path / name for name in ("one", "two")}, questions=("steady",)))
    write_study(plan, tmp_path / "study")
    browser.resize(width, 800, touch=width < 600)
    with running(StudyServer(tmp_path / "study")) as server:
        agree(browser, server.address)
        browser.wait("document.getElementById('message').textContent.includes('one full loop')")
        browser.press("ArrowLeft")
        assert browser.run("return document.querySelectorAll('[aria-pressed=true]').length") == 0
        browser.wait(READY)
        times = browser.run("return [...document.querySelectorAll('#stage video')].map((clip) => clip.currentTime)")
        assert len(times) == 2
        assert abs(times[0] - times[1]) < 0.2
        browser.press("ArrowLeft")
        assert browser.run("return document.querySelectorAll('[aria-pressed=true]').length") == 1
        first, second = boxes(browser, "#stage video")
        assert first["width"] == second["width"]
        assert (first["bottom"] <= second["top"]) if width < 600 else (first["right"] <= second["left"])
        assert browser.run("return document.documentElement.scrollWidth") <= width


def test_grades_by_keys_and_a_picture_that_goes_away(tmp_path: Path, browser: Browser) -> None:
    browser.resize(1280, 800)
    folder = build(tmp_path, ("one",), "real-or-fake", trials=4, min_view_ms=100, hide_after_ms=400)
    with running(StudyServer(folder)) as server:
        agree(browser, server.address)
        browser.wait("document.getElementById('stage').classList.contains('gone')")
        browser.press("ArrowRight")
        assert browser.run("return document.querySelector('[aria-pressed=true]').textContent") == "Fake"
    grades = build(tmp_path / "grades", ("one", "two"), "mos", trials=4, min_view_ms=100)
    with running(StudyServer(grades)) as server:
        agree(browser, server.address)
        browser.wait(READY)
        for key, grade in (("4", "4"), ("ArrowRight", "5"), ("ArrowRight", "5"), ("ArrowLeft", "4"), ("9", "4")):
            browser.press(key)
            assert browser.run("return document.querySelector('[aria-pressed=true]').textContent") == grade


def test_enter_on_a_button_means_that_button(tmp_path: Path, browser: Browser) -> None:
    browser.resize(1280, 800)
    pressed = "return document.querySelector('[aria-pressed=true]').dataset.choice"
    with running(StudyServer(build(tmp_path, trials=7, min_view_ms=50, ties=True))) as server:
        agree(browser, server.address)
        browser.wait(READY)
        for key, choice in (("ArrowRight", "right"), ("0", "same"), ("ArrowLeft", "left")):
            browser.press(key)
            assert browser.run(pressed) == choice
            assert browser.run("return document.activeElement.dataset.choice") == choice
        browser.run("document.getElementById('same').focus()")
        browser.press("Enter")  # chooses, and confirms nothing
        assert browser.run(pressed) == "same"
        assert browser.run("return document.getElementById('message').textContent") == ""


def test_clips_stand_still_for_who_wants_less_motion(tmp_path: Path, browser: Browser) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_clip(tmp_path / name / "a.mp4")
    plan = plan_study(BuildOptions("video", {name: tmp_path / name for name in ("one", "two")}, questions=("steady",)))
    write_study(plan, tmp_path / "study")
    browser.prefer(prefers_reduced_motion="reduce")
    try:
        with running(StudyServer(tmp_path / "study")) as server:
            agree(browser, server.address)
            browser.wait("!document.getElementById('play').hidden")
            assert browser.run("return [...document.querySelectorAll('#stage video')].every((clip) => clip.paused)")
            browser.click("#play")
            browser.wait(READY)
            browser.wait("!document.getElementById('play').hidden")  # once, then it waits again
    finally:
        browser.prefer()


def test_who_stops_may_have_the_answers_deleted(tmp_path: Path, browser: Browser) -> None:
    browser.resize(1280, 800)
    with running(StudyServer(build(tmp_path, trials=7, min_view_ms=50))) as server:
        agree(browser, server.address)
        practise(browser)
        browser.click("#start")
        browser.wait(READY)
        browser.press("ArrowLeft")
        browser.press("Enter")
        browser.wait("document.getElementById('count').textContent === '2 of 8'")
        assert server.store.counts()["votes"] == 1
        browser.click("#stop")
        browser.click("#delete")
        browser.wait(shows("thanks"))
        assert server.store.counts()["votes"] == 0
        browser.open(server.address)
        browser.wait(shows("consent"))


SMALL = """return JSON.stringify([...document.querySelectorAll('button, label')].filter((one) => {
    const box = one.getBoundingClientRect();
    return box.width && Math.min(box.width, box.height) < 44;
}).map((one) => one.textContent.trim()))"""
"""What is shown to be tapped and is too small for a thumb."""


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("design", ["pairwise", "mos", "real-or-fake"])
def test_every_page_fits_and_a_phone_is_told_of_no_keys(
    tmp_path: Path, browser: Browser, design: Design, window: str
) -> None:
    browser.resize(*WINDOWS[window], touch=window == "phone")
    changes: dict[str, Any] = {"ties": True, "questions": ("natural",)} if design == "pairwise" else {}

    def check() -> None:
        assert browser.overflow() <= 0
        assert json.loads(browser.run(SMALL)) == []

    with running(StudyServer(build(tmp_path, trials=4, min_view_ms=50, design=design, **changes))) as server:
        agree(browser, server.address, look=check)
        keys = browser.run("return document.querySelectorAll('#instructions kbd').length")
        assert keys == 0 if window == "phone" else keys > 1
        check()
        for _ in range(3):
            browser.wait(READY)
            browser.click("#trial [data-choice]")
            check()
            browser.click("#next")
            check()
            browser.click("#next")
        browser.wait(shows("ready"))
        check()
        browser.click("#start")
        browser.wait(READY)
        check()
        if design == "mos":
            low, high = boxes(browser, "#grades .ends span")
            assert low["right"] + 10 < high["left"]
        browser.click("#stop")
        check()


def test_a_browser_that_darkens_pages_leaves_this_one_alone(tmp_path: Path, browser: Browser) -> None:
    """Everybody sees the pictures on the same grey."""
    browser.resize(*WINDOWS["phone"], touch=True)
    with running(StudyServer(build(tmp_path, trials=4, min_view_ms=50))) as server:
        seen = []
        for dark in (False, True):
            browser.prefer(prefers_color_scheme="dark" if dark else "light")
            browser.devtools("Emulation.setAutoDarkModeOverride", {"enabled": dark})
            try:
                browser.open(server.address)
                browser.wait(shows("consent"))
                browser.run("document.activeElement.blur()")
                seen.append(browser.picture())
            finally:
                browser.devtools("Emulation.setAutoDarkModeOverride", {})
                browser.prefer()
    light, dark = (decode_frame(png) for png in seen)
    assert (light == dark).all()


def test_answers_are_fixed_once_practice_has_told(tmp_path: Path, browser: Browser) -> None:
    browser.resize(1280, 800)
    with running(StudyServer(build(tmp_path, trials=4, min_view_ms=50))) as server:
        agree(browser, server.address)
        browser.wait(READY)
        browser.press("ArrowLeft")
        browser.press("Enter")
        assert browser.run("return document.querySelectorAll('#stage [aria-disabled=true]').length") == 2
        browser.press("ArrowRight")
        assert browser.run("return document.querySelector('[aria-pressed=true]').dataset.choice") == "left"


@pytest.mark.parametrize(("design", "least_px"), [("pairwise", 225), ("mos", 310), ("real-or-fake", 310)])
def test_a_phone_on_its_side_still_shows_large_pictures(
    tmp_path: Path, browser: Browser, design: Design, least_px: int
) -> None:
    browser.resize(844, 390, touch=True)
    changes = {"ties": True} if design == "pairwise" else {}
    with running(StudyServer(build(tmp_path, trials=4, min_view_ms=50, design=design, **changes))) as server:
        agree(browser, server.address)
        browser.wait(READY)
        assert browser.overflow() <= 0
        assert browser.run("return document.documentElement.scrollHeight") == 390
        assert json.loads(browser.run(SMALL)) == []
        shown = boxes(browser, "#stage img")
        assert all(min(box["width"], box["height"]) >= least_px for box in shown)
        (question,) = boxes(browser, "#question")
        assert all(box["right"] <= question["left"] for box in shown)
