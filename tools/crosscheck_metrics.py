"""Our metrics against other code bases on 20 clips; prints the tables of docs/evaluation.md.

    python tools/crosscheck_metrics.py FOLDER_OF_CLIPS [METRIC ...]

A METRIC is the start of a row's title, as `ViSQOL`; without one all are compared. Packages beside
yld's own, each only for its rows: python_speech_features, jiwer, speechbrain, torch_stoi, pypesq,
torch_pesq (with torchtyping and typeguard < 3), torchmetrics, pysptk, nnmnkwii,
audio_samples_qoe, coqui-tts, onnx, scikit-learn, syncnet-python. `--no-deps` is enough for them.
A pair is a clip and a degraded version of it: noise at 0 to 19 dB, every third low-passed besides.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import other_metrics as other
from scipy.signal import butter, lfilter

from evaluation.audio import decode_sound, read_pictures, read_sound
from evaluation.metrics import intelligibility, mcd, pictures, quality, recognition, sync, voice
from evaluation.metrics.alignment import find_shift

NUM_CLIPS = 20
FRAMES = 30
"""Frames of a clip that SyncNet sees: its published evaluation computes each five times."""
CENTRE_HZ = 10261.08660
PERFECT_UNSCALED = 4.015861169223797
"""google/visqol, visqol_manager_test.cc (band 5 of 32 from 50 to 24000 Hz, highest first) and
conformance.h of version 333 (a file against itself, exponential map, not scaled)."""


def clips(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.mpg"))[:NUM_CLIPS]


def pairs(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clips and degraded versions, float64 [N] at 16 kHz."""
    made = []
    for i, path in enumerate(clips(folder)):
        clean = decode_sound(path).astype(np.float64)
        rng = np.random.default_rng(i)
        noise = rng.standard_normal(len(clean)) * np.sqrt(np.mean(clean**2))
        dirty = clean + noise * 10 ** (-i / 20)
        made.append((clean, lfilter(*butter(4, 0.3), dirty) if i % 3 == 0 else dirty))
    return made


