"""Tables as a page carries them: columns of JSON that `tables.js` draws, sorts and filters.

The first rows stand in the HTML too, for a browser without scripts. Texts never close the element
that holds them, and an address becomes a link only where it begins with http, https or file.
"""

from __future__ import annotations

import base64
import html
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from manifests.numbers import number

NUM_WRITTEN, NUM_UNBROKEN, PACK_ABOVE_BYTES = 20, 24, 100_000
WORTH_TOOLS = 8
"""Fewest rows for which a filter is shown, and on a phone the heads to sort by."""
LINKED = ("http://", "https://", "file://")


@dataclass(frozen=True)
class Column:
    """A column: what it is called (with its unit), and how its numbers are written."""

    name: str
    kind: str = "text"
    """text | number | link"""
    digits: int = 0
    signed: bool = False


@dataclass(frozen=True)
class Link:
    """A text that leads somewhere: `base` is shared by many cells, `after` is this one's."""

    text: str
    base: str = ""
    after: str = ""


Cell: TypeAlias = str | float | Link | None


def table(
    columns: Sequence[Column], rows: Sequence[Sequence[Cell]], label: str, empty: str = "None."
) -> str:
    """A table that sorts and filters, as HTML."""
    if not rows:
        return f'<p class="none">{html.escape(empty)}</p>'
    heads = "".join(
        f"<th scope='col' class='{'n' if c.kind == 'number' else ''}'>"
        f"<button type='button'>{html.escape(c.name)}</button></th>"
        for c in columns
    )
    # On a phone, where rows are cards, the heads are there to sort by alone.
    plain = " class='plain'" if len(rows) < WORTH_TOOLS else ""
    return (
        f"<div class='sheet' data-rows='{len(rows)}'>"
        f"<div class='tools' data-from='{WORTH_TOOLS}' hidden>"
        f"<input type='search' placeholder='filter' aria-label='filter {html.escape(label)}'>"
        f"<span role='status'></span></div>"
        f"<table aria-label='{html.escape(label)}'><thead{plain}><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(_row(columns, row) for row in rows[:NUM_WRITTEN])}</tbody></table>"
        f"<button type='button' class='more' hidden>show more</button>"
        f"{_script(payload(columns, rows))}</div>"
    )


def payload(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> bytes:
    """The rows by column, as JSON."""
    return json.dumps(
        [_column(c, [row[i] for row in rows]) for i, c in enumerate(columns)],
        separators=(",", ":"),
        ensure_ascii=False,
    ).encode("utf-8", "replace")


def packed(content: bytes) -> str:
    """Deflated, base64."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def _script(content: bytes) -> str:
    if len(content) > PACK_ABOVE_BYTES:
        return f"<script type='application/json' data-packed='1'>{packed(content)}</script>"
    safe = content.decode().replace("<", "\\u003c").replace("\u2028", "\\u2028")
    return f"<script type='application/json'>{safe}</script>"


def _column(column: Column, cells: Sequence[Cell]) -> dict[str, Any]:
    about: dict[str, Any] = {"name": column.name, "kind": column.kind}
    if column.kind == "link":
        links = [cell if isinstance(cell, Link) else Link(str(cell or "")) for cell in cells]
        which = {key: i for i, key in enumerate(dict.fromkeys((x.text, _safe(x)) for x in links))}
        return about | {
            "texts": [text for text, _ in which],
            "hrefs": [base for _, base in which],
            "which": [which[x.text, _safe(x)] for x in links],
            "after": [x.after for x in links],
        }
    if column.kind == "number":
        about |= {"digits": column.digits, "signed": column.signed}
        values = [None if x is None else round(float(x), column.digits) for x in cells]  # type: ignore[arg-type]
        whole = [None if x is None else int(x) for x in values]
        return about | {"values": whole if column.digits == 0 else values}
    return about | {"values": [None if x is None else str(x) for x in cells]}


def _safe(link: Link) -> str:
    return link.base if link.base.startswith(LINKED) else ""


def _row(columns: Sequence[Column], row: Sequence[Cell]) -> str:
    cells = []
    for column, cell in zip(columns, row, strict=True):
        text = _text(column, cell)
        name = _class(column, text)
        kind, text = f" class='{name}'" if name else "", html.escape(text)
        if isinstance(cell, Link) and _safe(cell):
            text = f"<a href='{html.escape(_safe(cell) + cell.after)}'>{text}</a>"
        inner = f"<span>{text}</span>" if text else ""
        cells.append(f"<td{kind} data-name='{html.escape(column.name)}'>{inner}</td>")
    return f"<tr>{''.join(cells)}</tr>"


def _class(column: Column, text: str) -> str:
    """`n`: a number; `s`: short; `id`: short and of one piece, which no line breaks."""
    if column.kind == "number":
        return "n"
    if len(text) > NUM_UNBROKEN:
        return ""
    return "s" if " " in text else "s id"


def _text(column: Column, cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, Link):
        return cell.text
    if column.kind == "number":
        return number(float(cell), column.digits, column.signed)
    return str(cell)
