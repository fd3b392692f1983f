"""Which pictures of a file are looked at: a decoder need not make those that nobody sees.

At 30 pictures a second every sixth is shown by no canonical frame, at 60 more than every other.
Those that no other picture refers to can be left out, which is known before they are decoded.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator

import av

from manifests.clock import Clock
from manifests.media.times import stamp_us

LOOK_AHEAD = 4
"""Packets that are read before one is judged: its neighbours in time may come after it."""
REMEMBERED = 64
"""Times that are kept to find a picture's neighbours among."""


class Needed:
    """The pictures that `clock` shows, from `from_us` on (the file's own time) if given.

    A picture whose neighbours are not all known counts as shown: less is left out then, never
    one too many. Only for files whose packets tell the pictures' times.
    """

    def __init__(self, clock: Clock | None = None, from_us: int | None = None) -> None:
        self._clock, self._from_us = clock, from_us
        self._times_us: list[int] = []

    def judged(self, packets: Iterator[av.Packet]) -> Iterator[tuple[av.Packet, bool]]:
        """The packets in order, each with whether its picture is needed.

        Raises av.FFmpegError where `packets` does, after all that came before.
        """
        held: deque[av.Packet] = deque()
        broken: av.FFmpegError | None = None
        try:
            for packet in packets:
                held.append(packet)
                self._see(packet)
                if len(held) > LOOK_AHEAD:
                    yield held[0], self._is_needed(held[0])
                    held.popleft()
        except av.FFmpegError as error:
            broken = error
        while held:
            yield held[0], self._is_needed(held[0])
            held.popleft()
        if broken is not None:
            raise broken

    def _see(self, packet: av.Packet) -> None:
        time_us = stamp_us(packet.pts, packet.time_base)
        if time_us is None:
            return
        insort(self._times_us, time_us)
        if len(self._times_us) > REMEMBERED:
            del self._times_us[0]

    def _is_needed(self, packet: av.Packet) -> bool:
        time_us = stamp_us(packet.pts, packet.time_base)
        if time_us is None:
            return True
        if self._from_us is not None and time_us < self._from_us:
            return False
        if self._clock is None:
            return True
        times = self._times_us
        left = bisect_left(times, time_us)
        right = bisect_left(times, time_us + 1)
        if left == 0 or right == len(times):
            return True
        before, after = times[left - 1], times[right]
        shown_until = self._clock.last_frame_of(time_us, after)
        return shown_until > self._clock.last_frame_of(before, time_us)
