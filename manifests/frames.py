"""Frames of one crop as members of a sample, of which a window is read alone.

`yld shards repack` puts them in the place of `face.mp4`: `frames.npy` is uint8 [T, H, W, 3] (or
[T, H, W] of grey) as numpy writes it, `frames.mjpeg` one JPEG after another, and `frames.json`
says what they are (`Frames`). They come last in a sample, so that all else is one read.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from manifests.crops import CROPS
from manifests.plain_words import sentence
from manifests.shards import FRAMES_FACTS, SampleError, ShardError, ShardSample, read_members
from manifests.spans import NotThereError, Read, Span, members_from

Codec = Literal["jpeg", "raw"]
MEMBER_OF: dict[str, str] = {"jpeg": "frames.mjpeg", "raw": "frames.npy"}
"""Where the frames of a codec lie."""
BT_709 = (0.2126, 0.7152, 0.0722)
"""Of R, G and B in the luma of `face.mp4` (`manifests/media/encode.py`)."""

ReadPart = Callable[[Span, int, int], np.ndarray]
"""uint8 of a member, from one of its bytes to another, to be written in; raises NotThereError
where the tar ends before, OSError and ShardError."""


class PartlyRead(Mapping[str, bytes]):
    """Members of which the frames are read from the shard when they are asked for."""

    def __init__(
        self, read: Mapping[str, bytes], later: Mapping[str, Span], read_part: ReadPart, shard: str
    ) -> None:
        self._read, self._later, self._read_part, self._shard = read, later, read_part, shard

    def __getitem__(self, suffix: str) -> bytes:
        if suffix in self._read:
            return self._read[suffix]
        return self.part(suffix, 0, self._later[suffix].num_bytes).tobytes()

    def __iter__(self) -> Iterator[str]:
        return iter((*self._read, *self._later))

    def __len__(self) -> int:
        return len(self._read) + len(self._later)

    def part(self, suffix: str, first_byte: int, num_bytes: int) -> np.ndarray:
        """uint8 [num_bytes] of a member that is not read yet. Raises ShardError."""
        span = self._later[suffix]
        if first_byte < 0 or first_byte + num_bytes > span.num_bytes:
            raise ShardError(
                f"{self._shard}: {span.name} has {span.num_bytes} bytes, and {num_bytes} from "
                f"{first_byte} on are wanted; run `yld verify`"
            )
        try:
            return self._read_part(span, first_byte, first_byte + num_bytes)
        except NotThereError:
            raise ShardError(f"{self._shard} was cut; run `yld verify`") from None
        except OSError as error:
            raise ShardError(f"{span.name} cannot be read: {sentence(error)}") from None


def read_sample(path: Path, spans: Mapping[str, Span], is_told: bool) -> Mapping[str, bytes]:
    """`read_members`, with frames that are read when they are asked for, in part or whole."""
    later = _frames_of(spans)
    read = read_members(path, spans, is_told, later)
    return PartlyRead(read, later, partial(_part_of_file, path), str(path)) if later else read


def sample_from(
    read: Read, read_part: ReadPart, spans: Mapping[str, Span], is_told: bool, shard: str
) -> Mapping[str, bytes]:
    """`members_from`, with frames that `read_part` reads when they are asked for; `shard` is what
    messages name."""
    later = _frames_of(spans)
    members = members_from(read, spans, is_told, later)
    return PartlyRead(members, later, read_part, shard) if later else members


def _frames_of(spans: Mapping[str, Span]) -> dict[str, Span]:
    return {s: spans[s] for s in MEMBER_OF.values() if s in spans}


def _part_of_file(path: Path, span: Span, first_byte: int, end: int) -> np.ndarray:
    made = np.empty(end - first_byte, np.uint8)
    with open(path, "rb", buffering=0) as file:
        left, at = made.data, span.first_byte + first_byte
        while left:  # the system reads 2 GiB at most at a time
            count = os.preadv(file.fileno(), [left], at)
            if not count:
                raise NotThereError
            left, at = left[count:], at + count
    return made


@dataclass(frozen=True)
class Frames:
    """What `frames.json` says of the frames of a sample."""

    codec: Codec
    crop: str
    """A name of `manifests.crops.CROPS`."""
    shape: tuple[int, ...]
    """[T, H, W, 3], or [T, H, W] of grey."""
    offsets: tuple[int, ...]
    """jpeg: first byte of each frame and the end, T + 1 of them; raw: first byte of the first."""

    @classmethod
    def of(cls, sample: ShardSample) -> Frames | None:
        """Of a repacked sample, None of one with `face.mp4`. Raises SampleError."""
        if FRAMES_FACTS not in sample.members:
            return None
        try:
            told = json.loads(sample.members[FRAMES_FACTS])
            made = cls(
                told["codec"],
                told["crop"],
                tuple(int(n) for n in told["shape"]),
                tuple(int(n) for n in told["offsets"]),
            )
            if not made._can_be():
                raise ValueError("it contradicts itself")
            return made
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise _damaged(sample, FRAMES_FACTS, error) from None

    def as_json(self) -> bytes:
        """`frames.json`."""
        told = {"codec": self.codec, "crop": self.crop, "shape": self.shape}
        return json.dumps(told | {"offsets": self.offsets}, sort_keys=True).encode()

    @property
    def is_grey(self) -> bool:
        return len(self.shape) == 3

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in px."""
        return self.shape[1], self.shape[2]

    def serves(self, size: tuple[int, int]) -> bool:
        """Whether pictures of this height and width are those that `face.mp4` would give: they are
        of that size, or the crop's own window, never scaled."""
        window = CROPS[self.crop]
        return self.size in (size, (window.y1 - window.y0, window.x1 - window.x0))

    def window(self, sample: ShardSample, first: int = 0, count: int | None = None) -> np.ndarray:
        """uint8 [count, H, W, 3] RGB, or [count, H, W] of grey: frames [first, first + count), to
        the end where that is None. Nothing else of them is read. Raises ShardError."""
        end = self.shape[0] if count is None else first + count
        member = MEMBER_OF[self.codec]
        try:
            if not 0 <= first < end <= self.shape[0]:
                raise ValueError(f"frames {first} to {end} are wanted, there are {self.shape[0]}")
            if self.codec == "raw":
                each = int(np.prod(self.shape[1:]))
                begin = self.offsets[0] + first * each
                content = _part(sample, member, begin, (end - first) * each)
                return content.reshape(end - first, *self.shape[1:])
            begin = self.offsets[first]
            content = _part(sample, member, begin, self.offsets[end] - begin)
            edges = [edge - begin for edge in self.offsets[first : end + 1]]
            return np.stack([self._jpeg(content[a:b]) for a, b in pairwise(edges)])
        except ShardError:
            raise
        except Exception as error:  # a damaged member raises almost anything
            raise _damaged(sample, member, error) from None

    def _jpeg(self, content: np.ndarray) -> np.ndarray:
        import cv2

        how = cv2.IMREAD_GRAYSCALE if self.is_grey else cv2.IMREAD_COLOR_RGB
        picture = cv2.imdecode(content, how)
        if picture is None or picture.shape != self.shape[1:]:
            raise ValueError("a frame is no JPEG of its size")
        return picture

    def _can_be(self) -> bool:
        offsets = self.offsets
        return (
            self.codec in get_args(Codec)
            and self.crop in CROPS
            and len(self.shape) in (3, 4)
            and min(self.shape) > 0
            and self.shape[3:] in ((), (3,))
            and len(offsets) == (1 if self.codec == "raw" else self.shape[0] + 1)
            and all(0 <= a <= b for a, b in pairwise((0, *offsets)))
        )


