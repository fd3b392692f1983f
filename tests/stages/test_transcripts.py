"""Which transcript is a video's, and which of its words are a clip's."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from manifests.media.encode import encode_flac
from manifests.records import Clip, Fetched, Video
from manifests.shards import SampleIndex, ShardSample, write_samples
from manifests.text.spoken import Span, Transcript
from stages.sync.correct import correct_shard
from stages.text.clip_text import moved_text, text_of
from stages.text.transcripts import Found, beside, caption_of, in_order, language_of, transcript_of

GRID = "0 12500 sil\n12500 25000 bin\n25000 37500 blue\n37500 50000 now\n50000 75000 sil\n"
VTT = "WEBVTT\n\n00:00.500 --> 00:02.000\nbin blue now\n"


def video(**changes) -> Video:
    values = {f.name: None for f in dataclasses.fields(Video)} | {
        "video_id": "v",
        "zero_us": 0,
        "audio_start_us": 0,
        "duration_us": 3_000_000,
        "container": "mov,mp4,m4a,3gp,3g2,mj2",
    }
    return Video(**values | changes)


def clip(start_frame: int, num_frames: int, shift: int = 0) -> Clip:
    """A clip whose sound begins `shift` samples before its picture."""
    values = {f.name: None for f in dataclasses.fields(Clip)}
    return Clip(
        **values
        | {
            "clip_id": "c",
            "video_id": "v",
            "start_frame": start_frame,
            "num_frames": num_frames,
            "audio_start_sample": start_frame * 640 - shift,
        }
    )


def source(path: Path | str = "x", source_id: str = "s", **changes) -> Fetched:
    values = {
        "source_id": source_id,
        "video_id": "v",
        "media_path": str(path),
        "sha256": "",
        "num_bytes": 1,
        "address": str(path),
        "kind": "file",
        "requested_as": "",
    }
    return Fetched(**values | changes)


def words(*spans: tuple[str, int, int], counts_from: str = "sound") -> Found:
    return Found(
        Transcript(tuple(Span(t, a * 1000, b * 1000, True) for t, a, b in spans), counts_from),
        "corpus",
    )


def cues(*spans: tuple[str, int, int | None]) -> Found:
    return Found(
        Transcript(
            tuple(Span(t, a * 1000, None if b is None else b * 1000, False) for t, a, b in spans),
            "presentation",
        ),
        "captions",
    )


BIN_BLUE_NOW = (("bin", 500, 1000), ("blue", 1000, 1500), ("now", 1500, 2000))


# -- what lies beside a file ---------------------------------------------------------------


@pytest.mark.parametrize(
    "place",
    [
        "s1/a.align",
        "s1/align/a.align",
        "s1/alignments/a.align",
        "align/s1/a.align",
        "alignments/s1/a.align",
        "align/a.align",
    ],
)
def test_published_layouts_of_grid(tmp_path, place):
    media = tmp_path / "s1" / "a.mpg"
    for path, content in (
        (media, ""),
        (tmp_path / place, GRID),
        (tmp_path / "alignments" / "s2" / "a.align", GRID),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    assert beside(media) == tmp_path / place
    found, _ = transcript_of([source(media)], video(), tmp_path)
    assert found.text_source == "corpus" and found.path == str(tmp_path / place)
    assert text_of(clip(0, 75), video(), found).text == "bin blue now"


def test_one_align_folder_of_two_speakers_tells_none_apart(tmp_path):
    for path in ("s1/a.mpg", "s2/a.mpg", "align/a.align"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(GRID)
    assert beside(tmp_path / "s1" / "a.mpg") is None


def test_a_text_file_must_be_built_like_those_of_lrs(tmp_path):
    media, text = tmp_path / "00001.mp4", tmp_path / "00001.txt"
    text.write_text("Text: my notes about this clip\n")
    assert beside(media) is None
    (tmp_path / "00001.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHi\n")
    assert beside(media).suffix == ".srt"
    (tmp_path / "00001.vtt").write_text(VTT)
    assert beside(media).suffix == ".vtt"
    text.write_text("Text:  BIN\nConf:  5\n\nWORD START END ASDSCORE\nBIN 0.1 0.3 4\n")
    assert beside(media) == text
    found, _ = transcript_of([source(media)], video(), tmp_path)
    assert text_of(clip(0, 25), video(), found).words == [
        {"word": "BIN", "start_s": 0.1, "end_s": 0.3}
    ]
    assert beside(tmp_path / "other.mp4") is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("BGWH8N.ALIGN", GRID),
        ("bgwh8n.Srt", "1\n00:00:00,500 --> 00:00:02,000\nbin blue now\n"),
        ("bgwh8n.en.vtt", VTT),
        ("BGWH8N.en.auto.VTT", VTT),
    ],
)
def test_capital_letters_and_a_language_in_the_name_do_not_hide_a_transcript(
    tmp_path, name, content
):
    (tmp_path / "bgwh8n.en.txt").write_text("nothing of ours")
    (tmp_path / name).write_text(content)
    found, _ = transcript_of([source(tmp_path / "bgwh8n.mpg")], video(), tmp_path)
    assert text_of(clip(0, 75), video(), found).text == "bin blue now"
    other, _ = transcript_of([source(tmp_path / "bgwh8.mpg")], video(), tmp_path)
    assert other.reason == "no transcript came with the source"


def test_captions_beside_a_file_follow_the_language_of_its_sound(tmp_path):
    (tmp_path / "a.en.vtt").write_text(VTT)
    (tmp_path / "a.de.vtt").write_text(VTT.replace("bin", "lege"))
    facts = video(audio_language="ger")
    found, _ = transcript_of([source(tmp_path / "a.mkv")], facts, tmp_path)
    assert text_of(clip(0, 75), facts, found).text == "lege blue now"
    found, _ = transcript_of([source(tmp_path / "a.mkv")], video(), tmp_path)
    assert "captions in de, en" in found.reason


def test_a_text_file_that_is_passed_over_is_named(tmp_path):
    (tmp_path / "a.txt").write_text("bin blue now\n")
    found, _ = transcript_of([source(tmp_path / "a.mpg")], video(), tmp_path)
    assert found.transcript is None and found.reason.startswith("a.txt lies beside it, but")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.align", b"0 1 \n", r"\.align file, line 1"),
        ("a.align", b"0 600000 bin\n", "ends at 24.00 s, the recording at 3.00 s"),
        ("a.vtt", b"\x80\x81", "not UTF-8"),
        ("a.srt", b"1\n00:00:0", "holds no cues"),
        ("a.vtt", b"WEBVTT\n" + b"\n" * 8_000_000, "larger than"),
    ],
)
def test_a_malformed_file_gives_no_text_and_a_reason_without_a_path(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(content)
    found, by_source = transcript_of([source(tmp_path / "a.mp4")], video(), tmp_path)
    got = text_of(clip(0, 25), video(), found)
    assert got.text is got.words is got.text_source is None
    assert re.search(why, got.text_reason) and str(tmp_path) not in got.text_reason
    assert by_source["s"].path == str(tmp_path / name)


def test_no_transcript_is_a_reason_too(tmp_path):
    found, _ = transcript_of([source(tmp_path / "a.mp4")], video(), tmp_path)
    assert text_of(clip(0, 25), video(), found).text_reason == (
        "no transcript came with the source"
    )


def test_the_same_bytes_in_two_places_give_one_text_in_any_order(tmp_path):
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
    (tmp_path / "b" / "x.align").write_text(GRID)
    (tmp_path / "c" / "x.vtt").write_text(VTT)
    sources = [source(tmp_path / f / "x.mp4", f) for f in "abc"]
    for order in (sources, sources[::-1], [sources[2], sources[0], sources[1]]):
        found, by_source = transcript_of(order, video(), tmp_path)
        assert found.text_source == "corpus"
        assert {k: f.text_source for k, f in by_source.items()} == {
            "a": None,
            "b": "corpus",
            "c": "captions",
        }


# -- captions that were fetched -------------------------------------------------------------


def chosen(sound: str | None, *names: str) -> list[str] | str:
    found, reason = in_order([caption_of(f"media/v.{n}") for n in names], sound)
    return reason or [c.path.removeprefix("media/v.") for c in found]


def test_captions_in_the_language_of_the_sound_people_before_machines():
    assert chosen("en", "de.vtt", "en.vtt", "en-orig.auto.vtt") == ["en.vtt", "en-orig.auto.vtt"]
    assert chosen("en-GB", "en.vtt", "en-GB.vtt") == ["en-GB.vtt", "en.vtt"]
    assert chosen("ger", "de.vtt", "en.vtt") == ["de.vtt"]
    assert chosen("und", "de.vtt", "en.vtt", "de-orig.auto.vtt") == ["de.vtt", "de-orig.auto.vtt"]
    assert chosen(None, "fr.srt") == ["fr.srt"]


def test_captions_of_another_or_an_unknown_language_are_no_text():
    assert chosen("en", "de.vtt", "fr.vtt") == "captions are in de, fr, the sound is in en"
    assert "not known" in chosen(None, "de.vtt", "fr.vtt")
    assert chosen("en", "en.json3", "en.ttml") == "no transcript came with the source"


def test_language_codes_of_two_and_three_letters_are_one():
    assert [language_of(t) for t in ("eng", "en-US", "DE", "fre", "fra", "und", None)] == [
        "en",
        "en",
        "de",
        "fr",
        "fr",
        None,
        None,
    ]


def test_a_damaged_caption_file_gives_way_to_the_next(tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "v.en.vtt").write_text("<html>404</html>")
    (tmp_path / "media" / "v.en.auto.vtt").write_text(VTT)
    item = source(
        kind="link", language="en", caption_paths=["media/v.en.auto.vtt", "media/v.en.vtt"]
    )
    found, _ = transcript_of([item], video(), tmp_path)
    assert found.path == "media/v.en.auto.vtt" and found.text_source == "captions"
    (tmp_path / "media" / "v.en.auto.vtt").unlink()
    found, _ = transcript_of([item], video(), tmp_path)
    assert found.transcript is None and "cannot be read" in found.reason


# -- the words of a clip --------------------------------------------------------------------


def test_a_word_belongs_to_the_clip_in_which_its_middle_lies():
    got = text_of(clip(20, 25), video(), words(*BIN_BLUE_NOW))  # 0.80 to 1.80 s
    assert got.text == "blue now" and got.text_source == "corpus" and got.text_reason is None
    assert got.words == [
        {"word": "blue", "start_s": 0.2, "end_s": 0.7},
        {"word": "now", "start_s": 0.7, "end_s": 1.0},
    ]
    before = text_of(clip(0, 20), video(), words(*BIN_BLUE_NOW))
    assert before.text == "bin" and before.words[0]["end_s"] == 0.8


def test_words_move_with_the_sound_and_not_with_the_picture():
    # The picture came 200 ms late: frame 20 goes with the sound 3200 samples earlier.
    got = text_of(clip(20, 25, shift=3200), video(), words(*BIN_BLUE_NOW))
    assert got.words == [
        {"word": "bin", "start_s": 0.0, "end_s": 0.4},
        {"word": "blue", "start_s": 0.4, "end_s": 0.9},
    ]


@pytest.mark.parametrize(
    ("counts_from", "facts", "at_s"),
    [
        # The first frame is shown at 0.3 s of the file's time, the sound begins 0.1 s before it.
        ("presentation", {"zero_us": 300_000, "audio_start_us": -100_000}, 0.7),
        ("sound", {"zero_us": 300_000, "audio_start_us": -100_000}, 0.9),
        ("sound", {"zero_us": 300_000, "audio_start_us": 250_000}, 1.25),
        # Stamps of a transport stream begin anywhere; its captions count from the first one.
        ("presentation", {"zero_us": 9e6, "audio_start_us": -100_000, "container": "mpegts"}, 0.9),
        ("presentation", {"zero_us": 9e6, "audio_start_us": 250_000, "container": "mpegts"}, 1.0),
    ],
)
def test_second_zero_of_a_transcript(counts_from, facts, at_s):
    found = words(("bin", 1000, 1200), counts_from=counts_from)
    assert text_of(clip(0, 75), video(**facts), found).words[0]["start_s"] == at_s


@pytest.mark.parametrize(
    ("start", "end", "is_text"),
    [(1000, 2000, True), (801, 2199, True), (799, 2000, False), (1000, 2201, False)],
)
def test_captions_without_word_times_must_lie_inside(start, end, is_text):
    found = cues(("bin blue", start, end), ("elsewhere", 2500, 2900))
    got = text_of(clip(25, 25), video(), found)  # 1.00 to 2.00 s
    assert (got.text == "bin blue") is is_text and got.words is None
    assert (got.text_reason is None) is is_text
    if not is_text:
        assert "reaches over an end of the clip" in got.text_reason and got.text_source is None


def test_one_caption_that_is_cut_takes_the_text_of_all():
    found = cues(("bin", 1000, 1400), ("blue now", 1600, 2600))
    assert text_of(clip(25, 25), video(), found).text is None
    assert text_of(clip(25, 45), video(), found).text == "bin blue now"


def test_a_sentence_without_times_is_the_text_of_the_whole_recording_alone():
    found = cues(("BIN BLUE", 0, None))
    assert text_of(clip(0, 75), video(), found).text == "BIN BLUE"
    assert text_of(clip(3, 70), video(), found).text == "BIN BLUE"
    assert text_of(clip(10, 60), video(), found).text is None


def test_no_word_in_the_clip_and_too_many_are_reasons():
    assert text_of(clip(55, 20), video(), words(*BIN_BLUE_NOW)).text_reason == (
        "no words of the transcript lie in the clip"
    )
    flood = cues(*[("blue " * 9 + "x", 0, 500)] * 20)
    assert "cannot be said" in text_of(clip(0, 25), video(), flood).text_reason


def test_a_sample_whose_sound_is_moved_takes_its_words_along():
    got = text_of(clip(0, 50), video(), words(*BIN_BLUE_NOW)).facts()
    assert moved_text(got, 0.0, 2.0) == {}
    later = got | moved_text(got, 300.0, 2.0)
    assert later["text"] == "bin blue" and later["words"][1] == {
        "word": "blue",
        "start_s": 1.3,
        "end_s": 1.8,
    }
    lost = got | moved_text(got, -1900.0, 2.0)
    assert lost["text"] is lost["words"] is None and "no words" in lost["text_reason"]
    held = text_of(clip(0, 75), video(), cues(("bin", 500, 1000))).facts()
    assert moved_text(held, -200.0, 3.0) == {}
    assert moved_text(held, -201.0, 3.0)["text"] is None


def test_a_corrected_shard_has_its_words_where_its_sound_is(tmp_path):
    facts = {"applied_lag_ms": 0.0} | text_of(clip(0, 50), video(), words(*BIN_BLUE_NOW)).facts()
    with open(tmp_path / "a.tar", "wb") as file:
        write_samples(
            file,
            [
                ShardSample(
                    "k",
                    {
                        "json": json.dumps(facts).encode(),
                        "audio.flac": encode_flac(np.zeros(32000, np.int16)),
                    },
                )
            ],
        )
    correct_shard(tmp_path / "a.tar", tmp_path / "b.tar", {"k": -100.0})
    got = SampleIndex.scan(tmp_path / "b.tar")["k"].facts
    assert got["words"][0] == {"word": "bin", "start_s": 0.4, "end_s": 0.9}
    assert got["text"] == "bin blue now"
