"""A corpus goes out as links and comes back: the same shards, or a row that says what changed."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from manifests import records as rec
from manifests.corpus import Corpus
from manifests.links import Links, LinksError, is_links, read_links, text_of
from manifests.schema import TABLES, write_table
from pipeline.build.rebuilt import fates, summary
from pipeline.cli import main
from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk
from pipeline.demo.server import serve
from pipeline.demo.voice import speak
from tests.factories import blank, fetched

HERE = (
    *("--set", "download.allow_hosts=127.0.0.1"),
    *("--set", "download.sleep_min_s=0", "--set", "download.sleep_max_s=0"),
    *("--set", "download.min_free_gb=0.01", "--set", "workers.cpu_workers=1"),
)


def yld(*words: object, code: int = 0):
    told = CliRunner().invoke(main, [str(word) for word in words])
    assert told.exit_code == code, told.output
    return told


def test_export_and_rebuild_give_the_same_shards(tmp_path):
    """Of a list that says who speaks, when and where: without it, another clip would be cut."""
    site = tmp_path / "site"
    site.mkdir()
    talk = [(load_portraits()[0], speak(3.0, 200, 1.0, 1), 3.0)]
    times = [Fraction(i, 25) for i in range(75)]
    draw_talk(site / "talk.mp4", talk, times, 0.08, np.random.default_rng(1))
    file = tmp_path / "corpus.links"
    with serve(site) as address:
        link = f"{address}/talk.mp4"
        entry = {"id": "talk-1", "start-time": 0.6, "end-time": 2.6, "bbox": [0, 0, 1, 1]}
        entry["info"] = {"Person ID": "7", "Video Link": link}
        (tmp_path / "list.jsonl").write_text(json.dumps(entry))
        yld(
            "build",
            f"talkvid:{tmp_path / 'list.jsonl'}",
            "--out",
            tmp_path / "a",
            *HERE,
            "--set",
            "clips.mode=whole",
        )
        yld("export", tmp_path / "a", "--as", "links", "--out", file)
        yld("export", tmp_path / "a", "--as", "links", "--out", file)  # its own may be written over
        told = yld("build", f"links:{file}", "--out", tmp_path / "b", *HERE)
    assert "1 same; 1 of 1 clips are the same" in told.output
    first, second = (
        {p.name: p.read_bytes() for p in (tmp_path / name / "shards").rglob("*.tar")}
        for name in "ab"
    )
    assert first == second and first
    links = read_links(file)
    assert links.addresses == [link] and 'clips.mode="whole"' in links.settings()
    assert not any("allow_hosts" in s or "workers" in s for s in links.settings())
    (clip,) = links.videos[0]["clips"]
    left, top, right, bottom = clip["face_box"]
    assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
    assert (clip["start_frame"], clip["end_frame"]) == (15, 65) and clip[
        "speaker_id"
    ] == "talkvid-7"
    (said,) = links.videos[0]["hints"]
    assert said["boxes"] == [0.0, 0.0, 1.0, 1.0] and (said["start_s"], said["end_s"]) == (0.6, 2.6)
    here, there = (Corpus(tmp_path / name).rows("hints") for name in "ab")
    assert here == there and len(here) == 1
    assert str(tmp_path) not in file.read_text(), "no path of this machine"


SAID = {"corpus": "avspeech", "name": "a_1.0", "start_s": 1.0, "point_x": 0.5, "point_y": 0.5}


@pytest.mark.parametrize(
    "bad",
    [
        {"corpus": "../x"},
        {"corpus": None},
        {"name": 3},
        {"start_s": "1"},
        {"end_s": float("nan")},
        {"every_s": 0},
        {"split": "all"},
        {"boxes": [0.0, 0.0, 1.0], "box_times_s": [1.0]},
        {"boxes": "0 0 1 1"},
        {"transcript_path": "/etc/passwd"},
        {"text": "hello"},
        {"hint_id": "h"},
        {"unheard": 1},
    ],
)
def test_what_others_say_of_faces_is_looked_at(tmp_path, bad):
    video = {"address": "https://x.example/1", "video_id": "v", "clips": [], "hints": [SAID]}
    path = tmp_path / "a.links"
    path.write_text(text_of({}, [video]))
    (hint,) = read_links(path).hints({"https://x.example/1": "r1"})
    assert hint.point_x == 0.5 and hint.request_id == "r1" and hint.is_guide()
    assert read_links(path).hints({}) == []
    path.write_text(text_of({}, [video | {"hints": [SAID | bad]}]))
    with pytest.raises(LinksError, match="line 2"):
        read_links(path)


def rebuilt(tmp_path: Path) -> Corpus:
    """Of five links: one as it was, one cut otherwise, two with other bytes, one gone."""
    tables = {
        "sources": [
            replace(fetched(f"v{n}", f"/m/{n}.mp4", kind="link"), address=f"http://x/{n}")
            for n in (1, 2, 3, 4)
        ],
        "videos": [
            blank(rec.Video, video_id=f"v{n}", duration_us=5_000_000 - 1_000_000 * (n == 4))
            for n in (1, 2, 3, 4)
        ],
        "samples": [
            blank(rec.Sample, clip_id=f"v{n}-c0", video_id=f"v{n}", sha256=f"h{n}")
            for n in (1, 2, 3, 4)
        ],
        "failures": [blank(rec.Failure, stage="download", item_id="r5", reason="not_found")],
        "requests": [blank(rec.Request, request_id="r5", address="http://x/5")],
    }
    for name, rows in tables.items():
        path = tmp_path / "manifests" / name / "part-000000.parquet"
        path.parent.mkdir(parents=True)
        write_table(path, TABLES[name], rows)
    return Corpus(tmp_path)


def test_what_is_gone_or_changed_is_told(tmp_path):
    def video(number: int, sha256: str, clip_sha256: str) -> dict:
        clip = {"clip_id": f"v{number}-c0", "sha256": clip_sha256}
        return {
            "address": f"http://x/{number}",
            "video_id": f"v{number}",
            "sha256": sha256,
            "duration_us": 5_000_000,
            "clips": [clip],
        }

    links = Links(
        {},
        [
            video(1, "00", "h1"),
            video(2, "00", "other"),
            video(3, "11", "h"),
            video(4, "11", "h"),
            video(5, "00", "h"),
        ],
    )
    rows = fates(rebuilt(tmp_path), links)
    assert [r.fate for r in rows] == [
        "same",
        "same_video_other_clips",
        "other_bytes",
        "other_length",
        "gone",
    ]
    assert rows[3].detail == "5.00 s then, 4.00 s now" and rows[4].detail == "download: not_found"
    assert "1 of 5 clips are the same" in summary(rows)


def test_what_others_wrote_is_not_obeyed(tmp_path):
    head = {"settings": {"download.allow_hosts": ["10.0.0.1"], "workers.cpu_workers": 64}}
    good = {"address": "https://x.example/1", "video_id": "v", "clips": []}
    path = tmp_path / "a.links"
    path.write_text(text_of(head, [good]))
    assert is_links(path) and read_links(path).settings() == []
    for bad in (
        good | {"address": "/etc/passwd"},
        good | {"address": "file:///etc/passwd"},
        good | {"clips": [{}]},
        good | {"video_id": 3},
    ):
        path.write_text(text_of(head, [bad]))
        with pytest.raises(LinksError, match="line 2"):
            read_links(path)
    path.write_text("[1]\n")
    told = yld("build", f"links:{path}", "--out", tmp_path / "o", code=2)
    assert "no JSON object" in told.output or "no corpus as links" in told.output


def test_a_strangers_file_stays(tmp_path):
    corpus = rebuilt(tmp_path / "corpus")
    mine = tmp_path / "mine.txt"
    mine.write_text("MINE")
    told = yld("export", corpus.root, "--as", "links", "--out", mine, code=2)
    assert "in the way" in told.output and mine.read_text() == "MINE"


def test_the_rebuild_has_a_table(tmp_path):
    from pipeline.build.rebuilt import write_fates
    from pipeline.storage.own_folder import claim

    claim(tmp_path / "corpus", "corpus")
    corpus = rebuilt(tmp_path / "corpus")
    links = Links({}, [{"address": "http://x/1", "video_id": "v1", "sha256": "00", "clips": []}])
    write_fates(corpus.root, fates(corpus, links))
    (row,) = csv.DictReader((corpus.root / "rebuilt.csv").read_text().splitlines())
    assert row["address"] == "http://x/1" and json.loads(row["clips_here"]) == 1
