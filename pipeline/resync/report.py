"""The page of a correction: lags before and after, and what became of every clip."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import jinja2

from manifests.files import write_atomic
from pipeline.corpus.report import charts
from pipeline.resync import fates, names


def write_report(path: Path, name: str, rows: list[dict[str, Any]]) -> None:
    """Write the self-contained page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([Path(__file__).parent, Path(charts.__file__).parent]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    before = [r["video_lag_ms"] for r in rows if r.get("video_lag_ms") is not None]
    after = [r["residual_lag_ms"] for r in rows if r.get("residual_lag_ms") is not None]
    others = Counter(r["reason"] for r in rows if r["fate"] == fates.PASSED_OVER)
    clips = [r for r in rows if r["fate"] != fates.PASSED_OVER]
    page = environment.get_template("resync.html").render(
        name=names.shown(name),
        fates=sorted(Counter(r["fate"] for r in clips).items()),
        total=len(clips),
        charts=[
            charts.histogram(before, 40, "ms", "before", -600, 600),
            charts.histogram(after, 40, "ms", "after", -600, 600),
        ],
        within=sum(abs(x) <= fates.RESIDUAL_MS for x in after),
        remeasured=len(after),
        retimed=[r for r in clips if r.get("applied_drift_ppm")],
        told=[
            {**r, "clip_id": names.shown(r["clip_id"])}
            for r in clips
            if r["fate"] != fates.CORRECTED
        ],
        others=others.most_common(),
    )
    write_atomic(path, page)
