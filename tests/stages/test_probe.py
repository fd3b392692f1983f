"""The probe's verdicts."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from manifests.records import Fetched, Reject, Video
from stages.base import Context
from stages.sources.probe import Probe, ProbeConfig
from tests.synthetic import EventFile, constant_pts_s, write_events


def probe(path: Path):
    item = Fetched(
        source_id="s",
        video_id="v",
        media_path=str(path),
        sha256="",
        num_bytes=1,
        address=str(path),
        kind="file",
        requested_as=str(path),
    )
    return Probe(ProbeConfig()).process([item], Context(path.parent))[0]


def write_silent(path: Path, codec: str, count: int) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        for i in range(count):
            frame = av.VideoFrame.from_ndarray(np.full((96, 64), 9 * i % 200, np.uint8), "yuv420p")
            out.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        out.mux(stream.encode(None))
    return path


def test_a_good_file_becomes_a_video(tmp_path):
    path = write_events(
        tmp_path / "a.mp4",
        EventFile(constant_pts_s(Fraction(30), 3), [1.0, 2.0], sample_rate=48000),
    )
    (video,) = probe(path)
    assert isinstance(video, Video)
    assert (video.video_codec, video.audio_codec, video.source_fps) == ("h264", "aac", "30")
    assert (video.num_frames, video.width_px, video.height_px) == (75, 64, 48)
    assert not video.is_vfr and not video.is_hdr and video.rotation_deg == 0


@pytest.mark.parametrize("reason", ["no_audio", "no_video", "unreadable", "too_short"])
def test_reasons(tmp_path, reason):
    path = tmp_path / "a.mp4"
    if reason == "no_audio":
        write_silent(path, "libx264", 50)
    elif reason == "no_video":
        path = tmp_path / "a.wav"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("pcm_s16le", rate=16000, layout="mono")
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.int16), "s16", "mono")
            frame.sample_rate = 16000
            out.mux(stream.encode(frame))
    elif reason == "unreadable":
        path.write_bytes(b"\0" * 5000)
    else:
        write_events(path, EventFile(constant_pts_s(Fraction(25), 0.4), [0.2], sample_rate=48000))
    outcome = probe(path)
    assert isinstance(outcome, Reject) and outcome.reason == reason
    assert outcome.reason in Probe.reasons and outcome.detail
