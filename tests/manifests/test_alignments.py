"""GRID's alignments and the text files of LRS2 and LRS3."""

from __future__ import annotations

import pytest

from manifests.text.alignments import is_lrs, parse_grid, parse_lrs
from manifests.text.spoken import TranscriptError, decoded

GRID = (
    "0 23750 sil\n23750 29500 bin\n29500 34000 blue\n34000 35500 at\n35500 41000 f\n"
    "41000 47250 two\n47250 53000 sp\n53000 74500 now\n"
)
LRS3 = """Text:  SO THANK YOU
Ref:  00j9bKdiOjk
Conf:  5

FRAME  X  Y  W  H
000113  0.401  0.142  0.125  0.219
000114  0.401  0.142  0.125  0.219

WORD START END ASDSCORE
SO 0.10 0.24 5.4
{NS} 0.24 0.30 1.0
THANK 0.30 0.555 5.1
YOU 0.56 0.7 6.0
"""


def rows(transcript):
    return [(s.text, s.start_us, s.end_us) for s in transcript.spans]


def test_grid_counts_in_25000ths_of_a_second_of_the_sound():
    got = parse_grid(GRID)
    assert rows(got)[0] == ("bin", 950_000, 1_180_000)
    assert [s.text for s in got.spans] == ["bin", "blue", "at", "f", "two", "now"]
    assert got.counts_from == "sound" and all(s.is_word for s in got.spans)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0 100 bin\n50 60 blue\n",
        "0 100\n",
        "0 100 bin blue\n",
        "0.1 0.2 bin\n",
        "9 1 bin\n",
        "-5 1 bin\n",
        "٣ 10 bin\n",
    ],
)
def test_what_is_no_grid_alignment_says_so(text):
    with pytest.raises(TranscriptError, match=r"\.align"):
        parse_grid(text)


def test_lrs_words_have_seconds():
    assert is_lrs(LRS3)
    assert rows(parse_lrs(LRS3)) == [
        ("SO", 100_000, 240_000),
        ("THANK", 300_000, 555_000),
        ("YOU", 560_000, 700_000),
    ]


def test_an_lrs_sentence_without_word_times_lasts_as_long_as_the_recording():
    text = "Text:  WHEN THERE ISN'T MUCH\nConf:  5\n"
    (span,) = parse_lrs(text).spans
    assert is_lrs(text)
    assert (span.text, span.end_us, span.is_word) == ("WHEN THERE ISN'T MUCH", None, False)


@pytest.mark.parametrize(
    "text",
    ["", "hello\n", "Text: a note of mine\n", "Notes\nText: X\nConf: 5\n", "Conf: 5\nRef: x\n"],
)
def test_other_text_files_are_no_transcripts(text):
    assert not is_lrs(text)


@pytest.mark.parametrize("row", ["SO 0.1", "SO now 0.2 1", "SO 0.3 0.2 1", "SO 1e9 2e9 1"])
def test_a_damaged_lrs_table_says_where(row):
    with pytest.raises(TranscriptError, match="line 4"):
        parse_lrs(f"Text: SO\nConf: 1\nWORD START END ASDSCORE\n{row}\n")


def test_files_of_other_encodings():
    assert decoded("\ufeffa\r\nb".encode(), ".srt") == "a\nb"
    assert decoded("é".encode("utf-16"), ".srt") == "é"
    for content in (b"\xff\xfe\x00", "é".encode("latin-1")):
        with pytest.raises(TranscriptError, match="UTF-8"):
            decoded(content, ".srt")
    with pytest.raises(TranscriptError, match="line 2: 100001 characters"):
        decoded(b"a\n" + b"x" * 100_001, ".srt")
