"""The scores of a study as a table of text and as one page with a plot, which needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

_WIDTH, _EDGE, _ROW, _HEAD = 440, 14, 44, 38
"""Of the plot, in pixels; it stays readable when a phone shows it smaller."""
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#15181e;background:#fff;max-width:760px;margin:2rem auto;padding:0 1rem;
color-scheme:only light}h1{font-size:1.5rem;margin:0 0 .3rem}
h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid #d7dce2}
table{border-collapse:collapse;font-size:.9rem;margin:.6rem 0}th,td{padding:.15rem 1rem .15rem 0;text-align:left}
small{display:block;color:#4a5260}td.n{text-align:right;font-variant-numeric:tabular-nums}.note{color:#4a5260;font-size:.88rem}
.scroll{overflow-x:auto}.simulated{border-left:4px solid #9c2f1f;padding-left:.7rem;font-weight:600}
@media(max-width:600px){table{font-size:.82rem}th,td{padding-right:.5rem}}
svg{display:block;width:100%;max-width:520px;height:auto}svg text{font:13px system-ui,sans-serif}
"""
_VIEWPORT = '<meta name="viewport" content="width=device-width, initial-scale=1">'
_MEASURES = {
    "pairwise": ("jod", "JOD", None),
    "video": ("jod", "JOD", None),
    "mos": ("mos", "mean grade", (1.0, 5.0)),
    "real-or-fake": ("taken_for_real", "taken for real", (0.0, 1.0)),
}
"""Design -> the figure that is drawn, its name, its range where that is fixed."""


def table_text(report: dict[str, Any]) -> str:
    """A table for each question, best first, with 95 % intervals; then who was left out."""
    lines = [f"{report['title']} ({report['design']}): {report['votes']} votes of {report['kept']} raters"]
    for question in report["questions"]:
        lines += ["", question["text"], *_rows_text(report["design"], question)]
        close = [pair for pair in question["pairs"] if pair["p_holm"] >= 0.05]
        if close:
            named = ", ".join(f"{pair['first']} and {pair['second']}" for pair in close[:6])
            more = f" and {len(close) - 6} more" if len(close) > 6 else ""
            lines.append(f"not told apart (Holm, 5 %): {named}{more}")
        found = question.get("agreement")
        if found and found["kendall_w"] is not None:
            lines.append(f"agreement: Kendall's W {_number(found['kendall_w'])}, Spearman {_number(found['spearman'])}")
    lines += ["", _consistency_text(report), *_excluded_text(report)]
    return "\n".join(lines)


def page(report: dict[str, Any]) -> str:
    """The whole page."""
    title = escape(report["title"])
    parts = [f'<!doctype html>\n<html lang="en"><meta charset="utf-8">{_VIEWPORT}<title>{title}</title>']
    parts.append(f"<style>{_STYLE}</style><h1>{title}</h1>")
    if report.get("simulated"):
        parts.append('<p class="simulated">Simulated raters: a rehearsal, no result.</p>')
    parts.append(f"<p>{report['votes']} votes of {report['kept']} raters; bars are 95 % intervals.</p>")
    for question in report["questions"]:
        parts.append(f"<h2>{escape(question['text'])}</h2>")
        if question["conditions"]:
            parts += [_plot(report["design"], question), _pairs_table(report["design"], question)]
    parts.append(f"<h2>Raters</h2><p>{escape(_consistency_text(report))}</p>")
    parts += [f"<p>{escape(line)}</p>" for line in _excluded_text(report)]
    if report["design"] in ("pairwise", "video"):
        parts.append(
            '<p class="note">JOD: Thurstone, case V; a difference of 1 means that 75 % prefer the higher one. Only '
            "differences mean something: the zero is the mean of the conditions.</p>"
        )
    return "\n".join(parts) + "\n</html>\n"


def _rows_text(design: str, question: dict[str, Any]) -> list[str]:
    key, name, _ = _MEASURES[design]
    rows = _sorted(question["conditions"], key)
    width = max([9, *(len(row["name"]) for row in rows)])
    extra = "  Bradley-Terry" if key == "jod" else ""
    out = [f"{'condition':<{width}}  {name:>14}  {'95 % interval':>17}{extra}  votes"]
    for row in rows:
        more = f"  {_number(row['bt']):>13}" if key == "jod" else ""
        out.append(
            f"{row['name']:<{width}}  {_number(row[key]):>14}  {_interval(row[f'{key}_interval']):>17}{more}  "
            f"{row['votes']:>5.0f}"
        )
    return out


