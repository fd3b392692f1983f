"""`report.html`: one self-contained page that answers "can I trust this corpus, and why".

Everything on it is read back from the corpus folder: the manifests, the status rows and the
shards, so that the page shows what is there and not what a run believed.
"""

from __future__ import annotations

from pathlib import Path

from manifests.corpus import Corpus
from manifests.files import write_atomic
from manifests.page import render
from pipeline.corpus.report import listing, made_by, samples, summary


def write_report(corpus: Corpus, destination: Path | None = None) -> Path:
    """Write the page (default `{corpus}/report.html`) and return its path."""
    settings = made_by.settings(corpus)
    shown = samples.choose(corpus)
    page = render.page(
        Path(__file__).parent,
        "page.html",
        name=corpus.name,
        made=made_by.sentence(),
        settings=made_by.as_text(corpus),
        has_dataset=(corpus.root / "dataset.json").exists(),
        funnel=corpus.status(),
        reasons=listing.reasons(corpus),
        speakers=listing.speakers(corpus),
        sources=listing.sources(corpus),
        **listing.clips(corpus),
        thumbnails=[samples.thumbnail(corpus, s, made_by.max_residual_px(settings)) for s in shown],
        playable=samples.playable_within(corpus, shown),
        **summary.overview(corpus, settings),
    )
    destination = destination or corpus.root / "report.html"
    write_atomic(destination, page)
    return destination
