"""`yld synthesize --embedding`: voices of a face and of the sound, and what is known of them."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors import safe_open

from evaluation.metrics.errors import TooShort
from pipeline.cli import main
from pipeline.demo.programme import write_media
from pipeline.synthesis import embedding, job
from pipeline.synthesis.people import Person, Span
from training.data.views import View
from training.harness.checkpoints import Description

FRAMES, FIRST = 30, 4
MATRIX = np.array([[1.0, 0, 0], [0, 1, 0]])


class Sees:
    """A face's voice is its brightness, in the first of 256 numbers or in the second."""

    face_view = View("identity", 80)

    def voice_of_face(self, face):
        assert face.shape == (80, 80, 3)
        return np.eye(256, dtype=np.float32)[int(face.mean() > 128)]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A picture that is dark at first and bright from frame 4 on, with a tone and without."""
    folder = tmp_path_factory.mktemp("videos")
    frames = [np.full((256, 256, 3), 40 if i < FIRST else 200, np.uint8) for i in range(FRAMES)]
    times = [Fraction(i, 25) for i in range(FRAMES)]
    tone = 0.3 * np.sin(np.arange(16_000 * FRAMES // 25) / 7)
    write_media(folder / "heard.mp4", frames, times, tone)
    write_media(folder / "silent.mp4", frames, times, None)
    return folder


@pytest.fixture(autouse=True)
def known(monkeypatch):
    """Whose face it is, and which model sees it; GE2E has tests of its own."""
    count = FRAMES - FIRST
    span = Span(FIRST, FRAMES, np.repeat(MATRIX[None], count, 0), np.zeros((count, 68, 2)))
    person = Person((span,), "in the middle")
    facts = {"face_weights": None, "face_weights_reason": "none were asked for"}
    about = Description("speaker_identity", "tiny", {}, facts, {}, 7, "0")
    monkeypatch.setattr(job, "people_of", lambda *_: [person])
    monkeypatch.setattr(job, "embedder_of", lambda *_: (Sees(), about))

    def embed(sound):
        assert len(sound) == 640 * count and np.abs(sound).max() > 0.1
        return np.full(256, 1 / 16, np.float32)

    monkeypatch.setattr(embedding.voice, "embed", embed)


def run(*arguments):
    return CliRunner().invoke(main, ["synthesize", "--device", "cpu", *map(str, arguments)])


def test_both_voices_and_their_facts_are_in_one_file(videos, tmp_path):
    out = tmp_path / "voice.safetensors"
    given = ("--checkpoint", videos, "--video", videos / "heard.mp4", "--embedding", out)
    done = run(*given)
    assert done.exit_code == 0, done.output
    assert "its cosine with the voice's is 0.06" in done.output
    with safe_open(out, "np") as file:
        facts = json.loads(file.metadata()["yld_embedding"])
        face, heard = file.get_tensor("face"), file.get_tensor("voice")
    assert face.shape == heard.shape == (256,) and face.dtype == np.float32
    assert face[1] == 1  # the first picture of the face, not of the video
    assert facts["face_frame"] == FIRST and facts["video"] == "heard.mp4"
    assert facts["model"] == "speaker_identity" and facts["step"] == 7
    assert facts["cosine"] == 0.0625 and facts["voice_reason"] is None
    assert facts["voice_encoder"].startswith("GE2E ") and facts["voice_seconds"] == 1.04
    again = run(*given)
    assert again.exit_code == 2 and "is not written over" in again.output


def test_without_sound_or_speech_there_is_the_faces_alone_and_why(videos, tmp_path, monkeypatch):
    out = tmp_path / "voice.npy"
    done = run("--checkpoint", videos, "--video", videos / "silent.mp4", "--embedding", out)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in tmp_path.iterdir()) == ["voice.json", "voice.npy"]
    assert np.load(out, allow_pickle=False)[1] == 1
    facts = json.loads((tmp_path / "voice.json").read_text())
    assert facts["cosine"] is None
    assert facts["voice_reason"] == "the video has no sound that can be read"

    def nothing(sound):
        raise TooShort("0.00 s of the sound are speech, 0.5 s are needed")

    monkeypatch.setattr(embedding.voice, "embed", nothing)
    out = tmp_path / "second.npy"
    done = run("--checkpoint", videos, "--video", videos / "heard.mp4", "--embedding", out)
    assert done.exit_code == 0, done.output
    assert "0.5 s are needed" in json.loads((tmp_path / "second.json").read_text())["voice_reason"]


def test_what_is_asked_for_must_be_something_that_can_be_written(videos, tmp_path):
    given = ("--checkpoint", videos, "--video", videos / "heard.mp4")
    (tmp_path / "a.json").write_text("somebody's")
    for words, *more in (
        ("give --out FILE.wav, --embedding FILE, or both",),
        ("--mux needs --out", "--embedding", tmp_path / "x.npy", "--mux", tmp_path / "x.mp4"),
        ("end its name in .npy or .safetensors", "--embedding", tmp_path / "x.pt"),
        ("is not written over", "--embedding", tmp_path / "a.npy"),
    ):
        done = run(*given, *more)
        assert (done.exit_code, words in done.output) == (2, True), done.output
    assert (tmp_path / "a.json").read_text() == "somebody's"
