"""Metrics that look at a face: found by the stages, scored by evaluation."""

from __future__ import annotations

import shutil
import wave
from fractions import Fraction

import numpy as np
import pytest

from evaluation.metrics.errors import NoScore
from evaluation.metrics.faces import read_face
from evaluation.records import Utterance
from evaluation.scoring import score
from pipeline.demo.portraits import load_portraits, render
from pipeline.demo.programme import write_media
from pipeline.demo.voice import speak
from pipeline.scoring.clip_faces import FaceFinder
from pipeline.scoring.workers import Job, Worker

SECONDS, LAG_MS = 8.0, 120


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A talking face; the same without sound; no face; and sound that is early by 120 ms."""
    folder = tmp_path_factory.mktemp("faces")
    person, speech = load_portraits()[1], speak(SECONDS, 180.0, 1.1, 11)
    times = [Fraction(i, 25) for i in range(int(SECONDS * 25))]
    pictures = [render(person, *speech.mouth_at(float(t)), (0, 0, 0)) for t in times]
    write_media(folder / "talk.mp4", pictures, times, speech.pcm)
    write_media(folder / "mute.mp4", pictures, times, None)
    write_media(
        folder / "wall.mp4", [np.full((448, 448, 3), 90, np.uint8)] * len(times), times, speech.pcm
    )
    early = np.concatenate([speech.pcm[LAG_MS * 16 :], np.zeros(LAG_MS * 16)])
    with wave.open(str(folder / "early.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((early * 32767).astype(np.int16).tobytes())
    return folder


WORKER = Worker()


def rows(clips, names, **utterance):
    """As a worker scores it, without Ray."""
    job = Job(
        "hypothesis",
        Utterance("u", **{k: str(clips / v) for k, v in utterance.items()}),
        tuple(names),
    )
    return {row.metric: row for row in WORKER.run(job)}


def test_landmark_sync_sees_what_was_planted(clips):
    names = ["lm-offset", "lm-confidence"]
    own = rows(clips, names, reference="talk.mp4", hypothesis="talk.mp4")
    early = rows(clips, names, reference="talk.mp4", hypothesis="early.wav", video="talk.mp4")
    assert own["lm-confidence"].value > 0.75 and early["lm-confidence"].value > 0.75
    # Sound that comes early makes the picture late.
    assert abs(early["lm-offset"].value - own["lm-offset"].value - LAG_MS) < 25
    assert not list(WORKER.faces.iterdir())


def test_generated_pictures_without_sound_are_heard_with_the_reference(clips):
    found = rows(clips, ["lm-offset", "lmd"], reference="talk.mp4", hypothesis="mute.mp4")
    own = rows(clips, ["lm-offset"], reference="talk.mp4", hypothesis="talk.mp4")
    assert abs(found["lm-offset"].value - own["lm-offset"].value) < 10
    assert found["lmd"].value < 1.0


def test_no_face_and_no_pictures_say_so(clips):
    wall = rows(clips, ["lm-offset", "lmd"], reference="talk.mp4", hypothesis="wall.mp4")
    assert "no face" in wall["lm-offset"].reason and "no face" in wall["lmd"].reason
    sound = rows(clips, ["lm-offset", "lmd"], reference="talk.mp4", hypothesis="early.wav")
    assert "--video" in sound["lm-offset"].reason and "pictures" in sound["lmd"].reason


def test_syncnet_scores_with_its_file(clips, tmp_path, monkeypatch):
    import torch

    from stages.networks.syncnet import SyncNet

    names = ["lse-c", "lse-d", "av-offset"]
    monkeypatch.setenv("YLD_MODEL_DIR", str(tmp_path / "empty"))
    monkeypatch.setenv("YLD_MODEL_MIRROR", str(tmp_path))
    FaceFinder().write(clips / "talk.mp4", tmp_path / "face.npz", with_crops=True)
    face = read_face(tmp_path / "face.npz")
    assert face.crops.shape == (len(face.landmarks), 224, 224, 3)
    torch.manual_seed(0)
    torch.save(SyncNet().state_dict(), tmp_path / "syncnet_v2.model")
    short = dict(np.load(tmp_path / "face.npz"))
    for name in ("crops", "mouths", "landmarks"):
        short[name] = short[name][:20]
    np.savez(tmp_path / "short.npz", **short)
    utterance = Utterance(
        "u",
        str(clips / "talk.mp4"),
        str(clips / "talk.mp4"),
        video_face=str(tmp_path / "short.npz"),
    )
    found = {r.metric: r for r in score(utterance, names)}
    assert found["lse-d"].status == "ok" and found["lse-d"].value > 0, found["lse-d"].reason
    assert found["lse-c"].value >= 0
    offset = found["av-offset"]
    assert offset.value is None or offset.value % 40 == 0


def test_a_face_file_without_a_face_has_no_score(tmp_path, clips):
    FaceFinder().write(clips / "wall.mp4", tmp_path / "wall.npz", with_crops=False)
    with pytest.raises(NoScore, match=r"^no face: no face was found"):
        read_face(tmp_path / "wall.npz")
    shutil.copy(clips / "early.wav", tmp_path / "broken.mp4")
    FaceFinder().write(tmp_path / "broken.mp4", tmp_path / "broken.npz", with_crops=False)
    with pytest.raises(NoScore, match="the video cannot be read: "):
        read_face(tmp_path / "broken.npz")
