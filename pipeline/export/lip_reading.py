"""Forms for trainers that read lips: LRS's own layout, Auto-AVSR, AV-HuBERT."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from pathlib import Path
from typing import ClassVar

from manifests.crops import resized
from pipeline.export.clip import Clip, lines, mp4, wav, with_sound
from pipeline.export.form import Form, LeftOut, Options


class Lrs(Form):
    """`{pretrain,trainval,test}/{video}/{00001}.mp4` and `.txt` beside it, and `valid.ids`.

    Readers cut the clips of `pretrain` by the times of their words (auto_avsr `split_file`,
    av_hubert `lrs3_prepare.py`), so clips to learn from without them stand in `trainval`, beside
    those of val: `valid.ids` says which these are (`lrs3_manifest.py --valid-ids`).
    """

    name = "lrs"
    reader = (
        "LRS2 and LRS3 (Afouras et al. 2018): `Text:`, `Conf:`, `Ref:`, WORD START END ASDSCORE"
    )
    wants = "MP4s of 224 x 224 faces with sound, and what is said beside each, with word times"
    PARTS: ClassVar = {"train": "pretrain", "val": "trainval", "test": "test"}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._numbers: dict[str, int] = defaultdict(int)
        self._valid: list[str] = []

    def files(self, clip: Clip) -> dict[str, bytes]:
        _text_of(clip)
        part = self.PARTS.get(clip.split, clip.split)
        if part == "pretrain" and not _timed(clip):
            part = "trainval"
        folder = f"{part}/{clip.video}"
        self._numbers[folder] += 1
        stem = f"{folder}/{self._numbers[folder]:05d}"
        if clip.split == "val":
            self._valid.append(stem)
        face = resized(clip.pictures("face"), 224, 224)
        return {f"{stem}.mp4": with_sound(mp4(face), clip.sound), f"{stem}.txt": self._text(clip)}

    @staticmethod
    def _text(clip: Clip) -> bytes:
        rows = [f"Text:  {_text_of(clip).upper()}", "Conf:  5", f"Ref:   {clip.video}", ""]
        if words := _timed(clip):
            rows.append("WORD START END ASDSCORE")
            rows += [f"{word.upper()} {start:.2f} {end:.2f} 0.0" for word, start, end in words]
        return lines(rows)

    def lists(self) -> dict[str, bytes]:
        return {"valid.ids": lines(self._valid)}


class AutoAvsr(Form):
    """`yld/{video}/{clip}.mp4` (96 x 96 lips) and `.wav`, and `labels/yld_{split}.csv`."""

    name = "auto-avsr"
    reader = "mpc001/auto_avsr: datamodule/av_dataset.py, class AVDataset"
    wants = "MP4s of 96 x 96 lips, WAVs, and CSVs: dataset, path, frames, numbers of tokens"
    DATASET = "yld"

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._labels: dict[str, list[str]] = defaultdict(list)
        self._texts: dict[str, list[str]] = defaultdict(list)
        self._tokens = _tokens_of(options)

    def files(self, clip: Clip) -> dict[str, bytes]:
        text = _text_of(clip).upper()
        path = f"{clip.video}/{clip.key}.mp4"
        self._texts[clip.split].append(_csv_row([path, text]))
        if self._tokens is not None:
            numbers = " ".join(map(str, self._tokens(text)))
            row = [self.DATASET, path, str(clip.num_frames), numbers]
            self._labels[clip.split].append(",".join(row))
        stem = f"{self.DATASET}/{clip.video}/{clip.key}"
        return {f"{stem}.mp4": mp4(clip.pictures("lip")), f"{stem}.wav": wav(clip.sound)}

    def lists(self) -> dict[str, bytes]:
        made = {f"labels/{s}_text.csv": lines(rows) for s, rows in self._texts.items()}
        return made | {
            f"labels/{self.DATASET}_{s}.csv": lines(rows) for s, rows in self._labels.items()
        }


class AvHubert(Form):
    """`video/` and `audio/` by clip, `{train,valid,test}.tsv` and `.wrd`.

    Texts are in lower case, as `preparation/lrs3_manifest.py` writes them: its vocabularies know no
    other letters.
    """

    name = "av-hubert"
    reader = "facebookresearch/av_hubert: avhubert/hubert_dataset.py, load_audio_visual"
    wants = "MP4s of 96 x 96 lips, 16 kHz WAVs, and .tsv and .wrd lists"
    PARTS: ClassVar = {"val": "valid"}

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self._rows: dict[str, list[str]] = defaultdict(list)
        self._words: dict[str, list[str]] = defaultdict(list)

    def files(self, clip: Clip) -> dict[str, bytes]:
        text = _text_of(clip).lower()
        stem, part = f"{clip.video}/{clip.key}", self.PARTS.get(clip.split, clip.split)
        root = self.options.root
        paths = [f"{root}/video/{stem}.mp4", f"{root}/audio/{stem}.wav"]
        if any("\t" in path for path in paths):
            raise LeftOut("the export's path holds a tab, which separates columns in its lists")
        row = [stem, *paths, str(clip.num_frames), str(len(clip.sound))]
        self._rows[part].append("\t".join(row))
        self._words[part].append(text)
        return {
            f"video/{stem}.mp4": mp4(clip.pictures("lip")),
            f"audio/{stem}.wav": wav(clip.sound),
        }

    def lists(self) -> dict[str, bytes]:
        made = {f"{part}.tsv": lines(["/", *rows]) for part, rows in self._rows.items()}
        return made | {f"{part}.wrd": lines(rows) for part, rows in self._words.items()}


def spelt(text: str) -> str:
    """A text as LRS writes it: letters, digits and apostrophes. Its readers split lines at commas
    and colons, and their vocabularies have none."""
    return " ".join(re.sub(r"[^\w']+|_", " ", text).split())


def _text_of(clip: Clip) -> str:
    """What is said, spelt so. Raises LeftOut where there is none."""
    text = spelt(clip.text or "")
    if not text:
        raise LeftOut(f"no text: {clip.facts.get('text_reason') or 'not known'}")
    return text


def _timed(clip: Clip) -> list[tuple[str, float, float]]:
    """Each word, where it begins and where it ends in seconds; none where no times are known."""
    words = clip.facts.get("words") or ()
    told = ((spelt(w["word"]).replace(" ", ""), w["start_s"], w["end_s"]) for w in words)
    return [word for word in told if word[0]]


def _csv_row(cells: list[str]) -> str:
    made = io.StringIO()
    csv.writer(made, lineterminator="").writerow(cells)
    return made.getvalue()


def _tokens_of(options: Options):
    """Text -> numbers, as the trainer's own TextTransform counts them: a piece's place in its list
    of units, from 1; 1 is the unknown piece. None without a tokenizer."""
    if options.tokenizer is None:
        return None
    try:
        import sentencepiece
    except ImportError:
        raise ValueError(
            "--tokenizer needs sentencepiece (`uv pip install sentencepiece`); without it the "
            "export has the texts, to be made into numbers by the trainer's own tools"
        ) from None
    if options.units is None:
        raise ValueError("--tokenizer needs --units, the list of its pieces (*_units.txt)")
    model = sentencepiece.SentencePieceProcessor(model_file=str(options.tokenizer))
    rows = Path(options.units).read_text(encoding="utf-8").splitlines()
    numbers = {row.split()[0]: int(row.split()[-1]) for row in rows if row.strip()}

    def tokens(text: str) -> list[int]:
        unknown = numbers.get("<unk>", 1)
        return [numbers.get(piece, unknown) for piece in model.encode(text, out_type=str)]

    return tokens
