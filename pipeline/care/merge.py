"""`yld merge A B --out C`: two corpora as one that can be built on.

The first one's parts and speakers stay, and its rule divides what the second one adds: as if B had
been appended to A. A person of B whose face is near one of A's is that person. What either took out
stays out of both. Ledgers, side files and media come along, so that a build of C goes on from what
both have done. No stage runs.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from manifests import records as rec
from manifests import splits
from manifests.corpus import Corpus
from manifests.files import atomic_path, write_atomic
from manifests.plain_words import read_json
from manifests.schema import TABLES, write_table
from pipeline.build.described import Told, describe
from pipeline.build.gone import Gone, begun, gone_of
from pipeline.build.published import Published
from pipeline.build.published import read as read_published
from pipeline.build.published import write as write_published
from pipeline.build.said import Said, said_of
from pipeline.build.taking_out import kept_results, sentence_of, status_without
from pipeline.care.dedup import tracks_by_speaker
from pipeline.care.likeness import config_of
from pipeline.care.merged_shards import From, write_shards
from pipeline.config.settings import flat
from pipeline.corpus import marks
from pipeline.run.entry import decode
from pipeline.run.ledger import Ledger
from pipeline.storage import removed as record
from pipeline.storage.lock import CorpusLock
from pipeline.storage.own_folder import claim, fixed_names, refuse_inside
from stages.backends.registry import distance_scale
from stages.corpus import people

JOURNAL = "merging.json"
FREE = ("workers.", "expand.", "download.", "splits.", "shards.")
"""Settings that may differ: who works, what is fetched; parts and shards are A's."""
STAY = frozenset({"requests", "hints", "expanded", "sources"})
"""Tables in which a video that both have keeps the rows of both: where it came from."""
LEDGER = "ledger"


@dataclass
class Merged:
    """What became of two corpora."""

    clips: tuple[int, int] = (0, 0)
    """From A and from B."""
    twice: int = 0
    """Videos that both have: A's clips of them stay."""
    kept_out: int = 0
    """Videos of one that the other had removed."""
    joined: list[tuple[str, str, float]] = field(default_factory=list)
    """Speaker of B, who that is of A, and their distance over the limit."""
    alike: list[tuple[str, str, float]] = field(default_factory=list)
    """The same of persons whom corpora name differently: they stay apart."""
    moved: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Clips by the part that they had and the one they have."""
    left_out: int = 0
    """Clips that A's rule has no part for."""
    sentence: str = ""


class MergeError(ValueError):
    """The two cannot be one; the message says why and what would help."""


@dataclass
class _Side:
    """One of the two."""

    corpus: Corpus
    published: Published
    gone: Gone = field(default_factory=Gone)
    """What does not come along."""
    skipped: frozenset[str] = frozenset()
    """Videos that the other has: only where they came from comes along."""
    names: dict[str, str] = field(default_factory=dict)
    """Speakers with another name in C."""

    @property
    def root(self) -> Path:
        return self.corpus.root

    @property
    def work(self) -> Path:
        return self.corpus.root / "work"

    def rows(self, table: str) -> Iterator[Any]:
        """Records that come along."""
        for row in self.corpus.rows(table):
            if self.gone.has_row(row):
                continue
            if table not in STAY and row.get("video_id") in self.skipped:
                continue
            if row.get("speaker_id") in self.names:
                row = row | {"speaker_id": self.names[row["speaker_id"]]}
            yield decode(TABLES[table], row)


def merge(first: Path, second: Path, out: Path, *, anew: bool = False) -> Merged:
    """Write C to `out`, a new folder or one that this command began. `anew`: all is divided again.

    Raises NotACorpusError, MergeError, NotOursError, EmptySplitError, before C is published.
    """
    a, b = _side(first), _side(second)
    for one in (first, second):
        refuse_inside(one, out)
    _refuse_other_settings(a, b)
    done = Merged()
    _leave_out(a, b, done)
    _join_speakers(a, b, done)
    if (out / "manifests").is_dir() and not (out / "work" / JOURNAL).exists():
        raise MergeError(f"{out} holds a corpus already; name a new folder")
    claim(out, "corpus", fixed_names())
    with CorpusLock(out / "work"):
        write_atomic(out / "work" / JOURNAL, json.dumps([str(first), str(second)]))
        (out / "work" / "published.json").unlink(missing_ok=True)
        _work(a, b, out / "work")
        _publish(a, b, out, done, anew=anew)
        (out / "work" / JOURNAL).unlink()
    return done


