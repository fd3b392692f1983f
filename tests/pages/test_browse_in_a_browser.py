"""`yld browse` as people use it: by key and by mouse, at a desk and on a phone, light and dark."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from manifests.corpus import Corpus
from pipeline.browse.server import Browser, Server
from pipeline.corpus import marks
from tests.pages import browser as br
from tests.pages.made import corpus
from tests.pages.test_pages_in_a_browser import CUT_OFF, axe, check, seen, shrunk

pytestmark = br.needs_browser
FIRST = "v000000-s000-t000-c000"


@pytest.fixture(scope="module")
def browsed(tmp_path_factory):
    made = Browser(Corpus(corpus(tmp_path_factory.mktemp("browse") / "corpus")))
    with Server(made) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made, server
        server.shutdown()


@contextmanager
def opened(browser: Any, server: Server, width_px: int, scheme: str) -> Iterator[Any]:
    context = browser.new_context(
        viewport={"width": width_px, "height": br.HEIGHT_PX}, color_scheme=scheme
    )
    context.set_default_timeout(br.TIMEOUT_MS)
    said: list[str] = []
    tab = context.new_page()
    tab.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    tab.on("pageerror", lambda error: said.append(f"error: {error}"))
    tab.goto(server.address)
    tab.wait_for_selector("#rows .row")
    yield tab
    assert not said
    context.close()


@pytest.mark.parametrize("scheme", br.SCHEMES)
@pytest.mark.parametrize("width_px", br.WIDTHS_PX)
def test_it_is_accessible_whole_and_looks_as_it_did(browser, browsed, width_px, scheme):
    with opened(browser, browsed[1], width_px, scheme) as tab:
        assert tab.evaluate(CUT_OFF) == []
        # axe's script is no script of the page; the policy would refuse it as a tag, not so here.
        tab.evaluate(axe())
        rules = {} if scheme == "light" else {"runOnly": ["color-contrast"]}
        found = tab.evaluate("options => axe.run(document, options)", rules)
        assert [f"{v['id']}: {v['nodes'][0]['html'][:200]}" for v in found["violations"]] == []
        tab.add_style_tag(content=br.boxed())
        shot = shrunk(seen(tab, width_px))
    check(f"browse-{width_px}-{scheme}", shot)


def test_a_corpus_is_gone_through_by_keyboard(browser, browsed):
    """Next, play, mark with a reason and a note, take back, search, pages: no mouse."""
    made, server = browsed
    with opened(browser, server, 1280, "light") as tab:
        current = tab.locator("#rows .row[aria-current=true]")
        told = tab.locator("#told")
        assert tab.locator("#rows .row").count() == 50
        assert "1 to 50 of 60, 0 marked" in tab.locator("#count").inner_text()
        tab.keyboard.press("n")
        tab.get_by_text("51 to 60 of 60").wait_for()
        tab.keyboard.press("p")
        tab.get_by_text("1 to 50 of 60").wait_for()
        tab.keyboard.press(" ")
        playing = "() => { const v = document.querySelector('video'); "
        playing += "return !v.paused && v.readyState > 1 && v.videoWidth === 256; }"
        tab.wait_for_function(playing)
        tab.keyboard.press(" ")
        assert tab.evaluate("document.querySelector('video').paused")
        tab.keyboard.press("j")
        second = current.locator("b").inner_text()
        tab.keyboard.press("k")
        assert current.locator("b").inner_text() != second
        tab.keyboard.press("2")
        told.get_by_text("Marked: wrong face").wait_for()
        assert marks.read(made.work)[FIRST].reason == "wrong face"
        assert "✕ wrong face" in current.inner_text()
        assert "1 marked in all" in tab.locator("#count").inner_text()
        tab.keyboard.press("u")
        told.get_by_text("Not marked any more").wait_for()
        assert marks.read(made.work) == {}
        tab.keyboard.press("/")
        tab.keyboard.type("v000003 ")
        tab.get_by_text("1 to 4 of 4").wait_for()
        tab.keyboard.press("Escape")
        tab.fill("#note", "half a second")
        tab.select_option("#reason", "out of sync")
        tab.get_by_role("button", name="Mark", exact=True).click()
        told.get_by_text("Marked: out of sync").wait_for()
        (mark,) = marks.read(made.work).values()
        assert mark.in_words() == "out of sync: half a second"
        tab.reload()  # what was asked for stands in the address
        tab.get_by_text("1 to 4 of 4, 1 marked").wait_for()
        tab.select_option("[name=marked]", "yes")
        tab.get_by_text("1 to 1 of 1").wait_for()
        tab.get_by_role("button", name="Take back").click()
        told.get_by_text("Not marked any more").wait_for()


def test_filters_on_a_phone(browser, browsed):
    with opened(browser, browsed[1], 390, "dark") as tab:
        tab.get_by_text("Numbers from").click()
        tab.fill("[name='least.video_lag_ms']", "60")
        tab.select_option("[name=order]", "video_lag_ms")
        tab.wait_for_function(
            "() => !document.querySelector('#count').textContent.includes('of 60')"
        )
        lags = tab.locator("#rows .row span").all_inner_texts()
        values = [float(x.split("lag ")[1].split(" ms")[0]) for x in lags]
        assert values == sorted(values) and values[0] >= 60
        box = tab.locator("#shown").bounding_box()
        rows = tab.locator("#rows").bounding_box()
        assert box["y"] < rows["y"], "the player stands above the list"
        tab.fill("[name=words]", "nothing has this word")
        tab.get_by_text("No clip fits").wait_for()
        assert tab.locator("#shown").is_hidden()
