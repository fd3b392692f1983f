"""One frozen dataclass per table, joined on deterministic ids built from the parent's.

A field's unit and meaning are part of the record (`col`), and travel into
the Parquet schema. "No value" is None; where that needs a reason, a reason field is beside it. What
a file is that a field names, and whether the field counts when finished work is looked for, is said
here too, and nowhere else: `files_of`, `pipeline.run.ledger.digest`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, Literal, TypeAlias, cast

InKey: TypeAlias = Literal["always", "unless_default", "never"]
"""Whether a field is part of what finished work is found by (`pipeline.run.ledger`).
`unless_default`: a setting that came later and changes no outcome at its default, so that corpora
made before it keep their finished work. `never`: where a file lies, or when it came, does not
change its content; no stage reads transcripts, publishing does, and looks at their content each
time."""

Role: TypeAlias = Literal["media", "side_file", "kept_file"]
"""What the file is that a field names: the video's media; a side file that the stage wrote which
made the record; a file that came with the media and is read when publishing."""


def col(
    doc: str,
    unit: str = "",
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    in_key: InKey = "always",
    role: Role | None = None,
    **kwargs: Any,
) -> Any:
    """A dataclass field that carries its unit and meaning in its metadata.

    The bounds are a setting's: `pipeline.config.settings` refuses what lies outside.
    """
    bounds = {"at_least": at_least, "above": above, "at_most": at_most}
    return field(
        metadata={
            "doc": doc,
            "unit": unit,
            "in_key": in_key,
            "role": role,
            "bounds": {k: v for k, v in bounds.items() if v is not None},
        },
        **kwargs,
    )


@dataclass(frozen=True)
class Request:
    """One address as asked for on the command line or in a list; the input of `expand`."""

    request_id: str = col("hash of the address", in_key="never")
    address: str = col("link, or absolute path of a media file", in_key="never")
    kind: str = col("link | file | member: of a tar, as {tar}::{member}")
    requested_as: str = col("the argument or list file it came from", in_key="never")
    line: int | None = col("line number in the list file", in_key="never", default=None)


@dataclass(frozen=True)
class Hint:
    """What a corpus says of a source, or of a span of it: who speaks, when, where the face is.

    It stands beside the sources and does not travel through the stages: a stage is given those of
    its video that tell spans or places (`is_guide`); speakers, parts and texts count when
    publishing.
    """

    hint_id: str = col("hash of request and segment", in_key="never")
    request_id: str = col("the request that it is about", in_key="never")
    corpus: str = col("the adapter that read it (`yld corpora`)", in_key="never")
    name: str = col("the segment, as the corpus names it", in_key="never")
    speaker: str | None = col("who it is, as the corpus says", in_key="never", default=None)
    split: str | None = col("train | val | test, as the corpus says", in_key="never", default=None)
    text: str | None = col("what is said, as the corpus says", in_key="never", default=None)
    text_start_s: float | None = col(
        "where that begins; null: with the source", "s", in_key="never", default=None
    )
    text_end_s: float | None = col(
        "where it ends; null: with the source", "s", in_key="never", default=None
    )
    transcript_path: str | None = col(
        "file of what is said, where it lies elsewhere than beside its source",
        in_key="never",
        default=None,
    )
    start_s: float | None = col(
        "where the span begins, in the media's own time; null: no span", "s", default=None
    )
    end_s: float | None = col("where it ends", "s", default=None)
    every_s: float | None = col(
        "the whole, in pieces of so long; null: not in pieces", "s", default=None
    )
    point_x: float | None = col(
        "a point on the face, share of the picture's width from the left", default=None
    )
    point_y: float | None = col("share of its height from the top", default=None)
    box_times_s: list[float] = col("when the face was where", "s", default_factory=list)
    boxes: list[float] = col(
        "x0, y0, x1, y1 for each of these times: shares of the picture, or pixels where "
        "box_height_px is known",
        default_factory=list,
    )
    box_height_px: int | None = col(
        "height of the picture that the boxes are counted in; null: they are shares",
        "px",
        default=None,
    )

    def is_guide(self) -> bool:
        """Whether it says where in the media to look."""
        known = (self.start_s, self.end_s, self.every_s, self.point_x)
        return bool(self.boxes) or any(value is not None for value in known)


@dataclass(frozen=True)
class Source:
    """One video as asked for: a link's single video, or one file. Many may share a video."""

    source_id: str = col("deterministic id of this request for a video", in_key="never")
    request_id: str = col("parent request", in_key="never")
    address: str = col("link, or absolute path", in_key="never")
    kind: str = col("link | file | member")
    requested_as: str = col("the argument or list file it came from", in_key="never")
    site_id: str | None = col("id at the site, as the site gives it", default=None)
    extractor: str | None = col("yt-dlp extractor key", default=None)
    playlist_id: str | None = col("playlist or channel it was expanded from", default=None)
    title: str | None = col("title, known before download", default=None)
    duration_s: float | None = col("duration as the site states it", "s", default=None)


