"""Who asks for a GPU gets one or an error before any work, never a CPU and never a long wait."""

from __future__ import annotations

import pytest

from pipeline.config.build_config import load_config
from pipeline.config.settings import ConfigError
from pipeline.run import placement
from stages.base import SetupError

POOL = ("workers.gpu_workers=1", "workers.gpu_stages=[shots]")


@pytest.mark.parametrize(
    "settings, words",
    [
        (
            ("workers.gpu_stages=[shot]", "workers.gpu_workers=1"),
            "must be one of expand, .*, not 'shot'",
        ),
        (("workers.gpu_stages=[shots]",), r"gpu_workers is 0: nobody would run"),
        (
            (*POOL, "workers.gpus_per_worker=0", "faces.device=cuda", "faces.detector=s3fd"),
            r"shots\.faces\.device is cuda and workers\.gpus_per_worker is 0",
        ),
        (
            (*POOL, "workers.gpus_per_worker=0", "landmarks_device=cuda", "landmarks=fan_2d"),
            r"landmarks_device is cuda",
        ),
    ],
)
def test_workers_that_cannot_be_meant_are_named(settings, words):
    with pytest.raises(ConfigError, match=words):
        placement.check(load_config(None, settings))


def test_gpus_that_the_cluster_lacks_are_named_before_any_wait():
    workers = load_config(None, POOL).workers
    with pytest.raises(SetupError, match=r"want 1 GPUs and Ray sees 0"):
        placement.pools(workers, {"CPU": 2.0})
    assert placement.pools(workers, {"CPU": 2.0, "GPU": 1.0})["gpu"].gpus == 1.0


def test_gpu_workers_take_several_videos_and_cpu_workers_one():
    config = load_config(
        None,
        (
            *POOL,
            "workers.gpus_per_worker=0",
            "faces.device=cpu",
            "workers.videos_per_gpu_worker=3",
            "pictures_per_batch=5",
        ),
    )
    placement.check(config)
    sizes = placement.pools(config.workers, {"CPU": 2.0})
    assert (sizes["gpu"].videos, sizes["gpu"].pictures, sizes["gpu"].gpus) == (3, 5, 0.0)
    assert sizes["cpu"].videos == sizes["net"].videos == 1 and sizes["cpu"].workers == 2
