"""Files with odd clocks for the tests of reading, made of `tests.synthetic`."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from manifests.media.pictures import iter_pictures
from manifests.media.sound import read_audio
from manifests.records import Video
from stages.sources.download.site import ffmpeg_path
from tests.synthetic import switch_frames


def ffmpeg(*arguments: str) -> bytes:
    done = subprocess.run(
        [ffmpeg_path(), "-loglevel", "error", "-y", *arguments],
        capture_output=True,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def restamped(
    source: Path,
    target: Path,
    container: str,
    change: Callable[[str, int, str, Fraction], Fraction],
    keep: Callable[[str, int], bool] = lambda kind, number: True,
) -> Path:
    """`source` with the stamps that `change(kind, number of packet, "pts" or "dts", seconds)`
    gives, in seconds."""
    with av.open(str(source)) as old, av.open(str(target), "w", format=container) as new:
        streams = {s.index: new.add_stream_from_template(s) for s in old.streams}
        counts = dict.fromkeys(streams, -1)
        for packet in old.demux():
            if packet.dts is None:
                continue
            kind, index = packet.stream.type, packet.stream_index
            counts[index] += 1
            if not keep(kind, counts[index]):
                continue
            base = packet.time_base
            for name in ("pts", "dts"):
                stamp = change(kind, counts[index], name, getattr(packet, name) * base)
                setattr(packet, name, round(stamp / base))
            packet.stream = streams[index]
            new.mux(packet)
    return target


def events_seen_s(video: Video) -> np.ndarray:
    """Times at which the picture switches, on the canonical clock."""
    return np.array(switch_frames([p.luma()[5, 5] for _, p in iter_pictures(video)])) / 25


def events_heard_s(video: Video) -> np.ndarray:
    """Times of the tone bursts, on the canonical clock."""
    loud = np.flatnonzero(np.abs(read_audio(video).astype(int)) > 8000)
    starts = loud[np.concatenate([[True], np.diff(loud) > 800])] if len(loud) else loud
    return starts / 16000


def num_pictures(video: Video) -> int:
    """Different decoded pictures among the canonical ones."""
    last, count = None, 0
    for _, picture in iter_pictures(video):
        count += picture is not last
        last = picture
    return count


def patched_ts(
    source: Path, target: Path, change: Callable[[str, int, int, bool], int | None]
) -> Path:
    """A transport stream with other stamps: `change(kind, number of packet, 90 kHz ticks, is
    presentation time)` gives the new one or None."""
    content = bytearray(source.read_bytes())
    with av.open(str(source)) as container:
        places = [
            (p.stream.type, p.pos)
            for p in container.demux()
            if p.pos is not None and p.dts is not None
        ]
    counts: dict[str, int] = {}
    for kind, pos in places:
        number = counts[kind] = counts.get(kind, -1) + 1
        header = pos + 4 + (content[pos + 4] + 1 if content[pos + 3] & 0x20 else 0)
        assert content[header : header + 3] == b"\0\0\1"
        flags, at = content[header + 7] >> 6, header + 9
        for is_pts in [True, False] if flags == 3 else [True]:
            ticks = change(kind, number, _ticks(content[at : at + 5]), is_pts)
            if ticks is not None:
                content[at : at + 5] = _stamp(content[at] >> 4, ticks % 2**33)
            at += 5
    target.write_bytes(content)
    return target


def _ticks(field: bytes) -> int:
    return (
        (field[0] >> 1 & 7) << 30
        | field[1] << 22
        | (field[2] >> 1) << 15
        | field[3] << 7
        | field[4] >> 1
    )


def _stamp(mark: int, ticks: int) -> bytes:
    return bytes(
        [
            mark << 4 | (ticks >> 30 & 7) << 1 | 1,
            ticks >> 22 & 255,
            (ticks >> 15 & 127) << 1 | 1,
            ticks >> 7 & 255,
            (ticks & 127) << 1 | 1,
        ]
    )
