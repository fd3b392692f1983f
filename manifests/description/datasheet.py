"""The card's answers to what a datasheet asks (Gebru et al. 2021, Datasheets for Datasets): what is
in the corpus, how far picture and sound are apart, what was left out and why, where it comes from,
how it was made, and what it cannot be trusted with. Numbers alone; `pipeline.corpus.facts` counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from manifests.clock import seconds_of
from manifests.numbers import signed_ms

FRAME_MS = 40.0
PARTS = ("train", "val", "test")
MOST_ROWS = 20
"""Of reasons and settings that are shown; the tables have them all."""


@dataclass(frozen=True)
class Part:
    """One part of the corpus, or all of it."""

    name: str
    clips: int
    frames: int
    speakers: int
    videos: int


@dataclass(frozen=True)
class Lags:
    """Of published clips: where a lag is known, and how many there are."""

    known_ms: Sequence[float]
    num_clips: int


@dataclass(frozen=True)
class Owner:
    """A published corpus whose owners state the terms of its videos."""

    title: str
    terms: str
    """In the owners' own words, in short."""
    licence: str
    """The Hugging Face Hub's identifier; `other` where it has none."""


@dataclass(frozen=True)
class Facts:
    """What is counted of a corpus; each count is by name, most frequent first."""

    parts: Sequence[Part] = ()
    clip_frames: Sequence[int] = ()
    speaker_frames: Sequence[int] = ()
    """Of each speaker."""
    named_speakers: int = 0
    """Speakers whom the sources name; the others were told apart by their faces."""
    before: Lags = field(default_factory=lambda: Lags((), 0))
    after: Lags = field(default_factory=lambda: Lags((), 0))
    corrected: int = 0
    """Clips whose sound was shifted."""
    estimators: Mapping[str, int] = field(default_factory=dict)
    texts: Mapping[str, int] = field(default_factory=dict)
    """Clips by where their text is from; `none` without one."""
    source_s: float = 0.0
    sites: Mapping[str, int] = field(default_factory=dict)
    corpora: Mapping[str, str] = field(default_factory=dict)
    """Published corpora that it was built from: name and their owners' terms."""
    owners: Mapping[str, Owner] = field(default_factory=dict)
    """By video, where all that asked for it are of one such corpus."""
    fallen: Sequence[tuple[str, str, str, int]] = ()
    """Stage, rejected or failed, reason, count."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """That differ from a build's own."""
    version: str = ""


def datasheet(facts: Facts) -> str:
    """Markdown, sections of the second order."""
    sections = (
        ("What is in it", _composition(facts)),
        ("Picture against sound", _offsets(facts)),
        ("What was left out", _left_out(facts)),
        ("Where it comes from", _sources(facts)),
        ("How it was made", _making(facts)),
        ("Known limits", _limits(facts)),
    )
    return "\n".join(f"## {title}\n{text}\n" for title, text in sections if text)


def _composition(facts: Facts) -> str:
    rows = [
        (p.name, p.clips, _length(p.frames), p.speakers, p.videos) for p in facts.parts if p.clips
    ]
    if not rows:
        return ""
    lengths = sorted(facts.clip_frames) or [0]
    said = [
        _table(("part", "clips", "length", "speakers", "videos"), rows),
        "",
        f"Clips last {seconds_of(lengths[0]):.2f} to {seconds_of(lengths[-1]):.2f} s, "
        f"{seconds_of(statistics.median(lengths)):.2f} s in the median.",
    ]
    if facts.speaker_frames:
        said.append(
            f"Of a speaker there are {_length(statistics.median(facts.speaker_frames))} in the "
            f"median, {_length(max(facts.speaker_frames))} at most; {facts.named_speakers} of "
            f"{len(facts.speaker_frames)} speakers are named by the sources, the others were told "
            "apart by their faces."
        )
    said.append(f"Texts: {_counts(facts.texts)}.")
    return "\n".join(said)


