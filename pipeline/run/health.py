"""Whether the Ray under a run still lives: a dead node must end a run, never hold it up.

Ray's own calls may wait for ever on a node that died, so two threads look beside them: one at the
processes of a Ray that this process started, and at how long the cluster has been silent; the
other asks it. Time in which this process itself was suspended counts for nothing.
"""

from __future__ import annotations

import _thread
import threading
import time
from typing import Any

from pipeline.run import supervisor

LOOK_S, ASK_S, ANSWER_S = 0.5, 3.0, 10.0
SILENT_S = 120.0
"""Longest time without an answer; Ray itself ends drivers that have waited for 60 s."""
GRACE_S = 20.0
"""Time in which a run that is told of the loss must have noticed."""
PARTS = ("gcs_server", "raylet")
"""Processes without which there is no node. Agents take their raylet along when they die."""


class ClusterError(RuntimeError):
    """Ray could not be started, or a node cannot work on the corpus; the message names it."""


class ClusterLostError(ClusterError):
    """The Ray under the run ended or does not answer; what is done is kept."""


class Watch:
    """Follows the cluster this process has joined; `node` is Ray's record of what it started."""

    def __init__(self, node: Any, is_own: bool) -> None:
        import ray

        self.lost: str | None = None
        self._node, self._is_own = node, is_own
        self._node_id = ray.get_runtime_context().get_node_id()
        self._alive: dict[str, bool] = {}
        self._silent_s, self._is_heard = 0.0, False
        self._closed, self._ask_now, self._num_answers = threading.Event(), threading.Event(), 0
        for target in (self._look, self._ask):
            threading.Thread(target=target, daemon=True, name="health").start()

    def check(self) -> None:
        """Raises ClusterLostError when the cluster is lost."""
        if self.lost is None and (ended := self._ended_part()):
            self.lost = ended
        if self.lost is not None:
            self._is_heard = True
            raise ClusterLostError(self.lost)

    def settle(self, within_s: float = 10.0) -> None:
        """After an error of Ray's: give the watch the time to see its cause. Raises as `check`."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            self.check()
            time.sleep(0.1)

    def died_since(self, num_dead: int, node_id: str | None, within_s: float = 0.0) -> bool:
        """Whether the cluster gave up that node, by now or within that time; where it is not
        known which (None), any more than `num_dead`. Raises as `check`."""
        deadline = time.monotonic() + within_s
        while True:
            self._asked_anew()
            self.check()
            if (
                self.num_dead() > num_dead
                if node_id is None
                else not self._alive.get(node_id, True)
            ):
                return True
            if time.monotonic() >= deadline:
                return False

    def num_dead(self) -> int:
        """How many nodes the cluster gave up, as it last told."""
        return sum(not alive for alive in self._alive.values())

    def _asked_anew(self) -> None:
        """Wait for what the cluster says now, for some seconds at most."""
        before, deadline = self._num_answers, time.monotonic() + ANSWER_S
        while self._num_answers < before + 2 and time.monotonic() < deadline:
            self._ask_now.set()  # the answer on its way may be to a question from before
            time.sleep(0.05)

    def close(self) -> None:
        self._closed.set()
        self._ask_now.set()

    def kill(self) -> None:
        """End the processes of a Ray of our own."""
        for infos in self._node.all_processes.values() if self._is_own else ():
            for info in infos:
                info.process.kill()

    def _ended_part(self) -> str | None:
        """A process of our own Ray that is no more, in words."""
        if not self._is_own:
            return None
        for part in PARTS:
            for info in self._node.all_processes.get(part, []):
                code = info.process.poll()
                if code is not None:
                    how = f"of signal {-code}" if code < 0 else f"with code {code}"
                    return f"Ray on this machine ended (its {part} {how})"
        return None

    def _is_ours(self) -> bool:
        """Whether Ray is still the one that was joined: who shut it down has not lost it."""
        import ray

        return ray._private.worker._global_node is self._node

    def _look(self) -> None:
        last = time.monotonic()
        while not self._closed.wait(LOOK_S) and self._is_ours():
            now = time.monotonic()
            self._silent_s += min(now - last, 2.0)
            last = now
            if self.lost is None:
                self.lost = self._ended_part()
            if self.lost is None and self._silent_s > SILENT_S:
                self.lost = f"Ray has not answered for {self._silent_s:.0f} s"
            if self.lost is not None:
                self._insist()
                return

    def _insist(self) -> None:
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and not self._is_heard:
            if self._closed.wait(0.2) or not self._is_ours():
                return
        if not self._is_heard:  # it hangs in a call of Ray's
            if supervisor.is_supervised() and self.lost is not None:
                supervisor.lost(self.lost)
            _thread.interrupt_main()

    def _ask(self) -> None:
        import ray

        while not self._closed.is_set():
            self._ask_now.wait(ASK_S)
            self._ask_now.clear()
            try:
                nodes = ray.nodes()
            except Exception:  # silence, whatever its words
                self._closed.wait(LOOK_S)
                continue
            self._silent_s = 0.0
            self._alive = {n["NodeID"]: n["Alive"] for n in nodes}
            if not self._alive.get(self._node_id, True) and self.lost is None:
                self.lost = (
                    "Ray gave up the node this runs on (it missed its heartbeats: the "
                    "machine was suspended or too busy, or its raylet ended)"
                )
            self._num_answers += 1


class Deadline:
    """Around a call that may never return: below a supervisor the run is lost after `seconds`."""

    def __init__(self, seconds: float, what: str) -> None:
        self._timer = threading.Timer(seconds, self._over, [f"{what} within {seconds:.0f} s"])
        self._timer.daemon = True

    @staticmethod
    def _over(reason: str) -> None:
        if supervisor.is_supervised():
            supervisor.lost(reason)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
