"""How much speech a decision takes: what an audit says about the clips one should ask for.

A clip that was decided says after how much speech; one that was not says only that its own did not
do. The share that is decided by a length is the product-limit estimate over both (Kaplan and Meier
1958), so that short clips do not pass for hard ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

WANTED = 0.9
"""Share of clips that are decided at the length one should ask for."""
FEWEST = 5
"""Clips with speech that it takes to say anything."""


def decided_share(rows: Sequence[dict[str, Any]]) -> list[tuple[float, float]]:
    """Lengths of speech in s, ascending, and the estimated share of clips decided by each."""
    known = [r for r in rows if r.get("heard_s") and r["offset_status"] != "no_speech"]
    times = np.array(
        [r["seconds_needed"] if r.get("windows_needed") else r["heard_s"] for r in known]
    )
    ends = np.array([bool(r.get("windows_needed")) for r in known])
    open_share, curve = 1.0, []
    for time in sorted(set(times[ends].tolist())) if len(known) else []:
        at_risk, decided = int((times >= time).sum()), int(((times == time) & ends).sum())
        open_share *= 1 - decided / at_risk
        curve.append((float(time), 1 - open_share))
    return curve


def sentence(rows: Sequence[dict[str, Any]]) -> str | None:
    """What the rows of one estimator say about length; None for too few with speech."""
    known = [r for r in rows if r.get("heard_s") and r["offset_status"] != "no_speech"]
    decided = [r for r in known if r.get("windows_needed")]
    if len(known) < FEWEST:
        return None
    if not decided:
        longest = max(r["heard_s"] for r in known)
        return f"up to {longest:.0f} s of speech a clip decided none of {len(known)}"
    windows = np.median([r["windows_needed"] for r in decided])
    seconds = np.median([r["seconds_needed"] for r in decided])
    told = (
        f"{len(decided)} of {len(known)} clips with speech were decided by their own, half of them "
        f"by {windows:.0f} window{'s' if windows >= 1.5 else ''} ({seconds:.1f} s) or less"
    )
    curve = decided_share(rows)
    enough = next(((time, share) for time, share in curve if share >= WANTED), None)
    if enough is not None:
        time, share = enough
        return f"{told}; ask for clips with {time:.1f} s of speech: {share:.0%} are decided then"
    time, share = curve[-1]
    return (
        f"{told}; {time:.1f} s of speech decide {share:.0%}, for {WANTED:.0%} ask for longer clips"
    )
