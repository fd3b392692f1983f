"""Configuration is checked before any work; errors name the key and the remedy."""

from __future__ import annotations

import dataclasses
import re
from typing import get_args

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from pipeline.build.job import build
from pipeline.cli import main
from pipeline.commands.train import model_config
from pipeline.config.build_config import BuildConfig, LimitedName, load_config, setting_paths
from pipeline.config.settings import ConfigError, bounds_in_words
from pipeline.corpus.verify import verify
from pipeline.graph import AUDIT_JOB, CORRECT_JOB, SHARD_JOB
from stages.faces.identity import PhotoError
from training.models.catalogue import KINDS


@pytest.mark.parametrize(
    "setting, words",
    [
        ("clips.max_frame=50", "did you mean 'max_frames'"),
        ("clips.max_frames=soon", "must be int"),
        ("clips.mode=long", "one of yld, fixed, whole"),
        ("nonsense", "key=value"),
        ("clips.max_frames=10", "=10 is below min_frames=25"),
        ("clips=3", "must be a mapping"),
        ("splits.val_share=0.96", "leave room for train"),
    ],
)
def test_wrong_settings_are_named(setting, words):
    with pytest.raises(ConfigError, match=words):
        load_config(None, (setting,))


def test_files_and_flags_meet(tmp_path):
    path = tmp_path / "build.yaml"
    path.write_text("clips:\n  max_frames: 50\nworkers:\n  memory_gb: {shots: 3}\n")
    config = load_config(str(path), ("clips.min_frames=30", "identity.target=[a.jpg]"))
    assert (config.clips.max_frames, config.clips.min_frames) == (50, 30)
    assert config.workers.memory_gb == {"shots": 3.0} and config.identity.target == ["a.jpg"]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["build", "nowhere.mp4", "--out", "x"], "neither a link"),
        (["build", "nowhere.mp4", "--out", "x", "--set", "clips.mod=1"], "unknown setting"),
        (["verify", "."], "holds no corpus"),
    ],
)
def test_commands_say_what_is_wrong(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2 and words in result.output


@pytest.mark.parametrize("text", ["1e-1", "1E-1", "0.1", "1.e-1"])
def test_a_number_may_have_an_exponent(text):
    assert load_config(None, (f"clips.min_speech_share={text}",)).clips.min_speech_share == 0.1


def test_a_setting_may_be_named_by_its_end():
    config = load_config(
        None,
        (
            "landmarks=mediapipe",
            "faces.detector=scrfd",
            "clips.max_frames=50",
            "tracks.embedder=mobilefacenet",
        ),
    )
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


@pytest.mark.parametrize(
    "setting, words",
    [
        ("faces.bogus=1", r"'shots\.faces\.bogus'; valid: detector, landmarks, device"),
        ("faces.detectr=yunet", r"'shots\.faces\.detectr'; did you mean 'detector'"),
        ("detectr=yunet", r"'detectr'; did you mean shots\.faces\.detector"),
        ("bogus.x=1", r"'bogus\.x'; there are: expand, .*docs/config\.md"),
        ("memory_gb.shots=much", r"workers\.memory_gb\.shots must be float"),
        ("workers.videos_per_gpu_worker=0", "must be 1 or more, not 0"),
    ],
)
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
            done = CliRunner().invoke(
                main, ["build", str(tmp_path / "a.mp4"), "--out", str(tmp_path / out), *more]
            )
            assert done.exit_code == 2 and f"{tmp_path / 'file'} is a file" in done.output


@pytest.mark.parametrize(
    "setting, words",
    [
        ("detect_every=0", "shots.faces.detect_every must be 1 or more, not 0"),
        ("sync.window_frames=0", "sync.window_frames must be 5 or more, not 0"),
        ("sync.hop_frames=0", "sync.hop_frames must be 1 or more, not 0"),
        ("search_ms=-1", "sync.search_ms must be from 40 to 10000, not -1.0"),
        ("search_ms=.nan", "sync.search_ms must be a number, not nan"),
        ("search_ms=.inf", "sync.search_ms must be from 40 to 10000, not inf"),
        ("shots.max_side_px=0", "shots.max_side_px must be 64 or more, not 0"),
        ("detectors=[]", "shots.cuts.detectors must name at least one of content"),
        ("workers.cpu_workers=0", "workers.cpu_workers must be 1 or more, not 0"),
        ("workers.cpu_workers=-2", "workers.cpu_workers must be 1 or more, not -2"),
        ("max_ahead=0", "workers.max_ahead must be 1 or more, not 0"),
        ("max_failure_rate=7", "workers.max_failure_rate must be from 0 to 1, not 7.0"),
        ("memory_gb.foo=1", "each name in workers.memory_gb must be one of expand, "),
        ("workers.timeout_s={nostage: 3}", "measure, measure_shard, correct, not 'nostage'"),
        ("timeout_s.shots=0", "workers.timeout_s.shots must be above 0, not 0.0"),
        ("download.attempts=0", "download.attempts must be 1 or more, not 0"),
        ("download.max_height=0", "download.max_height must be 1 or more, not 0"),
        ("burst=0", "download.limits.burst must be 1 or more, not 0.0"),
        ("requests_per_s=0", "download.limits.requests_per_s must be above 0, not 0.0"),
        ("sleep_min_s=9", "download.sleep_min_s=9 is above sleep_max_s=4; lower"),
        ("clips.max_frames=10", "clips.max_frames=10 is below min_frames=25; raise"),
        ("sync.undecided=foo", "sync.undecided must be one of keep, drop, not 'foo'"),
        ("sync.estimator=foo", "sync.estimator must be one of lipsync, lipsync_linear, syncnet_v2"),
        ("sync.speaker=foo", "sync.speaker must be one of lipsync, light_asd, lr_asd, syncnet"),
        ("gpu_stages=[foo]", "workers.gpu_stages[0] must be one of expand, "),
        ("probe.frame_rate=25", "unknown setting 'probe.frame_rate'"),
        *(
            (
                f"smooth_frames={n}",
                f"tracks.smooth_frames must be 0 or an odd number of 5 or more, not {n}",
            )
            for n in (1, 3, 4)
        ),
    ],
)
def test_what_would_hang_or_fail_late_is_refused_at_once(setting, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_config(None, (setting,))


def test_every_number_has_bounds():
    free = {
        "shots.faces.min_score",
        "shots.faces.keep_score",
        "identity.min_score",
        "sync.voice_over_peak",
    }  # scores: their unit is the network's, and may be negative
    for path in setting_paths():
        *groups, name = path.split(".")
        config = BuildConfig()
        for group in groups:
            config = getattr(config, group)
        item = next(f for f in dataclasses.fields(config) if f.name == name)
        if re.search(r"\b(int|float)\b", item.type) and path not in free:
            assert bounds_in_words(item.metadata["bounds"]), path


def test_limits_may_name_the_stages_of_every_job():
    nodes = {n.name for job in (AUDIT_JOB, SHARD_JOB, CORRECT_JOB) for n in job}
    assert nodes <= set(get_args(LimitedName))


def test_all_bad_lines_of_all_lists_are_told_at_once(tmp_path):
    (tmp_path / "a.txt").write_text("https://example.org/v\nmissing.mp4\n# fine\n")
    (tmp_path / "b.txt").write_text("".join(f"no{i}.mp4\n" for i in range(22)))
    told = CliRunner().invoke(
        main,
        ["build", str(tmp_path / "a.txt"), str(tmp_path / "b.txt"), "--out", str(tmp_path / "out")],
    )
    assert told.exit_code == 2 and "23 lines of the lists" in told.output
    assert "a.txt, line 2: 'missing.mp4'" in told.output and "#" in told.output
    assert told.output.count("neither a link nor a file") == 20 and "and 3 more" in told.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments", [["", "--out", "x"], [" ", "--out", "x"], ["a.mp4", "--out", ""]]
)
def test_an_unset_shell_variable_is_not_the_current_folder(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.mp4").write_bytes(b"")
    for more in ([], ["--dry-run"]):
        told = CliRunner().invoke(main, ["build", *arguments, *more])
        assert told.exit_code == 2 and "shell variable that is not set" in told.output


@pytest.mark.parametrize("is_picture, words", [(False, "cannot be read"), (True, "shows 0 faces")])
def test_a_target_photo_is_tried_before_any_work(is_picture, words, tmp_path):
    photo, media = tmp_path / "me.png", tmp_path / "a.mp4"
    media.write_bytes(b"")
    photo.write_bytes(b"text")
    if is_picture:
        cv2.imwrite(str(photo), np.zeros((90, 120, 3), np.uint8))
    with pytest.raises(PhotoError, match=words):
        build([str(media)], tmp_path / "out", load_config(None, (f"identity.target={photo}",)))
    assert not (tmp_path / "out").exists()


def test_verify_reports_a_video_at_another_rate(tmp_path, monkeypatch):
    videos = [{"video_id": f"v{rate}", "frame_rate": rate} for rate in ("25", "30")]
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "status.json").write_text('{"stages": []}')
    monkeypatch.setattr(
        "pipeline.corpus.verify.Corpus.rows",
        lambda self, table: videos if table == "videos" else [],
    )
    monkeypatch.setattr("pipeline.corpus.verify.Corpus.status", lambda self: [])
    told = [p for p in verify(tmp_path) if "frame_rate" in p["problem"]]
    assert [p["where"] for p in told] == ["videos/v30"] and "not 25" in told[0]["problem"]


def test_a_value_taken_for_a_group_is_told_with_what_stands_beside_it():
    with pytest.raises(ConfigError, match=r"'optimizer' is a value.*learning_rate"):
        model_config(KINDS["slts"], "tiny", ["optimizer.lr=3"])
