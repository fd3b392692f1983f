"""`yld remove`: nothing of it is left, the rest is as it was, and no build brings it back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
import sqlite3
import sys
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import av
import pytest
from click.testing import CliRunner

from manifests import records as rec
from manifests.corpus import Corpus, NotACorpusError
from manifests.files import write_atomic
from manifests.schema import write_table
from manifests.shards import read_samples
from pipeline.build import staying_out, taking_out
from pipeline.build.gone import begun
from pipeline.care.likeness import embedding_of
from pipeline.care.remove import needles, remove
from pipeline.care.targets import TargetError, Wanted, choose
from pipeline.care.traces import traces
from pipeline.cli import main
from pipeline.config.build_config import BuildConfig
from pipeline.corpus import marks
from pipeline.corpus.verify import verify
from pipeline.export.whole import export_whole
from pipeline.run.entry import Entry, Result
from pipeline.run.ledger import Ledger
from pipeline.run.left_out import without
from pipeline.storage import made, own_folder
from pipeline.storage import removed as record
from pipeline.storage.lock import CorpusBusyError, CorpusLock
from pipeline.storage.removing import JOURNAL
from pipeline.storage.work_files import WorkFiles
from stages.corpus.sharding import ShardsConfig
from stages.sources.arguments import Given
from tests.grid_copies import grid_videos
from tests.tended import Shown, Tended, face_of, people

FEW_SHARDS = BuildConfig(shards=ShardsConfig(min_per_split=3))


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Tended:
    """Eleven persons, one of them in two videos; nothing here may be changed."""
    shown = [*people(11, 1), Shown("person-4-again.mp4", 4, 900)]
    return Tended(tmp_path_factory.mktemp("remove") / "corpus", shown, FEW_SHARDS).publish()


@pytest.fixture
def corpus(built, tmp_path) -> Path:
    return shutil.copytree(built.root, tmp_path / "corpus")


@pytest.fixture(scope="module")
def without_one(built, tmp_path_factory) -> dict[str, str]:
    """The state of the corpus once its eighth video was removed, without a stop."""
    root = shutil.copytree(built.root, tmp_path_factory.mktemp("whole") / "corpus")
    remove(root, Wanted(videos=[built.shown[7].video_id]))
    return state(root)


def shards(root: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((root / "shards").glob("*/*.tar"))}


def state(root: Path) -> dict[str, str]:
    """Of all files whose bytes may not depend on when or how often a command ran."""
    loose = {"lock", "fence", "hashes.json", "entries.db", ".yld.json", record.NAME}
    return {
        p.relative_to(root).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(root.rglob("*"))
        if p.is_file() and p.name not in loose
    }


def words_of(shown: Shown) -> list[str]:
    return [
        shown.video_id,
        shown.source_id,
        shown.request_id,
        shown.address,
        shown.name,
        shown.sha256,
    ]


def unpacked(root: Path) -> bytes:
    """All bytes of a corpus, the ledger's entries unpacked, written apart from `traces`."""
    found = [p.read_bytes() + p.name.encode() for p in root.rglob("*") if p.is_file()]
    with closing(sqlite3.connect(root / "work" / "ledger" / "entries.db")) as base:
        found += [zlib.decompress(c) for (c,) in base.execute("SELECT content FROM entries")]
    for table in (root / "manifests").iterdir():
        if table.is_dir():
            found.append(repr(Corpus(root).rows(table.name)).encode())
    return b"\n".join(found)


def test_a_video_leaves_no_trace_and_the_rest_as_it_was(built, corpus):
    gone = built.shown[3]
    assert all(word.encode() in unpacked(corpus) for word in words_of(gone))
    before, rows = shards(corpus), Corpus(corpus).rows("samples")
    told = remove(corpus, Wanted(videos=[gone.video_id]))
    assert told.traces == [] and verify(corpus) == []
    left = unpacked(corpus)
    assert [word for word in words_of(gone) if word.encode() in left] == []
    assert b"shots of " + gone.name.encode() not in left  # nor what stood in its side files
    now = shards(corpus)
    mine = {Path(r["shard"]).name for r in rows if r["video_id"] == gone.video_id}
    assert {name for name in before if before[name] != now.get(name)} == mine
    kept = [r["clip_id"] for r in rows if r["video_id"] != gone.video_id]
    assert {r["clip_id"] for r in Corpus(corpus).rows("samples")} == set(kept)
    status = {r["stage"]: r["inputs"] for r in Corpus(corpus).status()}
    assert status["expand"] == status["clips"] == len(built.shown) - 1


