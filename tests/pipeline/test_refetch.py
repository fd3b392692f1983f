"""Sources that were let go come back when a changed setting needs them, or fail by name."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from pipeline.build import build
from pipeline.config import load_config
from pipeline.corpus import Corpus
from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import _talk
from pipeline.demo.server import serve
from pipeline.demo.voice import speak


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    times = [Fraction(i, 25) for i in range(100)]
    talk = [(load_portraits()[0], speak(4.0, 200, 1.0, 1), 4.0)]
    _talk(folder / "talk.mp4", talk, times, 0.08, np.random.default_rng(1))
    return folder


def test_media_let_go_is_fetched_again_when_needed(site, tmp_path):
    out = tmp_path / "corpus"
    settings = ("download.keep_sources=never", "download.sleep_max_s=0",
                "download.sleep_min_s=0", "download.min_free_gb=0.01")
    with serve(site) as address:
        link = f"{address}/talk.mp4"
        first = build([link], out, load_config(None, settings))
        assert first.num_samples > 0
        assert not list((out / "work" / "media").glob("*.mp4")), "the media is let go"
        changed = (*settings, "sync.correct=false")
        again = build([link], out, load_config(None, changed))
        assert again.num_samples == first.num_samples
        assert not Corpus(out).rows("failures")
    # The site is gone: a change that needs the media fails by name.
    build([link], out, load_config(None, (*settings, "sync.search_ms=300")))
    failures = Corpus(out).rows("failures")
    assert failures and "let go" in failures[0]["exception"]
