"""`yld dedup`: clips that are one recording, videos that are one file, and, between corpora,
persons that are in both; and which of them stand in training here and in judging there.

A pair of clips is one recording where the sound agrees (`sound_print`) and, at the lag that the
sound tells, the mouth moves as in the other: two faces of one conversation share the sound, a
dubbed film the picture.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from manifests.clock import SAMPLES_PER_FRAME
from manifests.corpus import Corpus
from manifests.shards import SampleIndex, ShardError
from pipeline.care.likeness import config_of
from pipeline.care.sound_print import HOP, Agreement, Print, agreements, print_of
from pipeline.corpus import marks
from pipeline.run.steps import Steps
from pipeline.storage.lock import CorpusLock
from stages.backends.registry import distance_scale
from stages.corpus import people

MOUTH = slice(48, 68)
STEP_FRAMES = 2
SAME_MOUTH = 0.7
"""Least correlation of the mouths' movements of one recording: copies came to 0.84 and more, other
sentences of one rhythm to 0.66 (docs/care.md)."""
MIN_FACE_FRAMES = 15
JUDGED = frozenset({"val", "test"})


@dataclass(frozen=True)
class Pair:
    """Two of one kind that are the same."""

    kind: str
    """clip | sound (the face is another one) | video | speaker"""
    a: str
    b: str
    a_parts: tuple[str, ...]
    b_parts: tuple[str, ...]
    similarity: float
    """Of clips the share of equal bits of the sound, of speakers 1 less the distance over the
    limit, of videos 1."""
    face: float | None = None
    """Correlation of the mouths' movements."""
    lag_s: float | None = None
    """The second begins so long after the first."""
    overlap_s: float | None = None

    @property
    def leaks(self) -> bool:
        """Whether one stands in training and the other in judging."""
        a, b = set(self.a_parts), set(self.b_parts)
        return bool(("train" in a and b & JUDGED) or ("train" in b and a & JUDGED))

    def told(self) -> dict[str, Any]:
        """For people and JSON."""
        return {
            "kind": self.kind,
            "a": self.a,
            "b": self.b,
            "a_part": ",".join(self.a_parts),
            "b_part": ",".join(self.b_parts),
            "similarity": self.similarity,
            "face": self.face,
            "lag_s": self.lag_s,
            "overlap_s": self.overlap_s,
            "leaks": self.leaks,
        }


@dataclass
class Found:
    """What was looked at and found."""

    pairs: list[Pair] = field(default_factory=list)
    num_clips: int = 0
    damaged: list[str] = field(default_factory=list)
    """Clips that could not be read, each with its cause."""
    not_compared: str | None = None
    """Why no speakers were compared."""
    rejected: list[str] = field(default_factory=list)
    """Clips that were marked."""


@dataclass(frozen=True)
class _Clip:
    row: dict[str, Any]
    sound: Print
    mouths: np.ndarray
    """float32 [T, 20, 2]: less their centre in each frame."""
    face_px: float


def dedup(roots: Sequence[Path]) -> Found:
    """Within one corpus, or between two and more. Raises NotACorpusError."""
    corpora = [Corpus(root) for root in roots]
    found = Found()
    clips: list[_Clip] = []
    groups: list[int] = []
    for number, corpus in enumerate(corpora):
        for clip in _clips(corpus, found):
            clips.append(clip)
            groups.append(number if len(corpora) > 1 else -1)
    found.num_clips = len(clips)
    for agreement in agreements([c.sound for c in clips], groups):
        found.pairs.append(_pair(clips, agreement))
    found.pairs += _videos(corpora)
    if len(corpora) > 1:
        for one in range(len(corpora)):
            for two in range(one + 1, len(corpora)):
                found.pairs += _speakers(corpora[one], corpora[two], found)
    found.pairs.sort(key=lambda p: (not p.leaks, p.kind, -p.similarity, p.a, p.b))
    return found


def reject(root: Path, found: Found) -> None:
    """Mark of each clip that is there twice all but one: the longest, of these the one with the
    largest face, stays."""
    corpus = Corpus(root)
    size = {r["track_id"]: r["median_box_px"] for r in corpus.rows("tracks")}
    rank = {
        r["clip_id"]: (-r["num_frames"], -size.get(r["track_id"], 0.0), r["clip_id"])
        for r in corpus.rows("clips")
    }
    twin: dict[str, dict[str, Pair]] = defaultdict(dict)
    for pair in found.pairs:
        if pair.kind == "clip":
            twin[pair.a][pair.b] = twin[pair.b][pair.a] = pair
    kept: set[str] = set()
    with CorpusLock(root / "work"):
        marked = marks.read(root / "work")
        for clip in sorted(twin, key=lambda c: rank[c]):
            if clip in marked:
                continue
            of = next((k for k in sorted(twin[clip]) if k in kept), None)
            if of is None:
                kept.add(clip)
                continue
            note = f"the same recording as {of} (sound {twin[clip][of].similarity:.2f})"
            marked[clip] = marks.make(marks.DUPLICATE, note)
            found.rejected.append(clip)
        if found.rejected:
            marks.write(root / "work", marked)


