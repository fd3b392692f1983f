"""Reading and writing media: seeking, gaps, levels, damage, and what lands in a sample."""

from __future__ import annotations

import io
import os
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from manifests.clock import Clock, lag_to_samples, nearest_indices, samples_of
from manifests.media.encode import (
    decode_flac,
    decode_video,
    encode_flac,
    encode_from,
    encode_video,
)
from manifests.media.facts import MediaError, read_facts
from manifests.media.pictures import iter_frames, iter_pictures
from manifests.media.sound import _place, _placed, read_audio
from manifests.media.video import open_video
from tests.synthetic import EventFile, constant_pts_s, write_events

SHARED = Path(os.environ.get("YLD_SHARED", Path(__file__).resolve().parents[2] / ".." / "shared"))
WILD = SHARED / "data" / "wild"


def wild(name: str) -> Path:
    if not (WILD / name).exists():
        pytest.skip(f"real clip {name} is not here; set YLD_SHARED to the shared folder")
    return WILD / name


def moving_picture(rng, count=40, height=96, width=96) -> np.ndarray:
    """Smooth texture that drifts: uint8 [count, height, width, 3]."""
    big = cv2.GaussianBlur(rng.integers(0, 256, (height + 80, width + 80, 3), np.uint8), (0, 0), 3)
    big = np.clip((big.astype(np.float32) - 127) * 4 + 127, 0, 255).astype(np.uint8)
    return np.stack([big[i : i + height, i : i + width] for i in range(count)])


def test_nearest_and_its_incremental_form_agree():
    rng = np.random.default_rng(1)
    for _ in range(50):
        pts = sorted({int(t) for t in rng.integers(0, 2_000_000, 40)})
        clock = Clock(pts[0])
        picks = nearest_indices(pts, clock, clock.num_frames(pts[-1]))
        streamed = []
        for i, t in enumerate(pts):
            last = clock.last_frame_of(t, pts[i + 1]) if i + 1 < len(pts) else len(picks) - 1
            streamed += [i] * (min(last, len(picks) - 1) + 1 - len(streamed))
        assert streamed == picks


def test_frames_and_samples():
    assert samples_of(1) == 640
    assert samples_of(7, Fraction(30000, 1001)) == round(7 * 16000 * 1001 / 30000)
    assert lag_to_samples(-40) == -640


@pytest.mark.parametrize("container", ["mp4", "matroska", "mpegts"])
def test_a_span_equals_the_same_span_of_the_whole(tmp_path, container):
    pts = constant_pts_s(Fraction(30000, 1001), 9, 0.2)
    times = [0.5 + 0.211 * i for i in range(38)]
    video = open_video(
        write_events(
            tmp_path / "a",
            EventFile(
                pts,
                times,
                container=container,
                sample_rate=48000,
                video_options={"preset": "veryfast", "g": "60"},
            ),
        )
    )
    whole = [(k, p.luma().tobytes()) for k, p in iter_pictures(video)]
    assert [k for k, _ in whole] == list(range(video.num_frames))
    sound = read_audio(video)
    for start in (0, 1, 70, 133, video.num_frames - 1):
        end = min(start + 6, video.num_frames)
        part = [(k, p.luma().tobytes()) for k, p in iter_pictures(video, None, start, end)]
        assert part == whole[start:end]
        assert np.array_equal(
            read_audio(video, None, start * 640, end * 640), sound[start * 640 : end * 640]
        )


def test_real_clips_seek_as_they_decode():
    path = wild("LatentSync__demo3_video.mp4")
    video = open_video(path)
    start = video.num_frames // 2
    whole = {k: f for k, f in iter_frames(video, max_side_px=64) if start <= k < start + 3}
    for k, frame in iter_frames(video, None, start, start + 3, 64):
        assert np.array_equal(frame, whole[k])


