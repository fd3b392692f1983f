"""yt-dlp, asked politely: every request passes the host limiter, every 429 parks its host."""

from __future__ import annotations

import email.utils
import logging
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlsplit

from manifests.network.addresses import AllowedHosts
from manifests.network.bounded_http import Bounds
from stages.base import SetupError
from stages.sources.download.errors import HostParkedError, UnsupportedError, chain

LONGEST_WAIT_S = 30.0


class Limiter(Protocol):
    """What the runner hands in as the service `rate_limiter`."""

    def acquire(self, host: str) -> tuple[str, float]: ...
    def blocked(self, host: str, retry_after_s: float | None) -> float: ...
    def succeeded(self, host: str) -> None: ...


def host_of(address: str) -> str:
    """The part of an address that one token bucket stands for."""
    parts = urlsplit(address)
    return f"{parts.hostname or ''}:{parts.port}" if parts.port else parts.hostname or ""


def retry_after_s(value: str | None, now_s: float) -> float | None:
    """Seconds of a Retry-After header (a number or an HTTP date), or None."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        stamp = email.utils.parsedate_to_datetime(value) if value else None
        return None if stamp is None else max(0.0, stamp.timestamp() - now_s)


def ffmpeg_path() -> str:
    """An installed ffmpeg, or the one of the Python package. Raises SetupError."""
    import shutil

    found = shutil.which("ffmpeg")
    if found:
        return found
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise SetupError(f"no ffmpeg: {error}; run `make setup`") from None


def _polite_class():
    from yt_dlp import YoutubeDL
    from yt_dlp.networking.exceptions import HTTPError
    from yt_dlp.utils import determine_protocol

    from stages.sources.download import network

    class PoliteYoutubeDL(YoutubeDL):
        """A YoutubeDL whose requests wait for the limiter and keep within bounds."""

        limiter: Limiter | None = None
        parked: HostParkedError | None = None
        last_error: Exception | None = None
        bounds: Bounds

        def build_request_director(self, handlers, preferences=None):
            director = super().build_request_director([network.BoundedRH])
            for handler in director.handlers.values():
                handler.bounds = self.bounds
            return director

        def urlopen(self, req):
            try:
                answer = self._urlopen_in_turn(req)
            except Exception as error:
                self.last_error = error
                raise
            answer.read = self._noting(answer.read)
            return answer

        def _noting(self, read):
            def noting(*args):
                try:
                    return read(*args)
                except Exception as error:
                    self.last_error = error
                    raise

            return noting

        def dl(self, name, info, subtitle=False, test=False):
            """Where the downloader is chosen: never one that fetches by other means than ours."""
            protocols = set(determine_protocol(info).split("+")) if info.get("url") else set()
            if info.get("is_live") or protocols - network.NATIVE:
                raise UnsupportedError(
                    "a stream that is live"
                    if info.get("is_live")
                    else "the protocol "
                    f"{'+'.join(sorted(protocols - network.NATIVE))} is not fetched"
                )
            return super().dl(name, info, subtitle, test)

        def _urlopen_in_turn(self, req):
            address = req if isinstance(req, str) else getattr(req, "url", None) or req.full_url
            host = host_of(address)
            if self.limiter is None:
                return super().urlopen(req)
            while True:
                state, wait_s = self.limiter.acquire(host)
                if state == "go":
                    break
                if state == "parked" or wait_s > LONGEST_WAIT_S:
                    self.parked = HostParkedError(host, wait_s)
                    raise self.parked
                time.sleep(wait_s)
            try:
                return super().urlopen(req)
            except HTTPError as error:
                if error.status == 429:
                    # After a redirect it is another host that refuses.
                    host = host_of(error.response.url or address)
                    wanted = retry_after_s(error.response.headers.get("Retry-After"), time.time())
                    self.parked = HostParkedError(host, self.limiter.blocked(host, wanted))
                    raise self.parked from error
                raise

        def process_video_result(self, info, download=True):
            # Sorting forgets the manifest's order, and the first language is the original.
            for index, item in enumerate(info.get("formats") or []):
                item["manifest_order"] = index
            return super().process_video_result(info, download)

    return PoliteYoutubeDL


def open_site(limiter: Limiter | None, bounds: Bounds | None = None, **options: Any):
    """A polite YoutubeDL with common options; use it as a context manager.

    Without `bounds` it asks public hosts alone, and takes what they give.
    """
    from stages.sources.download.network import FFMPEG_OFFLINE

    logger = logging.getLogger("yld.yt_dlp")
    logger.addHandler(logging.NullHandler())
    runtimes = {}
    try:
        import deno

        runtimes = {"deno": {"path": deno.find_deno_bin()}}
    except (ImportError, FileNotFoundError):
        runtimes = {"deno": {}, "node": {}}
    settings = {
        "quiet": True,
        "no_warnings": True,
        "noprogress": True,
        "logger": logger,
        "cachedir": False,
        "ffmpeg_location": ffmpeg_path(),
        "js_runtimes": runtimes,
        "socket_timeout": 30,
        "color": "no_color",
        "enable_file_urls": False,
        "hls_prefer_native": True,
        "external_downloader_args": FFMPEG_OFFLINE,
        # A stream with a hole in it is not what was asked for.
        "skip_unavailable_fragments": False,
        **options,
    }
    site = _polite_class()(settings)
    site.limiter, site.bounds = limiter, bounds or bounds_of()
    return site


def bounds_of(config: Any = None, **more: Any) -> Bounds:
    """Bounds after a stage's `allow_hosts` and `min_bytes_per_s`; of the defaults without one."""
    return Bounds(
        AllowedHosts(getattr(config, "allow_hosts", ()), "download.allow_hosts"),
        min_bytes_per_s=getattr(config, "min_bytes_per_s", 0.0),
        **more,
    )


