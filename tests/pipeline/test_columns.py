"""A column that is new is all that an old corpus does; thresholds take clips out, and bring them
back, without measuring anything."""

from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from manifests import records as rec
from manifests.corpus import Corpus
from manifests.schema import TABLES, write_table
from pipeline.browse.clips import Clips, Query
from pipeline.build.job import build
from pipeline.config.build_config import BuildConfig, load_config
from pipeline.config.settings import ConfigError
from pipeline.corpus.clean import clean_side_files
from pipeline.corpus.report import write_report
from pipeline.corpus.verify import verify
from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk, steady
from pipeline.demo.voice import speak
from pipeline.graph import MAIN_JOB, main_job
from pipeline.run.ledger import Entry, Result, decode
from stages.corpus.thresholds import RULES, ThresholdsConfig, fallen
from tests.factories import ONE_SHARD, Built, blank, fetched


def shards(root: Path) -> dict[str, tuple[int, int]]:
    """When each was written, and as which file."""
    found = sorted((root / "shards").glob("*/*.tar"))
    return {p.name: (p.stat().st_mtime_ns, p.stat().st_ino) for p in found}


def done_since(root: Path, line: int) -> list[str]:
    """Stages of the units that were finished and not reused, from a line of the log on."""
    rows = [json.loads(x) for x in (root / "work" / "log.jsonl").read_text().splitlines()[line:]]
    return [r["stage"] for r in rows if r["event"] == "finished"]


def length_of_log(root: Path) -> int:
    return len((root / "work" / "log.jsonl").read_text().splitlines())


def test_an_old_corpus_does_the_new_column_and_nothing_else(tmp_path, monkeypatch):
    """Also where `yld clean --side-files` was there."""
    source = tmp_path / "talk.mp4"
    talk = [(load_portraits()[0], speak(2.0, 200, 1.0, 1), 2.0)]
    draw_talk(source, talk, steady(Fraction(25), 2.0), 0.08, np.random.default_rng(1))
    root, settings = tmp_path / "corpus", ("workers.cpu_workers=1", "clips.mode=whole")
    before_scores = [n for n in MAIN_JOB if n.name not in ("scores", "opinions")]
    with monkeypatch.context() as old:  # a release whose graph ends with the clips
        old.setattr("pipeline.build.job.main_job", lambda _: tuple(before_scores))
        built = build([str(source)], root, load_config(None, settings))
    assert built.num_samples == 1
    assert clean_side_files(root).num_files > 0
    seal, was, line = (root / "SHA256SUMS").read_text(), shards(root), length_of_log(root)
    build([str(source)], root, load_config(None, settings))
    assert done_since(root, line) == ["scores"]
    assert shards(root) == was
    sums = [x for x in seal.splitlines() if x.endswith(".tar")]
    assert set(sums) <= set((root / "SHA256SUMS").read_text().splitlines())
    (clip,) = Corpus(root).rows("clips")
    scores = [f.name for f in dataclasses.fields(rec.Scores)]
    assert {n: clip[n] for n in scores if clip[n] is None} == {}
    assert clip["utmos"] is None and verify(root) == []
    line = length_of_log(root)
    build([str(source)], root, load_config(None, settings))
    assert done_since(root, line) == [], "and once more, nothing"


def test_opinions_are_a_stage_only_where_they_are_asked_for():
    names = [n.name for n in main_job(BuildConfig())]
    assert names[-1] == "scores" and len(names) + 1 == len(MAIN_JOB)
    asked = load_config(None, ("opinions.models=[dnsmos]",))
    assert main_job(asked) == MAIN_JOB


@pytest.fixture
def scored(tmp_path) -> Built:
    """Twelve clips, 0 to 11 dB of speech over noise; the last has no scores."""
    built = Built(tmp_path / "corpus", [fetched(f"v{i}", f"/d/v{i}.mp4") for i in range(6)])
    rows = [
        rec.Scores(c.clip_id, c.video_id, snr_db=float(i), yaw_deg=-3.0 * i)
        for i, c in enumerate(built.clips[:-1])
    ]
    built.entries["scores"] = {
        r.clip_id: Entry("scores", "u", "k", [Result("i", [r])]) for r in rows
    }
    return built


def with_thresholds(**limits: float) -> BuildConfig:
    return dataclasses.replace(ONE_SHARD, thresholds=ThresholdsConfig(**limits))