def test_the_freed_pages_of_the_ledger_are_empty(built, corpus):
    """Deleted rows stay in SQLite's free pages unless they are overwritten."""
    unit = built.shown[0].video_id
    path = corpus / "work" / "ledger" / "entries.db"
    assert unit.encode() in path.read_bytes()
    remove(corpus, Wanted(videos=[unit]))
    assert unit.encode() not in path.read_bytes()
    wal = path.with_name("entries.db-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    with closing(sqlite3.connect(path)) as base:
        assert base.execute("PRAGMA freelist_count").fetchone() == (0,)


def test_a_person_goes_with_all_videos_and_the_embeddings(built, corpus):
    one = built.shown[4]
    speaker = built.speaker_of(one)
    told = remove(corpus, Wanted(speakers=[speaker]))
    assert told.chosen.gone.clips == 2 and verify(corpus) == []
    theirs = face_of(one.person)
    assert all(r["embedding"] != theirs for r in Corpus(corpus).rows("identities"))
    assert speaker.encode() not in unpacked(corpus)


def test_what_is_next_to_it_is_the_same_as_if_it_had_never_been_there(built, corpus, tmp_path):
    """A build of the rest finds all published: nothing is written again but for the seals."""
    gone = built.shown[3]
    remove(corpus, Wanted(sources=[gone.address]))
    before = shards(corpus)
    rest = Tended(tmp_path / "other", [s for s in built.shown if s is not gone], FEW_SHARDS)
    rest.root, rest.files = corpus, WorkFiles(corpus / "work")
    rest.publish()
    assert shards(corpus) == before and verify(corpus) == []


@contextmanager
def stopping_at(monkeypatch, step: int) -> Iterator[None]:
    """A removal inside ends before a step, as if it were killed."""
    steps = taking_out._Taking.steps

    def stopped(self, name):
        found = steps(self, name)
        found[step] = (found[step][0], lambda: sys.exit(137))
        return found

    with monkeypatch.context() as patched:
        patched.setattr(taking_out._Taking, "steps", stopped)
        yield


@pytest.mark.parametrize("step", [0, 1, 4, 5, 6, 8])
def test_a_removal_that_was_stopped_is_completed(built, corpus, without_one, monkeypatch, step):
    """Between its steps; the outcome is that of one which was not stopped."""
    gone = built.shown[7]
    with stopping_at(monkeypatch, step), pytest.raises(SystemExit):
        remove(corpus, Wanted(videos=[gone.video_id]))
    assert begun(corpus / "work") is not None
    told = remove(corpus, Wanted())
    assert told.was is not None and told.traces == [] and verify(corpus) == []
    assert state(corpus) == without_one and not (corpus / "work" / JOURNAL).exists()


def test_the_same_command_completes_it_and_an_export_waits(built, corpus, monkeypatch, tmp_path):
    gone, other = built.shown[7], built.shown[2]
    export_whole(corpus, tmp_path / "e", "huggingface")
    with stopping_at(monkeypatch, 8), pytest.raises(SystemExit):
        remove(corpus, Wanted(speakers=[built.speaker_of(gone)]))
    with pytest.raises(ValueError, match=f"yld remove {corpus}"):
        export_whole(corpus, tmp_path / "new", "huggingface")
    assert not (tmp_path / "new").exists()
    assert any(JOURNAL in p["where"] for p in verify(corpus))
    asked = ["remove", str(corpus), "--speaker", built.speaker_of(gone), "--yes"]
    dry = CliRunner().invoke(main, [*asked, "--dry-run"])
    assert dry.exit_code == 0 and "a removal was stopped" in dry.output, dry.output
    told = CliRunner().invoke(main, asked)
    assert told.exit_code == 0, told.output
    assert "completed: 1 video of 1 source with 1 clip\n" in told.output
    assert f"--out {tmp_path / 'e'}" in told.output and verify(corpus) == []
    with stopping_at(monkeypatch, 8), pytest.raises(SystemExit):
        remove(corpus, Wanted(videos=[other.video_id]))
    both = remove(corpus, Wanted(videos=[other.video_id, built.shown[1].video_id]))
    assert both.was and both.chosen and both.chosen.gone.videos == {built.shown[1].video_id}


def test_a_folder_that_is_being_built_is_told_as_such(tmp_path):
    own_folder.claim(tmp_path, "corpus")
    with CorpusLock(tmp_path / "work"), pytest.raises(CorpusBusyError, match="being built by"):
        remove(tmp_path, Wanted(videos=["v"]))
    with pytest.raises(NotACorpusError):
        remove(tmp_path, Wanted(videos=["v"]))


def test_a_build_completes_a_removal_that_was_stopped(built, corpus, monkeypatch, capsys):
    gone = built.shown[7]
    with stopping_at(monkeypatch, 4), pytest.raises(SystemExit):
        remove(corpus, Wanted(videos=[gone.video_id]))
    staying_out.complete(corpus, WorkFiles(corpus / "work"))
    assert "completed first" in capsys.readouterr().err
    assert verify(corpus) == [] and not traces(corpus, words_of(gone))


def test_what_is_asked_for_again_is_not_taken(built, corpus, capsys):
    gone, other = built.shown[1], built.shown[2]
    remove(corpus, Wanted(videos=[gone.video_id]))
    requests = [rec.Request(s.request_id, s.address, "link", "x") for s in (gone, other)]
    kept = staying_out.without(Given(requests, []), corpus / "work")
    assert [r.address for r in kept.requests] == [other.address]
    assert "not taken in again" in capsys.readouterr().err


def test_the_same_bytes_by_another_link_are_a_reject(built, corpus):
    gone = built.shown[1]
    remove(corpus, Wanted(videos=[gone.video_id]))
    removed = record.read(corpus / "work")
    again = next(iter(built.entries["download"][gone.source_id].outputs))
    moved = dataclasses.replace(again, source_id="vother", address="https://elsewhere.example/x")
    entry = Entry("download", "vother", "k", [Result("vother", [moved])])
    kept, found = without(entry, removed)
    assert found == [moved] and kept.outputs == []
    assert kept.results[0].reject is not None and kept.results[0].reject.reason == "removed"
    other = built.entries["download"][built.shown[2].source_id]
    assert without(other, removed) == (other, [])


def test_a_playlist_loses_one_video_and_keeps_the_others():
    removed = record.Removed()
    removed.add("video", ["youtube_abcdefghijk"])
    videos = [
        rec.Source(f"v{i}", "r", f"https://youtu.be/{i}", "link", "x", i, "Youtube")
        for i in ("abcdefghijk", "lmnopqrstuv")
    ]
    kept, gone = without(Entry("expand", "r", "k", [Result("r", videos)]), removed)
    assert kept.outputs == videos[1:] and gone == videos[:1]


def test_a_remembered_face_is_known_in_new_videos_and_a_forgotten_one_is_not(built, corpus):
    one, new = built.shown[4], built.entries["identity"]
    remove(corpus, Wanted(speakers=[built.speaker_of(one)], remember_face=True))
    removed = record.read(corpus / "work")
    assert removed.is_face("dlib_resnet-1", face_of(one.person))
    assert not removed.is_face("dlib_resnet-1", face_of(one.person + 1))
    kept, gone = without(new[one.video_id], removed)
    assert gone and kept.results[0].reject is not None


def test_the_record_names_nothing(built, corpus):
    gone = built.shown[1]
    remove(corpus, Wanted(speakers=[built.speaker_of(gone)]))
    text = (corpus / "work" / record.NAME).read_text()
    assert not any(word in text for word in words_of(gone)) and '"faces": []' in text
    other = record.Removed()
    other.add("address", [gone.address])
    assert not set(other.groups[0].digests["address"]) & set(json.dumps(text).split('"'))


def test_a_photo_finds_the_person_and_tells_the_distance(tmp_path):
    """Two real persons cannot be had here: the other one is a made-up embedding, far away."""
    photo, embedding = tmp_path / "face.jpg", tmp_path / "other.jpg"
    for video, path in zip(grid_videos(2), (photo, embedding), strict=True):
        with av.open(str(video)) as container:
            next(container.decode(video=0)).to_image().resize((720, 576)).save(path, quality=90)
    one, other = people(2, 1)
    corpus = Tended(tmp_path / "corpus", [one, other], FEW_SHARDS)
    vector = embedding_of(str(embedding), "dlib_resnet-1").tolist()
    entry = corpus.entries["identity"][one.video_id]
    seen = dataclasses.replace(entry.outputs[0], embedding=vector)
    corpus.entries["identity"][one.video_id] = dataclasses.replace(
        entry, results=[Result(entry.results[0].item_id, [seen])]
    )
    corpus.publish()
    told = remove(corpus.root, Wanted(photos=[str(photo)]))
    assert [(m.video_id, m.is_same) for m in told.chosen.matches] == [(one.video_id, True)]
    assert 0 < told.chosen.matches[0].distance < told.chosen.matches[0].limit == 0.55
    assert {r["video_id"] for r in Corpus(corpus.root).rows("samples")} == {other.video_id}
    nobody = remove(corpus.root, Wanted(photos=[str(photo)]))
    assert nobody.chosen.matches == [] and not nobody.chosen.gone


def test_marks_and_exports_are_thought_of(built, corpus, tmp_path):
    gone = built.shown[3]
    clip = f"{gone.video_id}-s000-t000-c000"
    marks.write(corpus / "work", {clip: marks.make("other")})
    export_whole(corpus, tmp_path / "e", "huggingface")
    told = remove(corpus, Wanted(videos=[gone.video_id]))
    assert marks.read(corpus / "work") == {}
    assert told.again == [
        f"yld clean {tmp_path / 'e'} --yes && yld export {corpus} --as huggingface "
        f"--out {tmp_path / 'e'}"
    ]


def test_an_export_that_does_not_say_what_it_holds_is_named(built, corpus, tmp_path):
    """Names of some forms tell the speaker alone; one that says, and has others, is not named."""
    gone, wanted = built.shown[3], Wanted(videos=[built.shown[3].video_id])
    for name, told in (
        ("has", {"videos": [gone.video_id]}),
        ("has-not", {"videos": ["other"]}),
        ("untold", {}),
    ):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "export.json").write_text(json.dumps({"form": "synctalk"} | told))
        made.note(corpus, tmp_path / name, "export", as_="synctalk")
    named = remove(corpus, wanted, dry_run=True).again
    assert [c.rpartition("/")[2] for c in named] == ["has", "untold"]


