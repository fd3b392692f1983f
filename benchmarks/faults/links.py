"""Bad links through a real build: 24 kinds that answer, 6 that are dead, a few that are good."""

from __future__ import annotations

import contextlib
import ipaddress
import random
import socket
from collections import Counter
from pathlib import Path

from benchmarks.faults import link_server
from benchmarks.faults.inputs import talks
from benchmarks.faults.runs import Bench
from benchmarks.faults.tally import Tally

DEAD = {"404": 90, "410": 60, "refused": 70, "reset": 40, "500": 20, "503": 18, "silent": 2}
"""Per thousand; 300 in all. `silent` costs half a minute each."""
BAD = {
    "401": 40,
    "403": 40,
    "451": 40,
    "429": 2,
    "cut": 30,
    "short": 30,
    "tail": 30,
    "bomb": 30,
    "endless": 20,
    "huge": 30,
    "html": 45,
    "json": 40,
    "metadata": 40,
    "file": 30,
    "ftp": 30,
    "loop": 20,
    "inward": 40,
    "private": 40,
    "empty": 30,
    "garbage": 25,
    "encoding": 20,
    "nothttp": 22,
    "stream": 20,
    "drip": 1,
}
"""Per thousand; 700 with what is left for `good`."""
REFUSED = frozenset({"metadata", "file", "ftp", "inward", "private", "stream"})
"""Kinds that lead to an address which must not be asked."""
GONE = frozenset({"404", "410"})
MOST_BYTES = 3_000_000
SETTINGS = (
    "download.attempts=1",
    "download.backoff_s=0",
    "download.sleep_min_s=0",
    "download.sleep_max_s=0",
    f"download.max_bytes={MOST_BYTES}",
    "download.min_free_gb=0",
    "download.limits.requests_per_s=1000000",
    "download.limits.burst=1000000",
    "download.limits.park_s=1",
    "download.limits.max_park_s=1",
    "workers.net_workers=8",
    "workers.parked_wait_s=30",
    "workers.max_failure_rate=1",
    "download.allow_hosts=[127.0.0.1, 127.0.0.9]",
)
START_S, SECONDS_A_LINK, PATIENCE_S = 300.0, 1.5, 600.0


def run(bench: Bench, count: int, rng: random.Random, say=print) -> Tally:
    """Build a list of `count` links."""
    tally = Tally("bad links")
    if not count:
        return tally
    with tally.timed(), contextlib.ExitStack() as stack:
        clips = [p.read_bytes() for p in talks(bench.folder / "clips", 2.0, 2)]
        connections = bench.connections
        strangers = []
        for host in ("127.0.0.2", "::1", _own_address()):
            with contextlib.suppress(OSError):
                port = stack.enter_context(connections.listener(host))
                strangers.append(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        facts = {"clips": clips, "bomb": link_server.bomb(200 << 20), "strangers": strangers}
        port = stack.enter_context(link_server.serving("127.0.0.1", facts))
        busy = stack.enter_context(link_server.serving("127.0.0.9", facts))
        closed = _closed_port()
        connections.allowed |= {("127.0.0.1", port), ("127.0.0.9", busy), ("127.0.0.1", closed)}
        kinds = _kinds(count, rng)
        lines = []
        for number, kind in enumerate(kinds):
            place = {
                "refused": f"127.0.0.1:{closed}",
                "429": f"127.0.0.9:{busy}",
                "private": strangers[number % len(strangers)],
            }.get(kind, f"127.0.0.1:{port}")
            suffix = "m3u8" if kind == "stream" else "mp4"
            lines.append(f"http://{place}/{kind}/{number}.{suffix}")
        listed = bench.folder / "links.txt"
        listed.write_text("\n".join(lines) + "\n")
        out = bench.folder / "linked" / "corpus"
        say(f"{count} links of {len(set(kinds))} kinds")
        ended = bench.build(
            tally,
            "links",
            START_S + PATIENCE_S + SECONDS_A_LINK * count,
            listed,
            "--out",
            out,
            *(word for setting in SETTINGS for word in ("--set", setting)),
        )
        tally.cases = count
        if not connections.num_seen():
            tally.not_as_promised.append("the connections were not noted")
        bench.check_after(tally, "links", out, count)
        if ended.code is not None:
            _check(tally, out, dict(zip(lines, kinds, strict=True)))
    return tally


def _kinds(count: int, rng: random.Random) -> list[str]:
    """Each kind at least once (where `count` allows), the rest by weight; half a per cent good."""
    good = {"good": 1000 - sum(DEAD.values()) - sum(BAD.values())}
    weights = DEAD | BAD | good
    once = list(good) + [k for k in weights if k not in ("good", "silent", "drip")][: count - 1]
    if count >= 500:
        once += ["silent", "drip"]
    names = [k for k in weights if count >= 500 or k not in ("silent", "drip", "429")]
    rest = rng.choices(names, [weights[n] for n in names], k=max(0, count - len(once)))
    made = (once + rest)[:count]
    rng.shuffle(made)
    return made


def _check(tally: Tally, out: Path, kind_of: dict[str, str]) -> None:
    """Good links give clips, bad ones none and a reason; the address checks say so."""
    from manifests.corpus import Corpus

    corpus = Corpus(out)
    address = {r["request_id"]: r["address"] for r in corpus.rows("requests")}
    address |= {r["source_id"]: address[r["request_id"]] for r in corpus.rows("expanded")}
    videos: dict[str, set[str]] = {}
    for row in corpus.rows("sources"):
        videos.setdefault(row["video_id"], set()).add(kind_of[address[row["source_id"]]])
    reasons: dict[str, Counter] = {}
    for row in [*corpus.rows("rejects"), *corpus.rows("failures")]:
        named = (
            {kind_of[address[row["item_id"]]]}
            if row["item_id"] in address
            else (videos.get(row["video_id"], set()))
        )
        for kind in named:
            reasons.setdefault(kind, Counter())[row["reason"]] += 1
        if row["reason"] == "crash":
            tally.crashes.append(f"{row['stage']} {row['item_id']}: {row['exception']}")
    for row in corpus.rows("samples"):
        for kind in videos[row["video_id"]] - {"good"}:
            tally.not_as_promised.append(f"a clip came of a link of kind {kind}")
    if not any("good" in videos[r["video_id"]] for r in corpus.rows("samples")):
        tally.not_as_promised.append("no good link gave a clip")
    for kind, found in sorted(reasons.items()):
        wanted = "address_refused" if kind in REFUSED else "gone" if kind in GONE else None
        if wanted and set(found) != {wanted}:
            tally.not_as_promised.append(f"{kind}: {dict(found)}, not {wanted} alone")
        tally.notes.append(f"{kind}: {', '.join(f'{n} {r}' for r, n in found.most_common())}")


def _closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def _own_address() -> str:
    """The machine's address in its network (nothing is sent: a route is looked up), or another
    one of its own that is not public."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        host = probe.getsockname()[0]
        address = ipaddress.ip_address(host)
        if not address.is_global and not address.is_loopback:
            return host
    return "127.0.0.3"
