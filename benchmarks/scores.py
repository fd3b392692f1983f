"""How far scores of sound are from what was planted in reference clips (docs/columns.md).

    python -m benchmarks.scores [--data FOLDER] [--music FILE ...] [--corpus DIR] [--dnsmos]

Speech of the reference clips, in pieces of 3 s and of 1 s, gets noise at 0 to 30 dB, is low-passed
and coded; music of files, if there are any, is heard alone and under speech. Noise that comes with
a recording counts too, so that pieces whose own is above 36 dB alone are used for noise. The cost
is told as CPU-seconds a second of sound. Of a corpus, the faces of some clips are blurred and lit
otherwise, and the heads' pose is set beside that of their tracks. DNSMOS hears white noise too.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from scipy.signal import firwin, resample_poly

from benchmarks.decodes import data_folder
from manifests.corpus import Corpus
from manifests.shards import ShardSample, read_samples
from stages.backends.dnsmos import Dnsmos
from stages.clips.heard import bandwidth_hz, music_share, power_spectra, snr_db
from stages.clips.seen import Look, key_pictures, look_of

RATE = 16_000
SPEECH = (
    "LatentSync__demo3_video.mp4",
    "Real3DPortrait__May_5s.mp4",
    "SadTalker__WDA_AlexandriaOcasioCortez_000.mp4",
    "SparseSync__00018.mp4",
    "video-retalking__1.mp4",
    "video-retalking__2.mp4",
    "video-retalking__3.mp4",
)
ROOM = "facenet-pytorch__video.mp4"
"""Noise of a room, without speech."""
GRID_STEP = 10
BLURS_PX, LIGHTS = (0, 0.5, 1, 2, 4), (0.25, 0.5, 1, 1.5, 2.5)
OWN_DB = 36.0
CODECS = {
    "AMR-NB 12.2 kb/s": ("libopencore_amrnb", 8000, "amr", 12_200),
    "G.711, 8 kHz": ("pcm_mulaw", 8000, "wav", 64_000),
    "MP3 16 kb/s, 8 kHz": ("libmp3lame", 8000, "mp3", 16_000),
    "Opus 12 kb/s, 8 kHz": ("libopus", 8000, "ogg", 12_000),
    "MP3 32 kb/s, 16 kHz": ("libmp3lame", 16_000, "mp3", 32_000),
    "AAC 32 kb/s, 16 kHz": ("aac", 16_000, "adts", 32_000),
}
chance = np.random.default_rng(0)


def read(path: Path) -> np.ndarray:
    """float64 [N] at 16 kHz, mono, full scale 1."""
    with av.open(str(path)) as container:
        return _resampled(container, RATE).astype(np.float64) / 32768


def _resampled(container, rate: int) -> np.ndarray:
    resampler = av.AudioResampler("s16", "mono", rate)
    frames = [g for f in container.decode(audio=0) for g in resampler.resample(f)]
    frames += resampler.resample(None)
    return np.concatenate([f.to_ndarray().reshape(-1) for f in frames])


def pieces(sound: np.ndarray, seconds: float) -> Iterator[np.ndarray]:
    """Whole pieces, one after another, those of silence left out."""
    length = int(seconds * RATE)
    for start in range(0, len(sound) - length + 1, length):
        piece = sound[start : start + length]
        if np.square(piece).mean() > 1e-7:
            yield piece


def int16(sound: np.ndarray) -> np.ndarray:
    return np.round(np.clip(sound, -1, 1) * 32767).astype(np.int16)


def told(values: list[float]) -> str:
    """Least, 10th, 50th and 90th of a hundred, most."""
    return " ".join(f"{v:8.2f}" for v in np.percentile(values, [0, 10, 50, 90, 100]))


def noises(room: np.ndarray, speech: list[np.ndarray]) -> dict[str, Callable[[int], np.ndarray]]:
    def pink(length: int) -> np.ndarray:
        spectrum = np.fft.rfft(chance.normal(size=length))
        return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), length)

    def babble(length: int) -> np.ndarray:
        drawn = [speech[chance.integers(len(speech))] for _ in range(6)]
        rolled = [np.resize(np.roll(d, chance.integers(len(d))), length) for d in drawn]
        return np.sum(
            [r / np.sqrt(np.square(d).mean()) for r, d in zip(rolled, drawn, strict=True)], axis=0
        )

    return {
        "white": lambda length: chance.normal(size=length),
        "pink": pink,
        "room": lambda length: np.resize(room, length),
        "six voices": babble,
    }


def mixed(sound: np.ndarray, other: np.ndarray, ratio_db: float) -> np.ndarray:
    """With `other`, of at least its length, so far below it; no louder than full scale."""
    other = other[: len(sound)]
    share = np.square(sound).mean() / np.square(other).mean() / 10 ** (ratio_db / 10)
    made = sound + other * np.sqrt(share)
    return made / max(1.0, float(np.abs(made).max()))


def coded(sound: np.ndarray, codec: str, rate: int, container: str, bits: int) -> np.ndarray:
    """Through a codec and back, at 16 kHz."""
    buffer, pcm = io.BytesIO(), int16(resample_poly(sound, rate, RATE))
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout, stream.bit_rate = "mono", bits
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = rate, 0
        size = stream.codec_context.frame_size or 1024
        resampler = av.AudioResampler(stream.format.name, "mono", rate, frame_size=size)
        for piece in (*resampler.resample(frame), *resampler.resample(None), None):
            for packet in stream.encode(piece):
                out.mux(packet)
    buffer.seek(0)
    with av.open(buffer) as container_again:
        return _resampled(container_again, RATE).astype(np.float64) / 32768


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--music", type=Path, nargs="*", default=[])
    parser.add_argument("--corpus", type=Path, help="a corpus that yld built, side files and all")
    parser.add_argument("--dnsmos", action="store_true")
    options = parser.parse_args()
    if options.corpus:
        pictures(options.corpus)
        return
    grid = sorted((options.data / "grid_s1").glob("*.mpg"))[::GRID_STEP]
    whole = [*(read(options.data / "wild" / name) for name in SPEECH), *map(read, grid)]
    speech = [p for sound in whole for p in pieces(sound, min(3.0, len(sound) / RATE))]
    by_noise = noises(read(options.data / "wild" / ROOM), speech)
    quiet = [p for p in speech if _snr(p) > OWN_DB]
    for name, some in (("3 s", quiet), ("1 s", [p[RATE : 2 * RATE] for p in quiet])):
        print(f"SNR, error in dB, {len(some)} pieces of {name}: least 10 50 90 most")
        for noise, make in by_noise.items():
            for planted in (0, 10, 20, 30):
                found = [_snr(mixed(p, make(len(p)), planted)) for p in some]
                print(f"  {noise:12} {planted:3} {told([f - planted for f in found])}")
    print(f"bandwidth, Hz, {len(speech)} pieces")
    for name, made in _narrowed(speech):
        print(f"  {name:22} {told([_bandwidth(p) for p in made])}")
    songs = [p for path in options.music for p in pieces(read(path), 3.0)]
    print(f"music, {len(speech)} pieces of speech, {len(songs)} of music")
    for name, made in _with_music(speech, songs, by_noise):
        found = [m for p in made if (m := music_share(int16(p))) is not None]
        print(f"  {name:22} {told(found)}")
    start = time.process_time()
    for piece in speech:
        spectra = power_spectra(int16(piece))
        snr_db(spectra), bandwidth_hz(spectra), music_share(int16(piece))
    length_s = sum(map(len, speech)) / RATE
    print(f"cost: {(time.process_time() - start) / length_s:.5f} CPU-s a second")

    if options.dnsmos:
        judge = Dnsmos()
        judge.setup()
        for planted in (60, 30, 20, 10, 0):
            sound = int16(mixed(whole[-1], chance.normal(size=len(whole[-1])), planted))
            start = time.process_time()
            print(f"DNSMOS, {grid[-1].name}, {planted} dB: {judge.opinion(sound)}", end="")
            print(f" in {time.process_time() - start:.2f} CPU-s")


def pictures(root: Path, step: int = 14) -> None:
    """What blur and light make of every 14th clip's scores; pose of all beside their tracks'."""
    blurred: list[list[float]] = []
    lit: list[list[float]] = []
    spent = length_s = 0.0
    for path in sorted((root / "work" / "clips").glob("*.tar"))[::step]:
        (sample,) = read_samples(path)
        start = time.process_time()
        frames = key_pictures(sample.members["face.mp4"])
        _look(frames, sample)
        spent += time.process_time() - start
        length_s += len(sample.landmarks) / 25
        blurred.append([_look(_blur(frames, s), sample).sharpness for s in BLURS_PX])
        lit.append([_look(_light(frames, g), sample).brightness for g in LIGHTS])
    print(f"sharpness, blurred by {BLURS_PX} px: {np.round(np.median(blurred, 0), 1)}")
    print(f"falls in each: {bool((np.diff(blurred, axis=1) < 0).all())}, of {len(blurred)} clips")
    print(f"brightness, light times {LIGHTS}: {np.round(np.median(lit, 0), 2)}")
    print(f"cost: {spent / length_s:.5f} CPU-s a second")
    corpus = Corpus(root)
    track = {t["track_id"]: t for t in corpus.rows("tracks")}
    for name in ("yaw_deg", "pitch_deg"):
        apart = [abs(c[name] - track[c["track_id"]][name]) for c in corpus.rows("clips")]
        print(f"{name}, clip and track apart: {told(apart)}")


def _look(frames: dict[int, np.ndarray], sample: ShardSample) -> Look:
    look = look_of(frames, sample.landmarks)
    assert look is not None, f"{sample.key} has no pictures"
    return look


def _snr(sound: np.ndarray) -> float:
    return snr_db(power_spectra(int16(sound))) or 0.0


def _bandwidth(sound: np.ndarray) -> float:
    return bandwidth_hz(power_spectra(int16(sound))) or 0.0


def _blur(frames: dict[int, np.ndarray], sigma: float) -> dict[int, np.ndarray]:
    return {k: cv2.GaussianBlur(p, (0, 0), sigma) if sigma else p for k, p in frames.items()}


def _light(frames: dict[int, np.ndarray], gain: float) -> dict[int, np.ndarray]:
    return {k: np.clip(16 + gain * (p - 16.0), 16, 235).astype(np.uint8) for k, p in frames.items()}


def _narrowed(speech: list[np.ndarray]) -> Iterator[tuple[str, list[np.ndarray]]]:
    yield "as it is", speech
    for low_hz in (3400, 5500, 7000):
        taps = firwin(511, low_hz, fs=RATE)
        yield f"low-pass {low_hz} Hz", [np.convolve(p, taps, "same") for p in speech]
    for name, codec in CODECS.items():
        if codec[0] in av.codecs_available:
            yield name, [coded(p, *codec) for p in speech]


def _with_music(speech, songs, by_noise) -> Iterator[tuple[str, list[np.ndarray]]]:
    yield "speech", speech
    yield "speech, 1.2 s", [p[RATE // 2 : RATE // 2 + 19_200] for p in speech]
    for name, make in by_noise.items():
        yield name, [0.05 * make(3 * RATE) for _ in range(5)]
    if songs:
        yield "music", songs
        yield "music, 1.2 s", [p[:19_200] for p in songs]
        for ratio in (0, 10, 20):
            drawn = [(p, songs[chance.integers(len(songs))]) for p in speech]
            yield (
                f"speech over it, {ratio} dB",
                [mixed(p[: len(m)], m, ratio) for p, m in drawn],
            )


if __name__ == "__main__":
    main()
