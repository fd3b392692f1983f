"""Frames of a crop as members: any window of them is read alone, and damage is named."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from manifests import frames as module
from manifests.frames import Frames, PartlyRead, brightness, members_of, read_sample
from manifests.shards import SampleIndex, ShardError, ShardSample, write_samples

COLOUR = np.random.default_rng(1).integers(0, 256, (9, 12, 16, 3), np.uint8)
SMOOTH = np.stack(
    [np.add.outer(np.arange(96), np.arange(96) + 5 * k).astype(np.uint8) // 2 for k in range(9)]
)


def written(path: Path, members: dict[str, bytes], has_index: bool = True) -> Path:
    first = {"json": b'{"num_frames": 9}', "audio.flac": b"sound" * 100, "landmarks.npy": b"l" * 50}
    with open(path, "wb") as file:
        write_samples(file, [ShardSample(k, first | members) for k in ("a", "b")])
    if has_index:
        SampleIndex.scan(path).write()
    return path


def lazily(path: Path, key: str = "b") -> ShardSample:
    index = SampleIndex.of(path)
    return ShardSample(key, read_sample(path, index.spans(key), index.is_told), str(path))


@pytest.mark.parametrize("has_index", [True, False])
@pytest.mark.parametrize("is_grey", [True, False])
@pytest.mark.parametrize(("first", "count"), [(0, 9), (0, 1), (8, 1), (3, 4), (2, None)])
def test_raw_frames_are_what_they_were(tmp_path, has_index, is_grey, first, count):
    pictures = COLOUR[..., 0] if is_grey else COLOUR
    path = written(tmp_path / "x.tar", members_of(pictures, "lip", "raw", 95), has_index)
    end = None if count is None else first + count
    for sample in (lazily(path), SampleIndex.of(path)["b"]):
        frames = Frames.of(sample)
        assert frames is not None and frames.is_grey == is_grey and frames.crop == "lip"
        found = frames.window(sample, first, count)
        np.testing.assert_array_equal(found, pictures[first:end])
        assert found.flags.writeable
    whole = np.load(io.BytesIO(sample.members["frames.npy"]), allow_pickle=False)
    np.testing.assert_array_equal(whole, pictures)


@pytest.mark.parametrize("is_grey", [True, False])
def test_jpegs_are_near_and_each_stands_alone(tmp_path, is_grey):
    pictures = SMOOTH if is_grey else np.repeat(SMOOTH[..., None], 3, 3)
    path = written(tmp_path / "x.tar", members_of(pictures, "lip", "jpeg", 95))
    sample = lazily(path)
    frames = Frames.of(sample)
    whole = frames.window(sample)
    assert whole.shape == pictures.shape and whole.dtype == np.uint8
    assert np.abs(whole.astype(int) - pictures).mean() < 1
    np.testing.assert_array_equal(frames.window(sample, 4, 3), whole[4:7])
    content = sample.members["frames.mjpeg"]
    assert content.startswith(b"\xff\xd8") and len(content) == frames.offsets[-1]


def test_red_stays_red():
    red = np.zeros((2, 32, 32, 3), np.uint8)
    red[..., 0] = 200
    sample = ShardSample("a", members_of(red, "lip", "jpeg", 95))
    assert Frames.of(sample).window(sample)[0, 5, 5].tolist() == pytest.approx([200, 0, 0], abs=3)


def test_only_the_window_is_read(tmp_path, monkeypatch):
    path = written(tmp_path / "x.tar", members_of(COLOUR, "lip", "raw", 95))
    read = []

    def preadv(descriptor, buffers, at, real=module.os.preadv):
        read.append(sum(b.nbytes for b in buffers))
        return real(descriptor, buffers, at)

    monkeypatch.setattr(module.os, "preadv", preadv)
    sample = lazily(path)
    assert isinstance(sample.members, PartlyRead)
    assert sample.facts == {"num_frames": 9} and not read, "all else is one read without the frames"
    Frames.of(sample).window(sample, 2, 3)
    assert read == [3 * 12 * 16 * 3]


def test_what_is_read_in_part_is_the_same_sample(tmp_path):
    path = written(tmp_path / "x.tar", members_of(COLOUR, "lip", "jpeg", 95))
    assert lazily(path).sha256() == SampleIndex.of(path)["b"].sha256()
    assert set(lazily(path).members) == set(SampleIndex.of(path)["b"].members)
    assert lazily(path).missing() == [] and len(lazily(path).members) == 5


def test_frames_that_are_not_there_are_named(tmp_path):
    sample = lazily(written(tmp_path / "x.tar", members_of(COLOUR, "lip", "raw", 95)))
    for first, count in ((5, 5), (9, 1), (-1, 2), (0, 0)):
        with pytest.raises(ShardError, match=r"b is damaged.*frames.npy.*there are 9"):
            Frames.of(sample).window(sample, first, count)


@pytest.mark.parametrize(
    "change",
    [
        {"codec": "bmp"},
        {"codec": ["raw"]},
        {"crop": "nose"},
        {"shape": [9, 12]},
        {"shape": [9, 12, 16, 4]},
        {"shape": [-9, 12, 16, 3]},
        {"shape": "9"},
        {"offsets": []},
        {"offsets": [-5]},
        {"offsets": [1, 2]},
        {"offsets": [1e999]},
    ],
)
def test_facts_that_contradict_themselves_are_named(change):
    members = members_of(COLOUR, "lip", "raw", 95)
    told = json.loads(members["frames.json"])
    members["frames.json"] = json.dumps(told | change).encode()
    with pytest.raises(ShardError, match=r"a is damaged.*frames\.json"):
        Frames.of(ShardSample("a", members))


@pytest.mark.parametrize("codec", ["raw", "jpeg"])
def test_frames_that_end_too_soon_are_named(tmp_path, codec):
    members = members_of(COLOUR, "lip", codec, 95)
    member = module.MEMBER_OF[codec]
    members[member] = members[member][:-30]
    for sample in (ShardSample("b", members), lazily(written(tmp_path / "x.tar", members))):
        with pytest.raises(ShardError, match=r"yld verify"):
            Frames.of(sample).window(sample, 7, 2)


def test_a_frame_that_is_no_jpeg_of_its_size_is_named():
    members = members_of(COLOUR, "lip", "jpeg", 95)
    edges = json.loads(members["frames.json"])["offsets"]
    content = bytearray(members["frames.mjpeg"])
    content[edges[3] : edges[4]] = bytes(edges[4] - edges[3])
    sample = ShardSample("a", members | {"frames.mjpeg": bytes(content)})
    assert len(Frames.of(sample).window(sample, 4, 2)) == 2, "others are whole"
    with pytest.raises(ShardError, match=r"frames\.mjpeg: a frame is no JPEG"):
        Frames.of(sample).window(sample, 3, 1)


def test_a_shard_that_was_cut_meanwhile_is_named(tmp_path):
    path = written(tmp_path / "x.tar", members_of(COLOUR, "lip", "raw", 95))
    sample = lazily(path)
    with open(path, "r+b") as file:
        file.truncate(4000)
    with pytest.raises(ShardError, match=r"x\.tar was cut"):
        Frames.of(sample).window(sample)


def test_brightness_is_bt_709():
    expected = COLOUR.astype(float) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(brightness(COLOUR) - expected).max() <= 0.51
