"""STOI (Taal et al. 2011) that can be differentiated: the score of `evaluation/metrics`, as a loss.

Niu and Mak 3.2 train their vocoder with "a differentiable STOI loss" whose form is not given: 1 -
STOI is inferred. All steps are pystoi 0.4's, so that the value is the one that papers print, and
they are done for a whole batch at once:
- 16 to 10 kHz by its Kaiser filter, here in five phases, so that nothing is computed twice;
- frames more than 40 dB below the reference's loudest are dropped. Which, only the reference
  decides, so no gradient passes through the choice; kept frames are moved to the front of a row;
- 15 third-octave bands, segments of 30 frames, energy normalised, clipped at -15 dB, correlated.
A floor under each root stands between the value and pystoi's, and between zeros and a NaN.

Legend: B batch, S samples at 16 kHz, N at 10 kHz, T frames of 256 every 128, J = 15 bands, G
segments, one a frame from the 30th on.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from manifests.spectra import hann_without_ends
from training.losses.across import summed

RATE_HZ, INNER_RATE_HZ = 16000, 10000
UP, DOWN = 5, 8
FRAME, HOP, NUM_FFT = 256, 128, 512
NUM_BANDS, LOWEST_HZ = 15, 150.0
SEGMENT = 30
"""Frames of a segment, 384 ms (Taal, III)."""
SHORTEST = DOWN * (HOP * SEGMENT + FRAME + 1) // UP
"""Samples of the shortest sound, 410 ms."""
CLIP = 1 + 10 ** (15 / 20)
"""beta = -15 dB: no band of a segment is taken for louder than this times the reference's."""
RANGE_DB = 40.0
FLOOR = 1e-8
"""Least power of a band: 100 dB under speech of full scale, whose bands reach 100."""


@cache
def _phases() -> tuple[np.ndarray, int]:
    """pystoi's resampling filter as [5, taps] on 16 kHz samples, and the taps before the first.

    Output 5 q + p is the sum over d of phases[p, before + d] x[8 q + d].
    """
    cut = 1 / (2 * DOWN)
    half = int(np.ceil((60 - 8) / (28.714 * cut / 10)))
    time = np.arange(-half, half + 1)
    taps = np.sinc(2 * cut * time) * np.kaiser(2 * half + 1, 0.1102 * (60 - 8.7))
    taps *= UP / taps.sum()
    before, after = half // UP, (half + DOWN * (UP - 1)) // UP
    phases = np.zeros((UP, before + after + 1))
    for p in range(UP):
        index = half + DOWN * p - UP * np.arange(-before, after + 1)
        inside = (index >= 0) & (index < len(taps))
        phases[p, inside] = taps[index[inside]]
    return phases, before


@cache
def _bands() -> np.ndarray:
    """Third octaves from 150 Hz as whole bins, float64 [J, 257]."""
    bins = np.linspace(0, INNER_RATE_HZ, NUM_FFT + 1)[: NUM_FFT // 2 + 1]
    steps = np.arange(NUM_BANDS)
    corners = [LOWEST_HZ * 2.0 ** ((2 * steps + side) / 6) for side in (-1, 1)]
    low, high = (np.abs(bins - c[:, None]).argmin(1) for c in corners)
    index = np.arange(len(bins))
    return ((index >= low[:, None]) & (index < high[:, None])).astype(np.float64)


def to_10_khz(sound: Tensor) -> Tensor:
    """[B, S] -> [B, N], N = 5 S / 8 rounded up."""
    phases, before = _phases()
    size = -(-sound.shape[1] * UP // DOWN)
    steps = -(-size // UP)
    after = DOWN * (steps - 1) + phases.shape[1] - before - sound.shape[1]
    padded = functional.pad(sound, (before, max(after, 0)))
    weights = torch.from_numpy(phases).to(sound)[:, None]
    found = functional.conv1d(padded[:, None], weights, stride=DOWN)[..., :steps]
    return found.transpose(1, 2).flatten(1)[:, :size]


def _frames(sound: Tensor) -> Tensor:
    """Tapered frames [B, T, 256]; as in pystoi, none that ends with the sound itself."""
    return sound[:, :-1].unfold(1, FRAME, HOP) * torch.tensor(hann_without_ends(FRAME)).to(sound)


def _overlap_add(frames: Tensor) -> Tensor:
    """[B, T, 256] -> [B, 128 (T + 1)]."""
    early, late = frames[..., :HOP], frames[..., HOP:]
    return (functional.pad(early, (0, 0, 0, 1)) + functional.pad(late, (0, 0, 1, 0))).flatten(1)


def _without_silence(reference: Tensor, guess: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both [B, N], the reference's silent frames cut out, zeros behind; and frames left [B]."""
    wanted, found = _frames(reference), _frames(guess)
    with torch.no_grad():
        level_db = 20 * torch.log10(wanted.norm(dim=2) + torch.finfo(torch.float64).eps)
        kept = level_db > level_db.amax(1, keepdim=True) - RANGE_DB
        order = (~kept).int().argsort(dim=1, stable=True)[..., None].expand_as(wanted)
    left = kept.gather(1, order[..., 0])[..., None]
    wanted, found = (_overlap_add(x.gather(1, order) * left) for x in (wanted, found))
    return wanted, found, kept.sum(1)


def _band_levels(sound: Tensor) -> Tensor:
    """[B, N] -> [B, J, T]."""
    spectrum = torch.fft.rfft(_frames(sound), NUM_FFT)
    power = spectrum.real.square() + spectrum.imag.square()
    bands = power @ torch.from_numpy(_bands()).to(power).T
    return (bands + FLOOR).sqrt().transpose(1, 2)


def stoi(reference: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
    """STOI [B] of sounds [B, S] at 16 kHz, and bool [B]: whether there is enough to tell.

    Fewer than 30 frames (384 ms) that are not silent are too few; their value is 0 and has no
    gradient. Raises ValueError for sounds that are shorter than that as a whole.
    """
    if reference.shape[1] < SHORTEST:
        raise ValueError(f"{reference.shape[1]} samples hold fewer than 30 frames")
    wanted, found, frames = _without_silence(to_10_khz(reference), to_10_khz(guess))
    x, y = _band_levels(wanted), _band_levels(found)
    x, y = (levels.unfold(2, SEGMENT, 1) for levels in (x, y))  # [B, J, G, 30]
    y = torch.minimum(y * (_norm(x) / _norm(y)), x * CLIP)
    correlation = (_unit(x) * _unit(y)).sum(3).mean(1)  # [B, G]
    # pystoi's spectra lose the last frame, so n frames have n - 30 segments.
    num_segments = (frames - SEGMENT).clamp_min(0)
    counts = torch.arange(correlation.shape[1], device=x.device) < num_segments[:, None]
    value = correlation.masked_fill(~counts, 0.0).sum(1) / num_segments.clamp_min(1)
    return value, num_segments > 0


def stoi_loss(reference: Tensor, guess: Tensor) -> Tensor:
    """The mean of 1 - STOI over the rows of [B, S] that can be told; 0 where none can."""
    value, told = stoi(reference, guess)
    return summed(((1 - value) * told).sum()) / summed(told.sum().to(value)).clamp_min(1)


def _norm(x: Tensor) -> Tensor:
    return (x.square().sum(-1, keepdim=True) + FLOOR).sqrt()


def _unit(x: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / _norm(centred)
