"""The command: `python -m benchmarks.faults`."""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks.faults import disk, kills, links, media, nodes, stores
from benchmarks.faults.runs import Bench
from benchmarks.faults.tally import COLUMNS, Tally, total
from pipeline.run.tables import table

KINDS = ("kills", "nodes", "media", "links", "store", "disk")


def main(words: list[str] | None = None) -> int:
    """Run the campaign and print the table; 1 where anything is not as it should be."""
    given = _parser().parse_args(words)
    for ending in (signal.SIGINT, signal.SIGTERM):  # whatever ends it, its builds end with it
        signal.signal(ending, signal.default_int_handler)
    chosen = given.only.split(",") if given.only else KINDS
    if unknown := set(chosen) - set(KINDS):
        print(f"--only {', '.join(unknown)}: there are {', '.join(KINDS)}", file=sys.stderr)
        return 2
    tallies = []
    for number, kind in enumerate(k for k in KINDS if k in chosen):
        # Short, and below the system's folder: the sockets of a run lie below it.
        bench = Bench(Path(tempfile.mkdtemp(prefix="yf")), given.seed + number)
        rng = random.Random(f"{given.seed} {kind}")
        try:
            tallies.append(_run(kind, bench, given, rng))
            tallies[-1].notes.append(f"{bench.foreign.count} files of others were about")
        finally:
            bench.close()
        _show([tallies[-1].row()], given.json)
        for name in ("notes", *_lists(tallies[-1])):
            for text in getattr(tallies[-1], name)[: given.most]:
                print(f"  {name}: {text}", file=sys.stderr)
    rows = [t.row() for t in tallies] + [total(tallies)]
    if given.json:
        print(
            json.dumps(
                {
                    "seed": given.seed,
                    "rows": rows,
                    "notes": {t.fault: t.notes for t in tallies},
                    "found": {t.fault: {n: getattr(t, n) for n in _lists(t)} for t in tallies},
                },
                indent=1,
            )
        )
    else:
        _show(rows, False)
    return 0 if all(t.is_clean for t in tallies) else 1


def _run(kind: str, bench: Bench, given, rng: random.Random) -> Tally:
    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if kind == "kills":
        return kills.run(bench, given.kills, given.suspensions, given.suspend_s, rng, say)
    if kind == "nodes":
        return nodes.run(bench, given.nodes, rng, say)
    if kind == "media":
        return media.run(bench, given.mutations, rng, say)
    if kind == "links":
        return links.run(bench, given.links, rng, say)
    if kind == "store":
        return stores.run(bench, given.stores, rng, say)
    return disk.run(bench, given.disks, rng, say)


def _lists(tally: Tally) -> list[str]:
    return [n for n, v in vars(tally).items() if isinstance(v, list) and n != "notes" and v]


def _show(rows: list[dict], quiet: bool) -> None:
    print(table(rows, COLUMNS), file=sys.stderr if quiet else sys.stdout, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    for name, count, what in (
        ("kills", 50, "parts killed at random moments"),
        ("suspensions", 5, "parts suspended at random moments"),
        ("nodes", 2, "builds on two nodes of which one is lost"),
        ("mutations", 1000, "damaged media files"),
        ("links", 10000, "links of bad kinds, 30 % of them dead"),
        ("stores", 3, "builds to an S3 store that fails: 503, cut bodies, 403"),
        ("disks", 1, "builds on a disk that gets full"),
    ):
        parser.add_argument(f"--{name}", type=int, default=count, help=f"{what} ({count})")
    parser.add_argument(
        "--suspend-s", type=float, default=60.0, help="how long a part is suspended (60)"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help=f"comma list of {', '.join(KINDS)}")
    parser.add_argument("--most", type=int, default=20, help="sentences printed of a kind (20)")
    parser.add_argument("--json", action="store_true")
    return parser


if __name__ == "__main__":
    sys.exit(main())