@dataclass(frozen=True)
class Fetched:
    """A media file in hand, with its provenance (table `sources`)."""

    source_id: str = col("the source it was fetched for", in_key="never")
    video_id: str = col("extractor + id for named sites, else hash of the bytes")
    media_path: str = col(
        "absolute path, or path relative to the corpus folder", in_key="never", role="media"
    )
    sha256: str = col("SHA-256 of the media file")
    num_bytes: int = col("size of the media file", "B")
    address: str = col("link, or absolute path", in_key="never")
    kind: str = col("link | file | member")
    requested_as: str = col("the argument or list file it came from", in_key="never")
    extractor: str | None = col("yt-dlp extractor key", default=None)
    site_id: str | None = col("id at the site", default=None)
    title: str | None = col("title as the site gave it", default=None)
    uploader: str | None = col("uploader as the site gave it", default=None)
    uploader_id: str | None = col("uploader id as the site gave it", default=None)
    licence: str | None = col("licence as the site or corpus states it", default=None)
    consent: str | None = col("consent of the persons shown, as stated by the user", default=None)
    language: str | None = col("language of the audio track kept", default=None)
    format_ids: str | None = col("yt-dlp format ids kept, joined by +", default=None)
    caption_paths: list[str] = col(
        "caption files kept with the source", in_key="never", role="kept_file", default_factory=list
    )
    fetched_at: str | None = col(
        "UTC time of the download", "ISO 8601", in_key="never", default=None
    )
    attempts: int | None = col("download attempts", in_key="never", default=None)
    host: str | None = col("host that fetched it", in_key="never", default=None)
    tool_versions: str | None = col(
        "tools and versions that fetched it", in_key="never", default=None
    )
    transcript_path: str | None = col(
        "the captions or corpus transcript read for the clips' text, "
        "absolute or relative to the work folder",
        in_key="never",
        default=None,
    )
    transcript_sha256: str | None = col("SHA-256 of that file", in_key="never", default=None)
    transcript_reason: str | None = col(
        "why there is no usable transcript", in_key="never", default=None
    )
    # Not in the key: they say what the sound is, and change none of it.
    original_language: str | None = col(
        "language that the video was made in, as the site says", in_key="never", default=None
    )
    sound_kind: str | None = col(
        "original | dubbed | described | compressed: the sound kept, as the site names it; null: "
        "it says nothing",
        in_key="never",
        default=None,
    )
    sound_languages: list[str] = col(
        "languages of all sound that the site offers", in_key="never", default_factory=list
    )


@dataclass(frozen=True)
class Video:
    """Stream facts of one distinct video and its canonical clock (docs/clock.md)."""

    video_id: str = col("id of the video")
    media_path: str = col(
        "absolute path, or path relative to the corpus folder", in_key="never", role="media"
    )
    sha256: str = col("SHA-256 of the media file")
    container: str = col("container format name")
    video_codec: str = col("codec of the chosen video stream")
    audio_codec: str = col("codec of the chosen audio stream")
    video_stream: int = col("index of the chosen video stream in the file")
    audio_stream: int = col("index of the chosen audio stream in the file")
    num_audio_streams: int = col("audio streams in the file")
    audio_language: str | None = col("language tag of the chosen audio stream")
    width_px: int = col("display width, after rotation and sample aspect ratio", "px")
    height_px: int = col("display height, after rotation and sample aspect ratio", "px")
    rotation_deg: int = col("clockwise rotation applied for display", "deg")
    sample_aspect_ratio: str = col("coded sample aspect ratio, num:den")
    pixel_format: str = col("coded pixel format")
    is_hdr: bool = col("PQ or HLG transfer")
    source_fps: str | None = col("average source frame rate as a fraction", "1/s")
    is_vfr: bool = col("frame intervals differ by more than a tick and a millisecond")
    zero_us: int = col("presentation time of canonical zero t0, in the file's own time", "us")
    video_start_us: int = col("first video frame after t0", "us")
    audio_start_us: int = col("first audio sample after t0", "us")
    container_lag_ms: float = col("what a reader that ignores timestamps adds to video_lag", "ms")
    duration_us: int = col("length of the canonical timeline", "us")
    num_frames: int = col("canonical frames", "frame")
    frame_rate: str = col("canonical rate as a fraction", "1/s")
    num_decode_errors: int = col("damaged packets met while reading timestamps", default=0)
    is_mirrored: bool = col(
        "mirrored left to right for display, before it is rotated", default=False
    )
    time_source: str = col(
        "packets | best_effort (of the decoded pictures) | dts: where presentation times come from",
        default="packets",
    )
    jump_frames: list[int] = col(
        "decoded pictures at which the clock jumps, by number", default_factory=list
    )
    jump_packets: list[int] = col("sound packets at which it jumps", default_factory=list)
    jump_shifts_us: list[int] = col(
        "what is added to the file's own time from there on", "us", default_factory=list
    )
    mended_frames: list[int] = col(
        "decoded pictures with stamps that stand alone, by number", default_factory=list
    )
    mended_times_us: list[int] = col(
        "where they are shown, in the file's own time", "us", default_factory=list
    )
    audio_channel: int | None = col(
        "channel heard alone where the mix of all cancels; null: all", default=None
    )
    is_truncated: bool = col("the file ends before its own structure says so", default=False)
    promised_duration_us: int | None = col(
        "length its header states; null unless truncated", "us", default=None
    )
    notes: list[str] = col(
        "what was found and mended, each as `word: sentence`", default_factory=list
    )


