"""Rotation, pixel shape, HDR, cover art and several sound tracks, beside ffmpeg's own reading."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from manifests.media import pictures
from manifests.media.facts import read_facts
from manifests.media.pictures import (
    Picture,
    decoded_seconds,
    iter_frames,
    iter_pictures,
    whole_side,
)
from manifests.media.shrinking import resized
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from stages.sources.download.site import ffmpeg_path


def ffmpeg(*arguments: str) -> bytes:
    done = subprocess.run(
        [ffmpeg_path(), "-loglevel", "error", "-y", *arguments], capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def first_frame(path: Path) -> np.ndarray:
    return next(picture for _, picture in iter_frames(open_video(path)))


SOUND = ("-f", "lavfi", "-i", "sine=frequency=440:duration=1")
PICTURE = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=25:duration=1")
H264 = ("-c:v", "libx264", "-crf", "10", "-pix_fmt", "yuv420p", "-c:a", "aac")


@pytest.fixture(scope="module")
def upright(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("upright") / "upright.mp4"
    ffmpeg(*PICTURE, *SOUND, *H264, str(path))
    return path


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_turned_phone_gives_upright_pictures(degrees, upright, tmp_path):
    path = tmp_path / "turned.mp4"
    ffmpeg("-display_rotation", str(degrees), "-i", str(upright), "-c", "copy", str(path))
    seen = first_frame(path)
    raw = ffmpeg("-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    shape = (96, 160, 3) if degrees == 180 else (160, 96, 3)
    expected = np.frombuffer(raw, np.uint8).reshape(shape)
    assert seen.shape == shape
    assert np.abs(seen.astype(int) - expected).mean() < 3
    facts = read_facts(path)
    assert (facts.height_px, facts.width_px) == shape[:2]


def test_pixels_that_are_not_square_are_shown_as_meant(tmp_path):
    path = tmp_path / "wide.mp4"
    ffmpeg(*PICTURE, *SOUND, "-vf", "setsar=16/15", *H264, str(path))
    facts = read_facts(path)
    assert facts.sample_aspect_ratio == "16:15"
    assert (facts.width_px, facts.height_px) == (171, 96) or facts.width_px in (170, 172)
    assert first_frame(path).shape == (facts.height_px, facts.width_px, 3)


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_hdr_becomes_sdr_of_the_same_order(transfer, tmp_path):
    """A grey ramp stays grey and rising, black stays black; a plain 8-bit reading is not it."""
    path = tmp_path / "hdr.mp4"
    tags = ("-x264-params", f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc")
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "gradients=s=256x64:c0=black:c1=white:x0=0:y0=0:x1=255:y1=0:d=1:speed=0.00001:r=25",
        *SOUND,
        "-c:v",
        "libx264",
        "-pix_fmt",
        "yuv420p10le",
        "-crf",
        "8",
        *tags,
        "-c:a",
        "aac",
        str(path),
    )
    assert read_facts(path).is_hdr
    row = first_frame(path)[32].astype(int)
    assert (np.abs(row - row.mean(1, keepdims=True)) < 8).all(), "grey stays grey"
    smooth = np.convolve(row.mean(1), np.ones(9) / 9, "valid")
    assert (np.diff(smooth) > -1).all(), "brighter stays brighter"
    assert smooth[0] < 15 and smooth[-1] > 235


def test_album_art_is_no_video(upright, tmp_path):
    cover, song, both = tmp_path / "c.jpg", tmp_path / "song.m4a", tmp_path / "both.mp4"
    ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64", "-frames:v", "1", str(cover))
    ffmpeg(
        "-i",
        str(cover),
        *SOUND,
        "-map",
        "0",
        "-map",
        "1",
        "-c:v",
        "mjpeg",
        "-c:a",
        "aac",
        "-disposition:v:0",
        "attached_pic",
        str(song),
    )
    with pytest.raises(Exception, match="no video stream"):
        read_facts(song)
    ffmpeg(
        "-i",
        str(cover),
        "-i",
        str(upright),
        "-map",
        "0",
        "-map",
        "1",
        "-c",
        "copy",
        "-disposition:v:0",
        "attached_pic",
        "-disposition:v:1",
        "default",
        str(both),
    )
    facts = read_facts(both)
    assert facts.video_codec == "h264" and facts.num_frames == 25


def test_the_default_sound_track_is_read_and_all_are_counted(upright, tmp_path):
    path = tmp_path / "two.mkv"
    ffmpeg(
        "-i",
        str(upright),
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=1200:duration=1",
        "-map",
        "0:v",
        "-map",
        "0:a",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        "-c:a",
        "flac",
        "-metadata:s:a:0",
        "language=eng",
        "-metadata:s:a:1",
        "language=kor",
        "-disposition:a:0",
        "0",
        "-disposition:a:1",
        "default",
        str(path),
    )
    facts = read_facts(path)
    assert facts.num_audio_streams == 2 and facts.audio_language == "kor"
    pcm = read_audio(open_video(path), path)[1600:14400].astype(float)
    loudest = np.abs(np.fft.rfft(pcm)).argmax() * 16000 / len(pcm)
    assert abs(loudest - 1200) < 5


def test_small_colours_are_those_of_the_whole_picture(upright):
    video = open_video(upright)
    picture = next(p for _, p in iter_pictures(video))
    small, whole = picture.small_rgb(40), picture.rgb().astype(float)
    assert small.shape == (24, 40, 3)
    expected = whole.reshape(24, 4, 40, 4, 3).mean((1, 3))
    assert np.abs(small - expected).mean() < 3


def test_pictures_are_shrunk_by_whole_factors():
    def side(width: int, height: int, about: int = 960) -> int:
        return whole_side(SimpleNamespace(width_px=width, height_px=height), about)

    assert [side(1280, 720), side(1080, 1920), side(640, 360), side(3840, 2160)] == [
        1280,
        960,
        640,
        960,
    ]


def test_a_whole_picture_is_not_copied(upright):
    picture = next(p for _, p in iter_pictures(open_video(upright)))
    assert picture.luma().base is not None
    halves = resized(picture.luma(), (40, 24))
    expected = picture.luma().reshape(24, 4, 40, 4).astype(float).mean((1, 3))
    assert np.abs(halves - expected).max() <= 1.5


def test_a_size_on_the_way_to_a_smaller_one_is_not_made_twice(monkeypatch):
    whole = np.random.default_rng(0).integers(0, 255, (1080, 1920)).astype(np.uint8)
    shrunk = []

    def noted(picture, size):
        shrunk.append(picture.shape)
        return resized(picture, size)

    monkeypatch.setattr(pictures, "resized", noted)
    monkeypatch.setattr(pictures, "_plane", lambda frame, number: whole)
    picture = Picture(None, {}, None)
    for size in ((960, 540), (160, 90), (640, 360), (240, 136)):
        assert np.array_equal(picture._light(size), resized(whole, size))
    assert shrunk == [(1080, 1920), (540, 960), (540, 960), (540, 960)]


def test_what_is_decoded_from_a_key_frame_on_is_the_same(tmp_path):
    path = tmp_path / "long.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=30:duration=5")
    sound = ("-f", "lavfi", "-i", "sine=frequency=440:duration=5")
    coded = ("-c:v", "libx264", "-bf", "3", "-g", "40", "-pix_fmt", "yuv420p", "-c:a", "aac")
    ffmpeg(*picture, *sound, *coded, str(path))
    video = open_video(path)
    whole = {k: p.luma().tobytes() for k, p in iter_pictures(video)}
    before = decoded_seconds()
    for start in (0, 7, 31, 66, 90, 121):
        part = {k: p.luma().tobytes() for k, p in iter_pictures(video, None, start, start + 3)}
        assert part == {k: whole[k] for k in range(start, start + 3)}
    # Six times from the key frame before, without the pictures that no other refers to.
    assert decoded_seconds() - before < 6.0