def _clips(corpus: Corpus, found: Found) -> Iterable[_Clip]:
    rows = {r["clip_id"]: r for r in corpus.rows("samples")}
    track_of = {r["clip_id"]: r["track_id"] for r in corpus.rows("clips")}
    size = {r["track_id"]: r["median_box_px"] for r in corpus.rows("tracks")}
    with Steps("dedup", len(rows), "clips") as steps:
        for shard in sorted({r["shard"] for r in rows.values()}):
            steps.at(shard)
            for sample in SampleIndex.of(corpus.root / shard):
                row = rows.get(sample.key)
                if row is None:
                    continue
                try:
                    mouths = sample.landmarks[:, MOUTH]
                    print_ = print_of(sample.sound)
                except ShardError as error:
                    found.damaged.append(str(error))
                    continue
                shape = mouths - mouths.mean(1, keepdims=True)
                face_px = size.get(track_of.get(sample.key, ""), 0.0)
                yield _Clip(row, print_, shape.astype(np.float32), face_px)
                steps.done()


def _pair(clips: Sequence[_Clip], agreement: Agreement) -> Pair:
    one, two = clips[agreement.first], clips[agreement.second]
    lag_s = agreement.lag * HOP / 16_000
    face = mouth_correlation(one.mouths, two.mouths, round(agreement.lag * HOP / SAMPLES_PER_FRAME))
    is_same = face is not None and face >= SAME_MOUTH
    return Pair(
        "clip" if is_same else "sound",
        one.row["clip_id"],
        two.row["clip_id"],
        (one.row["split"],),
        (two.row["split"],),
        agreement.bits,
        None if face is None else round(face, 3),
        round(lag_s, 2),
        round(agreement.frames * HOP / 16_000, 2),
    )


def mouth_correlation(one: np.ndarray, two: np.ndarray, lag: int) -> float | None:
    """Correlation over time and points of how two mouths [T, 20, 2] change within 80 ms, where the
    second begins `lag` frames after the first, at the best of one frame around; None where less
    than 0.6 s overlaps or a mouth does not move."""
    one, two = (m[STEP_FRAMES:] - m[:-STEP_FRAMES] for m in (one, two))
    found = [_correlation(one, two, lag + d) for d in (-1, 0, 1)]
    return max((f for f in found if f is not None), default=None)


def _correlation(one: np.ndarray, two: np.ndarray, lag: int) -> float | None:
    low, high = max(0, lag), min(len(one), len(two) + lag)
    if high - low < MIN_FACE_FRAMES:
        return None
    a, b = one[low:high], two[low - lag : high - lag]
    a, b = a - a.mean(0), b - b.mean(0)
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum()) / size if size > 0 else None


def _videos(corpora: Sequence[Corpus]) -> list[Pair]:
    """Videos with the same bytes: under two links in one corpus, or in two corpora."""
    parts = [_parts(c, "video_id") for c in corpora]
    by_content: dict[str, dict[tuple[int, str], None]] = defaultdict(dict)
    for number, corpus in enumerate(corpora):
        for row in corpus.rows("sources"):
            by_content[row["sha256"]].setdefault((number, row["video_id"]))
    return [
        Pair("video", a, b, _of(parts[i], a), _of(parts[j], b), 1.0)
        for same in by_content.values()
        for at, (i, a) in enumerate(same)
        for j, b in list(same)[at + 1 :]
        if len(corpora) == 1 or i != j
    ]


def _parts(corpus: Corpus, key: str) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for row in corpus.rows("samples"):
        found[row[key]].add(row["split"])
    return found


def _of(parts: dict[str, set[str]], name: str) -> tuple[str, ...]:
    return tuple(sorted(parts.get(name, ())))


def _speakers(one: Corpus, two: Corpus, found: Found) -> list[Pair]:
    """Persons of whom both have tracks, by mean distance, as within a corpus."""
    left, right = tracks_by_speaker(one), tracks_by_speaker(two)
    kinds = {e for _, e in left} & {e for _, e in right}
    if not kinds:
        found.not_compared = "the corpora's faces were embedded by different networks"
    parts = (_parts(one, "speaker_id"), _parts(two, "speaker_id"))
    pairs = []
    for (a, kind), mine in left.items():
        limit = config_of(one).speakers.distance * distance_scale(kind)
        for (b, theirs), others in right.items():
            if kind != theirs:
                continue
            distance = people.mean_distance(mine, others)
            if distance <= limit:
                near = round(1 - distance / limit, 3)
                pairs.append(Pair("speaker", a, b, _of(parts[0], a), _of(parts[1], b), near))
    return pairs


def tracks_by_speaker(corpus: Corpus) -> dict[tuple[str, str], np.ndarray]:
    """float64 [N, D]: the tracks' embeddings of each speaker, by embedder too."""
    speaker_of = {r["track_id"]: r["speaker_id"] for r in corpus.rows("speakers")}
    rows: dict[tuple[str, str], list[list[float]]] = defaultdict(list)
    for row in corpus.rows("identities"):
        if row["track_id"] in speaker_of:
            rows[speaker_of[row["track_id"]], row["embedder"]].append(row["embedding"])
    return {key: np.array(found) for key, found in rows.items()}
