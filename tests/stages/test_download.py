"""Real yt-dlp against a loopback server: ranges, 404, 429, cut bodies, two languages."""

from __future__ import annotations

import dataclasses
import shutil
import socket
import time
from pathlib import Path

import av
import numpy as np
import pytest

from manifests.records import Reject, Request, Source
from pipeline.demo.server import FolderHandler, serve
from stages.base import Context, TransientError
from stages.sources.arguments import BadSourceError, requests_from_arguments
from stages.sources.download import Download, DownloadConfig, errors
from stages.sources.download.limiter import HostLimiter, LimiterConfig
from stages.sources.download.site import retry_after_s
from stages.sources.expand import Expand, ExpandConfig

FAST = DownloadConfig(
    sleep_min_s=0, sleep_max_s=0, min_free_gb=0.01, backoff_s=0.05, allow_hosts=["127.0.0.1"]
)


class LocalLimiter:
    """A HostLimiter on real time, in this process."""

    def __init__(self, config=None):
        self.inner = HostLimiter(config or LimiterConfig(requests_per_s=200, burst=200))

    def acquire(self, host):
        return self.inner.acquire(host, time.time())

    def blocked(self, host, retry_after_s):
        return self.inner.blocked(host, time.time(), retry_after_s)

    def succeeded(self, host):
        self.inner.succeeded(host, time.time())


