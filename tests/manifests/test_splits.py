"""Splits do not leak, do not move, and say why they are what they are."""

from __future__ import annotations

import dataclasses

import pytest

from manifests import splits
from manifests.records import Clip, Video


def make_clip(video: str, number: int, start: int = 0, end: int = 75) -> Clip:
    values = {f.name: None for f in dataclasses.fields(Clip)}
    return Clip(
        **{
            **values,
            "clip_id": f"{video}-c{number:03d}",
            "video_id": video,
            "start_frame": start,
            "end_frame": end,
        }
    )


def make_video(name: str, num_frames: int = 5000) -> Video:
    values = {f.name: None for f in dataclasses.fields(Video)}
    return Video(**{**values, "video_id": name, "num_frames": num_frames})


def parts(frozen, clips, speaker_of):
    return {
        c.clip_id: splits.assign(frozen, c, speaker_of[c.clip_id], make_video(c.video_id))
        for c in clips
    }


def test_auto_keeps_speakers_apart_and_fills_every_part():
    clips = [make_clip(f"v{i}", 0) for i in range(40)]
    speaker_of = {c.clip_id: f"spk{i % 12}" for i, c in enumerate(clips)}
    frozen = splits.freeze(splits.SplitConfig(), clips, speaker_of.values())
    assert frozen["policy"] == "speaker"
    found = parts(frozen, clips, speaker_of)
    assert set(found.values()) == {"train", "val", "test"}
    for speaker in set(speaker_of.values()):
        assert len({found[c] for c, s in speaker_of.items() if s == speaker}) == 1


def test_adding_sources_moves_nothing():
    clips = [make_clip(f"v{i}", 0) for i in range(25)]
    speaker_of = {c.clip_id: "one" for c in clips}
    frozen = splits.freeze(splits.SplitConfig(), clips, speaker_of.values())
    assert frozen["policy"] == "source"
    before = parts(frozen, clips, speaker_of)
    more = [*clips, *(make_clip(f"w{i}", 0) for i in range(50))]
    speaker_of |= {c.clip_id: "one" for c in more}
    after = parts(frozen, more, speaker_of)
    assert all(after[k] == v for k, v in before.items())


def test_blocks_of_time_have_a_guard():
    clips = [make_clip("v", i, 75 * i, 75 * i + 75) for i in range(66)]
    speaker_of = {c.clip_id: "one" for c in clips}
    frozen = splits.freeze(splits.SplitConfig(), clips, speaker_of.values())
    assert frozen["policy"] == "time"
    found = parts(frozen, clips, speaker_of)
    spans = {
        name: [(c.start_frame, c.end_frame) for c in clips if found[c.clip_id] == name]
        for name in ("train", "val", "test")
    }
    assert all(spans.values())
    assert min(s for s, _ in spans["val"]) - max(e for _, e in spans["train"]) >= 12
    assert min(s for s, _ in spans["test"]) - max(e for _, e in spans["val"]) >= 12
    assert "blocks of time" in splits.describe(frozen, list(filter(None, found.values())))


def test_a_video_too_short_to_be_divided_loses_nothing():
    clips = [make_clip("v", i, 75 * i, 75 * i + 75) for i in range(46)]
    speaker_of = {c.clip_id: "one" for c in clips}
    frozen = splits.freeze(splits.SplitConfig(), clips, speaker_of.values())
    short, long = make_video("v", 3450), make_video("v", 3500)
    assert [splits.assign(frozen, c, "one", short) for c in clips] == ["train"] * 46
    assert {splits.assign(frozen, c, "one", long) for c in clips} >= {"val", "test", "train"}


def test_a_part_that_nobody_wants_has_no_guard():
    clips = [make_clip("v", i, 75 * i, 75 * i + 75) for i in range(66)]
    frozen = splits.freeze(splits.SplitConfig(val_share=0.0), clips, ["one"])
    found = [splits.assign(frozen, c, "one", make_video("v")) for c in clips]
    assert set(found) == {"train", "test", None} and found.count(None) == 1
    assert found[-1] == "test"


def test_an_empty_part_that_was_asked_for_is_an_error():
    clips = [make_clip("v", 0)]
    config = splits.SplitConfig(policy="source")
    frozen = splits.freeze(config, clips, ["one"])
    with pytest.raises(splits.EmptySplitError, match="val and test"):
        splits.describe(frozen, ["train"])
    frozen = splits.freeze(splits.SplitConfig(), clips, ["one"])
    assert "too small to fill" in splits.describe(frozen, ["train"])
