"""`yld synthesize`: any video's face, spoken for at its own time."""

from __future__ import annotations

import wave
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from manifests.clock import SAMPLE_RATE, SAMPLES_PER_FRAME
from manifests.media.pictures import iter_pictures
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from pipeline.cli import main
from pipeline.config.build_config import BuildConfig
from pipeline.config.settings import to_mapping
from pipeline.demo.portraits import load_portraits, render
from pipeline.demo.programme import draw_talk, steady, write_media
from pipeline.demo.voice import speak
from pipeline.scoring.clip_faces import open_clip
from pipeline.synthesis import job, mux
from pipeline.synthesis.people import people_of
from training.data.views import View
from training.harness.checkpoints import Description, save_weights
from training.models.catalogue import KINDS

WALL_FRAMES, FACE_FRAMES = 40, 75
NEAR_FRAMES = 6
"""A face is followed from the frame at which it is looked for."""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("run") / "best.safetensors", "slts")


def untrained(path: Path, model: str) -> Path:
    """First weights of SLTS tiny under a model's name."""
    kind, config = KINDS["slts"], KINDS["slts"].presets["tiny"]()
    facts = {"speakers": ["anna", "bert"], "mel": {"mean": [0.0] * 80, "deviation": [1.0] * 80}}
    torch.manual_seed(0)
    told = to_mapping(config)
    about = Description(model, "tiny", told, facts, {}, 0, "0")
    save_weights(path, kind.system_class(config, facts), about)
    return path


@pytest.fixture(scope="module")
def silent(tmp_path_factory):
    """A wall, a face that talks, the wall again; no sound."""
    person, speech = load_portraits()[1], speak(FACE_FRAMES / 25, 180.0, 1.1, 11)
    face = [render(person, *speech.mouth_at(i / 25), (0, 0, 0)) for i in range(FACE_FRAMES)]
    wall = [np.full_like(face[0], 90)] * WALL_FRAMES
    path = tmp_path_factory.mktemp("video") / "silent.mp4"
    times = [Fraction(i, 25) for i in range(FACE_FRAMES + 2 * WALL_FRAMES)]
    write_media(path, [*wall, *face, *wall], times, None)
    return path


def run(*arguments):
    return CliRunner().invoke(main, ["synthesize", "--device", "cpu", *map(str, arguments)])


def samples(path: Path) -> np.ndarray:
    with wave.open(str(path), "rb") as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16000, 1, 2)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


def lateness(heard: np.ndarray, wanted: np.ndarray) -> int:
    """Samples by which `heard` comes after `wanted`."""
    size = 2 * max(len(heard), len(wanted))
    spectrum = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size))
    peak = int(np.fft.irfft(spectrum, size).argmax())
    return peak if peak < size // 2 else peak - size


def test_a_silent_video_is_spoken_for_where_its_face_is(checkpoint, silent, tmp_path):
    out, copy = tmp_path / "said.wav", tmp_path / "new" / "said.mp4"
    done = run("--checkpoint", checkpoint, "--video", silent, "--out", out, "--mux", copy)
    assert done.exit_code == 0, done.output
    assert "no sound" in done.stderr and "the mean of its voices" in done.stderr
    sound = samples(out)
    assert len(sound) == SAMPLES_PER_FRAME * (FACE_FRAMES + 2 * WALL_FRAMES)
    spoken = np.flatnonzero(sound) / SAMPLES_PER_FRAME
    assert WALL_FRAMES - 1 < spoken[0] < WALL_FRAMES + NEAR_FRAMES
    end = WALL_FRAMES + FACE_FRAMES
    assert end - NEAR_FRAMES < spoken[-1] < end + 1
    assert np.abs(sound).max() > 100  # an untrained vocoder hums

    source, made = open_video(copy), read_audio(open_video(copy), copy)
    assert source.num_frames == FACE_FRAMES + 2 * WALL_FRAMES and source.video_codec == "h264"
    assert abs(lateness(made.astype(float), sound.astype(float))) < SAMPLES_PER_FRAME


