"""Scores of clips against what was planted: noise, bandwidth, tones, blur, light, turned heads."""

from __future__ import annotations

import dataclasses
import io

import cv2
import numpy as np
import pytest
from scipy.signal import firwin

from manifests import records as rec
from manifests.media.encode import encode_flac, encode_video
from manifests.shards import WIDE_AUDIO, ShardSample, write_samples
from pipeline.demo.voice import speak
from stages.base import Context
from stages.clips.heard import bandwidth_hz, music_share, power_spectra, snr_db
from stages.clips.scores import MeasureClips
from stages.clips.seen import key_pictures, look_of
from stages.faces.head_pose import HEAD_MM, POINTS, head_pose
from tests.factories import blank

RATE = 16_000


def int16(sound: np.ndarray) -> np.ndarray:
    return np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)


@pytest.fixture(scope="module")
def spoken() -> np.ndarray:
    """Two seconds of a made voice with pauses, loudest 0.3, and nothing else."""
    voice = speak(2.0, 130, 1.0, 3).pcm[: 2 * RATE].astype(np.float64)
    return 0.3 * voice / np.abs(voice).max()


@pytest.mark.parametrize("snr", [0, 10, 20, 30])
def test_planted_noise_is_told_to_3_db(spoken, snr):
    noise = np.random.default_rng(snr).normal(size=len(spoken))
    noise *= np.sqrt(np.square(spoken).mean() / np.square(noise).mean() / 10 ** (snr / 10))
    assert snr_db(power_spectra(int16(spoken + noise))) == pytest.approx(snr, abs=3)


