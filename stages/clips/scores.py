"""Scores of clips: a stage of its own after the clips, so that old corpora get them without doing
anything else again.

It reads the encoded members alone, which lie beside a clip as long as its corpus goes on, and no
media: no picture is decoded at full size. Head pose comes from the registered landmarks, which a
similarity leaves as they are but for the roll; roll and size of the face are those of the track.
Thresholds are no part of it (`stages.corpus.thresholds`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from manifests.clock import SAMPLE_RATE
from manifests.records import Clip, Scores, Track
from manifests.shards import WIDE_AUDIO, SampleIndex, ShardSample
from stages.base import Context, Resources, Stage
from stages.clips.heard import bandwidth_hz, music_share, power_spectra, snr_db, windows_at
from stages.clips.seen import key_pictures, look_of
from stages.faces.head_pose import head_pose


class MeasureClips(Stage[Clip, Scores]):
    """Clips -> scores, one each. It judges nothing and rejects nothing."""

    name = "scores"
    version = 1
    resources = Resources(memory_gb=2.0, timeout_s=300.0)
    reads_side_folders = frozenset({"clips"})
    splittable = True

    def process(self, batch: Sequence[Clip], context: Context) -> list[list[Scores]]:
        return [
            [scores_of(clip, context.tracks[clip.track_id], sample_of(clip, context.work))]
            for clip in batch
        ]


def sample_of(clip: Clip, work: Path) -> ShardSample:
    """A clip's members from its side file below the work folder. Raises ShardError."""
    return SampleIndex.scan(work / clip.payload_path)[clip.clip_id]


def scores_of(clip: Clip, track: Track, sample: ShardSample) -> Scores:
    """All scores of one clip. Raises ShardError for a member that is damaged."""
    sound, rate = sample.wide_sound if WIDE_AUDIO in sample.members else (None, SAMPLE_RATE)
    spectra = power_spectra(sample.sound)
    wide = spectra if sound is None else power_spectra(sound, *windows_at(rate))
    look = look_of(key_pictures(sample.members["face.mp4"]), sample.landmarks)
    yaw, pitch, _ = head_pose(sample.landmarks)
    return Scores(
        clip.clip_id,
        clip.video_id,
        snr_db=snr_db(spectra),
        bandwidth_hz=bandwidth_hz(wide, rate),
        music=music_share(sample.sound),
        **({} if look is None else vars(look)),
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=track.roll_deg,
        face_px=track.median_box_px,
    )
