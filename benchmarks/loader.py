"""Clips per core-second from shards: reads, plain webdataset, whole decodes, windows by view, and
the same of the lip crop repacked as JPEGs and raw (`yld shards repack`).

A window's share is the time of decoding its frames alone (open, seek, decode, colour; no crop, no
resizing) over what the view takes for its pictures; both are timed by turns on the same windows,
in CPU-seconds of this process.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from manifests.clock import FRAME_RATE
from manifests.sample_json import known
from manifests.shards import SampleIndex, ShardSample, write_samples
from manifests.threads import one_thread
from pipeline.corpus.packing import Packing
from training.data.mixture import Row
from training.data.samples import ALL, Samples, shards_of_split
from training.data.views import VIEWS, View

PACKINGS = {
    "lip jpeg": Packing("lip", "jpeg", 95),
    "lip raw": Packing("lip", "raw"),
    "lip raw grey": Packing("lip", "raw", grey=True),
}
WINDOWS = (5, 25, 40, None)
"""Frames of the windows of repacked clips; None: the whole clip."""
LIP = View("lip", is_grey=True, num_frames=40)
"""The window that a grey model of the mouth asks for, without sound."""


@dataclass(frozen=True)
class Speed:
    """One line of the table."""

    view: str
    codec: str
    """What is decoded: none | mp4 | flac | mp4+flac | jpeg | raw."""
    num_frames: int | None
    """Of a window; None: the whole clip."""
    clips_per_core_second: float
    share_of_decoding_alone: float | None = None
    """None where no video is decoded, or the sound is part of it."""
    times_webdataset: float | None = None
    """Over what plain webdataset does with the same shards, which reads each clip whole."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default=ALL)
    parser.add_argument("--seconds", type=float, default=3.0, help="CPU-seconds a line")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    one_thread()
    speeds = measured(arguments.corpus, arguments.split, arguments.seconds)
    if arguments.json:
        print(json.dumps([asdict(speed) for speed in speeds], indent=1))
        return
    head = f"{'view':22} {'codec':9} {'frames':>6} {'clips/core-s':>12} {'share':>6}"
    print(f"{head} {'x webdataset':>12}")
    for s in speeds:
        share = "" if s.share_of_decoding_alone is None else f"{s.share_of_decoding_alone:.2f}"
        frames, rate = s.num_frames or "all", s.clips_per_core_second
        times = "" if s.times_webdataset is None else f"{s.times_webdataset:.1f}"
        print(f"{s.view:22} {s.codec:9} {frames:>6} {rate:12.1f} {share:>6} {times:>12}")


def measured(root: Path, split: str = ALL, seconds: float = 3.0) -> list[Speed]:
    """A line for each way to read and each view. Raises ValueError for no such corpus."""
    samples = Samples.of(root, split)
    shards = [str(root / shard) for shard in shards_of_split(root, split)]
    clips = [samples[number] for number in range(min(len(samples), 64))]
    made = [
        Speed("read", "none", None, _rate(lambda k: samples[k % len(samples)], seconds)),
        Speed("webdataset", "none", None, _webdataset_rate(shards, seconds)),
        Speed("whole clip", "mp4", None, _rate(lambda k: clips[k % len(clips)].faces(), seconds)),
        Speed("whole clip", "flac", None, _rate(lambda k: _heard(clips[k % len(clips)]), seconds)),
    ]
    for name, view in {"lip grey": LIP, **VIEWS}.items():
        made += _speeds(name, _fitted(view, clips), clips, seconds)
    for name, packing in PACKINGS.items():
        made += _repacked_speeds(name, packing, clips, seconds)
    return made