def _plot(design: str, question: dict[str, Any]) -> str:
    """Dots with bars under the names, best on top."""
    key, name, fixed = _MEASURES[design]
    rows = [row for row in _sorted(question["conditions"], key) if row[key] is not None]
    ends = [value for row in rows for value in (row[key], *row[f"{key}_interval"]) if value is not None]
    low, high = fixed or (min(ends) - 0.15, max(ends) + 0.15)
    room = _WIDTH - 2 * _EDGE

    def place(value: float) -> float:
        return round(_EDGE + room * (value - low) / max(high - low, 1e-9), 1)

    bottom = len(rows) * _ROW + 4
    parts = []
    for tick in _ticks(low, high):
        x = place(tick)
        parts.append(f'<line x1="{x}" x2="{x}" y1="0" y2="{bottom}" stroke="#dde1e6"/>')
        parts.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle" fill="#4a5260">{tick:g}</text>')
    for number, row in enumerate(rows):
        y = number * _ROW + 32
        parts.append(f'<text x="0" y="{y - 15}" fill="#15181e">{escape(row["name"])}</text>')
        first, last = row[f"{key}_interval"]
        if first is not None:
            parts.append(
                f'<line x1="{place(first)}" x2="{place(last)}" y1="{y}" y2="{y}" stroke="#1f5fa8" stroke-width="3"/>'
            )
        parts.append(f'<circle cx="{place(row[key])}" cy="{y}" r="5.5" fill="#1f5fa8"/>')
    better = f"{escape(name)} (better \N{RIGHTWARDS ARROW})"
    parts.append(f'<text x="{_WIDTH / 2}" y="{bottom + 34}" text-anchor="middle" fill="#15181e">{better}</text>')
    height = bottom + _HEAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(name)} of each condition">{"".join(parts)}</svg>'
    )


def _pairs_table(design: str, question: dict[str, Any]) -> str:
    paired = design in ("pairwise", "video")
    head = "<th>votes<th>first preferred" if paired else "<th>difference"
    rows = []
    for pair in question["pairs"]:
        told = (
            f'<td class="n">{pair["votes"]:.0f}<td class="n">{_share(pair["share"])}'
            if paired
            else f'<td class="n">{_number(pair["difference"])}'
        )
        verdict = "different" if pair["p_holm"] < 0.05 else "not told apart"
        rows.append(
            f"<tr><td>{escape(pair['first'])}<td>{escape(pair['second'])}{told}"
            f'<td class="n">{pair["p_holm"]:.4f}<small>{verdict}</small>'
        )
    return f'<div class="scroll"><table><tr><th>first<th>second{head}<th>p (Holm){"".join(rows)}</table></div>'


def _consistency_text(report: dict[str, Any]) -> str:
    found = report["consistency"]
    if not found["repeats"]:
        return "no repeated trials"
    return f"{found['alike']} of {found['repeats']} repeated trials were answered alike"


def _excluded_text(report: dict[str, Any]) -> list[str]:
    excluded = report["excluded"]
    if not excluded:
        return [f"nobody of {report['raters']} raters was left out"]
    lines = [f"{len(excluded)} of {report['raters']} raters were left out, by rules fixed before the study:"]
    return lines + [f"rater {found['rater']}: {'; '.join(found['reasons'])}" for found in excluded]


def _ticks(low: float, high: float) -> Sequence[float]:
    step = next((step for step in (0.1, 0.2, 0.25, 0.5, 1, 2, 5) if (high - low) / step <= 8), 10)
    first = -int(-low // step) if low < 0 else int(-(-low // step))
    return [round(at * step, 6) for at in range(first, int(high // step) + 1) if at * step >= low - 1e-9]


def _sorted(rows: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: -1e9 if row[key] is None else row[key], reverse=True)


def _interval(ends: Sequence[float | None]) -> str:
    return "no interval" if None in ends else f"{_number(ends[0])} to {_number(ends[1])}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
