"""What grows with a corpus grows no faster than it: dispatching, resuming, appending, cleaning."""

from __future__ import annotations

from collections import Counter

import pytest

from benchmarks.growth import HerePools, build, requests_of
from benchmarks.simulated import CLIPS_PER_VIDEO, SIMULATED_JOB
from manifests.corpus import Corpus
from manifests.shards import read_samples
from pipeline.build import published, tables
from pipeline.corpus.clean import clean, clean_side_files
from pipeline.run.engines.engine import PoolSize
from pipeline.run.ledger import Ledger
from pipeline.run.scheduler import Runner
from pipeline.run.stage_runner import StageRunner
from pipeline.run.unit import Policy
from pipeline.storage.work_files import WorkFiles


def looks_a_dispatch(folder, num_waiting: int) -> int:
    """Units looked at by one dispatch, with so many links waiting and nothing that can start."""
    pools = HerePools(StageRunner(folder), {"cpu": PoolSize(4, 1, 0), "net": PoolSize(4, 1, 0)})
    runner = Runner(SIMULATED_JOB, {}, WorkFiles(folder), Ledger(folder / "l"), pools, Policy())
    for request in requests_of(num_waiting):
        runner._submit(SIMULATED_JOB[0], request.request_id, [request])
    runner._dispatch()
    assert pools.num_running == 4 and runner._queue.num_ready == num_waiting - 4
    assert runner.pending() == {"expand": num_waiting}
    before = runner._queue.num_looks
    runner._dispatch()
    return runner._queue.num_looks - before


def test_a_dispatch_looks_at_as_few_units_however_many_wait(tmp_path):
    assert looks_a_dispatch(tmp_path / "few", 100) == looks_a_dispatch(tmp_path / "many", 5000) == 1


def files_of(root) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for place in ("shards", "manifests")
        for p in (root / place).rglob("*")
        if p.is_file()
    }


@pytest.fixture
def small(monkeypatch):
    """A few samples count as many."""
    monkeypatch.setattr(tables, "PARTS_FROM", 100)
    monkeypatch.setattr(tables, "SORTED_AT_ONCE", 5)
    monkeypatch.setattr(published, "PART_SAMPLES", 60)


def test_an_append_writes_new_parts_alone_and_a_resume_nothing(small, tmp_path):
    root = tmp_path / "corpus"
    build(root, requests_of(20))
    first = files_of(root)
    stamps = {n: (root / n).stat().st_mtime_ns for n in first if n.endswith("0.parquet")}
    build(root, requests_of(26))
    grown = files_of(root)
    for table in ("videos", "shots", "tracks", "identities", "offsets", "clips", "samples"):
        old, new = (f"manifests/{table}/part-00000{i}.parquet" for i in (0, 1))
        assert (root / old).stat().st_mtime_ns == stamps[old], f"{table} was written again"
        assert new in grown
    assert all(grown[n] == first[n] for n in first if n.endswith(".tar"))
    corpus = Corpus(root)
    clips = [r["clip_id"] for r in corpus.rows("clips")]
    assert len(set(clips)) == len(clips) == 26 * CLIPS_PER_VIDEO
    assert {r["clip_id"] for r in corpus.rows("samples")} == set(clips)
    assert len(corpus.rows("speakers")) == len(corpus.rows("sources")) == 26
    state = published.read(root / "work")
    assert [s.clip_id for s in state.samples] and len(state.samples) == len(clips)
    parts = sorted((root / "work/published").iterdir())
    build(root, requests_of(26))
    assert files_of(root) == grown, "nothing is new"
    assert sorted((root / "work/published").iterdir()) == parts

    # A corpus made at once has the same rows.
    build(tmp_path / "whole" / "corpus", requests_of(26))
    whole = Corpus(tmp_path / "whole" / "corpus")
    for table in ("videos", "offsets", "clips"):
        rows = sorted(corpus.rows(table), key=str)
        assert rows == sorted(whole.rows(table), key=str)


