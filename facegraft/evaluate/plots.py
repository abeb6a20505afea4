"""Small plots as inline SVG: a plane with error bars, and rows of figures with their intervals.

Colours are classes ("m0", "m1" ... for methods, "ink", "rule"; text without one is grey), so that the page decides them
for light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from facegraft.evaluate.protocol import Metric
from facegraft.evaluate.stats import Figure

Number = float | int
WIDTH = 460
_PLANE_HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 330, 56, 16, 16, 46
_ROWS_WIDTH, _NUMBERS, _LINE, _GAP = 420, 174, 15, 24
_LETTER = 7.2
"""Width of a letter of 12 pixels in a wide font."""
COLOURS = 8
"""Methods from the ninth on have them again, with hollow dots."""
_NAME = 16
"""Letters of a method's name in a row."""
NARROW = 0.0005
"""Half of an interval that counts as none: all cases gave the same."""
MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Spot:
    """A method in a plane; `colour` is its number among the methods."""

    name: str
    x: Figure
    y: Figure
    colour: int


@dataclass(frozen=True)
class Scale:
    """A stretch of numbers onto pixels; swap `start_px` and `end_px` for an axis that grows upwards."""

    low: Number
    high: Number
    start_px: Number
    end_px: Number

    def at(self, value: Number) -> float:
        return float(self.start_px + (value - self.low) / (self.high - self.low) * (self.end_px - self.start_px))


def plane(spots: Sequence[Spot], x: Metric, y: Metric) -> str:
    """Methods by two metrics, with intervals as bars; the titles say which way is better."""
    across = scale_of([spot.x for spot in spots], _LEFT, WIDTH - _RIGHT)
    up = scale_of([spot.y for spot in spots], _PLANE_HEIGHT - _BOTTOM, _TOP)
    bottom = _PLANE_HEIGHT - _BOTTOM
    parts = []
    for tick, text in ticks(across):
        at = across.at(tick)
        parts.append(_line(at, _TOP, at, bottom, "rule") + _text(at, bottom + 15, text, "grey", "middle"))
    for tick, text in ticks(up):
        at = up.at(tick)
        parts.append(_line(_LEFT, at, WIDTH - _RIGHT, at, "rule") + _text(_LEFT - 6, at + 4, text, "grey", "end"))
    parts.append(_text((_LEFT + WIDTH - _RIGHT) / 2, _PLANE_HEIGHT - 8, axis_title(x, "→", "←"), "ink", "middle"))
    turned = f'transform="rotate(-90 14 {(_TOP + bottom) / 2:.1f})"'
    parts.append(_text(14, (_TOP + bottom) / 2, axis_title(y, "→", "←"), "ink", "middle", turned))
    taken = [box for spot in spots for box in _boxes(spot, across, up)]
    for spot in spots:
        at_x, at_y = across.at(spot.x.value), up.at(spot.y.value)
        colour = colour_of(spot.colour)
        if math.isfinite(spot.x.low):
            parts.append(_line(across.at(spot.x.low), at_y, across.at(spot.x.high), at_y, colour))
        if math.isfinite(spot.y.low):
            parts.append(_line(at_x, up.at(spot.y.low), at_x, up.at(spot.y.high), colour))
        parts.append(f'<circle class="{colour}" cx="{_px(at_x)}" cy="{_px(at_y)}" r="4.5"/>')
        parts.append(_label(spot.name, at_x, at_y, taken))
    return _svg(WIDTH, _PLANE_HEIGHT, "".join(parts), f"{y.name} by {x.name}")


