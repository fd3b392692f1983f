"""The funnel: one row per stage, from the ledger's entries or from a corpus folder."""

from __future__ import annotations

from typing import Any

from pipeline.graph import Node
from pipeline.ledger import Entry

COLUMNS = ["stage", "inputs", "accepted", "rejected", "failed", "outputs", "pending"]
COST_COLUMNS = ["stage", "cpu_s", "cpu_s_per_video_s", "decoded_s_per_video_s", "peak_rss_mb"]


def rows(nodes: tuple[Node, ...], entries: dict[str, dict[str, Entry]],
         pending: dict[str, int] | None = None) -> list[dict[str, Any]]:
    """accepted + rejected + failed + pending = inputs in every row."""
    video_s = sum(
        record.duration_us / 1e6 for entry in entries.get("probe", {}).values()
        for record in entry.outputs)
    table = []
    for node in nodes:
        units = entries.get(node.name, {}).values()
        results = [r for entry in units for r in entry.results]
        waiting = (pending or {}).get(node.name, 0)
        table.append({
            "stage": node.name, "inputs": len(results) + waiting,
            "accepted": sum(r.records is not None for r in results),
            "rejected": sum(r.reject is not None for r in results),
            "failed": sum(r.failure is not None for r in results),
            "outputs": sum(len(r.records or []) for r in results), "pending": waiting,
            "cpu_s": round(sum(e.cpu_s for e in units), 2),
            "cpu_s_per_video_s": round(sum(e.cpu_s for e in units) / video_s, 4)
            if video_s else None,
            "decoded_s_per_video_s": round(sum(e.decoded_s for e in units) / video_s, 3)
            if video_s else None,
            "peak_rss_mb": round(max((e.peak_rss_mb for e in units), default=0.0), 1),
        })
    return table
