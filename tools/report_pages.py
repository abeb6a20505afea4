"""Draws the upper parts of a page on a desktop and on a phone, in light and dark, as one picture.

    facegraft eval warp copy --data data/exact-1k --pairs 12 -o out
    python -m tools.report_pages out/report.html docs/images/report-pages.jpg
    python -m tools.report_pages docs/leaderboard.html docs/images/leaderboard-pages.jpg

It needs Chromium with its chromedriver (Debian: `apt install chromium chromium-driver`).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.browser import WINDOWS, chromium
from tools.page_sheet import Page, write_sheet

HEIGHT = 700
WIDTH = {"desktop": 640, "phone": 234}
SHOWN = (("desktop", "light"), ("phone", "light"), ("phone", "dark"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("page", type=Path, help="an HTML file")
    parser.add_argument("out", type=Path, help="a JPEG")
    args = parser.parse_args()
    pages = []
    with tempfile.TemporaryDirectory() as profile, chromium(Path(profile)) as browser:
        for window, scheme in SHOWN:
            browser.resize(*WINDOWS[window], touch=window == "phone")
            browser.prefer(prefers_color_scheme=scheme)
            browser.open(args.page.resolve().as_uri())
            name = f"{WINDOWS[window][0]} px wide, {scheme}"
            pages.append(Page(name, browser.picture(whole=True), WIDTH[window], HEIGHT))
    write_sheet(args.out, pages, len(pages), quality=80)


if __name__ == "__main__":
    main()
