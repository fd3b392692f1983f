"""Download: a source becomes a media file in hand, with where it came from.

Local files stay where they are and are only hashed. What was fetched is not fetched again;
partial files resume, after a crash too, and go when a link has failed for this run; only transient
errors are tried again. Who may be asked, and how much and how slowly they may answer, is bounded
(`stages.sources.download.network`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import random
import re
import shutil
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from manifests.files import sha256_of, write_atomic
from manifests.ids import video_id
from manifests.media.container_size import promised_bytes
from manifests.network.addresses import AllowedHosts
from manifests.paths import as_path, as_text
from manifests.records import Fetched, Reject, Source, col
from manifests.walk import HEAD_BYTES, looks_like_text
from stages.base import Context, Resources, Stage, TransientError
from stages.sources.download import errors, formats, member, site
from stages.sources.download.limiter import LimiterConfig

SPACE_LOOK_BYTES = 256 << 20


@dataclass(frozen=True)
class DownloadConfig:
    """What is fetched and how politely."""

    max_height: int = col("largest picture height fetched", "px", at_least=1, default=1080)
    language: str | None = col("language of the sound; null: the original", default=None)
    captions: bool = col("keep captions with the source", default=True)
    automatic_captions: bool = col("also keep machine-made captions", default=False)
    cookies_file: str | None = col("cookies file; only when given", default=None)
    cookies_from_browser: str | None = col(
        "browser to take cookies from; only when given", default=None
    )
    attempts: int = col("attempts at transient errors", at_least=1, in_key="never", default=3)
    backoff_s: float = col(
        "first pause after a transient error; doubles", "s", at_least=0, default=2.0
    )
    sleep_min_s: float = col("least pause after a video", "s", at_least=0, default=1.0)
    sleep_max_s: float = col("longest pause after a video", "s", at_least=0, default=4.0)
    min_free_gb: float = col(
        "free space under which the run is parked", "GB", at_least=0, default=2.0
    )
    max_bytes: int = col(
        "most bytes fetched for one video, inflated; above it the link is a reject",
        "B",
        at_least=1,
        in_key="unless_default",
        default=20_000_000_000,
    )
    min_bytes_per_s: float = col(
        "slowest answer waited for, over a minute",
        "B/s",
        at_least=0,
        in_key="unless_default",
        default=1000.0,
    )
    allow_hosts: list[str] = col(
        "hosts to ask though they are not public: names, addresses, networks (10.0.0.0/8)",
        in_key="unless_default",
        default_factory=list,
    )
    keep_sources: Literal["always", "until_done", "never"] = col(
        "fetched media: keep always, until the run is done, or never longer than its clips "
        "need; a changed setting that needs it again fetches it again",
        default="always",
    )
    consent: str | None = col("consent of the persons shown, for the manifest", default=None)
    licence: str | None = col("licence, where the source states none", default=None)
    limits: LimiterConfig = field(default_factory=LimiterConfig)

    def __post_init__(self) -> None:
        if self.sleep_max_s < self.sleep_min_s:
            raise ValueError(
                f"sleep_min_s={self.sleep_min_s:g} is above sleep_max_s="
                f"{self.sleep_max_s:g}; lower the one or raise the other"
            )
        AllowedHosts(self.allow_hosts)


class Download(Stage[Source, Fetched]):
    """Links through yt-dlp, files as they are."""

    name = "download"
    reasons = frozenset(
        {
            "gone",
            "private",
            "age",
            "geo",
            "live",
            "unsupported",
            "address_refused",
            "too_large",
            "not_media",
            "truncated",
        }
    )
    resources = Resources(cpus=0.0, memory_gb=4.0, timeout_s=6 * 3600.0)
    fetches_media = True
    side_folder = "media"

    def process(self, batch: Sequence[Source], context: Context) -> list[list[Fetched] | Reject]:
        return [self._one(source, context) for source in batch]

    def _one(self, source: Source, context: Context) -> list[Fetched] | Reject:
        if source.kind == "file":
            return self._file(source)
        if source.kind == "member":
            self._check_space(context.work)
            folder, config = context.work / self.side_folder, self.config
            made = member.take(source, folder, config.licence, config.consent)
            if isinstance(made, Reject):
                return made
            facts = json.dumps(dataclasses.asdict(made), ensure_ascii=False)
            write_atomic(folder / f"{source.source_id}.json", facts)
            return [made]
        return self._link(source, context)

    def _file(self, source: Source) -> list[Fetched] | Reject:
        path = as_path(source.address)
        try:
            digest = sha256_of(path)
        except FileNotFoundError:
            return Reject("gone", detail=f"{source.address} is no longer there")
        return [
            Fetched(
                source.source_id,
                video_id(None, None, digest),
                source.address,
                digest,
                path.stat().st_size,
                source.address,
                "file",
                source.requested_as,
                title=as_text(path.stem),
                licence=self.config.licence,
                consent=self.config.consent,
            )
        ]

    def _link(self, source: Source, context: Context) -> list[Fetched] | Reject:
        media = context.work / self.side_folder
        kept = media / f"{source.source_id}.json"
        if kept.exists():
            known = Fetched(**json.loads(kept.read_text()))
            path = context.work / known.media_path
            is_whole = path.exists() and path.stat().st_size == known.num_bytes
            # Media that was let go is fetched again only when a later stage must read it.
            if is_whole or not (path.exists() or context.is_media_needed):
                return [dataclasses.replace(known, requested_as=source.requested_as)]
        folder = context.work / "download" / source.source_id
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            # A worker of a killed run may still be writing the same partial file.
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                facts = self._attempts(source, folder, media, context)
            except (errors.HostParkedError, errors.DiskFullError):
                # Tried again in this run or after it: what is there is not fetched twice.
                if next(folder.glob("media*"), None) is None:
                    _clear(folder)
                raise
            except BaseException:
                _clear(folder)
                raise
            _clear(folder)
        if isinstance(facts, Reject):
            return facts
        write_atomic(kept, json.dumps(dataclasses.asdict(facts), ensure_ascii=False))
        pause = random.uniform(self.config.sleep_min_s, self.config.sleep_max_s)
        time.sleep(max(0.0, pause))
        return [facts]

    def _attempts(
        self, source: Source, folder: Path, media: Path, context: Context
    ) -> Fetched | Reject:
        for attempt in range(1, self.config.attempts + 1):
            self._check_space(context.work)
            try:
                return self._fetch(source, folder, media, context, attempt)
            except Exception as error:
                self._park_if_blocked(error, source, context)
                try:
                    return errors.reject_or_raise(error)
                except errors.HostParkedError:
                    raise
                except TransientError:
                    if attempt == self.config.attempts:
                        raise
                    time.sleep(self.config.backoff_s * 2 ** (attempt - 1))
        raise AssertionError("unreachable")

    @staticmethod
    def _park_if_blocked(error: Exception, source: Source, context: Context) -> None:
        """A bot check or the like without a 429: the whole host gets a rest."""
        limiter = context.rate_limiter
        if limiter is None or isinstance(error, errors.HostParkedError):
            return
        if errors.kind_of(error) == "blocked":
            host = site.host_of(source.address)
            raise errors.HostParkedError(host, limiter.blocked(host, None)) from error

    def _check_space(self, work: Path) -> None:
        free = shutil.disk_usage(work).free / 1e9
        if free < self.config.min_free_gb:
            raise errors.DiskFullError(
                f"{free:.1f} GB are free at {work}, download.min_free_gb asks for "
                f"{self.config.min_free_gb}; free space and run the same command again"
            )

    def _space_watch(self, work: Path) -> Callable[[int], None]:
        """Looks at the free space once in a while as bytes come."""
        come = 0

        def watch(count: int) -> None:
            nonlocal come
            come += count
            if come >= SPACE_LOOK_BYTES:
                come = 0
                self._check_space(work)

        return watch

    def _fetch(
        self, source: Source, folder: Path, media: Path, context: Context, attempt: int
    ) -> Fetched | Reject:
        import yt_dlp

        config = self.config
        limiter = context.rate_limiter
        options = {
            "format": formats.selector(config.max_height, config.language),
            "paths": {"home": str(folder)},
            "outtmpl": {"default": "media.%(ext)s"},
            "continuedl": True,
            "noplaylist": True,
            "fixup": "never",
            "retries": 2,
            "fragment_retries": 2,
            "merge_output_format": "mkv",
            "overwrites": False,
            "writesubtitles": config.captions,
            "subtitleslangs": ["all", "-live_chat"],
            "subtitlesformat": "vtt/srt/best",
            "writeautomaticsub": config.automatic_captions,
            **site.cookie_options(config),
        }
        bounds = site.bounds_of(
            config,
            max_bytes=config.max_bytes,
            setting="download.max_bytes",
            on_piece=self._space_watch(context.work),
        )
        with site.open_site(limiter, bounds, **options) as downloader:
            info = site.guarded(
                downloader, lambda: downloader.extract_info(source.address, download=False)
            )
            if info.get("is_live") or info.get("live_status") in ("is_live", "is_upcoming"):
                return Reject("live", detail=f"{source.address} is live or not begun")
            info["automatic_captions"] = formats.spoken_captions(info)
            info = site.guarded(
                downloader, lambda: downloader.process_ie_result(info, download=True)
            )
        path = Path(info["requested_downloads"][0]["filepath"])
        if refused := _no_media(path, source.address):
            return refused
        digest = sha256_of(path)
        name = video_id(info.get("extractor_key"), info.get("id"), digest)
        media.mkdir(parents=True, exist_ok=True)
        suffix = re.sub(r"[^A-Za-z0-9.]", "", path.suffix)[:8]
        target = media / f"{name}{suffix}"
        os.replace(path, target)
        captions = []
        for file in sorted(folder.glob("media.*.*")):
            language, _, kind = file.name.removeprefix("media.").rpartition(".")
            is_automatic = config.automatic_captions and language not in (
                info.get("subtitles") or {}
            )
            part = (
                f"{re.sub(r'[^A-Za-z0-9.-]', '_', language)[:30]}"
                f"{'.auto' if is_automatic else ''}.{re.sub(r'[^a-z0-9]', '', kind)[:8]}"
            )
            # A hash in the name: captions that are fetched once more may be others.
            kept = f"{name}-{sha256_of(file)[:8]}.{part}"
            os.replace(file, media / kept)
            captions.append(f"media/{kept}")
        if limiter is not None:
            limiter.succeeded(site.host_of(source.address))
        return Fetched(
            source.source_id,
            name,
            f"media/{target.name}",
            digest,
            target.stat().st_size,
            source.address,
            "link",
            source.requested_as,
            info.get("extractor_key"),
            info.get("id"),
            info.get("title"),
            info.get("uploader"),
            info.get("uploader_id"),
            info.get("license") or config.licence,
            config.consent,
            info.get("language"),
            info.get("format_id"),
            captions,
            datetime.now(UTC).isoformat(timespec="seconds"),
            attempt,
            socket.gethostname(),
            f"yt-dlp {yt_dlp.version.__version__}",
            **formats.sound_facts(info),
        )


def _no_media(path: Path, address: str) -> Reject | None:
    """A Reject for an answer that is a page or a message, whatever its name and type say, or a
    part of a file."""
    with open(path, "rb") as file:
        head = file.read(HEAD_BYTES)
    if head and not looks_like_text(head):
        if promised := promised_bytes(path):
            size = path.stat().st_size
            return Reject(
                "truncated",
                size,
                promised,
                f"{address} gave {size:,} bytes, and the file's own header promises {promised:,}",
            )
        return None  # whether it can be read is for `probe`
    begins = head[:60].decode("utf-8", "replace").strip()
    return Reject(
        "not_media",
        detail=f"{address} gave {path.stat().st_size} bytes of text instead "
        f"of media; they begin {begins!r}",
    )


def _clear(folder: Path) -> None:
    """Remove what a download wrote into its folder, and the folder if nothing else is there."""
    for path in (*folder.glob("media*"), folder / "lock"):
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        folder.rmdir()
