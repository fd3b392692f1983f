"""Expand: a link becomes its videos (playlists and channels are listed, not fetched)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from manifests.ids import hash_id
from manifests.network.addresses import AllowedHosts
from manifests.records import Reject, Request, Source, col
from stages.base import Context, Resources, Stage


@dataclass(frozen=True)
class ExpandConfig:
    """Playlists and channels."""

    max_playlist_videos: int | None = col(
        "most videos taken from a playlist; null: all", at_least=1, default=None
    )
    cookies_file: str | None = col("cookies file; null: that of download", default=None)
    cookies_from_browser: str | None = col(
        "browser to take cookies from; null: that of download", default=None
    )
    allow_hosts: list[str] = col(
        "hosts to ask though not public, beside those of download",
        in_key="unless_default",
        default_factory=list,
    )
    min_bytes_per_s: float = col(
        "slowest answer waited for, over a minute",
        "B/s",
        at_least=0,
        in_key="unless_default",
        default=200.0,
    )

    def __post_init__(self) -> None:
        AllowedHosts(self.allow_hosts)


class Expand(Stage[Request, Source]):
    """Files pass; links are asked what they are."""

    name = "expand"
    reasons = frozenset(
        {
            "gone",
            "private",
            "age",
            "geo",
            "live",
            "unsupported",
            "empty_playlist",
            "address_refused",
            "too_large",
        }
    )
    resources = Resources(memory_gb=2.0, timeout_s=600.0)

    def process(self, batch: Sequence[Request], context: Context) -> list[list[Source] | Reject]:
        return [self._one(request, context) for request in batch]

    def _one(self, request: Request, context: Context) -> list[Source] | Reject:
        if request.kind in ("file", "member"):
            return [_source(request, request.address)]
        from stages.sources.download import errors, site

        try:
            facts = site.list_videos(
                request.address,
                context.rate_limiter,
                self.config.max_playlist_videos,
                site.cookie_options(self.config),
                site.bounds_of(self.config),
            )
        except Exception as error:
            return errors.reject_or_raise(error)
        if not facts:
            return Reject("empty_playlist", 0, 1, f"{request.address} lists no video")
        return [
            _source(
                request,
                f["address"],
                f.get("id"),
                f.get("extractor"),
                f.get("playlist_id"),
                f.get("title"),
                f.get("duration_s"),
            )
            for f in facts
        ]


def _source(
    request: Request,
    address: str,
    site_id=None,
    extractor=None,
    playlist_id=None,
    title=None,
    duration_s=None,
) -> Source:
    identity = hash_id(request.kind, extractor or "", site_id or "", address)
    return Source(
        f"v{identity}",
        request.request_id,
        address,
        request.kind,
        request.requested_as,
        site_id,
        extractor,
        playlist_id,
        title,
        duration_s,
    )
