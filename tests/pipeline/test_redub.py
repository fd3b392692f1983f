"""`yld redub`: blending, where a face is put, and a whole video that says another sound."""

from __future__ import annotations

import wave
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from manifests.crops import ANCHORS, template
from manifests.media.pictures import iter_shown
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from pipeline.cli import main
from pipeline.config.settings import to_mapping
from pipeline.demo.portraits import load_portraits
from pipeline.demo.programme import write_media
from pipeline.redub import job
from pipeline.redub.blend import blended, membrane
from pipeline.redub.placing import Placing
from pipeline.redub.sound import read_new
from pipeline.redub.source import VideoSource, read_still
from pipeline.synthesis.people import Person, Span, people_of
from training.data.views import View
from training.harness.checkpoints import CheckpointError, Description, save_weights
from training.models.catalogue import KINDS

WALL, FACE = 12, 30
STEPS_MS = (20, 33, 50)
"""Of the video, over and over: no frame rate."""


# -- Poisson editing ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)


def disc(height: int = 40, width: int = 50, radius: float = 12.0) -> np.ndarray:
    rows, columns = np.mgrid[:height, :width]
    return (rows - height / 2) ** 2 + (columns - width / 2) ** 2 < radius**2


def test_a_picture_blended_with_itself_is_itself(noise):
    assert (blended(noise, noise.astype(np.float32), disc()) == noise).all()
    flat = np.zeros((40, 50, 3))
    assert np.abs(membrane(flat, disc())).max() == 0


def test_outside_nothing_changes_and_inside_gradients_are_the_sources(noise):
    rows = np.mgrid[:40, :50][0][..., None] * np.ones(3)
    target = np.full((40, 50, 3), 200, np.uint8)
    source = (60 + 1.5 * rows).astype(np.float32)
    made = blended(target, source, disc())
    assert (made[~disc()] == target[~disc()]).all()
    # Seen with another light: the same slope, hung from what is around it.
    difference = membrane(target - source.astype(np.float64), disc())
    whole = source + difference
    inner = disc(radius=10)
    lap = cv2.Laplacian(whole, cv2.CV_64F) - cv2.Laplacian(source.astype(np.float64), cv2.CV_64F)
    assert np.abs(lap[inner]).max() < 1e-4
    assert (blended(noise, source, np.zeros((40, 50), bool)) == noise).all()


def test_a_constant_source_takes_what_is_harmonic():
    columns = np.mgrid[:40, :50][1][..., None] * np.ones(3)
    target = (4 * columns).astype(np.uint8)
    made = blended(target, np.full((40, 50, 3), 7.0, np.float32), disc())
    assert np.abs(made.astype(int) - target).max() <= 1  # a ramp is harmonic


def test_masks_that_meet_the_edge_and_masks_that_are_all():
    target = np.full((20, 30, 3), 90, np.uint8)
    source = np.full((20, 30, 3), 10.0, np.float32)
    low = np.zeros((20, 30), bool)
    low[10:, :] = True
    assert (blended(target, source, low) == 90).all()
    assert (blended(target, source, np.ones((20, 30), bool)) == 10).all()


# -- where it is put ----------------------------------------------------------------------------


def turned(scale: float = 1.3, degrees: float = 12.0) -> np.ndarray:
    """From a source of 300 x 260 to the canonical canvas."""
    return cv2.getRotationMatrix2D((150, 130), degrees, scale) + np.array([[0, 0, -22], [0, 0, -2]])


@pytest.mark.parametrize("region", ["lower", "face"])
def test_a_face_lies_where_it_was_and_is_shown_from_below_the_eyes(region):
    matrix, way = turned(), np.linalg.inv(np.vstack([turned(), [0, 0, 1]]))[:2]
    canonical = np.zeros((256, 256, 3), np.uint8)
    cv2.circle(canonical, (128, 176), 9, (255, 255, 255), -1)
    view = View("speech2vid")
    made = view.seen(canonical[None])[0][1:110, 1:110]
    placed = Placing(view, 1, region).place(made, matrix, (260, 300))
    mouth = way @ (128, 176, 1)
    whole = np.zeros((260, 300), np.float32)
    whole[placed.part] = placed.face[..., 0] * placed.mask
    rows, columns = np.nonzero(whole > 128)
    assert np.hypot(columns.mean() - mouth[0], rows.mean() - mouth[1]) < 0.7
    mask = np.zeros((260, 300), bool)
    mask[placed.part] = placed.mask

    def is_shown(x: float, y: float) -> bool:
        at = np.rint(way @ (x, y, 1)).astype(int)
        return bool(mask[at[1], at[0]])

    points = dict(zip(ANCHORS, template(), strict=True))
    for number, (x, y) in points.items():
        if number >= 36:
            assert is_shown(x, y) == (region == "face"), number
    assert is_shown(128, 176) and is_shown(60, 150) and not is_shown(128, 230)
    assert mask.sum() == placed.mask.sum() > 1000


