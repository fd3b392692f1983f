"""`yld resync` keeps names and folders, believes only what it measures again, and loses nothing."""

from __future__ import annotations

import dataclasses
import json
import os
import random
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest

from manifests.files import sha256_of, write_atomic
from manifests.media.facts import read_facts
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.records import Correction
from pipeline import resync as whole
from pipeline.audit import audit, refuse_another
from pipeline.config.build_config import load_config
from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk, steady
from pipeline.demo.voice import speak
from pipeline.resync import fates, plan
from pipeline.resync.made import forget_lost
from pipeline.resync.names import Wanted, shown, targets
from pipeline.resync.place import place
from pipeline.run.ledger import Entry, Ledger, Result
from pipeline.storage.own_folder import FileInTheWayError, OwnFolder, claim
from stages.sync.correct import correct_file


def named(*paths: str, **kwargs) -> list[str]:
    return [str(p) for p in targets([Wanted(p) for p in paths], **kwargs)]


def test_names_and_folders_stay_and_only_a_foreign_suffix_changes():
    paths = [
        "44_audio_late.mp4",
        "s1/bbaf2n.mpg",
        "a b/Ünï (1).MOV",
        "deep/er/X.MP4",
        "v.m4v",
        "no.dots.here.webm",
        "-r.mp4",
    ]
    assert named(*paths) == [
        "44_audio_late.mp4",
        "s1/bbaf2n.mp4",
        "a b/Ünï (1).mp4",
        "deep/er/X.MP4",
        "v.m4v",
        "no.dots.here.mp4",
        "-r.mp4",
    ]


def test_what_would_collide_is_told_apart_whatever_the_order():
    paths = ["x.avi", "x.mp4", "x.mov", "x.avi.mp4", "y/x.avi", "x.MOV", "X.mp4"]
    found = dict(zip(paths, named(*paths), strict=True))
    assert found["x.mp4"] == "x.mp4" and found["x.avi.mp4"] == "x.avi.mp4"
    assert found["y/x.avi"] == "y/x.mp4" and found["X.mp4"] == "X.mp4"
    assert found["x.mov"] == "x.mov.mp4" and found["x.MOV"] == "x.MOV.mp4"
    assert found["x.avi"].startswith("x-") and len(set(found.values())) == len(paths)
    for seed in range(5):
        mixed = random.Random(seed).sample(paths, len(paths))
        assert dict(zip(mixed, named(*mixed), strict=True)) == found
    blind = named(*paths, tells_case=False)
    assert len({p.casefold() for p in blind}) == len(paths)


def test_spans_of_a_long_video_have_their_start_behind_the_name():
    spans = [
        Wanted("d/talk.mp4", 1.5, 4.0),
        Wanted("d/talk.mp4", 90.0, 93.0),
        Wanted("d/talk.mp4", 1.5, 6.0),
        Wanted("d/talk.mp4", 1.5, 6.0),
    ]
    assert [str(p) for p in targets(spans)][:3] == [
        "d/talk_1.500000.mp4",
        "d/talk_90.000000.mp4",
        "d/talk_1.500000-6.000000.mp4",
    ]
    assert len(set(targets(spans))) == 4


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd.mp4",
        "/abs/x.mp4",
        "a/../../b.mp4",
        "..\\..\\w.mp4",
        "new\nline.mp4",
        "\x1b[2J.mp4",
        "x" * 251 + ".mpg",
        "é" * 126 + ".mpg",
        "ü" * 126 + ".ts",
        os.fsdecode(b"caf\xe9.mp4"),
        os.fsdecode(b"d\xff/\xfe.avi"),
        "....mp4",
        " .mp4",
    ],
)
def test_no_name_leads_out_or_cannot_be_said(name):
    target = targets([Wanted(name)])[0]
    assert not target.is_absolute() and ".." not in target.parts
    assert "\\" not in str(target) and str(target).isprintable()
    str(target).encode("utf-8")
    assert all(len(p.encode()) <= 255 for p in target.parts)
    assert target.suffix in (".mp4",)


