"""`report.html`: one self-contained page that answers "can I trust this corpus, and why".

Everything on it is read back from the corpus folder: the manifests, the status rows and the
shards, so that the page shows what is there and not what a run believed.
"""

from __future__ import annotations

from pathlib import Path

import jinja2

from manifests.corpus import Corpus
from manifests.files import write_atomic
from pipeline.corpus.report import samples, summary


def write_report(corpus: Corpus, destination: Path | None = None) -> Path:
    """Write the page (default `{corpus}/report.html`) and return its path."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = samples.choose(corpus)
    page = environment.get_template("page.html").render(
        name=corpus.name,
        funnel=corpus.status(),
        reasons=summary.reasons(corpus),
        thumbnails=[samples.thumbnail(corpus, s) for s in shown],
        clips=[samples.playable(corpus, s) for s in shown[: samples.NUM_PLAYABLE]],
        playable_note="stored at 25 fps and 16 kHz; the sound is the lossless audio.flac",
        **summary.overview(corpus),
    )
    destination = destination or corpus.root / "report.html"
    write_atomic(destination, page)
    return destination
