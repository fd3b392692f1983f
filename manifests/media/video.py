"""A media file outside a corpus, on the canonical clock."""

from __future__ import annotations

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

from manifests.clock import FRAME_RATE
from manifests.media.facts import read_facts
from manifests.paths import as_text
from manifests.records import Video


def open_video(path: str | os.PathLike[str], rate: Fraction = FRAME_RATE) -> Video:
    """The record of a file at `rate` frames a second: what `iter_frames`, `iter_pictures` and
    `read_audio` take. Raises MediaError as `read_facts`.
    """
    facts = read_facts(Path(path), rate)
    return Video(video_id="v", media_path=as_text(path), sha256="", **dataclasses.asdict(facts))