def test_sound_without_noise_or_without_sound(spoken):
    assert snr_db(power_spectra(np.zeros(RATE, np.int16))) is None
    assert snr_db(power_spectra(int16(spoken[:1000]))) is None
    gated = int16(spoken)
    gated[: RATE // 2] = 0
    assert snr_db(power_spectra(gated)) == 60
    for nothing in (np.zeros(RATE, np.int16), np.zeros(0, np.int16)):
        assert bandwidth_hz(power_spectra(nothing)) is None and music_share(nothing) is None


@pytest.mark.parametrize("planted", [1500.0, 3400.0, 6000.0])
def test_planted_bandwidth_is_told_to_250_hz(planted):
    noise = 0.1 * np.random.default_rng(0).normal(size=2 * RATE)
    kept = np.convolve(noise, firwin(511, planted, fs=RATE), "same")
    for loudness in (1.0, 0.02):
        found = bandwidth_hz(power_spectra(int16(loudness * kept)))
        assert found == pytest.approx(planted, abs=250)
    rumble = 0.5 * np.sin(2 * np.pi * 40 * np.arange(len(kept)) / RATE)
    assert bandwidth_hz(power_spectra(int16(0.01 * kept + rumble))) == pytest.approx(
        planted, abs=300
    )


def test_full_bandwidth_is_half_the_rate():
    assert bandwidth_hz(power_spectra(int16(np.random.default_rng(0).normal(size=RATE) / 9))) == 8e3


def test_notes_are_music_and_voices_and_noise_are_not(spoken):
    times = np.arange(2 * RATE) / RATE
    chord = sum(
        np.sin(2 * np.pi * 220 * 2 ** (k / 12) * h * times) / h
        for k in (0, 4, 7)
        for h in (1, 2, 3)
    )
    assert music_share(int16(0.05 * chord)) > 0.6
    assert music_share(int16(spoken + 0.02 * chord)) > 0.5
    assert music_share(int16(0.1 * np.random.default_rng(1).normal(size=2 * RATE))) < 0.3
    glide = np.sin(2 * np.pi * np.cumsum(150 + 60 * np.sin(2 * np.pi * 2 * times)) / RATE)
    assert music_share(int16(0.3 * np.sign(glide) * np.abs(glide) ** 0.3)) < 0.45


def face_video(pictures: list[np.ndarray]) -> bytes:
    return encode_video([np.repeat(p[..., None], 3, 2) for p in pictures])[0]


def portrait() -> np.ndarray:
    """Edges of all sizes."""
    chance, made = np.random.default_rng(0), np.zeros((256, 256))
    for side in (4, 16, 64, 256):
        coarse = chance.normal(size=(side, side))
        made += cv2.resize(coarse, (256, 256), interpolation=cv2.INTER_CUBIC) / 4
    return np.clip(128 + 60 * made, 20, 235).astype(np.uint8)


WHOLE = np.array([[0.0, 0.0], [255.0, 255.0]] * 34, np.float32)
"""Points whose box is the whole picture."""


def test_a_blurred_series_falls_in_sharpness():
    face = portrait()
    series = [face, *(cv2.GaussianBlur(face, (0, 0), s) for s in (0.8, 1.5, 3.0, 6.0))]
    found = [
        look_of(key_pictures(face_video([p] * 3)), WHOLE[None].repeat(3, 0)).sharpness
        for p in series
    ]
    assert all(a > 1.3 * b for a, b in zip(found, found[1:], strict=False)), found


def test_light_is_that_of_the_face_alone_and_of_each_second():
    dark, fair = np.full((256, 256), 255, np.uint8), np.full((256, 256), 255, np.uint8)
    dark[64:192, 64:192], fair[64:192, 64:192] = 2, 128
    points = np.clip(WHOLE, 70, 185)
    pictures = key_pictures(face_video([dark] * 25 + [fair] * 50))
    assert list(pictures) == [0, 25, 50]
    look = look_of(pictures, points[None].repeat(75, 0))
    assert look.brightness == pytest.approx(128 / 255, abs=0.02)
    assert (look.dark_share, look.bright_share) == (0, 0)
    look = look_of({0: pictures[0]}, points[None])
    assert look.brightness < 0.03 and look.dark_share == 1
    look = look_of({0: pictures[0]}, WHOLE[None])
    assert look.bright_share == pytest.approx(0.75, abs=0.02)


@pytest.mark.parametrize(("yaw", "pitch"), [(0, 0), (25, 0), (-40, 0), (0, 15), (20, -12)])
def test_a_turned_head_stays_turned_when_it_is_registered(yaw, pitch):
    y, p = np.radians([yaw, pitch])
    turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    seen = (HEAD_MM @ (nod @ turn).T)[:, :2] * [1, -1]
    points = np.zeros((1, 68, 2))
    points[0, list(POINTS)] = seen * 0.9 + 128
    level = np.zeros((1, 68, 2))
    level[0, list(POINTS)] = HEAD_MM[:, :2] * [0.9, -0.9] + 128
    at_rest = head_pose(level)
    found = head_pose(points)
    assert found[0] - at_rest[0] == pytest.approx(yaw, abs=3)
    assert abs(found[1] - at_rest[1]) == pytest.approx(abs(pitch), abs=3)


def clip_in(work, name: str, members: dict[str, bytes]) -> rec.Clip:
    stream = io.BytesIO()
    write_samples(stream, [ShardSample(name, members).with_facts({"clip_id": name})])
    (work / "clips").mkdir(exist_ok=True)
    (work / "clips" / f"{name}.tar").write_bytes(stream.getvalue())
    return blank(
        rec.Clip, clip_id=name, track_id="t", video_id="v", payload_path=f"clips/{name}.tar"
    )


def test_the_stage_reads_members_alone_and_the_wide_sound_where_it_is(tmp_path, spoken):
    points = io.BytesIO()
    np.save(points, WHOLE[None].repeat(50, 0), allow_pickle=False)
    members = {
        "face.mp4": face_video([portrait()] * 50),
        "audio.flac": encode_flac(int16(spoken)),
        "landmarks.npy": points.getvalue(),
    }
    wide = 0.1 * np.random.default_rng(0).normal(size=2 * 44_100)
    clips = [
        clip_in(tmp_path, "a", members),
        clip_in(tmp_path, "b", members | {WIDE_AUDIO: encode_flac(int16(wide), 44_100)}),
    ]
    track = blank(rec.Track, track_id="t", roll_deg=-3.0, median_box_px=88.0)
    stage = MeasureClips(None)
    stage.setup()
    (first,), (second,) = stage.process(clips, Context(tmp_path, tracks={"t": track}))
    assert (first.clip_id, first.video_id) == ("a", "v")
    assert (first.roll_deg, first.face_px) == (-3.0, 88.0)
    assert second.bandwidth_hz == 22_050 and first.bandwidth_hz <= 8000
    assert dataclasses.replace(second, clip_id="a", bandwidth_hz=first.bandwidth_hz) == first
    missing = [f.name for f in dataclasses.fields(first) if getattr(first, f.name) is None]
    assert missing == []
