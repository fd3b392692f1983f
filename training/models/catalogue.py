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
    minutes: str = "not measured"
    """How long `tiny` takes, as it was measured."""
    animator: str | None = None
    """Its class in `animate` that makes faces of sound (`training.harness.animator.Animator`)."""
    sharpener: str | None = None
    """Its class in `animate` that makes faces sharper (`training.harness.animator.Sharpener`)."""
    embedder: str | None = None
    """Its class in `speak` that gives the voice of a face (`training.harness.speaker.VoiceOfFace`);
    None where there is none."""
    preset_names: tuple[str, ...] = ("paper", "tiny")
    """The names of `presets`, told without importing them."""

    @property
    def told(self) -> tuple[str, ...]:
        """All of it in sentences."""
        return (
            f"{self.about}.",
            f"Data: {self.needs}.",
            f"Parameters: {self.parameters}.",
            f"Time of tiny: {self.minutes}.",
        )

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

    @property
    def animator_class(self) -> Any:
        """What is built of weights, config and facts to make pictures, or to make them sharper.
        Raises ValueError where it is none."""
        name = self.animator or self.sharpener
        if name is None:
            raise ValueError(f"{self.name} makes no pictures")
        return getattr(importlib.import_module(f"{self.module}.animate"), name)

    @property
    def embedder_class(self) -> Any:
        """What is built of the same to give voices of faces. Raises ValueError where it is none."""
        if self.embedder is None:
            raise ValueError(f"{self.name} knows no voice of a face")
        return getattr(importlib.import_module(f"{self.module}.speak"), self.embedder)


def _lip2audspec_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    return Wanted(members, min_frames=config.num_frames, offset_statuses=measured)


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


def _speech2vid_wanted(config: Any) -> Wanted:
    from training.data.every_fifth import least_frames

    measured = frozenset({"measured"}) if config.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    frames = least_frames(config.shape.stills)
    return Wanted(members, min_frames=frames, offset_statuses=measured)


def _speech2vid_deblur_wanted(config: Any) -> Wanted:
    from training.data.every_fifth import least_frames

    return Wanted(frozenset({"face.mp4"}), min_frames=least_frames(1))


def _two_tower_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac", "landmarks.npy"})
    return Wanted(
        members,
        min_frames=config.view.num_frames + 2 * config.shape.margin,
        offset_statuses=measured,
    )


def _vca_gan_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    return Wanted(members, min_frames=config.view.num_frames, offset_statuses=measured)


def _vid2speech_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    return Wanted(members, min_frames=config.view.num_frames, offset_statuses=measured)


def _lip2speech_wanted(config: Any) -> Wanted:
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    members = frozenset({"face.mp4", "audio.flac"})
    return Wanted(members, min_frames=25, offset_statuses=measured)


def _speaker_identity_wanted(config: Any) -> Wanted:
    return Wanted(frozenset({"face.mp4", "audio.flac"}), min_frames=config.view.min_frames)


def _waveform_gan_wanted(config: Any) -> Wanted:
    members = {"face.mp4", "audio.flac"}
    if config.shape.sample_rate > 16_000:
        members.add("audio.wide.flac")
    measured = frozenset({"measured"}) if config.view.pairing == "corrected" else None
    return Wanted(frozenset(members), min_frames=config.view.num_frames, offset_statuses=measured)


