"""The tables of benchmarks/metrics_truth.py in docs/evaluation.md: damages and metrics, floors and their places."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from facegraft.core.files import atomic_path

ANSWERS = ("true swap", "warp", "paste", "copy", "mean-face")
FOREIGN = 0.5
"""Share of a metric's movement under its own damage above which another damage moves it too much."""
FOLLOWS = 0.9, 0.5
"""Rank correlation of means, and mean over cases, from which on a metric follows its own damage."""
GENERAL = ("psnr_", "ssim_", "perceptual_")
"""Starts of the names of metrics that are there to see every damage."""
MUST = {
    "psnr_inside ssim_inside perceptual_inside": "true swap > warp > paste, copy, mean-face",
    "psnr_toned": "true swap > paste",
    "colour_error": "true swap > warp, paste, copy, mean-face",
    "landmark_truth expression_truth": "true swap > warp, copy, mean-face > paste",
    "gaze_truth light_truth": "true swap > warp, copy > paste, mean-face",
    "outside_changed outside_psnr": "true swap, copy > warp, paste, mean-face",
    "identity_cosine identity_gap inner_cosine top1 top5 verified": "true swap, paste > warp > copy, mean-face",
    "identity_leak original_rank original_verified": "true swap, warp, paste, mean-face > copy",
    "pose_degrees expression_points expression_weights": "copy > true swap, warp, mean-face > paste",
    "gaze_degrees iris_offset light": "copy > true swap, warp > paste, mean-face",
    "eyes_opening mouth_opening": "copy > true swap, warp > paste",
    "occluder_psnr": "copy > true swap, warp > paste, mean-face",
    "sharpness_ratio sharpness_signed high_frequencies": "copy, true swap, warp, paste > mean-face",
    "boundary": "copy > true swap, warp > paste, mean-face",
    "frechet_face kid_face": "copy > true swap, warp, paste > mean-face",
}
"""Metrics -> groups of answers, the best first; within a group any order will do. What does not follow is not here.

Warp, copy and mean face stand on the attribute's points; the mean face has nobody's gaze and none of the frame's light.
"""


def write_tables(result: Mapping[str, Any], document: Path) -> None:
    """Replaces what stands between the marks of each table in a document.

    Args:
        result: Of `metrics_truth.measure`.
        document: Markdown with a pair of marks per table.
    """
    text = document.read_text(encoding="utf-8")
    tables = {"damages": damages_table(result), "places": places_table(result)}
    for name, lines in tables.items():
        begin, end = f"<!-- metrics_truth: {name} -->\n", "<!-- metrics_truth: end -->"
        before, found, rest = text.partition(begin)
        _, ended, after = rest.partition(end)
        if not found or not ended:
            raise SystemExit(f"{document}: expected a pair of marks for the table {name!r}, found none")
        text = "".join([before, begin, *(f"{line}\n" for line in lines), end, after])
    with atomic_path(document) as temporary:
        temporary.write_text(text, encoding="utf-8")


def damages_table(result: Mapping[str, Any]) -> list[str]:
    """One row per metric: how it follows its own damage, and every damage's share of that movement."""
    stills, moving = result["stills"], result["moving"]
    names = list(next(iter(stills.values()))["damages"])
    heads = ["metric", "true swap", "own, largest", "rank, means", "rank, cases", *names]
    rows = [damages_row(name, row, names) for name, row in stills.items()]
    found = [f"- {line}" for name, row in stills.items() for line in faults(name, row)]
    clips = [f"`{name}` {follows(row)}" for name, row in moving.items() if row["own"]]
    return [
        "",
        *table_of(heads, rows),
        "",
        f"Clips, {result['clips']} of {result['frames_of_a_clip']} frames, jittered (rank correlation of means, over "
        f"clips): {', '.join(clips)}.",
        "",
        f"A metric fails here where its own damage has a rank correlation below {FOLLOWS[0]} of the means or "
        f"{FOLLOWS[1]} over cases, or another damage moves it by more than {FOREIGN} of its own:",
        "",
        *(found or ["- none"]),
        "",
    ]


def follows(row: Mapping[str, Any]) -> str:
    one = row["damages"][own_of(row)]
    return f"{share(one['spearman_of_means'])}, {share(one['spearman'])}"


