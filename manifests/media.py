"""Reading and writing media on the canonical clock; one place for the rest of the project.

`media_facts` reads streams and timestamps, `media_read` pictures, `media_audio` sound;
`media_write` encodes.
"""

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

__all__ = [
    "MediaError", "Picture", "decode_flac", "decode_video", "decoded_seconds", "encode_flac",
    "encode_video", "iter_frames", "iter_pictures", "luma_psnr_db", "read_audio", "read_facts",
    "resolve",
]
