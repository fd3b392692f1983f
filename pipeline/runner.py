"""The scheduler: walks the graph unit by unit, downstream first, and loses nothing.

Every unit's outcome goes to the ledger before its successors start. A worker that dies costs
its item an attempt; after the last attempt the item is a Failure, and the rest go on. If it had
several items in hand, none is charged and each is tried again in a worker of its own. Later
stages are served first, so that what is begun is finished and little stands between stages.
"""

from __future__ import annotations

import dataclasses
import heapq
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from manifests import records as rec
from pipeline.graph import SERVICE_OF, Node, check_graph
from pipeline.ledger import Entry, Ledger, Result, digest, failed_retryable
from pipeline.pools import NODE, Ended, Pools
from pipeline.refetch import Refetch
from pipeline.stage_runner import Job, load_stage
from pipeline.work_files import WorkFiles
from stages.base import Resources

POLL_S = 0.5
MAX_MOVES = 3
"""Nodes that may die under a unit before one that dies is taken for its doing."""


class RunStopped(RuntimeError):
    """The run cannot go on (missing tool, full disk); finished work is kept."""


@dataclass(frozen=True)
class Policy:
    """How the runner treats units."""

    attempts: int = 2
    max_ahead: int = 16
    """Units of a `net` stage whose video is not finished; downloads wait beyond it."""
    parked_wait_s: float = 6 * 3600.0
    """Longest wait for a parked host once nothing else is left to do."""
    retry_failed: bool = False
    max_parks: int = 4
    """Rests a unit waits for before it is a failure that another run may mend."""


@dataclass
class Unit:
    node: Node
    name: str
    records: list[Any]
    index: int
    attempts: int = 0
    not_before: float = 0.0
    parks: int = 0
    moves: int = 0
    key: str = ""
    services: dict[str, Any] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    cost: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    measured: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    alone: bool = False
    """It was in a worker that died with others in hand: now it gets one to itself."""
    whole: Unit | None = None
    """The unit this single record was split from, after the batch broke its worker."""
    parts_left: int = 0


