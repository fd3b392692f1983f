"""Metrics of other code bases in one form, for tools/crosscheck_metrics.py.

Sound is float64 [N] at 16 kHz, the reference first. Each package is imported when its metric is
made; where torchaudio does not fit, or a package wants half the world for one file, a stand-in
takes its place and says so.
"""

from __future__ import annotations

import importlib.util
import io
import sys
import tempfile
import types
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path

import numpy as np
from scipy.signal import lfilter, resample_poly

from evaluation.metrics.pictures import luma
from evaluation.metrics.voice import weights_path

Score = Callable[[np.ndarray, np.ndarray], float]


def module_file(path: Path):
    """One file of an installed package as a module, without the package's own imports."""
    spec = importlib.util.spec_from_file_location(f"other_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def package_folder(name: str) -> Path:
    """Where an installed package lies. Raises ImportError where it is not installed."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImportError(f"{name} is not installed")
    return Path(spec.origin).parent


def stand_in(name: str, **members: object) -> None:
    """A module of that name with these members, for packages that want more than they use."""
    sys.modules[name] = types.ModuleType(name)
    for key, value in members.items():
        setattr(sys.modules[name], key, value)


def stand_in_for_torchaudio() -> None:
    """What the STOI losses and torch_pesq take from torchaudio: resampling and filters by scipy,
    spectrograms by torch."""
    import torch

    def resample(rate, new_rate, **_):
        def apply(signal):
            moved = resample_poly(signal.double().numpy(), new_rate, rate, axis=-1)
            return torch.from_numpy(moved).float()

        apply.to = lambda device: apply
        return apply

    def spectrogram(n_fft, win_length, hop_length, power, center=True, **_):
        def apply(signal):
            return (
                torch.stft(
                    signal,
                    n_fft,
                    hop_length,
                    win_length,
                    torch.hann_window(win_length),
                    center=center,
                    return_complex=True,
                ).abs()
                ** power
            )

        return apply

    def filtered(signal, a, b, clamp=True):
        b, a = (c.detach().double().numpy() for c in (b, a))
        return torch.from_numpy(lfilter(b, a, signal.double().numpy(), axis=-1)).float()

    members = {"Resample": resample, "Spectrogram": spectrogram}
    stand_in("torchaudio.transforms", **members)
    stand_in("torchaudio.functional", lfilter=filtered)
    stand_in("torchaudio", transforms=types.SimpleNamespace(**members))


def speechbrain_stoi() -> Score:
    """SpeechBrain's STOI, its one file."""
    import torch

    stand_in_for_torchaudio()
    path = package_folder("speechbrain") / "nnet/loss/stoi_loss.py"
    for name in ("speechbrain", "speechbrain.utils"):
        stand_in(name)
    stand_in("speechbrain.utils.torch_audio_backend", check_torchaudio_backend=lambda: None)
    loss = module_file(path).stoi_loss
    return lambda x, y: (
        -float(loss(torch.tensor(y[None]).float(), torch.tensor(x[None]).float(), torch.ones(1)))
    )


def torch_stoi(extended: bool) -> Score:
    """torch_stoi's (E)STOI on the same resampled signals."""
    import torch

    stand_in_for_torchaudio()
    from torch_stoi import NegSTOILoss

    loss = NegSTOILoss(10000, extended=extended, do_resample=False)

    def score(x, y):
        x, y = (torch.tensor(resample_poly(s, 5, 8)[None]).float() for s in (x, y))
        return -float(loss(y, x).mean())

    return score


def psf_mcd() -> Score:
    """MCD from python_speech_features' MFCCs."""
    from python_speech_features import mfcc

    return lambda x, y: float(np.linalg.norm(mfcc(x) - mfcc(y), axis=1).mean())


def sptk_mcd_db() -> Score:
    """nnmnkwii's distortion of SPTK's mel cepstra (all-pass warping, alpha 0.42) of WORLD's
    envelopes: other cepstra, other distance, the same envelopes."""
    import pysptk
    import pyworld
    from nnmnkwii.metrics import melcd

    def cepstra(signal):
        pitch, times = pyworld.harvest(signal, 16000)
        envelope = pyworld.cheaptrick(signal, pitch, times, 16000)
        return pysptk.sp2mc(envelope, order=13, alpha=0.42)[:, 1:]

    return lambda x, y: melcd(cepstra(x), cepstra(y))


def pypesq_raw() -> Score:
    """pypesq's raw narrow-band P.862 at 8 kHz."""
    from pypesq import pesq

    return lambda x, y: float(pesq(*(resample_poly(s, 1, 2) for s in (x, y)), 8000))


def torch_pesq_wb() -> Score:
    """torch_pesq's wide-band P.862.2, which aligns nothing in time."""
    import torch

    stand_in_for_torchaudio()
    from torch_pesq import PesqLoss

    loss = PesqLoss(0.5, sample_rate=16000)
    return lambda x, y: float(loss.mos(*(torch.tensor(s[None]).float() for s in (x, y))))


def rust_visqol() -> Score:
    """audio_samples_qoe, ViSQOL in Rust, which has no fine realignment of patches. Its class of
    sound (package audio_samples) is stood in for by an array that knows its rate."""

    class AudioSamples(np.ndarray):
        sample_rate = 16000

        def as_f64(self):
            return self

    stand_in("audio_samples", AudioSamples=AudioSamples)
    from audio_samples_qoe import visqol

    return lambda x, y: visqol(x.view(AudioSamples), y.view(AudioSamples), mode="speech")


def coarse_visqol() -> Score:
    """visqol-python as we use it, without fine realignment: to compare with `rust_visqol`."""
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode="speech", use_lattice_model=False, disable_realignment=True)
    return lambda x, y: api.measure_from_arrays(x, y, 16000).moslqo


