"""Two corpora of the same sources beside each other: clips, frames, offsets, registration.

    python -m benchmarks.compare_builds CORPUS_A CORPUS_B

A row per source: frames under a face that is followed (tracks), frames in clips, how many of
A's clip frames B has too, measured offsets and their mean, and the registration residual.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from manifests.corpus import Corpus


def frames_of(rows: list[dict]) -> set[int]:
    """Frames in the half-open spans of records."""
    return {f for r in rows for f in range(r["start_frame"], r["end_frame"])}


def facts(corpus: Corpus) -> dict[str, dict]:
    """By name of the source's file."""
    tables = {t: list(corpus.rows(t)) for t in ("sources", "tracks", "clips", "offsets")}
    out = {}
    for source in tables["sources"]:
        own = {
            t: [r for r in rows if r.get("video_id") == source["video_id"]]
            for t, rows in tables.items()
        }
        lags = [r["video_lag_ms"] for r in own["offsets"] if r["offset_status"] == "measured"]
        residuals = [r["registration_residual_px"] for r in own["clips"]]
        out[Path(source["address"]).name] = {
            "faces": sum(r["end_frame"] - r["start_frame"] for r in own["tracks"]),
            "clips": own["clips"],
            "frames": frames_of(own["clips"]),
            "lag": float(np.mean(lags)) if lags else None,
            "measured": len(lags),
            "residual": float(np.mean(residuals)) if residuals else None,
        }
    return out


def compare(a: dict[str, dict], b: dict[str, dict]) -> list[dict]:
    """A row per source that both have."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.1f}"

    return [
        {
            "source": name,
            "face frames": f"{a[name]['faces']} / {b[name]['faces']}",
            "clips": f"{len(a[name]['clips'])} / {len(b[name]['clips'])}",
            "clip frames": f"{len(a[name]['frames'])} / {len(b[name]['frames'])}",
            "of A in B": _part(a[name]["frames"], b[name]["frames"]),
            "offsets": f"{a[name]['measured']} / {b[name]['measured']}",
            "lag ms": f"{number(a[name]['lag'])} / {number(b[name]['lag'])}",
            "residual px": f"{number(a[name]['residual'])} / {number(b[name]['residual'])}",
        }
        for name in sorted(a.keys() & b.keys())
    ]


def _part(a: set[int], b: set[int]) -> str:
    return f"{100 * len(a & b) / len(a):.0f} %" if a else "-"


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table, as Markdown; a figure of A, then of B."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    options = parser.parse_args(arguments)
    rows = compare(facts(Corpus(options.a)), facts(Corpus(options.b)))
    print("| " + " | ".join(rows[0]) + " |\n" + "| --- " * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
