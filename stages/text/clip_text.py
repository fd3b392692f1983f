"""The text of a clip: the words that are said in its sound, on the clip's own clock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from manifests.numbers import signed_ms
from manifests.records import Clip, Video
from manifests.text.spoken import Span, Transcript
from stages.hints import second_zero_us
from stages.text.transcripts import Found

TOLERANCE_US = 200_000
"""How far a caption may reach over the ends of a clip that it is the text of."""
SAMPLE_US = 1_000_000 / 16000
FRAME_US = 40_000
MOST_CHARS_PER_S = 50.0
"""Three times what fast talkers say."""


@dataclass(frozen=True)
class ClipText:
    """What goes into a sample's `json`."""

    text: str | None
    text_source: str | None
    text_reason: str | None
    words: list[dict[str, Any]] | None

    def facts(self) -> dict[str, Any]:
        return dict(vars(self))


def text_of(clip: Clip, video: Video, found: Found) -> ClipText:
    """The words whose middle lies inside the clip's sound; null with a reason if not known.

    Where only the times of whole captions are known, there is a text if all of those that
    overlap the sound lie inside it, 200 ms tolerated.
    """
    if found.transcript is None:
        return _nothing(found.reason)
    zero_us = zero_of(found.transcript, video) - clip.audio_start_sample * SAMPLE_US
    length_us = clip.num_frames * FRAME_US
    end_us = video.duration_us - clip.audio_start_sample * SAMPLE_US
    inside: list[tuple[Span, float, float]] = []
    for span in found.transcript.near(-zero_us, length_us - zero_us):
        start = span.start_us + zero_us
        end = end_us if span.end_us is None else span.end_us + zero_us
        if span.is_word:
            if 0 <= (start + end) / 2 < length_us:
                inside.append((span, start, end))
        elif start < length_us and end > 0:
            if start < -TOLERANCE_US or end > length_us + TOLERANCE_US:
                return _nothing(
                    f"{'a caption' if found.text_source == 'captions' else 'the sentence'} from "
                    f"{start / 1e6:.2f} to {end / 1e6:.2f} s reaches over an end of the clip, "
                    f"and its words have no times"
                )
            inside.append((span, start, end))
    if not inside:
        return _nothing("no words of the transcript lie in the clip")
    text = " ".join(span.text for span, _, _ in inside)
    if len(text) > MOST_CHARS_PER_S * (1 + length_us / 1e6):
        return _nothing(f"{len(text)} characters cannot be said in {length_us / 1e6:.2f} s")
    words = None
    if all(span.is_word for span, _, _ in inside):
        words = [
            {
                "word": span.text,
                "start_s": round(max(0.0, start) / 1e6, 3),
                "end_s": round(min(length_us, end) / 1e6, 3),
            }
            for span, start, end in inside
        ]
    return ClipText(text, found.text_source, None, words)


def zero_of(transcript: Transcript, video: Video) -> int:
    """Second 0 of a transcript on the video's canonical clock, in microseconds."""
    if transcript.counts_from == "sound":
        return video.audio_start_us
    return second_zero_us(video)


def _nothing(reason: str | None) -> ClipText:
    return ClipText(None, None, reason, None)


def moved_text(facts: dict[str, Any], lag_ms: float, length_s: float) -> dict[str, Any]:
    """The text of a sample's `json` once its sound begins `lag_ms` later in its `length_s`.

    Words that leave the sample with the sound go; a text without word times stays if the sound
    moves by no more than the tolerance for captions.
    """
    if not facts.get("text") or not lag_ms:
        return {}
    if not facts.get("words"):
        if abs(lag_ms) * 1000 <= TOLERANCE_US:
            return {}
        return _nothing(
            f"the sound was moved by {signed_ms(lag_ms)}, and the words of the text have no times"
        ).facts()
    words = []
    for word in facts["words"]:
        start, end = word["start_s"] + lag_ms / 1000, word["end_s"] + lag_ms / 1000
        if 0 <= (start + end) / 2 < length_s:
            words.append(
                word | {"start_s": round(max(0.0, start), 3), "end_s": round(min(length_s, end), 3)}
            )
    if not words:
        return _nothing("no words of the transcript lie in the clip").facts()
    return {"text": " ".join(w["word"] for w in words), "words": words}