def test_names_that_differ_in_bytes_stay_apart():
    names = [os.fsdecode(b"caf\xe9.mp4"), os.fsdecode(b"caf\xe8.mp4"), "caf%E9.mp4"]
    assert len(set(named(*names))) == 3
    assert shown(names[0]) == "caf%E9.mp4"


OWN = {"video_lag_ms": 120.0, "applied_drift_ppm": 0.0}
LINE = {"video_lag_ms": 44.0, "start_lag_ms": 0.0, "end_lag_ms": 87.0, "applied_drift_ppm": 145.0}


def again(lag, **more):
    return {
        "video_lag_ms": lag,
        "offset_status": "measured" if lag is not None else "undecided",
        "reason": None if lag is not None else "confidence 0.40 is low",
    } | more


@pytest.mark.parametrize(
    "row, after, fate",
    [
        (OWN, again(3.0), "corrected"),
        (OWN, again(-40.0), "corrected"),
        (OWN, again(41.0), "not corrected"),
        (OWN, again(-119.0), "not corrected"),
        (OWN, again(-125.0), "worse"),
        (OWN, again(None), "corrected_unverified"),
        (OWN, None, "corrected_unverified"),
        ({"video_lag_ms": None, "applied_drift_ppm": 0.0}, again(300.0), "not corrected"),
        (OWN, again(5.0, drift_status="uneven", drift_reason="it jumps"), "not corrected"),
        (
            OWN,
            again(5.0, drift_status="drifts", start_lag_ms=-60.0, end_lag_ms=70.0),
            "not corrected",
        ),
        (
            OWN,
            again(5.0, drift_status="unknown", start_lag_ms=3.0, end_lag_ms=90.0),
            "not corrected",
        ),
        (OWN, again(5.0, drift_status="unknown", start_lag_ms=3.0, end_lag_ms=None), "corrected"),
        (LINE, again(1.0, start_lag_ms=4.0, end_lag_ms=-6.0, drift_status="steady"), "corrected"),
        (
            LINE,
            again(1.0, start_lag_ms=4.0, end_lag_ms=-66.0, drift_status="steady"),
            "not corrected",
        ),
        (LINE, again(1.0, start_lag_ms=-90.0, end_lag_ms=0.0, drift_status="steady"), "worse"),
        (LINE, again(1.0, start_lag_ms=4.0, end_lag_ms=None), "corrected_unverified"),
        (LINE, again(1.0), "corrected_unverified"),
    ],
)
def test_the_fate_is_what_the_second_measurement_says(row, after, fate):
    found, why = fates.judged(row, after)
    assert found == fate
    assert (why is None) == (fate == "corrected")


def test_places_hold_what_is_ours_and_nothing_else_is_touched(tmp_path):
    out = tmp_path / "out"
    own = claim(out, "resync")
    files = {}
    for name in ("a/x.mp4", "y.mp4", "z.mp4", "link/w.mp4"):
        files[name] = tmp_path / "made" / name
        files[name].parent.mkdir(parents=True, exist_ok=True)
        files[name].write_text(name)
    (out / "media" / "a").mkdir(parents=True)
    (out / "media" / "y.mp4").write_text("MINE")
    (out / "media" / "a" / "x.txt").write_text("label")
    (tmp_path / "elsewhere").mkdir()
    (out / "media" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileInTheWayError, match=r"y\.mp4"):
        place(files, own, "media")
    del files["y.mp4"]
    refused = place(files, own, "media")
    assert sorted(refused) == ["link/w.mp4"] and "leads out" in refused["link/w.mp4"]
    assert (out / "media/y.mp4").read_text() == "MINE" and not os.listdir(tmp_path / "elsewhere")
    assert (out / "media/a/x.mp4").read_text() == "a/x.mp4"
    # Another run without z: ours goes, the labels and the stranger stay; again: nothing changes.
    for _ in range(2):
        place({"a/x.mp4": files["a/x.mp4"]}, claim(out, "resync"), "media")
        assert sorted(
            p.relative_to(out / "media").as_posix() for p in out.rglob("media/**/*.*")
        ) == ["a/x.mp4", "a/x.txt", "y.mp4"]
    # One that somebody edited is neither lost nor taken for what was made.
    (out / "media/a/x.mp4").write_text("EDITED")
    assert place({"a/x.mp4": files["a/x.mp4"]}, claim(out, "resync"), "media") == {}
    assert (out / "media/a/x.mp4").read_text() == files["a/x.mp4"].read_text() == "a/x.mp4"
    assert (out / "media/a/x.mp4.changed").read_text() == "EDITED"


