"""`clips.wide_audio`: sound at the source's own rate, on the same clock as the other."""

from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from scipy.signal import resample_poly

from manifests.media.encode import decode_flac, encode_flac, flac_rate
from manifests.media.sound import read_audio, wide_rate
from manifests.media.video import open_video
from manifests.shards import WIDE_AUDIO, ShardSample, read_samples, write_samples
from pipeline.run.entry import _plain
from stages.clips.render import ClipsConfig, Wide
from stages.sync.correct import correct_shard
from tests.synthetic import EventFile, constant_pts_s, write_events


@pytest.mark.parametrize(("own", "kept"), [(44_100, 44_100), (22_050, 22_050), (16_000, 16_000)])
def test_the_sound_of_a_file_is_the_same_at_its_own_rate(tmp_path, own, kept):
    pts = constant_pts_s(Fraction(25), 2, 0.0)
    events = EventFile(pts, [0.5, 1.21], sample_rate=own)
    video = open_video(write_events(tmp_path / "a", events))
    assert wide_rate(video, video.media_path) == kept
    wide, plain = read_audio(video, rate=kept), read_audio(video)
    assert len(wide) == video.num_frames * kept // 25
    step = np.gcd(kept, 16_000)
    down = resample_poly(wide / 32768, 16_000 // step, kept // step)
    same = np.corrcoef(down, plain / 32768)[0, 1]
    assert same > 0.99


def test_a_clip_begins_at_the_nearest_sample_and_has_whole_frames():
    sound = np.arange(10_000, dtype=np.int16)
    content = Wide(sound, 44_100).flac(start=641, num_frames=2)
    kept = decode_flac(content)
    assert flac_rate(content) == 44_100 and len(kept) == 2 * 1764
    assert kept[0] == round(641 * 44_100 / 16_000)
    assert len(decode_flac(Wide(sound, 44_100).flac(3000, 2))) == 3528


def test_keys_of_default_builds_do_not_know_of_it():
    assert "wide_audio" not in str(_plain(ClipsConfig()))
    assert "wide_audio" in str(_plain(ClipsConfig(wide_audio=True)))


def test_a_corrected_shard_moves_both_sounds(tmp_path):
    random = np.random.default_rng(0)
    plain, wide = (random.integers(-9, 9, n).astype(np.int16) for n in (6400, 17_640))
    members = {
        "audio.flac": encode_flac(plain),
        WIDE_AUDIO: encode_flac(wide, 44_100),
        "json": json.dumps({"num_frames": 10}).encode(),
    }
    with open(tmp_path / "a.tar", "wb") as file:
        write_samples(file, [ShardSample("k", members)])
    correct_shard(tmp_path / "a.tar", tmp_path / "b.tar", {"k": 40.0})
    (made,) = read_samples(tmp_path / "b.tar")
    assert (made.sound[640:] == plain[:-640]).all()
    moved, rate = made.wide_sound
    assert rate == 44_100 and (moved[1764:] == wide[:-1764]).all() and not moved[:1764].any()
