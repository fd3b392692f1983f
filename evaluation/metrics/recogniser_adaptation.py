"""Fitting the GRID recogniser to speakers: pocketsphinx's acoustic means, moved to their speech.

The papers' recognisers were trained on the GRID training set; the model inside pocketsphinx has
heard Americans. Here a global affine transform of the means per feature stream (MLLR, Leggetter
and Woodland 1995) is followed by MAP re-estimation of each mean (Gauvain and Lee 1994), from
clips whose text is known. Adapt on training clips only, never on those that are scored.

Legend: C codebooks (one per phone), S = 3 streams (cepstra, first and second differences),
G Gaussians a codebook, D = 13 coefficients, T frames.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evaluation.metrics import recognition

NUM_COEFFICIENTS = 13
MLLR_ROUNDS, MAP_ROUNDS = 3, 2
PRIOR_WEIGHT = 1.0
"""Frames that the prior mean counts for. 1, 3 and 10 gave 4.8, 5.7 and 6.4 % WER on clips of
GRID s1 that were not adapted on, from 70 clips that were."""
MIN_VARIANCE = 1e-4
MAGIC = 0x11223344


@dataclass(frozen=True)
class Aligned:
    """A clip's features, float64 [T, S, D], and its phones as (name, start, end) in frames."""

    features: np.ndarray
    phones: list[tuple[str, int, int]]


def adapt(clips: Iterable[tuple[str, np.ndarray]], out: Path) -> int:
    """Write an acoustic model adapted to `clips` (text, sound float [N] at 16 kHz) to `out`.

    Returns how many clips were used: those whose text could not be aligned, or holds words
    that are not GRID's, are left out. Raises ValueError where none could be used.
    """
    aligned = align(clips)
    if not aligned:
        raise ValueError("no clip could be aligned with its text; nothing to adapt on")
    source = recognition.acoustic_model()
    means, variances = read_gaussians(source / "means"), read_gaussians(source / "variances")
    model = Model(phone_names(source / "mdef"), means, np.maximum(variances, MIN_VARIANCE))
    adapted = model.map_means(aligned, model.mllr_means(aligned))
    if out.exists():
        raise ValueError(f"{out} is there already")
    shutil.copytree(source, out)
    write_gaussians(out / "means", source / "means", adapted)
    return len(aligned)


def align(clips: Iterable[tuple[str, np.ndarray]]) -> list[Aligned]:
    """Features as pocketsphinx computes them, and phones by forced alignment."""
    made = []
    known = {word for slot in recognition.GRID_SLOTS for word in slot}
    with tempfile.TemporaryDirectory() as folder:
        decoder = recognition.grid_decoder(mfclogdir=folder)
        for text, sound in clips:
            words = recognition.normalise(text).split()
            if not words or not set(words) <= known:
                continue
            for old in Path(folder).iterdir():
                old.unlink()
            decoder.set_align_text(" ".join(words))
            recognition.hear(decoder, sound)
            if decoder.hyp() is None:
                continue
            cepstra = _read_cepstra(min(Path(folder).iterdir()))
            decoder.set_alignment()  # from words to phones: a second pass over the same sound
            recognition.hear(decoder, sound)
            phones = [
                (p.name, p.start, p.start + p.duration)
                for word in decoder.get_alignment()
                for p in word
            ]
            made.append(Aligned(with_differences(cepstra), phones))
    return made


def _read_cepstra(path: Path) -> np.ndarray:
    content = path.read_bytes()
    for order in "<>":
        if struct.unpack(f"{order}i", content[:4])[0] * 4 == len(content) - 4:
            return np.frombuffer(content[4:], f"{order}f4").reshape(-1, NUM_COEFFICIENTS)
    raise ValueError(f"{path} is no file of cepstra")


def with_differences(cepstra: np.ndarray) -> np.ndarray:
    """[T, D] to [T, S, D] (`1s_c_d_dd`): mean taken off, differences over 4 frames, and of
    those over 2; the first and last frames repeated beyond the edges."""
    cepstra = cepstra.astype(np.float64)
    cepstra -= cepstra.mean(axis=0)
    padded = np.pad(cepstra, ((3, 3), (0, 0)), mode="edge")

    def at(lag: int) -> np.ndarray:
        return padded[3 + lag : 3 + lag + len(cepstra)]

    return np.stack([cepstra, at(2) - at(-2), (at(3) - at(-1)) - (at(1) - at(-3))], axis=1)


