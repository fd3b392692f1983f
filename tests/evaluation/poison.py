"""Metrics that do what C code does on a bad day, and a child process that knows them."""

from __future__ import annotations

import ctypes
import os
import time

from evaluation.catalogue import METRICS, Metric

HERE = "tests.evaluation.poison:"
POISON = {
    name: Metric(name, name, "sound", True, HERE + name)
    for name in ("segfault", "leave", "endless", "not_a_number", "mistake")
}


def segfault(reference, hypothesis):
    ctypes.string_at(0)


def leave(reference, hypothesis):
    os._exit(3)


def endless(reference, hypothesis):
    time.sleep(60)


def not_a_number(reference, hypothesis):
    return float("nan")


def mistake(reference, hypothesis):
    raise KeyError("no such thing")


if __name__ == "__main__":
    from evaluation.child import main

    METRICS.update(POISON)
    main()
