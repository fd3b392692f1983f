"""Histograms and bars as inline SVG: no script, sharp at any width, readable without colour."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 220, 44, 34, 12


def histogram(
    values: Sequence[float],
    step: float,
    unit: str,
    title: str,
    low: float | None = None,
    high: float | None = None,
) -> str:
    """Counts of `values` in bins of width `step`, whose centres are multiples of `step`.

    Values beyond `low`/`high` are counted in the outermost bins, which are marked so.
    """
    if not values:
        return f'<p class="none">{html.escape(title)}: no values</p>'
    bins = [round(v / step) for v in values]
    first = min(bins) if low is None else round(low / step)
    last = max(bins) if high is None else round(high / step)
    last = max(last, first)
    counts = [0] * (last - first + 1)
    for index in bins:
        counts[min(max(index, first), last) - first] += 1
    ticks = [(i, _number((first + i) * step)) for i in range(len(counts))]
    beyond = any(b < first or b > last for b in bins)
    return _bars(counts, ticks, f"{title} ({unit}, bins of {_number(step)})", beyond)


def bars(pairs: Sequence[tuple[str, float]], title: str, unit: str = "") -> str:
    """A named horizontal bar per pair, as an HTML table that a screen reader can read."""
    if not pairs:
        return f'<p class="none">{html.escape(title)}: none</p>'
    top = max(value for _, value in pairs) or 1
    rows = "".join(
        f"<tr><th>{html.escape(name)}</th><td><i style='width:{100 * value / top:.1f}%'></i></td>"
        f"<td class='n'>{_number(value)}{html.escape(unit and ' ' + unit)}</td></tr>"
        for name, value in pairs
    )
    return f"<table class='bars'><caption>{html.escape(title)}</caption>{rows}</table>"


def _bars(counts: Sequence[int], ticks: Sequence[tuple[int, str]], title: str, beyond: bool) -> str:
    inner_width, inner_height = WIDTH - LEFT - 8, HEIGHT - BOTTOM - TOP
    top = max(counts) or 1
    each = inner_width / len(counts)
    parts = []
    for i, count in enumerate(counts):
        height = inner_height * count / top
        parts.append(
            f"<rect x='{LEFT + i * each + 0.5:.1f}' y='{TOP + inner_height - height:.1f}' "
            f"width='{max(each - 1, 0.5):.1f}' height='{height:.1f}'>"
            f"<title>{ticks[i][1]}: {count}</title></rect>"
        )
    every = max(1, math.ceil(len(counts) / 9))
    for i, label in ticks[::every]:
        parts.append(
            f"<text x='{LEFT + (i + 0.5) * each:.1f}' y='{HEIGHT - BOTTOM + 18}' "
            f"text-anchor='middle'>{label}</text>"
        )
    for share in (0, 0.5, 1):
        y = TOP + inner_height * (1 - share)
        parts.append(
            f"<text x='{LEFT - 6}' y='{y + 4:.1f}' text-anchor='end'>{_number(top * share)}"
            f"</text><line x1='{LEFT}' x2='{WIDTH - 8}' y1='{y:.1f}' y2='{y:.1f}'/>"
        )
    note = " Outermost bins hold all beyond." if beyond else ""
    return (
        f"<figure><figcaption>{html.escape(title)}, n = {sum(counts)}.{note}</figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{html.escape(title)}'>"
        f"{''.join(parts)}</svg></figure>"
    )


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value - round(value)) < 1e-9 else f"{value:.3g}"


def scatter(points: Sequence[tuple[float, float]], across: str, up: str) -> str:
    """Dots of (x, y in 0 to 1); x runs over what is there, at least from -100 to 100."""
    if not points:
        return f'<p class="none">{html.escape(up)}: no values</p>'
    low = min(-100.0, *(x for x, _ in points))
    high = max(100.0, *(x for x, _ in points))
    inner_width, inner_height = WIDTH - LEFT - 8, HEIGHT - BOTTOM - TOP
    dots = "".join(
        f"<circle cx='{LEFT + inner_width * (x - low) / (high - low):.1f}' "
        f"cy='{TOP + inner_height * (1 - y):.1f}' r='2.5'><title>{x:.0f}: {y:.2f}</title></circle>"
        for x, y in points
    )
    labels = "".join(
        f"<text x='{LEFT + inner_width * (x - low) / (high - low):.1f}' "
        f"y='{HEIGHT - BOTTOM + 18}' text-anchor='middle'>{_number(round(x))}</text>"
        for x in (low, 0.0, high)
    )
    sides = "".join(
        f"<text x='{LEFT - 6}' y='{TOP + inner_height * (1 - y) + 4:.1f}' text-anchor='end'>{y:g}"
        f"</text><line x1='{LEFT}' x2='{WIDTH - 8}' y1='{TOP + inner_height * (1 - y):.1f}' "
        f"y2='{TOP + inner_height * (1 - y):.1f}'/>"
        for y in (0, 0.5, 1)
    )
    title = f"{up} over {across}"
    return (
        f"<figure><figcaption>{html.escape(title)}, n = {len(points)}.</figcaption>"
        f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role='img' aria-label='{html.escape(title)}'>"
        f"{sides}{labels}{dots}</svg></figure>"
    )
