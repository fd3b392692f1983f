"""An episode cut together from ten real clips: cuts, tracks and planted offsets come back."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from manifests.media.pictures import iter_frames
from manifests.media.sound import read_audio
from manifests.media.video import open_video
from manifests.records import Video

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("YLD_SHARED", ROOT.parent / "shared")) / "data"
CLIPS = (
    "wild/LatentSync__demo1_video.mp4",
    "grid_s1/bbaf2n.mpg",
    "grid_s1/bgan7a.mpg",
    "wild/video-retalking__4.mp4",
    "wild/LivePortrait__d11.mp4",
    "wild/video-retalking__2.mp4",
    "wild/SadTalker__WDA_AlexandriaOcasioCortez_000.mp4",
    "wild/fwo_lipnet_plus__test_video.mp4",
    "wild/Real3DPortrait__May_5s.mp4",
    "wild/video-retalking__3.mp4",
)
PLANTED_MS = 120
SIDE_PX = 512

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the reference clips are not here")


def open_clip(name: str) -> Video:
    path = DATA / name
    return open_video(path)


def square(frame: np.ndarray) -> np.ndarray:
    import cv2

    side = min(frame.shape[:2])
    top, left = (frame.shape[0] - side) // 4, (frame.shape[1] - side) // 2
    return cv2.resize(
        frame[top : top + side, left : left + side],
        (SIDE_PX, SIDE_PX),
        interpolation=cv2.INTER_AREA,
    )


def make_episode(path: Path, lag_ms: float) -> list[int]:
    """Write the clips one after the other, each with its sound moved; the cut frames."""
    from pipeline.demo.programme import write_media

    pictures, sounds, cuts = [], [], []
    for name in CLIPS:
        video = open_clip(name)
        end = min(video.num_frames, 200) - 5
        pictures += [square(f) for _, f in iter_frames(video, end_frame=end)]
        shift = round(lag_ms * 16)
        pcm = read_audio(video)
        wanted = np.arange(end * 640) + shift
        part = np.zeros(end * 640, np.float32)
        inside = (wanted >= 0) & (wanted < len(pcm))
        part[inside] = pcm[wanted[inside]] / 32768
        sounds.append(part)
        cuts.append(len(pictures))
    times = [Fraction(i, 25) for i in range(len(pictures))]
    write_media(path, pictures, times, np.concatenate(sounds))
    return cuts[:-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    import subprocess
    import sys

    folder = tmp_path_factory.mktemp("episode")
    (folder / "in").mkdir()
    cuts = make_episode(folder / "in" / "plain.mp4", 0)
    make_episode(folder / "in" / "shifted.mp4", PLANTED_MS)
    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pipeline.cli",
            "build",
            str(folder / "in"),
            "--out",
            str(folder / "out"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    from manifests.corpus import Corpus

    corpus = Corpus(folder / "out")
    videos = {Path(r["address"]).stem: r["video_id"] for r in corpus.rows("sources")}
    return corpus, videos, cuts


@pytest.mark.parametrize("which", ["plain", "shifted"])
def test_cuts_come_back_within_one_frame(built, which):
    corpus, videos, cuts = built
    found = sorted(
        s["start_frame"]
        for s in corpus.rows("shots")
        if s["video_id"] == videos[which] and s["start_frame"]
    )
    missed = [c for c in cuts if not any(abs(c - f) <= 1 for f in found)]
    extra = [f for f in found if not any(abs(c - f) <= 1 for c in cuts)]
    assert (missed, extra) == ([], [])


def test_no_track_crosses_a_cut(built):
    corpus, _, cuts = built
    for track in corpus.rows("tracks"):
        assert not any(track["start_frame"] < c < track["end_frame"] for c in cuts)


def test_planted_offsets_come_back(built):
    """The same parts with and without the plant: the difference is the plant."""
    corpus, videos, cuts = built
    lags = {which: {} for which in videos}
    for offset in corpus.rows("offsets"):
        which = next(k for k, v in videos.items() if v == offset["video_id"])
        if offset["video_lag_ms"] is not None:
            first = offset["window_start_frames"][0]
            lags[which][sum(first >= c - 1 for c in cuts)] = offset["video_lag_ms"]
    both = sorted(set(lags["plain"]) & set(lags["shifted"]))
    errors = [lags["shifted"][p] - lags["plain"][p] - PLANTED_MS for p in both]
    assert len(both) >= 4, lags
    assert all(abs(e) <= 40 for e in errors), dict(zip(both, errors, strict=True))


def test_every_part_gives_a_clip(built):
    corpus, videos, cuts = built
    for which, video in videos.items():
        parts = {
            sum(c["start_frame"] >= x - 1 for x in cuts)
            for c in corpus.rows("clips")
            if c["video_id"] == video
        }
        assert parts == set(range(len(CLIPS))), which
