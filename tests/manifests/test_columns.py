"""Records held as columns come back as they went in."""

from __future__ import annotations

import dataclasses
import tracemalloc
from collections.abc import Callable, Iterator, Sequence

import pytest

from manifests import records as rec
from manifests.columns import Columns, Made, Picked, Texts, sorted_index, values_of
from tests.factories import blank

SHARED = ("video_id", "track_id")


def clips(count: int) -> list[rec.Clip]:
    return [
        blank(
            rec.Clip,
            clip_id=f"v{i:06d}é-c000",
            video_id=f"v{i // 10}",
            track_id=f"v{i // 10}-t000",
            payload_path=f"clips/v{i:06d}\udcff.tar",
            num_frames=i,
            face_psnr_db=i / 7,
            video_lag_ms=None if i % 2 else -float(i),
            text="" if i % 3 else None,
        )
        for i in range(count)
    ]


def test_what_goes_in_comes_out():
    rows = clips(25)
    held = Columns(rec.Clip, SHARED, rows)
    assert list(held) == rows and len(held) == 25
    assert held[-1] == rows[-1] and list(held[5:20:3]) == rows[5:20:3]
    assert list(held[3:9][1:4]) == rows[4:7]
    assert list(values_of(held, "video_lag_ms")) == [r.video_lag_ms for r in rows]
    assert list(values_of(rows, "text")) == [r.text for r in rows]
    with pytest.raises(IndexError):
        held[25]


def test_some_rows_and_rows_that_are_made():
    rows = clips(9)
    picked = Picked(Columns(rec.Clip, SHARED, rows), [7, 0, 7])
    assert list(picked) == [rows[7], rows[0], rows[7]] and list(picked[1:]) == [rows[0], rows[7]]
    made = Made(4, lambda i: i * i)
    assert list(made) == [0, 1, 4, 9] and list(made[::-2]) == [9, 1] and made[-1] == 9
    with pytest.raises(IndexError):
        made[4]


def test_an_id_is_found_among_sorted_ones():
    texts = Texts()
    for text in (words := ["a", "a-1", "b", "ä", "日本"]):
        texts.append(text)
    assert [sorted_index(texts, word) for word in words] == list(range(5))
    assert (
        sorted_index(texts, "a-2") is sorted_index(texts, "本") is sorted_index(texts, "") is None
    )


def test_a_field_that_is_no_text_and_no_number_is_refused():
    with pytest.raises(TypeError, match="list"):
        Columns(rec.Offset, ())


def test_columns_take_a_part_of_what_objects_take():
    first = clips(1)[0]

    def many() -> Iterator[rec.Clip]:
        for i in range(1000):
            own = {"clip_id": f"clip-{i:030d}", "payload_path": f"clips/{i:030d}.tar"}
            decimals = ("applied_lag_ms", "confidence", "face_psnr_db", "speech_share")
            numbers = {name: i / k for k, name in enumerate(decimals, 7)}
            counted = ("start_frame", "end_frame", "audio_start_sample")
            whole = {name: 1000 * i + k for k, name in enumerate(counted)}
            yield dataclasses.replace(first, **own, **numbers, **whole)

    def traced(make: Callable[[], Sequence[rec.Clip]]) -> int:
        tracemalloc.start()
        held = make()
        size = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        assert len(held) == 1000
        return size

    assert traced(lambda: Columns(rec.Clip, SHARED, many())) < traced(lambda: list(many())) / 2