def test_what_lies_there_already_is_not_written_again(tmp_path):
    made = tmp_path / "x.mp4"
    made.write_text("made")
    place({"x.mp4": made}, claim(tmp_path / "out", "resync"), "media")
    placed = tmp_path / "out/media/x.mp4"
    first = placed.stat().st_ino
    place({"x.mp4": made}, claim(tmp_path / "out", "resync"), "media")
    assert placed.stat().st_ino == first != made.stat().st_ino
    placed.unlink()
    os.link(made, placed)  # as earlier versions did
    place({"x.mp4": made}, claim(tmp_path / "out", "resync"), "media")
    assert placed.read_text() == "made" and not placed.samefile(made)
    assert os.listdir(placed.parent) == ["x.mp4"]


def test_what_was_damaged_through_its_second_name_is_made_again(tmp_path):
    work, items = tmp_path / "work", []
    for name in ("good", "edited", "gone", "single"):
        items.append(Correction(name, "/s", str(work / "tried" / name), [name], [1.0]))
        write_atomic(Path(items[-1].target), name)
        Ledger(work / "ledger").put(
            Entry("correct", name, name, [Result(name, [items[-1]])]), Correction
        )
    hashes = [sha256_of(item.target) for item in items[:2]]
    for name in ("good", "edited"):
        os.link(work / "tried" / name, tmp_path / name)
    (tmp_path / "edited").write_text("MINE")
    (work / "tried/gone").unlink()
    forget_lost(items, work, [*hashes, None])
    assert sorted(os.listdir(work / "tried")) == ["good", "single"]
    assert (tmp_path / "edited").read_text() == "MINE"
    assert {
        i.item_id
        for i in items
        if Ledger(work / "ledger").get("correct", i.item_id, i.item_id) is not None
    } == {"good", "single"}


def test_a_moved_folder_holds_what_it_held(tmp_path):
    out, tried = tmp_path / "rso/after", tmp_path / "rso/work/tried"
    refuse_another(out, "the corrections of /a", tried)
    write_atomic(out / "work/audited.json", json.dumps("the corrections of /a"))
    claimed(out)
    refuse_another(out, "the corrections of /a", tmp_path / "rs2/work/tried")
    for name in ("the corrections of /b", str(tried)):
        with pytest.raises(ValueError, match="holds the audit of the corrections of /a"):
            refuse_another(out, name, tried)
    # As versions before names wrote it, here and since moved.
    write_atomic(out / "work/audited.json", json.dumps("/elsewhere/rso/work/tried"))
    refuse_another(out, "the corrections of /a", tried)
    with pytest.raises(ValueError, match="holds the audit of /elsewhere"):
        refuse_another(out, str(tried), tried)
    (out / "summary.json").write_text("MINE")
    with pytest.raises(FileInTheWayError, match=r"summary\.json"):
        refuse_another(out, "the corrections of /a", tried)


def claimed(out: Path) -> None:
    """The mark of an audit, as it stands before anything is written beside it."""
    OwnFolder(out, "audit", {}).save()


