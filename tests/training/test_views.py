"""A view's window is exactly what the whole clip has there, and its sound is paired as it says."""

from __future__ import annotations

import io
import json
import pickle
from functools import partial

import av
import cv2
import numpy as np
import pytest
from threadpoolctl import threadpool_info

from manifests.crops import CROPS, crop
from manifests.media import span
from manifests.media.encode import decode_video, encode_flac, encode_video
from manifests.media.sound import shifted
from manifests.media.span import decode_grey, decode_rgb
from manifests.shards import SampleIndex, ShardError, ShardSample, write_samples
from pipeline.corpus.packing import Packing
from stages.sync import correct
from tests.training.test_sound_features import glide
from training.data.loader import Loader, Share, mixture_of
from training.data.mixture import EvaluationPlan, Row, TrainingPlan
from training.data.samples import Samples
from training.data.sound_features import FEATURES
from training.data.views import View

FRAMES = 64
"""Two whole groups of 25 pictures and a part of one."""


@pytest.fixture(scope="module")
def video() -> bytes:
    """Stripes that wander and a square that changes its colour: no two frames are alike."""
    y, x = np.mgrid[:256, :256]
    frames = []
    for k in range(FRAMES):
        light = 128 + 90 * np.sin((x + 3 * k) / 17) * np.cos((y - 2 * k) / 23)
        frame = np.stack([light, 255 - light, np.full_like(light, 3 * k)], 2)
        frame[150:190, 100:150] = (4 * k % 256, 200 - 2 * k, 90)
        frames.append(frame.astype(np.uint8))
    return encode_video(frames)[0]


@pytest.fixture(scope="module")
def whole(video) -> np.ndarray:
    return decode_video(video)


@pytest.fixture(scope="module")
def luma(video) -> np.ndarray:
    """The luma planes of all frames as PyAV gives them, uint8 [T, 256, 256]."""
    with av.open(io.BytesIO(video), "r") as container:
        return np.stack([f.to_ndarray()[:256] for f in container.decode(video=0)])


def sample_of(video: bytes, key: str = "a", **facts) -> ShardSample:
    told = {"num_frames": FRAMES, "applied_lag_ms": 0.0, "video_lag_ms": "", **facts}
    sound = encode_flac(glide(FRAMES))
    members = {"face.mp4": video, "audio.flac": sound, "json": json.dumps(told).encode()}
    return ShardSample(key, members, "000000.tar")


def row_of(index: int = 0) -> Row:
    return Row(index, seed=5, corpus=0, epoch=0, index=index, number=0)


@pytest.mark.parametrize(
    ("first", "count"),
    [(0, 1), (0, 25), (24, 2), (25, 25), (26, 5), (49, 3), (50, 14), (63, 1), (0, FRAMES)],
)
def test_some_frames_are_those_of_the_whole_file(video, whole, luma, first, count):
    there = slice(first, first + count)
    np.testing.assert_array_equal(decode_rgb(video, first, count), whole[there])
    full_range = np.clip(np.rint((luma[there].astype(float) - 16) * 255 / 219), 0, 255)
    np.testing.assert_array_equal(decode_grey(video, first, count), full_range)
    cut = decode_grey(video, first, count, (slice(30, 50), slice(7, 90)))
    np.testing.assert_array_equal(cut, full_range[:, 30:50, 7:90])


def test_frames_to_the_end_and_frames_that_are_not_there(video, whole):
    np.testing.assert_array_equal(decode_rgb(video, 60), whole[60:])
    for first, count in ((60, 5), (64, 1), (200, None)):
        with pytest.raises(ValueError, match="are wanted, there are"):
            decode_rgb(video, first, count)


def test_grey_is_the_brightness_of_the_picture(video, whole):
    bt709 = whole.astype(float) @ np.array([0.2126, 0.7152, 0.0722])
    assert np.abs(decode_grey(video) - bt709).mean() < 1.5


