"""Scores of one utterance, a row per metric, whatever happens.

What a metric cannot judge becomes a row with a status and a reason; nothing is scored as 0.
`evaluation.isolation` runs this in a process of its own.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from evaluation.audio import read_pictures, read_sound
from evaluation.catalogue import Metric, split
from evaluation.metrics import alignment
from evaluation.metrics.errors import NoScore
from evaluation.metrics.faces import Face, read_face
from evaluation.records import Counted, Score, Utterance
from evaluation.signatures import signature
from manifests.media.facts import MediaError
from manifests.walk import is_media

MAX_REASON = 500


def score(utterance: Utterance, names: Sequence[str]) -> Iterator[Score]:
    """One row per name, in order. Raises ValueError only for a name that is no metric."""
    loaded = Loaded(utterance)
    for name in names:
        yield score_one(loaded, name)


def score_one(loaded: Loaded, name: str) -> Score:
    """One metric of one utterance as a row."""
    metric, aligned = split(name)
    shift_ms, note = None, None
    counts: Counted | None = None
    try:
        if aligned:
            shift_ms, note = loaded.shift.shift_ms, _note(loaded.shift)
        value = metric.load()(*loaded.arguments(metric, aligned))
        counts = value if isinstance(value, Counted) else None
        number = float(value) if counts is None else counts.value
        if not math.isfinite(number):
            raise ValueError(f"the score is {number}")
    except NoScore as error:
        return no_score(loaded.utterance, name, error.status, str(error), shift_ms)
    except (ValueError, OSError) as error:  # their messages are written for people
        return no_score(loaded.utterance, name, "error", str(error), shift_ms)
    except Exception as error:  # a fault costs its row and no other
        reason = f"a fault in the metric's code ({type(error).__name__}): {error}"
        return no_score(loaded.utterance, name, "error", reason, shift_ms)
    return Score(
        loaded.utterance.utterance,
        name,
        number,
        "ok",
        signature(name),
        shift_ms,
        note,
        loaded.utterance.speaker,
        errors=None if counts is None else counts.errors,
        length=None if counts is None else counts.length,
        transcript=None if counts is None else counts.transcript,
    )


def no_score(
    utterance: Utterance, name: str, status: str, reason: str, shift_ms: int | None = None
) -> Score:
    """A row without a value."""
    return Score(
        utterance.utterance,
        name,
        None,
        status,
        signature(name),
        shift_ms,
        plain(reason),
        utterance.speaker,
    )


def plain(reason: str) -> str:
    """One line, without the error numbers and the second naming of the file that come from
    below; cut at a word, with an ellipsis, where it is over 500 characters."""
    reason = re.sub(r"\[Errno -?\d+\] ", "", " ".join(reason.split()))
    reason = re.sub(r"(Invalid data found when processing input): '[^']*'", r"\1", reason)
    return textwrap.shorten(reason, MAX_REASON, placeholder=" ...")


def _note(found: alignment.Alignment) -> str | None:
    return "the shift is at the search limit" if found.at_limit else None


def _read(reader: Callable[[str], np.ndarray], path: str, role: str) -> np.ndarray:
    """The file's content. Its errors say which of the two it was."""
    try:
        return reader(path)
    except MediaError as error:
        raise MediaError(error.reason, f"the {role} cannot be read: {error}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"the {role} cannot be read: {error}") from None


class Loaded:
    """An utterance's arrays, read when first asked for and kept for the next metric."""

    def __init__(self, utterance: Utterance) -> None:
        self.utterance = utterance
        self._faces: dict[str, Face] = {}

    @cached_property
    def reference(self) -> np.ndarray:
        return _read(read_sound, self.utterance.reference, "reference")

    @cached_property
    def hypothesis(self) -> np.ndarray:
        return _read(read_sound, self.utterance.hypothesis, "hypothesis")

    @cached_property
    def shift(self) -> alignment.Alignment:
        return alignment.find_shift(self.reference, self.hypothesis)

    @cached_property
    def pictures(self) -> tuple[np.ndarray, np.ndarray]:
        reference, hypothesis = self.utterance.reference, self.utterance.hypothesis
        for role, path in (("reference", reference), ("hypothesis", hypothesis)):
            if not is_media(Path(path)):
                raise NoScore(f"the {role} is sound alone and has no pictures")
        return (
            _read(read_pictures, reference, "reference"),
            _read(read_pictures, hypothesis, "hypothesis"),
        )

    def arguments(self, metric: Metric, aligned: bool) -> tuple:
        """What the metric's function takes. Raises NoScore, OSError or ValueError."""
        if metric.kind == "sound":
            sounds = self.reference, self.hypothesis
            return alignment.apply_shift(*sounds, self.shift.shift_ms) if aligned else sounds
        if metric.kind == "text":
            if self.utterance.text is None:
                raise NoScore("no text of this utterance was given (--text)")
            return self.utterance.text, self.hypothesis
        if metric.kind == "pictures":
            return self.pictures
        if metric.kind == "landmarks":
            return (
                self._face(self.utterance.reference_face).whole_landmarks(),
                self._face(self.utterance.hypothesis_face).whole_landmarks(),
            )
        if self.utterance.video_face is None:
            raise NoScore("no video of this utterance was given (--video)")
        return self._face(self.utterance.video_face), self.spoken

    @cached_property
    def spoken(self) -> np.ndarray:
        """Sound that belongs to the lips: the hypothesis', or where that has none (generated
        pictures) the reference's."""
        try:
            return self.hypothesis
        except MediaError as error:
            if error.reason != "no_audio":
                raise
            return self.reference

    def _face(self, path: str | None) -> Face:
        if path is None:
            raise NoScore("neither version has pictures")
        if path not in self._faces:
            self._faces[path] = read_face(path)
        return self._faces[path]
