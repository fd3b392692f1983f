"""Word and character error rates, by recognisers that are chosen by name.

`grid`: pocketsphinx with the grammar of the GRID corpus (Cooke et al. 2006: command, colour,
preposition, letter, digit, adverb). `adapted`: the same, its acoustic model moved to the corpus's
speakers by `recogniser_adaptation`. `general`: pocketsphinx with its general English model.
Whisper by size, where the package and its weights are.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from evaluation.metrics.errors import NoScore, Unavailable
from evaluation.metrics.signals import SAMPLE_RATE, check_finite, within_full_scale
from evaluation.records import Counted

GRID_SLOTS = (
    ("bin", "lay", "place", "set"),
    ("blue", "green", "red", "white"),
    ("at", "by", "in", "with"),
    tuple("abcdefghijklmnopqrstuvxyz"),  # no w: the only letter of more than one syllable
    ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    ("again", "now", "please", "soon"),
)


PRONUNCIATIONS = {
    # The dictionary is American. GRID's speakers are British; and in fluent speech the
    # preposition is weak.
    "z": ("Z EH D",),
    "r": ("AA R", "AA"),
    "o": ("OW", "AH UW"),
    "with": ("W IH TH", "W IH DH", "W IH"),
}
GRID_SEARCH = {
    # Every path of the grammar has six words: nothing has to be weighed against their number,
    # and there are too few paths for a second pass over the lattice to help.
    "lw": 0.2,
    "bestpath": False,
}
ADAPTED_MODEL = "YLD_GRID_MODEL"
"""Environment variable with the folder of a model made by `recogniser_adaptation`."""
PADDING_S = 0.2
"""Silence around the sound: clips that begin with the first word lose it otherwise."""


def grid_grammar() -> str:
    """The grammar of GRID sentences in JSGF. pocketsphinx itself allows silence and noise
    between the words."""
    slots = " ".join(f"({' | '.join(words)})" for words in GRID_SLOTS)
    return f"#JSGF V1.0;\ngrammar grid;\npublic <sentence> = {slots};\n"


def grid_dictionary() -> str:
    """Pronunciations of GRID's words: the general dictionary's, letters by their names, and
    `PRONUNCIATIONS` in place of them. Raises ImportError or OSError."""
    import pocketsphinx

    wanted = {word: word + "." if len(word) == 1 else word for slot in GRID_SLOTS for word in slot}
    entries: dict[str, list[str]] = {}
    for line in (
        Path(pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"))
        .read_text(encoding="utf-8")
        .splitlines()
    ):
        word, _, phones = line.partition(" ")
        entries.setdefault(re.sub(r"\(\d+\)$", "", word), []).append(phones.strip())
    lines = []
    for word, entry in wanted.items():
        spoken = PRONUNCIATIONS.get(word) or entries.get(entry) or entries[word]
        lines += [
            f"{word}{f'({i})' if i > 1 else ''} {phones}"
            for i, phones in enumerate(dict.fromkeys(spoken), 1)
        ]
    return "\n".join(lines) + "\n"


def edits(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Levenshtein distance with unit costs: substitutions, deletions and insertions."""
    row = list(range(len(hypothesis) + 1))
    for i, wanted in enumerate(reference, 1):
        diagonal, row[0] = row[0], i
        for j, found in enumerate(hypothesis, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (wanted != found))
    return row[-1]


def error_rate(reference: Sequence[str], hypothesis: Sequence[str], transcript: str) -> Counted:
    """Edits over the reference's length; above 1 where much is inserted. Raises NoScore for an
    empty reference, which has no rate."""
    if not reference:
        raise NoScore("the reference text is empty")
    count = edits(reference, hypothesis)
    return Counted(count / len(reference), count, len(reference), transcript)


def normalise(text: str) -> str:
    """Lower case, letters, digits and apostrophes, single spaces; `sil` and `sp` of GRID's
    alignments dropped."""
    words = re.sub(r"[^\w' ]", " ", text.lower().replace("_", " ")).split()
    return " ".join(word for word in words if word not in ("sil", "sp"))


def grid_wer(text: str, sound: np.ndarray) -> Counted:
    """Word error rate of the GRID grammar's recogniser. Sound float [N] at 16 kHz."""
    return _words(text, transcribe(sound, "grid"))


def grid_cer(text: str, sound: np.ndarray) -> Counted:
    """Character error rate; spaces count. Otherwise as `grid_wer`."""
    return _characters(text, transcribe(sound, "grid"))


def adapted_wer(text: str, sound: np.ndarray) -> Counted:
    """Word error rate of the GRID recogniser adapted to the corpus's speakers."""
    return _words(text, transcribe(sound, "adapted"))


def general_wer(text: str, sound: np.ndarray) -> Counted:
    """Word error rate of pocketsphinx's general English model."""
    return _words(text, transcribe(sound, "general"))


def general_cer(text: str, sound: np.ndarray) -> Counted:
    """Character error rate of pocketsphinx's general English model."""
    return _characters(text, transcribe(sound, "general"))


