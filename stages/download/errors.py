"""What a site's refusal means: which errors pass, which never will, which ask for a rest."""

from __future__ import annotations

import re

from manifests.records import Reject
from stages.base import TransientError

PATTERNS = (
    # (class, pattern); the first that matches counts.
    ("live", r"live event|is live|premieres in|live stream|is not currently live"),
    ("blocked", r"429|too many requests|not a bot|captcha|rate.?limit"),
    ("age", r"age.restrict|confirm your age|inappropriate for some"),
    ("private", r"private video|members.only|login required|sign in|requires? (an )?account"
                r"|\b401\b"),
    ("geo", r"available (in|from) your (country|location)|geo.?restrict|blocked.*country"),
    ("gone", r"\b404\b|\b410\b|not found|removed|video (is )?unavailable|"
             r"(content|page).{0,20}unavailable|does not exist|no longer available"
             r"|terminated|deleted"),
    ("transient", r"timed? ?out|reset by peer|connection|temporar|\b403\b|\b50[0234]\b|incomplete|"
                  r"remote end closed|bytes read|more expected|ssl|eof occurred"),
    ("unsupported", r"unsupported url|no video formats|no video could be found|drm"),
)
FINAL = frozenset({"gone", "private", "age", "geo", "live", "unsupported"})


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


def classify(message: str) -> str:
    """`transient`, `blocked`, `gone`, `private`, `age`, `geo`, `live` or `unsupported`.

    A message that nothing matches is transient: it costs retries, not a video.
    """
    text = message.lower()
    for name, pattern in PATTERNS:
        if re.search(pattern, text):
            return name
    return "transient"


def reject_or_raise(error: Exception) -> Reject:
    """A Reject for what is final; otherwise raises TransientError (or the error itself)."""
    if isinstance(error, (HostParkedError, DiskFullError)):
        raise error
    kind = classify(str(error))
    if kind in FINAL:
        return Reject(kind, detail=_plain(error))
    raise TransientError(f"{kind}: {_plain(error)}") from error


def _plain(error: Exception) -> str:
    """A message without terminal colours, short."""
    return re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ")[:500]
