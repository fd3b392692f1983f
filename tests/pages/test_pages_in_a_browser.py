"""Each page as people see it: at a desk and on a phone, light and dark, by mouse and by key."""

from __future__ import annotations

import importlib.util
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pages import browser as br
from tests.pages.made import PAGES

pytestmark = br.needs_browser

PICTURES = Path(__file__).parent / "pictures"
DRAW = bool(os.environ.get("YLD_DRAW_PICTURES"))
"""Write the pictures that later runs compare with, instead of comparing."""
SHRUNK, MOST_HEIGHT_PX = 4, 2400
MOST_OFF, MOST_SHARE_OFF = 40, 0.02
"""A point is off where it differs by more than this of 255; so many of them may be."""
CUT_OFF = """() => {
  const wide = document.documentElement.clientWidth, found = [];
  for (const e of document.querySelectorAll("main *")) {
    const box = e.getBoundingClientRect();
    if (!box.width || e.closest("svg *")) continue;
    if (box.right > wide + 1 || box.left < -1 ||
        e.clientWidth && e.scrollWidth > e.clientWidth + 1)
      found.push(e.tagName + "." + e.className + ": " + e.textContent.slice(0, 40));
  }
  return found;
}"""


@contextmanager
def opened(browser: Any, path: Path, width_px: int = 1280, scheme: str = "light") -> Iterator[Any]:
    """A page in a tab of its own; it must say nothing on the console and ask no network."""
    context = browser.new_context(
        viewport={"width": width_px, "height": br.HEIGHT_PX},
        color_scheme=scheme,
        reduced_motion="reduce",
    )
    context.set_default_timeout(br.TIMEOUT_MS)
    said, asked = [], []
    tab = context.new_page()
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"error: {error}"))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(path.resolve().as_uri())
    tab.evaluate("document.fonts.ready")
    yield tab
    assert not said
    assert [a for a in asked if not a.startswith(("file://", "data:", "blob:"))] == []
    context.close()


