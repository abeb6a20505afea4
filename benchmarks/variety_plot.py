"""Draws the histograms of cosines that synth_variety.py left in the history: how alike rendered and real people are.

    python benchmarks/variety_plot.py docs/images/variety.png

Rendered people are those of the newest run with --rendered-only, real and AI-made ones those of the full run.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from synth_pictures import history, this_machine

from facegraft.core.image import picture_from_frame, write_picture

COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189))
WIDTH, HEIGHT, MARGIN, FLOOR = 720, 210, 30, 30
TITLES = {
    "different": "two different people",
    "nearest": "everybody and the nearest other person",
    "same": "two pictures of one person",
}
Series = dict[str, dict[str, list[float]]]


def plot(path: Path, series: Series, edges: np.ndarray) -> None:
    """Three panels, one curve per crowd: shares of the pairs over the cosine, each panel to its own height."""
    panels = [_panel(what, title, series, edges) for what, title in TITLES.items()]
    write_picture(path, picture_from_frame(np.concatenate(panels)), [])


def _panel(what: str, title: str, series: Series, edges: np.ndarray) -> np.ndarray:
    canvas = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    low, high = float(edges[0]), float(edges[-1])
    top = max(max(one[what]) for one in series.values()) or 1.0

    def across(values: Any) -> Any:
        return MARGIN + (values - low) / (high - low) * (WIDTH - 2 * MARGIN)

    for tick in np.arange(low, high + 1e-6, 0.05):
        x = int(across(tick))
        cv2.line(canvas, (x, HEIGHT - FLOOR), (x, 10), (230, 230, 230), 1)
        cv2.putText(canvas, f"{tick:.2f}", (x - 14, HEIGHT - 12), 0, 0.4, (0, 0, 0), 1, cv2.LINE_AA)
    for row, (name, one) in enumerate(series.items()):
        ys = HEIGHT - FLOOR - np.array(one[what]) / top * (HEIGHT - 2 * FLOOR)
        curve = np.stack([across((edges[:-1] + edges[1:]) / 2), ys], 1).round().astype(np.int32)
        cv2.polylines(canvas, [curve], isClosed=False, color=COLOURS[row % 4], thickness=2, lineType=cv2.LINE_AA)
        cv2.putText(canvas, name, (MARGIN + 8, 46 + 18 * row), 0, 0.45, COLOURS[row % 4], 1, cv2.LINE_AA)
    cv2.putText(canvas, f"cosine of {title}", (MARGIN + 8, 24), 0, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return canvas


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--machine", default=this_machine())
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    whole, newest = (
        json.loads(history(name, args.machine, args.device).read_text(encoding="utf-8"))
        for name in ("synth_variety", "synth_variety_rendered")
    )
    series = {f"rendered, {newest['rendered']['people']} people": newest["histograms"]["rendered"]}
    for name in ("real", "AI-made"):
        series[f"{name}, {whole[name]['people']} people"] = whole["histograms"][name]
    plot(args.out, series, np.array(whole["edges"]))


if __name__ == "__main__":
    main()