def test_every_file_has_a_row(tmp_path):
    for name in ("s/a.mp4", "s/a.align", "s/notes.txt", "s/b.rawvideo", "noext", "s/.hid.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    (tmp_path / "s/twin.mp4").symlink_to(tmp_path / "s/a.mp4")
    from stages.sources import layouts

    layout, items = layouts.find(tmp_path)
    found = SimpleNamespace(
        items=items,
        layout=layout,
        summary=[],
        rows=[
            {"path": i.path, "clip_id": i.clip_id, "offset_status": "undecided", "reason": "broken"}
            for i in items
        ],
    )
    rows = plan.rows_of(found, tmp_path, tmp_path / "out", "drop")
    assert {r["inside"]: r["fate"] for r in rows} == {
        "s/a.mp4": "left out",
        "s/twin.mp4": "left out",
        "s/a.align": "passed over",
        "s/notes.txt": "passed over",
        "s/b.rawvideo": "passed over",
        "noext": "passed over",
        "gone.mp4": "passed over",
        "s/.hid.mp4": "passed over",
    }
    assert all(r["reason"] for r in rows)


def test_results_beside_a_list_are_not_taken_for_its_downloads(tmp_path):
    from stages.sources import layouts

    (tmp_path / "list.csv").write_text("abc,1.5,3.0\nabc,4.0,6.0\n")
    for name in ("abc.mp4", "other.mp4", "out/media/abc_1.500000.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    layout, items = layouts.find(tmp_path / "list.csv", skip=tmp_path / "out")
    assert [(i.inside, i.start_s) for i in items] == [("abc.mp4", 1.5), ("abc.mp4", 4.0)]
    found = SimpleNamespace(
        items=items,
        layout=layout,
        summary=[],
        rows=[
            {
                "path": i.path,
                "clip_id": i.clip_id,
                "offset_status": "measured",
                "video_lag_ms": 80.0,
            }
            for i in items
        ],
    )
    rows = plan.rows_of(found, tmp_path / "list.csv", tmp_path / "out", "drop")
    assert [(r["inside"], r["fate"]) for r in rows[2:]] == [("other.mp4", "passed over")]
    plan.name_targets(rows, False, True)
    made = plan.corrections_of(rows, tmp_path / "out" / "work")
    assert [(Path(c.target).name, c.start_s, c.end_s) for c in made] == [
        ("abc_1.500000.mp4", 1.5, 3.0),
        ("abc_4.000000.mp4", 4.0, 6.0),
    ]


@pytest.fixture(scope="module")
def talk(tmp_path_factory) -> Path:
    """Two folders with a clip each of one name, one 200 ms late and one in time, and labels."""
    root = tmp_path_factory.mktemp("talk")
    person = load_portraits()[0]
    for i, (name, lag_s) in enumerate(
        (("one/44_audio_late.mp4", 0.2), ("two/44_audio_late.mp4", 0.0))
    ):
        (root / name).parent.mkdir()
        draw_talk(
            root / name,
            [(person, speak(8.0, 205.0, 1.12, 41 - i), 8.0)],
            steady(Fraction(25), 8.0),
            lag_s,
            np.random.default_rng(2),
        )
        (root / name).with_suffix(".align").write_text("0 1 sil\n")
    return root


def test_a_wrong_measurement_is_not_called_corrected(talk, tmp_path, monkeypatch):
    """A lag of 320 ms is planted into the row of the clip that is in time."""

    def lying(path, out, *args, **kwargs):
        found = audit(path, out, *args, **kwargs)
        if out.name != "before":
            return found
        return dataclasses.replace(
            found,
            rows=[
                r | ({"video_lag_ms": 320.0} if "/two/" in r["path"] else {}) for r in found.rows
            ],
        )

    monkeypatch.setattr(whole, "audit", lying)
    out = tmp_path / "out"
    alone = load_config(None, ("workers.cpu_workers=1",))
    rows = {r["inside"]: r for r in whole.resync(talk, out, alone, undecided="keep")}
    good, bad = rows["one/44_audio_late.mp4"], rows["two/44_audio_late.mp4"]
    assert good["fate"] == "corrected" and abs(good["residual_lag_ms"]) <= 40
    assert good["target"] == str(out / "media/one/44_audio_late.mp4")
    assert bad["fate"] in ("not corrected", "worse") and "measured again" in bad["reason"]
    assert abs(bad["residual_lag_ms"] + 320) <= 40
    # Asked to keep what cannot be corrected, it was put back as it was.
    assert bad["applied_lag_ms"] == 0
    assert np.array_equal(sound(bad["target"])[:-640], sound(talk / bad["inside"])[:-640])
    assert sorted(
        p.relative_to(out / "media").as_posix() for p in (out / "media").rglob("*.*")
    ) == ["one/44_audio_late.mp4", "two/44_audio_late.mp4"]
    table = pq.read_table(out / "resync.parquet").to_pylist()
    assert {Path(r["path"]).relative_to(talk.resolve()).as_posix(): r["fate"] for r in table} == {
        "one/44_audio_late.mp4": "corrected",
        "two/44_audio_late.mp4": bad["fate"],
        "one/44_audio_late.align": "passed over",
        "two/44_audio_late.align": "passed over",
    }
    page = (out / "report.html").read_text()
    assert "measured again" in page and "2 files: .align" in page


@pytest.mark.parametrize("undecided, stays", [("drop", False), ("keep", True), ("speaker", False)])
def test_what_became_worse_is_left_out_or_put_back(tmp_path, undecided, stays):
    rows = [
        {
            "path": "/s/a.mp4",
            "clip_id": "a",
            "fate": "corrected",
            "to": "a.mp4",
            "made": "/w/a.mp4",
            "item_id": "1",
            "applied_lag_ms": 60.0,
            "applied_drift_ppm": 0.0,
            "video_lag_ms": 60.0,
            "after": again(-90.0),
        },
        {
            "path": "/s/b.mp4",
            "clip_id": "b",
            "fate": "corrected",
            "to": "b.mp4",
            "made": "/w/b.mp4",
            "item_id": "2",
            "applied_lag_ms": 60.0,
            "applied_drift_ppm": 0.0,
            "video_lag_ms": 60.0,
            "after": again(1.0),
        },
    ]
    back = whole._after_verdict(rows, undecided, tmp_path)
    assert [r["fate"] for r in rows] == ["worse", "corrected"]
    assert [(c.path, c.lags_ms) for c in back] == ([("/s/a.mp4", [0.0])] if stays else [])
    assert bool(rows[0]["made"]) == stays and rows[1]["made"] == "/w/b.mp4"


def test_a_shard_is_written_again_without_the_sample_that_became_worse(tmp_path):
    rows = [
        {
            "path": "/s/x.tar",
            "clip_id": key,
            "fate": "corrected",
            "to": "x.tar",
            "made": "/w/x.tar",
            "item_id": "1",
            "applied_lag_ms": 60.0,
            "applied_drift_ppm": 0.0,
            "video_lag_ms": 60.0,
            "after": again(lag),
        }
        for key, lag in (("a", -90.0), ("b", 2.0))
    ]
    back = whole._after_verdict(rows, "drop", tmp_path)
    assert [(c.clip_ids, c.lags_ms) for c in back] == [(["b"], [60.0])]
    assert rows[0]["made"] is None and rows[1]["made"] == back[0].target != "/w/x.tar"


def sound(path) -> np.ndarray:
    return read_audio(open_video(path), path)


def test_a_span_is_cut_out_with_its_own_sound(talk, tmp_path):
    source = talk / "one/44_audio_late.mp4"
    correct_file(source, tmp_path / "span.mp4", 200.0, 14, 0.0, (2.0, 5.0))
    facts = read_facts(tmp_path / "span.mp4")
    assert facts.num_frames == 75 and facts.zero_us == 0
    whole_sound = sound(source)
    assert np.array_equal(
        sound(tmp_path / "span.mp4"), whole_sound[2 * 16000 - 3200 : 5 * 16000 - 3200]
    )
    with pytest.raises(ValueError, match="nothing lies between"):
        correct_file(source, tmp_path / "none.mp4", 0.0, 14, 0.0, (20.0, 25.0))
    assert not (tmp_path / "none.mp4").exists()


def test_targets_are_relative_paths():
    assert isinstance(targets([Wanted("a/b.mp4")])[0], PurePosixPath)
