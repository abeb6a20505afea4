"""The diversity report as one HTML page that needs nothing else: no script, no other file, plots as inline SVG."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from typing import Any

import cv2
import numpy as np

from facegraft.core.image_bytes import encode_frame
from facegraft.core.types import Frame
from facegraft.data.skin_tone import MONK_SWATCHES

THUMBNAIL_SIDE = 64
BAR, LOW, GREY = "#3b6ea5", "#d9822b", "#5b6470"
_WIDTH, _LABEL, _ROW = 460, 130, 22
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#1d2430;background:#fff;max-width:1040px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem;margin:0 0 .2rem}h2{font-size:1.15rem;margin:2.2rem 0 .6rem;border-bottom:1px solid #d7dce2}
h3{font-size:1rem;margin:0 0 .3rem}p{margin:.3rem 0}.note{color:#5b6470;font-size:.87rem}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(460px,1fr));gap:1.6rem 2rem}
.tiles{display:flex;flex-wrap:wrap;gap:1rem;margin:1rem 0}
.tile{background:#f2f5f8;border-radius:6px;padding:.5rem .9rem}
.tile b{display:block;font-size:1.3rem}.missing li{margin:.1rem 0}
.warn{background:#fdf1e3;border-left:4px solid #d9822b;
padding:.4rem .8rem}table{border-collapse:collapse;font-size:.9rem}td,th{padding:.15rem .8rem .15rem 0;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}
svg{max-width:100%;height:auto}
svg text{font:12px system-ui,sans-serif}
.faces img{width:64px;height:64px;margin:1px}.faces td{padding:.1rem .6rem .1rem 0}
"""


def page(facts: dict[str, Any], thumbnails: dict[tuple[str, int], list[str]]) -> str:
    """The whole page.

    Args:
        facts: As `report.write_report` returns them.
        thumbnails: (histogram, bin) -> pictures as data addresses.
    """
    name = escape(str(facts["name"]))
    histograms = "".join(
        _histogram(histogram, float(facts["min_share"]), thumbnails) for histogram in facts["histograms"]
    )
    return (
        f'<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>{name}: what it holds</title>'
        f"<style>{_STYLE}</style>\n<h1>{name}</h1>\n{_summary(facts)}\n{_missing(facts)}\n"
        f"<h2>Head pose</h2>{_pose(facts['pose'])}\n"
        f'<h2>What the pictures show</h2><div class="grid">{histograms}</div>\n'
        f'<h2>People, rights, splits</h2><div class="grid">{_tables(facts)}</div>\n'
        '<p class="note">Expression, light, skin tone and sharpness are measured from pixels and landmarks; they sort '
        "pictures and describe no person. Light confounds skin tone.</p></html>\n"
    )


def bars(
    labels: Sequence[str], counts: Sequence[int], *, low: float | int = 0, colours: Sequence[str] | None = None
) -> str:
    """Horizontal bars with share and count as SVG; those with a share under `low` in another colour."""
    total, top = max(sum(counts), 1), max([*counts, 1])
    room = _WIDTH - _LABEL - 110
    parts = []
    for number, (label, count) in enumerate(zip(labels, counts, strict=True)):
        y = number * _ROW
        fill = colours[number] if colours else (LOW if count < low * total else BAR)
        text = LOW if count < low * total else GREY
        length = round(room * count / top, 1)
        parts.append(
            f'<text x="{_LABEL - 8}" y="{y + 15}" text-anchor="end" fill="#1d2430">{escape(label)}</text>'
            f'<rect x="{_LABEL}" y="{y + 3}" width="{length}" height="{_ROW - 6}" fill="{fill}" stroke="#9aa3ad" '
            f'stroke-width="{0.5 if colours else 0}"/>'
            f'<text x="{_LABEL + length + 6}" y="{y + 15}" fill="{text}">{count / total:.1%} ({count})</text>'
        )
    return _svg(_WIDTH, len(labels) * _ROW, "".join(parts))