def write_clip(
    path: Path,
    seconds: float = 1.0,
    seed: int = 0,
    sound: bool = True,
    picture: bool = True,
    tone_hz: float = 440.0,
) -> Path:
    random = np.random.default_rng(seed)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25) if picture else None
        audio = out.add_stream("aac", rate=16000) if sound else None
        if audio:
            audio.layout = "mono"
        if video:
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            for _ in range(int(25 * seconds)):
                noise = random.integers(0, 255, (64, 64, 3), dtype=np.uint8)
                out.mux(video.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
            out.mux(video.encode(None))
        if audio:
            time_s = np.arange(int(16000 * seconds)) / 16000
            pcm = (8000 * np.sin(2 * np.pi * tone_hz * time_s)).astype(np.int16)[None]
            frame = av.AudioFrame.from_ndarray(pcm, format="s16", layout="mono")
            frame.sample_rate = 16000
            out.mux(audio.encode(frame))
            out.mux(audio.encode(None))
    return path


def source(address: str) -> Source:
    return Source("v1", "r1", address, "link", "test")


def fetch(address: str, work: Path, limiter=None, config=FAST):
    context = Context(work, "k", rate_limiter=limiter or LocalLimiter())
    return Download(config).process([source(address)], context)[0]


@pytest.fixture
def site(tmp_path):
    folder = tmp_path / "site"
    folder.mkdir()
    return folder


def test_a_plain_link_arrives_untouched_and_is_not_fetched_again(site, tmp_path):
    clip = write_clip(site / "clip.mp4")
    work = tmp_path / "work"
    with serve(site) as address:
        got = fetch(f"{address}/clip.mp4", work)[0]
        assert (work / got.media_path).read_bytes() == clip.read_bytes()
        assert got.video_id.startswith("f"), "a generic link is named by its bytes"
    # The server is gone: a second request must not need it.
    assert fetch(f"{address}/clip.mp4", work)[0].sha256 == got.sha256


def test_a_dead_link_is_a_reject(site, tmp_path):
    with serve(site) as address:
        request = Request("r1", f"{address}/gone.mp4", "link", "test")
        context = Context(tmp_path, "k", rate_limiter=LocalLimiter())
        outcome = Expand(ExpandConfig(allow_hosts=["127.0.0.1"])).process([request], context)[0]
        assert isinstance(outcome, Reject) and outcome.reason == "gone"
        assert fetch(f"{address}/gone.mp4", tmp_path / "w").reason == "gone"


class CutOffHandler(FolderHandler):
    """Drops the first big answer half way; then serves ranges."""

    cut, asked = False, []

    def _answer(self, with_body):
        type(self).asked.append((self.command, self.headers.get("Range")))
        size = (self.server.folder / "big.mp4").stat().st_size
        if with_body and not type(self).cut and len(type(self).asked) > 1:
            type(self).cut = True
            content = (self.server.folder / "big.mp4").read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(size))
            self.send_header("Accept-Ranges", "bytes")
            self.end_headers()
            self.wfile.write(content[: size // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        super()._answer(with_body)


def test_a_cut_off_body_resumes(site, tmp_path):
    clip = write_clip(site / "big.mp4", 12.0)
    CutOffHandler.cut, CutOffHandler.asked = False, []
    with serve(site, CutOffHandler) as address:
        got = fetch(f"{address}/big.mp4", tmp_path / "work")[0]
    assert CutOffHandler.cut
    assert (tmp_path / "work" / got.media_path).read_bytes() == clip.read_bytes()
    resumed = [r for _, r in CutOffHandler.asked if r and not r.startswith("bytes=0-")]
    assert resumed, "the second half was asked for by range"


class BusyHandler(FolderHandler):
    """429 with Retry-After until `open_at`."""

    open_at, refused = 0.0, 0

    def _answer(self, with_body):
        if time.time() < type(self).open_at:
            type(self).refused += 1
            self.send_response(429)
            self.send_header("Retry-After", "2")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super()._answer(with_body)


def test_429_parks_the_host_for_what_it_asks(site, tmp_path):
    write_clip(site / "clip.mp4")
    BusyHandler.open_at, BusyHandler.refused = time.time() + 1.5, 0
    limiter = LocalLimiter()
    with serve(site, BusyHandler) as address:
        with pytest.raises(errors.HostParkedError) as parked:
            fetch(f"{address}/clip.mp4", tmp_path / "work", limiter)
        assert 1.0 < parked.value.wait_s <= 2.0
        refused = BusyHandler.refused
        with pytest.raises(errors.HostParkedError):
            fetch(f"{address}/clip.mp4", tmp_path / "work", limiter)
        assert BusyHandler.refused == refused == 1, "a parked host is not asked"
        time.sleep(2.1)
        assert fetch(f"{address}/clip.mp4", tmp_path / "work", limiter)[0].num_bytes > 0


MANIFEST = """<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT2S"
 profiles="urn:mpeg:dash:profile:isoff-on-demand:2011"><Period>
<AdaptationSet mimeType="video/mp4"><Representation id="v1" codecs="avc1.64000a" width="64"
 height="64" bandwidth="100000"><BaseURL>picture.mp4</BaseURL></Representation></AdaptationSet>
<AdaptationSet mimeType="audio/mp4" lang="ko"><Representation id="a-ko" codecs="mp4a.40.2"
 audioSamplingRate="16000" bandwidth="64000"><BaseURL>ko.m4a</BaseURL></Representation>
</AdaptationSet>
<AdaptationSet mimeType="audio/mp4" lang="en"><Representation id="a-en" codecs="mp4a.40.2"
 audioSamplingRate="16000" bandwidth="96000"><BaseURL>en.m4a</BaseURL></Representation>
</AdaptationSet></Period></MPD>"""


@pytest.mark.parametrize("language, tone_hz", [(None, 500.0), ("en", 900.0)])
def test_dash_with_two_languages_keeps_the_original(site, tmp_path, language, tone_hz):
    write_clip(site / "picture.mp4", 2.0, sound=False)
    write_clip(site / "k.mp4", 2.0, picture=False, tone_hz=500.0).rename(site / "ko.m4a")
    write_clip(site / "e.mp4", 2.0, picture=False, tone_hz=900.0).rename(site / "en.m4a")
    (site / "talk.mpd").write_text(MANIFEST)
    config = dataclasses.replace(FAST, language=language)
    with serve(site) as address:
        got = fetch(f"{address}/talk.mpd", tmp_path / "work", config=config)[0]
    assert got.language == (language or "ko")
    with av.open(str(tmp_path / "work" / got.media_path)) as container:
        assert len(container.streams.video) == len(container.streams.audio) == 1
        pcm = np.concatenate([f.to_ndarray()[0] for f in container.decode(audio=0)])
    spectrum = np.abs(np.fft.rfft(pcm[8000:24000]))
    assert abs(float(np.argmax(spectrum)) - tone_hz) < 20


def test_a_full_disk_parks_the_run(site, tmp_path):
    config = dataclasses.replace(FAST, min_free_gb=shutil.disk_usage(tmp_path).free / 1e9 + 100)
    with pytest.raises(errors.DiskFullError, match="free space and run the same command"):
        fetch("http://127.0.0.1:9/clip.mp4", tmp_path, config=config)


def test_nobody_at_home_is_transient(tmp_path):
    with pytest.raises(TransientError):
        fetch("http://127.0.0.1:9/clip.mp4", tmp_path)


def test_the_bucket_waits_doubles_and_forgives():
    limiter = HostLimiter(LimiterConfig(requests_per_s=2, burst=2, park_s=10, max_park_s=25))
    assert [limiter.acquire("h", 0)[0] for _ in range(3)] == ["go", "go", "wait"]
    assert limiter.acquire("h", 0.5)[0] == "go" and limiter.acquire("other", 0)[0] == "go"
    assert limiter.blocked("h", 1) == 10 and limiter.acquire("h", 5) == ("parked", 6)
    assert limiter.blocked("h", 20) == 20 and limiter.blocked("h", 50) == 25
    limiter.succeeded("h", 80)
    assert limiter.blocked("h", 90) == 10
    assert limiter.blocked("h", 91, 3.0) == 9, "an old request's answer does not shorten a rest"


@pytest.mark.parametrize(
    "message, kind",
    [
        ("HTTP Error 404: Not Found", "gone"),
        ("Video unavailable", "gone"),
        ("Private video. Sign in if you've been granted access", "private"),
        ("Sign in to confirm you're not a bot", "blocked"),
        ("HTTP Error 429: Too Many", "blocked"),
        ("Sign in to confirm your age. This video may be inappropriate for some users", "age"),
        ("The uploader has not made this video available in your country", "geo"),
        ("This live event will begin in 3 days", "live"),
        ("timed out", "transient"),
        ("HTTP Error 503: Service Unavailable", "transient"),
        ("Unsupported URL: http://x", "unsupported"),
        ("something new", "transient"),
    ],
)
def test_errors_are_told_apart(message, kind):
    assert errors.classify(message) == kind


def test_retry_after_as_seconds_and_as_date():
    assert retry_after_s("12", 0) == 12
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 30) == 30
    assert retry_after_s(None, 0) is None


def test_arguments_become_requests(tmp_path):
    clip = write_clip(tmp_path / "a b'c.mp4")
    listing = tmp_path / "links.txt"
    listing.write_text("# mine\nhttps://example.org/v?id=1\n\nhttps://example.org/v?id=1\n")
    found = requests_from_arguments([str(listing), str(clip), str(tmp_path)])
    assert [r.kind for r in found] == ["link", "file"] and found[0].line == 2
    for bad, word in ((str(tmp_path / "no"), "neither"), (str(tmp_path / "x.docx"), "neither")):
        with pytest.raises(BadSourceError, match=word):
            requests_from_arguments([bad])
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(BadSourceError, match="holds no media file"):
        requests_from_arguments([str(empty)])
