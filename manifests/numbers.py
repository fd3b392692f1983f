"""How numbers are written for people: in one place, so that none of them is `-0`."""

from __future__ import annotations


def number(value: float, digits: int = 0, signed: bool = False) -> str:
    """`value` with so many digits behind the point, with a sign if wanted; what is written as zero
    has none."""
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    return text.lstrip("+-") if float(text) == 0 else text


def counted(count: int, noun: str, are: bool = False) -> str:
    """`1 clip`, `2 clips`; with `are`: `1 clip is`, `2 clips are`."""
    is_one = count == 1
    verb = (" is" if is_one else " are") if are else ""
    return f"{count} {noun}{'' if is_one else 's'}{verb}"


def signed_ms(value: float, digits: int = 0) -> str:
    """A lag: `+40 ms`, `-8 ms`, `0 ms`."""
    return f"{number(value, digits, signed=True)} ms"


def short(value: float) -> str:
    """Three figures: `0.123`, `12.3`, `-4`, `0`."""
    text = f"{value:.3g}"
    return text.lstrip("-") if float(text) == 0 else text