def damages_row(name: str, row: Mapping[str, Any], damages: Sequence[str]) -> list[str]:
    own = own_of(row)
    under = row["damages"][own] if own else None
    shares = [shown_share(row["damages"][each]["relative"], own=each in row["own"]) for each in damages]
    means = under["means"] if under else []
    last = f"{own} {number(means[-1])}" if means else "-"
    rho = [share(under[key]) if under else "-" for key in ("spearman_of_means", "spearman")]
    return [f"`{name}`", number(row["true_swap"]), last, *rho, *shares]


def own_of(row: Mapping[str, Any]) -> str:
    """Of the damages that the metric is there to see, the one that moves it most; "" = none was tried."""
    return max(row["own"], key=lambda each: row["damages"][each]["change"], default="")


def faults(name: str, row: Mapping[str, Any]) -> Iterator[str]:
    """In words, how a metric does not behave as it should."""
    for own in row["own"]:
        means, cases = (row["damages"][own][key] or 0.0 for key in ("spearman_of_means", "spearman"))
        if means < FOLLOWS[0] or cases < FOLLOWS[1]:
            told = f"rank correlation {share(means)} of the means, {share(cases)} over cases"
            yield f"`{name}` hardly follows {own}: {told}"
    if not row["own"] or name.startswith(GENERAL):
        return
    others = {each: one["relative"] or 0.0 for each, one in row["damages"].items() if each not in row["own"]}
    strong = sorted((each for each in others if abs(others[each]) > FOREIGN), key=lambda each: -abs(others[each]))
    if strong:
        yield f"`{name}` moves under others: {', '.join(f'{each} {share(others[each])}' for each in strong)}"


def places_table(result: Mapping[str, Any]) -> list[str]:
    """One row per metric: what each answer gets, the order that must be, and whether it is."""
    heads = ["metric", *ANSWERS, "must be, the best first", "is"]
    rows = []
    for name, values in result["floors"].items():
        must = must_of(name)
        if must and all(values[answer][0] is not None for answer in ANSWERS):
            better = result["stills"][name]["better"]
            cells = [number(values[answer][0]) for answer in ANSWERS]
            rows.append([f"`{name}`", *cells, must, verdict(values, must, better)])
    return ["", *table_of(heads, rows), ""]


def must_of(metric: str) -> str:
    """The order that a metric must give; "" = none."""
    for names, order in MUST.items():
        if any(metric == name or metric.startswith(f"{name}_") for name in names.split()):
            return order
    return ""


def verdict(values: Mapping[str, Sequence[float | None]], must: str, better: str) -> str:
    """Either "yes", or the pairs that stand the other way, "~" before those whose intervals overlap."""
    sign = 1 if better == "high" else -1
    groups = [group.split(", ") for group in must.split(" > ")]
    wrong = []
    for above, below in itertools.combinations(groups, 2):
        for first, second in itertools.product(above, below):
            if sign * (values[first][0] or 0.0) < sign * (values[second][0] or 0.0):
                wrong.append(f"{'~' if overlap(values[first], values[second]) else ''}{second} before {first}")
    return "; ".join(wrong) or "yes"


def overlap(first: Sequence[float | None], second: Sequence[float | None]) -> bool:
    """Whether two intervals have something in common; where one is not known they do."""
    ends = [*first[1:], *second[1:]]
    if None in ends:
        return True
    low, high, other_low, other_high = (end or 0.0 for end in ends)
    return low <= other_high and other_low <= high


def shown_share(value: float | None, *, own: bool) -> str:
    if value is None:
        return "-"
    text = share(value)
    if own:
        return f"**{text}**"
    return f"*{text}*" if abs(value) > FOREIGN else text


def share(value: float | None) -> str:
    """Two digits without the zero before the point: ".52", "-.11", "13"."""
    if value is None:
        return "-"
    text = f"{abs(value):.2f}" if abs(value) < 9.95 else f"{abs(value):.0f}"
    text = text.removeprefix("0") if text.startswith("0.") else text
    return f"-{text}" if value < 0 and text.strip(".0") else text


def number(value: float) -> str:
    """Three digits."""
    value = value or 0.0  # no "-0"
    return f"{value:.3g}" if abs(value) < 999.5 else f"{value:.0f}"


def table_of(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [markdown_row(heads), markdown_row(["---"] * len(heads)), *map(markdown_row, rows)]


def markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
