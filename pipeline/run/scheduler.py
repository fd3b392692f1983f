"""The scheduler: walks the graph unit by unit, downstream first, and loses nothing.

Every unit's outcome goes to the ledger before its successors start. What comes next is the queue's
to say (`unit_queue`), what becomes of a unit whose job ended is judged in `verdict`; here both are
carried out.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from manifests import records as rec
from pipeline.graph import HINTS, Node, check_graph, context_name
from pipeline.run.finished import Finished
from pipeline.run.ledger import Entry, Ledger, digest, failed_retryable
from pipeline.run.left_out import without
from pipeline.run.pools import Ended, Pools
from pipeline.run.refetch import Refetch
from pipeline.run.stage_runner import Done, Job
from pipeline.run.unit import Policy, RunStopped, Unit
from pipeline.run.unit_queue import UnitQueue
from pipeline.run.verdict import Verdict, judge
from pipeline.storage.work_files import WorkFiles, written_by
from stages.base import RateLimiter

POLL_S = 0.5
NET = frozenset({"net"})
SECONDS_PER_VIDEO_S = 20.0
"""Added to a stage's time limit for each second of video."""


class Runner:
    """Runs `nodes` over requests. `observe(event, node, unit_or_entry)` follows the progress;
    `check()` raises what must end the run (a lost cluster)."""

    def __init__(
        self,
        nodes: Sequence[Node],
        configs: dict[str, Any],
        files: WorkFiles,
        ledger: Ledger,
        pools: Pools,
        policy: Policy,
        rate_limiter: RateLimiter | None = None,
        observe: Callable[[str, Node, Any], None] = lambda *_: None,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        check_graph(nodes)
        self.nodes, self.configs, self.files, self.ledger = tuple(nodes), configs, files, ledger
        self.pools, self.policy, self.rate_limiter = pools, policy, rate_limiter
        self.observe, self._check = observe, check
        self.entries = {n.name: Finished(ledger) for n in self.nodes}
        self._stages = {n.name: n.stage()(configs.get(n.name)) for n in self.nodes}
        self._salt = {
            name: digest([name, stage.version, configs.get(name), stage.fingerprint()])
            for name, stage in self._stages.items()
        }
        self._queue, self._serial = UnitQueue(self.nodes), 0
        self._kept: dict[str, dict[str, Any]] = defaultdict(dict)
        self._seen: dict[str, set[str]] = {n.name: set() for n in self.nodes}
        self._at_work: dict[str, Unit] = {}
        self._fetcher = next((n for n in self.nodes if self._stages[n.name].fetches_media), None)
        self._refetch = Refetch(self.files, self.entries)
        self._hints: dict[str, list[rec.Hint]] = defaultdict(list)
        self._request_of: dict[str, str] = {}

    def run(self, requests: Sequence[Any], hints: Sequence[rec.Hint] = ()) -> dict[str, Finished]:
        """Entries by stage and unit, once every unit has an outcome. Raises RunStopped.

        `hints` that say where to look are given to the nodes that ask for them.
        """
        for hint in sorted(hints, key=lambda h: (h.start_s or 0.0, h.hint_id)):
            if hint.is_guide():
                self._hints[hint.request_id].append(hint)
        for request in requests:
            self._submit(self.nodes[0], self.nodes[0].unit_of(request), [request])
        try:
            self._run()
        finally:
            self.ledger.send()
        return self.entries

    def _run(self) -> None:
        while self._queue.num_ready or self._queue.num_waiting or self.pools.num_running:
            self._check()
            self._queue.wake()
            self._dispatch()
            if self._queue.num_waiting and not (self.pools.num_running or self._queue.num_ready):
                for unit in self._queue.give_up(self.policy.parked_wait_s):
                    self._fail(
                        unit,
                        "blocked",
                        "the host asked for a rest longer than this run waits",
                        retryable=True,
                    )
            for ended in self.pools.wait(POLL_S):
                self._handle(ended)

    def pending(self) -> dict[str, int]:
        """Records without an outcome yet, by stage."""
        count = Counter(self._queue.num_records)
        for unit in [*self._at_work.values(), *self._refetch.held()]:
            count[unit.node.name] += len(unit.records)
        return dict(+count)

    # -- entering units ------------------------------------------------------------------

    def _submit(self, node: Node, name: str, records: list[Any]) -> None:
        if name in self._seen[node.name]:
            return  # the same bytes asked for twice are one video
        self._seen[node.name].add(name)
        self._serial += 1
        earlier = self._earlier(node.context, name)
        key = self._key(node, records, earlier)
        once = self._key(node, records, earlier | self._earlier(node.once_context, name))
        unit = Unit(
            node, name, records, self._serial, key=key, side_name=once[:16], earlier=earlier
        )
        before = self._finished_before(unit, once)
        if before is not None:
            entry = self._without_removed(node, before[0])
            number = before[1] if entry is before[0] else self.ledger.put(entry, node.outputs)
            self._finish(node, entry, number, "reused")
            return
        self.observe("queued", node, unit)
        self._queue.push(unit)

    def _earlier(self, context: Sequence[str], unit: str) -> dict[str, Any]:
        return {name: self._kept[unit][name] for name in context if name in self._kept[unit]}

    def _key(self, node: Node, records: list[Any], earlier: dict[str, Any]) -> str:
        return digest([self._salt[node.name], records, earlier])

    def _finished_before(self, unit: Unit, once: str) -> tuple[Entry, int] | None:
        """Its entry and that one's number, where it need not be done again; `once` is the key of an
        earlier release."""
        for key in dict.fromkeys((unit.key, once)):
            number = self.ledger.find(unit.node.name, unit.name, key)
            entry = None if number is None else self.ledger.read(number)
            if number is None or entry is None:
                continue
            if failed_retryable(entry):
                return None
            if self.policy.retry_failed and any(r.failure for r in entry.results):
                return None
            is_usable = self._side_files_exist(entry) or self._is_past(unit.node, entry)
            return (entry, number) if is_usable else None
        return None

    def _is_past(
        self,
        node: Node,
        entry: Entry,
        kept: dict[str, Any] | None = None,
        folder: str | None = None,
    ) -> bool:
        """Whether all is finished that follows from an entry and reads of its `folder`: then nobody
        reads its side files, which `yld clean --side-files` may have removed. Those of clips are
        read when publishing."""
        position = self.nodes.index(node)
        folder = self._stages[node.name].side_folder if folder is None else folder
        is_read = any(self._reads(n, folder) for n in self.nodes[position + 1 :])
        if not is_read or node.outputs is rec.Clip:
            return self._side_files_exist(entry)
        following = self.nodes[position + 1]
        known = {**self._kept.get(entry.unit, {}), **(kept or {}), **_to_keep(node, entry.outputs)}
        for name, records in _grouped(following, entry.outputs).items():
            earlier = {n: known[n] for n in following.context if n in known}
            before = {n: known[n] for n in following.once_context if n in known}
            found = self.ledger.get(
                following.name, name, self._key(following, records, earlier)
            ) or self.ledger.get(
                following.name, name, self._key(following, records, earlier | before)
            )
            if found is None or failed_retryable(found):
                return False
            if self.policy.retry_failed and any(r.failure for r in found.results):
                return False
            if not self._is_past(following, found, known, folder):
                return False
        return bool(entry.outputs)

    def _reads(self, node: Node, folder: str) -> bool:
        """Whether a node reads side files of a folder."""
        folders = self._stages[node.name].reads_side_folders
        return folders is None or folder in folders

    def _side_files_exist(self, entry: Entry) -> bool:
        """A power cut leaves empty ones."""
        return all(
            self.files.earlier_size(name)
            for record in entry.outputs
            for name in rec.files_of(record, "side_file")
        )

    # -- dispatching ---------------------------------------------------------------------

    def _dispatch(self) -> None:
        full: set[str] = set()
        for unit in self._queue.heads():
            pool = self.policy.pool_of.get(unit.node.name, unit.node.pool)
            if pool in full or self._must_wait(unit):
                continue
            if not self.pools.has_room(pool, unit.alone):
                full.add(pool)  # nobody overtakes one that wants a worker to itself either
                continue
            self._queue.pop(unit.node.name)
            if not self._waits_for_media(unit):
                self._start(unit, pool)

    def _must_wait(self, unit: Unit) -> bool:
        """Whether downloads, of which it is one that nobody waits for yet, are too far ahead."""
        return (
            unit.node is self._fetcher
            and not self._refetch.is_pending(unit.name)
            and self._is_too_far_ahead()
        )

    def _start(self, unit: Unit, pool: str) -> None:
        name = unit.node.name
        limits = self.policy.limits(name, self._stages[name].resources)
        job = Job(
            name,
            unit.node.target,
            self.configs.get(name),
            unit.name,
            unit.key,
            unit.side_name,
            unit.records,
            limits.memory_gb,
            unit.earlier,
            self.rate_limiter,
            unit.is_media_needed,
        )
        unit.attempts += 1
        self.pools.start(
            pool, job, limits.timeout_s + SECONDS_PER_VIDEO_S * unit.length_s(), unit.alone
        )
        self._at_work[_job_id(job)] = unit
        self.observe("started", unit.node, unit)

    def _waits_for_media(self, unit: Unit) -> bool:
        if self._fetcher is None or not self._stages[unit.node.name].reads_media:
            return False
        source = self._refetch.source_for(unit)
        if source is None:
            gone = self._refetch.missing_file(unit)
            if gone is not None:
                self._fail(
                    unit,
                    "source_gone",
                    f"{gone} is no longer there; put it, or a link to "
                    "it, back and run the same command again",
                    retryable=True,
                )
            return gone is not None
        if self._refetch.hold(source.source_id, unit):
            self._serial += 1
            key = digest([self._salt[self._fetcher.name], [source], {}])
            self._queue.push(
                Unit(
                    self._fetcher,
                    source.source_id,
                    [source],
                    self._serial,
                    key=key,
                    side_name=key[:16],
                    is_media_needed=True,
                )
            )
        return True

    def _is_too_far_ahead(self) -> bool:
        at_work = sum(unit.node.pool not in NET for unit in self._at_work.values())
        return self._queue.num_ahead(NET) + at_work >= self.policy.max_ahead

    # -- leaving units -------------------------------------------------------------------

    def _handle(self, ended: Ended) -> None:
        unit = self._at_work.pop(_job_id(ended.running.job))
        is_splittable = self._stages[unit.node.name].splittable
        verdict = judge(unit, ended, self.policy, is_splittable=is_splittable)
        unit.attempts -= not verdict.is_charged
        unit.cause = (
            f"its host asked for a rest of {verdict.wait_s:.0f} s"
            if verdict.fate == "park"
            else f"{ended.reason or ''}: {ended.detail}"[:600]
        )
        if verdict.fate == "stop":
            raise RunStopped(verdict.detail)
        if ended.done is not None and verdict.fate == "finish":
            self._collect(unit, ended.done)
            self._close(unit)
        else:
            self._try_again(unit, verdict)

    def _try_again(self, unit: Unit, verdict: Verdict) -> None:
        told = {
            "park": "parked",
            "move": "moved",
            "part": "parted",
            "retry": "broken",
            "split": "broken",
            "fail": "" if verdict.reason == "blocked" else "broken",
        }
        unit.parks += verdict.fate == "park"
        unit.moves += verdict.fate == "move"
        unit.alone |= verdict.fate == "part"
        if event := told[verdict.fate]:
            self.observe(event, unit.node, unit)
        if verdict.fate == "park":
            self._queue.push_in(unit, verdict.wait_s)
        elif verdict.fate == "fail":
            self._fail(unit, verdict.reason, verdict.detail, retryable=verdict.retryable)
        else:
            for part in unit.parts() if verdict.fate == "split" else [unit]:
                self._queue.push(part)

    @staticmethod
    def _collect(unit: Unit, done: Done) -> None:
        for name in ("cpu_s", "wall_s", "decoded_s"):
            unit.cost[name] += getattr(done, name)
        for name, value in done.extra.items():
            unit.measured[name] += value
        unit.cost["peak_rss_mb"] = max(unit.cost["peak_rss_mb"], done.peak_rss_mb)
        unit.results.extend(done.results)

    def _fail(self, unit: Unit, reason: str, detail: str, *, retryable: bool) -> None:
        unit.fail(reason, detail, retryable=retryable)
        self._close(unit)

    def _close(self, unit: Unit) -> None:
        whole = unit.joined()
        if whole is None:
            return
        entry = self._without_removed(whole.node, whole.entry())
        if self._refetch.is_pending(entry.unit):
            self._refetch.release(
                entry,
                self._queue.push,
                lambda u, reason, why: self._fail(u, reason, why, retryable=True),
            )
            return  # its rows stand already; only the media was missing
        number = self.ledger.put(entry, whole.node.outputs)
        self._finish(whole.node, entry, number, "finished")

    def _without_removed(self, node: Node, entry: Entry) -> Entry:
        """The entry without what was taken out of the corpus; media fetched for it goes."""
        kept, gone = without(entry, self.policy.removed) if self.policy.removed else (entry, [])
        if gone and node is self._fetcher:
            self.files.drop(written_by(node.stage(), entry.unit, gone))
        return kept

    def _finish(self, node: Node, entry: Entry, number: int, event: str) -> None:
        self.entries[node.name].add(entry, number)
        self.observe(event, node, entry)
        position = self.nodes.index(node)
        if position + 1 == len(self.nodes) or not entry.outputs:
            self._kept.pop(entry.unit, None)  # no stage asks for it any more
            return
        following = self.nodes[position + 1]
        if self._hints:
            self._keep_hints(entry.outputs)
        for name, records in _grouped(following, entry.outputs).items():
            if kept := _to_keep(node, records):
                self._kept[name].update(kept)
            self._submit(following, name, records)

    def _keep_hints(self, outputs: Sequence[Any]) -> None:
        """From requests to sources to videos. Of links that lead to the same video the first
        one's count, as its file does."""
        for record in outputs:
            if isinstance(record, rec.Source):
                self._request_of[record.source_id] = record.request_id
            elif isinstance(record, rec.Fetched) and HINTS not in self._kept[record.video_id]:
                hints = self._hints.get(self._request_of.get(record.source_id, ""), [])
                if hints and not any(record.video_id in seen for seen in self._seen.values()):
                    self._kept[record.video_id][HINTS] = hints


def _grouped(following: Node, records: Sequence[Any]) -> dict[str, list[Any]]:
    """The units of the stage that follows."""
    groups: dict[str, list[Any]] = defaultdict(list)
    for record in records:
        groups[following.unit_of(record)].append(record)
    return groups


def _to_keep(node: Node, records: Sequence[Any]) -> dict[str, Any]:
    """What later stages of the unit are given of these records, by field of `Context`."""
    kept_as = context_name(node)
    if kept_as is None or not records:
        return {}
    return {kept_as: records[0] if kept_as == "video" else {rec.record_id(r): r for r in records}}


def _job_id(job: Job) -> str:
    return f"{job.stage}/{job.unit}/{job.key}/{rec.record_id(job.records[0])}"
