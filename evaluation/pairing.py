"""Which files belong together: by name, below two folders."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet

from evaluation.metrics.recognition import normalise
from evaluation.records import Utterance
from manifests import walk
from manifests.paths import as_text
from manifests.plain_words import read_json, read_text


def pair_folders(
    reference: Path,
    hypothesis: Path,
    video: Path | None = None,
    text: Path | None = None,
    speakers: Path | None = None,
) -> tuple[list[Utterance], list[str]]:
    """Utterances in order of name, and the names found only among the hypotheses.

    A name is the path below the folder without its suffix. A reference without a hypothesis is
    an utterance all the same (its `hypothesis` is empty): it counts against coverage. The
    speaker is the one given in `speakers`, else the folder an utterance lies in. Raises
    ValueError where no name pairs, or one folder has a name twice.
    """
    references, hypotheses = media_files(reference), media_files(hypothesis)
    if not references.keys() & hypotheses.keys():
        raise ValueError(
            f"no file of {hypothesis} ({len(hypotheses)} media files) has the name of one of "
            f"{reference} ({len(references)})"
        )
    videos = media_files(video, with_sound=False) if video else {}
    texts = read_texts(text) if text else {}
    given = dict(_lines(speakers)) if speakers else {}
    found = [
        Utterance(
            name,
            str(path),
            str(hypotheses.get(name, "")),
            str(videos[name]) if name in videos else None,
            texts.get(name, texts.get(Path(name).name)),
            given.get(name, str(Path(name).parent) if "/" in name else None),
        )
        for name, path in sorted(references.items())
    ]
    return found, sorted(hypotheses.keys() - references.keys())


def media_files(folder: Path, with_sound: bool = True) -> dict[str, Path]:
    """Name to path of every media file below a folder (of every video, unless `with_sound`).

    What is passed over is told on stderr. Raises ValueError for a name twice.
    """
    found: dict[str, Path] = {}
    media = walk.find_media(folder, with_sound)
    walk.tell(media.lines())
    for path in media.files:
        name = as_text(path.relative_to(folder).with_suffix("").as_posix())
        if name in found:
            raise ValueError(f"{folder} has {name} twice: {found[name].name} and {path.name}")
        found[name] = path.resolve()
    return found


def read_texts(path: Path) -> dict[str, str]:
    """Name to text: JSON object, lines of `name text`, a folder of GRID's .align files, or a
    corpus of ours, whose names are the keys of its samples."""
    if (path / "manifests" / "clips").is_dir():
        try:
            rows = parquet.read_table(path / "manifests" / "clips", columns=["clip_id", "text"])
        except (pa.ArrowException, OSError) as error:
            raise ValueError(
                f"{path} has no table of clips that can be read; run `yld verify "
                f"{path}` ({' '.join(str(error).split())[:200]})"
            ) from None
        return {r["clip_id"]: r["text"] for r in rows.to_pylist() if r["text"]}
    if path.is_dir():
        return {
            as_text(align.relative_to(path).with_suffix("").as_posix()): grid_text(align)
            for align in walk.walk(path).files
            if align.suffix == ".align"
        }
    if path.suffix == ".json":
        content = read_json(path)
        if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
            raise ValueError(f"{path} is no object of texts by name")
        return content
    return dict(_lines(path))


def grid_text(path: Path) -> str:
    """The words of a GRID alignment (lines of `start end word`), silences dropped."""
    words = [line.split()[2] for line in read_text(path).splitlines() if len(line.split()) == 3]
    return normalise(" ".join(words))


def _lines(path: Path) -> list[tuple[str, str]]:
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.strip().replace("\t", " ").partition(" ")
        if not rest.strip():
            raise ValueError(f"{path}:{number}: no text after the name {name}")
        pairs.append((name, rest.strip()))
    return pairs