class Runner:
    """Runs `nodes` over requests. `observe(event, node, unit_or_entry)` follows the progress;
    `check()` raises what must end the run (a lost cluster)."""

    def __init__(
        self, nodes: Sequence[Node], configs: dict[str, Any], work: Path, ledger: Ledger,
        pools: Pools, policy: Policy, services: dict[str, Any] | None = None,
        observe: Callable[[str, Node, Any], None] | None = None,
        limits: Callable[[str, Resources], Resources] | None = None,
        pool_of: dict[str, str] | None = None, files: WorkFiles | None = None,
        check: Callable[[], None] | None = None,
    ) -> None:
        check_graph(tuple(nodes))
        self.nodes, self.configs, self.work, self.ledger = tuple(nodes), configs, work, ledger
        self.pools, self.policy, self.services = pools, policy, services or {}
        self.observe = observe or (lambda *_: None)
        self.pool_of = pool_of or {}
        self._check = check or (lambda: None)
        self._limits = limits or (lambda _, declared: declared)
        self.entries: dict[str, dict[str, Entry]] = {n.name: {} for n in self.nodes}
        self._stages = {n.name: load_stage(n.target)(configs.get(n.name)) for n in self.nodes}
        self._salt = {
            n.name: digest([n.name, s.version, configs.get(n.name), s.fingerprint()])
            for n, s in ((n, self._stages[n.name]) for n in self.nodes)
        }
        self._ready: list[tuple[int, int, int, Unit]] = []
        self._waiting: list[Unit] = []
        self._serial = self._pushes = 0
        self._kept: dict[str, dict[str, Any]] = defaultdict(dict)
        self._seen: dict[str, set[str]] = {n.name: set() for n in self.nodes}
        self._at_work: dict[str, Unit] = {}
        self.files = files or WorkFiles(work)
        self._refetch = Refetch(self.files, self.entries)

    def run(self, requests: Sequence[Any]) -> dict[str, dict[str, Entry]]:
        """Entries by stage and unit, once every unit has an outcome. Raises RunStopped."""
        for request in requests:
            self._submit(self.nodes[0], self.nodes[0].unit_of(request), [request])
        while self._ready or self._waiting or self.pools.num_running:
            self._check()
            self._wake()
            self._dispatch()
            if not (self.pools.num_running or self._ready) and self._waiting:
                self._give_up_if_too_long()
            for ended in self.pools.wait(POLL_S):
                self._handle(ended)
        return self.entries

    def pending(self) -> dict[str, int]:
        """Records without an outcome yet, by stage."""
        count: dict[str, int] = defaultdict(int)
        for unit in [*(e[-1] for e in self._ready), *self._waiting, *self._at_work.values(),
                     *self._refetch.held()]:
            count[unit.node.name] += len(unit.records)
        return dict(count)

    # -- entering units ------------------------------------------------------------------

    def _submit(self, node: Node, name: str, records: list[Any]) -> None:
        if name in self._seen[node.name]:
            return  # the same bytes asked for twice are one video
        self._seen[node.name].add(name)
        services = {s: self._kept[name][s] for s in node.context if s in self._kept[name]}
        key = digest([self._salt[node.name], records, services])
        self._serial += 1
        unit = Unit(node, name, records, self._serial, key=key, services=services)
        entry = self.ledger.get(node.name, name, key)
        if entry is not None and failed_retryable(entry):
            entry = None
        if entry is not None and self.policy.retry_failed and any(
            r.failure for r in entry.results
        ):
            entry = None
        if entry is not None and self._side_files_exist(entry):
            self._finish(node, entry, "reused")
            return
        self.observe("queued", node, unit)
        self._push(unit)

    def _push(self, unit: Unit) -> None:
        depth = self.nodes.index(unit.node)
        self._pushes += 1  # breaks ties, units themselves have no order
        heapq.heappush(self._ready, (-depth, unit.index, self._pushes, unit))

    def _side_files_exist(self, entry: Entry) -> bool:
        for record in entry.outputs:
            for name in ("faces_path", "payload_path"):
                path = getattr(record, name, None)
                if path is not None and not self.files.size(path):  # a power cut leaves empty ones
                    return False
        return True

    # -- dispatching ---------------------------------------------------------------------

    def _wake(self) -> None:
        now = time.monotonic()
        for unit in [u for u in self._waiting if u.not_before <= now]:
            self._waiting.remove(unit)
            self._push(unit)

    def _give_up_if_too_long(self) -> None:
        first = min(unit.not_before for unit in self._waiting)
        if first - time.monotonic() <= self.policy.parked_wait_s:
            return
        for unit in self._waiting:
            self._fail(unit, "blocked", "the host asked for a rest longer than this run waits",
                       retryable=True)
        self._waiting.clear()

    def _dispatch(self) -> None:
        passed, kept = [], set()
        while self._ready:
            item = heapq.heappop(self._ready)
            unit = item[-1]
            pool = self.pool_of.get(unit.node.name, unit.node.pool)
            if self._waits_for_media(unit):
                continue
            too_far = (unit.node.name == "download" and self._too_far_ahead()
                       and not self._refetch.is_pending(unit.name))
            if too_far or pool in kept or not self.pools.has_room(pool, unit.alone):
                if unit.alone and not too_far:
                    kept.add(pool)  # nobody overtakes it, or no worker would ever be empty
                passed.append(item)
                if len(passed) > 4 * len(self.nodes):
                    break
                continue
            resources = self._stages[unit.node.name].resources
            limits = self._limits(unit.node.name, resources)
            video = unit.services.get("video")
            length_s = video.duration_us / 1e6 if video is not None else _length_s(unit.records)
            job = Job(
                unit.node.name, unit.node.target, self.configs.get(unit.node.name), unit.name,
                unit.key, unit.records, {**unit.services, **self.services}, limits.memory_gb,
            )
            unit.attempts += 1
            self.pools.start(pool, job, limits.timeout_s + 20.0 * length_s, unit.alone)
            self._at_work[_job_id(job)] = unit
            self.observe("started", unit.node, unit)
        for item in passed:
            heapq.heappush(self._ready, item)

    def _waits_for_media(self, unit: Unit) -> bool:
        source = self._refetch.source_for(unit)
        if source is None:
            gone = self._refetch.missing_file(unit)
            if gone is not None:
                self._fail(unit, "source_gone", f"{gone} is no longer there; put it, or a link to "
                           "it, back and run the same command again", retryable=True)
            return gone is not None
        if self._refetch.hold(source.source_id, unit):
            node = next(n for n in self.nodes if n.name == "download")
            self._serial += 1
            key = digest([self._salt[node.name], [source], {}])
            self._push(Unit(node, source.source_id, [source], self._serial, key=key,
                            services={"is_media_needed": True}))
        return True

    def _too_far_ahead(self) -> bool:
        ahead = sum(1 for *_, u in self._ready if u.node.pool != "net")
        ahead += sum(1 for j in self.pools.running_jobs() if j.stage not in ("expand", "download"))
        return ahead >= self.policy.max_ahead

    # -- leaving units -------------------------------------------------------------------

    def _handle(self, ended: Ended) -> None:
        unit = self._at_work.pop(_job_id(ended.running.job))
        done = ended.done
        if done is not None and done.stop_run:
            raise RunStopped(done.stop_run)
        if done is not None and done.wait_s is not None:
            unit.attempts -= 1
            unit.parks += 1
            if unit.parks > self.policy.max_parks:
                self._fail(unit, "blocked", f"its host refused {unit.parks} times",
                           retryable=True)
                return
            unit.not_before = time.monotonic() + done.wait_s
            self._waiting.append(unit)
            self.observe("parked", unit.node, unit)
            return
        if done is not None:
            for name in ("cpu_s", "wall_s", "decoded_s"):
                unit.cost[name] += getattr(done, name)
            for name, value in done.extra.items():
                unit.measured[name] += value
            unit.cost["peak_rss_mb"] = max(unit.cost["peak_rss_mb"], done.peak_rss_mb)
            unit.results.extend(done.results)
            self._close(unit)
            return
        if ended.reason == NODE and unit.moves < MAX_MOVES:
            unit.attempts -= 1
            unit.moves += 1
            self.observe("moved", unit.node, unit)
            self._push(unit)
            return
        if ended.had_company:
            unit.attempts -= 1
            unit.alone = True
            self.observe("parted", unit.node, unit)
            self._push(unit)
            return
        self.observe("broken", unit.node, unit)
        if unit.attempts < self.policy.attempts:
            self._push(unit)
        elif len(unit.records) > 1 and getattr(
            self._stages[unit.node.name], "splittable", False
        ):
            self._run_singly(unit)
        else:
            self._fail(unit, ended.reason, ended.detail, retryable=False)

    def _run_singly(self, unit: Unit) -> None:
        unit.parts_left = len(unit.records)
        for record in unit.records:
            part = dataclasses.replace(
                unit, records=[record], attempts=0, results=[], whole=unit, cost=unit.cost
            )
            self._push(part)

    def _fail(self, unit: Unit, reason: str, detail: str, retryable: bool) -> None:
        for record in unit.records:
            failure = rec.Failure(
                stage=unit.node.name, item_id=rec.record_id(record),
                video_id=getattr(record, "video_id", None), reason=reason,
                exception=f"{reason}: {detail}"[:2000], detail=None,
                attempt=unit.attempts, retryable=retryable,
            )
            unit.results.append(Result(failure.item_id, failure=failure))
        self._close(unit)

    def _close(self, unit: Unit) -> None:
        if unit.whole is not None:
            whole = unit.whole
            whole.results.extend(unit.results)
            whole.parts_left -= 1
            if whole.parts_left:
                return
            order = {rec.record_id(r): i for i, r in enumerate(whole.records)}
            whole.results.sort(key=lambda r: order[r.item_id])
            unit = whole
        entry = Entry(
            unit.node.name, unit.name, unit.key, unit.results, attempts=unit.attempts,
            video_s=_length_s(unit.records) or _length_s(
                [unit.services["video"]] if "video" in unit.services else []),
            extra=dict(unit.measured), **unit.cost,
        )
        if self._refetch.is_pending(entry.unit):
            self._refetch.release(
                entry, self._push, lambda u, reason, why: self._fail(u, reason, why, True))
            return  # its rows stand already; only the media was missing
        self.ledger.put(entry, unit.node.outputs)
        self._finish(unit.node, entry, "finished")

    def _finish(self, node: Node, entry: Entry, event: str) -> None:
        self.entries[node.name][entry.unit] = entry
        self.observe(event, node, entry)
        position = self.nodes.index(node)
        if position + 1 == len(self.nodes):
            return
        following = self.nodes[position + 1]
        groups: dict[str, list[Any]] = defaultdict(list)
        for record in entry.outputs:
            groups[following.unit_of(record)].append(record)
        for name, records in groups.items():
            service = SERVICE_OF.get(node.outputs)
            if service == "video":
                self._kept[name]["video"] = records[0]
            elif service:
                self._kept[name][service] = {rec.record_id(r): r for r in records}
            self._submit(following, name, records)


def _job_id(job: Job) -> str:
    return f"{job.stage}/{job.unit}/{job.key}/{rec.record_id(job.records[0])}"


def _length_s(records: Sequence[Any]) -> float:
    """Seconds of video that a unit may have to decode. A length that was found by reading, never
    one that a file claims; before it is known, what its size can hold at most."""
    known = sum(r.duration_us for r in records if isinstance(r, rec.Video)) / 1e6
    return known + sum(r.num_bytes for r in records if isinstance(r, rec.Fetched)) / BYTES_PER_S


BYTES_PER_S = 250_000
"""A low rate for a video (2 Mbit/s): probe decodes those whose packets do not tell the times."""
