"""The measured tables of docs/evaluation.md, from GRID clips of one speaker.

    python tools/evaluation_tables.py FOLDER_OF_CLIPS [table3] [offgrid] [recognisers] [adapted]

The folder holds NAME.mpg and align/NAME.align.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from evaluation.audio import decode_sound
from evaluation.metrics import recognition
from evaluation.metrics.alignment import SEARCH_MS, apply_shift, find_shift
from evaluation.metrics.intelligibility import estoi, stoi
from evaluation.metrics.mcd import mcd
from evaluation.metrics.recogniser_adaptation import adapt
from evaluation.pairing import read_texts
from evaluation.records import Counted
from evaluation.statistics import cluster_interval

MARGIN = SEARCH_MS * 16
NUM_CLIPS = 20


def table3(folder: Path) -> None:
    """Niu and Mak, Table 3: one clip against itself, delayed."""
    sound = decode_sound(folder / "bbaf2n.mpg")
    print("| delay | STOI | ESTOI | MCD |\n| --- | --- | --- | --- |")
    for delay_ms in (0, 4, 8, 12):
        late = np.concatenate([np.zeros(delay_ms * 16, sound.dtype), sound])[: len(sound)]
        print(
            f"| {delay_ms} ms | {stoi(sound, late):.4f} | {estoi(sound, late):.4f} "
            f"| {mcd(sound, late):.3f} |"
        )


def offgrid(folder: Path) -> None:
    """What alignment on a grid of 10 ms loses: mean over clips of aligned minus unshifted, over
    the same span of the reference, for a hypothesis with noise at 20 dB."""
    names = [path.stem for path in sorted(folder.glob("*.mpg"))[: NUM_CLIPS + 1]]
    sounds = [decode_sound(folder / f"{name}.mpg").astype(np.float64) for name in names]
    print("| late by | shift found | STOI | ESTOI | MCD |\n| --- | --- | --- | --- | --- |")
    for late_ms in (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 104):
        rows = [
            _loss(np.concatenate(two), late_ms, seed)
            for seed, two in enumerate(zip(sounds, sounds[1:], strict=False))
        ]
        found = sorted({row[0] for row in rows})
        lost = np.mean([row[1:] for row in rows], axis=0)
        shifts = ", ".join(f"{s:+d}" for s in found)
        print(
            f"| {late_ms} ms | {shifts} ms | {lost[0]:+.4f} | {lost[1]:+.4f} | {lost[2]:+.2f} |",
            flush=True,
        )


def _loss(sound: np.ndarray, late_ms: int, seed: int) -> tuple[int, float, float, float]:
    noise = np.random.default_rng(seed).standard_normal(len(sound))
    degraded = sound + 0.1 * np.sqrt(np.mean(sound**2)) * noise
    end, late = len(sound) - MARGIN, late_ms * 16
    reference, hypothesis = sound[MARGIN:end], degraded[MARGIN - late : end - late]
    shift = find_shift(reference, hypothesis).shift_ms
    aligned = apply_shift(reference, hypothesis, shift)
    start, stop = max(0, shift * 16), min(len(reference), len(reference) + shift * 16)
    plain = reference[start:stop], degraded[MARGIN:end][start:stop]
    return (
        shift,
        stoi(*aligned) - stoi(*plain),
        estoi(*aligned) - estoi(*plain),
        mcd(*aligned) - mcd(*plain),
    )


def recognisers(folder: Path) -> None:
    """Error rates on ground truth, pooled, with an interval over clips."""
    names = [path.stem for path in sorted(folder.glob("*.mpg"))]
    texts = read_texts(folder / "align")
    print("| recogniser | WER | 95 % | edits | words |\n| --- | --- | --- | --- | --- |")
    for title, score in (
        ("GRID grammar", recognition.grid_wer),
        ("general model", recognition.general_wer),
    ):
        found = [score(texts[n], decode_sound(folder / f"{n}.mpg")) for n in names]
        _rates(title, names, found)


def adapted(folder: Path) -> None:
    """The adapted recogniser, each half of the clips with a model adapted on the other half."""
    names = [path.stem for path in sorted(folder.glob("*.mpg"))]
    texts = read_texts(folder / "align")
    sounds = {n: decode_sound(folder / f"{n}.mpg") for n in names}
    found = {}
    for first in (0, 1):
        with tempfile.TemporaryDirectory() as made:
            model = Path(made, "model")
            adapt(((texts[n], sounds[n]) for n in names[first::2]), model)
            decoder = recognition.grid_decoder(hmm=str(model))
            for name in names[1 - first :: 2]:
                recognition.hear(decoder, sounds[name])
                heard = recognition.words_of(decoder)
                found[name] = recognition.error_rate(texts[name].split(), heard.split(), heard)
    _rates("GRID grammar, adapted, two folds", names, [found[n] for n in names])


def _rates(title: str, names: list[str], found: list[Counted]) -> None:
    edits, words = (np.array([getattr(f, k) for f in found], float) for k in ("errors", "length"))
    low, high = cluster_interval(edits, words, names)
    print(
        f"| {title} | {edits.sum() / words.sum():.2%} | {low:.1%} to {high:.1%} "
        f"| {edits.sum():.0f} | {words.sum():.0f} |",
        flush=True,
    )


if __name__ == "__main__":
    tables = {f.__name__: f for f in (table3, offgrid, recognisers, adapted)}
    for name in sys.argv[2:] or tables:
        print(f"\n{name}")
        tables[name](Path(sys.argv[1]))
