"""What corpora say reaches the stages' keys, the speakers, the parts and the texts; nothing else
changes."""

from __future__ import annotations

import dataclasses
import json
import os
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from manifests import records as rec
from manifests.corpus import Corpus
from manifests.files import write_atomic
from manifests.sample_json import known
from manifests.shards import read_samples
from manifests.splits import SplitConfig
from pipeline.build.job import build, remember_hints
from pipeline.cli import main
from pipeline.config.build_config import BuildConfig, load_config, stage_configs
from pipeline.corpus import verify
from pipeline.graph import MAIN_JOB, NODES
from pipeline.run.ledger import Entry, Ledger, Result
from pipeline.run.scheduler import Runner
from pipeline.run.unit import Policy
from pipeline.storage.work_files import WorkFiles
from stages.base import Context
from stages.sources.download import Download, DownloadConfig
from stages.sources.expand import Expand, ExpandConfig
from tests.factories import Built, blank, fetched


def hint(name: str, request: str = "r", **values) -> rec.Hint:
    return rec.Hint(name, request, "grid", values.pop("called", name), **values)


class NoPools:
    num_running = 0


def runner(tmp_path) -> Runner:
    made = Runner(
        MAIN_JOB,
        stage_configs(BuildConfig()),
        WorkFiles(tmp_path),
        Ledger(tmp_path / "ledger"),
        NoPools(),
        Policy(),
    )
    return made


def keys_of(tmp_path, *hints: rec.Hint) -> dict[str, str]:
    """The keys of a video's units up to the tracks, where stages put out made-up records."""
    made, keys = runner(tmp_path), {}
    made.observe = lambda event, node, unit: event == "queued" and keys.update({node.name: unit})
    made.run([], hints)
    source = rec.Source("s", "r", "/a.mp4", "file", "")
    got = fetched("v", "/a.mp4", "s")
    video = blank(rec.Video, video_id="v", num_frames=100, frame_rate="25")
    shot = blank(rec.Shot, shot_id="v-s000", video_id="v")
    for name, record in (("expand", source), ("download", got), ("probe", video), ("shots", shot)):
        made._finish(NODES[name], Entry(name, "v", "k", [Result("i", [record])]), 1, "reused")
    return {
        name: (keys[name].key, keys[name].earlier.get("hints"))
        for name in ("download", "probe", "shots", "tracks")
    }


def test_hints_are_in_the_keys_of_the_stages_that_use_them_and_of_no_other(tmp_path):
    plain = keys_of(tmp_path)
    labels = keys_of(tmp_path, hint("a", speaker="s1", split="test", text="hello"))
    assert labels == plain, "speakers, parts and texts make no video anew"
    other = keys_of(tmp_path, hint("a", "another", start_s=1.0, end_s=2.0))
    assert other == plain
    spans = [hint("a", start_s=1.0, end_s=2.0), hint("b", start_s=0.0, end_s=1.0)]
    guided = keys_of(tmp_path, *spans)
    changed = {name for name in plain if guided[name][0] != plain[name][0]}
    assert changed == {"shots", "tracks"}
    assert [h.hint_id for h in guided["shots"][1]] == ["b", "a"]
    assert keys_of(tmp_path, *reversed(spans)) == guided
    renamed = keys_of(tmp_path, *(dataclasses.replace(h, name="x", split="val") for h in spans))
    assert {n: key for n, (key, _) in renamed.items()} == {n: key for n, (key, _) in guided.items()}


def test_hints_are_remembered_and_what_is_said_anew_counts(tmp_path):
    files = WorkFiles(tmp_path)
    assert remember_hints(files, []) == [] and not (tmp_path / "hints.json").exists()
    boxed = hint("a", boxes=[0.0, 0.0, 1.0, 1.0], start_s=1)
    remember_hints(files, [boxed])
    again = remember_hints(files, [hint("a", split="val"), hint("b")])
    assert [(h.hint_id, h.split, h.boxes) for h in again] == [("a", "val", []), ("b", None, [])]
    assert remember_hints(files, []) == again


