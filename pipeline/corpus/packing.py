"""What `yld shards repack` makes of a sample, and its card."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from manifests.crops import CROPS, resized
from manifests.frames import Codec, members_of
from manifests.media.span import decode_grey, decode_rgb
from manifests.plain_words import sentence
from manifests.shards import SampleError, ShardSample


@dataclass(frozen=True)
class Packing:
    """What becomes of a sample's faces."""

    crop: str
    codec: Codec
    quality: int | None = None
    """Of JPEGs, 1 to 100; None: 95, or raw."""
    height: int | None = None
    """px; None: the crop's own."""
    grey: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        return CROPS[self.crop].size(self.height)

    def pictures(self, face: bytes) -> np.ndarray:
        """`face.mp4` -> uint8 [T, H, W, 3], or [T, H, W] of grey, as a view has them."""
        decode = decode_grey if self.grey else decode_rgb
        return resized(decode(face, window=CROPS[self.crop].rows_columns), *self.size)

    def applied(self, sample: ShardSample) -> ShardSample:
        """The sample with frames for `face.mp4`. Raises SampleError."""
        others = dict(sample.members)
        try:
            pictures = self.pictures(others.pop("face.mp4"))
            wanted = sample.facts.get("num_frames", len(pictures))
            if wanted != len(pictures):
                raise ValueError(f"{len(pictures)} frames, json says {wanted}")
        except SampleError:
            raise
        except Exception as error:  # a damaged or foreign member raises almost anything
            why = f"face.mp4: {type(error).__name__}: {sentence(error)}"
            raise SampleError(sample.shard, sample.key, why) from None
        made = members_of(pictures, self.crop, self.codec, self.quality or 95)
        return ShardSample(sample.key, others | made, sample.shard)


@dataclass(frozen=True)
class Packed:
    """What `repack` made."""

    packing: Packing
    shards: int
    samples: int
    frames: int
    num_bytes: int

    def counts(self) -> dict[str, int | float]:
        """The row that is shown."""
        height, width = self.packing.size
        return {
            "shards": self.shards,
            "samples": self.samples,
            "frames": self.frames,
            "height_px": height,
            "width_px": width,
            "MB": round(self.num_bytes / 1e6, 1),
        }


def card(name: str, done: Packed) -> str:
    """`README.md` of a repacked corpus."""
    packing, counts = done.packing, done.counts()
    colour = "grey" if packing.grey else "RGB"
    how = "uint8 in `frames.npy`"
    if packing.codec == "jpeg":
        how = f"JPEGs of quality {packing.quality or 95}, one after another, in `frames.mjpeg`"
    return f"""# {name}, repacked

{done.samples} clips of {name}, made by `yld shards repack`. In the place of each `face.mp4` are its
frames of the crop `{packing.crop}`, {counts["height_px"]} x {counts["width_px"]} px, {colour}, as
{how}; `frames.json` has shape and offsets. All other members are those of {name}, byte for byte.

`SHA256SUMS` seals the shards; `repack.json` says from which shards they were made. Whose faces and
voices these are, licences and consent: {name}'s card and, where there are tables, `manifests/`.
"""


def in_order(packing: Packing, samples: Iterable[ShardSample]) -> Iterator[ShardSample]:
    """Each packed, in their order, by a thread a core (decoders leave Python's lock); a few samples
    for each are in memory. Raises SampleError."""
    cores = len(os.sched_getaffinity(0))
    waiting: deque[Future[ShardSample]] = deque()
    with ThreadPoolExecutor(cores) as threads:
        for sample in samples:
            waiting.append(threads.submit(packing.applied, sample))
            if len(waiting) > 2 * cores:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