def _offsets(facts: Facts) -> str:
    if not facts.before.num_clips:
        return ""
    rows = [
        (name, *_lag_row(lags))
        for name, lags in (("before correction", facts.before), ("as published", facts.after))
    ]
    head = ("video lags sound by", "median", "5 % to 95 %", "within a frame", "not known")
    by = f" Measured by {', '.join(facts.estimators)}." if facts.estimators else ""
    return "\n".join(
        [
            _table(head, rows),
            "",
            f"A frame is {FRAME_MS:.0f} ms; shares are of the clips whose lag is known. The sound "
            f"of {facts.corrected} of {facts.before.num_clips} clips was shifted; each sample says "
            f"by how much (`applied_lag_ms`).{by}",
        ]
    )


def _lag_row(lags: Lags) -> tuple[str, ...]:
    known = sorted(lags.known_ms)
    missing = f"{lags.num_clips - len(known)} of {lags.num_clips}"
    if not known:
        return "-", "-", "-", missing
    low, high = (known[round(share * (len(known) - 1))] for share in (0.05, 0.95))
    near = sum(abs(x) <= FRAME_MS for x in known)
    return (
        signed_ms(statistics.median(known)),
        f"{signed_ms(low)} to {signed_ms(high)}",
        f"{near / len(known):.0%}",
        missing,
    )


def _left_out(facts: Facts) -> str:
    if not facts.fallen:
        return "Nothing."
    rows = [(stage, kind, reason, n) for stage, kind, reason, n in facts.fallen[:MOST_ROWS]]
    more = len(facts.fallen) - MOST_ROWS
    return _table(("stage", "", "reason", "how many"), rows) + (
        f"\n\nand {more} rarer reasons." if more > 0 else ""
    )


def _sources(facts: Facts) -> str:
    said = [f"{facts.source_s / 3600:.2f} h of video: {_counts(facts.sites)}."]
    said += [f"- {name}: {terms}" for name, terms in facts.corpora.items()]
    return "\n".join(said)


def _making(facts: Facts) -> str:
    said = [
        f"yld {facts.version} found shots, faces and their landmarks, followed faces, judged who "
        "is seen and who speaks, measured the lag of the picture, cut clips, and turned and scaled "
        "each face by its eyes and nose alone. Pictures were encoded once, from the source; sound "
        "is the source's, as one channel of 16 kHz."
    ]
    if facts.settings:
        shown = list(facts.settings.items())[:MOST_ROWS]
        said += [
            "",
            "Settings that differ from the defaults (the corpus has them all in `config.yaml`):",
            "",
        ]
        said += [f"- `{name}`: `{value}`" for name, value in shown]
        if len(facts.settings) > MOST_ROWS:
            said.append(f"- and {len(facts.settings) - MOST_ROWS} more")
    return "\n".join(said)


def _limits(facts: Facts) -> str:
    clips = facts.before.num_clips
    unknown = clips - len(facts.before.known_ms)
    silent = facts.texts.get("none", 0)
    clustered = len(facts.speaker_frames) - facts.named_speakers
    said = [
        "Offsets come from an estimator, before and after alike: its own errors stay unseen."
        + (f" Of {unknown} clips it could not say." if unknown else ""),
        "Faces are 256 px wide whatever the source had; small ones were enlarged.",
        "A face that was not found, not followed or seen from the side is missing, so what is here "
        "is not a fair draw of the sources, nor of the people in them.",
    ]
    if clustered:
        said.append(
            f"{clustered} of the speakers are groups of faces that look alike: one may be two "
            "persons, and two may be one."
        )
    if silent:
        said.append(f"{silent} of {clips} clips have no text.")
    if not facts.named_speakers and clips:
        said.append("Nobody was asked who is shown; language, age and origin are not known.")
    return "\n".join(f"- {line}" for line in said)


def _length(frames: float) -> str:
    """In the unit that reads best."""
    seconds = float(seconds_of(1)) * frames
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.1f} s"


def _counts(counts: Mapping[str, int]) -> str:
    rows = sorted(counts.items(), key=lambda kv: (-kv[1], kv[0]))
    return ", ".join(f"{name} {count}" for name, count in rows) or "none"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(c) for c in line) + " |" for line in lines)


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
