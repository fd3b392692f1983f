"""A stream without a decoder, that is encrypted or damaged is passed over, or named in a reject."""

from __future__ import annotations

from pathlib import Path

import pytest

from manifests.media.facts import MediaError, read_facts
from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from pipeline.build.dry_run import describe
from pipeline.config.build_config import BuildConfig
from tests.regressions.media_helpers import ffmpeg, num_pictures
from tests.stages.test_probe import probe

PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=1")
SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")


def made(path: Path, *options: str) -> Path:
    ffmpeg(*PICTURE, *SOUND, *options, str(path))
    return path


def renamed(path: Path, old: bytes, new: bytes) -> Path:
    """The file with another name for a codec: its sample description, or its codec id."""
    content = path.read_bytes()
    place = content.index(old, max(0, content.find(b"stsd")))
    path.write_bytes(content[:place] + new + content[place + len(new) :])
    return path


def test_sound_without_a_decoder_is_passed_over_for_one_that_has_one(tmp_path):
    path = made(
        tmp_path / "a.mp4",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=900:duration=1",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-map",
        "2:a",
        "-c:v",
        "libx264",
        "-c:a:0",
        "alac",
        "-c:a:1",
        "aac",
        "-disposition:a:0",
        "default",
        "-disposition:a:1",
        "0",
    )
    renamed(path, b"alac", b"apac")
    video = open_video(path)
    assert (video.audio_stream, video.audio_codec, video.num_audio_streams) == (2, "aac", 2)
    assert abs(read_audio(video)).max() > 1000


def test_a_picture_without_a_decoder_is_passed_over_for_one_that_has_one(tmp_path):
    path = made(
        tmp_path / "a.mp4",
        "-map",
        "0:v",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c:v",
        "libx264",
        "-c:a",
        "aac",
        "-disposition:v:0",
        "default",
    )
    renamed(path, b"avc1", b"dvh9")
    video = open_video(path)
    assert (video.video_stream, video.video_codec) == (1, "h264")
    assert sum(1 for _ in iter_frames(video)) == 25


@pytest.mark.parametrize(
    "old, new, kind, words",
    [
        (b"avc1", b"dvh9", "picture", "dvh9: no decoder"),
        (b"alac", b"mhm1", "sound", "mpegh_3d_audio: no decoder"),
        (b"alac", b"ac-4", "sound", "ac4: no decoder"),
        (b"alac", b"apac", "sound", "apac: no decoder"),
        (b"alac", b"\1\2\3\4", "sound", "no decoder"),
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "mov"])
def test_a_reject_names_the_codec(tmp_path, suffix, old, new, kind, words):
    path = made(tmp_path / f"a.{suffix}", "-c:v", "libx264", "-c:a", "alac")
    outcome = probe(renamed(path, old, new))
    assert outcome.reason == "no_decoder"
    assert words in outcome.detail and kind in outcome.detail and path.name in outcome.detail


@pytest.mark.parametrize(
    "old, new", [(b"V_MPEG4/ISO/AVC", b"V_MPEG9/ISO/AVC"), (b"A_AAC", b"A_XYZ")]
)
def test_matroska_with_an_unknown_codec(tmp_path, old, new):
    path = renamed(made(tmp_path / "a.mkv", "-c:v", "libx264", "-c:a", "aac"), old, new)
    assert probe(path).reason == "no_decoder"


def test_encrypted_sources_say_so(tmp_path):
    path = made(
        tmp_path / "a.mp4",
        "-c:v",
        "libx264",
        "-c:a",
        "aac",
        "-encryption_scheme",
        "cenc-aes-ctr",
        "-encryption_key",
        "76a6c65c5ea762046bd749a2e632ccbb",
        "-encryption_kid",
        "a7e61c373e219033c21091fa607bf3b8",
    )
    outcome = probe(path)
    assert outcome.reason == "encrypted" and "encrypted" in outcome.detail


@pytest.mark.parametrize(
    "suffix, options",
    [
        ("mkv", ("-c:v", "libx264", "-c:a", "aac")),
        ("mov", ("-c:v", "libx264", "-c:a", "aac")),
        ("mpg", ("-c:v", "mpeg2video", "-c:a", "mp2")),
        ("webm", ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus")),
    ],
)
def test_damaged_files_are_rejects(tmp_path, suffix, options):
    whole = made(tmp_path / f"whole.{suffix}", *options).read_bytes()
    for start in (40, 300, 1000, len(whole) // 3):
        path = tmp_path / f"{start}.{suffix}"
        path.write_bytes(whole[:start] + bytes(b ^ 0xA5 for b in whole[start:]))
        try:
            read_facts(path)
        except MediaError as error:
            assert error.reason in {
                "unreadable",
                "no_decoder",
                "no_audio",
                "no_video",
                "truncated",
                "clock_jump",
                "encrypted",
            }


def test_a_dry_run_lists_them_and_goes_on(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    renamed(made(folder / "a.mp4", "-c:v", "libx264", "-c:a", "aac"), b"avc1", b"dvh9")
    made(folder / "b.mp4", "-c:v", "libx264", "-c:a", "aac")
    text = describe([str(folder)], tmp_path / "out", BuildConfig(), None)
    assert "would be rejected: no_decoder" in text and "known duration 0.0 min" in text
    assert "b.mp4" in text


def test_a_stream_that_appears_late_costs_nothing(tmp_path):
    """A tag of another kind in the middle of an FLV, as damage makes them."""
    path = made(tmp_path / "a.flv", "-c:v", "libx264", "-c:a", "aac")
    before = open_video(path)
    content, place = path.read_bytes(), 13
    for _ in range(20):
        place += 11 + int.from_bytes(content[place + 1 : place + 4], "big") + 4
    data = b"\x02\x00\x06onTextx" + b"\x08\x00\x00\x00\x01\x00\x04text\x02\x00\x02hi\x00\x00\x09"
    tag = b"\x12" + len(data).to_bytes(3, "big") + b"\0\0\x10\0\0\0\0" + data
    path.write_bytes(content[:place] + tag + (11 + len(data)).to_bytes(4, "big") + content[place:])
    video = open_video(path)
    assert (video.num_frames, num_pictures(video)) == (before.num_frames, num_pictures(before))
