"""Draws every page that a rater of a study sees, and the scores, as one sheet for a desktop and one for a phone.

    python -m tools.study_pages docs/images --keep pages

The studies are real ones, built of examples/ (rendered people) and served on this machine; a headless Chromium with its
chromedriver (Debian: `apt install chromium chromium-driver`) walks through them. `--keep` also writes each page as PNG.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from facegraft.cli.main import main as facegraft
from facegraft.core.image import read_picture
from facegraft.core.image_bytes import encode_frame
from facegraft.core.types import Frame
from facegraft.evaluate.study.build import BuildOptions, plan_study, write_study
from facegraft.evaluate.study.design import Design
from facegraft.evaluate.study.rehearse import running
from facegraft.evaluate.study.server import StudyServer
from facegraft.evaluate.study.session import Session
from facegraft.runtime.swapper import Swapper, load_swapper
from tests.browser import WINDOWS, Browser, chromium
from tools.page_sheet import Page, keep_pages, write_sheet

EXAMPLES = Path(__file__).parents[1] / "examples"
SCENES = (("identity_1", "attribute_1"), ("identity_2", "attribute_1"), ("identity_3", "attribute_2"))
METHODS = ("warp", "fastswap-128")
SIDE, CLIP_WH, CLIP_FRAMES = 512, (640, 360), 30
COLUMNS = {"desktop": 4, "phone": 8}
TILE_PX = {"desktop": 420, "phone": 234}
TALLEST = 2.3
"""Of a page on the sheet, in widths."""
READY = "document.getElementById('message').textContent.includes('answer now')"


def make_media(root: Path) -> None:
    """Folders of swaps by each method, of clips by each method, of identities, of attribute pictures and clips."""
    clip = [cv2.resize(frame, CLIP_WH, interpolation=cv2.INTER_AREA) for frame in first_frames()]
    save_clip(root / "clip-attribute/1.mp4", clip)
    for name in METHODS:
        swapper = load_swapper(name)
        for number, (identity, attribute) in enumerate(SCENES):
            swapper.set_identity([example(identity)])
            save_picture(root / name / f"{number}.png", swapper.swap(example(attribute)))
            save_picture(root / "identity" / f"{number}.png", example(identity))
            save_picture(root / "attribute" / f"{number}.png", example(attribute))
        save_clip(root / f"clip-{name}/1.mp4", swapped_clip(swapper, clip))


def swapped_clip(swapper: Swapper, clip: list[Frame]) -> list[Frame]:
    swapper.set_identity([example("identity_2")])
    return [swapper.swap(frame) for frame in clip]


def example(name: str) -> Frame:
    frame = read_picture(EXAMPLES / f"{name}.jpg").frame
    return np.asarray(cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA))


def first_frames() -> Iterator[Frame]:
    with av.open(str(EXAMPLES / "clip.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == CLIP_FRAMES:
                return
            yield frame.to_ndarray(format="rgb24")


def save_picture(path: Path, frame: Frame) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_frame(frame))


def save_clip(path: Path, frames: list[Frame]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = *CLIP_WH, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


class Walk:
    """Pages in one window, in the order in which they are met."""

    def __init__(self, browser: Browser, media: Path, work: Path, window: str) -> None:
        self.browser, self.media, self.work = browser, media, work
        self.pages: dict[str, bytes] = {}
        browser.resize(*WINDOWS[window], touch=window == "phone")

    def all(self) -> dict[str, bytes]:
        """Name -> PNG."""
        pairs = self.build("pairs", questions=("identity", "natural"), identity=self.media / "identity", ties=True)
        with running(StudyServer(pairs)) as server:
            self.pairs(server)
        self.one("grades", design="mos")
        self.one("real or fake", design="real-or-fake", real=self.media / "attribute")
        self.one("clips", design="video", questions=("steady",))
        self.one("clips and theirs", design="video", questions=("expression",), attribute=self.media / "clip-attribute")
        self.scores(pairs)
        return self.pages

    def build(self, name: str, design: Design = "pairwise", trials: int = 14, **changes: Any) -> Path:
        kind = "clip-" if design == "video" else ""
        conditions = {method: self.media / f"{kind}{method}" for method in METHODS}
        told = {"contact": "you@example.org", "purpose": "We compare two ways of swapping faces."}
        write_study(plan_study(BuildOptions(design, conditions, trials=trials, **told, **changes)), self.work / name)
        return self.work / name

    def take(self, name: str) -> None:
        """Where it was not met before."""
        if name not in self.pages:
            time.sleep(0.4)  # the bar of progress has come to rest
            self.pages[name] = self.browser.picture(whole=True)

    def page(self, name: str) -> None:
        self.browser.wait(f"!document.getElementById('{name}').hidden")

    def enter(self, server: StudyServer) -> None:
        """From the address to the page behind practice."""
        self.browser.open(server.address)
        self.page("consent")
        self.take("consent")
        for button in ("#adult", "#agreed", "#agree button"):
            self.browser.click(button)
        self.page("instructions")
        self.take("how it goes")
        self.browser.click("#practise")
        for _ in range(3):
            self.answer()
            self.browser.click("#next")
            self.take("practice")
            self.browser.click("#next")
        self.page("ready")
        self.take("now it counts")
        self.browser.click("#start")

    def text(self, name: str) -> str:
        return str(self.browser.run(f"return document.getElementById('{name}').textContent"))

    def answer(self) -> None:
        self.browser.wait(READY)
        self.browser.run("document.querySelector('#trial [data-choice]').click()")

    def one(self, name: str, **options: Any) -> None:
        """A trial of one kind, answered; then the server is gone."""
        with running(StudyServer(self.build(name, trials=4, **options))) as server:
            self.enter(server)
            self.answer()
            self.take(name)
        self.browser.click("#next")
        self.page("fault")
        self.take("no server")

    def pairs(self, server: StudyServer) -> None:
        """A trial of two pictures, and everything around trials."""
        self.enter(server)
        self.page("block")
        self.take("a new question")
        self.browser.click("#go-on")
        self.answer()
        self.take("two pictures")
        while True:
            count = self.text("count")
            self.browser.click("#next")
            self.browser.wait(f"document.getElementById('count').textContent !== '{count}'")
            self.browser.wait(READY)
            if "Attention" in self.text("question"):
                break
            self.answer()
        self.take("attention check")
        self.browser.click("#stop")
        self.take("stop")
        self.finish(server.session)
        self.browser.click("#stay")
        self.page("thanks")
        self.take("thanks")
        self.browser.run("localStorage.clear()")
        self.enter(server)
        self.page("block")
        self.browser.click("#go-on")
        self.answer()
        self.browser.click("#stop")
        self.browser.click("#delete")
        self.page("thanks")
        self.take("answers deleted")

    def finish(self, session: Session) -> None:
        """Answers the rest without the page."""
        key = self.browser.run("return localStorage.getItem(Object.keys(localStorage)[0])")
        while not (trial := session.next({"key": key})).get("finished"):
            session.vote({"key": key, "trial": trial["trial"], "choice": "left", "ms": 2000})

    def scores(self, study: Path) -> None:
        """Of raters who do not exist."""
        html = self.work / "scores.html"
        scale = ",".join(f"{method}={place}" for method, place in zip(METHODS, (0.4, 0.0), strict=True))
        facegraft(["study", "simulate", str(study), "--raters", "20", "--careless", "2", "--scale", scale])
        facegraft(["study", "score", str(study), "--simulated", "--html", str(html)])
        self.browser.open(html.as_uri())
        self.take("scores")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder of study-desktop.jpg and study-phone.jpg")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="also each page as PNG")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as root:
        make_media(Path(root) / "media")
        for window in WINDOWS:
            with chromium(Path(root) / f"profile-{window}") as browser:
                work = Path(root) / window
                work.mkdir()
                pages = Walk(browser, Path(root) / "media", work, window).all()
            width = TILE_PX[window]
            tiles = [Page(name, png, width, round(TALLEST * width)) for name, png in pages.items()]
            write_sheet(args.out / f"study-{window}.jpg", tiles, COLUMNS[window])
            if args.keep:
                keep_pages(args.keep / window, pages)


if __name__ == "__main__":
    main()