def shifted(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pairs, each hypothesis late by up to 300 ms, by no whole number of steps."""
    rng = np.random.default_rng(0)
    return [
        (x, np.concatenate([np.zeros(late), y]))
        for late, (x, y) in zip(rng.integers(0, 4800, NUM_CLIPS), pairs(folder), strict=True)
    ]


def seen(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """The middle of the pictures, uint8 [30, 224, 224, 3], and their sound, int16 [19200]."""
    return [
        (
            read_pictures(path)[:FRAMES, 40:264, 68:292],
            np.round(read_sound(path)[: 640 * FRAMES] * 32767).astype(np.int16),
        )
        for path in clips(folder)
    ]


def words(_: Path) -> list[tuple[str, str]]:
    def text(seed: int) -> str:
        return " ".join(
            np.random.default_rng(seed).choice(["bin", "lay", "red", "at", "two", "now"], 6)
        )

    return [(text(i), text(i + 100)) for i in range(NUM_CLIPS)]


def faces(_: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    drawn = [
        np.random.default_rng(i).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
        for i in range(NUM_CLIPS)
    ]
    return [(face, face // 2) for face in drawn]


def points(_: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    def drawn(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).uniform(0, 256, (25, 68, 2))

    return [(drawn(i), drawn(i + 100)) for i in range(NUM_CLIPS)]


def offsets(_: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    def drawn(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(-300, 300, 50).astype(float)

    return [(drawn(i), drawn(i + 100)) for i in range(NUM_CLIPS)]


@cache
def random_syncnet():
    """SyncNet with random weights, its first layer scaled to pictures of 0 to 255."""
    import torch

    from stages.networks.syncnet import SyncNet

    torch.manual_seed(0)
    network = SyncNet().eval()
    network.netcnnlip[0].weight.data /= 100
    return network


def our_syncnet(frames: np.ndarray, pcm: np.ndarray) -> np.ndarray:
    found = random_syncnet().measure(frames, pcm)
    return np.array([found.confidence, found.min_distance, found.offset_frames])


coarse_visqol = cache(other.coarse_visqol)
ROWS = (
    ("STOI", "speechbrain", intelligibility.stoi, other.speechbrain_stoi, pairs),
    ("STOI", "torch_stoi", intelligibility.stoi, lambda: other.torch_stoi(False), pairs),
    ("ESTOI", "torch_stoi", intelligibility.estoi, lambda: other.torch_stoi(True), pairs),
    ("MCD", "python_speech_features", mcd.mcd, other.psf_mcd, pairs),
    ("MCD in dB", "nnmnkwii", mcd.mcd_db, other.sptk_mcd_db, pairs),
    ("PESQ, raw", "pypesq", quality.pesq_raw, other.pypesq_raw, pairs),
    ("PESQ, wide band", "torch_pesq", quality.pesq_wb, other.torch_pesq_wb, pairs),
    ("ViSQOL", "visqol_reference", quality.visqol, other.own_visqol, pairs),
    (
        "ViSQOL without realignment",
        "audio_samples_qoe",
        lambda x, y: coarse_visqol()(x, y),
        other.rust_visqol,
        pairs,
    ),
    ("GE2E", "ge2e_reference", voice.similarity, other.own_ge2e, pairs),
    ("GE2E", "TTS", voice.similarity, other.coqui_ge2e, pairs),
    (
        "Alignment, ms",
        "librosa",
        lambda x, y: find_shift(x, y).shift_ms,
        other.librosa_shift,
        shifted,
    ),
    (
        "LSE-C, LSE-D, offset",
        "syncnet_python",
        our_syncnet,
        lambda: other.published_syncnet(random_syncnet().state_dict()),
        seen,
    ),
    (
        "WER",
        "jiwer",
        lambda x, y: recognition.error_rate(x.split(), y.split(), y).value,
        lambda: importlib.import_module("jiwer").wer,
        words,
    ),
    (
        "CER",
        "jiwer",
        lambda x, y: recognition.error_rate(x, y, y).value,
        lambda: importlib.import_module("jiwer").cer,
        words,
    ),
    ("PSNR", "torchmetrics", pictures.psnr, other.torchmetrics_psnr, faces),
    ("SSIM", "torchmetrics", pictures.ssim, other.torchmetrics_ssim, faces),
    ("Lip distance, px", "sklearn", pictures.lip_landmark_distance, other.sklearn_lips, points),
    ("Offset-R2", "sklearn", sync.offset_r2, other.sklearn_r2, offsets),
)


def compare(title: str, package: str, ours: Callable, theirs: Callable, data: list) -> None:
    """One line: the largest and mean difference over the pairs, and our mean."""
    scores = [np.atleast_1d(ours(*pair)) for pair in data]
    gaps = np.array(
        [np.abs(score - theirs(*pair)).max() for score, pair in zip(scores, data, strict=True)]
    )
    mean = ", ".join(f"{value:.4g}" for value in np.mean(scores, axis=0))
    print(f"| {title} | {package} | {mean} | {gaps.max():.2g} | {gaps.mean():.2g} |", flush=True)


def visqol_conformance(sound: np.ndarray) -> None:
    """Published figures of google/visqol that need none of its recordings."""
    from visqol import VisqolApi
    from visqol.gammatone import calc_center_freqs

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False, use_unscaled_speech=True)
    for what, published, ours in (
        (
            "a file against itself, unscaled",
            PERFECT_UNSCALED,
            api.measure_from_arrays(sound, sound, 16000).moslqo,
        ),
        ("centre of a band, Hz", CENTRE_HZ, calc_center_freqs(50, 24000, 32)[5]),
    ):
        print(f"ViSQOL, {what}: published {published}, visqol-python {ours}")


def main() -> None:
    warnings.simplefilter("ignore")
    folder, wanted = Path(sys.argv[1]), sys.argv[2:]
    print(
        "| metric | other code | our mean | largest difference | mean |\n"
        "| --- | --- | --- | --- | --- |"
    )
    for title, package, ours, theirs, data in ROWS:
        if wanted and not title.startswith(tuple(wanted)):
            continue
        if importlib.util.find_spec(package) is None:
            print(f"| {title} | {package} | | not installed | |")
            continue
        compare(title, package, ours, theirs(), data(folder))
    if not wanted or "ViSQOL" in wanted:
        visqol_conformance(decode_sound(clips(folder)[0]).astype(np.float64))


if __name__ == "__main__":
    main()