@pytest.fixture
def built(tmp_path):
    """Three videos of two clips each; the first two are of a corpus."""
    sources = [fetched(v, tmp_path / f"{v}.mp4") for v in ("a", "b", "c")]
    made = Built(tmp_path / "c", sources)
    expanded = [rec.Source(f"s{v}", f"r{v}", f"/{v}.mp4", "file", "") for v in ("a", "b")]
    made.entries["expand"] = {
        s.source_id: Entry("expand", "u", "k", [Result("i", [s])]) for s in expanded
    }
    return made


def say(built: Built, *hints: rec.Hint) -> None:
    rows = json.dumps([vars(h) for h in hints])
    write_atomic(built.files.folder / "hints.json", rows)


def test_speakers_parts_and_texts_are_published(built):
    plain = built.publish()
    assert {s["split"] for s in plain.values()} == {"train"}
    say(
        built,
        hint("1", "ra", speaker="s1", split="train", text="bin blue"),
        hint("2", "rb", speaker="Actor 2", split="test", text="LATE", text_start_s=1.2,
             text_end_s=1.6),
    )  # fmt: skip
    samples = built.publish()
    assert samples["a-c0"]["speaker_id"] == "grid-s1"
    assert samples["b-c0"]["speaker_id"] == "grid-_actor_00000202"
    assert samples["c-c0"]["speaker_id"].startswith("spk-")
    assert samples["a-c0"]["text_reason"] and "reaches over" in samples["a-c0"]["text_reason"]
    assert samples["b-c1"]["words"] == [{"word": "LATE", "start_s": 0.2, "end_s": 0.6}]
    official = built.publish(BuildConfig(splits=SplitConfig(policy="official")))
    assert {k: s["split"] for k, s in official.items()} == {
        "a-c0": "train", "a-c1": "train", "b-c0": "test", "b-c1": "test",
    }  # fmt: skip
    corpus = Corpus(built.root)
    assert [r["speaker"] for r in corpus.rows("hints")] == ["s1", "Actor 2"]
    assert {r["item_id"]: r["detail"] for r in corpus.rows("rejects")} == dict.fromkeys(
        ("c-c0", "c-c1"), "its corpus gives it no part (splits.policy)"
    )
    reason = json.loads((built.root / "manifests" / "splits.json").read_text())["reason"]
    assert "as its corpora divide it" in reason


def test_a_corpus_of_before_hints_lacks_no_table(built):
    built.publish()
    (built.root / "manifests" / "hints" / "part-000000.parquet").unlink()
    told: list[str] = []
    verify._tables(Corpus(built.root), lambda where, problem: told.append(where))
    assert "manifests/hints" not in told and Corpus(built.root).rows("hints") == []


def test_a_corpus_whose_every_clip_has_a_part_is_divided_so(built):
    said = [hint(v, f"r{v}", split=p) for v, p in (("a", "val"), ("b", "test"))]
    say(built, *said)
    assert {s["split"] for s in built.publish().values()} == {"train"}, "c has no part"
    built.entries["expand"]["sc"] = Entry(
        "expand", "u", "k",
        [Result("i", [rec.Source("sc", "rc", "/c.mp4", "file", "")])],
    )  # fmt: skip
    say(built, *said, hint("c", "rc", split="train"))
    assert {k[0]: s["split"] for k, s in built.publish().items()} == {
        "a": "val", "b": "test", "c": "train",
    }  # fmt: skip


def test_lists_of_papers_find_clips_by_the_names_of_their_corpus(built):
    say(built, hint("1", "ra", called="s1/bbas3a"), hint("2", "rb", called="s1/bbaf2n"))
    config = BuildConfig(splits=SplitConfig(policy="list:grid_80_20"))
    samples = built.publish(config)
    assert {k[0]: s["split"] for k, s in samples.items()} == {"a": "test", "b": "train"}


def test_a_track_has_the_speaker_and_part_of_the_span_that_it_was_cut_in(built):
    tracks = [
        blank(
            rec.Track,
            track_id="a-t",
            video_id="a",
            hint_ids=["1"],
            hint_start_frames=[0],
            hint_end_frames=[25],
        )
    ]
    built.entries["tracks"] = {"a-t": Entry("tracks", "u", "k", [Result("i", tracks)])}
    say(
        built,
        hint("1", "ra", speaker="x", split="test", start_s=0.0, end_s=1.0, text="one"),
        hint("2", "ra", speaker="y", split="train", start_s=1.0, end_s=2.0, text="two"),
    )
    samples = built.publish(BuildConfig(splits=SplitConfig(policy="official")))
    assert {k: (s["speaker_id"], s["split"], s["text"]) for k, s in samples.items()} == {
        "a-c0": ("grid-x", "test", "one")
    }  # the second clip's span has no track of its own, and the hints on the video differ