def test_the_one_longest_in_the_picture_is_spoken_for_or_the_one_chosen(tmp_path, monkeypatch):
    path, people = tmp_path / "two.mp4", load_portraits()
    parts = [
        (person, speak(seconds, 180.0, 1.0, i), seconds)
        for i, (person, seconds) in enumerate(zip(people, (1.6, 2.4), strict=False))
    ]
    draw_talk(path, parts, steady(Fraction(25), 4.0), 0.0, np.random.default_rng(5))

    class Hum:
        view, voices = View("lip", 32, True), ("anna",)

        def speak(self, pictures, speaker=None, seed=0):
            assert pictures.shape[1:] == (32, 32) and pictures.std() > 5
            return np.full(SAMPLES_PER_FRAME * len(pictures), 0.5, np.float32)

    about = Description("slts", "tiny", {}, {}, {}, 6, "0")
    monkeypatch.setattr(job, "speaker_of", lambda *_: (Hum(), about))
    found = people_of(open_video(path), tmp_path, BuildConfig())
    monkeypatch.setattr(job, "people_of", lambda *_: found)  # looked for once
    for number, (low, high) in {None: (40, 100), 2: (0, 40)}.items():
        said: list[str] = []
        out = tmp_path / f"{number}.wav"
        job.synthesize(job.Request(tmp_path, path, out, person=number), said.append)
        spoken = np.flatnonzero(samples(out)) / SAMPLES_PER_FRAME
        assert low <= spoken[0] < low + NEAR_FRAMES and high - NEAR_FRAMES < spoken[-1] <= high
        assert "2 people are seen:" in said
        assert any("--track N chooses another" in line for line in said) == (number is None)
    with pytest.raises(ValueError, match="no person 3: 2 can be spoken for"):
        job.synthesize(job.Request(tmp_path, path, tmp_path / "3.wav", person=3), said.append)
    with pytest.raises(ValueError, match=r"no speaker carl; it knows anna\. Without --speaker"):
        job.synthesize(job.Request(tmp_path, path, tmp_path / "3.wav", speaker="carl"), said.append)


def test_what_cannot_be_done_is_said(checkpoint, silent, tmp_path):
    wall = tmp_path / "wall.mp4"
    write_media(
        wall, [np.full((96, 96, 3), 90, np.uint8)] * 30, [Fraction(i, 25) for i in range(30)], None
    )
    broken = tmp_path / "broken.mp4"
    broken.write_text("no video")
    text = tmp_path / "words.txt"
    text.write_text("not a video either\n" * 100)
    other = untrained(tmp_path / "other.safetensors", "syncnet")
    there = tmp_path / "there.wav"
    there.write_text("somebody's")
    new = tmp_path / "new.wav"
    for code, words, model, video, out in (
        (1, "no face was found", checkpoint, wall, new),
        (2, "broken.mp4: not a media file, or damaged", checkpoint, broken, new),
        (
            2,
            "a model of syncnet, which makes no speech; give one of lip2audspec, slts",
            other,
            silent,
            new,
        ),
        (2, "words.txt is no video whose pictures can be used", checkpoint, text, new),
        (2, "cannot be read as weights", broken, silent, new),
        (2, "is there already and is not written over", checkpoint, silent, there),
        (2, "end its name in .wav", checkpoint, silent, tmp_path / "x.mp3"),
        (2, f"{broken} is a file", checkpoint, silent, broken / "x.wav"),
    ):
        done = run("--checkpoint", model, "--video", video, "--out", out)
        assert (done.exit_code, words in done.output) == (code, True), done.output
    done = run("--checkpoint", checkpoint, "--video", silent, "--out", new, "--mux", "x.avi")
    assert done.exit_code == 2 and "end its name in one of .mp4, .mov, .mkv" in done.output
    assert there.read_text() == "somebody's" and not new.exists()


@pytest.mark.parametrize("source", ["in.mkv", "in.mp4"])
@pytest.mark.parametrize("copy", ["out.mp4", "out.mov", "out.mkv"])
def test_the_copy_has_the_pictures_and_the_sound_at_their_times(tmp_path, source, copy):
    """Pictures that were reordered, whose first is shown at 3 s."""
    random = np.random.default_rng(1)
    pictures = [np.full((64, 64, 3), 20 + 3 * i, np.uint8) for i in range(60)]
    path, out = tmp_path / source, tmp_path / copy
    write_media(path, pictures, [3 + Fraction(i, 25) for i in range(60)], np.zeros(48000 * 5))
    video = open_video(path)
    assert video.zero_us == 3_000_000
    sound = (4000 * random.standard_normal(SAMPLES_PER_FRAME * 60)).astype(np.int16)
    mux.mux(video, path, sound, out)
    made = open_video(out)
    assert (made.num_frames, made.width_px) == (60, 64)
    for (_, a), (_, b) in zip(iter_pictures(video, path), iter_pictures(made, out), strict=True):
        assert (a.luma() == b.luma()).all()
    heard = read_audio(made, out)
    assert abs(lateness(heard.astype(float), sound.astype(float))) <= SAMPLE_RATE // 1000
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_times_that_no_copy_can_keep_are_refused(silent, tmp_path):
    video, _ = open_clip(silent, tmp_path)
    for odd in ({"time_source": "dts"}, {"jump_frames": [3]}, {"mended_frames": [3]}):
        with pytest.raises(mux.MuxError, match="leave --mux out, or encode them anew first"):
            mux.check(replace(video, **odd), tmp_path / "x.mp4")
    mux.check(video, tmp_path / "x.mp4")


def test_decoding_times_rise_and_come_before_the_picture():
    shown = [0, 160, 80, 40, 120, 320, 240, 200, 280]
    made = mux.decoding_times(shown)
    assert made == [-80, -40, 0, 40, 80, 120, 160, 200, 240]
    assert all(dts <= pts for dts, pts in zip(made, shown, strict=True))
    assert mux.decoding_times([0, 40, 80]) == [0, 40, 80]