def heat_map(columns: Sequence[str], rows: Sequence[str], counts: Sequence[Sequence[int]]) -> str:
    """Cells shaded by the logarithm of their count, as SVG; rows from the bottom up."""
    cell_w, cell_h, left, head = 84, 30, 90, 20
    top = np.log1p(max([*(count for row in counts for count in row), 1]))
    parts = []
    for row, (label, values) in enumerate(zip(rows, counts, strict=True)):
        y = (len(rows) - 1 - row) * cell_h
        parts.append(f'<text x="{left - 8}" y="{y + 19}" text-anchor="end" fill="#1d2430">{escape(label)}</text>')
        for column, count in enumerate(values):
            shade = float(np.log1p(count) / top)
            red, green, blue = (round(255 + (end - 255) * shade) for end in (0x2B, 0x5A, 0x8C))
            ink = "#fff" if shade > 0.55 else "#1d2430"
            x = left + column * cell_w
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell_w - 2}" height="{cell_h - 2}" fill="rgb({red},{green},{blue})" '
                f'stroke="#d7dce2"/><text x="{x + cell_w / 2 - 1}" y="{y + 19}" text-anchor="middle" fill="{ink}">'
                f"{count}</text>"
            )
    for column, label in enumerate(columns):
        x_middle, base = left + column * cell_w + cell_w / 2 - 1, len(rows) * cell_h + 14
        parts.append(f'<text x="{x_middle}" y="{base}" text-anchor="middle" fill="#1d2430">{escape(label)}</text>')
    return _svg(left + len(columns) * cell_w, len(rows) * cell_h + head, "".join(parts))


def thumbnail_uri(frame: Frame) -> str:
    """A small JPEG as a data address."""
    small = cv2.resize(frame, (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return "data:image/jpeg;base64," + base64.b64encode(encode_frame(np.asarray(small), 85)).decode()


def _svg(width: float | int, height: float | int, content: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
        f'height="{height:g}" role="img">{content}</svg>'
    )


def _summary(facts: dict[str, Any]) -> str:
    tiles = {
        "pictures": facts["items"],
        "people": facts["people"],
        "pictures of nobody known": facts["without_person"],
        "synthetic": facts["synthetic"],
        "licences": len(facts["licences"]),
    }
    unknown = facts["licences"].get("unknown", 0)
    text = "".join(f'<div class="tile"><b>{count:,}</b>{label}</div>' for label, count in tiles.items())
    text = f'<div class="tiles">{text}</div>'
    if facts["measured"] < facts["items"]:
        text += f'<p class="note">Measured on {facts["measured"]:,} of them, evenly chosen.</p>'
    if unknown:
        text += f'<p class="warn">{unknown:,} pictures have no known licence: publish nothing trained on them.</p>'
    return text


def _missing(facts: dict[str, Any]) -> str:
    lines = "".join(f"<li>{escape(line)}</li>" for line in facts["missing"])
    body = f'<ul class="missing">{lines}</ul>' if lines else "<p>Nothing that was asked for.</p>"
    return (
        f"<h2>What is missing</h2>{body}"
        f'<p class="note">Bins with fewer than {facts["min_share"]:.1%} of the pictures.</p>'
    )


def _pose(pose: dict[str, Any]) -> str:
    return heat_map(pose["yaw"], pose["pitch"], pose["counts"]) + (
        '<p class="note">Columns: yaw, positive looks to the right of the picture. Rows: pitch, positive looks up. '
        "Number of pictures; shade by its logarithm.</p>"
    )


def _histogram(histogram: dict[str, Any], low: float, thumbnails: dict[tuple[str, int], list[str]]) -> str:
    swatches = list(MONK_SWATCHES) if histogram["name"] == "monk" else None
    if histogram["known"]:
        body = bars(histogram["labels"], histogram["counts"], low=low, colours=swatches)
    else:
        body = "<p>Not known of any picture.</p>"
    rows = "".join(
        f"<tr><td>{escape(label)}</td><td>{''.join(map(_image, thumbnails[histogram['name'], number]))}</td></tr>"
        for number, label in enumerate(histogram["labels"])
        if (histogram["name"], number) in thumbnails
    )
    faces = (
        f'<details><summary class="note">samples</summary><table class="faces">{rows}</table></details>' if rows else ""
    )
    note = escape(histogram["note"])
    known = f" Known of {histogram['known']:,}."
    return f'<div><h3>{escape(histogram["title"])}</h3>{body}<p class="note">{note}{known}</p>{faces}</div>'


def _image(uri: str) -> str:
    return f'<img alt="" src="{uri}">'


def _tables(facts: dict[str, Any]) -> str:
    people = facts["pictures_per_person"]
    charts = f"<div><h3>Pictures per person</h3>{bars(list(people), list(people.values()))}</div>"
    names = {"licences": "Licence", "consents": "Consent", "splits": "Split", "kinds": "Kind"}
    return charts + "".join(
        f"<div><h3>{title}</h3><table>{_rows(facts[name])}</table></div>" for name, title in names.items()
    )


def _rows(counted: dict[str, int], most: int = 30) -> str:
    shown = list(counted.items())[:most]
    rest = sum(counted.values()) - sum(count for _, count in shown)
    shown += [("all others", rest)] if rest else []
    return "".join(f'<tr><td>{escape(text)}</td><td class="n">{count:,}</td></tr>' for text, count in shown)