def test_video_that_begins_after_its_sound_begins_the_clock():
    video = open_video(wild("face_recognition__short_hamilton_clip.mp4"))
    assert video.audio_start_us < -500_000
    assert video.container_lag_ms == pytest.approx(video.audio_start_us / 1000)


class _Blocks:
    """Blocks as a decoder gives them, with chosen stamps, to see where they are laid."""

    def __init__(self, monkeypatch, stamps_s, size=1024, rate=48000):
        ramp = np.arange(len(stamps_s) * size, dtype=np.float32) + 1
        places = [
            None if t is None else _place(t.numerator, Fraction(1, t.denominator), 0, rate)
            for t in stamps_s
        ]
        blocks = [(ramp[i * size : (i + 1) * size], at, rate) for i, at in enumerate(places)]
        monkeypatch.setattr("manifests.media.sound._blocks", lambda *_: iter(blocks))
        self.laid = np.concatenate([b for b, _ in _placed(None, None)])


def test_a_lost_packet_is_one_silence_of_its_length(monkeypatch):
    stamps = [Fraction(i * 1024, 48000) for i in range(30) if i != 11]
    laid = _Blocks(monkeypatch, stamps).laid
    hole = laid[11 * 1024 : 12 * 1024]
    assert not hole.any() and laid[11 * 1024 - 1] != 0 and laid[12 * 1024] != 0
    assert len(laid) == 30 * 1024


def test_jitter_and_missing_stamps_lay_no_silence(monkeypatch):
    rng = np.random.default_rng(2)
    exact = [Fraction(i * 1024, 48000) for i in range(40)]
    rounded = [Fraction(round(t * 1000), 1000) for t in exact]
    missing = [t if i % 3 == 0 else None for i, t in enumerate(exact)]
    shaken = [t + Fraction(int(rng.integers(-5, 6)), 1000) for t in exact]
    shaken[0] = exact[0]
    for stamps in (rounded, missing):
        assert np.array_equal(_Blocks(monkeypatch, stamps).laid, np.arange(40 * 1024) + 1)
    assert abs(len(_Blocks(monkeypatch, shaken).laid) - 40 * 1024) < 480


def test_overlap_is_cut(monkeypatch):
    stamps = [Fraction(i * 1024 - (400 if i >= 9 else 0), 48000) for i in range(30)]
    laid = _Blocks(monkeypatch, stamps).laid
    assert len(laid) == 30 * 1024 - 400


def test_two_equal_channels_keep_their_level(tmp_path):
    video = open_video(
        write_events(
            tmp_path / "a.mov",
            EventFile(
                constant_pts_s(Fraction(25), 3),
                [0.5 + 0.3 * i for i in range(7)],
                container="mov",
                audio_codec="pcm_s16le",
                sample_rate=48000,
                channels=2,
            ),
        )
    )
    assert np.abs(read_audio(video)).max() == pytest.approx(0.6 * 32767, rel=0.03)


@pytest.mark.parametrize(
    "content, words",
    [
        (b"", "x.mp4: an empty file"),
        (b"not a video at all" * 100, "not a media file, or damaged"),
        (None, "x.mp4: the file is not there"),
    ],
)
def test_what_is_no_media_is_unreadable(tmp_path, content, words):
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(MediaError) as error:
        read_facts(path)
    assert error.value.reason == "unreadable"
    assert words in str(error.value) and "Errno" not in str(error.value)


def test_damaged_packets_cost_only_themselves(tmp_path):
    times = [0.5 + 0.31 * i for i in range(17)]
    path = write_events(
        tmp_path / "a.ts",
        EventFile(
            constant_pts_s(Fraction(25), 6),
            times,
            container="mpegts",
            audio_codec="mp2",
            video_options={"preset": "ultrafast", "g": "10"},
        ),
    )
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 188 * 188
    content[middle : middle + 188 * 12] = np.random.default_rng(0).bytes(188 * 12)
    path.write_bytes(content)
    video = open_video(path)
    assert sum(1 for _ in iter_pictures(video)) == video.num_frames >= 140
    assert len(read_audio(video)) == video.num_frames * 640