def _side(root: Path) -> _Side:
    corpus = Corpus(root)
    published = read_published(root / "work")
    if published is None or not (root / "work" / LEDGER).is_dir():
        raise MergeError(
            f"{root} has no finished work beside it (work/published.json, work/ledger): merge the "
            "folder that `yld build` made, not a copy of what it published"
        )
    if begun(root / "work") is not None:
        raise MergeError(f"a removal of {root} was stopped; `yld remove {root}` completes it")
    if not (root / "SHA256SUMS").exists():
        raise MergeError(f"{root} is not sealed: the same `yld build` again finishes it")
    return _Side(corpus, published)


def _refuse_other_settings(a: _Side, b: _Side) -> None:
    one, two = (dict(flat(_yaml(side.root))) for side in (a, b))
    other = [
        f"{name}: {one.get(name)} and {two.get(name)}"
        for name in sorted(one.keys() | two.keys())
        if one.get(name) != two.get(name) and not name.startswith(FREE) and "device" not in name
    ]
    kinds = [sorted({r["embedder"] for r in s.corpus.rows("identities")}) for s in (a, b)]
    if all(kinds) and kinds[0] != kinds[1]:
        other.append(f"embeddings of {', '.join(kinds[0])} and of {', '.join(kinds[1])}")
    if other:
        shown = "\n  ".join(other)
        raise MergeError(
            f"{a.root} and {b.root} were not built alike:\n  {shown}\nBuild one of them again with "
            f"the other's settings (`yld build --config {a.root}/config.yaml --out {b.root}`)"
        )


def _yaml(root: Path) -> dict[str, Any]:
    try:
        told = yaml.safe_load((root / "config.yaml").read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError):
        raise MergeError(f"{root} has no config.yaml that can be read") from None
    return told if isinstance(told, dict) else {}


def _leave_out(a: _Side, b: _Side, done: Merged) -> None:
    """What either has removed goes from the other; of what both have A's stays."""
    for side, other in ((a, b), (b, a)):
        side.gone = _kept_out(side.corpus, record.read(other.work))
        done.kept_out += len(side.gone.videos)
    have = {r["video_id"]: r["sha256"] for r in a.corpus.rows("sources") if not a.gone.has_row(r)}
    bytes_there = set(have.values())
    again = {
        r["source_id"]
        for r in b.corpus.rows("sources")
        if r["video_id"] not in have and r["sha256"] in bytes_there
    }
    if again:
        b.gone = gone_of(b.corpus, b.gone.requests, b.gone.sources | again, b.gone.videos)
    b.skipped = frozenset(r["video_id"] for r in b.corpus.rows("sources") if r["video_id"] in have)
    done.twice = len(b.skipped) + len(again)


def _kept_out(corpus: Corpus, removed: record.Removed) -> Gone:
    """What of a corpus another one has removed: by address, bytes, name of the speaker, or face."""
    if not removed:
        return Gone()
    found: dict[str, set[str]] = {}
    for table, key in (
        ("requests", "request_id"),
        ("expanded", "source_id"),
        ("sources", "source_id"),
        ("identities", "video_id"),
    ):
        rows = (r for r in corpus.rows(table) if removed.holds(decode(TABLES[table], r)))
        found.setdefault(key, set()).update(r[key] for r in rows)
    samples = corpus.rows("samples")
    names = {n for n in {r["speaker_id"] for r in samples} if removed.has("speaker", n)}
    found["video_id"] |= {r["video_id"] for r in samples if r["speaker_id"] in names}
    return gone_of(corpus, found["request_id"], found["source_id"], found["video_id"])