@dataclass(frozen=True)
class Shot:
    """A run of canonical frames between two cuts, half-open."""

    shot_id: str = col("{video_id}-s###")
    video_id: str = col("parent video")
    start_frame: int = col("first frame", "frame")
    end_frame: int = col("one past the last frame", "frame")
    guard_frames: int = col("frames at each cut that later stages leave out", "frame")
    faces_path: str = col("side file with per-frame faces of the whole video", role="side_file")
    num_faces_seen: int = col("face boxes followed in the shot, over all frames")


@dataclass(frozen=True)
class Track:
    """One person's face through one shot; per-frame values stand in the side file."""

    track_id: str = col("{shot_id}-t###")
    shot_id: str = col("parent shot")
    video_id: str = col("video")
    start_frame: int = col("first frame with the face", "frame")
    end_frame: int = col("one past the last frame with the face", "frame")
    faces_path: str = col(
        "side file (npz): {track_id}/boxes, landmarks, score, is_observed, chips", role="side_file"
    )
    num_missing_frames: int = col("frames inside the span without an observed face", "frame")
    median_box_px: float = col("median of the longer box side, source pixels", "px")
    median_eye_distance_px: float = col("median distance of the eye centres, source pixels", "px")
    sharpness: float = col("median variance of the Laplacian on the 150 px face chip", "1")
    yaw_deg: float = col("median head yaw, positive to the image's right", "deg")
    pitch_deg: float = col("median head pitch, positive up", "deg")
    roll_deg: float = col("median head roll, clockwise", "deg")
    mean_score: float = col("mean detector score", "1")
    # Not in the key: they follow from the hints, which the name of the side file stands for.
    hint_ids: list[str] = col(
        "hints that this face fits, one for each span", in_key="never", default_factory=list
    )
    hint_start_frames: list[int] = col(
        "spans that they allow clips in: starts; none: everywhere",
        "frame",
        in_key="never",
        default_factory=list,
    )
    hint_end_frames: list[int] = col(
        "spans: ends, half-open", "frame", in_key="never", default_factory=list
    )


@dataclass(frozen=True)
class Identity:
    """A track that passed the face-quality gate, with its identity embedding."""

    track_id: str = col("track")
    video_id: str = col("video")
    shot_id: str = col("shot")
    embedder: str = col("embedding network and version")
    embedding: list[float] = col("L2-comparable embedding, mean over chips")
    num_chips: int = col("face chips averaged")
    target_distance: float | None = col("distance to the nearest target photo", default=None)
    target_photo: str | None = col("nearest target photo", default=None)