@dataclass(frozen=True)
class Model:
    """Gaussians float64 [C, S, G, D]; codebook c is that of phone `names[c]`."""

    names: Sequence[str]
    means: np.ndarray
    variances: np.ndarray

    def _frames(self, clips: Sequence[Aligned], means: np.ndarray):
        """For each codebook and stream that was heard: frames [T, D] and each Gaussian's share
        of them [T, G]. Mixture weights are taken as equal."""
        index = {name: c for c, name in enumerate(self.names)}
        heard: dict[int, list[np.ndarray]] = {}
        for clip in clips:
            for name, start, end in clip.phones:
                heard.setdefault(index[name], []).append(clip.features[start:end])
        for c, parts in sorted(heard.items()):
            frames = np.concatenate(parts)
            for s in range(means.shape[1]):
                gap = frames[:, s, None] - means[c, s]
                log = -0.5 * (gap**2 / self.variances[c, s]).sum(-1)
                log -= 0.5 * np.log(self.variances[c, s]).sum(-1)
                share = np.exp(log - log.max(axis=1, keepdims=True))
                yield c, s, frames[:, s], share / share.sum(axis=1, keepdims=True)

    def mllr_means(self, clips: Sequence[Aligned]) -> np.ndarray:
        """Means under the affine map, one a stream, that makes the clips likeliest (Leggetter
        and Woodland 1995, eq. 20 and 21, for diagonal variances)."""
        extended = np.concatenate([self.means, np.ones((*self.means.shape[:-1], 1))], axis=-1)
        moved, size = self.means, NUM_COEFFICIENTS + 1
        for _ in range(MLLR_ROUNDS):
            left = np.zeros((self.means.shape[1], NUM_COEFFICIENTS, size, size))
            right = np.zeros((self.means.shape[1], NUM_COEFFICIENTS, size))
            for c, s, frames, share in self._frames(clips, moved):
                old, precision = extended[c, s], 1 / self.variances[c, s]
                weight = share.sum(axis=0)[:, None] * precision
                left[s] += np.einsum("gd,gi,gj->dij", weight, old, old)
                right[s] += ((share.T @ frames) * precision).T @ old
            left += 1e-6 * np.eye(size)
            transform = np.linalg.solve(left, right[..., None])[..., 0]
            moved = np.einsum("sdi,csgi->csgd", transform, extended)
        return moved

    def map_means(self, clips: Sequence[Aligned], prior: np.ndarray) -> np.ndarray:
        """Means between `prior` and what was heard, by how much was heard (Gauvain and Lee
        1994, eq. 26)."""
        means = prior
        for _ in range(MAP_ROUNDS):
            moved = prior.copy()
            for c, s, frames, share in self._frames(clips, means):
                moved[c, s] = (PRIOR_WEIGHT * prior[c, s] + share.T @ frames) / (
                    PRIOR_WEIGHT + share.sum(axis=0)
                )[:, None]
            means = moved
        return means


def phone_names(path: Path) -> list[str]:
    """Context-independent phones of a binary model definition, in the codebooks' order."""
    content = path.read_bytes()
    start = content.index(b"+NSN+\0")
    names = []
    for part in content[start : start + 1000].split(b"\0"):
        if part:
            names.append(part.decode("ascii"))
        if part == b"ZH":
            return names
    raise ValueError(f"{path}: its phones do not end with ZH")


def read_gaussians(path: Path) -> np.ndarray:
    """Means or variances of a Sphinx-3 file, float64 [C, S, G, D]. Raises ValueError."""
    content = path.read_bytes()
    start = _body(content, path)
    codebooks, streams, gaussians = struct.unpack_from("<3i", content, start)
    lengths = struct.unpack_from(f"<{streams}i", content, start + 12)
    if set(lengths) != {NUM_COEFFICIENTS}:
        raise ValueError(f"{path}: streams of {lengths} coefficients, not {NUM_COEFFICIENTS}")
    count = codebooks * streams * gaussians * NUM_COEFFICIENTS
    values = np.frombuffer(content, "<f4", count, start + 16 + 4 * streams)
    return values.reshape(codebooks, streams, gaussians, NUM_COEFFICIENTS).astype(np.float64)


def write_gaussians(path: Path, like: Path, values: np.ndarray) -> None:
    """Write `values` in the form of the file `like`, without its checksum."""
    content = like.read_bytes()
    start = _body(content, like)
    streams = struct.unpack_from("<3i", content, start)[1]
    head = content[: start - 4].replace(b"chksum0 yes\n", b"")
    sizes = content[start - 4 : start + 16 + 4 * streams]
    path.unlink(missing_ok=True)  # the copy may be read-only, as packages are
    path.write_bytes(head + sizes + values.astype("<f4").tobytes())


def _body(content: bytes, path: Path) -> int:
    start = content.index(b"endhdr\n") + len(b"endhdr\n")
    if struct.unpack_from("<I", content, start)[0] != MAGIC:
        raise ValueError(f"{path}: not in this machine's byte order")
    return start + 4
