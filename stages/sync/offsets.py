"""Active speaker and audio-visual offset, per track and per window (docs/synchrony.md).

Evidence decides: a track without speech, or whose lips are still while somebody talks, is
rejected; so is one where lips move and speech is heard for long without any agreement
(voice-over, dubbing). Of several faces in view the one that agrees with the sound speaks. A
mere lack of confidence rejects nothing: such a track is `undecided`, without a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from manifests.clock import FRAME_RATE, SAMPLES_PER_FRAME, seconds_of
from manifests.media.pictures import resolve
from manifests.media.sound import read_whole
from manifests.numbers import signed_ms
from manifests.records import Identity, Offset, Reject, Track, Video, col
from stages.backends import registry
from stages.base import Context, Resources, Stage, below
from stages.faces.track_faces import TrackFaces
from stages.networks import lag_curves as off
from stages.sync.active_speakers import ACTIVE_SPEAKER_DETECTORS, FaceInView, View
from stages.sync.estimators import ESTIMATORS, TrackSignals
from stages.sync.speech import SpeechDetector, share
from stages.sync.together import inherited

EstimatorName = Literal["lipsync", "lipsync_linear", "syncnet_v2"]
SpeakerDetectorName = Literal["lipsync", "light_asd", "lr_asd", "syncnet"]


@dataclass(frozen=True)
class SyncConfig:
    """Speech, speaker choice and the offset search."""

    estimator: EstimatorName = col("offset estimator", default="lipsync")
    search_ms: float = col(
        "search range, plus and minus", "ms", at_least=40, at_most=10_000, default=700.0
    )
    window_frames: int = col("window", "frame", at_least=5, default=75)
    hop_frames: int = col("window hop", "frame", at_least=1, default=25)
    vad_threshold: float = col(
        "silero-vad's speech probability", at_least=0, at_most=1, default=0.5
    )
    min_speech_s: float = col("least speech in a track", "s", at_least=0, default=0.6)
    min_lip_motion: float = col(
        "least deviation of the inner-lip gap during speech, in eye distances",
        at_least=0,
        default=0.008,
    )
    min_window_speech: float = col(
        "speech share of a window that is compared", at_least=0, at_most=1, default=0.25
    )
    voice_over_s: float = col(
        "speech without agreement that proves voice-over", "s", at_least=0, default=6.0
    )
    voice_over_peak: float = col("pooled peak under which nothing agrees", default=0.18)
    speaker: SpeakerDetectorName = col(
        "what detects the active speaker among several faces", default="lipsync"
    )
    speaker_margin: float | None = col(
        "lead of the speaking face's score over others in view; null: the detector's own",
        at_least=0,
        default=None,
    )
    correct: bool = col("shift the audio by the measured lag", default=True)
    undecided: Literal["keep", "drop"] = col(
        "what becomes of clips of undecided tracks", default="keep"
    )


@dataclass(frozen=True)
class Judged:
    """One track on its way to an outcome."""

    track: Track
    speech_share: float
    speech_s: float
    lip_motion: float
    windows: list[tuple[int, int]]
    curves: list[np.ndarray]
    weights: list[float]
    peak: off.Peak | None
    seconds: float
    speaking: float | None = None
    """The speaker detector's score, where other faces are in view."""
    rhythms: list[float | None] = field(default_factory=list)
    """`Reading.rhythm` of the windows; empty where nothing is known of it."""

    @property
    def basis(self) -> off.Basis:
        """What the pooled curve was taken from."""
        return off.Basis(self.seconds, self.speech_s, self.rhythm_of(range(len(self.windows))))

    def rhythm_of(self, numbers: Iterable[int]) -> float | None:
        """Mean over those of some windows that count; None where nothing is known."""
        known = [
            (rhythm, self.weights[i])
            for i in numbers
            if i < len(self.rhythms) and (rhythm := self.rhythms[i]) is not None
        ]
        total = sum(weight for _, weight in known)
        return sum(r * w for r, w in known) / total if total > 0 else None


