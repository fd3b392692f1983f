"""Workers of `yld evaluate`: Ray actors with a scoring process each, and the faces they need."""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.catalogue import split
from evaluation.isolation import ScoringProcess
from evaluation.metrics.recognition import ADAPTED_MODEL
from evaluation.records import Score, Utterance
from evaluation.scoring import no_score
from manifests.ids import hash_id
from manifests.walk import is_media
from pipeline.run.processes import Owner, leave_with
from pipeline.run.terminal import leave_terminal

POLL_S = 0.5


@dataclass(frozen=True)
class Job:
    """One utterance of one system, and the metrics still to be computed."""

    system: str
    utterance: Utterance
    names: tuple[str, ...]
    round_trip: bool = False
    """The hypothesis is the Griffin-Lim round trip of the reference, made here."""


def parallel(jobs: Sequence[Job]) -> Iterator[tuple[Job, list[Score]]]:
    """Each job with its rows, in the order in which they end. A worker that dies (not its child:
    that costs one row) costs its job's rows, and is replaced."""
    import ray

    from pipeline.run import cluster

    # Given to the workers by name: on a cluster they do not inherit this process's environment.
    given = {k: v for k, v in os.environ.items() if k == ADAPTED_MODEL}
    options: dict[str, Any] = {"runtime_env": {"env_vars": given}} if given else {}
    worker: Any = ray.remote(max_restarts=0, max_task_retries=0, num_cpus=1, **options)(Worker)
    size = min(len(jobs), max(1, int(ray.cluster_resources().get("CPU", 1))))
    owner = Owner.here()
    idle = [worker.remote(owner) for _ in range(size)]
    running: dict[Any, tuple[Any, Job]] = {}
    queue = list(reversed(jobs))
    while queue or running:
        while queue and idle:
            actor, job = idle.pop(), queue.pop()
            running[actor.run.remote(job)] = (actor, job)
        cluster.check()
        ready, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
        if not ready:
            continue
        actor, job = running.pop(ready[0])
        try:
            rows = ray.get(ready[0])
            idle.append(actor)
        except ray.exceptions.RayError as error:
            watch = cluster.watch()
            if isinstance(error, ray.exceptions.ActorUnavailableError) and watch is not None:
                watch.settle()
            cluster.check()
            ray.kill(actor)
            idle.append(worker.remote(owner))
            reason = f"worker: {' '.join(str(error).split())[:300]}"
            rows = [no_score(job.utterance, name, "error", reason) for name in job.names]
        yield job, rows
    for actor in idle:
        ray.kill(actor)


class Worker:
    """A Ray actor with a scoring process of its own."""

    def __init__(self, owner: Owner | None = None) -> None:
        leave_terminal()
        if owner is not None:
            leave_with(owner)
        from pipeline.scoring.clip_faces import FaceFinder

        self._process = ScoringProcess()
        self._finder = FaceFinder()
        # Large, and of no use to anybody else: they go with the run's temporary files.
        self.faces = Path(tempfile.mkdtemp(prefix="yld-faces-"))

    def run(self, job: Job) -> list[Score]:
        """One row per metric of the job."""
        if not job.utterance.hypothesis:
            return [
                no_score(job.utterance, name, "error", "there is no hypothesis of this name")
                for name in job.names
            ]
        if job.round_trip:
            from evaluation.round_trip import write_round_trip

            try:
                made = write_round_trip(job.utterance.reference, Path(job.utterance.hypothesis))
            except (OSError, ValueError) as error:
                status = getattr(error, "status", "error")
                reason = f"the reference has no round trip: {error}"
                return [no_score(job.utterance, name, status, reason) for name in job.names]
            job = dataclasses.replace(
                job, utterance=dataclasses.replace(job.utterance, hypothesis=str(made))
            )
        utterance = self._with_faces(job)
        try:
            return list(self._process.score(utterance, job.names))
        finally:
            for path in self.faces.iterdir():
                path.unlink()

    def _with_faces(self, job: Job) -> Utterance:
        """Faces for the metrics that look at one; found anew for each job, they are large."""
        from pipeline.scoring.clip_faces import face_paths

        metrics = [split(name)[0] for name in job.names]
        utterance, wanted = job.utterance, {}
        if any(m.kind == "lips" for m in metrics):
            wanted["video_face"] = utterance.video or _pictures(utterance.hypothesis)
        if any(m.kind == "landmarks" for m in metrics):
            wanted["reference_face"] = _pictures(utterance.reference)
            wanted["hypothesis_face"] = _pictures(utterance.hypothesis)
        paths = face_paths(
            self.faces,
            {k: Path(v) if v else None for k, v in wanted.items()},
            any(m.needs_crops for m in metrics),
            self._finder,
            lambda media: hash_id(str(media)),
        )
        return dataclasses.replace(utterance, **paths)


def _pictures(path: str) -> str | None:
    return path if is_media(Path(path)) else None
