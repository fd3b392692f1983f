"""Our metrics against other code bases on 20 clips; prints the table of docs/evaluation.md.

    python tools/crosscheck_metrics.py FOLDER_OF_CLIPS

Needs, beside yld's own packages, whichever of these are to be compared: python_speech_features
(MCD), jiwer (error rates), speechbrain's `nnet/loss/stoi_loss.py` (STOI), torch_stoi (STOI,
ESTOI), pypesq (PESQ), torchmetrics (SSIM, PSNR). A pair is a clip and a degraded version of it:
noise at 0 to 19 dB, with every third clip low-passed besides.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.signal import butter, lfilter, resample_poly

from evaluation.audio import decode_sound
from evaluation.metrics import intelligibility, mcd, pictures, quality, recognition

NUM_CLIPS = 20


def pairs(folder: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Clips and degraded versions, float64 [N] at 16 kHz."""
    made = []
    for i, path in enumerate(sorted(folder.glob("*.mpg"))[:NUM_CLIPS]):
        clean = decode_sound(path).astype(np.float64)
        rng = np.random.default_rng(i)
        noise = rng.standard_normal(len(clean)) * np.sqrt(np.mean(clean ** 2))
        dirty = clean + noise * 10 ** (-i / 20)
        made.append((clean, lfilter(*butter(4, 0.3), dirty) if i % 3 == 0 else dirty))
    return made


def stand_in_for_torchaudio() -> None:
    """The two transforms that the STOI losses take from torchaudio, where it is not installed
    or does not fit torch: resampling by scipy, spectrograms by torch."""
    import torch

    def resample(rate, new_rate, **_):
        def apply(signal):
            moved = resample_poly(signal.double().numpy(), new_rate, rate, axis=-1)
            return torch.from_numpy(moved).float()
        apply.to = lambda device: apply
        return apply

    def spectrogram(n_fft, win_length, hop_length, power):
        def apply(signal):
            return torch.stft(signal, n_fft, hop_length, win_length, torch.hann_window(win_length),
                              return_complex=True).abs() ** power
        return apply

    module = types.ModuleType("torchaudio")
    module.transforms = types.SimpleNamespace(Resample=resample, Spectrogram=spectrogram)
    sys.modules["torchaudio"] = module


def speechbrain_stoi() -> Callable[[np.ndarray, np.ndarray], float]:
    """SpeechBrain's STOI, its one file loaded without the rest of the package."""
    import torch

    folder = Path(importlib.util.find_spec("speechbrain").origin).parent
    backend = types.ModuleType("speechbrain.utils.torch_audio_backend")
    backend.check_torchaudio_backend = lambda: None
    for name in ("speechbrain", "speechbrain.utils"):
        sys.modules.setdefault(name, types.ModuleType(name))
    sys.modules[backend.__name__] = backend
    spec = importlib.util.spec_from_file_location("sb", folder / "nnet/loss/stoi_loss.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return lambda x, y: -float(module.stoi_loss(
        torch.tensor(y[None]).float(), torch.tensor(x[None]).float(), torch.ones(1)))


def torch_stoi(extended: bool) -> Callable[[np.ndarray, np.ndarray], float]:
    """torch_stoi's (E)STOI on the same resampled signals."""
    import torch
    from torch_stoi import NegSTOILoss

    loss = NegSTOILoss(10000, extended=extended, do_resample=False)

    def score(x, y):
        x, y = (torch.tensor(resample_poly(s, 5, 8)[None]).float() for s in (x, y))
        return -float(loss(y, x).mean())
    return score


def psf_mcd(x: np.ndarray, y: np.ndarray) -> float:
    """MCD from python_speech_features' MFCCs."""
    from python_speech_features import mfcc

    return float(np.linalg.norm(mfcc(x) - mfcc(y), axis=1).mean())


def pypesq_raw(x: np.ndarray, y: np.ndarray) -> float:
    """pypesq's raw narrow-band P.862 at 8 kHz."""
    from pypesq import pesq

    x, y = (resample_poly(s, 1, 2) for s in (x, y))
    return float(pesq(x, y, 8000))


def compare(title: str, other: str, ours: Callable, theirs: Callable, data: list) -> None:
    """One line: the largest and mean difference over the pairs."""
    gaps = np.array([abs(ours(*pair) - theirs(*pair)) for pair in data])
    print(f"| {title} | {other} | {len(data)} | {gaps.max():.2g} | {gaps.mean():.2g} |", flush=True)


def main() -> None:
    warnings.simplefilter("ignore")
    data = pairs(Path(sys.argv[1]))
    stand_in_for_torchaudio()
    print("| metric | other code | pairs | largest difference | mean |\n"
          "| --- | --- | --- | --- | --- |")
    words = [tuple(" ".join(np.random.default_rng(i + 100 * k).choice(
        ["bin", "lay", "red", "at", "two", "now"], 6)) for k in (0, 1)) for i in range(NUM_CLIPS)]
    faces = [tuple(np.random.default_rng(i).integers(0, 256, (3, 112, 112, 3), dtype=np.uint8)
                   // (1 + k) for k in (0, 1)) for i in range(NUM_CLIPS)]
    rate = recognition.error_rate
    for title, module, ours, theirs, on in (
        ("STOI", "speechbrain", intelligibility.stoi, speechbrain_stoi, data),
        ("STOI", "torch_stoi", intelligibility.stoi, lambda: torch_stoi(False), data),
        ("ESTOI", "torch_stoi", intelligibility.estoi, lambda: torch_stoi(True), data),
        ("MCD", "python_speech_features", mcd.mcd, lambda: psf_mcd, data),
        ("PESQ, raw", "pypesq", quality.pesq_raw, lambda: pypesq_raw, data),
        ("WER", "jiwer", lambda x, y: rate(x.split(), y.split(), y).value,
         lambda: importlib.import_module("jiwer").wer, words),
        ("CER", "jiwer", lambda x, y: rate(x, y, y).value,
         lambda: importlib.import_module("jiwer").cer, words),
        ("PSNR", "torchmetrics", pictures.psnr, lambda: torchmetrics_psnr, faces),
        ("SSIM", "torchmetrics", pictures.ssim, lambda: torchmetrics_ssim, faces),
    ):
        if importlib.util.find_spec(module) is None:
            print(f"| {title} | {module} | 0 | not installed | |")
            continue
        compare(title, module, ours, theirs(), on)


def torchmetrics_psnr(x: np.ndarray, y: np.ndarray) -> float:
    """Mean over frames of torchmetrics' PSNR."""
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio as psnr

    return float(np.mean([psnr(torch.tensor(b).double(), torch.tensor(a).double(),
                               data_range=255.0) for a, b in zip(x, y, strict=True)]))


def torchmetrics_ssim(x: np.ndarray, y: np.ndarray) -> float:
    """torchmetrics' SSIM of the luma, sigma 1.5, mean over frames."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    x, y = (torch.tensor(pictures.luma(s))[:, None] for s in (x, y))
    return float(ssim(y, x, data_range=255.0, sigma=1.5))


if __name__ == "__main__":
    main()
