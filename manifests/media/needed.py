"""Which pictures of a file are looked at: a decoder need not make those that nobody sees.

At 30 pictures a second every sixth is shown by no canonical frame, at 60 more than every other, and
of those before the first one wanted none. What no other picture refers to can be left out, which
is known before it is decoded.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from collections.abc import Iterator

import av

from manifests.clock import Clock
from manifests.media.times import stamp_us

CODECS = ("h264", "hevc", "mpeg1video", "mpeg2video")
"""Whose decoders go on with the very next picture after one was left out. dav1d's keeps to what it
was told when it was opened, and would leave out every such picture; DivX packs two pictures into
one packet, so that its packets' times are not those of pictures."""
CONTAINERS = ("mov", "mp4", "matroska", "webm")
"""Where each packet has a time of its own and the file says how far pictures are reordered."""
LOOK_AHEAD = 4
"""Packets that are read before one is judged: its neighbours in time may come after it."""
REMEMBERED = 64
"""Times that are kept to find a picture's neighbours among."""


def can_leave_out(container: str, codec: str) -> bool:
    """Whether pictures of such a file may be left out, by FFmpeg's names of its format and its
    decoder. Beside that, packets must
    tell the pictures' times (`Video.time_source`)."""
    return codec in CODECS and any(name in CONTAINERS for name in container.split(","))


class Needed:
    """The pictures that `clock` shows in `start_frame` and later.

    A picture whose neighbours are not all known counts as shown, and so does every one once
    something was damaged: less is left out then, never one too many.
    """

    def __init__(self, clock: Clock, start_frame: int = 0) -> None:
        self._clock, self._start_frame = clock, start_frame
        self._times_us: list[int] = []
        self._is_damaged = False

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

    def stop(self) -> None:
        """From now on all are needed: the neighbour that would be shown may not decode."""
        self._is_damaged = True

    def _see(self, packet: av.Packet) -> None:
        time_us = stamp_us(packet.pts, packet.time_base)
        if time_us is None:
            return
        insort(self._times_us, time_us)
        if len(self._times_us) > REMEMBERED:
            del self._times_us[0]

    def _is_needed(self, packet: av.Packet) -> bool:
        time_us = stamp_us(packet.pts, packet.time_base)
        # Without a decoding time the time of showing may be one, too.
        if self._is_damaged or time_us is None or packet.dts is None:
            return True
        times = self._times_us
        right = bisect_right(times, time_us)
        if right == len(times):
            return True
        shown_until = self._clock.last_frame_of(time_us, times[right])
        if shown_until < self._start_frame:
            return False
        left = bisect_left(times, time_us)
        return left == 0 or shown_until > self._clock.last_frame_of(times[left - 1], time_us)