def test_a_face_beside_the_picture_is_not_put_in_it():
    placed = Placing(View("speech2vid"), 1).place(
        np.zeros((109, 109, 3), np.uint8), np.array([[1.0, 0, 900], [0, 1.0, 0]]), (100, 120)
    )
    assert not placed.mask.any()


# -- the whole ----------------------------------------------------------------------------------


def weights(path: Path, model: str = "speech2vid") -> Path:
    """First weights of a narrow model."""
    kind = KINDS[model]
    config = kind.presets["tiny"]()
    told = to_mapping(config)
    if model == "speech2vid":
        told["shape"]["width"] = 1 / 16
        from pipeline.config.settings import from_mapping

        config = from_mapping(type(config), told)
    facts = {"mean": [0.0] * 12, "deviation": [8.0] * 12}
    torch.manual_seed(0)
    save_weights(
        path, kind.system_class(config, facts), Description(model, "tiny", told, facts, {}, 6, "0")
    )
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("redub")


@pytest.fixture(scope="module")
def checkpoint(folder) -> Path:
    return weights(folder / "best.safetensors")


def times() -> list[Fraction]:
    made, at = [], Fraction(0)
    for i in range(WALL + FACE):
        made.append(at)
        at += Fraction(STEPS_MS[i % len(STEPS_MS)], 1000)
    return made


@pytest.fixture(scope="module")
def video(folder) -> Path:
    """A wall, then a face, at times of no rate; its own sound is a hum."""
    face = cv2.resize(load_portraits()[0].picture, (224, 224), interpolation=cv2.INTER_AREA)
    frames = [np.full_like(face, 90)] * WALL + [face] * FACE
    hum = 0.1 * np.sin(2 * np.pi * 200 * np.arange(32_000) / 16_000)
    write_media(folder / "vfr.mp4", frames, times(), hum)
    return folder / "vfr.mp4"


def wav(path: Path, seconds: float, rate: int = 44_100, channels: int = 2) -> Path:
    rising = np.sin(2 * np.pi * 700 * np.arange(int(seconds * rate)) / rate)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat((9000 * rising).astype("<i2"), channels).tobytes())
    return path


def shown(path: Path) -> tuple[list[int], list[np.ndarray]]:
    found = [(time, picture.rgb()) for time, picture in iter_shown(open_video(path), path)]
    return [time for time, _ in found], [picture for _, picture in found]


def run(*arguments):
    return CliRunner().invoke(main, ["redub", "--device", "cpu", *map(str, arguments)])


