"""`yld merge`: two corpora as one, with no person in two parts, that can be built on."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
from click.testing import CliRunner

from manifests.corpus import Corpus
from manifests.shards import read_samples
from pipeline.build.published import read as read_published
from pipeline.care.merge import JOURNAL, merge
from pipeline.care.remove import remove
from pipeline.care.sides import MergeError
from pipeline.care.targets import Wanted
from pipeline.cli import main
from pipeline.config.build_config import BuildConfig
from pipeline.corpus.verify import verify
from pipeline.graph import MAIN_JOB
from pipeline.run.ledger import Ledger
from pipeline.storage import removed as record
from pipeline.storage.work_files import WorkFiles
from stages.clips.render import ClipsConfig
from stages.corpus.sharding import ShardsConfig
from tests.tended import Shown, Tended, people

FEW_SHARDS = BuildConfig(shards=ShardsConfig(min_per_split=2))
BOTH = Shown("in-both.mp4", 2, 300)
"""One video that both corpora have."""
SECOND = [*people(6, 1, first=40), Shown("person-3-elsewhere.mp4", 3, 301), BOTH]
"""Six persons of its own, and two that the first has too."""


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> tuple[Tended, Tended]:
    folder = tmp_path_factory.mktemp("merge")
    first = Tended(folder / "a", [*people(12, 1), BOTH], FEW_SHARDS).publish()
    return first, Tended(folder / "b", SECOND, FEW_SHARDS).publish()


@pytest.fixture(scope="module")
def merged(two, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("merged") / "c"
    merge(two[0].root, two[1].root, out)
    return out


def rows(root: Path, table: str = "samples") -> list[dict]:
    return Corpus(root).rows(table)


def test_ids_stay_unique_and_all_is_whole(two, merged):
    assert verify(merged) == []
    clips = [r["clip_id"] for r in rows(merged)]
    assert len(clips) == len(set(clips)) == 13 + 7
    for table in ("requests", "expanded", "sources", "videos", "tracks", "identities"):
        key = {"requests": "request_id", "expanded": "source_id", "sources": "source_id"}.get(
            table, "video_id"
        )
        names = [r[key] for r in rows(merged, table)]
        assert len(names) == len(set(names)), table
    addresses = {s.address for s in (*two[0].shown, *SECOND)}
    assert {r["address"] for r in rows(merged, "sources")} == addresses


def test_a_removal_from_one_names_the_other(two, tmp_path):
    a, b, c = (tmp_path / name for name in "abc")
    shutil.copytree(two[0].root, a)
    shutil.copytree(two[1].root, b)
    merge(a, b, c)
    gone = Wanted(videos=[BOTH.video_id])
    remedy = f"yld remove {c} --video {BOTH.video_id}"
    assert remedy in remove(a, gone).again and remedy in remove(b, gone, dry_run=True).again
    remove(c, gone)
    assert remedy not in remove(b, gone).again


def test_persons_are_known_again_and_in_one_part(two, merged):
    one = next(s for s in two[0].shown if s.person == 3)
    same = {r["video_id"]: r["speaker_id"] for r in rows(merged)}
    other = next(s for s in SECOND if s.person == 3)
    assert same[one.video_id] == same[other.video_id] == two[0].speaker_of(one)
    parts = defaultdict(set)
    for row in rows(merged):
        parts[row["speaker_id"]].add(row["split"])
    assert len(parts) == 12 + 6 and all(len(found) == 1 for found in parts.values())
    in_shards = {
        s.key: (s.facts["speaker_id"], s.facts["split"])
        for p in merged.rglob("*.tar")
        if "shards" in p.parts
        for s in read_samples(p)
    }
    assert in_shards == {r["clip_id"]: (r["speaker_id"], r["split"]) for r in rows(merged)}


def test_what_is_the_first_ones_stays(two, merged):
    for shard in two[0].root.glob("shards/*/*.tar"):
        assert (merged / shard.relative_to(two[0].root)).read_bytes() == shard.read_bytes()
    mine = {r["clip_id"]: r["split"] for r in rows(two[0].root)}
    assert {r["clip_id"]: r["split"] for r in rows(merged) if r["clip_id"] in mine} == mine


def test_a_build_goes_on_from_what_both_have_done(two, merged, tmp_path):
    """All is finished in C's ledger, and publishing it again changes no shard."""
    root = shutil.copytree(merged, tmp_path / "c")
    ledger = Ledger(root / "work" / "ledger")
    for side in two:
        for stage, units in side.entries.items():
            for unit, entry in units.items():
                assert ledger.get(stage, unit, entry.key) == entry, (stage, unit)
    ledger.close()
    entries = {n.name: two[0].entries[n.name] | two[1].entries[n.name] for n in MAIN_JOB}
    for side in two:
        for path in side.work.glob("clips/*.tar"):
            assert (root / "work" / "clips" / path.name).read_bytes() == path.read_bytes()
    before = {p: p.read_bytes() for p in root.glob("shards/*/*.tar")}
    again = two[0].__class__.__new__(Tended)
    again.root, again.files, again.config, again.entries = (
        root,
        WorkFiles(root / "work"),
        FEW_SHARDS,
        entries,
    )
    again.publish()
    assert {p: p.read_bytes() for p in root.glob("shards/*/*.tar")} == before
    assert verify(root) == []


