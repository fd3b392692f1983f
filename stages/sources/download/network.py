"""yt-dlp's way to the network: one handler, below every request, redirect and fragment.

Only this handler is installed, so that no other library (requests, libcurl, websockets) goes round
the checks of `manifests.network.addresses` and the bounds of `manifests.network.bounded_http`; and
yt-dlp never lets ffmpeg fetch (`NATIVE`, and `FFMPEG_OFFLINE` for what it delegates by itself).
"""

from __future__ import annotations

import functools
import http.client
import urllib.request

from yt_dlp.networking import _urllib as base

from manifests.network.bounded_http import (
    Body,
    Bounds,
    RedirectsWithin,
    brotli_machine,
    check_proxied,
    connection_class,
)

NATIVE = frozenset(
    {
        "http",
        "https",
        "m3u8",
        "m3u8_native",
        "http_dash_segments",
        "http_dash_segments_generator",
        "ism",
        "f4m",
    }
)
"""Protocols that yt-dlp fetches by requests of its own."""
FFMPEG_OFFLINE = {"ffmpeg_i": ["-protocol_whitelist", "file,crypto,data"]}


class _Handler(base.HTTPHandler):
    """http and https within bounds; decodes bodies as they come instead of in one piece."""

    def __init__(self, bounds: Bounds, **kwargs) -> None:
        super().__init__(**kwargs)
        self.bounds = bounds

    def http_open(self, req):
        return self.do_open(self._maker(http.client.HTTPConnection, req), req)

    def https_open(self, req):
        return self.do_open(
            self._maker(http.client.HTTPSConnection, req), req, context=self._context
        )

    def _maker(self, kind, req):
        is_proxied = (
            req.has_proxy()
            or bool(getattr(req, "_tunnel_host", None))
            or "Ytdl-socks-proxy" in req.headers
        )
        if is_proxied:
            check_proxied(req, self.bounds)
        bounded = connection_class(self._make_conn_class(kind, req), self.bounds, is_proxied)
        return functools.partial(self._made, bounded)

    def _made(self, kind, *args, **kwargs):
        connection = kind(*args, **kwargs)
        if self._source_address is not None:
            connection.source_address = (self._source_address, 0)
        return connection

    def http_response(self, req, resp):
        body = Body(resp, self.bounds, is_bodiless=req.get_method() == "HEAD")
        answer = urllib.request.addinfourl(body, resp.headers, resp.url, resp.code)
        answer.msg = resp.msg
        location = answer.headers.get("Location")
        if 300 <= answer.code < 400 and location:
            # Headers are latin-1 to Python; what sites mean is UTF-8 (as yt-dlp's handler has it).
            escaped = base.normalize_url(
                location.encode("iso-8859-1").decode("utf-8", "backslashreplace")
            )
            del answer.headers["Location"]
            answer.headers["Location"] = escaped
        return answer

    https_request = base.HTTPHandler.http_request
    https_response = http_response


class _Redirects(RedirectsWithin, base.RedirectHandler):
    """yt-dlp's rules for a redirect's method and headers, to http and https only."""

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = (
        RedirectsWithin.http_error_302
    )


class BoundedRH(base.UrllibRH):
    """A request handler for yt-dlp; `bounds` is set before the first request."""

    _SUPPORTED_URL_SCHEMES = ("http", "https", "data")
    RH_NAME = "bounded"
    bounds: Bounds

    def _create_instance(self, proxies, cookiejar, legacy_ssl_support=None):
        opener = urllib.request.OpenerDirector()
        for handler in (
            base.ProxyHandler(proxies),
            _Handler(
                self.bounds,
                source_address=self.source_address,
                context=self._make_sslcontext(legacy_ssl_support=legacy_ssl_support),
            ),
            urllib.request.HTTPCookieProcessor(cookiejar),
            urllib.request.DataHandler(),
            urllib.request.UnknownHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            _Redirects(),
        ):
            opener.add_handler(handler)
        opener.addheaders = []
        return opener

    def _prepare_headers(self, _, headers):
        known = ["gzip", "deflate"] + (["br"] if brotli_machine() else [])
        base.add_accept_encoding_header(headers, known)