@pytest.mark.parametrize(("first", "count", "decoded"), [(0, 5, 5), (30, 10, 15), (50, 14, 14)])
def test_nothing_is_decoded_but_from_the_key_frame_to_the_last(
    video, monkeypatch, first, count, decoded
):
    seen = []
    opened = span.av.open

    class Counting:
        def __init__(self, container):
            self.container = container

        def __getattr__(self, name):
            return getattr(self.container, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.container.close()

        def decode(self, stream):
            for frame in self.container.decode(stream):
                seen.append(frame.pts)
                yield frame

    monkeypatch.setattr(span.av, "open", lambda *a, **k: Counting(opened(*a, **k)))
    decode_grey(video, first, count)
    assert len(seen) == decoded


@pytest.mark.parametrize("name", CROPS)
def test_pictures_are_the_crop_of_the_whole_clip(video, whole, luma, name):
    found = View(name, num_frames=7).decode(sample_of(video), row_of(3))
    first = found["first_frame"]
    assert found["video"].dtype == np.uint8 and set(found) == {
        "video",
        "first_frame",
        "lag_samples",
    }
    np.testing.assert_array_equal(found["video"], crop(whole[first : first + 7], name))
    grey = View(name, num_frames=7, is_grey=True).decode(sample_of(video), row_of(3))
    assert grey["first_frame"] == first and grey["video"].shape == found["video"].shape[:3]
    np.testing.assert_array_equal(grey["video"], crop(decode_grey(video, first, 7), name))


def test_another_height_keeps_the_shape_and_is_made_from_the_frame_itself(video, whole):
    found = View("vougioukas", 32, num_frames=2).decode(sample_of(video), row_of())
    cut = whole[found["first_frame"]][128:228, 53:203]
    expected = cv2.resize(cut, (48, 32), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(found["video"][0], expected)
    larger = View("lip", 128, num_frames=2).decode(sample_of(video), row_of())["video"]
    assert larger.shape == (2, 128, 128, 3)


def test_the_window_is_drawn_from_the_row_alone(video):
    sample, view = sample_of(video), View("lip", is_grey=True, num_frames=FRAMES - 3)
    drawn = [view.decode(sample, row_of(k))["first_frame"] for k in range(40)]
    assert drawn == [view.decode(sample, row_of(k))["first_frame"] for k in range(40)]
    assert set(drawn) == {0, 1, 2, 3}


@pytest.mark.parametrize("num_frames", [None, FRAMES, 500])
def test_a_short_clip_is_taken_whole(video, num_frames):
    found = View("lip", 24, True, "slts", num_frames).decode(sample_of(video), row_of())
    assert found["first_frame"] == 0
    assert found["video"].shape == (FRAMES, 24, 24) and found["sound"].shape == (4 * FRAMES, 80)


@pytest.mark.parametrize("name", FEATURES)
def test_sound_is_of_the_windows_frames(video, name):
    found = View("lip", 8, True, name, 9).decode(sample_of(video), row_of(2))
    expected = FEATURES[name].of_window(glide(FRAMES), found["first_frame"], 9)
    np.testing.assert_array_equal(found["sound"], expected)


@pytest.mark.parametrize("lag_ms", [87.5, -87.5, 40.0, -0.06, 0.0])
def test_the_measured_lag_is_taken_out_with_the_houses_sign(video, lag_ms):
    """A lag > 0 says that the video came late: what is seen in a frame was said `lag_ms` before."""
    sample = sample_of(video, video_lag_ms=repr(lag_ms), offset_status="measured")
    samples = round(lag_ms * 16)
    sound = glide(FRAMES)
    from_where = np.arange(len(sound)) - samples
    inside = (from_where >= 0) & (from_where < len(sound))
    expected = np.where(inside, sound[from_where.clip(0, len(sound) - 1)], 0)
    np.testing.assert_array_equal(shifted(sound, samples), expected)
    np.testing.assert_array_equal(correct.moved(sound, lag_ms), expected)
    for index in range(12):
        view = partial(View, "lip", 8, True, "waveform", 20)
        raw = view(pairing="raw").decode(sample, row_of(index))
        assert raw["lag_samples"] == 0
        corrected = view(pairing="corrected").decode(sample, row_of(index))
        assert corrected["lag_samples"] == samples
        first = 640 * corrected["first_frame"]
        assert 0 <= first - samples <= len(sound) - 20 * 640, "no silence moves in"
        np.testing.assert_array_equal(
            corrected["sound"], sound[first - samples : first - samples + 20 * 640]
        )


@pytest.mark.parametrize("lag_ms", [80.0, -80.0])
def test_where_every_window_would_hear_silence_it_is_heard(video, lag_ms):
    sample = sample_of(video, video_lag_ms=repr(lag_ms), offset_status="measured")
    found = View("lip", 8, True, "waveform", FRAMES, "corrected").decode(sample, row_of())
    np.testing.assert_array_equal(found["sound"], correct.moved(glide(FRAMES), lag_ms))
    silent = found["sound"][:1280] if lag_ms > 0 else found["sound"][-1280:]
    assert not silent.any()


def test_a_corrected_corpus_has_no_raw_pairing_and_is_not_corrected_twice(video):
    sample = sample_of(video, applied_lag_ms=80.0, video_lag_ms="80.0", offset_status="measured")
    assert View("lip", 8, True, pairing="corrected").decode(sample, row_of())["lag_samples"] == 0
    with pytest.raises(ShardError, match=r"80 ms were taken out.*sync.correct=false"):
        View("lip", 8, True).decode(sample, row_of())


def test_what_has_no_lag_cannot_be_corrected(video):
    sample = sample_of(video, offset_status="undecided", offset_reason="two peaks")
    with pytest.raises(ShardError, match=r"no lag is known of a \(two peaks\).*offset_statuses"):
        View("lip", 8, pairing="corrected").decode(sample, row_of())


def test_a_damaged_video_is_named(video):
    sample = sample_of(video[: len(video) // 2])
    with pytest.raises(ShardError, match=r"a is damaged.*face.mp4"):
        View("lip", num_frames=None).decode(sample, row_of())


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"crop": "nose"}, "there is no nose; there are face"),
        ({"sound": "bark"}, "there is no bark; there are slts"),
        ({"num_frames": 0}, "a frame or more"),
        ({"pairing": "both"}, "raw or corrected"),
    ],
)
def test_a_view_that_there_is_not(wrong, why):
    with pytest.raises(ValueError, match=why):
        View(**{"crop": "lip", **wrong})