def test_all_is_divided_anew_where_that_is_asked(two, tmp_path):
    done = merge(two[0].root, two[1].root, tmp_path / "c", anew=True)
    assert verify(tmp_path / "c") == [] and done.clips == (13, 7)
    splits = Corpus(tmp_path / "c").splits
    assert "18 speakers" in splits["reason"] and splits["policy"] == "speaker"


def test_what_one_removed_stays_out_of_both(two, tmp_path):
    a, b = (shutil.copytree(t.root, tmp_path / n) for t, n in zip(two, "ab", strict=True))
    remove(b, Wanted(videos=[BOTH.video_id]))
    alone = SECOND[0]
    remove(b, Wanted(videos=[alone.video_id]))
    done = merge(a, b, tmp_path / "c")
    assert done.kept_out == 1 and verify(tmp_path / "c") == []
    videos = {r["video_id"] for r in rows(tmp_path / "c")}
    assert not videos & {BOTH.video_id, alone.video_id} and len(videos) == 12 + 6
    removed = record.read(tmp_path / "c" / "work")
    assert all(removed.has("video", s.video_id) for s in (BOTH, alone))
    assert not list((tmp_path / "c" / "work").rglob(f"{BOTH.video_id}*"))


def test_corpora_that_were_built_otherwise_are_not_merged(two, tmp_path):
    config = BuildConfig(clips=ClipsConfig(max_frames=50), shards=FEW_SHARDS.shards)
    other = Tended(tmp_path / "b", people(2, 1, first=60), config).publish()
    with pytest.raises(MergeError, match=r"clips.max_frames: 75 and 50"):
        merge(two[0].root, other.root, tmp_path / "c")
    assert not (tmp_path / "c").exists()


def test_one_that_was_stopped_is_done_anew_and_others_are_not_touched(two, tmp_path, monkeypatch):
    from pipeline.care import merge as module

    with monkeypatch.context() as patched:
        patched.setattr(module, "describe", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            merge(two[0].root, two[1].root, tmp_path / "c")
    assert (tmp_path / "c" / "work" / JOURNAL).exists()
    merge(two[0].root, two[1].root, tmp_path / "c")
    assert verify(tmp_path / "c") == []
    with pytest.raises(MergeError, match="holds a corpus already"):
        merge(two[0].root, two[1].root, tmp_path / "c")
    copy = shutil.copytree(two[1].root, tmp_path / "copy", ignore=lambda d, n: {"work"} & set(n))
    with pytest.raises(MergeError, match="not a copy"):
        merge(two[0].root, copy, tmp_path / "d")


def test_the_command_tells_who_is_whom(two, tmp_path):
    asked = ["merge", str(two[0].root), str(two[1].root), "--out", str(tmp_path / "c")]
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 0, told.output
    assert "13 clips of A and 7 of B" in told.output and "1 video is in both" in told.output
    assert "the same person" in told.output
    assert json.loads((tmp_path / "c" / "work" / "published.json").read_text())["recipe"] == (
        read_published(two[0].work).recipe
    )
