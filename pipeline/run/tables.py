"""Rows as text: a table where it fits, else a block a row."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence
from typing import Any, TextIO

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


def with_notes_below(rows: Sequence[dict[str, Any]], columns: Sequence[str], width: int) -> str:
    """The table without its last column, which stands below a row, where it says anything that
    the row before did not say."""
    head, rule, *lines = table(rows, columns[:-1]).splitlines()
    told, before = [head, rule], None
    for row, line in zip(rows, lines, strict=True):
        note = row.get(columns[-1])
        told.append(line)
        told += _wrapped(_text(note), width, "  ") if note and note != before else []
        before = note
    return "\n".join(told)


def fitting(rows: Sequence[dict[str, Any]], columns: Sequence[str]) -> str:
    """`table`; at a terminal that is narrower, the last column below the rows, or `blocks`."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if width is None or _width(table(rows, columns)) <= width:
        return table(rows, columns)
    if _width(table(rows, columns[:-1])) <= width:
        return with_notes_below(rows, columns, width)
    return blocks(rows, columns, width)


def _width(text: str) -> int:
    return max(map(len, text.splitlines()))


def fitting_line(text: str, stream: TextIO) -> str:
    """A sentence, broken between words where `stream` is a terminal that is narrower."""
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    indent = " " * (len(text) - len(text.lstrip()) + 2)
    return "\n".join(
        textwrap.wrap(
            text,
            width,
            subsequent_indent=indent,
            break_on_hyphens=False,
            break_long_words=False,
            drop_whitespace=True,
        )
        or [text]
    )


def _wrapped(text: str, width: int, indent: str) -> list[str]:
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return short(value) if isinstance(value, float) else str(value)
