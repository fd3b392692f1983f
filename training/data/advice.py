"""Whether workers decode as fast as a step trains, and what would close the gap.

One worker's speed is measured on a few real rows; what is said of it is a pure function.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np

from training.data.loader import Decode
from training.data.mixture import EvaluationPlan, Row, TrainingPlan
from training.data.samples import Samples
from training.data.views import View

HEADROOM = 1.1
"""Workers are asked for so much more than a step takes, for rows are not all alike."""
WORTH = 1.2
"""A repack is named where a worker becomes so much faster by it."""
JPEG_QUALITY = 95
CODECS = ("jpeg", "raw")


@dataclass(frozen=True)
class WorkerSpeed:
    """What one worker with one thread was measured to do."""

    clips_per_s: float
    repacked: Mapping[str, float] = field(default_factory=dict)
    """Clips per second to expect of repacked shards, by codec: the view's pictures were timed as
    JPEGs and as raw frames instead. Empty where the decoder is no view."""
    repack_options: str = ""
    """Of `yld shards repack`, for this view's pictures."""


def advice(
    speed: WorkerSpeed,
    seconds_per_step: float,
    global_batch: int,
    world_size: int = 1,
    num_workers: int = 0,
    num_cores: int | None = None,
) -> str:
    """One sentence or two for a rank that has `num_workers`; `num_cores` are those that it may use
    (all of this machine, if not given). Raises ValueError for times and counts below zero."""
    if min(speed.clips_per_s, seconds_per_step) <= 0 or min(global_batch, world_size) < 1:
        raise ValueError("speeds, seconds per step, rows and ranks must be above 0")
    cores = num_cores or _own_cores()
    needed = math.ceil(global_batch / world_size) / seconds_per_step
    told = (
        f"A worker decodes {speed.clips_per_s:.3g} clips/s, a step takes {needed:.3g} clips/s of "
        "this rank"
    )
    if num_workers * speed.clips_per_s >= needed:
        return f"{told}: {_workers(num_workers)} will do."
    wanted = _wanted(needed, speed.clips_per_s)
    if wanted <= cores:
        return f"{told}: give num_workers={wanted} (now {num_workers}; {cores} cores)."
    told = f"{told}, which would be {_workers(wanted)} on {cores} cores"
    for codec in CODECS:
        rate = speed.repacked.get(codec, 0.0)
        if rate >= WORTH * speed.clips_per_s and _wanted(needed, rate) <= cores:
            return (
                f"{told}: `{_command(speed, codec)}` would make it about {rate:.3g} clips/s a "
                f"worker; then give num_workers={_wanted(needed, rate)}."
            )
    return _not_enough(speed, told, needed, cores)


def _not_enough(speed: WorkerSpeed, told: str, needed: float, cores: int) -> str:
    rates = {"": speed.clips_per_s, **speed.repacked}
    best = max(rates, key=lambda codec: rates[codec])
    share = 100 * min(1.0, cores * rates[best] / needed)
    if not best or rates[best] < WORTH * speed.clips_per_s:
        how = f"num_workers={cores}"
    else:
        how = f"`{_command(speed, best)}` and num_workers={cores}"
    return (
        f"{told}: {how} would give {share:.0f} % of what the step takes; the rest is waiting, "
        "unless the rank gets more cores or the view fewer pixels."
    )


def _own_cores() -> int:
    """That this process may use; some systems know only how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _wanted(needed: float, rate: float) -> int:
    return math.ceil(HEADROOM * needed / rate)


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _command(speed: WorkerSpeed, codec: str) -> str:
    return f"yld shards repack CORPUS --out FOLDER {speed.repack_options} --codec {codec}"


def worker_speed(
    corpora: Sequence[Samples],
    decode: Decode | View,
    plan: TrainingPlan | EvaluationPlan,
    num_rows: int = 16,
) -> WorkerSpeed:
    """Read and decode the first rows of a plan here, once, in one thread; seconds at most for
    views of ours. Raises ShardError for a damaged sample."""
    rows = [plan.row(position) for position in range(min(num_rows, plan.mixture.pass_rows))]

    def seconds(decode: Decode) -> float:
        return _seconds(rows, lambda row: decode(corpora[row.corpus][row.number], row))

    with _one_thread():
        if not isinstance(decode, View):
            return WorkerSpeed(len(rows) / seconds(decode))
        view, total = decode, seconds(decode.decode)
        silent = replace(view, sound=None)
        pictures = seconds(silent.decode)
        shown = [
            np.asarray(silent.decode(corpora[row.corpus][row.number], row)["video"])
            for row in rows[:4]
        ]
        alone = {codec: len(rows) * _unpacking_s(shown, codec) for codec in CODECS}
    repacked = {
        codec: len(rows) / (max(total - pictures, 0.0) + spent) for codec, spent in alone.items()
    }
    return WorkerSpeed(len(rows) / total, repacked, _options(view))


def _seconds(rows: Sequence[Row], work: Callable[[Row], object]) -> float:
    """Of all rows; the first is done once before, for what is loaded only once."""
    work(rows[0])
    begin = time.perf_counter()
    for row in rows:
        work(row)
    return time.perf_counter() - begin


def _unpacking_s(shown: Sequence[np.ndarray], codec: str) -> float:
    """Seconds a clip to have these pictures [T, H, W] or [T, H, W, 3] from what is packed."""
    import cv2

    spent = 0.0
    for pictures in shown:
        packed = [
            cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
            if codec == "jpeg"
            else picture.tobytes()
            for picture in pictures
        ]
        begin = time.perf_counter()
        for content in packed:
            if codec == "jpeg":
                cv2.imdecode(content, cv2.IMREAD_UNCHANGED)
            else:
                np.frombuffer(content, np.uint8).copy()
        spent += time.perf_counter() - begin
    return spent / len(shown)


def _options(view: View) -> str:
    height = "" if view.height_px is None else f" --height {view.height_px}"
    return f"--crop {view.crop}{height}{' --grey' if view.is_grey else ''}"


@contextmanager
def _one_thread() -> Iterator[None]:
    """As a worker has it, and as it was afterwards."""
    import cv2
    from threadpoolctl import threadpool_limits

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(before)