def _join_speakers(a: _Side, b: _Side, done: Merged) -> None:
    """Unnamed speakers of B get the name of A's nearest within the limit, the nearest first."""
    left, right = tracks_by_speaker(a.corpus), tracks_by_speaker(b.corpus)
    limit = config_of(a.corpus).speakers.distance
    near = []
    for (name, kind), tracks in right.items():
        for (known, other), theirs in left.items():
            if kind == other and known != name:
                distance = people.mean_distance(tracks, theirs) / distance_scale(kind)
                if distance <= limit:
                    near.append((round(distance / limit, 3), name, known))
    for ratio, name, known in sorted(near):
        if name in b.names:
            continue
        if is_named(name):
            done.alike.append((name, known, ratio))
        else:
            b.names[name] = known
            done.joined.append((name, known, ratio))


def is_named(speaker: str) -> bool:
    """Whether a corpus named the speaker; others are called by a hash."""
    return not speaker.startswith("spk-")


# -- below work ----------------------------------------------------------------------------------


def _work(a: _Side, b: _Side, work: Path) -> None:
    for path in (work / LEDGER).glob("entries.db*"):  # of a run that was stopped
        path.unlink()
    ledger = Ledger(work / LEDGER)
    for side in (a, b):
        _entries(side, ledger)
        _side_files(side, work)
    ledger.close()
    for name in ("requests.json", "hints.json"):
        rows: dict[str, Any] = {}
        for side in (a, b):
            if (side.work / name).exists():
                for row in read_json(side.work / name):
                    if not side.gone.has_row(row):
                        key = row.get("hint_id") or row["request_id"]
                        rows.setdefault(key, row)
        if rows or name == "requests.json":
            write_atomic(work / name, json.dumps(list(rows.values()), indent=1))
    marked = {
        clip: mark
        for side in (b, a)
        for clip, mark in marks.read(side.work).items()
        if not side.gone.has(clip)
    }
    if marked:
        marks.write(work, marked)
    both = record.together(record.read(a.work), record.read(b.work))
    if both:
        both.write(work)


def _entries(side: _Side, ledger: Ledger) -> None:
    source = Ledger(side.work / LEDGER)
    for row in source.rows():
        try:
            entry = json.loads(row.text)
            kept = kept_results(side.gone, row.unit, entry["results"])
            if kept is None:
                continue
            text = row.text if kept == entry["results"] else json.dumps(entry | {"results": kept})
            ledger.adopt(text)
        except (ValueError, KeyError, TypeError):
            continue  # damaged: it counts as not done
    source.close()


def _side_files(side: _Side, work: Path) -> None:
    """Media, faces, tracks and clips; A's, which come first, where both have one."""
    for path in sorted(side.work.glob("*/**/*")):
        name = path.relative_to(side.work)
        if name.parts[0] in (LEDGER, "tmp", "writing", "download", "published"):
            continue
        is_gone = side.gone.has_file(path.name) or name.as_posix() in side.gone.files
        if path.is_symlink() or not path.is_file() or is_gone or (work / name).exists():
            continue
        with atomic_path(work / name) as temporary:
            shutil.copyfile(path, temporary)


# -- what is published ---------------------------------------------------------------------------


def _publish(a: _Side, b: _Side, out: Path, done: Merged, *, anew: bool) -> None:
    own, config = claim(out, "corpus"), config_of(a.corpus)
    tables = {table: _rows(a, b, table) for table in TABLES if table not in ("samples", "rejects")}
    said = said_of(tables)
    clips = {c.clip_id: c for c in tables["clips"]}
    videos = {v.video_id: v for v in tables["videos"]}
    samples = [(a, s) for s in a.rows("samples")] + [(b, s) for s in b.rows("samples")]
    speaker_of = {s.clip_id: s.speaker_id for _, s in samples}
    before = a.published.splits
    # Where A was too small, nothing of it is val or test yet: as where it is appended to.
    if before is None or splits.is_open(before, [s.split for s in a.rows("samples")]):
        anew = True
    rendered = [clips[s.clip_id] for _, s in samples]
    frozen = before or {}
    if anew:
        frozen = splits.freeze(config.splits, rendered, speaker_of, said.parts)
    taken: list[From] = []
    rejects: list[rec.Reject] = []
    for side, sample in samples:
        part: str | None = sample.split
        if anew or side is b:
            part = _part(frozen, clips[sample.clip_id], sample.speaker_id, videos, said)
        done.moved[sample.split, part or "none"] += part != sample.split
        if part is None:
            rejects.append(_no_part(sample))
        else:
            taken.append(From(side.root, sample, part))
    done.moved = +done.moved
    done.left_out = len(rejects)
    done.clips = (
        sum(f.root == a.root for f in taken),
        sum(f.root == b.root for f in taken),
    )
    rows = write_shards(own, taken, config.shards, None if anew else a.root)
    tables["samples"] = rows
    fell = [*_rows(a, b, "rejects"), *rejects]
    tables["rejects"] = sorted(fell, key=lambda r: (r.stage, r.item_id))
    parts = [f"manifests/{table}/part-000000.parquet" for table in TABLES]
    own.about_to_write([*parts, *fixed_names()])
    for table, kind in TABLES.items():
        write_table(out / f"manifests/{table}/part-000000.parquet", kind, tables[table])
    done.sentence = sentence_of(dict(frozen), [s.split for s in rows])
    left_out = [
        *(c for side in (a, b) for c in side.published.left_out if not side.gone.has(c)),
        *(r.item_id for r in rejects),
    ]
    write_atomic(out / "config.yaml", (a.root / "config.yaml").read_text(encoding="utf-8"))
    status = _status(a, b)
    told = Told(out.name, rows, tables["sources"], frozen, done.sentence, left_out, status, parts)
    describe(own, told)
    own.wrote([*parts, *fixed_names()])
    _remember(a, b, out, rows, tables["speakers"], frozen, left_out)
    _report(out)


