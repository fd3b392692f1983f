"""Formant-synthesized syllables, and the mouth that says them, from one plan.

A glottal pulse train passes three resonators whose frequencies glide between vowels; closures
silence it. The lips follow the same plan, slower than the tongue and 30 ms ahead of the sound they
shape, as lips do: so moves a speaker whose pictures are in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter, sosfilt

RATE = 16000
CONTROL_HZ = 200
LIP_LEAD_S = 0.030
LIP_SMOOTH_S, VOICE_SMOOTH_S = 0.040, 0.022
VOWELS = {
    # name: (F1, F2, F3 in Hz, opening in eye distances, spread of the corners)
    "a": (750, 1250, 2550, 0.32, 1.00),
    "e": (520, 1850, 2500, 0.19, 1.08),
    "i": (310, 2200, 2900, 0.13, 1.14),
    "o": (480, 900, 2400, 0.20, 0.86),
    "u": (330, 850, 2300, 0.11, 0.78),
}


@dataclass(frozen=True)
class Speech:
    """`pcm` float32 at 16 kHz; `opening` and `spread` at 200 Hz."""

    pcm: np.ndarray
    opening: np.ndarray
    spread: np.ndarray

    def mouth_at(self, time_s: float) -> tuple[float, float]:
        """Opening and spread at a time, linear between control points, shut outside."""
        position = time_s * CONTROL_HZ
        if not 0 <= position < len(self.opening) - 1:
            return 0.0, 1.0
        index = int(position)
        share = position - index
        opening, spread = (
            float((1 - share) * c[index] + share * c[index + 1])
            for c in (self.opening, self.spread)
        )
        return opening, spread


def speak(
    duration_s: float, pitch_hz: float, formant_scale: float, seed: int, articulation: float = 1.0
) -> Speech:
    """Random syllables in phrases with pauses, for about `duration_s`; `articulation` scales the
    movements of the lips."""
    random = np.random.default_rng(seed)
    count = int(duration_s * CONTROL_HZ)
    loud, opening = np.zeros(count), np.zeros(count)
    spread, formants = np.ones(count), np.tile([500.0, 1500.0, 2500.0], (count, 1))
    hiss = np.zeros(count)
    at = int(0.25 * CONTROL_HZ)
    until_pause = random.integers(5, 10)
    while at < count - int(0.5 * CONTROL_HZ):
        closure = int(random.uniform(0.05, 0.10) * CONTROL_HZ)
        length = int(random.uniform(0.11, 0.26) * CONTROL_HZ)
        f1, f2, f3, gap, wide = VOWELS[random.choice(list(VOWELS))]
        vowel = slice(at + closure, min(at + closure + length, count))
        loud[vowel] = random.uniform(0.7, 1.0)
        opening[vowel] = gap * random.uniform(0.85, 1.15)
        spread[vowel] = wide
        formants[at : vowel.stop] = (f1, f2, f3)
        if random.random() < 0.3:
            hiss[at : at + closure] = 0.25
            opening[at : at + closure] = 0.03
        at = vowel.stop
        until_pause -= 1
        if until_pause == 0:
            at += int(random.uniform(0.25, 0.5) * CONTROL_HZ)
            until_pause = random.integers(5, 10)
    ahead = round(LIP_LEAD_S * CONTROL_HZ)
    opening, spread = (
        np.pad(
            gaussian_filter1d(c, LIP_SMOOTH_S * CONTROL_HZ, mode="nearest")[ahead:],
            (0, ahead),
            mode="edge",
        )
        for c in (opening, spread)
    )
    opening, spread = articulation * opening, 1 + articulation * (spread - 1)
    loud, hiss = (
        gaussian_filter1d(c, VOICE_SMOOTH_S * CONTROL_HZ, mode="nearest") for c in (loud, hiss)
    )
    formants = gaussian_filter1d(formants, VOICE_SMOOTH_S * CONTROL_HZ, axis=0, mode="nearest")
    pcm = _sound(loud, hiss, formants * formant_scale, pitch_hz, random)
    return Speech(pcm, opening, spread)


def _sound(loud, hiss, formants, pitch_hz, random) -> np.ndarray:
    per = RATE // CONTROL_HZ
    size = len(loud) * per
    time = np.arange(size) / RATE
    glide = 1 + 0.10 * np.sin(2 * np.pi * 0.6 * time) + 0.03 * np.sin(2 * np.pi * 2.3 * time)
    phase = np.cumsum(pitch_hz * glide / RATE)
    pulses = np.diff(np.floor(phase), prepend=0.0)
    source = lfilter([1], [1, -0.96], pulses) + 0.02 * random.standard_normal(size)
    noise = random.standard_normal(size)
    # Three resonators one after the other, all-pole and of unit gain at rest.
    radius = np.exp(-np.pi * np.array([80.0, 100.0, 140.0]) / RATE)
    poles = np.stack(
        [
            np.ones_like(formants),
            -2 * radius * np.cos(2 * np.pi * formants / RATE),
            np.broadcast_to(radius**2, formants.shape),
        ],
        2,
    )
    sections = np.zeros((len(loud), 3, 6))
    sections[:, :, 0], sections[:, :, 3:] = poles.sum(2), poles
    output, state = np.zeros(size), np.zeros((3, 2))
    for block, section in enumerate(sections):
        part = slice(block * per, (block + 1) * per)
        output[part], state = sosfilt(section, source[part], zi=state)
    envelope = np.interp(np.arange(size) / per, np.arange(len(loud)), loud)
    fricative = np.interp(np.arange(size) / per, np.arange(len(hiss)), hiss)
    output = output / (np.abs(output).max() + 1e-9) * envelope
    output += 0.05 * fricative * lfilter([1, -0.9], [1], noise)
    output += 0.0008 * random.standard_normal(size)
    return (0.5 * output / np.abs(output).max()).astype(np.float32)