def test_every_picture_stays_at_its_time_and_only_the_lower_face_changes(
    checkpoint, video, folder, tmp_path, monkeypatch
):
    long = wav(tmp_path / "long.wav", 3.0)
    out = tmp_path / "new" / "said.mp4"
    found: list[Person] = []
    monkeypatch.setattr(job, "people_of", lambda *a: found.extend(people_of(*a)) or found)
    done = run(video, "--audio", long, "--checkpoint", checkpoint, "--out", out)
    assert done.exit_code == 0, done.output
    assert f"{WALL + FACE} pictures, of which" in done.stdout
    assert "of the sound are left out" in done.stderr
    assert "stay as they are: 0.00 to" in done.stderr

    before_us, before = shown(video)
    after_us, after = shown(out)
    assert np.abs(np.subtract(before_us, after_us)).max() <= 12  # a tick of 90 kHz
    gaps = [np.abs(a.astype(int) - b).mean((1, 2)) for a, b in zip(before, after, strict=True)]
    # The portrait's eyes are at 40 % of its height.
    assert max(gap.max() for gap in gaps[:WALL]) < 2
    for gap in gaps[WALL + 3 :]:
        assert gap[:85].max() < 3 < gap[110:150].mean()
    record = open_video(out)
    assert record.audio_start_us == 0 and (record.width_px, record.height_px) == (224, 224)
    sound = read_audio(record, out).astype(float)
    spectrum = np.abs(np.fft.rfft(sound[:16_000]))
    assert abs(int(spectrum.argmax()) - 700) <= 1 and np.abs(sound).max() > 5000

    # Again, with what was found: shorter sound, Matroska, and the deblurring network.
    monkeypatch.setattr(job, "people_of", lambda *_: found)
    monkeypatch.setattr(job, "blended", lambda target, *_: target)  # its solving is tested above
    said: list[str] = []
    short, mkv = wav(tmp_path / "short.wav", 0.5, 50_000, 1), tmp_path / "said.mkv"
    deblur = weights(tmp_path / "deblur.safetensors", "speech2vid_deblur")
    made = job.redub(job.Request(checkpoint, video, short, mkv, deblur), said.append)
    assert made.num_pictures == WALL + FACE and any("silence follows" in line for line in said)
    quiet = read_audio(open_video(mkv), mkv)
    assert np.abs(quiet[: 16_000 // 4]).max() > 3000 and np.abs(quiet[10_000:]).max() < 50
    assert np.abs(np.subtract(shown(mkv)[0], before_us)).max() <= 1000  # its clock ticks so


def test_a_still_lasts_as_long_as_the_sound(checkpoint, tmp_path, monkeypatch):
    picture = cv2.resize(load_portraits()[1].picture, (225, 223), interpolation=cv2.INTER_AREA)
    still, sound = tmp_path / "still.png", wav(tmp_path / "a.wav", 0.4, 16_000, 1)
    cv2.imwrite(str(still), picture[..., ::-1])
    assert (read_still(still) == picture).all()
    monkeypatch.setattr(job, "blended", lambda target, *_: target)
    done = run(still, "--audio", sound, "--checkpoint", checkpoint, "--out", tmp_path / "a.mov")
    assert done.exit_code == 0, done.output
    assert "0.40 s, 10 pictures, of which 10 say" in done.stdout
    record = open_video(tmp_path / "a.mov")
    assert (record.width_px, record.height_px) == (226, 224) and record.num_frames == 10


def test_matrices_follow_pictures_and_not_frames():
    """At 50 pictures a second, those between two frames lie between them; before the face none."""
    matrices = np.zeros((20, 2, 3))
    matrices[:, 0, 2] = np.arange(20)
    span = Span(5, 25, matrices, np.zeros((20, 68, 2), np.float32))
    source = object.__new__(VideoSource)
    source.person = Person((span,), "left")
    source.times_us = [20_000 * i for i in range(60)]
    source.video = type("V", (), {"num_frames": 30})()
    found = source.matrices()
    known = [i for i, matrix in enumerate(found) if matrix is not None]
    assert known == list(range(9, 50))
    moved = [found[i][0, 2] for i in range(10, 49)]
    np.testing.assert_allclose(moved, np.arange(39) / 2)


def test_a_sound_shorter_than_the_model_hears_is_followed_by_silence(checkpoint, video, tmp_path):
    sound, out = wav(tmp_path / "short.wav", 0.05), tmp_path / "a.mp4"
    done = run(video, "--audio", sound, "--checkpoint", checkpoint, "--out", out)
    assert done.exit_code == 0 and "silence" in done.output, done.output
    assert out.exists()


def test_what_cannot_be_done_is_said(checkpoint, video, tmp_path):
    sound = wav(tmp_path / "a.wav", 0.5)
    wall, text = tmp_path / "wall.png", tmp_path / "text.png"
    cv2.imwrite(str(wall), np.full((96, 96, 3), 90, np.uint8))
    text.write_text("no picture")
    slts = weights(tmp_path / "d.safetensors", "speech2vid_deblur")
    cases = [
        (video, wav(tmp_path / "no.wav", 0), checkpoint, "a.mp4", "no.wav: 0 ms of sound are sho"),
        (video, sound, checkpoint, "a.avi", "end its name in one of .mp4, .mov, .mkv"),
        (video, sound, slts, "a.mp4", "makes no face of sound; give one of speech2vid"),
        (video, text, checkpoint, "a.mp4", "text.png"),
        (text, sound, checkpoint, "a.mp4", "text.png is no picture that can be read"),
        (wall, sound, checkpoint, "a.mp4", "give a video in which a face is seen"),
        (video, sound, checkpoint, video, "is there already"),
    ]
    for source, audio, model, out, why in cases:
        done = run(source, "--audio", audio, "--checkpoint", model, "--out", tmp_path / out)
        assert done.exit_code != 0 and why in done.output, (why, done.output)
    assert not list(tmp_path.glob("a.mp4"))
    with pytest.raises(CheckpointError, match="makes no face sharper"):
        job.redub(job.Request(checkpoint, video, sound, tmp_path / "a.mp4", checkpoint), print)
    assert read_new(sound).kept.shape == (2, 22_050) and read_new(sound).rate == 44_100
