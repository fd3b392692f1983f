"""Files whose names are no text: worked like all others, and shown as any table can hold them."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import sys

import pytest

from evaluation.pairing import pair_folders
from manifests import records as rec
from manifests.paths import as_path, as_text, check_out, printable
from manifests.schema import write_table
from pipeline.build import job as build
from pipeline.graph import MAIN_JOB
from pipeline.run.ledger import Entry, Ledger, Result
from pipeline.run.stage_runner import Job, StageRunner, _result
from pipeline.storage import own_folder
from pipeline.storage.work_files import WorkFiles
from stages.faces.identity import face_of_photo
from stages.sources import layouts
from stages.sources.arguments import requests_from_arguments
from stages.sources.download import DownloadConfig
from stages.sources.expand import ExpandConfig
from stages.sources.probe import ProbeConfig
from stages.text.transcripts import transcript_of
from tests.stages.test_download import write_clip

NAMES = [
    b"caf\xe9.mp4",
    b"two\nlines.mp4",
    b"\xff\xfe.mp4",
    b"tab\tand\x1b[31m.mp4",
    b"half \xed\xa0\x80 pair.mp4",
    rb"a\xe9.mp4",
    rb"c:\x\n.mp4",
    b"\xc2\x85\xe2\x80\xa8.mp4",
    "plain é 😀 #1.mp4".encode(),
]


def test_the_text_of_a_path_is_its_own_and_leads_back():
    draw, seen = random.Random(0), {}
    parts = [
        b"\xe9",
        b"\\",
        b"x",
        b"e9",
        b"0a",
        b"\n",
        b"\xc2\x85",
        b"\xed\xa0\x80",
        b"\x1b",
        "é".encode(),
        "😀".encode(),
        b"\x80",
        b"\xf0\x9f",
        b"/",
        b"a",
    ]
    for _ in range(20_000):
        name = b"/" + b"".join(draw.choices(parts, k=draw.randint(0, 6)))
        path = os.fsdecode(os.path.normpath(name))
        text = as_text(path)
        assert os.fspath(as_path(text)) == path
        assert seen.setdefault(text, path) == path, "two paths never share a text"
        assert len(text.encode().splitlines()) == 1 and text.splitlines() == [text]
    assert as_text("/a/plain é 😀 #1.mp4") == "/a/plain é 😀 #1.mp4"


@pytest.fixture
def folder(tmp_path):
    """One small clip under every odd name, in a folder with such a name."""
    folder = tmp_path / os.fsdecode(b"s\xe9rie")
    folder.mkdir()
    for seed, name in enumerate(NAMES):
        write_clip(tmp_path / "one.mp4", 0.6, seed=seed).rename(folder / os.fsdecode(name))
    return folder


def test_requests_of_such_files_are_text_and_open(folder, tmp_path):
    found = requests_from_arguments([os.fspath(folder)])
    assert sorted(os.fsencode(as_path(r.address).name) for r in found) == sorted(NAMES)
    files = WorkFiles(tmp_path / "work")
    kept = build.remember(files, found)
    kept = build.remember(files, kept)  # from the file that was written
    assert [r.address for r in kept] == [r.address for r in found]
    for request in kept:
        assert json.dumps(dataclasses.asdict(request), ensure_ascii=False).encode()
        assert request.requested_as.isprintable() and request.address.startswith("/")


def test_such_files_go_through_stages_ledger_and_tables(folder, tmp_path):
    broken = folder / os.fsdecode(b"brok\xe9n.mp4")
    broken.write_bytes(b"no video" * 100)
    runner, ledger = StageRunner(tmp_path / "work"), Ledger(tmp_path / "ledger")
    configs = {"expand": ExpandConfig(), "download": DownloadConfig(), "probe": ProbeConfig()}
    (tmp_path / "work").mkdir()
    records, rejects, fetched = requests_from_arguments([os.fspath(folder)]), [], []
    for node in MAIN_JOB[:3]:
        results = []
        for record in records:
            job = Job(
                node.name,
                node.target,
                configs[node.name],
                node.unit_of(record),
                "k" * 30,
                "k",
                [record],
                4.0,
            )
            done = runner.run(job)
            entry = Entry(node.name, job.unit, job.key, done.results)
            ledger.put(entry, node.outputs)
            assert ledger.get(node.name, job.unit, job.key).results == done.results
            results += done.results
        records = [r for result in results for r in result.records or []]
        rejects += [r.reject for r in results if r.reject]
        assert [r.failure for r in results if r.failure] == []
        fetched = records if node.name == "download" else fetched
        name = {"expand": "expanded", "download": "sources", "probe": "videos"}[node.name]
        write_table(tmp_path / f"{name}.parquet", node.outputs, records)
    assert len(records) == len(NAMES), "each was probed"
    assert [r.reason for r in rejects] == ["unreadable"] and r"brok\xe9n.mp4" in rejects[0].detail
    write_table(tmp_path / "rejects.parquet", rec.Reject, rejects)
    subtitle = folder / os.fsdecode(b"caf\xe9.srt")
    subtitle.write_text("1\n00:00:00,000 --> 00:00:00,500\nlay red\n")
    item = next(f for f in fetched if f.address.endswith(r"caf\xe9.mp4"))
    text, _ = transcript_of([item], records[0], tmp_path)
    assert text.text_source == "captions" and text.path.endswith(r"caf\xe9.srt")


def test_what_a_site_says_is_made_text_too(tmp_path):
    source = rec.Source("v1", "r1", "https://example.org/v", "link", "list", title="half \ud83d")
    result = _result("expand", "r1", None, [source])
    assert result.records[0] == dataclasses.replace(source, title=r"half \xed\xa0\xbd")
    write_table(tmp_path / "expanded.parquet", rec.Source, result.records)
    whole = dataclasses.replace(source, title="whole 😀")
    assert _result("expand", "r1", None, [whole]).records == [whole]


def test_a_failure_that_names_such_a_file_is_a_row(tmp_path):
    text = printable("cannot open 'caf\udce9.mp4'\nbecause")
    assert text == "cannot open 'caf\\xe9.mp4'\nbecause"
    failure = rec.Failure(
        **{
            f.name: text if f.name in ("exception", "detail") else None
            for f in dataclasses.fields(rec.Failure)
        }
    )
    Ledger(tmp_path).put(Entry("probe", "u", "k" * 30, [Result("i", failure=failure)]), rec.Video)


def test_audits_and_pairs_name_such_files_in_text(folder, tmp_path):
    _, items = layouts.find(folder)
    assert all(as_path(i.path).is_file() for i in items)
    assert {i.speaker for i in items} == {r"s\xe9rie"}
    pairs, only = pair_folders(folder, folder)
    assert len(pairs) == len(NAMES) and only == []
    for pair in pairs:
        assert pair.utterance.encode() and os.path.exists(pair.reference)


def test_a_list_may_name_such_files(folder, tmp_path):
    listing = folder / os.fsdecode(b"l\xefst.txt")
    listing.write_bytes(b"caf\xe9.mp4\nhttp://example.org/caf\xe9?x=1\n")
    found = requests_from_arguments([os.fspath(listing)])
    assert as_path(found[0].address).is_file() and found[0].requested_as.endswith(r"l\xefst.txt")
    assert found[1].address == "http://example.org/caf%E9?x=1"


def test_where_tables_are_written_must_be_utf8(tmp_path):
    for name in (b"out\xe9", b"b\xff/out"):
        with pytest.raises(ValueError, match=r"its name is not UTF-8.*give another folder"):
            own_folder.check(tmp_path / os.fsdecode(name), "corpus")
    check_out(tmp_path / "é out\n#1")


def test_a_photo_may_have_such_a_name(tmp_path):
    photo = tmp_path / os.fsdecode(b"m\xe9.jpg")
    photo.write_bytes(b"no picture")
    with pytest.raises(Exception, match=r"m\\xe9\.jpg cannot be read as a picture"):
        face_of_photo(as_text(photo))


def test_any_stream_of_the_command_can_print_them(tmp_path):
    from click.testing import CliRunner

    from pipeline.cli import main

    missing = tmp_path / os.fsdecode(b"gon\xe9.mp4")
    result = CliRunner().invoke(main, ["build", os.fspath(missing), "--out", str(tmp_path / "o")])
    assert result.exit_code == 2 and r"gon\xe9.mp4 is neither" in result.output
    assert sys.stdout is not None
