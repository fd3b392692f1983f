"""What the trainer says of its workers: by numbers, and measured on a small corpus."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from manifests.media.encode import encode_flac, encode_video
from manifests.shards import ShardSample, write_samples
from training.data.advice import WorkerSpeed, advice, worker_speed
from training.data.loader import mixture_of
from training.data.mixture import TrainingPlan
from training.data.samples import Samples
from training.data.views import View

LIP = WorkerSpeed(50.0, {"jpeg": 219.0, "raw": 2500.0}, "--crop lip --grey")


def test_enough_workers_are_left_alone():
    told = advice(LIP, seconds_per_step=0.5, global_batch=64, num_workers=3, num_cores=8)
    assert told == (
        "A worker decodes 50 clips/s, a step takes 128 clips/s of this rank: 3 workers will do."
    )
    assert "1 worker will do" in advice(LIP, 1.0, 50, num_workers=1, num_cores=8)


def test_more_workers_are_asked_for_where_there_are_cores():
    told = advice(LIP, 0.5, 64, num_workers=1, num_cores=8)
    assert told.endswith("give num_workers=3 (now 1; 8 cores).")  # 1.1 x 128 / 50
    shared = advice(LIP, 0.5, 64, world_size=4, num_workers=0, num_cores=2)
    assert "32 clips/s of this rank: give num_workers=1 (now 0; 2 cores)" in shared


def test_a_repack_is_named_where_cores_run_out():
    told = advice(LIP, 0.1, 64, num_workers=4, num_cores=8)
    assert told == (
        "A worker decodes 50 clips/s, a step takes 640 clips/s of this rank, which would be "
        "15 workers on 8 cores: `yld shards repack CORPUS --out FOLDER --crop lip --grey --codec "
        "jpeg` would make it about 219 clips/s a worker; then give num_workers=4."
    )
    assert "--codec raw` would make it about 2.5e+03" in advice(LIP, 0.01, 64, num_cores=8)


def test_what_nothing_can_close_is_said():
    told = advice(LIP, 0.001, 64, num_workers=4, num_cores=8)
    assert "--codec raw` and num_workers=8 would give 31 % of what the step takes" in told
    own = advice(WorkerSpeed(50.0), 0.1, 64, num_workers=4, num_cores=8)
    assert "repack" not in own and "num_workers=8 would give 62 % of what the step takes" in own
    slow = WorkerSpeed(50.0, {"jpeg": 51.0, "raw": 55.0}, "--crop lip")  # not worth the disk
    assert "repack" not in advice(slow, 0.1, 64, num_cores=8)


@pytest.mark.parametrize("wrong", [(0.0, 64, 1), (0.5, 0, 1), (0.5, 64, 0)])
def test_numbers_that_say_nothing_are_refused(wrong):
    with pytest.raises(ValueError, match="must be above 0"):
        advice(LIP, *wrong)


def test_a_worker_is_measured_on_real_rows(tmp_path):
    frames = [np.full((256, 256, 3), 20 + 5 * k, np.uint8) for k in range(30)]
    members = {
        "face.mp4": encode_video(frames)[0],
        "audio.flac": encode_flac(np.zeros(30 * 640, np.int16)),
        "json": json.dumps({"num_frames": 30}).encode(),
    }
    (tmp_path / "train").mkdir()
    with open(tmp_path / "train" / "000000.tar", "wb") as file:
        write_samples(file, [ShardSample("a", members), ShardSample("b", members)])
    samples = [Samples.of(tmp_path, "train")]
    view = View("lip", 64, is_grey=True, sound="slts", num_frames=20)
    plan, threads, seen = TrainingPlan(mixture_of(samples), 2), cv2.getNumThreads(), []
    speed = worker_speed(samples, view, plan, num_rows=4)
    assert speed.clips_per_s > 0 and set(speed.repacked) == {"jpeg", "raw"}
    assert speed.repacked["raw"] > speed.clips_per_s
    assert speed.repack_options == "--crop lip --height 64 --grey"
    assert cv2.getNumThreads() == threads

    def own(sample, row):
        seen.append(row.position)
        return {"key": 1}

    other = worker_speed(samples, own, plan, num_rows=4)
    assert other.clips_per_s > 0 and not other.repacked
    assert seen == [0, 0, 1]  # the first once more; no more rows than a pass has