class Sync(Stage[Identity, Offset]):
    """All tracks of a video together: who speaks, and how far picture and sound are apart."""

    name = "sync"
    version = 4
    reasons = frozenset(
        {"no_speech", "still_face", "voice_over", "not_speaking", "ambiguous_speaker"}
    )
    resources = Resources(memory_gb=6.0, timeout_s=300.0)
    reads_media = True

    @classmethod
    def check_here(cls, config: SyncConfig) -> None:
        registry.check_at_hand(ESTIMATORS, config.estimator)
        registry.check_at_hand(ACTIVE_SPEAKER_DETECTORS, config.speaker)

    def setup(self) -> None:
        self.estimator = registry.make(ESTIMATORS, self.config.estimator)
        self.speech = SpeechDetector(self.config.vad_threshold)
        self.speaker_detector = registry.make(ACTIVE_SPEAKER_DETECTORS, self.config.speaker)
        self.speaker_detector.setup()

    def fingerprint(self) -> dict[str, str]:
        estimator = registry.make(ESTIMATORS, self.config.estimator)
        detector = registry.make(ACTIVE_SPEAKER_DETECTORS, self.config.speaker)
        return {
            "estimator": estimator.version,
            "weights": estimator.fingerprint(),
            "chooser": f"{detector.name}-{detector.version}",
        }

    def process(self, batch: Sequence[Identity], context: Context) -> list[list[Offset] | Reject]:
        video = context.the_video()
        pcm = read_whole(video, resolve(video.media_path, context.work))
        regions = self.speech.regions(pcm)
        judged, boxes = [], []
        for identity in batch:
            track = context.tracks[identity.track_id]
            faces = TrackFaces.load(track, context.work)
            crops = source_pictures(video, context.work, track, faces)
            judged.append(self.judge(track, faces, pcm, regions, crops=crops))
            boxes.append(faces.boxes)
        judged = self.score_speakers(
            judged, boxes, View(video, resolve(video.media_path, context.work), pcm, regions)
        )
        made = [self._outcome(item, judged, regions) for item in judged]
        kept = [
            (item, row)
            for item, outcome in zip(judged, made, strict=True)
            for row in ([] if isinstance(outcome, Reject) else outcome)
        ]
        shared = inherited(self, [item for item, _ in kept], [row for _, row in kept])
        row_of = {row.track_id: row for row in shared}
        return [
            outcome if isinstance(outcome, Reject) else [row_of[row.track_id] for row in outcome]
            for outcome in made
        ]

    def judge(
        self,
        track: Track,
        faces: TrackFaces,
        pcm: np.ndarray,
        regions: list[tuple[int, int]],
        shift_samples: int = 0,
        crops: Callable[[], Iterable[np.ndarray]] | None = None,
    ) -> Judged:
        """Curves of one track; `shift_samples` reads the sound that much earlier; `crops` gives
        SyncNet's pictures where they can be read."""
        config = self.config
        landmarks = interpolate(faces.landmarks)
        shift_frames = shift_samples / SAMPLES_PER_FRAME
        moved = [(a + shift_frames, b + shift_frames) for a, b in regions]
        talk = share(moved, track.start_frame, track.end_frame)
        length = track.end_frame - track.start_frame
        windows = make_windows(length, config.window_frames, config.hop_frames)
        talks = [share(moved, track.start_frame + a, track.start_frame + b) for a, b in windows]
        signals = TrackSignals(
            landmarks,
            held(faces.mouths, faces.is_observed),
            pcm,
            track.start_frame * SAMPLES_PER_FRAME - shift_samples,
            crops,
        )
        readings = self.estimator.readings(signals, windows, config.search_ms)
        curves = [r.curve for r in readings]
        used = [t if t >= config.min_window_speech else 0.0 for t in talks]
        pooled = off.pool(curves, used)
        peak = None if pooled is None else self.estimator.peak(pooled)
        covered = np.zeros(length, bool)
        for (a, b), weight in zip(windows, used, strict=True):
            covered[a:b] |= weight > 0
        return Judged(
            track,
            talk,
            seconds_of(talk * length),
            lip_motion(landmarks, moved, track),
            windows,
            curves,
            used,
            peak,
            seconds_of(float(covered.sum())),
            rhythms=[r.rhythm for r in readings],
        )

    def score_speakers(
        self, judged: Sequence[Judged], boxes: Sequence[np.ndarray], view: View
    ) -> list[Judged]:
        """The same, with the detector's score of every face that others are in view with, over the
        frames they share. `boxes` xyxy [T, 4] are those of each track."""
        scored = []
        for item, own in zip(judged, boxes, strict=True):
            track = item.track
            rivals = [o.track for o in judged if o is not item and concurrent(o.track, track)]
            if rivals:
                face = FaceInView(
                    track,
                    own,
                    item.peak.height if item.peak else None,
                    max(track.start_frame, min(r.start_frame for r in rivals)),
                    min(track.end_frame, max(r.end_frame for r in rivals)),
                )
                item = replace(item, speaking=self.speaker_detector.scores([face], view)[0])
            scored.append(item)
        return scored

    def _outcome(self, item: Judged, others: list[Judged], regions) -> list[Offset] | Reject:
        config = self.config
        silent = below(
            "no_speech",
            item.speech_s,
            config.min_speech_s,
            "seconds of speech while the face is seen",
        )
        still = below(
            "still_face",
            item.lip_motion,
            config.min_lip_motion,
            "deviation of the inner-lip gap in eye distances",
        )
        if reject := silent or still:
            return reject
        rivals = [o for o in others if o is not item and concurrent(o.track, item.track)]
        if rivals:
            margin = config.speaker_margin
            margin = self.speaker_detector.margin if margin is None else margin
            own, best = _speaking(item), max(map(_speaking, rivals))
            if own <= best - margin:
                return Reject(
                    "not_speaking",
                    own,
                    best,
                    f"{self.speaker_detector.name}: another face in view goes better "
                    "with the sound",
                )
            if own < best + margin:
                return Reject(
                    "ambiguous_speaker",
                    own - best,
                    margin,
                    f"{self.speaker_detector.name}: faces in view go with the sound about as well",
                )
        height = item.peak.height if item.peak else 0.0
        if item.seconds >= config.voice_over_s and height < config.voice_over_peak:
            return Reject(
                "voice_over",
                height,
                config.voice_over_peak,
                f"{item.seconds:.1f} s of speech and moving lips do not agree",
            )
        return [self.offset_of(item, regions)]

    def offset_of(self, item: Judged, regions) -> Offset:
        """The row of a track that was not rejected."""
        track, peak = item.track, item.peak
        status, reason, lag, sure = self.verdict(item)
        lags, heights = [], []
        long_s = seconds_of(self.config.window_frames)
        for number, (curve, weight) in enumerate(zip(item.curves, item.weights, strict=True)):
            found = self.estimator.peak(curve) if weight else None
            basis = off.Basis(long_s, weight * long_s, item.rhythm_of([number]))
            good = self.is_sure(found, basis)
            lags.append(round(found.lag_ms, 1) if found is not None and good else None)
            heights.append(None if found is None else round(found.height, 4))
        speaking = item.speaking
        if speaking is None and peak is not None:
            speaking = peak.height
        drift = off.drift_ms_per_min([a for a, _ in item.windows], lags)
        inside = [(max(a, track.start_frame), min(b, track.end_frame)) for a, b in regions]
        inside = [(a, b) for a, b in inside if a < b]
        return Offset(
            track.track_id,
            track.video_id,
            track.shot_id,
            "track",
            status,
            None if lag is None else round(lag, 1),
            reason,
            None if sure is None else round(sure, 4),
            None if peak is None else round(peak.height, 4),
            f"{self.estimator.name}-{self.estimator.version}",
            self.config.search_ms,
            round(item.speech_share, 4),
            None if speaking is None else round(speaking, 4),
            [track.start_frame + a for a, _ in item.windows],
            lags,
            heights,
            [a for a, _ in inside],
            [b for _, b in inside],
            None if drift is None else round(drift, 2),
        )

    def confidence(self, peak: off.Peak | None, basis: off.Basis) -> float | None:
        """Calibrated probability that the error is within 40 ms; None without calibration."""
        if peak is None or self.estimator.calibration is None:
            return None
        return off.confidence(peak, basis, self.estimator.calibration)

    def is_sure(self, peak: off.Peak | None, basis: off.Basis) -> bool:
        """Whether a peak counts as measured."""
        if peak is None or peak.is_at_limit:
            return False
        sure = self.confidence(peak, basis)
        if sure is None:
            return peak.height >= (self.estimator.min_raw_score or np.inf)
        return sure >= self.estimator.measured_confidence

    def verdict(self, item: Judged) -> tuple[str, str | None, float | None, float | None]:
        """Status, reason, lag in ms and confidence of a judged track."""
        peak = item.peak
        if peak is None:
            return "undecided", "too little speech to compare", None, None
        sure = self.confidence(peak, item.basis)
        if peak.is_at_limit:
            return "at_search_limit", f"the best lag is at {signed_ms(peak.lag_ms)}", None, sure
        if sure is None:
            least = self.estimator.min_raw_score
            if least is None or peak.height < least:
                return "undecided", f"raw score {peak.height:.2f} is low", None, None
            return "measured", None, peak.lag_ms, None
        if sure < self.estimator.measured_confidence:
            return "undecided", f"confidence {sure:.2f} is low", None, sure
        return "measured", None, peak.lag_ms, sure