def members_of(pictures: np.ndarray, crop: str, codec: Codec, quality: int) -> dict[str, bytes]:
    """The members that hold uint8 [T, H, W, 3] RGB or [T, H, W] of grey, shown by `crop`; the
    `quality` of JPEGs is libjpeg's, 1 to 100."""
    if codec == "raw":
        buffer = io.BytesIO()
        np.save(buffer, pictures)
        content = buffer.getvalue()
        offsets = [len(content) - pictures.nbytes]
    else:
        jpegs = [_as_jpeg(picture, quality) for picture in pictures]
        content = b"".join(jpegs)
        offsets = np.cumsum([0, *map(len, jpegs)]).tolist()
    facts = Frames(codec, crop, pictures.shape, tuple(offsets))
    return {FRAMES_FACTS: facts.as_json(), MEMBER_OF[codec]: content}


def brightness(pictures: np.ndarray) -> np.ndarray:
    """uint8 [T, H, W, 3] RGB -> [T, H, W], as BT.709 weighs them; the luma that `decode_grey` reads
    but for rounding and colours that were clipped (six levels at most on GRID)."""
    import cv2

    rows = pictures.reshape(-1, pictures.shape[2], 3)
    return cv2.transform(rows, np.array([BT_709])).reshape(pictures.shape[:3])


def _as_jpeg(picture: np.ndarray, quality: int) -> bytes:
    import cv2

    ordered = picture if picture.ndim == 2 else np.ascontiguousarray(picture[..., ::-1])
    is_made, content = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not is_made:
        raise ValueError(f"a picture of {picture.shape} cannot be written as JPEG")
    return content.tobytes()


def _part(sample: ShardSample, suffix: str, first_byte: int, num_bytes: int) -> np.ndarray:
    members = sample.members
    if isinstance(members, PartlyRead):
        return members.part(suffix, first_byte, num_bytes)
    content = np.frombuffer(members[suffix], np.uint8)[first_byte : first_byte + num_bytes]
    if len(content) != num_bytes:
        raise ValueError("it is cut")
    return content.copy()


def _damaged(sample: ShardSample, suffix: str, error: Exception) -> SampleError:
    return SampleError(sample.shard, sample.key, f"{suffix}: {sentence(error)}")
