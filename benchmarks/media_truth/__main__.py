"""python -m benchmarks.media_truth: all rows of the table, or those whose names hold a text."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import cv2

from benchmarks.media_truth import counter
from benchmarks.media_truth.run import Row, all_cases, by_kind, run_case
from benchmarks.media_truth.table import Case

CASE_TIMEOUT_S = 180


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a row per file; the exit code is 1 if any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="rows whose name holds this text")
    parser.add_argument("--fast", action="store_true", help="the rows of the default tests")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keep", type=Path, help="folder for the composed files")
    options = parser.parse_args(arguments)
    cases = [c for c in all_cases() if options.only in c.name and (c.fast or not options.fast)]
    if not cases:
        parser.error(f"no row's name holds {options.only!r}")
    os.environ.setdefault("SVT_LOG", "1")  # the AV1 encoder: errors only
    cv2.setNumThreads(1)
    counter.talking_heads(160, 128)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            rows.append(_apart(case, options.keep or Path(folder)))
            if not options.json:
                print(rows[-1].line(), flush=True)
    wrong = [r.name for r in rows if not r.right]
    if options.json:
        print(json.dumps([asdict(r) | {"right": r.right} for r in rows], indent=1))
    else:
        print(f"\n{by_kind(rows)}\n\n{len(rows) - len(wrong)} of {len(rows)} right")
    return 1 if wrong else 0


def _apart(case: Case, folder: Path) -> Row:
    """A process of its own: what kills it or hangs is one wrong row."""
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(case, folder, send))
    process.start()
    send.close()
    try:
        if receive.poll(CASE_TIMEOUT_S):
            return receive.recv()
        return Row(case.name, "", ["ran over its time"])
    except EOFError:
        process.join()
        return Row(case.name, "", [f"the reader's process ended with {process.exitcode}"])
    finally:
        process.kill()
        process.join()


def _work(case: Case, folder: Path, send) -> None:
    send.send(run_case(case, folder))


if __name__ == "__main__":
    sys.exit(main())
