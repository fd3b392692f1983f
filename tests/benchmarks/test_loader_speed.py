"""The loader's benchmark: a line for each way to read and each view."""

from __future__ import annotations

import json

import numpy as np

from benchmarks.loader import PACKINGS, measured
from manifests.media.encode import encode_flac, encode_video
from manifests.shards import ShardSample, write_samples
from training.data.views import VIEWS


def test_each_view_has_its_line(tmp_path):
    frames = [np.full((256, 256, 3), 20 + 5 * k, np.uint8) for k in range(30)]
    members = {
        "face.mp4": encode_video(frames)[0],
        "audio.flac": encode_flac(np.zeros(30 * 640, np.int16)),
        "json": json.dumps({"num_frames": 30}).encode(),
    }
    (tmp_path / "train").mkdir()
    with open(tmp_path / "train" / "000000.tar", "wb") as file:
        write_samples(file, [ShardSample("a", members)])
    speeds = measured(tmp_path, seconds=0.01)
    repacked = {f"{how}{name}" for name in PACKINGS for how in ("", "read, ", "webdataset, ")}
    here = {s.view for s in speeds}
    assert here == {"read", "webdataset", "whole clip", "lip grey", *VIEWS, *repacked}
    assert {s.codec for s in speeds if s.view in PACKINGS} == {"jpeg", "raw"}
    assert {s.view for s in speeds if s.times_webdataset is not None} == repacked
    assert all(s.clips_per_core_second > 0 for s in speeds)
    shares = [s for s in speeds if s.share_of_decoding_alone is not None]
    assert {s.view for s in shares} == {"lip grey", *VIEWS}
    assert {s.codec for s in shares} == {"mp4"}
