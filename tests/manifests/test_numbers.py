"""No number is told as -0, whoever writes it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from manifests.numbers import counted, number, short, signed_ms

ROOT = Path(__file__).resolve().parents[2]
SIGNED = re.compile(r"""(:\+[\d.]*[defg]?\})|(%\+[\d.]*[dfg])""")
"""A format that writes a sign by itself, and so -0."""


@pytest.mark.parametrize("value", [0.0, -0.0, 0.4, -0.4, -1e-12])
def test_what_is_written_as_zero_has_no_sign(value):
    assert number(value) == number(value, signed=True) == "0"
    assert signed_ms(value) == "0 ms"


def test_signs_and_digits():
    assert [number(x, 1, True) for x in (3.25, -3.25, 0.04)] == ["+3.2", "-3.2", "0.0"]
    assert [signed_ms(x) for x in (40.4, -8.0, 0.6)] == ["+40 ms", "-8 ms", "+1 ms"]
    assert [short(x) for x in (-0.0, 12.345, -0.001, -4.0)] == ["0", "12.3", "-0.001", "-4"]


@pytest.mark.parametrize("package", ["manifests", "stages", "pipeline", "training", "evaluation"])
def test_signed_numbers_are_written_in_one_place(package):
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for kind in ("*.py", "*.html")
        for path in sorted((ROOT / package).rglob(kind))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if SIGNED.search(line)
    ]
    assert not found, "use manifests.numbers: " + "; ".join(found)


def test_nouns_are_counted():
    assert counted(1, "clip") == "1 clip" and counted(0, "clip") == "0 clips"
    assert counted(1, "pair", are=True) == "1 pair is"
    assert counted(2, "pair", are=True) == "2 pairs are"
