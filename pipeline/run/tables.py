"""Rows as text: a table where it fits, else a block a row."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from manifests.numbers import short


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """Rows as aligned text; numbers to the right, None as a dash."""
    cells = [[_text(row.get(c)) for c in columns] for row in rows]
    widths = [
        max(len(c), *(len(r[i]) for r in cells)) if cells else len(c) for i, c in enumerate(columns)
    ]
    numeric = [all(isinstance(r.get(c), (int, float, type(None))) for r in rows) for c in columns]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            v.rjust(w) if n else v.ljust(w) for v, w, n in zip(values, widths, numeric, strict=True)
        ).rstrip()

    return "\n".join([line(columns), line(["-" * w for w in widths]), *map(line, cells)])


def blocks(rows: Sequence[dict[str, Any]], columns: Sequence[str], width: int) -> str:
    """Each row's first column on a line of its own, what else it has below, in `width` letters;
    what it lacks is left out."""
    lines = []
    for row in rows:
        told = [(c, row.get(c)) for c in columns[1:]]
        words = "; ".join(f"{c}: {_text(v)}" for c, v in told if v is not None and v != "")
        lines += _wrapped(_text(row.get(columns[0])), width, "")
        lines += _wrapped(words, width, "  ")
    return "\n".join(lines)


def fitting(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """`table`; `blocks` at a terminal that is narrower than the table."""
    text = table(rows, columns)
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    widest = max(map(len, text.splitlines()))
    return text if widest <= width else blocks(rows, columns, width)


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return short(value) if isinstance(value, float) else str(value)
