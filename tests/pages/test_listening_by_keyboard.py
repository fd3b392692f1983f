"""The listening test without a mouse: name, play, rate, reload in the middle, go on, save."""

from __future__ import annotations

import json

from evaluation.mos.answers import score_answers
from tests.pages import browser as br
from tests.pages.made import mos_page

pytestmark = br.needs_browser


def test_all_of_it_by_keyboard(browser, tmp_path):
    page, key, count = mos_page(tmp_path), tmp_path / "key.json", 4
    tab = browser.new_page()
    tab.goto(page.as_uri())
    orders = tab.evaluate("['a', 'b', 'c', 'a'].map(name => shuffled(12, generator(name)))")
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] == orders[3] and len({tuple(order) for order in orders}) == 3
    enter(tab)
    for i in range(count):
        if i == 2:  # answers outlive a reload
            tab.goto(page.as_uri())
            enter(tab)
        tab.get_by_text(f"Recording {i + 1} of {count}", exact=True).wait_for()
        tab.keyboard.press("3")  # before listening: must not count
        assert tab.locator("input:checked").count() == 0
        tab.keyboard.press(" ")
        tab.wait_for_selector("#form fieldset:not(:disabled)")
        for rating in (1 + i, 2, 3):
            tab.keyboard.press(str(rating))
            tab.keyboard.press("Enter")  # one question is open: must not go on
        tab.keyboard.press(str(5 - i))
        tab.keyboard.press("Enter")
    tab.wait_for_selector("#end:not([hidden])")
    with tab.expect_download() as download:
        tab.keyboard.press("Enter")
    saved = tmp_path / "saved.json"
    download.value.save_as(saved)
    tab.close()
    content = json.loads(saved.read_text())
    assert content["rater"] == "Ann B"
    assert set(content["order"]) == set(json.loads(key.read_text())["stimuli"])
    given = [list(content["answers"][s]["ratings"].values()) for s in content["order"]]
    assert given == [[1 + i, 2, 3, 5 - i] for i in range(count)]
    opinions, missing = score_answers(key, [saved])
    assert missing == 0 and sum(o.n for o in opinions) == 4 * count


def enter(tab) -> None:
    tab.keyboard.type("Ann B")
    tab.keyboard.press("Enter")
