"""A sample's `json`: which members there are, and how a value that is not known is written.

Readers that take the types of a column from its first rows (Hugging Face datasets, Arrow) cannot
change their mind: what was null in the first samples cannot be text later, and a list that was
empty cannot hold numbers. So every member is there in every sample, with one type. JSON has no
null of a type; what may not be known is therefore text, which has an empty value, and the reason
stands beside it. In memory and in the tables "no value" is null, as everywhere: `typed` writes,
`known` reads, also shards of older releases (decision 6).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manifests.clock import FRAME_RATE

WORD = {"word": "string", "start_s": "float64", "end_s": "float64"}


@dataclass(frozen=True)
class Member:
    """One member of `json`: `kind` is text | integer | number | known_number | mask | words."""

    kind: str
    doc: str
    unit: str = ""


MEMBERS: dict[str, Member] = {
    "applied_lag_ms": Member("number", "lag taken out of the sound; 0 if not corrected", "ms"),
    "audio_start_sample": Member("integer", "first sample on the video's clock", "sample"),
    "clip_id": Member("text", "clip, also the key"),
    "confidence": Member("known_number", "P(error of the offset < 40 ms); empty if not calibrated"),
    "end_frame": Member("integer", "one past the last frame on the video's clock", "frame"),
    "estimator": Member("text", "offset estimator and version"),
    "frame_rate": Member("text", "frames per second as a fraction", "1/s"),
    "is_interpolated": Member("mask", "for each frame: whether its landmarks were interpolated"),
    "num_frames": Member("integer", "frames of the sample", "frame"),
    "offset_reason": Member("text", "why there is no video_lag_ms; empty if there is"),
    "offset_scope": Member("text", "track | clip | video"),
    "offset_status": Member("text", "measured | undecided | at_search_limit | ..."),
    "raw_score": Member("known_number", "the estimator's own unit"),
    "registration_residual_px": Member("number", "RMS distance to the template", "px"),
    "residual_lag_ms": Member(
        "known_number",
        "lag measured again after correction; empty unless residual_status is measured",
        "ms",
    ),
    "residual_status": Member("text", "offset_status of the second measurement"),
    "resync_lag_ms": Member("number", "lag taken out by `yld resync`; only in its shards", "ms"),
    "sample_rate": Member("integer", "of audio.flac", "1/s"),
    "search_ms": Member("number", "range searched, plus and minus", "ms"),
    "shot_id": Member("text", "shot"),
    "speaker_id": Member("text", "speaker within the corpus"),
    "speaking_score": Member("known_number", "score of this face against others in view"),
    "speech_share": Member("number", "share of the clip with voice activity"),
    "split": Member("text", "train | val | test"),
    "start_frame": Member("integer", "first frame on the video's clock", "frame"),
    "text": Member("text", "what is said; empty if not known"),
    "text_reason": Member("text", "why there is no text; empty if there is"),
    "text_source": Member("text", "corpus | captions | asr:<model>; empty without text"),
    "track_id": Member("text", "track"),
    "video_id": Member("text", "video"),
    "video_lag_ms": Member(
        "known_number",
        "> 0: video lagged audio before correction; empty unless offset_status is measured",
        "ms",
    ),
    "words": Member(
        "words",
        "words of the text with their times in the clip; one empty word over "
        "the whole clip where no word's time is known",
        "s",
    ),
}
OPTIONAL = frozenset({"resync_lag_ms"})
"""Members that not every corpus has (but every sample of one that has it)."""


def typed(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The members as they are written: one type each. What is typed already stays as it is.

    Takes nulls, `interpolated_frames` (frame numbers) and members of its own or of older shards.
    Members that are not in `MEMBERS` stay. Raises ValueError for a number that is not finite,
    or none where there must be one.
    """
    made = dict(facts)
    frames = made.pop("interpolated_frames", None)
    if frames is not None and "num_frames" in made:
        made["is_interpolated"] = [False] * made["num_frames"]
        for frame in frames:
            made["is_interpolated"][frame] = True
    for name in made.keys() & MEMBERS.keys():
        made[name] = _typed(name, made[name], made)
    return made


def _typed(name: str, value: Any, facts: Mapping[str, Any]) -> Any:
    kind = MEMBERS[name].kind
    if kind == "text":
        return "" if value is None else str(value)
    if kind == "known_number":
        return _decimal(name, value)
    if kind == "number":
        return _finite(name, value)
    if kind == "words":
        if value:
            return [
                {"word": w["word"], "start_s": float(w["start_s"]), "end_s": float(w["end_s"])}
                for w in value
            ]
        return [
            {
                "word": "",
                "start_s": 0.0,
                "end_s": round(facts.get("num_frames", 0) / float(FRAME_RATE), 3),
            }
        ]
    return value


def _decimal(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else repr(_finite(name, value))


def _finite(name: str, value: Any) -> float:
    if value is None or not math.isfinite(value):
        raise ValueError(f"{name} is {value}: every sample must have a finite number there")
    return float(value)


def known(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The members as the project's own code takes them: numbers are numbers, no value is None.

    Takes the `json` of any release's shards.
    """
    made = dict(facts)
    for name in made.keys() & MEMBERS.keys():
        kind, value = MEMBERS[name].kind, made[name]
        if value == "" and kind in ("text", "known_number"):
            made[name] = None
        elif kind == "known_number" and value is not None:
            made[name] = float(value)
        elif kind == "words" and value and not any(w["word"] for w in value):
            made[name] = None
    return made


def arrow_name(kind: str) -> str:
    """The Arrow type of a member that is neither a mask nor words, by its Hugging Face name."""
    return {"text": "string", "known_number": "string", "integer": "int64", "number": "float64"}[
        kind
    ]


def members_markdown() -> str:
    """The table of members in `docs/reading.md`."""
    kinds = {
        "text": "text",
        "known_number": "text: decimal number or empty",
        "integer": "integer",
        "number": "number",
        "mask": "list of true and false",
        "words": "list of {word, start_s, end_s}",
    }
    rows = [
        f"| `{name}` | {kinds[m.kind]} | {m.doc.replace(' | ', ', ')}"
        f"{f' [{m.unit}]' if m.unit else ''} |"
        for name, m in MEMBERS.items()
    ]
    return "\n".join(["| member | JSON | meaning |", "| --- | --- | --- |", *rows])
