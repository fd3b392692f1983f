"""What became of each input of `yld resync`, in one word and a reason.

| fate | in the out folder | meaning |
| --- | --- | --- |
| corrected | corrected | measured again, within 40 ms of zero, a long one at both ends |
| corrected_unverified | corrected | measured before, but not to be measured again |
| not corrected | by `--undecided` | measured again and still farther off than 40 ms |
| worse | by `--undecided` | measured again and farther off than it was |
| kept as it is | uncorrected | without a number, and `--undecided keep` |
| left out | nothing | without a number, or it could not be read or written |
| passed over | nothing | never taken for a clip: its suffix, or no line of the list names it |

What was not corrected or became worse is put back uncorrected with `--undecided keep`, and left out
otherwise: a correction that its own measurement contradicts is never handed on.
"""

from __future__ import annotations

from typing import Any

from manifests.numbers import signed_ms

RESIDUAL_MS = 40.0
"""Farthest from zero that counts as corrected: the error that `confidence` speaks of."""
CORRECTED, UNVERIFIED = "corrected", "corrected_unverified"
NOT_CORRECTED, WORSE = "not corrected", "worse"
KEPT, LEFT_OUT, PASSED_OVER = "kept as it is", "left out", "passed over"
WRITTEN_CORRECTED = (CORRECTED, UNVERIFIED)
CONTRADICTED = (NOT_CORRECTED, WORSE)


def judged(row: dict[str, Any], after: dict[str, Any] | None) -> tuple[str, str | None]:
    """Fate and reason of a clip that was corrected, from its second measurement."""
    if after is None:
        return UNVERIFIED, "the corrected clip has no second measurement"
    left = after.get("video_lag_ms")
    if left is None:
        return UNVERIFIED, f"measured again: {after['offset_status']}, {after.get('reason')}"
    if after.get("drift_status") == "uneven":
        return NOT_CORRECTED, f"measured again: {after['drift_reason']}"
    found = {
        "": left,
        " where it begins": after.get("start_lag_ms"),
        " where it ends": after.get("end_lag_ms"),
    }
    # Only of a recording that is or was moving must both ends be known.
    moves = row.get("applied_drift_ppm") or after.get("drift_status") == "drifts"
    unknown = [where for where, lag in found.items() if lag is None and moves]
    known = {where: lag for where, lag in found.items() if lag is not None}
    where = max(known, key=lambda w: abs(known[w]))
    worst = known[where]
    if abs(worst) <= RESIDUAL_MS:
        if unknown:
            return UNVERIFIED, f"cannot be measured again{' and'.join(unknown)}"
        return CORRECTED, None
    was = [row.get(n) for n in ("video_lag_ms", "start_lag_ms", "end_lag_ms")]
    before = max((abs(x) for x in was if x is not None), default=None)
    text = (
        f"measured again it is off by {signed_ms(worst)}{where}, {RESIDUAL_MS:.0f} are allowed; "
        + (
            "it had no number of its own"
            if before is None
            else f"it was measured {before:.0f} ms off before"
        )
    )
    return (WORSE if before is not None and abs(worst) > before else NOT_CORRECTED), text
