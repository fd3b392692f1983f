"""A real browser for the tests that look at pages; they are skipped where there is none.

Which one: `YLD_CHROMIUM`, else Playwright's own, else Chromium or Chrome as the system has it.
"""

from __future__ import annotations

import base64
import functools
import io
import os
import shutil
from pathlib import Path

import pytest

NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
)
WIDTHS_PX = (1280, 390)
HEIGHT_PX = 900
SCHEMES = ("light", "dark")
TIMEOUT_MS = 120_000
"""For a page to open or change, where other tests share the cores."""


@functools.cache
def why_none() -> str | None:
    """Why no browser can be started; None where one can."""
    try:
        import playwright  # noqa: F401
    except ImportError:
        return "the package playwright is not installed"
    return None if executable() is not None else "no Chromium on this machine"


@functools.cache
def executable() -> str | None:
    """The browser's program, as Playwright wants it."""
    given = os.environ.get("YLD_CHROMIUM")
    if given:
        return given
    folder = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", "~/.cache/ms-playwright")).expanduser()
    for name in ("headless_shell", "chrome-headless-shell", "chrome"):
        if found := sorted(folder.glob(f"chromium*/*/{name}")):
            return str(found[-1])
    return next(filter(None, map(shutil.which, NAMES)), None)


needs_browser = pytest.mark.skipif(why_none() is not None, reason=str(why_none()))


@functools.cache
def box_font() -> str:
    """A font whose letters are all one box, base64.

    A page set in it has the same lines on every machine, whatever fonts that has; pictures of it
    can be compared.
    """
    from fontTools.fontBuilder import FontBuilder
    from fontTools.pens.ttGlyphPen import TTGlyphPen

    def box(width: int, height: int):
        pen = TTGlyphPen(None)
        if height:
            pen.moveTo((60, 0))
            for point in ((60, height), (width - 60, height), (width - 60, 0)):
                pen.lineTo(point)
            pen.closePath()
        return pen.glyph()

    made = FontBuilder(1000, isTTF=True)
    made.setupGlyphOrder([".notdef", "space", "box"])
    letters = {code: "box" for code in range(0x21, 0x2200)}
    made.setupCharacterMap({0x20: "space", 0xA0: "space", **letters})
    made.setupGlyf({".notdef": box(540, 500), "space": box(300, 0), "box": box(540, 500)})
    made.setupHorizontalMetrics({".notdef": (540, 60), "space": (300, 0), "box": (540, 60)})
    made.setupHorizontalHeader(ascent=800, descent=-200)
    made.setupNameTable({"familyName": "Boxes", "styleName": "Regular"})
    made.setupOS2(sTypoAscender=800, sTypoDescender=-200, usWinAscent=800, usWinDescent=200)
    made.setupPost()
    stream = io.BytesIO()
    made.save(stream)
    return base64.b64encode(stream.getvalue()).decode()


def boxed() -> str:
    """A style sheet that sets a page in boxes and hides what browsers draw in ways of their own."""
    return (
        "@font-face { font-family: Boxes; src: url(data:font/ttf;base64," + box_font() + ") } "
        "* { font-family: Boxes !important; caret-color: transparent !important; "
        "animation: none !important; transition: none !important } "
        "video, audio, progress, input[type=range] { visibility: hidden !important }"
    )
