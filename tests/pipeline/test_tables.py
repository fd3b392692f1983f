"""Rows as text, on terminals of any width."""

from __future__ import annotations

import os
import sys

from pipeline.run.tables import blocks, fitting, table, with_notes_below

ROWS = [
    {"file": "a.onnx", "MB": 1.5, "licence": "code under one licence and weights under another"},
    {"file": "b.onnx", "MB": None, "licence": "MIT"},
]
COLUMNS = ["file", "MB", "licence"]


def test_a_table_aligns_numbers_to_the_right_and_tells_none_as_a_dash():
    head, rule, first, second = table(ROWS, COLUMNS).splitlines()
    assert head.startswith("file ") and set(rule) == {"-", " "}
    assert first.startswith("a.onnx  1.5  code") and second.startswith("b.onnx    -  MIT")


def test_blocks_keep_to_the_width_and_leave_out_what_a_row_lacks():
    text = blocks(ROWS, COLUMNS, 30)
    assert max(map(len, text.splitlines())) <= 30
    assert text.splitlines()[:2] == ["a.onnx", "  MB: 1.5; licence: code under"]
    assert text.splitlines()[-2:] == ["b.onnx", "  licence: MIT"]


def test_a_terminal_that_is_too_narrow_gets_notes_below_or_blocks(monkeypatch):
    whole = table(ROWS, COLUMNS)
    assert fitting(ROWS, COLUMNS) == whole  # a pipe gets every column in its place
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    def shown(columns: int) -> str:
        size = os.terminal_size((columns, 24))
        monkeypatch.setattr("shutil.get_terminal_size", lambda: size)
        return fitting(ROWS, COLUMNS)

    assert shown(200) == whole
    below = "file     MB\n------  ---\na.onnx  1.5\n  code under one licence and weights\n"
    assert shown(40) == f"{below}  under another\nb.onnx    -\n  MIT"
    assert shown(10) == blocks(ROWS, COLUMNS, 10)


def test_a_note_that_many_rows_share_stands_once():
    rows = [{"file": name, "MB": 1, "licence": "same"} for name in "ab"]
    assert with_notes_below(rows, COLUMNS, 20).count("same") == 1
