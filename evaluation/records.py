"""What scoring takes and gives: one utterance with its files, one row per metric."""

from __future__ import annotations

from dataclasses import dataclass

from manifests.records import col

STATUSES = ("ok", "too_short", "silent", "length_mismatch", "error")


@dataclass(frozen=True)
class Utterance:
    """Two versions of one utterance and what is known of it."""

    utterance: str = col("name: the path below the folder, without its suffix")
    reference: str = col("path of the true sound or video")
    hypothesis: str = col("path of the generated sound or video")
    video: str | None = col("path of the video whose lips the sound belongs to", default=None)
    text: str | None = col("what is said", default=None)
    speaker: str | None = col("who speaks; the bootstrap's cluster", default=None)
    video_face: str | None = col(
        "file with the face in `video`, made by the pipeline", default=None
    )
    reference_face: str | None = col("file with the face in the reference's pictures", default=None)
    hypothesis_face: str | None = col(
        "file with the face in the hypothesis' pictures", default=None
    )


@dataclass(frozen=True)
class Score:
    """One metric of one utterance. `value` is null unless `status` is ok, with a reason."""

    utterance: str = col("name of the utterance")
    metric: str = col("metric; with a- the hypothesis was aligned first")
    value: float | None = col("the score; unit in docs/evaluation.md")
    status: str = col("ok | too_short | silent | length_mismatch | error")
    signature: str = col("metric, version, sample rate, mode, packages, model hash")
    shift_ms: int | None = col(
        "shift that the alignment frontend applied; > 0: later", "ms", default=None
    )
    reason: str | None = col("why there is no value, or what to know of it", default=None)
    speaker: str | None = col("who speaks", default=None)
    errors: int | None = col("edits, for error rates: pooled over the corpus", default=None)
    length: int | None = col("words or characters of the reference, for error rates", default=None)
    transcript: str | None = col("what the recogniser understood", default=None)


@dataclass(frozen=True)
class Counted:
    """An error rate with its counts, so that a corpus pools exactly."""

    value: float
    errors: int
    length: int
    transcript: str
