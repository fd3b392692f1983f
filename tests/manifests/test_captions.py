"""Captions: rolling lines, inline word times, entities, and files that are none."""

from __future__ import annotations

import random

import pytest

from manifests.text.captions import parse_srt, parse_webvtt
from manifests.text.spoken import Span, Transcript, TranscriptError, plain

YOUTUBE = """WEBVTT
Kind: captions
Language: en

00:00:00.500 --> 00:00:02.040 align:start position:0%
_
bin<00:00:00.800><c> blue</c><00:00:01.100><c> at</c>

00:00:02.040 --> 00:00:02.050 align:start position:0%
bin blue at
_

00:00:02.050 --> 00:00:05.000 align:start position:0%
bin blue at
f<00:00:02.300><c> two</c><00:00:02.700><c> now</c>

00:00:05.000 --> 00:00:05.010 align:start position:0%
f two now
_

00:00:05.010 --> 00:00:05.900 align:start position:0%
f two now
again

00:00:05.900 --> 00:00:06.500 align:start position:0%
again
[Music]
""".replace("\n_\n", "\n \n")  # a line of one space, as YouTube has it


def rows(transcript):
    return [(s.text, s.start_us // 1000, s.end_us // 1000, s.is_word) for s in transcript.spans]


def test_youtubes_rolling_captions_give_every_word_once_with_its_times():
    assert rows(parse_webvtt(YOUTUBE)) == [
        ("bin", 500, 800, True),
        ("blue", 800, 1100, True),
        ("at", 1100, 2040, True),
        ("f", 2050, 2300, True),
        ("two", 2300, 2700, True),
        ("now", 2700, 3700, True),
        ("again", 5010, 5900, True),
    ]  # "now" is not held for the 2.3 s that its line is shown


def test_a_cue_without_inline_times_has_no_word_times():
    got = parse_webvtt(
        "WEBVTT - talk\n\nNOTE by hand\n\nSTYLE\n::cue { color: red }\n\n"
        "intro\n00:01.000 --> 00:02.500 line:0\n<v Ann>Bin &amp; <i>blue</i>\n"
        "at &lt;f&gt;\n\n1:00:00.000 --> 1:00:01.000\nNo.\n\n"
        "1:00:01.000 --> 1:00:02.000\nNo.\n"
    )
    assert rows(got) == [
        ("Bin & blue at <f>", 1000, 2500, False),
        ("No.", 3600_000, 3601_000, False),
        ("No.", 3601_000, 3602_000, False),
    ]  # said twice, and not a roll


def test_inline_times_of_several_words_are_times_of_the_piece():
    got = parse_webvtt("WEBVTT\n\n00:00.000 --> 00:02.000\nbin blue <00:01.000>now\nuntimed line\n")
    assert rows(got) == [
        ("bin blue", 0, 1000, False),
        ("untimed line", 0, 2000, False),
        ("now", 1000, 2000, True),
    ]


def test_inline_times_outside_their_cue_are_not_believed():
    got = parse_webvtt("WEBVTT\n\n00:05.000 --> 00:06.000\nbin<00:01.000><c> blue</c>\n")
    assert rows(got) == [("bin blue", 5000, 6000, False)]


def test_srt_with_style_and_without_empty_lines():
    got = parse_srt(
        "1\n00:00:01,000 --> 00:00:02,000\n{\\an8}<b>bin</b> blue\n2\n"
        "00:00:02,500 --> 00:00:03,0\n- at f\n\n3\n"
        "00:00:04,000 --> 00:00:05,000\n♪ [cheers] ♪\n"
    )
    assert rows(got) == [("bin blue", 1000, 2000, False), ("- at f", 2500, 3000, False)]


def test_srt_that_rolls_gives_every_line_once():
    lines = ["bin blue", "at f", "two now", "lay red", "with g"]
    text = "".join(
        f"{i}\n00:00:0{i},000 --> 00:00:0{i + 1},000\n"
        + (f"{lines[i - 1]}\n" if i else "")
        + f"{line}\n\n"
        for i, line in enumerate(lines)
    )
    assert [s.text for s in parse_srt(text).spans] == lines


@pytest.mark.parametrize(
    ("parse", "text", "why"),
    [
        (parse_webvtt, "", "does not begin with WEBVTT"),
        (parse_webvtt, "WEBVTTX\n\n00:00.000 --> 00:01.000\na\n", "does not begin with WEBVTT"),
        (parse_webvtt, "WEBVTT\n\nnothing\n", "holds no cues"),
        (parse_webvtt, "WEBVTT\n\n00:00.000 --> soon\na\n", "line 3: no times of a cue"),
        (parse_webvtt, "WEBVTT\n\n00:02.000 --> 00:01.000\na\n", "line 3: a cue ends before"),
        (
            parse_webvtt,
            "WEBVTT\nX-TIMESTAMP-MAP=MPEGTS:900000,LOCAL:00:00:00.000\n\n"
            "00:00.000 --> 00:01.000\na\n",
            "X-TIMESTAMP-MAP",
        ),
        (parse_srt, "a note\n", "holds no cues"),
    ],
)
def test_what_is_malformed_says_why(parse, text, why):
    with pytest.raises(TranscriptError, match=why):
        parse(text)


def test_a_map_to_zero_is_no_map():
    got = parse_webvtt(
        "WEBVTT\nX-TIMESTAMP-MAP=LOCAL:00:00:00.000,MPEGTS:0\n\n00:00.000 --> 00:01.000\na\n"
    )
    assert rows(got) == [("a", 0, 1000, False)]


def test_plain_text_has_no_control_characters():
    assert plain("a\x00\x1b[31mb‮c\u200bd &#8203;&#9;&nbsp;e&#1;") == "a[31mbcd e"
    assert plain(">> [ __ ] it&#39;s [laughs] می‌خواهم") == "[__] it's می‌خواهم"
    assert plain("&#" + "9" * 6000 + ";x &#x1F600; < b") == "x 😀 < b"


@pytest.mark.parametrize("parse", [parse_webvtt, parse_srt])
def test_damaged_files_give_spans_in_order_or_a_reason(parse):
    dice = random.Random(4)
    whole = YOUTUBE if parse is parse_webvtt else YOUTUBE.partition("\n\n")[2]
    reasons = 0
    for _ in range(400):
        text = list(whole)
        for _ in range(dice.randint(1, 12)):
            at = dice.randrange(8, len(text))
            text[at : at + dice.choice((0, 1, 30))] = dice.choice(
                ("", "<", ">", "-->", "\n", "\n\n", "&#", "\x00", "99:99", "[")
            )
        try:
            spans = parse("".join(text)).spans
        except TranscriptError:
            reasons += 1
            continue
        assert [s.start_us for s in spans] == sorted(s.start_us for s in spans)
        assert all(s.text and s.end_us >= s.start_us for s in spans)
    assert 40 < reasons < 400


def test_the_spans_near_a_time_are_those_that_overlap_it():
    dice = random.Random(1)
    starts = sorted(dice.randrange(600) for _ in range(300))
    got = parse_webvtt(
        "WEBVTT\n\n"
        + "".join(
            f"{a // 60:02d}:{a % 60:02d}.000 --> {b // 60:02d}:{b % 60:02d}.000\nx\n\n"
            for a, b in ((a, a + dice.randrange(1, 9)) for a in starts)
        )
    )
    for start in range(0, 600_000_000, 7_300_000):
        near, end = got.near(start, start + 3_000_000), start + 3_000_000
        assert [s for s in near if s.end_us > start] == [
            s for s in got.spans if s.start_us <= end and s.end_us > start
        ]
        assert len(near) < 40
    (whole,) = Transcript((Span("x", 0, None, False),), "sound").near(8e9, 9e9)
    assert whole.text == "x"