def _repacked_speeds(
    name: str, packing: Packing, clips: Sequence[ShardSample], seconds: float
) -> list[Speed]:
    """Of the clips repacked into one shard; of them all is read, the disk's cache being warm."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train" / "000000.tar"
        path.parent.mkdir()
        with open(path, "wb") as stream:
            write_samples(stream, (packing.applied(clip) for clip in clips))
        SampleIndex.scan(path).write()
        samples = Samples.of(folder, ALL)
        webdataset = _webdataset_rate([str(path)], seconds)
        read = _rate(lambda k: dict(samples[k % len(samples)].members), seconds)
        made = [
            Speed(f"webdataset, {name}", "none", None, webdataset, None, 1.0),
            Speed(f"read, {name}", "none", None, read, None, read / webdataset),
        ]
        for num_frames in WINDOWS:
            view = _fitted(View("lip", is_grey=packing.grey, num_frames=num_frames), clips)
            able = [number for number, clip in enumerate(samples) if _can(view, clip)]
            rate = _rate(partial(_decoded, view, samples, able), seconds)
            made.append(Speed(name, packing.codec, num_frames, rate, None, rate / webdataset))
    return made


def _decoded(view: View, samples: Samples, able: Sequence[int], k: int) -> object:
    """A sample read and shown, as the loader does it."""
    return view.decode(samples[able[k % len(able)]], _row(k))


def _heard(sample: ShardSample) -> object:
    """Its sound, decoded anew: a sample keeps what it has decoded."""
    return replace(sample).sound


def _fitted(view: View, clips: Sequence[ShardSample]) -> View:
    """Paired as the corpus is, for speed does not depend on it."""
    is_corrected = any(known(clip.facts).get("applied_lag_ms") for clip in clips)
    return replace(view, pairing="corrected" if is_corrected else "raw")


def _rate(work: Callable[[int], object], seconds: float) -> float:
    """How often a core-second does it; the first time is not counted."""
    work(0)
    begin, count = time.process_time(), 0
    while (spent := time.process_time() - begin) < seconds:
        work(count)
        count += 1
    return count / spent


def _webdataset_rate(shards: list[str], seconds: float) -> float:
    import webdataset

    begin, count = time.process_time(), 0
    while (spent := time.process_time() - begin) < seconds:
        count += sum(1 for _ in webdataset.WebDataset(shards, shardshuffle=False))
    return count / spent


def _speeds(name: str, view: View, clips: Sequence[ShardSample], seconds: float) -> list[Speed]:
    """Of the pictures, with their share, and of all that the view asks for."""
    silent = replace(view, sound=None)
    usable = [clip for clip in clips if _can(silent, clip)]
    spent, alone, count = 0.0, 0.0, 0
    while spent < seconds:
        clip, row = usable[count % len(usable)], _row(count)
        begin = time.process_time()
        example = silent.decode(clip, row)
        spent += time.process_time() - begin
        frames = len(np.asarray(example["video"]))
        first = int(np.asarray(example["first_frame"]))
        begin = time.process_time()
        _alone(clip, first, frames, view.is_grey)
        alone += time.process_time() - begin
        count += 1
    made = [Speed(name, "mp4", view.num_frames, count / spent, alone / spent)]
    if view.sound is not None:
        rate = _rate(lambda k: view.decode(replace(usable[k % len(usable)]), _row(k)), seconds)
        made.append(Speed(name, "mp4+flac", view.num_frames, rate))
    return made


def _can(view: View, clip: ShardSample) -> bool:
    """Whether its pairing lets the clip be seen; a view of either kind costs the same."""
    try:
        view.decode(clip, _row(0))
    except ValueError:
        return False
    return True


def _row(index: int) -> Row:
    return Row(index, seed=0, corpus=0, epoch=0, index=index, number=index)


def _alone(clip: ShardSample, first: int, count: int, is_grey: bool) -> None:
    """The least that gives these frames: what no view can be faster than."""
    converter = VideoReformatter()
    with av.open(io.BytesIO(clip.members["face.mp4"]), "r") as container:
        stream = container.streams.video[0]
        stream.thread_type = "NONE"
        step = round(1 / (FRAME_RATE * Fraction(stream.time_base or 1)))
        container.seek(first * step, stream=stream)
        for frame in container.decode(stream):
            if (frame.pts or 0) < first * step:
                continue
            if is_grey:
                bytes(frame.planes[0])
            else:
                converter.reformat(frame, format="rgb24").to_ndarray()
            count -= 1
            if not count:
                return


if __name__ == "__main__":
    main()