def _words(text: str, found: str) -> Counted:
    return error_rate(normalise(text).split(), normalise(found).split(), found)


def _characters(text: str, found: str) -> Counted:
    return error_rate(normalise(text), normalise(found), found)


def whisper_wer(text: str, sound: np.ndarray, size: str = "medium") -> Counted:
    """w-WER of Niu and Mak (section 4.2): Whisper's transcript, both sides through its English
    normaliser; English forced, beam 5, temperature 0. Raises NoScore."""
    try:
        from whisper.normalizers import EnglishTextNormalizer
    except ImportError:
        raise Unavailable("openai-whisper is not installed") from None
    cached = Path.home() / ".cache" / "whisper" / f"{size}.pt"
    if not cached.exists():
        raise Unavailable(f"the weights of Whisper {size} are not in {cached.parent}")
    found = _whisper(size).transcribe(
        check_finite(sound, "hypothesis").astype(np.float32),
        language="en",
        beam_size=5,
        temperature=0.0,
        condition_on_previous_text=False,
        fp16=False,
    )["text"]
    normaliser = EnglishTextNormalizer()
    return error_rate(normaliser(text).split(), normaliser(found).split(), found.strip())


@cache
def _whisper(size: str):
    import whisper

    return whisper.load_model(size, device="cpu")


def transcribe(sound: np.ndarray, recogniser: str) -> str:
    """What pocketsphinx hears: lower-case words, empty where it hears none.

    Float [N] at 16 kHz. A clip's transcript does not depend on the clips before it: the
    cepstral mean is taken over the clip. Raises Unavailable.
    """
    decoder = _decoder(recogniser)
    hear(decoder, sound)
    return words_of(decoder)


def words_of(decoder) -> str:
    """What a decoder understood last: words without fillers and numbers of pronunciations."""
    found = decoder.hyp()
    words = found.hypstr.split() if found else []
    return " ".join(re.sub(r"\(\d+\)$", "", w) for w in words if not w.startswith(("<", "[")))


def hear(decoder, sound: np.ndarray) -> None:
    """Give a decoder a whole sound, float [N] at 16 kHz, with silence around it."""
    sound = within_full_scale(np.asarray(sound, np.float64))
    sound = np.pad(sound, round(PADDING_S * SAMPLE_RATE))
    pcm = np.clip(sound * 32767, -32768, 32767).astype("<i2")
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()


@cache
def _decoder(recogniser: str):
    if recogniser == "grid":
        return grid_decoder()
    if recogniser == "adapted":
        return grid_decoder(hmm=str(adapted_model()))
    acoustic = acoustic_model()
    import pocketsphinx

    return pocketsphinx.Decoder(
        hmm=str(acoustic),
        samprate=SAMPLE_RATE,
        loglevel="FATAL",
        lm=pocketsphinx.get_model_path("en-us/en-us.lm.bin"),
        dict=pocketsphinx.get_model_path("en-us/cmudict-en-us.dict"),
    )


def grid_decoder(**settings):
    """pocketsphinx with GRID's grammar and dictionary. Raises Unavailable."""
    settings = {
        "hmm": str(acoustic_model()),
        "samprate": SAMPLE_RATE,
        "loglevel": "FATAL",
        **GRID_SEARCH,
        **settings,
    }
    import pocketsphinx

    # Grammar and dictionary can only be given as files; both are read at once.
    with tempfile.TemporaryDirectory() as folder:
        grammar, dictionary = Path(folder, "grid.gram"), Path(folder, "grid.dict")
        grammar.write_text(grid_grammar())
        dictionary.write_text(grid_dictionary())
        return pocketsphinx.Decoder(jsgf=str(grammar), dict=str(dictionary), **settings)


def acoustic_model() -> Path:
    """The folder of the model inside the package. Raises Unavailable."""
    try:
        import pocketsphinx
    except ImportError:
        raise Unavailable("pocketsphinx is not installed") from None
    return Path(pocketsphinx.get_model_path("en-us/en-us"))


def adapted_model() -> Path:
    """The folder named by the environment variable. Raises Unavailable."""
    folder = os.environ.get(ADAPTED_MODEL)
    if not folder:
        raise Unavailable("no adapted recogniser was given (--recogniser)")
    if not Path(folder, "means").is_file():
        raise Unavailable(f"{folder} holds no acoustic model")
    return Path(folder)


@cache
def adapted_hash() -> str:
    """As `model_hash`, of the adapted model. Raises Unavailable."""
    means = (adapted_model() / "means").read_bytes()
    return hashlib.sha256(model_hash().encode() + means).hexdigest()[:12]


@cache
def model_hash() -> str:
    """First 12 digits of the SHA-256 over acoustic model, GRID grammar, dictionary and search.
    Raises ImportError or OSError."""
    total = hashlib.sha256()
    for path in sorted(acoustic_model().iterdir()):
        total.update(path.read_bytes())
    total.update((grid_grammar() + grid_dictionary() + repr(GRID_SEARCH)).encode())
    return total.hexdigest()[:12]
