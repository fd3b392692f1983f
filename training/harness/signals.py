"""Ctrl-C and SIGTERM during a training; other signals are nobody's to touch."""

from __future__ import annotations

import signal
import threading
from typing import Any

from pytorch_lightning.trainer.connectors.signal_connector import _SignalConnector

from training.harness.job import Say


class Untouched(_SignalConnector):
    """Leaves all signals alone.

    Lightning's sets every signal's handler back to what Python knows of it when a run ends: the
    default, for those that libraries set in C. A library with a profiling timer (SIGPROF) then
    ended the process, and faulthandler was off.
    """

    def register_signal_handlers(self) -> None:
        """`Stopping` has its own."""

    def teardown(self) -> None:
        """Nothing was changed."""


class Stopping:
    """Ctrl-C and SIGTERM end a run after its step, with a checkpoint; a second Ctrl-C at once."""

    def __init__(self, asked: threading.Event, say: Say) -> None:
        self._stop, self._say = asked, say
        self._before: dict[int, Any] = {}

    def _asked(self, number: int, _: object) -> None:
        if self._stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._stop.set()
        self._say("stopping after this step; the same command goes on from there")

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._asked)

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
