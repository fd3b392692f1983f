"""An audit loses no clip, tells container from content, and a correction survives every reader."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest

from manifests.media.facts import read_facts
from manifests.media.pictures import iter_pictures
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from pipeline.audit import audit, first_of, rows, sentence, summarize
from pipeline.audit.report import agreement
from pipeline.config.build_config import load_config
from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import draw_talk
from pipeline.demo.voice import speak
from pipeline.resync import resync
from stages.sources import layouts
from stages.sync.correct import correct_file, moved

PLANTED_MS = {"early": -160.0, "late": 200.0}

ALONE = ("workers.cpu_workers=1",)
"""Without Ray, which test_terminal.py corrects with."""


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """Two talking files with planted lags, a silent face, and a file that is none."""
    folder = tmp_path_factory.mktemp("corpus") / "someone"
    folder.mkdir()
    person, random = load_portraits()[0], np.random.default_rng(2)
    times = [Fraction(i, 25) for i in range(200)]
    for i, (name, lag) in enumerate(PLANTED_MS.items()):
        draw_talk(
            folder / f"{name}.mp4",
            [(person, speak(8.0, 205.0, 1.12, 40 + i), 8.0)],
            times,
            lag / 1000,
            random,
        )
    (folder / "broken.mp4").write_bytes(b"no media")
    return folder


@pytest.fixture(scope="module")
def corrected(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("fixed")
    return out, resync(corpus, out, load_config(None, ALONE))


def test_every_clip_has_a_row_with_a_number_or_a_reason(corpus, corrected):
    table = {
        r["clip_id"]: r
        for r in pq.read_table(corrected[0] / "before" / "offsets.parquet").to_pylist()
    }
    assert sorted(table) == ["broken", "early", "late"]
    assert table["broken"]["offset_status"] == "undecided" and table["broken"]["reason"]
    for name, lag in PLANTED_MS.items():
        assert table[name]["offset_status"] == "measured", table[name]["reason"]
        assert abs(table[name]["video_lag_ms"] - lag) <= 40
        assert table[name]["speaker"] == "someone"


def test_what_is_corrected_measures_zero_and_what_is_not_is_listed(corpus, corrected):
    out, table = corrected
    fates = {r["clip_id"]: r for r in table}
    assert fates["broken"]["fate"] == "left out" and fates["broken"]["reason"]
    for name in PLANTED_MS:
        assert fates[name]["fate"] == "corrected"
        assert abs(fates[name]["residual_lag_ms"]) <= 40
        assert (corpus / f"{name}.mp4").exists()
    page = (out / "report.html").read_text()
    assert "broken" in page and "left out" in page


def test_every_reader_sees_the_corrected_file_alike(corrected):
    _, table = corrected
    path = next(Path(r["target"]) for r in table if r["clip_id"] == "late")
    with av.open(str(path)) as container:
        stamps = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.pts is not None]
        assert np.allclose(stamps, np.arange(len(stamps)) / 25)
    facts = read_facts(path)
    assert facts.container_lag_ms == 0 and facts.num_frames == len(stamps) == 200
    video = open_video(path)
    reader, by_index = cv2.VideoCapture(str(path)), []
    while (got := reader.read())[0]:
        by_index.append(got[1].mean())
    by_clock = [p.luma().mean() for _, p in iter_pictures(video)]
    assert len(by_index) == len(by_clock)
    assert np.corrcoef(by_index, by_clock)[0, 1] > 0.99
    from pipeline.machine.sync_check import _samples

    raw, ours = _samples(path), read_audio(video)
    assert len(raw) == len(ours) == 200 * 640 and np.array_equal(raw, ours)


def test_moving_the_sound_and_back():
    pcm = np.arange(1, 16001, dtype=np.int16)
    late = moved(pcm, 100.0)
    assert (late[:1600] == 0).all() and late[1600] == 1
    assert np.array_equal(moved(late, -100.0)[:14400], pcm[:14400])
    assert np.array_equal(moved(pcm, 0.0), pcm)


def test_an_odd_rate_keeps_its_frames(tmp_path):
    person, times = load_portraits()[0], [Fraction(i * 1001, 30000) for i in range(60)]
    source = tmp_path / "a.mp4"
    draw_talk(
        source, [(person, speak(2.0, 200.0, 1.0, 3), 2.0)], times, 0.0, np.random.default_rng(0)
    )
    correct_file(source, tmp_path / "b.mp4", 40.0, 14)
    facts = read_facts(tmp_path / "b.mp4")
    assert facts.source_fps == "30000/1001" and not facts.is_vfr


def test_out_may_not_lie_inside(corpus):
    with pytest.raises(ValueError, match="outside"):
        resync(corpus, corpus / "out", load_config(None))
    with pytest.raises(ValueError, match="another folder"):
        audit(corpus, corpus, load_config(None))


@pytest.mark.parametrize(
    "path, layout, speaker",
    [
        ("grid/s3/bbaf2n.mpg", "grid", "s3"),
        ("GRID/data/grid_s1/video/lgwm6n.mpg", "grid", "grid_s1"),
        ("tcd/volunteers/01M/Clips/straightcam/sa1.mp4", "tcd_timit", "01M"),
        ("lrw/ABOUT/train/ABOUT_00001.mp4", "lrw", None),
        ("data/Dataset/chem/intervals/x/cut-0.mp4", "lip2wav", "chem"),
        ("vox/id10270/5r0dWxy17C8/00001.mp4", "voxceleb", "id10270"),
        ("things/a holiday/film.mp4", "folder", "a holiday"),
    ],
)
def test_layouts_are_recognised(tmp_path, path, layout, speaker):
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_bytes(b"")
    found, items = layouts.find(tmp_path)
    assert found == layout and items[0].speaker == speaker
    assert layouts.find(tmp_path, "folder")[1][0].speaker == file.parent.name


def test_equal_stems_stay_apart_and_a_list_names_what_is_missing(tmp_path):
    for name in ("a/x.mp4", "b/x.mp4", "abc_1.5.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert len({i.clip_id for i in layouts.find(tmp_path)[1]}) == 3
    (tmp_path / "list.csv").write_text("id,start,end,x,y\nabc,1.5,3.0,.5,.5\ngone,0,2,.5,.5\n")
    layout, items = layouts.find(tmp_path / "list.csv")
    assert layout == "avspeech" and [bool(i.missing) for i in items] == [False, True]
    with pytest.raises(layouts.LayoutError, match="no layout is named"):
        layouts.find(tmp_path, "lrs9")
    (tmp_path / "empty").mkdir()
    with pytest.raises(layouts.LayoutError, match="no media"):
        layouts.find(tmp_path / "empty")


def test_summary_sentence_and_agreement():
    made = [
        {
            "speaker": "s1",
            "path": "p",
            "clip_id": str(i),
            "estimator": f"{e}-1",
            "video_lag_ms": -80.0 + 2 * i + bias,
            "offset_status": "measured",
        }
        for e, bias in (("a", 0.0), ("b", 1.0))
        for i in range(10)
    ]
    summary = summarize([r for r in made if r["estimator"] == "a-1"])
    assert "s1 centres at -71 ms" in sentence(summary[0])
    assert summary[0]["within_frame_of_zero"] == 0
    table = agreement(made, ["a", "b"])
    assert table[0]["n"] == 10 and table[0]["r2"] == round(1 - 10 / 330, 3)
    assert rows.centre_of([1.0, 2.0, 30.0])[0] == 2.0
    assert json.dumps(summary)


def test_the_clips_that_lie_off_are_named_the_farthest_first():
    def clip(name: str, lag_ms: float | None) -> dict[str, object]:
        return {
            "speaker": "s1",
            "path": f"{name}.mpg",
            "clip_id": name,
            "video_lag_ms": lag_ms,
            "offset_status": "undecided" if lag_ms is None else "measured",
        }

    odd = [clip("far", -306.0), clip("near", 60.0), clip("b", 101.0), clip("c", 85.0)]
    (row,) = summarize([*(clip(f"k{i}", 5.0) for i in range(9)), *odd, clip("none", None)])
    assert [r["clip_id"] for r in row["farther_off"]] == ["far", "b", "c", "near"]
    assert sentence(row).endswith(
        "; farther off: far (-306 ms), b (+101 ms), c (+85 ms) and 1 more"
    )
    (row,) = summarize([clip(f"k{i}", 100.0 * i) for i in range(9)])
    assert "farther off" not in sentence(row), "clips of several recordings share no lag"


def test_rows_are_of_the_estimator_and_of_none_whose_name_begins_with_its():
    """lipsync's summary counted each clip twice beside lipsync_linear."""
    made = [
        {"clip_id": clip, "estimator": name}
        for clip in "ab"
        for name in ("lipsync-6", "lipsync_linear-1")
    ] + [{"clip_id": "c", "estimator": None}]
    assert [r["clip_id"] for r in first_of(made, "lipsync")] == ["a", "b", "c"]
    assert [r["clip_id"] for r in first_of(made, "lipsync_linear")] == ["a", "b", "c"]


def test_one_folder_holds_one_audit_and_estimators_are_checked_first(corpus, corrected, tmp_path):
    (tmp_path / "other.mp4").write_bytes(b"x")
    with pytest.raises(ValueError, match="holds the audit of"):
        audit(tmp_path, corrected[0] / "before", load_config(None))
    with pytest.raises(ValueError, match="lipsync_linear"):
        audit(corpus, tmp_path / "out", load_config(None), estimators=["nope"])
    assert not (tmp_path / "out").exists()
