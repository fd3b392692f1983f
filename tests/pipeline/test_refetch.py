"""Sources that were let go come back when a changed setting needs them, or fail by name."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from manifests.corpus import Corpus
from pipeline.build.job import build
from pipeline.config.build_config import load_config, stage_configs
from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk
from pipeline.demo.server import serve
from pipeline.demo.voice import speak
from pipeline.graph import MAIN_JOB
from pipeline.run import cluster
from pipeline.run.engines.engine import PoolSize
from pipeline.run.engines.process_engine import ProcessEngine
from pipeline.run.ledger import Ledger
from pipeline.run.pools import Pools
from pipeline.run.scheduler import Runner
from pipeline.run.unit import Policy
from pipeline.storage.lock import CorpusLock
from pipeline.storage.work_files import WorkFiles
from stages.sources.arguments import requests_from_arguments


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    times = [Fraction(i, 25) for i in range(100)]
    talk = [(load_portraits()[0], speak(4.0, 200, 1.0, 1), 4.0)]
    draw_talk(folder / "talk.mp4", talk, times, 0.08, np.random.default_rng(1))
    return folder


def test_media_let_go_is_fetched_again_when_needed(site, tmp_path):
    out = tmp_path / "corpus"
    settings = (
        "download.keep_sources=never",
        "download.sleep_max_s=0",
        "download.sleep_min_s=0",
        "download.min_free_gb=0.01",
        "download.allow_hosts=127.0.0.1",
    )
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


def test_a_file_that_went_away_is_named_and_tried_again_when_it_is_back(site, tmp_path):

    path, work = site / "talk.mp4", tmp_path / "work"
    nodes = MAIN_JOB[:3]

    def probed(min_duration_s: float):
        configs = stage_configs(load_config(None, (f"probe.min_duration_s={min_duration_s}",)))
        with CorpusLock(work) as lock:
            sizes = {"cpu": PoolSize(1, 0.5, 0), "net": PoolSize(1, 0, 0)}
            files = WorkFiles(work)
            pools = Pools(ProcessEngine(), files, lock.fence, sizes)
            runner = Runner(nodes, configs, files, Ledger(work / "ledger"), pools, Policy())
            try:
                entries = runner.run(requests)
            finally:
                pools.close()
        return next(iter(entries["probe"].values())).results[0]

    requests = requests_from_arguments([str(path)])

    cluster.prepare()
    assert probed(0.5).records
    away = path.rename(tmp_path / "elsewhere.mp4")
    failure = probed(0.4).failure
    assert failure.reason == "source_gone" and failure.retryable
    assert f"{path} is no longer there; put it, or a link to it, back" in failure.exception
    path.symlink_to(away)
    assert probed(0.4).records, "the same command again, with the file back"
