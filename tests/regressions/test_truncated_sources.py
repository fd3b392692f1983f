"""A file that ends before its own structure says so is used up to there, and that is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.media.facts import MediaError, read_facts
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from pipeline.run import status
from pipeline.run.ledger import Entry, Result
from tests.regressions.media_helpers import ffmpeg, num_pictures
from tests.stages.test_probe import probe

SECONDS = 8
H264 = ("-c:v", "libx264", "-preset", "veryfast", "-bf", "3", "-c:a", "aac")
STATED = {
    "front.mp4": (*H264, "-movflags", "+faststart"),
    "front.mov": (*H264, "-movflags", "+faststart"),
    "a.mkv": H264,
    "a.flv": H264,
    "a.avi": (*H264[:4], "-bf", "0", "-c:a", "pcm_s16le"),
    "a.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "a.wmv": ("-c:v", "wmv2", "-c:a", "wmav2"),
}
FRAGMENTS = (*H264, "-g", "25", "-movflags", "frag_keyframe+empty_moov")


def made(path: Path, options: tuple[str, ...]) -> Path:
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=size=96x64:rate=25:duration={SECONDS}",
        "-f",
        "lavfi",
        "-i",
        f"sine=frequency=440:duration={SECONDS}",
        *options,
        str(path),
    )
    return path


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.with_stem("cut").write_bytes(content[: int(share * len(content))])
    return path.with_stem("cut")


@pytest.mark.parametrize("name", STATED)
def test_the_first_part_is_used_and_the_rest_is_told(tmp_path, name):
    whole = made(tmp_path / name, STATED[name])
    before = open_video(whole)
    assert not before.is_truncated and before.promised_duration_us is None and before.notes == []
    video = open_video(cut(whole, 0.45))
    assert video.is_truncated and not video.is_vfr
    assert video.promised_duration_us == pytest.approx(SECONDS * 1e6, rel=0.02)
    found_s, stated_s = video.duration_us / 1e6, video.promised_duration_us / 1e6
    assert 0.3 * SECONDS < found_s < 0.6 * SECONDS
    assert video.notes[0].startswith("truncated: ")
    assert f"{found_s:.2f} of {stated_s:.2f} s" in video.notes[0]
    assert video.num_frames - 1 <= num_pictures(video) <= video.num_frames
    assert len(read_audio(video)) == video.num_frames * 640


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.95])
def test_fragments_end_in_the_middle(tmp_path, share):
    video = open_video(cut(made(tmp_path / "a.mp4", FRAGMENTS), share))
    assert video.is_truncated and not video.is_vfr and video.promised_duration_us is None


def boxes(content: bytes) -> list[tuple[bytes, int, int]]:
    """Kind, first byte and end of each outermost box."""
    found, at = [], 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        found.append((content[at + 4 : at + 8], at, at + length))
        at += length
    return found


@pytest.mark.parametrize(
    "name, movflags",
    [
        ("a.mp4", "frag_keyframe+empty_moov"),
        ("a.mov", "frag_keyframe+empty_moov"),
        ("a.mp4", "dash+frag_keyframe+empty_moov+default_base_moof"),
    ],
)
def test_a_stream_that_was_to_come_after_the_cut_is_not_missing(tmp_path, name, movflags):
    """One fragment holds all pictures before all sound; an index alone promises its data."""
    whole = made(tmp_path / name, (*H264, "-g", "999", "-movflags", movflags))
    content = whole.read_bytes()
    assert not open_video(whole).is_truncated
    ((_, _, index_end),) = [b for b in boxes(content) if b[0] == b"moov"]
    _, start, end = next(b for b in boxes(content) if b[0] == b"mdat")
    for size in (
        index_end,
        index_end + 8,
        start - 1,
        start,
        start + 5,
        start + 8,
        start + (end - start) // 4,
        start + 2 * (end - start) // 5,
    ):
        whole.with_stem("cut").write_bytes(content[:size])
        with pytest.raises(MediaError) as caught:
            read_facts(whole.with_stem("cut"))
        assert caught.value.reason == "truncated", (size, caught.value)
        assert caught.value.measured == size < caught.value.threshold


def test_a_whole_file_without_sound_is_not_truncated(tmp_path):
    """Nor is one that was cut and never said that it had any."""
    for path in (tmp_path / "a.mp4", tmp_path / "a.mkv"):
        whole = made(
            path, ("-map", "0:v", *H264[:-2], "-g", "25", "-movflags", "frag_keyframe+empty_moov")
        )
        for file in (whole, cut(whole, 0.6)):
            with pytest.raises(MediaError) as caught:
                read_facts(file)
            assert caught.value.reason == "no_audio"


@pytest.mark.parametrize(
    "name, options",
    [("a.webm", (*STATED["a.webm"], "-live", "1")), ("a.mkv", (*H264, "-live", "1"))],
)
def test_a_live_segment_ends_in_the_middle_of_a_block(tmp_path, name, options):
    whole = made(tmp_path / name, options)
    video = open_video(whole)
    assert not video.is_truncated and video.notes == []
    for share in (0.2, 0.5, 0.9):
        video = open_video(cut(whole, share))
        assert video.is_truncated and not video.is_vfr and video.promised_duration_us is None


@pytest.mark.parametrize("pictures", ["0", "2"])
def test_a_cut_avi_has_an_even_rate(tmp_path, pictures):
    whole = made(tmp_path / "a.avi", ("-c:v", "mpeg4", "-bf", pictures, "-c:a", "pcm_s16le"))
    assert not open_video(whole).is_vfr
    for share in (0.2, 0.45, 0.47, 0.49, 0.8):
        video = open_video(cut(whole, share))
        assert video.is_truncated and not video.is_vfr


@pytest.mark.parametrize("options", [H264, FRAGMENTS], ids=["index at the end", "fragments"])
def test_what_cannot_be_read_is_a_reject(tmp_path, options):
    outcome = probe(cut(made(tmp_path / "a.mp4", options), 0.001 if "-g" in options else 0.6))
    assert outcome.reason == "truncated" and outcome.measured < outcome.threshold
    assert "bytes" in outcome.detail


def test_streams_of_packets_promise_nothing_and_have_an_even_rate(tmp_path):
    mpeg = ("-c:v", "mpeg2video", "-bf", "2", "-c:a", "mp2")
    for suffix, options in (("ts", H264), ("mpg", mpeg)):
        whole = made(tmp_path / f"a.{suffix}", options)
        for share in (0.45, 0.7, 0.9):
            video = open_video(cut(whole, share))
            assert not video.is_truncated and not video.is_vfr


def test_bytes_after_the_end_are_no_cut(tmp_path):
    for name in ("front.mp4", "a.mkv", "a.avi"):
        path = made(tmp_path / name, STATED[name])
        path.write_bytes(path.read_bytes() + b"\xff" * 1000 + b"mdat" + b"\0" * 400)
        facts = read_facts(path)
        assert not facts.is_truncated and facts.num_frames >= 25 * SECONDS


def test_no_length_of_a_file_gives_another_error(tmp_path):
    content = made(tmp_path / "a.mp4", STATED["front.mp4"]).read_bytes()
    path = tmp_path / "b.mp4"
    for length in (*range(0, 3000, 211), *range(3000, len(content), len(content) // 25)):
        path.write_bytes(content[:length])
        try:
            assert read_facts(path).is_truncated
        except MediaError as error:
            assert error.reason in {
                "unreadable",
                "truncated",
                "no_video",
                "no_audio",
                "no_decoder",
            }, error


def test_what_was_kept_with_a_note_is_listed(tmp_path):
    video = open_video(cut(made(tmp_path / "a.mkv", H264), 0.5))
    entries = {"probe": {"v": Entry("probe", "v", "k", [Result("v", [video])])}}
    assert "1 truncated" in status.note_line(entries)

    class Corpus:
        def rows(self, table):
            return [{"video_id": "v", "notes": video.notes}, {"video_id": "w", "notes": None}]

    (row,) = status.notes(Corpus())
    assert (row["reason"], row["video_id"]) == ("truncated", "v")
    assert row["detail"].startswith("kept: the file ends after")