def _speaking(item: Judged) -> float:
    """The score of a track that others are in view with. Raises ValueError before it is known."""
    if item.speaking is None:
        raise ValueError(f"{item.track.track_id} was not scored against the faces in view")
    return item.speaking


def source_pictures(
    video: Video, work: Path, track: Track, faces: TrackFaces
) -> Callable[[], Iterable[np.ndarray]]:
    """SyncNet's crops of a track, decoded when asked for."""

    def read() -> Iterable[np.ndarray]:
        from stages.faces.source_crops import iter_crops

        return iter_crops(video, resolve(video.media_path, work), track.start_frame, faces.boxes)

    return read


def make_windows(length: int, size: int, hop: int) -> list[tuple[int, int]]:
    """Half-open windows over `length` frames; one shorter one if there is no room for more."""
    if length <= size:
        return [(0, length)]
    starts = list(range(0, length - size + 1, hop))
    if starts[-1] + size < length:
        starts.append(length - size)
    return [(s, s + size) for s in starts]


def interpolate(landmarks: np.ndarray) -> np.ndarray:
    """[T, 68, 2] with NaN rows -> without: linear between neighbours, held at the ends."""
    missing = np.isnan(landmarks).any((1, 2))
    if not missing.any():
        return landmarks
    seen = np.flatnonzero(~missing)
    flat = landmarks.reshape(len(landmarks), -1)
    output = np.stack([np.interp(np.arange(len(flat)), seen, c[seen]) for c in flat.T], 1)
    return output.reshape(landmarks.shape).astype(np.float32)


