"""Registration by the eyes, and the flow of registered faces."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch

from manifests.media.encode import encode_flac, encode_video
from manifests.shards import ShardSample
from training.data.by_eyes import (
    LEVEL_EYES,
    ByEyes,
    eyes_of,
    flow_of,
    followed_by,
    inverse_of,
    registered,
    similarity_of_two,
    window_of,
)
from training.data.mixture import Row
from training.layers.clips_by_eyes import clips_of

SIZE = 160


def texture(seed: int = 0) -> np.ndarray:
    """A soft random picture, uint8 [256, 256]."""
    noise = np.random.default_rng(seed).standard_normal((256, 256)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    return np.clip(128 + 40 * soft / soft.std(), 0, 255).astype(np.uint8)


def posed(num_frames: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A still face under a head that turns, nears and wanders: pictures [T, 256, 256], landmarks
    [T, 68, 2] and poses [T, 2, 3]."""
    random, face = np.random.default_rng(seed), texture()
    angles = np.cumsum(random.normal(0, 0.01, num_frames))
    scales, shifts = 1 + random.normal(0, 0.01, num_frames), random.normal(0, 2, (num_frames, 2))
    poses = np.stack(
        [
            np.concatenate([m[:, :2], (m[:, 2] + s)[:, None]], 1)
            for m, s in (
                (cv2.getRotationMatrix2D((128, 128), np.degrees(a), k), s)
                for a, k, s in zip(angles, scales, shifts, strict=True)
            )
        ]
    )
    points = random.uniform(60, 200, (68, 2))
    points[36:42] = LEVEL_EYES[0] + random.normal(0, 4, (6, 2))
    points[42:48] = LEVEL_EYES[1] + random.normal(0, 4, (6, 2))
    landmarks = np.einsum("tij,pj->tpi", poses[:, :, :2], points) + poses[:, None, :, 2]
    pictures = np.stack(
        [
            cv2.warpAffine(
                face, m, (256, 256), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
            )
            for m in poses
        ]
    )
    return pictures, landmarks.astype(np.float32), poses


def test_two_points_are_met_exactly_and_the_ways_are_a_group():
    eyes = eyes_of(posed(9)[1])
    to_centre = similarity_of_two(eyes, eyes[4])
    moved = np.einsum("tij,tpj->tpi", to_centre[:, :, :2], eyes) + to_centre[:, None, :, 2]
    assert np.abs(moved - eyes[4]).max() < 1e-6
    np.testing.assert_allclose(to_centre[4], np.eye(2, 3), atol=1e-12)
    by_level = followed_by(
        similarity_of_two(eyes, LEVEL_EYES), inverse_of(similarity_of_two(eyes[4], LEVEL_EYES))
    )
    np.testing.assert_allclose(by_level, to_centre, atol=1e-9)


