"""Histograms, bars and dots as inline SVG: no script, sharp at any width, readable without colour.

Counts are whole numbers, ticks are round and hold 0 where it is in view; a lag's chart marks 0 and
a band of one frame (40 ms) around it; a setting's threshold is a dashed line.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from manifests.numbers import number, short

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 420, 210, 40, 12, 28, 18
INNER_WIDTH, INNER_HEIGHT = WIDTH - LEFT - RIGHT, HEIGHT - BOTTOM - TOP
NUM_TICKS, FRAME_MS = 6, 40.0


def histogram(
    values: Sequence[float],
    step: float,
    unit: str,
    title: str,
    low: float | None = None,
    high: float | None = None,
    *,
    band: float | None = None,
    limits: Sequence[float] = (),
) -> str:
    """Counts of `values` in bins of width `step`, whose centres are multiples of `step`.

    Values beyond `low`/`high` are counted in the outermost bins, which are marked so. `band`: 0 is
    marked, and plus and minus this around it. `limits`: thresholds, drawn where they are in view.
    """
    if not values:
        return f'<p class="none">{html.escape(title)}: no values</p>'
    bins = [round(v / step) for v in values]
    near = [round(x / step) for x in limits]
    first = min(bins + near) if low is None else round(low / step)
    last = max(bins + near) if high is None else round(high / step)
    counts = [0] * (max(last, first) - first + 1)
    for index in bins:
        counts[min(max(index, first), last) - first] += 1
    each = INNER_WIDTH / len(counts)

    def x_of(value: float) -> float:
        return LEFT + (value / step - first + 0.5) * each

    parts = _band(band, x_of) + _sides(max(counts))
    for i, count in enumerate(counts):
        if count:
            height = max(1.5, INNER_HEIGHT * count / _top(max(counts)))
            parts.append(
                f"<rect x='{LEFT + i * each + 0.5:.1f}' y='{TOP + INNER_HEIGHT - height:.1f}' "
                f"width='{max(each - 1, 0.8):.1f}' height='{height:.1f}'>"
                f"<title>{_number((first + i) * step)}: {count}</title></rect>"
            )
    span = (first * step, last * step)
    parts += _ticks(span, x_of) + _zero(band, x_of) + _limits(limits, span, x_of)
    note = " Outermost bins hold all beyond." if any(b < first or b > last for b in bins) else ""
    if band:
        note += f" Shaded: within {band:g} {unit} of 0."
    if limits:
        note += f" Dashed: threshold {', '.join(_number(x) for x in limits)} {unit}."
    about = f"{title} ({unit}, bins of {_number(step)}), n = {len(bins)}."
    return figure(about + note, title, parts)


def bars(pairs: Sequence[tuple[str, float]], title: str, unit: str = "") -> str:
    """A named horizontal bar per pair, as an HTML table that a screen reader can read."""
    if not pairs:
        return f'<p class="none">{html.escape(title)}: none</p>'
    top = max(value for _, value in pairs) or 1
    rows = "".join(
        f"<tr><th scope='row'>{html.escape(name)}</th>"
        f"<td><i style='width:{100 * value / top:.1f}%'></i></td>"
        f"<td class='n'>{_number(value)}{html.escape(unit and ' ' + unit)}</td></tr>"
        for name, value in pairs
    )
    return f"<table class='bars'><caption>{html.escape(title)}</caption>{rows}</table>"


def scatter(
    points: Sequence[tuple[float, float]], across: str, up: str, band: float | None = None
) -> str:
    """Dots of (x, y in 0 to 1); x runs over what is there, at least from -100 to 100, y from the
    tenth below the lowest to 1."""
    if not points:
        return f'<p class="none">{html.escape(up)}: no values</p>'
    low = min(-100.0, *(x for x, _ in points)) * 1.05
    high = max(100.0, *(x for x, _ in points)) * 1.05

    floor = min(0.9, math.floor(10 * min(y for _, y in points)) / 10)
    step = round_step(1 - floor, 5)

    def x_of(value: float) -> float:
        return LEFT + INNER_WIDTH * (value - low) / (high - low)

    def y_of(value: float) -> float:
        return TOP + INNER_HEIGHT * (1 - value) / (1 - floor)

    parts = _band(band, x_of)
    for k in range(math.ceil(floor / step - 1e-9), math.floor(1 / step + 1e-9) + 1):
        parts += _side(y_of(k * step), _number(k * step))
    parts += _ticks((low, high), x_of) + _zero(band, x_of)
    parts += [
        f"<circle cx='{x_of(x):.1f}' cy='{y_of(y):.1f}' r='4'>"
        f"<title>{_number(round(x))}: {y:.2f}</title></circle>"
        for x, y in points
    ]
    title = f"{up} over {across}"
    return figure(f"{title}, n = {len(points)}.", title, parts)


def figure(caption: str, title: str, parts: Sequence[str]) -> str:
    """The parts of a drawing of WIDTH x HEIGHT below their caption."""
    return (
        f"<figure><figcaption>{html.escape(caption)}</figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{html.escape(title)}'>"
        f"{''.join(parts)}</svg></figure>"
    )


def round_step(span: float, most: int = NUM_TICKS) -> float:
    """The smallest 1, 2 or 5 times a power of ten of which `most` cover `span`."""
    rough = max(span, 1e-9) / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))


def _top(count: int) -> int:
    step = max(1, round(round_step(count, 3)))
    return step * math.ceil(count / step)


def _sides(count: int) -> list[str]:
    top = _top(count)
    step = max(1, round(round_step(count, 3)))
    return [
        part
        for n in range(0, top + 1, step)
        for part in _side(TOP + INNER_HEIGHT * (1 - n / top), str(n))
    ]


def _side(y: float, label: str) -> list[str]:
    return [
        f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{label}</text>",
        f"<line x1='{LEFT}' x2='{WIDTH - RIGHT}' y1='{y:.1f}' y2='{y:.1f}'/>",
    ]


def _ticks(span: tuple[float, float], x_of) -> list[str]:
    step = round_step(span[1] - span[0])
    marks = range(math.ceil(span[0] / step - 1e-9), math.floor(span[1] / step + 1e-9) + 1)
    return [
        f"<text x='{x_of(k * step):.1f}' y='{HEIGHT - 8}' text-anchor='middle'>"
        f"{_number(k * step)}</text>"
        for k in marks
    ]


def _band(band: float | None, x_of) -> list[str]:
    if not band:
        return []
    left, right = x_of(-band), x_of(band)
    return [
        f"<rect class='band' x='{left:.1f}' y='{TOP}' width='{right - left:.1f}' "
        f"height='{INNER_HEIGHT}'/>"
    ]


def _zero(band: float | None, x_of) -> list[str]:
    if not band:
        return []
    at = f"{x_of(0.0):.1f}"
    return [f"<line class='zero' x1='{at}' x2='{at}' y1='{TOP - 8}' y2='{TOP + INNER_HEIGHT}'/>"]


def _limits(limits: Sequence[float], span: tuple[float, float], x_of) -> list[str]:
    return [
        f"<line class='limit' x1='{x_of(x):.1f}' x2='{x_of(x):.1f}' y1='{TOP - 4}' "
        f"y2='{TOP + INNER_HEIGHT}'/><text class='limits' x='{x_of(x):.1f}' y='{TOP - 6}' "
        f"text-anchor='middle'>{_number(x)}</text>"
        for x in limits
        if span[0] <= x <= span[1]
    ]


def _number(value: float) -> str:
    return number(value) if abs(value - round(value)) < 1e-9 else short(value)