def _rows(a: _Side, b: _Side, table: str) -> list[Any]:
    """A's and B's, each record once, in the order of a build."""
    if table in ("rejects", "failures"):
        fell = {(r.stage, r.item_id): r for side in (b, a) for r in side.rows(table)}
        return [fell[key] for key in sorted(fell)]
    both = {rec.record_id(r): r for side in (b, a) for r in side.rows(table)}
    return [both[key] for key in sorted(both)]


def _part(
    frozen: Mapping[str, Any],
    clip: rec.Clip,
    speaker: str,
    videos: Mapping[str, rec.Video],
    said: Said,
) -> str | None:
    official, names = said.parts.get(clip.clip_id), said.names.get(clip.video_id, ())
    return splits.assign(dict(frozen), clip, speaker, videos[clip.video_id], official, names)


def _no_part(sample: rec.Sample) -> rec.Reject:
    detail = "the rule of the corpus that it was merged into has no part for it"
    return rec.Reject(
        "between_splits", None, None, detail, "shards", sample.clip_id, sample.video_id
    )


def _remember(
    a: _Side,
    b: _Side,
    out: Path,
    rows: Sequence[rec.Sample],
    speakers: Sequence[rec.Speaker],
    frozen: Mapping[str, Any],
    left_out: Sequence[str],
) -> None:
    prints = {
        s.clip_id: p
        for side in (b, a)
        for s, p in zip(side.published.samples, side.published.prints, strict=True)
    }
    now = Published(
        a.published.recipe,
        list(rows),
        [prints[s.clip_id] for s in rows],
        list(speakers),
        dict(frozen),
        list(left_out),
        {},
        [c for side in (a, b) for c in side.published.marked if not side.gone.has(c)],
    )
    write_published(out / "work", now, None)


def _status(a: _Side, b: _Side) -> list[dict[str, Any]]:
    """The funnels of both together; costs a second of video are not known of the two."""
    whole = gone_of(b.corpus, b.gone.requests, b.gone.sources, b.gone.videos | b.skipped)
    rows = [status_without(a.root, a.gone), status_without(b.root, whole)]
    by_stage: dict[str, dict[str, Any]] = {}
    for row in (row for side in rows for row in side):
        before = by_stage.get(row["stage"])
        by_stage[row["stage"]] = row if before is None else _sum(before, row)
    return list(by_stage.values())


def _sum(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for name, value in one.items():
        other = two.get(name)
        if not isinstance(value, (int, float)) or not isinstance(other, (int, float)):
            made[name] = value if isinstance(value, str) else None
        elif name == "peak_rss_mb":
            made[name] = max(value, other)
        else:
            made[name] = None if "_per_" in name else round(value + other, 2)
    return made


def _report(out: Path) -> None:
    from pipeline.corpus.report import write_report

    own = claim(out, "corpus")
    own.about_to_write(["report.html"])
    write_report(Corpus(out))
    own.wrote(["report.html"])