@dataclass(frozen=True)
class Offset:
    """Who speaks, and by how much the video lags the audio (docs/synchrony.md), per track."""

    track_id: str = col("track")
    video_id: str = col("video")
    shot_id: str = col("shot")
    offset_scope: str = col("track | clip | video: the lag its other tracks share")
    offset_status: str = col("measured | undecided | at_search_limit | no_speech | no_face")
    video_lag_ms: float | None = col("> 0: video lags audio; null unless measured", "ms")
    reason: str | None = col("why there is no number")
    confidence: float | None = col("calibrated P(error < 40 ms); null if not calibrated")
    raw_score: float | None = col("the estimator's own unit")
    estimator: str = col("estimator and version")
    search_ms: float = col("search range, plus and minus", "ms")
    speech_share: float = col("share of the track's time with voice activity")
    speaking_score: float | None = col("score of this face against others in view")
    window_start_frames: list[int] = col("start of each 3 s window", "frame")
    window_lags_ms: list[float | None] = col("lag per window, null where undecided", "ms")
    window_scores: list[float | None] = col("raw score per window")
    speech_start_frames: list[int] = col("speech regions on the video clock: starts", "frame")
    speech_end_frames: list[int] = col("speech regions: ends, half-open", "frame")
    drift_ms_per_min: float | None = col(
        "trend of the windows' lags; null where it is not known to 20 ms/min",
        "ms/min",
        default=None,
    )


@dataclass(frozen=True)
class Measured(Offset):
    """An Offset as an audit keeps it, with the drift of the whole recording beside it: all tracks
    of a video that one estimator measured carry the same."""

    drift_status: str = col("drifts | steady | uneven | unknown", default="unknown")
    drift_reason: str | None = col("why it is uneven or unknown", default=None)
    drift_ppm: float | None = col(
        "slope of the lag over the recording; > 0: the picture falls back; null where unknown",
        "ppm",
        default=None,
    )
    drift_error_ppm: float | None = col("standard error of the slope", "ppm", default=None)
    drift_confidence: float | None = col(
        "calibrated P(error < 40 ms) of the lag along the line", default=None
    )
    zero_lag_ms: float | None = col("lag of the line at the clock's zero", "ms", default=None)
    start_lag_ms: float | None = col(
        "lag where the measured windows begin, by the first quarter of them alone",
        "ms",
        default=None,
    )
    end_lag_ms: float | None = col("lag where they end, by the last quarter", "ms", default=None)
    peak_lag_ms: float | None = col(
        "lag of this face's own highest point, also where it does not count",
        "ms",
        in_key="unless_default",
        default=None,
    )
    heard_s: float | None = col(
        "speech of this face that was compared", "s", in_key="unless_default", default=None
    )
    windows_needed: int | None = col(
        "windows with speech, from the first on, that decided; null where all of them did not",
        in_key="unless_default",
        default=None,
    )
    seconds_needed: float | None = col(
        "time that these cover", "s", in_key="unless_default", default=None
    )


@dataclass(frozen=True)
class Clip:
    """One sample to be: a span of one speaking face, corrected, registered and encoded."""

    clip_id: str = col("{track_id}-c###, also the WebDataset key")
    track_id: str = col("track")
    shot_id: str = col("shot")
    video_id: str = col("video")
    start_frame: int = col("first frame on the video clock", "frame")
    end_frame: int = col("one past the last frame", "frame")
    num_frames: int = col("frames in the sample", "frame")
    audio_start_sample: int = col("first audio sample on the video clock", "sample at 16 kHz")
    applied_lag_ms: float = col("lag removed by shifting samples; 0 if not corrected", "ms")
    residual_lag_ms: float | None = col("lag of the track measured again after correction", "ms")
    residual_status: str = col("offset_status of the second measurement")
    video_lag_ms: float | None = col("lag before correction; null unless measured", "ms")
    offset_status: str = col("status of the track's offset")
    confidence: float | None = col("confidence of the track's offset")
    registration_residual_px: float = col("RMS distance of anchors to the template", "px")
    num_interpolated_frames: int = col("frames whose landmarks were interpolated", "frame")
    face_psnr_db: float = col("luma PSNR of face.mp4 against the warped frames", "dB")
    speech_share: float = col("share of the clip with voice activity")
    payload_path: str = col("side file (tar) with the encoded members", role="side_file")
    text: str | None = col(
        "what is said, where known; set when the corpus is published", default=None
    )
    text_source: str | None = col("corpus | captions | asr:<model>", default=None)
    text_reason: str | None = col("why there is no text", default=None)