def own_visqol() -> Score:
    """ViSQOL written again in this folder."""
    import visqol_reference

    return visqol_reference.visqol


def own_ge2e() -> Score:
    """GE2E written again in this folder."""
    import ge2e_reference

    embed = ge2e_reference.embedder(weights_path())
    return lambda x, y: float(embed(x) @ embed(y))


def coqui_ge2e() -> Score:
    """coqui-tts's speaker encoder with resemblyzer's weights. It cuts no silence, so it is given
    speech. It descends from the code that resemblyzer descends from."""
    import ge2e_reference
    import torch

    stand_in("trainer")
    stand_in(
        "trainer.io",
        load_fsspec=lambda path, map_location: torch.load(
            path, map_location=map_location, weights_only=True
        ),
    )
    stand_in("TTS", __path__=[str(metadata.distribution("coqui-tts").locate_file("TTS"))])
    from TTS.vc.layers.freevc.speaker_encoder.speaker_encoder import SpeakerEncoder

    encoder = SpeakerEncoder(weights_path()).eval()

    def embed(sound):
        return encoder.embed_utterance(ge2e_reference.speech_of(sound).astype(np.float32))

    return lambda x, y: float(embed(x) @ embed(y))


def published_syncnet(state: dict) -> Score:
    """SyncNet's published evaluation (package syncnet-python) with these weights: frames uint8
    [T, 224, 224, 3] RGB and int16 sound to confidence, least distance and offset in frames."""
    import cv2
    from scipy.io import wavfile

    folder = package_folder("syncnet_python")
    network = module_file(folder / "SyncNetModel.py").S()
    network.load_state_dict(state)
    evaluator = module_file(folder / "SyncNetInstance.py").SyncNetInstance(network, "cpu")

    def score(frames, pcm):
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()):
            for i, frame in enumerate(frames):  # it looks for .jpg; PNG inside loses nothing
                ok, picture = cv2.imencode(".png", frame[..., ::-1])
                assert ok
                Path(folder, f"{i:06}.jpg").write_bytes(picture.tobytes())
            wavfile.write(Path(folder, "audio.wav"), 16000, pcm)
            offset, confidence, distance = evaluator.evaluate(
                types.SimpleNamespace(tmp_dir=folder, batch_size=20, vshift=15)
            )
        return np.array([confidence, distance, offset])

    return score


def librosa_shift() -> Score:
    """The frontend's shift in ms from librosa's mels and scikit-learn's error, by brute force."""
    from librosa.feature import melspectrogram
    from sklearn.metrics import mean_squared_error
    from sklearn.preprocessing import scale

    def features(signal):
        mel = melspectrogram(
            y=signal, sr=16000, n_fft=640, hop_length=160, n_mels=80, power=1.0, center=False
        )
        return scale(np.log(np.maximum(mel, 1e-5))).T

    def shift(x, y):
        fixed, moving = features(x), features(y)
        errors = {}
        for frames in range(-30, 31):
            start, end = max(0, frames), min(len(fixed), len(moving) + frames)
            errors[10 * frames] = mean_squared_error(
                fixed[start:end], moving[start - frames : end - frames]
            )
        return min(errors, key=errors.get)

    return shift


def sklearn_r2() -> Score:
    """scikit-learn's coefficient of determination."""
    from sklearn.metrics import r2_score

    return r2_score


def sklearn_lips() -> Score:
    """Mean distance of lip points, each frame centred, by scikit-learn."""
    from sklearn.metrics.pairwise import paired_euclidean_distances
    from sklearn.preprocessing import StandardScaler

    def distance(x, y):
        return np.mean(
            [
                paired_euclidean_distances(
                    *(
                        StandardScaler(with_std=False).fit_transform(frame[48:68])
                        for frame in frames
                    )
                )
                for frames in zip(x, y, strict=True)
            ]
        )

    return distance


def torchmetrics_psnr() -> Score:
    """Mean over frames of torchmetrics' PSNR."""
    import torch
    from torchmetrics.functional.image import peak_signal_noise_ratio as psnr

    return lambda x, y: float(
        np.mean(
            [
                psnr(torch.tensor(b).double(), torch.tensor(a).double(), data_range=255.0)
                for a, b in zip(x, y, strict=True)
            ]
        )
    )


def torchmetrics_ssim() -> Score:
    """torchmetrics' SSIM of the luma, sigma 1.5, mean over frames."""
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure as ssim

    def score(x, y) -> float:
        guess, truth = (torch.tensor(luma(s))[:, None] for s in (y, x))
        found = ssim(guess, truth, data_range=255.0, sigma=1.5)
        assert isinstance(found, torch.Tensor)  # a pair only where the whole picture is asked for
        return float(found)

    return score
