"""Reading and writing media on the canonical clock; one place for the rest of the project.

`media_facts` reads streams and timestamps, `media_read` pictures, `media_audio` sound;
`media_write` encodes.
"""

import dataclasses
import os
from fractions import Fraction
from pathlib import Path

from manifests.clock import FRAME_RATE
from manifests.media_audio import read_audio
from manifests.media_facts import MediaError, read_facts
from manifests.media_read import (
    Picture,
    decoded_seconds,
    iter_frames,
    iter_pictures,
    resolve,
)
from manifests.media_write import (
    decode_flac,
    decode_video,
    encode_flac,
    encode_video,
    luma_psnr_db,
)
from manifests.paths import as_text
from manifests.records import Video

__all__ = [
    "MediaError", "Picture", "decode_flac", "decode_video", "decoded_seconds", "encode_flac",
    "encode_video", "iter_frames", "iter_pictures", "luma_psnr_db", "open_video",
    "read_audio", "read_facts", "resolve",
]


def open_video(path: str | os.PathLike[str], rate: Fraction = FRAME_RATE) -> Video:
    """A media file outside a corpus, on the canonical clock at `rate` frames a second: what
    `iter_frames`, `iter_pictures` and `read_audio` take. Raises MediaError as `read_facts`.
    """
    facts = read_facts(Path(path), rate)
    return Video(video_id="v", media_path=as_text(path), sha256="", **dataclasses.asdict(facts))