def test_a_changed_unit_has_the_tables_written_anew(small, tmp_path):
    root = tmp_path / "corpus"
    build(root, requests_of(12))
    build(root, requests_of(14))
    ledger = Ledger(root / "work" / "ledger")
    unit = next(ledger.rows("sync")).unit
    ledger.forget("sync", lambda entry: entry["unit"] == unit)
    ledger.close()
    build(root, requests_of(14))
    assert not list((root / "manifests").glob("*/part-000001.parquet"))
    assert len(Corpus(root).rows("offsets")) == 14


def test_cleaned_side_files_are_missed_by_nobody_who_appends(tmp_path):
    root = tmp_path / "corpus"
    build(root, requests_of(5))
    work = root / "work"
    before, entries = files_of(root), len(list(Ledger(work / "ledger").rows()))
    done = clean_side_files(root)
    assert (done.num_files, done.stages) == (5, ("shots",))
    assert not list((work / "shots").iterdir())
    assert len(list((work / "clips").iterdir())) == 5 * CLIPS_PER_VIDEO
    build(root, requests_of(5))
    assert files_of(root) == before
    assert len(list(Ledger(work / "ledger").rows())) == entries
    assert not list((work / "shots").iterdir()), "nothing was done again"

    # What is done again for another reason needs them: they are made again.
    ledger = Ledger(work / "ledger")
    unit = next(ledger.rows("tracks")).unit
    ledger.forget("tracks", lambda entry: entry["unit"] == unit)
    ledger.close()
    build(root, requests_of(6))
    assert {p.name.split("-")[0] for p in (work / "shots").iterdir()} >= {unit}
    removed, left = clean(root)
    assert removed and left == []


def test_a_run_that_was_not_published_keeps_its_side_files(tmp_path):
    root = tmp_path / "corpus"
    build(root, requests_of(2))
    (root / "work" / "published.json").unlink()
    with pytest.raises(ValueError, match="needed to go on"):
        clean_side_files(root)


def requests_of_publishing(root, num_videos: int, monkeypatch) -> dict[str, int]:
    """What is asked of the address by a publication whose payloads lie there alone."""
    address = f"memory://{root.name}/corpus"
    build(root, requests_of(num_videos), address)
    files = WorkFiles(root / "work", f"{address}/work")
    names = [f"clips/{p.name}" for p in (root / "work/clips").iterdir()]
    files.send(names)
    for name in names:
        (root / "work" / name).unlink()
    (root / "work" / "published.json").unlink()
    asked: Counter[str] = Counter()
    do = WorkFiles._do

    def counted(self, action):
        asked[getattr(getattr(action, "func", None), "__name__", "other")] += 1
        return do(self, action)

    with monkeypatch.context() as patch:
        patch.setattr(WorkFiles, "_do", counted)
        build(root, requests_of(num_videos), address)
    return asked


def test_publishing_asks_an_address_once_a_clip(tmp_path, monkeypatch):
    few, many = (requests_of_publishing(tmp_path / f"n{n}", n, monkeypatch) for n in (6, 18))
    assert (few.pop("_get"), many.pop("_get")) == (6 * CLIPS_PER_VIDEO, 18 * CLIPS_PER_VIDEO)
    # The rest lists folders, and sends what the ledger has: as much however many clips there are.
    assert few == many and sum(few.values()) <= 6


@pytest.mark.slow
def test_twenty_thousand_clips(tmp_path):
    few = build(tmp_path / "few", requests_of(200))
    many = build(tmp_path / "many", requests_of(2000))
    assert many["clips"] == 20_000
    assert many["driver_cpu_ms_per_clip"] < 2 * few["driver_cpu_ms_per_clip"]
    shards = sorted((tmp_path / "many" / "shards").glob("*/*.tar"))
    assert sum(1 for shard in shards for _ in read_samples(shard)) == 20_000