def test_a_video_in_a_tar_is_copied_out_and_named_by_its_bytes(tmp_path):
    (tmp_path / "x.mp4").write_bytes(b"\0\0\0\x18ftypisom" + b"\1" * 3000)
    tar = tmp_path / "d.tar"
    with tarfile.open(tar, "w") as archive:
        archive.add(tmp_path / "x.mp4", "../../evil/0001.mp4")
    work = tmp_path / "work"
    work.mkdir()
    request = rec.Request("r", f"{tar}::../../evil/0001.mp4", "member", "")
    [[source]] = Expand(ExpandConfig()).process([request], Context(work))
    download = Download(DownloadConfig(min_free_gb=0.0))
    [[got]] = download.process([source], Context(work))
    assert (work / got.media_path).read_bytes() == (tmp_path / "x.mp4").read_bytes()
    assert got.media_path.startswith("media/f") and got.kind == "member"
    assert [p.name for p in tmp_path.rglob("*.mp4")] == ["x.mp4", (work / got.media_path).name]
    gone = dataclasses.replace(source, address=f"{tar}::none.mp4")
    [reject] = download.process([gone], Context(work))
    assert reject.reason == "gone" and "holds no none.mp4" in reject.detail


def test_the_command_tells_what_is_known_and_what_is_there(tmp_path):
    run = CliRunner().invoke
    everything = run(main, ["corpora", "--json"])
    rows = json.loads(everything.stdout)
    assert {"grid", "lip2wav", "utkface"} <= {r["name"] for r in rows}
    assert all(r["licence"] and r["hours"] and r["wanted_by"] and r["needs"] for r in rows)
    assert "s1, s2" in run(main, ["corpora", "grid"]).stdout
    found = json.loads(run(main, ["corpora", "lip2wav:chess", "--json"]).stdout)
    assert found["rows"] == 208 and found["parts"] == "test 3, train 204, val 1"
    (tmp_path / "s1").mkdir()
    (tmp_path / "s1" / "holiday.mpg").write_bytes(b"")
    wrong = run(main, ["corpora", f"grid:{tmp_path}"])
    assert wrong.exit_code == 2
    assert "expected files like s1/bbaf2n.mpg" in wrong.stderr and "holiday.mpg" in wrong.stderr
    assert run(main, ["corpora", "nothing"]).exit_code == 2


@pytest.mark.slow
def test_grid_from_its_folder_to_shards(tmp_path):
    """Two clips of s1, divided as in Ephrat et al. (2017, 6.1), with the times of their words."""
    data = Path(os.environ.get("YLD_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    source = data / "data" / "grid_s1"
    if not source.is_dir():
        pytest.skip("clips of GRID's s1 are not here; set YLD_SHARED to the folder with data/")
    for name in ("bbaf2n", "bbas3a"):
        for folder, suffix in (("s1", "mpg"), ("align/s3", "align")):  # as the archive misplaces it
            (tmp_path / "g" / folder).mkdir(parents=True, exist_ok=True)
            found = next(source.rglob(f"{name}.{suffix}"))
            (tmp_path / "g" / folder / found.name).write_bytes(found.read_bytes())
    settings = ("clips.mode=whole", "splits.policy=list:grid_80_20", "workers.cpu_workers=1")
    build([f"grid:{tmp_path / 'g'}"], tmp_path / "c", load_config(None, settings))
    samples = [
        known(sample.facts)
        for shard in (tmp_path / "c" / "shards").glob("*/*.tar")
        for sample in read_samples(shard)
    ]
    assert {(s["split"], s["text"], s["speaker_id"]) for s in samples} == {
        ("train", "bin blue at f two now", "grid-s1"),
        ("test", "bin blue at s three again", "grid-s1"),
    }
    assert all(len(s["words"]) == 6 and s["words"][0]["start_s"] > 0 for s in samples)
