"""What is said in each clip of a corpus, as publishing finds it."""

from __future__ import annotations

import dataclasses
import itertools
import json
from array import array
from collections import defaultdict
from collections.abc import Mapping, Sequence

from manifests import records as rec
from manifests.columns import Rows, Texts, values_of
from pipeline.run.entry import digest
from pipeline.storage.work_files import WorkFiles
from stages.text.clip_text import ClipText, text_of
from stages.text.transcripts import Found as Transcript
from stages.text.transcripts import transcript_of


class ClipTexts(Rows[ClipText]):
    """The texts of clips, in their order: JSON in one buffer, and one object for each reason why
    there is none."""

    def __init__(self) -> None:
        self._numbers = array("q")
        self._told = Texts()
        self._without: list[ClipText] = []
        self._prints: list[str] = []
        self._of_reason: dict[str | None, int] = {}

    def append(self, text: ClipText) -> None:
        if text.text is not None:
            self._numbers.append(len(self._told))
            self._told.append(json.dumps(text.facts(), ensure_ascii=False))
            return
        number = self._of_reason.setdefault(text.text_reason, len(self._without))
        if number == len(self._without):
            self._without.append(text)
            self._prints.append(_print_of(text))
        self._numbers.append(-1 - number)

    def __len__(self) -> int:
        return len(self._numbers)

    def at(self, place: int) -> ClipText:
        number = self._numbers[place]
        if number < 0:
            return self._without[-1 - number]
        return ClipText(**json.loads(self._told[number]))

    def print_of(self, index: int) -> str:
        """Short, and another one for another text."""
        number = self._numbers[index]
        return self._prints[-1 - number] if number < 0 else _print_of(self[index])


def _print_of(text: ClipText) -> str:
    return digest(text)[:20]


def texts_of(
    clips: Sequence[rec.Clip],
    sources: list[rec.Fetched],
    videos: Mapping[str, rec.Video],
    files: WorkFiles,
    hints: Mapping[str, list[rec.Hint]],
) -> ClipTexts:
    """The text of every clip; `sources` are told in place what was found beside them.

    Here and not in a stage, so that a changed transcript makes no video anew, and that the same
    bytes found in two places, with a transcript in one of them, give the same text whichever
    was there first.
    """
    by_video: dict[str, list[rec.Fetched]] = defaultdict(list)
    for source in sources:
        by_video[source.video_id].append(source)
    wanted = dict.fromkeys(values_of(clips, "video_id"))
    files.bring(path for v in wanted for s in by_video[v] for path in s.caption_paths)
    of_source: dict[str, Transcript] = {}
    texts = ClipTexts()
    for video_id, group in itertools.groupby(clips, lambda clip: clip.video_id):
        found, by_source = transcript_of(by_video[video_id], videos[video_id], files.folder, hints)
        of_source |= {i: dataclasses.replace(f, transcript=None) for i, f in by_source.items()}
        for clip in group:
            texts.append(text_of(clip, videos[video_id], found))
    for index, source in enumerate(sources):
        if (has := of_source.get(source.source_id)) is not None:
            sources[index] = dataclasses.replace(
                source,
                transcript_path=has.path,
                transcript_sha256=has.sha256,
                transcript_reason=has.reason,
            )
    return texts


def with_text(clip: rec.Clip, text: ClipText) -> rec.Clip:
    """The row of a clip in the tables."""
    return dataclasses.replace(
        clip, text=text.text, text_source=text.text_source, text_reason=text.text_reason
    )
