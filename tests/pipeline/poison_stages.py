"""Stages for the runner's tests: each misbehaves when the item's address says how."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np  # noqa: F401  # whose threads are counted
from threadpoolctl import threadpool_info

from manifests.records import Reject, Request, Source
from stages.base import Resources, Stage, TransientError


def _wait(is_so: Callable[[], bool]) -> None:
    """What a machine's load may not decide is waited for."""
    while not is_so():
        time.sleep(0.02)


@dataclass(frozen=True)
class EchoConfig:
    """One value, to change the key."""

    word: str = "a"


class Echo(Stage[Request, Source]):
    """Turns a request into a source, or breaks as the address asks."""

    name = "echo"
    resources = Resources(memory_gb=0.6, timeout_s=10.0)
    splittable = True

    def process(self, batch, context):
        return [self._one(record, context) for record in batch]

    def _one(self, record, context):
        log = context.work / "calls.txt"
        with open(log, "a") as file:
            file.write(f"{self.config.word} {record.request_id}\n")
        how = record.address
        if how.endswith(" in company"):
            how = how.removesuffix(" in company")
            _wait(lambda: len(set(log.read_text().splitlines())) > 2)
        if how.startswith("till parted"):
            _wait((context.work / "parted").exists)
        if how == "exit":
            os._exit(3)
        if how == "segfault":
            ctypes.string_at(0)
        if how == "sleep":
            time.sleep(3600)
        if how == "memory":
            hoard = []
            while True:
                hoard.append(bytearray(os.urandom(1 << 20)) * 16)
                time.sleep(0.01)
        if how.startswith("slow"):
            time.sleep(float(how.split()[1]))
        if how.startswith("busy"):
            end = time.thread_time() + 0.3
            while time.thread_time() < end:
                pass
        if how == "threads":
            pools = [pool for pool in threadpool_info() if pool["user_api"] in ("blas", "openmp")]
            how = f"{len(pools) > 0} {max(pool['num_threads'] for pool in pools)}"
        if how == "polite":
            how = " ".join(map(str, context.rate_limiter.acquire("host.example")))
        if how == "lost":
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        if how == "raise":
            raise ValueError("a bad item")
        if how == "transient":
            raise TransientError("try later")
        if how == "reject":
            return Reject("unwanted", measured=1.0, threshold=2.0)
        return [
            Source(
                source_id=f"{record.request_id}-{self.config.word}",
                request_id=record.request_id,
                address=how,
                kind="file",
                requested_as="test",
            )
        ]


class Upper(Stage[Source, Source]):
    """A second stage, so that results travel."""

    name = "upper"

    def process(self, batch, context):
        return [[record] for record in batch]
