"""How long `yld browse` takes to answer, over loopback, about a corpus.

python -m tests.pages.made FOLDER 10000     # makes one of so many clips, of records alone
python -m benchmarks.browse FOLDER

Marks go to a folder of their own, which holds some thousands before it begins: the corpus stays as
it is.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np

from manifests.corpus import Corpus
from pipeline.browse.server import TOKEN, Browser, Server
from pipeline.corpus import marks
from pipeline.run.tables import table

QUESTIONS = {
    "all": "",
    "a word": "words=bin",
    "four words": "words=bin+blue+now+soon",
    "by source and numbers": "source=subject+17&least.confidence=0.7&most.length_s=3",
    "by lag, last page": "order=video_lag_ms&down=1&first={last}",
    "not marked, by text": "marked=no&order=text",
    "of one part, 200 rows": "split=train&count=200",
}
MOST_MS = 200.0
"""An answer that takes longer is felt as a pause."""


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rounds", default=20, show_default=True)
@click.option("--marked", default=5000, show_default=True, help="Clips that are marked already.")
def main(corpus: Path, rounds: int, marked: int) -> None:
    """Median and longest time of each request: by the clock, without what its threads waited for a
    core that others used (in the second pair of columns), and this process's CPU."""
    began_s = time.monotonic()
    browser = Browser(Corpus(corpus))
    click.echo(f"{len(browser.clips)} clips read in {time.monotonic() - began_s:.2f} s", err=True)
    with tempfile.TemporaryDirectory() as work, Server(browser) as server:
        clips = browser.clips.table["clip_id"].to_pylist()
        browser.work, browser.may_mark = Path(work), True
        browser.marks = {clip: marks.make("bad sound") for clip in clips[-marked:]}
        marks.write(browser.work, browser.marks)  # read once more at the first mark
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host, port = server.server_address[:2]
        connection = http.client.HTTPConnection(str(host), port)
        rows = [
            _measured(name, ask, rounds)
            for name, ask in _requests(connection, browser.token, clips).items()
        ]
        server.shutdown()
    click.echo(table(rows, list(rows[0])))
    slow = [row["request"] for row in rows if row["longest_ms"] > MOST_MS]
    click.echo(
        f"longer than {MOST_MS:.0f} ms: {', '.join(slow)}"
        if slow
        else f"none of {rounds * len(rows)} answers took longer than {MOST_MS:.0f} ms"
    )


def _requests(
    connection: http.client.HTTPConnection, token: str, clips: list[str]
) -> dict[str, Callable[[int], Any]]:
    """What a browser asks, by name; each is given the number of its round."""

    def get(path: str) -> Callable[[int], None]:
        def ask(number: int) -> None:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, (path, answer.status)

        return ask

    def mark(reason: str | None) -> Callable[[int], None]:
        def ask(number: int) -> None:
            told = json.dumps({"clip": clips[number], "reason": reason})
            connection.request("POST", "/marks", told, {TOKEN: token})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status

        return ask

    last = max(0, len(clips) - 50)
    return {
        "the page": get("/"),
        **{name: get("/clips?" + query.format(last=last)) for name, query in QUESTIONS.items()},
        "a clip's video": get(f"/clip/{clips[0]}.mp4"),
        "mark": mark("out of sync"),
        "take a mark back": mark(None),
    }


def _measured(name: str, ask: Callable[[int], Any], rounds: int) -> dict[str, Any]:
    wall, own, cpu = [], [], []
    for number in range(rounds):
        before, spent, queued = time.monotonic(), time.process_time(), _queued_ms()
        ask(number)
        wall.append(1000 * (time.monotonic() - before))
        cpu.append(1000 * (time.process_time() - spent))
        own.append(wall[-1] - min(wall[-1], _queued_ms() - queued))
    return {
        "request": name,
        "wall_median_ms": float(np.median(wall)),
        "wall_longest_ms": max(wall),
        "median_ms": float(np.median(own)),
        "longest_ms": max(own),
        "cpu_longest_ms": max(cpu),
    }


def _queued_ms() -> float:
    """How long this process's threads have waited for a core; 0 where the kernel does not say."""
    waited_ns = 0
    for path in Path("/proc/self/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):  # a thread that ended
            waited_ns += int(path.read_text().split()[1])
    return waited_ns / 1e6


if __name__ == "__main__":
    main()
