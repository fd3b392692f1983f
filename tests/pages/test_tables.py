"""Tables of a page: escaped, small, and never a link to a script."""

from __future__ import annotations

import json
import random
import re
import zlib
from base64 import b64decode

import numpy as np
import pytest

from manifests.numbers import number
from manifests.page import charts
from manifests.page.tables import Column, Link, table
from pipeline.corpus.report import listing, samples

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028'\""


def test_hostile_text_stays_text():
    page = table(
        [Column(HOSTILE), Column("source", "link")],
        [[HOSTILE, Link(HOSTILE, "javascript:alert(1)")]],
        HOSTILE,
    )
    assert "<img" not in page and page.count("</script>") == 1
    assert "href" not in page.split("<script")[0]
    held = json.loads(re.search(r"<script[^>]*>(.*)</script>", page, re.S)[1])
    assert held[0]["values"] == [HOSTILE] and held[1]["hrefs"] == [""]


def test_a_hundred_thousand_clips_stay_below_their_share_of_five_megabytes():
    chance = random.Random(0)
    words = [f"{chance.getrandbits(40):x}"[: chance.randint(2, 9)] for _ in range(4000)]
    rows = []
    for i in range(10_000):
        video = f"f{chance.getrandbits(80):020x}"
        title = " ".join(chance.choices(words, k=6))
        for k in range(10):
            rows.append(
                [
                    f"{video}-s{k:03d}-t000-c000",
                    Link(title, f"https://example.org/watch?v={video[:11]}", f"&t={k * 7}"),
                    k * 7 + chance.random(),
                    chance.uniform(1, 20),
                    f"spk-{i % 3000:010x}",
                    "train",
                    chance.choice(("measured", "measured", "undecided")),
                    chance.gauss(0, 60),
                    chance.random(),
                    " ".join(chance.choices(words, k=12)),
                ]
            )
    kept, note = listing.fitted(rows)
    page = table(listing.CLIP_COLUMNS, kept, "clips")
    assert len(kept) == 100_000 and "Texts are" in note
    assert len(page) + samples.PLAYABLE_BYTES + 400_000 < 5_000_000
    held = json.loads(zlib.decompress(b64decode(re.search(r"packed='1'>([^<]*)<", page)[1])))
    assert len(held[0]["values"]) == 100_000 and held[1]["after"][1] == "&t=7"


def test_rows_are_left_out_and_said_where_even_no_text_is_too_much():
    rows = [
        [f"{i * 7919:x}", None, i, 1, "s", "train", "undecided", None, None, "hello"]
        for i in range(1000)
    ]
    kept, note = listing.fitted(rows, most=2000)
    assert 0 < len(kept) < 1000 and note.startswith(f"The first {len(kept)} of 1000 clips")


def test_numbers_have_no_negative_zero_and_ticks_hold_zero():
    assert number(-0.4, 0, True) == "0" and number(3.2, 1, True) == "+3.2"
    chart = charts.histogram([1.0, 2.0, -30.0], 40, "ms", "lag", -520, 520, band=40.0)
    assert "text-anchor='middle'>0</text>" in chart and "class='zero'" in chart
    assert "class='band'" in chart and "-0<" not in chart
    sides = re.findall(r"text-anchor='end'>([^<]*)<", chart)
    assert all(s.isdigit() for s in sides)
    assert "class='limit'" in charts.histogram([1.0], 1, "px", "size", limits=[4.0])


@pytest.mark.parametrize(
    "source, address",
    [
        (
            {"kind": "link", "extractor": "Youtube", "address": "https://y.example/watch?v=a"},
            "https://y.example/watch?v=a&t=",
        ),
        (
            {"kind": "file", "extractor": None, "address": "/d/a b#.mp4"},
            "file:///d/a%20b%23.mp4#t=",
        ),
        (
            {"kind": "link", "extractor": "Generic", "address": "http://x.example/a.mp4"},
            "http://x.example/a.mp4#t=",
        ),
    ],
)
def test_a_source_leads_to_the_moment(source, address):
    link = listing.place(source | {"title": "t", "site_id": None})
    assert link.base + link.after == address


def test_landmarks_outside_and_large_residuals_are_named():
    inside = np.full((3, 68, 2), 50.0)
    assert samples.problem(inside, (100, 100), 3.0, 14.0) == ""
    outside = inside.copy()
    outside[1, 0, 0] = -2
    assert samples.problem(outside, (100, 100), 13.0, 14.0) == (
        "landmarks leave the picture in 1 of 3 frames; residual 13.0 px (threshold 14)"
    )