def test_traces_of_another_link_name_it_and_its_removal(built, tmp_path):
    """The same file elsewhere, of which nothing came in, has the name in its address."""
    shown = [*people(3, 1), Shown("speech.mp4", 5, folder="https://one.example/")]
    made = Tended(tmp_path / "corpus", shown, FEW_SHARDS)
    link = "https://two.example/speech.mp4?again"
    asked = json.loads((made.work / "requests.json").read_text())
    other = {**asked[0], "request_id": "rother", "address": link}
    made.entries["expand"]["rother"] = Entry("expand", "rother", "k", [])
    write_atomic(made.work / "requests.json", json.dumps([*asked, other]))
    made.publish()
    path = made.root / "manifests/requests/part-000000.parquet"
    write_table(path, rec.Request, [rec.Request(**row) for row in (*asked, other)])
    told = CliRunner().invoke(main, ["remove", str(made.root), "--video", shown[-1].video_id])
    assert told.exit_code == 1 and "look at these files" not in told.output, told.output
    assert f"yld remove {made.root} --source '{link}'" in told.output
    rest = CliRunner().invoke(main, ["remove", str(made.root), "--source", link])
    assert rest.exit_code == 0, rest.output


def test_the_commands_words_and_the_dry_run(built, corpus):
    gone = built.shown[3]
    before = state(corpus)
    asked = ["remove", str(corpus), "--video", gone.video_id]
    told = CliRunner().invoke(main, [*asked, "--dry-run"])
    assert told.exit_code == 0, told.output
    assert "would go: 1 video of 1 source with 1 clip, in 1 shard\n" in told.output
    assert state(corpus) == before
    done = CliRunner().invoke(main, [*asked, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)[0]["clips"] == 1 and "seals are new" in done.stderr
    again = CliRunner().invoke(main, asked)
    assert again.exit_code == 2 and "has no video" in again.output


@pytest.mark.parametrize(
    "wanted", [{"videos": ["x"]}, {"speakers": ["x"]}, {"sources": ["https://x.example/"]}]
)
def test_what_the_corpus_has_not_is_said(corpus, wanted):
    with pytest.raises(TargetError, match="has no"):
        remove(corpus, Wanted(**wanted))


def test_a_corpus_that_is_built_on_is_left_alone(corpus, built):
    with CorpusLock(corpus / "work"), pytest.raises(CorpusBusyError):
        remove(corpus, Wanted(videos=[built.shown[0].video_id]))


def test_traces_finds_what_is_packed(built):
    """The search itself: else no trace would mean nothing."""
    one = built.shown[0]
    gone = choose(Corpus(built.root), Wanted(videos=[one.video_id])).gone
    where = {
        name.split("/")[0] + "/" + name.split("/")[1]
        for name, _ in traces(built.root, needles(gone))
        if "/" in name
    }
    assert {"manifests/sources", "manifests/clips", "work/ledger", "work/log.jsonl"} <= where
    assert any(s.key in gone.ids for p in built.root.rglob("*.tar") for s in read_samples(p))


def test_a_ledger_is_rewritten_entry_by_entry(tmp_path):
    ledger = Ledger(tmp_path)
    for unit in ("a", "b", "c"):
        ledger.put(Entry("s", unit, "k", [Result(unit, [])]), rec.Source)
    edits = {"a": None, "b": '{"stage":"s","unit":"b","key":"k","kind":"Source","results":[]}'}
    assert ledger.rewrite(lambda row: edits.get(row.unit, row.text)) == 2
    assert ledger.get("s", "a", "k") is None
    kept = ledger.get("s", "b", "k")
    assert kept is not None and kept.results == []
    assert ledger.get("s", "c", "k") is not None


@pytest.mark.slow
def test_at_an_address_it_goes_there_too(built, tmp_path, monkeypatch):
    """An object store: what was mirrored, side files, and the ledger's batches."""
    from pipeline.storage import mirror
    from tests.buckets import served_bucket

    gone, address = built.shown[3], "s3://corpora/mine"
    monkeypatch.setenv("YLD_CACHE", str(tmp_path / "cache"))
    with served_bucket(monkeypatch) as bucket:
        root = shutil.copytree(built.root, tmp_path / "corpus")
        files = WorkFiles(root / "work", f"{address}/work")
        ledger = Ledger(root / "work" / "ledger", files)
        ledger.rewrite(lambda row: row.text)  # nothing was sent yet
        ledger.send()
        files.flush()
        ledger.settle()
        ledger.close()
        sides = [
            p for f in ("shots", "tracks", "clips", "media") for p in (root / "work" / f).iterdir()
        ]
        files.send(p.relative_to(root / "work").as_posix() for p in sides)
        files.write("requests.json", (root / "work" / "requests.json").read_text())
        mirror.push(root, files)
        mirror.send_state(files)

        def there() -> bytes:
            bucket.invalidate_cache()
            names = bucket.find("corpora/mine")
            found = [n.encode() + bucket.cat_file(n) for n in names]
            found += [zlib.decompress(bucket.cat_file(n)) for n in names if n.endswith(".z")]
            return b"\n".join(found)

        assert all(word.encode() in there() for word in words_of(gone)[:4])
        told = remove(root, Wanted(videos=[gone.video_id]), files)
        assert told.traces == [] and verify(root) == []
        assert [word for word in words_of(gone) if word.encode() in there()] == []
        assert mirror.differences(root, files) == []
        assert bucket.exists(f"corpora/mine/work/{record.NAME}")
        shutil.rmtree(root / "work" / "ledger")
        assert mirror.pull_state(files) > 0
        again = Ledger(root / "work" / "ledger", files)
        other = built.shown[2]
        entry = built.entries["clips"][other.video_id]
        assert again.get("clips", other.video_id, entry.key) == entry
        again.close()