def held(mouths: np.ndarray, is_observed: np.ndarray) -> np.ndarray:
    """Mouth pictures [T, ...] with those of unobserved frames taken from the frame before."""
    seen = np.flatnonzero(is_observed)
    if len(seen) in (0, len(mouths)):
        return mouths
    before = np.searchsorted(seen, np.arange(len(mouths)), "right") - 1
    return mouths[seen[np.maximum(before, 0)]]


def lip_motion(landmarks: np.ndarray, regions, track: Track) -> float:
    """Deviation of the inner-lip gap while there is speech, in eye distances."""
    eyes = np.linalg.norm(landmarks[:, 42:48].mean(1) - landmarks[:, 36:42].mean(1), axis=1)
    gap = np.linalg.norm(landmarks[:, 61:64] - landmarks[:, [67, 66, 65]], axis=2).mean(1)
    relative = gap / np.maximum(np.median(eyes), 1e-6)
    frames = np.arange(track.start_frame, track.end_frame)
    spoken = np.zeros(len(frames), bool)
    for a, b in regions:
        spoken |= (frames >= a) & (frames < b)
    return float(relative[spoken].std()) if spoken.sum() > 2 else 0.0


def concurrent(a: Track, b: Track) -> bool:
    """Whether two tracks are in view together for a second or most of the shorter one."""
    both = min(a.end_frame, b.end_frame) - max(a.start_frame, b.start_frame)
    shorter = min(a.end_frame - a.start_frame, b.end_frame - b.start_frame)
    return both >= min(float(FRAME_RATE), 0.5 * shorter)