def test_every_reader_of_a_sample_counts_the_same(tmp_path):
    frames = moving_picture(np.random.default_rng(4))
    content, psnr = encode_video(frames)
    assert psnr >= 42
    again, _ = encode_video(frames)
    assert again == content
    path = tmp_path / "face.mp4"
    path.write_bytes(content)
    capture, by_index = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        by_index.append(read[1])
    assert len(by_index) == len(frames)
    with av.open(io.BytesIO(content)) as container:
        stream = container.streams.video[0]
        assert (stream.frames, stream.start_time) == (len(frames), 0)
        decoded = list(container.decode(stream))
        assert [f.pts * f.time_base for f in decoded] == [Fraction(i, 25) for i in range(40)]
        assert [i for i, f in enumerate(decoded) if f.key_frame] == [0, 25]
        assert not any(f.pict_type == av.video.frame.PictureType.B for f in decoded)
        assert stream.codec_context.profile == "High"
        assert stream.codec_context.pix_fmt == "yuv420p"
        first = decoded[0]
        assert (int(first.colorspace), int(first.color_range)) == (1, 1)
        assert (int(first.color_primaries), int(first.color_trc)) == (1, 1)
    assert content.index(b"moov") < content.index(b"mdat"), "plays before it is all there"


def test_colours_survive_and_psnr_is_real():
    colours = np.array([[200, 30, 40], [20, 180, 60], [40, 60, 220], [128, 128, 128]], np.uint8)
    frames = np.stack([np.repeat(np.repeat(colours.reshape(2, 2, 3), 32, 0), 32, 1)] * 5)
    content, _ = encode_video(frames)
    decoded = decode_video(content)
    assert decoded.shape == frames.shape
    for y, x in ((16, 16), (16, 48), (48, 16), (48, 48)):
        assert np.abs(decoded[2, y, x].astype(int) - frames[2, y, x]).max() <= 4
    noise = np.random.default_rng(5).integers(0, 256, (6, 64, 64, 3), np.uint8)
    assert encode_video(noise)[1] >= 42
    with pytest.raises(ValueError):
        encode_video([])


def test_the_rate_factor_is_predicted_and_the_floor_holds():
    random = np.random.default_rng(8)
    moving = moving_picture(random).astype(int)
    frames = np.clip(moving + random.integers(-12, 13, moving.shape), 0, 255).astype(np.uint8)
    content, psnr, needed = encode_from(frames, 18.0)
    assert 42 <= psnr < 46 and 3 <= needed < 18, (
        "one try misses; noise gains more a step than faces"
    )
    again, psnr_again, _ = encode_from(frames, needed)
    assert psnr_again >= 42 and len(again) <= len(content) * 1.1
    assert encode_video(frames) == (content, psnr)


def test_blocks_lie_where_fractions_would_put_them():
    random = np.random.default_rng(9)
    for base in (Fraction(1, 44100), Fraction(1, 1000), Fraction(1, 90000), Fraction(3, 7)):
        for _ in range(200):
            pts, shift_us = (int(v) for v in random.integers(-(10**7), 10**9, 2))
            rate = int(random.choice([8000, 44100, 48000]))
            exact = Fraction(pts) * base + Fraction(shift_us, 1_000_000)
            place = _place(pts, base, shift_us, rate)
            assert place == (round(exact * rate), exact == 0)
    assert _place(1, Fraction(1, 2), -500_000, 48000) == (0, True)
    assert [_place(n, Fraction(1, 2), 0, 1).sample for n in (1, 3, 5)] == [0, 2, 2]


def test_flac_is_lossless_and_repeats():
    pcm = np.random.default_rng(6).integers(-32768, 32768, 640 * 33).astype(np.int16)
    content = encode_flac(pcm)
    assert np.array_equal(decode_flac(content), pcm)
    assert encode_flac(pcm) == content
