"""Files with odd clocks for the tests of reading, made of `tests.synthetic`."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from manifests.media import iter_pictures, read_audio, read_facts
from manifests.records import Video
from stages.download.site import ffmpeg_path
from tests.synthetic import switch_frames


def open_video(path: Path) -> Video:
    return Video(video_id="v", media_path=str(path), sha256="",
                 **dataclasses.asdict(read_facts(path)))


def ffmpeg(*arguments: str) -> bytes:
    done = subprocess.run([ffmpeg_path(), "-loglevel", "error", "-y", *arguments],
                          capture_output=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def restamped(source: Path, target: Path, container: str,
              change: Callable[[str, int, Fraction], Fraction],
              keep: Callable[[str, int], bool] = lambda kind, number: True) -> Path:
    """`source` with the stamps that `change(kind, number of packet, seconds)` gives, seconds."""
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
                stamp = change(kind, counts[index], getattr(packet, name) * base)
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