def test_a_clip_under_a_threshold_is_a_reject_and_comes_back_without_it(scored):
    before = scored.publish(ONE_SHARD)
    ids = [c.clip_id for c in scored.clips]
    after = scored.publish(with_thresholds(min_snr_db=2.0))
    assert set(before) - set(after) == set(ids[:2])
    assert all(before[c] == after[c] for c in after), "who stays keeps split and speaker"
    corpus = Corpus(scored.root)
    told = [(r["stage"], r["reason"], r["item_id"], r["measured"]) for r in corpus.rows("rejects")]
    assert told == [("shards", "noisy", ids[0], 0.0), ("shards", "noisy", ids[1], 1.0)]
    assert {r["threshold"] for r in corpus.rows("rejects")} == {2.0}
    now = shards(scored.root)
    assert scored.publish(with_thresholds(min_snr_db=2.0)) == after
    assert shards(scored.root) == now, "the same again changes nothing"
    turned = scored.publish(with_thresholds(max_yaw_deg=20.0))
    assert set(before) - set(turned) == set(ids[7:-1]), "an angle counts by its size"
    assert set(scored.publish(ONE_SHARD)) == set(before)
    assert Corpus(scored.root).rows("rejects") == []


def test_each_rule_has_a_setting_a_column_and_a_way():
    columns = {
        f.name for kind in (rec.Clip, rec.Scores, rec.Opinion) for f in dataclasses.fields(kind)
    }
    settings = {f.name for f in dataclasses.fields(ThresholdsConfig)}
    assert {r.setting for r in RULES} == settings and {r.column for r in RULES} <= columns
    clip = blank(rec.Clip, clip_id="c", speech_share=0.5)
    for rule in RULES:
        config = ThresholdsConfig(**{rule.setting: 3.0})
        for value, is_out in ((2.0, rule.setting[:3] == "min"), (4.0, rule.setting[:3] == "max")):
            if rule.column == "speech_share":
                continue
            kind = rec.Scores if hasattr(rec.Scores, rule.column) else rec.Opinion
            record = kind("c", "v", **{rule.column: value})
            pair = (record, None) if kind is rec.Scores else (None, record)
            found = fallen(clip, *pair, config)
            assert (found is not None) == is_out, rule
            assert found is None or (found.reason, found.measured) == (rule.reason, value)
        assert fallen(clip, None, None, ThresholdsConfig(max_music=0.1)) is None
    assert fallen(clip, None, None, ThresholdsConfig(min_speech_share=0.6)).measured == 0.5
    with pytest.raises(ConfigError, match=r"thresholds\.max_music must be from 0 to 1"):
        load_config(None, ("thresholds.max_music=2",))


def test_scores_are_read_where_clips_are_looked_at(scored):
    scored.publish(with_thresholds(min_snr_db=2.0))
    corpus = Corpus(scored.root)
    clips = Clips(corpus)
    assert "snr_db" in clips.scores and "utmos" not in clips.scores
    total, rows = clips.find(Query(least={"snr_db": 5.0}, order="snr_db", is_down=True))
    assert total == 6 and rows[0]["snr_db"] == 10.0
    # A corpus from before the scores has a table without them.
    part = scored.root / "manifests" / "clips" / "part-000000.parquet"
    new = pq.read_schema(part)
    assert new.field("snr_db").metadata[b"unit"] == b"dB"
    write_table(part, rec.Clip, sorted(scored.clips, key=lambda c: c.clip_id))
    assert set(pq.read_schema(part).names) < set(new.names)
    assert "snr_db" not in Clips(Corpus(scored.root)).scores


def test_the_report_shows_them_with_their_thresholds(tmp_path):
    from tests.pages.made import corpus as made

    root = made(tmp_path / "made", 8)
    assert "Scores of clips" not in write_report(Corpus(root)).read_text()
    rows = [
        decode(TABLES["clips"], row | {"snr_db": 10.0 + i, "music": 0.2})
        for i, row in enumerate(Corpus(root).rows("clips"))
    ]
    write_table(root / "manifests/clips/part-000000.parquet", TABLES["clips"], rows)
    (root / "config.yaml").write_text("thresholds: {min_snr_db: 12.0}\n")
    page = write_report(Corpus(root)).read_text()
    assert "Scores of clips" in page and "Speech over noise (dB, bins of 2), n = 8." in page
    assert "Dashed: threshold 12 dB" in page and "UTMOS" not in page
