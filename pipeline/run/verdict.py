"""What becomes of a unit whose job has ended: a pure judgement, which the runner carries out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pipeline.run.pools import NODE, Ended
from pipeline.run.unit import Policy, Unit

Fate = Literal["stop", "finish", "park", "move", "part", "retry", "split", "fail"]


@dataclass(frozen=True)
class Verdict:
    """`stop` the run; `finish` with the results; `park` until the host has had its rest; `move`
    to another node; `part` from its company in a worker of its own; `retry`; `split` into its
    records; `fail`."""

    fate: Fate
    reason: str = ""
    detail: str = ""
    wait_s: float = 0.0
    retryable: bool = False
    is_charged: bool = True
    """Whether the attempt counts."""


def judge(unit: Unit, ended: Ended, policy: Policy, *, is_splittable: bool) -> Verdict:
    """A worker that dies costs its unit an attempt. If it had several in hand none is charged,
    and each is tried again by itself; nor is one whose node died, or whose host wants a rest."""
    done = ended.done
    if done is not None and done.stop_run:
        return Verdict("stop", detail=done.stop_run)
    if done is not None and done.wait_s is not None:
        if unit.parks >= policy.max_parks:
            return Verdict(
                "fail",
                "blocked",
                f"its host refused {unit.parks + 1} times",
                retryable=True,
                is_charged=False,
            )
        return Verdict("park", wait_s=done.wait_s, is_charged=False)
    if done is not None:
        return Verdict("finish")
    reason = ended.reason or "error"
    if reason == NODE and unit.moves < policy.max_moves:
        return Verdict("move", is_charged=False)
    if ended.had_company:
        return Verdict("part", is_charged=False)
    if unit.attempts < policy.attempts:
        return Verdict("retry")
    if len(unit.records) > 1 and is_splittable:
        return Verdict("split")
    return Verdict("fail", reason, ended.detail)
