"""What each light command costs before it does anything, and which heavy libraries it imports.

python -m benchmarks.startup CORPUS [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TypedDict

HEAVY = (
    "av",
    "cv2",
    "dlib",
    "librosa",
    "matplotlib",
    "numpy",
    "pandas",
    "pyarrow",
    "ray",
    "scenedetect",
    "scipy",
    "torch",
    "yt_dlp",
)
TURNS = 5


class Row(TypedDict):
    """What one command costs: CPU-seconds, and the heavy libraries it imports."""

    cpu_s: float
    imports: list[str]


def commands(corpus: str, folder: str) -> dict[str, list[str]]:
    """The commands that read a corpus, by the words that a user types."""
    return {
        "yld --help": ["--help"],
        "yld status": ["status", corpus],
        "yld verify": ["verify", corpus],
        "yld report": ["report", corpus, "--out", str(Path(folder) / "{turn}.html")],
    }


def cpu_s(arguments: list[str]) -> float:
    """CPU-seconds of one run, its children included; the least of some."""

    def once(turn: int) -> float:
        words = [a.format(turn=turn) for a in arguments]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *words],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    return min(map(once, range(TURNS)))


def imports(arguments: list[str]) -> list[str]:
    """Heavy libraries that a run imports, as Python itself tells."""
    told = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline.cli", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=True,
    ).stderr
    loaded = {line.rpartition("|")[2].strip() for line in told.splitlines() if "|" in line}
    return [name for name in HEAVY if name in loaded]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpus", help="a built corpus, such as that of `make demo`")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    os.environ.setdefault("PYTHONPATH", os.getcwd())
    with tempfile.TemporaryDirectory() as folder:
        rows: dict[str, Row] = {
            name: {"cpu_s": round(cpu_s(arguments), 2), "imports": imports(arguments)}
            for name, arguments in commands(options.corpus, folder).items()
        }
    if options.json:
        print(json.dumps(rows, indent=1))
        return
    for name, row in rows.items():
        print(f"{name:12} {row['cpu_s']:5.2f} CPU-s  {', '.join(row['imports'])}")


if __name__ == "__main__":
    main()
