"""Some frames of a `face.mp4` by torchcodec, on a GPU's own decoder (NVDEC).

The same frames and window as `span.decode_rgb`. On a CPU, where tests run it, they are equal to the
bit; a GPU converts colours by itself, so the first frames decoded there are compared with PyAV's.
"""

from __future__ import annotations

import importlib
import importlib.util

import numpy as np

from manifests.media import span
from manifests.media.span import WHOLE, Window

MOST_DIFFERENCE = 2.0
"""Mean distance from PyAV's pixels (of 255) above which a GPU's colours are not believed: rounding
gives less than 1, another colour matrix or range 3 to 10."""
REMEDY = "leave data.decoder at pyav"


class NoDecoderError(RuntimeError):
    """torchcodec, its FFmpeg or the GPU is wanting; the message says which, and the remedy."""


def why_not() -> str | None:
    """Why torchcodec cannot decode here at all, or None. Loads its libraries, which importing it
    does not."""
    if not importlib.util.find_spec("torchcodec"):
        return "torchcodec is not installed"
    try:
        importlib.import_module("torchcodec.decoders").VideoDecoder(b"no video")
    except Exception as error:  # it raises what the dynamic linker says, in several kinds
        if "Could not load libtorchcodec" in str(error):
            return "FFmpeg's shared libraries (4 to 9) are not found, which torchcodec needs"
    return None


def use(decoder: str, device: str = "cuda") -> None:
    """What decodes the frames of samples in this process from now on: `pyav`, or `torchcodec` on
    `device`. Raises NoDecoderError."""
    global _device
    if decoder == "torchcodec":
        _check(device)
    _device = device if decoder == "torchcodec" else None


def device() -> str | None:
    """Where torchcodec decodes in this process; None: PyAV does."""
    return _device


def _check(device: str) -> None:
    import torch

    why = why_not()
    if why is None and device == "cuda" and not torch.cuda.is_available():
        why = "torch sees no GPU"
    if why is not None:
        raise NoDecoderError(f"data.decoder is torchcodec, and {why}: {REMEDY}")


def decode_rgb(
    content: bytes, first: int = 0, count: int | None = None, window: Window = WHOLE
) -> np.ndarray:
    """uint8 [count, h, w, 3] RGB of frames [first, first + count), as `span.decode_rgb`, on the
    device of `use`.

    Raises NoDecoderError for other colours than PyAV's, ValueError where the file has fewer frames.
    """
    device = _device or "cpu"
    pictures = _decode(content, first, count, window, device)
    if device not in _believed:
        _believe(pictures, span.decode_rgb(content, first, count, window), device)
    return pictures


_device: str | None = None
_believed: set[str] = set()


def _believe(pictures: np.ndarray, true: np.ndarray, device: str) -> None:
    difference = float(np.abs(pictures.astype(np.int16) - true).mean())
    if difference > MOST_DIFFERENCE:
        raise NoDecoderError(
            f"torchcodec on {device} gives other colours than PyAV ({difference:.1f} of 255 in the "
            f"mean): {REMEDY}"
        )
    _believed.add(device)


def _decode(
    content: bytes, first: int, count: int | None, window: Window, device: str
) -> np.ndarray:
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(content, device=device)
    there = len(decoder)
    end = there if count is None else first + count
    if not 0 <= first < end <= there:
        raise ValueError(f"frames {first} to {end} are wanted, there are {there}")
    frames = decoder.get_frames_in_range(first, end).data  # uint8 [count, 3, H, W]
    cut = frames[:, :, window[0], window[1]].permute(0, 2, 3, 1)
    return np.ascontiguousarray(cut.cpu().numpy())