def axe() -> str:
    """axe-core's script, from the package that brings it."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the package axe-playwright-python is not installed")
    return (Path(found.submodule_search_locations[0]) / "axe.min.js").read_text()


@pytest.mark.parametrize("scheme", br.SCHEMES)
@pytest.mark.parametrize("width_px", br.WIDTHS_PX)
@pytest.mark.parametrize("name", PAGES)
def test_it_is_accessible_whole_and_looks_as_it_did(browser, pages, name, width_px, scheme):
    """Pictures are of boxes for letters, and a quarter of the size; `YLD_DRAW_PICTURES=1` draws
    them anew."""
    with opened(browser, pages[name], width_px, scheme) as tab:
        if name == "mos":
            begin(tab)
        assert tab.evaluate(CUT_OFF) == []
        tab.evaluate(axe())
        # Schemes differ in colours alone.
        rules = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
        found = tab.evaluate("options => axe.run(document, options)", rules)
        assert [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found["violations"]] == []
        assert len(found["passes"]) >= (10 if scheme == "light" else 1)
        tab.add_style_tag(content=br.boxed())
        tab.evaluate("document.fonts.load('16px Boxes')")
        shot = shrunk(seen(tab, width_px))
    check(f"{name}-{width_px}-{scheme}", shot)


def seen(tab: Any, width_px: int) -> bytes:
    """The top of the page, as PNG."""
    tall = min(tab.evaluate("document.documentElement.scrollHeight"), MOST_HEIGHT_PX)
    clip = {"x": 0, "y": 0, "width": width_px, "height": tall}
    return tab.screenshot(full_page=True, clip=clip)


def check(name: str, shot: np.ndarray) -> None:
    """Compare with the picture of that name, or draw it."""
    path = PICTURES / f"{name}.png"
    if DRAW:
        save(path, shot)
        return
    if not path.exists():
        pytest.skip(f"{path.name} was not drawn yet: YLD_DRAW_PICTURES=1, then look at it")
    differences = compared(shot, load(path))
    if differences is not None and (folder := os.environ.get("YLD_PICTURES_SEEN")):
        save(Path(folder) / f"seen-{path.name}", shot)
    assert differences is None, f"{path.name}: {differences} (YLD_PICTURES_SEEN=FOLDER keeps it)"


def shrunk(content: bytes) -> np.ndarray:
    import cv2

    whole = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    size = (whole.shape[1] // SHRUNK, whole.shape[0] // SHRUNK)
    return cv2.resize(whole, size, interpolation=cv2.INTER_AREA)


def save(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(exist_ok=True)
    # 64 colours of its own are enough for a page and a third of the bytes.
    Image.fromarray(picture[..., ::-1]).quantize(64).save(path, optimize=True)


def load(path: Path) -> np.ndarray:
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"))[..., ::-1]


def compared(shot: np.ndarray, before: np.ndarray) -> str | None:
    """What differs, in words; None where nothing does that a person would see."""
    tall = min(len(shot), len(before))
    if abs(len(shot) - len(before)) > 0.02 * tall + 2:
        return f"{SHRUNK * len(shot)} px tall, was {SHRUNK * len(before)}"
    off = np.abs(shot[:tall].astype(int) - before[:tall].astype(int)).max(axis=2) > MOST_OFF
    rows = np.flatnonzero(off.any(axis=1))
    if off.mean() > MOST_SHARE_OFF:
        return f"{off.mean():.1%} of it differs, from {SHRUNK * rows[0]} px on"
    return None


def begin(tab: Any) -> None:
    """The listening test, at its first recording."""
    tab.fill("#rater", "Ann")
    tab.click("#begin")


def cells(tab: Any, label: str, column: int) -> list[str]:
    rows = tab.locator(f"table[aria-label='{label}'] tbody tr")
    return [rows.nth(i).locator("td").nth(column).inner_text() for i in range(rows.count())]


@pytest.mark.parametrize("name, column, head", [("report", 7, "lag, ms"), ("audit", 2, "lag, ms")])
def test_a_list_of_clips_sorts_and_filters_by_keyboard(browser, pages, name, column, head):
    with opened(browser, pages[name]) as tab:
        sheet = tab.locator(".sheet", has=tab.locator("table[aria-label='clips']"))
        button = sheet.get_by_role("button", name=head, exact=True)
        button.focus()
        tab.keyboard.press("Enter")
        shown = [float(x) for x in cells(tab, "clips", column) if x]
        assert len(set(shown)) > 5 and shown == sorted(shown)
        assert "0" in cells(tab, "clips", column) and "-0" not in cells(tab, "clips", column)
        tab.keyboard.press("Enter")
        shown = [float(x) for x in cells(tab, "clips", column) if x]
        assert shown == sorted(shown, reverse=True)
        assert cells(tab, "clips", column)[-1] == "", "what has no number stands last, either way"
        first = cells(tab, "clips", 0)[0]
        sheet.get_by_role("searchbox").fill(first.upper())
        assert cells(tab, "clips", 0) == [first]
        sheet.get_by_role("searchbox").fill("nothing has this")
        assert cells(tab, "clips", 0) == []
        assert "0 of 0 shown" in sheet.get_by_role("status").inner_text()


def test_a_clip_leads_to_its_moment_and_players_play(browser, pages):
    with opened(browser, pages["report"]) as tab:
        link = tab.locator("table[aria-label='clips'] a").nth(1)
        assert link.get_attribute("href") == "https://videos.example/watch?v=v000000&t=5"
        clip = tab.locator("video").first
        clip.evaluate("v => new Promise(r => { v.onended = r; v.muted = true; v.play(); })")
        assert clip.evaluate("v => [v.videoWidth, v.duration > 0.3]") == [256, True]
    with opened(browser, pages["audit"]) as tab:
        ready = "vs => Promise.all(vs.map(v => v.readyState || "
        ready += "new Promise(r => v.onloadedmetadata = r))).then(() => vs.length)"
        assert tab.locator("video").evaluate_all(ready) == 2 * 12


@pytest.mark.parametrize("name", [n for n in PAGES if n != "mos"])
def test_on_paper_it_is_black_on_white_and_whole(browser, pages, name):
    with opened(browser, pages[name], 794, "dark") as tab:  # A4's width
        tab.emulate_media(media="print", color_scheme="dark")
        colours = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
        assert tab.evaluate(colours) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
        assert tab.locator("input:visible, video:visible, audio:visible").count() == 0
        assert tab.evaluate(CUT_OFF) == []
