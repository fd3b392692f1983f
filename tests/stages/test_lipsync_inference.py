"""The synchrony model in NumPy: torch's numbers, and no torch."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from stages.networks.lipsync_inference import LipSyncInference


@pytest.fixture(scope="module")
def models():
    from stages.networks.lipsync import LipSync

    return LipSyncInference.load(), LipSync.load()


def test_every_number_is_torchs(models):
    random = np.random.default_rng(4)
    landmarks = (random.random((90, 68, 2)) * 9 + np.linspace(0, 90, 68)[:, None]).astype(
        np.float32
    )
    mouths = random.integers(0, 256, (90, 40, 48), np.uint8)
    mel = random.normal(size=(4 * 90 + 300, 40)).astype(np.float32)
    exists = np.ones(len(mel), bool)
    exists[:260] = False
    seen, heard = (
        [m.see(m.seen_features(landmarks, mouths)) for m in models],
        [m.hear(mel) for m in models],
    )
    for mine, torchs in (seen, heard):
        assert mine.shape == torchs.shape and mine.dtype == np.float32
        assert np.abs(mine - torchs).max() < 1e-5 * max(1.0, float(np.abs(torchs).max()))
    for start, search_ms in ((150, 700.0), (-60, 200.0), (330, 40.0)):
        mine, torchs = (m.curves(seen[1], heard[1], exists, start, search_ms) for m in models)
        assert np.array_equal(np.isnan(mine), np.isnan(torchs))
        assert np.nanmax(np.abs(mine - torchs), initial=0.0) < 1e-5
    mine, torchs = models
    assert (mine.temperature, mine.bias_ms) == (torchs.temperature, torchs.bias_ms)
    assert np.array_equal(mine.calibration, torchs.calibration)


def test_another_file_is_refused(tmp_path):
    from safetensors.numpy import save_file

    save_file({"towers.0.see.9.weight": np.zeros(3, np.float32)}, tmp_path / "x.safetensors")
    with pytest.raises(KeyError):
        LipSyncInference.load(tmp_path / "x.safetensors")


def test_the_stages_of_a_cpu_worker_load_no_torch():
    code = (
        "import sys\n"
        "from pipeline.config.build_config import load_config, stage_configs\n"
        "from pipeline.graph import MAIN_JOB\n"
        "configs = stage_configs(load_config(None))\n"
        "for node in MAIN_JOB[2:]:\n"
        "    stage = node.stage()(configs[node.name])\n"
        "    stage.setup()\n"
        "    if node.name in ('sync', 'clips'):\n"
        "        sync = getattr(stage, 'sync', stage)\n"
        "        sync.estimator.calibration\n"
        "assert 'torch' not in sys.modules, 'torch'\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