@dataclass(frozen=True)
class Scores:
    """What a clip sounds and looks like, in numbers that clips are chosen by (docs/columns.md).

    They stand in the table of clips, beside what its stage found (`manifests.schema.BESIDE`).
    """

    clip_id: str = col("clip")
    video_id: str = col("video")
    snr_db: float | None = col(
        "speech over steady noise, estimated, -10 to 60; null: too little sound", "dB", default=None
    )
    bandwidth_hz: float | None = col(
        "highest frequency within 55 dB of the strongest; null: silence", "Hz", default=None
    )
    music: float | None = col(
        "how steadily tones stand, 0 to 1: speech under 0.45; null: too little sound", default=None
    )
    sharpness: float | None = col(
        "median variance of the Laplacian on the face of the 256 px picture", default=None
    )
    brightness: float | None = col("median light of the face, 0 black to 1 white", default=None)
    dark_share: float | None = col("share of the face that is black", default=None)
    bright_share: float | None = col("share of the face that is white", default=None)
    yaw_deg: float | None = col(
        "median head yaw in the clip, positive to the image's right", "deg", default=None
    )
    pitch_deg: float | None = col("median head pitch in the clip, positive up", "deg", default=None)
    roll_deg: float | None = col("median head roll of its track, clockwise", "deg", default=None)
    face_px: float | None = col(
        "longer side of the face in its track, median, source pixels", "px", default=None
    )


@dataclass(frozen=True)
class Opinion:
    """What listeners would think of a clip's sound, as networks guess it (1 bad to 5 excellent)."""

    clip_id: str = col("clip")
    video_id: str = col("video")
    dnsmos_sig: float | None = col("DNSMOS P.835: the speech; null: not asked for", default=None)
    dnsmos_bak: float | None = col("DNSMOS P.835: the background", default=None)
    dnsmos_ovr: float | None = col("DNSMOS P.835: overall", default=None)
    dnsmos_p808: float | None = col("DNSMOS P.808: overall", default=None)
    utmos: float | None = col("UTMOS22 strong: naturalness; null: not asked for", default=None)


@dataclass(frozen=True)
class Speaker:
    """Which speaker of the corpus a track shows."""

    track_id: str = col("track")
    video_id: str = col("video")
    speaker_id: str = col("speaker within the corpus")
    distance: float = col("distance to the speaker's centre when assigned")


@dataclass(frozen=True)
class Sample:
    """Where a clip stands in the shards."""

    clip_id: str = col("clip, also the key")
    video_id: str = col("video")
    speaker_id: str = col("speaker")
    split: str = col("train | val | test")
    shard: str = col("path of the shard, relative to the corpus folder")
    index_in_shard: int = col("position in the shard")
    num_bytes: int = col("bytes of the sample's members", "B")
    sha256: str = col("SHA-256 over the members' names and bytes")


@dataclass(frozen=True)
class Reject:
    """A record that was judged and left out."""

    reason: str = col("word from the stage's closed vocabulary")
    measured: float | None = col("value that was judged", default=None)
    threshold: float | None = col("value it was judged against", default=None)
    detail: str | None = col("one sentence for a person", default=None)
    stage: str = col("stage", default="")
    item_id: str = col("the input record's id", default="")
    video_id: str | None = col("video or source it belongs to", default=None)


@dataclass(frozen=True)
class Failure:
    """A record whose processing broke; written by the runner alone."""

    stage: str = col("stage")
    item_id: str = col("the input record's id")
    video_id: str | None = col("video or source it belongs to")
    reason: str = col("error | timeout | memory | crash | transient")
    exception: str = col("exception type and message")
    detail: str | None = col("traceback or standard error, shortened")
    attempt: int = col("attempts made")
    retryable: bool = col("may succeed on another day")


@dataclass(frozen=True)
class Correction:
    """A file to write anew by `yld resync`: the lags to take out of its clips."""

    item_id: str = col("hash of the path, and of the clip where a file holds several")
    path: str = col("media file or shard as it is")
    target: str = col("file to write")
    clip_ids: list[str] = col("clips that stay")
    lags_ms: list[float] = col("lag taken out of each, at the clock's zero", "ms")
    drift_ppm: float = col("slope of the lag that is taken out of a file", "ppm", default=0.0)
    start_s: float | None = col(
        "where a span of a file begins; null: the whole file", "s", default=None
    )
    end_s: float | None = col("where it ends", "s", default=None)


def record_id(record: object) -> str:
    """The id of a record, which is its first field, e.g. `track_id` of a Track."""
    return getattr(record, _fields(cast(Hashable, type(record)))[0].name)


def files_of(record: object, *roles: Role) -> Iterator[str]:
    """The files that a record names in fields of these roles."""
    for item in _fields(cast(Hashable, type(record))):
        if item.metadata.get("role") in roles:
            value = getattr(record, item.name)
            yield from value if isinstance(value, list) else [value] if value else []


@cache
def _fields(kind: Hashable) -> tuple[Field[Any], ...]:
    return fields(cast(Any, kind))
