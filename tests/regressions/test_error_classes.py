"""Only what a site itself says, by its status, parks a host or ends a link; digits never do."""

from __future__ import annotations

import dataclasses
import subprocess

import pytest
from yt_dlp.networking.common import Response
from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, TransportError
from yt_dlp.utils import DownloadError, ExtractorError, GeoRestrictedError

from manifests.records import Reject
from pipeline.demo.server import FolderHandler, serve
from stages.base import TransientError
from stages.sources.download import errors
from stages.sources.download.site import ffmpeg_path
from tests.stages.test_download import FAST, LocalLimiter, fetch, write_clip


def http_error(status: int) -> HTTPError:
    return HTTPError(Response(None, "http://example.org/429/404/x", {}, status))


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as caught:
        return caught


def wrapped(error: Exception, video_id: str = "abc") -> DownloadError:
    """As yt-dlp does it: an ExtractorError with its cause, then a DownloadError with its words."""
    try:
        try:
            raise error
        except Exception as inner:
            raise ExtractorError(
                "Unable to download webpage",
                cause=inner,
                expected=True,
                video_id=video_id,
                ie="generic",
            ) from inner
    except ExtractorError as outer:
        try:
            raise DownloadError(f"ERROR: {outer}", outer.exc_info)
        except DownloadError as last:
            return last


@pytest.mark.parametrize(
    "status, kind",
    [
        (429, "blocked"),
        (404, "gone"),
        (410, "gone"),
        (401, "private"),
        (451, "geo"),
        (403, "transient"),
        (400, "transient"),
        (408, "transient"),
        (500, "transient"),
        (502, "transient"),
        (503, "transient"),
        (504, "transient"),
        (418, "transient"),
    ],
)
def test_a_status_counts_however_deep_it_lies(status, kind):
    error = http_error(status)
    assert errors.kind_of(error) == kind
    assert errors.kind_of(wrapped(error)) == kind
    assert errors.kind_of(wrapped(error, "404 429 410")) == kind
    assert errors.kind_of(raised(RuntimeError("x"), wrapped(error))) == kind


@pytest.mark.parametrize(
    "error, kind",
    [
        (IncompleteRead(429, 4290), "truncated"),
        (TransportError("http://example.org/404/429.mp4 timed out"), "transient"),
        (TransportError("captcha.example.org: connection refused"), "transient"),
        (TransportError("[Errno -2] Name or service not known"), "transient"),
        (ConnectionResetError(104, "reset"), "transient"),
        (TimeoutError("404"), "transient"),
    ],
)
def test_what_the_network_does_is_no_word_of_the_site(error, kind):
    for video_id in ("abc", "429", "x404-removed-410", "captcha"):
        assert errors.kind_of(wrapped(error, video_id)) == kind
    assert errors.kind_of(error) == kind


@pytest.mark.parametrize(
    "message, kind",
    [
        ("ERROR: [generic] 429-404: timed out", "transient"),
        ("ERROR: [site] deleted_404: 1404 bytes read, 4290 more expected", "transient"),
        ("Unable to fetch https://example.org/404/removed/captcha.mp4", "transient"),
        ("no answer from 'video-404-not-found' or \"429 too many requests\"", "transient"),
        ("read 429 of 410 in 404 s", "transient"),
        ("ERROR: [site] x: HTTP Error 404: Not Found", "gone"),
        ("Unable to download webpage: HTTP Error 503: removed for service", "transient"),
        ("[site] 429: Private video", "private"),
    ],
)
def test_words_count_without_digits_ids_and_addresses(message, kind):
    assert errors.classify(message) == kind


def test_a_sites_own_words_count_where_it_gave_no_status():
    for words, kind in (
        ("Sign in to confirm you're not a bot", "blocked"),
        ("This video has been removed by the uploader", "gone"),
        ("Sign in to confirm your age", "age"),
    ):
        assert errors.kind_of(ExtractorError(words, expected=True, video_id="404")) == kind
    assert errors.kind_of(GeoRestrictedError("nowhere")) == "geo"


class Talks(FolderHandler):
    """`/404/...` and ids full of digits; bodies cut at 4290 more; segments that say 429."""

    segment_status = 200

    def do_GET(self):
        if "hang-up" in self.path:
            self.close_connection = True
            return
        if self.path.endswith("cut.mp4"):
            self.send_response(200)
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(10_000))
            self.end_headers()
            self.wfile.write(b"\0\0\0\x18ftypisom" + bytes(10_000 - 4290 - 12))
            self.close_connection = True
            return
        if self.path.endswith("1.ts"):
            self.send_response(self.segment_status)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()


@pytest.mark.parametrize(
    "path, reason",
    [
        ("cut.mp4", "truncated"),
        ("404/429/removed/cut.mp4", "truncated"),
        ("404/410/captcha/hang-up.mp4", None),
        ("watch/hang-up?id=429", None),
    ],
)
def test_a_passing_error_parks_nobody(tmp_path, path, reason):
    limiter = LocalLimiter()
    with serve(tmp_path, Talks) as address, pytest.raises(TransientError) as caught:
        fetch(f"{address}/{path}", tmp_path / "w", limiter)
    assert getattr(caught.value, "reason", None) == reason
    assert not isinstance(caught.value, errors.HostParkedError)
    assert limiter.inner.parked(0) == {}


@pytest.mark.parametrize(
    "status, kind",
    [(429, "parked"), (404, "gone"), (410, "gone"), (403, "transient"), (503, "transient")],
)
def test_a_segments_status_counts_as_the_sites(tmp_path, monkeypatch, status, kind):
    clip = write_clip(tmp_path / "clip.mp4", 2.0)
    subprocess.run(
        [
            ffmpeg_path(),
            "-loglevel",
            "error",
            "-i",
            str(clip),
            "-g",
            "5",
            "-hls_time",
            "0.4",
            "-hls_list_size",
            "0",
            str(tmp_path / "s.m3u8"),
        ],
        check=True,
        stdin=subprocess.DEVNULL,
    )
    limiter, config = LocalLimiter(), dataclasses.replace(FAST, attempts=1)
    monkeypatch.setattr(Talks, "segment_status", status)
    with serve(tmp_path, Talks) as address:
        try:
            outcome = fetch(f"{address}/s.m3u8", tmp_path / "w", limiter, config)
        except TransientError as error:
            outcome = error
    if kind == "parked":
        assert isinstance(outcome, errors.HostParkedError) and 6 < outcome.wait_s <= 7
    elif kind == "gone":
        assert isinstance(outcome, Reject) and outcome.reason == "gone"
    else:
        assert isinstance(outcome, TransientError) and str(outcome).startswith("transient")
