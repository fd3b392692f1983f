"""Why a pair has no score. The status travels into the row; the message becomes its reason."""

from __future__ import annotations


class NoScore(ValueError):
    """A pair that a metric cannot judge."""

    status = "error"


class TooShort(NoScore):
    """Less signal than the metric's shortest segment."""

    status = "too_short"


class Silent(NoScore):
    """Nothing to hear in the reference or the hypothesis."""

    status = "silent"


class LengthMismatch(NoScore):
    """The two signals cannot be two versions of one utterance."""

    status = "length_mismatch"


class Unavailable(NoScore):
    """A package or model file that the metric needs is not here; the message names it."""

    def __init__(self, message: str) -> None:
        super().__init__(f"unavailable: {message}")
