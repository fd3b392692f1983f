"""How long `yld browse` takes to answer, over loopback, about a corpus.

python -m tests.pages.made FOLDER 10000     # makes one of so many clips, of records alone
python -m benchmarks.browse FOLDER
"""

from __future__ import annotations

import http.client
import threading
import time
from pathlib import Path

import click
import numpy as np

from manifests.corpus import Corpus
from pipeline.browse.server import Browser, Server
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


@click.command()
@click.argument("corpus", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--rounds", default=20, show_default=True)
def main(corpus: Path, rounds: int) -> None:
    """Median and longest time of each question, wall clock and this process's CPU."""
    began_s = time.monotonic()
    browser = Browser(Corpus(corpus))
    click.echo(f"{len(browser.clips)} clips read in {time.monotonic() - began_s:.2f} s", err=True)
    rows = []
    with Server(browser) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        last = max(0, len(browser.clips) - 50)
        host, port = server.server_address[:2]
        connection = http.client.HTTPConnection(str(host), port)
        for name, query in QUESTIONS.items():
            wall, cpu = [], []
            for _ in range(rounds):
                before, spent = time.monotonic(), time.process_time()
                connection.request("GET", "/clips?" + query.format(last=last))
                connection.getresponse().read()
                wall.append(1000 * (time.monotonic() - before))
                cpu.append(1000 * (time.process_time() - spent))
            rows.append(
                {
                    "question": name,
                    "median_ms": float(np.median(wall)),
                    "longest_ms": max(wall),
                    "cpu_median_ms": float(np.median(cpu)),
                    "cpu_longest_ms": max(cpu),
                }
            )
        server.shutdown()
    click.echo(table(rows, list(rows[0])))


if __name__ == "__main__":
    main()