@pytest.mark.parametrize("height", [160, 80])
def test_a_face_that_moves_with_its_head_stands_still_in_its_clip(height):
    pictures, landmarks, _ = posed(9)
    made = registered(pictures, landmarks, height)
    clip, flow = clips_of(
        torch.from_numpy(made.level),
        torch.from_numpy(made.flow),
        torch.from_numpy(made.back),
        torch.tensor([4]),
        9,
    )
    assert clip.shape == (1, 9, height, height * 4 // 5) and flow.shape == (1, 16, *clip.shape[2:])
    centre = cv2.warpAffine(
        pictures[4], window_of_(height), (clip.shape[3], clip.shape[2]), flags=cv2.INTER_AREA
    )
    inside = (slice(None), slice(10, -10), slice(10, -10))
    seen = clip[0].numpy()[inside]
    method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    for frame in clip[0].numpy():
        gap = method.calc(centre, np.rint(frame).astype(np.uint8), None)[10:-10, 10:-10]
        assert np.abs(np.median(gap, (0, 1))).max() < 0.5
    before = np.abs(pictures[[0, 8]].astype(float) - pictures[4]).mean()
    assert np.abs(seen - seen[4]).mean() < 0.4 * before
    assert np.abs(flow.numpy()[..., 10:-10, 10:-10]).mean() < 0.1


def window_of_(height: int) -> np.ndarray:
    from manifests.crops import CROPS

    return window_of(CROPS["ephrat"], height)


def test_one_field_a_pair_serves_all_clips():
    """Turned into a clip's pose, it is what the flow of that clip's own pictures is."""
    pictures, landmarks, _ = posed(9)
    moving = np.stack(
        [
            cv2.warpAffine(
                p,
                np.array([[1, 0, 0.8 * t], [0, 1, -0.5 * t]]),
                (256, 256),
                borderMode=cv2.BORDER_REFLECT,
            )
            for t, p in enumerate(pictures)
        ]
    )
    made = registered(moving, landmarks, 160)
    parts = [torch.from_numpy(x) for x in (made.level, made.flow, made.back)]
    for centre in (0, 4, 8):
        clip, fields = clips_of(*parts, torch.tensor([centre]), 17)
        own = flow_of(np.rint(clip[0].numpy()).astype(np.uint8))[:-1].astype(np.float32)
        gap = fields[0].unflatten(0, (16, 2)).permute(0, 2, 3, 1).numpy() - own
        assert np.median(np.abs(gap[:, 10:-10, 10:-10])) < 0.1


def test_flow_measures_shifts_and_stillness():
    face = cv2.resize(texture(), (128, 160))
    moved = cv2.warpAffine(
        face, np.array([[1, 0, 1.0], [0, 1, -0.5]]), (128, 160), borderMode=cv2.BORDER_REFLECT
    )
    found = flow_of(np.stack([face, moved, moved])).astype(np.float64)
    assert np.abs(np.median(found[0], (0, 1)) - [1.0, -0.5]).max() < 0.1
    assert np.abs(found[1]).max() < 0.05 and (found[2] == 0).all()


def test_ends_repeat_the_outermost_frame_without_motion():
    level = torch.arange(3.0)[:, None, None].expand(3, 4, 4)
    back = torch.eye(2, 3).expand(3, 2, 3)
    pictures, flow = clips_of(level, torch.ones(3, 4, 4, 2), back, torch.tensor([0, 2]), 5)
    assert pictures[:, :, 0, 0].tolist() == [[0, 0, 0, 1, 2], [0, 1, 2, 2, 2]]
    assert flow is not None
    assert flow[:, ::2, 0, 0].tolist() == [[0, 0, 1, 1], [1, 1, 0, 0]]


@pytest.mark.parametrize("registration", ["clip", "canonical"])
def test_a_window_is_the_same_from_the_cache(tmp_path, registration):
    pictures, landmarks, _ = posed(30)
    colour = [np.repeat(p[..., None], 3, 2) for p in pictures]
    buffer = __import__("io").BytesIO()
    np.save(buffer, landmarks)
    members = {
        "face.mp4": encode_video(colour)[0],
        "audio.flac": encode_flac(np.zeros(640 * 30, np.int16)),
        "landmarks.npy": buffer.getvalue(),
        "json": json.dumps({"num_frames": 30, "video_lag_ms": 0.0, "applied_lag_ms": 0.0}).encode(),
    }
    sample, row = ShardSample("a", members), Row(3, 0, 0, 0, 3, 0)
    plain = ByEyes(80, 12, registration)
    cached = ByEyes(80, 12, registration, cache=tmp_path)
    wanted, first, again = (v.decode(sample, row) for v in (plain, cached, cached))
    for name in wanted:
        np.testing.assert_array_equal(first[name], wanted[name])
        np.testing.assert_array_equal(again[name], wanted[name])
    assert wanted["video"].shape == (12, 80, 64) and wanted["flow"].dtype == np.float16
    assert wanted["sound"].shape == (48, 401)
    assert len(list(tmp_path.rglob("*.npy"))) == 3