def rows(groups: Sequence[str], methods: Sequence[tuple[str, int, Sequence[Figure]]], metric: Metric) -> str:
    """A block per group, and in it a line per method: a dot, its interval, the number.

    Args:
        groups: Names of the blocks.
        methods: Name, colour, and one figure per group; NaN where there is none.
        metric: For the title.
    """
    figures = [figure for _, _, found in methods for figure in found]
    across = scale_of(figures, 20, _ROWS_WIDTH - _NUMBERS)
    block = _LINE * len(methods) + _GAP
    digits = digits_of(figures)
    height = block * len(groups) + 22
    parts = [
        _line(across.at(tick), 0, across.at(tick), height - 18, "rule")
        + _text(across.at(tick), height - 4, text, "grey", "middle")
        for tick, text in ticks(across)
    ]
    for place, group in enumerate(groups):
        top = place * block
        of = max((found[place].of for _, _, found in methods), default=0)
        parts.append(_text(0, top + 12, f"{shortened(group, 40)}: {of} case{'' if of == 1 else 's'}", "ink", "start"))
        for number, (name, colour, found) in enumerate(methods):
            y = top + _LINE * number + 25
            parts.append(_row(found[place], name, colour_of(colour), across, y, digits))
    return _svg(_ROWS_WIDTH, height, "".join(parts), f"{metric.name} by group")


def colour_of(number: int) -> str:
    """Classes of the colour of a method, by its number among the methods."""
    return f"m{number % COLOURS}{' o' if number // COLOURS % 2 else ''}"


def scale_of(figures: Sequence[Figure], start_px: Number, end_px: Number) -> Scale:
    """A stretch that holds all figures and their intervals, with some room; 0..1 where there are none."""
    ends = [end for one in figures for end in (one.value, one.low, one.high) if math.isfinite(end)]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    room = 0.08 * (high - low) or max(0.5 * abs(high), 0.5)
    return Scale(low - room, high + room, start_px, end_px)


def ticks(scale: Scale) -> list[tuple[float, str]]:
    """Three to six round numbers within the stretch, and how they are written."""
    raw = (scale.high - scale.low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.8)
    digits = max(0, -math.floor(math.log10(step) + 1e-9) + (1 if math.isclose(step, 2.5 * power) else 0))
    first = math.ceil(scale.low / step - 1e-9)
    last = math.floor(scale.high / step + 1e-9)
    return [(number * step, signed(f"{number * step:.{digits}f}")) for number in range(first, last + 1)]


def written(figure: Figure, digits: int | None = None) -> tuple[str, str]:
    """The value and its interval, "-" and "" where there is none; `digits_of` says how many digits stand."""
    if not math.isfinite(figure.value):
        return "-", ""
    if digits is None:
        digits = digits_of([figure])
    ends = [figure.value, figure.low, figure.high]
    value, low, high = (signed(f"{end:.{digits}f}") for end in ends)
    return value, f"{low} … {high}" if math.isfinite(figure.low) else ""


def digits_of(figures: Sequence[Figure]) -> int:
    """Digits after the point that the narrowest interval leaves standing, 0..3; without one, three digits in all."""
    halves = [(one.high - one.low) / 2 for one in figures]
    wide = [half for half in halves if half >= NARROW]
    if wide:
        return min(3, max(0, math.ceil(-math.log10(min(wide)))))
    largest = max((abs(one.value) for one in figures if math.isfinite(one.value)), default=0.0)
    return 3 if largest < 1 else 2 if largest < 10 else 1 if largest < 100 else 0


def signed(number: str) -> str:
    """With a true minus sign, and no minus before a zero."""
    bare = number.lstrip("-")
    negative = number.startswith("-") and any(digit in bare for digit in "123456789")
    return f"{MINUS}{bare}" if negative else bare


def shown_name(metric: Metric) -> str:
    """Its name in words, without the unit, which stands beside it."""
    return metric.name.removesuffix(f"_{metric.unit}").replace("_", " ")


def axis_title(metric: Metric, high: str, low: str) -> str:
    """Name, unit and the better direction."""
    unit = f", {metric.unit}" if metric.unit else ""
    name = f"{shown_name(metric)}{unit}"
    return f"{name} (better {high})" if metric.better == "high" else f"({low} better) {name}"


def shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _row(figure: Figure, name: str, colour: str, across: Scale, y: Number, digits: int) -> str:
    if not math.isfinite(figure.value):
        return _text(_ROWS_WIDTH - _NUMBERS + 8, y + 4, "-", "grey", "start")
    bar = ""
    if math.isfinite(figure.low):
        bar = _line(across.at(figure.low), y, across.at(figure.high), y, colour)
    at = across.at(figure.value)
    short = shortened(name, _NAME)
    close = "/>" if short == name else f"><title>{escape(name)}</title></circle>"
    dot = f'<circle class="{colour}" cx="{_px(at)}" cy="{_px(y)}" r="4"{close}'
    text = _text(_ROWS_WIDTH - _NUMBERS + 8, y + 4, f"{written(figure, digits)[0]} {short}", "grey", "start")
    return bar + dot + text


def _label(name: str, x: Number, y: Number, taken: list[tuple[float, float, float, float]]) -> str:
    """The name beside its spot, or away from it on a line, where nothing is yet; boxes of what is there grow."""
    wide = len(name) * _LETTER
    places = [(x + 8, y + 4), (x - 8 - wide, y + 4), (x - wide / 2, y - 10), (x - wide / 2, y + 20)]
    places += [
        (left, y + 4 + away * side)
        for away in range(14, 240, 14)
        for side in (-1, 1)
        for left in (x + 8, x - 8 - wide, x - wide / 2, x + 40, x - 40 - wide)
    ]
    fits = [
        (left, base)
        for left, base in places
        if left > _LEFT and left + wide < WIDTH - 2 and _TOP < base < _PLANE_HEIGHT - _BOTTOM
    ]
    free = [
        (left, base)
        for left, base in fits
        if not any(_meet((left, base - 11, left + wide, base + 3), other) for other in taken)
    ]
    left, base = (free or fits or places)[0]
    taken.append((left, base - 11, left + wide, base + 3))
    lead = ""
    if abs(base - 4 - y) > 20:
        lead = _line(x, y, min(max(x, left), left + wide), base + 2 if base < y else base - 10, "lead")
    return lead + _text(left, base, name, "ink", "start")


def _boxes(spot: Spot, across: Scale, up: Scale) -> list[tuple[float, float, float, float]]:
    """Where a spot and its error bars are."""
    x, y = across.at(spot.x.value), up.at(spot.y.value)
    found = [(x - 7, y - 7, x + 7, y + 7)]
    if math.isfinite(spot.x.low):
        found.append((across.at(spot.x.low), y - 2, across.at(spot.x.high), y + 2))
    if math.isfinite(spot.y.low):
        found.append((x - 2, up.at(spot.y.high), x + 2, up.at(spot.y.low)))
    return found


def _meet(first: tuple[float, float, float, float], second: tuple[float, float, float, float]) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]


def _px(at: Number) -> str:
    """A tenth of a pixel is fine enough; whole ones without the point, for a page has thousands."""
    return f"{at:.1f}".removesuffix(".0")


def _line(x1: Number, y1: Number, x2: Number, y2: Number, colour: str) -> str:
    to = f"V{_px(y2)}" if x1 == x2 else f"H{_px(x2)}" if y1 == y2 else f"L{_px(x2)} {_px(y2)}"
    return f'<path class="{colour}" d="M{_px(x1)} {_px(y1)}{to}"/>'


def _text(x: Number, y: Number, text: str, colour: str, anchor: str, more: str = "") -> str:
    anchored = "" if anchor == "start" else f' text-anchor="{anchor}"'  # SVG's own default
    classed = "" if colour == "grey" else f' class="{colour}"'  # the page's default
    return f'<text{classed} x="{_px(x)}" y="{_px(y)}"{anchored}{more and f" {more}"}>{escape(text)}</text>'


def _svg(width: int, height: int, content: str, name: str) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(name)}">{content}</svg>'
    )
