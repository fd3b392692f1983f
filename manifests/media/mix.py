"""From any number of channels to one.

Layouts that libswresample knows are mixed by it. All others (unlabelled or wrongly labelled
channels, up to 64) are mixed equally. Channels in opposite phase cancel in every mix: where that
happens over a tenth of a track's sound, its loudest channel stands for it, all through, so that a
part of the track is bit for bit the same as in the whole. `PhaseWatch` decides it, once, at probe.
"""

from __future__ import annotations

import av
import numpy as np

from manifests.media.float_sound import samples_of

KNOWN_LAYOUTS = frozenset(
    {
        "mono",
        "stereo",
        "2.1",
        "3.0",
        "3.0(back)",
        "4.0",
        "quad",
        "quad(side)",
        "3.1",
        "4.1",
        "5.0",
        "5.0(side)",
        "5.1",
        "5.1(side)",
        "6.0",
        "6.0(front)",
        "3.1.2",
        "hexagonal",
        "6.1",
        "6.1(back)",
        "6.1(front)",
        "7.0",
        "7.0(front)",
        "7.1",
        "7.1(wide)",
        "7.1(wide-side)",
        "5.1.2",
        "5.1.2(back)",
        "octagonal",
        "cube",
        "5.1.4",
        "7.1.2",
        "7.1.4",
        "7.2.3",
        "9.1.4",
        "9.1.6",
        "hexadecagonal",
        "downmix",
        "22.2",
        *(f"{n} channels" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 24)),
    }
)
"""Layouts with a way to mono in libswresample; by number alone where it assumes a layout."""
CANCELLED = 0.05
"""Power of the equal mix against that of unrelated channels (1; equal channels give their number)
below which a stretch counts as cancelled: -13 dB."""
CANCELLED_SHARE = 0.1
"""Share of the track's energy in cancelled stretches from which one channel is taken."""


class Mono:
    """Decoded blocks to float32 [N] in [-1, 1): the mix of one stream.

    `channel` takes that channel alone instead. Blocks must not change their shape (rate, format,
    layout); make another for those that do.
    """

    def __init__(self, frame: av.AudioFrame, channel: int | None) -> None:
        self.channel, self.count = channel, frame.layout.nb_channels
        self.is_standard = channel is None and frame.layout.name in KNOWN_LAYOUTS
        # To integers: only then is the mix of channels scaled not to overflow (a float mix of two
        # equal channels comes out 3 dB too loud).
        self.to = (
            av.AudioResampler("s32p", "mono", frame.sample_rate)
            if self.is_standard
            else av.AudioResampler("s32", frame.layout, frame.sample_rate)
        )

    def __call__(self, frame: av.AudioFrame) -> np.ndarray | None:
        """None where nothing comes out."""
        parts = [part.to_ndarray() for part in self.to.resample(frame)]
        if not parts:
            return None
        if self.is_standard:
            return np.concatenate([p[0] for p in parts]).astype(np.float32) / np.float32(2**31)
        samples = np.concatenate([p.reshape(-1, self.count) for p in parts])
        if self.channel is not None:
            one = samples[:, min(self.channel, self.count - 1)]
            return one.astype(np.float32) / np.float32(2**31)
        return (samples.mean(axis=1) / 2**31).astype(np.float32)


class PhaseWatch:
    """Whether the channels of a track cancel. Fed with stretches of it (`wants`), a quarter of the
    first seconds and ever fewer after that, so that a long track costs little more than a short
    one."""

    STRETCH = 8
    """Packets; 0.19 s of AAC."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._energy = np.zeros(0)
        self._total = self._cancelled = 0.0

    def wants(self, packet: int) -> bool:
        """Whether packet number `packet` of the track is to be decoded and given to `add`."""
        stretch = packet // self.STRETCH
        return stretch % (4 if stretch < 128 else 16 if stretch < 1024 else 64) == 0

    def is_fresh(self, packet: int) -> bool:
        """Whether the decoder has not seen the packet before this one."""
        return packet > 0 and not self.wants(packet - 1)

    def add(self, packet: int, frame: av.AudioFrame) -> None:
        """One decoded block of packet number `packet`."""
        block = samples_of(frame).astype(np.float32)
        if self._blocks and len(self._blocks[0]) != len(block):
            self._settle()
        self._blocks.append(block)
        if packet % self.STRETCH == self.STRETCH - 1:
            self._settle()

    def _settle(self) -> None:
        if not self._blocks:
            return
        samples = np.concatenate(self._blocks, axis=1)
        self._blocks = []
        energy = np.array([float(np.dot(channel, channel)) for channel in samples])
        total, count = float(energy.sum()), len(samples)
        if not np.isfinite(total) or total <= 0:
            return
        mix = samples.sum(axis=0)
        self._total += total
        self._cancelled += total * (float(np.dot(mix, mix)) < CANCELLED * total)
        if len(self._energy) < count:
            self._energy = np.pad(self._energy, (0, count - len(self._energy)))
        self._energy[:count] += energy

    def channel(self) -> int | None:
        """The loudest channel if the mix cancels (the first of equal ones), else None."""
        self._settle()
        if not self._total or self._cancelled < CANCELLED_SHARE * self._total:
            return None
        return int(np.argmax(self._energy > 0.98 * self._energy.max()))

    def cancelled_share(self) -> float:
        """Share of the energy in stretches whose mix cancels, 0 to 1."""
        return self._cancelled / self._total if self._total else 0.0
