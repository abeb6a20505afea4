"""The report as one HTML page that needs nothing else: no script, no other file, pictures and plots inside it."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from html import escape

import numpy as np

from facegraft.evaluate import report_cost
from facegraft.evaluate.page_style import STYLE
from facegraft.evaluate.plots import Spot, colour_of, digits_of, plane, rows, shown_name, written
from facegraft.evaluate.protocol import CLIP_PROTOCOL, Metric
from facegraft.evaluate.report import Against, best_of, cases_to_show, first_of
from facegraft.evaluate.report_groups import looks_by_group
from facegraft.evaluate.results import STRATUM, Report, Strip
from facegraft.evaluate.stats import Comparison, Figure

MOST_BYTES_OF_PICTURES = 2_000_000
"""Of JPEG; a third is added when they are written as text."""
MOST_ANSWERS = 6
"""Columns of answers in a strip of pictures."""
MOST_FAILURES = 12
NOWHERE = Figure(math.nan, math.nan, math.nan, 0, 0)
PLANES = (("identity", "realism"), ("identity", "attributes"))
"""Suites that span a plane, each by the first of `FOR_PLANES` that was measured, or else by its first metric."""
FOR_PLANES = ("identity_gap_dlib", "identity_gap_second")
"""The gap, since likeness alone is also what two strangers share."""


def page(report: Report, against: Against) -> str:
    """The whole page.

    Args:
        report: Of `evaluate`.
        against: Paired tests.
    """
    name = escape(report.name)
    parts = [
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{name}: evaluation</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style></head><body>',
        _head(report),
        _section("Results", headline(report) + _note(report_cost.judge_lines(report))),
        _section("Identity against the rest", planes(report)),
        _section(f"Against {against.name}", _tests(report, against)),
        _section("Where it is better and worse", group_plots(report)),
        _section("Best, median, worst", _pictures(report)),
        _section("Failures", _failures(report)),
        _section("Cost", report_cost.section(report) + _note([report_cost.time_line(report)])),
        _section("Clips", _clips(report)),
        _section("Not measured", _left_out(report)),
        _section("All figures", _details(report)),
        _section("How it was measured", _protocol(report)),
        "</body></html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _section(title: str, body: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{body}</section>" if body else ""


def _head(report: Report) -> str:
    people = len(set(report.people))
    what = _counted(report.of, "clip" if report.protocol == CLIP_PROTOCOL else "case")
    facts = f"{what} of {people} {'people' if people > 1 else 'person'}" if people else what
    made = f"{report.made.get('date', '')}, facegraft {report.made.get('facegraft', '')}"
    commit = report.made.get("commit")
    return (
        f'<header><h1>{escape(report.name)}</h1><p class="note">{facts}; protocol {escape(report.protocol)}; '
        f"{escape(made)}{f' ({escape(commit)})' if commit else ''}</p>{legend(report)}</header>"
    )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def legend(report: Report) -> str:
    """Methods with their colours."""
    chips = [
        f'<li><i class="chip {colour_of(number)}"></i><b>{escape(name)}</b>'
        f"{f' <span>{escape(result.about)}</span>' if result.about else ''}</li>"
        for number, (name, result) in enumerate(report.methods.items())
    ]
    return f'<ul class="legend">{"".join(chips)}</ul>'


def headline(report: Report) -> str:
    """The table of primary metrics."""
    body = "".join(_metric_rows(report, [m for m in report.primary() if m.name in names], suite)
                   for suite, names in report.suites.items())  # fmt: skip
    failed = "".join(f"<td>{int(one.failed.sum())}</td>" for one in report.methods.values())
    body += (
        f"<tr><th>failed<small>No face in the answer, or no answer: the worst of every metric</small></th>{failed}</tr>"
    )
    note = (
        '<p class="note">Mean and 95 % interval over people. ↑ more is better, ↓ less is better. The best is marked: '
        "of the methods that swap, where there are two or more, else of all but the right answer.</p>"
    )
    return _table(report, body) + note


def _table(report: Report, body: str) -> str:
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in report.methods)
    return (
        f'<div class="scroll"><table class="figures"><thead><tr><th></th>{names}</tr></thead><tbody>{body}</tbody>'
        "</table></div>"
    )


def _metric_rows(report: Report, metrics: Sequence[Metric], suite: str, *, medians: bool = False) -> str:
    if not metrics:
        return ""
    head = f'<tr class="suite"><th colspan="{len(report.methods) + 1}">{escape(suite)}</th></tr>'
    return head + "".join(_metric_row(report, metric, medians) for metric in metrics)


def _metric_row(report: Report, metric: Metric, medians: bool) -> str:
    best = best_of(report, metric)
    figures = {name: result.overall.get(metric.name, NOWHERE) for name, result in report.methods.items()}
    digits = digits_of(list(figures.values()))
    cells = []
    for name, figure in figures.items():
        value, interval = written(figure, digits)
        mark = ' class="best"' if name == best else ""
        median = written(Figure(figure.median, math.nan, math.nan, 1, 1), digits)[0]
        told = f"<small>median {median}</small>" if medians and math.isfinite(figure.median) else ""
        cells.append(f"<td{mark}>{value}<small>{interval}</small>{told}</td>")
    return f"<tr>{_metric_head(metric)}{''.join(cells)}</tr>"


def _metric_head(metric: Metric) -> str:
    arrow = "↑" if metric.better == "high" else "↓"
    unit = f" <span>{escape(metric.unit)}</span>" if metric.unit else ""
    return f'<th scope="row">{escape(shown_name(metric))}{unit}&nbsp;{arrow}<small>{escape(metric.about)}</small></th>'


def planes(report: Report) -> str:
    """Identity against realism, and against attributes; "" where a suite is missing."""
    drawn = []
    for first, second in PLANES:
        x, y = _for_plane(report, first), _for_plane(report, second)
        if x is None or y is None:
            continue
        spots = [
            Spot(name, one.overall[x.name], one.overall[y.name], number)
            for number, (name, one) in enumerate(report.methods.items())
            if x.name in one.overall and y.name in one.overall
        ]
        spots = [spot for spot in spots if math.isfinite(spot.x.value) and math.isfinite(spot.y.value)]
        drawn.append(
            f"<figure><figcaption>{escape(first)} and {escape(second)}</figcaption>{plane(spots, x, y)}</figure>"
        )
    note = '<p class="note">A method that changes nothing keeps everything: read no figure without the identity.</p>'
    return f'<div class="plots">{"".join(drawn)}</div>{note}' if drawn else ""


def _for_plane(report: Report, suite: str) -> Metric | None:
    names = report.suites.get(suite, ())
    wanted = [name for name in FOR_PLANES if name in names and report.measured(name)]
    if wanted:
        return report.metrics[wanted[0]]
    able = [*report.primary(), *(metric for metric in report.metrics.values() if report.measured(metric.name))]
    return next((metric for metric in able if metric.name in names), None)


def _tests(report: Report, against: Against) -> str:
    if not against.tests:
        return ""
    names = list(dict.fromkeys(name for found in against.tests.values() for name in found))
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in against.tests)
    body = "".join(
        f"<tr>{_metric_head(report.metrics[name])}"
        + "".join(_test_cell(found.get(name), report.metrics[name]) for found in against.tests.values())
        + "</tr>"
        for name in names
    )
    return (
        f'<div class="scroll"><table class="figures"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>'
        f'</table></div><p class="note">Each minus {escape(against.name)} on the same cases, with its 95 % interval. '
        "p: how often signs drawn at random for whole people give as much; not corrected for the number of tests.</p>"
    )


def _test_cell(found: Comparison | None, metric: Metric) -> str:
    if found is None or not found.of:
        return "<td>-</td>"
    value, interval = written(found.difference)
    sure = math.isfinite(found.p) and found.p < 0.05
    better = (found.difference.value > 0) == (metric.better == "high")
    mark = f' class="{"better" if better else "worse"}"' if sure and found.difference.value else ""
    p = "" if not math.isfinite(found.p) else "p &lt; 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    sign = "+" if found.difference.value > 0 else ""
    return f"<td{mark}>{sign}{value}<small>{interval}</small><small>{p}</small></td>"


def group_plots(report: Report, *, floors: bool = True) -> str:
    """Strata open, all other groupings folded: a plot per primary metric; of floors too, if wanted."""
    groupings = list(dict.fromkeys(grouping for one in report.methods.values() for grouping in one.by))
    parts = []
    for grouping in groupings:
        plots = "".join(_group_plot(report, grouping, metric, floors) for metric in report.primary())
        if plots:
            title = "By stratum" if grouping == STRATUM else f"By {grouping} of the identity"
            opened = " open" if grouping == STRATUM else ""
            parts.append(
                f'<details{opened}><summary>{escape(title)}</summary><div class="plots">{plots}</div></details>'
            )
    return "".join(parts)


def _group_plot(report: Report, grouping: str, metric: Metric, floors: bool) -> str:
    names = sorted({group for one in report.methods.values() for group in one.by.get(grouping, {})})
    lines = [
        (name, number, [one.by.get(grouping, {}).get(group, {}).get(metric.name, NOWHERE) for group in names])
        for number, (name, one) in enumerate(report.methods.items())
        if floors or one.kind != "floor"
    ]
    if len(names) < 2 or not any(math.isfinite(one.value) for _, _, found in lines for one in found):
        return ""
    arrow = "↑" if metric.better == "high" else "↓"
    unit = f", {escape(metric.unit)}" if metric.unit else ""
    title = f"{escape(shown_name(metric))}{unit} {arrow}"
    return f"<figure><figcaption>{title}</figcaption>{rows(names, lines, metric)}</figure>"


def _pictures(report: Report) -> str:
    if not report.strips:
        return ""
    method = first_of(report)
    answers = [method, *(name for name in report.methods if name != method)]
    answers = [name for name in answers if report.methods[name].kind != "ceiling"][:MOST_ANSWERS]
    parts, left = [], MOST_BYTES_OF_PICTURES
    for shown in cases_to_show(report, method):
        strip = report.strips[shown.key]
        left -= _size(strip, answers)
        if left < 0:
            break
        value = written(Figure(shown.value, math.nan, math.nan, 1, 1))[0]
        title = f"<b>{shown.place}</b> {escape(shown_name(shown.metric))}: {value} {escape(shown.metric.unit)}"
        title += f' <span class="note">{escape(shown.key)}</span>'
        parts.append(f'<div class="case"><p>{title}</p>{_strip(strip, answers)}</div>')
    note = f'<p class="note">Ranked by the answers of {escape(method)}; suites take turns, no case comes twice.</p>'
    if not parts:
        return ""
    return f'{note}<div class="cases">{"".join(parts)}</div>{looks_by_group(report, method, left)}'


def _size(strip: Strip, answers: Sequence[str]) -> int:
    pictures = [
        strip.identity,
        strip.attribute,
        strip.truth or b"",
        *(strip.swapped.get(name, b"") for name in answers),
    ]
    return sum(map(len, pictures))


def _strip(strip: Strip, answers: Sequence[str]) -> str:
    pictures = [_picture("identity", strip.identity), _picture("attribute", strip.attribute)]
    pictures += [_picture(name, strip.swapped.get(name)) for name in answers]
    pictures += [] if strip.truth is None else [_picture("truth", strip.truth)]
    return f'<div class="strip">{"".join(pictures)}</div>'


def _picture(name: str, jpeg: bytes | None) -> str:
    if jpeg is None:
        return f'<figure><div class="none">no answer</div><figcaption>{escape(name)}</figcaption></figure>'
    image = f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}">'
    return f"<figure>{image}<figcaption>{escape(name)}</figcaption></figure>"


def _failures(report: Report) -> str:
    items = []
    for name, result in report.methods.items():
        count = int(result.failed.sum())
        if count:
            keys = [report.keys[row] for row in np.flatnonzero(result.failed) if row < len(report.keys)]
            more = f" and {len(keys) - MOST_FAILURES} more" if len(keys) > MOST_FAILURES else ""
            listed = ", ".join(map(escape, keys[:MOST_FAILURES]))
            items.append(f"<li><b>{escape(name)}</b>: {count} of {report.of}. <span>{listed}{more}</span></li>")
    if not items:
        return "<p>None.</p>"
    answers = [one.failed for one in report.methods.values() if one.kind != "ceiling"]
    common = int(np.all(answers, axis=0).sum()) if len(answers) > 1 else 0
    note = f"{_counted(common, 'case')} failed by all but the right answer."
    return f'<ul class="plain">{"".join(items)}</ul>' + (f'<p class="note">{note}</p>' if common else "")


def _note(lines: Sequence[str]) -> str:
    return "".join(f'<p class="note">{escape(line)}</p>' for line in lines)


def _clips(report: Report) -> str:
    if report.clips is None:
        return ""
    clips = report.clips
    rows_of = "".join(_metric_rows(clips, [clips.metrics[n] for n in names if clips.measured(n)], suite, medians=True)
                      for suite, names in clips.suites.items())  # fmt: skip
    about = (
        f"{_counted(clips.of, 'clip')} of {escape(clips.name)}; protocol {escape(clips.protocol)}. Means over clips."
    )
    return f'<p class="note">{about}</p>' + _table(clips, rows_of)


def _left_out(report: Report) -> str:
    lines = [*report.left_out, *(report.clips.left_out if report.clips else ())]
    if not lines:
        return "<p>Nothing of the protocol was left out.</p>"
    return f'<ul class="plain">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


def _details(report: Report) -> str:
    body = "".join(_metric_rows(report, [report.metrics[n] for n in names if report.measured(n)], suite, medians=True)
                   for suite, names in report.suites.items())  # fmt: skip
    return f"<details><summary>Every metric, means, intervals and medians</summary>{_table(report, body)}</details>"


def _protocol(report: Report) -> str:
    networks = "".join(
        f"<tr><th>{escape(one.name)}</th><td>{escape(one.role)}</td>"
        f"<td>{escape(one.file or 'handed in, not known')}</td><td><code>{escape(one.sha256[:16])}</code></td></tr>"
        for one in report.networks
    )
    facts = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in {**report.set_facts, **report.made}.items()
        if value
    )
    return (
        "<p>Every case is put to every method. Intervals resample the people who are replaced, 2000 times. A face "
        "that is not found in an answer costs the worst value of every metric that needs one. Only cases in whose "
        "attribute picture our networks find no face count for nobody; how many is said under Not measured.</p>"
        f'<h3>Networks that looked</h3><div class="scroll"><table class="facts"><tbody>{networks}</tbody></table></div>'
        f'<h3>Set and machine</h3><div class="scroll"><table class="facts"><tbody>{facts}</tbody></table></div>'
    )
