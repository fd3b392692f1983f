"""From what single videos took to cores, hours, disk and money for many, with the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import nnls

from pipeline.estimate.measured import VideoCost

MIN_FIT_VIDEOS = 8
MIN_FIT_RANGE = 2.0
"""Pixels per second must differ by so much before a slope is read off them."""
ASSUMED_PIXELS_PER_S = 1920 * 1080 * 30
ASSUMED_SOURCE_BYTES_PER_S = 0.35e6
"""A 1080p stream of a video site, roughly: taken where no source was measured."""
HOUR_S = 3600.0


@dataclass(frozen=True)
class Range:
    """`middle` is the mean by duration; `low`, `high`: were all videos like the measured one at
    the 10th and the 90th percentile."""

    low: float
    middle: float
    high: float

    def times(self, factor: float) -> Range:
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def plus(self, other: Range) -> Range:
        return Range(self.low + other.low, self.middle + other.middle, self.high + other.high)


@dataclass(frozen=True)
class Prices:
    """What is paid, in one currency."""

    core_hour: float
    gb_month: float


@dataclass(frozen=True)
class Forecast:
    """For all hours of video asked for."""

    hours: float
    height_px: int
    num_measured: int
    measured_s: float
    cpu_s_per_video_s: Range
    core_hours: Range
    disk_gb: dict[str, Range]
    compute_price: Range
    storage_price_month: Range
    notes: list[str]

    def wall_hours(self, cores: int) -> Range:
        """Hours of `cores` cores that are all busy."""
        return self.core_hours.times(1 / cores)

    @property
    def all_disk_gb(self) -> Range:
        total = Range(0.0, 0.0, 0.0)
        for part in self.disk_gb.values():
            total = total.plus(part)
        return total


def spread(values: Sequence[float], weights_s: Sequence[float]) -> Range:
    """Mean, 10th and 90th percentile of values per video, weighted by duration."""
    value, weight = np.asarray(values, float), np.asarray(weights_s, float)
    order = np.argsort(value)
    share = (np.cumsum(weight[order]) - weight[order] / 2) / weight.sum()
    low, high = np.interp([0.1, 0.9], share, value[order])
    middle = float(np.average(value, weights=weight))
    return Range(min(float(low), middle), middle, max(float(high), middle))


def cost_at(videos: Sequence[VideoCost], height_px: int, notes: list[str]) -> Range:
    """CPU-seconds per second of video at `height_px` (16:9, 30 pictures a second).

    A part that grows with the pixels and one that does not, by non-negative least squares where
    the videos differ enough in size to tell them apart; else the videos as they are.
    """
    lengths = [v.video_s for v in videos]
    costs = np.array([v.cpu_s_per_video_s for v in videos])
    pixels = np.array([v.pixels_per_s for v in videos])
    wanted = pixels_per_s(height_px)
    heights = sorted({v.height_px for v in videos})
    if len(videos) < MIN_FIT_VIDEOS or pixels.max() < MIN_FIT_RANGE * pixels.min():
        if not heights[0] <= height_px <= heights[-1]:
            notes.append(
                f"measured at {heights[0]} to {heights[-1]} px of height, on too few videos or "
                f"sizes to say what {height_px} px takes: the figures are of what was measured"
            )
        return spread(costs.tolist(), lengths)
    root = np.sqrt(np.asarray(lengths))
    (fixed, slope), _ = nnls(np.stack([root, root * pixels / wanted], axis=1), root * costs)
    expected = fixed + slope * pixels / wanted
    if not heights[0] <= height_px <= heights[-1]:
        notes.append(
            f"{height_px} px lies outside the {heights[0]} to {heights[-1]} px measured: the cost "
            "of pixels was carried on in a straight line"
        )
    return spread((costs / expected).tolist(), (lengths * expected).tolist()).times(fixed + slope)


def pixels_per_s(height_px: int) -> float:
    """Of a 16:9 picture at 30 a second."""
    return height_px * height_px * 16 / 9 * 30


def forecast(
    videos: Sequence[VideoCost],
    hours: float,
    height_px: int,
    prices: Prices,
    *,
    is_download: bool,
    are_sources_real: bool = True,
) -> Forecast:
    """`are_sources_real`: the measured files are as large as a site's would be."""
    notes: list[str] = []
    cost = cost_at(videos, height_px, notes)
    lengths = [v.video_s for v in videos]

    def gigabytes(sizes: Sequence[float]) -> Range:
        per_s = [size / s for size, s in zip(sizes, lengths, strict=True)]
        return spread(per_s, lengths).times(hours * HOUR_S / 1e9)

    disk = {
        "work": gigabytes([v.work_bytes for v in videos]),
        "shards": gigabytes([v.clip_bytes for v in videos]),
    }
    if is_download:
        scale = pixels_per_s(height_px)
        known = [v for v in videos if v.source_bytes and are_sources_real]
        if known:
            rates = [v.source_bytes / v.video_s / v.pixels_per_s for v in known]
            per_s = spread(rates, [v.video_s for v in known]).times(scale)
        else:
            assumed = ASSUMED_SOURCE_BYTES_PER_S * scale / ASSUMED_PIXELS_PER_S
            per_s = Range(assumed / 2, assumed, assumed * 2)
            notes.append(
                "the size of downloads is assumed, not measured (0.35 MB/s at 1080p, by pixels, "
                "half to double)"
            )
        disk["sources"] = per_s.times(hours * HOUR_S / 1e9)
    core_hours = cost.times(hours)
    made = Forecast(
        hours=hours,
        height_px=height_px,
        num_measured=len(videos),
        measured_s=sum(lengths),
        cpu_s_per_video_s=cost,
        core_hours=core_hours,
        disk_gb=disk,
        compute_price=core_hours.times(prices.core_hour),
        storage_price_month=Range(0.0, 0.0, 0.0),
        notes=notes,
    )
    return _with_storage(made, prices)


def _with_storage(made: Forecast, prices: Prices) -> Forecast:
    return replace(made, storage_price_month=made.all_disk_gb.times(prices.gb_month))