def threads_in_use(sample: ShardSample, row: Row) -> dict[str, int]:
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {"cv2": cv2.getNumThreads(), "blas": max(pools)}


@pytest.mark.slow
def test_a_worker_has_one_thread(video, tmp_path):
    (tmp_path / "train").mkdir()
    with open(tmp_path / "train" / "000000.tar", "wb") as file:
        write_samples(file, [sample_of(video)])
    samples = Samples.of(tmp_path, "train")
    plan = EvaluationPlan(mixture_of([samples], seed=1), 1)
    (batch,) = Loader([samples], threads_in_use, plan, Share(num_workers=1))
    assert batch["cv2"].tolist() == [1] and batch["blas"].tolist() == [1]


@pytest.mark.slow
def test_views_feed_the_loader_alike_at_any_number_of_workers(video, tmp_path):
    path = tmp_path / "train" / "000000.tar"
    path.parent.mkdir()
    with open(path, "wb") as file:
        write_samples(file, [sample_of(video, f"s{k}") for k in range(3)])
    SampleIndex.scan(path).write()
    samples = Samples.of(tmp_path, "train")
    view = pickle.loads(pickle.dumps(View("lip", 16, True, "slts", 10)))
    mixture = mixture_of([samples], seed=1)
    steps = [
        list(Loader([samples], view.decode, TrainingPlan(mixture, 2), Share(num_workers=n)))
        for n in (0, 1)
    ]
    for here, there in zip(*steps, strict=True):
        assert here["key"] == there["key"]
        assert here["video"].shape == (2, 10, 16, 16) and here["sound"].shape == (2, 40, 80)
        for name in ("video", "sound", "first_frame"):
            assert here[name].equal(there[name])
    assert len(list(Loader([samples], view.decode, EvaluationPlan(mixture, 2)))) == 2


def repacked(video: bytes, **packing) -> ShardSample:
    return Packing(**{"crop": "lip", "codec": "raw", **packing}).applied(sample_of(video))


@pytest.mark.parametrize(
    ("view", "packing"),
    [
        (View("lip", num_frames=9), {}),
        (View("lip", 112, num_frames=9), {}),
        (View("lip", is_grey=True, num_frames=9), {"grey": True}),
        (View("speech2vid", num_frames=1), {"crop": "speech2vid"}),
        (View("face", 96, sound="slts", num_frames=20), {"crop": "face", "height": 96}),
    ],
    ids=["lip", "another height of an unscaled crop", "grey", "scaled", "with sound"],
)
def test_a_repacked_sample_gives_the_same_example(video, view, packing):
    expected = view.decode(sample_of(video), row_of(3))
    found = view.decode(repacked(video, **packing), row_of(3))
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


def test_jpegs_and_grey_of_colour_are_near(video):
    view, grey = View("lip", num_frames=9), View("lip", is_grey=True, num_frames=9)
    for seen, packing in ((view, {"codec": "jpeg", "quality": 95}), (grey, {})):
        expected = seen.decode(sample_of(video), row_of())["video"].astype(int)
        found = seen.decode(repacked(video, **packing), row_of())["video"]
        assert found.shape == expected.shape
        assert np.abs(found - expected).mean() < 3


@pytest.mark.parametrize(
    ("view", "packing"),
    [
        (View("face"), {}),
        (View("speech2vid", 64), {"crop": "speech2vid"}),
        (View("lip"), {"grey": True}),
    ],
    ids=["another crop", "another height of a scaled crop", "colour of grey"],
)
def test_pictures_that_a_repacked_sample_has_not_are_refused(video, view, packing):
    with pytest.raises(
        ShardError, match=r"000000\.tar: a was repacked .*--crop (face|speech2vid|lip)"
    ):
        view.decode(repacked(video, **packing), row_of())