KINDS = {
    "lip2audspec": Kind(
        "lip2audspec",
        "a baseline: auditory spectrograms by an autoencoder's codes (Akbari et al. 2018)",
        "clips of .28 s or more (tiny: .88 s); their measured lags are taken out",
        "training.models.lip2audspec",
        "Lip2AudSpecSystem",
        "paper: 12.7 million, autoencoder .2; tiny: .9 million, autoencoder .2",
        _lip2audspec_wanted,
        speaker="Lip2AudSpecSpeaker",
        minutes="10 CPU-minutes for its 2400 steps on 899 clips, judging included",
    ),
    "slts": Kind(
        "slts",
        "speech from lips, trained on data whose lags it corrects itself (Niu and Mak 2023)",
        "clips of known speakers, uncorrected: yld build ... --set sync.correct=false",
        "training.models.slts",
        "SltsSystem",
        "paper: 29.3 million, 17.7 more with discriminators; tiny: 1.8 million",
        _slts_wanted,
        speaker="SltsSpeaker",
        minutes="8 CPU-minutes for its 400 steps on 899 clips, judging included",
    ),
    "speech2vid": Kind(
        "speech2vid",
        "a face that says what is heard, from stills (Chung, Jamaludin and Zisserman 2017)",
        "clips of 1.3 s or more of any speakers; their measured lags are taken out",
        "training.models.speech2vid",
        "Speech2VidSystem",
        "paper: 38.6 million; tiny: 2.4 million",
        _speech2vid_wanted,
        animator="Speech2VidAnimator",
        minutes="about 10 CPU-minutes for its 1200 steps, three skips, on clips repacked to 112 px",
    ),
    "speech2vid_deblur": Kind(
        "speech2vid_deblur",
        "Speech2Vid's deblurring network, from faces and the same faces blurred (section 3.3)",
        "clips of 1.3 s or more; no sound is needed",
        "training.models.speech2vid_deblur",
        "DeblurSystem",
        "paper: 298,947; tiny: 19 thousand",
        _speech2vid_deblur_wanted,
        sharpener="DeblurSharpener",
        minutes="about 70 CPU-seconds for its 300 steps (.22 s a step over 5)",
    ),
    "lip2speech": Kind(
        "lip2speech",
        "speech from lips in a voice that comes from the face (Lip2Speech, the paper of YLD)",
        "clips of 1 s or more; their measured lags are taken out",
        "training.models.lip2speech",
        "Lip2SpeechSystem",
        "paper: 41.3 million, identity 28.7; code: 38.4; tiny: 2.9, identity 2.2",
        _lip2speech_wanted,
        speaker="Lip2SpeechSpeaker",
        embedder="Lip2SpeechSpeaker",
        preset_names=("paper", "code", "tiny"),
        minutes="61 CPU-minutes for its 2300 steps on 899 clips; the lips are found after 900",
    ),
    "speaker_identity": Kind(
        "speaker_identity",
        "Lip2Speech's speaker identity module: the voice that a face may have",
        "clips of many speakers, of 1 s or more",
        "training.models.speaker_identity",
        "IdentitySystem",
        "paper: 28.7 million, of which 4.9 draw faces; tiny: 2.2",
        _speaker_identity_wanted,
        embedder="IdentityEmbedder",
        minutes="about 2.5 CPU-minutes for its 200 steps (.7 s a step over 5)",
    ),
    "syncnet": Kind(
        "syncnet",
        "which sound belongs to which picture: SyncNet v2's towers (Chung and Zisserman 2016)",
        "any clips of talking faces; their measured lags are taken out",
        "training.models.syncnet",
        "SyncNetSystem",
        "paper: 13.6 million; tiny: .6 million",
        _syncnet_wanted,
        minutes="4 CPU-minutes for its 300 steps",
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
        minutes="16 CPU-minutes for its 950 steps on 899 clips, registration and flow included",
    ),
    "vca_gan": Kind(
        "vca_gan",
        "a baseline: spectrogram from lips against three discriminators (Kim, Hong and Ro 2021)",
        "clips of 1.6 s or more (tiny: .96 s); their measured lags are taken out",
        "training.models.vca_gan",
        "VcaGanSystem",
        "paper: 51.8 million, critics 50.1; tiny: 3.3 million, critics 3.1",
        _vca_gan_wanted,
        speaker="VcaGanSpeaker",
        minutes="11 CPU-minutes for its 750 steps on 899 clips, judging included",
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
        minutes="under 7 CPU-minutes for its 800 steps on 899 clips, judging included",
    ),
    "waveform_gan": Kind(
        "waveform_gan",
        "sound from lips, sample by sample, against a critic (Vougioukas et al. 2019)",
        "clips of 3 s with their own sound: yld build ... --set clips.wide_audio=true (50 kHz); "
        "tiny: any clips of 1.2 s, 16 kHz",
        "training.models.waveform_gan",
        "GanSystem",
        "paper: 7.0 million, critic 4.4, encoder of speech 1.5; tiny: .3, .3 and .4",
        _waveform_gan_wanted,
        speaker="GanSpeaker",
        minutes="12 CPU-minutes for its 2400 steps on 899 clips, judging included",
    ),
}
