"""Which clips are left out by what was measured of them: thresholds on scores, none by default.

They are judged when a corpus is published, and measure nothing: another threshold does no stage
again, and only the shards are written again that hold a clip which falls, or falls no more.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from manifests.records import Clip, Opinion, Reject, Scores, col


@dataclass(frozen=True)
class ThresholdsConfig:
    """Clips beyond one of these become rejects when publishing; null: all are kept. A clip that has
    no number is kept."""

    min_snr_db: float | None = col(
        "least speech over noise", "dB", at_least=-10, at_most=60, default=None
    )
    min_bandwidth_hz: float | None = col("least bandwidth", "Hz", at_least=0, default=None)
    max_music: float | None = col(
        "most music: 0.45 keeps speech of a second and more", at_least=0, at_most=1, default=None
    )
    min_speech_share: float | None = col(
        "least share of speech in a clip (clips.min_speech_share: where it is cut)",
        at_least=0,
        at_most=1,
        default=None,
    )
    min_sharpness: float | None = col("least sharpness of the clip", at_least=0, default=None)
    min_brightness: float | None = col(
        "darkest face; it counts dark skin as dark", at_least=0, at_most=1, default=None
    )
    max_brightness: float | None = col("brightest face", at_least=0, at_most=1, default=None)
    max_dark_share: float | None = col(
        "most of the face that is black", at_least=0, at_most=1, default=None
    )
    max_bright_share: float | None = col(
        "most of the face that is white", at_least=0, at_most=1, default=None
    )
    max_yaw_deg: float | None = col("most turned head", "deg", at_least=0, default=None)
    max_pitch_deg: float | None = col(
        "most raised or lowered head", "deg", at_least=0, default=None
    )
    max_roll_deg: float | None = col("most tilted head", "deg", at_least=0, default=None)
    min_face_px: float | None = col("smallest face", "px", at_least=0, default=None)
    min_dnsmos: float | None = col("least DNSMOS (dnsmos_ovr)", at_least=1, at_most=5, default=None)
    min_utmos: float | None = col("least UTMOS", at_least=1, at_most=5, default=None)

    def any_set(self) -> bool:
        """Whether any clip can fall."""
        return any(getattr(self, f.name) is not None for f in fields(self))


@dataclass(frozen=True)
class Rule:
    """One threshold: setting, column, the word of its reject, and what was measured."""

    setting: str
    column: str
    reason: str
    detail: str


RULES = (
    Rule("min_snr_db", "snr_db", "noisy", "dB of speech over noise"),
    Rule("min_bandwidth_hz", "bandwidth_hz", "narrow_band", "Hz of bandwidth"),
    Rule("max_music", "music", "music", "steadiness of tones"),
    Rule("min_speech_share", "speech_share", "too_little_speech", "share of speech"),
    Rule("min_sharpness", "sharpness", "blurred", "variance of the Laplacian"),
    Rule("min_brightness", "brightness", "dark", "light of the face"),
    Rule("max_brightness", "brightness", "bright", "light of the face"),
    Rule("max_dark_share", "dark_share", "dark", "share of the face that is black"),
    Rule("max_bright_share", "bright_share", "bright", "share of the face that is white"),
    Rule("max_yaw_deg", "yaw_deg", "turned", "degrees of yaw"),
    Rule("max_pitch_deg", "pitch_deg", "turned", "degrees of pitch"),
    Rule("max_roll_deg", "roll_deg", "turned", "degrees of roll"),
    Rule("min_face_px", "face_px", "small_face", "px of the face"),
    Rule("min_dnsmos", "dnsmos_ovr", "low_opinion", "DNSMOS"),
    Rule("min_utmos", "utmos", "low_opinion", "UTMOS"),
)
"""In the order in which they are asked; angles count by their size."""


def fallen(
    clip: Clip, scores: Scores | None, opinion: Opinion | None, config: ThresholdsConfig
) -> Reject | None:
    """The first threshold that a clip does not keep to; None where it keeps to all."""
    for rule in RULES:
        limit = getattr(config, rule.setting)
        if limit is None:
            continue
        measured = next(
            (getattr(r, rule.column) for r in (clip, scores, opinion) if hasattr(r, rule.column)),
            None,
        )
        if measured is None:
            continue
        is_least = rule.setting.startswith("min_")
        amount = abs(measured) if rule.column.endswith("_deg") else measured
        if amount < limit if is_least else amount > limit:
            return Reject(
                rule.reason,
                measured,
                limit,
                f"{rule.detail}, thresholds.{rule.setting}",
                item_id=clip.clip_id,
                video_id=clip.video_id,
            )
    return None
