"""A clip as a file that a browser plays: picture and sound from the shard, nothing encoded anew."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from pathlib import Path

from manifests.shards import SampleIndex, ShardError
from pipeline.corpus.report.samples import muxed_bytes

MOST_BYTES = 64_000_000
"""Of clips kept in memory, so that a seek does not read them again."""
RANGE = re.compile(r"bytes=(\d*)-(\d*)")


class Media:
    """Clips by id, from the shards of the corpus at `root`. Safe for several threads."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._indexes: dict[str, SampleIndex] = {}
        self._held: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def clip(self, shard: str, clip_id: str) -> bytes:
        """An MP4. Raises ShardError where the shard, or the clip in it, cannot be read."""
        with self._lock:
            if clip_id in self._held:
                self._held.move_to_end(clip_id)
                return self._held[clip_id]
            content = self._read(shard, clip_id)
            self._held[clip_id] = content
            while sum(map(len, self._held.values())) > MOST_BYTES and len(self._held) > 1:
                self._held.popitem(last=False)
            return content

    def _read(self, shard: str, clip_id: str) -> bytes:
        path = (self._root / shard).resolve()
        if self._root not in path.parents:
            raise ShardError(f"{shard} lies outside the corpus; run `yld verify`")
        if shard not in self._indexes:
            self._indexes[shard] = SampleIndex.of(path)
        try:
            members = self._indexes[shard][clip_id].members
        except KeyError:
            raise ShardError(f"{shard} does not hold {clip_id}; run `yld verify`") from None
        if "face.mp4" not in members or "audio.flac" not in members:
            raise ShardError(f"{clip_id} has no face.mp4 to play (a repacked corpus?)")
        return muxed_bytes(members["face.mp4"], members["audio.flac"])


def part_of(content_bytes: int, asked: str | None) -> tuple[int, int] | None:
    """First byte and one past the last that a Range header asks for; None for all of it (no
    header, or one that is none). Raises ValueError for what lies behind the end."""
    told = RANGE.fullmatch((asked or "").strip())
    if told is None or not (told[1] or told[2]):
        return None
    if not told[1]:
        first, end = max(0, content_bytes - int(told[2])), content_bytes
    else:
        first = int(told[1])
        end = min(int(told[2]) + 1, content_bytes) if told[2] else content_bytes
    if first >= end:
        raise ValueError(asked)
    return first, end
