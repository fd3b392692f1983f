"""Configuration is checked before any work; errors name the key and the remedy."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.config import load_config
from pipeline.settings import ConfigError


@pytest.mark.parametrize("setting, words", [
    ("clips.max_frame=50", "did you mean 'max_frames'"), ("clips.max_frames=soon", "must be int"),
    ("clips.mode=long", "one of yld, fixed, whole"), ("nonsense", "key=value"),
    ("clips.max_frames=10", "min_frames <= max_frames"), ("clips=3", "must be a mapping"),
    ("splits.val_share=2", "leave room for train"),
])
def test_wrong_settings_are_named(setting, words):
    with pytest.raises(ConfigError, match=words):
        load_config(None, (setting,))


def test_files_and_flags_meet(tmp_path):
    path = tmp_path / "build.yaml"
    path.write_text("clips:\n  max_frames: 50\nworkers:\n  memory_gb: {shots: 3}\n")
    config = load_config(str(path), ("clips.min_frames=30", "identity.target=[a.jpg]"))
    assert (config.clips.max_frames, config.clips.min_frames) == (50, 30)
    assert config.workers.memory_gb == {"shots": 3.0} and config.identity.target == ["a.jpg"]


@pytest.mark.parametrize("arguments, words", [
    (["build", "nowhere.mp4", "--out", "x"], "neither a link"),
    (["build", "nowhere.mp4", "--out", "x", "--set", "clips.mod=1"], "unknown setting"),
    (["verify", "."], "holds no corpus"),
])
def test_commands_say_what_is_wrong(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and words in result.output


def test_a_setting_may_be_named_by_its_end():
    config = load_config(None, ("landmarks=mediapipe", "faces.detector=scrfd",
                                "clips.max_frames=50", "tracks.embedder=mobilefacenet"))
    assert config.shots.faces.landmarks == "mediapipe"
    assert config.shots.faces.detector == "scrfd"
    assert config.clips.max_frames == 50 and config.tracks.embedder == "mobilefacenet"
    assert config.identity.embedder == "dlib_resnet"
    with pytest.raises(ConfigError, match=r"tracks\.embedder, identity\.embedder; write it out"):
        load_config(None, ("embedder=mobilefacenet",))
    with pytest.raises(ConfigError, match="unknown setting 'landmark'"):
        load_config(None, ("landmark=mediapipe",))
    with pytest.raises(ConfigError, match=r"must be one of cpu, cuda"):
        load_config(None, ("landmarks_device=gpu",))


@pytest.mark.parametrize("setting, words", [
    ("faces.bogus=1", r"'shots\.faces\.bogus'; valid: detector, landmarks, device"),
    ("faces.detectr=yunet", r"'shots\.faces\.detectr'; did you mean 'detector'"),
    ("detectr=yunet", r"'detectr'; did you mean shots\.faces\.detector"),
    ("bogus.x=1", r"'bogus\.x'; there are: expand, .*docs/config\.md"),
    ("memory_gb.shots=much", r"workers\.memory_gb\.shots must be float"),
    ("workers.videos_per_gpu_worker=0", "must be 1 or more, not 0"),
])
def test_an_unknown_setting_names_the_nearest(setting, words):
    with pytest.raises(ConfigError, match=words):
        load_config(None, (setting,))


def test_a_group_may_be_named_by_its_end():
    config = load_config(None, ("faces.device=cuda", "memory_gb.shots=3"))
    assert config.shots.faces.device == "cuda" and config.workers.memory_gb == {"shots": 3.0}


def test_a_file_cannot_be_a_corpus(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "a.mp4").write_bytes(b"")
    for out in ("file", "file/below"):
        for more in ([], ["--dry-run"]):
            done = CliRunner().invoke(main, ["build", str(tmp_path / "a.mp4"), "--out",
                                             str(tmp_path / out), *more])
            assert done.exit_code == 2 and f"{tmp_path / 'file'} is a file" in done.output
