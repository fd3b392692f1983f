"""What a site's refusal means: which errors pass, which never will, which ask for a rest.

What counts is structure: the HTTP status that the site itself gave, and the class of an error. Only
where there is neither do words count, and those of the error alone: addresses, ids and what is
quoted are taken out first, and no digits of a text mean anything.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from typing import Any

from manifests.network.addresses import RefusedAddressError
from manifests.network.bounded_http import OutOfBoundsError, TooLargeError, TooSlowError
from manifests.records import Reject
from stages.base import TransientError

PATTERNS = (
    # (class, pattern); the first that matches counts.
    ("live", r"live event|is live|premieres in|live stream|is not currently live"),
    ("blocked", r"too many requests|not a bot|captcha|rate.?limit"),
    ("age", r"age.restrict|confirm your age|inappropriate for some"),
    ("private", r"private video|members.only|login required|sign in|requires? (an )?account"),
    ("geo", r"available (in|from) your (country|location)|geo.?restrict|blocked.*country"),
    (
        "gone",
        r"not found|removed|video (is )?unavailable|(content|page).{0,20}unavailable"
        r"|does not exist|no longer available|terminated|deleted",
    ),
    (
        "transient",
        r"timed? ?out|reset by peer|connection|temporar|incomplete|remote end closed"
        r"|bytes read|more expected|ssl|eof occurred",
    ),
    (
        "unsupported",
        r"unsupported url|no video formats|no video could be found|drm"
        r"|ffmpeg exited with code",
    ),
)
STATUSES = {
    401: "private",
    404: "gone",
    410: "gone",
    429: "blocked",
    451: "geo",
    408: "transient",
    425: "transient",
}
"""Those that say enough; beside them 5xx are transient. Any other leaves it to the words."""
FETCHES_NOT = (
    ": only ffmpeg could fetch this stream (for its encryption, or the like), which yld "
    "does not let it"
)
FINAL = frozenset(
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
    }
)


class HostParkedError(TransientError):
    """The host asked for a rest; the unit is tried again after `wait_s`, at no cost."""

    def __init__(self, host: str, wait_s: float) -> None:
        super().__init__(f"{host} asked for a rest of {wait_s:.0f} s")
        self.host, self.wait_s = host, wait_s

    def __reduce__(self):
        return HostParkedError, (self.host, self.wait_s)


class DiskFullError(RuntimeError):
    """Too little space to go on; the run is parked and resumes where it stopped."""

    stops_run = True


class PassingError(TransientError):
    """A transient error with a `reason` word of its own (`truncated`, `too_slow`)."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self):
        return PassingError, (self.reason, str(self))


class UnsupportedError(ValueError):
    """What yld does not fetch; the message says why."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """An error and all that caused it, nearest first, however yt-dlp and urllib keep it."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        one = waiting.pop(0)
        if not isinstance(one, BaseException) or id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        info = getattr(one, "exc_info", None)
        waiting += [
            getattr(one, "cause", None),
            one.__cause__,
            info[1] if isinstance(info, tuple) and len(info) == 3 else None,
            getattr(one, "reason", None),
            *(getattr(one, "unexpected_errors", None) or ()),
            one.__context__,
        ]


def kind_of(error: BaseException) -> str:
    """The class of an error: one of PATTERNS, of FINAL, `truncated` or `too_slow`.

    What nothing is known of is transient: it costs retries, not a video.
    """
    from yt_dlp.networking.exceptions import HTTPError, IncompleteRead, TransportError
    from yt_dlp.utils import ContentTooShortError, ExtractorError, GeoRestrictedError
    from yt_dlp.utils import UnsupportedError as UnknownSiteError

    links = list(chain(error))
    for kind, classes in (
        ("address_refused", RefusedAddressError),
        ("too_large", TooLargeError),
        ("too_slow", TooSlowError),
        ("geo", GeoRestrictedError),
        ("unsupported", (UnknownSiteError, UnsupportedError)),
    ):
        if any(isinstance(one, classes) for one in links):
            return kind
    told = next((one for one in links if isinstance(one, ExtractorError)), None)
    if told is not None and told.cause is None:  # the site's own words, not the network's
        kind = classify(told.orig_msg, "")
        if kind:
            return kind
    status = next((one.status for one in links if isinstance(one, HTTPError)), None)
    if status is not None:
        return (
            STATUSES.get(status)
            or ("transient" if status >= 500 else "")
            or classify(told.orig_msg if told else "", "transient")
        )
    if any(
        isinstance(one, (http.client.IncompleteRead, IncompleteRead, ContentTooShortError))
        for one in links
    ):
        return "truncated"
    if any(isinstance(one, (TransportError, OSError, http.client.HTTPException)) for one in links):
        return "transient"
    return classify(told.orig_msg if told else str(error))


def classify(message: str, unknown: str = "transient") -> str:
    """The class that an error's words tell of; `unknown` where they tell nothing.

    A status counts only as yt-dlp words it (`HTTP Error 404: ...`), at the start of the message or
    of one of its parts.
    """
    text = words_of(message)
    status = re.search(r"(?:^|: )http error (\d{3}):", text)
    if status:
        number = int(status[1])
        return STATUSES.get(number) or "transient"
    return next((name for name, pattern in PATTERNS if re.search(pattern, text)), unknown)


def words_of(message: str) -> str:
    """A message in small letters without addresses, ids, quotations and colours."""
    text = _plain_text(message).lower()
    text = re.sub(r"^\[[^\]]*\] (?:\S+: )?", "", text)  # [extractor] id:
    text = re.sub(r"\S*(?:://|%2f)\S*", " ", text)
    return re.sub(r"\"[^\"]*\"|`[^`]*`|(?<!\w)'[^']*'(?!\w)", " ", text)


def reject_or_raise(error: Exception) -> Reject:
    """A Reject for what is final; otherwise raises TransientError (or the error itself)."""
    if isinstance(error, (HostParkedError, DiskFullError)):
        raise error
    kind = kind_of(error)
    if kind in FINAL:
        own = next(
            (
                e
                for e in chain(error)
                if isinstance(e, (RefusedAddressError, OutOfBoundsError, UnsupportedError))
            ),
            error,
        )
        return Reject(
            kind,
            getattr(own, "measured", None),
            getattr(own, "bound", None),
            _plain(own) + FETCHES_NOT * ("ffmpeg exited" in str(own)),
        )
    if kind in ("truncated", "too_slow"):
        raise PassingError(kind, _plain(error)) from error
    raise TransientError(f"{kind}: {_plain(error)}") from error


def cause_of(error: BaseException) -> str:
    """What went wrong in the words of its own cause: the system's (`Name or service not known`),
    else the site's, without its name, the video's id, and what it was caused by."""
    from yt_dlp.utils import ExtractorError

    links = list(chain(error))
    for one in links:
        if isinstance(one, OSError) and one.strerror:
            return str(one.strerror)
    told = next((one for one in links if isinstance(one, ExtractorError)), None)
    text = _plain_text(told.orig_msg if told else str(error))
    text = re.sub(r"^\[[^\]]*\] (?:\S+: )?| \(caused by .*", "", text, flags=re.DOTALL)
    return text.partition("\n")[0][:120] or type(error).__name__


def _plain_text(message: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", message).removeprefix("ERROR: ").strip()


def _plain(error: BaseException) -> str:
    """A message without terminal colours, short."""
    return _plain_text(str(error))[:500]
