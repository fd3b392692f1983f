"""The funnel: one row per stage, from the ledger's entries or from a corpus folder."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from manifests.records import Fetched, Source, Video
from pipeline.graph import Node, of_kind, units_of_kind
from pipeline.run.finished import Entries, fallen, totals_of
from pipeline.run.tables import table

COLUMNS = ["stage", "inputs", "accepted", "rejected", "failed", "outputs", "pending"]
COST_COLUMNS = [
    "stage",
    "cpu_s",
    "cpu_s_per_video_s",
    "decoded_s_per_video_s",
    "decode_cpu_s_per_video_s",
    "peak_rss_mb",
    "pictures",
    "pictures_per_network_s",
    "pictures_per_worker_s",
    "networks_busy",
    "faces",
    "faces_per_network_s",
]
"""Pictures shown to the face detector and faces fitted with landmarks (`speed`)."""


def rows(
    nodes: tuple[Node, ...],
    entries: Entries,
    pending: dict[str, int] | None = None,
) -> list[dict[str, Any]]:
    """accepted + rejected + failed + pending = inputs in every row."""
    video_s = totals_of(units_of_kind(entries, Video)).video_us / 1e6
    table = []
    for node in nodes:
        total = totals_of(entries.get(node.name, {}))
        waiting = (pending or {}).get(node.name, 0)
        table.append(
            {
                "stage": node.name,
                "inputs": total.accepted + total.rejected + total.failed + waiting,
                "accepted": total.accepted,
                "rejected": total.rejected,
                "failed": total.failed,
                "outputs": total.outputs,
                "pending": waiting,
                "cpu_s": round(total.cpu_s, 2),
                "cpu_s_per_video_s": round(total.cpu_s / video_s, 4) if video_s else None,
                "decoded_s_per_video_s": round(total.decoded_s / video_s, 3) if video_s else None,
                "decode_cpu_s_per_video_s": _decode(total.extra, video_s),
                "peak_rss_mb": round(total.peak_rss_mb, 1),
                **speed(total.extra),
            }
        )
    return table


def _decode(extra: Mapping[str, float], video_s: float) -> float | None:
    """CPU-seconds of one decode a second of video, by the stage that sees every frame once."""
    spent = extra.get("decode_cpu_s", 0.0)
    return round(spent / video_s, 4) if spent and video_s else None


def cost_table(table_rows: list[dict[str, Any]]) -> str:
    """CPU time, decodes and memory by stage, within 80 columns, with a line on the networks."""
    shown = [
        {
            "stage": row["stage"],
            "cpu_s": row["cpu_s"],
            "cpu_s/video_s": row["cpu_s_per_video_s"],
            "decodes": row["decoded_s_per_video_s"],
            "peak_mb": row["peak_rss_mb"],
        }
        for row in table_rows
    ]
    each = [row["cpu_s_per_video_s"] for row in table_rows if row["cpu_s_per_video_s"] is not None]
    decodes = [r["decoded_s_per_video_s"] for r in table_rows if r["decoded_s_per_video_s"]]
    shown.append(
        {
            "stage": "all",
            "cpu_s": sum(row["cpu_s"] for row in table_rows),
            "cpu_s/video_s": sum(each) if each else None,
            "decodes": sum(decodes) if decodes else None,
            "peak_mb": max((row["peak_rss_mb"] for row in table_rows), default=None),
        }
    )
    lines = table(shown, ["stage", "cpu_s", "cpu_s/video_s", "decodes", "peak_mb"])
    plain = next((d for r in table_rows if (d := r.get("decode_cpu_s_per_video_s"))), None)
    if plain is not None and each:
        lines += (
            f"\none decode of these files, as the shots' pass makes it: {plain} CPU-s per video-s; "
            f"all stages: {sum(each) / plain:.1f} of it"
        )
    speed_told = next((r for r in table_rows if r.get("pictures")), None)
    if speed_told is None:
        return lines
    return (
        f"{lines}\ndetector: {speed_told['pictures']} pictures, "
        f"{speed_told['pictures_per_network_s']} a second of its own, "
        f"{speed_told['pictures_per_worker_s']} of a worker" + _busy_words(speed_told, "\n")
    )


def failure_rate(entries: Entries) -> float:
    """Share of sources and videos in which something failed, 0 to 1.

    A source that fell before its videos were known counts as one video, and a video with several
    failures as one.
    """
    failed = failed_units(entries)
    sources, videos = (totals_of(units_of_kind(entries, kind)) for kind in (Source, Fetched))
    fell = sources.rejected + sources.failed
    return len(failed) / max(1, fell + videos.accepted + videos.rejected + videos.failed)


def failed_units(entries: Entries) -> set[str]:
    """Sources and videos in which something failed."""
    return {
        unit
        for units in entries.values()
        for unit, entry in fallen(units)
        if any(r.failure is not None for r in entry.results)
    }


def notes(corpus: Any) -> list[dict[str, Any]]:
    """What is odd about videos that were kept, as rows like those of rejects."""
    return [
        {
            "stage": "probe",
            "reason": note.partition(": ")[0],
            "item_id": video["video_id"],
            "video_id": video["video_id"],
            "detail": f"kept: {note.partition(': ')[2]}",
        }
        for video in corpus.rows("videos")
        for note in video.get("notes") or []
    ]


def note_line(entries: Entries) -> str | None:
    """One sentence on videos that were kept though something is odd about them, or None."""
    words: dict[str, int] = defaultdict(int)
    for entry in of_kind(entries, Video):
        for record in entry.outputs:
            for word in {note.partition(": ")[0] for note in record.notes}:
                words[word] += 1
    if not words:
        return None
    listed = ", ".join(f"{n} {word}" for word, n in sorted(words.items()))
    return f"kept with a note: {listed} (`yld status --why` says what was found)"


def speed(total: Mapping[str, float]) -> dict[str, Any]:
    """What went through detector and landmarker, as measured in the workers; None if nothing did.

    Per second of the network: of its calls, with whatever the backend does around it. Per second
    of a worker: of all that the stage did, decoding included; time in which a worker had several
    videos in hand counts once.
    """

    def rate(items: str, seconds: str) -> float | None:
        of, over = total.get(items), total.get(seconds)
        return round(of / over, 1) if of and over else None

    return {
        "pictures": round(total.get("detector_items", 0)) or None,
        "pictures_per_network_s": rate("detector_items", "detector_s"),
        "pictures_per_worker_s": rate("detector_items", "worker_s"),
        "faces": round(total.get("landmarker_items", 0)) or None,
        "faces_per_network_s": rate("landmarker_items", "landmarker_s"),
        "networks_busy": _busy(total),
    }


def _busy(total: Mapping[str, float]) -> float | None:
    """The share of its time in which a worker's networks had something to do: how well decoding and
    all else feed them, on a GPU that stands for its utilisation."""
    spent = total.get("detector_s", 0.0) + total.get("landmarker_s", 0.0)
    worker_s = total.get("worker_s")
    return round(min(1.0, spent / worker_s), 3) if worker_s and spent else None


def speed_line(rows: list[dict[str, Any]], detector: str, landmarks: str) -> str | None:
    """One sentence on the speed of the networks, or None where none ran."""
    row = next((r for r in rows if r.get("pictures")), None)
    if row is None:
        return None
    text = (
        f"{detector}: {row['pictures']} pictures, {row['pictures_per_network_s']} per second "
        f"of its own, {row['pictures_per_worker_s']} per second of a worker"
    )
    if row["faces"]:
        text += f"; {landmarks}: {row['faces']} faces, {row['faces_per_network_s']} per second"
    return text + _busy_words(row, "; ")


def _busy_words(row: Mapping[str, Any], before: str) -> str:
    share = row.get("networks_busy")  # corpora of earlier releases have none
    return f"{before}networks at work {100 * share:.0f} % of the workers' time" if share else ""
