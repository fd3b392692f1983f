"""The models that `yld train` knows: what each needs, its presets, and where its code stands.

Nothing heavy is imported until a model is asked for.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training.data.wanted import Wanted


@dataclass(frozen=True)
class Kind:
    """A model. `module` has PRESETS (in `config`) and, in `system`, `facts_of`, `decode_of` and
    the class `system`."""

    name: str
    about: str
    needs: str
    module: str
    system: str
    parameters: str
    wanted: Callable[[Any], Wanted]
    speaker: str | None = None
    """Its class in `speak` that makes speech of a video (`training.harness.speaker.Speaker`); None
    where it makes none."""
    preset_names: tuple[str, ...] = ("paper", "tiny")
    """The names of `presets`, told without importing them."""

    @property
    def speaks(self) -> bool:
        """It makes speech of a video (`yld synthesize`)."""
        return self.speaker is not None

    @property
    def presets(self) -> Mapping[str, Callable[[], Any]]:
        """Settings by name."""
        return importlib.import_module(f"{self.module}.config").PRESETS

    @property
    def code(self) -> Any:
        """Its module `system`."""
        return importlib.import_module(f"{self.module}.system")

    @property
    def system_class(self) -> Any:
        """What is built of a config and facts."""
        return getattr(self.code, self.system)

    @property
    def speaker_class(self) -> Any:
        """What is built of weights, config and facts to speak. Raises ValueError where it is
        none."""
        if self.speaker is None:
            raise ValueError(f"{self.name} makes no speech")
        return getattr(importlib.import_module(f"{self.module}.speak"), self.speaker)


def _slts_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    return Wanted(members, min_frames=24, offset_statuses=measured)


def _syncnet_wanted(config: Any) -> Wanted:
    members = frozenset({"face.mp4", "audio.flac"})
    is_measured_alone = config.view.pairing == "corrected" and not config.data.unmeasured
    return Wanted(
        members,
        min_frames=config.min_frames,
        offset_statuses=frozenset({"measured"}) if is_measured_alone else None,
        max_lag_ms=config.data.max_lag_ms,
    )


def _two_tower_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac", "landmarks.npy"})
    return Wanted(
        members,
        min_frames=config.view.num_frames + 2 * config.shape.margin,
        offset_statuses=measured,
    )


def _vid2speech_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    return Wanted(members, min_frames=config.view.num_frames, offset_statuses=measured)


def _waveform_gan_wanted(config: Any) -> Wanted:
    members = {"face.mp4", "audio.flac"}
    if config.shape.sample_rate > 16_000:
        members.add("audio.wide.flac")
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    return Wanted(frozenset(members), min_frames=config.view.num_frames, offset_statuses=measured)


KINDS = {
    "slts": Kind(
        "slts",
        "speech from lips, trained on data whose lags it corrects itself (Niu and Mak 2023)",
        "clips of known speakers, uncorrected: yld build ... --set sync.correct=false",
        "training.models.slts",
        "SltsSystem",
        "29.3 million parameters, 17.7 more with discriminators; tiny: 1.8 million",
        _slts_wanted,
        speaker="SltsSpeaker",
    ),
    "syncnet": Kind(
        "syncnet",
        "which sound belongs to which picture: SyncNet v2's towers (Chung and Zisserman 2016)",
        "any clips of talking faces; their measured lags are taken out",
        "training.models.syncnet",
        "SyncNetSystem",
        "paper: 13.6 million; tiny: .6 million",
        _syncnet_wanted,
    ),
    "two_tower": Kind(
        "two_tower",
        "speech from a face and its motion, one voice a model (Ephrat, Halperin and Peleg 2017)",
        "clips of one speaker, of .96 s or more; their measured lags are taken out",
        "training.models.two_tower",
        "TwoTowerSystem",
        "paper: 33.9 million; tiny: 2.3 million",
        _two_tower_wanted,
        speaker="TwoTowerSpeaker",
    ),
    "vid2speech": Kind(
        "vid2speech",
        "a baseline: line spectrum pairs from nine frames, whispered (Ephrat and Peleg 2017)",
        "clips of one speaker; their measured lags are taken out",
        "training.models.vid2speech",
        "Vid2SpeechSystem",
        "paper: 1.9 million; tiny: .5 million",
        _vid2speech_wanted,
        speaker="Vid2SpeechSpeaker",
    ),
    "waveform_gan": Kind(
        "waveform_gan",
        "sound from lips, sample by sample, against a critic (Vougioukas et al. 2019)",
        "clips of 3 s with their own sound: yld build ... --set clips.wide_audio=true (50 kHz); "
        "tiny: any clips of 1.2 s, 16 kHz",
        "training.models.waveform_gan",
        "GanSystem",
        "paper: 7.0 million, critic 4.4, speech encoder 1.5; tiny: .4 million, critic .3",
        _waveform_gan_wanted,
        speaker="GanSpeaker",
    ),
}
