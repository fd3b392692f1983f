"""What a build would do: sources, durations, download, disk, time, stages; nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manifests.media.facts import MediaError, read_facts
from manifests.paths import as_path
from pipeline.config.build_config import BuildConfig, stage_configs
from pipeline.graph import main_job
from pipeline.run import cluster
from pipeline.run.tables import fitting, folded
from pipeline.storage.work_files import WorkFiles
from stages.sources.arguments import requests_from_arguments

CPU_S_PER_VIDEO_S = 0.40
"""Measured over the reference files on two cores (docs/benchmarks.md); machines differ."""
CLIP_MB_PER_S = 0.075
VIDEO_MB_PER_S = 0.35
"""A 1080p stream of a video site, roughly."""
REJECTED = "would be rejected"
"""Begins the note on a source that a build would not take."""


def describe(
    sources: Sequence[str],
    out: Path,
    config: BuildConfig,
    limit: int | None,
    destination: str | None = None,
) -> str:
    """The plan as text. Raises BadSourceError for an argument that is no source."""
    rows = source_lengths(sources, config, limit)
    known_s = sum(r["duration_s"] or 0.0 for r in rows)
    counted = [r for r in rows if not r["note"].startswith(REJECTED)]
    links = [r for r in counted if r["kind"] not in ("file", "member")]
    links_s = sum(r["duration_s"] or 0.0 for r in links)
    unknown = sum(r["duration_s"] is None for r in counted)
    cpus = config.workers.cpu_workers or cluster.visible_cpus()
    minutes = known_s * CPU_S_PER_VIDEO_S / cpus / 60
    files = WorkFiles(out / "work", f"{destination.rstrip('/')}/work" if destination else None)
    done = files.read("published.json") is not None
    lines = [
        fitting(rows, ["source", "kind", "duration_s", "note"], each=True),
        "",
        f"sources: {len(rows)}, known duration {known_s / 60:.1f} min"
        + (f", unknown for {unknown}" if unknown else ""),
        _expected(
            "download",
            f"{links_s * VIDEO_MB_PER_S:.0f} MB at most {config.download.max_height}p",
            links,
        ),
        _expected(
            "disk",
            f"{known_s * CLIP_MB_PER_S * 2 + links_s * VIDEO_MB_PER_S:.0f} MB "
            "(clips twice: side files and shards)",
            counted,
        ),
        _expected(
            "time", f"{minutes:.1f} min on {cpus} CPU workers, downloads not counted", counted
        ),
        "stages: " + " -> ".join(n.name for n in main_job(config)) + " -> speakers -> shards",
        f"{destination or out} "
        + (
            "holds a corpus: new sources are appended, finished work is kept"
            if done
            else "would be made"
        ),
    ]
    return "\n".join([lines[0], *map(folded, lines[1:])])


def _expected(what: str, amount: str, rows: Sequence[dict[str, Any]]) -> str:
    """A line of the plan, which counts what is known of `rows` and says so."""
    known = sum(r["duration_s"] is not None for r in rows)
    if rows and not known:
        return f"expected {what}: not known, as no duration is"
    of = f", for {known} of {len(rows)} sources" if known < len(rows) else ""
    return f"expected {what}: {amount}{of}"


def source_lengths(
    sources: Sequence[str], config: BuildConfig, limit: int | None = None
) -> list[dict[str, Any]]:
    """A row for each source: source, kind, duration_s and height_px (None where not known), note.

    Raises BadSourceError for an argument that is no source.
    """
    rows = []
    for request in requests_from_arguments(sources)[:limit]:
        length, height, note = None, None, ""
        if request.kind == "file":
            try:
                facts = read_facts(as_path(request.address))
                length, height = facts.duration_us / 1e6, facts.height_px
            except MediaError as error:
                note = f"{REJECTED}: {error.reason}"
        elif request.kind == "member":
            note = "in a tar"
        else:
            length, note = _link_length(request.address, config)
        rows.append(
            {
                "source": request.address,
                "kind": request.kind,
                "duration_s": None if length is None else round(length, 1),
                "height_px": height,
                "note": note,
            }
        )
    return rows


def _link_length(address: str, config: BuildConfig) -> tuple[float | None, str]:
    from stages.sources.download import errors, site

    expand = stage_configs(config)["expand"]
    try:
        found = site.list_videos(
            address, None, 200, site.cookie_options(expand), site.bounds_of(expand)
        )
    except Exception as error:  # a dead link is a line of the plan, not its end
        kind = errors.kind_of(error)
        verdict = REJECTED if kind in errors.FINAL else "would fail"
        return None, f"{verdict}: {kind}: {errors.cause_of(error)}"
    lengths = [f["duration_s"] for f in found if f.get("duration_s")]
    notes = [f"{len(found)} videos"] if len(found) != 1 else []
    if len(lengths) < len(found):
        notes.append(
            f"duration known of {len(lengths)}" if lengths else "its site states no duration"
        )
    return (sum(lengths) if lengths else None), ", ".join(notes)