def guarded(site, work: Callable[[], Any]) -> Any:
    """Run `work`; a rest asked for anywhere inside yt-dlp comes out as HostParkedError.

    Where yt-dlp kept of a network error only its words, the error itself is the cause again.
    """
    site.parked = site.last_error = None
    try:
        return work()
    except Exception as error:
        if site.parked is not None:
            raise site.parked from None
        last = site.last_error
        if last is not None and last not in chain(error) and str(last) in str(error):
            raise error from last
        raise


def cookie_options(config: Any) -> dict[str, Any]:
    """yt-dlp's options for `cookies_file` and `cookies_from_browser` of a stage's settings."""
    options: dict[str, Any] = {}
    if config.cookies_file:
        options["cookiefile"] = config.cookies_file
    if config.cookies_from_browser:
        options["cookiesfrombrowser"] = (config.cookies_from_browser,)
    return options


def list_videos(
    address: str,
    limiter: Limiter | None,
    limit: int | None,
    cookies: dict[str, Any] | None = None,
    bounds: Bounds | None = None,
) -> list[dict[str, Any]]:
    """The videos behind a link, without fetching them: address, id, title, duration.

    A single video gives one entry. Live streams raise ValueError. yt-dlp's own errors rise.
    """
    options = {"extract_flat": "in_playlist", "skip_download": True, **(cookies or {})}
    if limit:
        options["playlistend"] = limit
    with open_site(limiter, bounds, **options) as site:
        info = guarded(site, lambda: site.extract_info(address, download=False, process=False))
        if info.get("_type") in ("url", "url_transparent"):
            return [
                {
                    "address": info.get("url") or address,
                    "id": info.get("id"),
                    "extractor": info.get("ie_key"),
                    "title": info.get("title"),
                }
            ]
        if info.get("_type") not in ("playlist", "multi_video"):
            if info.get("is_live"):
                raise ValueError(f"{address} is live")
            return [
                {
                    "address": address,
                    "id": info.get("id"),
                    "extractor": info.get("extractor_key") or info.get("extractor"),
                    "title": info.get("title"),
                    "duration_s": info.get("duration"),
                }
            ]
        found: list[dict[str, Any]] = []
        for entry in guarded(site, lambda: list(info.get("entries") or [])):
            if limit and len(found) >= limit:
                break
            if not entry:
                continue
            target = entry.get("url") or entry.get("webpage_url")
            if entry.get("_type") == "playlist" and target:
                found += list_videos(target, limiter, limit, cookies, bounds)
            elif target:
                found.append(
                    {
                        "address": target,
                        "id": entry.get("id"),
                        "extractor": entry.get("ie_key"),
                        "title": entry.get("title"),
                        "duration_s": entry.get("duration"),
                        "playlist_id": info.get("id"),
                    }
                )
        return found
