"""What a model asks of a sample: which pictures, which sound, which window, which pairing.

A view's `decode` is what the loader asks for. It decodes the frames of the window that the row's
chance draws and no others; pictures are uint8, for a device to scale and flip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME, lag_to_samples
from manifests.crops import CROPS, resized
from manifests.frames import BT_709, Frames, brightness
from manifests.media import gpu_span
from manifests.media.gpu_span import NoDecoderError
from manifests.media.sound import shifted
from manifests.media.span import decode_grey, decode_rgb
from manifests.plain_words import sentence
from manifests.sample_json import known
from manifests.shards import SampleError, ShardError, ShardSample
from training.data.collate import Example
from training.data.mixture import Row
from training.data.sound_features import FEATURES
from training.data.wide_sound import wide_window

Pairing = Literal["raw", "corrected"]
LAG_FACTS = ("applied_lag_ms", "video_lag_ms", "offset_reason", "offset_status")


@dataclass(frozen=True)
class View:
    """A model's view of a sample. Raises ValueError for a crop or feature that there is not."""

    crop: str
    """A name of `manifests.crops.CROPS`."""
    height_px: int | None = None
    """Height of the pictures, the crop keeping its shape; None: the crop's own."""
    is_grey: bool = False
    sound: str | None = None
    """A name of `sound_features.FEATURES`; None: no sound is read."""
    num_frames: int | None = None
    """Frames of the window; None, and of a clip that has fewer: the whole clip."""
    pairing: Pairing = "raw"
    """raw: sound and pictures as the corpus pairs them; corrected: the measured lag taken out of
    the sound, whose window then begins earlier by a lag > 0 (the video was late)."""
    waveform: bool = False
    """The window's sound itself beside the feature, int16 [640 T], as `waveform`."""
    wide_rate: int | None = None
    """The window's sound above 16 kHz at so many samples a second, as `wide`; None: not read."""

    def __post_init__(self) -> None:
        for name, known_names in ((self.crop, CROPS), (self.sound, FEATURES)):
            if name is not None and name not in known_names:
                raise ValueError(f"there is no {name}; there are {', '.join(known_names)}")
        if self.pairing not in ("raw", "corrected"):
            raise ValueError(f"pairing is raw or corrected, not {self.pairing}")
        if self.num_frames is not None and self.num_frames < 1:
            raise ValueError(f"a window needs a frame or more, not {self.num_frames}")

    def decode(
        self,
        sample: ShardSample,
        row: Row,
        planted_samples: int = 0,
        pictures: np.ndarray | None = None,
    ) -> Example:
        """`video` uint8 [T, H, W] or [T, H, W, 3], `sound` as the feature has it, `first_frame` of
        the window and `lag_samples`, which was taken out of the sound.

        `planted_samples` > 0 makes the video lag by as much more than it does. `pictures` are those
        of the whole clip, where they are known; nothing is decoded then.

        Raises ShardError for a sample that is damaged or has not what the pairing needs.
        """
        lag = self.lag_of(sample) - planted_samples
        there = int(sample.facts["num_frames"])
        first, count = self._window(there, lag, row)
        example: dict[str, np.ndarray | int] = {
            "video": self.pictures(sample, first, count)
            if pictures is None
            else pictures[first : first + count],
            "first_frame": first,
            "lag_samples": lag,
        }
        if self.wide_rate is not None:
            example["wide"] = wide_window(sample, self.wide_rate, lag, first, count)
        if self.sound is not None or self.waveform:
            sound = shifted(sample.sound, lag)
            if self.sound is not None:
                example["sound"] = FEATURES[self.sound].of_window(sound, first, count)
            if self.waveform:
                example["waveform"] = FEATURES["waveform"].of_window(sound, first, count)
        return example

    def _window(self, there: int, lag_samples: int, row: Row) -> tuple[int, int]:
        """First frame and number of frames. Windows that would hear silence, because the sound
        was moved away from an end of the clip, are not drawn if there are others."""
        if self.num_frames is None or self.num_frames >= there:
            return 0, there
        lost = -(-abs(lag_samples) // SAMPLES_PER_FRAME)
        low, high = (lost, there) if lag_samples >= 0 else (0, there - lost)
        if high - low < self.num_frames:
            low, high = 0, there
        return int(row.random("window").integers(low, high - self.num_frames + 1)), self.num_frames

    def pictures(self, sample: ShardSample, first: int, count: int) -> np.ndarray:
        """The crop of frames [first, first + count), as `decode` gives it. Raises ShardError."""
        window = CROPS[self.crop]
        frames = Frames.of(sample)
        if frames is not None:
            self._refuse_others(frames, sample)
            cut = frames.window(sample, first, count)
            grey = brightness(cut) if self.is_grey and not frames.is_grey else cut
            return resized(grey, *window.size(self.height_px))
        try:
            content = sample.members["face.mp4"]
            if gpu_span.device() is not None:
                cut = gpu_span.decode_rgb(content, first, count, window.rows_columns)
                cut = brightness(cut) if self.is_grey else cut
            else:
                decode = decode_grey if self.is_grey else decode_rgb
                cut = decode(content, first, count, window.rows_columns)
        except NoDecoderError:  # no fault of the sample's
            raise
        except Exception as error:  # a damaged or foreign member raises almost anything
            why = f"face.mp4: {type(error).__name__}: {sentence(error)}"
            raise SampleError(sample.shard, sample.key, why) from None
        return resized(cut, *window.size(self.height_px))

    def _refuse_others(self, frames: Frames, sample: ShardSample) -> None:
        """Raises ShardError where a repacked sample has not the pictures that are asked for."""
        size = CROPS[self.crop].size(self.height_px)
        asked = f"{self.crop} of {size[0]} x {size[1]} px{' in grey' if self.is_grey else ''}"
        if (
            frames.crop != self.crop
            or not frames.serves(size)
            or (frames.is_grey and not self.is_grey)
        ):
            height, width = frames.size
            raise ShardError(
                f"{sample.shard}: {sample.key} was repacked and has {frames.crop} of {height} x "
                f"{width} px{' in grey' if frames.is_grey else ''} alone, {asked} is asked for; "
                f"read the corpus it was made from, or repack that with --crop {self.crop} "
                f"--height {size[0]}"
            )

    def seen(self, frames: np.ndarray) -> np.ndarray:
        """Canonical faces uint8 [T, 256, 256, 3] RGB -> pictures as `decode` gives them, uint8
        [T, h, w] or [T, h, w, 3], but for what the coding of `face.mp4` changes."""
        window = CROPS[self.crop]
        cut = frames[:, *window.rows_columns]
        if self.is_grey:
            cut = np.rint(cut @ np.array(BT_709)).astype(np.uint8)
        return resized(cut, *window.size(self.height_px))

    def lag_of(self, sample: ShardSample) -> int:
        """What is to be taken out of the sound, in samples; > 0: the video lags."""
        told = sample.facts
        facts = known({name: told[name] for name in LAG_FACTS if name in told})
        applied = facts.get("applied_lag_ms") or 0.0
        if self.pairing == "raw":
            if applied:
                raise ShardError(
                    f"{sample.shard}: {applied:g} ms were taken out of the sound of {sample.key}, "
                    "so there is no raw pairing; build with --set sync.correct=false"
                )
            return 0
        lag = facts.get("video_lag_ms")
        if lag is None and not applied:
            raise ShardError(
                f"{sample.shard}: no lag is known of {sample.key} "
                f"({facts.get('offset_reason') or facts.get('offset_status')}); leave such samples "
                'out with Wanted(offset_statuses=frozenset({"measured"}))'
            )
        return 0 if applied or lag is None else lag_to_samples(lag)


VIEWS = {
    # 3 s chunks of the face (section 4.4); 96 px is inferred; uncorrected pairs are its subject.
    "slts": View("face", 96, sound="slts", num_frames=75),
    # Lips of 96 px in colour, clips of 1 to 3 s; 2 s is the chunk of its long videos (section 4.2).
    "lip2speech": View("lip", sound="lip2speech", num_frames=50, pairing="corrected"),
    # The authors' trainer: 30 frames of 224 px a clip, offsets applied.
    "syncnet": View("syncnet", sound="syncnet", num_frames=30, pairing="corrected"),
    # A frame and the 0.35 s around it (section 3.2).
    "speech2vid": View("speech2vid", sound="speech2vid", num_frames=1, pairing="corrected"),
    # 40 grey frames of 112 px; its 136 px around the mouth are our lip crop's 96 (inferred).
    "vca_gan": View("lip", 112, True, "vca_gan", 40, "corrected"),
}
"""The papers' own views."""
