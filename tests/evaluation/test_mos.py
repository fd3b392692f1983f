"""The listening test: blinded, usable by keyboard in a real browser, scored as the papers do."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from evaluation.mos.answers import score_answers, t_interval
from evaluation.mos.page import make_test
from manifests.media.encode import encode_flac

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@pytest.fixture
def listening_page(tmp_path):
    for system, pitch in (("Secret-A", 300), ("Secret-B", 500)):
        for sample in ("one", "two", "three"):
            folder = tmp_path / system
            folder.mkdir(exist_ok=True)
            tone = 8000 * np.sin(2 * np.pi * pitch * np.arange(3200) / 16000)
            (folder / f"{sample}.flac").write_bytes(encode_flac(tone.astype(np.int16)))
    page, key = tmp_path / "test.html", tmp_path / "key.json"
    made = make_test(
        page,
        key,
        {s: tmp_path / s for s in ("Secret-A", "Secret-B")},
        questions=("quality", "naturalness"),
        num_samples=2,
    )
    return page, key, made.num_stimuli


def test_the_page_is_whole_and_tells_nothing(listening_page):
    page, key, count = listening_page
    text, truth = page.read_text(), json.loads(key.read_text())
    assert count == 4 and len(truth["stimuli"]) == 4
    assert "Secret" not in text and "http" not in text
    for stimulus, source in truth["stimuli"].items():
        assert stimulus in text
        assert f'"{source["sample"]}"' not in text


def test_a_broken_file_leaves_its_sample_out_of_every_system(listening_page, tmp_path):
    (tmp_path / "Secret-B" / "two.flac").write_bytes(b"nothing")
    systems = {s: tmp_path / s for s in ("Secret-A", "Secret-B")}
    page, key = tmp_path / "second.html", tmp_path / "second.json"
    made = make_test(page, key, systems, num_samples=3)
    assert made.num_samples == 2 and made.num_stimuli == 4
    assert list(made.left_out) == ["two"]
    assert made.left_out["two"].startswith("Secret-B: ") and "two.flac" in made.left_out["two"]
    samples = [s["sample"] for s in json.loads(key.read_text())["stimuli"].values()]
    assert sorted(samples) == ["one", "one", "three", "three"]
    for seed in range(4):  # a broken one costs no place while others are left
        assert make_test(page, key, systems, num_samples=2, seed=seed).num_samples == 2
    for name in ("one", "three"):
        (tmp_path / "Secret-A" / f"{name}.flac").write_bytes(b"nothing")
    page.unlink()
    with pytest.raises(ValueError, match=r"no sample can be read .*one.*two|two.*one"):
        make_test(page, key, systems, num_samples=3)
    assert not page.exists()


def answers(key, rater, value_of, path):
    truth = json.loads(key.read_text())
    path.write_text(
        json.dumps(
            {
                "format": 1,
                "test": truth["test"],
                "rater": rater,
                "answers": {
                    stimulus: {
                        "heard": 1,
                        "ratings": {q: value_of(source["system"], q) for q in truth["questions"]},
                    }
                    for stimulus, source in truth["stimuli"].items()
                },
            }
        )
    )
    return path


def test_means_and_t_intervals(listening_page, tmp_path):
    _, key, _ = listening_page
    files = [
        answers(
            key,
            f"r{i}",
            lambda system, _, i=i: 5 - i if system == "Secret-A" else 2,
            tmp_path / f"{i}.json",
        )
        for i in range(3)
    ]
    opinions, missing = score_answers(key, files)
    assert missing == 0
    first = opinions[0]
    assert (first.system, first.question, first.mean, first.n) == ("Secret-A", "quality", 4, 6)
    assert (first.num_raters, first.num_samples) == (3, 2)
    # 5 5 4 4 3 3: deviation sqrt(0.8), Student's 97.5 % point for 5 degrees is 2.571 (tables).
    assert first.plus_minus == pytest.approx(2.571 * np.sqrt(0.8 / 6), rel=1e-3)
    assert opinions[1].mean == 2 and opinions[1].plus_minus == 0


def test_t_interval_of_a_printed_row():
    """Niu and Mak print 4.975 +- 0.028 for real voice from 120 ratings of 1 to 5: three of them
    were 4 and the others 5."""
    ratings = np.array([4.0] * 3 + [5.0] * 117)
    assert ratings.mean() == pytest.approx(4.975)
    assert round(t_interval(ratings), 3) == 0.028
    assert t_interval(ratings[:1]) is None


@pytest.mark.parametrize(
    "change",
    [
        {"test": "other"},
        {"rater": ""},
        {"answers": []},
        {"answers": {"x": {"ratings": {}}}},
        {"format": 2},
    ],
)
def test_wrong_files_are_refused(listening_page, tmp_path, change):
    _, key, _ = listening_page
    path = answers(key, "r", lambda *_: 3, tmp_path / "a.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"a\.json"):
        score_answers(key, [path])


@pytest.mark.parametrize("value", [0, 6, 3.0, True, "5"])
def test_ratings_outside_the_scale_are_refused(listening_page, tmp_path, value):
    _, key, _ = listening_page
    with pytest.raises(ValueError, match="not 1 to 5"):
        score_answers(key, [answers(key, "r", lambda *_: value, tmp_path / "a.json")])


def test_a_rater_counts_once(listening_page, tmp_path):
    _, key, _ = listening_page
    files = [answers(key, "r", lambda *_: 3, tmp_path / f"{i}.json") for i in range(2)]
    with pytest.raises(ValueError, match="twice"):
        score_answers(key, files)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_all_of_it_by_keyboard(listening_page, tmp_path):
    """Name, play, rate, reload in the middle, go on, save: all in the browser, no mouse."""
    page, key, count = listening_page
    saved = asyncio.run(_listen(page, tmp_path / "profile", tmp_path / "saved", count))
    content = json.loads(saved.read_text())
    assert content["rater"] == "Ann B"
    assert set(content["order"]) == set(json.loads(key.read_text())["stimuli"])
    given = [content["answers"][s]["ratings"] for s in content["order"]]
    assert given == [{"quality": 1 + i, "naturalness": 5 - i} for i in range(count)]
    opinions, missing = score_answers(key, [saved])
    assert missing == 0 and sum(o.n for o in opinions) == 2 * count


async def _listen(page: Path, profile: Path, folder: Path, count: int) -> Path:
    import aiohttp

    folder.mkdir()
    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            f"--user-data-dir={profile}",
            "--remote-debugging-port=0",
            "about:blank",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        port = await _port(profile)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                tabs = [t for t in await answer.json() if t["type"] == "page"]
            async with session.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as ws:
                tab = Tab(ws)
                await tab.call(
                    "Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder)
                )
                await _answer_all(tab, page, count)
                for _ in range(100):  # the folder is set for as long as the connection is open
                    if found := list(folder.glob("*.json")):
                        return found[0]
                    await asyncio.sleep(0.1)
        raise AssertionError("nothing was saved")
    finally:
        process.kill()
        process.wait()


async def _answer_all(tab: Tab, page: Path, count: int) -> None:
    await tab.open(page)
    orders = await tab.value("['a', 'b', 'c', 'a'].map(name => shuffled(12, generator(name)))")
    assert all(sorted(order) == list(range(12)) for order in orders)
    assert orders[0] == orders[3] and len({tuple(order) for order in orders}) == 3
    await tab.type("Ann B")
    await tab.key("Enter")
    for i in range(count):
        if i == 2:  # answers outlive a reload
            await tab.open(page)
            await tab.type("Ann B")
            await tab.key("Enter")
        await tab.until(
            f"document.getElementById('where').textContent === 'Recording {i + 1} of {count}'"
        )
        await tab.key("3")  # before listening: must not count
        assert await tab.value("document.querySelectorAll('input:checked').length") == 0
        await tab.key(" ")
        await tab.until("!document.querySelector('#form fieldset').disabled")
        await tab.key(str(1 + i))
        await tab.key("Enter")  # one question is open: must not go on
        await tab.key(str(5 - i))
        await tab.key("Enter")
    await tab.until("!document.getElementById('end').hidden")
    await tab.key("Enter")


async def _port(profile: Path) -> int:
    for _ in range(200):
        file = profile / "DevToolsActivePort"
        if file.exists() and (lines := file.read_text().splitlines()):
            return int(lines[0])
        await asyncio.sleep(0.1)
    raise AssertionError("Chromium did not start")


class Tab:
    """A browser tab over the DevTools protocol."""

    def __init__(self, ws) -> None:
        self._ws, self._id = ws, 0

    async def call(self, method: str, **params):
        self._id += 1
        await self._ws.send_json({"id": self._id, "method": method, "params": params})
        while True:
            message = await self._ws.receive_json(timeout=20)
            if message.get("id") == self._id:
                assert "error" not in message, message
                return message["result"]

    async def value(self, expression: str):
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, expression: str) -> None:
        for _ in range(100):
            if await self.value(expression):
                return
            await asyncio.sleep(0.1)
        raise AssertionError(f"never true: {expression}")

    async def open(self, page: Path) -> None:
        await self.call("Page.navigate", url=page.resolve().as_uri())
        await self.until(
            "document.readyState === 'complete' && document.activeElement?.id === 'rater'"
        )

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def key(self, key: str) -> None:
        text = "\r" if key == "Enter" else key
        code = {"Enter": 13, " ": 32}.get(key) or ord(key)
        for kind in ("keyDown", "keyUp"):
            extra = {"text": text} if kind == "keyDown" else {}
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **extra
            )
